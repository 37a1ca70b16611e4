//! What all formats share: framing, text encoding, dedupe keys, normalised numbers, contradicting times, places of
//! rejects. A format only turns the text of one record into facts.

use crate::decoded::{Decoded, Fault, Flags, FormatError, FormatReader, Place, Record, Rejected};
use crate::framer::{Framed, Framer, Shape};
use crate::instant::Zone;
use crate::keys::Keys;
use facts::call::{CallEvent, EventKind};
use facts::config::Switch;
use facts::number::E164;
use facts::time::OccurredAt;
use smol_str::SmolStr;

/// Options that every format knows.
const COMMON: [&str; 1] = ["empty_files"];
/// Ends and durations of one record may differ by this much (seconds are cut or rounded up), microseconds.
const TOLERANCE: i64 = 1_000_000;

/// A switch's settings, checked against what its format knows.
pub(crate) struct Options<'a> {
    pub switch: &'a Switch,
    pub zone: Zone,
}

impl<'a> Options<'a> {
    pub fn new(format: &'static str, switch: &'a Switch, known: &[&str]) -> Result<Self, FormatError> {
        for option in switch.options.keys() {
            if !known.contains(&option.as_str()) && !COMMON.contains(&option.as_str()) {
                let known: Vec<&str> = known.iter().chain(&COMMON).copied().collect();
                return Err(FormatError::UnknownOption {
                    switch: switch.id.clone(),
                    format,
                    option: option.clone(),
                    known: known.join(", "),
                });
            }
        }
        let this = Self { switch, zone: Zone::of(switch)? };
        this.choice("empty_files", &["reject", "accept"])?;
        Ok(this)
    }

    /// The value of an option that has a closed set of values; the first is the default.
    pub fn choice(&self, option: &'static str, allowed: &[&'static str]) -> Result<&'static str, FormatError> {
        let Some(value) = self.switch.options.get(option) else { return Ok(allowed[0]) };
        allowed.iter().find(|a| *a == value).copied().ok_or_else(|| FormatError::BadOption {
            switch: self.switch.id.clone(),
            option,
            value: value.clone(),
            allowed: allowed.join(", "),
        })
    }

    pub fn id_domain(&self) -> &'a SmolStr {
        if self.switch.id_domain.is_empty() { &self.switch.id } else { &self.switch.id_domain }
    }

    pub fn origin(&self) -> Origin {
        Origin { id_domain: self.id_domain().clone(), switch: self.switch.id.clone() }
    }
}

/// Whose records these are.
#[derive(Clone)]
pub(crate) struct Origin {
    pub id_domain: SmolStr,
    pub switch: SmolStr,
}

impl Origin {
    /// An empty record event of this switch.
    pub fn record(&self, call_key: &str, started_at: OccurredAt) -> CallEvent {
        let mut event = CallEvent::new(EventKind::Record, "", "", call_key, started_at);
        event.id_domain = self.id_domain.clone();
        event.switch = self.switch.clone();
        event.started_at = Some(started_at);
        event
    }
}

/// What the text of one record says.
pub(crate) enum Item {
    /// A whole CDR. An empty `call_key` takes the dedupe key.
    Record {
        event: Box<CallEvent>,
        record_id: SmolStr,
        flags: Flags,
    },
    /// A single event with its own id or record id.
    Event {
        event: Box<CallEvent>,
        record_id: SmolStr,
    },
    Skip(&'static str),
    /// A header.
    Nothing,
}

/// One format.
pub(crate) trait Decoder: Send {
    fn shape(&self) -> Shape;
    fn decode(&mut self, text: &str) -> Result<Item, Fault>;
}

/// The streaming reader of any format.
pub(crate) struct Reader<D> {
    framer: Framer,
    inner: Inner<D>,
}

struct Inner<D> {
    decoder: D,
    keys: Keys,
    accept_empty: bool,
    utf16: bool,
    latin1: String,
}

impl<D: Decoder> Reader<D> {
    pub fn new(options: &Options<'_>, decoder: D) -> Self {
        let inner = Inner {
            keys: Keys::new(options.id_domain(), &options.switch.id),
            accept_empty: options.switch.options.get("empty_files").is_some_and(|v| v == "accept"),
            utf16: false,
            latin1: String::new(),
            decoder,
        };
        Self { framer: Framer::new(inner.decoder.shape()), inner }
    }
}

impl<D: Decoder> FormatReader for Reader<D> {
    fn feed(&mut self, bytes: &[u8], out: &mut dyn FnMut(Decoded)) {
        let Self { framer, inner } = self;
        inner.utf16 = framer.is_utf16();
        framer.feed(bytes, &mut |framed| inner.framed(framed, out));
    }

