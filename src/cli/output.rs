//! What a command prints: one JSON document, or something tidy for a person. Data goes to stdout;
//! everything else to stderr. Owns style and stdout; never decides what is shown.

use super::failure::Failure;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};

/// How this process prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    style: Style,
}

impl Output {
    /// Prints for programs (`json`), or for a person at the terminal that stdout may be.
    pub(crate) fn new(json: bool) -> Self {
        // https://no-color.org: set and not empty, whatever its value.
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = !json && !no_color && io::stdout().is_terminal();
        Self {
            json,
            style: Style { color },
        }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints an answer: as it is for programs, or as `human` writes it.
    pub(crate) fn show(
        self,
        answer: &impl Serialize,
        human: impl FnOnce(Style) -> String,
    ) -> Result<(), Failure> {
        let text = if self.json {
            serde_json::to_string(answer).map_err(io::Error::other)?
        } else {
            human(self.style)
        };
        print(&text)
    }

    /// Says something beside the data to a person; programs are told nothing but data and errors.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            say(text);
        }
    }
}

/// Says something on stderr. `eprintln!` would panic where its reader has gone, as `2>&1 | tee` has
/// after a ctrl-c, and what a command still has to finish matters more than its words.
pub(crate) fn say(text: &str) {
    let _nobody_hears = writeln!(io::stderr(), "{text}");
}

/// Writes lines to stdout. `println!` would panic where the reader has gone.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    Ok(stdout.flush()?)
}

/// Colours, where there is somebody to see them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    color: bool,
}

impl Style {
    /// Without colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { color: false };

    /// For what matters most in a block.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// For what is there when one needs it.
    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// For what wants attention.
    pub(crate) fn alarm(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            return format!("\u{1b}[{code}m{text}\u{1b}[0m");
        }
        text.to_owned()
    }
}

/// A table without lines; nothing but its header when it has no rows.
pub(crate) fn table<const N: usize>(
    style: Style,
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    let mut lines = text
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    // The header is painted afterwards, so that invisible characters count in no column's width.
    let mut tidy = lines
        .next()
        .map(|line| style.strong(line))
        .unwrap_or_default();
    for line in lines {
        tidy.push('\n');
        tidy.push_str(line);
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_carries_no_lines() {
        let rows = [
            ["tau".to_owned(), "yes".to_owned()],
            ["phi-2".to_owned(), String::new()],
        ];
        let shown = table(Style::PLAIN, ["ROLE", "ONLINE"], rows);
        assert_eq!(shown, "ROLE   ONLINE\ntau    yes\nphi-2");
    }

    #[test]
    fn colours_appear_only_where_they_are_seen() {
        assert_eq!(Style::PLAIN.strong("x"), "x");
        assert_eq!(Style { color: true }.strong("x"), "\u{1b}[1mx\u{1b}[0m");
        assert_eq!(Style { color: true }.faint(""), "");
    }
}
