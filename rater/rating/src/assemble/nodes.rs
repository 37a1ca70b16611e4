//! Which events of our own nodes were seen: a watermark and the sequences seen beyond it, per node and boot epoch
//! (design 6.4). Memory grows with nodes and gaps, not with events.

use facts::xdr::NodeMark;
use smol_str::SmolStr;
use std::collections::BTreeSet;

/// Most sequences remembered beyond a gap. Past it the oldest gap is given up and counted: an event of it that comes
/// after all counts as redelivered.
pub const SPARSE_MAX: usize = 16_384;

#[derive(Debug, Default)]
struct Mark {
    node: SmolStr,
    boot_epoch: i64,
    next: u64,
    sparse: BTreeSet<u64>,
}

/// Marks of all nodes that write to one partition.
#[derive(Debug, Default)]
pub struct Nodes {
    marks: Vec<Mark>,
    /// Place of the mark found last: events come in runs.
    last: usize,
    given_up: u64,
}

impl Nodes {
    /// True where this sequence of the node was not seen before; it is then.
    pub fn first_time(&mut self, node: &str, boot_epoch: i64, sequence: u64) -> bool {
        let mark = self.mark(node, boot_epoch);
        if sequence == mark.next {
            mark.next += 1;
            while mark.sparse.first() == Some(&mark.next) {
                mark.sparse.pop_first();
                mark.next += 1;
            }
            return true;
        }
        if sequence < mark.next || !mark.sparse.insert(sequence) {
            return false;
        }
        if mark.sparse.len() > SPARSE_MAX
            && let Some(first) = mark.sparse.first().copied()
        {
            let gap = first - mark.next;
            mark.next = first;
            while mark.sparse.first() == Some(&mark.next) {
                mark.sparse.pop_first();
                mark.next += 1;
            }
            self.given_up += gap;
        }
        true
    }

    /// Sequences that never came and are no longer waited for; an alarm where it is not 0.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    fn mark(&mut self, node: &str, boot_epoch: i64) -> &mut Mark {
        let fits = |mark: &Mark| mark.boot_epoch == boot_epoch && mark.node == node;
        if !self.marks.get(self.last).is_some_and(fits) {
            self.last = self.marks.iter().position(fits).unwrap_or_else(|| {
                self.marks.push(Mark { node: node.into(), boot_epoch, ..Mark::default() });
                self.marks.len() - 1
            });
        }
        &mut self.marks[self.last]
    }

    /// For a `RaterState` item.
    pub fn to_state(&self) -> Vec<NodeMark> {
        let mut marks: Vec<NodeMark> = self
            .marks
            .iter()
            .map(|mark| NodeMark {
                node: mark.node.clone(),
                boot_epoch: mark.boot_epoch,
                next: mark.next,
                sparse: mark.sparse.iter().copied().collect(),
            })
            .collect();
        marks.sort_by(|a, b| (&a.node, a.boot_epoch).cmp(&(&b.node, b.boot_epoch)));
        marks
    }

    pub fn from_state(marks: &[NodeMark]) -> Self {
        let marks = marks
            .iter()
            .map(|mark| Mark {
                node: mark.node.clone(),
                boot_epoch: mark.boot_epoch,
                next: mark.next,
                sparse: mark.sparse.iter().copied().collect(),
            })
            .collect();
        Self { marks, last: 0, given_up: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_gap_that_never_closes_is_given_up_and_counted() {
        let mut nodes = Nodes::default();
        for sequence in 3..3 + SPARSE_MAX as u64 + 1 {
            assert!(nodes.first_time("n", 0, sequence));
        }
        assert_eq!(nodes.given_up(), 3);
        assert!(nodes.to_state()[0].sparse.is_empty());
    }
}
