use super::*;
use crate::read_model::keys::Prefix;
use crate::testing::{EPOCH, scope};
use postroad_log::Home;
use postroad_protocol::seal::KeyId;
use std::ops::ControlFlow;

const LAYOUT: Layout = Layout {
    name: "words",
    schema: 1,
    tables: &["words", "places"],
};

fn tenure(tenant: &str, generation: u32) -> Tenure {
    let key_id = KeyId {
        generation,
        number: 1,
    };
    Tenure::of(&scope(tenant), Home { shard: 0, key_id })
}

/// The first of a tenant's name.
pub(crate) fn tenure_of(tenant: &str) -> Tenure {
    tenure(tenant, 1)
}

/// A folder for one file, and which tenures are over.
struct Place {
    folder: tempfile::TempDir,
    over: Arc<Mutex<Vec<Tenure>>>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            over: Arc::default(),
        }
    }

    fn open(&self, layout: Layout, epoch: u64) -> Arc<SideFile> {
        let over = Arc::clone(&self.over);
        let is_over: IsOver = Arc::new(move |asked| over.lock().unwrap().contains(asked));
        SideFile::open(self.folder.path(), 0, layout, 1 << 20, epoch, is_over)
    }

    fn end(&self, tenure: &Tenure) {
        self.over.lock().unwrap().push(tenure.clone());
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("words-0.redb")
    }

    fn has_bytes(&self, wanted: &[u8]) -> bool {
        let bytes = std::fs::read(self.path()).unwrap();
        bytes.windows(wanted.len()).any(|at| at == wanted)
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }
}

fn put(file: &SideFile, tenure: &Tenure, key: u64, value: &[u8]) {
    let put = |batch: &mut SideBatch<'_>| {
        let Some(mut rows) = batch.writer(tenure) else {
            return Ok(());
        };
        rows.put("words", &key, value)?;
        rows.put("places", &(key, 7_u64), b"place")?;
        rows.set_reached(&(), key)
    };
    file.write(Durability::Durable, put).unwrap();
}

fn all(file: &Arc<SideFile>, tenure: &Tenure) -> Vec<(u64, Vec<u8>)> {
    let snapshot = file.snapshot().unwrap();
    let mut found = Vec::new();
    let visit = |key: &[u8], value: &[u8]| {
        found.push((u64::from_be_bytes(key.try_into().unwrap()), value.to_vec()));
        ControlFlow::Continue(())
    };
    let reader = snapshot.reader(tenure);
    reader.scan("words", &(), None, visit).unwrap();
    found
}

fn reached(file: &Arc<SideFile>, tenure: &Tenure) -> u64 {
    file.snapshot()
        .unwrap()
        .reader(tenure)
        .reached(&())
        .unwrap()
}

fn is_rid_of(file: &Arc<SideFile>, tenant: &str) -> bool {
    file.is_rid_of(&Prefix::of(&scope(tenant))).unwrap()
}

#[test]
fn each_tenure_has_its_own_rows_and_finds_them_again() {
    let place = Place::new();
    let (first, second, other) = (tenure("acme", 1), tenure("acme", 2), tenure("acme-2", 1));
    let file = place.open(LAYOUT, EPOCH);
    for (whose, value) in [(&first, b"one"), (&second, b"two"), (&other, b"six")] {
        put(&file, whose, 1, value);
        put(&file, whose, 2, value);
    }
    put(&file, &Tenure::system(), 3, b"library");
    drop(file);
    let file = place.open(LAYOUT, EPOCH);
    for (whose, value) in [(&first, b"one"), (&second, b"two"), (&other, b"six")] {
        assert_eq!(
            all(&file, whose),
            [(1, value.to_vec()), (2, value.to_vec())]
        );
        assert_eq!(reached(&file, whose), 2);
    }
    assert_eq!(reached(&file, &tenure("bolt", 1)), 0);
    let snapshot = file.snapshot().unwrap();
    let reader = snapshot.reader(&first);
    let mut behind = Vec::new();
    let visit = |key: &[u8], _: &[u8]| {
        behind.push(key.to_vec());
        ControlFlow::Break(())
    };
    let after = 1_u64.to_be_bytes();
    reader.scan("words", &(), Some(&after), visit).unwrap();
    assert_eq!(behind, [2_u64.to_be_bytes()]);
    let library = snapshot.reader(&Tenure::system()).get("words", &3_u64);
    assert_eq!(library.unwrap().as_deref(), Some(&b"library"[..]));
}

