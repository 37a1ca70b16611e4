//! The one rule of the house: processes do the I/O, domain crates are pure, imports point down only.
//!
//! Three guards: `clippy.toml` in each pure crate (run by `tests/run`, proved here to bite), the
//! dependency closure, and the direct imports of every crate. A new crate must be placed in `FLOORS`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tidy::{read, root, tracked};

/// Crates in which the same input always gives the same output.
const PURE: &[&str] =
    &["accounting", "decks", "facts", "radius", "rating", "schemas", "segments", "switch-formats", "traffic"];

/// Who may import whom: only crates of lower floors, and of one's own only where `SAME_FLOOR` says so.
const FLOORS: &[&[&str]] = &[
    &["facts"],
    &["accounting", "decks", "radius", "rating", "schemas", "segments", "switch-formats", "traffic"],
    &["bus", "console", "proof", "reporting", "sites"],
    &["ingest", "ledger", "rater"],
    &["tandem"],
    &["simulation", "tests"],
];

/// Adapters that build on an adapter; and the generator reads the deck that its world grows on.
const SAME_FLOOR: &[(&str, &str)] =
    &[("reporting", "bus"), ("console", "reporting"), ("sites", "bus"), ("traffic", "decks")];

/// Libraries that reach a clock, a socket, a file watcher or dice.
const IMPURE: &[&str] = &[
    "async-std",
    "axum",
    "chrono",
    "clickhouse",
    "crossbeam-channel",
    "fastrand",
    "getrandom",
    "hyper",
    "libloading",
    "mio",
    "notify",
    "rand",
    "rand_core",
    "rayon",
    "rdkafka",
    "rdkafka-sys",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tracing-subscriber",
    "ureq",
    "uuid",
    "walkdir",
];

/// Reached, but not used: (library, the one crate that may bring it, why that is harmless).
const BROUGHT_ALONG: &[(&str, &str, &str)] =
    &[("getrandom", "zip", "calamine reads XLSX through zip, which rolls dice only to encrypt what it writes")];

/// Sources in pure crates that may lift a lint, each with its reason beside the `allow`.
const OPT_OUTS: &[&str] = &["deploy/traffic/src/shape.rs"]; // draws durations and arrivals, never money

#[test]
fn pure_crates_reach_no_clock_socket_or_dice() {
    let mut reached = Vec::new();
    for name in PURE {
        let found = closure(name);
        for library in IMPURE.iter().filter(|library| found.contains(**library)) {
            let harmless = BROUGHT_ALONG.iter().any(|(what, by, _)| what == library && brought_by(name, what) == [*by]);
            if !harmless {
                reached.push(format!("{name} -> {library}"));
            }
        }
    }
    assert!(
        reached.is_empty(),
        "pure crates must not reach these (cargo tree -e normal -p CRATE -i LIBRARY): {reached:?}"
    );
}

#[test]
fn the_dependency_check_finds_what_is_there() {
    // or a misspelt name in the list above would let everything pass
    assert!(closure("bus").contains("rdkafka"), "the bus no longer reaches rdkafka");
    assert!(closure("rater").contains("rdkafka"), "the rater no longer reaches rdkafka through the bus");
    let everything = closure("tandem");
    for library in ["tokio", "axum", "getrandom", "ureq", "libloading", "clickhouse"] {
        assert!(everything.contains(library), "the binary no longer reaches {library}: drop it from the list");
    }
}

#[test]
fn imports_point_down_only() {
    let floors = FLOORS.iter().enumerate().flat_map(|(floor, names)| names.iter().map(move |name| (*name, floor)));
    let floors: BTreeMap<&str, usize> = floors.collect();
    let members = members();
    let ours: BTreeSet<&str> = members.keys().map(String::as_str).collect();
    assert_eq!(ours, floors.keys().copied().collect(), "place every crate of the workspace on a floor");
    let mut upwards = Vec::new();
    for (name, imports) in &members {
        for import in imports.iter().filter(|import| floors.contains_key(import.as_str())) {
            let same_floor = SAME_FLOOR.contains(&(name.as_str(), import.as_str()));
            if floors[import.as_str()] >= floors[name.as_str()] && !same_floor {
                upwards.push(format!("{name} imports {import}"));
            }
        }
    }
    assert!(upwards.is_empty(), "imports point down only: {upwards:?}");
}

