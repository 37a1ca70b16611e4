//! Which schema a record was written by: compiled-in ids, a registry's ids over them, and the five bytes before
//! every record (Confluent wire format: 0, then the id as u32 big endian).

use crate::error::{DecodeError, Problem};
use crate::wire;
use std::collections::BTreeMap;

macro_rules! schemas {
    ($($variant:ident = $name:literal, $id:literal;)*) => {
        /// Every schema that stands in front of a record, old ones too.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Schema { $(#[doc = $name] $variant,)* }

        impl Schema {
            pub const ALL: [Self; [$($id),*].len()] = [$(Self::$variant),*];

            /// Name of the `.avsc`; also the registry's subject.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The compiled-in id. Never changed, never used again. They begin with the letters TD, far above what a
            /// registry gives out, so that both can be told apart in one log.
            pub const fn compiled_id(self) -> u32 {
                match self { $(Self::$variant => 0x5444_0000 + $id,)* }
            }
        }
    };
}

schemas! {
    CallEvent = "call-event.v1", 1;
    Reject = "reject.v1", 2;
    ImportEnd = "import-end.v1", 3;
    Tick = "tick.v1", 4;
    SourceMark = "source-mark.v1", 5;
    Incarnation = "incarnation.v1", 6;
    Frame = "frame.v1", 7;
    Fence = "fence.v1", 8;
    XdrsItem = "xdrs-item.v1", 9;
    XdrsPrivate = "xdrs-private.v1", 10;
    LedgerItemV1 = "ledger-item.v1", 11;
    ConfigItemV1 = "config-item.v1", 12;
    DeckRows = "deck-rows.v1", 13;
    XdrOut = "xdr-out.v1", 14;
    CallEventV0 = "call-event.v0", 15;
    ConfigItemV2 = "config-item.v2", 16;
    RunOrder = "run-order.v1", 17;
    LedgerItemV2 = "ledger-item.v2", 18;
    ConfigItemV3 = "config-item.v3", 19;
    DeckPatch = "deck-patch.v1", 20;
    NoticeV1 = "notice.v1", 21;
    LedgerItemV3 = "ledger-item.v3", 22;
    ConfigItemV4 = "config-item.v4", 23;
    NoticeV2 = "notice.v2", 24;
    LedgerItem = "ledger-item.v4", 25;
    ConfigItem = "config-item.v5", 28;
    Notice = "notice.v3", 32;
}

impl Schema {
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Self-contained Avro schema, as a registry takes it.
    pub fn text(self) -> &'static str {
        self.entry().map_or("", |e| e.1)
    }

    /// Its parsing canonical form, which the fingerprint is of.
    pub fn canonical(self) -> &'static str {
        self.entry().map_or("", |e| e.2)
    }

    /// CRC-64-AVRO, little endian.
    pub fn fingerprint(self) -> [u8; 8] {
        self.entry().map_or([0; 8], |e| e.3)
    }

    fn entry(self) -> Option<&'static wire::Text> {
        wire::TEXTS.iter().find(|(name, ..)| *name == self.name())
    }
}

/// Ids to write and read by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchemaIds {
    /// By `Schema as usize`.
    ids: [u32; Schema::ALL.len()],
}

impl Default for SchemaIds {
    fn default() -> Self {
        Self { ids: Schema::ALL.map(Schema::compiled_id) }
    }
}

/// Names in a registry's answer that are no schemas of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("schema registry: {0}; it must give every schema one id of its own")]
pub struct BadRegistry(String);

impl SchemaIds {
    /// Ids by name, as a registry gave them; names that are missing keep the compiled-in id.
    pub fn from_registry(given: &BTreeMap<String, u32>) -> Result<Self, BadRegistry> {
        let mut this = Self::default();
        for (name, id) in given {
            let Some(schema) = Schema::named(name) else { return Err(BadRegistry(format!("unknown name {name}"))) };
            this.ids[schema as usize] = *id;
        }
        for schema in Schema::ALL {
            let id = this.id(schema);
            if this.schema(id) != Some(schema) {
                return Err(BadRegistry(format!("id {id} stands for {} and for another schema", schema.name())));
            }
        }
        Ok(this)
    }

    pub fn id(&self, schema: Schema) -> u32 {
        self.ids[schema as usize]
    }

    /// The schema of an id: as given by the registry, else as compiled in.
    #[inline]
    pub fn schema(&self, id: u32) -> Option<Schema> {
        let given = Schema::ALL.into_iter().find(|s| self.id(*s) == id);
        given.or_else(|| Schema::ALL.into_iter().find(|s| s.compiled_id() == id))
    }

    /// Appends the five bytes that stand before a record.
    #[inline]
    pub fn put_prefix(&self, schema: Schema, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&self.id(schema).to_be_bytes());
    }

    /// Splits a record into its schema and its Avro body.
    #[inline]
    pub fn split<'a>(&self, record: &'a [u8]) -> Result<(Schema, &'a [u8]), DecodeError> {
        let Some(([0, id @ ..], body)) = record.split_first_chunk::<5>() else {
            return Err(DecodeError::new("record", Problem::NoSchemaId));
        };
        let id = u32::from_be_bytes(*id);
        match self.schema(id) {
            Some(schema) => Ok((schema, body)),
            None => Err(DecodeError::new("record", Problem::UnknownSchema(id))),
        }
    }

    /// A record as `to` has it: the same body behind the id of the same schema.
    pub fn translate(&self, record: &[u8], to: &Self) -> Result<Vec<u8>, DecodeError> {
        let (schema, body) = self.split(record)?;
        let mut out = Vec::with_capacity(record.len());
        to.put_prefix(schema, &mut out);
        out.extend_from_slice(body);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_file_has_an_id_and_every_id_a_file() {
        let files: Vec<&str> = wire::TEXTS.iter().map(|t| t.0).collect();
        let mut named: Vec<&str> = Schema::ALL.iter().map(|s| s.name()).collect();
        named.sort_unstable();
        let mut files_sorted = files;
        files_sorted.sort_unstable();
        assert_eq!(named, files_sorted);
    }

    #[test]
    fn a_registry_overrides_and_old_records_stay_readable() {
        let given = BTreeMap::from([("call-event.v1".to_owned(), 7u32)]);
        let ids = SchemaIds::from_registry(&given).unwrap();
        let mut record = Vec::new();
        ids.put_prefix(Schema::CallEvent, &mut record);
        assert_eq!(record, [0, 0, 0, 0, 7]);
        assert_eq!(ids.split(&record).unwrap().0, Schema::CallEvent);
        assert_eq!(ids.translate(&[0, 0, 0, 0, 7, 9], &SchemaIds::default()).unwrap(), [0, 0x54, 0x44, 0, 1, 9]);
        assert_eq!(ids.split(&[0, 0x54, 0x44, 0, 1]).unwrap().0, Schema::CallEvent);
        assert_eq!(ids.split(&[0, 0, 0, 0, 8]).unwrap_err().problem, Problem::UnknownSchema(8));
        assert_eq!(ids.split(&[1, 0, 0, 0, 7]).unwrap_err().problem, Problem::NoSchemaId);
        assert_eq!(ids.split(&[0, 0, 0]).unwrap_err().problem, Problem::NoSchemaId);
        let twice = BTreeMap::from([("tick.v1".to_owned(), 7u32), ("fence.v1".to_owned(), 7)]);
        assert!(SchemaIds::from_registry(&twice).is_err());
    }
}
