//! Public ids: TypeIDs, a type prefix and a UUIDv7 in 26 base32 characters (`ord_01h455vb4pex5vsknk084sn02q`).
//!
//! The text form follows the TypeID specification 0.3: Crockford base32 in lower case, most significant bits
//! first, so that ids of one kind sort by the time they were made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

/// Makes ids. The binary uses [`RandomIds`]; the simulation counts.
pub trait IdGenerator: Send + Sync {
    /// A new UUIDv7 that nobody else has.
    fn uuid(&self) -> Uuid;
}

/// UUIDv7 from the machine's clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl IdGenerator for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes random ids")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Why a text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an id such as {prefix}_01h455vb4pex5vsknk084sn02q")]
pub struct IdError {
    /// The prefix that the id must have.
    pub prefix: &'static str,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

fn encode(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..LENGTH)
        .rev()
        .filter_map(|digit| {
            let value = usize::try_from((bits >> (5 * digit)) & 31).ok()?;
            ALPHABET.get(value).copied().map(char::from)
        })
        .collect()
}

fn decode(text: &str) -> Option<Uuid> {
    // 26 characters hold 130 bits: the first may only carry three.
    if text.len() != LENGTH || text.as_bytes().first().is_none_or(|first| *first > b'7') {
        return None;
    }
    text.bytes()
        .try_fold(0u128, |bits, byte| {
            let value = ALPHABET.iter().position(|known| *known == byte)?;
            Some((bits << 5) | u128::try_from(value).ok()?)
        })
        .map(Uuid::from_u128)
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// What its text form begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id.
            pub fn generate(ids: &dyn IdGenerator) -> Self {
                Self(ids.uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", Self::PREFIX, encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .and_then(|rest| rest.strip_prefix('_'))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(IdError { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

typed_ids! {
    /// Id of an order.
    OrderId = "ord";
    /// Id of a hold.
    HoldId = "hold";
    /// Id of an import, that is of one delivery or batch.
    ImportId = "imp";
    /// Id of a carrier operation.
    OperationId = "op";
    /// Id of an event.
    EventId = "evt";
    /// Id of a bundle.
    BundleId = "bdl";
    /// Id of an API key.
    ApiKeyId = "key";
    /// Id of a webhook endpoint.
    WebhookEndpointId = "whe";
    /// Id of a reconciliation.
    ReconciliationId = "rec";
    /// Id of a line job.
    LineJobId = "job";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_the_typeid_specification() {
        let uuid = Uuid::parse_str("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        assert_eq!(OrderId(uuid).to_string(), "ord_01h455vb4pex5vsknk084sn02q");
        assert_eq!(encode(Uuid::nil()), "00000000000000000000000000");
        assert_eq!(encode(Uuid::max()), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for bad in [
            "",
            "ord_",
            "op_01h455vb4pex5vsknk084sn02q",
            "ord01h455vb4pex5vsknk084sn02q",
            "ord_01h455vb4pex5vsknk084sn02",
            "ord_81h455vb4pex5vsknk084sn02q",
            "ord_01H455VB4PEX5VSKNK084SN02Q",
            "ord_01h455vb4pex5vsknk084sn02é",
        ] {
            assert!(bad.parse::<OrderId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_form_round_trips(bits: u128) {
            let id = WebhookEndpointId(Uuid::from_u128(bits));
            let text = id.to_string();
            prop_assert!(text.len() <= 36);
            prop_assert_eq!(text.parse::<WebhookEndpointId>().unwrap(), id);
        }

        #[test]
        fn any_text_is_refused_without_panic(text in ".{0,40}") {
            let _ = text.parse::<OrderId>();
        }
    }
}
