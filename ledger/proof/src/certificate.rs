//! A certificate: what a site says, under its key, of its ledger as far as one frame. The signed bytes are lines of
//! text that a person can read.

use crate::hex::Hash;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// First line of what is signed, and the kind in JSON.
const KIND: &str = "tandem.certificate.v1";
const TOTALS: &str = "tandem.totals.v1";

/// The cut that a certificate is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The stream, e.g. `ledger.main`.
    pub stream: String,
    /// Epoch of the last frame.
    pub epoch: u64,
    /// Last frame, from 1; the tree has as many leaves.
    pub seq: u64,
    /// BLAKE3 of the last frame's body.
    pub hash: Hash,
    /// Root over all balances after that frame, and the version of the fold that comes to it.
    pub state_root: Hash,
    pub fold_version: u32,
    /// Root over all frames.
    pub tree_root: Hash,
    /// When the last frame was booked and when this was signed; RFC 3339.
    pub booked_at: String,
    pub signed_at: String,
    pub books: Books,
}

/// What the books came to at the cut: for auditors, left out of what a customer gets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    pub salt: Hash,
    pub entries: u64,
    /// By account of the chart and currency.
    pub lines: Vec<Line>,
}

/// One account of the chart in one currency; decimals as strings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub gl: String,
    pub currency: String,
    pub debit: String,
    pub credit: String,
}

/// A signed certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// `tandem.certificate.v1`.
    pub certificate: String,
    pub stream: String,
    pub epoch: u64,
    pub seq: u64,
    pub hash: Hash,
    pub state_root: Hash,
    pub fold_version: u32,
    pub tree_root: Hash,
    /// Hash of the books at the cut.
    pub totals: Hash,
    pub booked_at: String,
    pub signed_at: String,
    /// Whose signature it bears; whoever checks it compares this with the key that he was given by another way.
    pub key: Hash,
    pub signature: crate::Bytes,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub books: Option<Books>,
}

/// Why a certificate does not stand.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("it is no {KIND}: it says {0:?}; use a tandem-verify that knows this kind")]
    Kind(String),
    #[error("it is signed by {said}, not by the key given; compare the key with the one your carrier gave you")]
    OtherKey { said: Hash },
    #[error("its signature is not of this text by this key: it was changed or forged")]
    Signature,
    #[error("the books in it do not have the hash that was signed: they were changed")]
    Books,
    #[error("a line of it holds a line break; nobody signs such a text")]
    Lines,
}

impl Books {
    /// What the certificate has of them.
    pub fn hash(&self) -> Hash {
        let mut text = format!("{TOTALS}\nsalt {}\nentries {}\n", self.salt, self.entries);
        for line in &self.lines {
            text.push_str(&format!("{} {} {} {}\n", line.gl, line.currency, line.debit, line.credit));
        }
        Hash(*blake3::hash(text.as_bytes()).as_bytes())
    }
}

impl Certificate {
    /// The signed bytes.
    pub fn text(&self) -> String {
        format!(
            "{KIND}\nstream {}\nepoch {}\nseq {}\nhash {}\nstate_root {}\nfold_version {}\ntree_root {}\ntotals {}\n\
             booked_at {}\nsigned_at {}\nkey {}\n",
            self.stream,
            self.epoch,
            self.seq,
            self.hash,
            self.state_root,
            self.fold_version,
            self.tree_root,
            self.totals,
            self.booked_at,
            self.signed_at,
            self.key
        )
    }

    /// Checks the signature against the key that the checker trusts, and the books where they are there.
    pub fn check(&self, key: &Hash) -> Result<(), CertificateError> {
        if self.certificate != KIND {
            return Err(CertificateError::Kind(self.certificate.clone()));
        }
        if self.key != *key {
            return Err(CertificateError::OtherKey { said: self.key });
        }
        if [&self.stream, &self.booked_at, &self.signed_at].iter().any(|text| text.contains('\n')) {
            return Err(CertificateError::Lines);
        }
        let public = UnparsedPublicKey::new(&ED25519, key.0);
        public.verify(self.text().as_bytes(), &self.signature.0).map_err(|_| CertificateError::Signature)?;
        match &self.books {
            Some(books) if books.hash() != self.totals => Err(CertificateError::Books),
            _ => Ok(()),
        }
    }

