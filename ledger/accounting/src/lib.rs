//! Double entry for calls: what a rated call, a payment or a correction comes to in balanced entries, and the book
//! that is the fold of them. Pure: entries in, balances out; where entries are stored is the ledger process's matter.

pub mod attempts;
pub mod authorise;
pub mod book;
pub mod call_table;
pub mod credit;
pub mod current;
pub mod fold_version;
pub mod history;
pub mod holds;
pub mod invariants;
pub mod limits;
pub mod lines;
pub mod net;
pub mod newcomers;
pub mod notices;
pub mod overruns;
pub mod pay;
pub mod post;
pub mod rights;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod scopes;
mod snapshot;
pub mod views;
pub mod vouchers;
pub mod wants;

pub use book::{Applied, Book, BookError, Counts};
pub use current::{CurrentCall, CurrentSide};
pub use fold_version::FoldVersionError;
pub use history::History;
pub use lines::{Line, Lines};
pub use pay::{PayRefusal, Payment};
pub use post::{Outcome, Posted, Posting, PricedCall, PricedSide, entries_for};
pub use snapshot::LoadError;
pub use views::{Balance, StatementRow, Total, TrialRow};

/// Version of the fold: a snapshot of another version is not read, and frames name it. Raised whenever the same
/// frames would lead to another state root.
pub const FOLD_VERSION: u32 = 1;

/// The version after it, which no release runs: by it tests go from one version to the next (`fold_version`).
pub const TRIAL_FOLD: u32 = FOLD_VERSION + 1;
