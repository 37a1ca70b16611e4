//! Two starts with one call key further apart than the longest call are two calls (design 6.6). The later one to come
//! takes the key with its start behind it, so that ids, sides and entries of the two are apart; an event of the second
//! one is led to it by the day on which it began. The switch that repeats its keys is told of: `key_reused`.

use facts::call::{EventKind, EventRef};
use facts::ids::{CallId, hash};
use facts::time::{OccurredAt, parse_rfc3339, rfc3339};
use smol_str::{SmolStr, format_smolstr};
use std::collections::BTreeMap;

use super::open::OpenCall;
use super::{Assembler, CallIndex, DAY, Known, Pushed};

const BETWEEN: &str = " (again ";

/// The key of a second call with the key of an earlier one.
fn key_again(call_key: &str, started_at: OccurredAt) -> SmolStr {
    format_smolstr!("{call_key}{BETWEEN}{})", rfc3339(started_at.micros()))
}

/// The key as the switch has it, and the start behind it.
fn first_key(call_key: &str) -> Option<(&str, OccurredAt)> {
    let (first, start) = call_key.strip_suffix(')')?.rsplit_once(BETWEEN)?;
    Some((first, OccurredAt(parse_rfc3339(start)?)))
}

/// Under which id a second call stands in the index beside its own, so that later events with the switch's key find it,
/// and when it began; `None` for all other calls.
pub fn alias_of(id_domain: &str, switch: &str, call_key: &str) -> Option<(CallId, OccurredAt)> {
    let (first, started_at) = first_key(call_key)?;
    let day = started_at.micros().div_euclid(DAY);
    Some((alias(CallId::new(id_domain, switch, first), day), started_at))
}

fn alias(call: CallId, day: i64) -> CallId {
    CallId(hash("tandem.again.v1", &[&call.0, &day.to_le_bytes()]))
}

/// When an event says that its call began; `None` where it says nothing about that.
fn start_of(event: &EventRef<'_>) -> Option<OccurredAt> {
    match event.kind {
        EventKind::Started => Some(event.occurred_at),
        EventKind::Record => Some(event.started_at.unwrap_or(event.occurred_at)),
        _ => None,
    }
}

/// Second calls that are open, by the id of the key's first call.
#[derive(Debug, Default)]
pub(super) struct Again(BTreeMap<CallId, Vec<OccurredAt>>);

impl Again {
    /// The start of the second call that an event belongs to: an open one, or one in the index, no further away than
    /// the longest call.
    pub fn find(
        &self,
        event: &EventRef<'_>,
        first: CallId,
        longest: i64,
        index: &impl CallIndex,
    ) -> Option<OccurredAt> {
        let at = start_of(event).unwrap_or(event.occurred_at).micros();
        let near = |started: &OccurredAt| at.saturating_sub(started.micros()).saturating_abs() <= longest;
        let open = self.0.get(&first).and_then(|starts| starts.iter().copied().find(near));
        open.or_else(|| {
            let days = at.saturating_sub(longest).div_euclid(DAY)..=at.saturating_add(longest).div_euclid(DAY);
            // The longest call is hours; a setting of weeks does not make this look longer.
            let mut known = days.take(9).filter_map(|day| index.find(alias(first, day)));
            known.find(|known| near(&known.started_at)).map(|known| known.started_at)
        })
    }

    pub fn open(&mut self, first: CallId, started_at: OccurredAt) {
        self.0.entry(first).or_default().push(started_at);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The call stands in a frame; from now on it is in the index.
    pub fn done(&mut self, first: CallId, started_at: OccurredAt) {
        if let Some(starts) = self.0.get_mut(&first) {
            starts.retain(|start| *start != started_at);
            if starts.is_empty() {
                self.0.remove(&first);
            }
        }
    }
}

/// The id of the first call and the own start, by the names of a second call with one key.
pub(super) fn first_of([id_domain, switch, call_key]: [&str; 3]) -> Option<(CallId, OccurredAt)> {
    let (first, started_at) = first_key(call_key)?;
    Some((CallId::new(id_domain, switch, first), started_at))
}

/// Where an event's call may stand: its hash and id, its slot where it is open, its place where it has left.
struct Found {
    hash: u64,
    call_id: CallId,
    slot: Option<u32>,
    known: Option<Known>,
    leaving: bool,
}

impl Assembler {
    /// Finds the open call of an event, or why there is none.
    pub(super) fn place(&mut self, event: &EventRef<'_>, offset: u64, index: &impl CallIndex) -> Pushed {
        let found = self.lookup(event, index);
        let started_at = match found.slot {
            Some(slot) => self.call(slot).and_then(OpenCall::start),
            None => found.known.map(|known| known.started_at),
        };
        match started_at {
            Some(started_at) if self.is_far(event, started_at) => self.place_again(event, offset, index),
            _ => self.settle(event, offset, &found),
        }
    }

    fn lookup(&self, event: &EventRef<'_>, index: &impl CallIndex) -> Found {
        let hash = self.hash(event);
        let same =
            |slot: &u32| self.slots.get(*slot as usize).is_some_and(|call| call.hash == hash && call.is_of(event));
        let slot = self.table.find(hash, same).copied();
        if slot.is_some() {
            return Found { hash, call_id: CallId::default(), slot, known: None, leaving: false };
        }
        let call_id = event.call_id();
        let leaving = self.leaving.iter().any(|call| call.call_id == call_id);
        let known = if leaving { None } else { index.find(call_id) };
        Found { hash, call_id, slot, known, leaving }
    }

    fn settle(&mut self, event: &EventRef<'_>, offset: u64, found: &Found) -> Pushed {
        match (found.slot, found.known) {
            (Some(slot), _) => self.join(slot, event),
            (None, _) if found.leaving => Pushed::Leaving,
            (None, Some(known)) => Pushed::Late { event: Box::new(event.owned()), known },
            (None, None) => {
                self.open([event].into_iter(), found.call_id, offset, found.hash);
                Pushed::Kept
            }
        }
    }

    /// Whether an event is further from the start of the call that has its key than a call may be long.
    fn is_far(&self, event: &EventRef<'_>, started_at: OccurredAt) -> bool {
        let at = start_of(event).unwrap_or(event.occurred_at).micros();
        at.saturating_sub(started_at.micros()).saturating_abs() > self.limits.maximum_call
    }

    /// The key is another call's, which is too far away: the event belongs to a second call with that key, and begins
    /// one where it is a start. Where there is none it stays with the first, whose end may have come very late.
    fn place_again(&mut self, event: &EventRef<'_>, offset: u64, index: &impl CallIndex) -> Pushed {
        let first = event.call_id();
        let known = self.again.find(event, first, self.limits.maximum_call, index);
        let Some(started_at) = known.or(start_of(event)) else {
            let found = self.lookup(event, index);
            return self.settle(event, offset, &found);
        };
        if known.is_none() {
            self.tell("key_reused", event.owned());
            self.again.open(first, started_at);
        }
        let key = key_again(event.call_key, started_at);
        let second = EventRef { call_key: &key, ..event.clone() };
        let found = self.lookup(&second, index);
        self.settle(&second, offset, &found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_key_says_the_first_and_its_start() {
        let start = OccurredAt(1_700_000_000_123_456);
        let key = key_again("a (again b)", start);
        assert_eq!(first_key(&key), Some(("a (again b)", start)));
        assert_eq!((first_key("a (again b)"), first_key("1700.5"), first_key("")), (None, None, None));
        let own = alias(CallId::new("d", "s", "a (again b)"), start.micros().div_euclid(DAY));
        assert_eq!(alias_of("d", "s", &key), Some((own, start)));
    }
}
