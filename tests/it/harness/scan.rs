//! What lies in files, byte by byte, whatever they are.

use std::path::{Path, PathBuf};

/// Every file below `folders` that holds one of `needles`.
pub fn files_with(folders: &[PathBuf], needles: &[&[u8]]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = folders.to_vec();
    while let Some(path) = left.pop() {
        // What is removed while this looks holds nothing any more.
        if let Ok(entries) = std::fs::read_dir(&path) {
            left.extend(entries.flatten().map(|entry| entry.path()));
        } else if holds(&path, needles) {
            found.push(path);
        }
    }
    found
}

fn holds(path: &Path, needles: &[&[u8]]) -> bool {
    let Ok(bytes) = std::fs::read(path) else {
        return false;
    };
    needles.iter().any(|needle| {
        let begins = |at: &usize| bytes[*at] == needle[0] && bytes[*at..].starts_with(needle);
        (0..bytes.len()).any(|at| begins(&at))
    })
}
