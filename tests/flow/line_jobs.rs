//! Line jobs: every line of one has its result, once, whatever comes in between.

use std::time::Duration;

use chrono::TimeDelta;
use simdepot_application::idempotency::IdempotencyKey;
use simdepot_application::line_jobs::{self, AskedRow, JobRequest, Origin};
use simdepot_application::line_operations;
use simdepot_application::operations::{Verdict, decide_by_hand};
use simdepot_application::{AppError, Depot, housekeeping};
use simdepot_carrier_twin::requests::WriteCount;
use simdepot_carrier_twin::{CallName, Fault, LineOperation, LineSpec, Script};
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::{LineCommand, LineSetup};
use simdepot_domain::line_job::{LineJobCounts, LineJobOperation, LineJobRowStatus, LineJobStatus};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::events;
use simdepot_persistence::line_jobs::{LineJob, LineJobRow};
use simdepot_tests::depot::{stock_keeper, storefront};
use simdepot_tests::lines::{LineDepot, setup};
use simdepot_tests::on_both_databases;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

/// A job that tells these SIMs one command.
fn job_of(command: LineCommand, sims: &[&Iccid]) -> JobRequest {
    let rows = (0u64..).zip(sims).map(|(at, iccid)| AskedRow { at, iccid: (*iccid).clone(), request: 0 });
    JobRequest {
        operation: LineJobOperation::of(command.action()).unwrap(),
        origin: Origin::List,
        rows: rows.collect(),
        requests: vec![setup(command)],
        confirmed: true,
    }
}

fn job(command: LineCommand, lines: &[LineSpec]) -> JobRequest {
    job_of(command, &lines.iter().map(|line| &line.iccid).collect::<Vec<_>>())
}

async fn take(test: &LineDepot, asked: JobRequest) -> LineJob {
    line_jobs::create(&test.depot, &stock_keeper("default"), asked, None).await.unwrap().0
}

async fn read(test: &LineDepot, job: &LineJob) -> LineJob {
    line_jobs::get(&test.depot, &stock_keeper("default"), job.id).await.unwrap()
}

async fn rows(test: &LineDepot, job: &LineJob) -> Vec<LineJobRow> {
    line_jobs::rows(&test.depot, &stock_keeper("default"), job.id, 0, 1_000).await.unwrap()
}

/// What the workers of a process do, once.
async fn work(depot: &Depot) {
    housekeeping::step(depot).await.unwrap();
    while line_jobs::step(depot).await.unwrap() {}
    while line_operations::step(depot).await.unwrap() {}
    while line_operations::follow_step(depot).await.unwrap() {}
}

