//! The thread that owns a partition's files: takes what is pending as one block, writes it with one write, makes it
//! durable with one fdatasync, says so, and takes what has gathered meanwhile. There is no timer: the next block starts
//! when the last sync ends. A failed sync ends the log; a full disk fails what was pending and leaves the log as it was.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use segments::block::{self, Chain, FLAG_PAYLOAD_CHAINED, HEADER, SegmentHeader, Wanted};

use super::files::{self, HeadFile};
use super::log::{Log, Segment, Work, empty_block};
use crate::api::{Retention, TopicKind};
use crate::error::BusError;

/// Zeros written ahead, so that most syncs change no file size.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
/// Zeros for so many blocks like the last one are written ahead, and no fewer bytes than this.
const AHEAD_BLOCKS: u64 = 16;
const AHEAD_LEAST: u64 = 64 << 10;

pub struct Committer {
    log: Arc<Log>,
    file: File,
    segment: Arc<Segment>,
    /// Where the next block goes.
    pos: u64,
    /// The file is zeros from `pos` up to here.
    zeroed: u64,
    chain: Chain,
    end: u64,
    begin: u64,
    /// Bytes that did not find room last.
    wanted: u64,
    head: HeadFile,
    head_warned: bool,
}

/// Whoever waits for this thread must hear of it if a defect of ours ends it.
struct TellPanic(Arc<Log>);

impl Drop for TellPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("its thread has ended by a defect of this program".to_owned());
        }
    }
}

enum Failure {
    NoSpace(String),
    Fatal(String),
}

impl Committer {
    pub fn new(
        log: Arc<Log>,
        segment: Arc<Segment>,
        chain: Chain,
        (begin, end): (u64, u64),
        head: HeadFile,
    ) -> Result<Committer, BusError> {
        let path = &segment.path;
        let io = |e| BusError::io("cannot open", path, e);
        let file = File::options().read(true).write(true).open(path).map_err(io)?;
        let zeroed = file.metadata().map_err(io)?.len();
        let pos = segment.end_pos.load(Ordering::Acquire);
        Ok(Committer { log, file, pos, zeroed, chain, end, begin, wanted: 0, head, head_warned: false, segment })
    }

    /// Runs until the log is stopped or has failed.
    pub fn run(mut self) {
        let _told = TellPanic(Arc::clone(&self.log));
        let mut block = empty_block();
        loop {
            match self.log.next_work(&mut block) {
                Work::Block { base, count } => match self.commit(&mut block, base, count) {
                    Ok(()) => self.log.publish(self.end, self.pos),
                    Err(Failure::NoSpace(reason)) => {
                        tracing::warn!(topic = %self.log.topic, partition = self.log.partition, %reason, "no space for the log");
                        self.log.fail_for_space(reason);
                    }
                    Err(Failure::Fatal(reason)) => {
                        tracing::error!(topic = %self.log.topic, partition = self.log.partition, %reason, "the log has stopped");
                        return self.log.poison(reason);
                    }
                },
                Work::Trim { before } => {
                    if let Err(Failure::NoSpace(reason) | Failure::Fatal(reason)) = self.trim(before) {
                        return self.log.poison(reason);
                    }
                }
                Work::Probe => match self.probe() {
                    Ok(()) => {
                        tracing::info!(topic = %self.log.topic, partition = self.log.partition, "there is space for the log again");
                        self.log.space_again();
                    }
                    Err(Failure::NoSpace(_)) => {}
                    Err(Failure::Fatal(reason)) => return self.log.poison(reason),
                },
                Work::End => break,
            }
            // A block that was once huge is not kept for ever.
            if block.capacity() > 4 * self.log.config.max_pending_bytes {
                block = empty_block();
            }
        }
        // At a clean end the claim is made durable too; if that fails nothing is lost, the claim only lags.
        if self.head.sync().is_err() {
            tracing::warn!(topic = %self.log.topic, partition = self.log.partition, "the head file could not be synced");
        }
    }

    fn commit(&mut self, block: &mut Vec<u8>, base: u64, count: u32) -> Result<(), Failure> {
        let span = block::align(block.len() as u64);
        self.wanted = span;
        if self.pos > HEADER as u64 && self.pos + span > self.log.config.segment_bytes {
            self.roll()?;
        }
        let wanted = Wanted {
            flags: if self.log.kind == TopicKind::Frames { 0 } else { FLAG_PAYLOAD_CHAINED },
            log_id: block::log_id(self.log.incarnation),
            base,
            count,
            written_ms: now_ms(),
        };
        let header = block::seal(block, wanted, &self.chain);

        let disk = Arc::clone(&self.log.config.disk);
        if let Err(error) = disk.write_all_at(&self.file, block, self.pos) {
            return Err(self.write_failed("writing", &error));
        }
        let end_pos = self.pos + span;
        if end_pos > self.zeroed {
            self.zeroed = end_pos;
            self.write_ahead(end_pos, span)?;
        }
        if let Err(error) = disk.sync_data(&self.file) {
            return Err(self.fatal("syncing", &error));
        }
        self.segment.mark(base, self.pos);
        self.pos = end_pos;
        self.chain = header.chain;
        self.end = header.end();
        self.note_head();
        Ok(())
    }

