//! What the carrier says of one sold profile now: the line, the eSIM and everything on it, in one go.

use simdepot_domain::carrier::{BundleReading, Capability, Carrier, ReadError};
use simdepot_domain::channel::AccountName;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::profile::FormFactor;
use simdepot_persistence::profiles::Profile;

use crate::depot::Depot;
use crate::observations::Sightings;

/// What was answered. What is absent was not answered, or is not there: neither proves anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct CarrierView {
    /// The line and the eSIM.
    pub(crate) seen: Sightings,
    /// Every bundle on the line; `None` when the carrier did not list them.
    pub(crate) bundles: Option<Vec<BundleReading>>,
    /// Whether everything that was asked was answered.
    pub(crate) complete: bool,
}

/// Asks the carrier about a profile. Never fails: a read that fails is written down in the log and leaves its part out.
/// The line is asked for with `with_line`, for a physical SIM, and when its number is not known.
pub(crate) async fn look(
    depot: &Depot,
    account: &AccountName,
    profile: &Profile,
    with_line: bool,
) -> CarrierView {
    let account = match depot.account(account) {
        Ok(account) => account,
        Err(error) => {
            tracing::warn!(iccid = %profile.iccid, %error, "the carrier cannot be asked");
            return CarrierView::default();
        }
    };
    // An adapter has its own time-out for each of its calls; this one only guards against one that hangs.
    let limit = account.timeout * 3;
    match tokio::time::timeout(limit, ask(account.carrier.as_ref(), profile, with_line)).await {
        Ok(view) => view,
        Err(_) => {
            tracing::warn!(iccid = %profile.iccid, "the carrier did not answer in time");
            CarrierView::default()
        }
    }
}

async fn ask(carrier: &dyn Carrier, profile: &Profile, with_line: bool) -> CarrierView {
    let iccid = &profile.iccid;
    let has = |capability| carrier.capabilities().contains(&capability);
    // A carrier that tells nothing of its eSIMs tells of their lines alone, as of those of physical SIMs.
    let physical = profile.form_factor == FormFactor::Psim || !has(Capability::EsimStatus);
    let mut view = CarrierView { complete: true, ..CarrierView::default() };
    if with_line || physical || profile.msisdn.is_none() {
        let line = answered(iccid, "line", carrier.line(&profile.line_key()).await);
        view.complete &= line.is_some();
        view.seen.line = line.flatten();
    }
    let read = view.seen.line.as_ref().and_then(|line| line.msisdn.clone());
    let msisdn = read.or_else(|| profile.msisdn.clone());
    let esim = async { if physical { Ok(None) } else { carrier.esim(iccid).await } };
    let bundles = async {
        match &msisdn {
            // Where there are no bundles at all the complete list of them is empty.
            _ if !has(Capability::Products) => Some(Ok(Some(Vec::new()))),
            Some(msisdn) => Some(carrier.bundles(msisdn).await),
            None => None,
        }
    };
    let (esim, bundles) = tokio::join!(esim, bundles);
    let esim = answered(iccid, "esim", esim);
    // A line that the carrier does not know has proved nothing.
    view.bundles = bundles.and_then(|bundles| answered(iccid, "bundles", bundles)).flatten();
    view.complete &= esim.is_some() && view.bundles.is_some();
    view.seen.esim = esim.flatten();
    view
}

fn answered<T>(iccid: &Iccid, what: &'static str, read: Result<T, ReadError>) -> Option<T> {
    read.inspect_err(|error| tracing::info!(%iccid, what, %error, "a read of the carrier failed")).ok()
}
