//! The writer's thread: takes batches, numbers and encodes them, keeps several on their way to the bus, turns to the
//! spool when the bus is away and back when it is there again.

use super::*;
use bus::{BusHealth, Record, Ticket, Writer};
use std::collections::VecDeque;
use std::time::Instant;

/// Batches on their way at once, and their bytes.
const FLIGHT_BATCHES: usize = 16;
const FLIGHT_BYTES: usize = 8 << 20;
/// Bytes of one submit; the bus takes 16 MiB.
const SUBMIT_BYTES: usize = 4 << 20;
const SHORT: Duration = Duration::from_millis(5);
const PROBE: Duration = Duration::from_millis(500);

struct Flight {
    encoded: Encoded,
    tickets: VecDeque<Ticket>,
    reply: Option<SyncSender<Result<(), IngestError>>>,
    since: Instant,
}

/// Why the thread cannot go on.
struct Fatal(String);

pub(super) struct Loop {
    bus: Arc<dyn Bus>,
    options: WriterOptions,
    partitions: u32,
    boot_epoch: i64,
    writer: Box<dyn Writer>,
    spool: Spool,
    /// Next sequence of each partition.
    next: Vec<u64>,
    /// Running maximum of our clock: `ObservedAt` never goes back.
    clock: i64,
    flights: VecDeque<Flight>,
    flight_bytes: usize,
    /// The bus is away: everything goes to the spool, and the spool back to the bus once it can.
    spooling: bool,
    /// A batch that neither bus nor spool has taken yet.
    parked: Option<Flight>,
    last_tick: Option<Instant>,
    last_probe: Option<Instant>,
    last_retry: Option<Instant>,
    stats: Arc<WriterStats>,
    stopping: Arc<AtomicBool>,
}

impl Loop {
    pub(super) fn new(
        bus: Arc<dyn Bus>,
        options: WriterOptions,
        partitions: u32,
        boot_epoch: i64,
        spool: Spool,
        stats: Arc<WriterStats>,
        stopping: Arc<AtomicBool>,
    ) -> Result<Self, IngestError> {
        let writer = bus.writer(&options.topic.name)?;
        let spooling = !spool.is_empty();
        stats.spool_bytes.store(spool.bytes(), Ordering::Relaxed);
        Ok(Self {
            bus,
            partitions,
            boot_epoch,
            writer,
            spool,
            next: vec![0; partitions as usize],
            clock: 0,
            flights: VecDeque::new(),
            flight_bytes: 0,
            // What earlier runs left goes first.
            spooling,
            parked: None,
            last_tick: None,
            last_probe: None,
            last_retry: None,
            stats,
            stopping,
            options,
        })
    }

    pub(super) fn run(mut self, queue: &Receiver<Command>) {
        let end = loop {
            match self.step(queue) {
                Ok(true) => {}
                Ok(false) => break self.drain(queue),
                Err(fatal) => break Err(fatal),
            }
        };
        if let Err(Fatal(why)) = end {
            self.stats.trouble(why.clone());
            self.stats.ended.store(true, Ordering::SeqCst);
            let parked = self.parked.take();
            for mut flight in self.flights.drain(..).chain(parked) {
                answer(&mut flight, Err(IngestError::WriterStopped(why.clone())));
            }
        }
    }

    /// One round; false when it is time to end.
    fn step(&mut self, queue: &Receiver<Command>) -> Result<bool, Fatal> {
        let room = self.parked.is_none() && self.flights.len() < FLIGHT_BATCHES && self.flight_bytes < FLIGHT_BYTES;
        if room {
            let patience = if self.flights.is_empty() { self.until_tick() } else { Duration::ZERO };
            match queue.recv_timeout(patience) {
                Ok(Command::Batch(batch, reply)) => self.take(batch, reply)?,
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(false),
                Err(RecvTimeoutError::Timeout) => self.settle(SHORT)?,
            }
        } else {
            self.settle(Duration::from_millis(50))?;
        }
        self.tick()?;
        if self.spooling {
            self.try_return()?;
        }
        self.retry_parked()?;
        self.stats.waiting.store(self.parked.is_some(), Ordering::Relaxed);
        Ok(!self.stopping.load(Ordering::SeqCst))
    }

    fn until_tick(&self) -> Duration {
        let since = self.last_tick.map_or(self.options.tick, |last| last.elapsed());
        let left = self.options.tick.saturating_sub(since);
        if self.spooling || self.parked.is_some() { left.min(PROBE) } else { left }
    }

    fn observe(&mut self) -> i64 {
        self.clock = self.clock.max(files::now_micros());
        self.clock
    }

