//! What is odd: text of every kind comes back as it went in, and a question that cannot be answered is refused with its reason.

use super::{contents, speaker};
use crate::harness::Deployment;
use serde_json::{Value, json};

/// Texts that something between a keyboard and a disk has stumbled over before.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "\u{202e}drawkcab si siht\u{202c} plain \u{2066}isolated\u{2069}",
        "zero\u{200b}width\u{200d}joined\u{feff}marked\u{2060}",
        "e\u{301} is not \u{e9}, and \u{1e9b}\u{323} is its own",
        "\u{1d54f}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{10ffff} \u{e000} beyond the plane",
        "before\0after \u{1}\u{7f}\u{85}\u{9f} control",
        "\u{fffd}\u{fffe}\u{ffff} no characters",
        "tabs\tand\r\nlines\u{2028}of\u{2029}every kind",
        "\u{130}stanbul \u{131}\u{df}\u{1e9e} \u{fb03} case that grows",
        "\"}],\"tenantId\":\"acme\"} \\u0000 ${x} '; drop table",
        "\u{4e2d}\u{6587}\u{6ca1}\u{6709}\u{7a7a}\u{683c} \u{e44}\u{e17}\u{e22} \u{5e9}\u{5dc}\u{5d5}\u{5dd}",
    ]
    .map(str::to_owned)
    .to_vec();
    // One letter with as many marks over it as fit.
    let marks = (64 * 1024 - 1) / '\u{301}'.len_utf8();
    texts.push(format!("a{}", "\u{301}".repeat(marks)));
    texts.push("x".repeat(64 * 1024));
    texts.push("\u{1f980}".repeat(16 * 1024));
    texts
}

#[tokio::test]
async fn hostile_text_is_stored_and_answered_unchanged() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    let tau = speaker(&deployment, "acme", "tau").await;
    for (number, text) in hostile().into_iter().enumerate() {
        let name = format!("project/p{number}");
        let body = json!({"namespace": name, "type": "note", "content": text});
        let id = tau.save(body).await;
        let told = tau.call("get_memory", json!({"memoryId": id})).await;
        assert_eq!(told["memory"]["content"], json!(text), "{number}");
        let told = tau.call("list_memories", json!({"namespace": name})).await;
        assert_eq!(contents(&told["memories"]), [text.as_str()]);
        let start: String = text.chars().take(200).collect();
        let told = tau
            .call("recall", json!({"namespace": name, "query": start}))
            .await;
        let found = contents(&told["results"]);
        assert!(
            found.is_empty() || found == [text.as_str()],
            "{number}: {told}"
        );
        for (of, word) in [
            (0, "plain"),
            (1, "marked"),
            (4, "control"),
            (6, "kind"),
            (8, "table"),
        ] {
            let ask = json!({"namespace": name, "query": word});
            let told = tau.call("recall", ask).await;
            if of == number {
                assert_eq!(contents(&told["results"]), [text.as_str()], "{word}");
            }
        }
        let again = json!({"memoryId": id, "content": format!("{}!", &start)});
        let changed = tau.call("update_memory", again).await;
        assert_eq!(changed["memoryId"], id, "{changed}");
        let told = tau.call("get_memory", json!({"memoryId": id})).await;
        assert_eq!(told["memory"]["content"], json!(format!("{start}!")));
    }
    // In labels and episodes, too: they are kept, in composed letters since they are compared, or refused by name.
    for (number, text) in hostile().into_iter().enumerate() {
        for field in ["tags", "episode"] {
            let given = if field == "tags" {
                json!([text])
            } else {
                json!(text)
            };
            let mut body = json!({"namespace": "global", "type": "note", "content": "x"});
            body[field] = given.clone();
            let saved = tau.call("store_memory", body).await;
            if saved["code"].is_string() {
                assert_eq!(saved["field"], field, "{number}: {saved}");
                continue;
            }
            let told = tau
                .call("get_memory", json!({"memoryId": saved["memoryId"]}))
                .await;
            let kept = told["memory"][field].to_string();
            let composed = given.to_string().replace("e\u{301}", "\u{e9}");
            assert_eq!(kept, composed, "{number}");
        }
    }
}

fn refused(told: &Value, code: &str, field: &str) {
    assert_eq!(
        (&told["code"], &told["field"]),
        (&json!(code), &json!(field)),
        "{told}"
    );
    assert!(told["remedy"].is_string(), "{told}");
}

