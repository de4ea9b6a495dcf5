//! `postroad bench`: measures a deployment from outside, each figure beside a ceiling that is
//! measured in turns with it, since machines are noisy and only ratios last. Owns the order of the
//! groups and the verdict; never tunes what it measures.
//!
//! | module | owns |
//! |---|---|
//! | [`plan`] | how much is measured |
//! | [`start`], [`sends`], [`push`], [`projection`], [`checks`], [`neighbours`], [`walls`], [`mcp`], [`search`], [`memories`], [`tasks`] | one group of figures each |
//! | [`backlog`] | the deployment in which much lies unread |
//! | [`plain`], [`rows`] | the ceilings: nats-server and redb without Postroad |
//! | [`samples`] | many calls, and numbers out of them |
//! | [`figure`], [`report`] | what was measured, what it must reach, how it is shown |
//! | [`progress`] | how far it is |
//! | [`stage`] | folders, child processes and deployments to measure on; the tour plays there too |

mod backlog;
mod checks;
mod figure;
mod mcp;
mod memories;
mod neighbours;
mod plain;
mod plan;
mod progress;
mod projection;
mod push;
mod report;
mod rows;
mod samples;
mod search;
mod sends;
pub(crate) mod stage;
mod start;
mod tasks;
mod walls;

use crate::cli::output::say;
use crate::deployment::nats_binary::NatsBinary;
use crate::deployment::nats_config::Durability;
use crate::stop::StopSignal;
use backlog::Backlog;
use figure::{Figure, Must};
use plain::PlainServer;
use plan::Plan;
use progress::Progress;
use samples::Latencies;
use stage::{Deployment, Folder, up_command};
use std::path::PathBuf;

/// Measure Postroad on this machine, each figure beside its ceiling.
///
/// Starts deployments of its own in a temporary folder; an existing one is neither used nor needed.
/// Prints a table, and ends with code 1 when a figure that must reach something does not.
///
/// Example: postroad bench --out target/bench --quick
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Write DIR/summary.json where no --only is given, and measure on the disk that DIR is on; otherwise on that of the
    /// system's temporary folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Fewer samples: a first look in less than a minute.
    #[arg(long)]
    quick: bool,
    /// Only these groups of figures.
    #[arg(long, value_name = "GROUP", value_enum, num_args = 1.., value_delimiter = ',')]
    only: Vec<Group>,
    /// The nats-server to run; otherwise $NATS_SERVER, then PATH, then .tools.
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,
}

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// How soon a new deployment serves.
    Start,
    /// Sends, power-safe and fast, 1, 16 and 256 in flight.
    Sends,
    /// From a send to its push, and to a subscription.
    Push,
    /// Folding a long log into new rows.
    Projection,
    /// Checks with little and with much unread.
    Checks,
    /// One tenant while another floods.
    Neighbours,
    /// Revocation, sealing, and what one tenant can tell of another.
    Walls,
    /// Tools over stdio and over HTTP.
    Mcp,
    /// Searches in little and in much history.
    Search,
    /// Recalls from few memories and from many, stores beside sends, and folding and embedding them.
    Memories,
    /// Creating, claiming and listing tasks, few and many, and folding them.
    Tasks,
}

/// A run: where it measures, how much, and what it has found.
#[derive(Debug)]
struct Bench {
    plan: Plan,
    server: PathBuf,
    folder: Folder,
    progress: Progress,
    figures: Vec<Figure>,
    notes: Vec<String>,
}

/// Whether all that must be reached is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Met,
    /// It is not; which was said on stderr.
    Missed,
}

/// Measures, and prints what was found.
///
/// # Errors
/// When something could not be measured.
pub(crate) async fn run(args: BenchArgs, json: bool) -> anyhow::Result<Verdict> {
    let mut stop = StopSignal::listen()?;
    let mut bench = Bench::prepare(&args).await?;
    // Dropping the work is what stops every process that it started.
    let measured = tokio::select! {
        measured = measure(&mut bench, &args.only) => measured,
        () = stop.asked() => Err(anyhow::anyhow!("stopped before all was measured")),
    };
    bench.progress.clear();
    // What was measured before a failure took its time, and is shown; the file is for whole runs.
    let (figures, notes) = (&bench.figures, &bench.notes);
    if json {
        report::print_json(figures)?;
    } else {
        report::print(figures, notes)?;
    }
    measured?;
    // A part of the figures in the file of all of them would pass for all that were measured.
    if let Some(dir) = args.out.as_ref().filter(|_| args.only.is_empty()) {
        report::write(figures, dir)?;
    }
    let missed: Vec<&str> = figures
        .iter()
        .filter(|figure| figure.is_missed())
        .map(|figure| figure.name.as_str())
        .collect();
    if missed.is_empty() {
        return Ok(Verdict::Met);
    }
    say(&format!("not met: {}", missed.join("; ")));
    Ok(Verdict::Missed)
}

