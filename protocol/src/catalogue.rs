//! Every subject and verb in one table: the source of `subjects.md`, and of the test that every
//! verb has an isolation case. Owns the list; enforces nothing.

use crate::subject::RequestKind;
use crate::tenancy::Scope;

/// Who may use a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Agents with the scope, for their own tenant.
    Agent,
    /// The operator only.
    Operator,
    /// Agents with the scope, and the operator.
    Both,
}

/// One verb.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Command or query.
    pub kind: RequestKind,
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: &'static str,
    /// Who may use it.
    pub who: Who,
    /// Fields of the request; `?` marks the optional ones.
    pub request: &'static str,
    /// Fields of the answer.
    pub answer: &'static str,
}

const fn command(
    scope: Scope,
    name: &'static str,
    who: Who,
    request: &'static str,
    answer: &'static str,
) -> Verb {
    Verb {
        kind: RequestKind::Command,
        scope,
        name,
        who,
        request,
        answer,
    }
}

const fn query(
    scope: Scope,
    name: &'static str,
    who: Who,
    request: &'static str,
    answer: &'static str,
) -> Verb {
    Verb {
        kind: RequestKind::Query,
        scope,
        name,
        who,
        request,
        answer,
    }
}

const TASK_SAVED: &str = "taskId, status, version, leaseUntil?, position, already?";

