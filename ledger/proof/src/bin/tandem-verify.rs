//! `tandem-verify`: checks a proof or a certificate that a carrier gave out, with the carrier's public key and nothing
//! else. It asks nobody and needs no data of the carrier. Exit: 0 it stands, 1 it does not, 2 wrong usage.

use proof::{Certificate, Checked, Proof, check, parse_key};
use std::io::Write;
use std::process::ExitCode;

const USAGE: &str = "usage: tandem-verify FILE --key KEY [--json]

FILE  a proof (tandem ledger prove) or a certificate (tandem ledger certificate)
KEY   the carrier's public key (tandem ledger key), or a file that holds it; get it from the carrier
      by another way than the proof

exit: 0 it stands, 1 it does not, 2 wrong usage";

/// Largest file that is read: a proof holds a few entries and some hashes each.
const BYTES_MAX: u64 = 64 << 20;

struct Asked {
    file: String,
    key: String,
    json: bool,
}

fn asked() -> Option<Asked> {
    let (mut file, mut key, mut json) = (None, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--key" => key = Some(arguments.next()?),
            "--json" => json = true,
            option if option.starts_with("--") => return None,
            _ if file.is_some() => return None,
            _ => file = Some(argument),
        }
    }
    Some(Asked { file: file?, key: key?, json })
}

fn read(path: &str) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| format!("{path}: {error}"))?.len();
    if length > BYTES_MAX {
        return Err(format!("{path} has {length} bytes, more than any proof"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

enum Answer {
    Proof(Checked),
    Certificate(Certificate),
}

/// What stands, or (exit code, why not).
fn verify(asked: &Asked) -> Result<Answer, (u8, String)> {
    let text = read(&asked.file).map_err(|why| (2, why))?;
    let key = match parse_key(&asked.key) {
        Some(key) => key,
        None => {
            let text = read(&asked.key).map_err(|why| (2, format!("the key is no key and no file of one: {why}")))?;
            let none = || (2, format!("{} holds no key: 64 hexadecimal digits", asked.key));
            text.lines().find_map(parse_key).ok_or_else(none)?
        }
    };
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| (1, format!("it is no proof and no certificate: {error}")))?;
    let shape = |error: serde_json::Error| (1, format!("it does not have the shape it says: {error}"));
    if json.get("proof").is_some() {
        let proof: Proof = serde_json::from_value(json).map_err(shape)?;
        return check(&proof, &key).map(Answer::Proof).map_err(|fault| (1, fault.to_string()));
    }
    let certificate: Certificate = serde_json::from_value(json).map_err(shape)?;
    certificate.check(&key).map_err(|error| (1, error.to_string()))?;
    Ok(Answer::Certificate(certificate))
}

/// Microseconds since 1970 as a day and time, UTC.
fn time(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    // Civil from days (Howard Hinnant), in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let seconds = rest / 1_000_000;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", rest % 1_000_000)
}

fn say(answer: &Answer) -> String {
    match answer {
        Answer::Certificate(x) => {
            let mut text = format!(
                "the certificate stands: {} up to frame {}, booked {}, signed {}\n",
                x.stream, x.seq, x.booked_at, x.signed_at
            );
            for line in x.books.iter().flat_map(|books| &books.lines) {
                text.push_str(&format!("{} {} debit {} credit {}\n", line.gl, line.currency, line.debit, line.credit));
            }
            text
        }
        Answer::Proof(x) => {
            let mut text = format!(
                "the proof stands: xdr {} is in the ledger as of frame {}, booked {}, signed {}\n",
                x.xdr_id, x.seq, x.booked_at, x.signed_at
            );
            for entry in &x.entries {
                text.push_str(&format!("{} of {} at {}\n", entry.kind, entry.account, time(entry.occurred_at)));
                for line in &entry.postings {
                    let of = [&line.account, &line.product, &line.destination].map(String::as_str).join(" ");
                    text.push_str(&format!("  {} {} {} {}\n", line.gl, line.amount, line.currency, of.trim()));
                }
            }
            text
        }
    }
}

fn main() -> ExitCode {
    let Some(asked) = asked() else {
        let _ = writeln!(std::io::stderr(), "{USAGE}");
        return ExitCode::from(2);
    };
    match verify(&asked) {
        Ok(answer) => {
            let text = match (&answer, asked.json) {
                (Answer::Proof(checked), true) => serde_json::to_string(checked).unwrap_or_default() + "\n",
                (Answer::Certificate(certificate), true) => {
                    serde_json::to_string(certificate).unwrap_or_default() + "\n"
                }
                (answer, false) => say(answer),
            };
            match std::io::stdout().write_all(text.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::from(3),
            }
        }
        Err((code, why)) => {
            let _ = writeln!(std::io::stderr(), "{}: does not stand: {why}", asked.file);
            ExitCode::from(code)
        }
    }
}
