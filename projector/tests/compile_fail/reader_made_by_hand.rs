use postroad_projector::store::TenantReader;

fn main() {
    let _make = TenantReader::new;
}
