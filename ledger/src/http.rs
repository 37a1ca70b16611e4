//! `/v1/ledger/...`: the view and the orders over HTTP. Who may ask is decided by the layer that the caller puts
//! around the router; this module only says what each path needs ([`Need`]).

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use facts::ids::CallId;
use facts::xdr::Position;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::sync::Arc;

use crate::api::{EntryFilter, Order, Page};
use crate::error::LedgerError;
use crate::orders::{OrderError, Orders};
use crate::view::LedgerView;

/// What a request needs to be allowed to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Read balances and entries.
    Read,
    /// Book money.
    Write,
}

/// What the paths answer from.
#[derive(Clone)]
pub struct Ledger {
    pub view: Arc<dyn LedgerView>,
    /// None where this process does not write the stream: orders are refused with 503.
    pub orders: Option<Orders>,
}

/// An error as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    pub code: SmolStr,
    pub error: String,
}

struct Failure(StatusCode, ErrorBody);

impl Failure {
    fn new(status: StatusCode, code: &str, error: impl std::fmt::Display) -> Self {
        Self(status, ErrorBody { code: code.into(), error: error.to_string() })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger", error)
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        match &error {
            OrderError::Refused(refusal) => {
                let status = match refusal.code() {
                    "unknown_account" | "unknown_entry" => StatusCode::NOT_FOUND,
                    "id_reused" => StatusCode::CONFLICT,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                Self::new(status, refusal.code(), refusal)
            }
            OrderError::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", error),
            OrderError::Unknown(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unknown", error),
        }
    }
}

/// The answer to an order that was not booked, as `/v1/ledger/orders` gives it.
pub fn failure(error: OrderError) -> Response {
    Failure::from(error).into_response()
}

/// The read paths (`Need::Read`).
pub fn read_router(ledger: Ledger) -> Router {
    Router::new()
        .route("/v1/ledger/balances", get(balances))
        .route("/v1/ledger/balances/{account}", get(balance))
        .route("/v1/ledger/trial-balance", get(trial_balance))
        .route("/v1/ledger/totals", get(totals))
        .route("/v1/ledger/entries", get(entries))
        .route("/v1/ledger/entries/{seq}/{index}", get(entry))
        .route("/v1/ledger/calls/{call}/entries", get(call_entries))
        .route("/v1/ledger/status", get(status))
        .with_state(ledger)
}

/// The write path (`Need::Write`).
pub fn write_router(ledger: Ledger) -> Router {
    Router::new().route("/v1/ledger/orders", post(order)).with_state(ledger)
}

/// Both, each behind the layer that `guard` puts around it.
pub fn router(ledger: Ledger, guard: impl Fn(Need, Router) -> Router) -> Router {
    guard(Need::Read, read_router(ledger.clone())).merge(guard(Need::Write, write_router(ledger)))
}

/// Answers block on the log, so they run beside the reactor.
async fn ask<T: Send + 'static, E: Send + 'static>(
    ledger: Ledger,
    ask: impl FnOnce(&Ledger) -> Result<T, E> + Send + 'static,
) -> Result<T, Failure>
where
    Failure: From<E>,
{
    match tokio::task::spawn_blocking(move || ask(&ledger)).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(error) => Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error)),
    }
}

fn unknown(what: &str) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "not_found", format!("{what} is not known to this ledger"))
}

async fn balances(State(ledger): State<Ledger>) -> Result<Response, Failure> {
    Ok(Json(ask(ledger, |l| l.view.balances(None)).await?).into_response())
}

async fn balance(State(ledger): State<Ledger>, Path(account): Path<String>) -> Result<Response, Failure> {
    let name = account.clone();
    let rows = ask(ledger, move |l| l.view.balances(Some(&name))).await?;
    if rows.is_empty() { Err(unknown(&format!("account {account:?}"))) } else { Ok(Json(rows).into_response()) }
}

async fn trial_balance(State(ledger): State<Ledger>) -> Result<Response, Failure> {
    Ok(Json(ask(ledger, |l| l.view.trial_balance()).await?).into_response())
}

async fn totals(State(ledger): State<Ledger>) -> Result<Response, Failure> {
    Ok(Json(ask(ledger, |l| l.view.totals()).await?).into_response())
}

/// Query of `/v1/ledger/entries`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EntryQuery {
    account: Option<SmolStr>,
    kind: Option<facts::entry::EntryKind>,
    /// RFC 3339.
    from: Option<String>,
    until: Option<String>,
    /// `seq/index` of the last row of the page before.
    after: Option<String>,
    limit: Option<usize>,
    newest_first: bool,
}

impl EntryQuery {
    fn parts(self) -> Result<(EntryFilter, Page), Failure> {
        let bad = |field: &str, text: &str| {
            Failure::new(StatusCode::BAD_REQUEST, "bad_query", format!("{field} {text:?} cannot be read"))
        };
        let time = |field: &str, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => match facts::time::parse_rfc3339(&text) {
                Some(micros) => Ok(Some(facts::OccurredAt(micros))),
                None => Err(bad(field, &text)),
            },
        };
        let after = match &self.after {
            None => None,
            Some(text) => Some(position(text).ok_or_else(|| bad("after", text))?),
        };
        let filter = EntryFilter {
            account: self.account,
            kind: self.kind,
            occurred_from: time("from", self.from)?,
            occurred_until: time("until", self.until)?,
        };
        let limit = self.limit.unwrap_or(Page::default().limit);
        Ok((filter, Page { after, limit, newest_first: self.newest_first }))
    }
}

/// Reads `seq/index`.
pub fn position(text: &str) -> Option<Position> {
    let (seq, index) = text.split_once('/')?;
    Some(Position { seq: seq.parse().ok()?, index: index.parse().ok()? })
}

async fn entries(State(ledger): State<Ledger>, Query(query): Query<EntryQuery>) -> Result<Response, Failure> {
    let (filter, page) = query.parts()?;
    Ok(Json(ask(ledger, move |l| l.view.entries(&filter, &page)).await?).into_response())
}

async fn entry(State(ledger): State<Ledger>, Path((seq, index)): Path<(u64, u32)>) -> Result<Response, Failure> {
    match ask(ledger, move |l| l.view.entry_at(Position { seq, index })).await? {
        Some(row) => Ok(Json(row).into_response()),
        None => Err(unknown(&format!("entry {seq}/{index}"))),
    }
}

async fn call_entries(State(ledger): State<Ledger>, Path(call): Path<String>) -> Result<Response, Failure> {
    let id = CallId::parse(&call).ok_or_else(|| unknown(&format!("call {call:?}")))?;
    Ok(Json(ask(ledger, move |l| l.view.entries_for_call(id)).await?).into_response())
}

async fn status(State(ledger): State<Ledger>) -> Result<Response, Failure> {
    Ok(Json(ask(ledger, |l| l.view.status()).await?).into_response())
}

async fn order(State(ledger): State<Ledger>, Json(order): Json<Order>) -> Result<Response, Failure> {
    let Some(orders) = ledger.orders.clone() else {
        let error = "this process does not write the ledger; ask the one that does";
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not_the_writer", error));
    };
    Ok(Json(ask(ledger, move |_| orders.place(order)).await?).into_response())
}
