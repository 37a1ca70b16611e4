//! Owners that claim a stream, write with stale eyes, die, and whose frames land late, twice or not at all.

use facts::stream::{Fence, FrameMeta, Input, StreamState, Verdict};
use facts::xdr::Position;
use smallvec::smallvec;
use stateright::{Model, Property};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

const STREAM: &str = "xdrs.main.0";
const SOURCE: &str = "source";

/// A record of the log; a frame consumes one item of the source. Its previous hash is that of the accepted frame before
/// it, which is the same one for whoever has read so far.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Record {
    Fence { owner: u8, epoch: u8 },
    Frame { owner: u8, epoch: u8, seq: u8, from: u8 },
}

impl Record {
    fn owned_by(self, by: &[u8]) -> Self {
        match self {
            Self::Fence { owner, epoch } => Self::Fence { owner: by[owner as usize], epoch },
            Self::Frame { owner, epoch, seq, from } => Self::Frame { owner: by[owner as usize], epoch, seq, from },
        }
    }
}

/// What an owner knows: how far it has read, and the epoch that it has claimed. All else is the fold of what it read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
struct Owner {
    read: u8,
    epoch: u8,
}

/// One state stands for all that nobody could tell apart ([`Fences::same`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct State {
    /// What was accepted. A void record changes nothing for any reader, so it is left out and there may be any number.
    log: Vec<Record>,
    /// Sent and not yet in the log; rising, so that their order makes no other state.
    flying: Vec<Record>,
    owners: Vec<Owner>,
    /// Frames that their owners have acted on and that are not in the log: one in the log stays there.
    confirmed: Vec<Record>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    /// Claims by what it has read, however stale.
    Claim(u8),
    Read(u8),
    Send(u8),
    Land(u8),
    /// Lands and flies on: it comes twice.
    LandTwice(u8),
    Die(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mistake {
    None,
    /// The broker's word that a frame is there is taken for its acceptance.
    ConfirmedWhenLanded,
    /// A reader lets a frame of an old owner count.
    OldEpochCounts,
}

struct Fences {
    owners: u8,
    /// Records that are accepted or that may still be.
    records: usize,
    mistake: Mistake,
}

fn hash_of(record: &Record) -> [u8; 32] {
    let mut hasher = DefaultHasher::new();
    record.hash(&mut hasher);
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&hasher.finish().to_le_bytes());
    hash
}

/// Hash of the accepted frame with this sequence; zeros for 0.
fn hash_at(log: &[Record], seq: u8) -> [u8; 32] {
    let frame = log.iter().find(|record| matches!(record, Record::Frame { seq: at, .. } if *at == seq));
    frame.map_or([0; 32], hash_of)
}

impl Fences {
    /// The product's rule, fed by a reader that may make a mistake. `log` is what was accepted before.
    fn fold(&self, state: &mut StreamState, log: &[Record], record: &Record) -> bool {
        let verdict = match *record {
            Record::Fence { owner, epoch } => state.fold_fence(&Fence {
                stream: STREAM.into(),
                epoch: u64::from(epoch),
                owner: format!("owner {owner}").into(),
            }),
            Record::Frame { epoch, seq, from, .. } => {
                let old = self.mistake == Mistake::OldEpochCounts;
                let at = |n: u8| Position { seq: 1 + u64::from(n), index: 0 };
                state.fold_frame(&FrameMeta {
                    stream: STREAM.into(),
                    epoch: if old { state.epoch() } else { u64::from(epoch) },
                    seq: u64::from(seq),
                    prev_hash: hash_at(log, seq - 1),
                    hash: hash_of(record),
                    inputs: smallvec![Input::Stream { stream: SOURCE.into(), from: at(from), to: at(from + 1) }],
                })
            }
        };
        verdict == Verdict::Accepted
    }

