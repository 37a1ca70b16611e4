//! Whether a call stays within one area of numbers (design 4.10, 13.4): both of its ends are looked up in the areas of
//! the configuration. Indeterminate where there are none, or where one end is in none of them.

use std::collections::BTreeMap;

use facts::config::Area;
use facts::deck::{JurisdictionFrom, OriginGroup};
use facts::number::E164;
use smol_str::SmolStr;

use crate::deck::{Chosen, CompiledDeck, Extra};
use crate::explain::{Note, Trace};
use crate::origin::{Origins, UNKNOWN_ORIGIN};
use crate::price::Jurisdiction;

/// The areas of a configuration, ready for looking up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Areas(Origins);

/// The numbers of a call that its jurisdiction can follow from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers<'a> {
    pub caller: Option<&'a E164>,
    pub dialled: Option<&'a E164>,
    pub rn: Option<&'a E164>,
}

impl Areas {
    pub fn compile(areas: &BTreeMap<SmolStr, Area>) -> Self {
        let group =
            |area: &Area| OriginGroup { name: area.name.clone(), prefixes: area.prefixes.clone(), malformed: false };
        Self(Origins::compile(&areas.values().map(group).collect::<Vec<_>>()))
    }

    /// The jurisdiction of a call that the chosen row prices; nothing is looked up where the row does not ask for it.
    pub fn jurisdiction(
        &self,
        deck: &CompiledDeck,
        chosen: Chosen,
        numbers: &Numbers<'_>,
        trace: &mut impl Trace,
    ) -> Jurisdiction {
        let Some(from) = deck.jurisdiction_from else { return Jurisdiction::Indeterminate };
        if !deck.row_extra(chosen.row).is_some_and(Extra::is_jurisdictional) {
            return Jurisdiction::Indeterminate;
        }
        let called = match from {
            JurisdictionFrom::Rn => numbers.rn.filter(|rn| !rn.is_empty()).or(numbers.dialled),
            JurisdictionFrom::Dialled => numbers.dialled,
        };
        let (caller, called) = (self.0.of(numbers.caller), self.0.of(called));
        let jurisdiction = match (caller, called) {
            (UNKNOWN_ORIGIN, _) | (_, UNKNOWN_ORIGIN) => Jurisdiction::Indeterminate,
            (a, b) if a == b => Jurisdiction::Intra,
            _ => Jurisdiction::Inter,
        };
        trace.note(|| Note::Jurisdiction { jurisdiction, caller: self.0.name(caller), called: self.0.name(called) });
        jurisdiction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::Currency;
    use facts::deck::{DeckTerms, Price, Rate, RateDeck};
    use facts::number::Prefix;

    fn deck(from: JurisdictionFrom) -> CompiledDeck {
        let mut row = Rate::simple(Prefix::new("1").unwrap(), "USA", 6, 6, Price(0));
        (row.inter_rate, row.intra_rate) = (Some(Price(10)), Some(Price(30)));
        let flat = Rate::simple(Prefix::new("1876").unwrap(), "Jamaica", 6, 6, Price(90));
        let terms = DeckTerms { jurisdiction_from: from, ..DeckTerms::new(Currency::new("USD").unwrap()) };
        CompiledDeck::compile(&RateDeck { id: "us".into(), version: 1, terms, rates: vec![row, flat] }).unwrap()
    }

    fn areas() -> Areas {
        let area = |name: &str, prefixes: &[&str]| {
            let prefixes = prefixes.iter().map(|digits| Prefix::new(digits).unwrap()).collect();
            (SmolStr::new(name), Area { name: name.into(), prefixes })
        };
        // 1201 is New Jersey's, but for one exchange that went to New York.
        let areas = [area("US-NJ", &["1201", "1551"]), area("US-NY", &["1212", "1201999"])];
        Areas::compile(&areas.into_iter().collect())
    }

    /// The jurisdiction, with the words of the explanation.
    fn of(areas: &Areas, deck: &CompiledDeck, caller: &str, called: &str, rn: &str) -> (Jurisdiction, String) {
        let [caller, called, rn] = [caller, called, rn].map(|digits| E164::from_digits(digits).ok());
        let chosen = deck.find(&called.unwrap(), 0, 0).unwrap();
        let mut notes: Vec<Note> = Vec::new();
        let numbers = Numbers { caller: caller.as_ref(), dialled: called.as_ref(), rn: rn.as_ref() };
        let jurisdiction = areas.jurisdiction(deck, chosen, &numbers, &mut notes);
        (jurisdiction, notes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_call_is_intrastate_only_where_both_ends_are_known_to_be_in_one_state() {
        let (areas, deck) = (areas(), deck(JurisdictionFrom::Rn));
        let only = |a: &str, b: &str| of(&areas, &deck, a, b, "").0;
        let (jurisdiction, words) = of(&areas, &deck, "12015550100", "15515550100", "");
        assert_eq!((jurisdiction, words.as_str()), (Jurisdiction::Intra, "intrastate: from US-NJ to US-NJ"));
        assert_eq!(only("12015550100", "12125550100"), Jurisdiction::Inter);
        assert_eq!(only("12019990100", "12125550100"), Jurisdiction::Intra, "the longest prefix decides");
        let (jurisdiction, words) = of(&areas, &deck, "12015550100", "13125550100", "");
        let expected = (Jurisdiction::Indeterminate, "indeterminate: from US-NJ to no known area");
        assert_eq!((jurisdiction, words.as_str()), expected);
        assert_eq!(only("201555", "12015550100"), Jurisdiction::Indeterminate, "a caller too short for a number");
        assert_eq!(only("", "12015550100"), Jurisdiction::Indeterminate);
        assert_eq!(of(&Areas::default(), &deck, "12015550100", "12015550101", "").0, Jurisdiction::Indeterminate);
        let (jurisdiction, words) = of(&areas, &deck, "12015550100", "18765550100", "");
        assert_eq!((jurisdiction, words.as_str()), (Jurisdiction::Indeterminate, ""), "its row does not ask");
    }

    #[test]
    fn a_ported_number_is_where_its_routing_number_is_unless_the_deck_says_as_dialled() {
        let areas = areas();
        let of = |from| of(&areas, &deck(from), "12125550100", "12015550100", "12125559999").0;
        assert_eq!(of(JurisdictionFrom::Rn), Jurisdiction::Intra);
        assert_eq!(of(JurisdictionFrom::Dialled), Jurisdiction::Inter);
    }
}
