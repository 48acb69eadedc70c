//! The whole fleet, as the carrier's daily report and its search index show it: what is known learns from it, what is not
//! in the stock is adopted.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_application::imports::{self, ImportView, StartImport, StartedAs};
use simdepot_application::observations::{self, Sightings};
use simdepot_application::reconciliation::{self, ReconciliationView};
use simdepot_application::{AppError, deliveries, pools};
use simdepot_carrier_twin::park::ReportLanguage;
use simdepot_carrier_twin::{Delivered, LineSpec};
use simdepot_domain::carrier::LineReading;
use simdepot_domain::channel::PoolName;
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::delivery::Format;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::import::{ImportCounts, ImportStatus};
use simdepot_domain::line::LineDetails;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::Source;
use simdepot_domain::pool::PoolSettings;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_persistence::{Backend, lines, profiles};
use simdepot_tests::depot::{pool_settings, stock_keeper};
use simdepot_tests::{TestDepot, on_both_databases};

use crate::reconciliation::pass_time;

/// A day, and not to the second: a nightly job starts now and then a little sooner.
const NIGHT: TimeDelta = TimeDelta::seconds(86_400 - 5);

fn stands(test: &TestDepot, line: &LineSpec, status: SimStatus) {
    test.twin.twin().set_line_status(&line.iccid, status, SystemClock.now()).unwrap();
}

fn report(test: &TestDepot) -> String {
    test.twin.twin().fleet_report(ReportLanguage::French)
}

async fn import(test: &TestDepot, file: &str) -> (ImportView, StartedAs) {
    let asked = StartImport { format: Format::Park, ..test.import_of() };
    let (view, started_as) = test.import(file, asked).await.unwrap();
    assert_eq!(view.import.status, ImportStatus::Completed, "{:?}", view.import.problem);
    (view, started_as)
}

async fn counts(test: &TestDepot, file: &str) -> (u64, u64, u64) {
    let ImportCounts { rows, accepted, rejected, duplicates, updated, unchanged, .. } =
        import(test, file).await.0.import.counts;
    assert_eq!((rows, rejected, duplicates), (accepted + updated + unchanged, 0, 0));
    (accepted, updated, unchanged)
}

async fn learn(test: &TestDepot, iccid: &Iccid, line: LineReading) {
    let id = test.profile(iccid).await.id;
    let depot = test.depot.clone();
    let learned = test.depot.write_again(move |conn| {
        let seen = Sightings { line: Some(line.clone()), ..Sightings::default() };
        let profile = profiles::lock(conn, id)?;
        observations::learn(conn, &depot, profile, &seen, depot.now())
    });
    learned.await.unwrap();
}

fn told(source: Source, at: DateTime<Utc>, status: SimStatus, msisdn: &str) -> LineReading {
    LineReading {
        msisdn: Some(Msisdn::parse(msisdn).unwrap()),
        sim_status: Some(status),
        observed_at: at,
        dated_by_carrier: false,
        source,
        details: LineDetails::default(),
    }
}

async fn standing(test: &TestDepot, line: &LineSpec) -> (StockStatus, Option<QuarantineReason>, SimStatus) {
    let profile = test.profile(&line.iccid).await;
    (profile.stock_status, profile.quarantine_reason, profile.sim.unwrap().status)
}

/// PostgreSQL's clock has not moved with the test's: what waits is due all the same.
async fn complete_deliveries(test: &TestDepot) {
    let earlier = match test.db.backend() {
        Backend::Postgres => "INTERVAL '2 days'",
        Backend::Sqlite => "0",
    };
    test.db.raw().execute(&format!("UPDATE profiles SET recheck_at = recheck_at - {earlier}"));
    while deliveries::step(&test.depot).await.unwrap() {}
}

async fn number(test: &TestDepot, iccid: &Iccid) -> String {
    test.profile(iccid).await.msisdn.unwrap().as_str().to_owned()
}

async fn reconcile(test: &TestDepot, adopt_into: Option<PoolName>) -> ReconciliationView {
    let keeper = stock_keeper("default");
    let (begun, _) = reconciliation::start(&test.depot, &keeper, adopt_into, None).await.unwrap();
    for _ in 0..1_000 {
        let view = reconciliation::get(&test.depot, begun.reconciliation.id).await.unwrap();
        if view.reconciliation.finished_at.is_some() {
            return view;
        }
        if !reconciliation::step(&test.depot).await.unwrap() {
            pass_time(test);
        }
    }
    panic!("it does not end: {begun:#?}");
}

fn another_pool(name: &str) -> PoolSettings {
    PoolSettings { pool: PoolName::parse(name).unwrap(), ..pool_settings() }
}

