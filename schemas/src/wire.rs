//! The Avro records as they stand in the bytes: borrowed, generated from `avro/*.avsc` by build.rs. For crates that
//! read or write a hot stream; everybody else takes the facts from the modules beside.

#![allow(clippy::all, clippy::pedantic, reason = "generated")]
#![allow(unused_parens, unused_mut, reason = "generated")]
#![allow(missing_docs, reason = "generated from the schemas' doc strings")]

use crate::codec::{self, Reader, Stop};
use crate::error::{DecodeError, Problem};
use smallvec::SmallVec;

include!(concat!(env!("OUT_DIR"), "/wire.rs"));
