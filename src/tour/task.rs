//! The chapter about tasks: given to a role, claimed by one, waited for by another, and unheard of elsewhere.

use super::guide::Guide;
use super::mail::{PI, TAU};
use super::walls::GLOBEX_TAU;
use anyhow::Context as _;
use serde_json::Value;

const FIRST: &str = "Migrate the nav";
const SECOND: &str = "Review the nav";

/// One agent hands another work, and is told when its own can begin.
pub(super) async fn hand_over(guide: &mut Guide) -> anyhow::Result<()> {
    guide.voice.chapter("Work that is done once");
    guide
        .voice
        .says("pi gives tau a task, and itself one that waits for it:");
    let create = ["--creds", PI, "task", "create", FIRST, "--assigned-to"];
    let first = id_of(
        guide,
        &[&create[..], &["tau", "--priority", "high"]].concat(),
    )
    .await?;
    let create = ["--creds", PI, "task", "create", SECOND, "--assigned-to"];
    let waits = ["pi", "--depends-on", &first];
    let second = id_of(guide, &[&create[..], &waits].concat()).await?;
    guide
        .voice
        .says("tau claims its task. pi is late: one of them works on it, and pi is told who.");
    guide
        .does(&["--creds", TAU, "task", "claim", &first, "--lease", "30m"])
        .await?;
    let late = guide
        .runs(&["--creds", PI, "task", "claim", &first])
        .await?;
    guide.confirms(
        "the second claim is a conflict that names tau",
        late.code == 5 && late.output.contains("tau"),
    )?;
    let early = guide
        .runs(&["--creds", PI, "task", "claim", &second])
        .await?;
    guide.confirms("what waits for it cannot be claimed yet", early.code == 5)?;
    guide.voice.says("tau is done. Nobody has to tell pi:");
    let complete = ["--creds", TAU, "task", "complete", &first];
    guide
        .does(&[&complete[..], &["--note", "PR #47"]].concat())
        .await?;
    let check = ["--creds", PI, "check"];
    let is_told = |answer: &Value| {
        let messages = answer["messages"].as_array();
        let mut messages = messages.into_iter().flatten();
        messages.any(|message| message["from"] == "_postroad")
    };
    guide.awaits(&check, is_told).await?;
    let told = guide.does(&check).await?;
    guide.confirms(
        "a message from Postroad says that the other task is ready",
        told.contains("_postroad") && told.contains(SECOND),
    )?;
    let theirs = guide
        .runs(&["--creds", GLOBEX_TAU, "task", "get", &first])
        .await?;
    guide.confirms(
        "globex-corp's tau, who has the task's id, finds nothing",
        theirs.code == 3,
    )
}

/// Runs what creates a task; its id.
async fn id_of(guide: &mut Guide, args: &[&str]) -> anyhow::Result<String> {
    let shown = guide.does(args).await?;
    let id = shown.split_whitespace().next();
    id.map(str::to_owned).context("a task's id")
}
