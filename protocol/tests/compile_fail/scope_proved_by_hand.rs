use postroad_protocol::TenantId;
use postroad_protocol::tenancy::TenantScope;

fn main() {
    let _forged = TenantScope::prove(TenantId::parse("acme").unwrap());
}
