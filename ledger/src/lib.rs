//! The ledger process: books what the raters write and what people order into `ledger.SITE`, keeps the balances as
//! the fold of it, answers questions, and proves itself. The money's rules are in `accounting`; this crate does the
//! reading, writing and waiting.

pub mod api;
pub mod bench;
pub mod error;
pub mod fold;
pub mod folds;
pub mod follower;
pub mod frames;
pub mod http;
pub mod mail;
pub mod orders;
pub mod past;
pub mod poster;
pub mod prove;
pub mod rated;
pub mod refold;
pub mod run;
pub mod shadow;
pub mod shared;
pub mod sites;
pub mod snapshot;
pub mod standing;
pub mod streams;
pub mod verify;
pub mod view;

pub use accounting::{Balance, Payment, Total, TrialRow};
pub use api::{EntryFilter, EntryPage, EntryRow, Order, Page, Receipt, Status};
pub use error::LedgerError;
pub use follower::Follower;
pub use mail::Mail;
pub use orders::{CreditAnswer, CreditAsk, CreditError, OrderError, Orders};
pub use past::{Past, PastError, UpTo};
pub use prove::{ProveError, Prover, Wish};
pub use refold::{Refold, Refolded};
pub use run::notices::newest as newest_notices;
pub use run::{Door, LedgerOptions, door, run, spawn};
pub use shared::Certified;
pub use sites::SitesStatus;
pub use standing::Standing;
pub use verify::{Break, BreakKind, Kept, Report, inspect_folder, verify, verify_copy, verify_with};
pub use view::{CallRefused, CallReplaced, ConfigNow, LedgerView, RunOutcome, View};

#[cfg(test)]
mod tests;
