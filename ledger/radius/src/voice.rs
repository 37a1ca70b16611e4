//! What a voice switch's attributes mean, and the answers that it understands: the standard ones (RFC 2865, 2866) and Cisco's
//! `h323-*`, which are text of the form `name=value`. Decides nothing; whoever calls says yes or no.

use crate::clients::{Client, KeyFrom};
use crate::packet::{Builder, Code, Packet, types};
use crate::sign;

/// Numbers of Cisco's attributes.
pub mod cisco {
    pub const AVPAIR: u8 = 1;
    pub const REMOTE_ADDRESS: u8 = 23;
    pub const CONF_ID: u8 = 24;
    pub const CALL_ORIGIN: u8 = 26;
    pub const SIP_CONF_ID: u8 = 100;
    pub const CREDIT_TIME: u8 = 102;
    pub const RETURN_CODE: u8 = 103;
    pub const CALL_ID: u8 = 141;
}

/// Attributes that name a session to the switch that began it (RFC 5176 section 3), and go back to it as they came.
const SESSION: [u8; 8] = [
    types::USER_NAME,
    types::NAS_IP_ADDRESS,
    types::NAS_PORT,
    types::CALLED_STATION_ID,
    types::CALLING_STATION_ID,
    types::NAS_IDENTIFIER,
    types::ACCT_SESSION_ID,
    types::NAS_IPV6_ADDRESS,
];
/// Credentials that nobody here can check.
const CREDENTIALS: [u8; 4] = [types::USER_PASSWORD, types::CHAP_PASSWORD, types::EAP_MESSAGE, types::DIGEST_RESPONSE];
/// Our `State`: this, the hold's id, the seconds held so far.
const STATE: &[u8] = b"tandem1:";
/// Longest text of an answer.
const TEXT_MAX: usize = 200;

/// Why a request says nothing about a call. Closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum Unasked {
    #[error("it carries no id of the call in the attribute that the client's call_key names")]
    NoKey,
    #[error("it carries no Called-Station-Id")]
    NoCalled,
    #[error("an attribute is not text in UTF-8")]
    NotText,
    #[error("its State is not one of ours")]
    State,
    #[error(
        "it carries a password, and nobody checks passwords here; set ignore_passwords if the switch vouches for its callers"
    )]
    Password,
}

/// How a switch may name a session to be told about it: attributes as they came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Session(Vec<(u8, Vec<u8>)>);

impl Session {
    /// The attributes of a packet that name its session.
    pub fn of(packet: &Packet<'_>) -> Self {
        let named = packet.attributes().filter(|attribute| SESSION.contains(&attribute.kind));
        let mut all: Vec<_> = named.map(|attribute| (attribute.kind, attribute.value.to_vec())).collect();
        if let Some(id) = packet.cisco().find(|attribute| attribute.kind == cisco::CONF_ID) {
            all.push((types::VENDOR_SPECIFIC, vendor(cisco::CONF_ID, id.value)));
        }
        Self(all)
    }

    /// Attributes by number, as they came: to be kept somewhere.
    pub fn parts(&self) -> &[(u8, Vec<u8>)] {
        &self.0
    }

    /// What was kept. Other attributes than those that name a session are passed over.
    pub fn from_parts(parts: Vec<(u8, Vec<u8>)>) -> Self {
        let named = |kind: u8| SESSION.contains(&kind) || kind == types::VENDOR_SPECIFIC;
        // An attribute holds at most 253 octets.
        Self(parts.into_iter().filter(|(kind, value)| named(*kind) && value.len() <= 253).collect())
    }

    /// Takes what a later packet of the session knows and this one does not: accounting brings its own id.
    pub fn learn(&mut self, later: &Self) {
        for (kind, value) in &later.0 {
            if !self.0.iter().any(|(known, _)| known == kind) {
                self.0.push((*kind, value.clone()));
            }
        }
    }
}

fn vendor(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut all = crate::packet::CISCO.to_be_bytes().to_vec();
    // It came in an attribute, so it fits into one.
    all.extend([kind, (value.len() + 2) as u8]);
    all.extend_from_slice(value);
    all
}

/// An Access-Request about a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallFacts {
    /// The switch's own id of the call.
    pub key: String,
    pub called: String,
    pub caller: String,
    pub user: String,
    /// Where the call came from, as the switch says.
    pub remote: String,
    /// The hold that is to be extended, and the seconds that the switch knows of.
    pub state: Option<([u8; 16], u32)>,
    pub session: Session,
}

