//! The two doors of a quote: the command and `POST /v1/quote` give the same answers, line by line.

use std::fs;
use tests::{Tandem, site};

#[test]
fn the_command_and_the_http_door_quote_the_same() {
    let mut tandem = Tandem::new();
    let cases = fs::read_to_string(site::fixture("rating_cases.jsonl")).expect("the worked prices");
    let quotes = cases.lines().map(|line| {
        let case: serde_json::Value = serde_json::from_str(line).expect("a case");
        case["quote"].to_string() + "\n"
    });
    let lines: String = quotes.chain(["no quote\n".to_owned()]).collect();
    let file = tandem.home().join("quotes.jsonl");
    fs::write(&file, &lines).expect("the quotes");
    let said = tandem.run(&["quote", &file.display().to_string()]).expect_code(1);
    assert_eq!(said.lines().count(), lines.lines().count(), "one answer a line");
    assert!(said.lines().next().is_some_and(|first| first.contains("\"net\":\"0.000943333333\"")), "{said}");

    let base = tandem.start_listening(&["up", "--listen", "127.0.0.1:0", "--no-engine"]);
    let token = fs::read_to_string(tandem.data().join("run/token")).expect("the first run made a token");
    let post = |token: &str| {
        let request = ureq::post(&format!("{base}/v1/quote")).header("Authorization", &format!("Bearer {token}"));
        request.send(&lines[..]).and_then(|mut answer| answer.body_mut().read_to_string())
    };
    assert_eq!(post(token.trim()).expect("an answer"), said);
    assert!(post("another").is_err(), "no answer without the token");
    tandem.stop();
}
