//! What a reader hands out: records, single events, rejects, skipped things; and the interface of all readers.
//! It never decides what a record costs or whether it is a repeat of one from another file.

use facts::call::CallEvent;
use smol_str::SmolStr;
use std::fmt;

/// Longest record kept in memory; a longer one is rejected and reading goes on behind it.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most columns of one CSV record.
pub const COLUMNS_MAX: usize = 1024;
/// Most records without an id of their own in one file (each costs a few bytes of memory, design 6.6).
pub const UNNUMBERED_RECORDS_MAX: usize = 20_000_000;

/// Something noteworthy about a record that was read all the same.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

flags! {
    /// Bytes were no UTF-8 and were read as Windows-1252.
    LATIN1 = 0, "latin1";
    /// The file is UTF-16.
    UTF16 = 1, "utf16";
    /// Start, answer, end and duration contradict each other; `duration` is what the source asks to be billed for.
    TIMES_CONTRADICT = 2, "times_contradict";
    /// A local time that happens twice (end of daylight saving): the earlier instant was taken; or never: the later.
    AMBIGUOUS_TIME = 3, "ambiguous_time";
    /// The cause is outside Q.850 (1 to 127) and was left out.
    CAUSE_NOT_Q850 = 4, "cause_not_q850";
    /// A leg to a recorder, not a conversation.
    RECORDING_LEG = 5, "recording_leg";
    /// The call ended at another number than the one first dialled.
    REDIRECTED = 6, "redirected";
    /// The source adds seconds on the customer's side (Yeti `cdo`); they are in `duration`.
    DURATION_OFFSET = 7, "duration_offset";
    /// The cause was derived from the source's disposition word.
    CAUSE_DERIVED = 8, "cause_derived";
    /// The called number is empty or holds something other than digits.
    CALLED_NOT_DIGITS = 9, "called_not_digits";
    /// The record has no id of its own: repeats are told by its bytes.
    NO_RECORD_ID = 10, "no_record_id";
    /// Answer or end are not in the record: they were derived from its start and its durations.
    TIMES_DERIVED = 11, "times_derived";
}

impl Flags {
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names of the set flags, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// Where something stands in its file, in the file's own bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Place {
    /// 1-based line of the first byte.
    pub line: u64,
    pub byte: u64,
    pub length: u64,
}

/// One whole CDR: an event of kind `Record`.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// `dedupe`, `line` and (where the format has none) `call_key` are set; id, import, raw and observed_at are not.
    pub event: CallEvent,
    /// The switch's own id of the record; empty where it has none.
    pub record_id: SmolStr,
    pub flags: Flags,
    pub place: Place,
}

/// A record that could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    pub place: Place,
    /// Column or key at fault; empty when the whole record is.
    pub field: SmolStr,
    pub reason: String,
    pub advice: String,
}

/// What one step of reading gives.
#[derive(Clone, PartialEq, Debug)]
pub enum Decoded {
    Record(Record),
    /// A single event (our own format).
    Event(Record),
    Reject(Rejected),
    /// Read and rightly left out, e.g. a quality record.
    Skip {
        place: Place,
        why: &'static str,
    },
}

/// Reads one file (or stream) of one switch. Fed in pieces of any size; memory stays bounded.
pub trait FormatReader: Send {
    /// Takes the next bytes and hands out everything that is complete.
    fn feed(&mut self, bytes: &[u8], out: &mut dyn FnMut(Decoded));
    /// The input ends here: hands out what is left. A reader reads one input only.
    fn finish(&mut self, out: &mut dyn FnMut(Decoded));
}

/// Why no reader can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("switch {switch}: format {format:?} is unknown; use one of {known}")]
    UnknownFormat { switch: SmolStr, format: String, known: String },
    #[error("switch {switch}: time zone {zone:?} is unknown; use an IANA name such as Europe/Vienna or UTC")]
    UnknownZone { switch: SmolStr, zone: SmolStr },
    #[error("switch {switch}: option {option:?} is unknown for format {format}; it knows {known}")]
    UnknownOption { switch: SmolStr, format: &'static str, option: String, known: String },
    #[error("switch {switch}: option {option} = {value:?} is not possible; use {allowed}")]
    BadOption { switch: SmolStr, option: &'static str, value: String, allowed: String },
}

/// What is wrong with a record: made by the formats, given its place by the common reader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub field: SmolStr,
    pub reason: String,
    pub advice: String,
}

impl Fault {
    pub fn new(field: &str, reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), advice: advice.into() }
    }
}
