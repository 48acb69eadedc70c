//! The carriers' catalogues as they were last read.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use simdepot_domain::channel::AccountName;
use simdepot_domain::product::Product;

use crate::dialect::{Both, INSERT_CHUNK, both};
use crate::error::{Result, document, ensure_affected, parse_document};
use crate::schema::{catalogues, products};
use crate::sql_types::{At, Doc};
use crate::store::Conn;

/// A product and when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedProduct {
    /// At which carrier account.
    pub carrier_account: AccountName,
    /// The product.
    pub product: Product,
    /// When it was read.
    pub fetched_at: DateTime<Utc>,
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = products, treat_none_as_default_value = false)]
struct Row {
    carrier_account: String,
    product: String,
    data: Doc,
    fetched_at: At,
}

/// When the whole catalogue of an account was last read.
///
/// # Errors
/// When it cannot be read.
pub fn fetched_at(conn: &mut Conn<'_>, account: &AccountName) -> Result<Option<DateTime<Utc>>> {
    let found: Option<At> =
        catalogues::table.find(account.as_str()).select(catalogues::fetched_at).first(conn.db).optional()?;
    Ok(found.map(|at| at.0))
}

/// Replaces the catalogue of an account.
///
/// # Errors
/// When the database refuses it.
pub fn replace(
    conn: &mut Conn<'_>,
    account: &AccountName,
    catalogue: &[Product],
    now: DateTime<Utc>,
) -> Result<()> {
    let upsert = diesel::insert_into(catalogues::table)
        .values((catalogues::carrier_account.eq(account.to_string()), catalogues::fetched_at.eq(At(now))))
        .on_conflict(catalogues::carrier_account)
        .do_update()
        .set(catalogues::fetched_at.eq(At(now)));
    ensure_affected("stamp catalogue", 1, Both(upsert).execute(conn.db)?)?;
    diesel::delete(products::table.filter(products::carrier_account.eq(account.as_str())))
        .execute(conn.db)?;
    for chunk in catalogue.chunks(INSERT_CHUNK) {
        let rows = chunk
            .iter()
            .map(|product| {
                Ok(Row {
                    carrier_account: account.to_string(),
                    product: product.product.clone(),
                    data: Doc(document(product)?),
                    fetched_at: At(now),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        // A carrier that lists a product twice is not refused for it.
        both!(conn.db, c => diesel::insert_into(products::table).values(&rows).on_conflict_do_nothing().execute(c))?;
    }
    Ok(())
}

/// One product.
///
/// # Errors
/// When it cannot be read.
pub fn find(conn: &mut Conn<'_>, account: &AccountName, product: &str) -> Result<Option<CachedProduct>> {
    let row: Option<Row> = products::table.find((account.as_str(), product)).first(conn.db).optional()?;
    row.map(|row| cached(account, &row)).transpose()
}

/// All products of an account, by id.
///
/// # Errors
/// When they cannot be read.
pub fn list(conn: &mut Conn<'_>, account: &AccountName) -> Result<Vec<CachedProduct>> {
    let rows: Vec<Row> = products::table
        .filter(products::carrier_account.eq(account.as_str()))
        .order(products::product)
        .load(conn.db)?;
    rows.iter().map(|row| cached(account, row)).collect()
}

fn cached(account: &AccountName, row: &Row) -> Result<CachedProduct> {
    Ok(CachedProduct {
        carrier_account: account.clone(),
        product: parse_document("products", "data", &row.product, &row.data.0)?,
        fetched_at: row.fetched_at.0,
    })
}
