//! Owners: how they claim, what they make of what they read, what they write, and what becomes of it.

use super::books::Books;
use super::copy::{Reader, events_to, frame};
use super::disk::Unread;
use super::rater::Rater;
use super::{Harm, Owner, Pipeline, STREAMS, Slip, Work, XDRS, accepts, fence_of};
use crate::Violation;
use accounting::TRIAL_FOLD;
use accounting::pay::{Payment, origin_of};
use facts::BookedAt;
use facts::stream::{Incarnation, Input};
use facts::xdr::Position;
use schemas::frame::{FORMAT, FrameHeader, StreamRecord};
use smallvec::{SmallVec, smallvec};

impl Pipeline {
    /// A new owner: reads, claims, and goes on where the accepted frames end.
    pub(super) fn claim(&mut self, stream: usize) {
        let slip = self.course.slip;
        let knows = self.program;
        if self.order.is_some_and(|(version, _)| version > knows) && slip != Some(Slip::OldGoesOn) {
            return;
        }
        self.names += 1;
        self.done.owners += 1;
        let mut reader = Reader::new(stream);
        if let Err(why) = reader.catch_up(&self.logs[stream], &self.ids, slip) {
            return self.unread(stream, why);
        }
        let (epoch, name) = (reader.state.epoch() + 1, self.names);
        self.tell(|| format!("owner {name} claims {} with epoch {epoch}", STREAMS[stream]));
        self.append(stream, fence_of(stream, epoch, name, &self.ids));
        let caught_up = reader.catch_up(&self.logs[stream], &self.ids, slip);
        let frames = caught_up.and_then(|()| reader.frames_from(&self.logs[stream], &self.ids, 1, usize::MAX));
        let frames = match frames {
            Ok(frames) => frames,
            Err(why) => return self.unread(stream, why),
        };
        let booked = frames.last().map_or(BookedAt(0), |frame| frame.header.booked_at);
        let work = match stream {
            XDRS => {
                let mut to = frames.iter().rev().find_map(events_to).unwrap_or(0);
                if slip == Some(Slip::ResumesWhereSent) {
                    let sent =
                        self.logs[stream].truth.iter().filter_map(|record| events_to(&frame(record, &self.ids)?));
                    to = to.max(sent.max().unwrap_or(0));
                }
                Ok(Work::Rater(Box::new(Rater::recover(&frames, to, &self.bus, slip))))
            }
            _ => {
                let mut books = Books::new();
                // A program that goes on by rules it does not know folds as if they were its own.
                let newest = if slip == Some(Slip::OldGoesOn) { TRIAL_FOLD } else { knows };
                let mut folded = frames.iter().try_for_each(|frame| books.fold(frame, newest));
                books.next = reader.state.next_position(STREAMS[XDRS]).seq;
                if slip == Some(Slip::TailBookedAgain) {
                    books.next = (books.next - 1).max(1);
                }
                if slip == Some(Slip::OrdersForgotten) {
                    books.orders.clear();
                }
                if folded.is_ok() && self.dice.chance(300) {
                    folded = books.reload();
                }
                folded.map(|()| Work::Books(Box::new(books)))
            }
        };
        match work {
            Ok(work) => {
                let (state, place) = (reader.state, reader.place);
                let ahead = state.clone();
                self.owners.push(Owner {
                    of: stream,
                    name,
                    epoch,
                    place,
                    state,
                    ahead,
                    booked,
                    knows,
                    asleep: 0,
                    work,
                });
            }
            Err(why) => self.set_broken(Err(Violation::new("every stream can be folded again", None, why))),
        }
    }

    /// One owner reads what is new, acts on what counts, and writes its next frame.
    pub(super) fn step(&mut self, at: usize) {
        let slip = self.course.slip;
        let owner = &mut self.owners[at];
        let old = self.order.is_some_and(|(version, _)| version > owner.knows) && slip != Some(Slip::OldGoesOn);
        if owner.asleep > self.turn {
            return;
        }
        let log = &self.logs[owner.of];
        let mut fenced = false;
        loop {
            let record = match log.read(&mut owner.place) {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(why) => {
                    let stream = owner.of;
                    return self.unread(stream, why);
                }
            };
            match accepts(&mut owner.state, record, &self.ids, slip) {
                Some(StreamRecord::Fence(fence)) => fenced |= fence.epoch != owner.epoch,
                Some(StreamRecord::Frame(frame)) if frame.header.epoch == owner.epoch => {
                    self.confirmed.push((owner.of, frame.header.seq, frame.hash()));
                }
                _ => {}
            }
        }
        let waits = self.flying.iter().any(|(stream, ..)| *stream == owner.of);
        let lost = owner.state.hash() != owner.ahead.hash();
        if (fenced && slip != Some(Slip::OldEpochCounts)) || old || (lost && !waits) {
            let name = owner.name;
            self.owners.swap_remove(at);
            return self.tell(|| format!("owner {name} ends: another one writes, a frame was lost, or it is too old"));
        }
        if lost {
            return;
        }
        self.tell_people(at);
        let from = match self.rated(at) {
            Ok(from) => from,
            Err(why) => return self.unread(XDRS, why),
        };
        match self.build(at, &from) {
            Ok(Some(bytes)) => self.write(at, bytes),
            Ok(None) => {}
            Err(why) => self.set_broken(Err(Violation::new("an owner can go on from what it has read", None, why))),
        }
    }

    /// All that this owner has folded counts: people hear of the orders among it.
    fn tell_people(&mut self, at: usize) {
        let Work::Books(books) = &self.owners[at].work else { return };
        let booked = self.orders.iter().enumerate().filter(|(_, order)| books.orders.contains(&origin_of(&order.id)));
        self.told_booked.extend(booked.map(|(number, _)| number));
    }

