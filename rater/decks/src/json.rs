//! The JSON lines of `tandem deck read FILE --json`: rates and problems in the shape of design section 13. Prints
//! nothing itself.

use crate::{DeckError, Found, Item, Problem, Source, Totals};
use facts::deck::{OriginMode, Price, Rate, RowStatus, Step};
use facts::time::{rfc3339, seconds};
use serde::Serialize;

#[derive(Serialize)]
struct RateLine<'a> {
    prefix: facts::Prefix,
    destination: &'a str,
    connect_fee: Price,
    attempt_fee: Option<Price>,
    disconnect_fee: Option<Price>,
    first_interval: u32,
    first_rate: Price,
    next_interval: u32,
    next_rate: Price,
    inter_rate: Option<Price>,
    intra_rate: Option<Price>,
    indeterminate_rate: Option<Price>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    time_band: Option<&'a str>,
    origin: Option<&'a str>,
    origin_mode: OriginMode,
    status: RowStatus,
    free_seconds: String,
    grace_seconds: Option<String>,
    minimum_seconds: Option<String>,
    maximum_seconds: Option<String>,
    minimum_amount: Option<Price>,
    maximum_amount: Option<Price>,
    steps: Vec<StepLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceLine<'a>>,
}

#[derive(Serialize)]
struct StepLine {
    from: String,
    rate: Price,
    per: u32,
    increment: u32,
}

#[derive(Serialize)]
struct SourceLine<'a> {
    sheet: &'a str,
    row: u32,
}

#[derive(Serialize)]
struct ProblemLine<'a> {
    problem: ProblemBody<'a>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    sheet: &'a str,
    row: u32,
    column: &'a str,
    reason: &'a str,
    advice: &'a str,
}

/// One rate as one line, without the line's end.
pub fn rate(rate: &Rate, source: Option<&Source>) -> String {
    let settings = &rate.settings;
    let line = RateLine {
        prefix: rate.prefix,
        destination: &rate.destination,
        connect_fee: rate.connect_fee,
        attempt_fee: settings.attempt_fee,
        disconnect_fee: settings.disconnect_fee,
        first_interval: rate.first_interval,
        first_rate: rate.first_rate,
        next_interval: rate.next_interval,
        next_rate: rate.next_rate,
        inter_rate: rate.inter_rate,
        intra_rate: rate.intra_rate,
        indeterminate_rate: rate.indeterminate_rate,
        valid_from: rate.valid_from.map(rfc3339),
        valid_until: rate.valid_until.map(rfc3339),
        time_band: rate.time_band.as_deref(),
        origin: rate.origin.as_deref(),
        origin_mode: rate.origin_mode,
        status: rate.status,
        free_seconds: seconds(rate.free),
        grace_seconds: settings.grace.map(seconds),
        minimum_seconds: settings.minimum_duration.map(seconds),
        maximum_seconds: settings.maximum_duration.map(seconds),
        minimum_amount: settings.minimum_amount,
        maximum_amount: settings.maximum_amount,
        steps: rate.steps.iter().map(step).collect(),
        source: source.map(|source| SourceLine { sheet: &source.sheet, row: source.row }),
    };
    written(&line)
}

fn step(step: &Step) -> StepLine {
    StepLine { from: seconds(step.from), rate: step.rate, per: step.per, increment: step.increment }
}

/// One problem as one line.
pub fn problem(problem: &Problem) -> String {
    written(&ProblemLine {
        problem: ProblemBody {
            sheet: &problem.source.sheet,
            row: problem.source.row,
            column: &problem.column,
            reason: &problem.reason,
            advice: &problem.advice,
        },
    })
}

/// One item as one line.
pub fn item(item: &Item) -> String {
    match item {
        Item::Rate(row, source) => rate(row, Some(source)),
        Item::Problem(row) => problem(row),
    }
}

