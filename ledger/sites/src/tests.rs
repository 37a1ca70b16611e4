//! Two sites in one process, each with a log of its own, over real TLS on loopback.

use super::*;
use bus::stream::{FrameParts, StreamError, StreamReader, StreamWriter};
use bus::{Batch, EmbeddedBus, EmbeddedConfig};
use facts::stream::{Input, StreamState};
use facts::xdr::Position;
use schemas::frame::FrameBuilder;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

mod strangers;

struct Place {
    name: &'static str,
    number: u16,
    home: TempDir,
    bus: Arc<dyn Bus>,
    port: u16,
    future_micros: i64,
    bandwidth: u64,
}

impl Place {
    fn new(name: &'static str, number: u16) -> Self {
        let home = tempfile::tempdir().unwrap();
        let bus = Arc::new(EmbeddedBus::open(EmbeddedConfig::new(home.path().join("log"))).unwrap());
        identity::make(name, &home.path().join("c.pem"), &home.path().join("k.pem")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { name, number, home, bus, port, future_micros: 60_000_000, bandwidth: 0 }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn peer(&self) -> Peer {
        let (name, url) = (self.name.to_owned(), format!("https://127.0.0.1:{}", self.port));
        Peer { name, number: self.number, url, certificate: self.file("c.pem"), mirror: None }
    }

    fn options(&self, peers: Vec<Peer>) -> Options {
        Options {
            site: self.name.to_owned(),
            number: self.number,
            partitions: 1,
            listen: SocketAddr::from(([127, 0, 0, 1], self.port)),
            certificate: self.file("c.pem"),
            key: self.file("k.pem"),
            folder: self.file("sites"),
            peers,
            bandwidth: self.bandwidth,
            future_micros: self.future_micros,
            fold: 1,
        }
    }

    fn start(&self, peers: Vec<Peer>) -> Sites {
        Sites::start(self.bus.clone(), &SchemaIds::default(), self.options(peers)).unwrap()
    }

    fn claim(&self, stream: &str) -> StreamWriter {
        let ids = SchemaIds::default();
        StreamWriter::claim::<StreamError>(&*self.bus, &ids, stream, "test", None, wall_micros(), &mut |_| Ok(()))
            .unwrap()
    }

    /// What readers here make of a stream.
    fn state(&self, stream: &str) -> StreamState {
        if self.bus.partitions(stream).unwrap().is_none() {
            return StreamState::new(stream);
        }
        let mut reader = StreamReader::open(&*self.bus, &SchemaIds::default(), stream).unwrap();
        reader.catch_up::<StreamError>(&*self.bus, &mut |_| Ok(())).unwrap();
        assert!(reader.voids().is_empty(), "a copy holds void records: {:?}", reader.voids());
        reader.state().clone()
    }

    /// The same of a log of its own, where void records may lie.
    fn state_with_voids(&self, stream: &str) -> StreamState {
        let mut reader = StreamReader::open(&*self.bus, &SchemaIds::default(), stream).unwrap();
        reader.catch_up::<StreamError>(&*self.bus, &mut |_| Ok(())).unwrap();
        reader.state().clone()
    }

    fn values(&self, topic: &str) -> Vec<(u64, Vec<u8>)> {
        let mut reader = self.bus.reader(topic, 0, 0).unwrap();
        let (mut batch, mut all) = (Batch::new(), Vec::new());
        while reader.position() < self.bus.end(topic, 0).unwrap() {
            reader.poll(&mut batch, 1 << 20, Duration::from_secs(1)).unwrap();
            all.extend(batch.iter().map(|record| (record.offset, record.value.to_vec())));
        }
        all
    }
}

fn frames(writer: &mut StreamWriter, count: u32, wall_micros: i64) {
    for _ in 0..count {
        writer.append(&mut FrameBuilder::new(), parts(&[], wall_micros)).unwrap();
    }
    writer.settle().unwrap();
}

fn parts(inputs: &[Input], wall_micros: i64) -> FrameParts {
    FrameParts {
        item_schema: schemas::ledger::ITEMS,
        config_seq: 0,
        fold_version: 1,
        inputs: inputs.iter().cloned().collect(),
        floor: None,
        clock: None,
        wall_micros,
    }
}

/// A frame of a ledger that has consumed these inputs.
fn booked(writer: &mut StreamWriter, inputs: [Input; 2]) {
    writer.append(&mut FrameBuilder::new(), parts(&inputs, 1)).unwrap();
    writer.settle().unwrap();
}

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} has not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn topic(sites: &Sites, name: &str) -> Option<TopicStatus> {
    sites.status().peers.into_iter().flat_map(|peer| peer.topics).find(|topic| topic.topic == name)
}

fn trouble(sites: &Sites, name: &str) -> String {
    topic(sites, name).and_then(|topic| topic.trouble).map(|trouble| trouble.why).unwrap_or_default()
}

#[test]
fn a_peers_streams_arrive_byte_for_byte_and_go_on_after_a_restart() {
    let (a, b) = (Place::new("a", 1), Place::new("b", 2));
    let (mut ledger, mut xdrs) = (a.claim("ledger.a"), a.claim("xdrs.a.0"));
    frames(&mut ledger, 50, 1);
    frames(&mut xdrs, 20, 1);
    a.bus.ensure(&bus::TopicSpec::events("call-events", 1)).unwrap();
    let at_a = a.start(vec![b.peer()]);
    let at_b = b.start(vec![a.peer()]);
    until("the first copy", || {
        b.state("ledger.a") == a.state("ledger.a") && b.state("xdrs.a.0") == a.state("xdrs.a.0")
    });
    drop(at_b);
    frames(&mut ledger, 7, 2);
    // Another owner takes over: the fence belongs to the stream.
    frames(&mut a.claim("xdrs.a.0"), 3, 2);
    let at_b = b.start(vec![a.peer()]);
    until("the rest", || b.state("ledger.a") == a.state("ledger.a") && b.state("xdrs.a.0") == a.state("xdrs.a.0"));
    for stream in ["ledger.a", "xdrs.a.0"] {
        // From the second record on: the first is each log's own incarnation.
        assert_eq!(a.values(stream), b.values(stream), "{stream}");
    }
    assert_eq!(b.bus.partitions("call-events").unwrap(), None, "call events stay where they are");
    until("a quiet end", || at_b.status().caught_up());
    assert_eq!((at_a.status().mode, at_b.partitions("a")), (Mode::Together, Some(1)));
    drop(at_a);
    until("the watchdog", || at_b.status().mode == Mode::Alone);
    let shown = at_b.status().peers.remove(0).trouble.unwrap().why;
    assert!(shown.contains("cannot be reached"), "{shown}");
    let _at_a = a.start(vec![b.peer()]);
    until("the way back", || at_b.status().mode == Mode::Together && at_b.status().caught_up());
}

#[test]
fn another_history_and_a_frame_from_the_future_are_refused_by_name_and_the_rest_goes_on() {
    let (a, mut b) = (Place::new("a", 1), Place::new("b", 2));
    b.future_micros = 60_000_000;
    frames(&mut a.claim("ledger.a"), 5, 1);
    // What b holds of a ends in another frame than a's own: a lost its disk, or lies.
    frames(&mut b.claim("ledger.a"), 5, 2);
    let mut early = a.claim("xdrs.a.0");
    frames(&mut early, 2, 1);
    frames(&mut early, 1, wall_micros() + 3_600_000_000);
    let mut good = a.claim("xdrs.a.1");
    frames(&mut good, 2, 1);
    let (_at_a, at_b) = (a.start(vec![b.peer()]), b.start(vec![a.peer()]));
    until("the fork", || trouble(&at_b, "ledger.a").contains("fork: frame 1 of ledger.a is another one"));
    until("the future", || trouble(&at_b, "xdrs.a.0").contains("frame 3 is booked in the future"));
    frames(&mut good, 2, 3);
    until("the others", || b.state("xdrs.a.1").seq() == 4);
    assert_eq!((b.state("ledger.a").seq(), b.state("xdrs.a.0").seq()), (5, 2));
    assert!(trouble(&at_b, "xdrs.a.1").is_empty());
    let kept = b.file("sites/quarantine/ledger.a");
    let reason = std::fs::read_dir(&kept).unwrap().flatten().map(|file| file.path());
    let reason = reason
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| std::fs::read_to_string(path).unwrap());
    assert!(reason.collect::<String>().contains("fork"), "the reason lies beside the record");
    assert!(at_b.status().quarantined >= 2);
    let before = b.values("ledger.a").len();
    drop(at_b);
    b.future_micros = 7_200_000_000;
    let at_b = b.start(vec![a.peer()]);
    until("what is no longer the future", || b.state("xdrs.a.0").seq() == 3 && trouble(&at_b, "xdrs.a.0").is_empty());
    assert_eq!(b.values("ledger.a").len(), before, "a fork is never mixed in");
}

