//! The past of one account over all sites held here: its statement with the running balance, in merged order, paged both
//! ways; its balance at another time. By the indexes where they can be used, else by the entries themselves.

use crate::node::Node;
use crate::ops::{Answer, instant};
use crate::output::Failure;
use crate::past::{self, Cursor, Part, beyond};
use crate::peers::sums;
use crate::tables;
use facts::xdr::Position;
use facts::{Amount, BookedAt, Currency, OccurredAt};
use ledger::{EntryFilter, EntryRow, LedgerView, Page, UpTo, View};
use std::collections::VecDeque;

/// Rows that a statement shows at most.
const STATEMENT_MAX: usize = 10_000;

/// One entry with its place, what it adds to what the account owes, and what was owed after it.
pub struct Line {
    pub at: Cursor,
    pub row: EntryRow,
    pub amount: Amount,
    pub owed_after: Amount,
}

/// A part of an account's past, oldest first.
pub struct History {
    pub lines: Vec<Line>,
    /// Owed before the first line.
    pub opening: Amount,
    pub currency: Currency,
}

/// What people write: neither = the newest, else a cursor or a booked time.
pub fn part(before: &str, after: &str) -> Result<Part, Failure> {
    let read = |field, text: &str| match Cursor::parse(text.trim()) {
        Some(cursor) => Ok(Some(cursor)),
        None => Ok(instant(field, text)?.map(Cursor::from_instant)),
    };
    match (read("before", before)?, read("after", after)?) {
        (None, None) => Ok(Part::Newest),
        (Some(before), None) => Ok(Part::Before(before)),
        (None, Some(after)) => Ok(Part::After(after)),
        (Some(_), Some(_)) => Err(Failure::Usage("before and after exclude each other".to_owned())),
    }
}

/// The account's own currency, else the first in which a site has posted it.
fn currency_of(node: &Node, account: &str, site: Option<&str>) -> Result<Currency, Failure> {
    for (_, view) in sums::named_views(node, site)? {
        if let (Some(balance), _) = view.anchor(account).map_err(Failure::broken)? {
            return Ok(balance.currency);
        }
    }
    Err(Failure::Usage(format!("account {account:?} is not known to this ledger")))
}

/// A part of an account's past over the sites asked for, at most `limit` entries.
pub fn history(node: &Node, account: &str, part: Part, limit: usize, site: Option<&str>) -> Result<History, Failure> {
    let (limit, currency) = (limit.clamp(1, STATEMENT_MAX), currency_of(node, account, site)?);
    let found = match past::entries(node, (account, currency), part, limit, site)? {
        Some(found) => found,
        None => by_reading(node, (account, currency), part, limit, site)?,
    };
    let (mut owed, mut lines) = (found.opening, Vec::with_capacity(found.rows.len()));
    for (at, row) in found.rows {
        let amount = effect(&row, account, currency);
        owed = owed.checked_add(amount).ok_or_else(beyond)?;
        lines.push(Line { at, row, amount, owed_after: owed });
    }
    Ok(History { lines, opening: found.opening, currency })
}

/// What an entry adds to what the account owes in its currency.
fn effect(row: &EntryRow, account: &str, currency: Currency) -> Amount {
    let own = row.postings.iter().filter(|posting| posting.account == account && posting.currency == currency);
    let own = own.filter(|posting| accounting::views::owed(posting.gl));
    own.fold(Amount::ZERO, |sum, posting| sum.checked_add(posting.amount).unwrap_or(sum))
}

/// `tandem ledger statement`.
pub fn statement(node: &Node, account: &str, part: Part, limit: usize, site: Option<&str>) -> Result<Answer, Failure> {
    let found = history(node, account, part, limit, site)?;
    let name = |number: u16| name_of(node, number);
    let mut answer = Answer::of(tables::statement(&found.lines, found.currency, &name));
    answer.notes.push(format!("owed before: {} {}", found.opening, found.currency));
    let ends = found.lines.first().zip(found.lines.last());
    if let Some((first, last)) = ends.filter(|_| found.lines.len() == limit || part != Part::Newest) {
        answer.notes.push(format!("older: --before {}; newer: --after {}", first.at, last.at));
    }
    Ok(answer)
}

/// The name of a site by its number.
pub fn name_of(node: &Node, number: u16) -> String {
    let other = node.others.iter().find(|other| other.number == number);
    other.map_or_else(|| node.settings.site.clone(), |other| other.name.clone())
}

