//! Tests of `codec`.

use super::*;

/// Why a body of one value was refused.
fn refused<T: std::fmt::Debug>(bytes: &[u8], read: fn(&mut Reader<'_>) -> Result<T>) -> DecodeError {
    Reader::whole(bytes, "x", |r| read(r)).unwrap_err()
}

fn long_bytes(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    put_long(&mut out, value);
    out
}

/// The table of the Avro specification, and the ends of the range.
#[test]
fn numbers_are_zigzag_varints() {
    for (value, bytes) in [(0, vec![0]), (-1, vec![1]), (1, vec![2]), (-64, vec![0x7f]), (64, vec![0x80, 1])] {
        assert_eq!(long_bytes(value), bytes);
    }
    for value in [i64::MIN, i64::MAX, 1 << 40, -(1 << 40)] {
        let bytes = long_bytes(value);
        assert_eq!(Reader::new(&bytes).long("x"), Ok(value));
        for end in 0..bytes.len() {
            assert_eq!(refused(&bytes[..end], |r| r.long("x")).problem, Problem::Truncated);
        }
    }
    for shift in 0..64 {
        for value in [
            1i64 << shift,
            (1i64 << shift).wrapping_sub(1),
            (1i64 << shift).wrapping_neg(),
            (1i64 << shift).wrapping_add(1),
        ] {
            let mut plain = Vec::new();
            let mut bits = ((value << 1) ^ (value >> 63)) as u64;
            while bits >= 0x80 {
                plain.push(bits as u8 | 0x80);
                bits >>= 7;
            }
            plain.push(bits as u8);
            assert_eq!(long_bytes(value), plain);
            plain.extend([0x55; 8]);
            assert_eq!(Reader::new(&plain).long("x"), Ok(value));
        }
    }
    let endless = [0xff; 12];
    assert_eq!(refused(&endless, |r| r.long("x")).problem, Problem::NumberTooLong);
}

#[test]
fn an_amount_takes_as_few_bytes_as_hold_its_sign() {
    for (value, bytes) in [(0i128, &[0u8][..]), (-1, &[0xff]), (127, &[0x7f]), (128, &[0, 0x80]), (-128, &[0x80])] {
        let mut out = Vec::new();
        put_decimal(&mut out, value);
        assert_eq!(&out[1..], bytes);
    }
    for value in [i128::MIN, i128::MAX, 1_065_355_000_000, -98_000_000_000_000] {
        let mut out = Vec::new();
        put_decimal(&mut out, value);
        assert_eq!(Reader::new(&out).decimal("x"), Ok(value));
    }
    assert_eq!(refused(&[0], |r| r.decimal("x")).problem, Problem::OutOfRange);
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let mut bytes = long_bytes(i64::MAX);
    bytes.extend([0; 8]);
    assert_eq!(refused(&bytes, |r| r.block(1, "x")).problem, Problem::TooMany);
    assert_eq!(refused(&bytes, |r| r.bytes("x").map(<[u8]>::len)).problem, Problem::Truncated);
    let mut negative = long_bytes(i64::MIN);
    negative.extend(long_bytes(3));
    negative.extend([0; 3]);
    assert_eq!(refused(&negative, |r| r.block(1, "x")).problem, Problem::TooMany);
    let mut sized = long_bytes(-2);
    sized.extend(long_bytes(2));
    sized.extend([0, 2]);
    assert_eq!(Reader::new(&sized).block(1, "x"), Ok(2));
}

#[test]
fn an_error_names_the_byte_and_the_field() {
    let error = refused(&[2, 1, 3], |r| {
        assert_eq!(r.long("a"), Ok(1));
        r.integer::<u32>("CallEvent.line")
    });
    assert_eq!(error.to_string(), "CallEvent.line, byte 1: number out of range");
}
