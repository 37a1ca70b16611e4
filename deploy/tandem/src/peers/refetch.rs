//! `tandem site refetch`: copies of another site's streams that are damaged or gone here are set aside, whole, so that
//! the next start fetches them again. This site's own streams are never touched.

use super::set_aside;
use crate::cli_site::RefetchArgs;
use crate::output::{self, Ending, Failure, Outcome, note};
use crate::settings::Settings;
use bus::EmbeddedBus;

/// The command.
pub fn run(settings: &Settings, args: &RefetchArgs, json: bool) -> Outcome {
    let site = &args.from;
    if !settings.peers.iter().any(|peer| peer.name == *site) {
        return Err(Failure::Usage(format!("{site} is no peer of site {}: [[peers]] names none", settings.site)));
    }
    if settings.bus.kind == crate::settings::BusKind::Kafka {
        let why = "on Kafka the copies are the broker's: delete the topic there, and this site fetches it again";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut kept = Vec::new();
    for topic in EmbeddedBus::made(&settings.data.join("log")).map_err(Failure::broken)? {
        if !sites::belongs_to(site, &topic) {
            continue;
        }
        let into = set_aside(settings, &topic)?;
        // Caches over the copy: each says by itself that it is of another log, where it cannot be removed.
        let _ = std::fs::remove_file(settings.data.join("sites").join(site).join(format!("{topic}.json")));
        let _ = std::fs::remove_file(settings.data.join("loader").join(format!("{topic}.json")));
        note(&format!("{topic} is set aside: {}", into.display()));
        kept.push(serde_json::json!({ "topic": topic, "kept": into }));
    }
    if json {
        output::json(&serde_json::json!({ "site": site, "set_aside": kept }))?;
    }
    note(&format!("`tandem up` fetches {} streams of site {site} again", kept.len()));
    Ok(Ending::Good)
}
