//! Deciding over a role: who may call, what is issued, what is retired. Pure.

use super::nearest::{hint, nearest};
use super::roster::{ReaderState, Roster};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{AgentRetired, ReaderRegistered};
use postroad_protocol::id::{CommandId, InstanceId, Reader, Role};
use postroad_protocol::limits;
use postroad_protocol::tenancy::Scope;

/// What a calling reader is to the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is registered.
    Registered,
    /// This has to be stored before its first command.
    Registers(Registration),
}

/// A registration that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    /// Follows from the reader and from its last retirement, so that any number of brokers and
    /// projectors may ask for the same registration, and a later one is not taken for a repeat.
    pub(crate) id: CommandId,
    /// The event.
    pub(crate) event: ReaderRegistered,
}

/// Whether `reader` may act in the scope `asked`, and whether it has to be registered first.
///
/// # Errors
/// `permission_denied` for one that was retired, whose credentials were revoked, or none of whose has
/// the scope; `quota_exceeded` for one too many.
pub(crate) fn standing(
    roster: &Roster,
    reader: &Reader,
    asked: Scope,
) -> Result<Standing, Refusal> {
    let Some(member) = roster.live(&reader.role) else {
        return Err(Refusal::new(
            ErrorCode::PermissionDenied,
            format!("no credential of role `{}` stands any more", reader.role),
            "ask the operator to issue one",
        ));
    };
    let known = member.reader(&reader.instance);
    let retired_at = match known {
        Some(ReaderState::Retired { at }) => at,
        Some(ReaderState::Live) | None => 0,
    };
    // Whoever calls, a credential that stands must serve this instance: one that was retired with its
    // role does not come back under a name that nobody has used yet.
    if !member.serves_since(&reader.instance, retired_at) {
        return Err(Refusal::new(
            ErrorCode::PermissionDenied,
            format!("no credential that stands serves {reader}"),
            "ask the operator to issue one for it, or use another instance",
        ));
    }
    if !member.grants(&reader.instance, retired_at, asked) {
        return Err(Refusal::new(
            ErrorCode::PermissionDenied,
            format!(
                "no credential that stands gives {reader} the scope `{}`",
                asked.token()
            ),
            "have one issued with that scope: `postroad agent issue --scope`",
        ));
    }
    if known == Some(ReaderState::Live) {
        return Ok(Standing::Registered);
    }
    if member.live_readers().count() >= limits::READERS_PER_ROLE {
        return Err(too_many_readers(&reader.role));
    }
    let id = CommandId::derived(&[
        b"reader_registered",
        reader.role.as_str().as_bytes(),
        reader.instance.as_str().as_bytes(),
        &retired_at.to_be_bytes(),
    ]);
    let event = ReaderRegistered {
        reader: reader.clone(),
    };
    Ok(Standing::Registers(Registration { id, event }))
}

pub(super) fn too_many_readers(role: &Role) -> Refusal {
    Refusal::new(
        ErrorCode::QuotaExceeded,
        format!(
            "role `{role}` has {} instances, which is the limit",
            limits::READERS_PER_ROLE
        ),
        "retire instances that are gone, or give each a fixed name",
    )
    .at("instanceId")
}

