//! A thousand callers at once: each with its own token, its own connection and its own mail, and nothing left of
//! them when they are gone.

use crate::client::OLD;
use crate::harness::Deployment;
use crate::web::{Gateway, Web, token};
use futures_util::stream::{self, StreamExt as _};
use postroad_client::Client;
use serde_json::json;

/// Callers, each with a token of its own.
const CALLERS: usize = 1_000;
/// Tokens that are issued at once.
const ISSUED_AT_ONCE: usize = 32;
/// Roles of each tenant. The names are the same in both.
const ROLES: usize = 10;

/// Two tenants with the same names: of which of them a caller is, and what it is called there.
fn names(at: usize) -> (&'static str, String, String) {
    let (tenant, place) = (["acme", "globex"][at % 2], at / 2);
    let (role, instance) = (place % ROLES, place / ROLES);
    (tenant, format!("r{role}"), format!("i{instance}"))
}

/// The caller that one writes to: of the same tenant, and never itself.
fn partner(at: usize) -> usize {
    (at + 2) % CALLERS
}

async fn callers(gateway: &Gateway, operator: &Client) -> Vec<Web> {
    let issued = stream::iter(0..CALLERS).map(|at| async move {
        let (tenant, role, instance) = names(at);
        let token = token(operator, tenant, &role, &instance, None).await;
        gateway.caller(&token)
    });
    issued.buffered(ISSUED_AT_ONCE).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_see_their_own_mail_alone_and_leave_nothing_behind() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    for tenant in ["acme", "globex"] {
        deployment.tenant(tenant).await;
    }
    let operator = deployment.operator().await;
    let gateway = Gateway::start(&deployment, &["--http-idle", "15s"]);
    let callers = callers(&gateway, &operator).await;
    // All at once: each is let in, and writes to its neighbour what nobody else may see.
    let sends = callers.iter().enumerate().map(|(at, caller)| async move {
        let (_, role, instance) = names(partner(at));
        let content = format!("from {at} to {}", partner(at));
        let message = json!({"channel": role, "instanceId": instance, "content": content});
        caller.call("send_message", message).await;
    });
    futures_util::future::join_all(sends).await;
    // And reads, twice, half of them in sessions.
    let checks = callers.iter().enumerate().map(|(at, caller)| async move {
        let (tenant, role, instance) = names(at);
        let from = (at + CALLERS - 2) % CALLERS;
        let caller = match at % 4 {
            0 | 1 => caller.clone(),
            _ => caller.clone().with_session(OLD).await,
        };
        let whoami = caller.call("whoami", json!({})).await;
        let said = [&whoami["tenantId"], &whoami["role"], &whoami["instanceId"]];
        assert_eq!(said, [&json!(tenant), &json!(role), &json!(instance)]);
        for _ in 0..2 {
            assert_eq!(caller.unread().await, [format!("from {from} to {at}")]);
        }
    });
    futures_util::future::join_all(checks).await;
    let counts = gateway.counts().await;
    assert!(
        counts.callers <= CALLERS && counts.callers > CALLERS / 2,
        "{counts:?}"
    );
    gateway.expect_nobody().await;
}
