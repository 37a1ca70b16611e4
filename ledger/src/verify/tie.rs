//! The tie between xdrs and ledger: derives every charge anew from the rated calls that a frame names as its inputs
//! and compares it with what stands there, entry by entry.

use accounting::post::{AMOUNT_RANGE, CHARGED_ELSEWHERE, Outcome};
use accounting::{CurrentCall, PricedCall, entries_for};
use bus::Bus;
use facts::entry::LedgerItem;
use facts::ids::OriginId;
use facts::stream::Input;
use facts::xdr::{Position, Revision};
use facts::{CallId, LedgerEntry};
use schemas::SchemaIds;
use smol_str::SmolStr;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::walk::{Chain, Step};
use super::{Break, BreakKind, Report, StreamReport, origin_of, stream_inputs};
use crate::error::LedgerError;
use crate::fold::Fold;
use crate::frames::{CallEntries, entries_of_call};
use crate::poster::refuse_too_large;
use crate::rated;
use crate::streams::{Source, source_of};
use bus::stream::FrameReader;

/// One xdrs stream on the way through.
struct Side {
    chain: Option<Chain>,
    /// Rated calls read and not yet compared.
    calls: VecDeque<(Position, PricedCall)>,
    /// What the calls derived so far come to and the ledger has not shown yet.
    expected: VecDeque<(Position, Outcome)>,
    /// Where the current ledger frame ends.
    until: Position,
    /// Last frame read.
    read: u64,
}

pub struct Tie {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    /// `xdrs.SITE.`: what the site's raters write.
    prefix: String,
    ledger: SmolStr,
    own: FrameReader,
    call_entries: CallEntries,
    sides: BTreeMap<SmolStr, Side>,
    /// Streams that the current ledger frame names.
    here: Vec<SmolStr>,
    /// Calls that the ledgers of other sites have booked, as copied here; read when the first is asked for.
    elsewhere: Option<HashSet<CallId>>,
    /// Entries of the current ledger frame so far.
    entries: Vec<LedgerEntry>,
    seq: u64,
    outcomes: Vec<Outcome>,
}

