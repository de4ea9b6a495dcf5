//! A client's trace goes along with what its calls ask of Postroad.

use crate::client::{NEW, OLD, agent};
use crate::harness::Deployment;
use crate::harness::witness::Witness;
use postroad_protocol::envelope::TRACEPARENT;
use serde_json::json;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread")]
async fn the_traceparent_of_a_call_reaches_the_broker_and_garbage_does_not() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let alice = agent(&deployment, OLD, "acme", "alice", "desk").await;
    let late = agent(&deployment, NEW, "acme", "late", "desk").await;
    let witness = Witness::connect(&deployment.path(), &deployment.url).await;
    let mut heard = witness
        .listen("postroad.acme.cmd.*.*.messages.send_message")
        .await;
    let garbage = "00\r\nNats-Msg-Id: 7";
    for (client, trace) in [
        (&alice, TRACE),
        (&late, TRACE),
        (&alice, garbage),
        (&late, garbage),
    ] {
        let arguments = json!({"channel": "alice", "content": "traced"});
        let meta = json!({"traceparent": trace});
        let params = json!({"name": "send_message", "arguments": arguments, "_meta": meta});
        let sent = client.request("tools/call", params);
        assert!(
            sent["result"]["structuredContent"]["messageId"].is_string(),
            "{sent}"
        );
    }
    witness.settle().await;
    let heard = heard.so_far();
    let traces: Vec<Option<&str>> = heard
        .iter()
        .map(|message| Some(message.headers.as_ref()?.get(TRACEPARENT)?.as_str()))
        .collect();
    assert_eq!(traces, [Some(TRACE), Some(TRACE), None, None]);
}
