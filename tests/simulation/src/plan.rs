//! What a seed stands for: how many sites, how bad the surroundings, what the calls are like.

use crate::dice::Dice;
use crate::mistakes::Mistake;
use std::collections::BTreeSet;

pub const SECOND: i64 = 1_000_000;
pub const CENT: i128 = facts::money::ONE / 100;

/// What can be left out of a run, to make a failing one smaller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    Crash,
    FallBack,
    Drop,
    Repeat,
    Cut,
    /// Ends at other sites than the hold's, or at several.
    Elsewhere,
    /// Ends that come after the hold has expired.
    LateEnd,
    /// A call that is asked for again elsewhere since no answer came.
    AskAgain,
    Unguarded,
    Money,
    Limits,
    /// A line goes from strict to tolerant, back, or to another reserve.
    Mode,
}

impl Fault {
    pub const ALL: [Self; 12] = [
        Self::Crash,
        Self::FallBack,
        Self::Drop,
        Self::Repeat,
        Self::Cut,
        Self::Elsewhere,
        Self::LateEnd,
        Self::AskAgain,
        Self::Unguarded,
        Self::Money,
        Self::Limits,
        Self::Mode,
    ];
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub sites: u16,
    pub lines: u16,
    /// Calls and orders before the world heals.
    pub operations: u32,
    /// No site may go below zero.
    pub strict: bool,
    /// The reserve of all sites, in permille of the limit.
    pub reserve: i64,
    /// Calls of a typical cost that a line's limit suffices for.
    pub depth: i64,
    /// Of a thousand parcels.
    pub drops: u32,
    pub repeats: u32,
    /// Longest way of a parcel, microseconds.
    pub delay: i64,
    /// Of a thousand writes.
    pub crashes: u32,
    /// Of a thousand operations.
    pub cuts: u32,
    /// Frames in one parcel.
    pub batch: u64,
    pub tick: i64,
    pub step_seconds: u32,
    pub longest_call: i64,
    pub delay_limit: i64,
    pub surplus: i128,
    pub repay_at_once: bool,
    /// Of a thousand calls: the end is told elsewhere.
    pub elsewhere: u32,
    pub without: BTreeSet<Fault>,
    pub mistake: Option<Mistake>,
}

impl Plan {
    /// The run of a seed: everything is drawn from it, also how bad it is.
    pub fn of(seed: u64, operations: u32) -> Self {
        let mut dice = Dice::new(seed);
        let harsh = dice.chance(500);
        let strict = dice.chance(500);
        Self {
            seed,
            sites: dice.one_of(&[2, 2, 3, 3, 4, 5]),
            lines: dice.one_of(&[1, 2, 4, 8]),
            operations,
            strict,
            reserve: if strict { 0 } else { dice.one_of(&[50, 100, 400, 1_000]) },
            depth: dice.one_of(&[3, 10, 20, 60]),
            drops: if harsh { dice.one_of(&[50, 150, 300]) } else { dice.one_of(&[0, 5, 20]) },
            repeats: if harsh { dice.one_of(&[50, 300]) } else { dice.one_of(&[0, 20]) },
            delay: SECOND / 100 * if harsh { dice.one_of(&[20, 200, 6_000]) } else { dice.one_of(&[3, 10, 50]) },
            crashes: if harsh { dice.one_of(&[1, 3, 10]) } else { dice.one_of(&[0, 1]) },
            cuts: if harsh { dice.one_of(&[5, 15, 40]) } else { dice.one_of(&[0, 3]) },
            batch: dice.one_of(&[3, 20, 200]),
            tick: SECOND * dice.one_of(&[3, 5, 20]),
            step_seconds: dice.one_of(&[60, 300, 900]),
            longest_call: SECOND * dice.one_of(&[900, 3_600]),
            delay_limit: SECOND * dice.one_of(&[60, 300]),
            surplus: dice.one_of(&[0, 0, 50]) * CENT,
            repay_at_once: dice.chance(500),
            elsewhere: dice.one_of(&[20, 100, 600]),
            without: BTreeSet::new(),
            mistake: None,
        }
    }

    pub fn has(&self, fault: Fault) -> bool {
        !self.without.contains(&fault)
    }
}
