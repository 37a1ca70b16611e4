//! How many seeds a run of the tests has: the test command's, the night's, or a piece of the night, so that several
//! machines or evenings can share it.

use std::ops::Range;

/// The night's seeds: never the same as the test command's.
const NIGHT: Range<u64> = 10_000..210_000;

pub fn night() -> bool {
    std::env::var_os("TANDEM_NIGHT").is_some()
}

/// `TANDEM_SEEDS=FROM-TO`, else the night's with `TANDEM_NIGHT`, else those of the test command.
pub fn seeds(test: Range<u64>) -> Range<u64> {
    match std::env::var("TANDEM_SEEDS") {
        Ok(text) => {
            let bounds = text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
            bounds.unwrap_or_else(|| panic!("TANDEM_SEEDS={text} is no FROM-TO, as in 10000-20000"))
        }
        Err(_) if night() => NIGHT,
        Err(_) => test,
    }
}

/// Runs each seed of a range on two threads and gives what they came to. Long runs say how far they are.
pub fn each<T: Send>(seeds: Range<u64>, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let half = seeds.start + (seeds.end - seeds.start) / 2;
    let walk = |seeds: Range<u64>| -> Vec<T> {
        let begin = std::time::Instant::now();
        let mut all = Vec::new();
        for seed in seeds.clone() {
            all.push(run(seed));
            if all.len().is_multiple_of(1_000) && seed + 1 < seeds.end {
                println!("{} seeds, to {seed}, in {:.0} s", all.len(), begin.elapsed().as_secs_f32());
            }
        }
        all
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| walk(seeds.start..half));
        let second = walk(half..seeds.end);
        let mut all = first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        all.extend(second);
        all
    })
}
