//! The ledger's thread: claims `ledger.SITE`, books what the raters write and what people order, frame by frame. All
//! its state is the fold of its own log; whatever fails, it goes on from there.

use accounting::history::HISTORY_MAX;
use accounting::{Applied, CurrentCall, FOLD_VERSION, PayRefusal, Posted, PricedCall, pay};
use bus::stream::{Accepted, FrameParts, StreamError, StreamReader, StreamWriter};
use bus::{Bus, TopicSpec};
use facts::entry::LedgerItem;
use facts::ids::{CallId, EntryId, OriginId};
use facts::stream::{Input, StreamState};
use facts::xdr::Position;
use facts::{LedgerEntry, OccurredAt};
use schemas::SchemaIds;
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::api::{Order, Receipt};
use crate::error::LedgerError;
use crate::fold::Fold;
use crate::frames::{FrameReader, entries_of_call, ledger_item};
use crate::orders::{OrderError, Orders, Reply, Waiting};
use crate::poster::{Poster, Took};
use crate::rated;
use crate::shared::Shared;
use crate::snapshot::{self, Store};
use crate::streams::{ledger_source, xdrs_source};
use crate::view::{ConfigNow, View};

/// What a ledger is started with.
#[derive(Clone)]
pub struct LedgerOptions {
    pub bus: Arc<dyn Bus>,
    pub ids: SchemaIds,
    pub site: SmolStr,
    /// Raters' partitions: `xdrs.SITE.0` to `xdrs.SITE.P-1`.
    pub partitions: u32,
    pub config: ConfigNow,
    /// Snapshots go below it.
    pub data_dir: PathBuf,
    /// Who claims the stream: host, process, start.
    pub owner: String,
    /// An empty frame after so long without another.
    pub idle_frame: Duration,
    /// A certificate after so many frames, or so long.
    pub certificate_frames: u64,
    pub certificate_every: Duration,
    pub snapshot_every: Duration,
    /// Orders taken into one frame at most.
    pub orders_per_frame: usize,
    /// Places of entries kept in memory over all accounts, 8 bytes each; older ones are read from the log.
    pub history_max: usize,
}

impl LedgerOptions {
    /// The settings of design 6.2 and reference/ledger.md 1.3.
    pub fn new(bus: Arc<dyn Bus>, site: &str, partitions: u32, config: ConfigNow, data_dir: PathBuf) -> Self {
        Self {
            bus,
            ids: SchemaIds::default(),
            site: site.into(),
            partitions,
            config,
            data_dir,
            owner: format!("pid {} at {}", std::process::id(), facts::time::rfc3339(wall_micros())),
            idle_frame: Duration::from_secs(5),
            certificate_frames: 1_000,
            certificate_every: Duration::from_secs(60),
            snapshot_every: Duration::from_secs(300),
            orders_per_frame: 256,
            history_max: HISTORY_MAX,
        }
    }
}

/// How others reach a ledger: questions and orders.
#[derive(Clone)]
pub struct Door {
    pub view: Arc<View>,
    pub orders: Orders,
}

/// The ledger's end of the door.
pub struct Inbox {
    shared: Arc<Shared>,
    orders: Receiver<Waiting>,
}

/// Makes the door; `run` takes the inbox.
pub fn door(options: &LedgerOptions) -> (Door, Inbox) {
    let source = ledger_source(&options.site);
    let shared = Shared::new(source.stream.clone());
    let (orders, receiver) = Orders::channel();
    let (bus, ids, config) = (options.bus.clone(), options.ids.clone(), options.config.clone());
    let view = View::new(shared.clone(), bus, ids, source.topic, source.partition, config);
    (Door { view: Arc::new(view), orders }, Inbox { shared, orders: receiver })
}

