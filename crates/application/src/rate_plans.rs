//! Rate plans: what their lines may be set to. The carrier's portal lists it and its API does not, so an admin writes it
//! down; commands are checked against it before they are sent.

use simdepot_domain::event::{Fact, Subject};
use simdepot_domain::line::{LineOption, OptionCatalogue, OptionProblem, OptionRule};
use simdepot_persistence::rate_plans::{self, RatePlan};
use simdepot_persistence::{Conn, events};

use crate::depot::Depot;
use crate::error::{AppError, FieldError};

/// Most options of a rate plan.
const MOST_OPTIONS: usize = 500;
/// Most choices or values of an option.
const MOST_CHOICES: usize = 200;
/// Longest name or value, in characters.
const LONGEST: usize = 100;

/// A rate plan.
///
/// # Errors
/// [`AppError::NotFound`] when its options were never written down.
pub async fn get(depot: &Depot, rate_plan: String) -> Result<RatePlan, AppError> {
    depot.store.read(move |conn| require(conn, &rate_plan)).await
}

fn require(conn: &mut Conn<'_>, rate_plan: &str) -> Result<RatePlan, AppError> {
    rate_plans::find(conn, rate_plan)?.ok_or(AppError::NotFound { what: "rate plan" })
}

/// A page of rate plans by name, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub async fn list(depot: &Depot, after: Option<String>, limit: i64) -> Result<Vec<RatePlan>, AppError> {
    depot.store.read(move |conn| Ok(rate_plans::list(conn, after.as_deref(), limit)?)).await
}

/// Writes the options of a rate plan down, in place of what was there. Returns it, and whether it is new. The same options
/// again change nothing.
///
/// # Errors
/// [`AppError::Invalid`] when the options contradict themselves.
pub async fn put(
    depot: &Depot,
    rate_plan: String,
    catalogue: OptionCatalogue,
) -> Result<(RatePlan, bool), AppError> {
    check_bounds(&catalogue)?;
    catalogue.check_itself().map_err(invalid)?;
    let work = depot.clone();
    let write = depot.write_again(move |conn| {
        let now = work.now();
        let known = rate_plans::find(conn, &rate_plan)?;
        let version = match &known {
            Some(known) if known.catalogue == catalogue => return Ok((known.clone(), false)),
            Some(known) => rate_plans::update(conn, known, &catalogue, now)?,
            None => {
                rate_plans::insert(conn, &rate_plan, &catalogue, now)?;
                1
            }
        };
        let options = u32::try_from(catalogue.options.len()).unwrap_or(u32::MAX);
        let fact = Fact::RatePlanOptionsSet { options };
        events::append(conn, &[work.event(now, Subject::RatePlan(rate_plan.clone()), version, fact)])?;
        Ok((require(conn, &rate_plan)?, known.is_none()))
    });
    write.await
}

/// Checks what a command sets against the options of its rate plan. A rate plan whose options nobody wrote down takes
/// everything: then the carrier decides.
///
/// # Errors
/// [`AppError::Invalid`] with pointers `/options/N/name` and `/options/N/value`.
pub fn check(conn: &mut Conn<'_>, rate_plan: &str, options: &[LineOption]) -> Result<(), AppError> {
    match rate_plans::find(conn, rate_plan)? {
        Some(known) => known.catalogue.check(options).map_err(invalid),
        None => Ok(()),
    }
}

/// What is wrong with options, as fields of a body that lists them under `/options`.
pub(crate) fn invalid(problems: Vec<OptionProblem>) -> AppError {
    AppError::Invalid(problems.into_iter().map(field_error).collect())
}

fn field_error(problem: OptionProblem) -> FieldError {
    let OptionProblem { position, field, code, message } = problem;
    FieldError::new(format!("/options/{position}/{field}"), code, message)
}

fn check_bounds(catalogue: &OptionCatalogue) -> Result<(), AppError> {
    if catalogue.options.len() > MOST_OPTIONS {
        return Err(AppError::invalid(
            "/options",
            "length",
            format!("must have at most {MOST_OPTIONS} options"),
        ));
    }
    let mut errors = Vec::new();
    for (position, rule) in catalogue.options.iter().enumerate() {
        let at = |field: &str| format!("/options/{position}/{field}");
        let (name, listed) = match rule {
            OptionRule::OnOff { name, .. } => (name, None),
            OptionRule::OneOf { name, choices, .. } => (name, Some(("choices", choices))),
            OptionRule::Value { name, values, .. } => (name, Some(("values", values))),
        };
        errors.extend(misfit(name).map(|(code, message)| FieldError::new(at("name"), code, message)));
        let Some((field, listed)) = listed else { continue };
        if listed.is_empty() || listed.len() > MOST_CHOICES {
            let message = format!("must have 1 to {MOST_CHOICES} items");
            errors.push(FieldError::new(at(field), "length", message));
        }
        errors.extend(listed.iter().enumerate().filter_map(|(place, text)| {
            let (code, message) = misfit(text)?;
            Some(FieldError::new(format!("{}/{place}", at(field)), code, message))
        }));
    }
    if errors.is_empty() { Ok(()) } else { Err(AppError::Invalid(errors)) }
}

/// Why a text is no name or value of an option.
pub(crate) fn misfit(text: &str) -> Option<(&'static str, String)> {
    if text.is_empty() || text.chars().count() > LONGEST {
        return Some(("length", format!("must have a length of 1 to {LONGEST}")));
    }
    let odd = text.chars().any(char::is_control) || text.chars().all(char::is_whitespace);
    odd.then(|| ("format", "must be a single line that is not blank".to_owned()))
}
