//! Messages between ledgers of different sites, as bytes, and how they travel. No safety rests on a message (design 8.6):
//! it makes all sites show the same figures at once and lets rights come before somebody is refused. What counts stands
//! in frames.

use accounting::credit::Message;
use serde::{Deserialize, Serialize};

/// Carries messages to other sites and from them. A message may be lost, come twice, late or in another order; nobody
/// waits for it. Called from the ledger's thread, often: neither call may block.
pub trait Mail: Send + Sync {
    /// Sends to the site of this number, at most once; a site that cannot be reached loses it.
    fn send(&self, to: u16, message: Vec<u8>);
    /// The next message that has come, and the number of the site whose certificate it came under.
    fn take(&self) -> Option<(u16, Vec<u8>)>;
    /// When that site was last heard of by any means (a frame, a request, an empty answer): microseconds since 1970 by
    /// this machine's clock. `None`: not since the start.
    fn heard(&self, site: u16) -> Option<i64>;
    /// True where that site has said that it takes no new calls. Advice: rights are not given to it when they are given
    /// away.
    fn closed(&self, _site: u16) -> bool {
        false
    }
}

/// Longest message taken.
pub const MESSAGE_MAX: usize = 4 << 20;
/// Of the bytes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope<M> {
    /// Of the message's fields; another version is refused by name.
    version: u32,
    message: M,
}

/// Why bytes are no message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MailError {
    #[error("a message of {0} bytes; {MESSAGE_MAX} is the most")]
    TooLong(usize),
    #[error("a message of version {0}, this program reads {VERSION}; upgrade the older site")]
    Version(u32),
    #[error("no message between sites: {0}")]
    Malformed(String),
}

/// A message as JSON. Totals are integers of 10^-12.
pub fn encode(message: &Message) -> Vec<u8> {
    // Maps with string keys and integers only: it cannot fail.
    serde_json::to_vec(&Envelope { version: VERSION, message }).unwrap_or_default()
}

/// Reads what `encode` wrote, here or elsewhere.
pub fn decode(bytes: &[u8]) -> Result<Message, MailError> {
    if bytes.len() > MESSAGE_MAX {
        return Err(MailError::TooLong(bytes.len()));
    }
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let malformed = |error: serde_json::Error| MailError::Malformed(error.to_string());
    let found: Version = serde_json::from_slice(bytes).map_err(malformed)?;
    if found.version != VERSION {
        return Err(MailError::Version(found.version));
    }
    let envelope: Envelope<Message> = serde_json::from_slice(bytes).map_err(malformed)?;
    Ok(envelope.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use accounting::credit::messages::Announced;
    use accounting::credit::{Announcement, PullId, Row};
    use facts::Amount;
    use smallvec::smallvec;

    #[test]
    fn every_message_comes_back_whole_and_another_version_is_named() {
        let row = Row { limit: 1 << 100, funds: -7, given: smallvec![(2, 5), (9, 1)], reserve: 3, ..Row::default() };
        let lines = vec![Announced { line: "acme".into(), row, seen: vec![(2, 11)] }];
        let id = PullId::new(1, 2, 3);
        for message in [
            Message::Announce(Announcement { site: 1, orders: 3, seq: 9, lines }),
            Message::Pull { id, line: "acme".into(), want: Amount(12) },
            Message::Answer { id, seq: u64::MAX },
        ] {
            let bytes = encode(&message);
            assert_eq!(decode(&bytes), Ok(message));
            for at in 0..bytes.len() {
                assert!(decode(&bytes[..at]).is_err());
            }
            let newer = String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":2");
            assert_eq!(decode(newer.as_bytes()), Err(MailError::Version(2)));
        }
        assert_eq!(decode(&vec![b' '; MESSAGE_MAX + 1]), Err(MailError::TooLong(MESSAGE_MAX + 1)));
    }
}
