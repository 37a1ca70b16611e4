//! `tandem quote`: one JSON object a line in, its price with every step out, in the same order (design 13). Reads and
//! writes lines; what they mean is `rating::quote`'s. Never holds more than one line.

use crate::node::Node;
use crate::output::{Ending, Failure, Outcome};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rating::quote::{Came, Quoter};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Longest line: a deck of some 100,000 rows. A longer one is refused, and the rest goes on.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Longest body of one request over HTTP; more lines go by the command, which streams.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Answers the lines of a file, or of stdin; with a configuration they may name its accounts.
pub fn run(file: Option<&Path>, config: Option<&Path>) -> Outcome {
    let quoter = match config {
        Some(path) => Quoter::with(crate::rate::configuration(path)?.1),
        None => Quoter::new(),
    };
    let stdout = io::stdout().lock();
    match file {
        Some(path) => {
            let wrong = |e: io::Error| Failure::Usage(format!("{}: {e}", path.display()));
            answer(quoter, BufReader::new(File::open(path).map_err(wrong)?), stdout)
        }
        None => answer(quoter, io::stdin().lock(), stdout),
    }
}

/// `POST /v1/quote`: the same lines in the body, the same answers, from the same code; accounts are those of the
/// configuration in force.
pub async fn post(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    let done = tokio::task::spawn_blocking(move || {
        // The decks are compiled for those who ask by account only.
        let by_account = body.windows(9).any(|word| word == b"\"account\"");
        let quoter = match by_account {
            true => Quoter::with(rater::tariffs::tariffs_of(&node.config.current())),
            false => Quoter::new(),
        };
        let mut out = Vec::new();
        answer(quoter, &body[..], &mut out).map(|_| out)
    });
    match done.await {
        Ok(Ok(out)) => ([(header::CONTENT_TYPE, "application/x-ndjson")], out).into_response(),
        Ok(Err(Failure::Usage(why) | Failure::Broken(why))) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn answer(mut quoter: Quoter, mut input: impl BufRead, output: impl Write) -> Outcome {
    let mut output = BufWriter::new(output);
    let (mut line, mut number, mut ending) = (Vec::new(), 0u64, Ending::Good);
    loop {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.map_err(|e| Failure::Broken(format!("input: {e}")))? == 0 {
            break;
        }
        number += 1;
        if line.len() as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            skip_line(&mut input).map_err(|e| Failure::Broken(format!("input: {e}")))?;
            ending = Ending::Differs;
            let reason = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            let error = serde_json::json!({"line": number, "field": "", "reason": reason, "advice": "split the deck"});
            written(&mut output, &serde_json::json!({"id": null, "error": error}).to_string())?;
            continue;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let quoted = quoter.answer(number, &String::from_utf8_lossy(text));
        if quoted.came == Came::Refused {
            ending = Ending::Differs;
        }
        written(&mut output, &quoted.line)?;
    }
    output.flush().or_else(closed)?;
    Ok(ending)
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (used, end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if end {
            return Ok(());
        }
    }
}

fn written(output: &mut impl Write, line: &str) -> Result<(), Failure> {
    output.write_all(line.as_bytes()).and_then(|()| output.write_all(b"\n")).or_else(closed)
}

/// A reader that closed the pipe has seen what it wished to see.
fn closed(error: io::Error) -> Result<(), Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => std::process::exit(0),
        _ => Err(Failure::Broken(format!("stdout: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_is_answered_in_its_place_and_the_rest_goes_on() {
        let line = r#"{"id":"a","call":{"called":"49","started_at":"2023-05-09T10:00:00Z","duration":"60"},"deck":{"rates":[{"prefix":"4","first_rate":"0.6"}]}}"#;
        let input = format!("{line}\n\nnot JSON\n{line}");
        let mut out = Vec::new();
        let ending = answer(Quoter::new(), input.as_bytes(), &mut out).unwrap();
        assert_eq!(ending, Ending::Differs);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].contains(r#""net":"0.600000""#) && lines[2] == lines[0], "{text}");
        assert!(lines[1].contains(r#""id":null,"error":{"line":3"#), "{text}");
    }
}
