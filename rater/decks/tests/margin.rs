//! A made sell deck beside the rater itself: random vendors with every fee, surcharge and increment there is, random
//! agreements that round, random calls. What the customer is charged covers what the vendor is paid, with the margin.

use decks::life::Rows;
use decks::make::{Buy, Recipe, Rounds, Selling, make, union};
use facts::deck::{
    BandCrossing, DeckTerms, IntervalRule, OriginGroup, OriginMode, Price, Rate, RateDeck, RowStatus, Settings, Step,
    TimeBand,
};
use facts::money::{Currency, Rounding, format_scaled};
use facts::number::{E164, Prefix};
use rating::CompiledDeck;
use rating::price::{Ask, Jurisdiction, SAME_CURRENCY, Terms, price};
use smol_str::SmolStr;
use std::collections::BTreeSet;

const SEED: u64 = 20_261_122;
const DECKS: usize = 250;
const CALLS: usize = 60;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const WHOLE: i128 = 1_000_000;

const INCREMENTS: [(u32, u32); 6] = [(1, 1), (60, 60), (30, 6), (60, 1), (0, 7), (13, 11)];

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % n as u64) as i64
    }
    fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }
    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as i64) as usize].clone()
    }
    fn price(&mut self) -> Price {
        // Some with four decimals as carriers send them, some with ten.
        Price(if self.one_in(2) { self.below(3_000) * 1_000_000 } else { self.below(900_000_000) })
    }
    fn code(&mut self, most: i64) -> String {
        (0..=self.below(most)).map(|_| char::from(b'1' + self.below(3) as u8)).collect()
    }
}

fn settings(dice: &mut Dice) -> Settings {
    let mut settings = Settings::default();
    let seconds = dice.below(40) * SECOND;
    match dice.below(9) {
        0 => settings.attempt_fee = Some(dice.price()),
        1 => settings.disconnect_fee = Some(dice.price()),
        2 => settings.minimum_amount = Some(dice.price()),
        3 => settings.minimum_duration = Some(seconds),
        4 => settings.grace = Some(seconds),
        _ => {}
    }
    settings
}

fn other_hours(dice: &mut Dice, rate: &Rate) -> Rate {
    let (first_interval, next_interval) = dice.pick(&INCREMENTS);
    let next_rate = dice.price();
    let first_rate = if dice.one_in(3) { dice.price() } else { next_rate };
    Rate { first_interval, next_interval, first_rate, next_rate, ..rate.clone() }
}

fn vendor(dice: &mut Dice) -> RateDeck {
    let mut terms = DeckTerms::new(Currency::new("USD").unwrap());
    terms.band_crossing = dice.pick(&[BandCrossing::Start, BandCrossing::Split]);
    terms.interval_rule = dice.pick(&[IntervalRule::Anchored, IntervalRule::Anchored, IntervalRule::RoundTotal]);
    let days: Vec<SmolStr> = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(Into::into).to_vec();
    terms.time_bands = vec![TimeBand { name: "night".into(), days, from: 1_200, until: 480 }];
    let group = |name: &str, prefixes: &[&str], malformed| OriginGroup {
        name: name.into(),
        prefixes: prefixes.iter().map(|p| Prefix::new(p).unwrap()).collect(),
        malformed,
    };
    terms.origin_groups = vec![group("near", &["43", "49"], false), group("bad", &[], true)];
    let (mut rates, mut keys) = (Vec::new(), BTreeSet::new());
    for _ in 0..1 + dice.below(14) {
        let (first, next) = dice.pick(&INCREMENTS);
        let mut rate = Rate::simple(Prefix::new(&dice.code(4)).unwrap(), "X", first, next, dice.price());
        rate.first_rate = if dice.one_in(3) { dice.price() } else { rate.next_rate };
        rate.connect_fee = if dice.one_in(4) { dice.price() } else { Price(0) };
        rate.time_band = dice.one_in(3).then(|| "night".into());
        rate.origin = dice.one_in(3).then(|| dice.pick(&["near", "bad"]).into());
        if rate.origin.is_some() && dice.one_in(2) || dice.one_in(12) {
            rate.origin_mode = OriginMode::Add;
        }
        rate.settings = settings(dice);
        if rate.origin_mode == OriginMode::Replace {
            rate.free = if dice.one_in(10) { dice.below(40) * SECOND } else { 0 };
            rate.status = if dice.one_in(15) { RowStatus::Blocked } else { RowStatus::Open };
            if dice.one_in(8) {
                (rate.inter_rate, rate.intra_rate) = (Some(dice.price()), dice.one_in(2).then(|| dice.price()));
            }
            // What hours do to steps of their own is in no price, and said so.
            if dice.one_in(10) && terms.band_crossing == BandCrossing::Start {
                let step = |from, dice: &mut Dice| Step { from, rate: dice.price(), per: 60, increment: 6 };
                rate.steps = vec![step(0, dice), step((1 + dice.below(300)) * SECOND, dice)];
            }
        }
        rate.valid_from = dice.one_in(4).then(|| dice.below(3) * DAY);
        // By day the same numbers have other increments and rates: a call may run from one into the other.
        let by_day = rate.time_band.is_some() && rate.steps.is_empty();
        let both = by_day.then(|| Rate { time_band: None, ..other_hours(dice, &rate) });
        for rate in [Some(rate), both].into_iter().flatten() {
            let adds = rate.origin_mode == OriginMode::Add;
            if keys.insert((rate.prefix, rate.origin.clone(), rate.time_band.clone(), adds)) {
                rates.push(rate);
            }
        }
    }
    RateDeck { id: "v".into(), version: 1, terms, rates }
}

