//! Datagrams in, datagrams out: whose they are, whether they are believed, whether they came before, and the answer.
//! What is not believed is dropped and counted by its reason, and never answered.

use super::{Door, Sockets, UNDER_WAY_MAX, again, lock};
use crate::authorise::{Denied, Held, Question};
use crate::node::wall_micros;
use crate::radius::sessions::Live;
use facts::ids::OriginId;
use radius::voice::{self, CallFacts};
use radius::{Client, Code, Extending, Packet, Seen, Session, Status, UserIs, sign};
use smol_str::SmolStr;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// Between two looks at what has come due.
const LOOK: Duration = Duration::from_millis(100);
/// Where CoA is spoken (RFC 5176 section 2.3).
const DYNAMIC_PORT: u16 = 3799;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Access,
    Accounting,
}

pub(super) async fn serve(door: Arc<Door>, sockets: Sockets, stop: &AtomicBool) -> std::io::Result<()> {
    let access = Arc::new(UdpSocket::from_std(sockets.access)?);
    tokio::spawn(listen(door.clone(), access, Port::Access));
    if let Some(socket) = sockets.accounting {
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        tokio::spawn(listen(door.clone(), socket, Port::Accounting));
    }
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
        door.look();
    }
    Ok(())
}

async fn listen(door: Arc<Door>, socket: Arc<UdpSocket>, port: Port) {
    // One octet more than a packet may have, so that a longer one is seen to be.
    let mut buffer = [0; radius::packet::PACKET_MAX + 1];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                door.count("dropped_receive_error");
                tracing::warn!(%error, "a RADIUS socket");
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        match door.take(&buffer[..length], from, port) {
            Err(why) => door.count(&format!("dropped_{why}")),
            Ok(Taken::Answer(bytes)) => drop(socket.send_to(&bytes, from).await),
            Ok(Taken::Work(client)) => {
                let whose = (client, port);
                let work = work(door.clone(), socket.clone(), buffer[..length].to_vec(), from, whose);
                tokio::spawn(work);
            }
        }
    }
}

enum Taken {
    /// Known already: the same bytes.
    Answer(Vec<u8>),
    /// To be decided, for that client.
    Work(usize),
}

async fn work(door: Arc<Door>, socket: Arc<UdpSocket>, bytes: Vec<u8>, from: SocketAddr, whose: (usize, Port)) {
    let Some(packet) = again(&bytes) else { return };
    let key = (from, packet.identifier, packet.authenticator());
    match door.answer(&packet, from, whose).await {
        Some(answer) => {
            lock(&door.repeats).answered(&key, answer.clone());
            // Lost answers are asked for again.
            drop(socket.send_to(&answer, from).await);
        }
        None => {
            door.count("unanswered");
            lock(&door.repeats).given_up(&key);
        }
    }
}

