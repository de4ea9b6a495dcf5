//! What names a memory and says where it belongs: its id, its namespace, its type, and how it relates to others. Owns the
//! namespace rules of one tenant; never decides who calls.

use crate::error::{ErrorCode, Refusal};
use crate::id::{InvalidName, ProjectName, Role, TenantId};
use crate::keyed::keyed_id;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The namespace that everybody in the tenant shares; the operator's shared library has the same name.
pub const GLOBAL: &str = "global";
/// The namespace of the tenant itself, and before a name the prefix that a caller writes.
pub const WORKSPACE: &str = "workspace";
/// Prefix of namespaces of a repository, a feature or an initiative.
pub const PROJECT: &str = "project";
/// Prefix of the namespaces that are private to one role.
pub const ORCHESTRATOR: &str = "orchestrator";

/// Types that the documentation names; any other slug is one, too.
pub const USUAL_TYPES: [&str; 5] = ["user", "feedback", "project", "reference", "episode"];

keyed_id!(
    /// The id of a memory: the key of the event that stored it, written as a UUID.
    MemoryId
);

/// Where a memory belongs, inside one tenant. Written without the tenant's name, so that a history brought into a
/// tenant of another name keeps its workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// Everybody in the tenant; in the library, everybody.
    Global,
    /// The tenant as a company or team.
    Workspace,
    /// A repository, a feature, an initiative.
    Project(ProjectName),
    /// One role's own; nobody else reads or writes it.
    Orchestrator(Role),
}

impl Namespace {
    /// As it stands in events and row keys.
    pub fn stored(&self) -> String {
        match self {
            Self::Global => GLOBAL.to_owned(),
            Self::Workspace => WORKSPACE.to_owned(),
            Self::Project(name) => format!("{PROJECT}/{name}"),
            Self::Orchestrator(role) => format!("{ORCHESTRATOR}/{role}"),
        }
    }

    /// Reads what [`stored`](Self::stored) wrote.
    pub fn parse_stored(text: &str) -> Option<Self> {
        match text.split_once('/') {
            None if text == GLOBAL => Some(Self::Global),
            None if text == WORKSPACE => Some(Self::Workspace),
            Some((PROJECT, name)) => ProjectName::parse(name).ok().map(Self::Project),
            Some((ORCHESTRATOR, role)) => Role::parse(role).ok().map(Self::Orchestrator),
            _ => None,
        }
    }

    /// As callers of `tenant` write it; without a tenant, as in the library.
    pub fn shown(&self, tenant: Option<&TenantId>) -> String {
        match (self, tenant) {
            (Self::Workspace, Some(tenant)) => format!("{WORKSPACE}/{tenant}"),
            _ => self.stored(),
        }
    }

    /// Whether agents of `role` read and write it. Without a role an operator asks, or an administrator's import.
    pub fn is_open_to(&self, role: Option<&Role>) -> bool {
        match (self, role) {
            (Self::Orchestrator(owner), Some(role)) => owner == role,
            _ => true,
        }
    }
}

impl Serialize for Namespace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.stored())
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse_stored(&text).ok_or_else(|| serde::de::Error::custom("not a namespace"))
    }
}

/// A namespace as a caller wrote it: well formed, and not yet held against who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceName {
    /// `global`.
    Global,
    /// `workspace/{x}`.
    Workspace(TenantId),
    /// `project/{x}`.
    Project(ProjectName),
    /// `orchestrator/{role}`.
    Orchestrator(Role),
}

const NAMESPACE_REMEDY: &str =
    "use global, project/{name}, workspace/{tenant} or orchestrator/{role}";

impl NamespaceName {
    /// Reads a namespace.
    ///
    /// # Errors
    /// `invalid_argument` at `namespace`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match text.split_once('/') {
            None if text == GLOBAL => Ok(Self::Global),
            Some((prefix, name)) => Self::of_parts(prefix, name),
            None => Err(Refusal::invalid(
                "namespace",
                "this is no namespace",
                NAMESPACE_REMEDY,
            )),
        }
    }

    fn of_parts(prefix: &str, name: &str) -> Result<Self, Refusal> {
        let bad =
            |error: InvalidName| Refusal::invalid("namespace", error.to_string(), NAMESPACE_REMEDY);
        match prefix {
            PROJECT => ProjectName::parse(name).map(Self::Project).map_err(bad),
            WORKSPACE => TenantId::parse(name).map(Self::Workspace).map_err(bad),
            ORCHESTRATOR => Role::parse(name).map(Self::Orchestrator).map_err(bad),
            _ => Err(Refusal::invalid(
                "namespace",
                "no namespace begins like this",
                NAMESPACE_REMEDY,
            )),
        }
    }

    /// The namespace of `tenant` that this names for `role`; without a role an operator, or an administrator's
    /// import, asks.
    ///
    /// # Errors
    /// `permission_denied` at `namespace`: another tenant's workspace, another role's own. It tells nothing of
    /// what there is.
    pub fn resolve(self, tenant: &TenantId, role: Option<&Role>) -> Result<Namespace, Refusal> {
        let namespace = match self {
            Self::Global => Namespace::Global,
            Self::Project(name) => Namespace::Project(name),
            Self::Workspace(name) if name == *tenant => Namespace::Workspace,
            Self::Workspace(_) => return Err(not_yours("workspace/{x} is open to tenant x only")),
            Self::Orchestrator(owner) => Namespace::Orchestrator(owner),
        };
        if namespace.is_open_to(role) {
            Ok(namespace)
        } else {
            Err(not_yours("orchestrator/{role} is open to that role only"))
        }
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str(GLOBAL),
            Self::Workspace(name) => write!(f, "{WORKSPACE}/{name}"),
            Self::Project(name) => write!(f, "{PROJECT}/{name}"),
            Self::Orchestrator(role) => write!(f, "{ORCHESTRATOR}/{role}"),
        }
    }
}

