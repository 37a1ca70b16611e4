//! A server process that cannot outlive the tests, with its log at hand.
//!
//! Each server is the head of a process group, and a guard (a shell that waits on a pipe of ours)
//! kills that group and removes the folder when the test process is gone, however it went: a shared
//! server in a `static` is never dropped, and a killed test drops nothing.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Stops the group `$1` and removes the folder `$2` once standard input is closed.
const GUARD: &str =
    r#"read -r _; kill -s KILL -- "-$1" 2>/dev/null; if [ -n "$2" ]; then sleep 0.2; rm -rf -- "$2"; fi"#;

/// A running (or killed) server.
pub struct Server {
    name: &'static str,
    advice: &'static str,
    log: PathBuf,
    child: Child,
    guard: Option<Child>,
    ended: Option<ExitStatus>,
}

impl Server {
    /// Starts `command` with both outputs in `log` (begun anew) and no input. `home` is removed when the
    /// test process dies; `advice` stands in every panic about this server.
    pub fn spawn(
        name: &'static str,
        command: &mut Command,
        log: PathBuf,
        home: Option<&Path>,
        advice: &'static str,
    ) -> Server {
        let out = File::create(&log).unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let err = out.try_clone().expect("a second handle of the log");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}; {advice}"));
        let guard = guard(child.id(), home);
        Server { name, advice, log, child, guard: Some(guard), ended: None }
    }

    /// Process id, which is the process group's too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the server has printed since it was started.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `ready` gives a value from the log; panics with the log's end when the server ends
    /// first or `limit` passes.
    pub fn await_ready<T>(&mut self, limit: Duration, mut ready: impl FnMut(&str) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(value) = ready(&self.log()) {
                return value;
            }
            if let Some(status) = self.try_wait() {
                panic!("{} ended while it started ({status}); {}\n{}", self.name, self.advice, self.log_tail());
            }
            if started.elapsed() > limit {
                self.kill();
                panic!("{} is not ready after {limit:?}; {}\n{}", self.name, self.advice, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The exit status, if it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child of ours can be waited for");
            if self.ended.is_some() {
                self.dismiss_guard();
            }
        }
        self.ended
    }

    /// Waits for the server to end by itself; panics with the log's end after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.try_wait() {
                return status;
            }
            assert!(started.elapsed() < limit, "{} has not ended after {limit:?}\n{}", self.name, self.log_tail());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `kill -9` of the whole group, at once; returns when the server is gone.
    pub fn kill(&mut self) {
        if self.try_wait().is_some() {
            return;
        }
        self.signal("KILL");
        self.ended = Some(self.child.wait().expect("a child of ours can be waited for"));
        self.dismiss_guard();
    }

    /// Asks it to end (SIGTERM) and waits for it.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(limit)
    }

    /// Freezes the server: connections stay open, nothing answers (SIGSTOP).
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Whether the last end was by `kill -9`.
    pub fn was_killed(&self) -> bool {
        self.ended.is_some_and(|status| status.signal() == Some(9))
    }

    /// The end of the log, for a panic's text.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(40);
        format!("--- end of {} ---\n{}", self.log.display(), lines[from..].join("\n"))
    }

    fn signal(&self, signal: &str) {
        // to the group: a browser's or a supervisor's own children must go with it;
        // by the shell's own kill: Debian's /bin/kill is in a package that need not be there
        let script = r#"kill -s "$1" -- "-$2" 2>/dev/null"#;
        let status = Command::new("sh").args(["-c", script, "kill", signal, &self.child.id().to_string()]).status();
        status.unwrap_or_else(|error| panic!("cannot run sh: {error}"));
    }

    /// Ends the guard before the group's number can belong to anybody else.
    fn dismiss_guard(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let _ = guard.kill(); // may have ended
            let _ = guard.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn guard(group: u32, home: Option<&Path>) -> Child {
    Command::new("sh")
        .args(["-c", GUARD, "guard", &group.to_string()])
        .arg(home.unwrap_or(Path::new("")))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0) // Ctrl-C ends the tests; the guard must see that end
        .spawn()
        .expect("sh starts")
}
