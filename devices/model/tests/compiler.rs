//! Mistakes of docs/compatibility.md that do not compile. What the compiler says of each stands beside it;
//! `TRYBUILD=overwrite cargo test -p solderless-model` rewrites that.

#[test]
fn what_must_not_compile_does_not() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("../../tests/compatibility/compiler/*.rs");
}
