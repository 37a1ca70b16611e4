//! Mistakes on purpose, for the simulator to find (`reference/rights.md` section 6). They exist only with the feature
//! `seeded-bugs`, which the binary never has.

/// One mistake each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Bug {
    /// A pull is answered without looking at the own rights.
    GiveUnchecked,
    /// An extension is held without looking at the own rights.
    ExtendUnchecked,
    /// A lowered limit is taken without looking at the own rights.
    TakeUnchecked,
    /// What goes beyond the hold is booked as held.
    OverAsHeld,
    /// A hold expires while the call may be going on.
    EarlyExpiry,
    /// The reserve is an allowance that begins anew with every contact.
    ReserveRenewed,
    /// The reserve is used though no pull failed.
    ReserveUnasked,
    /// An end is known by memory alone, and forgotten in a crash.
    EndForgotten,
    /// The site goes on before its own stream is read to the end.
    ResumeEarly,
    /// Frames are folded over a gap.
    FoldOverGap,
    /// An announced Give is spent, and again with its frame.
    GiveTwice,
    /// Debts are remembered at their highest.
    DebtAtHighest,
    /// An announcement names a wrong sequence.
    WrongSequence,
    /// A hold of a call that was charged elsewhere is released without passing its cover on.
    CoverKept,
    /// A call is charged again where another site's charge is known and lost.
    NeverReversed,
}

impl Bug {
    pub const ALL: [Self; 15] = [
        Self::GiveUnchecked,
        Self::ExtendUnchecked,
        Self::TakeUnchecked,
        Self::OverAsHeld,
        Self::EarlyExpiry,
        Self::ReserveRenewed,
        Self::ReserveUnasked,
        Self::EndForgotten,
        Self::ResumeEarly,
        Self::FoldOverGap,
        Self::GiveTwice,
        Self::DebtAtHighest,
        Self::WrongSequence,
        Self::CoverKept,
        Self::NeverReversed,
    ];
}
