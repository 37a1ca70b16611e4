//! `tandem rate`: a switch's file priced against a configuration, without any server: every side of every call with its
//! amount or the reason why it has none. Keeps the file's calls in memory; stores and books nothing.

use crate::apply;
use crate::cli::RateArgs;
use crate::output::{self, Ending, Failure, Lines, Outcome};
use facts::config::{Config, Switch};
use facts::ids::{CallId, DedupeKey};
use facts::time::{rfc3339, seconds};
use facts::xdr::{Side, Xdr};
use facts::{Amount, Call, CallEvent};
use rating::Tariffs;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use switch_formats::{Decoded, Tally};

const CHUNK_BYTES: usize = 1 << 20;

/// A configuration from files, compiled; problems of deck files are told on stderr.
pub fn configuration(path: &Path) -> Result<(Arc<Config>, Arc<Tariffs>), Failure> {
    let plan = apply::plan(path, &Config::default(), false)?;
    plan.problems.iter().take(20).for_each(|problem| output::note(problem));
    let mut config = Config::default();
    plan.items.into_iter().for_each(|item| config.apply(item));
    let config = Arc::new(config);
    let tariffs = rater::tariffs::tariffs_of(&config);
    tariffs.problems().iter().for_each(|problem| output::note(problem));
    Ok((config, tariffs))
}

/// Reads, assembles and prices a file.
pub fn run(args: &RateArgs, json: bool) -> Outcome {
    let (config, tariffs) = configuration(&args.config)?;
    let switch = switch_of(&config, args.switch.as_deref())?;
    let mut out = Out { lines: Lines::new(), json, totals: BTreeMap::new(), calls: 0, unpriced: 0 };
    let (events, tally) = read(&args.file, switch, &mut out)?;
    for events in events {
        out.calls += 1;
        let views: Vec<_> = events.iter().map(CallEvent::view).collect();
        match rating::assemble::fold(&views, false) {
            Ok(mut call) => {
                tariffs.normalise(&mut call);
                for (xdr, explanation) in tariffs.explained(&call) {
                    out.side(&call, &xdr, &explanation)?;
                }
            }
            Err(error) => out.suspended(&events, error.reason())?,
        }
    }
    out.end(&tally)
}

/// The switch that a flag names, or the only one there is.
fn switch_of<'c>(config: &'c Config, wanted: Option<&str>) -> Result<&'c Switch, Failure> {
    let known = || config.switches.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match wanted {
        Some(id) => config
            .switches
            .get(id)
            .ok_or_else(|| Failure::Usage(format!("the configuration has no switch {id:?}; it has {}", known()))),
        None => match (config.switches.values().next(), config.switches.len()) {
            (Some(only), 1) => Ok(only),
            _ => Err(Failure::Usage(format!("name the switch that wrote the file: --switch ID ({})", known()))),
        },
    }
}

type Events = Vec<Vec<CallEvent>>;

/// The events of each call, in the order in which the calls begin in the file. Repeats are counted and left out.
fn read(file: &Path, switch: &Switch, out: &mut Out) -> Result<(Events, Tally), Failure> {
    let wrong = |e: std::io::Error| Failure::Usage(format!("{}: {e}", file.display()));
    let mut input = File::open(file).map_err(wrong)?;
    let mut reader = switch_formats::reader(&switch.format, switch).map_err(Failure::usage)?;
    let name = file.display().to_string();
    let (mut events, mut places): (Events, HashMap<CallId, usize>) = (Vec::new(), HashMap::new());
    let (mut seen, mut tally, mut failed) = (HashSet::<DedupeKey>::new(), Tally::default(), None);
    let mut take = |decoded: Decoded| {
        tally.add(&decoded);
        match decoded {
            Decoded::Record(record) | Decoded::Event(record) => {
                if record.event.dedupe.is_some_and(|key| !seen.insert(key)) {
                    return;
                }
                let place = *places.entry(record.event.call_id()).or_insert_with(|| {
                    events.push(Vec::new());
                    events.len() - 1
                });
                events[place].push(record.event);
            }
            other => failed = failed.take().or_else(|| out.left_out(&other, &name).err()),
        }
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match input.read(&mut chunk).map_err(wrong)? {
            0 => break,
            filled => reader.feed(&chunk[..filled], &mut take),
        }
    }
    reader.finish(&mut take);
    failed.map_or(Ok((events, tally)), Err)
}

