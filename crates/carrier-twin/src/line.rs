//! The lines (SIMs and eSIM profiles) that the twin's account owns.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

use crate::subscriber::Subscriber;

/// Longest memory of past states that SIM Search may still show.
const MAX_VIEWS: usize = 64;

/// What is delivered with a line and never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSpec {
    /// ICCID.
    pub iccid: Iccid,
    /// Phone number; `None` until the carrier attributes one.
    pub msisdn: Option<Msisdn>,
    /// Status of the line at delivery.
    pub sim_status: SimStatus,
    /// Activation code; `None` for a physical SIM.
    pub activation_code: Option<ActivationCode>,
    /// PIN 1.
    pub pin: Secret,
    /// PUK 1.
    pub puk: Secret,
}

impl LineSpec {
    /// The MSISDN's digits, empty when the line has none.
    pub fn msisdn(&self) -> &str {
        self.msisdn.as_ref().map_or("", Msisdn::as_str)
    }
}

/// How an account's lines are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Status of the lines.
    pub sim_status: SimStatus,
    /// Whether they are physical SIMs.
    pub physical: bool,
    /// Whether they have a number; otherwise activation attributes one.
    pub numbered: bool,
}

impl Delivered {
    /// Pre-activated eSIMs with numbers, as Service Provider Connect delivers.
    pub fn preactivated() -> Self {
        Self { sim_status: SimStatus::Preactivated, physical: false, numbered: true }
    }

    /// Available eSIMs without numbers.
    pub fn available() -> Self {
        Self { sim_status: SimStatus::Available, physical: false, numbered: false }
    }
}

/// A line to add as it is, when a test needs one that [`crate::Twin::add_lines`] does not make.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLine {
    /// ICCID.
    pub iccid: Iccid,
    /// Phone number.
    #[serde(default)]
    pub msisdn: Option<Msisdn>,
    /// Status of the line.
    #[serde(default = "preactivated")]
    pub sim_status: SimStatus,
    /// Status of the profile; ignored for a physical SIM.
    #[serde(default = "released")]
    pub esim_status: EsimStatus,
    /// Whether it is a physical SIM, which has no profile status and no code.
    #[serde(default)]
    pub physical: bool,
    /// Activation code; the twin makes one when absent.
    #[serde(default)]
    pub activation_code: Option<ActivationCode>,
}

fn preactivated() -> SimStatus {
    SimStatus::Preactivated
}

fn released() -> EsimStatus {
    EsimStatus::Released
}

/// A line that the twin has already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineTaken {
    /// The ICCID is in use.
    #[error("a line with ICCID {0} exists; choose another or reset the twin")]
    Iccid(Iccid),
    /// The MSISDN is in use.
    #[error("a line with MSISDN {0} exists; choose another or reset the twin")]
    Msisdn(Msisdn),
}

/// A profile's way through the SM-DP+ and the device.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Present status.
    pub status: EsimStatus,
    /// Since when.
    pub since: DateTime<Utc>,
    /// EID of the device that downloaded it.
    pub eid: Option<Eid>,
    /// Every status so far, the present one last.
    pub history: Vec<(EsimStatus, DateTime<Utc>)>,
}

/// One line in its present state.
#[derive(Debug, Clone)]
pub struct Line {
    /// What was delivered.
    pub spec: LineSpec,
    /// Present phone number: a line may get one at its activation, and another by a swap.
    pub msisdn: Option<Msisdn>,
    /// What connectivity management keeps of the line beside its status.
    pub subscriber: Arc<Subscriber>,
    /// Status of the line.
    pub sim_status: SimStatus,
    /// The eSIM profile; `None` for a physical SIM.
    pub profile: Option<Profile>,
    /// First activation.
    pub activated_at: Option<DateTime<Utc>>,
    /// Last change of the line.
    pub modified_at: DateTime<Utc>,
    /// Last attach: when, and in which country (ISO 3166 alpha-2).
    pub last_seen: Option<(DateTime<Utc>, String)>,
    views: Vec<LineView>,
}