    fn finish(&mut self, out: &mut dyn FnMut(Decoded)) {
        let Self { framer, inner } = self;
        inner.utf16 = framer.is_utf16();
        framer.finish(&mut |framed| inner.framed(framed, out));
    }
}

impl<D: Decoder> Inner<D> {
    /// False for a record that was rejected.
    fn framed(&mut self, framed: Framed<'_>, out: &mut dyn FnMut(Decoded)) -> bool {
        match framed {
            Framed::Record(raw, mut place) => match self.record(raw, place) {
                Ok(Some(decoded)) => out(decoded),
                Ok(None) => {}
                Err(mut fault) => {
                    if let (Shape::Csv(_), Some(n)) = (self.decoder.shape(), raw.iter().position(|b| *b == b'\n')) {
                        // The framer goes on behind the first line; the place is that line's.
                        place.length = n as u64;
                        fault.advice = format!("{}; a quote in this line is not closed in it", fault.advice);
                    }
                    out(rejected(place, fault));
                    return false;
                }
            },
            Framed::Fault(place, _) if place == Place::default() && self.accept_empty => {}
            Framed::Fault(place, fault) => out(rejected(place, fault)),
        }
        true
    }

    fn record(&mut self, raw: &[u8], place: Place) -> Result<Option<Decoded>, Fault> {
        let mut encoding = if self.utf16 { Flags::UTF16 } else { Flags::default() };
        let text = match std::str::from_utf8(raw) {
            Ok(text) => text,
            Err(_) => {
                encoding |= Flags::LATIN1;
                let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(raw);
                self.latin1.clear();
                self.latin1.push_str(&text);
                &self.latin1
            }
        };
        match self.decoder.decode(text)? {
            Item::Record { event, record_id, flags } => {
                let mut record = Record { event: *event, record_id, flags: flags | encoding, place };
                self.complete(&mut record, raw)?;
                record.flags |= contradiction(&record.event, record.flags);
                if record.event.called_number.is_none() {
                    record.flags |= Flags::CALLED_NOT_DIGITS;
                }
                Ok(Some(Decoded::Record(record)))
            }
            Item::Event { event, record_id } => {
                let mut record = Record { event: *event, record_id, flags: encoding, place };
                self.complete(&mut record, raw)?;
                Ok(Some(Decoded::Event(record)))
            }
            Item::Skip(why) => Ok(Some(Decoded::Skip { place, why })),
            Item::Nothing => Ok(None),
        }
    }

    /// Dedupe key, call key, line, normalised numbers.
    fn complete(&mut self, record: &mut Record, raw: &[u8]) -> Result<(), Fault> {
        let event = &mut record.event;
        event.line = record.place.line;
        // Our own events are told apart by their ids (design 6.4); all others need a key.
        if event.id.node.is_empty() && event.dedupe.is_none() {
            event.dedupe = Some(if record.record_id.is_empty() {
                record.flags |= Flags::NO_RECORD_ID;
                self.keys.of_raw(raw)?
            } else {
                self.keys.of_record_id(&record.record_id)
            });
        }
        if let (true, Some(key)) = (event.call_key.is_empty(), event.dedupe) {
            event.call_key = key.to_string().into();
        }
        normalise_numbers(event);
        Ok(())
    }
}

pub(crate) fn normalise_numbers(event: &mut CallEvent) {
    let number = |text: &str| E164::normalise(text).ok().filter(|n| !n.is_empty());
    event.caller_number = number(&event.caller);
    event.called_number = number(&event.called);
}

/// Do start, answer, end and duration go together? What is billed stays as the source means it all the same.
fn contradiction(event: &CallEvent, flags: Flags) -> Flags {
    let duration = event.duration.or(event.vendor_duration).unwrap_or(0);
    let order = |a: Option<OccurredAt>, b: Option<OccurredAt>| matches!((a, b), (Some(a), Some(b)) if b < a);
    let wrong = order(event.started_at, event.answered_at)
        || order(event.answered_at, event.ended_at)
        || order(event.started_at, event.ended_at)
        || (event.answered_at.is_none() && duration > 0)
        || matches!((event.answered_at, event.ended_at), (Some(a), Some(e))
            if !flags.contains(Flags::DURATION_OFFSET) && (e.0 - a.0 - duration).abs() > TOLERANCE);
    if wrong { Flags::TIMES_CONTRADICT } else { Flags::default() }
}

fn rejected(place: Place, fault: Fault) -> Decoded {
    Decoded::Reject(Rejected { place, field: fault.field, reason: fault.reason, advice: fault.advice })
}

/// Reads a JSON object into a wire type; the reject names line, column and key where serde knows them.
pub(crate) fn json<'a, T: serde::Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| {
        let advice = match error.classify() {
            serde_json::error::Category::Eof => "the record is cut off: get the file again",
            _ => "one JSON object is expected: check the file and the format that is set for this switch",
        };
        Fault::new("", format!("this is no {what}: {error}"), advice)
    })
}

/// The value of a required field.
pub(crate) fn required<T>(field: &str, value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| {
        Fault::new(field, format!("{field} is missing or empty"), "the record cannot be used without it")
    })
}
