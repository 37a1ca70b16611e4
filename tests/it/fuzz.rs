//! Bounded fuzzing of every reader and decoder, on stable Rust: seeds from `tests/fixtures`, mutated by
//! an xorshift, same figures at every run.
//!
//! A target may refuse its input; it may not panic, and not take a second for a few kilobytes.
//! `TANDEM_FUZZ_SECONDS` sets the time for each target (2 in the test command, 300 at night),
//! `TANDEM_FUZZ_SEED` begins elsewhere. A failing input is kept in the temporary folder and named.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const LONGEST: usize = 16 << 10;
const SLOW: Duration = Duration::from_secs(1);

/// Feeds mutations of the seeds to `target` until the time is up; panics at the first that fails.
pub(crate) fn fuzz(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    fuzz_within(name, seeds, SLOW, target);
}

/// The same for targets that wait for a disk or another process: `slow` is what one input may take.
pub(crate) fn fuzz_within(name: &str, seeds: &[Vec<u8>], slow: Duration, target: impl Fn(&[u8])) {
    let seconds = if tests::night() { 300 } else { 2 };
    let limit = Duration::from_secs(number("TANDEM_FUZZ_SECONDS").unwrap_or(seconds));
    let seed = number("TANDEM_FUZZ_SEED").unwrap_or(1);
    match search(seeds, seed, limit, slow, target) {
        Ok(runs) => {
            assert!(runs >= seeds.len() as u64, "{name}: not even its seeds fit into {limit:?}");
            println!("fuzzed {name}: {runs} inputs in {limit:?}, seed {seed}");
        }
        Err(Fault { run, input, what }) => {
            let kept = std::env::temp_dir().join(format!("tandem-fuzz-{name}-{seed}-{run}"));
            std::fs::write(&kept, &input).expect("the temporary folder can be written");
            let (length, kept) = (input.len(), kept.display());
            panic!("{name} {what} on {length} bytes kept in {kept} (TANDEM_FUZZ_SEED={seed}, input {run})");
        }
    }
}

/// An input that a target could not bear.
struct Fault {
    run: u64,
    input: Vec<u8>,
    what: &'static str,
}

fn search(seeds: &[Vec<u8>], seed: u64, limit: Duration, slow: Duration, target: impl Fn(&[u8])) -> Result<u64, Fault> {
    assert!(!seeds.is_empty(), "fuzzing needs at least one seed");
    let mut dice = Dice::new(seed);
    let started = Instant::now();
    let mut run = 0;
    while started.elapsed() < limit {
        let input = match seeds.get(run as usize) {
            Some(plain) => plain.clone(), // the seeds themselves come first
            None => {
                let base = dice.below(seeds.len());
                mutate(&mut dice, &seeds[base], seeds)
            }
        };
        let begun = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            return Err(Fault { run, input, what: "panicked" });
        }
        if begun.elapsed() > slow {
            return Err(Fault { run, input, what: "took too long" });
        }
        run += 1;
    }
    Ok(run)
}

/// The files of `tests/fixtures` with that ending, each cut to what is fuzzed at most.
pub(crate) fn seeds(ending: &str) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    walk(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures"), &mut paths);
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths.sort();
    let read = |path: PathBuf| std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    paths
        .into_iter()
        .map(read)
        .map(|mut bytes| {
            bytes.truncate(LONGEST);
            bytes
        })
        .collect()
}

fn walk(folder: PathBuf, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(&folder) else { return };
    for entry in entries.flatten() {
        if entry.path().is_dir() { walk(entry.path(), paths) } else { paths.push(entry.path()) }
    }
}

/// One to eight changes: bits, bytes, numbers at their edges, cuts, repeats, pieces of other seeds.
fn mutate(dice: &mut Dice, seed: &[u8], seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.below(8) {
        let at = dice.below(bytes.len().max(1));
        let to = (at + 1 + dice.below(64)).min(bytes.len());
        match dice.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            1 if !bytes.is_empty() => bytes[at] = dice.next() as u8,
            2 => bytes.truncate(at),
            3 if at < to => drop(bytes.drain(at..to)),
            4 if at < to => {
                let piece = bytes[at..to].to_vec();
                for _ in 0..=dice.below(16) {
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
            5 => {
                let edge = EDGES[dice.below(EDGES.len())];
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), edge.iter().copied());
            }
            6 if at < to => {
                let edge = EDGES[dice.below(EDGES.len())];
                bytes.splice(at..to, edge.iter().copied());
            }
            7 => {
                let other = &seeds[dice.below(seeds.len())];
                let from = dice.below(other.len().max(1)).min(other.len());
                let until = (from + dice.below(256)).min(other.len());
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), other[from..until].iter().copied());
            }
            _ if at < to => bytes[at..to].reverse(),
            _ => bytes.push(dice.next() as u8),
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

/// What readers stumble over.
const EDGES: &[&[u8]] = &[
    b"0",
    b"-1",
    b"-0",
    b"9223372036854775808",
    b"170141183460469231731687303715884105728",
    b"1e999999999",
    b"NaN",
    b"0.0000000000000000001",
    b"\"",
    b"\"\"",
    b"'",
    b",",
    b";",
    b"|",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xEF\xBB\xBF",
    b"\xFF\xFE",
    b"\xC3",
    b"\xF0\x9F\x98\x80",
    b"%",
    b"%2",
    b"%00",
    b"%zz",
    b"{",
    b"}",
    b"[",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"null",
    b"true",
    b"{}",
    b"\\u0000",
    b"\\ud800",
    b"1970-01-01",
    b"9999-12-31T23:59:60Z",
    b"2023-02-29",
    b"24:00:00",
    b"+99:99",
    b"\x00\x00\x00\x00",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
    b"\x01",
    b"\xFE\xFF\xFF\xFF\x0F",
];

/// xorshift64*: same seed, same inputs, on every machine.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1) // xorshift must not begin at zero
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a whole number")))
}

#[test]
fn the_fuzzer_finds_a_planted_fault_and_repeats_itself() {
    let seeds = vec![b"60/1,0.0001".to_vec()];
    let inputs = |seed: u64| {
        let mut dice = Dice::new(seed);
        (0..200).map(|_| mutate(&mut dice, &seeds[0], &seeds)).collect::<Vec<_>>()
    };
    assert_eq!(inputs(7), inputs(7));
    let planted = |input: &[u8]| assert!(!input.contains(&0), "planted");
    let found = search(&seeds, 1, Duration::from_secs(10), SLOW, planted);
    assert!(found.is_err_and(|fault| fault.what == "panicked"), "the fuzzer cannot find a zero byte in ten seconds");
}
