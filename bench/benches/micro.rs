//! Micro-benchmarks of what every row and every order goes through: `cargo bench -p bench`.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is wrong")]

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use divan::{Bencher, black_box, counter::ItemsCount};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::clock::SystemClock;
use simdepot_domain::delivery::{Format, Reader};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::qr;
use simdepot_persistence::store::StoreOptions;
use simdepot_persistence::vault::{DataKey, SecretField, WrappingKey, WrappingKeys};
use simdepot_persistence::{Store, StoreError};

const ICCID: &str = "8988247000000000019";
const CODE: &str = "1$smdp.example$0000000000000000000000000000000A";
const ROWS: usize = 1_000;

fn main() {
    divan::main();
}

#[divan::bench]
fn iccid() -> Iccid {
    Iccid::parse(black_box(ICCID)).unwrap()
}

#[divan::bench]
fn activation_code() -> ActivationCode {
    ActivationCode::parse(black_box(CODE)).unwrap()
}

/// A thousand rows of a delivery, per row.
#[divan::bench]
fn delivery_rows(bencher: Bencher<'_, '_>) {
    let file = delivery();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let rows = Reader::new(black_box(file.as_bytes()), Format::Delivery).unwrap();
        assert_eq!(rows.filter(Result::is_ok).count(), ROWS);
    });
}

fn delivery() -> String {
    let mut file = "TransatelId;MSISDN;Release;ICCID;Status;PIN;PUK;ActivationCode\r\n".to_owned();
    for number in 0..ROWS {
        let iccid = bench::stock::iccid(bench::tools::count(number));
        let code = format!("1$smdp.example${number:032X}");
        write!(file, "900100;+336{number:09};R1;{iccid};Pre-Activated;1234;12345678;{code}\r\n").unwrap();
    }
    file
}

#[divan::bench]
fn qr_svg() -> String {
    qr::svg(black_box("LPA:1$smdp.example$0000000000000000000000000000000A")).unwrap()
}

#[divan::bench]
fn qr_png() -> Vec<u8> {
    qr::png(black_box("LPA:1$smdp.example$0000000000000000000000000000000A"), 8).unwrap()
}

#[divan::bench]
fn seal_code() -> Vec<u8> {
    data_key().seal(SecretField::ActivationCode, ICCID, black_box(CODE)).unwrap()
}

#[divan::bench]
fn open_code(bencher: Bencher<'_, '_>) {
    let sealed = data_key().seal(SecretField::ActivationCode, ICCID, CODE).unwrap();
    bencher.bench_local(|| data_key().open(SecretField::ActivationCode, ICCID, black_box(&sealed)).unwrap());
}

/// Keyed hash of a code, as an import makes of every row.
#[divan::bench]
fn blind_index() -> Vec<u8> {
    store().vault().blind_index(black_box(CODE))
}

/// A store of its own, for its keys.
fn store() -> &'static Store {
    static STORE: OnceLock<(Store, tempfile::TempDir)> = OnceLock::new();
    let made = STORE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("keys.db").display()).parse().unwrap();
        let keys = WrappingKeys { current: WrappingKey::from_bytes([7; 32]), previous: None };
        let options = StoreOptions { url, pool_size: 1, migrate: true, keys, turnstile: None };
        (Store::open(options, Arc::new(SystemClock)).unwrap(), folder)
    });
    &made.0
}

fn data_key() -> &'static DataKey {
    static KEY: OnceLock<DataKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = store().clone();
        let make = async move {
            let vault = store.clone();
            store.write::<_, StoreError>(move |conn| vault.vault().new_data_key(conn)).await
        };
        runtime.block_on(make).unwrap()
    })
}
