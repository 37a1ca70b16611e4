//! What stands in the xdrs streams beside the calls: counts of imports, rejects, conflicts. A follower keeps the last
//! of each, for the console and for `calls import`; the streams hold all of them. It also knows where each frame stands,
//! so that a call can be read back.

use bus::Bus;
use bus::stream::{Places, StreamError, StreamReader};
use facts::call::Reject;
use facts::ids::ImportId;
use facts::xdr::{Conflict, ImportCount, XdrItem};
use schemas::{SchemaIds, xdrs};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Rejects and conflicts kept for pages; the streams hold all of them.
const SHOWN_MAX: usize = 1_000;
/// Longest wait for a frame that others have seen already.
const PLACE_WAIT: Duration = Duration::from_secs(3);
/// Imports kept.
const IMPORTS_MAX: usize = 10_000;

/// What was seen last.
#[derive(Default)]
pub struct Records {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    imports: BTreeMap<(ImportId, u32), ImportCount>,
    order: VecDeque<ImportId>,
    rejects: VecDeque<Reject>,
    conflicts: VecDeque<Conflict>,
    /// All that were seen, shown or not.
    conflicts_seen: u64,
    /// Offset up to which each stream has been taken in.
    reached: BTreeMap<String, u64>,
    /// Where the accepted frames of each stream stand.
    places: BTreeMap<String, Places>,
}

impl Records {
    /// Follows one stream until told to stop.
    pub fn follow(&self, bus: &dyn Bus, ids: &SchemaIds, stream: &str, stop: &AtomicBool) -> Result<(), String> {
        let mut reader = StreamReader::open(bus, ids, stream).map_err(|e| e.to_string())?;
        while !stop.load(Ordering::Relaxed) {
            let polled = reader.poll::<StreamError>(Duration::from_millis(200), &mut |accepted| {
                self.note(stream, accepted.frame.header.seq, accepted.offset);
                for index in 0..accepted.frame.len() {
                    let Ok((public, private)) = accepted.frame.item(index) else { continue };
                    if !xdrs::is_rated_call(public)
                        && let Ok(item) = xdrs::decode_item(public, private)
                    {
                        self.take(item);
                    }
                }
                Ok(())
            });
            match polled {
                Ok(_) => drop(self.lock().reached.insert(stream.to_owned(), reader.offset())),
                Err(StreamError::Bus(bus::BusError::Stopped)) => return Ok(()),
                Err(error @ StreamError::Bus(_)) if !matches!(&error, StreamError::Bus(bus) if bus.is_retriable()) => {
                    return Err(error.to_string());
                }
                Err(error) => {
                    tracing::warn!(stream, %error, "imports and rejects cannot be followed, trying again");
                    std::thread::sleep(Duration::from_millis(500));
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, item: XdrItem) {
        let mut inner = self.lock();
        match item {
            XdrItem::ImportCount(count) => {
                let (import, partition) = (count.import, count.partition);
                if !inner.order.contains(&import) {
                    inner.order.push_back(import);
                }
                inner.imports.insert((import, partition), *count);
                if inner.order.len() > IMPORTS_MAX
                    && let Some(oldest) = inner.order.pop_front()
                {
                    inner.imports.retain(|(import, _), _| *import != oldest);
                }
            }
            XdrItem::Reject(reject) => {
                inner.rejects.push_front(*reject);
                inner.rejects.truncate(SHOWN_MAX);
            }
            XdrItem::Conflict(conflict) => {
                inner.conflicts_seen += 1;
                inner.conflicts.push_front(*conflict);
                inner.conflicts.truncate(SHOWN_MAX);
            }
            _ => {}
        }
    }

    /// Sums over the partitions, newest import first.
    pub fn imports(&self) -> Vec<ImportCount> {
        let inner = self.lock();
        inner.order.iter().rev().map(|import| sum(&inner, *import)).collect()
    }

    /// The sum of one import, once it was seen.
    pub fn import(&self, import: ImportId) -> Option<ImportCount> {
        let inner = self.lock();
        inner.order.contains(&import).then(|| sum(&inner, import))
    }

    /// Offset up to which a stream has been taken in.
    pub fn reached(&self, stream: &str) -> u64 {
        self.lock().reached.get(stream).copied().unwrap_or(0)
    }

    fn note(&self, stream: &str, seq: u64, offset: u64) {
        let mut inner = self.lock();
        match inner.places.get_mut(stream) {
            Some(places) => places.note(seq, offset),
            None => inner.places.entry(stream.to_owned()).or_default().note(seq, offset),
        }
    }

    /// Offset of an accepted frame; waits a moment for one that was written just now. `None`: not seen (yet).
    pub fn place(&self, stream: &str, seq: u64) -> Option<u64> {
        let until = Instant::now() + PLACE_WAIT;
        loop {
            let found = self.lock().places.get(stream).and_then(|places| places.offset(seq));
            if found.is_some() || Instant::now() > until {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Newest first.
    pub fn rejects(&self, offset: usize, limit: usize) -> Vec<Reject> {
        self.lock().rejects.iter().skip(offset).take(limit).cloned().collect()
    }

    /// Newest first.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.lock().conflicts.iter().cloned().collect()
    }

    /// All that were seen.
    pub fn conflicts_seen(&self) -> u64 {
        self.lock().conflicts_seen
    }
}

fn sum(inner: &Inner, import: ImportId) -> ImportCount {
    let mut total = ImportCount { import, complete: true, ..ImportCount::default() };
    for count in inner.imports.range((import, 0)..=(import, u32::MAX)).map(|(_, count)| count) {
        if total.file.is_empty() {
            total.file = count.file.clone();
            total.source = count.source.clone();
        }
        total.sent_here += count.sent_here;
        total.read += count.read;
        total.accepted += count.accepted;
        total.repeated += count.repeated;
        total.rejected += count.rejected;
        total.complete &= count.complete;
    }
    total
}
