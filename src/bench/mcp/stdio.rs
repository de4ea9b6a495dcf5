//! `postroad mcp` as a child process, asked over its streams: one question at a time. Owns the process.

use super::rpc::Call;
use crate::bench::stage::{Agent, Deployment, program};
use anyhow::Context as _;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::Mutex;

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// A client of a server that runs for as long as this lives.
pub(super) struct StdioClient {
    streams: Mutex<Streams>,
    _server: Child,
}

struct Streams {
    asked: u64,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl StdioClient {
    /// Starts a server that speaks as `agent`.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn start(deployment: &Deployment, agent: &Agent) -> anyhow::Result<Self> {
        let creds = deployment.dir().join("stdio.creds");
        tokio::fs::write(&creds, agent.creds.as_bytes()).await?;
        let mut command = program(deployment.dir())?;
        command.arg("--creds").arg(creds);
        command.args(["--server", deployment.url(), "mcp"]);
        let mut server = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("`postroad mcp` does not start")?;
        let (stdin, stdout) = (server.stdin.take(), server.stdout.take());
        let questions = stdin.expect("stdin was piped a moment ago");
        let stdout = stdout.expect("stdout was piped a moment ago");
        let streams = Streams {
            asked: 0,
            questions,
            answers: BufReader::new(stdout).lines(),
        };
        Ok(Self {
            streams: Mutex::new(streams),
            _server: server,
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When none comes, or another than is expected.
    pub(super) async fn call(&self, call: Call) -> anyhow::Result<()> {
        let mut streams = self.streams.lock().await;
        let asked = tokio::time::timeout(ANSWER_WAIT, streams.ask(call)).await;
        asked.context("`postroad mcp` does not answer")?
    }
}

impl Streams {
    async fn ask(&mut self, call: Call) -> anyhow::Result<()> {
        self.asked += 1;
        let mut line = call.request(self.asked).to_string();
        line.push('\n');
        self.questions.write_all(line.as_bytes()).await?;
        let answer = self.answers.next_line().await?;
        let answer = answer.context("`postroad mcp` ended early")?;
        call.judge(self.asked, answer.as_bytes())
    }
}
