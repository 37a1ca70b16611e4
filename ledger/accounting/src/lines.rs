//! Balance lines: one per (gl, account, product, destination, currency), with debits and credits summed apart, and
//! the state root over them. A line appears with its first posting and never goes away.

use facts::entry::{Gl, Posting};
use facts::money::{Amount, Currency};
use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::hash::BuildHasher;

/// Pages of the state root. A line's page is the first 12 bits of the BLAKE3 of its key, so neither the order in
/// which lines appeared nor their number moves it.
pub const PAGES: usize = 4096;

/// One balance line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub gl: Gl,
    /// Empty on the house's own lines.
    pub account: SmolStr,
    pub product: SmolStr,
    pub destination: SmolStr,
    pub currency: Currency,
    /// Sum of the positive postings, 10^-12.
    pub debit: i128,
    /// Sum of the negative postings, as a positive number, 10^-12.
    pub credit: i128,
    page: u16,
}

impl Line {
    /// Debit plus, credit minus. Both sums are kept below 2^126, so the difference always exists.
    pub fn balance(&self) -> Amount {
        Amount(self.debit - self.credit)
    }

    fn is(&self, posting: &Posting) -> bool {
        self.gl == posting.gl
            && self.currency == posting.currency
            && self.account == posting.account
            && self.product == posting.product
            && self.destination == posting.destination
    }

    /// Order inside a page and of every listing.
    pub fn order(&self) -> (&str, Currency, Gl, &str, &str) {
        (&self.account, self.currency, self.gl, &self.product, &self.destination)
    }
}

/// Largest sum on one side of a line; far beyond any money, and low enough that differences never overflow.
pub const SUM_MAX: i128 = 1 << 126;

#[derive(Clone, Default, Debug)]
struct Page {
    /// Line numbers in the order of [`Line::order`].
    lines: Vec<u32>,
    dirty: bool,
}

/// All lines of a book.
#[derive(Clone, Debug)]
pub struct Lines {
    lines: Vec<Line>,
    table: HashTable<u32>,
    accounts: hashbrown::HashMap<SmolStr, SmallVec<[u32; 6]>>,
    pages: Vec<Page>,
    /// Binary tree: node 1 is the root, the leaves stand at PAGES..2*PAGES.
    tree: Vec<[u8; 32]>,
    any_dirty: bool,
    hasher: DefaultHashBuilder,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            table: HashTable::new(),
            accounts: hashbrown::HashMap::new(),
            pages: vec![Page::default(); PAGES],
            tree: empty_tree(),
            any_dirty: false,
            hasher: DefaultHashBuilder::default(),
        }
    }
}

/// A posting would take a line beyond [`SUM_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfRange;

impl Lines {
    /// Adds all postings or, when one would leave the range, none.
    pub fn post(&mut self, postings: &[Posting]) -> Result<(), OutOfRange> {
        let mut at: SmallVec<[u32; 4]> = SmallVec::new();
        for posting in postings {
            at.push(self.number(posting)?);
        }
        for (done, (posting, &line)) in postings.iter().zip(&at).enumerate() {
            if self.add(line, posting.amount.0).is_err() {
                for (posting, &line) in postings[..done].iter().zip(&at) {
                    self.take_back(line, posting.amount.0);
                }
                return Err(OutOfRange);
            }
        }
        Ok(())
    }

    /// True when `post` would add them.
    pub fn fit(&self, postings: &[Posting]) -> bool {
        let sum = |posting: &Posting| -> Option<i128> {
            let hash = hash_of(&self.hasher, posting);
            let line = self.table.find(hash, |&n| self.lines[n as usize].is(posting)).map(|&n| &self.lines[n as usize]);
            let credits = posting.amount.0 < 0;
            let mut sum = line.map_or(0, |line| if credits { line.credit } else { line.debit });
            for other in postings.iter().filter(|p| (p.amount.0 < 0) == credits && line_of(p) == line_of(posting)) {
                sum = sum.checked_add(other.amount.0.checked_abs()?)?;
            }
            Some(sum)
        };
        postings.iter().all(|posting| sum(posting).is_some_and(|sum| sum <= SUM_MAX))
    }

    fn add(&mut self, line: u32, amount: i128) -> Result<(), OutOfRange> {
        let line = &mut self.lines[line as usize];
        let (side, size) = if amount < 0 {
            (&mut line.credit, amount.checked_neg().ok_or(OutOfRange)?)
        } else {
            (&mut line.debit, amount)
        };
        let sum = side.checked_add(size).filter(|sum| *sum <= SUM_MAX).ok_or(OutOfRange)?;
        *side = sum;
        self.pages[line.page as usize].dirty = true;
        self.any_dirty = true;
        Ok(())
    }

    /// Undoes an `add` that succeeded; the sums were in range before it.
    fn take_back(&mut self, line: u32, amount: i128) {
        let line = &mut self.lines[line as usize];
        if amount < 0 { line.credit += amount } else { line.debit -= amount }
    }

