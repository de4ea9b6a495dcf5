//! The tokens of the model: words of lower case without accents, cut into the longest pieces that its vocabulary has.
//!
//! Our own, since the tokenizer crate that belongs to the runtime (rten-text 0.24 and 0.27) panics on words such as `xqzjkvw`, of
//! which it counts the pieces' marks as text, and the other one brings a compiled C library.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// A longer word is one unknown token, as the model was trained.
const MAX_WORD_CHARS: usize = 100;

/// The bytes are no tokenizer of the kind that the model has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum NotATokenizer {
    /// It is no JSON.
    #[error("the tokenizer is no JSON")]
    Json(#[from] serde_json::Error),
    /// It lacks a part.
    #[error("the tokenizer lacks {0}")]
    Lacks(&'static str),
}

/// A vocabulary of pieces.
pub(super) struct WordPiece {
    /// Pieces that begin a word.
    first: HashMap<String, i32>,
    /// Pieces that continue one.
    further: HashMap<String, i32>,
    /// The mark before a text.
    pub(super) begin: i32,
    /// The mark behind a text.
    pub(super) end: i32,
    unknown: i32,
}

impl WordPiece {
    /// Reads the vocabulary of a `tokenizer.json`.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, NotATokenizer> {
        let json: serde_json::Value = serde_json::from_slice(bytes)?;
        let vocabulary = json["model"]["vocab"]
            .as_object()
            .ok_or(NotATokenizer::Lacks("its vocabulary"))?;
        let (mut first, mut further) = (HashMap::new(), HashMap::new());
        for (piece, id) in vocabulary {
            let id = id
                .as_i64()
                .and_then(|id| i32::try_from(id).ok())
                .ok_or(NotATokenizer::Lacks("the number of a piece"))?;
            match piece.strip_prefix("##") {
                // The two signs by themselves are a piece as well.
                Some(rest) if !rest.is_empty() => further.insert(rest.to_owned(), id),
                _ => first.insert(piece.clone(), id),
            };
        }
        let mark = |name: &str| {
            first
                .get(name)
                .copied()
                .ok_or(NotATokenizer::Lacks("one of its marks"))
        };
        Ok(Self {
            begin: mark("[CLS]")?,
            end: mark("[SEP]")?,
            unknown: mark("[UNK]")?,
            first,
            further,
        })
    }

    /// The tokens of a text, without the marks around it.
    pub(super) fn tokens(&self, text: &str) -> Vec<i32> {
        let mut tokens = Vec::new();
        let plain = plain(text);
        for word in plain.split_whitespace() {
            let mut rest = word;
            while let Some(c) = rest.chars().next() {
                let end = if is_sign(c) {
                    c.len_utf8()
                } else {
                    rest.find(is_sign).unwrap_or(rest.len())
                };
                self.word(&rest[..end], &mut tokens);
                rest = &rest[end..];
            }
        }
        tokens
    }

    fn word(&self, word: &str, tokens: &mut Vec<i32>) {
        let before = tokens.len();
        let mut from = 0;
        let too_long = word.chars().nth(MAX_WORD_CHARS).is_some();
        while !too_long && from < word.len() {
            let pieces = if from == 0 {
                &self.first
            } else {
                &self.further
            };
            let longest = word[from..]
                .char_indices()
                .map(|(at, c)| from + at + c.len_utf8())
                .rev();
            let mut found =
                longest.filter_map(|end| pieces.get(&word[from..end]).map(|id| (end, *id)));
            let Some((end, id)) = found.next() else { break };
            tokens.push(id);
            from = end;
        }
        if from < word.len() {
            tokens.truncate(before);
            tokens.push(self.unknown);
        }
    }
}

/// Lower case without accents and controls, with Chinese characters apart.
fn plain(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for c in text.chars() {
        if is_chinese(c) {
            spaced.extend([' ', c, ' ']);
        } else if c.is_whitespace() {
            spaced.push(' ');
        } else if c != '\u{fffd}' && c.general_category_group() != GeneralCategoryGroup::Other {
            spaced.push(c);
        }
    }
    let unaccented = spaced
        .nfd()
        .filter(|c| c.general_category() != GeneralCategory::NonspacingMark);
    unaccented.flat_map(char::to_lowercase).collect()
}

fn is_sign(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// The blocks that the model's makers took for Chinese.
fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x2_0000..=0x2_a6df | 0x2_a700..=0x2_b73f | 0x2_b740..=0x2_b81f
        | 0x2_b920..=0x2_ceaf | 0xf900..=0xfaff | 0x2_f800..=0x2_fa1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: [&str; 15] = [
        "[CLS]", "[SEP]", "[UNK]", "road", "##s", "##ide", "x", "##q", "##z", "cafe", ".", "中",
        "-", "##", "a",
    ];

    fn tokens(text: &str) -> Vec<&'static str> {
        let vocab: serde_json::Map<_, _> = VOCABULARY
            .iter()
            .zip(0..)
            .map(|(piece, id)| ((*piece).into(), id.into()))
            .collect();
        let json = serde_json::json!({ "model": { "vocab": vocab } });
        let pieces = WordPiece::from_json(json.to_string().as_bytes()).unwrap();
        pieces
            .tokens(text)
            .into_iter()
            .map(|id| VOCABULARY[usize::try_from(id).unwrap()])
            .collect()
    }

    #[test]
    fn words_become_the_longest_pieces() {
        assert_eq!(
            tokens("Roads roadside"),
            ["road", "##s", "road", "##s", "##ide"]
        );
        assert_eq!(tokens("xqz"), ["x", "##q", "##z"]);
        assert_eq!(tokens("café-中a."), ["cafe", "-", "中", "a", "."]);
        assert_eq!(
            tokens("ro\u{0}ad\u{200b}\u{fffd}\troad\u{a0}x"),
            ["road", "road", "x"]
        );
    }

    #[test]
    fn a_word_with_a_strange_end_or_no_end_is_one_unknown() {
        assert_eq!(tokens("roadß x"), ["[UNK]", "x"]);
        assert_eq!(tokens(&"x".repeat(101)), ["[UNK]"]);
        assert_eq!(tokens(""), Vec::<&str>::new());
        assert_eq!(tokens("##"), ["[UNK]", "[UNK]"]);
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        for bytes in [
            &b""[..],
            b"[]",
            b"{\"model\":{\"vocab\":{}}}",
            b"{\"model\":{\"vocab\":{\"a\":-1e99}}}",
        ] {
            assert!(WordPiece::from_json(bytes).is_err());
        }
    }
}
