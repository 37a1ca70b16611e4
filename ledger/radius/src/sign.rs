//! Who sent a packet: Message-Authenticator (RFC 3579 section 3.2), and the authenticators of requests and answers
//! (RFC 2865 section 3, RFC 2866 section 3, RFC 5176 section 3.5). MD5 is what the protocol has; a packet with a good Message-Authenticator
//! cannot be forged by it (BlastRADIUS, CVE-2024-3596), so it is asked for unless a client is told not to.

use crate::packet::{Builder, Code, PACKET_MIN, Packet, types};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

/// Why a packet is not believed. Closed; each is counted by its word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum SignError {
    #[error("it carries no Message-Authenticator; BlastRADIUS forges answers to such packets")]
    NoMessageAuthenticator,
    #[error("its Message-Authenticator does not fit: another secret, or somebody changed it")]
    MessageAuthenticator,
    #[error("its authenticator does not fit: another secret, or somebody changed it")]
    Authenticator,
}

impl SignError {
    /// One word, for counters.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoMessageAuthenticator => "no_message_authenticator",
            Self::MessageAuthenticator => "bad_message_authenticator",
            Self::Authenticator => "bad_authenticator",
        }
    }
}

/// Checks a request: its Message-Authenticator (that of an Access-Request or Status-Server covers the field as it is, of all
/// others with zeros in it), and for those others the authenticator itself.
pub fn check_request(packet: &Packet<'_>, secret: &[u8], required: bool) -> Result<(), SignError> {
    let random = matches!(packet.code, Code::AccessRequest | Code::StatusServer);
    let field = if random { packet.authenticator() } else { [0; 16] };
    check_message(packet, secret, &field, required)?;
    if random || digest(packet.bytes(), &[0; 16], secret) == packet.authenticator() {
        return Ok(());
    }
    Err(SignError::Authenticator)
}

/// Checks an answer to the request that carried `asked`.
pub fn check_answer(packet: &Packet<'_>, secret: &[u8], asked: &[u8; 16], required: bool) -> Result<(), SignError> {
    if digest(packet.bytes(), asked, secret) != packet.authenticator() {
        return Err(SignError::Authenticator);
    }
    check_message(packet, secret, asked, required)
}

fn check_message(packet: &Packet<'_>, secret: &[u8], field: &[u8; 16], required: bool) -> Result<(), SignError> {
    let mut at = PACKET_MIN;
    let mut found = None;
    for attribute in packet.attributes() {
        if attribute.kind == types::MESSAGE_AUTHENTICATOR {
            // Twice, or of another length: nothing that anybody honest sends.
            if found.is_some() || attribute.value.len() != 16 {
                return Err(SignError::MessageAuthenticator);
            }
            found = Some(at + 2);
        }
        at += attribute.value.len() + 2;
    }
    let Some(at) = found else {
        return if required { Err(SignError::NoMessageAuthenticator) } else { Ok(()) };
    };
    let mut bytes = packet.bytes().to_vec();
    bytes[4..PACKET_MIN].copy_from_slice(field);
    bytes[at..at + 16].fill(0);
    // Compared in constant time.
    let sent = &packet.bytes()[at..at + 16];
    keyed(secret).chain_update(&bytes).verify_slice(sent).map_err(|_| SignError::MessageAuthenticator)
}

fn keyed(secret: &[u8]) -> Hmac<Md5> {
    Hmac::<Md5>::new_from_slice(secret).unwrap_or_else(|_| unreachable!("a key of HMAC has any length"))
}

/// MD5 of the packet with `field` in the place of its authenticator, and the secret.
fn digest(bytes: &[u8], field: &[u8; 16], secret: &[u8]) -> [u8; 16] {
    let mut hash = Md5::new();
    hash.update(&bytes[..4]);
    hash.update(field);
    hash.update(&bytes[PACKET_MIN..]);
    hash.update(secret);
    hash.finalize().into()
}

/// The start of an answer or of a request of ours: its Message-Authenticator stands first, where no chosen prefix can
/// come before it.
pub fn begin(code: Code, identifier: u8) -> Builder {
    let mut builder = Builder::new(code, identifier);
    builder.add(types::MESSAGE_AUTHENTICATOR, &[0; 16]);
    builder
}

/// Signs an answer; its Message-Authenticator too, where it was begun by [`begin`].
pub fn answer(builder: Builder, secret: &[u8], asked: &[u8; 16]) -> Vec<u8> {
    signed(builder, secret, asked)
}

/// Signs a CoA- or Disconnect-Request that was begun by [`begin`].
pub fn request(builder: Builder, secret: &[u8]) -> Vec<u8> {
    signed(builder, secret, &[0; 16])
}

/// Signs an Access-Request or Status-Server, as switches do: its authenticator is `random` and stays.
pub fn access_request(builder: Builder, secret: &[u8], random: &[u8; 16]) -> Vec<u8> {
    let mut bytes = builder.into_bytes();
    with_message(&mut bytes, secret, random);
    bytes
}

