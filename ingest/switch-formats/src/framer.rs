//! Cuts a stream of bytes into records with bounded memory: encoding, lines, CSV records with quoted line breaks,
//! JSON objects. Damage costs the record it is in, never what stands behind it. It knows no switch.

use crate::decoded::{Fault, Place, RECORD_BYTES_MAX};
use encoding_rs::{Decoder, UTF_16BE, UTF_16LE};

/// Bytes looked at before the encoding is decided.
const HEAD: usize = 512;
/// The buffer grows in such steps, whatever a caller feeds at once.
const STEP: usize = 64 << 10;

/// How records are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// One record a line.
    Lines,
    /// RFC 4180 with this delimiter: a quoted field may hold line breaks.
    Csv(u8),
    /// JSON objects, one behind the other, on lines of their own, or in one array.
    Objects,
}

/// What comes out.
pub(crate) enum Framed<'a> {
    /// Bytes of one record without its line end, UTF-8 if the file was UTF-16.
    Record(&'a [u8], Place),
    Fault(Place, Fault),
}

/// Takes what comes out; false for a record that cannot be used.
pub(crate) type Out<'o> = &'o mut dyn FnMut(Framed<'_>) -> bool;

enum Encoding {
    Undecided(Vec<u8>),
    Bytes,
    Utf16(Box<Decoder>),
    /// Not a file of records at all: only counted.
    Refused {
        what: &'static str,
        bytes: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scan {
    /// Between records (objects), or at the start of a field (CSV, lines).
    Start,
    Plain,
    Quoted,
    /// Behind a quote inside a quoted field (CSV), behind a backslash in a string (JSON).
    Escape,
}

/// A stretch that is thrown away until reading can go on.
struct Discard {
    place: Place,
    fault: Fault,
    after_newline: bool,
}

pub(crate) struct Framer {
    shape: Shape,
    encoding: Encoding,
    buf: Vec<u8>,
    /// Start of the current record in `buf`.
    start: usize,
    /// Next byte of `buf` to be looked at.
    at: usize,
    scan: Scan,
    depth: u32,
    /// Place of `buf[start]`.
    line: u64,
    byte: u64,
    discard: Option<Discard>,
    /// Binary records behind one another are one fault.
    binary: Option<Place>,
    transcoded: String,
}

impl Framer {
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            encoding: Encoding::Undecided(Vec::new()),
            buf: Vec::new(),
            start: 0,
            at: 0,
            scan: Scan::Start,
            depth: 0,
            line: 1,
            byte: 0,
            discard: None,
            binary: None,
            transcoded: String::new(),
        }
    }

    pub fn is_utf16(&self) -> bool {
        matches!(self.encoding, Encoding::Utf16(_))
    }

    pub fn feed(&mut self, bytes: &[u8], out: Out<'_>) {
        for piece in bytes.chunks(STEP) {
            self.piece(piece, false, out);
        }
    }

    pub fn finish(&mut self, out: Out<'_>) {
        if let Encoding::Undecided(head) = &mut self.encoding {
            let head = std::mem::take(head);
            if head.is_empty() {
                let fault = Fault::new(
                    "",
                    "the file is empty",
                    "check that the switch finished writing it; option empty_files = \"accept\" if it writes such files when there were no calls",
                );
                out(Framed::Fault(Place::default(), fault));
                return;
            }
            self.decide(&head, out);
        }
        match &mut self.encoding {
            Encoding::Refused { what, bytes } => {
                let place = Place { line: 0, byte: 0, length: *bytes };
                let fault =
                    Fault::new("", format!("this is {what}, not a file of records"), "unpack or convert it first");
                out(Framed::Fault(place, fault));
                return;
            }
            Encoding::Utf16(_) => self.piece(&[], true, out),
            _ => {}
        }
        self.rest(out);
        self.flush_binary(out);
    }

    fn piece(&mut self, piece: &[u8], last: bool, out: Out<'_>) {
        match &mut self.encoding {
            Encoding::Undecided(head) => {
                head.extend_from_slice(piece);
                if head.len() >= HEAD {
                    let head = std::mem::take(head);
                    self.decide(&head, out);
                }
            }
            Encoding::Refused { bytes, .. } => *bytes += piece.len() as u64,
            Encoding::Bytes => {
                self.buf.extend_from_slice(piece);
                self.cut(out);
            }
            Encoding::Utf16(decoder) => {
                let room = decoder.max_utf8_buffer_length(piece.len()).unwrap_or(piece.len() * 3 + 16);
                self.transcoded.clear();
                self.transcoded.reserve(room);
                // The reserved room always suffices, so one call takes everything.
                let _ = decoder.decode_to_string(piece, &mut self.transcoded, last);
                self.buf.extend_from_slice(self.transcoded.as_bytes());
                self.cut(out);
            }
        }
    }

    /// Chooses the encoding by the first bytes and feeds them.
    fn decide(&mut self, head: &[u8], out: Out<'_>) {
        let (encoding, skip) = encoding_of(head);
        self.encoding = encoding;
        self.byte = skip as u64;
        if let Encoding::Refused { bytes, .. } = &mut self.encoding {
            *bytes = head.len() as u64;
            return;
        }
        for piece in head[skip..].chunks(STEP) {
            self.piece(piece, false, out);
        }
    }

    /// Hands out every complete record in the buffer and keeps the rest.
    fn cut(&mut self, out: Out<'_>) {
        loop {
            if self.discard.is_some() {
                if !self.pass(out) {
                    break;
                }
                continue;
            }
            match self.next_end() {
                Step::Record { end, next } => self.record(end, next, out),
                Step::Nothing { next } => self.move_to(next),
                Step::Broken { reason, next } => {
                    self.fault(
                        next,
                        Fault::new("", reason, "the record is cut off or damaged: get the file again"),
                        out,
                    );
                }
                Step::Garbage => {
                    let fault =
                        Fault::new("", "expected a JSON object", "check the format that is set for this switch");
                    self.discard(fault);
                }
                Step::More if self.at - self.start >= RECORD_BYTES_MAX => self.too_long(out),
                Step::More => break,
            }
        }
        self.buf.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        if self.buf.capacity() > 4 * RECORD_BYTES_MAX && self.buf.len() < STEP {
            self.buf.shrink_to(STEP);
        }
    }

    /// Looks for the end of the record that begins at `start`.
    fn next_end(&mut self) -> Step {
        match self.shape {
            Shape::Lines => match self.buf[self.at..].iter().position(|b| *b == b'\n') {
                Some(n) => Step::Record { end: self.at + n, next: self.at + n + 1 },
                None => {
                    self.at = self.buf.len();
                    Step::More
                }
            },
            Shape::Csv(delimiter) => self.next_csv(delimiter),
            Shape::Objects => self.next_object(),
        }
    }

    fn next_csv(&mut self, delimiter: u8) -> Step {
        while let Some(&byte) = self.buf.get(self.at) {
            self.scan = match (self.scan, byte) {
                (Scan::Quoted, b'"') => Scan::Escape,
                (Scan::Quoted, _) => Scan::Quoted,
                (Scan::Escape, b'"') => Scan::Quoted,
                (Scan::Start, b'"') => Scan::Quoted,
                (_, b'\n') => {
                    self.scan = Scan::Start;
                    return Step::Record { end: self.at, next: self.at + 1 };
                }
                (_, b) if b == delimiter => Scan::Start,
                _ => Scan::Plain,
            };
            self.at += 1;
        }
        Step::More
    }

    fn next_object(&mut self) -> Step {
        while let Some(&byte) = self.buf.get(self.at) {
            self.at += 1;
            match (self.scan, byte) {
                (Scan::Start, b'{') => (self.scan, self.depth) = (Scan::Plain, 1),
                (Scan::Start, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']') => {
                    return Step::Nothing { next: self.at };
                }
                (Scan::Start, _) => return Step::Garbage,
                (Scan::Plain, b'"') => self.scan = Scan::Quoted,
                (Scan::Plain, b'{' | b'[') => {
                    if byte == b'{' && self.begins_anew() {
                        return Step::Broken { reason: "the JSON object is not complete", next: self.at - 1 };
                    }
                    self.depth += 1;
                }
                (Scan::Plain, b'}' | b']') => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.scan = Scan::Start;
                        return Step::Record { end: self.at, next: self.at };
                    }
                }
                (Scan::Quoted, b'\\') => self.scan = Scan::Escape,
                (Scan::Quoted, b'"') => self.scan = Scan::Plain,
                (Scan::Quoted | Scan::Escape, b'\n') => {
                    return Step::Broken { reason: "a line ends inside a JSON string", next: self.at };
                }
                (Scan::Escape, _) => self.scan = Scan::Quoted,
                _ => {}
            }
        }
        Step::More
    }

    /// A `{` at the start of a line where JSON allows no object: the record before it was cut off.
    fn begins_anew(&self) -> bool {
        let before = &self.buf[self.start..self.at - 1];
        before.last() == Some(&b'\n')
            && !before.iter().rev().find(|b| !b.is_ascii_whitespace()).is_some_and(|b| matches!(b, b',' | b'[' | b':'))
    }

    fn record(&mut self, end: usize, next: usize, out: Out<'_>) {
        let mut raw = &self.buf[self.start..end];
        if self.shape != Shape::Objects && raw.last() == Some(&b'\r') {
            raw = &raw[..raw.len() - 1];
        }
        let place = Place { line: self.line, byte: self.byte, length: self.width(raw) };
        if raw.len() > RECORD_BYTES_MAX {
            let fault = too_long_fault(raw.len());
            self.flush_binary(out);
            out(Framed::Fault(place, fault));
        } else if raw.iter().any(|b| *b < 9 || (14..32).contains(b)) {
            let first = self.binary.get_or_insert(place);
            first.length = place.byte + place.length - first.byte;
        } else if !raw.iter().all(u8::is_ascii_whitespace) {
            if let Some(binary) = self.binary.take() {
                out(binary_fault(binary));
            }
            let taken = out(Framed::Record(raw, place));
            if let (false, Shape::Csv(_), Some(n)) = (taken, self.shape, raw.iter().position(|b| *b == b'\n')) {
                // A quote that was not closed has swallowed lines: what stands behind the first one is tried again.
                return self.move_to(self.start + n + 1);
            }
        }
        self.move_to(next);
    }

    /// Bytes of the file that these bytes of the buffer stand for.
    fn width(&self, bytes: &[u8]) -> u64 {
        if !self.is_utf16() {
            return bytes.len() as u64;
        }
        bytes
            .iter()
            .map(|b| {
                if b & 0xc0 == 0x80 {
                    0
                } else if *b >= 0xf0 {
                    4
                } else {
                    2
                }
            })
            .sum()
    }

    /// The next record begins at `next`.
    fn move_to(&mut self, next: usize) {
        let passed = &self.buf[self.start..next];
        self.line += passed.iter().filter(|b| **b == b'\n').count() as u64;
        self.byte += self.width(passed);
        (self.start, self.at, self.scan, self.depth) = (next, next, Scan::Start, 0);
    }

    fn fault(&mut self, next: usize, fault: Fault, out: Out<'_>) {
        let place = Place { line: self.line, byte: self.byte, length: self.width(&self.buf[self.start..next]) };
        self.flush_binary(out);
        out(Framed::Fault(place, fault));
        self.move_to(next);
    }

    /// A record longer than the limit: goes on behind the first line break where a record can begin.
    fn too_long(&mut self, out: Out<'_>) {
        match self.resume_in_buffer() {
            Some(next) => {
                let fault = Fault::new(
                    "",
                    format!("the record that begins here does not end within {RECORD_BYTES_MAX} bytes"),
                    "look for a quote or bracket that is not closed",
                );
                self.fault(next, fault, out);
            }
            None => {
                self.discard(too_long_fault(0));
            }
        }
    }

    /// Next place in the buffer behind `start` where a record can begin.
    fn resume_in_buffer(&self) -> Option<usize> {
        let held = &self.buf[self.start..];
        match self.shape {
            Shape::Lines => None,
            Shape::Csv(_) => held.iter().position(|b| *b == b'\n').map(|n| self.start + n + 1),
            Shape::Objects => held.windows(2).position(|w| w == b"\n{").map(|n| self.start + n + 1),
        }
    }

    fn discard(&mut self, fault: Fault) {
        let place = Place { line: self.line, byte: self.byte, length: 0 };
        self.discard = Some(Discard { place, fault, after_newline: false });
    }

    /// Throws away up to where a record can begin; false when the buffer ended first.
    fn pass(&mut self, out: Out<'_>) -> bool {
        let Some(discard) = &mut self.discard else { return true };
        let objects = self.shape == Shape::Objects;
        let mut end = None;
        for (i, byte) in self.buf[self.start..].iter().enumerate() {
            if objects && discard.after_newline && *byte == b'{' {
                end = Some(self.start + i);
                break;
            }
            if *byte == b'\n' && !objects {
                end = Some(self.start + i + 1);
                break;
            }
            discard.after_newline = *byte == b'\n';
        }
        let next = end.unwrap_or(self.buf.len());
        self.move_to(next);
        if end.is_some() {
            self.end_discard(out);
        }
        end.is_some()
    }

    fn end_discard(&mut self, out: Out<'_>) {
        if let Some(mut discard) = self.discard.take() {
            discard.place.length = self.byte - discard.place.byte;
            if discard.fault.reason.is_empty() {
                discard.fault = too_long_fault(discard.place.length as usize);
            }
            self.flush_binary(out);
            out(Framed::Fault(discard.place, discard.fault));
        }
    }

    /// What stands in the buffer when the input ends.
    fn rest(&mut self, out: Out<'_>) {
        loop {
            self.cut(out);
            if self.discard.is_some() {
                self.end_discard(out);
            }
            if self.start == self.buf.len() {
                return;
            }
            let open = match self.shape {
                Shape::Lines => false,
                Shape::Csv(_) => self.scan == Scan::Quoted,
                Shape::Objects => true,
            };
            let end = self.buf.len();
            if !open {
                self.record(end, end, out);
                continue;
            }
            let next = self.resume_in_buffer().unwrap_or(end);
            let (reason, advice) = match self.shape {
                Shape::Objects => ("the JSON object is not complete", "the file is cut off: get it again"),
                _ => ("a quoted field is not closed", "the file is cut off or a quote is missing: get it again"),
            };
            self.fault(next, Fault::new("", reason, advice), out);
        }
    }

    fn flush_binary(&mut self, out: Out<'_>) {
        if let Some(place) = self.binary.take() {
            out(binary_fault(place));
        }
    }
}

