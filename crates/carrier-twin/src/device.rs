//! The part of a phone: downloading, switching and removing profiles, attaching to a network, using data
//! (assumptions A8 and A9).

use chrono::{DateTime, Utc};
use serde::Serialize;
use simdepot_domain::check_digits::mod97_ok;
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::observation::Lifecycle;
use simdepot_domain::sim::SimStatus;

use crate::events::esim_suffix;
use crate::line::{Line, wire_status};
use crate::state::Twin;

/// Why a device could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No line has this ICCID.
    #[error("no line has ICCID {0}; add it first")]
    UnknownLine(Iccid),
    /// The line is a physical SIM.
    #[error("ICCID {0} is a physical SIM without a profile")]
    NotEsim(Iccid),
    /// The profile's status does not allow it.
    #[error("the profile is {from}, which does not allow it to become {to}")]
    WrongProfileStatus {
        /// Present status.
        from: EsimStatus,
        /// Status asked for.
        to: EsimStatus,
    },
    /// The device attaches with an enabled profile only.
    #[error("the profile is {0}; enable it before the device attaches")]
    NotEnabled(EsimStatus),
    /// The network does not serve the line.
    #[error("the line is {0}, which has no network")]
    NoNetwork(&'static str),
    /// Data is used where the device attached last.
    #[error("the line has never attached; attach it to a country first")]
    NeverAttached,
}

/// What an attach set off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Whether it was the first use, which activated the line.
    pub line_activated: bool,
    /// The plan that started.
    pub subscription_started: Option<String>,
}

/// What became of used data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Consumed {
    /// KB that running plans paid for. An unlimited plan pays for everything.
    pub consumed_kb: u64,
    /// KB that no plan covered: the network would have refused them.
    pub refused_kb: u64,
}

impl Twin {
    /// A device downloads the profile. Without an EID, the twin makes one.
    ///
    /// # Errors
    /// Not a released eSIM; a second download is refused and, by default, reported as an event (A8).
    pub fn simulate_download(
        &mut self,
        iccid: &Iccid,
        eid: Option<Eid>,
        now: DateTime<Utc>,
    ) -> Result<(), DeviceError> {
        let again = self.assumptions.deleted_profile_downloads_again;
        let from = |status| status == EsimStatus::Released || (again && status == EsimStatus::Deleted);
        let eid = eid.or_else(|| self.make_eid());
        let now = self.begin(now);
        self.operate(iccid, EsimStatus::Downloaded, from, eid, now)
    }

    /// The device installs the downloaded profile.
    ///
    /// # Errors
    /// The profile is not downloaded.
    pub fn simulate_install(&mut self, iccid: &Iccid, now: DateTime<Utc>) -> Result<(), DeviceError> {
        let now = self.begin(now);
        self.operate(iccid, EsimStatus::Installed, |status| status == EsimStatus::Downloaded, None, now)
    }

    /// The user switches the profile on.
    ///
    /// # Errors
    /// The profile is neither installed nor disabled.
    pub fn simulate_enable(&mut self, iccid: &Iccid, now: DateTime<Utc>) -> Result<(), DeviceError> {
        let from = |status| matches!(status, EsimStatus::Installed | EsimStatus::Disabled);
        let now = self.begin(now);
        self.operate(iccid, EsimStatus::Enabled, from, None, now)
    }

    /// The user switches the profile off.
    ///
    /// # Errors
    /// The profile is not enabled.
    pub fn simulate_disable(&mut self, iccid: &Iccid, now: DateTime<Utc>) -> Result<(), DeviceError> {
        let now = self.begin(now);
        self.operate(iccid, EsimStatus::Disabled, |status| status == EsimStatus::Enabled, None, now)
    }

    /// The user removes the profile from the device.
    ///
    /// # Errors
    /// The profile is not on a device.
    pub fn simulate_delete(&mut self, iccid: &Iccid, now: DateTime<Utc>) -> Result<(), DeviceError> {
        let from =
            |status| matches!(status, EsimStatus::Installed | EsimStatus::Enabled | EsimStatus::Disabled);
        let now = self.begin(now);
        self.operate(iccid, EsimStatus::Deleted, from, None, now)
    }

    /// The device attaches to a network in a country (ISO 3166 alpha-2). The first use activates a pre-activated
    /// line, and a waiting plan that covers the country may start.
    ///
    /// # Errors
    /// The profile is not enabled, or the line's status has no network.
    pub fn attach(
        &mut self,
        iccid: &Iccid,
        country: &str,
        now: DateTime<Utc>,
    ) -> Result<Attached, DeviceError> {
        let now = self.begin(now);
        let activates = self.assumptions.attach_activates_line;
        let line = self.line_mut(iccid)?;
        if let Some(profile) = line.profile.as_ref().filter(|profile| profile.status != EsimStatus::Enabled) {
            return Err(DeviceError::NotEnabled(profile.status));
        }
        if !matches!(line.sim_status, SimStatus::Preactivated | SimStatus::Active | SimStatus::TestMode) {
            return Err(DeviceError::NoNetwork(wire_status(line.sim_status)));
        }
        line.last_seen = Some((now, country.to_ascii_uppercase()));
        let line_activated = activates && line.sim_status == SimStatus::Preactivated;
        if line_activated {
            self.move_line(iccid, SimStatus::Active, "system", now)?;
        } else {
            line.keep_view(now);
        }
        let subscription_started = self.start_next(now, iccid.as_str(), country);
        Ok(Attached { line_activated, subscription_started })
    }

