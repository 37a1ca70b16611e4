//! What a stream of rated calls holds, without reading it again: where its accepted frames stand, when the calls in them
//! began, and which revisions replaced others. Kept as a file in the data folder, so that a run of a short period reads
//! what came since and the frames of its period. A cache and nothing more: lost, damaged, or of another log, it is made
//! anew from the stream. Exact: the times are those of the calls themselves, however late they were written.

use bus::Bus;
use bus::stream::{FrameReader, Places, StreamReader};
use facts::run::{RunInput, Selection};
use facts::stream::StreamState;
use facts::xdr::{Position, Revision};
use schemas::xdrs::{self, call_head};
use schemas::{FrameView, SchemaIds};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scan::{WAIT, base_of};
use super::{RunError, Worker};

/// The file begins so; what another version wrote is made anew.
const MAGIC: &[u8; 8] = b"TDRUNT01";
/// Frames that share one span of times.
pub(super) const STRETCH: u64 = 16;
/// A stretch without a call.
const NO_CALL: (i64, i64) = (i64::MAX, i64::MIN);

/// A revision that replaced another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Said {
    pub at: Position,
    /// 0 = of its own stream, else one above the place among [`Times::bases`].
    pub base: u16,
    pub based_on: Position,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Times {
    /// The fold after the last frame known, and the offset behind it.
    state: StreamState,
    next_offset: u64,
    anchors: Vec<(u64, u64)>,
    /// First and last start of a call by stretch, microseconds.
    spans: Vec<(i64, i64)>,
    pub said: Vec<Said>,
    pub bases: Vec<SmolStr>,
    #[serde(skip)]
    places: Places,
}

impl Times {
    /// What is known of an input up to where the run goes; what is not known yet is read.
    pub fn of(worker: &Worker<'_>, input: &RunInput) -> Result<Self, RunError> {
        let last = input.to.seq.saturating_sub(1);
        let kept = worker.kept.and_then(|folder| Self::kept(worker, folder, &input.stream));
        let mut this = match kept {
            Some(kept) => kept,
            None => Self::nothing(&input.stream, worker.bus.begin(&input.stream, 0)?),
        };
        if this.state.seq() < last {
            this.read_on(worker, last)?;
            if let Some(folder) = worker.kept {
                this.keep(folder);
            }
        }
        Ok(this)
    }

    fn nothing(stream: &SmolStr, begin: u64) -> Self {
        Self {
            state: StreamState::new(stream.clone()),
            next_offset: begin,
            anchors: Vec::new(),
            spans: Vec::new(),
            said: Vec::new(),
            bases: Vec::new(),
            places: Places::default(),
        }
    }

