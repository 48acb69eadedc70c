//! Line jobs and their rows.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use simdepot_domain::id::{LineJobId, OperationId};
use simdepot_domain::line::LineCommand;
use simdepot_domain::line_job::{LineJobCounts, LineJobOperation, LineJobRowStatus, LineJobStatus};
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_persistence::line_jobs::{self, LineJob, NewLineJob, NewLineJobRow};
use simdepot_persistence::operations::{self, NewOperation};
use simdepot_persistence::profiles::Profile;
use simdepot_persistence::{Store, StoreError};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, channel, is_race, is_unique, new_operation, now, uuid};

/// A job of these lines for the channel `shop`.
async fn insert(store: &Store, lines: &[&Profile], at: DateTime<Utc>) -> Result<LineJobId, StoreError> {
    let id = LineJobId(uuid());
    let new =
        NewLineJob { id, channel: channel("shop"), all_stock: false, operation: LineJobOperation::Suspend };
    let command = Arc::new(serde_json::to_value(LineCommand::Suspend).unwrap());
    let rows: Vec<_> = lines
        .iter()
        .map(|line| NewLineJobRow { iccid: line.iccid.clone(), command: Arc::clone(&command) })
        .collect();
    store.write(move |conn| line_jobs::insert(conn, &new, &rows, at)).await.map(|()| id)
}

async fn find(store: &Store, id: LineJobId) -> LineJob {
    store.read(move |conn| line_jobs::find(conn, id)).await.unwrap().unwrap()
}

async fn due(store: &Store, at: DateTime<Utc>) -> Vec<LineJobId> {
    let due = store.read(move |conn| line_jobs::due(conn, at, 10)).await.unwrap();
    due.into_iter().map(|job| job.id).collect()
}

fn command_to(profile: &Profile) -> NewOperation {
    NewOperation {
        request: OperationRequest::Line { command: LineCommand::Suspend },
        ..new_operation(profile)
    }
}

