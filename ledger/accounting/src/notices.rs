//! Thresholds that accounts have passed: each told once, and again only after it was no longer passed in between. Pure:
//! what was told is remembered here and nowhere else, so whoever begins anew tells again.

use crate::authorise::available;
use crate::book::Book;
use facts::OccurredAt;
use facts::config::Config;
use facts::notice::{Notice, NoticeKind};
use smol_str::SmolStr;
use std::collections::BTreeSet;

/// What has been told.
#[derive(Debug, Default)]
pub struct Watch {
    told: BTreeSet<(SmolStr, NoticeKind)>,
}

impl Watch {
    /// Notices of accounts that have passed a threshold of their caps since the last look.
    pub fn look(&mut self, book: &Book, config: &Config, now: OccurredAt) -> Vec<Notice> {
        let mut passed = BTreeSet::new();
        let mut out = Vec::new();
        for (account, terms) in book.holds().all_terms() {
            let Some(caps) = &terms.caps else { continue };
            let mut see = |kind, threshold, value| {
                let key = (account.clone(), kind);
                if !self.told.contains(&key) {
                    let (site, account) = (config.settings.site.clone(), account.clone());
                    out.push(Notice { site, account, currency: caps.currency, kind, at: now, threshold, value });
                }
                passed.insert(key);
            };
            let left = available(book, config, account, now.0);
            if let (Some(low), Some(left)) = (caps.low_balance, left.filter(|left| Some(*left) < caps.low_balance)) {
                see(NoticeKind::LowBalance, low, left);
            }
            let spent = book.holds().spent(account, now.0);
            if let Some(high) = caps.high_spend.filter(|high| spent > *high) {
                see(NoticeKind::HighSpend, high, spent);
            }
        }
        self.told = passed;
        out
    }
}
