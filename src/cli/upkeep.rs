//! `status`, `rebuild`, `shard …`: how the deployment is doing. For the operator.

use super::failure::Failure;
use super::output::{Style, table};
use super::own_status;
use super::session::Session;
use super::text::{count, one_line};
use clap::{Args, Subcommand};
use postroad_client::Identity;
use postroad_protocol::query::{RecallStatus, ShardStatus, Status};

/// Show how every shard is doing; for an agent, how it is doing itself.
///
/// The operator sees how far the rows of each shard are behind the log, and whether it is damaged. An agent
/// sees how much mail is unread, whether a `watch --exec` is there that wakes it, when that last started
/// it, and whether it was then seen to deal with its mail.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad status --json | jq '.shards[] | select(.state != \"following\")'
  postroad status --creds bob.creds")]
pub(crate) struct StatusArgs {}

/// Fold every row anew from the log, beside the old rows, and then swap them.
///
/// Nothing is lost by it and nothing stands still: the old rows are served until the new ones are
/// ready. `status` shows when that is.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad rebuild")]
pub(crate) struct RebuildArgs {}

/// Deal with one shard.
#[derive(Debug, Subcommand)]
pub(crate) enum ShardCommand {
    AcceptDamage(AcceptArgs),
}

/// Let a damaged shard go on without events that its log has lost.
///
/// A damaged shard stops where the damage begins, so that nothing wrong is ever built on it. Restore
/// the log first, if there is a backup. Where there is none, this gives the lost events up for good;
/// the decision is itself written into the log. `status` names the range.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad shard accept-damage --shard 0 --from 1041 --to 1043")]
pub(crate) struct AcceptArgs {
    /// The damaged shard
    #[arg(long, value_name = "N")]
    shard: u16,
    /// First sequence to give up
    #[arg(long, value_name = "SEQ")]
    from: u64,
    /// Last sequence to give up
    #[arg(long, value_name = "SEQ")]
    to: u64,
}

pub(crate) async fn status(session: &Session) -> Result<(), Failure> {
    let client = session.anyone().await?;
    if matches!(client.identity(), Identity::Agent { .. }) {
        return own_status::show(session, &client).await;
    }
    let status = client.operator()?.status().await?;
    session.out.show(&status, |style| described(style, &status))
}

fn described(style: Style, status: &Status) -> String {
    let row = |shard: &ShardStatus| {
        [
            shard.shard.to_string(),
            one_line(&shard.state),
            shard.applied.to_string(),
            shard.end.saturating_sub(shard.applied).to_string(),
            shard.quarantined.to_string(),
        ]
    };
    let header = ["SHARD", "STATE", "APPLIED", "BEHIND", "QUARANTINED"];
    let mut text = table(style, header, status.shards.iter().map(row));
    for shard in &status.shards {
        let Some(damage) = &shard.damage else {
            continue;
        };
        let alarm = format!(
            "shard {} is damaged: {}",
            shard.shard,
            one_line(&damage.message)
        );
        text.push_str(&format!(
            "\n\n{}\n  range:  --from {} --to {}\n  remedy: {}",
            style.alarm(&alarm),
            damage.from,
            damage.to,
            one_line(&damage.remedy)
        ));
    }
    for shard in status.shards.iter().filter(|s| s.quarantined > 0) {
        let count = count(shard.quarantined, "event");
        text.push_str(&format!(
            "\n\nshard {}: {count} set aside, which change nothing; the first:",
            shard.shard
        ));
        for event in &shard.quarantine {
            text.push_str(&format!(
                "\n  {} of {}: {}",
                event.sequence,
                one_line(&event.tenant),
                one_line(&event.reason)
            ));
        }
    }
    text.push_str(&format!(
        "\n\nprojector {}, nats-server {}, {} dropped",
        one_line(&status.version),
        one_line(&status.nats_version),
        count(status.dropped_requests, "request"),
    ));
    if let Some(recall) = &status.recall {
        text.push_str(&recalled(style, recall));
    }
    text
}

/// How memories are recalled, in a line, and what is wrong below it.
fn recalled(style: Style, recall: &RecallStatus) -> String {
    let mut text = match &recall.model {
        None => "\nmemories are found by their words alone".to_owned(),
        Some(model) => format!(
            "\nmemories are found by words and meaning ({})",
            one_line(model)
        ),
    };
    if let Some(awaiting) = recall.awaiting.filter(|awaiting| *awaiting > 0) {
        text.push_str(&format!(", {awaiting} by words until embedded"));
    }
    if recall.skipped > 0 {
        text.push_str(&format!(", {} not at all", recall.skipped));
    }
    if let Some(problem) = &recall.problem {
        text.push_str(&format!("\n  {}", style.alarm(&one_line(problem))));
    }
    text
}

