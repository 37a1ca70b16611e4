//! The upgrade's gate (design 8.10): a program that was not the last to write a ledger first folds the log in shadow, by
//! the version that its frames name, from the oldest snapshot that the program before left, and must come to the same
//! roots: those of the newer snapshots, and of every certificate on the way. Only then does it claim the stream. It
//! writes nothing but the note that it has done so.

use accounting::FOLD_VERSION;
use bus::stream::StreamReader;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::LedgerError;
use crate::fold::Fold;
use crate::refold::difference;
use crate::run::LedgerOptions;
use crate::snapshot::{Snapshot, Store, decode, fits};
use crate::streams::{Source, ledger_source};

const WAIT: Duration = Duration::from_secs(1);

/// What was folded in shadow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shadowed {
    /// First and last frame folded.
    pub from: u64,
    pub to: u64,
    /// Snapshots and certificates whose roots came out the same.
    pub roots: u64,
}

/// Folds in shadow unless this program was the last that wrote; `None`: there was nothing to do.
pub fn gate(options: &LedgerOptions) -> Result<Option<Shadowed>, LedgerError> {
    let source = ledger_source(&options.site);
    let note = options.data_dir.join("snapshots").join(source.stream.as_str()).join("program");
    let known = fs::read_to_string(&note).is_ok_and(|last| last == options.program);
    if options.program.is_empty() || known {
        return Ok(None);
    }
    let shadowed = if options.bus.partitions(&source.topic)?.is_some() { Some(fold(options, &source)?) } else { None };
    let written = note.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&note, &options.program));
    // Without the note the next start folds once more.
    if let Err(error) = written {
        tracing::warn!(file = %note.display(), %error, "it cannot be noted which program wrote the ledger last");
    }
    if let Some(Shadowed { from, to, roots }) = shadowed {
        tracing::info!(stream = %source.stream, from, to, roots, "the log was folded in shadow, to the same roots");
    }
    Ok(shadowed)
}

fn fold(options: &LedgerOptions, source: &Source) -> Result<Shadowed, LedgerError> {
    let store = Store::new(&options.data_dir, &source.stream);
    // Oldest first; one at a time in memory.
    let mut files = store.files()?;
    files.reverse();
    let read = |path: &PathBuf| -> Option<Snapshot> {
        let snapshot = decode(&source.stream, &fs::read(path).ok()?).ok()?;
        fits(&snapshot, &options.bus, &options.ids, source).then_some(snapshot)
    };
    let (bus, ids) = (&*options.bus, &options.ids);
    let mut snapshots: Vec<PathBuf> = files.into_iter().filter(|path| read(path).is_some()).collect();
    // The newest one is what is compared; it is no beginning.
    let base = if snapshots.len() > 1 { read(&snapshots.remove(0)) } else { None };
    let (mut fold, mut reader) = match base {
        Some(base) => (base.fold, StreamReader::resume(bus, ids, base.state, base.next_offset)?),
        None => (Fold::new(source.stream.clone()), StreamReader::open(bus, ids, &source.topic)?),
    };
    let mut targets = snapshots.iter();
    let mut target = targets.next().and_then(&read);
    let failed = |why: String| LedgerError::Shadow { stream: source.stream.clone(), why };
    let certificates = fold.book.counts().certificates;
    let mut shadowed = Shadowed { from: reader.state().seq() + 1, to: reader.state().seq(), roots: 0 };
    let end = bus.end(&source.topic, source.partition)?;
    while reader.offset() < end {
        reader.poll(WAIT, &mut |accepted| {
            fold.frame(accepted.frame, accepted.offset).map_err(|error| match error {
                LedgerError::Book { error, .. } => failed(format!("frame {}: {error}", accepted.state.seq())),
                other => other,
            })?;
            shadowed.to = accepted.state.seq();
            while let Some(snapshot) = target.as_mut().filter(|x| x.state.seq() <= shadowed.to) {
                if snapshot.state.seq() == shadowed.to {
                    difference((&mut fold, accepted.state), snapshot).map_err(failed)?;
                    shadowed.roots += 1;
                }
                target = targets.next().and_then(&read);
            }
            Ok::<(), LedgerError>(())
        })?;
    }
    shadowed.roots += fold.book.counts().certificates - certificates;
    Ok(shadowed)
}

/// Names this program: another file, another release or another newest fold version is another program.
pub fn this_program() -> String {
    let file = std::env::current_exe().and_then(fs::metadata);
    let print = file.map_or_else(
        |_| String::new(),
        |file| {
            let changed = file.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            format!("{} bytes of {}", file.len(), changed.unwrap_or_default().as_nanos())
        },
    );
    format!("{} fold {FOLD_VERSION} to {} {print}", env!("CARGO_PKG_VERSION"), crate::folds::newest())
}