/// Reads an Access-Request.
pub fn call_facts(packet: &Packet<'_>, client: &Client) -> Result<CallFacts, Unasked> {
    if !client.ignore_passwords && CREDENTIALS.iter().any(|kind| packet.get(*kind).is_some()) {
        return Err(Unasked::Password);
    }
    let state = packet.get(types::STATE).map(|value| read_state(value).ok_or(Unasked::State)).transpose()?;
    let key = call_key(packet, client.key)?;
    let called = text(packet.get(types::CALLED_STATION_ID))?;
    if state.is_none() && called.is_empty() {
        return Err(Unasked::NoCalled);
    }
    Ok(CallFacts {
        key,
        called,
        caller: text(packet.get(types::CALLING_STATION_ID))?,
        user: text(packet.get(types::USER_NAME))?,
        remote: named(packet, cisco::REMOTE_ADDRESS, "h323-remote-address")?,
        state,
        session: Session::of(packet),
    })
}

/// What an Accounting-Request tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Start,
    Stop,
    Interim,
    /// The switch has begun anew (Accounting-On) or ends (Accounting-Off): it has no calls.
    Restarted,
    Other,
}

/// An Accounting-Request about a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub status: Status,
    /// Empty where it names no call.
    pub key: String,
    /// Seconds of the call so far.
    pub seconds: Option<u32>,
    /// Which leg it is about, where it says so: `answer` is the customer's, `originate` the one towards the called side.
    pub origin: String,
    pub session: Session,
}

/// Reads an Accounting-Request; whatever it says, it can be read.
pub fn told(packet: &Packet<'_>, client: &Client) -> Told {
    let status = match packet.number(types::ACCT_STATUS_TYPE) {
        Some(1) => Status::Start,
        Some(2) => Status::Stop,
        Some(3) => Status::Interim,
        Some(7 | 8) => Status::Restarted,
        _ => Status::Other,
    };
    Told {
        status,
        key: call_key(packet, client.key).unwrap_or_default(),
        seconds: packet.number(types::ACCT_SESSION_TIME),
        origin: named(packet, cisco::CALL_ORIGIN, "h323-call-origin").unwrap_or_default(),
        session: Session::of(packet),
    }
}

fn text(value: Option<&[u8]>) -> Result<String, Unasked> {
    let text = std::str::from_utf8(value.unwrap_or_default()).map_err(|_| Unasked::NotText)?;
    Ok(text.trim_end_matches('\0').to_owned())
}

/// One of Cisco's attributes, with its name before the value or without. Empty where there is none.
fn named(packet: &Packet<'_>, kind: u8, name: &str) -> Result<String, Unasked> {
    let found = packet.cisco().find(|attribute| attribute.kind == kind);
    let text = text(found.map(|attribute| attribute.value))?;
    Ok(text.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).unwrap_or(&text).to_owned())
}

fn call_key(packet: &Packet<'_>, from: KeyFrom) -> Result<String, Unasked> {
    let key = match from {
        KeyFrom::H323ConfId => named(packet, cisco::CONF_ID, "h323-conf-id")?,
        KeyFrom::SipConfId => named(packet, cisco::SIP_CONF_ID, "sip-conf-id")?,
        KeyFrom::AcctSessionId => text(packet.get(types::ACCT_SESSION_ID))?,
        KeyFrom::CallId => {
            let own = named(packet, cisco::CALL_ID, "call-id")?;
            let pairs = packet.cisco().filter(|attribute| attribute.kind == cisco::AVPAIR);
            let pair = pairs.filter_map(|pair| pair.value.strip_prefix(b"call-id=")).next();
            if own.is_empty() { text(pair)? } else { own }
        }
    };
    if key.is_empty() { Err(Unasked::NoKey) } else { Ok(key) }
}

/// What a switch gives back when it asks for more of a call.
pub fn state(hold: &[u8; 16], seconds: u32) -> Vec<u8> {
    [STATE, hold, &seconds.to_be_bytes()].concat()
}

fn read_state(value: &[u8]) -> Option<([u8; 16], u32)> {
    let (hold, seconds) = value.strip_prefix(STATE)?.split_first_chunk::<16>()?;
    Some((*hold, u32::from_be_bytes(seconds.try_into().ok()?)))
}

/// Yes: the seconds bind, counted from the call's answer. `state`: whoever is given it asks again before they are over.
pub fn accept(asked: &Packet<'_>, secret: &[u8], seconds: u32, state: Option<&[u8]>) -> Vec<u8> {
    let mut builder = reply(Code::AccessAccept, asked);
    builder.number(types::SESSION_TIMEOUT, seconds);
    if let Some(state) = state {
        // RFC 2865 section 5.29: when the time is over, ask again.
        builder.add(types::STATE, state).number(types::TERMINATION_ACTION, 1);
    }
    builder.cisco(cisco::RETURN_CODE, "h323-return-code=0");
    builder.cisco(cisco::CREDIT_TIME, &format!("h323-credit-time={seconds}"));
    sign::answer(builder, secret, &asked.authenticator())
}

