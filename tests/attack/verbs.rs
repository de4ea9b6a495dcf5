//! Every verb with what there is to attack in it: the table that the other modules go through. A verb,
//! or a field of one, that is missing here fails the coverage test.

use crate::known::Known;
use postroad_protocol::catalogue::VERBS;
use serde_json::{Value, json};

/// What a field names, and so what is tried in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// A message of the caller's history.
    Message,
    /// Several such.
    Messages,
    /// Receipts of the caller's.
    Receipts,
    /// Roles on the roster of the caller's tenant.
    Role,
    /// An instance of the role in the field `channel`, or `role`.
    Instance,
    /// A place in a list that the caller was given.
    Cursor,
    /// What the caller itself makes up: somebody else's must not be known by it. All commands of a caller
    /// share their ids, so each is tried with one of those that store something.
    OwnId,
    /// A memory that the caller may read.
    Memory,
    /// Relations to such memories.
    Relations,
    /// Who stores a memory, which is the caller.
    Author,
    /// A task of the caller's tenant.
    Task,
    /// Several such.
    Tasks,
    /// A mission of the caller's tenant.
    Mission,
    /// Several roles on the roster of the caller's tenant.
    Roles,
    /// Nobody: numbers, texts, labels.
    Nothing,
}

/// A verb.
pub struct Entry {
    pub verb: &'static str,
    /// Every field of its request.
    pub fields: &'static [(&'static str, Names)],
    /// A request that an agent is served with; for operators' verbs, one that is well formed.
    pub body: fn(&Known) -> Value,
}

const NOTHING: Names = Names::Nothing;

/// Every verb.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    ENTRIES.iter().chain(crate::task_verbs::ENTRIES)
}

