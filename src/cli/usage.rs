//! `usage`: what tenants used, day by day.

use super::failure::Failure;
use super::output::{Style, table};
use super::session::{PAGE_LIMIT, Session};
use super::text::{absolute, one_line};
use clap::Args;
use postroad_client::{Client, Identity, Page};
use postroad_protocol::TenantId;
use postroad_protocol::limits::{USAGE_DAYS_DEFAULT, USAGE_DAYS_MAX};
use postroad_protocol::query::UsageDay;
use serde::Serialize;

/// Show what was used each day: commands, queries, pushes, messages and bytes stored.
///
/// As an agent, by its own tenant; as the operator, by the tenant that you name or by all, which their
/// audit trails show. Days are those of UTC; one on which nothing was used is left out. Commands,
/// messages and bytes are counted from the log; queries and pushes are stored about once a minute.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postroad usage --tenant acme-corp --days 7\n  postroad --creds tau.creds usage"
)]
pub(crate) struct UsageArgs {
    /// Of this tenant; by default of every tenant, or of the agent's own
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// How many days, today the last of them
    #[arg(long, value_name = "N", default_value_t = default_days(), value_parser = clap::value_parser!(u32).range(1..=longest()))]
    days: u32,
}

fn default_days() -> u32 {
    u32::try_from(USAGE_DAYS_DEFAULT).unwrap_or(u32::MAX)
}

fn longest() -> i64 {
    i64::try_from(USAGE_DAYS_MAX).unwrap_or(i64::MAX)
}

/// Answer of `usage`, for programs.
#[derive(Serialize)]
struct UsageDocument<'a> {
    days: &'a [UsageDay],
}

pub(crate) async fn usage(session: &Session, args: &UsageArgs) -> Result<(), Failure> {
    let client = session.anyone().await?;
    let days = match client.identity() {
        Identity::Operator { .. } => of_operator(&client, args).await?,
        Identity::Agent { tenant, .. } => {
            if args.tenant.as_ref().is_some_and(|named| named != tenant) {
                return Err(Failure::usage(
                    "tenant",
                    "an agent sees what its own tenant used",
                    "leave --tenant out, or use the operator's credential",
                ));
            }
            client.usage(args.days).await?.days
        }
    };
    session.out.show(&UsageDocument { days: &days }, |style| {
        days_table(style, &days)
    })
}

async fn of_operator(client: &Client, args: &UsageArgs) -> Result<Vec<UsageDay>, Failure> {
    let operator = client.operator()?;
    let mut days = Vec::new();
    let mut page = Page::default().limit(PAGE_LIMIT);
    loop {
        let answer = operator
            .usage(args.tenant.as_ref(), args.days, &page)
            .await?;
        days.extend(answer.days);
        match answer.next_cursor {
            Some(cursor) => page = page.after(cursor),
            None => return Ok(days),
        }
    }
}

fn days_table(style: Style, days: &[UsageDay]) -> String {
    let row = |day: &UsageDay| {
        [
            one_line(&day.tenant),
            absolute(day.day).chars().take(10).collect(),
            day.commands.to_string(),
            day.queries.to_string(),
            day.pushes.to_string(),
            day.messages.to_string(),
            day.stored_bytes.to_string(),
        ]
    };
    let header = [
        "TENANT",
        "DAY",
        "COMMANDS",
        "QUERIES",
        "PUSHES",
        "MESSAGES",
        "STORED BYTES",
    ];
    table(style, header, days.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::TimeMs;

    #[test]
    fn days_are_a_table() {
        let day = UsageDay {
            tenant: "acme".to_owned(),
            day: TimeMs(1_711_670_400_000),
            commands: 12,
            queries: 340,
            pushes: 9,
            messages: 10,
            stored_bytes: 5_120,
        };
        insta::assert_snapshot!(days_table(Style::PLAIN, &[day]), @r"
        TENANT  DAY         COMMANDS  QUERIES  PUSHES  MESSAGES  STORED BYTES
        acme    2024-03-29  12        340      9       10        5120
        ");
    }
}
