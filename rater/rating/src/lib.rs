//! Rating, pure: events to calls, calls to priced sides (design sections 4, 6, 7). Facts in, facts out.
//!
//! Never reads a clock, a file or a socket; never keeps money in a float; never decides what is booked.

mod areas;
pub mod assemble;
pub mod bands;
pub mod country;
pub mod deck;
pub mod exact;
pub mod explain;
pub mod identify;
mod intervals;
pub mod least;
pub mod offer;
mod origin;
pub mod price;
mod provisional;
pub mod quote;
pub mod rate;
pub mod rerate;
mod sides;
pub mod tariffs;
mod tax;

pub use assemble::{Assembler, CallIndex, DedupeIndex, Known, Limits, NoKeys, Origin, Outcome, Pushed, apply_late};
pub use deck::{Chosen, CompileError, CompiledDeck, DeckBuilder, Tie};
pub use explain::explain;
pub use identify::{Overlap, check_overlaps};
pub use offer::{LevelOffer, Offers, Wish};
pub use price::{Ask, Priced, Terms, price};
pub use sides::SidePrice;
pub use tariffs::Tariffs;
