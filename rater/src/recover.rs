//! A new owner's start (design 7.1): claims the stream, folds it into the indexes, takes the last `RaterState`,
//! advances it by the inputs since, and reads the events of calls still open once more.

use bus::stream::{Accepted, FrameError, FrameReader, Places, StreamWriter};
use bus::{Batch, BusError, TopicSpec};
use facts::OccurredAt;
use facts::call::{BusRecord, CallEvent, EventRef};
use facts::ids::ImportId;
use facts::stream::{Incarnation, StreamState};
use facts::time::{BookedAt, ObservedAt};
use facts::xdr::{ImportCount, Position, RaterState, XdrItem};
use rating::assemble::{Assembler, Known, Limits, Nodes, Origin, Pushed};
use schemas::bus_record::RecordRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::index::{CallPlaces, Checkpoint, Keys, Store, trouble};
use crate::options::{RaterError, RaterOptions};
use crate::run::{is_void_order, wall_micros};

/// Everything that a rater goes on from.
pub(crate) struct Recovered {
    pub writer: StreamWriter,
    frames: FrameReader,
    pub assembler: Assembler,
    pub places: CallPlaces,
    pub keys: Keys,
    pub incarnation: Incarnation,
    /// Partitions of the topic.
    pub partitions: u32,
    /// First offset not yet consumed.
    pub to: u64,
    /// Where the index is written; `None` = all in memory.
    pub store: Option<Store>,
    /// Offsets whose records were passed over by an order, from the floor on.
    pub passed: BTreeSet<u64>,
}

/// What the own stream says, frame by frame.
struct Told {
    places: CallPlaces,
    keys: Keys,
    noted: Places,
    booked_at: BookedAt,
    store: Option<Store>,
    counts: BTreeMap<ImportId, ImportCount>,
    state: Option<(RaterState, u64)>,
    floor: Option<u64>,
    clock: Option<ObservedAt>,
    /// Offsets whose records were passed over and stand as rejects.
    passed: BTreeSet<u64>,
}

/// Waits for the topic, claims the stream and recovers. `None` when told to stop meanwhile.
pub(crate) fn recover(options: &RaterOptions, stop: &AtomicBool) -> Result<Option<Recovered>, RaterError> {
    let partitions = loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match options.bus.partitions(&options.topic)? {
            Some(partitions) if partitions > options.partition => break partitions,
            _ => match options.bus.end(&options.topic, options.partition) {
                // It was there and is gone: nobody will make it.
                Err(error @ BusError::TopicLost { .. }) => return Err(error.into()),
                _ => std::thread::sleep(Duration::from_millis(100)),
            },
        }
    };
    let stream = options.stream();
    let bus = options.bus.as_ref();
    bus.ensure(&TopicSpec::frames(stream.as_str(), 1))?;
    let (mut told, resume) = Told::open(options, &stream)?;
    let mut writer =
        StreamWriter::claim(bus, &options.ids, &stream, &options.owner, resume, wall_micros(), &mut |accepted| {
            told.fold(options, accepted)
        })?;
    writer.remember(told.noted, told.booked_at);

    let info = bus.ensure(&TopicSpec::events(options.topic.as_str(), partitions))?;
    let now = info.partitions.get(options.partition as usize).and_then(|partition| partition.incarnation);
    let (to, known) = writer.state().next_offset(&options.topic, options.partition);
    let wrong = || RaterError::WrongLog {
        topic: options.topic.clone(),
        partition: options.partition,
        stream: stream.as_str().into(),
    };
    let incarnation = now.ok_or_else(wrong)?;
    if known.is_some_and(|known| known != incarnation) {
        return Err(wrong());
    }
    let config = (options.config)();
    let mut recovered = Recovered {
        writer,
        frames: FrameReader::new(options.bus.clone(), options.ids.clone(), stream.as_str()),
        assembler: Assembler::new(Limits::from(&config.settings), options.partition),
        places: told.places,
        keys: told.keys,
        incarnation,
        partitions,
        to,
        store: told.store,
        passed: told.passed,
    };
    for count in told.counts.into_values() {
        recovered.assembler.imports.recover(count);
    }
    let marks_from = match told.state {
        // Marks of a lost log know events of calls that were open, and these events are gone: whoever spooled them offers
        // them again under the same ids. What was booked is in the index.
        Some((_, to)) if to <= options.lost_before => 0,
        Some((state, to)) => {
            recovered.assembler.nodes = Nodes::from_state(&state.nodes);
            to
        }
        None => 0,
    };
    recovered.assembler.replay(true);
    let done = {
        let floor = told.floor.unwrap_or(to);
        if floor < options.lost_before.min(to) {
            let lost = options.lost_before.min(to) - floor;
            tracing::warn!(
                stream,
                lost,
                "events of calls that were open are lost with the disk; their ends will tell them"
            );
        }
        recovered.read_again(options, marks_from, floor.max(options.lost_before.min(to)), stop)?
    };
    recovered.assembler.replay(false);
    trouble(&recovered.places, &recovered.keys)?;
    if let Some(clock) = told.clock {
        recovered.assembler.recover_clock(clock);
    }
    Ok(done.then_some(recovered))
}

