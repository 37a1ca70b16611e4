//! Which events of our own nodes were seen: a watermark and the runs of sequences seen beyond it, per node and boot epoch
//! (design 6.4). Memory grows with nodes and gaps, not with events, however long a gap stays open, nor with starts: a
//! boot epoch that can bring nothing any more is retired.

use facts::xdr::NodeMark;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Most gaps remembered, over all nodes that write to one partition: with sequences of any size their runs take 80 KiB
/// of a `RaterState`, less than the room that every frame keeps for it. Past it the oldest gap of the node with the most
/// is given up and counted: an event of it that comes after all counts as redelivered.
pub const GAPS_MAX: usize = 4_096;

/// Most boot epochs remembered, over all nodes that write to one partition. Past it the oldest epoch of the node that
/// has the most is retired before its time.
pub const MARKS_MAX: usize = 1_024;

#[derive(Debug, Default)]
struct Mark {
    node: SmolStr,
    boot_epoch: i64,
    next: u64,
    /// Runs seen beyond `next`, first to last; between two of them, and before the first, is a gap.
    runs: BTreeMap<u64, u64>,
}

impl Mark {
    /// Moves the watermark behind the run that begins at it.
    fn close(&mut self) {
        if let Some((first, last)) = self.runs.first_key_value().map(|(first, last)| (*first, *last))
            && first == self.next
        {
            self.runs.pop_first();
            self.next = last.saturating_add(1);
        }
    }

    /// False where the sequence was seen before.
    fn see(&mut self, sequence: u64) -> bool {
        if sequence == self.next {
            self.next = self.next.saturating_add(1);
            self.close();
            return true;
        }
        let before = self.runs.range(..=sequence).next_back().map(|(first, last)| (*first, *last));
        if sequence < self.next || before.is_some_and(|(_, last)| sequence <= last) {
            return false;
        }
        let first =
            before.filter(|(_, last)| last.checked_add(1) == Some(sequence)).map_or(sequence, |(first, _)| first);
        let joined = sequence.checked_add(1).and_then(|after| self.runs.remove(&after));
        self.runs.insert(first, joined.unwrap_or(sequence));
        true
    }

    /// Takes the oldest gap for lost; returns how many sequences that were.
    fn give_up_oldest(&mut self) -> u64 {
        let Some(first) = self.runs.keys().next().copied() else { return 0 };
        let gap = first - self.next;
        self.next = first;
        self.close();
        gap
    }
}

/// Marks of all nodes that write to one partition.
#[derive(Debug, Default)]
pub struct Nodes {
    marks: Vec<Mark>,
    /// Place of the mark found last: events come in runs.
    last: usize,
    /// Gaps of all marks.
    gaps: usize,
    given_up: u64,
    /// Boot epochs that began before it are over where their node has begun again since before it, too.
    over: i64,
    retired: u64,
}

impl Nodes {
    /// True where this sequence of the node was not seen before; it is then. What a retired epoch brings all the same
    /// counts as not seen: its call, which knows its events' ids, or its dedupe key decides.
    pub fn first_time(&mut self, node: &str, boot_epoch: i64, sequence: u64) -> bool {
        let Some(mark) = self.mark(node, boot_epoch) else { return true };
        let before = mark.runs.len();
        let first_time = mark.see(sequence);
        let after = mark.runs.len();
        self.gaps = self.gaps + after - before;
        if self.gaps > GAPS_MAX
            && let Some(most) = self.marks.iter_mut().max_by_key(|mark| mark.runs.len())
        {
            self.given_up = self.given_up.saturating_add(most.give_up_oldest());
            self.gaps -= 1;
        }
        first_time
    }

    /// Sequences that never came and are no longer waited for; an alarm where it is not 0.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Epochs that were retired before their time, because there were too many; an alarm where it is not 0.
    pub fn retired_early(&self) -> u64 {
        self.retired
    }

    /// The mark of a boot epoch, made where there is none; `None` for an epoch that is over.
    fn mark(&mut self, node: &str, boot_epoch: i64) -> Option<&mut Mark> {
        let fits = |mark: &Mark| mark.boot_epoch == boot_epoch && mark.node == node;
        if !self.marks.get(self.last).is_some_and(fits) {
            // Nodes that run now were the last to start.
            self.last = match self.marks.iter().rposition(fits) {
                Some(at) => at,
                None if self.is_over(node, boot_epoch) => return None,
                None => {
                    if self.marks.len() >= MARKS_MAX {
                        self.retire_one();
                    }
                    self.marks.push(Mark { node: node.into(), boot_epoch, ..Mark::default() });
                    self.marks.len() - 1
                }
            };
        }
        self.marks.get_mut(self.last)
    }

    /// Whether the node had begun again before `over`.
    fn is_over(&self, node: &str, boot_epoch: i64) -> bool {
        let later = |mark: &Mark| mark.boot_epoch > boot_epoch && mark.boot_epoch < self.over && mark.node == node;
        boot_epoch < self.over && self.marks.iter().any(later)
    }

