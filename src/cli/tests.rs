//! What can be typed, and what is decided from flags, environment, contexts and DIR.

use super::settings::{Environment, Settings, Speaker};
use super::*;
use base64::Engine as _;
use postroad_client::UserKey;
use std::fs;
use std::path::Path;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn global(line: &str) -> Global {
    parse(&format!("postroad whoami {line}")).unwrap().global
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_explains_itself_with_an_example() {
    fn check(command: &clap::Command) {
        let (name, has_children) = (command.get_name(), command.has_subcommands());
        assert!(command.get_about().is_some(), "{name} has no explanation");
        if !has_children {
            let parts = [command.get_after_help(), command.get_long_about()];
            let help: String = parts
                .into_iter()
                .flatten()
                .map(ToString::to_string)
                .collect();
            assert!(help.contains("postroad "), "{name} has no example");
        }
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{name} {}",
                argument.get_id()
            );
        }
        command
            .get_subcommands()
            .filter(|c| c.get_name() != "help")
            .for_each(check);
    }
    let mut command = Cli::command();
    command.build();
    check(&command);
}

#[test]
fn what_the_issue_lists_can_be_typed() {
    for line in [
        "postroad send bob hi --instance pi --priority urgent --reply-to X --message-id Y --meta a=b --meta c=d",
        "postroad send bob -",
        "postroad send bob --hi",
        "postroad check --limit 5 --cursor C --wait 1m",
        "postroad read R1 R2 --message M1 --message M2",
        "postroad read",
        "postroad watch --ack --json",
        "postroad message status M",
        "postroad message get M --json",
        "postroad message list --sender bob --channel broadcast --since 2h --until now --limit 3 --cursor C",
        "postroad message search words --from bob --to broadcast --since 2h --until now --limit 3 --json",
        "postroad peers --as acme/tau",
        "postroad peers --tenant acme",
        "postroad message list --all-tenants --sender bob",
        "postroad summary text",
        "postroad whoami --creds a.creds --server nats://h:1 --timeout 500ms",
        "postroad tenant create acme",
        "postroad tenant list",
        "postroad tenant show acme",
        "postroad tenant export --tenant acme --out -",
        "postroad tenant import f --tenant acme-two --shard 3",
        "postroad up --master-key file",
        "postroad broker --master-key file",
        "postroad tenant erase --tenant acme --confirm acme",
        "postroad tenant rotate-key --tenant acme --json",
        "postroad tenant suspend acme",
        "postroad tenant suspend --tenant acme --reason invoice",
        "postroad tenant resume --tenant acme",
        "postroad tenant limits --tenant acme",
        "postroad tenant limits --tenant acme --commands-per-s 5 --agent-burst 9 --reset burst --reset stored-bytes",
        "postroad agent issue --tenant acme --role tau --instance pi --scope audit --scope messages --ttl 30d --out f --force",
        "postroad agent list --tenant acme",
        "postroad agent retire --tenant acme --role tau --instance pi",
        "postroad replay --tenant acme --from 5 --to 1h",
        "postroad --json --dir d --context prod status",
        "postroad rebuild",
        "postroad usage",
        "postroad usage --tenant acme --days 7",
        "postroad shard accept-damage --shard 0 --from 1 --to 2",
        "postroad completions zsh",
        "postroad remember text --namespace global --type feedback --tag a --tag b --episode e --occurred-at 2h --expires-at 30d",
        "postroad remember - --updates M --extends M --derives M --derives M --command-id X",
        "postroad remember --shared -5",
        "postroad recall words --namespace project/ --type t --by tau --since 2h --until now --limit 5 --as-of 1d --explain",
        "postroad recall --queries f --limit 20 --json --wait 0s",
        "postroad recall words --as-of-sequence 7 --tenant acme",
        "postroad memory get M --tenant acme --as-of 2h",
        "postroad memory get M --shared",
        "postroad memory list --namespace global --type t --tag a --by tau --limit 5 --cursor C",
        "postroad memory update M text --clear tags --clear expires-at --tag a",
        "postroad memory forget M --shared",
        "postroad import memories - --tenant acme",
        "postroad export memories f --tenant acme --namespace project/x",
        "postroad export memories",
        "postroad task create T --description - --assigned-to tau/mac --priority high --project p --depends-on A --depends-on B --mission M --tag a --tag b --due 2d --note n --command-id X",
        "postroad task create -5",
        "postroad task list --mine --ready --limit 5 --cursor C --json",
        "postroad task list --project p --assigned-to tau --status in_progress,review --mission M --priority urgent",
        "postroad task list --all --tenant acme",
        "postroad task list --open --all-tenants",
        "postroad task get T --tenant acme",
        "postroad task claim T --lease 10m --if-version 3 --command-id X",
        "postroad task release T --note n",
        "postroad task complete T",
        "postroad task block T --reason -r",
        "postroad task fail T --reason r",
        "postroad task cancel T --reason r",
        "postroad task update T --title t --status review --clear due --clear assigned-to --if-version 3",
        "postroad task depend T ON",
        "postroad task add-dependency T ON --json",
        "postroad mission create M --brief - --pilot tau --agent tau --agent phi --project p --priority low --status plan --starts 1d --due 2026-12-01T12:00Z",
        "postroad mission list --project p --status execute --pilot tau --limit 5 --cursor C",
        "postroad mission list --all-tenants",
        "postroad mission get M --limit 5 --tenant acme",
        "postroad mission update M --status validate --clear pilot --if-version 2",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    for line in [
        "postroad send bob",
        "postroad send bob hi --priority now",
        "postroad send bob hi --meta x",
        "postroad send bob hi --instance a.b",
        "postroad check --limit -1",
        "postroad check --wait 5",
        "postroad whoami --timeout 0s",
        "postroad whoami --as acme",
        "postroad whoami --as acme/tau/pi/x",
        "postroad whoami --as acme/broadcast",
        "postroad whoami --as acme/tau --creds a.creds",
        "postroad tenant create _sys",
        "postroad tenant suspend",
        "postroad tenant resume acme --tenant acme",
        "postroad agent issue --tenant acme --role tau --scope all",
        "postroad sing",
        "postroad peers --tenant acme --all-tenants",
        "postroad message list --tenant _all",
        "postroad message search",
        "postroad message search words --tenant acme",
        "postroad usage --days 0",
        "postroad remember",
        "postroad recall",
        "postroad recall words --queries f",
        "postroad recall words --wait 5s",
        "postroad recall words --as-of 1d --as-of-sequence 4",
        "postroad memory update M --clear content",
        "postroad import memories",
        "postroad usage --days 367",
        "postroad task",
        "postroad task create",
        "postroad task create T --priority normal",
        "postroad task create T --assigned-to a/b/c",
        "postroad task create T --due soon",
        "postroad task list --status asleep",
        "postroad task list --status todo --all",
        "postroad task list --open --all",
        "postroad task list --mine --assigned-to tau",
        "postroad task list --mine --tenant acme",
        "postroad task claim",
        "postroad task claim T --lease 0s",
        "postroad task block T",
        "postroad task fail T",
        "postroad task cancel T",
        "postroad task depend T",
        "postroad task update T --status done",
        "postroad task update T --clear title",
        "postroad mission create M --status complete",
        "postroad mission update M --status asleep",
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert_eq!(usage_failure(&error).exit_code(), 2);
    }
}

/// A deployment, credentials and contexts on disk.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let disk = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(disk.path("work/.postroad")).unwrap();
        fs::create_dir_all(disk.path("nats/context")).unwrap();
        disk.creds(
            "work/.postroad/operator.creds",
            &["role:_operator", "instance:local"],
        );
        disk.write(
            "work/.postroad/context.json",
            r#"{"url":"nats://local:1","ca":"ca.pem"}"#,
        );
        disk.creds("agent.creds", &["tenant:acme", "role:file", "instance:pi"]);
        disk.creds("env.creds", &["tenant:acme", "role:env", "instance:pi"]);
        disk.creds(
            "context.creds",
            &["tenant:acme", "role:context", "instance:pi"],
        );
        let creds = disk.path("context.creds");
        let context = serde_json::json!({"url": "nats://context:1", "creds": creds});
        disk.write("nats/context/prod.json", &context.to_string());
        disk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn creds(&self, name: &str, tags: &[&str]) {
        let key = UserKey::generate();
        let claims = serde_json::json!({"sub": key.public_key(), "nats": {"tags": tags}});
        let body = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let creds = key.creds(&format!("e30.{body}.c2ln"));
        self.write(name, &creds);
    }

    fn environment(&self) -> Environment {
        Environment {
            current_dir: self.path("work"),
            nats_config: Some(self.path("nats")),
            ..Environment::default()
        }
    }
}

