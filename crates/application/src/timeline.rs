//! The timeline of a profile: everything that happened to it, from all that had to do with it, in one story.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::feed::in_version_order;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OrderId;
use simdepot_domain::line::LineCommand;
use simdepot_domain::operation::{BundleCommand, OperationRequest};
use simdepot_domain::stock::StockStatus;
use simdepot_domain::timeline::{About, Diagnosis, Standing, diagnose, sentence};
use simdepot_persistence::bundles::{self, Bundle};
use simdepot_persistence::events::{self, StoredEvent};
use simdepot_persistence::operations::{self, Operation};
use simdepot_persistence::orders::{self, Order};
use simdepot_persistence::profiles::{Profile, get_many};
use simdepot_persistence::{Conn, allocations, sim_swaps};

use crate::caller::Caller;
use crate::depot::Depot;
use crate::error::AppError;
use crate::profiles;

/// A profile's story and what it comes down to.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Whose.
    pub iccid: Iccid,
    /// What it comes down to.
    pub diagnosis: Diagnosis,
    /// What happened, oldest first.
    pub entries: Vec<TimelineEntry>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// The event's type.
    pub type_name: &'static str,
    /// In a sentence.
    pub text: String,
    /// The event's data.
    pub data: Json,
}

/// What the caller may know of a profile's past.
enum View {
    /// All of it.
    Whole,
    /// A storefront's: its own order and what came with and after it.
    Since {
        /// The order that the profile belongs to.
        order: OrderId,
        /// The profile's version when it was sold with it.
        version: i64,
        /// When that was.
        at: DateTime<Utc>,
    },
}

/// The story of a profile that the caller may see: a storefront's from its own order on, with the delivery.
///
/// # Errors
/// [`AppError::NotFound`], also for one that the caller may not see.
pub async fn get(depot: &Depot, caller: &Caller, iccid: Iccid) -> Result<Timeline, AppError> {
    let caller = caller.clone();
    depot
        .store
        .read(move |conn| {
            let profile = profiles::visible(conn, &caller, &iccid)?;
            tell(conn, &caller, &profile)
        })
        .await
}

fn tell(conn: &mut Conn<'_>, caller: &Caller, asked: &Profile) -> Result<Timeline, AppError> {
    // The story of a line is that of every SIM that has had it; what it comes down to is how the last one stands.
    let line = sim_swaps::line_of(conn, asked.id)?;
    let sims = get_in_order(conn, &line)?;
    let holder = sims.last().unwrap_or(asked);
    let live = allocations::live_of(conn, holder.id)?.map(|allocation| allocation.order);
    let order = live.map(|id| orders::find(conn, id)).transpose()?.flatten();
    let mut story = Story::default();
    for sim in &sims {
        story.add(conn, caller, sim, order.as_ref())?;
    }
    let standing = standing(holder, order.as_ref(), &story.bundles, &story.operations);
    let about = |event: &StoredEvent| {
        let own = sims.iter().find(|sim| event.subject_id == sim.iccid.as_str());
        own.map_or(&holder.iccid, |sim| &sim.iccid)
    };
    let told = std::mem::take(&mut story.events);
    let entries = in_order(told)
        .into_iter()
        .filter_map(|(event, what)| entry(story.is_whole, about(&event), &event, what.as_deref()))
        .collect();
    Ok(Timeline { iccid: asked.iccid.clone(), diagnosis: diagnose(&standing), entries })
}

/// Profiles in the order that is asked for.
fn get_in_order(conn: &mut Conn<'_>, ids: &[i64]) -> Result<Vec<Profile>, AppError> {
    let mut found = get_many(conn, ids)?;
    found.sort_by_key(|profile| ids.iter().position(|id| *id == profile.id));
    Ok(found)
}

/// What is told of the SIMs of one line.
#[derive(Default)]
struct Story {
    events: Vec<(StoredEvent, Option<String>)>,
    bundles: Vec<Bundle>,
    operations: Vec<Operation>,
    /// Nothing was left out that the caller may not know.
    is_whole: bool,
}

