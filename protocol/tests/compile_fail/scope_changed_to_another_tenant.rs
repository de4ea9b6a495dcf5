use postroad_protocol::TenantId;
use postroad_protocol::tenancy::TenantScope;

fn changed(mut own: TenantScope, other: TenantId) -> TenantScope {
    own.tenant = other;
    own
}

fn main() {}
