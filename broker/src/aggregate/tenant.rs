//! Deciding over a tenant's creation and over what a shard has lost. Pure.

use super::roster::{Creation, Roster};
use postroad_protocol::error::{ErrorCode, Refusal};
use postroad_protocol::event::{DamageAccepted, EventKey, TenantCreated};
use postroad_protocol::id::TenantId;

/// What a creation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Creating {
    /// Store this.
    Create(TenantCreated),
    /// The same command created it before.
    Repeat(Creation),
}

/// Decides that `tenant` is created by the command whose event has `key`.
///
/// # Errors
/// `conflict` when another command created it.
pub(crate) fn create(
    roster: &Roster,
    tenant: &TenantId,
    generation: u32,
    key: EventKey,
) -> Result<Creating, Refusal> {
    match roster.created() {
        None => Ok(Creating::Create(TenantCreated {
            tenant: tenant.clone(),
            generation,
        })),
        Some(creation) if creation.key == key => Ok(Creating::Repeat(*creation)),
        Some(_) => Err(exists(tenant)),
    }
}

/// The refusal of a name that is taken.
pub(crate) fn exists(tenant: &TenantId) -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        format!("tenant `{tenant}` exists already"),
        "choose another name, or go on with the tenant that is there",
    )
    .at("tenantId")
}

/// The refusal of a name whose former tenant is not quite gone.
pub(crate) fn being_erased(tenant: &TenantId) -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        format!("tenant `{tenant}` is being erased, which has not ended"),
        format!("repeat `postroad tenant erase --tenant {tenant} --confirm {tenant}` first: it goes on where it stopped"),
    )
    .at("tenantId")
}

/// Which shard a new tenant goes to: the wished one, else the one with the fewest tenants.
///
/// # Errors
/// `invalid_argument` at `shard` for one that does not exist.
pub(crate) fn choose_shard(
    wished: Option<u16>,
    tenants_by_shard: &[(u16, usize)],
) -> Result<u16, Refusal> {
    match wished {
        Some(wished) if tenants_by_shard.iter().any(|(shard, _)| *shard == wished) => Ok(wished),
        Some(wished) => {
            let known: Vec<String> = tenants_by_shard
                .iter()
                .map(|(n, _)| n.to_string())
                .collect();
            Err(Refusal::invalid(
                "shard",
                format!("there is no shard {wished}"),
                format!("name one of {}, or none", known.join(", ")),
            ))
        }
        None => tenants_by_shard
            .iter()
            .min_by_key(|(shard, tenants)| (*tenants, *shard))
            .map(|(shard, _)| *shard)
            .ok_or_else(|| Refusal::unavailable("no shard is there yet")),
    }
}

/// Adds a range to those that were given up before: in order, merged where they touch.
pub(crate) fn accept_damage(before: &[(u64, u64)], range: (u64, u64)) -> DamageAccepted {
    let mut all = before.to_vec();
    all.push(range);
    all.sort_unstable();
    let mut ranges: Vec<(u64, u64)> = Vec::with_capacity(all.len());
    for (from, to) in all {
        match ranges.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => ranges.push((from, to)),
        }
    }
    DamageAccepted { ranges }
}

/// Whether every sequence of `inner` lies in `outer`; both as [`accept_damage`] leaves them.
pub(crate) fn covers(outer: &[(u64, u64)], inner: &[(u64, u64)]) -> bool {
    inner.iter().all(|(from, to)| {
        outer
            .iter()
            .any(|(outer_from, outer_to)| outer_from <= from && to <= outer_to)
    })
}

#[cfg(test)]
mod tests {
    use super::super::roster::given::*;
    use super::*;
    use postroad_protocol::event::Actor;
    use postroad_protocol::id::CommandId;
    use proptest::prelude::*;

    #[test]
    fn a_tenant_is_created_once_and_the_same_command_may_repeat() {
        let acme = TenantId::parse("acme").unwrap();
        let key = EventKey::of(&Actor::System, CommandId::generate());
        assert!(matches!(
            create(&Roster::default(), &acme, 1, key),
            Ok(Creating::Create(_))
        ));
        let there = roster(&[created()]);
        let first = there.created().unwrap().key;
        assert!(matches!(
            create(&there, &acme, 1, first),
            Ok(Creating::Repeat(_))
        ));
        assert_eq!(
            create(&there, &acme, 1, key).unwrap_err().code,
            ErrorCode::Conflict
        );
    }

    #[test]
    fn a_new_tenant_goes_where_fewest_live() {
        let shards = [(0, 5), (1, 2), (2, 2)];
        assert_eq!(choose_shard(None, &shards).unwrap(), 1);
        assert_eq!(choose_shard(Some(0), &shards).unwrap(), 0);
        assert_eq!(
            choose_shard(Some(9), &shards).unwrap_err().field.as_deref(),
            Some("shard")
        );
        assert_eq!(
            choose_shard(None, &[]).unwrap_err().code,
            ErrorCode::Unavailable
        );
    }

    proptest! {
        #[test]
        fn given_up_ranges_stay_ordered_apart_and_complete(
            ranges in proptest::collection::vec((1_u64..200, 0_u64..20), 1..20)
        ) {
            let mut event = DamageAccepted { ranges: vec![] };
            for (from, length) in &ranges {
                event = accept_damage(&event.ranges, (*from, from + length));
            }
            for pair in event.ranges.windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0);
            }
            for (from, length) in ranges {
                prop_assert!(covers(&event.ranges, &[(from, from + length)]));
            }
        }
    }
}
