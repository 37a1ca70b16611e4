//! The console's "price a call", answered by the code of `tandem quote`: a line for each side of the account, and one for
//! each vendor. Books nothing, keeps nothing.

use crate::node::Node;
use crate::ops;
use crate::output::Failure;
use crate::tables::table_of;
use console::price::{FieldFault, PriceAsk, PriceView, SideView};
use console::source::{Fact, Kind, SourceError};
use facts::Amount;
use facts::config::{Agreement, Config};
use facts::time::{parse_seconds, rfc3339};
use facts::xdr::Side;
use rating::quote::{Came, Quoted, Quoter};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Accounts and products offered by the form's lists.
const OFFERED: usize = 500;
/// Vendors asked for the same call.
const VENDORS_MAX: usize = 200;
const SECONDS: &str = "60";

/// Prices what was asked; an empty question gives the empty form.
pub fn view(node: &Node, ask: &PriceAsk, now: i64) -> Result<PriceView, SourceError> {
    let config = node.config.current();
    let mut view = PriceView { asked: ask.clone(), ..PriceView::default() };
    let carrier = |id: &str| config.carriers.get(id).map_or_else(|| id.to_owned(), |carrier| carrier.name.clone());
    let accounts = config.accounts.values().take(OFFERED);
    view.accounts = accounts.map(|a| (a.id.to_string(), format!("{}, {}", carrier(&a.carrier), a.currency))).collect();
    view.products = config.products.keys().take(OFFERED).map(ToString::to_string).collect();
    if ask.is_empty() {
        return Ok(view);
    }
    let Some(call) = call(&mut view, now) else { return Ok(view) };
    let mut quoter = Quoter::with(rater::tariffs::tariffs_of(&config));
    let wanted = sides(&config, &view.asked);
    let account = view.asked.account.clone();
    if !config.accounts.contains_key(account.as_str()) {
        fault(&mut view, "account", format!("the configuration has no account {account:?}; choose one of the list"));
        return Ok(view);
    }
    if wanted.is_empty() {
        let product = &ask.product;
        let (field, what) = match product.is_empty() {
            true => ("account", format!("account {account:?} has no agreement; add one and run tandem apply")),
            false => ("product", format!("account {account:?} has no agreement for {product:?}; leave it empty")),
        };
        fault(&mut view, field, what);
        return Ok(view);
    }
    for (at, (side, product)) in wanted.iter().enumerate() {
        let line = line(&account, *side, product, &call);
        let quoted = quoter.answer(1, &line);
        if at == 0 {
            view.line = line;
        }
        if quoted.came == Came::Refused {
            refused(&mut view, &quoted);
            view.sides.clear();
            return Ok(view);
        }
        view.sides.push(side_view(&account, *side, product, &quoted));
    }
    if wanted.iter().any(|(side, _)| *side == Side::Sell) {
        view.vendors = vendors(&config, &mut quoter, &account, &call, first_sale(&view));
    }
    Ok(view)
}

fn fault(view: &mut PriceView, field: &str, what: String) {
    view.faults.push(FieldFault { field: field.to_owned(), what });
}

/// The call of the question, or what is wrong with it.
fn call(view: &mut PriceView, now: i64) -> Option<Value> {
    let asked = &mut view.asked;
    for text in [&mut asked.account, &mut asked.product, &mut asked.number, &mut asked.caller, &mut asked.duration] {
        *text = text.trim().to_owned();
    }
    let mut faults = Vec::new();
    if asked.account.is_empty() {
        faults.push(("account", "name the account that is charged".to_owned()));
    }
    if asked.number.is_empty() {
        faults.push(("number", "type the called number, digits with or without +".to_owned()));
    }
    match ops::instant("", &asked.at) {
        Ok(at) => asked.at = rfc3339(at.unwrap_or(now / 1_000_000 * 1_000_000)),
        Err(Failure::Usage(what) | Failure::Broken(what)) => faults.push(("at", what.trim().to_owned())),
    }
    if asked.duration.is_empty() {
        SECONDS.clone_into(&mut asked.duration);
    }
    if parse_seconds(&asked.duration).is_none_or(|micros| micros < 0) {
        faults.push(("duration", "write seconds with at most 6 decimals, as 61.5".to_owned()));
    }
    let caller = (!asked.caller.is_empty()).then_some(&asked.caller);
    let call = json!({"called": asked.number, "caller": caller, "started_at": asked.at, "duration": asked.duration});
    let good = faults.is_empty();
    faults.into_iter().for_each(|(field, what)| fault(view, field, what));
    good.then_some(call)
}

/// Sides and products of the account's agreements.
fn sides(config: &Config, asked: &PriceAsk) -> Vec<(Side, String)> {
    let ours = |agreement: &&Agreement| {
        let product = agreement.product.as_str();
        agreement.account == asked.account.as_str()
            && (asked.product.is_empty() || product.is_empty() || product == asked.product)
    };
    let mut found: Vec<(Side, String)> = config
        .agreements
        .values()
        .filter(ours)
        .map(|a| (a.side, if asked.product.is_empty() { a.product.to_string() } else { asked.product.clone() }))
        .collect();
    found.sort_by(|a, b| (a.0 != Side::Sell, &a.1).cmp(&(b.0 != Side::Sell, &b.1)));
    found.dedup();
    found
}

