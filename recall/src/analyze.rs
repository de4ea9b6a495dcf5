//! Text becomes terms: what a memory is indexed under, and what a query looks for. Pure, the same for both sides, and bounded
//! whatever the text holds.
//!
//! Text is brought to NFKC and cut at white space, then into Unicode words. A plain word gives one term: lower case, stemmed. A
//! compound (an identifier, a path, a version, a hyphenated word) gives its parts and beside them one unsplit term, in which
//! `tenant_id`, `tenantId` and `tenant-id` are the same. Stop words are indexed but neither counted in a text's length nor
//! looked for, unless a query has nothing else.

mod compound;
mod stop;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// The longest term, in bytes; what is longer is cut there, in texts and queries alike.
pub const MAX_TERM_BYTES: usize = 64;
/// How much of a text is analysed, in bytes after normalisation: twice the longest content, since NFKC can make text longer.
pub const MAX_TEXT_BYTES: usize = 128 * 1024;
/// How many different terms a query looks for: its first ones.
pub const MAX_QUERY_TERMS: usize = 256;

/// What one text is indexed under.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Analysis {
    /// Each term and how often it occurs, in byte order.
    pub terms: BTreeMap<String, u32>,
    /// How many words the text has, without stop words.
    pub length: u32,
    /// How many of them are written as no prose is: identifiers and paths.
    pub identifiers: u32,
}

/// What a query looks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryTerms {
    /// Each term and how often the query says it, in byte order.
    pub terms: Vec<(String, u32)>,
    /// Those of them that are no word of prose, as a whole: an identifier, a path, a version, an error code, in byte order.
    pub codes: Vec<String>,
    /// The query's words as they stand, in order, lower case: where names are looked for.
    pub words: Vec<String>,
}

impl QueryTerms {
    /// Keeps at most so many terms: codes first, then the longest, which are likely to be the rarest.
    pub fn shorten(&mut self, most: usize) {
        if self.terms.len() <= most {
            return;
        }
        let codes = &self.codes;
        let is_code = |term: &String| codes.binary_search(term).is_ok();
        self.terms
            .sort_by_cached_key(|(term, _)| (!is_code(term), Reverse(term.len()), term.clone()));
        self.terms.truncate(most);
        self.terms.sort_unstable();
    }
}

/// Analyses a memory's content.
pub fn analyze(text: &str) -> Analysis {
    let mut sink = Sink::default();
    let text = normalize(text);
    each_term(&text, &mut sink);
    let mut terms = BTreeMap::new();
    for (term, _) in sink.terms {
        *terms.entry(term).or_insert(0) += 1;
    }
    Analysis {
        terms,
        length: sink.length,
        identifiers: sink.identifiers,
    }
}

/// Analyses a query. Where it has nothing but stop words, those are what it looks for.
pub fn analyze_query(text: &str) -> QueryTerms {
    let mut sink = Sink::default();
    let text = normalize(text);
    each_term(&text, &mut sink);
    let only_stops = sink.terms.iter().all(|(_, sort)| *sort == Sort::Stop);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut codes = BTreeSet::new();
    for (term, sort) in sink.terms {
        if sort == Sort::Stop && !only_stops {
            continue;
        }
        if counts.len() < MAX_QUERY_TERMS || counts.contains_key(&term) {
            if sort == Sort::Code {
                codes.insert(term.clone());
            }
            *counts.entry(term).or_insert(0) += 1;
        }
    }
    QueryTerms {
        terms: counts.into_iter().collect(),
        codes: codes.into_iter().collect(),
        words: words_of(&text),
    }
}

/// A name as a query would write it: its words, lower case, without signs between them.
pub fn name_words(name: &str) -> Vec<String> {
    words_of(&normalize(name))
}

fn words_of(normal: &str) -> Vec<String> {
    let words = normal
        .unicode_words()
        .map(|word| strip_possessive(word).to_lowercase());
    words
        .flat_map(|word| {
            word.split(|c: char| !c.is_alphanumeric())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// NFKC, straight apostrophes, no more than [`MAX_TEXT_BYTES`].
fn normalize(text: &str) -> String {
    let mut normal = String::with_capacity(text.len().min(MAX_TEXT_BYTES));
    for c in text.nfkc() {
        let c = match c {
            '\u{2019}' | '\u{2018}' | '\u{02bc}' => '\'',
            '\u{2010}' | '\u{2011}' => '-',
            other => other,
        };
        if normal.len() + c.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        normal.push(c);
    }
    normal
}

/// What a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Stop,
    Word,
    /// What no prose is written in: an identifier or the like, as a whole.
    Code,
}

/// Terms as they come.
#[derive(Default)]
struct Sink {
    terms: Vec<(String, Sort)>,
    length: u32,
    identifiers: u32,
}

impl Sink {
    /// One word without inner signs.
    fn word(&mut self, word: &str) {
        let lower = word.to_lowercase();
        let stop = stop::is_stop_word(&lower);
        self.length += u32::from(!stop);
        let (term, sort) = match stop {
            true => (lower, Sort::Stop),
            false if has_letters_and_digits(&lower) => (stem(&lower), Sort::Code),
            false => (stem(&lower), Sort::Word),
        };
        self.terms.push((term, sort));
    }

    /// A number with dots.
    fn number(&mut self, dotted: &str, sort: Sort) {
        self.length += 1;
        self.terms.push((stem(dotted), sort));
    }

    /// A compound as a whole: beside its parts, so no part of the text's length.
    fn whole(&mut self, whole: &str, sort: Sort) {
        self.terms.push((stem(whole), sort));
    }
}

fn has_letters_and_digits(word: &str) -> bool {
    word.contains(char::is_alphabetic) && word.contains(|c: char| c.is_ascii_digit())
}

fn each_term(normal: &str, sink: &mut Sink) {
    for chunk in normal.split_whitespace() {
        let core = chunk.trim_matches(|c: char| !c.is_alphanumeric());
        if core.is_empty() {
            continue;
        }
        if core.bytes().all(|b| b.is_ascii_lowercase()) {
            sink.word(core);
        } else {
            compound::each_term(core, sink);
        }
    }
}

fn strip_possessive(word: &str) -> &str {
    word.strip_suffix("'s")
        .or_else(|| word.strip_suffix("'S"))
        .unwrap_or(word)
}

/// The stem of an English word; other things as they are. Never longer than [`MAX_TERM_BYTES`].
fn stem(lower: &str) -> String {
    let cut = cut(lower);
    // The stemmer knows English letters; what it would make of others helps nobody.
    if cut.len() > 2 && cut.bytes().all(|b| b.is_ascii_lowercase()) {
        STEMMER.with(|stemmer| stemmer.stem(cut).into_owned())
    } else {
        cut.to_owned()
    }
}

thread_local! {
    static STEMMER: Stemmer = Stemmer::create(Algorithm::English);
}

fn cut(term: &str) -> &str {
    let mut end = term.len().min(MAX_TERM_BYTES);
    while !term.is_char_boundary(end) {
        end -= 1;
    }
    &term[..end]
}
