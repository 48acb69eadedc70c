//! Country codes (ISO 3166-1): two letters inside simdepot and in its API, three letters in some carriers' catalogues.

use crate::identifier_error::{IdentifierError, check_characters, text_identifier};

const WHAT: &str = "country code";
const EXPECTED: &str = "the two letters of ISO 3166-1, such as FR";

/// Every country of ISO 3166-1 as `alpha-3=alpha-2`, in the order of the three letters.
const ALPHA3_TO_ALPHA2: &str = "
    ABW=AW AFG=AF AGO=AO AIA=AI ALA=AX ALB=AL AND=AD ARE=AE ARG=AR ARM=AM ASM=AS ATA=AQ ATF=TF
    ATG=AG AUS=AU AUT=AT AZE=AZ BDI=BI BEL=BE BEN=BJ BES=BQ BFA=BF BGD=BD BGR=BG BHR=BH BHS=BS
    BIH=BA BLM=BL BLR=BY BLZ=BZ BMU=BM BOL=BO BRA=BR BRB=BB BRN=BN BTN=BT BVT=BV BWA=BW CAF=CF
    CAN=CA CCK=CC CHE=CH CHL=CL CHN=CN CIV=CI CMR=CM COD=CD COG=CG COK=CK COL=CO COM=KM CPV=CV
    CRI=CR CUB=CU CUW=CW CXR=CX CYM=KY CYP=CY CZE=CZ DEU=DE DJI=DJ DMA=DM DNK=DK DOM=DO DZA=DZ
    ECU=EC EGY=EG ERI=ER ESH=EH ESP=ES EST=EE ETH=ET FIN=FI FJI=FJ FLK=FK FRA=FR FRO=FO FSM=FM
    GAB=GA GBR=GB GEO=GE GGY=GG GHA=GH GIB=GI GIN=GN GLP=GP GMB=GM GNB=GW GNQ=GQ GRC=GR GRD=GD
    GRL=GL GTM=GT GUF=GF GUM=GU GUY=GY HKG=HK HMD=HM HND=HN HRV=HR HTI=HT HUN=HU IDN=ID IMN=IM
    IND=IN IOT=IO IRL=IE IRN=IR IRQ=IQ ISL=IS ISR=IL ITA=IT JAM=JM JEY=JE JOR=JO JPN=JP KAZ=KZ
    KEN=KE KGZ=KG KHM=KH KIR=KI KNA=KN KOR=KR KWT=KW LAO=LA LBN=LB LBR=LR LBY=LY LCA=LC LIE=LI
    LKA=LK LSO=LS LTU=LT LUX=LU LVA=LV MAC=MO MAF=MF MAR=MA MCO=MC MDA=MD MDG=MG MDV=MV MEX=MX
    MHL=MH MKD=MK MLI=ML MLT=MT MMR=MM MNE=ME MNG=MN MNP=MP MOZ=MZ MRT=MR MSR=MS MTQ=MQ MUS=MU
    MWI=MW MYS=MY MYT=YT NAM=NA NCL=NC NER=NE NFK=NF NGA=NG NIC=NI NIU=NU NLD=NL NOR=NO NPL=NP
    NRU=NR NZL=NZ OMN=OM PAK=PK PAN=PA PCN=PN PER=PE PHL=PH PLW=PW PNG=PG POL=PL PRI=PR PRK=KP
    PRT=PT PRY=PY PSE=PS PYF=PF QAT=QA REU=RE ROU=RO RUS=RU RWA=RW SAU=SA SDN=SD SEN=SN SGP=SG
    SGS=GS SHN=SH SJM=SJ SLB=SB SLE=SL SLV=SV SMR=SM SOM=SO SPM=PM SRB=RS SSD=SS STP=ST SUR=SR
    SVK=SK SVN=SI SWE=SE SWZ=SZ SXM=SX SYC=SC SYR=SY TCA=TC TCD=TD TGO=TG THA=TH TJK=TJ TKL=TK
    TKM=TM TLS=TL TON=TO TTO=TT TUN=TN TUR=TR TUV=TV TWN=TW TZA=TZ UGA=UG UKR=UA UMI=UM URY=UY
    USA=US UZB=UZ VAT=VA VCT=VC VEN=VE VGB=VG VIR=VI VNM=VN VUT=VU WLF=WF WSM=WS YEM=YE ZAF=ZA
    ZMB=ZM ZWE=ZW
";

