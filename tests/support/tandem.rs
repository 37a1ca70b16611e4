//! Our own binary as a user runs it: commands with captured output, and a server that can be killed.
//!
//! Never links Tandem's crates for this: what is tested is the file that ships.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Server;

const ADVICE: &str = "see its output below";
const START: Duration = Duration::from_secs(60);
const COMMAND: Duration = Duration::from_secs(300);

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code (`None`: a signal ended it): 0 all good, 1 something refused, 2 usage, 3 surroundings.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Ran {
    /// The data, if the command ended with `code`; else a panic with all it said.
    pub fn expect_code(self, code: i32) -> String {
        assert!(self.code == Some(code), "ended with {:?}, not {code}\n{}\n{}", self.code, self.stdout, self.stderr);
        self.stdout
    }

    /// The data of a command that went well.
    pub fn ok(self) -> String {
        self.expect_code(0)
    }

    /// The data as JSON Lines.
    pub fn json_lines(self) -> Vec<Value> {
        let text = self.ok();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

/// A data folder and, while `up`, the process that owns it.
pub struct Tandem {
    home: TempDir,
    environment: Vec<(String, String)>,
    /// A command that runs the binary, as `ip netns exec NAME`; empty: none.
    within: Vec<String>,
    server: Option<Server>,
    starts: u32,
}

impl Tandem {
    /// An empty data folder; nothing runs yet.
    pub fn new() -> Tandem {
        let home = TempDir::with_prefix("tandem-data-").expect("a temporary folder");
        Tandem { home, environment: Vec::new(), within: Vec::new(), server: None, starts: 0 }
    }

    /// Sets an environment variable for every later start and command.
    pub fn env(mut self, name: &str, value: &str) -> Tandem {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    /// Replaces or adds an environment variable for every later start and command.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_string(), value.to_string()));
    }

    /// Takes an environment variable away from every later start and command.
    pub fn unset_env(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// Runs every later start and command by this one.
    pub fn set_within(&mut self, within: &[&str]) {
        self.within = within.iter().map(|word| (*word).to_string()).collect();
    }

    /// The folder in which everything of this Tandem lies.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The data folder (`TANDEM_DATA`).
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The binary under test, built by cargo beside the running test.
    pub fn binary() -> PathBuf {
        static BINARY: OnceLock<PathBuf> = OnceLock::new();
        BINARY.get_or_init(build).clone()
    }

    /// A command of the binary on this data folder.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let binary = Tandem::binary();
        let mut words = self.within.iter().map(AsRef::as_ref).chain([binary.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(arguments).env("TANDEM_DATA", self.data()).current_dir(self.home.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end (at most five minutes).
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        run_command(&mut self.command(arguments))
    }

    /// Starts a long-lived command (`up`, `rater`, …) and waits until `ready` finds its line in the output.
    pub fn start<T>(&mut self, arguments: &[&str], ready: impl FnMut(&str) -> Option<T>) -> T {
        self.kill();
        self.starts += 1;
        let log = self.home.path().join(format!("start-{}.log", self.starts));
        let mut command = self.command(arguments);
        let mut server = Server::spawn("tandem", &mut command, log, Some(self.home.path()), ADVICE);
        let value = server.await_ready(START, ready);
        self.server = Some(server);
        value
    }

    /// Starts a long-lived command that listens, and gives the address that its output names.
    pub fn start_listening(&mut self, arguments: &[&str]) -> String {
        self.start(arguments, address_in)
    }

    /// The process that `start` began.
    pub fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("tandem was started")
    }

    /// Process id of what `start` began.
    pub fn server_id(&self) -> u32 {
        self.server.as_ref().expect("tandem was started").id()
    }

    /// `kill -9` of the process and its children.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// Orderly end (SIGTERM); panics when it takes more than 30 s.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.terminate(Duration::from_secs(30));
        }
    }
}

impl Default for Tandem {
    fn default() -> Tandem {
        Tandem::new()
    }
}

/// Runs any command to its end with captured outputs; panics after five minutes.
pub fn run_command(command: &mut Command) -> Ran {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let stdout = reader(child.stdout.take().expect("stdout is piped"));
    let stderr = reader(child.stderr.take().expect("stderr is piped"));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours can be waited for") {
            break status;
        }
        if started.elapsed() > COMMAND {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} has not ended after {COMMAND:?}\n{}", stderr.join().unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = |thread: std::thread::JoinHandle<String>| thread.join().expect("the reader does not panic");
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// The first loopback address in an output, up to the end of the word.
pub fn address_in(log: &str) -> Option<String> {
    let start = log.find("http://127.0.0.1:")?;
    let rest = &log[start..];
    let end = rest.find(char::is_whitespace)?; // no end yet: the line is still being written
    Some(rest[..end].trim_end_matches(['/', '.', ',']).to_string())
}

fn reader(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes); // a killed command's pipe may break; what came is what it said
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Builds the binary where this test was built, so that no test runs against yesterday's.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let profile = test.parent().and_then(Path::parent).expect("the test lies in TARGET/PROFILE/deps");
    let binary = profile.join("tandem");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "tandem", "--target-dir"]);
        build.arg(profile.parent().expect("a profile folder lies in the target folder"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo starts");
        assert!(status.success(), "cargo build -p tandem failed; its output stands above");
    }
    assert!(binary.exists(), "{} is not there: cargo build -p tandem", binary.display());
    binary
}