/// Measures the groups that are wanted; all where none is named.
async fn measure(bench: &mut Bench, only: &[Group]) -> anyhow::Result<()> {
    let is_wanted = |group| only.is_empty() || only.contains(&group);
    if is_wanted(Group::Start) {
        start::measure(bench).await?;
    }
    if is_wanted(Group::Sends) {
        sends::measure(bench).await?;
    }
    if is_wanted(Group::Push) {
        push::measure(bench).await?;
    }
    if is_wanted(Group::Projection) || is_wanted(Group::Checks) || is_wanted(Group::Walls) {
        let backlog = Backlog::fill(bench).await?;
        if is_wanted(Group::Projection) {
            projection::measure(bench, &backlog).await?;
        }
        if is_wanted(Group::Walls) {
            walls::measure_opening(bench, &backlog).await?;
        }
        if is_wanted(Group::Checks) {
            checks::measure(bench, &backlog).await?;
        }
        backlog.deployment.stop().await?;
    }
    if is_wanted(Group::Neighbours) {
        neighbours::measure(bench).await?;
    }
    if is_wanted(Group::Walls) {
        walls::measure(bench).await?;
    }
    if is_wanted(Group::Mcp) {
        mcp::measure(bench).await?;
    }
    if is_wanted(Group::Search) {
        search::measure(bench).await?;
    }
    if is_wanted(Group::Memories) {
        let is_alone = only.contains(&Group::Memories);
        memories::measure(bench, is_alone).await?;
    }
    if is_wanted(Group::Tasks) {
        tasks::measure(bench).await?;
    }
    Ok(())
}

impl Bench {
    /// A run that has measured nothing yet.
    async fn prepare(args: &BenchArgs) -> anyhow::Result<Self> {
        let server = NatsBinary::find(args.nats_server.as_deref()).await?;
        // The temporary folder of many systems is in memory, where an fsync costs nothing: measured
        // where the caller keeps things, unless there is no such place.
        let parent = args.out.clone().unwrap_or_else(std::env::temp_dir);
        Ok(Self {
            plan: if args.quick { Plan::QUICK } else { Plan::FULL },
            server: server.path,
            folder: Folder::make(&parent, "postroad-bench")?,
            progress: Progress::start(),
            figures: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// A place of that name in the run's folder.
    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A nats-server without Postroad, for the group `name`.
    async fn plain(&self, durability: Durability, name: &str) -> anyhow::Result<PlainServer> {
        let sync = sends::name_of(durability);
        let dir = self.place(&format!("plain-{name}-{sync}"));
        let (server, _) = PlainServer::start(&self.server, &dir, durability).await?;
        Ok(server)
    }

    /// A new deployment for the group `name`.
    async fn deployment(&self, durability: Durability, name: &str) -> anyhow::Result<Deployment> {
        let sync = sends::name_of(durability);
        let home = self.place(&format!("{name}-{sync}"));
        std::fs::create_dir(&home)?;
        let up = up_command(&home, &self.server, durability)?;
        Deployment::start(&home, up).await
    }

    /// One more figure.
    fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Two more figures, p50 and p99, beside those of `ceiling`.
    fn add_latencies(&mut self, name: &str, of: &Latencies, ceiling: Option<&Latencies>) {
        for (percentile, value, ceiling) in [
            ("p50", of.p50_ms(), ceiling.map(Latencies::p50_ms)),
            ("p99", of.p99_ms(), ceiling.map(Latencies::p99_ms)),
        ] {
            let figure = Figure::new(format!("{name} {percentile}"), value, "ms");
            self.add(match ceiling {
                Some(ceiling) => figure.beside(ceiling),
                None => figure,
            });
        }
    }

    /// Two more figures, p50 and p95, beside those of `ceiling`; the second with what it must reach.
    fn add_p95(&mut self, name: &str, of: &Latencies, ceiling: &Latencies, must: Option<&Must>) {
        let p50 = Figure::new(format!("{name} p50"), of.p50_ms(), "ms");
        self.add(p50.beside(ceiling.p50_ms()));
        let p95 = Figure::new(format!("{name} p95"), of.p95_ms(), "ms").beside(ceiling.p95_ms());
        self.add(match must {
            Some(must) => p95.must(must),
            None => p95,
        });
    }

    /// What the ceilings of a group are.
    fn explain(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }
}
