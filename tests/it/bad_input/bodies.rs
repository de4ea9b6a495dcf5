//! Bodies that are no request at all, however they are written.

use super::{SEND, Stage};
use crate::harness::raw;
use postroad_protocol::limits::REQUEST_MAX_BYTES;
use serde_json::json;

#[tokio::test]
async fn garbage_truncated_deep_and_oversized_bodies_are_refused() {
    let stage = Stage::set().await;
    let good = json!({"channel":"pi","content":"hello there"});
    let (text, packed) = (
        good.to_string().into_bytes(),
        rmp_serde::to_vec_named(&good).unwrap(),
    );
    for whole in [&text, &packed] {
        for cut in 1..whole.len() {
            stage
                .refuse(SEND, &whole[..cut], "invalid_argument", None)
                .await;
        }
    }
    let deep = format!(
        r#"{{"channel":"pi","content":"x","metadata":{}{}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    stage.refuse(SEND, deep, "invalid_argument", None).await;
    let mut deep = vec![0x81, 0xa1, b'm'];
    deep.extend(std::iter::repeat_n(0x91, 50_000));
    stage.refuse(SEND, deep, "invalid_argument", None).await;
    stage
        .refuse(SEND, vec![b' '; REQUEST_MAX_BYTES + 1], "too_large", None)
        .await;
    let mut oversized = vec![0x81, 0xa7];
    oversized.extend(b"content");
    oversized.push(0xdb);
    oversized.extend(u32::try_from(REQUEST_MAX_BYTES).unwrap().to_be_bytes());
    oversized.resize(oversized.len() + REQUEST_MAX_BYTES, b'x');
    stage.refuse(SEND, oversized, "too_large", None).await;
    stage
        .refuse(SEND, vec![0xc1; 1000], "invalid_argument", None)
        .await;
    stage
        .refuse(SEND, "[1,2,3]", "invalid_argument", None)
        .await;
    stage
        .refuse(SEND, "\"text\"", "invalid_argument", None)
        .await;
    stage.refuse(SEND, "{}{}", "invalid_argument", None).await;
    for verb in ["sing", "send_message2", "check_messages"] {
        stage
            .refuse(
                &format!("postroad.acme.cmd.tau.t1.messages.{verb}"),
                "{}",
                "not_found",
                Some("verb"),
            )
            .await;
    }
    // Fields that nobody knows are ignored.
    let extra = json!({"channel":"pi","content":"x","color":"red","nested":{"a":[1,{"b":null}]}});
    let sent = raw::request(&stage.agent, SEND, extra.to_string()).await;
    assert!(sent["messageId"].is_string(), "{sent}");
}

/// The body with the one byte 0xff in place of the letter that begins `word`, which stands in it once.
fn spoiled(body: &[u8], word: &[u8]) -> Vec<u8> {
    let mut places = body.windows(word.len()).enumerate();
    let place = places.find_map(|(place, window)| (window == word).then_some(place));
    let mut spoiled = body.to_vec();
    spoiled[place.expect("the word stands there")] = 0xff;
    spoiled
}

#[tokio::test]
async fn bytes_that_are_no_utf8_are_refused_where_they_stand() {
    let stage = Stage::set().await;
    let body = json!({
        "channel":"pi","content":"the-text","metadata":{"the-key":"the-value"},
    });
    // Where JSON's own reader gives up, it knows no field any more; MessagePack's does.
    let encodings = [
        (body.to_string().into_bytes(), false),
        (rmp_serde::to_vec_named(&body).unwrap(), true),
    ];
    for (encoded, names_field) in &encodings {
        for (word, field) in [("the-text", "content"), ("the-value", "metadata.the-key")] {
            let spoiled = spoiled(encoded, word.as_bytes());
            let field = names_field.then_some(field);
            stage.refuse(SEND, spoiled, "invalid_argument", field).await;
        }
        // The rest of the body is as good as ever.
        let sent = raw::request(&stage.agent, SEND, encoded.clone()).await;
        assert!(sent["messageId"].is_string(), "{sent}");
        stage.expect_stored(1).await;
    }
}