impl Story {
    fn add(
        &mut self,
        conn: &mut Conn<'_>,
        caller: &Caller,
        sim: &Profile,
        order: Option<&Order>,
    ) -> Result<(), AppError> {
        let own = events::of_subject(conn, SubjectKind::Profile, sim.iccid.as_str())?;
        let view = view(caller, &own, order)?;
        self.is_whole = matches!(view, View::Whole);
        let mut bundles = bundles::of_profile(conn, sim.id)?;
        bundles.retain(|bundle| view.shows_bundle(caller, bundle));
        let mut operations = operations::of_profile(conn, sim.id)?;
        operations.retain(|operation| view.shows_operation(operation));
        self.events.extend(own.into_iter().filter(|event| view.shows_own(event)).map(|event| (event, None)));
        let delivery = events::of_subject(conn, SubjectKind::Import, &sim.import_id.to_string())?;
        self.once(delivery);
        let orders = match &view {
            View::Whole => allocations::orders_of(conn, sim.id)?,
            View::Since { order, .. } => vec![*order],
        };
        let ids: Vec<String> = orders.iter().map(ToString::to_string).collect();
        let of_orders = events::of_subjects(conn, SubjectKind::Order, &ids)?;
        self.once(of_orders.into_iter().filter(|event| concerns(&event.fact, &sim.iccid)).collect());
        for bundle in &bundles {
            let told = events::of_subject(conn, SubjectKind::Bundle, &bundle.id.to_string())?;
            self.events.extend(told.into_iter().map(|event| (event, Some(bundle.product.clone()))));
        }
        for operation in &operations {
            let told = events::of_subject(conn, SubjectKind::Operation, &operation.id.to_string())?;
            self.events.extend(told.into_iter().map(|event| (event, Some(what_it_asks(operation)))));
        }
        self.bundles.extend(bundles);
        self.operations.extend(operations);
        Ok(())
    }

    /// SIMs of one delivery or one order share its events.
    fn once(&mut self, told: Vec<StoredEvent>) {
        for event in told {
            if !self.events.iter().any(|(known, _)| known.id == event.id) {
                self.events.push((event, None));
            }
        }
    }
}

/// # Errors
/// [`AppError::NotFound`] when the profile went to somebody else since the caller was found to see it.
fn view(caller: &Caller, own: &[StoredEvent], live: Option<&Order>) -> Result<View, AppError> {
    if caller.sees_all_stock() {
        return Ok(View::Whole);
    }
    let order = live
        .filter(|order| order.channel == caller.channel)
        .ok_or(AppError::NotFound { what: "profile" })?
        .id;
    let sold = own.iter().rev().find(|event| {
        matches!(&event.fact, Fact::StockMoved { to: StockStatus::Allocated, order: Some(to), .. } if *to == order)
    });
    Ok(match sold {
        Some(sold) => View::Since { order, version: sold.version, at: sold.at },
        // Without the event that sold it, what came before it cannot be told apart from what came after.
        None => View::Since { order, version: i64::MAX, at: DateTime::<Utc>::MAX_UTC },
    })
}

impl View {
    /// Whether an event of the profile itself is shown. The stock keeper's own notes and comparisons are not a
    /// storefront's.
    fn shows_own(&self, event: &StoredEvent) -> bool {
        match self {
            Self::Whole => true,
            Self::Since { version, .. } => {
                event.version >= *version
                    && !matches!(
                        event.fact,
                        Fact::ProfileEdited { .. } | Fact::DriftFound { .. } | Fact::DriftClosed { .. }
                    )
            }
        }
    }

    fn shows_bundle(&self, caller: &Caller, bundle: &Bundle) -> bool {
        match self {
            Self::Whole => true,
            Self::Since { order, at, .. } => {
                bundle.channel == caller.channel
                    && bundle.order.map_or(bundle.created_at >= *at, |of| of == *order)
            }
        }
    }

    fn shows_operation(&self, operation: &Operation) -> bool {
        match self {
            Self::Whole => true,
            Self::Since { order, at, .. } => {
                operation.order.map_or(operation.created_at >= *at, |of| of == *order)
            }
        }
    }
}

