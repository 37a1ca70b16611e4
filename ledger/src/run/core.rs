//! Claiming the stream, booking rated calls into frames, and reading our own frames back.

use accounting::authorise::Pace;
use accounting::overruns::Overruns;
use accounting::{CurrentCall, Posted, PricedCall};
use bus::TopicSpec;
use bus::run_log::RunLog;
use bus::stream::{Accepted, FrameParts, StreamError, StreamReader, StreamWriter};
use facts::OccurredAt;
use facts::run::{RunPhase, run_stream};
use facts::stream::{Input, StreamState};
use facts::xdr::{Position, Revision};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long consumed frames that gave nothing to post wait for a frame of ours.
const SOON: Duration = Duration::from_millis(250);
/// Between two looks for orders of runs.
const LOOK: Duration = Duration::from_millis(500);

use super::{Core, Inbox, LedgerOptions, NAP, READ_BACK, wall_micros};
use crate::error::LedgerError;
use crate::fold::Fold;
use crate::frames::{CallEntries, entries_of_call};
use crate::poster::{Poster, Took};
use crate::rated;
use crate::shared::Shared;
use crate::snapshot::{self, Store};
use crate::streams::{ledger_source, xdrs_source};
use bus::stream::FrameReader;

/// Calls of a frame that are read before the first of them is booked.
const TOGETHER: usize = 32;

impl<'a> Core<'a> {
    /// Claims the stream and rebuilds the fold: from the newest snapshot that fits the log, else from its start.
    pub(super) fn claim(
        options: &'a LedgerOptions,
        inbox: &'a Inbox,
    ) -> Result<(Self, Vec<StreamReader>), LedgerError> {
        let source = ledger_source(&options.site);
        let stream = source.stream.clone();
        let (bus, ids) = (&*options.bus, &options.ids);
        bus.ensure(&TopicSpec::frames(source.topic.as_str(), 1))?;
        let store = Store::new(&options.data_dir, &stream);
        let snapshot = store.newest().filter(|x| snapshot::fits(x, &options.bus, &options.ids, &source));
        let (mut inputs, mut notes): (Vec<(StreamState, u64)>, Vec<u8>) = Default::default();
        let (mut fold, resume, mut last) = match snapshot {
            Some(snapshot) => {
                (inputs, notes) = (snapshot.inputs, snapshot.notes);
                let resume = (snapshot.state, snapshot.next_offset);
                (snapshot.fold, Some(resume.clone()), resume)
            }
            None => (Fold::new(stream.clone()), None, (StreamState::new(stream.clone()), bus.begin(&source.topic, 0)?)),
        };
        fold.history.set_max(options.history_max);
        let told = super::notices::told_until(bus, ids, &options.site)?;
        fold.overruns = Some(Box::new(Overruns::new(options.site.clone(), told)));
        super::shares::set_among(options, &mut fold.book);
        fold.book.set_net_positions(options.net_positions.clone());
        let writer = StreamWriter::claim(bus, ids, &stream, &options.owner, resume, wall_micros(), &mut |accepted| {
            fold.frame(accepted.frame, accepted.offset)?;
            inbox.shared.progress(|p| p.note(accepted.frame));
            last = (accepted.state.clone(), accepted.offset + 1);
            Ok::<(), LedgerError>(())
        })?;
        let mut own = StreamReader::resume(bus, ids, last.0, last.1)?;
        // Up to our own fence, so that the epoch is ours.
        own.catch_up(bus, &mut |_| Ok::<(), LedgerError>(()))?;
        let mut xdrs = Vec::new();
        for partition in 0..options.partitions {
            let source = xdrs_source(&options.site, partition);
            bus.ensure(&TopicSpec::frames(source.topic.as_str(), 1))?;
            let known = inputs.iter().find(|(state, _)| state.stream() == &source.stream);
            let reader = match known {
                Some((state, offset)) => StreamReader::resume(bus, ids, state.clone(), *offset)?,
                None => StreamReader::open(bus, ids, &source.topic)?,
            };
            xdrs.push(reader);
        }
        let mut sites = super::sites::Sites::open(options);
        if let Some(sites) = &mut sites {
            sites.resume(options, &inputs, &notes, &mut fold);
        }
        let fold_version = fold.book.fold_version();
        inbox.shared.replace(fold, own.state().clone());
        bus::failpoint::pass("ledger.claimed");
        let now = Instant::now();
        let entries = inbox.shared.fold().book.counts().all_entries();
        let (bus, ids) = (options.bus.clone(), options.ids.clone());
        let frames = FrameReader::new(bus, ids, stream.clone());
        let core = Self {
            options,
            inbox,
            stream,
            epoch: own.state().epoch(),
            fold_version,
            fold_from: 0,
            certified: (now, writer.state().seq(), entries),
            writer,
            own,
            poster: Poster::new(),
            rated: Vec::new(),
            inputs: SmallVec::new(),
            replies: VecDeque::new(),
            pace: Pace::default(),
            notices: super::notices::Notices::default(),
            expired_at: now,
            early: None,
            sites,
            frames,
            call_entries: CallEntries::default(),
            posted: Posted::default(),
            frame_at: now,
            snapshot_at: now,
            looked_at: None,
            runs_wait: true,
            run_log: RunLog::open(&*options.bus, &options.ids, &options.site)?,
            store,
            writing: None,
        };
        Ok((core, xdrs))
    }

