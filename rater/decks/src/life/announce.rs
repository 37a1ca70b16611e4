//! What a customer is told of a new version of his deck, as the text of a mail: how much changes, from when, by which
//! notice, the largest changes. Text for a person to send; nothing is sent, no table is written here.

use super::charge::{DURATIONS, charge};
use super::diff::{Change, Class, Direction};
use super::rows::{ALWAYS, OPEN};
use facts::Prefix;
use facts::deck::{IntervalRule, Rate};
use facts::money::Currency;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fmt::Write;

const DAY: i64 = 86_400_000_000;
/// Largest changes that the text names.
const LARGEST: usize = 10;

/// The notice beside its changes. Instants are microseconds since the epoch.
#[derive(Clone, Debug)]
pub struct Announcement<'a> {
    pub deck: &'a str,
    pub version: u32,
    /// The version that the customer has.
    pub since: u32,
    pub currency: Currency,
    pub rule: IntervalRule,
    /// When the customer is told.
    pub told: i64,
    /// Days of notice that the agreement gives him for increases.
    pub notice_days: u32,
    /// Legal name of ours.
    pub we: &'a str,
    /// File with the whole list; empty = none is named.
    pub file: &'a str,
}

/// The text, and what contradicts the agreement.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    pub text: String,
    /// Codes that become dearer before the notice has run, with their date.
    pub early: Vec<(Prefix, SmolStr, i64)>,
    pub changes: u64,
}

/// Writes the text. Changes that ended before the customer is told are not news.
pub fn announce(notice: &Announcement<'_>, changes: &[Change]) -> Told {
    let news: Vec<&Change> = changes.iter().filter(|change| change.until > notice.told).collect();
    let mut told = Told { changes: news.len() as u64, ..Told::default() };
    let allowed = notice.told.saturating_add(i64::from(notice.notice_days) * DAY);
    let raises = news.iter().filter(|change| dearer(change, notice.rule));
    let (mut raised, mut earliest) = (0u64, OPEN);
    for change in raises {
        (raised, earliest) = (raised + 1, earliest.min(change.from));
        if change.from < allowed {
            told.early.push((change.prefix, change.destination.clone(), change.from));
        }
    }
    let text = &mut told.text;
    let Announcement { deck, version, since, currency, notice_days, .. } = *notice;
    let _ = writeln!(text, "Subject: rate notice {deck}, version {version}, of {}\n", day(notice.told));
    let _ =
        writeln!(text, "Your prices change as follows against version {since}. Prices are in {currency} a minute.\n");
    let mut counts: BTreeMap<Class, (u64, i64)> = BTreeMap::new();
    for change in &news {
        let (count, from) = counts.entry(change.class).or_insert((0, OPEN));
        (*count, *from) = (*count + 1, change.from.min(*from));
    }
    for class in Class::ALL {
        if let Some((count, from)) = counts.get(&class) {
            let _ = writeln!(text, "{:>18}: {count}, the earliest from {}", class.as_str(), day(*from));
        }
    }
    if news.is_empty() {
        let _ = writeln!(text, "Nothing changes.");
    }
    if raised > 0 && told.early.is_empty() && notice_days > 0 {
        let _ = writeln!(
            text,
            "\nNothing becomes dearer before {}: the {notice_days} days of notice of our agreement are kept.",
            day(earliest)
        );
    }
    largest(text, &news);
    if !notice.file.is_empty() && !news.is_empty() {
        let _ = writeln!(text, "\nAll changes stand in {}, marked as such.", notice.file);
    }
    let _ = writeln!(text, "\n{}", notice.we);
    told
}

/// The changes with the greatest difference in percent, new and closed codes not among them.
fn largest(text: &mut String, news: &[&Change]) {
    let mut moved: Vec<(i128, &Change, &Rate, &Rate)> = news
        .iter()
        .filter_map(|change| {
            let (old, new) = (change.old.as_ref()?, change.new.as_ref()?);
            let (was, is) = (i128::from(old.next_rate.0), i128::from(new.next_rate.0));
            let moved = matches!(change.class, Class::Increase | Class::Decrease) && was > 0 && was != is;
            // Tenths of a percent.
            moved.then(|| ((is - was) * 1_000 / was, *change, old, new))
        })
        .collect();
    moved.sort_by_key(|(percent, change, ..)| (-percent.abs(), change.prefix, change.from));
    if moved.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nThe largest changes:");
    for (tenths, change, old, new) in moved.iter().take(LARGEST) {
        let sign = if *tenths < 0 { "-" } else { "+" };
        let (code, name, from) = (change.prefix, &change.destination, day(change.from));
        let (whole, tenth) = (tenths.abs() / 10, tenths.abs() % 10);
        let (old, new) = (old.next_rate, new.next_rate);
        let _ = writeln!(text, "  {code} {name}: {old} to {new} ({sign}{whole}.{tenth} %) from {from}");
    }
}

/// Whether some call costs more by it: an increase, other increments, or a code that falls to a dearer one.
fn dearer(change: &Change, rule: IntervalRule) -> bool {
    let by_cover = || {
        let direction = change.covered.as_ref().and_then(|covered| covered.compared);
        matches!(direction, Some(Direction::Dearer | Direction::Both))
    };
    match (&change.old, &change.new) {
        _ if change.class == Class::Blocked => false,
        (Some(old), Some(new)) => {
            let cost = |rate: &Rate, seconds| charge(rate.first_rate, rate.next_rate, rate, seconds, rule);
            DURATIONS.iter().any(|seconds| {
                let order = cost(new, *seconds).zip(cost(old, *seconds)).and_then(|(new, old)| new.compare(old));
                order.is_none_or(std::cmp::Ordering::is_gt)
            })
        }
        _ => by_cover(),
    }
}

/// The day, with the time where it is not midnight UTC.
pub fn day(at: i64) -> String {
    if at == ALWAYS {
        return "the beginning".to_owned();
    }
    let text = facts::time::rfc3339(at);
    match text.strip_suffix("T00:00:00Z") {
        Some(day) => day.to_owned(),
        None => text,
    }
}
