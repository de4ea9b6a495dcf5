//! The configuration of the supervised nats-server, as text.
//!
//! Owns which of the server's settings Postroad relies on, and why. Never starts the server.

use super::layout::Layout;
use postroad_protocol::limits::MAX_PAYLOAD_BYTES;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// When an acknowledged event is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Durability {
    /// Acknowledged means on disk: it survives power loss.
    PowerSafe,
    /// Acknowledged means handed to the system, which writes it within two minutes: it survives
    /// every crash of Postroad and nats-server, but not power loss. Many times faster when few send.
    Fast,
}

/// Bytes of one log file before the server begins the next.
const LOG_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Log files that are kept.
const LOG_FILES: u32 = 4;
/// Connections at once. Each costs the server some tens of KiB.
const MAX_CONNECTIONS: u32 = 32_768;
/// Bytes that wait for one slow client before it is cut off: a projector's largest batch fits.
const MAX_PENDING_BYTES: u64 = 64 * 1024 * 1024;
/// Longest protocol line. Two subjects of full-length names take some 700 bytes.
const MAX_CONTROL_LINE_BYTES: u32 = 4096;
/// How long one write to a client may take before the client counts as gone.
const WRITE_DEADLINE: &str = "10s";
/// How often a silent client is asked whether it is there; two silences end the connection.
const PING_INTERVAL: &str = "20s";
/// Memory streams have no use here; the server wants a bound all the same.
const MAX_MEMORY_STORE_BYTES: u64 = 64 * 1024 * 1024;

/// How long a client may take to agree on TLS. The server's own default of two seconds is short for a client far
/// away that speaks to a busy machine.
const TLS_TIMEOUT_S: u32 = 10;

/// Where the server finds what it shows over TLS.
#[derive(Debug)]
pub(crate) struct TlsFiles {
    /// The certificate, its intermediates behind it.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

/// What differs from one deployment, or start, to the next.
#[derive(Debug)]
pub(crate) struct ServerConfig<'a> {
    /// Where everything lies.
    pub(crate) layout: &'a Layout,
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// What it shows over TLS. Without it serves in the clear; with it, over TLS alone.
    pub(crate) tls: Option<TlsFiles>,
    /// How the server calls itself; whoever waits for it recognises it by this name.
    pub(crate) server_name: &'a str,
    /// What an acknowledgement promises.
    pub(crate) durability: Durability,
    /// Bytes that the log may take.
    pub(crate) max_file_store_bytes: u64,
    /// The root of trust.
    pub(crate) operator_jwt: &'a str,
    /// Public key of the system account.
    pub(crate) system_account: &'a str,
}

impl ServerConfig<'_> {
    /// The text of `nats-server.conf`.
    pub(crate) fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a string cannot fail.
        let _ = self.write_to(&mut text);
        text
    }

    fn write_to(&self, text: &mut String) -> std::fmt::Result {
        let layout = self.layout;
        writeln!(
            text,
            "# Written by `postroad up` at every start; changes made here are lost."
        )?;
        writeln!(text, "listen: {}", quoted(&self.listen.to_string()))?;
        writeln!(text, "server_name: {}", quoted(self.server_name))?;
        writeln!(text, "pid_file: {}", quoted_path(&layout.nats_pid()))?;
        writeln!(text, "log_file: {}", quoted_path(&layout.nats_log()))?;
        writeln!(text, "logfile_size_limit: {LOG_FILE_BYTES}")?;
        writeln!(text, "logfile_max_num: {LOG_FILES}")?;
        writeln!(text, "max_payload: {MAX_PAYLOAD_BYTES}")?;
        writeln!(text, "max_pending: {MAX_PENDING_BYTES}")?;
        writeln!(text, "max_control_line: {MAX_CONTROL_LINE_BYTES}")?;
        writeln!(text, "max_connections: {MAX_CONNECTIONS}")?;
        writeln!(text, "write_deadline: \"{WRITE_DEADLINE}\"")?;
        writeln!(text, "ping_interval: \"{PING_INTERVAL}\"")?;
        writeln!(text, "ping_max: 2")?;
        if let Some(files) = &self.tls {
            writeln!(text, "tls {{")?;
            writeln!(text, "  cert_file: {}", quoted_path(&files.cert))?;
            writeln!(text, "  key_file: {}", quoted_path(&files.key))?;
            writeln!(text, "  min_version: \"1.2\"")?;
            writeln!(text, "  timeout: {TLS_TIMEOUT_S}")?;
            writeln!(text, "}}")?;
            writeln!(text, "allow_non_tls: false")?;
        }
        writeln!(text, "jetstream {{")?;
        writeln!(
            text,
            "  store_dir: {}",
            quoted_path(&layout.jetstream_dir())
        )?;
        writeln!(text, "  max_file_store: {}", self.max_file_store_bytes)?;
        writeln!(text, "  max_memory_store: {MAX_MEMORY_STORE_BYTES}")?;
        if self.durability == Durability::PowerSafe {
            writeln!(text, "  sync_interval: always")?;
        }
        writeln!(text, "}}")?;
        writeln!(text, "operator: {}", quoted(self.operator_jwt))?;
        writeln!(text, "system_account: {}", quoted(self.system_account))?;
        writeln!(text, "resolver {{")?;
        writeln!(text, "  type: full")?;
        writeln!(text, "  dir: {}", quoted_path(&layout.resolver_dir()))?;
        // An account that somebody could delete would take every connection with it.
        writeln!(text, "  allow_delete: false")?;
        writeln!(text, "  interval: \"2m\"")?;
        writeln!(text, "}}")
    }
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A string as nats-server reads it: a `$`, `#` or brace inside quotes means itself.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_power_safe_server_syncs_every_event() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path()).unwrap();
        let config = |durability| ServerConfig {
            layout: &layout,
            listen: "127.0.0.1:4222".parse().unwrap(),
            tls: None,
            server_name: "postroad",
            durability,
            max_file_store_bytes: 7,
            operator_jwt: "o",
            system_account: "s",
        };
        let power_safe = config(Durability::PowerSafe).render();
        assert!(power_safe.contains("sync_interval: always"));
        assert!(!config(Durability::Fast).render().contains("sync_interval"));
        // A preload would bring revoked users back, see `accounts`.
        assert!(!power_safe.contains("resolver_preload"));
    }

    #[test]
    fn with_a_certificate_nothing_is_served_in_the_clear() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path()).unwrap();
        let config = |tls| ServerConfig {
            layout: &layout,
            listen: "127.0.0.1:4222".parse().unwrap(),
            tls,
            server_name: "postroad",
            durability: Durability::Fast,
            max_file_store_bytes: 7,
            operator_jwt: "o",
            system_account: "s",
        };
        let files = TlsFiles {
            cert: "/a \"cert\".pem".into(),
            key: "/key.pem".into(),
        };
        let text = config(Some(files)).render();
        for line in [
            r#"cert_file: "/a \"cert\".pem""#,
            r#"key_file: "/key.pem""#,
            r#"min_version: "1.2""#,
            "allow_non_tls: false",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!config(None).render().contains("tls"));
    }

    #[test]
    fn quotes_and_backslashes_stay_inside_their_string() {
        assert_eq!(quoted(r#"a"b\c $HOME"#), r#""a\"b\\c $HOME""#);
    }
}