    /// Reads the orders that have come since the last look, at most once in [`LOOK`], and takes in the streams of runs
    /// that are to be posted. A run that is done needs no reader any more.
    pub(super) fn look_for_runs(&mut self, xdrs: &mut Vec<StreamReader>) -> Result<(), LedgerError> {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        self.looked_at = Some(Instant::now());
        if !self.run_log.poll(Duration::ZERO)? && !self.runs_wait {
            return Ok(());
        }
        self.runs_wait = false;
        let (bus, ids) = (&*self.options.bus, &self.options.ids);
        for run in self.run_log.runs().posted() {
            let stream = run_stream(&self.options.site, run.id);
            let known = xdrs.iter().position(|reader| *reader.state().stream() == stream);
            match (run.phase, known) {
                // Its topic is made by whoever writes it.
                (RunPhase::Posting, None) if bus.partitions(&stream)?.is_none() => self.runs_wait = true,
                (RunPhase::Posting, None) => {
                    tracing::info!(%stream, "the ledger books a run");
                    xdrs.push(StreamReader::open(bus, ids, &stream)?);
                }
                (RunPhase::Posted, Some(at)) => drop(xdrs.remove(at)),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn shared(&self) -> &'a Shared {
        &self.inbox.shared
    }

    /// Sequence of the frame under construction.
    pub(super) fn seq(&self) -> u64 {
        self.writer.state().seq() + 1
    }

    /// Where a stream goes on, the frame under construction included.
    pub(super) fn next_of(&self, stream: &str) -> Position {
        let here = self.inputs.iter().find_map(|input| match input {
            Input::Stream { stream: name, to, .. } if name == stream => Some(*to),
            _ => None,
        });
        here.unwrap_or_else(|| self.writer.state().next_position(stream))
    }

    pub(super) fn consumed(&mut self, stream: &SmolStr, until: Position) {
        for input in &mut self.inputs {
            if let Input::Stream { stream: name, to, .. } = input
                && name == stream
            {
                *to = until;
                return;
            }
        }
        let from = self.writer.state().next_position(stream);
        if from != until {
            self.inputs.push(Input::Stream { stream: stream.clone(), from, to: until });
        }
    }

    /// Books one accepted xdrs frame.
    pub(super) fn frame(&mut self, accepted: &Accepted<'_>) -> Result<(), LedgerError> {
        let frame = accepted.frame;
        let (stream, seq) = (&frame.header.stream, frame.header.seq);
        let next = self.next_of(stream);
        if seq < next.seq {
            return Ok(());
        }
        let failed = |error| LedgerError::Frame { stream: stream.clone(), seq, error };
        frame.expect_items(schemas::xdrs::ITEMS).map_err(failed)?;
        let first = if seq == next.seq { next.index as usize } else { 0 };
        let base = rated::base_of(&frame.header.inputs);
        let now = OccurredAt(wall_micros());
        let mut calls = std::mem::take(&mut self.rated);
        let mut fold = self.shared().fold();
        for index in first..frame.len() {
            let at = Position { seq, index: index as u32 };
            let place = (index - first) % TOGETHER;
            if place == 0 {
                // Read in groups, so that the memory of many balances is waited for at once.
                calls.resize_with(TOGETHER.min(frame.len() - index), Default::default);
                for (index, (call, is_call)) in (index..).zip(&mut calls) {
                    let at = Position { seq, index: index as u32 };
                    let read = frame.public(index).and_then(|public| rated::read(public, call));
                    *is_call = read.map_err(|error| LedgerError::Item { stream: stream.clone(), at, error })?;
                    call.base.clone_from(&base);
                }
                let rated = calls.iter().filter(|(_, is_call)| *is_call);
                std::hint::black_box(fold.book.warm(rated.map(|(call, _)| call)));
            }
            let Some((call, true)) = calls.get(place) else { continue };
            loop {
                let mut current = None;
                if fold.book.knows(call.call_id) {
                    let frames = fold.book.frames_of(call.call_id);
                    self.shown();
                    drop(fold);
                    current = Some(self.current(call, &frames)?);
                    fold = self.shared().fold();
                }
                let mut elsewhere = None;
                if self.sites.is_some() {
                    drop(fold);
                    elsewhere = self.elsewhere(call)?;
                    fold = self.shared().fold();
                }
                if self.poster.is_empty() {
                    self.certify(&mut fold)?;
                }
                let into = self.seq();
                let known = (current.as_ref(), elsewhere);
                match self.poster.call(&mut fold, into, call, (stream, at), known, now)? {
                    Took::Taken => break,
                    Took::Full => {
                        self.consumed(stream, at);
                        self.shown();
                        drop(fold);
                        self.cut()?;
                        fold = self.shared().fold();
                    }
                }
            }
        }
        self.shown();
        drop(fold);
        self.rated = calls;
        self.consumed(stream, Position { seq: seq + 1, index: 0 });
        if self.poster.is_empty() { Ok(()) } else { self.cut() }
    }

    /// Whoever reads the fold now sees items of the frame under construction, and has to wait for it.
    pub(super) fn shown(&self) {
        if !self.poster.is_empty() {
            let seq = self.seq();
            self.shared().progress(|p| p.built = seq);
        }
    }

    /// What was posted for a call before, read from our own frames.
    pub(super) fn current(&mut self, rated: &PricedCall, frames: &[u64]) -> Result<CurrentCall, LedgerError> {
        let (building, call) = (self.seq(), rated.call_id);
        let one_of_many = matches!(rated.revision, Revision::Run { .. });
        let mut entries = Vec::new();
        for &seq in frames {
            if seq == building {
                self.poster.entries_here(&self.stream, seq, call, &mut entries)?;
            } else {
                let offset = self.offset_of(seq)?;
                if one_of_many {
                    let own = (&self.stream, &mut self.frames);
                    self.call_entries.of_call(own, (seq, offset), call, &mut entries)?;
                    continue;
                }
                let frame = self.frames.frame(seq, offset)?;
                entries_of_call(&self.stream, &frame, call, |_, entry| entries.push(entry))?;
            }
        }
        CurrentCall::fold(call, &entries).ok_or(LedgerError::Range { what: "the entries of a call" })
    }

    /// Offset of one of our frames; waits for those on their way.
    pub(super) fn offset_of(&mut self, seq: u64) -> Result<u64, LedgerError> {
        let until = Instant::now() + READ_BACK;
        while seq > self.own.state().seq() && Instant::now() < until {
            self.writer.settle()?;
            self.read_back()?;
        }
        let offset = self.shared().fold().offset_of(seq);
        offset.ok_or_else(|| LedgerError::Missing { stream: self.stream.clone(), seq })
    }

    pub(super) fn certify(&mut self, fold: &mut Fold) -> Result<(), LedgerError> {
        let (at, seq, entries) = self.certified;
        let now = fold.book.counts().all_entries();
        let due = self.seq() - seq > self.options.certificate_frames || at.elapsed() >= self.options.certificate_every;
        if due && now != entries {
            let seq = self.seq();
            self.poster.certify(fold, seq)?;
            self.certified = (Instant::now(), seq, now);
        }
        Ok(())
    }

    /// Writes the frame under construction.
    pub(super) fn cut(&mut self) -> Result<(), LedgerError> {
        self.peers_folded();
        let parts = FrameParts {
            item_schema: schemas::ledger::ITEMS,
            config_seq: (self.options.config)().seq,
            fold_version: self.fold_version,
            inputs: std::mem::take(&mut self.inputs),
            floor: None,
            clock: None,
            // Never before the cut, should the clock step back.
            wall_micros: wall_micros().max(self.fold_from),
        };
        bus::failpoint::pass("ledger.before-frame");
        self.writer.append(self.poster.builder(), parts)?;
        bus::failpoint::pass("ledger.frame-sent");
        self.posted.add(self.poster.take_posted());
        self.frame_at = Instant::now();
        Ok(())
    }

    /// Reads our durable frames back as accepted: answers go out, and a taken-over stream is noticed.
    pub(super) fn read_back(&mut self) -> Result<(), LedgerError> {
        let (shared, epoch) = (self.shared(), self.epoch);
        let durable = self.writer.durable();
        let check = |state: &StreamState| {
            if state.epoch() == epoch {
                return Ok(());
            }
            let (stream, owner) = (state.stream().clone(), state.owner().clone());
            Err(LedgerError::Stream(StreamError::Fenced { stream, owner, epoch: state.epoch() }))
        };
        while self.own.state().seq() < durable {
            let folded = self.own.poll(Duration::from_secs(1), &mut |accepted| {
                check(accepted.state)?;
                bus::failpoint::pass("ledger.frame-durable");
                shared.fold().durable(accepted.state.seq(), accepted.offset);
                shared.progress(|p| {
                    p.note(accepted.frame);
                    p.state.clone_from(accepted.state);
                });
                Ok::<(), LedgerError>(())
            })?;
            check(self.own.state())?;
            if folded == 0 {
                if self.own.offset() >= self.options.bus.end(&self.stream, 0)? {
                    // All of the log has been read and a frame of ours does not count: somebody else writes.
                    let seq = self.own.state().seq() + 1;
                    return Err(StreamError::NotAccepted { stream: self.stream.clone(), seq }.into());
                }
                // It is on its way to us; the next turn looks again.
                break;
            }
        }
        let accepted = self.own.state().seq();
        while self.replies.front().is_some_and(|(seq, _)| *seq <= accepted) {
            if let Some((_, answer)) = self.replies.pop_front() {
                answer.send(self.options.mail.as_deref());
            }
        }
        Ok(())
    }

    /// Everything durable, read back, answered.
    pub(super) fn flush(&mut self) -> Result<(), LedgerError> {
        if !self.poster.is_empty() || !self.inputs.is_empty() {
            self.cut()?;
        }
        self.writer.settle()?;
        let until = Instant::now() + READ_BACK;
        while self.own.state().seq() < self.writer.durable() && Instant::now() < until {
            self.read_back()?;
        }
        self.read_back()
    }

    /// Nothing to do: an empty frame now and then says that the stream is alive, and a look at the log says whether it
    /// is still ours.
    pub(super) fn idle(&mut self) -> Result<(), LedgerError> {
        // Frames that gave nothing to post still count as booked soon: whoever waits for that should not wait long.
        let consumed = !self.inputs.is_empty() && self.frame_at.elapsed() >= SOON;
        if consumed || self.frame_at.elapsed() >= self.options.idle_frame {
            let mut fold = self.shared().fold();
            self.certify(&mut fold)?;
            self.shown();
            drop(fold);
            self.cut()?;
        }
        Ok(())
    }

    pub(super) fn nap(&mut self) -> Result<(), LedgerError> {
        if let Ok(waiting) = self.inbox.orders.recv_timeout(NAP) {
            self.early = Some(waiting);
        }
        Ok(())
    }
}
