//! All figures that must not depend on how often a process died, on the bus below, or on what came twice.
//!
//! Compared as they are printed: text for text, never within a tolerance.

use std::time::Duration;

use serde_json::Value;

use crate::{Tandem, eventually};

const PATIENCE: Duration = Duration::from_secs(120);

/// Balances, trial balance, the four reports, and what `ledger verify` proves.
#[derive(Debug, PartialEq)]
pub struct Figures {
    pub balances: Vec<Value>,
    pub trial_balance: Vec<Value>,
    pub reports: Vec<Vec<Value>>,
    /// Entries, calls, Merkle root over all balances.
    pub proof: [Value; 3],
}

impl Figures {
    /// Asks the process of the ledger and that of the reports (one and the same, or roles of their own), once
    /// everything is booked and loaded and both agree.
    pub fn of(ledger: &Tandem, reports: &Tandem) -> Figures {
        let proof = eventually("everything is booked", PATIENCE, || {
            let proof = ledger.run(&["ledger", "verify", "--json"]).json_lines().remove(0);
            assert_eq!(proof["ok"], true, "{proof}");
            (proof["not_booked_yet"] == 0).then_some(proof)
        });
        // An engine that was killed is started again by itself; until then the check says so and exits with 3.
        let checked = eventually("reports are there again", PATIENCE, || {
            Some(reports.run(&["report", "check"])).filter(|checked| checked.code != Some(3))
        });
        assert!(checked.stderr.contains("reports and ledger agree to the last digit"), "{checked:?}");
        let report = |name| reports.run(&["report", name, "--format", "json"]).json_lines();
        Figures {
            balances: ledger.run(&["ledger", "balance", "--json"]).json_lines(),
            trial_balance: ledger.run(&["ledger", "trial-balance", "--json"]).json_lines(),
            reports: ["customer", "vendor", "destination", "hour"].map(report).to_vec(),
            proof: ["entries", "calls", "root"].map(|key| proof[key].clone()),
        }
    }
}