impl Tie {
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, ledger: Source) -> Self {
        let site = ledger.stream.strip_prefix("ledger.").unwrap_or_default();
        let prefix = format!("xdrs.{site}.");
        let stream = ledger.stream;
        let own = FrameReader::new(bus.clone(), ids.clone(), stream.clone());
        let (sides, here, entries, outcomes, call_entries) = Default::default();
        let elsewhere = None;
        Self { bus, ids, prefix, ledger: stream, own, call_entries, sides, here, elsewhere, entries, seq: 0, outcomes }
    }

    /// A ledger frame begins.
    pub fn begin(&mut self, seq: u64, inputs: &[Input]) {
        self.seq = seq;
        self.here.clear();
        self.entries.clear();
        for (stream, _, to) in stream_inputs(inputs).filter(|(stream, ..)| !is_ledger(stream)) {
            self.side(stream).until = to;
            self.here.push(stream.clone());
        }
    }

    fn side(&mut self, stream: &SmolStr) -> &mut Side {
        let (bus, ids) = (&self.bus, &self.ids);
        self.sides.entry(stream.clone()).or_insert_with(|| Side {
            // A stream that cannot be opened shows when its calls are missed.
            chain: Chain::open(bus, ids, &source_of(stream)).ok(),
            calls: VecDeque::new(),
            expected: VecDeque::new(),
            until: Position::default(),
            read: 0,
        })
    }

    /// A stream that ends before what a frame names of it, if any.
    pub fn missing(&mut self, inputs: &[Input], report: &mut Report) -> Option<SmolStr> {
        for (stream, _, to) in stream_inputs(inputs).filter(|(stream, ..)| !is_ledger(stream)) {
            if !matches!(self.bus.partitions(stream), Ok(Some(_))) {
                return Some(stream.clone());
            }
            let side = self.side(stream);
            while side.short_of(to) {
                if !side.read_frame(stream, report) {
                    return Some(stream.clone());
                }
            }
        }
        None
    }

    /// Compares an item before it is folded.
    pub fn item(&mut self, at: Position, offset: u64, item: &LedgerItem, fold: &Fold, report: &mut Report) {
        if let Some(origin) = origin_of(item) {
            let named = match item {
                LedgerItem::Entry(entry) => entry.source.clone(),
                _ => None,
            };
            let found = match &named {
                Some((stream, source)) if self.here.contains(stream) => {
                    self.derive(stream, *source, fold, report);
                    self.take(stream, origin, at, offset, report)
                }
                Some(_) => None,
                None => self.take_refused(origin, fold, report),
            };
            match found {
                Some(outcome) => {
                    let detail = differs(item, &outcome, fold);
                    if let Some(detail) = detail.filter(|_| !self.charged_elsewhere(item, &outcome)) {
                        report.add(self.fault(fold, at.seq, Some(at.index), offset, detail));
                    }
                }
                None => {
                    let detail = match named {
                        Some((stream, source)) => format!(
                            "no rated call gives it: {stream} {}/{} comes to no entry {origin}",
                            source.seq, source.index
                        ),
                        None => format!("no rated call gives the refusal of {origin}"),
                    };
                    report.add(self.fault(fold, at.seq, Some(at.index), offset, detail));
                }
            }
        }
        if let LedgerItem::Entry(entry) = item {
            self.entries.push((**entry).clone());
        }
    }

    /// A charge that was not posted since another site's counts, and another site's ledger has that call.
    fn charged_elsewhere(&mut self, item: &LedgerItem, expected: &Outcome) -> bool {
        let (LedgerItem::Refused { reason, .. }, Outcome::Entry(entry)) = (item, expected) else { return false };
        let Some(call) = entry.call_id.filter(|_| reason == CHARGED_ELSEWHERE) else { return false };
        if self.elsewhere.is_none() {
            self.elsewhere = Some(self.booked_elsewhere());
        }
        self.elsewhere.as_ref().is_some_and(|calls| calls.contains(&call))
    }

    fn booked_elsewhere(&self) -> HashSet<CallId> {
        let mut calls = HashSet::new();
        let topics = self.bus.topics().unwrap_or_default();
        for topic in topics.into_iter().filter(|topic| is_ledger(topic) && *topic != self.ledger.as_str()) {
            let stream = SmolStr::from(topic);
            let Ok(mut chain) = Chain::open(&self.bus, &self.ids, &source_of(&stream)) else { continue };
            loop {
                match chain.step() {
                    Step::End => break,
                    Step::Void | Step::Broken(_) => {}
                    Step::Frame(frame) => {
                        let items = (0..frame.len()).filter_map(|index| schemas::ledger::item(&frame, index).ok());
                        calls.extend(items.filter_map(|item| match item {
                            LedgerItem::Entry(entry) => entry.call_id,
                            _ => None,
                        }));
                    }
                }
            }
        }
        calls
    }

    /// The expected outcome with this origin; what was expected before it is missing.
    fn take(
        &mut self,
        stream: &SmolStr,
        origin: OriginId,
        at: Position,
        offset: u64,
        report: &mut Report,
    ) -> Option<Outcome> {
        let ledger = self.ledger.clone();
        let expected = &mut self.sides.get_mut(stream)?.expected;
        let place = expected.iter().position(|(_, outcome)| origin_in(outcome) == origin)?;
        for (source, outcome) in expected.drain(..place) {
            report.add(missing(&ledger, at.seq, Some(at.index), offset, stream, source, &outcome));
        }
        self.sides.get_mut(stream)?.expected.pop_front().map(|(_, outcome)| outcome)
    }

    /// A refusal names no source: it is the next thing expected of one of the streams.
    fn take_refused(&mut self, origin: OriginId, fold: &Fold, report: &mut Report) -> Option<Outcome> {
        for stream in self.here.clone() {
            let until = self.sides.get(&stream)?.until;
            while self.sides.get(&stream)?.expected.is_empty() && self.derive_next(&stream, until, fold, report) {}
            let side = self.sides.get_mut(&stream)?;
            if side.expected.front().is_some_and(|(_, outcome)| origin_in(outcome) == origin) {
                return side.expected.pop_front().map(|(_, outcome)| outcome);
            }
        }
        None
    }

    /// Derives all calls up to and including the one at `source`.
    fn derive(&mut self, stream: &SmolStr, source: Position, fold: &Fold, report: &mut Report) {
        let behind = Position { seq: source.seq, index: source.index.saturating_add(1) };
        while self.derive_next(stream, behind, fold, report) {}
    }

    /// Derives the next call that stands before `until`; false when there is none.
    fn derive_next(&mut self, stream: &SmolStr, until: Position, fold: &Fold, report: &mut Report) -> bool {
        let Some(side) = self.sides.get_mut(stream) else { return false };
        side.fill(stream, until, report);
        if side.calls.front().is_none_or(|(at, _)| *at >= until) {
            return false;
        }
        let Some((source, rated)) = side.calls.pop_front() else { return false };
        report.calls += 1;
        report.xdrs_compared += rated.sides.len() as u64;
        let current = match fold.book.knows(rated.call_id) {
            false => None,
            true => match self.current(&rated, fold) {
                Ok(current) => Some(current),
                Err(error) => {
                    let detail = format!("the entries of call {} cannot be read: {error}", rated.call_id);
                    report.add(self.fault(fold, self.seq, None, 0, detail));
                    return true;
                }
            },
        };
        let mut outcomes = std::mem::take(&mut self.outcomes);
        let mut posted = entries_for(&rated, (stream, source), current.as_ref(), &mut outcomes);
        refuse_too_large(&mut outcomes, &mut posted);
        report.zero += posted.zero;
        if let Some(side) = self.sides.get_mut(stream) {
            side.expected.extend(outcomes.drain(..).map(|outcome| (source, outcome)));
        }
        self.outcomes = outcomes;
        true
    }

    fn current(&mut self, rated: &PricedCall, fold: &Fold) -> Result<CurrentCall, LedgerError> {
        let (mut entries, call) = (Vec::new(), rated.call_id);
        let one_of_many = matches!(rated.revision, Revision::Run { .. });
        for seq in fold.book.frames_of(call) {
            if seq == self.seq {
                entries.extend(self.entries.iter().filter(|entry| entry.call_id == Some(call)).cloned());
            } else {
                let missing = || LedgerError::Missing { stream: fold.stream().clone(), seq };
                let offset = fold.offset_of(seq).ok_or_else(missing)?;
                if one_of_many {
                    let own = (fold.stream(), &mut self.own);
                    self.call_entries.of_call(own, (seq, offset), call, &mut entries)?;
                    continue;
                }
                let frame = self.own.frame(seq, offset)?;
                entries_of_call(fold.stream(), &frame, call, |_, entry| entries.push(entry))?;
            }
        }
        CurrentCall::fold(call, &entries).ok_or(LedgerError::Range { what: "the entries of a call" })
    }

    /// The ledger frame is over: all that its inputs come to must have stood in it.
    pub fn end(&mut self, offset: u64, fold: &Fold, report: &mut Report) {
        for stream in self.here.clone() {
            let Some(until) = self.sides.get(&stream).map(|side| side.until) else { continue };
            while self.derive_next(&stream, until, fold, report) {}
            let Some(side) = self.sides.get_mut(&stream) else { continue };
            for (source, outcome) in side.expected.drain(..) {
                report.add(missing(fold.stream(), self.seq, None, offset, &stream, source, &outcome));
            }
            if side.short_of(until) {
                let detail = format!("it names {stream} up to {}/{}, but that log ends before", until.seq, until.index);
                report.add(self.fault(fold, self.seq, None, offset, detail));
            }
        }
    }

    /// Reads the xdrs streams to their ends: what the ledger has not booked yet is counted, not broken.
    pub fn finish(mut self, report: &mut Report) -> Vec<StreamReport> {
        for topic in self.bus.topics().unwrap_or_default() {
            if topic.starts_with(&self.prefix) {
                self.side(&SmolStr::from(topic));
            }
        }
        let mut reports = Vec::new();
        for (stream, side) in &mut self.sides {
            loop {
                report.not_booked_yet += side.calls.len() as u64;
                side.calls.clear();
                if !side.read_frame(stream, report) {
                    break;
                }
            }
            match &side.chain {
                Some(chain) => reports.push(chain.report()),
                None => report.add(Break {
                    kind: BreakKind::Log,
                    stream: stream.clone(),
                    seq: 0,
                    index: None,
                    offset: None,
                    file: None,
                    detail: "the stream cannot be opened".into(),
                }),
            }
        }
        reports
    }

    fn fault(&self, fold: &Fold, seq: u64, index: Option<u32>, offset: u64, detail: String) -> Break {
        let (stream, offset) = (fold.stream().clone(), Some(offset));
        Break { kind: BreakKind::Charge, stream, seq, index, offset, file: None, detail }
    }
}

