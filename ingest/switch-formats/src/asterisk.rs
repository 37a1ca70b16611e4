//! Asterisk `cdr_csv` (Master.csv): 16 columns and an optional tail.
//!
//! | columns | tail |
//! |---|---|
//! | 16 | none |
//! | 17 | uniqueid or userfield: told by its form, or by option `tail` |
//! | 18 | uniqueid, userfield |
//! | 19, 20, 21 | as 16, 17, 18, then peeraccount, linkedid, sequence |
//!
//! A file with a line of names (an export of the `cdr` table) is read by its names, in any order.
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
use facts::time::OccurredAt;
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
    /// The line of names of this file and how many columns it has, once it was seen.
    names: Option<(Layout, usize)>,
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
            names: None,
        })
    }
}

/// The columns that are used, and the names by which a file with a line of names may have them: those of `cdr_csv`
/// and of the usual tables (`cdr_adaptive_odbc`, `cdr_mysql`).
macro_rules! columns {
    ($($id:ident $names:expr;)*) => {
        #[derive(Clone, Copy)]
        enum Column { $($id),* }
        const NAMES: &[&[&str]] = &[$(&$names),*];
    };
}

columns! {
    Account ["accountcode"];
    Src ["src"];
    Dst ["dst"];
    Channel ["channel"];
    DstChannel ["dstchannel"];
    Start ["start", "calldate"];
    Answer ["answer"];
    End ["end"];
    Duration ["duration"];
    Billsec ["billsec"];
    Disposition ["disposition"];
    Uniqueid ["uniqueid"];
    Linkedid ["linkedid"];
    Sequence ["sequence"];
}

/// Without these a line of names is of no use.
const NEEDED: [Column; 6] =
    [Column::Src, Column::Dst, Column::Start, Column::Duration, Column::Billsec, Column::Disposition];

/// Where each column stands; nothing for one that the file does not have.
type Layout = [Option<usize>; NAMES.len()];

/// The line of names with the place of each column, if this is one.
pub(crate) fn line_of_names(fields: &Fields) -> Option<Layout> {
    let stands = |names: &[&str]| {
        (0..fields.len()).find(|i| names.iter().any(|name| fields.get(*i).trim().eq_ignore_ascii_case(name)))
    };
    let mut layout = [None; NAMES.len()];
    for (at, names) in layout.iter_mut().zip(NAMES) {
        *at = stands(names);
    }
    let has = |column: Column| layout[column as usize].is_some();
    (has(Column::Src) && has(Column::Dst) && has(Column::Disposition)).then_some(layout)
}

/// The columns of a file without names, told by how many there are.
fn layout_of(fields: &Fields, tail: Tail) -> Result<Layout, Fault> {
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
    let unique = match (named, tail) {
        (0, _) | (1, Tail::Userfield) => false,
        (1, Tail::Auto) => looks_unique(fields.get(BASE)),
        _ => true,
    };
    let at = |n: usize| late.then_some(BASE + named + n);
    let base = [0, 1, 2, 5, 6, 9, 10, 11, 12, 13, 14].map(Some);
    let mut layout = [None; NAMES.len()];
    layout[..base.len()].copy_from_slice(&base);
    layout[Column::Uniqueid as usize] = unique.then_some(BASE);
    layout[Column::Linkedid as usize] = at(1);
    layout[Column::Sequence as usize] = at(2);
    Ok(layout)
}

/// One record by its columns.
struct Row<'a> {
    fields: &'a Fields,
    layout: Layout,
}

impl<'a> Row<'a> {
    /// A column's text; empty where there is none.
    fn get(&self, column: Column) -> &'a str {
        self.layout[column as usize].map_or("", |at| self.fields.get(at).trim())
    }

    fn has(&self, column: Column) -> bool {
        self.layout[column as usize].is_some()
    }
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
        self.fields.read(text)?;
        if let Some(layout) = line_of_names(&self.fields) {
            self.names(layout)?;
            return Ok(Item::Nothing);
        }
        let layout = match &self.names {
            Some((layout, width)) if *width == self.fields.len() => *layout,
            Some((_, width)) => {
                return Err(Fault::new(
                    "",
                    format!("the record has {} columns, the line of names {width}", self.fields.len()),
                    "the record is cut off or damaged: get the file again",
                ));
            }
            None => layout_of(&self.fields, self.tail)?,
        };
        self.record(&Row { fields: &self.fields, layout })
    }
}

