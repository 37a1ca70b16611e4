//! Records of imports, counted by the fold itself so that a killed import cannot lie: read = accepted + repeated +
//! rejected (design section 1). Counts only rise; the last one of an import and partition holds.

use facts::call::ImportEnd;
use facts::ids::ImportId;
use facts::xdr::ImportCount;
use hashbrown::HashMap;

use super::Pushed;

/// Most counts of unfinished imports in one `RaterState`.
pub const INCOMPLETE_MAX: usize = 64;

/// Counts of every import seen on one partition.
#[derive(Debug)]
pub struct Imports {
    partition: u32,
    counts: HashMap<ImportId, ImportCount>,
    /// Changed since they were last written, in the order of the first change.
    changed: Vec<ImportId>,
}

impl Imports {
    pub fn new(partition: u32) -> Self {
        Self { partition, counts: HashMap::new(), changed: Vec::new() }
    }

    fn entry(&mut self, import: ImportId) -> &mut ImportCount {
        if !self.changed.contains(&import) {
            self.changed.push(import);
        }
        let partition = self.partition;
        self.counts.entry(import).or_insert_with(|| ImportCount { import, partition, ..ImportCount::default() })
    }

    pub(super) fn count(&mut self, import: ImportId, pushed: &Pushed) {
        if matches!(pushed, Pushed::Waits) {
            return; // Counted when it is decided.
        }
        let count = self.entry(import);
        count.read += 1;
        match pushed {
            Pushed::Kept | Pushed::Late { .. } => count.accepted += 1,
            Pushed::Repeated | Pushed::Redelivered => count.repeated += 1,
            Pushed::Conflict(_) => count.rejected += 1,
            Pushed::Waits => {}
            // Counted once it is known what became of it.
            Pushed::Leaving => count.read -= 1,
        }
        complete(count);
    }

    /// A record of the import that could not be read.
    pub fn rejected(&mut self, import: ImportId) {
        let count = self.entry(import);
        count.read += 1;
        count.rejected += 1;
        complete(count);
    }

    /// The end mark; true where nothing is missing any more.
    pub fn end(&mut self, end: &ImportEnd) -> bool {
        let count = self.entry(end.import);
        count.source = end.source.clone();
        count.file = end.file.clone();
        count.sent_here = count.sent_here.max(end.sent_here);
        // An import of nothing is complete as well.
        count.complete = count.read >= count.sent_here;
        count.complete
    }

    /// The next count that changed since it was last taken; [`Self::written`] takes it off.
    pub fn next_changed(&self) -> Option<&ImportCount> {
        self.changed.first().and_then(|import| self.counts.get(import))
    }

    /// Number of counts that changed since they were last written.
    pub fn changed(&self) -> usize {
        self.changed.len()
    }

    pub fn written(&mut self) {
        if !self.changed.is_empty() {
            self.changed.remove(0);
        }
    }

    /// For a new owner: a count as it stands in the own stream.
    pub fn recover(&mut self, count: ImportCount) {
        self.counts.insert(count.import, count);
    }

    /// Imports whose end has not come or whose records have not all come, for a `RaterState`: [`INCOMPLETE_MAX`] of them
    /// at most, so that the state stays far below what an item may take. Every count stands in the stream by itself.
    pub fn incomplete(&self) -> Vec<ImportCount> {
        let mut counts: Vec<_> = self.counts.values().filter(|count| !count.complete).collect();
        counts.sort_by_key(|count| count.import);
        counts.into_iter().take(INCOMPLETE_MAX).cloned().collect()
    }

    /// Every count, by import.
    pub fn all(&self) -> Vec<ImportCount> {
        let mut counts: Vec<_> = self.counts.values().cloned().collect();
        counts.sort_by_key(|count| count.import);
        counts
    }

    pub fn get(&self, import: ImportId) -> Option<&ImportCount> {
        self.counts.get(&import)
    }
}

fn complete(count: &mut ImportCount) {
    count.complete = count.sent_here > 0 && count.read >= count.sent_here;
}