/// Decides that a role, or one instance of it, is retired. One that already is may be retired
/// again: a retry has to succeed.
///
/// # Errors
/// `not_found` for what the roster has never seen.
pub(crate) fn retire(
    roster: &Roster,
    role: &Role,
    instance: Option<&InstanceId>,
) -> Result<AgentRetired, Refusal> {
    let Some(member) = roster.member(role) else {
        let near = nearest(role.as_str(), roster.live_roles().map(Role::as_str));
        return Err(Refusal::new(
            ErrorCode::NotFound,
            format!("there is no role `{role}`{}", hint(&near)),
            "`postroad agent list` shows the roster",
        )
        .at("role"));
    };
    if let Some(instance) = instance
        && !member.knows_instance(instance)
    {
        let known: Vec<&str> = member.live_readers().map(InstanceId::as_str).collect();
        let near = nearest(instance.as_str(), known.into_iter());
        return Err(Refusal::new(
            ErrorCode::NotFound,
            format!("role `{role}` has no instance `{instance}`{}", hint(&near)),
            "`postroad agent list` shows the roster",
        )
        .at("instanceId"));
    }
    Ok(AgentRetired {
        role: role.clone(),
        instance: instance.cloned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::roster::given::*;
    use super::*;
    use postroad_protocol::event::{CredentialIssued, Event};

    fn registration(roster: &Roster, who: &Reader) -> Registration {
        match standing(roster, who, Scope::Own).unwrap() {
            Standing::Registers(registration) => registration,
            Standing::Registered => panic!("{who} is registered already"),
        }
    }

    #[test]
    fn a_reader_registers_once_before_its_first_command() {
        let before = roster(&[issued("tau", None, "A")]);
        let due = registration(&before, &reader("tau", "pi"));
        assert_eq!(due, registration(&before, &reader("tau", "pi")));
        assert_ne!(due.id, registration(&before, &reader("tau", "pi2")).id);
        let after = roster(&[issued("tau", None, "A"), Event::from(due.event)]);
        assert_eq!(
            standing(&after, &reader("tau", "pi"), Scope::Own).unwrap(),
            Standing::Registered
        );
    }

    #[test]
    fn a_retired_reader_comes_back_only_with_a_later_credential() {
        let mut events = vec![
            issued("tau", None, "A"),
            registered("tau", "pi"),
            retired("tau", Some("pi")),
        ];
        let refusal = standing(&roster(&events), &reader("tau", "pi"), Scope::Own).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::PermissionDenied);
        assert!(standing(&roster(&events), &reader("tau", "laptop"), Scope::Own).is_ok());
        let first = registration(&roster(&events[..1]), &reader("tau", "pi"));
        events.push(issued("tau", None, "B"));
        let again = registration(&roster(&events), &reader("tau", "pi"));
        assert_ne!(
            again.id, first.id,
            "a return is no repeat of the first registration"
        );
        events.push(issued("tau", Some("pi"), "C"));
        assert_eq!(
            standing(&roster(&events), &reader("tau", "pi"), Scope::Own).unwrap(),
            Standing::Registered
        );
    }

    #[test]
    fn a_role_without_credential_may_do_nothing() {
        for events in [vec![], vec![issued("tau", None, "A"), retired("tau", None)]] {
            let refusal = standing(&roster(&events), &reader("tau", "pi"), Scope::Own).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::PermissionDenied);
        }
    }

    #[test]
    fn readers_of_a_role_are_bounded() {
        let mut events = vec![issued("tau", None, "A")];
        events.extend((0..limits::READERS_PER_ROLE).map(|n| registered("tau", &format!("i{n}"))));
        let full = roster(&events);
        assert_eq!(
            standing(&full, &reader("tau", "one-more"), Scope::Own)
                .unwrap_err()
                .code,
            ErrorCode::QuotaExceeded
        );
        assert!(standing(&full, &reader("tau", "i0"), Scope::Own).is_ok());
        events.push(retired("tau", Some("i0")));
        assert!(standing(&roster(&events), &reader("tau", "one-more"), Scope::Own).is_ok());
    }

    #[test]
    fn a_scope_is_had_by_a_credential_that_serves_the_instance() {
        let with = |bound, key: &str, scopes: &[Scope]| match issued("tau", bound, key) {
            Event::CredentialIssued(data) => Event::from(CredentialIssued {
                scopes: scopes.to_vec(),
                ..data
            }),
            _ => unreachable!(),
        };
        let events = [
            with(None, "A", &[Scope::Own, Scope::Messages]),
            with(Some("pi"), "B", &[Scope::Own, Scope::Admin]),
        ];
        let both = roster(&events);
        let allows = |roster: &Roster, name: &str, asked| {
            standing(roster, &reader("tau", name), asked).is_ok()
        };
        assert!(allows(&both, "pi", Scope::Admin) && allows(&both, "pi", Scope::Messages));
        assert!(allows(&both, "mac", Scope::Messages) && !allows(&both, "mac", Scope::Admin));
        assert!(!allows(&both, "pi", Scope::Audit) && allows(&both, "mac", Scope::Own));
        let [wide, bound] = events;
        let after = roster(&[wide, bound, revoked("tau", &["B"])]);
        assert!(!allows(&after, "pi", Scope::Admin) && allows(&after, "pi", Scope::Messages));
    }

    #[test]
    fn only_what_was_ever_there_can_be_retired() {
        let roster = roster(&[
            issued("tau", Some("pi"), "A"),
            issued("phi", None, "B"),
            retired("phi", None),
        ]);
        assert!(retire(&roster, &role("tau"), None).is_ok());
        assert!(retire(&roster, &role("tau"), Some(&instance("pi"))).is_ok());
        assert!(
            retire(&roster, &role("phi"), None).is_ok(),
            "a retry succeeds"
        );
        let refusal = retire(&roster, &role("tauu"), None).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::NotFound);
        assert!(refusal.message.contains("tau"));
        assert_eq!(
            retire(&roster, &role("tau"), Some(&instance("x")))
                .unwrap_err()
                .field
                .as_deref(),
            Some("instanceId")
        );
    }
}
