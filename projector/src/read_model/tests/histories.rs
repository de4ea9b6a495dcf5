//! Random histories: rows against the model, and rows against themselves however the log is cut.

use super::model::{Model, RoleModel};
use crate::apply::{Durability, Incoming, Outcome, apply};
use crate::store::{PageOf, ReaderState, Store};
use crate::testing::{checkpoint, fold_one_by_one, incoming, instance, role, scope};
use postroad_protocol::channel::Channel;
use postroad_protocol::command::MarkTarget;
use postroad_protocol::event::{
    Actor, AgentRetired, CredentialIssued, CredentialRevoked, Event, EventKey, MessageSent,
    MessagesDelivered, MessagesRead, Priority, ReaderRegistered, SummarySet, TenantLimited,
    TenantResumed, TenantSuspended, UsageCounted,
};
use postroad_protocol::id::{CommandId, Reader, TimeMs};
use postroad_protocol::query::{ListMessages, Page, TenantState};
use postroad_protocol::quota::{Limit, Limits, LimitsChange};
use postroad_protocol::service::MarkState;
use postroad_protocol::tenancy::TenantScope;
use postroad_protocol::usage::Day;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ROLES: u8 = 3;
const INSTANCES: u8 = 3;

/// One thing that happens; small numbers name roles, instances and keys.
#[derive(Clone, Debug)]
enum Step {
    Issue(u8, Option<u8>, u8),
    Retire(u8, Option<u8>),
    /// Of a role, the credentials for a key.
    Revoke(u8, u8),
    Register(u8, u8),
    /// Sent as often as the first number says, with the priority of the second's place, or with each
    /// in turn.
    Send(u8, u8, To, usize, usize),
    /// A run of the messages so far, as parts of 256.
    Read(u8, u8, u8, u8),
    Deliver(u8, u8, u8, u8),
    Say(u8, u8),
    /// Suspended, with a reason or without, or resumed.
    Suspend(bool),
    Resume,
    /// So many queries and pushes on the day of that number.
    Count(u8, u8, u8),
    /// A limit by its place, set or reset.
    Limit(u8, Option<u64>),
    /// An earlier event is stored once more.
    Again(u8),
}

#[derive(Clone, Debug)]
enum To {
    All,
    Roles(Vec<u8>),
    Instance(u8, u8),
}

const PRIORITIES: [Priority; 4] = {
    use Priority::{High, Low, Normal, Urgent};
    [Low, Normal, High, Urgent]
};

fn step(burst: impl Strategy<Value = usize> + Clone + 'static) -> impl Strategy<Value = Step> {
    let (r, i) = (0..ROLES, 0..INSTANCES);
    let some = proptest::option::of(i.clone());
    let to = prop_oneof![
        Just(To::All),
        proptest::collection::vec(r.clone(), 1..3).prop_map(To::Roles),
        (r.clone(), i.clone()).prop_map(|(r, i)| To::Instance(r, i)),
    ];
    let run = (r.clone(), i.clone(), any::<u8>(), any::<u8>());
    prop_oneof![
        2 => (r.clone(), some.clone(), 0..2_u8).prop_map(|(r, i, k)| Step::Issue(r, i, k)),
        1 => (r.clone(), some).prop_map(|(r, i)| Step::Retire(r, i)),
        1 => (r.clone(), 0..2_u8).prop_map(|(r, k)| Step::Revoke(r, k)),
        2 => (r.clone(), i.clone()).prop_map(|(r, i)| Step::Register(r, i)),
        8 => (r.clone(), i.clone(), to, burst, 0..=PRIORITIES.len())
            .prop_map(|(r, i, to, n, p)| Step::Send(r, i, to, n, p)),
        5 => run.clone().prop_map(|(r, i, from, length)| Step::Read(r, i, from, length)),
        2 => run.prop_map(|(r, i, from, length)| Step::Deliver(r, i, from, length)),
        1 => (r, i).prop_map(|(r, i)| Step::Say(r, i)),
        1 => any::<bool>().prop_map(Step::Suspend),
        1 => Just(Step::Resume),
        1 => (0..3_u8, any::<u8>(), any::<u8>()).prop_map(|(d, q, p)| Step::Count(d, q, p)),
        1 => (any::<u8>(), proptest::option::of(1..200_u64)).prop_map(|(l, v)| Step::Limit(l, v)),
        1 => any::<u8>().prop_map(Step::Again),
    ]
}

