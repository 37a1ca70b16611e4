//! Arbitrary values, both ways, against apache-avro.

use super::arbitrary::{Model, Tape};
use super::{current, recode, recode_resolved};
use crate::ids::{Schema, SchemaIds};
use crate::{bus_record, config, deck_rows, ledger, xdrs};
use apache_avro::Schema as Avro;
use apache_avro::rabin::Rabin;
use apache_avro::types::Value;
use proptest::prelude::*;

fn tape() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..600)
}

/// apache-avro 0.22 keeps logical types in its canonical form, where the specification and Java drop them; so it is
/// asked for the form of a schema without any.
#[test]
fn fingerprints_are_those_that_other_libraries_compute() {
    for schema in Schema::ALL {
        let plain = Avro::parse_str(schema.canonical()).unwrap();
        assert_eq!(plain.canonical_form(), schema.canonical(), "{}", schema.name());
        assert_eq!(plain.fingerprint::<Rabin>().bytes, schema.fingerprint(), "{}", schema.name());
        for word in ["logicalType", "rust", "doc", "default", "precision"] {
            assert!(!schema.canonical().contains(&format!("\"{word}\":")), "{}: {word}", schema.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_schema_reads_and_writes_as_apache_avro_does(tape in tape()) {
        for schema in current() {
            let model = Model::of(schema);
            let value = model.value(&mut Tape::new(&tape));
            let theirs = model.write(value.clone());
            let ours = recode(schema, &theirs).map_err(|e| TestCaseError::fail(format!("{}: {e}", schema.name())))?;
            prop_assert_eq!(&ours, &theirs, "{}", schema.name());
            let resolved = recode_resolved(schema, &theirs);
            prop_assert_eq!(resolved.as_ref(), Ok(&theirs), "{}", schema.name());
            let back = model.read(&ours).unwrap();
            prop_assert_eq!(back, value, "{}", schema.name());
        }
    }

    #[test]
    fn facts_of_the_bus_survive_the_bytes(tape in tape()) {
        let ids = SchemaIds::default();
        for schema in [Schema::CallEvent, Schema::Reject, Schema::ImportEnd, Schema::Tick, Schema::SourceMark,
                       Schema::Incarnation] {
            let model = Model::of(schema);
            let mut record = Vec::new();
            ids.put_prefix(schema, &mut record);
            record.extend(model.write(model.value(&mut Tape::new(&tape))));
            let fact = bus_record::decode(&record, &ids).unwrap();
            let mut again = Vec::new();
            bus_record::encode(&fact, &ids, &mut again);
            prop_assert_eq!(&again, &record);
        }
    }

    #[test]
    fn facts_of_the_streams_survive_the_bytes(tape in tape()) {
        let model = Model::of(Schema::LedgerItem);
        let bytes = model.write(model.value(&mut Tape::new(&tape)));
        let (mut public, mut private) = (Vec::new(), Vec::new());
        ledger::encode_item(&ledger::decode_item(&bytes, &[]).unwrap(), &mut public, &mut private);
        prop_assert_eq!((&public, private.len()), (&bytes, 0));

        let model = Model::of(Schema::ConfigItem);
        let bytes = model.write(model.value(&mut Tape::new(&tape)));
        let item = config::decode_item(&bytes, &[]).unwrap();
        let mut public = Vec::new();
        config::encode_item(&item, &mut public, &mut private);
        prop_assert_eq!(private.len(), 0);
        // Options of a switch are a map: their order and repeats are not kept, all else is.
        prop_assert_eq!(config::decode_item(&public, &[]).unwrap(), item);
        let theirs = model.read(&public).unwrap();
        prop_assert_eq!(model.write(theirs), public);
    }

    #[test]
    fn facts_of_an_xdrs_stream_survive_both_parts(tape in tape()) {
        let (public, private) = (Model::of(Schema::XdrsItem), Model::of(Schema::XdrsPrivate));
        for (open, hidden) in [("RatedCall", Some("RatedCallPrivate")), ("Suspended", Some("SuspendedPrivate")),
                               ("Conflict", Some("ConflictPrivate")), ("Rejected", Some("RejectedPrivate")),
                               ("ImportCount", None), ("SourceMark", None), ("RaterState", None)] {
            let mut tape = Tape::new(&tape);
            let open = public.with_branch(open, &mut tape);
            let attempts = attempts(&open);
            let open = public.write(open);
            let hidden = hidden.map_or(Vec::new(), |name| {
                let mut value = private.with_branch(name, &mut tape);
                set_attempt_keys(&mut value, attempts);
                private.write(value)
            });
            let item = xdrs::decode_item(&open, &hidden).unwrap();
            let (mut open_again, mut hidden_again) = (Vec::new(), Vec::new());
            xdrs::encode_item(&item, &mut open_again, &mut hidden_again);
            prop_assert_eq!(&hidden_again, &hidden);
            // A gross amount equal to the net one is left out when we write.
            prop_assert_eq!(xdrs::decode_item(&open_again, &hidden_again).unwrap(), item);
            let theirs = public.read(&open_again).unwrap();
            prop_assert_eq!(public.write(theirs), open_again);
            // One part without the other is refused, never half a call.
            let other = if hidden.is_empty() { vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0] } else { Vec::new() };
            prop_assert!(xdrs::decode_item(&open, &other).is_err());
        }
    }

    #[test]
    fn rows_of_a_deck_survive_the_bytes(tape in tape()) {
        let model = Model::of(Schema::DeckRows);
        let Value::Record(mut fields) = model.value(&mut Tape::new(&tape)) else { panic!("a record") };
        fields[0].1 = Value::Array(vec![Value::String("Germany".into()), Value::String("x".repeat(40))]);
        if let Value::Array(rates) = &mut fields[1].1 {
            for (at, rate) in rates.iter_mut().enumerate() {
                let Value::Record(rate) = rate else { panic!("a record") };
                rate[1].1 = Value::Long((at % 2) as i64);
            }
        }
        let bytes = model.write(Value::Record(fields));
        let rows = deck_rows::decode_chunk(&bytes).unwrap();
        let again = deck_rows::encode_chunk(&rows);
        prop_assert_eq!(deck_rows::decode_chunk(&again).unwrap(), rows);
        let theirs = model.read(&again).unwrap();
        prop_assert_eq!(model.write(theirs), again);
    }
}

fn field<'v>(value: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    match value {
        Value::Union(_, inner) => field(inner, name),
        Value::Record(fields) => fields.iter_mut().find(|(n, _)| n == name).map(|(_, v)| v),
        _ => None,
    }
}

fn attempts(item: &Value) -> usize {
    let mut item = item.clone();
    match field(&mut item, "item").and_then(|call| field(call, "attempts")) {
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    }
}

fn set_attempt_keys(item: &mut Value, count: usize) {
    if let Some(keys) = field(item, "item").and_then(|call| field(call, "attempt_keys")) {
        *keys = Value::Array((0..count).map(|at| Value::String(format!("leg-{at}"))).collect());
    }
}
