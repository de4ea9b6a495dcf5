//! Contexts: files that say where a deployment is and with which credential to go there.
//!
//! Owns reading Postroad's own `context.json` and the `nats` CLI's contexts. Never writes either.

use crate::trust::Trust;
use postroad_protocol::{ErrorCode, Refusal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Largest context file that is read, in bytes.
const CONTEXT_MAX_BYTES: u64 = 256 * 1024;

/// How to reach a deployment: Postroad's `context.json`, which lies beside a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// Where its nats-server listens.
    pub url: String,
    /// File of the certificates to trust, in PEM; a relative path is meant from the context's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The certificates to trust themselves, in PEM, so that no other file is needed; they count before `ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// The nats-server's own certificate, in PEM: this one alone is believed, under any name. It counts before
    /// the others, and stands only in the context of a deployment's own DIR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_pem: Option<String>,
    /// What the context of another machine is to say, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Box<Context>>,
}

impl Context {
    /// The file's name.
    pub const FILE: &str = "context.json";

    /// Which nats-server it says to believe.
    pub fn trust(&self) -> Trust {
        match (&self.pin_pem, &self.ca_pem, &self.ca) {
            (Some(pem), _, _) => Trust::Exactly(pem.clone()),
            (None, Some(pem), _) => Trust::Pem(pem.clone()),
            (None, None, Some(path)) => Trust::File(path.clone()),
            (None, None, None) => Trust::System,
        }
    }

    /// Reads the context in the folder `dir`; none when there is no such file.
    ///
    /// # Errors
    /// `invalid_argument` when the file is there and cannot be used.
    pub fn in_dir(dir: &Path) -> Result<Option<Self>, Refusal> {
        let path = dir.join(Self::FILE);
        let Some(mut context) = read_json::<Self>(&path)? else {
            return Ok(None);
        };
        context.ca = context.ca.map(|ca| dir.join(ca));
        Ok(Some(context))
    }

    /// Reads the context beside a credential.
    ///
    /// # Errors
    /// As [`Context::in_dir`].
    pub fn beside(creds: &Path) -> Result<Option<Self>, Refusal> {
        match creds.parent() {
            Some(dir) => Self::in_dir(dir),
            None => Ok(None),
        }
    }
}

/// A context of the `nats` CLI, as far as Postroad uses it; every other key is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsContext {
    /// Its name.
    pub name: String,
    /// Server URLs, separated by commas.
    pub url: Option<String>,
    /// The credential's file.
    pub creds: Option<PathBuf>,
    /// Certificates to trust, in PEM.
    pub ca: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NatsContextFile {
    url: String,
    creds: String,
    ca: String,
    nsc: String,
}

impl NatsContext {
    /// Reads the context `name` below the `nats` CLI's folder, which is `$XDG_CONFIG_HOME/nats`.
    ///
    /// # Errors
    /// `not_found` when there is none of that name, `invalid_argument` when it cannot be used.
    pub fn named(config: &Path, name: &str) -> Result<Self, Refusal> {
        let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
        let path = config.join("context").join(format!("{name}.json"));
        let file = if is_name {
            read_json::<NatsContextFile>(&path)?
        } else {
            None
        };
        let file = file.ok_or_else(|| {
            Refusal::new(
                ErrorCode::NotFound,
                format!("there is no NATS context `{}`", name.escape_debug()),
                "`nats context ls` lists them; or name a server with --server",
            )
            .at("context")
        })?;
        if !file.nsc.is_empty() && file.creds.is_empty() {
            return Err(Refusal::invalid(
                "context",
                format!(
                    "the NATS context `{name}` keeps its credential in nsc, which Postroad does not read"
                ),
                "write it to a file with `nsc generate creds`, and name that file with --creds",
            ));
        }
        let given = |text: String| (!text.is_empty()).then_some(text);
        Ok(Self {
            name: name.to_owned(),
            url: given(file.url),
            creds: given(file.creds).map(|path| at_home(&path)),
            ca: given(file.ca).map(|path| at_home(&path)),
        })
    }