#[test]
fn rows_are_read_and_removed_in_the_transaction_that_writes_them() {
    let place = Place::new();
    let (file, acme) = (place.open(LAYOUT, EPOCH), tenure("acme", 1));
    put(&file, &acme, 1, b"one");
    let change = |batch: &mut SideBatch<'_>| {
        let mut rows = batch.writer(&acme).unwrap();
        assert_eq!(rows.reached(&())?, 1);
        rows.put("words", &2_u64, b"two")?;
        rows.remove("words", &1_u64)?;
        let mut seen = 0;
        rows.scan("words", &(), None, |_, _| {
            seen += 1;
            ControlFlow::Continue(())
        })?;
        Ok((rows.get("words", &2_u64)?, seen))
    };
    let (two, seen) = file.write(Durability::Visible, change).unwrap();
    assert_eq!((two.as_deref(), seen), (Some(&b"two"[..]), 1));
    // A change that fails is none.
    let fails = |batch: &mut SideBatch<'_>| {
        batch.writer(&acme).unwrap().remove("words", &2_u64)?;
        Err::<(), _>(StoreError::InUse)
    };
    assert!(file.write(Durability::Durable, fails).is_err());
    assert_eq!(all(&file, &acme), [(2, b"two".to_vec())]);
}

#[test]
fn a_file_of_another_layout_or_log_is_made_anew() {
    let place = Place::new();
    let acme = tenure("acme", 1);
    let prepare = || {
        let file = place.open(LAYOUT, EPOCH);
        put(&file, &acme, 1, b"one");
    };
    let newer = Layout {
        schema: 2,
        ..LAYOUT
    };
    let wider = Layout {
        tables: &["words", "places", "times"],
        ..LAYOUT
    };
    for (layout, epoch) in [(newer, EPOCH), (wider, EPOCH), (LAYOUT, EPOCH + 1)] {
        prepare();
        let file = place.open(layout, epoch);
        assert_eq!((file.problem(), reached(&file, &acme)), (None, 0));
        put(&file, &acme, 1, b"one");
        drop(file);
        assert_eq!(reached(&place.open(layout, epoch), &acme), 1);
    }
}

#[test]
fn a_file_that_is_cut_garbled_or_foreign_is_made_anew() {
    let place = Place::new();
    let acme = tenure("acme", 1);
    let spoil: [fn(&Path); 4] = [
        |path| std::fs::write(path, b"nonsense").unwrap(),
        |path| {
            let length = std::fs::metadata(path).unwrap().len();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(length / 2).unwrap();
        },
        |path| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(100).unwrap();
        },
        |path| {
            std::fs::remove_file(path).unwrap();
            let foreign = Database::create(path).unwrap();
            let transaction = foreign.begin_write().unwrap();
            let table = TableDefinition::<u64, u64>::new("meta");
            transaction.open_table(table).unwrap();
            transaction.commit().unwrap();
        },
    ];
    for spoil in spoil {
        put(&place.open(LAYOUT, EPOCH), &acme, 1, b"one");
        spoil(&place.path());
        let file = place.open(LAYOUT, EPOCH);
        assert_eq!((file.problem(), reached(&file, &acme)), (None, 0));
    }
}

#[test]
fn what_is_over_leaves_the_file_and_its_neighbour_stays() {
    let place = Place::new();
    let (gone, stays) = (tenure("gonecorp", 1), tenure("acme", 1));
    let file = place.open(LAYOUT, EPOCH);
    for key in 0..2_000 {
        put_many(
            &file,
            &[(&gone, b"secret-of-gonecorp"), (&stays, b"kept")],
            key,
        );
    }
    put(&file, &gone, 2_000, b"secret-of-gonecorp");
    assert!(place.has_bytes(b"secret-of-gonecorp"));
    assert!(is_rid_of(&file, "gonecorp"), "it is not over");
    place.end(&gone);
    assert!(!is_rid_of(&file, "gonecorp"));
    file.tidy_now().unwrap();
    assert!(is_rid_of(&file, "gonecorp"));
    assert!(!place.has_bytes(b"secret-of-gonecorp") && !place.has_bytes(b"gonecorp"));
    let kept = all(&file, &stays);
    assert_eq!((kept.len(), reached(&file, &stays)), (2_000, 1_999));
    assert_eq!(place.files(), ["words-0.redb"]);
    // Nothing of it comes back, and the next of that name begins with nothing.
    put(&file, &gone, 1, b"secret-of-gonecorp");
    assert!(!place.has_bytes(b"secret-of-gonecorp"));
    let next = tenure("gonecorp", 2);
    assert_eq!(reached(&file, &next), 0);
    put(&file, &next, 1, b"anew");
    assert!(is_rid_of(&file, "gonecorp"));
    drop(file);
    let file = place.open(LAYOUT, EPOCH);
    assert_eq!(all(&file, &stays).len(), 2_000);
    assert_eq!(all(&file, &next), [(1, b"anew".to_vec())]);
}

fn put_many(file: &SideFile, rows: &[(&Tenure, &[u8])], key: u64) {
    let put = |batch: &mut SideBatch<'_>| {
        for (whose, value) in rows {
            let mut rows = batch.writer(whose).unwrap();
            rows.put("words", &key, value)?;
            rows.set_reached(&(), key)?;
        }
        Ok(())
    };
    file.write(Durability::Visible, put).unwrap();
}

