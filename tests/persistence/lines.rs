//! What is known of lines.

use simdepot_domain::line::{LineDetails, LineOption, SuspendedBy};
use simdepot_domain::observation::Source;
use simdepot_persistence::lines::{self, Line};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, days, is_race, now};

fn full() -> LineDetails {
    let moment = now();
    LineDetails {
        suspended_by: Some(SuspendedBy::Automatic),
        rate_plan: Some("M2M_STANDARD".to_owned()),
        options: Some(vec![LineOption { name: "BAR_DATA".to_owned(), value: "on".to_owned() }]),
        group: Some("fleet".to_owned()),
        external_reference: Some("truck 7".to_owned()),
        activated_at: Some(moment - days(30)),
        modified_at: Some(moment - days(1)),
        contract_ends_at: Some(moment + days(300)),
    }
}

on_both_databases! {
    async fn a_line_comes_back_as_it_was_kept(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 3).await;
        let (first, second, third) = (profiles[0].id, profiles[1].id, profiles[2].id);
        let (details, moment) = (full(), now());
        let none = stock.store.read(move |conn| lines::find(conn, first)).await.unwrap();
        assert_eq!(none, None);
        let kept = details.clone();
        let write = stock.store.write(move |conn| {
            lines::keep(conn, first, &kept, Source::Read, moment)?;
            lines::keep(conn, second, &LineDetails::default(), Source::Search, moment)
        });
        write.await.unwrap();
        let found = stock.store.read(move |conn| lines::find(conn, first)).await.unwrap().unwrap();
        assert_eq!(found, Line { details, source: Source::Read, observed_at: moment });
        let both = stock.store.read(move |conn| lines::of_profiles(conn, &[first, second, third])).await;
        let both: Vec<_> = both.unwrap().into_iter().map(|(id, line)| (id, line.source)).collect();
        assert_eq!(both, [(first, Source::Read), (second, Source::Search)]);
    }

    async fn keeping_replaces_what_is_not_newer(db: TestDatabase) {
        let (stock, profiles) = Stock::of(db, 1).await;
        let (id, moment) = (profiles[0].id, now());
        let keep = |details: LineDetails, at| {
            stock.store.write(move |conn| lines::keep(conn, id, &details, Source::Event, at))
        };
        keep(full(), moment).await.unwrap();
        // An absent value is kept as such: what stays and what goes is decided before.
        let without = LineDetails { group: None, options: None, suspended_by: None, ..full() };
        keep(without.clone(), moment).await.unwrap();
        let found = stock.store.read(move |conn| lines::find(conn, id)).await.unwrap().unwrap();
        assert_eq!((&found.details.group, &found.details.options, found.details.suspended_by), (&None, &None, None));
        assert!(is_race(&keep(full(), moment - days(1)).await));
        let found = stock.store.read(move |conn| lines::find(conn, id)).await.unwrap().unwrap();
        assert_eq!(found.observed_at, moment);
        assert_eq!(found.details.group, None);
    }
}
