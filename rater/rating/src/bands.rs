//! Time bands of a deck (design 4.9, 13.2): which named parts of the week own an instant, and when that changes next.
//! Wall-clock time in the deck's zone, with daylight saving and holidays; a band owns what starts in it, fractions of
//! a second included. Never reads the machine's clock or its zone.

use facts::deck::DeckTerms;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::deck::CompileError;

/// Most bands one deck may name: they are bits of one word.
pub const BANDS_MAX: usize = 64;
const DAY: i64 = 86_400_000_000;
const MINUTE: i64 = 60_000_000;
/// 1971-01-03T00:00:00Z, a Sunday: no deck lists a holiday of that year.
const LONG_PAST: i64 = 367 * DAY;
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The bands of one deck in its zone.
#[derive(Debug, Clone)]
pub struct Bands {
    zone: TimeZone,
    bands: Vec<Band>,
    /// Days since the epoch, sorted.
    holidays: Vec<i64>,
    /// Some band lists `holiday`: then holidays belong to such bands and to no other.
    holiday_bands: bool,
    /// Instants of the day at which something may change, sorted, midnight (as the end of the day) included.
    edges: Vec<i64>,
}

#[derive(Debug, Clone)]
struct Band {
    /// Bit 0 is Monday.
    days: u8,
    holiday: bool,
    from: i64,
    until: i64,
}

impl Bands {
    /// Reads the bands of a deck; an unknown zone, day or date is refused by name.
    pub fn compile(terms: &DeckTerms) -> Result<Self, CompileError> {
        let zone = TimeZoneDatabase::bundled()
            .get(&terms.time_zone)
            .map_err(|_| CompileError::Zone { zone: terms.time_zone.to_string() })?;
        if terms.time_bands.len() > BANDS_MAX {
            return Err(CompileError::TooManyBands { bands: terms.time_bands.len() });
        }
        let mut bands = Vec::with_capacity(terms.time_bands.len());
        let mut edges = vec![DAY];
        for band in &terms.time_bands {
            let (mut days, mut holiday) = (0u8, false);
            for day in &band.days {
                match WEEKDAYS.iter().position(|name| name == day) {
                    Some(bit) => days |= 1 << bit,
                    None if day == "holiday" => holiday = true,
                    None => return Err(CompileError::Day { band: band.name.to_string(), day: day.to_string() }),
                }
            }
            let (from, until) = (i64::from(band.from) * MINUTE, i64::from(band.until) * MINUTE);
            if from > DAY || until > DAY {
                return Err(CompileError::BandTime { band: band.name.to_string() });
            }
            edges.extend([from, until].into_iter().filter(|edge| *edge > 0));
            bands.push(Band { days, holiday, from, until });
        }
        edges.sort_unstable();
        edges.dedup();
        let mut holidays = Vec::with_capacity(terms.holidays.len());
        for date in &terms.holidays {
            let parsed: jiff::civil::Date =
                date.parse().map_err(|_| CompileError::Holiday { date: date.to_string() })?;
            let days = jiff::civil::date(1970, 1, 1).until(parsed).map_or(0, |span| i64::from(span.get_days()));
            holidays.push(days);
        }
        holidays.sort_unstable();
        let holiday_bands = bands.iter().any(|band| band.holiday);
        Ok(Self { zone, bands, holidays, holiday_bands, edges })
    }

