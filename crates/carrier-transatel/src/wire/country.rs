//! Which two-letter tags of a product are countries: tags also hold labels, and some of those have two letters.

use simdepot_domain::country::{CountryCode, alpha2_of_alpha3};

/// ISO 3166-1 alpha-2, and Kosovo under the code that roaming catalogues use.
const ALPHA2: &str = "
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
    KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT
    MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ
    UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
";

/// The countries of a product: from its two-letter tags, else from its list of three-letter codes. Sorted.
pub(crate) fn countries(tags: &[String], alpha3: &[String]) -> Vec<CountryCode> {
    let mut found: Vec<CountryCode> = tags.iter().filter_map(|tag| of_tag(tag)).collect();
    if found.is_empty() {
        found = alpha3.iter().filter_map(|code| alpha2_of_alpha3(code)).collect();
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn of_tag(tag: &str) -> Option<CountryCode> {
    let known = tag.len() == 2 && ALPHA2.split_ascii_whitespace().any(|code| code == tag);
    known.then(|| CountryCode::parse(tag).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_list_is_that_of_the_three_letter_codes() {
        let letters = || 'A'..='Z';
        let from_alpha3: BTreeSet<String> = letters()
            .flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))))
            .filter_map(|code| alpha2_of_alpha3(&code))
            .map(|code| code.to_string())
            .collect();
        let listed: BTreeSet<String> = ALPHA2.split_ascii_whitespace().map(str::to_owned).collect();
        assert_eq!(listed, from_alpha3);
    }

    #[test]
    fn tags_first_labels_never() {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let read = |tags: &[&str], alpha3: &[&str]| {
            let list = countries(&texts(tags), &texts(alpha3));
            list.iter().map(|code| code.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(read(&["FR", "AL", "EU", "fr", "WALLED_GARDEN", "FR", "5G"], &["DEU"]), ["AL", "FR"]);
        assert_eq!(read(&["EU", "HOT"], &["DEU", "ALB", "ZZZ"]), ["AL", "DE"]);
        assert_eq!(read(&[], &[]), Vec::<String>::new());
    }
}
