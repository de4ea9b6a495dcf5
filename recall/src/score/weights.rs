//! The weights of a score, and which of them a field asks for. Change none without a measurement.
//!
//! Measured is recall@10, by words alone and fused, as `make recall-bench` prints it: on 530 turns of conversations with 141
//! questions and on 302 functions with 226 (both in `recall/sets`), and on 1,400 abstracts with 225 (Cranfield, a public set). One
//! question is .007, .004 and .004, so small differences say nothing; a dash: as in the first line.
//!
//! | | conversations | functions | abstracts |
//! |---|---|---|---|
//! | as it is | .744 .864 | .625 .902 | .395 .457 |
//! | without the writer's part | .726 .856 | – | – |
//! | without [`AUTHOR_ALONE`] | .730 – | – | – |
//! | without the episode's part | .684 .865 | – | – |
//! | without the neighbours' part | – .871 | .628 .900 | – |
//! | neighbours a third less, a third more | .741 .872, – .866 | .639 .909, .612 .884 | – |
//! | four memories a writer in a conversation, not two | .677 .838 | – | – |
//! | [`MEANING_FLOOR`] of none, of .2 | – .872, – .857 | – .903, – .891 | –, – .455 |
//! | short facts in episodes: meaning .35, .5, .6 | – .861, – .874, – .874 | – | – |
//! | code: meaning .6, .8 | – | – .873, – .893 | – |
//! | long content: meaning .6, .8 | – | – | – .456, – .451 |
//! | later chunks at their full likeness | – | – | – .453 |
//! | BM25's constants of short facts everywhere | – | – .893 | .383 .451 |
//!
//! What neighbours weigh, and that short facts in episodes want less of meaning than others, was found on a larger set of real
//! conversations (5,882 turns, 1,536 questions) in an earlier measurement that is not repeated here: neighbours gained .075 there,
//! and .35 was about the best share of meaning; .45 is between that and what these sets say. No set has a question that depends on
//! what a rare code is, nor on where exactly short and long, prose and code part: the sets lie well apart (5, 33 and 94 words a
//! memory; 16 % identifiers in functions, below 1 % elsewhere).

/// What a document by the one writer whom the query names is multiplied by.
pub const AUTHOR_FACTOR: f64 = 1.6;
/// What such a document has beside, so that what somebody said is found where nothing else of it matches.
pub const AUTHOR_ALONE: f64 = 0.001;
/// The weight of the episode's own match, as a share of the best episode's.
pub const EPISODE_WEIGHT: f64 = 0.3;
/// The weights of the nearest and the second nearest neighbours on each side.
pub const NEIGHBOUR_WEIGHTS: [f64; 2] = [0.45, 0.2];
/// A cosine below says nothing: texts without anything in common are as like.
pub const MEANING_FLOOR: f32 = 0.1;
/// A code is rare that at most so many documents hold,
pub const RARE_DOCUMENTS: f64 = 3.0;
/// or at most this share of all.
pub const RARE_SHARE: f64 = 0.02;

/// Words a document, on average, below which a field holds short facts.
const SHORT: f64 = 24.0;
/// Words a document, on average, from which on a field holds long content.
const LONG: f64 = 60.0;
/// The share of identifiers among words from which on a field holds code.
const CODE: f64 = 0.1;

/// BM25's two constants: how soon a word's repetition stops counting, and how much a long document is held against it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saturation {
    /// How soon.
    pub k1: f64,
    /// How much, from 0 to 1.
    pub b: f64,
}

impl Saturation {
    /// For short facts.
    pub const SHORT: Self = Self { k1: 0.9, b: 0.4 };
    /// For everything else.
    pub const LONG: Self = Self { k1: 1.2, b: 0.75 };
}

/// Of what kind a field is: what its weights are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kind {
    /// How many documents there are.
    pub documents: u64,
    /// How many of them are in an episode.
    pub in_episodes: u64,
    /// How many words all have together, stop words aside.
    pub words: u64,
    /// How many of these are identifiers or paths.
    pub identifiers: u64,
}

/// What a field's kind asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// BM25's constants for documents.
    pub saturation: Saturation,
    /// The share of meaning in the sum of words and meaning, where there is a model.
    pub meaning: f64,
}

impl Weights {
    /// The weights for a kind.
    pub fn of(kind: Kind) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
        let ratio = |of: u64, to: u64| of as f64 / (to.max(1)) as f64;
        let mean = ratio(kind.words, kind.documents);
        let meaning = if ratio(kind.identifiers, kind.words) >= CODE || mean >= LONG {
            0.7
        } else if mean < SHORT && 2 * kind.in_episodes > kind.documents {
            0.45
        } else {
            0.5
        };
        let saturation = if mean < SHORT {
            Saturation::SHORT
        } else {
            Saturation::LONG
        };
        Self {
            saturation,
            meaning,
        }
    }
}
