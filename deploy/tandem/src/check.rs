//! `tandem report check`: proves that what the reports sum is what the ledger booked, to the last digit, at one cut of
//! the streams.

use crate::node::{Node, xdrs_stream};
use crate::ops::{Answer, engine};
use crate::output::Failure;
use crate::runs;
use crate::tables::table_of;
use console::source::Kind;
use facts::Amount;
use facts::entry::{EntryKind, Gl, Posting};
use facts::stream::next_position;
use ledger::{EntryFilter, LedgerView, Page, Total};
use reporting::block_on;
use reporting::reports::{self, Cut};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long the loader may take to come to the ledger's cut.
const LOAD_LIMIT: Duration = Duration::from_secs(120);

/// How long a run that is being posted may take.
const RUN_LIMIT: Duration = Duration::from_secs(3_600);

/// Side, account, currency.
type Key = (String, String, String);

/// Compares sums of charges by side, account and currency.
pub fn check(node: &Node) -> Result<Answer, Failure> {
    let (totals, cuts) = ledger_at_a_cut(node)?;
    wait_until_loaded(node, &cuts)?;
    let booked = booked(node, &totals)?;
    let mut session = engine(node)?.session();
    let reported = block_on(reports::totals(&mut session, &node.settings.site, &cuts)).map_err(Failure::broken)?;
    let rollups = block_on(reports::check_rollups(&mut session)).map_err(Failure::broken)?;
    let mut sums: BTreeMap<Key, [Amount; 2]> = BTreeMap::new();
    let beyond = || Failure::Broken("the sums leave the range of 26 digits before the point".to_owned());
    for side in &reported.sides {
        let gross = Amount(side.net).checked_add(Amount(side.tax_total)).ok_or_else(beyond)?;
        let sum = &mut sums.entry((side.side.clone(), side.account.clone(), side.currency.clone())).or_default()[0];
        *sum = sum.checked_add(gross).ok_or_else(beyond)?;
    }
    for (key, amount) in booked {
        sums.entry(key).or_default()[1] = amount;
    }
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
    notes.push(format!("{} calls, {} attempts, {} sums compared", reported.calls, reported.attempts, sums.len()));
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

/// The ledger's totals, and where in the raters' streams it stood when they were taken.
///
/// While a run is posted there is no cut at which anybody but the ledger knows what of it counts; it is waited for.
fn ledger_at_a_cut(node: &Node) -> Result<(Vec<Total>, Vec<Cut>), Failure> {
    node.runs.settle(RUN_LIMIT)?;
    loop {
        let before = node.view.status().map_err(Failure::broken)?;
        let totals = node.view.totals().map_err(Failure::broken)?;
        let after = node.view.status().map_err(Failure::broken)?;
        if before.root == after.root && before.consumed == after.consumed {
            let cut = |partition| {
                let stream = xdrs_stream(&node.settings.site, partition);
                Cut { before: next_position(&after.consumed, &stream), stream }
            };
            let mut cuts: Vec<Cut> = (0..node.settings.partitions as usize).map(cut).collect();
            cuts.extend(runs::consumed_runs(&node.settings.site, &after.consumed));
            if node.runs.is_settled()? {
                return Ok((totals, cuts));
            }
            node.runs.settle(RUN_LIMIT)?;
        }
    }
}

fn wait_until_loaded(node: &Node, cuts: &[Cut]) -> Result<(), Failure> {
    let Some(loading) = &node.loading else {
        return Err(Failure::Usage("this process does not load reports".to_owned()));
    };
    let until = Instant::now() + LOAD_LIMIT;
    loop {
        let streams = loading.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
fn booked(node: &Node, totals: &[Total]) -> Result<BTreeMap<Key, Amount>, Failure> {
    let mut sums = BTreeMap::new();
    for total in totals {
        add(&mut sums, total.gl, &total.account, total.currency.as_str(), total.balance)?;
    }
    for kind in [EntryKind::Correction, EntryKind::Reversal] {
        let count = node.view.status().map_err(Failure::broken)?.entries[kind as usize];
        if count > 0 {
            for posting in postings_of(node, kind)? {
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

fn postings_of(node: &Node, kind: EntryKind) -> Result<Vec<Posting>, Failure> {
    let filter = EntryFilter { kind: Some(kind), ..EntryFilter::default() };
    let mut page = Page { after: None, limit: ledger::api::PAGE_MAX, newest_first: false };
    let mut postings = Vec::new();
    loop {
        let found = node.view.entries(&filter, &page).map_err(Failure::broken)?;
        postings.extend(found.entries.into_iter().flat_map(|entry| entry.postings));
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(postings),
        }
    }
}
