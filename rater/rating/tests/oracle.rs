//! A second implementation of design 4 and 13.3 to 13.10, as plain as possible: strings for prefixes, one increment
//! after another, big rationals for money, wall-clock time from jiff's zoned type. Random tariffs and calls must
//! come out the same, to the last digit, in both.

mod random;

use std::collections::BTreeMap;

use facts::deck::{
    BandCrossing, Indeterminate, IntervalRule, OriginMode, Price, Rate, RateDeck, RowStatus, Settings, TimeBand,
};
use facts::money::{Amount, Rounding};
use facts::number::E164;
use facts::xdr::Unrated;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};
use random::{DAY0, Dice, SECOND, random_deck};
use rating::price::{Ask, Jurisdiction, SAME_CURRENCY, Terms, price};
use rating::{CompiledDeck, deck};

const SEED: u64 = 20_261_121;
const CASES: usize = 100_000;

struct Plain<'a> {
    deck: &'a RateDeck,
    zone: &'a jiff::tz::TimeZone,
    terms: &'a Terms,
    ask: &'a Ask,
    called: &'a str,
    caller: Option<&'a str>,
}

fn big(price: Price) -> BigRational {
    BigRational::new(price.0.into(), 10_000_000_000i64.into())
}

impl Plain<'_> {
    fn local(&self, at: i64) -> jiff::Zoned {
        jiff::Timestamp::from_microsecond(at).unwrap().to_zoned(self.zone.clone())
    }

    fn owns(&self, band: &TimeBand, at: i64) -> bool {
        let now = self.local(at);
        let listed = |date: jiff::civil::Date| {
            let holiday = self.deck.terms.holidays.iter().any(|h| **h == *date.to_string());
            if holiday && self.deck.terms.time_bands.iter().any(|b| b.days.iter().any(|d| d == "holiday")) {
                return band.days.iter().any(|d| d == "holiday");
            }
            let name = format!("{:?}", date.weekday()).to_lowercase();
            band.days.iter().any(|d| name.starts_with(d.as_str()))
        };
        let minute = now.hour() as u16 * 60 + now.minute() as u16;
        if band.from <= band.until {
            listed(now.date()) && band.from <= minute && minute < band.until
        } else {
            (listed(now.date()) && minute >= band.from)
                || (listed(now.date().yesterday().unwrap()) && minute < band.until)
        }
    }

    fn origin(&self) -> Option<String> {
        let groups = &self.deck.terms.origin_groups;
        match self.caller.filter(|c| c.len() >= 7 && c.len() <= 15) {
            None => groups.iter().find(|g| g.malformed).map(|g| g.name.to_string()),
            Some(caller) => groups
                .iter()
                .flat_map(|g| g.prefixes.iter().map(move |p| (p.to_string(), g.name.to_string())))
                .filter(|(p, _)| caller.starts_with(p))
                .max_by_key(|(p, _)| p.len())
                .map(|(_, name)| name),
        }
    }

    fn takes_part(&self, rate: &Rate, validity: i64, band_at: i64) -> bool {
        let band = |name: &str| self.deck.terms.time_bands.iter().find(|b| b.name == name).unwrap();
        rate.valid_from.is_none_or(|from| from <= validity)
            && rate.valid_until.is_none_or(|until| validity < until)
            && rate.status != RowStatus::Discontinued
            && rate.time_band.as_ref().is_none_or(|name| self.owns(band(name), band_at))
    }

    fn choose(&self, add: bool) -> Option<&Rate> {
        let origin = self.origin();
        self.deck
            .rates
            .iter()
            .filter(|rate| (rate.origin_mode == OriginMode::Add) == add)
            .filter(|rate| self.called.starts_with(&rate.prefix.to_string()))
            .filter(|rate| self.takes_part(rate, self.ask.rated_at, self.ask.rated_at))
            .filter(|rate| rate.origin.is_none() || rate.origin.as_deref() == origin.as_deref())
            .max_by_key(|rate| (rate.prefix.len(), rate.origin.is_some(), rate.time_band.is_some()))
    }

    /// Rates of a row for this call: first, next, with the surcharge.
    fn rates(&self, rate: &Rate, add: Option<&Rate>) -> (BigRational, BigRational) {
        let (mut first, mut next) = (big(rate.first_rate), big(rate.next_rate));
        if rate.inter_rate.is_some() || rate.intra_rate.is_some() {
            let chosen = match self.ask.jurisdiction {
                Jurisdiction::Inter => rate.inter_rate,
                Jurisdiction::Intra => rate.intra_rate,
                Jurisdiction::Indeterminate => rate.indeterminate_rate.or(match self.deck.terms.indeterminate {
                    Indeterminate::Inter => rate.inter_rate,
                    Indeterminate::Intra => rate.intra_rate,
                    Indeterminate::Dearer => rate.inter_rate.max(rate.intra_rate),
                }),
            };
            if let Some(chosen) = chosen {
                (first, next) = (big(chosen), big(chosen));
            }
        }
        if let Some(add) = add {
            first += big(add.first_rate);
            next += big(add.next_rate);
        }
        (first, next)
    }

    /// One increment after another. The result: money in the deck's currency and billed seconds.
    fn time(&self, rate: &Rate, add: Option<&Rate>, duration: i64) -> Result<(BigRational, i64), Unrated> {
        let whole = |seconds: i64| BigRational::from_integer(seconds.into());
        let round_total = self.deck.terms.interval_rule == IntervalRule::RoundTotal && rate.steps.is_empty();
        let mut total = duration;
        if round_total {
            total = total.max(i64::from(rate.first_interval) * SECOND);
            while total % (i64::from(rate.next_interval) * SECOND) != 0 {
                total += SECOND - total % SECOND;
            }
        }
        // Costs by (rate, per), so that the money is multiplied once.
        let mut parts: BTreeMap<(BigRational, u32), i64> = BTreeMap::new();
        let (mut position, mut billed) = (0i64, 0i64);
        while position < total {
            let now = self.ask.rated_at + rate.free + billed * SECOND;
            let mut row = rate;
            if self.deck.terms.band_crossing == BandCrossing::Split && now > self.ask.rated_at {
                row = self
                    .deck
                    .rates
                    .iter()
                    .filter(|r| r.prefix == rate.prefix && r.origin == rate.origin && r.origin_mode == rate.origin_mode)
                    .filter(|r| self.takes_part(r, self.ask.rated_at, now))
                    .max_by_key(|r| r.time_band.is_some())
                    .ok_or(Unrated::NoRate)?;
                if row.status == RowStatus::Blocked {
                    return Err(Unrated::Blocked);
                }
            }
            let (first, next) = self.rates(row, add);
            let (mut seconds, end, price, per) = if let Some(at) = row.steps.iter().rposition(|s| s.from <= position) {
                let step = row.steps[at];
                let end = row.steps.get(at + 1).map_or(total, |s| s.from.min(total));
                if let Some(add) = add {
                    *parts.entry((big(add.next_rate), 60)).or_default() += i64::from(step.increment);
                }
                (i64::from(step.increment), end, big(step.rate), step.per)
            } else if position == 0 && rate.first_interval > 0 {
                let first_interval = i64::from(rate.first_interval);
                (first_interval, (first_interval * SECOND).min(total), first, 60)
            } else {
                (i64::from(row.next_interval), total, next, 60)
            };
            if round_total && row.steps.is_empty() {
                seconds = seconds.min((end - position) / SECOND);
            }
            *parts.entry((price, per)).or_default() += seconds;
            billed += seconds;
            position = (position + seconds * SECOND).min(end);
        }
        let mut money = BigRational::zero();
        for ((price, per), seconds) in parts {
            money += price * whole(seconds) / BigRational::from_integer(per.into());
        }
        Ok((money, billed))
    }

    fn setting<T>(&self, rate: &Rate, get: impl Fn(&Settings) -> Option<T>) -> (Option<T>, bool) {
        if let Some(value) = get(&rate.settings) {
            return (Some(value), false);
        }
        match get(&self.deck.terms.settings) {
            Some(value) => (Some(value), false),
            None => (get(&self.terms.settings), true),
        }
    }

    fn run(&self) -> Result<(Amount, Amount, i64), Unrated> {
        let rate = self.choose(false).ok_or(Unrated::NoRate)?;
        if rate.status == RowStatus::Blocked {
            return Err(Unrated::Blocked);
        }
        let add = self.choose(true);
        let (mut money, mut billed) = (BigRational::zero(), 0);
        let exchange = BigRational::new(self.ask.exchange_rate.into(), 100_000_000.into());
        let raw = self.ask.duration;
        let free = self.setting(rate, |s| s.grace).0.is_some_and(|grace| raw < grace);
        let mut duration = match self.terms.duration_rounding {
            Rounding::None => raw,
            rule => rational_round(rule, &BigRational::new(raw.into(), SECOND.into())).to_i64().unwrap() * SECOND,
        };
        if self.ask.answered && !free && duration > 0 {
            if let (Some(most), _) = self.setting(rate, |s| s.maximum_duration) {
                duration = duration.min(most);
            }
            if let (Some(least), _) = self.setting(rate, |s| s.minimum_duration) {
                duration = duration.max(least);
            }
            duration -= rate.free;
            money += big(rate.connect_fee) + add.map_or(BigRational::zero(), |add| big(add.connect_fee));
            if duration > 0 {
                let (time, seconds) = self.time(rate, add, duration)?;
                (money, billed) = (money + time, seconds);
            }
            let disconnect = self.setting(rate, |s| s.disconnect_fee);
            let bounds = |money: BigRational, agreement: bool| {
                let sign = if money.is_negative() {
                    -BigRational::from_integer(1.into())
                } else {
                    BigRational::from_integer(1.into())
                };
                let mut size = money.abs();
                if let (Some(least), outer) = self.setting(rate, |s| s.minimum_amount)
                    && outer == agreement
                {
                    size = size.max(big(least));
                }
                if let (Some(most), outer) = self.setting(rate, |s| s.maximum_amount)
                    && outer == agreement
                {
                    size = size.min(big(most));
                }
                size * sign
            };
            if let (Some(fee), false) = disconnect {
                money += big(fee);
            }
            money += add.and_then(|add| add.settings.disconnect_fee).map_or(BigRational::zero(), big);
            money = bounds(money, false) * &exchange;
            if let (Some(fee), true) = disconnect {
                money += big(fee);
            }
            money = bounds(money, true);
        }
        if self.ask.attempted {
            match self.setting(rate, |s| s.attempt_fee) {
                (Some(fee), true) => money += big(fee),
                (Some(fee), false) => money += big(fee) * &exchange,
                (None, _) => {}
            }
            money += add.and_then(|add| add.settings.attempt_fee).map_or(BigRational::zero(), big) * &exchange;
        }
        let tax = BigRational::new((1_000_000 + self.terms.tax_percent).into(), 1_000_000.into());
        Ok((self.rounded(&money), self.rounded(&(money * tax)), billed))
    }

    fn rounded(&self, money: &BigRational) -> Amount {
        let rule = self.terms.amount_rounding;
        let decimals = if rule == Rounding::None { 12 } else { u32::from(self.terms.amount_decimals) };
        let scaled = money * BigRational::from_integer(BigInt::from(10).pow(decimals));
        let rounded = rational_round(rule, &scaled) * BigInt::from(10).pow(12 - decimals);
        Amount(rounded.to_i128().unwrap())
    }
}

