//! Options of a rate plan: what a line may be set to, as an admin has written it down from the carrier's portal.
//!
//! Three forms exist (Transatel's activation guide and IoT Connect Capped page): a single choice that is on or off; a
//! multiple choice, several option names of which one is on; and a named option with a symbolic value.

use serde::{Deserialize, Serialize};

/// One option of a line, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LineOption {
    /// The carrier's technical name.
    pub name: String,
    /// `on`, `off` or a symbolic value.
    pub value: String,
}

/// On, as the carrier spells it.
pub(super) const ON: &str = "on";
const OFF: &str = "off";

/// What a rate plan allows for one option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OptionRule {
    /// One name that is on or off.
    OnOff {
        /// The option's name.
        name: String,
        /// On unless a command says otherwise.
        default: bool,
    },
    /// Several names, of which exactly one is on. Switching one on switches the others off.
    OneOf {
        /// What the choice is about, for people.
        name: String,
        /// The names.
        choices: Vec<String>,
        /// The one that is on unless a command says otherwise.
        default: String,
    },
    /// One name with one of several values.
    Value {
        /// The option's name.
        name: String,
        /// The values that it may have.
        values: Vec<String>,
        /// The one that it has unless a command says otherwise.
        default: String,
    },
}

/// The options of a rate plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionCatalogue {
    /// What may be set.
    pub options: Vec<OptionRule>,
}

/// What is wrong with an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionProblem {
    /// Its position in the list that was checked.
    pub position: usize,
    /// The field of it: `name`, `value`, `values`, `default` or `choices`.
    pub field: &'static str,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong and what is expected.
    pub message: String,
}

fn problem(position: usize, field: &'static str, code: &'static str, message: String) -> OptionProblem {
    OptionProblem { position, field, code, message }
}

impl OptionRule {
    /// The option names that it is about.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::OnOff { name, .. } | Self::Value { name, .. } => vec![name],
            Self::OneOf { choices, .. } => choices.iter().map(String::as_str).collect(),
        }
    }

    fn accepted(&self) -> Vec<&str> {
        match self {
            Self::OnOff { .. } | Self::OneOf { .. } => vec![ON, OFF],
            Self::Value { values, .. } => values.iter().map(String::as_str).collect(),
        }
    }

    /// The options of a line for which nothing was said.
    fn defaults(&self) -> Vec<LineOption> {
        let option = |name: &str, value: &str| LineOption { name: name.to_owned(), value: value.to_owned() };
        match self {
            Self::OnOff { name, default } => vec![option(name, if *default { ON } else { OFF })],
            Self::OneOf { choices, default, .. } => {
                choices.iter().map(|name| option(name, if name == default { ON } else { OFF })).collect()
            }
            Self::Value { name, default, .. } => vec![option(name, default)],
        }
    }
}

