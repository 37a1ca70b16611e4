//! The index over the past of accounts at a size: what it says is what the log comes to, and asking costs a small part of
//! reading. Forty thousand entries in the test command, five million in `tests/night`.

use tests::{Tandem, night};

/// Of reading the log, in hundredths of a percent, at five million entries.
const SHARE_MAX: u64 = 300;

#[test]
fn an_accounts_past_is_answered_from_the_index_at_any_size() {
    let entries = if night() { "5000000" } else { "40000" };
    // It fails by itself where index and log differ.
    let rows = Tandem::new().run(&["bench", "history", "--calls", entries, "--json"]).json_lines();
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().expect("a text").to_owned();
    let asked: Vec<_> = rows.iter().filter(|row| text(row, "what").ends_with("p99")).collect();
    assert_eq!(asked.len(), 12, "six kinds of questions at two sizes: {rows:?}");
    for row in asked {
        println!("{}: {}, reading {}", text(row, "what"), text(row, "ours"), text(row, "baseline"));
        let share = text(row, "share");
        let digits: String = share.chars().filter(char::is_ascii_digit).collect();
        let share: u64 = digits.parse().unwrap_or_else(|_| panic!("{share} is no share"));
        assert!(!night() || !text(row, "what").contains("5000000") || share < SHARE_MAX, "{row}");
    }
}
