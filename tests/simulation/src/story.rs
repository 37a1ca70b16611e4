//! A failing run, made as small as it can be, and told.

use crate::check::Violation;
use crate::plan::{Fault, Plan, SECOND};
use crate::world::World;
use accounting::credit::{LineId, Memo, SiteNo};

/// What happened, kept only when it is to be told.
#[derive(Default)]
pub struct Story {
    kept: Option<Vec<(Option<LineId>, String)>>,
}

impl Story {
    pub(crate) fn entry(&mut self, now: i64, site: SiteNo, memo: &Memo) {
        if let Some(kept) = &mut self.kept {
            kept.push((Some(memo.line().clone()), format!("{} site {site} writes {memo:?}", clock(now))));
        }
    }

    pub(crate) fn tell(&mut self, now: i64, what: impl FnOnce() -> String) {
        if let Some(kept) = &mut self.kept {
            kept.push((None, format!("{} {}", clock(now), what())));
        }
    }
}

fn clock(now: i64) -> String {
    format!("{:>6}.{:03} s", now / SECOND, now % SECOND / 1_000)
}

/// The smallest plan found that breaks the same rule: fewer operations, fewer kinds of faults.
pub fn shrink(plan: &Plan, rule: &'static str) -> Plan {
    let breaks = |plan: &Plan| crate::run(plan).is_err_and(|violation| violation.rule == rule);
    let mut best = plan.clone();
    let shorten = |best: &mut Plan| {
        let (mut low, mut high) = (0, best.operations);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            let shorter = Plan { operations: middle, ..best.clone() };
            if breaks(&shorter) { high = middle } else { low = middle }
        }
        best.operations = high;
    };
    shorten(&mut best);
    for fault in Fault::ALL {
        let mut without = best.clone();
        without.without.insert(fault);
        if breaks(&without) {
            best = without;
            shorten(&mut best);
        }
    }
    best
}

/// What went wrong with this plan: the plan, what led to it on the line in question, and the rule.
pub fn tell(plan: &Plan, violation: &Violation) -> String {
    let small = shrink(plan, violation.rule);
    let mut world = World::new(small.clone());
    world.story.kept = Some(Vec::new());
    let Err(violation) = world.run() else { return format!("seed {}: {violation}", plan.seed) };
    let kept = world.story.kept.unwrap_or_default();
    let about = |line: &Option<LineId>| line.is_none() || violation.line.is_none() || *line == violation.line;
    let lines: Vec<&str> = kept.iter().filter(|(line, _)| about(line)).map(|(_, text)| text.as_str()).collect();
    let last = &lines[lines.len().saturating_sub(60)..];
    format!(
        "seed {} with {} operations (TANDEM_SIM_SEED={} reproduces it), made smaller:\n{small:?}\n{}\n{violation}\n",
        plan.seed,
        plan.operations,
        plan.seed,
        last.join("\n")
    )
}
