//! The embedded engine: [`serve`] is the body of the hidden sub-command `engine-door`, which runs in a child process
//! of our own binary; [`Embedded`] starts that child, watches it and starts it again after a crash. The billing
//! process itself never loads the engine: a process that ends with an open session of it dies by a signal.

mod chdb;
mod child;
mod http;
mod request;

pub use child::{Embedded, EmbeddedConfig, Endpoint};
pub(crate) use request::{identifier, quote};

use chdb::Engine;
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The user name of the embedded engine; the password is a random key.
pub const USER: &str = "tandem";
/// How long running statements may go on after the parent has gone.
const DRAIN: Duration = Duration::from_secs(5);

/// What `engine-door` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorArgs {
    /// `libchdb.so`.
    pub lib: PathBuf,
    /// Data folder of the engine.
    pub path: PathBuf,
    /// Port on 127.0.0.1; 0 = any free one.
    pub port: u16,
    /// Most memory in bytes; 0 = the engine's own limit.
    pub memory: u64,
}

impl DoorArgs {
    /// Reads `--lib L --path P [--port N] [--memory BYTES]`.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut this = Self { lib: PathBuf::new(), path: PathBuf::new(), port: 0, memory: 0 };
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|e| format!("{name} {value}: {e}"));
            match name.as_str() {
                "--lib" => this.lib = value.into(),
                "--path" => this.path = value.into(),
                "--port" => this.port = u16::try_from(number()?).map_err(|e| format!("--port {value}: {e}"))?,
                "--memory" => this.memory = number()?,
                _ => return Err(format!("engine-door knows no {name}")),
            }
        }
        if this.lib.as_os_str().is_empty() || this.path.as_os_str().is_empty() {
            return Err("engine-door needs --lib and --path".to_owned());
        }
        Ok(this)
    }

    /// The same as arguments.
    #[must_use]
    pub fn to_args(&self) -> Vec<String> {
        let text = |p: &PathBuf| p.display().to_string();
        let mut args = vec!["--lib".into(), text(&self.lib), "--path".into(), text(&self.path)];
        args.extend(["--port".into(), self.port.to_string(), "--memory".into(), self.memory.to_string()]);
        args
    }
}

/// Runs the engine and its door until standard input closes, which is how the parent's end is noticed. The first
/// line of standard input is the key; the first line of standard output is `{"port":..,"version":..}` or
/// `{"error":..}`. Returns the process's exit code.
pub fn serve(args: &DoorArgs) -> u8 {
    match run(args) {
        Ok(()) => 0,
        Err(why) => {
            say(&serde_json::json!({ "error": why }));
            3
        }
    }
}

fn say(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone cannot be told; the closed standard input ends us anyway.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn run(args: &DoorArgs) -> Result<(), String> {
    let mut key = String::new();
    std::io::stdin().lock().read_line(&mut key).map_err(|e| format!("standard input: {e}"))?;
    let key = key.trim().to_owned();
    if key.len() < 16 {
        return Err("the first line of standard input must be the key; engine-door is started by tandem itself".into());
    }
    std::fs::create_dir_all(&args.path).map_err(|e| format!("{}: {e}", args.path.display()))?;
    let mut server_args = Vec::new();
    if args.memory > 0 {
        server_args.push(format!("--max_server_memory_usage={}", args.memory));
    }
    let engine = Engine::load(&args.lib, &args.path, &server_args)?;
    let version = engine.version();
    // This session boots the engine and keeps it up between requests.
    let boot = engine.connect()?;
    let engine = Arc::new(engine);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("threads: {e}"))?;
    let served = runtime.block_on(listen(args.port, engine.clone(), key, version));
    // Requests are drained by now, or late ones are cut off here; their sessions close with them.
    runtime.shutdown_timeout(DRAIN);
    drop(boot);
    if let Some(engine) = Arc::into_inner(engine)
        && !engine.shutdown()
    {
        return Err("the engine still had an open session at its end".into());
    }
    served
}

async fn listen(port: u16, engine: Arc<Engine>, key: String, version: String) -> Result<(), String> {
    let bind = |port| tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port));
    let listener = match bind(port).await {
        Ok(listener) => listener,
        // The old port is wished for after a restart, not needed.
        Err(_) if port != 0 => bind(0).await.map_err(|e| format!("127.0.0.1: {e}"))?,
        Err(e) => return Err(format!("127.0.0.1: {e}")),
    };
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    let (parent_gone, mut gone) = tokio::sync::watch::channel(false);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut line = String::new();
        while stdin.read_line(&mut line).is_ok_and(|n| n > 0) {
            line.clear();
        }
        let _ = parent_gone.send(true);
    });
    say(&serde_json::json!({ "port": port, "version": version }));
    let routes = http::routes(Arc::new(http::Door::new(engine, USER.to_owned(), key)));
    let mut gone_too = gone.clone();
    let server = axum::serve(listener, routes).with_graceful_shutdown(async move {
        // An error means that the watching thread is gone, which is the end as well.
        let _ = gone.wait_for(|gone| *gone).await;
    });
    let cut_off = async move {
        let _ = gone_too.wait_for(|gone| *gone).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        done = async { server.await } => done.map_err(|e| format!("door: {e}")),
        () = cut_off => Ok(()),
    }
}
