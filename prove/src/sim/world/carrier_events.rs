//! The carrier tells what happened.

use serde_json::json;
use simdepot_carrier_twin::webhook::SIGNATURE_HEADER;
use simdepot_domain::channel::AccountName;

use super::{Phase, World};
use crate::history::What;
use crate::sim::carriers::To;
use crate::sim::requests::{Proof, take_event};

/// The header in which the wholesale operator signs.
const WHOLESALE_HEADER: &str = "x-signature-256";

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
        let to = if self.carriers.has(To::Wholesale)
            && (!self.carriers.has(To::Transatel) || self.rng.per_mille(500))
        {
            To::Wholesale
        } else {
            To::Transatel
        };
        if to == To::Wholesale && self.phase == Phase::Storm && self.rng.per_mille(self.weather.rumours) {
            self.spread_rumour(process);
        }
        let delivery = match to {
            To::Transatel => self.network.with_twin(|twin| twin.next_delivery(now)),
            To::Wholesale => self.network.with_wholesale(|twin| twin.next_delivery(now)),
        };
        if let Some(delivery) = delivery {
            if trouble && self.rng.per_mille(500) {
                self.history().count("event lost");
                self.delivery_ended(to, delivery.ticket, None);
                return;
            }
            let proof = Proof { header: delivery.signature_header, value: delivery.signature };
            let id = delivery.event_id.clone();
            if trouble {
                self.history().count("event brought twice");
                self.bring_event((process, to), &id, proof.clone(), delivery.body.clone());
            }
            if let Some(request) = self.bring_event((process, to), &id, proof, delivery.body) {
                self.events.insert(request, (to, delivery.ticket));
            }
        } else if trouble && self.rng.per_mille(30) {
            self.forge_event(process, to);
        }
    }

    pub(super) fn bring_event(
        &mut self,
        (process, to): (usize, To),
        id: &str,
        proof: Proof,
        body: Vec<u8>,
    ) -> Option<u32> {
        let depot = self.processes.get(process)?.depot.clone()?;
        let account = AccountName::parse(to.account()).ok()?;
        self.requests += 1;
        let request = self.requests;
        self.tell(What::Event { request, process, id: id.to_owned() });
        self.executor.add(process, Some(request), Box::pin(take_event(depot, account, proof, body)));
        Some(request)
    }

    /// Somebody who has no key tells of something.
    fn forge_event(&mut self, process: usize, to: To) {
        self.forged += 1;
        let id = format!("{FORGED}{}", self.forged);
        let date = self.time.moment().to_rfc3339();
        let (header, body) = match to {
            To::Transatel => {
                let lines: Vec<String> = self
                    .network
                    .with_twin(|twin| twin.lines().map(|line| line.spec.iccid.to_string()).collect());
                let Some(iccid) = self.rng.pick(&lines).cloned() else { return };
                let body = json!({
                    "header": { "eventId": id, "eventType": "SIM-MANAGEMENT/ESIM/INSTALLED", "eventDate": date },
                    "body": { "simSerial": iccid, "status": "installed", "statusDate": date },
                });
                (SIGNATURE_HEADER, body)
            }
            To::Wholesale => {
                let Some(body) = self.words_on_some_command(&id) else { return };
                (WHOLESALE_HEADER, body)
            }
        };
        self.history().count("event forged");
        let proof = Proof { header: header.to_owned(), value: format!("sha256={}", "0".repeat(64)) };
        self.bring_event((process, to), &id, proof, body.to_string().into_bytes());
    }

    /// The wholesale operator itself tells what is not so: of a command that it knows, so that it can be asked.
    fn spread_rumour(&mut self, process: usize) {
        self.forged += 1;
        let id = format!("rumour-{}", self.forged);
        let Some(body) = self.words_on_some_command(&id) else { return };
        let body = body.to_string().into_bytes();
        let signature =
            self.network.with_wholesale(|twin| twin.webhook().map(|webhook| webhook.signature(&body)));
        let Some(value) = signature else { return };
        self.history().count("event that is not so");
        let proof = Proof { header: WHOLESALE_HEADER.to_owned(), value };
        self.bring_event((process, To::Wholesale), &id, proof, body);
    }

    /// That a command which the carrier works on is done, or has failed, and that its line stands somehow.
    fn words_on_some_command(&mut self, id: &str) -> Option<serde_json::Value> {
        let known: Vec<(String, Option<String>)> = self.network.with_wholesale(|twin| {
            let open = twin.transactions().iter().filter(|found| !found.status.is_final());
            open.map(|found| (found.id.clone(), found.iccid.clone())).collect()
        });
        let (number, iccid) = self.rng.pick(&known).cloned()?;
        let word = if self.rng.per_mille(500) { "Completed" } else { "Failed" };
        let status = *self.rng.pick(&["Active", "Suspended", "Ceased"])?;
        Some(json!({
            "eventId": id, "eventType": "UpdateSubscriptionStatus", "eventTime": self.time.moment().to_rfc3339(),
            "partnerTransactionId": number, "status": word, "subscription": { "iccid": iccid, "status": status },
        }))
    }

    fn delivery_ended(&mut self, to: To, ticket: u64, status: Option<u16>) {
        let now = self.time.moment();
        match to {
            To::Transatel => self.network.with_twin(|twin| twin.delivery_ended(now, ticket, status)),
            To::Wholesale => self.network.with_wholesale(|twin| twin.delivery_ended(now, ticket, status)),
        };
    }

    pub(super) fn event_ended(&mut self, request: u32, status: Option<u16>) {
        if let Some((to, ticket)) = self.events.remove(&request) {
            self.delivery_ended(to, ticket, status);
        }
    }
}
