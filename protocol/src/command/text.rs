//! Texts, labels and times of commands, however they are called there.

use crate::error::{ErrorCode, Refusal};
use crate::id::TimeMs;
use crate::limits;
use unicode_normalization::UnicodeNormalization;

/// One line of text, in NFC, without white space around it.
pub(super) fn line_of(
    text: &str,
    field: &'static str,
    max_bytes: usize,
) -> Result<String, Refusal> {
    let too_large = |bytes: usize| {
        Refusal::new(
            ErrorCode::TooLarge,
            format!("{field} has {bytes} bytes; {max_bytes} is the limit"),
            "use a shorter one",
        )
        .at(field)
    };
    // Bounded before it is normalised, so that a huge input costs nothing; and after, since that may lengthen it.
    if text.len() > max_bytes * 4 {
        return Err(too_large(text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(
            field,
            format!("{field} holds control characters"),
            "write it in one line of plain text",
        ));
    }
    let line: String = text.nfc().collect();
    let line = line.trim();
    if line.len() > max_bytes {
        return Err(too_large(line.len()));
    }
    Ok(line.to_owned())
}

/// A text of several lines, 1 to `max_bytes` bytes.
pub(super) fn read_text(
    text: String,
    field: &'static str,
    max_bytes: usize,
) -> Result<String, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::invalid(
            field,
            format!("{field} is empty"),
            "say it in a few words",
        ));
    }
    if text.len() > max_bytes {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!("{field} has {} bytes; {max_bytes} is the limit", text.len()),
            "say it in fewer words, and keep the rest where it can be fetched",
        )
        .at(field));
    }
    Ok(text)
}

pub(super) fn read_tags(tags: Vec<String>) -> Result<Vec<String>, Refusal> {
    if tags.len() > limits::MEMORY_TAGS_MAX {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!(
                "{} tags are given; {} is the limit",
                tags.len(),
                limits::MEMORY_TAGS_MAX
            ),
            "keep those that somebody will look for",
        )
        .at("tags"));
    }
    let mut read = Vec::with_capacity(tags.len());
    for tag in tags {
        let tag = line_of(&tag, "tags", limits::MEMORY_TAG_MAX_BYTES)?;
        if tag.is_empty() {
            return Err(Refusal::invalid("tags", "a tag is empty", "leave it out"));
        }
        read.push(tag);
    }
    read.sort_unstable();
    read.dedup();
    Ok(read)
}

pub(super) fn read_time(value: Option<i64>, field: &str) -> Result<Option<TimeMs>, Refusal> {
    value
        .map(|ms| {
            // What is negative is out of bounds as well.
            let time = TimeMs(u64::try_from(ms).unwrap_or(u64::MAX));
            check_time(time, field).map(|()| time)
        })
        .transpose()
}

pub(super) fn check_time(time: TimeMs, field: &str) -> Result<(), Refusal> {
    if time.0 <= limits::TIME_MAX_MS {
        return Ok(());
    }
    Err(Refusal::invalid(
        field,
        "this is no time between 1970 and 9999",
        "give milliseconds since 1970",
    ))
}
