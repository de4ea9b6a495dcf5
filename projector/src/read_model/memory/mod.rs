//! Memories: what was stored, every version that is kept of it, the lists it stands in, and the index that recall searches.
//! The same for a tenant and for the operator's shared library, which is the deployment's own.
//!
//! | module | owns |
//! |---|---|
//! | [`rows`] | the rows and their keys |
//! | [`fold`] | what an event changes |
//! | [`buffer`] | rows of indexes while a batch is folded |
//! | [`index`] | the rows of a namespace's index, as [`postroad_recall`] sees them |
//! | [`read`] | one memory, lists, how a memory stands |
//! | [`reach`] | which namespaces a caller's question is about |
//! | [`find`] | recall |
//! | [`behind`] | what took a memory's place |

mod behind;
pub(crate) mod buffer;
pub(crate) mod find;
mod fold;
pub(crate) mod index;
pub(crate) mod reach;
pub(crate) mod read;
pub(crate) mod rows;

pub(crate) use fold::MemoryWriter;
