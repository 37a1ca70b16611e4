//! What truly happened: calls with their attempts, numbers and instants, each made from the seed and its index alone.
//! Knows nothing of prices, nothing of how switches report it.

use crate::base::{Base, Country};
use crate::dice::{Dice, mix};
use crate::shape;
use crate::sheets::{closes, covers};
use crate::world::{Customer, Profile, Recognised, VENDORS, World};
use facts::E164;
use smol_str::{SmolStr, ToSmolStr, format_smolstr};

const SECOND: i64 = 1_000_000;

/// How often things go wrong, in a million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaws {
    /// The same event again, with its id.
    pub repeated: u32,
    /// The same event again under another id, as a node does that lost its place.
    pub resent: u32,
    /// Calls of which an answer or end arrives before what it follows.
    pub swapped: u32,
    /// Calls whose events arrive up to an hour late.
    pub late: u32,
    /// Calls of which one event arrives up to 20 hours late.
    pub very_late: u32,
    /// Calls whose end is lost though proofs of life came.
    pub estimated: u32,
    /// Calls whose end is lost and that nothing is known of: suspense.
    pub suspended: u32,
    /// Calls of which the end arrives when an estimate is long booked.
    pub late_truth: u32,
    /// Calls from an address that no trunk has.
    pub unknown_trunk: u32,
    /// Attempts towards an address that no trunk has.
    pub unknown_vendor: u32,
    /// Numbers that no deck prices.
    pub unknown_number: u32,
    /// What is dialled is no number.
    pub bad_number: u32,
    /// Attempts at a vendor that does not sell the country.
    pub misrouted: u32,
}

impl Default for Flaws {
    fn default() -> Self {
        Self {
            repeated: 1_000,
            resent: 100,
            swapped: 1_000,
            late: 20_000,
            very_late: 900,
            estimated: 200,
            suspended: 200,
            late_truth: 50,
            unknown_trunk: 1_000,
            unknown_vendor: 200,
            unknown_number: 3_000,
            bad_number: 1_000,
            misrouted: 1_000,
        }
    }
}

impl Flaws {
    /// Ten times as many as by default (some five, some twenty times, all but late events): a short day has all kinds.
    pub fn many() -> Self {
        let f = Self::default();
        Self {
            repeated: f.repeated * 10,
            resent: f.resent * 10,
            swapped: f.swapped * 10,
            late: f.late,
            very_late: f.very_late * 10,
            estimated: f.estimated * 10,
            suspended: f.suspended * 10,
            late_truth: f.late_truth * 20,
            unknown_trunk: f.unknown_trunk * 10,
            unknown_vendor: f.unknown_vendor * 20,
            unknown_number: f.unknown_number * 5,
            bad_number: f.bad_number * 10,
            misrouted: f.misrouted * 10,
        }
    }

    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self {
            repeated: 0,
            resent: 0,
            swapped: 0,
            late: 0,
            very_late: 0,
            estimated: 0,
            suspended: 0,
            late_truth: 0,
            unknown_trunk: 0,
            unknown_vendor: 0,
            unknown_number: 0,
            bad_number: 0,
            misrouted: 0,
        }
    }
}

/// What will be known of a call's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Known,
    /// The end is lost; this was the last proof of life.
    Estimated {
        last_life: i64,
    },
    /// Neither end nor proof of life.
    Suspended,
    /// Estimated first, the true end comes a day later.
    LateTruth {
        last_life: i64,
    },
}

/// One try at one vendor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Place among the vendors; `None` = an address that no trunk has.
    pub vendor: Option<usize>,
    pub started_at: i64,
    pub pdd: Option<i64>,
    pub answered_at: Option<i64>,
    pub ended_at: i64,
    pub sip_code: u16,
    pub q850: u16,
}

