//! What carriers have carried out, or not: told once, when it has ended.

use std::collections::BTreeSet;

use simdepot_carrier_twin::line_operation::LineOperation;
use simdepot_carrier_twin::sps::{SpsTransaction, SpsTransactionStatus, SpsTwin};
use simdepot_carrier_twin::transactions::{Transaction, TransactionStatus};
use simdepot_carrier_twin::{CallName, Twin};

use crate::history::What;

/// How far was told.
#[derive(Debug, Default)]
pub(super) struct Ended {
    told: BTreeSet<String>,
}

impl Ended {
    /// What has ended since the last look.
    pub(super) fn news(&mut self, transatel: &Twin, wholesale: &SpsTwin) -> Vec<What> {
        let mut news = Vec::new();
        for found in
            transatel.transactions().iter().filter(|found| found.status != TransactionStatus::Pending)
        {
            if !self.told.contains(&found.id) {
                self.told.insert(found.id.clone());
                let done = found.status == TransactionStatus::Done;
                let (number, iccid, kind) = (found.id.clone(), found.iccid.clone(), kind_at_transatel(found));
                news.push(What::Ended { number, iccid, kind, done });
            }
        }
        for found in wholesale.transactions().iter().filter(|found| found.status.is_final()) {
            if !self.told.contains(&found.id) {
                self.told.insert(found.id.clone());
                let done = found.status == SpsTransactionStatus::Completed;
                let (number, iccid) = (found.id.clone(), found.iccid.clone().unwrap_or_default());
                news.push(What::Ended { number, iccid, kind: kind_at_wholesale(found), done });
            }
        }
        news
    }
}

/// In our words.
pub(super) fn kind_at_transatel(found: &Transaction) -> &'static str {
    match found.operation {
        LineOperation::Suspend => "suspend",
        LineOperation::Reactivate => "reactivate",
        LineOperation::Terminate => "terminate",
        _ => "other",
    }
}

/// In our words.
pub(super) fn kind_at_wholesale(found: &SpsTransaction) -> &'static str {
    let action = found.body.get("action").and_then(serde_json::Value::as_str).unwrap_or_default();
    match (found.call, action) {
        (CallName::Activate, _) => "activate_subscription",
        (CallName::Change, _) => "change_device",
        (_, "Suspend") => "suspend",
        (_, "Resume" | "Reactivate") => "reactivate",
        (_, "Cease") => "terminate",
        (_, "Add") => "block_device",
        (_, "Remove") => "unblock_device",
        _ => "other",
    }
}
