//! Many small writes in one transaction: a commit costs more than the statements in it.

use std::sync::Arc;

use simdepot_persistence::Conn;

use crate::depot::Depot;
use crate::error::AppError;

/// Writes every item in one transaction. When one of them cannot be written, each gets its own: it must not keep the
/// others from being written.
///
/// # Errors
/// When the database cannot be asked at all: none of them is written.
pub(crate) async fn write_each<T, R>(
    depot: &Depot,
    items: Vec<T>,
    work: impl Fn(&mut Conn<'_>, &T) -> Result<R, AppError> + Clone + Send + Sync + 'static,
) -> Result<Vec<Result<R, AppError>>, AppError>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    let items = Arc::new(items);
    let (all, each) = (Arc::clone(&items), work.clone());
    let together = depot
        .store
        .write(move |conn| all.iter().map(|item| each(conn, item)).collect::<Result<Vec<R>, AppError>>());
    match together.await {
        Ok(written) => return Ok(written.into_iter().map(Ok).collect()),
        Err(error) if error.is_outage() => return Err(error),
        Err(error) if items.len() == 1 && !error.is_race() => return Ok(vec![Err(error)]),
        Err(error) => tracing::debug!(%error, items = items.len(), "written one by one"),
    }
    let mut results: Vec<Result<R, AppError>> = Vec::with_capacity(items.len());
    for place in 0..items.len() {
        // What was written before an outage is written all the same.
        if let Some(outage) = results.last().and_then(|last| last.as_ref().err()).and_then(AppError::outage) {
            results.push(Err(outage));
            continue;
        }
        let (items, each) = (Arc::clone(&items), work.clone());
        let alone = depot.write_again(move |conn| match items.get(place) {
            Some(item) => each(conn, item),
            None => Err(AppError::Internal("a batch without its item".to_owned())),
        });
        results.push(alone.await);
    }
    Ok(results)
}