/// A call as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrueCall {
    pub index: u64,
    /// Edge node, 0 to 2.
    pub node: u8,
    /// Place among the customers; `None` = from an address that no trunk has.
    pub customer: Option<usize>,
    pub premium: bool,
    /// As sent.
    pub called: SmolStr,
    /// What is to be rated; `None` where `called` is no number.
    pub number: Option<E164>,
    pub caller: SmolStr,
    pub started_at: i64,
    pub answered_at: Option<i64>,
    pub ended_at: i64,
    pub sip_code: u16,
    pub q850: u16,
    pub attempts: Vec<Attempt>,
    pub fate: Fate,
}

impl TrueCall {
    pub fn key(&self) -> SmolStr {
        format_smolstr!("c{:x}-{}", mix(self.index, 0x6b) >> 40, self.index)
    }

    pub fn attempt_key(&self, place: usize) -> SmolStr {
        format_smolstr!("b{}-{}", self.index, place + 1)
    }

    /// The end that will be on the books: the true one, or the last proof of life.
    pub fn booked_end(&self) -> i64 {
        match self.fate {
            Fate::Estimated { last_life } => last_life,
            _ => self.ended_at,
        }
    }
}

/// Where one customer's calls go.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Places of destinations, dearest to the customer first.
    pub destinations: Vec<u32>,
    /// Cumulative weights, falling as Zipf has it.
    weights: Vec<u64>,
    /// Rising.
    pub countries: Vec<Country>,
    /// Callers of its own, as many as it has.
    callers: u64,
}

/// Makes calls.
#[derive(Clone, Debug)]
pub struct Maker {
    pub seed: u64,
    pub world: World,
    pub base: Base,
    pub targets: Vec<Targets>,
    pub flaws: Flaws,
}

impl Maker {
    pub fn new(seed: u64, world: World, base: Base, flaws: Flaws) -> Self {
        let targets =
            world.customers.iter().enumerate().map(|(at, customer)| targets(seed, &base, at, customer)).collect();
        Self { seed, world, base, targets, flaws }
    }

    /// The call of that index. `customer` is who makes it, unless the call comes from nowhere.
    pub fn call(&self, index: u64, started_at: i64, customer: usize) -> TrueCall {
        let mut dice = Dice::new(self.seed, 0xca11, index);
        let profile = self.world.customers[customer].profile;
        let known = (!dice.chance(self.flaws.unknown_trunk)).then_some(customer);
        let premium = self.world.customers[customer].products() > 1 && dice.chance(300_000);
        let (called, number, destination) = self.dial(customer, known, premium, &mut dice);
        let caller = self.caller(customer, profile, &mut dice);
        let mut call = TrueCall {
            index,
            node: (mix(index, 0x0de) % 3) as u8,
            customer: known,
            premium,
            called,
            number,
            caller,
            started_at,
            answered_at: None,
            ended_at: started_at,
            sip_code: 404,
            q850: 1,
            attempts: Vec::new(),
            fate: Fate::Known,
        };
        // One in fifty is refused before any vendor is tried.
        if dice.chance(20_000) {
            call.ended_at = started_at + dice.between(5_000, 300_000);
            return call;
        }
        self.attempt(&mut call, profile, destination, &mut dice);
        self.decide_fate(&mut call, &mut dice);
        call
    }

    /// What is dialled, what it means, and its country.
    fn dial(
        &self,
        customer: usize,
        known: Option<usize>,
        premium: bool,
        dice: &mut Dice,
    ) -> (SmolStr, Option<E164>, Country) {
        let party = &self.world.customers[customer];
        // Without its tech prefix such a customer would not be recognised at all.
        let needs_digits = party.recognised == Recognised::TechPrefix { told: false };
        if !needs_digits && dice.chance(self.flaws.bad_number) {
            let text = *dice.pick(&["anonymous", "", "*98", "sip:conference@example.net", "49a30"]);
            return (SmolStr::new_static(text), None, 0);
        }
        let number = if dice.chance(self.flaws.unknown_number) {
            let code = *dice.pick(&["210", "214", "259", "288", "671", "699", "835", "889", "999"]);
            format!("{code}{:08}", dice.below(100_000_000))
        } else {
            let targets = &self.targets[customer];
            let destination = targets.destinations[dice.cumulative(&targets.weights)];
            self.base.number(destination, dice)
        };
        let rated = E164::from_digits(&number).ok();
        let country = crate::base::country(&number);
        let Some(known) = known else { return (number.to_smolstr(), rated, country) };
        (self.written(&self.world.customers[known], premium, &number, dice), rated, country)
    }

