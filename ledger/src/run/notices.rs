//! Notices on the topic `notices.SITE`, at least once: after a death they may be told again. Overruns are a fold of the
//! frames, and what was told last says from which frame on, so none is lost; each has an id.

use accounting::notices::Watch;
use bus::{Bus, Record, TopicSpec, Writer};
use facts::config::Config;
use facts::notice::Notice;
use facts::{Amount, OccurredAt};
use schemas::SchemaIds;
use smol_str::SmolStr;
use std::time::{Duration, Instant};

use super::{Core, wall_micros};
use crate::error::LedgerError;
use crate::fold::Fold;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Overruns told in one write.
const TOGETHER: usize = 1_000;
/// How long the topic's last records may take to come, and how much is read at once.
const READ_WITHIN: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 1 << 20;

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
        // Overruns go first: whatever else names a frame says that those before it have been told.
        self.tell_overruns()?;
        let frame = Some(self.own.state().seq());
        let told: Vec<Notice> = told.into_iter().map(|notice| Notice { frame, ..notice }.named()).collect();
        self.tell(&told)
    }

    /// Tells of calls in durable frames that cost more than was held for them.
    pub(super) fn tell_overruns(&mut self) -> Result<(), LedgerError> {
        let durable = self.own.state().seq();
        loop {
            let mut told = Vec::new();
            {
                let mut fold = self.shared().fold();
                let Some(overruns) = &mut fold.overruns else { return Ok(()) };
                told.extend(std::iter::from_fn(|| overruns.next(durable)).take(TOGETHER));
                let lost = overruns.take_lost();
                if lost > 0 {
                    tracing::error!(lost, "more overruns than can be kept: these are told of by nobody");
                }
            }
            if told.is_empty() {
                return Ok(());
            }
            bus::failpoint::pass("ledger.notice");
            self.tell(&told)?;
        }
    }

    fn tell(&mut self, told: &[Notice]) -> Result<(), LedgerError> {
        if told.is_empty() {
            return Ok(());
        }
        let writer = match &mut self.notices.writer {
            Some(writer) => writer,
            none => {
                let topic = topic_of(&self.options.site);
                self.options.bus.ensure(&TopicSpec::events(topic.as_str(), 1))?;
                none.insert(self.options.bus.writer(&topic)?)
            }
        };
        let values: Vec<Vec<u8>> = told
            .iter()
            .map(|notice| {
                let mut value = Vec::new();
                schemas::notice::encode(notice, &self.options.ids, &mut value);
                value
            })
            .collect();
        let record = |(notice, value)| {
            let (notice, value): (&Notice, &Vec<u8>) = (notice, value);
            Record { key: notice.account.as_bytes(), value, timestamp_ms: notice.at.0 / 1_000 }
        };
        let records: Vec<Record<'_>> = told.iter().zip(&values).map(record).collect();
        writer.append(0, &records)?;
        Ok(())
    }
}

fn topic_of(site: &str) -> String {
    format!("notices.{site}")
}

/// First frame of the ledger whose overruns may not have been told: that of the last notice there is. Its own are told
/// again, for another of them may have been lost.
pub(super) fn told_until(bus: &dyn Bus, ids: &SchemaIds, site: &str) -> Result<u64, LedgerError> {
    let mut last = None;
    newest(bus, ids, site, 1, |notice| last = notice.frame)?;
    Ok(last.unwrap_or(0))
}

/// The newest notices of a site, oldest of them first; what cannot be read is passed over.
pub fn newest(
    bus: &dyn Bus,
    ids: &SchemaIds,
    site: &str,
    most: u64,
    mut each: impl FnMut(Notice),
) -> Result<(), LedgerError> {
    let topic = topic_of(site);
    if bus.partitions(&topic)?.is_none() {
        return Ok(());
    }
    let (begin, end) = (bus.begin(&topic, 0)?, bus.end(&topic, 0)?);
    let mut at = end.saturating_sub(most).max(begin);
    if at >= end {
        return Ok(());
    }
    let (mut reader, mut batch) = (bus.reader(&topic, 0, at)?, bus::Batch::new());
    let until = Instant::now() + READ_WITHIN;
    while at < end && Instant::now() < until {
        reader.poll(&mut batch, READ_BYTES, Duration::from_millis(200))?;
        for record in batch.iter() {
            at = record.offset + 1;
            if let Ok(notice) = schemas::notice::decode(record.value, ids) {
                each(notice);
            }
        }
        // An incarnation record, which a topic begins with, is passed over by the reader.
        if batch.is_empty() && at == begin {
            at += 1;
        }
    }
    Ok(())
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
