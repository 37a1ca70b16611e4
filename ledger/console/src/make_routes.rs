//! Addresses of the pages that make decks: the recipe, a carrier's names, an older version back. Each begins a job; what is
//! written goes the way of every other preview.

use crate::decks as deck_pages;
use crate::import_routes::{NO_TOKEN, said, see};
use crate::jobs::Form;
use crate::make;
use crate::routes::{Shared, answered, status};
use axum::Router;
use axum::extract::{Form as Posted, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

/// The addresses; login and headers are the caller's part.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/deck-make", get(recipe_form).post(make_deck))
        .route("/deck-names", get(names_form))
        .route("/decks/{deck}/rollback", get(rollback))
        .route("/jobs/{id}/why.csv", get(reasons))
}

async fn recipe_form(State(shared): State<Shared>, headers: HeaderMap, Query(form): Query<Form>) -> Response {
    let answer = shared.source.make_form(form.get("deck").cloned().unwrap_or_default()).await;
    let token = shared.access.form_token(&headers);
    answered(&answer, make::recipe(&shared.source.site(), &form, "", &answer, &token))
}

async fn make_deck(State(shared): State<Shared>, headers: HeaderMap, Posted(mut form): Posted<Form>) -> Response {
    let token = form.remove("form_token").unwrap_or_default();
    let made = match shared.access.form_allowed(&headers, &token) {
        true => shared.source.make_deck(form.clone()).await.map_err(|error| (status(&error), error.to_string())),
        false => Err((StatusCode::FORBIDDEN, NO_TOKEN.to_owned())),
    };
    match made {
        Ok(job) => see(&format!("/jobs/{job}")),
        Err((code, wrong)) => {
            let answer = shared.source.make_form(String::new()).await;
            let token = shared.access.form_token(&headers);
            (code, make::recipe(&shared.source.site(), &form, &wrong, &answer, &token)).into_response()
        }
    }
}

async fn names_form(State(shared): State<Shared>, headers: HeaderMap, Query(form): Query<Form>) -> Response {
    let answer = shared.source.make_form(form.get("deck").cloned().unwrap_or_default()).await;
    let token = shared.access.form_token(&headers);
    answered(&answer, make::names(&shared.source.site(), &form, "", &answer, &token))
}

#[derive(Deserialize)]
struct To {
    to: u32,
}

async fn rollback(State(shared): State<Shared>, Path(deck): Path<String>, Query(To { to }): Query<To>) -> Response {
    match shared.source.rollback(deck, to).await {
        Ok(job) => see(&format!("/jobs/{job}")),
        Err(error) => said(&shared.source.site(), "Bring a version back", &error),
    }
}

async fn reasons(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let site = shared.source.site();
    match shared.source.job_reasons(id).await {
        Ok(Some(bytes)) => {
            let name = "attachment; filename=\"why.csv\"";
            let kind = "text/csv; charset=utf-8";
            ([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], bytes).into_response()
        }
        Ok(None) => (StatusCode::NOT_FOUND, deck_pages::missing(&site, "That job has made no prices.")).into_response(),
        Err(error) => said(&site, "Job", &error),
    }
}
