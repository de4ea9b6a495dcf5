//! Vectors are made, kept and dropped. What needs the model runs where `POSTROAD_MODEL` names its folder, as `make test` does.

use super::worker::PendingDocument;
use super::*;
use crate::apply::Durability;
use crate::side::tests::tenure_of;
use crate::testing::{EPOCH, scope};
use postroad_protocol::limits::EMBED_TURN_MEMORIES;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
const DEADLINE: Duration = Duration::from_mins(2);

fn model_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("POSTROAD_MODEL").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("POSTROAD_MODEL is not set: what needs the model was not tested");
    }
    folder
}

/// Contents that lie in no rows.
#[derive(Default)]
struct Contents {
    by_owner: Mutex<BTreeMap<String, BTreeMap<u64, String>>>,
    /// Behind which sequences it was asked, in order.
    asked: Mutex<Vec<u64>>,
}

impl Contents {
    fn put(&self, tenant: &str, sequence: u64, content: &str) {
        let mut owners = self.by_owner.lock().unwrap();
        let own = owners.entry(tenant.to_owned()).or_default();
        own.insert(sequence, content.to_owned());
    }

    fn behind(&self, owner: &Prefix, sequence: u64) -> Vec<PendingDocument> {
        let owners = self.by_owner.lock().unwrap();
        let own = owners.get(owner.owner()).into_iter();
        let behind = own.flat_map(|own| own.range(sequence + 1..));
        behind
            .map(|(sequence, content)| PendingDocument {
                sequence: *sequence,
                content: content.clone(),
            })
            .collect()
    }
}

impl Pending for Contents {
    fn owners(&self) -> Result<Vec<Prefix>, StoreError> {
        let owners = self.by_owner.lock().unwrap();
        Ok(owners.keys().map(|name| prefix(name)).collect())
    }

    fn tenure(&self, owner: &Prefix) -> Option<Tenure> {
        Some(tenure_of(owner.owner()))
    }

    fn after(
        &self,
        owner: &Prefix,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<PendingDocument>, StoreError> {
        self.asked.lock().unwrap().push(sequence);
        let mut behind = self.behind(owner, sequence);
        behind.truncate(limit);
        Ok(behind)
    }

    fn count_after(
        &self,
        owner: &Prefix,
        sequence: u64,
        at_most: usize,
    ) -> Result<usize, StoreError> {
        Ok(self.behind(owner, sequence).len().min(at_most))
    }
}

fn prefix(tenant: &str) -> Prefix {
    Prefix::of(&scope(tenant))
}

/// A folder with the vectors of one shard, the contents of its rows, and who is over.
struct Place {
    folder: tempfile::TempDir,
    contents: Arc<Contents>,
    over: Arc<Mutex<Vec<Tenure>>>,
}

/// A process that embeds.
struct Running {
    meaning: Arc<Meaning>,
    file: Arc<SideFile>,
    serving: tokio::task::JoinHandle<()>,
    keeping: tokio::task::JoinHandle<()>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            contents: Arc::default(),
            over: Arc::default(),
        }
    }

    fn run(&self, model: Option<PathBuf>) -> Running {
        let over = Arc::clone(&self.over);
        let is_over: IsOver = Arc::new(move |asked| over.lock().unwrap().contains(asked));
        let file = SideFile::open(
            self.folder.path(),
            0,
            LAYOUT,
            1 << 20,
            EPOCH,
            Arc::clone(&is_over),
        );
        let meaning = Arc::new(Meaning::new(model, is_over));
        let (serving, shown, vectors) = (
            Arc::clone(&meaning),
            Arc::clone(&self.contents),
            Arc::clone(&file),
        );
        Running {
            serving: tokio::spawn(async move { serving.serve(0, vectors, shown).await }),
            keeping: tokio::spawn(Arc::clone(&file).keep()),
            meaning,
            file,
        }
    }

    fn has_bytes(&self, wanted: &[u8]) -> bool {
        let bytes = std::fs::read(self.folder.path().join("vectors-0.redb")).unwrap();
        bytes.windows(wanted.len()).any(|at| at == wanted)
    }
}

impl Running {
    fn vectors(&self, tenant: &str) -> Option<Vectors> {
        Vectors::of(&self.file, tenure_of(tenant)).ok()
    }

    fn embedded_to(&self, tenant: &str) -> u64 {
        let vectors = self.vectors(tenant);
        vectors.map_or(0, |vectors| vectors.embedded_to().unwrap())
    }

    fn embedding(&self, tenant: &str, content: &str) -> Option<Embedding> {
        let vectors = self.vectors(tenant).unwrap();
        vectors.vectors(ContentHash::of(content)).unwrap()
    }

    async fn until_embedded(&self, tenant: &str, sequence: u64) {
        eventually("the memories have vectors", || {
            self.embedded_to(tenant) >= sequence
        })
        .await;
    }