#[test]
fn one_crate_each_names_kafka_and_clickhouse() {
    for (library, owner) in [("rdkafka", "bus"), ("clickhouse", "reporting"), ("libloading", "reporting")] {
        let members = members();
        let named = members.iter().filter(|(_, imports)| imports.contains(library)).map(|(name, _)| name.as_str());
        assert_eq!(named.collect::<Vec<_>>(), [owner], "only {owner} may name {library}");
    }
}

#[test]
fn pure_crates_share_one_clippy_toml_and_none_opts_out() {
    let found: BTreeSet<String> = tracked("/clippy.toml").iter().map(|path| crate_name(path)).collect();
    let wanted: BTreeSet<String> = PURE.iter().map(|name| name.to_string()).collect();
    assert_eq!(found, wanted, "exactly the pure crates carry the shared clippy.toml");
    let shared = read("schemas/facts/clippy.toml");
    for path in tracked("/clippy.toml") {
        assert!(read(&path) == shared, "{path} differs: make it a link to schemas/facts/clippy.toml");
        let sources = path.replace("clippy.toml", "src/");
        let ours = |source: &&String| source.starts_with(&sources) && !OPT_OUTS.contains(&source.as_str());
        for source in tracked(".rs").iter().filter(ours) {
            let text = read(source);
            for opt_out in ["clippy::disallowed", "clippy::float_arithmetic", "clippy::all)", "allow(warnings)"] {
                assert!(!text.contains(opt_out), "{source} names {opt_out}: a pure crate has no exceptions");
            }
        }
    }
}

/// What the shared clippy.toml must refuse: (code, what the message names).
const VIOLATIONS: &[(&str, &str)] = &[
    ("pub fn clock() { let _ = std::time::SystemTime::now(); }", "SystemTime"),
    ("pub fn watch() { let _ = std::time::Instant::now(); }", "Instant"),
    ("pub fn zoned() { jiff::Zoned::now(); }", "jiff::Zoned::now"),
    ("pub fn stamp() { jiff::Timestamp::now(); }", "jiff::Timestamp::now"),
    ("pub fn read() { let _ = std::fs::read(\"f\"); }", "std::fs::read"),
    ("pub fn open() { let _ = std::fs::File::open(\"f\"); }", "std::fs::File"),
    ("pub fn there(p: &std::path::Path) -> bool { p.exists() }", "std::path::Path::exists"),
    ("pub fn dial() { let _ = std::net::TcpStream::connect(\"h:1\"); }", "std::net::TcpStream"),
    ("pub fn variable() { let _ = std::env::var(\"V\"); }", "std::env::var"),
    ("pub fn thread() { std::thread::spawn(|| ()); }", "std::thread::spawn"),
    ("pub fn sleep() { std::thread::sleep(std::time::Duration::ZERO); }", "std::thread::sleep"),
    ("pub fn run() { let _ = std::process::Command::new(\"c\"); }", "std::process::Command"),
    ("pub fn print() { println!(\"p\"); }", "std::println"),
    ("pub fn map() { let _: std::collections::HashMap<u8, u8> = Default::default(); }", "HashMap"),
    ("pub fn float(f: f64) { drop(f); }", "f64"),
    ("pub fn product() -> bool { let x = 1.5; x * 2.0 > 1.0 }", "floating-point"),
];

