//! The carriers of a run: one that sells bundles on lines that are in service, one that activates subscriptions under our
//! own numbers, or both beside each other.

use anyhow::{Result, anyhow};
use serde_json::json;
use simdepot_carrier_sps::{IccidLookup, SpsAccount, SpsSettings, TokenCredentials};
use simdepot_carrier_transatel::{LineSettings, TransatelAccount};
use simdepot_carrier_twin::delivery::delivery_file;
use simdepot_carrier_twin::sps::{
    Reading, SpsConfig, SpsTwin, StateCheck, TransactionProfile, sps_delivery_file,
};
use simdepot_carrier_twin::webhook::Webhook;
use simdepot_carrier_twin::{Twin, TwinConfig};
use simdepot_domain::pool::{DEFAULT_ACTIVATED, DEFAULT_SELLABLE};
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::template::{Stock, WEBHOOK_SECRET};
use crate::rng::Rng;

/// Which carriers a deployment has.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum Carriers {
    /// Transatel alone.
    Transatel,
    /// The wholesale operator alone.
    Wholesale,
    /// Both.
    Both,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum To {
    /// Transatel.
    Transatel,
    /// The wholesale operator.
    Wholesale,
}

impl To {
    /// The account's name.
    pub(super) fn account(self) -> &'static str {
        match self {
            Self::Transatel => "spc",
            Self::Wholesale => "wholesale",
        }
    }

    /// The account of a name.
    pub(super) fn of(account: &str) -> Self {
        if account == Self::Wholesale.account() { Self::Wholesale } else { Self::Transatel }
    }

    /// What its pools are made of.
    pub(super) fn sellable(self) -> Vec<SimStatus> {
        match self {
            Self::Transatel => DEFAULT_SELLABLE.to_vec(),
            Self::Wholesale => DEFAULT_ACTIVATED.to_vec(),
        }
    }

    /// What its pools are activated with.
    pub(super) fn activation(self) -> Option<serde_json::Value> {
        let activation = json!({
            "wholesale_plan_id": "Plan001", "bucket_ref_ids": ["Bucket001"], "location": { "zip": "80120" },
        });
        (self == Self::Wholesale).then_some(activation)
    }
}

/// Every pool that a run may have, each carrier's larger one first.
const POOLS: [(&str, To); 4] =
    [("world", To::Transatel), ("europe", To::Transatel), ("home", To::Wholesale), ("city", To::Wholesale)];

/// Whose pool it is.
pub(super) fn owner(pool: &str) -> To {
    POOLS.iter().find(|(name, _)| *name == pool).map_or(To::Transatel, |(_, to)| *to)
}

impl Carriers {
    /// From a seed: each alone, and both together.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        *rng.pick(&[Self::Transatel, Self::Wholesale, Self::Wholesale, Self::Both]).unwrap_or(&Self::Both)
    }

    /// Whether it is there.
    pub(super) fn has(self, to: To) -> bool {
        match self {
            Self::Transatel => to == To::Transatel,
            Self::Wholesale => to == To::Wholesale,
            Self::Both => true,
        }
    }

    /// Those that are there.
    pub(super) fn all(self) -> impl Iterator<Item = To> {
        [To::Transatel, To::Wholesale].into_iter().filter(move |to| self.has(*to))
    }

    /// Names of the pools: at even places those of which more is sold.
    pub(super) fn pools(self) -> Vec<&'static str> {
        POOLS.iter().filter(|(_, to)| self.has(*to)).map(|(name, _)| *name).collect()
    }
}

/// What was delivered into a pool.
pub(super) struct Delivered {
    /// The pool.
    pub(super) pool: &'static str,
    /// The file.
    pub(super) file: String,
    /// ICCIDs and codes.
    pub(super) codes: Vec<(String, String)>,
}

/// The carriers as they are when a run begins, and what they have delivered.
pub(super) struct Twins {
    pub(super) transatel: Twin,
    pub(super) wholesale: SpsTwin,
    pub(super) delivered: Vec<Delivered>,
}

