//! The carrier twin by its control API, which a deployment's twin has as well.

use reqwest::{Client, Method};
use serde_json::{Value as Json, json};

/// A carrier twin.
#[derive(Debug, Clone)]
pub struct TwinControl {
    client: Client,
    base_url: String,
}

impl TwinControl {
    pub(super) fn new(client: Client, base_url: &str) -> Self {
        Self { client, base_url: base_url.trim_end_matches('/').to_owned() }
    }

    /// Reads `/_twin/{path}`.
    ///
    /// # Panics
    /// When the twin refuses.
    pub async fn get(&self, path: &str) -> Json {
        self.call(Method::GET, path, None).await
    }

    /// Posts to `/_twin/{path}`.
    ///
    /// # Panics
    /// When the twin refuses.
    pub async fn post(&self, path: &str, body: &Json) -> Json {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Changes `/_twin/{path}`.
    ///
    /// # Panics
    /// When the twin refuses.
    pub async fn patch(&self, path: &str, body: &Json) -> Json {
        self.call(Method::PATCH, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Json>) -> Json {
        let url = format!("{}/_twin/{path}", self.base_url);
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("the twin answers");
        let status = answer.status();
        let body = answer.text().await.expect("the twin answers whole");
        assert!(status.is_success(), "the twin refused {path}: {status} {body}");
        if body.is_empty() { Json::Null } else { serde_json::from_str(&body).expect("the twin speaks JSON") }
    }

    /// Makes the next product order for a line meet a fault, written as the control API has it.
    ///
    /// # Panics
    /// When the twin refuses.
    pub async fn fail_order(&self, iccid: &str, fault: &Json) {
        let script = json!({"call": "order", "fault": fault, "times": 1, "matches": {"iccid": iccid}});
        self.post("scripts", &script).await;
    }

    /// Plays a phone that downloads, installs and enables the profile and attaches in a country.
    ///
    /// # Panics
    /// When the twin refuses.
    pub async fn use_in(&self, iccid: &str, country: &str) {
        for step in ["download", "install", "enable"] {
            self.post(&format!("lines/{iccid}/{step}"), &json!({})).await;
        }
        self.post(&format!("lines/{iccid}/attach"), &json!({"country": country})).await;
    }

    /// The product orders that the carrier took for a line, oldest first.
    ///
    /// # Panics
    /// When the twin refuses.
    pub async fn orders_of(&self, msisdn: &str) -> Vec<Json> {
        let all = self.get("orders").await;
        let all = all.pointer("/orders").and_then(Json::as_array).cloned().unwrap_or_default();
        all.into_iter().filter(|order| order.pointer("/msisdn") == Some(&json!(msisdn))).collect()
    }
}
