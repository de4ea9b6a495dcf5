//! Text becomes vectors: all-MiniLM-L6-v2 with 8-bit weights, run in this process.
//!
//! The model is two files, fetched once by `scripts/recall-model.sh`. [`Embedder::load`] reads them and is the only IO of this crate; it takes
//! nothing but the very bytes whose SHA-256 stands here. Where it fails, everything else works by words alone, and its error says
//! what to do.

mod wordpiece;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rten::{Model, NodeId, RunOptions, ThreadPool, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

use crate::analyze::MAX_TEXT_BYTES;
use crate::facts::Tag;
use crate::vector::{DIMENSIONS, Embedding, Vector};
use wordpiece::WordPiece;

/// What the vectors of this model are kept under; other bytes or other chunks would need another name.
pub const MODEL_NAME: &str = "all-MiniLM-L6-v2-int8/chunks-256-32";
/// The most tokens that the model sees at once, its two marks included.
pub const CHUNK_TOKENS: usize = 256;
/// How many tokens of a chunk are those that the one before ended with.
pub const CHUNK_OVERLAP: usize = 32;
/// How many chunks of a text get vectors: its first ones. A text of 64 KiB has about as many.
pub const MAX_CHUNKS: usize = 64;

/// A file of the model.
struct Asset {
    name: &'static str,
    sha256: &'static str,
}

const NETWORK: Asset = Asset {
    name: "model.onnx",
    sha256: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
};
const TOKENIZER: Asset = Asset {
    name: "tokenizer.json",
    sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
};

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// It was never fetched.
    #[error("{} is not there; scripts/recall-model.sh fetches it", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds other bytes than it should.
    #[error("{} is damaged or another model: its sha256 is {found}, expected {expected}; remove it and run scripts/recall-model.sh", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// SHA-256 of what it should hold.
        expected: &'static str,
        /// SHA-256 of what it holds.
        found: String,
    },
    /// The bytes are right, and this build cannot run them.
    #[error("this build cannot run the model")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a text has no vectors: the runtime failed, for want of memory, for example.
#[derive(Debug, thiserror::Error)]
#[error("the model could not be run on a text")]
pub struct EmbedError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Threads of a caller's own, for work that is to stay behind that of others. They inherit the priority of the thread that makes them.
pub struct Threads(Arc<ThreadPool>);

impl Threads {
    /// So many of them.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(ThreadPool::with_num_threads(count)))
    }

    fn options(&self) -> RunOptions {
        RunOptions::default().with_thread_pool(Some(Arc::clone(&self.0)))
    }
}

/// The model, ready to run; any number of threads may use it at once.
pub struct Embedder {
    network: Model,
    inputs: [NodeId; 3],
    output: NodeId,
    tokenizer: WordPiece,
}

