//! What must hold in the union of all streams after each entry (design 8.3, `docs/concepts/credit.md`): counted here from the
//! entries, not asked of the sites.

use accounting::credit::{Credit, GiveWhy, Let, LineId, Memo, Pot, Row, SiteNo};
use facts::CallId;
use std::collections::BTreeMap;
use std::fmt;

/// What broke, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    pub rule: &'static str,
    pub line: Option<LineId>,
    pub what: String,
}

impl Violation {
    pub fn new(rule: &'static str, line: Option<&LineId>, what: String) -> Self {
        Self { rule, line: line.cloned(), what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)?;
        self.line.as_ref().map_or(Ok(()), |line| write!(f, " (line {line})"))
    }
}

/// What a call weighs on its line.
#[derive(Clone, Copy, Default)]
struct Weight {
    /// Its cost if it was charged anywhere, else its dearest open hold.
    exposure: i128,
    /// What of its cost no hold covered.
    uncovered: i128,
    /// Sum of the holds that were let go because it was charged elsewhere.
    covered_elsewhere: i128,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    exposure: i128,
    uncovered: i128,
    /// Grants less takes, of limit and funds.
    granted: i128,
}

/// The union of all streams, and what it adds up to.
#[derive(Default)]
pub struct Union {
    pub credit: Credit,
    sites: Vec<SiteNo>,
    calls: BTreeMap<(CallId, LineId), Weight>,
    lines: BTreeMap<LineId, Sums>,
    pub entries: u64,
}

impl Union {
    pub fn new(sites: Vec<SiteNo>) -> Self {
        Self { sites, ..Self::default() }
    }

    /// Takes one entry of `site`'s stream; an error when it breaks a rule.
    pub fn append(&mut self, site: SiteNo, memo: &Memo) -> Result<(), Violation> {
        let line = memo.line();
        let released = match memo {
            Memo::Release { call, why: Let::ChargedElsewhere { .. }, .. } => {
                self.credit.at(*call, line, site).hold.map_or(0, |hold| hold.amount)
            }
            _ => 0,
        };
        self.credit
            .apply(site, memo)
            .map_err(|refusal| Violation::new("every entry can be folded", Some(line), refusal.to_string()))?;
        self.entries += 1;
        if let Some(call) = memo.call() {
            self.weigh(call, line, released);
        }
        let sums = self.lines.entry(line.clone()).or_default();
        match memo {
            Memo::Grant { amount, .. } => sums.granted += amount.0,
            Memo::Take { amount, .. } => sums.granted -= amount.0,
            _ => {}
        }
        self.bounds(site, memo)
    }

    fn weigh(&mut self, call: CallId, line: &LineId, released: i128) {
        let weight = self.calls.entry((call, line.clone())).or_default();
        let old = *weight;
        weight.covered_elsewhere += released;
        let sites = self.credit.sites(call, line);
        let open = || sites.iter().filter_map(|(_, at)| at.hold).map(|hold| hold.amount);
        let charges = || sites.iter().filter_map(|(_, at)| at.charge).filter(|charge| !charge.reversed);
        match charges().map(|charge| charge.held + charge.over).max() {
            Some(cost) => {
                let held: i128 = charges().map(|charge| charge.held).sum();
                weight.exposure = cost;
                weight.uncovered = (cost - held - open().sum::<i128>() - weight.covered_elsewhere).max(0);
            }
            None => {
                weight.exposure = open().max().unwrap_or(0);
                weight.uncovered = 0;
            }
        }
        let sums = self.lines.entry(line.clone()).or_default();
        sums.exposure += weight.exposure - old.exposure;
        sums.uncovered += weight.uncovered - old.uncovered;
    }

    fn bounds(&self, site: SiteNo, memo: &Memo) -> Result<(), Violation> {
        let line = memo.line();
        let fail = |rule, what: String| Err(Violation::new(rule, Some(line), what));
        let mut all = Totals::default();
        let empty = Row::default();
        for of in &self.sites {
            // A site that was only given to has no row yet.
            let row = self.credit.row(line, *of).unwrap_or(&empty);
            let rights = self.credit.rights(line, *of);
            if rights < -row.reserve - row.over {
                return fail(
                    "rights of a site are at least -(reserve + over)",
                    format!("site {of}: rights {rights}, reserve {}, over {}", row.reserve, row.over),
                );
            }
            all.room += row.limit + row.funds + row.reserve;
            all.granted += row.limit + row.funds;
            all.spent += row.held + row.open_holds;
            all.used += row.held + row.open_holds + row.over;
            all.rights += rights;
        }
        let sums = self.lines.get(line).copied().unwrap_or_default();
        if all.granted != sums.granted || all.rights != sums.granted - all.used {
            return fail("rights are neither made nor lost", format!("{all:?}, granted {}", sums.granted));
        }
        if all.spent > all.room {
            return fail("held and open holds are within limit, funds and reserve", format!("{all:?}"));
        }
        if sums.exposure > all.room + sums.uncovered {
            let what = format!("calls weigh {}, room {}, uncovered {}", sums.exposure, all.room, sums.uncovered);
            return fail("calls, each once, are within limit, funds, reserve and what no hold covered", what);
        }
        let rights = self.credit.rights(line, site);
        let reserve = self.credit.row(line, site).map_or(0, |row| row.reserve);
        match memo {
            Memo::Hold { .. } | Memo::Extend { .. } if rights < -reserve => {
                fail("a hold leaves the site at or above its floor", format!("site {site}: {rights}, floor -{reserve}"))
            }
            Memo::Take { pot: Pot::Limit | Pot::Funds, .. } if rights < 0 => {
                fail("what is taken was there", format!("site {site}: rights {rights} after it"))
            }
            Memo::Give { why: GiveWhy::Pull(_) | GiveWhy::Debt | GiveWhy::Order, .. } if rights < 0 => {
                fail("what is given was there", format!("site {site}: rights {rights} after it"))
            }
            _ => Ok(()),
        }
    }

    /// A debt that stays while another site has rights, or an open hold, when all has healed.
    pub fn at_rest(&self) -> Result<(), Violation> {
        for line in self.lines.keys() {
            let rights = |site: &SiteNo| self.credit.rights(line, *site);
            if let Some((site, row)) = self.credit.rows(line).iter().find(|(_, row)| row.open_holds != 0) {
                let what = format!("site {site} has {} in open holds", row.open_holds);
                return Err(Violation::new("no hold is left behind", Some(line), what));
            }
            let debtor = self.sites.iter().find(|site| rights(site) < 0);
            let rich = self.sites.iter().find(|site| rights(site) > 0);
            if let (Some(debtor), Some(rich)) = (debtor, rich) {
                let what = format!("site {debtor} has {}, site {rich} {}", rights(debtor), rights(rich));
                return Err(Violation::new("no debt is left where rights are left", Some(line), what));
            }
        }
        Ok(())
    }
}

#[derive(Default, Debug)]
struct Totals {
    room: i128,
    granted: i128,
    spent: i128,
    used: i128,
    rights: i128,
}
