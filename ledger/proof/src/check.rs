//! Checks the proof that entries stand under a certificate. It shows nothing but those entries: of everything else in the
//! ledger a proof holds hashes over salted bytes.

use crate::certificate::{Certificate, CertificateError};
use crate::entry::{self, Entry, EntryFault};
use crate::hex::{Bytes, Hash};
use crate::tree::{frame_leaf, root_by_path};
use serde::{Deserialize, Serialize};

/// Kind in JSON.
const KIND: &str = "tandem.proof.v1";

/// Everything needed to check that the entries of one priced side are in the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// `tandem.proof.v1`.
    pub proof: String,
    /// Hexadecimal.
    pub xdr_id: String,
    pub certificate: Certificate,
    pub entries: Vec<EntryProof>,
}

/// One entry and its way up to the certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryProof {
    /// Its frame, from 1, and its place in it, from 0.
    pub seq: u64,
    pub index: u32,
    /// Items of that frame.
    pub items: u32,
    /// Fingerprint of the items' schema.
    pub item_schema: Bytes,
    /// The entry's Avro bytes.
    pub item: Bytes,
    pub salt: Hash,
    /// From the item up to the root over the frame's items.
    pub item_path: Vec<Hash>,
    pub frame_hash: Hash,
    /// From the frame up to the tree root of the certificate.
    pub frame_path: Vec<Hash>,
}

/// A proof that stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Checked {
    pub xdr_id: String,
    /// The last frame that the certificate speaks of, and when that was booked.
    pub seq: u64,
    pub booked_at: String,
    pub signed_at: String,
    pub entries: Vec<Entry>,
}

/// Why a proof does not stand.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    #[error("it is no {KIND}: it says {0:?}; use a tandem-verify that knows this kind")]
    Kind(String),
    #[error("certificate: {0}")]
    Certificate(#[from] CertificateError),
    #[error("it holds no entry")]
    Empty,
    #[error("entry {0}: {1}")]
    Entry(usize, EntryFault),
    #[error("entry {0} is of xdr {1}, not of the one that is to be proved")]
    OtherXdr(usize, String),
    #[error("entry {0} stands twice in it")]
    Twice(usize),
    #[error("entry {0} is not under the certificate: what was shown is not what was signed")]
    NotUnder(usize),
}

impl Proof {
    pub fn new(xdr_id: String, certificate: &Certificate, entries: Vec<EntryProof>) -> Self {
        Self { proof: KIND.to_owned(), xdr_id, certificate: certificate.without_books(), entries }
    }
}

/// Checks a proof against the key that the checker trusts.
pub fn check(proof: &Proof, key: &Hash) -> Result<Checked, Fault> {
    if proof.proof != KIND {
        return Err(Fault::Kind(proof.proof.clone()));
    }
    proof.certificate.check(key)?;
    if proof.entries.is_empty() {
        return Err(Fault::Empty);
    }
    let mut entries = Vec::with_capacity(proof.entries.len());
    for (n, shown) in proof.entries.iter().enumerate() {
        let place = (shown.seq, shown.index);
        if proof.entries[..n].iter().any(|before| (before.seq, before.index) == place) {
            return Err(Fault::Twice(n));
        }
        let schema = shown.item_schema.0.as_slice().try_into().map_err(|_| Fault::Entry(n, EntryFault::Schema))?;
        let entry = entry::read(schema, &shown.item.0).map_err(|fault| Fault::Entry(n, fault))?;
        if entry.xdr_id.as_ref() != Some(&proof.xdr_id) {
            return Err(Fault::OtherXdr(n, entry.xdr_id.unwrap_or_else(|| "none".to_owned())));
        }
        if under(shown, schema, proof.certificate.seq) != Some(proof.certificate.tree_root) {
            return Err(Fault::NotUnder(n));
        }
        entries.push(entry);
    }
    let Certificate { seq, booked_at, signed_at, .. } = proof.certificate.clone();
    Ok(Checked { xdr_id: proof.xdr_id.clone(), seq, booked_at, signed_at, entries })
}

/// The tree root that an entry comes to.
fn under(shown: &EntryProof, schema: &[u8; 8], frames: u64) -> Option<Hash> {
    let leaf = entry::leaf(&shown.salt, schema, &shown.item.0);
    let items = root_by_path(leaf, u64::from(shown.index), u64::from(shown.items), &shown.item_path)?;
    let frame = frame_leaf(shown.seq, &shown.frame_hash, &items);
    root_by_path(frame, shown.seq.checked_sub(1)?, frames, &shown.frame_path)
}
