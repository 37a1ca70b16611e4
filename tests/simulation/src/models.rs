//! The rule of fences (design 7.1) and the rights of sites (8.3, 8.4) as small models, checked exhaustively: every order
//! in which a few owners or sites can act within the bounds. What decides in them is the product's own code,
//! `facts::stream::StreamState` and `accounting::credit::Site`; mistakes are made at its mouth, and must be found.

mod fences;
mod rights;

use stateright::{Checker, Model};

/// States of a model within its bounds, and the properties that are broken, each with the way there.
fn all<M>(model: M) -> (usize, Vec<(&'static str, String)>)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + std::hash::Hash + Send + Sync + PartialEq + 'static,
    M::Action: Clone + std::fmt::Debug + Send + Sync + PartialEq + 'static,
{
    let checked = model.checker().threads(2).spawn_bfs().join();
    let mut broken: Vec<(&'static str, String)> =
        checked.discoveries().into_iter().map(|(name, path)| (name, format!("{:?}", path.into_actions()))).collect();
    broken.sort();
    (checked.unique_state_count(), broken)
}

/// Larger bounds than the test command's.
fn night() -> bool {
    std::env::var_os("TANDEM_NIGHT").is_some()
}
