//! Deterministic ids (design 6.1, frozen): the first 128 bits of BLAKE3 over a context string and the parts,
//! each of them, the context too, preceded by its length as u32 LE.

use serde::{Deserialize, Serialize};
use std::fmt;

/// H of design 6.1.
pub fn hash(context: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Hasher::new(context);
    for part in parts {
        hasher.part(part);
    }
    hasher.finish()
}

/// H fed part by part; short inputs stay in a buffer on the stack and are hashed in one go.
struct Hasher {
    buffer: [u8; 256],
    len: usize,
    long: Option<Box<blake3::Hasher>>,
}

impl Hasher {
    fn new(context: &str) -> Self {
        let mut this = Self { buffer: [0; 256], len: 0, long: None };
        this.part(context.as_bytes());
        this
    }

    fn part(&mut self, part: &[u8]) {
        self.bytes(&(part.len() as u32).to_le_bytes());
        self.bytes(part);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.long {
            hasher.update(bytes);
        } else if self.len + bytes.len() <= self.buffer.len() {
            self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
            self.len += bytes.len();
        } else {
            let mut hasher = Box::new(blake3::Hasher::new());
            hasher.update(&self.buffer[..self.len]);
            hasher.update(bytes);
            self.long = Some(hasher);
        }
    }

    fn finish(self) -> [u8; 16] {
        let full = match &self.long {
            Some(hasher) => hasher.finalize(),
            None => blake3::hash(&self.buffer[..self.len]),
        };
        let mut id = [0; 16];
        id.copy_from_slice(&full.as_bytes()[..16]);
        id
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Reads 32 hexadecimal digits.
            pub fn parse(text: &str) -> Option<Self> {
                let bytes = text.as_bytes();
                if bytes.len() != 32 {
                    return None;
                }
                let mut id = [0; 16];
                for (i, pair) in bytes.chunks(2).enumerate() {
                    let digit = |b: u8| char::from(b).to_digit(16);
                    id[i] = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
                }
                Some(Self(id))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(d)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom("an id is 32 hexadecimal digits"))
            }
        }
    };
}

id!(
    /// A call: `H("tandem.call.v1", id domain, switch, call key)`.
    CallId
);
id!(
    /// Key under which a foreign record counts once: `H("tandem.dedupe.v1", ...)`, design 6.6.
    DedupeKey
);
id!(
    /// One ledger entry: `H("tandem.entry.v1", stream, kind, origin id)`.
    EntryId
);
id!(
    /// An import of one file: `H("tandem.import.v1", ...)`.
    ImportId
);
id!(
    /// What an entry comes from: a revision, a payment, a hold, a give.
    OriginId
);
id!(
    /// One revision of one priced side: `H("tandem.rev.v1", xdr id, cause)`.
    RevId
);
id!(
    /// A run over past calls: `H("tandem.run.v1", ...)`.
    RunId
);
id!(
    /// One priced side of a call: `H("tandem.xdr.v1", call id, attempt key, side, level)`.
    XdrId
);

impl CallId {
    pub fn new(id_domain: &str, switch: &str, call_key: &str) -> Self {
        Self(hash("tandem.call.v1", &[id_domain.as_bytes(), switch.as_bytes(), call_key.as_bytes()]))
    }
}

impl XdrId {
    /// `attempt_key` is empty on a sell side; on a buy side the switch's own id of the B leg, never a position.
    /// `level` is 0 for our direct customer or vendor and rises towards the reseller's end customer.
    pub fn new(call: CallId, attempt_key: &str, side: crate::Side, level: u8) -> Self {
        Self(hash("tandem.xdr.v1", &[&call.0, attempt_key.as_bytes(), side.as_str().as_bytes(), &[level]]))
    }
}

/// Why a revision exists (design 6.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    First,
    /// A late event or record: the id of what came late.
    Late([u8; 16]),
    /// A run over past calls: its id.
    Run([u8; 16]),
}

impl RevId {
    pub fn new(xdr: XdrId, cause: &Cause) -> Self {
        let mut text = [0u8; 24];
        let part: &[u8] = match cause {
            Cause::First => b"first",
            Cause::Late(id) => {
                text[..5].copy_from_slice(b"late:");
                text[5..21].copy_from_slice(id);
                &text[..21]
            }
            Cause::Run(id) => {
                text[..4].copy_from_slice(b"run:");
                text[4..20].copy_from_slice(id);
                &text[..20]
            }
        };
        Self(hash("tandem.rev.v1", &[&xdr.0, part]))
    }
}