    /// As a process does that is stopped.
    async fn stop(self) {
        self.serving.abort();
        self.keeping.abort();
        let meaning = Arc::clone(&self.meaning);
        tokio::task::spawn_blocking(move || meaning.stop())
            .await
            .unwrap();
        drop((self.serving.await, self.keeping.await));
        // Whoever worked on the file in the background has given it back.
        eventually("the file is closed", || Arc::strong_count(&self.file) <= 2).await;
    }
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn without_a_model_words_alone_are_searched_and_the_reason_is_told() {
    let empty = tempfile::tempdir().unwrap();
    let corrupt = tempfile::tempdir().unwrap();
    for name in ["model.onnx", "tokenizer.json"] {
        std::fs::write(corrupt.path().join(name), b"not a model").unwrap();
    }
    let folders = [
        (None, "no folder"),
        (Some(empty.path().to_owned()), "is not there"),
        (Some(corrupt.path().to_owned()), "damaged"),
    ];
    for (folder, reason) in folders {
        let place = Place::new();
        place.contents.put("acme", 1, "the car would not start");
        let running = place.run(folder);
        let acme = tenure_of("acme");
        let query = running.meaning.embed_query(&acme, "engine").await;
        assert_eq!(query, None);
        let status = running.meaning.status();
        assert_eq!(status.mode, RecallMode::Words);
        let problem = status.problem.unwrap();
        assert!(problem.contains(reason), "{problem}");
        assert!(problem.contains("scripts/recall-model.sh"), "{problem}");
        assert_eq!((status.model, status.awaiting), (None, None));
        running.meaning.wake(0, &prefix("acme"));
        assert_eq!(running.embedded_to("acme"), 0);
        running.stop().await;
    }
}

#[tokio::test]
async fn memories_get_vectors_and_what_says_the_same_is_embedded_once() {
    let Some(model) = model_folder() else { return };
    let place = Place::new();
    for (sequence, content) in [(3, "the car would not start"), (5, "tea"), (8, "tea")] {
        place.contents.put("acme", sequence, content);
    }
    place.contents.put("bolt", 4, "tea");
    let running = place.run(Some(model));
    running.until_embedded("acme", 8).await;
    running.until_embedded("bolt", 4).await;
    let status = running.meaning.status();
    assert_eq!(
        (status.mode, status.problem),
        (RecallMode::WordsAndMeaning, None)
    );
    // Never for another tenant, though it says the same.
    assert_eq!((status.embedded, status.skipped), (3, 0));
    assert_eq!(status.awaiting, Some(0));
    let query = running
        .meaning
        .embed_query(&tenure_of("acme"), "the automobile's engine was dead")
        .await
        .unwrap();
    let car = running
        .embedding("acme", "the car would not start")
        .unwrap();
    let tea = running.embedding("acme", "tea").unwrap();
    assert!(query.cosine(&car.0[0]) > query.cosine(&tea.0[0]) + 0.2);
    assert_eq!(running.embedding("bolt", "the car would not start"), None);
    // One more, told by who stores it.
    place.contents.put("acme", 9, "coffee");
    running.meaning.wake(0, &prefix("acme"));
    running.until_embedded("acme", 9).await;
    assert!(running.embedding("acme", "coffee").is_some());
    running.stop().await;
}

#[tokio::test]
async fn a_process_that_ends_in_the_middle_goes_on_there() {
    const ALL: u64 = 300;
    let Some(model) = model_folder() else { return };
    let place = Place::new();
    for sequence in 1..=ALL {
        place
            .contents
            .put("acme", sequence, &format!("note {sequence}"));
    }
    let running = place.run(Some(model.clone()));
    running.until_embedded("acme", 1).await;
    running.stop().await;
    place.contents.asked.lock().unwrap().clear();
    let running = place.run(Some(model));
    let reached = running.embedded_to("acme");
    assert!(0 < reached && reached < ALL, "{reached}");
    running.until_embedded("acme", ALL).await;
    assert_eq!(running.meaning.status().embedded, ALL - reached);
    assert_eq!(place.contents.asked.lock().unwrap()[0], reached);
    running.stop().await;
}

#[tokio::test]
async fn one_tenants_many_memories_do_not_hold_up_anothers() {
    const MANY: u64 = 20_000;
    let Some(model) = model_folder() else { return };
    let place = Place::new();
    for sequence in 1..=MANY {
        place
            .contents
            .put("acme", sequence, &format!("note {sequence}"));
    }
    let running = place.run(Some(model));
    running.until_embedded("acme", 1).await;
    assert!(running.meaning.status().awaiting > Some(10_000));
    place.contents.put("bolt", MANY + 1, "a single one");
    let before = running.embedded_to("acme");
    running.meaning.wake(0, &prefix("bolt"));
    running.until_embedded("bolt", MANY + 1).await;
    let meanwhile = running.embedded_to("acme") - before;
    // The turn that ran, and those that were taken until this test looked.
    assert!(meanwhile < 20 * EMBED_TURN_MEMORIES as u64, "{meanwhile}");
    running.stop().await;
}

#[tokio::test]
async fn vectors_that_are_lost_are_made_again() {
    let Some(model) = model_folder() else { return };
    let place = Place::new();
    place.contents.put("acme", 7, "the car would not start");
    let running = place.run(Some(model));
    running.until_embedded("acme", 7).await;
    // A row that does not read.
    let key = key_of(ContentHash::of("the car would not start"));
    let spoil = |batch: &mut crate::side::SideBatch<'_>| {
        let acme = tenure_of("acme");
        let mut rows = batch.writer(&acme).unwrap();
        rows.put(VECTORS, &&key[..], b"short")
    };
    running.file.write(Durability::Durable, spoil).unwrap();
    let read = running
        .vectors("acme")
        .unwrap()
        .vectors(ContentHash::of("the car would not start"));
    assert!(
        matches!(read, Err(StoreError::Unreadable { .. })),
        "{read:?}"
    );
    running.until_embedded("acme", 7).await;
    assert!(
        running
            .embedding("acme", "the car would not start")
            .is_some()
    );
    running.stop().await;
    // A file that was cut while nobody looked.
    let path = place.folder.path().join("vectors-0.redb");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(std::fs::metadata(&path).unwrap().len() / 3)
        .unwrap();
    let running = place.run(model_folder());
    running.until_embedded("acme", 7).await;
    assert_eq!(running.meaning.status().embedded, 1);
    running.stop().await;
}

