//! Drop folders: a switch (or its file transfer) puts files in, they are imported once they are complete and then moved
//! to `done/` or `failed/`. One bad file never stops the next one. Nothing is ever deleted.
//!
//! A file is complete when `NAME.done` stands beside it, or when neither its size nor its times have changed for the
//! quiet time. Names that begin with a point or end like an unfinished transfer (`.tmp`, `.part`, ...) are left alone: a
//! rename makes them visible. A file that changed while it was read is read again; what it had is counted once.

use crate::error::IngestError;
use crate::files;
use crate::import::{ImportSummary, Progress, Sink, import_file};
use facts::config::Switch;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Endings of files that are still being written.
const UNFINISHED: [&str; 8] = ["tmp", "temp", "part", "partial", "filepart", "crdownload", "swp", "writing"];
/// Files of one folder looked at in one round; the rest comes in the next one.
const ROUND_MAX: usize = 10_000;

/// Files that appear in `folder` are read as records of `switch`.
#[derive(Clone, Debug)]
pub struct DropFolder {
    pub switch: SmolStr,
    pub folder: PathBuf,
    /// How long a file must stand still before it counts as complete.
    pub quiet: Duration,
    /// Between two looks.
    pub every: Duration,
}

impl DropFolder {
    pub fn new(switch: &str, folder: &Path) -> Self {
        Self {
            switch: switch.into(),
            folder: folder.to_path_buf(),
            quiet: Duration::from_secs(5),
            every: Duration::from_secs(1),
        }
    }
}

/// What became of one file.
#[derive(Debug)]
pub enum Outcome {
    /// Imported; it stands in `done/` now.
    Done { to: PathBuf, summary: ImportSummary },
    /// Nothing usable in it; it stands in `failed/` now, with the reasons in `NAME.why` beside it.
    Failed { to: PathBuf, why: String },
    /// It changed while it was read: it is read again when it is quiet.
    Changed,
}

