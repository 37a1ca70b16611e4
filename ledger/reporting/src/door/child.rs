//! Starting, watching and ending the child process that holds the embedded engine. It never loads the engine itself.

use super::{DoorArgs, USER};
use crate::error::EngineError;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// A cold file cache needs seconds for 566 MB; a slow disk more.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How long an ending engine may take before it is killed; it is safe to kill (measured).
const STOP_LIMIT: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(100);
const STDERR_LINES: usize = 40;

/// How to run the embedded engine.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// `libchdb.so`, as `fetch::find` says.
    pub lib: PathBuf,
    /// Data folder of the engine; made when absent.
    pub data: PathBuf,
    /// Most memory in bytes; 0 = the engine's own limit (90 % of the machine).
    pub memory: u64,
    /// Program and first arguments that lead to [`super::serve`]; `None`: this binary with `engine-door`.
    pub program: Option<(PathBuf, Vec<String>)>,
    /// How long another engine may hold the folder's lock: after a kill -9 of the whole tree the old one needs a
    /// moment to notice.
    pub lock_wait: Duration,
}

impl EmbeddedConfig {
    #[must_use]
    pub fn new(lib: PathBuf, data: PathBuf) -> Self {
        Self { lib, data, memory: 0, program: None, lock_wait: Duration::from_secs(20) }
    }
}

/// Where the door is now. `generation` rises with each restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub url: String,
    pub user: String,
    pub password: String,
    pub generation: u64,
    pub version: String,
    /// Why the engine is down at this moment, if it is.
    pub down: Option<String>,
}

/// A running embedded engine. Dropping it ends the child.
#[derive(Debug)]
pub struct Embedded {
    endpoint: Arc<RwLock<Endpoint>>,
    pid: Arc<Mutex<u32>>,
    /// Who watches it, and what tells him to end it; `None`: it was ended.
    watched: Mutex<Option<(SyncSender<()>, std::thread::JoinHandle<()>)>>,
}

struct Running {
    child: Child,
    /// Its closing is the child's signal to end.
    stdin: Option<ChildStdin>,
    port: u16,
    version: String,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

impl Embedded {
    /// Starts the engine and waits until it answers.
    pub fn start(config: EmbeddedConfig) -> Result<Self, EngineError> {
        let mut bytes = [0u8; 24];
        getrandom::fill(&mut bytes).map_err(|e| unavailable(format!("no random key: {e}")))?;
        let key: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let running = start_patiently(&config, &key, 0).map_err(unavailable)?;
        let endpoint = Arc::new(RwLock::new(endpoint(&running, &key, 1)));
        let pid = Arc::new(Mutex::new(running.child.id()));
        let (stop, stopped) = sync_channel(1);
        let watch = Watch { config, key, endpoint: endpoint.clone(), pid: pid.clone(), stopped };
        let watcher = std::thread::Builder::new()
            .name("engine-watch".into())
            .spawn(move || watch.run(running))
            .map_err(|e| unavailable(format!("no thread: {e}")))?;
        Ok(Self { endpoint, pid, watched: Mutex::new(Some((stop, watcher))) })
    }

