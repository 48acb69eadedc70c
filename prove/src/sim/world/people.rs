//! What people do beside the storefronts: support replaces profiles, somebody decides what the carrier could not tell,
//! and the owners of webhook endpoints look after them.

use anyhow::Result;
use simdepot_application::webhooks::endpoints::{self, NewEndpoint};

use simdepot_carrier_twin::sps::SpsTransactionStatus;
use simdepot_carrier_twin::{Transaction, TransactionStatus};
use simdepot_domain::sim::SimStatus;

use super::{Phase, SECOND, World};
use crate::checker::Endpoint;
use crate::history::{Ask, Judged};
use crate::sim::carriers::To;
use crate::sim::end_state::Undecided;
use crate::sim::{end_state, template};

/// The channel of the people who are no storefront.
const SUPPORT: &str = "support";

/// What a person sees at the carrier of an operation.
enum Found {
    /// It was done, as this subscription where one was made.
    Done(Option<String>),
    /// It failed there.
    Failed,
    /// The carrier works on it, or what is seen says nothing.
    AtWork,
    /// Nothing.
    Nothing,
}

impl World {
    /// Webhook endpoints are there from the beginning.
    pub(super) async fn register_endpoints(&mut self) -> Result<()> {
        let asked = self.weather.endpoints.clone();
        if asked.is_empty() {
            return Ok(());
        }
        let depot = self.surroundings.open(&self.database)?;
        for (number, types) in asked.into_iter().enumerate() {
            let channel = if number % 2 == 0 { "shop-a" } else { "shop-b" };
            let url = format!("https://{channel}.example.com/{number}");
            let owned = types.as_ref().map(|types| types.iter().map(|name| (*name).to_owned()).collect());
            let new = NewEndpoint { url: url.clone(), description: None, types: owned };
            let (made, _) = endpoints::create(&depot, &template::caller(channel)?, new, None).await?;
            if let Some(secret) = &made.secret {
                self.post.knows(&url, secret.text().expose());
            }
            let types = made.endpoint.settings.types.clone();
            let (id, since) = (made.endpoint.id.to_string(), made.endpoint.position);
            self.endpoints.push(Endpoint {
                id,
                channel: channel.to_owned(),
                url,
                types,
                since,
                enabled: true,
            });
        }
        Ok(())
    }

    /// The person does one thing at a time.
    pub(super) fn let_people_act(&mut self) -> Result<()> {
        let now = self.time.micros();
        if let Some(ask) = self.person.again(now) {
            self.let_person_ask(ask);
        } else if self.person.begins(now) {
            let ask = match self.phase {
                Phase::Storm => self.choose()?,
                Phase::Grace => self.decide()?,
                Phase::Comparing | Phase::Closing => None,
                Phase::Delivering => self.look_after_endpoint()?,
            };
            if let Some(ask) = ask {
                self.person.wants(ask.clone());
                self.let_person_ask(ask);
            }
        }
        Ok(())
    }

    fn let_person_ask(&mut self, ask: Ask) {
        let Some(process) = self.alive() else { return };
        let channel = match &ask {
            Ask::Endpoint { endpoint, .. } => self.endpoints.iter().find(|known| known.id == *endpoint),
            _ => None,
        };
        let channel = channel.map_or_else(|| SUPPORT.to_owned(), |endpoint| endpoint.channel.clone());
        let wait = 0;
        if let Some(request) = self.request(process, &channel, ask, wait) {
            self.person.sent(request);
        }
    }

    fn choose(&mut self) -> Result<Option<Ask>> {
        match self.rng.below(10) {
            0..4 => Ok(self.replace()),
            4..8 => self.decide(),
            _ => self.look_after_endpoint(),
        }
    }

    /// A customer says that a profile does not work.
    fn replace(&mut self) -> Option<Ask> {
        let iccid = self.rng.pick(&self.phones)?.to_string();
        let key = self.person.replaces()?;
        Some(Ask::Replace { iccid, key })
    }

    /// What waits for a person, and now and then what does not yet: its outcome is open.
    pub(super) fn waiting_for_the_person(&mut self) -> Result<Vec<Undecided>> {
        if !self.person.decides {
            return Ok(Vec::new());
        }
        end_state::undecided(&mut self.raw, self.phase == Phase::Storm)
    }

