//! Chunks that say only what differs from another chunk. A carrier changes a few rows in a hundred, all over the deck:
//! a version costs these rows and not the chunks they stand in. Never changes what a chunk of whole rows looks like.

use super::{Chunk, Names, RowTooLarge, addressed, cut, rate_to_facts, rate_to_wire};
use crate::error::{DecodeError, Problem};
use crate::wire;
use facts::Prefix;
use facts::deck::Rate;
use smol_str::SmolStr;

/// An Avro single object: these two bytes, the schema's fingerprint, the body. A chunk of whole rows begins with the
/// count of its names, never with a negative one, which the first byte would be.
const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];
const MARK_BYTES: usize = SINGLE_OBJECT.len() + 8;
/// Patches may weigh so many times the chunk's whole rows together; then these are written anew. A thousand versions
/// of 1 % are three times whole rows and ten times the changes; reading one takes at most four times as long.
const WEIGHT_MAX: usize = 3;
/// Longest chain of patches.
const DEPTH_MAX: usize = 1_000;

/// Why a chunk's rows cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChunkError {
    #[error("chunk {} is not there", short(.0))]
    Missing([u8; 32]),
    #[error("chunk {}: {source}", short(.chunk))]
    Decode { chunk: [u8; 32], source: DecodeError },
    #[error("chunk {} is a patch of more than 1000 patches or of rows that its base does not have", short(.0))]
    Patch([u8; 32]),
}

fn short(hash: &[u8; 32]) -> String {
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The body of a patch; `None` = whole rows.
fn patch_body(bytes: &[u8]) -> Option<&[u8]> {
    let fingerprint = bytes.strip_prefix(&SINGLE_OBJECT)?;
    fingerprint.strip_prefix(&wire::DECK_PATCH_V1)
}

/// A chunk with everything that it is laid onto.
struct Chain<'a> {
    hash: [u8; 32],
    /// Address of the whole rows at the bottom.
    bottom: [u8; 32],
    base: wire::DeckRows<'a>,
    /// From the bottom up.
    patches: Vec<wire::DeckPatch<'a>>,
    /// Bytes of the patches.
    weight: u64,
}

impl<'a> Chain<'a> {
    fn open(hash: &[u8; 32], chunk: &dyn Fn(&[u8; 32]) -> Option<&'a [u8]>) -> Result<Self, ChunkError> {
        let (mut patches, mut weight, mut at) = (Vec::new(), 0, *hash);
        loop {
            let bytes = chunk(&at).ok_or(ChunkError::Missing(at))?;
            let decode = |source| ChunkError::Decode { chunk: at, source };
            let Some(body) = patch_body(bytes) else {
                patches.reverse();
                let base = wire::DeckRows::decode(bytes).map_err(decode)?;
                return Ok(Self { hash: *hash, bottom: at, base, patches, weight });
            };
            let patch: wire::DeckPatch<'a> = wire::DeckPatch::decode(body).map_err(decode)?;
            if patches.len() >= DEPTH_MAX {
                return Err(ChunkError::Patch(*hash));
            }
            at = patch.base;
            weight += bytes.len() as u64;
            patches.push(patch);
        }
    }

    /// Names that the rows of the topmost patch may refer to: the base's, then each patch's.
    fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.base.destinations.iter().chain(self.patches.iter().flat_map(|patch| &patch.destinations)).copied()
    }

    fn rates(&self) -> Result<Vec<Rate>, ChunkError> {
        let names: Vec<SmolStr> = self.names().map(SmolStr::new).collect();
        // Rows stay where they were decoded; what is laid on one another are their places.
        let mut layers: Vec<Vec<&wire::Rate<'_>>> = vec![self.base.rates.iter().collect()];
        let mut places: Vec<(u32, u32)> = (0..self.base.rates.len() as u32).map(|row| (0, row)).collect();
        for patch in &self.patches {
            places = laid_on(&places, patch, layers.len() as u32).ok_or(ChunkError::Patch(self.hash))?;
            layers.push(patch.edits.iter().flat_map(|edit| &edit.rates).collect());
        }
        let row = |&(layer, row): &(u32, u32)| {
            let rate = layers.get(layer as usize).and_then(|rates| rates.get(row as usize))?;
            Some(rate_to_facts(rate, names.get(rate.destination as usize)?.clone()))
        };
        let rates = places.iter().map(row).collect::<Option<Vec<Rate>>>();
        rates.ok_or_else(|| ChunkError::Decode {
            chunk: self.bottom,
            source: DecodeError::new("Rate.destination", Problem::OutOfRange),
        })
    }
}