pub(crate) async fn rebuild(session: &Session) -> Result<(), Failure> {
    let client = session.operator().await?;
    let rebuilding = client.operator()?.rebuild().await?;
    session.out.show(&rebuilding, |_| {
        let shards: Vec<String> = rebuilding.shards.iter().map(ToString::to_string).collect();
        format!("folding anew: shard {}", shards.join(", "))
    })?;
    session
        .out
        .note("`postroad status` shows when they follow the log again");
    Ok(())
}

pub(crate) async fn shard(session: &Session, command: ShardCommand) -> Result<(), Failure> {
    let ShardCommand::AcceptDamage(args) = command;
    let client = session.operator().await?;
    let operator = client.operator()?;
    let done = operator
        .accept_damage(args.shard, args.from, args.to)
        .await?;
    session.out.show(&done, |_| {
        format!(
            "shard {} goes on without {} to {}",
            args.shard, args.from, args.to
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::query::{Damage, QuarantinedEvent, RecallMode};

    #[test]
    fn damage_stands_out_with_its_range_and_remedy() {
        let shard = |shard, state: &str, damage| ShardStatus {
            shard,
            epoch: 1,
            applied: 1_040,
            end: 1_050,
            state: state.to_owned(),
            damage,
            quarantined: 0,
            quarantine: Vec::new(),
        };
        let damage = Damage {
            message: "event 1041 is missing".to_owned(),
            from: 1_041,
            to: 1_043,
            remedy: "restore the stream".to_owned(),
        };
        let status = Status {
            shards: vec![
                shard(0, "following", None),
                shard(1, "damaged", Some(damage)),
            ],
            version: "0.1.0".to_owned(),
            nats_version: "2.15.1".to_owned(),
            dropped_requests: 1,
            recall: Some(RecallStatus {
                mode: RecallMode::Words,
                model: None,
                problem: Some("model.onnx is not there".to_owned()),
                awaiting: None,
                embedded: 0,
                skipped: 0,
            }),
        };
        insta::assert_snapshot!(described(Style::PLAIN, &status), @r"
        SHARD  STATE      APPLIED  BEHIND  QUARANTINED
        0      following  1040     10      0
        1      damaged    1040     10      0

        shard 1 is damaged: event 1041 is missing
          range:  --from 1041 --to 1043
          remedy: restore the stream

        projector 0.1.0, nats-server 2.15.1, 1 request dropped
        memories are found by their words alone
          model.onnx is not there
        ");
    }

    #[test]
    fn events_that_were_set_aside_are_named_with_their_reasons() {
        let event = |sequence, tenant: &str| QuarantinedEvent {
            sequence,
            tenant: tenant.to_owned(),
            reason: "unknown to this build: task_created.v1".to_owned(),
        };
        let shard = ShardStatus {
            shard: 2,
            epoch: 1,
            applied: 7,
            end: 7,
            state: "following".to_owned(),
            damage: None,
            quarantined: 2,
            quarantine: vec![event(3, "acme"), event(5, "_sys")],
        };
        let status = Status {
            shards: vec![shard],
            version: "0.1.0".to_owned(),
            nats_version: "2.15.1".to_owned(),
            dropped_requests: 0,
            recall: Some(RecallStatus {
                mode: RecallMode::WordsAndMeaning,
                model: Some("all-MiniLM-L6-v2".to_owned()),
                problem: None,
                awaiting: Some(12),
                embedded: 3,
                skipped: 1,
            }),
        };
        insta::assert_snapshot!(described(Style::PLAIN, &status), @r"
        SHARD  STATE      APPLIED  BEHIND  QUARANTINED
        2      following  7        0       2

        shard 2: 2 events set aside, which change nothing; the first:
          3 of acme: unknown to this build: task_created.v1
          5 of _sys: unknown to this build: task_created.v1

        projector 0.1.0, nats-server 2.15.1, 0 requests dropped
        memories are found by words and meaning (all-MiniLM-L6-v2), 12 by words until embedded, 1 not at all
        ");
    }
}
