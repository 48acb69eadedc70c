//! The sandbox's catalogue: fictional plans in the shapes that a Service Provider Connect catalogue has.

use crate::catalogue::{Category, Product, Validity};

const GB: u64 = 1_048_576;

/// ISO 3166 alpha-2 and alpha-3 codes of the covered countries and areas.
const COUNTRIES: &[(&str, &str)] = &[
    ("AE", "ARE"),
    ("AL", "ALB"),
    ("AR", "ARG"),
    ("AT", "AUT"),
    ("AU", "AUS"),
    ("BA", "BIH"),
    ("BE", "BEL"),
    ("BG", "BGR"),
    ("BR", "BRA"),
    ("CA", "CAN"),
    ("CH", "CHE"),
    ("CL", "CHL"),
    ("CN", "CHN"),
    ("CO", "COL"),
    ("CY", "CYP"),
    ("CZ", "CZE"),
    ("DE", "DEU"),
    ("DK", "DNK"),
    ("EE", "EST"),
    ("EG", "EGY"),
    ("ES", "ESP"),
    ("FI", "FIN"),
    ("FR", "FRA"),
    ("GB", "GBR"),
    ("GR", "GRC"),
    ("HK", "HKG"),
    ("HR", "HRV"),
    ("HU", "HUN"),
    ("ID", "IDN"),
    ("IE", "IRL"),
    ("IL", "ISR"),
    ("IN", "IND"),
    ("IS", "ISL"),
    ("IT", "ITA"),
    ("JP", "JPN"),
    ("KE", "KEN"),
    ("KR", "KOR"),
    ("LI", "LIE"),
    ("LT", "LTU"),
    ("LU", "LUX"),
    ("LV", "LVA"),
    ("MA", "MAR"),
    ("ME", "MNE"),
    ("MK", "MKD"),
    ("MT", "MLT"),
    ("MX", "MEX"),
    ("MY", "MYS"),
    ("NL", "NLD"),
    ("NO", "NOR"),
    ("NZ", "NZL"),
    ("PE", "PER"),
    ("PH", "PHL"),
    ("PL", "POL"),
    ("PT", "PRT"),
    ("QA", "QAT"),
    ("RO", "ROU"),
    ("RS", "SRB"),
    ("SA", "SAU"),
    ("SE", "SWE"),
    ("SG", "SGP"),
    ("SI", "SVN"),
    ("SK", "SVK"),
    ("TH", "THA"),
    ("TN", "TUN"),
    ("TR", "TUR"),
    ("TW", "TWN"),
    ("UA", "UKR"),
    ("US", "USA"),
    ("VN", "VNM"),
    ("ZA", "ZAF"),
];

const EUROPE: &[&str] = &[
    "AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU", "IE",
    "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
];

const BALKANS: &[&str] = &["AL", "BA", "ME", "MK", "RS"];

/// The alpha-3 code of an alpha-2 code that the catalogue knows.
pub(crate) fn alpha3(alpha2: &str) -> Option<&'static str> {
    COUNTRIES.iter().find(|(code, _)| code.eq_ignore_ascii_case(alpha2)).map(|(_, code)| *code)
}