    /// Bit i is set where band i owns the instant (microseconds since the epoch).
    pub fn owning(&self, at: i64) -> u64 {
        let local = at.saturating_add(self.offset(at));
        let (day, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let mut mask = 0;
        for (bit, band) in self.bands.iter().enumerate() {
            let owns = if band.from <= band.until {
                self.belongs(band, day) && band.from <= time && time < band.until
            } else {
                (self.belongs(band, day) && time >= band.from) || (self.belongs(band, day - 1) && time < band.until)
            };
            mask |= u64::from(owns) << bit;
        }
        mask
    }

    /// The next instant after `at` at which [`Self::owning`] may answer differently.
    pub fn next_change(&self, at: i64) -> i64 {
        let time = at.saturating_add(self.offset(at)).rem_euclid(DAY);
        let edge = self.edges.iter().find(|edge| **edge > time).copied().unwrap_or(DAY);
        let next = at.saturating_add(edge - time);
        match self.next_transition(at) {
            Some(transition) if transition < next => transition,
            _ => next,
        }
    }

    /// The first instant in `from..until` that two bands (by their places) own together, holidays as they fall.
    pub fn first_shared(&self, one: u8, other: u8, from: i64, until: i64) -> Option<i64> {
        let both = 1u64 << one | 1u64 << other;
        let within = |begin: i64, end: i64| {
            let (mut at, end) = (begin.max(from), end.min(until));
            while at < end {
                if self.owning(at) & both == both {
                    return Some(at);
                }
                at = self.next_change(at).max(at + 1);
            }
            None
        };
        // Every week without holidays is like every other: two in case the first has one, from where both begin; one
        // long past where they are valid always.
        let week = if from > LONG_PAST { from } else { LONG_PAST.min(until.saturating_sub(14 * DAY)) };
        let weeks = within(week, week.saturating_add(15 * DAY));
        let day = |day: &i64| within((day - 1).saturating_mul(DAY), (day + 2).saturating_mul(DAY));
        weeks.or_else(|| self.holidays.iter().find_map(day))
    }

    /// The first change of the zone's offset after the instant.
    fn next_transition(&self, at: i64) -> Option<i64> {
        let from = jiff::Timestamp::from_microsecond(at).ok()?;
        self.zone.following(from).next().map(|transition| transition.timestamp().as_microsecond())
    }

    /// Whether a day, as a date in the deck's zone, is one of the band's.
    fn belongs(&self, band: &Band, day: i64) -> bool {
        if self.holiday_bands && self.holidays.binary_search(&day).is_ok() {
            return band.holiday;
        }
        // 1970-01-01 was a Thursday.
        band.days >> (day + 3).rem_euclid(7) & 1 == 1
    }

    /// Microseconds to add to UTC for wall-clock time; 0 beyond the years that the zone data knows.
    fn offset(&self, at: i64) -> i64 {
        match jiff::Timestamp::from_microsecond(at) {
            Ok(time) => i64::from(self.zone.to_offset(time).seconds()) * 1_000_000,
            Err(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::deck::TimeBand;
    use facts::money::Currency;
    use facts::time::parse_rfc3339;

    fn band(name: &str, days: &[&str], from: u16, until: u16) -> TimeBand {
        TimeBand { name: name.into(), days: days.iter().map(|d| (*d).into()).collect(), from, until }
    }

    fn vienna(bands: Vec<TimeBand>, holidays: &[&str]) -> Bands {
        let mut terms = DeckTerms::new(Currency::new("EUR").unwrap());
        terms.time_zone = "Europe/Vienna".into();
        terms.time_bands = bands;
        terms.holidays = holidays.iter().map(|d| (*d).into()).collect();
        Bands::compile(&terms).unwrap()
    }

    fn at(text: &str) -> i64 {
        parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_band_owns_the_last_microsecond_before_its_end() {
        let bands = vienna(vec![band("peak", &["mon", "tue", "wed", "thu", "fri"], 480, 1200)], &[]);
        assert_eq!(bands.owning(at("2023-05-09T05:59:59.999999Z")), 0);
        assert_eq!(bands.owning(at("2023-05-09T06:00:00Z")), 1);
        assert_eq!(bands.owning(at("2023-05-09T17:59:59.999999Z")), 1);
        assert_eq!(bands.owning(at("2023-05-09T18:00:00Z")), 0);
        assert_eq!(bands.next_change(at("2023-05-09T06:00:00Z")), at("2023-05-09T18:00:00Z"));
        assert_eq!(bands.next_change(at("2023-05-09T18:00:00Z")), at("2023-05-09T22:00:00Z"), "midnight in Vienna");
    }

    #[test]
    fn a_night_band_belongs_to_the_day_it_began_on() {
        let bands = vienna(vec![band("night", &["fri"], 1320, 360)], &[]);
        assert_eq!(bands.owning(at("2023-05-12T22:00:00+02:00")), 1, "Friday evening");
        assert_eq!(bands.owning(at("2023-05-13T05:59:00+02:00")), 1, "Saturday before six");
        assert_eq!(bands.owning(at("2023-05-13T23:00:00+02:00")), 0, "Saturday evening");
        assert_eq!(bands.owning(at("2023-05-12T05:00:00+02:00")), 0, "Friday morning began on Thursday");
    }

    #[test]
    fn a_holiday_belongs_to_the_holiday_band_alone() {
        let bands =
            vienna(vec![band("peak", &["mon"], 480, 1200), band("rest", &["holiday"], 0, 1440)], &["2023-12-25"]);
        assert_eq!(bands.owning(at("2023-12-25T10:00:00+01:00")), 0b10);
        assert_eq!(bands.owning(at("2023-12-18T10:00:00+01:00")), 0b01);
        let none = vienna(vec![band("peak", &["mon"], 480, 1200)], &["2023-12-25"]);
        assert_eq!(none.owning(at("2023-12-25T10:00:00+01:00")), 0b01, "no band lists holidays: an ordinary Monday");
    }

    #[test]
    fn the_hour_that_comes_twice_is_one_interval_and_the_missing_one_is_none() {
        let bands = vienna(vec![band("two", &["sun"], 120, 180)], &[]);
        // 2015-10-25: 02:00 CEST (00:00Z) to 03:00 CET (02:00Z) is two hours long.
        for text in ["2015-10-25T00:00:00Z", "2015-10-25T00:59:59Z", "2015-10-25T01:00:00Z", "2015-10-25T01:59:59Z"] {
            assert_eq!(bands.owning(at(text)), 1, "{text}");
        }
        assert_eq!(bands.owning(at("2015-10-25T02:00:00Z")), 0);
        assert_eq!(bands.owning(at("2015-03-29T00:59:59Z")), 0);
        assert_eq!(bands.owning(at("2015-03-29T01:00:00Z")), 0, "02:00 does not exist on that day");
        assert_eq!(bands.next_change(at("2015-03-29T00:30:00Z")), at("2015-03-29T01:00:00Z"));
    }
}
