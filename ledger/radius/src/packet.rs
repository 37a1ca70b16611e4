//! One packet: 20 octets of header and attributes of type, length, value (RFC 2865 section 3 and 5). Reading checks every
//! length and copies nothing; what cannot be read is a word of a closed set. Says nothing about who sent it (`sign`).

/// Shortest and longest packet (RFC 2865 section 3).
pub const PACKET_MIN: usize = 20;
pub const PACKET_MAX: usize = 4096;
/// Longest value of an attribute.
pub const VALUE_MAX: usize = 253;
/// The vendor id of Cisco, whose attributes voice switches of all makers speak.
pub const CISCO: u32 = 9;

/// Types of attributes that are read or written here (RFC 2865, 2866, 2869, 3162, 3576, 5090).
pub mod types {
    pub const USER_NAME: u8 = 1;
    pub const USER_PASSWORD: u8 = 2;
    pub const CHAP_PASSWORD: u8 = 3;
    pub const NAS_IP_ADDRESS: u8 = 4;
    pub const NAS_PORT: u8 = 5;
    pub const REPLY_MESSAGE: u8 = 18;
    pub const STATE: u8 = 24;
    pub const VENDOR_SPECIFIC: u8 = 26;
    pub const SESSION_TIMEOUT: u8 = 27;
    pub const TERMINATION_ACTION: u8 = 29;
    pub const CALLED_STATION_ID: u8 = 30;
    pub const CALLING_STATION_ID: u8 = 31;
    pub const NAS_IDENTIFIER: u8 = 32;
    pub const PROXY_STATE: u8 = 33;
    pub const ACCT_STATUS_TYPE: u8 = 40;
    pub const ACCT_SESSION_ID: u8 = 44;
    pub const ACCT_SESSION_TIME: u8 = 46;
    pub const EVENT_TIMESTAMP: u8 = 55;
    pub const EAP_MESSAGE: u8 = 79;
    pub const MESSAGE_AUTHENTICATOR: u8 = 80;
    pub const NAS_IPV6_ADDRESS: u8 = 95;
    pub const ERROR_CAUSE: u8 = 101;
    pub const DIGEST_RESPONSE: u8 = 103;
}

/// What a packet asks or answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    AccessRequest,
    AccessAccept,
    AccessReject,
    AccountingRequest,
    AccountingResponse,
    StatusServer,
    DisconnectRequest,
    DisconnectAck,
    DisconnectNak,
    CoaRequest,
    CoaAck,
    CoaNak,
}

impl Code {
    const ALL: [(Self, u8); 12] = [
        (Self::AccessRequest, 1),
        (Self::AccessAccept, 2),
        (Self::AccessReject, 3),
        (Self::AccountingRequest, 4),
        (Self::AccountingResponse, 5),
        (Self::StatusServer, 12),
        (Self::DisconnectRequest, 40),
        (Self::DisconnectAck, 41),
        (Self::DisconnectNak, 42),
        (Self::CoaRequest, 43),
        (Self::CoaAck, 44),
        (Self::CoaNak, 45),
    ];

    /// The octet on the wire.
    pub fn number(self) -> u8 {
        Self::ALL.iter().find(|(code, _)| *code == self).map_or(0, |(_, number)| *number)
    }

    fn of(number: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == number).map(|(code, _)| *code)
    }
}

/// Why bytes are no packet. Closed; each is counted by its word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum Malformed {
    #[error("shorter than a header")]
    Short,
    #[error("its length field is below 20, above 4096 or beyond the datagram")]
    Length,
    #[error("a code that is not spoken here")]
    Code,
    #[error("an attribute is shorter than its header or runs beyond the packet")]
    Attribute,
}

impl Malformed {
    /// One word, for counters.
    pub fn code(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Length => "bad_length",
            Self::Code => "unknown_code",
            Self::Attribute => "bad_attribute",
        }
    }
}

/// One attribute, or what stands in a vendor's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'a> {
    pub kind: u8,
    pub value: &'a [u8],
}

/// A packet whose lengths have all been checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    pub code: Code,
    pub identifier: u8,
    /// Without padding behind its length.
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a datagram; octets beyond the length field are padding and ignored (RFC 2865 section 3).
    pub fn read(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let Some(header) = datagram.first_chunk::<PACKET_MIN>() else { return Err(Malformed::Short) };
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if !(PACKET_MIN..=PACKET_MAX).contains(&length) {
            return Err(Malformed::Length);
        }
        let bytes = datagram.get(..length).ok_or(Malformed::Length)?;
        let code = Code::of(header[0]).ok_or(Malformed::Code)?;
        let mut rest = &bytes[PACKET_MIN..];
        while !rest.is_empty() {
            (_, rest) = split(rest).ok_or(Malformed::Attribute)?;
        }
        Ok(Self { code, identifier: header[1], bytes })
    }

    /// The whole packet as it counts.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The authenticator field.
    pub fn authenticator(&self) -> [u8; 16] {
        let mut field = [0; 16];
        field.copy_from_slice(&self.bytes[4..PACKET_MIN]);
        field
    }

    /// All attributes in their order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        Attributes(&self.bytes[PACKET_MIN..])
    }

    /// The first attribute of that type.
    pub fn get(&self, kind: u8) -> Option<&'a [u8]> {
        self.attributes().find(|attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// The first attribute of that type as a number, if it has four octets.
    pub fn number(&self, kind: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// What Cisco's attributes hold, in their order: several may stand in one (RFC 2865 section 5.26). One whose inner
    /// lengths do not fit is passed over.
    pub fn cisco(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let vendors = self.attributes().filter(|attribute| attribute.kind == types::VENDOR_SPECIFIC);
        vendors.filter_map(|attribute| attribute.value.strip_prefix(&CISCO.to_be_bytes())).flat_map(Attributes)
    }
}

struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (attribute, rest) = split(self.0)?;
        self.0 = rest;
        Some(attribute)
    }
}