/// Every verb but those of tasks and missions.
const ENTRIES: &[Entry] = &[
    Entry {
        verb: "send_message",
        fields: &[
            ("channel", Names::Role),
            ("content", NOTHING),
            ("instanceId", Names::Instance),
            ("messageId", Names::OwnId),
            ("replyTo", Names::Message),
            ("priority", NOTHING),
            ("metadata", NOTHING),
        ],
        body: |_| json!({"channel": "pi", "content": "to one's own"}),
    },
    Entry {
        verb: "mark_as_read",
        fields: &[
            ("receiptIds", Names::Receipts),
            ("messageIds", Names::Messages),
            ("commandId", Names::OwnId),
        ],
        body: |known| json!({"receiptIds": [known.own.receipt]}),
    },
    Entry {
        verb: "set_summary",
        fields: &[("summary", NOTHING), ("commandId", Names::OwnId)],
        body: |_| json!({"summary": "one's own"}),
    },
    Entry {
        verb: "create_tenant",
        fields: &[("shard", NOTHING), ("commandId", Names::OwnId)],
        body: |_| json!({}),
    },
    Entry {
        verb: "issue_credential",
        // Roles and instances are the administrator's to make up, in its own tenant.
        fields: &[
            ("role", NOTHING),
            ("publicKey", NOTHING),
            ("instanceId", NOTHING),
            ("scopes", NOTHING),
            ("ttlS", NOTHING),
            ("token", NOTHING),
            ("commandId", NOTHING),
        ],
        body: |_| json!({"role": "pi", "publicKey": postroad_client::UserKey::generate().public_key()}),
    },
    Entry {
        verb: "retire_agent",
        fields: &[
            ("role", Names::Role),
            ("instanceId", Names::Instance),
            ("commandId", NOTHING),
        ],
        body: |_| json!({"role": "phi"}),
    },
    Entry {
        verb: "accept_damage",
        fields: &[
            ("shard", NOTHING),
            ("fromSequence", NOTHING),
            ("toSequence", NOTHING),
            ("commandId", Names::OwnId),
        ],
        body: |_| json!({"shard": 0, "fromSequence": 1, "toSequence": 2}),
    },
    Entry {
        verb: "check_messages",
        fields: &[
            ("limit", NOTHING),
            ("cursor", Names::Cursor),
            ("waitMs", NOTHING),
        ],
        body: |_| json!({"fresh": true}),
    },
    Entry {
        verb: "message_status",
        fields: &[
            ("messageId", Names::Message),
            ("limit", NOTHING),
            ("cursor", Names::Cursor),
        ],
        body: |known| json!({"messageId": known.own.message}),
    },
    Entry {
        verb: "get_message",
        fields: &[("messageId", Names::Message)],
        body: |known| json!({"messageId": known.own.message}),
    },
    Entry {
        verb: "list_messages",
        fields: &[
            ("limit", NOTHING),
            ("cursor", Names::Cursor),
            ("sender", Names::Role),
            ("channel", Names::Role),
            ("since", NOTHING),
            ("until", NOTHING),
        ],
        body: |_| json!({"fresh": true}),
    },
    Entry {
        verb: "list_peers",
        fields: &[("limit", NOTHING), ("cursor", Names::Cursor)],
        body: |_| json!({"fresh": true}),
    },
    Entry {
        verb: "whoami",
        fields: &[],
        body: |_| json!({}),
    },
    Entry {
        verb: "list_tenants",
        fields: &[("limit", NOTHING), ("cursor", Names::Cursor)],
        body: |_| json!({}),
    },
    Entry {
        verb: "get_tenant",
        fields: &[],
        body: |_| json!({}),
    },
    Entry {
        verb: "list_agents",
        fields: &[("limit", NOTHING), ("cursor", Names::Cursor)],
        body: |_| json!({}),
    },
    Entry {
        verb: "status",
        fields: &[],
        body: |_| json!({}),
    },
    Entry {
        verb: "rebuild",
        fields: &[],
        body: |_| json!({}),
    },
    Entry {
        verb: "replay",
        fields: &[
            ("shard", NOTHING),
            ("fromSequence", NOTHING),
            ("fromTime", NOTHING),
            ("toSequence", NOTHING),
            ("toTime", NOTHING),
            ("limit", NOTHING),
        ],
        body: |_| json!({}),
    },
    Entry {
        verb: "import_events",
        fields: &[
            ("events", NOTHING),
            ("after", NOTHING),
            ("commandId", Names::OwnId),
        ],
        body: |_| json!({"events": []}),
    },
    Entry {
        verb: "revoke_credential",
        fields: &[
            ("role", Names::Role),
            ("instanceId", Names::Instance),
            ("publicKey", NOTHING),
            ("commandId", NOTHING),
        ],
        body: |_| json!({"role": "phi"}),
    },
    // Whose key is named is proved by a signature over the command's id: see the isolation cases.
    Entry {
        verb: "renew_credential",
        fields: &[
            ("publicKey", NOTHING),
            ("proof", NOTHING),
            ("newPublicKey", NOTHING),
            ("ttlS", NOTHING),
            ("commandId", NOTHING),
        ],
        body: unproved,
    },
    Entry {
        verb: "end_credential",
        fields: &[
            ("publicKey", NOTHING),
            ("proof", NOTHING),
            ("commandId", NOTHING),
        ],
        body: unproved,
    },
    Entry {
        verb: "erase_tenant",
        fields: &[("confirm", NOTHING), ("commandId", Names::OwnId)],
        body: |_| json!({"confirm": "acme"}),
    },
    Entry {
        verb: "rotate_key",
        fields: &[("commandId", Names::OwnId)],
        body: |_| json!({}),
    },
    Entry {
        verb: "suspend_tenant",
        fields: &[("reason", NOTHING), ("commandId", Names::OwnId)],
        body: |_| json!({}),
    },
    Entry {
        verb: "resume_tenant",
        fields: &[("commandId", Names::OwnId)],
        body: |_| json!({}),
    },
    Entry {
        verb: "set_limits",
        fields: &[
            ("set", NOTHING),
            ("reset", NOTHING),
            ("commandId", Names::OwnId),
        ],
        body: |_| json!({"set": {"waits": 5}}),
    },
    Entry {
        verb: "usage",
        // An agent has one page, whatever it names.
        fields: &[("days", NOTHING), ("limit", NOTHING), ("cursor", NOTHING)],
        body: |_| json!({"fresh": true}),
    },
    Entry {
        verb: "search_messages",
        fields: &[
            ("query", NOTHING),
            ("sender", Names::Role),
            ("channel", Names::Role),
            ("since", NOTHING),
            ("until", NOTHING),
            ("limit", NOTHING),
        ],
        body: |_| json!({"query": "own", "fresh": true}),
    },
    Entry {
        verb: "store_memory",
        // A namespace is a name that the caller makes up, or one that it may not use whether it exists or not.
        fields: &[
            ("namespace", NOTHING),
            ("type", NOTHING),
            ("content", NOTHING),
            ("tags", NOTHING),
            ("relatesTo", Names::Relations),
            ("episode", NOTHING),
            ("occurredAt", NOTHING),
            ("expiresAt", NOTHING),
            ("createdBy", Names::Author),
            ("commandId", Names::OwnId),
        ],
        body: |_| json!({"namespace": "global", "type": "note", "content": "one's own"}),
    },
    Entry {
        verb: "update_memory",
        fields: &[
            ("memoryId", Names::Memory),
            ("content", NOTHING),
            ("type", NOTHING),
            ("tags", NOTHING),
            ("relatesTo", Names::Relations),
            ("episode", NOTHING),
            ("occurredAt", NOTHING),
            ("expiresAt", NOTHING),
            ("commandId", Names::OwnId),
        ],
        body: |known| json!({"memoryId": known.own.memory, "tags": ["own"]}),
    },
    Entry {
        verb: "forget_memory",
        // What is forgotten under one id is not there under the next.
        fields: &[("memoryId", Names::Memory), ("commandId", NOTHING)],
        body: |known| json!({"memoryId": known.own.spare}),
    },
    Entry {
        verb: "import_memory",
        // Ids and authors of elsewhere are the administrator's to make up, in its own tenant.
        fields: &[
            ("namespace", NOTHING),
            ("content", NOTHING),
            ("id", NOTHING),
            ("type", NOTHING),
            ("createdBy", NOTHING),
            ("episode", NOTHING),
            ("occurredAt", NOTHING),
            ("expiresAt", NOTHING),
            ("tags", NOTHING),
            ("commandId", NOTHING),
        ],
        body: |_| json!({"namespace": "global", "content": "brought along"}),
    },
    Entry {
        verb: "get_memory",
        fields: &[
            ("memoryId", Names::Memory),
            ("asOf", NOTHING),
            ("asOfSequence", NOTHING),
        ],
        body: |known| json!({"memoryId": known.own.memory}),
    },
    Entry {
        verb: "list_memories",
        fields: &[
            ("limit", NOTHING),
            ("cursor", Names::Cursor),
            ("namespace", NOTHING),
            ("type", NOTHING),
            ("tag", NOTHING),
            ("createdBy", Names::Role),
        ],
        body: |_| json!({"fresh": true}),
    },
    Entry {
        verb: "recall",
        fields: &[
            ("query", NOTHING),
            ("namespace", NOTHING),
            ("type", NOTHING),
            ("createdBy", Names::Role),
            ("since", NOTHING),
            ("until", NOTHING),
            ("limit", NOTHING),
            ("asOf", NOTHING),
            ("asOfSequence", NOTHING),
        ],
        body: |_| json!({"query": "own", "fresh": true}),
    },
];

#[test]
fn every_verb_and_every_field_of_the_catalogue_is_attacked() {
    for verb in VERBS {
        let entry = entries().find(|entry| entry.verb == verb.name);
        let entry = entry.unwrap_or_else(|| panic!("{} has no entry", verb.name));
        let fields = verb.request.split(", ").filter(|field| !field.is_empty());
        let wanted: Vec<&str> = fields.map(|field| field.trim_end_matches('?')).collect();
        let known: Vec<&str> = entry.fields.iter().map(|(field, _)| *field).collect();
        assert_eq!(known, wanted, "the fields of {}", verb.name);
    }
    assert_eq!(entries().count(), VERBS.len(), "no entry without a verb");
}

/// A key whose seed the caller does not show to hold.
fn unproved(_: &Known) -> Value {
    json!({"publicKey": postroad_client::UserKey::generate().public_key(), "proof": "AAAA"})
}
