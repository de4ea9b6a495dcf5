//! The master key from where its operator keeps it: a file, the environment, a systemd credential.

use crate::harness::{Deployment, binary, cli};
use postroad_client::Draft;
use std::path::Path;
use std::process::Command;

fn up(dir: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("--dir").arg(dir);
    command.args(["up", "--listen", "127.0.0.1:0"]);
    command
}

#[tokio::test]
async fn a_key_that_is_kept_elsewhere_opens_the_log_again_and_is_not_kept_in_dir() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("postroad-master-key");
    let key = "5f".repeat(32);
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let path = file.display().to_string();
    let mut deployment = Deployment::start_with(&["--master-key", &path]);
    assert!(!deployment.path().join("keys/master.key").exists());
    let alice = deployment.agent("default", "alice", "a").await;
    let sent = alice.send(&Draft::new("alice", "sealed")).await.unwrap();
    assert_eq!(deployment.stop(), 0);
    deployment.restart();
    let shown = alice.get_message(sent.message_id).await.unwrap();
    assert_eq!(shown.message.content, "sealed");
    // `--as` signs with other keys of DIR.
    deployment
        .run(&["--as", "default/alice/a", "whoami"])
        .expect(0);
    assert_eq!(deployment.stop(), 0);

    let dir = deployment.path();
    let none = cli::run(up(&dir), "").expect(2);
    assert!(none.stderr.contains("no master key"), "{none:?}");
    let other = "60".repeat(32);
    let mut both = up(&dir);
    both.args(["--master-key", &path]);
    let both = cli::run_with(both, "", &[("POSTROAD_MASTER_KEY", &other)]).expect(2);
    assert!(both.stderr.contains("different master keys"), "{both:?}");
    // Another key is told from a damaged log.
    let wrong = cli::run_with(up(&dir), "", &[("POSTROAD_MASTER_KEY", &other)]).expect(1);
    assert!(wrong.stderr.contains("master key"), "{wrong:?}");
    for ran in [&none, &both, &wrong] {
        assert!(!ran.stderr.contains(&key) && !ran.stderr.contains(&other));
    }
}

#[test]
fn what_is_no_key_stops_every_part_before_it_makes_anything() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("d");
    for bad in ["", "zz", &"0".repeat(63)] {
        let ran = cli::run_with(up(&dir), "", &[("POSTROAD_MASTER_KEY", bad)]).expect(2);
        assert!(ran.stderr.contains("holds no master key"), "{ran:?}");
        assert!(ran.stderr.contains("64 hexadecimal digits"), "{ran:?}");
        assert!(!dir.exists());
    }
    std::fs::write(folder.path().join("postroad-master-key"), "zz").unwrap();
    let credentials = folder.path().display().to_string();
    let init = ["init", "--listen", "127.0.0.1:1"];
    cli::run_in(&dir, &init, "").expect(0);
    for part in ["broker", "projector"] {
        let mut command = Command::new(binary());
        command.arg("--dir").arg(&dir).arg(part);
        let variables = [("CREDENTIALS_DIRECTORY", credentials.as_str())];
        let ran = cli::run_with(command, "", &variables).expect(2);
        assert!(ran.stderr.contains("holds no master key"), "{ran:?}");
    }
}