    /// Writes zeros behind the block just written (synced together with it). As many as some such blocks take, so that
    /// nobody who waits for a small block waits for megabytes of zeros, and fewer in small files, so that they stay so.
    fn write_ahead(&mut self, end_pos: u64, span: u64) -> Result<(), Failure> {
        let most = self.log.config.write_ahead_bytes;
        if most == 0 {
            return Ok(());
        }
        let wanted = most.min(end_pos.max(AHEAD_LEAST)).min((span * AHEAD_BLOCKS).max(AHEAD_LEAST));
        let target = (end_pos + wanted).min(self.log.config.segment_bytes.max(end_pos));
        while self.zeroed < target {
            let len = (target - self.zeroed).min(ZEROS.len() as u64) as usize;
            match self.log.config.disk.write_all_at(&self.file, &ZEROS[..len], self.zeroed) {
                Ok(()) => self.zeroed += len as u64,
                Err(error) if is_full(&error) => {
                    // The block itself has found room; only the luxury has not.
                    return self.give_back(end_pos);
                }
                Err(error) => return Err(self.fatal("writing ahead", &error)),
            }
        }
        Ok(())
    }

    /// Looks whether what did not find room would find it now, by taking the room for it.
    fn probe(&mut self) -> Result<(), Failure> {
        let target = self.pos + self.wanted;
        let mut at = self.pos;
        while at < target {
            let len = (target - at).min(ZEROS.len() as u64) as usize;
            if let Err(error) = self.log.config.disk.write_all_at(&self.file, &ZEROS[..len], at) {
                return Err(self.write_failed("looking for space in", &error));
            }
            at += len as u64;
        }
        self.zeroed = self.zeroed.max(target);
        Ok(())
    }

    fn write_failed(&mut self, what: &str, error: &io::Error) -> Failure {
        if !is_full(error) {
            return self.fatal(what, error);
        }
        let reason = error.to_string();
        match self.give_back(self.pos) {
            Ok(()) => Failure::NoSpace(reason),
            Err(failure) => failure,
        }
    }

    /// Cuts what a failed write left behind the good part, and with it the space it took.
    fn give_back(&mut self, end_pos: u64) -> Result<(), Failure> {
        self.zeroed = end_pos;
        self.file.set_len(end_pos).map_err(|error| self.fatal("cutting", &error))
    }

    fn fatal(&self, what: &str, error: &io::Error) -> Failure {
        Failure::Fatal(format!("{what} {} failed: {error}", self.segment.path.display()))
    }

    /// Seals the active segment and begins the next.
    fn roll(&mut self) -> Result<(), Failure> {
        self.give_back(self.pos)?;
        self.file.sync_all().map_err(|error| self.fatal("syncing", &error))?;
        let path = self.log.dir.join(files::segment_name(self.end));
        let header = SegmentHeader {
            base: self.end,
            prev_base: self.segment.base,
            chain: self.chain,
            incarnation: self.log.incarnation,
            partition: self.log.partition,
        };
        match create_segment(&path, header) {
            Ok(file) => self.file = file,
            Err(BusError::NoSpace { reason, .. }) => return Err(Failure::NoSpace(reason)),
            Err(error) => return Err(Failure::Fatal(error.to_string())),
        }
        self.segment = Arc::new(Segment::new(path, self.end, HEADER as u64, u64::MAX));
        self.pos = HEADER as u64;
        self.zeroed = self.pos;
        self.log.add_segment(Arc::clone(&self.segment));
        self.note_head();
        self.retire()
    }

    /// Gives up sealed segments that are older than the topic's retention, by the time they were sealed.
    fn retire(&mut self) -> Result<(), Failure> {
        let Retention::Days(days) = self.log.retention else { return Ok(()) };
        let Some(limit) = SystemTime::now().checked_sub(Duration::from_secs(u64::from(days) * 86_400)) else {
            return Ok(());
        };
        let mut before = self.begin;
        while let Some(segment) = self.log.segment_of(before) {
            let next = segment.next_base.load(Ordering::Acquire);
            let sealed = fs::metadata(&segment.path).and_then(|m| m.modified());
            if next == u64::MAX || sealed.is_ok_and(|at| at > limit) {
                break;
            }
            before = next;
        }
        if before > self.begin { self.trim(before) } else { Ok(()) }
    }

    /// First the durable note that the log begins later, then the deletion.
    fn trim(&mut self, before: u64) -> Result<(), Failure> {
        let (begin, gone) = self.log.drop_segments(before);
        if gone.is_empty() {
            return Ok(());
        }
        self.begin = begin;
        let noted = self.head.note(begin, self.end, self.segment.base).and_then(|()| self.head.sync());
        noted.map_err(|error| self.fatal("noting the begin of", &error))?;
        for segment in gone {
            if let Err(error) = fs::remove_file(&segment.path) {
                // It is outside the log already; the next start removes it.
                tracing::warn!(file = %segment.path.display(), %error, "a segment could not be removed");
            }
        }
        self.log.notify_durable();
        Ok(())
    }

    /// Lazy claim of what is durable. Its loss would cost nothing but sharpness after a crash.
    fn note_head(&mut self) {
        if let Err(error) = self.head.note(self.begin, self.end, self.segment.base)
            && !std::mem::replace(&mut self.head_warned, true)
        {
            tracing::warn!(topic = %self.log.topic, partition = self.log.partition, %error, "the head file could not be written");
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// Makes a segment file with its header, durably, under its final name only when whole.
pub fn create_segment(path: &std::path::Path, header: SegmentHeader) -> Result<File, BusError> {
    let new = path.with_extension("seg.new");
    let make = || -> io::Result<File> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        Ok(file)
    };
    let file = make().map_err(|error| {
        // Half-made, it must not hold space; it has no final name, so nobody has seen it.
        let _ = fs::remove_file(&new);
        BusError::io("cannot create", path, error)
    })?;
    if let Some(dir) = path.parent() {
        files::sync_dir(dir)?;
    }
    Ok(file)
}