#[test]
fn who_shows_another_certificate_or_bears_another_name_gets_nothing() {
    let (a, b, c) = (Place::new("a", 1), Place::new("b", 2), Place::new("c", 3));
    frames(&mut a.claim("ledger.a"), 3, 1);
    frames(&mut c.claim("ledger.a"), 9, 1);
    frames(&mut c.claim("ledger.b"), 9, 1);
    let at_a = a.start(vec![b.peer()]);
    // c is unknown at a; c says that a's address is b's.
    let wrong = Peer { name: "a".into(), number: 1, ..c.peer() };
    let at_c = c.start(vec![a.peer(), Peer { certificate: c.file("c.pem"), ..b.peer() }]);
    until("a stranger at a's door", || at_a.status().strangers > 0);
    let why = at_a.status().stranger.unwrap().why;
    assert!(why.contains(&identity::fingerprint(&identity::pinned(&c.file("c.pem")).unwrap())), "{why}");
    drop(at_c);
    // b takes c for a: the certificate is the pinned one, the name is not.
    let at_c = c.start(vec![b.peer()]);
    let at_b = b.start(vec![wrong]);
    let shown = |sites: &Sites| sites.status().peers.remove(0).trouble.map_or(String::new(), |trouble| trouble.why);
    until("the wrong name", || {
        shown(&at_b).contains("it says that it is site c (number 3); by the settings it is a (number 1)")
    });
    // And c, asking b, is told that b knows its certificate under another name.
    until("the refusal", || shown(&at_c).contains("403") && shown(&at_c).contains("the request says c"));
    assert_eq!(b.bus.partitions("ledger.a").unwrap(), None);
    assert_eq!(b.bus.partitions("ledger.b").unwrap(), None, "nobody else writes our own streams");
}

