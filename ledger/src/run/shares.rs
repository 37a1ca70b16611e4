//! What of a limit this site grants, and its part of caps.

use accounting::book::Among;
use facts::Amount;
use facts::config::Config;

use super::LedgerOptions;
use crate::fold::Fold;

/// What the configuration's site has to have granted of an account's limit: all of it, with what was granted beside it,
/// less what other sites granted while the configuration was theirs. So the sum stays the limit when it moves.
pub(super) fn limit_of_this_site(fold: &Fold, config: &Config, account: &str, now: i64) -> Option<Amount> {
    let mut whole = Amount(i128::from(config.accounts.get(account)?.credit_limit.0) * 100);
    let mut by_others = 0i128;
    whole = whole.checked_add(fold.book.holds().granted(account, now)?)?;
    for other in fold.others.values() {
        whole = whole.checked_add(other.book.holds().granted(account, now)?)?;
        by_others = by_others.checked_add(other.book.rights().of(account).map_or(0, |share| share.limit))?;
    }
    Some(Amount(whole.0.max(0).checked_sub(by_others)?))
}

/// Tells the book its place among the sites, by which caps are divided.
pub(super) fn set_among(options: &LedgerOptions, book: &mut accounting::Book) {
    if options.peers.is_empty() {
        return;
    }
    let share = |site: u16| options.shares.get(&site).copied().unwrap_or(1);
    let peers = || options.peers.iter().map(|(number, _)| *number);
    let sum = |sites: &mut dyn Iterator<Item = u16>| sites.fold(0_u32, |sum, site| sum.saturating_add(share(site)));
    let (before, own) = (sum(&mut peers().filter(|number| *number < options.number)), share(options.number));
    book.set_among(Some(Among { before, own, all: sum(&mut peers()).saturating_add(own) }));
}
