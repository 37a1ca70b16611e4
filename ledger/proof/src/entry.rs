//! Reads a ledger entry from its Avro bytes, alone: whoever checks a proof needs no schema library and no code that
//! wrote it.

use crate::hex::{Bytes, Hash};
use serde::Serialize;

/// Fingerprints (CRC-64-AVRO, little endian, hexadecimal) of item schemas whose entries have the layout read here.
pub const KNOWN_ITEMS: &[&str] = &["46c86609e837bcad", "3bbfbf714bcffcb0", "88193fce017ea4a1", "9de63ac6f8cbe4c7"];

/// Chart of accounts in the order of the schema.
const GL: &[&str] = &[
    "receivable_unbilled",
    "receivable_provisional",
    "receivable_invoiced",
    "receivable_disputed",
    "prepayments",
    "payable_unbilled",
    "payable_provisional",
    "payable_invoiced",
    "payable_disputed",
    "prepayments_made",
    "revenue",
    "revenue_provisional",
    "cost",
    "cost_provisional",
    "tax",
    "bank_clearing",
    "unallocated_receipts",
    "deposits",
    "bad_debt",
    "exchange_difference",
    "bank_charges",
    "withholding_tax",
    "transit",
    "rounding",
];
const KINDS: &[&str] = &["charge", "payment", "refund", "correction", "reversal"];
/// Decimals of an amount.
const SCALE: usize = 12;
/// Postings that are read at most.
const POSTINGS_MAX: usize = 100_000;

/// An entry as a customer reads it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Entry {
    pub kind: &'static str,
    /// Hexadecimal.
    pub origin_id: String,
    pub account: String,
    /// Microseconds since 1970, UTC.
    pub occurred_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xdr_id: Option<String>,
    pub postings: Vec<Posting>,
}

/// One signed line: debit plus, credit minus.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Posting {
    pub gl: &'static str,
    pub account: String,
    pub product: String,
    pub destination: String,
    pub currency: String,
    /// Exact, as a decimal.
    pub amount: String,
}

/// Why bytes are no entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EntryFault {
    #[error("its bytes end too early or go on too long")]
    Length,
    #[error("it is an item of another kind than an entry")]
    OtherKind,
    #[error("a value of it is outside what the schema allows")]
    Value,
    #[error("the schema of its items is not one that this program knows; use a newer tandem-verify")]
    Schema,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], EntryFault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(EntryFault::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn long(&mut self) -> Result<i64, EntryFault> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(EntryFault::Value);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(EntryFault::Value)
    }

    fn bytes(&mut self) -> Result<&'a [u8], EntryFault> {
        let length = usize::try_from(self.long()?).map_err(|_| EntryFault::Value)?;
        self.take(length)
    }

    fn string(&mut self) -> Result<String, EntryFault> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| EntryFault::Value)
    }

    fn id(&mut self) -> Result<String, EntryFault> {
        Ok(Bytes(self.take(16)?.to_vec()).to_string())
    }

    /// The second branch of a union with null.
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, EntryFault>) -> Result<Option<T>, EntryFault> {
        match self.long()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(EntryFault::Value),
        }
    }

    fn word(&mut self, of: &'static [&'static str]) -> Result<&'static str, EntryFault> {
        let index = usize::try_from(self.long()?).map_err(|_| EntryFault::Value)?;
        of.get(index).copied().ok_or(EntryFault::Value)
    }

    /// Big-endian two's complement of at most 16 bytes.
    fn amount(&mut self) -> Result<String, EntryFault> {
        let bytes = self.bytes()?;
        if bytes.is_empty() || bytes.len() > 16 {
            return Err(EntryFault::Value);
        }
        let start = if bytes[0] & 0x80 == 0 { 0 } else { -1i128 };
        Ok(decimal(bytes.iter().fold(start, |value, byte| (value << 8) | i128::from(*byte))))
    }

    fn posting(&mut self) -> Result<Posting, EntryFault> {
        Ok(Posting {
            gl: self.word(GL)?,
            account: self.string()?,
            product: self.string()?,
            destination: self.string()?,
            currency: self.string()?,
            amount: self.amount()?,
        })
    }

    fn postings(&mut self) -> Result<Vec<Posting>, EntryFault> {
        let mut all = Vec::new();
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(all);
            }
            if count < 0 {
                self.long()?;
                count = count.checked_neg().ok_or(EntryFault::Value)?;
            }
            for _ in 0..count {
                if all.len() == POSTINGS_MAX {
                    return Err(EntryFault::Value);
                }
                all.push(self.posting()?);
            }
        }
    }
}

fn decimal(value: i128) -> String {
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = SCALE + 1);
    let (whole, part) = digits.split_at(digits.len() - SCALE);
    let part = part.trim_end_matches('0');
    let sign = if value < 0 { "-" } else { "" };
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// Reads an item of a ledger frame whose schema has this fingerprint; every byte must be used.
pub fn read(schema: &[u8; 8], item: &[u8]) -> Result<Entry, EntryFault> {
    if !KNOWN_ITEMS.contains(&Bytes(schema.to_vec()).to_string().as_str()) {
        return Err(EntryFault::Schema);
    }
    let mut reader = Reader(item);
    if reader.long()? != 0 {
        return Err(EntryFault::OtherKind);
    }
    let kind = reader.word(KINDS)?;
    let origin_id = reader.id()?;
    let account = reader.string()?;
    let occurred_at = reader.long()?;
    let call_id = reader.option(Reader::id)?;
    let xdr_id = reader.option(Reader::id)?;
    // Where the rated call stands, who did it, why, what it adjusts: the house's own.
    reader.option(|r| {
        r.bytes()?;
        r.long()?;
        r.long()
    })?;
    reader.bytes()?;
    reader.bytes()?;
    reader.option(Reader::id)?;
    let postings = reader.postings()?;
    if !reader.0.is_empty() {
        return Err(EntryFault::Length);
    }
    Ok(Entry { kind, origin_id, account, occurred_at, call_id, xdr_id, postings })
}

/// Leaf of an item in the tree, for whoever has read it.
pub(crate) fn leaf(salt: &Hash, schema: &[u8; 8], item: &[u8]) -> Hash {
    crate::tree::item_leaf(salt, schema, item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_shown_to_its_last_digit() {
        let all = [0, 1, -1, 1_500_000_000_000, -25_000_000_000, i128::MAX];
        let shown: Vec<String> = all.into_iter().map(decimal).collect();
        let told = ["0", "0.000000000001", "-0.000000000001", "1.5", "-0.025"];
        assert_eq!(shown[..5], told);
        assert_eq!(shown[5], "170141183460469231731687303.715884105727");
    }

    #[test]
    fn any_bytes_are_refused_by_name_and_never_a_panic() {
        let schema: [u8; 8] = crate::hex::read(KNOWN_ITEMS[0]).unwrap().try_into().unwrap();
        assert_eq!(read(&[0; 8], &[0]), Err(EntryFault::Schema));
        assert_eq!(read(&schema, &[2]), Err(EntryFault::OtherKind));
        assert_eq!(read(&schema, &[]), Err(EntryFault::Length));
        let mut noise = 1u64;
        for length in 0..400usize {
            let bytes: Vec<u8> = (0..length)
                .map(|n| {
                    noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if n == 0 { 0 } else { (noise >> 56) as u8 }
                })
                .collect();
            assert!(read(&schema, &bytes).is_err());
        }
    }
}