#[test]
fn a_process_that_dies_before_the_copy_is_in_place_begins_it_again() {
    let place = Place::new();
    let (gone, stays) = (tenure("gonecorp", 1), tenure("acme", 1));
    let file = place.open(LAYOUT, EPOCH);
    put(&file, &gone, 1, b"secret-of-gonecorp");
    put(&file, &stays, 1, b"kept");
    place.end(&gone);
    file.delete(&file.database().unwrap(), &[gone]).unwrap();
    assert!(!is_rid_of(&file, "gonecorp"), "the file was not copied");
    drop(file);
    std::fs::write(beside(&place.path()), b"half a copy").unwrap();
    let file = place.open(LAYOUT, EPOCH);
    assert_eq!(place.files(), ["words-0.redb"]);
    assert!(!is_rid_of(&file, "gonecorp"));
    file.tidy_now().unwrap();
    assert!(is_rid_of(&file, "gonecorp"));
    assert!(!place.has_bytes(b"gonecorp"));
    assert_eq!(all(&file, &stays), [(1, b"kept".to_vec())]);
}

#[test]
fn an_erase_waits_for_whoever_still_reads() {
    let place = Place::new();
    let gone = tenure("gonecorp", 1);
    let file = place.open(LAYOUT, EPOCH);
    put(&file, &gone, 1, b"secret");
    let reading = file.snapshot().unwrap();
    place.end(&gone);
    file.tidy_now().unwrap();
    assert!(!is_rid_of(&file, "gonecorp"));
    let read = reading.reader(&gone).get("words", &1_u64).unwrap();
    assert_eq!(read.as_deref(), Some(&b"secret"[..]));
    drop(reading);
    assert!(is_rid_of(&file, "gonecorp"));
}

#[test]
fn a_file_that_failed_is_opened_again_and_one_that_does_not_read_made_anew() {
    let place = Place::new();
    let acme = tenure("acme", 1);
    let file = place.open(LAYOUT, EPOCH);
    put(&file, &acme, 1, b"one");
    let failed = || StoreError::Storage(redb::Error::PreviousIo);
    let fails = |_: &mut SideBatch<'_>| Err::<(), _>(failed());
    assert!(file.write(Durability::Durable, fails).is_err());
    assert!(matches!(file.snapshot(), Err(SideError::Closed(_))));
    assert!(file.problem().is_some());
    file.tidy_now().unwrap();
    assert_eq!((file.problem(), reached(&file, &acme)), (None, 1));
    let fails = |_: &mut SideBatch<'_>| Err::<(), _>(StoreError::Unreadable { table: "words" });
    assert!(file.write(Durability::Durable, fails).is_err());
    file.tidy_now().unwrap();
    assert_eq!((file.problem(), reached(&file, &acme)), (None, 0));
}

#[test]
fn another_log_begins_with_an_empty_file() {
    let place = Place::new();
    let acme = tenure("acme", 1);
    let file = place.open(LAYOUT, EPOCH);
    put(&file, &acme, 1, b"one");
    file.begin_anew(EPOCH + 1);
    assert!(matches!(file.snapshot(), Err(SideError::Closed(_))));
    file.tidy_now().unwrap();
    assert_eq!(reached(&file, &acme), 0);
    put(&file, &acme, 1, b"one");
    drop(file);
    assert_eq!(reached(&place.open(LAYOUT, EPOCH + 1), &acme), 1);
}

#[test]
fn whoever_fills_a_file_is_told_when_it_is_another() {
    let place = Place::new();
    let file = place.open(LAYOUT, EPOCH);
    let mut opened = file.opened();
    assert!(!opened.has_changed().unwrap());
    file.begin_anew(EPOCH);
    assert!(!opened.has_changed().unwrap(), "it is closed");
    file.tidy_now().unwrap();
    assert!(opened.has_changed().unwrap());
    opened.mark_unchanged();
    file.tidy_now().unwrap();
    assert!(!opened.has_changed().unwrap());
}

#[tokio::test]
async fn a_kept_file_is_rid_of_what_is_over_when_told_and_at_its_start() {
    let place = Place::new();
    let (first, second) = (tenure("gonecorp", 1), tenure("farcorp", 1));
    let file = place.open(LAYOUT, EPOCH);
    put(&file, &first, 1, b"secret");
    put(&file, &second, 1, b"secret");
    place.end(&first);
    let keeping = tokio::spawn(Arc::clone(&file).keep());
    let rid_of = async |tenant: &str| {
        while !is_rid_of(&file, tenant) {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_mins(1);
    tokio::time::timeout(limit, rid_of("gonecorp"))
        .await
        .unwrap();
    place.end(&second);
    file.tidy();
    tokio::time::timeout(limit, rid_of("farcorp"))
        .await
        .unwrap();
    keeping.abort();
}
