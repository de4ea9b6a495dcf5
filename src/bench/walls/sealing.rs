//! What sealing adds to a durable send: sealing one event alone, beside the time that one send takes
//! when as many as usual are in flight. Owns these turns.

use super::super::Bench;
use super::super::figure::{Figure, Must};
use super::super::plan::{CONTENT_BYTES, IN_FLIGHT};
use super::super::rows::event;
use super::super::samples::{Until, median};
use super::super::sends::{send, senders};
use super::super::stage::Deployment;
use postroad_protocol::envelope::Sealing;
use postroad_protocol::seal::{DataKey, KeyId};
use postroad_protocol::subject::{Owner, Subjects};
use postroad_protocol::{CommandId, TenantId, TimeMs};
use std::hint::black_box;
use std::time::Instant;

/// Most that sealing may take of a send.
const SHARE_OF_SEND: f64 = 0.05;
/// Events that one turn seals.
const SEALS: u32 = 20_000;
const FIRST_KEY: KeyId = KeyId {
    generation: 1,
    number: 1,
};

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench, deployment: &Deployment) -> anyhow::Result<()> {
    let plan = bench.plan;
    bench.progress.group("sealing", 2 * plan.rounds);
    let tenant = deployment.tenant("sealing").await?;
    let senders = senders(deployment, &tenant).await?;
    let in_flight = IN_FLIGHT.into_iter().max().unwrap_or(1);
    let (mut per_send, mut per_seal) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        bench.progress.says(format!("sends, {in_flight} in flight"));
        let load = send(&senders, "sink", in_flight, Until::Elapsed(plan.turn)).await?;
        per_send.push(1e6 / load.per_second());
        bench.progress.step();
        bench.progress.says("sealing");
        let tenant = tenant.clone();
        per_seal.push(tokio::task::spawn_blocking(move || seal(&tenant)).await??);
        bench.progress.step();
    }
    let name = format!("durable send, {in_flight} in flight");
    let of_send = median(&per_send);
    let must = Must::WithinTimes {
        times: SHARE_OF_SEND,
        other: of_send,
        name: name.clone(),
    };
    bench.add(Figure::new(name, of_send, "us"));
    let name = format!("sealing one event of {CONTENT_BYTES} bytes");
    let figure = Figure::new(name, median(&per_seal), "us").beside(of_send);
    bench.add(figure.must(&must));
    bench.explain(
        "sealing: encoding, naming and sealing one event; beside it, the time by sends in a second",
    );
    Ok(())
}

/// Microseconds that a broker takes to seal one event, encoding it included.
fn seal(tenant: &TenantId) -> anyhow::Result<f64> {
    let (by, event) = event()?;
    let (owner, key) = (Owner::Tenant(tenant), DataKey::generate());
    let subject = Subjects::default().event(owner, 0, &event.aggregate());
    let begun = Instant::now();
    for _ in 0..SEALS {
        let sealing = Sealing {
            owner,
            subject: subject.clone(),
            key_id: FIRST_KEY,
            key: &key,
            id: CommandId::generate(),
            time: TimeMs::now(),
            by: &by,
            traceparent: None,
        };
        black_box(sealing.seal(black_box(&event)));
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(SEALS))
}
