//! A tenant's history as lines of JSON that another deployment can take in. Owns the format, its
//! digest and what makes a line a bad one; reads and writes no file.
//!
//! One line a header, one line an event in the order of the log, one line at the end. A line that says
//! `lost` stands for an event that could not be read any more.

use crate::command::{check_change, check_content, check_stored};
use crate::envelope::Record;
use crate::error::Refusal;
use crate::event::{Actor, Event, EventKey};
use crate::id::{CommandId, InstanceId, Reader, Role, TenantId, TimeMs};
use crate::memory::{MemoryId, Relation};
use crate::query::ReplayedEvent;
use crate::subject::{OPERATOR_ROLE, SYSTEM};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

mod work;

use work::{check_roles, check_work};

/// What the header calls the format.
pub const FORMAT: &str = "postroad-tenant-export";
/// The version of it that is written, and the highest that is read.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`] of whoever wrote it.
    pub version: u32,
    /// The tenant's name where it was exported.
    pub tenant: TenantId,
    /// Which creation of that name it was.
    pub generation: u32,
    /// When the export began.
    pub exported_at: TimeMs,
}

impl Header {
    /// The header of an export of `tenant` that begins now.
    pub fn new(tenant: TenantId, generation: u32, exported_at: TimeMs) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            tenant,
            generation,
            exported_at,
        }
    }
}

/// An event with everything that restoring it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortableEvent {
    /// Where it was stored; what is taken in gets a place of its own, in the same order.
    #[serde(default)]
    pub sequence: u64,
    /// Its id: the command's.
    pub id: String,
    /// When ingress took the command.
    pub time: TimeMs,
    /// Who caused it: `role/instance`, `_operator/instance` or `_sys`.
    pub by: String,
    /// Its stored name.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its schema version.
    pub schema: u16,
    /// Its fields.
    pub data: Value,
}

/// An event that could not be read when the tenant was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Where it was stored.
    pub sequence: u64,
    /// Why it could not be read.
    pub lost: String,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// True: the export was finished.
    pub end: bool,
    /// Lines that are events.
    pub events: u64,
    /// Lines that say `lost`.
    pub lost: u64,
    /// BLAKE3 of every byte before this line, in hexadecimal.
    pub digest: String,
}

/// What a line of an export is.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The first.
    Header(Header),
    /// An event.
    Event(PortableEvent),
    /// An event that was lost before.
    Lost(Lost),
    /// The last.
    End(Totals),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(reader) => reader.fmt(f),
            Self::Operator(instance) => write!(f, "{OPERATOR_ROLE}/{instance}"),
            Self::System => f.write_str(SYSTEM),
        }
    }
}

impl Actor {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        if text == SYSTEM {
            return Some(Self::System);
        }
        let (role, instance) = text.split_once('/')?;
        let instance = InstanceId::parse(instance).ok()?;
        if role == OPERATOR_ROLE {
            return Some(Self::Operator(instance));
        }
        let role = Role::parse(role).ok()?;
        Some(Self::Agent(Reader { role, instance }))
    }
}

impl From<ReplayedEvent> for PortableEvent {
    fn from(event: ReplayedEvent) -> Self {
        Self {
            sequence: event.position.sequence,
            id: event.id,
            time: event.time,
            by: event.by,
            type_name: event.type_name,
            schema: event.schema,
            data: event.data,
        }
    }
}

impl PortableEvent {
    /// The event as it was before it was written down.
    ///
    /// # Errors
    /// `invalid_argument`, `too_large` with the field for what no broker of this version would have stored.
    pub fn record(&self) -> Result<Record, Refusal> {
        let remedy = "import what `postroad tenant export` wrote, unchanged";
        let id = CommandId::parse(&self.id)
            .ok_or_else(|| Refusal::invalid("id", "the id of the event is not a UUID", remedy))?;
        let by = Actor::parse(&self.by).ok_or_else(|| {
            Refusal::invalid("by", "the event does not say who caused it", remedy)
        })?;
        let read = Event::from_json(&self.type_name, self.schema, &self.data);
        let event = read
            .ok_or_else(|| {
                let name: String = self.type_name.chars().take(64).collect();
                let said = format!("this build knows no event `{name}` version {}", self.schema);
                let remedy =
                    "import it with the version of Postroad that exported it, or a newer one";
                Refusal::invalid("type", said, remedy)
            })?
            .map_err(|error| {
                let cause: String = error.to_string().chars().take(160).collect();
                let said = format!("the fields are not those of `{}`: {cause}", self.type_name);
                Refusal::invalid("data", said, remedy)
            })?;
        check(&by, &event)?;
        let key = EventKey::of(&by, id);
        check_memory(key, &by, &event)?;
        check_work(key, &by, &event)?;
        check_roles(&event)?;
        Ok(Record {
            id,
            key,
            time: self.time,
            by,
            event,
        })
    }
}

