//! Devices: the model by its type allocation code, and the ways in which a line moves to another one.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use crate::eid::Eid;
use crate::iccid::Iccid;
use crate::identifier_error::{IdentifierError, check_digit_string, text_identifier};
use crate::imei::Imei;

const TAC: &str = "TAC";
const TAC_EXPECTED: &str = "8 digits";

/// A type allocation code: the first 8 digits of an IMEI, the same for every device of a model (3GPP TS 23.003).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tac(String);

impl Tac {
    /// Reads 8 digits; outer white space is dropped.
    ///
    /// # Errors
    /// Anything but digits, another length.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let digits = text.trim();
        check_digit_string(TAC, TAC_EXPECTED, digits, 8..=8)?;
        Ok(Self(digits.to_owned()))
    }

    /// That of a device.
    pub fn of(imei: &Imei) -> Self {
        Self(imei.tac().to_owned())
    }

    /// The 8 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_identifier!(Tac);

/// What of a line changes with its device.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ChangeType {
    /// The SIM goes into another device.
    DeviceOnly,
    /// The device gets another physical SIM.
    PsimOnly,
    /// Another device with another physical SIM.
    DeviceAndPsim,
    /// Another device with an eSIM.
    DeviceAndEsim,
}

/// How a new eSIM gets to its device.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EsimDelivery {
    /// By a code that is scanned.
    Qr,
}

/// A change of a line's device, SIM or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChange {
    /// What changes.
    pub change_type: ChangeType,
    /// The new device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_imei: Option<Imei>,
    /// The new SIM, of the same account's stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_iccid: Option<Iccid>,
    /// The chip of the new device; needed for a device that the carrier does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_eid: Option<Eid>,
    /// How the eSIM is delivered; the carrier's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<EsimDelivery>,
}

/// A field of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsRefStr, Display, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ChangeField {
    /// See [`DeviceChange::new_imei`].
    NewImei,
    /// See [`DeviceChange::new_iccid`].
    NewIccid,
    /// See [`DeviceChange::new_eid`].
    NewEid,
    /// See [`DeviceChange::delivery`].
    Delivery,
}

/// What a change needs of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must be there.
    Required,
    /// It may be there.
    Optional,
    /// It must be absent.
    Absent,
}

impl ChangeType {
    /// What it needs of a field.
    pub fn needs(self, field: ChangeField) -> Need {
        use ChangeField as F;
        use Need::{Absent, Optional, Required};
        match (self, field) {
            (Self::DeviceOnly, F::NewImei)
            | (Self::PsimOnly, F::NewIccid)
            | (Self::DeviceAndPsim, F::NewImei | F::NewIccid)
            | (Self::DeviceAndEsim, F::NewImei) => Required,
            (Self::DeviceAndEsim, F::NewIccid | F::NewEid | F::Delivery) => Optional,
            (Self::DeviceOnly, F::NewIccid | F::NewEid | F::Delivery)
            | (Self::PsimOnly, F::NewImei | F::NewEid | F::Delivery)
            | (Self::DeviceAndPsim, F::NewEid | F::Delivery) => Absent,
        }
    }
}

impl DeviceChange {
    fn has(&self, field: ChangeField) -> bool {
        match field {
            ChangeField::NewImei => self.new_imei.is_some(),
            ChangeField::NewIccid => self.new_iccid.is_some(),
            ChangeField::NewEid => self.new_eid.is_some(),
            ChangeField::Delivery => self.delivery.is_some(),
        }
    }

    /// The fields that its type needs and it lacks, or has and its type does not take, each with what is needed.
    pub fn misfits(&self) -> Vec<(ChangeField, Need)> {
        let misfit = |field: &ChangeField| {
            let need = self.change_type.needs(*field);
            let fits = match need {
                Need::Required => self.has(*field),
                Need::Absent => !self.has(*field),
                Need::Optional => true,
            };
            (!fits).then_some((*field, need))
        };
        ChangeField::VARIANTS.iter().filter_map(misfit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(change_type: ChangeType, fields: &[ChangeField]) -> DeviceChange {
        let has = |field| fields.contains(&field);
        DeviceChange {
            change_type,
            new_imei: has(ChangeField::NewImei).then(|| Imei::parse("260531793113837").unwrap()),
            new_iccid: has(ChangeField::NewIccid).then(|| Iccid::parse("8965880812100011146").unwrap()),
            new_eid: has(ChangeField::NewEid)
                .then(|| Eid::parse("89049032020008884800228685583432").unwrap()),
            delivery: has(ChangeField::Delivery).then_some(EsimDelivery::Qr),
        }
    }

    /// The seven changes that exist, and no other.
    #[test]
    fn the_seven_scenarios_fit() {
        use ChangeField::{Delivery, NewEid, NewIccid, NewImei};
        let scenarios: [(ChangeType, &[ChangeField]); 7] = [
            (ChangeType::DeviceOnly, &[NewImei]),
            (ChangeType::PsimOnly, &[NewIccid]),
            (ChangeType::DeviceAndPsim, &[NewImei, NewIccid]),
            (ChangeType::DeviceAndEsim, &[NewImei]),
            (ChangeType::DeviceAndEsim, &[NewImei, Delivery]),
            (ChangeType::DeviceAndEsim, &[NewImei, NewEid]),
            (ChangeType::DeviceAndEsim, &[NewImei, NewEid, Delivery]),
        ];
        for (change_type, fields) in scenarios {
            assert_eq!(change(change_type, fields).misfits(), [], "{change_type} {fields:?}");
        }
        let with_iccid = change(ChangeType::DeviceAndEsim, &[NewImei, NewIccid, NewEid, Delivery]);
        assert_eq!(with_iccid.misfits(), []);
    }

    #[test]
    fn whatever_else_is_told_field_by_field() {
        use ChangeField::{Delivery, NewEid, NewIccid, NewImei};
        let misfits = |change_type, fields: &[ChangeField]| change(change_type, fields).misfits();
        assert_eq!(misfits(ChangeType::DeviceOnly, &[]), [(NewImei, Need::Required)]);
        assert_eq!(misfits(ChangeType::DeviceOnly, &[NewImei, NewIccid]), [(NewIccid, Need::Absent)]);
        assert_eq!(
            misfits(ChangeType::PsimOnly, &[NewImei, NewEid, Delivery]),
            [
                (NewImei, Need::Absent),
                (NewIccid, Need::Required),
                (NewEid, Need::Absent),
                (Delivery, Need::Absent)
            ]
        );
        assert_eq!(misfits(ChangeType::DeviceAndEsim, &[NewEid]), [(NewImei, Need::Required)]);
    }

    #[test]
    fn a_tac_has_eight_digits() {
        assert_eq!(Tac::parse(" 35646252 ").unwrap().as_str(), "35646252");
        assert!(Tac::parse("3564625").is_err() && Tac::parse("356462521").is_err());
        assert!(Tac::parse("3564625x").is_err());
    }
}
