use postroad_projector::store::Snapshot;
use postroad_protocol::TenantId;

fn read(snapshot: &Snapshot) {
    let _rows = snapshot.tenant(&TenantId::parse("acme").unwrap());
}

fn main() {}
