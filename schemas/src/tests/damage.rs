//! Bytes as an enemy or a bad disk would send them: never a panic, never memory for a length that is only claimed,
//! never another reading than apache-avro's.

use super::arbitrary::{Model, Tape};
use super::{recode, recode_resolved};
use crate::frame::{FrameView, decode_record};
use crate::ids::{Schema, SchemaIds};
use crate::{bus_record, config, deck_rows, ledger, xdrs};
use proptest::prelude::*;

/// Flips, cuts and insertions, places taken from the edits.
fn damage(bytes: &mut Vec<u8>, edits: &[(u16, u8, u8)]) {
    for (place, kind, byte) in edits {
        let at = if bytes.is_empty() { 0 } else { usize::from(*place) % bytes.len() };
        match kind % 4 {
            0 if !bytes.is_empty() => bytes[at] ^= byte | 1,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, *byte),
            _ if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {}
        }
    }
}

/// Every door by which bytes come in.
fn read_by_all_doors(bytes: &[u8]) {
    let ids = SchemaIds::default();
    for schema in Schema::ALL {
        let _ = recode(schema, bytes);
        let mut record = Vec::new();
        ids.put_prefix(schema, &mut record);
        record.extend(bytes);
        let _ = bus_record::decode(&record, &ids);
        let _ = bus_record::decode_event(&record, &ids);
        let _ = decode_record(&record, &ids);
    }
    let _ = bus_record::decode(bytes, &ids);
    let _ = deck_rows::decode_chunk(bytes);
    let _ = xdrs::decode_item(bytes, bytes);
    let _ = xdrs::decode_item(bytes, &[]);
    let _ = ledger::decode_item(bytes, &[]);
    let _ = config::decode_item(bytes, &[]);
    if let Ok(view) = FrameView::parse_body(bytes) {
        for index in 0..=view.len() {
            assert_eq!(view.public(index).is_ok(), index < view.len());
            let _ = view.item(index);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_bytes_are_refused_or_read_as_apache_avro_reads_them(
        which in 0..Schema::ALL.len(),
        tape in proptest::collection::vec(any::<u8>(), 0..400),
        edits in proptest::collection::vec(any::<(u16, u8, u8)>(), 1..4),
    ) {
        let schema = Schema::ALL[which];
        let model = Model::of(schema);
        let mut bytes = model.write(model.value(&mut Tape::new(&tape)));
        damage(&mut bytes, &edits);
        read_by_all_doors(&bytes);
        prop_assert_eq!(recode_resolved(schema, &bytes), recode(schema, &bytes), "{}", schema.name());
        if !super::OLD.contains(&schema) && let Ok(ours) = recode(schema, &bytes) {
            let theirs = model.read(&bytes);
            prop_assert!(theirs.is_ok(), "{}: we read what apache-avro refuses", schema.name());
            // Through our writer too: numbers and amounts may have been written with more bytes than needed.
            let theirs = recode(schema, &model.write(theirs.unwrap()));
            prop_assert_eq!(theirs, Ok(ours), "{}", schema.name());
        }
    }

    #[test]
    fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_by_all_doors(&bytes);
    }
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    let tape: Vec<u8> = (0..300u16).map(|x| (x * 7 % 251) as u8).collect();
    for schema in super::current() {
        let model = Model::of(schema);
        let bytes = model.write(model.value(&mut Tape::new(&tape)));
        for end in 0..bytes.len() {
            assert!(recode(schema, &bytes[..end]).is_err(), "{} cut at {end}", schema.name());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(recode(schema, &longer).unwrap_err().to_string().contains("1 bytes left over"), "{}", schema.name());
    }
}
