//! Rate plans and service profiles as they are stored.

use simdepot_domain::line::{LineOption, OptionCatalogue, OptionRule, ServiceProfile};
use simdepot_persistence::{StoreError, rate_plans, service_profiles};
use simdepot_tests::on_both_databases;

use crate::support::{days, is_race, is_unique, now};

fn catalogue(name: &str) -> OptionCatalogue {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    OptionCatalogue {
        options: vec![
            OptionRule::OnOff { name: name.to_owned(), default: true },
            OptionRule::OneOf {
                name: "limit".to_owned(),
                choices: texts(&["NONE", "1GB"]),
                default: "NONE".to_owned(),
            },
            OptionRule::Value {
                name: "PRICING".to_owned(),
                values: texts(&["BUNDLES"]),
                default: "BUNDLES".to_owned(),
            },
        ],
    }
}

on_both_databases! {
    async fn a_rate_plan_is_replaced_from_the_version_that_was_read(db: TestDatabase) {
        let store = db.store();
        let moment = now();
        let made = store.write(move |conn| {
            rate_plans::insert(conn, "PLAN_B", &catalogue("A"), moment)?;
            rate_plans::insert(conn, "PLAN_A", &OptionCatalogue::default(), moment)?;
            rate_plans::find(conn, "PLAN_B")
        });
        let plan = made.await.unwrap().unwrap();
        assert_eq!((&plan.catalogue, plan.version, plan.created_at), (&catalogue("A"), 1, moment));
        let again = store.write(move |conn| rate_plans::insert(conn, "PLAN_B", &catalogue("A"), moment)).await;
        assert!(is_unique(&again));
        let (old, later) = (plan.clone(), moment + days(1));
        let version = store.write(move |conn| rate_plans::update(conn, &old, &catalogue("B"), later)).await;
        assert_eq!(version.unwrap(), 2);
        let race = store.write(move |conn| rate_plans::update(conn, &plan, &catalogue("C"), later)).await;
        assert!(is_race(&race));
        let read = store.read(|conn| {
            let all = rate_plans::list(conn, None, 10)?;
            let page = rate_plans::list(conn, Some("PLAN_A"), 1)?;
            Ok::<_, StoreError>((all, page, rate_plans::find(conn, "PLAN_C")?))
        });
        let (all, page, none) = read.await.unwrap();
        let names: Vec<_> = all.iter().map(|plan| (plan.rate_plan.as_str(), plan.version)).collect();
        assert_eq!(names, [("PLAN_A", 1), ("PLAN_B", 2)]);
        assert_eq!((&page[0].catalogue, page[0].updated_at, page.len()), (&catalogue("B"), later, 1));
        assert_eq!(none, None);
    }

    async fn a_service_profile_is_replaced_from_the_version_that_was_read(db: TestDatabase) {
        let store = db.store();
        let moment = now();
        let option = LineOption { name: "A".to_owned(), value: "on".to_owned() };
        let full = ServiceProfile {
            rate_plan: Some("PLAN".to_owned()),
            options: vec![option],
            description: Some("for trackers".to_owned()),
        };
        let bare = ServiceProfile { rate_plan: None, options: Vec::new(), description: None };
        let (first, second) = (full.clone(), bare.clone());
        let made = store.write(move |conn| {
            service_profiles::insert(conn, "trackers", &first, moment)?;
            service_profiles::insert(conn, "meters", &second, moment)?;
            service_profiles::find(conn, "trackers")
        });
        let known = made.await.unwrap().unwrap();
        assert_eq!((&known.profile, known.version), (&full, 1));
        let second = bare.clone();
        let again = store.write(move |conn| service_profiles::insert(conn, "trackers", &second, moment)).await;
        assert!(is_unique(&again));
        // What is taken away is gone.
        let (old, change) = (known.clone(), bare.clone());
        let version = store.write(move |conn| service_profiles::update(conn, &old, &change, moment)).await;
        assert_eq!(version.unwrap(), 2);
        let race = store.write(move |conn| service_profiles::update(conn, &known, &full, moment)).await;
        assert!(is_race(&race));
        let all = store.read(|conn| service_profiles::list(conn, None, 10)).await.unwrap();
        let names: Vec<_> = all.iter().map(|known| (known.name.as_str(), known.version)).collect();
        assert_eq!(names, [("meters", 1), ("trackers", 2)]);
        assert_eq!(all[1].profile, bare);
        assert_eq!(store.read(|conn| service_profiles::list(conn, Some("meters"), 1)).await.unwrap().len(), 1);
    }
}