    /// Reads the context that `nats context select` chose; none when none was chosen.
    ///
    /// # Errors
    /// As [`NatsContext::named`].
    pub fn selected(config: &Path) -> Result<Option<Self>, Refusal> {
        let path = config.join("context.txt");
        let name = read_bounded(&path)?.unwrap_or_default();
        match name.trim() {
            "" => Ok(None),
            name => Self::named(config, name).map(Some),
        }
    }

    /// The folder of the `nats` CLI's contexts for this user; none when the system names no home.
    pub fn default_dir() -> Option<PathBuf> {
        let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let config = given("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| given("HOME").map(|home| PathBuf::from(home).join(".config")))?;
        Some(config.join("nats"))
    }
}

/// A leading `~/` stands for the home directory, as in the `nats` CLI.
fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Refusal> {
    let Some(text) = read_bounded(path)? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| unusable(path, &error.to_string()))
}

fn read_bounded(path: &Path) -> Result<Option<String>, Refusal> {
    use std::io::{ErrorKind, Read as _};
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(CONTEXT_MAX_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

fn unusable(path: &Path, cause: &str) -> Refusal {
    Refusal::invalid(
        "context",
        format!("the context {} cannot be used: {cause}", path.display()),
        "mend the file, or name server and credential with --server and --creds",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_context_lies_beside_its_credential() {
        let dir = tempfile::tempdir().unwrap();
        let creds = dir.path().join("operator.creds");
        assert_eq!(Context::beside(&creds).unwrap(), None);
        let text = r#"{"url":"nats://127.0.0.1:4222","ca":"ca.pem","later":1}"#;
        fs::write(dir.path().join(Context::FILE), text).unwrap();
        let context = Context::beside(&creds).unwrap().unwrap();
        assert_eq!(context.url, "nats://127.0.0.1:4222");
        assert_eq!(context.ca, Some(dir.path().join("ca.pem")));
        assert_eq!(context.trust(), Trust::File(dir.path().join("ca.pem")));
        let text =
            r#"{"url":"tls://h:1","ca":"ca.pem","caPem":"C","elsewhere":{"url":"tls://e:1"}}"#;
        fs::write(dir.path().join(Context::FILE), text).unwrap();
        let mut context = Context::beside(&creds).unwrap().unwrap();
        assert_eq!(context.trust(), Trust::Pem("C".to_owned()));
        context.pin_pem = Some("P".to_owned());
        assert_eq!(context.trust(), Trust::Exactly("P".to_owned()));
        assert_eq!(context.elsewhere.unwrap().trust(), Trust::System);
        fs::write(dir.path().join(Context::FILE), "{").unwrap();
        assert_eq!(
            Context::beside(&creds).unwrap_err().field.as_deref(),
            Some("context")
        );
    }

    #[test]
    fn a_nats_context_is_read_and_what_postroad_does_not_know_ignored() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("context")).unwrap();
        assert_eq!(NatsContext::selected(dir.path()).unwrap(), None);
        let text = r#"{"description":"x","url":"nats://a,nats://b","creds":"/k/a.creds","jetstream_domain":""}"#;
        fs::write(dir.path().join("context/prod.json"), text).unwrap();
        fs::write(dir.path().join("context.txt"), "prod\n").unwrap();
        let context = NatsContext::selected(dir.path()).unwrap().unwrap();
        assert_eq!(context.name, "prod");
        assert_eq!(context.url.as_deref(), Some("nats://a,nats://b"));
        assert_eq!(context.creds.as_deref(), Some(Path::new("/k/a.creds")));
        assert_eq!(context.ca, None);
    }

    #[test]
    fn a_context_of_nsc_or_of_no_such_name_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("context")).unwrap();
        fs::write(
            dir.path().join("context/n.json"),
            r#"{"nsc":"nsc://o/a/u"}"#,
        )
        .unwrap();
        let refusal = NatsContext::named(dir.path(), "n").unwrap_err();
        assert!(refusal.remedy.contains("nsc generate creds"));
        for name in ["gone", "../context/n", "", ".."] {
            let refusal = NatsContext::named(dir.path(), name).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::NotFound, "{name}");
        }
    }
}
