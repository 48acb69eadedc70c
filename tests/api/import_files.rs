//! Delivery files as they come: other line ends, separators, columns and languages than one hopes for.

use serde_json::json;
use simdepot_tests::TestApp;
use simdepot_tests::app::{DELIVERY_HEADER, TestLine, delivery_file, text, unique};

use crate::{PRODUCT, order, order_with};

/// Imports a file of two lines, sells both and compares what comes out with what went in.
async fn sell(file: impl FnOnce(&[TestLine]) -> Vec<u8>) {
    let app = TestApp::start().await;
    let lines = app.new_lines(2).await;
    let done = app.import(file(&lines)).send().await.expect_status(201).json();
    assert_eq!(
        (&done["status"], &done["accepted"], &done["warnings"]),
        (&json!("completed"), &json!(2), &json!(0)),
        "{done:#}"
    );
    let sold =
        app.post("/v1/orders", &order(&unique("order"), &app.pool, 2)).send().await.expect_status(201).json();
    for (profile, line) in sold["lines"][0]["profiles"].as_array().unwrap().iter().zip(&lines) {
        assert_eq!((&profile["iccid"], &profile["msisdn"]), (&json!(line.iccid), &json!(line.msisdn)));
        assert_eq!(profile["activation"]["lpa"], line.lpa());
        assert_eq!(profile["sim_status"], "preactivated");
    }
    app.finish().await;
}

#[tokio::test]
async fn byte_order_mark_crlf_and_plus() {
    sell(|lines| {
        let rows =
            lines.iter().map(|line| line.row().replace(&line.msisdn, &format!("+{}", line.msisdn)) + "\r\n");
        format!("\u{feff}{DELIVERY_HEADER}\r\n{}\r\n", rows.collect::<String>()).into_bytes()
    })
    .await;
}

#[tokio::test]
async fn columns_in_another_order_with_commas_and_quotes() {
    sell(|lines| {
        let rows = lines.iter().map(|line| {
            format!("\"{}\",Pre-Activated,{},\"a, b\",+{}\n", line.lpa(), line.iccid, line.msisdn)
        });
        format!("LPA,Status,iccid,remark,Msisdn\n{}", rows.collect::<String>()).into_bytes()
    })
    .await;
}

#[tokio::test]
async fn host_and_matching_id_in_columns_of_their_own() {
    sell(|lines| {
        let rows = lines.iter().map(|line| {
            format!("{};{};rsp.suite.example;{};pre-activated\n", line.iccid, line.msisdn, line.matching_id())
        });
        format!("SIM_Serial;MSISDN;SM-DP+;Matching_ID;HLRStatus\n{}", rows.collect::<String>()).into_bytes()
    })
    .await;
}

#[tokio::test]
async fn a_file_without_codes_is_completed_from_the_carriers_record() {
    let app = TestApp::start().await;
    let line = app.new_lines(1).await.remove(0);
    let file = format!(
        "TransatelId;Msisdn;Release;IccId;HLRStatus;Pin1;Puk1\n900100;{};R1;{};Pre-Activated;0000;12345678\n",
        line.msisdn, line.iccid
    );
    let done = app.import(file).send().await.expect_status(201).json();
    assert_eq!((&done["status"], &done["accepted"]), (&json!("completed"), &json!(1)), "{done:#}");
    if app.twin().is_some() {
        let path = format!("/v1/profiles/{}", line.iccid);
        app.wait_until(&path, |profile| profile["stock_status"] == "available").await;
        let sold = app
            .post("/v1/orders", &order(&unique("order"), &app.pool, 1))
            .send()
            .await
            .expect_status(201)
            .json();
        assert_eq!(sold["lines"][0]["profiles"][0]["activation"]["lpa"], line.lpa());
    }
    app.finish().await;
}

#[tokio::test]
async fn a_number_that_the_file_lacks_is_asked_for() {
    let app = TestApp::start().await;
    let line = app.new_lines(1).await.remove(0);
    let done = app.import(format!("ICCID;ActivationCode\n{};{}\n", line.iccid, line.code)).send().await;
    assert_eq!(done.expect_status(201).json()["accepted"], 1);
    if let Some(twin) = app.twin() {
        let body = order_with(PRODUCT, &unique("order"), &app.pool, 1);
        let sold = app.post("/v1/orders", &body).send().await.expect_status(201).json();
        assert_eq!(sold["lines"][0]["profiles"][0]["msisdn"], line.msisdn.as_str());
        assert_eq!(twin.orders_of(&line.msisdn).await.len(), 1);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_form_brings_one_file_with_its_name() {
    let app = TestApp::start().await;
    let file = delivery_file(&app.new_lines(1).await);
    let part = |name: &str| {
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/csv\r\n\r\n{file}\r\n"
        )
    };
    let path = format!("/v1/imports?pool={}", app.pool);
    let send = |body: String| {
        app.ask(reqwest::Method::POST, &path).body("multipart/form-data; boundary=x", body).send()
    };
    send(format!("{}{}--x--\r\n", part("a.csv"), part("b.csv")))
        .await
        .expect_problem(422, "validation-failed");
    send("--x--\r\n".to_owned()).await.expect_problem(422, "validation-failed");
    send(part("cut-off.csv")).await.expect_problem(400, "malformed-body");
    let done = send(format!("{}--x--\r\n", part("lot 7.csv"))).await.expect_status(201).json();
    assert_eq!((&done["file_name"], &done["accepted"]), (&json!("lot 7.csv"), &json!(1)));
    // The same bytes as a plain body are the same file.
    let again = app.import(file.clone()).send().await.expect_status(200).json();
    assert_eq!(text(&again, "/id"), text(&done, "/id"));
    assert!(app.spooled_files().is_none_or(|files| files == 0), "nothing is left lying");
    app.finish().await;
}
