//! Addresses of the console. Every view has one, with its filters in it.

use crate::access::{Access, require, session_cookie};
use crate::layout::{self, Room, no_link, value};
use crate::pages;
use crate::price::{PriceAsk, price as pages_of_price};
use crate::source::{Filter, ReportName, Source, SourceError};
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use facts::CallId;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub source: Arc<dyn Source>,
    pub access: Arc<Access>,
}

/// The whole console, `/healthz` included. Merge other routers beside it; put them behind [`require`] too.
pub fn router(source: Arc<dyn Source>, access: Arc<Access>) -> Router {
    let shared = Shared { source, access: access.clone() };
    let inside = Router::new()
        .route("/", get(live))
        .route("/live.json", get(live_json))
        .route("/health.json", get(health_json))
        .route("/reports/{name}", get(report))
        .route("/calls", get(calls))
        .route("/calls/{call_id}", get(call))
        .route("/search", get(search))
        .route("/price", get(price))
        .route("/ledger", get(balances))
        .route("/ledger/trial-balance", get(trial_balance))
        .route("/ledger/accounts/{account}", get(entries))
        .route("/suspense", get(suspense))
        .route("/runs", get(runs))
        .route("/runs/{id}", get(run))
        .route("/imports", get(imports))
        .route("/sites", get(sites))
        .route("/logout", post(logout))
        .merge(crate::deck_routes::router())
        .merge(crate::import_routes::router())
        .merge(crate::make_routes::router())
        .layer(middleware::from_fn_with_state(access, require));
    let outside = Router::new()
        .route("/login", get(login_page).post(login))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/assets/{name}", get(asset));
    inside.merge(outside).layer(middleware::map_response(harden)).with_state(shared)
}

/// Headers that keep other sites' scripts and frames out.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, header::HeaderValue::from_static("same-origin"));
    response
}

