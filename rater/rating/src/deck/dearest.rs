//! The dearest rows of a deck, by country and in all: what a provisional price is taken from (design 4.16). Never prices
//! anything.

use facts::deck::{Price, RowStatus};
use hashbrown::HashMap;

use super::{ByCountry, Extra, Row};
use crate::country::Country;

/// Rows that may set a provisional price, dearest first: greatest next rate, then first rate, then connect fee, then
/// the lowest prefix. Rows of which another is never cheaper and always valid are left out.
pub(super) fn dearest(rows: &[Row], extras: &[Extra]) -> (ByCountry, Box<[u32]>) {
    let mut order: Vec<u32> = (0..rows.len() as u32)
        .filter(|index| {
            let row = &rows[*index as usize];
            row.status == RowStatus::Open && extras.get(row.extra as usize).is_none_or(|extra| !extra.add)
        })
        .collect();
    order.sort_by_key(|index| {
        let row = &rows[*index as usize];
        let extra = extras.get(row.extra as usize);
        let fee = extra.map_or(Price(0), |extra| extra.connect_fee);
        // Rates by jurisdiction replace both interval rates; which of them a call pays is not known here.
        let most = extra.and_then(|extra| extra.inter_rate.max(extra.intra_rate).max(extra.indeterminate_rate));
        (std::cmp::Reverse((most.unwrap_or(row.next_rate), most.unwrap_or(row.first_rate), fee)), *index)
    });
    let mut by_country: HashMap<Country, (Vec<u32>, bool)> = HashMap::new();
    let (mut all, mut all_done) = (Vec::new(), false);
    for index in order {
        let row = &rows[index as usize];
        // Behind a row that is always valid no other is ever looked at.
        let always = row.valid_from == i64::MIN && row.valid_until == i64::MAX;
        let (list, done) = by_country.entry(Country::of_prefix(row.prefix)).or_default();
        if !*done {
            list.push(index);
            *done = always;
        }
        if !all_done {
            all.push(index);
            all_done = always;
        }
    }
    let by_country = by_country.into_iter().map(|(country, (list, _))| (country, list.into_boxed_slice())).collect();
    (by_country, all.into_boxed_slice())
}
