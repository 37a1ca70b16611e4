//! `tandem site rejoin-config`: puts a site whose configuration has forked back on the common history. What it wrote
//! alone is shown, set aside whole and never merged; ledgers and rated calls stay as they are.

use super::{back, options, set_aside};
use crate::apply::{self, rollback};
use crate::cli_site::RejoinArgs;
use crate::node::open;
use crate::output::{self, Ending, Failure, Outcome, note};
use crate::registry;
use crate::settings::Settings;
use bus::Bus;
use bus::config_log::{CONFIG, ConfigFollower};
use bus::stream::{StreamError, StreamReader};
use facts::stream::StreamState;
use schemas::SchemaIds;
use sites::TakeBackError;
use std::path::Path;

/// Versions that stand in this site's log alone.
struct Alone {
    /// The last frame that both have; 0 = none.
    common: u64,
    /// One line a version, oldest first.
    versions: Vec<String>,
    /// What they changed, in words.
    changes: Vec<String>,
    /// Frames of this site that name one of them: stream, frames, the first and the last.
    named: Vec<(String, u64, u64, u64)>,
}

/// The command.
pub fn run(settings: &Settings, args: &RejoinArgs, json: bool) -> Outcome {
    if settings.peers.is_empty() {
        return Err(Failure::Usage(format!("site {} has no peers", settings.site)));
    }
    let ids = registry::schema_ids(settings.schema_registry.as_ref()).map_err(Failure::Broken)?;
    let alone = look(settings, &ids, &args.from)?;
    let Some(alone) = alone else {
        note("this site has the common configuration: nothing to drop");
        return Ok(Ending::Good);
    };
    note(&format!("up to frame {} of {CONFIG} both have the same; written here alone:", alone.common));
    alone.versions.iter().for_each(|line| note(&format!("  {line}")));
    note("they changed:");
    alone.changes.iter().for_each(|line| note(&format!("  {line}")));
    for (stream, frames, first, last) in &alone.named {
        note(&format!(
            "{frames} frames of {stream} ({first} to {last}) were made by them: their entries stay booked as they are; price \
             those calls again with `tandem rerate` where the common configuration has another price"
        ));
    }
    if !args.yes && !output::confirm("Drop what was written here alone, and take the common configuration?") {
        note("nothing was dropped");
        return Ok(Ending::Differs);
    }
    let aside = set_aside(settings, CONFIG)?;
    let bus = back::embedded(settings, &ids)?;
    let state = sites::fetch_config(&bus, &ids, &options(settings), &args.from).map_err(failed)?;
    bus.stop();
    forget_notes(settings);
    if json {
        output::json(&serde_json::json!({
            "config_frame": state.seq(), "epoch": state.epoch(), "kept": aside, "common": alone.common,
            "dropped": alone.versions, "changes": alone.changes,
            "named": alone.named.iter().map(|(stream, frames, first, last)| {
                serde_json::json!({ "stream": stream, "frames": frames, "first": first, "last": last })
            }).collect::<Vec<_>>(),
        }))?;
    }
    note(&format!("configuration: frame {} (epoch {}) of site {}", state.seq(), state.epoch(), args.from));
    note(&format!("what was dropped is kept in {}", aside.display()));
    Ok(Ending::Good)
}

fn failed(error: TakeBackError) -> Failure {
    match error {
        TakeBackError::Unknown(_) => Failure::usage(error),
        error => Failure::broken(error),
    }
}

/// Compares this site's log with the other's; `None`: nothing was written here alone.
fn look(settings: &Settings, ids: &SchemaIds, peer: &str) -> Result<Option<Alone>, Failure> {
    let scratch = settings.data.join("sites").join("rejoin");
    clear(&scratch)?;
    let ours = back::embedded(settings, ids)?;
    let theirs = open::embedded(&scratch, ids)?;
    let compared = sites::fetch_config(&theirs, ids, &options(settings), peer).map_err(failed);
    let compared = compared.and_then(|_| compare(settings, ids, &ours, &theirs, peer));
    ours.stop();
    theirs.stop();
    drop(theirs);
    clear(&scratch)?;
    compared
}

