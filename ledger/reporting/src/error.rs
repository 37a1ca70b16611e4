//! What can go wrong between us and the reporting engine. It never carries a password.

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no engine; everything but reports goes on.
    #[error("the reporting engine is not available: {why}; {advice}")]
    Unavailable { why: String, advice: String },
    /// The engine is configured but cannot be reached now.
    #[error("the reporting engine at {url} does not answer: {why}; check that it runs, then try again")]
    Away { url: String, why: String },
    /// The engine refused a statement.
    #[error("the reporting engine refused {what}: {message}")]
    Refused {
        what: String,
        /// ClickHouse's error number, where it gave one.
        code: Option<u32>,
        message: String,
    },
    /// The database holds a schema that this binary does not know.
    #[error(
        "database {database} has reporting schema {found}, this binary knows {known}; run the newer binary, or name another database"
    )]
    NewerSchema { database: String, found: u32, known: u32 },
    /// A setting is wrong.
    #[error("reporting setting {setting}: {reason}")]
    Config { setting: &'static str, reason: String },
    /// A file of ours could not be read or written.
    #[error("{path}: {reason}")]
    File { path: String, reason: String },
}

impl EngineError {
    /// A failure of the client crate, in our words.
    pub(crate) fn from_client(what: &str, url: &str, error: &clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;
        match error {
            Error::BadResponse(message) => Self::refused(what, message),
            Error::Network(_) | Error::TimedOut => Self::Away { url: url.to_owned(), why: chain(error) },
            _ => Self::Refused { what: what.to_owned(), code: None, message: chain(error) },
        }
    }

    fn refused(what: &str, message: &str) -> Self {
        Self::Refused { what: what.to_owned(), code: exception_code(message), message: message.trim().to_owned() }
    }

    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), reason: error.to_string() }
    }

    /// True where the same call may succeed later without anybody doing anything but repairing the surroundings.
    #[must_use]
    pub fn passes_by_itself(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Away { .. } | Self::File { .. } => true,
            // Out of memory, too many parts, disk full, timeouts, cancelled, cannot write, table read-only: the
            // surroundings. Everything else is a statement that will be refused again.
            Self::Refused { code, .. } => {
                matches!(
                    code,
                    Some(23 | 74 | 75 | 76 | 159 | 164 | 202 | 209 | 210 | 236 | 241 | 242 | 243 | 252 | 394)
                )
            }
            Self::NewerSchema { .. } | Self::Config { .. } => false,
        }
    }
}

/// The number in `Code: 47. DB::Exception: ...`.
pub(crate) fn exception_code(message: &str) -> Option<u32> {
    let digits = message.split_once("Code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_wrong_statement() {
        let full = EngineError::refused("x", "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space");
        let wrong = EngineError::refused("x", "Code: 47. DB::Exception: Unknown expression identifier `a`");
        assert!(full.passes_by_itself());
        assert!(!wrong.passes_by_itself());
        assert_eq!(exception_code("no code here"), None);
    }
}
