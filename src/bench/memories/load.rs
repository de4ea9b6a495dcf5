//! What is stored and what is asked: words as contents have them, and questions of which no two are alike.

use crate::bench::Bench;
use crate::bench::samples::{Until, keep_in_flight, together};
use crate::bench::search::{ranks, words};
use crate::bench::stage::Agent;
use postroad_client::{NewMemory, Recall};
use postroad_protocol::body::Encoding;
use postroad_protocol::query::{RecallMode, Recalled};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Words of a memory, and of a question.
const MEMORY_WORDS: usize = 40;
const QUERY_WORDS: usize = 5;
/// Stores that are open at once.
const STORES_IN_FLIGHT: usize = 256;
/// How long rows may take to come as far as the log, and how often that is looked at.
const SETTLE_WAIT: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Recalls before the first that counts.
const WARM_UP: usize = 20;
/// A word of every content, and of none of the questions that count.
const EVERYWHERE: &str = "everywhere";
/// Seeds of questions begin here, so that none is a content's.
const FIRST_QUESTION: usize = 1 << 40;

/// Words of a language, for which the model has names.
const ENGLISH: &str = "time year people way day man thing woman life child world school state family student group \
    country problem hand part place case week company system program question work government number night point home \
    water room mother area money story fact month lot right study book eye job word business issue side kind head house \
    service friend father power hour game line end member law car city community name president team minute idea body \
    information back parent face others level office door health person art war history party result change morning \
    reason research girl guy moment air teacher force education foot boy age policy music market sense nation plan \
    college interest death experience effect use class control field development role effort rate heart drug show leader \
    light voice wife police mind price report decision son view relationship town road arm difference value building \
    action season society tax director position player record paper space ground form event official matter centre \
    couple site project activity star table need court oil situation cost industry figure street image phone data \
    picture practice piece land product doctor wall news test movie north love step";

/// How contents are worded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts {
    in_english: bool,
    /// So many contents, each said over and over; none twice where there is no such number.
    different: Option<usize>,
}

impl Texts {
    /// Each of its own, in a language of five thousand words.
    pub(super) fn of_their_own() -> Self {
        Self {
            in_english: false,
            different: None,
        }
    }

    /// In English, so many different ones.
    pub(super) fn in_english(different: usize) -> Self {
        Self {
            in_english: true,
            different: Some(different),
        }
    }

    fn words(self, seed: usize, count: usize) -> String {
        if !self.in_english {
            return words(seed, count);
        }
        let english: Vec<&str> = ENGLISH.split_whitespace().collect();
        let ranks = ranks(seed, english.len()).take(count);
        let words = ranks.map(|rank| usize::try_from(rank).map_or("", |rank| english[rank]));
        words.collect::<Vec<_>>().join(" ")
    }

    fn content(self, number: usize) -> String {
        let seed = self
            .different
            .map_or(number, |different| number % different);
        format!("{} {EVERYWHERE}", self.words(seed, MEMORY_WORDS - 1))
    }
}

/// Stores in `space` the memories of these numbers, many in flight.
pub(super) async fn store_all(
    bench: &Bench,
    writers: &[Agent],
    space: &'static str,
    numbers: Range<usize>,
    texts: Texts,
) -> anyhow::Result<()> {
    bench.progress.count("memories", numbers.len());
    let each = numbers.len() / writers.len();
    anyhow::ensure!(
        each * writers.len() == numbers.len(),
        "every writer stores as many"
    );
    let first = numbers.start;
    let storing = writers.iter().cloned().enumerate().map(|(number, writer)| {
        let (bar, in_flight) = (bench.progress.clone(), STORES_IN_FLIGHT / writers.len());
        async move {
            let next = AtomicUsize::new(first + number * each);
            keep_in_flight(in_flight, Until::Calls(each), || async {
                let content = texts.content(next.fetch_add(1, Ordering::Relaxed));
                let memory = NewMemory::new(space, content);
                writer.client.store_memory(&memory).await?;
                bar.step();
                Ok(())
            })
            .await
        }
    });
    together(storing).await?;
    Ok(())
}

/// One agent's questions to one namespace.
pub(super) struct Asking<'a> {
    reader: &'a Agent,
    space: &'static str,
    texts: Texts,
    mode: RecallMode,
    asked: AtomicUsize,
}

impl<'a> Asking<'a> {
    /// Questions worded as `texts` are, which must be answered in the way of `mode`.
    pub(super) fn new(
        reader: &'a Agent,
        space: &'static str,
        texts: Texts,
        mode: RecallMode,
    ) -> Self {
        Self {
            reader,
            space,
            texts,
            mode,
            asked: AtomicUsize::new(FIRST_QUESTION),
        }
    }

    pub(super) fn space(&self) -> &'static str {
        self.space
    }

    /// A question that was not asked before, which must find something.
    pub(super) async fn ask(&self) -> anyhow::Result<Recalled> {
        let seed = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.recall(&self.texts.words(seed, QUERY_WORDS)).await?;
        anyhow::ensure!(!answer.results.is_empty(), "a recall found nothing");
        Ok(answer)
    }

    /// What is said of all memories.
    pub(super) async fn ask_for_all(&self) -> anyhow::Result<Recalled> {
        self.recall(EVERYWHERE).await
    }

    async fn recall(&self, query: &str) -> anyhow::Result<Recalled> {
        let wanted = Recall::new(query).namespace(self.space);
        let answer = self.reader.client.recall(&wanted).await?;
        anyhow::ensure!(answer.mode == self.mode, "answered by {:?}", answer.mode);
        Ok(answer)
    }

    /// Waits until `count` memories are there, and asks a few times ahead of what counts; the bytes of an answer.
    pub(super) async fn settle(&self, count: usize) -> anyhow::Result<usize> {
        let count = u64::try_from(count)?;
        until(|| async { Ok(self.ask_for_all().await?.matched == count) }).await?;
        let mut bytes = 0;
        for _ in 0..WARM_UP {
            bytes = Encoding::MessagePack.encode(&self.ask().await?).len();
        }
        Ok(bytes)
    }
}

/// Waits until it is so.
pub(super) async fn until<F, Fut>(is_so: F) -> anyhow::Result<()>
where
    F: Fn() -> Fut,
    Fut: Future<Output = anyhow::Result<bool>>,
{
    let deadline = Instant::now() + SETTLE_WAIT;
    loop {
        match is_so().await {
            Ok(true) => return Ok(()),
            outcome if Instant::now() >= deadline => {
                outcome?;
                anyhow::bail!("memories do not come to be found");
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
