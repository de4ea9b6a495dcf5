//! Whatever is stored by whoever, and in whatever pieces it is folded: no caller sees a memory outside its tenant and namespaces, and
//! rows follow from the log alone.

use super::memories::{asked, contents, found, listed, namespace, stored, updates};
use crate::apply::{Durability, Incoming, apply};
use crate::read_model::memory::reach::Reach;
use crate::store::Store;
use crate::testing::{Road, checkpoint, fold_one_by_one, incoming, reader, role, scope, time};
use postroad_protocol::event::{
    Actor, EventKey, MemoryChange, MemoryForgotten, MemoryStored, MemoryUpdated,
};
use postroad_protocol::id::{CommandId, TimeMs};
use postroad_protocol::memory::{MemoryId, Namespace, NamespaceFilter};
use proptest::prelude::*;
use std::collections::BTreeMap;

const TENANTS: [&str; 2] = ["acme", "globex"];
const ROLES: [&str; 2] = ["tau", "pi"];
const SPACES: [&str; 6] = [
    "global",
    "workspace",
    "project/land",
    "project/landing",
    "orchestrator/tau",
    "orchestrator/pi",
];
const WORDS: [&str; 4] = ["road", "bridge", "river", "mill"];

/// What one agent does.
#[derive(Clone, Debug)]
struct Step {
    tenant: usize,
    role: usize,
    deed: Deed,
}

#[derive(Clone, Debug)]
enum Deed {
    Store {
        space: usize,
        words: [usize; 2],
        replaces: Option<usize>,
    },
    Update {
        which: usize,
        words: [usize; 2],
        replaces: Option<usize>,
    },
    Forget {
        which: usize,
    },
}

fn deed() -> impl Strategy<Value = Deed> {
    let words = || [0..WORDS.len(), 0..WORDS.len()];
    let which = || 0..12_usize;
    prop_oneof![
        4 => (0..SPACES.len(), words(), proptest::option::of(which()))
            .prop_map(|(space, words, replaces)| Deed::Store { space, words, replaces }),
        2 => (which(), words(), proptest::option::of(which()))
            .prop_map(|(which, words, replaces)| Deed::Update { which, words, replaces }),
        1 => which().prop_map(|which| Deed::Forget { which }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..TENANTS.len(), 0..ROLES.len(), deed()).prop_map(|(tenant, role, deed)| Step {
        tenant,
        role,
        deed,
    });
    proptest::collection::vec(step, 1..40)
}

/// A memory as it must be: each content has a canary that names tenant, namespace and event.
#[derive(Clone, Debug)]
struct Known {
    tenant: usize,
    space: usize,
    content: String,
}

/// The log that `steps` make, and what must be there at its end. Brokers let nobody touch what it may not read, and so does this.
fn told(steps: &[Step]) -> (Vec<Incoming>, BTreeMap<MemoryId, Known>) {
    let (mut log, mut known): (Vec<Incoming>, BTreeMap<MemoryId, Known>) = Default::default();
    let mut order: Vec<MemoryId> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let sequence = at as u64 + 1;
        let by = Actor::Agent(reader(&format!("{}/mac", ROLES[step.role])));
        let id = CommandId::derived(&[&sequence.to_be_bytes()]);
        let content = |space: usize, words: [usize; 2]| {
            let space_name = SPACES[space].replace('/', "-");
            let canary = format!("canary-{}-{space_name}-{sequence}", TENANTS[step.tenant]);
            format!("{} {} {canary}", WORDS[words[0]], WORDS[words[1]])
        };
        let open = |which: usize| {
            let id = *order.get(which % order.len().max(1))?;
            let memory: &Known = known.get(&id)?;
            let role = role(ROLES[step.role]);
            let is_open = namespace(SPACES[memory.space]).is_open_to(Some(&role));
            (memory.tenant == step.tenant && is_open).then_some((id, memory.space))
        };
        let relation = |replaces: Option<usize>, space: usize| {
            let named = replaces.and_then(open).filter(|named| named.1 == space);
            named.map_or_else(Vec::new, |named| updates(named.0))
        };
        let event = match &step.deed {
            Deed::Store {
                space,
                words,
                replaces,
            } => {
                let role = role(ROLES[step.role]);
                if !namespace(SPACES[*space]).is_open_to(Some(&role)) {
                    continue;
                }
                let content = content(*space, *words);
                let event = MemoryStored {
                    relates_to: relation(*replaces, *space),
                    ..stored(SPACES[*space], &content)
                };
                let memory = MemoryId::of(EventKey::of(&by, id));
                let (tenant, space) = (step.tenant, *space);
                order.push(memory);
                known.insert(
                    memory,
                    Known {
                        tenant,
                        space,
                        content,
                    },
                );
                event.into()
            }
            Deed::Update {
                which,
                words,
                replaces,
            } => {
                let Some((memory_id, space)) = open(*which) else {
                    continue;
                };
                let content = content(space, *words);
                let relates_to = relation(*replaces, space);
                known
                    .get_mut(&memory_id)
                    .unwrap()
                    .content
                    .clone_from(&content);
                let change = MemoryChange {
                    content: Some(content),
                    relates_to: Some(relates_to),
                    ..MemoryChange::default()
                };
                MemoryUpdated { memory_id, change }.into()
            }
            Deed::Forget { which } => {
                let Some((memory_id, _)) = open(*which) else {
                    continue;
                };
                known.remove(&memory_id);
                MemoryForgotten { memory_id }.into()
            }
        };
        log.push(incoming(
            &scope(TENANTS[step.tenant]),
            sequence,
            by,
            id,
            event,
        ));
    }
    (log, known)
}

