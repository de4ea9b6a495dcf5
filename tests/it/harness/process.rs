//! Child processes of a test: started until they say that they serve, stopped by process id.

use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A running child with its output gathered.
pub struct Process {
    child: Child,
    stderr: Arc<Mutex<String>>,
    stdout: Arc<Mutex<String>>,
}

/// What a child has said by now; it outlives the child.
#[derive(Clone)]
pub struct Said(Arc<Mutex<String>>, Arc<Mutex<String>>);

impl Said {
    /// Everything on stdout and stderr, as far as it was gathered.
    pub fn text(&self) -> String {
        let gathered = [&self.0, &self.1].map(|text| text.lock().unwrap().clone());
        gathered.concat()
    }
}

impl Process {
    /// Starts `command` and waits for its first line on stdout.
    pub fn start_until_line(command: Command) -> (Self, String) {
        let (mut process, stdout) = Self::start(command);
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        reader.read_line(&mut line).expect("stdout reads");
        if line.is_empty() {
            let status = process.child.wait();
            panic!(
                "it ended before it served ({status:?}): {}",
                process.stderr()
            );
        }
        process.stdout.lock().unwrap().push_str(&line);
        // Whatever follows is read too, so that the child never blocks on a full pipe.
        gather(reader, &process.stdout);
        (process, line)
    }

    /// Starts `command` and waits for nothing.
    pub fn start_unheard(command: Command) -> Self {
        let (process, stdout) = Self::start(command);
        gather(stdout, &process.stdout);
        process
    }

    /// Starts `command`; its stdout is the caller's.
    pub fn start(mut command: Command) -> (Self, std::process::ChildStdout) {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let pipe = child.stderr.take().expect("stderr is piped");
        let process = Self {
            child,
            stderr: Arc::default(),
            stdout: Arc::default(),
        };
        gather(pipe, &process.stderr);
        (process, stdout)
    }

    /// What it has written to stderr.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// What it says, also once it has ended.
    pub fn said(&self) -> Said {
        Said(Arc::clone(&self.stdout), Arc::clone(&self.stderr))
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the child can be waited for")
            .is_some()
    }

    /// Sends SIGTERM and waits for the end; its exit code.
    pub fn terminate(self) -> i32 {
        self.end_by(Signal::SIGTERM)
    }

    /// Sends SIGINT, as ctrl-c does, and waits for the end; its exit code.
    pub fn interrupt(self) -> i32 {
        self.end_by(Signal::SIGINT)
    }

    /// Stops it where it stands, without ending it, as a machine that hangs.
    pub fn freeze(&self) {
        send(Pid::from_raw(self.pid()), Signal::SIGSTOP).expect("the signal is sent");
    }

    fn end_by(mut self, signal: Signal) -> i32 {
        send(Pid::from_raw(self.pid()), signal).expect("the signal is sent");
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status.code().unwrap_or(-1);
            }
            assert!(
                start.elapsed() < super::DEADLINE,
                "it did not stop: {}",
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it at once.
    pub fn kill(mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be waited for");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- stderr of process {}:\n{}",
                self.child.id(),
                self.stderr()
            );
        }
    }
}

/// Reads `pipe` to its end in the background.
fn gather(mut pipe: impl Read + Send + 'static, into: &Arc<Mutex<String>>) {
    let sink = Arc::clone(into);
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut chunk) {
            let text = String::from_utf8_lossy(&chunk[..count]).into_owned();
            sink.lock().unwrap().push_str(&text);
        }
    });
}

/// What a child prints, line by line, as it comes.
pub struct Lines {
    receiver: std::sync::mpsc::Receiver<String>,
}

impl Lines {
    /// Reads `stdout` in the background until it ends.
    pub fn of(stdout: std::process::ChildStdout) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { receiver }
    }

    /// The next line; panics when none comes in time.
    #[track_caller]
    pub fn next(&self) -> String {
        let line = self.receiver.recv_timeout(super::DEADLINE);
        line.expect("a line in time")
    }

    /// The next line as JSON; panics when none comes in time.
    #[track_caller]
    pub fn next_json(&self) -> serde_json::Value {
        let line = self.next();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Waits for a line that contains `text`.
    #[track_caller]
    pub fn until(&self, text: &str) {
        while !self.next().contains(text) {}
    }

    /// Whatever has come by the end of the child.
    pub fn rest(self) -> Vec<String> {
        self.receiver.iter().collect()
    }
}

/// Kills a process that is not a child.
pub fn kill(pid: i32) {
    // It may have ended by itself.
    let _ = send(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Whether there is such a process, not yet ended.
pub fn is_running(pid: i32) -> bool {
    send(Pid::from_raw(pid), None).is_ok() && !is_zombie(pid)
}

/// Whether a process has `path` in its command line.
pub fn was_started_with(pid: i32, path: &std::path::Path) -> bool {
    let shown = Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .expect("ps runs");
    String::from_utf8_lossy(&shown.stdout).contains(&*path.to_string_lossy())
}

/// Waits until a process is gone.
pub fn wait_until_gone(pid: i32) {
    let start = Instant::now();
    while is_running(pid) {
        assert!(
            start.elapsed() < super::DEADLINE,
            "process {pid} does not end"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
    })
}
