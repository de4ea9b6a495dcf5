//! The last words of a nats-server that did not start.
//!
//! Owns reading the end of its log and of its standard error. Never rotates or deletes a log.

use super::layout::Layout;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Lines that are shown.
const MAX_LINES: usize = 6;
/// Bytes of a log that are read for them.
const MAX_BYTES: u64 = 16 * 1024;

/// Where a server that is about to start will have begun to write.
#[derive(Debug)]
pub(crate) struct LogTail {
    log: PathBuf,
    from: u64,
    stderr: PathBuf,
}

impl LogTail {
    /// Notes where the log ends now, and opens standard error anew. The server writes there what it
    /// has to say before its log is open, and when it panics; a pipe would end with Postroad.
    pub(crate) fn begin(layout: &Layout) -> io::Result<(Self, Stdio)> {
        let log = layout.nats_log();
        let from = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let stderr = layout.nats_stderr();
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&stderr)?;
        Ok((Self { log, from, stderr }, file.into()))
    }

    /// What it said since, the newest lines of it; those that say why, where there are some.
    pub(crate) async fn last_words(self) -> Vec<String> {
        tokio::task::spawn_blocking(move || self.read())
            .await
            .unwrap_or_default()
    }

    fn read(&self) -> Vec<String> {
        let mut lines = tail(&self.stderr, 0);
        lines.extend(tail(&self.log, self.from));
        // What it says of a client quotes that client's subjects, and is not why it did not start.
        lines.retain(|line| !line.contains(" - cid:"));
        let grave = |line: &String| {
            line.contains("[FTL]") || line.contains("[ERR]") || !line.contains(" [")
        };
        if lines.iter().any(grave) {
            lines.retain(grave);
        }
        lines.split_off(lines.len().saturating_sub(MAX_LINES))
    }
}

fn tail(path: &Path, from: u64) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // A log that is shorter than it was has been rotated: then all of it is new.
        let from = if length < from { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(MAX_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_since_the_start_is_shown_and_errors_first() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path()).unwrap();
        fs::write(layout.nats_log(), "[1] 2026 [FTL] of an earlier start\n").unwrap();
        let (log, _stderr) = LogTail::begin(&layout).unwrap();
        assert_eq!(log.read(), Vec::<String>::new());

        let mut text = fs::read_to_string(layout.nats_log()).unwrap();
        text.push_str("[2] 2026 [INF] Starting nats-server\n");
        fs::write(layout.nats_log(), &text).unwrap();
        assert_eq!(log.read(), ["[2] 2026 [INF] Starting nats-server"]);

        text.push_str(
            "[2] 2026 [ERR] 1.2.3.4:5 - cid:7 - Publish Violation - Subject \"x.acme\"\n",
        );
        text.push_str("[2] 2026 [FTL] no space left\n");
        fs::write(layout.nats_log(), &text).unwrap();
        fs::write(layout.nats_stderr(), "nats-server: bad line 3\n").unwrap();
        assert_eq!(
            log.read(),
            ["nats-server: bad line 3", "[2] 2026 [FTL] no space left"]
        );
    }

    #[test]
    fn a_rotated_or_huge_log_is_read_from_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        fs::write(&path, "new\n").unwrap();
        assert_eq!(tail(&path, 1_000), ["new"]);
        fs::write(&path, "line\n".repeat(100_000)).unwrap();
        assert!(tail(&path, 0).len() < 4_000);
        assert!(tail(&temp.path().join("gone"), 0).is_empty());
    }
}
