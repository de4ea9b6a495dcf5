//! Tests of [`super`].

use super::*;
use crate::envelope::Record;
use crate::event::{Asked, MissionChanged, TaskChanged};
use crate::id::{CommandId, InstanceId, ProjectName, Reader, Role, TimeMs};
use crate::limits;
use crate::portable::{PortableEvent, Scribe};
use crate::task::{
    Assignee, Claim, Lease, MissionState, MissionStatus, Note, Project, TaskPriority, TaskState,
    TaskStatus,
};
use proptest::prelude::*;
use serde_json::json;

fn reader(role: &str) -> Reader {
    Reader {
        role: Role::parse(role).unwrap(),
        instance: InstanceId::parse("pi").unwrap(),
    }
}

fn id() -> CommandId {
    CommandId::derived(&[b"work"])
}

fn agent() -> Actor {
    Actor::Agent(reader("tau"))
}

fn own_task() -> TaskId {
    TaskId::of(EventKey::of(&agent(), id()))
}

fn own_mission() -> MissionId {
    MissionId::of(EventKey::of(&agent(), id()))
}

fn task() -> TaskState {
    TaskState {
        version: 1,
        title: "Lay the road".into(),
        description: String::new(),
        project: Project::Studio,
        priority: TaskPriority::Medium,
        status: TaskStatus::Todo,
        assigned_to: None,
        claim: None,
        depends_on: Vec::new(),
        mission: None,
        tags: Vec::new(),
        due_at: None,
        notes: Vec::new(),
        created_by: agent(),
        created_at: TimeMs(5),
        ended_at: None,
    }
}

fn mission() -> MissionState {
    MissionState {
        version: 1,
        title: "Build the road".into(),
        brief: String::new(),
        pilot: None,
        agents: Vec::new(),
        project: Project::Studio,
        priority: TaskPriority::Medium,
        status: MissionStatus::Plan,
        starts_at: None,
        due_at: None,
        created_by: agent(),
        created_at: TimeMs(5),
        ended_at: None,
    }
}

fn line(by: &str, type_name: &str, data: Value) -> PortableEvent {
    PortableEvent {
        sequence: 7,
        id: id().to_string(),
        time: TimeMs(5),
        by: by.to_owned(),
        type_name: type_name.to_owned(),
        schema: 1,
        data,
    }
}

fn field(read: Result<Record, Refusal>) -> String {
    match read {
        Ok(_) => "fine".to_owned(),
        Err(refusal) => refusal.field.unwrap(),
    }
}

/// The field at fault of a creation by tau whose fields are these instead.
fn created(what: &str, by: &str, more: &Value) -> String {
    let mut data = match what {
        "task" => json!({"taskId": own_task(), "change": "created", "state": task()}),
        _ => json!({"missionId": own_mission(), "change": "created", "state": mission()}),
    };
    data["asked"] = json!("0".repeat(32));
    set(&mut data, more);
    field(line(by, &format!("{what}_changed"), data).record())
}

/// The field at fault of a change by `by` of some task.
fn changed(by: &str, change: &str, more: &Value) -> String {
    let mut data = json!({
        "taskId": TaskId::from_bytes([7; 16]),
        "change": change,
        "asked": "0".repeat(32),
        "state": TaskState { version: 2, ..task() },
    });
    set(&mut data, more);
    field(line(by, "task_changed", data).record())
}

/// Sets top fields, and those of the state where `more` has some.
fn set(data: &mut Value, more: &Value) {
    for (name, value) in more.as_object().unwrap() {
        if name != "state" {
            data[name] = value.clone();
            continue;
        }
        for (name, value) in value.as_object().unwrap() {
            data["state"][name] = value.clone();
        }
    }
}

fn claimed() -> Value {
    json!({"by": {"role": "tau", "instance": "pi"}, "at": 5})
}

fn leased(ms: u64) -> Value {
    let mut claim = claimed();
    claim["lease"] = json!({"ms": ms, "until": 9});
    claim
}

