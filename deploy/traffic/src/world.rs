//! Twenty customers and eight vendors with all that `tandem apply` wants to know of them. Between them they use every
//! rounding rule, fee and bound of design section 4, so that a wrong rule shows in somebody's total.

use facts::config::{
    Account, Agreement, Carrier, ConfigItem, ExchangeRate, IdentificationRule, Product, RatedAt, SiteSettings, Switch,
    Trunk,
};
use facts::deck::{Price, Settings};
use facts::time::OccurredAt;
use facts::{Currency, Rounding, Side};
use smol_str::{SmolStr, format_smolstr};

pub const CUSTOMERS: usize = 20;
pub const VENDORS: usize = 8;
/// Switch of the live events.
pub const SWITCH: &str = "demo-edge";
/// Switch of the same calls as a Yeti file.
pub const YETI: &str = "demo-yeti";
pub const UNIDENTIFIED: &str = "unidentified";
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// What a customer's calls look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    Business,
    Residential,
    /// Long calls in the evening of the called country.
    Diaspora,
    /// Machines: constant rate in bursts, few answers, short calls.
    Dialler,
    /// Machines by night, one-second calls.
    Fraud,
}

/// How a customer's calls are recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recognised {
    Ip,
    /// Premium and standard by tech prefix; `told` = the edge names it apart.
    TechPrefix {
        told: bool,
    },
    TrunkName,
    DigestUser,
}

/// A customer.
#[derive(Clone, Debug)]
pub struct Customer {
    pub name: &'static str,
    pub id: SmolStr,
    pub currency: Currency,
    pub deck_currency: Currency,
    pub profile: Profile,
    pub recognised: Recognised,
    /// International prefix in front of its numbers.
    pub access: &'static str,
    /// Share of all calls, in thousandths.
    pub share: u64,
    /// Nearly all calls go to one destination.
    pub concentrated: bool,
    /// Sell price over the ground deck, thousandths.
    pub markup: i64,
    pub terms: Terms,
}

/// A vendor.
#[derive(Clone, Debug)]
pub struct Vendor {
    pub name: &'static str,
    pub id: SmolStr,
    pub currency: Currency,
    pub deck_currency: Currency,
    /// Buy price over the ground deck, thousandths.
    pub level: i64,
    /// Known by its trunk's name instead of its address.
    pub by_name: bool,
    pub terms: Terms,
}

/// What stands in an agreement and what in its deck.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    pub rated_at: RatedAt,
    pub duration_rounding: Rounding,
    pub amount_rounding: Rounding,
    pub amount_decimals: u8,
    /// 10^-4 percent.
    pub tax_percent: i64,
    pub prepaid_gross: bool,
    pub agreement: Settings,
    pub deck: Settings,
}

/// The parties of a scenario.
#[derive(Clone, Debug)]
pub struct World {
    pub customers: Vec<Customer>,
    pub vendors: Vec<Vendor>,
    /// Midnight (UTC) of the day, microseconds.
    pub day: i64,
}

pub fn currency(code: &str) -> Currency {
    // Constants of this file only.
    Currency::new(code).unwrap_or_else(|error| unreachable!("{error}"))
}

/// A decimal of this file.
fn price(text: &str) -> Price {
    text.parse().unwrap_or_else(|error| unreachable!("{error}"))
}

const CUSTOMER_NAMES: [&str; CUSTOMERS] = [
    "Alba Telecom",
    "Birch Voice",
    "Cobalt Carrier",
    "Dover Networks",
    "Elbe Connect",
    "Fjord Talk",
    "Granit Tel",
    "Harbour Lines",
    "Indigo Call",
    "Juniper Bridge",
    "Kestrel Voice",
    "Lagune Telecom",
    "Mistral Minutes",
    "Northgate Dialling",
    "Opal Wholesale",
    "Prairie Tel",
    "Quarz Prepaid",
    "Ravel Communications",
    "Sable Routes",
    "Tundra Transit",
];
const VENDOR_NAMES: [&str; VENDORS] = [
    "Atlas Termination",
    "Boreal Carrier",
    "Ceres Interconnect",
    "Delta Gateways",
    "Echo Global",
    "Faro Sud",
    "Gamma Transit",
    "Helix Premium",
];
const SHARES: [u64; CUSTOMERS] = [170, 120, 95, 80, 70, 60, 55, 50, 45, 40, 36, 32, 28, 25, 22, 20, 16, 14, 12, 10];

