//! The rules of receipts as plainly as they can be said, without lanes, marks or counters: what
//! the rows are compared with.

use postroad_protocol::channel::Channel;
use postroad_protocol::envelope::Record;
use postroad_protocol::event::{
    Actor, AgentRetired, CredentialIssued, CredentialRevoked, Event, EventKey, MessageSent,
    Priority,
};
use postroad_protocol::id::{InstanceId, MessageId, Reader, Role, TimeMs};
use postroad_protocol::query::UsageDay;
use postroad_protocol::quota::Limits;
use postroad_protocol::usage::Day;
use std::collections::{BTreeMap, BTreeSet};

/// A message, by its place among all messages.
type Number = usize;

#[derive(Default)]
pub(super) struct Model {
    pub(super) messages: Vec<Message>,
    numbers: BTreeMap<EventKey, Number>,
    pub(super) roles: BTreeMap<Role, RoleModel>,
    pub(super) readers: BTreeMap<Reader, ReaderModel>,
    seen: BTreeSet<EventKey>,
    pub(super) quarantined: u64,
    /// Since when, and why.
    pub(super) suspended: Option<(TimeMs, Option<String>)>,
    pub(super) limits: Limits,
    pub(super) stored_bytes: u64,
    pub(super) usage: BTreeMap<Day, Used>,
}

/// What was used on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    commands: u64,
    queries: u64,
    pushes: u64,
    messages: u64,
    bytes: u64,
}

impl From<UsageDay> for Used {
    fn from(day: UsageDay) -> Self {
        Self {
            commands: day.commands,
            queries: day.queries,
            pushes: day.pushes,
            messages: day.messages,
            bytes: day.stored_bytes,
        }
    }
}

pub(super) struct Message {
    pub(super) sequence: u64,
    pub(super) id: MessageId,
    pub(super) key: EventKey,
    pub(super) sent: MessageSent,
}

/// How a credential ended.
#[derive(Default)]
struct Ended {
    retired: bool,
    revoked: bool,
}

#[derive(Default)]
pub(super) struct RoleModel {
    /// Messages that came before its first credential.
    since: Number,
    /// Messages there were when its last credential was retired.
    left: Option<Number>,
    /// By key and instance.
    credentials: BTreeMap<(String, Option<InstanceId>), Ended>,
    /// What any instance read, but for mail of one instance alone.
    read: BTreeSet<Number>,
}

#[derive(Default)]
pub(super) struct ReaderModel {
    pub(super) live: bool,
    /// Messages there were when it was retired.
    ended: Option<Number>,
    pub(super) receipts: BTreeMap<Number, Receipt>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Receipt {
    pub(super) delivered: Option<TimeMs>,
    pub(super) read: Option<TimeMs>,
    /// Another instance read it while this one was away.
    hidden: bool,
}

impl Receipt {
    pub(super) fn is_unread(&self) -> bool {
        self.read.is_none() && !self.hidden
    }
}

impl RoleModel {
    pub(super) fn is_live(&self) -> bool {
        self.credentials.values().any(|state| !state.retired)
    }