#[test]
fn what_came_to_be_has_the_id_and_the_maker_that_its_event_gives_it() {
    let other = TaskId::from_bytes([7; 16]);
    for (what, id) in [("task", "taskId"), ("mission", "missionId")] {
        assert_eq!(created(what, "tau/pi", &json!({})), "fine");
        assert_eq!(created(what, "tau/pi", &json!({ id: other })), id);
        for by in ["_sys", "_operator/cli", "phi/pi"] {
            assert_eq!(created(what, by, &json!({})), "by", "{by}");
        }
        let more = json!({"state": {"createdBy": {"agent": {"role": "phi", "instance": "pi"}}}});
        assert_eq!(created(what, "tau/pi", &more), "by");
        for version in [0, 2] {
            let more = json!({"state": {"version": version}});
            assert_eq!(created(what, "tau/pi", &more), "version");
        }
        // Anybody's id is right where it came to be before, under a higher version.
        let more = json!({id: other, "change": "updated"});
        assert_eq!(created(what, "tau/pi", &more), "version");
        let more = json!({id: other, "change": "updated", "state": {"version": 2}});
        assert_eq!(created(what, "phi/pi", &more), "fine");
    }
    let asked = |asked: &str| created("task", "tau/pi", &json!({"asked": asked}));
    assert_eq!(asked("0"), "data");
    assert_eq!(asked(&"z".repeat(32)), "data");
}

#[test]
fn a_task_keeps_to_the_bounds_of_what_is_stored() {
    let ids = |count: u8| (1..=count).map(|n| TaskId::from_bytes([n; 16]));
    let notes = |count: usize, text: &str| {
        vec![
            json!({"at": 1, "by": {"agent": {"role": "tau", "instance": "pi"}}, "text": text});
            count
        ]
    };
    let tags = |count: usize| (0..count).map(|n| format!("{n:02}")).collect::<Vec<_>>();
    for (at, state) in [
        ("title", json!({"title": ""})),
        ("title", json!({"title": " a"})),
        ("title", json!({"title": "a\nb"})),
        ("title", json!({"title": "e\u{301}"})),
        ("title", json!({"title": "x".repeat(257)})),
        ("fine", json!({"title": "x".repeat(256)})),
        ("description", json!({"description": " "})),
        (
            "description",
            json!({"description": "x".repeat(16 * 1024 + 1)}),
        ),
        ("fine", json!({"description": "x\ny"})),
        ("notes", json!({"notes": notes(21, "x")})),
        ("fine", json!({"notes": notes(20, "x")})),
        ("notes", json!({"notes": notes(1, "")})),
        ("notes", json!({"notes": notes(1, &"x".repeat(2049))})),
        ("tags", json!({"tags": ["b", "a"]})),
        ("tags", json!({"tags": ["a", "a"]})),
        ("tags", json!({"tags": [" a"]})),
        ("tags", json!({"tags": tags(33)})),
        ("fine", json!({"tags": tags(32)})),
        (
            "dependsOn",
            json!({"dependsOn": ids(2).rev().collect::<Vec<_>>()}),
        ),
        (
            "dependsOn",
            json!({"dependsOn": [ids(1).next(), ids(1).next()]}),
        ),
        (
            "dependsOn",
            json!({"dependsOn": ids(65).collect::<Vec<_>>()}),
        ),
        ("dependsOn", json!({"dependsOn": [own_task()]})),
        ("fine", json!({"dependsOn": ids(64).collect::<Vec<_>>()})),
        ("dueAt", json!({"dueAt": u64::MAX})),
        ("fine", json!({"dueAt": limits::TIME_MAX_MS})),
        ("endedAt", json!({"endedAt": 5})),
        ("endedAt", json!({"status": "done"})),
        ("status", json!({"status": "done", "endedAt": 5})),
        ("status", json!({"status": "blocked"})),
        ("claim", json!({"claim": claimed()})),
        ("data", json!({"status": "sung"})),
        ("data", json!({"priority": "normal"})),
        ("data", json!({"project": "studio/acme"})),
    ] {
        let found = created("task", "tau/pi", &json!({ "state": state }));
        assert_eq!(found, at, "{state}");
    }
}