    /// The same without the books: what a customer gets.
    pub fn without_books(&self) -> Self {
        Self { books: None, ..self.clone() }
    }
}

/// The site's secret key.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// From 32 secret bytes; `None` where they make no key.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// What is handed to customers.
    pub fn public(&self) -> Hash {
        let mut key = Hash::default();
        key.0.copy_from_slice(self.0.public_key().as_ref());
        key
    }

    /// Signs a cut.
    pub fn sign(&self, cut: Cut) -> Certificate {
        let mut signed = Certificate {
            certificate: KIND.to_owned(),
            stream: cut.stream,
            epoch: cut.epoch,
            seq: cut.seq,
            hash: cut.hash,
            state_root: cut.state_root,
            fold_version: cut.fold_version,
            tree_root: cut.tree_root,
            totals: cut.books.hash(),
            booked_at: cut.booked_at,
            signed_at: cut.signed_at,
            key: self.public(),
            signature: crate::Bytes::default(),
            books: Some(cut.books),
        };
        signed.signature = crate::Bytes(self.0.sign(signed.text().as_bytes()).as_ref().to_vec());
        signed
    }
}

/// Reads a public key as `tandem ledger key` prints it: 64 hexadecimal digits, alone or behind `ed25519:`.
pub fn parse_key(text: &str) -> Option<Hash> {
    let text = text.trim();
    Hash::parse(text.strip_prefix("ed25519:").unwrap_or(text).trim())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn cut() -> Cut {
        Cut {
            stream: "ledger.main".into(),
            epoch: 2,
            seq: 7,
            hash: Hash([1; 32]),
            state_root: Hash([2; 32]),
            fold_version: 1,
            tree_root: Hash([3; 32]),
            booked_at: "2026-11-21T19:00:00Z".into(),
            signed_at: "2026-11-21T19:00:01Z".into(),
            books: Books {
                salt: Hash([4; 32]),
                entries: 3,
                lines: vec![Line {
                    gl: "revenue".into(),
                    currency: "EUR".into(),
                    debit: "0".into(),
                    credit: "1.5".into(),
                }],
            },
        }
    }

    #[test]
    fn a_certificate_stands_under_its_key_only_and_not_after_any_change() {
        let key = SigningKey::from_seed(&[9; 32]).unwrap();
        let true_one = key.sign(cut());
        assert_eq!(true_one.check(&key.public()), Ok(()));
        assert_eq!(true_one.without_books().check(&key.public()), Ok(()));
        let other = SigningKey::from_seed(&[8; 32]).unwrap();
        assert_eq!(true_one.check(&other.public()), Err(CertificateError::OtherKey { said: key.public() }));
        // Signed by another and given out as ours.
        let forged = Certificate { key: key.public(), ..other.sign(cut()) };
        assert_eq!(forged.check(&key.public()), Err(CertificateError::Signature));
        let json = serde_json::to_value(&true_one).unwrap();
        for (name, value) in json.as_object().unwrap() {
            let mut changed = json.clone();
            changed[name] = match value {
                serde_json::Value::Number(n) => (n.as_u64().unwrap() + 1).into(),
                serde_json::Value::String(s) if s.starts_with("0") => s.replacen('0', "1", 1).into(),
                serde_json::Value::String(s) => format!("0{}", &s[1..]).into(),
                other => {
                    let mut books = other.clone();
                    books["entries"] = 4.into();
                    books
                }
            };
            let changed: Certificate = serde_json::from_value(changed).unwrap();
            assert!(changed == true_one || changed.check(&key.public()).is_err(), "{name} may be changed");
        }
    }

    #[test]
    fn a_key_is_read_as_it_is_printed_and_nothing_else_is() {
        let key = SigningKey::from_seed(&[9; 32]).unwrap().public();
        assert_eq!(parse_key(&format!("ed25519:{key}\n")), Some(key));
        assert_eq!(parse_key(&key.to_string()), Some(key));
        assert_eq!(parse_key("ed25519:00"), None);
    }
}