#[test]
fn a_site_whose_disk_was_lost_learns_it_from_what_the_others_hold() {
    let (a, b) = (Place::new("a", 1), Place::new("b", 2));
    a.claim("ledger.a");
    frames(&mut b.claim("ledger.a"), 5, 1);
    frames(&mut b.claim("ledger.b"), 5, 1);
    let (at_a, at_b) = (a.start(vec![b.peer()]), b.start(vec![a.peer()]));
    assert!(at_a.all_heard(Duration::from_secs(60)) && at_b.all_heard(Duration::from_secs(60)));
    let ahead = at_a.ahead().unwrap();
    assert_eq!((ahead.topic.as_str(), ahead.there, ahead.here), ("ledger.a", 7, 2));
    assert_eq!(at_b.ahead(), None);
}

#[test]
fn a_thin_line_is_not_overrun_and_books_come_before_calls() {
    let (a, mut b) = (Place::new("a", 1), Place::new("b", 2));
    frames(&mut a.claim("ledger.a"), 100, 1);
    frames(&mut a.claim("xdrs.a.0"), 100, 1);
    b.bandwidth = 4_000;
    let began = Instant::now();
    let (_at_a, _at_b) = (a.start(vec![b.peer()]), b.start(vec![a.peer()]));
    until("the books", || b.state("ledger.a").seq() == 100);
    assert!(b.state("xdrs.a.0").seq() < 100, "calls came before books");
    until("the calls", || b.state("xdrs.a.0").seq() == 100);
    // Each frame has at least the 32 bytes of a hash that do not compress. What came last is not waited for.
    assert!(began.elapsed() > Duration::from_millis(100 * 32 * 1_000 / 4_000), "{:?}", began.elapsed());
}

#[test]
fn a_peer_gives_its_own_streams_and_nobody_elses() {
    let names = ["ledger.a", "xdrs.a.0", "xdrs.a.run-12", "runs.a"];
    assert!(names.iter().all(|name| belongs_to("a", name)));
    let others = ["ledger.ab", "xdrs.ab.0", "xdrs.a", "xdrs.a.", "call-events", "config", "ledger.a.0", "runs.b"];
    assert!(!others.iter().any(|name| belongs_to("a", name)));
    assert!(!is_ours("call-events") && !is_ours("switch-events") && is_ours("config"));
}