/// The rows of a chunk, patches laid on one another; `chunk` gives the bytes of an address.
pub fn rows<'a>(hash: &[u8; 32], chunk: &dyn Fn(&[u8; 32]) -> Option<&'a [u8]>) -> Result<Vec<Rate>, ChunkError> {
    Chain::open(hash, chunk)?.rates()
}

/// Places of the rows after a patch; `None` = it speaks of rows that are not there.
fn laid_on(places: &[(u32, u32)], patch: &wire::DeckPatch<'_>, layer: u32) -> Option<Vec<(u32, u32)>> {
    let mut laid = Vec::with_capacity(places.len());
    let (mut rest, mut row) = (places, 0);
    for edit in &patch.edits {
        let (kept, after) = rest.split_at_checked(edit.keep as usize)?;
        laid.extend_from_slice(kept);
        rest = after.get(edit.drop as usize..)?;
        for _ in &edit.rates {
            laid.push((layer, row));
            row += 1;
        }
    }
    laid.extend_from_slice(rest);
    Some(laid)
}

/// A deck's rows in chunks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Split {
    /// Every chunk's address, in the rows' order.
    pub root: Vec<[u8; 32]>,
    /// Those that were not there before.
    pub new: Vec<Chunk>,
}

/// Cuts a deck's rows as [`super::split`] does, reusing the chunks of an earlier version and writing patches of them
/// where that is much shorter. `chunk` gives the bytes of an address; a base that cannot be read is not used.
pub fn split_onto<'a>(
    rates: impl Iterator<Item = Rate>,
    base: &[[u8; 32]],
    chunk: &dyn Fn(&[u8; 32]) -> Option<&'a [u8]>,
) -> Result<Split, RowTooLarge> {
    let mut split = Split::default();
    let mut bases = Bases { next: base.iter(), chunk, current: None, ahead: None };
    cut(rates, &mut |rates| {
        let (hash, plain) = addressed(rates);
        if chunk(&hash).is_some() || split.new.iter().rev().take(4).any(|(known, _)| *known == hash) {
            split.root.push(hash);
            return;
        }
        let first = rates.first().map(|rate| rate.prefix).unwrap_or_default();
        match bases.patched(first, rates, plain.len()) {
            Some(Patched::Same(hash)) => split.root.push(hash),
            Some(Patched::New(patch)) => {
                split.root.push(patch.0);
                split.new.push(patch);
            }
            None => {
                split.root.push(hash);
                split.new.push((hash, plain));
            }
        }
    })?;
    Ok(split)
}

enum Patched {
    /// The base has these rows.
    Same([u8; 32]),
    New(Chunk),
}

