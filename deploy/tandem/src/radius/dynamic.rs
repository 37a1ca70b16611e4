//! CoA- and Disconnect-Requests to switches (RFC 5176): the same bytes again until there is an answer that is signed, or
//! three have gone unanswered. Blocks; call it from a thread that may.

use radius::{Code, Packet, sign, voice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long each sending may go unanswered.
const TRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    Done,
    /// The switch refused, and why.
    Refused(&'static str),
    Silent,
    Failed(String),
}

impl Told {
    /// One word, for counters and machines.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::Silent => "silent",
            Self::Failed(_) => "failed",
        }
    }

    /// For people.
    pub fn detail(&self) -> String {
        match self {
            Self::Done => String::new(),
            Self::Refused(why) => (*why).to_owned(),
            Self::Silent => format!("no signed answer to {} sendings", TRIES.len()),
            Self::Failed(why) => why.clone(),
        }
    }
}

/// Sends a request and waits for its answer.
pub fn tell(target: SocketAddr, secret: &[u8], request: &[u8]) -> Told {
    send(target, secret, request).unwrap_or_else(|error| Told::Failed(format!("{target}: {error}")))
}

fn send(target: SocketAddr, secret: &[u8], request: &[u8]) -> std::io::Result<Told> {
    let here: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((here, 0))?;
    socket.connect(target)?;
    let Ok(asked) = Packet::read(request) else { return Ok(Told::Failed("the request is too long".to_owned())) };
    let mut buffer = [0; radius::packet::PACKET_MAX];
    for patience in TRIES {
        // A switch that is away answers with an ICMP error, which the next call reports: it may come back.
        let _ = socket.send(request);
        let until = Instant::now() + patience;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            let Ok(length) = socket.recv(&mut buffer) else {
                std::thread::sleep(left.min(Duration::from_millis(50)));
                continue;
            };
            let Ok(answer) = Packet::read(&buffer[..length]) else { continue };
            let signed = sign::check_answer(&answer, secret, &asked.authenticator(), false).is_ok();
            if answer.identifier != asked.identifier || !signed {
                continue;
            }
            match answer.code {
                Code::CoaAck | Code::DisconnectAck => return Ok(Told::Done),
                Code::CoaNak | Code::DisconnectNak => return Ok(Told::Refused(voice::error_cause(&answer))),
                _ => {}
            }
        }
    }
    Ok(Told::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use radius::packet::types;

    const SECRET: &[u8] = b"0123456789abcdef";

    /// A switch that answers the second sending, first with somebody else's signature.
    fn switch(answer: Code, cause: Option<u32>) -> (SocketAddr, std::thread::JoinHandle<Vec<Vec<u8>>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut seen = Vec::new();
            for round in 0..2 {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                seen.push(buffer[..length].to_vec());
                let asked = Packet::read(&buffer[..length]).unwrap();
                let secret: &[u8] = if round == 0 { b"another secret!!" } else { SECRET };
                let mut builder = sign::begin(answer, asked.identifier);
                if let Some(cause) = cause {
                    builder.number(types::ERROR_CAUSE, cause);
                }
                socket.send_to(&sign::answer(builder, secret, &asked.authenticator()), from).unwrap();
            }
            seen
        });
        (address, thread)
    }

    #[test]
    fn a_forged_answer_is_none_and_the_same_bytes_go_out_again() {
        for (code, cause, expected) in [
            (Code::DisconnectAck, None, Told::Done),
            (Code::DisconnectNak, Some(503), Told::Refused("no such session")),
        ] {
            let (address, thread) = switch(code, cause);
            let request = voice::disconnect_request(7, &radius::Session::default(), SECRET, 1);
            assert_eq!(tell(address, SECRET, &request), expected);
            assert_eq!(thread.join().unwrap(), [request.clone(), request]);
        }
    }
}