#[test]
fn messages_arrive_once_at_who_they_are_for_and_silence_loses_them() {
    let (a, b) = (Place::new("a", 1), Place::new("b", 2));
    let (at_a, at_b) = (a.start(vec![b.peer()]), b.start(vec![a.peer()]));
    until("a link", || at_a.heard(2).is_some() && at_b.heard(1).is_some());
    at_a.send(2, b"pull".to_vec());
    at_a.send(7, b"to nobody".to_vec());
    let mut got = None;
    until("the message", || {
        got = at_b.take();
        got.is_some()
    });
    assert_eq!((got, at_b.take()), (Some((1, b"pull".to_vec())), None));
    at_a.send(2, vec![0; (4 << 20) + 1]);
    at_a.send(2, b"after".to_vec());
    until("the next", || at_b.take().is_some_and(|(_, message)| message == b"after"));
}

#[test]
fn the_key_stays_out_of_what_is_printed() {
    let a = Place::new("a", 1);
    let identity = identity::Identity::load(&a.file("c.pem"), &a.file("k.pem")).unwrap();
    let shown = format!("{identity:?}");
    let pem = std::fs::read_to_string(Path::new(&a.file("k.pem"))).unwrap();
    assert!(!shown.contains(pem.lines().nth(1).unwrap()), "{shown}");
}

fn lost(place: &Place, peers: Vec<Peer>, without: &[String]) -> Result<Taken, TakeBackError> {
    let options = Options { peers, ..place.options(Vec::new()) };
    take_back(&*place.bus, &SchemaIds::default(), &options, without, "taken back", &mut |_| {})
}

#[test]
fn a_lost_disk_takes_back_the_longest_history_of_all_peers_and_the_peers_go_on_with_it() {
    let (a, b, c) = (Place::new("a", 1), Place::new("b", 2), Place::new("c", 3));
    let mut ledger = a.claim("ledger.a");
    frames(&mut ledger, 5, 1);
    frames(&mut a.claim("xdrs.a.0"), 4, 1);
    let at_a = a.start(vec![b.peer(), c.peer()]);
    let at_b = b.start(vec![a.peer()]);
    until("a copy at b", || b.state("ledger.a").seq() == 5 && b.state("xdrs.a.0").seq() == 4);
    drop(at_b);
    // Another claim, of which b never heard, with void records between: offsets differ from those of the copies.
    let mut second = a.claim("ledger.a");
    frames(&mut ledger, 2, 2);
    frames(&mut second, 3, 2);
    let at_c = c.start(vec![a.peer()]);
    until("more at c", || c.state("ledger.a").seq() == 8);
    let before = c.state("ledger.a");
    drop((at_a, at_c));

    let new = Place::new("a", 1);
    let (at_b, at_c) = (b.start(vec![new.peer()]), c.start(vec![new.peer()]));
    at_c.tell(|| Said { standing: String::new(), heard_of: vec![("ledger.a".into(), 11)] });
    let taken = lost(&new, vec![b.peer(), c.peer()], &[]).unwrap();
    let told = |name: &str| {
        let one = taken.streams.iter().find(|one| one.stream == name).unwrap();
        (one.state.seq(), one.heard_of, one.from.clone())
    };
    assert_eq!(told("ledger.a"), (8, 11, vec!["b".to_owned(), "c".to_owned()]));
    assert_eq!(told("xdrs.a.0").0, 4);
    let state = new.state("ledger.a");
    assert_eq!((state.seq(), state.hash()), (before.seq(), before.hash()));
    assert!(state.epoch() >= 1 << 20, "no claim of the lost disk reaches it: {}", state.epoch());
    // The peers' places in the lost log mean nothing in the new one.
    let _at_a = new.start(vec![b.peer(), c.peer()]);
    frames(&mut new.claim("ledger.a"), 2, 3);
    until("the peers go on", || {
        b.state("ledger.a") == new.state("ledger.a") && c.state("ledger.a") == new.state("ledger.a")
    });
    until("no trouble is left", || {
        trouble(&at_b, "ledger.a").is_empty() && trouble(&at_c, "ledger.a").is_empty() && at_c.status().caught_up()
    });
    assert_eq!(b.state("ledger.a").seq(), 10);
}

