//! The process's HTTP face: console, ledger API, call events, and the requests of the command line. Loopback unless
//! told otherwise; everything but health and login asks for a token or a session.

use crate::authorise;
use crate::jobs::Jobs;
use crate::money;
use crate::node::Node;
use crate::ops::{self, Op};
use crate::output::Failure;
use crate::pages::Pages;
use crate::quote;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use console::Access;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A request of the command line is small.
const OP_BYTES_MAX: usize = 1 << 20;

/// Files by which the command line finds this process.
pub fn run_folder(data: &Path) -> PathBuf {
    data.join("run")
}

/// The token of a data folder: made at the first run, readable by its owner only.
pub fn token(data: &Path) -> Result<String, Failure> {
    let folder = run_folder(data);
    let file = folder.join("token");
    let wrong = |e: std::io::Error| Failure::Broken(format!("{}: {e}", file.display()));
    match fs::read_to_string(&file) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(wrong(e)),
    }
    fs::create_dir_all(&folder).map_err(wrong)?;
    let token = console::random_hex().map_err(|e| Failure::Broken(format!("random source: {e}")))?;
    let mut out =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file).map_err(wrong)?;
    out.write_all(token.as_bytes()).and_then(|()| out.sync_all()).map_err(wrong)?;
    Ok(token)
}

/// Serves until the node is told to stop. `ready` is told the address that was bound.
pub fn serve(node: &Arc<Node>, listen: SocketAddr, ready: &mut dyn FnMut(SocketAddr)) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Broken(format!("threads: {e}")))?;
    let token = token(&node.settings.data)?;
    let result = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await.map_err(|e| {
            Failure::Broken(format!("cannot listen on {listen}: {e}; choose another address with --listen"))
        })?;
        let address = listener.local_addr().map_err(|e| Failure::Broken(e.to_string()))?;
        write_address(&node.settings.data, address)?;
        ready(address);
        let jobs = Jobs::open(node)?;
        let app = app(node, jobs, token);
        let served = axum::serve(listener, app).with_graceful_shutdown(stopped(node.clone()));
        served.await.map_err(|e| Failure::Broken(format!("HTTP: {e}")))
    });
    // The file only helps others to find us; a stale one is noticed when nobody answers.
    let _ = fs::remove_file(run_folder(&node.settings.data).join("address"));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}

fn write_address(data: &Path, address: SocketAddr) -> Result<(), Failure> {
    let (folder, name) = (run_folder(data), run_folder(data).join("address"));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&name, address.to_string()));
    written.map_err(|e| Failure::Broken(format!("{}: {e}", name.display())))
}

/// Resolves when the node is told to stop, or by Ctrl-C or SIGTERM.
async fn stopped(node: Arc<Node>) {
    let asked = async {
        while !node.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(_) => return asked.await,
    };
    tokio::select! {
        () = asked => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    // Open connections (a live page) must not keep the process from ending.
    node.stop.store(true, Ordering::SeqCst);
}

fn app(node: &Arc<Node>, jobs: Arc<Jobs>, token: String) -> Router {
    let access = Access::new(token.clone());
    let guard = |router: Router| router.layer(middleware::from_fn_with_state(access.clone(), console::access::require));
    let ledger = ledger::http::Ledger { view: node.view.clone(), orders: node.orders.clone() };
    let mut app = console::router(Arc::new(Pages(node.clone(), jobs)), access.clone())
        .merge(ledger::http::router(ledger, |_, router| guard(router)))
        .merge(guard(
            Router::new().route("/v1/op", post(op)).layer(DefaultBodyLimit::max(OP_BYTES_MAX)).with_state(node.clone()),
        ))
        .merge(guard(
            Router::new()
                .route("/v1/quote", post(quote::post))
                .layer(DefaultBodyLimit::max(quote::BODY_BYTES_MAX))
                .with_state(node.clone()),
        ));
    app = app.merge(guard(money::router(node)));
    if let Some(paths) = authorise::router(node) {
        app = app.merge(guard(paths));
    }
    if let Some(ingest) = &node.ingest {
        let checker = access.clone();
        let allowed: ingest::http::TokenCheck = Arc::new(move |bearer| {
            let mut headers = HeaderMap::new();
            let value = bearer.and_then(|token| header::HeaderValue::from_str(&format!("Bearer {token}")).ok());
            match value {
                Some(value) => {
                    headers.insert(header::AUTHORIZATION, value);
                    checker.allows(&headers)
                }
                None => false,
            }
        });
        app = app.merge(ingest.router(allowed));
    }
    app
}

/// Carries out a request of the command line.
async fn op(State(node): State<Arc<Node>>, Json(op): Json<Op>) -> Response {
    let done = tokio::task::spawn_blocking(move || ops::execute(&node, &op)).await;
    match done {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(Failure::Usage(why))) => (StatusCode::BAD_REQUEST, why).into_response(),
        Ok(Err(Failure::Broken(why))) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
