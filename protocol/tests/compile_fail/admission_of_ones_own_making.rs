use postroad_protocol::Subjects;
use postroad_protocol::tenancy::Admission;

fn main() {
    let _forged = Admission { subjects: Subjects::default() };
}
