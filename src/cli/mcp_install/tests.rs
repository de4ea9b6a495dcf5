//! What stands in each client's files afterwards: new, beside what is there, repeated, and broken.

use super::plan::{Client, Edit, Part, Places, Scope, Wanted, parts};
use super::{address, variable, written};
use clap::ValueEnum as _;
use std::fs;
use std::path::Path;

fn wanted(speaker: &[&str]) -> Wanted {
    Wanted {
        program: "postroad".to_owned(),
        speaker: speaker.iter().map(|word| (*word).to_owned()).collect(),
        http: None,
        hooks: true,
    }
}

fn over_http() -> Wanted {
    Wanted {
        http: Some(("https://h/mcp".to_owned(), "POSTROAD_TOKEN".to_owned())),
        ..wanted(&[])
    }
}

fn places(root: &Path) -> Places {
    Places {
        project: root.join("project"),
        home: Some(root.join("home")),
        codex_home: None,
        config: Some(root.join("home/.config")),
    }
}

fn of(client: Client, scope: Scope, wanted: &Wanted, root: &Path) -> Vec<Part> {
    parts(client, scope, wanted, &places(root)).unwrap()
}

/// The text that a client's first file, or its second, has where it was empty.
fn fresh(client: Client, wanted: &Wanted, file: usize) -> String {
    let parts = of(client, Scope::Project, wanted, Path::new("/"));
    parts[file].edit.apply("").unwrap()
}

#[test]
fn a_new_file_has_the_form_that_its_client_documents() {
    let plain = wanted(&[]);
    let named = wanted(&["--creds", "/home/bob/my agents/bob.creds"]);
    let all = [
        fresh(Client::ClaudeCode, &plain, 0),
        fresh(Client::Cursor, &plain, 0),
        fresh(Client::Vscode, &plain, 0),
        fresh(Client::Codex, &plain, 0),
        fresh(Client::ClaudeCode, &named, 0),
        fresh(Client::Codex, &named, 0),
        fresh(Client::ClaudeCode, &named, 1),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn over_http_a_token_is_named_and_never_written() {
    let all = Client::value_variants().iter();
    let all: Vec<String> = all.map(|client| fresh(*client, &over_http(), 0)).collect();
    insta::assert_snapshot!(all.join("\n"));
    for client in Client::value_variants() {
        let parts = of(*client, Scope::User, &over_http(), Path::new("/"));
        assert_eq!(
            parts.len(),
            1,
            "a hook would find no credential: {client:?}"
        );
    }
    let both = Wanted {
        speaker: vec!["--creds".to_owned(), "/b".to_owned()],
        ..over_http()
    };
    assert_eq!(
        of(Client::Codex, Scope::User, &both, Path::new("/")).len(),
        2
    );
    let token = postroad_protocol::token::Token::generate();
    for bad in ["", "ey.J0", "7X", "A B", "${X}", "pr_x", &token.text()] {
        assert!(variable(bad).is_err(), "{bad}");
    }
    let with_token = format!("https://h/mcp?token={}", token.text().as_str());
    for bad in [
        "",
        "h/mcp",
        "javascript:x",
        "https://user:secret@h/mcp",
        "https://h/\n",
        &with_token,
    ] {
        assert!(address(bad).is_err(), "{bad}");
    }
    for good in ["https://h/mcp", "http://[::1]:8808/mcp"] {
        assert_eq!(address(good).as_deref(), Ok(good));
    }
}

#[test]
fn hooks_are_entered_for_clients_that_have_them_and_not_where_a_project_shares_them() {
    let files = |client, scope| -> Vec<String> {
        let parts = of(client, scope, &wanted(&[]), Path::new("/r"));
        parts
            .iter()
            .map(|part| part.path.display().to_string())
            .collect()
    };
    let expected = [
        (
            Client::ClaudeCode,
            Scope::Project,
            "/r/project/.mcp.json /r/project/.claude/settings.local.json",
        ),
        (
            Client::ClaudeCode,
            Scope::User,
            "/r/home/.claude.json /r/home/.claude/settings.json",
        ),
        (
            Client::Codex,
            Scope::Project,
            "/r/project/.codex/config.toml /r/project/.codex/hooks.json",
        ),
        (
            Client::Codex,
            Scope::User,
            "/r/home/.codex/config.toml /r/home/.codex/hooks.json",
        ),
        (
            Client::Cursor,
            Scope::Project,
            "/r/project/.cursor/mcp.json",
        ),
        (Client::Cursor, Scope::User, "/r/home/.cursor/mcp.json"),
        (
            Client::Vscode,
            Scope::Project,
            "/r/project/.vscode/mcp.json",
        ),
        (
            Client::Vscode,
            Scope::User,
            "/r/home/.config/Code/User/mcp.json",
        ),
    ];
    for (client, scope, paths) in expected {
        assert_eq!(files(client, scope).join(" "), paths);
    }
    let none = Wanted {
        hooks: false,
        ..wanted(&[])
    };
    assert_eq!(
        of(Client::Codex, Scope::User, &none, Path::new("/r")).len(),
        1
    );
    let nowhere = Places {
        home: None,
        config: None,
        ..places(Path::new("/r"))
    };
    for client in Client::value_variants() {
        assert!(
            parts(*client, Scope::User, &wanted(&[]), &nowhere).is_err(),
            "{client:?}"
        );
    }
}

const VSCODE: &str = r#"{
    // Ours, by hand.
    "servers": {
        "other": { "command": "npx", "args": ["-y", "x"], }, // keep
    },
    "inputs": [],
}
"#;

const SETTINGS: &str = r#"{
	"permissions": {"allow": ["Bash(ls)"]},
	"hooks": {
		"Stop": [
			{"hooks": [{"type": "command", "command": "./lint.sh", "timeout": 5}]}
		]
	},
	"model": "opus"
}"#;

