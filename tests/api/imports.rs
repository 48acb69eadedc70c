//! Imports: whole or not at all, once, with a report, and back again.

use serde_json::json;
use simdepot_tests::app::{delivery_file, text, unique};
use simdepot_tests::{TestApp, on_both_databases};

use crate::checked::assert_body;
use crate::{fields_of, keys, order};

on_both_databases! {
    async fn a_file_is_imported_once(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let file = delivery_file(&app.new_lines(3).await);
        let answer = app.import(file.clone()).send().await.expect_status(201);
        let done = answer.json();
        keys::import(&done);
        let path = format!("/v1/imports/{}", text(&done, "/id"));
        assert_eq!(answer.header("location"), Some(path.as_str()));
        assert_body!(&app, "import", &done);
        assert_eq!(app.get(&path).send().await.expect_status(200).json(), done);
        let again = app.import(file.clone()).send().await.expect_status(200);
        assert_eq!((again.json(), again.header("location")), (done, Some(path.as_str())));
        // Elsewhere its profiles are duplicates, and nothing is overwritten.
        let elsewhere = app.new_pool(json!({})).await;
        let ask = app.ask(reqwest::Method::POST, &format!("/v1/imports?pool={elsewhere}"));
        let other = ask.body("text/csv", file).send().await.expect_status(201).json();
        assert_eq!((&other["accepted"], &other["duplicates"]), (&json!(0), &json!(3)), "{other:#}");
        let stock = app.get(&format!("/v1/pools/{}/stock", app.pool)).send().await.json();
        assert_eq!(stock["counts"]["available"], 3);
        app.finish().await;
    }

    async fn one_bad_row_keeps_the_file_out(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.new_lines(3).await;
        let bad = lines[1].row().replace(&lines[1].iccid, "8988");
        let file = delivery_file(&lines).replace(&lines[1].row(), &bad);
        let failed = app.import(file.clone()).send().await.expect_status(201);
        assert!(lines.iter().all(|line| !failed.text().contains(line.matching_id())));
        assert_body!(&app, "failed_import", &failed.json());
        let empty = app.get(&format!("/v1/pools/{}/stock", app.pool)).send().await.json();
        assert_eq!(empty["counts"]["available"], 0, "nothing half imported");
        let rows = app.get(&format!("/v1/imports/{}/rows.csv", text(&failed.json(), "/id"))).send().await;
        assert_eq!(rows.clone().expect_status(200).header("content-type"), Some("text/csv; charset=utf-8"));
        assert!(rows.header("content-disposition").unwrap().starts_with("attachment"));
        let expected = "line,result,column,code,reason,iccid\n\
            3,rejected,ICCID,wrong-length,ICCID has 4 characters; expected 19 or 20 digits,\n";
        assert_eq!(rows.text(), expected);
        // The others come in when told so.
        let skipped = app.import_with("&on_error=skip", file).send().await.expect_status(201).json();
        assert_eq!(
            (&skipped["status"], &skipped["accepted"], &skipped["rejected"]),
            (&json!("completed"), &json!(2), &json!(1))
        );
        app.finish().await;
    }

    async fn an_untouched_import_is_undone(db: TestDatabase) {
        let app = TestApp::start_on(db).await;
        let lines = app.new_lines(2).await;
        let file = delivery_file(&lines);
        let done = app.import(file.clone()).send().await.expect_status(201).json();
        let undo = |import: &str| app.ask(reqwest::Method::POST, &format!("/v1/imports/{import}/undo"));
        let undone = undo(&text(&done, "/id")).send().await.expect_status(200).json();
        assert_eq!((&undone["status"], &undone["id"]), (&json!("undone"), &done["id"]));
        app.get(&format!("/v1/profiles/{}", lines[0].iccid)).send().await.expect_problem(404, "not-found");
        undo(&text(&done, "/id")).send().await.expect_problem(409, "invalid-transition");
        let again = app.import(file).send().await.expect_status(201).json();
        assert_ne!(again["id"], done["id"], "after an undo the file may come again");
        app.post("/v1/orders", &order(&unique("order"), &app.pool, 1)).send().await.expect_status(201);
        let refused = undo(&text(&again, "/id"))
            .json(&json!({}))
            .send()
            .await
            .expect_problem(409, "invalid-transition");
        assert_eq!((&refused["from"], &refused["command"]), (&json!("completed"), &json!("undo")));
        for none in ["imp_01kamdz6m4e9vt6hjgq3b5n2ya", "imp_1"] {
            undo(none).send().await.expect_problem(404, "not-found");
        }
        app.finish().await;
    }
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let app = TestApp::start().await;
    let file = delivery_file(&app.new_lines(2).await);
    for _ in 0..2 {
        let tried = app.import_with("&dry_run=true", file.clone()).send().await.expect_status(201).json();
        assert_eq!(
            (&tried["dry_run"], &tried["accepted"], &tried["status"]),
            (&json!(true), &json!(2), &json!("completed"))
        );
    }
    let stock = app.get(&format!("/v1/pools/{}/stock", app.pool)).send().await.json();
    assert_eq!(stock["counts"]["available"], 0);
    app.import(file).send().await.expect_status(201);
    app.finish().await;
}