    /// What a line is looked up by.
    pub(crate) fn hash(&self, gl: Gl, account: &str, product: &str, destination: &str, currency: Currency) -> u64 {
        self.hasher.hash_one((gl as u8, account, product, destination, currency))
    }

    /// Reads ahead what look-ups by these hashes will touch: first the places of all of them in the table, then the lines
    /// that stand there, so that one waits for all at once. What it returns means nothing.
    pub(crate) fn touch(&self, hashes: &[u64]) -> u64 {
        const TOGETHER: usize = 64;
        let mut seen = 0;
        for some in hashes.chunks(TOGETHER) {
            let mut likely = [u32::MAX; TOGETHER];
            for (likely, hash) in likely.iter_mut().zip(some) {
                // Hardly ever another line than the one looked for, and then it costs nothing but the wait.
                *likely = self.table.find(*hash, |_| true).copied().unwrap_or(u32::MAX);
            }
            for line in likely.iter().filter_map(|number| self.lines.get(*number as usize)) {
                seen ^= line.debit as u64 ^ line.destination.len() as u64 ^ u64::from(line.page);
            }
        }
        seen
    }

    fn number(&mut self, posting: &Posting) -> Result<u32, OutOfRange> {
        let hash = hash_of(&self.hasher, posting);
        let lines = &self.lines;
        if let Some(&number) = self.table.find(hash, |&n| lines[n as usize].is(posting)) {
            return Ok(number);
        }
        let line = Line {
            gl: posting.gl,
            account: posting.account.clone(),
            product: posting.product.clone(),
            destination: posting.destination.clone(),
            currency: posting.currency,
            debit: 0,
            credit: 0,
            page: page_of(posting),
        };
        self.insert(line, hash)
    }

    fn insert(&mut self, line: Line, hash: u64) -> Result<u32, OutOfRange> {
        let number = u32::try_from(self.lines.len()).map_err(|_| OutOfRange)?;
        let page = &mut self.pages[line.page as usize];
        // A snapshot brings the lines of a page in their order.
        let at_end = page.lines.last().is_none_or(|&last| self.lines[last as usize].order() < line.order());
        if at_end {
            page.lines.push(number);
        } else {
            let place = page.lines.partition_point(|&n| self.lines[n as usize].order() < line.order());
            page.lines.insert(place, number);
        }
        page.dirty = true;
        self.any_dirty = true;
        if !line.account.is_empty() {
            self.accounts.entry(line.account.clone()).or_default().push(number);
        }
        self.lines.push(line);
        let (lines, hasher) = (&self.lines, &self.hasher);
        self.table.insert_unique(hash, number, |&n| hash_of_line(hasher, &lines[n as usize]));
        Ok(number)
    }

    /// Puts a line back as a snapshot holds it.
    pub(crate) fn restore(&mut self, posting: &Posting, debit: i128, credit: i128) -> Result<(), OutOfRange> {
        let number = self.number(posting)? as usize;
        if !(0..=SUM_MAX).contains(&debit) || !(0..=SUM_MAX).contains(&credit) {
            return Err(OutOfRange);
        }
        self.lines[number].debit = debit;
        self.lines[number].credit = credit;
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// In the order of their first posting.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Line> {
        self.lines.iter()
    }

    /// Page by page, in the order inside the page.
    pub(crate) fn by_page(&self) -> impl Iterator<Item = &Line> {
        self.pages.iter().flat_map(|page| page.lines.iter().map(|&n| &self.lines[n as usize]))
    }

    /// Makes room for so many lines.
    pub(crate) fn reserve(&mut self, lines: usize) {
        self.lines.reserve(lines);
        let (all, hasher) = (&self.lines, &self.hasher);
        self.table.reserve(lines, |&n| hash_of_line(hasher, &all[n as usize]));
        self.accounts.reserve(lines / 2);
    }

