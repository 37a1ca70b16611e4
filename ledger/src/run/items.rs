//! Between the items of a ledger's stream and what the rules of credit between sites speak of.

use accounting::limits::content_of_caps;
use accounting::scopes::content_of_scope_caps;
use accounting::{Book, credit};
use facts::config::Config;
use facts::entry::{GiveWhy, LedgerItem};
use facts::ids::OriginId;
use facts::{Amount, CallId, OccurredAt};
use smol_str::SmolStr;
use std::collections::BTreeSet;

/// What a frame of another site names.
#[derive(Default)]
pub(super) struct Named {
    pub accounts: BTreeSet<SmolStr>,
    pub calls: BTreeSet<CallId>,
    /// Accounts whose limit it grants or takes.
    pub limits: BTreeSet<SmolStr>,
    pub orders: Vec<facts::LedgerEntry>,
    /// Caps of accounts, trunks and groups: id, content, item.
    pub caps: Vec<((OriginId, [u8; 16]), LedgerItem)>,
}

impl Named {
    pub fn note(&mut self, book: &Book, item: &LedgerItem) {
        let line_of = |id| book.holds().get(id).into_iter().flat_map(|hold| &hold.lines);
        match item {
            LedgerItem::Entry(entry) => {
                self.accounts.extend(entry.postings.iter().map(|p| p.account.clone()).filter(|a| !a.is_empty()));
                match entry.call_id {
                    Some(call) => drop(self.calls.insert(call)),
                    None => self.orders.push((**entry).clone()),
                }
            }
            LedgerItem::Hold(hold) => self.accounts.extend(hold.lines.iter().map(|line| line.account.clone())),
            LedgerItem::Extend(x) => self.accounts.extend(line_of(x.hold_id).map(|line| line.account.clone())),
            LedgerItem::Release(x) => self.accounts.extend(line_of(x.hold_id).map(|line| line.account.clone())),
            LedgerItem::Elsewhere(x) => {
                self.accounts.extend(line_of(x.hold_id).map(|line| line.account.clone()));
                self.calls.extend(book.holds().get(x.hold_id).map(|hold| hold.call_id));
            }
            LedgerItem::Give(give) => {
                self.accounts.insert(give.account.clone());
                self.calls.extend(give.call_id.filter(|_| give.why == GiveWhy::Cover));
            }
            LedgerItem::Limit(limit) => {
                self.accounts.insert(limit.account.clone());
                self.limits.insert(limit.account.clone());
            }
            LedgerItem::Reserve(reserve) => drop(self.accounts.insert(reserve.account.clone())),
            LedgerItem::Caps(caps) => self.caps.push(((caps.origin_id, content_of_caps(caps)), item.clone())),
            LedgerItem::ScopeCaps(caps) => {
                self.caps.push(((caps.origin_id, content_of_scope_caps(caps)), item.clone()));
            }
            LedgerItem::Grant(grant) => drop(self.accounts.insert(grant.account.clone())),
            _ => {}
        }
    }

    /// Whether what a frame has touched may be counted together with other sites' totals.
    pub fn countable(&self, book: &Book, config: &Config) -> Result<(), String> {
        let far = self.accounts.iter().find(|account| {
            let terms = config.accounts.get(*account);
            terms.is_some_and(|terms| !book.row(account, terms.currency).in_range())
        });
        far.map_or(Ok(()), |account| Err(format!("it takes {account} beyond the integer range")))
    }
}

/// The first posting on an account in another currency than the account's: no rule here writes one.
pub(super) fn foreign_currency(item: &LedgerItem, config: &Config) -> Option<String> {
    let LedgerItem::Entry(entry) = item else { return None };
    entry.postings.iter().find_map(|posting| {
        let kept = config.accounts.get(&posting.account)?.currency;
        let (account, amount, currency) = (&posting.account, posting.amount, posting.currency);
        (currency != kept).then(|| format!("{amount} {currency} on {account}, which is kept in {kept}"))
    })
}

/// The memo entry of the rules as an item of the ledger's stream.
pub(super) fn item_of(memo: &credit::Memo, book: &Book, config: &Config, at: OccurredAt) -> Option<LedgerItem> {
    use credit::{GiveWhy as Why, Memo, Pot};
    use facts::entry::{Give, Limit, Reserve};
    use facts::ids::hash;
    let account = memo.line().clone();
    let currency = config.accounts.get(&account)?.currency;
    let limit = book.rights().of(&account).map_or(0, |share| share.limit);
    let limited = |amount: i128| {
        let (account, amount) = (account.clone(), Amount(amount));
        Some(LedgerItem::Limit(Box::new(Limit { account, currency, at, amount })))
    };
    match memo {
        Memo::Grant { pot: Pot::Limit, amount, .. } => limited(limit.checked_add(amount.0)?),
        Memo::Take { pot: Pot::Limit, amount, .. } => limited(limit.checked_sub(amount.0)?),
        Memo::Reserve { amount, .. } => {
            Some(LedgerItem::Reserve(Box::new(Reserve { account, currency, at, amount: *amount })))
        }
        Memo::Give { to, amount, why, .. } => {
            let (why, origin_id, call_id) = match why {
                Why::Pull(id) => (GiveWhy::Pull, OriginId(id.0), None),
                Why::Cover(call) => (GiveWhy::Cover, OriginId(call.0), Some(*call)),
                Why::Debt | Why::Order => {
                    let id = hash("tandem.debt.v1", &[account.as_bytes(), &to.to_le_bytes(), &at.0.to_le_bytes()]);
                    (GiveWhy::Debt, OriginId(id), None)
                }
            };
            let (by, reason) = Default::default();
            let give = Give { origin_id, account, currency, at, to: *to, amount: *amount, why, call_id, by, reason };
            Some(LedgerItem::Give(Box::new(give)))
        }
        // Money, holds and charges are booked by the ledger's own rules.
        _ => None,
    }
}