    /// Folds a log in which everything was accepted once; what is accepted now.
    fn folded(&self, log: &[Record]) -> (StreamState, Vec<Record>) {
        let (mut state, mut accepted) = (StreamState::new(STREAM), Vec::new());
        for (at, record) in log.iter().enumerate() {
            if self.fold(&mut state, &log[..at], record) {
                accepted.push(*record);
            }
        }
        (state, accepted)
    }

    /// Reads one record; an owner that finds its own frame accepted acts on it.
    fn read(&self, state: &mut State, of: usize) {
        let owner = state.owners[of];
        let (mut known, _) = self.folded(&state.log[..owner.read as usize]);
        let record = state.log[owner.read as usize];
        let accepted = self.fold(&mut known, &state.log, &record);
        let own = matches!(record, Record::Frame { owner: by, epoch, .. } if by as usize == of && epoch == owner.epoch);
        state.owners[of].read += 1;
        if accepted && own {
            state.confirmed.push(record);
        }
    }

    fn land(&self, state: &mut State, place: usize) {
        let record = state.flying[place];
        let (mut known, _) = self.folded(&state.log);
        if self.fold(&mut known, &state.log, &record) {
            state.log.push(record);
        }
        if matches!(record, Record::Frame { .. }) && self.mistake == Mistake::ConfirmedWhenLanded {
            state.confirmed.push(record);
        }
    }

    /// Whether a record on its way can never be accepted any more: epochs and sequences only rise.
    fn is_dead(&self, head: &StreamState, record: &Record) -> bool {
        match *record {
            Record::Fence { epoch, .. } => u64::from(epoch) <= head.epoch(),
            Record::Frame { epoch, seq, .. } => {
                let stale = u64::from(epoch) < head.epoch() && self.mistake == Mistake::None;
                stale || u64::from(seq) <= head.seq()
            }
        }
    }

    /// The one that stands for all states that behave alike: without what can never count, with owners in order.
    fn same(&self, mut state: State) -> State {
        if self.mistake != Mistake::ConfirmedWhenLanded {
            let (head, _) = self.folded(&state.log);
            state.flying.retain(|record| !self.is_dead(&head, record));
            // Of two that are the same the second is a repeat.
            state.flying.sort_unstable();
            state.flying.dedup();
            // Whatever is sent under an epoch that is over never counts.
            let over = |owner: &&mut Owner| self.mistake == Mistake::None && u64::from(owner.epoch) < head.epoch();
            state.owners.iter_mut().filter(over).for_each(|owner| owner.epoch = 0);
        }
        state.confirmed.retain(|record| !state.log.contains(record));
        let orders: &[&[u8]] = match self.owners {
            2 => &[&[0, 1], &[1, 0]],
            _ => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
        };
        let turned = orders.iter().map(|by| {
            let all = |records: &[Record]| records.iter().map(|record| record.owned_by(by)).collect::<Vec<_>>();
            let mut turned = State {
                log: all(&state.log),
                flying: all(&state.flying),
                confirmed: all(&state.confirmed),
                ..state.clone()
            };
            turned.flying.sort_unstable();
            turned.confirmed.sort_unstable();
            turned.confirmed.dedup();
            for (from, to) in by.iter().enumerate() {
                turned.owners[*to as usize] = state.owners[from];
            }
            turned
        });
        turned.min().unwrap_or(state.clone())
    }
}

