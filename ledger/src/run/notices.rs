//! Notices of thresholds on the topic `notices.SITE`, at least once: after a death they may be told again.

use accounting::notices::Watch;
use bus::{Record, TopicSpec, Writer};
use facts::config::Config;
use facts::{Amount, OccurredAt};
use smol_str::SmolStr;
use std::time::{Duration, Instant};

use super::{Core, wall_micros};
use crate::error::LedgerError;
use crate::fold::Fold;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// What has been told, and where to.
#[derive(Default)]
pub(super) struct Notices {
    watch: Watch,
    looked_at: Option<Instant>,
    /// Made with the first notice.
    writer: Option<Box<dyn Writer>>,
}

impl Core<'_> {
    /// Tells what accounts have passed since the last look.
    pub(super) fn notice(&mut self) -> Result<(), LedgerError> {
        if self.notices.looked_at.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(());
        }
        self.notices.looked_at = Some(Instant::now());
        let (config, now) = ((self.options.config)(), OccurredAt(wall_micros()));
        let mut told = Vec::new();
        // Of several sites one tells of balances: where caps are ordered, and what is left counts over all of them.
        if self.options.peers.is_empty() || self.options.number == self.options.config_site {
            let mut fold = self.shared().fold();
            let means = self.sites.is_some().then(|| left_everywhere(&fold, &config));
            fold.book.set_means(means);
            told = self.notices.watch.look(&fold.book, &config, now);
            fold.book.set_means(None);
        }
        told.extend(self.notices.watch.vendors(&self.shared().fold().book, &config, self.options.vendor_days, now));
        told.append(&mut self.poster.overruns);
        if told.is_empty() {
            return Ok(());
        }
        let writer = match &mut self.notices.writer {
            Some(writer) => writer,
            none => {
                let topic = format!("notices.{}", self.options.site);
                self.options.bus.ensure(&TopicSpec::events(topic.as_str(), 1))?;
                none.insert(self.options.bus.writer(&topic)?)
            }
        };
        for notice in told {
            let mut value = Vec::new();
            schemas::notice::encode(&notice, &self.options.ids, &mut value);
            let record = Record { key: notice.account.as_bytes(), value: &value, timestamp_ms: now.0 / 1_000 };
            writer.append(0, &[record])?;
        }
        Ok(())
    }
}

/// What is left of each account with caps over all sites, as far as their ledgers are folded here.
fn left_everywhere(fold: &Fold, config: &Config) -> Vec<(SmolStr, Amount)> {
    let books = || std::iter::once(&fold.book).chain(fold.others.values().map(|other| &other.book));
    let capped = fold.book.holds().all_terms().filter(|(_, terms)| terms.caps.is_some());
    let left = |account: &SmolStr| {
        let currency = config.accounts.get(account)?.currency;
        let rows = books().map(|book| book.row(account, currency));
        // What one site gave another stands on both sides of the sum.
        let sum = rows.fold(0i128, |sum, row| sum.saturating_add(row.limit + row.funds - row.open_holds));
        Some((account.clone(), Amount(sum)))
    };
    capped.filter_map(|(account, _)| left(account)).collect()
}
