//! The configuration: carriers, accounts, agreements, products, trunks, decks. Versions are frames of the `config`
//! log; `Config` is the fold of them up to one `config_seq`.

use crate::deck::{DeckTerms, Price, Settings};
use crate::money::{Currency, Rounding};
use crate::number::Prefix;
use crate::time::{BookedAt, OccurredAt};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// The legal counterparty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carrier {
    pub id: SmolStr,
    pub name: String,
    #[serde(default)]
    pub contacts: Vec<String>,
    #[serde(default)]
    pub tax_id: Option<String>,
}

/// One balance of one carrier in one currency.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub id: SmolStr,
    pub carrier: SmolStr,
    pub currency: Currency,
    #[serde(default)]
    pub prepaid: bool,
    #[serde(default)]
    pub credit_limit: Price,
    /// The reseller account that this one buys from; empty = from us.
    #[serde(default)]
    pub reseller: SmolStr,
    /// Receives calls whose account is unknown; one per site's base currency, has no limit.
    #[serde(default)]
    pub unidentified: bool,
}

/// What is sold or bought under one name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    pub id: SmolStr,
    pub name: String,
    /// Deck that prices it unless the agreement names another.
    #[serde(default)]
    pub deck: SmolStr,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatedAt {
    /// The answer; the setup when unanswered.
    #[default]
    Answer,
    Setup,
}

/// A tax by name, rounded by itself (design 13.9).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tax {
    /// As it stands on documents.
    pub name: SmolStr,
    /// Percent in 10^-4.
    pub percent: i64,
    #[serde(default)]
    pub rounding: Rounding,
}

/// An operator's order (design 6.7): the record at this place of `call-events` is passed over, because its
/// `observed_at` lies in a future that will not come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoidOrder {
    pub partition: u32,
    pub offset: u64,
    pub reason: String,
}

/// What we and one account agreed for one product and side.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    pub id: SmolStr,
    pub account: SmolStr,
    /// Empty = every product of the account.
    #[serde(default)]
    pub product: SmolStr,
    pub side: crate::Side,
    /// Empty = the product's deck.
    #[serde(default)]
    pub deck: SmolStr,
    #[serde(default)]
    pub rated_at: RatedAt,
    #[serde(default = "up")]
    pub duration_rounding: Rounding,
    #[serde(default)]
    pub amount_rounding: Rounding,
    #[serde(default = "six")]
    pub amount_decimals: u8,
    /// Percent with at most 4 decimals, in 10^-4.
    #[serde(default)]
    pub tax_percent: i64,
    /// Prepaid with tax charges gross per call.
    #[serde(default)]
    pub charge_gross: bool,
    #[serde(default)]
    pub settings: Settings,
    #[serde(default)]
    pub valid_from: Option<OccurredAt>,
    #[serde(default)]
    pub valid_until: Option<OccurredAt>,
    /// Instead of `tax_percent`: gross = net + each of these, rounded by its own rule.
    #[serde(default)]
    pub taxes: Vec<Tax>,
}

impl Agreement {
    /// An agreement for every product of the account, with the default of every term.
    pub fn new(
        id: impl Into<SmolStr>,
        account: impl Into<SmolStr>,
        side: crate::Side,
        deck: impl Into<SmolStr>,
    ) -> Self {
        Self {
            id: id.into(),
            account: account.into(),
            product: SmolStr::default(),
            side,
            deck: deck.into(),
            rated_at: RatedAt::default(),
            duration_rounding: up(),
            amount_rounding: Rounding::default(),
            amount_decimals: six(),
            tax_percent: 0,
            charge_gross: false,
            settings: Settings::default(),
            valid_from: None,
            valid_until: None,
            taxes: Vec::new(),
        }
    }
}

fn up() -> Rounding {
    Rounding::Up
}

fn six() -> u8 {
    6
}

/// Where calls come in (`sell`) or go out (`buy`), and how they are recognised.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    pub id: SmolStr,
    pub account: SmolStr,
    pub product: SmolStr,
    pub side: crate::Side,
    /// Any rule that matches identifies the trunk.
    pub rules: Vec<IdentificationRule>,
    /// International prefixes that the peer puts before numbers, removed in this order; the first that matches counts.
    #[serde(default)]
    pub strip: Vec<SmolStr>,
}

/// All given facts must match; the rule with more facts given wins; two left is refused by `apply`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentificationRule {
    /// Switch of the event; empty = any.
    pub switch: SmolStr,
    /// Trunk name as the switch sends it.
    pub trunk: SmolStr,
    pub ip: SmolStr,
    pub port: u16,
    pub tech_prefix: SmolStr,
    pub digest_user: SmolStr,
    /// Account as the record itself names it.
    pub account: SmolStr,
    pub valid_from: Option<OccurredAt>,
    pub valid_until: Option<OccurredAt>,
}

