//! What happens to disks, and what is done about it: the power goes in a write, bits flip, disks are lost; a start takes
//! or refuses what it finds, and what is refused or gone is put back from the copy (decision 0022).

use super::copy::{Stuck, With, frame};
use super::disk::{Disk, Place, Unread};
use super::rules::Oracle;
use super::{Events, Harm, LEDGER, OnBus, Pipeline, STREAMS, Slip, XDRS, fence_of};
use crate::Violation;
use accounting::TRIAL_FOLD;
use facts::BookedAt;
use facts::stream::epoch_above;
use schemas::frame::{FORMAT, FrameHeader};
use smallvec::SmallVec;

fn broken(rule: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation::new(rule, None, what))
}

impl Pipeline {
    pub(super) fn with(&self) -> With<'_> {
        (&self.ids, TRIAL_FOLD, self.course.slip)
    }

    pub(super) fn fresh_disk(&mut self) -> Disk {
        self.disks += 1;
        Disk::new(self.disks)
    }

    /// The site does not run until a person has looked.
    pub(super) fn closed(&self) -> bool {
        self.person.is_some()
    }

    /// A log that could not be read: damage closes the site, a lie breaks the rule.
    pub(super) fn unread(&mut self, stream: usize, why: Unread) {
        match why {
            Unread::Lie(what) => self.set_broken(broken("what is read is what was written", what)),
            Unread::Damaged(what) => {
                self.tell(|| format!("a reader of {} is refused: {what}", STREAMS[stream]));
                // A start looks at more than a reader does: it has to refuse what a reader refused.
                if self.logs[stream].open(self.course.slip).is_ok() {
                    let settled = self.logs[stream].settle();
                    let rule = "damage that a reader met is refused by a start";
                    self.set_broken(broken(rule, settled.err().unwrap_or_else(|| what.clone())));
                }
                self.refuse(stream, what);
            }
        }
    }

    fn refuse(&mut self, stream: usize, what: String) {
        if self.flipped != Some((false, stream)) {
            self.set_broken(broken("only damage is refused", format!("{}: {what}", STREAMS[stream])));
        }
        self.done.damage += 1;
        self.refused[stream] = true;
        self.owners.clear();
        let later = if self.healing { 0 } else { self.dice.within(0, 60) as u32 };
        self.person.get_or_insert(self.turn + later);
    }

    /// A start of one stream's log.
    pub(super) fn start(&mut self, stream: usize) {
        if self.refused[stream] {
            return;
        }
        match self.logs[stream].open(self.course.slip) {
            Err(wrong) => {
                self.tell(|| format!("a start refuses {}: {wrong:?}", STREAMS[stream]));
                self.refuse(stream, format!("{wrong:?}"));
            }
            Ok(torn) => {
                self.done.torn += u64::from(torn);
                if self.flipped == Some((false, stream)) {
                    self.flipped = None;
                }
                match self.logs[stream].settle() {
                    Ok(landed) => landed.iter().for_each(|record| self.counts(stream, record)),
                    Err(what) => {
                        self.set_broken(broken("nothing acknowledged is lost by a torn tail", what));
                    }
                }
            }
        }
    }

    /// The power goes while these records are written.
    pub(super) fn power_cut(&mut self, stream: usize, records: Vec<Vec<u8>>) {
        self.done.power_cuts += 1;
        self.tell(|| format!("the power goes while {} records of {} are written", records.len(), STREAMS[stream]));
        self.owners.clear();
        self.logs[stream].torn(records, &mut self.dice);
        for stream in [XDRS, LEDGER] {
            // A claim that lags and a bit that flipped in the last block: two faults at once, which a start cannot tell
            // from a torn tail.
            if self.flipped != Some((false, stream)) && self.dice.chance(700) {
                self.logs[stream].lag(&mut self.dice);
            }
            self.start(stream);
        }
        // Disks that lose their power lose bits, too.
        if self.dice.chance(250) && !self.course.without.contains(&Harm::BitFlip) {
            self.flip(false, stream);
        }
    }

    fn flip(&mut self, copy: bool, stream: usize) {
        if self.flipped.is_some() || self.closed() {
            return;
        }
        let sealed = self.course.slip == Some(Slip::ChecksumUnread);
        let disk = if copy { &mut self.copy.logs[stream] } else { &mut self.logs[stream] };
        let place = disk.flip(&mut self.dice, sealed);
        self.flipped = Some((copy, stream));
        self.done.flips += 1;
        self.tell(|| format!("a bit flips in {}{}: {place}", if copy { "the copy of " } else { "" }, STREAMS[stream]));
    }

    /// The copy's machine loses its power while it writes what it has fetched.
    fn copy_power_cut(&mut self) {
        let stream = self.dice.within(0, 1) as usize;
        let count = self.dice.within(1, 4) as usize;
        let next = self.copy.next(stream, &self.logs[stream], count, self.with());
        if next.is_empty() {
            return;
        }
        self.done.power_cuts += 1;
        self.tell(|| format!("the copy's power goes while it writes {}", STREAMS[stream]));
        self.copy.logs[stream].torn(next, &mut self.dice);
        if self.flipped != Some((true, stream)) {
            self.copy.logs[stream].lag(&mut self.dice);
        }
        self.start_copy(stream);
    }

    pub(super) fn start_copy(&mut self, stream: usize) {
        let flipped = self.flipped == Some((true, stream));
        if flipped {
            self.flipped = None;
        }
        match self.copy.logs[stream].open(self.course.slip) {
            Ok(torn) => {
                self.done.torn += u64::from(torn);
                if let Err(what) = self.copy.logs[stream].settle() {
                    return self.set_broken(broken("nothing acknowledged is lost by a torn tail", what));
                }
            }
            Err(wrong) => {
                self.done.damage += 1;
                self.tell(|| format!("a start refuses the copy of {}: it is fetched anew: {wrong:?}", STREAMS[stream]));
                if !flipped {
                    self.set_broken(broken(
                        "only damage is refused",
                        format!("copy of {}: {wrong:?}", STREAMS[stream]),
                    ));
                }
                self.copy.logs[stream] = self.fresh_disk();
            }
        }
        let with = (&self.ids, TRIAL_FOLD, self.course.slip);
        let restarted = self.copy.restart(stream, with);
        self.set_broken(restarted);
    }

    pub(super) fn fetch(&mut self, stream: usize, count: usize) {
        if self.closed() {
            return;
        }
        let with = (&self.ids, TRIAL_FOLD, self.course.slip);
        match self.copy.fetch(stream, &self.logs[stream], count, with) {
            Ok(()) => {}
            Err(Stuck::Broken(violation)) => self.set_broken(Err(violation)),
            Err(Stuck::Source(why)) => self.unread(stream, why),
        }
    }

    /// Disks that are nobody's fault.
    pub(super) fn disks_happen(&mut self) {
        if self.person.is_some_and(|turn| turn <= self.turn) {
            self.person_comes();
        }
        if self.harm(Harm::PowerCut) && self.dice.chance(300) && !self.closed() {
            self.copy_power_cut();
        }
        if self.harm(Harm::LostTail) {
            let stream = self.dice.within(0, 1) as usize;
            if self.flipped == Some((true, stream)) {
                return;
            }
            let keep = self.copy.logs[stream].truth.len().saturating_sub(self.dice.within(0, 8) as usize);
            let disk = self.fresh_disk();
            self.tell(|| format!("the copy of {} falls back to {keep} records", STREAMS[stream]));
            let with = (&self.ids, TRIAL_FOLD, self.course.slip);
            let lost = self.copy.fall_back(stream, keep, disk, with);
            self.set_broken(lost);
        }
        if self.harm(Harm::BitFlip) && self.dice.chance(200) {
            let (copy, stream) = (self.dice.chance(300), self.dice.within(0, 1) as usize);
            self.flip(copy, stream);
        }
        // What is put back comes from the copy, which must not be damaged at the same time.
        let copy_is_whole = self.flipped.is_none_or(|(copy, _)| !copy);
        if copy_is_whole && self.harm(Harm::LostDisk) && self.dice.chance(200) {
            match self.dice.within(0, 2) {
                0 => self.put_back(&[LEDGER], false),
                1 => self.put_back(&[XDRS], false),
                _ => self.put_back(&[XDRS, LEDGER], true),
            }
        }
    }

    /// What was refused is set aside and put back.
    fn person_comes(&mut self) {
        let streams: Vec<usize> = [XDRS, LEDGER].into_iter().filter(|stream| self.refused[*stream]).collect();
        self.put_back(&streams, false);
    }

    /// The disks of these streams, and of the switches' events, are gone; what the copy holds is put in their places.
    pub(super) fn put_back(&mut self, streams: &[usize], events: bool) {
        self.done.disks_lost += 1;
        self.owners.clear();
        self.person = None;
        for stream in streams.iter().copied() {
            self.flying.retain(|(of, ..)| *of != stream);
            self.refused[stream] = false;
            if self.flipped == Some((false, stream)) {
                self.flipped = None;
            }
            if stream == LEDGER {
                // People order again what they ever ordered, under the same ids.
                self.told_booked.clear();
            }
            let put = self.put_one_back(stream);
            self.set_broken(put);
        }
        // Another stream that was refused waits no longer than this.
        if self.refused.contains(&true) {
            self.person = Some(self.turn);
        } else if self.broken.is_none() {
            if !streams.contains(&LEDGER) {
                // As after every loss all of the site's streams are fenced: a frame of a sleeper that booked what is lost
                // must not come to count behind the places that are filled now.
                self.names += 1;
                let epoch = epoch_above(self.oracles[LEDGER].epoch);
                self.append(LEDGER, fence_of(LEDGER, epoch, self.names, &self.ids));
            }
            if events {
                self.events_lost();
            }
            self.fill_places();
        }
    }

    fn put_one_back(&mut self, stream: usize) -> Result<(), Violation> {
        let held = self.copy.states[stream].seq();
        self.tell(|| format!("the disk of {} is lost; the copy holds {held} frames", STREAMS[stream]));
        let chain = &self.oracles[stream].chain;
        if held > 0 && chain.get(held as usize - 1) != Some(self.copy.states[stream].hash()) {
            return broken("a copy holds what counts", format!("frame {held} of the copy"));
        }
        self.confirmed.retain(|(of, seq, _)| *of != stream || *seq <= held);
        let mut disk = self.fresh_disk();
        let mut place = Place::BEGIN;
        let mut records = Vec::new();
        let unread = |why: Unread| Violation::new("a copy that is whole can be read", None, format!("{why:?}"));
        while let Some(record) = self.copy.logs[stream].read(&mut place).map_err(unread)? {
            records.push(record.to_vec());
        }
        if self.course.slip == Some(Slip::ShorterCopy) {
            records.truncate(records.len() - records.len() / 4);
        }
        let mut oracle = Oracle::new(stream);
        for record in &records {
            oracle.see(record, self)?;
        }
        // What the copy holds is written as one block or several, as it comes.
        while !records.is_empty() {
            let count = (self.dice.within(1, 8) as usize).min(records.len());
            disk.append(records.drain(..count).collect());
        }
        self.oracles[stream] = oracle;
        self.logs[stream] = disk;
        self.copy.places[stream] = Place::BEGIN;
        self.names += 1;
        let epoch = epoch_above(self.oracles[stream].epoch);
        let fence = fence_of(stream, epoch, self.names, &self.ids);
        self.append(stream, fence);
        Ok(())
    }

    /// `call-events` is made anew where the raters' stream ends; switches offer again what they ever told.
    fn events_lost(&mut self) {
        let base = self.oracles[XDRS].events;
        self.tell(|| format!("events are gone; their log goes on at {base}, switches offer all again"));
        self.bus = Events { base, held: Vec::new() };
        // Either the edge has spooled them and knows their ids, or switches tell a node that begins anew.
        let anew = self.dice.chance(500);
        if anew {
            (self.boots, self.sequence) = (self.boots + 1, 0);
        }
        for mut event in self.told_once.clone() {
            if anew {
                event.id = self.next_id();
            }
            let at = self.turn + 1 + self.dice.within(0, 100) as u32;
            self.coming.push((at, OnBus::Event(Box::new(event))));
        }
    }

    /// Lost rated calls that the ledger has booked: empty frames stand in their places.
    fn fill_places(&mut self) {
        let booked = self.oracles[LEDGER].position.seq - 1;
        if booked <= self.oracles[XDRS].seq || self.course.slip == Some(Slip::PlacesGivenAgain) {
            return;
        }
        self.names += 1;
        let epoch = self.oracles[XDRS].epoch + 1;
        self.append(XDRS, fence_of(XDRS, epoch, self.names, &self.ids));
        let (mut floor, mut clock, mut last) = (None, None, BookedAt(0));
        if let Some(frame) = self.logs[XDRS].truth.iter().rev().find_map(|record| frame(record, &self.ids)) {
            (floor, clock, last) = (frame.header.floor, frame.header.clock, frame.header.booked_at);
        }
        while self.oracles[XDRS].seq < booked && self.broken.is_none() {
            last = last.next(self.wall());
            let header = FrameHeader {
                format: FORMAT,
                item_schema: schemas::xdrs::ITEMS,
                stream: STREAMS[XDRS].into(),
                epoch,
                seq: self.oracles[XDRS].seq + 1,
                prev_hash: self.oracles[XDRS].hash,
                booked_at: last,
                config_seq: 1,
                fold_version: 1,
                inputs: SmallVec::new(),
                floor,
                clock,
            };
            let mut bytes = Vec::new();
            self.builder.clear();
            self.builder.finish(&header, &self.ids, &mut bytes);
            self.append(XDRS, bytes);
            self.done.filled += 1;
        }
        self.tell(|| format!("empty frames stand up to frame {booked}"));
    }

    /// Everything is started once more: whatever flipped is found now.
    pub(super) fn start_all(&mut self) {
        for stream in [XDRS, LEDGER] {
            self.start_copy(stream);
        }
        for stream in [XDRS, LEDGER] {
            self.start(stream);
        }
        if self.closed() {
            self.person_comes();
        }
    }
}
