//! Deciding over credentials: what is issued, renewed and revoked. Pure.

use super::agent::too_many_readers;
use super::member::ReaderState;
use super::roster::Roster;
use postroad_protocol::command::{
    IssueCredential, RenewCredential, RevokeCredential, no_such_credential,
};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{CredentialIssued, CredentialRevoked};
use postroad_protocol::id::{Reader, Role, TimeMs};
use postroad_protocol::limits;

/// Decides that a credential is issued at `now`.
///
/// # Errors
/// `quota_exceeded`, with the quantity that is full; `conflict` for a key that has another credential
/// or had one.
pub(crate) fn issue(
    roster: &Roster,
    command: IssueCredential,
    now: TimeMs,
) -> Result<CredentialIssued, Refusal> {
    expect_free(roster, &command, now)?;
    let member = roster.member(&command.role);
    if member.is_none() && roster.role_count() >= limits::ROLES_PER_TENANT {
        return Err(Refusal::new(
            ErrorCode::QuotaExceeded,
            format!(
                "the tenant has {} roles, which is the limit",
                limits::ROLES_PER_TENANT
            ),
            "use a role that exists, with instances, or another tenant",
        )
        .at("role"));
    }
    if let Some(member) = member {
        if member.credentials_beside(&command.public_key, now) >= limits::CREDENTIALS_PER_ROLE {
            return Err(Refusal::new(
                ErrorCode::QuotaExceeded,
                format!(
                    "role `{}` has {} live credentials, which is the limit",
                    command.role,
                    limits::CREDENTIALS_PER_ROLE
                ),
                "retire those that are not used",
            )
            .at("role"));
        }
        if let Some(instance) = &command.instance
            && member.reader(instance) != Some(ReaderState::Live)
            && member.live_readers().count() >= limits::READERS_PER_ROLE
        {
            return Err(too_many_readers(&command.role));
        }
    }
    Ok(CredentialIssued {
        role: command.role,
        instance: command.instance,
        scopes: command.scopes,
        public_key: command.public_key,
        expires_at: end_of(now, command.ttl_s.saturating_mul(1_000)),
        token: command.token,
    })
}

fn end_of(now: TimeMs, life_ms: u64) -> TimeMs {
    TimeMs(now.0.saturating_add(life_ms))
}

/// One key, one credential: nats-server revokes by key, so ending one of two would end both. Renewing
/// the one that stands is no second.
fn expect_free(roster: &Roster, command: &IssueCredential, now: TimeMs) -> Result<(), Refusal> {
    if roster.revoked(now) >= limits::REVOKED_PER_TENANT {
        return Err(Refusal::new(
            ErrorCode::QuotaExceeded,
            format!(
                "{} revoked credentials of the tenant have not expired, which is the limit",
                limits::REVOKED_PER_TENANT
            ),
            "wait until some expire; issue credentials with a shorter --ttl",
        )
        .at("publicKey"));
    }
    let Some((role, member)) = roster.holder(&command.public_key) else {
        return Ok(());
    };
    let held = member.credential(&command.public_key, now);
    let is_renewal =
        *role == command.role && held.is_some_and(|held| held.instance == command.instance);
    // What has lapsed only waits to be forgotten.
    let is_ended = member
        .revoked_keys(now)
        .any(|key| key == command.public_key);
    if is_renewal || (held.is_none() && !is_ended) {
        return Ok(());
    }
    Err(key_in_use())
}

/// The refusal of a key that has a credential already, whoever holds it, or that was revoked.
pub(crate) fn key_in_use() -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        "this key has a credential already, or had one that was ended",
        "make a new key for each credential",
    )
    .at("publicKey")
}

