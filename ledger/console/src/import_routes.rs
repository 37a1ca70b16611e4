//! Addresses of uploads, imports and jobs. A form that writes carries its session's own token; a file goes to its place
//! chunk by chunk and is refused by size before it fills anything.

use crate::decks as deck_pages;
use crate::imports::{self, UPLOAD_BYTES_MAX};
use crate::jobs::{self, Form, JobAsk};
use crate::layout;
use crate::routes::{Shared, answered, status};
use crate::source::{SourceError, Upload};
use axum::extract::{DefaultBodyLimit, Form as Posted, Multipart, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

/// Text of one field of a form.
const FIELD_BYTES_MAX: usize = 64 << 10;
/// Fields beside the file, and what surrounds them.
const FORM_BYTES_MAX: u64 = 1 << 20;
pub(crate) const NO_TOKEN: &str = "this form is older than your login, or came from elsewhere; open the page again";

/// The addresses; login and headers are the caller's part.
pub(crate) fn router() -> Router<Shared> {
    // Above the limit the handler itself says so; this one only bounds what is read to say it.
    let upload = post(upload).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/deck-import", get(upload_form).merge(upload))
        .route("/deck-imports", get(all_imports))
        .route("/deck-imports/{*id}", get(import).post(decide))
        .route("/decks/{deck}/diff", get(diff))
        .route("/jobs", get(all_jobs))
        .route("/jobs/{id}", get(job))
        .route("/jobs/{id}/state.json", get(state))
        .route("/jobs/{id}/read", post(read))
        .route("/jobs/{id}/import", post(write))
}

pub(crate) fn see(address: &str) -> Response {
    Redirect::to(address).into_response()
}

/// A page that only says what went wrong.
pub(crate) fn said(site: &str, title: &str, error: &SourceError) -> Response {
    (status(error), layout::page(site, layout::Room::Decks, title, layout::trouble(error))).into_response()
}

async fn upload_form(State(shared): State<Shared>, headers: HeaderMap, Query(form): Query<Form>) -> Response {
    let deck = form.get("deck").cloned().unwrap_or_default();
    let answer = shared.source.upload_form(deck).await;
    let token = shared.access.form_token(&headers);
    answered(&answer, imports::upload(&shared.source.site(), &form, "", &answer, &token))
}

/// The form once more, with what was wrong; the file has to be chosen again, as browsers have it.
async fn refused(shared: &Shared, headers: &HeaderMap, form: &Form, code: StatusCode, wrong: &str) -> Response {
    let answer = shared.source.upload_form(form.get("deck").cloned().unwrap_or_default()).await;
    let token = shared.access.form_token(headers);
    (code, imports::upload(&shared.source.site(), form, wrong, &answer, &token)).into_response()
}

fn too_large(bytes: u64) -> String {
    format!(
        "the file is larger than {} MiB ({bytes} bytes or more were sent); split it, or send it as CSV",
        UPLOAD_BYTES_MAX >> 20
    )
}

async fn upload(State(shared): State<Shared>, headers: HeaderMap, parts: Multipart) -> Response {
    let mut form = Form::new();
    match received(&shared, &headers, parts, &mut form).await {
        Ok(job) => see(&format!("/jobs/{job}")),
        Err((code, wrong)) => refused(&shared, &headers, &form, code, &wrong).await,
    }
}

type Wrong = (StatusCode, String);

fn of_source(error: &SourceError) -> Wrong {
    (status(error), error.to_string())
}

/// Takes the parts of the form in; the id of the job that reads the file.
async fn received(
    shared: &Shared,
    headers: &HeaderMap,
    mut parts: Multipart,
    form: &mut Form,
) -> Result<String, Wrong> {
    let bad = |wrong: String| (StatusCode::BAD_REQUEST, wrong);
    let sent = headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
    let too_long = sent.filter(|sent| *sent > UPLOAD_BYTES_MAX + FORM_BYTES_MAX);
    let mut file: Option<Box<dyn Upload>> = None;
    let mut drained = 0;
    while let Some(mut part) = parts.next_field().await.map_err(|error| bad(error.body_text()))? {
        let name = part.name().unwrap_or_default().to_owned();
        if name != "file" {
            let text = part.text().await.map_err(|error| bad(error.body_text()))?;
            if text.len() > FIELD_BYTES_MAX {
                return Err(bad(format!("field {name} is longer than {FIELD_BYTES_MAX} bytes")));
            }
            form.insert(name, text);
            continue;
        }
        if !shared.access.form_allowed(headers, form.get("form_token").map_or("", String::as_str)) {
            return Err((StatusCode::FORBIDDEN, NO_TOKEN.to_owned()));
        }
        let file_name = part.file_name().unwrap_or_default().to_owned();
        let mut to = match too_long {
            // Read to its end all the same: a browser shows no answer before it has sent all.
            Some(_) => None,
            None => Some(shared.source.upload(file_name).await.map_err(|error| of_source(&error))?),
        };
        while let Some(chunk) = part.chunk().await.map_err(|error| bad(error.body_text()))? {
            drained += chunk.len() as u64;
            if drained > UPLOAD_BYTES_MAX {
                to = None;
            }
            // Twice the limit is as far as politeness goes.
            if drained > UPLOAD_BYTES_MAX * 2 {
                return Err((StatusCode::PAYLOAD_TOO_LARGE, too_large(drained)));
            }
            if let Some(to) = &mut to {
                to.write(chunk).await.map_err(|error| of_source(&error))?;
            }
        }
        if to.is_none() {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, too_large(drained)));
        }
        file = to;
    }
    form.remove("form_token");
    let file = file.ok_or_else(|| bad("no file came with the form; choose one".to_owned()))?;
    file.begin(form.clone()).await.map_err(|error| of_source(&error))
}