fn rational_round(rule: Rounding, value: &BigRational) -> BigInt {
    let half = BigRational::new(1.into(), 2.into());
    let down = value.abs().floor();
    let rest = value.abs() - &down;
    let even = (down.to_integer() % BigInt::from(2)).is_zero();
    let up = match rule {
        Rounding::Up => !rest.is_zero(),
        Rounding::Down => false,
        Rounding::HalfUp | Rounding::None => rest >= half,
        Rounding::HalfEven => rest > half || (rest == half && !even),
    };
    let size = down.to_integer() + if up { BigInt::from(1) } else { BigInt::zero() };
    if value.is_negative() { -size } else { size }
}

#[test]
fn random_tariffs_price_random_calls_as_the_plain_rules_do() {
    let mut dice = Dice(SEED);
    let rules = [Rounding::Up, Rounding::Down, Rounding::HalfUp, Rounding::HalfEven, Rounding::None];
    let (mut priced, mut refused, mut crossed) = (0, 0, 0);
    let mut case = 0;
    let zones = jiff::tz::TimeZoneDatabase::bundled();
    while case < CASES {
        let deck = random_deck(&mut dice);
        let zone = zones.get(&deck.terms.time_zone).unwrap();
        let compiled = CompiledDeck::compile_with_ties(&deck).unwrap(); // bands overlap here: the later row counts in both
        for _ in 0..20 {
            case += 1;
            let called = {
                let len = 1 + dice.below(8);
                dice.digits(len)
            };
            let callers = ["4312345678", "4915123456", "123", "12015550100", "1234567890123456"];
            let caller = (!dice.one_in(8)).then(|| *dice.pick(&callers));
            let length = *dice.pick(&[10, 100, 1_000, 9_000]);
            let mut duration = dice.below(length) as i64 * SECOND;
            if dice.one_in(3) {
                duration += dice.below(2_000_000) as i64;
            }
            let terms = Terms {
                duration_rounding: *dice.pick(&rules),
                amount_rounding: *dice.pick(&rules),
                amount_decimals: dice.below(13) as u8,
                tax_percent: *dice.pick(&[0, 230_000, 76_543]),
                settings: dice.settings(12),
            };
            let ask = Ask {
                rated_at: DAY0 + dice.below(3 * 86_400_000_000) as i64,
                duration,
                answered: !dice.one_in(8),
                attempted: dice.one_in(2),
                jurisdiction: *dice.pick(&[Jurisdiction::Inter, Jurisdiction::Intra, Jurisdiction::Indeterminate]),
                exchange_rate: *dice.pick(&[SAME_CURRENCY, SAME_CURRENCY, 92_345_678, 15_000_012_345]),
            };
            let plain = Plain { deck: &deck, zone: &zone, terms: &terms, ask: &ask, called: &called, caller }.run();
            let number = E164::from_digits(&called).unwrap();
            let caller = caller.map(|c| E164::from_digits(c).unwrap());
            let mut notes = Vec::new();
            let ours = compiled
                .find(&number, compiled.origin_of(caller.as_ref()), ask.rated_at)
                .and_then(|chosen| price(&compiled, chosen, &terms, &ask, &mut notes))
                .map(|p| (p.net, p.gross, p.billed / SECOND));
            assert_eq!(ours, plain, "seed {SEED} case {case}: {called} {ask:?} {terms:?}\n{notes:?}\n{deck:#?}");
            priced += usize::from(ours.is_ok());
            refused += usize::from(ours.is_err());
            crossed += usize::from(notes.len() > 6);
        }
    }
    // The dice are fixed, so this says that the cases are the interesting ones.
    assert!(priced > CASES / 3 && refused > CASES / 10 && crossed > CASES / 50, "{priced} {refused} {crossed}");
}

#[test]
fn a_deck_is_refused_by_name_when_a_row_names_what_it_does_not_define() {
    let mut deck = random_deck(&mut Dice(7));
    deck.rates[0].time_band = Some("noon".into());
    let error = CompiledDeck::compile(&deck).err().map(|error| error.to_string());
    let prefix = deck.rates[0].prefix;
    assert_eq!(error, Some(format!("row {prefix} names the time band \"noon\", which the deck does not define")));
    let mut terms = deck.terms.clone();
    terms.time_zone = "Europe/Atlantis".into();
    assert!(matches!(deck::DeckBuilder::new("d", 1, &terms), Err(rating::CompileError::Zone { .. })));
}