fn reader(r: u8, i: u8) -> Reader {
    Reader {
        role: role(&format!("r{r}")),
        instance: instance(&format!("i{i}")),
    }
}

/// A log while it is written.
struct Script<'a> {
    scope: &'a TenantScope,
    log: Vec<Incoming>,
    sent: Vec<EventKey>,
    limits: Limits,
}

impl Script<'_> {
    fn put(&mut self, by: Actor, event: impl Into<Event>) {
        let event = event.into();
        let sequence = self.log.len() as u64 + 1;
        let id = CommandId::derived(&[&sequence.to_be_bytes()]);
        if matches!(event, Event::MessageSent(_)) {
            self.sent.push(EventKey::of(&by, id));
        }
        let event = incoming(self.scope, sequence, by, id, event);
        self.log.push(event);
    }

    /// A run of the messages so far, in the pieces that one event may name.
    fn run(&self, from: u8, length: u8) -> Vec<Vec<EventKey>> {
        let count = self.sent.len();
        let start = count * usize::from(from) / 256;
        let end = start + (count * usize::from(length) / 256).max(1);
        let run = &self.sent[start..end.min(count)];
        run.chunks(500).map(<[EventKey]>::to_vec).collect()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Issue(r, i, key) => {
                let event = CredentialIssued {
                    role: role(&format!("r{r}")),
                    instance: i.map(|i| reader(*r, i).instance),
                    scopes: Vec::new(),
                    public_key: format!("U{key}"),
                    expires_at: TimeMs(1),
                    token: false,
                };
                self.put(Actor::System, event);
            }
            Step::Retire(r, i) => {
                let event = AgentRetired {
                    role: role(&format!("r{r}")),
                    instance: i.map(|i| reader(*r, i).instance),
                };
                self.put(Actor::System, event);
            }
            Step::Revoke(r, key) => {
                let event = CredentialRevoked {
                    role: role(&format!("r{r}")),
                    public_keys: vec![format!("U{key}")],
                };
                self.put(Actor::System, event);
            }
            Step::Register(r, i) => {
                let reader = reader(*r, *i);
                self.put(Actor::System, ReaderRegistered { reader });
            }
            Step::Send(r, i, to, times, priority) => {
                for (_, in_turn) in (0..*times).zip(PRIORITIES.iter().cycle()) {
                    let priority = *PRIORITIES.get(*priority).unwrap_or(in_turn);
                    let sent = message(reader(*r, *i), to, priority);
                    self.put(Actor::Agent(reader(*r, *i)), sent);
                }
            }
            Step::Read(r, i, from, length) => {
                for messages in self.run(*from, *length) {
                    let reader = reader(*r, *i);
                    let by = Actor::Agent(reader.clone());
                    self.put(by, MessagesRead { reader, messages });
                }
            }
            Step::Deliver(r, i, from, length) => {
                for messages in self.run(*from, *length) {
                    let reader = reader(*r, *i);
                    self.put(Actor::System, MessagesDelivered { reader, messages });
                }
            }
            Step::Say(r, i) => {
                let (reader, summary) = (reader(*r, *i), self.log.len().to_string());
                let by = Actor::Agent(reader.clone());
                self.put(by, SummarySet { reader, summary });
            }
            Step::Suspend(with_reason) => {
                let reason = with_reason.then(|| self.log.len().to_string());
                self.put(Actor::System, TenantSuspended { reason });
            }
            Step::Limit(which, value) => {
                let name = Limit::ALL[usize::from(*which) % Limit::ALL.len()].name();
                let set = value.map(|value| (name.to_owned(), value));
                let reset = set.is_none().then(|| name.to_owned());
                let (set, reset): (BTreeMap<_, _>, Vec<_>) =
                    (set.into_iter().collect(), reset.into_iter().collect());
                let change = LimitsChange::read(&set, &reset).unwrap();
                self.limits = self.limits.with(&change);
                let limits = self.limits.clone();
                self.put(Actor::System, TenantLimited { limits, change });
            }
            Step::Count(day, queries, pushes) => {
                let by = CommandId::derived(&[b"a process"]);
                let counted = UsageCounted {
                    day: Day(u64::from(*day)),
                    queries: u64::from(*queries),
                    pushes: u64::from(*pushes),
                    by,
                };
                self.put(Actor::System, counted);
            }
            Step::Resume => self.put(Actor::System, TenantResumed {}),
            Step::Again(which) => {
                let place = self.log.len() * usize::from(*which) / 256;
                if let Some(mut again) = self.log.get(place).cloned() {
                    again.sequence = self.log.len() as u64 + 1;
                    self.log.push(again);
                }
            }
        }
    }
}