#[test]
fn a_change_leads_where_it_says_and_is_somebodys_who_may() {
    let ended = |status: &str| json!({"status": status, "endedAt": 6, "claim": claimed()});
    let stands = |status: &str| json!({"status": status, "claim": claimed()});
    let free = json!({"status": "todo"});
    let cases = [
        ("claimed", stands("in_progress"), free.clone()),
        ("renewed", stands("in_progress"), stands("review")),
        ("released", free.clone(), stands("in_progress")),
        ("blocked", stands("blocked"), stands("review")),
        ("completed", ended("done"), ended("failed")),
        ("failed", ended("failed"), ended("cancelled")),
        ("cancelled", ended("cancelled"), ended("done")),
        ("dependency_added", stands("blocked"), stands("in_progress")),
    ];
    for (change, right, wrong) in cases {
        let by = |by: &str, state: &Value| changed(by, change, &json!({ "state": state }));
        assert_eq!(by("tau/pi", &right), "fine", "{change}");
        assert_eq!(by("tau/pi", &wrong), "status", "{change}");
        assert_eq!(by("_sys", &right), "by", "{change}");
        assert_eq!(by("_operator/cli", &right), "by", "{change}");
    }
    let expired = |by: &str| changed(by, "lease_expired", &json!({}));
    assert_eq!(expired("_sys"), "fine");
    assert_eq!(expired("tau/pi"), "by");
    assert_eq!(expired("_operator/cli"), "by");
    let claim = |status: &str, claim: Value| {
        changed(
            "tau/pi",
            "updated",
            &json!({"state": {"status": status, "claim": claim}}),
        )
    };
    assert_eq!(claim("in_progress", Value::Null), "claim");
    assert_eq!(claim("in_progress", leased(999)), "claim");
    assert_eq!(
        claim("in_progress", leased(limits::LEASE_MAX_MS + 1)),
        "claim"
    );
    assert_eq!(claim("in_progress", leased(1_000)), "fine");
    assert_eq!(claim("review", leased(1_000)), "claim");
    assert_eq!(claim("review", claimed()), "fine");
}

#[test]
fn a_mission_keeps_to_the_bounds_of_what_is_stored() {
    let agents = |count: usize| (0..count).map(|n| format!("a{n:02}")).collect::<Vec<_>>();
    for (at, state) in [
        ("title", json!({"title": "a\tb"})),
        ("brief", json!({"brief": "x".repeat(16 * 1024 + 1)})),
        ("agents", json!({"agents": ["b", "a"]})),
        ("agents", json!({"agents": ["a", "a"]})),
        ("agents", json!({"agents": agents(65)})),
        ("fine", json!({"agents": agents(64)})),
        ("startsAt", json!({"startsAt": u64::MAX})),
        ("dueAt", json!({"dueAt": u64::MAX})),
        ("endedAt", json!({"endedAt": 5})),
        ("endedAt", json!({"status": "complete"})),
        ("status", json!({"status": "complete", "endedAt": 5})),
        ("status", json!({"status": "validate"})),
        ("fine", json!({"status": "execute", "pilot": "tau"})),
        ("data", json!({"pilot": "broadcast"})),
    ] {
        let found = created("mission", "tau/pi", &json!({ "state": state }));
        assert_eq!(found, at, "{state}");
    }
}

#[test]
fn postroad_sends_messages_and_is_nobody_else() {
    let sent = |by: &str, from: Value, more: &Value| {
        let mut data = json!({"from": from, "channel": "tau", "content": "x"});
        set(&mut data, more);
        field(line(by, "message_sent", data).record())
    };
    let own = || json!({"role": POSTROAD_ROLE, "instance": "tasks"});
    let tau = || json!({"role": "tau", "instance": "pi"});
    assert_eq!(sent("_sys", own(), &json!({})), "fine");
    let labels = json!({"metadata": {"role": POSTROAD_ROLE}});
    assert_eq!(sent("tau/pi", tau(), &labels), "fine");
    assert_eq!(sent("tau/pi", own(), &json!({})), "by");
    assert_eq!(sent("_operator/cli", own(), &json!({})), "by");
    assert_eq!(sent("_sys", tau(), &json!({})), "by");
    assert_eq!(sent("_postroad/tasks", own(), &json!({})), "by");
    let other = json!({"role": POSTROAD_ROLE, "instance": "pi"});
    assert_eq!(sent("_sys", other, &json!({})), "by");
    let to_itself = json!({"channel": format!("tau,{POSTROAD_ROLE}")});
    assert_eq!(sent("tau/pi", tau(), &to_itself), "data");

    let named = |by: &str, name: &str, data: Value| field(line(by, name, data).record());
    // However it is written.
    for reader in [own(), json!([POSTROAD_ROLE, "tasks"])] {
        let data = json!({ "reader": reader });
        assert_eq!(named("_sys", "reader_registered", data), "data");
    }
    let read = json!({"reader": own(), "messages": []});
    assert_eq!(named("_sys", "messages_read", read.clone()), "by");
    assert_eq!(named("_sys", "messages_delivered", read), "data");
    let retired = json!({"role": POSTROAD_ROLE});
    assert_eq!(named("_operator/cli", "agent_retired", retired), "data");
    for state in [
        json!({"assignedTo": {"role": POSTROAD_ROLE}}),
        json!({"status": "blocked", "claim": {"by": own(), "at": 1}}),
        json!({"notes": [{"at": 1, "by": {"agent": own()}, "text": "x"}]}),
        json!({"createdBy": {"agent": own()}}),
    ] {
        let found = changed("tau/pi", "updated", &json!({ "state": state }));
        assert_eq!(found, "data", "{state}");
    }
    for state in [
        json!({"pilot": POSTROAD_ROLE}),
        json!({"agents": [POSTROAD_ROLE]}),
    ] {
        let found = created("mission", "tau/pi", &json!({ "state": state }));
        assert_eq!(found, "data", "{state}");
    }
}

