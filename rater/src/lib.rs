//! The rater process: one thread per partition turns `call-events` into frames of rated calls on `xdrs.SITE.P`,
//! exactly once in effect. It reads and writes the bus and the clock; what a call is and what it costs is `rating`'s.

pub mod bench;
mod index;
mod options;
mod recover;
mod run;
pub mod runs;
pub mod tariffs;

pub use index::{CallPlaces, IndexError, Keys};
pub use options::{ConfigNow, RaterError, RaterOptions, RaterStats, Seen};
pub use run::run_partition;
pub use tariffs::{DeckCache, tariffs_of};

/// Version of the fold that makes rated calls from events; named in every frame.
pub const FOLD_VERSION: u32 = 1;