    /// The number as this customer sends it.
    fn written(&self, customer: &Customer, premium: bool, number: &str, dice: &mut Dice) -> SmolStr {
        let tech = customer.tech_prefix(premium);
        let access = customer.access;
        if !tech.is_empty() || !access.is_empty() {
            return format_smolstr!("{tech}{access}{number}");
        }
        match dice.below(10) {
            0..=1 => format_smolstr!("+{number}"),
            2 => format_smolstr!("sip:+{number}@203.0.113.7;user=phone"),
            3 => format_smolstr!("tel:+{number}"),
            _ => number.to_smolstr(),
        }
    }

    fn caller(&self, customer: usize, profile: Profile, dice: &mut Dice) -> SmolStr {
        match dice.below(1_000) {
            0..=4 => SmolStr::default(),
            5..=9 => SmolStr::new_static("anonymous"),
            10..=13 => SmolStr::new_static("Restricted"),
            14..=17 => format_smolstr!("{:04}", dice.below(10_000)),
            18..=19 => format_smolstr!("{:016}", dice.below(10_000_000_000_000_000)),
            _ => {
                let home = [49, 44, 33, 39, 1, 31, 34, 48, 43, 41][customer % 10];
                let pool = match profile {
                    // Machines use a number once.
                    Profile::Dialler | Profile::Fraud => 1_000_000_000,
                    _ => self.targets[customer].callers,
                };
                format_smolstr!("{home}{:09}", mix(customer as u64, dice.below(pool)) % 1_000_000_000)
            }
        }
    }

    fn attempt(&self, call: &mut TrueCall, profile: Profile, country: Country, dice: &mut Dice) {
        let mut at = call.started_at + dice.between(2_000, 90_000);
        // Where nobody lives hardly anybody answers.
        let lives = self.base.lives(country);
        let chance = shape::answer_chance(profile) / if lives { 1 } else { 8 };
        let mut tried = [false; VENDORS];
        for turn in 0..3 {
            let vendor = self.vendor(country, at, &mut tried, dice);
            let pdd = shape::post_dial(dice);
            if dice.chance(chance) {
                self.answer(call, vendor, at, pdd, profile, dice);
                return;
            }
            let (sip_code, q850, again) = shape::failure(dice);
            let rang = matches!(sip_code, 486 | 487 | 480 | 603);
            let took = if rang { pdd + shape::ring(dice) / 2 } else { dice.between(20_000, 4 * SECOND) };
            let attempt = Attempt {
                vendor,
                started_at: at,
                pdd: rang.then_some(pdd),
                answered_at: None,
                ended_at: at + took,
                sip_code,
                q850,
            };
            at = attempt.ended_at + dice.between(1_000, 60_000);
            call.attempts.push(attempt);
            (call.ended_at, call.sip_code, call.q850) = (at, sip_code, q850);
            if !again || turn == 2 || dice.chance(250_000) {
                return;
            }
        }
    }

    /// A vendor that has not been tried yet; as a rule one that sells the country at that time.
    fn vendor(&self, country: Country, at: i64, tried: &mut [bool; VENDORS], dice: &mut Dice) -> Option<usize> {
        if dice.chance(self.flaws.unknown_vendor) {
            return None;
        }
        let any = dice.chance(self.flaws.misrouted);
        let sells = |vendor: usize| {
            covers(self.seed, vendor, country)
                && !(closes(self.seed, vendor, country) && at >= self.world.noon() - 60 * SECOND)
        };
        let order = mix(self.seed, u64::from(country));
        // Each country has its own order of preference; one call in four goes elsewhere.
        let first = if dice.chance(250_000) { dice.below(VENDORS as u64) } else { order % VENDORS as u64 };
        let fits = |vendor: &usize| !tried[*vendor] && (any || sells(*vendor));
        let vendor = (0..VENDORS).map(|step| (first as usize + step * 3) % VENDORS).find(fits).unwrap_or(0);
        tried[vendor] = true;
        Some(vendor)
    }