enum Step {
    Record {
        end: usize,
        next: usize,
    },
    /// Nothing of interest up to there.
    Nothing {
        next: usize,
    },
    Broken {
        reason: &'static str,
        next: usize,
    },
    Garbage,
    /// The buffer ends before the record does.
    More,
}

fn binary_fault(place: Place) -> Framed<'static> {
    let fault = Fault::new(
        "",
        format!("{} bytes of binary data where a text record was expected", place.length),
        "check the file and the format that is set for this switch",
    );
    Framed::Fault(place, fault)
}

fn too_long_fault(bytes: usize) -> Fault {
    let reason = match bytes {
        0 => String::new(),
        n => format!("the record has {n} bytes, more than the limit of {RECORD_BYTES_MAX}"),
    };
    Fault::new("", reason, "a CDR is never that long: check the file and its line ends")
}

/// Encoding by the first bytes, and how many of them are its mark.
fn encoding_of(head: &[u8]) -> (Encoding, usize) {
    let refused = |what| (Encoding::Refused { what, bytes: 0 }, 0);
    let utf16 = |encoding: &'static encoding_rs::Encoding, skip| {
        (Encoding::Utf16(Box::new(encoding.new_decoder_without_bom_handling())), skip)
    };
    match head {
        [0xef, 0xbb, 0xbf, ..] => return (Encoding::Bytes, 3),
        [0xff, 0xfe, ..] => return utf16(UTF_16LE, 2),
        [0xfe, 0xff, ..] => return utf16(UTF_16BE, 2),
        [0x1f, 0x8b, ..] => return refused("a gzip archive"),
        [b'P', b'K', 3, 4, ..] => return refused("a ZIP archive or an Office document"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return refused("a zstd archive"),
        [b'B', b'Z', b'h', ..] => return refused("a bzip2 archive"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return refused("an xz archive"),
        [b'%', b'P', b'D', b'F', ..] => return refused("a PDF document"),
        _ => {}
    }
    // Text in UTF-16 without a mark: every second byte of the first characters is zero.
    let sample = &head[..head.len().min(64) & !1];
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|b| **b == 0).count();
    let half = sample.len() / 2;
    if half >= 4 && zeros(1) * 10 >= half * 9 && zeros(0) == 0 {
        return utf16(UTF_16LE, 0);
    }
    if half >= 4 && zeros(0) * 10 >= half * 9 && zeros(1) == 0 {
        return utf16(UTF_16BE, 0);
    }
    (Encoding::Bytes, 0)
}
