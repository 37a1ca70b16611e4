//! `tandem calls read`: a switch's file decoded, with every reject's place, reason and advice. Stores nothing.

use crate::cli::SourceArgs;
use crate::output::{self, Ending, Failure, Outcome};
use facts::config::Switch;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use switch_formats::{Decoded, FormatReader, Tally};

/// Bytes read at once; also what the format is recognised from.
const CHUNK_BYTES: usize = 1 << 20;

/// Decodes and prints a file.
pub fn read(file: &Path, source: &SourceArgs, json: bool) -> Outcome {
    let wrong = |e: std::io::Error| Failure::Usage(format!("{}: {e}", file.display()));
    let mut input = File::open(file).map_err(wrong)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut filled = fill(&mut input, &mut chunk).map_err(wrong)?;
    let format = format_of(file, source, &chunk[..filled])?;
    let mut reader = reader(&format, source)?;
    let mut printer = Printer { file: file.display().to_string(), json, tally: Tally::default(), failed: None };
    while filled > 0 {
        reader.feed(&chunk[..filled], &mut |decoded| printer.print(&decoded));
        if let Some(failure) = printer.failed.take() {
            return Err(failure);
        }
        filled = fill(&mut input, &mut chunk).map_err(wrong)?;
    }
    reader.finish(&mut |decoded| printer.print(&decoded));
    printer.end()
}

/// Reads until the chunk is full or the input ends.
fn fill(input: &mut File, chunk: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match input.read(&mut chunk[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

fn format_of(file: &Path, source: &SourceArgs, begin: &[u8]) -> Result<String, Failure> {
    if let Some(format) = &source.format {
        return Ok(format.clone());
    }
    switch_formats::detect(begin).map(str::to_owned).ok_or_else(|| {
        let known = switch_formats::FORMATS.join(", ");
        Failure::Usage(format!("{}: the format is not recognised; name it with --format ({known})", file.display()))
    })
}

fn reader(format: &str, source: &SourceArgs) -> Result<Box<dyn FormatReader>, Failure> {
    let switch = Switch {
        id: source.switch.as_str().into(),
        format: format.into(),
        id_domain: Default::default(),
        time_zone: source.time_zone.as_deref().unwrap_or_default().into(),
        options: Default::default(),
    };
    switch_formats::reader(format, &switch).map_err(Failure::usage)
}

/// Prints as it goes, so that a file of any size needs no memory.
struct Printer {
    file: String,
    json: bool,
    tally: Tally,
    failed: Option<Failure>,
}

impl Printer {
    fn print(&mut self, decoded: &Decoded) {
        self.tally.add(decoded);
        if self.failed.is_some() {
            return;
        }
        self.failed = if self.json {
            output::line(&switch_formats::json::line(decoded, &self.file)).err()
        } else {
            self.text(decoded).err()
        };
    }

    fn text(&self, decoded: &Decoded) -> Result<(), Failure> {
        match decoded {
            Decoded::Record(record) | Decoded::Event(record) => {
                let event = &record.event;
                let duration = switch_formats::json::duration_of(event).map(facts::time::seconds).unwrap_or_default();
                let flags = if record.flags.is_empty() { String::new() } else { format!("  [{}]", record.flags) };
                output::line(&format!(
                    "{}  {:>15} -> {:<15}  {:>8} s  {}{}",
                    event.occurred_at, event.caller, event.called, duration, event.call_key, flags
                ))
            }
            Decoded::Reject(reject) => {
                let reason = crate::ops::with_field(&reject.field, &reject.reason);
                let (line, byte) = (reject.place.line, reject.place.byte);
                output::note(&format!("{}:{line}: {reason} (byte {byte}); {}", self.file, reject.advice));
                Ok(())
            }
            Decoded::Skip { place, why } => {
                output::note(&format!("{}:{}: left out: {why}", self.file, place.line));
                Ok(())
            }
        }
    }

    fn end(self) -> Outcome {
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        let tally = &self.tally;
        if self.json {
            output::line(&switch_formats::json::summary(tally))?;
        } else {
            let seconds = facts::money::format_scaled(tally.duration, 6, 0);
            output::note(&format!(
                "read {}, accepted {}, repeated {}, rejected {}, {seconds} s",
                tally.read, tally.accepted, tally.repeated, tally.rejected
            ));
        }
        Ok(if tally.rejected == 0 { Ending::Good } else { Ending::Differs })
    }
}
