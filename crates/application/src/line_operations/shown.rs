//! What a carrier shows of a command that was sent, for when its answer was lost, or its transaction cannot be read or
//! says nothing.

use serde_json::{Value as Json, json};
use simdepot_domain::carrier::{Carrier, DeviceReading, LineKey, LineReading, ReadError};
use simdepot_domain::device::{ChangeType, DeviceChange};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::imei::Imei;
use simdepot_domain::line::{Judgement, LineCommand, judge};
use simdepot_domain::operation::OperationRequest;
use simdepot_domain::sim::SimStatus;
use simdepot_persistence::operations::Operation;
use simdepot_persistence::profiles::Profile;

use super::gather::Wanted;
use super::hear::told_to_have_moved;
use super::outcome::Done;
use super::{Known, standing};
use crate::observations::Sightings;

/// What is shown of a command.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Whether it was carried out.
    pub(super) judgement: Judgement,
    /// The line.
    pub(super) seen: Sightings,
    /// The line of the SIM that takes over.
    pub(super) successor: Sightings,
    /// The SIM that the carrier chose for the line, when the command named none.
    pub(super) moved_to: Option<Iccid>,
    /// What the judgement rests on.
    pub(super) evidence: Json,
}

impl Shown {
    /// Nothing can be read.
    pub(super) fn nothing() -> Self {
        Self {
            judgement: Judgement::Unclear,
            seen: Sightings::default(),
            successor: Sightings::default(),
            moved_to: None,
            evidence: Json::Null,
        }
    }

    /// The end of the command, by what is shown.
    pub(super) fn found(self) -> Done {
        let evidence = self.evidence.clone();
        self.proven("found_at_carrier", evidence)
    }

    /// The end of the command, by something else.
    pub(super) fn proven(self, code: &'static str, evidence: Json) -> Done {
        let Self { successor, moved_to, seen, .. } = self;
        Done { successor, moved_to, ..Done::by(code, evidence, seen) }
    }
}

/// Reads what the carrier shows of a command. What the account may not read leaves it unclear.
///
/// # Errors
/// When the carrier cannot be asked now.
pub(super) async fn shown(
    carrier: &dyn Carrier,
    operation: &Operation,
    profile: &Profile,
) -> Result<Shown, ReadError> {
    let looking = Looking { carrier, operation, profile };
    match &operation.request {
        OperationRequest::Line { command: LineCommand::SwapSim { new_iccid } } => {
            looking.swapped_sim(new_iccid).await
        }
        OperationRequest::Line { command } => looking.line(command).await,
        OperationRequest::ChangeBundle { subscription_id, product, change } => {
            let wanted = Wanted { subscription_id, product, change: *change };
            let (_, listed) = wanted.read(carrier, profile).await?;
            let evidence = json!({ "source": "inventory", "subscription_id": subscription_id });
            Ok(Shown { judgement: wanted.judge(&listed), evidence, ..Shown::nothing() })
        }
        OperationRequest::ActivateSubscription { .. } => looking.activated().await,
        OperationRequest::ChangeDevice { change } => looking.changed_device(change).await,
        OperationRequest::BlockDevice { imei, block } => looking.blocked_device(imei, *block).await,
        // Sold products have a resolver of their own.
        OperationRequest::PlaceBundle { .. } => Ok(Shown::nothing()),
    }
}

/// The line of an operation, by everything that it may be asked for by: an activation names what the profile does not
/// know yet.
pub(super) fn line_key(operation: &Operation, profile: &Profile) -> LineKey {
    let known = profile.line_key();
    match &operation.request {
        OperationRequest::ActivateSubscription { terms } => LineKey {
            msisdn: terms.msisdn.clone().or(known.msisdn),
            imei: terms.imei.clone().or(known.imei),
            ..known
        },
        OperationRequest::ChangeDevice { change } => LineKey {
            iccid: change.new_iccid.clone().unwrap_or(known.iccid),
            imei: change.new_imei.clone().or(known.imei),
            ..known
        },
        OperationRequest::Line { .. }
        | OperationRequest::ChangeBundle { .. }
        | OperationRequest::BlockDevice { .. }
        | OperationRequest::PlaceBundle { .. } => known,
    }
}

