//! Memories: what is stored, changed and forgotten, and what is found of it, now and as of earlier.

use crate::apply::{Durability, Incoming, Outcome, apply};
use crate::read_model::memory::find::recall;
use crate::read_model::memory::reach::Reach;
use crate::read_model::overview::Room;
use crate::read_model::table::Table;
use crate::store::{MemoryReader, Snapshot, Store};
use crate::testing::{Road, checkpoint, reader, role, scope, time};
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{
    Actor, Event, EventKey, MemoryChange, MemoryForgotten, MemoryStored, MemoryUpdated,
};
use postroad_protocol::id::{CommandId, InstanceId, MemoryType, Role, TenantId, TimeMs};
use postroad_protocol::memory::{MemoryId, Namespace, NamespaceFilter, Relation, RelationKind};
use postroad_protocol::query::{AsOf, GetMemory, ListMemories, Memory, Page, Recall};
use postroad_protocol::tenancy::replay::StoredFor;
use postroad_recall::held::{Held, NoVectors};
use std::sync::Arc;

pub(super) fn namespace(text: &str) -> Namespace {
    Namespace::parse_stored(text).unwrap()
}

pub(super) fn stored(space: &str, content: &str) -> MemoryStored {
    MemoryStored {
        namespace: namespace(space),
        kind: MemoryType::parse("reference").unwrap(),
        content: content.to_owned(),
        tags: Vec::new(),
        relates_to: Vec::new(),
        episode: None,
        occurred_at: None,
        expires_at: None,
        imported: None,
    }
}

pub(super) fn updates(memory_id: MemoryId) -> Vec<Relation> {
    vec![Relation {
        kind: RelationKind::Updates,
        memory_id,
    }]
}

impl Road {
    /// Stores a memory as `by`, and says which it is.
    pub(super) fn remember(&mut self, by: &str, event: MemoryStored) -> MemoryId {
        let by = Actor::Agent(reader(by));
        let id = CommandId::derived(&[b"memory", &self.end().to_be_bytes()]);
        self.put_as(by.clone(), id, event);
        MemoryId::of(EventKey::of(&by, id))
    }

    pub(super) fn update(&mut self, by: &str, memory_id: MemoryId, change: MemoryChange) {
        self.put(
            Actor::Agent(reader(by)),
            MemoryUpdated { memory_id, change },
        );
    }

    pub(super) fn forget(&mut self, by: &str, memory_id: MemoryId) {
        self.put(Actor::Agent(reader(by)), MemoryForgotten { memory_id });
    }

    /// The contents that answer `query` for `role`, the best first.
    pub(super) fn recalled(
        &self,
        as_role: Option<&str>,
        filter: Option<&str>,
        query: &str,
    ) -> Vec<String> {
        let wanted = Recall {
            namespace: filter.map(|filter| NamespaceFilter::parse(filter).unwrap()),
            ..asked(query)
        };
        contents(&self.recalled_as(as_role, &wanted, time(self.end())))
    }

    pub(super) fn recalled_as(
        &self,
        as_role: Option<&str>,
        wanted: &Recall,
        now: TimeMs,
    ) -> Vec<Memory> {
        let snapshot = self.snapshot();
        let rows = snapshot.tenant(&self.scope);
        let as_role = as_role.map(role);
        let reach = Reach::of(
            wanted.namespace.as_ref(),
            self.scope.tenant(),
            as_role.as_ref(),
        );
        found(&rows.memories(), &reach.unwrap(), wanted, now)
    }

    fn listed(&self, as_role: &str, filter: Option<&str>) -> Vec<String> {
        let snapshot = self.snapshot();
        let rows = snapshot.tenant(&self.scope);
        let filter = filter.map(|filter| NamespaceFilter::parse(filter).unwrap());
        let reach = Reach::of(filter.as_ref(), self.scope.tenant(), Some(&role(as_role)));
        let memories = rows.memories();
        contents(&listed(&memories, &reach.unwrap(), 2, time(self.end())))
    }

    pub(super) fn memory(
        &self,
        as_role: &str,
        memory: MemoryId,
        as_of: Option<AsOf>,
    ) -> Option<Memory> {
        let snapshot = self.snapshot();
        let rows = snapshot.tenant(&self.scope);
        let wanted = GetMemory { memory, as_of };
        let now = time(self.end());
        rows.memories()
            .get(&wanted, Some(&role(as_role)), now)
            .unwrap()
    }
}

pub(super) fn asked(query: &str) -> Recall {
    Recall {
        query: query.to_owned(),
        namespace: None,
        kind: None,
        created_by: None,
        since: None,
        until: None,
        limit: 100,
        as_of: None,
    }
}

pub(super) fn contents(memories: &[Memory]) -> Vec<String> {
    memories
        .iter()
        .map(|memory| memory.content.clone())
        .collect()
}

