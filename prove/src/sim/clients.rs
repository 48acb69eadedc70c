//! Storefronts: what they ask for, and how they ask again when nobody answered.

use super::carriers::{To, owner};
use crate::history::{Answer, Ask, AskedLine, Micros};
use crate::rng::Rng;

const SECOND: Micros = 1_000_000;

/// Products that storefronts sell.
const PRODUCTS: [&str; 2] = ["WW_901O_STACK_ONEOFF_FRANCE_1GB_7D", "WW_901O_STACK_ONEOFF_WORLD_1GB_7D"];

/// An order that a storefront knows of.
struct Known {
    id: String,
    ask: Ask,
    iccids: Vec<String>,
}

/// A request without an answer so far.
struct Busy {
    ask: Ask,
    request: Option<u32>,
    again_at: Micros,
    tries: u32,
}

/// One storefront.
pub(super) struct Client {
    /// Its channel.
    pub(super) channel: &'static str,
    number: usize,
    rng: Rng,
    /// How many things it still wants.
    left: u32,
    asked: u32,
    idle_until: Micros,
    busy: Option<Busy>,
    orders: Vec<Known>,
    /// Holds with their pools and sizes.
    holds: Vec<(String, String, u32)>,
    closing: Option<usize>,
    /// What it sells from: at even places what it sells more of.
    pools: Vec<&'static str>,
    /// Of a thousand things that it wants, how many are to take back what it ordered last.
    regrets: u16,
}

impl Client {
    pub(super) fn new(
        number: usize,
        channel: &'static str,
        wants: u32,
        (pools, regrets): (Vec<&'static str>, u16),
        rng: Rng,
    ) -> Self {
        let (busy, orders, holds, closing) = (None, Vec::new(), Vec::new(), None);
        Self {
            channel,
            number,
            rng,
            left: wants,
            asked: 0,
            idle_until: 0,
            busy,
            orders,
            holds,
            closing,
            pools,
            regrets,
        }
    }

    /// It wants nothing new; what it has asked for it goes on asking for.
    pub(super) fn stop_wanting(&mut self) {
        self.left = 0;
    }

    /// Whether every request has its answer and nothing is wanted.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0 && self.busy.is_none() && self.closing.is_none_or(|next| next >= self.orders.len())
    }

    /// At the end it reads every order that it knows of once more.
    pub(super) fn read_all_again(&mut self) {
        self.closing = Some(0);
    }

    /// What it asks now, if anything; `send` gives the request its number.
    pub(super) fn ask(&mut self, now: Micros) -> Option<Ask> {
        if let Some(busy) = &self.busy {
            return (busy.request.is_none() && busy.again_at <= now).then(|| busy.ask.clone());
        }
        if self.idle_until > now {
            return None;
        }
        let ask = if self.left > 0 {
            self.left -= 1;
            self.want()
        } else {
            let next = self.closing?;
            self.closing = Some(next + 1);
            Ask::Read { order: self.orders.get(next)?.id.clone(), reveal: true }
        };
        self.busy = Some(Busy { ask: ask.clone(), request: None, again_at: now, tries: 0 });
        Some(ask)
    }

    /// Its request went out under this number.
    pub(super) fn sent(&mut self, request: u32) {
        if let Some(busy) = &mut self.busy {
            busy.request = Some(request);
            busy.tries += 1;
        }
    }

