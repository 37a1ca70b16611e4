//! Calls that end by rule: of an account that is blocked, or that stands below what it may use (its limit was lowered, a
//! call cost more than was held for it). Their switch is told by Disconnect-Request, the newest first, as many as hold
//! what is missing. Decides nothing about money.

use super::sessions::Live;
use super::{Door, dynamic, lock};
use crate::node::{ConfigHub, wall_micros};
use ledger::{LedgerView, View};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Switches that are told at once.
const TOGETHER: usize = 16;
/// A switch that did not confirm is told again after so long.
const AGAIN: Duration = Duration::from_secs(30);

/// Which calls are ended though their seconds are not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCalls {
    No,
    /// Of accounts that may have no calls (caps of 0 calls at once), or are not in the configuration any more.
    Blocked,
    /// Those, and of accounts that stand below what they may use.
    #[default]
    Overdrawn,
}

/// What the rule looks at.
pub struct Watch {
    pub ends: EndCalls,
    pub view: Arc<View>,
    pub config: Arc<ConfigHub>,
}

/// Why calls end, and what is missing; `None`: all of them end.
struct Verdict {
    why: &'static str,
    missing: Option<i128>,
}

impl Watch {
    fn verdict(&self, account: &SmolStr) -> Option<Verdict> {
        let blocked = Some(Verdict { why: "blocked", missing: None });
        if !self.config.current().accounts.contains_key(account) {
            return blocked;
        }
        let limits = self.view.limits(Some(account)).ok()?;
        let caps = limits.iter().filter_map(|row| row.caps.as_ref());
        if caps.into_iter().any(|caps| caps.calls == Some(0)) {
            return blocked;
        }
        if self.ends != EndCalls::Overdrawn {
            return None;
        }
        let left = self.left(account)?;
        (left < 0).then_some(Verdict { why: "overdrawn", missing: Some(-left) })
    }

    /// What the account may still use here, 10^-12: beside other sites its rights and reserve at this one.
    fn left(&self, account: &SmolStr) -> Option<i128> {
        if let Some(sites) = self.view.sites() {
            let rights = sites.accounts.iter().find(|one| one.account == *account)?;
            let own = rights.sites.iter().find(|site| site.site == sites.number)?;
            return Some(own.rights.0.saturating_add(own.reserve.0));
        }
        let config = self.config.current();
        let currency = config.accounts.get(account)?.currency;
        let balances = self.view.balances(Some(account)).ok()?;
        balances.iter().find(|balance| balance.currency == currency).map(|balance| balance.available.0)
    }
}

impl Door {
    /// Ends what the rule says must end. Blocks.
    pub(super) fn rule(&self, watch: &Watch) {
        let all = self.live();
        let accounts: BTreeSet<&SmolStr> = all.iter().flat_map(|live| &live.accounts).collect();
        for account in accounts {
            let Some(verdict) = watch.verdict(account) else { continue };
            let held: HashMap<_, i128> = match watch.view.holds(Some(account)) {
                Ok(rows) => rows.iter().map(|row| (row.hold_id, row.amount.0)).collect(),
                Err(_) => continue,
            };
            let mut missing = verdict.missing;
            let mut calls: Vec<&Live> = all.iter().filter(|live| live.accounts.contains(account)).collect();
            // The newest first; those that are ending already give back what they hold.
            calls.sort_by_key(|live| (!live.ending, std::cmp::Reverse(live.began)));
            let mut ends = Vec::new();
            for live in calls {
                if missing.is_some_and(|missing| missing <= 0) {
                    break;
                }
                missing = missing.map(|missing| missing - held.get(&live.hold).copied().unwrap_or(0));
                let marked = !live.ending && lock(&self.sessions).mark_ending(live.hold);
                if marked {
                    ends.push(live.clone());
                }
            }
            for live in &ends {
                tracing::warn!(%account, key = live.key, why = verdict.why, "a call is ended by rule");
                self.count(&format!("ended_{}", verdict.why));
            }
            self.end_all(&ends);
        }
    }

    /// Tells switches to end calls, several at once, and gives what each said. Blocks.
    pub(super) fn end_all(&self, calls: &[Live]) -> Vec<(Live, dynamic::Told)> {
        let (next, told) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..TOGETHER.min(calls.len()) {
                scope.spawn(|| {
                    while let Some(live) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let answer = self.end_now(live);
                        lock(&told).push((live.clone(), answer));
                    }
                });
            }
        });
        told.into_inner().unwrap_or_default()
    }

    /// Tells a call's switch to end it; who does not confirm is told again later. Blocks for up to seven seconds.
    pub(super) fn end_now(&self, live: &Live) -> dynamic::Told {
        let told = self.disconnect(live);
        if told != dynamic::Told::Done
            && let Some(known) = lock(&self.sessions).get_mut(live.hold)
        {
            known.again = Some(Instant::now() + AGAIN);
        }
        told
    }

    /// What was kept of calls that go on, once the ledger can say which of them do. Blocks.
    pub(super) fn restore(&self, folder: &std::path::Path, watch: &Watch) -> Result<(), String> {
        let rows = loop {
            match watch.view.holds(None) {
                Ok(rows) => break rows,
                Err(error) => tracing::info!(%error, "calls that go on are not known yet"),
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        let open = rows.iter().map(|row| (row.hold_id, row.seconds)).collect();
        let (keeper, mut kept) = super::kept::Keeper::open(folder, &self.clients, &open, wall_micros())
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut sessions = lock(&self.sessions);
        // Whatever was let through meanwhile is newer.
        for live in kept.take() {
            if sessions.get_mut(live.hold).is_none() {
                sessions.allow(live);
            }
        }
        sessions.iter().for_each(|live| keeper.call(live, &self.clients, wall_micros()));
        drop(self.keeper.set(keeper));
        Ok(())
    }
}