fn terms(dice: &mut Dice) -> Terms {
    let all = [Rounding::Up, Rounding::Down, Rounding::HalfUp, Rounding::HalfEven, Rounding::None];
    Terms {
        duration_rounding: dice.pick(&all),
        amount_rounding: dice.pick(&all),
        amount_decimals: dice.pick(&[2, 4, 5, 6, 6, 12]),
        ..Terms::default()
    }
}

fn rounds(terms: &Terms) -> [Rounds; 1] {
    let (duration, amount, decimals) = (terms.duration_rounding, terms.amount_rounding, terms.amount_decimals);
    [Rounds { duration, amount, decimals, exchange: SAME_CURRENCY }]
}

/// A deck made of one vendor's, with all that a call by it depends on.
struct World {
    recipe: Recipe,
    bought: CompiledDeck,
    sold: CompiledDeck,
    buy: Terms,
    sell: Terms,
    text: String,
}

fn world(dice: &mut Dice) -> World {
    let (deck, buy, sell) = (vendor(dice), terms(dice), terms(dice));
    let increment = dice.pick(&["1/1", "60/60", "30/6", "6/6", "vendor"]);
    let fees = dice.pick(&["", "connect_fee = \"in-rate\"\n", "attempt_fee = \"in-rate\"\nanswer_ratio = \"37.5\"\n"]);
    let percent = format_scaled(i128::from(dice.below(600_000)), 4, 0);
    let (amount, minimum, decimals) = (Price(dice.below(9_000_000)), Price(dice.below(9_000_000)), 3 + dice.below(4));
    let text = format!(
        "deck = \"s\"\nbuy = [\"v\"]\nincrement = \"{increment}\"\ndecimals = {decimals}\nlongest_seconds = 3601\n{fees}\
         [margin]\npercent = \"{percent}\"\namount = \"{amount}\"\nminimum = \"{minimum}\""
    );
    let recipe = Recipe::parse(&text).unwrap();
    let split = deck.terms.band_crossing == BandCrossing::Split;
    let (name, rows, by) = (SmolStr::from("v"), Rows::of(deck.rates.clone()), rounds(&buy));
    let buys =
        [Buy { name: &name, rows: &rows, rule: deck.terms.interval_rule, split, exchange: SAME_CURRENCY, rounds: &by }];
    let selling = Selling { effective: 0, rule: IntervalRule::Anchored, rounds: &rounds(&sell) };
    let made = make(&recipe, &buys, &union(&buys, 0), &selling).unwrap();
    let own = DeckTerms::new(deck.terms.currency);
    let sold = RateDeck { id: "s".into(), version: 1, terms: own, rates: made.rates };
    let (bought, compiled) =
        (CompiledDeck::compile_with_ties(&deck).unwrap(), CompiledDeck::compile_with_ties(&sold).unwrap());
    let text = format!("{text}\nbought by {buy:?}\nsold by {sell:?}\n{:#?}\n{:#?}", deck.rates, sold.rates);
    World { recipe, bought, sold: compiled, buy, sell, text }
}