/// Starts `run` on a thread of its own.
pub fn spawn(
    options: LedgerOptions,
    stop: Arc<AtomicBool>,
) -> std::io::Result<(Door, JoinHandle<Result<(), LedgerError>>)> {
    let (door, inbox) = door(&options);
    let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || run(&options, &inbox, &stop))?;
    Ok((door, thread))
}

/// Longest pause before the log is tried again.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long a durable frame may take to come back.
const READ_BACK: Duration = Duration::from_secs(30);
/// How long it sleeps when there is nothing to do.
const NAP: Duration = Duration::from_millis(4);

/// Books until told to stop. While the log is away or full it waits and goes on by itself; an error means that a
/// person is needed.
pub fn run(options: &LedgerOptions, inbox: &Inbox, stop: &AtomicBool) -> Result<(), LedgerError> {
    let mut pause = Duration::from_millis(200);
    loop {
        let began = Instant::now();
        let ended = Core::claim(options, inbox).and_then(|(core, xdrs)| work(core, xdrs, stop));
        let error = match ended {
            Ok(()) => return Ok(()),
            Err(error) if stop.load(Ordering::Relaxed) && error.is_stop() => return Ok(()),
            Err(error) => error,
        };
        inbox.shared.progress(|p| p.trouble = Some(error.to_string()));
        if !error.is_retriable() {
            tracing::error!(%error, "the ledger has stopped");
            return Err(error);
        }
        tracing::warn!(%error, "the ledger waits and goes on from its log");
        if began.elapsed() > RETRY_MAX {
            pause = Duration::from_millis(200);
        }
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            std::thread::sleep(NAP);
        }
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// One claim of the stream, until it is lost or the ledger is told to stop.
fn work(mut core: Core<'_>, mut xdrs: Vec<StreamReader>, stop: &AtomicBool) -> Result<(), LedgerError> {
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        let mut busy = core.orders()?;
        for reader in &mut xdrs {
            busy |= reader.poll(Duration::ZERO, &mut |accepted| core.frame(&accepted))? > 0;
        }
        core.writer.collect()?;
        core.read_back()?;
        if stopping && !busy {
            core.flush()?;
            return core.snapshot_now(&xdrs);
        }
        if !busy && core.writer.in_flight() > 0 {
            core.writer.settle()?;
            core.read_back()?;
        } else if !busy {
            core.idle()?;
            core.nap()?;
        }
        if core.snapshot_at.elapsed() >= core.options.snapshot_every {
            core.flush()?;
            core.snapshot(&xdrs)?;
        }
    }
}

struct Core<'a> {
    options: &'a LedgerOptions,
    inbox: &'a Inbox,
    stream: SmolStr,
    writer: StreamWriter,
    /// Reads our own frames back as accepted.
    own: StreamReader,
    epoch: u64,
    poster: Poster,
    rated: PricedCall,
    /// What the frame under construction has consumed.
    inputs: SmallVec<[Input; 1]>,
    /// Answers that wait for a frame.
    replies: VecDeque<(u64, Reply, Receipt)>,
    /// An order taken while napping.
    early: Option<Waiting>,
    /// Single frames for late truth and reversals.
    frames: FrameReader,
    posted: Posted,
    frame_at: Instant,
    certified: (Instant, u64, u64),
    snapshot_at: Instant,
    store: Store,
    writing: Option<JoinHandle<()>>,
}

