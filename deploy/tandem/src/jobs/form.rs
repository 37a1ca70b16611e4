//! A form as the flags of `tandem deck import`. Reads nothing; what is wrong is said by the field's name.

use crate::deck::Answers;
use crate::deck_life::args::{ImportArgs, KindFlags};
use console::jobs::Form;
use std::path::PathBuf;

/// The request of a form.
pub fn request(deck: &str, form: &Form, file: PathBuf, template: Option<PathBuf>) -> Result<ImportArgs, String> {
    let text = |name: &str| form.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let lines = |name: &str| -> Vec<String> {
        let all = text(name).unwrap_or_default();
        all.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let ticked = |name: &str| text(name).is_some();
    let one_of = |name: &str, words: [&str; 2]| match text(name) {
        Some(word) if !words.contains(&word.as_str()) => Err(format!("{name} is {} or {}", words[0], words[1])),
        word => Ok(word),
    };
    let kind = match text("kind").as_deref() {
        Some("az") => KindFlags { az: true, partial: false },
        Some("partial") => KindFlags { az: false, partial: true },
        _ => return Err("say whether the file is the whole deck or an amendment".to_owned()),
    };
    let days = match text("days") {
        None => 7,
        Some(days) => days.parse().map_err(|_| format!("{days:?} is no number of days"))?,
    };
    let answers = Answers {
        template,
        save_template: None,
        currency: text("currency"),
        sheet: lines("sheet"),
        all_sheets: ticked("all_sheets"),
        encoding: text("encoding"),
        column: lines("column"),
        date_order: one_of("date_order", ["day-first", "month-first"])?,
        decimal: one_of("decimal", ["point", "comma"])?,
        hyphen: one_of("hyphen", ["range", "separator"])?,
        space: one_of("space", ["list", "separator"])?,
        increment: text("increment"),
        increment_of: lines("increment_of"),
        status: lines("status"),
        valid_from: text("valid_from"),
        issued: text("issued"),
        zone: text("zone"),
        zero_is_free: ticked("zero_is_free"),
        ..Answers::default()
    };
    Ok(ImportArgs {
        file,
        deck: deck.to_owned(),
        kind,
        received: text("received"),
        days,
        with_problems: ticked("with_problems"),
        letter: None,
        yes: true,
        answers,
        ..ImportArgs::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_left_empty_is_no_answer() {
        let form =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Form>();
        let read = |pairs: &[(&str, &str)]| request("d", &form(pairs), "f".into(), None);
        let args = read(&[
            ("kind", "az"),
            ("currency", " "),
            ("column", "rate=New\n\n code=Dial \n"),
            ("zero_is_free", "yes"),
        ]);
        let args = args.unwrap();
        assert!(args.kind.az && args.answers.zero_is_free && args.answers.currency.is_none() && args.days == 7);
        assert_eq!(args.answers.column, ["rate=New", "code=Dial"]);
        for (wrong, said) in [
            (&[("kind", "")][..], "whole deck"),
            (&[("kind", "az"), ("days", "x")], "number of days"),
            (&[("kind", "az"), ("decimal", "dot")], "point or comma"),
        ] {
            assert!(read(wrong).unwrap_err().contains(said));
        }
    }
}
