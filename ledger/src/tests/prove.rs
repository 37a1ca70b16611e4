//! Certificates and proofs: a customer can check his own, nobody else's is shown, and what is changed is found.

use super::world::*;
use crate::orders::Orders;
use crate::prove::{ProveError, Prover, Wish};
use crate::{Follower, LedgerView, Page};
use facts::ids::XdrId;
use proof::{Bytes, Certificate, Fault, KNOWN_ITEMS, Proof, check};
use std::path::Path;
use std::sync::Arc;

struct Site {
    bus: Arc<dyn bus::Bus>,
    ledger: Running,
    prover: Prover,
}

impl Site {
    fn start(folder: &Path) -> Self {
        let bus = embedded(&folder.join("bus"));
        let ends = rate(&*bus, &busy_site());
        let ledger = Running::start(options(bus.clone(), folder));
        ledger.booked(&ends);
        let prover = Prover::new(bus.clone(), ids(), ledger.door.view.clone(), folder.to_path_buf());
        Self { bus, ledger, prover }
    }

    fn orders(&self) -> Option<&Orders> {
        Some(&self.ledger.door.orders)
    }

    /// Every entry that is about a priced side.
    fn sides(&self) -> Vec<crate::EntryRow> {
        let page = Page { limit: 1000, ..Page::default() };
        let rows = self.ledger.door.view.entries(&Default::default(), &page).unwrap().entries;
        rows.into_iter().filter(|row| row.xdr_id.is_some()).collect()
    }
}

fn wish(side: &crate::EntryRow) -> Wish {
    Wish { xdr: side.xdr_id.unwrap(), call: side.call_id, with_others: false }
}

#[test]
fn whoever_checks_proofs_knows_the_layout_of_the_items_that_are_written_today() {
    assert!(
        KNOWN_ITEMS.contains(&Bytes(schemas::ledger::ITEMS.to_vec()).to_string().as_str()),
        "entries of schema {} are read by proof::read_entry: add it to KNOWN_ITEMS where its entries did not change",
        Bytes(schemas::ledger::ITEMS.to_vec())
    );
}

#[test]
fn every_side_is_proved_with_all_its_entries_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let certificate = site.prover.certify(site.orders()).unwrap();
    let key = site.prover.public_key().unwrap();
    assert_eq!(certificate.check(&key), Ok(()));
    let sides = site.sides();
    assert!(sides.len() > 30);
    let (mut revised, mut moved) = (0, 0);
    for side in &sides {
        let xdr = side.xdr_id.unwrap();
        let wish = wish(side);
        let proof = match site.prover.prove(&wish, site.orders()) {
            // Its call was booked to "unidentified" before: not shown unless somebody says so.
            Err(ProveError::Others { accounts, .. }) => {
                assert_eq!(accounts, "acme, unidentified");
                moved += 1;
                site.prover.prove(&Wish { with_others: true, ..wish }, site.orders()).unwrap()
            }
            proof => proof.unwrap(),
        };
        assert_eq!(proof.certificate, certificate.without_books(), "the certificate that is there is used");
        let without = Wish { xdr, call: None, with_others: true };
        assert_eq!(proof, site.prover.prove(&without, site.orders()).unwrap(), "with its call or without");
        let checked = check(&proof, &key).unwrap();
        let own: Vec<_> = sides.iter().filter(|other| other.xdr_id == side.xdr_id).collect();
        assert_eq!(checked.entries.len(), own.len());
        revised += usize::from(own.len() > 1);
        for (shown, row) in checked.entries.iter().zip(own) {
            assert_eq!((shown.kind, shown.account.as_str()), (row.kind.as_str(), row.account.as_str()));
            assert_eq!(shown.origin_id, row.origin_id.to_string());
            for (shown, row) in shown.postings.iter().zip(&row.postings) {
                let (amount, gl) = (row.amount.to_string(), row.gl.as_str());
                assert_eq!((shown.amount.parse::<facts::Amount>().unwrap().to_string(), shown.gl), (amount, gl));
            }
        }
        let text = serde_json::to_string(&proof).unwrap();
        for other in sides.iter().filter(|other| other.xdr_id != side.xdr_id) {
            let of_other = Bytes(other.origin_id.0.to_vec()).to_string();
            assert!(!text.contains(&of_other), "the proof of {} shows an entry of {}", side.account, other.account);
        }
    }
    assert!(revised > 0 && moved > 0, "sides with several revisions and accounts are among them");
    let unknown = Wish { xdr: XdrId([7; 16]), call: None, with_others: false };
    assert!(matches!(site.prover.prove(&unknown, site.orders()), Err(ProveError::Unknown(_))));
}

