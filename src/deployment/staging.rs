//! Where nats-server keeps the members of an atomic batch until it commits: in memory, where the system
//! has a file system for that. The server makes a folder and several files for each batch, syncs them,
//! reads them at the commit and removes them, which on a disk costs a batch of 128 more than storing it.
//! Nothing that was acknowledged depends on them: a commit copies its members into the log, and syncs
//! that, before it is acknowledged. A server that starts completes from them a batch in whose commit
//! it was killed, and removes them. After a loss of power that batch stays a part of itself: its members
//! were not acknowledged, and each is one command's.
//!
//! Owns one folder in memory and the links to it. Never touches the log.

use super::layout::Layout;
use postroad_protocol::subject::parse_shard_stream;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// What nats-server calls the folder, beside each stream's messages.
const BATCHES: &str = "batches";
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
    /// The staging of the deployment at `layout`; nothing where the system has no memory for it. Then
    /// the server uses the disk. Whoever calls holds the deployment's lock.
    pub(crate) fn find(layout: &Layout) -> Option<Self> {
        Some(Self::below(&memory()?, layout))
    }

    fn below(memory: &Path, layout: &Layout) -> Self {
        // A copy of a deployment has the same keys, and another DIR.
        let dir = blake3::hash(layout.root().as_os_str().as_encoded_bytes());
        Self {
            folder: memory.join(format!("postroad-{}.staging", &dir.to_hex()[..24])),
            streams: layout.jetstream_dir(),
        }
    }

    /// After the server has started, which removes the links: nothing in the folder is wanted any more,
    /// and it is linked again.
    pub(crate) fn renew(&self) {
        let is_in_use = |stream: &PathBuf| {
            fs::read_link(stream.join(BATCHES)).is_ok_and(|to| to == self.folder)
        };
        if is_own(&self.folder) && !self.shards().iter().any(is_in_use) {
            for left in children(&self.folder) {
                // What cannot be removed only takes room.
                let _left = fs::remove_dir_all(left);
            }
        }
        self.place();
    }

    /// Links each shard's batches to the folder, where they have no other yet. Called again and again:
    /// shards are made, and systems clear their memory when a user logs out.
    pub(crate) fn place(&self) {
        let ready = own_folder(&self.folder);
        for stream in self.shards() {
            let place = stream.join(BATCHES);
            let placed = match &ready {
                Ok(()) => link(&self.folder, &place),
                Err(_) => unlink(&self.folder, &place),
            };
            if let Err(error) = placed {
                tracing::debug!(%error, path = %place.display(), "batches are staged on disk");
            }
        }
        if let Err(error) = ready {
            tracing::debug!(%error, path = %self.folder.display(), "batches are staged on disk");
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
                parse_shard_stream(&name.to_string_lossy()).is_some()
            })
            .collect()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if is_own(&self.folder) {
            // What cannot be removed now is, after the next start.
            let _left = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Where the system keeps files in memory, when there is room.
#[cfg(target_os = "linux")]
fn memory() -> Option<PathBuf> {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    let path = Path::new("/dev/shm");
    let is_in_memory = statfs(path).ok()?.filesystem_type() == TMPFS_MAGIC;
    let is_roomy = super::disk::free_bytes(path).ok()? >= WANTED_BYTES;
    (is_in_memory && is_roomy).then(|| path.to_owned())
}

/// Other systems have no such place.
#[cfg(not(target_os = "linux"))]
fn memory() -> Option<PathBuf> {
    None
}

/// Anybody may make names where it lies: whether what is there is ours alone.
fn is_own(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|there| {
        let is_ours = there.uid() == nix::unistd::geteuid().as_raw();
        there.is_dir() && is_ours && there.mode().trailing_zeros() >= 6
    })
}

