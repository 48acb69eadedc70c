//! Where the line operations are. Transatel's documents print some of these paths, code of its customers shows others,
//! and the rest is inferred from the operations' names; so each is a setting.

use std::collections::BTreeMap;

use simdepot_carrier_http::{Method, PathError, Template};
use strum::{AsRefStr, Display, EnumString, VariantArray};

/// What a path is for. The names are those of the settings.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, AsRefStr, Display, EnumString, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum PathName {
    /// Put a line into service.
    Activate,
    /// Change rate plan, options, group or reference.
    Modify,
    /// Stop a line.
    Suspend,
    /// Let it work again.
    Reactivate,
    /// End it.
    Terminate,
    /// Move it to another SIM.
    SimSwap,
    /// Give it another number.
    MsisdnSwap,
    /// Change contact data.
    ContactInfo,
    /// Pause it.
    TariffHoliday,
    /// End the pause.
    LeaveTariffHoliday,
    /// Begin with a test period.
    TestMode,
    /// End the test period.
    LeaveTestMode,
    /// How an accepted command stands.
    Transaction,
    /// The SIM card and its codes.
    SimCard,
    /// What a line has used.
    NetworkUsage,
}

/// Where paths of lines begin.
macro_rules! line {
    ($operation:literal) => {
        concat!("/connectivity-management/subscribers/api/subscribers/sim-serial/{simSerial}/", $operation)
    };
}

impl PathName {
    /// What is filled in.
    fn placeholder(self) -> &'static str {
        match self {
            Self::Transaction => "{transactionId}",
            _ => "{simSerial}",
        }
    }

    fn is_read(self) -> bool {
        matches!(self, Self::Transaction | Self::SimCard | Self::NetworkUsage)
    }

    /// Where it is unless the account says otherwise.
    fn default_place(self) -> Option<(Method, &'static str)> {
        Some(match self {
            Self::Activate => (Method::Post, line!("activate")),
            Self::Modify => (Method::Post, line!("modify")),
            Self::Suspend => (Method::Post, line!("suspend")),
            Self::Reactivate => (Method::Post, line!("reactivate")),
            Self::Terminate => (Method::Post, line!("terminate")),
            Self::SimSwap => (Method::Post, line!("sim-swap")),
            Self::MsisdnSwap => (Method::Post, line!("msisdn-swap")),
            Self::ContactInfo => (Method::Put, line!("contact-info")),
            Self::TariffHoliday => (Method::Post, line!("tariff-holiday")),
            Self::LeaveTariffHoliday => (Method::Post, line!("leave-tariff-holiday")),
            Self::TestMode => (Method::Post, line!("test-mode")),
            Self::LeaveTestMode => (Method::Post, line!("leave-test-mode")),
            Self::Transaction => {
                (Method::Get, "/connectivity-management/subscribers/api/transactions/{transactionId}")
            }
            Self::SimCard => {
                (Method::Get, "/connectivity-management/subscribers/api/sim-cards/sim-serial/{simSerial}")
            }
            // Its wire format is not public at all.
            Self::NetworkUsage => return None,
        })
    }

    /// Whether the default was seen at work by several of Transatel's customers.
    fn default_is_known(self) -> bool {
        matches!(
            self,
            Self::Activate
                | Self::Modify
                | Self::Suspend
                | Self::Reactivate
                | Self::Terminate
                | Self::SimSwap
                | Self::ContactInfo
        )
    }
}

fn names() -> String {
    PathName::VARIANTS.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// A method and a path with a place to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) name: PathName,
    template: Template,
    /// Whether it is known to exist: a gateway that does not know it then has a bad day.
    pub(crate) is_known: bool,
}

impl Endpoint {
    fn parse(name: PathName, text: &str) -> Option<Self> {
        let methods: &[Method] = if name.is_read() { &[Method::Get] } else { Method::WRITES };
        let template = Template::parse(text, methods, name.placeholder())?;
        // The usage names its SIM in the query as well.
        let places = template.places(name.placeholder());
        let enough = places == 1 || (places == 0 && name == PathName::NetworkUsage);
        let known = name.default_place() == Some((template.method(), template.path()));
        enough.then(|| Self { name, template, is_known: known && name.default_is_known() })
    }

    /// How it is sent.
    pub(crate) fn method(&self) -> Method {
        self.template.method()
    }

    /// The path for one SIM or transaction.
    pub(crate) fn path(&self, value: &str) -> String {
        self.template.filled(self.name.placeholder(), value)
    }

