//! Compiled tariffs, shared by all partitions of the process: a deck of a million prefixes stands in memory once.

use facts::config::{Config, DeckRoot};
use rating::{CompiledDeck, DeckBuilder, Tariffs};
use std::sync::{Arc, Mutex, PoisonError};

/// Decks compiled so far, by their roots. A root names its rows by content, so an equal root is an equal deck.
#[derive(Default)]
pub struct DeckCache {
    decks: Vec<(DeckRoot, Arc<CompiledDeck>)>,
    /// The last configuration compiled; partitions that follow the same one share the result.
    last: Option<(Arc<Config>, Arc<Tariffs>)>,
}

/// One cache a process: partitions are threads of it, and each would hold the same decks otherwise.
static SHARED: Mutex<DeckCache> = Mutex::new(DeckCache { decks: Vec::new(), last: None });

/// The tariffs of a configuration, compiled at most once per process while it is in force.
pub fn tariffs_of(config: &Arc<Config>) -> Arc<Tariffs> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner).tariffs(config)
}

impl DeckCache {
    pub fn tariffs(&mut self, config: &Arc<Config>) -> Arc<Tariffs> {
        if let Some((known, tariffs)) = &self.last
            && Arc::ptr_eq(known, config)
        {
            return tariffs.clone();
        }
        let mut used = Vec::new();
        let tariffs = Tariffs::compile(config, &mut |root| {
            let known = self.decks.iter().find(|(known, _)| known == root).map(|(_, deck)| deck.clone());
            let deck = match known {
                Some(deck) => deck,
                None => Arc::new(compile(config, root)?),
            };
            used.push((root.clone(), deck.clone()));
            Some(deck)
        });
        for problem in tariffs.problems() {
            tracing::warn!(config_seq = config.seq, "{problem}");
        }
        let tariffs = Arc::new(tariffs);
        // Older decks stay only as long as somebody rates by them.
        self.decks = used;
        self.last = Some((config.clone(), tariffs.clone()));
        tariffs
    }
}

fn compile(config: &Config, root: &DeckRoot) -> Option<CompiledDeck> {
    let refused = |why: &dyn std::fmt::Display| {
        tracing::error!(deck = %root.id, version = root.version, "{why}; calls by this deck are unrated: no_deck");
    };
    let mut builder = DeckBuilder::of_root(root).map_err(|error| refused(&error)).ok()?;
    for hash in &root.chunks {
        let bytes = |hash: &[u8; 32]| config.chunks.get(hash).map(|bytes| &**bytes);
        let rows = schemas::deck_rows::rows(hash, &bytes).map_err(|error| refused(&error)).ok()?;
        for row in &rows {
            builder.push(row).map_err(|error| refused(&error)).ok()?;
        }
    }
    Some(builder.finish())
}