/// What was recognised and counted, for people: one line each, label first.
pub fn summary(found: &Found, totals: &Totals) -> Vec<(&'static str, String)> {
    let list = |texts: &[String]| texts.join(", ");
    let columns: Vec<String> = found.columns.iter().map(|(field, name)| format!("{field} = {name:?}")).collect();
    let counts = |map: &std::collections::BTreeMap<smol_str::SmolStr, u64>| {
        map.iter().map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![
        ("format", format!("{}, {}", found.format, found.encoding)),
        ("header row", found.header_row.to_string()),
        ("columns", list(&columns)),
        ("currency", found.currency.map_or_else(|| "not in the file".to_owned(), |c| c.to_string())),
        ("rows", totals.rows.to_string()),
        ("rates", totals.rates.to_string()),
        ("codes", totals.codes.to_string()),
        ("destinations", totals.destinations.to_string()),
        ("problems", totals.problems.to_string()),
        ("increments", counts(&totals.increments)),
    ];
    let mut also = |label, text: String| {
        if !text.is_empty() {
            lines.push((label, text));
        }
    };
    let price = |price: Option<Price>| price.map(|price| price.to_string()).unwrap_or_default();
    also("least rate", price(totals.least));
    also("greatest rate", price(totals.greatest));
    if let Some(mean) = totals.mean() {
        also("mean rate", format!("{mean} (exactly {} / {})", totals.sum_text(), totals.open));
    }
    let dates = |(first, last)| format!("{} to {}", rfc3339(first), rfc3339(last));
    also("valid from", totals.valid_from.map(dates).unwrap_or_default());
    also("sheet", found.sheet.to_string());
    also("not used", found.ignored.join(", "));
    also("product", found.notice.product.as_deref().unwrap_or_default().to_owned());
    let day = |day: Option<jiff::civil::DateTime>| day.map(|day| day.to_string()).unwrap_or_default();
    also("issued", day(found.notice.issued));
    also("increases from", day(found.notice.increase_from));
    also("decreases from", day(found.notice.decrease_from));
    also("effective from", day(found.notice.effective_from));
    also("changes", counts(&totals.changes));
    let count = |count: u64| if count == 0 { String::new() } else { count.to_string() };
    also("blocked", count(totals.blocked));
    also("discontinued", count(totals.discontinued));
    for group in &found.origin_groups {
        let codes: Vec<String> = group.prefixes.iter().map(ToString::to_string).collect();
        let codes = if group.malformed { "callers without a right number".to_owned() } else { codes.join(", ") };
        also("origin group", format!("{}: {codes}", group.name));
    }
    also("origin rates", count(totals.origin_rates));
    also("blank rows", count(totals.blank));
    also("remarks", count(totals.remarks));
    for text in &found.assumptions {
        also("assumed", text.clone());
    }
    for text in &found.to_confirm {
        also("to confirm", text.clone());
    }
    lines
}

/// The same as one JSON line, which ends the output of a file that was read.
pub fn summary_line(found: &Found, totals: &Totals) -> String {
    let columns: serde_json::Map<String, serde_json::Value> =
        found.columns.iter().map(|(field, name)| (field.to_string(), name.as_str().into())).collect();
    let pair = |(first, next): (u32, u32)| format!("{first}/{next}");
    let exceptions: serde_json::Map<String, serde_json::Value> =
        found.increments.iter().map(|(name, increment)| (name.to_string(), pair(*increment).into())).collect();
    let day = |day: Option<jiff::civil::DateTime>| day.map(|day| day.to_string());
    let notice = &found.notice;
    written(&serde_json::json!({ "summary": {
        "format": found.format, "encoding": found.encoding, "separator": found.separator, "sheet": found.sheet,
        "header_row": found.header_row, "columns": columns, "ignored": found.ignored, "currency": found.currency,
        "rows": totals.rows, "rates": totals.rates, "codes": totals.codes, "destinations": totals.destinations,
        "problems": totals.problems, "blank": totals.blank, "remarks": totals.remarks, "blocked": totals.blocked,
        "discontinued": totals.discontinued, "increments": totals.increments, "changes": totals.changes,
        "least_rate": totals.least, "greatest_rate": totals.greatest, "mean_rate": totals.mean(),
        "rate_sum": totals.sum_text(), "open_rates": totals.open,
        "valid_from": totals.valid_from.map(|(first, last)| [rfc3339(first), rfc3339(last)]),
        "origin_groups": found.origin_groups, "origin_rates": totals.origin_rates,
        "increment": found.increment.map(pair), "increment_exceptions": exceptions,
        "notice": {
            "product": notice.product, "currency": notice.currency, "issued": day(notice.issued),
            "effective_from": day(notice.effective_from), "increase_from": day(notice.increase_from),
            "decrease_from": day(notice.decrease_from),
        },
        "assumptions": found.assumptions, "to_confirm": found.to_confirm,
    }}))
}

/// A refused file as one line.
pub fn refusal(error: &DeckError) -> String {
    written(&serde_json::json!({ "refused": error.to_string() }))
}

fn written(line: &impl Serialize) -> String {
    // Strings, integers and options only: nothing that could fail to be written.
    serde_json::to_string(line).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}
