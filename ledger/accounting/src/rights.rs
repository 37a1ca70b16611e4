//! What one stream says of rights to spend: limits granted, reserves kept, rights given away, cover that went with
//! calls (design 8.3 to 8.8). The fold of its `Limit`, `Reserve`, `Give` and `Elsewhere` items; whatever else a line's
//! rights hang on (charges, payments, holds) stands in the book already and is not said twice. Decides nothing: that is
//! `credit`.

use crate::book::Book;
use crate::credit::{Row, SiteNo};
use crate::pay::is_party;
use crate::snapshot::{Bytes, LoadError};
use facts::entry::{Elsewhere, Give, GiveWhy, Gl, Hold, LedgerItem};
use facts::ids::{OriginId, hash};
use facts::{Amount, CallId, Currency};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use smol_str::SmolStr;
use std::collections::{BTreeMap, VecDeque};

/// Answered pulls and covered calls remembered, each. A pull is answered within seconds; cover matters while a call can
/// still be charged at a third site.
const REMEMBERED_MAX: usize = 1 << 20;
/// Far beyond any money, and low enough that sums never overflow.
const TOTAL_MAX: i128 = 1 << 110;

/// An item that cannot belong to this fold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RightsError {
    #[error("rights of {0} are below zero or beyond the integer range")]
    Amount(OriginId),
    #[error("a reserve is below zero, or it or a limit beyond the integer range")]
    Range,
    #[error("hold {0} passes more than it held, or has other lines")]
    Passed(OriginId),
}

/// What this stream has granted, keeps and has given away of one account.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// Of the configured limit; only a site that writes or wrote the configuration has any. Minus: a later one has
    /// taken back what another had granted.
    pub limit: i128,
    pub reserve: i128,
    /// By receiver, rising.
    pub given: SmallVec<[(SiteNo, i128); 2]>,
}

/// Cover that went with a call on an account, to one site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    pub to: SiteNo,
    pub amount: i128,
    /// With a hold of this site's own; else it was cover that had come from another site and went on.
    pub own: bool,
}

/// By account, answered pulls, and cover by call.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    accounts: BTreeMap<SmolStr, Share>,
    answered: HashSet<OriginId>,
    answered_order: VecDeque<OriginId>,
    passed: HashMap<CallId, SmallVec<[(SmolStr, Passed); 1]>>,
    passed_order: VecDeque<CallId>,
}

/// What makes two orders to give the same: everything but when and who said it.
pub fn content_of_give(give: &Give) -> [u8; 16] {
    hash("tandem.give.v1", &[give.account.as_bytes(), &give.to.to_le_bytes(), &give.amount.0.to_le_bytes()])
}

fn within(amount: i128) -> bool {
    (0..=TOTAL_MAX).contains(&amount)
}

impl Rights {
    /// Folds an item; others change nothing. After an error nothing of it counts.
    pub(crate) fn apply(&mut self, item: &LedgerItem) -> Result<(), RightsError> {
        match item {
            LedgerItem::Give(give) => self.give(give),
            LedgerItem::Limit(limit) if within(limit.amount.0.saturating_abs()) => {
                self.share(&limit.account).limit = limit.amount.0;
                Ok(())
            }
            LedgerItem::Reserve(reserve) if within(reserve.amount.0) => {
                self.share(&reserve.account).reserve = reserve.amount.0;
                Ok(())
            }
            LedgerItem::Limit(_) | LedgerItem::Reserve(_) => Err(RightsError::Range),
            _ => Ok(()),
        }
    }

    fn share(&mut self, account: &SmolStr) -> &mut Share {
        self.accounts.entry(account.clone()).or_default()
    }

