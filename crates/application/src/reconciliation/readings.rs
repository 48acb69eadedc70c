//! What a carrier says of one profile. A read that fails or is denied is "not known", and nothing follows from it.

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::{
    BundleReading, Capability, Carrier, EsimReading, LineReading, NOTHING_TO_ASK_BY, OTHER_SIM, ReadError,
    UNSUPPORTED,
};
use simdepot_persistence::profiles::Profile;

/// What the carrier said; `None` is not known.
#[derive(Debug, Clone, Default)]
pub(super) struct Readings {
    pub(super) line: Option<Option<LineReading>>,
    pub(super) esim: Option<Option<EsimReading>>,
    /// The complete list.
    pub(super) bundles: Option<Vec<BundleReading>>,
    pub(super) asked_at: DateTime<Utc>,
    pub(super) failed: bool,
}

/// Reads what the carrier says of a profile.
pub(super) async fn read(carrier: &dyn Carrier, profile: &Profile, asked_at: DateTime<Utc>) -> Readings {
    let key = profile.line_key();
    let has = |capability| carrier.capabilities().contains(&capability);
    // What the carrier does not have at all is not known, and nobody is asked for it.
    let lacking = || ReadError::Denied { code: UNSUPPORTED.to_owned() };
    let esim = async {
        if has(Capability::EsimStatus) { carrier.esim(&profile.iccid).await } else { Err(lacking()) }
    };
    let (line, esim) = tokio::join!(carrier.line(&key), esim);
    let mut readings = Readings { asked_at, ..Readings::default() };
    let mut denied = 0;
    readings.line = known(profile, "line", line, &mut readings.failed, &mut denied);
    readings.esim = known(profile, "eSIM", esim, &mut readings.failed, &mut denied);
    let in_line = readings.line.iter().flatten().find_map(|line| line.msisdn.as_ref());
    if let Some(msisdn) = in_line.or(profile.msisdn.as_ref()).filter(|_| has(Capability::Products)) {
        let listed = carrier.bundles(msisdn).await;
        // Of a line that the carrier does not know nothing is known.
        readings.bundles = known(profile, "bundles", listed, &mut readings.failed, &mut denied).flatten();
    }
    // An account without a right knows no better tomorrow; one without any right has compared nothing.
    let nothing = readings.line.is_none() && readings.esim.is_none() && readings.bundles.is_none();
    readings.failed |= nothing && denied > 0;
    readings
}

fn known<T>(
    profile: &Profile,
    what: &'static str,
    read: Result<T, ReadError>,
    failed: &mut bool,
    denied: &mut u32,
) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        // There was nobody to ask, and that is no failure.
        Err(ReadError::Denied { code })
            if [UNSUPPORTED, NOTHING_TO_ASK_BY, OTHER_SIM].contains(&code.as_str()) =>
        {
            None
        }
        Err(error) => {
            tracing::info!(iccid = %profile.iccid, what, %error, "not known to a comparison");
            match error {
                ReadError::Denied { .. } => *denied += 1,
                ReadError::Unavailable(_) | ReadError::Unreadable { .. } => *failed = true,
            }
            None
        }
    }
}