impl<'a> Core<'a> {
    /// Claims the stream and rebuilds the fold: from the newest snapshot that fits the log, else from its start.
    fn claim(options: &'a LedgerOptions, inbox: &'a Inbox) -> Result<(Self, Vec<StreamReader>), LedgerError> {
        let source = ledger_source(&options.site);
        let stream = source.stream.clone();
        let (bus, ids) = (&*options.bus, &options.ids);
        bus.ensure(&TopicSpec::frames(source.topic.as_str(), 1))?;
        let store = Store::new(&options.data_dir, &stream);
        let snapshot = store.newest().filter(|x| snapshot::fits(x, &options.bus, &options.ids, &source));
        let mut inputs = Vec::new();
        let (mut fold, resume, mut last) = match snapshot {
            Some(snapshot) => {
                inputs = snapshot.inputs;
                let resume = (snapshot.state, snapshot.next_offset);
                (snapshot.fold, Some(resume.clone()), resume)
            }
            None => (Fold::new(stream.clone()), None, (StreamState::new(stream.clone()), bus.begin(&source.topic, 0)?)),
        };
        fold.history.set_max(options.history_max);
        let writer = StreamWriter::claim(bus, ids, &stream, &options.owner, resume, wall_micros(), &mut |accepted| {
            fold.frame(accepted.frame, accepted.offset)?;
            last = (accepted.state.clone(), accepted.offset + 1);
            Ok::<(), LedgerError>(())
        })?;
        let mut own = StreamReader::resume(bus, ids, last.0, last.1)?;
        // Up to our own fence, so that the epoch is ours.
        own.catch_up(bus, &mut |_| Ok::<(), LedgerError>(()))?;
        let mut xdrs = Vec::new();
        for partition in 0..options.partitions {
            let source = xdrs_source(&options.site, partition);
            bus.ensure(&TopicSpec::frames(source.topic.as_str(), 1))?;
            let known = inputs.iter().find(|(state, _)| state.stream() == &source.stream);
            let reader = match known {
                Some((state, offset)) => StreamReader::resume(bus, ids, state.clone(), *offset)?,
                None => StreamReader::open(bus, ids, &source.topic)?,
            };
            xdrs.push(reader);
        }
        inbox.shared.replace(fold, own.state().clone());
        let now = Instant::now();
        let entries = inbox.shared.fold().book.counts().all_entries();
        let (bus, ids) = (options.bus.clone(), options.ids.clone());
        let frames = FrameReader::new(bus, ids, stream.clone(), source.topic, source.partition);
        let core = Self {
            options,
            inbox,
            stream,
            epoch: own.state().epoch(),
            certified: (now, writer.state().seq(), entries),
            writer,
            own,
            poster: Poster::new(),
            rated: PricedCall::default(),
            inputs: SmallVec::new(),
            replies: VecDeque::new(),
            early: None,
            frames,
            posted: Posted::default(),
            frame_at: now,
            snapshot_at: now,
            store,
            writing: None,
        };
        Ok((core, xdrs))
    }

