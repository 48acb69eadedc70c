//! The lines (SIMs and eSIM profiles) that the twin's account owns.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::check_digits::luhn_ok;
use simdepot_domain::eid::Eid;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

use crate::state::Twin;

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

/// A line to add as it is, when a test needs one that [`Twin::add_lines`] does not make.
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
    /// Status of the line.
    pub sim_status: SimStatus,
    /// The eSIM profile; `None` for a physical SIM.
    pub profile: Option<Profile>,
    /// First activation.
    pub activated_at: Option<DateTime<Utc>>,
    /// Last change of the line's status.
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
}

impl Line {
    fn new(spec: LineSpec, esim_status: Option<EsimStatus>, at: DateTime<Utc>) -> Self {
        let profile =
            esim_status.map(|status| Profile { status, since: at, eid: None, history: vec![(status, at)] });
        let mut line = Self {
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

impl Twin {
    /// Adds pre-activated lines with released profiles, as Service Provider Connect delivers them: ICCIDs of 19
    /// digits with a Luhn digit, MSISDNs of 15 digits, matching ids of 32 hexadecimal digits.
    pub fn add_lines(&mut self, count: u32) -> Vec<LineSpec> {
        let mut added = Vec::new();
        for _ in 0..count {
            while let Some(line) = self.next_line() {
                // A number that a test has added by hand is passed over.
                if let Ok(spec) = self.add_line(line) {
                    added.push(spec);
                    break;
                }
            }
        }
        added
    }

    /// Adds one line as described.
    ///
    /// # Errors
    /// The ICCID or the MSISDN is another line's.
    pub fn add_line(&mut self, new: NewLine) -> Result<LineSpec, LineTaken> {
        let key = new.iccid.as_str().to_owned();
        if self.lines.contains_key(&key) {
            return Err(LineTaken::Iccid(new.iccid));
        }
        if let Some(msisdn) = new.msisdn.as_ref().filter(|msisdn| self.msisdns.contains_key(msisdn.as_str()))
        {
            return Err(LineTaken::Msisdn(msisdn.clone()));
        }
        let code = if new.physical { None } else { new.activation_code.or_else(|| self.make_code()) };
        let spec = LineSpec {
            iccid: new.iccid,
            msisdn: new.msisdn,
            sim_status: new.sim_status,
            activation_code: code,
            pin: Secret::new(format!("{:04}", self.ids.below(10_000))),
            puk: Secret::new(format!("{:08}", self.ids.below(100_000_000))),
        };
        if let Some(msisdn) = &spec.msisdn {
            self.msisdns.insert(msisdn.as_str().to_owned(), key.clone());
        }
        let esim_status = (!new.physical).then_some(new.esim_status);
        self.lines.insert(key, Line::new(spec.clone(), esim_status, self.config.delivered_at));
        Ok(spec)
    }

    /// A line by its ICCID.
    pub fn line(&self, iccid: &str) -> Option<&Line> {
        self.lines.get(iccid)
    }

    /// All lines in the order of their ICCIDs.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.values()
    }

    pub(crate) fn line_of_msisdn(&self, msisdn: &str) -> Option<&Line> {
        self.msisdns.get(msisdn).and_then(|iccid| self.lines.get(iccid))
    }

    fn make_code(&mut self) -> Option<ActivationCode> {
        ActivationCode::parse(&format!("1${}${}", self.config.smdp_address, self.ids.hex32())).ok()
    }

    /// The next pair of numbers; `None` when the hundred million of a seed are used up.
    fn next_line(&mut self) -> Option<NewLine> {
        let (block, number) = (self.config.seed % 1000, self.lines_made);
        if number > 99_999_999 {
            return None;
        }
        self.lines_made += 1;
        let body = format!("8988247{block:03}{number:08}");
        let digits = (0..10).map(|check| format!("{body}{check}")).find(|digits| luhn_ok(digits))?;
        Some(NewLine {
            iccid: Iccid::parse(&digits).ok()?,
            msisdn: Some(Msisdn::parse(&format!("8824{block:03}{number:08}")).ok()?),
            sim_status: SimStatus::Preactivated,
            esim_status: EsimStatus::Released,
            physical: false,
            activation_code: None,
        })
    }
}

#[cfg(test)]
mod tests;
