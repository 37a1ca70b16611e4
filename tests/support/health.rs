//! The state of the house as the console's `/health.json` tells it.

use std::fs;

use serde_json::Value;

use crate::{Tandem, http};

/// One line for each part.
pub fn lines(tandem: &Tandem, address: &str) -> Vec<Value> {
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("a token");
    let bearer = format!("Bearer {}", token.trim());
    let answer = http::request("GET", &format!("{address}/health.json"), &[("authorization", &bearer)], None);
    answer.expect("the console answers").json().as_array().expect("a list of parts").clone()
}

/// The line of one part.
pub fn part(tandem: &Tandem, address: &str, part: &str) -> Value {
    let lines = lines(tandem, address);
    let found = lines.iter().find(|line| line["part"] == part).cloned();
    found.unwrap_or_else(|| panic!("no line for {part}: {lines:?}"))
}

/// Whether nothing is wrong anywhere; then no line has a beginning or an advice.
pub fn all_good(tandem: &Tandem, address: &str) -> bool {
    let lines = lines(tandem, address);
    let calm = |line: &Value| line["since"] == "" && line["advice"] == "";
    assert!(lines.iter().all(|line| (line["state"] == "good") == calm(line)), "{lines:?}");
    lines.iter().all(calm)
}
