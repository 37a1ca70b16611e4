//! A minimal XLSX around one sheet's XML, so that the fuzzer's changes reach the sheet and not only the archive.
//!
//! Writes stored (uncompressed) parts with right checksums; knows of ZIP what a reader needs and nothing else.

const TYPES: &str = r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>"#;
const ROOT: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const WORKBOOK: &str = r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Pricing" sheetId="1" r:id="rId1"/></sheets></workbook>"#;
const RELATIONS: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;

/// A sheet with a header, one rate, a formula's cached text, a date and an error cell.
pub(crate) const SHEET: &str = r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1:E3"/><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>Destination</t></is></c><c r="B1" t="inlineStr"><is><t>Prefix</t></is></c><c r="C1" t="str"><f>"Rates (USD / Min)"</f><v>Rates (USD / Min)</v></c><c r="D1" t="inlineStr"><is><t>Pulse</t></is></c><c r="E1" t="inlineStr"><is><t>Valid From</t></is></c></row><row r="2"><c r="A2" t="inlineStr"><is><t>Austria mobile</t></is></c><c r="B2"><v>43660</v></c><c r="C2"><v>0.0123</v></c><c r="D2" t="inlineStr"><is><t>60/1</t></is></c><c r="E2" t="d"><v>2023-05-09T00:00:00</v></c></row><row r="3"><c r="A3" t="b"><v>1</v></c><c r="B3" t="e"><v>#REF!</v></c><c r="C3"><v>1E-4</v></c></row></sheetData></worksheet>"#;

/// One part of the archive, as it is packed.
pub(crate) struct Part {
    pub name: &'static str,
    pub packed: Vec<u8>,
    /// Deflated; else stored as it is.
    pub deflated: bool,
    /// Bytes that it says it unpacks to.
    pub declared: u32,
}

impl Part {
    /// A part that is not packed.
    pub(crate) fn stored(name: &'static str, bytes: &[u8]) -> Part {
        Part { name, packed: bytes.to_vec(), deflated: false, declared: length(bytes) }
    }

    /// A part that unpacks to that many zeros (a multiple of 258 and one), at 13 bits for 258 of them.
    pub(crate) fn bomb(name: &'static str, zeros: u32, declared: u32) -> Part {
        let mut bits = Bits::default();
        bits.put(0b011, 3); // last block, fixed codes
        bits.put(0b0000_1100, 8); // the literal 0: 00110000, most significant bit first
        for _ in 0..zeros / 258 {
            bits.put(0b1010_0011, 8); // length 258: code 285, 11000101
            bits.put(0, 5); // one byte back
        }
        bits.put(0, 7); // end of the block
        Part { name, packed: bits.end(), deflated: true, declared }
    }
}

/// The workbook's file with this sheet.
pub(crate) fn workbook(sheet: &[u8]) -> Vec<u8> {
    archive(&[Part::stored("xl/worksheets/sheet1.xml", sheet)])
}

/// A workbook with these parts beside those that every one has.
pub(crate) fn archive(more: &[Part]) -> Vec<u8> {
    let usual = [
        Part::stored("[Content_Types].xml", TYPES.as_bytes()),
        Part::stored("_rels/.rels", ROOT.as_bytes()),
        Part::stored("xl/workbook.xml", WORKBOOK.as_bytes()),
        Part::stored("xl/_rels/workbook.xml.rels", RELATIONS.as_bytes()),
    ];
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let mut count = 0_u16;
    for part in usual.iter().chain(more) {
        let (name, bytes) = (part.name, &part.packed);
        count += 1;
        let offset = length(&file);
        file.extend_from_slice(b"PK\x03\x04");
        file.extend_from_slice(&described(part));
        file.extend_from_slice(name.as_bytes());
        file.extend_from_slice(bytes);
        directory.extend_from_slice(b"PK\x01\x02\x14\0");
        directory.extend_from_slice(&described(part));
        directory.extend_from_slice(&[0; 10]); // no comment, first disk, no attributes
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let (at, size) = (length(&file), length(&directory));
    file.append(&mut directory);
    file.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    file.extend_from_slice(&count.to_le_bytes());
    file.extend_from_slice(&count.to_le_bytes());
    file.extend_from_slice(&size.to_le_bytes());
    file.extend_from_slice(&at.to_le_bytes());
    file.extend_from_slice(&[0; 2]);
    file
}

/// What local header and directory share: version, flags, method, time, checksum, sizes, lengths of the names.
fn described(part: &Part) -> Vec<u8> {
    let method = if part.deflated { 8 } else { 0 };
    let mut out = vec![20, 0, 0, 0, method, 0, 0, 0, 0x21, 0];
    // Of what is deflated the checksum is not right: it is refused before anybody could look at it.
    out.extend_from_slice(&crc32(&part.packed).to_le_bytes());
    out.extend_from_slice(&length(&part.packed).to_le_bytes());
    out.extend_from_slice(&part.declared.to_le_bytes());
    out.extend_from_slice(&(part.name.len() as u16).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a fuzzed workbook is small")
}

/// DEFLATE's bits (RFC 1951): from the least significant bit of each byte on.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, bits: u32, count: u32) {
        self.held |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(self.held as u8);
        self.bytes
    }
}

/// ZIP's checksum (CRC-32 of ISO 3309, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
