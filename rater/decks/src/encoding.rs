//! Bytes of a text file as text: UTF-8 and UTF-16 with or without a mark, Windows-1252 and Windows-1251 where the
//! words themselves tell them apart, any other where it is named. What could be read two ways is asked.

use crate::DeckError;
use crate::options::ReadOptions;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1251, WINDOWS_1252};
use smol_str::SmolStr;
use std::borrow::Cow;

/// Text and the name of its encoding. Bytes that are no text at all are refused.
pub fn decode<'a>(file: &str, bytes: &'a [u8], template: &ReadOptions) -> Result<(SmolStr, Cow<'a, str>), DeckError> {
    let (encoding, skip) = match (Encoding::for_bom(bytes), &template.encoding) {
        (Some(found), _) => found,
        (None, Some(label)) => {
            let named = Encoding::for_label(label.as_bytes());
            let unknown = || {
                DeckError::Template(format!(
                    "encoding {label:?} is not known; write utf-8, windows-1252, windows-1251, iso-8859-2 or their like"
                ))
            };
            (named.ok_or_else(unknown)?, 0)
        }
        (None, None) => (guess(file, bytes)?, 0),
    };
    let (text, broken) = encoding.decode_without_bom_handling(&bytes[skip..]);
    let name = SmolStr::new(encoding.name().to_lowercase());
    if broken {
        return Err(DeckError::Damaged {
            file: file.to_owned(),
            place: "its text".to_owned(),
            reason: format!(
                "bytes that are no {name}, though it {}",
                if skip > 0 { "begins as such" } else { "should be" }
            ),
        });
    }
    let control = |b: u8| b < 32 && !matches!(b, b'\t' | b'\r' | b'\n' | 0x0c);
    if let Some(at) = text.bytes().position(control) {
        return Err(DeckError::Format {
            file: file.to_owned(),
            what: format!("no text (control byte {:#04x} at byte {at})", text.as_bytes()[at]),
            advice: "send a CSV, XLSX, XLS or ODS file",
        });
    }
    Ok((name, text))
}

fn guess(file: &str, bytes: &[u8]) -> Result<&'static Encoding, DeckError> {
    if let Some(wide) = wide(bytes) {
        return Ok(wide);
    }
    if std::str::from_utf8(bytes).is_ok() {
        return Ok(UTF_8);
    }
    let mut words = Words::default();
    for line in bytes.split(|b| *b == b'\n') {
        words.line(line);
    }
    match (words.western, words.cyrillic, words.unclear) {
        (Some(_), None, None) => Ok(WINDOWS_1252),
        (None, Some(_), None) => Ok(WINDOWS_1251),
        (western, cyrillic, unclear) => {
            let seen = unclear.or(western).or(cyrillic).unwrap_or_default();
            let as_text = |encoding: &'static Encoding| encoding.decode_without_bom_handling(&seen).0.into_owned();
            let (west, east) = (as_text(WINDOWS_1252), as_text(WINDOWS_1251));
            let seen = format!("{west:?} in windows-1252, {east:?} in windows-1251");
            Err(DeckError::Encoding { file: file.to_owned(), seen, example: "windows-1252" })
        }
    }
}

/// UTF-16 without a mark: of mostly Latin text every other byte is 0.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(4096) & !1];
    if head.len() < 8 {
        return None;
    }
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let half = head.len() / 2;
    match (even, odd) {
        (0, odd) if odd * 10 >= half * 3 => Some(UTF_16LE),
        (even, 0) if even * 10 >= half * 3 => Some(UTF_16BE),
        _ => None,
    }
}

/// What the words with bytes above ASCII look like; each kind with its first example.
#[derive(Default)]
struct Words {
    /// One or two such letters among Latin ones, as in `C.te`: Windows-1252.
    western: Option<Vec<u8>>,
    /// Nothing but such letters, three and more: Cyrillic.
    cyrillic: Option<Vec<u8>>,
    /// Neither, or a sign of Windows-1252 in the middle of a word: another encoding.
    unclear: Option<Vec<u8>>,
}

