//! What `tandem site` asks of a process, and what it is told.

use super::{Other, drain, status};
use crate::cli_site::{CertificateArgs, GiveArgs, SiteCommand};
use crate::node::{Node, wall_micros};
use crate::ops::Answer;
use crate::output::{self, Ending, Failure, Outcome, note};
use crate::settings::Settings;
use crate::tables::table_of;
use console::source::{Kind, SitesView, Table};
use facts::OccurredAt;
use facts::time::rfc3339;
use ledger::api::GiveOrder;
use ledger::{Order, SitesStatus};
use serde::{Deserialize, Serialize};
use sites::{PeerStatus, Status, Trouble};

/// A request about the sites.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum SiteOp {
    Status,
    Rights {
        account: Option<String>,
    },
    Give {
        account: String,
        amount: String,
        to: String,
        id: String,
        by: String,
        reason: String,
    },
    ConfigSite {
        name: String,
        by: String,
    },
    Drain {
        undo: bool,
        by: String,
        reason: String,
    },
    /// How far a drain is.
    Drained,
    Fold {
        order: Option<(u32, u32)>,
        by: String,
    },
}

/// The request of a command.
pub fn op(command: &SiteCommand, user: fn() -> String) -> SiteOp {
    match command {
        // The others are carried out where they are typed.
        SiteCommand::Status
        | SiteCommand::Certificate(_)
        | SiteCommand::Invite(_)
        | SiteCommand::Join(_)
        | SiteCommand::Admit(_)
        | SiteCommand::Drain(_)
        | SiteCommand::Refetch(_)
        | SiteCommand::RejoinConfig(_) => SiteOp::Status,
        SiteCommand::Rights { account } => SiteOp::Rights { account: account.clone() },
        SiteCommand::Give(args) => {
            let GiveArgs { account, amount, to, id, by, reason } = args.clone();
            SiteOp::Give { account, amount, to, id, by, reason }
        }
        SiteCommand::Fold(args) => {
            let order = args.to.map(|version| (version, args.seconds));
            SiteOp::Fold { order, by: args.by.clone().unwrap_or_else(user) }
        }
        SiteCommand::ConfigSite { name, by } => {
            SiteOp::ConfigSite { name: name.clone(), by: by.clone().unwrap_or_else(user) }
        }
    }
}

/// Carries out a request.
pub fn execute(node: &Node, op: &SiteOp) -> Result<Answer, Failure> {
    match op {
        SiteOp::Status => shown(node),
        SiteOp::Rights { account } => rights(node, account.as_deref()),
        SiteOp::Give { account, amount, to, id, by, reason } => {
            let order = GiveOrder {
                id: id.into(),
                account: account.into(),
                to: number_of(node, to)?,
                amount: amount.parse().map_err(Failure::usage)?,
                at: OccurredAt(wall_micros()),
                by: by.into(),
                reason: reason.into(),
            };
            crate::money::placed(node, Order::Give(order))
        }
        SiteOp::ConfigSite { name, by } => config_site(node, name, by),
        SiteOp::Drain { undo, by, reason } => drain::order(node, *undo, by, reason),
        SiteOp::Drained => drain::far(node),
        SiteOp::Fold { order, by } => super::folds::fold(node, *order, by),
    }
}

fn shown(node: &Node) -> Result<Answer, Failure> {
    if node.settings.peers.is_empty() {
        let notes = vec![format!("site {} has no peers: add [[peers]] to its settings", node.settings.site)];
        let json = serde_json::json!({ "site": node.settings.site, "peers": [] });
        return Ok(Answer { notes, json: Some(json), ..Answer::default() });
    }
    let status = status(node);
    let mut notes = vec![match &status {
        Some(status) => format!("site {} (number {}): {}", status.site, status.number, status.mode.as_str()),
        None => format!(
            "site {}: no process of this folder exchanges with its peers; start `tandem up`",
            node.settings.site
        ),
    }];
    notes.push(format!("configuration is written at site {}", node.config_site()));
    notes.extend(advice(node, status.as_ref()));
    let differs = status.as_ref().is_none_or(|status| status.peers.iter().any(|peer| !troubles(peer).is_empty()));
    for peer in status.iter().flat_map(|status| &status.peers) {
        notes.extend(
            troubles(peer)
                .iter()
                .map(|(place, trouble)| format!("{place}: since {}: {}", rfc3339(trouble.since), trouble.why)),
        );
    }
    if let Some(status) = status.as_ref().filter(|status| status.quarantined > 0) {
        notes.push(format!("{} records are kept in quarantine in {}", status.quarantined, status.quarantine));
    }
    let ledger = node.view.sites();
    notes.extend(ledger.iter().flat_map(|sites| doubles(sites)));
    let json = serde_json::json!({
        "ledger": ledger,
        "site": node.settings.site,
        "number": node.settings.sites.number,
        "config_site": node.config_site(),
        "standing": node.standing.words(wall_micros()),
        "exchange": status,
        "streams": streams(node)?,
    });
    Ok(Answer { notes, json: Some(json), differs, ..Answer::of(table(node, status.as_ref())) })
}

