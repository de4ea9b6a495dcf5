//! Opaque tenant tags for logs, traces and metrics: a keyed hash, so that nobody without the
//! deployment's master key learns a tenant's name, and the operator can still tell tenants apart.

use super::context::TenantScope;
use crate::seal::MasterKey;

/// Makes tags. Cheap to clone.
#[derive(Clone)]
pub struct Tagger {
    key: [u8; 32],
}

impl std::fmt::Debug for Tagger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tagger")
    }
}

impl Tagger {
    /// Tags of the deployment that owns `master`.
    pub fn new(master: &MasterKey) -> Self {
        Self {
            key: master.derive("postroad 2026 tenant tag"),
        }
    }

    /// The tag of a tenant: 12 hexadecimal digits.
    pub fn tag(&self, scope: &TenantScope) -> String {
        blake3::keyed_hash(&self.key, scope.tenant().as_str().as_bytes()).to_hex()[..12].to_owned()
    }
}
