use postroad_protocol::tenancy::{RequestContext, TenantScope};

fn exchanged(own: RequestContext, foreign: TenantScope) -> RequestContext {
    RequestContext { scope: Some(foreign), ..own }
}

fn main() {}