/// A read that is denied tells nothing.
pub(super) fn allowed<T>(read: Result<Option<T>, ReadError>) -> Result<Option<T>, ReadError> {
    match read {
        Err(ReadError::Denied { .. }) => Ok(None),
        other => other,
    }
}

fn sightings(line: Option<LineReading>) -> Sightings {
    Sightings { line, ..Sightings::default() }
}

struct Looking<'a> {
    carrier: &'a dyn Carrier,
    operation: &'a Operation,
    profile: &'a Profile,
}

impl Looking<'_> {
    async fn line(&self, command: &LineCommand) -> Result<Shown, ReadError> {
        let seen = allowed(self.carrier.line(&self.profile.line_key()).await)?;
        let before = Known::of(self.operation).before;
        let now = standing(self.profile, seen.as_ref());
        let judgement = judge(command, &before, &now);
        let evidence = json!({ "source": "line", "before": before, "now": now });
        Ok(Shown { judgement, seen: sightings(seen), evidence, ..Shown::nothing() })
    }

    /// The number on the new SIM shows a swap.
    async fn swapped_sim(&self, new_iccid: &Iccid) -> Result<Shown, ReadError> {
        let seen = allowed(self.carrier.line(&self.profile.line_key()).await)?;
        let before = Known::of(self.operation).before;
        let successor = self.successor(new_iccid).await;
        let judgement = match (successor.as_ref().and_then(|line| line.msisdn.as_ref()), &before.msisdn) {
            (Some(now), Some(before)) if now == before => Judgement::Reached,
            (Some(_), Some(_)) => Judgement::NotReached,
            _ => Judgement::Unclear,
        };
        let now = standing(self.profile, seen.as_ref());
        let evidence = json!({ "source": "line", "before": before, "now": now });
        let (seen, successor) = (sightings(seen), sightings(successor));
        Ok(Shown { judgement, seen, successor, evidence, ..Shown::nothing() })
    }

    /// What was so before the command was sent does not show that it was carried out.
    fn since_sent(&self, judgement: Judgement) -> Judgement {
        if Known::of(self.operation).shown_before { Judgement::Unclear } else { judgement }
    }

    /// The SIM that takes the line over, as it may be asked for: the number moves with the line.
    async fn successor(&self, new_iccid: &Iccid) -> Option<LineReading> {
        let key = LineKey { msisdn: self.profile.msisdn.clone(), ..LineKey::of(new_iccid) };
        self.carrier.line(&key).await.ok().flatten()
    }

    async fn activated(&self) -> Result<Shown, ReadError> {
        let (read, known) = match self.carrier.line(&line_key(self.operation, self.profile)).await {
            Err(ReadError::Denied { .. }) => (None, false),
            read => (read?, true),
        };
        let judgement = match read.as_ref().map(|line| line.sim_status) {
            Some(Some(SimStatus::Active)) => Judgement::Reached,
            Some(Some(_)) => Judgement::NotReached,
            // A line that was never activated is none that the carrier knows.
            None if known => Judgement::NotReached,
            Some(None) | None => Judgement::Unclear,
        };
        let evidence = json!({ "source": "line", "now": standing(self.profile, read.as_ref()) });
        Ok(Shown { judgement, seen: sightings(read), evidence, ..Shown::nothing() })
    }

    async fn changed_device(&self, change: &DeviceChange) -> Result<Shown, ReadError> {
        let used = allowed(self.carrier.device(&line_key(self.operation, self.profile)).await)?;
        let successor = match &change.new_iccid {
            Some(new_iccid) => self.successor(new_iccid).await,
            None => None,
        };
        let judgement = used.as_ref().map_or(Judgement::Unclear, |used| judge_device(change, used));
        let judgement = self.since_sent(judgement);
        let moved_to = self.chosen_by_carrier(change, used.and_then(|used| used.iccid));
        let evidence = json!({ "source": "device", "change_type": change.change_type });
        Ok(Shown { judgement, successor: sightings(successor), moved_to, evidence, ..Shown::nothing() })
    }

    /// The SIM that the line is on now, when the carrier was left to choose one: by what it shows, else by what an event
    /// told.
    fn chosen_by_carrier(&self, change: &DeviceChange, used: Option<Iccid>) -> Option<Iccid> {
        if change.new_iccid.is_some() || change.change_type != ChangeType::DeviceAndEsim {
            return None;
        }
        let now = used.or_else(|| told_to_have_moved(self.operation));
        now.filter(|now| now.key() != self.profile.iccid.key())
    }

    async fn blocked_device(&self, imei: &Imei, block: bool) -> Result<Shown, ReadError> {
        let blocked = allowed(self.carrier.is_blocked(imei).await.map(Some))?;
        let judgement = match blocked {
            Some(blocked) if blocked == block => Judgement::Reached,
            Some(_) => Judgement::NotReached,
            None => Judgement::Unclear,
        };
        let judgement = self.since_sent(judgement);
        let evidence = json!({ "source": "block list", "blocked": blocked });
        Ok(Shown { judgement, evidence, ..Shown::nothing() })
    }
}