    fn take(&mut self, batch: Vec<Outgoing>, reply: SyncSender<Result<(), IngestError>>) -> Result<(), Fatal> {
        let encoded = self.encode(batch);
        let flight = Flight { encoded, tickets: VecDeque::new(), reply: Some(reply), since: Instant::now() };
        if self.spooling { self.keep(flight) } else { self.launch(flight) }
    }

    /// Numbers and encodes a batch.
    fn encode(&mut self, batch: Vec<Outgoing>) -> Encoded {
        let now = self.observe();
        let mut encoded = Encoded::default();
        for outgoing in batch {
            let at = outgoing.partition(self.partitions);
            match outgoing {
                Outgoing::Event(mut event) => {
                    let partition = at.unwrap_or(0);
                    if event.id.node.is_empty() {
                        event.id = self.number(partition);
                    }
                    if event.observed_at.0 == 0 {
                        event.observed_at = ObservedAt(now);
                    }
                    self.stats.events.fetch_add(1, Ordering::Relaxed);
                    encoded.push(partition, now, event.call_key.as_bytes(), |out| {
                        bus_record::encode_event(&event, &self.options.ids, out);
                    });
                }
                Outgoing::Reject(mut reject) => {
                    reject.observed_at = ObservedAt(now);
                    let key = reject_key(&reject);
                    self.stats.rejects.fetch_add(1, Ordering::Relaxed);
                    self.put(&mut encoded, at.unwrap_or(0), now, &key, &BusRecord::Reject(Box::new(reject)));
                }
                Outgoing::ImportEnd { partition, mut end } => {
                    end.observed_at = ObservedAt(now);
                    self.put(&mut encoded, partition, now, &[], &BusRecord::ImportEnd(end));
                }
                Outgoing::SourceMark { switch, occurred_until, declared } => {
                    let record = BusRecord::SourceMark { switch, occurred_until, declared };
                    for partition in 0..self.partitions {
                        self.put(&mut encoded, partition, now, &[], &record);
                    }
                }
            }
        }
        encoded
    }

    fn put(&self, encoded: &mut Encoded, partition: u32, now: i64, key: &[u8], record: &BusRecord) {
        encoded.push(partition, now, key, |out| bus_record::encode(record, &self.options.ids, out));
    }

    fn number(&mut self, partition: u32) -> EventId<SmolStr> {
        let sequence = self.next[partition as usize];
        self.next[partition as usize] += 1;
        EventId { node: self.options.node.clone(), boot_epoch: self.boot_epoch, partition, sequence }
    }

    /// Sends a batch on its way.
    fn launch(&mut self, mut flight: Flight) -> Result<(), Fatal> {
        failpoint(&flight, "ingest.before-send");
        match self.submit(&flight.encoded) {
            Ok(tickets) => {
                failpoint(&flight, "ingest.sent");
                flight.tickets = tickets;
                self.flight_bytes += flight.encoded.bytes.len();
                self.flights.push_back(flight);
                Ok(())
            }
            Err(error) if error.is_retriable() => {
                self.turn_away(&error.to_string())?;
                self.keep(flight)
            }
            Err(error) => {
                self.parked = Some(flight);
                Err(Fatal(error.to_string()))
            }
        }
    }

    fn submit(&mut self, encoded: &Encoded) -> Result<VecDeque<Ticket>, BusError> {
        let mut tickets = VecDeque::new();
        let mut records: Vec<Record<'_>> = Vec::new();
        for partition in 0..self.partitions {
            records.clear();
            let mut bytes = 0;
            for span in encoded.records.iter().filter(|span| span.partition == partition) {
                let waiting = encoded.get(span);
                let size = waiting.key.len() + waiting.value.len();
                if bytes + size > SUBMIT_BYTES && !records.is_empty() {
                    tickets.push_back(self.writer.submit(partition, &records)?);
                    records.clear();
                    bytes = 0;
                }
                bytes += size;
                records.push(Record { key: waiting.key, value: waiting.value, timestamp_ms: waiting.timestamp_ms });
            }
            if !records.is_empty() {
                tickets.push_back(self.writer.submit(partition, &records)?);
            }
        }
        Ok(tickets)
    }