/// Of an order with many profiles, what happened to others is no part of this story.
fn concerns(fact: &Fact, iccid: &Iccid) -> bool {
    match fact {
        Fact::ProfileSubstituted { out, by, .. } => out == iccid || by.as_ref() == Some(iccid),
        Fact::ProfileReplaced { out, by, .. } | Fact::PlaceRefilled { out, by, .. } => {
            out == iccid || by == iccid
        }
        _ => true,
    }
}

fn what_it_asks(operation: &Operation) -> String {
    match &operation.request {
        OperationRequest::PlaceBundle { product, .. } => product.clone(),
        OperationRequest::ChangeBundle { product, change: BundleCommand::CancelRenewal, .. } => {
            format!("the end of {product} with its period")
        }
        OperationRequest::ChangeBundle { product, change: BundleCommand::Terminate, .. } => {
            format!("the end of {product}")
        }
        OperationRequest::Line { command } => line_words(command),
        OperationRequest::ActivateSubscription { .. } => "the activation of the subscription".to_owned(),
        OperationRequest::ChangeDevice { change } => match &change.new_iccid {
            Some(new_iccid) => format!("the move of the line to the SIM {new_iccid}"),
            None => "the move of the line to another device".to_owned(),
        },
        OperationRequest::BlockDevice { imei, block: true } => format!("the blocking of the device {imei}"),
        OperationRequest::BlockDevice { imei, block: false } => {
            format!("the unblocking of the device {imei}")
        }
    }
}

/// What a line is told, after "The command for".
fn line_words(command: &LineCommand) -> String {
    match command {
        LineCommand::Activate(_) => "the activation of the line".to_owned(),
        LineCommand::Modify(_) => "the modification of the line".to_owned(),
        LineCommand::Suspend => "the suspension of the line".to_owned(),
        LineCommand::Reactivate => "the reactivation of the line".to_owned(),
        LineCommand::Terminate => "the termination of the line".to_owned(),
        LineCommand::SwapSim { new_iccid } => format!("the move of the line to the SIM {new_iccid}"),
        LineCommand::SwapMsisdn => "another number for the line".to_owned(),
        LineCommand::TariffHoliday => "the pause of the line".to_owned(),
        LineCommand::LeaveTariffHoliday => "the end of the line's pause".to_owned(),
        LineCommand::TestMode(_) => "the line's test period".to_owned(),
        LineCommand::LeaveTestMode => "the end of the line's test period".to_owned(),
        LineCommand::SetContact { .. } => "the change of the subscriber's contact data".to_owned(),
    }
}

/// By time; what happened in one transaction by the order in which it was said; of one subject by version.
fn in_order(mut story: Vec<(StoredEvent, Option<String>)>) -> Vec<(StoredEvent, Option<String>)> {
    story.sort_by_key(|(event, _)| (event.at, event.id));
    in_version_order(
        story,
        |(event, _)| (event.subject_kind, event.subject_id.clone()),
        |(event, _)| event.version,
    )
}

fn entry(is_whole: bool, iccid: &Iccid, event: &StoredEvent, what: Option<&str>) -> Option<TimelineEntry> {
    let text = sentence(&event.fact, About { iccid, what })?;
    let data = match (is_whole, &event.fact) {
        // How much was delivered is the stock keeper's business.
        (false, Fact::ImportCompleted { pool, .. }) => json!({ "pool": pool }),
        _ => {
            let mut told = serde_json::to_value(&event.fact).ok()?;
            told.get_mut("data").map_or_else(|| json!({}), Json::take)
        }
    };
    Some(TimelineEntry { at: event.at, type_name: event.fact.type_name(), text, data })
}

fn standing(
    profile: &Profile,
    order: Option<&Order>,
    bundles: &[Bundle],
    operations: &[Operation],
) -> Standing {
    Standing {
        form_factor: profile.form_factor,
        stock: profile.stock_status,
        revealed: profile.revealed_at.is_some(),
        sim: profile.sim.map(|seen| seen.status),
        esim: profile.esim.map(|seen| seen.status),
        order: order.map(|order| order.status),
        bundles: bundles.iter().map(|bundle| bundle.status).collect(),
        subscribed: operations.iter().any(Operation::has_subscribed),
        operation: operations.iter().map(|operation| operation.status).find(|status| status.is_open()),
    }
}
