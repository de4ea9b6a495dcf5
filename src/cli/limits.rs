//! `tenant limits`: what a tenant may use, and how much it uses.

use super::failure::Failure;
use super::life::Named;
use super::output::{Style, table};
use super::session::Session;
use super::text::one_line;
use clap::Args;
use postroad_protocol::quota::{Limit, Limits};
use serde::Serialize;
use std::collections::BTreeMap;

/// Show the limits of a tenant, or set some of them.
///
/// Without options it shows every limit with the value in use. What is not named stays as it is. Brokers
/// share rates; waits count at each projector. A burst that is not set is one second's worth. A tenant
/// cannot see or change its limits, but a refusal names the one that it met.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postroad tenant limits --tenant acme-corp\n  postroad tenant limits --tenant acme-corp --commands-per-s 100 --burst 500 --stored-bytes 1000000000\n  postroad tenant limits --tenant acme-corp --reset burst --reset stored-bytes"
)]
pub(crate) struct LimitsArgs {
    #[command(flatten)]
    named: Named,
    /// Commands a second
    #[arg(long, value_name = "N")]
    commands_per_s: Option<u64>,
    /// Commands at once, before that rate counts
    #[arg(long, value_name = "N")]
    burst: Option<u64>,
    /// Bytes of one message's content
    #[arg(long, value_name = "N")]
    message_bytes: Option<u64>,
    /// Bytes of everything that is stored
    #[arg(long, value_name = "N")]
    stored_bytes: Option<u64>,
    /// Messages that are stored
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
    /// Memories
    #[arg(long, value_name = "N")]
    memories: Option<u64>,
    /// Tasks that are created, those that have ended among them
    #[arg(long, value_name = "N")]
    tasks: Option<u64>,
    /// Checks that wait for mail, at each projector
    #[arg(long, value_name = "N")]
    waits: Option<u64>,
    /// Commands a second of one agent
    #[arg(long, value_name = "N")]
    agent_commands_per_s: Option<u64>,
    /// Commands of one agent at once, before that rate counts
    #[arg(long, value_name = "N")]
    agent_burst: Option<u64>,
    /// Bytes of one message's content, for each agent
    #[arg(long, value_name = "N")]
    agent_message_bytes: Option<u64>,
    /// Checks of one agent that wait for mail, at each projector
    #[arg(long, value_name = "N")]
    agent_waits: Option<u64>,
    /// Give a limit its default back; may be repeated
    #[arg(long, value_name = "NAME", value_parser = limit)]
    reset: Vec<Limit>,
}

fn limit(name: &str) -> Result<Limit, String> {
    Limit::parse(name).ok_or_else(|| {
        let names = Limit::ALL.map(Limit::option).join(", ");
        format!("there is no such limit; name one of {names}")
    })
}

impl LimitsArgs {
    fn of(&self, limit: Limit) -> Option<u64> {
        match limit {
            Limit::CommandsPerS => self.commands_per_s,
            Limit::Burst => self.burst,
            Limit::MessageBytes => self.message_bytes,
            Limit::StoredBytes => self.stored_bytes,
            Limit::Messages => self.messages,
            Limit::Memories => self.memories,
            Limit::Tasks => self.tasks,
            Limit::Waits => self.waits,
            Limit::AgentCommandsPerS => self.agent_commands_per_s,
            Limit::AgentBurst => self.agent_burst,
            Limit::AgentMessageBytes => self.agent_message_bytes,
            Limit::AgentWaits => self.agent_waits,
        }
    }

    fn set(&self) -> Vec<(Limit, u64)> {
        let given = |limit| Some((limit, self.of(limit)?));
        Limit::ALL.into_iter().filter_map(given).collect()
    }
}

/// Limits and use, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitsDocument<'a> {
    tenant: &'a str,
    /// What is set.
    limits: &'a Limits,
    /// What is in use, defaults included; null where there is no limit.
    in_use: BTreeMap<Limit, Option<u64>>,
    /// What is used of those that add up.
    used: BTreeMap<Limit, u64>,
}

pub(crate) async fn run(session: &Session, args: &LimitsArgs) -> Result<(), Failure> {
    let tenant = args.named.tenant()?;
    let set = args.set();
    let client = session.operator().await?;
    let operator = client.operator()?;
    if !set.is_empty() || !args.reset.is_empty() {
        operator.set_limits(tenant, &set, &args.reset).await?;
    }
    let shown = operator.get_tenant(tenant).await?;
    let used = BTreeMap::from([
        (Limit::Messages, shown.messages),
        (Limit::StoredBytes, shown.stored_bytes),
        (Limit::Memories, shown.memories),
        (Limit::Tasks, shown.tasks),
    ]);
    let document = LimitsDocument {
        tenant: &shown.tenant,
        limits: &shown.limits,
        in_use: Limit::ALL
            .map(|limit| (limit, shown.limits.in_use(limit)))
            .into(),
        used,
    };
    session.out.show(&document, |style| {
        let name = style.strong(&one_line(&shown.tenant));
        let rows = limits_table(style, &shown.limits, &document.used);
        format!("{name}\n\n{rows}")
    })
}

fn limits_table(style: Style, limits: &Limits, used: &BTreeMap<Limit, u64>) -> String {
    let row = |limit: Limit| {
        let value = limits.in_use(limit);
        [
            limit.option().to_owned(),
            value.map_or("no limit".to_owned(), |value| value.to_string()),
            if limits.set(limit).is_some() {
                "set"
            } else {
                "default"
            }
            .to_owned(),
            used.get(&limit).map_or("–".to_owned(), u64::to_string),
        ]
    };
    let header = ["LIMIT", "IN USE", "FROM", "USED"];
    table(style, header, Limit::ALL.into_iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use postroad_protocol::quota::LimitsChange;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: LimitsArgs,
    }

    #[test]
    fn every_limit_has_an_option_of_its_name() {
        for (limit, value) in Limit::ALL.into_iter().zip(1_u64..) {
            let (option, number) = (format!("--{limit}"), value.to_string());
            let line = ["limits", "acme", &option, &number, "--reset", limit.name()];
            let args = Line::try_parse_from(line).map(|line| line.args).unwrap();
            assert_eq!(args.set(), [(limit, value)]);
            assert_eq!(args.reset, [limit]);
        }
        assert!(Line::try_parse_from(["limits", "acme", "--reset", "subscriptions"]).is_err());
        assert!(Line::try_parse_from(["limits", "acme", "--waits", "-1"]).is_err());
    }

    #[test]
    fn limits_are_a_table_with_what_is_in_use() {
        let set = BTreeMap::from([("commandsPerS".to_owned(), 5), ("messages".to_owned(), 9)]);
        let limits = Limits::default().with(&LimitsChange::read(&set, &[]).unwrap());
        let used = BTreeMap::from([(Limit::Messages, 3), (Limit::StoredBytes, 400)]);
        insta::assert_snapshot!(limits_table(Style::PLAIN, &limits, &used), @r"
        LIMIT                 IN USE    FROM     USED
        commands-per-s        5         set      –
        burst                 5         default  –
        message-bytes         262144    default  –
        stored-bytes          no limit  default  400
        messages              9         set      3
        memories              no limit  default  –
        tasks                 no limit  default  –
        waits                 4000      default  –
        agent-commands-per-s  no limit  default  –
        agent-burst           no limit  default  –
        agent-message-bytes   262144    default  –
        agent-waits           256       default  –
        ");
    }
}
