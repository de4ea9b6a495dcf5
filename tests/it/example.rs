//! The client crate's front page runs as it stands there.

use crate::harness::{Deployment, binary, cli};
use std::path::Path;
use std::process::Command;

#[tokio::test]
async fn the_front_page_of_the_client_crate_runs_on_a_real_deployment() {
    let deployment = Deployment::start();
    let creds = |role: &str| deployment.dir.path().join(format!("{role}.creds"));
    for role in ["alice", "bob"] {
        let text = deployment.creds("default", role, Some("here")).await;
        std::fs::write(creds(role), text).unwrap();
    }
    // Cargo builds a workspace's examples beside its binaries, for every test run.
    let example = Path::new(binary())
        .parent()
        .unwrap()
        .join("examples/two_agents");
    assert!(
        example.exists(),
        "cargo did not build {}",
        example.display()
    );
    let mut command = Command::new(example);
    command
        .env("ALICE_CREDS", creds("alice"))
        .env("BOB_CREDS", creds("bob"));
    // `cli::run` clears the environment's own NATS_URL; this one goes in by another door.
    let url = deployment.url.clone();
    let ran = cli::run_with(command, "", &[("NATS_URL", &url)]).expect(0);
    assert!(
        ran.stdout
            .contains("bob reads from alice: Nav and Hero are migrated."),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("read by 1 of 1"), "{ran:?}");
}