    /// The device uses data where it attached last; begun kilobytes count as whole ones. A test period needs no plan;
    /// its quota, if it has one, ends it.
    ///
    /// # Errors
    /// The line is neither active nor in test mode, or never attached.
    pub fn consume(
        &mut self,
        iccid: &Iccid,
        bytes: u64,
        now: DateTime<Utc>,
    ) -> Result<Consumed, DeviceError> {
        let now = self.begin(now);
        let line = self.line_mut(iccid)?;
        if !matches!(line.sim_status, SimStatus::Active | SimStatus::TestMode) {
            return Err(DeviceError::NoNetwork(wire_status(line.sim_status)));
        }
        let (_, country) = line.last_seen.clone().ok_or(DeviceError::NeverAttached)?;
        let kb = bytes.div_ceil(1024);
        if line.sim_status == SimStatus::TestMode {
            return self.consume_in_test(iccid, kb, now);
        }
        let refused_kb = self.take_data(now, iccid.as_str(), &country, kb);
        Ok(Consumed { consumed_kb: kb - refused_kb, refused_kb })
    }

    fn consume_in_test(
        &mut self,
        iccid: &Iccid,
        kb: u64,
        now: DateTime<Utc>,
    ) -> Result<Consumed, DeviceError> {
        let quota = self.assumptions.test_mode_quota_kb;
        let subscriber = self.line_mut(iccid)?.subscriber_mut();
        let before = subscriber.test_used_kb;
        let left = quota.map_or(kb, |quota| quota.saturating_sub(before));
        subscriber.test_used_kb = before.saturating_add(kb.min(left));
        if quota.is_some() && kb >= left {
            self.move_line(iccid, SimStatus::Active, "system", now)?;
        }
        Ok(Consumed { consumed_kb: kb.min(left), refused_kb: kb.saturating_sub(left) })
    }

    /// Sets the profile's status whatever it was.
    ///
    /// # Errors
    /// Unknown line or physical SIM.
    pub fn set_esim_status(
        &mut self,
        iccid: &Iccid,
        status: EsimStatus,
        now: DateTime<Utc>,
    ) -> Result<(), DeviceError> {
        let now = self.begin(now);
        self.operate(iccid, status, |from| from != status, None, now)
    }

    /// Makes a profile downloadable; `now` is the twin's own time.
    pub(crate) fn release(&mut self, iccid: &Iccid, now: DateTime<Utc>) -> Result<(), DeviceError> {
        self.operate(
            iccid,
            EsimStatus::Released,
            |status| status.rank() < EsimStatus::Released.rank(),
            None,
            now,
        )
    }

    pub(crate) fn line_mut(&mut self, iccid: &Iccid) -> Result<&mut Line, DeviceError> {
        self.lines.get_mut(iccid.as_str()).ok_or_else(|| DeviceError::UnknownLine(iccid.clone()))
    }

    /// Moves the profile if its status allows; a move that is not allowed leaves it and is an event (A8).
    fn operate(
        &mut self,
        iccid: &Iccid,
        to: EsimStatus,
        allowed: impl Fn(EsimStatus) -> bool,
        eid: Option<Eid>,
        now: DateTime<Utc>,
    ) -> Result<(), DeviceError> {
        let line = self.line_mut(iccid)?;
        let Some(profile) = line.profile.as_mut() else {
            return Err(DeviceError::NotEsim(iccid.clone()));
        };
        let from = profile.status;
        if !allowed(from) {
            if self.assumptions.failed_operation_event {
                self.emit_esim(now, "ERROR", iccid.as_str());
            }
            return Err(DeviceError::WrongProfileStatus { from, to });
        }
        profile.status = to;
        profile.since = now;
        profile.eid = eid.or(profile.eid.take());
        profile.history.push((to, now));
        line.keep_view(now);
        if let Some(suffix) = esim_suffix(to) {
            self.emit_esim(now, suffix, iccid.as_str());
        }
        Ok(())
    }

    /// An EID with a good check: a fictional eUICC of a known manufacturer's range.
    fn make_eid(&mut self) -> Option<Eid> {
        let body = format!("89049032{:022}", self.ids.next());
        let digits = (2..=98).map(|check| format!("{body}{check:02}")).find(|digits| mod97_ok(digits))?;
        Eid::parse(&digits).ok()
    }
}

#[cfg(test)]
mod tests;
