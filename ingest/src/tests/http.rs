//! `POST /v1/call-events` over a real socket.

use super::*;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

struct Server {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    fn start(ingest: &Ingest) -> Self {
        let router = ingest.router(Arc::new(|token| token == Some("secret")));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, runtime: Some(runtime) }
    }

    fn post(&self, query: &str, kind: &str, body: &[u8]) -> (u16, String) {
        self.send(query, kind, "Bearer secret", body)
    }

    fn send(&self, query: &str, kind: &str, authorization: &str, body: &[u8]) -> (u16, String) {
        let mut socket = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "POST /v1/call-events{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\nauthorization: {authorization}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        // A server that refuses the length need not read the body.
        let _ = socket.write_all(body);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

const JSON: &str = "application/json";

#[test]
fn events_are_answered_one_by_one_and_the_same_request_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, ingest) = start(folder.path());
    let server = Server::start(&ingest);
    let one = br#"{"switch":"edge-1","kind":"started","call_key":"c-1","occurred_at":"2023-07-01T10:00:00.250Z","called":"+43 1 52345","record_id":"e-1"}"#;
    let (status, answer) = server.post("", JSON, one);
    assert_eq!(status, 200, "{answer}");
    assert!(
        answer.starts_with(r#"{"accepted":1,"rejected":0,"items":[{"index":0,"status":"accepted","call_id":""#),
        "{answer}"
    );
    let batch = br#"[{"kind":"answered","call_key":"c-1","occurred_at":"2023-07-01T10:00:03Z","record_id":"e-2"},
        {"kind":"ended","call_key":"c-1","occurred_at":"yesterday"},
        {"kind":"ended","call_key":"c-1","occurred_at":"2023-07-01T10:00:09Z"},
        {"kind":"ended","call_key":"c-1","occurred_at":"2023-07-01T10:00:09Z"},
        {"kind":"ended","call_key":"c-1","occurred_at":"2023-07-01T10:00:09Z","colour":"red"},
        {"kind":"ended","switch":"other","call_key":"c-1","occurred_at":"2023-07-01T10:00:09Z"}]"#;
    for _ in 0..2 {
        let (status, answer) = server.post("?switch=edge-1", JSON, batch);
        assert_eq!(status, 200, "{answer}");
        assert!(answer.starts_with(r#"{"accepted":3,"rejected":3,"#), "{answer}");
        assert!(
            answer
                .contains(r#""index":1,"status":"rejected","field":"occurred_at","reason":"\"yesterday\" is no time""#),
            "{answer}"
        );
        assert!(
            answer.contains("colour is no field") && answer.contains("is not the switch of the request"),
            "{answer}"
        );
    }
    let all = on_bus(&*bus);
    assert_eq!((all.events.len(), all.rejects.len()), (7, 6));
    let keys: BTreeSet<_> = all.events.iter().map(|(_, e)| e.dedupe).collect();
    assert_eq!(keys.len(), 4, "equal items of one batch are two events, the batch sent again is none");
    let first = &all.events.iter().find(|(_, e)| e.called == "+43 1 52345").unwrap().1;
    assert_eq!(first.called_number.unwrap().as_str(), "43152345");
    assert_eq!(ingest.shared().raw.record(&first.raw.unwrap()).unwrap(), one);
}

#[test]
fn a_switch_posts_its_own_records() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, ingest) = start(folder.path());
    let server = Server::start(&ingest);
    let body = include_bytes!("../../../tests/fixtures/cdrs/freeswitch_legs.json");
    let (status, answer) = server.post("?switch=fs-1", JSON, body);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.starts_with(r#"{"accepted":3,"rejected":0,"#), "{answer}");
    let all = on_bus(&*bus);
    assert_eq!(all.events.iter().map(|(_, e)| e.call_id()).collect::<BTreeSet<_>>().len(), 1);
}

#[test]
fn avro_events_keep_their_own_ids() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, ingest) = start(folder.path());
    let server = Server::start(&ingest);
    let mut event = CallEvent::new(facts::EventKind::Started, "edge-1", "edge-1", "c-9", facts::OccurredAt(1));
    let partition = bus::murmur2_partition(b"c-9", 3);
    event.id = facts::EventId { node: "edge-a".into(), boot_epoch: 7, partition, sequence: 5 };
    let encode = |event: &CallEvent| {
        let mut out = Vec::new();
        schemas::bus_record::encode_event(event, &SchemaIds::default(), &mut out);
        out
    };
    let good = encode(&event);
    let (status, answer) = server.post("", "avro/binary", &good);
    assert_eq!(status, 200, "{answer}");
    let mut misplaced = event.clone();
    misplaced.id.partition = (partition + 1) % 3;
    let mut nameless = event.clone();
    nameless.id = Default::default();
    let mut stranger = event.clone();
    stranger.switch = "nobody".into();
    let mut framed = Vec::new();
    for record in [&good, &encode(&misplaced), &encode(&nameless), &encode(&stranger), &good[..9].to_vec()] {
        framed.extend((record.len() as u32).to_be_bytes());
        framed.extend(record);
    }
    let (status, answer) = server.post("", "avro/binary; framing=length", &framed);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.starts_with(r#"{"accepted":1,"rejected":4,"#), "{answer}");
    for part in [
        "the call key belongs to",
        "neither an id nor a dedupe key",
        "switch nobody is not configured",
        "a call-event record",
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let (status, answer) = server.post("", "avro/binary; framing=length", &framed[..framed.len() - 1]);
    assert_eq!(status, 400, "{answer}");
    let all = on_bus(&*bus);
    assert_eq!(all.events.len(), 2);
    assert!(all.events.iter().all(|(p, e)| *p == partition && e.id == event.id), "the id says that it is one event");
}

#[test]
fn a_request_is_refused_whole_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, ingest) = start(folder.path());
    let server = Server::start(&ingest);
    let event = br#"{"switch":"edge-1","kind":"started","call_key":"c","occurred_at":"2023-07-01T10:00:00Z"}"#;
    assert_eq!(server.send("", JSON, "Bearer wrong", event).0, 401);
    assert_eq!(server.send("", JSON, "", event).0, 401);
    assert_eq!(server.post("", "text/csv", b"a,b").0, 415);
    assert_eq!(server.post("", JSON, b"").0, 400);
    let (status, answer) = server.post("", JSON, b"{\"kind\":");
    assert!(status == 400 && answer.contains("bad_json"), "{status} {answer}");
    assert_eq!(server.post("?switch=nobody", JSON, event).0, 404);
    assert_eq!(server.post("", JSON, br#"{"kind":"started","call_key":"c"}"#).0, 422);
    assert_eq!(server.post("", JSON, &vec![b' '; crate::http::BODY_BYTES_MAX + 1]).0, 413);
    let many = format!("[{}]", vec!["{}"; crate::http::ITEMS_MAX + 1].join(","));
    assert_eq!(server.post("?switch=edge-1", JSON, many.as_bytes()).0, 413);
    assert_eq!(on_bus(&*bus).events.len(), 0);
}