/// Decides which credentials end. Those that ended before may be named again: a retry has to succeed.
///
/// # Errors
/// `not_found` for a role, an instance or a key without any.
pub(crate) fn revoke(
    roster: &Roster,
    command: &RevokeCredential,
    now: TimeMs,
) -> Result<CredentialRevoked, Refusal> {
    let none = |field: &str| {
        Refusal::new(
            ErrorCode::NotFound,
            "there is no such credential that stands",
            "`postroad agent list` shows the credentials and their keys",
        )
        .at(field)
    };
    match command {
        RevokeCredential::Key(key) => {
            let (role, _) = roster.holder(key).ok_or_else(|| none("publicKey"))?;
            Ok(CredentialRevoked {
                role: role.clone(),
                public_keys: vec![key.clone()],
            })
        }
        RevokeCredential::Of { role, instance } => {
            let member = roster.member(role).ok_or_else(|| none("role"))?;
            let mut keys: Vec<String> = member
                .valid_keys(instance.as_ref(), now)
                .map(str::to_owned)
                .collect();
            let is_known = instance
                .as_ref()
                .is_none_or(|only| member.knows_instance(only));
            if keys.is_empty() && is_known {
                keys = member.revoked_keys(now).map(str::to_owned).collect();
            }
            if keys.is_empty() {
                return Err(none(if instance.is_some() {
                    "instanceId"
                } else {
                    "role"
                }));
            }
            keys.sort_unstable();
            Ok(CredentialRevoked {
                role: role.clone(),
                public_keys: keys,
            })
        }
    }
}

/// Decides that `reader` gets its credential anew, or one for another key with the same scopes. That it
/// holds the seed was proved.
///
/// # Errors
/// `not_found` where it has no such credential that stands, `conflict` for a bearer token, whose end was set when
/// it was issued, else as [`issue`].
pub(crate) fn renew(
    roster: &Roster,
    reader: &Reader,
    command: &RenewCredential,
    now: TimeMs,
) -> Result<CredentialIssued, Refusal> {
    let key = &command.held.public_key;
    let member = roster.member(&reader.role).ok_or_else(no_such_credential)?;
    let held = member
        .credential(key, now)
        .filter(|held| {
            held.instance
                .as_ref()
                .is_none_or(|only| *only == reader.instance)
        })
        .ok_or_else(no_such_credential)?;
    if held.token {
        return Err(Refusal::new(
            ErrorCode::Conflict,
            "a bearer token is not renewed",
            "have another one issued: `postroad token issue`",
        )
        .at("publicKey"));
    }
    let longest = held.life_ms;
    let life_ms = command
        .ttl_s
        .map_or(longest, |ttl_s| ttl_s.saturating_mul(1_000).min(longest));
    let wish = IssueCredential {
        role: reader.role.clone(),
        instance: held.instance.clone(),
        public_key: command.new_public_key.as_ref().unwrap_or(key).clone(),
        scopes: held.scopes.clone(),
        ttl_s: 0,
        token: false,
    };
    let issued = issue(roster, wish, now)?;
    Ok(CredentialIssued {
        expires_at: end_of(now, life_ms),
        ..issued
    })
}