    /// Frames of rated calls that a ledger's owner may book next.
    fn rated(&mut self, at: usize) -> Result<Vec<Vec<u8>>, Unread> {
        let most = 1 + self.dice.within(1, 12) as usize / 4;
        let Work::Books(books) = &mut self.owners[at].work else { return Ok(Vec::new()) };
        books.calls.catch_up(&self.logs[XDRS], &self.ids, self.course.slip)?;
        books.calls.records_from(&self.logs[XDRS], books.next, most)
    }

    /// The next frame of an owner; nothing where there is nothing to say.
    fn build(&mut self, at: usize, rated: &[Vec<u8>]) -> Result<Option<Vec<u8>>, String> {
        let (slip, wall) = (self.course.slip, self.wall());
        let count = self.dice.within(1, 12) as u64;
        let waits = |number: &usize| !self.told_booked.contains(number);
        let orders: Vec<Payment> =
            (0..self.orders.len()).filter(waits).map(|number| self.orders[number].clone()).collect();
        let owner = &mut self.owners[at];
        let seq = owner.state.seq() + 1;
        let mut builder = std::mem::take(&mut self.builder);
        builder.clear();
        let mut header = FrameHeader {
            format: FORMAT,
            item_schema: schemas::xdrs::ITEMS,
            stream: STREAMS[owner.of].into(),
            epoch: owner.epoch,
            seq,
            prev_hash: *owner.state.hash(),
            booked_at: owner.booked.next(wall),
            config_seq: 1,
            fold_version: 1,
            inputs: SmallVec::new(),
            floor: None,
            clock: None,
        };
        let full = |error| format!("{error:?}");
        match &mut owner.work {
            Work::Rater(rater) => {
                let from = rater.next;
                rater.take(&self.bus, count);
                if rater.next == from {
                    return Ok(None);
                }
                let (items, floor, clock) = rater.frame();
                for item in &items {
                    builder.push(|public, private| schemas::xdrs::encode_item(item, public, private)).map_err(full)?;
                }
                (header.floor, header.clock) = (Some(floor), clock);
                let (topic, incarnation) = ("call-events".into(), Incarnation([1; 16]));
                header.inputs =
                    smallvec![Input::Events { topic, partition: 0, incarnation, from, to: rater.next, crc32c: 0 }];
            }
            Work::Books(books) => {
                let from = books.next;
                let frames: Vec<_> = rated.iter().filter_map(|record| frame(record, &self.ids)).collect();
                let mut ordered = self.order.filter(|(_, from)| wall >= *from).map_or(1, |(version, _)| version);
                if slip == Some(Slip::SwitchUnordered) {
                    ordered = owner.knows;
                }
                if slip == Some(Slip::OldGoesOn) {
                    ordered = ordered.min(owner.knows);
                }
                let known = orders.iter().all(|order| books.orders.contains(&origin_of(&order.id)));
                if frames.is_empty() && known && ordered <= books.book.fold_version() {
                    return Ok(None);
                }
                let (items, version) = books.frame(seq, (&frames, &orders), ordered, slip)?;
                for item in &items {
                    builder
                        .push(|public, private| schemas::ledger::encode_item(item, public, private))
                        .map_err(full)?;
                }
                header.item_schema = schemas::ledger::ITEMS;
                header.fold_version = if slip == Some(Slip::OldGoesOn) { owner.knows } else { version };
                let place = |seq| Position { seq, index: 0 };
                if books.next > from {
                    let stream = STREAMS[XDRS].into();
                    header.inputs = smallvec![Input::Stream { stream, from: place(from), to: place(books.next) }];
                }
            }
        }
        if slip == Some(Slip::ClockAsItIs) {
            header.booked_at = BookedAt(wall);
        }
        owner.booked = header.booked_at;
        let mut bytes = Vec::new();
        let hash = builder.finish(&header, &self.ids, &mut bytes);
        self.builder = builder;
        // What does not follow from its own reading comes back as lost.
        let _ = owner.ahead.fold_frame(&header.meta(hash));
        Ok(Some(bytes))
    }

    /// A frame on its way to the disk.
    fn write(&mut self, at: usize, bytes: Vec<u8>) {
        let (stream, name) = (self.owners[at].of, self.owners[at].name);
        let seq = self.owners[at].ahead.seq();
        self.tell(|| format!("owner {name} writes frame {seq} of {}", STREAMS[stream]));
        if self.harm(Harm::FullDisk) {
            self.tell(|| "the disk is full: it goes on from its log".to_owned());
            self.owners.swap_remove(at);
            return self.logs[stream].full(&bytes, &mut self.dice);
        }
        if self.harm(Harm::PowerCut) && self.dice.chance(300) {
            return self.power_cut(stream, vec![bytes]);
        }
        if self.harm(Harm::Death) {
            let lands = self.dice.chance(500);
            self.tell(|| format!("it dies, the frame {}", if lands { "is durable" } else { "is lost" }));
            self.owners.swap_remove(at);
            if lands {
                self.append(stream, bytes);
            }
            return;
        }
        if self.harm(Harm::Zombie) {
            let lands = self.turn + self.dice.within(1, 80) as u32;
            self.owners[at].asleep = self.turn + self.dice.within(1, 120) as u32;
            self.tell(|| "it sleeps in the middle of that write".to_owned());
            self.flying.push((stream, lands, bytes));
            return;
        }
        self.append(stream, bytes);
    }
}
