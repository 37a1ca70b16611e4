//! Which accounts and currencies the index has series of. Written behind each other, never changed; the list of runs says
//! how much of it counts and what that hashes to.

use super::file::PastError;
use facts::Currency;
use smol_str::SmolStr;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Numbers of series by account.
#[derive(Default)]
pub(super) struct Names {
    /// Each series of an account with its currency; `None`: entries that move none of its money.
    by_account: HashMap<SmolStr, Vec<(Option<Currency>, u64)>>,
    count: u64,
    /// What is not in the file yet.
    new: Vec<u8>,
    written: u64,
    hasher: blake3::Hasher,
}

impl Names {
    /// Number of a series, a new one where it has none.
    pub fn number(&mut self, account: &SmolStr, currency: Option<Currency>) -> u64 {
        let known = self.by_account.get(account).and_then(|all| all.iter().find(|(of, _)| *of == currency));
        if let Some((_, number)) = known {
            return *number;
        }
        let code = currency.as_ref().map_or("", Currency::as_str);
        let line = format!("{}\t{code}\n", account.escape_default());
        self.new.extend_from_slice(line.as_bytes());
        self.add(account.clone(), currency)
    }

    fn add(&mut self, account: SmolStr, currency: Option<Currency>) -> u64 {
        let number = self.count;
        self.count += 1;
        self.by_account.entry(account).or_default().push((currency, number));
        number
    }

    /// All series of an account.
    pub fn of(&self, account: &str) -> &[(Option<Currency>, u64)] {
        self.by_account.get(account).map_or(&[], Vec::as_slice)
    }

    /// Brings the file up to date; gives its length and hash.
    pub fn write(&mut self, path: &Path) -> Result<(u64, String), PastError> {
        if !self.new.is_empty() {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
            let file = file.as_mut().map_err(|error| PastError::damaged(path, error.to_string()))?;
            // What a death left behind the end that counts is written over.
            file.set_len(self.written).map_err(PastError::io("cannot cut", path))?;
            std::io::Seek::seek(file, std::io::SeekFrom::End(0)).map_err(PastError::io("cannot seek", path))?;
            file.write_all(&self.new).map_err(PastError::io("cannot write", path))?;
            file.sync_all().map_err(PastError::io("cannot sync", path))?;
            self.hasher.update(&self.new);
            self.written += self.new.len() as u64;
            self.new.clear();
        }
        Ok((self.written, self.hasher.finalize().to_hex().to_string()))
    }

    /// Reads what counts.
    pub fn read(path: &Path, length: u64, hash: &str) -> Result<Self, PastError> {
        let mut this = Self::default();
        if length == 0 {
            return Ok(this);
        }
        let bytes = std::fs::read(path).map_err(|error| PastError::damaged(path, error.to_string()))?;
        let counts = usize::try_from(length).ok().and_then(|length| bytes.get(..length));
        let counts = counts.ok_or_else(|| PastError::damaged(path, "it is too short"))?;
        this.hasher.update(counts);
        if this.hasher.finalize().to_hex().as_str() != hash {
            return Err(PastError::damaged(path, "it does not have the hash it should"));
        }
        this.written = length;
        let none = || PastError::damaged(path, "a line of it is no account and currency");
        for line in std::str::from_utf8(counts).map_err(|_| none())?.lines() {
            let (account, code) = line.split_once('\t').ok_or_else(none)?;
            let currency = match code {
                "" => None,
                code => Some(Currency::new(code).map_err(|_| none())?),
            };
            this.add(unescape(account).ok_or_else(none)?, currency);
        }
        Ok(this)
    }
}

/// Takes back what `escape_default` wrote.
fn unescape(text: &str) -> Option<SmolStr> {
    if !text.contains('\\') {
        return Some(text.into());
    }
    let (mut out, mut rest) = (String::new(), text);
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        let (char, after) = match escaped.as_bytes().first()? {
            b'u' => {
                let (digits, after) = escaped.strip_prefix("u{")?.split_once('}')?;
                (char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, after)
            }
            b't' => ('\t', escaped.get(1..)?),
            b'r' => ('\r', escaped.get(1..)?),
            b'n' => ('\n', escaped.get(1..)?),
            b'\\' | b'\'' | b'"' => (escaped.chars().next()?, escaped.get(1..)?),
            _ => return None,
        };
        out.push(char);
        rest = after;
    }
    out.push_str(rest);
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were_whatever_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        let eur = Currency::new("EUR").ok();
        let names = ["acme", "a\tb\nc", "\\u{41}", "zürich", "quote\"'", ""];
        let mut written = Names::default();
        for (n, name) in names.iter().enumerate() {
            assert_eq!(written.number(&SmolStr::new(name), eur), 2 * n as u64);
            assert_eq!(written.number(&SmolStr::new(name), None), 2 * n as u64 + 1);
            let (length, hash) = written.write(&path).unwrap();
            let read = Names::read(&path, length, &hash).unwrap();
            assert_eq!(read.of(name), written.of(name));
            assert_eq!(read.count, written.count);
        }
        let (length, hash) = written.write(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"left by a death");
        std::fs::write(&path, &bytes).unwrap();
        assert!(Names::read(&path, length, &hash).is_ok());
        bytes[2] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(Names::read(&path, length, &hash).is_err());
    }
}