impl World {
    pub fn new(day: i64) -> Self {
        Self { customers: (0..CUSTOMERS).map(customer).collect(), vendors: (0..VENDORS).map(vendor).collect(), day }
    }

    /// The middle of the day, when prices and exchange rates change.
    pub fn noon(&self) -> i64 {
        self.day + 12 * HOUR
    }

    /// Everything but the decks, in the order in which it can be applied.
    pub fn items(&self) -> Vec<ConfigItem> {
        let mut items = vec![
            ConfigItem::Settings(SiteSettings::default()),
            self.switch(SWITCH, "tandem"),
            self.switch(YETI, "yeti"),
        ];
        let base = SiteSettings::default().base_currency;
        items.push(ConfigItem::Carrier(carrier("house", "Unidentified traffic")));
        items.push(ConfigItem::Account(Account { unidentified: true, ..account(UNIDENTIFIED, "house", base) }));
        items.extend(self.exchange_rates());
        for customer in &self.customers {
            items.push(ConfigItem::Carrier(carrier(&customer.id, customer.name)));
            items.push(ConfigItem::Account(Account {
                prepaid: customer.terms.prepaid_gross,
                credit_limit: price("50000"),
                ..account(&customer.id, &customer.id, customer.currency)
            }));
            for premium in [false, true].into_iter().take(customer.products()) {
                items.extend(customer_product(customer, premium));
            }
        }
        for (place, vendor) in self.vendors.iter().enumerate() {
            items.push(ConfigItem::Carrier(carrier(&vendor.id, vendor.name)));
            items.push(ConfigItem::Account(Account {
                credit_limit: price("100000"),
                ..account(&vendor.id, &vendor.id, vendor.currency)
            }));
            items.extend(vendor_product(vendor, place));
        }
        items
    }

    fn switch(&self, id: &str, format: &str) -> ConfigItem {
        let (id, format) = (SmolStr::new(id), SmolStr::new(format));
        ConfigItem::Switch(Switch {
            id_domain: id.clone(),
            id,
            format,
            time_zone: SmolStr::new_static("UTC"),
            options: std::collections::BTreeMap::new(),
        })
    }

    /// From the day before; the dollar's rates change at noon.
    fn exchange_rates(&self) -> Vec<ConfigItem> {
        let rates = [
            ("USD", "EUR", 92_345_678, 92_401_234),
            ("USD", "GBP", 78_912_345, 79_000_001),
            ("EUR", "USD", 108_288_900, 108_223_800),
            ("GBP", "USD", 126_722_900, 126_582_200),
        ];
        let mut items = Vec::new();
        for (from, to, before, after) in rates {
            for (rate, at) in [(before, self.day - 24 * HOUR), (after, self.noon())] {
                items.push(ConfigItem::ExchangeRate(ExchangeRate {
                    from: currency(from),
                    to: currency(to),
                    rate,
                    valid_from: OccurredAt(at),
                    source: "demo".to_owned(),
                }));
            }
        }
        items
    }
}

impl Customer {
    /// One, or two told apart by tech prefix.
    pub fn products(&self) -> usize {
        1 + usize::from(matches!(self.recognised, Recognised::TechPrefix { .. }))
    }

    /// Id of product, trunk, agreement and deck.
    pub fn product(&self, premium: bool) -> SmolStr {
        if premium { format_smolstr!("{}-premium", self.id) } else { self.id.clone() }
    }

    pub fn tech_prefix(&self, premium: bool) -> &'static str {
        match (self.recognised, premium) {
            (Recognised::TechPrefix { .. }, false) => "8801",
            (Recognised::TechPrefix { .. }, true) => "8802",
            _ => "",
        }
    }

    fn number(&self) -> usize {
        self.id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
    }

    pub fn ip(&self) -> SmolStr {
        format_smolstr!("10.1.{}.10", self.number())
    }

    pub fn trunk_name(&self) -> SmolStr {
        format_smolstr!("tg-{}", self.id)
    }

    pub fn digest_user(&self) -> SmolStr {
        format_smolstr!("sip-{}", self.id)
    }

    /// The account number that a Yeti record carries.
    pub fn yeti_account(&self, premium: bool) -> SmolStr {
        format_smolstr!("{}", if premium { 200 } else { 100 } + self.number())
    }
}

