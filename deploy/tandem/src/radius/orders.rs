//! `tandem radius`: what was asked and answered, which calls go on, and "end this call" or "end this account's calls" by
//! Disconnect-Request. Only in the process that was asked by the switches: nobody else knows their calls.

use super::Door;
use super::sessions::Live;
use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use crate::tables::table_of;
use clap::Subcommand;
use console::source::Kind;
use serde::{Deserialize, Serialize};

/// A request of the command line.
#[derive(Debug, Clone, Serialize, Deserialize, Subcommand)]
#[serde(tag = "radius", rename_all = "snake_case")]
pub enum RadiusOp {
    /// Where it listens, and what was answered and dropped, by reason
    Status,
    /// Calls that were let through over RADIUS and are not known to be over
    Calls {
        /// Only this account's
        account: Option<String>,
    },
    /// Tell switches to end calls (Disconnect-Request); exit 1 where one does not confirm
    Disconnect {
        /// Every call of this account
        #[arg(long, required_unless_present = "call", conflicts_with = "call")]
        account: Option<String>,
        /// The call with this key, as its switch names it
        #[arg(long)]
        call: Option<String>,
    },
}

/// Carries it out. Blocks.
pub fn execute(node: &Node, op: &RadiusOp) -> Result<Answer, Failure> {
    let door = node.radius.as_ref().ok_or_else(|| {
        let why = "no process that speaks RADIUS runs on this data folder: set the table radius and start tandem up";
        Failure::Usage(why.to_owned())
    })?;
    match op {
        RadiusOp::Status => Ok(status(door)),
        RadiusOp::Calls { account } => Ok(calls(door, account.as_deref())),
        RadiusOp::Disconnect { account, call } => disconnect(door, account.as_deref(), call.as_deref()),
    }
}

fn status(door: &Door) -> Answer {
    let (access, accounting) = door.listens;
    let counts = door.counts();
    let rows = counts.iter().map(|(what, count)| vec![what.clone(), count.to_string()]).collect();
    let text = |address: std::net::SocketAddr| address.to_string();
    let accounting = accounting.map(text);
    let json = serde_json::json!({
        "access": text(access), "accounting": accounting, "calls": door.live().len(), "counts": counts,
    });
    let notes = vec![format!(
        "Access-Requests on {access}, accounting on {}; {} calls go on",
        accounting.as_deref().unwrap_or("no port"),
        door.live().len()
    )];
    let columns = [("what", "What", Kind::Text), ("count", "Count", Kind::Count)];
    Answer { json: Some(json), notes, ..Answer::of(table_of(&columns, rows)) }
}

fn of_account(live: &Live, account: Option<&str>) -> bool {
    account.is_none_or(|account| live.accounts.iter().any(|known| known == account))
}

fn calls(door: &Door, account: Option<&str>) -> Answer {
    let rows = door.live().into_iter().filter(|live| of_account(live, account)).map(|live| {
        let lasted = live.answered.map_or_else(String::new, |at| at.elapsed().as_secs().to_string());
        let accounts = live.accounts.join(" ");
        let client = door.client(&live).to_owned();
        vec![client, live.key, accounts, live.seconds.to_string(), lasted, live.hold.to_string()]
    });
    let columns = [
        ("client", "Client", Kind::Text),
        ("call", "Call", Kind::Text),
        ("accounts", "Accounts", Kind::Text),
        ("seconds_held", "Seconds held", Kind::Count),
        ("lasted", "Lasted", Kind::Count),
        ("hold_id", "Hold", Kind::Text),
    ];
    Answer::of(table_of(&columns, rows.collect()))
}

fn disconnect(door: &Door, account: Option<&str>, call: Option<&str>) -> Result<Answer, Failure> {
    let wanted = |live: &Live| match call {
        Some(call) => live.key == call,
        None => of_account(live, account),
    };
    let live: Vec<Live> = door.live().into_iter().filter(wanted).collect();
    if live.is_empty() && call.is_some() {
        return Err(Failure::Usage("no call of this key is known here; see tandem radius calls".to_owned()));
    }
    let told = door.end_all(&live);
    let row = |(live, told): &(Live, super::dynamic::Told)| {
        vec![door.client(live).to_owned(), live.key.clone(), told.word().to_owned(), told.detail()]
    };
    let mut rows: Vec<Vec<String>> = told.iter().map(row).collect();
    rows.sort();
    let differs = rows.iter().any(|row| row[2] != "done");
    let notes = if rows.is_empty() { vec!["no call of this account is known here".to_owned()] } else { Vec::new() };
    let columns = [
        ("client", "Client", Kind::Text),
        ("call", "Call", Kind::Text),
        ("told", "Told", Kind::Text),
        ("detail", "Detail", Kind::Text),
    ];
    Ok(Answer { differs, notes, ..Answer::of(table_of(&columns, rows)) })
}
