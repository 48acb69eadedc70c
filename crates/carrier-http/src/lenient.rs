//! Reading what is optional without failing over it: a field of an unexpected type counts as absent.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SubsecRound, Utc};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

/// `T`, or `None` when it is missing, null or of another type.
pub fn or_none<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

/// A text that says something; numbers are read as their digits.
pub fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// The texts of a list; elements of other types are left out.
pub fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let list = or_none::<D, Vec<Value>>(from)?.unwrap_or_default();
    Ok(list.iter().filter_map(Value::as_str).map(|text| text.trim().to_owned()).collect())
}

/// A moment in any ISO 8601 spelling that carriers use.
pub fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(text(from)?.as_deref().and_then(parse_moment))
}

/// The same, but a bare date, which names no moment, counts as absent.
pub fn exact_moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let bare = |text: &String| NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok();
    Ok(text(from)?.filter(|text| !bare(text)).as_deref().and_then(parse_moment))
}

/// With `Z`, with `+01:00` or `+0100`; without a zone it is taken as UTC, as is a bare date.
pub fn parse_moment(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .map(|moment| moment.with_timezone(&Utc));
    let naive = || {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f"))
            .ok()
            .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
            .map(|moment| moment.and_utc())
    };
    zoned.ok().or_else(naive).map(|moment| moment.trunc_subsecs(6))
}

/// A date that a SIM of today can have.
pub fn plausible(moment: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    moment.filter(|moment| (2000..2200).contains(&moment.year()))
}

/// A whole number, also as `450.0` or `"450"`; fractions are rounded.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| rounded(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok().or_else(|| rounded(text.trim().parse().ok()?)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Lower case, letters alone: `Pending_For-FirstUse` and `pendingForFirstUse` are one word.
pub fn fold(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase()).collect()
}

fn rounded(number: f64) -> Option<i64> {
    // Through text, because there is no checked conversion from floating point.
    number.is_finite().then(|| format!("{:.0}", number.round())).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_in_every_dress() {
        for (value, expected) in [
            (json!(450), Some(450)),
            (json!(450.0), Some(450)),
            (json!("450"), Some(450)),
            (json!(" 450.4 "), Some(450)),
            (json!(-1), Some(-1)),
            (json!(-0.2), Some(0)),
            (json!(null), None),
            (json!("x"), None),
            (json!([1]), None),
            (json!(1e300), None),
            (json!("NaN"), None),
        ] {
            assert_eq!(integer(&value), expected, "{value}");
        }
    }

    #[test]
    fn moments_in_every_spelling() {
        for text in [
            "2026-03-01T10:00:00Z",
            "2026-03-01T11:00:00+01:00",
            "2026-03-01T11:00:00.000+0100",
            "2026-03-01T10:00:00.000",
            "2026-03-01 10:00:00",
        ] {
            assert_eq!(parse_moment(text).unwrap().to_rfc3339(), "2026-03-01T10:00:00+00:00", "{text}");
        }
        assert_eq!(parse_moment("2026-03-01").unwrap().to_rfc3339(), "2026-03-01T00:00:00+00:00");
        assert_eq!(
            parse_moment("2026-03-01T10:00:00.123456789Z").unwrap().timestamp_subsec_nanos(),
            123_456_000
        );
        assert_eq!(parse_moment("tomorrow"), None);
    }
}
