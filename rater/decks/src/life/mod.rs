//! The life of a deck after its file has been read: versions merged from amendments, compared, and weighed by traffic.
//! Never reads a clock or a file: instants and traffic come as arguments.

pub mod announce;
pub mod charge;
pub mod diff;
pub mod effect;
pub mod exchange;
pub mod floors;
pub mod merge;
pub mod review;
pub mod rows;
#[cfg(test)]
mod tests;

pub use charge::{Charge, Sum, charge};
pub use diff::{Change, Class, Covered, Diff, diff};
pub use effect::{Effect, Line, effect};
pub use exchange::exchanged;
pub use floors::{Buying, Floor, Priced, floors};
pub use merge::{Backdated, Kind, Merged, Missing, Plan, backdated, merge};
pub use review::{Cause, Moment, Review, Warned, Warning, dispute, review, warnings};
pub use rows::{Row, RowRef, Rows};