fn not_yours(message: &str) -> Refusal {
    Refusal::new(
        ErrorCode::PermissionDenied,
        message,
        "use global, project/{name}, your own workspace/{tenant} or your own orchestrator/{role}",
    )
    .at("namespace")
}

/// Which namespaces a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceFilter {
    /// One.
    One(NamespaceName),
    /// Every one that begins with `project/`.
    Projects,
    /// The one that begins with `workspace/`.
    Workspace,
    /// The one that begins with `orchestrator/` and is the caller's; the operator's question is about all of them.
    Orchestrators,
}

impl NamespaceFilter {
    /// Reads a namespace, or the prefix of some: `project/`, with or without the stroke.
    ///
    /// # Errors
    /// `invalid_argument` at `namespace`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match text.strip_suffix('/').unwrap_or(text) {
            PROJECT => Ok(Self::Projects),
            WORKSPACE => Ok(Self::Workspace),
            ORCHESTRATOR => Ok(Self::Orchestrators),
            _ => NamespaceName::parse(text).map(Self::One),
        }
    }
}

/// How one memory stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelationKind {
    /// It takes the other's place: the other steps behind it.
    Updates,
    /// It adds to the other.
    Extends,
    /// It follows from the other.
    Derives,
}

/// A memory's relation to an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relation {
    /// Which.
    #[serde(rename = "type")]
    pub kind: RelationKind,
    /// The older one.
    pub memory_id: MemoryId,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn role(name: &str) -> Role {
        Role::parse(name).unwrap()
    }

    #[test]
    fn a_workspace_is_the_tenants_own_and_an_orchestrator_the_roles_own() {
        let resolve = |text: &str| {
            NamespaceName::parse(text)
                .unwrap()
                .resolve(&tenant("acme"), Some(&role("tau")))
        };
        assert_eq!(resolve("workspace/Acme").unwrap(), Namespace::Workspace);
        assert_eq!(
            resolve("orchestrator/tau").unwrap(),
            Namespace::Orchestrator(role("tau"))
        );
        for foreign in ["workspace/globex", "workspace/acme-corp", "orchestrator/pi"] {
            assert_eq!(
                resolve(foreign).unwrap_err().code,
                ErrorCode::PermissionDenied,
                "{foreign}"
            );
        }
        let operator = NamespaceName::parse("orchestrator/pi")
            .unwrap()
            .resolve(&tenant("acme"), None);
        assert_eq!(operator.unwrap(), Namespace::Orchestrator(role("pi")));
    }

    #[test]
    fn what_is_no_namespace_is_refused_with_the_field() {
        for bad in [
            "",
            "/",
            "project",
            "project/",
            "project/a/b",
            "team/a",
            "global/x",
            " global",
            "project/ä",
            "_sys",
            "orchestrator/broadcast",
        ] {
            let refusal = NamespaceName::parse(bad).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.field.as_deref()),
                (ErrorCode::InvalidArgument, Some("namespace")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_prefix_names_whole_segments() {
        assert_eq!(
            NamespaceFilter::parse("project/").unwrap(),
            NamespaceFilter::Projects
        );
        assert_eq!(
            NamespaceFilter::parse("project").unwrap(),
            NamespaceFilter::Projects
        );
        assert!(NamespaceFilter::parse("proj").is_err());
        assert!(matches!(
            NamespaceFilter::parse("project/land").unwrap(),
            NamespaceFilter::One(NamespaceName::Project(name)) if name.as_str() == "land"
        ));
    }

    #[test]
    fn a_stored_namespace_reads_back_and_shows_the_tenant() {
        for namespace in [
            Namespace::Global,
            Namespace::Workspace,
            Namespace::Project(ProjectName::parse("landing-page").unwrap()),
            Namespace::Orchestrator(role("tau")),
        ] {
            assert_eq!(
                Namespace::parse_stored(&namespace.stored()),
                Some(namespace)
            );
        }
        assert_eq!(
            Namespace::Workspace.shown(Some(&tenant("acme"))),
            "workspace/acme"
        );
    }
}
