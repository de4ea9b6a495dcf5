//! Words that are looked for in one's own history, and what is found.

use super::{ChannelFilter, Message, read_channel, read_limit, read_sender, read_time, wire};
use crate::error::{ErrorCode, Refusal};
use crate::id::{Role, TimeMs};
use crate::limits;
use crate::position::Position;
use serde::{Deserialize, Serialize};

/// A checked `search_messages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchMessages {
    /// What is looked for, in words.
    pub query: String,
    /// Only from this role.
    pub sender: Option<Role>,
    /// Only to this.
    pub channel: Option<ChannelFilter>,
    /// Not before.
    pub since: Option<TimeMs>,
    /// Before.
    pub until: Option<TimeMs>,
    /// Messages at most.
    pub limit: usize,
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundMessage {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// How well it matches; comparable within one answer only.
    pub score: f64,
}

/// Answer of `search_messages`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundMessages {
    /// The best first; of equal ones the newest first.
    pub messages: Vec<FoundMessage>,
    /// Messages that have any of the words and fit, shown or not.
    pub matched: u64,
    /// Whether messages were left out for their size: get more by a narrower question or a smaller limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Messages of the caller's history that were not searched, since the index has not come to them yet.
    #[serde(default, skip_serializing_if = "is_none")]
    pub indexing: u64,
    /// How far the answer has read.
    pub position: Position,
    /// See [`super::Messages::stale`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A text that is looked for, which says something and is not too long; `elsewhere` is the verb that shows all.
pub(super) fn read_words(query: String, elsewhere: &str) -> Result<String, Refusal> {
    if query.len() > limits::RECALL_QUERY_MAX_BYTES {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "the query has {} bytes; {} is the limit",
                query.len(),
                limits::RECALL_QUERY_MAX_BYTES
            ),
            "ask in fewer words",
        )
        .at("query"));
    }
    if query.trim().is_empty() {
        return Err(Refusal::invalid(
            "query",
            "nothing is asked",
            format!("say what to look for in a few words; {elsewhere} shows what there is"),
        ));
    }
    Ok(query)
}

pub(super) fn read_search(wire: wire::SearchMessages) -> Result<SearchMessages, Refusal> {
    Ok(SearchMessages {
        query: read_words(wire.query, "list_messages")?,
        sender: read_sender(wire.sender.as_deref())?,
        channel: read_channel(wire.channel.as_deref())?,
        since: read_time(wire.since, "since")?,
        until: read_time(wire.until, "until")?,
        limit: read_limit(wire.limit, limits::RECALL_DEFAULT, limits::RECALL_MAX)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Encoding;
    use crate::event::Priority;
    use crate::id::{InstanceId, MessageId};
    use crate::query::Query;
    use crate::tenancy::Scope;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn read(body: &Value) -> Result<Query, Refusal> {
        let body = body.to_string();
        Query::read(
            Scope::Messages,
            "search_messages",
            Encoding::Json,
            body.as_bytes(),
        )
    }

    #[test]
    fn a_search_is_read_with_its_filters_and_its_default() {
        let body = json!({"query":" red FERRY ","sender":"Tau","channel":" Broadcast","since":1,"until":9});
        let Ok(Query::SearchMessages(read)) = read(&body) else {
            panic!("it is a search");
        };
        assert_eq!(read.query, " red FERRY ");
        assert_eq!(read.sender.unwrap().as_str(), "tau");
        assert_eq!(read.channel, Some(ChannelFilter::Broadcast));
        assert_eq!((read.since, read.until), (Some(TimeMs(1)), Some(TimeMs(9))));
        assert_eq!(read.limit, limits::RECALL_DEFAULT);
    }

    #[test]
    fn what_is_no_search_is_refused_with_its_field() {
        let long = "x".repeat(limits::RECALL_QUERY_MAX_BYTES + 1);
        for (body, code, field) in [
            (json!({"query":""}), ErrorCode::InvalidArgument, "query"),
            (
                json!({"query":" \t\n"}),
                ErrorCode::InvalidArgument,
                "query",
            ),
            (json!({"query":long}), ErrorCode::TooLarge, "query"),
            (
                json!({"query":"a","limit":0}),
                ErrorCode::InvalidArgument,
                "limit",
            ),
            (
                json!({"query":"a","limit":101}),
                ErrorCode::InvalidArgument,
                "limit",
            ),
            (
                json!({"query":"a","limit":-1}),
                ErrorCode::InvalidArgument,
                "limit",
            ),
            (
                json!({"query":"a","sender":"no such!"}),
                ErrorCode::InvalidArgument,
                "sender",
            ),
            (
                json!({"query":"a","channel":"a,b"}),
                ErrorCode::InvalidArgument,
                "channel",
            ),
            (
                json!({"query":"a","since":-1}),
                ErrorCode::InvalidArgument,
                "since",
            ),
            (
                json!({"query":"a","until":-1}),
                ErrorCode::InvalidArgument,
                "until",
            ),
        ] {
            let refused = read(&body).unwrap_err();
            assert_eq!(
                (refused.code, refused.field.as_deref()),
                (code, Some(field)),
                "{body}"
            );
        }
        for body in [
            json!({}),
            json!({"query":7}),
            json!({"query":null}),
            json!([]),
        ] {
            assert!(read(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn an_answer_reads_back_in_both_encodings() {
        let message = Message {
            tenant_id: None,
            message_id: MessageId::from_bytes([7; 16]),
            receipt_id: Some("rcpt-1".into()),
            from: Role::parse("tau").unwrap(),
            from_instance_id: InstanceId::parse("mac").unwrap(),
            channel: "pi".into(),
            instance_id: None,
            content: "the ferry".into(),
            sent_at: TimeMs(5),
            delivered_at: Some(TimeMs(6)),
            read_at: None,
            reply_to: None,
            priority: Priority::Urgent,
            metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        };
        let answer = FoundMessages {
            messages: vec![FoundMessage {
                message,
                score: 1.25,
            }],
            matched: 3,
            truncated: true,
            indexing: 2,
            position: Position {
                shard: 0,
                epoch: 1,
                sequence: 9,
            },
            stale: false,
        };
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let body = encoding.encode(&answer);
            let read: FoundMessages = encoding.decode(&body).unwrap();
            assert_eq!(read, answer);
        }
        let shown = serde_json::to_value(&answer).unwrap();
        assert_eq!(shown["messages"][0]["content"], "the ferry");
        assert_eq!(shown["messages"][0]["score"], 1.25);
    }
}
