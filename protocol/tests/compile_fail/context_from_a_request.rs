use postroad_protocol::tenancy::RequestContext;

fn read<'a, T: From<&'a [u8]>>(body: &'a [u8]) -> T {
    T::from(body)
}

fn main() {
    let _forged: RequestContext = read(b"{}");
}