/// What every stored event keeps to, beyond what its type says.
fn check(by: &Actor, event: &Event) -> Result<(), Refusal> {
    let remedy = "import what `postroad tenant export` wrote, unchanged";
    let of_agent = match event {
        Event::MessageSent(data) => {
            check_content(&data.content, &data.metadata)?;
            if data.instance.is_some() && data.channel.single_role().is_none() {
                let said = "an instance narrows a channel of one role";
                return Err(Refusal::invalid("data", said, remedy));
            }
            Some(&data.from)
        }
        Event::MessagesRead(data) => Some(&data.reader),
        Event::SummarySet(data) => Some(&data.reader),
        Event::DamageAccepted(_) => {
            let said = "damage that was accepted is a shard's, not a tenant's";
            return Err(Refusal::invalid("type", said, remedy));
        }
        _ => None,
    };
    match (of_agent, by) {
        (Some(reader), Actor::Agent(actor)) if reader == actor => Ok(()),
        // Postroad sends messages, and reads none.
        (Some(reader), Actor::System)
            if matches!(event, Event::MessageSent(_)) && *reader == Reader::postroad() =>
        {
            Ok(())
        }
        (None, _) => Ok(()),
        _ => {
            let said = "what an agent did was caused by somebody else";
            Err(Refusal::invalid("by", said, remedy))
        }
    }
}

/// What every stored event of memories keeps to.
fn check_memory(key: EventKey, by: &Actor, event: &Event) -> Result<(), Refusal> {
    let (own, relations): (_, &[Relation]) = match event {
        Event::MemoryStored(data) => {
            check_stored(data)?;
            (MemoryId::of(key), &data.relates_to)
        }
        Event::MemoryUpdated(data) => {
            check_change(&data.change)?;
            (
                data.memory_id,
                data.change.relates_to.as_deref().unwrap_or_default(),
            )
        }
        Event::MemoryForgotten(data) => (data.memory_id, &[]),
        _ => return Ok(()),
    };
    let remedy = "import what `postroad tenant export` wrote, unchanged";
    if relations.iter().any(|relation| relation.memory_id == own) {
        let said = "a memory relates to itself";
        return Err(Refusal::invalid("relatesTo", said, remedy));
    }
    // Only an import is an operator's, and what is one role's own is stored by that role or brought in.
    let may_store = match (event, by) {
        (_, Actor::System) => false,
        (Event::MemoryStored(data), by) if data.imported.is_none() => match by {
            Actor::Agent(reader) => data.namespace.is_open_to(Some(&reader.role)),
            _ => false,
        },
        (Event::MemoryStored(_), _) => true,
        (_, by) => matches!(by, Actor::Agent(_)),
    };
    if may_store {
        return Ok(());
    }
    let said = "the memory was stored or changed by somebody who may not";
    Err(Refusal::invalid("by", said, remedy))
}

/// Writes lines and counts them.
#[derive(Debug, Default)]
pub struct Scribe {
    digest: blake3::Hasher,
    events: u64,
    lost: u64,
}

impl Scribe {
    /// The header as a line.
    pub fn header(&mut self, header: &Header) -> String {
        self.line(header)
    }

    /// An event as a line.
    pub fn event(&mut self, event: &PortableEvent) -> String {
        self.events += 1;
        self.line(event)
    }

    /// A lost event as a line.
    pub fn lost(&mut self, lost: &Lost) -> String {
        self.lost += 1;
        self.line(lost)
    }

