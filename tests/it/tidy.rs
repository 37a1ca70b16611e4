//! The house's habits that no compiler knows: headers, sizes, nothing left unfinished, links that lead somewhere.
//!
//! Looks at the files git tracks; judges form, never meaning.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 100;

/// Larger than the limits today; may only shrink. (path, what, lines)
const RATCHET: &[(&str, &str, usize)] = &[];

const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "NOTICE",
    "README.md",
    "deploy",
    "docs",
    "ingest",
    "ledger",
    "media",
    "rater",
    "schemas",
    "sip-edge",
    "tests",
];

/// What must not be committed; written in halves so that this list does not find itself.
const UNFINISHED: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "finish it, or file an issue"),
    (concat!("FIX", "ME"), "mend it, or file an issue"),
    (concat!("todo", "!("), "finish it, or leave it out"),
    (concat!("unimplemented", "!("), "finish it, or leave it out"),
    (concat!("#[ig", "nore"), "a test runs or is deleted; long ones read TANDEM_NIGHT"),
    (concat!("dbg", "!("), "remove it"),
    (concat!("allow(dead", "_code)"), "delete the code"),
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the root").to_path_buf()
}

#[test]
fn top_level_entries_are_the_house_of_the_design() {
    let known: BTreeSet<&str> = TOP_LEVEL.iter().copied().collect();
    let tops: BTreeSet<String> =
        tracked("").iter().filter_map(|path| path.split('/').next().map(String::from)).collect();
    let strangers: Vec<_> = tops.iter().filter(|top| !top.starts_with('.') && !known.contains(top.as_str())).collect();
    assert!(strangers.is_empty(), "the house has no room for {strangers:?}: see docs/architecture.md");
}

#[test]
fn every_source_file_says_what_it_is() {
    let bare =
        complaints(|path, text| (!text.starts_with("//!")).then(|| format!("{path}:1: begins with no //! header")));
    assert!(bare.is_empty(), "say what the file is and what it never does:\n{}", bare.join("\n"));
}

#[test]
fn files_and_functions_have_one_subject() {
    let mut long = Vec::new();
    for path in tracked(".rs") {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > allowed(&path, "file", FILE_LINES) {
            long.push(format!("{path}: {lines} lines, at most {FILE_LINES}"));
        }
        for (line, name, length) in functions(&text) {
            if length > allowed(&path, &name, FUNCTION_LINES) {
                long.push(format!("{path}:{line}: fn {name} has {length} lines, at most {FUNCTION_LINES}"));
            }
        }
    }
    assert!(long.is_empty(), "split what has two subjects:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let found = complaints(|path, text| {
        let lines = text.lines().enumerate();
        let hits = lines.flat_map(|(index, line)| {
            let marks = UNFINISHED.iter().filter(move |(mark, _)| line.contains(mark));
            marks.map(move |(mark, advice)| format!("{path}:{}: {mark}: {advice}", index + 1))
        });
        let hits: Vec<String> = hits.collect();
        (!hits.is_empty()).then(|| hits.join("\n"))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn pages_have_one_title_and_links_that_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in tracked(".md") {
        let text = read(&path);
        let prose = without_code(&text);
        let titles = prose.iter().filter(|(_, line)| line.starts_with("# ")).count();
        if titles != 1 {
            wrong.push(format!("{path}: {titles} titles (# ...), not 1"));
        }
        for (number, line) in &prose {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            wrong.extend(
                targets.filter_map(|target| broken(&path, target)).map(|why| format!("{path}:{number}: {why}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_length_of_a_function_is_counted_from_signature_to_brace() {
    let text = "impl A {\n    fn b(\n        c: u8,\n    ) {\n        d();\n    }\n}\n\nfn e() {}\nfn f() {\n}\n";
    let found = functions(text);
    assert_eq!(found, [(2, "b".to_string(), 5), (9, "e".to_string(), 1), (10, "f".to_string(), 2)]);
}

/// Tracked files whose path ends in `suffix`.
pub(crate) fn tracked(suffix: &str) -> Vec<String> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let output = output.expect("git starts: the tests need a clone");
    assert!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let paths = list.split('\0').filter(|path| !path.is_empty() && path.ends_with(suffix));
    paths.filter(|path| root().join(path).exists()).map(String::from).collect()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn complaints(check: impl Fn(&str, &str) -> Option<String>) -> Vec<String> {
    tracked(".rs").iter().filter_map(|path| check(path, &read(path))).collect()
}

fn allowed(path: &str, what: &str, limit: usize) -> usize {
    let known = RATCHET.iter().find(|(file, name, _)| *file == path && *name == what);
    known.map_or(limit, |(_, _, lines)| *lines)
}

/// (line, name, lines) of each function, by indentation as rustfmt writes it.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else { continue };
        let closes = |line: &&str| {
            let bare = line.trim_start();
            let same = line.len() - bare.len() == indent;
            same && (bare.starts_with('}') || bare.ends_with(['}', ';']))
        };
        let rest = lines[start..].iter().position(closes);
        found.push((start + 1, name, rest.map_or(lines.len() - start, |offset| offset + 1)));
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let words = ["pub", "const", "async", "unsafe", "extern", "\"C\""];
    let mut rest = line.split_whitespace().skip_while(|word| words.contains(word) || word.starts_with("pub("));
    if rest.next() != Some("fn") {
        return None;
    }
    let text = rest.next()?;
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    let (name, after) = text.split_at(end);
    after.starts_with(['(', '<']).then(|| name.to_string()) // else it is a line of generated code in a string
}

/// Numbered lines outside fenced code, inline code blanked.
fn without_code(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut prose = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let shown: Vec<&str> = line.split('`').step_by(2).collect();
            prose.push((index + 1, shown.join(" ")));
        }
    }
    prose
}

/// Why a link of the page `path` leads nowhere; addresses outside the repository are not looked at.
fn broken(path: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let page = if file.is_empty() { root().join(path) } else { root().join(folder).join(file) };
    if !page.exists() {
        return Some(format!("{target} is not there"));
    }
    if anchor.is_empty() || page.extension().is_none_or(|kind| kind != "md") {
        return None;
    }
    let text = fs::read_to_string(&page).unwrap_or_default();
    let known = text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor);
    (!known).then(|| format!("{target}: no such heading"))
}

/// GitHub's anchor of a heading.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}
