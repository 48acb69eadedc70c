//! The API gateway in front of everything: routes, tokens, rights, rates and formats (Transatel "Errors" and
//! "Eligibility"; assumptions A11, A14).

use chrono::{DateTime, Utc};

use crate::line::{is_msisdn, is_sim_serial};
use crate::line_operation::LineOperation;
use crate::reply::{Answer, Outcome, Problem};
use crate::request::TwinRequest;
use crate::scripts::CallName;
use crate::state::Twin;
use crate::subscriber::SubscriberKey;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Token,
    Catalogue {
        cos: String,
        product: Option<String>,
    },
    Orders,
    Inventory {
        subscription_id: Option<String>,
    },
    Esim {
        iccid: String,
    },
    SimSearch,
    Subscriber(SubscriberKey),
    LineWrite {
        iccid: String,
        operation: LineOperation,
    },
    Transaction {
        id: String,
    },
    SimCard {
        iccid: String,
    },
    /// The rest of connectivity management, of which the twin knows only whether it is open.
    Connectivity,
}

impl Route {
    pub(crate) fn of(request: &TwinRequest) -> Option<Self> {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let owned = |text: &str| text.to_owned();
        Some(match segments.as_slice() {
            ["authentication", "api", "token"] => Self::Token,
            ["ocs", "catalog", "api", "cos", cos, "products"] => {
                Self::Catalogue { cos: owned(cos), product: None }
            }
            ["ocs", "catalog", "api", "cos", cos, "products", product] => {
                Self::Catalogue { cos: owned(cos), product: Some(owned(product)) }
            }
            ["ocs", "subscriptions", "api", "orders", "products"] => Self::Orders,
            ["ocs", "inventory", "api", "subscriptions", "products"] => {
                Self::Inventory { subscription_id: None }
            }
            ["ocs", "inventory", "api", "subscriptions", "products", id] => {
                Self::Inventory { subscription_id: Some(owned(id)) }
            }
            ["sim-management", "sims", "api", "esims", "sim-serial", iccid] => {
                Self::Esim { iccid: owned(iccid) }
            }
            ["sim-search", "api", "sim", "search"] => Self::SimSearch,
            ["connectivity-management", "subscribers", "api", rest @ ..] => Self::of_connectivity(rest),
            _ => return None,
        })
    }

    fn of_connectivity(segments: &[&str]) -> Self {
        match segments {
            ["subscribers", "sim-serial", iccid] => {
                Self::Subscriber(SubscriberKey::SimSerial((*iccid).to_owned()))
            }
            ["subscribers", "msisdn", msisdn] => {
                Self::Subscriber(SubscriberKey::Msisdn((*msisdn).to_owned()))
            }
            ["subscribers", "sim-serial", iccid, write] => match LineOperation::of_path(write) {
                Some(operation) => Self::LineWrite { iccid: (*iccid).to_owned(), operation },
                None => Self::Connectivity,
            },
            ["transactions", id] => Self::Transaction { id: (*id).to_owned() },
            // Inferred: the operation exists, but its URL is not public.
            ["sim-cards", "sim-serial", iccid] => Self::SimCard { iccid: (*iccid).to_owned() },
            _ => Self::Connectivity,
        }
    }

    fn is_connectivity(&self) -> bool {
        match self {
            Self::Subscriber(_)
            | Self::LineWrite { .. }
            | Self::Transaction { .. }
            | Self::SimCard { .. }
            | Self::Connectivity => true,
            Self::Token
            | Self::Catalogue { .. }
            | Self::Orders
            | Self::Inventory { .. }
            | Self::Esim { .. }
            | Self::SimSearch => false,
        }
    }

    /// The name that failure scripts and counters use.
    pub(crate) fn call(&self) -> CallName {
        match self {
            Self::Token => CallName::Token,
            Self::Catalogue { .. } => CallName::Catalogue,
            Self::Orders => CallName::Order,
            Self::Inventory { .. } => CallName::Inventory,
            Self::Esim { .. } => CallName::Esim,
            Self::SimSearch => CallName::SimSearch,
            Self::Subscriber(_) | Self::Connectivity => CallName::Subscriber,
            Self::LineWrite { .. } => CallName::LineWrite,
            Self::Transaction { .. } => CallName::Transaction,
            Self::SimCard { .. } => CallName::SimCard,
        }
    }
}