    /// The setting and its value, for people.
    pub(crate) fn shown(&self) -> String {
        format!("[carriers.paths] {} (now {})", self.name, self.template.shown())
    }
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(BTreeMap<PathName, Endpoint>);

impl Default for Paths {
    fn default() -> Self {
        let endpoint = |name: &PathName| {
            let (method, path) = name.default_place()?;
            let (template, is_known) = (Template::new(method, path), name.default_is_known());
            Some((*name, Endpoint { name: *name, template, is_known }))
        };
        Self(PathName::VARIANTS.iter().filter_map(endpoint).collect())
    }
}

impl Paths {
    /// Sets one path, as `METHOD /path` with `{simSerial}` or `{transactionId}` where the value goes.
    ///
    /// # Errors
    /// An unknown name, a method that the operation cannot have, or a path that leads nowhere.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), PathError> {
        let name: PathName = name.parse().map_err(|_| PathError::Unknown { known: names() })?;
        let methods = if name.is_read() { "GET" } else { "POST, PUT or PATCH" };
        let expected = || {
            format!("{methods} and a path with {} once, such as \"{}\"", name.placeholder(), example(name))
        };
        let endpoint = Endpoint::parse(name, text).ok_or_else(|| PathError::Wrong(expected()))?;
        self.0.insert(name, endpoint);
        Ok(())
    }

    /// Where `name` is; only the network usage may be nowhere.
    pub(crate) fn of(&self, name: PathName) -> Option<&Endpoint> {
        self.0.get(&name)
    }

    /// Those that Transatel should confirm.
    pub(crate) fn unconfirmed(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.values().filter(|endpoint| !endpoint.is_known)
    }
}

fn example(name: PathName) -> String {
    let (method, path) = name.default_place().unwrap_or((Method::Get, "/network-usage/api/{simSerial}"));
    format!("{} {path}", method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_setting_that_could_be_given() {
        let mut given = Paths::default();
        for name in PathName::VARIANTS {
            match name.default_place() {
                Some((method, path)) => {
                    given.set(name.as_ref(), &format!("{} {path}", method.as_str())).unwrap();
                }
                None => assert_eq!(*name, PathName::NetworkUsage),
            }
        }
        assert_eq!(given, Paths::default());
        let unconfirmed: Vec<&str> = given.unconfirmed().map(|endpoint| endpoint.name.as_ref()).collect();
        assert_eq!(
            unconfirmed,
            [
                "msisdn_swap",
                "tariff_holiday",
                "leave_tariff_holiday",
                "test_mode",
                "leave_test_mode",
                "transaction",
                "sim_card"
            ]
        );
    }

    #[test]
    fn what_is_filled_in_cannot_lead_elsewhere() {
        let paths = Paths::default();
        let transaction = paths.of(PathName::Transaction).unwrap();
        assert_eq!(
            transaction.path("a/../b?c"),
            "/connectivity-management/subscribers/api/transactions/a%2F..%2Fb%3Fc"
        );
        assert!(paths.of(PathName::NetworkUsage).is_none());
    }

    #[test]
    fn a_path_of_one_s_own() {
        let mut paths = Paths::default();
        paths.set("suspend", "PATCH  /x/{simSerial}:stop").unwrap();
        let suspend = paths.of(PathName::Suspend).unwrap();
        assert_eq!((suspend.method(), suspend.path("89").as_str()), (Method::Patch, "/x/89:stop"));
        assert!(!suspend.is_known);
        paths.set("network_usage", "GET /network/usage/api/cdrs").unwrap();
        for (name, text) in [
            ("suspend", ""),
            ("suspend", "POST"),
            ("suspend", "/x/{simSerial}"),
            ("suspend", "GET /x/{simSerial}"),
            ("suspend", "post /x/{simSerial}"),
            ("suspend", "POST x/{simSerial}"),
            ("suspend", "POST https://elsewhere.example/{simSerial}"),
            ("suspend", "POST /x"),
            ("suspend", "POST /{simSerial}/{simSerial}"),
            ("suspend", "POST /{transactionId}"),
            ("suspend", "POST /{simSerial}/{x}"),
            ("suspend", "POST /../{simSerial}"),
            ("suspend", "POST //{simSerial}"),
            ("suspend", "POST /{simSerial}?a=b"),
            ("suspend", "POST /{simSerial} x"),
            ("transaction", "POST /{transactionId}"),
            ("network_usage", "POST /usage"),
        ] {
            let error = paths.set(name, text).unwrap_err();
            assert!(matches!(error, PathError::Wrong(_)), "{name} {text}: {error}");
        }
        let unknown = paths.set("suspends", "POST /{simSerial}").unwrap_err().to_string();
        assert!(unknown.starts_with("is not known; known are activate, modify,"), "{unknown}");
        let wrong = paths.set("suspend", "x").unwrap_err().to_string();
        assert!(wrong.starts_with("must be POST, PUT or PATCH and a path with {simSerial} once"), "{wrong}");
    }
}