impl Told {
    /// What the index's folder remembers, where it is of this very stream, and where to go on reading.
    fn open(options: &RaterOptions, stream: &str) -> Result<(Self, Option<(StreamState, u64)>), RaterError> {
        let mut opened = (None, CallPlaces::default(), Keys::default(), Checkpoint::default());
        if let Some(folder) = options.index_folder() {
            let open = || -> Result<_, RaterError> {
                let (store, places, keys, checkpoint) = Store::open(&folder, stream, options.index_unwritten)?;
                Ok((Some(store), places, keys, checkpoint))
            };
            opened = open()?;
            if let Some(state) = &opened.3.state
                && !stands(options, stream, state, &opened.3.places)?
            {
                tracing::warn!(stream, folder = %folder.display(), "the index is of another log, it is made anew");
                Store::discard(&folder);
                // Its writer ends before the folder is opened again.
                drop(opened.0.take());
                opened = open()?;
            }
        }
        let (store, places, keys, checkpoint) = opened;
        let told = Self {
            places,
            keys,
            noted: checkpoint.places,
            booked_at: checkpoint.booked_at,
            store,
            counts: checkpoint.counts.into_iter().map(|count| (count.import, count)).collect(),
            state: checkpoint.marks,
            floor: checkpoint.floor,
            clock: checkpoint.clock.map(ObservedAt),
            passed: checkpoint.passed.into_iter().collect(),
        };
        Ok((told, checkpoint.state.map(|state| (state, checkpoint.offset))))
    }

    fn fold(&mut self, options: &RaterOptions, accepted: Accepted<'_>) -> Result<(), RaterError> {
        let header = &accepted.frame.header;
        let seq = header.seq;
        let decode = |source| RaterError::Frame { stream: header.stream.clone(), seq, source };
        accepted.frame.expect_items(schemas::xdrs::ITEMS).map_err(decode)?;
        self.noted.note(seq, accepted.offset);
        self.booked_at = header.booked_at;
        (self.floor, self.clock) = (header.floor, header.clock);
        for index in 0..accepted.frame.len() {
            let (public, private) = accepted.frame.item(index).map_err(decode)?;
            let at = Position { seq, index: index as u32 };
            match schemas::xdrs::decode_item(public, private).map_err(decode)? {
                XdrItem::Call(rated) => {
                    let started_at = rated.call.started_at;
                    let call = &rated.call;
                    let named = (&*call.id_domain, &*call.switch, &*call.call_key);
                    self.places.note(call.call_id, named, Known { at, suspended: false, started_at });
                    // A row that is known by nothing but its bytes is alone in its call, so the two lists go together.
                    for (at, key) in rated.call.dedupe.iter().enumerate() {
                        let origin = rated.call.raw.get(at).map(Origin::of_raw).unwrap_or_default();
                        self.keys.recover(*key, started_at, origin);
                    }
                }
                XdrItem::Suspended(item) => {
                    if let Some(first) = item.events.first() {
                        let started_at = started_at(&item.events);
                        let named = (&*first.id_domain, &*first.switch, &*first.call_key);
                        self.places.note(first.call_id(), named, Known { at, suspended: true, started_at });
                    }
                    item.events.iter().for_each(|event| self.key_of(event));
                }
                XdrItem::Conflict(item) => {
                    if item.reason == "lone_repeat" {
                        self.keys.note_lone(&item.event);
                    }
                    self.key_of(&item.event);
                }
                XdrItem::ImportCount(count) => drop(self.counts.insert(count.import, *count)),
                XdrItem::State(state) => {
                    let (to, _) = accepted.state.next_offset(&options.topic, options.partition);
                    self.state = Some((*state, to));
                }
                XdrItem::Reject(reject) if reject.source == options.source() && is_void_order(&reject) => {
                    self.passed.insert(reject.line);
                }
                XdrItem::Reject(_) | XdrItem::SourceMark { .. } => {}
            }
        }
        if let Some(floor) = self.floor {
            self.passed = self.passed.split_off(&floor);
        }
        trouble(&self.places, &self.keys)?;
        self.checkpoint(&accepted)
    }