/// One line as `tandem quote` reads it.
fn line(account: &str, side: Side, product: &str, call: &Value) -> String {
    let mut line = json!({"id": "console", "account": account, "side": side.as_str(), "call": call});
    if !product.is_empty() {
        line["product"] = product.into();
    }
    line.to_string()
}

/// Where the form shows what a line was refused for.
fn refused(view: &mut PriceView, quoted: &Quoted) {
    let answer: Value = serde_json::from_str(&quoted.line).unwrap_or_default();
    let text = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
    let field = match text("field").as_str() {
        "call.called" => "number",
        "call.caller" => "caller",
        "call.started_at" => "at",
        "call.duration" => "duration",
        "product" => "product",
        "account" => "account",
        _ => "",
    };
    fault(view, field, format!("{}; {}", text("reason"), text("advice")));
}

fn side_view(account: &str, side: Side, product: &str, quoted: &Quoted) -> SideView {
    let answer: Value = serde_json::from_str(&quoted.line).unwrap_or_default();
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let verb = if side == Side::Sell { "Sell to" } else { "Buy from" };
    let of = if product.is_empty() { String::new() } else { format!(", {product}") };
    let title = format!("{verb} {account}{of}");
    if quoted.came != Came::Priced {
        let unrated = format!("{}: {}", text("unrated"), text("message"));
        return SideView { title, net: None, unrated, facts: Vec::new(), explanation: Vec::new() };
    }
    let (code, destination) = row_of(&answer);
    let mut facts = Vec::new();
    if let Some(named) = &quoted.named {
        let deck = console::access::encode(&named.deck);
        facts.push(Fact::linked(
            "Row",
            format!("{code} {destination}, deck {} version {}", named.deck, named.version),
            format!("/decks/{deck}/{}/{code}", named.version),
        ));
        facts.push(Fact::new("Agreement", named.agreement.as_str()));
    }
    facts.push(Fact::new("Billed", format!("{} s", text("billed_seconds"))));
    facts.push(Fact::new("Exact", text("exact_net")));
    facts.push(Fact::new("With tax", format!("{} (tax {})", text("gross"), text("tax"))));
    let steps = answer["explanation"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let explanation = steps.map(str::to_owned).collect();
    SideView { title, net: Some((text("net"), text("currency"))), unrated: String::new(), facts, explanation }
}

fn row_of(answer: &Value) -> (String, String) {
    let text = |key: &str| answer["rate"][key].as_str().unwrap_or_default().to_owned();
    (text("prefix"), text("destination"))
}

/// What the first sale brings, for the margin.
fn first_sale(view: &PriceView) -> Option<(Amount, String)> {
    let (net, currency) = view.sides.iter().find(|side| side.title.starts_with("Sell"))?.net.as_ref()?;
    Some((net.parse().ok()?, currency.clone()))
}

/// The same call by every account that we buy from, the cheapest of each currency first.
fn vendors(
    config: &Config,
    quoter: &mut Quoter,
    customer: &str,
    call: &Value,
    sale: Option<(Amount, String)>,
) -> console::source::Table {
    let buys: BTreeSet<(&str, &str)> = config
        .agreements
        .values()
        .filter(|a| a.side == Side::Buy && a.account != customer)
        .map(|a| (a.account.as_str(), a.product.as_str()))
        .collect();
    let mut rows = Vec::new();
    for (account, product) in buys.iter().take(VENDORS_MAX) {
        let quoted = quoter.answer(1, &line(account, Side::Buy, product, call));
        let answer: Value = serde_json::from_str(&quoted.line).unwrap_or_default();
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let (code, destination) = row_of(&answer);
        let (deck, version) =
            quoted.named.as_ref().map(|n| (n.deck.to_string(), n.version.to_string())).unwrap_or_default();
        let (net, currency) = (text("net"), text("currency"));
        let cost: Option<Amount> = net.parse().ok();
        let margin = match (&sale, cost) {
            (Some((sale, of)), Some(cost)) if *of == currency => sale.checked_sub(cost).map(|m| m.to_string()),
            _ => None,
        };
        let no_price = match quoted.came {
            Came::Priced => String::new(),
            Came::Unrated => text("message"),
            Came::Refused => answer["error"]["reason"].as_str().unwrap_or_default().to_owned(),
        };
        let key = (cost.is_none(), currency.clone(), cost);
        let billed = text("billed_seconds");
        let cells =
            vec![(*account).to_owned(), (*product).to_owned(), net, currency, margin.unwrap_or_default(), billed];
        rows.push((key, [cells, vec![code, destination, deck, version, no_price]].concat()));
    }
    rows.sort();
    let columns = [
        ("account", "Vendor", Kind::Text),
        ("product", "Product", Kind::Text),
        ("net", "Cost", Kind::Money),
        ("currency", "Currency", Kind::Text),
        ("margin", "Margin", Kind::Money),
        ("billed", "Billed s", Kind::Count),
        ("code", "Code", Kind::Text),
        ("destination", "Destination", Kind::Text),
        ("deck", "Deck", Kind::Text),
        ("version", "Version", Kind::Count),
        ("no_price", "No price because", Kind::Text),
    ];
    let mut table = table_of(&columns, rows.into_iter().map(|(_, cells)| cells).collect());
    if buys.len() > VENDORS_MAX {
        table.covers = format!("The first {VENDORS_MAX} of {} accounts that are bought from", buys.len());
    }
    table
}
