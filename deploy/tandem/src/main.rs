//! `tandem`, the one binary: knows every process crate and nothing of their insides.

mod apply;
mod authorise;
mod bench;
mod call_text;
mod call_view;
mod calls;
mod check;
mod cli;
mod cli_ledger;
mod cli_site;
mod conflicts;
mod deck;
mod deck_life;
mod deck_pages;
mod demo;
mod engine;
mod health;
mod history;
mod http;
mod jobs;
mod money;
mod node;
mod ops;
mod output;
mod pages;
mod past;
mod peers;
mod price_page;
mod prove;
mod quote;
mod radius;
mod rate;
mod reach;
mod records;
mod registry;
mod rerate;
mod runs;
mod settings;
mod site_settings;
mod tables;
mod up;
mod verify;
mod void_order;
mod xdr_out;

use clap::Parser;
use cli::{
    ApplyArgs, CallsCommand, Cli, Command, ConfigCommand, DeckCommand, EngineCommand, ReportArgs, ReportFormat,
    ReportName,
};
use cli_site::SiteCommand;
use node::Roles;
use ops::Op;
use output::{Ending, Failure, Outcome, note};
use settings::Settings;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("engine-door") {
        return engine_door(args);
    }
    let cli = Cli::parse();
    start_log();
    output::exit(run(&cli))
}

/// Body of the embedded reporting engine's child process.
fn engine_door(args: impl Iterator<Item = String>) -> ExitCode {
    match reporting::door::DoorArgs::parse(args) {
        Ok(args) => ExitCode::from(reporting::door::serve(&args)),
        Err(why) => output::exit(Err(Failure::Usage(why))),
    }
}

/// Log lines go to stderr; `TANDEM_LOG` chooses them (default: warnings and worse).
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TANDEM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

fn run(cli: &Cli) -> Outcome {
    let settings = Settings::load(&cli.settings).map_err(Failure::usage)?;
    let ask = |op: Op| reach::print(&reach::ask(&settings, &op)?, cli.json);
    match &cli.command {
        Command::Demo(args) => demo::run(args, &settings),
        Command::Up => up::run(&settings, &Roles::all(&settings)),
        Command::Ingest => up::run(&settings, &Roles { ingest: true, collect: true, ..Roles::default() }),
        Command::Rater(args) => {
            let all = (0..settings.partitions).collect();
            let partitions = if args.partitions.is_empty() { all } else { args.partitions.clone() };
            up::run(&settings, &Roles { rater: Some(partitions), ..Roles::default() })
        }
        Command::Ledger(args) => match &args.command {
            None => {
                up::run(&settings, &Roles { ledger: true, radius: true, sites: true, past: true, ..Roles::default() })
            }
            Some(command) => ask(cli_ledger::op(command)?),
        },
        Command::Loader => up::run(&settings, &Roles { loader: true, engine: true, ..Roles::default() }),
        Command::XdrOut if settings.xdr_out.is_none() => Err(Failure::Usage(
            "no topic to write to: say --xdr-out TOPIC, or topic in the table xdr_out of the settings".to_owned(),
        )),
        Command::XdrOut => up::run(&settings, &Roles { xdr_out: true, records: true, ..Roles::default() }),
        Command::Console => up::run(&settings, &Roles { engine: true, records: true, ..Roles::default() }),
        Command::Apply(args) => apply_files(&settings, args, cli.json),
        Command::Config(ConfigCommand::History) => ask(Op::History),
        Command::Config(ConfigCommand::Show { seq }) => ask(Op::ShowConfig { seq: *seq }),
        Command::Config(ConfigCommand::Rollback { seq, yes, comment }) => {
            let op = |write| Op::Rollback { seq: *seq, write, by: user(), comment: comment.clone() };
            shown_then_written(&settings, *yes, cli.json, op)
        }
        Command::Config(ConfigCommand::Void { partition, offset, reason, by }) => ask(Op::Void {
            partition: *partition,
            offset: *offset,
            reason: reason.clone(),
            by: by.clone().unwrap_or_else(user),
        }),
        Command::Deck(DeckCommand::Read { file, answers, summary }) => deck::read(file, answers, *summary, cli.json),
        Command::Deck(command) => deck_life::run(&settings, command, cli.json),
        Command::Calls(CallsCommand::Read { file, source }) => calls::read(file, source, cli.json),
        Command::Calls(CallsCommand::Import { file, switch, wait }) => {
            let file = std::path::absolute(file).map_err(Failure::usage)?;
            ask(Op::Import { file, switch: switch.clone(), wait: *wait })
        }
        Command::Calls(CallsCommand::Show { call }) => ask(Op::Call { id: call.clone() }),
        Command::Calls(CallsCommand::Suspense { records: false }) => ask(Op::Suspense),
        Command::Calls(CallsCommand::Suspense { records: true }) => ask(Op::Conflicts),
        Command::Calls(CallsCommand::Recycle(args)) => rerate::recycle(&settings, args, cli.json),
        Command::Rerate(command) => ask(Op::Run { what: rerate::op(command) }),
        Command::Rate(args) => rate::run(args, cli.json),
        Command::Quote { file, config } => quote::run(file.as_deref(), config.as_deref()),
        Command::Report(args) => report(&settings, args, cli.json),
        Command::Sql { query } => {
            let format = if cli.json { "JSONEachRow" } else { "PrettyCompactMonoBlock" };
            ask(Op::Sql { query: query.clone(), format: format.to_owned() })
        }
        Command::Radius(op) => ask(Op::Radius(op.clone())),
        Command::Site(SiteCommand::Certificate(args)) => peers::orders::certificate(&settings, args, cli.json),
        Command::Site(SiteCommand::Invite(args)) => peers::invite::invite(&settings, args, cli.json),
        Command::Site(SiteCommand::Join(args)) => peers::invite::join(&settings, args, &user(), cli.json),
        Command::Site(SiteCommand::Admit(args)) => {
            peers::invite::admit(&settings, cli.settings.settings.as_deref(), args, cli.json)
        }
        Command::Site(SiteCommand::Drain(args)) => peers::drain::run(&settings, args, user, cli.json),
        Command::Site(SiteCommand::Refetch(args)) => peers::refetch::run(&settings, args, cli.json),
        Command::Site(SiteCommand::RejoinConfig(args)) => peers::rejoin::run(&settings, args, cli.json),
        Command::Site(command) => ask(Op::Site(peers::orders::op(command, user))),
        Command::Engine(EngineCommand::Fetch) => engine::fetch_engine(),
        Command::Engine(EngineCommand::Status) => engine::status(&settings),
        Command::Bench(args) => bench::run(args, &settings, cli.json),
        Command::Settings => {
            output::line(toml::to_string(&settings.masked()).map_err(Failure::usage)?.trim_end())?;
            Ok(Ending::Good)
        }
    }
}