/// Decides that `reader` ends its own credential for `public_key`. That it holds the seed was proved.
///
/// # Errors
/// `not_found` where it has none; one that was ended before may be ended again.
pub(crate) fn end(
    roster: &Roster,
    reader: &Reader,
    public_key: &str,
) -> Result<CredentialRevoked, Refusal> {
    match roster.holder(public_key) {
        Some((role, _)) if *role == reader.role => Ok(CredentialRevoked {
            role: Role::clone(role),
            public_keys: vec![public_key.to_owned()],
        }),
        _ => Err(no_such_credential()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::agent::standing;
    use super::super::roster::given::*;
    use super::*;
    use postroad_protocol::command::Possessed;
    use postroad_protocol::event::Event;
    use postroad_protocol::tenancy::Scope;

    fn wish(name: &str, only: Option<&str>, key: &str) -> IssueCredential {
        IssueCredential {
            role: role(name),
            instance: only.map(instance),
            public_key: key.into(),
            scopes: vec![Scope::Own],
            ttl_s: 60,
            token: false,
        }
    }

    #[test]
    fn credentials_and_roles_are_bounded_and_a_retry_at_the_limit_passes() {
        let many: Vec<_> = (0..limits::CREDENTIALS_PER_ROLE)
            .map(|n| issued("tau", None, &format!("K{n}")))
            .collect();
        let full = roster(&many);
        assert_eq!(
            issue(&full, wish("tau", None, "new"), TimeMs(5))
                .unwrap_err()
                .code,
            ErrorCode::QuotaExceeded
        );
        assert!(issue(&full, wish("tau", None, "K7"), TimeMs(5)).is_ok());
        assert!(issue(&full, wish("tau", None, "new"), TimeMs(2_000_000)).is_ok());
        let roles: Vec<_> = (0..limits::ROLES_PER_TENANT)
            .map(|n| issued(&format!("r{n}"), None, &format!("K{n}")))
            .collect();
        let full = roster(&roles);
        assert_eq!(
            issue(&full, wish("new", None, "new"), TimeMs(5))
                .unwrap_err()
                .field
                .as_deref(),
            Some("role")
        );
        assert!(issue(&full, wish("r7", None, "K7"), TimeMs(5)).is_ok());
    }

    #[test]
    fn a_credential_ends_its_life_after_now() {
        let issued = issue(&Roster::default(), wish("tau", None, "K"), TimeMs(1_000)).unwrap();
        assert_eq!(issued.expires_at, TimeMs(61_000));
    }

    #[test]
    fn a_full_role_takes_no_credential_for_a_further_instance() {
        let mut events = vec![issued("tau", None, "A")];
        events.extend((0..limits::READERS_PER_ROLE).map(|n| registered("tau", &format!("i{n}"))));
        let full = roster(&events);
        let refusal = issue(&full, wish("tau", Some("one-more"), "B"), TimeMs(5)).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("instanceId"));
        assert!(issue(&full, wish("tau", Some("i0"), "B"), TimeMs(5)).is_ok());
    }

    #[test]
    fn a_key_has_one_credential_and_none_after_it_was_ended() {
        let before = roster(&[issued("tau", Some("pi"), "A"), issued("phi", None, "B")]);
        assert!(issue(&before, wish("tau", Some("pi"), "A"), TimeMs(5)).is_ok());
        for (role, bound) in [
            ("tau", None),
            ("tau", Some("mac")),
            ("phi", None),
            ("new", None),
        ] {
            let refusal = issue(&before, wish(role, bound, "A"), TimeMs(5)).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::Conflict, "{role} {bound:?}");
        }
        let ends = [
            revoked("tau", &["A"]),
            retired("tau", Some("pi")),
            retired("tau", None),
        ];
        for end in ends {
            let after = roster(&[issued("tau", Some("pi"), "A"), end]);
            let refusal = issue(&after, wish("tau", Some("pi"), "A"), TimeMs(5)).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::Conflict);
            // No JWT of it lives longer.
            assert!(issue(&after, wish("tau", Some("pi"), "A"), TimeMs(2_000_000)).is_ok());
        }
    }

    #[test]
    fn a_revoked_credential_serves_nobody_and_keeps_its_roles_mail_coming() {
        let after = roster(&[
            issued("tau", None, "A"),
            registered("tau", "pi"),
            revoked("tau", &["A"]),
        ]);
        assert!(standing(&after, &reader("tau", "pi"), Scope::Own).is_err());
        assert!(after.live(&role("tau")).is_some());
        let again = roster(&[
            issued("tau", None, "A"),
            registered("tau", "pi"),
            revoked("tau", &["A"]),
            issued("tau", None, "B"),
        ]);
        assert!(standing(&again, &reader("tau", "pi"), Scope::Own).is_ok());
        let gone = roster(&[
            issued("tau", None, "A"),
            revoked("tau", &["A"]),
            retired("tau", None),
        ]);
        assert!(gone.live(&role("tau")).is_none());
    }

    #[test]
    fn what_ends_is_named_by_key_or_by_role() {
        let before = roster(&[
            issued("tau", None, "B"),
            issued("tau", Some("pi"), "A"),
            issued("phi", None, "C"),
        ]);
        let of = |bound: Option<&str>| RevokeCredential::Of {
            role: role("tau"),
            instance: bound.map(instance),
        };
        let keys =
            |command: &RevokeCredential| revoke(&before, command, TimeMs(5)).unwrap().public_keys;
        assert_eq!(keys(&of(None)), ["A", "B"]);
        assert_eq!(keys(&of(Some("pi"))), ["A"]);
        assert_eq!(keys(&RevokeCredential::Key("C".into())), ["C"]);
        let unknown = [
            (RevokeCredential::Key("Z".into()), "publicKey"),
            (of(Some("mac")), "instanceId"),
            (
                RevokeCredential::Of {
                    role: role("nobody"),
                    instance: None,
                },
                "role",
            ),
        ];
        for (command, field) in unknown {
            let refusal = revoke(&before, &command, TimeMs(5)).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(field));
        }
        let after = roster(&[issued("tau", None, "B"), revoked("tau", &["B"])]);
        assert!(
            revoke(&after, &of(None), TimeMs(5)).is_ok(),
            "a retry succeeds"
        );
    }

    #[test]
    fn a_token_ends_when_it_was_issued_to_end() {
        let mut token = issued("tau", Some("mcp"), "T");
        let Event::CredentialIssued(data) = &mut token else {
            panic!("an event of another type");
        };
        data.token = true;
        let ask = RenewCredential {
            held: Possessed {
                public_key: "T".into(),
                proof: String::new(),
            },
            new_public_key: None,
            ttl_s: None,
        };
        let refusal = renew(&roster(&[token]), &reader("tau", "mcp"), &ask, TimeMs(5)).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Conflict);
    }

    #[test]
    fn a_renewal_is_no_wider_and_no_longer_than_what_is_renewed() {
        let before = roster(&[
            issued("tau", Some("pi"), "A"),
            issued("tau", Some("mac"), "B"),
        ]);
        let ask = |key: &str, new: Option<&str>, ttl_s| RenewCredential {
            held: Possessed {
                public_key: key.into(),
                proof: String::new(),
            },
            new_public_key: new.map(str::to_owned),
            ttl_s,
        };
        let pi = reader("tau", "pi");
        let renewed = renew(&before, &pi, &ask("A", None, None), TimeMs(100)).unwrap();
        assert_eq!(renewed.expires_at, TimeMs(1_000_100));
        assert_eq!(
            (renewed.scopes, renewed.public_key.as_str()),
            (vec![Scope::Own], "A")
        );
        let longer = renew(
            &before,
            &pi,
            &ask("A", Some("N"), Some(1_000_000)),
            TimeMs(100),
        )
        .unwrap();
        assert_eq!(
            (longer.expires_at, longer.public_key.as_str()),
            (TimeMs(1_000_100), "N")
        );
        let shorter = renew(&before, &pi, &ask("A", None, Some(1)), TimeMs(100)).unwrap();
        assert_eq!(shorter.expires_at, TimeMs(1_100));
        for key in ["B", "Z"] {
            let refusal = renew(&before, &pi, &ask(key, None, None), TimeMs(100)).unwrap_err();
            assert_eq!(refusal, no_such_credential());
        }
        assert!(renew(&before, &pi, &ask("A", Some("B"), None), TimeMs(100)).is_err());
        let late = renew(&before, &pi, &ask("A", None, None), TimeMs(1_000_000)).unwrap_err();
        assert_eq!(late, no_such_credential());
        let after = roster(&[issued("tau", Some("pi"), "A"), revoked("tau", &["A"])]);
        assert!(renew(&after, &pi, &ask("A", None, None), TimeMs(100)).is_err());
    }

    #[test]
    fn revoked_keys_of_a_tenant_are_bounded_until_they_expire() {
        let mut events = Vec::new();
        for n in 0..limits::REVOKED_PER_TENANT {
            let key = format!("K{n}");
            events.extend([issued("tau", None, &key), revoked("tau", &[&key])]);
        }
        let full = roster(&events);
        let refusal = issue(&full, wish("tau", None, "new"), TimeMs(5)).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::QuotaExceeded);
        assert!(issue(&full, wish("tau", None, "new"), TimeMs(2_000_000)).is_ok());
        let command = RevokeCredential::Key("K1".into());
        assert!(
            revoke(&full, &command, TimeMs(5)).is_ok(),
            "revoking is never refused"
        );
    }
}
