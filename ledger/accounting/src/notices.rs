//! What owners want to hear of: thresholds passed, each told once and again only after it was no longer passed in between;
//! calls that cost more than was held; vendors that we can soon not pay for. Pure: what was told, and how fast a vendor's
//! balance falls, is remembered here and nowhere else, so whoever begins anew begins anew.

use crate::attempts::owable;
use crate::authorise::available;
use crate::book::Book;
use facts::config::Config;
use facts::entry::Gl;
use facts::notice::{Notice, NoticeKind};
use facts::{Amount, OccurredAt};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const HOUR: i64 = 3_600_000_000;
const DAY_HOURS: i64 = 24;
/// Between two looks at vendors.
const VENDORS_EVERY: i64 = 60_000_000;

/// What has been told.
#[derive(Debug, Default)]
pub struct Watch {
    told: BTreeSet<(SmolStr, NoticeKind)>,
    vendors: BTreeMap<SmolStr, Falling>,
    vendors_at: Option<i64>,
}

/// How fast what we may owe a vendor falls: sums by hour of the last day. What is paid raises it and is left out.
#[derive(Debug)]
struct Falling {
    since: i64,
    last: i128,
    hours: VecDeque<(i64, i128)>,
}

impl Falling {
    fn look(&mut self, now: i64, left: i128) {
        let hour = now.div_euclid(HOUR);
        let spent = self.last.saturating_sub(left).max(0);
        self.last = left;
        match self.hours.back_mut().filter(|(at, _)| *at == hour) {
            Some((_, sum)) => *sum = sum.saturating_add(spent),
            None => self.hours.push_back((hour, spent)),
        }
        while self.hours.front().is_some_and(|(at, _)| *at <= hour - DAY_HOURS) {
            self.hours.pop_front();
        }
    }

    /// What a day costs at the present rate; `None` before an hour was seen, and where nothing is bought.
    fn a_day(&self, now: i64) -> Option<i128> {
        let span = now.saturating_sub(self.since).min(DAY_HOURS * HOUR);
        let sum = self.hours.iter().fold(0_i128, |sum, (_, spent)| sum.saturating_add(*spent));
        let day = sum.checked_mul(i128::from(DAY_HOURS * HOUR))? / i128::from(span.max(1));
        (span >= HOUR && day > 0).then_some(day)
    }
}

impl Watch {
    /// Vendors for whom what we may still owe lasts for fewer than `days` days at the present rate: those with a limit,
    /// and those that were paid ahead.
    pub fn vendors(&mut self, book: &Book, config: &Config, days: u32, now: OccurredAt) -> Vec<Notice> {
        let mut out = Vec::new();
        if days == 0 || self.vendors_at.is_some_and(|at| now.0.saturating_sub(at) < VENDORS_EVERY) {
            return out;
        }
        self.vendors_at = Some(now.0);
        for (account, terms) in &config.accounts {
            let bought = |gl: Gl| matches!(gl, Gl::PayableUnbilled | Gl::PayableProvisional | Gl::PayableInvoiced);
            let (mut vendor, mut ahead) = (false, terms.credit_limit.0 > 0);
            for line in book.lines().of_account(account) {
                vendor |= bought(line.gl) || line.gl == Gl::PrepaymentsMade;
                ahead |= line.gl == Gl::PrepaymentsMade;
            }
            let held = book.holds().held_for_attempts(account).amount.0;
            let Some(left) = owable(book, config, account, now.0).filter(|_| vendor && ahead) else { continue };
            // Holds come and go; only what is booked says how fast it falls.
            let booked = left.0.saturating_add(held);
            let new = || Falling { since: now.0, last: booked, hours: VecDeque::new() };
            let falling = self.vendors.entry(account.clone()).or_insert_with(new);
            falling.look(now.0, booked);
            let key = (account.clone(), NoticeKind::VendorRunsDry);
            let Some(day) = falling.a_day(now.0).filter(|day| booked < day.saturating_mul(i128::from(days))) else {
                self.told.remove(&key);
                continue;
            };
            if self.told.insert(key) {
                out.push(Notice {
                    site: config.settings.site.clone(),
                    account: account.clone(),
                    currency: terms.currency,
                    kind: NoticeKind::VendorRunsDry,
                    at: now,
                    threshold: Amount(day.saturating_mul(i128::from(days))),
                    value: Amount(booked),
                    days: u32::try_from(booked.max(0) / day).ok(),
                    call_id: None,
                    id: None,
                    frame: None,
                });
            }
        }
        out
    }

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
                    let (days, call_id, currency) = (None, None, caps.currency);
                    let (at, id, frame) = (now, None, None);
                    out.push(Notice { site, account, currency, kind, at, threshold, value, days, call_id, id, frame });
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
        self.told.retain(|(_, kind)| *kind == NoticeKind::VendorRunsDry);
        self.told.append(&mut passed);
        out
    }
}

#[cfg(test)]
mod tests;