on_both_databases! {
    async fn a_report_teaches_and_adopts_day_after_day(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let ours = test.deliver(3).await;
        let strange = test.twin.twin().add_lines(2);
        stands(&test, &ours[0], SimStatus::Active);
        stands(&test, &strange[1], SimStatus::Active);
        test.clock.advance(TimeDelta::hours(25));
        let swapped = report(&test).replace(&format!("+{}", ours[2].msisdn()), "+33700999999");
        let (first, _) = import(&test, &swapped).await;
        let found = first.import.counts;
        assert_eq!((found.rows, found.accepted, found.updated, found.unchanged), (5, 2, 2, 1));
        assert_eq!(
            standing(&test, &ours[0]).await,
            (StockStatus::Quarantined, Some(QuarantineReason::SeenInUse), SimStatus::Active)
        );
        assert_eq!(test.profile(&ours[0].iccid).await.sim.unwrap().source, Source::Report);
        assert_eq!(number(&test, &ours[2].iccid).await, "33700999999", "swapped outside simdepot");
        // One that works is managed and never for sale; the other one waits for its code.
        let adopted = (StockStatus::Quarantined, Some(QuarantineReason::InService), SimStatus::Active);
        assert_eq!(standing(&test, &strange[1]).await, adopted);
        complete_deliveries(&test).await;
        assert_eq!(standing(&test, &strange[0]).await.0, StockStatus::Available);
        assert_eq!(import(&test, &swapped).await.1, StartedAs::Repeated);
        test.assert_verified().await;

        // The next day, and a little early: another file.
        stands(&test, &strange[1], SimStatus::Suspended);
        test.clock.advance(NIGHT);
        let (second, _) = import(&test, &report(&test)).await;
        let found = second.import.counts;
        assert_eq!((found.accepted, found.updated, found.unchanged), (0, 2, 3));
        assert_eq!(standing(&test, &strange[1]).await.2, SimStatus::Suspended);
        assert_eq!(number(&test, &ours[2].iccid).await, ours[2].msisdn());

        // Undone is what it adopted, which is nothing; what was learned stays.
        let keeper = stock_keeper("default");
        let (undone, _) = imports::undo(&test.depot, &keeper, second.import.id, None).await.unwrap();
        assert_eq!(undone.import.status, ImportStatus::Undone);
        assert_eq!(standing(&test, &strange[1]).await.2, SimStatus::Suspended);
        let refused = imports::undo(&test.depot, &keeper, first.import.id, None).await.unwrap_err();
        assert!(matches!(refused, AppError::InvalidTransition { .. }), "{refused:?}");
        test.finish().await;
    }

    async fn a_report_is_of_yesterday(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let old = report(&test);
        test.clock.advance(TimeDelta::hours(25));
        // What was read an hour ago is newer than the report.
        let read_at = test.depot.now() - TimeDelta::hours(1);
        learn(&test, &line.iccid, told(Source::Read, read_at, SimStatus::Active, "33700999999")).await;
        assert_eq!(counts(&test, &old).await, (0, 0, 1));
        assert_eq!(standing(&test, &line).await.2, SimStatus::Active);
        assert_eq!(number(&test, &line.iccid).await, "33700999999");
        // Two days later it is not.
        stands(&test, &line, SimStatus::Suspended);
        test.clock.advance(TimeDelta::hours(48));
        assert_eq!(counts(&test, &report(&test)).await, (0, 1, 0));
        assert_eq!(standing(&test, &line).await.2, SimStatus::Suspended);
        assert_eq!(number(&test, &line.iccid).await, line.msisdn());
        // A line that has ended gives no number: somebody else may have it.
        test.clock.advance(NIGHT);
        stands(&test, &line, SimStatus::Terminated);
        let given_away = report(&test).replace(&format!("+{}", line.msisdn()), "+33700111111");
        assert_eq!(counts(&test, &given_away).await, (0, 1, 0));
        assert_eq!(number(&test, &line.iccid).await, line.msisdn());
        test.finish().await;
    }

    async fn a_dry_run_learns_nothing_and_strangers_stay_duplicates(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        test.twin.twin().add_lines(1);
        stands(&test, &line, SimStatus::Active);
        test.clock.advance(TimeDelta::hours(25));
        let file = report(&test);
        let rows: Vec<&str> = file.lines().collect();
        let twice = format!("{}\r\n{}\r\n", rows.join("\r\n"), rows[1]);
        let dry = StartImport { format: Format::Park, dry_run: true, ..test.import_of() };
        let (view, _) = test.import(&twice, dry).await.unwrap();
        let expected = ImportCounts { rows: 3, accepted: 1, duplicates: 1, updated: 1, ..ImportCounts::default() };
        assert_eq!(view.import.counts, expected);
        assert_eq!(standing(&test, &line).await, (StockStatus::Available, None, SimStatus::Preactivated));
        // A refused row with on_error=all: nothing is learned either.
        let broken = StartImport { format: Format::Park, ..test.import_of() };
        let (view, _) = test.import(format!("{twice}12;;;;;;;;Active\r\n"), broken).await.unwrap();
        assert_eq!(view.import.status, ImportStatus::Failed);
        assert_eq!(standing(&test, &line).await.2, SimStatus::Preactivated);
        test.finish().await;
    }

    async fn two_reports_at_once_teach_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let ours = test.deliver(130).await;
        for line in &ours {
            stands(&test, line, SimStatus::Active);
        }
        test.clock.advance(TimeDelta::hours(25));
        let (one, other) = (report(&test), format!("{}\r\n", report(&test)));
        let (one, other) = tokio::join!(import(&test, &one), import(&test, &other));
        let (one, other) = (one.0.import.counts, other.0.import.counts);
        assert_eq!(one.updated + other.updated, 130, "{one:?} {other:?}");
        let told = test.db.raw().number(
            "SELECT COUNT(*) AS value FROM events WHERE type_name = 'profile.sim_status_seen'",
        );
        assert_eq!(told, 130);
        test.finish().await;
    }

    async fn what_the_index_shows_and_the_stock_lacks_is_adopted(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let fleet = another_pool("fleet");
        pools::create(&test.depot, &stock_keeper("default"), fleet.clone(), None).await.unwrap();
        test.deliver(2).await;
        let plastic = Delivered { physical: true, ..Delivered::preactivated() };
        let strange = test.twin.twin().add_lines_as(2, plastic);
        stands(&test, &strange[1], SimStatus::Active);

        let seen = reconcile(&test, None).await.reconciliation;
        assert_eq!((seen.counts.unknown_lines, seen.counts.adopted), (2, 0));
        let seen = reconcile(&test, Some(fleet.pool.clone())).await.reconciliation;
        assert_eq!((seen.counts.unknown_lines, seen.counts.adopted, seen.counts.compared), (0, 2, 4));
        let profile = test.profile(&strange[1].iccid).await;
        assert_eq!((profile.stock_status, profile.quarantine_reason), (StockStatus::Quarantined, Some(QuarantineReason::InService)));
        assert_eq!((profile.form_factor, profile.msisdn.as_ref()), (FormFactor::Psim, strange[1].msisdn.as_ref()));
        let id = profile.id;
        let kept = test.depot.store.read(move |conn| lines::find(conn, id)).await.unwrap().unwrap();
        assert!(kept.details.activated_at.is_some(), "{kept:?}");
        while deliveries::step(&test.depot).await.unwrap() {}
        assert_eq!(standing(&test, &strange[0]).await.0, StockStatus::Available);
        let made = test.depot.store.read(move |conn| simdepot_persistence::imports::find(conn, profile.import_id));
        let made = made.await.unwrap().unwrap();
        assert_eq!((made.format, made.file_name.as_deref(), made.counts.accepted), (Format::Park, Some("sim-search"), 2));
        assert_eq!(reconcile(&test, Some(fleet.pool)).await.reconciliation.counts.adopted, 0, "once");
        let nowhere = PoolName::parse("nowhere").unwrap();
        let unknown = reconciliation::start(&test.depot, &stock_keeper("default"), Some(nowhere), None).await;
        assert!(matches!(unknown, Err(AppError::Invalid(_))), "{unknown:?}");
        test.finish().await;
    }

    async fn one_that_adopts_otherwise_is_not_taken_for_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let keeper = stock_keeper("default");
        reconciliation::start(&test.depot, &keeper, None, None).await.unwrap();
        let pool = pool_settings().pool;
        let other = reconciliation::start(&test.depot, &keeper, Some(pool.clone()), None).await;
        assert!(matches!(other, Err(AppError::InvalidTransition { .. })), "{other:?}");
        reconcile(&test, None).await;
        let (begun, _) = reconciliation::start(&test.depot, &keeper, Some(pool.clone()), None).await.unwrap();
        let (same, _) = reconciliation::start(&test.depot, &keeper, Some(pool.clone()), None).await.unwrap();
        assert_eq!(begun.reconciliation.id, same.reconciliation.id);
        assert_eq!(reconcile(&test, Some(pool)).await.reconciliation.id, begun.reconciliation.id);
        test.finish().await;
    }

    async fn an_index_that_lags_takes_no_number_back(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let line = test.deliver(1).await.remove(0);
        let now = test.depot.now();
        learn(&test, &line.iccid, told(Source::Read, now, SimStatus::Preactivated, "33700999999")).await;
        // The index still has the old one.
        test.clock.advance(TimeDelta::minutes(10));
        let later = test.depot.now();
        learn(&test, &line.iccid, told(Source::Search, later, SimStatus::Preactivated, line.msisdn())).await;
        assert_eq!(number(&test, &line.iccid).await, "33700999999");
        let much_later = later + TimeDelta::hours(2);
        learn(&test, &line.iccid, told(Source::Search, much_later, SimStatus::Preactivated, "33700888888")).await;
        assert_eq!(number(&test, &line.iccid).await, "33700888888");
        test.finish().await;
    }
}