impl Twins {
    /// Makes them.
    ///
    /// # Errors
    /// Never: the addresses are constants.
    pub(super) fn make(carriers: Carriers, stock: Stock) -> Result<Self> {
        let webhook = |to: To| {
            let url = format!("http://127.0.0.1:1/carrier-events/{}", to.account());
            Webhook::new(&url, Secret::new(WEBHOOK_SECRET)).map_err(|error| anyhow!(error))
        };
        let (mut transatel, mut wholesale) =
            (Twin::new(TwinConfig::sandbox()), SpsTwin::new(SpsConfig::sandbox()));
        transatel.set_webhook(Some(webhook(To::Transatel)?));
        wholesale.set_webhook(Some(webhook(To::Wholesale)?));
        let mut delivered = Vec::new();
        for (place, pool) in carriers.pools().into_iter().enumerate() {
            let count = stock.profiles.get(place % 2).copied().unwrap_or_default();
            let (file, codes) = match owner(pool) {
                To::Transatel => {
                    let lines = transatel.add_lines(count);
                    let code = |line: &simdepot_carrier_twin::LineSpec| {
                        Some((line.iccid.to_string(), line.activation_code.as_ref()?.code().to_owned()))
                    };
                    (delivery_file(&lines), lines.iter().filter_map(code).collect())
                }
                To::Wholesale => {
                    let sims = wholesale.add_sims(count);
                    let code = |sim: &simdepot_carrier_twin::sps::SimSpec| {
                        Some((sim.iccid.to_string(), sim.activation_code.as_ref()?.code().to_owned()))
                    };
                    (sps_delivery_file(&sims), sims.iter().filter_map(code).collect())
                }
            };
            delivered.push(Delivered { pool, file, codes });
        }
        Ok(Self { transatel, wholesale, delivered })
    }
}

/// How the wholesale operator behaves where its pages leave it open, and what the account's settings make of that.
#[derive(Debug, Clone, Default)]
pub(super) struct Habits {
    /// Whether a transaction's status says nothing: then only the line tells, and no transaction may fail late, because
    /// nobody could know.
    pub(super) silent_status: bool,
}

impl Habits {
    /// From a seed; the twin behaves so from here on.
    pub(super) fn draw(rng: &mut Rng, twin: &mut SpsTwin) -> Self {
        let silent_status = rng.per_mille(120);
        let assumptions = twin.assumptions_mut();
        let slowest = *rng.pick(&[1_500, 4_000, 20_000, 60_000]).unwrap_or(&4_000);
        let ends = rng.within(300, slowest);
        assumptions.completion_delay_ms = u64::try_from(ends).unwrap_or(1_000);
        assumptions.pickup_delay_ms = assumptions.completion_delay_ms / 3;
        assumptions.notification_before_ack = rng.per_mille(120);
        assumptions.repeats_acknowledged = rng.per_mille(650);
        assumptions.one_transaction_per_line = rng.per_mille(300);
        assumptions.activation_code_in_notification = rng.per_mille(700);
        if rng.per_mille(400) {
            assumptions.notification_late_per_mille = 250;
            assumptions.notification_late_seconds = u32::try_from(rng.within(2, 90)).unwrap_or(10);
            assumptions.notification_reordered_per_mille = 250;
            assumptions.notification_duplicates_per_mille = 100;
        }
        if silent_status {
            assumptions.transaction_profile = TransactionProfile::SeedLiteral;
            assumptions.reading = Reading::Lenient;
        } else if rng.per_mille(250) {
            assumptions.state_check = StateCheck::Late;
        }
        Self { silent_status }
    }

    fn settings(&self) -> SpsSettings {
        let mut settings = SpsSettings::default();
        if self.silent_status {
            settings.iccid_lookup = IccidLookup::Pei;
        }
        settings
    }
}

/// Transatel's account.
pub(super) fn transatel_account(timeout: std::time::Duration) -> TransatelAccount {
    let twin = TwinConfig::sandbox();
    TransatelAccount {
        account: To::Transatel.account().to_owned(),
        base_url: "http://127.0.0.1:1".to_owned(),
        client_id: twin.client_id,
        client_secret: Secret::new(twin.client_secret.expose()),
        mvno_ref: twin.mvno_ref,
        cos: twin.cos,
        rate_plan: Some(twin.rate_plan),
        lines: LineSettings::default(),
        webhook_secret: Some(Secret::new(WEBHOOK_SECRET)),
        timeout,
        max_requests_per_second: u32::MAX,
        source: "simdepot".to_owned(),
    }
}

/// The wholesale operator's account.
pub(super) fn wholesale_account(timeout: std::time::Duration, habits: &Habits) -> SpsAccount {
    let twin = SpsConfig::sandbox();
    SpsAccount {
        account: To::Wholesale.account().to_owned(),
        base_url: "http://127.0.0.1:1".to_owned(),
        token_url: None,
        token_credentials: TokenCredentials::default(),
        scope: None,
        client_id: twin.client_id,
        client_secret: twin.client_secret,
        wholesale_customer_id: twin.wholesale_customer_id,
        webhook_secret: Some(Secret::new(WEBHOOK_SECRET)),
        timeout,
        max_requests_per_second: u32::MAX,
        settings: habits.settings(),
    }
}
