//! What the buses cost, each figure beside its baseline in the same run, for `tandem bench bus`. Rounds of ours and of
//! the baseline alternate, so that a busy machine is unjust to both alike. It decides nothing about gates.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use crate::api::{Batch, Bus, Record, Ticket, TopicSpec, Writer};
use crate::embedded::{EmbeddedBus, EmbeddedConfig};
use crate::error::BusError;
use crate::kafka::{KafkaBus, KafkaConfig};

/// One measured figure and its baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    pub what: String,
    pub baseline_is: &'static str,
    /// What both numbers count: `bytes/s`, `records/s`, or `us` (microseconds, less is better).
    pub unit: &'static str,
    pub ours: u64,
    pub baseline: u64,
}

impl Figure {
    /// Ours in per cent of the baseline.
    #[must_use]
    pub fn percent(&self) -> u64 {
        (self.ours * 100).checked_div(self.baseline).unwrap_or(0)
    }
}

/// A block of bytes that no file system or disk can make smaller.
fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn per_second(count: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000_000 / time.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// The value below which so many per cent of `times` lie, in microseconds.
fn percentile(times: &mut [Duration], percent: usize) -> u64 {
    times.sort();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(0, |time| time.as_micros() as u64)
}

/// The embedded log against plain `write` + `fdatasync` of the same bytes: frames of `frame_bytes` in a row (two in
/// flight, as the stream writer does it), and single records of 400 bytes, one at a time. Writes about `total_bytes`
/// twice into `folder`, which must be empty, and leaves removing it to the caller.
pub fn embedded(folder: &Path, total_bytes: u64, frame_bytes: usize) -> Result<Vec<Figure>, BusError> {
    const ROUNDS: u64 = 6;
    let frame = noise(frame_bytes.clamp(64, 3_000_000), 42);
    let frames = (total_bytes / frame.len() as u64 / ROUNDS).max(4);
    let bus = EmbeddedBus::open(EmbeddedConfig::new(folder.join("bus")))?;
    bus.ensure(&TopicSpec::frames("bench", 1))?;
    bus.ensure(&TopicSpec::frames("holds", 1))?;
    let mut writer = bus.writer("bench")?;
    let raw_path = folder.join("raw");
    let io = |e| BusError::io("cannot write", &raw_path, e);
    let mut raw = File::create(&raw_path).map_err(io)?;
    let (mut ours, mut baseline) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        append_frames(&mut *writer, &frame, frames)?;
        ours += began.elapsed();
        let began = Instant::now();
        for _ in 0..frames {
            raw.write_all(&frame).and_then(|()| raw.sync_data()).map_err(io)?;
        }
        baseline += began.elapsed();
    }
    let bytes = frames * ROUNDS * frame.len() as u64;
    let appended = Figure {
        what: format!("append frames of {} bytes, durable", frame.len()),
        baseline_is: "write + fdatasync of the same bytes",
        unit: "bytes/s",
        ours: per_second(bytes, ours),
        baseline: per_second(bytes, baseline),
    };
    let mut figures = vec![appended];
    figures.extend(single_records(&bus, &mut raw, &raw_path)?);
    figures.push(read_back(&bus, &raw_path)?);
    Ok(figures)
}

fn append_frames(writer: &mut dyn Writer, frame: &[u8], frames: u64) -> Result<(), BusError> {
    let mut before: Option<Ticket> = None;
    for _ in 0..frames {
        let ticket = writer.submit(0, &[Record { key: b"bench", value: frame, timestamp_ms: 0 }])?;
        if let Some(ticket) = before.replace(ticket) {
            settle(writer, ticket)?;
        }
    }
    before.map_or(Ok(()), |ticket| settle(writer, ticket))
}

fn settle(writer: &mut dyn Writer, ticket: Ticket) -> Result<(), BusError> {
    while writer.wait(ticket, Duration::from_secs(1))?.is_none() {}
    Ok(())
}