    /// Where to connect now.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Process id of the child, for tests that kill it and for the console.
    #[must_use]
    pub fn pid(&self) -> u32 {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the child in order and waits for it.
    pub fn stop(&self) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, watcher)) = watched {
            drop(stop);
            // A panicked watcher has nothing left to wait for.
            let _ = watcher.join();
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Watch {
    config: EmbeddedConfig,
    key: String,
    endpoint: Arc<RwLock<Endpoint>>,
    pid: Arc<Mutex<u32>>,
    stopped: Receiver<()>,
}

impl Watch {
    fn run(self, mut running: Running) {
        loop {
            let told_to_stop = matches!(self.stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Disconnected) | Ok(()));
            if told_to_stop {
                end(&mut running);
                return;
            }
            let status = match running.child.try_wait() {
                Ok(None) => continue,
                Ok(Some(status)) => status.to_string(),
                Err(e) => e.to_string(),
            };
            let why = format!("the engine's process ended ({status}){}", tail(&running.stderr));
            tracing::error!(why, "reporting engine down, starting it again");
            self.set(|e| e.down = Some(why.clone()));
            match self.restart(running.port) {
                Some(new) => running = new,
                None => return,
            }
        }
    }

    /// Tries until it runs or we are told to stop (`None`).
    fn restart(&self, port: u16) -> Option<Running> {
        let mut pause = LOOK;
        loop {
            match start_patiently(&self.config, &self.key, port) {
                Ok(new) => {
                    *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = new.child.id();
                    self.set(|e| *e = endpoint(&new, &self.key, e.generation + 1));
                    return Some(new);
                }
                Err(why) => {
                    tracing::error!(why, "reporting engine does not start");
                    self.set(|e| e.down = Some(why.clone()));
                }
            }
            if !matches!(self.stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                return None;
            }
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    fn set(&self, change: impl FnOnce(&mut Endpoint)) {
        change(&mut self.endpoint.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn endpoint(running: &Running, key: &str, generation: u64) -> Endpoint {
    Endpoint {
        url: format!("http://127.0.0.1:{}", running.port),
        user: USER.to_owned(),
        password: key.to_owned(),
        generation,
        version: running.version.clone(),
        down: None,
    }
}

fn unavailable(why: String) -> EngineError {
    EngineError::Unavailable {
        why,
        advice: "look at the engine's folder and free memory, or point TANDEM_CHDB at another libchdb.so".into(),
    }
}

fn end(running: &mut Running) {
    drop(running.stdin.take());
    let since = Instant::now();
    while since.elapsed() < STOP_LIMIT {
        match running.child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
    tracing::warn!("reporting engine did not end in time and is killed; its data is safe");
    // Only our own child, by its handle; that it may just have ended is no matter.
    let _ = running.child.kill();
    let _ = running.child.wait();
}

/// Starts it; while another engine still holds the folder's lock, again for a while.
fn start_patiently(config: &EmbeddedConfig, key: &str, port: u16) -> Result<Running, String> {
    let since = Instant::now();
    loop {
        match start(config, key, port) {
            Err(why) if why.contains("Cannot lock file") && since.elapsed() < config.lock_wait => {
                std::thread::sleep(Duration::from_millis(250));
            }
            done => return done,
        }
    }
}

fn start(config: &EmbeddedConfig, key: &str, port: u16) -> Result<Running, String> {
    let (program, first) = match &config.program {
        Some((program, first)) => (program.clone(), first.clone()),
        None => {
            let own = std::env::current_exe().map_err(|e| format!("own binary not found: {e}"))?;
            (own, vec!["engine-door".to_owned()])
        }
    };
    let args = DoorArgs { lib: config.lib.clone(), path: config.data.clone(), port, memory: config.memory };
    let mut child = Command::new(&program)
        .args(first)
        .args(args.to_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let stderr = Arc::new(Mutex::new(VecDeque::new()));
    if let Some(pipe) = child.stderr.take() {
        keep_stderr(pipe, stderr.clone());
    }
    match hand_shake(&mut child, key) {
        Ok((stdin, port, version)) => Ok(Running { child, stdin: Some(stdin), port, version, stderr }),
        Err(why) => {
            // Our own child, by its handle; it may have ended already.
            let _ = child.kill();
            let _ = child.wait();
            // Gives the stderr thread the moment it needs to read what the child said last.
            std::thread::sleep(Duration::from_millis(50));
            Err(format!("{why}{}", tail(&stderr)))
        }
    }
}

fn hand_shake(child: &mut Child, key: &str) -> Result<(ChildStdin, u16, String), String> {
    let mut stdin = child.stdin.take().ok_or("no pipe to the engine's process")?;
    let stdout = child.stdout.take().ok_or("no pipe from the engine's process")?;
    writeln!(stdin, "{key}").map_err(|e| format!("the engine's process took no key: {e}"))?;
    let (said, line) = sync_channel(1);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut text = String::new();
        let read = reader.read_line(&mut text).map(|_| text);
        // The other side may have given up waiting.
        let _ = said.send(read);
        // Keeps the pipe open and empty for as long as the child lives.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    let text = line
        .recv_timeout(START_LIMIT)
        .map_err(|_| format!("the engine did not start within {} s", START_LIMIT.as_secs()))?
        .map_err(|e| format!("the engine's process: {e}"))?;
    let ready: serde_json::Value = serde_json::from_str(&text)
        .map_err(|_| format!("the engine's process said {:?} instead of its port", text.trim()))?;
    if let Some(error) = ready["error"].as_str() {
        return Err(error.to_owned());
    }
    let port = ready["port"].as_u64().and_then(|p| u16::try_from(p).ok());
    let port = port.ok_or_else(|| format!("the engine's process named no port: {}", text.trim()))?;
    Ok((stdin, port, ready["version"].as_str().unwrap_or_default().to_owned()))
}

fn keep_stderr(pipe: ChildStderr, lines: Arc<Mutex<VecDeque<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            tracing::debug!(line, "reporting engine");
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == STDERR_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
}

fn tail(lines: &Mutex<VecDeque<String>>) -> String {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.is_empty() {
        return String::new();
    }
    format!("; it last said:\n{}", lines.iter().cloned().collect::<Vec<_>>().join("\n"))
}
