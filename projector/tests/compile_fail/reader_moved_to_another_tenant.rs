use postroad_projector::store::TenantReader;

fn moved<'a>(own: TenantReader<'a>, foreign: &TenantReader<'a>) -> TenantReader<'a> {
    TenantReader { prefix: foreign.prefix.clone(), ..own }
}

fn main() {}
