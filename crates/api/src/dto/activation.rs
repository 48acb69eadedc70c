//! Activation codes on their way to a customer.

use serde::{Deserialize, Serialize};
use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::install_link;
use simdepot_domain::qr::MAX_MODULE_PX;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use validator::Validate;

/// What a customer needs to install an eSIM (SGP.22 §4.1). All of it is secret.
// No `Debug`, so that it cannot be logged.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "lpa": "LPA:1$smdp.example.com$K2-1TRDRP-9MJ4ZQ",
    "smdp_address": "smdp.example.com",
    "matching_id": "K2-1TRDRP-9MJ4ZQ",
    "confirmation_code_required": false,
    "qr_svg_url": "https://depot.example.com/v1/profiles/8988247000000210014/qr.svg",
    "qr_png_url": "https://depot.example.com/v1/profiles/8988247000000210014/qr.png",
    "apple_install_url": "https://esimsetup.apple.com/esim_qrcode_provisioning?carddata=LPA%3A1%24smdp.example.com%24K2-1TRDRP-9MJ4ZQ",
    "android_install_url": "https://esimsetup.android.com/esim_qrcode_provisioning?carddata=LPA%3A1%24smdp.example.com%24K2-1TRDRP-9MJ4ZQ"
}))]
pub struct Activation {
    /// The activation code with its prefix, as in the QR code, otherwise exactly as the carrier delivered it.
    pub lpa: String,
    /// Host of the SM-DP+, for typing in.
    pub smdp_address: String,
    /// Matching id, for typing in. May be empty.
    pub matching_id: String,
    /// Whether the device will ask for a confirmation code, which is handed out apart.
    pub confirmation_code_required: bool,
    /// The QR code as SVG; needs the same key.
    pub qr_svg_url: String,
    /// The QR code as PNG; needs the same key.
    pub qr_png_url: String,
    /// Opens the installer of an iPhone (iOS 17.5 or later). As secret as the code.
    pub apple_install_url: String,
    /// Opens the installer of an Android phone that honours such links. As secret as the code.
    pub android_install_url: String,
}

impl Activation {
    /// The code of a profile. `public_url` is how the world reaches this service.
    pub fn new(public_url: &str, iccid: &Iccid, code: &ActivationCode) -> Self {
        let lpa = code.lpa();
        let profile = format!("{}/v1/profiles/{iccid}", public_url.trim_end_matches('/'));
        Self {
            smdp_address: code.smdp_address().to_string(),
            matching_id: code.matching_id().expose().to_owned(),
            confirmation_code_required: code.confirmation_code_required(),
            qr_svg_url: format!("{profile}/qr.svg"),
            qr_png_url: format!("{profile}/qr.png"),
            apple_install_url: install_link::apple(&lpa),
            android_install_url: install_link::android(&lpa),
            lpa,
        }
    }
}

/// A picture, for the OpenAPI document.
#[derive(Debug)]
pub enum Picture {}

impl PartialSchema for Picture {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).content_media_type("image/png").into()
    }
}

impl ToSchema for Picture {}

/// Size of a PNG.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PngQuery {
    /// Width of a module in pixels.
    #[serde(default = "default_module_px")]
    #[validate(range(min = 1, max = MAX_MODULE_PX))]
    #[param(minimum = 1, maximum = 32, default = 8, required = false)]
    pub module_px: u32,
}

fn default_module_px() -> u32 {
    8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_printed_as_delivered() {
        let code = ActivationCode::parse("1$SMDP.Example.com$aB-12$$1").unwrap();
        let shown =
            Activation::new("https://depot.example/", &Iccid::parse("8988247000000210014").unwrap(), &code);
        assert_eq!(shown.lpa, "LPA:1$SMDP.Example.com$aB-12$$1");
        assert_eq!((shown.smdp_address.as_str(), shown.matching_id.as_str()), ("SMDP.Example.com", "aB-12"));
        assert!(shown.confirmation_code_required);
        assert_eq!(shown.qr_svg_url, "https://depot.example/v1/profiles/8988247000000210014/qr.svg");
        assert!(shown.apple_install_url.ends_with("carddata=LPA%3A1%24SMDP.Example.com%24aB-12%24%241"));
    }

    #[test]
    fn modules_are_of_a_possible_size() {
        let query = |text: &str| serde_json::from_str::<PngQuery>(text).unwrap();
        assert_eq!(query("{}").module_px, 8);
        assert!(query(r#"{"module_px": 32}"#).validate().is_ok());
        assert!(query(r#"{"module_px": 33}"#).validate().is_err());
        assert!(query(r#"{"module_px": 0}"#).validate().is_err());
    }
}
