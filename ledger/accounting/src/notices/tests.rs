//! Tests of notices about vendors; those about thresholds stand with `authorise`.

use super::*;
use crate::authorise::tests_support::config;
use crate::pay::{Payment, entry_for};
use facts::entry::{EntryKind, LedgerItem};
use facts::xdr::Position;
use facts::{Currency, Side};

const NOW: i64 = 1_700_000_000_000_000;

struct World {
    book: Book,
    config: Config,
    watch: Watch,
    seq: u64,
}

impl World {
    fn order(&mut self, kind: EntryKind, amount: &str) {
        self.seq += 1;
        let order = Payment {
            id: format!("p{}", self.seq).into(),
            kind,
            account: "acme".into(),
            side: Side::Buy,
            amount: amount.parse().unwrap(),
            currency: Currency::new("USD").unwrap(),
            occurred_at: OccurredAt(NOW),
            by: "fay".into(),
            reason: "test".into(),
            adjusts: None,
            product: "".into(),
            destination: "".into(),
        };
        let entry = entry_for(&order, self.config.accounts.get("acme")).unwrap();
        self.book.apply(Position { seq: self.seq, index: 0 }, &LedgerItem::Entry(Box::new(entry))).unwrap();
    }

    fn look(&mut self, hours: i64) -> Vec<String> {
        let told = self.watch.vendors(&self.book, &self.config, 3, OccurredAt(NOW + hours * HOUR));
        told.iter().map(|x| format!("{} {} {} {:?}", x.account, x.value, x.threshold, x.days)).collect()
    }
}

#[test]
fn a_vendor_that_runs_dry_is_told_of_once_with_its_days_until_it_is_paid() {
    let mut world = World { book: Book::new(), config: config(), watch: Watch::default(), seq: 0 };
    // Paid ahead 900 beside the limit of 100, and 30 an hour is bought: 720 a day, so 1.39 days are left and less.
    world.order(EntryKind::Payment, "900");
    assert!(world.look(0).is_empty());
    let mut told = Vec::new();
    for hour in 1..=4 {
        world.order(EntryKind::Correction, "30");
        told.push(world.look(hour).join(";"));
    }
    assert_eq!(told, ["acme 970 2160 Some(1)", "", "", ""], "once");
    // Money for a week: no longer so, and told again when it is so again.
    world.order(EntryKind::Payment, "5000");
    assert!(world.look(5).is_empty());
    world.order(EntryKind::Correction, "5000");
    assert_eq!(world.look(6).len(), 1);
    assert!(world.watch.vendors(&world.book, &world.config, 0, OccurredAt(NOW + 9 * HOUR)).is_empty(), "turned off");
}