#[tokio::test]
async fn an_import_goes_on_without_its_client() {
    let app = TestApp::start().await;
    let file = delivery_file(&app.new_lines(50).await);
    let answer = app.import(file).header("Prefer", "wait=0").send().await;
    // A small file may be done before the answer is written.
    assert!(matches!(answer.status, 201 | 202), "{answer:?}");
    assert_eq!(answer.header("preference-applied"), Some("wait=0"));
    let path = answer.header("location").unwrap().to_owned();
    let done = app.wait_until(&path, |import| import["finished_at"].is_string()).await;
    assert_eq!((&done["status"], &done["accepted"]), (&json!("completed"), &json!(50)));
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_imported_is_told() {
    let app = TestApp::start().await;
    let file = delivery_file(&app.new_lines(1).await);
    let nowhere = app.ask(reqwest::Method::POST, &format!("/v1/imports?pool={}", unique("none")));
    let problem =
        nowhere.body("text/csv", file.clone()).send().await.expect_problem(422, "validation-failed");
    assert_eq!(fields_of(&problem), [("?pool", "unknown")]);
    let unsaid = app.ask(reqwest::Method::POST, "/v1/imports").body("text/csv", file.clone()).send().await;
    assert_eq!(fields_of(&unsaid.expect_problem(422, "validation-failed")), [("?pool", "required")]);
    for (query, field) in [
        ("&on_error=ask", ("?on_error", "unknown")),
        ("&dry_run=maybe", ("?dry_run", "format")),
        ("&sell_by=soon", ("?sell_by", "format")),
        ("&sell_by=2001-01-01", ("?sell_by", "range")),
        ("&format=xls", ("?format", "unknown")),
        ("&colour=red", ("?colour", "unknown-field")),
    ] {
        let problem =
            app.import_with(query, file.clone()).send().await.expect_problem(422, "validation-failed");
        assert_eq!(fields_of(&problem), [field]);
    }
    let path = format!("/v1/imports?pool={}", app.pool);
    for content_type in ["application/json", "text/plain", "application/octet-stream"] {
        let answer = app.ask(reqwest::Method::POST, &path).body(content_type, file.clone()).send().await;
        answer.expect_problem(415, "unsupported-media-type");
    }
    for file in ["", "no,header,here\n1,2,3\n", "\u{0}\u{1}\u{2}", "ICCID;ICCID\n1;2\n"] {
        let failed = app.import(file).send().await.expect_status(201).json();
        assert_eq!((&failed["status"], &failed["accepted"]), (&json!("failed"), &json!(0)), "{failed:#}");
        assert!(failed["problem"].is_string() || failed["rejected"] != json!(0), "{failed:#}");
    }
    assert!(app.spooled_files().is_none_or(|files| files == 0), "nothing is left lying");
    app.finish().await;
}

#[tokio::test]
async fn duplicates_are_counted_and_never_overwrite() {
    let app = TestApp::start().await;
    let lines = app.deliver(1).await;
    let mut more = app.new_lines(2).await;
    // The code of a known profile on another SIM, and a SIM twice in one file.
    more[0].code.clone_from(&lines[0].code);
    let rows = [more[0].row(), more[1].row(), more[1].row()];
    let file = format!("{}\n{}\n", simdepot_tests::app::DELIVERY_HEADER, rows.join("\n"));
    let done = app.import(file).send().await.expect_status(201).json();
    assert_eq!(
        (&done["rows"], &done["accepted"], &done["duplicates"]),
        (&json!(3), &json!(1), &json!(2)),
        "{done:#}"
    );
    app.get(&format!("/v1/profiles/{}", more[0].iccid)).send().await.expect_problem(404, "not-found");
    app.finish().await;
}

#[tokio::test]
async fn a_fleet_report_compares_and_adopts() {
    let app = TestApp::start().await;
    let known = app.deliver(1).await.remove(0);
    let strange = app.new_lines(1).await.remove(0);
    let row = |iccid: &str, msisdn: &str, status: &str| format!("{iccid};a;b;c;d;e;f;+{msisdn};{status}\r\n");
    let file = format!(
        "\u{feff}ICCID;Compte;Offre;Groupe;Référence;Activation;Modification;MSISDN;Statut\r\n{}{}",
        row(&known.iccid, &known.msisdn, "Pré-activée"),
        row(&strange.iccid, &strange.msisdn, "Active")
    );
    let done = app.import_with("&format=park", file).send().await.expect_status(201).json();
    keys::import(&done);
    assert_body!(&app, "fleet_report", &done);
    let path = format!("/v1/profiles/{}", strange.iccid);
    let adopted = app.get(&path).send().await.expect_status(200).json();
    assert_eq!(
        (&adopted["stock_status"], &adopted["quarantine_reason"]),
        (&json!("quarantined"), &json!("in_service"))
    );
    app.finish().await;
}