    fn read_on(&mut self, worker: &Worker<'_>, last: u64) -> Result<(), RunError> {
        let mut reader = StreamReader::resume(&**worker.bus, worker.ids, self.state.clone(), self.next_offset)?;
        while reader.state().seq() < last {
            worker.go_on()?;
            let folded = reader.poll(WAIT, &mut |accepted| {
                let seq = accepted.frame.header.seq;
                // What lies behind the run's end is for a later run.
                if seq <= last {
                    self.frame(accepted.frame)?;
                    self.places.note(seq, accepted.offset);
                    self.state.clone_from(accepted.state);
                    self.next_offset = accepted.offset + 1;
                    worker.read.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), RunError>(())
            })?;
            if folded == 0 {
                return Err(RunError::Short { stream: self.state.stream().clone(), seq: last });
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: &FrameView<'_>) -> Result<(), RunError> {
        let header = &frame.header;
        let decode = |source| RunError::Frame { stream: header.stream.clone(), seq: header.seq, source };
        frame.expect_items(xdrs::ITEMS).map_err(decode)?;
        let stretch = stretch_of(header.seq);
        if self.spans.len() <= stretch {
            self.spans.resize(stretch + 1, NO_CALL);
        }
        let (mut first, mut last) = self.spans[stretch];
        for index in 0..frame.len() {
            let Some(head) = call_head(frame.public(index).map_err(decode)?).map_err(decode)? else { continue };
            (first, last) = (first.min(head.started_at.0), last.max(head.started_at.0));
            let (base, based_on) = match head.revision {
                Revision::First => continue,
                Revision::Late { based_on, .. } => (0, based_on),
                Revision::Run { based_on, .. } => (self.base(base_of(frame)?)?, based_on),
            };
            self.said.push(Said { at: Position { seq: header.seq, index: index as u32 }, base, based_on });
        }
        self.spans[stretch] = (first, last);
        Ok(())
    }

    fn base(&mut self, stream: &SmolStr) -> Result<u16, RunError> {
        let known = self.bases.iter().position(|base| base == stream);
        let place = known.unwrap_or_else(|| {
            self.bases.push(stream.clone());
            self.bases.len() - 1
        });
        u16::try_from(place + 1).map_err(|_| RunError::UnknownInput { stream: stream.clone() })
    }

    /// Offset of an accepted frame.
    pub fn offset(&self, seq: u64) -> Option<u64> {
        self.places.offset(seq)
    }

    /// The next frames from `seq` on, before `until`, that may hold a call which began in the period: half-open.
    pub fn next_in(&self, chosen: &Selection, seq: u64, until: u64) -> Option<(u64, u64)> {
        let meets = |stretch: usize| {
            let (first, last) = self.spans.get(stretch).copied().unwrap_or(NO_CALL);
            first <= last
                && chosen.from.is_none_or(|from| last >= from.0)
                && chosen.until.is_none_or(|until| first < until.0)
        };
        let begin = (stretch_of(seq)..).take_while(|stretch| first_of(*stretch) < until).find(|at| meets(*at))?;
        let end = (begin..).find(|stretch| first_of(*stretch) >= until || !meets(*stretch))?;
        let (from, to) = (seq.max(first_of(begin)), until.min(first_of(end)));
        (from < to).then_some((from, to))
    }

    fn file(folder: &Path, stream: &str) -> PathBuf {
        folder.join(format!("{stream}.times"))
    }

    /// What was kept, where it is whole and the log still holds the frame that it ends with.
    fn kept(worker: &Worker<'_>, folder: &Path, stream: &SmolStr) -> Option<Self> {
        let bytes = fs::read(Self::file(folder, stream)).ok()?;
        let mut kept = Self::decode(&bytes)?;
        kept.places = Places::from_parts(std::mem::take(&mut kept.anchors), kept.state.seq());
        let fits = kept.state.stream() == stream && kept.is_of(worker.bus, worker.ids);
        if !fits {
            tracing::warn!(%stream, "what was kept of the stream's times is of another log and is made anew");
        }
        fits.then_some(kept)
    }

    fn is_of(&self, bus: &Arc<dyn Bus>, ids: &SchemaIds) -> bool {
        let Some(offset) = self.offset(self.state.seq()) else { return false };
        if bus.end(self.state.stream(), 0).map_or(true, |end| self.next_offset > end) {
            return false;
        }
        let mut frames = FrameReader::new(bus.clone(), ids.clone(), self.state.stream().clone());
        frames.frame(self.state.seq(), offset).is_ok_and(|frame| frame.hash() == *self.state.hash())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        let whole = crc32c::crc32c(content) == u32::from_le_bytes(*crc);
        serde_json::from_slice(content.strip_prefix(MAGIC).filter(|_| whole)?).ok()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let anchors = self.places.parts().0.to_vec();
        let mut bytes = MAGIC.to_vec();
        serde_json::to_writer(&mut bytes, &Self { anchors, ..self.clone() }).ok()?;
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        Some(bytes)
    }

    /// Keeps it for the next run. What cannot be kept is read again; two runs at once each write a whole file.
    fn keep(&self, folder: &Path) {
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let file = Self::file(folder, self.state.stream());
        let new = file.with_extension(format!("new-{}", WRITES.fetch_add(1, Ordering::Relaxed)));
        let Some(bytes) = self.encode() else { return };
        let kept =
            fs::create_dir_all(folder).and_then(|()| fs::write(&new, bytes)).and_then(|()| fs::rename(&new, &file));
        if let Err(error) = kept {
            let _ = fs::remove_file(&new);
            tracing::warn!(%error, file = %file.display(), "the times of a stream are not kept");
        }
    }
}

fn stretch_of(seq: u64) -> usize {
    (seq.saturating_sub(1) / STRETCH) as usize
}

fn first_of(stretch: usize) -> u64 {
    stretch as u64 * STRETCH + 1
}
