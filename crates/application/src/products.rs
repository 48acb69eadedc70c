//! The carriers' catalogues, cached with their age.

use chrono::{DateTime, Utc};
use simdepot_domain::carrier::Capability;
use simdepot_domain::channel::AccountName;
use simdepot_domain::country::CountryCode;
use simdepot_persistence::products::{self, CachedProduct};

use crate::depot::Depot;
use crate::error::AppError;

/// What a list of products asks for.
#[derive(Debug, Clone, Default)]
pub struct ProductFilter {
    /// Covering this country.
    pub country: Option<CountryCode>,
    /// Sold by this account; all accounts when absent.
    pub account: Option<AccountName>,
    /// After this one, as the list goes.
    pub after: Option<(AccountName, String)>,
}

/// A page of products by account and id, at most `limit`.
///
/// A carrier that cannot be asked is answered from the cache, whose age shows in `fetched_at`.
///
/// Accounts whose carrier sells no products have none to list.
///
/// # Errors
/// [`AppError::CarrierUnavailable`] when there is no cache either; [`AppError::Unsupported`] for an account whose carrier
/// sells no products.
pub async fn list(
    depot: &Depot,
    filter: ProductFilter,
    limit: usize,
) -> Result<Vec<CachedProduct>, AppError> {
    let accounts: Vec<AccountName> = match &filter.account {
        Some(account) => {
            sells(depot, account)?;
            vec![account.clone()]
        }
        None => {
            let sellers = depot.accounts.iter().filter(|(_, account)| account.has(Capability::Products));
            sellers.map(|(name, _)| name.clone()).collect()
        }
    };
    let mut found = Vec::new();
    for account in accounts {
        if filter.after.as_ref().is_some_and(|(after, _)| account < *after) {
            continue;
        }
        refresh(depot, &account).await?;
        let all = depot.store.read(move |conn| products::list(conn, &account)).await?;
        found.extend(all.into_iter().filter(|cached| matches(&filter, cached)).take(limit - found.len()));
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

/// An account that is not configured is told of when it is asked.
fn sells(depot: &Depot, account: &AccountName) -> Result<(), AppError> {
    depot.accounts.get(account).map_or(Ok(()), |account| account.require(Capability::Products))
}

fn matches(filter: &ProductFilter, cached: &CachedProduct) -> bool {
    let in_country = filter.country.as_ref().is_none_or(|country| cached.product.countries.contains(country));
    let later = filter.after.as_ref().is_none_or(|(account, product)| {
        (&cached.carrier_account, cached.product.product.as_str()) > (account, product.as_str())
    });
    cached.product.available && in_country && later
}

/// Reads the catalogue of an account again when the cache is too old, once for everybody who finds it so.
async fn refresh(depot: &Depot, account: &AccountName) -> Result<(), AppError> {
    let age = || {
        let name = account.clone();
        depot.store.read(move |conn| products::fetched_at(conn, &name))
    };
    let is_fresh = |at: DateTime<Utc>| depot.now() - at < depot.work.catalogue_age;
    let cached_at = age().await?;
    if cached_at.is_some_and(is_fresh) {
        return Ok(());
    }
    let Some(_turn) = depot.carrier_reads.catalogue(cached_at.is_some()).await else {
        return Ok(());
    };
    // Whoever had to wait finds it there.
    let cached_at = age().await?;
    if cached_at.is_some_and(is_fresh) {
        return Ok(());
    }
    let now = depot.now();
    match depot.account(account)?.carrier.products().await {
        Ok(catalogue) => {
            let name = account.clone();
            depot.store.write(move |conn| products::replace(conn, &name, &catalogue, now)).await?;
            Ok(())
        }
        Err(error) => stale_or(cached_at, account, error.into()),
    }
}

fn stale_or(
    cached_at: Option<DateTime<Utc>>,
    account: &AccountName,
    error: AppError,
) -> Result<(), AppError> {
    match cached_at {
        Some(at) => {
            tracing::warn!(%account, %error, cached_at = %at, "catalogue cannot be refreshed; serving the cached one");
            Ok(())
        }
        None => Err(error),
    }
}

/// Whether an account sells a product: by the cache, else by asking for this one product.
///
/// # Errors
/// [`AppError::CarrierUnavailable`] when neither knows; [`AppError::Unsupported`] when its carrier sells no products.
pub async fn is_sold(depot: &Depot, account: &AccountName, product: &str) -> Result<bool, AppError> {
    sells(depot, account)?;
    let (name, id) = (account.clone(), product.to_owned());
    let cached = depot.store.read(move |conn| products::find(conn, &name, &id)).await?;
    if let Some(cached) = cached
        && depot.now() - cached.fetched_at < depot.work.catalogue_age
    {
        return Ok(cached.product.available);
    }
    refresh(depot, account).await?;
    let (name, id) = (account.clone(), product.to_owned());
    if let Some(cached) = depot.store.read(move |conn| products::find(conn, &name, &id)).await? {
        return Ok(cached.product.available);
    }
    Ok(depot.account(account)?.carrier.product(product).await?.is_some_and(|found| found.available))
}
