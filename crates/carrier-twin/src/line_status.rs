//! A line's status outside of writes: set by Transatel's own tools, by its rules or by first use.

use chrono::{DateTime, Utc};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::sim::SimStatus;

use crate::device::DeviceError;
use crate::events::Origin;
use crate::line_operation::SuspendedBy;
use crate::state::Twin;

impl Twin {
    /// Sets the line's status whatever it was, as Transatel's own tools can. A suspension counts as the customer's.
    ///
    /// # Errors
    /// Unknown line.
    pub fn set_line_status(
        &mut self,
        iccid: &Iccid,
        status: SimStatus,
        now: DateTime<Utc>,
    ) -> Result<(), DeviceError> {
        let now = self.begin(now);
        self.move_line(iccid, status, "webtool", now)
    }

    /// Suspends a line in somebody's name: an operator's suspension cannot be ended by `reactivate`.
    ///
    /// # Errors
    /// Unknown line.
    pub fn suspend_line(
        &mut self,
        iccid: &Iccid,
        by: SuspendedBy,
        now: DateTime<Utc>,
    ) -> Result<(), DeviceError> {
        let now = self.begin(now);
        let source = if by == SuspendedBy::Customer { "webtool" } else { "system" };
        self.move_line(iccid, SimStatus::Suspended, source, now)?;
        let line = self.line_mut(iccid)?;
        line.subscriber_mut().suspended_by = Some(by);
        Ok(())
    }

    pub(crate) fn move_line(
        &mut self,
        iccid: &Iccid,
        to: SimStatus,
        source: &'static str,
        now: DateTime<Utc>,
    ) -> Result<(), DeviceError> {
        let line = self.line_mut(iccid)?;
        let from = line.sim_status;
        if from == to {
            return Ok(());
        }
        line.set_status(to, now);
        if to == SimStatus::Suspended {
            line.subscriber_mut().suspended_by = Some(SuspendedBy::Customer);
        }
        line.modified_at = now;
        line.keep_view(now);
        if let Some(name) = self.event_of_move(from, to) {
            let origin = Origin { source, transaction_id: None, failed: false, extra: None };
            self.emit_subscriber(now, &name, &origin, iccid.as_str());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, at};

    #[test]
    fn a_suspension_says_by_whom_until_it_ends() {
        let mut bench = Bench::new();
        let iccid = bench.line().iccid;
        let by = |bench: &Bench| bench.twin.line(iccid.as_str()).unwrap().subscriber.suspended_by;
        bench.twin.set_line_status(&iccid, SimStatus::Suspended, at(0)).unwrap();
        assert_eq!(by(&bench), Some(SuspendedBy::Customer));
        bench.twin.suspend_line(&iccid, SuspendedBy::Operator, at(1)).unwrap();
        assert_eq!(by(&bench), Some(SuspendedBy::Operator));
        bench.twin.set_line_status(&iccid, SimStatus::Active, at(2)).unwrap();
        assert_eq!(by(&bench), None);
        bench.twin.suspend_line(&iccid, SuspendedBy::Automatic, at(3)).unwrap();
        assert_eq!(bench.twin.events().last().unwrap().body["source"], "system");
    }

    #[test]
    fn events_without_a_public_name_have_an_assumed_one() {
        let mut bench = Bench::new();
        let iccid = bench.line().iccid;
        bench.twin.assumptions_mut().test_mode_event = String::new();
        bench.twin.assumptions_mut().tariff_holiday_event = "SUBSCRIBER/SLEEPING".to_owned();
        for status in
            [SimStatus::Available, SimStatus::Preactivated, SimStatus::TestMode, SimStatus::TariffHoliday]
        {
            bench.twin.set_line_status(&iccid, status, at(0)).unwrap();
        }
        let names: Vec<&str> = bench.twin.events().iter().map(|event| event.event_type.as_str()).collect();
        assert_eq!(
            names,
            ["PREACTIVATED", "SLEEPING"].map(|name| format!("CONNECTIVITY-MANAGEMENT/SUBSCRIBER/{name}"))
        );
    }
}
