//! Facts as bytes: Avro in Confluent wire format, the frame of a stream, and the items in it. Pure: it never fetches
//! a schema, never reads a clock, never touches a file. See README.md for the rules by which schemas may change.

pub mod bus_record;
pub mod codec;
pub mod config;
pub mod deck_rows;
pub mod error;
pub mod frame;
pub mod ids;
pub mod ledger;
pub mod notice;
pub mod run_order;
pub mod wire;
pub mod xdr_out;
pub mod xdrs;

pub use error::{DecodeError, Problem};
pub use frame::{FrameBuilder, FrameFull, FrameHeader, FrameView, StreamRecord};
pub use ids::{Schema, SchemaIds};

#[cfg(test)]
mod tests;
