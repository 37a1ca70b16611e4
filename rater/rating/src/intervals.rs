//! Longest-prefix look-up: the number space cut into disjoint intervals, each owned by its longest prefix, found by
//! an index over the first digits and a short binary search. A short number sorts before any digit, so `49` never
//! matches the code `4900000`.

use facts::number::Prefix;

const NONE: u32 = u32::MAX;
const NIBBLE: u64 = 15;

/// Interval starts with the prefix (by its place in the sorted list) that owns each.
#[derive(Debug)]
pub(crate) struct Intervals {
    starts: Box<[u64]>,
    owners: Box<[u32]>,
    /// First interval that can hold a number beginning with these digits; one more entry than buckets.
    index: Box<[u32]>,
    digits: u32,
}

impl Intervals {
    /// `prefixes` are sorted and distinct.
    pub fn new(prefixes: impl ExactSizeIterator<Item = Prefix>) -> Self {
        let digits = if prefixes.len() > 20_000 { 5 } else { 3 };
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
        for (at, prefix) in prefixes.enumerate() {
            while let Some((end, _)) = stack.last().copied().filter(|(end, _)| *end <= prefix.key()) {
                stack.pop();
                put(end, stack.last().map_or(NONE, |(_, owner)| *owner));
            }
            put(prefix.key(), at as u32);
            stack.push((prefix.key() + (!prefix.mask() & (u64::MAX >> 4)) + 1, at as u32));
        }
        while let Some((end, _)) = stack.pop() {
            put(end, stack.last().map_or(NONE, |(_, owner)| *owner));
        }
        let buckets = 11usize.pow(digits);
        let mut index = Vec::with_capacity(buckets + 1);
        let mut at = 0;
        for bucket in 0..buckets {
            let low = lowest(bucket, digits);
            while at + 1 < starts.len() && starts[at + 1] <= low {
                at += 1;
            }
            index.push(at as u32);
        }
        index.push(starts.len() as u32 - 1);
        Self {
            starts: starts.into_boxed_slice(),
            owners: owners.into_boxed_slice(),
            index: index.into_boxed_slice(),
            digits,
        }
    }

    /// The owner of the interval that holds the key; `u32::MAX` where no prefix matches.
    pub fn find(&self, key: u64) -> u32 {
        let bucket = bucket(key, self.digits);
        let (low, high) = (self.index[bucket] as usize, self.index[bucket + 1] as usize);
        let within = &self.starts[low..=high];
        let at = low + within.partition_point(|start| *start <= key) - 1;
        self.owners[at]
    }
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
        for size in [0, 11, 500, codes.len()] {
            let mut some = codes[..size].to_vec();
            some.sort_unstable();
            some.dedup();
            let intervals = Intervals::new(some.iter().copied());
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