fn is_within(filter: Option<&str>, space: &Namespace) -> bool {
    match filter {
        None => true,
        Some(prefix) if prefix.ends_with('/') => space.stored().starts_with(prefix),
        Some(one) => space.stored() == one,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nobody_is_shown_or_counted_a_memory_outside_its_tenant_and_namespaces(steps in steps()) {
        let (log, known) = told(&steps);
        let store = Store::in_memory();
        fold_one_by_one(&store, &log);
        let snapshot = store.snapshot().unwrap();
        let now = TimeMs(time(100).0);
        for (tenant, tenant_name) in TENANTS.into_iter().enumerate() {
            let scope = scope(tenant_name);
            let rows = snapshot.tenant(&scope);
            let memories = rows.memories();
            for caller in ROLES.map(Some).into_iter().chain([None]) {
                let caller = caller.map(role);
                for filter in [None, Some("project/"), Some("project/land"), Some("global")] {
                    let named = filter.map(|text| NamespaceFilter::parse(text).unwrap());
                    let reach = Reach::of(named.as_ref(), scope.tenant(), caller.as_ref()).unwrap();
                    let mut own: Vec<String> = known
                        .values()
                        .filter(|memory| {
                            let space = namespace(SPACES[memory.space]);
                            memory.tenant == tenant
                                && space.is_open_to(caller.as_ref())
                                && is_within(filter, &space)
                        })
                        .map(|memory| memory.content.clone())
                        .collect();
                    own.sort_unstable();
                    let mut all = contents(&listed(&memories, &reach, 3, now));
                    all.sort_unstable();
                    prop_assert_eq!(&all, &own);
                    for word in WORDS {
                        let shown = contents(&found(&memories, &reach, &asked(word), now));
                        for content in &own {
                            let is_match = content.contains(word);
                            prop_assert!(!is_match || shown.contains(content), "{} lacks {}", word, content);
                        }
                        // What took the place of a match is shown, too, and nothing else.
                        for content in &shown {
                            prop_assert!(own.contains(content), "{} shows {}", word, content);
                        }
                    }
                }
            }
        }
    }

    /// A score depends on what is searched and on nothing else: not on other namespaces, nor on other tenants.
    #[test]
    fn a_score_tells_nothing_of_what_was_not_searched(steps in steps(), others in steps()) {
        let one = |steps: &[Step]| steps
            .iter()
            .filter(|step| step.tenant == 0 && !matches!(step.deed, Deed::Store { space: 5, .. }))
            .cloned()
            .collect::<Vec<_>>();
        let alone = one(&steps);
        // The same deeds of one tenant at the same places in the log, with others' between and behind.
        let mut mixed = alone.clone();
        mixed.extend(others.into_iter().map(|step| Step { tenant: 1, ..step }));
        let scores = |steps: &[Step]| {
            let (log, _) = told(steps);
            let store = Store::in_memory();
            fold_one_by_one(&store, &log);
            let snapshot = store.snapshot().unwrap();
            let scope = scope("acme");
            let rows = snapshot.tenant(&scope);
            let tau = role("tau");
            let reach = Reach::of(None, scope.tenant(), Some(&tau)).unwrap();
            let shown = found(&rows.memories(), &reach, &asked("road mill"), time(100));
            shown
                .into_iter()
                .map(|memory| (memory.content, memory.score.unwrap().to_bits()))
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(scores(&alone), scores(&mixed));
    }

    #[test]
    fn rows_of_memories_are_the_same_however_the_log_is_cut(
        steps in steps(),
        cuts in proptest::collection::vec(1..9_usize, 1..20),
    ) {
        let (log, _) = told(&steps);
        let whole = Store::in_memory();
        fold_one_by_one(&whole, &log);
        let pieces = Store::in_memory();
        let (mut rest, mut cut) = (&log[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(rest.len().min(*cut.next().unwrap()));
            let end = checkpoint(batch.last().unwrap().sequence);
            apply(&pieces, batch, end, Durability::Visible).unwrap();
            // What was applied before changes nothing.
            apply(&pieces, batch, end, Durability::Visible).unwrap();
            rest = behind;
        }
        prop_assert_eq!(whole.dump().unwrap(), pieces.dump().unwrap());
    }
}

#[test]
fn an_erased_tenants_memories_are_gone_and_its_neighbours_stay() {
    let mut road = Road::new();
    road.remember("tau/pi", stored("global", "ours"));
    let before = road.store.dump().unwrap();
    assert!(before.iter().any(|(table, ..)| *table == "memory_index"));
    let globex = scope("globex");
    let event = incoming(
        &globex,
        road.end() + 1,
        Actor::Agent(reader("tau/pi")),
        CommandId::derived(&[b"theirs"]),
        stored("global", "theirs").into(),
    );
    apply(
        &road.store,
        &[event],
        checkpoint(road.end() + 1),
        Durability::Visible,
    )
    .unwrap();
    let erased = postroad_protocol::event::TenantErased {
        tenant: globex.tenant().clone(),
        generation: 1,
        through_sequence: road.end() + 1,
        key_destroyed: true,
        credentials: Vec::new(),
    };
    let record = postroad_protocol::envelope::Record {
        id: CommandId::derived(&[b"erase"]),
        key: EventKey::of(&Actor::System, CommandId::derived(&[b"erase"])),
        time: time(road.end() + 2),
        by: Actor::System,
        event: erased.into(),
    };
    let outcome = crate::apply::Outcome::Event {
        stored_for: postroad_protocol::tenancy::replay::StoredFor::System,
        record,
    };
    let sequence = road.end() + 2;
    let batch = [Incoming { sequence, outcome }];
    apply(
        &road.store,
        &batch,
        checkpoint(sequence),
        Durability::Visible,
    )
    .unwrap();
    let memory_rows = |rows: &[crate::store::DumpedRow]| {
        let of = rows
            .iter()
            .filter(|row| row.0.starts_with("memor") || row.0 == "namespaces");
        of.cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        memory_rows(&road.store.dump().unwrap()),
        memory_rows(&before)
    );
}