impl Embedder {
    /// Reads the model from the two files in `folder`.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let tokenizer = WordPiece::from_json(&read(folder, &TOKENIZER)?).map_err(unusable)?;
        let network = Model::load(read(folder, &NETWORK)?).map_err(unusable)?;
        let node = |name| network.node_id(name).map_err(unusable);
        let inputs = [
            node("input_ids")?,
            node("attention_mask")?,
            node("token_type_ids")?,
        ];
        let output = node("last_hidden_state")?;
        Ok(Self {
            network,
            inputs,
            output,
            tokenizer,
        })
    }

    /// What its vectors are kept under.
    pub fn tag() -> Tag {
        Tag::of(MODEL_NAME)
    }

    /// The vectors of a memory: one for each [`CHUNK_TOKENS`] of it.
    pub fn embed(&self, text: &str) -> Result<Embedding, EmbedError> {
        let all = self.embed_while(text, None, || true)?;
        Ok(all.expect("nobody ended it"))
    }

    /// As [`Self::embed`], on `threads` where there are some, and only while `go_on`, which is asked before each
    /// chunk, says so; none when it did not to the end.
    pub fn embed_while(
        &self,
        text: &str,
        threads: Option<&Threads>,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Option<Embedding>, EmbedError> {
        let tokens = self.tokenizer.tokens(bounded(text));
        let mut vectors = Vec::new();
        for chunk in chunks(&tokens).take(MAX_CHUNKS) {
            if !go_on() {
                return Ok(None);
            }
            vectors.push(self.run(chunk, threads)?);
        }
        Ok(Some(Embedding(vectors)))
    }

    /// The vector of a query: of its first [`CHUNK_TOKENS`].
    pub fn embed_query(&self, text: &str) -> Result<Vector, EmbedError> {
        let tokens = self.tokenizer.tokens(bounded(text));
        self.run(&tokens[..tokens.len().min(CHUNK_TOKENS - 2)], None)
    }

    /// Mean of what the network makes of each token.
    fn run(&self, tokens: &[i32], threads: Option<&Threads>) -> Result<Vector, EmbedError> {
        let marked: Vec<i32> =
            [&[self.tokenizer.begin][..], tokens, &[self.tokenizer.end]].concat();
        let count = marked.len();
        let ids = NdTensor::from_data([1, count], marked);
        let attention = NdTensor::full([1, count], 1_i32);
        let segments = NdTensor::full([1, count], 0_i32);
        let values: [ValueOrView<'_>; 3] = [
            ids.view().into(),
            attention.view().into(),
            segments.view().into(),
        ];
        let inputs = self.inputs.into_iter().zip(values).collect();
        let [hidden] = self
            .network
            .run_n(inputs, [self.output], threads.map(Threads::options))
            .map_err(|error| EmbedError(error.into()))?;
        let hidden = Tensor::<f32>::try_from(hidden).map_err(|error| EmbedError(error.into()))?;
        let values = hidden.to_vec();
        let mut sum = [0_f32; DIMENSIONS];
        // The mean's direction is the sum's.
        for token in values.as_chunks::<DIMENSIONS>().0 {
            for (sum, value) in sum.iter_mut().zip(token) {
                *sum += value;
            }
        }
        Ok(Vector::quantize(&sum))
    }
}

/// The chunks of a text, each beginning with the last tokens of the one before; one, without tokens, of a text that has none.
fn chunks(tokens: &[i32]) -> impl Iterator<Item = &[i32]> {
    const INNER: usize = CHUNK_TOKENS - 2;
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let from = next?;
        let to = tokens.len().min(from + INNER);
        next = (to < tokens.len()).then(|| to - CHUNK_OVERLAP);
        Some(&tokens[from..to])
    })
}

fn bounded(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn read(folder: &Path, asset: &Asset) -> Result<Vec<u8>, ModelError> {
    let path = folder.join(asset.name);
    let bytes = fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ModelError::Absent { path: path.clone() },
        _ => ModelError::Unreadable {
            path: path.clone(),
            source,
        },
    })?;
    let found = hex(digest(&SHA256, &bytes).as_ref());
    if found == asset.sha256 {
        Ok(bytes)
    } else {
        Err(ModelError::Corrupt {
            path,
            expected: asset.sha256,
            found,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> ModelError {
    ModelError::Unusable(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_a_text_and_overlap() {
        let tokens: Vec<i32> = (0..600).collect();
        let all: Vec<&[i32]> = chunks(&tokens).collect();
        assert_eq!(all, [&tokens[..254], &tokens[222..476], &tokens[444..600]]);
        assert_eq!(chunks(&tokens[..254]).count(), 1);
        assert_eq!(chunks(&tokens[..255]).count(), 2);
        assert_eq!(chunks(&[]).collect::<Vec<_>>(), [&[] as &[i32]]);
    }

    #[test]
    fn a_folder_without_a_model_is_told_with_what_to_do() {
        let error = Embedder::load(Path::new("/no/such/folder"))
            .err()
            .expect("there is no model");
        assert!(matches!(error, ModelError::Absent { .. }), "{error:?}");
        assert!(
            error.to_string().contains("scripts/recall-model.sh"),
            "{error}"
        );
    }
}
