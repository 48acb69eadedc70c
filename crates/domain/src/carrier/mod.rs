//! The carrier port: what simdepot asks of a carrier, in words that hold for all of them.
//!
//! Reads may fail and be repeated. A write has four ends, and the difference between them is where money is lost:
//! it is done, it is surely refused, it was surely not taken up and may be sent again, or nobody knows.

mod activation;
mod capability;
mod device;
mod event;
mod reading;
mod write;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::carrier_event::CarrierEvent;
use crate::channel::AccountName;
use crate::iccid::Iccid;
use crate::imei::Imei;
use crate::line::LineRules;
use crate::msisdn::Msisdn;
use crate::product::Product;

pub use activation::{ActivationContext, ActivationOrder, ActivationTerms, ParameterProblem};
pub use capability::Capability;
pub use device::{DeviceBlockOrder, DeviceChangeOrder, DeviceModelReading, DeviceQuery, DeviceReading};
pub use event::{EventRefused, UnreadableEvent};
pub use reading::{
    BundleReading, EsimReading, FleetPage, LineKey, LineReading, Probe, ProbeResult, ReadError,
    SecurityCodes, SimCard, UsageInterval, UsageQuery, UsageReading,
};
pub use write::{
    Answered, BundleChangeOrder, BundleOrder, BundleReceipt, CommandReceipt, Commanded, Concern, LineOrder,
    Lost, Numbering, Placement, Refusal, TransactionReading, Unavailable,
};

