//! Rate plans and service profiles as commands use them, and their place in the ledger.

use simdepot_application::{AppError, rate_plans, service_profiles};
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::line::{LineOption, LineSetup, OptionCatalogue, OptionRule, ServiceProfile};
use simdepot_persistence::events;
use simdepot_tests::{TestDepot, on_both_databases};

const PLAN: &str = "M2MA_WW_TSL_TEST";

fn option(name: &str, value: &str) -> LineOption {
    LineOption { name: name.to_owned(), value: value.to_owned() }
}

fn catalogue() -> OptionCatalogue {
    let choices = ["NO_LIMIT", "250MB", "1GB"].map(str::to_owned).to_vec();
    OptionCatalogue {
        options: vec![
            OptionRule::OnOff { name: "BAR_DATA".to_owned(), default: false },
            OptionRule::OneOf { name: "limit".to_owned(), choices, default: "NO_LIMIT".to_owned() },
        ],
    }
}

fn trackers() -> ServiceProfile {
    ServiceProfile {
        rate_plan: Some(PLAN.to_owned()),
        options: vec![option("BAR_DATA", "on"), option("250MB", "on")],
        description: None,
    }
}

fn pointers(error: AppError) -> Vec<String> {
    match error {
        AppError::Invalid(fields) => fields.into_iter().map(|field| field.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

async fn resolve(
    test: &TestDepot,
    name: Option<&'static str>,
    setup: LineSetup,
) -> Result<LineSetup, AppError> {
    test.depot.store.read(move |conn| service_profiles::resolve(conn, name, setup)).await
}

on_both_databases! {
    async fn a_command_counts_over_its_service_profile(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        rate_plans::put(&test.depot, PLAN.to_owned(), catalogue()).await.unwrap();
        service_profiles::put(&test.depot, "trackers".to_owned(), trackers()).await.unwrap();
        let asked = LineSetup {
            options: vec![option("1GB", "on")],
            group: Some("fleet".to_owned()),
            ..LineSetup::default()
        };
        let setup = resolve(&test, Some("trackers"), asked.clone()).await.unwrap();
        assert_eq!(setup.rate_plan.as_deref(), Some(PLAN));
        assert_eq!(setup.options, [option("BAR_DATA", "on"), option("1GB", "on")]);
        assert_eq!(setup.group.as_deref(), Some("fleet"));
        let own = LineSetup { rate_plan: Some("OTHER".to_owned()), ..asked.clone() };
        assert_eq!(resolve(&test, Some("trackers"), own).await.unwrap().rate_plan.as_deref(), Some("OTHER"));
        assert_eq!(resolve(&test, None, asked.clone()).await.unwrap(), asked);
        let unknown = resolve(&test, Some("none"), asked).await.unwrap_err();
        assert_eq!(pointers(unknown), ["/service_profile"]);
        test.finish().await;
    }

    async fn a_rate_plan_without_options_takes_everything(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let check = |options: Vec<LineOption>| {
            test.depot.store.read(move |conn| rate_plans::check(conn, PLAN, &options))
        };
        let odd = vec![option("BAR_DATA", "maybe"), option("NOPE", "on")];
        check(odd.clone()).await.unwrap();
        rate_plans::put(&test.depot, PLAN.to_owned(), catalogue()).await.unwrap();
        assert_eq!(pointers(check(odd).await.unwrap_err()), ["/options/0/value", "/options/1/name"]);
        check(trackers().options).await.unwrap();
        test.finish().await;
    }

    async fn the_same_again_is_no_event(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let (first, made) = rate_plans::put(&test.depot, PLAN.to_owned(), catalogue()).await.unwrap();
        assert!(made && first.version == 1);
        let (again, made) = rate_plans::put(&test.depot, PLAN.to_owned(), catalogue()).await.unwrap();
        assert_eq!((again, made), (first, false));
        let (profile, made) = service_profiles::put(&test.depot, "trackers".to_owned(), trackers()).await.unwrap();
        assert!(made && profile.problems.is_empty());
        let (again, made) = service_profiles::put(&test.depot, "trackers".to_owned(), trackers()).await.unwrap();
        assert_eq!((again, made), (profile, false));

        // What does not fit any more stays, and is shown so.
        let fewer = OptionCatalogue { options: vec![OptionRule::OnOff { name: "BAR_DATA".to_owned(), default: true }] };
        rate_plans::put(&test.depot, PLAN.to_owned(), fewer).await.unwrap();
        let shown = service_profiles::get(&test.depot, "trackers".to_owned()).await.unwrap();
        let problems: Vec<_> = shown.problems.iter().map(|problem| (problem.position, problem.field)).collect();
        assert_eq!((problems, shown.named.version), (vec![(1, "name")], 1));
        let refused = service_profiles::put(&test.depot, "more".to_owned(), trackers()).await.unwrap_err();
        assert_eq!(pointers(refused), ["/options/1/name"]);

        let story = |kind, id: &'static str| {
            test.depot.store.read(move |conn| events::of_subject(conn, kind, id))
        };
        let plan = story(SubjectKind::RatePlan, PLAN).await.unwrap();
        let told: Vec<Fact> = plan.into_iter().map(|event| event.fact).collect();
        assert_eq!(told, [Fact::RatePlanOptionsSet { options: 2 }, Fact::RatePlanOptionsSet { options: 1 }]);
        assert_eq!(story(SubjectKind::ServiceProfile, "trackers").await.unwrap().len(), 1);
        test.finish().await;
    }

    async fn one_of_many_makes_it(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let put = || rate_plans::put(&test.depot, PLAN.to_owned(), catalogue());
        let put = tokio::join!(put(), put(), put(), put());
        let made = [put.0, put.1, put.2, put.3].into_iter().filter(|put| put.as_ref().unwrap().1).count();
        assert_eq!(made, 1);
        assert_eq!(rate_plans::get(&test.depot, PLAN.to_owned()).await.unwrap().version, 1);
        test.finish().await;
    }

    async fn verify_finds_what_was_written_past_the_ledger(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        rate_plans::put(&test.depot, PLAN.to_owned(), catalogue()).await.unwrap();
        service_profiles::put(&test.depot, "trackers".to_owned(), trackers()).await.unwrap();
        test.assert_verified().await;
        test.db.raw().execute("UPDATE rate_plans SET options = '[]'");
        test.db.raw().execute("UPDATE service_profiles SET rate_plan = 'OTHER'");
        let findings = test.findings().await;
        assert_eq!(
            findings,
            [
                "rate plan M2MA_WW_TSL_TEST has other options than its events say",
                "service profile trackers has another rate plan or options than its events say"
            ]
        );
        test.finish_broken();
    }
}
