//! The chapters about tenants and the log: two that share every name and nothing else, what happens
//! to who tries the other's door, and what the operator can replay.

use super::guide::Guide;
use super::mail::{DIRECT, PI, Posted, TAU};
use anyhow::Context as _;
use postroad_protocol::MessageId;
use postroad_protocol::subject::RequestKind;
use std::time::Duration;
use tokio::sync::mpsc;

/// Credentials of the agents at globex-corp.
pub(super) const GLOBEX_TAU: &str = "globex-tau.creds";
const GLOBEX_PI: &str = "globex-pi.creds";
/// Said at globex-corp.
const GLOBEX: &str = "Reactor two is warm.";
/// How long nats-server may take to say no.
const NO_WAIT: Duration = Duration::from_secs(5);

/// Two tenants whose agents have the same names.
pub(super) async fn settle(guide: &mut Guide) -> anyhow::Result<()> {
    guide.voice.chapter("Two tenants, the same names");
    guide.voice.says(
        "Each agent is issued a credential. It says who calls: tenant, role, instance. Nothing that \
         an agent sends can say otherwise. acme-corp and globex-corp both have a tau and a pi.",
    );
    for tenant in ["acme-corp", "globex-corp"] {
        guide.does(&["tenant", "create", tenant]).await?;
    }
    for (tenant, role, instance, file) in [
        ("acme-corp", "tau", "laptop", TAU),
        ("acme-corp", "tau", "server", "acme-tau-server.creds"),
        ("acme-corp", "pi", "desk", PI),
        ("acme-corp", "phi", "desk", "acme-phi.creds"),
        ("globex-corp", "tau", "laptop", GLOBEX_TAU),
        ("globex-corp", "pi", "desk", GLOBEX_PI),
    ] {
        guide
            .does(&[
                "agent",
                "issue",
                "--tenant",
                tenant,
                "--role",
                role,
                "--instance",
                instance,
                "--out",
                file,
            ])
            .await?;
    }
    let who = guide.asks(&["--creds", GLOBEX_TAU, "whoami"]).await?;
    guide.confirms(
        "globex-corp's tau is tau of globex-corp",
        who["tenantId"] == "globex-corp" && who["role"] == "tau",
    )
}

/// globex-corp tries to reach acme-corp.
pub(super) async fn knock(guide: &mut Guide, sent: &Posted) -> anyhow::Result<()> {
    guide.voice.chapter("The other tenant");
    guide.voice.says(
        "All this time globex-corp's pi has had the same name as the one that got all the mail.",
    );
    guide
        .does(&["--creds", GLOBEX_TAU, "send", "pi", GLOBEX])
        .await?;
    let seen = guide.does(&["--creds", GLOBEX_PI, "check"]).await?;
    let mail = guide.asks(&["--creds", GLOBEX_PI, "check"]).await?;
    guide.confirms(
        "it has its own tenant's message and no other",
        seen.contains(GLOBEX) && !seen.contains(DIRECT) && mail["unreadTotal"] == 1,
    )?;
    claim_the_tenant(guide).await?;
    publish_over_the_wall(guide).await?;
    ask_for_a_foreign_id(guide, sent).await?;
    let mail = guide.asks(&["--creds", PI, "check"]).await?;
    let text = mail.to_string();
    guide.confirms(
        "and nothing of it has reached acme-corp",
        !text.contains("Knock") && !text.contains(GLOBEX),
    )
}

/// A request that says it is for another tenant.
async fn claim_the_tenant(guide: &mut Guide) -> anyhow::Result<()> {
    guide.voice.says(
        "Any NATS client can speak to Postroad, so globex-corp's tau does it by hand, and claims to \
         be of acme-corp:",
    );
    let (heard, _) = mpsc::unbounded_channel();
    let nats = guide.plain_client(GLOBEX_TAU, heard).await?;
    let subject = send_subject(guide, "globex-corp");
    let body = serde_json::json!({
        "tenantId": "acme-corp", "channel": "pi", "content": "Knock, knock."
    });
    guide.voice.types(&format!(
        "nats --creds {GLOBEX_TAU} request {subject} '{body}'"
    ));
    let answer = nats.request(subject, body.to_string().into()).await?;
    let answer = String::from_utf8_lossy(&answer.payload).into_owned();
    guide.voice.shows(&answer);
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    guide.confirms(
        "refused: tenantId is not the credential's",
        answer["code"] == "permission_denied" && answer["field"] == "tenantId",
    )
}

