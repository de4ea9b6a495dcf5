//! What is no plain word: identifiers, paths, versions, error codes, hyphenated words. Each is indexed by its parts and
//! unsplit, so that it is found however much of it a query says.

use unicode_segmentation::UnicodeSegmentation;

use super::{Sink, Sort, has_letters_and_digits, strip_possessive};

/// Parts of fewer characters say nothing by themselves.
const MIN_PART_CHARS: usize = 2;
/// A run of digits is split off only from a word: `sha256` has parts, `e0382` has none.
const MIN_LETTERS_BEFORE_DIGITS: usize = 3;

/// All terms of a run of text without white space that begins and ends with a letter or digit.
pub(super) fn each_term(core: &str, sink: &mut Sink) {
    let path = is_path(core);
    if path {
        sink.identifiers += 1;
        sink.whole(&core.replace('\\', "/").to_lowercase(), Sort::Code);
    }
    if !path && is_kebab(core) {
        let whole = letters_and_digits(core);
        // Prose is full of hyphens; a digit among them is a code's.
        let sort = if has_letters_and_digits(&whole) {
            Sort::Code
        } else {
            Sort::Word
        };
        sink.whole(&whole, sort);
    }
    for word in core.unicode_words() {
        // Unicode takes `key:value` for one word, as some languages do.
        for word in word.split(':') {
            one_word(strip_possessive(word), sink);
        }
    }
}

fn one_word(word: &str, sink: &mut Sink) {
    if word.is_empty() {
        return;
    }
    let lower = word.to_lowercase();
    if lower.contains('\'') {
        // Contractions are written in many ways; the list of stop words knows them without the sign.
        sink.word(&lower.replace('\'', ""));
        return;
    }
    if word.chars().all(|c| c.is_ascii_digit() || c == '.') && word.contains('.') {
        // Two dots make a version; one may be a measure's.
        let sort = if lower.matches('.').count() > 1 {
            Sort::Code
        } else {
            Sort::Word
        };
        number(&lower, sort, sink);
        return;
    }
    if let Some(version) = lower
        .strip_prefix('v')
        .filter(|rest| is_dotted_number(rest))
    {
        number(version, Sort::Code, sink);
        return;
    }
    let parts = parts(word);
    if parts.len() < 2 {
        sink.word(word);
        return;
    }
    // Nothing but single letters is an abbreviation: `i.e`, `U.S`.
    let is_code = parts.iter().any(|part| is_long(part));
    let is_identifier =
        word.contains(['_', '.']) || parts.iter().skip(1).any(|part| starts_upper(part));
    sink.identifiers += u32::from(is_code && is_identifier);
    let sort = if is_code { Sort::Code } else { Sort::Word };
    // A name with dots keeps them: `main.rs` is not `mainrs`.
    if word.contains('.') {
        sink.whole(&lower, sort);
    } else {
        sink.whole(&letters_and_digits(word), sort);
    }
    for part in parts {
        if is_long(part) {
            sink.word(part);
        }
    }
}

/// A number with dots, and a version's first two places: `0.27` finds `0.27.1`.
fn number(dotted: &str, sort: Sort, sink: &mut Sink) {
    sink.number(dotted, sort);
    let mut dots = dotted.match_indices('.').map(|(at, _)| at);
    if let (Some(_), Some(second)) = (dots.next(), dots.next()) {
        sink.whole(&dotted[..second], Sort::Word);
    }
}

fn is_dotted_number(text: &str) -> bool {
    text.contains('.')
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn is_path(core: &str) -> bool {
    core.contains(['/', '\\']) || core.contains("::")
}

fn is_kebab(core: &str) -> bool {
    core.contains('-')
        && core
            .chars()
            .all(|c| c.is_alphanumeric() || c == '-' || c == '_')
}

fn letters_and_digits(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn is_long(part: &str) -> bool {
    part.chars().count() >= MIN_PART_CHARS
}

fn starts_upper(part: &str) -> bool {
    part.starts_with(char::is_uppercase)
}

/// Splits at signs, where case rises, before the last capital of an acronym, and between a word and the digits behind it.
fn parts(word: &str) -> Vec<&str> {
    let chars: Vec<(usize, char)> = word.char_indices().collect();
    let mut parts = Vec::new();
    let mut start: Option<usize> = None;
    let mut letters = 0;
    for (index, &(at, c)) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            if let Some(from) = start.take() {
                parts.push(&word[from..at]);
            }
            letters = 0;
            continue;
        }
        let Some(from) = start else {
            start = Some(at);
            letters = usize::from(c.is_alphabetic());
            continue;
        };
        let before = chars[index - 1].1;
        let next_is_lower = chars
            .get(index + 1)
            .is_some_and(|(_, next)| next.is_lowercase());
        let rises =
            c.is_uppercase() && (before.is_lowercase() || (before.is_uppercase() && next_is_lower));
        let to_digits =
            c.is_numeric() && before.is_alphabetic() && letters >= MIN_LETTERS_BEFORE_DIGITS;
        if rises || to_digits {
            parts.push(&word[from..at]);
            start = Some(at);
            letters = 0;
        }
        letters += usize::from(c.is_alphabetic());
    }
    if let Some(from) = start {
        parts.push(&word[from..]);
    }
    parts
}
