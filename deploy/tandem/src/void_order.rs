//! `tandem config void`: an operator's order that raters pass over one record of call-events, because it says that it
//! was observed in a future that will not come (design 6.7). Refused for any other record.

use crate::node::{Node, wall_micros};
use crate::ops::Answer;
use crate::output::Failure;
use bus::Batch;
use facts::call::BusRecord;
use facts::config::{ConfigItem, VoidOrder};
use facts::time::ObservedAt;
use std::time::Duration;

/// A rater waits by itself for a record that is no further ahead than this.
const AHEAD: i64 = 5_000_000;

/// Looks at the record and writes the order as a new configuration version.
pub fn give(node: &Node, partition: u32, offset: u64, by: &str, reason: &str) -> Result<Answer, Failure> {
    let place = format!("call-events/{partition} offset {offset}");
    let refused = |why: String| Failure::Usage(format!("{place}: {why}; nothing was ordered"));
    if reason.trim().is_empty() {
        return Err(refused("an order needs a reason".to_owned()));
    }
    if node.config.current().voids.contains_key(&(partition, offset)) {
        let notes = vec![format!("{place}: the order stands already")];
        return Ok(Answer { notes, json: Some(serde_json::json!({ "changes": 0 })), ..Answer::default() });
    }
    let (what, observed_at) = look(node, partition, offset, &refused)?;
    let ahead = observed_at.micros().saturating_sub(wall_micros());
    if ahead <= AHEAD {
        let when = format!("{what} was observed at {observed_at}, which is not in the future");
        return Err(refused(when));
    }
    let order = VoidOrder { partition, offset, reason: reason.to_owned() };
    let comment = format!("void {place}: {reason}");
    let seq = node.publish(&[ConfigItem::VoidOrder(order)], by, &comment)?;
    let notes = vec![
        format!("{place}: {what}, observed at {observed_at}, is passed over"),
        format!("configuration version {seq} is in force"),
    ];
    let json = serde_json::json!({ "changes": 1, "config_seq": seq, "partition": partition, "offset": offset });
    Ok(Answer { notes, json: Some(json), ..Answer::default() })
}

/// The record at a place: what it is, and when it says that it was observed.
fn look(
    node: &Node,
    partition: u32,
    offset: u64,
    refused: &dyn Fn(String) -> Failure,
) -> Result<(String, ObservedAt), Failure> {
    let topic = ingest::writer::TOPIC;
    if partition >= node.settings.partitions {
        return Err(refused(format!("there are only {} partitions", node.settings.partitions)));
    }
    let (begin, end) = (node.bus.begin(topic, partition), node.bus.end(topic, partition));
    let (begin, end) = (begin.map_err(Failure::broken)?, end.map_err(Failure::broken)?);
    if !(begin..end).contains(&offset) {
        return Err(refused(format!("there are records from {begin} to {}", end.saturating_sub(1))));
    }
    let mut reader = node.bus.reader(topic, partition, offset).map_err(Failure::broken)?;
    let mut batch = Batch::new();
    reader.poll(&mut batch, 1, Duration::from_secs(10)).map_err(Failure::broken)?;
    let record = batch.iter().next().filter(|record| record.offset == offset);
    let record = record.ok_or_else(|| refused("no record stands there".to_owned()))?;
    match schemas::bus_record::decode(record.value, &node.ids) {
        Ok(BusRecord::Event(event)) => {
            Ok((format!("{:?} of call {} of {}", event.kind, event.call_key, event.switch), event.observed_at))
        }
        Ok(BusRecord::Tick { node, observed_at }) => Ok((format!("a tick of {node}"), observed_at)),
        Ok(BusRecord::Reject(reject)) => Ok((format!("a reject of {}", reject.source), reject.observed_at)),
        Ok(BusRecord::ImportEnd(end)) => Ok((format!("the end of import {}", end.file), end.observed_at)),
        Ok(_) => Err(refused("this record carries no time".to_owned())),
        Err(error) => Err(refused(format!("cannot be read ({error}); the rater passes over it by itself"))),
    }
}
