//! A reader on Kafka: a consumer assigned to one partition at one offset. No group, no commit, no reset: an offset that
//! the log does not hold is an error. Records are copied into the batch, so that the client's queue stays free.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Shared, Watch, is_passing, is_unknown_topic, trouble};
use super::{ASK, KafkaConfig};
use crate::api::{Batch, Reader};
use crate::error::BusError;
use crate::incarnation;

const MOST_READ: usize = 64 << 20;
/// A stop is noticed within this time.
const LOOK: Duration = Duration::from_millis(100);

pub struct KafkaReader {
    consumer: BaseConsumer<Watch>,
    asking: Arc<BaseConsumer<Watch>>,
    shared: Arc<Shared>,
    topic: String,
    partition: u32,
    position: u64,
    /// Met after records that were handed out first.
    pending: Option<KafkaError>,
}

impl KafkaReader {
    pub fn new(
        config: &KafkaConfig,
        shared: &Arc<Shared>,
        asking: &Arc<BaseConsumer<Watch>>,
        (topic, partition): (&str, u32),
        from: u64,
    ) -> Result<KafkaReader, BusError> {
        let reader = KafkaReader {
            consumer: client::consumer(config, shared, true)?,
            asking: Arc::clone(asking),
            shared: Arc::clone(shared),
            topic: topic.to_owned(),
            partition,
            position: from,
            pending: None,
        };
        reader.assign()?;
        Ok(reader)
    }

    fn assign(&self) -> Result<(), BusError> {
        let what = || format!("reading {}/{}", self.topic, self.partition);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, self.partition as i32, Offset::Offset(self.position as i64))
            .map_err(|e| trouble(&what(), &e))?;
        self.consumer.assign(&list).map_err(|e| trouble(&what(), &e))
    }

    /// What an error means; `None`: it passes by itself.
    fn judge(&self, error: &KafkaError) -> Option<BusError> {
        let what = format!("reading {}/{} at {}", self.topic, self.partition, self.position);
        let Some(code) = error.rdkafka_error_code() else { return Some(trouble(&what, error)) };
        match code {
            Code::PartitionEOF => None,
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                let bounds = self.asking.fetch_watermarks(&self.topic, self.partition as i32, ASK);
                let (begin, end) = match bounds {
                    Ok((begin, end)) => (begin.max(0) as u64, end.max(0) as u64),
                    Err(error) => return self.judge_unasked(&error),
                };
                let (topic, partition, asked) = (self.topic.clone(), self.partition, self.position);
                if asked > end {
                    // What was read is not there any more: somebody has made the topic anew.
                    let reason = format!("partition {partition} ends at {end}, it was read up to {asked}");
                    return Some(self.lost(reason));
                }
                Some(BusError::OffsetOutOfRange { topic, partition, asked, begin, end })
            }
            code if is_unknown_topic(code) => Some(self.lost("the brokers do not know it any more".to_owned())),
            code if is_passing(code) => {
                tracing::debug!(%error, "{what}");
                None
            }
            _ => Some(trouble(&what, error)),
        }
    }

    /// The offset is not there, and asking what is there failed too.
    fn judge_unasked(&self, error: &KafkaError) -> Option<BusError> {
        match error.rdkafka_error_code() {
            Some(code) if is_passing(code) => None,
            Some(code) if is_unknown_topic(code) => Some(self.lost("the brokers do not know it any more".to_owned())),
            _ => Some(trouble(&format!("asking for the offsets of {}/{}", self.topic, self.partition), error)),
        }
    }

    fn lost(&self, reason: String) -> BusError {
        let error = BusError::TopicLost { topic: self.topic.clone(), reason };
        self.shared.note_lost(&error);
        error
    }

    /// One message, or an error that does not pass.
    fn take(&mut self, batch: &mut Batch, wait: Duration) -> Result<bool, KafkaError> {
        match self.consumer.poll(wait) {
            None => Ok(false),
            Some(Err(error)) => Err(error),
            Some(Ok(message)) => {
                let offset = message.offset().max(0) as u64;
                if offset >= self.position {
                    let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
                    self.position = offset + 1;
                    if incarnation::decode(key, value).is_none() {
                        batch.push_copy(offset, message.timestamp().to_millis().unwrap_or(0), key, value);
                    }
                }
                Ok(true)
            }
        }
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, batch: &mut Batch, max_bytes: usize, timeout: Duration) -> Result<usize, BusError> {
        batch.clear();
        let deadline = crate::api::deadline(timeout);
        let max_bytes = max_bytes.min(MOST_READ);
        if let Some(error) = self.pending.take()
            && let Some(error) = self.judge(&error)
        {
            return Err(error);
        }
        loop {
            self.shared.check_stop()?;
            self.shared.check_lost(&self.topic)?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.take(batch, if batch.is_empty() { left.min(LOOK) } else { Duration::ZERO }) {
                Ok(true) if batch.filled < max_bytes => {}
                Ok(true) => return Ok(batch.len()),
                Ok(false) if !batch.is_empty() || left.is_zero() => return Ok(batch.len()),
                Ok(false) => {}
                Err(error) if !batch.is_empty() => {
                    self.pending = Some(error);
                    return Ok(batch.len());
                }
                Err(error) => match self.judge(&error) {
                    Some(error) => return Err(error),
                    None if left.is_zero() => return Ok(0),
                    // Do not spin on an error that is repeated at once.
                    None => std::thread::sleep(Duration::from_millis(10).min(left)),
                },
            }
        }
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn seek(&mut self, offset: u64) -> Result<(), BusError> {
        let what = format!("asking for the offsets of {}/{}", self.topic, self.partition);
        let (begin, end) =
            self.asking.fetch_watermarks(&self.topic, self.partition as i32, ASK).map_err(|e| trouble(&what, &e))?;
        let (begin, end) = (begin.max(0) as u64, end.max(0) as u64);
        if offset < begin || offset > end {
            let (topic, partition) = (self.topic.clone(), self.partition);
            return Err(BusError::OffsetOutOfRange { topic, partition, asked: offset, begin, end });
        }
        self.position = offset;
        self.pending = None;
        self.assign()
    }
}
