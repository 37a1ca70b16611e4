//! What can be wrong with bytes, with the field and the byte. Never holds any of the bytes: they may name a person.

use std::fmt;

/// Bytes that are not what they should be. `offset` counts from the start of the Avro body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}, byte {offset}: {problem}")]
pub struct DecodeError {
    pub offset: usize,
    /// `Record.field`.
    pub field: &'static str,
    pub problem: Problem,
}

impl DecodeError {
    pub(crate) fn new(field: &'static str, problem: Problem) -> Self {
        Self { offset: 0, field, problem }
    }
}

/// Why bytes were refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The bytes end inside this field.
    Truncated,
    /// A number of more than 64 bits.
    NumberTooLong,
    /// A number outside what the field may hold.
    OutOfRange,
    /// A boolean other than 0 and 1.
    NotBoolean,
    NotUtf8,
    /// Something other than digits, or too many of them.
    NotDigits,
    /// Not three letters.
    NotCurrency,
    /// An enum symbol that this version does not know.
    UnknownSymbol,
    /// A union branch that this version does not know.
    UnknownBranch,
    /// More items claimed than bytes are there for.
    TooMany,
    /// This many bytes are left over behind the value.
    LeftOver(usize),
    /// The record does not begin with the byte 0 and a schema id.
    NoSchemaId,
    /// A schema id that is neither compiled in nor in the registry's list.
    UnknownSchema(u32),
    /// A schema that does not belong on this topic.
    WrongSchema(&'static str),
    /// Items written by a schema that this version does not know: CRC-64-AVRO, little endian.
    UnknownItems([u8; 8]),
    /// Parts that do not fit together, e.g. the public and the private one.
    Mismatch,
    /// A private part under a key that is not here.
    Sealed(u32),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end too early"),
            Self::NumberTooLong => f.write_str("number of more than 64 bits"),
            Self::OutOfRange => f.write_str("number out of range"),
            Self::NotBoolean => f.write_str("boolean other than 0 and 1"),
            Self::NotUtf8 => f.write_str("text is not UTF-8"),
            Self::NotDigits => f.write_str("text is not digits, or too many of them"),
            Self::NotCurrency => f.write_str("text is no ISO 4217 code (three capital letters)"),
            Self::UnknownSymbol => f.write_str("unknown enum symbol; a newer version wrote this: upgrade the reader"),
            Self::UnknownBranch => f.write_str("unknown kind of item; a newer version wrote this: upgrade the reader"),
            Self::TooMany => f.write_str("more items claimed than bytes are there for"),
            Self::LeftOver(count) => write!(f, "{count} bytes left over"),
            Self::NoSchemaId => f.write_str("not in Confluent wire format (byte 0 and a schema id)"),
            Self::UnknownSchema(id) => write!(f, "unknown schema id {id}; is the schema registry configured?"),
            Self::WrongSchema(name) => write!(f, "schema {name} does not belong here"),
            Self::UnknownItems(print) => {
                f.write_str("items of an unknown schema ")?;
                print.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("; a newer version wrote this: upgrade the reader")
            }
            Self::Mismatch => f.write_str("parts do not fit together"),
            Self::Sealed(key) => write!(f, "private part is under key {key}, which is not here"),
        }
    }
}
