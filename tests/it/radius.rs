//! RADIUS as switches speak it: FreeRADIUS' own `radclient` asks before calls and is told the same as over HTTP; what is
//! forged, repeated or malformed changes nothing; calls that may not go on are ended at their switch, and not before.
//!
//! The switch that CoA- and Disconnect-Requests go to is a socket of this test; signatures are checked by `radius`.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use radius::{Builder, Code, Packet, packet::types, sign};
use serde_json::Value;
use tests::{Tandem, cache, eventually, site};

use crate::credit::{DECK, SITE};

const SECRET: &str = "correct horse battery";
const UP: [&str; 4] = ["up", "--no-engine", "--listen", "127.0.0.1:0"];
const PATIENCE: Duration = Duration::from_secs(60);
/// A test's datagram waits so long for an answer before it is sent again.
const AGAIN: Duration = Duration::from_secs(2);

/// A site with a prepaid account, and `tandem up` with RADIUS.
struct World {
    tandem: Tandem,
    access: SocketAddr,
    accounting: SocketAddr,
}

fn world(client: &str, funds: &str) -> World {
    let mut tandem = Tandem::new();
    fs::create_dir_all(tandem.data()).expect("the home can be written");
    let settings = format!(
        "[radius]\nlisten = \"127.0.0.1:0\"\naccounting = \"127.0.0.1:0\"\n\n[[radius.client]]\nname = \"pop\"\n\
         address = \"127.0.0.1\"\nsecret = \"{SECRET}\"\nswitch = \"edge\"\nuser_name = \"trunk\"\n{client}"
    );
    fs::write(tandem.data().join("tandem.toml"), settings).expect("the home can be written");
    tandem.start_listening(&UP);
    site::apply_text(&tandem, SITE, DECK);
    tandem.run(&["ledger", "caps", "pre", "--id", "c1", "--reason", "an old customer"]).ok();
    tandem.run(&["ledger", "pay", "pre", funds, "--id", "p1", "--reason", "top-up"]).ok();
    let mut world = World { tandem, access: ([0; 4], 0).into(), accounting: ([0; 4], 0).into() };
    world.find();
    world
}

impl World {
    /// Where it listens since its start.
    fn find(&mut self) {
        let status = self.status();
        let address = |which: &str| status[which].as_str().expect("an address").parse().expect("an address");
        (self.access, self.accounting) = (address("access"), address("accounting"));
    }

    fn calls(&self) -> Vec<Value> {
        self.tandem.run(&["radius", "calls", "--json"]).json_lines()
    }

    fn status(&self) -> Value {
        self.tandem.run(&["radius", "status", "--json"]).json_lines().remove(0)
    }

    fn counted(&self, what: &str) -> u64 {
        self.status()["counts"][what].as_u64().unwrap_or(0)
    }

    fn holds(&self) -> Vec<Value> {
        self.tandem.run(&["ledger", "holds", "--json"]).json_lines()
    }

    /// One call that asks; what radclient printed, and whether it was let through.
    fn ask(&self, key: &str, more: &str) -> (String, bool) {
        let asked = format!(
            "User-Name = \"in\", Called-Station-Id = \"4930123456\", Calling-Station-Id = \"43152345\", \
             h323-conf-id = \"h323-conf-id={key}\", Message-Authenticator = 0x00{more}"
        );
        radclient(self.access, "auth", SECRET, &asked)
    }

    /// What accounting tells.
    fn tell(&self, key: &str, status: &str, more: &str) {
        let told = format!("Acct-Status-Type = {status}, h323-conf-id = \"h323-conf-id={key}\"{more}");
        let (output, ok) = radclient(self.accounting, "acct", SECRET, &told);
        assert!(ok && output.contains("Received Accounting-Response"), "{output}");
    }
}