impl Side {
    /// Reads on until a call is there or the log is past `until`.
    fn fill(&mut self, stream: &SmolStr, until: Position, report: &mut Report) {
        while self.calls.is_empty() && (self.read < until.seq) {
            if !self.read_frame(stream, report) {
                return;
            }
        }
    }

    /// True when the log has less than a ledger frame says it consumed.
    fn short_of(&self, until: Position) -> bool {
        let last = if until.index > 0 { until.seq } else { until.seq.saturating_sub(1) };
        self.read < last
    }

    /// Reads the next accepted frame; false at the end of the log.
    fn read_frame(&mut self, stream: &SmolStr, report: &mut Report) -> bool {
        let Self { chain: Some(chain), calls, read, .. } = self else { return false };
        loop {
            let offset = chain.offset();
            match chain.step() {
                Step::End => return false,
                Step::Void => {}
                Step::Broken(found) => report.add(found),
                Step::Frame(frame) => {
                    *read = frame.header.seq;
                    let base = rated::base_of(&frame.header.inputs);
                    for index in 0..frame.len() {
                        let at = Position { seq: frame.header.seq, index: index as u32 };
                        let mut call = PricedCall::default();
                        match frame.public(index).and_then(|public| rated::read(public, &mut call)) {
                            Ok(true) => {
                                call.base.clone_from(&base);
                                calls.push_back((at, call));
                            }
                            Ok(false) => {}
                            Err(error) => report.add(Break {
                                kind: BreakKind::Unreadable,
                                stream: stream.clone(),
                                seq: at.seq,
                                index: Some(at.index),
                                offset: Some(offset),
                                file: None,
                                detail: error.to_string(),
                            }),
                        }
                    }
                    return true;
                }
            }
        }
    }
}