/// The sandbox's plans.
pub fn sandbox() -> Vec<Product> {
    let world: Vec<&str> = COUNTRIES.iter().map(|(code, _)| *code).collect();
    let days = Validity::days;
    let mut products = vec![
        one_off("FRANCE_1GB_7D", "France 1 GB, 7 days", &["FR"], Some(GB), days(7), 390),
        one_off("FRANCE_500MB_1D", "France 500 MB, 1 day", &["FR"], Some(GB / 1024 * 500), days(1), 190),
        one_off("FRANCE_10GB_30D", "France 10 GB, 30 days", &["FR"], Some(10 * GB), days(30), 1490),
        one_off("EUROPE_3GB_15D", "Europe 3 GB, 15 days", EUROPE, Some(3 * GB), days(15), 990),
        one_off("EUROPE_10GB_1M", "Europe 10 GB, 1 month", EUROPE, Some(10 * GB), Validity::months(1), 1990),
        one_off("WORLD_1GB_7D", "World 1 GB, 7 days", &world, Some(GB), days(7), 1290),
        one_off("WORLD_5GB_30D", "World 5 GB, 30 days", &world, Some(5 * GB), days(30), 3990),
        one_off("JAPAN_3GB_15D", "Japan 3 GB, 15 days", &["JP"], Some(3 * GB), days(15), 890),
        one_off("JAPAN_UNLIMITED_7D_FUP20", "Japan unlimited, 7 days", &["JP"], None, days(7), 2490),
        one_off("USA_5GB_30D", "USA 5 GB, 30 days", &["US"], Some(5 * GB), days(30), 1690),
        one_off("ALBANIA_1GB_7D", "Albania 1 GB, 7 days", &["AL"], Some(GB), days(7), 450),
        one_off("BALKANS_3GB_30D", "Balkans 3 GB, 30 days", BALKANS, Some(3 * GB), days(30), 1590),
        one_off("TURKIYE_5GB_30D", "Türkiye 5 GB, 30 days", &["TR"], Some(5 * GB), days(30), 1190),
    ];
    products.push(Product {
        product_id: "WW_901O_RECURRING_EUROPE_5GB_1M".to_owned(),
        category: Category::Recurring,
        ..one_off("", "Europe 5 GB every month", EUROPE, Some(5 * GB), Validity::months(1), 1290)
    });
    products
}

/// The plans of the IoT account: one-off and recurring ones.
pub fn iot() -> Vec<Product> {
    let world: Vec<&str> = COUNTRIES.iter().map(|(code, _)| *code).collect();
    let one_offs = [
        one_off("", "World 100 MB, 1 year", &world, Some(GB / 1024 * 100), Validity::months(12), 590),
        one_off("", "World 1 GB, 1 year", &world, Some(GB), Validity::months(12), 1490),
        one_off("", "Europe 5 GB, 30 days", EUROPE, Some(5 * GB), Validity::days(30), 990),
    ];
    let ids = ["ONEOFF_WORLD_100MB_12M", "ONEOFF_WORLD_1GB_12M", "ONEOFF_EUROPE_5GB_30D"];
    let named =
        |(product, id): (Product, &str)| Product { product_id: format!("WW_901I_IOTC_{id}"), ..product };
    let mut products: Vec<Product> = one_offs.into_iter().zip(ids).map(named).collect();
    products.push(Product {
        product_id: "WW_901I_IOTC_RECURRING_WORLD_50MB_1M".to_owned(),
        category: Category::Recurring,
        ..one_off("", "World 50 MB every month", &world, Some(GB / 1024 * 50), Validity::months(1), 190)
    });
    products.push(Product {
        product_id: "WW_901I_IOTC_RECURRING_EUROPE_1GB_1M".to_owned(),
        category: Category::Recurring,
        ..one_off("", "Europe 1 GB every month", EUROPE, Some(GB), Validity::months(1), 490)
    });
    products
}

fn one_off(
    suffix: &str,
    label: &str,
    countries: &[&str],
    data_kb: Option<u64>,
    validity: Validity,
    price_cents: u32,
) -> Product {
    Product {
        product_id: format!("WW_901O_STACK_ONEOFF_{suffix}"),
        label: label.to_owned(),
        category: Category::OneOff,
        countries: countries.iter().map(|&code| code.to_owned()).collect(),
        data_kb,
        validity,
        price_cents,
        deferred_months: None,
        available: true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_every_country_has_both_codes() {
        let products = sandbox();
        let ids: BTreeSet<&str> = products.iter().map(|product| product.product_id.as_str()).collect();
        assert_eq!(ids.len(), products.len());
        for product in &products {
            assert!(product.countries.iter().all(|code| alpha3(code).is_some()), "{}", product.product_id);
        }
        assert_eq!(products.iter().filter(|product| product.data_kb.is_none()).count(), 1);
        assert_eq!(products.iter().filter(|product| product.category == Category::Recurring).count(), 1);
        assert_eq!((alpha3("al"), alpha3("XX")), (Some("ALB"), None));
    }
}
