//! `tandem report check`: proves that what the reports sum is what the ledger booked, to the last digit, at one cut of
//! the streams.

use crate::node::{Node, xdrs_stream};
use crate::ops::{Answer, engine};
use crate::output::Failure;
use crate::peers;
use crate::runs::{self, RunsHub};
use crate::tables::table_of;
use console::source::Kind;
use facts::Amount;
use facts::entry::{EntryKind, Gl, Posting};
use facts::stream::next_position;
use facts::xdr::Position;
use ledger::{EntryFilter, LedgerView, Page, Total, View};
use reporting::block_on;
use reporting::engine::Session;
use reporting::loader::LoadStatus;
use reporting::reports::{self, Cut, RollupCheck};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long the loader may take to come to the ledger's cut.
const LOAD_LIMIT: Duration = Duration::from_secs(120);

/// How long a range may take on its way from the rows into the rollups.
const ROLLUP_LIMIT: Duration = Duration::from_secs(15);

/// How long a run that is being posted may take.
const RUN_LIMIT: Duration = Duration::from_secs(3_600);

/// Side, account, currency.
type Key = (String, String, String);

/// One site's books and what its rated calls came to here.
struct Part<'a> {
    site: &'a str,
    view: &'a View,
    runs: &'a RunsHub,
    partitions: u32,
    /// Whether its ledger is followed by the loader too: where there are peers.
    books: bool,
    loading: Box<dyn Fn() -> Option<Vec<LoadStatus>> + 'a>,
}

/// This site and every other one of which rated calls are held here.
fn parts(node: &Node) -> Result<Vec<Part<'_>>, Failure> {
    let loading = node.loading.clone();
    let own = move || Some(loading.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let (site, partitions) = (node.settings.site.as_str(), node.settings.partitions);
    let books = !node.settings.peers.is_empty();
    let mut all = vec![Part { site, view: &node.view, runs: &node.runs, partitions, books, loading: Box::new(own) }];
    for other in &node.others {
        let partitions = peers::partitions(&*node.bus, &other.name)?;
        if partitions > 0 {
            // Its loader begins when the copies' partitions are known: until then nothing of it is loaded.
            let loads = node.loading.is_some();
            let loading = Box::new(move || other.loaded().or_else(|| loads.then(Vec::new)));
            all.push(Part { site: &other.name, view: &other.view, runs: &other.runs, partitions, books, loading });
        }
    }
    Ok(all)
}

/// Compares sums of charges by side, account and currency, over all sites held here.
pub fn check(node: &Node) -> Result<Answer, Failure> {
    let mut session = engine(node)?.session();
    let mut sums: BTreeMap<Key, [Amount; 2]> = BTreeMap::new();
    let beyond = || Failure::Broken("the sums leave the range of 26 digits before the point".to_owned());
    let (mut cuts, mut calls, mut attempts) = (Vec::new(), 0, 0);
    for part in parts(node)? {
        let (totals, own_cuts) = ledger_at_a_cut(&part)?;
        wait_until_loaded(&part, &own_cuts)?;
        let booked = booked(&part, &totals)?;
        let reported = block_on(reports::totals(&mut session, part.site, &own_cuts)).map_err(Failure::broken)?;
        for side in &reported.sides {
            let gross = Amount(side.net).checked_add(Amount(side.tax_total)).ok_or_else(beyond)?;
            let key = (side.side.clone(), side.account.clone(), side.currency.clone());
            let sum = &mut sums.entry(key).or_default()[0];
            *sum = sum.checked_add(gross).ok_or_else(beyond)?;
        }
        for (key, amount) in booked {
            let sum = &mut sums.entry(key).or_default()[1];
            *sum = sum.checked_add(amount).ok_or_else(beyond)?;
        }
        cuts.extend(own_cuts);
        (calls, attempts) = (calls + reported.calls, attempts + reported.attempts);
    }
    let rollups = rollups(&mut session)?;
    let mut differing = 0;
    let mut rows = Vec::new();
    for ((side, account, currency), [reports, ledger]) in &sums {
        if reports != ledger {
            differing += 1;
        }
        let difference = reports.checked_sub(*ledger).ok_or_else(beyond)?;
        rows.push(vec![
            side.clone(),
            account.clone(),
            currency.clone(),
            reports.to_string(),
            ledger.to_string(),
            difference.to_string(),
        ]);
    }
    let columns = [
        ("side", "Side", Kind::Text),
        ("account", "Account", Kind::Text),
        ("currency", "Currency", Kind::Text),
        ("reports", "Reports", Kind::Money),
        ("ledger", "Ledger", Kind::Money),
        ("difference", "Difference", Kind::Money),
    ];
    let wrong_rollups: u64 = rollups.iter().map(|rollup| rollup.differing).sum();
    let mut notes: Vec<String> = cuts
        .iter()
        .map(|c| format!("cut: {} before frame {} item {}", c.stream, c.before.seq, c.before.index))
        .collect();
    notes.push(format!("{calls} calls, {attempts} attempts, {} sums compared", sums.len()));
    for rollup in rollups.iter().filter(|rollup| rollup.differing > 0) {
        notes.push(format!("rollup {} differs from its rows in {} places", rollup.table, rollup.differing));
    }
    let differs = differing > 0 || wrong_rollups > 0;
    notes.push(if differs {
        format!("reports and ledger DIFFER in {differing} sums")
    } else {
        "reports and ledger agree to the last digit".to_owned()
    });
    Ok(Answer { notes, differs, ..Answer::of(table_of(&columns, rows)) })
}

