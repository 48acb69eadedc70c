//! Taking events in: what is authentic is kept, sealed, and nothing else is.

use sha2::{Digest, Sha256};
use simdepot_domain::carrier::EventRefused;
use simdepot_domain::carrier_event::{CarrierEventStatus, News};
use simdepot_domain::channel::AccountName;
use simdepot_persistence::StoreError;
use simdepot_persistence::carrier_events::{self, NewCarrierEvent};

use crate::depot::{Account, Depot};
use crate::error::AppError;

/// Longest id and type that are kept as they are.
const MAX_NAME: usize = 200;

/// What the carrier's signature says of a request.
#[derive(Debug)]
pub enum Admission {
    /// It is the carrier's: keep it.
    Authentic(NewCarrierEvent),
    /// It is not, and nothing of it may be kept.
    Refused(EventRefused),
}

/// What turns an event away before its body is read, because no body would mend it: the account takes no events, or the
/// signature is missing. An anonymous client is not waited for.
///
/// # Errors
/// [`AppError::NotFound`] for an account that is not configured.
pub fn refuse_early(
    depot: &Depot,
    account: &AccountName,
    header: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<EventRefused>, AppError> {
    let configured = configured(depot, account)?;
    Ok(match configured.carrier.authenticate(header, &[]) {
        Err(refused @ (EventRefused::NotConfigured | EventRefused::Unsigned)) => {
            count(account, "refused");
            Some(refused)
        }
        Ok(()) | Err(EventRefused::Signature) => None,
    })
}

fn configured<'a>(depot: &'a Depot, account: &AccountName) -> Result<&'a Account, AppError> {
    depot.account(account).map_err(|_| AppError::NotFound { what: "carrier account" })
}

/// Checks where an event comes from, by the raw bytes of its body, and seals it. `header` looks a header up by its name
/// in lower case.
///
/// # Errors
/// [`AppError::NotFound`] for an account that is not configured.
pub fn admit(
    depot: &Depot,
    account: &AccountName,
    header: &dyn Fn(&str) -> Option<String>,
    body: &[u8],
) -> Result<Admission, AppError> {
    let configured = configured(depot, account)?;
    if let Err(refused) = configured.carrier.authenticate(header, body) {
        count(account, "refused");
        return Ok(Admission::Refused(refused));
    }
    let (event_id, event_type, status) = match configured.carrier.event(body) {
        Ok(event) => {
            let status = match event.news {
                News::Nothing => CarrierEventStatus::Ignored,
                News::Line(_) | News::Esim(..) | News::Bundle(_) => CarrierEventStatus::Pending,
            };
            (kept_name(event.id), kept_name(event.event_type), status)
        }
        Err(unreadable) => {
            tracing::warn!(%account, reason = %unreadable, "an authentic carrier event cannot be read");
            (digest(body), "unreadable".to_owned(), CarrierEventStatus::Unreadable)
        }
    };
    let journal = depot.store.vault().journal_key().map_err(StoreError::from)?;
    let body = journal.seal(account.as_str(), &event_id, body).map_err(StoreError::from)?;
    Ok(Admission::Authentic(NewCarrierEvent { account: account.clone(), event_id, event_type, status, body }))
}

/// Keeps an event unless it came before; tells which.
///
/// # Errors
/// When the store refuses: then the carrier must send it again.
pub async fn keep(depot: &Depot, event: NewCarrierEvent) -> Result<bool, AppError> {
    let (account, status) = (event.account.clone(), event.status);
    let insert = depot.write_together(format!("event {account} {}", event.event_id), move |conn| {
        let now = conn.now()?;
        Ok(carrier_events::insert(conn, &event, now)?)
    });
    let new = insert.await?;
    count(
        &account,
        match status {
            _ if !new => "duplicate",
            CarrierEventStatus::Unreadable => "unreadable",
            CarrierEventStatus::Pending
            | CarrierEventStatus::Applied
            | CarrierEventStatus::Ignored
            | CarrierEventStatus::Unmatched => "stored",
        },
    );
    depot.signals.inbound.notify_one();
    Ok(new)
}

fn count(account: &AccountName, result: &'static str) {
    metrics::counter!("simdepot_carrier_events_total", "account" => account.to_string(), "result" => result)
        .increment(1);
}

/// A carrier's word as it can be stored and shown: not too long, and nothing that a database or a log chokes on.
fn kept_name(text: String) -> String {
    let plain = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    if plain { text } else { digest(text.as_bytes()) }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_kept_are_digested() {
        assert_eq!(kept_name("f3b1-77".to_owned()), "f3b1-77");
        for bad in [String::new(), "a\0b".to_owned(), "x".repeat(MAX_NAME + 1)] {
            let kept = kept_name(bad.clone());
            assert!(kept.starts_with("sha256:") && kept.len() == 71, "{bad:?}: {kept}");
        }
    }
}
