use postroad_protocol::TenantId;
use postroad_protocol::tenancy::replay::StoredFor;

fn main() {
    let _forged = StoredFor::Tenant(TenantId::parse("acme").unwrap());
}
