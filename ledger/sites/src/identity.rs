//! A site's key pair and certificate, and the pinned certificates of its peers. A peer is known by the very bytes of
//! its certificate: no authority, no name and no date is asked. It never writes a key that others may read.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{what} {path}: {reason}", path = path.display())]
    File { what: &'static str, path: PathBuf, reason: String },
    #[error("a certificate cannot be made: {0}")]
    Make(String),
    #[error("{path} is there already; a new key would lock this site out of its peers until they have the new certificate: remove it first if that is meant", path = path.display())]
    Exists { path: PathBuf },
}

/// What a site shows to others, and the key that proves it.
#[derive(Debug)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both from their PEM files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let chain = certificates(certificate)?;
        let read = PrivateKeyDer::from_pem_file(key);
        let key = read.map_err(|error| file("the site's key", key, error))?;
        Ok(Self { chain, key })
    }
}

/// The certificate of a peer, pinned.
pub fn pinned(path: &Path) -> Result<CertificateDer<'static>, IdentityError> {
    let mut chain = certificates(path)?;
    Ok(chain.swap_remove(0))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let iter = CertificateDer::pem_file_iter(path).map_err(|error| file("certificate", path, error))?;
    let all: Result<Vec<_>, _> = iter.collect();
    let all = all.map_err(|error| file("certificate", path, error))?;
    if all.is_empty() {
        return Err(file("certificate", path, "it holds no certificate in PEM form"));
    }
    Ok(all)
}

fn file(what: &'static str, path: &Path, reason: impl ToString) -> IdentityError {
    IdentityError::File { what, path: path.to_owned(), reason: reason.to_string() }
}

/// Makes a key pair and a certificate for it. The key is readable by its owner only. Files that are there are left
/// alone.
pub fn make(site: &str, certificate: &Path, key: &Path) -> Result<String, IdentityError> {
    for path in [certificate, key] {
        if path.exists() {
            return Err(IdentityError::Exists { path: path.to_owned() });
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| file("folder", folder, error))?;
        }
    }
    let made = |error: rcgen::Error| IdentityError::Make(error.to_string());
    let pair = rcgen::KeyPair::generate().map_err(made)?;
    let mut params = rcgen::CertificateParams::new(vec![site.to_owned()]).map_err(made)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("Tandem site {site}"));
    let signed = params.self_signed(&pair).map_err(made)?;
    write(key, pair.serialize_pem().as_bytes(), 0o600)?;
    write(certificate, signed.pem().as_bytes(), 0o644)?;
    Ok(fingerprint(signed.der()))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IdentityError> {
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let done = out.as_mut().map_err(|error| file("cannot write", path, &*error));
    let out = done?;
    out.write_all(bytes).and_then(|()| out.sync_all()).map_err(|error| file("cannot write", path, error))
}

/// SHA-256 of a certificate as other tools show it: two hexadecimal digits a byte, with colons.
pub fn fingerprint(certificate: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut text = String::with_capacity(95);
    for (at, byte) in digest.as_ref().iter().enumerate() {
        let colon = if at == 0 { "" } else { ":" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_its_owners_alone_and_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("a/c.pem"), folder.path().join("a/k.pem"));
        let print = make("vienna", &certificate, &key).unwrap();
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let identity = Identity::load(&certificate, &key).unwrap();
        assert_eq!((identity.chain.len(), fingerprint(&identity.chain[0])), (1, print));
        let again = make("vienna", &certificate, &key).unwrap_err().to_string();
        assert!(again.contains("is there already"), "{again}");
        let swapped = Identity::load(&key, &key).unwrap_err().to_string();
        assert!(swapped.contains("holds no certificate"), "{swapped}");
    }
}
