//! A storefront's request inside a process: the use case, and its answer in the words of the history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use simdepot_application::bundles::{TopUp, top_up};
use simdepot_application::holds::{self, HoldView, NewHold};
use simdepot_application::idempotency::IdempotencyKey;
use simdepot_application::inbound::Admission;
use simdepot_application::line_operations::{self, LineRequest};
use simdepot_application::operations::{self, Verdict};
use simdepot_application::orders::{self, OrderView, PlaceOrder, PlacedAs};
use simdepot_application::webhooks::endpoints::{self, EndpointChange};
use simdepot_application::{
    AppError, Caller, Depot, activation, cancellations, inbound, reconciliation, replacements,
};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::channel::{AccountName, PoolName};
use simdepot_domain::device::{ChangeType, DeviceChange};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::{HoldId, OperationId, OrderId, WebhookEndpointId};
use simdepot_domain::imei::Imei;
use simdepot_domain::line::LineCommand;
use simdepot_domain::operation::OperationRequest;
use simdepot_domain::order::{OrderLine, OrderStatus};
use simdepot_domain::webhook::EndpointStatus;
use simdepot_persistence::StoreError;

use crate::history::{Answer, Ask, AskedCommand, AskedLine, Judged, ShownProfile};

/// The codes as they were delivered, to tell the right one from a wrong one.
pub(super) type Codes = Arc<BTreeMap<String, String>>;

/// A request on its way into a process.
pub(super) struct Request {
    pub(super) depot: Depot,
    pub(super) caller: Caller,
    pub(super) ask: Ask,
    pub(super) wait: Duration,
    pub(super) codes: Codes,
}

impl Request {
    /// Carries it out.
    pub(super) async fn run(self) -> Answer {
        let answered = match self.ask.clone() {
            Ask::Order { reference, lines, key, hold } => self.order(reference, lines, key, hold).await,
            Ask::Read { order, reveal } => self.read(&order, reveal).await,
            Ask::Code { iccid } => self.code(&iccid).await,
            Ask::TopUp { iccid, reference, product } => self.top_up(&iccid, reference, product).await,
            Ask::Hold { pool, quantity, seconds, key } => self.hold(&pool, quantity, seconds, key).await,
            Ask::Release { hold } => self.release(&hold).await,
            Ask::Cancel { order } => self.cancel(&order).await,
            Ask::Replace { iccid, key } => self.replace(&iccid, key).await,
            Ask::Command { iccid, command, key } => self.command(&iccid, &command, key).await,
            Ask::Resolve { operation, judged, key, .. } => self.resolve(&operation, judged, key).await,
            Ask::Endpoint { endpoint, enabled } => self.endpoint(&endpoint, enabled).await,
            Ask::Compare => {
                reconciliation::start(&self.depot, &self.caller, None, None).await.map(|_| Answer::Comparing)
            }
        };
        answered.unwrap_or_else(|error| explain(&error))
    }

    async fn order(
        &self,
        reference: String,
        lines: Vec<AskedLine>,
        key: Option<String>,
        hold: Option<String>,
    ) -> Result<Answer, AppError> {
        let key = key.map(|key| key_of(key, "POST /v1/orders", &format!("{reference} {lines:?}")));
        let line = |line: AskedLine| {
            Ok(OrderLine {
                pool: PoolName::parse(&line.pool).map_err(|error| AppError::Internal(error.to_string()))?,
                product: line.product,
                quantity: line.quantity,
                carrier_parameters: line
                    .parameters
                    .as_deref()
                    .and_then(|text| serde_json::from_str(text).ok()),
            })
        };
        let lines = lines.into_iter().map(line).collect::<Result<_, AppError>>()?;
        let hold = hold.map(|id| parse_hold(&id)).transpose()?;
        let request = PlaceOrder { reference, lines, hold, dry_run: false, reveal: true };
        let placed = orders::place(&self.depot, &self.caller, request, key.as_ref(), self.wait).await?;
        let http = match (placed.placed_as, placed.order.order.status) {
            (PlacedAs::Repeated | PlacedAs::DryRun, _) => 200,
            (_, OrderStatus::InProgress) => 202,
            _ => 201,
        };
        Ok(self.shown(http, &placed.order))
    }

    async fn read(&self, order: &str, reveal: bool) -> Result<Answer, AppError> {
        let id: OrderId = order.parse().map_err(|_| AppError::NotFound { what: "order" })?;
        let view = orders::get(&self.depot, &self.caller, id, reveal).await?;
        Ok(self.shown(200, &view))
    }

