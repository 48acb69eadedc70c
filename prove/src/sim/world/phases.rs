//! A run goes from phase to phase.

use anyhow::Result;

use super::{SECOND, World};
use crate::history::{Ask, Micros, What};
use crate::sim::clients::Client;
use crate::sim::end_state;

/// The longest that things go wrong.
const STORM: Micros = 240 * SECOND;
/// As long as lines are told something, when storefronts want nothing more.
const COMMANDS: Micros = 90 * SECOND;
/// The longest that may be needed afterwards.
const GRACE: Micros = 3_600 * SECOND;
/// The longest that may pass then without a change in what waits for delivery: their owners see to it that nothing waits
/// for its next try. All of it may take longer: nothing goes on while a parcel is on its way, but time does.
const PATIENCE: Micros = 300 * SECOND;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Things go wrong.
    Storm,
    /// Nothing goes wrong any more.
    Grace,
    /// Our books are compared with the carrier's.
    Comparing,
    /// The storefronts look at their orders once more.
    Closing,
    /// What was told of all this reaches the webhook endpoints.
    Delivering,
}

impl World {
    /// Whether this was the last turn; goes from phase to phase.
    pub(super) fn is_over(&mut self) -> Result<bool> {
        let now = self.time.micros();
        let lasted = now - self.phase_begun;
        let clients_done = self.clients.iter().all(Client::is_done);
        match self.phase {
            Phase::Storm
                if clients_done && (self.engineer.is_spent() || lasted > COMMANDS) || lasted > STORM =>
            {
                self.network.heal();
                self.post.heal();
                self.person.calm_down();
                self.engineer.calm_down();
                for client in &mut self.clients {
                    client.stop_wanting();
                }
                for process in &mut self.processes {
                    process.begins_at = process.begins_at.min(now);
                    process.stands_still_until = 0;
                }
                self.tell(What::Healed);
                self.enter(Phase::Grace);
            }
            Phase::Storm => {}
            Phase::Grace => {
                if now - self.looked_at < 2 * SECOND {
                    return Ok(false);
                }
                self.looked_at = now;
                let people_done = self.person.is_free() && self.waiting_for_the_person()?.is_empty();
                let settled = clients_done
                    && people_done
                    && self.engineer.is_free()
                    && self.network.is_quiet()
                    && end_state::open_work(&mut self.raw)? == 0;
                if settled || lasted > GRACE {
                    self.enter(Phase::Comparing);
                }
            }
            Phase::Comparing => {
                if now - self.looked_at < SECOND {
                    return Ok(false);
                }
                let compared = end_state::comparisons(&mut self.raw)?;
                if self.looked_at == 0 {
                    self.comparisons = compared.1;
                    if let Some(process) = self.alive() {
                        self.request(process, "shop-a", Ask::Compare, 0);
                    }
                }
                self.looked_at = now;
                let done = compared.0 == 0 && compared.1 > self.comparisons && self.network.is_quiet();
                if done && end_state::open_work(&mut self.raw)? == 0 || lasted > GRACE {
                    self.clients.iter_mut().for_each(Client::read_all_again);
                    self.enter(Phase::Closing);
                }
            }
            Phase::Closing => {
                if clients_done || lasted > GRACE {
                    self.enter(Phase::Delivering);
                }
            }
            Phase::Delivering => {
                if now - self.looked_at < SECOND {
                    return Ok(false);
                }
                self.looked_at = now;
                let enabled = end_state::enabled_endpoints(&mut self.raw)?.len();
                let left = end_state::undelivered(&mut self.raw)?;
                if left != self.undelivered {
                    (self.undelivered, self.phase_begun) = (left, now);
                }
                let delivered = enabled == self.endpoints.len() && left == 0;
                return Ok(delivered && self.person.is_free() || lasted > PATIENCE);
            }
        }
        Ok(false)
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_begun = self.time.micros();
        self.looked_at = 0;
    }
}
