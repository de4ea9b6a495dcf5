//! The tour that README promises tells a story that holds.

use crate::harness::{binary, cli, nats_server};
use std::process::Command;

#[tokio::test]
async fn the_tour_ends_well() {
    let mut command = Command::new(binary());
    command.arg("tour").arg("--nats-server").arg(nats_server());
    let ran = cli::run(command, "").expect(0);
    assert!(
        ran.stdout.contains("permission_denied"),
        "it shows a refusal across tenants: {ran:?}"
    );
}
