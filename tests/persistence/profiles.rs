//! Profiles: lookup, search, guarded moves, and what is learned about them.

use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::observation::{Observation, Source};
use simdepot_domain::pool::InitialStock;
use simdepot_domain::profile::{FormFactor, QuarantineReason};
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::{StockStatus, Transition};
use simdepot_persistence::profiles::{self, Batch, Learned, NewProfile, Profile, ProfileEdit, ProfileFilter};
use simdepot_persistence::{StoreError, verification};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, add_profiles, days, iccid, is_race, make_import, make_pool, new_profile, now};

const EID: &str = "89034011560010000000000000000121";

fn seen(status: SimStatus) -> Observation<SimStatus> {
    let moment = now();
    Observation {
        status,
        observed_at: moment,
        dated_by_carrier: true,
        received_at: moment,
        source: Source::Event,
    }
}

fn to(from: StockStatus, to: StockStatus) -> Transition {
    Transition { from, to }
}

async fn search(stock: &Stock, filter: ProfileFilter, limit: i64) -> Vec<i64> {
    let found = stock.store.read(move |conn| profiles::search(conn, &filter, limit)).await.unwrap();
    found.profiles.into_iter().map(|profile| profile.id).collect()
}

on_both_databases! {
    async fn a_profile_comes_back_as_imported(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let new = NewProfile {
            sell_by: now() + days(30),
            msisdn: Some(Msisdn::parse("33612345678").unwrap()),
            eid: Some(Eid::parse(EID).unwrap()),
            sim: Some(seen(SimStatus::Preactivated)),
            stock: InitialStock::Quarantined(QuarantineReason::StatusNotSellable),
            form_factor: FormFactor::Psim,
            ..new_profile()
        };
        let profile = stock.add(vec![new.clone()]).await.remove(0);
        assert_eq!((&profile.iccid, profile.form_factor), (&new.iccid, FormFactor::Psim));
        assert_eq!(
            (profile.imported_as, profile.stock_status),
            (StockStatus::Quarantined, StockStatus::Quarantined)
        );
        assert_eq!(profile.quarantine_reason, Some(QuarantineReason::StatusNotSellable));
        assert_eq!((profile.sell_by, &profile.msisdn, &profile.eid), (new.sell_by, &new.msisdn, &new.eid));
        assert_eq!((&profile.sim, &profile.esim, profile.revealed_at), (&new.sim, &None, None));
        assert_eq!((profile.version, profile.tags.len(), &profile.note), (0, 0, &None));
        let wanted = new.iccid.clone();
        assert_eq!(stock.store.read(move |conn| profiles::find(conn, &wanted)).await.unwrap(), Some(profile));
        let unknown = iccid();
        assert_eq!(stock.store.read(move |conn| profiles::find(conn, &unknown)).await.unwrap(), None);
    }

    /// A 20-digit ICCID whose first 19 digits exist, or the reverse, is the same SIM.
    async fn the_twentieth_digit_does_not_make_another_sim(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let short = iccid();
        let long = Iccid::parse(&format!("{short}7")).unwrap();
        let added = stock.add(vec![NewProfile { iccid: short.clone(), ..new_profile() }]).await.remove(0);
        let wanted = long.clone();
        assert_eq!(
            stock.store.read(move |conn| profiles::find(conn, &wanted)).await.unwrap().unwrap().id,
            added.id
        );
        let batch = Batch { import: stock.import.id, batch_no: 1, pool_id: stock.pool.id, at: now() };
        let again = [NewProfile { iccid: long.clone(), ..new_profile() }, new_profile()];
        let inserted =
            stock.store.write(move |conn| profiles::insert_many(conn, batch, &again)).await.unwrap();
        assert_eq!(inserted.len(), 1, "the known SIM is left out, the other one is not");
        let keys = [long.key().to_owned(), iccid().key().to_owned()];
        let existing = stock.store.read(move |conn| {
            profiles::existing_keys(conn, &keys.iter().map(String::as_str).collect::<Vec<_>>())
        });
        assert_eq!(existing.await.unwrap(), [short.as_str()]);
    }

    async fn a_move_starts_where_it_was_read(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 1).await;
        let profile = added[0].clone();
        let moved = |profile: Profile, transition, reason| {
            let store = stock.store.clone();
            async move {
                store.write(move |conn| profiles::move_stock(conn, &profile, transition, reason, now())).await
            }
        };
        let aside = to(StockStatus::Available, StockStatus::Quarantined);
        let manual = Some(QuarantineReason::Manual);
        assert_eq!(moved(profile.clone(), aside, manual).await.unwrap(), 1);
        assert!(is_race(&moved(profile.clone(), aside, manual).await), "an old version");
        let current = stock.profile(profile.id).await;
        let wrong = to(StockStatus::Available, StockStatus::Retired);
        assert!(is_race(&moved(current.clone(), wrong, None).await), "another status");
        assert_eq!(stock.profile(profile.id).await, current);
        assert_eq!(current.quarantine_reason, manual);
        moved(current, to(StockStatus::Quarantined, StockStatus::Available), None).await.unwrap();
        let back = stock.profile(profile.id).await;
        assert_eq!(
            (back.stock_status, back.quarantine_reason, back.version),
            (StockStatus::Available, None, 2)
        );
        // The database refuses what the code should not have asked for.
        let bare = moved(back, to(StockStatus::Available, StockStatus::Quarantined), None).await.unwrap_err();
        assert!(matches!(bare, StoreError::Database(_)), "{bare}");
    }

    async fn of_two_moves_at_once_one_wins(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 1).await;
        let races: Vec<_> = (0..8)
            .map(|_| {
                let (store, profile) = (stock.store.clone(), added[0].clone());
                tokio::spawn(async move {
                    let aside = to(StockStatus::Available, StockStatus::Quarantined);
                    store
                        .write(move |conn| {
                            profiles::move_stock(conn, &profile, aside, Some(QuarantineReason::Manual), now())
                        })
                        .await
                })
            })
            .collect();
        let mut won = 0;
        for race in races {
            let result = race.await.unwrap();
            assert!(result.is_ok() || is_race(&result), "{result:?}");
            won += usize::from(result.is_ok());
        }
        assert_eq!(won, 1);
    }

    async fn what_is_learned_is_kept_with_its_source(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 1).await;
        let moment = now();
        let esim = Observation {
            status: EsimStatus::Enabled,
            observed_at: moment - days(1),
            dated_by_carrier: false,
            received_at: moment,
            source: Source::Read,
        };
        let learned = Learned {
            sim: Some(seen(SimStatus::Active)),
            esim: Some(esim),
            msisdn: Some(Msisdn::parse("33612345678").unwrap()),
            msisdn_at: Some(moment - days(1)),
            eid: Some(Eid::parse(EID).unwrap()),
            form_factor: None,
        };
        let (profile, facts) = (added[0].clone(), learned.clone());
        stock.store.write(move |conn| profiles::learn(conn, &profile, &facts, 4, now())).await.unwrap();
        let after = stock.profile(added[0].id).await;
        assert_eq!((after.version, &after.sim, after.esim.as_ref()), (4, &learned.sim, Some(&esim)));
        assert_eq!((&after.msisdn, &after.eid), (&learned.msisdn, &learned.eid));
        assert_eq!(after.msisdn_at, learned.msisdn_at);
        // What is not named stays; what was read too early is refused.
        let (current, plastic) =
            (after.clone(), Learned { form_factor: Some(FormFactor::Psim), ..Learned::default() });
        stock.store.write(move |conn| profiles::learn(conn, &current, &plastic, 1, now())).await.unwrap();
        let last = stock.profile(added[0].id).await;
        assert_eq!((last.form_factor, &last.sim, last.version), (FormFactor::Psim, &learned.sim, 5));
        let stale = stock.store.write(move |conn| profiles::learn(conn, &after, &learned, 1, now()));
        assert!(is_race(&stale.await));
    }

    async fn an_edit_changes_what_it_names(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 1).await;
        let other = make_pool(&stock.store, "other", 0).await;
        let edit = |profile: Profile, edit: ProfileEdit| {
            let store = stock.store.clone();
            async move { store.write(move |conn| profiles::edit(conn, &profile, &edit, now())).await }
        };
        let sell_by = now() + days(3);
        let first = ProfileEdit {
            pool_id: Some(other.id),
            tags: Some(vec!["a".to_owned(), "é\"".to_owned()]),
            note: Some(Some("fragile".to_owned())),
            sell_by: Some(sell_by),
        };
        assert_eq!(edit(added[0].clone(), first).await.unwrap(), 1);
        let edited = stock.profile(added[0].id).await;
        assert_eq!((edited.pool_id, &edited.tags[1][..], edited.sell_by), (other.id, "é\"", sell_by));
        let without = ProfileEdit { note: Some(None), ..ProfileEdit::default() };
        edit(edited.clone(), without.clone()).await.unwrap();
        let last = stock.profile(added[0].id).await;
        assert_eq!((&last.note, &last.tags, last.version), (&None, &edited.tags, 2));
        assert!(is_race(&edit(edited, without).await));
    }

    async fn a_reveal_keeps_the_first_moment(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 2).await;
        let first = now();
        let both = added.clone();
        stock.store.write(move |conn| profiles::reveal(conn, &both, first)).await.unwrap();
        let again = stock.profile(added[0].id).await;
        assert_eq!((again.revealed_at, again.version), (Some(first), 1));
        stock.store.write(move |conn| profiles::reveal(conn, &[again], first + days(1))).await.unwrap();
        let later = stock.profile(added[0].id).await;
        assert_eq!((later.revealed_at, later.version), (Some(first), 2));
        let stale = added.clone();
        assert!(is_race(&stock.store.write(move |conn| profiles::reveal(conn, &stale, now())).await));
        let bumped = stock.profile(added[1].id).await;
        assert_eq!(stock.store.write(move |conn| profiles::bump(conn, &bumped, now())).await.unwrap(), 2);
    }

    async fn search_filters_add_up(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let later = make_import(&stock.store, &stock.pool).await;
        let other_pool = make_pool(&stock.store, "other", 0).await;
        let numbered = NewProfile {
            msisdn: Some(Msisdn::parse("33612345678").unwrap()),
            eid: Some(Eid::parse(EID).unwrap()),
            sim: Some(seen(SimStatus::Active)),
            ..new_profile()
        };
        let aside =
            NewProfile { stock: InitialStock::Quarantined(QuarantineReason::Manual), ..new_profile() };
        let here = stock.add(vec![new_profile(), numbered, aside, new_profile()]).await;
        let there = add_profiles(&stock.store, &other_pool, &later, vec![new_profile()]).await.remove(0);
        let sold = stock.sell(1).await.unwrap();
        assert_eq!(sold, [here[0].id]);
        let all = ProfileFilter::default;
        let ids: Vec<i64> = here.iter().chain([&there]).map(|profile| profile.id).collect();
        assert_eq!(search(&stock, all(), 10).await, ids);
        for (filter, expected) in [
            (ProfileFilter { pool_id: Some(other_pool.id), ..all() }, vec![there.id]),
            (ProfileFilter { stock_status: Some(StockStatus::Quarantined), ..all() }, vec![here[2].id]),
            (ProfileFilter { sim_status: Some(SimStatus::Active), ..all() }, vec![here[1].id]),
            (ProfileFilter { esim_status: Some(EsimStatus::Enabled), ..all() }, vec![]),
            (ProfileFilter { batch: Some(later.id), ..all() }, vec![there.id]),
            (
                ProfileFilter {
                    pool_id: Some(stock.pool.id),
                    stock_status: Some(StockStatus::Available),
                    ..all()
                },
                vec![here[1].id, here[3].id],
            ),
        ] {
            assert_eq!(search(&stock, filter.clone(), 10).await, expected, "{filter:?}");
        }
        let reference = stock.db.raw().texts("SELECT reference AS value FROM orders").remove(0);
        let long = format!("{}5", here[3].iccid);
        for (text, expected) in [
            (here[3].iccid.to_string(), vec![here[3].id]),
            (long, vec![here[3].id]),
            (" 33612345678 ".to_owned(), vec![here[1].id]),
            ("+33612345678".to_owned(), vec![here[1].id]),
            (EID.to_owned(), vec![here[1].id]),
            (reference, vec![here[0].id]),
            ("8988".to_owned(), vec![]),
            ("%".to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            let filter = ProfileFilter { q: Some(text.clone()), ..all() };
            assert_eq!(search(&stock, filter, 10).await, expected, "{text:?}");
        }
    }

    async fn pages_follow_the_rows(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 7).await;
        let ids: Vec<i64> = added.iter().map(|profile| profile.id).collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let filter = ProfileFilter { after, pool_id: Some(stock.pool.id), ..ProfileFilter::default() };
            let page = search(&stock, filter, 3).await;
            if page.is_empty() {
                break;
            }
            // What is sold between two pages moves nothing: the cursor is the row.
            stock.sell(1).await.unwrap();
            after = page.last().copied();
            seen.extend(page);
        }
        assert_eq!(seen, ids);
        let chunk =
            stock.store.read(move |conn| verification::profiles_after(conn, ids[2], 2)).await.unwrap();
        assert_eq!(chunk.iter().map(|profile| profile.id).collect::<Vec<_>>(), [added[3].id, added[4].id]);
    }

    async fn a_recheck_is_taken_by_one_and_comes_again(db: TestDatabase) {
        let stock = Stock::empty(db).await;
        let waiting =
            NewProfile { stock: InitialStock::Quarantined(QuarantineReason::CodeMissing), ..new_profile() };
        let added = stock
            .add(vec![
                waiting.clone(),
                NewProfile { iccid: iccid(), ..waiting },
                new_profile(),
                NewProfile { stock: InitialStock::Quarantined(QuarantineReason::Manual), ..new_profile() },
            ])
            .await;
        let moment = now() + days(1);
        let due = stock.store.read(move |conn| profiles::any_recheck_due(conn, moment)).await.unwrap();
        assert!(due);
        let races: Vec<_> = (0..6)
            .map(|_| {
                let store = stock.store.clone();
                tokio::spawn(async move {
                    store
                        .write(move |conn| profiles::take_rechecks(conn, moment, moment + days(1), 10))
                        .await
                        .unwrap()
                })
            })
            .collect();
        let mut taken = Vec::new();
        for race in races {
            taken.extend(race.await.unwrap().into_iter().map(|profile| profile.id));
        }
        taken.sort_unstable();
        assert_eq!(taken, [added[0].id, added[1].id]);
        let due = |at| {
            let store = stock.store.clone();
            async move { store.read(move |conn| profiles::any_recheck_due(conn, at)).await.unwrap() }
        };
        assert!(!due(moment).await && due(moment + days(1)).await);
        // A profile that moves has no more business there.
        let profile = stock.profile(added[0].id).await;
        let release = to(StockStatus::Quarantined, StockStatus::Available);
        stock
            .store
            .write(move |conn| profiles::move_stock(conn, &profile, release, None, now()))
            .await
            .unwrap();
        let again = stock
            .store
            .write(move |conn| profiles::take_rechecks(conn, moment + days(1), moment + days(2), 10));
        assert_eq!(again.await.unwrap().iter().map(|profile| profile.id).collect::<Vec<_>>(), [added[1].id]);
    }

    async fn only_untouched_profiles_go_with_their_import(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 3).await;
        let other = make_import(&stock.store, &stock.pool).await;
        let kept = add_profiles(&stock.store, &stock.pool, &other, vec![new_profile()]).await.remove(0);
        let import = stock.import.id;
        let count = |import| {
            let store = stock.store.clone();
            async move { store.read(move |conn| profiles::untouched(conn, import)).await.unwrap() }
        };
        assert_eq!(count(import).await, (3, 3));
        stock.sell(1).await.unwrap();
        assert_eq!(count(import).await, (2, 3));
        let refused = stock.store.write(move |conn| profiles::delete_untouched(conn, import, 3, now()));
        assert!(is_race(&refused.await));
        assert_eq!(count(import).await, (2, 3));
        stock.store.write(move |conn| profiles::delete_untouched(conn, import, 2, now())).await.unwrap();
        assert_eq!(search(&stock, ProfileFilter::default(), 10).await, [added[0].id, kept.id]);
        let batch =
            stock.store.read(move |conn| verification::batch_after(conn, import, 0, 10)).await.unwrap();
        let first: Vec<_> = batch.into_iter().map(|first| (first.id, first.iccid, first.status)).collect();
        assert_eq!(first, [(added[0].id, added[0].iccid.to_string(), StockStatus::Available)]);
    }
}
