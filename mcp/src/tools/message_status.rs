//! `message_status`: who has got and read what the caller sent.

use super::STALE;
use crate::answer::{Answer, fitted, row_cost};
use crate::args;
use crate::caller::Caller;
use crate::messages::{ms, time};
use crate::registry::{Effect, Tool};
use postroad_client::{ClientError, Page};
use postroad_protocol::query;
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `message_status`.
pub(crate) struct MessageStatus;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Args {
    /// A message that you sent
    message_id: String,
    /// 1 to 200, by default 200
    limit: Option<i64>,
    /// nextCursor of an earlier answer
    cursor: Option<String>,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    message_id: String,
    recipient_count: i64,
    delivered_count: i64,
    read_count: i64,
    receipts: Vec<Receipt>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// One recipient's.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    recipient: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_instance_id: Option<String>,
    created_at: i64,
    delivered_at: Option<i64>,
    read_at: Option<i64>,
}

impl Tool for MessageStatus {
    const NAME: &'static str = "message_status";
    const TITLE: &'static str = "Message status";
    const ABOUT: &'static str = "Who has got and who has read a message that you sent.";
    const SCOPE: Scope = Scope::Messages;
    const EFFECT: Effect = Effect::Reads;
    type Args = Args;
    type Output = Output;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Output>, ClientError> {
        let id = args::message(&args.message_id)?;
        let page = args::page(args.limit, args.cursor)?;
        let ask = |page: Page| async move { caller.client().message_status(id, &page).await };
        let costs = |answer: &query::MessageStatus| {
            let rows = answer.receipts.iter();
            rows.map(|row| Receipt::of(row).cost()).collect()
        };
        Ok(told(fitted(page, ask, costs).await?))
    }
}

impl Receipt {
    fn of(receipt: &query::Receipt) -> Self {
        Self {
            recipient: receipt.recipient.to_string(),
            recipient_instance_id: receipt
                .recipient_instance_id
                .as_ref()
                .map(ToString::to_string),
            created_at: ms(receipt.created_at),
            delivered_at: receipt.delivered_at.map(ms),
            read_at: receipt.read_at.map(ms),
        }
    }

    fn line(&self) -> String {
        let instance = self.recipient_instance_id.as_ref();
        let instance = instance
            .map(|instance| format!("/{instance}"))
            .unwrap_or_default();
        let state = match (self.read_at, self.delivered_at) {
            (Some(at), _) => format!("read {}", time(at)),
            (None, Some(at)) => format!("delivered {}, not read", time(at)),
            (None, None) => "not delivered".to_owned(),
        };
        format!("\n{}{instance}: {state}", self.recipient)
    }

    fn cost(&self) -> usize {
        row_cost(self, &self.line())
    }
}

fn told(status: query::MessageStatus) -> Answer<Output> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let receipts: Vec<Receipt> = status.receipts.iter().map(Receipt::of).collect();
    let mut text = format!(
        "Recipients: {}, delivered to {}, read by {}",
        status.recipient_count, status.delivered_count, status.read_count
    );
    text.extend(receipts.iter().map(Receipt::line));
    if let Some(cursor) = &status.next_cursor {
        text.push_str(&format!(
            "\n\nMore follow: message_status with cursor {cursor}"
        ));
    }
    if status.stale {
        text.push_str(STALE);
    }
    let output = Output {
        message_id: status.message_id.to_string(),
        recipient_count: count(status.recipient_count),
        delivered_count: count(status.delivered_count),
        read_count: count(status.read_count),
        receipts,
        truncated: status.next_cursor.is_some(),
        next_cursor: status.next_cursor,
        stale: status.stale,
    };
    Answer::new(output, text)
}