    /// Whether it waits for this request.
    pub(super) fn waits_for(&self, request: u32) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.request == Some(request))
    }

    /// Nobody will answer; it asks again, for an order it does not know whether it has.
    pub(super) fn unanswered(&mut self, now: Micros) {
        let pause = self.rng.within(0, 3 * SECOND);
        if let Some(busy) = &mut self.busy {
            busy.request = None;
            busy.again_at = now + pause;
        }
    }

    /// It has its answer.
    pub(super) fn answered(&mut self, answer: &Answer, now: Micros) {
        if matches!(answer, Answer::Problem { again: true, .. }) {
            let tries = self.busy.as_ref().map_or(0, |busy| i64::from(busy.tries));
            self.unanswered(now + (tries * SECOND / 2).min(10 * SECOND));
            return;
        }
        let Some(busy) = self.busy.take() else { return };
        self.idle_until = now + self.rng.within(0, 2 * SECOND);
        if let (Ask::Hold { pool, .. }, Answer::Hold { id, quantity, .. }) = (&busy.ask, answer) {
            // To be used, or to be forgotten.
            self.holds.push((id.clone(), pool.clone(), *quantity));
            self.left += 1;
        }
        if let Answer::Order { id, profiles, .. } = answer {
            let iccids: Vec<String> = profiles.iter().map(|shown| shown.iccid.clone()).collect();
            match self.orders.iter_mut().find(|known| known.id == *id) {
                Some(known) => known.iccids = iccids,
                None => self.orders.push(Known { id: id.clone(), ask: busy.ask, iccids }),
            }
        }
    }

    fn want(&mut self) -> Ask {
        if let Some(order) = self.orders.last()
            && self.rng.per_mille(self.regrets)
        {
            return Ask::Cancel { order: order.id.clone() };
        }
        let known = self.rng.place(self.orders.len());
        let dice = self.rng.below(100);
        if let Some(order) = self.orders.get(known)
            && dice < 55
        {
            let iccid = self.rng.pick(&order.iccids).cloned();
            match (dice, iccid, &order.ask) {
                (0..12, _, Ask::Order { reference, lines, key, hold }) => {
                    let key = if self.rng.per_mille(500) { key.clone() } else { None };
                    let (reference, lines, hold) = (reference.clone(), lines.clone(), hold.clone());
                    return Ask::Order { reference, lines, key, hold };
                }
                (12..24, ..) => {
                    return Ask::Read { order: order.id.clone(), reveal: self.rng.per_mille(600) };
                }
                (24..34, Some(iccid), _) => return Ask::Code { iccid },
                (34..40, ..) => return Ask::Cancel { order: order.id.clone() },
                (40..55, Some(iccid), _) => {
                    let product = self.product();
                    return Ask::TopUp { iccid, reference: self.name("top"), product };
                }
                _ => {}
            }
        }
        if self.rng.per_mille(700)
            && let Some((hold, pool, quantity)) = self.holds.pop()
        {
            if self.rng.per_mille(250) {
                return Ask::Release { hold };
            }
            let quantity = u32::try_from(self.rng.within(1, i64::from(quantity))).unwrap_or(1);
            let lines = vec![self.line(pool, 700, quantity)];
            return Ask::Order { reference: self.name("ref"), lines, key: None, hold: Some(hold) };
        }
        if self.rng.per_mille(200) {
            let pool = self.pool();
            let quantity = u32::try_from(self.rng.within(1, 3)).unwrap_or(1);
            let seconds = u32::try_from(self.rng.within(1, 40)).unwrap_or(1);
            return Ask::Hold { pool, quantity, seconds, key: self.name("key") };
        }
        self.order()
    }

    fn pool(&mut self) -> String {
        let of_which = if self.rng.per_mille(650) { 0 } else { 1 };
        let pools: Vec<&str> = self.pools.iter().copied().skip(of_which).step_by(2).collect();
        self.rng.pick(&pools).copied().unwrap_or_default().to_owned()
    }

    /// A product where there are products; where subscriptions are activated, now and then with words of its own.
    fn line(&mut self, pool: String, products: u16, quantity: u32) -> AskedLine {
        if owner(&pool) == To::Transatel {
            let product = self.rng.per_mille(products).then(|| self.product());
            return AskedLine { pool, product, quantity, parameters: None };
        }
        let mut parameters = serde_json::Map::new();
        if self.rng.per_mille(300) {
            parameters.insert("subscriber_id".to_owned(), format!("Sub{:03}", self.rng.below(900)).into());
        }
        if self.rng.per_mille(200) {
            parameters.insert("location".to_owned(), serde_json::json!({ "zip": "10001" }));
        }
        if quantity == 1 && self.rng.per_mille(200) {
            parameters.insert("imei".to_owned(), device(&mut self.rng).into());
            parameters.insert("eid".to_owned(), "89049032020008884800228685583432".into());
        }
        let parameters = (!parameters.is_empty()).then(|| serde_json::Value::Object(parameters).to_string());
        AskedLine { pool, product: None, quantity, parameters }
    }

    fn order(&mut self) -> Ask {
        let mut lines = Vec::new();
        let count = if self.rng.per_mille(250) { 2 } else { 1 };
        for _ in 0..count {
            let pool = self.pool();
            let quantity = u32::try_from(self.rng.within(1, 3)).unwrap_or(1);
            lines.push(self.line(pool, 800, quantity));
        }
        let key = self.rng.per_mille(600).then(|| self.name("key"));
        Ask::Order { reference: self.name("ref"), lines, key, hold: None }
    }

    fn product(&mut self) -> String {
        self.rng.pick(&PRODUCTS).copied().unwrap_or_default().to_owned()
    }

    fn name(&mut self, kind: &str) -> String {
        self.asked += 1;
        format!("{kind}-{}-{}", self.number, self.asked)
    }
}

/// A device like no other: 16 digits, as networks tell of them.
pub(super) fn device(rng: &mut Rng) -> String {
    format!("35349006{:08}", rng.below(100_000_000))
}
