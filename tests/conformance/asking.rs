//! Everything that a carrier can be asked, one by one.

use simdepot_domain::bundle::OrderType;
use simdepot_domain::carrier::{
    ActivationContext, ActivationOrder, ActivationTerms, Answered, BundleChangeOrder, BundleOrder,
    Capability, Carrier, DeviceBlockOrder, DeviceChangeOrder, DeviceQuery, LineKey, LineOrder, ReadError,
    UsageInterval, UsageQuery,
};
use simdepot_domain::clock::{Clock, SystemClock};
use simdepot_domain::device::{ChangeType, DeviceChange};
use simdepot_domain::imei::Imei;
use simdepot_domain::line::LineCommand;
use simdepot_domain::operation::BundleCommand;
use simdepot_domain::sim::SimStatus;
use simdepot_tests::TestCarrier;
use simdepot_tests::depot::PRODUCT;
use strum::VariantArray;

/// A question or a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub(crate) enum Ask {
    Products,
    Product,
    Bundles,
    PlaceBundle,
    ChangeBundle,
    Activate,
    CommandLine,
    Transaction,
    Line,
    Esim,
    Fleet,
    SimCard,
    Usage,
    Device,
    DeviceModel,
    ChangeDevice,
    IsBlocked,
    BlockDevice,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// A read, with or without something there.
    Read(Result<bool, ReadError>),
    Write(Answered<()>),
}

fn imei() -> Imei {
    Imei::parse("490154203237518").unwrap()
}

fn read<T>(answer: Result<T, ReadError>, is_there: impl FnOnce(&T) -> bool) -> Came {
    Came::Read(answer.map(|found| is_there(&found)))
}

pub(crate) fn write<T>(answer: Answered<T>) -> Came {
    Came::Write(match answer {
        Answered::Done(_) => Answered::Done(()),
        Answered::Refused(refusal) => Answered::Refused(refusal),
        Answered::NotTaken(why) => Answered::NotTaken(why),
        Answered::Unknown(lost) => Answered::Unknown(lost),
    })
}

/// A bundle order of a line.
pub(crate) fn bundle_order(line: &LineKey, reference: &str) -> BundleOrder {
    BundleOrder {
        iccid: line.iccid.clone(),
        msisdn: line.msisdn.clone().unwrap(),
        product: PRODUCT.to_owned(),
        order_type: OrderType::Preload,
        reference: reference.to_owned(),
    }
}

/// An activation as the pool of the carrier's depot has it.
pub(crate) fn activation_order<C: TestCarrier>(
    carrier: &dyn Carrier,
    line: &LineKey,
    reference: &str,
) -> ActivationOrder {
    let context =
        ActivationContext { subscriber: "ord-1".to_owned(), quantity: 1, ordered_at: SystemClock.now() };
    let activation = C::pool().activation.unwrap_or_default();
    let terms = carrier.activation_terms(&activation, None, &context);
    // Of a carrier that activates nothing any will do: it must not look at them.
    let terms = terms.unwrap_or(ActivationTerms {
        document: activation,
        msisdn: None,
        imei: None,
        expects_code: false,
    });
    ActivationOrder { reference: reference.to_owned(), iccid: line.iccid.clone(), terms }
}

/// A command that stops a working line.
pub(crate) fn suspension(line: &LineKey, reference: &str) -> LineOrder {
    LineOrder {
        reference: reference.to_owned(),
        iccid: line.iccid.clone(),
        msisdn: line.msisdn.clone(),
        from: Some(SimStatus::Active),
        rate_plan: Some("M2MA_WW_TSL_SPC".to_owned()),
        command: LineCommand::Suspend,
        contact: None,
    }
}

impl Ask {
    /// What a carrier must have for it; every carrier has lines.
    pub(crate) fn needs(self) -> Option<Capability> {
        match self {
            Self::Line => None,
            Self::Products | Self::Product | Self::Bundles | Self::PlaceBundle | Self::ChangeBundle => {
                Some(Capability::Products)
            }
            Self::Activate => Some(Capability::Activation),
            Self::CommandLine | Self::Transaction => Some(Capability::LineCommands),
            Self::Esim => Some(Capability::EsimStatus),
            Self::Fleet => Some(Capability::Fleet),
            Self::SimCard => Some(Capability::SimCard),
            Self::Usage => Some(Capability::Usage),
            Self::Device => Some(Capability::Device),
            Self::DeviceModel => Some(Capability::DeviceCompatibility),
            Self::ChangeDevice => Some(Capability::DeviceChange),
            Self::IsBlocked | Self::BlockDevice => Some(Capability::DeviceBlocklist),
        }
    }

    /// Whether a carrier has what it needs.
    pub(crate) fn is_had(self, carrier: &dyn Carrier) -> bool {
        self.needs().is_none_or(|needs| carrier.capabilities().contains(&needs))
    }

    /// Asks it of a line that has a number.
    pub(crate) async fn of<C: TestCarrier>(self, carrier: &dyn Carrier, line: &LineKey) -> Came {
        let (iccid, msisdn) = (line.iccid.clone(), line.msisdn.clone().unwrap());
        let reference = "op-asked-1".to_owned();
        let now = SystemClock.now();
        match self {
            Self::Products => read(carrier.products().await, |found| !found.is_empty()),
            Self::Product => read(carrier.product(PRODUCT).await, Option::is_some),
            Self::Bundles => read(carrier.bundles(&msisdn).await, Option::is_some),
            Self::PlaceBundle => write(carrier.place_bundle(&bundle_order(line, &reference)).await),
            Self::ChangeBundle => {
                let change = BundleChangeOrder {
                    msisdn,
                    product: PRODUCT.to_owned(),
                    subscription_id: "subscription-1".to_owned(),
                    change: BundleCommand::CancelRenewal,
                    reference,
                };
                write(carrier.change_bundle(&change).await)
            }
            Self::Activate => {
                write(carrier.activate(&activation_order::<C>(carrier, line, &reference)).await)
            }
            Self::CommandLine => write(carrier.command_line(&suspension(line, &reference)).await),
            Self::Transaction => read(carrier.transaction(&reference).await, Option::is_some),
            Self::Line => read(carrier.line(line).await, Option::is_some),
            Self::Esim => read(carrier.esim(&iccid).await, Option::is_some),
            Self::Fleet => read(carrier.fleet(1).await, |page| !page.lines.is_empty()),
            Self::SimCard => read(carrier.sim_card(&iccid).await, Option::is_some),
            Self::Usage => {
                let from = now - chrono::TimeDelta::days(1);
                let msisdn = Some(msisdn);
                let asked = UsageQuery { iccid, msisdn, from, to: now, by: UsageInterval::Day };
                read(carrier.usage(&asked).await, |found| !found.is_empty())
            }
            Self::Device => read(carrier.device(line).await, Option::is_some),
            Self::DeviceModel => {
                read(carrier.device_model(&DeviceQuery::Imei(imei())).await, Option::is_some)
            }
            Self::ChangeDevice => {
                let change = DeviceChange {
                    change_type: ChangeType::DeviceOnly,
                    new_imei: Some(imei()),
                    new_iccid: None,
                    new_eid: None,
                    delivery: None,
                };
                let order = DeviceChangeOrder { reference, line: line.clone(), change };
                write(carrier.change_device(&order).await)
            }
            Self::IsBlocked => read(carrier.is_blocked(&imei()).await, |blocked| *blocked),
            Self::BlockDevice => {
                let order = DeviceBlockOrder { reference, line: line.clone(), imei: imei(), block: true };
                write(carrier.block_device(&order).await)
            }
        }
    }
}