const CODEX: &str = r#"# My settings
model = "gpt-5"   # the usual

[mcp_servers.docs]
command = "docs" # theirs

[features]
hooks = true
"#;

/// Lines of `before` that are not in `after`, in their order.
fn lost<'a>(before: &'a str, after: &str) -> Vec<&'a str> {
    let mut rest = after.lines();
    let is_lost = |line: &&str| {
        let mut ahead = rest.clone();
        let is_kept = ahead.any(|kept| kept == *line);
        if is_kept {
            rest = ahead;
        }
        !is_kept
    };
    before.lines().filter(is_lost).collect()
}

#[test]
fn what_stands_in_a_file_stays_and_repeating_changes_nothing() {
    let cases = [
        (Client::Vscode, 0, VSCODE),
        (Client::ClaudeCode, 1, SETTINGS),
        (Client::Codex, 0, CODEX),
    ];
    for (client, file, before) in cases {
        for wanted in [wanted(&[]), wanted(&["--as", "acme/bob"])] {
            let edit = &of(client, Scope::Project, &wanted, Path::new("/"))[file].edit;
            let after = edit.apply(before).unwrap();
            assert!(after.contains("postroad"), "{after}");
            let lost = lost(before, &after);
            // Only where something was put behind the last of a list, a comma may be new.
            assert!(
                lost.len() <= 1 && lost.iter().all(|line| after.contains(line.trim())),
                "{lost:?}\n{after}"
            );
            assert_eq!(edit.apply(&after).unwrap(), after);
        }
    }
    let hooks = &of(
        Client::ClaudeCode,
        Scope::Project,
        &wanted(&[]),
        Path::new("/"),
    )[1]
    .edit;
    let table = &of(Client::Codex, Scope::User, &wanted(&[]), Path::new("/"))[0].edit;
    let changed = [hooks.apply(SETTINGS).unwrap(), table.apply(CODEX).unwrap()];
    insta::assert_snapshot!(changed.join("\n"));
}

#[test]
fn an_entry_of_ours_follows_what_is_wanted_and_keeps_what_was_added() {
    let cases = [
        (
            Client::ClaudeCode,
            "{\"mcpServers\":{\"postroad\":{\"command\":\"old\",\"args\":[],\"env\":{\"X\":\"1\"},\"timeout\":9}}}",
        ),
        (
            Client::Codex,
            "[mcp_servers.postroad]\ncommand = \"old\" # why\nargs = [ ]\nstartup_timeout_sec = 9\n",
        ),
    ];
    for (client, before) in cases {
        let local = &of(client, Scope::Project, &wanted(&[]), Path::new("/"))[0].edit;
        let there = &of(client, Scope::Project, &over_http(), Path::new("/"))[0].edit;
        let after = local.apply(before).unwrap();
        assert!(
            !after.contains("old") && after.contains("\"postroad\""),
            "{after}"
        );
        assert!(
            after.contains('9') && after.contains("NATS_CREDS"),
            "{after}"
        );
        assert_eq!(after.contains("# why"), before.contains("# why"), "{after}");
        let moved = there.apply(&after).unwrap();
        assert!(
            moved.contains("https://h/mcp") && moved.contains("POSTROAD_TOKEN"),
            "{moved}"
        );
        assert!(
            !moved.contains("command") && !moved.contains("NATS_CREDS"),
            "{moved}"
        );
        assert!(moved.contains('9'), "{moved}");
        let back = local.apply(&moved).unwrap();
        assert!(
            !back.contains("https") && back.contains("command"),
            "{back}"
        );
    }
    // A reference to a variable goes with the variable's use; another variable stays.
    let by_variable = &of(Client::Cursor, Scope::User, &wanted(&[]), Path::new("/"))[0].edit;
    let by_file = &of(
        Client::Cursor,
        Scope::User,
        &wanted(&["--creds", "/b"]),
        Path::new("/"),
    )[0]
    .edit;
    let before = by_variable.apply("").unwrap();
    let after = by_file.apply(&before).unwrap();
    assert!(
        !after.contains("NATS_CREDS") && !after.contains("env"),
        "{after}"
    );
    assert_eq!(by_variable.apply(&after).unwrap(), before);
    let own = before.replace("\"NATS_CREDS\"", "\"X\": \"1\", \"NATS_CREDS\"");
    let after = by_file.apply(&own).unwrap();
    assert!(
        !after.contains("NATS_CREDS") && after.contains("\"X\": \"1\""),
        "{after}"
    );
    // A hook that names another credential is changed where it stands.
    let old = &of(
        Client::Codex,
        Scope::User,
        &wanted(&["--creds", "/a"]),
        Path::new("/"),
    )[1]
    .edit;
    let new = &of(
        Client::Codex,
        Scope::User,
        &wanted(&["--creds", "/b"]),
        Path::new("/"),
    )[1]
    .edit;
    let (before, fresh) = (old.apply("").unwrap(), new.apply("").unwrap());
    assert_eq!(new.apply(&before).unwrap(), fresh);
}