async fn all_imports(State(shared): State<Shared>) -> Response {
    let answer = shared.source.deck_imports().await;
    answered(&answer, imports::list(&shared.source.site(), &answer))
}

#[derive(Deserialize)]
struct ImportQuery {
    #[serde(default)]
    review: String,
}

async fn import(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<ImportQuery>,
) -> Response {
    let site = shared.source.site();
    if !query.review.is_empty() {
        return match shared.source.review_held(id).await {
            Ok(job) => see(&format!("/jobs/{job}")),
            Err(error) => said(&site, "Import", &error),
        };
    }
    shown_import(&shared, &headers, id, StatusCode::OK, "").await
}

async fn shown_import(shared: &Shared, headers: &HeaderMap, id: String, code: StatusCode, wrong: &str) -> Response {
    let site = shared.source.site();
    match shared.source.deck_import(id).await {
        Ok(Some(view)) => {
            (code, imports::import(&site, &view, wrong, &shared.access.form_token(headers))).into_response()
        }
        Ok(None) => {
            (StatusCode::NOT_FOUND, deck_pages::missing(&site, "There is no import of that name.")).into_response()
        }
        Err(error) => said(&site, "Import", &error),
    }
}

async fn decide(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Posted(form): Posted<Form>,
) -> Response {
    let text = |name: &str| form.get(name).map_or("", |text| text.trim());
    if !shared.access.form_allowed(&headers, text("form_token")) {
        return shown_import(&shared, &headers, id, StatusCode::FORBIDDEN, NO_TOKEN).await;
    }
    let approve = match text("word") {
        "approve" if text("typed") != id => {
            let wrong = format!("to approve it, type its name as it stands there: {id}");
            return shown_import(&shared, &headers, id, StatusCode::BAD_REQUEST, &wrong).await;
        }
        "approve" => true,
        "reject" => false,
        _ => return shown_import(&shared, &headers, id, StatusCode::BAD_REQUEST, "approve or reject it").await,
    };
    let (by, reason) = (text("by").to_owned(), text("reason").to_owned());
    match shared.source.decide_import(id.clone(), by, reason, approve).await {
        Ok(()) => see(&format!("/deck-imports/{}", crate::access::encode(&id))),
        Err(error) => shown_import(&shared, &headers, id, status(&error), &error.to_string()).await,
    }
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    from: Option<u32>,
    #[serde(default)]
    to: Option<u32>,
    #[serde(default)]
    again: String,
}

async fn diff(State(shared): State<Shared>, Path(deck): Path<String>, Query(versions): Query<Versions>) -> Response {
    let site = shared.source.site();
    let view = match shared.source.deck(deck.clone()).await {
        Ok(Some(view)) => view,
        Ok(None) => {
            return (StatusCode::NOT_FOUND, deck_pages::missing(&site, "There is no such deck.")).into_response();
        }
        Err(error) => return said(&site, "Compare", &error),
    };
    match (versions.from, versions.to) {
        (Some(from), Some(to)) => match shared.source.compare(deck, from, to, !versions.again.is_empty()).await {
            Ok(job) => see(&format!("/jobs/{job}")),
            Err(error) => said(&site, "Compare", &error),
        },
        _ => deck_pages::compare(&site, &view).into_response(),
    }
}

async fn all_jobs(State(shared): State<Shared>) -> Response {
    let answer = shared.source.jobs().await;
    answered(&answer, jobs::list(&shared.source.site(), &answer))
}

fn no_job(site: &str) -> Response {
    (StatusCode::NOT_FOUND, deck_pages::missing(site, "There is no job of that name (any more).")).into_response()
}

async fn job(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(ask): Query<JobAsk>,
) -> Response {
    let site = shared.source.site();
    match shared.source.job(id, ask.clone()).await {
        Ok(Some(view)) => jobs::job(&site, &view, &ask, &shared.access.form_token(&headers)).into_response(),
        Ok(None) => no_job(&site),
        Err(error) => said(&site, "Job", &error),
    }
}

async fn state(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match shared.source.job_progress(id).await {
        Ok(Some(progress)) => {
            Json(serde_json::json!({ "state": progress.state.word(), "stage": jobs::stage(&progress) })).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (status(&error), error.to_string()).into_response(),
    }
}

async fn read(shared: State<Shared>, headers: HeaderMap, id: Path<String>, form: Posted<Form>) -> Response {
    act(shared, headers, id, form, false).await
}

async fn write(shared: State<Shared>, headers: HeaderMap, id: Path<String>, form: Posted<Form>) -> Response {
    act(shared, headers, id, form, true).await
}

/// Reads the file of a job again with other answers, or writes what was previewed.
async fn act(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Posted(mut form): Posted<Form>,
    write: bool,
) -> Response {
    let site = shared.source.site();
    let token = form.remove("form_token").unwrap_or_default();
    if !shared.access.form_allowed(&headers, &token) {
        let page =
            layout::page(&site, layout::Room::Decks, "Job", layout::trouble(&SourceError::Wrong(NO_TOKEN.to_owned())));
        return (StatusCode::FORBIDDEN, page).into_response();
    }
    match shared.source.job_act(id.clone(), form, write).await {
        Ok(true) => see(&format!("/jobs/{id}")),
        Ok(false) => no_job(&site),
        Err(error) => said(&site, "Job", &error),
    }
}