/// Net and billed seconds of one call by a deck.
fn charged(deck: &CompiledDeck, terms: &Terms, number: &E164, caller: &E164, ask: &Ask) -> Option<(i128, i128)> {
    let chosen = deck.find(number, deck.origin_of(Some(caller)), ask.rated_at).ok()?;
    let priced = price(deck, chosen, terms, ask, &mut ()).ok()?;
    Some((priced.net.0, i128::from(priced.billed / SECOND)))
}

#[test]
fn what_a_customer_is_charged_covers_what_the_vendor_is_paid_behind_fees_surcharges_and_roundings() {
    let mut dice = Dice(SEED);
    let (mut compared, mut dearer) = (0usize, 0usize);
    for round in 0..DECKS {
        let world = world(&mut dice);
        let margin = world.recipe.margin;
        let (percent, amount, minimum) =
            (i128::from(margin.percent), i128::from(margin.amount.0) * 100, i128::from(margin.minimum.0) * 100);
        for _ in 0..CALLS {
            let number = E164::from_digits(&format!("{}777777", dice.code(4))).unwrap();
            let caller = E164::from_digits(dice.pick(&["4312345678", "12015550100", "123"])).unwrap();
            // Half of the calls begin shortly before an hour at which the band changes.
            let near = (dice.below(5) * 24 + dice.pick(&[8, 20])) * 3_600 * SECOND - dice.below(200) * SECOND;
            let ask = Ask {
                rated_at: if dice.one_in(2) { near } else { dice.below(5 * DAY) },
                duration: SECOND
                    + dice.below(if dice.0.is_multiple_of(2) { 70 } else { 3_599 }) * SECOND
                    + dice.below(3) * 499_999,
                answered: true,
                attempted: true,
                jurisdiction: dice.pick(&[Jurisdiction::Inter, Jurisdiction::Intra, Jurisdiction::Indeterminate]),
                exchange_rate: SAME_CURRENCY,
            };
            let both = |ask: &Ask| {
                let paid = charged(&world.bought, &world.buy, &number, &caller, ask)?;
                Some((paid.0, charged(&world.sold, &world.sell, &number, &caller, ask)?))
            };
            let Some((paid, (got, billed))) = both(&ask) else { continue };
            let say = |what: &str| {
                format!(
                    "seed {SEED} round {round}: {what}, paid {paid}, got {got}: {number} from {caller} {ask:?}\n{}",
                    world.text
                )
            };
            let missed = Ask { answered: false, duration: 0, ..ask };
            let (lost, (brought, _)) = both(&missed).unwrap();
            // Of a thousand calls 375 are answered; otherwise every attempt pays for itself.
            let paid = if world.recipe.answer_ratio < WHOLE as i64 { paid * 375 + lost * 625 } else { paid * 375 };
            assert!(
                world.recipe.answer_ratio < WHOLE as i64 || brought * WHOLE >= lost * (WHOLE + percent),
                "{}",
                say("an attempt")
            );
            let got = got * 375;
            assert!(
                got * 60 * WHOLE >= paid * 60 * (WHOLE + percent) + amount * billed * WHOLE * 375,
                "{}",
                say("margin")
            );
            assert!(got * 60 >= paid * 60 + minimum * billed * 375, "{}", say("least margin"));
            compared += 1;
            dearer += usize::from(got > paid * 2);
        }
    }
    assert!(
        compared > DECKS * 15 && dearer < compared * 3 / 4,
        "{compared} compared, {dearer} at more than twice the cost"
    );
}
