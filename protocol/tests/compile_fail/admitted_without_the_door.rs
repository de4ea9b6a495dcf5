use postroad_protocol::tenancy::{Admitted, RequestContext, Scope};

fn wider(context: RequestContext) -> Admitted<'static> {
    Admitted { context, scope: Scope::Admin, verb: "create_tenant" }
}

fn main() {}
