//! Reading what ClickHouse clients send over HTTP: query string, INSERT texts, compressed bodies. Pure; it
//! never touches the engine.

/// Largest body, also after decompression. A batch of 100,000 rows is about 30 MB.
pub const MAX_BODY: usize = 256 << 20;

/// Names in the query string that steer us and are no settings of the engine.
const NOT_SETTINGS: &[&str] = &[
    "query",
    "database",
    "default_format",
    "decompress",
    "compress",
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "role",
    "user",
    "password",
    "wait_end_of_query",
    "buffer_size",
    "enable_http_compression",
    "http_zlib_compression_level",
    "client_protocol_version",
    "send_progress_in_http_headers",
    "quota_key",
    "stacktrace",
];

/// A request, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub query: String,
    pub database: Option<String>,
    pub format: Option<String>,
    pub decompress: bool,
    pub user: Option<String>,
    pub password: Option<String>,
    /// Settings of the engine, in the order sent.
    pub settings: Vec<(String, String)>,
    /// `param_x` without the prefix.
    pub params: Vec<(String, String)>,
}

impl Ask {
    /// From decoded pairs of the query string or of a form.
    pub fn add(&mut self, name: String, value: String) -> Result<(), String> {
        match name.as_str() {
            "query" if self.query.is_empty() => self.query = value,
            "query" => {
                self.query.push('\n');
                self.query.push_str(&value);
            }
            "database" => self.database = Some(value),
            "default_format" => self.format = Some(value),
            "decompress" => self.decompress = value == "1",
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            other => {
                if let Some(param) = other.strip_prefix("param_") {
                    self.params.push((param.to_owned(), value));
                } else if !NOT_SETTINGS.contains(&other) {
                    if !is_name(other) {
                        return Err(format!("setting {other:?} is no name"));
                    }
                    self.settings.push((name, value));
                }
            }
        }
        Ok(())
    }

    /// `SET a = '1', b = '2'`, `readonly` last because nothing can be set after it. `None`: nothing to set.
    pub fn set_statement(&self) -> Option<String> {
        let mut settings: Vec<_> = self.settings.iter().collect();
        settings.sort_by_key(|(name, _)| name == "readonly");
        let list: Vec<String> = settings.iter().map(|(name, value)| format!("{name} = {}", quote(value))).collect();
        (!list.is_empty()).then(|| format!("SET {}", list.join(", ")))
    }
}

/// A string literal of the engine's SQL.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// An identifier in backticks.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An INSERT with data: statement without its FORMAT clause, the format, and where the data begins in the text.
#[derive(Debug, PartialEq, Eq)]
pub struct InsertText<'a> {
    pub statement: &'a str,
    pub format: &'a str,
    pub data_at: usize,
}

/// Finds the FORMAT clause of an INSERT. `None` when the text is no INSERT or brings no data of a format
/// (`INSERT ... SELECT`, `VALUES`): then it runs as it stands. Only the text before the data is looked at, so data
/// may be anything.
pub fn insert_text(text: &[u8]) -> Option<InsertText<'_>> {
    let mut words = Words { text, at: 0 };
    if !words.next()?.1.eq_ignore_ascii_case(b"insert") {
        return None;
    }
    while let Some((start, word)) = words.next() {
        if word.eq_ignore_ascii_case(b"select")
            || word.eq_ignore_ascii_case(b"values")
            || word.eq_ignore_ascii_case(b"with")
        {
            return None;
        }
        if word.eq_ignore_ascii_case(b"format") {
            let (_, format) = words.next()?;
            let mut data_at = words.at;
            while text.get(data_at).is_some_and(|b| matches!(b, b' ' | b'\t')) {
                data_at += 1;
            }
            if text.get(data_at) == Some(&b'\r') {
                data_at += 1;
            }
            if text.get(data_at) == Some(&b'\n') {
                data_at += 1;
            }
            return Some(InsertText {
                statement: std::str::from_utf8(&text[..start]).ok()?,
                format: std::str::from_utf8(format).ok()?,
                data_at,
            });
        }
    }
    None
}

