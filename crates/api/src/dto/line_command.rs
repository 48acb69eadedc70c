//! Commands to lines.

use serde::{Deserialize, Serialize};
use simdepot_application::AppError;
use simdepot_application::line_operations::{self, LineRequest};
use simdepot_domain::country::CountryCode;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::line::{self, LineAction, LineCommand, LineSetup};
use utoipa::ToSchema;
use validator::Validate;

use super::identifiers;
use super::service_profile::LineOption;
use super::text;
use super::words::SimStatus;

/// What a line is set up with. Everything may be left out: the account's rate plan and the carrier's defaults stand then,
/// and at a modification what is left out stays as it is.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "options": [{"name": "OFFER_901_IOT_CONNECT_CAP_PRICING", "value": "IOTC_REF_BUNDLES"}],
    "group": "fleet-a", "external_reference": "truck-17"
}))]
pub struct SetupRequest {
    /// The rate plan; the account's when absent.
    #[validate(length(min = 1, max = 50), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 50)]
    pub rate_plan: Option<String>,
    /// A service profile that the rest is laid over.
    #[validate(length(min = 1, max = 100), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 100)]
    pub service_profile: Option<String>,
    /// The options to set; at most 500.
    #[serde(default)]
    #[validate(length(max = 500))]
    #[schema(max_items = 500)]
    pub options: Vec<LineOption>,
    /// The group.
    #[validate(length(min = 1, max = 100), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 100)]
    pub group: Option<String>,
    /// The owner's reference; not unique.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255)]
    pub external_reference: Option<String>,
    /// Where the subscriber lives, two letters of ISO 3166-1; at an activation.
    #[schema(value_type = Option<identifiers::Country>)]
    pub country_of_residence: Option<CountryCode>,
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

impl SetupRequest {
    fn setup(self) -> (LineSetup, Option<String>) {
        let setup = LineSetup {
            rate_plan: self.rate_plan,
            options: self.options.into_iter().map(Into::into).collect(),
            group: self.group,
            external_reference: self.external_reference,
            country_of_residence: self.country_of_residence,
        };
        (setup, self.service_profile)
    }

    /// The activation.
    pub fn activate(self) -> LineRequest {
        let (setup, service_profile) = self.setup();
        LineRequest { command: LineCommand::Activate(setup), contact: None, service_profile }
    }

