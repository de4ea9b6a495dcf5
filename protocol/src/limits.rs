//! Every bound of Postroad, with its unit. Owns numbers; never enforces them.

/// Longest name of a tenant, role or instance, in characters.
pub const NAME_MAX_CHARS: usize = 64;
/// Largest message content, in bytes of UTF-8.
pub const CONTENT_MAX_BYTES: usize = 256 * 1024;
/// Largest message content as JSON writes it, in bytes. Control characters take six there; with all
/// metadata that is allowed, one message still fits an answer of [`MAX_PAYLOAD_BYTES`].
pub const CONTENT_JSON_MAX_BYTES: usize = 700 * 1024;
/// Largest request body, in bytes: content that JSON escapes at worst six-fold would not fit,
/// so a body is bounded by what NATS carries (see `MAX_PAYLOAD_BYTES`) and this is what we accept of it.
pub const REQUEST_MAX_BYTES: usize = 768 * 1024;
/// The `max_payload` that a deployment's nats-server is configured with, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// Deepest nesting of a request body; deeper ones are refused before they are built.
pub const BODY_MAX_DEPTH: usize = 32;
/// Content carried by a push hint, in bytes; longer content is left out and `truncated` set.
pub const PUSH_CONTENT_MAX_BYTES: usize = 16 * 1024;
/// Roles that one channel may list.
pub const CHANNEL_MAX_ROLES: usize = 64;
/// Entries of a message's `metadata`.
pub const METADATA_MAX_ENTRIES: usize = 32;
/// Longest metadata key, in bytes.
pub const METADATA_KEY_MAX_BYTES: usize = 64;
/// Longest metadata value, in bytes.
pub const METADATA_VALUE_MAX_BYTES: usize = 1024;
/// Longest summary of an agent, in bytes of UTF-8.
pub const SUMMARY_MAX_BYTES: usize = 1024;
/// Receipts or messages that one `mark_as_read` may name.
pub const MARK_MAX_IDS: usize = 500;
/// Longest `waitMs` of a check, in milliseconds.
pub const WAIT_MAX_MS: u64 = 60_000;
/// Page size when a caller names none.
pub const PAGE_DEFAULT: usize = 20;
/// Largest page.
pub const PAGE_MAX: usize = 200;
/// Bytes of message content in one answer; further messages wait behind the cursor.
pub const ANSWER_MAX_BYTES: usize = 512 * 1024;
/// Longest cursor accepted, in characters.
pub const CURSOR_MAX_CHARS: usize = 320;
/// Recipients named in a send's answer; more are only counted.
pub const RECIPIENTS_NAMED: usize = 20;
/// Readers (instances) of one role.
pub const READERS_PER_ROLE: usize = 256;
/// Roles on one tenant's roster.
pub const ROLES_PER_TENANT: usize = 10_000;
/// Live credentials of one role.
pub const CREDENTIALS_PER_ROLE: usize = 1_000;
/// Tenants of one deployment.
pub const TENANTS_MAX: usize = 100_000;
/// Shards of one deployment.
pub const SHARDS_MAX: u16 = 256;
/// Commands that one broker holds between arrival and reply.
pub const COMMANDS_IN_FLIGHT: usize = 8_192;
/// Commands of one tenant that wait for the log in one broker; more are refused `rate_limited`.
pub const TENANT_COMMANDS_WAITING: usize = 2_048;
/// Bodies of the commands that one broker holds between arrival and reply, in bytes. Each may be there
/// three times for a moment: as it came, as an event, and sealed.
pub const COMMAND_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;
/// Those of one tenant, in bytes; more are refused `rate_limited`.
pub const TENANT_COMMAND_BYTES_IN_FLIGHT: usize = 16 * 1024 * 1024;
/// Largest body that a broker reads where it takes commands in, in bytes; larger ones are read beside.
pub const BODY_INLINE_MAX_BYTES: usize = 8 * 1024;
/// Larger bodies that one broker reads at once.
pub const BODIES_READ_AT_ONCE: usize = 4;
/// Queries that one projector answers at once, those that wait not counted.
pub const QUERIES_IN_FLIGHT: usize = 256;
/// Queries of one tenant that one projector answers at once: a burst leaves room for its neighbours.
pub const TENANT_QUERIES_IN_FLIGHT: usize = 32;
/// Queries of one tenant that wait or are being answered at one projector; more are refused.
pub const TENANT_QUERIES_WAITING: usize = 4_500;
/// Largest body of a query, in bytes: a query names things, it carries none. Every field at its
/// longest, written as JSON does at worst, takes about six thousand.
pub const QUERY_MAX_BYTES: usize = 8 * 1024;
/// Checks with `waitMs` that one reader may hold open at one projector.
pub const READER_WAITS_OPEN: usize = 256;
/// Checks with `waitMs` that one projector holds open.
pub const WAITS_OPEN: usize = 20_000;
/// Checks with `waitMs` that one tenant may hold open at one projector.
pub const TENANT_WAITS_OPEN: usize = 4_000;
/// Events in one atomic batch: nats-server's own limit.
pub const BATCH_MAX_EVENTS: usize = 1_000;
/// Bytes in one atomic batch.
pub const BATCH_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Waiting commands from which an atomic batch beats plain publishes (measured break-even 5 to 16).
pub const BATCH_MIN_EVENTS: usize = 16;
/// JetStream's deduplication window of a shard, in seconds.
pub const DEDUP_WINDOW_S: u64 = 300;
/// A command id whose UUIDv7 stamp lies this near to now cannot have been applied before the
/// deduplication window; any other id is looked up at the projector first. In milliseconds.
pub const FRESH_ID_MS: u64 = 30_000;
/// How far a command id may be stamped ahead of the broker's clock, in milliseconds; others are refused.
pub const ID_AHEAD_MAX_MS: u64 = 120_000;
/// What was stored as early as its stamp allows is still in the window when its id is last held fresh;
/// the other half of the window is for clocks of brokers that disagree, and for retries on their way.
const _: () = assert!(2 * (ID_AHEAD_MAX_MS + FRESH_ID_MS) <= DEDUP_WINDOW_S * 1_000);
/// How long a query waits for the position it names, in milliseconds.
pub const POSITION_WAIT_MS: u64 = 5_000;
/// How long a broker waits for JetStream's acknowledgement of one append, in milliseconds.
pub const APPEND_ACK_WAIT_MS: u64 = 5_000;
/// Damaged events that one `accept_damage` may give up.
pub const DAMAGE_MAX_EVENTS: usize = 10_000;
/// Events that the projector applies in one transaction at most.
pub const APPLY_MAX_EVENTS: usize = 8_192;
/// Bytes of payload that the projector applies in one transaction at most.
pub const APPLY_MAX_BYTES: usize = 32 * 1024 * 1024;
/// redb's page cache for all shards of one process, in bytes.
pub const ROW_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Quarantined events that `status` names for each shard; more are only counted.
pub const QUARANTINE_NAMED: usize = 20;
/// Longest reason of a quarantined event that `status` shows, in characters.
pub const QUARANTINE_REASON_MAX_CHARS: usize = 200;
/// How often a projector announces itself to the others, in milliseconds.
pub const PROJECTOR_ANNOUNCE_EVERY_MS: u64 = 2_000;
/// A projector that was not heard of for so long is gone, in milliseconds: three announcements.
pub const PROJECTOR_GONE_MS: u64 = 6_500;
/// How long a projector is unhealthy before it leaves its queries to a healthy one, in milliseconds: long
/// enough that the others have said how they are.
pub const PROJECTOR_UNHEALTHY_MS: u64 = 5_000;
/// Other projectors that one remembers.
pub const PROJECTORS_HEARD_MAX: usize = 64;
/// Largest announcement, in bytes: [`SHARDS_MAX`] shards take about two thousand.
pub const ANNOUNCEMENT_MAX_BYTES: usize = 8 * 1024;
/// Pause before failed rows are folded anew once more, in milliseconds; doubled each time.
pub const ROWS_RENEW_MIN_MS: u64 = 10_000;
/// Longest such pause, in milliseconds: folding a long log costs a disk more than waiting does.
pub const ROWS_RENEW_MAX_MS: u64 = 600_000;
/// Heartbeats: how often a client says that it is there, in milliseconds.
pub const PRESENCE_EVERY_MS: u64 = 15_000;
/// An agent is online when it was heard of within this time, in milliseconds.
pub const PRESENCE_ONLINE_MS: u64 = 45_000;
/// Agents of one tenant whose presence one projector remembers.
pub const PRESENCE_PER_TENANT: usize = 10_000;
/// Largest heartbeat, in bytes.
pub const HEARTBEAT_MAX_BYTES: usize = 1_024;
/// Message ids in one delivered mark.
pub const DELIVERED_MAX_IDS: usize = 1_000;
/// Delivered marks that wait in one projector to be reported; more are left to the next check.
pub const DELIVERED_WAITING_MAX: usize = 200_000;
/// Longest life of a JWT that a gateway gets for a bearer token, in milliseconds.
pub const TOKEN_JWT_MS: u64 = 15 * 60_000;
/// Default life of a credential, in seconds (30 days).
pub const CREDENTIAL_TTL_S: u64 = 30 * 24 * 3600;
/// Events that one replay answer carries at most.
pub const REPLAY_MAX_EVENTS: usize = 200;
/// Revoked keys of one tenant whose credentials have not expired; with more, none is issued to it.
pub const REVOKED_PER_TENANT: usize = 500;
/// The same for all tenants: 10,000 fit one account JWT, 15,000 do not (measured).
pub const REVOKED_MAX: usize = 8_000;
/// Events that one `import_events` stores at most: with the event that tells of the import they fit one
/// atomic batch.
pub const IMPORT_MAX_EVENTS: usize = 500;
/// Bytes of lines that an importer gathers for one `import_events`; a longer line goes alone.
pub const IMPORT_MAX_BYTES: usize = 512 * 1024;
/// Longest line of an export, in bytes: an event that is stored fits, written as JSON does at worst.
pub const EXPORT_LINE_MAX_BYTES: usize = 1024 * 1024;
/// Events of the operator's own reads that an import passes over at most, to see that the tenant holds
/// nothing else.
pub const IMPORT_LOOKS_MAX: usize = 10_000;
/// Tenants that one page of the operator's view over all of them reads: in each the read is an event.
pub const TENANTS_PER_PAGE: usize = 32;
/// Credentials that one `tenant_erased` event names; more take several events.
pub const ERASED_CREDENTIALS_MAX: usize = 4_000;
/// How long one attempt to erase a tenant waits for every part to confirm, in milliseconds.
pub const ERASE_WAIT_MS: u64 = 15_000;
/// Data keys of one generation of a tenant's name: how often it may be rotated.
pub const KEYS_PER_GENERATION: u32 = 1_000;
/// Longest reason of a suspension, in bytes of UTF-8.
pub const SUSPEND_REASON_MAX_BYTES: usize = 1_024;
/// Subscriptions that one agent's connection may hold: its inbox and its push subjects, with room
/// for clients that subscribe once a request. nats-server enforces it, for all agents alike.
pub const AGENT_SUBSCRIPTIONS: u16 = 256;
/// Agents of one tenant whose rates one broker counts apart, where such a rate is set; further ones share.
pub const AGENTS_COUNTED: usize = 4_096;
/// How old a broker's knowledge of what a tenant has stored may be, in milliseconds, where that is limited.
pub const QUOTA_KNOWN_MS: u64 = 1_000;
/// How often brokers and projectors have stored what they counted, in milliseconds.
pub const USAGE_EVERY_MS: u64 = 60_000;
/// Days of use that an answer shows when a caller names no number.
pub const USAGE_DAYS_DEFAULT: u64 = 30;
/// Most days of use in one answer.
pub const USAGE_DAYS_MAX: u64 = 366;
/// Largest content of a memory, in bytes of UTF-8.
pub const MEMORY_MAX_BYTES: usize = 64 * 1024;
/// Tags of one memory.
pub const MEMORY_TAGS_MAX: usize = 32;
/// Longest tag, in bytes of UTF-8.
pub const MEMORY_TAG_MAX_BYTES: usize = 64;
/// Older memories that one memory relates to.
pub const MEMORY_RELATIONS_MAX: usize = 16;
/// Longest name of an episode, in bytes of UTF-8.
pub const EPISODE_MAX_BYTES: usize = 128;
/// Longest author of an imported memory, in bytes of UTF-8.
pub const AUTHOR_MAX_BYTES: usize = 256;
/// Longest id that an imported memory has elsewhere, in bytes of UTF-8.
pub const IMPORT_ID_MAX_BYTES: usize = 256;
/// Versions of one memory that are kept for questions of what it said earlier, the newest included.
pub const MEMORY_VERSIONS_KEPT: usize = 32;
/// Memories of which it is kept that they took one memory's place; of more, the last.
pub const MEMORY_SUPERSEDERS_MAX: usize = 64;
/// Memories that are walked through to find whether one took another's place, at once or over others. Where there are more, it
/// is taken to have.
pub const MEMORY_BEHIND_MAX: usize = 1024;
/// Longest query of a recall or a search, in bytes of UTF-8: with everything else it fits [`QUERY_MAX_BYTES`]
/// however JSON writes it.
pub const RECALL_QUERY_MAX_BYTES: usize = 1024;
/// Results of a recall when a caller names no number.
pub const RECALL_DEFAULT: usize = 10;
/// Most results of one recall.
pub const RECALL_MAX: usize = 100;
/// Words of a query times namespaces that one recall looks up, beyond which the words that are likely to say least are left out.
pub const RECALL_LOOKUPS_MAX: usize = 64 * 1024;
/// Words of a query that are looked for in however many namespaces.
pub const RECALL_WORDS_MIN: usize = 16;
/// Latest time that a memory may name, in milliseconds since 1970: the end of the year 9999.
pub const TIME_MAX_MS: u64 = 253_402_300_799_999;
/// The shard whose deployment's own events hold the operator's shared library.
pub const LIBRARY_SHARD: u16 = 0;
/// Tenants that the operator may search as one.
pub const RECALL_TENANTS_MAX: usize = 256;
/// What one projector keeps in memory of memories that were searched, in bytes: some 300,000 with their vectors.
pub const RECALL_KEPT_BYTES: usize = 128 * 1024 * 1024;
/// Page cache of all files that lie beside a projector's rows, in bytes.
pub const SIDE_CACHE_BYTES: usize = 16 * 1024 * 1024;
/// How long one owner's memories are embedded before another's turn comes, in milliseconds; a text that began is ended.
pub const EMBED_TURN_MS: u64 = 200;
/// Memories that one turn takes at most.
pub const EMBED_TURN_MEMORIES: usize = 64;
/// How long a part of a memory stays behind queries that are embedded, in milliseconds.
pub const EMBED_YIELD_MAX_MS: u64 = 500;
/// Queries that one projector embeds at once.
pub const QUERIES_EMBEDDED: usize = 2;
/// Queries of one tenant whose vectors a projector keeps in memory.
pub const QUERY_VECTORS_KEPT: usize = 16;
/// Tenants of whose queries a projector keeps vectors.
pub const QUERY_VECTORS_TENANTS: usize = 512;
/// Up to how many memories that await their vectors are counted.
pub const AWAITING_COUNTED_MAX: usize = 100_000;
/// Messages of a caller's history that one search reads itself, where the index of words has not come to them yet.
pub const SEARCH_TAIL_MAX: usize = 256;
/// Bytes of their content.
pub const SEARCH_TAIL_MAX_BYTES: usize = 2 * 1024 * 1024;
/// How long a search waits for the index of words where more than that is missing, in milliseconds.
pub const SEARCH_WAIT_MS: u64 = 2_000;
/// Messages that are added to the index of words in one transaction at most.
pub const WORDS_CHUNK_MESSAGES: usize = 256;
/// Bytes of their content, after which no further one is added.
pub const WORDS_CHUNK_BYTES: usize = 1024 * 1024;
/// How far the rows may be behind the log, in events, before the index of words lets them go first.
pub const WORDS_YIELD_EVENTS: u64 = 1_000;
/// How long it lets them go first before it does one chunk all the same, in milliseconds.
pub const WORDS_YIELD_MS: u64 = 1_000;
/// Longest title of a task or mission, in bytes of UTF-8.
pub const TITLE_MAX_BYTES: usize = 256;
/// Largest description of a task and brief of a mission, in bytes of UTF-8.
pub const DESCRIPTION_MAX_BYTES: usize = 16 * 1024;
/// Largest note of a task, and reason for what becomes of it, in bytes of UTF-8.
pub const NOTE_MAX_BYTES: usize = 2 * 1024;
/// Notes that a task keeps, the last; the log has all of them.
pub const TASK_NOTES_KEPT: usize = 20;
/// Tasks that one task depends on.
pub const TASK_DEPENDENCIES_MAX: usize = 64;
/// Tasks that depend on one task.
pub const TASK_DEPENDENTS_MAX: usize = 1_000;
/// Tasks that are walked through to find whether one depends on another, at once or over others. Where there are more, it is
/// taken to.
pub const TASK_WALK_MAX: usize = 4_096;
/// Roles that take part in one mission.
pub const MISSION_AGENTS_MAX: usize = 64;
/// Shortest lease of a claim, in milliseconds.
pub const LEASE_MIN_MS: u64 = 1_000;
/// Longest lease of a claim, in milliseconds.
pub const LEASE_MAX_MS: u64 = 7 * 24 * 3_600_000;
/// Up to how many tasks that are due are counted.
pub const DUE_COUNTED_MAX: usize = 100;
/// Reactions that one projector has on their way to the brokers at once.
pub const REACTIONS_IN_FLIGHT: usize = 64;
/// Pause before a reaction that no broker took is asked for again, in milliseconds; doubled each time.
pub const REACTION_AGAIN_MIN_MS: u64 = 500;
/// Longest such pause, in milliseconds.
pub const REACTION_AGAIN_MAX_MS: u64 = 60_000;
/// An event whose command is so much older than the event is one that was brought in, in milliseconds.
pub const BROUGHT_IN_MS: u64 = 600_000;
/// How long what follows from events that were brought in waits behind the last of them, in milliseconds.
pub const BROUGHT_IN_REST_MS: u64 = 300_000;