    /// Decides by what the carrier has at this moment. Only "send it again" is now and then a mistake: that one is for
    /// simdepot to find out.
    fn decide(&mut self) -> Result<Option<Ask>> {
        let waiting = self.waiting_for_the_person()?;
        let Some(undecided) = self.rng.pick(&waiting).cloned() else { return Ok(None) };
        let found = if To::of(&undecided.account) == To::Wholesale {
            self.found_at_wholesale(&undecided)
        } else if undecided.kind == "place_bundle" {
            self.found_bundle(&undecided)
        } else {
            self.found_on_line(&undecided)
        };
        let judged = match found {
            Found::AtWork => return Ok(None),
            Found::Failed if self.rng.per_mille(800) => Judged::Refused,
            Found::Done(_) if self.rng.per_mille(100) => Judged::Retry,
            Found::Done(subscription) => {
                Judged::Done { subscription: subscription.filter(|_| self.rng.per_mille(750)) }
            }
            Found::Nothing if self.rng.per_mille(300) => Judged::Refused,
            Found::Failed | Found::Nothing => Judged::Retry,
        };
        let (operation, looked) = (undecided.id, self.time.micros());
        Ok(Some(Ask::Resolve { operation, judged, looked, key: self.person.key() }))
    }

    fn found_bundle(&self, undecided: &Undecided) -> Found {
        let found = self.network.with_twin(|twin| {
            let mut orders = twin.orders().iter();
            let found =
                orders.find(|order| order.transaction_reference.as_deref() == Some(undecided.id.as_str()));
            found.map(|order| order.subscription_id.clone())
        });
        found.map_or(Found::Nothing, |subscription| Found::Done(Some(subscription)))
    }

    fn found_at_wholesale(&self, undecided: &Undecided) -> Found {
        self.network.with_wholesale(|twin| match twin.transaction(&undecided.id).map(|found| found.status) {
            None => Found::Nothing,
            Some(SpsTransactionStatus::Completed) => Found::Done(None),
            Some(SpsTransactionStatus::Failed) => Found::Failed,
            Some(SpsTransactionStatus::Accepted | SpsTransactionStatus::InProgress) => Found::AtWork,
        })
    }

    /// The carrier has no number of ours: whether the line stands as it was to stand is all that a person sees.
    fn found_on_line(&self, undecided: &Undecided) -> Found {
        let wanted = match undecided.kind.as_str() {
            "suspend" => SimStatus::Suspended,
            "reactivate" => SimStatus::Active,
            "terminate" => SimStatus::Terminated,
            _ => return Found::AtWork,
        };
        self.network.with_twin(|twin| {
            let pending = |found: &Transaction| found.status == TransactionStatus::Pending;
            match twin.line(&undecided.iccid).map(|line| line.sim_status) {
                _ if twin.transactions_of(&undecided.iccid).any(pending) => Found::AtWork,
                Some(status) if status == wanted => Found::Done(None),
                _ => Found::Nothing,
            }
        })
    }

    /// An endpoint that is off is switched on again; one that is on is switched off and on when something waits long
    /// for its next try, and now and then for no reason.
    fn look_after_endpoint(&mut self) -> Result<Option<Ask>> {
        let Some(place) = (!self.endpoints.is_empty()).then(|| self.rng.place(self.endpoints.len())) else {
            return Ok(None);
        };
        let Some(endpoint) = self.endpoints.get(place).map(|endpoint| endpoint.id.clone()) else {
            return Ok(None);
        };
        let waits = end_state::waits_for_next_try(&mut self.raw, self.time.micros() + 2 * SECOND)?;
        let enabled = end_state::enabled_endpoints(&mut self.raw)?.contains(&endpoint);
        let storm = self.phase == Phase::Storm;
        let switch = match (enabled, storm) {
            (true, true) => self.rng.per_mille(100),
            (true, false) => waits.contains(&endpoint),
            (false, true) => self.rng.per_mille(500),
            (false, false) => true,
        };
        Ok(switch.then_some(Ask::Endpoint { endpoint, enabled: !enabled }))
    }
}