/// Who would speak, and where.
fn resolved(global: &Global, environment: &Environment) -> (String, String) {
    let settings = Settings::resolve(global, environment).unwrap();
    let who = match settings.speaker {
        Speaker::Agent(agent) => format!("as {}/{}", agent.tenant, agent.role),
        Speaker::Credential { credential, .. } => match credential.holder() {
            postroad_client::Holder::Agent { role, .. } => role.to_string(),
            _ => "operator".to_owned(),
        },
    };
    (who, settings.place.url)
}

fn pair(who: &str, server: &str) -> (String, String) {
    (who.to_owned(), server.to_owned())
}

#[test]
fn a_flag_wins_over_the_environment_a_context_and_the_dir() {
    let disk = Disk::new();
    let mut environment = disk.environment();
    let none = global("");
    assert_eq!(
        resolved(&none, &environment),
        pair("operator", "nats://local:1")
    );

    let named = global("--context prod");
    assert_eq!(
        resolved(&named, &environment),
        pair("context", "nats://context:1")
    );

    environment.creds = Some(disk.path("env.creds"));
    assert_eq!(resolved(&none, &environment).0, "env");
    environment.url = Some("nats://env:1".to_owned());
    assert_eq!(resolved(&none, &environment), pair("env", "nats://env:1"));

    let creds = disk.path("agent.creds");
    let flags = global(&format!(
        "--creds {} --server nats://flag:1",
        creds.display()
    ));
    assert_eq!(
        resolved(&flags, &environment),
        pair("file", "nats://flag:1")
    );

    let named = global("--as acme/tau");
    environment.url = None;
    assert_eq!(
        resolved(&named, &environment),
        pair("as acme/tau", "nats://local:1")
    );
}