impl Words {
    fn line(&mut self, line: &[u8]) {
        if line.is_ascii() {
            return;
        }
        for word in line.split(|b| !b.is_ascii_alphabetic() && *b < 0x80) {
            let high = word.iter().filter(|b| **b >= 0x80).count();
            if high == 0 || word.iter().all(|b| is_sign(*b)) {
                continue;
            }
            let longest = word.split(u8::is_ascii).map(<[u8]>::len).max().unwrap_or(0);
            let latin = word.iter().any(u8::is_ascii_alphabetic);
            let letters = |set: fn(u8) -> bool| word.iter().filter(|b| **b >= 0x80).all(|b| set(*b));
            let kind = if latin && longest <= 2 && letters(western_letter) {
                &mut self.western
            } else if !latin && word.len() >= 3 && letters(cyrillic_letter) {
                &mut self.cyrillic
            } else if !latin && word.len() < 3 {
                continue; // `à` and `по` say nothing.
            } else {
                &mut self.unclear
            };
            kind.get_or_insert_with(|| word.to_vec());
        }
    }
}

/// Dashes, quotes, blanks, the euro sign and the like, which say nothing about the letters.
fn is_sign(byte: u8) -> bool {
    matches!(byte, 0x80 | 0x82 | 0x84 | 0x85 | 0x91..=0x97 | 0x99 | 0xa0 | 0xa9 | 0xab | 0xae | 0xb0 | 0xb7 | 0xbb)
}

/// In Windows-1252; an apostrophe and a dash may stand inside a word.
fn western_letter(byte: u8) -> bool {
    matches!(byte, 0x8a | 0x8c | 0x8e | 0x9a | 0x9c | 0x9e | 0x9f | 0x92 | 0x96 | 0x97 | 0xa0 | 0xaa | 0xba)
        || (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7)
}

/// In Windows-1251, Russian, Ukrainian and Belarusian.
fn cyrillic_letter(byte: u8) -> bool {
    matches!(
        byte,
        0xa1 | 0xa2 | 0xa5 | 0xa8 | 0xaa | 0xaf | 0xb2 | 0xb3 | 0xb4 | 0xb8 | 0xba | 0xbf | 0x92 | 0x96 | 0x97 | 0xa0
    ) || byte >= 0xc0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], label: Option<&str>) -> String {
        let template = ReadOptions { encoding: label.map(Into::into), ..ReadOptions::default() };
        match decode("deck", bytes, &template) {
            Ok((name, text)) => format!("{name}: {text}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_name_keeps_its_letters_in_every_usual_encoding() {
        let russian = "Россия мобильные по 7";
        let (cyrillic, ..) = WINDOWS_1251.encode(russian);
        assert_eq!(read(&cyrillic, None), format!("windows-1251: {russian}"));
        assert_eq!(read(b"C\xf4te d\x92Ivoire \x96 R\xe9union", None), "windows-1252: Côte d’Ivoire – Réunion");
        let wide: Vec<u8> = "44;Größe;0,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&wide, None), "utf-16le: 44;Größe;0,1\n");
        let wide: Vec<u8> = "44;Größe;0,1\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(read(&wide, None), "utf-16be: 44;Größe;0,1\n");
        let (polish, ..) = encoding_rs::WINDOWS_1250.encode("Zażółć gęślą");
        assert_eq!(read(&polish, Some("windows-1250")), "windows-1250: Zażółć gęślą");
        assert_eq!(read(b"Gr\xf6\xdfe", Some("latin1")), "windows-1252: Größe");
    }

    #[test]
    fn text_of_two_possible_encodings_is_asked_and_not_guessed() {
        let (polish, ..) = encoding_rs::WINDOWS_1250.encode("Małopolska, Śląsk");
        assert!(read(&polish, None).contains("--encoding"), "{}", read(&polish, None));
        let (mut mixed, ..) = (WINDOWS_1251.encode("Россия").0.into_owned(), ());
        mixed.extend(b";C\xf4te");
        assert!(read(&mixed, None).contains("\"Ðîññèÿ\" in windows-1252") || read(&mixed, None).contains("\"Côte\""));
        assert!(read(b"\xa3\xb3\xbc", None).contains("--encoding"));
        assert!(read(b"x", Some("klingon")).contains("not known"));
        assert!(read(b"Gr\xf6\xdfe", Some("utf-8")).contains("no utf-8"));
    }
}
