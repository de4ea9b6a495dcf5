use postroad_protocol::TenantId;
use postroad_protocol::tenancy::TenantScope;

fn made<T: From<TenantId>>(name: TenantId) -> T {
    T::from(name)
}

fn main() {
    let _forged: TenantScope = made(TenantId::parse("acme").unwrap());
}
