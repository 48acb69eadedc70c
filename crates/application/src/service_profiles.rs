//! Service profiles: a rate plan with options under a name, for commands to refer to.
//!
//! A profile is checked against its rate plan when it is written. When the rate plan's options change afterwards it stays
//! as it is, and is shown with what does not fit any more: the commands that use it are refused for the same.

use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::line::{LineSetup, OptionCatalogue, OptionProblem, ServiceProfile};
use simdepot_persistence::service_profiles::{self, NamedProfile};
use simdepot_persistence::{Conn, events, rate_plans};

use crate::depot::Depot;
use crate::error::{AppError, FieldError};
use crate::rate_plans::{invalid, misfit};

/// Most options of a service profile.
const MOST_OPTIONS: usize = 500;

/// A service profile and how it fits its rate plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceProfileView {
    /// The profile.
    pub named: NamedProfile,
    /// What the rate plan does not allow any more.
    pub problems: Vec<OptionProblem>,
}

fn view(conn: &mut Conn<'_>, named: NamedProfile) -> Result<ServiceProfileView, AppError> {
    let problems = check(conn, &named.profile)?.err().unwrap_or_default();
    Ok(ServiceProfileView { named, problems })
}

/// Holds the options against the rate plan's; without its options only against each other.
fn check(conn: &mut Conn<'_>, profile: &ServiceProfile) -> Result<Result<(), Vec<OptionProblem>>, AppError> {
    let plan = match &profile.rate_plan {
        Some(rate_plan) => rate_plans::find(conn, rate_plan)?,
        None => None,
    };
    Ok(match plan {
        Some(plan) => plan.catalogue.check(&profile.options),
        None => OptionCatalogue::check_unknown(&profile.options),
    })
}

fn require(conn: &mut Conn<'_>, name: &str) -> Result<ServiceProfileView, AppError> {
    let named = service_profiles::find(conn, name)?.ok_or(AppError::NotFound { what: "service profile" })?;
    view(conn, named)
}

/// A service profile.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn get(depot: &Depot, name: String) -> Result<ServiceProfileView, AppError> {
    depot.store.read(move |conn| require(conn, &name)).await
}

/// A page of service profiles by name, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub async fn list(
    depot: &Depot,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<ServiceProfileView>, AppError> {
    depot
        .store
        .read(move |conn| {
            let found = service_profiles::list(conn, after.as_deref(), limit)?;
            found.into_iter().map(|named| view(conn, named)).collect()
        })
        .await
}

/// Writes a service profile, in place of what was there. Returns it, and whether it is new. The same again changes nothing.
///
/// # Errors
/// [`AppError::Invalid`] when it does not fit its rate plan.
pub async fn put(
    depot: &Depot,
    name: String,
    profile: ServiceProfile,
) -> Result<(ServiceProfileView, bool), AppError> {
    check_bounds(&profile)?;
    let work = depot.clone();
    let write = depot.write_again(move |conn| {
        check(conn, &profile)?.map_err(invalid)?;
        let now = work.now();
        let known = service_profiles::find(conn, &name)?;
        let version = match &known {
            Some(known) if known.profile == profile => return Ok((view(conn, known.clone())?, false)),
            Some(known) => service_profiles::update(conn, known, &profile, now)?,
            None => {
                service_profiles::insert(conn, &name, &profile, now)?;
                1
            }
        };
        let options = u32::try_from(profile.options.len()).unwrap_or(u32::MAX);
        let fact = Fact::ServiceProfileSet { rate_plan: profile.rate_plan.clone(), options };
        events::append(conn, &[work.event(now, Subject::ServiceProfile(name.clone()), version, fact)])?;
        Ok((require(conn, &name)?, known.is_none()))
    });
    write.await
}

fn check_bounds(profile: &ServiceProfile) -> Result<(), AppError> {
    if profile.options.len() > MOST_OPTIONS {
        return Err(AppError::invalid(
            "/options",
            "length",
            format!("must have at most {MOST_OPTIONS} options"),
        ));
    }
    let mut errors = Vec::new();
    for (position, option) in profile.options.iter().enumerate() {
        for (field, text) in [("name", &option.name), ("value", &option.value)] {
            let pointer = || format!("/options/{position}/{field}");
            errors.extend(misfit(text).map(|(code, message)| FieldError::new(pointer(), code, message)));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}

/// What a command sets: the service profile's rate plan and options, and over them what the command names itself. The
/// result is not checked against the rate plan: see [`crate::rate_plans::check`].
///
/// # Errors
/// [`AppError::Invalid`] at `/service_profile` when there is none of that name.
pub fn resolve(conn: &mut Conn<'_>, name: Option<&str>, setup: LineSetup) -> Result<LineSetup, AppError> {
    let Some(name) = name else {
        return Ok(setup);
    };
    let named = service_profiles::find(conn, name)?.ok_or_else(|| {
        AppError::invalid("/service_profile", "unknown", "there is no such service profile")
    })?;
    let rate_plan = setup.rate_plan.or(named.profile.rate_plan);
    let plan = match &rate_plan {
        Some(rate_plan) => rate_plans::find(conn, rate_plan)?,
        None => None,
    };
    let catalogue = plan.map(|plan| plan.catalogue).unwrap_or_default();
    let options = catalogue.overlay(&named.profile.options, &setup.options);
    Ok(LineSetup { rate_plan, options, ..setup })
}
