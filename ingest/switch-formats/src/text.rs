//! Small pieces of reading: percent decoding, JSON values as text, addresses, causes, CSV fields.

use crate::decoded::{COLUMNS_MAX, Fault, Flags};
use core::net::Ipv4Addr;
use csv_core::ReadRecordResult;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A JSON value as text: strings without their quotes, `null` and absence as `None`, all else as it stands.
pub(crate) fn json_text(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let raw = value?.get();
    match raw.as_bytes().first()? {
        b'n' => None,
        b'"' if !raw.contains('\\') => Some(Cow::Borrowed(&raw[1..raw.len() - 1])),
        b'"' => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// The same without empty strings.
pub(crate) fn json_filled(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    json_text(value).filter(|text| !text.is_empty())
}

/// `%41` to `A`; a percent sign without two hexadecimal digits stays.
pub(crate) fn percent_decoded(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('%') {
        return text;
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// The address inside a SIP URI, a channel name or a bare `host[:port]`, without port; nothing where it is a name.
pub(crate) fn host_of(text: &str) -> Option<(&str, u16)> {
    let rest = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let rest = rest.split([';', '>', '?', '/']).next().unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().unwrap_or(0)),
        _ => (rest, 0),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<core::net::IpAddr>().is_ok().then_some((host, port))
}

/// CUCM writes an IPv4 address as a signed 32-bit integer with its first byte lowest; 0 is none.
pub(crate) fn signed_le_ip(text: &str) -> Option<Ipv4Addr> {
    match text.parse::<i32>() {
        Ok(0) | Err(_) => None,
        Ok(value) => Some(Ipv4Addr::from(value.to_le_bytes())),
    }
}

/// A Q.850 cause; 0 and nothing are no cause, what is outside 1 to 127 is flagged and left out.
pub(crate) fn q850(text: &str, flags: &mut Flags) -> Option<u16> {
    match text.parse::<i64>() {
        Ok(0) => None,
        Ok(cause @ 1..=127) => Some(cause as u16),
        Ok(_) => {
            *flags |= Flags::CAUSE_NOT_Q850;
            None
        }
        Err(_) if text.is_empty() => None,
        Err(_) => {
            *flags |= Flags::CAUSE_NOT_Q850;
            None
        }
    }
}

/// A final SIP response code; nothing else.
pub(crate) fn sip_code(text: &str) -> Option<u16> {
    text.parse::<u16>().ok().filter(|code| (200..700).contains(code))
}

/// Fields of one CSV record, unquoted; its memory is used again for the next one.
pub(crate) struct Fields {
    reader: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
}

impl Fields {
    pub fn new(delimiter: u8) -> Self {
        let reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { reader, text: Vec::new(), ends: vec![0; COLUMNS_MAX], count: 0 }
    }

    pub fn read(&mut self, record: &str) -> Result<(), Fault> {
        self.reader.reset();
        if self.text.len() < record.len() + 1 {
            self.text.resize(record.len() + 1, 0);
        }
        let (mut input, mut used, mut fields) = (record.as_bytes(), 0, 0);
        loop {
            let (result, taken, written, ended) =
                self.reader.read_record(input, &mut self.text[used..], &mut self.ends[fields..]);
            input = &input[taken..];
            used += written;
            fields += ended;
            match result {
                // An empty input tells the reader that the record is complete.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    let reason = format!("the record has more than {COLUMNS_MAX} columns");
                    return Err(Fault::new("", reason, "check the delimiter and the line ends of the file"));
                }
            }
        }
        self.count = fields;
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// A field; empty where there is none.
    pub fn get(&self, index: usize) -> &str {
        if index >= self.count {
            return "";
        }
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        std::str::from_utf8(&self.text[start..self.ends[index]]).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_quotes_commas_and_line_breaks() {
        let mut fields = Fields::new(b',');
        for (record, want) in [
            ("a,\"b \"\"c\"\", d\",,e", vec!["a", "b \"c\", d", "", "e"]),
            ("\"x\ny\",1", vec!["x\ny", "1"]),
            ("é,ü", vec!["é", "ü"]),
            ("", vec![]),
            (",", vec!["", ""]),
        ] {
            fields.read(record).unwrap();
            let got: Vec<&str> = (0..fields.len()).map(|i| fields.get(i)).collect();
            assert_eq!(got, want, "{record:?}");
        }
        let wide = ",".repeat(COLUMNS_MAX + 5);
        assert!(fields.read(&wide).unwrap_err().reason.contains("columns"));
        fields.read("a,b").unwrap();
        assert_eq!((fields.len(), fields.get(1), fields.get(7)), (2, "b", ""));
    }

    #[test]
    fn addresses_come_out_of_what_switches_write() {
        assert_eq!(signed_le_ip("239138826").unwrap().to_string(), "10.248.64.14");
        assert_eq!(signed_le_ip("-1062704960"), Some(Ipv4Addr::new(192, 104, 168, 192)));
        assert_eq!(signed_le_ip("0"), None);
        assert_eq!(host_of("sofia/internal/1002@10.10.10.100:5060"), Some(("10.10.10.100", 5060)));
        assert_eq!(host_of("sip:49@[2001:db8::1]:5061;transport=udp"), Some(("2001:db8::1", 5061)));
        assert_eq!(host_of("2001:db8::1"), Some(("2001:db8::1", 0)));
        assert_eq!(host_of("sip:49@example.com"), None);
        assert_eq!(percent_decoded("a%20b%zz%4".into()), "a b%zz%4");
    }
}
