//! The pipeline of one site in a seeded world, and its copy at another: events, the assembler, frames in their real bytes,
//! fences, the ledger's book, people's payments. Owners die at every write, sleep while others take over and write when they wake (zombies),
//! two work at once; disks are full, writes are torn, bits flip, tails are lost, one stream's disk or the whole site's is
//! lost and comes back from the copy; clocks step; programs go to the next fold version and back. Disks hold bytes. What
//! decides is the product's own: `rating::assemble`, `facts::stream`, `segments`, `accounting`, `schemas`. The rest here
//! is reading and writing, as short as can be.
//!
//! It never waits, and no wall clock, socket or file is in it.

mod books;
mod copy;
mod disk;
mod loss;
mod owners;
mod rater;
mod rules;
mod turns;

#[cfg(test)]
mod tests;

use crate::Violation;
use crate::dice::Dice;
use accounting::pay::Payment;
use books::Books;
use copy::Copy;
use disk::{Disk, Place};
use facts::call::CallEvent;
use facts::stream::{Fence, StreamState, Verdict};
use facts::{BookedAt, ObservedAt};
use rater::Rater;
use rules::Oracle;
use schemas::SchemaIds;
use schemas::frame::{FrameBuilder, StreamRecord, decode_record, encode_fence};
use std::collections::BTreeSet;

const SECOND: i64 = 1_000_000;
/// Streams: rated calls, and the ledger.
pub(crate) const STREAMS: [&str; 2] = ["xdrs.main.0", "ledger.main"];
const XDRS: usize = 0;
const LEDGER: usize = 1;
/// Owners that may be alive at once.
const OWNERS: usize = 4;

/// Mistakes on purpose, each at the mouth of an owner or a reader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Slip {
    /// The log's word that a frame is there is taken for its acceptance.
    ConfirmedUnread,
    /// Readers let frames of an owner count that has been fenced off.
    OldEpochCounts,
    /// A new owner goes on behind the inputs of frames that do not count.
    ResumesWhereSent,
    /// A new rater does not read the open calls' events again.
    FloorIgnored,
    /// A new rater does not know the calls that have left.
    IndexForgotten,
    /// A program folds by the next version that nobody has ordered.
    SwitchUnordered,
    /// A program folds by the next version, and its frames name the old one.
    SwitchUnsaid,
    /// A program that does not know the ordered version goes on by the old one.
    OldGoesOn,
    /// Frames are booked by the machine's clock as it is.
    ClockAsItIs,
    /// A new ledger books the last frame of rated calls again that is booked already.
    TailBookedAgain,
    /// Readers do not look at the checksum of a block.
    ChecksumUnread,
    /// A start cuts whatever it cannot read, acknowledged or not.
    CutsAcknowledged,
    /// A lost disk is put back from a part of the copy.
    ShorterCopy,
    /// After a lost disk, new calls stand in the places of lost ones that are booked.
    PlacesGivenAgain,
    /// Events of a lost log count as seen when they are offered again.
    MarksOfLostEvents,
    /// A new ledger does not know which orders of people are booked.
    OrdersForgotten,
    /// After a power cut a start leaves an older claim until the next write.
    OldClaimKept,
}

impl Slip {
    pub const ALL: [Self; 17] = [
        Self::ConfirmedUnread,
        Self::OldEpochCounts,
        Self::ResumesWhereSent,
        Self::FloorIgnored,
        Self::IndexForgotten,
        Self::SwitchUnordered,
        Self::SwitchUnsaid,
        Self::OldGoesOn,
        Self::ClockAsItIs,
        Self::TailBookedAgain,
        Self::ChecksumUnread,
        Self::CutsAcknowledged,
        Self::ShorterCopy,
        Self::PlacesGivenAgain,
        Self::MarksOfLostEvents,
        Self::OrdersForgotten,
        Self::OldClaimKept,
    ];
}

/// What can be left out of a run, to make a failing one smaller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Harm {
    Death,
    Zombie,
    SecondOwner,
    FullDisk,
    /// The power goes in the middle of a write.
    PowerCut,
    BitFlip,
    LostDisk,
    LostTail,
    Repeat,
    ClockStep,
    Upgrade,
}

impl Harm {
    pub const ALL: [Self; 11] = [
        Self::Death,
        Self::Zombie,
        Self::SecondOwner,
        Self::FullDisk,
        Self::PowerCut,
        Self::BitFlip,
        Self::LostDisk,
        Self::LostTail,
        Self::Repeat,
        Self::ClockStep,
        Self::Upgrade,
    ];
}

/// One run of the pipeline.
#[derive(Clone, Debug)]
pub struct Course {
    pub seed: u64,
    pub turns: u32,
    pub calls: u32,
    /// Of a thousand writes or turns.
    pub harm: u32,
    pub without: Vec<Harm>,
    pub slip: Option<Slip>,
}

impl Course {
    /// The run of a seed.
    pub fn of(seed: u64, turns: u32) -> Self {
        let mut dice = Dice::new(seed ^ 0x9e37);
        let (calls, harm) = (dice.within(5, 40) as u32, dice.one_of(&[5, 20, 60, 150]));
        Self { seed, turns, calls, harm, without: Vec::new(), slip: None }
    }
}

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Done {
    pub frames: u64,
    pub void: u64,
    pub owners: u64,
    pub calls: u64,
    pub revisions: u64,
    pub disks_lost: u64,
    pub power_cuts: u64,
    pub torn: u64,
    pub flips: u64,
    /// Flips that were refused by name, by a reader or a start; the others harmed nothing.
    pub damage: u64,
    /// Places of lost rated calls that were booked, filled.
    pub filled: u64,
    /// Calls of which a part was booked and lost, and whose whole is refused by name.
    pub named: u64,
    pub orders: u64,
    pub switched: u64,
}

