//! The official conformance suite, every scenario of it for servers, against `up --http`. What cannot pass stands in
//! `tests/mcp/conformance/REVISION.yaml`, check by check and each with its reason; the suite ends with an error when
//! anything else fails, and when any of that passes.

use super::kit::Kit;
use super::relay::Relay;
use super::stage::{Stage, Transport, Way};
use std::path::{Path, PathBuf};

#[test]
fn the_conformance_suite_finds_only_what_is_expected_of_2025_11_25() {
    conforms("2025-11-25");
}

#[test]
fn the_conformance_suite_finds_only_what_is_expected_of_2026_07_28() {
    conforms("2026-07-28");
}

fn conforms(revision: &str) {
    let Some(mut suite) = Kit::prepared().conformance() else {
        return;
    };
    let expected = expected(revision);
    let relay = Relay::bind();
    let origin = format!("http://{}", relay.address());
    // The suite makes sure that a page of the server's own is let in; nobody's is unless it is named.
    let stage = Stage::set_with(Transport::Http, &["--allow-origin", &origin]);
    let Way::Endpoint { token, .. } = stage.issue("acme", "alice", &[]) else {
        panic!("over HTTP an agent has a token");
    };
    let (server, path) = stage.address();
    relay.carry_to(server, &token);
    let results = tempfile::tempdir().expect("a temporary folder");
    suite
        .args(["server", "--suite", "all", "--spec-version", revision])
        .args(["--url", &format!("{origin}{path}")])
        .arg("--expected-failures")
        .arg(&expected)
        .arg("--output-dir")
        .arg(results.path());
    let output = suite.output().expect("the suite runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let summary = said
        .split_once("=== SUMMARY ===")
        .map_or("", |(_, summary)| summary);
    println!("{summary}");
    // Without it a suite that found no scenario would do.
    assert!(summary.contains("✓ tools-list"), "{said}");
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
}

#[test]
fn each_expected_failure_has_its_reason() {
    for revision in ["2025-11-25", "2026-07-28"] {
        let text = std::fs::read_to_string(expected(revision)).expect("the file is there");
        let mut entries = 0;
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("- "))
        {
            let (entry, reason) = line.split_once(" # ").unwrap_or((line, ""));
            assert!(
                reason.split_whitespace().count() > 2,
                "{revision}: no reason for {entry}"
            );
            // A whole scenario would hide what fails in it later.
            assert!(entry.contains(':'), "{revision}: {entry} names no check");
            entries += 1;
        }
        assert!(entries > 0, "{revision}: no entry was found");
    }
}

fn expected(revision: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp/conformance");
    folder.join(format!("{revision}.yaml"))
}