/// The log that steps come to.
fn write(scope: &TenantScope, steps: &[Step]) -> Vec<Incoming> {
    let mut script = Script {
        scope,
        log: Vec::new(),
        sent: Vec::new(),
        limits: Limits::default(),
    };
    for step in steps {
        script.take(step);
    }
    script.log
}

fn message(from: Reader, to: &To, priority: Priority) -> MessageSent {
    let (channel, only) = match to {
        To::All => (Channel::Broadcast, None),
        To::Roles(roles) => {
            let names: Vec<String> = roles.iter().map(|r| format!("r{r}")).collect();
            (Channel::parse(&names.join(",")).unwrap(), None)
        }
        To::Instance(r, i) => {
            let reader = reader(*r, *i);
            (Channel::Roles(vec![reader.role]), Some(reader.instance))
        }
    };
    MessageSent {
        from,
        channel,
        instance: only,
        content: "x".into(),
        reply_to: None,
        priority,
        metadata: BTreeMap::new(),
    }
}

fn model_of(log: &[Incoming]) -> Model {
    let mut model = Model::default();
    for incoming in log {
        if let Outcome::Event { record, .. } = &incoming.outcome {
            model.apply(incoming.sequence, record);
        }
    }
    model
}

/// Compares everything that can be asked; of messages every `nth`.
fn compare(store: &Store, scope: &TenantScope, model: &Model, nth: usize) {
    let snapshot = store.snapshot().unwrap();
    let rows = snapshot.tenant(scope);
    assert_eq!(snapshot.quarantined().unwrap(), model.quarantined);
    for (r, i) in (0..ROLES).flat_map(|r| (0..INSTANCES).map(move |i| (r, i))) {
        compare_reader(&rows, model, &reader(r, i), nth);
    }
    for (number, sent) in model.messages.iter().enumerate().step_by(nth) {
        let page = PageOf {
            limit: 200,
            after: None,
        };
        let from = &sent.sent.from.role;
        let status = rows.message_status(from, sent.id, page).unwrap().unwrap();
        let expected = model.status(number);
        let found: Vec<_> = status
            .receipts
            .iter()
            .map(|r| {
                let instance = r.recipient_instance_id.clone();
                (r.recipient.clone(), instance, r.delivered_at, r.read_at)
            })
            .collect();
        let count = |happened: fn(&super::model::Receipt) -> bool| {
            expected.iter().filter(|(.., r)| happened(r)).count() as u64
        };
        assert_eq!(status.recipient_count, expected.len() as u64);
        assert_eq!(status.delivered_count, count(|r| r.delivered.is_some()));
        assert_eq!(status.read_count, count(|r| r.read.is_some()));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(role, instance, r)| (role, instance, r.delivered, r.read))
            .collect();
        assert_eq!(found, expected, "message {number}: {:?}", sent.sent);
    }
    if let Some(tenant) = rows.tenant(0).unwrap() {
        let roles = model.roles.values().filter(|role| role.is_live()).count() as u64;
        let readers = model.readers.values().filter(|reader| reader.live).count() as u64;
        let messages = model.messages.len() as u64;
        assert_eq!(
            (tenant.roles, tenant.readers, tenant.messages),
            (roles, readers, messages)
        );
        assert_eq!(tenant.stored_bytes, model.stored_bytes);
        let used = rows.usage(Day(0)).unwrap().into_iter();
        let used = used.map(|day| (Day::of(day.day), day.into()));
        assert_eq!(used.collect::<BTreeMap<_, _>>(), model.usage);
        assert_eq!(
            rows.usage(Day(1)).unwrap().len(),
            model.usage.range(Day(1)..).count()
        );
        assert_eq!(tenant.limits, model.limits);
        let standing = rows.tenant_standing().unwrap();
        assert_eq!(
            (standing.messages, standing.stored_bytes),
            (messages, model.stored_bytes)
        );
        let suspended = tenant.suspended_at.zip(Some(tenant.suspend_reason));
        assert_eq!(suspended, model.suspended);
        assert_eq!(rows.tenant_state().unwrap(), tenant.state);
        let is_suspended = tenant.state == TenantState::Suspended;
        assert_eq!(is_suspended, model.suspended.is_some());
    } else {
        assert_eq!(model.suspended, None);
    }
}

