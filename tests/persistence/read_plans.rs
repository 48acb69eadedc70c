//! The plans of the reads.

/// Fills the empty, migrated database that `SIMDEPOT_FILL_URL` names with `SIMDEPOT_FILL` profiles.
#[test]
#[ignore = "by hand: ten million take some minutes"]
fn fill_a_database() {
    let var = |name| std::env::var(name).unwrap();
    let (url, profiles) = (var("SIMDEPOT_FILL_URL"), var("SIMDEPOT_FILL").parse().unwrap());
    let backend = if url.starts_with("sqlite:") {
        simdepot_persistence::Backend::Sqlite
    } else {
        simdepot_persistence::Backend::Postgres
    };
    let mut raw = simdepot_tests::database::RawConnection::open(backend, &url);
    simdepot_tests::fill::fill(&mut raw, backend, profiles);
}