pub(super) fn found(
    memories: &MemoryReader<'_, '_>,
    reach: &Reach,
    wanted: &Recall,
    now: TimeMs,
) -> Vec<Memory> {
    let hold = |_: &Namespace, rows: &crate::store::IndexReader<'_>| {
        let held = Held::load::<_, NoVectors>(rows, None, 0);
        Ok(Arc::new(held.expect("the index reads")))
    };
    let searched = memories.searched(reach, hold).unwrap();
    recall(&searched, wanted, None, now, usize::MAX)
        .unwrap()
        .results
}

/// Everything within `reach`, in pages of so many.
pub(super) fn listed(
    memories: &MemoryReader<'_, '_>,
    reach: &Reach,
    page: usize,
    now: TimeMs,
) -> Vec<Memory> {
    let wanted = ListMemories {
        page: Page {
            limit: page,
            cursor: None,
        },
        namespace: None,
        kind: None,
        tag: None,
        created_by: None,
    };
    let (mut all, mut before) = (Vec::new(), None);
    for _ in 0..10_000 {
        let mut room = Room::of(page);
        let listed = memories
            .list(reach, &wanted, before, now, &mut room)
            .unwrap();
        assert!(listed.memories.len() <= page);
        all.extend(listed.memories);
        before = listed.next_before;
        if before.is_none() {
            return all;
        }
    }
    panic!("a list that does not end");
}

/// Rows of a table, of whichever owner.
fn rows_of(store: &Store, table: Table) -> usize {
    let rows = store.dump().unwrap();
    rows.iter().filter(|row| row.0 == table.name()).count()
}

#[test]
fn what_is_stored_is_found_by_its_words_and_lists_the_newest_first() {
    let mut road = Road::new();
    road.remember(
        "tau/pi",
        stored("workspace", "Acme uses PostgreSQL 15 with pgvector."),
    );
    road.remember(
        "tau/pi",
        stored(
            "project/landing-page",
            "The landing page is built with Astro.",
        ),
    );
    road.remember(
        "pi/mac",
        stored("orchestrator/pi", "My own plan: PostgreSQL first."),
    );
    assert_eq!(
        road.recalled(Some("tau"), None, "postgresql"),
        ["Acme uses PostgreSQL 15 with pgvector."]
    );
    assert_eq!(road.recalled(Some("pi"), None, "postgresql").len(), 2);
    assert_eq!(road.recalled(None, None, "postgresql").len(), 2);
    assert_eq!(
        road.listed("tau", None),
        [
            "The landing page is built with Astro.",
            "Acme uses PostgreSQL 15 with pgvector."
        ]
    );
    assert_eq!(
        road.listed("pi", Some("orchestrator/")),
        ["My own plan: PostgreSQL first."]
    );
    assert_eq!(road.listed("tau", Some("orchestrator/")), [""; 0]);
    assert_eq!(road.listed("tau", Some("project/")).len(), 1);
}

#[test]
fn an_updated_memory_says_the_new_and_as_of_earlier_the_old() {
    let mut road = Road::new();
    let id = road.remember("tau/pi", stored("global", "Deploys run on Monday."));
    let then = road.end();
    let change = MemoryChange {
        content: Some("Deploys run on Friday.".to_owned()),
        ..MemoryChange::default()
    };
    road.update("phi/mac", id, change.clone());
    assert_eq!(
        road.recalled(Some("tau"), None, "deploys"),
        ["Deploys run on Friday."]
    );
    assert_eq!(road.recalled(Some("tau"), None, "monday"), [""; 0]);
    let earlier = Recall {
        as_of: Some(AsOf::Sequence(then)),
        ..asked("deploys")
    };
    let seen = road.recalled_as(Some("tau"), &earlier, time(road.end()));
    assert_eq!(contents(&seen), ["Deploys run on Monday."]);
    let at = |as_of| road.memory("tau", id, as_of).unwrap();
    assert_eq!(
        (at(None).version, at(None).content.as_str()),
        (2, "Deploys run on Friday.")
    );
    assert_eq!(
        at(Some(AsOf::Time(time(then)))).content,
        "Deploys run on Monday."
    );
    assert!(
        road.memory("tau", id, Some(AsOf::Sequence(then - 1)))
            .is_none()
    );
    assert_eq!(
        at(None).created_by,
        "tau",
        "whoever changes it does not take it over"
    );
    // Saying it once more is no further version.
    road.update("phi/mac", id, change);
    assert_eq!(road.memory("tau", id, None).unwrap().version, 2);
}