on_both_databases! {
    async fn a_job_comes_back_with_its_rows_in_their_order(db: TestDatabase) {
        let (stock, lines) = Stock::of(db, 3).await;
        let moment = now();
        let id = insert(&stock.store, &[&lines[2], &lines[0], &lines[1]], moment).await.unwrap();
        let job = find(&stock.store, id).await;
        let counts = LineJobCounts { total: 3, ..LineJobCounts::default() };
        assert_eq!((job.counts, job.status, job.version, job.created_at), (counts, LineJobStatus::Running, 1, moment));
        assert_eq!((job.channel, job.all_stock, job.operation), (channel("shop"), false, LineJobOperation::Suspend));
        let rows = stock.store.read(move |conn| line_jobs::rows(conn, id, 0, 10)).await.unwrap();
        let places: Vec<_> = rows.iter().map(|row| (row.position, row.iccid.clone(), row.status)).collect();
        let at = |position, line: &Profile| (position, line.iccid.clone(), LineJobRowStatus::Queued);
        assert_eq!(places, [at(1, &lines[2]), at(2, &lines[0]), at(3, &lines[1])]);
        let queued = stock.store.read(move |conn| line_jobs::queued_after(conn, id, 1, 1)).await.unwrap();
        assert_eq!((queued.len(), queued[0].position, &queued[0].command), (1, 2, &LineCommand::Suspend));
        assert!(is_unique(&insert(&stock.store, &[&lines[0], &lines[0]], moment).await));
        let second = insert(&stock.store, &[&lines[0]], moment).await.unwrap();
        for (of, status, before, expected) in [
            (None, None, None, vec![second, id]),
            (Some("shop"), Some(LineJobStatus::Running), None, vec![second, id]),
            (Some("shop"), None, Some(second), vec![id]),
            (Some("other"), None, None, vec![]),
            (None, Some(LineJobStatus::Completed), None, vec![]),
        ] {
            let of = of.map(channel);
            let list = stock.store.read(move |conn| line_jobs::list(conn, of.as_ref(), status, before, 10));
            let found: Vec<_> = list.await.unwrap().into_iter().map(|job| job.id).collect();
            assert_eq!(found, expected, "{status:?}");
        }
    }

    async fn one_worker_has_a_job_at_a_time(db: TestDatabase) {
        let (stock, lines) = Stock::of(db, 1).await;
        let store = &stock.store;
        let (moment, minute) = (now(), TimeDelta::minutes(1));
        let id = insert(store, &[&lines[0]], moment).await.unwrap();
        assert_eq!(due(store, moment - minute).await, []);
        assert_eq!(due(store, moment).await, [id]);
        let (first, second) = (uuid(), uuid());
        let lease = |token, at| store.write(move |conn| line_jobs::lease(conn, id, token, at, at + minute));
        assert!(lease(first, moment).await.unwrap());
        assert!(!lease(second, moment).await.unwrap());
        assert_eq!(due(store, moment).await, []);
        let job = store.read(move |conn| line_jobs::leased(conn, id, first)).await.unwrap();
        assert!(is_race(&store.read(move |conn| line_jobs::leased(conn, id, second)).await));
        let counts = job.counts.after(LineJobRowStatus::Queued, LineJobRowStatus::Refused);
        let progress = |token, job: LineJob| {
            store.write(move |conn| line_jobs::progress(conn, &job, token, &counts, 1, moment))
        };
        assert!(is_race(&progress(second, job.clone()).await), "another's lease");
        progress(first, job.clone()).await.unwrap();
        // What a pause changed counts at once.
        let paused = job.clone();
        let version = store.write(move |conn| line_jobs::move_to(conn, &paused, LineJobStatus::Paused, moment)).await;
        assert_eq!(version.unwrap(), 2);
        assert!(is_race(&progress(first, job.clone()).await), "it was paused since");
        let resumed = find(store, id).await;
        assert_eq!((resumed.counts.refused, resumed.passed), (1, 1));
        store.write(move |conn| line_jobs::move_to(conn, &resumed, LineJobStatus::Running, moment)).await.unwrap();
        // Who gives it back with an old view does not put it off.
        store.write(move |conn| line_jobs::release(conn, &job, first, moment, moment + minute)).await.unwrap();
        assert_eq!(due(store, moment).await, [id]);
        assert!(lease(second, moment).await.unwrap());
        assert!(lease(first, moment + minute).await.unwrap(), "a lease runs out");
        let job = find(store, id).await;
        store.write(move |conn| line_jobs::release(conn, &job, first, moment, moment + minute)).await.unwrap();
        assert_eq!((due(store, moment).await, due(store, moment + minute).await), (vec![], vec![id]));
    }

    async fn a_row_follows_its_operation(db: TestDatabase) {
        let (stock, lines) = Stock::of(db, 2).await;
        let store = &stock.store;
        let moment = now();
        let id = insert(store, &[&lines[0], &lines[1]], moment).await.unwrap();
        let new: Vec<NewOperation> = lines.iter().map(command_to).collect();
        let ids: Vec<OperationId> = new.iter().map(|operation| operation.id).collect();
        let (one, two) = (ids[0], ids[1]);
        store.write(move |conn| operations::insert_many(conn, &new, moment)).await.unwrap();
        let start = |position, operation| {
            store.write(move |conn| line_jobs::start_row(conn, id, position, operation))
        };
        start(1, one).await.unwrap();
        assert!(is_race(&start(1, two).await), "it is not queued any more");
        assert!(is_unique(&start(2, one).await), "an operation carries out one row");
        start(2, two).await.unwrap();
        let ended = |corrections| store.read(move |conn| line_jobs::ended(conn, id, corrections, 10));
        assert_eq!(ended(true).await.unwrap(), []);
        let profiles = [lines[0].id, lines[1].id];
        let set = |line: usize, status: &str| {
            let profile = profiles[line];
            let sql = format!("UPDATE operations SET status = '{status}' WHERE profile_id = {profile}");
            stock.db.raw().execute(&sql);
        };
        set(0, "done");
        set(1, "needs_attention");
        let found = ended(false).await.unwrap();
        let outcomes: Vec<_> = found.iter().map(|row| (row.position, row.status, row.outcome)).collect();
        let running = LineJobRowStatus::Running;
        assert_eq!(outcomes, [(1, running, OperationStatus::Done), (2, running, OperationStatus::NeedsAttention)]);
        let end = |position, from, to, problem: Option<serde_json::Value>| {
            store.write(move |conn| line_jobs::end_rows(conn, id, &[position], (from, to), problem.as_ref()))
        };
        end(1, running, LineJobRowStatus::Done, None).await.unwrap();
        assert!(is_race(&end(1, running, LineJobRowStatus::Done, None).await));
        let attention = LineJobRowStatus::NeedsAttention;
        end(2, running, attention, Some(json!({ "code": "undecided" }))).await.unwrap();
        assert_eq!(ended(true).await.unwrap(), []);
        set(1, "refused");
        assert_eq!(ended(false).await.unwrap(), []);
        let corrected = ended(true).await.unwrap();
        assert_eq!((corrected.len(), corrected[0].status, corrected[0].outcome), (1, attention, OperationStatus::Refused));
        let rows = store.read(move |conn| line_jobs::rows(conn, id, 1, 10)).await.unwrap();
        assert_eq!((rows[0].operation, rows[0].problem.clone()), (Some(two), Some(json!({ "code": "undecided" }))));
    }
}
