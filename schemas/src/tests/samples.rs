//! One of each thing, made up, with every optional fact given somewhere.

use facts::call::{Attempt, Call, CallEvent, Endpoint, EventKind, Leg, RawRef};
use facts::config::{
    Account, Agreement, Area, ConfigItem, DeckImport, DeckRoot, DeckRules, FoldVersion, ImportState, RatedAt, Tax,
    VoidOrder,
};
use facts::deck::{DeckTerms, JurisdictionFrom, Price, Settings, TimeBand};
use facts::entry::{
    Caps, Counted, Elsewhere, EntryKind, Extend, Give, GiveWhy, Gl, Grant, Hold, HoldLine, LedgerEntry, LedgerItem,
    Limit, Posting, Release, ReleaseWhy, Reserve, ScopeCaps,
};
use facts::ids::{Cause, DedupeKey, EventId, ImportId, OriginId};
use facts::xdr::{Position, ProvisionalSource, RateUsed, RatedCall, Revision, Xdr, XdrItem};
use facts::{
    Amount, BookedAt, CallId, Currency, E164, ObservedAt, OccurredAt, Prefix, RevId, Rounding, Side, Unrated, XdrId,
};
use smallvec::smallvec;
use smol_str::SmolStr;

/// 2023-05-09T10:00:00Z
pub const NOON: i64 = 1_683_626_400_000_000;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn usd() -> Currency {
    Currency::new("USD").unwrap()
}

pub fn raw() -> RawRef {
    RawRef { hash: [0xab; 32], offset: 4096, length: 311 }
}

pub fn event() -> CallEvent {
    let mut event = CallEvent::new(EventKind::Answered, "eu", "sw-1", "b1f7-0001", OccurredAt(NOON + 3_000_000));
    event.id = EventId { node: "edge-1".into(), boot_epoch: NOON - 1, partition: 3, sequence: 7 };
    event.leg = Leg::Both;
    event.attempt_key = "legb-7".into();
    event.observed_at = ObservedAt(NOON + 3_100_000);
    event.caller = "+43 152345".into();
    event.called = "004930123456".into();
    event.caller_number = Some(E164::from_digits("43152345").unwrap());
    event.called_number = Some(E164::from_digits("4930123456").unwrap());
    event.inbound = Endpoint { trunk: "acme-in".into(), ip: "192.0.2.7".into(), port: 5060, ..Endpoint::default() };
    event.outbound = Endpoint { trunk: "vendor-1".into(), tech_prefix: "77".into(), ..Endpoint::default() };
    event.pdd = Some(1_250_000);
    event.sip_code = Some(200);
    event.attempt_number = 1;
    event.hold_id = Some([9; 16]);
    event.held = Some(amount("0.60"));
    event.dedupe = Some(DedupeKey::of_record_id("eu", "sw-1", "100172"));
    event.import = Some(ImportId([5; 16]));
    event.raw = Some(raw());
    event.line = 12;
    event
}

fn xdr(call_id: CallId, side: Side) -> Xdr {
    let (key, attempt) = if side == Side::Buy { ("legb-7", Some(0)) } else { ("", None) };
    let xdr_id = XdrId::new(call_id, key, side, 0);
    Xdr {
        xdr_id,
        rev_id: RevId::new(xdr_id, &Cause::First),
        side,
        level: 0,
        attempt,
        account: if side == Side::Buy { "vendor-1-usd".into() } else { "acme-usd".into() },
        product: "premium".into(),
        agreement: "acme-premium".into(),
        rated_at: OccurredAt(NOON + 3_000_000),
        duration: 560_300_000,
        billed: 566_000_000,
        amount: amount("0.000943"),
        gross: if side == Side::Sell { amount("0.001160") } else { amount("0.000943") },
        currency: usd(),
        rounding: Rounding::HalfUp,
        decimals: 6,
        duration_rounding: Rounding::Up,
        rate: Some(RateUsed {
            deck: "az-2023".into(),
            deck_version: 4,
            prefix: Prefix::new("4930").unwrap(),
            destination: "Germany - Berlin".into(),
            connect_fee: Price(0),
            first_interval: 60,
            first_rate: Price(1_000_000),
            next_interval: 11,
            next_rate: Price(1_000_000),
            valid_from: Some(NOON - 86_400_000_000),
            time_band: "peak".into(),
            origin: "EEA".into(),
            currency: usd(),
        }),
        exchange_rate: 100_000_000,
        exchange_source: "".into(),
        unrated: None,
        provisional: None,
    }
}

