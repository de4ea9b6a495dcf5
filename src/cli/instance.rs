//! The instance that this machine is where a credential names none: always the same one.
//!
//! Owns the default and where it is kept. Never makes up anything at random: receipts are kept under
//! an instance, so a new name would be a new reader with the whole of its role's unread mail.

use super::settings::Environment;
use crate::deployment::layout::{create_private, make_private_dir};
use postroad_protocol::limits::NAME_MAX_CHARS;
use postroad_protocol::{InstanceId, Refusal};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a machine has no usable name.
const NAMELESS: &str = "local";

/// What `POSTROAD_INSTANCE` says, else what was kept, else the first label of the host's name.
/// `state` is the folder to keep it in.
pub(crate) fn default_instance(
    environment: &Environment,
    state: Option<&Path>,
) -> Result<InstanceId, Refusal> {
    if let Some(name) = &environment.instance {
        return InstanceId::parse(name).map_err(|error| error.at("instance"));
    }
    let file = state.map(|state| state.join("instance"));
    if let Some(kept) = file.as_deref().and_then(kept) {
        return Ok(kept);
    }
    let instance = slug(&host_name());
    if let Some(file) = file {
        // Where it cannot be kept, the host's name gives the same again.
        let _ = keep(&file, &instance);
    }
    Ok(instance)
}

/// The folder for what a user's programs keep between runs.
pub(crate) fn user_state() -> Option<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = given("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| given("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(state.join("postroad"))
}

fn kept(file: &Path) -> Option<InstanceId> {
    InstanceId::parse(fs::read_to_string(file).ok()?.trim()).ok()
}

fn keep(file: &Path, instance: &InstanceId) -> std::io::Result<()> {
    if let Some(dir) = file.parent() {
        make_private_dir(dir)?;
    }
    create_private(file, format!("{instance}\n").as_bytes())
}

/// The host's name as the system tells it; empty where it tells none.
pub(crate) fn host_name() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/hostname");
    let name = kernel.ok().filter(|name| !name.trim().is_empty());
    name.unwrap_or_else(|| {
        let uname = std::process::Command::new("uname").arg("-n").output();
        uname
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    })
}

/// The first label of a host's name, in the alphabet of instances.
fn slug(host: &str) -> InstanceId {
    let label = host.trim().split('.').next().unwrap_or_default();
    let slugged: String = label
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| {
            if matches!(c, 'a'..='z' | '0'..='9' | '_') {
                c
            } else {
                '-'
            }
        })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(NAME_MAX_CHARS)
        .collect();
    InstanceId::parse(slugged.trim_end_matches('-'))
        .or_else(|_| InstanceId::parse(NAMELESS))
        .expect("the fallback is a well-formed name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_name_becomes_a_name() {
        let cases = [
            ("pi-chromebook\n", "pi-chromebook"),
            ("Tau-Main.example.org", "tau-main"),
            ("_Anna's Büro_", "anna-s-b-ro_"),
            ("", "local"),
            ("...", "local"),
            ("---", "local"),
        ];
        for (host, name) in cases {
            assert_eq!(slug(host).as_str(), name, "{host:?}");
        }
        assert_eq!(slug(&"x".repeat(300)).as_str().len(), NAME_MAX_CHARS);
    }

    #[test]
    fn it_stays_the_same_however_the_host_is_called_later() {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join("state");
        let environment = Environment::default();
        let first = default_instance(&environment, Some(&dir)).unwrap();
        assert_eq!(first, slug(&host_name()));
        fs::write(dir.join("instance"), "tau-main\n").unwrap();
        let later = default_instance(&environment, Some(&dir)).unwrap();
        assert_eq!(later.as_str(), "tau-main");
    }

    #[test]
    fn the_environment_decides_before_what_was_kept() {
        let named = |name: &str| Environment {
            instance: Some(name.to_owned()),
            ..Environment::default()
        };
        let instance = default_instance(&named("Desk"), None).unwrap();
        assert_eq!(instance.as_str(), "desk");
        let refusal = default_instance(&named("a b"), None).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("instance"));
    }
}
