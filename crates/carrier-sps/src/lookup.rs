//! Finding a subscription by what is known of it. The operator is asked by the line's number or by its device; by its SIM
//! only where the account's settings say how.
//!
//! A number may have moved to another SIM and a device may hold another one, so an answer counts for a line only where it
//! names the line's SIM.

use simdepot_domain::carrier::{DeviceReading, LineKey, NOTHING_TO_ASK_BY, OTHER_SIM, ReadError};

use crate::adapter::Sps;
use crate::settings::IccidLookup;
use crate::wire::{device_details, identity};

/// By what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Number,
    Device,
    Sim,
}

struct Question {
    by: By,
    parameter: &'static str,
    value: String,
}

/// Whose details will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those of the key's SIM alone.
    Sim,
    /// Those of the key's number too, whichever SIM it is on now.
    Number,
}

impl Sps {
    /// The details of a line; `None` when the operator does not know it.
    ///
    /// # Errors
    /// Denied when nothing of the key can be asked by, or when all of it leads to another SIM.
    pub(crate) async fn look_up(
        &self,
        key: &LineKey,
        wanted: Wanted,
    ) -> Result<Option<DeviceReading>, ReadError> {
        let questions = questions(key, self.account.settings.iccid_lookup);
        let mut denied = NOTHING_TO_ASK_BY;
        let mut absent = false;
        for Question { by, parameter, value } in questions {
            let answer = self.read(device_details::request(parameter, &value)).await?;
            match device_details::parse(&answer)? {
                Some(details) if is_meant(&details, key, by, wanted) => return Ok(Some(details)),
                Some(_) => denied = OTHER_SIM,
                // A device that no subscription uses says nothing of the SIM.
                None if by == By::Device => denied = OTHER_SIM,
                None => absent = true,
            }
        }
        if absent { Ok(None) } else { Err(ReadError::Denied { code: denied.to_owned() }) }
    }
}

fn questions(key: &LineKey, lookup: IccidLookup) -> Vec<Question> {
    let number = key.msisdn.as_ref().and_then(identity::gpsi);
    let number = number.map(|value| Question { by: By::Number, parameter: "gpsi", value });
    let device = key.imei.as_ref().map(|imei| Question {
        by: By::Device,
        parameter: "pei",
        value: imei.as_str().to_owned(),
    });
    let sim = lookup.parameter().map(|parameter| Question {
        by: By::Sim,
        parameter,
        value: key.iccid.as_str().to_owned(),
    });
    [number, device, sim].into_iter().flatten().collect()
}

fn is_meant(details: &DeviceReading, key: &LineKey, by: By, wanted: Wanted) -> bool {
    match &details.iccid {
        Some(iccid) if iccid.key() == key.iccid.key() => true,
        Some(_) => by == By::Number && wanted == Wanted::Number,
        // Whose number it is now is not told.
        None => by == By::Sim || (by == By::Number && wanted == Wanted::Number),
    }
}
