use postroad_projector::read_model::batch::TenantWriter;

fn main() {}
