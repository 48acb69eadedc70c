//! What a line has used, from Transatel's network usage service. That it exists, and what it can be asked by, is
//! documented; path, parameters and reply are not. So it is used only where an account's settings say where it is, and
//! the names here are inferred: `simSerial`, `startDate`, `endDate` and `interval`, as the other services write them.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use simdepot_domain::carrier::{ReadError, UsageInterval, UsageQuery, UsageReading};
use simdepot_domain::country::{CountryCode, alpha2_of_alpha3};
use simdepot_domain::iccid::Iccid;

use super::lenient::{self, Amount};
use super::{Answer, Call, Request, problem, unreadable};
use crate::paths::Endpoint;
use simdepot_carrier_http::Fields;

/// Where a reply may keep its list.
const LISTS: [&str; 8] = ["usages", "usage", "networkUsages", "records", "cdrs", "items", "content", "data"];

/// Asks for the usage of one line.
pub(crate) fn request(endpoint: &Endpoint, asked: &UsageQuery) -> Request {
    let moment = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let interval = match asked.by {
        UsageInterval::Hour => "hourly",
        UsageInterval::Day => "daily",
        UsageInterval::Month => "monthly",
    };
    Request::get(Call::Usage, endpoint.path(asked.iccid.as_str()))
        .query("simSerial", asked.iccid.as_str())
        .query("startDate", moment(asked.from))
        .query("endDate", moment(asked.to))
        .query("interval", interval)
}

/// Reads the usage. A record that cannot be read makes the read fail: less than was used must not pass for the whole.
pub(crate) fn parse(answer: &Answer, asked: &UsageQuery) -> Result<Vec<UsageReading>, ReadError> {
    if answer.status != 200 {
        return Err(problem::read_error(answer));
    }
    let body: Value = answer.json("usage records")?;
    let list = body.as_array().or_else(|| LISTS.iter().find_map(|name| body.get(name)?.as_array()));
    let list = list.ok_or_else(|| unreadable("a list of usage records"))?;
    let mut readings = Vec::with_capacity(list.len());
    for record in list {
        let fields = Fields::of(record.clone()).ok_or_else(|| unreadable("usage records"))?;
        if is_of(&fields, &asked.iccid)? {
            readings.push(reading_of(&fields)?);
        }
    }
    Ok(readings)
}

/// The service answers for several SIMs at a time.
fn is_of(fields: &Fields, iccid: &Iccid) -> Result<bool, ReadError> {
    let Some(found) = fields.text(&["simSerial", "iccid"]) else {
        return Ok(true);
    };
    let found = Iccid::parse(&found).map_err(|_| unreadable("simSerial of every usage record"))?;
    Ok(found.key() == iccid.key())
}

fn reading_of(fields: &Fields) -> Result<UsageReading, ReadError> {
    const DATES: [&str; 6] = ["startDate", "intervalStart", "date", "from", "timestamp", "period"];
    let month = || {
        let month = fields.text(&["month", "period", "date"])?;
        lenient::parse_moment(&format!("{month}-01"))
    };
    let from =
        fields.moment(&DATES).or_else(month).ok_or_else(|| unreadable("startDate of every usage record"))?;
    Ok(UsageReading { from, country: country_of(fields), data_bytes: bytes_of(fields)? })
}

fn country_of(fields: &Fields) -> Option<CountryCode> {
    let code = fields.text(&["country", "countryCode", "originCountry"])?;
    alpha2_of_alpha3(&code).or_else(|| CountryCode::parse(&code).ok())
}

fn bytes_of(fields: &Fields) -> Result<u64, ReadError> {
    let missing = || unreadable("the data volume of every usage record, in a known unit");
    let unit = fields.text(&["unit", "volumeUnit", "resourceUnit", "dataUnit"]);
    let factor = unit.map_or(Some(1), |unit| lenient::bytes_per(&unit)).ok_or_else(missing)?;
    let bytes = fields.value(&["dataBytes", "bytes"]);
    let volume = || fields.value(&["dataVolume", "volume", "totalVolume", "data", "value"]);
    let (value, factor) = match bytes {
        Some(bytes) => (bytes, 1),
        None => (volume().ok_or_else(missing)?, factor),
    };
    if lenient::integer(value).is_none_or(|volume| volume < 0) {
        return Err(missing());
    }
    Amount::read(value, factor).and_then(Amount::limit).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::{PathName, Paths};
    use serde_json::json;

    fn asked() -> UsageQuery {
        UsageQuery {
            iccid: Iccid::parse("8988247000000000017").unwrap(),
            msisdn: None,
            from: "2026-03-01T00:00:00Z".parse().unwrap(),
            to: "2026-03-03T00:00:00Z".parse().unwrap(),
            by: UsageInterval::Day,
        }
    }

    fn read(body: &Value) -> Result<Vec<UsageReading>, ReadError> {
        parse(&Answer::of(200, &body.to_string()), &asked())
    }

    #[test]
    fn asks_by_sim_period_and_interval() {
        let mut paths = Paths::default();
        paths.set("network_usage", "GET /network/usage/api/cdrs").unwrap();
        let request = request(paths.of(PathName::NetworkUsage).unwrap(), &asked());
        let query: Vec<String> =
            request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            query,
            [
                "simSerial=8988247000000000017",
                "startDate=2026-03-01T00:00:00Z",
                "endDate=2026-03-03T00:00:00Z",
                "interval=daily"
            ]
        );
        assert_eq!(request.path, "/network/usage/api/cdrs");
    }

    #[test]
    fn records_in_every_dress() {
        let body = json!({ "usages": [
            { "simSerial": "8988247000000000017", "date": "2026-03-01", "country": "FRA", "volume": 2, "unit": "MB", "new": {} },
            { "simSerial": "8988247000000000025", "date": "2026-03-01", "volume": 9, "unit": "MB" },
            { "startDate": "2026-03-02T00:00:00Z", "countryCode": "de", "dataBytes": "17", "unit": "KB" },
        ], "total": 3 });
        let found = read(&body).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|r| (r.from.to_rfc3339(), r.country.as_ref().map(CountryCode::as_str), r.data_bytes))
            .collect();
        assert_eq!(
            told,
            [
                ("2026-03-01T00:00:00+00:00".to_owned(), Some("FR"), 2 << 20),
                ("2026-03-02T00:00:00+00:00".to_owned(), Some("DE"), 17),
            ]
        );
        let bare = read(&json!([{ "period": "2026-03", "data": 5 }])).unwrap();
        assert_eq!(
            (bare[0].from.to_rfc3339().as_str(), bare[0].data_bytes),
            ("2026-03-01T00:00:00+00:00", 5)
        );
        assert_eq!(read(&json!([])), Ok(Vec::new()));
    }

    #[test]
    fn less_than_the_whole_is_not_understood() {
        for body in [
            json!({}),
            json!(null),
            json!([7]),
            json!([{ "date": "2026-03-01" }]),
            json!([{ "date": "2026-03-01", "volume": -1 }]),
            json!([{ "date": "2026-03-01", "volume": 1, "unit": "barrels" }]),
            json!([{ "volume": 1 }]),
            json!([{ "date": "2026-03-01", "volume": 1, "simSerial": "x" }]),
        ] {
            assert!(matches!(read(&body), Err(ReadError::Unreadable { .. })), "{body}");
        }
        let denied = parse(&Answer::of(403, r#"{"title":"INSUFFICIENT_PERMISSION"}"#), &asked());
        assert!(matches!(denied, Err(ReadError::Denied { .. })));
        assert!(matches!(parse(&Answer::of(503, ""), &asked()), Err(ReadError::Unavailable(_))));
    }
}
