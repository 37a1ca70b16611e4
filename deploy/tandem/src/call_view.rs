//! One call, and one rate, with everything that explains them.

use crate::node::Node;
use crate::ops;
use crate::pages::shown;
use crate::peers::sums;
use crate::tables::table_of;
use bus::stream::FrameReader;
use console::source::{CallView, Fact, Kind, RateView, RawView, SourceError, Table, XdrView};
use facts::call::{Attempt, Call};
use facts::deck::Rate;
use facts::entry::EntryKind;
use facts::ids::RunId;
use facts::number::Prefix;
use facts::stream::Input;
use facts::time::{rfc3339, seconds};
use facts::xdr::{Position, RatedCall, Revision, Xdr, XdrItem};
use facts::{CallId, Side};
use ledger::{EntryRow, LedgerView};
use reporting::block_on;
use reporting::reports::{self, Search};
use smol_str::SmolStr;

/// Bytes of a raw record shown on the page.
const RAW_SHOWN: usize = 16_384;
/// Revisions followed back.
const REVISIONS_MAX: usize = 100;

/// What one site booked of a call, in log order.
struct Booked<'a> {
    site: &'a str,
    entries: Vec<EntryRow>,
}

impl Booked<'_> {
    /// Its charge was taken back since another site's counts (design 8.8).
    fn gave_way(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == EntryKind::Reversal && entry.call_id.is_some())
    }
}

/// Everything known about a call, of whichever site held here; `None` where it is not known (yet).
pub fn call(node: &Node, call_id: CallId) -> Result<Option<CallView>, SourceError> {
    let booked = booked(node, call_id)?;
    let Some((stream, at)) = place_of(node, call_id, &booked)? else { return Ok(None) };
    let read = |stream: &str, at| rated_call(node, stream, at);
    let Some((rated, base)) = read(&stream, at)?.filter(|(rated, _)| rated.call.call_id == call_id) else {
        return Ok(None);
    };
    let entries: Vec<(&str, &EntryRow)> =
        booked.iter().flat_map(|one| one.entries.iter().map(move |entry| (one.site, entry))).collect();
    let mut revisions = vec![revision_text(&rated, &stream, at)];
    for (stream, at) in earlier(&entries, (stream.clone(), at), based_on(&rated).map(|at| (base.to_string(), at))) {
        let Some((before, _)) = read(&stream, at)? else { break };
        revisions.push(revision_text(&before, &stream, at));
    }
    let call = &rated.call;
    let mut facts = call_facts(call, &stream, at);
    facts.extend(twice(&booked));
    let site = site_of(node, &stream);
    Ok(Some(CallView {
        call_id: call_id.to_string(),
        title: format!("{} → {}", or_none(&call.caller), or_none(&call.called)),
        estimated: call.estimated,
        facts,
        events: events(call),
        attempts: attempts(&call.attempts),
        xdrs: rated.xdrs.iter().map(|xdr| xdr_view(xdr, call)).collect(),
        entries: call_entries(&entries),
        raw: raw(node, call, site),
        revisions,
    }))
}

/// What every site held here has booked of a call.
fn booked(node: &Node, call_id: CallId) -> Result<Vec<Booked<'_>>, SourceError> {
    let mut all = Vec::new();
    for (site, view) in sums::named_views(node, None).map_err(shown)? {
        let entries = view.entries_for_call(call_id).map_err(|e| SourceError::Broken(e.to_string()))?;
        if !entries.is_empty() {
            all.push(Booked { site, entries });
        }
    }
    // Those that gave way last: their revisions are none of what counts.
    all.sort_by_key(Booked::gave_way);
    Ok(all)
}

/// Says so where two sites charged the call.
fn twice(booked: &[Booked<'_>]) -> Option<Fact> {
    let (lost, counts): (Vec<&Booked<'_>>, Vec<&Booked<'_>>) = booked.iter().partition(|one| one.gave_way());
    let names = |all: &[&Booked<'_>]| all.iter().map(|one| one.site).collect::<Vec<_>>().join(", ");
    match (lost.len(), counts.len()) {
        (0, 0 | 1) => None,
        (0, _) => Some(Fact::new("Counts twice", format!("charged at sites {}, not settled yet", names(&counts)))),
        _ => Some(Fact::new(
            "Charged at",
            format!("site {}; site {} took its charge back", names(&counts), names(&lost)),
        )),
    }
}

/// Whose stream it is.
fn site_of<'a>(node: &'a Node, stream: &str) -> &'a str {
    let other = node.others.iter().find(|other| sites::belongs_to(&other.name, stream));
    other.map_or(node.settings.site.as_str(), |other| other.name.as_str())
}

