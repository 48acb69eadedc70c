//! The carrier tells what happened.

use simdepot_domain::channel::AccountName;

use super::{Phase, World};
use crate::history::What;
use crate::sim::requests::take_event;
use crate::sim::template;

/// What the ids of events begin with that are not the carrier's.
pub(in crate::sim) const FORGED: &str = "forged-";

impl World {
    /// The carrier tells what happened, some of it twice, late, or not at all; and somebody tells what did not.
    pub(super) fn bring_events(&mut self) {
        let Some(process) = self.alive() else { return };
        if self.weather.no_events && self.phase == Phase::Storm {
            return;
        }
        let now = self.time.moment();
        let trouble = self.phase == Phase::Storm && self.rng.per_mille(self.weather.event_troubles);
        if let Some(delivery) = self.network.with_twin(|twin| twin.next_delivery(now)) {
            if trouble && self.rng.per_mille(500) {
                self.history().count("event lost");
                self.network.with_twin(|twin| twin.delivery_ended(now, delivery.ticket, None));
                return;
            }
            if trouble {
                self.history().count("event brought twice");
                self.bring_event(
                    process,
                    &delivery.event_id,
                    delivery.signature.clone(),
                    delivery.body.clone(),
                );
            }
            let id = delivery.event_id.clone();
            if let Some(request) = self.bring_event(process, &id, delivery.signature, delivery.body) {
                self.events.insert(request, delivery.ticket);
            }
        } else if trouble && self.rng.per_mille(30) {
            self.forge_event(process);
        }
    }

    pub(super) fn bring_event(
        &mut self,
        process: usize,
        id: &str,
        signature: String,
        body: Vec<u8>,
    ) -> Option<u32> {
        let depot = self.processes.get(process)?.depot.clone()?;
        let account = AccountName::parse(template::ACCOUNT).ok()?;
        self.requests += 1;
        let request = self.requests;
        self.tell(What::Event { request, process, id: id.to_owned() });
        self.executor.add(process, Some(request), Box::pin(take_event(depot, account, signature, body)));
        Some(request)
    }

    pub(super) fn forge_event(&mut self, process: usize) {
        let lines: Vec<String> =
            self.network.with_twin(|twin| twin.lines().map(|line| line.spec.iccid.to_string()).collect());
        let Some(iccid) = self.rng.pick(&lines).cloned() else { return };
        self.forged += 1;
        let id = format!("{FORGED}{}", self.forged);
        let date = self.time.moment().to_rfc3339();
        let body = serde_json::json!({
            "header": { "eventId": id, "eventType": "SIM-MANAGEMENT/ESIM/INSTALLED", "eventDate": date },
            "body": { "simSerial": iccid, "status": "installed", "statusDate": date },
        });
        self.history().count("event forged");
        let signature = format!("sha256={}", "0".repeat(64));
        self.bring_event(process, &id, signature, body.to_string().into_bytes());
    }

    pub(super) fn event_ended(&mut self, request: u32, status: Option<u16>) {
        if let Some(ticket) = self.events.remove(&request) {
            let now = self.time.moment();
            self.network.with_twin(|twin| twin.delivery_ended(now, ticket, status));
        }
    }
}
