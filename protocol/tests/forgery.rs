//! What has no proof does not compile: one attempt a file, its message pinned.

#[test]
fn proof_of_tenancy_cannot_be_forged() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
