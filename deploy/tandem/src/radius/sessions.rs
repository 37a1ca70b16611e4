//! Calls that were let through over RADIUS and have not been told to be over: how to name them to their switch, and when
//! they are to be extended or ended. In memory, with a cache of it in a file; what is forgotten its switch still cuts by
//! itself at the seconds that it was given. Holds stand in the ledger and are not touched by what is forgotten here.

use facts::ids::OriginId;
use hashbrown::HashMap;
use radius::Session;
use smol_str::SmolStr;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Most calls that are remembered; what is beyond is let through all the same.
pub const SESSIONS_MAX: usize = 100_000;
/// After the last second held a switch is told to end what it should have ended.
const OVERDUE: Duration = Duration::from_secs(2);

/// One call.
#[derive(Clone, Debug)]
pub struct Live {
    pub hold: OriginId,
    pub client: usize,
    /// The switch's own id of the call.
    pub key: String,
    pub accounts: Vec<SmolStr>,
    /// Seconds held, from the call's answer.
    pub seconds: u32,
    /// Where its switch is told about it.
    pub target: SocketAddr,
    pub session: Session,
    /// When it was answered, as accounting told.
    pub answered: Option<Instant>,
    /// We extend it by ourselves and may still be able to.
    pub extends: bool,
    /// When the hold ends by itself, microseconds: nothing of the call is left then.
    pub until: i64,
    /// It was told to end already.
    pub ending: bool,
    /// When its switch, which did not confirm, is told again.
    pub again: Option<Instant>,
    /// When it was let through, microseconds since 1970.
    pub began: i64,
}

/// What is to be done about a call now.
#[derive(Clone, Debug)]
pub enum Due {
    Extend(Live),
    Disconnect(Live),
}

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions {
    live: HashMap<OriginId, Live>,
    keys: HashMap<(usize, String), OriginId>,
}

impl Sessions {
    /// Remembers a call, or that it may last longer. False where there is no room.
    pub fn allow(&mut self, new: Live) -> bool {
        if let Some(known) = self.live.get_mut(&new.hold) {
            known.seconds = known.seconds.max(new.seconds);
            known.session.learn(&new.session);
            return true;
        }
        if self.live.len() >= SESSIONS_MAX {
            return false;
        }
        self.keys.insert((new.client, new.key.clone()), new.hold);
        self.live.insert(new.hold, new);
        true
    }

    /// A call by its switch's own id.
    pub fn of(&mut self, client: usize, key: &str) -> Option<&mut Live> {
        let hold = self.keys.get(&(client, key.to_owned()))?;
        self.live.get_mut(hold)
    }

    /// The call is over.
    pub fn end(&mut self, hold: OriginId) -> Option<Live> {
        let live = self.live.remove(&hold)?;
        self.keys.remove(&(live.client, live.key.clone()));
        Some(live)
    }

    /// A switch has begun anew: it has no calls.
    pub fn end_all(&mut self, client: usize, address: std::net::IpAddr) -> Vec<OriginId> {
        let gone: Vec<OriginId> = self
            .live
            .values()
            .filter(|live| live.client == client && live.target.ip() == address)
            .map(|live| live.hold)
            .collect();
        gone.into_iter().filter(|hold| self.end(*hold).is_some()).collect()
    }

    pub fn get_mut(&mut self, hold: OriginId) -> Option<&mut Live> {
        self.live.get_mut(&hold)
    }

    /// A call is to be ended now; false: it is ending already, or over.
    pub fn mark_ending(&mut self, hold: OriginId) -> bool {
        self.live.get_mut(&hold).is_some_and(|live| !std::mem::replace(&mut live.ending, true))
    }

    /// All of them, and none are left.
    pub fn take(&mut self) -> Vec<Live> {
        self.keys.clear();
        self.live.drain().map(|(_, live)| live).collect()
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = &Live> {
        self.live.values()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.live.len()
    }

    /// What is to be done now; each is given once. Calls whose hold has ended by itself are forgotten.
    pub fn due(&mut self, now: Instant, wall: i64) -> Vec<Due> {
        let gone: Vec<OriginId> = self.live.values().filter(|live| live.until <= wall).map(|live| live.hold).collect();
        gone.into_iter().for_each(|hold| drop(self.end(hold)));
        let mut due = Vec::new();
        for live in self.live.values_mut() {
            if live.again.is_some_and(|at| at <= now) {
                (live.ending, live.again) = (false, None);
            }
            let Some(lasted) = live.answered.and_then(|at| now.checked_duration_since(at)) else { continue };
            let held = Duration::from_secs(live.seconds.into());
            if live.extends && lasted >= held * accounting::authorise::EXTEND_AT_PERCENT / 100 {
                // Set again when it could be extended.
                live.extends = false;
                due.push(Due::Extend(live.clone()));
            } else if !live.ending && lasted >= held + OVERDUE {
                live.ending = true;
                due.push(Due::Disconnect(live.clone()));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(number: u8, extends: bool) -> Live {
        Live {
            hold: OriginId([number; 16]),
            client: 0,
            key: format!("k{number}"),
            accounts: vec!["pre".into()],
            seconds: 100,
            target: SocketAddr::from(([192, 0, 2, 1], 3799)),
            session: Session::default(),
            answered: None,
            extends,
            until: 1_000,
            ending: false,
            again: None,
            began: 0,
        }
    }

    #[test]
    fn a_call_is_extended_at_four_fifths_and_ended_after_its_last_second_never_before() {
        let mut sessions = Sessions::default();
        let begin = Instant::now();
        assert!(sessions.allow(live(1, true)) && sessions.allow(live(2, false)));
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        assert!(sessions.due(at(500), 0).is_empty(), "nobody said that they were answered");
        sessions.of(0, "k1").unwrap().answered = Some(begin);
        sessions.of(0, "k2").unwrap().answered = Some(begin);
        assert!(sessions.due(at(79), 0).is_empty());
        assert!(matches!(&sessions.due(at(80), 0)[..], [Due::Extend(live)] if live.key == "k1"));
        assert!(sessions.due(at(81), 0).is_empty(), "once");
        assert!(sessions.allow(Live { seconds: 400, ..live(1, true) }));
        assert!(sessions.due(at(101), 0).is_empty());
        assert!(matches!(&sessions.due(at(102), 0)[..], [Due::Disconnect(live)] if live.key == "k2"));
        assert!(sessions.due(at(103), 0).is_empty());
        assert!(matches!(&sessions.due(at(402), 0)[..], [Due::Disconnect(live)] if live.key == "k1"));
        assert!(sessions.due(at(403), 1_000).is_empty());
        assert_eq!((sessions.len(), sessions.keys.len()), (0, 0), "their holds have ended by themselves");
    }

    #[test]
    fn a_switch_that_begins_anew_has_no_calls_and_others_keep_theirs() {
        let mut sessions = Sessions::default();
        let elsewhere = Live { target: SocketAddr::from(([192, 0, 2, 2], 3799)), ..live(2, false) };
        assert!(sessions.allow(live(1, false)) && sessions.allow(elsewhere));
        assert_eq!(sessions.end_all(0, [192, 0, 2, 1].into()), [OriginId([1; 16])]);
        assert!(sessions.of(0, "k1").is_none() && sessions.of(0, "k2").is_some());
    }
}
