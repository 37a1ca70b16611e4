//! Retransmissions: a switch that hears nothing sends the same packet again, and gets the same bytes again (RFC 5080
//! section 2.2.2). Bounded in number and time; what is forgotten is decided anew, and a call is held once all the same.

use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Most answers that are kept.
pub const KEPT_MAX: usize = 16_384;
/// How long, microseconds.
pub const KEPT: i64 = 30_000_000;

/// What makes two packets the same: where from, their number, and the authenticator, which is new in each new request.
pub type Key = (SocketAddr, u8, [u8; 16]);

/// What is known of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Never, or long ago: it is to be answered, and counts as under way.
    New,
    /// Under way: its answer will come.
    UnderWay,
    /// Answered with these bytes.
    Answered(Vec<u8>),
    /// Too many are under way: it is to be dropped, and will come again.
    Full,
}

/// The answers of the last half minute.
#[derive(Debug, Default)]
pub struct Repeats {
    known: HashMap<Key, (i64, Option<Vec<u8>>)>,
    order: VecDeque<(i64, Key)>,
    under_way: usize,
}

impl Repeats {
    /// Looks a packet up; a new one counts as under way from now on.
    pub fn take(&mut self, key: Key, now: i64, under_way_max: usize) -> Seen {
        self.forget(now);
        if let Some((_, answer)) = self.known.get(&key) {
            return answer.clone().map_or(Seen::UnderWay, Seen::Answered);
        }
        if self.under_way >= under_way_max {
            return Seen::Full;
        }
        self.known.insert(key, (now, None));
        self.order.push_back((now, key));
        self.under_way += 1;
        Seen::New
    }

    /// The answer of a packet that was under way.
    pub fn answered(&mut self, key: &Key, bytes: Vec<u8>) {
        if let Some((_, answer @ None)) = self.known.get_mut(key) {
            *answer = Some(bytes);
            self.under_way -= 1;
        }
    }

    /// There is no answer: the next one like it is new.
    pub fn given_up(&mut self, key: &Key) {
        if self.known.get(key).is_some_and(|(_, answer)| answer.is_none()) {
            self.known.remove(key);
            self.under_way -= 1;
        }
    }

    /// Packets without an answer yet.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    fn forget(&mut self, now: i64) {
        while let Some((at, key)) = self.order.front().copied() {
            if at.saturating_add(KEPT) > now && self.order.len() < KEPT_MAX {
                return;
            }
            self.order.pop_front();
            // The same key may have been given up and taken again since.
            if self.known.get(&key).is_some_and(|(taken, _)| *taken == at)
                && let Some((_, None)) = self.known.remove(&key)
            {
                self.under_way -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(identifier: u8, authenticator: u8) -> Key {
        (SocketAddr::from(([192, 0, 2, 1], 40_000)), identifier, [authenticator; 16])
    }

    #[test]
    fn a_retransmission_gets_the_same_bytes_and_a_reused_number_does_not() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.take(key(1, 1), 0, 10), Seen::New);
        assert_eq!(repeats.take(key(1, 1), 1, 10), Seen::UnderWay);
        repeats.answered(&key(1, 1), b"yes".to_vec());
        assert_eq!(repeats.take(key(1, 1), 2, 10), Seen::Answered(b"yes".to_vec()));
        assert_eq!(repeats.take(key(1, 2), 3, 10), Seen::New, "another request under the same number");
        assert_eq!(repeats.take(key(1, 1), KEPT, 10), Seen::New, "after half a minute it is forgotten");
        repeats.given_up(&key(1, 2));
        assert_eq!(repeats.under_way(), 1);
    }

    #[test]
    fn neither_answers_nor_work_under_way_grow_without_bound() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.take(key(0, 0), 0, 1), Seen::New);
        assert_eq!(repeats.take(key(1, 0), 0, 1), Seen::Full);
        repeats.given_up(&key(0, 0));
        for number in 0..KEPT_MAX as u32 * 2 {
            let mut key = key(0, 0);
            key.2[..4].copy_from_slice(&number.to_le_bytes());
            assert_eq!(repeats.take(key, 1, 1), Seen::New);
            repeats.answered(&key, Vec::new());
        }
        assert!(repeats.known.len() <= KEPT_MAX && repeats.order.len() <= KEPT_MAX);
    }
}
