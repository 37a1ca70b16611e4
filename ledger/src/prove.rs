//! Proof for people outside: certificates over a cut of the ledger, signed by the site, and the way from one entry up to
//! such a certificate (docs/reference/proof.md; crate `proof` has the construction). The tree over the stream is derived
//! from its frames, so nothing of it stands in the log.

mod keys;
mod leaves;

use ::proof::{Books, Bytes, Certificate, Cut, EntryProof, Hash, Line, Proof, Salts, item_leaf, path, root};
use bus::Bus;
use facts::ids::{CallId, XdrId};
use facts::xdr::Position;
use schemas::{FrameView, SchemaIds};
use smol_str::SmolStr;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::EntryRow;
use crate::error::LedgerError;
use crate::frames::walk;
use crate::orders::{BooksNow, OrderError, Orders};
use crate::run::wall_micros;
use crate::verify::Kept;
use crate::view::{LedgerView, View};
use leaves::Leaves;

/// Why there is no certificate or proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error("{0} has no frame yet; there is nothing to certify")]
    Empty(SmolStr),
    #[error("no entry of the ledger is of xdr {0}; a side of amount zero has none")]
    Unknown(XdrId),
    #[error("xdr {xdr} was booked at site {site}, which signs its own books: run the same command there")]
    Elsewhere { xdr: XdrId, site: String },
    #[error(
        "the entries of xdr {xdr} name several accounts ({accounts}), since the call was booked to another one before; \
         whoever gets the proof sees them: say --with-others if he may"
    )]
    Others { xdr: XdrId, accounts: String },
    #[error(
        "certificate {} is not of this ledger: frame {seq} comes to another root; run `tandem ledger verify`", path.display()
    )]
    OtherLedger { path: PathBuf, seq: u64 },
    #[error("{what} {}: {reason}", path.display())]
    File { what: &'static str, path: PathBuf, reason: String },
}

/// What is to be proved.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub xdr: XdrId,
    /// Its call; without it the log is read for the entries.
    pub call: Option<CallId>,
    /// Entries may name accounts beside each other: those to which the call was booked before.
    pub with_others: bool,
}

/// A certificate's file and what it holds, or why it cannot be read.
type KeptFile = (PathBuf, Result<Certificate, String>);

/// Makes certificates and proofs of one ledger stream.
pub struct Prover {
    bus: Arc<dyn Bus>,
    ids: SchemaIds,
    view: Arc<View>,
    data_dir: PathBuf,
}

impl Prover {
    /// Keys, certificates and derived hashes stand below `data_dir`.
    pub fn new(bus: Arc<dyn Bus>, ids: SchemaIds, view: Arc<View>, data_dir: PathBuf) -> Self {
        Self { bus, ids, view, data_dir }
    }

    /// The key to hand to customers; made at the first use.
    pub fn public_key(&self) -> Result<Hash, ProveError> {
        Ok(keys::signing_key(&self.data_dir)?.public())
    }

    /// Signs the ledger as it is now and keeps the certificate. With `orders` (this process writes the stream) the state
    /// root stands in the stream, too.
    pub fn certify(&self, orders: Option<&Orders>) -> Result<Certificate, ProveError> {
        let key = keys::signing_key(&self.data_dir)?;
        let books = match orders {
            Some(orders) => orders.certify()?,
            None => self.view.books_now()?,
        };
        if books.seq == 0 {
            return Err(ProveError::Empty(self.view.stream().clone()));
        }
        let leaves = Leaves::up_to(self, books.seq)?;
        let signed = key.sign(self.cut(&books, &leaves)?);
        let text = serde_json::to_vec_pretty(&signed).map_err(|error| LedgerError::Stopped(error.to_string()))?;
        write_durably(&self.certificate_path(books.seq), &text)?;
        Ok(signed)
    }

    /// The way from all entries of a priced side to the newest certificate that has them, or to a new one.
    pub fn prove(&self, wish: &Wish, orders: Option<&Orders>) -> Result<Proof, ProveError> {
        let xdr = wish.xdr;
        let mut rows = match wish.call {
            Some(call) => self.view.entries_for_call(call)?,
            None => self.rows_of(xdr)?,
        };
        rows.retain(|row| row.xdr_id == Some(xdr));
        let named: BTreeSet<&SmolStr> = rows.iter().flat_map(accounts).collect();
        if named.len() > 1 && !wish.with_others {
            let accounts = named.into_iter().map(SmolStr::as_str).collect::<Vec<_>>().join(", ");
            return Err(ProveError::Others { xdr, accounts });
        }
        let places: Vec<Position> = rows.iter().map(|row| Position { seq: row.seq, index: row.index }).collect();
        let Some(last) = places.iter().max() else { return Err(ProveError::Unknown(xdr)) };
        let kept = self.certificates()?.pop().filter(|(_, kept)| kept.seq >= last.seq);
        let certificate = match kept {
            Some((_, kept)) => kept,
            None => self.certify(orders)?,
        };
        let leaves = Leaves::up_to(self, certificate.seq)?;
        if leaves.root(certificate.seq) != Some(certificate.tree_root) {
            let (path, seq) = (self.certificate_path(certificate.seq), certificate.seq);
            return Err(ProveError::OtherLedger { path, seq });
        }
        let frames = leaves.leaves(certificate.seq);
        let entries = places.into_iter().map(|at| self.entry(at, &leaves, &frames)).collect::<Result<_, _>>()?;
        Ok(Proof::new(xdr.to_string(), &certificate, entries))
    }

    /// Certificates that were kept, oldest first; what is none is an error that names the file.
    pub fn certificates(&self) -> Result<Vec<(PathBuf, Certificate)>, ProveError> {
        let what = "cannot read certificate";
        let read = |(path, read): (PathBuf, Result<Certificate, String>)| match read {
            Ok(certificate) => Ok((path, certificate)),
            Err(reason) => Err(ProveError::File { what, path, reason }),
        };
        self.files()?.into_iter().map(read).collect()
    }

