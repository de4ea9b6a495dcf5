//! JSON-RPC of the newest revision, which needs no handshake: what is asked, and whether the answer is one.

use crate::bench::plan::{CHECK_LIMIT, CONTENT_BYTES};
use serde_json::{Value, json};
use std::fmt;

/// The revision that is spoken.
pub(super) const REVISION: &str = "2026-07-28";
/// The method of every call.
pub(super) const METHOD: &str = "tools/call";

/// A call of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A message of the usual size to a role that never reads.
    Send,
    /// A check of a reader with little mail.
    Check,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Send => "send",
            Self::Check => "check",
        })
    }
}

impl Call {
    /// The name of its tool.
    pub(super) const fn tool(self) -> &'static str {
        match self {
            Self::Send => "send_message",
            Self::Check => "check_messages",
        }
    }

    /// The request.
    pub(super) fn request(self, id: u64) -> Value {
        let arguments = match self {
            Self::Send => json!({"channel": "sink", "content": "x".repeat(CONTENT_BYTES)}),
            Self::Check => json!({"limit": CHECK_LIMIT}),
        };
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientInfo": {"name": "postroad-bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}
        });
        let params = json!({"name": self.tool(), "arguments": arguments, "_meta": meta});
        json!({"jsonrpc": "2.0", "id": id, "method": METHOD, "params": params})
    }

    /// Reads the answer to the request with this id, which must be what was asked for.
    ///
    /// # Errors
    /// When it is anything else.
    pub(super) fn judge(self, id: u64, answer: &[u8]) -> anyhow::Result<()> {
        let answer: Value = serde_json::from_slice(answer)?;
        let result = &answer["result"];
        let structured = &result["structuredContent"];
        let is_right = answer["id"] == id
            && result["isError"] != true
            && match self {
                Self::Send => structured["messageId"].is_string(),
                Self::Check => structured["messages"]
                    .as_array()
                    .is_some_and(|messages| messages.len() == CHECK_LIMIT),
            };
        anyhow::ensure!(is_right, "a {self} was answered {answer}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_question_is_one() {
        let answer = |id: u64, result: Value| {
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
            answer.to_string().into_bytes()
        };
        let sent = json!({"structuredContent": {"messageId": "m"}});
        assert!(Call::Send.judge(7, &answer(7, sent.clone())).is_ok());
        assert!(Call::Send.judge(8, &answer(7, sent.clone())).is_err());
        assert!(Call::Check.judge(7, &answer(7, sent)).is_err());
        let refused = json!({"isError": true, "structuredContent": {"messageId": "m"}});
        assert!(Call::Send.judge(7, &answer(7, refused)).is_err());
        let mail = |count| json!({"structuredContent": {"messages": vec![json!({}); count]}});
        assert!(Call::Check.judge(1, &answer(1, mail(CHECK_LIMIT))).is_ok());
        assert!(
            Call::Check
                .judge(1, &answer(1, mail(CHECK_LIMIT - 1)))
                .is_err()
        );
        assert!(Call::Check.judge(1, b"no JSON").is_err());
    }
}
