//! Storefronts ask and are answered, or not; customers use what they bought.

use std::sync::Arc;
use std::time::Duration;

use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;

use super::World;
use crate::history::{Answer, Ask, What};
use crate::sim::requests::Request;
use crate::sim::template;

impl World {
    /// Storefronts ask, each one a process that is there.
    pub(super) fn ask(&mut self) {
        let now = self.time.micros();
        for number in 0..self.clients.len() {
            let alive: Vec<usize> = (0..self.processes.len())
                .filter(|place| self.processes.get(*place).is_some_and(|process| process.depot.is_some()))
                .collect();
            let Some(process) = self.rng.pick(&alive).copied() else { return };
            let Some(client) = self.clients.get_mut(number) else { return };
            let Some(ask) = client.ask(now) else { continue };
            let channel = client.channel;
            let wait = *self.rng.pick(&[0, 0, 300, 2_000, 10_000]).unwrap_or(&0);
            let Some(request) = self.request(process, channel, ask.clone(), wait) else { continue };
            if let Some(client) = self.clients.get_mut(number) {
                client.sent(request);
            }
            // Now and then the customer clicks twice.
            let twice = matches!(ask, Ask::Order { .. } | Ask::TopUp { .. });
            if twice
                && self.rng.per_mille(120)
                && let Some(other) = self.rng.pick(&alive).copied()
            {
                self.history().count("asked twice at once");
                self.request(other, channel, ask, wait);
            }
        }
    }

    pub(super) fn request(&mut self, process: usize, channel: &str, ask: Ask, wait: u64) -> Option<u32> {
        let depot = self.processes.get(process)?.depot.clone()?;
        let caller = template::caller(channel).ok()?;
        self.requests += 1;
        let request = self.requests;
        self.tell(What::Asked { request, channel: channel.to_owned(), process, ask: ask.clone() });
        let codes = Arc::clone(&self.codes);
        let work = Request { depot, caller, ask, wait: Duration::from_millis(wait), codes };
        self.executor.add(process, Some(request), Box::pin(work.run()));
        Some(request)
    }

    pub(super) fn answered(&mut self, request: u32, answer: Answer) {
        let now = self.time.micros();
        match &answer {
            Answer::Event { http } => self.event_ended(request, Some(*http)),
            _ => self.event_ended(request, None),
        }
        match &answer {
            Answer::Order { profiles, .. } => {
                for shown in profiles.iter().filter(|shown| shown.code.is_some()) {
                    self.give_phone(&shown.iccid);
                }
            }
            Answer::Code { iccid, .. } => self.give_phone(iccid),
            _ => {}
        }
        if let Some(client) = self.clients.iter_mut().find(|client| client.waits_for(request)) {
            client.answered(&answer, now);
        }
        self.person.answered(request, &answer, now);
        self.engineer.answered(request, &answer, now);
        self.tell(What::Answered { request, answer });
    }

    pub(super) fn give_phone(&mut self, iccid: &str) {
        if let Ok(iccid) = Iccid::parse(iccid)
            && !self.phones.contains(&iccid)
        {
            self.phones.push(iccid);
        }
    }

    pub(super) fn unanswered(&mut self, request: u32, why: &'static str) {
        let now = self.time.micros();
        self.event_ended(request, None);
        self.tell(What::Unanswered { request, why });
        if let Some(client) = self.clients.iter_mut().find(|client| client.waits_for(request)) {
            client.unanswered(now);
        }
        self.person.unanswered(request, now);
        self.engineer.unanswered(request, now);
    }

    /// A customer does the next thing that one does with a profile.
    pub(super) fn use_phone(&mut self) {
        let Some(iccid) = self.rng.pick(&self.phones).cloned() else { return };
        let now = self.time.moment();
        let country = if self.rng.per_mille(500) { "FR" } else { "JP" };
        let remove = self.rng.per_mille(150);
        let act = self.network.with_twin(|twin| {
            let status = twin.line(iccid.as_str())?.profile.as_ref()?.status;
            let (act, done) = match status {
                EsimStatus::Released => ("download", twin.simulate_download(&iccid, None, now).is_ok()),
                EsimStatus::Downloaded => ("install", twin.simulate_install(&iccid, now).is_ok()),
                EsimStatus::Installed | EsimStatus::Disabled => {
                    ("enable", twin.simulate_enable(&iccid, now).is_ok())
                }
                EsimStatus::Enabled if remove => ("delete", twin.simulate_delete(&iccid, now).is_ok()),
                EsimStatus::Enabled => ("attach", twin.attach(&iccid, country, now).is_ok()),
                EsimStatus::Available | EsimStatus::Allocated | EsimStatus::Deleted => return None,
            };
            done.then_some(act)
        });
        if let Some(act) = act {
            self.tell(What::Device { iccid: iccid.to_string(), act });
        }
    }
}
