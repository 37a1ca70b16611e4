//! TLS as a test needs it: an authority that signs certificates, by Debian's openssl; and a door that speaks TLS in
//! front of a plain server on loopback.
//!
//! Never checks a client's certificate and never looks at what passes.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use tempfile::TempDir;

use crate::cache;

/// Longest wait for bytes from one side while the other may have some.
const TURN: Duration = Duration::from_millis(1);

/// An authority of one's own and what it has signed, in a temporary folder.
pub struct Authority {
    home: TempDir,
}

/// A certificate with its key, both PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub chain: PathBuf,
    /// PKCS #8.
    pub key: PathBuf,
    /// Key and chain in one file, as Java reads it.
    pub both: PathBuf,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    pub fn new() -> Authority {
        let home = TempDir::with_prefix("tandem-tls-").expect("a temporary folder");
        let made = Authority { home };
        made.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=Tandem's test authority",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        made
    }

    /// The file by which others trust it.
    pub fn file(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    /// A certificate for these names, as `DNS:localhost` or `IP:127.0.0.1`.
    pub fn sign(&self, name: &str, names: &str) -> Certificate {
        let file = |end: &str| format!("{name}.{end}");
        let extensions = format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n");
        fs::write(self.home.path().join(file("ext")), extensions).expect("the folder can be written");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &file("key"),
            "-out",
            &file("csr"),
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &file("csr"),
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &file("ext"),
            "-out",
            &file("pem"),
        ]);
        let path = |end: &str| self.home.path().join(file(end));
        let text = |path: &Path| fs::read_to_string(path).expect("openssl has written it");
        fs::write(path("both"), text(&path("key")) + &text(&path("pem"))).expect("the folder can be written");
        Certificate { chain: path("pem"), key: path("key"), both: path("both") }
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new(cache::program("openssl")).args(arguments).current_dir(self.home.path()).output();
        let output = output.expect("openssl starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?} failed ({}):\n{error}", output.status);
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

/// Speaks TLS on a port of its own and plain TCP to `upstream`.
pub struct TlsDoor {
    port: u16,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl TlsDoor {
    /// In front of a server on 127.0.0.1.
    pub fn before(upstream: u16, certificate: &Certificate) -> TlsDoor {
        let chain = CertificateDer::pem_file_iter(&certificate.chain).expect("the certificate can be read");
        let chain = chain.map(|part| part.expect("PEM")).collect();
        let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("the key can be read");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3").with_no_client_auth();
        let config = Arc::new(config.with_single_cert(chain, key).expect("the key is the certificate's"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let (config, stop) = (config.clone(), stopping.clone());
                // A client that hangs up or shakes hands badly ends its own connection and nothing else.
                std::thread::spawn(move || drop(pass(client, upstream, config, &stop)));
            }
        });
        TlsDoor { port, stop, accepting: Some(accepting) }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsDoor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the one that accepts
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

/// Carries bytes both ways, in turns, until one side closes.
fn pass(mut client: TcpStream, upstream: u16, config: Arc<ServerConfig>, stop: &AtomicBool) -> std::io::Result<()> {
    let mut tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
    client.set_read_timeout(Some(TURN))?;
    server.set_read_timeout(Some(TURN))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        match tls.read_tls(&mut client) {
            Ok(0) => return server.shutdown(Shutdown::Both),
            Ok(_) => {
                let processed = tls.process_new_packets();
                while tls.wants_write() {
                    tls.write_tls(&mut client)?;
                }
                processed.map_err(std::io::Error::other)?;
                loop {
                    match tls.reader().read(&mut buffer) {
                        Ok(0) => return server.shutdown(Shutdown::Both),
                        Ok(count) => server.write_all(&buffer[..count])?,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error),
        }
        match server.read(&mut buffer) {
            Ok(0) => {
                tls.send_close_notify();
                tls.write_tls(&mut client)?;
                return client.shutdown(Shutdown::Both);
            }
            Ok(count) => tls.writer().write_all(&buffer[..count])?,
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error),
        }
        while tls.wants_write() {
            tls.write_tls(&mut client)?;
        }
    }
    Ok(())
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
