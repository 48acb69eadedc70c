//! Finding out what became of a bundle order whose answer was lost.
//!
//! The evidence is what the carrier lists now against what was there before the first sending. A bundle that was not
//! there, of the same product, not older than the sending and not evidence for another order, is the one that was
//! ordered. Nothing there is believed when two complete reads, some time apart, agree: inventories are replicated.
//! The carrier never recognises a second order as a repeat (Transatel OCS documents no duplicate protection), so an
//! order is sent again only when it surely was not taken.

use chrono::{DateTime, TimeDelta, Utc};

use crate::carrier::BundleReading;

/// The carrier's clock may be behind ours by this much.
pub const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(2);

/// What is known when an outcome is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The reference that was sent, which some carriers echo.
    pub reference: &'a str,
    /// The product that was ordered.
    pub product: &'a str,
    /// Subscriptions on the line before the first sending.
    pub before: &'a [String],
    /// Subscriptions that are evidence for other bundles.
    pub claimed: &'a [String],
    /// When the order was first sent.
    pub first_sent_at: DateTime<Utc>,
    /// Everything on the line now, in all statuses.
    pub inventory: &'a [BundleReading],
}

/// What the carrier's list says of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence<'a> {
    /// It was taken: this is the bundle.
    Taken {
        /// The bundle.
        bundle: &'a BundleReading,
        /// The carrier echoed our reference, so that nothing was concluded from product and date.
        exact: bool,
        /// How many others would fit as well: more than was ordered.
        more: usize,
    },
    /// Nothing there fits.
    Nothing,
}

impl<'a> Case<'a> {
    /// Weighs the carrier's list. Of several that fit the earliest is taken.
    pub fn weigh(self) -> Evidence<'a> {
        let mut exact: Vec<_> =
            self.unclaimed().filter(|bundle| self.is_ours(bundle) == Some(true)).collect();
        if let Some(bundle) = take_earliest(&mut exact) {
            return Evidence::Taken { bundle, exact: true, more: exact.len() };
        }
        let mut fitting: Vec<_> = self.unclaimed().filter(|bundle| self.fits(bundle)).collect();
        match take_earliest(&mut fitting) {
            Some(bundle) => Evidence::Taken { bundle, exact: false, more: fitting.len() },
            None => Evidence::Nothing,
        }
    }

    fn unclaimed(self) -> impl Iterator<Item = &'a BundleReading> {
        self.inventory.iter().filter(move |bundle| !self.claimed.contains(&bundle.subscription_id))
    }

    /// Whether the echoed reference is the one that was sent; `None` when nothing is echoed.
    fn is_ours(self, bundle: &BundleReading) -> Option<bool> {
        bundle.reference.as_deref().map(|reference| reference == self.reference)
    }

    fn fits(self, bundle: &BundleReading) -> bool {
        let new = !self.before.contains(&bundle.subscription_id);
        let since = bundle.ordered_at.is_none_or(|ordered| ordered >= self.first_sent_at - CLOCK_SKEW);
        new && since && bundle.product == self.product && self.is_ours(bundle) != Some(false)
    }
}