fn split(bytes: &[u8]) -> Option<(Attribute<'_>, &[u8])> {
    let [kind, length, ..] = *bytes else { return None };
    let value = bytes.get(2..usize::from(length))?;
    Some((Attribute { kind, value }, &bytes[usize::from(length)..]))
}

/// A packet under construction. What does not fit is left out and told by `whole`.
#[derive(Clone, Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    whole: bool,
}

impl Builder {
    /// A packet with no attributes; the authenticator is written when it is signed.
    pub fn new(code: Code, identifier: u8) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend([code.number(), identifier, 0, PACKET_MIN as u8]);
        bytes.resize(PACKET_MIN, 0);
        Self { bytes, whole: true }
    }

    /// Appends an attribute.
    pub fn add(&mut self, kind: u8, value: &[u8]) -> &mut Self {
        if value.len() > VALUE_MAX || self.bytes.len() + value.len() + 2 > PACKET_MAX {
            self.whole = false;
            return self;
        }
        self.bytes.extend([kind, (value.len() + 2) as u8]);
        self.bytes.extend_from_slice(value);
        let length = (self.bytes.len() as u16).to_be_bytes();
        self.bytes[2..4].copy_from_slice(&length);
        self
    }

    /// Appends a number.
    pub fn number(&mut self, kind: u8, value: u32) -> &mut Self {
        self.add(kind, &value.to_be_bytes())
    }

    /// Appends one of Cisco's attributes as voice switches read it: `name=value` under the number of the name.
    pub fn cisco(&mut self, kind: u8, text: &str) -> &mut Self {
        let mut value = CISCO.to_be_bytes().to_vec();
        let Ok(length) = u8::try_from(text.len() + 2) else {
            self.whole = false;
            return self;
        };
        value.extend([kind, length]);
        value.extend_from_slice(text.as_bytes());
        self.add(types::VENDOR_SPECIFIC, &value)
    }

    /// False where something did not fit.
    pub fn whole(&self) -> bool {
        self.whole
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_length_that_does_not_fit_is_refused_by_name() {
        let mut good = Builder::new(Code::AccessRequest, 7);
        good.add(types::USER_NAME, b"acme").cisco(24, "h323-conf-id=1");
        let good = good.into_bytes();
        let packet = Packet::read(&good).unwrap();
        assert_eq!(packet.get(types::USER_NAME), Some(&b"acme"[..]));
        assert_eq!(packet.cisco().next(), Some(Attribute { kind: 24, value: b"h323-conf-id=1" }));
        for cut in 0..good.len() {
            let expected = if cut < PACKET_MIN { Malformed::Short } else { Malformed::Length };
            assert_eq!(Packet::read(&good[..cut]), Err(expected), "cut at {cut}");
        }
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            Packet::read(&bytes).map(|_| ())
        };
        assert_eq!(changed(0, 99), Err(Malformed::Code));
        assert_eq!(changed(3, 19), Err(Malformed::Length));
        assert_eq!(changed(2, 0x20), Err(Malformed::Length));
        // User-Name with a length of one, and one that runs beyond the packet.
        assert_eq!(changed(21, 1), Err(Malformed::Attribute));
        assert_eq!(changed(21, 250), Err(Malformed::Attribute));
        // Padding behind the length is nothing (RFC 2865 section 3).
        let mut padded = good.clone();
        padded.extend([0; 9]);
        assert_eq!(Packet::read(&padded).unwrap().bytes(), good);
    }

    #[test]
    fn what_does_not_fit_is_told_and_the_rest_stays_readable() {
        let mut full = Builder::new(Code::CoaRequest, 1);
        full.add(1, &[0; 254]);
        assert!(!full.whole());
        let mut full = Builder::new(Code::CoaRequest, 1);
        for _ in 0..20 {
            full.add(1, &[0; VALUE_MAX]);
        }
        assert!(!full.whole());
        let bytes = full.into_bytes();
        assert_eq!(Packet::read(&bytes).unwrap().attributes().count(), 15);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), code in 0u8..50) {
            let mut framed = vec![code, 1, 0, (20 + bytes.len()) as u8];
            framed.extend([0; 16]);
            framed.extend(&bytes);
            for input in [&bytes, &framed] {
                if let Ok(packet) = Packet::read(input) {
                    let read: usize = packet.attributes().map(|attribute| attribute.value.len() + 2).sum();
                    prop_assert_eq!(read + PACKET_MIN, packet.bytes().len());
                    packet.cisco().count();
                }
            }
        }
    }
}