impl OptionCatalogue {
    /// Checks the catalogue itself: names are given once, and a default is one of the choices.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check_itself(&self) -> Result<(), Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (position, rule) in self.options.iter().enumerate() {
            for name in rule.names() {
                if seen.contains(&name) {
                    problems.push(problem(position, "name", "duplicate", format!("{name} is given twice")));
                }
                seen.push(name);
            }
            let (choices, default) = match rule {
                OptionRule::OnOff { .. } => continue,
                OptionRule::OneOf { choices, default, .. } => (choices, default),
                OptionRule::Value { values, default, .. } => (values, default),
            };
            if let OptionRule::Value { values, .. } = rule
                && let Some(twice) =
                    values.iter().enumerate().find(|(at, value)| values.iter().take(*at).any(|v| v == *value))
            {
                let message = format!("{} is given twice", twice.1);
                problems.push(problem(position, "values", "duplicate", message));
            }
            if !choices.contains(default) {
                let message = format!("{default} is not one of {}", choices.join(", "));
                problems.push(problem(position, "default", "unknown", message));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn rule_of(&self, name: &str) -> Option<&OptionRule> {
        self.options.iter().find(|rule| rule.names().contains(&name))
    }

    /// Checks what a command sets.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self, asked: &[LineOption]) -> Result<(), Vec<OptionProblem>> {
        let mut problems = Vec::new();
        for (position, option) in asked.iter().enumerate() {
            let earlier = asked.get(..position).unwrap_or_default();
            problems.extend(self.check_one(position, option, earlier));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Checks options of which no catalogue is known: each is named once.
    ///
    /// # Errors
    /// Those that are named again.
    pub fn check_unknown(asked: &[LineOption]) -> Result<(), Vec<OptionProblem>> {
        let again = asked.iter().enumerate().filter(|(position, option)| {
            asked.iter().take(*position).any(|earlier| earlier.name == option.name)
        });
        let problems: Vec<_> = again
            .map(|(position, LineOption { name, .. })| {
                problem(position, "name", "duplicate", format!("{name} is given twice"))
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn check_one(
        &self,
        position: usize,
        option: &LineOption,
        earlier: &[LineOption],
    ) -> Option<OptionProblem> {
        let LineOption { name, value } = option;
        let Some(rule) = self.rule_of(name) else {
            let message = format!("the rate plan has no option {name}");
            return Some(problem(position, "name", "unknown", message));
        };
        if !rule.accepted().contains(&value.as_str()) {
            let message = format!("{name} is one of {}", rule.accepted().join(", "));
            return Some(problem(position, "value", "unknown", message));
        }
        if earlier.iter().any(|other| other.name == *name) {
            return Some(problem(position, "name", "duplicate", format!("{name} is given twice")));
        }
        let names = rule.names();
        let rival = earlier.iter().find(|other| {
            value == ON && other.value == ON && names.len() > 1 && names.contains(&other.name.as_str())
        })?;
        let message = format!("{name} and {} exclude each other", rival.name);
        Some(problem(position, "value", "exclusive", message))
    }

    /// `asked` over the options of a service profile: what a command names counts, and switching one name of a choice on
    /// takes the profile's own choice away.
    pub fn overlay(&self, profile: &[LineOption], asked: &[LineOption]) -> Vec<LineOption> {
        let is_replaced = |option: &LineOption| {
            let rivals = self.rule_of(&option.name).map(OptionRule::names).unwrap_or_default();
            asked.iter().any(|asked| {
                let chosen_instead =
                    asked.value == ON && rivals.len() > 1 && rivals.contains(&asked.name.as_str());
                asked.name == option.name || chosen_instead
            })
        };
        profile.iter().filter(|option| !is_replaced(option)).chain(asked).cloned().collect()
    }

    /// What a line has after an activation with `asked`: the defaults where nothing was said.
    pub fn with_defaults(&self, asked: &[LineOption]) -> Vec<LineOption> {
        let mut all = Vec::new();
        for rule in &self.options {
            let names = rule.names();
            let switched_on = asked
                .iter()
                .any(|option| names.contains(&option.name.as_str()) && option.value == ON && names.len() > 1);
            all.extend(rule.defaults().into_iter().map(|default| {
                let said = asked.iter().find(|option| option.name == default.name).cloned();
                let off = LineOption { value: OFF.to_owned(), ..default.clone() };
                said.unwrap_or(if switched_on { off } else { default })
            }));
        }
        all
    }
}

/// A rate plan with options under a name: what the carrier's portal has and its API lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceProfile {
    /// The rate plan; the account's when absent.
    pub rate_plan: Option<String>,
    /// The options that it sets.
    pub options: Vec<LineOption>,
    /// For people.
    pub description: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> OptionCatalogue {
        let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        OptionCatalogue {
            options: vec![
                OptionRule::OnOff { name: "BAR_DATA".to_owned(), default: false },
                OptionRule::OneOf {
                    name: "threshold".to_owned(),
                    choices: text(&["NO_THRESHOLD", "250MB", "1GB"]),
                    default: "NO_THRESHOLD".to_owned(),
                },
                OptionRule::Value {
                    name: "PRICING".to_owned(),
                    values: text(&["BUNDLES", "PAY_PER_USE"]),
                    default: "BUNDLES".to_owned(),
                },
            ],
        }
    }

    fn asked(options: &[(&str, &str)]) -> Vec<LineOption> {
        let option = |(name, value): &(&str, &str)| LineOption {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        options.iter().map(option).collect()
    }

    #[test]
    fn what_may_be_set() {
        let check = |options: &[(&str, &str)]| {
            let problems = catalogue().check(&asked(options)).err().unwrap_or_default();
            problems.into_iter().map(|p| (p.position, p.field, p.code)).collect::<Vec<_>>()
        };
        assert_eq!(check(&[("BAR_DATA", "on"), ("1GB", "on"), ("PRICING", "PAY_PER_USE")]), []);
        assert_eq!(check(&[("1GB", "on"), ("250MB", "off")]), []);
        assert_eq!(check(&[("1GB", "on"), ("250MB", "on")]), [(1, "value", "exclusive")]);
        assert_eq!(check(&[("BAR_DATA", "yes")]), [(0, "value", "unknown")]);
        assert_eq!(
            check(&[("PRICING", "on"), ("NOPE", "on")]),
            [(0, "value", "unknown"), (1, "name", "unknown")]
        );
        assert_eq!(check(&[("PRICING", "BUNDLES"), ("PRICING", "BUNDLES")]), [(1, "name", "duplicate")]);
    }

    #[test]
    fn a_command_counts_over_a_service_profile() {
        let profile = asked(&[("BAR_DATA", "on"), ("250MB", "on")]);
        let over = |options: &[(&str, &str)]| catalogue().overlay(&profile, &asked(options));
        assert_eq!(over(&[]), profile);
        assert_eq!(over(&[("BAR_DATA", "off")]), asked(&[("250MB", "on"), ("BAR_DATA", "off")]));
        assert_eq!(over(&[("1GB", "on")]), asked(&[("BAR_DATA", "on"), ("1GB", "on")]));
        assert_eq!(over(&[("1GB", "off")]), asked(&[("BAR_DATA", "on"), ("250MB", "on"), ("1GB", "off")]));
        let unknown = OptionCatalogue::default().overlay(&profile, &asked(&[("1GB", "on")]));
        assert_eq!(unknown.len(), 3, "without a catalogue nobody knows of the choice");
        assert_eq!(OptionCatalogue::check_unknown(&profile), Ok(()));
        let twice = OptionCatalogue::check_unknown(&asked(&[("A", "on"), ("B", "on"), ("A", "off")]));
        assert_eq!(twice.unwrap_err().first().map(|problem| problem.position), Some(2));
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let all = catalogue().with_defaults(&asked(&[("1GB", "on")]));
        let expected = asked(&[
            ("BAR_DATA", "off"),
            ("NO_THRESHOLD", "off"),
            ("250MB", "off"),
            ("1GB", "on"),
            ("PRICING", "BUNDLES"),
        ]);
        assert_eq!(all, expected);
        assert_eq!(catalogue().check(&all), Ok(()), "defaults are allowed");
    }

    #[test]
    fn a_catalogue_that_contradicts_itself() {
        assert_eq!(catalogue().check_itself(), Ok(()));
        let mut bad = catalogue();
        bad.options.push(OptionRule::Value {
            name: "1GB".to_owned(),
            values: vec!["A".to_owned(), "A".to_owned()],
            default: "B".to_owned(),
        });
        let problems = bad.check_itself().unwrap_err();
        let told: Vec<_> = problems.iter().map(|p| (p.position, p.field, p.code)).collect();
        assert_eq!(told, [(3, "name", "duplicate"), (3, "values", "duplicate"), (3, "default", "unknown")]);
    }
}