fn apply_files(settings: &Settings, args: &ApplyArgs, json: bool) -> Outcome {
    let path = std::path::absolute(&args.path).map_err(Failure::usage)?;
    let op =
        |write| Op::Apply { path: path.clone(), prune: args.prune, write, by: user(), comment: args.comment.clone() };
    shown_then_written(settings, args.yes, json, op)
}

/// Who works at this machine, for the history.
fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "operator".to_owned())
}

/// Shows the difference, asks, writes; `op` makes the request, told whether to write.
fn shown_then_written(settings: &Settings, yes: bool, json: bool, op: impl Fn(bool) -> Op) -> Outcome {
    if yes {
        return reach::print(&reach::ask(settings, &op(true))?, json);
    }
    let shown = reach::ask(settings, &op(false))?;
    let ending = reach::print(&shown, json)?;
    let nothing = shown.json.as_ref().and_then(|json| json.get("changes")).is_some_and(|n| n == 0);
    if nothing {
        return Ok(ending);
    }
    if !output::confirm("Write this as a new configuration version?") {
        note("nothing was written");
        return Ok(Ending::Differs);
    }
    reach::print(&reach::ask(settings, &op(true))?, json)
}

fn report(settings: &Settings, args: &ReportArgs, json: bool) -> Outcome {
    let name = match args.name {
        ReportName::Customer => "customer",
        ReportName::Destination => "destination",
        ReportName::Vendor => "vendor",
        ReportName::Hour => "hour",
        ReportName::Check => return reach::print(&reach::ask(settings, &Op::Check)?, json),
    }
    .to_owned();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let filter = console::source::Filter {
        from: text(&args.from),
        until: text(&args.until),
        customer: text(&args.customer),
        vendor: text(&args.vendor),
        destination: text(&args.destination),
        ..Default::default()
    };
    let file = |format: &str| Op::Export { name: name.clone(), filter: filter.clone(), format: format.to_owned() };
    let op = match args.format {
        ReportFormat::Csv => file("csv"),
        ReportFormat::Json => file("json"),
        ReportFormat::Parquet => file("parquet"),
        ReportFormat::Table if args.output.is_some() => file("csv"),
        ReportFormat::Table => Op::Report { name: name.clone(), filter },
    };
    let answer = reach::ask(settings, &op)?;
    match (&args.output, &answer.bytes) {
        (Some(path), Some(bytes)) => {
            std::fs::write(path, bytes).map_err(|e| Failure::Broken(format!("{}: {e}", path.display())))?;
            Ok(Ending::Good)
        }
        _ => reach::print(&answer, json),
    }
}
