//! A page of the index over the past: records in the order of their keys, each written as what it differs by from the one
//! before, so that most take eight bytes; the first stands whole, so a page is read alone. Pure bytes, no files.

use super::file::{Key, at_of, key, series_of};

const BYTES: usize = 4_096;
/// Number of records, then the records.
const START: usize = 2;
/// Behind them the first bytes of a hash of page number and records.
const CHECK: usize = BYTES - 8;
/// A record takes no more: a zero, then numbers of seven bits a byte, of 64, 64 and 128 bits.
const RECORD_MAX: usize = 1 + 10 + 10 + 19;

fn check_of(number: u64, payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(payload);
    let mut check = [0; 8];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    check
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(bytes: &mut [u8; BYTES], at: &mut usize, mut number: u128) {
    while number >= 0x80 {
        bytes[*at] = number as u8 | 0x80;
        *at += 1;
        number >>= 7;
    }
    bytes[*at] = number as u8;
    *at += 1;
}

fn get(bytes: &[u8; BYTES], at: &mut usize) -> Option<u128> {
    let mut number = 0u128;
    for shift in (0..128).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u128::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Small numbers of either sign as small numbers.
fn folded(number: i128) -> u128 {
    ((number << 1) ^ (number >> 127)) as u128
}

fn unfolded(number: u128) -> i128 {
    (number >> 1) as i128 ^ -((number & 1) as i128)
}

/// Fills a page.
pub(super) struct PageWriter {
    bytes: Box<[u8; BYTES]>,
    at: usize,
    count: u16,
    last: (Key, i128),
}

impl PageWriter {
    pub fn new() -> Self {
        Self { bytes: Box::new([0; BYTES]), at: START, count: 0, last: (0, 0) }
    }

    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Adds a record with a key above the last; false: it has no room.
    pub fn push(&mut self, key: Key, sum: i128) -> bool {
        if self.at + RECORD_MAX > CHECK {
            return false;
        }
        let (bytes, at) = (&mut *self.bytes, &mut self.at);
        // How much further in the same series, always some; 0: another series, from its start. Sums wrap on both sides.
        if self.count > 0 && series_of(self.last.0) == series_of(key) {
            put(bytes, at, u128::from(at_of(key) - at_of(self.last.0)));
            put(bytes, at, folded(sum.wrapping_sub(self.last.1)));
        } else {
            put(bytes, at, 0);
            put(bytes, at, u128::from(series_of(key)));
            put(bytes, at, u128::from(at_of(key)));
            put(bytes, at, folded(sum));
        }
        self.last = (key, sum);
        self.count += 1;
        true
    }

    /// The bytes of this page; it is empty again.
    pub fn finish(&mut self, number: u64) -> Box<[u8; BYTES]> {
        let done = std::mem::replace(self, Self::new());
        let mut bytes = done.bytes;
        bytes[..START].copy_from_slice(&done.count.to_le_bytes());
        let check = check_of(number, &bytes[..CHECK]);
        bytes[CHECK..].copy_from_slice(&check);
        bytes
    }
}

/// A page that was read.
pub(super) struct Page(Box<[u8; BYTES]>);

impl Page {
    pub const BYTES: usize = BYTES;

    pub fn new() -> Self {
        Self(Box::new([0; BYTES]))
    }

    /// Where to read it to.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.0[..]
    }

    /// Whether it is page `number` as it was written.
    pub fn is_whole(&self, number: u64) -> bool {
        check_of(number, &self.0[..CHECK]) == self.0[CHECK..]
    }

    /// Keys and sums, rising.
    pub fn records(&self) -> impl Iterator<Item = (Key, i128)> + '_ {
        let mut records = Records::default();
        std::iter::from_fn(move || records.next(self))
    }
}

/// Where in a page the reading of its records stands.
#[derive(Default)]
pub(super) struct Records {
    read: u16,
    at: usize,
    last: (Key, i128),
}

impl Records {
    /// The next record of this page.
    pub fn next(&mut self, page: &Page) -> Option<(Key, i128)> {
        let bytes = &*page.0;
        if self.read == u16::from_le_bytes([bytes[0], bytes[1]]) {
            return None;
        }
        self.at = self.at.max(START);
        let number = |at: &mut usize| get(bytes, at).map(|number| number as u64);
        self.last = match number(&mut self.at)? {
            0 => {
                let (series, place) = (number(&mut self.at)?, number(&mut self.at)?);
                (key(series, place), unfolded(get(bytes, &mut self.at)?))
            }
            further => {
                let sum = self.last.1.wrapping_add(unfolded(get(bytes, &mut self.at)?));
                (self.last.0.wrapping_add(Key::from(further)), sum)
            }
        };
        self.read += 1;
        Some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_back_the_records_it_was_given_at_the_ends_of_all_ranges() {
        let mut state = 7u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 16
        };
        for round in 0..200 {
            let mut records = vec![(key(0, 0), i128::MIN), (key(0, 1), i128::MAX), (key(0, u64::MAX), -1)];
            for _ in 0..random() % 900 {
                let at = if random() % 3 == 0 { random() << 40 } else { random() % 90 };
                let sum = i128::from(random()) - (i128::from(random()) << (random() % 80));
                records.push((key(random() % 3, at), sum));
            }
            records.extend([(key(u64::MAX, 0), i128::MAX), (key(u64::MAX, u64::MAX), i128::MIN)]);
            records.sort_by_key(|(key, _)| *key);
            records.dedup_by_key(|(key, _)| *key);
            let (mut writer, mut back, mut number) = (PageWriter::new(), Vec::new(), 0);
            let mut read = |writer: &mut PageWriter| {
                let mut page = Page::new();
                page.bytes().copy_from_slice(&writer.finish(number)[..]);
                assert!(page.is_whole(number) && !page.is_whole(number + 1));
                back.extend(page.records());
                number += 1;
            };
            for (key, sum) in &records {
                if !writer.push(*key, *sum) {
                    read(&mut writer);
                    assert!(writer.push(*key, *sum), "an empty page has room");
                }
            }
            read(&mut writer);
            assert_eq!(back, records, "round {round}");
        }
    }
}