impl Model for Fences {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let owners = vec![Owner::default(); self.owners as usize];
        vec![State { log: Vec::new(), flying: Vec::new(), owners, confirmed: Vec::new() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Act>) {
        let room = state.log.len() + state.flying.len() < self.records;
        for (number, owner) in (0u8..).zip(&state.owners) {
            if (owner.read as usize) < state.log.len() {
                actions.push(Act::Read(number));
            }
            if room {
                actions.push(Act::Claim(number));
            }
            if room && owner.epoch > 0 {
                actions.push(Act::Send(number));
            }
            if *owner != Owner::default() {
                actions.push(Act::Die(number));
            }
        }
        for place in 0..state.flying.len() as u8 {
            actions.push(Act::Land(place));
            if room {
                actions.push(Act::LandTwice(place));
            }
        }
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        let mut state = last.clone();
        match act {
            Act::Read(owner) => self.read(&mut state, owner as usize),
            Act::Claim(owner) => {
                let known = &mut state.owners[owner as usize];
                let (folded, _) = self.folded(&state.log[..known.read as usize]);
                known.epoch = u8::try_from(folded.epoch()).ok()? + 1;
                state.flying.push(Record::Fence { owner, epoch: known.epoch });
            }
            // Even before it has read its own fence: all safety is in the reader's rule.
            Act::Send(owner) => {
                let known = state.owners[owner as usize];
                let (folded, _) = self.folded(&state.log[..known.read as usize]);
                let next = folded.next_position(SOURCE).seq - 1;
                state.flying.push(Record::Frame {
                    owner,
                    epoch: known.epoch,
                    seq: u8::try_from(folded.seq()).ok()? + 1,
                    from: u8::try_from(next).ok()?,
                });
            }
            Act::Land(place) => {
                self.land(&mut state, place as usize);
                state.flying.remove(place as usize);
            }
            Act::LandTwice(place) => self.land(&mut state, place as usize),
            Act::Die(owner) => state.owners[owner as usize] = Owner::default(),
        }
        let state = self.same(state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("every input counts once, in order", |model: &Fences, state: &State| {
                let (_, accepted) = model.folded(&state.log);
                let inputs = accepted.iter().filter_map(|record| match record {
                    Record::Frame { from, .. } => Some(*from),
                    Record::Fence { .. } => None,
                });
                inputs.enumerate().all(|(n, from)| n == from as usize)
            }),
            Property::always("what was acted on counts", |model: &Fences, state: &State| {
                let (_, accepted) = model.folded(&state.log);
                state.confirmed.iter().all(|record| accepted.contains(record))
            }),
            Property::always("behind a fence only its owner's epoch counts", |model: &Fences, state: &State| {
                let (_, accepted) = model.folded(&state.log);
                let mut current = 0;
                accepted.iter().all(|record| match record {
                    Record::Fence { epoch, .. } => {
                        let higher = *epoch > current;
                        current = *epoch;
                        higher
                    }
                    Record::Frame { epoch, .. } => *epoch == current,
                })
            }),
            Property::sometimes("an owner is fenced off and the next goes on", |model: &Fences, state: &State| {
                let (_, accepted) = model.folded(&state.log);
                let of = |record: &Record| match record {
                    Record::Frame { owner, .. } => Some(*owner),
                    Record::Fence { .. } => None,
                };
                let owners: Vec<u8> = accepted.iter().filter_map(of).collect();
                owners.windows(2).any(|two| two[0] != two[1])
            }),
        ]
    }
}

const HANDED_ON: &str = "an owner is fenced off and the next goes on";

#[test]
fn no_order_of_claims_deaths_and_late_frames_counts_an_input_twice_or_voids_what_was_acted_on() {
    let bounds: &[(u8, usize)] = if super::night() { &[(2, 7), (3, 5)] } else { &[(2, 6), (3, 4)] };
    for &(owners, records) in bounds {
        let begin = std::time::Instant::now();
        let (states, found) = super::all(Fences { owners, records, mistake: Mistake::None });
        println!("{owners} owners, {records} records: {states} states in {:.1} s", begin.elapsed().as_secs_f32());
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [HANDED_ON], "{found:#?}");
        assert!(states > 1_000, "{states}");
    }
}

#[test]
fn mistakes_of_readers_and_owners_are_found() {
    let finds = |mistake, property: &str| {
        let (_, found) = super::all(Fences { owners: 2, records: 4, mistake });
        assert!(found.iter().any(|(name, _)| *name == property), "{mistake:?}: {found:#?}");
    };
    finds(Mistake::ConfirmedWhenLanded, "what was acted on counts");
    finds(Mistake::OldEpochCounts, "behind a fence only its owner's epoch counts");
}