/// FreeRADIUS' client checks every signature of an answer itself.
fn radclient(server: SocketAddr, what: &str, secret: &str, attributes: &str) -> (String, bool) {
    let mut command = Command::new(cache::program("radclient"));
    command.args(["-x", "-r", "10", "-t", "3", &server.to_string(), what, secret]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    writeln!(child.stdin.take().expect("a pipe"), "{attributes}").expect("it reads");
    let ended = child.wait_with_output().expect("it ends");
    let output = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    (output, ended.status.success())
}

#[test]
fn radclient_gets_the_same_decisions_as_over_http() {
    let world = world("extend = \"asks\"", "1.00");
    // Fees, first interval and 300 s: six minutes at 0.1.
    let (output, ok) = world.ask("A 1", ", Proxy-State = 0x6162, Proxy-State = 0x6364");
    assert!(ok, "{output}");
    for expected in [
        "Received Access-Accept",
        "Session-Timeout = 360",
        "h323-credit-time = \"h323-credit-time=360\"",
        "h323-return-code = \"h323-return-code=0\"",
        "Termination-Action = RADIUS-Request",
        "Proxy-State = 0x6162\n\tProxy-State = 0x6364",
    ] {
        assert!(output.contains(expected), "{expected} is missing in {output}");
    }
    // The same call again under another number is the same hold; more of it is asked for with its State.
    assert!(world.ask("A 1", "").0.contains("Session-Timeout = 360"));
    let received = output.split("Received").nth(1).expect("an answer");
    let state = received.split("State = ").nth(3).and_then(|rest| rest.split_whitespace().next()).expect("a State");
    let (more, ok) = world.ask("A 1", &format!(", State = {state}"));
    assert!(ok && more.contains("Session-Timeout = 600"), "ten minutes are paid: {more}");
    let (last, ok) = world.ask("A 1", &more_state(&more));
    assert!(!ok && last.contains("Received Access-Reject") && last.contains("h323-return-code=12"), "{last}");
    let (other, ok) = world.ask("A 2", "");
    assert!(!ok && other.contains("Reply-Message = \"credit: "), "{other}");
    let (unknown, ok) = radclient(
        world.access,
        "auth",
        SECRET,
        "User-Name = \"elsewhere\", Called-Station-Id = \"4930123456\", h323-conf-id = \"x\", Message-Authenticator = 0x00",
    );
    assert!(!ok && unknown.contains("h323-return-code=1\""), "{unknown}");
    let (password, ok) = world.ask("A 3", ", User-Password = \"guess\"");
    assert!(!ok && password.contains("password: "), "nobody checks it, so nobody is let in by it: {password}");
    // Of this trunk one call at once from now on; with money enough for more.
    let caps = ["ledger", "caps", "pre", "--trunk", "in", "--calls", "1", "--id", "c2", "--reason", "small trunk"];
    world.tandem.run(&caps).ok();
    world.tandem.run(&["ledger", "pay", "pre", "5", "--id", "p2", "--reason", "top-up"]).ok();
    assert!(world.ask("A 4", "").1, "a call that began before the order does not count");
    let (full, ok) = world.ask("A 5", "");
    assert!(!ok && full.contains("calls: ") && full.contains("h323-return-code=3\""), "{full}");
    let limits = world.tandem.run(&["ledger", "limits", "pre", "--json"]).json_lines();
    let now = limits.iter().find(|row| row["what"] == "trunk:in: calls now").expect("the trunk is shown");
    assert_eq!(now["value"], "1");
    let holds = world.holds();
    let mut seconds: Vec<_> = holds.iter().filter_map(|hold| hold["seconds"].as_str()).collect();
    seconds.sort_unstable();
    assert_eq!(seconds, ["360", "600"], "{holds:?}");
    let (alive, ok) = radclient(world.accounting, "status", SECRET, "Message-Authenticator = 0x00");
    assert!(ok && alive.contains("Received Accounting-Response"), "{alive}");
}

fn more_state(output: &str) -> String {
    let received = output.split("Received").nth(1).expect("an answer");
    let line = received.lines().find(|line| line.trim().starts_with("State = ")).expect("a State");
    format!(", {}", line.trim())
}

#[test]
fn what_is_forged_malformed_or_repeated_changes_nothing() {
    let world = world("", "1.00");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let good = request(1, "B 1", SECRET);
    let first = answer_to(&socket, world.access, &good);
    assert_eq!(first, answer_to(&socket, world.access, &good), "a retransmission gets the same bytes");
    assert_eq!(Packet::read(&first).expect("a packet").code, Code::AccessAccept);
    assert!(world.counted("repeated") >= 1 && world.counted("accepted") == 1);

    let mut bad = vec![
        (good[..19].to_vec(), "dropped_short"),
        (good[..40].to_vec(), "dropped_bad_length"),
        ([&[99], &good[1..]].concat(), "dropped_unknown_code"),
        (request(2, "B 2", "another secret, as long"), "dropped_bad_message_authenticator"),
    ];
    let mut unsigned = Builder::new(Code::AccessRequest, 3);
    unsigned.add(types::USER_NAME, b"in").add(types::CALLED_STATION_ID, b"4930123456").cisco(24, "B 3");
    bad.push((sign::access_request(unsigned, SECRET.as_bytes(), &[3; 16]), "dropped_no_message_authenticator"));
    let mut torn = good.clone();
    torn[21] = 1;
    bad.push((torn, "dropped_bad_attribute"));
    bad.push((sign::request(sign::begin(Code::CoaRequest, 4), SECRET.as_bytes()), "dropped_wrong_code"));
    let bound = |address: &str| UdpSocket::bind((address, 0)).expect("all of 127/8 is this machine");
    let stranger = bound("127.0.0.2");
    for (datagram, counter) in &bad {
        eventually(counter, PATIENCE, || {
            socket.send_to(datagram, world.access).expect("it is sent");
            (world.counted(counter) > 0).then_some(())
        });
    }
    eventually("a stranger", PATIENCE, || {
        stranger.send_to(&good, world.access).expect("it is sent");
        (world.counted("dropped_unknown_client") > 0).then_some(())
    });
    // One hold for the whole call, for this switch cannot extend: ten minutes are paid.
    let holds = world.holds();
    assert_eq!((holds.len(), holds[0]["seconds"].as_str()), (1, Some("600")), "{holds:?}");
}

fn request(identifier: u8, key: &str, secret: &str) -> Vec<u8> {
    let mut builder = sign::begin(Code::AccessRequest, identifier);
    builder.add(types::USER_NAME, b"in").add(types::CALLED_STATION_ID, b"4930123456").cisco(24, key);
    sign::access_request(builder, secret.as_bytes(), &[identifier; 16])
}

/// Sends until there is an answer.
fn answer_to(socket: &UdpSocket, to: SocketAddr, request: &[u8]) -> Vec<u8> {
    socket.set_read_timeout(Some(AGAIN)).expect("a time");
    let mut buffer = [0; 4096];
    eventually("an answer", PATIENCE, || {
        socket.send_to(request, to).expect("it is sent");
        let (length, _) = socket.recv_from(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    })
}

/// Waits for a request from the server, answers it, and gives its code and Session-Timeout.
fn switch(socket: &UdpSocket) -> (Code, Option<u32>) {
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut buffer = [0; 4096];
    let (length, from) = socket.recv_from(&mut buffer).expect("a request in time");
    let asked = Packet::read(&buffer[..length]).expect("a packet");
    sign::check_request(&asked, SECRET.as_bytes(), true).expect("signed");
    assert_eq!(asked.get(types::ACCT_SESSION_ID), Some(&b"s-1"[..]), "the switch's own id, learned from accounting");
    let answer = if asked.code == Code::CoaRequest { Code::CoaAck } else { Code::DisconnectAck };
    let answer = sign::answer(sign::begin(answer, asked.identifier), SECRET.as_bytes(), &asked.authenticator());
    socket.send_to(&answer, from).expect("it is sent");
    (asked.code, asked.number(types::SESSION_TIMEOUT))
}

#[test]
fn a_call_that_cannot_be_extended_is_ended_at_its_switch_after_its_last_second() {
    let switch_socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let dynamic = switch_socket.local_addr().expect("bound");
    let world = world(&format!("extend = \"told\"\ndynamic = \"{dynamic}\""), "0.70");
    let (output, ok) = world.ask("C 1", "");
    assert!(ok && output.contains("Session-Timeout = 360") && !output.contains("Termination-Action"), "{output}");
    assert_eq!(world.tandem.run(&["radius", "calls", "--json"]).json_lines().len(), 1);
    // It has lasted for 287 s, one less than four fifths of what is held: so it is extended a second from now.
    let began = Instant::now();
    world.tell("C 1", "Start", ", Acct-Session-Id = \"s-1\", Acct-Session-Time = 287");
    assert_eq!(switch(&switch_socket), (Code::CoaRequest, Some(420)), "seven minutes are paid");
    assert!(began.elapsed() >= Duration::from_millis(900), "extended before four fifths were gone");
    assert_eq!(world.holds()[0]["seconds"].as_str(), Some("420"));
    // The leg towards the called side says nothing about the customer's time.
    world.tell(
        "C 1",
        "Start",
        ", Acct-Session-Id = \"s-2\", Acct-Session-Time = 9000, h323-call-origin = \"h323-call-origin=originate\"",
    );
    // A person ends every call of the account.
    let order = world.tandem.command(&["radius", "disconnect", "--account", "pre", "--json"]);
    let order = std::thread::spawn(move || tests::tandem::run_command(&mut { order }));
    assert_eq!(switch(&switch_socket), (Code::DisconnectRequest, None));
    let told = order.join().expect("no panic").json_lines();
    assert_eq!((told.len(), &told[0]["told"]), (1, &Value::from("done")), "{told:?}");
    world.tell("C 1", "Stop", ", Acct-Session-Time = 290, h323-call-origin = \"h323-call-origin=answer\"");
    assert!(world.tandem.run(&["radius", "calls", "--json"]).json_lines().is_empty());
    assert_eq!(world.holds().len(), 1, "its money waits for its record");
    world.tandem.run(&["radius", "disconnect", "--call", "C 1"]).expect_code(2);
}

#[test]
fn a_switch_that_does_not_cut_at_the_second_it_was_given_is_told_to() {
    let switch_socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let dynamic = switch_socket.local_addr().expect("bound");
    let world = world(&format!("extend = \"told\"\ndynamic = \"{dynamic}\""), "0.10");
    assert!(world.ask("D 1", "").0.contains("Session-Timeout = 60"));
    let began = Instant::now();
    world.tell("D 1", "Start", ", Acct-Session-Id = \"s-1\", Acct-Session-Time = 58");
    assert_eq!(switch(&switch_socket), (Code::DisconnectRequest, None), "not extended: nothing is left");
    assert!(began.elapsed() >= Duration::from_millis(1_900), "ended before its last second");
    assert_eq!((world.counted("not_extended"), world.counted("overdue")), (1, 1));
    // Another call's customer leg was never answered: nothing will be charged, and nothing stays held.
    world.tandem.run(&["ledger", "pay", "pre", "1", "--id", "p2", "--reason", "top-up"]).ok();
    assert!(world.ask("D 2", "").1);
    world.tell("D 2", "Stop", ", Acct-Session-Time = 0");
    assert!(world.ask("D 3", "").1);
    world.tell("D 3", "Stop", ", Acct-Session-Time = 0, h323-call-origin = \"h323-call-origin=answer\"");
    eventually("the hold of D 3 is let go", PATIENCE, || (world.holds().len() == 2).then_some(()));
    assert_eq!(world.counted("released"), 1, "which leg D 2 meant, nobody said");
}

#[test]
fn calls_of_a_blocked_or_overdrawn_account_are_ended_by_rule_also_after_a_new_start() {
    let switch_socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let dynamic = switch_socket.local_addr().expect("bound");
    let mut world = world(&format!("extend = \"asks\"\ndynamic = \"{dynamic}\""), "2");
    assert!(world.ask("E 1", "").1, "0.60 of 2");
    world.tell("E 1", "Start", ", Acct-Session-Id = \"s-1\"");
    // What names the call to its switch stands in no ledger: it is kept beside.
    let kept = world.tandem.data().join("radius/calls.jsonl");
    eventually("the call is kept with its session", PATIENCE, || {
        fs::read_to_string(&kept).is_ok_and(|text| text.contains("\"answered\":1")).then_some(())
    });
    world.tandem.kill();
    world.tandem.start_listening(&UP);
    world.find();
    eventually("the call is known after the start", PATIENCE, || (world.calls().len() == 1).then_some(()));
    assert_eq!(world.calls()[0]["call"], "E 1");
    assert_eq!(world.counted("ended_overdrawn"), 0, "nothing is wrong yet");
    // A correction takes what was left and 0.10 of what is held.
    world.tandem.run(&["ledger", "correct", "pre", "1.50", "--id", "x", "--reason", "fraud"]).ok();
    assert_eq!(switch(&switch_socket), (Code::DisconnectRequest, None));
    eventually("it is counted", PATIENCE, || (world.counted("disconnect_done") == 1).then_some(()));
    assert_eq!(world.counted("ended_overdrawn"), 1);
    world.tell("E 1", "Stop", ", Acct-Session-Time = 0, h323-call-origin = \"h323-call-origin=answer\"");
    eventually("its hold is let go", PATIENCE, || world.holds().is_empty().then_some(()));

    // Two calls; then the account may have none at all. Its switch refuses for one of them, which is said.
    world.tandem.run(&["ledger", "pay", "pre", "5", "--id", "p2", "--reason", "top-up"]).ok();
    assert!(world.ask("E 2", "").1);
    world.tell("E 2", "Start", ", Acct-Session-Id = \"s-1\"");
    let block = ["ledger", "caps", "pre", "--id", "c2", "--calls", "0", "--reason", "blocked"];
    world.tandem.run(&block).ok();
    assert_eq!(switch(&switch_socket), (Code::DisconnectRequest, None));
    assert_eq!(world.counted("ended_blocked"), 1);
    let (refused, ok) = world.ask("E 3", "");
    assert!(!ok && refused.contains("calls: "), "{refused}");
    world.tell("E 2", "Stop", ", Acct-Session-Time = 9");
    // A new start knows neither: one was stopped, the other has no hold.
    world.tandem.kill();
    world.tandem.start_listening(&UP);
    eventually("the ledger is read", PATIENCE, || (world.holds().len() == 1).then_some(()));
    assert!(world.calls().is_empty(), "{:?}", world.calls());
}