    /// The lines of one account.
    pub fn of_account<'a>(&'a self, account: &str) -> impl Iterator<Item = &'a Line> {
        self.accounts.get(account).into_iter().flatten().map(|&n| &self.lines[n as usize])
    }

    /// Every account that has a line, in no particular order.
    pub fn accounts(&self) -> impl Iterator<Item = &SmolStr> {
        self.accounts.keys()
    }

    /// The state root: a binary Merkle tree of [`PAGES`] pages. Only pages touched since the last call are hashed.
    /// Lines whose debits and credits are both zero do not count.
    pub fn root(&mut self) -> [u8; 32] {
        if self.any_dirty {
            let mut bytes = Vec::new();
            let mut touched = vec![false; PAGES];
            for number in 0..PAGES {
                if std::mem::take(&mut self.pages[number].dirty) {
                    self.tree[PAGES + number] = self.page_hash(number, &mut bytes);
                    touched[(PAGES + number) / 2] = true;
                }
            }
            for node in (1..PAGES).rev() {
                if touched[node] {
                    self.tree[node] = node_hash(&self.tree[2 * node], &self.tree[2 * node + 1]);
                    touched[node / 2] = true;
                }
            }
            self.any_dirty = false;
        }
        self.tree[1]
    }

    fn page_hash(&self, number: usize, bytes: &mut Vec<u8>) -> [u8; 32] {
        bytes.clear();
        bytes.extend_from_slice(b"tandem.page.v1");
        let start = bytes.len();
        for line in self.pages[number].lines.iter().map(|&n| &self.lines[n as usize]) {
            if line.debit != 0 || line.credit != 0 {
                key_bytes(line.gl, &line.account, &line.product, &line.destination, line.currency, bytes);
                bytes.extend_from_slice(&line.debit.to_le_bytes());
                bytes.extend_from_slice(&line.credit.to_le_bytes());
            }
        }
        if bytes.len() == start { [0; 32] } else { *blake3::hash(bytes).as_bytes() }
    }
}

fn node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(left);
    pair[32..].copy_from_slice(right);
    *blake3::hash(&pair).as_bytes()
}

fn empty_tree() -> Vec<[u8; 32]> {
    let mut tree = vec![[0; 32]; 2 * PAGES];
    // All nodes of one level are equal.
    let mut first = PAGES / 2;
    while first > 0 {
        let node = node_hash(&tree[2 * first], &tree[2 * first]);
        tree[first..2 * first].fill(node);
        first /= 2;
    }
    tree
}

/// The key as bytes: word of the gl, account, product, destination, currency, each preceded by its length as u32 LE.
fn key_bytes(gl: Gl, account: &str, product: &str, destination: &str, currency: Currency, out: &mut Vec<u8>) {
    for part in [gl.as_str(), account, product, destination, currency.as_str()] {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        out.extend_from_slice(part.as_bytes());
    }
}

fn page_of(posting: &Posting) -> u16 {
    let mut bytes = Vec::with_capacity(96);
    key_bytes(posting.gl, &posting.account, &posting.product, &posting.destination, posting.currency, &mut bytes);
    let hash = blake3::hash(&bytes);
    let first = hash.as_bytes();
    (u16::from(first[0]) << 4) | u16::from(first[1] >> 4)
}

fn line_of(x: &Posting) -> (Gl, &str, &str, &str, Currency) {
    (x.gl, &x.account, &x.product, &x.destination, x.currency)
}

fn hash_of(hasher: &DefaultHashBuilder, x: &Posting) -> u64 {
    hasher.hash_one((x.gl as u8, x.account.as_str(), x.product.as_str(), x.destination.as_str(), x.currency))
}

fn hash_of_line(hasher: &DefaultHashBuilder, x: &Line) -> u64 {
    hasher.hash_one((x.gl as u8, x.account.as_str(), x.product.as_str(), x.destination.as_str(), x.currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posting(gl: Gl, account: &str, amount: i128) -> Posting {
        let currency = Currency::new("EUR").unwrap();
        let empty = SmolStr::default;
        Posting {
            gl,
            account: account.into(),
            product: empty(),
            destination: empty(),
            currency,
            amount: Amount(amount),
        }
    }

    #[test]
    fn the_root_does_not_depend_on_the_order_of_postings() {
        let all: Vec<_> =
            (0..2000).map(|n| posting(Gl::ALL[n % 24], &format!("a{}", n % 97), n as i128 - 800)).collect();
        let (mut forward, mut backward) = (Lines::default(), Lines::default());
        for (n, posting) in all.iter().enumerate() {
            forward.post(std::slice::from_ref(posting)).unwrap();
            if n % 100 == 0 {
                forward.root();
            }
        }
        backward.post(&all.iter().rev().cloned().collect::<Vec<_>>()).unwrap();
        assert_eq!(forward.root(), backward.root());
        backward.post(&[posting(Gl::Cost, "a1", 1)]).unwrap();
        assert_ne!(forward.root(), backward.root());
    }

    #[test]
    fn a_posting_beyond_the_range_changes_nothing() {
        let mut lines = Lines::default();
        lines.post(&[posting(Gl::Cost, "", SUM_MAX)]).unwrap();
        let root = lines.root();
        assert!(!lines.fit(&[posting(Gl::Revenue, "", -5), posting(Gl::Cost, "", 5)]));
        assert!(lines.fit(&[posting(Gl::Revenue, "", -5), posting(Gl::Cost, "", -5)]));
        let refused = lines.post(&[posting(Gl::Revenue, "", -5), posting(Gl::Cost, "", 5)]);
        assert_eq!(refused, Err(OutOfRange));
        assert_eq!(lines.post(&[posting(Gl::Cost, "", i128::MIN)]), Err(OutOfRange));
        assert_eq!(lines.root(), root);
    }
}
