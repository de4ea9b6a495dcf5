//! The chapter about memories: remembered by one, recalled by another, and by nobody of another tenant.

use super::guide::Guide;
use super::mail::{PI, TAU};
use super::walls::GLOBEX_TAU;
use anyhow::Context as _;

/// What tau knows, and by which words pi asks for it.
const FACT: &str = "The hero image must stay below 200 KB, or the page misses its budget.";
const QUESTION: &str = "how large may the image be?";
/// What takes its place.
const NEWER: &str = "The hero image must stay below 150 KB since the new budget.";

/// One agent remembers, another recalls.
pub(super) async fn share(guide: &mut Guide) -> anyhow::Result<()> {
    guide.voice.chapter("What one knows, all know");
    guide.voice.says(
        "A message is for somebody; a memory is for whoever will ask. tau stores one in the \
         namespace of a project:",
    );
    let place = ["--namespace", "project/landing-page"];
    let remember = ["--creds", TAU, "remember", FACT, "--type", "feedback"];
    guide.does(&[&remember[..], &place].concat()).await?;
    guide
        .voice
        .says("pi was never told. It asks in its own words:");
    let recall = ["--creds", PI, "recall", QUESTION];
    let shown = guide.does(&recall).await?;
    guide.confirms("pi finds what tau remembered", shown.contains(FACT))?;
    let found = guide.asks(&recall).await?;
    let id = &found["results"][0]["memoryId"];
    let id = id.as_str().context("a memory's id")?;
    guide.voice.says(
        "What is known changes. pi stores what is true now, and says which memory it takes the \
         place of:",
    );
    let remember = ["--creds", PI, "remember", NEWER, "--updates", id];
    guide.does(&[&remember[..], &place].concat()).await?;
    let shown = guide
        .does(&["--creds", TAU, "recall", QUESTION, "--explain"])
        .await?;
    let ranks = [NEWER, FACT].map(|content| shown.find(content));
    guide.confirms(
        "the newer one comes first, and the table says what each score is made of",
        ranks[0].is_some() && (ranks[1].is_none() || ranks.is_sorted()),
    )?;
    guide
        .voice
        .says("globex-corp's tau asks the same, and for that very memory by its id:");
    let theirs = guide
        .does(&["--creds", GLOBEX_TAU, "recall", QUESTION])
        .await?;
    let get = guide
        .runs(&["--creds", GLOBEX_TAU, "memory", "get", id])
        .await?;
    guide.confirms(
        "nothing is found: acme-corp's memories are in an index that no other tenant's questions reach",
        !theirs.contains("image must stay") && get.code == 3,
    )
}