#[test]
fn a_credential_goes_to_the_server_that_it_belongs_to() {
    let disk = Disk::new();
    let environment = disk.environment();
    disk.write("nats/context.txt", "prod");
    // A context chosen for other work does not lead the operator's credential elsewhere.
    let dir = global(&format!("--dir {}", disk.path("work/.postroad").display()));
    assert_eq!(
        resolved(&dir, &environment),
        pair("operator", "nats://local:1")
    );
    let settings = Settings::resolve(&dir, &environment).unwrap();
    assert!(
        settings
            .place
            .ca
            .unwrap()
            .ends_with("work/.postroad/ca.pem")
    );

    disk.write("context.json", r#"{"url":"nats://beside:1"}"#);
    let creds = disk.path("agent.creds");
    let file = global(&format!("--creds {}", creds.display()));
    assert_eq!(
        resolved(&file, &environment),
        pair("file", "nats://beside:1")
    );
    let both = global(&format!("--creds {} --context prod", creds.display()));
    assert_eq!(
        resolved(&both, &environment),
        pair("file", "nats://context:1")
    );
}

#[test]
fn a_context_that_was_merely_selected_counts_where_nothing_else_is_at_hand() {
    let disk = Disk::new();
    let here = disk.environment();
    let outside = Environment {
        current_dir: disk.path("nats"),
        ..disk.environment()
    };
    disk.write("nats/context.txt", "prod");
    assert_eq!(
        resolved(&global(""), &here),
        pair("operator", "nats://local:1")
    );
    let creds = disk.path("agent.creds");
    let file = global(&format!("--creds {}", creds.display()));
    assert_eq!(resolved(&file, &here), pair("file", "nats://local:1"));
    if postroad_dir_above(&outside.current_dir) {
        return;
    }
    assert_eq!(
        resolved(&global(""), &outside),
        pair("context", "nats://context:1")
    );
    assert_eq!(resolved(&file, &outside), pair("file", "nats://context:1"));

    // A stale one is in nobody's way who says where to go and as whom.
    disk.write("nats/context.txt", "gone");
    assert!(Settings::resolve(&global(""), &outside).is_err());
    let all = global(&format!(
        "--creds {} --server nats://flag:1",
        creds.display()
    ));
    assert_eq!(resolved(&all, &outside), pair("file", "nats://flag:1"));
    assert_eq!(resolved(&file, &here), pair("file", "nats://local:1"));
}

#[test]
fn where_nothing_is_at_hand_one_is_told_what_to_name() {
    let disk = Disk::new();
    let outside = Environment {
        current_dir: disk.path("nats"),
        ..disk.environment()
    };
    // A real deployment above the temporary directory would be found, and rightly so.
    if postroad_dir_above(&outside.current_dir) {
        return;
    }
    let failure = |line: &str| Settings::resolve(&global(line), &outside).unwrap_err();
    assert_eq!(failure("").exit_code(), 4);
    assert_eq!(failure("--as acme/tau").exit_code(), 2);
    assert_eq!(failure("--context gone").exit_code(), 3);
    assert_eq!(failure("--creds /nowhere/a.creds").exit_code(), 4);
    assert_eq!(failure("--dir /nowhere").exit_code(), 2);
}

fn postroad_dir_above(dir: &Path) -> bool {
    dir.ancestors()
        .any(|above| above.join(".postroad").is_dir())
}

#[test]
fn a_hook_that_cannot_be_read_is_told_from_other_commands() {
    let is_hook = |line: &str| super::is_hook(line.split(' ').map(str::to_owned));
    assert!(is_hook("hook --clent codex"));
    assert!(is_hook("--creds bob.creds --json hook"));
    assert!(!is_hook("send hook --bad"));
    assert!(!is_hook("--bad"));
}
