//! Where the streams of a site stand on the bus.

use smol_str::{SmolStr, format_smolstr};

/// A stream and the partition that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    pub stream: SmolStr,
    pub topic: String,
    pub partition: u32,
}

/// `ledger.SITE`: one stream, one topic, one partition.
pub fn ledger_source(site: &str) -> Source {
    let stream = format_smolstr!("ledger.{site}");
    Source { topic: stream.to_string(), stream, partition: 0 }
}

/// `xdrs.SITE.P`.
pub fn xdrs_source(site: &str, partition: u32) -> Source {
    source_of(&format_smolstr!("xdrs.{site}.{partition}"))
}

/// Where a stream named in a frame's inputs stands: a topic of its own with one partition.
pub fn source_of(stream: &SmolStr) -> Source {
    Source { stream: stream.clone(), topic: stream.to_string(), partition: 0 }
}