fn number_of(node: &Node, site: &str) -> Result<u16, Failure> {
    let peer = node.settings.peers.iter().find(|peer| peer.name == site);
    peer.map(|peer| peer.number).ok_or_else(|| {
        let known: Vec<&str> = node.settings.peers.iter().map(|peer| peer.name.as_str()).collect();
        Failure::Usage(format!("site {site:?} is no peer of this one; there are: {}", known.join(", ")))
    })
}

/// Takes the writing of the configuration over.
fn config_site(node: &Node, name: &str, by: &str) -> Result<Answer, Failure> {
    if name != node.settings.site {
        let why =
            format!("this is site {}; the order is given at the site that takes it over, {name}", node.settings.site);
        return Err(Failure::Usage(why));
    }
    let before = node.config_site();
    if before == name {
        let notes = vec![format!("the configuration is written here already, at site {name}")];
        return Ok(Answer { notes, ..Answer::default() });
    }
    let epoch = node.take_config(by)?;
    let notes = vec![
        format!("the configuration is written at site {name} from now on (epoch {epoch}); it was at {before}"),
        format!("what {before} wrote and this site has not is a fork: {before} says so when it hears of this"),
    ];
    Ok(Answer {
        notes,
        json: Some(serde_json::json!({ "config_site": name, "before": before, "epoch": epoch })),
        ..Answer::default()
    })
}

/// Rights by account and site, as this site's ledger sees them.
pub fn rights_table(sites: &SitesStatus, account: Option<&str>) -> Table {
    let columns = [
        ("account", "Account", Kind::Text),
        ("currency", "Currency", Kind::Text),
        ("site", "Site", Kind::Text),
        ("rights", "Rights", Kind::Money),
        ("held", "Held for calls", Kind::Money),
        ("reserve", "Reserve", Kind::Money),
        ("debt", "Debt", Kind::Money),
        ("lock", "Announced, not held here", Kind::Money),
        ("spendable", "Spendable here", Kind::Money),
        ("pending_lower", "Lowering pending", Kind::Money),
    ];
    let name = |number: u16| match sites.peers.iter().find(|peer| peer.number == number) {
        Some(peer) => peer.name.to_string(),
        None => sites.name.to_string(),
    };
    let mut rows = Vec::new();
    for one in sites.accounts.iter().filter(|one| account.is_none_or(|account| one.account == account)) {
        for site in &one.sites {
            let own = site.site == sites.number;
            let only = |amount: facts::Amount| if own { amount.to_string() } else { String::new() };
            let mut cells = vec![one.account.to_string(), one.currency.to_string(), name(site.site)];
            cells.extend([site.rights, site.held, site.reserve, site.debt, site.lock].map(|amount| amount.to_string()));
            cells.extend([only(one.spendable), only(one.pending_lower)]);
            rows.push(cells);
        }
    }
    table_of(&columns, rows)
}

/// The console's page; `None` without peers.
pub fn page(node: &Node) -> Option<SitesView> {
    if node.settings.peers.is_empty() {
        return None;
    }
    let (status, ledger) = (status(node), node.view.sites());
    let mut said = vec![format!("configuration is written at site {}", node.config_site())];
    said.extend(advice(node, status.as_ref()));
    for peer in status.iter().flat_map(|status| &status.peers) {
        said.extend(
            troubles(peer).iter().map(|(place, one)| format!("{place}: since {}: {}", rfc3339(one.since), one.why)),
        );
    }
    said.extend(ledger.iter().flat_map(|sites| doubles(sites)));
    let nothing = SitesStatus::default();
    let rights = rights_table(ledger.as_deref().unwrap_or(&nothing), None);
    Some(SitesView { sites: table(node, status.as_ref()), rights, said })
}