    /// The modification.
    ///
    /// # Errors
    /// A country of residence, which is set at an activation alone; nothing to change.
    pub fn modify(self) -> Result<LineRequest, AppError> {
        let (setup, service_profile) = self.setup();
        if setup.country_of_residence.is_some() {
            let message = "the country of residence is set at the activation alone";
            return Err(AppError::invalid("/country_of_residence", "unexpected", message));
        }
        if setup == LineSetup::default() && service_profile.is_none() {
            let message = "give rate_plan, service_profile, options, group or external_reference";
            return Err(AppError::invalid("", "required", message));
        }
        Ok(LineRequest { command: LineCommand::Modify(setup), contact: None, service_profile })
    }
}

/// A command without further data.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"dry_run": false}))]
pub struct PlainRequest {
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// The end of a line, which cannot be undone.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"confirm": true}))]
pub struct TerminateRequest {
    /// Must be true.
    #[serde(default)]
    pub confirm: bool,
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

impl TerminateRequest {
    /// The termination.
    ///
    /// # Errors
    /// [`AppError::ConfirmationRequired`].
    pub fn terminate(&self) -> Result<LineRequest, AppError> {
        if !self.confirm && !self.dry_run {
            return Err(AppError::ConfirmationRequired { what: "the termination of a line" });
        }
        Ok(plain(LineCommand::Terminate))
    }
}

/// The SIM that takes a line over.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"new_iccid": "8988247000000210022"}))]
pub struct SwapSimRequest {
    /// A profile on sale in a pool of the same carrier account.
    #[schema(value_type = identifiers::Iccid)]
    pub new_iccid: Iccid,
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Whether a mode begins or ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModeAction {
    /// It begins.
    #[default]
    Enter,
    /// It ends.
    Leave,
}

/// A tariff holiday, or its end.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"action": "enter"}))]
pub struct TariffHolidayRequest {
    /// `enter` (the default): from the next bill cycle on; `leave`.
    #[serde(default)]
    pub action: ModeAction,
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

impl TariffHolidayRequest {
    /// The command.
    pub fn command(&self) -> LineRequest {
        plain(match self.action {
            ModeAction::Enter => LineCommand::TariffHoliday,
            ModeAction::Leave => LineCommand::LeaveTariffHoliday,
        })
    }
}

/// A test period, or its end.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"action": "leave"}))]
pub struct TestModeRequest {
    /// `enter` (the default), once in a line's life; `leave`: the line becomes active.
    #[serde(default)]
    pub action: ModeAction,
    /// With `enter`: what the line is set up with.
    #[validate(nested)]
    pub setup: Option<SetupRequest>,
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

impl TestModeRequest {
    /// The command.
    pub fn command(self) -> LineRequest {
        match self.action {
            ModeAction::Enter => {
                let (setup, service_profile) = self.setup.unwrap_or_default().setup();
                LineRequest { command: LineCommand::TestMode(setup), contact: None, service_profile }
            }
            ModeAction::Leave => plain(LineCommand::LeaveTestMode),
        }
    }
}

/// A command without data.
pub fn plain(command: LineCommand) -> LineRequest {
    LineRequest { command, contact: None, service_profile: None }
}

/// What is known of the subscriber. What is left out stays as it is.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"first_name": "Marie", "last_name": "Curie", "country": "FR", "group": "fleet-a"}))]
pub struct ContactRequest {
    /// Point of sale.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255)]
    pub point_of_sale: Option<String>,
    /// Title.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255)]
    pub title: Option<String>,
    /// First name.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255)]
    pub first_name: Option<String>,
    /// Last name.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255)]
    pub last_name: Option<String>,
    /// Date of birth, `YYYY-MM-DD`.
    #[validate(custom(function = "text::date"))]
    #[schema(format = Date)]
    pub date_of_birth: Option<String>,
    /// Company.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255)]
    pub company: Option<String>,
    /// Street and number.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255)]
    pub address: Option<String>,
    /// Postal code.
    #[validate(length(min = 1, max = 50), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 50)]
    pub zip_code: Option<String>,
    /// City.
    #[validate(length(min = 1, max = 255), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 255)]
    pub city: Option<String>,
    /// Country, two letters of ISO 3166-1.
    #[schema(value_type = Option<identifiers::Country>)]
    pub country: Option<CountryCode>,
    /// E-mail address.
    #[validate(email)]
    #[schema(format = Email)]
    pub contact_email: Option<String>,
    /// The group, which carriers change together with the contact data.
    #[validate(length(min = 1, max = 100), custom(function = "text::single_line"))]
    #[schema(min_length = 1, max_length = 100)]
    pub group: Option<String>,
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

impl ContactRequest {
    /// The command.
    ///
    /// # Errors
    /// Nothing to change.
    pub fn command(self) -> Result<LineRequest, AppError> {
        let contact = line::Contact {
            point_of_sale: self.point_of_sale,
            title: self.title,
            first_name: self.first_name,
            last_name: self.last_name,
            date_of_birth: self.date_of_birth,
            company: self.company,
            address: self.address,
            zip_code: self.zip_code,
            city: self.city,
            country: self.country,
            contact_email: self.contact_email,
        };
        if contact.fields().is_empty() && self.group.is_none() {
            return Err(AppError::invalid("", "required", "give at least one field to change"));
        }
        let command = LineCommand::SetContact { group: self.group };
        Ok(LineRequest { command, contact: Some(contact), service_profile: None })
    }
}

/// What a command would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "dry_run": true, "iccid": "8988247000000210014", "command": "suspend", "from": "active", "to": "suspended",
    "rate_plan": null, "options": [], "group": null, "external_reference": null
}))]
pub struct LinePreview {
    /// Always true.
    pub dry_run: bool,
    /// The line.
    #[schema(value_type = identifiers::Iccid)]
    pub iccid: Iccid,
    /// The command.
    pub command: String,
    /// How the line stands.
    pub from: Option<SimStatus>,
    /// How it will stand.
    pub to: Option<SimStatus>,
    /// The rate plan that it would be given; null when the account's stands.
    pub rate_plan: Option<String>,
    /// The options that would be set.
    pub options: Vec<LineOption>,
    /// The group that it would be given.
    pub group: Option<String>,
    /// The reference that it would be given.
    pub external_reference: Option<String>,
}

impl From<line_operations::Preview> for LinePreview {
    fn from(preview: line_operations::Preview) -> Self {
        let action: LineAction = preview.command.action();
        let setup = preview.command.setup().cloned().unwrap_or_default();
        Self {
            dry_run: true,
            iccid: preview.iccid,
            command: action.to_string(),
            from: preview.from.map(Into::into),
            to: preview.to.map(Into::into),
            rate_plan: setup.rate_plan,
            options: setup.options.into_iter().map(Into::into).collect(),
            group: setup.group,
            external_reference: setup.external_reference,
        }
    }
}
