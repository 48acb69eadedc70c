//! Reading what is optional without failing over it, and amounts as Transatel writes them.

use serde_json::Value;
pub(crate) use simdepot_carrier_http::lenient::{
    exact_moment, fold, integer, moment, or_none, parse_moment, plausible, text, texts,
};

/// An amount of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Transatel writes −1.
    Unlimited,
    /// In the unit asked for.
    Of(u64),
}

impl Amount {
    /// Reads an amount and multiplies it with `factor`. Below −1 an allowance is overdrawn: nothing is left.
    pub(crate) fn read(value: &Value, factor: u64) -> Option<Self> {
        let whole = integer(value)?;
        if whole == -1 {
            return Some(Self::Unlimited);
        }
        Some(Self::Of(u64::try_from(whole).unwrap_or(0).saturating_mul(factor)))
    }

    /// `None` when unlimited.
    pub(crate) fn limit(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Of(amount) => Some(amount),
        }
    }
}

/// Bytes in one unit of data.
pub(crate) fn bytes_per(unit: &str) -> Option<u64> {
    match fold(unit).as_str() {
        "b" | "byte" | "bytes" => Some(1),
        "kb" | "kib" | "kilobyte" | "kilobytes" => Some(1 << 10),
        "mb" | "mib" | "megabyte" | "megabytes" => Some(1 << 20),
        "gb" | "gib" | "gigabyte" | "gigabytes" => Some(1 << 30),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts() {
        assert_eq!(Amount::read(&json!(1_048_576), 1024), Some(Amount::Of(1 << 30)));
        assert_eq!(Amount::read(&json!(-1), 1024), Some(Amount::Unlimited));
        assert_eq!(Amount::read(&json!(-7), 1024), Some(Amount::Of(0)));
        assert_eq!(Amount::read(&json!(i64::MAX), 1024), Some(Amount::Of(u64::MAX)));
        assert_eq!(Amount::read(&json!(null), 1024), None);
    }
}