pub fn rated_call() -> RatedCall {
    let call_id = CallId::new("eu", "sw-1", "b1f7-0001");
    let attempt = Attempt {
        key: "legb-7".into(),
        number: 1,
        outbound: event().outbound,
        started_at: Some(OccurredAt(NOON + 100_000)),
        answered_at: Some(OccurredAt(NOON + 3_000_000)),
        ended_at: Some(OccurredAt(NOON + 563_300_000)),
        duration: 560_300_000,
        pdd: Some(1_250_000),
        sip_code: Some(200),
        q850: Some(16),
        last: true,
    };
    let call = Call {
        call_id,
        id_domain: "eu".into(),
        switch: "sw-1".into(),
        call_key: "b1f7-0001".into(),
        caller: event().caller,
        called: event().called,
        caller_number: event().caller_number,
        called_number: event().called_number,
        rn: None,
        inbound: event().inbound,
        started_at: OccurredAt(NOON),
        answered_at: Some(OccurredAt(NOON + 3_000_000)),
        ended_at: OccurredAt(NOON + 563_300_000),
        duration: 560_300_000,
        pdd: Some(1_250_000),
        sip_code: Some(200),
        q850: Some(16),
        attempts: smallvec![attempt],
        estimated: false,
        hold_id: Some([9; 16]),
        held: Some(amount("0.60")),
        dedupe: smallvec![DedupeKey::of_record_id("eu", "sw-1", "100172")],
        events: smallvec![event().id],
        import: Some(ImportId([5; 16])),
        raw: smallvec![raw()],
    };
    let mut buy = xdr(call_id, Side::Buy);
    buy.rate = None;
    buy.unrated = Some(Unrated::NoRate);
    buy.provisional = Some(ProvisionalSource::LastKnown);
    RatedCall {
        revision: Revision::Late { trigger: [7; 16], based_on: Position { seq: 41, index: 3 } },
        call,
        xdrs: smallvec![xdr(call_id, Side::Sell), buy],
    }
}

pub fn xdr_items() -> Vec<XdrItem> {
    let mark = XdrItem::SourceMark { switch: "sw-1".into(), occurred_until: OccurredAt(NOON), declared: true };
    vec![XdrItem::Call(Box::new(rated_call())), mark]
}

/// What the first golden frame of a ledger holds.
pub fn ledger_items_v1() -> Vec<LedgerItem> {
    let posting = |gl: Gl, account: &str, destination: &str, value: &str| Posting {
        gl,
        account: account.into(),
        product: "premium".into(),
        destination: destination.into(),
        currency: usd(),
        amount: amount(value),
    };
    let sell = rated_call().xdrs[0].clone();
    let entry = LedgerEntry {
        kind: EntryKind::Charge,
        origin_id: OriginId(sell.rev_id.0),
        account: "acme-usd".into(),
        occurred_at: OccurredAt(NOON + 3_000_000),
        call_id: Some(rated_call().call.call_id),
        xdr_id: Some(sell.xdr_id),
        source: Some(("xdrs.main.0".into(), Position { seq: 42, index: 0 })),
        by: "".into(),
        reason: "".into(),
        adjusts: None,
        postings: smallvec![
            posting(Gl::ReceivableUnbilled, "acme-usd", "", "0.000943"),
            posting(Gl::Revenue, "", "Germany - Berlin", "-0.000943"),
        ],
    };
    vec![LedgerItem::Entry(Box::new(entry)), LedgerItem::Certificate { root: [0xcd; 32], entries: 1 }]
}