/// Compares the rollups with their rows. A range that is being loaded stands in its rows a moment before it stands in
/// every rollup, so a difference counts where it stays.
fn rollups(session: &mut Session) -> Result<Vec<RollupCheck>, Failure> {
    let until = Instant::now() + ROLLUP_LIMIT;
    loop {
        let found = block_on(reports::check_rollups(session)).map_err(Failure::broken)?;
        if found.iter().all(|rollup| rollup.differing == 0) || Instant::now() > until {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The ledger's totals, and where in the raters' streams it stood when they were taken.
///
/// While a run is posted there is no cut at which anybody but the ledger knows what of it counts; it is waited for.
fn ledger_at_a_cut(part: &Part<'_>) -> Result<(Vec<Total>, Vec<Cut>), Failure> {
    part.runs.settle(RUN_LIMIT)?;
    loop {
        let before = part.view.status().map_err(Failure::broken)?;
        let totals = part.view.totals().map_err(Failure::broken)?;
        let after = part.view.status().map_err(Failure::broken)?;
        if before.root == after.root && before.consumed == after.consumed {
            let cut = |partition| {
                let stream = xdrs_stream(part.site, partition);
                Cut { before: next_position(&after.consumed, &stream), stream }
            };
            let mut cuts: Vec<Cut> = (0..part.partitions as usize).map(cut).collect();
            cuts.extend(runs::consumed_runs(part.site, &after.consumed));
            if part.books {
                // What the ledger took back since another site's charge counts.
                let before = Position { seq: after.seq + 1, index: 0 };
                cuts.push(Cut { stream: after.stream.to_string(), before });
            }
            if part.runs.is_settled()? {
                return Ok((totals, cuts));
            }
            part.runs.settle(RUN_LIMIT)?;
        }
    }
}

fn wait_until_loaded(part: &Part<'_>, cuts: &[Cut]) -> Result<(), Failure> {
    let until = Instant::now() + LOAD_LIMIT;
    loop {
        let Some(streams) = (part.loading)() else {
            return Err(Failure::Usage(format!("this process does not load the reports of site {}", part.site)));
        };
        let behind = cuts.iter().find(|cut| !streams.iter().any(|s| s.stream == cut.stream && s.loaded >= cut.before));
        let Some(behind) = behind else { return Ok(()) };
        if Instant::now() > until {
            let why =
                streams.iter().find_map(|s| s.failing.as_ref()).map_or_else(String::new, |(_, why)| format!(": {why}"));
            return Err(Failure::Broken(format!(
                "{} is not loaded up to frame {}{why}",
                behind.stream, behind.before.seq
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Charges by side, account and currency: what stands on the accounts, less what people corrected or reversed.
fn booked(part: &Part<'_>, totals: &[Total]) -> Result<BTreeMap<Key, Amount>, Failure> {
    let mut sums = BTreeMap::new();
    for total in totals {
        add(&mut sums, total.gl, &total.account, total.currency.as_str(), total.balance)?;
    }
    for kind in [EntryKind::Correction, EntryKind::Reversal] {
        let count = part.view.status().map_err(Failure::broken)?.entries[kind as usize];
        if count > 0 {
            for posting in postings_of(part, kind)? {
                let back = posting.amount.checked_neg().unwrap_or_default();
                add(&mut sums, posting.gl, &posting.account, posting.currency.as_str(), back)?;
            }
        }
    }
    Ok(sums)
}

fn add(sums: &mut BTreeMap<Key, Amount>, gl: Gl, account: &str, currency: &str, amount: Amount) -> Result<(), Failure> {
    let (side, amount) = match gl {
        Gl::ReceivableUnbilled | Gl::ReceivableProvisional => ("sell", amount),
        // What we owe is a credit; reports show cost as plus.
        Gl::PayableUnbilled | Gl::PayableProvisional => ("buy", amount.checked_neg().unwrap_or_default()),
        _ => return Ok(()),
    };
    let sum = sums.entry((side.to_owned(), account.to_owned(), currency.to_owned())).or_default();
    let beyond = || Failure::Broken("the sums leave the range of 26 digits before the point".to_owned());
    *sum = Amount::checked_add(*sum, amount).ok_or_else(beyond)?;
    Ok(())
}

fn postings_of(part: &Part<'_>, kind: EntryKind) -> Result<Vec<Posting>, Failure> {
    let filter = EntryFilter { kind: Some(kind), ..EntryFilter::default() };
    let mut page = Page { after: None, limit: ledger::api::PAGE_MAX, newest_first: false };
    let mut postings = Vec::new();
    loop {
        let found = part.view.entries(&filter, &page).map_err(Failure::broken)?;
        // A call's charge that was taken back is taken back in the reports too.
        let orders = found.entries.into_iter().filter(|entry| entry.call_id.is_none());
        postings.extend(orders.flat_map(|entry| entry.postings));
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(postings),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ledger_and_loader_say_the_same_of_a_charge_that_another_site_has() {
        assert_eq!(reporting::loader::CHARGED_ELSEWHERE, accounting::post::CHARGED_ELSEWHERE);
    }
}
