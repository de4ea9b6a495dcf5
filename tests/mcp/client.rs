//! An MCP client by hand: it writes lines and reads lines, and believes nothing.

use crate::harness::process::Lines;
use crate::harness::{DEADLINE, Deployment, binary};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postroad_client::{NewAgent, UserKey};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{InstanceId, Role, TenantId};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// The revision with a handshake, and the one without.
pub const OLD: &str = "2025-11-25";
pub const NEW: &str = "2026-07-28";

/// A running `postroad mcp`, and the client at its other end.
pub struct Mcp {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Option<Lines>,
    revision: &'static str,
    next: Cell<i64>,
    /// Notifications that came while something else was waited for.
    told: RefCell<Vec<Value>>,
    /// The answer to the opening request.
    pub opened: Value,
}

/// Writes a credential where `postroad mcp` finds it; it belongs to `scopes` besides `self`.
pub async fn creds(
    deployment: &Deployment,
    tenant: &str,
    role: &str,
    instance: &str,
    scopes: &[Scope],
) -> PathBuf {
    let user = UserKey::generate();
    let agent = NewAgent::new(Role::parse(role).unwrap())
        .instance(InstanceId::parse(instance).unwrap())
        .scopes(scopes.to_vec());
    let operator = deployment.operator().await;
    let issued = operator
        .operator()
        .unwrap()
        .issue_credential(
            &TenantId::parse(tenant).unwrap(),
            &agent,
            &user.public_key(),
        )
        .await
        .expect("the credential is issued");
    let path = deployment
        .dir
        .path()
        .join(format!("{tenant}-{role}-{instance}.creds"));
    std::fs::write(&path, user.creds(&issued.jwt).as_bytes()).unwrap();
    path
}

/// An agent with the scopes that messaging needs, in a session of this revision.
pub async fn agent(
    deployment: &Deployment,
    revision: &'static str,
    tenant: &str,
    role: &str,
    instance: &str,
) -> Mcp {
    let creds = creds(deployment, tenant, role, instance, &[Scope::Messages]).await;
    Mcp::start(deployment, &creds, revision, &[])
}

impl Mcp {
    /// Starts the server with this credential, and opens a session.
    pub fn start(
        deployment: &Deployment,
        creds: &std::path::Path,
        revision: &'static str,
        args: &[&str],
    ) -> Self {
        let mut mcp = Self::start_silent(deployment, creds, revision, args);
        mcp.open();
        mcp
    }

    /// Starts the server, and says nothing to it.
    pub fn start_silent(
        deployment: &Deployment,
        creds: &std::path::Path,
        revision: &'static str,
        args: &[&str],
    ) -> Self {
        let mut command = Command::new(binary());
        command
            .arg("--creds")
            .arg(creds)
            .args(["--server", &deployment.url, "mcp"]);
        command.args(args);
        Self::of(command, revision)
    }

    /// Runs a prepared command.
    pub fn of(mut command: Command, revision: &'static str) -> Self {
        for name in [
            "NATS_URL",
            "NATS_CREDS",
            "NATS_CONTEXT",
            "POSTROAD_DIR",
            "POSTROAD_INSTANCE",
        ] {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stdin = child.stdin.take();
        let lines = Lines::of(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            stdin,
            lines: Some(lines),
            revision,
            next: Cell::new(1),
            told: RefCell::default(),
            opened: Value::Null,
        }
    }

    /// Says hello as the revision has it.
    pub fn open(&mut self) {
        if self.revision == NEW {
            self.opened = self.request("server/discover", json!({}));
            return;
        }
        let hello = json!({
            "protocolVersion": self.revision, "capabilities": {},
            "clientInfo": {"name": "by-hand", "version": "1"}
        });
        self.opened = self.request("initialize", hello);
        self.notify("notifications/initialized", json!({}));
    }

    /// Writes one line as it is.
    pub fn write(&self, line: &str) {
        let mut stdin = self.stdin.as_ref().expect("stdin is open");
        stdin
            .write_all(line.as_bytes())
            .and_then(|()| stdin.write_all(b"\n"))
            .expect("stdin takes it");
    }

    /// Sends a request and does not wait; its id.
    pub fn begin(&self, method: &str, mut params: Value) -> i64 {
        let id = self.next.replace(self.next.get() + 1);
        if self.revision == NEW {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!(NEW);
            meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "by-hand", "version": "1"});
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        self.write(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        );
        id
    }