impl Vendor {
    pub fn ip(&self, place: usize) -> SmolStr {
        format_smolstr!("10.2.{}.1", place + 1)
    }

    pub fn trunk_name(&self) -> SmolStr {
        format_smolstr!("out-{}", self.id)
    }

    pub fn yeti_account(&self, place: usize) -> SmolStr {
        format_smolstr!("{}", 301 + place)
    }
}

fn carrier(id: &str, name: &str) -> Carrier {
    Carrier { id: id.into(), name: name.to_owned(), contacts: Vec::new(), tax_id: None }
}

fn account(id: &str, carrier: &str, currency: Currency) -> Account {
    Account {
        id: id.into(),
        carrier: carrier.into(),
        currency,
        prepaid: false,
        credit_limit: Price(0),
        reseller: SmolStr::default(),
        unidentified: false,
    }
}

fn agreement(id: &SmolStr, account: &SmolStr, side: Side, terms: &Terms) -> Agreement {
    Agreement {
        id: id.clone(),
        account: account.clone(),
        product: id.clone(),
        side,
        deck: id.clone(),
        rated_at: terms.rated_at,
        duration_rounding: terms.duration_rounding,
        amount_rounding: terms.amount_rounding,
        amount_decimals: terms.amount_decimals,
        tax_percent: terms.tax_percent,
        charge_gross: terms.prepaid_gross,
        settings: terms.agreement,
        valid_from: None,
        valid_until: None,
        taxes: Vec::new(),
    }
}

fn customer_product(customer: &Customer, premium: bool) -> [ConfigItem; 3] {
    let id = customer.product(premium);
    let name = format!("{} {}", customer.name, if premium { "Premium" } else { "Standard" });
    let mut rule = IdentificationRule { switch: SmolStr::new_static(SWITCH), ..IdentificationRule::default() };
    match customer.recognised {
        Recognised::Ip => rule.ip = customer.ip(),
        Recognised::TechPrefix { .. } => {
            rule.ip = customer.ip();
            rule.tech_prefix = customer.tech_prefix(premium).into();
        }
        Recognised::TrunkName => rule.trunk = customer.trunk_name(),
        Recognised::DigestUser => rule.digest_user = customer.digest_user(),
    }
    let yeti = IdentificationRule {
        switch: SmolStr::new_static(YETI),
        account: customer.yeti_account(premium),
        ..IdentificationRule::default()
    };
    let strip = if customer.access.is_empty() { Vec::new() } else { vec![customer.access.into()] };
    [
        ConfigItem::Product(Product { id: id.clone(), name, deck: id.clone() }),
        ConfigItem::Agreement(agreement(&id, &customer.id, Side::Sell, &customer.terms)),
        ConfigItem::Trunk(Trunk {
            id: id.clone(),
            account: customer.id.clone(),
            product: id,
            side: Side::Sell,
            rules: vec![rule, yeti],
            strip,
        }),
    ]
}

fn vendor_product(vendor: &Vendor, place: usize) -> [ConfigItem; 3] {
    let id = &vendor.id;
    let mut rule = IdentificationRule { switch: SmolStr::new_static(SWITCH), ..IdentificationRule::default() };
    match vendor.by_name {
        true => rule.trunk = vendor.trunk_name(),
        false => rule.ip = vendor.ip(place),
    }
    let yeti = IdentificationRule {
        switch: SmolStr::new_static(YETI),
        account: vendor.yeti_account(place),
        ..IdentificationRule::default()
    };
    [
        ConfigItem::Product(Product { id: id.clone(), name: format!("{} A-Z", vendor.name), deck: id.clone() }),
        ConfigItem::Agreement(agreement(id, id, Side::Buy, &vendor.terms)),
        ConfigItem::Trunk(Trunk {
            id: id.clone(),
            account: id.clone(),
            product: id.clone(),
            side: Side::Buy,
            rules: vec![rule, yeti],
            strip: Vec::new(),
        }),
    ]
}

/// Thousandths of a unit that a dollar is worth, roughly: decks in other currencies have other figures.
fn worth(currency: &str) -> i64 {
    match currency {
        "EUR" => 923,
        "GBP" => 789,
        _ => 1_000,
    }
}

