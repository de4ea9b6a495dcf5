//! The Python package `mcp`, driven from a test: `tests/mcp/python/drive.py` in a process, one request and one
//! answer a line. Owns the conversation with it, and the complaint when the package warned of anything.

use super::kit::Kit;
use crate::harness::DEADLINE;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for an answer: a call may wait for mail, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(2 * DEADLINE.as_secs());

/// The process, with connections of any number of agents.
pub struct Python {
    child: Child,
    stdin: Option<ChildStdin>,
    told: Arc<Mutex<Told>>,
    asked: u64,
}

#[derive(Default)]
struct Told {
    waiting: HashMap<u64, Sender<Value>>,
    warnings: Vec<String>,
    ended: bool,
}

/// A request that is under way.
pub struct Pending(Receiver<Value>);

impl Pending {
    /// The result, which keeps to the protocol and to the tool's output schema, or the JSON-RPC error of a server
    /// that refuses the request as a whole. Panics where the package could not go on.
    #[track_caller]
    pub fn outcome(self) -> Result<Value, Value> {
        let answer = self.0.recv_timeout(PATIENCE);
        let mut answer = answer.expect("python answers in time, and does not end");
        assert!(answer.get("failure").is_none(), "{answer}");
        match answer.get_mut("refusal") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }
}

impl Python {
    pub fn start(kit: &Kit) -> Self {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp/python/drive.py");
        let mut child = kit
            .python()
            .arg(driver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let stdin = child.stdin.take();
        let told = Arc::<Mutex<Told>>::default();
        listen(child.stdout.take().expect("stdout is piped"), &told);
        Self {
            child,
            stdin,
            told,
            asked: 0,
        }
    }

    /// Sends a request.
    pub fn ask(&mut self, mut request: Value) -> Pending {
        self.asked += 1;
        request["id"] = json!(self.asked);
        let (sender, receiver) = channel();
        let mut told = self.told.lock().unwrap();
        assert!(!told.ended, "python has ended; its stderr is above");
        told.waiting.insert(self.asked, sender);
        drop(told);
        let stdin = self.stdin.as_mut().expect("python listens");
        writeln!(stdin, "{request}").expect("python reads");
        Pending(receiver)
    }

    /// Closes what is open, and makes sure that nothing ended badly and that the package had nothing to warn of.
    #[track_caller]
    pub fn finish(mut self) {
        drop(self.stdin.take());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                break status;
            }
            assert!(start.elapsed() < DEADLINE, "python does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "python: {status}");
        let warnings = std::mem::take(&mut self.told.lock().unwrap().warnings);
        assert!(warnings.is_empty(), "the package warns: {warnings:#?}");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stdout: ChildStdout, told: &Arc<Mutex<Told>>) {
    let told = Arc::clone(told);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let mut told = told.lock().unwrap();
            let Ok(answer) = serde_json::from_str::<Value>(&line) else {
                told.warnings
                    .push(format!("a line that is no answer: {line}"));
                continue;
            };
            let asked = answer["id"].as_u64();
            match asked.and_then(|id| told.waiting.remove(&id)) {
                // Nobody waits any longer when the test has given up.
                Some(waiting) => drop(waiting.send(answer)),
                None => told.warnings.push(line),
            }
        }
        let mut told = told.lock().unwrap();
        told.ended = true;
        told.waiting.clear();
    });
}