    /// Forgets boot epochs that can bring nothing any more: those whose node began again more than `limit` (the
    /// late-call limit) before the clock. A process that ended leaves no more than its spool, which the next start of
    /// the node delivers first; what were still in it after the limit would be too old to be booked.
    pub fn retire(&mut self, clock: i64, limit: i64) {
        self.over = self.over.max(clock.saturating_sub(limit));
        let all = std::mem::take(&mut self.marks);
        // Per node only the last start before `over` and all after it can still bring something.
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for mark in all.iter().filter(|mark| mark.boot_epoch < self.over) {
            let epoch = newest.entry(&mark.node).or_insert(mark.boot_epoch);
            *epoch = mark.boot_epoch.max(*epoch);
        }
        let keeps: Vec<bool> =
            all.iter().map(|mark| newest.get(&*mark.node).is_none_or(|newest| mark.boot_epoch >= *newest)).collect();
        self.marks = all.into_iter().zip(keeps).filter_map(|(mark, keep)| keep.then_some(mark)).collect();
        self.gaps = self.marks.iter().map(|mark| mark.runs.len()).sum();
        self.last = 0;
    }

    /// Makes room for one more: the oldest epoch of the node that has the most.
    fn retire_one(&mut self) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.marks.iter().for_each(|mark| *counts.entry(&mark.node).or_default() += 1);
        let count = |mark: &Mark| counts.get(&*mark.node).copied().unwrap_or(0);
        let oldest = (0..self.marks.len()).max_by_key(|at| {
            let mark = &self.marks[*at];
            (count(mark), std::cmp::Reverse(mark.boot_epoch), std::cmp::Reverse(*at))
        });
        if let Some(at) = oldest {
            self.gaps -= self.marks.remove(at).runs.len();
            self.retired += 1;
        }
    }

    /// For a `RaterState` item. A run of several sequences stands as its last and then its first one, which no list of
    /// rising sequences has: lists that were written before runs read as they always did.
    pub fn to_state(&self) -> Vec<NodeMark> {
        let mut marks: Vec<NodeMark> = self
            .marks
            .iter()
            .map(|mark| NodeMark {
                node: mark.node.clone(),
                boot_epoch: mark.boot_epoch,
                next: mark.next,
                sparse: mark
                    .runs
                    .iter()
                    .flat_map(|(first, last)| std::iter::once(*last).chain((first < last).then_some(*first)))
                    .collect(),
            })
            .collect();
        marks.sort_by(|a, b| (&a.node, a.boot_epoch).cmp(&(&b.node, b.boot_epoch)));
        marks
    }

    pub fn from_state(marks: &[NodeMark]) -> Self {
        let marks: Vec<Mark> = marks.iter().map(mark_of).collect();
        let gaps = marks.iter().map(|mark| mark.runs.len()).sum();
        Self { marks, last: 0, gaps, given_up: 0, over: i64::MIN, retired: 0 }
    }
}

