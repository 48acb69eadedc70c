//! Holds whose deadline has passed are swept away, by whichever process looks first.

use simdepot_domain::hold::{HoldCommand, HoldStatus, apply};
use simdepot_domain::id::HoldId;
use simdepot_persistence::{Conn, holds};

use super::change::end_whole;
use super::count;
use crate::depot::Depot;
use crate::error::AppError;

/// Holds swept away per step.
const BATCH: i64 = 100;

/// Sweeps holds away whose deadline has passed; `true` when there may be more. Each in a transaction of its own, so
/// that a hold which cannot be swept keeps no other from its end.
///
/// # Errors
/// The first of those that came up.
pub async fn step(depot: &Depot) -> Result<bool, AppError> {
    let due = depot.store.read(|conn| {
        let now = conn.now()?;
        Ok::<_, AppError>(holds::due(conn, now, BATCH)?)
    });
    let (mut swept, mut failed) = (false, None);
    for id in due.await? {
        let work = depot.clone();
        match depot.store.write(move |conn| expire(conn, &work, id)).await {
            Ok(true) => {
                swept = true;
                count("expired");
                tracing::debug!(hold = %id, "a hold expired");
            }
            // Somebody else ended it or is at it.
            Ok(false) => {}
            Err(error) if error.is_race() => tracing::debug!(hold = %id, %error, "lost a race for a hold"),
            Err(error) => {
                tracing::error!(hold = %id, %error, "a hold cannot be swept away");
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(swept), Err)
}

fn expire(conn: &mut Conn<'_>, depot: &Depot, id: HoldId) -> Result<bool, AppError> {
    let Some(hold) = holds::lock_if_free(conn, id)?.filter(|hold| hold.status == HoldStatus::Active) else {
        return Ok(false);
    };
    // It may have got another deadline since it was found.
    let Ok(status) = apply(hold.state(), HoldCommand::Expire, conn.now()?) else {
        return Ok(false);
    };
    end_whole(conn, depot, hold, status)?;
    Ok(true)
}
