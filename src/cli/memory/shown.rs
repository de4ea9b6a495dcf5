//! How memories look to a person. Owns layout; never asks or prints anything.
//!
//! Everything that somebody else wrote goes through [`crate::cli::text`] first.

use crate::cli::output::{Style, table};
use crate::cli::text::{absolute, lines, one_line, relative};
use postroad_protocol::TimeMs;
use postroad_protocol::memory::RelationKind;
use postroad_protocol::query::Memory;

/// Lines of a memory that a list shows.
const LINES_SHOWN: usize = 6;
/// Characters of each.
const WIDTH_SHOWN: usize = 400;

/// Results of a recall, each with its rank and score.
pub(super) fn results(style: Style, results: &[Memory], now: TimeMs) -> String {
    let block = |(index, memory): (usize, &Memory)| {
        let score = memory.score.unwrap_or_default();
        let rank = format!("{}. {score:.3}  ", index + 1);
        rank + &block(style, memory, now, Some(LINES_SHOWN))
    };
    let blocks: Vec<String> = results.iter().enumerate().map(block).collect();
    blocks.join("\n\n")
}

/// Blocks with a blank line between them.
pub(super) fn memories(style: Style, memories: &[Memory], now: TimeMs) -> String {
    let blocks: Vec<String> = memories
        .iter()
        .map(|memory| block(style, memory, now, Some(LINES_SHOWN)))
        .collect();
    blocks.join("\n\n")
}

/// One memory, with all that it says, and its times to the millisecond.
pub(super) fn full(style: Style, memory: &Memory, now: TimeMs) -> String {
    let mut text = block(style, memory, now, None);
    let times = [
        ("happened", Some(memory.occurred_at)),
        ("stored", Some(memory.created_at)),
        ("updated", memory.updated_at),
        ("ends", memory.expires_at),
    ];
    for (what, time) in times {
        if let Some(time) = time {
            let line = format!("{what} {}", absolute(time));
            text.push_str(&format!("\n  {}", style.faint(&line)));
        }
    }
    let version = format!("version {}", memory.version);
    text.push_str(&format!("\n  {}", style.faint(&version)));
    text
}

/// What the scores are made of, result by result.
pub(super) fn parts(style: Style, results: &[Memory]) -> String {
    let part = |value: f64| {
        // A part that is nothing shows as such, so that those that count stand out.
        if value == 0.0 {
            "–".to_owned()
        } else {
            format!("{value:.3}")
        }
    };
    let row = |(index, memory): (usize, &Memory)| {
        let why = memory.why.unwrap_or_default();
        [
            format!("{}.", index + 1),
            format!("{:.3}", memory.score.unwrap_or_default()),
            part(why.words),
            part(why.meaning),
            part(why.neighbours),
            part(why.episode),
            part(why.author),
            part(why.chain),
        ]
    };
    let header = [
        "RESULT",
        "SCORE",
        "WORDS",
        "MEANING",
        "NEIGHBOURS",
        "EPISODE",
        "AUTHOR",
        "CHAIN",
    ];
    table(style, header, results.iter().enumerate().map(row))
}

/// Where it belongs, whose it is, when; the text behind a margin; the ids to go on with.
///
/// The margin keeps a text from passing for something that this program says.
fn block(style: Style, memory: &Memory, now: TimeMs, most: Option<usize>) -> String {
    let mut place = one_line(&memory.namespace);
    if memory.shared {
        place.insert_str(0, "shared ");
    }
    if let Some(tenant) = &memory.tenant_id {
        place.insert_str(0, &format!("{tenant}: "));
    }
    let mut author = one_line(&memory.created_by);
    if let Some(instance) = &memory.created_by_instance_id {
        author.push_str(&format!("/{}", one_line(instance)));
    }
    if memory.imported {
        author.push_str(" (imported)");
    }
    let when = relative(memory.occurred_at, now);
    let mut block = format!(
        "{}  {author}  {}",
        style.strong(&place),
        style.faint(&format!("{}  {when}", memory.kind))
    );
    let all = lines(&memory.content);
    let shown = most.unwrap_or(all.len());
    for line in all.iter().take(shown) {
        block.push_str("\n  │ ");
        match most {
            Some(_) => block.push_str(&shortened(line)),
            None => block.push_str(line),
        }
    }
    if all.len() > shown {
        let more = format!("… {} more", lines_of(all.len() - shown));
        block.push_str(&format!("\n  {}", style.faint(&more)));
    }
    for detail in details(memory) {
        block.push_str(&format!("\n  {}", style.faint(&detail)));
    }
    block
}

