//! `replay`: the log as it happened, event by event. For the operator.

use super::failure::Failure;
use super::output::Style;
use super::session::Session;
use super::text::{absolute, one_line};
use super::time::{self, Bound};
use crate::stop::StopSignal;
use clap::Args;
use postroad_client::{Client, Replay, ReplayOf, ReplayRange};
use postroad_protocol::TenantId;
use postroad_protocol::query::ReplayedEvent;
use std::time::Duration;

/// Show what happened, event by event, in the order of the log.
///
/// Shows one tenant, or every tenant where none is named: then shard by shard, since only within a
/// shard there is one order. Reading a tenant's log is itself written into that log. With --follow
/// the command goes on with what happens from now on, until ctrl-c.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad replay --tenant acme
  postroad replay --tenant acme --from 1h --json | jq 'select(.type == \"message_sent\")'
  postroad replay --from 2026-11-22T09:00:00Z --to 2026-11-22T10:00:00Z
  postroad replay --follow --from now")]
pub(crate) struct ReplayArgs {
    /// Only this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Only this shard, where no tenant is named
    #[arg(long, value_name = "N", conflicts_with = "tenant")]
    shard: Option<u16>,
    /// First sequence (digits alone), or not before this time (RFC 3339, a date, `1h`, now)
    #[arg(long, value_name = "SEQ|TIME", value_parser = time::bound)]
    from: Option<Bound>,
    /// Last sequence, or not after this time
    #[arg(long, value_name = "SEQ|TIME", value_parser = time::bound, conflicts_with = "follow")]
    to: Option<Bound>,
    /// Go on with what happens from now on
    #[arg(long)]
    follow: bool,
}

/// How often the log is looked at while following it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn replay(session: &Session, args: ReplayArgs) -> Result<(), Failure> {
    // Installed first: a signal while connecting must end the command as well.
    let mut stop = StopSignal::listen()?;
    let client = session.operator().await?;
    tokio::select! {
        ended = show_all(session, &client, args) => ended,
        () = stop.asked() => Ok(()),
    }
}

async fn show_all(session: &Session, client: &Client, args: ReplayArgs) -> Result<(), Failure> {
    let logs = logs(client, &args).await?;
    let range = range(&args, logs.len())?;
    let operator = client.operator()?;
    let mut logs: Vec<Replay<'_>> = logs
        .into_iter()
        .map(|of| operator.replay(of, range.clone()))
        .collect();
    loop {
        for log in &mut logs {
            while let Some(events) = log.next_page().await? {
                for event in events {
                    session.out.show(&event, |style| line(style, &event))?;
                }
            }
        }
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Which logs are meant: a tenant's, a shard's, or those of every shard there is.
async fn logs(client: &Client, args: &ReplayArgs) -> Result<Vec<ReplayOf>, Failure> {
    if let Some(tenant) = &args.tenant {
        return Ok(vec![ReplayOf::Tenant(tenant.clone())]);
    }
    if let Some(shard) = args.shard {
        return Ok(vec![ReplayOf::Shard(shard)]);
    }
    let status = client.operator()?.status().await?;
    let mut shards: Vec<u16> = status.shards.iter().map(|shard| shard.shard).collect();
    shards.sort_unstable();
    shards.dedup();
    Ok(shards.into_iter().map(ReplayOf::Shard).collect())
}

fn range(args: &ReplayArgs, logs: usize) -> Result<ReplayRange, Failure> {
    let mut range = ReplayRange::default();
    match args.from {
        Some(Bound::Sequence(sequence)) => range.from_sequence = Some(sequence),
        Some(Bound::Time(time)) => range.from_time = Some(time),
        None => {}
    }
    match args.to {
        Some(Bound::Sequence(sequence)) => range.to_sequence = Some(sequence),
        Some(Bound::Time(time)) => range.to_time = Some(time),
        None => {}
    }
    if logs > 1 && (range.from_sequence.is_some() || range.to_sequence.is_some()) {
        return Err(Failure::usage(
            "from",
            format!("each of the {logs} shards counts its events for itself"),
            "name a --tenant or a --shard, or give times instead of sequences",
        ));
    }
    Ok(range)
}

fn line(style: Style, event: &ReplayedEvent) -> String {
    let data = match &event.problem {
        Some(problem) => style.alarm(&one_line(problem)),
        None => one_line(&event.data.to_string()),
    };
    let head = format!("{}  {}", event.position, absolute(event.time));
    format!(
        "{}  {}  {}  {}  {data}",
        style.faint(&head),
        one_line(&event.tenant),
        one_line(&event.by),
        style.strong(&one_line(&event.type_name)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ReplayArgs,
    }

    fn parse(arguments: &[&str]) -> Result<ReplayArgs, clap::Error> {
        let line = std::iter::once("replay").chain(arguments.iter().copied());
        Line::try_parse_from(line).map(|line| line.args)
    }

    #[test]
    fn sequences_need_one_log_and_times_do_not() {
        let sequences = parse(&["--from", "5", "--to", "9"]).unwrap();
        assert_eq!(range(&sequences, 1).unwrap().from_sequence, Some(5));
        assert_eq!(range(&sequences, 2).unwrap_err().exit_code(), 2);
        let times = parse(&["--from", "1h"]).unwrap();
        assert!(range(&times, 2).unwrap().from_time.is_some());
    }

    #[test]
    fn what_is_followed_has_no_end_and_a_tenant_has_its_shard() {
        assert!(parse(&["--follow", "--to", "9"]).is_err());
        assert!(parse(&["--tenant", "acme", "--shard", "1"]).is_err());
        assert!(parse(&["--from", "0"]).is_err());
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let event: ReplayedEvent = serde_json::from_value(serde_json::json!({
            "position": {"shard": 0, "epoch": 1, "sequence": 12}, "tenant": "acme",
            "id": "01890000-0000-7000-8000-000000000001", "type": "message_sent", "schema": 1,
            "time": 1_711_670_400_123_u64, "by": "bob/pi", "data": {"content": "a\n\u{1b}[2J"}
        }))
        .unwrap();
        insta::assert_snapshot!(line(Style::PLAIN, &event), @r#"
        0:12  2024-03-29T00:00:00.123Z  acme  bob/pi  message_sent  {"content":"a\n\u001b[2J"}
        "#);
    }
}
