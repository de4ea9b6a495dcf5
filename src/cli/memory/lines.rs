//! Files of one JSON object a line: read by a thread of their own, every line bounded and numbered. Owns
//! reading them and telling which lines are bad; never decides what a line means.

use crate::cli::failure::Failure;
use crate::cli::output::say;
use crate::cli::session::Session;
use crate::cli::text::one_line;
use indicatif::ProgressBar;
use postroad_protocol::body::Encoding;
use postroad_protocol::limits::EXPORT_LINE_MAX_BYTES;
use postroad_protocol::{ErrorCode, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use tokio::sync::mpsc;

/// Lines that are read ahead.
const READ_AHEAD: usize = 16;

/// A line that is not empty.
#[derive(Debug)]
pub(super) struct Line {
    /// Which, from 1; empty lines count.
    pub(super) number: u64,
    /// What it holds, without its end; none where it is longer than a line may be.
    bytes: Option<Vec<u8>>,
}

impl Line {
    /// Reads it as one JSON object.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let Some(bytes) = &self.bytes else {
            return Err(Refusal::new(
                ErrorCode::TooLarge,
                format!("the line has more than {EXPORT_LINE_MAX_BYTES} bytes"),
                "write it as several",
            ));
        };
        if let Err(error) = std::str::from_utf8(bytes) {
            let valid = error.valid_up_to();
            return Err(not_an_object(format!(
                "the line is not UTF-8: byte {valid} begins no character"
            )));
        }
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(not_an_object("the line is not a JSON object"));
        }
        Encoding::Json.decode(bytes).map_err(|mut refusal| {
            let message = refusal.message.replace("the body", "the line");
            // It is one line, whose number in the file is told beside it.
            refusal.message = message.replace(" at line 1 column ", " at column ");
            refusal.field = refusal.field.filter(|field| field != "body");
            refusal
        })
    }
}

fn not_an_object(message: impl Into<String>) -> Refusal {
    Refusal::new(
        ErrorCode::InvalidArgument,
        message,
        "write one JSON object a line, in UTF-8",
    )
}

/// A file, line by line. A pipe that is slow must not keep the connection, so a thread reads it.
pub(super) struct Lines {
    read: mpsc::Receiver<Result<Line, Failure>>,
}

impl Lines {
    /// Opens a file; `-` is stdin.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut reader: Box<dyn BufRead + Send> = if path == Path::new("-") {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let opened = File::open(path).map_err(|error| unreadable(path, &error))?;
            Box::new(BufReader::with_capacity(1 << 16, opened))
        };
        let path = path.to_owned();
        let (sender, read) = mpsc::channel(READ_AHEAD);
        std::thread::spawn(move || {
            let mut number = 0;
            loop {
                let line = match next(&mut *reader, &mut number) {
                    Ok(Some(line)) => Ok(line),
                    Ok(None) => return,
                    Err(error) => Err(unreadable(&path, &error)),
                };
                let failed = line.is_err();
                if sender.blocking_send(line).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Self { read })
    }

    /// The next line that is not empty.
    pub(super) async fn next(&mut self) -> Option<Result<Line, Failure>> {
        self.read.recv().await
    }
}

/// How many lines a file has, for a progress bar; none of stdin, or where it cannot be told.
pub(super) fn count_of(path: &Path) -> Option<u64> {
    if !path.is_file() {
        return None;
    }
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).ok()?);
    let mut lines = 0;
    while reader.skip_until(b'\n').ok()? > 0 {
        lines += 1;
    }
    Some(lines)
}

fn next(reader: &mut dyn BufRead, number: &mut u64) -> io::Result<Option<Line>> {
    loop {
        let mut bytes = Vec::new();
        let bound = EXPORT_LINE_MAX_BYTES as u64 + 1;
        if reader.take(bound).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        *number += 1;
        let number = *number;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if bytes.len() as u64 == bound {
            reader.skip_until(b'\n')?;
            let bytes = None;
            return Ok(Some(Line { number, bytes }));
        }
        // Some programs begin a file with a mark of its encoding.
        if number == 1 && bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        if !bytes.trim_ascii().is_empty() {
            let bytes = Some(bytes);
            return Ok(Some(Line { number, bytes }));
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        let refusal = Refusal::new(
            ErrorCode::NotFound,
            format!("there is no file {}", path.display()),
            "name a file of one JSON object a line, or - for stdin",
        );
        return refusal.at("file").into();
    }
    let remedy = "check that it is a file that you may read";
    Failure::file("read", path, error, remedy)
}

/// What is wrong with a line, for programs.
#[derive(Serialize)]
struct Bad<'a> {
    line: u64,
    code: ErrorCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    message: &'a str,
    remedy: &'a str,
}

/// Tells on stderr what is wrong with a line: for a person in words, for programs as one JSON object.
pub(super) fn tell_bad(session: &Session, bar: &ProgressBar, number: u64, refusal: &Refusal) {
    let bad = Bad {
        line: number,
        code: refusal.code,
        field: refusal.field.as_deref(),
        message: &refusal.message,
        remedy: &refusal.remedy,
    };
    let told = match serde_json::to_string(&bad) {
        Ok(json) if session.out.is_json() => json,
        _ => {
            let place = bad.field.map(|field| format!(" at {}", one_line(field)));
            let place = place.unwrap_or_default();
            let message = one_line(bad.message);
            format!("line {number}: {}{place}: {message}", bad.code)
        }
    };
    bar.suspend(|| say(&told));
}

/// Whether a refusal is of what one line says, not of the road as a whole.
pub(super) fn is_of_the_line(refusal: &Refusal) -> bool {
    match refusal.code {
        ErrorCode::InvalidArgument | ErrorCode::TooLarge | ErrorCode::Conflict => true,
        ErrorCode::PermissionDenied => refusal.field.as_deref() == Some("namespace"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn read_all(bytes: &[u8]) -> Vec<Line> {
        let (mut reader, mut number) = (bytes, 0);
        std::iter::from_fn(|| next(&mut reader, &mut number).unwrap()).collect()
    }

    #[test]
    fn lines_keep_their_numbers_over_marks_ends_and_empty_ones() {
        let lines = read_all(b"\xef\xbb\xbf{\"a\":1}\r\n\n  \r\n{\"a\":2}");
        let read: Vec<(u64, Value)> = lines
            .iter()
            .map(|line| (line.number, line.read::<Value>().unwrap()["a"].clone()))
            .collect();
        assert_eq!(read, [(1, 1.into()), (4, 2.into())]);
        assert!(read_all(b"").is_empty() && read_all(b"\n\n").is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_read() {
        let mut file = vec![b'x'; EXPORT_LINE_MAX_BYTES * 3];
        file.extend(b"\n{}\n");
        let lines = read_all(&file);
        assert_eq!((lines.len(), lines[1].number), (2, 2));
        let refusal = lines[0].read::<Value>().unwrap_err();
        assert_eq!(refusal.code, ErrorCode::TooLarge);
        assert!(lines[1].read::<Value>().is_ok());
    }

    #[test]
    fn what_is_no_object_is_told_as_the_line_that_it_is() {
        for bad in [
            &b"garbage"[..],
            b"[1]",
            b"\"x\"",
            b"{\"a\":",
            b"{} {}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\\ud800\"}",
        ] {
            let lines = read_all(bad);
            let refusal = lines[0].read::<Value>().unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidArgument, "{refusal:?}");
            assert!(refusal.message.contains("the line"), "{refusal:?}");
        }
    }
}
