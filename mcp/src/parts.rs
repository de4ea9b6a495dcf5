//! Contents as much as one answer holds, and where their rest begins. Owns the cuts, and the words that tell of them.

use crate::answer::{ROWS_MAX_BYTES, fitting, json_len, json_len_of};
use postroad_protocol::Refusal;

/// What is kept free beside a content that may be cut, for the words and numbers that say so.
const CUT_WORDS_BYTES: usize = 300;
/// What a content takes at least, in bytes of the answer, before a row is left out for it.
const CONTENT_LEAST_BYTES: usize = 1_000;
/// What stands before a row in a text: its number, and the lines between.
const NUMBER_BYTES: usize = 12;

/// Bytes that a row takes in an answer, in its structure and its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// All but the content, and the words of a cut where there may be one.
    around: usize,
    content: usize,
}

impl Cost {
    /// Of a row with this content that takes `bare` bytes without it.
    pub(crate) fn of(content: &str, bare: usize) -> Self {
        let content = 2 * json_len(content);
        let words = if content > CONTENT_LEAST_BYTES {
            CUT_WORDS_BYTES
        } else {
            0
        };
        Self {
            around: bare + NUMBER_BYTES + words,
            content,
        }
    }

    /// What the content may take where the row has an answer to itself.
    pub(crate) fn room(self) -> usize {
        ROWS_MAX_BYTES.saturating_sub(self.around)
    }
}

/// How many rows one answer shows, from the first, and how many bytes each content may take: short ones what they need,
/// long ones equal parts of what these leave. So a long content is cut before it keeps another row out.
pub(crate) fn shares(costs: &[Cost]) -> (usize, usize) {
    let least = costs
        .iter()
        .map(|cost| cost.around + cost.content.min(CONTENT_LEAST_BYTES));
    let number = fitting(least, ROWS_MAX_BYTES).max(1);
    let costs = &costs[..number.min(costs.len())];
    let around: usize = costs.iter().map(|cost| cost.around).sum();
    let mut left = ROWS_MAX_BYTES.saturating_sub(around);
    let mut contents: Vec<usize> = costs.iter().map(|cost| cost.content).collect();
    contents.sort_unstable();
    for (at, content) in contents.iter().enumerate() {
        let share = left / (contents.len() - at);
        if *content > share {
            return (number, share);
        }
        left -= content;
    }
    (number, usize::MAX)
}

/// Where to cut `content` so that it takes `room` bytes of an answer at most; nothing where it fits whole.
pub(crate) fn cut(content: &str, room: usize) -> Option<usize> {
    let mut taken = 0;
    content.char_indices().find_map(|(at, letter)| {
        // It stands in the structure and in the text.
        taken += 2 * json_len_of(letter);
        (taken > room).then_some(at)
    })
}

/// Which bytes of `whole` are shown, and the call for the rest: a tool, the name of the id that it takes, and the id.
pub(crate) fn told(offset: i64, next: Option<i64>, whole: i64, rest: [&str; 3]) -> String {
    let end = next.unwrap_or(whole);
    let more = match (next, rest) {
        (Some(next), [tool, field, id]) => {
            format!("; the rest: {tool} {{\"{field}\":\"{id}\",\"contentOffset\":{next}}}")
        }
        (None, _) => ", its end".to_owned(),
    };
    format!("\n(This is bytes {offset} to {end} of {whole}{more})")
}

/// Reads a `contentOffset` into `content`.
pub(crate) fn offset(wanted: Option<i64>, content: &str) -> Result<usize, Refusal> {
    let wanted = wanted.unwrap_or(0);
    let offset = usize::try_from(wanted).ok();
    offset
        .filter(|offset| content.is_char_boundary(*offset))
        .ok_or_else(|| {
            let length = content.len();
            Refusal::invalid(
                "contentOffset",
                format!(
                    "no part of this content, which has {length} bytes, begins at byte {wanted}"
                ),
                "give the nextContentOffset of the answer before, or leave it out to begin anew",
            )
        })
}

/// A number of bytes as JSON and a schema can say it.
pub(crate) fn count(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_begins_where_a_letter_does() {
        assert_eq!(
            offset(Some(2), "né").unwrap_err().field.as_deref(),
            Some("contentOffset")
        );
        for wanted in [-1, 4, i64::MAX] {
            assert!(offset(Some(wanted), "né").is_err(), "{wanted}");
        }
        assert_eq!(offset(None, "né").unwrap(), 0);
        assert_eq!(offset(Some(1), "né").unwrap(), 1);
        assert_eq!(offset(Some(3), "né").unwrap(), 3);
    }

    #[test]
    fn a_content_is_cut_before_the_letter_that_does_not_fit() {
        assert_eq!(cut("aéb", 8), None);
        assert_eq!(cut("aéb", 7), Some(3));
        assert_eq!(cut("a\nb", 5), Some(1));
        assert_eq!(cut("", 0), None);
    }
}