/// What SIM Search shows of a line, as it was at some moment.
#[derive(Debug, Clone)]
pub(crate) struct LineView {
    at: DateTime<Utc>,
    pub(crate) sim_status: SimStatus,
    pub(crate) profile: Option<(EsimStatus, DateTime<Utc>)>,
    pub(crate) activated_at: Option<DateTime<Utc>>,
    pub(crate) last_seen: Option<(DateTime<Utc>, String)>,
    pub(crate) subscriber: Arc<Subscriber>,
}

impl Line {
    pub(crate) fn new(
        spec: LineSpec,
        esim_status: Option<EsimStatus>,
        at: DateTime<Utc>,
        subscriber: Subscriber,
    ) -> Self {
        let profile =
            esim_status.map(|status| Profile { status, since: at, eid: None, history: vec![(status, at)] });
        let mut line = Self {
            msisdn: spec.msisdn.clone(),
            subscriber: Arc::new(subscriber),
            sim_status: spec.sim_status,
            activated_at: (spec.sim_status == SimStatus::Active).then_some(at),
            modified_at: at,
            last_seen: None,
            views: Vec::new(),
            profile,
            spec,
        };
        line.keep_view(at);
        line
    }

    /// The present MSISDN's digits, empty when the line has none.
    pub fn msisdn(&self) -> &str {
        self.msisdn.as_ref().map_or("", Msisdn::as_str)
    }

    pub(crate) fn subscriber_mut(&mut self) -> &mut Subscriber {
        Arc::make_mut(&mut self.subscriber)
    }

    /// Changes the status with what depends on it; the caller keeps a view when all is changed.
    pub(crate) fn set_status(&mut self, to: SimStatus, at: DateTime<Utc>) {
        self.sim_status = to;
        if to == SimStatus::Active {
            self.activated_at.get_or_insert(at);
        }
        if self.subscriber.suspended_by.is_some() {
            self.subscriber_mut().suspended_by = None;
        }
    }

    /// Remembers the present state for SIM Search; every change of a line ends with it.
    pub(crate) fn keep_view(&mut self, at: DateTime<Utc>) {
        if self.views.len() >= MAX_VIEWS {
            self.views.remove(0);
        }
        self.views.push(LineView {
            at,
            sim_status: self.sim_status,
            profile: self.profile.as_ref().map(|profile| (profile.status, profile.since)),
            activated_at: self.activated_at,
            last_seen: self.last_seen.clone(),
            subscriber: Arc::clone(&self.subscriber),
        });
    }

    /// The state that was in force at a moment; the first one for an earlier moment, since an index knows a line
    /// long before it is delivered.
    pub(crate) fn view_at(&self, moment: DateTime<Utc>) -> Option<&LineView> {
        self.views.iter().rev().find(|view| view.at <= moment).or_else(|| self.views.first())
    }
}

/// Whether a text is an MSISDN as the OCS takes it: 6 to 15 digits, no `+`.
pub(crate) fn is_msisdn(text: &str) -> bool {
    (6..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a text is a SIM serial as paths take it: 13 to 20 digits.
pub(crate) fn is_sim_serial(text: &str) -> bool {
    (13..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// A status as Transatel spells it in SIM Search and in delivery files.
pub(crate) fn wire_status(status: SimStatus) -> &'static str {
    match status {
        SimStatus::Available => "Available",
        SimStatus::Loaded => "Loaded",
        SimStatus::Preactivated => "Pre-Activated",
        SimStatus::Active => "Active",
        SimStatus::Suspended => "Suspended",
        SimStatus::TestMode => "TestMode",
        SimStatus::TariffHoliday => "Tariff_Holiday",
        SimStatus::Terminated | SimStatus::Ceased => "Terminated",
    }
}

#[cfg(test)]
mod tests;