fn clear(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::Broken(format!("{}: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}

/// Hashes of all accepted frames, and where the stream stands.
fn hashes(bus: &dyn Bus, ids: &SchemaIds) -> Result<(Vec<[u8; 32]>, StreamState), Failure> {
    let mut reader = StreamReader::open(bus, ids, CONFIG).map_err(Failure::broken)?;
    let mut all = Vec::new();
    let read = reader.catch_up::<StreamError>(bus, &mut |accepted| {
        all.push(accepted.hash);
        Ok(())
    });
    read.map_err(Failure::broken)?;
    Ok((all, reader.state().clone()))
}

fn compare(
    settings: &Settings,
    ids: &SchemaIds,
    ours: &dyn Bus,
    theirs: &dyn Bus,
    peer: &str,
) -> Result<Option<Alone>, Failure> {
    if ours.partitions(CONFIG).map_err(Failure::broken)?.is_none() {
        return Ok(None);
    }
    let ((here, state), (there, other)) = (hashes(ours, ids)?, hashes(theirs, ids)?);
    let common = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
    if common == here.len() {
        return Ok(None);
    }
    // A claim of the other site may have been copied before the fork showed, so epochs may be equal.
    let written_at = super::config_site(settings, other.owner());
    if other.epoch() < state.epoch() || written_at == settings.site {
        return Err(Failure::Usage(format!(
            "the configuration of site {peer} is not ahead of this one: by its log it is written at site {written_at} (epoch \
             {}, here {}). Name the site at which it is written now (`tandem site status` says it there)",
            other.epoch(),
            state.epoch()
        )));
    }
    let common = common as u64;
    let tip = ConfigFollower::open(ours, ids).map_err(Failure::broken)?;
    let base = ConfigFollower::open_until(ours, ids, common).map_err(Failure::broken)?.current();
    let alone = tip.history().iter().filter(|version| version.seq > common);
    let versions = alone
        .map(|one| {
            format!("version {} of {} by {}: {} items; {}", one.seq, one.booked_at, one.by, one.items, one.comment)
        })
        .collect();
    let last = tip.current();
    let mut after = (*base).clone();
    // So that what the chunks of a deck say can be looked up.
    after.chunks.extend(last.chunks.iter().map(|(hash, bytes)| (*hash, bytes.clone())));
    let changes = match apply::plan_items(rollback::items(&after, &last), &after, true, Vec::new()) {
        Ok(plan) => apply::lines(&plan),
        Err(Failure::Usage(why) | Failure::Broken(why)) => vec![why],
    };
    let mut named = Vec::new();
    let own = |topic: &String| {
        sites::belongs_to(&settings.site, topic) && (topic.starts_with("ledger.") || topic.starts_with("xdrs."))
    };
    for stream in ours.topics().map_err(Failure::broken)?.into_iter().filter(own) {
        let mut reader = StreamReader::open(ours, ids, &stream).map_err(Failure::broken)?;
        let (mut frames, mut first, mut end) = (0, 0, 0);
        let read = reader.catch_up::<StreamError>(ours, &mut |accepted| {
            let header = &accepted.frame.header;
            if header.config_seq > common && !accepted.frame.is_empty() {
                frames += 1;
                first = if first == 0 { header.seq } else { first };
                end = header.seq;
            }
            Ok(())
        });
        read.map_err(Failure::broken)?;
        if frames > 0 {
            named.push((stream, frames, first, end));
        }
    }
    Ok(Some(Alone { common, versions, changes, named }))
}

/// How far the peers' configuration was read is of the log that was set aside.
fn forget_notes(settings: &Settings) {
    for peer in &settings.peers {
        let note = settings.data.join("sites").join(&peer.name).join(format!("{CONFIG}.json"));
        // A cache: its incarnation says that it is of another log, where it cannot be removed.
        let _ = std::fs::remove_file(note);
    }
}
