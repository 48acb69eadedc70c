//! Activation code: what a customer scans or types to install a profile (SGP.22 §4.1).
//!
//! `1$<SM-DP+ address>$<matching id>[$<OID>[$<confirmation code flag>[$<CI key>[$<delete notification>]]]]`, with
//! `LPA:` before it in a QR code. It is read leniently, kept to the letter and printed as delivered: a code that was
//! "tidied up" is a code the SM-DP+ may not know.

use crate::identifier_error::{IdentifierError, check_characters, secret_identifier};
use crate::matching_id::MatchingId;
use crate::secret::Secret;
use crate::smdp_address::SmdpAddress;

const WHAT: &str = "activation code";
const EXPECTED: &str =
    "1$<SM-DP+ address>$<matching id>, with or without LPA: before it, 255 characters at most";
const EXPECTED_OID: &str = "an SM-DP+ OID such as 1.3.6.1 in the fourth field, or nothing";
const EXPECTED_FLAG: &str = "1 or nothing as confirmation code flag in the fifth field";
const PREFIX: &str = "LPA:";
/// Longest code without a delete notification.
const MAX_LENGTH: usize = 255;
/// SGP.22 v3 lets the delete notification exceed 255 and names no limit; this is well within one QR code.
const MAX_LENGTH_WITH_NOTIFICATION: usize = 1024;

/// An activation code. `Debug` prints `[secret]`; [`code`](Self::code) and [`lpa`](Self::lpa) reveal it.
#[derive(Clone, PartialEq, Eq)]
pub struct ActivationCode {
    code: Secret,
    smdp_address: SmdpAddress,
    matching_id: MatchingId,
    oid: Option<String>,
    confirmation_code_required: bool,
}

impl ActivationCode {
    /// Reads `1$…` or `LPA:1$…`. The prefix may be in any case; outer white space is dropped; fields beyond the
    /// fifth are kept without being looked into.
    ///
    /// # Errors
    /// Another format than `1`, fewer than three fields, a bad SM-DP+ address, matching id, OID or flag, more than
    /// 255 characters. The error does not quote the code.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let trimmed = text.trim();
        let code = match trimmed.split_at_checked(PREFIX.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
            Some(_) | None => trimmed,
        };
        if code.is_empty() {
            return Err(IdentifierError::Empty { what: WHAT, expected: EXPECTED });
        }
        check_characters(WHAT, EXPECTED, code, |c| c.is_ascii_graphic())?;
        // Empty fields count: `1$host$$1.3.6.1` has no matching id, and an OID.
        let mut fields = code.split('$');
        if fields.next() != Some("1") {
            return Err(IdentifierError::Malformed { what: WHAT, expected: EXPECTED });
        }
        let (Some(address), Some(matching_id)) = (fields.next(), fields.next()) else {
            return Err(IdentifierError::Malformed { what: WHAT, expected: EXPECTED });
        };
        let smdp_address = SmdpAddress::parse(address)?;
        let matching_id = MatchingId::parse(matching_id)?;
        let oid = parse_oid(fields.next().unwrap_or_default())?;
        let confirmation_code_required = parse_flag(fields.next().unwrap_or_default())?;
        let notification = fields.nth(1).unwrap_or_default();
        check_length(code, notification)?;
        Ok(Self { code: Secret::new(code), smdp_address, matching_id, oid, confirmation_code_required })
    }

    /// The code of a profile whose SM-DP+ address and matching id were delivered apart.
    ///
    /// # Errors
    /// Together they exceed 255 characters.
    pub fn from_parts(smdp_address: &SmdpAddress, matching_id: &MatchingId) -> Result<Self, IdentifierError> {
        let code = Secret::new(format!("1${smdp_address}${}", matching_id.expose()));
        check_length(code.expose(), "")?;
        Ok(Self {
            code,
            smdp_address: smdp_address.clone(),
            matching_id: matching_id.clone(),
            oid: None,
            confirmation_code_required: false,
        })
    }

    /// The host to download from.
    pub fn smdp_address(&self) -> &SmdpAddress {
        &self.smdp_address
    }

    /// The token of this profile.
    pub fn matching_id(&self) -> &MatchingId {
        &self.matching_id
    }

    /// The SM-DP+ OID, when the code names one.
    pub fn oid(&self) -> Option<&str> {
        self.oid.as_deref()
    }

    /// Whether the device will ask for a confirmation code, which is never part of the activation code.
    pub fn confirmation_code_required(&self) -> bool {
        self.confirmation_code_required
    }

    /// Reveals the code as delivered, without `LPA:`; the form for typing in.
    pub fn code(&self) -> &str {
        self.code.expose()
    }

    /// Reveals the code with `LPA:` before it; the form for QR codes and install links.
    pub fn lpa(&self) -> String {
        format!("{PREFIX}{}", self.code())
    }

    /// What tells this code from every other one, as input for a keyed blind index: the host in lower case, `$` and
    /// the matching id. `None` without a matching id, since all such codes of an SM-DP+ are alike. It is as secret
    /// as the code.
    pub fn index_input(&self) -> Option<String> {
        (!self.matching_id.is_empty())
            .then(|| format!("{}${}", self.smdp_address.host_key(), self.matching_id.expose()))
    }
}

