//! Areas of numbers from a CSV file (`area_file`), and what must hold of all areas: which state a number is in, for decks
//! with interstate and intrastate rates. The file has a line of names with `prefix` and `area`; other columns are passed
//! over.

use crate::output::Failure;
use facts::Prefix;
use facts::config::{Area, Config, ConfigItem};
use facts::deck::JurisdictionFrom;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Most bytes of one area's prefixes: an item of the `config` log holds 384 KiB.
const AREA_BYTES_MAX: usize = 360 << 10;
/// Faults of one file that are shown.
const SHOWN: usize = 20;

/// The areas of the files and those that documents write out, as items; a prefix that says no more than the next shorter
/// one is left out.
pub fn items(files: &[PathBuf], written: Vec<Area>) -> Result<Vec<ConfigItem>, Failure> {
    let mut of: BTreeMap<Prefix, SmolStr> = BTreeMap::new();
    let mut faults = Vec::new();
    for file in files {
        let bytes = super::read_bounded(file)?;
        read(&file.display().to_string(), &bytes, &mut of, &mut faults);
    }
    for area in written {
        for prefix in area.prefixes {
            note(&mut of, prefix, &area.name, &format!("area {:?}", area.name), &mut faults);
        }
    }
    if !faults.is_empty() {
        let more = faults.len().saturating_sub(SHOWN);
        faults.truncate(SHOWN);
        if more > 0 {
            faults.push(format!("... and {more} more"));
        }
        return Err(Failure::Usage(faults.join("\n")));
    }
    let mut areas: BTreeMap<SmolStr, Vec<Prefix>> = BTreeMap::new();
    for (prefix, name) in &of {
        let shorter = (0..prefix.len()).rev().find_map(|len| of.get(&prefix.truncate(len)));
        if shorter != Some(name) {
            areas.entry(name.clone()).or_default().push(*prefix);
        }
    }
    Ok(areas.into_iter().map(|(name, prefixes)| ConfigItem::Area(Area { name, prefixes })).collect())
}

fn note(of: &mut BTreeMap<Prefix, SmolStr>, prefix: Prefix, name: &SmolStr, place: &str, faults: &mut Vec<String>) {
    if let Some(other) = of.insert(prefix, name.clone()).filter(|other| other != name) {
        faults.push(format!("{place}: prefix {prefix} is in {other} and in {name}; leave it in one of them"));
    }
}

fn read(file: &str, bytes: &[u8], of: &mut BTreeMap<Prefix, SmolStr>, faults: &mut Vec<String>) {
    let mut rows = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let header = rows.byte_headers().cloned().unwrap_or_default();
    let column = |name: &str| header.iter().position(|cell| cell.eq_ignore_ascii_case(name.as_bytes()));
    let (Some(prefix_at), Some(area_at)) = (column("prefix"), column("area")) else {
        faults.push(format!("{file}:1: its line of names has no prefix and area; begin the file with prefix,area"));
        return;
    };
    for row in rows.byte_records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                faults.push(format!("{file}: {error}"));
                continue;
            }
        };
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |at: usize| row.get(at).and_then(|cell| std::str::from_utf8(cell).ok()).unwrap_or_default();
        let (digits, name) = (cell(prefix_at), cell(area_at));
        match Prefix::new(digits) {
            Ok(prefix) if !name.is_empty() && !prefix.is_empty() => {
                note(of, prefix, &name.into(), &format!("{file}:{line}"), faults);
            }
            Ok(_) => faults.push(format!("{file}:{line}: the prefix or the area is empty; fill it in or take it out")),
            Err(error) => faults.push(format!("{file}:{line}: prefix {digits:?}: {error}")),
        }
    }
}

/// What is wrong with the areas of a configuration, in words.
pub fn faults(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    let mut of: BTreeMap<Prefix, SmolStr> = BTreeMap::new();
    for area in config.areas.values() {
        let bytes: usize = area.prefixes.iter().map(|prefix| prefix.len() + 1).sum();
        if bytes > AREA_BYTES_MAX {
            let reason = format!("{} prefixes are more than one item of the log can hold", area.prefixes.len());
            faults.push(format!("area {:?}: {reason}; use shorter prefixes, or two areas", area.name));
        }
        for prefix in &area.prefixes {
            note(&mut of, *prefix, &area.name, "area", &mut faults);
        }
    }
    let newest = config.decks.values().filter_map(|versions| versions.last());
    let asks = newest.filter(|deck| deck.terms.jurisdiction_from == JurisdictionFrom::Dialled);
    for deck in asks.filter(|_| config.areas.is_empty()) {
        let reason = "jurisdiction_from changes nothing while there are no areas of numbers";
        faults.push(format!("deck {:?}: {reason}; add [[area]] or area_file, or leave it out", deck.id));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn of_text(text: &str, written: Vec<Area>) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("areas.csv");
        std::fs::write(&file, text).unwrap();
        let name = file.display().to_string();
        match items(&[file], written) {
            Ok(items) => Ok(items.iter().map(|item| format!("{item:?}\n")).collect()),
            Err(Failure::Usage(text)) => Err(text.replace(&name, "areas.csv")),
            Err(_) => Err("another failure".to_owned()),
        }
    }

    #[test]
    fn a_file_of_areas_is_read_without_prefixes_that_say_nothing_new() {
        let text =
            "Prefix,city,Area\n1201,,US-NJ\n1201200,Jersey City,US-NJ\n1201999,,US-NY\n12019995,,US-NJ\n1212,,US-NY\n";
        expect![[r#"
            Area(Area { name: "US-NJ", prefixes: [1201*, 12019995*] })
            Area(Area { name: "US-NY", prefixes: [1201999*, 1212*] })
        "#]]
        .assert_eq(&of_text(text, Vec::new()).unwrap());
    }

    #[test]
    fn faults_of_a_file_are_named_by_line_and_nothing_is_taken() {
        let text = "prefix,area\n1201,US-NJ\n1 201,US-NJ\n1201,US-NY\n1212,\n";
        expect![[r#"
            areas.csv:3: prefix "1 201": number "1 201" holds something other than digits
            areas.csv:4: prefix 1201 is in US-NJ and in US-NY; leave it in one of them
            areas.csv:5: the prefix or the area is empty; fill it in or take it out"#]]
        .assert_eq(&of_text(text, Vec::new()).unwrap_err());
        expect!["areas.csv:1: its line of names has no prefix and area; begin the file with prefix,area"]
            .assert_eq(&of_text("npa,state\n201,NJ\n", Vec::new()).unwrap_err());
        let written = Area { name: "US-NY".into(), prefixes: vec![Prefix::new("1201").unwrap()] };
        expect![[r#"area "US-NY": prefix 1201 is in US-NJ and in US-NY; leave it in one of them"#]]
            .assert_eq(&of_text("prefix,area\n1201,US-NJ\n", vec![written]).unwrap_err());
    }
}
