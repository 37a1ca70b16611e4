//! What must hold for every tariff, whatever it says: a longer call never costs less, a tariff cut into two equal bands
//! is the same tariff, and the order in which a file lists its rows is nobody's price.

#![allow(clippy::disallowed_macros)] // a test may say its seed

mod random;

use facts::deck::{Price, Rate, RateDeck, TimeBand};
use facts::money::Amount;
use facts::number::E164;
use facts::xdr::Unrated;
use random::{DAY0, Dice, SECOND, random_deck};
use rating::CompiledDeck;
use rating::price::{Ask, Jurisdiction, SAME_CURRENCY, Terms, price};

const SEED: u64 = 20_261_122;
const DECKS: usize = 2_000;

struct Asked {
    number: E164,
    caller: E164,
    ask: Ask,
    terms: Terms,
}

fn ask(dice: &mut Dice, duration: i64) -> Asked {
    let length = 1 + dice.below(8);
    let terms = Terms { amount_decimals: dice.below(13) as u8, settings: dice.settings(12), ..Terms::default() };
    Asked {
        number: E164::from_digits(&dice.digits(length)).unwrap(),
        caller: E164::from_digits(["4312345678", "4915123456", "123", "12015550100"][dice.below(4) as usize]).unwrap(),
        terms,
        ask: Ask {
            rated_at: DAY0 + dice.below(3 * 86_400_000_000) as i64,
            duration,
            answered: true,
            attempted: dice.one_in(2),
            jurisdiction: *dice.pick(&[Jurisdiction::Inter, Jurisdiction::Intra, Jurisdiction::Indeterminate]),
            exchange_rate: *dice.pick(&[SAME_CURRENCY, 92_345_678]),
        },
    }
}

fn priced(deck: &CompiledDeck, asked: &Asked) -> Result<(Amount, Amount, i64), Unrated> {
    let chosen = deck.find(&asked.number, deck.origin_of(Some(&asked.caller)), asked.ask.rated_at)?;
    price(deck, chosen, &asked.terms, &asked.ask, &mut ()).map(|priced| (priced.net, priced.gross, priced.billed))
}

/// Every price of a row, made what `each` says.
fn each_price(rate: &mut Rate, each: impl Fn(Price) -> Price) {
    for price in [&mut rate.first_rate, &mut rate.next_rate, &mut rate.connect_fee] {
        *price = each(*price);
    }
    let settings = &mut rate.settings;
    let maybe = [
        &mut rate.inter_rate,
        &mut rate.intra_rate,
        &mut rate.indeterminate_rate,
        &mut settings.attempt_fee,
        &mut settings.disconnect_fee,
    ];
    for price in maybe.into_iter().flatten() {
        *price = each(*price);
    }
    rate.steps.iter_mut().for_each(|step| step.rate = each(step.rate));
}

#[test]
fn a_longer_call_never_costs_less() {
    println!("seed {SEED}, {DECKS} decks");
    let mut dice = Dice(SEED);
    let (mut compared, mut rose) = (0, 0);
    for round in 0..DECKS {
        let mut deck = random_deck(&mut dice);
        deck.rates.iter_mut().for_each(|rate| each_price(rate, |price| Price(price.0.abs())));
        let compiled = CompiledDeck::compile_with_ties(&deck).unwrap();
        let mut asked = ask(&mut dice, 0);
        let mut last = Amount(0);
        let mut duration = dice.below(30) as i64 * SECOND;
        for _ in 0..20 {
            asked.ask.duration = duration;
            // Into a band without a rate no longer call has a price either.
            let Ok((net, ..)) = priced(&compiled, &asked) else { break };
            assert!(net >= last, "seed {SEED} round {round}: {duration} us cost {net}, less than {last}\n{deck:#?}");
            compared += 1;
            rose += usize::from(net > last);
            last = net;
            duration += dice.below(200 * 1_000_000) as i64 + 1;
        }
    }
    assert!(compared > DECKS * 5 && rose > compared / 3, "{compared} {rose}");
}

#[test]
fn a_tariff_cut_into_two_equal_bands_is_the_same_tariff() {
    println!("seed {SEED}, {DECKS} decks");
    let mut dice = Dice(SEED + 1);
    let (mut compared, mut with_price) = (0, 0);
    for round in 0..DECKS {
        let mut deck = random_deck(&mut dice);
        deck.rates.iter_mut().for_each(|rate| rate.time_band = None);
        deck.rates.dedup_by_key(|rate| rate.prefix);
        deck.terms.holidays.clear();
        let cut = 1 + dice.below(1_439) as u16;
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(Into::into).to_vec();
        let band = |name: &str, from, until| TimeBand { name: name.into(), days: days.clone(), from, until };
        deck.terms.time_bands = vec![band("a", 0, cut), band("b", cut, 1_440)];
        let whole = CompiledDeck::compile(&deck).unwrap();
        let halves = |rate: &Rate| ["a", "b"].map(|band| Rate { time_band: Some(band.into()), ..rate.clone() });
        let split = RateDeck { rates: deck.rates.iter().flat_map(halves).collect(), ..deck.clone() };
        let split = CompiledDeck::compile(&split).unwrap();
        for _ in 0..10 {
            let length = *dice.pick(&[100, 5_000, 90_000]);
            let duration = dice.below(length) as i64 * SECOND + dice.below(2) as i64 * 300_000;
            let asked = ask(&mut dice, duration);
            let (one, two) = (priced(&whole, &asked), priced(&split, &asked));
            assert_eq!(one, two, "seed {SEED} round {round}, cut at minute {cut}: {:?}\n{deck:#?}", asked.ask);
            compared += 1;
            with_price += usize::from(one.is_ok());
        }
    }
    assert!(with_price > compared / 3, "{with_price} of {compared}");
}

#[test]
fn the_order_of_rows_is_nobodys_price() {
    println!("seed {SEED}, {DECKS} decks");
    let mut dice = Dice(SEED + 2);
    let (mut tied, mut with_price) = (0, 0);
    for round in 0..DECKS {
        let deck = random_deck(&mut dice);
        let Ok(compiled) = CompiledDeck::compile(&deck) else {
            tied += 1;
            continue;
        };
        let mut shuffled = deck.clone();
        for at in (1..shuffled.rates.len()).rev() {
            shuffled.rates.swap(at, dice.below(at as u64 + 1) as usize);
        }
        let other = CompiledDeck::compile(&shuffled).unwrap();
        for _ in 0..10 {
            let duration = dice.below(9_000) as i64 * SECOND;
            let asked = ask(&mut dice, duration);
            let (one, two) = (priced(&compiled, &asked), priced(&other, &asked));
            assert_eq!(one, two, "seed {SEED} round {round}: {:?}\n{deck:#?}", asked.ask);
            with_price += usize::from(one.is_ok());
        }
    }
    // Bands that overlap tie; such decks are refused in whatever order.
    assert!(tied > DECKS / 20 && tied < DECKS / 2 && with_price > DECKS, "{tied} {with_price}");
}
