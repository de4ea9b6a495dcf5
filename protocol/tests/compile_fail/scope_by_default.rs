use postroad_protocol::tenancy::TenantScope;

fn main() {
    let _forged = TenantScope::default();
}
