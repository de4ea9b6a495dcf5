use postroad_protocol::tenancy::{Principal, RequestContext};
use postroad_protocol::{InstanceId, Reader, Role};

fn main() {
    let reader = Reader { role: Role::parse("tau").unwrap(), instance: InstanceId::parse("pi").unwrap() };
    let _forged = RequestContext::new(Principal::Agent(reader), None, None);
}