/// The rated call at a place, and the stream in which what it replaces stands. `None`: something else, or not seen yet.
fn rated_call(node: &Node, stream: &str, at: Position) -> Result<Option<(RatedCall, SmolStr)>, SourceError> {
    let broken = |error: &dyn std::fmt::Display| SourceError::Broken(error.to_string());
    let other = node.others.iter().find(|other| sites::belongs_to(&other.name, stream));
    let offset = match other {
        Some(other) => other.runs.offset_in(stream, at.seq).map_err(SourceError::Broken)?,
        None => match node.runs.place(stream, at.seq).map_err(SourceError::Broken)? {
            Some(offset) => Some(offset),
            None => node.records.place(stream, at.seq),
        },
    };
    let Some(offset) = offset else { return Ok(None) };
    let mut frames = FrameReader::new(node.bus.clone(), node.ids.clone(), stream);
    let base = match &frames.frame(at.seq, offset).map_err(|error| broken(&error))?.header.inputs[..] {
        [Input::Stream { stream, .. }] => stream.clone(),
        _ => stream.into(),
    };
    match frames.item(at, offset, schemas::xdrs::decode_item).map_err(|error| broken(&error))? {
        XdrItem::Call(call) => Ok(Some((*call, base))),
        _ => Ok(None),
    }
}

/// Where the newest revision of a call stands that counts: by the ledgers' entries, which name it in the order of
/// booking; where nothing was booked, by the reporting engine.
fn place_of(node: &Node, call_id: CallId, booked: &[Booked<'_>]) -> Result<Option<Place>, SourceError> {
    let newest = |one: &Booked<'_>| one.entries.iter().rev().find_map(|entry| entry.source.clone());
    if let Some(source) = booked.iter().find_map(newest) {
        return Ok(Some((source.stream.to_string(), Position { seq: source.seq, index: source.index })));
    }
    let Ok(engine) = ops::engine(node) else { return Ok(None) };
    let search = Search { call_id: Some(call_id), ..Search::default() };
    let mut session = engine.session();
    let found = block_on(reports::search(&mut session, &search));
    let found = found.map_err(|error| shown(crate::output::Failure::broken(error)))?;
    Ok(found.first().map(|row| (row.stream.clone(), row.position())))
}

/// Stream and position.
type Place = (String, Position);

/// Revisions before the newest, newest first: all that were booked, and what the newest was made from, which may be
/// free of charge and so without an entry.
fn earlier(entries: &[(&str, &EntryRow)], newest: Place, based_on: Option<Place>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for source in entries.iter().rev().filter_map(|(_, entry)| entry.source.as_ref()) {
        let place = (source.stream.to_string(), Position { seq: source.seq, index: source.index });
        if place != newest && !places.contains(&place) {
            places.push(place);
        }
    }
    places.extend(based_on.filter(|_| places.is_empty()));
    places.truncate(REVISIONS_MAX);
    places
}

fn based_on(rated: &RatedCall) -> Option<Position> {
    match rated.revision {
        Revision::First => None,
        Revision::Late { based_on, .. } | Revision::Run { based_on, .. } => Some(based_on),
    }
}

fn revision_text(rated: &RatedCall, stream: &str, at: Position) -> String {
    let why = match rated.revision {
        Revision::First => "first".to_owned(),
        Revision::Late { .. } => "late truth".to_owned(),
        Revision::Run { run, .. } => format!("run {}", RunId(run)),
    };
    let amounts: Vec<String> =
        rated.xdrs.iter().map(|x| format!("{} {} {}", x.side.as_str(), x.amount, x.currency)).collect();
    format!("{why}, {stream} frame {} item {}: {}", at.seq, at.index, amounts.join(", "))
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}

fn call_facts(call: &Call, stream: &str, at: Position) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("Call id", call.call_id.to_string()),
        Fact::new("Switch", switch(call)),
        Fact::new("Call key", call.call_key.as_str()),
        Fact::new("Started", call.started_at.to_string()),
        Fact::new("Answered", call.answered_at.map_or_else(|| "no".to_owned(), |at| at.to_string())),
        Fact::new("Ended", call.ended_at.to_string()),
        Fact::new("Talked", format!("{} s", seconds(call.duration))),
        Fact::new("Result", result(call.sip_code, call.q850)),
    ];
    if let Some(pdd) = call.pdd {
        facts.push(Fact::new("PDD", format!("{} s", seconds(pdd))));
    }
    if let Some(number) = call.called_number {
        facts.push(Fact::new("Rated number", number.as_str()));
    }
    if let Some(rn) = call.rn {
        facts.push(Fact::new("Routing number (LRN)", rn.as_str()));
    }
    let inbound = &call.inbound;
    let named = [
        ("trunk", &inbound.trunk),
        ("IP", &inbound.ip),
        ("tech prefix", &inbound.tech_prefix),
        ("user", &inbound.digest_user),
        ("account", &inbound.account),
    ];
    let from: Vec<String> = named.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k} {v}")).collect();
    facts.push(Fact::new("Came in by", from.join(", ")));
    facts.push(Fact::new("Stands in", format!("{stream}, frame {}, item {}", at.seq, at.index)));
    facts
}