/// What is printed, and what it adds up to.
struct Out {
    lines: Lines,
    json: bool,
    /// Side, account, currency: sides, seconds billed, charge.
    totals: BTreeMap<(&'static str, String, String), (u64, i64, Amount)>,
    calls: u64,
    unpriced: u64,
}

impl Out {
    fn left_out(&mut self, decoded: &Decoded, file: &str) -> Result<(), Failure> {
        match decoded {
            Decoded::Reject(_) if self.json => self.lines.line(&switch_formats::json::line(decoded, file)),
            Decoded::Reject(reject) => {
                let reason = crate::ops::with_field(&reject.field, &reject.reason);
                output::note(&format!("{file}:{}: {reason}; {}", reject.place.line, reject.advice));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn suspended(&mut self, events: &[CallEvent], reason: &str) -> Result<(), Failure> {
        self.unpriced += 1;
        let key = events.first().map_or("", |event| &event.call_key);
        if self.json {
            return self.lines.line(&json!({"suspended": {"call_key": key, "reason": reason}}).to_string());
        }
        output::note(&format!("call {key}: {reason}"));
        Ok(())
    }

    fn side(&mut self, call: &Call, xdr: &Xdr, explanation: &[String]) -> Result<(), Failure> {
        self.unpriced += u64::from(xdr.unrated.is_some());
        let key = (xdr.side.as_str(), xdr.account.to_string(), xdr.currency.to_string());
        let (sides, billed, charge) = self.totals.entry(key).or_default();
        *sides += 1;
        *billed = billed.saturating_add(xdr.billed);
        let beyond = || Failure::Usage(format!("the amounts of account {} do not fit 128 bits", xdr.account));
        *charge = charge.checked_add(xdr.gross).ok_or_else(beyond)?;
        if self.json { self.lines.line(&line(call, xdr, explanation).to_string()) } else { self.text(call, xdr) }
    }

    fn text(&mut self, call: &Call, xdr: &Xdr) -> Result<(), Failure> {
        let rate = xdr.rate.as_ref().map(|rate| format!("{} {}", rate.prefix, rate.destination)).unwrap_or_default();
        let reason = xdr.unrated.map(|reason| format!("  unrated: {}", reason.as_str())).unwrap_or_default();
        let text = format!(
            "{}  {:4}  {:20}  {:15}  {:>8}  {:>8}  {:>14} {}  {rate}{reason}",
            rfc3339(xdr.rated_at.0),
            xdr.side.as_str(),
            xdr.account,
            called(call),
            seconds(xdr.duration),
            seconds(xdr.billed),
            xdr.gross.display(u32::from(xdr.decimals)),
            xdr.currency,
        );
        self.lines.line(text.trim_end())
    }

    fn end(self, tally: &Tally) -> Outcome {
        let Self { mut lines, json, totals, calls, unpriced } = self;
        let totals = totals.into_iter().map(|((side, account, currency), (sides, billed, charge))| {
            json!({"side": side, "account": account, "currency": currency, "sides": sides,
                "billed_seconds": seconds(billed), "charge": charge.to_string()})
        });
        let totals: Vec<Value> = totals.collect();
        if json {
            let summary = json!({"summary": {"read": tally.read, "accepted": tally.accepted,
                "repeated": tally.repeated, "rejected": tally.rejected, "calls": calls, "unpriced": unpriced,
                "totals": totals}});
            lines.line(&summary.to_string())?;
        }
        lines.end()?;
        if !json {
            for total in &totals {
                let field = |name: &str| total[name].as_str().map_or_else(|| total[name].to_string(), str::to_owned);
                output::note(&format!(
                    "{:4}  {:20}  {} sides, {} s billed, {} {}",
                    field("side"),
                    field("account"),
                    field("sides"),
                    field("billed_seconds"),
                    field("charge"),
                    field("currency")
                ));
            }
            output::note(&format!(
                "read {}, accepted {}, repeated {}, rejected {}; {calls} calls, {unpriced} sides without a final price",
                tally.read, tally.accepted, tally.repeated, tally.rejected
            ));
        }
        Ok(if tally.rejected == 0 && unpriced == 0 { Ending::Good } else { Ending::Differs })
    }
}

fn called(call: &Call) -> String {
    call.called_number.map_or_else(|| call.called.to_string(), |number| number.to_string())
}

/// One priced side; amounts as charged, times with their offset, durations in seconds.
fn line(call: &Call, xdr: &Xdr, explanation: &[String]) -> Value {
    let attempt = xdr.attempt.filter(|_| xdr.side == Side::Buy).and_then(|at| call.attempts.get(usize::from(at)));
    let (started, answered) = match attempt {
        Some(attempt) => (attempt.started_at.unwrap_or(call.started_at), attempt.answered_at),
        None => (call.started_at, call.answered_at),
    };
    let decimals = u32::from(xdr.decimals);
    let rate = xdr.rate.as_ref().map(|rate| {
        json!({"deck": rate.deck, "version": rate.deck_version, "prefix": rate.prefix.to_string(),
            "destination": rate.destination, "increment": format!("{}/{}", rate.first_interval, rate.next_interval),
            "first_rate": rate.first_rate.to_string(), "next_rate": rate.next_rate.to_string()})
    });
    json!({"xdr": {
        "call_key": call.call_key, "attempt_key": attempt.map(|attempt| attempt.key.as_str()),
        "side": xdr.side.as_str(), "level": xdr.level, "account": xdr.account, "product": xdr.product,
        "agreement": xdr.agreement, "caller": call.caller, "called": called(call), "started_at": rfc3339(started.0),
        "answered_at": answered.map(|at| rfc3339(at.0)), "rated_at": rfc3339(xdr.rated_at.0),
        "duration": seconds(xdr.duration), "billed_seconds": seconds(xdr.billed),
        "net": xdr.amount.display(decimals), "charge": xdr.gross.display(decimals), "currency": xdr.currency.as_str(),
        "rate": rate, "unrated": xdr.unrated.map(|reason| reason.as_str()),
        "provisional": xdr.provisional.is_some(), "explanation": explanation,
    }})
}
