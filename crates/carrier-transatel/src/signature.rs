//! Whether an event comes from Transatel: `X-TSL-Signature-256: sha256=<hex>`, the HMAC-SHA256 of the raw body with the
//! secret that was entered when the data stream was registered.

use simdepot_carrier_http::signature;
use simdepot_domain::carrier::EventRefused;
use simdepot_domain::secret::Secret;

/// Name of the header, in lower case.
const HEADER: &str = "x-tsl-signature-256";

/// Checks the signature of `body`, in a time that does not depend on where the first difference is.
pub(crate) fn check(
    secret: Option<&Secret>,
    header: &dyn Fn(&str) -> Option<String>,
    body: &[u8],
) -> Result<(), EventRefused> {
    let secret = secret.filter(|secret| !secret.is_empty()).ok_or(EventRefused::NotConfigured)?;
    let given =
        header(HEADER).and_then(|text| signature::with_scheme(&text)).ok_or(EventRefused::Unsigned)?;
    signature::check(secret, &given, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4231, test case 2.
    const KEY: &str = "Jefe";
    const DATA: &[u8] = b"what do ya want for nothing?";
    const MAC: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    fn checked(secret: Option<&str>, header: Option<&str>, body: &[u8]) -> Result<(), EventRefused> {
        let secret = secret.map(Secret::new);
        let look_up = |name: &str| header.filter(|_| name == "x-tsl-signature-256").map(str::to_owned);
        check(secret.as_ref(), &look_up, body)
    }

    #[test]
    fn accepts_the_signature_in_either_case() {
        for text in [
            format!("sha256={MAC}"),
            format!("sha256={}", MAC.to_uppercase()),
            format!("SHA256={MAC}"),
            format!(" sha256={MAC} "),
        ] {
            assert_eq!(checked(Some(KEY), Some(&text), DATA), Ok(()), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        let refused = Err(EventRefused::Signature);
        let signature = format!("sha256={MAC}");
        let good = Some(signature.as_str());
        assert_eq!(checked(Some(KEY), None, DATA), Err(EventRefused::Unsigned));
        assert_eq!(checked(Some("jefe"), good, DATA), refused);
        assert_eq!(checked(Some(KEY), good, b"what do ya want for nothing!"), refused);
        assert_eq!(checked(Some(KEY), good, b""), refused);
        for text in [
            MAC.to_owned(),
            format!("sha1={MAC}"),
            format!("sha256={}", &MAC[..62]),
            format!("sha256={MAC}00"),
            format!("sha256={}x", &MAC[..63]),
            "sha256=".to_owned(),
            "sha256é".to_owned(),
            String::new(),
        ] {
            assert_eq!(checked(Some(KEY), Some(&text), DATA), Err(EventRefused::Unsigned), "{text}");
        }
    }

    #[test]
    fn without_a_secret_nothing_is_accepted() {
        for secret in [None, Some("")] {
            assert_eq!(
                checked(secret, Some(&format!("sha256={MAC}")), DATA),
                Err(EventRefused::NotConfigured)
            );
        }
    }
}