    /// Memory stays bounded also while the stream is read.
    fn checkpoint(&mut self, accepted: &Accepted<'_>) -> Result<(), RaterError> {
        let Some(store) = &mut self.store else { return Ok(()) };
        if store.is_due(&self.places, &self.keys, accepted.state.seq()) {
            let checkpoint = Checkpoint {
                state: Some(accepted.state.clone()),
                offset: accepted.offset + 1,
                places: self.noted.clone(),
                booked_at: self.booked_at,
                floor: self.floor,
                clock: self.clock.map(ObservedAt::micros),
                passed: self.passed.iter().copied().collect(),
                marks: self.state.clone(),
                counts: self.counts.values().cloned().collect(),
            };
            store.freeze(&mut self.places, &mut self.keys, checkpoint);
            store.wait(&mut self.places, &mut self.keys)?;
        }
        Ok(())
    }

    fn key_of(&mut self, event: &CallEvent) {
        if let Some(key) = event.dedupe {
            self.keys.recover(key, event.occurred_at, Origin::of(event));
        }
    }
}

/// Whether the frame that a fold ends with stands in the stream: whether the fold is of this very log.
fn stands(options: &RaterOptions, stream: &str, state: &StreamState, places: &Places) -> Result<bool, RaterError> {
    let Some(offset) = places.offset(state.seq()) else { return Ok(false) };
    if offset >= options.bus.end(stream, 0)? || offset < options.bus.begin(stream, 0)? {
        return Ok(false);
    }
    let mut reader = FrameReader::new(options.bus.clone(), options.ids.clone(), stream);
    match reader.frame(state.seq(), offset) {
        Ok(frame) => Ok(frame.meta().hash == *state.hash()),
        Err(FrameError::Bus(error)) => Err(error.into()),
        Err(FrameError::Missing { .. } | FrameError::Damaged { .. }) => Ok(false),
    }
}

pub(crate) fn started_at(events: &[CallEvent]) -> OccurredAt {
    events.iter().map(|event| event.started_at.unwrap_or(event.occurred_at)).min().unwrap_or_default()
}

impl Recovered {
    /// Events below `to`: those from `marks_from` on advance the node marks, those from `floor` on go to open calls,
    /// except those that were passed over.
    fn read_again(
        &mut self,
        options: &RaterOptions,
        marks_from: u64,
        floor: u64,
        stop: &AtomicBool,
    ) -> Result<bool, RaterError> {
        let begin = options.bus.begin(&options.topic, options.partition)?;
        // Marks of records that were trimmed are of no use any more; events of open calls are: the reader refuses an
        // offset that is not there by name.
        let from = marks_from.max(begin).min(floor);
        if from >= self.to {
            return Ok(true);
        }
        let mut reader = options.bus.reader(&options.topic, options.partition, from)?;
        let mut batch = Batch::new();
        let to = self.to;
        while reader.position() < to {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            reader.poll(&mut batch, options.poll_bytes, Duration::from_secs(1))?;
            for record in batch.iter().take_while(|record| record.offset < to) {
                // What could not be read then cannot be read now; its reject stands in the stream.
                let Ok(decoded) = schemas::bus_record::read(record.value, &options.ids) else { continue };
                let folded = record.offset >= floor && !self.passed.contains(&record.offset);
                match decoded {
                    RecordRef::Event(event) => {
                        if bus::murmur2_partition(event.call_key.as_bytes(), self.partitions) != options.partition {
                            continue;
                        }
                        if record.offset >= marks_from && !event.id.node.is_empty() {
                            let id = &event.id;
                            self.assembler.nodes.first_time(id.node, id.boot_epoch, id.sequence);
                        }
                        if folded {
                            self.event_again(&event, record.offset)?;
                        }
                    }
                    RecordRef::Other(BusRecord::ImportEnd(end)) if folded => self.assembler.import_end(&end),
                    _ => {}
                }
            }
        }
        Ok(true)
    }

    /// An item of a durable frame of the own stream.
    pub fn item(&mut self, at: Position) -> Result<XdrItem, RaterError> {
        let missing =
            || RaterError::Missing { stream: self.writer.state().stream().clone(), seq: at.seq, index: at.index };
        let offset = self.writer.places().offset(at.seq).ok_or_else(missing)?;
        Ok(self.frames.item(at, offset, schemas::xdrs::decode_item)?)
    }

    fn event_again(&mut self, event: &EventRef<'_>, offset: u64) -> Result<(), RaterError> {
        let pushed = self.assembler.recover(event, offset, &self.places, &mut self.keys);
        if let Pushed::Late { event, known } = pushed
            && let XdrItem::Suspended(item) = self.item(known.at)?
        {
            // Either it is one of the events written out, or the call had been opened again by it.
            self.assembler.reopen(&item, &event.view(), offset);
        }
        Ok(())
    }
}
