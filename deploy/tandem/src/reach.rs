//! Where a command is carried out: in the process that owns the data folder, over loopback, or, where none runs, in
//! this one, which opens the folder itself for as long as it takes.

use crate::deck_life::args::DeckOp;
use crate::deck_life::traffic::NO_CALLS;
use crate::http::run_folder;
use crate::node::{Roles, Running};
use crate::ops::{self, Answer, Op};
use crate::output::{self, Ending, Failure, Outcome, note};
use crate::peers::orders::SiteOp;
use crate::prove::ProofOp;
use crate::settings::{BusKind, EngineKind, Settings};
use crate::tables;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// A report or import may take its time; the process on the other side ends it when it must.
const REQUEST_LIMIT: Duration = Duration::from_secs(3_700);
/// Longest wait for what is still on its way through the pipeline.
const DRAIN_LIMIT: Duration = Duration::from_secs(600);
/// What a change of a deck is weighed by where no process runs.
const LOADED_ONLY: &str =
    "no process of this data folder runs: past calls count as far as one has rated and loaded them";

/// Carries out a request wherever that is possible.
pub fn ask(settings: &Settings, op: &Op) -> Result<Answer, Failure> {
    match remote(&settings.data, op)? {
        Some(answer) => Ok(answer),
        None => here(settings, op),
    }
}

