//! The bytes of the embedded log, and what they mean: blocks and their chain ([`block`]), the claim of what is durable
//! ([`head`]), reading a segment and telling a torn tail from damage ([`scan`]), and what a start makes of that
//! ([`recover`]). Bytes in, facts out: the bus brings them from files, the simulator from memory. It never reads a file,
//! and never decides to change one.

pub mod block;
pub mod head;
pub mod recover;
pub mod scan;

#[cfg(test)]
mod tests;

pub use block::{BlockHeader, Chain, HEADER, SegmentHeader};
pub use head::{Head, HeadRead};
pub use recover::{Tail, Wrong};
pub use scan::{Finding, Scan};
