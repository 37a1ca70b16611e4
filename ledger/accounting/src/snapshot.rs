//! A book as bytes and back: a cache of the fold, never a source. Bytes of another fold version are refused, and
//! whoever holds them folds the frames instead.

use crate::book::{Book, Origin};
use crate::fold_version::{Cut, FoldedBy};
use crate::holds::Holds;
use crate::rights::Rights;
use crate::{FOLD_VERSION, TRIAL_FOLD};
use facts::entry::{Gl, Posting};
use facts::ids::OriginId;
use facts::xdr::Position;
use facts::{Amount, Currency};
use smol_str::SmolStr;

/// Why bytes are no book of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the state is of fold version {0}, this program has the rules of 1 to {TRIAL_FOLD}")]
    Version(u32),
    #[error("the state ends early or is damaged at byte {0}")]
    Damaged(usize),
    #[error("the state comes to another root than it says")]
    Root,
}

impl Book {
    /// Appends the whole state.
    pub fn dump(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fold_version().to_le_bytes());
        out.extend_from_slice(&self.root());
        for count in self.counts.entries.iter().chain([&self.counts.refused, &self.counts.certificates]) {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&(self.lines.len() as u64).to_le_bytes());
        for line in self.lines.by_page() {
            out.push(line.gl as u8);
            for text in [line.account.as_str(), &line.product, &line.destination, line.currency.as_str()] {
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            out.extend_from_slice(&line.debit.to_le_bytes());
            out.extend_from_slice(&line.credit.to_le_bytes());
        }
        out.extend_from_slice(&(self.origins.len() as u64).to_le_bytes());
        for (id, origin) in &self.origins {
            out.extend_from_slice(&id.0);
            out.extend_from_slice(&origin.at.seq.to_le_bytes());
            out.extend_from_slice(&origin.at.index.to_le_bytes());
            out.extend_from_slice(&origin.content);
        }
        out.extend_from_slice(&(self.calls.len() as u64).to_le_bytes());
        for (print, seq) in self.calls.iter() {
            out.extend_from_slice(&print.to_le_bytes());
            out.extend_from_slice(&seq.to_le_bytes());
        }
        self.holds.dump(out);
        self.rights.dump(out);
        if let Some(cut) = self.folded_by.cut {
            out.extend_from_slice(&cut.root);
            out.extend_from_slice(&cut.entries.to_le_bytes());
        }
    }

    /// Reads what `dump` wrote; every byte must be used.
    pub fn load(bytes: &[u8]) -> Result<Self, LoadError> {
        let mut bytes = Bytes { all: bytes, at: 0 };
        let version = bytes.u32()?;
        if !(FOLD_VERSION..=TRIAL_FOLD).contains(&version) {
            return Err(LoadError::Version(version));
        }
        let root: [u8; 32] = bytes.array()?;
        let mut book = Self::new();
        for n in 0..book.counts.entries.len() {
            book.counts.entries[n] = bytes.u64()?;
        }
        book.counts.refused = bytes.u64()?;
        book.counts.certificates = bytes.u64()?;
        let lines = bytes.count(1 + 4 * 4 + 2 * 16)?;
        book.lines.reserve(lines);
        for _ in 0..lines {
            let at = bytes.at;
            let (posting, debit, credit) = bytes.line()?;
            book.lines.restore(&posting, debit, credit).map_err(|_| LoadError::Damaged(at))?;
        }
        let origins = bytes.count(16 + 12 + 16)?;
        book.origins.reserve(origins);
        for _ in 0..origins {
            let id = OriginId(bytes.array()?);
            let at = Position { seq: bytes.u64()?, index: bytes.u32()? };
            book.origins.insert(id, Origin { at, content: bytes.array()? });
        }
        for _ in 0..bytes.count(12)? {
            let print = bytes.u64()?;
            book.calls.insert_print(print, bytes.u32()?);
        }
        book.holds = Holds::load(&mut bytes)?;
        book.rights = Rights::load(&mut bytes)?;
        if version > FOLD_VERSION {
            // A book of version 1 never was switched. Its bytes under another number end early here.
            book.folded_by = FoldedBy { version, cut: Some(Cut { root: bytes.array()?, entries: bytes.u64()? }) };
        }
        if bytes.at != bytes.all.len() {
            return Err(LoadError::Damaged(bytes.at));
        }
        if book.root() != root { Err(LoadError::Root) } else { Ok(book) }
    }
}

/// Bytes of a snapshot, read from front to back; what is not there is damage, never a panic.
pub(crate) struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    /// Where it reads next.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], LoadError> {
        let end = self.at.checked_add(len).ok_or(LoadError::Damaged(self.at))?;
        let taken = self.all.get(self.at..end).ok_or(LoadError::Damaged(self.at))?;
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| LoadError::Damaged(at))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, LoadError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, LoadError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of things that take at least `least` bytes each: never more than the rest can hold.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, LoadError> {
        let at = self.at;
        let count = usize::try_from(self.u64()?).map_err(|_| LoadError::Damaged(at))?;
        let rest = self.all.len() - self.at;
        if count > rest / least { Err(LoadError::Damaged(at)) } else { Ok(count) }
    }

    pub(crate) fn text(&mut self) -> Result<SmolStr, LoadError> {
        let at = self.at;
        let len = self.u32()? as usize;
        std::str::from_utf8(self.take(len)?).map(SmolStr::new).map_err(|_| LoadError::Damaged(at))
    }

    fn line(&mut self) -> Result<(Posting, i128, i128), LoadError> {
        let at = self.at;
        let [gl] = self.array()?;
        let gl = *Gl::ALL.get(usize::from(gl)).ok_or(LoadError::Damaged(at))?;
        let (account, product, destination) = (self.text()?, self.text()?, self.text()?);
        let currency = Currency::new(&self.text()?).map_err(|_| LoadError::Damaged(at))?;
        let debit = i128::from_le_bytes(self.array()?);
        let credit = i128::from_le_bytes(self.array()?);
        Ok((Posting { gl, account, product, destination, currency, amount: Amount::ZERO }, debit, credit))
    }
}