/// A record of `call-events`.
#[derive(Clone, Debug)]
enum OnBus {
    Event(Box<CallEvent>),
    Tick(ObservedAt),
}

/// `call-events` as far as it is held: offsets go on when it is lost.
#[derive(Default)]
struct Events {
    base: u64,
    held: Vec<OnBus>,
}

impl Events {
    fn get(&self, at: u64) -> Option<&OnBus> {
        self.held.get(usize::try_from(at.checked_sub(self.base)?).ok()?)
    }

    fn end(&self) -> u64 {
        self.base + self.held.len() as u64
    }

    fn push(&mut self, record: OnBus) {
        self.held.push(record);
    }
}

/// Whoever writes a stream, or believes to.
struct Owner {
    of: usize,
    name: u32,
    epoch: u64,
    /// Up to where it has read the log, and what that comes to.
    place: Place,
    state: StreamState,
    /// The same with its own frames that are on their way.
    ahead: StreamState,
    booked: BookedAt,
    /// Newest fold version of its program.
    knows: u32,
    /// It sleeps until this turn.
    asleep: u32,
    work: Work,
}

enum Work {
    Rater(Box<Rater>),
    Books(Box<Books>),
}

/// The world.
pub struct Pipeline {
    course: Course,
    dice: Dice,
    ids: SchemaIds,
    turn: u32,
    names: u32,
    bus: Events,
    /// All that switches have told, to be told again when a disk is lost.
    told_once: Vec<CallEvent>,
    /// Starts of the node that numbers events.
    boots: i64,
    /// Ends that come late, duplicates and the like: turn and record.
    coming: Vec<(u32, OnBus)>,
    sequence: u64,
    started: u32,
    logs: [Disk; 2],
    disks: u64,
    /// A bit that flipped and was not found yet: at the copy, of which stream.
    flipped: Option<(bool, usize)>,
    /// Streams whose bytes were refused; a person comes at this turn.
    refused: [bool; 2],
    person: Option<u32>,
    /// Frames of owners that slept in the middle of a write: stream, turn of landing, bytes.
    flying: Vec<(usize, u32, Vec<u8>)>,
    owners: Vec<Owner>,
    copy: Copy,
    oracles: [Oracle; 2],
    /// Version ordered, and from which turn's clock on.
    order: Option<(u32, i64)>,
    /// Newest version of the programs that are started now.
    program: u32,
    /// What the machine's clock is wrong by.
    skew: i64,
    /// What each call truly costs, in cents, by key.
    truth: Vec<i64>,
    confirmed: Vec<(usize, u64, [u8; 32])>,
    /// Payments that people have ordered, and those of which they were told that they are booked.
    orders: Vec<Payment>,
    told_booked: BTreeSet<usize>,
    healing: bool,
    broken: Option<Violation>,
    told: Option<Vec<String>>,
    done: Done,
    builder: FrameBuilder,
}

/// Runs one course to its end.
pub fn run(course: &Course) -> Result<Done, Violation> {
    Pipeline::new(course.clone()).run()
}

/// The smallest course that breaks the same rule, told: its last events, then the rule.
pub fn tell(course: &Course, violation: &Violation) -> String {
    let breaks = |course: &Course| run(course).is_err_and(|other| other.rule == violation.rule);
    let mut best = course.clone();
    for harm in Harm::ALL {
        let mut without = best.clone();
        without.without.push(harm);
        if breaks(&without) {
            best = without;
        }
    }
    for turns in [10, 20, 40, 80, 160] {
        let shorter = Course { turns, ..best.clone() };
        if turns < best.turns && breaks(&shorter) {
            best = shorter;
            break;
        }
    }
    let mut world = Pipeline::new(best.clone());
    world.told = Some(Vec::new());
    let end = world.run();
    let told = world.told.unwrap_or_default();
    let last = &told[told.len().saturating_sub(60)..];
    format!(
        "seed {} (TANDEM_PIPELINE_SEED={} reproduces it), made smaller:\n{best:?}\n{}\n{}\n",
        course.seed,
        course.seed,
        last.join("\n"),
        end.err().map_or_else(|| violation.to_string(), |end| end.to_string())
    )
}

/// The reader's rule on one record; `None`: it does not count.
fn accepts<'a>(
    state: &mut StreamState,
    record: &'a [u8],
    ids: &SchemaIds,
    slip: Option<Slip>,
) -> Option<StreamRecord<'a>> {
    let read = decode_record(record, ids).ok()?;
    let verdict = match &read {
        StreamRecord::Fence(fence) => state.fold_fence(fence),
        StreamRecord::Frame(frame) => {
            let mut meta = frame.meta();
            if slip == Some(Slip::OldEpochCounts) {
                meta.epoch = state.epoch();
            }
            state.fold_frame(&meta)
        }
    };
    (verdict == Verdict::Accepted).then_some(read)
}

fn fence_of(stream: usize, epoch: u64, name: u32, ids: &SchemaIds) -> Vec<u8> {
    let mut bytes = Vec::new();
    let owner = format!("owner {name}").into();
    encode_fence(&Fence { stream: STREAMS[stream].into(), epoch, owner }, ids, &mut bytes);
    bytes
}
