//! What a request says of its own caller, forged in every way of writing: never believed, on any verb.

use crate::known::Known;
use crate::stage::{CANARY, INSTANCE, Stage};
use crate::verbs::entries;
use serde_json::{Value, json};

/// Ways to write `other`, or something that only looks like `own`.
fn forgeries(own: &str, other: &str) -> Vec<String> {
    let (first, rest) = own.split_at(1);
    let shifted = |offset: u32| {
        let full = char::from_u32(first.chars().next().unwrap() as u32 + offset).unwrap();
        format!("{full}{rest}")
    };
    let mut names: Vec<String> = [
        "",
        " ",
        "\0",
        "\n",
        ".",
        "*",
        ">",
        "_all",
        "_sys",
        "_operator",
        "_keys",
        "broadcast",
        "null",
        "0",
        "-",
        "\u{200b}",
        "\u{feff}",
        "%2a",
        "../",
        "${tenant}",
        "{{tag(tenant)}}",
    ]
    .map(str::to_owned)
    .to_vec();
    for ending in [
        " ", "\t", "\n", "\r\n", "\0", ".", ".*", ".>", "*", ">", ",", "/", "\\", "\u{200b}",
        "\u{200d}", "\u{feff}", "\u{ad}", "\u{301}", "\u{3a9}", "2", "-", "--", "'", "\"", ";",
    ] {
        names.push(format!("{own}{ending}"));
        names.push(format!("{other}{ending}"));
        names.push(format!("{ending}{own}"));
    }
    names.extend([
        other.to_owned(),
        other.to_uppercase(),
        format!("{own},{other}"),
        format!("{own}.{other}"),
        format!("{own}/{other}"),
        own[..own.len() - 1].to_owned(),
        // Full width, circled and mathematical letters, which a looser normalisation would make plain ones.
        shifted(0xff41 - 0x61),
        shifted(0x24d0 - 0x61),
        shifted(0x1d41a - 0x61),
        own.replace('a', "\u{430}").replace('i', "\u{456}"),
        own.replace('a', "\u{aa}").replace('i', "\u{2071}"),
        own.replace('a', "a\u{300}").replace('i', "i\u{307}"),
        "x".repeat(65),
        "x".repeat(3_000),
    ]);
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn a_forged_claim_is_refused_alike_on_every_verb_and_an_honest_one_is_served() {
    let stage = Stage::set().await;
    let known = Known::fill(&stage).await;
    let claims = [
        ("tenantId", "acme-two", "acme"),
        ("from", "tau", "pi"),
        ("recipient", "tau", "pi"),
        ("fromInstanceId", INSTANCE, "only-here"),
        ("recipientInstanceId", INSTANCE, "only-here"),
    ];
    for entry in entries() {
        let end = stage.changes().await;
        for (field, own, other) in claims {
            let mut refusals: Vec<Value> = Vec::new();
            for forged in forgeries(own, other) {
                let mut body = (entry.body)(&known);
                body[field] = json!(forged);
                let refused = stage.stranger.call(entry.verb, body).await;
                assert_eq!(
                    refused["code"], "permission_denied",
                    "{} {field}={forged:?}: {refused}",
                    entry.verb
                );
                assert!(!refused.to_string().contains(CANARY), "{refused}");
                refusals.push(refused);
            }
            let alike = refusals.iter().all(|refused| *refused == refusals[0]);
            assert!(alike, "{} {field}: {refusals:?}", entry.verb);
            // What is no text is no claim that could be honest; null says nothing.
            for forged in [json!(7), json!(true), json!([own]), json!({"name": own})] {
                let mut body = (entry.body)(&known);
                body[field] = forged;
                let refused = stage.stranger.call(entry.verb, body).await;
                assert!(
                    refused["code"].is_string(),
                    "{} {field}: {refused}",
                    entry.verb
                );
            }
        }
        assert_eq!(
            stage.changes().await,
            end,
            "{} stored something",
            entry.verb
        );
    }
    // The other pole: its own names, in its own way of writing, and none.
    for (field, own, _) in claims {
        for honest in [json!(own), json!(own.to_uppercase()), Value::Null] {
            let body = json!({"fresh": true, field: honest});
            let served = stage.stranger.call("check_messages", body.clone()).await;
            assert!(served["messages"].is_array(), "{body}: {served}");
            let mut body = json!({"channel": "pi", "content": "honest"});
            body[field] = honest;
            let sent = stage.stranger.call("send_message", body).await;
            assert!(sent["messageId"].is_string(), "{field}: {sent}");
        }
    }
}

#[tokio::test]
async fn a_claim_that_is_made_twice_or_in_disguise_is_refused() {
    let stage = Stage::set().await;
    let end = stage.changes().await;
    for body in [
        r#"{"tenantId":"acme-two","channel":"pi","content":"x","tenantId":"acme"}"#,
        r#"{"tenantId":"acme","channel":"pi","content":"x","tenantId":"acme-two"}"#,
        r#"{"tenant\u0049d":"acme","channel":"pi","content":"x"}"#,
        r#"{"tenantId":"\u0061cme","channel":"pi","content":"x"}"#,
        r#"{"tenantId":"acme\u0000-two","channel":"pi","content":"x"}"#,
        r#"{"from":"tau","channel":"pi","content":"x","from":"pi"}"#,
        r#"{"channel":"pi","content":"x","channel":"only-theirs"}"#,
        r#"[{"tenantId":"acme","channel":"pi","content":"x"}]"#,
    ] {
        let subject = stage.stranger.subject("send_message");
        let refused =
            crate::harness::raw::request(&stage.stranger.watched.client, &subject, body).await;
        let code = refused["code"].as_str().unwrap_or_default();
        assert!(
            ["permission_denied", "invalid_argument"].contains(&code),
            "{body}: {refused}"
        );
    }
    assert_eq!(stage.changes().await, end, "nothing was stored");
}
