//! One stream out of a compound file (MS-CFB), bounded: a chain of sectors that runs in a circle or beyond the file is
//! refused. Knows nothing of workbooks.

const SIGNATURE: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
/// Sector numbers from here on are marks, not places.
const MARKS: u32 = 0xffff_fffa;
const ENTRY_BYTES: usize = 128;
const MINI_BYTES: usize = 64;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

struct File<'a> {
    bytes: &'a [u8],
    size: usize,
    fat: Vec<u32>,
}

impl<'a> File<'a> {
    fn sector(&self, id: u32) -> Result<&'a [u8], &'static str> {
        let from = (id as usize).checked_add(1).and_then(|at| at.checked_mul(self.size)).ok_or(BEYOND)?;
        let rest = self.bytes.get(from..).filter(|rest| !rest.is_empty()).ok_or(BEYOND)?;
        // The last sector of a file may be cut.
        Ok(&rest[..rest.len().min(self.size)])
    }

    fn chain(&self, first: u32) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        follow(first, &self.fat, self.bytes.len() / self.size + 1, |id| {
            out.extend_from_slice(self.sector(id)?);
            Ok(())
        })?;
        Ok(out)
    }
}

const BEYOND: &str = "a sector lies beyond the end of the file";

fn follow(
    first: u32,
    fat: &[u32],
    most: usize,
    mut each: impl FnMut(u32) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let (mut id, mut seen) = (first, 0);
    while id < MARKS {
        seen += 1;
        if seen > most {
            return Err("its sectors run in a circle");
        }
        each(id)?;
        id = *fat.get(id as usize).ok_or(BEYOND)?;
    }
    Ok(())
}

/// Names of the streams, and the one that has the first known of `names`.
pub fn stream(bytes: &[u8], names: &[&str]) -> Result<(Vec<String>, Option<Vec<u8>>), &'static str> {
    const SHORT: &str = "its header is cut";
    if !bytes.starts_with(&SIGNATURE) {
        return Err("it is no compound file");
    }
    let size = match u16_at(bytes, 30).ok_or(SHORT)? {
        9 => 512,
        12 => 4096,
        _ => return Err("its sectors are of an unknown size"),
    };
    let header = |at| u32_at(bytes, at).ok_or(SHORT);
    let mut file = File { bytes, size, fat: Vec::new() };
    let mut places: Vec<u32> = (0..109).filter_map(|at| u32_at(bytes, 76 + at * 4)).collect();
    let (mut more, mut turns) = (header(68)?, 0);
    while more < MARKS {
        turns += 1;
        if turns > bytes.len() / size + 1 {
            return Err("its sectors run in a circle");
        }
        let sector = file.sector(more)?;
        let last = size / 4 - 1;
        places.extend((0..last).filter_map(|at| u32_at(sector, at * 4)));
        more = u32_at(sector, last * 4).ok_or(BEYOND)?;
    }
    for place in places.into_iter().filter(|place| *place < MARKS) {
        let sector = file.sector(place)?;
        file.fat.extend((0..size / 4).filter_map(|at| u32_at(sector, at * 4)));
        if file.fat.len() > bytes.len() {
            return Err("its table of sectors is longer than the file");
        }
    }
    let folder = file.chain(header(48)?)?;
    let mut entries = Vec::new();
    for entry in folder.chunks_exact(ENTRY_BYTES) {
        let units = (0..32).filter_map(|at| u16_at(entry, at * 2)).take_while(|unit| *unit != 0);
        let name: String = char::decode_utf16(units).map(|c| c.unwrap_or('?')).collect();
        let (start, length) = (u32_at(entry, 116).ok_or(SHORT)?, u32_at(entry, 120).ok_or(SHORT)?);
        entries.push((name, entry[66], start, length as usize));
    }
    let all = entries.iter().map(|(name, ..)| name.clone()).collect();
    let named = |name: &&str| entries.iter().find(|(known, kind, ..)| *kind == 2 && known.eq_ignore_ascii_case(name));
    let Some((_, _, start, length)) = names.iter().find_map(named) else { return Ok((all, None)) };
    let mut found = if *length < header(56)? as usize {
        let root = entries.iter().find(|(_, kind, ..)| *kind == 5).ok_or("it has no root")?;
        let mini = file.chain(root.2)?;
        let table = file.chain(header(60)?)?;
        let table: Vec<u32> = (0..table.len() / 4).filter_map(|at| u32_at(&table, at * 4)).collect();
        let mut out = Vec::new();
        follow(*start, &table, mini.len() / MINI_BYTES + 1, |id| {
            let from = id as usize * MINI_BYTES;
            out.extend_from_slice(mini.get(from..from + MINI_BYTES).ok_or(BEYOND)?);
            Ok(())
        })?;
        out
    } else {
        file.chain(*start)?
    };
    found.truncate(*length);
    Ok((all, Some(found)))
}
