//! The list of tools: small, always in the same order, and only what the caller may use; what is hidden cannot
//! be called, either.

use crate::client::{Mcp, NEW, OLD, agent, creds};
use crate::harness::Deployment;
use postroad_protocol::tenancy::Scope;
use serde_json::{Value, json};

/// Largest answer to `tools/list`, in bytes, of whoever has messaging alone.
const LIST_MAX_BYTES: usize = 16 * 1024;
/// Largest of whoever has every tool.
const WHOLE_LIST_MAX_BYTES: usize = 40_000;

fn names(listed: &Value) -> Vec<String> {
    let tools = listed["result"]["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_small_and_says_how_to_use_each_tool() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let all = [
        "check_messages",
        "wait_for_messages",
        "mark_as_read",
        "send_message",
        "message_status",
        "list_messages",
        "get_message",
        "search_messages",
        "list_peers",
        "set_summary",
        "whoami",
    ];
    for revision in [OLD, NEW] {
        let alice = agent(&deployment, revision, "acme", "alice", "desk").await;
        let listed = alice.request("tools/list", json!({}));
        assert!(
            listed.to_string().len() <= LIST_MAX_BYTES,
            "{} bytes",
            listed.to_string().len()
        );
        assert_eq!(names(&listed), all);
        assert_eq!(
            alice.request("tools/list", json!({}))["result"],
            listed["result"]
        );
        for tool in listed["result"]["tools"].as_array().unwrap() {
            for hint in [
                "readOnlyHint",
                "destructiveHint",
                "idempotentHint",
                "openWorldHint",
            ] {
                assert!(tool["annotations"][hint].is_boolean(), "{tool}");
            }
            assert_eq!(tool["inputSchema"]["type"], "object");
            assert_eq!(tool["outputSchema"]["type"], "object");
        }
        if revision == NEW {
            assert_eq!(listed["result"]["cacheScope"], "private");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_beyond_the_callers_scopes_is_neither_listed_nor_known() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let watcher = creds(&deployment, "acme", "watcher", "w1", &[]).await;
    for revision in [OLD, NEW] {
        let watcher = Mcp::start(&deployment, &watcher, revision, &[]);
        let listed = names(&watcher.request("tools/list", json!({})));
        assert_eq!(listed, ["list_peers", "set_summary", "whoami"]);
        assert_eq!(
            watcher.call("whoami", json!({})).0["scopes"],
            json!(["self"])
        );
        let call =
            |name: &str| watcher.request("tools/call", json!({"name": name, "arguments": {}}));
        let hidden = call("check_messages");
        let absent = call("check_massages");
        assert_eq!(hidden["error"]["code"], -32602, "{hidden}");
        assert_eq!(
            hidden["error"]
                .to_string()
                .replace("check_messages", "check_massages"),
            absent["error"].to_string(),
        );
        let resources = watcher.request("resources/list", json!({}));
        assert_eq!(resources["result"]["resources"], json!([]));
    }
    let other = creds(&deployment, "acme", "other", "o1", &[Scope::Messages]).await;
    let other = Mcp::start(&deployment, &other, OLD, &[]);
    assert_eq!(names(&other.request("tools/list", json!({}))).len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_has_tools_of_its_own_and_forgetting_is_said_to_destroy() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let own = ["list_peers", "set_summary", "whoami"];
    let memory = [
        "recall",
        "store_memory",
        "update_memory",
        "forget_memory",
        "get_memory",
        "list_memories",
    ];
    let keeper = creds(&deployment, "acme", "keeper", "k1", &[Scope::Memory]).await;
    let both = [Scope::Messages, Scope::Memory];
    let tau = creds(&deployment, "acme", "tau", "t1", &both).await;
    for revision in [OLD, NEW] {
        let keeper = Mcp::start(&deployment, &keeper, revision, &[]);
        let listed = keeper.request("tools/list", json!({}));
        assert_eq!(names(&listed), [&own[..], &memory].concat());
        for tool in listed["result"]["tools"].as_array().unwrap() {
            let hints = &tool["annotations"];
            let name = tool["name"].as_str().unwrap();
            assert_eq!(hints["destructiveHint"], name == "forget_memory", "{tool}");
            let reads = [
                "recall",
                "get_memory",
                "list_memories",
                "list_peers",
                "whoami",
            ];
            assert_eq!(hints["readOnlyHint"], reads.contains(&name), "{tool}");
            assert_eq!(hints["idempotentHint"], name != "store_memory", "{tool}");
        }
        let tau = Mcp::start(&deployment, &tau, revision, &[]);
        let listed = tau.request("tools/list", json!({}));
        assert_eq!(names(&listed).len(), 17);
        let size = listed.to_string().len();
        assert!(size <= WHOLE_LIST_MAX_BYTES, "{size} bytes");
        let instructions = tau.opened["result"]["instructions"].as_str().unwrap();
        assert!(instructions.contains("store_memory"), "{instructions}");
    }
    let other = creds(&deployment, "acme", "other", "o1", &[Scope::Messages]).await;
    let other = Mcp::start(&deployment, &other, OLD, &[]);
    let call = |name: &str| other.request("tools/call", json!({"name": name, "arguments": {}}));
    for hidden in memory {
        let told = call(hidden)["error"].to_string();
        assert_eq!(
            told.replace(hidden, "recoil"),
            call("recoil")["error"].to_string()
        );
    }
    let instructions = other.opened["result"]["instructions"].as_str().unwrap();
    assert!(!instructions.contains("memory"), "{instructions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_have_tools_of_their_own_and_the_whole_list_stays_small() {
    let deployment = Deployment::start_with(&["--durability", "fast"]);
    deployment.tenant("acme").await;
    let own = ["list_peers", "set_summary", "whoami"];
    let tasks = [
        "list_tasks",
        "get_task",
        "create_task",
        "claim_task",
        "update_task",
        "release_task",
        "block_task",
        "complete_task",
        "fail_task",
        "cancel_task",
        "add_dependency",
        "create_mission",
        "get_mission",
        "list_missions",
        "update_mission",
    ];
    let worker = creds(&deployment, "acme", "worker", "w1", &[Scope::Tasks]).await;
    let all = [Scope::Messages, Scope::Memory, Scope::Tasks];
    let tau = creds(&deployment, "acme", "tau", "t1", &all).await;
    for revision in [OLD, NEW] {
        let worker = Mcp::start(&deployment, &worker, revision, &[]);
        let listed = worker.request("tools/list", json!({}));
        assert_eq!(names(&listed), [&own[..], &tasks].concat());
        for tool in listed["result"]["tools"].as_array().unwrap() {
            let (hints, name) = (&tool["annotations"], tool["name"].as_str().unwrap());
            let reads = name.starts_with("list_") || name.starts_with("get_") || name == "whoami";
            let adds = ["create_task", "update_task", "create_mission"];
            assert_eq!(hints["readOnlyHint"], reads, "{tool}");
            assert_eq!(hints["destructiveHint"], false, "{tool}");
            assert_eq!(hints["idempotentHint"], !adds.contains(&name), "{tool}");
        }
        let tau = Mcp::start(&deployment, &tau, revision, &[]);
        let listed = tau.request("tools/list", json!({}));
        assert_eq!(names(&listed).len(), 32);
        let size = listed.to_string().len();
        assert!(size <= WHOLE_LIST_MAX_BYTES, "{size} bytes");
        let instructions = tau.opened["result"]["instructions"].as_str().unwrap();
        assert!(instructions.contains("claim_task"), "{instructions}");
    }
    let other = creds(&deployment, "acme", "other", "o1", &[Scope::Messages]).await;
    let other = Mcp::start(&deployment, &other, OLD, &[]);
    let call = |name: &str| other.request("tools/call", json!({"name": name, "arguments": {}}));
    for hidden in tasks {
        let told = call(hidden)["error"].to_string();
        assert_eq!(
            told.replace(hidden, "list_tusks"),
            call("list_tusks")["error"].to_string()
        );
    }
    let instructions = other.opened["result"]["instructions"].as_str().unwrap();
    assert!(!instructions.contains("task"), "{instructions}");
}
