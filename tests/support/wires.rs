//! Wires between sites that a test can cut: each forwards connections from a port of its own to another, byte for byte,
//! until it is cut, and again when it is mended. It never looks at what it carries.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One way in to an address.
pub struct Link {
    port: u16,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Link {
    /// Forwards to `127.0.0.1:to`, which need not listen yet.
    pub fn to(to: u16) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (cut, open): (Arc<AtomicBool>, Arc<Mutex<Vec<TcpStream>>>) = Default::default();
        let (is_cut, streams) = (cut.clone(), open.clone());
        // Ends with the test's process.
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(there) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (Ok(a), Ok(b)) = (from.try_clone(), there.try_clone()) else { continue };
                let mut streams = streams.lock().unwrap_or_else(PoisonError::into_inner);
                streams.extend([from.try_clone(), there.try_clone()].into_iter().flatten());
                // Cut while it was being made.
                if is_cut.load(Ordering::SeqCst) {
                    streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
                    continue;
                }
                drop(streams);
                std::thread::spawn(move || carry(from, there));
                std::thread::spawn(move || carry(b, a));
            }
        });
        Link { port, cut, open }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends what is open and takes nothing more.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    // Either end may close; the other learns it.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