/// Kosovo has no entry in ISO 3166-1. Roaming catalogues sell it under these user-assigned codes.
const KOSOVO: (&str, &str) = ("XKX", "XK");

/// A country as two upper-case letters.
///
/// Any two letters are read, so that a country the standard gains tomorrow is not refused today.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountryCode(String);

impl CountryCode {
    /// Reads two ASCII letters in any case; outer white space is dropped.
    ///
    /// # Errors
    /// Other characters, another length.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let letters = text.trim();
        if letters.is_empty() {
            return Err(IdentifierError::Empty { what: WHAT, expected: EXPECTED });
        }
        check_characters(WHAT, EXPECTED, letters, |c| c.is_ascii_alphabetic())?;
        if letters.len() != 2 {
            return Err(IdentifierError::Length { what: WHAT, expected: EXPECTED, found: letters.len() });
        }
        Ok(Self(letters.to_ascii_uppercase()))
    }

    /// The two letters, in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_identifier!(CountryCode);

/// The two letters for three, in any case: `FRA` gives `FR`. `None` for what is not a country's code.
pub fn alpha2_of_alpha3(alpha3: &str) -> Option<CountryCode> {
    let wanted = alpha3.trim();
    ALPHA3_TO_ALPHA2
        .split_ascii_whitespace()
        .filter_map(|entry| entry.split_once('='))
        .chain([KOSOVO])
        .find(|(three, _)| three.eq_ignore_ascii_case(wanted))
        .map(|(_, two)| CountryCode(two.to_owned()))
}

/// The three letters for two: `FR` gives `FRA`. `None` for two letters that no country has.
pub fn alpha3_of_alpha2(alpha2: &CountryCode) -> Option<&'static str> {
    ALPHA3_TO_ALPHA2
        .split_ascii_whitespace()
        .filter_map(|entry| entry.split_once('='))
        .chain([KOSOVO])
        .find(|(_, two)| *two == alpha2.as_str())
        .map(|(three, _)| three)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_complete_sorted_and_one_to_one() {
        let entries: Vec<(&str, &str)> =
            ALPHA3_TO_ALPHA2.split_ascii_whitespace().map(|entry| entry.split_once('=').unwrap()).collect();
        assert_eq!(entries.len(), 249, "ISO 3166-1 has 249 entries");
        assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(entries.iter().map(|entry| entry.1).collect::<BTreeSet<_>>().len(), 249);
        for (three, two) in entries {
            assert_eq!(three.len(), 3);
            assert!(three.bytes().all(|b| b.is_ascii_uppercase()), "{three}");
            assert_eq!(CountryCode::parse(two).unwrap().as_str(), two);
            assert_eq!(alpha2_of_alpha3(three).unwrap().as_str(), two);
            assert_eq!(alpha3_of_alpha2(&CountryCode::parse(two).unwrap()), Some(three));
        }
    }

    #[test]
    fn pairs_that_do_not_share_their_letters() {
        for (three, two) in [
            ("FRA", "FR"),
            ("deu", "DE"),
            (" CHE ", "CH"),
            ("AUT", "AT"),
            ("AUS", "AU"),
            ("CHN", "CN"),
            ("SRB", "RS"),
            ("UKR", "UA"),
            ("KOR", "KR"),
            ("PRK", "KP"),
            ("ESP", "ES"),
            ("ZAF", "ZA"),
            ("COD", "CD"),
            ("COG", "CG"),
            ("PRT", "PT"),
            ("SWE", "SE"),
            ("SVN", "SI"),
            ("SVK", "SK"),
            ("MEX", "MX"),
            ("ARE", "AE"),
            ("XKX", "XK"),
        ] {
            assert_eq!(alpha2_of_alpha3(three).map(|c| c.to_string()).as_deref(), Some(two));
        }
        for unknown in ["", "FR", "XXX", "AFG=AF", "FRAA", "FRÀ"] {
            assert_eq!(alpha2_of_alpha3(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn reads_two_letters_in_any_case() {
        assert_eq!(CountryCode::parse(" fr ").unwrap().to_string(), "FR");
        assert_eq!("De".parse::<CountryCode>().unwrap(), CountryCode::parse("DE").unwrap());
        let code = |text: &str| CountryCode::parse(text).unwrap_err().code();
        assert_eq!(
            (code(" "), code("FRA"), code("F"), code("F1"), code("ÄÖ")),
            ("empty", "wrong-length", "wrong-length", "invalid-character", "invalid-character")
        );
    }
}
