//! `subjects.md` says what the code does: its tables are rendered from the catalogue.
//!
//! `POSTROAD_WRITE_DOCS=1 cargo test -p postroad-protocol --test subjects_md` renders them anew.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by panicking"
)]

use postroad_protocol::event::Event;
use postroad_protocol::{catalogue, walls};
use std::path::PathBuf;

fn between<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("<!-- {name} -->\n"))
        .expect("the opening marker");
    rest.split_once(&format!("<!-- /{name} -->"))
        .expect("the closing marker")
        .0
}

#[test]
fn subjects_md_shows_the_catalogue() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../subjects.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    let tables = [
        ("verbs", catalogue::verbs_markdown()),
        ("permissions", catalogue::permissions_markdown("postroad")),
        ("walls", walls::markdown("postroad")),
    ];
    if std::env::var_os("POSTROAD_WRITE_DOCS").is_some() {
        for (name, table) in &tables {
            let old = format!("<!-- {name} -->\n{}<!-- /{name} -->", between(&page, name));
            page = page.replace(&old, &format!("<!-- {name} -->\n{table}<!-- /{name} -->"));
        }
        std::fs::write(&path, &page).unwrap();
    }
    for (name, table) in &tables {
        assert_eq!(
            between(&page, name),
            table,
            "the table of {name} in subjects.md is out of date"
        );
    }
    for (event, version) in Event::TYPES {
        let rows = page.lines().filter(|line| {
            line.contains(&format!("`{event}`")) && line.contains(&format!("| {version} |"))
        });
        assert_eq!(
            rows.count(),
            1,
            "subjects.md needs one row for {event} version {version}"
        );
    }
}