    /// The same for whoever compares them with the log; makes no key.
    pub fn kept(&self) -> Result<Kept, ProveError> {
        let certificates = self.files()?;
        let some = !certificates.is_empty() && keys::exists(&self.data_dir);
        let key = if some { Some(self.public_key()?) } else { None };
        Ok(Kept { key, certificates })
    }

    fn files(&self) -> Result<Vec<KeptFile>, ProveError> {
        let folder = self.certificate_folder();
        let failed = |error: std::io::Error| {
            let (what, path, reason) = ("cannot list certificates", folder.clone(), error.to_string());
            ProveError::File { what, path, reason }
        };
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut paths = Vec::new();
        for one in listed {
            let path = one.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        let read = |path: PathBuf| {
            let text = fs::read(&path).map_err(|error| error.to_string());
            let read = text.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
            (path, read)
        };
        Ok(paths.into_iter().map(read).collect())
    }

    fn certificate_folder(&self) -> PathBuf {
        self.data_dir.join("certificates").join(self.view.stream().as_str())
    }

    fn certificate_path(&self, seq: u64) -> PathBuf {
        self.certificate_folder().join(format!("{seq:020}.json"))
    }

    fn cut(&self, books: &BooksNow, leaves: &Leaves) -> Result<Cut, ProveError> {
        let missing = || LedgerError::Missing { stream: self.view.stream().clone(), seq: books.seq };
        let line = |row: &accounting::TrialRow| Line {
            gl: row.gl.as_str().to_owned(),
            currency: row.currency.to_string(),
            debit: row.debit.to_string(),
            credit: row.credit.to_string(),
        };
        let cut = self.view.read(books.seq, |frame| {
            let header = &frame.header;
            Ok(Cut {
                stream: header.stream.to_string(),
                epoch: header.epoch,
                seq: books.seq,
                hash: Hash(frame.hash()),
                state_root: Hash(books.root),
                fold_version: header.fold_version,
                tree_root: leaves.root(books.seq).ok_or_else(missing)?,
                booked_at: header.booked_at.to_string(),
                signed_at: facts::time::rfc3339(wall_micros()),
                books: Books {
                    salt: Salts::of(frame.body()).totals(),
                    entries: books.entries,
                    lines: books.totals.iter().map(line).collect(),
                },
            })
        })?;
        Ok(cut)
    }

    fn entry(&self, at: Position, leaves: &Leaves, frames: &[Hash]) -> Result<EntryProof, ProveError> {
        let missing = || LedgerError::Missing { stream: self.view.stream().clone(), seq: at.seq };
        let shown = self.view.read(at.seq, |frame| {
            let failed = |error| LedgerError::Frame { stream: self.view.stream().clone(), seq: at.seq, error };
            let items = item_leaves(frame).map_err(failed)?;
            Ok(EntryProof {
                seq: at.seq,
                index: at.index,
                items: items.len() as u32,
                item_schema: Bytes(frame.header.item_schema.to_vec()),
                item: Bytes(frame.public(at.index as usize).map_err(failed)?.to_vec()),
                salt: Salts::of(frame.body()).item(at.index),
                item_path: path(&items, at.index as usize).ok_or_else(missing)?,
                frame_hash: leaves.hash_of(at.seq).ok_or_else(missing)?,
                frame_path: path(frames, at.seq as usize - 1).ok_or_else(missing)?,
            })
        })?;
        Ok(shown)
    }

    /// Reads the whole log for the entries of a priced side.
    fn rows_of(&self, xdr: XdrId) -> Result<Vec<EntryRow>, ProveError> {
        let last = self.view.progress().state.seq();
        let mut rows = Vec::new();
        walk((&*self.bus, &self.ids, &self.view), 1, last, &mut |frame| {
            // The id stands in the bytes as it is, so most items need no decoding.
            if !frame.body().windows(16).any(|window| window == xdr.0) {
                return Ok(());
            }
            for index in 0..frame.len() {
                let item = crate::frames::ledger_item(self.view.stream(), frame, index)?;
                if let facts::entry::LedgerItem::Entry(entry) = item
                    && entry.xdr_id == Some(xdr)
                {
                    let at = Position { seq: frame.header.seq, index: index as u32 };
                    rows.push(EntryRow::new(self.view.stream(), at, frame.header.booked_at, &entry));
                }
            }
            Ok(())
        })?;
        Ok(rows)
    }
}

/// Accounts that an entry names.
fn accounts(row: &EntryRow) -> impl Iterator<Item = &SmolStr> {
    let lines = row.postings.iter().map(|posting| &posting.account);
    std::iter::once(&row.account).chain(lines).filter(|account| !account.is_empty())
}

/// Leaves of a frame's items.
fn item_leaves(frame: &FrameView<'_>) -> Result<Vec<Hash>, schemas::DecodeError> {
    let salts = Salts::of(frame.body());
    let leaf = |index: usize| Ok(item_leaf(&salts.item(index as u32), &frame.header.item_schema, frame.public(index)?));
    (0..frame.len()).map(leaf).collect()
}

/// Root over a frame's items.
pub(crate) fn items_root(frame: &FrameView<'_>) -> Result<Hash, schemas::DecodeError> {
    Ok(root(&item_leaves(frame)?))
}

/// Writes a file so that it stands whole or not at all.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), ProveError> {
    let failed = |error: std::io::Error| {
        let (what, path, reason) = ("cannot write", path.to_path_buf(), error.to_string());
        ProveError::File { what, path, reason }
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = File::create(&new).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
