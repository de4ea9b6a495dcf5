//! What the tour says: headings, words, command lines and what came of them, wrapped for reading.
//! Owns the look; never runs anything.

use std::io::{self, IsTerminal as _, Write as _};

/// Columns that text is wrapped at.
const WIDTH: usize = 88;
/// In front of what a command printed.
const INDENT: &str = "    ";

/// A voice on stdout.
#[derive(Debug)]
pub(crate) struct Voice {
    colours: bool,
    chapters: usize,
    steps: usize,
}

impl Voice {
    /// One that uses colours where somebody sees them.
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colours: wanted && io::stdout().is_terminal(),
            chapters: 0,
            steps: 0,
        }
    }

    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        let title = format!("{}. {title}", self.chapters);
        let line = "-".repeat(title.chars().count());
        tell(&format!("\n{}\n{line}", self.bold(&title)));
    }

    /// Says something.
    #[expect(clippy::unused_self, reason = "a narrator says it, whatever it holds")]
    pub(crate) fn says(&self, text: &str) {
        tell(&format!("\n{}", wrapped(text, WIDTH, "").join("\n")));
    }

    /// Shows a command as somebody would type it.
    pub(crate) fn types(&self, command: &str) {
        // Never broken: it is to be copied as it is.
        tell(&format!("\n{}", self.bold(&format!("  $ {command}"))));
    }

    /// Shows what was printed or answered.
    #[expect(clippy::unused_self, reason = "a narrator says it, whatever it holds")]
    pub(crate) fn shows(&self, output: &str) {
        for line in output.trim_end().lines() {
            for (number, part) in folded(line, WIDTH - INDENT.len()).into_iter().enumerate() {
                let margin = if number == 0 { "" } else { INDENT };
                tell(format!("{INDENT}{margin}{part}").trim_end());
            }
        }
    }

    /// One more thing has turned out as it was told.
    pub(crate) fn confirms(&mut self, claim: &str) {
        self.steps += 1;
        let lines = wrapped(claim, WIDTH - 4, INDENT);
        tell(&format!("  {} {}", self.green("✓"), lines.join("\n")));
    }

    /// How many things have.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    fn green(&self, text: &str) -> String {
        self.styled("32", text)
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Words on lines of at most `width` characters, all but the first behind `indent`. A word that is
/// longer stays whole, so that it can be copied.
fn wrapped(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        let taken = line.chars().count();
        if taken > 0 && taken + 1 + word.chars().count() > width {
            lines.push(format!("{indent}{word}"));
        } else {
            if taken > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A line as it is, in parts of at most `width` characters, or less by the margin of those that
/// follow the first; parted between words where that leaves no part very short.
fn folded(line: &str, width: usize) -> Vec<&str> {
    let (mut parts, mut rest, mut room) = (Vec::new(), line, width);
    while let Some((end, _)) = rest.char_indices().nth(room) {
        let head = &rest[..end];
        let blank = head.rfind(' ').filter(|at| *at > end / 2);
        let end = blank.map_or(end, |at| at + 1);
        parts.push(&rest[..end]);
        rest = &rest[end..];
        room = width - INDENT.len();
    }
    parts.push(rest);
    parts
}

/// Says it on stdout. `println!` would panic where the listener has gone, as `head` does.
fn tell(text: &str) {
    let _nobody_listens = writeln!(io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words_only() {
        let lines = wrapped("one two  three\nfour-is-much-too-long five", 9, "  ");
        assert_eq!(
            lines,
            ["one two", "  three", "  four-is-much-too-long", "  five"]
        );
        assert_eq!(wrapped("", 9, ""), [""]);
    }

    #[test]
    fn output_is_folded_and_loses_nothing() {
        assert_eq!(folded("", 10), [""]);
        assert_eq!(
            folded("one two three four", 10),
            ["one two ", "three ", "four"]
        );
        let long = "é".repeat(30);
        let parts = folded(&long, 10);
        assert_eq!(parts.concat(), long);
        assert!(parts.iter().all(|part| part.chars().count() <= 10));
    }
}