#[test]
fn the_clippy_toml_refuses_each_kind_of_impurity() {
    let folder = tempfile::TempDir::with_prefix("tandem-impure-").expect("a temporary folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| fs::write(path, text)).expect("written");
    };
    let jiff = "pub struct Zoned;\nimpl Zoned { pub fn now() {} }\npub struct Timestamp;\nimpl Timestamp { pub fn now() {} }\n";
    write("jiff/Cargo.toml", "[package]\nname = \"jiff\"\nversion = \"0.0.0\"\nedition = \"2024\"\n");
    write("jiff/src/lib.rs", jiff);
    let manifest = "[package]\nname = \"impure\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[dependencies]\njiff = { path = \"jiff\" }\n[workspace]\n";
    write("Cargo.toml", manifest);
    write("clippy.toml", &read("schemas/facts/clippy.toml"));
    write("src/lib.rs", "pub fn pure(a: i128) -> Option<i128> { a.checked_mul(2) }\n");
    let clean = purity_clippy(folder.path());
    assert!(clean.0, "clippy refuses what is pure:\n{}", clean.1);

    let code: Vec<&str> = VIOLATIONS.iter().map(|(code, _)| *code).collect();
    write("src/lib.rs", &code.join("\n"));
    let (passed, said) = purity_clippy(folder.path());
    assert!(!passed, "clippy lets impure code pass");
    for (index, (code, what)) in VIOLATIONS.iter().enumerate() {
        let place = format!("src/lib.rs:{}:", index + 1);
        let found = said.lines().any(|line| line.starts_with(&place) && line.contains(what));
        assert!(found, "{code}\nis not refused:\n{said}");
    }
}

/// Runs clippy as `tests/run` does for pure crates.
fn purity_clippy(folder: &Path) -> (bool, String) {
    let mut clippy = Command::new("cargo");
    clippy.args(["clippy", "--quiet", "--offline", "--lib", "--message-format", "short", "--target-dir"]);
    clippy.arg(folder.join("target")).arg("--").args(PURITY_LINTS);
    clippy.current_dir(folder).env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CLIPPY_CONF_DIR");
    let output = clippy.output().expect("cargo clippy starts (rustup component add clippy)");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The same as in `tests/run`.
const PURITY_LINTS: [&str; 5] = [
    "-Dclippy::disallowed_methods",
    "-Dclippy::disallowed_types",
    "-Dclippy::disallowed_macros",
    "-Dclippy::float_arithmetic",
    "-Dwarnings",
];

#[test]
fn the_test_command_lints_pure_crates_as_proved_here() {
    let script = read("tests/run");
    for lint in PURITY_LINTS {
        assert!(script.contains(lint), "tests/run no longer passes {lint}");
    }
}

fn crate_name(clippy_toml: &str) -> String {
    let manifest = read(&clippy_toml.replace("clippy.toml", "Cargo.toml"));
    let line = manifest.lines().find_map(|line| line.strip_prefix("name = ")).expect("a package has a name");
    line.trim_matches('"').to_string()
}

/// Each crate of the workspace with the names of what it imports (tests' imports aside).
fn members() -> BTreeMap<String, BTreeSet<String>> {
    let json = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&json).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages.iter().map(|package| (text(&package["name"]), imports(package))).collect()
}

fn imports(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("dependencies");
    all.iter().filter(|import| import["kind"] != "dev").map(|import| text(&import["name"])).collect()
}

/// Everything that ends up in a program with this crate, build scripts aside.
fn closure(name: &str) -> BTreeSet<String> {
    let tree = cargo(&["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--package", name]);
    let names: BTreeSet<String> = tree.lines().filter_map(|line| line.split(' ').next().map(String::from)).collect();
    assert!(names.contains(name), "cargo tree does not know {name}");
    names
}

/// Which libraries bring `library` into the program of crate `name`.
fn brought_by(name: &str, library: &str) -> Vec<String> {
    let tree =
        cargo(&["tree", "--edges", "normal", "--prefix", "depth", "--format", "{p}", "--no-dedupe", "--package", name]);
    let mut path: Vec<&str> = Vec::new();
    let mut by = BTreeSet::new();
    for line in tree.lines() {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        let depth: usize = line[..digits].parse().expect("cargo tree prints the depth first");
        let crate_name = line[digits..].split(' ').next().unwrap_or_default();
        path.truncate(depth);
        path.push(crate_name);
        if crate_name == library && depth > 0 {
            by.insert(path[depth - 1].to_string());
        }
    }
    by.into_iter().collect()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo starts");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_string()
}
