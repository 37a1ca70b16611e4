//! Tests of `deck_rows`.

use super::*;
use facts::Prefix;
use std::collections::BTreeSet;

fn deck(rows: u64) -> Vec<Rate> {
    (0..rows)
        .map(|at| {
            let prefix = Prefix::new(&format!("{}", 1_000_000 + at * 7)).unwrap();
            let name = format!("Country {} - Mobile Operator", at / 40);
            Rate::simple(prefix, &name, 60, 1, Price(100_000_000 + (at % 977) as i64))
        })
        .collect()
}

#[test]
fn a_changed_price_and_a_new_code_replace_one_chunk_each() {
    let rates = deck(30_000);
    let before = split(&rates).unwrap();
    assert!(before.len() > 5 && before.iter().all(|(_, bytes)| bytes.len() <= CHUNK_BYTES_MAX));
    let mut changed = rates.clone();
    changed[10].next_rate = Price(1);
    changed.insert(20_000, Rate { prefix: Prefix::new("11400001").unwrap(), ..rates[20_000].clone() });
    let after = split(&changed).unwrap();
    let known: BTreeSet<[u8; 32]> = before.iter().map(|c| c.0).collect();
    let new = after.iter().filter(|(hash, _)| !known.contains(hash)).count();
    assert!(new <= 3, "{new} of {} chunks are new", after.len());
    let read: Vec<Rate> = after.iter().flat_map(|(_, bytes)| decode_chunk(bytes).unwrap()).collect();
    assert_eq!(read, changed);
}

#[test]
fn chunks_stay_below_the_limit_whatever_the_rows_hold() {
    let step = Step { from: 1 << 40, rate: Price(i64::MAX), per: 60, increment: 1 };
    let mut rates = deck(60);
    for rate in &mut rates {
        rate.prefix = Prefix::new("49").unwrap();
        rate.steps = vec![step; 4_000];
    }
    let chunks = split(&rates).unwrap();
    assert!(chunks.len() > 1 && chunks.iter().all(|(_, bytes)| bytes.len() <= CHUNK_BYTES_MAX));
    rates[7].steps = vec![step; 40_000];
    assert_eq!(split(&rates).unwrap_err().row, 7);
    assert_eq!(split(&[]), Ok(Vec::new()));
}

#[test]
fn a_row_that_names_no_destination_is_refused() {
    let mut bytes = Vec::new();
    let rate = Rate::simple(Prefix::default(), "x", 1, 1, Price(0));
    wire::DeckRows { destinations: vec!["x"], rates: vec![rate_to_wire(&rate, 1)] }.encode(&mut bytes);
    assert_eq!(decode_chunk(&bytes).unwrap_err().field, "Rate.destination");
}
