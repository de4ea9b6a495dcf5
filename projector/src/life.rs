//! Whether tenants are served, for the operator's list: its own doing, so that no tenant's log has to
//! hold that it looked.

use crate::answer::Answerer;
use crate::hosts::Host;
use crate::store::StoreError;
use postroad_log::Home;
use postroad_protocol::TenantId;
use postroad_protocol::error::Refusal;
use postroad_protocol::query::{TenantEntry, TenantState};
use postroad_protocol::seal::Stage;
use postroad_protocol::tenancy::{RequestContext, TenantScope};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tenants of one shard, and the places at which they are listed.
type OfShard = (Vec<TenantScope>, Vec<usize>);

impl Answerer {
    /// The register's entries of `homes`, each with its state as the log has it now.
    pub(crate) async fn entries(
        &self,
        context: &RequestContext,
        homes: &[(TenantId, (Home, Stage))],
    ) -> Result<Vec<TenantEntry>, Refusal> {
        let mut by_shard: BTreeMap<u16, OfShard> = BTreeMap::new();
        let mut entries = Vec::with_capacity(homes.len());
        for (place, (tenant, (home, stage))) in homes.iter().enumerate() {
            let (scopes, places) = by_shard.entry(home.shard).or_default();
            scopes.push(context.operator_scope(tenant)?);
            places.push(place);
            entries.push(TenantEntry {
                tenant: tenant.to_string(),
                shard: home.shard,
                generation: home.key_id.generation,
                state: TenantState::Active,
                erasing: *stage != Stage::Live,
            });
        }
        for (shard, (scopes, places)) in by_shard {
            let host = self.hosts.shard(shard)?;
            host.wait_for_end().await?;
            for (place, state) in places.into_iter().zip(states(&host, scopes).await?) {
                entries[place].state = state;
            }
        }
        Ok(entries)
    }
}

/// The states of tenants that live in the shard of `host`.
async fn states(host: &Arc<Host>, scopes: Vec<TenantScope>) -> Result<Vec<TenantState>, Refusal> {
    let store = host.store();
    let served = store.clone();
    let read = move || -> Result<Vec<TenantState>, StoreError> {
        let snapshot = store.snapshot()?;
        scopes
            .iter()
            .map(|scope| snapshot.tenant(scope).tenant_state())
            .collect()
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(states)) => Ok(states),
        failed => {
            if let Ok(Err(error)) = failed {
                host.did_not_read(&served, &error);
            }
            Err(Refusal::unavailable("the rows cannot be read now"))
        }
    }
}
