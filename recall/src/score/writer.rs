//! Whom a query names: where it names exactly one writer of the field, that writer's memories come first.

use crate::facts::Tag;
use crate::score::field::Field;

/// The longest name looked for, in words.
const MAX_NAME_WORDS: usize = 4;
/// How much of a query is looked through for names, in words.
const MAX_WORDS: usize = 64;

/// The one writer whom `words` name. Of names within names the longest counts; two writers are none.
pub(crate) fn named_writer(field: &Field<'_>, words: &[String]) -> Option<Tag> {
    let words = &words[..words.len().min(MAX_WORDS)];
    let mut runs = Vec::new();
    for length in (1..=MAX_NAME_WORDS.min(words.len())).rev() {
        runs.extend(
            words
                .windows(length)
                .enumerate()
                .map(|(start, run)| (Tag::of_words(run), start, length)),
        );
    }
    let mut named = None;
    let mut taken = vec![false; words.len()];
    for (tag, start, length) in runs {
        let words = &mut taken[start..start + length];
        if words.contains(&true) || !field.has_writer(tag) {
            continue;
        }
        words.fill(true);
        if named.is_some_and(|other| other != tag) {
            return None;
        }
        named = Some(tag);
    }
    named
}
