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

/// A store of chunks as the config log has it.
type Store = std::collections::BTreeMap<[u8; 32], Vec<u8>>;

fn add(store: &mut Store, rates: &[Rate], base: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let split = split_onto(rates.iter().cloned(), base, &|hash| store.get(hash).map(Vec::as_slice)).unwrap();
    store.extend(split.new);
    split.root
}

fn read(store: &Store, root: &[[u8; 32]]) -> Vec<Rate> {
    root.iter().flat_map(|hash| rows(hash, &|hash| store.get(hash).map(Vec::as_slice)).unwrap()).collect()
}

#[test]
fn a_hundred_versions_with_changes_all_over_cost_little_more_than_two_decks_and_read_as_written() {
    let mut store = Store::new();
    let mut rates = deck(6_000);
    let mut root = add(&mut store, &rates, &[]);
    let bytes = |store: &Store| store.values().map(Vec::len).sum::<usize>();
    let whole = bytes(&store);
    let mut all = vec![(root.clone(), rates.clone())];
    for version in 1..100u64 {
        // One row in a hundred, never the same, and now and then a code more or less.
        for (at, rate) in rates.iter_mut().enumerate() {
            if (at as u64 * 7919 + version * 104_729).is_multiple_of(100) {
                rate.next_rate = Price((version * 1_000_003 + at as u64) as i64);
            }
        }
        match version % 3 {
            0 => drop(rates.remove(version as usize * 31)),
            1 => rates.insert(0, Rate { prefix: Prefix::new(&format!("1{version:03}")).unwrap(), ..rates[0].clone() }),
            _ => {}
        }
        rates.sort_by_key(|rate| rate.prefix);
        root = add(&mut store, &rates, &root);
        all.push((root.clone(), rates.clone()));
    }
    for (root, rates) in &all {
        assert_eq!(&read(&store, root), rates);
    }
    let ratio = bytes(&store) * 100 / whole;
    assert!((100..260).contains(&ratio), "100 versions take {ratio} % of one");
    let before = store.len();
    assert_eq!(
        (add(&mut store, &rates, &root), store.len()),
        (root, before),
        "the same rows again are the same chunks"
    );
}

#[test]
fn a_patch_that_lies_about_its_base_is_refused_by_the_chunk_it_is() {
    let mut store = Store::new();
    let rates = deck(500);
    let root = add(&mut store, &rates, &[]);
    let mut changed = rates.clone();
    changed[3].next_rate = Price(5);
    let patched = add(&mut store, &changed, &root);
    let hash = *patched.iter().find(|hash| !root.contains(hash)).unwrap();
    let get = |store: &Store| rows(&hash, &|hash| store.get(hash).map(Vec::as_slice));
    assert!(get(&store).is_ok());
    let mut shorter = store.clone();
    let base = root.iter().position(|hash| !patched.contains(hash)).unwrap();
    shorter.insert(root[base], encode_chunk(&rates[..1]));
    assert_eq!(get(&shorter).unwrap_err(), ChunkError::Patch(hash));
    shorter.remove(&root[base]);
    assert_eq!(get(&shorter).unwrap_err(), ChunkError::Missing(root[base]));
    let mut looped = store.clone();
    let mut bytes = store[&hash].clone();
    bytes[10..42].copy_from_slice(&hash);
    looped.insert(hash, bytes);
    assert_eq!(get(&looped).unwrap_err(), ChunkError::Patch(hash));
}