fn signed(builder: Builder, secret: &[u8], field: &[u8; 16]) -> Vec<u8> {
    let mut bytes = builder.into_bytes();
    with_message(&mut bytes, secret, field);
    let authenticator = digest(&bytes, field, secret);
    bytes[4..PACKET_MIN].copy_from_slice(&authenticator);
    bytes
}

/// Writes the Message-Authenticator, if there is one, over `field` in the place of the authenticator.
fn with_message(bytes: &mut [u8], secret: &[u8], field: &[u8; 16]) {
    bytes[4..PACKET_MIN].copy_from_slice(field);
    // Answers to accounting have none: no RFC says over which field it would go, and peers differ.
    if bytes.get(PACKET_MIN) == Some(&types::MESSAGE_AUTHENTICATOR) {
        let message = keyed(secret).chain_update(&*bytes).finalize().into_bytes();
        bytes[PACKET_MIN + 2..PACKET_MIN + 18].copy_from_slice(&message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(octet).collect()
    }

    /// RFC 2865 section 7.1: User Telnet to a specified host.
    #[test]
    fn the_answer_of_the_rfc_has_the_authenticator_of_the_rfc() {
        let asked = bytes(
            "01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d 93 d4 13 ce
             31 96 e4 3f 78 2a 0a ee 04 06 c0 a8 01 10 05 06 00 00 00 03",
        );
        let asked = Packet::read(&asked).unwrap();
        assert_eq!((asked.code, asked.get(types::USER_NAME)), (Code::AccessRequest, Some(&b"nemo"[..])));
        let answer = bytes(
            "02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf 9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00
             0e 06 c0 a8 01 03",
        );
        let answer = Packet::read(&answer).unwrap();
        assert_eq!(check_answer(&answer, b"xyzzy5461", &asked.authenticator(), false), Ok(()));
        let strict = check_answer(&answer, b"xyzzy5461", &asked.authenticator(), true);
        assert_eq!(strict, Err(SignError::NoMessageAuthenticator));
        let other = check_answer(&answer, b"xyzzy5462", &asked.authenticator(), false);
        assert_eq!(other, Err(SignError::Authenticator));
    }

    /// RFC 2202 section 2, cases 1, 2 and 6.
    #[test]
    fn the_keyed_hash_is_that_of_the_rfc() {
        let hash = |key: &[u8], data: &[u8]| keyed(key).chain_update(data).finalize().into_bytes().to_vec();
        assert_eq!(hash(&[0x0b; 16], b"Hi There"), bytes("9294727a3638bb1c13f48ef8158bfc9d"));
        assert_eq!(hash(b"Jefe", b"what do ya want for nothing?"), bytes("750c783e6ab0b503eaa86e310a5db738"));
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hash(&[0xaa; 80], long), bytes("6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"));
    }

    #[test]
    fn one_changed_octet_anywhere_is_not_believed() {
        let mut builder = begin(Code::CoaRequest, 9);
        builder.add(types::ACCT_SESSION_ID, b"s1").number(types::SESSION_TIMEOUT, 600);
        let sent = request(builder, b"secret");
        let packet = Packet::read(&sent).unwrap();
        assert_eq!(check_request(&packet, b"secret", true), Ok(()));
        assert_eq!(packet.attributes().next().unwrap().kind, types::MESSAGE_AUTHENTICATOR, "it stands first");
        let mut plain = begin(Code::AccessRequest, 8);
        plain.add(types::USER_NAME, b"acme");
        let plain = access_request(plain, b"secret", &[5; 16]);
        assert_eq!(check_request(&Packet::read(&plain).unwrap(), b"secret", true), Ok(()));
        for at in 0..plain.len() {
            let mut changed = plain.clone();
            changed[at] ^= 1;
            let believed = Packet::read(&changed).is_ok_and(|packet| check_request(&packet, b"secret", true).is_ok());
            assert!(!believed, "octet {at} of the Access-Request");
        }
        let asked = packet.authenticator();
        let answered = answer(begin(Code::CoaAck, 9), b"secret", &asked);
        let ack = Packet::read(&answered).unwrap();
        assert_eq!(check_answer(&ack, b"secret", &asked, true), Ok(()));
        for at in 0..sent.len() {
            let mut changed = sent.clone();
            changed[at] ^= 1;
            let believed = Packet::read(&changed).is_ok_and(|packet| check_request(&packet, b"secret", true).is_ok());
            assert!(!believed, "octet {at} of the request");
        }
        for at in 0..answered.len() {
            let mut changed = answered.clone();
            changed[at] ^= 1;
            let packet = Packet::read(&changed);
            let believed = packet.is_ok_and(|packet| check_answer(&packet, b"secret", &asked, true).is_ok());
            assert!(!believed, "octet {at} of the answer");
        }
    }
}