/// The numbering space of its call keys stands beside the switch only where it is another one.
fn switch(call: &Call) -> String {
    if call.id_domain == call.switch {
        call.switch.to_string()
    } else {
        format!("{} ({})", call.switch, call.id_domain)
    }
}

fn result(sip: Option<u16>, q850: Option<u16>) -> String {
    let part = |name: &str, code: Option<u16>| code.map(|code| format!("{name} {code}"));
    let parts: Vec<String> = [part("SIP", sip), part("Q.850", q850)].into_iter().flatten().collect();
    if parts.is_empty() { "not told".to_owned() } else { parts.join(", ") }
}

fn events(call: &Call) -> Table {
    let columns =
        [("node", "Node", Kind::Text), ("boot", "Started at", Kind::Instant), ("sequence", "Sequence", Kind::Count)];
    let rows = call
        .events
        .iter()
        .map(|id| vec![id.node.to_string(), rfc3339(id.boot_epoch), id.sequence.to_string()])
        .collect();
    table_of(&columns, rows)
}

fn attempts(attempts: &[Attempt]) -> Table {
    let columns = [
        ("number", "Attempt", Kind::Count),
        ("to", "To", Kind::Text),
        ("started_at", "Started", Kind::Instant),
        ("answered_at", "Answered", Kind::Instant),
        ("ended_at", "Ended", Kind::Instant),
        ("duration", "Talked", Kind::Duration),
        ("result", "Result", Kind::Text),
        ("key", "B leg", Kind::Text),
    ];
    let rows = attempts
        .iter()
        .enumerate()
        .map(|(place, attempt)| {
            let time = |t: Option<facts::OccurredAt>| t.map(|t| t.to_string()).unwrap_or_default();
            let out = &attempt.outbound;
            let to = [&out.trunk, &out.ip, &out.account].into_iter().find(|text| !text.is_empty());
            let number = if attempt.number == 0 { place + 1 } else { usize::from(attempt.number) };
            vec![
                number.to_string(),
                to.map(ToString::to_string).unwrap_or_default(),
                time(attempt.started_at),
                time(attempt.answered_at),
                time(attempt.ended_at),
                seconds(attempt.duration),
                result(attempt.sip_code, attempt.q850),
                attempt.key.to_string(),
            ]
        })
        .collect();
    table_of(&columns, rows)
}

fn xdr_view(xdr: &Xdr, call: &Call) -> XdrView {
    let side = match xdr.side {
        Side::Sell if xdr.level == 0 => "Sell".to_owned(),
        Side::Sell => format!("Sell, reseller level {}", xdr.level),
        Side::Buy => format!("Buy, attempt {}", xdr.attempt.map_or(1, |a| a + 1)),
    };
    let mut facts = vec![Fact::linked("Account", xdr.account.as_str(), format!("/ledger/accounts/{}", xdr.account))];
    if let Some(reason) = xdr.unrated {
        facts.push(Fact::linked("No final price", reason.as_str(), format!("/calls?unrated={}", reason.as_str())));
    }
    if let Some(rate) = &xdr.rate {
        let link = format!("/decks/{}/{}/{}", rate.deck, rate.deck_version, rate.prefix);
        facts.push(Fact::linked("Rate", format!("{} {}", rate.prefix, rate.destination), link));
        facts.push(Fact::new("Deck", format!("{} version {}", rate.deck, rate.deck_version)));
        facts.push(Fact::new("Per minute", format!("{} / {} {}", rate.first_rate, rate.next_rate, rate.currency)));
        facts.push(Fact::new("Increment", format!("{}/{}", rate.first_interval, rate.next_interval)));
    }
    facts.push(Fact::new("Agreement", xdr.agreement.as_str()));
    facts.push(Fact::new("Rated at", xdr.rated_at.to_string()));
    facts.push(Fact::new("Duration", format!("{} s, billed {} s", seconds(xdr.duration), seconds(xdr.billed))));
    facts.push(Fact::new(
        "Rounding",
        format!("{} at {} decimals, duration {}", xdr.rounding.as_str(), xdr.decimals, xdr.duration_rounding.as_str()),
    ));
    XdrView {
        title: format!("{side}: {}", xdr.account),
        amount: xdr.amount.to_string(),
        currency: xdr.currency.to_string(),
        provisional: xdr.provisional.is_some(),
        facts,
        explanation: rating::explain(xdr, call),
    }
}

