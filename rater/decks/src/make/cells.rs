//! Sell codes cut into cells: the numbers of a code that no longer code of any vendor or of ours takes. One walk over
//! all codes in order, with the codes that a code lies within on a stack; what is kept is one branch of the tree.

use super::offer::Choice;
use super::price::Pricer;
use super::{Buy, Code, Made, MakeError, Recipe, Selling};
use crate::life::rows::OPEN;
use facts::Prefix;
use std::ops::Range;

/// Rows of one code, per vendor.
pub(super) struct Frame {
    prefix: Prefix,
    /// Index ranges of each vendor's rows of exactly this code.
    pub ranges: Vec<Range<usize>>,
    /// Index among the codes that are sold.
    sell: Option<usize>,
    /// Numbers that longer codes take, of 10^(15 - digits).
    covered: u64,
    cells: Vec<Cell>,
}

/// Numbers for which every vendor has one row at any time.
pub(super) struct Cell {
    pub prefix: Prefix,
    /// By time, without gaps; the first begins at the deck's effective date.
    pub pieces: Vec<Piece>,
}

pub(super) struct Piece {
    pub from: i64,
    pub choice: Choice,
}

/// The walk.
pub(super) struct Walk<'a> {
    buys: &'a [Buy<'a>],
    codes: &'a [Code],
    effective: i64,
    /// Next row of each vendor.
    next: Vec<usize>,
    next_code: usize,
    stack: Vec<Frame>,
    pricer: Pricer<'a>,
}

impl<'a> Walk<'a> {
    pub fn new(recipe: &'a Recipe, buys: &'a [Buy<'a>], codes: &'a [Code], selling: &'a Selling<'a>) -> Self {
        let (effective, pricer) = (selling.effective, Pricer::new(recipe, buys, selling));
        Self { buys, codes, effective, next: vec![0; buys.len()], next_code: 0, stack: Vec::new(), pricer }
    }

    pub fn run(mut self, made: &mut Made) -> Result<(), MakeError> {
        while let Some(frame) = self.take() {
            while self.stack.last().is_some_and(|top| frame.prefix.truncate(top.prefix.len()) != top.prefix) {
                self.pop(made)?;
            }
            self.stack.push(frame);
        }
        while !self.stack.is_empty() {
            self.pop(made)?;
        }
        // Codes are finished innermost first.
        let mut order: Vec<usize> = (0..made.rates.len()).collect();
        order.sort_by_key(|at| (made.whys[*at].prefix, made.whys[*at].from));
        made.rates = order.iter().map(|at| made.rates[*at].clone()).collect();
        made.whys = order.iter().map(|at| made.whys[*at].clone()).collect();
        Ok(())
    }

    /// The next code of anybody, in order.
    fn take(&mut self) -> Option<Frame> {
        let vendors = self.buys.iter().zip(&self.next).filter_map(|(buy, at)| Some(buy.rows.get(*at)?.prefix()));
        let prefix = vendors.chain(self.codes.get(self.next_code).map(|code| code.prefix)).min()?;
        let mut ranges = Vec::with_capacity(self.buys.len());
        for (buy, at) in self.buys.iter().zip(&mut self.next) {
            let start = *at;
            while buy.rows.get(*at).is_some_and(|row| row.prefix() == prefix) {
                *at += 1;
            }
            ranges.push(start..*at);
        }
        let sold = self.codes.get(self.next_code).is_some_and(|code| code.prefix == prefix);
        let sell = sold.then_some(self.next_code);
        self.next_code += usize::from(sold);
        Some(Frame { prefix, ranges, sell, covered: 0, cells: Vec::new() })
    }

    /// Finishes the innermost code.
    fn pop(&mut self, made: &mut Made) -> Result<(), MakeError> {
        let Some(top) = self.stack.last() else { return Ok(()) };
        let (prefix, size) = (top.prefix, size(top.prefix));
        let seller = self.stack.iter().rposition(|frame| frame.sell.is_some());
        if top.covered < size {
            match seller {
                None => made.not_sold += 1,
                Some(at) => {
                    let pieces = self.pieces()?;
                    self.stack[at].cells.push(Cell { prefix, pieces });
                }
            }
        }
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        if let Some(parent) = self.stack.last_mut() {
            parent.covered = parent.covered.saturating_add(size);
        }
        if let Some(code) = frame.sell.and_then(|at| self.codes.get(at)) {
            self.pricer.price(code, &frame.cells, self.effective, made)?;
        }
        Ok(())
    }

    /// What the numbers of the innermost code, and of no longer one, cost over time.
    fn pieces(&mut self) -> Result<Vec<Piece>, MakeError> {
        let mut instants = vec![self.effective];
        for frame in &self.stack {
            for (buy, range) in self.buys.iter().zip(&frame.ranges) {
                let rows = range.clone().filter_map(|at| buy.rows.get(at));
                instants.extend(
                    rows.flat_map(|row| [row.row.from, row.row.until]).filter(|at| *at > self.effective && *at != OPEN),
                );
            }
        }
        instants.sort_unstable();
        instants.dedup();
        let mut pieces: Vec<Piece> = Vec::with_capacity(instants.len());
        for from in instants {
            let choice = self.pricer.choose(&self.stack, from)?;
            if pieces.last().is_none_or(|last| last.choice != choice) {
                pieces.push(Piece { from, choice });
            }
        }
        Ok(pieces)
    }
}

/// Numbers of a code, of 10^15.
fn size(prefix: Prefix) -> u64 {
    10u64.pow(u32::try_from(facts::number::PREFIX_DIGITS_MAX - prefix.len()).unwrap_or(0))
}
