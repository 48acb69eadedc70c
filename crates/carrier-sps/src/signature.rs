//! Whether a notification comes from the operator. How it is proved is not published, so it is settable: an HMAC-SHA256 of
//! the raw body in a header, or our secret as a bearer token.

use serde::Deserialize;
use simdepot_carrier_http::signature;
use simdepot_domain::carrier::EventRefused;
use simdepot_domain::secret::Secret;
use strum::{AsRefStr, Display, EnumString, VariantArray};

/// Headers under which signatures are looked for, in lower case.
const HEADERS: [&str; 5] =
    ["x-signature-256", "x-hub-signature-256", "x-sps-signature-256", "x-tsl-signature-256", "x-signature"];
const AUTHORIZATION: &str = "authorization";

/// What proves a notification.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, AsRefStr, Display, EnumString, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WebhookAuth {
    /// Either of them.
    #[default]
    Any,
    /// A signature of the raw body.
    Hmac,
    /// The secret itself, as `Authorization: Bearer`.
    Bearer,
}

/// How notifications are proved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookSettings {
    /// By what.
    pub auth: WebhookAuth,
    /// The one header that holds the signature, in any case; a usual one when absent.
    pub header: Option<String>,
}

impl WebhookSettings {
    /// Checks what can be checked.
    ///
    /// # Errors
    /// The setting that is wrong, and what it should be.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let is_token = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !self.header.as_ref().is_none_or(is_token) {
            return Err(("webhook_header", "the name of a header, such as X-Signature-256"));
        }
        Ok(())
    }

    /// Checks what came with `body`, in a time that does not depend on where the first difference is.
    pub(crate) fn verify(
        &self,
        secret: Option<&Secret>,
        header: &dyn Fn(&str) -> Option<String>,
        body: &[u8],
    ) -> Result<(), EventRefused> {
        let secret = secret.filter(|secret| !secret.is_empty()).ok_or(EventRefused::NotConfigured)?;
        let mut outcome = EventRefused::Unsigned;
        if self.auth != WebhookAuth::Bearer {
            let own = self.header.as_ref().map(|name| name.to_ascii_lowercase());
            let names = own.as_deref().map_or(HEADERS.to_vec(), |name| vec![name]);
            for text in names.into_iter().filter_map(header) {
                let Some(given) = signature::with_scheme(&text).or_else(|| signature::bare(text.trim()))
                else {
                    continue;
                };
                match signature::check(secret, &given, body) {
                    Ok(()) => return Ok(()),
                    Err(refused) => outcome = refused,
                }
            }
        }
        if self.auth != WebhookAuth::Hmac
            && let Some(token) = header(AUTHORIZATION).as_deref().and_then(bearer)
        {
            if token == *secret {
                return Ok(());
            }
            outcome = EventRefused::Signature;
        }
        Err(outcome)
    }
}

fn bearer(text: &str) -> Option<Secret> {
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4231, test case 2.
    const KEY: &str = "Jefe";
    const DATA: &[u8] = b"what do ya want for nothing?";
    const MAC: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    fn verified(
        settings: &WebhookSettings,
        secret: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<(), EventRefused> {
        let look_up = |name: &str| {
            headers.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        settings.verify(secret.map(Secret::new).as_ref(), &look_up, DATA)
    }

    #[test]
    fn a_signature_in_any_usual_header_and_form() {
        let any = WebhookSettings::default();
        for name in HEADERS {
            for text in [MAC.to_owned(), format!("sha256={MAC}"), format!(" SHA256={} ", MAC.to_uppercase())]
            {
                assert_eq!(verified(&any, Some(KEY), &[(name, &text)]), Ok(()), "{name}: {text}");
            }
        }
        assert_eq!(verified(&any, Some(KEY), &[("authorization", "bearer Jefe")]), Ok(()));
        // Something else in one header does not spoil what is in another.
        assert_eq!(verified(&any, Some(KEY), &[("x-signature", "v1"), ("x-signature-256", MAC)]), Ok(()));
    }

    #[test]
    fn everything_else_is_refused() {
        let any = WebhookSettings::default();
        let wrong = MAC.replacen('5', "6", 1);
        for headers in [
            [("x-signature-256", wrong.as_str())],
            [("authorization", "Bearer jefe")],
            [("authorization", "Bearer Jefe Jefe")],
        ] {
            assert_eq!(verified(&any, Some(KEY), &headers), Err(EventRefused::Signature), "{headers:?}");
        }
        for headers in [
            [("x-other", MAC)],
            [("x-signature-256", &MAC[..62])],
            [("x-signature-256", "sha1=00")],
            [("authorization", "Basic Jefe")],
            [("authorization", "Jefe")],
        ] {
            assert_eq!(verified(&any, Some(KEY), &headers), Err(EventRefused::Unsigned), "{headers:?}");
        }
        for secret in [None, Some("")] {
            let headers = [("x-signature-256", MAC), ("authorization", "Bearer ")];
            assert_eq!(verified(&any, secret, &headers), Err(EventRefused::NotConfigured));
        }
    }

    #[test]
    fn the_account_may_allow_less() {
        let bearer = WebhookSettings { auth: WebhookAuth::Bearer, header: None };
        assert_eq!(verified(&bearer, Some(KEY), &[("x-signature-256", MAC)]), Err(EventRefused::Unsigned));
        assert_eq!(verified(&bearer, Some(KEY), &[("authorization", "Bearer Jefe")]), Ok(()));
        let hmac = WebhookSettings { auth: WebhookAuth::Hmac, header: Some("X-Own".to_owned()) };
        assert_eq!(verified(&hmac, Some(KEY), &[("x-own", MAC)]), Ok(()));
        assert_eq!(verified(&hmac, Some(KEY), &[("x-signature-256", MAC)]), Err(EventRefused::Unsigned));
        assert_eq!(
            verified(&hmac, Some(KEY), &[("authorization", "Bearer Jefe")]),
            Err(EventRefused::Unsigned)
        );
    }
}
