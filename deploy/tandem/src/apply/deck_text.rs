//! `[[deck]]` of the TOML for `tandem apply`: a deck's terms (zones, time bands, origin groups, rules, settings) and
//! the file of its rows. Reads no file; never decides what a row costs.

use super::document::{FieldError, Place, SettingsText};
use facts::deck::{
    BandCrossing, DeckTerms, Indeterminate, IntervalRule, JurisdictionFrom, OriginGroup, RatedNumber, TimeBand,
    minute_of_day,
};
use facts::money::Currency;
use facts::number::Prefix;
use serde::Deserialize;
use smol_str::SmolStr;
use std::path::PathBuf;

/// A deck and the file that holds its rows, relative to the document.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeckText {
    id: String,
    /// Without it the rows stay those that are there, or come by `tandem deck import`.
    file: Option<PathBuf>,
    /// How the file is read, by `tandem deck read --save-template`; relative to the document.
    template: Option<PathBuf>,
    /// Where the file does not say it.
    currency: Option<Currency>,
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default = "utc")]
    effective_zone: String,
    #[serde(default)]
    holidays: Vec<String>,
    #[serde(default)]
    band_crossing: BandCrossing,
    #[serde(default)]
    interval_rule: IntervalRule,
    #[serde(default)]
    rated_number: RatedNumber,
    #[serde(default)]
    jurisdiction_from: JurisdictionFrom,
    #[serde(default)]
    jurisdiction_indeterminate: Indeterminate,
    #[serde(default)]
    time_band: Vec<BandText>,
    #[serde(default)]
    origin_group: Vec<GroupText>,
    #[serde(flatten)]
    settings: SettingsText,
}

/// `[[deck.time_band]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct BandText {
    name: SmolStr,
    days: Vec<SmolStr>,
    from: String,
    until: String,
}

/// `[[deck.origin_group]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    name: SmolStr,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    malformed: bool,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A deck whose terms have been read; its rows are still in the file.
#[derive(Debug, Clone)]
pub struct Declared {
    pub id: String,
    /// None: the rows stay as they are.
    pub file: Option<PathBuf>,
    pub template: Option<PathBuf>,
    pub currency: Option<Currency>,
    /// Everything but the currency, which the file may say.
    terms: DeckTerms,
}

impl Declared {
    /// The deck's terms, once its currency is known.
    pub fn terms(&self, currency: Currency) -> DeckTerms {
        DeckTerms { currency, ..self.terms.clone() }
    }

    /// Zone in which dates of rows begin.
    pub fn effective_zone(&self) -> SmolStr {
        self.terms.effective_zone.clone()
    }

    /// Names that rows may give as their time band.
    pub fn time_bands(&self) -> Vec<SmolStr> {
        self.terms.time_bands.iter().map(|band| band.name.clone()).collect()
    }
}

impl DeckText {
    /// Reads the terms; the first fault is returned with its place.
    pub fn into_declared(self) -> Result<Declared, FieldError> {
        let place = Place { table: "deck", id: &self.id };
        let bands = self.time_band.into_iter().map(|band| band.into_fact(&place)).collect::<Result<Vec<_>, _>>()?;
        let groups = self.origin_group.into_iter().map(|group| group.into_fact(&place)).collect::<Result<_, _>>()?;
        unique(&place, "time_band", bands.iter().map(|band| &band.name))?;
        let groups: Vec<OriginGroup> = groups;
        unique(&place, "origin_group", groups.iter().map(|group| &group.name))?;
        check_prefixes(&place, &groups)?;
        // The currency is replaced as soon as it is known.
        let terms = DeckTerms {
            time_zone: self.time_zone.into(),
            effective_zone: self.effective_zone.into(),
            holidays: self.holidays.into_iter().map(Into::into).collect(),
            band_crossing: self.band_crossing,
            interval_rule: self.interval_rule,
            rated_number: self.rated_number,
            indeterminate: self.jurisdiction_indeterminate,
            jurisdiction_from: self.jurisdiction_from,
            time_bands: bands,
            origin_groups: groups,
            settings: self.settings.read(&place)?,
            ..DeckTerms::new(self.currency.unwrap_or(facts::config::SiteSettings::default().base_currency))
        };
        Ok(Declared { file: self.file, template: self.template, currency: self.currency, terms, id: self.id })
    }
}

fn unique<'a>(
    place: &Place<'_>,
    field: &'static str,
    names: impl Iterator<Item = &'a SmolStr>,
) -> Result<(), FieldError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if name.is_empty() || !seen.insert(name) {
            return Err(place.fault(field, format!("the name {name:?} is empty or used twice; name each differently")));
        }
    }
    Ok(())
}

/// A prefix belongs to one group, or the group of a caller would hang on the order of the file.
fn check_prefixes(place: &Place<'_>, groups: &[OriginGroup]) -> Result<(), FieldError> {
    let mut seen = std::collections::BTreeMap::new();
    for group in groups {
        for prefix in &group.prefixes {
            if let Some(other) = seen.insert(*prefix, &group.name) {
                let reason = format!("{} and {} both hold prefix {prefix}; leave it in one of them", other, group.name);
                return Err(place.fault("origin_group", reason));
            }
        }
    }
    Ok(())
}

impl BandText {
    fn into_fact(self, place: &Place<'_>) -> Result<TimeBand, FieldError> {
        let time = |text: &str| {
            minute_of_day(text).ok_or_else(|| {
                let reason = format!("{:?}: {text:?} is no time of the day, as 08:00 or 24:00", self.name);
                place.fault("time_band", reason)
            })
        };
        let (from, until) = (time(&self.from)?, time(&self.until)?);
        if self.days.is_empty() || from == until {
            let reason = format!("{:?} owns no time; give it days, and an end other than its beginning", self.name);
            return Err(place.fault("time_band", reason));
        }
        Ok(TimeBand { name: self.name, days: self.days, from, until })
    }
}

impl GroupText {
    fn into_fact(self, place: &Place<'_>) -> Result<OriginGroup, FieldError> {
        if self.prefixes.is_empty() && !self.malformed {
            let reason = format!("{:?} holds nobody; give it prefixes, or malformed = true", self.name);
            return Err(place.fault("origin_group", reason));
        }
        let read = |text: &String| {
            Prefix::new(text).map_err(|e| place.fault("origin_group", format!("{:?}: {text:?}: {e}", self.name)))
        };
        let prefixes = self.prefixes.iter().map(read).collect::<Result<_, _>>()?;
        Ok(OriginGroup { name: self.name, prefixes, malformed: self.malformed })
    }
}

#[cfg(test)]
mod tests;
