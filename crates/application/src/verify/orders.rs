//! Orders, bundles and operations against their events.

use simdepot_domain::bundle::BundleStatus;
use simdepot_domain::event::{Fact, SubjectKind};
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_persistence::Conn;
use simdepot_persistence::events::StoredEvent;
use simdepot_persistence::verification::{self, VerifiedBundle, VerifiedOperation, VerifiedOrder};

use super::walk::Kind;
use super::{CHUNK, Report};
use crate::depot::Depot;
use crate::error::AppError;

/// Follows a status through events that tell from where it moved and to where. The error names the one that does not
/// follow.
fn follow<S: Copy + PartialEq + std::fmt::Display>(
    first: Option<S>,
    moves: impl Iterator<Item = (simdepot_domain::id::EventId, Option<S>, S)>,
) -> Result<Option<S>, String> {
    let mut status = first;
    for (event, from, to) in moves {
        if from != status {
            let shown = |status: Option<S>| status.map_or("nowhere".to_owned(), |status| status.to_string());
            return Err(format!("event {event} moves from {}, but it was {}", shown(from), shown(status)));
        }
        status = Some(to);
    }
    Ok(status)
}

/// The finding, when the status that the events lead to is not the row's.
fn status_differs<S: PartialEq + std::fmt::Display>(
    what: &str,
    status: &S,
    told: Result<Option<S>, String>,
) -> Option<String> {
    match told {
        Err(fault) => Some(format!("{what}: {fault}")),
        Ok(Some(told)) if told == *status => None,
        Ok(Some(told)) => Some(format!("{what} is {status} but its events say {told}")),
        Ok(None) => Some(format!("{what} is {status} but its events say nothing of that")),
    }
}

/// Every order.
pub(super) struct Orders;

impl Kind for Orders {
    type Row = VerifiedOrder;
    const KIND: SubjectKind = SubjectKind::Order;

    fn rows(
        conn: &mut Conn<'_>,
        _: &Depot,
        after: Option<&VerifiedOrder>,
    ) -> Result<Vec<VerifiedOrder>, AppError> {
        Ok(verification::orders_after(conn, after.map(|order| order.id), CHUNK)?)
    }

    fn subject(order: &VerifiedOrder) -> String {
        order.id.to_string()
    }

    fn version(order: &VerifiedOrder) -> i64 {
        order.version
    }

    fn differs(order: &VerifiedOrder, story: &[StoredEvent]) -> Option<String> {
        let id = order.id;
        let same = match story.first().map(|event| &event.fact) {
            Some(Fact::OrderCreated { channel, reference, quantity }) => {
                channel.as_str() == order.channel
                    && *reference == order.reference
                    && i64::from(*quantity) == order.quantity
            }
            _ => false,
        };
        if !same {
            return Some(format!(
                "order {id} has another channel, reference or quantity than its events say"
            ));
        }
        if order.accepted != story.iter().any(|event| matches!(event.fact, Fact::OrderAccepted { .. })) {
            return Some(format!("order {id} was accepted by a person, or not, other than its events say"));
        }
        let moves = story.iter().filter_map(|event| match &event.fact {
            Fact::OrderStatusChanged { from, to } => Some((event.id, Some(*from), *to)),
            _ => None,
        });
        status_differs(&format!("order {id}"), &order.status, follow(Some(OrderStatus::InProgress), moves))
    }

    fn count(report: &mut Report, _: &VerifiedOrder) {
        report.orders += 1;
    }
}

/// Every bundle.
pub(super) struct Bundles;

impl Kind for Bundles {
    type Row = VerifiedBundle;
    const KIND: SubjectKind = SubjectKind::Bundle;

    fn rows(
        conn: &mut Conn<'_>,
        _: &Depot,
        after: Option<&VerifiedBundle>,
    ) -> Result<Vec<VerifiedBundle>, AppError> {
        Ok(verification::bundles_after(conn, after.map(|bundle| bundle.id), CHUNK)?)
    }