    /// The last line, and what it says.
    pub fn end(self) -> (String, Totals) {
        let totals = Totals {
            end: true,
            events: self.events,
            lost: self.lost,
            digest: self.digest.finalize().to_hex().to_string(),
        };
        (written(&totals), totals)
    }

    fn line(&mut self, value: &impl Serialize) -> String {
        let line = written(value);
        self.digest.update(line.as_bytes());
        line
    }
}

fn written(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("lines are plain data and always encode");
    line.push('\n');
    line
}

/// Reads lines in their order, and notices what is not as it was written.
#[derive(Debug, Default)]
pub struct Lines {
    number: u64,
    last: u64,
    has_ended: bool,
    scribe: Scribe,
}

impl Lines {
    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Reads the next line, without its line feed.
    ///
    /// # Errors
    /// `invalid_argument` at `file`, naming the line.
    pub fn read(&mut self, line: &[u8]) -> Result<Line, Refusal> {
        self.number += 1;
        if self.has_ended {
            return Err(self.bad("it follows the closing line"));
        }
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| self.bad(&format!("it is not JSON: {error}")))?;
        if self.number == 1 {
            return self.header(line, value);
        }
        if value.get("end").is_some() {
            return self.end(value);
        }
        self.digest(line);
        let (read, sequence) = if value.get("lost").is_some() {
            let lost: Lost = self.fields(value)?;
            self.scribe.lost += 1;
            let sequence = lost.sequence;
            (Line::Lost(lost), sequence)
        } else {
            let event: PortableEvent = self.fields(value)?;
            self.scribe.events += 1;
            let sequence = event.sequence;
            (Line::Event(event), sequence)
        };
        if sequence <= self.last {
            let said = format!("event {sequence} stands behind event {}", self.last);
            return Err(self.bad(&said));
        }
        self.last = sequence;
        Ok(read)
    }

    /// Says whether the closing line was there.
    ///
    /// # Errors
    /// `invalid_argument` at `file` for what was cut.
    pub fn finish(&self) -> Result<(), Refusal> {
        if self.has_ended {
            return Ok(());
        }
        let said = format!(
            "the file was cut: it ends after line {} without a closing line",
            self.number
        );
        let remedy = "export it again, or fetch the whole file, and import it once more";
        Err(Refusal::invalid("file", said, remedy))
    }

    /// The refusal of the line that was read last.
    pub fn bad(&self, said: &str) -> Refusal {
        bad_line(self.number, said)
    }

    fn header(&mut self, line: &[u8], value: Value) -> Result<Line, Refusal> {
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(self.bad("this is no export of a tenant"));
        }
        let version = value.get("version").and_then(Value::as_u64);
        if version != Some(u64::from(VERSION)) {
            let said = format!("this build reads version {VERSION} of the format only");
            return Err(self.bad(&said));
        }
        let header: Header = self.fields(value)?;
        self.digest(line);
        Ok(Line::Header(header))
    }

    fn end(&mut self, value: Value) -> Result<Line, Refusal> {
        let totals: Totals = self.fields(value)?;
        let scribe = std::mem::take(&mut self.scribe);
        let (_, counted) = scribe.end();
        if totals != counted {
            return Err(self.bad(
                "what it counts is not what stands above: lines were changed, added or taken out",
            ));
        }
        self.has_ended = true;
        Ok(Line::End(totals))
    }

    fn fields<T: serde::de::DeserializeOwned>(&self, value: Value) -> Result<T, Refusal> {
        serde_json::from_value(value).map_err(|error| self.bad(&format!("{error}")))
    }

    fn digest(&mut self, line: &[u8]) {
        self.scribe.digest.update(line);
        self.scribe.digest.update(b"\n");
    }
}

/// The refusal of one line of an export.
pub fn bad_line(number: u64, said: &str) -> Refusal {
    let said: String = said.chars().filter(|c| !c.is_control()).take(240).collect();
    Refusal::invalid(
        "file",
        format!("line {number}: {said}"),
        "import what `postroad tenant export` wrote, unchanged; what was imported stays, and a mended \
         file goes on behind it",
    )
}

#[cfg(test)]
#[path = "portable_tests.rs"]
mod tests;
