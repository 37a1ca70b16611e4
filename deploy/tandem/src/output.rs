//! What a command prints and how it ends: data on stdout, everything else on stderr, four exit codes (design 12).

use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// How a command ended when nothing was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All good: exit 0.
    Good,
    /// Done, but something was refused, rejected or differs; the output says what: exit 1.
    Differs,
}

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage or configuration: exit 2.
    Usage(String),
    /// Broken surroundings: exit 3.
    Broken(String),
}

pub type Outcome = Result<Ending, Failure>;

impl Failure {
    pub fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }

    /// The whole chain of causes, outermost first.
    pub fn broken(error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !text.ends_with(&inner_text) {
                text.push_str(": ");
                text.push_str(&inner_text);
            }
            cause = inner.source();
        }
        Self::Broken(text)
    }
}

/// Prints the failure and gives the exit code.
pub fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Ending::Good) => ExitCode::SUCCESS,
        Ok(Ending::Differs) => ExitCode::from(1),
        Err(Failure::Usage(text)) => {
            note(&format!("tandem: {text}"));
            ExitCode::from(2)
        }
        Err(Failure::Broken(text)) => {
            note(&format!("tandem: {text}"));
            ExitCode::from(3)
        }
    }
}

/// A line for people, on stderr; a closed stderr is nobody's problem.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A line of data on stdout. A closed pipe ends the program as the reader wished.
pub fn line(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{text}") {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Failure::Broken(format!("stdout: {e}"))),
    }
}

/// Lines of data on stdout by the million: written in blocks. [`Lines::end`] writes the last.
pub struct Lines(io::BufWriter<io::StdoutLock<'static>>);

impl Lines {
    pub fn new() -> Self {
        Self(io::BufWriter::with_capacity(1 << 16, io::stdout().lock()))
    }

    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        Self::written(self.0.write_all(text.as_bytes()).and_then(|()| self.0.write_all(b"\n")))
    }

    pub fn end(mut self) -> Result<(), Failure> {
        Self::written(self.0.flush())
    }

    fn written(done: io::Result<()>) -> Result<(), Failure> {
        match done {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(e) => Err(Failure::Broken(format!("stdout: {e}"))),
        }
    }
}

/// One JSON object on a line.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).map_err(|e| Failure::Broken(format!("JSON: {e}")))?)
}

/// A table: header, rows, right-aligned columns by number. Widths follow the content.
pub fn table(header: &[&str], right: &[bool], rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let render = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (i, cell) in cells.enumerate() {
            let pad = widths.get(i).copied().unwrap_or(0).saturating_sub(cell.chars().count());
            if i > 0 {
                text.push_str("  ");
            }
            let to_the_right = right.get(i).copied().unwrap_or(false);
            if to_the_right {
                text.extend(std::iter::repeat_n(' ', pad));
            }
            text.push_str(cell);
            if !to_the_right && i + 1 < widths.len() {
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        text
    };
    line(&render(&mut header.iter().copied()))?;
    line(&widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join("  "))?;
    rows.iter().try_for_each(|row| line(&render(&mut row.iter().map(String::as_str))))
}

/// A progress bar on a terminal, nothing elsewhere.
pub fn progress(total: u64, what: &'static str) -> indicatif::ProgressBar {
    if !io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(total);
    let style = indicatif::ProgressStyle::with_template("{msg:12} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}")
        .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_message(what);
    bar
}

/// Asks on the terminal; without one the answer is no.
pub fn confirm(question: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
