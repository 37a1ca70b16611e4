//! Turns `avro/*.avsc` into the borrowed types of `wire`, with decoders for older versions in `avro/old`, and into
//! the self-contained schema texts that a registry or another Avro library needs. Never touches the source tree.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a build script reads and writes files")]

#[path = "build/canonical.rs"]
mod canonical;
#[path = "build/emit.rs"]
mod emit;
#[path = "build/model.rs"]
mod model;
#[path = "build/resolve.rs"]
mod resolve;

use model::Set;
use std::collections::BTreeMap;
use std::path::Path;

/// A build script has no caller that could handle an error: it says what is wrong and stops.
fn refuse(what: impl std::fmt::Display) -> ! {
    eprintln!("schemas/build.rs: {what}");
    std::process::exit(1)
}

fn read_folder(folder: &Path) -> BTreeMap<String, serde_json::Value> {
    let mut files = BTreeMap::new();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| refuse(format_args!("{}: {e}", folder.display())));
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".avsc") else { continue };
        let text = std::fs::read_to_string(entry.path()).unwrap_or_else(|e| refuse(format_args!("{file}: {e}")));
        let json = serde_json::from_str(&text).unwrap_or_else(|e| refuse(format_args!("{file}: {e}")));
        files.insert(name.to_owned(), json);
    }
    files
}

fn main() {
    println!("cargo::rerun-if-changed=avro");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=build.rs");
    let current_files = read_folder(Path::new("avro"));
    let old_files = read_folder(Path::new("avro/old"));

    let current = Set::new(current_files.values());
    let mut code = emit::types(&current);
    code.push_str(
        "\n/// Decoders for bytes that an older schema wrote, resolved at build time as the Avro specification says.\n",
    );
    code.push_str("pub mod old {\nuse super::*;\n");
    let mut texts: Vec<(String, serde_json::Value)> = Vec::new();
    // For the tests: each current schema resolved against itself must read as its plain decoder does.
    let mut same = String::new();
    for (name, json) in &current_files {
        let whole = canonical::expand(json, &current);
        let writer = Set::new(std::iter::once(&whole));
        same.push_str(&resolve::decoder(name, &whole, &writer, &current));
        texts.push((name.clone(), whole));
    }
    for (name, json) in &old_files {
        let writer = Set::new(std::iter::once(json));
        code.push_str(&resolve::decoder(name, json, &writer, &current));
        texts.push((name.clone(), json.clone()));
    }
    code.push_str("}\n");
    code.push_str(&emit::texts(&texts));

    let out = std::env::var("OUT_DIR").unwrap_or_else(|e| refuse(e));
    for (file, code) in [("wire.rs", code), ("same.rs", same)] {
        let path = Path::new(&out).join(file);
        std::fs::write(&path, code).unwrap_or_else(|e| refuse(format_args!("{}: {e}", path.display())));
    }
}