    fn answer(&self, call: &mut TrueCall, vendor: Option<usize>, at: i64, pdd: i64, profile: Profile, dice: &mut Dice) {
        let answered = at + pdd + shape::ring(dice);
        let talk = shape::talk(profile, dice);
        let ended = answered + talk;
        // One call in five is seen on both legs apart, some milliseconds from each other.
        let apart = dice.chance(200_000);
        let shift = |dice: &mut Dice| if apart { dice.between(1_000, 180_000) } else { 0 };
        let (later, sooner) = (shift(dice), shift(dice));
        call.attempts.push(Attempt {
            vendor,
            started_at: at,
            pdd: Some(pdd),
            answered_at: Some(answered),
            ended_at: ended,
            sip_code: 200,
            q850: 16,
        });
        call.answered_at = Some(answered + later);
        // Who hangs up first ends first.
        let ended = if dice.chance(500_000) { ended + sooner } else { ended - sooner };
        call.ended_at = ended.max(answered + later);
        (call.sip_code, call.q850) = (200, 16);
    }

    fn decide_fate(&self, call: &mut TrueCall, dice: &mut Dice) {
        let roll = dice.below(1_000_000) as u32;
        let flaws = &self.flaws;
        let (estimated, truth) = (flaws.estimated, flaws.estimated + flaws.late_truth);
        if roll < truth {
            let Some(answered) = call.answered_at else { return };
            // Proofs of life need a call that lives a while; what arrives a day later must arrive within two.
            let early = call.started_at < self.world.day + 18 * 3_600 * SECOND;
            if call.ended_at - answered < 30 * SECOND || (roll >= estimated && !early) {
                return;
            }
            let step = ((call.ended_at - answered) / 3).min(900 * SECOND);
            let last_life = answered + (call.ended_at - answered - SECOND) / step * step;
            call.fate = if roll < estimated { Fate::Estimated { last_life } } else { Fate::LateTruth { last_life } };
        } else if roll < truth + flaws.suspended {
            call.fate = Fate::Suspended;
        }
    }
}

fn targets(seed: u64, base: &Base, place: usize, customer: &Customer) -> Targets {
    let mut dice = Dice::new(seed, 0x7a49, place as u64);
    let wanted = match customer.profile {
        Profile::Business => dice.between(120, 300),
        Profile::Residential => dice.between(80, 200),
        Profile::Diaspora => dice.between(20, 60),
        Profile::Dialler => dice.between(20, 40),
        Profile::Fraud => dice.between(20, 30),
    } as usize;
    let mut destinations = Vec::with_capacity(wanted);
    let all = base.destinations.len() as u64;
    while destinations.len() < wanted.min(base.destinations.len()) {
        let candidate = dice.below(all) as u32;
        if !destinations.contains(&candidate) {
            destinations.push(candidate);
        }
    }
    let mut countries: Vec<Country> = destinations.iter().map(|d| base.destinations[*d as usize].country).collect();
    countries.sort_unstable();
    countries.dedup();
    let mut sum = 0;
    let mut weights: Vec<u64> = (1..=destinations.len() as u64)
        .map(|rank| {
            sum += 1_000_000 / rank;
            sum
        })
        .collect();
    if customer.concentrated {
        // Four calls of five go to the first.
        let first = sum * 4;
        weights = weights.iter().enumerate().map(|(at, weight)| if at == 0 { first } else { first + weight }).collect();
    }
    Targets { destinations, weights, countries, callers: dice.between(1_000, 100_000) as u64 }
}