impl EntryId {
    pub fn new(stream: &str, kind: &str, origin: OriginId) -> Self {
        Self(hash("tandem.entry.v1", &[stream.as_bytes(), kind.as_bytes(), &origin.0]))
    }
}

impl DedupeKey {
    /// The switch's own record id, where the template declares one.
    pub fn of_record_id(id_domain: &str, switch: &str, record_id: &str) -> Self {
        Self(hash("tandem.dedupe.v1", &[b"id", id_domain.as_bytes(), switch.as_bytes(), record_id.as_bytes()]))
    }

    /// Source, raw record, and its ordinal among equal records of the file.
    pub fn of_raw(source: &str, raw: &[u8], ordinal: u32) -> Self {
        Self(hash("tandem.dedupe.v1", &[b"raw", source.as_bytes(), raw, &ordinal.to_le_bytes()]))
    }
}

/// Who made an event and its place in that node's sequence (design 6.4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EventId<S = String> {
    pub node: S,
    /// Rises with each start of the node: microseconds since the epoch at its start.
    pub boot_epoch: i64,
    pub partition: u32,
    /// Counts from 0 per node, boot epoch and partition, without gaps.
    pub sequence: u64,
}

impl<S: AsRef<str>> EventId<S> {
    /// The 16 bytes that stand for this event in a `late:` cause.
    pub fn hash(&self) -> [u8; 16] {
        hash(
            "tandem.event.v1",
            &[
                self.node.as_ref().as_bytes(),
                &self.boot_epoch.to_le_bytes(),
                &self.partition.to_le_bytes(),
                &self.sequence.to_le_bytes(),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    /// Frozen: a changed line here means that every id ever issued is another one.
    #[test]
    fn ids_are_pinned() {
        let call = CallId::new("yeti-eu", "yeti-1", "b1f7-0001");
        let sell = XdrId::new(call, "", crate::Side::Sell, 0);
        let buy = XdrId::new(call, "legb-7", crate::Side::Buy, 0);
        let first = RevId::new(sell, &Cause::First);
        let lines = [
            format!("call  {call}"),
            format!("sell  {sell}"),
            format!("buy   {buy}"),
            format!("first {first}"),
            format!("late  {}", RevId::new(sell, &Cause::Late([7; 16]))),
            format!("run   {}", RevId::new(sell, &Cause::Run([7; 16]))),
            format!("entry {}", EntryId::new("ledger.main", "charge", OriginId(first.0))),
            format!("dedupe id  {}", DedupeKey::of_record_id("yeti-eu", "yeti-1", "100172")),
            format!("dedupe raw {}", DedupeKey::of_raw("asterisk-1", b"a,b,c", 1)),
        ];
        expect![[r#"
            call  7f15de2ac4f25892e640b84cd77a7882
            sell  7725c4dbb03ad9d9ad3aac0207939103
            buy   ff8598f657cacadde8c9e93482989aae
            first 0108bbbe98560a82eba36ce78c41e887
            late  43c6853cc49fba49581d09c74c67dc86
            run   438ddfc76656c1d0b34a793947ac927a
            entry 4c10ff688a71694af485e19c2ea8443d
            dedupe id  febee584ec9b1aae833b64d318a2aaf7
            dedupe raw fde5e51c4cd1a7ce5675b1a2725be42a"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn the_length_of_a_part_counts() {
        assert_ne!(CallId::new("a", "bc", "d"), CallId::new("ab", "c", "d"));
        let long = "x".repeat(1000);
        let mut whole = Vec::new();
        for part in ["tandem.call.v1", &long, "s", "k"] {
            whole.extend((part.len() as u32).to_le_bytes());
            whole.extend(part.as_bytes());
        }
        assert_eq!(CallId::new(&long, "s", "k").0, blake3::hash(&whole).as_bytes()[..16]);
        assert_eq!(CallId::parse(&CallId::new("a", "b", "c").to_string()), Some(CallId::new("a", "b", "c")));
    }
}