secret_identifier!(ActivationCode);

fn parse_oid(text: &str) -> Result<Option<String>, IdentifierError> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_arc = |arc: &str| {
        !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'))
    };
    match text.split_once('.') {
        Some(("0" | "1" | "2", rest)) if rest.split('.').all(is_arc) => Ok(Some(text.to_owned())),
        Some(_) | None => Err(IdentifierError::Malformed { what: WHAT, expected: EXPECTED_OID }),
    }
}

fn parse_flag(text: &str) -> Result<bool, IdentifierError> {
    match text {
        "" => Ok(false),
        "1" => Ok(true),
        _ => Err(IdentifierError::Malformed { what: WHAT, expected: EXPECTED_FLAG }),
    }
}

fn check_length(code: &str, notification: &str) -> Result<(), IdentifierError> {
    let limit = if notification.is_empty() { MAX_LENGTH } else { MAX_LENGTH_WITH_NOTIFICATION };
    if code.len() > limit || code.len().saturating_sub(notification.len()) > MAX_LENGTH {
        return Err(IdentifierError::Length { what: WHAT, expected: EXPECTED, found: code.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "SMDP.GSMA.COM";
    const TOKEN: &str = "04386-AGYFT-A74Y8-3F815";

    fn fields(text: &str) -> (String, String, Option<String>, bool) {
        let code = ActivationCode::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let oid = code.oid().map(str::to_owned);
        (
            code.smdp_address().to_string(),
            code.matching_id().expose().to_owned(),
            oid,
            code.confirmation_code_required(),
        )
    }

    #[test]
    fn examples_of_the_specification() {
        let oid = || Some(String::from("1.3.6.1.4.1.31746"));
        let (host, token) = (HOST.to_owned(), TOKEN.to_owned());
        let base = format!("1${HOST}${TOKEN}");
        assert_eq!(fields(&base), (host.clone(), token.clone(), None, false));
        assert_eq!(fields(&format!("{base}$$1")), (host.clone(), token.clone(), None, true));
        assert_eq!(
            fields(&format!("{base}$1.3.6.1.4.1.31746$1")),
            (host.clone(), token.clone(), oid(), true)
        );
        assert_eq!(fields(&format!("{base}$1.3.6.1.4.1.31746")), (host.clone(), token, oid(), false));
        assert_eq!(fields(&format!("1${HOST}$$1.3.6.1.4.1.31746")), (host, String::new(), oid(), false));
    }

    #[test]
    fn prefix_in_any_case_and_outer_white_space_are_dropped_and_nothing_else() {
        for text in [
            "LPA:1$Smdp.io$aB-1$$",
            "lpa:1$Smdp.io$aB-1$$",
            " \tLpA:1$Smdp.io$aB-1$$\r\n",
            "1$Smdp.io$aB-1$$",
        ] {
            let code = ActivationCode::parse(text).unwrap();
            assert_eq!((code.code(), code.lpa().as_str()), ("1$Smdp.io$aB-1$$", "LPA:1$Smdp.io$aB-1$$"));
        }
    }

    #[test]
    fn fields_of_later_versions_and_extra_separators_are_kept() {
        for text in ["1$a.b$T$$", "1$a.b$T$$$", "1$a.b$T$$1$CIPK$x=y$later", "1$a.b$$$$$$$"] {
            assert_eq!(ActivationCode::parse(text).unwrap().code(), text);
        }
    }

    #[test]
    fn refuses_what_the_specification_does_not_allow() {
        for text in [
            "",
            "  ",
            "LPA:",
            "1",
            "1$",
            "1$smdp.io",
            "LPA:1$$$$",
            "1$$ABC",
            "2$smdp.io$ABC",
            "$smdp.io$ABC",
            "01$smdp.io$ABC",
            "LPA$1$smdp.io$ABC",
            "LPA: 1$smdp.io$ABC",
            "LPA:LPA:1$smdp.io$ABC",
            "hello world",
            "1$smdp.io:443$ABC",
            "1$192.0.2.1$ABC",
            "1$smdp.io/path$ABC",
            "1$https://smdp.io$ABC",
            "1$localhost$ABC",
            "1$sm_dp.io$ABC",
            "1$smdp.io$A B",
            "1$smdp.io$A/B",
            "1$smdp.io$ABC$3.1",
            "1$smdp.io$ABC$1.3.06",
            "1$smdp.io$ABC$1",
            "1$smdp.io$ABC$1..3",
            "1$smdp.io$ABC$1.3.",
            "1$smdp.io$ABC$1.x",
            "1$smdp.io$ABC$$yes",
            "1$smdp.io$ABC$$0",
            "1$smdp.io$ABC$$1234",
            "1$smdp.io$ABC$$1$\u{7}",
            "1$smdp.io$ABC$$1$é",
        ] {
            assert!(ActivationCode::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn at_most_255_characters_unless_a_delete_notification_takes_more() {
        let of_length = |length: usize| format!("1$a.b${}", "T".repeat(length - 6));
        assert!(ActivationCode::parse(&format!("LPA:{}", of_length(255))).is_ok());
        assert_eq!(ActivationCode::parse(&of_length(256)).unwrap_err().code(), "wrong-length");
        let notified = |token: usize, notification: usize| {
            format!("1$a.b${}$$$${}", "T".repeat(token), "n".repeat(notification))
        };
        assert!(ActivationCode::parse(&notified(20, 400)).is_ok());
        assert_eq!(ActivationCode::parse(&notified(20, 1024)).unwrap_err().code(), "wrong-length");
        assert_eq!(ActivationCode::parse(&notified(250, 1)).unwrap_err().code(), "wrong-length");
        let unknown_field = format!("1$a.b$T$$$$${}", "x".repeat(300));
        assert_eq!(ActivationCode::parse(&unknown_field).unwrap_err().code(), "wrong-length");
    }

    #[test]
    fn the_index_input_ignores_the_case_of_the_host_only() {
        let index = |text: &str| ActivationCode::parse(text).unwrap().index_input();
        assert_eq!(index("LPA:1$SMDP.io$aB$1.3.6$1").as_deref(), Some("smdp.io$aB"));
        assert_eq!(index("1$smdp.IO$aB"), index("1$SMDP.io$aB"));
        assert_ne!(index("1$smdp.io$ab"), index("1$smdp.io$aB"));
        assert_eq!(index("1$smdp.io$"), None);
    }

    #[test]
    fn parts_make_the_code_that_reads_back_as_them() {
        let (host, token) = (SmdpAddress::parse("Smdp.io").unwrap(), MatchingId::parse("aB-1").unwrap());
        let code = ActivationCode::from_parts(&host, &token).unwrap();
        assert_eq!(code.code(), "1$Smdp.io$aB-1");
        assert_eq!(code, ActivationCode::parse(code.code()).unwrap());
        let long = MatchingId::parse(&"A".repeat(255)).unwrap();
        assert_eq!(ActivationCode::from_parts(&host, &long).unwrap_err().code(), "wrong-length");
    }

    #[test]
    fn neither_debug_nor_errors_show_the_code() {
        let code = ActivationCode::parse("1$smdp.io$SESAME").unwrap();
        assert_eq!(format!("{code:?}"), "[secret]");
        for text in [
            "1$smdp.io$SESAME!",
            "2$smdp.io$SESAME",
            "1$smdp$SESAME",
            "1$smdp.io$SESAME$x",
            "1$smdp.io$SESAME$$x",
        ] {
            let message = ActivationCode::parse(text).unwrap_err().to_string();
            assert!(!message.contains("SESAME") && !message.contains("smdp.io"), "{message}");
            let message = serde_json::from_value::<ActivationCode>(text.into()).unwrap_err().to_string();
            assert!(!message.contains("SESAME"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn reading_what_was_printed_gives_the_same(
            host in "[a-zA-Z0-9]{1,20}(\\.[a-zA-Z0-9]{1,9}){0,2}\\.[a-zA-Z]{2,5}",
            token in "[0-9A-Za-z-]{0,40}",
            rest in "(\\$(1\\.3\\.[1-9][0-9]{0,3})?(\\$1?(\\$[!-#%-~]{0,9}){0,3})?)?",
        ) {
            let text = format!("1${host}${token}{rest}");
            let code = ActivationCode::parse(&text).unwrap();
            prop_assert_eq!(code.code(), &text);
            prop_assert_eq!(code.smdp_address().as_str(), host);
            prop_assert_eq!(code.matching_id().expose(), token);
            prop_assert_eq!(&ActivationCode::parse(code.code()).unwrap(), &code);
            prop_assert_eq!(&ActivationCode::parse(&code.lpa()).unwrap(), &code);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(LPA:)?[1-2]?[$]?.*") {
            if let Ok(code) = ActivationCode::parse(&text) {
                prop_assert!(text.trim().ends_with(code.code()));
            }
        }

        #[test]
        fn anything_made_of_the_alphabet_is_read_or_refused(text in "[1$a.b0-]{0,30}") {
            if let Ok(code) = ActivationCode::parse(&text) {
                prop_assert_eq!(code.code(), text);
            }
        }
    }
}