#[tokio::test]
async fn what_another_model_made_is_dropped() {
    let Some(model) = model_folder() else { return };
    let place = Place::new();
    place.contents.put("acme", 7, "the car would not start");
    let running = place.run(None);
    let acme = tenure_of("acme");
    let key = |number: u64| [&(model_tag() ^ 1).to_be_bytes()[..], &number.to_be_bytes()].concat();
    let put = |batch: &mut crate::side::SideBatch<'_>| {
        let mut rows = batch.writer(&acme).unwrap();
        (0..1_500).try_for_each(|number| rows.put(VECTORS, &&key(number)[..], b"other"))
    };
    running.file.write(Durability::Durable, put).unwrap();
    running.stop().await;
    let running = place.run(Some(model));
    running.until_embedded("acme", 7).await;
    let snapshot = running.file.snapshot().unwrap();
    let other = |number: u64| snapshot.reader(&acme).get(VECTORS, &&key(number)[..]);
    assert_eq!((other(0).unwrap(), other(1_499).unwrap()), (None, None));
    drop(snapshot);
    assert!(
        running
            .embedding("acme", "the car would not start")
            .is_some()
    );
    running.stop().await;
}

#[tokio::test]
async fn nothing_of_an_erased_tenant_is_left_and_its_neighbours_stay() {
    let Some(model) = model_folder() else { return };
    let place = Place::new();
    for sequence in 1..=40 {
        place
            .contents
            .put("gonecorp", sequence, &format!("secret {sequence}"));
    }
    place.contents.put("acme", 41, "kept");
    let running = place.run(Some(model));
    running.until_embedded("gonecorp", 40).await;
    running.until_embedded("acme", 41).await;
    let gone = tenure_of("gonecorp");
    let asked = running.meaning.embed_query(&gone, "what is secret").await;
    assert!(asked.is_some());
    let secret = running
        .embedding("gonecorp", "secret 9")
        .unwrap()
        .to_bytes();
    assert!(place.has_bytes(&secret));
    // Rows that were not deleted yet give it nothing.
    place.contents.put("gonecorp", 50, "secret 50");
    place.over.lock().unwrap().push(gone.clone());
    running.meaning.wake(0, &prefix("gonecorp"));
    running.file.tidy();
    running.meaning.forget(&scope("gonecorp"));
    let is_rid_of = || {
        let rid = running.file.is_rid_of(&prefix("gonecorp"));
        rid.unwrap_or(false) && running.meaning.is_rid_of(&scope("gonecorp"))
    };
    eventually("nothing of it is left", is_rid_of).await;
    for bytes in [
        &secret[..],
        b"gonecorp",
        &key_of(ContentHash::of("secret 9")),
    ] {
        assert!(!place.has_bytes(bytes));
    }
    assert!(running.embedding("acme", "kept").is_some());
    assert_eq!(running.embedded_to("gonecorp"), 0);
    // What was asked for it late is answered, and not kept.
    let late = running.meaning.embed_query(&gone, "what is secret").await;
    assert!(late.is_some() && running.meaning.queries.keeps_nothing_of(&gone));
    running.stop().await;
}

#[tokio::test]
async fn a_query_is_kept_for_its_own_tenant() {
    let Some(model) = model_folder() else { return };
    let place = Place::new();
    let running = place.run(Some(model));
    let (acme, bolt) = (tenure_of("acme"), tenure_of("bolt"));
    let first = running.meaning.embed_query(&acme, "engine").await.unwrap();
    assert!(!running.meaning.queries.keeps_nothing_of(&acme));
    assert!(running.meaning.queries.keeps_nothing_of(&bolt));
    let again = running.meaning.embed_query(&acme, "engine").await.unwrap();
    let others = running.meaning.embed_query(&bolt, "engine").await.unwrap();
    assert_eq!((&first, &first), (&again, &others));
    running.meaning.forget(&scope("acme"));
    assert!(running.meaning.queries.keeps_nothing_of(&acme));
    assert!(!running.meaning.queries.keeps_nothing_of(&bolt));
    running.stop().await;
}