/// Chunks of the earlier version, one decoded at a time.
struct Bases<'a, 'b> {
    next: std::slice::Iter<'b, [u8; 32]>,
    chunk: &'b dyn Fn(&[u8; 32]) -> Option<&'a [u8]>,
    current: Option<(Chain<'a>, Vec<Rate>)>,
    ahead: Option<(Chain<'a>, Vec<Rate>)>,
}

fn open<'a>(hash: &[u8; 32], chunk: &dyn Fn(&[u8; 32]) -> Option<&'a [u8]>) -> Option<(Chain<'a>, Vec<Rate>)> {
    let chain = Chain::open(hash, chunk).ok()?;
    let rates = chain.rates().ok()?;
    Some((chain, rates))
}

impl Bases<'_, '_> {
    /// Moves to the last chunk that begins at or before this code, and compares.
    fn patched(&mut self, first: Prefix, rates: &[Rate], plain: usize) -> Option<Patched> {
        loop {
            if self.ahead.is_none() {
                let chunk = self.chunk;
                self.ahead = self.next.find_map(|hash| open(hash, chunk));
            }
            let begins = self.ahead.as_ref().and_then(|(_, rates)| rates.first()).map(|rate| rate.prefix);
            let later = begins.is_none_or(|begins| begins > first);
            if later && (self.current.is_some() || begins.is_none()) {
                break;
            }
            self.current = self.ahead.take();
        }
        let (chain, old) = self.current.as_ref()?;
        if old == rates {
            return Some(Patched::Same(chain.hash));
        }
        let bytes = encode(chain, old, rates);
        let fits = chain.patches.len() < DEPTH_MAX
            && bytes.len() * 2 < plain
            && chain.weight.saturating_add(bytes.len() as u64) <= (plain * WEIGHT_MAX) as u64;
        fits.then(|| Patched::New((*blake3::hash(&bytes).as_bytes(), bytes)))
    }
}

fn encode(base: &Chain<'_>, old: &[Rate], new: &[Rate]) -> Vec<u8> {
    let mut names = Names::default();
    for name in base.names() {
        // A name that came twice keeps its first place.
        let next = names.list.len() as u32;
        names.known.entry(name).or_insert(next);
        names.list.push(name);
    }
    let known = names.list.len();
    let edits = edits(old, new, &mut names);
    let patch = wire::DeckPatch { base: base.hash, destinations: names.list.split_off(known), edits };
    let mut out = Vec::with_capacity(MARK_BYTES + 256);
    out.extend_from_slice(&SINGLE_OBJECT);
    out.extend_from_slice(&wire::DECK_PATCH_V1);
    patch.encode(&mut out);
    out
}

/// What leads from one sequence of rows to another; both as a rule in the order of a deck.
fn edits<'a>(old: &[Rate], new: &'a [Rate], names: &mut Names<'a>) -> Vec<wire::DeckEdit<'a>> {
    let key = |rate: &'a Rate| (rate.prefix, &rate.origin, &rate.time_band, rate.valid_from);
    let old_key = |rate: &Rate| (rate.prefix, rate.origin.clone(), rate.time_band.clone(), rate.valid_from);
    let mut edits: Vec<wire::DeckEdit<'a>> = Vec::new();
    let (mut a, mut b, mut keep, mut open) = (0, 0, 0, false);
    while a < old.len() || b < new.len() {
        let (dropped, added) = match (old.get(a), new.get(b)) {
            (Some(was), Some(is)) if was == is => {
                (a, b, keep, open) = (a + 1, b + 1, keep + 1, false);
                continue;
            }
            (Some(was), Some(is)) => {
                let was = old_key(was);
                match (was.0, &was.1, &was.2, was.3).cmp(&key(is)) {
                    std::cmp::Ordering::Less => (true, false),
                    std::cmp::Ordering::Equal => (true, true),
                    std::cmp::Ordering::Greater => (false, true),
                }
            }
            (was, is) => (was.is_some(), is.is_some()),
        };
        if !open {
            edits.push(wire::DeckEdit { keep, drop: 0, rates: Vec::new() });
            (keep, open) = (0, true);
        }
        let Some(edit) = edits.last_mut() else { continue };
        if dropped {
            edit.drop += 1;
            a += 1;
        }
        if added && let Some(rate) = new.get(b) {
            edit.rates.push(rate_to_wire(rate, names.index(rate)));
            b += 1;
        }
    }
    edits
}