/// Bare words at depth 0, passing over strings, quoted names, comments and parentheses.
struct Words<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        let mut depth = 0usize;
        loop {
            let start = self.at;
            match *self.text.get(start)? {
                b'(' => {
                    depth += 1;
                    self.at += 1;
                }
                b')' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                quote @ (b'\'' | b'"' | b'`') => self.pass_quoted(quote),
                b'-' if self.text.get(start + 1) == Some(&b'-') => self.pass_until(b"\n"),
                b'/' if self.text.get(start + 1) == Some(&b'*') => self.pass_until(b"*/"),
                byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
                    while self.text.get(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
                        self.at += 1;
                    }
                    if depth == 0 {
                        return Some((start, &self.text[start..self.at]));
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn pass_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == quote {
                return;
            }
        }
    }

    fn pass_until(&mut self, end: &[u8]) {
        while self.at < self.text.len() && !self.text[self.at..].starts_with(end) {
            self.at += 1;
        }
        self.at += end.len();
    }
}

/// Unpacks ClickHouse block frames (`decompress=1`): 16 bytes CityHash128, method, u32 size with the 9 header bytes,
/// u32 raw size. The hash is not checked: this is loopback TCP, and LZ4 and the row parser refuse damage.
pub fn decompress(mut body: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(body.len().saturating_mul(3).min(MAX_BODY));
    while !body.is_empty() {
        let header = body.get(16..25).ok_or("compressed body: a block header is cut off")?;
        let size =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
        let (packed, raw) = (size(1), size(5));
        let data =
            (packed >= 9).then(|| body.get(25..16 + packed)).flatten().ok_or("compressed body: a block is cut off")?;
        if out.len() + raw > MAX_BODY {
            return Err(format!("compressed body: unpacks to more than {MAX_BODY} bytes; send smaller batches"));
        }
        match header[0] {
            0x02 => out.extend_from_slice(data),
            0x82 => {
                let start = out.len();
                out.resize(start + raw, 0);
                let written = lz4_flex::block::decompress_into(data, &mut out[start..])
                    .map_err(|e| format!("compressed body: {e}"))?;
                if written != raw {
                    return Err("compressed body: a block unpacks to another size than it says".to_owned());
                }
            }
            method => return Err(format!("compressed body: method {method:#04x} is not LZ4")),
        }
        body = &body[16 + packed..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(&str, &str, &str)> {
        insert_text(text.as_bytes()).map(|i| (i.statement, i.format, &text[i.data_at..]))
    }

    #[test]
    fn the_format_clause_is_found_and_data_is_not_looked_at() {
        assert_eq!(
            parts("INSERT INTO a.`format x`(b, c) FORMAT RowBinary\n format \n"),
            Some(("INSERT INTO a.`format x`(b, c) ", "RowBinary", " format \n"))
        );
        assert_eq!(
            parts("-- format\n/* x */ insert into t format CSV 1,2"),
            Some(("-- format\n/* x */ insert into t ", "CSV", "1,2"))
        );
        assert_eq!(parts("INSERT INTO t SELECT 1 FORMAT Null"), None);
        assert_eq!(parts("INSERT INTO t VALUES ('FORMAT CSV')"), None);
        assert_eq!(parts("SELECT 1 FORMAT JSON"), None);
        assert_eq!(parts("INSERT INTO t"), None);
        assert_eq!(parts("INSERT INTO t (`it''s"), None);
    }

    #[test]
    fn a_setting_cannot_smuggle_sql() {
        let mut ask = Ask::default();
        ask.add("readonly".into(), "1".into()).unwrap();
        ask.add("insert_deduplication_token".into(), "x'; DROP TABLE t --\\".into()).unwrap();
        ask.add("query_id".into(), "7".into()).unwrap();
        assert_eq!(
            ask.set_statement().unwrap(),
            r"SET insert_deduplication_token = 'x\'; DROP TABLE t --\\', readonly = '1'"
        );
        assert!(ask.add("a = 1; DROP TABLE t".into(), String::new()).is_err());
    }

    #[test]
    fn blocks_unpack_and_damage_is_refused() {
        let raw = b"rows rows rows rows rows rows rows rows".repeat(50);
        let packed = lz4_flex::block::compress(&raw);
        let mut body = vec![0u8; 16];
        body.push(0x82);
        body.extend((packed.len() as u32 + 9).to_le_bytes());
        body.extend((raw.len() as u32).to_le_bytes());
        body.extend(&packed);
        let twice = [body.clone(), body.clone()].concat();
        assert_eq!(decompress(&twice).unwrap(), [raw.clone(), raw].concat());
        for cut in [1, 20, 30, body.len() - 1] {
            assert!(decompress(&body[..cut]).is_err(), "{cut}");
        }
        body[16] = 0x99;
        assert!(decompress(&body).is_err());
    }
}