const AMOUNT_RULES: [Rounding; 5] =
    [Rounding::HalfUp, Rounding::Up, Rounding::Down, Rounding::HalfEven, Rounding::None];

fn customer(at: usize) -> Customer {
    let (account, deck) = match at {
        3 | 7 => ("EUR", "EUR"),
        11 | 15 => ("EUR", "USD"),
        5 => ("GBP", "GBP"),
        13 => ("GBP", "USD"),
        _ => ("USD", "USD"),
    };
    let profile = match at {
        1 | 6 | 8 | 15 => Profile::Residential,
        2 | 9 | 17 => Profile::Diaspora,
        10 | 13 => Profile::Dialler,
        18 => Profile::Fraud,
        _ => Profile::Business,
    };
    let recognised = match at {
        0 => Recognised::TechPrefix { told: true },
        4 => Recognised::TechPrefix { told: false },
        2 | 7 | 12 => Recognised::TrunkName,
        6 | 14 => Recognised::DigestUser,
        _ => Recognised::Ip,
    };
    let access = match at {
        1 | 4 | 9 => "00",
        8 => "011",
        _ => "",
    };
    let mut terms = Terms {
        duration_rounding: [
            Rounding::Up,
            Rounding::Up,
            Rounding::HalfUp,
            Rounding::Up,
            Rounding::Down,
            Rounding::HalfEven,
            Rounding::None,
        ][at % 7],
        amount_rounding: AMOUNT_RULES[at % 5],
        amount_decimals: [6, 4, 6, 5, 8, 6, 2, 6, 6, 12][at % 10],
        rated_at: if at == 4 { RatedAt::Setup } else { RatedAt::Answer },
        ..Terms::default()
    };
    customer_settings(at, &mut terms);
    Customer {
        name: CUSTOMER_NAMES[at],
        id: format_smolstr!("cust{:02}", at + 1),
        currency: currency(account),
        deck_currency: currency(deck),
        profile,
        recognised,
        access,
        share: SHARES[at],
        concentrated: matches!(at, 3 | 13),
        markup: (980 + (at as i64 * 37) % 130) * worth(deck) / 1_000,
        terms,
    }
}

fn customer_settings(at: usize, terms: &mut Terms) {
    let (agreement, deck) = (&mut terms.agreement, &mut terms.deck);
    match at {
        6 => agreement.grace = Some(3 * SECOND),
        8 => agreement.minimum_duration = Some(10 * SECOND),
        9 => agreement.minimum_amount = Some(price("0.0015")),
        10 => agreement.attempt_fee = Some(price("0.0002")),
        12 => agreement.maximum_duration = Some(HOUR),
        14 => {
            deck.disconnect_fee = Some(price("0.001"));
            deck.attempt_fee = Some(price("0.0001"));
            // The deck's own counts, as it is nearer.
            agreement.attempt_fee = Some(price("5"));
        }
        16 => {
            terms.tax_percent = 230_000;
            terms.prepaid_gross = true;
        }
        17 => terms.tax_percent = 190_000,
        18 => deck.maximum_amount = Some(price("2")),
        19 => deck.minimum_amount = Some(price("0.00305")),
        _ => {}
    }
}

fn vendor(at: usize) -> Vendor {
    let (account, deck) = match at {
        2 => ("EUR", "EUR"),
        5 => ("GBP", "USD"),
        _ => ("USD", "USD"),
    };
    let mut terms = Terms {
        duration_rounding: if at == 6 { Rounding::HalfUp } else { Rounding::Up },
        amount_rounding: AMOUNT_RULES[(at + 2) % 5],
        amount_decimals: [6, 6, 5, 4, 6, 8, 6, 6][at],
        rated_at: if at == 3 { RatedAt::Setup } else { RatedAt::Answer },
        ..Terms::default()
    };
    match at {
        3 => terms.agreement.attempt_fee = Some(price("0.0003")),
        5 => terms.deck.attempt_fee = Some(price("0.0004")),
        _ => {}
    }
    Vendor {
        name: VENDOR_NAMES[at],
        id: format_smolstr!("vend{}", at + 1),
        currency: currency(account),
        deck_currency: currency(deck),
        level: [860, 900, 930, 950, 970, 990, 1_010, 1_050][at] * worth(deck) / 1_000,
        by_name: at % 3 == 1,
        terms,
    }
}
