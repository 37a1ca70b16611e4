//! What the views say: pages, entries of a call, HTTP.

use facts::CallId;
use facts::entry::EntryKind;

use super::orders::payment;
use super::world::*;
use crate::http::{Ledger, router};
use crate::{EntryFilter, LedgerOptions, LedgerView, Page};

/// Rows of all pages as (seq, index).
fn all(view: &dyn LedgerView, filter: &EntryFilter, limit: usize, newest_first: bool) -> Vec<(u64, u32)> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = view.entries(filter, &Page { after, limit, newest_first }).unwrap();
        assert!(page.entries.len() <= limit);
        rows.extend(page.entries.into_iter().map(|row| (row.seq, row.index)));
        assert!(page.next.is_none() || page.next != after, "the same page again");
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

#[test]
fn every_entry_is_on_exactly_one_page_in_both_directions() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let mut whole: Vec<Vec<(u64, u32)>> = Vec::new();
    // First with all of the history, then with so little that most is read from the log.
    for history_max in [1_000_000, 20] {
        let ledger = Running::start(LedgerOptions { history_max, ..options(bus.clone(), &folder.path().join("x")) });
        let status = ledger.booked(&ends);
        let view = &*ledger.door.view;
        for account in [None, Some("acme"), Some("carrier-x"), Some("unidentified"), Some("nobody")] {
            let filter = EntryFilter { account: account.map(Into::into), ..EntryFilter::default() };
            let forward = all(view, &filter, 1000, false);
            assert!(forward.is_sorted());
            assert_eq!(all(view, &filter, 7, false), forward, "{account:?}");
            let mut backward = all(view, &filter, 7, true);
            backward.reverse();
            assert_eq!(backward, forward, "{account:?}");
            match account {
                None => assert_eq!(forward.len() as u64, status.entries.iter().sum::<u64>()),
                Some("nobody") => assert_eq!(forward, []),
                Some(_) => assert!(!forward.is_empty()),
            }
            whole.push(forward);
        }
        assert_eq!(all(view, &EntryFilter { kind: Some(EntryKind::Refund), ..EntryFilter::default() }, 5, false), []);
    }
    assert_eq!(whole[..5], whole[5..]);
}

#[test]
fn orders_are_found_by_kind_without_reading_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let ledger = Running::start(options(bus, folder.path()));
    ledger.booked(&ends);
    for n in 0..9 {
        let kind = if n % 3 == 0 { EntryKind::Correction } else { EntryKind::Payment };
        let order = crate::Payment { kind, reason: "test".into(), ..payment(&n.to_string(), "acme", "1") };
        ledger.door.orders.place(crate::Order::Pay(order)).unwrap();
    }
    for (kind, count) in [(EntryKind::Payment, 6), (EntryKind::Correction, 3), (EntryKind::Refund, 0)] {
        let filter = EntryFilter { kind: Some(kind), ..EntryFilter::default() };
        for newest_first in [false, true] {
            assert_eq!(all(&*ledger.door.view, &filter, 2, newest_first).len(), count);
        }
    }
}

#[test]
fn a_call_shows_all_its_revisions_with_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let ledger = Running::start(options(bus.clone(), folder.path()));
    ledger.booked(&ends);
    let rows = |key: &str| ledger.door.view.entries_for_call(CallId::new("test", "sw1", key)).unwrap();
    let first: Vec<_> =
        rows("c1").iter().map(|row| (row.account.to_string(), row.source.clone().unwrap().seq)).collect();
    assert_eq!(first, [("acme".into(), 1), ("carrier-x".into(), 1), ("acme".into(), 6)]);
    let twice: Vec<_> = rows("twice").iter().map(|row| row.postings[0].amount.to_string()).collect();
    assert_eq!(twice, ["2", "1"]);
    assert_eq!(rows("nothing"), []);
}

#[test]
fn http_answers_as_the_view_does() {
    let folder = tempfile::tempdir().unwrap();
    let bus = embedded(&folder.path().join("bus"));
    let ends = rate(&*bus, &busy_site());
    let running = Running::start(options(bus.clone(), folder.path()));
    running.booked(&ends);
    let ledger = Ledger { view: running.door.view.clone(), orders: Some(running.door.orders.clone()) };
    let app = router(ledger, |_, router| router);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, app).await });
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let ask = |method: &str, path: &str, body: &str| {
        let url = format!("http://{address}{path}");
        let mut response = match method {
            "GET" => agent.get(&url).call().unwrap(),
            _ => agent.post(&url).header("content-type", "application/json").send(body).unwrap(),
        };
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default())
    };
    let (status, balance) = ask("GET", "/v1/ledger/balances/acme", "");
    assert_eq!((status, balance[0]["currency"].as_str()), (200, Some("EUR")));
    assert_eq!(ask("GET", "/v1/ledger/balances/nobody", "").0, 404);
    let (status, page) = ask("GET", "/v1/ledger/entries?account=acme&limit=2", "");
    assert_eq!((status, page["entries"].as_array().unwrap().len()), (200, 2));
    let after = format!("{}/{}", page["next"]["seq"], page["next"]["index"]);
    assert_eq!(ask("GET", &format!("/v1/ledger/entries?account=acme&limit=2&after={after}"), "").0, 200);
    assert_eq!(ask("GET", "/v1/ledger/entries?after=x", "").0, 400);
    assert_eq!(ask("GET", "/v1/ledger/entries?wrong=x", "").0, 400);
    let call = CallId::new("test", "sw1", "c1");
    let (status, rows) = ask("GET", &format!("/v1/ledger/calls/{call}/entries"), "");
    assert_eq!((status, rows.as_array().unwrap().len()), (200, 3));
    let order = r#"{"pay":{"id":"b1","kind":"payment","account":"acme","amount":"5.25","currency":"EUR","occurred_at":0,"by":"fay"}}"#;
    let (status, receipt) = ask("POST", "/v1/ledger/orders", order);
    assert_eq!((status, receipt["repeated"].as_bool()), (200, Some(false)));
    assert_eq!(ask("POST", "/v1/ledger/orders", order).1["repeated"].as_bool(), Some(true));
    let (status, error) = ask("POST", "/v1/ledger/orders", &order.replace("5.25", "5.26"));
    assert_eq!((status, error["code"].as_str()), (409, Some("id_reused")));
    let (status, shown) = ask("GET", "/v1/ledger/status", "");
    assert_eq!((status, shown["in_flight"].as_u64()), (200, Some(0)));
    assert_eq!(ask("GET", "/v1/ledger/trial-balance", "").0, 200);
    assert_eq!(ask("GET", "/v1/ledger/totals", "").0, 200);
}