#[tokio::test]
async fn a_question_of_any_kind_is_answered_or_refused_with_its_reason() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    let tau = speaker(&deployment, "acme", "tau").await;
    for content in ["To be or not to be", "The ferry leaves at nine"] {
        tau.save(json!({"namespace": "global", "type": "note", "content": content}))
            .await;
    }
    let ask = async |query: &str| tau.call("recall", json!({"query": query})).await;
    // Stop words alone are words.
    let told = ask("to be or not to be").await;
    assert_eq!(
        contents(&told["results"])[0],
        "To be or not to be",
        "{told}"
    );
    for empty in ["", " ", "\t\n", "\u{3000}"] {
        refused(&ask(empty).await, "invalid_argument", "query");
    }
    for wordless in [
        "???",
        "\u{200b}",
        "\0",
        "\u{1f980}",
        "\u{301}",
        "-- \" OR 1=1",
        "*:*",
        "a AND (b",
    ] {
        let told = ask(wordless).await;
        assert!(told["results"].is_array(), "{wordless:?}: {told}");
    }
    let longest = format!("ferry {}", "x".repeat(1018));
    let told = ask(&longest).await;
    assert_eq!(longest.len(), 1024);
    assert_eq!(
        contents(&told["results"])[0],
        "The ferry leaves at nine",
        "{told}"
    );
    let many = "ferry ".repeat(170);
    assert_eq!(
        contents(&ask(&many).await["results"])[0],
        "The ferry leaves at nine"
    );
    refused(&ask(&format!("{longest}x")).await, "too_large", "query");
    refused(&ask(&"\u{1f980}".repeat(257)).await, "too_large", "query");
    for (body, field) in [
        (json!({"query": "x", "limit": 0}), "limit"),
        (json!({"query": "x", "limit": 101}), "limit"),
        (json!({"query": "x", "namespace": "proj"}), "namespace"),
        (
            json!({"query": "x", "namespace": "project/a/b"}),
            "namespace",
        ),
        (json!({"query": "x", "namespace": ""}), "namespace"),
        (json!({"query": "x", "type": "two words"}), "type"),
        (
            json!({"query": "x", "asOf": 5, "asOfSequence": 5}),
            "asOfSequence",
        ),
        (json!({"query": "x", "asOf": -1}), "asOf"),
        (json!({"query": "x", "since": i64::MIN}), "since"),
        (json!({"query": "x", "until": -5}), "until"),
    ] {
        refused(&tau.call("recall", body).await, "invalid_argument", field);
    }
    for body in [
        json!({}),
        json!({"query": 7}),
        json!({"query": null}),
        json!({"query": ["x"]}),
    ] {
        let told = tau.call("recall", body.clone()).await;
        assert_eq!(told["code"], "invalid_argument", "{body}: {told}");
    }
    let nothing_then = json!({"query": "ferry", "since": 5_000, "until": 5_000});
    let told = tau.call("recall", nothing_then).await;
    assert_eq!(told["results"], json!([]), "{told}");
}

#[tokio::test]
async fn memories_that_would_take_each_others_place_are_a_conflict() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    let tau = speaker(&deployment, "acme", "tau").await;
    let mut chain: Vec<Value> = Vec::new();
    for number in 0..5 {
        let mut body =
            json!({"namespace": "global", "type": "note", "content": format!("plan {number}")});
        if let Some(last) = chain.last() {
            body["relatesTo"] = json!([{"type": "updates", "memoryId": last}]);
        }
        chain.push(tau.save(body).await);
    }
    let relate = async |id: &Value, kind: &str, to: &Value| {
        let relation = json!([{"type": kind, "memoryId": to}]);
        tau.call(
            "update_memory",
            json!({"memoryId": id, "relatesTo": relation}),
        )
        .await
    };
    for newer in &chain[1..] {
        refused(
            &relate(&chain[0], "updates", newer).await,
            "conflict",
            "relatesTo",
        );
    }
    refused(
        &relate(&chain[2], "updates", &chain[4]).await,
        "conflict",
        "relatesTo",
    );
    refused(
        &relate(&chain[0], "updates", &chain[0]).await,
        "invalid_argument",
        "relatesTo",
    );
    // Circles of other relations take nobody's place.
    let told = relate(&chain[0], "extends", &chain[4]).await;
    assert_eq!(told["memoryId"], chain[0], "{told}");
    // The chain is as it was: the newest first, each behind the next.
    for (older, newer) in chain.iter().zip(&chain[1..]) {
        let told = tau.call("get_memory", json!({"memoryId": older})).await;
        assert_eq!(told["memory"]["supersededBy"], *newer, "{told}");
    }
    let told = tau.call("recall", json!({"query": "plan"})).await;
    assert_eq!(contents(&told["results"])[0], "plan 4", "{told}");
    let elsewhere = json!({"namespace": "project/other", "type": "note", "content": "x",
        "relatesTo": [{"type": "updates", "memoryId": chain[4]}]});
    refused(
        &tau.call("store_memory", elsewhere).await,
        "invalid_argument",
        "relatesTo",
    );
    let often = json!([{"type": "extends", "memoryId": chain[0]}]);
    let often: Vec<Value> = std::iter::repeat_n(often[0].clone(), 17).collect();
    let body = json!({"memoryId": chain[1], "relatesTo": often});
    let told = tau.call("update_memory", body).await;
    assert_eq!(told["field"], "relatesTo", "{told}");
}
