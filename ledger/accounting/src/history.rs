//! Where an account's entries stand, newest included, so that a statement does not read the whole log. Bounded: past
//! the bound the oldest half is forgotten and whoever wants it reads the log (`complete_from` says from where on).

use facts::LedgerEntry;
use facts::xdr::Position;
use smol_str::SmolStr;

/// Positions kept over all accounts: 8 bytes each, 64 MiB.
pub const HISTORY_MAX: usize = 8 << 20;

/// Account → positions of its entries, rising.
#[derive(Clone, Debug)]
pub struct History {
    accounts: hashbrown::HashMap<SmolStr, Vec<u64>>,
    len: usize,
    max: usize,
    complete_from: Position,
}

impl Default for History {
    fn default() -> Self {
        Self::with_max(HISTORY_MAX)
    }
}

/// Frames hold at most 4,000 items, so 16 bits are enough for the index and 48 for the sequence.
fn pack(at: Position) -> u64 {
    (at.seq << 16) | u64::from(at.index & 0xffff)
}

fn unpack(packed: u64) -> Position {
    Position { seq: packed >> 16, index: (packed & 0xffff) as u32 }
}

impl History {
    pub fn with_max(max: usize) -> Self {
        Self { accounts: hashbrown::HashMap::new(), len: 0, max: max.max(2), complete_from: Position::default() }
    }

    /// Another bound from now on.
    pub fn set_max(&mut self, max: usize) {
        self.max = max.max(2);
        while self.len > self.max {
            self.forget();
        }
    }

    /// Notes an entry under every account that it touches. Entries come in the order of the log.
    pub fn note(&mut self, at: Position, entry: &LedgerEntry) {
        self.push(&entry.account, at);
        for (n, posting) in entry.postings.iter().enumerate() {
            let seen = posting.account == entry.account
                || entry.postings[..n].iter().any(|before| before.account == posting.account);
            if !seen {
                self.push(&posting.account, at);
            }
        }
        if self.len > self.max {
            self.forget();
        }
    }

    fn push(&mut self, account: &SmolStr, at: Position) {
        if account.is_empty() {
            return;
        }
        let packed = pack(at);
        match self.accounts.get_mut(account) {
            Some(list) => list.push(packed),
            None => drop(self.accounts.insert(account.clone(), vec![packed])),
        }
        self.len += 1;
    }

    fn forget(&mut self) {
        let mut all: Vec<u64> = self.accounts.values().flatten().copied().collect();
        let middle = all.len() / 2;
        let (_, &mut cut, _) = all.select_nth_unstable(middle);
        self.len = 0;
        for list in self.accounts.values_mut() {
            list.drain(..list.partition_point(|at| *at < cut));
            list.shrink_to_fit();
            self.len += list.len();
        }
        self.complete_from = unpack(cut);
    }

    /// The account's entries at or after `complete_from`, rising.
    pub fn of(&self, account: &str) -> impl ExactSizeIterator<Item = Position> + DoubleEndedIterator + '_ {
        self.accounts.get(account).map_or(&[][..], Vec::as_slice).iter().map(|at| unpack(*at))
    }

    /// Entries before this place are not listed here.
    pub fn complete_from(&self) -> Position {
        self.complete_from
    }

    /// Appends the whole history.
    pub fn dump(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&pack(self.complete_from).to_le_bytes());
        out.extend_from_slice(&(self.accounts.len() as u64).to_le_bytes());
        for (account, list) in &self.accounts {
            out.extend_from_slice(&(account.len() as u64).to_le_bytes());
            out.extend_from_slice(account.as_bytes());
            out.extend_from_slice(&(list.len() as u64).to_le_bytes());
            list.iter().for_each(|at| out.extend_from_slice(&at.to_le_bytes()));
        }
    }

    /// Reads what `dump` wrote; `None` when it is something else. Every byte must be used.
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let number = |rest: &mut &[u8]| -> Option<u64> {
            let (first, after) = rest.split_first_chunk::<8>()?;
            *rest = after;
            Some(u64::from_le_bytes(*first))
        };
        let mut this = Self { complete_from: unpack(number(&mut rest)?), ..Self::default() };
        for _ in 0..number(&mut rest)? {
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let (name, after) = rest.split_at_checked(length)?;
            rest = after;
            let account = std::str::from_utf8(name).ok()?;
            let mut list = Vec::new();
            for _ in 0..number(&mut rest)? {
                list.push(number(&mut rest)?);
            }
            this.len += list.len();
            this.accounts.insert(account.into(), list);
        }
        rest.is_empty().then_some(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::tests::transfer;

    #[test]
    fn a_full_history_forgets_its_oldest_half_and_says_so() {
        let mut history = History::with_max(100);
        for seq in 1..=51 {
            history.note(Position { seq, index: 1 }, &transfer("acme", "beta", 5));
        }
        assert_eq!(history.complete_from(), Position { seq: 26, index: 1 });
        let acme: Vec<u64> = history.of("acme").map(|at| at.seq).collect();
        assert_eq!(acme, (26..=51).collect::<Vec<_>>());
        assert_eq!(history.of("beta").len(), 26);
        assert_eq!(history.of("nobody").len(), 0);
        history.set_max(10);
        assert!(history.len <= 10 && history.complete_from().seq > 40);
        let mut bytes = Vec::new();
        history.dump(&mut bytes);
        let again = History::load(&bytes).unwrap();
        assert_eq!(again.complete_from(), history.complete_from());
        assert!(again.of("beta").eq(history.of("beta")));
        assert!((0..bytes.len()).all(|cut| History::load(&bytes[..cut]).is_none()));
        // Whatever is read from damaged bytes answers; it may neither panic nor ask for all memory.
        for (at, flip) in (0..bytes.len()).flat_map(|at| [(at, 0x01), (at, 0x80), (at, 0xff)]) {
            bytes[at] ^= flip;
            if let Some(other) = History::load(&bytes) {
                assert!(other.of("beta").count() <= history.len, "byte {at} with {flip:#x}");
            }
            bytes[at] ^= flip;
        }
    }
}
