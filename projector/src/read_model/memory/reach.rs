//! Which namespaces of one owner a question is about: what the caller named, as far as it may read it. What is not reached is not
//! looked at.

use super::rows::{MemoryLane, NamespaceRow};
use crate::read_model::keys::RowKey;
use crate::read_model::table::TenantReader;
use crate::store::StoreError;
use postroad_protocol::error::Refusal;
use postroad_protocol::id::{Role, TenantId};
use postroad_protocol::memory::{Namespace, NamespaceFilter, ORCHESTRATOR, PROJECT};

/// Namespaces that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    One(Namespace),
    Projects,
    Orchestrators,
    All,
}

/// The namespaces of one owner that a caller asks about and may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    parts: Vec<Part>,
    /// Whether the operator's shared library is asked about, too.
    pub with_library: bool,
}

/// The first bytes of a namespace's key.
struct Beginning(&'static str);

impl RowKey for Beginning {
    fn write(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.0.as_bytes());
        key.push(b'/');
    }
}

impl Reach {
    /// What `filter` names for agents of `role` in `tenant`; without a role, for the operator.
    ///
    /// # Errors
    /// `permission_denied` at `namespace`.
    pub fn of(
        filter: Option<&NamespaceFilter>,
        tenant: &TenantId,
        role: Option<&Role>,
    ) -> Result<Self, Refusal> {
        let parts = match (filter, role) {
            (None, None) => vec![Part::All],
            (None, Some(role)) => vec![
                Part::One(Namespace::Global),
                Part::One(Namespace::Workspace),
                Part::One(Namespace::Orchestrator(role.clone())),
                Part::Projects,
            ],
            (Some(NamespaceFilter::Projects), _) => vec![Part::Projects],
            (Some(NamespaceFilter::Workspace), _) => vec![Part::One(Namespace::Workspace)],
            (Some(NamespaceFilter::Orchestrators), None) => vec![Part::Orchestrators],
            (Some(NamespaceFilter::Orchestrators), Some(role)) => {
                vec![Part::One(Namespace::Orchestrator(role.clone()))]
            }
            (Some(NamespaceFilter::One(name)), role) => {
                vec![Part::One(name.clone().resolve(tenant, role)?)]
            }
        };
        let global = Part::One(Namespace::Global);
        let with_library = filter.is_none() || parts.contains(&global);
        Ok(Self {
            parts,
            with_library,
        })
    }

    /// All of the shared library.
    pub fn library() -> Self {
        Self {
            parts: vec![Part::One(Namespace::Global)],
            with_library: true,
        }
    }

    /// The lists in which what is reached stands. A memory of a list may still be outside: [`holds`](Self::holds).
    pub(super) fn lanes(&self) -> Vec<MemoryLane> {
        let lane = |part: &Part| match part {
            Part::One(namespace) => MemoryLane::Of(namespace.clone()),
            Part::Projects => MemoryLane::Projects,
            Part::Orchestrators | Part::All => MemoryLane::All,
        };
        self.parts.iter().map(lane).collect()
    }

    /// Whether a memory of `namespace` is reached.
    pub(super) fn holds(&self, namespace: &Namespace) -> bool {
        self.parts.iter().any(|part| match part {
            Part::One(one) => one == namespace,
            Part::Projects => matches!(namespace, Namespace::Project(_)),
            Part::Orchestrators => matches!(namespace, Namespace::Orchestrator(_)),
            Part::All => true,
        })
    }

    /// The namespaces that are reached and hold memories.
    pub(super) fn namespaces(&self, rows: &TenantReader<'_>) -> Result<Vec<Namespace>, StoreError> {
        let mut found = Vec::new();
        for part in &self.parts {
            match part {
                Part::One(namespace) => {
                    let row = rows.get::<NamespaceRow>(namespace)?;
                    found.extend(
                        row.filter(|row| row.memories > 0)
                            .map(|_| namespace.clone()),
                    );
                }
                Part::Projects => list(rows, &Beginning(PROJECT), &mut found)?,
                Part::Orchestrators => list(rows, &Beginning(ORCHESTRATOR), &mut found)?,
                Part::All => list(rows, &(), &mut found)?,
            }
        }
        Ok(found)
    }
}

fn list(
    rows: &TenantReader<'_>,
    under: &impl RowKey,
    found: &mut Vec<Namespace>,
) -> Result<(), StoreError> {
    for row in rows.list::<NamespaceRow>(under, None)? {
        let (namespace, row) = row?;
        if row.memories > 0 {
            found.push(namespace);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::error::ErrorCode;
    use postroad_protocol::memory::GLOBAL;

    fn reach(filter: Option<&str>, role: Option<&str>) -> Result<Reach, Refusal> {
        let filter = filter.map(|text| NamespaceFilter::parse(text).unwrap());
        let role = role.map(|role| Role::parse(role).unwrap());
        let tenant = TenantId::parse("acme").unwrap();
        Reach::of(filter.as_ref(), &tenant, role.as_ref())
    }

    fn namespace(text: &str) -> Namespace {
        Namespace::parse_stored(text).unwrap()
    }

    #[test]
    fn an_agent_reaches_everything_but_what_is_another_roles_own() {
        let all = reach(None, Some("tau")).unwrap();
        for open in [GLOBAL, "workspace", "project/x", "orchestrator/tau"] {
            assert!(all.holds(&namespace(open)), "{open}");
        }
        assert!(!all.holds(&namespace("orchestrator/pi")));
        assert!(all.with_library);
        let own = reach(Some("orchestrator/"), Some("tau")).unwrap();
        assert!(
            own.holds(&namespace("orchestrator/tau")) && !own.holds(&namespace("orchestrator/pi"))
        );
        assert!(!own.with_library);
        let denied = reach(Some("orchestrator/pi"), Some("tau")).unwrap_err();
        assert_eq!(denied.code, ErrorCode::PermissionDenied);
    }

    #[test]
    fn the_operator_reaches_all_of_a_tenant() {
        let all = reach(None, None).unwrap();
        assert!(all.holds(&namespace("orchestrator/pi")));
        let own = reach(Some("orchestrator/pi"), None).unwrap();
        assert!(
            own.holds(&namespace("orchestrator/pi")) && !own.holds(&namespace("orchestrator/tau"))
        );
    }

    #[test]
    fn a_project_is_not_one_whose_name_it_begins() {
        let one = reach(Some("project/land"), Some("tau")).unwrap();
        assert!(!one.holds(&namespace("project/landing")));
        let all = reach(Some("project/"), Some("tau")).unwrap();
        assert!(all.holds(&namespace("project/landing")) && !all.holds(&namespace(GLOBAL)));
    }
}
