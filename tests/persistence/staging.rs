//! Rows on their way into the stock: what is found out about all of them at once, and what others notice of it.

use std::sync::mpsc;
use std::time::Duration;

use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::import::{ImportCounts, RowResult};
use simdepot_domain::observation::Source;
use simdepot_domain::pool::InitialStock;
use simdepot_domain::profile::{FormFactor, QuarantineReason, no_sell_by};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::imports;
use simdepot_persistence::profiles::{self, Batch, Profile};
use simdepot_persistence::secrets::{self, Sealed};
use simdepot_persistence::staging::{
    self, Duplicate, Landing, Pack, Reported, Settled, StagedIssue, StagedRow,
};
use simdepot_persistence::store::Session;
use simdepot_persistence::vault::DataKey;
use simdepot_persistence::{Store, StoreError};
use simdepot_tests::{on_both_databases, on_postgres};

use crate::support::{
    Stock, add_profiles, iccid, is_race, is_unique, make_import, make_pool, new_profile, now,
};

fn row(store: &Store, key: &DataKey, line: u64, iccid: &Iccid, code: Option<&str>) -> StagedRow {
    let code = code.map(|id| ActivationCode::parse(&format!("1$smdp.example${id}")).unwrap());
    StagedRow {
        line,
        iccid: iccid.clone(),
        stock: match code {
            Some(_) => InitialStock::Available,
            None => InitialStock::Quarantined(QuarantineReason::CodeMissing),
        },
        sell_by: no_sell_by(),
        msisdn: Some("33612345678".parse().unwrap()),
        eid: None,
        sim_status: code.as_ref().map(|_| SimStatus::Preactivated),
        sealed: Sealed::seal(store.vault(), key, iccid, code.as_ref(), None, None).unwrap(),
        told: None,
    }
}

fn warning(line: u64) -> StagedIssue {
    StagedIssue {
        line,
        result: RowResult::Warning,
        column: "ICCID".to_owned(),
        code: "luhn-failed",
        reason: "the check digit, \"quoted\"; and ended".to_owned(),
        iccid: Some("8988247000000000012".to_owned()),
    }
}

/// A session with these rows, and what became of them.
async fn staged(store: &Store, rows: Vec<StagedRow>, issues: Vec<StagedIssue>) -> (Session, Settled) {
    let mut session = store.session().await.unwrap();
    let pack = Pack::new(store.backend(), rows, issues);
    let settled = session
        .run(move |conn| {
            staging::create(conn)?;
            staging::add(conn, pack)?;
            staging::settle(conn)
        })
        .await
        .unwrap();
    (session, settled)
}

fn landing(stock: &Stock) -> Landing {
    let import = &stock.import;
    let batch = Batch { import: import.id, batch_no: import.batch_no, pool_id: stock.pool.id, at: now() };
    Landing { batch, form_factor: FormFactor::Esim, observed_at: import.created_at, source: Source::Import }
}

/// Lands what is staged; how many came late.
async fn land(
    session: &mut Session,
    stock: &Stock,
    settled: Settled,
    key: &DataKey,
    expected: u64,
) -> Result<u64, StoreError> {
    let (store, landing, key) = (stock.store.clone(), landing(stock), key.clone());
    session
        .write(move |conn| {
            let late = staging::mark_latecomers(conn, landing.batch.import, &settled, names)?;
            store.vault().keep_data_key(conn, &key)?;
            staging::land(conn, &settled, &landing, &key, expected - late, |_| ())?;
            Ok(late)
        })
        .await
}

/// How the report names a duplicate.
fn names(duplicate: Duplicate) -> Reported {
    let place = Duplicate::ALL.iter().position(|one| *one == duplicate).unwrap();
    (["a", "b", "c", "d"][place], "code", "reason")
}

async fn find(store: &Store, iccid: &Iccid) -> Option<Profile> {
    let wanted = iccid.clone();
    store.read(move |conn| profiles::find(conn, &wanted)).await.unwrap()
}