/// No, and why: a word and a sentence.
pub fn reject(asked: &Packet<'_>, secret: &[u8], word: &str, sentence: &str) -> Vec<u8> {
    let mut builder = reply(Code::AccessReject, asked);
    let mut text = format!("{word}: {sentence}");
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= TEXT_MAX).last().unwrap_or(0);
    if text.len() > TEXT_MAX {
        text.truncate(end);
    }
    builder.add(types::REPLY_MESSAGE, text.as_bytes());
    builder.cisco(cisco::RETURN_CODE, &format!("h323-return-code={}", return_code(word)));
    builder.cisco(cisco::CREDIT_TIME, "h323-credit-time=0");
    sign::answer(builder, secret, &asked.authenticator())
}

/// "We are here": the answer to `Status-Server` (RFC 5997 section 4), on the port of that code.
pub fn alive(asked: &Packet<'_>, secret: &[u8], code: Code) -> Vec<u8> {
    sign::answer(reply(code, asked), secret, &asked.authenticator())
}

/// An Accounting-Response: the request has come.
pub fn noted(asked: &Packet<'_>, secret: &[u8]) -> Vec<u8> {
    let builder = with_proxies(Builder::new(Code::AccountingResponse, asked.identifier), asked);
    sign::answer(builder, secret, &asked.authenticator())
}

/// An answer with what proxies on the way need to find back (RFC 2865 section 5.33).
fn reply(code: Code, asked: &Packet<'_>) -> Builder {
    with_proxies(sign::begin(code, asked.identifier), asked)
}

fn with_proxies(mut builder: Builder, asked: &Packet<'_>) -> Builder {
    for attribute in asked.attributes().filter(|attribute| attribute.kind == types::PROXY_STATE) {
        builder.add(types::PROXY_STATE, attribute.value);
    }
    builder
}

/// "This call may last so many seconds in all" (RFC 5176 section 2.2). `at`: seconds since 1970, against replays.
pub fn coa_request(identifier: u8, session: &Session, secret: &[u8], at: u32, seconds: u32) -> Vec<u8> {
    let mut builder = dynamic(Code::CoaRequest, identifier, session, at);
    builder.number(types::SESSION_TIMEOUT, seconds);
    builder.cisco(cisco::CREDIT_TIME, &format!("h323-credit-time={seconds}"));
    sign::request(builder, secret)
}

/// "End this call" (RFC 5176 section 2.1).
pub fn disconnect_request(identifier: u8, session: &Session, secret: &[u8], at: u32) -> Vec<u8> {
    sign::request(dynamic(Code::DisconnectRequest, identifier, session, at), secret)
}

fn dynamic(code: Code, identifier: u8, session: &Session, at: u32) -> Builder {
    let mut builder = sign::begin(code, identifier);
    for (kind, value) in &session.0 {
        builder.add(*kind, value);
    }
    builder.number(types::EVENT_TIMESTAMP, at);
    builder
}

/// Why a switch did not do as it was told (RFC 5176 section 3.5), for people.
pub fn error_cause(packet: &Packet<'_>) -> &'static str {
    match packet.number(types::ERROR_CAUSE) {
        Some(401) => "unsupported attribute",
        Some(402) => "missing attribute",
        Some(403) => "another switch's session",
        Some(404) => "invalid request",
        Some(405) => "unsupported service",
        Some(406) => "unsupported extension",
        Some(407) => "invalid attribute value",
        Some(501) => "prohibited by its administrator",
        Some(503) => "no such session",
        Some(504) => "the session cannot be removed",
        Some(505) => "a proxy failed",
        Some(506) => "resources unavailable",
        Some(_) => "another cause",
        None => "no cause given",
    }
}

/// Cisco's `h323-return-code` of a refusal's word.
pub fn return_code(word: &str) -> u16 {
    match word {
        "unknown_account" | "no_agreement" => 1,
        "calls" | "calls_per_second" => 3,
        "daily_spend" => 6,
        "ended" | "no_hold" | "not_extendable" | "duration" | "password" => 7,
        "barred" | "blocked" | "highest_rate" | "no_rate" => 9,
        "bad_number" | "bad_request" => 11,
        "credit" => 12,
        _ => 8,
    }
}

#[cfg(test)]
mod tests;
