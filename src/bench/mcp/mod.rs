//! Calls of tools over stdio and over HTTP, beside the same calls by the client library. Owns these turns.
//!
//! | module | owns |
//! |---|---|
//! | [`rpc`] | what is asked, and whether the answer is one |
//! | [`stdio`], [`http`] | a client by hand, that does nothing but ask |

mod http;
mod rpc;
mod stdio;

use self::http::HttpClient;
use self::rpc::Call;
use self::stdio::StdioClient;
use super::Bench;
use super::checks::{check, warm_up};
use super::figure::Figure;
use super::plan::CHECK_LIMIT;
use super::samples::{Load, Turns, Until, keep_in_flight};
use super::sends::send_one;
use super::stage::{Agent, Deployment, up_command};
use crate::deployment::nats_config::Durability;
use anyhow::Context as _;
use postroad_client::NewAgent;
use postroad_protocol::token::Token;
use postroad_protocol::{InstanceId, Role, TenantId};
use zeroize::Zeroizing;

/// Calls in flight at once, over HTTP each on a connection of its own.
const IN_FLIGHT: [usize; 2] = [1, 16];
/// Sends of one turn take this part of a turn of the other groups.
const TURN_PART: u32 = 4;
/// What `up` prints before the address at which it serves MCP.
const READY: &str = "postroad mcp ready ";
/// Calls over each way ahead of those that count.
const WARM_UP: usize = 20;

/// Measures the group.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let ways = 2 * IN_FLIGHT.len() + 1;
    bench.progress.group("mcp", 2 * ways * bench.plan.rounds);
    let home = bench.place("mcp");
    std::fs::create_dir(&home)?;
    let mut up = up_command(&home, &bench.server, Durability::Fast)?;
    up.args(["--http", "127.0.0.1:0"]);
    let mut deployment = Deployment::start(&home, up).await?;
    let line = deployment.line().await?;
    let url = line.strip_prefix(READY);
    let url = url.with_context(|| format!("`up` should say where it serves MCP: {line}"))?;
    let stage = Stage::set(&deployment, url).await?;
    for call in [Call::Send, Call::Check] {
        stage.compare(bench, call).await?;
    }
    bench.explain(
        "mcp, of which power-safe durability would hide most: the same call by the client library, as many in flight; \
         a tool's result has everything twice, as text and as structure, and each also tells what is unread, for \
         which a send asks once more",
    );
    drop(stage);
    deployment.stop().await
}

/// One agent, as three instances of its role.
struct Stage {
    library: Agent,
    stdio: StdioClient,
    http: HttpClient,
}

impl Stage {
    async fn set(deployment: &Deployment, url: &str) -> anyhow::Result<Self> {
        let tenant = deployment.tenant("bench").await?;
        let sender = deployment.agent(&tenant, "sink", "one").await?;
        let library = deployment.agent(&tenant, "tau", "library").await?;
        let stdio = deployment.agent(&tenant, "tau", "stdio").await?;
        let token = token(deployment, &tenant, "tau", "http").await?;
        let http = HttpClient::new(url, &token)?;
        let stdio = StdioClient::start(deployment, &stdio).await?;
        for _ in 0..CHECK_LIMIT {
            send_one(&sender, "tau").await?;
        }
        let stage = Self {
            library,
            stdio,
            http,
        };
        warm_up(&stage.library, CHECK_LIMIT).await?;
        for call in [Call::Check, Call::Send] {
            for _ in 0..WARM_UP {
                stage.stdio.call(call).await?;
                stage.http.call(call).await?;
            }
        }
        Ok(stage)
    }

    /// Makes the same call by every way in turns.
    async fn compare(&self, bench: &mut Bench, call: Call) -> anyhow::Result<()> {
        let mut stdio = Turns::default();
        let mut ways = IN_FLIGHT.map(|in_flight| (in_flight, Turns::default(), Turns::default()));
        for _ in 0..bench.plan.rounds {
            for (in_flight, library, http) in &mut ways {
                let until = until(bench, call);
                bench.progress.says(format!(
                    "{call} by the library and over HTTP, {in_flight} in flight"
                ));
                library.add(&self.by_library(call, *in_flight, until).await?);
                bench.progress.step();
                let load = keep_in_flight(*in_flight, until, || self.http.call(call)).await?;
                http.add(&load);
                bench.progress.step();
            }
            bench.progress.says(format!("{call} over stdio"));
            let until = until(bench, call);
            stdio.add(&keep_in_flight(1, until, || self.stdio.call(call)).await?);
            bench.progress.step();
        }
        let alone = &ways[0].1;
        bench.add_latencies(
            &format!("{call} over stdio"),
            &stdio.latencies,
            Some(&alone.latencies),
        );
        for (in_flight, library, http) in &ways {
            let name = format!("{call} over HTTP, {in_flight} in flight");
            bench.add_latencies(&name, &http.latencies, Some(&library.latencies));
            if call == Call::Send {
                let name = format!("sends over HTTP, {in_flight} in flight");
                let rate = Figure::new(name, http.per_second(), "1/s");
                bench.add(rate.beside(library.per_second()));
            }
        }
        Ok(())
    }

    async fn by_library(&self, call: Call, in_flight: usize, until: Until) -> anyhow::Result<Load> {
        keep_in_flight(in_flight, until, || async {
            match call {
                Call::Send => send_one(&self.library, "sink").await.map(drop),
                Call::Check => check(&self.library, CHECK_LIMIT).await.map(drop),
            }
        })
        .await
    }
}

/// How long one turn of a call takes.
fn until(bench: &Bench, call: Call) -> Until {
    match call {
        Call::Send => Until::Elapsed(bench.plan.turn / TURN_PART),
        Call::Check => Until::Calls(bench.plan.checks),
    }
}

/// Issues a token bound to an instance.
async fn token(
    deployment: &Deployment,
    tenant: &TenantId,
    role: &str,
    instance: &str,
) -> anyhow::Result<Zeroizing<String>> {
    let token = Token::generate();
    let agent = NewAgent::token(Role::parse(role)?, InstanceId::parse(instance)?);
    let roster = deployment.roster(tenant)?;
    roster.issue(&agent, &token.key().public_key()).await?;
    Ok(token.text())
}