/// Ledgers come before rated calls, so the copy of a ledger may have booked calls of which no peer has the frames.
#[test]
fn no_call_is_put_where_the_ledger_has_been_when_rated_calls_are_lost_that_it_booked() {
    let (a, b) = (Place::new("a", 1), Place::new("b", 2));
    frames(&mut b.claim("xdrs.a.0"), 4, 1);
    let mut ledger = b.claim("ledger.a");
    let input = |stream: &str, from: (u64, u32), to: (u64, u32)| {
        let at = |(seq, index)| Position { seq, index };
        Input::Stream { stream: stream.into(), from: at(from), to: at(to) }
    };
    booked(&mut ledger, [input("xdrs.a.0", (1, 0), (5, 0)), input("xdrs.a.1", (1, 0), (3, 0))]);
    booked(&mut ledger, [input("xdrs.a.0", (5, 0), (7, 2)), input("ledger.b", (1, 0), (9, 0))]);
    let _at_b = b.start(vec![a.peer()]);
    for again in [false, true] {
        let taken = lost(&a, vec![b.peer()], &[]).unwrap();
        let told = |name: &str| {
            let one = taken.streams.iter().find(|one| one.stream == name).unwrap();
            (one.state.seq() + one.booked, one.heard_of)
        };
        assert_eq!((told("xdrs.a.0"), told("xdrs.a.1")), ((7, 7), (2, 2)), "again: {again}");
        assert_eq!((a.state("xdrs.a.0").seq(), a.state("xdrs.a.1").seq()), (7, 2), "again: {again}");
        assert_eq!(a.state("ledger.a").seq(), 2);
        assert!(!taken.streams.iter().any(|one| one.stream == "ledger.b"), "another site's stream is not filled");
    }
}

#[test]
fn a_lost_disk_waits_for_a_peer_and_never_mixes_two_histories() {
    let (a, b, c) = (Place::new("a", 1), Place::new("b", 2), Place::new("c", 3));
    frames(&mut b.claim("ledger.a"), 5, 1);
    frames(&mut c.claim("ledger.a"), 6, 2);
    let at_b = b.start(vec![a.peer()]);
    let silent = lost(&a, vec![b.peer(), c.peer()], &[]).unwrap_err();
    assert!(matches!(&silent, TakeBackError::Silent { peer, .. } if peer == "c"), "{silent}");
    assert_eq!(a.bus.topics().unwrap(), Vec::<String>::new(), "nothing was taken yet");
    let _at_c = c.start(vec![a.peer()]);
    let fork = lost(&a, vec![b.peer(), c.peer()], &[]).unwrap_err();
    assert!(matches!(&fork, TakeBackError::Fork { peer, topic, .. } if peer == "c" && topic == "ledger.a"), "{fork}");
    assert_eq!(a.state("ledger.a").epoch(), 1, "nobody has claimed it");
    let without = ["c".to_owned()];
    assert_eq!(lost(&a, vec![b.peer(), c.peer()], &without).unwrap().streams[0].state.seq(), 5);
    let nobody = lost(&a, vec![b.peer()], &["b".to_owned()]).unwrap_err();
    assert!(matches!(nobody, TakeBackError::Nobody), "{nobody}");
    drop(at_b);
}

#[test]
fn a_site_knows_how_far_its_peers_hold_what_it_wrote() {
    let (a, b) = (Place::new("a", 1), Place::new("b", 2));
    frames(&mut a.claim("ledger.a"), 5, 1);
    let at_a = a.start(vec![b.peer()]);
    assert_eq!(at_a.acknowledged("ledger.a")[0].next, None, "b has not asked yet");
    let at_b = b.start(vec![a.peer()]);
    at_b.tell(|| Said { standing: "drained".to_owned(), heard_of: Vec::new() });
    let end = a.bus.end("ledger.a", 0).unwrap();
    until("b has all of it", || at_a.acknowledged("ledger.a")[0].next == Some(end));
    assert_eq!(b.state("ledger.a").seq(), 5, "what is acknowledged is durable there");
    until("what b says of itself", || at_a.closed(2) && at_a.status().peers[0].standing == "drained");
}