    pub(super) fn is_served(&self) -> bool {
        let mut states = self.credentials.values();
        states.any(|state| !state.retired && !state.revoked)
    }
}

impl Model {
    pub(super) fn apply(&mut self, sequence: u64, record: &Record) {
        if !self.seen.insert(record.key) {
            return;
        }
        let accepted = match &record.event {
            Event::CredentialIssued(data) => self.issue(data),
            Event::AgentRetired(data) => self.retire(data),
            Event::CredentialRevoked(data) => self.revoke(data),
            Event::ReaderRegistered(data) => {
                self.roles.contains_key(&data.reader.role) && self.register(&data.reader)
            }
            Event::SummarySet(data) => self.roles.contains_key(&data.reader.role),
            Event::MessageSent(data) => self.send(sequence, record, data),
            Event::MessagesRead(data) => self.mark(&data.reader, &data.messages, |receipt| {
                receipt.delivered.get_or_insert(record.time);
                receipt.read.get_or_insert(record.time);
            }),
            Event::MessagesDelivered(data) => self.mark(&data.reader, &data.messages, |receipt| {
                receipt.delivered.get_or_insert(record.time);
            }),
            Event::TenantSuspended(data) => {
                self.suspended = Some((record.time, data.reason.clone()));
                true
            }
            Event::TenantLimited(data) => {
                self.limits = data.limits.clone();
                true
            }
            Event::TenantResumed(_) => {
                self.suspended = None;
                true
            }
            _ => true,
        };
        self.quarantined += u64::from(!accepted);
        if accepted {
            let bytes = record.event.encode(&record.by).len() as u64;
            self.stored_bytes += bytes;
            let used = self.usage.entry(Day::of(record.time)).or_default();
            used.bytes += bytes;
            used.messages += u64::from(matches!(record.event, Event::MessageSent(_)));
            used.commands += u64::from(matches!(record.by, Actor::Agent(_)));
        }
        if let Event::UsageCounted(data) = &record.event {
            let used = self.usage.entry(data.day).or_default();
            used.queries += data.queries;
            used.pushes += data.pushes;
        }
    }

    fn issue(&mut self, data: &CredentialIssued) -> bool {
        let since = self.messages.len();
        let role = self.roles.entry(data.role.clone()).or_insert(RoleModel {
            since,
            ..RoleModel::default()
        });
        role.left = None;
        role.credentials.insert(
            (data.public_key.clone(), data.instance.clone()),
            Ended::default(),
        );
        if let Some(instance) = &data.instance {
            self.register(&Reader {
                role: data.role.clone(),
                instance: instance.clone(),
            });
        }
        true
    }

    fn retire(&mut self, data: &AgentRetired) -> bool {
        let now = self.messages.len();
        let Some(role) = self.roles.get_mut(&data.role) else {
            return false;
        };
        let was_live = role.is_live();
        for ((_, instance), state) in &mut role.credentials {
            state.retired |= data.instance.is_none() || *instance == data.instance;
        }
        if was_live && !role.is_live() {
            role.left = Some(now);
        }
        for (reader, model) in &mut self.readers {
            let meant = data.instance.as_ref().is_none_or(|i| *i == reader.instance);
            if reader.role == data.role && meant && model.live {
                (model.live, model.ended) = (false, Some(now));
            }
        }
        true
    }

    fn revoke(&mut self, data: &CredentialRevoked) -> bool {
        let Some(role) = self.roles.get_mut(&data.role) else {
            return false;
        };
        for ((key, _), state) in &mut role.credentials {
            state.revoked |= data.public_keys.contains(key);
        }
        true
    }

    fn register(&mut self, reader: &Reader) -> bool {
        let numbers: Vec<Number> = (0..self.messages.len())
            .filter(|number| self.is_addressed(*number, reader))
            .collect();
        let role_read = self.roles[&reader.role].read.clone();
        let model = self.readers.entry(reader.clone()).or_default();
        if model.live {
            return true;
        }
        (model.live, model.ended) = (true, None);
        for number in numbers {
            if self.messages[number].sent.from == *reader {
                continue;
            }
            match (model.receipts.get_mut(&number), role_read.contains(&number)) {
                (Some(receipt), true) => receipt.hidden = true,
                (None, false) => {
                    model.receipts.insert(number, Receipt::default());
                }
                _ => {}
            }
        }
        true
    }

    fn send(&mut self, sequence: u64, record: &Record, sent: &MessageSent) -> bool {
        if let Channel::Roles(roles) = &sent.channel
            && roles.iter().any(|role| !self.roles.contains_key(role))
        {
            return false;
        }
        let number = self.messages.len();
        self.numbers.insert(record.key, number);
        self.messages.push(Message {
            sequence,
            id: record.id,
            key: record.key,
            sent: sent.clone(),
        });
        let meant: Vec<Reader> = self
            .readers
            .iter()
            .filter(|(reader, model)| model.live && **reader != sent.from)
            .map(|(reader, _)| reader.clone())
            .filter(|reader| self.is_addressed(number, reader))
            .collect();
        for reader in meant {
            let model = self.readers.get_mut(&reader).unwrap();
            model.receipts.insert(number, Receipt::default());
        }
        true
    }

