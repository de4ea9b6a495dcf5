//! Searches that are none, and searches for what nobody would look for.

use super::Stage;
use crate::harness::raw;
use postroad_protocol::limits::RECALL_QUERY_MAX_BYTES;
use serde_json::json;

const SEARCH: &str = "postroad.acme.qry.tau.t1.messages.search_messages";

#[tokio::test]
async fn what_is_no_search_is_refused_with_its_field() {
    let stage = Stage::set().await;
    let long = "x".repeat(RECALL_QUERY_MAX_BYTES + 1);
    for (body, code, field) in [
        (json!({"query":""}), "invalid_argument", Some("query")),
        (
            json!({"query":"\u{3000}\t\n"}),
            "invalid_argument",
            Some("query"),
        ),
        (json!({"query":long}), "too_large", Some("query")),
        (json!({"query":7}), "invalid_argument", None),
        (json!({}), "invalid_argument", None),
        (
            json!({"query":"x","limit":0}),
            "invalid_argument",
            Some("limit"),
        ),
        (
            json!({"query":"x","limit":101}),
            "invalid_argument",
            Some("limit"),
        ),
        (json!({"query":"x","limit":1.5}), "invalid_argument", None),
        (
            json!({"query":"x","sender":"a b"}),
            "invalid_argument",
            Some("sender"),
        ),
        (
            json!({"query":"x","channel":"pi,phi"}),
            "invalid_argument",
            Some("channel"),
        ),
        (
            json!({"query":"x","since":-1}),
            "invalid_argument",
            Some("since"),
        ),
        (
            json!({"query":"x","until":-1}),
            "invalid_argument",
            Some("until"),
        ),
        (
            json!({"query":"x","tenantId":"globex"}),
            "permission_denied",
            None,
        ),
        (json!({"query":"x","from":"pi"}), "permission_denied", None),
    ] {
        stage.refuse(SEARCH, body.to_string(), code, field).await;
    }
    for body in ["", "[]", "{\"query\":\"\\ud800\"}", "{\"query\":\"x\""] {
        stage.refuse(SEARCH, body, "invalid_argument", None).await;
    }
}

#[tokio::test]
async fn whatever_is_looked_for_is_answered_and_changes_nothing() {
    let stage = Stage::set().await;
    let queries = [
        "the".to_owned(),
        "to be or not to be".to_owned(),
        "?!… -- ///".to_owned(),
        "\u{0}\u{1}\u{7f}".to_owned(),
        "\u{202e}\u{200b}\u{feff}evil".to_owned(),
        "a\u{301}\u{301}\u{301}\u{301}\u{301}".to_owned(),
        "👩‍👩‍👧‍👦🏳️‍🌈".to_owned(),
        "ﷺ".repeat(300),
        "a ".repeat(RECALL_QUERY_MAX_BYTES / 2),
        "x_".repeat(RECALL_QUERY_MAX_BYTES / 2),
        "日本語のメッセージ".to_owned(),
        "a\tb\nc".to_owned(),
    ];
    for query in queries {
        let body = json!({"query":query,"limit":100,"until":0,"sender":"nobody"}).to_string();
        let found = raw::request(&stage.agent, SEARCH, body).await;
        assert_eq!(found["matched"], 0, "{query:?}: {found}");
        assert_eq!(found["messages"], json!([]), "{query:?}: {found}");
        stage.expect_nothing_stored(&query).await;
    }
    // It is found among what it does not match.
    let found = raw::request(&stage.agent, SEARCH, json!({"query":"FENCES"}).to_string()).await;
    assert!(
        found["matched"].as_u64().is_some_and(|count| count > 0),
        "{found}"
    );
}
