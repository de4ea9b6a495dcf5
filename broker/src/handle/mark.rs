//! `mark_as_read`: what is still unread becomes one event; every id gets its own answer.

use super::{Handler, Request};
use crate::answer::Answer;
use crate::ask::Currency;
use crate::event_log::Draft;
use postroad_protocol::command::{MarkAsRead, MarkTarget, Marked};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{Actor, Event, EventKey, MessagesRead};
use postroad_protocol::id::Reader;
use postroad_protocol::service::MarkState;
use postroad_protocol::tenancy::TenantScope;
use std::sync::Arc;

impl Handler {
    pub(super) async fn mark_as_read(
        &self,
        request: &Request,
        command: MarkAsRead,
    ) -> Result<Answer, Refusal> {
        let scope = request.context.scope()?;
        let reader = request.context.reader()?;
        let shard = self.home(scope).await?;
        self.ensure_reader(scope, shard, reader, request.asked, request.time)
            .await?;
        let targets = command.targets;
        let ask = |currency| {
            self.ask
                .marks(scope, currency, reader.clone(), targets.clone())
        };
        let seen = request.position.map_or(Currency::Any, Currency::At);
        let mut states = ask(seen).await?;
        if states.contains(&MarkState::NotFound) {
            // Rows that are behind the log may lack what the caller was already told of.
            states = ask(Currency::Fresh).await?;
        }
        match self
            .mark(request, scope, shard, reader, &targets, &states)
            .await
        {
            // They may also lack what an attempt under the same id has marked already.
            Err(refusal) if refusal.code == ErrorCode::Conflict => {
                let states = ask(Currency::Fresh).await?;
                self.mark(request, scope, shard, reader, &targets, &states)
                    .await
            }
            marked => marked,
        }
    }

    async fn mark(
        &self,
        request: &Request,
        scope: &TenantScope,
        shard: u16,
        reader: &Reader,
        targets: &[MarkTarget],
        states: &[MarkState],
    ) -> Result<Answer, Refusal> {
        let (mut marked, messages) = sort(targets, states);
        if messages.is_empty() {
            return Ok(Answer::Marked(marked));
        }
        let draft = Draft {
            owner: Some(scope.clone()),
            shard,
            id: request.id,
            by: Actor::Agent(reader.clone()),
            event: Arc::new(Event::from(MessagesRead {
                reader: reader.clone(),
                messages,
            })),
            time: request.time,
            traceparent: request.context.traceparent().map(Into::into),
            expected_last: None,
        };
        let appended = self.store(draft, "commandId").await?;
        marked.position = Some(appended.position);
        Ok(Answer::Marked(marked))
    }
}

/// Sorts what was named into the answer's three lists, and says which messages are to be marked:
/// each once, though a receipt and its message may both be named.
fn sort(targets: &[MarkTarget], states: &[MarkState]) -> (Marked, Vec<EventKey>) {
    let mut marked = Marked::default();
    let mut messages = Vec::new();
    for (target, state) in targets.iter().zip(states) {
        let text = target.text().to_owned();
        match state {
            MarkState::Unread(key) => {
                marked.marked.push(text);
                if !messages.contains(key) {
                    messages.push(*key);
                }
            }
            MarkState::Read => marked.already_read.push(text),
            MarkState::NotFound => marked.not_found.push(text),
        }
    }
    (marked, messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_answered_and_a_message_named_twice_is_marked_once() {
        let key = EventKey::from_bytes([1; 16]);
        let targets = [
            MarkTarget::Receipt("r1".into()),
            MarkTarget::Message("m1".into()),
            MarkTarget::Receipt("r2".into()),
            MarkTarget::Receipt("x".into()),
        ];
        let states = [
            MarkState::Unread(key),
            MarkState::Unread(key),
            MarkState::Read,
            MarkState::NotFound,
        ];
        let (marked, messages) = sort(&targets, &states);
        assert_eq!(messages, [key]);
        assert_eq!(marked.marked, ["r1", "m1"]);
        assert_eq!(marked.already_read, ["r2"]);
        assert_eq!(marked.not_found, ["x"]);
    }
}
