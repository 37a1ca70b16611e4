//! Switches' files as call events: one file per format, all behind one streaming reader. Pure: bytes in, records,
//! events, rejects out. It never opens a file, never asks a clock, never guesses a time zone and never prices.
//!
//! To add a format: write `src/NAME.rs` with a `Decoder`, name it in [`FORMATS`], [`reader`] and [`detect`], put a
//! small file of your own making into `tests/fixtures/cdrs` and a test beside the code.

mod asterisk;
mod cucm;
mod decoded;
mod detect;
mod framer;
mod freeswitch;
mod instant;
pub mod json;
mod keys;
mod reader;
mod tandem;
mod text;
mod yeti;

#[cfg(test)]
mod tests;

pub use decoded::{
    COLUMNS_MAX, Decoded, Flags, FormatError, FormatReader, Place, RECORD_BYTES_MAX, Record, Rejected,
    UNNUMBERED_RECORDS_MAX,
};
pub use detect::detect;
pub use keys::Tally;
pub use tandem::{EVENT_ADVICE, event_from_json};

use facts::config::Switch;
use reader::{Options, Reader};

/// Names of the formats, as they stand in a switch's configuration.
pub const FORMATS: [&str; 5] = ["yeti", "asterisk", "freeswitch", "cucm", "tandem"];

/// A reader for one input of this switch. `format` is one of [`FORMATS`], usually `switch.format`.
pub fn reader(format: &str, switch: &Switch) -> Result<Box<dyn FormatReader>, FormatError> {
    Ok(match format {
        "yeti" => {
            let options = Options::new("yeti", switch, &[])?;
            Box::new(Reader::new(&options, yeti::Yeti::new(&options)))
        }
        "asterisk" => {
            let options = Options::new("asterisk", switch, &["tail", "delimiter"])?;
            let decoder = asterisk::Asterisk::new(&options)?;
            Box::new(Reader::new(&options, decoder))
        }
        "freeswitch" => {
            let options = Options::new("freeswitch", switch, &["duration", "b_legs"])?;
            let decoder = freeswitch::Freeswitch::new(&options)?;
            Box::new(Reader::new(&options, decoder))
        }
        "cucm" => {
            let options = Options::new("cucm", switch, &["recording_legs"])?;
            let decoder = cucm::Cucm::new(&options)?;
            Box::new(Reader::new(&options, decoder))
        }
        "tandem" => {
            let options = Options::new("tandem", switch, &[])?;
            Box::new(Reader::new(&options, tandem::Tandem::new(&options)))
        }
        other => {
            return Err(FormatError::UnknownFormat {
                switch: switch.id.clone(),
                format: other.to_owned(),
                known: FORMATS.join(", "),
            });
        }
    })
}
