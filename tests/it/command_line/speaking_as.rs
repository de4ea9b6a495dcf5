//! `--as tenant/role[/instance]`: on the machine of the deployment, without a file; and README's tour.

use super::{Desk, assert_refused, issue};
use crate::harness::{Deployment, binary, cli};
use serde_json::json;
use std::process::Command;

#[tokio::test]
async fn as_speaks_for_a_role_and_an_instance_of_the_roster() {
    let desk = Desk::set();
    let speak = |name: &str, args: &[&str]| {
        let all = [&["--json", "--as", name][..], args].concat();
        desk.deployment.run(&all)
    };
    let who = speak("default/alice/laptop", &["whoami"]).expect(0).json();
    assert_eq!(
        (&who["tenantId"], &who["role"], &who["instanceId"]),
        (&json!("default"), &json!("alice"), &json!("laptop"))
    );
    speak("default/alice/laptop", &["send", "bob", "as alice"]).expect(0);
    let unread = speak("default/bob/server", &["check"]).expect(0).json();
    assert_eq!(unread["messages"][0]["content"], "as alice");
    assert_eq!(unread["messages"][0]["from"], "alice");
    assert_eq!(unread["messages"][0]["fromInstanceId"], "laptop");
    // Without an instance it is this machine's, the same each time; kept where the deployment is.
    issue(&desk.deployment, "tau", None);
    let first = speak("default/tau", &["whoami"]).expect(0).json();
    let kept = std::fs::read_to_string(desk.deployment.path().join("state/instance")).unwrap();
    assert_eq!(first["instanceId"], kept.trim());
    let second = speak("default/tau", &["whoami"]).expect(0).json();
    assert_eq!(first["instanceId"], second["instanceId"]);
}

#[tokio::test]
async fn as_refuses_who_is_not_on_the_roster_and_names_who_is() {
    let desk = Desk::set();
    let refused = desk
        .deployment
        .run(&["--json", "--as", "default/bbo", "check"]);
    let refusal = assert_refused(refused, 3, "not_found", Some("as"));
    let remedy = refusal["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("alice") && remedy.contains("bob"),
        "{refusal}"
    );
    assert!(
        remedy.contains("agent issue --tenant default --role bbo"),
        "{refusal}"
    );
    // Who is not there got no mail and no place on the roster by being spoken for.
    let sent = desk.alice(&["send", "bbo", "x"]);
    assert_refused(sent, 3, "not_found", Some("channel"));
    let foreign = desk
        .deployment
        .run(&["--json", "--as", "globex/bob", "check"]);
    assert_eq!(foreign.code, 3, "{foreign:?}");
    let malformed = desk
        .deployment
        .run(&["--json", "--as", "default/alice/a/b", "check"]);
    assert_refused(malformed, 2, "invalid_argument", Some("arguments"));
    // Nor does it work without the deployment's keys.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command
        .current_dir(elsewhere.path())
        .args(["--json", "--as", "default/bob", "check"]);
    assert_refused(cli::run(command, ""), 2, "invalid_argument", Some("as"));
}

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The block of commands under a heading of README, without its indentation.
fn block_of_readme(heading: &str) -> Vec<String> {
    let readme = readme();
    let (_, section) = readme.split_once(heading).expect("README has the section");
    let lines = section.lines().skip_while(|line| !line.starts_with("    "));
    lines
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[tokio::test]
async fn the_tour_of_readme_runs_word_for_word() {
    let deployment = Deployment::start();
    let tour = block_of_readme("## A five-minute tour");
    assert!(tour.len() > 12, "{tour:?}");
    let (mut receipt, mut message, mut memory) = (String::new(), String::new(), String::new());
    let (mut task, mut mission) = (String::new(), String::new());
    for line in &tour {
        let Some(arguments) = line.strip_prefix("postroad ") else {
            // The alias makes the words below mean the binary; here that is done by hand.
            assert_eq!(line, "alias postroad=target/release/postroad");
            continue;
        };
        let arguments = arguments
            .replace("RECEIPT", &receipt)
            .replace("MESSAGE", &message)
            .replace("MEMORY", &memory)
            .replace("TASK", &task)
            .replace("MISSION", &mission);
        if arguments.ends_with(" watch") {
            watch_shows(&deployment, &arguments, "for the server only");
            continue;
        }
        let ran = in_shell(&deployment, &arguments).expect(0);
        if arguments.contains("send bob \"Phase 1") {
            message = ran.stdout.split_whitespace().next().unwrap().to_owned();
        } else if receipt.is_empty() && arguments == "--creds bob.creds check" {
            assert!(
                ran.stdout.contains("Nav and Hero sections migrated."),
                "{ran:?}"
            );
            let named = ran
                .stdout
                .split_once("receipt ")
                .expect("it shows a receipt")
                .1;
            receipt = named.split_whitespace().next().unwrap().to_owned();
            // Any letter of its alphabet may begin a receipt; a hyphen must not look like an option.
            if receipt.starts_with('-') {
                receipt.insert_str(0, "-- ");
            }
        } else if arguments.contains("alice.creds remember ") {
            memory = ran.stdout.split_whitespace().next().unwrap().to_owned();
        } else if arguments.contains("mission create ") {
            mission = ran.stdout.split_whitespace().next().unwrap().to_owned();
        } else if arguments.contains("task create \"Migrate") {
            task = ran.stdout.split_whitespace().next().unwrap().to_owned();
        } else if arguments.contains("mission get") {
            assert!(ran.stdout.contains("Migrate the nav"), "{ran:?}");
        } else if arguments.contains("import memories") {
            assert!(ran.stdout.contains("imported 1 memory"), "{ran:?}");
        } else if arguments.contains("message status") {
            assert!(ran.stdout.contains("delivered to 1, read by 1"), "{ran:?}");
        } else if arguments == "--creds globex-bob.creds check" {
            assert!(
                ran.stderr.contains("no unread messages"),
                "another world: {ran:?}"
            );
        } else if arguments == "replay --tenant default" {
            assert!(ran.stdout.contains("message_sent"), "{ran:?}");
        }
    }
}

/// Runs the rest of a line after `postroad` in a shell, in the directory where `up` runs.
fn in_shell(deployment: &Deployment, arguments: &str) -> cli::Ran {
    let mut shell = Command::new("sh");
    shell.current_dir(deployment.dir.path());
    shell.args(["-c", &format!("exec {} {arguments}", binary())]);
    cli::run(shell, "")
}

fn watch_shows(deployment: &Deployment, arguments: &str, content: &str) {
    use crate::harness::process::{Lines, Process};
    let mut shell = Command::new("sh");
    shell.current_dir(deployment.dir.path());
    shell.args(["-c", &format!("exec {} {arguments}", binary())]);
    let (watch, stdout) = Process::start(shell);
    Lines::of(stdout).until(content);
    assert_eq!(watch.interrupt(), 0);
}