    fn give(&mut self, give: &Give) -> Result<(), RightsError> {
        self.add(&give.account, give.to, give.amount.0).ok_or(RightsError::Amount(give.origin_id))?;
        match (give.why, give.call_id) {
            (GiveWhy::Pull, _) if self.answered.insert(give.origin_id) => {
                self.answered_order.push_back(give.origin_id);
                if self.answered_order.len() > REMEMBERED_MAX
                    && let Some(old) = self.answered_order.pop_front()
                {
                    self.answered.remove(&old);
                }
            }
            (GiveWhy::Cover, Some(call)) => {
                self.pass(call, &give.account, Passed { to: give.to, amount: give.amount.0, own: false })
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, account: &SmolStr, to: SiteNo, amount: i128) -> Option<()> {
        if !within(amount) {
            return None;
        }
        let given = &mut self.share(account).given;
        match given.binary_search_by_key(&to, |(site, _)| *site) {
            Ok(at) => given[at].1 = given[at].1.checked_add(amount).filter(|sum| within(*sum))?,
            Err(at) => given.insert(at, (to, amount)),
        }
        Some(())
    }

    fn pass(&mut self, call: CallId, account: &SmolStr, passed: Passed) {
        let all = self.passed.entry(call).or_insert_with(|| {
            self.passed_order.push_back(call);
            SmallVec::new()
        });
        all.push((account.clone(), passed));
        if self.passed_order.len() > REMEMBERED_MAX
            && let Some(old) = self.passed_order.pop_front()
        {
            self.passed.remove(&old);
        }
    }

    /// Folds the end of a hold whose call another site charged. The hold itself is let go by `holds`.
    pub(crate) fn elsewhere(&mut self, end: &Elsewhere, hold: &Hold) -> Result<(), RightsError> {
        let fits = |(line, passed): (&facts::entry::HoldLine, &Amount)| (0..=line.amount.0).contains(&passed.0);
        if end.passed.len() != hold.lines.len() || !hold.lines.iter().zip(&end.passed).all(fits) {
            return Err(RightsError::Passed(end.hold_id));
        }
        for (line, passed) in hold.lines.iter().zip(&end.passed) {
            self.add(&line.account, end.to, passed.0).ok_or(RightsError::Amount(end.hold_id))?;
            self.pass(hold.call_id, &line.account, Passed { to: end.to, amount: passed.0, own: true });
        }
        Ok(())
    }

    /// What this stream says of an account; `None` when it never said anything.
    pub fn of(&self, account: &str) -> Option<&Share> {
        self.accounts.get(account)
    }

    /// Every account that it says anything of.
    pub fn accounts(&self) -> impl Iterator<Item = (&SmolStr, &Share)> {
        self.accounts.iter()
    }

    /// True when this pull was answered with a Give.
    pub fn answered(&self, pull: OriginId) -> bool {
        self.answered.contains(&pull)
    }

    /// Cover that this stream has passed for a call: by account and receiver.
    pub fn passed(&self, call: CallId) -> &[(SmolStr, Passed)] {
        self.passed.get(&call).map_or(&[], |all| all)
    }

    /// Cover that came from other sites for a call and went on.
    pub fn passed_on(&self, call: CallId) -> impl Iterator<Item = (&SmolStr, i128)> {
        self.passed(call).iter().filter(|(_, passed)| !passed.own).map(|(account, passed)| (account, passed.amount))
    }

    /// Root over limits, reserves and what was given; `None` where there is none, so that a ledger that never had
    /// another site beside it has the root it always had.
    pub(crate) fn root(&self) -> Option<[u8; 32]> {
        if self.accounts.is_empty() {
            return None;
        }
        let mut bytes = b"tandem.rights.v1".to_vec();
        self.dump_accounts(&mut bytes);
        Some(*blake3::hash(&bytes).as_bytes())
    }

    fn dump_accounts(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.accounts.len() as u64).to_le_bytes());
        for (account, share) in &self.accounts {
            out.extend_from_slice(&(account.len() as u32).to_le_bytes());
            out.extend_from_slice(account.as_bytes());
            out.extend_from_slice(&share.limit.to_le_bytes());
            out.extend_from_slice(&share.reserve.to_le_bytes());
            out.extend_from_slice(&(share.given.len() as u32).to_le_bytes());
            for (to, amount) in &share.given {
                out.extend_from_slice(&u32::from(*to).to_le_bytes());
                out.extend_from_slice(&amount.to_le_bytes());
            }
        }
    }

