//! Roles and instances that a command names, held against the roster: whether somebody is there, or why not. Pure.

use super::nearest::{hint, nearest};
use super::roster::{ReaderState, Roster};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::id::{InstanceId, Role};

/// The field that names somebody. What else may be done follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To whom a message goes.
    Channel,
    /// To whom a task is given.
    Assignee,
    /// Who leads a mission.
    Pilot,
    /// Who takes part in it.
    Agents,
}

impl Place {
    const fn role(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Assignee => "assignedTo",
            Self::Pilot => "pilot",
            Self::Agents => "agents",
        }
    }

    const fn instance(self) -> &'static str {
        match self {
            Self::Assignee => "assignedToInstanceId",
            Self::Channel | Self::Pilot | Self::Agents => "instanceId",
        }
    }

    const fn another_role(self) -> &'static str {
        match self {
            Self::Channel => "send to another role, or ask the operator to issue it a credential",
            Self::Assignee | Self::Pilot | Self::Agents => {
                "name another role, or ask the operator to issue it a credential"
            }
        }
    }

    const fn without_instance(self) -> &'static str {
        match self {
            Self::Assignee => "leave assignedToInstanceId out to give it to the role",
            Self::Channel | Self::Pilot | Self::Agents => "leave instanceId out to reach the role",
        }
    }
}

/// Whether the roster serves `role`, at `instance` where one is named.
pub(crate) fn is_served(roster: &Roster, role: &Role, instance: Option<&InstanceId>) -> bool {
    match (roster.live(role), instance) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(member), Some(instance)) => member.reader(instance) == Some(ReaderState::Live),
    }
}

/// Refuses a role, or an instance of it, that the roster does not serve.
///
/// # Errors
/// `not_found` at the field of `place`, with the nearest names that there are.
pub(crate) fn check_served(
    roster: &Roster,
    place: Place,
    role: &Role,
    instance: Option<&InstanceId>,
) -> Result<(), Refusal> {
    if is_served(roster, role, instance) {
        return Ok(());
    }
    Err(match instance {
        Some(instance) if roster.live(role).is_some() => {
            unreachable_instance(roster, place, role, instance)
        }
        _ => unreachable_role(roster, place, role),
    })
}

fn unreachable_role(roster: &Roster, place: Place, role: &Role) -> Refusal {
    if roster.member(role).is_some() {
        return Refusal::new(
            ErrorCode::NotFound,
            format!("role `{role}` has left: its last credential was retired"),
            place.another_role(),
        )
        .at(place.role());
    }
    let near = nearest(role.as_str(), roster.live_roles().map(Role::as_str));
    Refusal::new(
        ErrorCode::NotFound,
        format!("there is no role `{role}`{}", hint(&near)),
        remedy(&near, "list_peers shows who is there"),
    )
    .at(place.role())
}

fn unreachable_instance(
    roster: &Roster,
    place: Place,
    role: &Role,
    instance: &InstanceId,
) -> Refusal {
    let known: Vec<&str> = roster
        .member(role)
        .into_iter()
        .flat_map(|member| member.live_readers().map(InstanceId::as_str))
        .collect();
    let near = nearest(instance.as_str(), known.into_iter());
    let retired = roster
        .member(role)
        .and_then(|member| member.reader(instance));
    let message = match retired {
        Some(_) => format!("`{role}/{instance}` was retired"),
        None => format!("role `{role}` has no instance `{instance}`{}", hint(&near)),
    };
    Refusal::new(
        ErrorCode::NotFound,
        message,
        remedy(&near, place.without_instance()),
    )
    .at(place.instance())
}

fn remedy(near: &[&str], otherwise: &str) -> String {
    match near {
        [] => otherwise.to_owned(),
        near => format!("did you mean {}? {otherwise}", near.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::roster::given::*;
    use super::*;

    fn town() -> Roster {
        roster(&[
            issued("tau", Some("pi"), "A"),
            issued("phi", None, "B"),
            issued("gone", Some("x"), "C"),
            retired("gone", None),
        ])
    }

    fn refused(place: Place, name: &str, only: Option<&str>) -> (String, String) {
        let only = only.map(instance);
        let refusal = check_served(&town(), place, &role(name), only.as_ref()).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::NotFound);
        (refusal.field.unwrap(), refusal.message + &refusal.remedy)
    }

    #[test]
    fn whoever_is_there_is_served_and_everybody_else_is_refused_at_the_field_that_names_them() {
        for (name, only) in [("tau", None), ("tau", Some("pi")), ("phi", None)] {
            let only = only.map(instance);
            let named = check_served(&town(), Place::Assignee, &role(name), only.as_ref());
            assert_eq!(named, Ok(()), "{name}");
        }
        let (field, text) = refused(Place::Pilot, "pih", None);
        assert!(field == "pilot" && text.contains("phi"), "{text}");
        let (field, text) = refused(Place::Agents, "gone", None);
        assert!(field == "agents" && text.contains("issue"), "{text}");
        // A role that is not there comes before its instance.
        let (field, _) = refused(Place::Assignee, "gone", Some("x"));
        assert_eq!(field, "assignedTo");
        let (field, text) = refused(Place::Assignee, "tau", Some("pj"));
        assert!(
            field == "assignedToInstanceId" && text.contains("did you mean pi?"),
            "{text}"
        );
    }
}
