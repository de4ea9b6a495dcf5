//! `list_peers` and `whoami`: the agents of the tenant, and which of them the caller is.

use super::STALE;
use crate::answer::{Answer, Unread, fitted, row_cost};
use crate::args;
use crate::caller::Caller;
use crate::frame::quoted;
use crate::messages::{ms, time};
use crate::registry::{Effect, Tool, UnreadFrom};
use postroad_client::{ClientError, Page};
use postroad_protocol::query;
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `list_peers`.
pub(crate) struct ListPeers;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct PeersArgs {
    /// 1 to 200, by default 200
    limit: Option<i64>,
    /// nextCursor of an earlier answer
    cursor: Option<String>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    peers: Vec<Peer>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// One of them.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Peer {
    /// Its role: a channel for `send_message`
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    /// What it says that it is doing
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<i64>,
    online: bool,
}

impl Tool for ListPeers {
    const NAME: &'static str = "list_peers";
    const TITLE: &'static str = "List peers";
    const ABOUT: &'static str = "The agents of your tenant: role, instance, what each says that it is \
        doing, and whether it is online. Mail reaches those who are not, too.";
    const SCOPE: Scope = Scope::Own;
    const EFFECT: Effect = Effect::Reads;
    type Args = PeersArgs;
    type Output = Listed;

    async fn call(caller: &Caller, args: PeersArgs) -> Result<Answer<Listed>, ClientError> {
        let page = args::page(args.limit, args.cursor)?;
        let ask = |page: Page| async move { caller.client().list_peers(&page).await };
        let costs = |answer: &query::Peers| {
            let rows = answer.peers.iter();
            rows.map(|row| Peer::of(row).cost()).collect()
        };
        Ok(told(fitted(page, ask, costs).await?))
    }
}

impl Peer {
    fn of(peer: &query::Peer) -> Self {
        Self {
            id: peer.id.to_string(),
            instance_id: peer.instance_id.as_ref().map(ToString::to_string),
            summary: peer.summary.clone(),
            last_seen: peer.last_seen.map(ms),
            online: peer.online,
        }
    }

    fn line(&self) -> String {
        let instance = self.instance_id.as_ref();
        let instance = instance
            .map(|instance| format!("/{instance}"))
            .unwrap_or_default();
        let state = match (self.online, self.last_seen) {
            (true, _) => "online".to_owned(),
            (false, Some(at)) => format!("last seen {}", time(at)),
            (false, None) => "never seen".to_owned(),
        };
        let summary = self.summary.as_ref();
        let summary = summary.map(|words| format!(", says {}", quoted(words)));
        format!(
            "\n{}{instance}: {state}{}",
            self.id,
            summary.unwrap_or_default()
        )
    }

    fn cost(&self) -> usize {
        row_cost(self, &self.line())
    }
}

fn told(answer: query::Peers) -> Answer<Listed> {
    let peers: Vec<Peer> = answer.peers.iter().map(Peer::of).collect();
    let mut text = format!("Agents of your tenant: {}", peers.len());
    text.extend(peers.iter().map(Peer::line));
    if let Some(cursor) = &answer.next_cursor {
        text.push_str(&format!("\n\nMore follow: list_peers with cursor {cursor}"));
    }
    if answer.stale {
        text.push_str(STALE);
    }
    let output = Listed {
        peers,
        truncated: answer.next_cursor.is_some(),
        next_cursor: answer.next_cursor,
        stale: answer.stale,
    };
    Answer::new(output, text)
}

/// `whoami`.
pub(crate) struct Whoami;

/// Its arguments: none.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct WhoamiArgs {}

/// Its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    tenant_id: String,
    role: String,
    instance_id: String,
    scopes: Vec<&'static str>,
}

impl Tool for Whoami {
    const NAME: &'static str = "whoami";
    const TITLE: &'static str = "Who am I";
    const ABOUT: &'static str =
        "Your tenant, role, instance and scopes, as your credential has them.";
    const SCOPE: Scope = Scope::Own;
    const EFFECT: Effect = Effect::Reads;
    const UNREAD: UnreadFrom = UnreadFrom::Answer;
    type Args = WhoamiArgs;
    type Output = Me;

    async fn call(caller: &Caller, WhoamiArgs {}: WhoamiArgs) -> Result<Answer<Me>, ClientError> {
        let who = caller.client().whoami().await?;
        let unread = Unread::known_to(&who);
        let scopes: Vec<&str> = caller.scopes().iter().map(|scope| scope.token()).collect();
        let me = Me {
            tenant_id: who.tenant_id.unwrap_or_default(),
            role: who.role,
            instance_id: who.instance_id.to_string(),
            scopes,
        };
        let text = format!(
            "You are {}/{} of tenant {}; scopes: {}",
            me.role,
            me.instance_id,
            me.tenant_id,
            me.scopes.join(", ")
        );
        let mut answer = Answer::new(me, text);
        answer.unread = unread;
        Ok(answer)
    }
}
