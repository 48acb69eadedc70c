//! Links that open a phone's own eSIM installer with the activation code filled in.
//!
//! iOS follows its link from 17.5 on, outside in-app browsers; the Android link is a convention of resellers that
//! not every device honours. Always show the QR code and the code to type beside them. A link contains the code and
//! is as secret as it is.

const APPLE: &str = "https://esimsetup.apple.com/esim_qrcode_provisioning?carddata=";
const ANDROID: &str = "https://esimsetup.android.com/esim_qrcode_provisioning?carddata=";

/// The link for iPhones. `lpa` is the code with its prefix, `LPA:1$…`.
pub fn apple(lpa: &str) -> String {
    link(APPLE, lpa)
}

/// The link for Android phones. `lpa` is the code with its prefix, `LPA:1$…`.
pub fn android(lpa: &str) -> String {
    link(ANDROID, lpa)
}

/// Percent-encodes all but the unreserved characters of RFC 3986 §2.3: both platforms decode, and a bare `$`, `+`
/// or `&` would not survive every mail program.
fn link(base: &str, lpa: &str) -> String {
    let mut text = String::with_capacity(base.len().saturating_add(lpa.len().saturating_mul(2)));
    text.push_str(base);
    for byte in lpa.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_carry_the_encoded_code() {
        let lpa = "LPA:1$smdp.example.com$AB-12$$1";
        let data = "LPA%3A1%24smdp.example.com%24AB-12%24%241";
        assert_eq!(
            apple(lpa),
            format!("https://esimsetup.apple.com/esim_qrcode_provisioning?carddata={data}")
        );
        assert_eq!(
            android(lpa),
            format!("https://esimsetup.android.com/esim_qrcode_provisioning?carddata={data}")
        );
        assert!(apple("a+b&c%d é").ends_with("=a%2Bb%26c%25d%20%C3%A9"));
    }

    proptest! {
        #[test]
        fn decoding_gives_the_code_back(lpa in ".{0,60}") {
            let link = apple(&lpa);
            let mut data = link.split_once('=').unwrap().1.bytes();
            let mut decoded = Vec::new();
            while let Some(byte) = data.next() {
                if byte == b'%' {
                    let hex = [data.next().unwrap(), data.next().unwrap()];
                    decoded.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                } else {
                    decoded.push(byte);
                }
            }
            prop_assert_eq!(String::from_utf8(decoded).unwrap(), lpa);
        }
    }
}
