use postroad_protocol::TenantId;

fn main() {
    let _unchecked = TenantId("acme.>".into());
}
