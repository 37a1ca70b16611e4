//! Rows that stood in another file before (design 6.6). A row that is known by nothing but its bytes may be a call of
//! its own that happens to look the same: such rows are repeats where at least two of an import come one after the
//! other on the partition, in the order of the same earlier file; alone, the row goes to a person. So the first row of a
//! run waits for the next record of its import, or for its end. A row with an id of its own never waits.

use facts::call::{CallEvent, EventRef};
use facts::ids::{DedupeKey, ImportId, hash};
use std::collections::BTreeMap;

use super::{Assembler, DedupeIndex, Origin, Pushed, SECOND};

/// How long a row waits where neither a further record of its import nor its end comes: the import was killed.
pub(super) const WAIT_MAX: i64 = 3_600 * SECOND;

/// Whether nothing but its bytes tells the record from others: it has neither an id nor a call key of its own.
pub(super) fn is_known_by_bytes(event: &EventRef<'_>) -> bool {
    event.import.is_some()
        && event.raw.is_some()
        && event.dedupe.is_some_and(|key| key.to_string().as_str() == event.call_key)
}

/// The key under which a lone row of a file is remembered once a person has it: the same file again adds nothing.
pub fn lone_key<S>(event: &CallEvent<S>) -> Option<DedupeKey> {
    let file = Origin::of(event).file;
    Some(DedupeKey(hash("tandem.lone.v1", &[&event.dedupe?.0, &file.to_le_bytes()])))
}

/// Rows of one import that stood in one earlier file, one after the other.
#[derive(Debug)]
struct Run {
    /// The earlier file, and the last row's place in it.
    file: u64,
    row: u64,
    /// From which offset a new owner has to read to know as much.
    hold: u64,
    last: u64,
    observed: i64,
    /// The first row, while it is alone.
    waiting: Option<Box<CallEvent>>,
}

/// What a row makes of a run.
#[derive(Debug)]
pub(super) enum Row {
    /// It goes on with a run; with the row that waited, where it is the second.
    Repeated { with: Option<Box<CallEvent>> },
    /// It waits; the one that waited before is alone.
    Waits { lone: Option<Box<CallEvent>> },
}

/// The runs of all imports under way.
#[derive(Debug, Default)]
pub(super) struct Repeats(BTreeMap<ImportId, Run>);

impl Repeats {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first offset that a new owner has to read again.
    pub fn hold(&self) -> Option<u64> {
        self.0.values().map(|run| run.hold).min()
    }

    /// A row that `first` brought before.
    pub fn row(&mut self, import: ImportId, event: &EventRef<'_>, offset: u64, first: Origin) -> Row {
        let observed = event.observed_at.micros();
        if let Some(run) = self.0.get_mut(&import)
            && run.file == first.file
            && run.row < first.offset
        {
            (run.row, run.hold, run.last, run.observed) = (first.offset, run.last, offset, observed);
            return Row::Repeated { with: run.waiting.take() };
        }
        let (file, row) = (first.file, first.offset);
        let run = Run { file, row, hold: offset, last: offset, observed, waiting: Some(Box::new(event.owned())) };
        Row::Waits { lone: self.0.insert(import, run).and_then(|run| run.waiting) }
    }

    /// Another record of the import came, or its end: returns the row that stayed alone.
    pub fn end(&mut self, import: ImportId) -> Option<Box<CallEvent>> {
        self.0.remove(&import).and_then(|run| run.waiting)
    }

    /// Imports of which nothing has come for too long.
    pub fn overdue(&self, clock: i64) -> Option<ImportId> {
        self.0.iter().find(|(_, run)| run.observed.saturating_add(WAIT_MAX) <= clock).map(|(import, _)| *import)
    }
}

impl Assembler {
    /// A record that was there before.
    pub(super) fn repeated(
        &mut self,
        event: &EventRef<'_>,
        offset: u64,
        first: Origin,
        dedupe: &impl DedupeIndex,
    ) -> Pushed {
        let file = Origin::of(event).file;
        let told = || lone_key(event).is_some_and(|key| dedupe.knows(key, event.occurred_at));
        let decided = first.file == 0 || first.file == file || !is_known_by_bytes(event) || told();
        let Some(import) = event.import.filter(|_| !decided) else {
            self.end_run(event.import);
            return Pushed::Repeated;
        };
        match self.repeats.row(import, event, offset, first) {
            Row::Repeated { with } => {
                if with.is_some() && !self.replaying {
                    self.imports.count(import, &Pushed::Repeated);
                }
                Pushed::Repeated
            }
            Row::Waits { lone } => {
                self.lone(lone);
                Pushed::Waits
            }
        }
    }

    /// What comes after a row that waits is no repeat of the same file, so it stays alone.
    pub(super) fn end_run(&mut self, import: Option<ImportId>) {
        if !self.repeats.is_empty()
            && let Some(import) = import
        {
            let lone = self.repeats.end(import);
            self.lone(lone);
        }
    }

    fn lone(&mut self, row: Option<Box<CallEvent>>) {
        let Some(event) = row else { return };
        if let Some(import) = event.import.filter(|_| !self.replaying) {
            self.imports.rejected(import);
        }
        self.tell("lone_repeat", *event);
    }
}
