//! What carriers tell of lines beside their status: which word counts, and what becomes an event.

use chrono::{DateTime, TimeDelta, Utc};
use simdepot_application::observations::{self, Sightings};
use simdepot_domain::carrier::LineReading;
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::line::{LineDetails, LineOption, SuspendedBy};
use simdepot_domain::observation::Source;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::lines::Line;
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{events, lines, profiles};
use simdepot_tests::{TestDepot, on_both_databases};

fn reading(source: Source, at: DateTime<Utc>, sim_status: SimStatus, details: LineDetails) -> LineReading {
    LineReading {
        msisdn: None,
        sim_status: Some(sim_status),
        observed_at: at,
        dated_by_carrier: source == Source::Event,
        source,
        details,
    }
}

fn grouped(group: &str) -> LineDetails {
    LineDetails { group: Some(group.to_owned()), ..LineDetails::default() }
}

fn option(name: &str, value: &str) -> LineOption {
    LineOption { name: name.to_owned(), value: value.to_owned() }
}

async fn learn(test: &TestDepot, id: i64, line: LineReading) -> Profile {
    let depot = test.depot.clone();
    let learned = test.depot.write_again(move |conn| {
        let seen = Sightings { line: Some(line.clone()), ..Sightings::default() };
        let profile = profiles::get(conn, id)?;
        observations::learn(conn, &depot, profile, &seen, depot.now())
    });
    learned.await.unwrap()
}

async fn line(test: &TestDepot, id: i64) -> Option<Line> {
    test.depot.store.read(move |conn| lines::find(conn, id)).await.unwrap()
}

/// The fields of each event that tells of the line, oldest first.
async fn changes(test: &TestDepot, profile: &Profile) -> Vec<Vec<String>> {
    let iccid = profile.iccid.to_string();
    let story = test
        .depot
        .store
        .read(move |conn| events::of_subject(conn, SubjectKind::Profile, &iccid))
        .await
        .unwrap();
    let fields = |event: events::StoredEvent| match event.fact {
        Fact::LineChanged { fields, .. } => Some(fields),
        _ => None,
    };
    story.into_iter().filter_map(fields).collect()
}

async fn one_profile(test: &TestDepot) -> Profile {
    let stock = test.deliver(1).await;
    test.profile(&stock[0].iccid).await
}

on_both_databases! {
    async fn what_is_told_is_kept_and_told_once(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let profile = one_profile(&test).await;
        let (id, now) = (profile.id, test.depot.now());
        let told = LineDetails {
            rate_plan: Some("M2M".to_owned()),
            options: Some(vec![option("B", "off"), option("A", "on")]),
            ..grouped("fleet")
        };
        let read = reading(Source::Read, now, SimStatus::Preactivated, told.clone());
        let learned = learn(&test, id, read.clone()).await;
        assert_eq!(learned.version, profile.version + 1);
        assert_eq!(changes(&test, &profile).await, [["rate_plan", "options", "group"]]);
        let kept = line(&test, id).await.unwrap();
        assert_eq!((kept.source, kept.observed_at), (Source::Read, now));
        assert_eq!(kept.details.options, Some(vec![option("A", "on"), option("B", "off")]));

        // The same again, later, and a source that tells less: nothing is written.
        let again = LineReading { observed_at: now + TimeDelta::minutes(5), ..read };
        assert_eq!(learn(&test, id, again).await.version, learned.version);
        let silent = reading(Source::Search, now, SimStatus::Preactivated, LineDetails::default());
        assert_eq!(learn(&test, id, silent).await.version, learned.version);
        assert_eq!(line(&test, id).await.unwrap(), kept);

        // That it was modified is kept, and no event.
        let modified = LineDetails { modified_at: Some(now), ..LineDetails::default() };
        let later = now + TimeDelta::minutes(6);
        let read = reading(Source::Read, later, SimStatus::Preactivated, modified);
        assert_eq!(learn(&test, id, read).await.version, learned.version);
        let kept = line(&test, id).await.unwrap();
        assert_eq!((kept.details.modified_at, kept.details.group.as_deref()), (Some(now), Some("fleet")));
        test.finish().await;
    }

    async fn the_newer_word_counts_however_it_arrives(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let profile = one_profile(&test).await;
        let (id, now) = (profile.id, test.depot.now());
        let event = |minute, details| {
            reading(Source::Event, now + TimeDelta::minutes(minute), SimStatus::Preactivated, details)
        };
        learn(&test, id, event(10, grouped("new"))).await;
        let late = LineDetails { external_reference: Some("truck 7".to_owned()), ..grouped("old") };
        learn(&test, id, event(5, late)).await;
        let kept = line(&test, id).await.unwrap();
        assert_eq!(kept.details.group.as_deref(), Some("new"));
        assert_eq!(kept.details.external_reference.as_deref(), Some("truck 7"), "a gap is filled");
        assert_eq!(kept.observed_at, now + TimeDelta::minutes(10));

        // The same word of the carrier's, dated later, moves the date: what comes in between is old then.
        learn(&test, id, event(20, grouped("new"))).await;
        learn(&test, id, event(15, grouped("between"))).await;
        assert_eq!(line(&test, id).await.unwrap().details.group.as_deref(), Some("new"));
        // An index that lags does not undo it.
        let lagging = now + TimeDelta::minutes(20) + TimeDelta::seconds(30);
        learn(&test, id, reading(Source::Search, lagging, SimStatus::Preactivated, grouped("old"))).await;
        assert_eq!(line(&test, id).await.unwrap().details.group.as_deref(), Some("new"));
        assert_eq!(changes(&test, &profile).await, [["group"], ["external_reference"]]);
        test.finish().await;
    }

    async fn a_suspension_ends_with_its_reason(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let profile = one_profile(&test).await;
        let (id, now) = (profile.id, test.depot.now());
        let at = |minute| now + TimeDelta::minutes(minute);
        learn(&test, id, reading(Source::Event, at(1), SimStatus::Active, LineDetails::default())).await;
        let by = LineDetails { suspended_by: Some(SuspendedBy::Operator), ..LineDetails::default() };
        learn(&test, id, reading(Source::Event, at(2), SimStatus::Suspended, by.clone())).await;
        assert_eq!(line(&test, id).await.unwrap().details.suspended_by, Some(SuspendedBy::Operator));
        // Told by an event that says no more than the status.
        let active = learn(&test, id, reading(Source::Event, at(3), SimStatus::Active, LineDetails::default())).await;
        assert_eq!(line(&test, id).await.unwrap().details.suspended_by, None);
        assert_eq!(changes(&test, &profile).await, [["suspended_by"], ["suspended_by"]]);
        // The old event once more, late.
        assert_eq!(learn(&test, id, reading(Source::Event, at(2), SimStatus::Suspended, by)).await, active);
        assert_eq!(line(&test, id).await.unwrap().details.suspended_by, None);
        test.finish().await;
    }

    async fn two_who_learn_at_once_both_count(db: TestDatabase) {
        let test = TestDepot::start(db).await;
        let profile = one_profile(&test).await;
        let (id, now) = (profile.id, test.depot.now());
        let word = |details| learn(&test, id, reading(Source::Read, now, SimStatus::Preactivated, details));
        let reference = LineDetails { external_reference: Some("truck 7".to_owned()), ..LineDetails::default() };
        tokio::join!(word(grouped("fleet")), word(reference));
        let kept = line(&test, id).await.unwrap().details;
        assert_eq!((kept.group.as_deref(), kept.external_reference.as_deref()), (Some("fleet"), Some("truck 7")));
        assert_eq!(changes(&test, &profile).await.len(), 2);
        test.finish().await;
    }
}
