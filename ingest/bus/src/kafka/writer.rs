//! A writer on Kafka: an idempotent producer of its own, and a thread that takes in the brokers' answers. Many records
//! are one ticket. A broker that is away fills the bounded queue and then blocks the writer; nothing is dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::KafkaConfig;
use super::client::{self, Shared, Watch, is_unknown_topic, lock, trouble};
use crate::api::{Appended, MAX_OPEN_TICKETS, MAX_RECORD_BYTES, MAX_SUBMIT_BYTES, Record, Ticket, Writer};
use crate::error::BusError;

/// The answers' thread looks after a stop this often.
const LOOK: Duration = Duration::from_millis(100);

pub struct KafkaWriter {
    producer: Arc<BaseProducer<Deliveries>>,
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    topic: String,
    partitions: u32,
    answers: Option<JoinHandle<()>>,
}

/// Tickets that are open, in order of their numbers.
struct Desk {
    state: Mutex<DeskState>,
    changed: Condvar,
    topic: String,
    shared: Arc<Shared>,
}

struct DeskState {
    /// Number of the first in `open`.
    base: u64,
    open: VecDeque<OpenTicket>,
    /// Offset that the next record of each partition is at least to have.
    ends: Vec<u64>,
    /// A final failure: everything after it fails too.
    failed: Option<Failed>,
    closing: bool,
}

#[derive(Clone)]
enum Failed {
    Lost(String),
    Refused(String),
}

struct OpenTicket {
    left: usize,
    first: u64,
    next: u64,
    error: Option<Failed>,
    spent: bool,
}

/// Where librdkafka's answers arrive.
#[derive(Clone)]
struct Deliveries {
    watch: Watch,
    desk: Arc<Desk>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    /// The ticket's number.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        self.desk.delivered(number as u64, result);
    }
}

impl Desk {
    fn delivered(&self, number: u64, result: &DeliveryResult<'_>) {
        let mut state = lock(&self.state);
        let failed = match result {
            Ok(message) => {
                let (partition, offset) = (message.partition().max(0) as usize, message.offset().max(0) as u64);
                let expected = state.ends.get(partition).copied().unwrap_or(0);
                if offset < expected {
                    let reason =
                        format!("partition {partition} gave offset {offset} where {expected} had been reached");
                    Some(Failed::Lost(reason))
                } else {
                    if let Some(end) = state.ends.get_mut(partition) {
                        *end = offset + 1;
                    }
                    state.answer(number, offset);
                    None
                }
            }
            Err((error, _)) => Some(match error.rdkafka_error_code() {
                Some(code) if is_unknown_topic(code) => Failed::Lost("the brokers do not know it any more".to_owned()),
                _ => Failed::Refused(error.to_string()),
            }),
        };
        let mut done = failed.is_some();
        if let Some(failed) = failed {
            let at = number.wrapping_sub(state.base) as usize;
            if let Some(ticket) = state.open.get_mut(at) {
                ticket.left = ticket.left.saturating_sub(1);
                ticket.error.get_or_insert_with(|| failed.clone());
            }
            state.failed.get_or_insert(failed);
        } else {
            let at = number.wrapping_sub(state.base) as usize;
            done |= state.open.get(at).is_some_and(|ticket| ticket.left == 0);
        }
        drop(state);
        if done {
            self.shared.note_back();
            self.changed.notify_all();
        }
    }

    fn error(&self, failed: &Failed) -> BusError {
        match failed {
            Failed::Lost(reason) => {
                let error = BusError::TopicLost { topic: self.topic.clone(), reason: reason.clone() };
                self.shared.note_lost(&error);
                error
            }
            Failed::Refused(reason) => {
                BusError::Kafka { what: format!("writing to {}", self.topic), reason: reason.clone() }
            }
        }
    }
}

impl DeskState {
    fn answer(&mut self, number: u64, offset: u64) {
        let at = number.wrapping_sub(self.base) as usize;
        if let Some(ticket) = self.open.get_mut(at) {
            ticket.left = ticket.left.saturating_sub(1);
            ticket.first = ticket.first.min(offset);
            ticket.next = ticket.next.max(offset + 1);
        }
    }

    /// Ends a ticket and forgets those at the front that are spent.
    fn spend(&mut self, number: u64) {
        let at = number.wrapping_sub(self.base) as usize;
        if let Some(ticket) = self.open.get_mut(at) {
            ticket.spent = true;
        }
        // Numbers of tickets with answers outstanding stay, so that a late answer finds its own or nothing.
        while self.open.front().is_some_and(|ticket| ticket.spent && ticket.left == 0) {
            self.open.pop_front();
            self.base += 1;
        }
    }
}

impl KafkaWriter {
    /// `ends`: the end of every partition now.
    pub fn new(
        config: &KafkaConfig,
        shared: &Arc<Shared>,
        topic: &str,
        ends: Vec<u64>,
    ) -> Result<KafkaWriter, BusError> {
        let partitions = ends.len() as u32;
        let desk = Arc::new(Desk {
            state: Mutex::new(DeskState { base: 0, open: VecDeque::new(), ends, failed: None, closing: false }),
            changed: Condvar::new(),
            topic: topic.to_owned(),
            shared: Arc::clone(shared),
        });
        let context = Deliveries { watch: Watch(Arc::clone(shared)), desk: Arc::clone(&desk) };
        let producer: BaseProducer<Deliveries> = client::producer_config(config)?
            .create_with_context(context)
            .map_err(|e| trouble("client settings", &e))?;
        let producer = Arc::new(producer);
        let answers = std::thread::Builder::new()
            .name(format!("kafka {topic}"))
            .spawn({
                let (producer, desk) = (Arc::clone(&producer), Arc::clone(&desk));
                // `poll` handles every answer as it comes and returns when its time is over.
                move || {
                    while !lock(&desk.state).closing {
                        producer.poll(LOOK);
                    }
                }
            })
            .map_err(|e| BusError::Kafka { what: format!("thread for {topic}"), reason: e.to_string() })?;
        let (shared, topic) = (Arc::clone(shared), topic.to_owned());
        Ok(KafkaWriter { producer, desk, shared, topic, partitions, answers: Some(answers) })
    }

