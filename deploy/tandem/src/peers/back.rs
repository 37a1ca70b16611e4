//! What a site does before anything of it starts: takes its own streams back after a lost disk, or, where it is new,
//! fetches what the others hold. Decides nothing about money; it waits, and says what for.

use crate::node::{Roles, open, owner, wall_micros, xdrs_stream};
use crate::output::{Failure, note};
use crate::settings::{BusKind, Settings};
use accounting::authorise::{DELAY_SECONDS, RINGING_SECONDS};
use bus::config_log::ConfigFollower;
use bus::{Bus, EmbeddedBus};
use facts::time::rfc3339;
use ledger::Standing;
use ledger::standing::{State, TakenBack};
use schemas::SchemaIds;
use sites::{Sites, TakeBackError, Taken, TakenStream};
use std::sync::Arc;
use std::time::Duration;

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(2);
/// Between two looks at what has come.
const LOOK: Duration = Duration::from_millis(200);

/// How this site stands; where its disk was lost, its streams are taken back first.
pub fn prepare(settings: &Settings, roles: &Roles, ids: &SchemaIds) -> Result<Arc<Standing>, Failure> {
    let standing = Standing::open(Standing::path_in(&settings.data)).map_err(Failure::broken)?;
    match standing.note().state {
        State::Joining | State::Lost { .. } if !roles.sites => {
            let why = "this site has not met the others yet; start `tandem up`, which fetches what they hold first";
            return Err(Failure::Usage(why.to_owned()));
        }
        State::Lost { without } => take_back(settings, ids, &standing, &without)?,
        _ => {}
    }
    Ok(Arc::new(standing))
}

/// Opens the folder's own log.
pub fn embedded(settings: &Settings, ids: &SchemaIds) -> Result<EmbeddedBus, Failure> {
    if settings.bus.kind != BusKind::Embedded {
        let why =
            "this works on the embedded log; on Kafka the logs are the brokers': restore their topics from a copy";
        return Err(Failure::Usage(why.to_owned()));
    }
    open::embedded(&settings.data.join("log"), ids)
}

fn take_back(settings: &Settings, ids: &SchemaIds, standing: &Standing, without: &[String]) -> Result<(), Failure> {
    let bus = embedded(settings, ids)?;
    note(&format!("site {}: its disk was lost; its streams are taken back from its peers first", settings.site));
    let options = super::options(settings);
    let owner = format!("{}, streams taken back after a lost disk", owner());
    let mut said = String::new();
    let taken = loop {
        match sites::take_back(&bus, ids, &options, without, &owner, &mut |one| note(&line(one))) {
            Ok(taken) => break taken,
            Err(error @ (TakeBackError::Silent { .. } | TakeBackError::Short { .. })) => {
                let (TakeBackError::Silent { peer, .. } | TakeBackError::Short { peer, .. }) = &error else { continue };
                if *peer != said {
                    note(&format!("waiting: {error}"));
                    said.clone_from(peer);
                }
                std::thread::sleep(AGAIN);
            }
            Err(error @ (TakeBackError::Bus(_) | TakeBackError::Surroundings { .. })) => {
                return Err(Failure::broken(error));
            }
            Err(error) => return Err(Failure::usage(error)),
        }
    };
    let events_from = events(settings, &bus, &taken)?;
    let config = ConfigFollower::open(&bus, ids).map_err(Failure::broken)?.current();
    let longest = config.settings.maximum_call_seconds.saturating_add(RINGING_SECONDS).saturating_add(DELAY_SECONDS);
    let until = wall_micros().saturating_add(i64::from(longest) * 1_000_000);
    let changed = standing.change(|note| {
        note.state = State::Recovering { until };
        note.events_from = events_from;
        note.taken_back = taken.streams.iter().map(told).collect();
    });
    changed.map_err(Failure::broken)?;
    bus.stop();
    note(&format!(
        "calls are rated and booked from now on; new calls are refused (recovering) until {}: until then one may be going \
         on for which money was set aside in frames that are lost. Sooner, at your word: tandem site drain --undo",
        rfc3339(until)
    ));
    Ok(())
}