    async fn code(&self, iccid: &str) -> Result<Answer, AppError> {
        let code = activation::reveal(&self.depot, &self.caller, parse_iccid(iccid)?).await?;
        Ok(Answer::Code { iccid: iccid.to_owned(), right: self.is_right(iccid, &code) })
    }

    async fn top_up(&self, iccid: &str, reference: String, product: String) -> Result<Answer, AppError> {
        let asked = TopUp { reference: reference.clone(), product, order_type: None };
        let profile = parse_iccid(iccid)?;
        let made = top_up(&self.depot, &self.caller, profile, asked, None, self.wait).await?;
        let bundle = made.bundle.bundle;
        Ok(Answer::Bundle { id: bundle.id.to_string(), reference, status: bundle.status.to_string() })
    }

    async fn hold(&self, pool: &str, quantity: u32, seconds: u32, key: String) -> Result<Answer, AppError> {
        let key = key_of(key, "POST /v1/holds", &format!("{pool} {quantity} {seconds}"));
        let pool = PoolName::parse(pool).map_err(|error| AppError::Internal(error.to_string()))?;
        let new = NewHold { pool, quantity, ttl_seconds: seconds };
        let (view, _) = holds::create(&self.depot, &self.caller, new, Some(&key)).await?;
        Ok(shown_hold(&view))
    }

    async fn release(&self, hold: &str) -> Result<Answer, AppError> {
        let view = holds::release(&self.depot, &self.caller, parse_hold(hold)?).await?;
        Ok(shown_hold(&view))
    }

    async fn cancel(&self, order: &str) -> Result<Answer, AppError> {
        let id: OrderId = order.parse().map_err(|_| AppError::NotFound { what: "order" })?;
        let done = cancellations::cancel(&self.depot, &self.caller, id, None, None, self.wait).await?;
        let http = if done.order.order.status == OrderStatus::Cancelled { 200 } else { 202 };
        Ok(self.shown(http, &done.order))
    }

    async fn replace(&self, iccid: &str, key: String) -> Result<Answer, AppError> {
        let key = key_of(key, "POST /v1/profiles/replace", iccid);
        let (iccid, reason) = (parse_iccid(iccid)?, "it does not work".to_owned());
        let made = replacements::replace(&self.depot, &self.caller, iccid, reason, Some(&key)).await?;
        let (out, by) = (made.replaces.to_string(), made.profile.profile.iccid.to_string());
        Ok(Answer::Replaced { out, by, order: made.order.to_string() })
    }

    async fn command(&self, iccid: &str, command: &AskedCommand, key: String) -> Result<Answer, AppError> {
        let key = key_of(key, "POST /v1/profiles/line", &format!("{iccid} {command:?}"));
        let profile = parse_iccid(iccid)?;
        let imei = |text: &str| Imei::parse(text).map_err(|error| AppError::Internal(error.to_string()));
        let line = |command| LineRequest { command, contact: None, service_profile: None };
        let told = match command {
            AskedCommand::Suspend => Ok(line(LineCommand::Suspend)),
            AskedCommand::Reactivate => Ok(line(LineCommand::Reactivate)),
            AskedCommand::Terminate => Ok(line(LineCommand::Terminate)),
            AskedCommand::ChangeDevice { imei: to } => Err(OperationRequest::ChangeDevice {
                change: DeviceChange {
                    change_type: ChangeType::DeviceOnly,
                    new_imei: Some(imei(to)?),
                    new_iccid: None,
                    new_eid: None,
                    delivery: None,
                },
            }),
            AskedCommand::BlockDevice { imei: of, block } => {
                Err(OperationRequest::BlockDevice { imei: imei(of)?, block: *block })
            }
        };
        let (depot, caller) = (&self.depot, &self.caller);
        let made = match told {
            Ok(asked) => line_operations::command(depot, caller, profile, asked, Some(&key)).await?,
            Err(asked) => line_operations::request(depot, caller, profile, asked, Some(&key)).await?,
        };
        Ok(Answer::Commanded { operation: made.0.operation.id.to_string(), iccid: iccid.to_owned() })
    }

    async fn resolve(&self, operation: &str, judged: Judged, key: String) -> Result<Answer, AppError> {
        let id: OperationId = operation.parse().map_err(|_| AppError::NotFound { what: "operation" })?;
        let key = key_of(key, "POST /v1/operations/resolve", &format!("{operation} {judged:?}"));
        let verdict = match judged {
            Judged::Done { subscription } => Verdict::Done { subscription_id: subscription },
            Judged::Refused => Verdict::Refused,
            Judged::Retry => Verdict::Retry,
        };
        let reason = "seen at the carrier".to_owned();
        let decided =
            operations::decide_by_hand(&self.depot, &self.caller, id, verdict, reason, Some(&key)).await?;
        let (operation, status) = (operation.to_owned(), decided.0.operation.status.to_string());
        Ok(Answer::Resolved { operation, status })
    }

