//! The documents that one search sees, of all partitions that it asks, as if they were one.

use std::sync::Arc;

use crate::facts::{Facts, Tag};
use crate::held::Held;
use crate::score::view::View;
use crate::score::weights::Kind;
use crate::search::{AsOf, Partition};

/// The partitions asked, in their order.
pub(crate) struct Field<'a> {
    pub(crate) sides: Vec<Side<'a>>,
}

/// One of them.
pub(crate) struct Side<'a> {
    pub(crate) held: &'a Held,
    pub(crate) view: Arc<View>,
}

impl<'a> Field<'a> {
    pub(crate) fn of<R>(partitions: &[Partition<'a, R>], now_ms: i64, as_of: Option<AsOf>) -> Self {
        let side = |partition: &Partition<'a, R>| Side {
            held: partition.held,
            view: partition.held.view(now_ms, as_of),
        };
        Self {
            sides: partitions.iter().map(side).collect(),
        }
    }

    /// How many documents there are.
    pub(crate) fn len(&self) -> u64 {
        self.sum(|view| view.len() as u64)
    }

    /// The sum of something over all partitions.
    pub(crate) fn sum(&self, of: impl Fn(&View) -> u64) -> u64 {
        self.sides.iter().map(|side| of(&side.view)).sum()
    }

    /// Of what kind it is.
    pub(crate) fn kind(&self) -> Kind {
        Kind {
            documents: self.len(),
            in_episodes: self.sum(|view| view.episodes.documents() as u64),
            words: self.sum(|view| view.words),
            identifiers: self.sum(|view| view.identifiers),
        }
    }

    /// Whether somebody wrote one of the documents.
    pub(crate) fn has_writer(&self, writer: Tag) -> bool {
        self.sides.iter().any(|side| side.view.has_writer(writer))
    }
}

impl Side<'_> {
    /// The facts of the document at a place.
    pub(crate) fn facts(&self, place: u32) -> &Facts {
        self.held
            .facts(self.view.number(place))
            .expect("a view shows what is held")
    }
}
