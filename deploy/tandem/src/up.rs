//! `tandem up` and the single roles: a process that runs until it is told to stop.

use crate::node::{Roles, Running};
use crate::output::{Ending, Failure, Outcome, line, note};
use crate::settings::Settings;
use crate::{health, http};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

/// Runs roles with the HTTP face until Ctrl-C or SIGTERM.
pub fn run(settings: &Settings, roles: &Roles) -> Outcome {
    let running = Running::start(settings, roles)?;
    let token = http::token(&settings.data)?;
    let node = running.node.clone();
    // A role that needs a person stays down; the others and the console go on and show it.
    let watch = std::thread::spawn(move || health::watch(&node));
    let served = http::serve(&running.node, settings.console.listen, &mut |address| announce(address, &token));
    running.node.stop.store(true, Ordering::SeqCst);
    if watch.join().is_err() {
        note("the watching thread ended in a panic");
    }
    let failures = running.stop();
    served?;
    match failures.first() {
        None => Ok(Ending::Good),
        Some(failure) => Err(Failure::Broken(failure.clone())),
    }
}

/// Tells people and scripts where the console is.
pub fn announce(address: SocketAddr, token: &str) {
    // A closed stdout must not keep the process from running.
    let _ = line(&format!("console: http://{address}/  token: {token}"));
}
