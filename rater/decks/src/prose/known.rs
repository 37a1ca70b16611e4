//! Names in sentences beside the destinations of the deck: which ones it has, which two are one. Decides no increment.

use super::Said;
use crate::cell::Cell;
use crate::field::Field;
use crate::header::Layout;
use crate::lexicon::words_of;
use crate::names::is_place;
use crate::{DeckError, Rows};
use smol_str::SmolStr;

/// Names by which the same country is known in sentences and in decks.
const SAME: [&[&str]; 5] = [
    &["us", "usa", "united states", "united states of america", "u s a", "u s"],
    &["uk", "united kingdom", "great britain", "u k"],
    &["uae", "united arab emirates", "u a e"],
    &["ksa", "saudi arabia"],
    &["png", "papua new guinea"],
];

/// Whether a destination's words begin with an exception's, or with another name of it.
pub fn begins(words: &[String], begin: &[String]) -> bool {
    let plain = |begin: &[String]| words.len() >= begin.len() && words.iter().zip(begin).all(|(a, b)| a == b);
    if plain(begin) {
        return true;
    }
    let joined = begin.join(" ");
    SAME.iter()
        .filter(|names| names.contains(&joined.as_str()))
        .any(|names| names.iter().any(|name| plain(&name.split(' ').map(str::to_owned).collect::<Vec<_>>())))
}

/// Compares the names of sentences with the destinations of the deck: makes one of those that `and` has divided, and
/// answers with the first that is neither a destination of the deck nor a country.
pub fn check(said: &mut Said, rows: &mut dyn Rows, layouts: &[Layout]) -> Result<Option<SmolStr>, DeckError> {
    let mut candidates: Vec<(String, Vec<String>, bool)> = Vec::new();
    let mut add = |name: String| {
        let (words, place) = (words_of(&name), is_place(&name));
        candidates.push((name, words, place));
    };
    said.except.iter().for_each(|(name, _)| add(name.to_string()));
    said.except.windows(2).for_each(|two| add(format!("{} and {}", two[0].0, two[1].0)));
    let mut last = String::new();
    for layout in layouts {
        let destination = layout.columns.iter().find(|(_, field, _)| *field == Field::Destination).map(|(at, ..)| *at);
        let columns: Vec<usize> = destination.into_iter().chain(layout.country).collect();
        rows.walk(&layout.sheet, &mut |number, cells| {
            for at in columns.iter().filter(|_| number > layout.header_row) {
                let Some(Cell::Text(text)) = cells.get(*at) else { continue };
                if *text == last {
                    continue;
                }
                last.clear();
                last.push_str(text);
                let words = words_of(text);
                candidates.iter_mut().for_each(|(_, begin, known)| *known |= begins(&words, begin));
            }
            Ok(candidates.iter().any(|(.., known)| !known))
        })?;
    }
    let known = |name: &str| candidates.iter().any(|(of, _, known)| of == name && *known);
    said.join_names(&known);
    Ok(said.except.iter().map(|(name, _)| name).find(|name| !known(name)).cloned())
}
