//! Somebody tells sold lines to stop, to work again, to end, to move to another device.

use anyhow::Result;
use simdepot_carrier_twin::sps::SubscriptionStatus;
use simdepot_domain::sim::SimStatus;

use super::{Phase, World};
use crate::history::{Ask, AskedCommand};
use crate::sim::carriers::To;
use crate::sim::clients::device;

/// The channel of whoever looks after lines.
const ENGINEER: &str = "engineering";

impl World {
    /// One command at a time, again until somebody answers.
    pub(super) fn let_engineer_act(&mut self) -> Result<()> {
        let now = self.time.micros();
        if let Some(ask) = self.engineer.again(now) {
            self.let_engineer_ask(ask);
        } else if self.phase == Phase::Storm
            && self.engineer.begins(now)
            && let Some((iccid, command)) = self.choose_command()
            && let Some(key) = self.engineer.replaces()
        {
            let ask = Ask::Command { iccid, command, key };
            self.engineer.wants(ask.clone());
            self.let_engineer_ask(ask);
        }
        Ok(())
    }

    fn let_engineer_ask(&mut self, ask: Ask) {
        let Some(process) = self.alive() else { return };
        if let Some(request) = self.request(process, ENGINEER, ask, 0) {
            self.engineer.sent(request);
        }
    }

    /// A line of a customer, and mostly what it takes as it stands; now and then what it does not.
    fn choose_command(&mut self) -> Option<(String, AskedCommand)> {
        let lines = self.lines_in_service();
        let (to, iccid, status) = self.rng.pick(&lines).cloned()?;
        if to == To::Wholesale && self.rng.per_mille(350) {
            let command = if self.rng.per_mille(500) {
                AskedCommand::ChangeDevice { imei: device(&mut self.rng) }
            } else {
                let (known, block) = self.device_to_block(&iccid)?;
                AskedCommand::BlockDevice { imei: known, block }
            };
            return Some((iccid, command));
        }
        let dice = self.rng.below(10);
        let command = match status {
            SimStatus::Active if dice < 8 => AskedCommand::Suspend,
            SimStatus::Active if dice < 9 => AskedCommand::Terminate,
            SimStatus::Suspended if dice < 8 => AskedCommand::Reactivate,
            SimStatus::Ceased => AskedCommand::Reactivate,
            _ if dice.is_multiple_of(2) => AskedCommand::Suspend,
            _ => AskedCommand::Reactivate,
        };
        Some((iccid, command))
    }

    /// Every line that was in service once and is not over for ever.
    fn lines_in_service(&self) -> Vec<(To, String, SimStatus)> {
        let mut lines = self.network.with_twin(|twin| {
            let sold = |status| matches!(status, SimStatus::Active | SimStatus::Suspended);
            let lines = twin.lines().filter(|line| sold(line.sim_status));
            lines
                .map(|line| (To::Transatel, line.spec.iccid.to_string(), line.sim_status))
                .collect::<Vec<_>>()
        });
        lines.extend(self.network.with_wholesale(|twin| {
            let status = |status| match status {
                SubscriptionStatus::Active => SimStatus::Active,
                SubscriptionStatus::Suspended => SimStatus::Suspended,
                SubscriptionStatus::Ceased => SimStatus::Ceased,
            };
            let found = twin.subscriptions().iter();
            found.map(|found| (To::Wholesale, found.iccid.clone(), status(found.status))).collect::<Vec<_>>()
        }));
        lines
    }

    /// The device that a line is used in, or one that is stolen; taken off the list when it is on it.
    fn device_to_block(&mut self, iccid: &str) -> Option<(String, bool)> {
        let stolen = device(&mut self.rng);
        self.network.with_wholesale(|twin| {
            let used = twin.subscription_of_iccid(iccid)?.pei.clone();
            let device = used.unwrap_or(stolen);
            let block = !twin.is_blocked(&device);
            Some((device, block))
        })
    }
}
