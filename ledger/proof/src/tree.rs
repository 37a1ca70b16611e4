//! The Merkle tree over a stream (docs/reference/proof.md, frozen): RFC 9162 section 2.1 with BLAKE3, and what its leaves
//! are. Every leaf of an item carries a salt, so that nobody finds a neighbour's item by trying.

use crate::hex::Hash;

const ITEM: u8 = 0;
const NODE: u8 = 1;
const FRAME: u8 = 2;
/// Context under which a frame's bytes give the key of its salts.
const SALT: &str = "tandem.proof.salt.v1";

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    Hash(*hasher.finalize().as_bytes())
}

/// Leaf of an item: its salt, the fingerprint of its schema, its public bytes.
pub fn item_leaf(salt: &Hash, schema: &[u8; 8], item: &[u8]) -> Hash {
    hash(&[&[ITEM], &salt.0, schema, item])
}

/// Leaf of a frame: its sequence, its hash, the root over its items.
pub fn frame_leaf(seq: u64, frame: &Hash, items: &Hash) -> Hash {
    hash(&[&[FRAME], &seq.to_le_bytes(), &frame.0, &items.0])
}

/// Salts of one frame: whoever has the frame's bytes comes to them, and nobody else.
pub struct Salts([u8; 32]);

impl Salts {
    /// By the Avro body of the frame.
    pub fn of(body: &[u8]) -> Self {
        Self(blake3::derive_key(SALT, body))
    }

    /// Of the item at this place.
    pub fn item(&self, index: u32) -> Hash {
        self.salt(&index.to_le_bytes())
    }

    /// Of the totals in a certificate whose last frame this is.
    pub fn totals(&self) -> Hash {
        self.salt(b"totals")
    }

    fn salt(&self, of: &[u8]) -> Hash {
        Hash(*blake3::keyed_hash(&self.0, of).as_bytes())
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[NODE], &left.0, &right.0])
}

/// Where a tree of so many leaves is divided: the largest power of two below.
fn half(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

/// Root over leaves; that of none is the hash of nothing.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => hash(&[]),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(half(many.len()));
            node(&root(left), &root(right))
        }
    }
}

/// What beside a leaf is needed to come to the root, from the leaf up; `None` where there is no such leaf.
pub fn path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    descend(leaves, index, &mut path);
    Some(path)
}

fn descend(leaves: &[Hash], index: usize, path: &mut Vec<Hash>) {
    if leaves.len() <= 1 {
        return;
    }
    let (left, right) = leaves.split_at(half(leaves.len()));
    if index < left.len() {
        descend(left, index, path);
        path.push(root(right));
    } else {
        descend(right, index - left.len(), path);
        path.push(root(left));
    }
}

/// The root that a leaf at `index` of `leaves` comes to by a path; `None` where the path is too long or too short for
/// that place.
pub fn root_by_path(leaf: Hash, index: u64, leaves: u64, path: &[Hash]) -> Option<Hash> {
    if index >= leaves {
        return None;
    }
    let (mut at, mut last, mut here) = (index, leaves - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            here = node(beside, &here);
            while at % 2 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            here = node(&here, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_tree_comes_to_its_root_by_its_path_only() {
        let leaves: Vec<Hash> = (0..70u32).map(|n| item_leaf(&Hash([7; 32]), &[1; 8], &n.to_le_bytes())).collect();
        for size in 1..=leaves.len() {
            let tree = &leaves[..size];
            for (index, leaf) in tree.iter().enumerate() {
                let way = path(tree, index).unwrap();
                let by = |leaf, index, way: &[Hash]| root_by_path(leaf, index, size as u64, way);
                assert_eq!(by(*leaf, index as u64, &way), Some(root(tree)), "{index} of {size}");
                assert_ne!(by(leaves[(index + 1) % 70], index as u64, &way), Some(root(tree)));
                if size > 1 {
                    assert_ne!(by(*leaf, ((index + 1) % size) as u64, &way), Some(root(tree)));
                    assert_ne!(by(*leaf, index as u64, &way[1..]), Some(root(tree)));
                }
                let mut longer = way.clone();
                longer.push(Hash([0; 32]));
                assert_eq!(by(*leaf, index as u64, &longer), None);
            }
            assert_eq!(path(tree, size), None);
        }
    }

    #[test]
    fn a_salt_is_another_one_for_every_item_and_every_frame() {
        let (a, b) = (Salts::of(b"a"), Salts::of(b"b"));
        let salts = [a.item(0), a.item(1), b.item(0), a.totals()];
        for (n, salt) in salts.iter().enumerate() {
            assert!(!salts[..n].contains(salt) && salt.0 != *blake3::hash(b"a").as_bytes());
        }
    }
}