/// A source of call events and how its files are read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    pub id: SmolStr,
    /// `yeti`, `asterisk`, `freeswitch`, `cucm`, `tandem`.
    pub format: SmolStr,
    /// Numbering space of its call keys; empty = the switch's own id.
    #[serde(default)]
    pub id_domain: SmolStr,
    /// IANA zone of times that carry none; empty = the format must carry one.
    #[serde(default)]
    pub time_zone: SmolStr,
    /// Settings of the format.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// Units of `to` for one unit of `from`, from that instant on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeRate {
    pub from: Currency,
    pub to: Currency,
    /// In 10^-8.
    pub rate: i64,
    pub valid_from: OccurredAt,
    pub source: String,
}

impl ExchangeRate {
    /// How people and `Removed` name it: `USD to EUR from 2026-01-01T00:00:00Z`.
    pub fn id(&self) -> String {
        format!("{} to {} from {}", self.from, self.to, self.valid_from)
    }
}

/// One version of a deck: its terms and the content addresses of its rows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeckRoot {
    pub id: SmolStr,
    pub version: u32,
    pub terms: DeckTerms,
    /// Rows in order; each hash names a `DeckChunk`.
    pub chunks: Vec<[u8; 32]>,
    pub rows: u64,
    /// File or import that it came from, for people.
    pub source: String,
}

/// How files of one deck's carrier are taken in, and what holds them for a second person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeckRules {
    /// Empty = every deck that has none of its own.
    pub deck: SmolStr,
    /// Days of notice of an increase by the contract; 0 = the carrier's own date counts.
    pub notice_days: u32,
    /// What an A-Z file leaves out is blocked instead of discontinued.
    pub missing_blocked: bool,
    /// Held where more of the codes would close, percent.
    pub closed_codes_percent: u32,
    /// Held where more of the last week's minutes would close, percent.
    pub closed_minutes_percent: u32,
    /// Held where the median of new to old price is lower, percent.
    pub ratio_low_percent: u32,
    /// Held where the median of new to old price is higher, percent.
    pub ratio_high_percent: u32,
    /// Held where a date is further off, days.
    pub date_days: u32,
    /// Warned of where a price is so many percent of its neighbours' median, or they of it.
    pub neighbour_percent: u32,
    /// Warned of where numbers fall to a price that differs by more, percent.
    pub fall_percent: u32,
}

impl Default for DeckRules {
    fn default() -> Self {
        Self {
            deck: SmolStr::default(),
            notice_days: 0,
            missing_blocked: false,
            closed_codes_percent: 5,
            closed_minutes_percent: 10,
            ratio_low_percent: 50,
            ratio_high_percent: 200,
            date_days: 365,
            neighbour_percent: 500,
            fall_percent: 20,
        }
    }
}

/// What became of an import.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// Waits for a second person; nothing is priced by it.
    #[default]
    Held,
    Applied,
    Rejected,
}

impl ImportState {
    /// The word on screens and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Applied => "applied",
            Self::Rejected => "rejected",
        }
    }
}

/// A file, or an older version, taken into a deck or held for a second person. Written again when that one decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeckImport {
    /// Deck and number: `acme-buy/3`.
    pub id: SmolStr,
    pub deck: SmolStr,
    pub state: ImportState,
    /// Version that it was merged into; 0 = the deck was new.
    pub base: u32,
    /// Version that it became; 0 = none.
    pub version: u32,
    /// `az`, `partial`, `make`, `rollback`; [`Self::TOLD`].
    pub kind: SmolStr,
    /// Name of the file, for people.
    pub file: String,
    /// BLAKE3 of the file; zeros = no file.
    pub file_hash: [u8; 32],
    /// As the notice names it.
    pub product: SmolStr,
    pub at: OccurredAt,
    pub by: String,
    pub reason: String,
    /// From when rows without a date count; what is missing ends then.
    pub effective: OccurredAt,
    /// Earliest instant of an increase by the contract.
    pub notice: Option<OccurredAt>,
    /// Why it was held.
    pub causes: Vec<String>,
    /// Second person; empty while nobody has decided.
    pub decided_by: String,
    pub decided_at: Option<OccurredAt>,
    pub decision: String,
    /// While held: the version's terms.
    pub terms: Option<DeckTerms>,
    /// While held: the version's rows.
    pub chunks: Vec<[u8; 32]>,
    pub rows: u64,
    /// Rows of the carrier's increases by his own dates, each until the contract's; all that are known of the deck.
    pub claims: Vec<[u8; 32]>,
}