fn origin_in(outcome: &Outcome) -> OriginId {
    match outcome {
        Outcome::Entry(entry) => entry.origin_id,
        Outcome::Refused { origin_id, .. } => *origin_id,
    }
}

fn missing(
    ledger: &SmolStr,
    seq: u64,
    index: Option<u32>,
    offset: u64,
    stream: &SmolStr,
    source: Position,
    outcome: &Outcome,
) -> Break {
    let what = match outcome {
        Outcome::Entry(entry) => format!("the entry of {} ({})", entry.account, money(entry)),
        Outcome::Refused { reason, .. } => format!("the refusal {reason}"),
    };
    let detail =
        format!("{what} is missing: {stream} {}/{} comes to origin {}", source.seq, source.index, origin_in(outcome));
    let (kind, stream, offset) = (BreakKind::Charge, ledger.clone(), Some(offset));
    Break { kind, stream, seq, index, offset, file: None, detail }
}

/// How an item differs from what the rated call comes to; `None`: not at all.
fn differs(item: &LedgerItem, expected: &Outcome, fold: &Fold) -> Option<String> {
    match (item, expected) {
        (LedgerItem::Entry(entry), Outcome::Entry(expected)) if equal(entry, expected) => None,
        (LedgerItem::Entry(entry), Outcome::Entry(expected)) => Some(format!(
            "entry of {} is {}, its rated call comes to {} for {}",
            entry.account,
            money(entry),
            money(expected),
            expected.account
        )),
        (LedgerItem::Refused { reason, .. }, Outcome::Refused { reason: expected, .. }) if reason == expected => None,
        // The balance it would have gone to was full.
        (LedgerItem::Refused { reason, .. }, Outcome::Entry(entry))
            if reason == AMOUNT_RANGE && !fold.book.fits(entry) =>
        {
            None
        }
        (LedgerItem::Refused { reason, .. }, Outcome::Entry(entry)) => {
            Some(format!("refused as {reason}, but its rated call comes to {} for {}", money(entry), entry.account))
        }
        (LedgerItem::Refused { reason, .. }, Outcome::Refused { reason: expected, .. }) => {
            Some(format!("refused as {reason}, but the reason is {expected}"))
        }
        (LedgerItem::Entry(entry), Outcome::Refused { reason, .. }) => {
            Some(format!("entry of {} is {}, but it may not be posted: {reason}", entry.account, money(entry)))
        }
        (_, _) => None,
    }
}

/// Entries of frames before `ledger-item.v3` do not say that an end was an estimate.
fn equal(entry: &LedgerEntry, expected: &LedgerEntry) -> bool {
    *entry == *expected
        || (entry.reason.is_empty() && *entry == LedgerEntry { reason: SmolStr::default(), ..expected.clone() })
}

/// Ledgers of other sites are inputs too; no charge comes from them.
fn is_ledger(stream: &str) -> bool {
    stream.starts_with("ledger.")
}

fn money(entry: &LedgerEntry) -> String {
    let lines = entry.postings.iter().map(|p| format!("{} {} {}", p.gl.as_str(), p.amount, p.currency));
    lines.collect::<Vec<_>>().join(", ")
}
