//! Asterisk `cdr_csv` (Master.csv): 16 columns and an optional tail.
//!
//! | columns | tail |
//! |---|---|
//! | 16 | none |
//! | 17 | uniqueid or userfield: told by its form, or by option `tail` |
//! | 18 | uniqueid, userfield |
//! | 19, 20, 21 | as 16, 17, 18, then peeraccount, linkedid, sequence |
//!
//! `call_key` = linkedid, else uniqueid (start second and a counter of that Asterisk; never repeats on one system, with
//! `systemname` not in a cluster either), else the dedupe key. `attempt_key` = dstchannel, whose name ends in a number
//! of its own. Record id = uniqueid and sequence; without a sequence there is none, since one channel may write
//! several records. Times carry no zone: it must be declared. `duration` is `billsec`.

use crate::decoded::{Fault, Flags, FormatError};
use crate::framer::Shape;
use crate::instant::{Zone, duration};
use crate::reader::{Decoder, Item, Options, Origin, required};
use crate::text::Fields;
use facts::call::{Endpoint, Leg};
use smol_str::{SmolStr, format_smolstr};

const BASE: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Auto,
    Uniqueid,
    Userfield,
}

pub(crate) struct Asterisk {
    origin: Origin,
    zone: Zone,
    tail: Tail,
    delimiter: u8,
    fields: Fields,
}

impl Asterisk {
    pub fn new(options: &Options<'_>) -> Result<Self, FormatError> {
        let tail = match options.choice("tail", &["auto", "uniqueid", "userfield"])? {
            "uniqueid" => Tail::Uniqueid,
            "userfield" => Tail::Userfield,
            _ => Tail::Auto,
        };
        let delimiter = match options.choice("delimiter", &["comma", "semicolon", "pipe", "tab"])? {
            "semicolon" => b';',
            "pipe" => b'|',
            "tab" => b'\t',
            _ => b',',
        };
        Ok(Self {
            origin: options.origin(),
            zone: options.zone.clone(),
            tail,
            delimiter,
            fields: Fields::new(delimiter),
        })
    }
}

/// The optional columns, empty where absent.
struct Extra<'a> {
    uniqueid: &'a str,
    linkedid: &'a str,
    sequence: &'a str,
}

fn extra(fields: &Fields, tail: Tail) -> Result<Extra<'_>, Fault> {
    let count = fields.len();
    let (named, late) = match count {
        16..=18 => (count - BASE, false),
        19..=21 => (count - BASE - 3, true),
        _ => {
            return Err(Fault::new(
                "",
                format!("the record has {count} columns; Asterisk writes 16 to 21"),
                "check the delimiter (option delimiter) and that no line is broken",
            ));
        }
    };
    let first = fields.get(BASE);
    let uniqueid = match (named, tail) {
        (0, _) | (1, Tail::Userfield) => "",
        (1, Tail::Auto) if !looks_unique(first) => "",
        _ => first,
    };
    let at = |n: usize| if late { fields.get(BASE + named + n) } else { "" };
    Ok(Extra { uniqueid, linkedid: at(1), sequence: at(2) })
}

/// `1194017034.12`, `pbx1-1194017034.12`: Unix seconds, a point, a counter.
fn looks_unique(text: &str) -> bool {
    let tail = text.rsplit_once('-').map_or(text, |(_, tail)| tail);
    tail.split_once('.').is_some_and(|(seconds, counter)| {
        (9..=11).contains(&seconds.len())
            && !counter.is_empty()
            && seconds.bytes().chain(counter.bytes()).all(|b| b.is_ascii_digit())
    })
}

impl Decoder for Asterisk {
    fn shape(&self) -> Shape {
        Shape::Csv(self.delimiter)
    }

    fn decode(&mut self, text: &str) -> Result<Item, Fault> {
        let Self { origin, zone, tail, fields, .. } = self;
        fields.read(text)?;
        let extra = extra(fields, *tail)?;
        let mut flags = Flags::default();
        let mut time = |field, index: usize| match fields.get(index).trim() {
            "" => Ok(None),
            text => zone.read(field, text, &mut flags).map(Some),
        };
        let started_at = required("start", time("start", 9)?)?;
        let answered_at = time("answer", 10)?;
        let ended_at = time("end", 11)?;
        let billsec = duration("billsec", fields.get(13).trim())?;
        // Column 12 is the whole time from start to end: only checked to be a number, so that shifted columns show.
        duration("duration", fields.get(12).trim())?;
        let key = if extra.linkedid.is_empty() { extra.uniqueid } else { extra.linkedid };
        let mut event = origin.record(key, started_at);
        event.ended_at = ended_at;
        let (answered, cause) = disposition(fields.get(14))?;
        event.answered_at = answered_at.filter(|_| answered);
        if answered && answered_at.is_none() {
            return Err(Fault::new(
                "answer",
                "disposition is ANSWERED, but there is no answer time",
                "check the record",
            ));
        }
        event.duration = Some(if answered { billsec } else { 0 });
        event.q850 = cause;
        if cause.is_some() {
            flags |= Flags::CAUSE_DERIVED;
        }
        event.caller = fields.get(1).into();
        event.called = fields.get(2).into();
        event.inbound = Endpoint { trunk: peer(fields.get(5)), account: fields.get(0).into(), ..Endpoint::default() };
        if !fields.get(6).is_empty() {
            event.leg = Leg::Both;
            event.attempt_key = fields.get(6).into();
            event.outbound = Endpoint { trunk: peer(fields.get(6)), ..Endpoint::default() };
        }
        let record_id = match (extra.uniqueid, extra.sequence) {
            ("", _) | (_, "") => SmolStr::default(),
            (id, sequence) => format_smolstr!("{id}/{sequence}"),
        };
        Ok(Item::Record { event: Box::new(event), record_id, flags })
    }
}

/// Answered or not, and the Q.850 cause by which Asterisk itself chose the word.
fn disposition(word: &str) -> Result<(bool, Option<u16>), Fault> {
    Ok(match word {
        "ANSWERED" => (true, Some(16)),
        "BUSY" => (false, Some(17)),
        "NO ANSWER" | "NOANSWER" => (false, Some(19)),
        "CONGESTION" => (false, Some(34)),
        "FAILED" => (false, None),
        other => {
            return Err(Fault::new(
                "disposition",
                format!("{other:?} is no disposition"),
                "ANSWERED, NO ANSWER, BUSY, FAILED or CONGESTION is expected: check the columns",
            ));
        }
    })
}

/// `SIP/carrier-b791bcc0` is a channel of the peer `SIP/carrier`.
fn peer(channel: &str) -> SmolStr {
    channel.rsplit_once('-').map_or(channel, |(peer, _)| peer).into()
}
