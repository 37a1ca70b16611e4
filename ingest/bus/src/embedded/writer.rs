//! A writer to one embedded topic: hands records to the partition's log. Keeps no state of its own.

use std::sync::Arc;
use std::time::Duration;

use super::log::Log;
use crate::api::{Appended, Record, Ticket, Writer};
use crate::error::BusError;

pub struct EmbeddedWriter {
    topic: String,
    logs: Vec<Arc<Log>>,
}

impl EmbeddedWriter {
    pub fn new(topic: &str, logs: Vec<Arc<Log>>) -> EmbeddedWriter {
        EmbeddedWriter { topic: topic.to_owned(), logs }
    }

    fn log(&self, partition: u32) -> Result<&Log, BusError> {
        self.logs.get(partition as usize).map(Arc::as_ref).ok_or_else(|| BusError::UnknownPartition {
            topic: self.topic.clone(),
            partition,
            partitions: self.logs.len() as u32,
        })
    }
}

impl Writer for EmbeddedWriter {
    fn submit(&mut self, partition: u32, records: &[Record<'_>]) -> Result<Ticket, BusError> {
        self.log(partition)?.submit(records)
    }

    fn wait(&mut self, ticket: Ticket, timeout: Duration) -> Result<Option<Appended>, BusError> {
        self.log(ticket.partition)?.wait(ticket, timeout)
    }
}