/// Every verb.
pub const VERBS: &[Verb] = &[
    command(
        Scope::Messages,
        "send_message",
        Who::Agent,
        "channel, content, instanceId?, messageId?, replyTo?, priority?, metadata?",
        "messageId, position, recipientCount, recipients?",
    ),
    command(
        Scope::Messages,
        "mark_as_read",
        Who::Agent,
        "receiptIds?, messageIds?, commandId?",
        "marked, alreadyRead, notFound, position?",
    ),
    command(
        Scope::Own,
        "set_summary",
        Who::Agent,
        "summary, commandId?",
        "position",
    ),
    command(
        Scope::Admin,
        "create_tenant",
        Who::Operator,
        "shard?, commandId?",
        "tenant, shard, generation, position",
    ),
    command(
        Scope::Admin,
        "issue_credential",
        Who::Both,
        "role, publicKey, instanceId?, scopes?, ttlS?, token?, commandId?",
        "jwt, expiresAt, position",
    ),
    command(
        Scope::Admin,
        "retire_agent",
        Who::Both,
        "role, instanceId?, commandId?",
        "position",
    ),
    command(
        Scope::Admin,
        "accept_damage",
        Who::Operator,
        "shard, fromSequence, toSequence, commandId?",
        "position",
    ),
    command(
        Scope::Admin,
        "erase_tenant",
        Who::Operator,
        "confirm, commandId?",
        "tenant, generation, position",
    ),
    command(
        Scope::Admin,
        "rotate_key",
        Who::Operator,
        "commandId?",
        "generation, number, position",
    ),
    query(
        Scope::Messages,
        "check_messages",
        Who::Agent,
        "limit?, cursor?, waitMs?",
        "messages, unreadTotal, highestPriority?, tasks?, truncated, nextCursor, position, stale?",
    ),
    query(
        Scope::Messages,
        "message_status",
        Who::Agent,
        "messageId, limit?, cursor?",
        "messageId, recipientCount, deliveredCount, readCount, receipts, nextCursor, position",
    ),
    query(
        Scope::Messages,
        "get_message",
        Who::Agent,
        "messageId",
        "message, position",
    ),
    query(
        Scope::Messages,
        "list_messages",
        Who::Both,
        "limit?, cursor?, sender?, channel?, since?, until?",
        "messages, unreadTotal?, highestPriority?, truncated, nextCursor, position?",
    ),
    query(
        Scope::Own,
        "list_peers",
        Who::Both,
        "limit?, cursor?",
        "peers, nextCursor?, position?",
    ),
    query(
        Scope::Own,
        "whoami",
        Who::Both,
        "",
        "tenantId, role, instanceId, unreadTotal?, highestPriority?, position?, watching?, wakeAskedAt?, wakeConfirmedAt?",
    ),
    query(
        Scope::Admin,
        "list_tenants",
        Who::Operator,
        "limit?, cursor?",
        "tenants, nextCursor?",
    ),
    query(
        Scope::Admin,
        "get_tenant",
        Who::Operator,
        "",
        "tenant, shard, generation, createdAt, roles, readers, messages, storedBytes, memories, tasks, state, suspendedAt?, suspendReason?, limits",
    ),
    query(
        Scope::Admin,
        "list_agents",
        Who::Both,
        "limit?, cursor?",
        "agents, nextCursor?, position",
    ),
    query(
        Scope::Admin,
        "status",
        Who::Operator,
        "",
        "shards, version, natsVersion, droppedRequests",
    ),
    query(Scope::Admin, "rebuild", Who::Operator, "", "shards"),
    query(
        Scope::Audit,
        "replay",
        Who::Operator,
        "shard?, fromSequence?, fromTime?, toSequence?, toTime?, limit?",
        "events, nextSequence?, end, missing?",
    ),
    command(
        Scope::Admin,
        "import_events",
        Who::Operator,
        "events, after?, commandId?",
        "imported, skipped, position",
    ),
    command(
        Scope::Admin,
        "revoke_credential",
        Who::Both,
        "role?, instanceId?, publicKey?, commandId?",
        "publicKeys, position",
    ),
    command(
        Scope::Own,
        "renew_credential",
        Who::Agent,
        "publicKey, proof, newPublicKey?, ttlS?, commandId?",
        "jwt, expiresAt, position",
    ),
    command(
        Scope::Own,
        "end_credential",
        Who::Agent,
        "publicKey, proof, commandId?",
        "publicKeys, position",
    ),
    command(
        Scope::Admin,
        "suspend_tenant",
        Who::Operator,
        "reason?, commandId?",
        "position, already",
    ),
    command(
        Scope::Admin,
        "resume_tenant",
        Who::Operator,
        "commandId?",
        "position, already",
    ),
    command(
        Scope::Admin,
        "set_limits",
        Who::Operator,
        "set?, reset?, commandId?",
        "limits, position, already",
    ),
    query(
        Scope::Own,
        "usage",
        Who::Both,
        "days?, limit?, cursor?",
        "days, nextCursor?, position?, stale?",
    ),
    command(
        Scope::Memory,
        "store_memory",
        Who::Both,
        "namespace, type, content, tags?, relatesTo?, episode?, occurredAt?, expiresAt?, createdBy?, commandId?",
        "memoryId, position",
    ),
    command(
        Scope::Memory,
        "update_memory",
        Who::Both,
        "memoryId, content?, type?, tags?, relatesTo?, episode?, occurredAt?, expiresAt?, commandId?",
        "memoryId, position",
    ),
    command(
        Scope::Memory,
        "forget_memory",
        Who::Both,
        "memoryId, commandId?",
        "memoryId, position",
    ),
    command(
        Scope::Admin,
        "import_memory",
        Who::Both,
        "namespace, content, id?, type?, createdBy?, episode?, occurredAt?, expiresAt?, tags?, commandId?",
        "memoryId, position, already",
    ),
    query(
        Scope::Memory,
        "get_memory",
        Who::Both,
        "memoryId, asOf?, asOfSequence?",
        "memory, position?, stale?",
    ),
    query(
        Scope::Memory,
        "list_memories",
        Who::Both,
        "limit?, cursor?, namespace?, type?, tag?, createdBy?",
        "memories, truncated, nextCursor, position?, stale?",
    ),
    query(
        Scope::Memory,
        "recall",
        Who::Both,
        "query, namespace?, type?, createdBy?, since?, until?, limit?, asOf?, asOfSequence?",
        "results, matched, awaiting, mode, truncated?, position?, stale?",
    ),
    query(
        Scope::Messages,
        "search_messages",
        Who::Agent,
        "query, sender?, channel?, since?, until?, limit?",
        "messages, matched, truncated?, indexing?, position, stale?",
    ),
    command(
        Scope::Tasks,
        "create_task",
        Who::Agent,
        "title, description?, project?, priority?, assignedTo?, assignedToInstanceId?, dependsOn?, missionId?, tags?, dueAt?, note?, commandId?",
        TASK_SAVED,
    ),
    command(
        Scope::Tasks,
        "claim_task",
        Who::Agent,
        "taskId, leaseMs?, ifVersion?, commandId?",
        TASK_SAVED,
    ),
    command(
        Scope::Tasks,
        "release_task",
        Who::Agent,
        "taskId, note?, ifVersion?, commandId?",
        TASK_SAVED,
    ),
    command(
        Scope::Tasks,
        "update_task",
        Who::Agent,
        "taskId, title?, description?, project?, priority?, status?, assignedTo?, assignedToInstanceId?, dependsOn?, missionId?, tags?, dueAt?, note?, ifVersion?, commandId?",
        TASK_SAVED,
    ),
    command(
        Scope::Tasks,
        "add_dependency",
        Who::Agent,
        "taskId, dependsOn, ifVersion?, commandId?",
        TASK_SAVED,
    ),
    command(
        Scope::Tasks,
        "block_task",
        Who::Agent,
        "taskId, reason, ifVersion?, commandId?",
        TASK_SAVED,
    ),
    command(
        Scope::Tasks,
        "complete_task",
        Who::Agent,
        "taskId, note?, ifVersion?, commandId?",
        TASK_SAVED,
    ),
    command(
        Scope::Tasks,
        "fail_task",
        Who::Agent,
        "taskId, reason, ifVersion?, commandId?",
        TASK_SAVED,
    ),
    command(
        Scope::Tasks,
        "cancel_task",
        Who::Agent,
        "taskId, reason, ifVersion?, commandId?",
        TASK_SAVED,
    ),
    command(
        Scope::Tasks,
        "create_mission",
        Who::Agent,
        "title, brief?, pilot?, agents?, project?, priority?, status?, startsAt?, dueAt?, commandId?",
        "missionId, status, version, position",
    ),
    command(
        Scope::Tasks,
        "update_mission",
        Who::Agent,
        "missionId, title?, brief?, pilot?, agents?, project?, priority?, status?, startsAt?, dueAt?, ifVersion?, commandId?",
        "missionId, status, version, position, already?",
    ),
    query(
        Scope::Tasks,
        "get_task",
        Who::Both,
        "taskId",
        "task, position, stale?",
    ),
    query(
        Scope::Tasks,
        "list_tasks",
        Who::Both,
        "limit?, cursor?, project?, assignedTo?, assignedToInstanceId?, status?, missionId?, priority?, ready?",
        "tasks, truncated, nextCursor, position?, stale?",
    ),
    query(
        Scope::Tasks,
        "get_mission",
        Who::Both,
        "missionId",
        "mission, position, stale?",
    ),
    query(
        Scope::Tasks,
        "list_missions",
        Who::Both,
        "limit?, cursor?, project?, status?, pilot?",
        "missions, truncated, nextCursor, position?, stale?",
    ),
];