fn compare_reader(
    rows: &crate::store::TenantReader<'_>,
    model: &Model,
    reader: &Reader,
    nth: usize,
) {
    let unread = model.unread(reader);
    let found = rows.unread(reader).unwrap();
    assert_eq!(found.total(), unread.len() as u64, "{reader}");
    assert_eq!(found.highest(), model.highest(reader), "{reader}");
    compare_check(rows, model, reader, &unread, nth);
    let known = model.readers.get(reader);
    let role = model.roles.get(&reader.role);
    let state = match known {
        None => ReaderState::Unknown,
        Some(known) if known.live && role.is_some_and(RoleModel::is_served) => {
            ReaderState::Registered
        }
        Some(_) => ReaderState::Retired,
    };
    assert_eq!(rows.reader_state(reader).unwrap(), state, "{reader}");
    for (number, sent) in model.messages.iter().enumerate().step_by(nth) {
        let visible = model.is_visible(number, reader);
        assert_eq!(rows.visible(reader, sent.id).unwrap(), visible, "{reader}");
        let receipt = known.and_then(|known| known.receipts.get(&number));
        let got = rows.get_message(reader, sent.id).unwrap();
        assert_eq!(got.is_some(), visible);
        if let Some(got) = got {
            assert_eq!(got.receipt_id.is_some(), receipt.is_some(), "{reader}");
            assert_eq!(got.read_at, receipt.and_then(|receipt| receipt.read));
            assert_eq!(got.delivered_at, receipt.and_then(|r| r.delivered));
        }
        let target = MarkTarget::Message(sent.id.to_string());
        let mark = rows.marks(reader, &[target]).unwrap()[0];
        match receipt {
            Some(receipt) if receipt.is_unread() => assert_eq!(mark, MarkState::Unread(sent.key)),
            Some(_) => assert_eq!(mark, MarkState::Read),
            None => assert_ne!(mark, MarkState::Unread(sent.key)),
        }
    }
    if nth == 1 {
        compare_history(rows, model, reader);
    }
}

/// Compares every page of a check, or where only every `nth` message is compared, some.
fn compare_check(
    rows: &crate::store::TenantReader<'_>,
    model: &Model,
    reader: &Reader,
    unread: &[usize],
    nth: usize,
) {
    let limit = if nth == 1 { 7 } else { 200 };
    let step = if nth == 1 {
        limit
    } else {
        (unread.len() / 4).max(1)
    };
    for start in (0..=unread.len()).step_by(step) {
        let last = start.checked_sub(1).map(|before| unread[before]);
        let after = last.map(|number| model.messages[number].sequence);
        let page = rows.check(reader, limit, after, usize::MAX).unwrap();
        let shown: Vec<_> = page.messages.iter().map(|m| m.message_id).collect();
        let expected = unread[start..].iter().take(limit);
        let expected: Vec<_> = expected.map(|number| model.messages[*number].id).collect();
        assert_eq!(shown, expected, "{reader} behind {after:?}");
        assert_eq!(page.truncated, unread.len() > start + limit, "{reader}");
        // Of everything that is unread, wherever the page begins.
        assert_eq!(page.unread_total, unread.len() as u64, "{reader}");
        assert_eq!(page.highest_priority, model.highest(reader), "{reader}");
    }
}

