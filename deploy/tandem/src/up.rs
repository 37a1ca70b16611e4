//! `tandem up` and the single roles: a process that runs until it is told to stop.

use crate::http;
use crate::node::{Roles, Running};
use crate::output::{Ending, Failure, Outcome, line, note};
use crate::settings::Settings;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Runs roles with the HTTP face until Ctrl-C or SIGTERM.
pub fn run(settings: &Settings, roles: &Roles) -> Outcome {
    let running = Running::start(settings, roles)?;
    let token = http::token(&settings.data)?;
    if let Err(why) = &running.node.engine
        && roles.engine
    {
        note(&format!("no reports: {why}"));
    }
    let node = running.node.clone();
    let watch = std::thread::spawn(move || {
        // A role that needs a person stays down; the others and the console go on and show it.
        let mut told = 0;
        while !node.stop.load(Ordering::Relaxed) {
            let failures = node.failures();
            failures.iter().skip(told).for_each(|failure| note(failure));
            told = failures.len();
            std::thread::sleep(Duration::from_millis(200));
        }
    });
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