/// What the first schema had, and one of each that the second added.
pub fn ledger_items_v2() -> Vec<LedgerItem> {
    let call_id = rated_call().call.call_id;
    let hold_id = facts::entry::hold_id(call_id);
    let line = HoldLine {
        account: "acme-usd".into(),
        level: 0,
        currency: usd(),
        amount: amount("0.6"),
        first: amount("0.1"),
        first_seconds: 60,
        next: amount("0.1"),
        next_seconds: 60,
        decimals: 6,
        deck: "az".into(),
        deck_version: 3,
        prefix: Prefix::new("4930").unwrap(),
        destination: "Germany - Berlin".into(),
    };
    let grant = Grant {
        origin_id: OriginId([3; 16]),
        account: "acme-usd".into(),
        currency: usd(),
        amount: amount("250"),
        at: OccurredAt(NOON),
        until: Some(OccurredAt(NOON + 86_400_000_000)),
        by: "anna".into(),
        approved_by: "otto".into(),
        reason: "bank holiday".into(),
    };
    let caps = Caps {
        origin_id: OriginId([4; 16]),
        account: "acme-usd".into(),
        currency: usd(),
        at: OccurredAt(NOON),
        calls: Some(30),
        calls_per_second: Some(5),
        daily_spend: Some(amount("500")),
        highest_rate: Some(amount("0.5")),
        barred: vec![Prefix::new("882").unwrap()],
        calls_without_extend: None,
        low_balance: Some(amount("10")),
        high_spend: None,
        by: "anna".into(),
        reason: "new customer".into(),
    };
    let hold = Hold {
        hold_id,
        call_id,
        at: OccurredAt(NOON),
        until: OccurredAt(NOON + 14_880_000_000),
        seconds: 360,
        extendable: true,
        lines: smallvec![line],
    };
    let extend =
        Extend { hold_id, at: OccurredAt(NOON + 288_000_000), seconds: 660, amounts: smallvec![amount("1.1")] };
    let release = Release { hold_id, at: OccurredAt(NOON + 600_000_000), why: ReleaseWhy::Charged };
    let mut items = ledger_items_v1();
    items.extend([
        LedgerItem::Grant(Box::new(grant)),
        LedgerItem::Caps(Box::new(caps)),
        LedgerItem::Hold(Box::new(hold)),
        LedgerItem::Extend(Box::new(extend)),
        LedgerItem::Release(release),
    ]);
    items
}

/// What the third schema had, and one of each that the fourth added.
pub fn ledger_items() -> Vec<LedgerItem> {
    let hold_id = facts::entry::hold_id(rated_call().call.call_id);
    let caps = ScopeCaps {
        origin_id: OriginId([5; 16]),
        account: "acme-usd".into(),
        currency: usd(),
        at: OccurredAt(NOON),
        scope: facts::entry::group_scope("acme-usd", "premium"),
        codes: vec![Prefix::new("4990").unwrap()],
        calls: Some(2),
        calls_per_second: Some(1),
        daily_spend: Some(amount("25")),
        by: "anna".into(),
        reason: "dear codes".into(),
    };
    let scopes = smallvec![caps.scope.clone(), facts::entry::trunk_scope("acme-in")];
    let mut items = ledger_items_v3();
    items.extend([LedgerItem::ScopeCaps(Box::new(caps)), LedgerItem::Counted(Box::new(Counted { hold_id, scopes }))]);
    items
}

/// What the second schema had, and one of each that the third added.
pub fn ledger_items_v3() -> Vec<LedgerItem> {
    let call_id = rated_call().call.call_id;
    let (at, account) = (OccurredAt(NOON), SmolStr::new_static("acme-usd"));
    let elsewhere =
        Elsewhere { hold_id: facts::entry::hold_id(call_id), at, to: 2, passed: smallvec![amount("0.000943")] };
    let give = Give {
        origin_id: OriginId(call_id.0),
        account: account.clone(),
        currency: usd(),
        at,
        to: 2,
        amount: amount("0.5"),
        why: GiveWhy::Cover,
        call_id: Some(call_id),
        by: "anna".into(),
        reason: "drain".into(),
    };
    let limit = Limit { account: account.clone(), currency: usd(), at, amount: amount("100") };
    let reserve = Reserve { account, currency: usd(), at, amount: amount("5") };
    let mut items = ledger_items_v2();
    items.extend([
        LedgerItem::Elsewhere(Box::new(elsewhere)),
        LedgerItem::Give(Box::new(give)),
        LedgerItem::Limit(Box::new(limit)),
        LedgerItem::Reserve(Box::new(reserve)),
    ]);
    items
}

