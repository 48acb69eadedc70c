//! Times that come in. Stricter than chrono's own reading: RFC 3339 only, in years that both databases and RFC 3339
//! can hold.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

const EXPECTED: &str = "expected a time of RFC 3339 in the years 1970 to 9998, such as 2026-11-21T18:00:00Z";
const EXPECTED_DAY: &str =
    "expected a day such as 2027-01-31, or a time of RFC 3339 such as 2027-01-31T00:00:00Z";

fn in_range(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (1970..=9998).contains(&at.year()).then_some(at)
}

fn parse(text: &str) -> Option<DateTime<Utc>> {
    // chrono also takes a space for the `T`.
    text.get(10..11).filter(|separator| separator.eq_ignore_ascii_case("t"))?;
    in_range(DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc))
}

/// The moment from which a profile is no longer sold: a time as it is, a day with its last second.
fn parse_sell_by(text: &str) -> Option<DateTime<Utc>> {
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(day) if text.len() == 10 => {
            in_range(day.and_time(NaiveTime::MIN).and_utc().checked_add_signed(TimeDelta::days(1))?)
        }
        Ok(_) | Err(_) => parse(text),
    }
}

/// Reads an optional time of RFC 3339.
///
/// # Errors
/// Another format, or a year out of range.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Option::<String>::deserialize(deserializer)?
        .map(|text| parse(&text).ok_or_else(|| D::Error::custom(EXPECTED)))
        .transpose()
}

/// Reads an optional last day of sale, or the moment from which a profile is no longer sold.
///
/// # Errors
/// Another format, or a year out of range.
pub fn optional_sell_by<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    Option::<String>::deserialize(deserializer)?
        .map(|text| parse_sell_by(&text).ok_or_else(|| D::Error::custom(EXPECTED_DAY)))
        .transpose()
}

/// Like [`optional_sell_by`], telling `null` from an absent field.
///
/// # Errors
/// Another format, or a year out of range.
pub fn sell_by_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<DateTime<Utc>>>, D::Error> {
    optional_sell_by(deserializer).map(Some)
}

/// Tells `null` (`Some(None)`) from an absent field (`None`, by `#[serde(default)]`).
///
/// # Errors
/// Those of the value.
pub fn or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_a_storable_range() {
        let at = parse("2026-11-21T19:00:00.5+01:00").unwrap();
        assert_eq!(at.to_rfc3339(), "2026-11-21T18:00:00.500+00:00");
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21 19:00:00Z",
            "2026-11-21T19:00:00",
            "1969-12-31T23:59:59Z",
            "9999-01-01T00:00:00Z",
            "+12026-11-21T19:00:00Z",
            "2026-13-01T00:00:00Z",
            "é026-11-21T19:00:00Z",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_last_day_of_sale_is_sold_to_its_end() {
        assert_eq!(parse_sell_by("2027-01-31"), parse("2027-02-01T00:00:00Z"));
        assert_eq!(parse_sell_by("2027-01-31T12:00:00Z"), parse("2027-01-31T12:00:00Z"));
        for bad in ["2027-1-31", "2027-02-30", "31.01.2027", "9998-12-31", "+12027-01-31"] {
            assert!(parse_sell_by(bad).is_none(), "{bad}");
        }
    }
}