on_both_databases! {
    async fn rows_land_in_the_order_of_their_lines(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let key = stock.store.vault().make_data_key().unwrap();
        let sims: Vec<Iccid> = (0..12).map(|_| iccid()).collect();
        let rows = sims.iter().rev().zip([2, 3, 9_999, 10_000, 10_001, 10_002, 19_999, 20_000, 20_001, 30_000, 30_001, 99_999]);
        let rows: Vec<StagedRow> = rows
            .map(|(sim, line)| row(&stock.store, &key, line, sim, (line != 3).then_some(format!("C{line}")).as_deref()))
            .collect();
        let (mut session, settled) = staged(&stock.store, rows, Vec::new()).await;
        assert_eq!(settled.counts, ImportCounts { accepted: 12, ..ImportCounts::default() });
        land(&mut session, &stock, settled, &key, 12).await.unwrap();
        let mut rows = Vec::new();
        for sim in sims.iter().rev() {
            rows.push(find(&stock.store, sim).await.unwrap());
        }
        assert!(rows.is_sorted_by_key(|profile| profile.id), "{rows:?}");
        assert_eq!(rows.iter().filter(|profile| profile.stock_status == StockStatus::Available).count(), 11);
        let waits = &rows[1];
        assert_eq!((waits.quarantine_reason, &waits.sim), (Some(QuarantineReason::CodeMissing), &None));
        let sim = rows[0].sim.as_ref().unwrap();
        assert_eq!((sim.status, sim.source, sim.dated_by_carrier), (SimStatus::Preactivated, Source::Import, false));
        assert_eq!((sim.observed_at, rows[0].version), (stock.import.created_at, 0));
        assert_eq!(rows[0].msisdn.as_ref().unwrap().as_str(), "33612345678");
        let (store, last) = (stock.store.clone(), rows[11].clone());
        let code = stock.store.read(move |conn| secrets::activation_code(conn, store.vault(), &last)).await.unwrap();
        assert_eq!(code.unwrap().code(), "1$smdp.example$C99999");
    }

    /// Each is a duplicate for the first reason that holds, and what a duplicate brought counts for no other row.
    async fn duplicates_are_found_among_all_rows(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let key = stock.store.vault().make_data_key().unwrap();
        let (known, a, b, c, d) = (iccid(), iccid(), iccid(), iccid(), iccid());
        let (mut session, settled) =
            staged(&stock.store, vec![row(&stock.store, &key, 2, &known, Some("KNOWN"))], Vec::new()).await;
        land(&mut session, &stock, settled, &key, 1).await.unwrap();
        let long = Iccid::parse(&format!("{a}5")).unwrap();
        let rows = vec![
            row(&stock.store, &key, 2, &known, Some("NEW")),
            row(&stock.store, &key, 3, &a, Some("KNOWN")),
            row(&stock.store, &key, 4, &long, Some("OTHER")),
            row(&stock.store, &key, 5, &b, Some("OTHER")),
            row(&stock.store, &key, 6, &c, Some("OTHER")),
            row(&stock.store, &key, 8, &d, None),
        ];
        let refused = StagedIssue { result: RowResult::Rejected, iccid: None, ..warning(7) };
        let issues = vec![warning(2), warning(5), warning(5), refused, warning(8)];
        let (mut session, settled) = staged(&stock.store, rows, issues).await;
        let counts = ImportCounts { accepted: 2, duplicates: 4, warnings: 2, ..ImportCounts::default() };
        assert_eq!(settled.counts, counts);
        let import = stock.import.id;
        let reported = session.run(move |conn| staging::compose(conn, names)).await.unwrap();
        for position in [0, 4, 8] {
            session.write(move |conn| staging::report(conn, import, position, 4)).await.unwrap();
        }
        let report = stock.store.read(move |conn| imports::reported(conn, import, false, 0, 100)).await.unwrap();
        let told: Vec<_> = report.iter().map(|row| (row.position, row.line, row.result, row.column.as_str())).collect();
        let expected = [
            (1, 2, RowResult::Duplicate, "a"),
            (2, 3, RowResult::Duplicate, "c"),
            (3, 4, RowResult::Duplicate, "b"),
            (4, 5, RowResult::Warning, "ICCID"),
            (5, 5, RowResult::Warning, "ICCID"),
            (6, 6, RowResult::Duplicate, "d"),
            (7, 7, RowResult::Rejected, "ICCID"),
            (8, 8, RowResult::Warning, "ICCID"),
        ];
        assert_eq!((told.as_slice(), reported), (expected.as_slice(), 8));
        assert_eq!(report[3].reason, warning(5).reason);
        assert_eq!((report[0].iccid.as_deref(), report[6].iccid.as_deref()), (Some(known.as_str()), None));
        land(&mut session, &stock, settled, &key.clone(), 2).await.unwrap_err();
        let other = stock.store.vault().make_data_key().unwrap();
        land(&mut session, &stock, settled, &other, 2).await.unwrap();
        assert!(find(&stock.store, &a).await.is_none() && find(&stock.store, &b).await.is_some());
    }

    async fn what_came_in_meanwhile_is_left_out(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let [first, second] = [(); 2].map(|()| stock.store.vault().make_data_key().unwrap());
        let (sim, other, third) = (iccid(), iccid(), iccid());
        let rows = |key: &DataKey, sims: [&Iccid; 2], code| {
            vec![row(&stock.store, key, 2, sims[0], Some("ONE")), row(&stock.store, key, 3, sims[1], Some(code))]
        };
        let (mut one, settled) = staged(&stock.store, rows(&first, [&sim, &other], "TWO"), Vec::new()).await;
        let (mut two, later) = staged(&stock.store, rows(&second, [&sim, &third], "TWO"), Vec::new()).await;
        assert_eq!((settled.counts.accepted, later.counts.accepted), (2, 2));
        assert_eq!(land(&mut one, &stock, settled, &first, 2).await.unwrap(), 0);
        assert_eq!(land(&mut two, &stock, later, &second, 2).await.unwrap(), 2, "a SIM, and a code");
        let import = stock.import.id;
        let report = stock.store.read(move |conn| imports::reported(conn, import, false, 0, 100)).await.unwrap();
        let told: Vec<_> = report.iter().map(|row| (row.position, row.line, row.result, row.column.as_str())).collect();
        assert_eq!(told, [(1, 2, RowResult::Duplicate, "a"), (2, 3, RowResult::Duplicate, "c")], "the late ones too");
        assert!(find(&stock.store, &third).await.is_none());
    }

    /// A code may come to a profile that was there before: then nothing of the file lands.
    async fn a_code_that_came_to_an_older_profile_is_refused(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 1).await;
        let key = stock.store.vault().make_data_key().unwrap();
        let (sim, other) = (iccid(), iccid());
        let rows =
            vec![row(&stock.store, &key, 2, &sim, Some("ONE")), row(&stock.store, &key, 3, &other, Some("TWO"))];
        let (mut session, settled) = staged(&stock.store, rows, Vec::new()).await;
        let (store, profile) = (stock.store.clone(), added[0].clone());
        let code = ActivationCode::parse("1$smdp.example$TWO").unwrap();
        let came = stock.store.write(move |conn| {
            let key = store.vault().new_data_key(conn)?;
            let sealed = Sealed::seal(store.vault(), &key, &profile.iccid, Some(&code), None, None)?;
            secrets::insert_many(conn, &key, &[(profile.id, &sealed)])
        });
        came.await.unwrap();
        assert!(is_unique(&land(&mut session, &stock, settled, &key, 2).await));
        assert!(find(&stock.store, &sim).await.is_none(), "all or nothing");
        assert!(is_race(&land(&mut session, &stock, settled, &key, 3).await) || stock.db.raw().number("SELECT COUNT(*) AS value FROM profiles") == 1);
        assert_eq!(stock.db.raw().number("SELECT COUNT(*) AS value FROM wrapped_keys WHERE purpose = 'data'"), 1);
    }

    /// Nobody waits for what is only staged, and it waits for nobody: not even on SQLite, which has one writer.
    async fn staging_takes_no_writer(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let key = stock.store.vault().make_data_key().unwrap();
        let (started, has_started) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let writer = tokio::spawn({
            let (store, pool) = (stock.store.clone(), stock.pool.clone());
            async move {
                store
                    .write(move |conn| {
                        imports::insert(conn, &crate::support::new_import(&pool, "meanwhile"), now())?;
                        started.send(()).unwrap();
                        may_end.recv_timeout(Duration::from_secs(60)).unwrap();
                        Ok::<_, StoreError>(())
                    })
                    .await
            }
        });
        tokio::task::spawn_blocking(move || has_started.recv().unwrap()).await.unwrap();
        let rows = (2..3_000).map(|line| row(&stock.store, &key, line, &iccid(), None)).collect();
        let (mut session, settled) = staged(&stock.store, rows, vec![warning(2)]).await;
        assert_eq!(settled.counts.accepted, 2_998);
        end.send(()).unwrap();
        writer.await.unwrap().unwrap();
        let page = session.run(|conn| staging::accepted(conn, 2_990, 5)).await.unwrap();
        assert_eq!(page.iter().map(|row| row.line).collect::<Vec<_>>(), [2_991, 2_992, 2_993, 2_994, 2_995]);
        drop(session);
        assert_eq!(stock.db.raw().number("SELECT COUNT(*) AS value FROM profiles"), 0);
    }
}

