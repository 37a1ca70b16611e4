//! Bytes that an older version wrote stay readable: for each old schema build.rs makes a decoder, and it must see
//! what apache-avro sees when it resolves the old schema against the current one.

use super::arbitrary::{Model, Tape};
use crate::bus_record::{decode, decode_event, event_to_facts};
use crate::ids::{Schema, SchemaIds};
use crate::wire;
use apache_avro::types::Value;
use facts::call::{BusRecord, EventKind};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_old_event_reads_as_apache_avro_resolves_it(tape in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (old, new) = (Model::of(Schema::CallEventV0), Model::of(Schema::CallEvent));
        let mut value = old.value(&mut Tape::new(&tape));
        if let Value::Record(fields) = &mut value {
            let code = fields.iter_mut().find(|(name, _)| name == "sip_code").unwrap();
            code.1 = Value::Int(i32::from(tape.len() as u16));
            let id = fields.iter_mut().find(|(name, _)| name == "id").unwrap();
            if let Value::Record(id) = &mut id.1 {
                id[2].1 = Value::Int(3);
                id[3].1 = Value::Long(tape.len() as i64);
            }
        }
        let bytes = old.write(value);

        let resolved = old.resolve(&bytes, new);
        let theirs = new.write(resolved);
        let theirs = event_to_facts(&wire::CallEvent::decode(&theirs).unwrap());

        let ids = SchemaIds::default();
        let mut record = Vec::new();
        ids.put_prefix(Schema::CallEventV0, &mut record);
        record.extend(&bytes);
        prop_assert_eq!(event_to_facts(&decode_event(&record, &ids).unwrap().unwrap()), theirs.clone());
        prop_assert_eq!(decode(&record, &ids).unwrap(), BusRecord::Event(Box::new(theirs)));
    }
}

/// Written once by apache-avro with call-event.v0: these bytes stand in somebody's log.
#[test]
fn an_old_record_on_disk_is_still_an_event() {
    let record = hex(include_str!("../../golden/call-event.v0.hex"));
    let ids = SchemaIds::default();
    let event: facts::CallEvent = event_to_facts(&decode_event(&record, &ids).unwrap().unwrap());
    assert_eq!(event.kind, EventKind::Interim, "a kind that is no more is proof of life");
    assert_eq!((event.id_domain.as_str(), event.switch.as_str(), event.call_key.as_str()), ("eu", "sw-1", "b1f7"));
    assert_eq!((event.duration, event.sip_code, event.vendor_duration), (Some(61_000_000), Some(200), None));
    assert_eq!((event.inbound.trunk.as_str(), event.inbound.port), ("acme", 0));
    assert_eq!(event.occurred_at.to_string(), "2023-05-09T10:00:03Z");
}

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