/// What the first golden frame of configuration holds.
pub fn config_items_v1() -> Vec<ConfigItem> {
    let account = Account {
        id: "acme-usd".into(),
        carrier: "acme".into(),
        currency: usd(),
        prepaid: true,
        credit_limit: Price(1_000_000_000_000),
        reseller: "".into(),
        unidentified: false,
    };
    let applied = ConfigItem::Applied { by: "anna".into(), comment: "first".into(), digest: [1; 32] };
    vec![ConfigItem::Account(account), applied]
}

/// What the fifth schema added, and what the others had.
pub fn config_items() -> Vec<ConfigItem> {
    let mut items = config_items_v4();
    items.splice(7..7, [ConfigItem::FoldVersion(FoldVersion { version: 2, from: BookedAt(NOON) })]);
    items
}

/// One of what the fourth schema added, and what the others had.
pub fn config_items_v4() -> Vec<ConfigItem> {
    let prefixes = ["1201", "1551"].map(|digits| Prefix::new(digits).unwrap()).to_vec();
    let mut items = config_items_v3();
    items.splice(6..6, [ConfigItem::Area(Area { name: "US-NJ".into(), prefixes })]);
    items
}

/// One of what the third schema added, and what the first two had.
pub fn config_items_v3() -> Vec<ConfigItem> {
    let rules = DeckRules { deck: "az".into(), notice_days: 7, closed_codes_percent: 8, ..DeckRules::default() };
    let import = DeckImport {
        id: "az/3".into(),
        deck: "az".into(),
        state: ImportState::Rejected,
        base: 2,
        version: 0,
        kind: "partial".into(),
        file: "amendment.csv".into(),
        file_hash: [3; 32],
        product: "Premium".into(),
        at: OccurredAt(NOON),
        by: "anna".into(),
        reason: "weekly notice".into(),
        effective: OccurredAt(NOON),
        notice: Some(OccurredAt(NOON + 1)),
        causes: vec!["the currency was USD".into()],
        decided_by: "bob".into(),
        decided_at: Some(OccurredAt(NOON + 2)),
        decision: "asked for it again".into(),
        terms: Some(DeckTerms::new(usd())),
        chunks: vec![[8; 32]],
        rows: 12,
        claims: vec![[9; 32]],
    };
    let mut items = config_items_v2();
    items.splice(4..4, [ConfigItem::DeckRules(rules), ConfigItem::DeckImport(Box::new(import))]);
    items
}

/// One of what the second schema added, and what the first had.
pub fn config_items_v2() -> Vec<ConfigItem> {
    let agreement = Agreement {
        id: "acme-premium".into(),
        account: "acme-usd".into(),
        product: "premium".into(),
        side: Side::Sell,
        deck: "az".into(),
        rated_at: RatedAt::Setup,
        duration_rounding: Rounding::Up,
        amount_rounding: Rounding::HalfEven,
        amount_decimals: 4,
        tax_percent: 0,
        charge_gross: true,
        settings: Settings { attempt_fee: Some(Price(10_000_000)), ..Settings::default() },
        valid_from: Some(OccurredAt(NOON)),
        valid_until: None,
        taxes: vec![Tax { name: "VAT".into(), percent: 230_000, rounding: Rounding::Down }],
    };
    let mut terms = DeckTerms::new(usd());
    terms.time_bands = vec![TimeBand { name: "peak".into(), days: vec!["mon".into()], from: 480, until: 1200 }];
    terms.jurisdiction_from = JurisdictionFrom::Dialled;
    let deck = DeckRoot {
        id: "az".into(),
        version: 2,
        terms,
        chunks: vec![[7; 32]],
        rows: 18_254,
        source: "notice.xlsx".into(),
    };
    let void = VoidOrder { partition: 3, offset: 812, reason: "the switch's clock ran a year ahead".into() };
    let mut items = config_items_v1();
    items.splice(1..1, [ConfigItem::Agreement(agreement), ConfigItem::Deck(deck), ConfigItem::VoidOrder(void)]);
    items
}