impl Twin {
    /// Whether the gateway lets a request through, and where to.
    pub(crate) fn admit(
        &mut self,
        now: DateTime<Utc>,
        arrival: DateTime<Utc>,
        request: &TwinRequest,
    ) -> Result<Route, Problem> {
        let route = Route::of(request);
        if route == Some(Route::Token) {
            return match request.method.as_str() {
                "POST" => {
                    check_media_type(request, "application/x-www-form-urlencoded").map(|()| Route::Token)
                }
                "OPTIONS" => Ok(Route::Token),
                _ => Err(method_not_allowed(request)),
            };
        }
        self.authenticate(now, request)?;
        self.count_rate(arrival)?;
        let missing = || Problem::new(404, "NOT_FOUND", "No API has this URL");
        let route = route
            .filter(|route| *route != Route::Connectivity || !self.assumptions.connectivity_open)
            .ok_or_else(missing)?;
        let open = self.methods(&route);
        if !open.contains(&request.method.as_str()) {
            let closed = route.is_connectivity() && !self.assumptions.connectivity_open;
            let forbidden = closed || (matches!(route, Route::Esim { .. }) && request.method == "PATCH");
            return Err(if forbidden {
                Problem::new(403, "INSUFFICIENT_PERMISSION", "The account may not use this operation")
            } else {
                method_not_allowed(request)
            });
        }
        check_accept(request)?;
        if matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") {
            check_media_type(request, "application/json")?;
        }
        Ok(route)
    }

    /// Carries out an admitted request.
    pub(crate) fn perform(&mut self, now: DateTime<Utc>, route: &Route, request: &TwinRequest) -> Outcome {
        if request.method == "OPTIONS" {
            return Ok(Answer::no_content().with_header("allow", &self.methods(route).join(",")));
        }
        match route {
            Route::Token => Ok(self.grant_token(now, request)),
            Route::Catalogue { cos, product } => self.catalogue(request, cos, product.as_deref()),
            Route::Orders => self.place_order(now, request),
            Route::Inventory { subscription_id: None } => self.inventory(request),
            Route::Inventory { subscription_id: Some(id) } => self.inventory_single(request, id),
            Route::Esim { iccid } if !is_sim_serial(iccid) => Err(bad_serial()),
            Route::Esim { iccid } if request.method == "PATCH" => self.release_esim(now, request, iccid),
            Route::Esim { iccid } => self.esim_details(request, iccid),
            Route::SimSearch => self.sim_search(now, request),
            Route::Subscriber(SubscriberKey::SimSerial(iccid)) if !is_sim_serial(iccid) => Err(bad_serial()),
            Route::Subscriber(SubscriberKey::Msisdn(msisdn)) if !is_msisdn(msisdn) => {
                Err(Problem::bad_request("msisdn must be 6 to 15 digits without +"))
            }
            Route::Subscriber(key) => self.subscriber(key),
            Route::LineWrite { iccid, .. } | Route::SimCard { iccid } if !is_sim_serial(iccid) => {
                Err(bad_serial())
            }
            Route::LineWrite { iccid, operation } => self.line_write(now, request, iccid, *operation),
            Route::Transaction { id } => self.transaction_lookup(id),
            Route::SimCard { iccid } => self.sim_card(iccid),
            Route::Connectivity => Err(Problem::new(404, "NOT_FOUND", "No API has this URL")),
        }
    }

    /// Methods that the account may use, `OPTIONS` last.
    fn methods(&self, route: &Route) -> Vec<&'static str> {
        let mut methods = match route {
            Route::Token | Route::Orders => vec!["POST"],
            Route::Esim { .. } if self.assumptions.esim_patch_open => vec!["GET", "PATCH"],
            Route::Catalogue { .. } | Route::Inventory { .. } | Route::Esim { .. } | Route::SimSearch => {
                vec!["GET"]
            }
            Route::Subscriber(_)
            | Route::LineWrite { .. }
            | Route::Transaction { .. }
            | Route::SimCard { .. }
                if !self.assumptions.connectivity_open =>
            {
                Vec::new()
            }
            Route::LineWrite { operation, .. } => vec![operation.method()],
            Route::Subscriber(_) | Route::Transaction { .. } | Route::SimCard { .. } => vec!["GET"],
            Route::Connectivity => Vec::new(),
        };
        methods.push("OPTIONS");
        methods
    }

    /// Counts a request against the account's rate, by whole seconds of the real clock: a frozen twin stays usable.
    fn count_rate(&mut self, arrival: DateTime<Utc>) -> Result<(), Problem> {
        if over_rate(&mut self.rate, arrival, self.assumptions.rate_limit_per_second) {
            let problem = Problem::new(429, "TOO_MANY_REQUESTS", "Too many requests");
            return Err(Problem { retry_after: self.assumptions.retry_after_seconds, ..problem });
        }
        Ok(())
    }
}

/// Counts a request in its second; returns whether it is one too many.
pub(crate) fn over_rate(rate: &mut (i64, u32), arrival: DateTime<Utc>, limit: Option<u32>) -> bool {
    let second = arrival.timestamp();
    let (window, count) = *rate;
    let count = if window == second { count.saturating_add(1) } else { 1 };
    *rate = (second, count);
    limit.is_some_and(|limit| count > limit)
}

fn bad_serial() -> Problem {
    Problem::bad_request("simSerial must be 13 to 20 digits")
}

pub(crate) fn method_not_allowed(request: &TwinRequest) -> Problem {
    Problem::new(405, "METHOD_NOT_ALLOWED", format!("{} is not allowed here", request.method))
}

fn check_accept(request: &TwinRequest) -> Result<(), Problem> {
    let acceptable = |range: &str| {
        let range = range.split(';').next().unwrap_or_default().trim();
        matches!(range, "*/*" | "application/*" | "application/json" | "")
    };
    match request.header("accept") {
        Some(accept) if !accept.split(',').any(acceptable) => {
            Err(Problem::new(406, "NOT_ACCEPTABLE", "Only application/json is served"))
        }
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn check_media_type(request: &TwinRequest, wanted: &str) -> Result<(), Problem> {
    let given = request.header("content-type").unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if given.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Problem::new(415, "UNSUPPORTED_MEDIA_TYPE", format!("The body must be {wanted}")))
}

#[cfg(test)]
mod tests;