    fn shared(&self) -> &'a Shared {
        &self.inbox.shared
    }

    /// Sequence of the frame under construction.
    fn seq(&self) -> u64 {
        self.writer.state().seq() + 1
    }

    /// Where a stream goes on, the frame under construction included.
    fn next_of(&self, stream: &str) -> Position {
        let here = self.inputs.iter().find_map(|input| match input {
            Input::Stream { stream: name, to, .. } if name == stream => Some(*to),
            _ => None,
        });
        here.unwrap_or_else(|| self.writer.state().next_position(stream))
    }

    fn consumed(&mut self, stream: &SmolStr, until: Position) {
        for input in &mut self.inputs {
            if let Input::Stream { stream: name, to, .. } = input
                && name == stream
            {
                *to = until;
                return;
            }
        }
        let from = self.writer.state().next_position(stream);
        if from != until {
            self.inputs.push(Input::Stream { stream: stream.clone(), from, to: until });
        }
    }

    /// Books one accepted xdrs frame.
    fn frame(&mut self, accepted: &Accepted<'_>) -> Result<(), LedgerError> {
        let frame = accepted.frame;
        let (stream, seq) = (&frame.header.stream, frame.header.seq);
        let next = self.next_of(stream);
        if seq < next.seq {
            return Ok(());
        }
        let failed = |error| LedgerError::Frame { stream: stream.clone(), seq, error };
        frame.expect_items(schemas::xdrs::ITEMS).map_err(failed)?;
        let first = if seq == next.seq { next.index as usize } else { 0 };
        let mut call = std::mem::take(&mut self.rated);
        let mut fold = self.shared().fold();
        for index in first..frame.len() {
            let at = Position { seq, index: index as u32 };
            let read = frame.public(index).and_then(|public| rated::read(public, &mut call));
            if !read.map_err(|error| LedgerError::Item { stream: stream.clone(), at, error })? {
                continue;
            }
            loop {
                let mut current = None;
                if fold.book.knows(call.call_id) {
                    let frames = fold.book.frames_of(call.call_id);
                    self.shown();
                    drop(fold);
                    current = Some(self.current(call.call_id, &frames)?);
                    fold = self.shared().fold();
                }
                if self.poster.is_empty() {
                    self.certify(&mut fold)?;
                }
                let into = self.seq();
                match self.poster.call(&mut fold, into, &call, (stream, at), current.as_ref())? {
                    Took::Taken => break,
                    Took::Full => {
                        self.consumed(stream, at);
                        self.shown();
                        drop(fold);
                        self.cut()?;
                        fold = self.shared().fold();
                    }
                }
            }
        }
        self.shown();
        drop(fold);
        self.rated = call;
        self.consumed(stream, Position { seq: seq + 1, index: 0 });
        if self.poster.is_empty() { Ok(()) } else { self.cut() }
    }

    /// Whoever reads the fold now sees items of the frame under construction, and has to wait for it.
    fn shown(&self) {
        if !self.poster.is_empty() {
            let seq = self.seq();
            self.shared().progress(|p| p.built = seq);
        }
    }

    /// What was posted for a call before, read from our own frames.
    fn current(&mut self, call: CallId, frames: &[u64]) -> Result<CurrentCall, LedgerError> {
        let building = self.seq();
        let mut entries = Vec::new();
        for &seq in frames {
            if seq == building {
                self.poster.entries_here(&self.stream, seq, call, &mut entries)?;
            } else {
                let offset = self.offset_of(seq)?;
                let frame = self.frames.frame(seq, offset)?;
                entries_of_call(&self.stream, &frame, call, |_, entry| entries.push(entry))?;
            }
        }
        CurrentCall::fold(call, &entries).ok_or(LedgerError::Range { what: "the entries of a call" })
    }

    /// Offset of one of our frames; waits for those on their way.
    fn offset_of(&mut self, seq: u64) -> Result<u64, LedgerError> {
        let until = Instant::now() + READ_BACK;
        while seq > self.own.state().seq() && Instant::now() < until {
            self.writer.settle()?;
            self.read_back()?;
        }
        let offset = self.shared().fold().offset_of(seq);
        offset.ok_or_else(|| LedgerError::Missing { stream: self.stream.clone(), seq })
    }

    fn certify(&mut self, fold: &mut Fold) -> Result<(), LedgerError> {
        let (at, seq, entries) = self.certified;
        let now = fold.book.counts().all_entries();
        let due = self.seq() - seq > self.options.certificate_frames || at.elapsed() >= self.options.certificate_every;
        if due && now != entries {
            let seq = self.seq();
            self.poster.certify(fold, seq)?;
            self.certified = (Instant::now(), seq, now);
        }
        Ok(())
    }

    /// Writes the frame under construction.
    fn cut(&mut self) -> Result<(), LedgerError> {
        let parts = FrameParts {
            item_schema: schemas::ledger::ITEMS,
            config_seq: (self.options.config)().seq,
            fold_version: FOLD_VERSION,
            inputs: std::mem::take(&mut self.inputs),
            floor: None,
            clock: None,
            wall_micros: wall_micros(),
        };
        self.writer.append(self.poster.builder(), parts)?;
        self.posted.add(self.poster.take_posted());
        self.frame_at = Instant::now();
        Ok(())
    }

    /// Takes the orders that wait; true when there were any.
    fn orders(&mut self) -> Result<bool, LedgerError> {
        let mut taken = 0;
        while taken < self.options.orders_per_frame {
            let waiting = match self.early.take() {
                Some(waiting) => waiting,
                None => match self.inbox.orders.try_recv() {
                    Ok(waiting) => waiting,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                },
            };
            taken += 1;
            if !self.poster.has_room_for_order() {
                self.cut()?;
            }
            self.order(waiting)?;
        }
        if !self.poster.is_empty() {
            self.cut()?;
        }
        Ok(taken > 0)
    }

    fn order(&mut self, waiting: Waiting) -> Result<(), LedgerError> {
        let Waiting { order, reply } = waiting;
        let entry = match &order {
            Order::Pay(payment) => {
                let config = (self.options.config)();
                pay::entry_for(payment, config.accounts.get(&payment.account))
            }
            Order::Reverse { origin_id, occurred_at, by, reason } => {
                self.reversal(*origin_id, *occurred_at, by, reason)?
            }
        };
        let booked = match entry {
            Err(refusal) => Err(refusal),
            Ok(entry) => {
                let mut fold = self.shared().fold();
                if self.poster.is_empty() {
                    self.certify(&mut fold)?;
                }
                let seq = self.seq();
                let booked = self.poster.order(&mut fold, seq, &entry)?;
                self.shown();
                booked.map(|(at, applied)| (entry, at, applied))
            }
        };
        match booked {
            Ok((entry, at, applied)) => {
                let receipt = Receipt {
                    entry_id: EntryId::new(&self.stream, entry.kind.as_str(), entry.origin_id),
                    origin_id: entry.origin_id,
                    stream: self.stream.clone(),
                    seq: at.seq,
                    index: at.index,
                    repeated: matches!(applied, Applied::Repeated(_)),
                };
                self.replies.push_back((at.seq, reply, receipt));
            }
            Err(refusal) => {
                let refusal = match (refusal, order) {
                    (PayRefusal::IdReused { origin, .. }, Order::Pay(payment)) => {
                        PayRefusal::IdReused { id: payment.id, origin }
                    }
                    (refusal, _) => refusal,
                };
                // Whoever asked may have gone; the refusal changes nothing.
                let _ = reply.try_send(Err(OrderError::Refused(refusal)));
            }
        }
        Ok(())
    }

    fn reversal(
        &mut self,
        origin: OriginId,
        occurred_at: OccurredAt,
        by: &SmolStr,
        reason: &SmolStr,
    ) -> Result<Result<LedgerEntry, PayRefusal>, LedgerError> {
        let at = self.shared().fold().book.order(origin);
        let Some(at) = at else { return Ok(Err(PayRefusal::UnknownEntry(origin))) };
        if at.seq == self.seq() {
            self.cut()?;
        }
        let offset = self.offset_of(at.seq)?;
        let frame = self.frames.frame(at.seq, offset)?;
        match ledger_item(&self.stream, &frame, at.index as usize)? {
            LedgerItem::Entry(entry) => Ok(pay::reversal_of(&entry, occurred_at, by.clone(), reason.clone())),
            _ => Ok(Err(PayRefusal::UnknownEntry(origin))),
        }
    }

    /// Reads our durable frames back as accepted: answers go out, and a taken-over stream is noticed.
    fn read_back(&mut self) -> Result<(), LedgerError> {
        let (shared, epoch) = (self.shared(), self.epoch);
        let durable = self.writer.durable();
        let check = |state: &StreamState| {
            if state.epoch() == epoch {
                return Ok(());
            }
            let (stream, owner) = (state.stream().clone(), state.owner().clone());
            Err(LedgerError::Stream(StreamError::Fenced { stream, owner, epoch: state.epoch() }))
        };
        while self.own.state().seq() < durable {
            let folded = self.own.poll(Duration::from_secs(1), &mut |accepted| {
                check(accepted.state)?;
                shared.fold().durable(accepted.state.seq(), accepted.offset);
                shared.progress(|p| p.state.clone_from(accepted.state));
                Ok::<(), LedgerError>(())
            })?;
            check(self.own.state())?;
            if folded == 0 {
                if self.own.offset() >= self.options.bus.end(&self.stream, 0)? {
                    // All of the log has been read and a frame of ours does not count: somebody else writes.
                    let seq = self.own.state().seq() + 1;
                    return Err(StreamError::NotAccepted { stream: self.stream.clone(), seq }.into());
                }
                // It is on its way to us; the next turn looks again.
                break;
            }
        }
        let accepted = self.own.state().seq();
        while self.replies.front().is_some_and(|(seq, ..)| *seq <= accepted) {
            if let Some((_, reply, receipt)) = self.replies.pop_front() {
                // Whoever asked may have gone; the order is booked all the same.
                let _ = reply.try_send(Ok(receipt));
            }
        }
        Ok(())
    }

    /// Everything durable, read back, answered.
    fn flush(&mut self) -> Result<(), LedgerError> {
        if !self.poster.is_empty() || !self.inputs.is_empty() {
            self.cut()?;
        }
        self.writer.settle()?;
        let until = Instant::now() + READ_BACK;
        while self.own.state().seq() < self.writer.durable() && Instant::now() < until {
            self.read_back()?;
        }
        self.read_back()
    }

    /// Nothing to do: an empty frame now and then says that the stream is alive, and a look at the log says whether it
    /// is still ours.
    fn idle(&mut self) -> Result<(), LedgerError> {
        if self.frame_at.elapsed() >= self.options.idle_frame {
            let mut fold = self.shared().fold();
            self.certify(&mut fold)?;
            self.shown();
            drop(fold);
            self.cut()?;
        }
        Ok(())
    }

    fn nap(&mut self) -> Result<(), LedgerError> {
        if let Ok(waiting) = self.inbox.orders.recv_timeout(NAP) {
            self.early = Some(waiting);
        }
        Ok(())
    }

    /// Snapshot at a quiet moment; another thread writes it.
    fn snapshot(&mut self, xdrs: &[StreamReader]) -> Result<(), LedgerError> {
        let busy = self.writing.as_ref().is_some_and(|thread| !thread.is_finished());
        if busy || self.own.state().seq() < self.writer.state().seq() {
            return Ok(());
        }
        self.snapshot_at = Instant::now();
        let (bytes, seq, store) = (self.snapshot_bytes(xdrs)?, self.own.state().seq(), self.store.clone());
        let thread = std::thread::Builder::new().name("ledger-snapshot".into()).spawn(move || {
            // A snapshot is a cache: without it the next start reads more of the log.
            if let Err(error) = store.write(seq, &bytes) {
                tracing::warn!(%error, "snapshot was not written");
            }
        });
        match thread {
            Ok(thread) => self.writing = Some(thread),
            Err(error) => tracing::warn!(%error, "no thread for the snapshot"),
        }
        Ok(())
    }

    fn snapshot_now(&mut self, xdrs: &[StreamReader]) -> Result<(), LedgerError> {
        if let Some(thread) = self.writing.take() {
            // Its own error is logged by itself.
            let _ = thread.join();
        }
        if self.own.state().seq() < self.writer.state().seq() {
            return Ok(());
        }
        let bytes = self.snapshot_bytes(xdrs)?;
        if let Err(error) = self.store.write(self.own.state().seq(), &bytes) {
            tracing::warn!(%error, "snapshot was not written");
        }
        Ok(())
    }

    fn snapshot_bytes(&self, xdrs: &[StreamReader]) -> Result<Vec<u8>, LedgerError> {
        let inputs: Vec<(StreamState, u64)> =
            xdrs.iter().map(|reader| (reader.state().clone(), reader.offset())).collect();
        snapshot::encode(&mut self.shared().fold(), self.own.state(), self.own.offset(), &inputs)
    }
}

/// Microseconds since 1970 by this machine's clock.
pub fn wall_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