/// What a person can do about what is so now.
fn advice(node: &Node, status: Option<&Status>) -> Vec<String> {
    let mut all = Vec::new();
    let standing = node.standing.words(wall_micros());
    if !standing.is_empty() {
        all.push(format!(
            "this site takes no new calls ({standing}); it takes them again with: tandem site drain --undo"
        ));
    }
    if let Some(ahead) = node.sites.as_ref().and_then(|sites| sites.ahead()) {
        all.push(ahead.to_string());
    }
    for peer in status.iter().flat_map(|status| &status.peers) {
        let name = &peer.name;
        if !peer.here {
            all.push(format!(
                "site {name} is not heard of: calls go on here within this site's rights. Bring that site or the line to it \
                 back, and both catch up by themselves; if its disk is lost, begin with: tandem site invite {name} --url {}",
                peer.url
            ));
        } else if !peer.standing.is_empty() {
            all.push(format!("site {name} takes no new calls: {}", peer.standing));
        }
        let forked = |topic: &sites::TopicStatus| {
            topic.topic == "config" && topic.trouble.as_ref().is_some_and(|trouble| trouble.why.contains("fork:"))
        };
        if peer.topics.iter().any(forked) && node.config_site() != node.settings.site {
            let site = node.config_site();
            all.push(format!(
                "this site's configuration is another one: stop it, then: tandem site rejoin-config {site}"
            ));
        } else if peer.topics.iter().any(forked) {
            let site = &node.settings.site;
            all.push(format!(
                "what site {name} wrote into the configuration alone is refused here: there, with its process stopped: tandem \
                 site rejoin-config {site}"
            ));
        }
    }
    all
}

fn rights(node: &Node, account: Option<&str>) -> Result<Answer, Failure> {
    let Some(sites) = node.view.sites() else {
        let why = "no rights are known here: this site has no peers, or no ledger runs in this process";
        return Err(Failure::Usage(why.to_owned()));
    };
    Ok(Answer { notes: doubles(&sites), ..Answer::of(rights_table(&sites, account)) })
}

/// What counts twice until one site reverses its own, and what the ledger found wrong.
fn doubles(sites: &SitesStatus) -> Vec<String> {
    let money = |one: &ledger::sites::Double| {
        let amounts: Vec<String> = one.amounts.iter().map(|(account, amount)| format!("{account} {amount}")).collect();
        amounts.join(", ")
    };
    let double = |one: &ledger::sites::Double| {
        format!("{} {} counts twice until site {} has reversed its own: {}", one.what, one.id, one.loser, money(one))
    };
    let name = |number: u16| match sites.peers.iter().find(|peer| peer.number == number) {
        Some(peer) => peer.name.clone(),
        None => sites.name.clone(),
    };
    let settled = |one: &ledger::sites::Double| {
        let (what, id, winner, loser) = (&one.what, &one.id, name(one.winner), name(one.loser));
        let differs = if one.same { "" } else { " with another content" };
        format!("{what} {id} was booked at {winner} and{differs} at {loser}, which took its own back: {}", money(one))
    };
    let (doubles, settled) = (sites.doubles.iter().map(double), sites.settled.iter().map(settled));
    doubles.chain(settled).chain(sites.alarms.iter().map(|alarm| format!("ledger: {alarm}"))).collect()
}

/// What is wrong with a peer, each with its place.
pub fn troubles(peer: &PeerStatus) -> Vec<(String, &Trouble)> {
    let link = peer.trouble.iter().map(|trouble| (format!("site {}", peer.name), trouble));
    let topics = peer.topics.iter().filter_map(|topic| Some((topic.topic.clone(), topic.trouble.as_ref()?)));
    link.chain(topics).collect()
}

/// Last frame held of every ledger, with its root: equal at all sites that hold the same.
fn streams(node: &Node) -> Result<Vec<serde_json::Value>, Failure> {
    use ledger::LedgerView;
    let own = (node.settings.site.as_str(), &node.view);
    let others = node.others.iter().map(|other| (other.name.as_str(), &other.view));
    let one = |(site, view): (&str, &std::sync::Arc<ledger::View>)| {
        let status = view.status().map_err(Failure::broken)?;
        let (stream, seq, epoch, fold) = (status.stream, status.seq, status.epoch, status.fold_version);
        Ok(
            serde_json::json!({ "site": site, "stream": stream, "epoch": epoch, "seq": seq, "fold": fold, "hash": status.hash, "root": status.root }),
        )
    };
    std::iter::once(own).chain(others).map(one).collect()
}

