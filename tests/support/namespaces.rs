//! Two network namespaces with a wire between them that can be cut: partitions as sites really see them.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Says that a machine without namespaces is accepted: the tests that need them are left out, and say so.
pub const ACCEPTED: &str = "TANDEM_WITHOUT_NAMESPACES";

/// Two namespaces and their wire; gone when dropped.
pub struct Wire {
    names: [String; 2],
}

impl Wire {
    /// Lays a wire, or says why this machine has none.
    pub fn new() -> Result<Wire, String> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let begin = format!("tdm{}{number}", std::process::id());
        let wire = Wire { names: ["a", "b"].map(|end| format!("{begin}{end}")) };
        for name in &wire.names {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let [a, b] = &wire.names;
        ip(&["-n", a, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", b])?;
        for (at, name) in wire.names.iter().enumerate() {
            ip(&["-n", name, "address", "add", &format!("{}/24", Wire::address(at)), "dev", "wire"])?;
            ip(&["-n", name, "link", "set", "wire", "up"])?;
        }
        Ok(wire)
    }

    /// The wire, or `None` where its absence was accepted; else a panic that says how to accept it.
    pub fn required() -> Option<Wire> {
        match Wire::new() {
            Ok(wire) => Some(wire),
            Err(why) if std::env::var_os(ACCEPTED).is_some() => {
                println!("left out: {ACCEPTED} is set, and there are no network namespaces: {why}");
                None
            }
            Err(why) => panic!(
                "network namespaces cannot be made: {why}; run as root with iproute2 (apt install iproute2), or set \
                 {ACCEPTED}=1 to accept that partitions are not tested here"
            ),
        }
    }

    /// Address of one end.
    pub fn address(at: usize) -> String {
        format!("10.77.0.{}", at + 1)
    }

    /// What runs a command at one end.
    pub fn within(&self, at: usize) -> [&str; 4] {
        ["ip", "netns", "exec", &self.names[at]]
    }

    /// Cuts the wire at one end, or joins it again.
    pub fn set(&self, at: usize, up: bool) {
        let state = if up { "up" } else { "down" };
        ip(&["-n", &self.names[at], "link", "set", "wire", state]).unwrap_or_else(|why| panic!("{why}"));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "del", name]); // one that was never made
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_string();
    if ran.status.success() { Ok(()) } else { Err(format!("ip {}: {said}", arguments.join(" "))) }
}
