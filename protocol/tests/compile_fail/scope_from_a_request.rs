use postroad_protocol::tenancy::TenantScope;

fn main() {
    let _forged: TenantScope = serde_json::from_str("\"acme\"").unwrap();
}