    /// Appends the whole state.
    pub(crate) fn dump(&self, out: &mut Vec<u8>) {
        self.dump_accounts(out);
        out.extend_from_slice(&(self.answered_order.len() as u64).to_le_bytes());
        self.answered_order.iter().for_each(|id| out.extend_from_slice(&id.0));
        out.extend_from_slice(&(self.passed_order.len() as u64).to_le_bytes());
        for call in &self.passed_order {
            out.extend_from_slice(&call.0);
            let all = self.passed(*call);
            out.extend_from_slice(&(all.len() as u32).to_le_bytes());
            for (account, Passed { to, amount, own }) in all {
                out.extend_from_slice(&(account.len() as u32).to_le_bytes());
                out.extend_from_slice(account.as_bytes());
                out.extend_from_slice(&u32::from(*to).to_le_bytes());
                out.extend_from_slice(&amount.to_le_bytes());
                out.push(u8::from(*own));
            }
        }
    }

    /// Reads what `dump` wrote.
    pub(crate) fn load(bytes: &mut Bytes<'_>) -> Result<Self, LoadError> {
        let mut rights = Self::default();
        let site = |bytes: &mut Bytes<'_>| {
            let at = bytes.at();
            SiteNo::try_from(bytes.u32()?).map_err(|_| LoadError::Damaged(at))
        };
        for _ in 0..bytes.count(4 + 2 * 16 + 4)? {
            let account = bytes.text()?;
            let (limit, reserve) = (i128::from_le_bytes(bytes.array()?), i128::from_le_bytes(bytes.array()?));
            let mut share = Share { limit, reserve, given: SmallVec::new() };
            for _ in 0..bytes.u32()? {
                share.given.push((site(bytes)?, i128::from_le_bytes(bytes.array()?)));
            }
            rights.accounts.insert(account, share);
        }
        for _ in 0..bytes.count(16)? {
            let id = OriginId(bytes.array()?);
            rights.answered.insert(id);
            rights.answered_order.push_back(id);
        }
        for _ in 0..bytes.count(20)? {
            let call = CallId(bytes.array()?);
            for _ in 0..bytes.u32()? {
                let account = bytes.text()?;
                let to = site(bytes)?;
                let (amount, [own]) = (i128::from_le_bytes(bytes.array()?), bytes.array()?);
                rights.pass(call, &account, Passed { to, amount, own: own != 0 });
            }
        }
        Ok(rights)
    }
}

impl Book {
    /// This stream's totals on an account, as sites announce and compare them. What is owed stands in `funds` with
    /// the other sign: payments raise it, charges and corrections lower it. `currency` is the account's own.
    pub fn row(&self, account: &str, currency: Currency) -> Row {
        let mut row = Row { funds: -self.owes(account, currency), ..Row::default() };
        row.open_holds = self.holds().held(account).amount.0;
        if let Some(share) = self.rights().of(account) {
            (row.limit, row.reserve) = (share.limit, share.reserve);
            row.given.clone_from(&share.given);
        }
        row
    }

    /// What the account owes by this stream's entries, with final prices and without; minus = we owe it. Balances are
    /// bounded, so the sum over the few lines of an account stays in the range.
    fn owes(&self, account: &str, currency: Currency) -> i128 {
        let owed = |gl: Gl| is_party(gl) && gl != Gl::Deposits;
        let lines = self.lines().of_account(account).filter(|line| line.currency == currency && owed(line.gl));
        lines.fold(0i128, |sum, line| sum.saturating_add(line.balance().0))
    }
}
