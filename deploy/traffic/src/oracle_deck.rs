//! The oracle's own decks: codes in a hash table, the longest found by trying every length. Never prices.

use crate::base::country;
use facts::Currency;
use facts::deck::{IntervalRule, RateDeck, RowStatus, Settings};
use hashbrown::HashMap;

/// One row, amounts in 10^-10, times in microseconds.
pub struct Row {
    pub code: String,
    pub connect_fee: i64,
    pub first: u32,
    pub first_rate: i64,
    pub next: u32,
    pub next_rate: i64,
    pub from: i64,
    pub until: i64,
    pub status: RowStatus,
    pub free: i64,
}

/// One deck.
pub struct Deck {
    pub currency: Currency,
    pub settings: Settings,
    pub round_total: bool,
    rows: Vec<Row>,
    by_code: HashMap<String, Vec<usize>>,
    /// Open rows of each country, dearest first: next rate, first rate, connect fee, lowest code.
    by_country: HashMap<u16, Vec<usize>>,
    dearest: Vec<usize>,
}

impl Deck {
    pub fn new(deck: &RateDeck) -> Self {
        let mut rows: Vec<Row> = deck
            .rates
            .iter()
            .map(|rate| Row {
                code: rate.prefix.to_string(),
                connect_fee: rate.connect_fee.0,
                first: rate.first_interval,
                first_rate: rate.first_rate.0,
                next: rate.next_interval,
                next_rate: rate.next_rate.0,
                from: rate.valid_from.unwrap_or(i64::MIN),
                until: rate.valid_until.unwrap_or(i64::MAX),
                status: rate.status,
                free: rate.free,
            })
            .collect();
        rows.sort_by(|a, b| (&a.code, a.from).cmp(&(&b.code, b.from)));
        let mut by_code: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, row) in rows.iter().enumerate() {
            by_code.entry(row.code.clone()).or_default().push(place);
        }
        let mut dearest: Vec<usize> = (0..rows.len()).filter(|place| rows[*place].status == RowStatus::Open).collect();
        dearest.sort_by_key(|place| {
            let row = &rows[*place];
            (-row.next_rate, -row.first_rate, -row.connect_fee, *place)
        });
        let mut by_country: HashMap<u16, Vec<usize>> = HashMap::new();
        for place in &dearest {
            by_country.entry(country(&rows[*place].code)).or_default().push(*place);
        }
        let round_total = deck.terms.interval_rule == IntervalRule::RoundTotal;
        Self {
            currency: deck.terms.currency,
            settings: deck.terms.settings,
            round_total,
            rows,
            by_code,
            by_country,
            dearest,
        }
    }

    /// The longest code with a row that is in force.
    pub fn find(&self, number: &str, at: i64) -> Option<&Row> {
        self.longest(number, |row| row.from <= at && at < row.until && row.status != RowStatus::Discontinued)
    }

    fn longest(&self, number: &str, fits: impl Fn(&Row) -> bool) -> Option<&Row> {
        (0..=number.len().min(15)).rev().find_map(|length| {
            let places = self.by_code.get(&number[..length])?;
            places.iter().map(|place| &self.rows[*place]).find(|row| fits(row))
        })
    }

    /// The row in force last before the instant, longest code first.
    pub fn last_known(&self, number: &str, at: i64) -> Option<&Row> {
        (0..=number.len().min(15)).rev().find_map(|length| {
            let places = self.by_code.get(&number[..length])?;
            let known = places.iter().filter(|place| {
                let row = &self.rows[**place];
                row.from <= at && row.status == RowStatus::Open
            });
            known.max_by_key(|place| (self.rows[**place].until.min(at), **place)).map(|place| &self.rows[*place])
        })
    }

    pub fn dearest_of(&self, country: Option<u16>, at: i64) -> Option<&Row> {
        let list = match country {
            Some(country) => self.by_country.get(&country)?,
            None => &self.dearest,
        };
        list.iter().map(|place| &self.rows[*place]).find(|row| row.from <= at && at < row.until)
    }
}
