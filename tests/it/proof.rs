//! What a customer does with a proof: our own small checker and a stranger's one in Python, both without any of our data,
//! come to the entries of the ledger; and both refuse a proof that somebody has worked on.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{Tandem, site};

/// `tandem-verify`, built beside the binary under test.
fn checker() -> PathBuf {
    let profile = Tandem::binary().parent().expect("the binary lies in a profile's folder").to_path_buf();
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "proof", "--target-dir"]);
        build.arg(profile.parent().expect("a profile folder lies in the target folder"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo starts");
        assert!(status.success(), "cargo build -p proof failed; its output stands above");
    }
    profile.join("tandem-verify")
}

/// Exit code and output of a checker.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let said = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; apt-get install python3"));
    (said.status.code(), String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr))
}

fn ours(file: &Path, key: &Path) -> (Option<i32>, String) {
    run(Command::new(checker()).arg(file).arg("--key").arg(key).arg("--json"))
}

fn strangers(file: &Path, key: &Path) -> (Option<i32>, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/check_proof.py");
    run(Command::new("python3").arg(script).arg(file).arg(key))
}

#[test]
fn a_customer_checks_his_call_with_the_proof_and_the_key_alone() {
    let mut tandem = Tandem::new();
    tandem.start_listening(&["up", "--no-engine", "--listen", "127.0.0.1:0"]);
    site::apply(&tandem);
    let file = site::file().display().to_string();
    tandem.run(&["calls", "import", &file, "--switch", site::SWITCH, "--wait"]).ok();
    let handed = tempfile::tempdir().expect("a folder of the customer's");
    let key = handed.path().join("key");
    fs::write(&key, tandem.run(&["ledger", "key"]).ok()).expect("the key");
    // Certificate first, then a proof under it; then the same with the process away.
    let certificate = handed.path().join("certificate.json");
    fs::write(&certificate, tandem.run(&["ledger", "certificate"]).ok()).expect("the certificate");
    let (code, said) = ours(&certificate, &key);
    assert_eq!(code, Some(0), "{said}");
    let lines: Value = serde_json::from_str(&said).expect("JSON");
    let receivable: i128 = lines["books"]["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .filter(|line| line["gl"] == "receivable_unbilled")
        .map(|line| site::cell(line, "debit") - site::cell(line, "credit"))
        .sum();
    assert_eq!(receivable, site::sums().0, "the signed books say what the records come to");

    let rows = tandem.run(&["ledger", "entries", site::SELL, "--limit", "3", "--json"]).json_lines();
    let (row, xdr) = (&rows[1], rows[1]["xdr_id"].as_str().expect("an xdr").to_owned());
    let proof = handed.path().join("proof.json");
    let prove = |tandem: &Tandem| {
        tandem.run(&["ledger", "prove", &xdr, "--call", row["call_id"].as_str().expect("a call")]).ok()
    };
    let said_running = prove(&tandem);
    fs::write(&proof, &said_running).expect("the proof");
    let (code, said) = ours(&proof, &key);
    assert_eq!(code, Some(0), "{said}");
    let checked: Value = serde_json::from_str(&said).expect("JSON");
    let shown = &checked["entries"][0]["postings"];
    for (shown, booked) in shown.as_array().expect("lines").iter().zip(row["postings"].as_array().expect("lines")) {
        assert_eq!((site::cell(shown, "amount"), &shown["gl"]), (site::cell(booked, "amount"), &booked["gl"]));
    }
    let (code, said) = strangers(&proof, &key);
    assert_eq!(code, Some(0), "{said}");
    let first: Value = serde_json::from_str(said.lines().next().expect("a line")).expect("JSON");
    let amount = first["amount"].as_i64().map(i128::from).expect("a number");
    assert_eq!((&first["account"], amount), (&row["account"], site::cell(&row["postings"][0], "amount")));

    // Worked on: another amount, another certificate, another key.
    let text = fs::read_to_string(&proof).expect("the proof");
    let parsed: Value = serde_json::from_str(&text).expect("JSON");
    let item = parsed["entries"][0]["item"].as_str().expect("hex").to_owned();
    let last = u8::from_str_radix(&item[item.len() - 4..item.len() - 2], 16).expect("hex") ^ 1;
    let dearer = format!("{}{last:02x}{}", &item[..item.len() - 4], &item[item.len() - 2..]);
    let seq = parsed["certificate"]["seq"].as_u64().expect("a number");
    let worked_on = [
        text.replace(&item, &dearer),
        text.replace(&format!("\"seq\": {seq},\n    \"hash\""), &format!("\"seq\": {},\n    \"hash\"", seq + 1)),
        text.replace(&xdr, &"0".repeat(32)),
    ];
    for (n, changed) in worked_on.iter().enumerate() {
        assert_ne!(changed, &text, "change {n}");
        fs::write(&proof, changed).expect("the proof");
        for (code, said) in [ours(&proof, &key), strangers(&proof, &key)] {
            assert_eq!(code, Some(1), "change {n}: {said}");
            assert!(said.contains("does not stand"), "{said}");
        }
    }
    fs::write(&proof, &text).expect("the proof");
    let other = Tandem::new();
    let other_key = handed.path().join("other");
    fs::write(&other_key, other.run(&["ledger", "key"]).ok()).expect("the key");
    for (code, said) in [ours(&proof, &other_key), strangers(&proof, &other_key)] {
        assert_eq!(code, Some(1), "{said}");
    }
    tandem.stop();
    assert_eq!(prove(&tandem), said_running, "the same proof from the folder alone");
}