fn single_records(bus: &EmbeddedBus, raw: &mut File, raw_path: &Path) -> Result<Vec<Figure>, BusError> {
    const TIMES: usize = 1_500;
    let io = |e| BusError::io("cannot write", raw_path, e);
    let (hold, page) = (noise(400, 7), noise(4096, 8));
    let mut writer = bus.writer("holds")?;
    let (mut ours, mut baseline) = (Vec::with_capacity(TIMES), Vec::with_capacity(TIMES));
    for _ in 0..TIMES {
        let began = Instant::now();
        writer.append(0, &[Record { key: b"hold", value: &hold, timestamp_ms: 0 }])?;
        ours.push(began.elapsed());
        let began = Instant::now();
        raw.write_all(&page).and_then(|()| raw.sync_data()).map_err(io)?;
        baseline.push(began.elapsed());
    }
    let figure = |percent: usize, ours: &mut [Duration], baseline: &mut [Duration]| Figure {
        what: format!("one record of 400 bytes, durable, p{percent}"),
        baseline_is: "write + fdatasync of one page",
        unit: "us",
        ours: percentile(ours, percent),
        baseline: percentile(baseline, percent),
    };
    Ok(vec![figure(50, &mut ours, &mut baseline), figure(99, &mut ours, &mut baseline)])
}

fn read_back(bus: &EmbeddedBus, raw_path: &Path) -> Result<Figure, BusError> {
    let io = |e| BusError::io("cannot read", raw_path, e);
    let end = bus.end("bench", 0)?;
    let (mut ours, mut baseline) = (0, 0);
    let mut batch = Batch::new();
    let mut chunk = vec![0; 1 << 20];
    // The best of a few rounds each: the first may have to fetch from the disk what the others find in memory.
    for _ in 0..4 {
        let mut reader = bus.reader("bench", 0, 0)?;
        let mut bytes = 0;
        let began = Instant::now();
        while reader.position() < end {
            reader.poll(&mut batch, chunk.len(), Duration::from_secs(1))?;
            bytes += batch.iter().map(|r| r.value.len() as u64).sum::<u64>();
        }
        ours = per_second(bytes, began.elapsed()).max(ours);
        let mut raw = File::open(raw_path).map_err(io)?;
        let (mut bytes, mut checksum) = (0, 0);
        let began = Instant::now();
        loop {
            let len = raw.read(&mut chunk).map_err(io)?;
            if len == 0 {
                break;
            }
            checksum = crc32c::crc32c_append(checksum, &chunk[..len]);
            bytes += len as u64;
        }
        baseline = per_second(bytes, began.elapsed()).max(baseline);
        tracing::debug!(checksum, "raw file read");
    }
    Ok(Figure {
        what: "read back, every checksum checked".to_owned(),
        baseline_is: "reading the raw file and its CRC-32C",
        unit: "bytes/s",
        ours,
        baseline,
    })
}

/// Our reader and writer copying `records` records of `record_bytes` from topic to topic, against a plain rdkafka
/// consumer and producer with the same settings doing the same on the same broker. Makes topics whose names begin with
/// `prefix`.
pub fn kafka(config: &KafkaConfig, prefix: &str, records: u64, record_bytes: usize) -> Result<Vec<Figure>, BusError> {
    let bus = KafkaBus::connect(config.clone())?;
    let name = |what: &str| format!("{prefix}.{what}");
    for what in ["in", "ours", "plain"] {
        bus.ensure(&TopicSpec::foreign(name(what), 1))?;
    }
    let value = noise(record_bytes, 3);
    let mut writer = bus.writer(&name("in"))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    let at_once = (4_000_000 / record_bytes.max(1)).clamp(1, 1_000);
    let block = vec![Record { key: b"0123456789abcdef", value: &value, timestamp_ms: now }; at_once];
    let mut left = records;
    while left > 0 {
        let take = left.min(block.len() as u64);
        writer.append(0, &block[..take as usize])?;
        left -= take;
    }
    // A warm-up of the broker's page cache is the same for both: the plain copy goes first, then ours, then again.
    let (mut ours, mut plain) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..2 {
        plain += copy_plain(config, &name("in"), &name("plain"), 1, records)?;
        ours += copy_ours(&bus, &name("in"), &name("ours"), records)?;
    }
    Ok(vec![Figure {
        what: format!("copy records of {record_bytes} bytes from topic to topic"),
        baseline_is: "rdkafka consumer and idempotent producer",
        unit: "records/s",
        ours: per_second(2 * records, ours),
        baseline: per_second(2 * records, plain),
    }])
}

