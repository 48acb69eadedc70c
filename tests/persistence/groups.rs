//! Groups of lines, counted where they are; profiles found by what their lines are called.

use simdepot_domain::channel::AccountName;
use simdepot_domain::line::LineDetails;
use simdepot_domain::observation::{Observation, Source};
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::groups::{self, GroupCount};
use simdepot_persistence::profiles::{self, NewProfile, Profile, ProfileFilter};
use simdepot_persistence::{StoreError, lines};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, new_profile, now};

fn seen(status: SimStatus) -> NewProfile {
    let moment = now();
    let sim = Observation {
        status,
        observed_at: moment,
        dated_by_carrier: false,
        received_at: moment,
        source: Source::Import,
    };
    NewProfile { sim: Some(sim), ..new_profile() }
}

async fn call(stock: &Stock, profile: &Profile, group: Option<&str>, reference: Option<&str>) {
    let details = LineDetails {
        group: group.map(str::to_owned),
        external_reference: reference.map(str::to_owned),
        ..LineDetails::default()
    };
    let (id, moment) = (profile.id, now());
    stock.store.write(move |conn| lines::keep(conn, id, &details, Source::Read, moment)).await.unwrap();
}

fn counted(group: Option<&str>, sim_status: Option<SimStatus>, lines: u64) -> GroupCount {
    GroupCount { group: group.map(str::to_owned), sim_status, lines }
}

on_both_databases! {
    async fn lines_are_counted_by_group_and_status(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let new = vec![
            seen(SimStatus::Active), seen(SimStatus::Active), seen(SimStatus::Suspended), seen(SimStatus::Active),
            new_profile(), new_profile(),
        ];
        let profiles = stock.add(new).await;
        for (place, group) in [(0, "b"), (1, "b"), (2, "b"), (3, "a")] {
            call(&stock, &profiles[place], Some(group), None).await;
        }
        // One whose line is known without a group, and one of which nothing is known.
        call(&stock, &profiles[4], None, Some("truck 7")).await;
        let spc = Some(AccountName::parse("spc").unwrap());
        let other = Some(AccountName::parse("other").unwrap());
        let read = stock.store.read(move |conn| {
            let mut found = groups::count(conn, spc.as_ref(), "a", "b")?;
            found.extend(groups::count_without(conn, spc.as_ref())?);
            let nowhere = groups::count(conn, other.as_ref(), "a", "b")?;
            let names = groups::names_after(conn, spc.as_ref(), None, 10)?;
            let first = groups::names_after(conn, None, None, 1)?;
            let second = groups::names_after(conn, None, Some("a"), 1)?;
            let none = groups::names_after(conn, other.as_ref(), None, 10)?;
            Ok::<_, StoreError>((found, nowhere, names, first, second, none))
        });
        let (mut found, nowhere, names, first, second, none) = read.await.unwrap();
        found.sort_by_key(|row| (row.group.clone(), row.sim_status));
        assert_eq!(
            found,
            [
                counted(None, None, 2),
                counted(Some("a"), Some(SimStatus::Active), 1),
                counted(Some("b"), Some(SimStatus::Active), 2),
                counted(Some("b"), Some(SimStatus::Suspended), 1),
            ]
        );
        assert!(nowhere.is_empty() && none.is_empty());
        assert_eq!((names, first, second), (vec!["a".to_owned(), "b".to_owned()], vec!["a".to_owned()], vec!["b".to_owned()]));
    }

    async fn profiles_are_found_by_what_their_lines_are_called(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 3).await;
        call(&stock, &profiles[0], Some("fleet"), Some("truck 7")).await;
        call(&stock, &profiles[1], Some("fleet"), None).await;
        call(&stock, &profiles[2], Some("other"), Some("truck 7")).await;
        let (fleet, truck) = (Some("fleet".to_owned()), Some("truck 7".to_owned()));
        let all = ProfileFilter::default;
        for (filter, expected) in [
            (ProfileFilter { group: fleet.clone(), ..all() }, vec![0, 1]),
            (ProfileFilter { external_reference: truck.clone(), ..all() }, vec![0, 2]),
            (ProfileFilter { group: fleet.clone(), external_reference: truck, ..all() }, vec![0]),
            (ProfileFilter { group: fleet, after: Some(profiles[0].id), ..all() }, vec![1]),
            (ProfileFilter { group: Some("') OR 1=1 --".to_owned()), ..all() }, vec![]),
        ] {
            let expected: Vec<i64> = expected.into_iter().map(|place: usize| profiles[place].id).collect();
            let found = stock.store.read(move |conn| profiles::search(conn, &filter, 10)).await.unwrap();
            assert_eq!(found.profiles.iter().map(|profile| profile.id).collect::<Vec<_>>(), expected);
        }
    }
}
