//! What is compared between sites while running, and when all has healed.

use super::{PULL_WAIT, World};
use crate::check::Violation;
use accounting::credit::{Answer, LineId, Site, SiteNo};

impl World {
    /// The reserve is touched only when somebody was asked in vain, or has been silent.
    pub(super) fn proof_of_failure(&mut self, me: SiteNo, answer: &Answer, line: &LineId) {
        let from_reserve = answer.outcome.as_ref().is_ok_and(|granted| !granted.from_reserve.is_zero());
        if !from_reserve {
            return;
        }
        let excused = self.calls.excused.contains(&answer.ask) || self.somebody_fails(me);
        if !answer.pull_failed || !excused {
            let what = format!("site {me} held from its reserve, and nobody was asked in vain");
            self.broken.get_or_insert(Violation::new("the reserve needs a failed pull", Some(line), what));
        }
    }

    /// Some other site has been silent, or was asked in vain.
    pub(super) fn somebody_fails(&self, me: SiteNo) -> bool {
        let node = &self.nodes[usize::from(me) - 1];
        let silent = |other: SiteNo| self.now - node.heard[usize::from(other) - 1] > self.silent_after();
        self.others(me).any(silent) || node.pulls.values().any(|at| self.now - at >= PULL_WAIT)
    }

    /// Sites that folded the same frames have the same state.
    pub(super) fn equal_prefixes(&self) -> Result<(), Violation> {
        let up: Vec<&Site> = self.nodes.iter().filter_map(|node| node.site.as_ref()).collect();
        let folded = |site: &Site| (1..=self.plan.sites).map(|of| site.folded(of)).collect::<Vec<_>>();
        for pair in up.windows(2) {
            if folded(pair[0]) == folded(pair[1]) && pair[0].credit() != pair[1].credit() {
                let what = format!("sites {} and {} differ at {:?}", pair[0].me(), pair[1].me(), folded(pair[0]));
                return Err(Violation::new("equal streams, equal state", None, what));
            }
        }
        Ok(())
    }

    pub(super) fn at_rest(&self) -> Result<(), Violation> {
        for node in &self.nodes {
            let Some(site) = &node.site else {
                return Err(Violation::new("every site comes back", None, String::new()));
            };
            let lacks =
                (1..=self.plan.sites).find(|of| site.folded(*of) as usize != self.streams[usize::from(*of) - 1].len());
            if let Some(of) = lacks {
                let what = format!("site {} has not all of stream {of}", site.me());
                return Err(Violation::new("all frames arrive", None, what));
            }
            if *site.credit() != self.union.credit {
                let what = format!("site {} differs from the union", site.me());
                return Err(Violation::new("equal streams, equal state", None, what));
            }
            for line in self.limits.keys() {
                let pending = site.pending_lower(line);
                let left: i128 = (1..=self.plan.sites).map(|of| self.union.credit.rights(line, of).max(0)).sum();
                if pending > 0 && left > 0 {
                    let what = format!("{pending} of the limit still to be taken, {left} left");
                    return Err(Violation::new("a lowered limit is taken where rights are left", Some(line), what));
                }
                let reserve = site.credit().row(line, site.me()).map_or(0, |row| row.reserve);
                let (rights, target) = (self.union.credit.rights(line, site.me()), self.reserve_of(line));
                if reserve != target && rights >= -target {
                    let what = format!("site {} has reserve {reserve}, not {target}, and rights {rights}", site.me());
                    return Err(Violation::new(
                        "a reserve is what the mode says once nothing is owed",
                        Some(line),
                        what,
                    ));
                }
                for of in self.others(site.me()) {
                    let debt = (-self.union.credit.rights(line, of)).max(0);
                    if site.debt(line, of) != debt {
                        let what = format!(
                            "site {} counts {} against site {of}, it is {debt}",
                            site.me(),
                            site.debt(line, of)
                        );
                        return Err(Violation::new("the debt that is deducted is the real one", Some(line), what));
                    }
                }
            }
        }
        self.union.at_rest()?;
        self.calls.charged_once(&self.union)
    }
}