    /// Answers the batches that have become durable; waits so long for the oldest.
    fn settle(&mut self, patience: Duration) -> Result<(), Fatal> {
        if self.spooling {
            // What stands in `flights` now waits for room in the spool, not for the bus.
            std::thread::sleep(patience);
            return Ok(());
        }
        let mut patience = patience;
        while let Some(flight) = self.flights.front_mut() {
            while let Some(ticket) = flight.tickets.front() {
                match self.writer.wait(*ticket, patience) {
                    Ok(Some(_)) => drop(flight.tickets.pop_front()),
                    Ok(None) => {
                        let stuck = flight.since.elapsed() > self.options.patience;
                        return match self.bus.health() {
                            BusHealth::Away { why, .. } if stuck => self.turn_away(&why),
                            _ => Ok(()),
                        };
                    }
                    Err(error) if error.is_retriable() => return self.turn_away(&error.to_string()),
                    Err(error) => return Err(Fatal(error.to_string())),
                }
                patience = Duration::ZERO;
            }
            if let Some(mut done) = self.flights.pop_front() {
                self.flight_bytes -= done.encoded.bytes.len();
                failpoint(&done, "ingest.durable");
                answer(&mut done, Ok(()));
            }
        }
        Ok(())
    }

    /// The bus is away: what is on its way goes to the spool. Some of it may be on the bus already; the ids are the same.
    fn turn_away(&mut self, why: &str) -> Result<(), Fatal> {
        if !self.spooling {
            self.spooling = true;
            self.last_probe = Some(Instant::now());
            self.stats.away_since.store(files::now_micros(), Ordering::Relaxed);
            self.stats.trouble(format!("the bus is away, call events go to the spool: {why}"));
        }
        self.flight_bytes = 0;
        while let Some(flight) = self.flights.pop_front() {
            if let Err(flight) = self.spool_one(flight) {
                // No room: this one and all behind it wait in memory, in order; nothing new is taken meanwhile.
                self.parked = Some(flight);
                self.flight_bytes = self.flights.iter().map(|f| f.encoded.bytes.len()).sum();
                break;
            }
        }
        Ok(())
    }

    fn keep(&mut self, flight: Flight) -> Result<(), Fatal> {
        if self.parked.is_some() || !self.flights.is_empty() {
            // Others are waiting for room before this one: order is kept.
            self.flight_bytes += flight.encoded.bytes.len();
            self.flights.push_back(flight);
            return Ok(());
        }
        if let Err(flight) = self.spool_one(flight) {
            self.parked = Some(flight);
        }
        Ok(())
    }

    fn spool_one(&mut self, mut flight: Flight) -> Result<(), Flight> {
        match self.spool.append(flight.encoded.iter()) {
            Ok(()) => {
                self.stats.spooled.fetch_add(flight.encoded.records.len() as u64, Ordering::Relaxed);
                self.stats.spool_bytes.store(self.spool.bytes(), Ordering::Relaxed);
                answer(&mut flight, Ok(()));
                Ok(())
            }
            Err(error) => {
                self.stats.trouble(format!("call events wait in memory: {error}"));
                Err(flight)
            }
        }
    }

    /// What waits in memory because the spool was full is tried again, oldest first.
    fn retry_parked(&mut self) -> Result<(), Fatal> {
        if self.parked.is_none() || too_soon(self.last_retry) {
            return Ok(());
        }
        self.last_retry = Some(Instant::now());
        while let Some(flight) = self.parked.take() {
            if let Err(flight) = self.spool_one(flight) {
                self.parked = Some(flight);
                return Ok(());
            }
            self.parked = self.flights.pop_front();
            if let Some(next) = &self.parked {
                self.flight_bytes -= next.encoded.bytes.len();
            }
        }
        Ok(())
    }

    /// Looks whether the bus is there again and replays the oldest spool file; the last one ends the spooling.
    fn try_return(&mut self) -> Result<(), Fatal> {
        if self.spool.is_empty() && self.parked.is_none() && self.flights.is_empty() {
            return self.back();
        }
        if too_soon(self.last_probe) {
            return Ok(());
        }
        self.last_probe = Some(Instant::now());
        match self.replay_oldest() {
            Ok(true) => {
                (self.last_probe, self.last_retry) = (None, None);
                // At once, before the next batch goes to the spool again: else a steady stream would never leave it.
                if self.spool.is_empty() && self.parked.is_none() && self.flights.is_empty() {
                    self.stats.spool_bytes.store(0, Ordering::Relaxed);
                    return self.back();
                }
            }
            Ok(false) => {}
            Err(IngestError::Bus(error)) if !error.is_retriable() => return Err(Fatal(error.to_string())),
            Err(error) => self.stats.trouble(format!("the spool cannot be replayed yet: {error}")),
        }
        self.stats.spool_bytes.store(self.spool.bytes(), Ordering::Relaxed);
        Ok(())
    }

