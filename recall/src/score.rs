//! The parts of a score, one module each. All of it is computed from integers that are read in one order, so equal rows give
//! equal scores to the last bit.

pub(crate) mod chain;
pub(crate) mod episodes;
pub(crate) mod field;
pub(crate) mod lexical;
pub(crate) mod meaning;
pub(crate) mod total;
pub(crate) mod view;
pub mod weights;
pub(crate) mod writer;