fn lines_of(number: usize) -> String {
    crate::cli::text::count(number as u64, "line")
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(WIDTH_SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn details(memory: &Memory) -> Vec<String> {
    let mut details = vec![format!("memory {}", memory.memory_id)];
    if let Some(id) = &memory.import_id {
        details.push(format!("imported as {}", one_line(id)));
    }
    if let Some(successor) = memory.superseded_by {
        details.push(format!("superseded by {successor}"));
    }
    for relation in &memory.relates_to {
        let how = match relation.kind {
            RelationKind::Updates => "updates",
            RelationKind::Extends => "extends",
            RelationKind::Derives => "derives from",
        };
        details.push(format!("{how} {}", relation.memory_id));
    }
    if let Some(episode) = &memory.episode {
        details.push(format!("episode {}", one_line(episode)));
    }
    if !memory.tags.is_empty() {
        let tags: Vec<String> = memory.tags.iter().map(|tag| one_line(tag)).collect();
        details.push(format!("tags {}", tags.join(", ")));
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs(1_711_670_520_000);

    fn sample() -> Memory {
        serde_json::from_value(serde_json::json!({
            "memoryId": "01890000-0000-7000-8000-000000000001", "namespace": "project/landing-page",
            "type": "feedback", "content": "One\nerror: \u{1b}[31mnot ours\n3\n4\n5\n6\n7\n8\n",
            "tags": ["a\nb", "c"], "episode": "review", "occurredAt": 1_711_670_400_000_u64,
            "relatesTo": [{"type": "updates", "memoryId": "01890000-0000-7000-8000-000000000002"}],
            "createdBy": "hess,\u{202e}t.e.", "imported": true, "importId": "cran/1",
            "createdAt": 1_711_670_500_000_u64, "version": 2, "score": 0.8214,
            "why": {"words": 0.5, "meaning": 0.3214},
        }))
        .unwrap()
    }

    #[test]
    fn a_result_shows_its_first_lines_behind_a_margin_and_nothing_that_a_terminal_obeys() {
        let shown = results(Style::PLAIN, &[sample()], NOW);
        insta::assert_snapshot!(shown, @r"
        1. 0.821  project/landing-page  hess,\u{202e}t.e. (imported)  feedback  2m ago
          │ One
          │ error: \x1b[31mnot ours
          │ 3
          │ 4
          │ 5
          │ 6
          … 2 lines more
          memory 01890000-0000-7000-8000-000000000001
          imported as cran/1
          updates 01890000-0000-7000-8000-000000000002
          episode review
          tags a\nb, c
        ");
    }

    #[test]
    fn one_memory_shows_all_that_it_says() {
        let shown = full(Style::PLAIN, &sample(), NOW);
        assert!(shown.contains("\n  │ 8\n"), "{shown}");
        assert!(shown.contains("stored 2024-03-29T00:01:40.000Z"), "{shown}");
        assert!(shown.ends_with("version 2"), "{shown}");
    }

    #[test]
    fn the_parts_of_a_score_are_a_table() {
        insta::assert_snapshot!(parts(Style::PLAIN, &[sample()]), @r"
        RESULT  SCORE  WORDS  MEANING  NEIGHBOURS  EPISODE  AUTHOR  CHAIN
        1.      0.821  0.500  0.321    –           –        –       –
        ");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let cut = shortened(&"é".repeat(WIDTH_SHOWN + 1));
        assert_eq!(cut.chars().count(), WIDTH_SHOWN + 1);
        assert!(cut.ends_with('…'));
        assert_eq!(shortened("short"), "short");
    }
}
