//! Proof for people outside: certificates that a site signs over a cut of its ledger, and the proof that one entry stands
//! under such a certificate. Makes and checks them from bytes it is given; it reads no log and trusts nobody. The
//! construction is published in docs/reference/proof.md: whoever doubts this code writes his own.
//!
//! The library does no I/O. `tandem-verify` beside it reads two files and is all that a customer needs.

mod certificate;
mod check;
mod entry;
mod hex;
mod tree;

pub use certificate::{Books, Certificate, CertificateError, Cut, Line, SigningKey, parse_key};
pub use check::{Checked, EntryProof, Fault, Proof, check};
pub use entry::{Entry, EntryFault, KNOWN_ITEMS, Posting, read as read_entry};
pub use hex::{Bytes, Hash};
pub use tree::{Salts, frame_leaf, item_leaf, path, root, root_by_path};