/// Asks the running process; `None` where none answers.
fn remote(data: &Path, op: &Op) -> Result<Option<Answer>, Failure> {
    let read = |name: &str| fs::read_to_string(run_folder(data).join(name)).ok().map(|text| text.trim().to_owned());
    let (Some(address), Some(token)) = (read("address"), read("token")) else { return Ok(None) };
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(REQUEST_LIMIT));
    let agent: ureq::Agent = config.build().into();
    let body = serde_json::to_vec(op).map_err(|e| Failure::Broken(e.to_string()))?;
    let request = agent
        .post(format!("http://{address}/v1/op"))
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", "application/json");
    let mut response = match request.send(&body[..]) {
        Ok(response) => response,
        Err(ureq::Error::Io(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => return Ok(None),
        Err(ureq::Error::ConnectionFailed) => return Ok(None),
        Err(error) => return Err(Failure::Broken(format!("the process at {address}: {error}"))),
    };
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .with_config()
        .limit(1 << 30)
        .read_to_string()
        .map_err(|e| Failure::Broken(format!("the process at {address}: {e}")))?;
    match status {
        200 => {
            serde_json::from_str(&text).map(Some).map_err(|e| Failure::Broken(format!("the process at {address}: {e}")))
        }
        400 => Err(Failure::Usage(text)),
        _ => Err(Failure::Broken(text)),
    }
}

/// Opens the folder, brings what is there through the pipeline where the answer depends on it, and answers.
fn here(settings: &Settings, op: &Op) -> Result<Answer, Failure> {
    let running = match Running::start(settings, &roles(settings, op)) {
        Ok(running) => running,
        // A log that refuses to open is just what verify has to say more about.
        Err(Failure::Broken(why)) if matches!(op, Op::Verify { .. }) && settings.bus.kind == BusKind::Embedded => {
            return Ok(damaged(settings, why));
        }
        Err(failure) => return Err(failure),
    };
    let drained = match op {
        Op::Apply { .. }
        | Op::History
        | Op::ShowConfig { .. }
        | Op::Rollback { .. }
        | Op::Void { .. }
        | Op::Import { .. }
        | Op::Radius(_)
        | Op::Proof(ProofOp::Key)
        | Op::Verify { .. } => Ok(()),
        Op::Deck(_) => Ok(()),
        _ => running.node.drain(DRAIN_LIMIT, &mut |_| ()),
    };
    let answer = drained.and_then(|()| match op {
        Op::Import { file, switch, .. } => {
            let bar = output::progress(0, "import");
            let answer = ops::import(&running.node, file, switch, true, &mut |(read, total)| {
                bar.set_length(total);
                bar.set_position(read);
            });
            bar.finish_and_clear();
            answer
        }
        op => ops::execute(&running.node, op),
    });
    running.stop();
    answer.map(|mut answer| {
        if matches!(op, Op::Deck(op) if weighs(settings, op)) && asked_for_calls(&answer) {
            // Behind the title: the last note says where it was written.
            answer.notes.insert(answer.notes.len().min(1), LOADED_ONLY.to_owned());
        }
        answer
    })
}

/// Whether the calls of the engine were looked for, with or without finding any.
fn asked_for_calls(answer: &Answer) -> bool {
    let lines = answer.json.as_ref().and_then(serde_json::Value::as_array);
    let Some(summary) = lines.and_then(|lines| lines.last()).map(|last| &last["summary"]) else { return false };
    summary["effect"].is_object() || summary["no_effect"].as_str().is_some_and(|why| why.starts_with(NO_CALLS))
}

/// Where an embedded log is damaged, read without opening it.
fn damaged(settings: &Settings, why: String) -> Answer {
    let mut notes = vec![why];
    let breaks = ledger::verify::inspect_folder(&settings.data.join("log"), &settings.site).unwrap_or_else(|error| {
        notes.push(error.to_string());
        Vec::new()
    });
    for broken in &breaks {
        let file = broken.file.as_ref().map_or_else(String::new, |file| format!(" ({file})"));
        notes.push(format!("broken: {} frame {}{file}: {}", broken.stream, broken.seq, broken.detail));
    }
    notes.push("NOT verified".to_owned());
    Answer { json: serde_json::to_value(&breaks).ok(), notes, differs: true, ..Answer::default() }
}

/// Whether past traffic is asked about; without an engine there is none to ask, and nothing has to be rated for it.
fn weighs(settings: &Settings, op: &DeckOp) -> bool {
    op.weighs() && settings.engine.kind != EngineKind::None
}

fn roles(settings: &Settings, op: &Op) -> Roles {
    let engine = settings.engine.kind != EngineKind::None;
    match op {
        Op::Apply { .. }
        | Op::History
        | Op::ShowConfig { .. }
        | Op::Rollback { .. }
        | Op::Void { .. }
        | Op::Radius(_) => Roles::default(),
        // A deck is weighed by the calls that were loaded; nobody has asked for others to be rated and booked.
        Op::Deck(op) => Roles { engine: weighs(settings, op), ..Roles::default() },
        Op::Verify { .. } | Op::Proof(ProofOp::Key) => Roles { ledger: true, ..Roles::default() },
        Op::Site(SiteOp::Drain { .. }) => Roles { ledger: true, ..Roles::default() },
        Op::Site(_) => Roles { records: true, ..Roles::default() },
        Op::Import { .. } => Roles::pipeline(settings),
        op if op.needs_engine() => Roles { ingest: false, engine, loader: engine, ..Roles::pipeline(settings) },
        Op::Conflicts | Op::Call { .. } => {
            Roles { ingest: false, engine: false, loader: false, ..Roles::pipeline(settings) }
        }
        _ => Roles { ingest: false, engine: false, loader: false, records: false, ..Roles::pipeline(settings) },
    }
}

/// Prints an answer.
pub fn print(answer: &Answer, json: bool) -> Outcome {
    if let Some(bytes) = answer.bytes.as_ref().filter(|_| !json || answer.json.is_none()) {
        write_bytes(bytes)?;
    } else if json {
        if let Some(table) = answer.table.as_ref().filter(|_| answer.rows_first) {
            tables::json_each(table, &mut output::line)?;
        }
        match (&answer.json, &answer.table) {
            (Some(serde_json::Value::Array(rows)), _) => rows.iter().try_for_each(output::json)?,
            (Some(value), _) => output::json(value)?,
            (None, Some(table)) => tables::json_lines(table).lines().try_for_each(output::line)?,
            (None, None) => {}
        }
    } else if let Some(table) = &answer.table {
        let header: Vec<&str> = table.columns.iter().map(|c| &*c.title).collect();
        let right: Vec<bool> = table.columns.iter().map(|c| c.kind.is_number()).collect();
        let cells = |rows: &[Vec<String>]| -> Vec<Vec<String>> {
            rows.iter()
                .map(|row| row.iter().zip(&table.columns).map(|(v, c)| console::format::plain(c.kind, v)).collect())
                .collect()
        };
        let mut rows = cells(&table.rows);
        rows.extend(cells(&table.totals));
        output::table(&header, &right, &rows)?;
        if !table.covers.is_empty() {
            note(&table.covers);
        }
    }
    answer.notes.iter().for_each(|line| note(line));
    Ok(if answer.differs { Ending::Differs } else { Ending::Good })
}

fn write_bytes(bytes: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(bytes) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Failure::Broken(format!("stdout: {e}"))),
    }
}
