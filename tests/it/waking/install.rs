//! `mcp install`: what it enters works where the client finds it.

use super::{Desk, event};
use crate::harness::binary;
use crate::harness::cli::run_with;
use serde_json::Value;
use std::process::Command;

#[tokio::test]
async fn an_installed_client_finds_the_server_and_its_hooks_show_mail() {
    let desk = Desk::set().await;
    let folder = desk.deployment.dir.path().join("my project");
    std::fs::create_dir(&folder).unwrap();
    let home = desk.deployment.dir.path().join("home");
    let variables = [
        ("HOME", home.to_str().unwrap()),
        ("XDG_CONFIG_HOME", ""),
        ("CODEX_HOME", ""),
        ("XDG_STATE_HOME", ""),
    ];
    let install = |more: &[&str]| {
        let mut command = Command::new(binary());
        command
            .current_dir(&folder)
            .arg("--json")
            .arg("--creds")
            .arg(&desk.creds);
        command.args(["mcp", "install"]).args(more);
        run_with(command, "", &variables)
    };
    let printed = install(&["--client", "claude-code", "--print"])
        .expect(0)
        .json();
    assert_eq!(
        printed["files"].as_array().map(Vec::len),
        Some(2),
        "{printed}"
    );
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        0,
        "nothing is written"
    );
    for client in ["claude-code", "codex", "cursor", "vscode"] {
        let first = install(&["--client", client]).expect(0).json();
        assert_eq!(first["files"][0]["outcome"], "written", "{first}");
        let again = install(&["--client", client]).expect(0).json();
        assert_eq!(again["files"][0]["outcome"], "unchanged", "{again}");
    }
    assert!(folder.join(".vscode/mcp.json").exists() && home.join(".codex/config.toml").exists());
    // The hooks as a client runs them: by a shell, from anywhere.
    desk.send("Found you.").await;
    for (hooks, client) in [
        (folder.join(".claude/settings.local.json"), "claude-code"),
        (home.join(".codex/hooks.json"), "codex"),
    ] {
        let hooks: Value = serde_json::from_str(&std::fs::read_to_string(hooks).unwrap()).unwrap();
        let command = hooks["hooks"]["Stop"][0]["hooks"][0]["command"]
            .as_str()
            .unwrap();
        let state = desk
            .deployment
            .dir
            .path()
            .join(format!("state of {client}"));
        let mut shell = Command::new("sh");
        shell
            .current_dir("/")
            .args(["-c", &format!("{command} --server {}", desk.deployment.url)]);
        let variables = [("XDG_STATE_HOME", state.to_str().unwrap())];
        let said = run_with(shell, &event("Stop", "s").to_string(), &variables).expect(0);
        assert!(
            said.json()["reason"]
                .as_str()
                .unwrap()
                .contains("Found you."),
            "{said:?}"
        );
    }
    // No credential, or the operator's, is nothing to start an agent with.
    let operator = desk.deployment.path().join("operator.creds");
    for (creds, code) in [(operator.to_str().unwrap(), 4), ("/nowhere.creds", 4)] {
        let mut command = Command::new(binary());
        command.current_dir(&folder).args(["--creds", creds]);
        command.args(["mcp", "install", "--client", "cursor"]);
        let ran = run_with(command, "", &variables);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
    }
    // A broken file is left alone, and a token is never taken for its variable's name.
    std::fs::write(folder.join(".mcp.json"), "{").unwrap();
    install(&["--client", "claude-code"]).expect(2);
    assert_eq!(
        std::fs::read_to_string(folder.join(".mcp.json")).unwrap(),
        "{"
    );
    install(&[
        "--client",
        "cursor",
        "--url",
        "https://h/mcp",
        "--token-env",
        "ey.x",
    ])
    .expect(2);
}
