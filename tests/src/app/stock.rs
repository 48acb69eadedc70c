//! Stock to sell: lines that the carrier knows and a delivery file that says so.

use serde_json::{Value as Json, json};
use simdepot_domain::check_digits::luhn_ok;
use simdepot_domain::id::{IdGenerator as _, RandomIds};

use super::{TestApp, unique};

/// Columns of Transatel's delivery file.
pub const DELIVERY_HEADER: &str = "TransatelId;MSISDN;Release;ICCID;Status;PIN;PUK;ActivationCode";

/// A line with the code of its profile.
#[derive(Clone, PartialEq, Eq)]
pub struct TestLine {
    /// 19 digits.
    pub iccid: String,
    /// 15 digits.
    pub msisdn: String,
    /// As delivered, without `LPA:`.
    pub code: String,
}

impl std::fmt::Debug for TestLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestLine").field("iccid", &self.iccid).finish_non_exhaustive()
    }
}

impl TestLine {
    /// Numbers that no other line has. They begin with 9 behind the issuer, as the twin's own do not.
    ///
    /// # Panics
    /// Never: some digit is the right check digit.
    pub fn new() -> Self {
        let random = RandomIds.uuid();
        let number = format!("9{:010}", random.as_u128() % 10_000_000_000);
        let body = format!("8988247{number}");
        let iccid = (0..10).map(|check| format!("{body}{check}")).find(|digits| luhn_ok(digits));
        Self {
            iccid: iccid.expect("a check digit"),
            msisdn: format!("8824{number}"),
            code: format!("1$rsp.suite.example${}", random.simple().to_string().to_uppercase()),
        }
    }

    /// The text of its QR code.
    pub fn lpa(&self) -> String {
        format!("LPA:{}", self.code)
    }

    /// The part of the code that must not be seen.
    ///
    /// # Panics
    /// Never: [`TestLine::new`] writes one.
    pub fn matching_id(&self) -> &str {
        self.code.rsplit('$').next().expect("a matching id")
    }

    /// Its line of a delivery file.
    pub fn row(&self) -> String {
        let Self { iccid, msisdn, code } = self;
        format!("900100;{msisdn};SUITE01;{iccid};Pre-Activated;0000;12345678;{code}")
    }
}

impl Default for TestLine {
    fn default() -> Self {
        Self::new()
    }
}

/// A delivery file of these lines.
pub fn delivery_file(lines: &[TestLine]) -> String {
    let rows = lines.iter().map(TestLine::row);
    std::iter::once(DELIVERY_HEADER.to_owned()).chain(rows).map(|row| format!("{row}\n")).collect()
}

impl TestApp {
    /// Makes a pool of this test's account; `settings` are added to the request.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn new_pool(&self, settings: Json) -> String {
        let name = unique("pool");
        let mut body = json!({"pool": name, "carrier_account": self.account, "name": "Test pool"});
        if let (Some(body), Some(settings)) = (body.as_object_mut(), settings.as_object()) {
            body.extend(settings.clone());
        }
        self.post("/v1/pools", &body).send().await.expect_status(201);
        name
    }

    /// New lines, which the carrier knows as pre-activated with released profiles.
    ///
    /// # Panics
    /// When the twin refuses.
    pub async fn new_lines(&self, count: usize) -> Vec<TestLine> {
        let lines: Vec<TestLine> = std::iter::repeat_with(TestLine::new).take(count).collect();
        if let Some(twin) = &self.twin {
            let known: Vec<Json> = lines
                .iter()
                .map(|line| json!({"iccid": line.iccid, "msisdn": line.msisdn, "activation_code": line.code}))
                .collect();
            twin.post("lines", &json!({"lines": known})).await;
        }
        lines
    }

    /// New lines, imported into this test's pool.
    ///
    /// # Panics
    /// When the import does not complete.
    pub async fn deliver(&self, count: usize) -> Vec<TestLine> {
        let lines = self.new_lines(count).await;
        let done = self.import(delivery_file(&lines)).send().await.expect_status(201).json();
        assert_eq!(
            (done.pointer("/status"), done.pointer("/accepted")),
            (Some(&json!("completed")), Some(&json!(count))),
            "{done:#}"
        );
        lines
    }

    /// An import of a CSV file into this test's pool, not yet sent.
    pub fn import(&self, file: impl Into<Vec<u8>>) -> super::Ask {
        self.import_with("", file)
    }

    /// As [`TestApp::import`], with more query parameters (`&dry_run=true`).
    pub fn import_with(&self, query: &str, file: impl Into<Vec<u8>>) -> super::Ask {
        let path = format!("/v1/imports?pool={}{query}", self.pool);
        self.ask(reqwest::Method::POST, &path).body("text/csv", file)
    }
}
