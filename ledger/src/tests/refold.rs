//! The second fold: a ledger as it should be is left in peace, and a balance that went wrong in memory is alarmed.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::orders::payment;
use super::world::*;
use crate::refold::{Refold, Refolded};
use crate::{LedgerOptions, Order};

/// Compares until that says what is waited for.
fn until(refold: &Refold, wanted: impl Fn(&Refolded) -> bool) -> Refolded {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        refold.compare(false, &AtomicBool::new(false)).unwrap();
        let found = refold.found();
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_balance_that_is_wrong_in_memory_is_alarmed_with_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let snapshot_every = Duration::from_millis(50);
    let options = LedgerOptions { snapshot_every, certificate_frames: u64::MAX, ..options(bus.clone(), folder.path()) };
    let ledger = Running::start(options);
    let booked = ledger.booked(&ends);
    let refold = Refold::new(bus, ids(), "main", folder.path());
    let found = until(&refold, |found| found.seq >= booked.seq);
    assert_eq!(found.unequal, None);
    // The log goes on: compared from the last snapshot that was right.
    let order = |n: u32| Order::Pay(payment(&format!("p{n}"), "acme", "5"));
    let receipt = ledger.door.orders.place(order(1)).unwrap();
    assert_eq!(until(&refold, |found| found.seq >= receipt.seq).unequal, None);
    // Memory goes bad: money that stands in no frame.
    let row = ledger.door.view.entries_of_frame(receipt.seq).unwrap().remove(0);
    let mut bad = row.clone();
    bad.origin_id.0[0] ^= 1;
    ledger.door.view.shared().fold().book.apply_entry(at(1, 0), &bad).unwrap();
    ledger.door.orders.place(order(2)).unwrap();
    let found = until(&refold, |found| found.unequal.is_some());
    let why = found.unequal.unwrap();
    assert!(why.contains("of acme") && why.contains("stop the process"), "{why}");
    assert!(found.since.is_some() && found.seq >= receipt.seq);
}
