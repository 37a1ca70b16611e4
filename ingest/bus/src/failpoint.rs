//! Named places at which a test lets the process die: `TANDEM_FAILPOINT=NAME:COUNT` aborts it at the COUNT-th pass of
//! the failpoint NAME. Nothing is flushed, dropped or said to anybody, as after `kill -9` at that very line.
//!
//! There is nothing of it in a release build, and it never returns an error: a failpoint kills or does nothing.

/// Where the processes may be made to die; each is passed in the order of its role's work. The end-to-end tests take
/// their lists from here, so that none is forgotten.
pub const INGEST: [&str; 5] =
    ["ingest.raw-stored", "ingest.before-send", "ingest.sent", "ingest.durable", "ingest.imported"];
pub const RATER: [&str; 5] =
    ["rater.claimed", "rater.state-put", "rater.before-frame", "rater.frame-sent", "rater.frame-durable"];
pub const LEDGER: [&str; 5] =
    ["ledger.claimed", "ledger.before-frame", "ledger.frame-sent", "ledger.frame-durable", "ledger.snapshot"];
/// Only while a run is posted.
pub const RUNS: [&str; 5] = ["run.ordered", "run.claimed", "run.before-frame", "run.frame-sent", "run.before-done"];
pub const LOADER: [&str; 5] =
    ["loader.before-note", "loader.noted", "loader.attempts-sent", "loader.sent", "loader.loaded"];

/// Passes a failpoint: dies here if that was asked for.
#[inline]
pub fn pass(name: &str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        name: String,
        left: AtomicU32,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    pub(super) fn pass(name: &str) {
        let armed = ARMED.get_or_init(|| parse(&std::env::var("TANDEM_FAILPOINT").ok()?));
        let Some(armed) = armed.as_ref().filter(|armed| armed.name == name) else { return };
        // The last pass takes it from 1 to 0; those of other threads meanwhile find 0 and wrap, and die with it.
        if armed.left.fetch_sub(1, Ordering::SeqCst) <= 1 {
            eprintln!("failpoint {name} reached: the process dies here, as it was asked to");
            std::process::abort();
        }
    }

    /// `NAME` or `NAME:COUNT`; a count that is none, or 0, is 1: a mistyped count must not keep a test waiting.
    fn parse(text: &str) -> Option<Armed> {
        let (name, count) = text.rsplit_once(':').unwrap_or((text, "1"));
        let left = AtomicU32::new(count.parse().unwrap_or(1).max(1));
        (!name.is_empty()).then(|| Armed { name: name.to_owned(), left })
    }

    #[cfg(test)]
    mod tests {
        use super::parse;
        use std::sync::atomic::Ordering;

        #[test]
        fn a_name_and_a_count_are_read_and_nothing_arms_nothing() {
            let read = |text| parse(text).map(|armed| (armed.name, armed.left.load(Ordering::SeqCst)));
            assert_eq!(read("ledger.claimed:3"), Some(("ledger.claimed".to_owned(), 3)));
            assert_eq!(read("ledger.claimed"), Some(("ledger.claimed".to_owned(), 1)));
            assert_eq!(read("ledger.claimed:0"), Some(("ledger.claimed".to_owned(), 1)));
            assert_eq!(read(""), None);
        }
    }
}