fn compare_history(rows: &crate::store::TenantReader<'_>, model: &Model, reader: &Reader) {
    let wanted = ListMessages {
        page: Page {
            limit: 7,
            cursor: None,
        },
        sender: None,
        channel: None,
        since: None,
        until: None,
    };
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = rows.list_messages(reader, &wanted, before).unwrap();
        listed.extend(page.messages.iter().map(|message| message.message_id));
        before = page.next_before;
        if before.is_none() {
            break;
        }
    }
    let visible = (0..model.messages.len())
        .rev()
        .filter(|number| model.is_visible(*number, reader));
    let expected: Vec<_> = visible.map(|number| model.messages[number].id).collect();
    assert_eq!(listed, expected, "{reader}");
}

/// Applies the log in batches of these lengths, in turn; every third batch once more from further back.
fn fold_in_batches(store: &Store, log: &[Incoming], lengths: &[usize]) {
    let (mut start, mut turn) = (0, 0);
    while start < log.len() {
        let end = (start + lengths[turn % lengths.len()]).min(log.len());
        let checkpoint = checkpoint(log[end - 1].sequence);
        apply(store, &log[start..end], checkpoint, Durability::Visible).unwrap();
        if turn % 3 == 0 {
            let back = start.saturating_sub(turn);
            let again = apply(store, &log[back..end], checkpoint, Durability::Visible).unwrap();
            assert_eq!(again.folded + again.repeated + again.quarantined, 0);
        }
        start = end;
        turn += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn rows_are_what_the_rules_say(steps in proptest::collection::vec(step(1..4_usize), 1..60)) {
        let scope = scope("acme");
        let log = write(&scope, &steps);
        let store = Store::in_memory();
        fold_in_batches(&store, &log, &[7, 1, 20]);
        compare(&store, &scope, &model_of(&log), 1);
    }

    #[test]
    fn the_same_log_gives_equal_bytes_however_it_is_cut(
        steps in proptest::collection::vec(step(1..4_usize), 1..60),
        lengths in proptest::collection::vec(1..40_usize, 1..8),
    ) {
        let log = write(&scope("acme"), &steps);
        let (live, rebuilt) = (Store::in_memory(), Store::in_memory());
        fold_one_by_one(&live, &log);
        fold_in_batches(&rebuilt, &log, &lengths);
        prop_assert_eq!(live.dump().unwrap(), rebuilt.dump().unwrap());
    }
}

proptest! {
    // Long ones cross the edges of blocks; they take a second each.
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn long_histories_keep_the_rules_over_the_edges_of_blocks(
        steps in proptest::collection::vec(step(prop_oneof![1..3_usize, 1_000..3_000_usize]), 15..30),
    ) {
        let scope = scope("acme");
        let start = [
            Step::Issue(0, Some(0), 0),
            Step::Issue(1, Some(0), 0),
            Step::Send(0, 0, To::Roles(vec![1]), 4_090, 0),
            Step::Send(0, 0, To::All, 4_090, PRIORITIES.len()),
        ];
        let log = write(&scope, &[start.as_slice(), &steps].concat());
        let (live, rebuilt) = (Store::in_memory(), Store::in_memory());
        fold_in_batches(&live, &log, &[1_000, 64, 1, 8_192]);
        fold_in_batches(&rebuilt, &log, &[8_192]);
        prop_assert!(live.dump().unwrap() == rebuilt.dump().unwrap(), "other bytes");
        compare(&live, &scope, &model_of(&log), 401);
    }
}