/// Takes the earliest ordered one out; undated ones come last.
fn take_earliest<'a>(bundles: &mut Vec<&'a BundleReading>) -> Option<&'a BundleReading> {
    bundles.sort_by_key(|bundle| {
        (bundle.ordered_at.is_none(), bundle.ordered_at, bundle.subscription_id.clone())
    });
    (!bundles.is_empty()).then(|| bundles.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::BundleStatus;
    use proptest::prelude::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn bundle(id: &str, product: &str, ordered: Option<i64>, reference: Option<&str>) -> BundleReading {
        BundleReading {
            subscription_id: id.to_owned(),
            product: product.to_owned(),
            status: BundleStatus::Preloaded,
            ordered_at: ordered.map(at),
            activated_at: None,
            expires_at: None,
            balances: Vec::new(),
            reference: reference.map(str::to_owned),
        }
    }

    fn weigh<'a>(
        inventory: &'a [BundleReading],
        before: &'a [String],
        claimed: &'a [String],
    ) -> Evidence<'a> {
        let case =
            Case { reference: "op_1", product: "P", before, claimed, first_sent_at: at(1_000), inventory };
        case.weigh()
    }

    fn taken<'a>(evidence: &Evidence<'a>) -> Option<(&'a str, bool, usize)> {
        match evidence {
            Evidence::Taken { bundle, exact, more } => Some((&bundle.subscription_id, *exact, *more)),
            Evidence::Nothing => None,
        }
    }

    #[test]
    fn what_was_there_before_proves_nothing() {
        let inventory = [bundle("old", "P", Some(1_001), None)];
        assert_eq!(weigh(&inventory, &["old".to_owned()], &[]), Evidence::Nothing);
        assert_eq!(weigh(&inventory, &[], &["old".to_owned()]), Evidence::Nothing);
        assert_eq!(taken(&weigh(&inventory, &[], &[])), Some(("old", false, 0)));
        assert_eq!(weigh(&[], &[], &[]), Evidence::Nothing);
    }

    #[test]
    fn product_and_date_must_fit() {
        let ours = |ordered| weigh_one(bundle("s", "P", ordered, None));
        fn weigh_one(bundle: BundleReading) -> bool {
            weigh(&[bundle], &[], &[]) != Evidence::Nothing
        }
        assert!(!weigh_one(bundle("s", "Q", Some(1_001), None)));
        assert!(ours(Some(1_000)) && ours(None) && ours(Some(1_000 - CLOCK_SKEW.num_seconds())));
        assert!(!ours(Some(999 - CLOCK_SKEW.num_seconds())));
    }

    #[test]
    fn of_several_the_earliest_is_ours() {
        let inventory = [
            bundle("c", "P", None, None),
            bundle("b", "P", Some(1_009), None),
            bundle("a", "P", Some(1_002), None),
        ];
        assert_eq!(taken(&weigh(&inventory, &[], &[])), Some(("a", false, 2)));
    }

    #[test]
    fn an_echoed_reference_decides() {
        let inventory = [
            bundle("a", "P", Some(1_001), Some("op_2")),
            bundle("b", "P", Some(1_005), Some("op_1")),
            bundle("c", "P", Some(1_002), None),
        ];
        assert_eq!(taken(&weigh(&inventory, &[], &[])), Some(("b", true, 0)));
        // Another order's reference is never ours, however well the rest fits.
        assert_eq!(weigh(&inventory[..1], &[], &[]), Evidence::Nothing);
        // Ours is ours whatever was listed before: a first sending may have been listed late.
        assert_eq!(taken(&weigh(&inventory, &["b".to_owned()], &[])), Some(("b", true, 0)));
    }

    proptest! {
        /// Whatever the list, evidence is never something that was there before or belongs to another bundle.
        #[test]
        fn evidence_is_new_and_unclaimed(
            rows in prop::collection::vec((0u8..6, prop::bool::ANY, prop::option::of(0i64..2_000), 0u8..3), 0..8),
            before in prop::collection::vec(0u8..6, 0..4),
            claimed in prop::collection::vec(0u8..6, 0..4),
        ) {
            let name = |id: &u8| format!("s{id}");
            let inventory: Vec<_> = rows.iter().map(|(id, same, ordered, reference)| {
                let reference = match reference { 0 => None, 1 => Some("op_1"), _ => Some("op_2") };
                bundle(&name(id), if *same { "P" } else { "Q" }, *ordered, reference)
            }).collect();
            let before: Vec<_> = before.iter().map(name).collect();
            let claimed: Vec<_> = claimed.iter().map(name).collect();
            if let Evidence::Taken { bundle, exact, .. } = weigh(&inventory, &before, &claimed) {
                prop_assert!(!claimed.contains(&bundle.subscription_id));
                prop_assert!(exact || !before.contains(&bundle.subscription_id));
                prop_assert_ne!(bundle.reference.as_deref(), Some("op_2"));
                prop_assert!(exact || bundle.product == "P");
            }
        }
    }
}