impl Asterisk {
    fn names(&mut self, layout: Layout) -> Result<(), Fault> {
        if let Some(column) = NEEDED.into_iter().find(|column| layout[*column as usize].is_none()) {
            let name = NAMES[column as usize][0];
            let reason = format!("the line of names has no column {name}");
            return Err(Fault::new(name, reason, "export the table with this column"));
        }
        self.names = Some((layout, self.fields.len()));
        Ok(())
    }

    fn record(&self, row: &Row<'_>) -> Result<Item, Fault> {
        let mut flags = Flags::default();
        let started_at = required("start", self.time(row, "start", Column::Start, &mut flags)?)?;
        // The whole time from start to end is needed only where the end is not there; as a check it shows shifted columns.
        let whole = duration("duration", row.get(Column::Duration))?;
        let billsec = duration("billsec", row.get(Column::Billsec))?;
        let (answered, cause) = disposition(row.get(Column::Disposition))?;
        let (answered_at, ended_at) = self.ends(row, started_at, (whole, answered.then_some(billsec)), &mut flags)?;
        let (uniqueid, linkedid) = (row.get(Column::Uniqueid), row.get(Column::Linkedid));
        let key = if linkedid.is_empty() { uniqueid } else { linkedid };
        let mut event = self.origin.record(key, started_at);
        event.answered_at = answered_at;
        event.ended_at = ended_at;
        event.duration = Some(if answered { billsec } else { 0 });
        event.q850 = cause;
        if cause.is_some() {
            flags |= Flags::CAUSE_DERIVED;
        }
        event.caller = row.get(Column::Src).into();
        event.called = row.get(Column::Dst).into();
        event.inbound = Endpoint {
            trunk: peer(row.get(Column::Channel)),
            account: row.get(Column::Account).into(),
            ..Endpoint::default()
        };
        let far = row.get(Column::DstChannel);
        if !far.is_empty() {
            event.leg = Leg::Both;
            event.attempt_key = far.into();
            event.outbound = Endpoint { trunk: peer(far), ..Endpoint::default() };
        }
        let record_id = match (uniqueid, row.get(Column::Sequence)) {
            ("", _) | (_, "") => SmolStr::default(),
            (id, sequence) => format_smolstr!("{id}/{sequence}"),
        };
        Ok(Item::Record { event: Box::new(event), record_id, flags })
    }

    fn time(&self, row: &Row<'_>, field: &str, column: Column, flags: &mut Flags) -> Result<Option<OccurredAt>, Fault> {
        match row.get(column) {
            "" => Ok(None),
            text => self.zone.read(field, text, flags).map(Some),
        }
    }

    /// Answer and end. Tables often keep `calldate` only: then the end is `duration` later, and the answer `billsec`
    /// before it. `billed` is nothing for a call that was not answered.
    fn ends(
        &self,
        row: &Row<'_>,
        started_at: OccurredAt,
        (whole, billed): (i64, Option<i64>),
        flags: &mut Flags,
    ) -> Result<(Option<OccurredAt>, Option<OccurredAt>), Fault> {
        let mut answered_at = self.time(row, "answer", Column::Answer, flags)?;
        let mut ended_at = self.time(row, "end", Column::End, flags)?;
        if !row.has(Column::End) {
            ended_at = Some(OccurredAt(started_at.0 + whole));
            *flags |= Flags::TIMES_DERIVED;
        }
        let Some(billed) = billed else { return Ok((None, ended_at)) };
        if !row.has(Column::Answer) {
            answered_at = ended_at.map(|end| OccurredAt(end.0 - billed));
            *flags |= Flags::TIMES_DERIVED;
        }
        if answered_at.is_none() {
            return Err(Fault::new(
                "answer",
                "disposition is ANSWERED, but there is no answer time",
                "check the record",
            ));
        }
        Ok((answered_at, ended_at))
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