/// `tandem ledger balance --booked|--occurred`.
pub fn as_of(node: &Node, account: &str, booked: &str, occurred: &str, site: Option<&str>) -> Result<Answer, Failure> {
    let (by_booked, text) = if occurred.is_empty() { (true, booked) } else { (false, occurred) };
    let field = if by_booked { "booked" } else { "occurred" };
    let at = instant(field, text)?.ok_or_else(|| Failure::Usage(format!("{field} is empty; say an instant")))?;
    let currency = currency_of(node, account, site)?;
    let up_to = if by_booked { UpTo::Booked(BookedAt(at)) } else { UpTo::Occurred(OccurredAt(at)) };
    if let Some(owed) = past::owed(node, (account, currency), up_to, site)? {
        return Ok(Answer::of(tables::as_of(account, currency, owed, field, at)));
    }
    let mut occurred_by_then = Some(Amount::ZERO);
    let owed = walk_back(node, (account, currency), site, |at_row, row, amount, _| {
        let time = if by_booked { Some(at_row.booked) } else { facts::time::parse_rfc3339(&row.occurred_at) };
        if time.is_some_and(|time| time > at) {
            return true;
        }
        occurred_by_then = occurred_by_then.and_then(|sum| sum.checked_add(amount));
        // Booked times rise with the log; occurred ones do not, so all of it is looked at.
        !by_booked
    })?;
    let owed = if by_booked { owed } else { occurred_by_then.ok_or_else(beyond)? };
    Ok(Answer::of(tables::as_of(account, currency, owed, field, at)))
}

/// The same as the index would find, from the entries themselves.
fn by_reading(
    node: &Node,
    of: (&str, Currency),
    part: Part,
    limit: usize,
    site: Option<&str>,
) -> Result<past::Found, Failure> {
    let before = match part {
        Part::Newest => None,
        Part::Before(cursor) => Some(cursor),
        Part::After(_) => {
            let why = "the index over the past cannot be used now, so entries are read from the newest back only; leave \
                       --after out, or see the log for what is wrong with DATA/past";
            return Err(Failure::Broken(why.to_owned()));
        }
    };
    let mut rows = Vec::new();
    let opening = walk_back(node, of, site, |at, row, _, _| {
        if before.is_some_and(|before| at >= before) {
            return true;
        }
        if rows.len() == limit {
            return false;
        }
        rows.push((at, row.clone()));
        true
    })?;
    rows.reverse();
    Ok(past::Found { rows, opening })
}

/// The entries of one ledger from the newest back, a page at a time.
struct Back<'a> {
    number: u16,
    view: &'a View,
    filter: EntryFilter,
    after: Option<Position>,
    page: VecDeque<EntryRow>,
    over: bool,
}

impl Back<'_> {
    /// Where the next entry stands; `None`: there is no more.
    fn next(&mut self) -> Result<Option<Cursor>, Failure> {
        while self.page.is_empty() && !self.over {
            let page = Page { after: self.after, limit: ledger::api::PAGE_MAX, newest_first: true };
            let found = self.view.entries(&self.filter, &page).map_err(Failure::broken)?;
            self.page.extend(found.entries);
            (self.after, self.over) = (found.next, found.next.is_none());
        }
        self.page.front().map(|row| Cursor::of(self.number, row)).transpose()
    }
}

/// Walks an account's entries in merged order from the newest back, each with its place, what it adds and what was owed
/// after it, until told to stop; gives what was owed before the last one shown, or there where it stopped.
fn walk_back(
    node: &Node,
    (account, currency): (&str, Currency),
    site: Option<&str>,
    mut each: impl FnMut(Cursor, &EntryRow, Amount, Amount) -> bool,
) -> Result<Amount, Failure> {
    let (mut owed, mut all) = (Amount::ZERO, Vec::new());
    for (name, view) in sums::named_views(node, site)? {
        let (balance, last) = view.anchor(account).map_err(Failure::broken)?;
        if let Some(balance) = balance.filter(|balance| balance.currency == currency) {
            let own = balance.owed.checked_add(balance.provisional);
            owed = own.and_then(|own| owed.checked_add(own)).ok_or_else(beyond)?;
        }
        let other = node.others.iter().find(|other| other.name == name);
        all.push(Back {
            number: other.map_or(node.settings.sites.number, |other| other.number),
            view,
            filter: EntryFilter { account: Some(account.into()), ..EntryFilter::default() },
            // What has been booked since the balance was read does not belong to it.
            after: Some(Position { seq: last + 1, index: 0 }),
            page: VecDeque::new(),
            over: false,
        });
    }
    loop {
        let mut newest: Option<(Cursor, usize)> = None;
        for (place, back) in all.iter_mut().enumerate() {
            newest = newest.max(back.next()?.map(|at| (at, place)));
        }
        let Some((at, place)) = newest else { return Ok(owed) };
        let Some(row) = all[place].page.pop_front() else { return Ok(owed) };
        let amount = effect(&row, account, currency);
        if !each(at, &row, amount, owed) {
            return Ok(owed);
        }
        owed = owed.checked_sub(amount).ok_or_else(beyond)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_merged_past_is_written_and_read_back_and_a_day_is_one_too() {
        let cursor = Cursor { booked: -5, site: 2, seq: 7, index: 9 };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        assert_eq!(part("", "").unwrap(), Part::Newest);
        assert_eq!(part(&cursor.to_string(), "").unwrap(), Part::Before(cursor));
        assert_eq!(part("", "1970-01-01T00:00:01Z").unwrap(), Part::After(Cursor::from_instant(1_000_000)));
        assert!(part("1970-01-01", "1970-01-02").is_err() && part("yesterday", "").is_err());
        assert!(Cursor::parse("1.2.3").is_none() && Cursor::parse("1.2.3.4.5").is_none());
    }
}
