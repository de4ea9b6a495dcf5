//! The chapters about messages: sent to who is away, fetched, read, narrowed to an instance, pushed.

use super::guide::Guide;
use crate::bench::stage::Child;
use anyhow::Context as _;
use postroad_protocol::MessageId;
use serde_json::Value;
use std::time::Instant;

/// Credentials of the agents at acme-corp.
pub(super) const TAU: &str = "acme-tau.creds";
/// A second machine of tau's.
const TAU_SERVER: &str = "acme-tau-server.creds";
pub(super) const PI: &str = "acme-pi.creds";
const PHI: &str = "acme-phi.creds";

/// What is said, so that it can be looked for.
pub(super) const DIRECT: &str = "Phase 1 complete. Nav and Hero sections migrated.";
const BROADCAST: &str = "Merge freeze starts Thursday.";
const SEVERAL: &str = "New mission: landing-page-phase-2. Check your tasks.";
const INSTANCE: &str = "This is for the laptop specifically.";
const PUSHED: &str = "PR 47 is merged.";

/// What was sent in the first chapter about mail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posted {
    /// The direct message.
    pub(super) direct: MessageId,
}

/// Sends in all four ways while pi has never been there.
pub(super) async fn send_to_the_absent(guide: &mut Guide) -> anyhow::Result<Posted> {
    guide
        .voice
        .chapter("Four ways to send, to somebody who is away");
    guide.voice.says(
        "pi at acme-corp has a credential and was never online. tau sends it a message; the id is \
         made by the sender, so sending again after a broken connection is safe. Here it is sent \
         twice.",
    );
    let direct = MessageId::generate();
    let id = direct.to_string();
    let words = ["--creds", TAU, "send", "pi", DIRECT, "--message-id", &id];
    guide.does(&words).await?;
    guide.does(&words).await?;
    guide.voice.says(
        "To everybody at acme-corp; to two roles; and to one machine of a role that runs on two.",
    );
    guide
        .does(&["--creds", TAU, "send", "broadcast", BROADCAST])
        .await?;
    guide
        .does(&["--creds", PHI, "send", "tau,pi", SEVERAL])
        .await?;
    guide
        .does(&[
            "--creds",
            PHI,
            "send",
            "tau",
            INSTANCE,
            "--instance",
            "laptop",
        ])
        .await?;
    guide
        .voice
        .says("Nobody has got tau's message yet, and tau can see that:");
    let status = ["--creds", TAU, "message", "status", &id];
    guide.does(&status).await?;
    let status = guide.asks(&status).await?;
    guide.confirms(
        "one recipient, nothing delivered, nothing read",
        counts(&status) == (1, 0, 0),
    )?;
    Ok(Posted { direct })
}

/// pi comes, and misses nothing.
pub(super) async fn come_back(guide: &mut Guide, sent: &Posted) -> anyhow::Result<()> {
    guide.voice.chapter("Back from being away");
    guide
        .voice
        .says("pi starts, and looks at its mail before anything else:");
    let check = ["--creds", PI, "check"];
    let seen = guide.does(&check).await?;
    let places = [DIRECT, BROADCAST, SEVERAL].map(|content| seen.find(content));
    guide.confirms(
        "all three messages for pi, in the order they were sent, each once",
        places.is_sorted()
            && places[0].is_some()
            && [DIRECT, BROADCAST, SEVERAL]
                .iter()
                .all(|content| seen.matches(content).count() == 1),
    )?;
    guide.confirms("not the one for tau's laptop", !seen.contains(INSTANCE))?;
    guide.voice.says(
        "Getting a message tells its sender so, but never hides it. Only reading does: pi marks the \
         first one.",
    );
    let mail = guide.asks(&check).await?;
    let first = &mail["messages"][0];
    let receipt = first["receiptId"].as_str().context("a receipt")?.to_owned();
    guide.does(&["--creds", PI, "read", &receipt]).await?;
    let id = sent.direct.to_string();
    let status = ["--creds", TAU, "message", "status", &id];
    guide
        .awaits(&status, |status| counts(status) == (1, 1, 1))
        .await?;
    guide.does(&status).await?;
    guide.confirms("tau sees: delivered, and read", true)?;
    let mail = guide.asks(&check).await?;
    guide.confirms(
        "pi has two messages left",
        mail["unreadTotal"] == 2
            && mail["messages"]
                .as_array()
                .is_some_and(|all| all.len() == 2),
    )
}

/// The message for one instance is on one machine only.
pub(super) async fn choose_an_instance(guide: &mut Guide) -> anyhow::Result<()> {
    guide.voice.chapter("One role, two machines");
    guide.voice.says(
        "tau runs on a laptop and on a server. A message to the role reaches both, each with its own \
         receipt; one to an instance reaches that one.",
    );
    let laptop = guide.does(&["--creds", TAU, "check"]).await?;
    let server = guide.does(&["--creds", TAU_SERVER, "check"]).await?;
    guide.confirms(
        "both have the message to `tau,pi`",
        laptop.contains(SEVERAL) && server.contains(SEVERAL),
    )?;
    guide.confirms(
        "only the laptop has the message to the laptop",
        laptop.contains(INSTANCE) && !server.contains(INSTANCE),
    )?;
    guide.confirms(
        "the server has the broadcast, the laptop that sent it does not",
        server.contains(BROADCAST) && !laptop.contains(BROADCAST),
    )
}

/// A message arrives while its recipient watches.
pub(super) async fn hear_the_push(guide: &mut Guide) -> anyhow::Result<()> {
    guide.voice.chapter("Push");
    guide.voice.says(
        "pi stays and watches. Push only rings the bell; what is shown comes from the log, in order, \
         and would be there after a crash, too.",
    );
    let mut watch = guide.starts("watch", &["--creds", PI, "watch"])?;
    // What was unread comes first; only then is it certain that pi watches.
    let mut shown = watched(&mut watch, SEVERAL).await?;
    guide.voice.shows(&shown);
    guide.voice.says("Now phi sends:");
    let begun = Instant::now();
    guide.does(&["--creds", PHI, "send", "pi", PUSHED]).await?;
    shown = watched(&mut watch, PUSHED).await?;
    let took = begun.elapsed().as_millis();
    guide.voice.says("And pi's watch shows:");
    guide.voice.shows(&shown);
    guide.confirms(
        &format!("it came by itself, {took} ms after phi's command was started"),
        true,
    )?;
    watch.stop().await
}

/// What `watch` prints up to the message with `content`, whose last line names its id.
async fn watched(watch: &mut Child, content: &str) -> anyhow::Result<String> {
    let (mut shown, mut is_there) = (String::new(), false);
    loop {
        let line = watch.line().await?;
        is_there |= line.contains(content);
        shown.push_str(&line);
        shown.push('\n');
        if is_there && line.trim_start().starts_with("message ") {
            return Ok(shown);
        }
    }
}

/// Recipients, and how many have got and read it.
fn counts(status: &Value) -> (u64, u64, u64) {
    let count = |name: &str| status[name].as_u64().unwrap_or(u64::MAX);
    (
        count("recipientCount"),
        count("deliveredCount"),
        count("readCount"),
    )
}