/// One carrier account.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// What the carrier has, beside the lines that every carrier has.
    fn capabilities(&self) -> &'static [Capability];

    /// Who numbers the commands that are sent to it.
    fn numbering(&self) -> Numbering {
        Numbering::Carrier
    }

    /// The catalogue of the account.
    async fn products(&self) -> Result<Vec<Product>, ReadError>;

    /// One product; `None` when the carrier does not know it.
    async fn product(&self, product: &str) -> Result<Option<Product>, ReadError>;

    /// The line of a SIM, from the best source that the account may read; `None` when the carrier does not know it.
    /// Denied when none of what the key holds is something that this carrier can be asked by.
    async fn line(&self, key: &LineKey) -> Result<Option<LineReading>, ReadError>;

    /// The eSIM record at the SM-DP+; `None` when the SIM is no eSIM, or not one of ours.
    async fn esim(&self, iccid: &Iccid) -> Result<Option<EsimReading>, ReadError>;

    /// Every bundle on a line, in all statuses, the carrier's own technical ones left out; `None` when the carrier does
    /// not know the line.
    async fn bundles(&self, msisdn: &Msisdn) -> Result<Option<Vec<BundleReading>>, ReadError>;

    /// Puts a product on a line. Sent once: the adapter never repeats it by itself.
    async fn place_bundle(&self, order: &BundleOrder) -> Placement;

    /// Checks credentials and rights without changing anything.
    async fn probe(&self) -> Vec<Probe>;

    /// One page of every line of the account, from 1, from an index that lags. Carriers without one deny it.
    async fn fleet(&self, page: u32) -> Result<FleetPage, ReadError> {
        let _ = page;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// How many calls a second the account may make; `None` when nothing limits them.
    fn calls_per_second(&self) -> Option<u32> {
        None
    }

    /// What the account's lines may be told; `None` for a carrier without line operations.
    fn line_rules(&self) -> Option<LineRules> {
        None
    }

    /// Tells a line something. Sent once: the adapter never repeats it by itself.
    async fn command_line(&self, order: &LineOrder) -> Commanded {
        let _ = order;
        Commanded::Refused(unsupported())
    }

    /// Changes a bundle that is on a line. Sent once: the adapter never repeats it by itself.
    async fn change_bundle(&self, order: &BundleChangeOrder) -> Commanded {
        let _ = order;
        Commanded::Refused(unsupported())
    }

    /// Checks a pool's `activation`, which is opaque to everybody else. Carriers without [`Capability::Activation`] take
    /// none.
    ///
    /// # Errors
    /// Everything that is wrong, by place.
    fn check_activation(&self, activation: &Json) -> Result<(), Vec<ParameterProblem>> {
        let _ = activation;
        Err(vec![ParameterProblem::unsupported()])
    }

    /// Lays the parameters of an order line over the pool's `activation`, and settles everything that must be the same
    /// when the activation is sent again.
    ///
    /// # Errors
    /// Everything that is wrong with the parameters, by place.
    fn activation_terms(
        &self,
        activation: &Json,
        parameters: Option<&Json>,
        context: &ActivationContext,
    ) -> Result<ActivationTerms, Vec<ParameterProblem>> {
        let _ = (activation, parameters, context);
        Err(vec![ParameterProblem::unsupported()])
    }

    /// The terms on which another SIM takes the place of one that was activated on these: what was used up with it, such as
    /// a reserved number, is left out.
    fn terms_for_another(&self, terms: &ActivationTerms) -> ActivationTerms {
        terms.clone()
    }

    /// Activates a subscription on a SIM. Sent once: the adapter never repeats it by itself.
    async fn activate(&self, order: &ActivationOrder) -> Commanded {
        let _ = order;
        Commanded::Refused(unsupported())
    }

    /// What the carrier knows of a model of devices; `None` when it knows nothing.
    async fn device_model(&self, asked: &DeviceQuery) -> Result<Option<DeviceModelReading>, ReadError> {
        let _ = asked;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// The device that a line is used in; `None` when the carrier does not know the line.
    async fn device(&self, key: &LineKey) -> Result<Option<DeviceReading>, ReadError> {
        let _ = key;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// Whether a device is on the carrier's block list.
    async fn is_blocked(&self, imei: &Imei) -> Result<bool, ReadError> {
        let _ = imei;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// Moves a line to another device, SIM or both. Sent once: the adapter never repeats it by itself.
    async fn change_device(&self, order: &DeviceChangeOrder) -> Commanded {
        let _ = order;
        Commanded::Refused(unsupported())
    }

    /// Puts a device on the block list or takes it off. Sent once: the adapter never repeats it by itself.
    async fn block_device(&self, order: &DeviceBlockOrder) -> Commanded {
        let _ = order;
        Commanded::Refused(unsupported())
    }

    /// How a command stands, by the number that [`Carrier::numbering`] gives it; `None` when the carrier does not know it.
    async fn transaction(&self, id: &str) -> Result<Option<TransactionReading>, ReadError> {
        let _ = id;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// What the SIM card itself is, with its security codes; `None` when the carrier does not know it.
    async fn sim_card(&self, iccid: &Iccid) -> Result<Option<SimCard>, ReadError> {
        let _ = iccid;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// What a line has used in a period, where the carrier counts it beside the bundles' balances.
    async fn usage(&self, asked: &UsageQuery) -> Result<Vec<UsageReading>, ReadError> {
        let _ = asked;
        Err(ReadError::Denied { code: UNSUPPORTED.to_owned() })
    }

    /// Whether an event really comes from the carrier, by the raw bytes of its body. `header` looks a header up by
    /// its name in lower case. Carriers that send no events refuse all.
    ///
    /// # Errors
    /// [`EventRefused`]: nothing of it may be kept.
    fn authenticate(&self, header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Result<(), EventRefused> {
        let _ = (header, body);
        Err(EventRefused::NotConfigured)
    }

    /// Reads the body of an event that was found to be authentic.
    ///
    /// # Errors
    /// [`UnreadableEvent`] when it is not what the carrier's documents describe.
    fn event(&self, body: &[u8]) -> Result<CarrierEvent, UnreadableEvent> {
        let _ = body;
        Err(UnreadableEvent { what: "an event of a carrier that sends none".to_owned() })
    }
}

/// The code of a line that cannot be read because all that is known of it leads to another SIM.
pub const OTHER_SIM: &str = "OTHER_SIM";

/// The code of what a carrier does not have.
pub const UNSUPPORTED: &str = "unsupported";
/// The code of a read of a line of which nothing is known that this carrier can be asked by.
pub const NOTHING_TO_ASK_BY: &str = "NOTHING_TO_ASK_BY";

fn unsupported() -> Refusal {
    let detail = Some("this carrier has no such operation".to_owned());
    Refusal { code: UNSUPPORTED.to_owned(), detail, concerns: Concern::Account }
}

/// Turns at a carrier, shared by every process that uses the account.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Takes `turns` at `per_second` and returns how long to wait for the first of them; the others follow at that
    /// rate. Up to a quarter of a second's turns may be taken at once after a pause.
    ///
    /// # Errors
    /// When the turns cannot be taken: then nothing may be sent.
    async fn take(&self, account: &AccountName, turns: u32, per_second: u32)
    -> Result<Duration, Unavailable>;
}