fn mark_of(state: &NodeMark) -> Mark {
    let mut runs: BTreeMap<u64, u64> = BTreeMap::new();
    let mut add = |first: u64, last: u64| match runs.last_entry() {
        // Neighbours of a list written before runs.
        Some(mut before) if before.get().checked_add(1) == Some(first) => *before.get_mut() = last,
        _ => drop(runs.insert(first, last)),
    };
    let mut sequences = state.sparse.iter().copied().peekable();
    while let Some(last) = sequences.next() {
        let first = sequences.next_if(|first| *first < last).unwrap_or(last);
        add(first, last);
    }
    Mark { node: state.node.clone(), boot_epoch: state.boot_epoch, next: state.next, runs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_sequence_counts_once_in_any_order() {
        let mut nodes = Nodes::default();
        let order = [0, 3, 1, 1, 3, 0, 2, 5, 4, 4, 6];
        let seen: Vec<bool> = order.iter().map(|sequence| nodes.first_time("n1", 7, *sequence)).collect();
        assert_eq!(seen, [true, true, true, false, false, false, true, true, true, false, true]);
        assert!(nodes.first_time("n1", 8, 0), "another start of the node counts anew");
        assert!(nodes.first_time("n2", 7, 9));
        let again = Nodes::from_state(&nodes.to_state());
        assert_eq!(again.to_state(), nodes.to_state());
        assert_eq!(again.to_state()[0].next, 7);
        assert_eq!(again.to_state()[2].sparse, [9]);
    }

    #[test]
    fn any_order_repetition_and_restart_counts_as_a_plain_set_does() {
        let mut dice = 0x9e37_79b9_7f4a_7c15u64;
        let mut below = |n: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % n
        };
        for _ in 0..200 {
            let (mut nodes, mut plain) = (Nodes::default(), BTreeSet::new());
            let reach = 1 + below(300);
            for _ in 0..400 {
                let sequence = below(reach);
                assert_eq!(nodes.first_time("n", 1, sequence), plain.insert(sequence), "{sequence} of {reach}");
                if below(20) == 0 {
                    nodes = Nodes::from_state(&nodes.to_state());
                }
            }
            let gaps = plain.iter().filter(|n| **n > 0 && !plain.contains(&(**n - 1))).count();
            assert_eq!((nodes.gaps, nodes.given_up()), (gaps, 0));
        }
    }

    #[test]
    fn one_lost_event_costs_nothing_however_many_follow() {
        let mut nodes = Nodes::default();
        assert!((1..1_000_000).all(|sequence| nodes.first_time("n", 0, sequence)));
        assert_eq!(nodes.to_state()[0].sparse, [999_999, 1]);
        let mut again = Nodes::from_state(&nodes.to_state());
        assert!(!again.first_time("n", 0, 500_000));
        assert!(again.first_time("n", 0, 0) && again.given_up() == 0);
        assert_eq!((again.to_state()[0].next, again.gaps), (1_000_000, 0));
    }

    #[test]
    fn a_list_written_before_runs_reads_the_same() {
        let old = NodeMark { node: "n".into(), boot_epoch: 3, next: 2, sparse: vec![4, 5, 6, 9, 11, 12] };
        let mut nodes = Nodes::from_state(&[old]);
        assert_eq!(nodes.to_state()[0].sparse, [6, 4, 9, 12, 11]);
        assert_eq!(Nodes::from_state(&nodes.to_state()).to_state(), nodes.to_state());
        let fresh: Vec<u64> = (0..14).filter(|sequence| nodes.first_time("n", 3, *sequence)).collect();
        assert_eq!(fresh, [2, 3, 7, 8, 10, 13]);
    }

    #[test]
    fn a_start_is_forgotten_once_the_next_one_is_older_than_the_late_call_limit() {
        let mut nodes = Nodes::default();
        for start in [10, 20, 30, 40] {
            assert!(nodes.first_time("n", start, 0));
        }
        assert!(nodes.first_time("other", 5, 0));
        nodes.retire(125, 100);
        // At 25 the start at 20 was running; the one at 10 was over. The other node has only one start.
        let left: Vec<_> = nodes.to_state().iter().map(|mark| (mark.node.clone(), mark.boot_epoch)).collect();
        assert_eq!(left, [("n".into(), 20), ("n".into(), 30), ("n".into(), 40), ("other".into(), 5)]);
        assert!(!nodes.first_time("n", 20, 0), "still remembered");
        assert!(nodes.first_time("n", 10, 0), "left to its call to decide");
        assert!(nodes.first_time("n", 10, 0) && nodes.marks.len() == 4, "no mark is made for what is over");
        nodes.retire(10_000, 100);
        assert_eq!(nodes.to_state().len(), 2, "the last start of each node stays");
        assert!(!nodes.first_time("n", 40, 0) && !nodes.first_time("other", 5, 0));
    }

    #[test]
    fn a_node_that_starts_every_few_seconds_does_not_outgrow_the_state() {
        let mut nodes = Nodes::default();
        assert!(nodes.first_time("steady", 7, 0));
        // Gaps at the bound as well, with the largest numbers and a long name: what a state takes at most.
        let (begin, name) = (u64::MAX - 4 * GAPS_MAX as u64, "n".repeat(64));
        assert!((0..GAPS_MAX as u64).all(|n| nodes.first_time("steady", 7, begin + 3 * n)));
        for start in 0..4_000 {
            assert!(nodes.first_time(&name, i64::MAX / 2 + start, 0));
        }
        assert_eq!((nodes.marks.len(), nodes.retired_early()), (MARKS_MAX, 4_000 + 1 - MARKS_MAX as u64));
        assert!(!nodes.first_time("steady", 7, 0), "others keep theirs");
        let bytes: usize =
            nodes.to_state().iter().map(|mark| mark.node.len() + 2 + 10 + 10 + 20 + 10 * mark.sparse.len()).sum();
        assert!(bytes < 384 * 1024, "{bytes} bytes are more than an item may take");
    }

    #[test]
    fn at_the_bound_the_oldest_gap_is_given_up_and_counted() {
        let mut nodes = Nodes::default();
        // The largest sequences there are: what the state may take at most.
        let begin = u64::MAX - 4 * GAPS_MAX as u64;
        let far = |n: usize| begin + 3 * n as u64;
        nodes.first_time("few", 0, 5);
        for n in 0..GAPS_MAX - 1 {
            assert!(nodes.first_time("many", 0, far(n)) && nodes.first_time("many", 0, far(n) + 1));
        }
        assert_eq!((nodes.gaps, nodes.given_up()), (GAPS_MAX, 0));
        assert!(nodes.first_time("many", 0, far(GAPS_MAX)));
        assert_eq!((nodes.gaps, nodes.given_up()), (GAPS_MAX, begin));
        let state = nodes.to_state();
        let numbers: usize = state.iter().map(|mark| mark.sparse.len()).sum();
        // A number takes ten bytes of Avro at most.
        assert!(numbers * 10 < 96 * 1024, "{numbers} numbers");
        assert_eq!((&*state[0].node, state[0].sparse.as_slice()), ("few", [5].as_slice()), "others keep their gaps");
        assert!(!nodes.first_time("many", 0, 7), "what was given up counts as redelivered");
    }
}
