//! One command for many lines.

use reqwest::Method;
use serde_json::json;
use simdepot_tests::app::{AppOptions, text, unique};
use simdepot_tests::{TestApp, TestDatabase};

use crate::checked::assert_body;
use crate::{fields_of, keys};

const JOBS: &str = "/v1/line-jobs";

/// With a carrier that lets lines be managed: its switches are not for others.
async fn app() -> Option<TestApp> {
    let app = TestApp::in_process(TestDatabase::sqlite(), AppOptions::default()).await?;
    let switches =
        json!({"connectivity_open": true, "transaction_delay_ms": 20, "sim_search_lag_seconds": 0});
    app.twin().unwrap().patch("assumptions", &switches).await;
    Some(app)
}

async fn completed(app: &TestApp, path: &str) -> serde_json::Value {
    app.wait_until(path, |job| job["status"] == "completed").await
}

#[tokio::test]
async fn a_list_and_a_file_of_lines_are_told_something() {
    let Some(app) = app().await else { return };
    let lines = app.deliver(3).await;
    let iccids: Vec<&str> = lines.iter().map(|line| line.iccid.as_str()).collect();
    let body =
        json!({"operation": "activate", "iccids": iccids[..2], "body": {"external_reference": "truck"}});
    let ask = || app.post(JOBS, &body).header("idempotency-key", "fleet");
    let taken = ask().send().await.expect_status(202);
    let path = taken.header("location").unwrap().to_owned();
    keys::line_job(&taken.json());
    assert_eq!(path, format!("{JOBS}/{}", text(&taken.json(), "/id")));
    let done = completed(&app, &path).await;
    assert_body!(&app, "line_job", &done);
    let again = ask().send().await.expect_status(202);
    assert_eq!((again.header("idempotency-replayed"), &again.json()["id"]), (Some("true"), &done["id"]));
    // A line that is not in service is refused when its turn comes.
    let file = format!("\u{feff}Sim_Serial;operation\r\n{};Suspend\r\n{};\r\n", iccids[0], iccids[2]);
    let taken = app.ask(Method::POST, JOBS).body("text/csv", file).send().await.expect_status(202);
    let path = taken.header("location").unwrap().to_owned();
    let suspended = completed(&app, &path).await;
    assert_eq!(
        (&suspended["done"], &suspended["refused"], &suspended["operation"]),
        (&json!(1), &json!(1), &json!("suspend"))
    );
    let rows = app.get(&format!("{path}/rows.csv")).send().await.expect_status(200);
    assert_eq!(rows.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(rows.header("content-disposition").unwrap().starts_with("attachment"));
    let report = rows.text();
    let told: Vec<&str> = report.lines().collect();
    assert_eq!(told[0], "position,iccid,status,operation,code,detail");
    assert!(told[1].starts_with(&format!("1,{},done,op_", iccids[0])) && told[1].ends_with(",,"), "{report}");
    assert!(told[2].starts_with(&format!("2,{},refused,op_", iccids[2])), "{report}");
    assert!(told[2].contains(",invalid-transition,"), "{report}");
    let listed = app.get(&format!("{JOBS}?status=completed&limit=1")).send().await.expect_status(200).json();
    assert_eq!((&listed["data"][0]["id"], listed["next_cursor"].is_string()), (&suspended["id"], true));
    let next = format!("{JOBS}?status=completed&limit=1&cursor={}", text(&listed, "/next_cursor"));
    let rest = app.get(&next).send().await.expect_status(200).json();
    assert_eq!((&rest["data"][0]["id"], &rest["next_cursor"]), (&done["id"], &json!(null)));
    let form = format!(
        "--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"fleet.csv\"\r\n\r\n{}\r\n--xx--\r\n",
        iccids[1]
    );
    let query = format!("{JOBS}?operation=swap_msisdn");
    let taken = app.ask(Method::POST, &query).body("multipart/form-data; boundary=xx", form).send().await;
    let taken = taken.expect_status(202);
    assert_eq!(taken.json()["operation"], "swap-msisdn");
    assert_eq!(completed(&app, taken.header("location").unwrap()).await["done"], 1);
    app.finish().await;
}

#[tokio::test]
async fn a_job_is_paused_and_resumed() {
    let Some(app) = app().await else { return };
    let lines = app.deliver(1).await;
    let taken = app.post(JOBS, &json!({"operation": "activate", "iccids": [lines[0].iccid]})).send().await;
    let path = taken.expect_status(202).header("location").unwrap().to_owned();
    completed(&app, &path).await;
    for command in ["pause", "resume"] {
        let refused = app.ask(Method::POST, &format!("{path}/{command}")).send().await;
        let problem = refused.expect_problem(409, "invalid-transition");
        assert_eq!((&problem["from"], &problem["command"]), (&json!("completed"), &json!(command)));
    }
    // A line with an open operation keeps a job from its end: it is paused and resumed at leisure.
    app.twin().unwrap().patch("assumptions", &json!({"transaction_delay_ms": 60_000})).await;
    let suspend = format!("/v1/profiles/{}/line/suspend", lines[0].iccid);
    app.ask(Method::POST, &suspend).send().await.expect_status(202);
    let taken = app.post(JOBS, &json!({"operation": "reactivate", "iccids": [lines[0].iccid]})).send().await;
    let path = taken.expect_status(202).header("location").unwrap().to_owned();
    for (command, status) in
        [("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("resume", "running")]
    {
        let moved =
            app.ask(Method::POST, &format!("{path}/{command}")).send().await.expect_status(200).json();
        keys::line_job(&moved);
        assert_eq!((&moved["status"], &moved["queued"]), (&json!(status), &json!(1)));
    }
    let (_, other) = app.new_key(&unique("channel"), &["storefront", "lines"]).await;
    for get in [path.clone(), format!("{path}/rows.csv")] {
        app.get(&get).key(&other).send().await.expect_problem(404, "not-found");
    }
    app.ask(Method::POST, &format!("{path}/pause")).key(&other).send().await.expect_problem(404, "not-found");
    let listed = app.get(JOBS).key(&other).send().await.expect_status(200).json();
    assert_eq!(listed["data"], json!([]));
    app.get("/v1/line-jobs/job_01kamf2r8zfq0sh2v2z6p1d9sf").send().await.expect_problem(404, "not-found");
    app.finish().await;
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_done() {
    let Some(app) = app().await else { return };
    let lines = app.deliver(2).await;
    let iccids: Vec<&str> = lines.iter().map(|line| line.iccid.as_str()).collect();
    let body = json!({"operation": "terminate", "iccids": iccids, "dry_run": true});
    let seen = app.post(JOBS, &body).send().await.expect_status(200).json();
    assert_body!(&app, "line_job_preview", &seen);
    let query = format!("{JOBS}?operation=activate&dry_run=true");
    let file = iccids.join("\n");
    let seen = app.ask(Method::POST, &query).body("text/csv", file).send().await.expect_status(200).json();
    assert_eq!(
        (&seen["would_do"], &seen["would_refuse"], &seen["refusals"]),
        (&json!(2), &json!(0), &json!([]))
    );
    let listed = app.get(JOBS).send().await.expect_status(200).json();
    assert_eq!(listed["data"], json!([]));
    app.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_job_is_told() {
    let Some(app) = app().await else { return };
    let one = app.deliver(1).await.remove(0).iccid;
    let nobody = "8988247000000099990";
    for (body, fields) in [
        (json!({"operation": "explode", "iccids": [one]}), vec![("/operation", "unknown")]),
        (json!({"operation": "suspend"}), vec![("/iccids", "required")]),
        (json!({"operation": "suspend", "iccids": []}), vec![("/iccids", "length")]),
        (json!({"operation": "suspend", "iccids": [one, "12"]}), vec![("/iccids/1", "wrong-length")]),
        (
            json!({"operation": "suspend", "iccids": [one, one, nobody]}),
            vec![("/iccids/1", "duplicate"), ("/iccids/1", "unknown"), ("/iccids/2", "unknown")],
        ),
        (
            json!({"operation": "suspend", "iccids": [one], "body": {"group": "a"}}),
            vec![("/body/group", "unknown-field")],
        ),
        (json!({"operation": "swap-sim", "iccids": [one]}), vec![("/body/new_iccid", "required")]),
        (json!({"operation": "modify", "iccids": [one]}), vec![("/body", "required")]),
    ] {
        let problem = app.post(JOBS, &body).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), fields, "{body}");
    }
    for (query, file, field) in [
        ("", one.clone(), ("?operation", "required")),
        ("?operation=explode", one.clone(), ("?operation", "unknown")),
        ("?operation=suspend&colour=red", one.clone(), ("?colour", "unknown-field")),
        ("?operation=suspend", format!("iccid;colour\n{one};red\n"), ("/lines/1", "unknown-column")),
        ("?operation=suspend", format!("{one}\n{nobody}\n"), ("/lines/2/iccid", "unknown")),
        ("?operation=suspend", String::new(), ("", "length")),
    ] {
        let refused = app.ask(Method::POST, &format!("{JOBS}{query}")).body("text/csv", file).send().await;
        assert_eq!(fields_of(&refused.expect_problem(422, "validation-failed")), [field], "{query}");
    }
    let list = json!({"operation": "suspend", "iccids": [one]});
    let problem = app.post(&format!("{JOBS}?operation=suspend"), &list).send().await;
    assert_eq!(fields_of(&problem.expect_problem(422, "validation-failed")), [("?operation", "unexpected")]);
    let terminate = app.post(JOBS, &json!({"operation": "terminate", "iccids": [one]})).send().await;
    terminate.expect_problem(422, "confirmation-required");
    let query = format!("{JOBS}?operation=terminate");
    let terminate = app.ask(Method::POST, &query).body("text/csv", one.clone()).send().await;
    terminate.expect_problem(422, "confirmation-required");
    let plain = app.ask(Method::POST, &query).body("text/plain", one.clone()).send().await;
    plain.expect_problem(415, "unsupported-media-type");
    let (_, storefront) = app.new_key(&unique("channel"), &["storefront"]).await;
    app.post(JOBS, &list).key(&storefront).send().await.expect_problem(403, "forbidden");
    let listed = app.get(JOBS).send().await.expect_status(200).json();
    assert_eq!(listed["data"], json!([]), "nothing was made");
    app.finish().await;
}
