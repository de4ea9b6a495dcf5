//! What names tasks and missions and says how they stand: ids, projects, priorities, states. Owns the project rules of one
//! tenant; never decides what may become of a task.

use crate::error::{ErrorCode, Refusal};
use crate::event::Actor;
use crate::id::{InstanceId, ProjectName, Reader, Role, TenantId, TimeMs};
use crate::keyed::keyed_id;
use crate::priority::Priority;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The prefix of the tenant's own project as callers write it, and the project's name as it is stored.
pub const STUDIO: &str = "studio";

keyed_id!(
    /// The id of a task: the key of the event that created it, written as a UUID.
    TaskId
);
keyed_id!(
    /// The id of a mission: the key of the event that created it, written as a UUID.
    MissionId
);

/// Makes an enum of words that stand on the wire, in events and in keys.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$of])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            /// Every one, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word for it, as it stands on the wire.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Reads the word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words!(
    /// How urgent a task or mission is.
    TaskPriority {
        /// Now.
        Urgent = "urgent",
        /// Soon.
        High = "high",
        /// The default.
        Medium = "medium",
        /// Whenever.
        Low = "low",
    }
);

impl TaskPriority {
    /// How urgent a message about it is.
    pub const fn of_message(self) -> Priority {
        match self {
            Self::Urgent => Priority::Urgent,
            Self::High => Priority::High,
            Self::Medium => Priority::Normal,
            Self::Low => Priority::Low,
        }
    }
}

words!(
    /// How a task stands.
    TaskStatus {
        /// Nobody works on it yet.
        Todo = "todo",
        /// Whoever claimed it works on it.
        InProgress = "in_progress",
        /// It is done as far as its claimant is concerned; somebody looks at it.
        Review = "review",
        /// Something that is no task keeps it from going on.
        Blocked = "blocked",
        /// It is done, for good.
        Done = "done",
        /// It came to nothing.
        Failed = "failed",
        /// It is not wanted any more.
        Cancelled = "cancelled",
    }
);

impl TaskStatus {
    /// Whether nothing is left to do.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

words!(
    /// How a mission stands.
    MissionStatus {
        /// What it is to be is being found out.
        Brainstorm = "brainstorm",
        /// Its tasks are being laid out.
        Plan = "plan",
        /// Its tasks are being done.
        Execute = "execute",
        /// What was done is being looked at.
        Validate = "validate",
        /// It has reached what it was for.
        Complete = "complete",
        /// It is not wanted any more.
        Cancelled = "cancelled",
    }
);

impl MissionStatus {
    /// Whether nothing is left to do.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Complete | Self::Cancelled)
    }
}

/// Where a task or mission belongs, inside one tenant. Written without the tenant's name, so that a history brought into a
/// tenant of another name keeps its studio.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Project {
    /// The tenant as a company or team.
    Studio,
    /// A repository, a feature, an initiative.
    Named(ProjectName),
}

impl Project {
    /// As it stands in events and row keys: the studio with the stroke that no slug has.
    pub fn stored(&self) -> &str {
        match self {
            Self::Studio => "studio/",
            Self::Named(name) => name.as_str(),
        }
    }

    /// Reads what [`stored`](Self::stored) wrote.
    pub fn parse_stored(text: &str) -> Option<Self> {
        if text == Self::Studio.stored() {
            return Some(Self::Studio);
        }
        ProjectName::parse(text).ok().map(Self::Named)
    }

    /// As callers of `tenant` write it.
    pub fn shown(&self, tenant: &TenantId) -> String {
        match self {
            Self::Studio => format!("{STUDIO}/{tenant}"),
            Self::Named(name) => name.to_string(),
        }
    }
}

impl Serialize for Project {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.stored())
    }
}

impl<'de> Deserialize<'de> for Project {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse_stored(&text).ok_or_else(|| serde::de::Error::custom("not a project"))
    }
}

/// A project as a caller wrote it: well formed, and not yet held against who calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ProjectText {
    /// `studio/{x}`.
    Studio(TenantId),
    /// A slug.
    Named(ProjectName),
}

const PROJECT_REMEDY: &str = "use a slug of a-z, 0-9, '_' and '-', or your own studio/{tenant}";

impl ProjectText {
    /// Reads a project.
    ///
    /// # Errors
    /// `invalid_argument` at `project`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let bad = |message: String| Refusal::invalid("project", message, PROJECT_REMEDY);
        match text.split_once('/') {
            Some((STUDIO, name)) => TenantId::parse(name)
                .map(Self::Studio)
                .map_err(|error| bad(error.to_string())),
            Some(_) => Err(bad("no project begins like this".to_owned())),
            None => ProjectName::parse(text)
                .map(Self::Named)
                .map_err(|error| bad(error.to_string())),
        }
    }

    /// The project of `tenant` that this names.
    ///
    /// # Errors
    /// `permission_denied` at `project` for another tenant's studio. It tells nothing of what there is.
    pub fn resolve(&self, tenant: &TenantId) -> Result<Project, Refusal> {
        match self {
            Self::Named(name) => Ok(Project::Named(name.clone())),
            Self::Studio(name) if name == tenant => Ok(Project::Studio),
            Self::Studio(_) => Err(Refusal::new(
                ErrorCode::PermissionDenied,
                "studio/{x} is open to tenant x only",
                PROJECT_REMEDY,
            )
            .at("project")),
        }
    }
}

