//! `tandem site fold`: which fold version is in force, which the program of every site runs, and the order to go on by
//! a later one. It decides nothing about money.

use super::{may_configure, status};
use crate::node::{Node, wall_micros};
use crate::ops::Answer;
use crate::output::Failure;
use crate::tables::table_of;
use console::source::Kind;
use facts::BookedAt;
use facts::config::{ConfigItem, FoldVersion};
use facts::time::rfc3339;
use ledger::{LedgerView, folds};

/// Longest time to the cut: it is for the configuration to reach every site, not a calendar.
const AHEAD_MAX: u32 = 86_400;

/// What a site's program can do, as far as that is known here now.
struct Runs {
    site: String,
    /// Newest version that it folds; why that is not known, where it is not.
    newest: Result<u32, String>,
    /// Version of its ledger's last frame held here.
    folds: u32,
}

fn sites(node: &Node) -> Result<Vec<Runs>, Failure> {
    let folded = |view: &ledger::View| view.status().map(|status| status.fold_version).map_err(Failure::broken);
    let own = Runs { site: node.settings.site.clone(), newest: Ok(folds::newest()), folds: folded(&node.view)? };
    let heard = status(node);
    let mut all = vec![own];
    for other in &node.others {
        let peer = heard.as_ref().and_then(|status| status.peers.iter().find(|peer| peer.name == other.name));
        let newest = match peer {
            None => Err("this process does not exchange with it".to_owned()),
            Some(peer) => match (peer.fold, peer.heard) {
                (Some(fold), _) if peer.here => Ok(fold),
                (_, Some(at)) => Err(format!("not heard of since {}", rfc3339(at / 1_000_000 * 1_000_000))),
                (_, None) => Err("not heard of yet".to_owned()),
            },
        };
        all.push(Runs { site: other.name.clone(), newest, folds: folded(&other.view)? });
    }
    Ok(all)
}

/// Shows the versions, or orders one.
pub fn fold(node: &Node, order: Option<(u32, u32)>, by: &str) -> Result<Answer, Failure> {
    match order {
        None => shown(node),
        Some((version, seconds)) => ordered(node, version, seconds, by),
    }
}

fn shown(node: &Node) -> Result<Answer, Failure> {
    let (config, sites) = (node.config.current(), sites(node)?);
    let columns = [
        ("site", "Site", Kind::Text),
        ("folds", "Its ledger is folded by", Kind::Count),
        ("newest", "Its program folds up to", Kind::Count),
        ("why", "Not known, since", Kind::Text),
    ];
    let row = |runs: &Runs| {
        let newest = runs.newest.as_ref().map(u32::to_string).unwrap_or_default();
        let why = runs.newest.as_ref().err().cloned().unwrap_or_default();
        vec![runs.site.clone(), runs.folds.to_string(), newest, why]
    };
    let notes = match config.fold_versions.last_key_value() {
        None => vec!["fold version 1 is in force; no other was ordered".to_owned()],
        Some((version, from)) => vec![format!("fold version {version} is ordered from {from} on")],
    };
    Ok(Answer { notes, ..Answer::of(table_of(&columns, sites.iter().map(row).collect())) })
}

fn ordered(node: &Node, version: u32, seconds: u32, by: &str) -> Result<Answer, Failure> {
    may_configure(node)?;
    let config = node.config.current();
    let refused = |why: String| Failure::Usage(format!("fold version {version}: {why}; nothing was ordered"));
    let last = config.fold_versions.last_key_value();
    if let Some(from) = config.fold_versions.get(&version) {
        let notes = vec![format!("fold version {version} is ordered already, from {from} on")];
        return Ok(Answer { notes, json: Some(serde_json::json!({ "changes": 0 })), ..Answer::default() });
    }
    let before = last.map_or(1, |(version, _)| *version);
    if version <= before {
        return Err(refused(format!("version {before} is in force, and versions only rise")));
    }
    if seconds > AHEAD_MAX {
        return Err(refused(format!("the cut lies more than {AHEAD_MAX} s ahead")));
    }
    let lacking: Vec<String> = sites(node)?
        .into_iter()
        .filter_map(|runs| match runs.newest {
            Ok(newest) if newest >= version => None,
            Ok(newest) => Some(format!("site {} runs a program that folds up to version {newest}", runs.site)),
            Err(why) => Some(format!("what site {} runs is not known: {why}", runs.site)),
        })
        .collect();
    if !lacking.is_empty() {
        return Err(refused(format!("every site has to run it first, and {}", lacking.join(", "))));
    }
    let from = BookedAt(wall_micros().saturating_add(i64::from(seconds) * 1_000_000));
    let order = ConfigItem::FoldVersion(FoldVersion { version, from });
    let seq = node.publish(&[order], by, &format!("fold version {version} from {from} on"))?;
    let notes = vec![
        format!("from {from} on all ledgers are folded by version {version} (configuration version {seq})"),
        "going back to the program before ended with this order: one that does not know the version stops".to_owned(),
    ];
    let json = serde_json::json!({ "changes": 1, "config_seq": seq, "version": version, "from": from.to_string() });
    Ok(Answer { notes, json: Some(json), ..Answer::default() })
}
