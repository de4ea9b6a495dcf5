//! What is unread: one look, or a wait for the next message. Owns when a waiting check is answered;
//! which messages are unread is the rows' to say.

use crate::answer::{Answer, Answerer, Call};
use crate::cursor::Kind;
use crate::store::{StoreError, TenantReader};
use crate::turns::Ticket;
use postroad_protocol::error::Refusal;
use postroad_protocol::id::{Reader, TimeMs};
use postroad_protocol::limits::ANSWER_MAX_BYTES;
use postroad_protocol::query::{self, TaskCounts};
use postroad_protocol::tenancy::Scope;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl Answerer {
    /// What is unread behind `cursor`; when nothing is, what comes within `wait_ms`.
    ///
    /// # Errors
    /// The refusal to send instead.
    pub(crate) async fn check(
        &self,
        call: &Call<'_>,
        limit: usize,
        cursor: Option<&str>,
        wait_ms: u64,
        ticket: &mut Ticket,
        leaving: &CancellationToken,
    ) -> Result<Answer, Refusal> {
        let after = call.sequence(cursor, Kind::Check)?;
        let first = self.check_once(call, limit, after).await?;
        if wait_ms == 0 || first.count > 0 {
            return Ok(first.answer);
        }
        let mut was_stale = first.stale;
        let (limits, _) = call.rows(|rows, _| rows.limits()).await?;
        let wait = self.bells.wait(call.scope, call.reader, &limits)?;
        let deadline = tokio::time::Instant::now() + Duration::from_millis(wait_ms);
        loop {
            let rung = wait.bell().notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            ticket.work().await;
            // It may have been erased meanwhile.
            self.hosts.of(call.scope).await?;
            let look = self.check_once(call, limit, after).await?;
            if look.ends_the_wait(was_stale) {
                return Ok(look.answer);
            }
            was_stale = look.stale;
            ticket.rest();
            tokio::select! {
                () = &mut rung => {}
                () = tokio::time::sleep_until(deadline) => return Ok(look.answer),
                () = leaving.cancelled() => return Ok(look.answer),
            }
        }
    }

    /// One look at the unread messages.
    async fn check_once(
        &self,
        call: &Call<'_>,
        limit: usize,
        after: Option<u64>,
    ) -> Result<Look, Refusal> {
        let mut limit = limit;
        loop {
            let reader = call.reader.clone();
            let ((page, tasks), seen) = call
                .rows(move |rows, _| {
                    let page = rows.check(&reader, limit, after, ANSWER_MAX_BYTES)?;
                    Ok((page, tasks_of(rows, &reader)?))
                })
                .await?;
            let next = page.next_after.map(u64::to_be_bytes);
            let count = page.messages.len();
            let mut answer = call.answer(&query::Messages {
                messages: page.messages,
                unread_total: page.unread_total,
                highest_priority: page.highest_priority,
                tasks,
                truncated: page.truncated,
                next_cursor: call.cursor(Kind::Check, seen, next.as_ref().map(<[u8; 8]>::as_slice)),
                position: seen.position,
                stale: seen.stale,
            });
            if self.is_too_long(&answer, &mut limit, count) {
                continue;
            }
            if !page.undelivered.is_empty() {
                answer.delivered =
                    Some((call.scope.clone(), call.reader.clone(), page.undelivered));
            }
            return Ok(Look {
                answer,
                count,
                stale: seen.stale,
            });
        }
    }
}

/// The work that waits for a reader, where there is any and its role may see it.
fn tasks_of(rows: &TenantReader<'_>, reader: &Reader) -> Result<Option<TaskCounts>, StoreError> {
    if !rows.role_grants(&reader.role, Scope::Tasks)? {
        return Ok(None);
    }
    let counts = rows.task_counts(reader, TimeMs::now())?;
    Ok(Some(counts).filter(|counts| !counts.is_none()))
}

/// One look at a reader's mail.
struct Look {
    answer: Answer,
    count: usize,
    stale: bool,
}

impl Look {
    /// Whether a waiting check is answered now: there is mail, or the shard became damaged since the
    /// look before. One that was damaged already tells nothing new: answering at once would only
    /// make the caller ask again, as fast as the network carries it.
    fn ends_the_wait(&self, was_stale: bool) -> bool {
        self.count > 0 || (self.stale && !was_stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_check_ends_with_mail_or_when_the_shard_becomes_damaged() {
        let ends = |count, stale, was_stale| {
            let answer = Answer::default();
            Look {
                answer,
                count,
                stale,
            }
            .ends_the_wait(was_stale)
        };
        assert!(ends(1, false, false) && ends(1, true, true));
        assert!(ends(0, true, false), "it is told once");
        assert!(
            !ends(0, true, true),
            "a shard that stays damaged keeps nobody spinning"
        );
        assert!(!ends(0, false, false) && !ends(0, false, true));
    }
}
