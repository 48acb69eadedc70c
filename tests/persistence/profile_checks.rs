//! When the sweep looks at a profile again.

use chrono::TimeDelta;
use simdepot_persistence::{StoreError, profile_checks};
use simdepot_tests::on_both_databases;

use crate::support::{Stock, now};

on_both_databases! {
    /// There may be news of a profile before its sale is noted.
    async fn a_sale_does_not_put_a_look_off(db: TestDatabase) {
        let (stock, added) = Stock::of(db, 2).await;
        let (early, late) = (added[0].id, added[1].id);
        let minutes = |count| now() + TimeDelta::minutes(count);
        let taken = stock.store.write(move |conn| {
            profile_checks::look_by(conn, early, minutes(1), 7)?;
            profile_checks::look_by(conn, late, minutes(60), 7)?;
            for sold in [early, late] {
                profile_checks::watch(conn, sold, minutes(30))?;
            }
            let mut taken = Vec::new();
            for at in [0, 1, 29, 30] {
                taken.push(profile_checks::take_due(conn, minutes(at), minutes(1_000))?);
            }
            Ok::<_, StoreError>(taken)
        });
        // Each begins to be watched anew.
        assert_eq!(taken.await.unwrap(), [None, Some((early, 0)), None, Some((late, 0))]);
    }
}
