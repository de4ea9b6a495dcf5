//! How many bytes the log may take.
//!
//! Owns the sum of what it takes and what the disk has left. Never frees or reserves anything.

use super::layout::{LayoutError, at};
use nix::sys::statvfs::statvfs;
use std::fs;
use std::io;
use std::path::Path;

/// Left free for rows, logs and everybody else on the disk.
const RESERVE_BYTES: u64 = 1024 * 1024 * 1024;

/// What JetStream may store below `store` in all: what it holds already and nearly all that is free.
///
/// Left to itself the server takes three quarters of the space that is free when it starts, what
/// it already holds not counted, so a log that has outgrown that refuses to be written to.
pub(crate) fn log_bytes_available(store: &Path) -> Result<u64, LayoutError> {
    let free = free_bytes(store).map_err(at("measure", store))?;
    let reserve = RESERVE_BYTES.min(free / 10);
    Ok(bytes_below(store)?.saturating_add(free - reserve))
}

/// What is free where `path` lies, to somebody without privileges.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = statvfs(path)?;
    // The types of these differ between systems.
    #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
    let free = u64::try_from(disk.blocks_available())
        .unwrap_or(u64::MAX)
        .saturating_mul(u64::try_from(disk.fragment_size()).unwrap_or(1));
    Ok(free)
}

fn bytes_below(dir: &Path) -> Result<u64, LayoutError> {
    let mut bytes = 0_u64;
    let mut unread = vec![dir.to_owned()];
    while let Some(dir) = unread.pop() {
        for entry in fs::read_dir(&dir).map_err(at("read", &dir))? {
            let entry = entry.map_err(at("read", &dir))?;
            let metadata = entry.metadata().map_err(at("read", &entry.path()))?;
            if metadata.is_dir() {
                unread.push(entry.path());
            } else {
                bytes = bytes.saturating_add(metadata.len());
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_holds_counts_as_available_to_it() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("a/b")).unwrap();
        fs::write(temp.path().join("a/b/block"), [0; 3000]).unwrap();
        fs::write(temp.path().join("index"), [0; 70]).unwrap();
        assert_eq!(bytes_below(temp.path()).unwrap(), 3070);
        assert!(log_bytes_available(temp.path()).unwrap() > 3070);
        assert!(log_bytes_available(&temp.path().join("gone")).is_err());
    }
}
