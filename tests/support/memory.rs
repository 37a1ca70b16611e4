//! How much memory a process has taken at most (`VmHWM` of Linux), while it runs and of a command to its end.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Ran;

/// Between two looks at a command: what it takes for less than that and gives back is not seen.
const LOOK: Duration = Duration::from_millis(1);

/// Most bytes that the process has held so far; `None` when there is no such process (any more).
pub fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

/// Runs a command to its end; what it said, and its peak.
pub fn run(command: &mut Command) -> (Ran, u64) {
    let out = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| out.path().join(name);
    let file = |name: &str| fs::File::create(path(name)).expect("the temporary folder can be written");
    command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut most = 0;
    let status = loop {
        most = most.max(peak(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().expect("a child of ours can be waited for") {
            break status;
        }
        std::thread::sleep(LOOK);
    };
    let text = |name: &str| String::from_utf8_lossy(&fs::read(path(name)).unwrap_or_default()).into_owned();
    (Ran { code: status.code(), stdout: text("out"), stderr: text("err") }, most)
}
