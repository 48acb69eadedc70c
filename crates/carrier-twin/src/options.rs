//! The options of rate plans (Transatel "Modify": single-choice options, one-of-several options, options with a value).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::transactions::Failure;

/// Value of a single-choice option that is in force.
const ON: &str = "on";
/// Value of one that is not.
const OFF: &str = "off";

/// One option of a rate plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// Name.
    pub name: String,
    /// Values that it takes.
    pub values: Vec<String>,
    /// Value of a line that was activated without it.
    pub default: String,
    /// Name of the set of which one option at a time is `on`.
    pub one_of: Option<String>,
}

impl OptionSpec {
    /// An option that is `on` or `off`.
    pub fn switch(name: &str, on: bool) -> Self {
        let default = if on { ON } else { OFF };
        Self::choice(name, &[ON, OFF], default)
    }

    /// An `on`/`off` option of a set of which one at a time is `on`.
    pub fn one_of(set: &str, name: &str, on: bool) -> Self {
        Self { one_of: Some(set.to_owned()), ..Self::switch(name, on) }
    }

    /// An option with values of its own.
    pub fn choice(name: &str, values: &[&str], default: &str) -> Self {
        Self {
            name: name.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
            default: default.to_owned(),
            one_of: None,
        }
    }
}

/// An option as requests carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OptionValue {
    name: String,
    value: String,
}

/// Options of a line by name.
pub type Options = BTreeMap<String, String>;

/// The options of a newly activated line before the request's own.
pub(crate) fn defaults(catalogue: &[OptionSpec]) -> Options {
    catalogue.iter().map(|option| (option.name.clone(), option.default.clone())).collect()
}

/// Options with those of a request in place of theirs. Only what is sent changes, but of a set the others go off when
/// one goes on. A rate plan without catalogue takes any option.
pub(crate) fn overlay(
    catalogue: &[OptionSpec],
    mut options: Options,
    sent: &[OptionValue],
) -> Result<Options, Failure> {
    let mut chosen: BTreeMap<&str, &str> = BTreeMap::new();
    for OptionValue { name, value } in sent {
        let known = catalogue.iter().find(|option| option.name == *name);
        match known {
            None if !catalogue.is_empty() => {
                return Err(Failure::new("OPTION_NOT_FOUND", &format!("Unknown option {name}")));
            }
            Some(option) if !option.values.contains(value) => {
                return Err(Failure::new(
                    "OPTION_VALUE_INVALID",
                    &format!("Option {name} does not take {value}"),
                ));
            }
            Some(OptionSpec { one_of: Some(set), .. }) if value == ON => {
                if chosen.insert(set, name).is_some_and(|other| other != name) {
                    let message = format!("Several options of {set} are on");
                    return Err(Failure::new("OPTION_CONFLICT", &message));
                }
            }
            Some(_) | None => {}
        }
        options.insert(name.clone(), value.clone());
    }
    for option in catalogue {
        let chosen = option.one_of.as_deref().and_then(|set| chosen.get(set));
        if chosen.is_some_and(|name| *name != option.name) {
            options.insert(option.name.clone(), OFF.to_owned());
        }
    }
    Ok(options)
}

/// Options as subscriber reads show them.
pub(crate) fn wire(options: &Options) -> Value {
    options.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Vec<OptionSpec> {
        vec![
            OptionSpec::choice("CAP", &["BUNDLES", "USE"], "BUNDLES"),
            OptionSpec::one_of("RESTRICT", "NONE", true),
            OptionSpec::one_of("RESTRICT", "1GB", false),
            OptionSpec::switch("BAR", false),
        ]
    }

    fn sent(options: &[(&str, &str)]) -> Vec<OptionValue> {
        let option =
            |(name, value): &(&str, &str)| OptionValue { name: (*name).into(), value: (*value).into() };
        options.iter().map(option).collect()
    }

    fn apply(options: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let catalogue = catalogue();
        let changed = overlay(&catalogue, defaults(&catalogue), &sent(options));
        changed.map(|options| options.into_values().collect()).map_err(|failure| failure.code)
    }

    #[test]
    fn one_of_a_set_turns_the_others_off() {
        // In the order of the names: 1GB, BAR, CAP, NONE.
        assert_eq!(apply(&[]).unwrap(), ["off", "off", "BUNDLES", "on"]);
        assert_eq!(apply(&[("1GB", "on")]).unwrap(), ["on", "off", "BUNDLES", "off"]);
        assert_eq!(apply(&[("NONE", "off"), ("BAR", "on")]).unwrap(), ["off", "on", "BUNDLES", "off"]);
        assert_eq!(apply(&[("CAP", "USE")]).unwrap(), ["off", "off", "USE", "on"]);
    }

    #[test]
    fn unknown_names_values_and_conflicts_fail() {
        assert_eq!(apply(&[("FAST", "on")]).unwrap_err(), "OPTION_NOT_FOUND");
        assert_eq!(apply(&[("CAP", "on")]).unwrap_err(), "OPTION_VALUE_INVALID");
        assert_eq!(apply(&[("1GB", "on"), ("NONE", "on")]).unwrap_err(), "OPTION_CONFLICT");
    }

    #[test]
    fn without_a_catalogue_everything_is_taken() {
        let options = overlay(&[], Options::new(), &sent(&[("ANY", "thing")])).unwrap();
        assert_eq!(wire(&options), json!([{"name": "ANY", "value": "thing"}]));
    }
}
