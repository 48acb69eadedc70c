//! Processes begin, stand still and die.

use anyhow::Result;

use super::{MILLISECOND, World};
use crate::history::What;
use crate::sim::carriers::To;
use crate::sim::end_state;

impl World {
    pub(super) fn begin_processes(&mut self) -> Result<()> {
        let (now, sends) = (self.time.micros(), !self.endpoints.is_empty());
        for number in 0..self.processes.len() {
            let Some(process) = self.processes.get_mut(number) else { continue };
            if process.depot.is_some() || process.begins_at > now {
                continue;
            }
            let depot = self.surroundings.open(&self.database)?;
            for work in self.surroundings.loops(number, &depot, sends, &mut self.rng) {
                self.executor.add(number, None, work);
            }
            process.depot = Some(depot);
            process.stands_still_until = 0;
            self.tell(What::Opened { process: number });
        }
        Ok(())
    }

    /// A process that is there.
    pub(super) fn alive(&mut self) -> Option<usize> {
        let alive: Vec<usize> = (0..self.processes.len())
            .filter(|place| self.processes.get(*place).is_some_and(|process| process.depot.is_some()))
            .collect();
        self.rng.pick(&alive).copied()
    }

    /// What goes wrong now, apart from what goes wrong on the way to the carrier.
    pub(super) fn disturb(&mut self) {
        let mut rarely = |n: u16| self.rng.per_mille(n) && self.rng.per_mille(150);
        let (kill, pause) = (rarely(self.weather.kills), rarely(self.weather.pauses));
        let (gone, clock) = (rarely(self.weather.gone_clients), rarely(self.weather.clock_steps));
        let process = self.rng.place(self.processes.len());
        if kill {
            self.kill(process);
        }
        if pause {
            let ms = self.rng.within(500, 60_000);
            self.pause(process, ms);
        }
        if gone && let Some(request) = self.rng.pick(&self.executor.requests()).copied() {
            self.history().count("client gone");
            self.executor.drop_request(request);
            self.unanswered(request, "the client went away");
        }
        if clock {
            let ms = self.rng.within(-1_500, 1_500);
            self.history().count("clock set");
            self.time.set_wrong_by(ms * MILLISECOND);
            self.tell(What::ClockSet { ms });
        }
        // A line that is told something must be in service.
        let often = if self.engineer.is_spent() || !self.carriers.has(To::Transatel) { 4 } else { 12 };
        if self.rng.per_mille(often) {
            self.use_phone();
        }
    }

    pub(super) fn end_process(&mut self, process: usize) -> usize {
        let requests = self.executor.kill(process);
        let now = self.time.micros();
        let begins_at = now + self.rng.within(100, 20_000) * MILLISECOND;
        if let Some(process) = self.processes.get_mut(process) {
            process.depot = None;
            process.begins_at = begins_at;
        }
        for request in &requests {
            self.unanswered(*request, "the process died");
        }
        requests.len()
    }

    pub(super) fn kill(&mut self, process: usize) {
        if self.processes.get(process).is_none_or(|process| process.depot.is_none()) {
            return;
        }
        self.history().count("process killed");
        // Its answers may have come and not been written down yet.
        self.network.interrupt(end_state::under_way(&mut self.raw).unwrap_or_default());
        let under_way = self.end_process(process);
        self.tell(What::Killed { process, under_way });
    }

    pub(super) fn pause(&mut self, process: usize, ms: i64) {
        let until = self.time.micros() + ms * MILLISECOND;
        if let Some(process) = self.processes.get_mut(process) {
            process.stands_still_until = until;
        }
        // Others take an answer for lost that waits in a process that stands still.
        self.network.interrupt(end_state::under_way(&mut self.raw).unwrap_or_default());
        self.history().count("process paused");
        self.tell(What::Paused { process, ms });
    }
}
