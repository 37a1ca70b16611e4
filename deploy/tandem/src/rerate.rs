//! `tandem rerate` and `tandem calls recycle`: the words of the command line as requests.

use crate::cli::{RecycleArgs, RerateCommand};
use crate::ops::Op;
use crate::output::{self, Ending, Failure, Outcome, note};
use crate::reach;
use crate::runs::{Choice, RunOp};
use crate::settings::Settings;
use crate::user;
use facts::run::RunKind;

/// A command as a request.
pub fn op(command: &RerateCommand) -> RunOp {
    let who = |by: &Option<String>| by.clone().unwrap_or_else(user);
    match command {
        RerateCommand::Preview(args) => {
            let choice = Choice {
                kind: RunKind::Rerate,
                from: args.from.clone(),
                until: args.until.clone(),
                accounts: args.accounts.clone(),
                destinations: args.destinations.clone(),
                deck: args.deck.clone(),
                config: args.config,
                unrated: String::new(),
                site: args.of_site.clone(),
            };
            RunOp::Preview { choice, by: who(&args.by), run_id: String::new() }
        }
        RerateCommand::Post { id, reason, by } => RunOp::Post { id: id.clone(), reason: reason.clone(), by: who(by) },
        RerateCommand::Undo { id, reason, by } => {
            RunOp::Undo { id: id.clone(), reason: reason.clone(), by: who(by), run_id: String::new() }
        }
        RerateCommand::Drop { id } => RunOp::Drop { id: id.clone(), by: user() },
        RerateCommand::List => RunOp::List,
        RerateCommand::Show { id } => RunOp::Show { id: id.clone() },
        RerateCommand::Proposals { from, until, of_site } => {
            RunOp::Proposals { from: from.clone(), until: until.clone(), site: of_site.clone() }
        }
    }
}

/// Previews, asks, posts; what was not wanted is dropped, so that it stands in nobody's way.
pub fn recycle(settings: &Settings, args: &RecycleArgs, json: bool) -> Outcome {
    let choice = Choice {
        kind: RunKind::Recycle,
        from: args.from.clone(),
        until: args.until.clone(),
        accounts: args.accounts.clone(),
        unrated: args.reason.clone(),
        site: args.of_site.clone(),
        ..Choice::default()
    };
    let ask = |what| reach::ask(settings, &Op::Run { what });
    let shown = ask(RunOp::Preview { choice, by: user(), run_id: String::new() })?;
    reach::print(&shown, json)?;
    let run = shown.json.as_ref().and_then(|json| json["run"].as_str()).map(str::to_owned);
    let Some(id) = run else { return Ok(Ending::Good) };
    if !args.yes && !output::confirm("Post this?") {
        reach::print(&ask(RunOp::Drop { id, by: user() })?, false)?;
        note("nothing was posted");
        return Ok(Ending::Differs);
    }
    if args.comment.trim().is_empty() {
        return Err(Failure::Usage("a run is posted for a reason; say it with --comment".to_owned()));
    }
    reach::print(&ask(RunOp::Post { id, reason: args.comment.clone(), by: user() })?, json)
}
