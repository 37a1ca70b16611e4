//! What a column of a deck can mean, and the word by which templates and flags name it. Finds nothing itself.

use std::fmt;

/// What a column means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Field {
    /// Whole dial code, or a list of them.
    Code,
    CountryCode,
    /// The rest of the code behind `CountryCode`.
    AreaCode,
    Destination,
    /// Price a minute of both intervals.
    Rate,
    FirstRate,
    NextRate,
    InterRate,
    IntraRate,
    IndeterminateRate,
    /// `60/1`, or one number for both intervals.
    Increment,
    FirstInterval,
    NextInterval,
    ConnectFee,
    AttemptFee,
    DisconnectFee,
    FreeSeconds,
    GraceSeconds,
    ValidFrom,
    ValidUntil,
    Status,
    /// Yes/no columns of the PortaOne family.
    Forbidden,
    Discontinued,
    TimeType,
    /// Name of the origin group that a row is for.
    Origin,
    Currency,
    /// What has changed since the last deck, in the carrier's words.
    Change,
}

/// All fields with their words, in the order in which they are declared.
const WORDS: [(Field, &str); 27] = [
    (Field::Code, "code"),
    (Field::CountryCode, "country_code"),
    (Field::AreaCode, "area_code"),
    (Field::Destination, "destination"),
    (Field::Rate, "rate"),
    (Field::FirstRate, "first_rate"),
    (Field::NextRate, "next_rate"),
    (Field::InterRate, "inter_rate"),
    (Field::IntraRate, "intra_rate"),
    (Field::IndeterminateRate, "indeterminate_rate"),
    (Field::Increment, "increment"),
    (Field::FirstInterval, "first_interval"),
    (Field::NextInterval, "next_interval"),
    (Field::ConnectFee, "connect_fee"),
    (Field::AttemptFee, "attempt_fee"),
    (Field::DisconnectFee, "disconnect_fee"),
    (Field::FreeSeconds, "free_seconds"),
    (Field::GraceSeconds, "grace_seconds"),
    (Field::ValidFrom, "valid_from"),
    (Field::ValidUntil, "valid_until"),
    (Field::Status, "status"),
    (Field::Forbidden, "forbidden"),
    (Field::Discontinued, "discontinued"),
    (Field::TimeType, "time_type"),
    (Field::Origin, "origin"),
    (Field::Currency, "currency"),
    (Field::Change, "change"),
];

impl Field {
    /// The word by which a template names it.
    pub fn as_str(self) -> &'static str {
        WORDS[self as usize].1
    }

    /// The field of a template's word.
    pub fn named(word: &str) -> Option<Self> {
        WORDS.iter().find(|(_, name)| *name == word).map(|(field, _)| *field)
    }

    /// All words, for messages.
    pub fn words() -> String {
        WORDS.map(|(_, word)| word).join(", ")
    }

    /// Whether the column holds prices for a time.
    pub(crate) fn is_price(self) -> bool {
        matches!(
            self,
            Self::Rate | Self::FirstRate | Self::NextRate | Self::InterRate | Self::IntraRate | Self::IndeterminateRate
        )
    }

    /// The first of two equal headers counts for these; for all others two are refused.
    pub(crate) fn first_counts(self) -> bool {
        matches!(self, Self::Change | Self::Destination)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_one_word_and_the_word_one_field() {
        for (at, (field, word)) in WORDS.iter().enumerate() {
            assert_eq!(*field as usize, at, "{word} stands where its number says");
            assert_eq!(Field::named(word), Some(*field));
            assert_eq!(field.as_str(), *word);
        }
        assert_eq!(Field::Change as usize + 1, WORDS.len());
    }
}