    fn back(&mut self) -> Result<(), Fatal> {
        match self.bus.writer(&self.options.topic.name) {
            Ok(writer) => {
                self.writer = writer;
                self.spooling = false;
                if self.stats.away_since.swap(0, Ordering::Relaxed) != 0 {
                    tracing::info!(target: "ingest", "the bus is back, the spool is empty");
                    self.stats.calm();
                }
                Ok(())
            }
            Err(error) if error.is_retriable() => Ok(()),
            Err(error) => Err(Fatal(error.to_string())),
        }
    }

    /// True when a file has been replayed and removed.
    fn replay_oldest(&mut self) -> Result<bool, IngestError> {
        if matches!(self.bus.health(), BusHealth::Away { .. }) {
            return Ok(false);
        }
        let Some(bytes) = self.spool.oldest()? else { return Ok(false) };
        let (entries, damage) = crate::spool::entries(&bytes);
        let mut encoded = Encoded::default();
        for entry in entries {
            encoded.push(entry.partition.min(self.partitions - 1), entry.timestamp_ms * 1_000, entry.key, |out| {
                out.extend_from_slice(entry.value);
            });
        }
        // A fresh writer: the old one may still hold tickets of records that went to the spool.
        self.writer = self.bus.writer(&self.options.topic.name)?;
        let tickets = self.submit(&encoded)?;
        let begun = Instant::now();
        for ticket in tickets {
            while self.writer.wait(ticket, Duration::from_millis(100))?.is_none() {
                let hopeless =
                    matches!(self.bus.health(), BusHealth::Away { .. }) || self.stopping.load(Ordering::SeqCst);
                if hopeless && begun.elapsed() > self.options.patience {
                    return Ok(false);
                }
            }
        }
        match damage {
            None => self.spool.remove_oldest()?,
            Some(at) => {
                let aside = self.spool.set_oldest_aside()?;
                self.stats.trouble(format!(
                    "{} is damaged at byte {at}: what stood before it is on the bus; import its sources again",
                    aside.display()
                ));
            }
        }
        Ok(true)
    }

    /// The assembler's clock: to every partition, only while the bus is there.
    fn tick(&mut self) -> Result<(), Fatal> {
        if self.last_tick.is_some_and(|last| last.elapsed() < self.options.tick) {
            return Ok(());
        }
        self.last_tick = Some(Instant::now());
        if self.spooling {
            return Ok(());
        }
        let now = self.observe();
        let record = BusRecord::Tick { node: self.options.node.clone(), observed_at: ObservedAt(now) };
        let mut encoded = Encoded::default();
        for partition in 0..self.partitions {
            self.put(&mut encoded, partition, now, &[], &record);
        }
        self.stats.ticks.fetch_add(1, Ordering::Relaxed);
        self.launch(Flight { encoded, tickets: VecDeque::new(), reply: None, since: Instant::now() })
    }

    /// Before the end: everything that was handed over becomes durable.
    fn drain(&mut self, queue: &Receiver<Command>) -> Result<(), Fatal> {
        while let Ok(command) = queue.try_recv() {
            if let Command::Batch(batch, reply) = command {
                self.take(batch, reply)?;
            }
        }
        let begun = Instant::now();
        while !self.flights.is_empty() && !self.spooling && begun.elapsed() < 3 * self.options.patience {
            self.settle(Duration::from_millis(50))?;
        }
        if !self.flights.is_empty() && !self.spooling {
            self.turn_away("the process ends before the bus has answered")?;
        }
        self.last_retry = None;
        self.retry_parked()?;
        if self.parked.is_some() {
            return Err(Fatal("stopped while neither the bus nor the spool took call events".into()));
        }
        // What the bus takes now need not wait for the next start; the rest does.
        while !self.spool.is_empty() && begun.elapsed() < 3 * self.options.patience {
            if !matches!(self.replay_oldest(), Ok(true)) {
                break;
            }
        }
        self.stats.spool_bytes.store(self.spool.bytes(), Ordering::Relaxed);
        Ok(())
    }
}

fn answer(flight: &mut Flight, result: Result<(), IngestError>) {
    if let Some(reply) = flight.reply.take() {
        // The asker may have gone; the records are durable all the same.
        let _ = reply.send(result);
    }
}

/// Only batches that somebody waits for: the ticks between them would die first, over nothing.
fn failpoint(flight: &Flight, name: &str) {
    if flight.reply.is_some() {
        bus::failpoint::pass(name);
    }
}

fn too_soon(last: Option<Instant>) -> bool {
    last.is_some_and(|last| last.elapsed() < PROBE)
}