fn told(one: &TakenStream) -> TakenBack {
    let (stream, held, heard_of, from) = (one.stream.clone(), one.state.seq(), one.heard_of, one.from.clone());
    TakenBack { stream, held, heard_of, from }
}

fn line(one: &TakenStream) -> String {
    let from = one.from.join(", ");
    let lost = match one.heard_of.saturating_sub(one.state.seq()) {
        0 => String::new(),
        lost => format!("; {lost} frames that were heard of are LOST: {} to {}", one.state.seq() + 1, one.heard_of),
    };
    let lost = match one.booked {
        0 => lost,
        booked => format!("{lost}; the calls of {booked} of them are booked, empty frames stand in their places"),
    };
    format!("{}: frame {} ({} records) from {from}{lost}", one.stream, one.state.seq(), one.records)
}

/// Makes `call-events` anew where the raters' streams end, so that no offset they have consumed is given again. Returns
/// where each partition begins.
fn events(settings: &Settings, bus: &EmbeddedBus, taken: &Taken) -> Result<Vec<u64>, Failure> {
    let state = |partition: usize| {
        let name = xdrs_stream(&settings.site, partition);
        taken.streams.iter().find(|one| one.stream == name).map(|one| &one.state)
    };
    let count = (0..).take_while(|partition| state(*partition).is_some()).count();
    if count != 0 && count != settings.partitions as usize {
        let why = format!(
            "the peers hold {count} raters' streams of this site, the settings say partitions = {}; put partitions = {count} \
             into its settings",
            settings.partitions
        );
        return Err(Failure::Usage(why));
    }
    let topic = ingest::writer::TOPIC;
    let mut known = Vec::new();
    for partition in 0..settings.partitions {
        let next = state(partition as usize).map(|state| state.next_offset(topic, partition));
        known.push(next.and_then(|(next, incarnation)| Some((incarnation?, next))));
    }
    // A start that died after this goes on from it.
    if bus.partitions(topic).map_err(Failure::broken)?.is_none() {
        bus.restore_events(topic, &known).map_err(Failure::broken)?;
    }
    Ok(known.iter().map(|one| one.map_or(0, |(_, next)| next)).collect())
}

/// Waits until a new site holds the configuration and all ledgers as its peers have them, says so, and opens it.
pub fn fetch_first(settings: &Settings, sites: &Sites, standing: &Standing) -> Result<(), Failure> {
    if standing.note().state != State::Joining {
        return Ok(());
    }
    note(&format!("site {}: fetching the configuration and all ledgers before anything is sold", settings.site));
    let mut said = String::new();
    loop {
        let status = sites.status();
        let mut waits = Vec::new();
        for peer in &status.peers {
            let first = |topic: &&sites::TopicStatus| topic.topic == "config" || topic.topic.starts_with("ledger.");
            let topics: Vec<_> = peer.topics.iter().filter(first).collect();
            let wrong = peer.trouble.iter().chain(topics.iter().filter_map(|topic| topic.trouble.as_ref())).next();
            let behind: u64 = topics.iter().map(|topic| topic.behind).sum();
            match wrong {
                _ if !peer.here && wrong.is_none() => waits.push(format!("site {} is not heard of yet", peer.name)),
                Some(trouble) => waits.push(format!("site {}: {}", peer.name, trouble.why)),
                None if topics.len() < 2 => waits.push(format!("site {} has not said what it holds yet", peer.name)),
                None if behind > 0 => waits.push(format!("site {}: {behind} records to come", peer.name)),
                None => {}
            }
        }
        if waits.is_empty() {
            for topic in status.peers.iter().flat_map(|peer| &peer.topics).filter(|topic| topic.seq > 0) {
                note(&format!("{}: held to frame {}", topic.topic, topic.seq));
            }
            break;
        }
        let why = waits.join("; ");
        if why != said {
            note(&format!("waiting: {why}"));
            said = why;
        }
        std::thread::sleep(LOOK);
    }
    let done = standing.order(State::Open, "tandem up", "it holds what the others hold", wall_micros());
    done.map_err(Failure::broken)?;
    note(&format!(
        "site {} may sell: its rights begin at zero, it asks the others for what a call needs, and `tandem site give` at \
         another site moves more here",
        settings.site
    ));
    Ok(())
}