fn sets<T: Ord + std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::btree_set(of, 0..4).prop_map(|set| set.into_iter().collect())
}

fn tasks() -> impl Strategy<Value = (Actor, Event)> {
    let key = || any::<[u8; 16]>().prop_filter("no nil", |bytes| *bytes != [0; 16]);
    let time = || proptest::option::of((0..=limits::TIME_MAX_MS).prop_map(TimeMs));
    let parts = (
        proptest::sample::select(TaskStatus::ALL),
        proptest::sample::select(TaskPriority::ALL),
        (2..u64::MAX, any::<bool>(), any::<bool>()),
        ("[a-z\u{e9}]{1,16}", "[a-z\n]{0,16}x"),
        (sets(key()), sets("[a-z]{1,8}")),
        (time(), time(), time()),
        proptest::option::of(limits::LEASE_MIN_MS..=limits::LEASE_MAX_MS),
        proptest::collection::vec("[a-z\u{e9}]{1,8}", 0..4),
    );
    parts.prop_map(
        |(status, priority, (version, has_one, is_narrow), texts, lists, times, ms, notes)| {
            let claim = Claim {
                by: reader("phi"),
                at: TimeMs(version),
                lease: ms
                    .filter(|_| status == TaskStatus::InProgress)
                    .map(|ms| Lease {
                        ms,
                        until: TimeMs(version),
                    }),
            };
            let claims = match status {
                TaskStatus::Todo => false,
                TaskStatus::InProgress => true,
                _ => has_one,
            };
            let state = TaskState {
                version,
                title: texts.0,
                description: texts.1,
                project: if has_one {
                    Project::Studio
                } else {
                    Project::Named(ProjectName::parse("road").unwrap())
                },
                priority,
                status,
                assigned_to: has_one.then(|| Assignee {
                    role: reader("phi").role,
                    instance: is_narrow.then(|| reader("phi").instance),
                }),
                claim: claims.then_some(claim),
                depends_on: lists.0.into_iter().map(TaskId::from_bytes).collect(),
                mission: is_narrow.then(own_mission),
                tags: lists.1,
                due_at: times.0,
                notes: notes
                    .into_iter()
                    .map(|text| Note {
                        at: TimeMs(1),
                        by: agent(),
                        text,
                    })
                    .collect(),
                created_by: Actor::Agent(reader("zed")),
                created_at: times.1.unwrap_or_default(),
                ended_at: status
                    .has_ended()
                    .then_some(times.2)
                    .map(Option::unwrap_or_default),
            };
            let changed = TaskChanged {
                task_id: own_task(),
                change: TaskChange::Updated,
                asked: Asked::of(&version),
                state,
            };
            (agent(), changed.into())
        },
    )
}

fn missions() -> impl Strategy<Value = (Actor, Event)> {
    let roles =
        sets("[a-z][a-z0-9-]{0,8}".prop_filter_map("a role", |name| Role::parse(&name).ok()));
    let parts = (
        proptest::sample::select(MissionStatus::ALL),
        2..u64::MAX,
        roles,
        proptest::option::of((0..=limits::TIME_MAX_MS).prop_map(TimeMs)),
    );
    parts.prop_map(|(status, version, agents, time)| {
        let state = MissionState {
            version,
            pilot: agents.first().cloned(),
            agents,
            status,
            starts_at: time,
            ended_at: status.has_ended().then_some(TimeMs(version)),
            ..mission()
        };
        let changed = MissionChanged {
            mission_id: own_mission(),
            change: MissionChange::Updated,
            asked: Asked::of(&version),
            state,
        };
        (agent(), changed.into())
    })
}

proptest! {
    #[test]
    fn tasks_and_missions_come_back_as_they_were_from_their_line(
        (by, event) in prop_oneof![tasks(), missions()]
    ) {
        let data = serde_json::to_value(&event).unwrap();
        let written = Scribe::default().event(&line(&by.to_string(), event.type_name(), data));
        let read: PortableEvent = serde_json::from_str(&written).unwrap();
        let record = read.record().unwrap();
        prop_assert_eq!(record.event.encode(&record.by), event.encode(&by));
        prop_assert_eq!((record.by, record.event), (by, event));
    }
}
