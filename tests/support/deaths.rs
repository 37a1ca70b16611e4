//! How a process dies in these tests: at a failpoint of the binary, or of nothing but a signal; and the dice that
//! choose. The list of failpoints is the bus's own, so that a new one cannot be forgotten here.
//!
//! Never guesses whether a process died as it was asked to: the failpoint's own words must stand in its log.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Tandem, eventually, night};

/// The environment variable that arms a failpoint.
pub const FAILPOINT: &str = "TANDEM_FAILPOINT";

/// Failpoints that only an orderly end comes by.
const AT_THE_END: [&str; 1] = ["ledger.snapshot"];
/// Failpoints that a process comes by once.
const ONCE: [&str; 2] = ["ledger.claimed", "ledger.snapshot"];

/// How long an engine that was killed may be away.
const ENGINE: Duration = Duration::from_secs(90);

/// Rounds over a role's five failpoints: five deaths of each role, a hundred in the night.
pub fn rounds() -> usize {
    if night() { 20 } else { 1 }
}

/// Deaths by signal at any moment.
pub fn by_signal() -> usize {
    5 * rounds()
}

/// Lets the next start die at the `count`-th pass of a failpoint (the first, of those passed once). The process is started without waiting for it: it
/// may die before it is ready.
pub fn arm(tandem: &mut Tandem, arguments: &[&str], name: &str, count: u64) {
    let count = if ONCE.contains(&name) { 1 } else { count };
    tandem.set_env(FAILPOINT, &format!("{name}:{count}"));
    tandem.start(arguments, |_| Some(()));
    tandem.set_env(FAILPOINT, "");
}

/// Whether the process has died, which must have been at `name`. Where only an orderly end comes by that failpoint, it
/// is asked to end.
pub fn died(tandem: &mut Tandem, name: &str) -> bool {
    let server = tandem.server();
    let mut ended = server.try_wait();
    if ended.is_none() && AT_THE_END.contains(&name) && server.log().contains("http://") {
        ended = Some(server.terminate(Duration::from_secs(60)));
    }
    let Some(status) = ended else { return false };
    let words = format!("failpoint {name} reached");
    assert!(server.log().contains(&words), "ended ({status}), but not at {name}\n{}", server.log_tail());
    true
}

/// `kill -9` of the embedded engine only: a child of the process.
pub fn kill_engine(parent: u32) {
    let children = || {
        let children = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok).filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent_id: u32 = stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let door = String::from_utf8_lossy(&command).contains("engine-door");
            (parent_id == parent && door).then_some(id)
        });
        children.collect::<Vec<u32>>()
    };
    // One that was killed a moment ago may still be on its way back.
    let engines = eventually("the engine is there", ENGINE, || Some(children()).filter(|found| !found.is_empty()));
    assert_eq!(engines.len(), 1, "the engine is one child of {parent}");
    let script = format!("kill -s KILL {}", engines[0]);
    let status = Command::new("sh").args(["-c", &script]).status().expect("sh runs");
    assert!(status.success(), "the engine cannot be killed");
}

/// Dice whose seed is printed; `TANDEM_KILL_SEED` takes it back.
pub struct Dice(u64);

impl Dice {
    /// A seed of the clock, or that of the run to be repeated.
    pub fn new() -> Dice {
        let asked = std::env::var("TANDEM_KILL_SEED").ok().and_then(|text| text.parse().ok());
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()));
        let seed = asked.unwrap_or_else(clock);
        println!("TANDEM_KILL_SEED={seed}");
        Dice(seed)
    }

    /// A number below `limit` (splitmix64).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = self.below(at as u64 + 1);
            items.swap(at, usize::try_from(other).expect("an index"));
        }
    }
}

impl Default for Dice {
    fn default() -> Dice {
        Dice::new()
    }
}