on_postgres! {
    /// Rows are numbered before they are committed. What comes in beside an import that becomes stock waits for it: else
    /// the next import would look behind the higher numbers for what landed under the lower ones.
    async fn profiles_are_numbered_in_the_order_of_the_commits(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let [first, second] = [(); 2].map(|()| stock.store.vault().make_data_key().unwrap());
        let (sim, other) = (iccid(), iccid());
        let (mut one, settled) =
            staged(&stock.store, vec![row(&stock.store, &first, 2, &sim, Some("ONE"))], Vec::new()).await;
        let (landed, has_landed) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let landing = tokio::spawn({
            let (store, landing) = (stock.store.clone(), landing(&stock));
            async move {
                one.write(move |conn| {
                    staging::mark_latecomers(conn, landing.batch.import, &settled, names)?;
                    store.vault().keep_data_key(conn, &first)?;
                    staging::land(conn, &settled, &landing, &first, 1, |_| ())?;
                    landed.send(()).unwrap();
                    may_end.recv_timeout(Duration::from_secs(60)).unwrap();
                    Ok::<_, StoreError>(())
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || has_landed.recv().unwrap()).await.unwrap();
        let beside = tokio::spawn({
            let store = stock.store.clone();
            // Into another pool, where nothing else makes it wait.
            let pool = make_pool(&store, "other", 0).await;
            let import = make_import(&store, &pool).await;
            async move { add_profiles(&store, &pool, &import, vec![new_profile()]).await }
        });
        let mut raw = stock.db.raw();
        let waiting = "SELECT COUNT(*) AS value FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while !beside.is_finished() && raw.number(waiting) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let rows = vec![
            row(&stock.store, &second, 2, &sim, Some("TWO")),
            row(&stock.store, &second, 3, &other, Some("THREE")),
        ];
        let (mut two, later) = staged(&stock.store, rows, Vec::new()).await;
        assert_eq!(later.counts.accepted, 2, "the other import is not there yet");
        end.send(()).unwrap();
        landing.await.unwrap().unwrap();
        beside.await.unwrap();
        assert_eq!(land(&mut two, &stock, later, &second, 2).await.unwrap(), 1);
        assert!(find(&stock.store, &other).await.is_some());
    }
}
