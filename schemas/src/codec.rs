//! Avro's binary encoding (Avro 1.12, "Binary Encoding") of the few types that our schemas use. Bounds-checked: no
//! input makes it panic, and no length that is only claimed makes it allocate.

use crate::error::{DecodeError, Problem};
use facts::{Currency, E164, Prefix};

/// Reading has stopped; the reader knows why. Nothing in itself, so that a value read fits the registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop;

type Result<T> = std::result::Result<T, Stop>;

/// A place in bytes that are read once, front to back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    whole: usize,
    failure: Option<DecodeError>,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, whole: bytes.len(), failure: None }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.whole - self.rest.len()
    }

    /// Notes what is wrong here.
    #[cold]
    #[inline(never)]
    pub fn error(&mut self, field: &'static str, problem: Problem) -> Stop {
        self.failure = Some(DecodeError { offset: self.offset(), field, problem });
        Stop
    }

    /// Why reading has stopped.
    #[cold]
    pub fn failure(&self) -> DecodeError {
        self.failure.unwrap_or(DecodeError { offset: self.offset(), field: "", problem: Problem::Truncated })
    }

    /// Reads a whole body by `read`; bytes left over are refused.
    #[inline]
    pub fn whole<T>(
        bytes: &'a [u8],
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> std::result::Result<T, DecodeError> {
        let mut reader = Self::new(bytes);
        match read(&mut reader) {
            Ok(value) if reader.rest.is_empty() => Ok(value),
            Ok(_) => {
                let left = reader.rest.len();
                reader.error(field, Problem::LeftOver(left));
                Err(reader.failure())
            }
            Err(Stop) => Err(reader.failure()),
        }
    }

    #[inline]
    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.error(field, Problem::Truncated)),
        }
    }

    /// A zigzag varint.
    #[inline]
    pub fn long(&mut self, field: &'static str) -> Result<i64> {
        if let [byte @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(unzigzag(u64::from(*byte)));
        }
        self.long_slow(field)
    }

    /// Up to eight bytes at once, as instants and amounts are; the rest byte by byte.
    fn long_slow(&mut self, field: &'static str) -> Result<i64> {
        if let Some(word) = self.rest.first_chunk::<8>() {
            let word = u64::from_le_bytes(*word);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                let bytes = ends.trailing_zeros() as usize / 8 + 1;
                self.rest = &self.rest[bytes..];
                return Ok(unzigzag(gather(word & (ends ^ (ends - 1)))));
            }
        }
        let mut value = 0u64;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            if at == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(unzigzag(value));
            }
        }
        let problem = if self.rest.len() < 10 { Problem::Truncated } else { Problem::NumberTooLong };
        Err(self.error(field, problem))
    }

    /// A long that has to fit a narrower or unsigned type.
    #[inline]
    pub fn integer<T: TryFrom<i64>>(&mut self, field: &'static str) -> Result<T> {
        let before = self.rest;
        let value = self.long(field)?;
        match T::try_from(value) {
            Ok(value) => Ok(value),
            Err(_) => {
                self.rest = before;
                Err(self.error(field, Problem::OutOfRange))
            }
        }
    }

    #[inline]
    pub fn boolean(&mut self, field: &'static str) -> Result<bool> {
        match self.rest {
            [byte @ (0 | 1), rest @ ..] => {
                self.rest = rest;
                Ok(*byte == 1)
            }
            [] => Err(self.error(field, Problem::Truncated)),
            _ => Err(self.error(field, Problem::NotBoolean)),
        }
    }

    #[inline]
    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8]> {
        let length = self.integer::<usize>(field)?;
        self.take(length, field)
    }

    #[inline]
    pub fn text(&mut self, field: &'static str) -> Result<&'a str> {
        if let [0, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok("");
        }
        let bytes = self.bytes(field)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(_) => Err(self.error(field, Problem::NotUtf8)),
        }
    }

    #[inline]
    pub fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.error(field, Problem::Truncated)),
        }
    }

    /// `decimal` over bytes: two's complement, big endian, 1 to 16 bytes. Some writers take a byte more than needed.
    #[inline]
    pub fn decimal(&mut self, field: &'static str) -> Result<i128> {
        let bytes = self.bytes(field)?;
        let Some(first) = bytes.first() else { return Err(self.error(field, Problem::OutOfRange)) };
        if bytes.len() > 16 {
            return Err(self.error(field, Problem::OutOfRange));
        }
        let mut wide = [if *first >= 0x80 { 0xff } else { 0 }; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        Ok(i128::from_be_bytes(wide))
    }

    pub fn prefix(&mut self, field: &'static str) -> Result<Prefix> {
        let text = self.text(field)?;
        Prefix::new(text).map_err(|_| self.error(field, Problem::NotDigits))
    }

    pub fn number(&mut self, field: &'static str) -> Result<E164> {
        let text = self.text(field)?;
        E164::from_digits(text).map_err(|_| self.error(field, Problem::NotDigits))
    }

    /// Three capital letters; small ones, which people may type, are refused here: one currency has one form in bytes.
    pub fn currency(&mut self, field: &'static str) -> Result<Currency> {
        let text = self.text(field)?;
        match Currency::new(text) {
            Ok(currency) if currency.as_str() == text => Ok(currency),
            _ => Err(self.error(field, Problem::NotCurrency)),
        }
    }

    /// Index of a union's branch.
    #[inline]
    pub fn branch(&mut self, count: i64, field: &'static str) -> Result<i64> {
        let index = self.long(field)?;
        if (0..count).contains(&index) { Ok(index) } else { Err(self.error(field, Problem::UnknownBranch)) }
    }

    /// Index of an enum's symbol.
    #[inline]
    pub fn symbol(&mut self, count: i64, field: &'static str) -> Result<i64> {
        let index = self.long(field)?;
        if (0..count).contains(&index) { Ok(index) } else { Err(self.error(field, Problem::UnknownSymbol)) }
    }

    /// Items of the next block of an array, 0 at its end. `least` is the fewest bytes an item takes: a count that
    /// the bytes left cannot hold is refused before anything is allocated for it.
    #[inline]
    pub fn block(&mut self, least: usize, field: &'static str) -> Result<usize> {
        let count = self.long(field)?;
        if count == 0 {
            return Ok(0);
        }
        if count < 0 {
            let size = self.integer::<usize>(field)?;
            if size > self.rest.len() {
                return Err(self.error(field, Problem::TooMany));
            }
        }
        match usize::try_from(count.unsigned_abs()) {
            Ok(count) if count <= self.rest.len() / least.max(1) => Ok(count),
            _ => Err(self.error(field, Problem::TooMany)),
        }
    }
}

fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

/// The low seven bits of each byte, side by side.
fn gather(word: u64) -> u64 {
    let word = word & 0x7f7f_7f7f_7f7f_7f7f;
    let word = (word & 0x7f00_7f00_7f00_7f00) >> 1 | word & 0x007f_007f_007f_007f;
    let word = (word & 0x3fff_0000_3fff_0000) >> 2 | word & 0x0000_3fff_0000_3fff;
    (word & 0x0fff_ffff_0000_0000) >> 4 | word & 0x0fff_ffff
}

/// The other way: 56 bits, seven to each byte.
fn scatter(bits: u64) -> u64 {
    let word = (bits & 0x00ff_ffff_f000_0000) << 4 | bits & 0x0fff_ffff;
    let word = (word & 0x0fff_c000_0fff_c000) << 2 | word & 0x0000_3fff_0000_3fff;
    (word & 0x3f80_3f80_3f80_3f80) << 1 | word & 0x007f_007f_007f_007f
}

/// A zigzag varint.
#[inline]
pub fn put_long(out: &mut Vec<u8>, value: i64) {
    let bits = ((value << 1) ^ (value >> 63)) as u64;
    if bits < 0x80 {
        out.push(bits as u8);
    } else {
        put_long_slow(out, bits);
    }
}

/// Copies of a fixed length cost no call; what is too much of them is cut off again.
fn put_long_slow(out: &mut Vec<u8>, mut bits: u64) {
    let end = out.len();
    if bits >> 56 == 0 {
        let bytes = (70 - (bits | 1).leading_zeros() as usize) / 7;
        let more = 0x8080_8080_8080_8080 & ((1 << (8 * (bytes - 1))) - 1);
        out.extend_from_slice(&(scatter(bits) | more).to_le_bytes());
        out.truncate(end + bytes);
        return;
    }
    let mut buffer = [0u8; 10];
    let mut len = 0;
    while bits >= 0x80 {
        buffer[len] = bits as u8 | 0x80;
        bits >>= 7;
        len += 1;
    }
    buffer[len] = bits as u8;
    out.extend_from_slice(&buffer);
    out.truncate(end + len + 1);
}

/// A counter. Avro has no unsigned type; nothing that we count reaches 2^63, and what did would stand there as the
/// largest number, never as a negative one.
#[inline]
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    put_long(out, i64::try_from(value).unwrap_or(i64::MAX));
}

#[inline]
pub fn put_count(out: &mut Vec<u8>, count: usize) {
    put_u64(out, count as u64);
}

#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Two's complement, big endian, in as few bytes as hold the sign.
#[inline]
pub fn put_decimal(out: &mut Vec<u8>, value: i128) {
    let sign_bits = if value < 0 { value.leading_ones() } else { value.leading_zeros() };
    let bytes = ((128 - sign_bits) / 8 + 1) as usize;
    let mut buffer = [0; 17];
    buffer[0] = (bytes << 1) as u8;
    buffer[1..].copy_from_slice(&(value << (8 * (16 - bytes))).to_be_bytes());
    let end = out.len();
    out.extend_from_slice(&buffer);
    out.truncate(end + 1 + bytes);
}

pub fn put_prefix(out: &mut Vec<u8>, prefix: Prefix) {
    let (key, len) = (prefix.key(), prefix.len());
    put_count(out, len);
    out.extend((0..len).map(|at| b'0' + ((key >> (56 - 4 * at)) & 15).saturating_sub(1) as u8));
}

#[cfg(test)]
mod tests;
