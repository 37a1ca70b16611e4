//! The loopback HTTP door of the embedded engine: what the `clickhouse` crate and other HTTP clients expect from a
//! server, no more. Each request gets its own session. It listens on 127.0.0.1 only and asks for the key.

use super::chdb::Engine;
use super::request::{Ask, MAX_BODY, decompress, identifier, insert_text};
use crate::error::exception_code;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Statements that run at once; more wait.
const MAX_RUNNING: usize = 24;
/// Largest statement with its parameters, when there is no INSERT data.
const MAX_FORM: usize = 16 << 20;

/// What every request shares.
pub struct Door {
    pub engine: Arc<Engine>,
    pub user: String,
    pub key: String,
    pub running: Semaphore,
}

impl Door {
    pub fn new(engine: Arc<Engine>, user: String, key: String) -> Self {
        Self { engine, user, key, running: Semaphore::new(MAX_RUNNING) }
    }
}

/// The routes.
pub fn routes(door: Arc<Door>) -> axum::Router {
    axum::Router::new()
        .route("/ping", get(|| async { "Ok.\n" }))
        .route("/", get(answer).post(answer))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(door)
}

/// A refusal in the shape the clients know: status, exception code, text.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = exception_code(&self.1).unwrap_or(1002);
        let mut response = (self.0, self.1).into_response();
        response.headers_mut().insert("X-ClickHouse-Exception-Code", HeaderValue::from(code));
        response
    }
}

fn bad(why: impl Into<String>) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, why.into())
}

fn refused(message: String) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, message)
}

async fn answer(State(door): State<Arc<Door>>, request: Request) -> Response {
    match handle(&door, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn handle(door: &Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let mut ask = Ask::default();
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri()).map_err(|e| bad(e.body_text()))?;
    for (name, value) in pairs.0 {
        ask.add(name, value).map_err(bad)?;
    }
    authorise(door, &ask, request.headers())?;
    if request.headers().get(header::CONTENT_ENCODING).is_some() {
        return Err(bad("this door takes no Content-Encoding; send the body plain, or as blocks with decompress=1"));
    }
    let form = request.headers().get(header::CONTENT_TYPE);
    let body = if form.is_some_and(|v| v.as_bytes().starts_with(b"multipart/form-data")) {
        read_form(&mut ask, request).await?;
        Bytes::new()
    } else {
        read_body(ask.decompress, request.into_body()).await?
    };
    // Waits its turn; the semaphore is never closed.
    let permit = door.running.acquire().await.map_err(|e| refused(e.to_string()))?;
    let engine = door.engine.clone();
    let done = tokio::task::spawn_blocking(move || run(&engine, &ask, body)).await;
    drop(permit);
    done.map_err(|e| refused(format!("the statement's thread ended: {e}")))?
}

fn authorise(door: &Door, ask: &Ask, headers: &HeaderMap) -> Result<(), Refusal> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let user = header("X-ClickHouse-User").or_else(|| ask.user.clone()).unwrap_or_default();
    let key = header("X-ClickHouse-Key").or_else(|| ask.password.clone()).unwrap_or_default();
    // Every byte is compared whatever the first ones are, so that time tells nothing.
    let same = key.len() == door.key.len() && key.bytes().zip(door.key.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0;
    if same && user == door.user {
        return Ok(());
    }
    Err(Refusal(StatusCode::FORBIDDEN, "Code: 516. DB::Exception: wrong user or key for the embedded engine".into()))
}

async fn read_form(ask: &mut Ask, request: Request) -> Result<(), Refusal> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| bad(e.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(|e| bad(e.body_text()))? {
        let name = field.name().unwrap_or_default().to_owned();
        let value = field.text().await.map_err(|e| bad(e.body_text()))?;
        ask.add(name, value).map_err(bad)?;
    }
    Ok(())
}

/// The whole body before anything runs: a client that dies while sending an INSERT leaves nothing behind.
async fn read_body(packed: bool, body: Body) -> Result<Bytes, Refusal> {
    let bytes = to_bytes(body, MAX_BODY)
        .await
        .map_err(|e| Refusal(StatusCode::PAYLOAD_TOO_LARGE, format!("body (limit {MAX_BODY} bytes): {e}")))?;
    if packed { decompress(&bytes).map(Bytes::from).map_err(bad) } else { Ok(bytes) }
}

fn run(engine: &Engine, ask: &Ask, body: Bytes) -> Result<Response, Refusal> {
    let mut session = engine.connect().map_err(refused)?;
    if let Some(database) = ask.database.as_deref().filter(|d| !d.is_empty()) {
        session.execute(&format!("USE {}", identifier(database))).map_err(refused)?;
    }
    if let Some(set) = ask.set_statement() {
        session.execute(&set).map_err(refused)?;
    }
    let format = ask.format.as_deref().unwrap_or("TabSeparated");
    let data;
    let written = if let Some(insert) = insert_text(ask.query.as_bytes()) {
        data = body;
        session.insert(insert.statement, insert.format, &data)
    } else if let Some(insert) = ask.query.is_empty().then(|| insert_text(&body)).flatten() {
        session.insert(insert.statement, insert.format, &body[insert.data_at..])
    } else {
        let mut text = Vec::from(ask.query.as_bytes());
        if !text.is_empty() && !body.is_empty() {
            text.push(b'\n');
        }
        text.extend_from_slice(&body);
        let answer = session.query(&text, format, &ask.params).map_err(refused)?;
        return Ok(respond(Body::from(Bytes::from_owner(answer)), None));
    };
    written.map(|rows| respond(Body::empty(), Some(rows))).map_err(refused)
}

fn respond(body: Body, written: Option<u64>) -> Response {
    let mut response = Response::new(body);
    if let Some(rows) = written
        && let Ok(summary) = HeaderValue::from_str(&format!("{{\"written_rows\":\"{rows}\"}}"))
    {
        response.headers_mut().insert("X-ClickHouse-Summary", summary);
    }
    response
}
