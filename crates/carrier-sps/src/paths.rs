//! Where the writes are. The pages print the paths of the reads alone, so these are settings with assumed defaults.

use std::collections::BTreeMap;

use simdepot_carrier_http::{Method, PathError, Template};
use strum::{AsRefStr, Display, EnumString, VariantArray};

/// What a path is for. The names are those of the settings.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, AsRefStr, Display, EnumString, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum PathName {
    /// Activate a subscription.
    Activate,
    /// Suspend, resume, cease or reactivate one.
    Status,
    /// Move one to another device or SIM.
    Change,
    /// Put a device on the block list, or take it off.
    BlockList,
}

impl PathName {
    /// Where it is unless the account says otherwise.
    fn default_path(self) -> &'static str {
        match self {
            Self::Activate => "/activate",
            Self::Status => "/status",
            Self::Change => "/deviceSim/change",
            Self::BlockList => "/blockList",
        }
    }
}

/// Where every write is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(BTreeMap<PathName, Template>);

impl Default for Paths {
    fn default() -> Self {
        let place = |name: &PathName| (*name, Template::new(Method::Post, name.default_path()));
        Self(PathName::VARIANTS.iter().map(place).collect())
    }
}

impl Paths {
    /// Sets one path, as `METHOD /path`.
    ///
    /// # Errors
    /// An unknown name, a method that does not write, or a path that leads nowhere.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), PathError> {
        let known = || PathName::VARIANTS.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
        let name: PathName = name.parse().map_err(|_| PathError::Unknown { known: known() })?;
        let expected =
            || PathError::Wrong("POST, PUT or PATCH and a path, such as \"POST /activate\"".to_owned());
        let template = Template::parse(text, Method::WRITES, "").ok_or_else(expected)?;
        self.0.insert(name, template);
        Ok(())
    }

    /// How and where a write is sent.
    pub(crate) fn of(&self, name: PathName) -> (Method, &str) {
        match self.0.get(&name) {
            Some(template) => (template.method(), template.path()),
            None => (Method::Post, name.default_path()),
        }
    }

    /// The setting and its value, for people.
    pub(crate) fn shown(&self, name: PathName) -> String {
        let (method, path) = self.of(name);
        format!("[carriers.paths] {name} (now {} {path})", method.as_str())
    }

    /// Those that are as assumed: nobody has confirmed them.
    pub(crate) fn assumed(&self) -> impl Iterator<Item = PathName> + '_ {
        let assumed = |name: &PathName| self.of(*name) == (Method::Post, name.default_path());
        PathName::VARIANTS.iter().copied().filter(move |name| assumed(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_settings() {
        let mut paths = Paths::default();
        assert_eq!(paths.of(PathName::Change), (Method::Post, "/deviceSim/change"));
        assert_eq!(paths.assumed().count(), 4);
        paths.set("status", "PATCH /subscription/v5/status").unwrap();
        assert_eq!(paths.of(PathName::Status), (Method::Patch, "/subscription/v5/status"));
        assert_eq!(paths.assumed().count(), 3);
        assert_eq!(
            paths.shown(PathName::Status),
            "[carriers.paths] status (now PATCH /subscription/v5/status)"
        );
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        let mut paths = Paths::default();
        let unknown = paths.set("cease", "POST /x").unwrap_err().to_string();
        assert!(unknown.contains("activate, status, change, block_list"), "{unknown}");
        for bad in ["", "/x", "GET /x", "POST x", "POST /x?y=1", "POST /../x", "POST //x", "POST /{iccid}"] {
            assert!(paths.set("activate", bad).is_err(), "{bad}");
        }
    }
}