#[test]
fn a_forgotten_memory_leaves_nothing_in_any_table() {
    let mut road = Road::new();
    let kept = road.remember("tau/pi", stored("global", "kept"));
    let before: Vec<usize> = Table::ALL.map(|table| rows_of(&road.store, table)).to_vec();
    let id = road.remember(
        "tau/pi",
        stored("global", "A secret about the zanzibar migration."),
    );
    road.update(
        "tau/pi",
        id,
        MemoryChange {
            content: Some("Another secret about zanzibar.".to_owned()),
            relates_to: Some(updates(kept)),
            ..MemoryChange::default()
        },
    );
    road.forget("tau/pi", id);
    for (table, before) in Table::ALL.into_iter().zip(before) {
        if !matches!(table, Table::Events | Table::Usage) {
            assert_eq!(rows_of(&road.store, table), before, "{}", table.name());
        }
    }
    let leftover = road
        .store
        .dump()
        .unwrap()
        .into_iter()
        .find(|(_, key, value)| {
            [key, value]
                .iter()
                .any(|bytes| String::from_utf8_lossy(bytes).contains("zanzibar"))
        });
    assert_eq!(leftover, None);
    assert!(road.memory("tau", id, None).is_none());
    assert_eq!(road.memory("tau", kept, None).unwrap().superseded_by, None);
    // An update that was on its way changes nothing.
    road.update(
        "tau/pi",
        id,
        MemoryChange {
            tags: Some(vec!["x".into()]),
            ..MemoryChange::default()
        },
    );
    assert!(road.memory("tau", id, None).is_none());
    let standing = road
        .snapshot()
        .tenant(&road.scope)
        .tenant_standing()
        .unwrap();
    assert_eq!(standing.memories, 1);
}

#[test]
fn a_memory_that_has_ended_is_shown_nowhere() {
    let mut road = Road::new();
    let end = time(road.end() + 10);
    let event = MemoryStored {
        expires_at: Some(end),
        ..stored("global", "the freeze lasts")
    };
    let id = road.remember("tau/pi", event);
    assert_eq!(road.recalled(Some("tau"), None, "freeze").len(), 1);
    for _ in 0..10 {
        road.issue("phi");
    }
    assert_eq!(road.recalled(Some("tau"), None, "freeze"), [""; 0]);
    assert_eq!(road.listed("tau", None), [""; 0]);
    assert!(road.memory("tau", id, None).is_none());
    let then = Some(AsOf::Time(TimeMs(end.0 - 1)));
    assert!(road.memory("tau", id, then).is_some());
}

#[test]
fn only_so_many_versions_are_kept() {
    let mut road = Road::new();
    let id = road.remember("tau/pi", stored("global", "version 1"));
    let above = road.remember(
        "tau/pi",
        MemoryStored {
            relates_to: updates(id),
            ..stored("global", "above 1")
        },
    );
    for version in 2..100 {
        for (memory, word) in [(id, "version"), (above, "above")] {
            let content = Some(format!("{word} {version}"));
            road.update(
                "tau/pi",
                memory,
                MemoryChange {
                    content,
                    ..MemoryChange::default()
                },
            );
        }
    }
    let kept = 2 * postroad_protocol::limits::MEMORY_VERSIONS_KEPT;
    assert_eq!(rows_of(&road.store, Table::MemoryTexts), kept);
    assert_eq!(
        road.recalled(Some("tau"), None, "version above"),
        ["above 99", "version 99"]
    );
}

/// The operator's shared library, beside tenants' memories.
fn publish(store: &Store, sequence: u64, content: &str) -> MemoryId {
    let by = Actor::Operator(InstanceId::parse("cli").unwrap());
    let id = CommandId::derived(&[content.as_bytes()]);
    let record = Record {
        id,
        key: EventKey::of(&by, id),
        time: time(sequence),
        by,
        event: Event::from(stored("global", content)),
    };
    let memory = MemoryId::of(record.key);
    let outcome = Outcome::Event {
        stored_for: StoredFor::System,
        record,
    };
    let batch = [Incoming { sequence, outcome }];
    apply(store, &batch, checkpoint(sequence), Durability::Visible).unwrap();
    memory
}

#[test]
fn the_shared_library_lies_apart_from_every_tenants_global() {
    let mut road = Road::new();
    road.remember("tau/pi", stored("global", "ours about clocks"));
    let shared = publish(&road.store, road.end() + 1, "everybody's clocks run in UTC");
    let snapshot: Snapshot = road.snapshot();
    let library = snapshot.library_for_brokers();
    let now = time(road.end() + 1);
    let of_all = found(
        &library.memories(),
        &Reach::library(),
        &asked("clocks"),
        now,
    );
    assert_eq!(contents(&of_all), ["everybody's clocks run in UTC"]);
    assert!(of_all[0].shared && of_all[0].created_by == "_operator");
    assert_eq!(
        road.recalled(Some("tau"), None, "clocks"),
        ["ours about clocks"]
    );
    let foreign = snapshot.tenant(&scope("globex"));
    let tau: Option<Role> = Some(role("tau"));
    let reach = Reach::of(None, &TenantId::parse("globex").unwrap(), tau.as_ref()).unwrap();
    assert_eq!(
        found(&foreign.memories(), &reach, &asked("clocks"), now),
        []
    );
    let wanted = GetMemory {
        memory: shared,
        as_of: None,
    };
    assert!(
        foreign
            .memories()
            .get(&wanted, None, now)
            .unwrap()
            .is_none()
    );
}