/// Makes `folder` where there is none.
fn own_folder(folder: &Path) -> io::Result<()> {
    if is_own(folder) {
        return Ok(());
    }
    // Fails where anything has the name.
    DirBuilder::new().mode(0o700).create(folder)
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

/// Removes a link to `folder`, so that the server makes a folder on disk.
fn unlink(folder: &Path, place: &Path) -> io::Result<()> {
    match fs::read_link(place) {
        Ok(to) if to == folder => fs::remove_file(place),
        _ => Ok(()),
    }
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A deployment with the folders of a shard and of the keys stream, and a place for staging.
    fn deployment() -> (tempfile::TempDir, Layout, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(&temp.path().join("dir")).unwrap();
        let streams = layout.jetstream_dir().join("jetstream/ACCOUNT/streams");
        for name in ["POSTROAD_0", "POSTROAD_KEYS"] {
            fs::create_dir_all(streams.join(name)).unwrap();
        }
        (temp, layout, streams)
    }

    #[test]
    fn batches_of_shards_and_of_nothing_else_go_to_memory() {
        let (temp, layout, streams) = deployment();
        let staging = Staging::below(temp.path(), &layout);
        staging.place();
        let batches = streams.join("POSTROAD_0/batches");
        fs::create_dir(batches.join("b")).unwrap();
        assert!(staging.folder.join("b").is_dir());
        let mode = fs::metadata(&staging.folder).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(!streams.join("POSTROAD_KEYS/batches").is_symlink());
        let folder = staging.folder.clone();
        drop(staging);
        assert!(!folder.exists());
    }

    #[test]
    fn a_server_that_starts_finds_the_batches_and_leaves_none() {
        let (temp, layout, streams) = deployment();
        let batches = streams.join("POSTROAD_0/batches");
        let killed = Staging::below(temp.path(), &layout);
        killed.place();
        fs::create_dir(batches.join("left")).unwrap();
        std::mem::forget(killed);

        let staging = Staging::below(temp.path(), &layout);
        assert!(batches.join("left").is_dir(), "the server may complete it");
        staging.renew();
        assert!(batches.join("left").is_dir(), "in use while it is linked");
        // The server removes the link, not what is behind it.
        fs::remove_file(&batches).unwrap();
        staging.renew();
        assert!(batches.is_symlink() && !batches.join("left").exists());
    }

    #[test]
    fn a_folder_on_disk_that_is_in_use_stays() {
        let (temp, layout, streams) = deployment();
        let staging = Staging::below(temp.path(), &layout);
        let batches = streams.join("POSTROAD_0/batches");
        fs::create_dir_all(batches.join("in-use")).unwrap();
        staging.place();
        assert!(!batches.is_symlink() && batches.join("in-use").is_dir());
        fs::remove_dir(batches.join("in-use")).unwrap();
        staging.place();
        assert!(batches.is_symlink());
    }

    #[test]
    fn memory_that_was_cleared_is_made_again_and_what_others_put_there_is_not_used() {
        let (temp, layout, streams) = deployment();
        let staging = Staging::below(temp.path(), &layout);
        let batches = streams.join("POSTROAD_0/batches");
        staging.place();
        fs::remove_dir_all(&staging.folder).unwrap();
        staging.place();
        assert!(batches.is_dir());

        fs::remove_dir_all(&staging.folder).unwrap();
        let victim = temp.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("kept"), b"x").unwrap();
        symlink(&victim, &staging.folder).unwrap();
        staging.place();
        assert!(!batches.is_symlink(), "the disk serves");
        fs::remove_file(&staging.folder).unwrap();
        fs::create_dir(&staging.folder).unwrap();
        fs::set_permissions(&staging.folder, fs::Permissions::from_mode(0o777)).unwrap();
        staging.place();
        staging.renew();
        assert!(!batches.is_symlink(), "others may write there");
        drop(staging);
        assert!(victim.join("kept").exists());
    }

    #[test]
    fn a_copy_of_a_deployment_has_a_folder_of_its_own() {
        let (temp, layout, _) = deployment();
        let copy = Layout::create(&temp.path().join("copy")).unwrap();
        let folder = |layout| Staging::below(temp.path(), layout).folder.clone();
        assert_ne!(folder(&layout), folder(&copy));
    }
}
