use postroad_projector::cursor::{Cursor, Kind};
use postroad_protocol::TenantId;
use postroad_protocol::id::{InstanceId, Reader, Role};

fn main() {
    let reader = Reader { role: Role::parse("tau").unwrap(), instance: InstanceId::parse("pi").unwrap() };
    let _forged = Cursor::new(Kind::Check, 1, 1).encode(&TenantId::parse("acme").unwrap(), &reader);
}