/// To whom a task is given: a role, or one instance of it alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignee {
    /// The role.
    pub role: Role,
    /// Only this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
}

impl Assignee {
    /// Whether `reader` is meant.
    pub fn includes(&self, reader: &Reader) -> bool {
        let is_instance = |instance: &InstanceId| *instance == reader.instance;
        self.role == reader.role && self.instance.as_ref().is_none_or(is_instance)
    }
}

impl fmt::Display for Assignee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance {
            Some(instance) => write!(f, "{}/{instance}", self.role),
            None => self.role.fmt(f),
        }
    }
}

/// That somebody works on a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Who.
    pub by: Reader,
    /// Since when.
    pub at: TimeMs,
    /// How long it holds before it has to be renewed, and until when it does; without one it holds until it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// For how long a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// As the claimant asked, in milliseconds.
    pub ms: u64,
    /// Until when, in milliseconds since 1970.
    pub until: TimeMs,
}

/// What somebody said of a task when it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// When.
    pub at: TimeMs,
    /// Who.
    pub by: Actor,
    /// What.
    pub text: String,
}

/// A task, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskState {
    /// How often it has changed, from 1: its creation.
    pub version: u64,
    /// What it is, in one line.
    pub title: String,
    /// What it is, at length.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where it belongs.
    pub project: Project,
    /// How urgent.
    pub priority: TaskPriority,
    /// How it stands.
    pub status: TaskStatus,
    /// To whom it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<Assignee>,
    /// Who works on it; of one that has ended, who did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// Tasks that have to be done before, in order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// The mission that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mission: Option<MissionId>,
    /// Labels, in order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// By when it is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<TimeMs>,
    /// The last that were said of it, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Who created it.
    pub created_by: Actor,
    /// When.
    pub created_at: TimeMs,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<TimeMs>,
}

impl TaskState {
    /// Whose work it is now: its claimant's, else of whoever it is given to. Nobody's when it has ended.
    pub fn responsible(&self) -> Option<Assignee> {
        if self.status.has_ended() {
            return None;
        }
        let claimant = self.claim.as_ref().map(|claim| Assignee {
            role: claim.by.role.clone(),
            instance: Some(claim.by.instance.clone()),
        });
        claimant.or_else(|| self.assigned_to.clone())
    }

    /// Who is told when everything that it waited for is done: whoever it is given to, else whoever has it. Nobody where it does
    /// not wait.
    pub fn told_when_ready(&self) -> Option<Assignee> {
        match self.status {
            TaskStatus::Todo | TaskStatus::Blocked => {
                self.assigned_to.clone().or_else(|| self.responsible())
            }
            _ => None,
        }
    }

    /// Until when its claim holds, where somebody works on it under a lease.
    pub fn lease_until(&self) -> Option<TimeMs> {
        if self.status != TaskStatus::InProgress {
            return None;
        }
        Some(self.claim.as_ref()?.lease?.until)
    }
}

/// A mission, whole, but for what follows from its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissionState {
    /// How often it has changed, from 1: its creation.
    pub version: u64,
    /// What it is, in one line.
    pub title: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub brief: String,
    /// Who leads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pilot: Option<Role>,
    /// Who takes part, in order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<Role>,
    /// Where it belongs.
    pub project: Project,
    /// How urgent.
    pub priority: TaskPriority,
    /// How it stands.
    pub status: MissionStatus,
    /// When it is to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<TimeMs>,
    /// By when it is to be complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<TimeMs>,
    /// Who created it.
    pub created_by: Actor,
    /// When.
    pub created_at: TimeMs,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<TimeMs>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn a_studio_is_the_tenants_own_and_a_slug_is_the_tenants_wherever_it_stands() {
        let resolve = |text: &str| ProjectText::parse(text).unwrap().resolve(&tenant("acme"));
        assert_eq!(resolve("studio/Acme").unwrap(), Project::Studio);
        let slug = resolve("Landing-Page").unwrap();
        assert_eq!(slug.shown(&tenant("acme")), "landing-page");
        for foreign in ["studio/globex", "studio/acme-corp"] {
            let refusal = resolve(foreign).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.field.as_deref()),
                (ErrorCode::PermissionDenied, Some("project")),
                "{foreign}"
            );
        }
        assert_eq!(Project::Studio.shown(&tenant("acme")), "studio/acme");
    }

    #[test]
    fn what_is_no_project_is_refused_with_the_field() {
        for bad in [
            "",
            "/",
            "studio/",
            "studio/a/b",
            "team/a",
            " a",
            "ä",
            "_sys",
            "a b",
        ] {
            let refusal = ProjectText::parse(bad).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.field.as_deref()),
                (ErrorCode::InvalidArgument, Some("project")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_stored_project_reads_back_and_no_slug_reads_as_the_studio() {
        let studio_slug = Project::Named(ProjectName::parse("studio").unwrap());
        for project in [Project::Studio, studio_slug] {
            assert_eq!(Project::parse_stored(project.stored()), Some(project));
        }
    }

    #[test]
    fn words_read_back() {
        for status in TaskStatus::ALL {
            assert_eq!(TaskStatus::parse(status.word()), Some(*status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.word());
        }
        assert_eq!(TaskStatus::parse("Todo"), None);
    }
}