fn call_entries(entries: &[(&str, &EntryRow)]) -> Table {
    let columns = [
        ("site", "Site", Kind::Text),
        ("booked_at", "Booked", Kind::Instant),
        ("kind", "Kind", Kind::Text),
        ("gl", "Account of the chart", Kind::Text),
        ("account", "Account", Kind::Text),
        ("amount", "Debit +, credit −", Kind::Money),
        ("currency", "Currency", Kind::Text),
        ("entry_id", "Entry", Kind::Text),
    ];
    let rows = entries
        .iter()
        .flat_map(|(site, entry)| entry.postings.iter().map(move |posting| (site, entry, posting)))
        .map(|(site, entry, posting)| {
            let whose = if posting.account.is_empty() {
                format!("{} {}", posting.product, posting.destination)
            } else {
                posting.account.to_string()
            };
            vec![
                (*site).to_owned(),
                entry.booked_at.clone(),
                entry.kind.as_str().to_owned(),
                posting.gl.as_str().to_owned(),
                whose.trim().to_owned(),
                posting.amount.to_string(),
                posting.currency.to_string(),
                entry.entry_id.to_string(),
            ]
        })
        .collect();
    table_of(&columns, rows)
}

fn raw(node: &Node, call: &Call, site: &str) -> Vec<RawView> {
    if site != node.settings.site && !call.raw.is_empty() {
        let text = format!("The raw record is kept at site {site}, which read it.");
        return vec![RawView { place: format!("site {site}"), text }];
    }
    let store = match ingest::RawStore::open(&node.settings.data.join("raw")) {
        Ok(store) => store,
        Err(error) => return vec![RawView { place: "raw store".to_owned(), text: error.to_string() }],
    };
    let view = |raw: &facts::call::RawRef| {
        let hash: String = raw.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let place = format!("object {hash}, byte {}, {} bytes", raw.offset, raw.length);
        let text = match store.record(raw) {
            Ok(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(RAW_SHOWN)]).into_owned(),
            Err(error) => error.to_string(),
        };
        RawView { place, text }
    };
    call.raw.iter().map(view).collect()
}

/// A rate as it stands in its deck version.
pub fn rate(node: &Node, deck: &str, version: u32, prefix: &str) -> Result<Option<RateView>, SourceError> {
    let wanted = Prefix::new(prefix).map_err(|e| SourceError::Wrong(e.to_string()))?;
    let config = node.config.current();
    let root = config.decks.get(deck).and_then(|versions| versions.iter().find(|root| root.version == version));
    let Some(root) = root else { return Ok(None) };
    let covering =
        bus::config_log::rates_covering(&config, root, wanted).map_err(|e| shown(crate::output::Failure::broken(e)))?;
    let Some(first) = covering.first().filter(|rate| rate.prefix == wanted) else { return Ok(None) };
    let columns = [
        ("prefix", "Code", Kind::Text),
        ("destination", "Destination", Kind::Text),
        ("first_rate", "First rate", Kind::Money),
        ("next_rate", "Next rate", Kind::Money),
        ("increment", "Increment", Kind::Text),
        ("connect_fee", "Connect fee", Kind::Money),
        ("valid_from", "From", Kind::Instant),
        ("valid_until", "Until", Kind::Instant),
        ("status", "Status", Kind::Text),
    ];
    let line = |rate: &Rate| {
        let time = |t: Option<i64>| t.map(rfc3339).unwrap_or_default();
        vec![
            rate.prefix.to_string(),
            rate.destination.to_string(),
            rate.first_rate.to_string(),
            rate.next_rate.to_string(),
            format!("{}/{}", rate.first_interval, rate.next_interval),
            rate.connect_fee.to_string(),
            time(rate.valid_from),
            time(rate.valid_until),
            format!("{:?}", rate.status).to_lowercase(),
        ]
    };
    let facts = vec![
        Fact::new("Deck", format!("{deck} version {version}")),
        Fact::new("Currency", root.terms.currency.to_string()),
        Fact::new("Rows in this version", root.rows.to_string()),
        Fact::new("Imported from", root.source.clone()),
        Fact::new("Zones", format!("time bands {}, dates {}", root.terms.time_zone, root.terms.effective_zone)),
    ];
    let rows = table_of(&columns, covering.iter().map(line).collect());
    Ok(Some(RateView { title: format!("{} {}", first.prefix, first.destination), facts, rows }))
}
