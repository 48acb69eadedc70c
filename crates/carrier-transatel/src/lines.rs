//! Line management: sends commands once, asks how they stand, and finds out whether what was turned away is closed.

use simdepot_carrier_http::{Answer, Request, is_dots};
use simdepot_domain::carrier::{
    Answered, BundleChangeOrder, Commanded, Concern, LineOrder, ReadError, Refusal, SimCard,
    TransactionReading, UNSUPPORTED, UsageQuery, UsageReading,
};
use simdepot_domain::iccid::Iccid;
use tokio::time::{Instant, timeout_at};

use crate::adapter::Transatel;
use crate::paths::{Endpoint, PathName};
use crate::wire::problem::Problem;
use crate::wire::{command, order, rights, sim_card, transaction, usage};

/// What to ask Transatel for, where line management is closed. Service Provider Connect accounts begin without it.
pub(crate) const ASK_FOR: &str = "ask Transatel to open connectivity management (scopes CONNECTIVITY_MANAGEMENT_READ \
                                  and CONNECTIVITY_MANAGEMENT_WRITE)";

impl Transatel {
    /// Sends a command, once.
    pub(crate) async fn send_command(&self, order: &LineOrder) -> Commanded {
        let settings = &self.account.lines;
        let deadline = Instant::now() + self.account.timeout;
        let (request, endpoint) = match command::request(order, settings) {
            Ok(ready) => ready,
            Err(refusal) => return Answered::Refused(refusal),
        };
        let answer = match self.gateway.call(&request).await {
            Ok(answer) => answer,
            Err(failure) => return failure.into(),
        };
        match command::parse(&answer, order, endpoint, settings) {
            // Surely not done; now whether it is worth another try, within the time that one call has.
            Answered::NotTaken(_)
                if timeout_at(deadline, self.is_closed(&request, &answer)).await.unwrap_or(false) =>
            {
                let code = Problem::of(&answer).code();
                let method = request.method.as_str();
                let detail = Some(format!("the account may not {method} here: {ASK_FOR}"));
                Answered::Refused(Refusal { code, detail, concerns: Concern::Account })
            }
            commanded => commanded,
        }
    }

    /// Sends a change of a bundle, once.
    pub(crate) async fn send_change(&self, change: &BundleChangeOrder) -> Commanded {
        let account = &self.account;
        let field = &account.lines.subscription_field;
        let request = order::change_request(change, &account.mvno_ref, &account.source, field);
        match self.gateway.call(&request).await {
            Ok(answer) => order::parse_change(&answer, change),
            Err(failure) => failure.into(),
        }
    }

    pub(crate) async fn read_transaction(&self, id: &str) -> Result<Option<TransactionReading>, ReadError> {
        // These would lead to another path.
        if id.is_empty() || is_dots(id) {
            return Ok(None);
        }
        let endpoint = self.endpoint(PathName::Transaction)?;
        let answer = self.ask(&transaction::request(endpoint, id), endpoint).await?;
        transaction::parse(&answer, id, &self.account.lines)
    }

    pub(crate) async fn read_sim_card(&self, iccid: &Iccid) -> Result<Option<SimCard>, ReadError> {
        let endpoint = self.endpoint(PathName::SimCard)?;
        let answer = self.ask(&sim_card::request(endpoint, iccid), endpoint).await?;
        sim_card::parse(&answer, iccid)
    }

    pub(crate) async fn read_usage(&self, asked: &UsageQuery) -> Result<Vec<UsageReading>, ReadError> {
        let endpoint = self.endpoint(PathName::NetworkUsage)?;
        let answer = self.ask(&usage::request(endpoint, asked), endpoint).await?;
        usage::parse(&answer, asked)
    }

    fn endpoint(&self, name: PathName) -> Result<&Endpoint, ReadError> {
        let denied = || ReadError::Denied { code: UNSUPPORTED.to_owned() };
        self.account.lines.paths.of(name).ok_or_else(denied)
    }

    /// Reads from `endpoint`. What is closed, or not there at all, is denied: another try would not mend it.
    async fn ask(&self, request: &Request, endpoint: &Endpoint) -> Result<Answer, ReadError> {
        let answer = self.gateway.call(request).await?;
        let problem = Problem::of(&answer);
        let absent = !endpoint.is_known && problem.is_unknown_url();
        if absent {
            let setting = endpoint.shown();
            tracing::warn!(%setting, "Transatel has nothing at this path: confirm it with Transatel");
        }
        if absent || self.is_closed(request, &answer).await {
            return Err(ReadError::Denied { code: problem.code() });
        }
        Ok(answer)
    }

    /// Whether a bare 403 means that the account may not make this call, by the documented question about rights.
    async fn is_closed(&self, request: &Request, answer: &Answer) -> bool {
        if answer.status != 403 || !Problem::of(answer).is_gateways_word() {
            return false;
        }
        match self.gateway.call(&rights::request(&request.path)).await {
            Ok(answer) => rights::parse(&answer, request.method) == Some(false),
            Err(_) => false,
        }
    }
}
