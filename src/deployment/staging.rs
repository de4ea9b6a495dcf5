//! Where nats-server keeps the members of an atomic batch until it commits: in memory, where the system
//! has a file system for that. The server makes a folder and several files for each batch, syncs them,
//! reads them once at the commit and removes them; when it starts it removes what is left and reads
//! none of it. So nothing that was acknowledged ever depends on them: a commit copies its members into
//! the log, and syncs that, before it is acknowledged. On a disk they cost a batch of 128 more than
//! storing it does.
//!
//! Owns one folder in memory and the links to it. Never touches the log.

use super::layout::Layout;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What nats-server calls the folder, beside each stream's messages.
const BATCHES: &str = "batches";
/// Names of the streams whose batches these are begin so.
const SHARD_STREAMS: &str = "POSTROAD_";
/// Free memory that is wanted: several of the largest batches. With less, the server's batches fail and
/// their members are stored one by one.
#[cfg(target_os = "linux")]
const WANTED_BYTES: u64 = 48 * 1024 * 1024;

/// A folder in memory, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: PathBuf,
    streams: PathBuf,
}

impl Staging {
    /// The staging of the deployment at `layout`, named `name`; nothing where the system has no memory
    /// for it. Then the server uses the disk. Whoever calls holds the deployment's lock.
    pub(crate) fn make(layout: &Layout, name: &str) -> Option<Self> {
        Self::make_below(&memory()?, layout, name)
    }

    fn make_below(memory: &Path, layout: &Layout, name: &str) -> Option<Self> {
        let folder = memory.join(format!("{name}.staging"));
        match own_empty_folder(&folder) {
            Ok(()) => Some(Self {
                folder,
                streams: layout.jetstream_dir(),
            }),
            Err(error) => {
                tracing::debug!(%error, path = %folder.display(), "batches are staged on disk");
                None
            }
        }
    }

    /// Links each shard's batches to the folder, where they have no other yet. The server removes
    /// the links whenever it starts, so this is called after each start, and after shards were made.
    pub(crate) fn place(&self) {
        for stream in self.shards() {
            if let Err(error) = link(&self.folder, &stream.join(BATCHES)) {
                tracing::debug!(%error, path = %stream.display(), "batches are staged on disk");
            }
        }
    }

    /// The folders of the shards' streams.
    fn shards(&self) -> Vec<PathBuf> {
        let accounts = children(&self.streams.join("jetstream"));
        let streams = accounts.map(|account| account.join("streams"));
        streams
            .flat_map(|streams| children(&streams).collect::<Vec<_>>())
            .filter(|stream| {
                let name = stream.file_name().unwrap_or_default();
                name.to_string_lossy().starts_with(SHARD_STREAMS)
            })
            .collect()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is, at the next start.
        let _left = fs::remove_dir_all(&self.folder);
    }
}

/// Where the system keeps files in memory, when there is room.
#[cfg(target_os = "linux")]
fn memory() -> Option<PathBuf> {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    let path = Path::new("/dev/shm");
    let stat = statfs(path).ok()?;
    let block = u64::try_from(stat.block_size()).ok()?;
    let is_roomy = stat.blocks_available().saturating_mul(block) >= WANTED_BYTES;
    (stat.filesystem_type() == TMPFS_MAGIC && is_roomy).then(|| path.to_owned())
}

/// Other systems have no such place.
#[cfg(not(target_os = "linux"))]
fn memory() -> Option<PathBuf> {
    None
}

/// Makes `folder` anew, for its owner alone. Anybody may make names where it lies, so one that is not
/// ours is left alone.
fn own_empty_folder(folder: &Path) -> io::Result<()> {
    if let Ok(there) = fs::symlink_metadata(folder) {
        let is_ours = there.is_dir() && there.uid() == nix::unistd::geteuid().as_raw();
        if !is_ours {
            return Err(io::Error::other("somebody else's is in its place"));
        }
        fs::remove_dir_all(folder)?;
    }
    DirBuilder::new().mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// Puts a link to `folder` at `place`, unless the server has a folder with batches there already.
fn link(folder: &Path, place: &Path) -> io::Result<()> {
    match fs::symlink_metadata(place) {
        Ok(there) if there.is_symlink() && fs::read_link(place)? == folder => return Ok(()),
        Ok(there) if there.is_symlink() => fs::remove_file(place)?,
        // Only an empty one goes.
        Ok(_) => fs::remove_dir(place)?,
        Err(_) => {}
    }
    symlink(folder, place)
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A deployment with the folders of a shard and of the keys stream, and a place for staging.
    fn deployment() -> (tempfile::TempDir, Layout, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(&temp.path().join("dir")).unwrap();
        let streams = layout.jetstream_dir().join("jetstream/ACCOUNT/streams");
        for name in ["POSTROAD_0", "KEYS"] {
            fs::create_dir_all(streams.join(name)).unwrap();
        }
        (temp, layout, streams)
    }

    #[test]
    fn batches_of_shards_and_of_nothing_else_go_to_memory() {
        let (temp, layout, streams) = deployment();
        let staging = Staging::make_below(temp.path(), &layout, "one").unwrap();
        staging.place();
        let batches = streams.join("POSTROAD_0/batches");
        fs::create_dir(batches.join("b")).unwrap();
        assert!(staging.folder.join("b").is_dir());
        assert_eq!(fs::metadata(&staging.folder).unwrap().mode() & 0o777, 0o700);
        assert!(!streams.join("KEYS/batches").exists());

        // The server removes the link when it starts.
        fs::remove_file(&batches).unwrap();
        staging.place();
        staging.place();
        assert!(batches.join("b").is_dir());
        let folder = staging.folder.clone();
        drop(staging);
        assert!(!folder.exists());
    }

    #[test]
    fn what_a_killed_one_left_is_cleared_and_a_folder_in_use_stays() {
        let (temp, layout, streams) = deployment();
        let killed = Staging::make_below(temp.path(), &layout, "one").unwrap();
        fs::write(killed.folder.join("left"), b"x").unwrap();
        std::mem::forget(killed);
        let staging = Staging::make_below(temp.path(), &layout, "one").unwrap();
        assert_eq!(fs::read_dir(&staging.folder).unwrap().count(), 0);

        let batches = streams.join("POSTROAD_0/batches");
        fs::create_dir_all(batches.join("in-use")).unwrap();
        staging.place();
        assert!(!batches.is_symlink() && batches.join("in-use").is_dir());
        fs::remove_dir(batches.join("in-use")).unwrap();
        staging.place();
        assert!(batches.is_symlink());
    }

    #[test]
    fn a_link_or_file_that_waits_under_its_name_is_left_alone() {
        let (temp, layout, _) = deployment();
        let victim = temp.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("kept"), b"x").unwrap();
        symlink(&victim, temp.path().join("one.staging")).unwrap();
        assert!(Staging::make_below(temp.path(), &layout, "one").is_none());
        assert!(victim.join("kept").exists());
    }
}
