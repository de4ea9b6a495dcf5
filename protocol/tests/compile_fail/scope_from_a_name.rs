use postroad_protocol::TenantId;
use postroad_protocol::tenancy::TenantScope;

fn main() {
    let tenant = TenantId::parse("acme").unwrap();
    let _forged = TenantScope { tenant };
}