/// A file as it was seen; any difference means that somebody still writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    fn of(meta: &Metadata) -> Self {
        Self {
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Watches one folder.
pub struct Watcher {
    settings: DropFolder,
    seen: BTreeMap<PathBuf, (Seen, Instant)>,
}

impl Watcher {
    /// Makes the folder with `done/` and `failed/` where they are missing.
    pub fn new(settings: DropFolder) -> Result<Self, IngestError> {
        for folder in [settings.folder.clone(), settings.folder.join("done"), settings.folder.join("failed")] {
            files::make_folder(&folder)?;
        }
        Ok(Self { settings, seen: BTreeMap::new() })
    }

    /// Looks and imports until told to stop. `told` hears of every file, `round` of every look and what kept it from
    /// its end; `switch` gives the configuration in force.
    pub fn run(
        &mut self,
        sink: Sink<'_>,
        switch: &dyn Fn(&str) -> Option<Switch>,
        round: &mut dyn FnMut(Option<&IngestError>),
        told: &mut dyn FnMut(&Path, &Outcome),
    ) -> Result<(), IngestError> {
        while !sink.stop.load(Ordering::Relaxed) {
            match self.round(sink, switch, told) {
                Ok(_) | Err(IngestError::Stopped) => round(None),
                Err(error @ (IngestError::WriterStopped(_) | IngestError::Bus(_))) => return Err(error),
                // A folder that is away (network share, full disk) may come back.
                Err(error) => round(Some(&error)),
            }
            let begun = Instant::now();
            while begun.elapsed() < self.settings.every && !sink.stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50).min(self.settings.every));
            }
        }
        Ok(())
    }

    /// One look: imports every complete file. Returns how many were dealt with.
    pub fn round(
        &mut self,
        sink: Sink<'_>,
        switch: &dyn Fn(&str) -> Option<Switch>,
        told: &mut dyn FnMut(&Path, &Outcome),
    ) -> Result<usize, IngestError> {
        let mut dealt = 0;
        for (path, seen) in self.complete()? {
            let Some(switch) = switch(&self.settings.switch) else {
                return Err(IngestError::UnknownSwitch(self.settings.switch.to_string()));
            };
            let outcome = self.one(&path, seen, &switch, sink)?;
            self.seen.remove(&path);
            dealt += 1;
            told(&path, &outcome);
        }
        Ok(dealt)
    }

    /// Files that are complete, in the order of their names.
    fn complete(&mut self) -> Result<Vec<(PathBuf, Seen)>, IngestError> {
        let folder = &self.settings.folder;
        let mut present = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(|e| IngestError::io("cannot list", folder, e))?.take(ROUND_MAX) {
            let entry = entry.map_err(|e| IngestError::io("cannot list", folder, e))?;
            let path = entry.path();
            // A file that was taken away meanwhile is no trouble.
            let Ok(meta) = fs::metadata(&path) else { continue };
            if meta.is_file() && wanted(&path) {
                present.insert(path, Seen::of(&meta));
            }
        }
        self.seen.retain(|path, _| present.contains_key(path));
        let mut ready = Vec::new();
        for (path, now) in present {
            let marked = marker(&path).exists();
            match self.seen.get(&path) {
                Some((before, since)) if *before == now => {
                    if marked || since.elapsed() >= self.settings.quiet {
                        ready.push((path, now));
                    }
                }
                _ => {
                    self.seen.insert(path.clone(), (now, Instant::now()));
                    if marked || self.settings.quiet.is_zero() {
                        ready.push((path, now));
                    }
                }
            }
        }
        Ok(ready)
    }

    fn one(&self, path: &Path, seen: Seen, switch: &Switch, sink: Sink<'_>) -> Result<Outcome, IngestError> {
        let result = import_file(path, switch, sink, &mut |_: Progress| {});
        let unchanged = fs::metadata(path).is_ok_and(|meta| Seen::of(&meta) == seen);
        match result {
            Ok(_) if !unchanged => Ok(Outcome::Changed),
            Ok(summary) if summary.sent == summary.rejected && summary.rejected > 0 => {
                let why = reasons(&summary);
                self.fail(path, why)
            }
            Ok(summary) => {
                let to = self.move_to(path, "done")?;
                Ok(Outcome::Done { to, summary })
            }
            // The file itself cannot be read, or is no file of this switch: the next one goes on.
            Err(error @ (IngestError::NotAFile { .. } | IngestError::FileTooLarge { .. } | IngestError::Format(_))) => {
                self.fail(path, error.to_string())
            }
            Err(IngestError::Io { source, what, path: at }) if at == path && path.exists() => {
                self.fail(path, format!("{what} {}: {source}", at.display()))
            }
            Err(IngestError::Io { path: at, .. }) if at == path => Ok(Outcome::Changed),
            Err(error) => Err(error),
        }
    }

    fn fail(&self, path: &Path, why: String) -> Result<Outcome, IngestError> {
        let to = self.move_to(path, "failed")?;
        let mut name = to.clone().into_os_string();
        name.push(".why");
        fs::write(&name, format!("{why}\n")).map_err(|e| IngestError::io("cannot write", Path::new(&name), e))?;
        Ok(Outcome::Failed { to, why })
    }

    /// Moves a file (and its `.done` marker away) without ever overwriting another.
    fn move_to(&self, path: &Path, folder: &str) -> Result<PathBuf, IngestError> {
        let folder = self.settings.folder.join(folder);
        let name = path.file_name().unwrap_or_default();
        let mut to = folder.join(name);
        let mut number = 1;
        while to.exists() {
            number += 1;
            let mut next = name.to_os_string();
            next.push(format!(".{number}"));
            to = folder.join(next);
        }
        fs::rename(path, &to).map_err(|e| IngestError::io("cannot move", path, e))?;
        match fs::remove_file(marker(path)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(IngestError::io("cannot remove the marker of", path, e));
            }
            _ => {}
        }
        files::sync_folder(&folder)?;
        files::sync_folder(&self.settings.folder)?;
        Ok(to)
    }
}

fn wanted(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    !name.starts_with('.') && !name.ends_with('~') && ending != "done" && !UNFINISHED.contains(&ending.as_str())
}

fn marker(path: &Path) -> PathBuf {
    let mut name = path.to_path_buf().into_os_string();
    name.push(".done");
    name.into()
}

fn reasons(summary: &ImportSummary) -> String {
    let mut text = format!("none of {} records could be read; the first reasons:\n", summary.rejected);
    for reject in &summary.rejects {
        let place = format!("line {} byte {}", reject.place.line, reject.place.byte);
        let field = if reject.field.is_empty() { String::new() } else { format!(" {}", reject.field) };
        text.push_str(&format!("{place}{field}: {}; {}\n", reject.reason, reject.advice));
    }
    text
}
