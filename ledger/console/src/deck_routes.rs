//! Addresses of the pages about decks. What they write goes the way of `tandem deck`; see `imports`.

use crate::decks::{self, RowsAsk, TimelineAsk};
use crate::layout;
use crate::routes::{Shared, answered, status};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The addresses; login and headers are the caller's part.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/decks", get(list))
        .route("/decks/{deck}", get(deck))
        .route("/decks/{deck}/timeline", get(timeline))
        .route("/decks/{deck}/{version}", get(rows))
        .route("/decks/{deck}/{version}/{prefix}", get(rate))
}

async fn list(State(shared): State<Shared>) -> Response {
    let answer = shared.source.decks().await;
    answered(&answer, decks::list(&shared.source.site(), &answer))
}

fn no_deck(site: &str, deck: &str) -> Response {
    (StatusCode::NOT_FOUND, decks::missing(site, &format!("There is no deck {deck:?}, or no such version.")))
        .into_response()
}

async fn deck(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let site = shared.source.site();
    match shared.source.deck(name.clone()).await {
        Ok(Some(view)) => decks::deck(&site, &view).into_response(),
        Ok(None) => no_deck(&site, &name),
        Err(error) => {
            (status(&error), layout::page(&site, layout::Room::Decks, "Deck", layout::trouble(&error))).into_response()
        }
    }
}

async fn rows(
    State(shared): State<Shared>,
    Path((deck, version)): Path<(String, u32)>,
    Query(ask): Query<RowsAsk>,
) -> Response {
    let site = shared.source.site();
    let answer = match shared.source.deck_rows(deck.clone(), version, ask.clone()).await {
        Ok(Some(view)) => Ok(view),
        Ok(None) => return no_deck(&site, &deck),
        Err(error) => Err(error),
    };
    answered(&answer, decks::rows(&site, &deck, version, &ask, &answer))
}

async fn timeline(
    State(shared): State<Shared>,
    Path(deck): Path<String>,
    Query(mut ask): Query<TimelineAsk>,
) -> Response {
    let site = shared.source.site();
    let answer = match shared.source.deck_timeline(deck.clone(), ask.code.clone(), ask.at.clone()).await {
        Ok(Some((newest, view))) => {
            ask.newest = newest;
            Ok(view)
        }
        Ok(None) => return no_deck(&site, &deck),
        Err(error) => Err(error),
    };
    answered(&answer, decks::timeline(&site, &deck, &ask, &answer))
}

async fn rate(State(shared): State<Shared>, Path((deck, version, prefix)): Path<(String, u32, String)>) -> Response {
    let site = shared.source.site();
    match shared.source.rate(deck.clone(), version, prefix.clone()).await {
        Ok(Some(view)) => crate::pages::rate(&site, &view, decks::rate_links(&deck, &prefix)).into_response(),
        Ok(None) => {
            let page = decks::missing(&site, "That deck version has no such code.");
            (StatusCode::NOT_FOUND, page).into_response()
        }
        Err(error) => {
            (status(&error), layout::page(&site, layout::Room::Decks, "Rate", layout::trouble(&error))).into_response()
        }
    }
}