impl DeckImport {
    /// The kind of a record that tells of a notice to a customer instead of rows that came (decision 0030): `base` is the
    /// version that he had, `version` the one that he was told, `product` his account, `effective` when he was told,
    /// `notice` when his notice has run, `rows` the changes, `causes` those told too late, `file` what was sent.
    pub const TOLD: &str = "told";

    /// Whether it tells of a notice to a customer.
    pub fn is_told(&self) -> bool {
        self.kind == Self::TOLD
    }
}

/// An area of numbers, such as a US state: a call whose two ends are in one area is intrastate, one between two areas
/// interstate, any other indeterminate (design 4.10, 13.4). Of several areas the one with the longest matching prefix
/// has the number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Area {
    pub name: SmolStr,
    /// Rising, each once.
    pub prefixes: Vec<Prefix>,
}

/// From an instant of the streams' clocks on, ledgers are folded by this version of the rules (design 8.10). Never taken
/// back: a frame of it may stand in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FoldVersion {
    /// As frames name it.
    pub version: u32,
    /// The cut: no frame booked before it names the version. One value for the streams of all sites.
    pub from: BookedAt,
}

/// Site-wide settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiteSettings {
    pub site: SmolStr,
    pub legal_entity: SmolStr,
    pub base_currency: Currency,
    /// Longest call; two starts with one call key further apart are two calls.
    pub maximum_call_seconds: u32,
    pub late_call_limit_days: u32,
    /// Seconds after the last event of an ended call before missing attempts are given up.
    pub attempt_wait_seconds: u32,
    /// SIP codes that count for NER beside the answered calls.
    pub ner_codes: Vec<u16>,
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            site: SmolStr::new_static("main"),
            legal_entity: SmolStr::new_static("main"),
            base_currency: Currency::new("USD").unwrap_or_else(|_| unreachable!("USD is three letters")),
            maximum_call_seconds: 14_400,
            late_call_limit_days: 60,
            attempt_wait_seconds: 60,
            ner_codes: vec![480, 486, 487, 600, 603],
        }
    }
}

/// One change of the configuration, an item of a `config` frame.
#[derive(Clone, PartialEq, Debug)]
pub enum ConfigItem {
    Settings(SiteSettings),
    Carrier(Carrier),
    Account(Account),
    Product(Product),
    Agreement(Agreement),
    Trunk(Trunk),
    Switch(Switch),
    ExchangeRate(ExchangeRate),
    Deck(DeckRoot),
    /// Rows of a deck, content addressed; at most 384 KiB. The bytes are `schemas::deck_rows`.
    DeckChunk {
        hash: [u8; 32],
        rows: Vec<u8>,
    },
    /// `kind` is the word of the removed thing's table (`account`, `trunk`, ...).
    Removed {
        kind: SmolStr,
        id: SmolStr,
    },
    /// Who applied what and why; ends a version.
    Applied {
        by: String,
        comment: String,
        /// BLAKE3 over the items of the version, each in its Avro form.
        digest: [u8; 32],
    },
    VoidOrder(VoidOrder),
    DeckRules(DeckRules),
    DeckImport(Box<DeckImport>),
    Area(Area),
    FoldVersion(FoldVersion),
}

/// The configuration in force at one `config_seq`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Config {
    pub seq: u64,
    pub settings: SiteSettings,
    pub carriers: BTreeMap<SmolStr, Carrier>,
    pub accounts: BTreeMap<SmolStr, Account>,
    pub products: BTreeMap<SmolStr, Product>,
    pub agreements: BTreeMap<SmolStr, Agreement>,
    pub trunks: BTreeMap<SmolStr, Trunk>,
    pub switches: BTreeMap<SmolStr, Switch>,
    pub exchange_rates: Vec<ExchangeRate>,
    /// Every version of every deck, oldest first; which one a call takes is the effective date of its rows.
    pub decks: BTreeMap<SmolStr, Vec<DeckRoot>>,
    pub chunks: BTreeMap<[u8; 32], std::sync::Arc<[u8]>>,
    /// Records of `call-events` that raters pass over, by partition and offset, with the reason.
    pub voids: BTreeMap<(u32, u64), String>,
    /// By deck; the empty name is for every deck that has none of its own.
    pub deck_rules: BTreeMap<SmolStr, DeckRules>,
    /// Imports of decks by id, held ones too.
    pub imports: BTreeMap<SmolStr, DeckImport>,
    /// Areas of numbers by name.
    pub areas: BTreeMap<SmolStr, Area>,
    /// Cuts from which ledgers are folded by a later version than 1, by that version.
    pub fold_versions: BTreeMap<u32, BookedAt>,
}

