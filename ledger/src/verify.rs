//! `tandem ledger verify`: proves the ledger from its own bytes. It reads every record of the ledger stream and of the
//! xdrs streams, applies the acceptance rule, folds all entries again, compares the roots with the certificates, and
//! derives every charge anew from the rated calls. It says where the first thing breaks, and what else does. It
//! changes nothing and trusts no index, snapshot or running process.

use accounting::FOLD_VERSION;
use accounting::invariants::check_trial_balance;
use bus::stream::StreamReader;
use bus::{Bus, BusError};
use facts::BookedAt;
use facts::config::ConfigItem;
use facts::entry::LedgerItem;
use facts::ids::OriginId;
use facts::stream::{Input, VoidReason};
use facts::xdr::Position;
use schemas::{FrameView, SchemaIds};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::LedgerError;
use crate::fold::Fold;
use crate::streams::{Source, ledger_source};

mod signed;
mod tie;
mod walk;

pub use signed::Kept;

use signed::Signed;
use tie::Tie;
use walk::{Chain, Step};

/// Breaks listed in full; the rest is counted.
pub const BREAKS_MAX: usize = 1000;

/// What kind of thing is broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakKind {
    /// The log itself cannot be read there.
    Log,
    /// A record is no frame and no fence, or an item is none.
    Unreadable,
    /// A frame does not follow from the one before it.
    Chain,
    /// An entry does not balance, repeats an origin, or leaves the range.
    Entry,
    /// A certificate is not the fold of the frames before it.
    Certificate,
    /// The ledger says something else than the rated calls come to.
    Charge,
    /// The trial balance is not zero.
    TrialBalance,
    /// A frame names a configuration that cannot have been in force.
    Config,
    /// A signed certificate and the log contradict one another.
    Signed,
}

/// One thing that is broken, and where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Break {
    pub kind: BreakKind,
    pub stream: SmolStr,
    /// 0 where no frame can be named.
    pub seq: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub index: Option<u32>,
    /// Offset of the record in its topic.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<u64>,
    /// Embedded log: the file and the byte in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    pub detail: String,
}

/// What one stream came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StreamReport {
    pub stream: SmolStr,
    /// Accepted frames.
    pub frames: u64,
    /// Last accepted frame and its hash, hexadecimal.
    pub seq: u64,
    pub hash: String,
    pub items: u64,
    /// Void records by reason.
    pub voids: BTreeMap<String, u64>,
}

/// The proof, or where it fails.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// True when nothing is broken.
    pub ok: bool,
    pub ledger: StreamReport,
    pub xdrs: Vec<StreamReport>,
    pub entries: u64,
    pub refused: u64,
    /// Rated calls and priced sides compared with their entries.
    pub calls: u64,
    pub xdrs_compared: u64,
    /// Sides of amount zero, which make no entry.
    pub zero: u64,
    pub certificates: u64,
    /// Rated calls in the xdrs streams that the ledger has not booked yet.
    pub not_booked_yet: u64,
    /// State root of all entries, hexadecimal.
    pub root: String,
    /// In the order in which they were found; the first is where to look.
    pub breaks: Vec<Break>,
    /// Breaks beyond [`BREAKS_MAX`].
    pub more_breaks: u64,
    /// A copy of another site's ledger: why it could be proved only as far as [`Self::ledger`] says, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub behind: Option<String>,
}

impl Report {
    fn add(&mut self, found: Break) {
        if self.breaks.len() < BREAKS_MAX { self.breaks.push(found) } else { self.more_breaks += 1 }
    }
}

