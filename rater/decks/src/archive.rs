//! The archive that a workbook is, measured before anything of it is kept: what its parts really inflate to, and how
//! many things they hold or say they hold of which the reader keeps one each. A zip bomb and a table of strings that
//! declares four billion are refused by name, at the cost of reading once.

use crate::DeckError;
use crate::options::Limits;
use std::io::{Cursor, Read as _};

/// Elements of which the reader keeps one each while it opens a workbook, shared strings apart.
const KEPT: [&[u8]; 11] = [
    b"xf",
    b"numFmt",
    b"font",
    b"fill",
    b"border",
    b"cellStyle",
    b"dxf",
    b"definedName",
    b"sheet",
    b"Relationship",
    b"Override",
];
/// Most of those; a workbook can have 65,490 cell formats.
const KEPT_MAX: u64 = 1_000_000;
/// The longest name of an element with its prefix, or of an attribute with its value, that matters here.
const WINDOW: usize = 64;

/// Adds up declared sizes first, then what every part really inflates to: a header can lie.
pub fn measure(file: &str, bytes: &[u8], limits: &Limits) -> Result<(), DeckError> {
    let broken =
        |place: &str, reason: String| DeckError::Damaged { file: file.to_owned(), place: place.to_owned(), reason };
    let beyond = |what: String, limit: u64| DeckError::TooLarge { file: file.to_owned(), what, limit };
    let mut archive =
        zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken("its zip directory", error.to_string()))?;
    if archive.len() > limits.parts as usize {
        return Err(beyond(format!("{} parts in the workbook", archive.len()), u64::from(limits.parts)));
    }
    let mut left = limits.unpacked_bytes;
    let mut scratch = vec![0u8; 64 << 10];
    for index in 0..archive.len() {
        let mut part = archive.by_index(index).map_err(|error| broken(&format!("part {index}"), error.to_string()))?;
        let name = part.name().map_or_else(|_| format!("part {index}"), |name| name.into_owned());
        if part.size() > left {
            return Err(beyond(format!("part {name} declares {} bytes", part.size()), limits.unpacked_bytes));
        }
        let mut count = Count::default();
        loop {
            let read = part.read(&mut scratch).map_err(|error| broken(&name, error.to_string()))?;
            left = left
                .checked_sub(read as u64)
                .ok_or_else(|| beyond(format!("part {name} unpacks to more than it says"), limits.unpacked_bytes))?;
            count.feed(if read == 0 { &[b' '; WINDOW] } else { &scratch[..read] });
            let strings = count.strings.max(count.declared);
            if strings > u64::from(limits.rows) {
                let says = if count.declared >= count.strings { "declares" } else { "holds" };
                return Err(beyond(format!("part {name} {says} {strings} strings"), u64::from(limits.rows)));
            }
            if count.kept > KEPT_MAX {
                return Err(beyond(format!("part {name} holds {} formats and names", count.kept), KEPT_MAX));
            }
            if read == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// What one part holds, counted as its bytes come.
#[derive(Default)]
struct Count {
    /// Shared strings that stand there.
    strings: u64,
    /// The greatest `uniqueCount`: the reader makes room for so many before it has read one.
    declared: u64,
    /// Elements of [`KEPT`].
    kept: u64,
    /// The end of what came before, as long as what is looked for.
    tail: Vec<u8>,
}

impl Count {
    fn feed(&mut self, piece: &[u8]) {
        let mut text = std::mem::take(&mut self.tail);
        text.extend_from_slice(piece);
        // What begins in the last bytes is looked at when the next piece has come, or was too short to matter.
        let end = text.len().saturating_sub(WINDOW);
        for at in 0..end {
            match text[at] {
                b'<' => self.element(&text[at + 1..at + WINDOW]),
                b'u' if text[at..].starts_with(b"uniqueCount") => self.attribute(&text[at + 11..at + WINDOW]),
                _ => {}
            }
        }
        text.drain(..end);
        self.tail = text;
    }

    fn element(&mut self, rest: &[u8]) {
        let long = rest.iter().position(|byte| matches!(byte, b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n'));
        let name = &rest[..long.unwrap_or(rest.len())];
        let local = name.iter().position(|byte| *byte == b':').map_or(name, |colon| &name[colon + 1..]);
        if local == b"si" {
            self.strings += 1;
        } else if KEPT.contains(&local) {
            self.kept += 1;
        }
    }

    fn attribute(&mut self, rest: &[u8]) {
        let digits =
            rest.iter().skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'=' | b'"' | b'\'' | b'+'));
        let number = digits.take_while(|byte| byte.is_ascii_digit());
        let value = number.fold(0u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
        self.declared = self.declared.max(value);
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn strings_are_counted_however_the_bytes_come() {
        let text = format!(
            "<x:sst count='9' uniqueCount = \"0004294967296\">{}<xfs/></x:sst><xf a='1'/>",
            "<si><t>a</t></si><x:si/>".repeat(50)
        );
        for step in [1, 7, 64, 1000] {
            let mut count = Count::default();
            text.as_bytes().chunks(step).for_each(|piece| count.feed(piece));
            count.feed(&[b' '; super::WINDOW]);
            assert_eq!((count.strings, count.declared, count.kept), (100, 4_294_967_296, 1), "in pieces of {step}");
        }
    }
}