impl Config {
    /// Folds one item; `seq` is set by the caller once per frame.
    pub fn apply(&mut self, item: ConfigItem) {
        match item {
            ConfigItem::Settings(x) => self.settings = x,
            ConfigItem::Carrier(x) => drop(self.carriers.insert(x.id.clone(), x)),
            ConfigItem::Account(x) => drop(self.accounts.insert(x.id.clone(), x)),
            ConfigItem::Product(x) => drop(self.products.insert(x.id.clone(), x)),
            ConfigItem::Agreement(x) => drop(self.agreements.insert(x.id.clone(), x)),
            ConfigItem::Trunk(x) => drop(self.trunks.insert(x.id.clone(), x)),
            ConfigItem::Switch(x) => drop(self.switches.insert(x.id.clone(), x)),
            ConfigItem::ExchangeRate(x) => {
                self.exchange_rates.retain(|o| (o.from, o.to, o.valid_from) != (x.from, x.to, x.valid_from));
                self.exchange_rates.push(x);
                self.exchange_rates.sort_by_key(|o| (o.from, o.to, o.valid_from));
            }
            ConfigItem::Deck(x) => {
                let versions = self.decks.entry(x.id.clone()).or_default();
                versions.retain(|o| o.version != x.version);
                versions.push(x);
                versions.sort_by_key(|o| o.version);
            }
            ConfigItem::DeckChunk { hash, rows } => drop(self.chunks.insert(hash, rows.into())),
            ConfigItem::Removed { kind, id } => self.remove(&kind, &id),
            ConfigItem::Applied { .. } => {}
            ConfigItem::VoidOrder(x) => drop(self.voids.insert((x.partition, x.offset), x.reason)),
            ConfigItem::DeckRules(x) => drop(self.deck_rules.insert(x.deck.clone(), x)),
            ConfigItem::DeckImport(x) => drop(self.imports.insert(x.id.clone(), *x)),
            ConfigItem::Area(x) => drop(self.areas.insert(x.name.clone(), x)),
            // The first word on a version stands: a frame of it may be there already.
            ConfigItem::FoldVersion(x) => {
                self.fold_versions.entry(x.version).or_insert(x.from);
            }
        }
    }

    /// The fold version of frames that are begun at this instant.
    pub fn fold_version_at(&self, at: BookedAt) -> u32 {
        let in_force = self.fold_versions.iter().filter(|(_, from)| **from <= at);
        in_force.map(|(version, _)| *version).max().unwrap_or(1)
    }

    /// Name of the deck that prices an agreement: its own, else its product's. `None`: it has no deck, and no product
    /// that is known.
    pub fn deck_of<'a>(&'a self, agreement: &'a Agreement) -> Option<&'a SmolStr> {
        if !agreement.deck.is_empty() {
            return Some(&agreement.deck);
        }
        self.products.get(&agreement.product).map(|product| &product.deck)
    }

    /// The rules by which files of this deck are taken in.
    pub fn rules_of(&self, deck: &str) -> DeckRules {
        self.deck_rules.get(deck).or_else(|| self.deck_rules.get("")).cloned().unwrap_or_default()
    }

    /// The import that the newest version of a deck came from, where it came from one.
    pub fn last_import(&self, deck: &str) -> Option<&DeckImport> {
        let applied =
            self.imports.values().filter(|x| x.deck == deck && x.state == ImportState::Applied && !x.is_told());
        applied.max_by_key(|x| x.version)
    }

    /// The newest version of a deck that an account was told, as it was recorded.
    pub fn last_told(&self, deck: &str, account: &str) -> Option<&DeckImport> {
        let told = self.imports.values().filter(|x| x.is_told() && x.deck == deck && x.product == account);
        told.max_by_key(|x| x.version)
    }

    fn remove(&mut self, kind: &str, id: &str) {
        match kind {
            "carrier" => drop(self.carriers.remove(id)),
            "account" => drop(self.accounts.remove(id)),
            "product" => drop(self.products.remove(id)),
            "agreement" => drop(self.agreements.remove(id)),
            "trunk" => drop(self.trunks.remove(id)),
            "switch" => drop(self.switches.remove(id)),
            "deck_rules" => drop(self.deck_rules.remove(id)),
            "area" => drop(self.areas.remove(id)),
            "exchange_rate" => self.exchange_rates.retain(|rate| rate.id() != id),
            _ => {}
        }
    }
}