/// A plain rdkafka consumer and producer copying all records of one topic to another, which is made: what the same
/// records cost on Kafka without us. Gives the time by the clock.
pub fn copy(config: &KafkaConfig, from: &str, to: &str, partitions: u32) -> Result<Duration, BusError> {
    let bus = KafkaBus::connect(config.clone())?;
    bus.ensure(&TopicSpec::foreign(to, partitions))?;
    let ends = (0..partitions).map(|partition| bus.end(from, partition)).collect::<Result<Vec<u64>, _>>()?;
    copy_plain(config, from, to, partitions, ends.iter().sum())
}

fn copy_ours(bus: &KafkaBus, from: &str, to: &str, records: u64) -> Result<Duration, BusError> {
    let mut reader = bus.reader(from, 0, 0)?;
    let mut writer = bus.writer(to)?;
    let mut batch = Batch::new();
    let mut tickets = std::collections::VecDeque::new();
    let began = Instant::now();
    let mut copied = 0;
    while copied < records {
        copied += reader.poll(&mut batch, 256 << 10, Duration::from_secs(1))? as u64;
        let records: Vec<_> =
            batch.iter().map(|r| Record { key: r.key, value: r.value, timestamp_ms: r.timestamp_ms }).collect();
        if !records.is_empty() {
            tickets.push_back(writer.submit(0, &records)?);
        }
        while tickets.len() > 32 {
            tickets.pop_front().map_or(Ok(()), |ticket| settle(&mut *writer, ticket))?;
        }
    }
    for ticket in tickets {
        settle(&mut *writer, ticket)?;
    }
    Ok(began.elapsed())
}

fn copy_plain(config: &KafkaConfig, from: &str, to: &str, partitions: u32, records: u64) -> Result<Duration, BusError> {
    let failed = |e: KafkaError| BusError::Kafka { what: "plain copy".to_owned(), reason: e.to_string() };
    let mut base = ClientConfig::new();
    base.set("bootstrap.servers", &config.bootstrap);
    config.properties.iter().for_each(|(name, value)| {
        base.set(name, value);
    });
    let consumer: BaseConsumer = base
        .clone()
        .set("group.id", "tandem-bench")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "10")
        .create()
        .map_err(failed)?;
    let producer: BaseProducer =
        base.set("enable.idempotence", "true").set("linger.ms", "0").create().map_err(failed)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(from, partition as i32, Offset::Offset(0)).map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    let began = Instant::now();
    let mut copied = 0;
    while copied < records {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.map_err(failed)?;
        let mut record = BaseRecord::to(to)
            .partition(message.partition())
            .key(message.key().unwrap_or_default())
            .payload(message.payload().unwrap_or_default())
            .timestamp(message.timestamp().to_millis().unwrap_or(0));
        while let Err((error, back)) = producer.send(record) {
            if !matches!(error, KafkaError::MessageProduction(Code::QueueFull)) {
                return Err(failed(error));
            }
            producer.poll(Duration::from_millis(1));
            record = back;
        }
        copied += 1;
        if copied % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_micros(200));
    }
    Ok(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_benchmark_measures_both_sides() {
        let folder = tempfile::tempdir().unwrap();
        let figures = embedded(folder.path(), 4 << 20, 200_000).unwrap();
        assert_eq!(figures.len(), 4);
        assert!(figures.iter().all(|f| f.ours > 0 && f.baseline > 0), "{figures:?}");
    }
}
