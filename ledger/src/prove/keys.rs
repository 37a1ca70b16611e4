//! The key that a site signs with: 32 random bytes in `DATA/keys/certificate.key`, for its owner's eyes only, made at the
//! first use and never overwritten.

use super::ProveError;
use proof::{Hash, SigningKey};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const FILE: &str = "certificate.key";

/// True when the site has a key.
pub fn exists(data_dir: &Path) -> bool {
    data_dir.join("keys").join(FILE).exists()
}

/// The site's key.
pub fn signing_key(data_dir: &Path) -> Result<SigningKey, ProveError> {
    let folder = data_dir.join("keys");
    let path = folder.join(FILE);
    if !path.exists() {
        make(&folder, &path)?;
    }
    let failed = |reason: String| ProveError::File { what: "cannot use the key", path: path.clone(), reason };
    let mode = fs::metadata(&path).map_err(|error| failed(error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(failed(format!("others may read it (mode {:o}); chmod 600 it", mode & 0o777)));
    }
    let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    let none = || failed("it holds no key; restore it from a backup (a new key is another signature)".to_owned());
    let seed = Hash::parse(text.trim()).ok_or_else(none)?;
    SigningKey::from_seed(&seed.0).ok_or_else(none)
}

/// Makes the key under another name first, so that it stands whole or not at all; whoever comes second uses the first's.
fn make(folder: &Path, path: &Path) -> Result<(), ProveError> {
    let failed = |reason: String| ProveError::File { what: "cannot make the key", path: path.to_path_buf(), reason };
    let io = |error: std::io::Error| failed(error.to_string());
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| failed(error.to_string()))?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    let new = folder.join(format!("certificate.new-{}-{:08x}", std::process::id(), u32::from_le_bytes(nonce()?)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(io)?;
    file.write_all(format!("{}\n", Hash(seed)).as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new).map_err(io)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(io(error)),
        _ => {}
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

fn nonce() -> Result<[u8; 4], ProveError> {
    let mut nonce = [0; 4];
    let failed = |error: getrandom::Error| ProveError::File {
        what: "cannot roll dice for",
        path: "certificate.key".into(),
        reason: error.to_string(),
    };
    getrandom::fill(&mut nonce).map_err(failed)?;
    Ok(nonce)
}
