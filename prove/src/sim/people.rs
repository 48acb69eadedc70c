//! The person who helps customers, decides by hand and looks after webhook endpoints: one thing at a time, again until
//! somebody answers.

use super::weather::Weather;
use crate::history::{Answer, Ask, Micros};
use crate::rng::Rng;

const SECOND: Micros = 1_000_000;

/// Something asked and not answered so far.
struct Busy {
    ask: Ask,
    request: Option<u32>,
    again_at: Micros,
}

/// The person.
pub(super) struct Person {
    rng: Rng,
    /// Whether it decides what the carrier could not tell.
    pub(super) decides: bool,
    /// How many profiles it still replaces, or how many commands it still gives.
    left: u32,
    /// The longest pause between two things.
    pause: Micros,
    asked: u32,
    name: &'static str,
    idle_until: Micros,
    busy: Option<Busy>,
}

impl Person {
    pub(super) fn new(weather: &Weather, rng: Rng) -> Self {
        let (decides, left, pause) = (weather.decides, weather.replacements, weather.people_pause);
        Self { rng, decides, left, pause, asked: 0, name: "hand", idle_until: 0, busy: None }
    }

    /// Who tells lines what to do.
    pub(super) fn engineer(weather: &Weather, rng: Rng) -> Self {
        Self { left: weather.orders_to_lines, name: "engineer", ..Self::new(weather, rng) }
    }

    /// Nothing new is replaced from here on.
    pub(super) fn calm_down(&mut self) {
        self.left = 0;
        self.pause = self.pause.min(4 * SECOND);
    }

    /// Whether it waits for nothing.
    pub(super) fn is_free(&self) -> bool {
        self.busy.is_none()
    }

    /// Whether it will want nothing more by itself.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0 && self.busy.is_none()
    }

    /// Whether it begins with something now.
    pub(super) fn begins(&mut self, now: Micros) -> bool {
        if self.busy.is_some() || self.idle_until > now {
            return false;
        }
        self.idle_until = now + self.rng.within(self.pause / 8, self.pause);
        true
    }

    /// It wants this.
    pub(super) fn wants(&mut self, ask: Ask) {
        self.busy = Some(Busy { ask, request: None, again_at: 0 });
    }

    /// What it asks once more.
    pub(super) fn again(&self, now: Micros) -> Option<Ask> {
        let busy = self.busy.as_ref()?;
        (busy.request.is_none() && busy.again_at <= now).then(|| busy.ask.clone())
    }

    /// Its request went out under this number.
    pub(super) fn sent(&mut self, request: u32) {
        if let Some(busy) = &mut self.busy {
            busy.request = Some(request);
        }
    }

    /// The key of the next replacement or command, if there is to be one.
    pub(super) fn replaces(&mut self) -> Option<String> {
        self.left = self.left.checked_sub(1)?;
        Some(self.key())
    }

    /// A key that was not used before.
    pub(super) fn key(&mut self) -> String {
        self.asked += 1;
        format!("by-{}-{}", self.name, self.asked)
    }

    fn waits_for(&self, request: u32) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.request == Some(request))
    }

    /// Nobody will answer. What was judged may be judged anew, or asked again as it was.
    pub(super) fn unanswered(&mut self, request: u32, now: Micros) {
        if !self.waits_for(request) {
            return;
        }
        let judged = self.busy.as_ref().is_some_and(|busy| matches!(busy.ask, Ask::Resolve { .. }));
        if judged && self.rng.per_mille(500) {
            self.busy = None;
            return;
        }
        let pause = self.rng.within(0, 3 * SECOND);
        if let Some(busy) = &mut self.busy {
            (busy.request, busy.again_at) = (None, now + pause);
        }
    }

    /// It has its answer.
    pub(super) fn answered(&mut self, request: u32, answer: &Answer, now: Micros) {
        if matches!(answer, Answer::Problem { again: true, .. }) {
            self.unanswered(request, now);
        } else if self.waits_for(request) {
            self.busy = None;
        }
    }
}