/// The table of verbs, in Markdown, as `subjects.md` holds it.
pub fn verbs_markdown() -> String {
    let mut text = String::from(
        "| kind | scope | verb | who | request | answer |\n|---|---|---|---|---|---|\n",
    );
    for verb in VERBS {
        let who = match verb.who {
            Who::Agent => "agent",
            Who::Operator => "operator",
            Who::Both => "agent, operator",
        };
        let fields = if verb.request.is_empty() {
            "–"
        } else {
            verb.request
        };
        let (kind, scope) = (verb.kind.token(), verb.scope.token());
        text += &format!(
            "| {kind} | {scope} | `{}` | {who} | {fields} | {} |\n",
            verb.name, verb.answer
        );
    }
    text
}

/// The table of permissions, in Markdown, as `subjects.md` holds it.
pub fn permissions_markdown(root: &str) -> String {
    use crate::permission as p;
    let mut text = String::from(
        "| credential | may publish | may not publish | may subscribe |\n|---|---|---|---|\n",
    );
    let kinds = [
        ("agent, one instance", p::agent(root)),
        ("agent, any instance", p::agent_any_instance(root)),
        ("operator", p::operator(root)),
        ("broker", p::broker(root)),
        ("projector", p::projector(root)),
        ("issuer", p::issuer(root)),
        ("gateway", p::gateway(root)),
    ];
    for (name, template) in kinds {
        let list = |subjects: &[String]| match subjects {
            [] => "–".to_owned(),
            some => some
                .iter()
                .map(|subject| format!("`{subject}`"))
                .collect::<Vec<_>>()
                .join("<br>"),
        };
        let columns = [
            &template.publish_allow,
            &template.publish_deny,
            &template.subscribe_allow,
        ]
        .map(|subjects| list(subjects));
        text += &format!("| {name} | {} |\n", columns.join(" | "));
    }
    text
}