    fn mark(&mut self, reader: &Reader, keys: &[EventKey], change: impl Fn(&mut Receipt)) -> bool {
        let Some(model) = self.readers.get_mut(reader) else {
            return false;
        };
        let mut some = false;
        for key in keys {
            let Some(number) = self.numbers.get(key) else {
                continue;
            };
            if let Some(receipt) = model.receipts.get_mut(number) {
                change(receipt);
                some = true;
                let for_one_instance = self.messages[*number].sent.instance.is_some();
                if receipt.read.is_some() && !for_one_instance {
                    self.roles
                        .get_mut(&reader.role)
                        .unwrap()
                        .read
                        .insert(*number);
                }
            }
        }
        some
    }

    /// Whether a message is addressed to a reader, whatever became of the reader since.
    fn is_addressed(&self, number: Number, reader: &Reader) -> bool {
        let sent = &self.messages[number].sent;
        match (&sent.channel, &sent.instance) {
            (Channel::Broadcast, _) => {
                let role = self.roles.get(&reader.role);
                role.is_some_and(|role| role.since <= number)
            }
            (Channel::Roles(roles), only) => {
                roles.contains(&reader.role) && only.as_ref().is_none_or(|i| *i == reader.instance)
            }
        }
    }

    /// Whether a message lies in a reader's time, as one of its own history.
    fn is_in_time(&self, number: Number, reader: &Reader) -> bool {
        let model = self.readers.get(reader);
        model.is_some_and(|model| model.ended.is_none_or(|ended| number < ended))
            && self.is_addressed(number, reader)
    }

    pub(super) fn is_visible(&self, number: Number, reader: &Reader) -> bool {
        self.messages[number].sent.from.role == reader.role || self.is_in_time(number, reader)
    }

    pub(super) fn unread(&self, reader: &Reader) -> Vec<Number> {
        let receipts = self.readers.get(reader).map(|model| &model.receipts);
        let unread = receipts.into_iter().flatten();
        let unread = unread.filter(|(_, receipt)| receipt.is_unread());
        unread.map(|(number, _)| *number).collect()
    }

    /// The highest priority among what is unread.
    pub(super) fn highest(&self, reader: &Reader) -> Option<Priority> {
        let unread = self.unread(reader).into_iter();
        unread
            .map(|number| self.messages[number].sent.priority)
            .min()
    }

    /// What a status shows: who, when delivered, when read.
    pub(super) fn status(&self, number: Number) -> Vec<(Role, Option<InstanceId>, Receipt)> {
        let sent = &self.messages[number].sent;
        if let (Channel::Roles(roles), Some(instance)) = (&sent.channel, &sent.instance) {
            let reader = Reader {
                role: roles[0].clone(),
                instance: instance.clone(),
            };
            if reader == sent.from && self.is_in_time(number, &reader) {
                return Vec::new();
            }
            let model = self.readers.get(&reader);
            let receipt = model.and_then(|model| model.receipts.get(&number));
            let receipt = receipt.copied().unwrap_or_default();
            return vec![(reader.role, Some(reader.instance), receipt)];
        }
        let mut shown = Vec::new();
        for (role, model) in &self.roles {
            let waits = match &sent.channel {
                Channel::Broadcast if model.since > number => continue,
                Channel::Broadcast => model.left.is_none_or(|left| number < left),
                Channel::Roles(roles) if !roles.contains(role) => continue,
                Channel::Roles(_) => true,
            };
            let before = shown.len();
            for (reader, model) in self.readers.iter().filter(|(r, _)| r.role == *role) {
                if let Some(receipt) = model.receipts.get(&number) {
                    shown.push((role.clone(), Some(reader.instance.clone()), *receipt));
                }
            }
            let is_own = sent.from.role == *role && self.is_in_time(number, &sent.from);
            if shown.len() == before && waits && !is_own {
                shown.push((role.clone(), None, Receipt::default()));
            }
        }
        shown
    }
}