impl Door {
    /// Whose it is, whether it is believed, whether it came before.
    fn take(&self, datagram: &[u8], from: SocketAddr, port: Port) -> Result<Taken, &'static str> {
        let now = wall_micros();
        let (number, client) = self.clients.find(from.ip(), now).ok_or("unknown_client")?;
        let packet = Packet::read(datagram).map_err(|malformed| malformed.code())?;
        let required = match (packet.code, port) {
            (Code::AccessRequest, Port::Access) => client.message_authenticator,
            (Code::StatusServer, _) => true,
            // Its authenticator is signed already.
            (Code::AccountingRequest, Port::Accounting) => false,
            _ => return Err("wrong_code"),
        };
        sign::check_request(&packet, &client.secret, required).map_err(|why| why.code())?;
        let key = (from, packet.identifier, packet.authenticator());
        match lock(&self.repeats).take(key, now, UNDER_WAY_MAX) {
            Seen::New => Ok(Taken::Work(number)),
            Seen::Answered(bytes) => {
                self.count("repeated");
                Ok(Taken::Answer(bytes))
            }
            Seen::UnderWay => Err("under_way"),
            Seen::Full => Err("busy"),
        }
    }

    /// The answer; `None`: none can be given now, and silence lets the switch ask again or ask another.
    async fn answer(&self, packet: &Packet<'_>, from: SocketAddr, (number, port): (usize, Port)) -> Option<Vec<u8>> {
        let client = self.clients.get(number)?;
        match packet.code {
            Code::AccessRequest => self.access(packet, from, number, client).await,
            Code::AccountingRequest => {
                self.accounting(packet, from, number, client).await;
                Some(voice::noted(packet, &client.secret))
            }
            _ => {
                self.count("status");
                let code = if port == Port::Access { Code::AccessAccept } else { Code::AccountingResponse };
                Some(voice::alive(packet, &client.secret, code))
            }
        }
    }

    async fn access(&self, packet: &Packet<'_>, from: SocketAddr, number: usize, client: &Client) -> Option<Vec<u8>> {
        let facts = match voice::call_facts(packet, client) {
            Ok(facts) => facts,
            Err(unasked) => {
                let word = if unasked == voice::Unasked::Password { "password" } else { "bad_request" };
                self.count(&format!("rejected_{word}"));
                return Some(voice::reject(packet, &client.secret, word, &unasked.to_string()));
            }
        };
        let decided = match facts.state {
            Some((hold, seconds)) => self.gate.extend(OriginId(hold), seconds).await,
            None => self.gate.authorise(&question(&facts, client)).await,
        };
        let (word, why) = match decided {
            Ok(held) => {
                self.count("accepted");
                let state = voice::state(&held.hold_id.0, held.seconds_held);
                let state = (client.extending == Extending::Asks).then_some(&*state);
                let answer = voice::accept(packet, &client.secret, held.seconds_held, state);
                self.remember(facts, held, from, number, client);
                return Some(answer);
            }
            Err(Denied::Refused(word, why)) => (word, why),
            Err(Denied::Question(why)) => ("bad_request", why),
            Err(Denied::Busy(_) | Denied::Unknown(_)) => return None,
        };
        self.count(&format!("rejected_{word}"));
        Some(voice::reject(packet, &client.secret, word, &why))
    }

    fn remember(&self, facts: CallFacts, held: Held, from: SocketAddr, number: usize, client: &Client) {
        let live = Live {
            hold: held.hold_id,
            client: number,
            key: facts.key,
            accounts: held.lines.iter().map(|line| line.account.clone()).collect(),
            seconds: held.seconds_held,
            target: client.dynamic.unwrap_or(SocketAddr::new(from.ip(), DYNAMIC_PORT)),
            session: facts.session,
            answered: None,
            extends: client.extending == Extending::Told,
            until: facts::time::parse_rfc3339(&held.until).unwrap_or(i64::MAX),
            ending: false,
            again: None,
            began: wall_micros(),
        };
        let hold = live.hold;
        let mut sessions = lock(&self.sessions);
        if !sessions.allow(live) {
            self.count("sessions_full");
        } else if let Some(live) = sessions.get_mut(hold) {
            self.keep(live);
        }
    }

    /// What accounting tells about a call. It carries no money here: that comes with the call's record.
    async fn accounting(&self, packet: &Packet<'_>, from: SocketAddr, number: usize, client: &Client) {
        let told = voice::told(packet, client);
        let outgoing = told.origin == "originate";
        self.count(match told.status {
            Status::Start => "accounting_start",
            Status::Stop => "accounting_stop",
            Status::Interim => "accounting_interim",
            Status::Restarted => "accounting_restarted",
            Status::Other => "accounting_other",
        });
        match told.status {
            Status::Start | Status::Interim if !outgoing => {
                self.answered(number, &told.key, told.seconds.unwrap_or(0), &told.session);
            }
            Status::Stop if !outgoing => {
                let Some(hold) = self.ended(number, &told.key) else { return };
                // The customer's own leg was never answered: no charge can come. Where a switch does not say which leg
                // it means, another attempt may still be under way, and the hold waits for the record.
                if told.origin == "answer" && told.seconds == Some(0) && self.gate.release(hold).await.is_ok() {
                    self.count("released");
                }
            }
            Status::Restarted => {
                let target = client.dynamic.map_or(from.ip(), |target| target.ip());
                let gone = lock(&self.sessions).end_all(number, target);
                gone.into_iter().for_each(|hold| self.forget(hold));
            }
            _ => {}
        }
    }

    fn ended(&self, number: usize, key: &str) -> Option<OriginId> {
        let mut sessions = lock(&self.sessions);
        let hold = sessions.of(number, key)?.hold;
        self.forget(hold);
        sessions.end(hold).map(|live| live.hold)
    }

    fn answered(&self, number: usize, key: &str, seconds: u32, session: &Session) {
        let mut sessions = lock(&self.sessions);
        let Some(live) = sessions.of(number, key) else { return };
        live.session.learn(session);
        if live.answered.is_none() {
            live.answered = Instant::now().checked_sub(Duration::from_secs(seconds.into()));
        }
        self.keep(live);
    }
}

fn question(facts: &CallFacts, client: &Client) -> Question {
    let (ip, port) = match (facts.remote.parse::<IpAddr>(), facts.remote.parse::<SocketAddr>()) {
        (Err(_), Ok(address)) => (address.ip().to_string(), address.port()),
        _ => (facts.remote.clone(), 0),
    };
    let user = |is: UserIs| if client.user == is { SmolStr::from(&*facts.user) } else { SmolStr::default() };
    Question {
        switch: client.switch.as_str().into(),
        call_key: facts.key.as_str().into(),
        account: user(UserIs::Account),
        trunk: user(UserIs::Trunk),
        digest_user: user(UserIs::DigestUser),
        ip: ip.into(),
        port,
        called: facts.called.as_str().into(),
        caller: facts.caller.as_str().into(),
        extend: Some(client.extending != Extending::No),
        ..Question::default()
    }
}
