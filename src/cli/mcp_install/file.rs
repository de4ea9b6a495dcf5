//! Settings files of other programs: read whole, replaced whole or not at all. Owns the file system's part.

use crate::cli::failure::Failure;
use crate::deployment::layout::sync_dir;
use postroad_protocol::{ErrorCode, Refusal};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What to do about a file that cannot be read or written.
const REMEDY: &str = "see that the file and its folder are yours, or use --print";

/// A file's text; none where there is no file.
pub(super) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file("read", path, &error, REMEDY)),
    }
}

/// Puts `after` in the place of `before`, which is kept beside it; the path of what was kept.
pub(super) fn replace(
    path: &Path,
    before: Option<&str>,
    after: &str,
) -> Result<Option<PathBuf>, Failure> {
    // The client may have written meanwhile, and what it wrote is worth more.
    if read(path)?.as_deref() != before {
        return Err(changed(path).into());
    }
    // Settings are often kept elsewhere and linked to.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let backup = before.map(|_| beside(&target, "postroad.bak"));
    let replaced = || -> io::Result<()> {
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        if let (Some(backup), Some(before)) = (&backup, before) {
            put(backup, &target, before)?;
        }
        put(&target, &target, after)?;
        sync_dir(folder)
    };
    replaced().map_err(|error| Failure::file("write", path, &error, REMEDY))?;
    Ok(backup)
}

/// Writes a file of its own first, as open to others as `like`, and moves it to `path`. What lies there is
/// replaced and never written to: in a project of somebody else's it may be a link to a file of the user's.
fn put(path: &Path, like: &Path, text: &str) -> io::Result<()> {
    let temporary = beside(path, &format!("{}.tmp", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)?;
    let mut moved = || -> io::Result<()> {
        file.write_all(text.as_bytes())?;
        if let Ok(metadata) = fs::metadata(like) {
            file.set_permissions(metadata.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    let moved = moved();
    if moved.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    moved
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{ending}"))
}

fn changed(path: &Path) -> Refusal {
    let message = format!("{} has changed while this command ran", path.display());
    Refusal::new(ErrorCode::Conflict, message, "run it again")
}
