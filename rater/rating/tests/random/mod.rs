//! Random tariffs for tests: every setting, bands, origins, steps. The same dice throw the same decks for ever.

use facts::deck::{
    BandCrossing, Indeterminate, IntervalRule, OriginGroup, OriginMode, Price, Rate, RateDeck, RowStatus, Settings,
    Step, TimeBand,
};
use facts::money::Currency;
use facts::number::Prefix;

pub const SECOND: i64 = 1_000_000;
/// 2023-10-28T00:00:00Z: the clock change in Europe is in the second night.
pub const DAY0: i64 = 1_698_451_200 * SECOND;

pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
    pub fn digits(&mut self, len: u64) -> String {
        (0..len).map(|_| char::from(b'0' + self.below(4) as u8)).collect()
    }
    fn price(&mut self) -> Price {
        let size = *self.pick(&[10_000i64, 1_000_000_000, 100_000_000_000]);
        let value = self.below(size as u64 * 2) as i64;
        Price(if self.one_in(10) { -value } else { value })
    }
    pub fn settings(&mut self, often: u64) -> Settings {
        let mut maybe = |value: fn(&mut Dice) -> i64| self.one_in(often).then(|| value(self));
        let seconds = |dice: &mut Dice| dice.below(90) as i64 * SECOND / 2;
        let money = |dice: &mut Dice| dice.below(50_000_000_000) as i64;
        Settings {
            grace: maybe(|dice| dice.below(12) as i64 * SECOND / 2),
            minimum_duration: maybe(seconds),
            maximum_duration: maybe(|dice| (60 + dice.below(4_000) as i64) * SECOND),
            minimum_amount: maybe(money).map(Price),
            maximum_amount: maybe(|dice| 40_000_000_000 + dice.below(90_000_000_000) as i64).map(Price),
            attempt_fee: maybe(money).map(Price),
            disconnect_fee: maybe(money).map(Price),
        }
    }
}

pub fn random_deck(dice: &mut Dice) -> RateDeck {
    let mut terms = facts::deck::DeckTerms::new(Currency::new("USD").unwrap());
    terms.time_zone = (*dice.pick(&["UTC", "Europe/Vienna", "Asia/Kathmandu", "America/New_York"])).into();
    terms.band_crossing = *dice.pick(&[BandCrossing::Split, BandCrossing::Split, BandCrossing::Start]);
    terms.interval_rule = *dice.pick(&[IntervalRule::Anchored, IntervalRule::Anchored, IntervalRule::RoundTotal]);
    terms.indeterminate = *dice.pick(&[Indeterminate::Inter, Indeterminate::Intra, Indeterminate::Dearer]);
    terms.settings = dice.settings(12);
    if dice.one_in(3) {
        terms.holidays = vec!["2023-10-28".into()];
    }
    let days = |list: &[&str]| list.iter().map(|day| (*day).into()).collect::<Vec<_>>();
    let all = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    for (name, from, until) in [("day", 480, 1200), ("night", 1200, 480), ("odd", 1, 121), ("free", 0, 1440)] {
        let mut list = days(if dice.one_in(2) { &all } else { &all[3..6] });
        if dice.one_in(3) {
            list.push("holiday".into());
        }
        terms.time_bands.push(TimeBand { name: name.into(), days: list, from, until });
    }
    for (name, prefixes, malformed) in
        [("near", vec!["43", "49", "4312"], false), ("odd", vec![], true), ("all", vec![""], false)]
    {
        let prefixes = prefixes.into_iter().map(|p| Prefix::new(p).unwrap()).collect();
        terms.origin_groups.push(OriginGroup { name: name.into(), prefixes, malformed });
    }
    let mut rates = Vec::new();
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..1 + dice.below(40) {
        let len = dice.below(5);
        let prefix = Prefix::new(&dice.digits(len)).unwrap();
        let mut rate = random_rate(dice, &prefix);
        rate.settings = if dice.one_in(6) { dice.settings(4) } else { Settings::default() };
        let add = rate.origin_mode == OriginMode::Add;
        // Two rows that could both be left are refused at import.
        if keys.insert((rate.prefix, rate.origin.clone(), rate.time_band.clone(), add)) {
            rates.push(rate);
        }
    }
    rates.sort_by_key(|rate| rate.prefix);
    RateDeck { id: "d".into(), version: 1, terms, rates }
}

fn random_rate(dice: &mut Dice, prefix: &Prefix) -> Rate {
    let (first, next) = (*dice.pick(&[0, 1, 6, 12, 30, 60, 60]), *dice.pick(&[1, 1, 6, 11, 18, 60]));
    let mut rate = Rate::simple(*prefix, "x", first, next, dice.price());
    rate.first_rate = if dice.one_in(3) { dice.price() } else { rate.next_rate };
    rate.connect_fee = if dice.one_in(3) { dice.price() } else { Price(0) };
    rate.time_band = dice.one_in(3).then(|| (*dice.pick(&["day", "night", "odd", "free"])).into());
    rate.origin = dice.one_in(4).then(|| (*dice.pick(&["near", "odd", "all"])).into());
    if dice.one_in(if rate.origin.is_some() { 3 } else { 12 }) {
        rate.origin_mode = OriginMode::Add;
    }
    rate.valid_from = dice.one_in(5).then(|| DAY0 + dice.below(86_400) as i64 * SECOND);
    rate.valid_until = dice.one_in(5).then(|| DAY0 + dice.below(3 * 86_400) as i64 * SECOND);
    rate.status = *dice.pick(&[RowStatus::Open; 12]);
    if dice.one_in(15) {
        rate.status = *dice.pick(&[RowStatus::Blocked, RowStatus::Discontinued]);
    }
    rate.free = if dice.one_in(10) { dice.below(40) as i64 * SECOND } else { 0 };
    if dice.one_in(8) {
        rate.inter_rate = dice.one_in(2).then(|| dice.price());
        rate.intra_rate = dice.one_in(2).then(|| dice.price());
        rate.indeterminate_rate = dice.one_in(3).then(|| dice.price());
    }
    if dice.one_in(8) {
        let mut from = 0;
        for _ in 0..1 + dice.below(3) {
            let (per, increment) = (*dice.pick(&[1, 7, 60, 3_600]), *dice.pick(&[1, 6, 20, 60]));
            rate.steps.push(Step { from, rate: dice.price(), per, increment });
            from += (1 + dice.below(400) as i64) * SECOND;
        }
    }
    rate
}