/// One row a site, this one first.
pub fn table(node: &Node, status: Option<&Status>) -> Table {
    let columns = [
        ("site", "Site", Kind::Text),
        ("number", "Number", Kind::Count),
        ("state", "State", Kind::Text),
        // Early: what is wrong is seen without scrolling.
        ("trouble", "Trouble", Kind::Text),
        ("heard", "Heard", Kind::Instant),
        ("watermark", "Books whole up to", Kind::Instant),
        ("lag", "Seconds ago", Kind::Count),
        ("ledger", "Ledger frame", Kind::Count),
        ("streams", "Streams held", Kind::Count),
        ("behind", "Records behind", Kind::Count),
        ("certificate", "Last certificate", Kind::Text),
    ];
    let mode = status.map_or("not exchanging", |status| status.mode.as_str());
    let mode = stands(mode, &node.standing.words(wall_micros()));
    let own = node.settings.site.clone();
    let (number, streams) = (node.settings.sites.number.to_string(), (node.settings.partitions + 1).to_string());
    let [watermark, lag, seq, certificate] = held(&node.view);
    let none = String::new;
    let mut rows =
        vec![vec![own, number, mode, none(), none(), watermark, lag, seq, streams, "0".to_owned(), certificate]];
    rows.extend(node.others.iter().map(|other| row(other, status)));
    table_of(&columns, rows)
}

/// Whether a site is there, and why it takes no new calls where it does not.
fn stands(state: &str, standing: &str) -> String {
    if standing.is_empty() { state.to_owned() } else { format!("{state}; {standing}") }
}

/// What is held of a ledger: up to when it is whole, how many seconds ago that was, its last frame, its last state root.
fn held(view: &ledger::View) -> [String; 4] {
    let progress = view.progress();
    let whole = |at: facts::BookedAt| rfc3339(at.0 / 1_000_000 * 1_000_000);
    let ago = |at: facts::BookedAt| (wall_micros().saturating_sub(at.0).max(0) / 1_000_000).to_string();
    let certificate = |one: &ledger::Certified| {
        let root: String = one.root[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("frame {}, {}, root {root}…", one.seq, whole(one.booked_at))
    };
    [
        progress.booked_at.map(whole).unwrap_or_default(),
        progress.booked_at.map(ago).unwrap_or_default(),
        progress.state.seq().to_string(),
        progress.certified.as_ref().map(certificate).unwrap_or_default(),
    ]
}

fn row(other: &Other, status: Option<&Status>) -> Vec<String> {
    let peer = status.and_then(|status| status.peers.iter().find(|peer| peer.name == other.name));
    let state = match peer {
        None => "unknown".to_owned(),
        Some(peer) if peer.here => stands("here", &peer.standing),
        Some(peer) => match peer.heard {
            Some(at) => format!("gone for {} s", wall_micros().saturating_sub(at) / 1_000_000),
            None => "not heard yet".to_owned(),
        },
    };
    let heard = peer.and_then(|peer| peer.heard).map(|at| rfc3339(at / 1_000_000 * 1_000_000)).unwrap_or_default();
    let count = peer.map_or(0, |peer| peer.topics.len());
    let behind: u64 = peer.map_or(0, |peer| peer.topics.iter().map(|topic| topic.behind).sum());
    let wrong = peer.map(troubles).unwrap_or_default();
    let wrong = wrong.first().map(|(place, trouble)| format!("{place}: {}", trouble.why)).unwrap_or_default();
    let (number, count, behind) = (other.number.to_string(), count.to_string(), behind.to_string());
    let [watermark, lag, seq, certificate] = held(&other.view);
    vec![other.name.clone(), number, state, wrong, heard, watermark, lag, seq, count, behind, certificate]
}

/// Makes the key and certificate of the settings.
pub fn certificate(settings: &Settings, args: &CertificateArgs, json: bool) -> Outcome {
    let own = &settings.sites;
    let (certificate, key) = (settings.site_path(&own.certificate), settings.site_path(&own.key));
    let print = sites::identity::make(&settings.site, &certificate, &key).map_err(|error| match error {
        error @ sites::IdentityError::Exists { .. } => Failure::usage(error),
        error => Failure::broken(error),
    })?;
    if let Some(output) = &args.output {
        let copied = std::fs::copy(&certificate, output);
        copied.map_err(|error| Failure::Broken(format!("{}: {error}", output.display())))?;
    }
    if json {
        output::json(&serde_json::json!({ "certificate": certificate, "key": key, "sha256": print }))?;
    } else {
        output::line(&certificate.display().to_string())?;
        note(&format!("SHA-256 {print}"));
        note(&format!("give the certificate to the peers; the key {} stays here", key.display()));
    }
    Ok(Ending::Good)
}
