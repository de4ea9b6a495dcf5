//! Folding anew leaves nothing behind when it fails, and rows that failed are folded anew by themselves.

use crate::harness::{Town, eventually, exists, host};
use postroad_projector::progress::State;
use postroad_projector::rebuild::{RebuildError, beside, rebuild};
use postroad_projector::store::StoreError;
use std::sync::Arc;

const CACHE: usize = 1 << 20;

#[tokio::test]
async fn a_rebuild_that_fails_takes_its_file_with_it() {
    let town = Town::with_acme().await;
    let projector = town.projector("rows").await;
    let host = host(&projector);
    let damaged = town.damage("acme").await;
    let new = beside(host.path());
    for _ in 0..2 {
        let rebuilt = loop {
            let (keyring, subjects) = (town.keyring.clone(), town.subjects.clone());
            match rebuild(Arc::clone(&host), keyring, subjects, CACHE).await {
                // The file of the attempt before is still being removed.
                Err(RebuildError::Running) => tokio::task::yield_now().await,
                other => break other,
            }
        };
        assert!(
            matches!(rebuilt, Err(RebuildError::Damaged(at)) if at == damaged),
            "{rebuilt:?}"
        );
        eventually("the new file is gone", async || !exists(&new)).await;
        assert!(exists(host.path()), "the old one is served");
    }
    projector.drain().await;
}

#[tokio::test]
async fn a_rebuild_that_is_cancelled_takes_its_file_with_it() {
    let town = Town::with_acme().await;
    let projector = town.projector("rows").await;
    let host = host(&projector);
    let new = beside(host.path());
    let (keyring, subjects) = (town.keyring.clone(), town.subjects.clone());
    let running = tokio::spawn(rebuild(Arc::clone(&host), keyring, subjects, CACHE));
    eventually("the new file is there", async || {
        exists(&new) || running.is_finished()
    })
    .await;
    running.abort();
    let _cancelled_or_done = running.await;
    eventually("it is gone, and the next may begin", async || {
        host.try_rebuild().is_some_and(|_turn| !exists(&new))
    })
    .await;
    projector.drain().await;
}

#[tokio::test]
async fn rows_that_do_not_read_are_folded_anew_by_themselves() {
    let town = Town::with_acme().await;
    let projector = town.projector("rows").await;
    let (host, pi) = (host(&projector), town.agent("tau/pi").await);
    town.say("acme", "hello").await;
    let old = host.store();
    host.did_not_read(&old, &StoreError::InUse);
    host.did_not_read(&old, &StoreError::Unreadable { table: "messages" });
    eventually("other rows are followed", async || {
        !host.is_served(&old) && host.progress().state == State::Following
    })
    .await;
    let end = town.say("acme", "after").await;
    host.caught_up(end).await;
    assert_eq!(
        pi.check().await,
        (vec!["hello".to_owned(), "after".to_owned()], false)
    );
    // What is said late of rows that were replaced harms nobody.
    let new = host.store();
    host.did_not_read(&old, &StoreError::Unreadable { table: "messages" });
    let end = town.say("acme", "later").await;
    host.caught_up(end).await;
    assert!(host.is_served(&new));
    projector.drain().await;
}