pub(crate) fn status(error: &SourceError) -> StatusCode {
    match error {
        SourceError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        SourceError::Wrong(_) => StatusCode::BAD_REQUEST,
        SourceError::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A page whose status follows its answer.
pub(crate) fn answered<T>(answer: &Result<T, SourceError>, page: Markup) -> Response {
    (answer.as_ref().map_or_else(status, |_| StatusCode::OK), page).into_response()
}

fn problem(error: &SourceError) -> Response {
    (status(error), Json(serde_json::json!({ "error": error.to_string() }))).into_response()
}

async fn asset(Path(name): Path<String>) -> Response {
    let (kind, bytes): (&str, &'static [u8]) = match name.as_str() {
        "console.css" => ("text/css", include_bytes!("../assets/console.css")),
        "uPlot.css" => ("text/css", include_bytes!("../assets/uPlot.min.css")),
        "uPlot.js" => ("text/javascript", include_bytes!("../assets/uPlot.iife.min.js")),
        "live.js" => ("text/javascript", include_bytes!("../assets/live.js")),
        "console.js" => ("text/javascript", include_bytes!("../assets/console.js")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], bytes).into_response()
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

/// Only addresses of this house: `//elsewhere` and `https:` are not.
fn inside(next: &str) -> &str {
    if next.starts_with('/') && !next.starts_with("//") && !next.contains('\\') { next } else { "/" }
}

async fn login_page(Query(query): Query<Next>) -> Markup {
    pages::login(inside(&query.next), false)
}

#[derive(Deserialize)]
struct Login {
    token: String,
    #[serde(default)]
    next: String,
}

async fn login(State(shared): State<Shared>, Form(form): Form<Login>) -> Response {
    match shared.access.login(&form.token) {
        Some(session) => {
            ([(header::SET_COOKIE, session_cookie(&session))], Redirect::to(inside(&form.next))).into_response()
        }
        None => (StatusCode::UNAUTHORIZED, pages::login(inside(&form.next), true)).into_response(),
    }
}

async fn logout(State(shared): State<Shared>, headers: HeaderMap) -> Redirect {
    shared.access.logout(&headers);
    Redirect::to("/login")
}

async fn live(State(shared): State<Shared>) -> Markup {
    let (live, health) = (shared.source.live().await, shared.source.health().await);
    pages::live(&shared.source.site(), &live, &health)
}

async fn live_json(State(shared): State<Shared>) -> Response {
    shared.source.live().await.map_or_else(|e| problem(&e), |live| Json(live).into_response())
}

async fn health_json(State(shared): State<Shared>) -> Response {
    shared.source.health().await.map_or_else(|e| problem(&e), |lines| Json(lines).into_response())
}

async fn report(State(shared): State<Shared>, Path(name): Path<String>, Query(filter): Query<Filter>) -> Response {
    let (stem, format) = name.split_once('.').map_or((name.as_str(), None), |(stem, format)| (stem, Some(format)));
    let Some(report) = ReportName::parse(stem) else {
        let page = pages::not_found(&shared.source.site(), "There is no report of that name.");
        return (StatusCode::NOT_FOUND, page).into_response();
    };
    match format {
        None => {
            let answer = shared.source.report(report, filter.clone()).await;
            answered(&answer, pages::report(&shared.source.site(), report, &filter, &answer))
        }
        Some(format) => {
            let kind = match format {
                "csv" => "text/csv; charset=utf-8",
                "json" => "application/json",
                _ => "application/octet-stream",
            };
            match shared.source.export(report, filter, format.to_owned()).await {
                Ok(bytes) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
                Err(error) => problem(&error),
            }
        }
    }
}

async fn calls(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Response {
    let answer = shared.source.calls(filter.clone()).await;
    answered(&answer, pages::calls(&shared.source.site(), &filter, &answer))
}

async fn call(State(shared): State<Shared>, Path(call_id): Path<String>) -> Response {
    let site = shared.source.site();
    let missing = |what: &str| (StatusCode::NOT_FOUND, pages::not_found(&site, what)).into_response();
    let Some(id) = CallId::parse(&call_id) else {
        return missing("A call id is 32 hexadecimal digits.");
    };
    match shared.source.call(id).await {
        Ok(Some(view)) => pages::call(&site, &view).into_response(),
        Ok(None) => missing("No call of that id is known here (yet)."),
        Err(error) => {
            (status(&error), layout::page(&site, Room::Calls, "Call", layout::trouble(&error))).into_response()
        }
    }
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

/// One field for everything: 32 hexadecimal digits are a call, digits a number, the rest an account.
async fn search(Query(search): Query<Search>) -> Redirect {
    let text = search.q.trim();
    let digits = text.trim_start_matches('+');
    if CallId::parse(text).is_some() {
        return Redirect::to(&format!("/calls/{text}"));
    }
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Redirect::to(&format!("/calls{}", layout::query(&[("number", digits)])));
    }
    Redirect::to(&format!("/ledger/accounts/{}", crate::access::encode(text)))
}

async fn price(State(shared): State<Shared>, Query(ask): Query<PriceAsk>) -> Response {
    let answer = shared.source.price_call(ask.clone()).await;
    let page = pages_of_price(&shared.source.site(), &ask, &answer);
    match &answer {
        // A field that is not understood is the asker's; the page says which.
        Ok(view) if !view.faults.is_empty() => (StatusCode::BAD_REQUEST, page).into_response(),
        answer => answered(answer, page),
    }
}

async fn balances(State(shared): State<Shared>) -> Response {
    let answer = shared.source.balances().await;
    let link = |rows: &crate::source::Table, column: usize, row: &[String]| {
        let account = value(rows, row, "account")?;
        (column == 0).then(|| format!("/ledger/accounts/{}", crate::access::encode(account)))
    };
    let empty = html! { p { "No account has moved yet." } };
    let page = pages::plain(
        &shared.source.site(),
        Room::Ledger,
        "Balances",
        pages::ledger_tabs("Balances"),
        &answer,
        &link,
        empty,
    );
    answered(&answer, page)
}

async fn trial_balance(State(shared): State<Shared>) -> Response {
    let answer = shared.source.trial_balance().await;
    let before = pages::ledger_tabs("Trial balance");
    let empty = html! { p { "Nothing has been booked yet." } };
    let page = pages::plain(&shared.source.site(), Room::Ledger, "Trial balance", before, &answer, &no_link, empty);
    answered(&answer, page)
}

#[derive(Deserialize)]
struct Offset {
    #[serde(default)]
    offset: u64,
}

#[derive(Deserialize)]
struct Where {
    /// Entries older than this place.
    #[serde(default)]
    older: String,
    /// Entries newer than it.
    #[serde(default)]
    newer: String,
}

async fn entries(State(shared): State<Shared>, Path(account): Path<String>, Query(at): Query<Where>) -> Response {
    let site = shared.source.site();
    let answer = match shared.source.entries(account.clone(), at.older.clone(), at.newer.clone()).await {
        Ok(Some(entries)) => Ok(entries),
        Ok(None) => {
            let page = pages::not_found(&site, "No account of that name.");
            return (StatusCode::NOT_FOUND, page).into_response();
        }
        Err(error) => Err(error),
    };
    let link = |rows: &crate::source::Table, column: usize, row: &[String]| {
        let call_id = value(rows, row, "call_id")?;
        let here = rows.columns.get(column).is_some_and(|c| c.key == "call_id");
        (here && !call_id.is_empty()).then(|| format!("/calls/{call_id}"))
    };
    let newest = at.older.is_empty() && at.newer.is_empty();
    let page = pages::entries(&site, &account, newest, &answer, &link);
    answered(&answer, page)
}

async fn runs(State(shared): State<Shared>) -> Response {
    let answer = shared.source.runs().await;
    let link = |rows: &crate::source::Table, column: usize, row: &[String]| {
        let run = value(rows, row, "run")?;
        (column == 0).then(|| format!("/runs/{run}"))
    };
    let intro = html! {
        p { "Past calls priced again: previewed here in money, posted as compensating entries, taken back by another run." }
    };
    let empty = html! { p { "No run yet. Preview one with " code { "tandem rerate preview" } "." } };
    let page = pages::plain(&shared.source.site(), Room::Runs, "Runs over past calls", intro, &answer, &link, empty);
    answered(&answer, page)
}

async fn run(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let site = shared.source.site();
    match shared.source.run(id).await {
        Ok(Some(view)) => pages::run(&site, &view).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, pages::not_found(&site, "There is no run of that id.")).into_response(),
        Err(error) => (status(&error), layout::page(&site, Room::Runs, "Run", layout::trouble(&error))).into_response(),
    }
}

async fn sites(State(shared): State<Shared>) -> Response {
    let answer = shared.source.sites().await;
    answered(&answer, pages::sites(&shared.source.site(), &answer))
}

async fn suspense(State(shared): State<Shared>) -> Response {
    let answer = shared.source.suspense().await;
    let link = |rows: &crate::source::Table, column: usize, row: &[String]| {
        let reason = value(rows, row, "reason")?;
        (column == 0).then(|| format!("/calls{}", layout::query(&[("unrated", reason)])))
    };
    let empty = html! { p { "Every call has its price." } };
    let page = pages::plain(&shared.source.site(), Room::Suspense, "Unrated calls", html! {}, &answer, &link, empty);
    answered(&answer, page)
}

async fn imports(State(shared): State<Shared>, Query(query): Query<Offset>) -> Response {
    let (answer, rejects) = (shared.source.imports().await, shared.source.rejects(query.offset).await);
    let empty = html! { p { "No file has been read yet." } p { code { "tandem calls import FILE --switch SWITCH" } } };
    let none = html! { p { "No record was rejected." } };
    let body = html! {
        @match &answer { Ok(rows) => (layout::table(rows, &no_link, empty)), Err(error) => (layout::trouble(error)) }
        h2 { "Rejected records" }
        @match &rejects { Ok(rows) => (layout::table(rows, &no_link, none)), Err(error) => (layout::trouble(error)) }
    };
    answered(&answer, layout::page(&shared.source.site(), Room::Imports, "Imports", body))
}
