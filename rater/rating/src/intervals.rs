//! Longest-prefix look-up: the number space cut into disjoint intervals, each owned by its longest prefix, found by
//! an index over the first digits and a short binary search. A short number sorts before any digit, so `49` never
//! matches the code `4900000`.

use facts::number::Prefix;

const NONE: u32 = u32::MAX;
const NIBBLE: u64 = 15;

/// Most prefixes of one deck.
pub(crate) const PREFIXES_MAX: usize = 15_000_000;

/// Where each interval starts and which prefix owns it, cut at the buckets of an index over the first digits. A look-up
/// touches one place of the index and one or two lines of entries.
#[derive(Debug)]
pub(crate) struct Intervals {
    /// Key bits below the bucket's digits, then the owner, rising within a bucket; the first begins at 0.
    entries: Box<[u64]>,
    /// The first entry of each bucket; every bucket has one.
    index: Box<[u32]>,
    digits: u32,
    /// Small decks have few digits in the index and few bits for the owner, which then is a place in this list.
    names: Box<[u32]>,
}

impl Intervals {
    /// `prefixes` are sorted and distinct, each with the number that [`Self::find`] gives for it.
    pub fn new(prefixes: impl ExactSizeIterator<Item = (Prefix, u32)>) -> Self {
        // Five digits make an index of 644 KB: it stays in the cache, whatever else is looked up in between.
        let digits = if prefixes.len() > 2_000 { 5 } else { 3 };
        let small = digits == 3;
        let (mut numbers, mut counted) = (Vec::new(), Vec::with_capacity(prefixes.len()));
        for (place, (prefix, number)) in prefixes.enumerate() {
            if small {
                numbers.push(number);
            }
            counted.push((prefix, if small { place as u32 } else { number }));
        }
        let (starts, owners) = cut(counted.into_iter());
        let buckets = 11usize.pow(digits);
        let low_bits = 60 - 4 * digits;
        let low_mask = (1u64 << low_bits) - 1;
        let mut index = Vec::with_capacity(buckets + 1);
        let mut entries: Vec<u64> = Vec::with_capacity(starts.len());
        // What the bits below the bucket leave free of 64 holds the owner; all ones = none.
        let (bits, none) = owner_bits(digits);
        let pack = |low: u64, owner: u32| low << bits | u64::from(owner).min(none);
        let mut at = 0;
        for bucket in 0..buckets {
            let (low, high) = (lowest(bucket, digits), lowest(bucket, digits) | low_mask);
            while at + 1 < starts.len() && starts[at + 1] <= low {
                at += 1;
            }
            index.push(entries.len() as u32);
            entries.push(pack(0, owners[at]));
            while at + 1 < starts.len() && starts[at + 1] <= high {
                at += 1;
                entries.push(pack(starts[at] & low_mask, owners[at]));
            }
        }
        index.push(entries.len() as u32);
        let names = numbers.into_boxed_slice();
        Self { entries: entries.into_boxed_slice(), index: index.into_boxed_slice(), digits, names }
    }

    /// The entries among which [`Self::find`] of this key searches.
    pub fn begins(&self, key: u64) -> (u32, u32) {
        let bucket = bucket(key, self.digits);
        (self.index[bucket], self.index[bucket + 1])
    }

    /// Reads the lines that the search begins with; what it returns means nothing.
    pub fn touch(&self, (from, to): (u32, u32)) -> u64 {
        let read = |at: u32| self.entries.get(at as usize).copied().unwrap_or(0);
        read(from) ^ read(from + to.wrapping_sub(from) / 2)
    }