/// A request on another tenant's subject.
async fn publish_over_the_wall(guide: &mut Guide) -> anyhow::Result<()> {
    guide
        .voice
        .says("Then without a claim, straight to acme-corp's subject:");
    let (heard, mut words) = mpsc::unbounded_channel();
    let nats = guide.plain_client(GLOBEX_TAU, heard).await?;
    let subject = send_subject(guide, "acme-corp");
    let body = r#"{"channel":"pi","content":"Knock, knock."}"#;
    guide
        .voice
        .types(&format!("nats --creds {GLOBEX_TAU} pub {subject} '{body}'"));
    nats.publish(subject, body.into()).await?;
    nats.flush().await?;
    let refusal = async {
        loop {
            let said = words.recv().await.context("the connection ended")?;
            if said.to_lowercase().contains("permissions violation") {
                return anyhow::Ok(said);
            }
        }
    };
    let said = tokio::time::timeout(NO_WAIT, refusal)
        .await
        .context("nats-server let it pass")??;
    guide.voice.shows(&said);
    guide.confirms("nats-server itself does not let it pass", true)
}

/// An id that exists, elsewhere.
async fn ask_for_a_foreign_id(guide: &mut Guide, sent: &Posted) -> anyhow::Result<()> {
    guide.voice.says(
        "Suppose that the id of acme-corp's first message has leaked. globex-corp's tau asks for it, \
         and for one that was never used:",
    );
    let (foreign, unknown) = (sent.direct.to_string(), MessageId::generate().to_string());
    let get = |id| ["--creds", GLOBEX_TAU, "message", "get", id];
    let of_foreign = guide.runs(&get(&foreign)).await?;
    let of_unknown = guide.runs(&get(&unknown)).await?;
    guide.confirms(
        "both are not found (exit code 3), in the same words: not even existence can be asked for",
        of_foreign.code == 3
            && of_unknown.code == 3
            && of_foreign.output.replace(&foreign, "") == of_unknown.output.replace(&unknown, ""),
    )
}

/// The operator reads acme-corp's log.
pub(super) async fn replay(guide: &mut Guide) -> anyhow::Result<()> {
    guide.voice.chapter("The log");
    guide.voice.says(
        "Everything above is an event in an append-only log, sealed under its tenant's own key. The \
         operator can replay one tenant's; that they did is an event in that tenant's log, too.",
    );
    let shown = guide.does(&["replay", "--tenant", "acme-corp"]).await?;
    guide.confirms(
        "tau's message was sent twice and is there once",
        shown.matches(DIRECT).count() == 1,
    )?;
    guide.confirms(
        "nothing of globex-corp's is among it",
        !shown.contains(GLOBEX) && !shown.contains("globex-corp"),
    )?;
    guide
        .voice
        .says("And what has come to acme-corp's log since, which is that very replay:");
    let next = next_sequence(&shown).context("the replay ends with a position")?;
    let next = next.to_string();
    let again = guide
        .does(&["replay", "--tenant", "acme-corp", "--from", &next])
        .await?;
    guide.confirms(
        "the operator's read is in the log, where the tenant's auditor finds it",
        again.contains("operator_read") && !shown.contains("operator_read"),
    )
}

/// What follows the position, `shard:sequence`, at the beginning of the last line.
fn next_sequence(shown: &str) -> Option<u64> {
    let position = shown.lines().last()?.split_whitespace().next()?;
    let (_, sequence) = position.split_once(':')?;
    Some(sequence.parse::<u64>().ok()? + 1)
}

fn send_subject(guide: &Guide, tenant: &str) -> String {
    let subjects = guide.subjects();
    subjects.request(
        RequestKind::Command,
        tenant,
        "tau",
        "laptop",
        "messages",
        "send_message",
    )
}
