//! Rows are reached with proof of tenancy or not at all: one attempt a file, its message pinned.

#[test]
fn rows_of_a_tenant_cannot_be_reached_without_its_scope() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