    pub fn notify(&self, method: &str, params: Value) {
        self.write(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    /// The next message of the server.
    #[track_caller]
    pub fn next(&self) -> Value {
        self.lines.as_ref().expect("it has not ended").next_json()
    }

    /// The answer to the request with this id.
    #[track_caller]
    pub fn answer(&self, id: i64) -> Value {
        loop {
            let message = self.next();
            assert_eq!(message["jsonrpc"], "2.0", "{message}");
            if message.get("method").is_some() {
                self.told.borrow_mut().push(message);
            } else {
                assert_eq!(message["id"], id, "{message}");
                return message;
            }
        }
    }

    /// The next notification, or one that came before.
    #[track_caller]
    pub fn notification(&self) -> Value {
        if !self.told.borrow().is_empty() {
            return self.told.borrow_mut().remove(0);
        }
        let message = self.next();
        assert!(message.get("method").is_some(), "{message}");
        message
    }

    /// Asks and waits.
    #[track_caller]
    pub fn request(&self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Calls a tool; its result.
    #[track_caller]
    pub fn result(&self, tool: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", json!({"name": tool, "arguments": arguments}));
        assert!(answer["result"].is_object(), "{tool}: {answer}");
        let result = answer["result"].clone();
        let size = result.to_string().len();
        assert!(size <= 40_200, "{tool} answered {size} bytes");
        assert!(result["content"][0]["text"].is_string(), "{tool}: {result}");
        assert!(result["structuredContent"].is_object(), "{tool}: {result}");
        result
    }

    /// Calls a tool that does what it is asked; the structure and the text.
    #[track_caller]
    pub fn call(&self, tool: &str, arguments: Value) -> (Value, String) {
        let result = self.result(tool, arguments);
        assert_ne!(result["isError"], true, "{tool}: {result}");
        let text = result["content"][0]["text"].as_str().unwrap().to_owned();
        let structured = result["structuredContent"].clone();
        assert!(structured["unread"]["count"].is_u64(), "{tool}: {result}");
        assert!(text.contains("\nUnread: "), "{tool}: {text}");
        (structured, text)
    }

    /// Calls a tool that refuses; the refusal.
    #[track_caller]
    pub fn refusal(&self, tool: &str, arguments: Value) -> Value {
        let result = self.result(tool, arguments);
        assert_eq!(result["isError"], true, "{tool}: {result}");
        let refusal = result["structuredContent"]["error"].clone();
        let text = result["content"][0]["text"].as_str().unwrap();
        let code = refusal["code"].as_str().unwrap();
        assert!(text.starts_with(&format!("{code}: ")), "{text}");
        assert!(text.contains("\nremedy: "), "{text}");
        if let Some(field) = refusal["field"].as_str() {
            assert!(text.contains(&format!("\nfield: {field}")), "{text}");
        }
        refusal
    }

    /// The contents of what is unread.
    #[track_caller]
    pub fn unread(&self) -> Vec<String> {
        let (mail, _) = self.call("check_messages", json!({}));
        let messages = mail["messages"].as_array().unwrap().iter();
        messages
            .map(|message| message["content"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Sends, and says the message's id.
    #[track_caller]
    pub fn send(&self, channel: &str, content: &str) -> String {
        let (sent, _) = self.call(
            "send_message",
            json!({"channel": channel, "content": content}),
        );
        sent["messageId"].as_str().unwrap().to_owned()
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Closes the server's stdin, as a client that ends does; how it ended, how long that took, and what it
    /// still wrote.
    pub fn close(mut self) -> Ended {
        drop(self.stdin.take());
        self.ended()
    }

    /// Asks it to stop as a supervisor does, with the client still there.
    pub fn terminate(mut self) -> Ended {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).expect("the signal is sent");
        let ended = self.ended();
        drop(self.stdin.take());
        ended
    }

    fn ended(&mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                break status;
            }
            assert!(start.elapsed() < DEADLINE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = start.elapsed();
        let mut stderr = String::new();
        let pipe = self.child.stderr.as_mut().expect("stderr is piped");
        pipe.read_to_string(&mut stderr).expect("stderr reads");
        let rest = self.lines.take().map(Lines::rest).unwrap_or_default();
        Ended {
            code: status.code(),
            took,
            rest,
            stderr,
        }
    }
}

impl Drop for Mcp {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a server ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub took: Duration,
    pub rest: Vec<String>,
    pub stderr: String,
}

impl Ended {
    /// In time, in good order, and with nothing but JSON on stdout.
    #[track_caller]
    pub fn expect_prompt(&self) {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(self.took < Duration::from_secs(1), "{self:?}");
        for line in &self.rest {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{self:?}");
        }
        assert_eq!(self.stderr, "");
    }
}
