use postroad_protocol::tenancy::{ServiceRequest, TenantScope};

fn for_another(scope: TenantScope) -> ServiceRequest<'static> {
    ServiceRequest { scope: Some(scope), verb: "look_up" }
}

fn main() {}