#[test]
fn a_broken_file_is_refused_and_every_file_left_alone() {
    let broken = [
        (Client::ClaudeCode, ".mcp.json", "{\"mcpServers\": {"),
        (Client::ClaudeCode, ".mcp.json", "[]"),
        (Client::ClaudeCode, ".mcp.json", "{\"mcpServers\": []}"),
        (
            Client::ClaudeCode,
            ".claude/settings.local.json",
            "{\"hooks\": {\"Stop\": {}}}",
        ),
        (Client::Cursor, ".cursor/mcp.json", "{'a': 1}"),
        (
            Client::Vscode,
            ".vscode/mcp.json",
            "{\"servers\": {} \"x\": 1}",
        ),
        (Client::Codex, ".codex/config.toml", "model = "),
        (Client::Codex, ".codex/config.toml", "mcp_servers = 3"),
        (Client::Codex, ".codex/hooks.json", "nonsense"),
    ];
    for (client, file, text) in broken {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("project").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let parts = of(client, Scope::Project, &wanted(&[]), root.path());
        let failure = written(&parts).err().expect(text);
        assert_eq!(failure.exit_code(), 2, "{text}");
        assert!(
            failure.report(false).unwrap().contains("--print"),
            "{failure:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let others: Vec<_> = parts
            .iter()
            .filter(|part| part.path != path && part.path.exists())
            .collect();
        assert!(others.is_empty(), "{others:?}");
    }
}

#[test]
fn a_file_is_replaced_whole_and_kept_beside_as_it_was() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let root = tempfile::tempdir().unwrap();
    let parts = of(
        Client::ClaudeCode,
        Scope::Project,
        &wanted(&[]),
        root.path(),
    );
    let files = written(&parts).unwrap();
    assert!(
        files
            .iter()
            .all(|file| file.outcome == "written" && file.backup.is_none())
    );
    let again = written(&parts).unwrap();
    assert!(
        again
            .iter()
            .all(|file| file.outcome == "unchanged" && file.backup.is_none())
    );
    // One that is linked to, and closed to others.
    let settings = &parts[1].path;
    let real = root.path().join("dotfiles.json");
    fs::write(&real, SETTINGS).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(settings).unwrap();
    symlink(&real, settings).unwrap();
    let files = written(&parts).unwrap();
    let backup = files[1].backup.as_ref().unwrap();
    assert_eq!(fs::read_to_string(backup).unwrap(), SETTINGS);
    assert!(fs::symlink_metadata(settings).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("postroad hook"));
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let Edit::Hooks(_) = &parts[1].edit else {
        panic!("the hooks' file");
    };
    let left: Vec<_> = fs::read_dir(root.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "project, the file and its backup: {left:?}");
}

#[test]
fn what_is_kept_is_not_written_through_a_link_that_a_project_brings() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    let precious = root.path().join("precious");
    fs::write(&precious, "mine").unwrap();
    let parts = of(Client::Cursor, Scope::Project, &wanted(&[]), root.path());
    let path = &parts[0].path;
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "/* evil */ {}").unwrap();
    symlink(&precious, path.with_extension("json.postroad.bak")).unwrap();
    let files = written(&parts).unwrap();
    let backup = files[0].backup.as_ref().unwrap();
    assert_eq!(fs::read_to_string(backup).unwrap(), "/* evil */ {}");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
}
