use postroad_protocol::tenancy::RequestContext;

fn main() {
    let _forged = RequestContext::default();
}