    /// Opens a ticket for `records` records.
    fn open_ticket(&self, records: usize) -> Result<u64, BusError> {
        let mut state = lock(&self.desk.state);
        if let Some(failed) = &state.failed {
            return Err(self.desk.error(failed));
        }
        let open = state.open.len();
        if open >= MAX_OPEN_TICKETS {
            return Err(BusError::TicketsOpen { open, limit: MAX_OPEN_TICKETS });
        }
        state.open.push_back(OpenTicket { left: records, first: u64::MAX, next: 0, error: None, spent: false });
        Ok(state.base + state.open.len() as u64 - 1)
    }

    /// Puts one record into librdkafka's queue; waits while that is full.
    fn send(&self, partition: u32, number: u64, record: &Record<'_>) -> Result<(), BusError> {
        let mut out = BaseRecord::with_opaque_to(&self.topic, number as usize)
            .partition(partition as i32)
            .key(record.key)
            .payload(record.value)
            .timestamp(record.timestamp_ms);
        loop {
            self.shared.check_stop()?;
            match self.producer.send(out) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    out = back;
                    let state = lock(&self.desk.state);
                    if let Some(failed) = &state.failed {
                        return Err(self.desk.error(failed));
                    }
                    // Room comes with answers.
                    drop(self.desk.changed.wait_timeout(state, Duration::from_millis(20)));
                }
                Err((KafkaError::MessageProduction(code), _)) if is_unknown_topic(code) => {
                    return Err(self.desk.error(&Failed::Lost("the brokers do not know it any more".to_owned())));
                }
                Err((error, _)) => return Err(trouble(&format!("writing to {}", self.topic), &error)),
            }
        }
    }
}

impl Writer for KafkaWriter {
    fn submit(&mut self, partition: u32, records: &[Record<'_>]) -> Result<Ticket, BusError> {
        if partition >= self.partitions {
            let partitions = self.partitions;
            return Err(BusError::UnknownPartition { topic: self.topic.clone(), partition, partitions });
        }
        let mut bytes = 0;
        for record in records {
            let len = record.key.len() + record.value.len();
            if len > MAX_RECORD_BYTES {
                return Err(BusError::TooLarge { topic: self.topic.clone(), bytes: len, limit: MAX_RECORD_BYTES });
            }
            bytes += len;
        }
        if bytes > MAX_SUBMIT_BYTES {
            return Err(BusError::TooLarge { topic: self.topic.clone(), bytes, limit: MAX_SUBMIT_BYTES });
        }
        self.shared.check_stop()?;
        self.shared.check_lost(&self.topic)?;
        let number = self.open_ticket(records.len())?;
        for (sent, record) in records.iter().enumerate() {
            if let Err(error) = self.send(partition, number, record) {
                // What was handed over is still answered; the ticket as a whole is not to be had.
                let mut state = lock(&self.desk.state);
                let at = number.wrapping_sub(state.base) as usize;
                if let Some(ticket) = state.open.get_mut(at) {
                    ticket.left = ticket.left.saturating_sub(records.len() - sent);
                }
                state.spend(number);
                return Err(error);
            }
        }
        Ok(Ticket { partition, number, generation: 0, first: 0 })
    }

    fn wait(&mut self, ticket: Ticket, timeout: Duration) -> Result<Option<Appended>, BusError> {
        let deadline = crate::api::deadline(timeout);
        let mut state = lock(&self.desk.state);
        loop {
            let at = ticket.number.wrapping_sub(state.base) as usize;
            let Some(open) = state.open.get(at).filter(|open| !open.spent) else {
                return Err(BusError::UnknownTicket { number: ticket.number });
            };
            if open.left == 0 || open.error.is_some() {
                let result = match &open.error {
                    Some(failed) => Err(self.desk.error(failed)),
                    // No records at all: nothing to place.
                    None if open.next == 0 => {
                        let end = state.ends.get(ticket.partition as usize).copied().unwrap_or(0);
                        Ok(Some(Appended { partition: ticket.partition, first: end, next: end }))
                    }
                    None => Ok(Some(Appended { partition: ticket.partition, first: open.first, next: open.next })),
                };
                state.spend(ticket.number);
                return result;
            }
            let lost = self.shared.check_lost(&self.topic);
            if let Err(stopped) = self.shared.check_stop().and(lost) {
                state.spend(ticket.number);
                return Err(stopped);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            state = match self.desk.changed.wait_timeout(state, left.min(LOOK)) {
                Ok((state, _)) => state,
                Err(poisoned) => PoisonError::into_inner(poisoned).0,
            };
        }
    }
}

impl Drop for KafkaWriter {
    fn drop(&mut self) {
        lock(&self.desk.state).closing = true;
        if let Some(answers) = self.answers.take() {
            // The thread only takes in answers; its panic has been told by their absence.
            let _ = answers.join();
        }
        if self.producer.in_flight_count() > 0 {
            tracing::debug!(topic = %self.topic, "a writer was dropped with records nobody waited for");
        }
    }
}
