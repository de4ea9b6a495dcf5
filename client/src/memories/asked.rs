//! Which memories are meant: filters of a list, and what a recall looks for. Asks nothing.

use super::wire_as_of;
use crate::queries::Page;
use crate::times::wire_ms;
use postroad_protocol::TimeMs;
use postroad_protocol::query::{AsOf, wire as query};

/// Which memories to list, the newest first.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct MemoryFilter {
    page: Page,
    namespace: Option<String>,
    kind: Option<String>,
    tag: Option<String>,
    created_by: Option<String>,
}

impl MemoryFilter {
    /// At most so many memories: 1 to 200, 20 by default.
    pub fn limit(mut self, limit: u32) -> Self {
        self.page = self.page.limit(limit);
        self
    }

    /// Only what comes after the `nextCursor` of an earlier answer.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.page = self.page.after(cursor);
        self
    }

    /// Only of this namespace, or of those with this prefix, such as `project/`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Only of this type.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Only with this label.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Only by this role, `role/instance`, or author of an imported memory.
    pub fn created_by(mut self, author: impl Into<String>) -> Self {
        self.created_by = Some(author.into());
        self
    }

    pub(super) fn wire(&self, reading: &query::Reading) -> query::ListMemories {
        let page = self.page.wire(reading);
        query::ListMemories {
            limit: page.limit,
            cursor: page.cursor,
            namespace: self.namespace.clone(),
            kind: self.kind.clone(),
            tag: self.tag.clone(),
            created_by: self.created_by.clone(),
            position: page.position,
            fresh: page.fresh,
        }
    }
}

/// What to look for among memories, and where.
///
/// ```
/// use postroad_client::Recall;
///
/// let wanted = Recall::new("how large may images be?")
///     .namespace("project/")
///     .limit(5);
/// # drop(wanted);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Recall {
    body: query::Recall,
}

impl Recall {
    /// The ten memories that answer this best, among all that the caller may read.
    pub fn new(query: impl Into<String>) -> Self {
        Self {
            body: query::Recall {
                query: query.into(),
                ..query::Recall::default()
            },
        }
    }

    /// Only in this namespace, or in those with this prefix, such as `project/`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.body.namespace = Some(namespace.into());
        self
    }

    /// Only of this type.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.body.kind = Some(kind.into());
        self
    }

    /// Only by this role, whichever instance, or author of an imported memory.
    pub fn created_by(mut self, author: impl Into<String>) -> Self {
        self.body.created_by = Some(author.into());
        self
    }

    /// Only what happened at this time or later.
    pub fn since(mut self, since: TimeMs) -> Self {
        self.body.since = Some(wire_ms(since));
        self
    }

    /// Only what happened before this time.
    pub fn until(mut self, until: TimeMs) -> Self {
        self.body.until = Some(wire_ms(until));
        self
    }

    /// At most so many results: 1 to 100, 10 by default.
    pub fn limit(mut self, limit: u32) -> Self {
        self.body.limit = Some(i64::from(limit));
        self
    }

    /// What was known then, instead of now.
    pub fn as_of(mut self, as_of: AsOf) -> Self {
        (self.body.as_of, self.body.as_of_sequence) = wire_as_of(Some(as_of));
        self
    }

    pub(super) fn wire(&self, reading: &query::Reading) -> query::Recall {
        query::Recall {
            position: reading.position,
            fresh: reading.fresh,
            ..self.body.clone()
        }
    }
}
