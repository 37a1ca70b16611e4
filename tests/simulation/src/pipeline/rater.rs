//! The rater as far as it is pure: events into the product's assembler, calls and late truth into frames, and what a new
//! owner has to find again.

use super::{Events, OnBus, Slip};
use accounting::sample;
use facts::ObservedAt;
use facts::call::{Call, CallEvent};
use facts::config::SiteSettings;
use facts::ids::{CallId, Cause, RevId};
use facts::xdr::{Position, RatedCall, RaterState, Revision, Suspended, XdrItem};
use rating::assemble::{Assembler, CallIndex, Known, Limits, NoKeys, Nodes, Outcome, Pushed, apply_late};
use schemas::FrameView;
use std::collections::BTreeMap;

/// Calls that have left, with what was said of them last.
#[derive(Default)]
struct Index(BTreeMap<CallId, (Known, Option<Call>, Option<Suspended>)>);

impl CallIndex for Index {
    fn find(&self, call: CallId) -> Option<Known> {
        self.0.get(&call).map(|(known, ..)| *known)
    }
}

/// One owner's rater.
pub(super) struct Rater {
    assembler: Assembler,
    index: Index,
    /// Events up to here are in frames or under construction.
    pub next: u64,
    items: Vec<XdrItem>,
    /// Sequence of the frame under construction.
    seq: u64,
}

fn price(call: &Call) -> String {
    // A cent a second.
    let cents = call.duration / super::SECOND;
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A call with its price, as the rater writes it.
fn rated(call: &Call, revision: Revision, cause: &Cause) -> RatedCall {
    let mut rated = sample::rated(&call.call_key, ("acme", &price(call)), &[]);
    rated.call = call.clone();
    rated.revision = revision;
    for xdr in &mut rated.xdrs {
        xdr.rev_id = RevId::new(xdr.xdr_id, cause);
    }
    rated
}

impl Rater {
    pub fn new() -> Self {
        let assembler = Assembler::new(Limits::from(&SiteSettings::default()), 0);
        Self { assembler, index: Index::default(), next: 0, items: Vec::new(), seq: 1 }
    }

    /// What a new owner makes of the accepted frames, and of the events that they have not let go.
    pub fn recover(frames: &[FrameView<'_>], to: u64, bus: &Events, slip: Option<Slip>) -> Self {
        let mut this = Self::new();
        let (mut state_to, mut floor, mut clock) = (0, 0, None);
        for frame in frames {
            let seq = frame.header.seq;
            for index in 0..frame.len() {
                let Ok(item) =
                    frame.item(index).and_then(|(public, private)| schemas::xdrs::decode_item(public, private))
                else {
                    continue;
                };
                let at = Position { seq, index: index as u32 };
                match item {
                    XdrItem::State(state) => {
                        this.assembler.nodes = Nodes::from_state(&state.nodes);
                        state_to = super::copy::events_to(frame).unwrap_or(0);
                    }
                    item if slip != Some(Slip::IndexForgotten) => this.note(at, &item),
                    _ => {}
                }
            }
            (floor, clock) = (frame.header.floor.unwrap_or(0), frame.header.clock);
        }
        if state_to <= bus.base && slip != Some(Slip::MarksOfLostEvents) {
            // Whoever offers events of a lost log again means those of calls that were open, too.
            this.assembler.nodes = Nodes::default();
        }
        this.assembler.replay(true);
        if let Some(clock) = clock {
            this.assembler.recover_clock(clock);
        }
        for at in state_to..to {
            if let Some(OnBus::Event(event)) = bus.get(at) {
                this.assembler.nodes.first_time(&event.id.node, event.id.boot_epoch, event.id.sequence);
            }
        }
        if slip != Some(Slip::FloorIgnored) {
            for at in floor..to {
                if let Some(OnBus::Event(event)) = bus.get(at) {
                    let pushed = this.assembler.recover(&event.view(), at, &this.index, &mut NoKeys);
                    this.again(event, at, pushed);
                }
            }
        }
        this.assembler.replay(false);
        (this.next, this.seq) = (to, frames.last().map_or(0, |frame| frame.header.seq) + 1);
        this
    }

    /// An event of a suspended call: unless it is in it already, the call goes on.
    fn again(&mut self, event: &CallEvent, at: u64, pushed: Pushed) {
        if let Pushed::Late { known, .. } = pushed
            && known.suspended
            && let Some((_, _, Some(item))) = self.index.0.get(&event.call_id())
            && !item.events.iter().any(|known| known.id == event.id)
            && let Some((_, _, Some(item))) = self.index.0.remove(&event.call_id())
        {
            self.assembler.reopen(&item, &event.view(), at);
        }
    }

    fn note(&mut self, at: Position, item: &XdrItem) {
        match item {
            XdrItem::Call(rated) => {
                let known = Known { at, suspended: false, started_at: rated.call.started_at };
                self.index.0.insert(rated.call.call_id, (known, Some(rated.call.clone()), None));
            }
            XdrItem::Suspended(item) => {
                if let Some(first) = item.events.first() {
                    let known = Known { at, suspended: true, started_at: first.occurred_at };
                    self.index.0.insert(first.call_id(), (known, None, Some((**item).clone())));
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, item: XdrItem) {
        let at = Position { seq: self.seq, index: self.items.len() as u32 };
        self.note(at, &item);
        self.items.push(item);
    }

    fn drain(&mut self) {
        while self.assembler.next_told().is_some() {}
        while let Some(outcome) = self.assembler.next_ready() {
            let item = match outcome {
                Outcome::Call(call) => XdrItem::Call(Box::new(rated(&call, Revision::First, &Cause::First))),
                Outcome::Suspended { item, .. } => XdrItem::Suspended(item),
            };
            self.put(item);
            self.assembler.written();
        }
    }

    /// Takes so many records more.
    pub fn take(&mut self, bus: &Events, count: u64) {
        let to = (self.next + count).min(bus.end());
        for at in self.next..to {
            let Some(record) = bus.get(at) else { continue };
            match record {
                OnBus::Tick(clock) => self.assembler.tick(*clock),
                OnBus::Event(event) => {
                    let pushed = self.assembler.push(&event.view(), at, &self.index, &mut NoKeys);
                    self.late(event, at, pushed);
                }
            }
            self.drain();
        }
        self.next = to;
    }

    fn late(&mut self, event: &CallEvent, at: u64, pushed: Pushed) {
        let Pushed::Late { event: late, known } = pushed else { return };
        if known.suspended {
            return self.again(event, at, Pushed::Late { event: late, known });
        }
        let Some((_, Some(earlier), _)) = self.index.0.get(&event.call_id()) else { return };
        if let Ok(Some(call)) = apply_late(earlier, &late) {
            let trigger = late.id.hash();
            let revision = Revision::Late { trigger, based_on: known.at };
            self.put(XdrItem::Call(Box::new(rated(&call, revision, &Cause::Late(trigger)))));
        }
    }

    /// The frame under construction: items, floor, clock. The marks of nodes stand in every fourth frame.
    pub fn frame(&mut self) -> (Vec<XdrItem>, u64, Option<ObservedAt>) {
        let mut items = std::mem::take(&mut self.items);
        let clock = self.assembler.clock();
        if self.seq.is_multiple_of(4) {
            let nodes = self.assembler.nodes.to_state();
            let clock = clock.unwrap_or(ObservedAt(0));
            items.push(XdrItem::State(Box::new(RaterState { clock, nodes, ..RaterState::default() })));
        }
        self.seq += 1;
        (items, self.assembler.floor(self.next), clock)
    }
}