/// Whether everything that was to change is so. What the carrier does not tell contradicts nothing, and proves nothing.
fn judge_device(change: &DeviceChange, used: &DeviceReading) -> Judgement {
    let signs = [
        // Devices are told apart by 14 digits: what follows is a check digit or a version of the software.
        change
            .new_imei
            .as_ref()
            .map(|wanted| used.imei.as_ref().map(|imei| imei.device() == wanted.device())),
        change.new_iccid.as_ref().map(|wanted| used.iccid.as_ref().map(|iccid| iccid.key() == wanted.key())),
        change.new_eid.as_ref().map(|wanted| used.eid.as_ref().map(|eid| eid == wanted)),
    ];
    let mut asked = signs.into_iter().flatten().peekable();
    if asked.peek().is_none() {
        return Judgement::Unclear;
    }
    asked.fold(Judgement::Reached, |so_far, sign| match (so_far, sign) {
        (Judgement::NotReached, _) | (_, Some(false)) => Judgement::NotReached,
        (Judgement::Unclear, _) | (_, None) => Judgement::Unclear,
        (Judgement::Reached, Some(true)) => Judgement::Reached,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use simdepot_domain::device::ChangeType;

    const OLD: &str = "490154203237518";
    const NEW: &str = "353490069873319";

    fn imei(text: &str) -> Imei {
        Imei::parse(text).unwrap()
    }

    fn change(new_imei: Option<&str>, new_iccid: Option<&str>) -> DeviceChange {
        DeviceChange {
            change_type: ChangeType::DeviceOnly,
            new_imei: new_imei.map(imei),
            new_iccid: new_iccid.map(|text| Iccid::parse(text).unwrap()),
            new_eid: None,
            delivery: None,
        }
    }

    #[test]
    fn a_device_is_changed_when_all_that_was_to_change_did() {
        let iccid = "8988247000000000011";
        let both = change(Some(NEW), Some(iccid));
        let mut used = DeviceReading::default();
        assert_eq!(judge_device(&both, &used), Judgement::Unclear);
        used.imei = Some(imei(NEW));
        assert_eq!(judge_device(&both, &used), Judgement::Unclear);
        used.iccid = Some(Iccid::parse(iccid).unwrap());
        assert_eq!(judge_device(&both, &used), Judgement::Reached);
        used.imei = Some(imei(OLD));
        assert_eq!(judge_device(&both, &used), Judgement::NotReached);
        assert_eq!(judge_device(&change(None, None), &used), Judgement::Unclear);
    }
}
