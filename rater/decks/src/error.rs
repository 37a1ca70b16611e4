//! Why a deck file is refused as a whole, and the question where a person can answer it. Single rows are `Problem`s.

use crate::field::Field;
use facts::Currency;

/// A refused file. What a person can answer names the flag that answers it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeckError {
    #[error("{file} is {what}; {advice}")]
    Format { file: String, what: String, advice: &'static str },
    #[error("{file} is beyond the limit: {what} (limit {limit}); split it or raise the limit")]
    TooLarge { file: String, what: String, limit: u64 },
    #[error("{file} is damaged at {place}: {reason}; ask for it again")]
    Damaged { file: String, place: String, reason: String },
    #[error(
        "{file} has no header row with a code and a price in its first {looked} rows (looked at: {seen}); name the \
         columns: --column code=HEADER --column rate=HEADER"
    )]
    NoHeader { file: String, looked: u32, seen: String },
    #[error("{file}: {field} could be any of the columns {columns}; name one: --column {field}=HEADER")]
    Ambiguous { file: String, field: Field, columns: String },
    #[error(
        "{file}: the prices of column {column:?} are not for a minute or a second; write them in the currency for a \
         minute, or ask for such a deck"
    )]
    Unit { file: String, column: String },
    #[error(
        "{file}: column {area:?} holds digits beside the codes of column {code:?}; where they are the rest of these: --column \
         country_code={code:?} --column area_code={area:?}, where they are not: --column code={code:?}"
    )]
    RestOfCode { file: String, area: String, code: String },
    #[error("{file}: the sheets {sheets} all hold rates; name those to read, each with --sheet NAME, or --all-sheets")]
    SeveralSheets { file: String, sheets: String },
    #[error("{file} has no sheet {sheet:?}; it has {sheets}")]
    NoSheet { file: String, sheet: String, sheets: String },
    #[error(
        "{file}: the currency is {first} by the {first_from} and {second} by the {second_from}; ask which is meant"
    )]
    Currency { file: String, first: Currency, first_from: &'static str, second: Currency, second_from: &'static str },
    #[error("{file}: {seen}; say how its dates are meant: --date-order day-first or month-first")]
    DateOrder { file: String, seen: String },
    #[error("{file}: {text:?} names increments in a way that is not understood; name them: --increment 60/1")]
    Increments { file: String, text: String },
    #[error(
        "{file}: {text:?} gives increments to {name:?}, which is no destination of this deck; say which are meant: \
         --increment 1/1 --increment-of DESTINATION=60/60"
    )]
    IncrementName { file: String, name: String, text: String },
    #[error(
        "{file}: the increment is {first} by the template and {second} by the notice; ask which is meant, then name \
         it: --increment {second}"
    )]
    IncrementsDiffer { file: String, first: String, second: String },
    #[error("{file}: its text is not UTF-8 and could be of several encodings: {seen}; name it: --encoding {example}")]
    Encoding { file: String, seen: String, example: &'static str },
    #[error("template: {0}")]
    Template(String),
}