    /// The number of the prefix that owns the interval of this key; `u32::MAX` where no prefix matches.
    pub fn find(&self, key: u64) -> u32 {
        let bucket = bucket(key, self.digits);
        let within = &self.entries[self.index[bucket] as usize..self.index[bucket + 1] as usize];
        let low = key & ((1u64 << (60 - 4 * self.digits)) - 1);
        let (bits, none) = owner_bits(self.digits);
        let wanted = low << bits | none;
        let at = within.partition_point(|entry| *entry <= wanted);
        let owner = within[at.max(1) - 1] & none;
        if owner == none {
            return NONE;
        }
        if self.names.is_empty() { owner as u32 } else { self.names[owner as usize] }
    }
}

/// Bits for the owner beside the key bits below an index of so many digits: 16 for three, 24 for five.
fn owner_bits(digits: u32) -> (u32, u64) {
    let bits = 4 + 4 * digits;
    (bits, (1 << bits) - 1)
}

/// The number space cut into intervals: starts, and the longest prefix that owns each.
fn cut(prefixes: impl ExactSizeIterator<Item = (Prefix, u32)>) -> (Vec<u64>, Vec<u32>) {
    let mut starts = Vec::with_capacity(prefixes.len() * 2 + 1);
    let mut owners: Vec<u32> = Vec::with_capacity(prefixes.len() * 2 + 1);
    let mut put = |start: u64, owner: u32| {
        if starts.last() == Some(&start) {
            *owners.last_mut().unwrap_or(&mut 0) = owner;
        } else if owners.last() != Some(&owner) {
            starts.push(start);
            owners.push(owner);
        }
    };
    put(0, NONE);
    let mut stack: Vec<(u64, u32)> = Vec::new();
    for (prefix, number) in prefixes {
        while let Some((end, _)) = stack.last().copied().filter(|(end, _)| *end <= prefix.key()) {
            stack.pop();
            put(end, stack.last().map_or(NONE, |(_, owner)| *owner));
        }
        put(prefix.key(), number);
        stack.push((prefix.key() + (!prefix.mask() & (u64::MAX >> 4)) + 1, number));
    }
    while let Some((end, _)) = stack.pop() {
        put(end, stack.last().map_or(NONE, |(_, owner)| *owner));
    }
    (starts, owners)
}

fn bucket(key: u64, digits: u32) -> usize {
    (0..digits).fold(0, |sum, i| sum * 11 + ((key >> (56 - 4 * i)) & NIBBLE) as usize)
}

/// The least key in a bucket.
fn lowest(mut bucket: usize, digits: u32) -> u64 {
    (0..digits).rev().fold(0, |key, i| {
        let nibble = (bucket % 11) as u64;
        bucket /= 11;
        key | nibble << (56 - 4 * i)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::number::E164;

    #[test]
    fn every_number_finds_its_longest_code() {
        let mut codes: Vec<Prefix> =
            ["1", "1201", "12015", "44", "447", "4479", "49", "490", "4900000", "999", "88213"]
                .iter()
                .map(|code| Prefix::new(code).unwrap())
                .collect();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..30_000 {
            let len = 1 + random(7);
            codes
                .push(Prefix::new(&(0..len).map(|_| char::from(b'0' + random(10) as u8)).collect::<String>()).unwrap());
        }
        for size in [0, 11, 500, 3_000, codes.len()] {
            let mut some = codes[..size].to_vec();
            some.sort_unstable();
            some.dedup();
            let intervals = Intervals::new(some.iter().copied().zip(0..some.len() as u32));
            for round in 0..20_000 {
                let len = random(16);
                let mut text: String = (0..len).map(|_| char::from(b'0' + random(10) as u8)).collect();
                if round % 3 == 0 && !some.is_empty() {
                    text.insert_str(0, &some[random(some.len() as u64) as usize].to_string());
                }
                let number = E164::from_digits(&text).unwrap();
                let expected = (0..=15usize.min(text.len()))
                    .rev()
                    .find_map(|len| some.binary_search(&Prefix::new(&text[..len]).unwrap()).ok())
                    .map_or(NONE, |at| at as u32);
                assert_eq!(intervals.find(number.key()), expected, "{text} among {size}");
            }
        }
    }
}