/// Works until a job stands as wanted.
async fn drive(test: &LineDepot, job: &LineJob, wanted: impl Fn(&LineJob) -> bool) -> LineJob {
    let deadline = Instant::now() + PATIENCE;
    loop {
        work(&test.depot).await;
        let job = read(test, job).await;
        if wanted(&job) {
            return job;
        }
        assert!(Instant::now() < deadline, "still {job:#?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

async fn complete(test: &LineDepot, job: &LineJob) -> LineJob {
    drive(test, job, |job| job.status == LineJobStatus::Completed).await
}

fn codes(rows: &[LineJobRow]) -> Vec<(LineJobRowStatus, String)> {
    let code = |row: &LineJobRow| {
        let code = row.problem.as_ref().and_then(|problem| problem["code"].as_str());
        code.unwrap_or_default().to_owned()
    };
    rows.iter().map(|row| (row.status, code(row))).collect()
}

async fn story(test: &LineDepot, job: &LineJob) -> Vec<Fact> {
    let id = job.id.to_string();
    let read = test.depot.store.read(move |conn| events::of_subject(conn, SubjectKind::LineJob, &id));
    read.await.unwrap().into_iter().map(|event| event.fact).collect()
}

/// How often the twin got an activation of each line, and did it.
fn activations(test: &LineDepot, lines: &[LineSpec]) -> Vec<(u64, u64)> {
    let twin = test.twin.twin();
    let of = |line: &LineSpec| {
        let WriteCount { arrived, done, .. } = twin.line_writes(line.iccid.as_str(), LineOperation::Activate);
        (arrived, done)
    };
    lines.iter().map(of).collect()
}

fn errors(error: AppError) -> Vec<(String, &'static str)> {
    match error {
        AppError::Invalid(errors) => errors.into_iter().map(|error| (error.pointer, error.code)).collect(),
        other => panic!("{other:?}"),
    }
}

fn activate() -> LineCommand {
    LineCommand::Activate(LineSetup::default())
}

on_both_databases! {
    async fn every_line_has_its_result(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let lines = test.deliver(5).await;
        let grouped = LineSetup { external_reference: Some("truck".to_owned()), ..LineSetup::default() };
        let taken = take(&test, job(LineCommand::Activate(grouped), &lines[..4])).await;
        assert_eq!((taken.counts.queued(), taken.status), (4, LineJobStatus::Running));
        let done = complete(&test, &taken).await;
        assert_eq!(done.counts, LineJobCounts { total: 4, done: 4, ..LineJobCounts::default() });
        assert!(done.finished_at.is_some());
        assert_eq!(activations(&test, &lines), [(1, 1), (1, 1), (1, 1), (1, 1), (0, 0)]);
        assert_eq!(test.line(&lines[0].iccid).await.external_reference.as_deref(), Some("truck"));
        let completed = Fact::LineJobStatusChanged { from: LineJobStatus::Running, to: LineJobStatus::Completed };
        let created = Fact::LineJobCreated { operation: "activate".to_owned(), rows: 4 };
        assert_eq!(story(&test, &done).await, [created, completed]);
        for row in rows(&test, &done).await {
            assert_eq!(test.operation(row.operation.unwrap()).await.status, OperationStatus::Done);
        }
        // One of them is not in service: the worker that reads the line refuses it.
        let suspended = take(&test, job(LineCommand::Suspend, &lines)).await;
        let done = complete(&test, &suspended).await;
        assert_eq!((done.counts.done, done.counts.refused), (4, 1));
        let last = rows(&test, &done).await.pop().unwrap();
        assert_eq!((last.iccid, last.status), (lines[4].iccid.clone(), LineJobRowStatus::Refused));
        assert_eq!(last.problem.unwrap()["code"], "invalid-transition");
        test.finish().await;
    }

    async fn a_job_with_a_wrong_line_is_refused_as_a_whole(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let lines = test.deliver(2).await;
        let nobody = Iccid::parse("8988247000000099990").unwrap();
        let longer = Iccid::parse(&format!("{}0", &lines[0].iccid.as_str()[..19])).unwrap();
        let create = |by: &str, asked: JobRequest| {
            let (depot, by) = (test.depot.clone(), if by == "all" { stock_keeper("default") } else { storefront(by) });
            async move { line_jobs::create(&depot, &by, asked, None).await }
        };
        let [one, two] = [&lines[0].iccid, &lines[1].iccid];
        let wrong = create("all", job_of(LineCommand::Suspend, &[one, &nobody, &longer])).await.unwrap_err();
        assert_eq!(errors(wrong), [("/iccids/2".to_owned(), "duplicate"), ("/iccids/1".to_owned(), "unknown"), ("/iccids/2".to_owned(), "unknown")]);
        let hidden = create("default", job_of(LineCommand::Suspend, &[one])).await.unwrap_err();
        assert_eq!(errors(hidden), [("/iccids/0".to_owned(), "unknown")], "it was not sold to the channel");
        let none = create("all", job_of(LineCommand::Suspend, &[])).await.unwrap_err();
        assert_eq!(errors(none), [("/iccids".to_owned(), "length")]);
        let many = job_of(LineCommand::Suspend, &vec![one; 300]);
        assert_eq!(errors(create("all", many).await.unwrap_err()).len(), 100);
        let same = job_of(LineCommand::SwapSim { new_iccid: nobody.clone() }, &[one, two]);
        assert_eq!(errors(create("all", same).await.unwrap_err())[0], ("/body/new_iccid".to_owned(), "duplicate"));
        let absent = LineSetup::default();
        let mut unknown = job_of(LineCommand::Modify(absent), &[one]);
        unknown.requests[0].service_profile = Some("nobody's".to_owned());
        assert_eq!(errors(create("all", unknown).await.unwrap_err())[0].0, "/body/service_profile");
        let unsure = JobRequest { confirmed: false, ..job_of(LineCommand::Terminate, &[one]) };
        assert!(matches!(create("all", unsure).await, Err(AppError::ConfirmationRequired { .. })));
        assert_eq!(test.db.raw().number("SELECT COUNT(*) AS value FROM line_jobs"), 0);
        assert_eq!(test.db.raw().number("SELECT COUNT(*) AS value FROM line_job_rows"), 0);
        test.finish().await;
    }

    async fn a_window_of_a_large_job_is_open_at_a_time(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let lines = test.deliver(600).await;
        let taken = take(&test, job(activate(), &lines)).await;
        while line_jobs::step(&test.depot).await.unwrap() {}
        let open = read(&test, &taken).await;
        assert_eq!((open.counts.running, open.counts.queued()), (512, 88));
        assert_eq!(test.operations(Some(OperationStatus::Pending)).await.len(), 512);
        let (caller, id) = (stock_keeper("default"), taken.id);
        let paused = line_jobs::pause(&test.depot, &caller, id, None).await.unwrap().0;
        assert_eq!(paused.status, LineJobStatus::Paused);
        // What is under way ends; no further line is told.
        let rest = drive(&test, &taken, |job| job.counts.running == 0).await;
        assert_eq!((rest.counts.done, rest.counts.queued(), rest.status), (512, 88, LineJobStatus::Paused));
        line_jobs::resume(&test.depot, &caller, id, None).await.unwrap();
        let done = complete(&test, &taken).await;
        assert_eq!(done.counts.done, 600);
        assert!(activations(&test, &lines).iter().all(|count| *count == (1, 1)));
        test.finish().await;
    }

    async fn several_workers_tell_each_line_once(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let lines = test.deliver(40).await;
        let jobs = [take(&test, job(activate(), &lines[..25])).await, take(&test, job(activate(), &lines[20..])).await];
        let others = [test.restarted(), test.restarted()];
        let deadline = Instant::now() + PATIENCE;
        loop {
            tokio::join!(work(&test.depot), work(&others[0]), work(&others[1]));
            let [one, two] = [read(&test, &jobs[0]).await, read(&test, &jobs[1]).await];
            if one.status == LineJobStatus::Completed && two.status == LineJobStatus::Completed {
                // Of a line that is in both, the second is refused once the first is done.
                assert_eq!(one.counts.done + two.counts.done, 40, "{one:#?} {two:#?}");
                assert_eq!(one.counts.refused + two.counts.refused, 5);
                break;
            }
            assert!(Instant::now() < deadline, "{one:#?} {two:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(activations(&test, &lines).iter().all(|count| *count == (1, 1)));
        test.finish().await;
    }

    /// The worker died under its lease: the next one goes on when that has run out, and repeats nothing.
    async fn a_dead_worker_is_followed(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let lines = test.deliver(3).await;
        let taken = take(&test, job(activate(), &lines)).await;
        assert!(line_jobs::step(&test.depot).await.unwrap());
        assert_eq!(read(&test, &taken).await.counts.running, 3);
        let (id, token) = (taken.id, test.depot.ids.uuid());
        let died = test.depot.store.write(move |conn| {
            let now = conn.now()?;
            simdepot_persistence::line_jobs::lease(conn, id, token, now, now + TimeDelta::milliseconds(700))
        });
        assert!(died.await.unwrap());
        assert!(!line_jobs::step(&test.depot).await.unwrap(), "the dead one has it still");
        assert_eq!(complete(&test, &taken).await.counts.done, 3);
        assert!(activations(&test, &lines).iter().all(|count| *count == (1, 1)));
        test.finish().await;
    }

    async fn a_busy_line_keeps_nobody_from_his_turn(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let lines = test.deliver(3).await;
        let busy = test.command(&lines[0], activate()).await.unwrap();
        let taken = take(&test, job(LineCommand::Activate(LineSetup::default()), &lines)).await;
        while line_jobs::step(&test.depot).await.unwrap() {}
        let open = read(&test, &taken).await;
        assert_eq!((open.counts.running, open.counts.queued()), (2, 1));
        assert_eq!(rows(&test, &taken).await[0].status, LineJobRowStatus::Queued);
        test.settle(busy).await;
        let done = complete(&test, &taken).await;
        assert_eq!((done.counts.done, done.counts.refused), (2, 1), "it is in service already");
        test.finish().await;
    }

    async fn what_the_stock_does_not_let_go_is_refused_without_an_operation(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let (first, second) = (test.active().await, test.active().await);
        let spare = test.spare().await;
        let taken_over = |new: &LineSpec| setup(LineCommand::SwapSim { new_iccid: new.iccid.clone() });
        let asked = JobRequest {
            requests: vec![taken_over(&spare), taken_over(&first)],
            rows: vec![
                AskedRow { at: 0, iccid: first.iccid.clone(), request: 0 },
                AskedRow { at: 1, iccid: second.iccid.clone(), request: 1 },
            ],
            ..job(LineCommand::SwapSim { new_iccid: spare.iccid.clone() }, &[])
        };
        let seen = line_jobs::preview(&test.depot, &stock_keeper("default"), asked.clone()).await.unwrap();
        assert_eq!((seen.total, seen.would_do, seen.would_refuse), (2, 1, 1));
        assert_eq!((seen.refusals[0].pointer.as_str(), seen.refusals[0].code.as_str()), ("/iccids/1", "not_available"));
        assert_eq!(test.db.raw().number("SELECT COUNT(*) AS value FROM line_jobs"), 0);
        let taken = take(&test, asked).await;
        let done = complete(&test, &taken).await;
        assert_eq!((done.counts.done, done.counts.refused), (1, 1));
        let rows = rows(&test, &done).await;
        assert_eq!(codes(&rows)[1], (LineJobRowStatus::Refused, "not_available".to_owned()));
        assert!(rows[0].operation.is_some() && rows[1].operation.is_none());
        test.finish().await;
    }

    async fn a_preview_goes_by_what_is_known(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let active = test.active().await;
        let fresh = test.deliver(1).await.remove(0);
        assert_eq!(test.profile(&fresh.iccid).await.sim.unwrap().status, SimStatus::Preactivated);
        let asked = job(LineCommand::Terminate, &[active, fresh.clone()]);
        let asked = JobRequest { confirmed: false, ..asked };
        let seen = line_jobs::preview(&test.depot, &stock_keeper("default"), asked).await.unwrap();
        assert_eq!((seen.would_do, seen.would_refuse), (1, 1));
        let refusal = &seen.refusals[0];
        assert_eq!((&refusal.iccid, refusal.code.as_str()), (&fresh.iccid, "invalid-transition"));
        assert!(refusal.detail.contains("terminate-in-service"), "{}", refusal.detail);
        test.finish().await;
    }

    async fn a_decision_of_a_person_corrects_a_completed_job(db: TestDatabase) {
        let mut test = LineDepot::start_with(db, Duration::from_millis(400)).await;
        test.pace(|pace| pace.line_settle = TimeDelta::milliseconds(300));
        let line = test.active().await;
        test.twin.twin().add_script(Script::once(CallName::LineWrite, Fault::DropBeforeApply));
        let taken = take(&test, job(LineCommand::SwapMsisdn, std::slice::from_ref(&line))).await;
        let left = complete(&test, &taken).await;
        assert_eq!((left.counts.needs_attention, left.counts.done), (1, 0));
        let row = rows(&test, &left).await.remove(0);
        assert_eq!(codes(std::slice::from_ref(&row)), [(LineJobRowStatus::NeedsAttention, "not_repeatable".to_owned())]);
        let (by, reason) = (stock_keeper("default"), "the portal shows the old number".to_owned());
        decide_by_hand(&test.depot, &by, row.operation.unwrap(), Verdict::Refused, reason, None).await.unwrap();
        // It is looked at seldom.
        test.db.raw().execute("UPDATE line_jobs SET run_at = created_at");
        let corrected = drive(&test, &taken, |job| job.counts.needs_attention == 0).await;
        assert_eq!((corrected.counts.refused, corrected.status), (1, LineJobStatus::Completed));
        assert_eq!(corrected.version, left.version, "that is the operation's event");
        while line_jobs::step(&test.depot).await.unwrap() {}
        test.finish().await;
    }

    async fn pausing_and_resuming_are_repeatable(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let lines = test.deliver(2).await;
        let caller = stock_keeper("default");
        let key = |key: &str| IdempotencyKey { key: key.to_owned(), request: "POST".to_owned(), body_hash: vec![1] };
        let asked = job(activate(), &lines);
        let first = line_jobs::create(&test.depot, &caller, asked.clone(), Some(&key("make"))).await.unwrap();
        let again = line_jobs::create(&test.depot, &caller, asked, Some(&key("make"))).await.unwrap();
        assert_eq!((first.1, again.1, first.0.id), (false, true, again.0.id));
        let id = first.0.id;
        for replayed in [false, true] {
            let (job, was) = line_jobs::pause(&test.depot, &caller, id, Some(&key("pause"))).await.unwrap();
            assert_eq!((job.status, was), (LineJobStatus::Paused, replayed));
        }
        assert_eq!(line_jobs::pause(&test.depot, &caller, id, None).await.unwrap().0.version, 2);
        assert!(!line_jobs::step(&test.depot).await.unwrap(), "nothing is told");
        for _ in 0..2 {
            let (job, _) = line_jobs::resume(&test.depot, &caller, id, None).await.unwrap();
            assert_eq!((job.status, job.version), (LineJobStatus::Running, 3));
        }
        let done = complete(&test, &first.0).await;
        let refused = line_jobs::pause(&test.depot, &caller, id, None).await.unwrap_err();
        assert!(matches!(&refused, AppError::InvalidTransition { from, command, .. } if from == "completed" && command == "pause"), "{refused:?}");
        assert!(matches!(line_jobs::resume(&test.depot, &caller, id, None).await, Err(AppError::InvalidTransition { .. })));
        // It works lines of the whole stock, which a storefront does not see.
        for by in [storefront("default"), storefront("other")] {
            assert!(line_jobs::get(&test.depot, &by, id).await.is_err());
            assert!(line_jobs::rows(&test.depot, &by, id, 0, 10).await.is_err());
        }
        assert_eq!(done.counts.done, 2);
        test.finish().await;
    }

    /// A profile that was taken back from the channel is not the channel's to command any more.
    async fn what_is_taken_back_is_not_told(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        test.deliver(2).await;
        let sold = test.order("ref-1", 2).await.unwrap();
        let sims: Vec<Iccid> =
            simdepot_tests::depot::profiles_of(&sold.order).into_iter().map(|profile| profile.iccid).collect();
        let by = storefront("default");
        let asked = job_of(activate(), &sims.iter().collect::<Vec<_>>());
        let (taken, _) = line_jobs::create(&test.depot, &by, asked, None).await.unwrap();
        assert!(!taken.all_stock);
        test.db.raw().execute("UPDATE line_jobs SET channel = 'other'");
        let done = complete(&test, &taken).await;
        assert_eq!(done.counts.refused, 2);
        assert_eq!(codes(&rows(&test, &done).await)[0].1, "not-found");
        assert!(test.operations(None).await.is_empty());
        test.finish().await;
    }
}