/// Verifies the ledger of `site`. `progress` is told (frames done, frames in the log) now and then. Errors only where
/// the bus as such is out of reach: whatever is wrong inside the logs stands in the report.
pub fn verify(
    bus: &Arc<dyn Bus>,
    ids: &SchemaIds,
    site: &str,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, LedgerError> {
    verify_with(bus, ids, site, &Kept::default(), progress)
}

/// The same, and compares the signed certificates that were kept.
pub fn verify_with(
    bus: &Arc<dyn Bus>,
    ids: &SchemaIds,
    site: &str,
    kept: &Kept,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, LedgerError> {
    prove((bus, ids), site, kept, false, progress)
}

/// Verifies another site's ledger by its copies on this bus. Copies come stream by stream, so a frame whose rated calls
/// or configuration have not come yet is no break: the proof ends before it, and `behind` says so.
pub fn verify_copy(
    bus: &Arc<dyn Bus>,
    ids: &SchemaIds,
    site: &str,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, LedgerError> {
    prove((bus, ids), site, &Kept::default(), true, progress)
}

fn prove(
    (bus, ids): (&Arc<dyn Bus>, &SchemaIds),
    site: &str,
    kept: &Kept,
    copied: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, LedgerError> {
    let mut report = Report::default();
    let source = ledger_source(site);
    let mut signed = Signed::new(&source.stream, kept, &mut report);
    let (head, folds) = config_head(bus, ids)?;
    let mut versions = Versions { head, last: 0, folds };
    let mut chain = match Chain::open(bus, ids, &source) {
        Ok(chain) => chain,
        Err(error) => return log_break(report, &source, error),
    };
    let end = bus.end(&source.topic, source.partition)?;
    let mut fold = Fold::new(source.stream.clone());
    let mut tie = Tie::new(bus.clone(), ids.clone(), source.clone());
    let mut unproved = None;
    loop {
        let offset = chain.offset();
        match chain.step() {
            Step::End => break,
            Step::Broken(found) => {
                report.add(found);
                if chain.stuck() {
                    break;
                }
            }
            Step::Void => {}
            Step::Frame(frame) => {
                if copied && let Some(missing) = not_here(&frame, versions.head, &mut tie, &mut report) {
                    // It has been read, and is not in the fold.
                    let (before, items) = (accounting::book::hex(&frame.header.prev_hash), frame.len() as u64);
                    report.behind = Some(missing);
                    unproved = Some((before, items));
                    break;
                }
                fold_frame(&frame, offset, &mut fold, &mut tie, &mut report);
                versions.frame(&frame, offset, &mut report);
                signed.frame(&frame, &mut fold, &mut report);
                if frame.header.seq % 64 == 0 {
                    progress(offset, end);
                }
            }
        }
    }
    progress(end, end);
    signed.finish(chain.seq(), &mut report);
    report.ledger = chain.report();
    if let Some((hash, items)) = unproved {
        let ledger = &mut report.ledger;
        (ledger.frames, ledger.seq) = (ledger.frames.saturating_sub(1), ledger.seq.saturating_sub(1));
        (ledger.items, ledger.hash) = (ledger.items.saturating_sub(items), hash);
    }
    report.xdrs = tie.finish(&mut report);
    if let Err(imbalance) = check_trial_balance(&fold.book) {
        let detail = format!("the trial balance is not zero: {imbalance}");
        report.add(Break {
            kind: BreakKind::TrialBalance,
            stream: source.stream.clone(),
            seq: chain.seq(),
            index: None,
            offset: None,
            file: None,
            detail,
        });
    }
    report.entries = fold.book.counts().all_entries();
    report.refused = fold.book.counts().refused;
    report.certificates = fold.book.counts().certificates;
    report.root = accounting::book::hex(&fold.book.root());
    report.ok = report.breaks.is_empty();
    Ok(report)
}

/// What a frame of a copied ledger names and has not been copied yet.
fn not_here(frame: &FrameView<'_>, head: Option<u64>, tie: &mut Tie, report: &mut Report) -> Option<String> {
    let (seq, named) = (frame.header.seq, frame.header.config_seq);
    if head.is_some_and(|head| named > head) {
        return Some(format!("frame {seq} names configuration version {named}, which has not been copied here yet"));
    }
    let stream = tie.missing(&frame.header.inputs, report)?;
    Some(format!("frame {seq} books calls of {stream} that have not been copied here yet"))
}

/// Which configuration frames name: it never falls, and it exists.
struct Versions {
    /// Last version in the log of the configuration; `None`: there is no such log here.
    head: Option<u64>,
    last: u64,
    /// Fold versions that were ordered, and their cuts.
    folds: BTreeMap<u32, BookedAt>,
}

impl Versions {
    fn frame(&mut self, frame: &FrameView<'_>, offset: u64, report: &mut Report) {
        let (seq, named) = (frame.header.seq, frame.header.config_seq);
        let (version, booked_at) = (frame.header.fold_version, frame.header.booked_at);
        let ordered = version <= FOLD_VERSION || self.folds.get(&version).is_some_and(|from| *from <= booked_at);
        let detail = match self.head {
            Some(_) if !ordered => {
                format!("it is of fold version {version}, which the configuration orders for no frame of {booked_at}")
            }
            Some(head) if named > head => {
                format!("it names configuration version {named}, but the log of the configuration ends with {head}")
            }
            _ if named < self.last => {
                format!("it names configuration version {named}, but a frame before it names {}", self.last)
            }
            _ => {
                self.last = named;
                return;
            }
        };
        let (stream, offset) = (frame.header.stream.clone(), Some(offset));
        report.add(Break { kind: BreakKind::Config, stream, seq, index: None, offset, file: None, detail });
    }
}

/// The last accepted frame of the configuration, and the fold versions that it orders.
fn config_head(bus: &Arc<dyn Bus>, ids: &SchemaIds) -> Result<(Option<u64>, BTreeMap<u32, BookedAt>), LedgerError> {
    let mut folds = BTreeMap::new();
    let topic = bus::config_log::CONFIG;
    if bus.partitions(topic)?.is_none() {
        return Ok((None, folds));
    }
    let mut reader = StreamReader::open(&**bus, ids, topic)?;
    reader.catch_up(&**bus, &mut |accepted| {
        for item in schemas::config::items(accepted.frame).into_iter().flatten().flatten() {
            if let ConfigItem::FoldVersion(x) = item {
                folds.entry(x.version).or_insert(x.from);
            }
        }
        Ok::<(), LedgerError>(())
    })?;
    Ok((Some(reader.state().seq()), folds))
}

/// A log that cannot even be opened at its beginning is a break, not an error of the surroundings.
fn log_break(mut report: Report, source: &Source, error: LedgerError) -> Result<Report, LedgerError> {
    match error {
        LedgerError::Bus(
            error @ (BusError::Damaged { .. } | BusError::TopicLost { .. } | BusError::OffsetOutOfRange { .. }),
        ) => {
            report.add(walk::broken_log(&source.stream, 0, None, &error));
            Ok(report)
        }
        error => Err(error),
    }
}

fn fold_frame(frame: &FrameView<'_>, offset: u64, fold: &mut Fold, tie: &mut Tie, report: &mut Report) {
    let stream = fold.stream().clone();
    let seq = frame.header.seq;
    let at_fault = |index: Option<usize>, kind, detail: String| Break {
        kind,
        stream: stream.clone(),
        seq,
        index: index.map(|index| index as u32),
        offset: Some(offset),
        file: None,
        detail,
    };
    if let Err(error) = schemas::ledger::expect_items(frame) {
        report.add(at_fault(None, BreakKind::Unreadable, error.to_string()));
        return;
    }
    if let Err(error) = fold.begin(seq, frame.header.fold_version) {
        report.add(at_fault(None, BreakKind::Chain, error.to_string()));
        return;
    }
    tie.begin(frame.header.seq, &frame.header.inputs);
    for index in 0..frame.len() {
        let at = Position { seq, index: index as u32 };
        let item = match schemas::ledger::item(frame, index) {
            Ok(item) => item,
            Err(error) => {
                report.add(at_fault(Some(index), BreakKind::Unreadable, error.to_string()));
                continue;
            }
        };
        tie.item(at, offset, &item, fold, report);
        let kind = match &item {
            LedgerItem::Certificate { .. } => BreakKind::Certificate,
            _ => BreakKind::Entry,
        };
        if let Err(error) = fold.item(at, &item) {
            let detail = match error {
                LedgerError::Book { error, .. } => error.to_string(),
                error => error.to_string(),
            };
            report.add(at_fault(Some(index), kind, detail));
        }
    }
    fold.durable(seq, offset);
    tie.end(offset, fold, report);
}

/// What is damaged in the folder of an embedded log that does not open any more: every log of the site, by file and
/// byte. Reads everything, changes nothing; an unfinished last write is no damage.
pub fn inspect_folder(bus_folder: &Path, site: &str) -> Result<Vec<Break>, LedgerError> {
    let ours = [format!("ledger.{site}"), format!("xdrs.{site}."), "config".to_owned()];
    let mut found = Vec::new();
    for report in bus::embedded::inspect(bus_folder)? {
        let topic = report.topic.as_str();
        if !topic.is_empty() && topic != ours[0] && !topic.starts_with(&ours[1]) && topic != ours[2] {
            continue;
        }
        for damage in report.damage.iter().filter(|damage| !damage.torn_tail) {
            let again = damage.readable_again.map(|offset| format!("; readable again from offset {offset}"));
            found.push(Break {
                kind: BreakKind::Log,
                stream: topic.into(),
                seq: 0,
                index: None,
                offset: Some(report.end),
                file: Some(format!("{}:{}", damage.file.display(), damage.byte)),
                detail: format!("{}{}", damage.reason, again.unwrap_or_default()),
            });
        }
    }
    Ok(found)
}

/// Inputs of a frame that are streams.
fn stream_inputs(inputs: &[Input]) -> impl Iterator<Item = (&SmolStr, Position, Position)> {
    inputs.iter().filter_map(|input| match input {
        Input::Stream { stream, from, to } => Some((stream, *from, *to)),
        Input::Events { .. } => None,
    })
}

/// The origin of an item that stands for a charge: an entry with a source, or a refusal.
fn origin_of(item: &LedgerItem) -> Option<OriginId> {
    match item {
        LedgerItem::Entry(entry) => entry.source.as_ref().map(|_| entry.origin_id),
        LedgerItem::Refused { origin_id, .. } => Some(*origin_id),
        // A memo item stands for no charge; whether it may stand there is the fold's rule.
        _ => None,
    }
}

/// Void records that an undisturbed log never has.
fn alarming(reason: VoidReason) -> bool {
    !matches!(reason, VoidReason::StaleFence | VoidReason::StaleEpoch | VoidReason::Repeated)
}