    async fn endpoint(&self, endpoint: &str, enabled: bool) -> Result<Answer, AppError> {
        let id: WebhookEndpointId =
            endpoint.parse().map_err(|_| AppError::NotFound { what: "webhook endpoint" })?;
        let status = if enabled { EndpointStatus::Enabled } else { EndpointStatus::Disabled };
        let change = EndpointChange { status: Some(status), ..EndpointChange::default() };
        let changed = endpoints::change(&self.depot, &self.caller, id, change).await?;
        Ok(Answer::Endpoint { enabled: changed.settings.status == EndpointStatus::Enabled })
    }

    fn is_right(&self, iccid: &str, code: &ActivationCode) -> bool {
        self.codes.get(iccid).is_some_and(|right| right == code.code())
    }

    fn shown(&self, http: u16, view: &OrderView) -> Answer {
        let entries = view.lines.iter().flat_map(|line| &line.profiles);
        let profiles = entries.map(|entry| {
            let iccid = entry.profile.iccid.to_string();
            ShownProfile {
                outcome: entry.outcome.to_string(),
                product: entry.bundle.as_ref().map(|bundle| bundle.bundle.product.clone()),
                code: entry.activation.as_ref().map(|code| self.is_right(&iccid, code)),
                iccid,
            }
        });
        Answer::Order {
            http,
            id: view.order.id.to_string(),
            reference: view.order.reference.clone(),
            status: view.order.status.to_string(),
            profiles: profiles.collect(),
        }
    }
}

/// What is to prove an event: a header and its value.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) header: String,
    pub(super) value: String,
}

/// An event on its way into a process.
pub(super) async fn take_event(depot: Depot, account: AccountName, proof: Proof, body: Vec<u8>) -> Answer {
    let header = |name: &str| (name == proof.header).then(|| proof.value.clone());
    let taken = match inbound::admit(&depot, &account, &header, &body) {
        Ok(Admission::Authentic(event)) => inbound::keep(&depot, event).await.map(|_| 204),
        Ok(Admission::Refused(_)) => Ok(401),
        Err(error) => Err(error),
    };
    taken.map_or_else(|error| explain(&error), |http| Answer::Event { http })
}

fn shown_hold(view: &HoldView) -> Answer {
    let (id, status) = (view.hold.id.to_string(), view.hold.status.to_string());
    Answer::Hold { id, status, quantity: view.hold.quantity }
}

fn parse_hold(text: &str) -> Result<HoldId, AppError> {
    text.parse().map_err(|_| AppError::NotFound { what: "hold" })
}

fn parse_iccid(text: &str) -> Result<Iccid, AppError> {
    Iccid::parse(text).map_err(|_| AppError::NotFound { what: "profile" })
}

fn key_of(key: String, request: &str, body: &str) -> IdempotencyKey {
    IdempotencyKey { key, request: request.to_owned(), body_hash: Sha256::digest(body).to_vec() }
}

fn explain(error: &AppError) -> Answer {
    let problem =
        |code: &str, again| Answer::Problem { code: code.to_owned(), detail: error.to_string(), again };
    match error {
        AppError::OutOfStock { pool, requested, available } => {
            Answer::OutOfStock { pool: pool.clone(), requested: *requested, available: *available }
        }
        AppError::CarrierRefused { order, bundle, refusal } => Answer::Refused {
            order: order.map(|id| id.to_string()),
            bundle: bundle.map(|id| id.to_string()),
            code: refusal.code.clone(),
        },
        AppError::Invalid(_) => problem("validation-failed", false),
        AppError::NotFound { .. } => problem("not-found", false),
        AppError::ReferenceConflict { .. } => problem("reference-conflict", false),
        AppError::IdempotencyKeyReused => problem("idempotency-key-reused", false),
        AppError::IdempotencyInFlight => problem("idempotency-in-flight", true),
        AppError::HoldExpired { .. } => problem("hold-expired", false),
        AppError::InvalidTransition { .. } => problem("invalid-transition", false),
        AppError::Unsupported { .. } => problem("unsupported", false),
        AppError::CarrierUnavailable(_) => problem("carrier-unavailable", true),
        AppError::Store(StoreError::Busy) => problem("busy", true),
        _ => problem("internal", true),
    }
}
