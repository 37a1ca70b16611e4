//! Free loopback ports that stay free while a server is down.
//!
//! Never hands out a port of the kernel's ephemeral range: a client's own connection could take it
//! between a broker's death and its restart on the same port.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000; // up to 31,999; Linux hands out 32,768 and above by itself

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 that nobody listens on, another one at each call.
pub fn free() -> u16 {
    let start = std::process::id().wrapping_mul(97); // other test processes look elsewhere first
    for _ in 0..COUNT {
        let port = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(port).expect("the range fits a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {} on 127.0.0.1", FIRST + COUNT);
}