    fn subject(bundle: &VerifiedBundle) -> String {
        bundle.id.to_string()
    }

    fn version(bundle: &VerifiedBundle) -> i64 {
        bundle.version
    }

    fn differs(bundle: &VerifiedBundle, story: &[StoredEvent]) -> Option<String> {
        let id = bundle.id;
        // A line that moved to another SIM took its bundles along.
        let moved_to = story.iter().rev().find_map(|event| match &event.fact {
            Fact::BundleMoved { iccid, .. } => Some(iccid),
            _ => None,
        });
        let same = match story.first().map(|event| &event.fact) {
            Some(Fact::BundleOrdered { iccid, product, order, channel, reference }) => {
                Some(moved_to.unwrap_or(iccid).as_str()) == bundle.iccid.as_deref()
                    && *product == bundle.product
                    && *order == bundle.order
                    && channel.as_str() == bundle.channel
                    && *reference == bundle.reference
            }
            Some(Fact::BundleAdopted { iccid, product, channel, .. }) => {
                Some(moved_to.unwrap_or(iccid).as_str()) == bundle.iccid.as_deref()
                    && *product == bundle.product
                    && channel.as_str() == bundle.channel
                    && (bundle.order, &bundle.reference) == (None, &None)
            }
            _ => false,
        };
        if !same {
            return Some(format!(
                "bundle {id} has another profile, product, order, channel or reference than its events say"
            ));
        }
        // What was learned of the carrier's id besides an operation's answer is told by an event.
        let named = story.iter().find_map(|event| match &event.fact {
            Fact::BundleAdopted { subscription_id, .. } | Fact::BundleIdentified { subscription_id, .. } => {
                Some(subscription_id)
            }
            _ => None,
        });
        if named.is_some() && named != bundle.subscription_id.as_ref() {
            return Some(format!("bundle {id} is another subscription than its events say"));
        }
        let begins = match story.first().map(|event| &event.fact) {
            Some(Fact::BundleAdopted { status, .. }) => *status,
            _ => BundleStatus::Ordering,
        };
        let moves = story.iter().filter_map(|event| match &event.fact {
            Fact::BundleStatusChanged { from, to, .. } => Some((event.id, Some(*from), *to)),
            _ => None,
        });
        status_differs(&format!("bundle {id}"), &bundle.status, follow(Some(begins), moves))
    }

    fn count(report: &mut Report, _: &VerifiedBundle) {
        report.bundles += 1;
    }
}

/// Every carrier operation.
pub(super) struct Operations;

impl Kind for Operations {
    type Row = VerifiedOperation;
    const KIND: SubjectKind = SubjectKind::Operation;

    fn rows(
        conn: &mut Conn<'_>,
        _: &Depot,
        after: Option<&VerifiedOperation>,
    ) -> Result<Vec<VerifiedOperation>, AppError> {
        Ok(verification::operations_after(conn, after.map(|operation| operation.id), CHUNK)?)
    }

    fn subject(operation: &VerifiedOperation) -> String {
        operation.id.to_string()
    }

    fn version(operation: &VerifiedOperation) -> i64 {
        operation.version
    }

    fn differs(operation: &VerifiedOperation, story: &[StoredEvent]) -> Option<String> {
        let id = operation.id;
        let moves = story.iter().filter_map(|event| match &event.fact {
            Fact::OperationStatusChanged { from, to, .. } => Some((event.id, *from, *to)),
            _ => None,
        });
        let told: Result<Option<OperationStatus>, String> = follow(None, moves);
        let elsewhere = story.iter().any(|event| match &event.fact {
            Fact::OperationStatusChanged { iccid, .. } => Some(iccid.as_str()) != operation.iccid.as_deref(),
            _ => true,
        });
        if elsewhere {
            return Some(format!("operation {id} is on another profile than its events say"));
        }
        status_differs(&format!("operation {id}"), &operation.status, told)
    }

    fn count(report: &mut Report, _: &VerifiedOperation) {
        report.operations += 1;
    }
}
