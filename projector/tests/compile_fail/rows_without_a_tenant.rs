use postroad_projector::store::Snapshot;

fn every_row(snapshot: &Snapshot) {
    let _rows = snapshot.transaction();
}

fn main() {}
