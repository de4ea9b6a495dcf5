//! What a text means, as directions: one of 384 dimensions in 8-bit steps for each chunk, compared exactly.

use crate::Damaged;
use crate::block::is_set;

/// How many numbers a vector has.
pub const DIMENSIONS: usize = 384;

/// One direction. Its length says nothing, so each vector uses the whole range of its 8 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector([i8; DIMENSIONS]);

impl Vector {
    /// The nearest vector in 8-bit steps. What is no direction (nothing but zeros, no number) is like nothing.
    pub fn quantize(values: &[f32; DIMENSIONS]) -> Self {
        let largest = values
            .iter()
            .fold(0_f32, |largest, value| largest.max(value.abs()));
        if !(largest > 0.0 && largest.is_finite()) {
            return Self([0; DIMENSIONS]);
        }
        let scale = 127.0 / largest;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "within ±127; `as` makes 0 of what is no number"
        )]
        let steps = values.map(|value| (value * scale).round() as i8);
        Self(steps)
    }

    /// How alike two directions are, from -1 to 1; 0 where one of them is none.
    pub fn cosine(&self, other: &Self) -> f32 {
        like(&self.0, length(&self.0), &other.0, length(&other.0))
    }
}

/// The vectors of one document: one a chunk, in the text's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedding(pub Vec<Vector>);

impl Embedding {
    /// As whoever keeps it stores it: the chunks one behind the other, a byte a dimension.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|vector| vector.0.map(i8::cast_unsigned))
            .collect()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let (chunks, rest) = bytes.as_chunks::<DIMENSIONS>();
        if chunks.is_empty() || !rest.is_empty() {
            return Err(Damaged::Vectors);
        }
        Ok(Self(
            chunks
                .iter()
                .map(|chunk| Vector(chunk.map(u8::cast_signed)))
                .collect(),
        ))
    }
}

/// The vectors of a block of documents, side by side in memory: what a search by meaning walks through.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct BlockVectors {
    /// A bit for each document that has some.
    present: u64,
    /// The document of each, by its number in the block; those of one document are in its text's order.
    documents: Vec<u32>,
    lengths: Vec<f32>,
    steps: Vec<[i8; DIMENSIONS]>,
}

impl BlockVectors {
    /// Takes in the vectors of one document, which must have none here.
    pub(crate) fn push(&mut self, document: u32, embedding: &Embedding) {
        for vector in &embedding.0 {
            self.push_one(document, &vector.0, length(&vector.0));
        }
    }

    /// Takes over what `other` has of one document.
    pub(crate) fn take(&mut self, document: u32, other: &Self) {
        let from = other.documents.partition_point(|at| *at < document);
        let to = other.documents.partition_point(|at| *at <= document);
        for (steps, length) in other.steps[from..to].iter().zip(&other.lengths[from..to]) {
            self.push_one(document, steps, *length);
        }
    }

    fn push_one(&mut self, document: u32, steps: &[i8; DIMENSIONS], length: f32) {
        self.present |= 1 << document;
        self.documents.push(document);
        self.lengths.push(length);
        self.steps.push(*steps);
    }

    /// Whether a document has some.
    pub(crate) fn has(&self, document: u32) -> bool {
        is_set(self.present, document)
    }

    /// Bytes of memory that this takes.
    pub(crate) fn bytes(&self) -> usize {
        self.documents.len() * (DIMENSIONS + 8)
    }

    /// Calls `visit` with each vector's document and how like `query` it is.
    pub(crate) fn each_like(&self, query: &Vector, mut visit: impl FnMut(u32, f32)) {
        let query_length = length(&query.0);
        for ((document, steps), steps_length) in
            self.documents.iter().zip(&self.steps).zip(&self.lengths)
        {
            visit(
                *document,
                like(&query.0, query_length, steps, *steps_length),
            );
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "at most 127² × 384, which an f32 holds exactly"
)]
fn like(a: &[i8; DIMENSIONS], a_length: f32, b: &[i8; DIMENSIONS], b_length: f32) -> f32 {
    let lengths = a_length * b_length;
    if lengths > 0.0 {
        dot(a, b) as f32 / lengths
    } else {
        0.0
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "at most 127² × 384, which an f32 holds exactly"
)]
fn length(steps: &[i8; DIMENSIONS]) -> f32 {
    (dot(steps, steps) as f32).sqrt()
}

/// In runs of a fixed length, of which the compiler makes vector instructions.
fn dot(a: &[i8; DIMENSIONS], b: &[i8; DIMENSIONS]) -> i32 {
    const RUN: usize = 16;
    let (a, b) = (a.as_chunks::<RUN>().0, b.as_chunks::<RUN>().0);
    let mut sums = [0_i32; RUN];
    for (a, b) in a.iter().zip(b) {
        for at in 0..RUN {
            sums[at] += i32::from(i16::from(a[at]) * i16::from(b[at]));
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(seed: u32) -> [f32; DIMENSIONS] {
        let mut state = seed;
        std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f32::from(u16::try_from(state >> 16).unwrap()) - 32_768.0) / 1e6
        })
    }

    #[test]
    fn eight_bits_keep_a_cosine_to_two_thousandths() {
        for seed in 1..50 {
            let (a, b) = (direction(seed), direction(seed / 2));
            let exact = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
            let cosine = exact(&a, &b) / (exact(&a, &a) * exact(&b, &b)).sqrt();
            let ours = Vector::quantize(&a).cosine(&Vector::quantize(&b));
            assert!((cosine - ours).abs() < 0.002, "{cosine} became {ours}");
        }
    }

    #[test]
    fn what_is_no_direction_is_like_nothing() {
        let some = Vector::quantize(&direction(1));
        for value in [0.0, f32::NAN, f32::INFINITY] {
            assert_eq!(
                Vector::quantize(&[value; DIMENSIONS])
                    .cosine(&some)
                    .to_bits(),
                0.0_f32.to_bits()
            );
        }
    }

    #[test]
    fn a_block_takes_over_what_another_has_of_one_document() {
        let vector = |seed| Vector::quantize(&direction(seed));
        let (one, two) = (
            Embedding(vec![vector(2), vector(3)]),
            Embedding(vec![vector(4)]),
        );
        let [mut before, mut after, mut expected] = <[BlockVectors; 3]>::default();
        before.push(3, &two);
        before.push(7, &one);
        before.push(63, &two);
        after.take(7, &before);
        after.take(8, &before);
        expected.push(7, &one);
        assert_eq!(after, expected);
        assert!(after.has(7) && !after.has(8) && !after.has(63));
        let mut like = Vec::new();
        after.each_like(&vector(1), |document, cosine| like.push((document, cosine)));
        let cosine = |seed| vector(1).cosine(&vector(seed));
        assert_eq!(like, [(7, cosine(2)), (7, cosine(3))]);
    }

    #[test]
    fn an_embedding_comes_back_from_its_bytes_and_others_are_refused() {
        let embedding = Embedding(vec![
            Vector::quantize(&direction(4)),
            Vector::quantize(&direction(5)),
        ]);
        let bytes = embedding.to_bytes();
        assert_eq!(Embedding::from_bytes(&bytes), Ok(embedding));
        assert_eq!(Embedding::from_bytes(&bytes[1..]), Err(Damaged::Vectors));
        assert_eq!(Embedding::from_bytes(&[]), Err(Damaged::Vectors));
    }
}
