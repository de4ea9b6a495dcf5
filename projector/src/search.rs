//! `search_messages`: one's own history by its words. Waits for the index of words where it is far behind,
//! and says so where that takes too long.

use crate::answer::{Answer, Answerer, Call};
use crate::read_model::search::{Found, SearchError};
use crate::rows::Seen;
use crate::side::Tenure;
use crate::store::{StoreError, TenantReader};
use crate::turns::Ticket;
use postroad_protocol::error::Refusal;
use postroad_protocol::limits::SEARCH_WAIT_MS;
use postroad_protocol::query::{FoundMessages, SearchMessages};
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(SEARCH_WAIT_MS);

impl Answerer {
    pub(crate) async fn search_messages(
        &self,
        call: &Call<'_>,
        mut wanted: SearchMessages,
        ticket: &mut Ticket,
    ) -> Result<Answer, Refusal> {
        let tenure = Tenure::of(call.scope, call.home);
        let asked_for = wanted.limit;
        let (mut found, mut seen) = search(call, &tenure, &wanted).await?;
        if found.unsearched > 0 {
            ticket.rest();
            let words = &call.host.sides().words;
            words.wait_for(tenure.owner(), WAIT).await;
            ticket.work().await;
            (found, seen) = search(call, &tenure, &wanted).await?;
        }
        loop {
            let held = found.messages.len();
            let answer = call.answer(&FoundMessages {
                messages: found.messages,
                matched: found.matched,
                truncated: found.truncated || wanted.limit < asked_for,
                indexing: found.unsearched,
                position: seen.position,
                stale: seen.stale,
            });
            if !self.is_too_long(&answer, &mut wanted.limit, held) {
                return Ok(answer);
            }
            (found, seen) = search(call, &tenure, &wanted).await?;
        }
    }
}

async fn search(
    call: &Call<'_>,
    tenure: &Tenure,
    wanted: &SearchMessages,
) -> Result<(Found, Seen), Refusal> {
    let words = Arc::clone(&call.host.sides().words);
    let (tenure, reader, wanted) = (tenure.clone(), call.reader.clone(), wanted.clone());
    let look = move |rows: &TenantReader<'_>, _: Seen| -> Result<Found, StoreError> {
        let snapshot = words.snapshot();
        let index = snapshot.as_ref().map(|snapshot| snapshot.reader(&tenure));
        let found = match rows.search_messages(&reader, &wanted, index.as_ref()) {
            Err(SearchError::Index) => {
                words.did_not_read();
                rows.search_messages(&reader, &wanted, None)
            }
            found => found,
        };
        match found {
            Ok(found) => Ok(found),
            Err(SearchError::Rows(error)) => Err(error),
            // Only the index says this, and it was not asked.
            Err(SearchError::Index) => Ok(Found::default()),
        }
    };
    call.rows(look).await
}