#[test]
fn a_changed_proof_does_not_stand_whatever_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let key = site.prover.public_key().unwrap();
    let side = &site.sides()[3];
    let proof = site.prover.prove(&wish(side), site.orders()).unwrap();
    assert!(check(&proof, &key).is_ok());
    let mut changes: Vec<(&str, Proof)> = Vec::new();
    let mut change = |name, change: &dyn Fn(&mut Proof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        assert_ne!(changed, proof, "{name}");
        changes.push((name, changed));
    };
    for byte in 0..proof.entries[0].item.0.len() {
        change("item", &|p| p.entries[0].item.0[byte] ^= 1);
    }
    change("salt", &|p| p.entries[0].salt.0[0] ^= 1);
    change("frame hash", &|p| p.entries[0].frame_hash.0[0] ^= 1);
    change("frame", &|p| p.entries[0].seq += 1);
    change("no frame", &|p| p.entries[0].seq = 0);
    change("index", &|p| p.entries[0].index += 1);
    change("items", &|p| p.entries[0].items += 64);
    change("item path", &|p| p.entries[0].item_path[0].0[0] ^= 1);
    change("frame path", &|p| p.entries[0].frame_path[0].0[0] ^= 1);
    change("a shorter path", &|p| p.entries[0].frame_path.truncate(1));
    change("schema", &|p| p.entries[0].item_schema.0[0] ^= 1);
    change("twice", &|p| p.entries.push(p.entries[0].clone()));
    change("none", &|p| p.entries.clear());
    change("xdr", &|p| p.xdr_id = "00".repeat(16));
    change("tree root", &|p| p.certificate.tree_root.0[0] ^= 1);
    change("frames", &|p| p.certificate.seq += 1);
    for (name, changed) in &changes {
        let fault = check(changed, &key).expect_err(name);
        assert!(!fault.to_string().is_empty());
    }
    let other = proof::SigningKey::from_seed(&[1; 32]).unwrap().public();
    assert!(matches!(check(&proof, &other), Err(Fault::Certificate(_))));
}

#[test]
fn certificates_of_a_follower_of_a_restarted_site_and_of_a_damaged_cache_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let first = site.prover.certify(site.orders()).unwrap();
    let Site { bus, ledger, prover } = site;
    ledger.stop().unwrap();
    let (_follower, view) = Follower::open(bus.clone(), &ids(), "main", config(), None).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let reader = Prover::new(bus.clone(), ids(), view.clone(), elsewhere.path().to_path_buf());
    let followed = reader.certify(None).unwrap();
    // The certificate in the stream is the one frame more.
    assert_eq!(followed.seq, first.seq + 1);
    assert_eq!(followed.state_root, first.state_root);
    assert_eq!(followed.books.as_ref().unwrap().lines, first.books.as_ref().unwrap().lines);
    assert_ne!(followed.key, first.key, "another data folder has another key");
    let cache = folder.path().join("proofs/ledger.main.leaves");
    let whole = std::fs::read(&cache).unwrap();
    let again = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        std::fs::write(&cache, &bytes).unwrap();
        let prover = Prover::new(bus.clone(), ids(), view.clone(), folder.path().to_path_buf());
        let certificate = prover.certify(None).unwrap();
        assert_eq!((certificate.tree_root, certificate.hash), (followed.tree_root, followed.hash));
        assert_eq!(certificate.key, first.key, "the key stays");
    };
    for byte in (0..whole.len()).step_by(whole.len() / 20) {
        again(&|bytes| bytes[byte] ^= 0x10);
        again(&|bytes| bytes.truncate(byte));
    }
    again(&|bytes| bytes.extend_from_slice(&[0; 72]));
    drop(prover);
}

#[test]
fn a_certificate_of_another_ledger_is_refused_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let side = &site.sides()[0];
    let mut forged = site.prover.certify(site.orders()).unwrap();
    forged.tree_root.0[0] ^= 1;
    let path = site.prover.certificates().unwrap().pop().unwrap().0;
    std::fs::write(&path, serde_json::to_vec(&forged).unwrap()).unwrap();
    let error = site.prover.prove(&wish(side), site.orders()).unwrap_err();
    assert!(matches!(&error, ProveError::OtherLedger { path: named, .. } if *named == path), "{error}");
    let empty = Certificate { seq: 0, ..forged };
    assert!(empty.check(&site.prover.public_key().unwrap()).is_err());
}

#[test]
fn a_key_that_others_may_read_is_refused_and_one_that_is_lost_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path());
    let key = site.prover.public_key().unwrap();
    let path = folder.path().join("keys/certificate.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(site.prover.public_key().unwrap(), key);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = site.prover.public_key().unwrap_err().to_string();
    assert!(error.contains("others may read it"), "{error}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "").unwrap();
    let error = site.prover.public_key().unwrap_err().to_string();
    assert!(error.contains("holds no key"), "{error}");
}
