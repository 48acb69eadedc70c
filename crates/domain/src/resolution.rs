//! Finding out what became of a bundle order whose answer was lost.
//!
//! The evidence is what the carrier lists now against what was there before the first sending. A bundle that was not
//! there, of the same product, not older than the sending and not evidence for another order, is the one that was
//! ordered. Nothing there is believed when two complete reads, some time apart, agree: inventories are replicated.
//! A list that lacks what was there before the sending is not complete, and a bundle that fits in everything but its
//! date may be ours by a wrong clock: both prove nothing, least of all that there is nothing.
//! The carrier never recognises a second order as a repeat (Transatel documents no duplicate protection), so an
//! order is sent again only when it surely was not taken.

use chrono::{DateTime, TimeDelta, Utc};

use crate::bundle::BundleStatus;
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
    /// Subscriptions on the line before the first sending; `None` when the carrier did not know the line then.
    pub before: Option<&'a [String]>,
    /// Subscriptions that are evidence for other bundles.
    pub claimed: &'a [String],
    /// When the order was first sent.
    pub first_sent_at: DateTime<Utc>,
    /// Everything on the line now, in all statuses; `None` when the carrier does not know the line.
    pub inventory: Option<&'a [BundleReading]>,
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
    /// The list decides nothing.
    Doubtful(Doubt),
    /// Nothing there fits.
    Nothing,
}

/// Why a list decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It lacks what was on the line before the sending, so it may lack more.
    Incomplete,
    /// A new bundle of the product that is nobody's is dated before the sending.
    Misdated,
    /// The bundle is there, but the carrier has not finished it, or not in words that are known.
    Unfinished,
    /// The bundle is there, but it is over already.
    Over,
    /// Nothing of it is listed, but something else spoke for its having been taken.
    Hinted,
}

impl Doubt {
    /// In words, for a log and for the person who must decide.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Incomplete => "the carrier's list lacks what was on the line before the sending",
            Self::Unfinished => "the carrier lists the bundle, but not as finished",
            Self::Over => "the carrier lists the bundle as over already",
            Self::Hinted => {
                "the carrier does not list it, but acknowledged it, or somebody saw such a bundle on the line"
            }
            Self::Misdated => {
                "a new bundle of this product is dated before the sending: the clocks differ, or it is not ours"
            }
        }
    }
}

impl<'a> Case<'a> {
    /// Weighs the carrier's list. Of several that fit the earliest is taken.
    pub fn weigh(self) -> Evidence<'a> {
        let mut exact: Vec<_> =
            self.unclaimed().filter(|bundle| self.is_ours(bundle) == Some(true)).collect();
        if let Some(bundle) = take_earliest(&mut exact) {
            return taken(bundle, true, exact.len());
        }
        let mut fitting: Vec<_> = self.unclaimed().filter(|bundle| self.fits(bundle)).collect();
        match take_earliest(&mut fitting) {
            Some(bundle) => taken(bundle, false, fitting.len()),
            None if !self.is_complete() => Evidence::Doubtful(Doubt::Incomplete),
            None if self.unclaimed().any(|bundle| self.fits_but_for_its_date(bundle)) => {
                Evidence::Doubtful(Doubt::Misdated)
            }
            None => Evidence::Nothing,
        }
    }

    /// The bundle of an order that a person called done without naming it: the one that echoes its reference, else the
    /// only one that may be it. Whatever has become of it since, and whatever date it has, it is that one; of several
    /// none is guessed.
    pub fn name(self) -> Option<&'a BundleReading> {
        let mut exact: Vec<_> =
            self.unclaimed().filter(|bundle| self.is_ours(bundle) == Some(true)).collect();
        if let Some(bundle) = take_earliest(&mut exact) {
            return Some(bundle);
        }
        let mut fitting = self.unclaimed().filter(|bundle| self.fits_but_for_its_date(bundle));
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// Whether the list shows everything that was on the line before.
    fn is_complete(self) -> bool {
        let listed = |id: &String| self.listed().iter().any(|bundle| bundle.subscription_id == *id);
        match self.before {
            Some(before) => self.inventory.is_some() && before.iter().all(listed),
            None => true,
        }
    }

    fn listed(self) -> &'a [BundleReading] {
        self.inventory.unwrap_or_default()
    }

    fn unclaimed(self) -> impl Iterator<Item = &'a BundleReading> {
        self.listed().iter().filter(move |bundle| !self.claimed.contains(&bundle.subscription_id))
    }

    /// Whether the echoed reference is the one that was sent; `None` when nothing is echoed.
    fn is_ours(self, bundle: &BundleReading) -> Option<bool> {
        bundle.reference.as_deref().map(|reference| reference == self.reference)
    }

    fn fits(self, bundle: &BundleReading) -> bool {
        let since = bundle.ordered_at.is_none_or(|ordered| ordered >= self.first_sent_at - CLOCK_SKEW);
        since && self.fits_but_for_its_date(bundle)
    }

    fn fits_but_for_its_date(self, bundle: &BundleReading) -> bool {
        let new = !self.before.unwrap_or_default().contains(&bundle.subscription_id);
        new && bundle.product == self.product && self.is_ours(bundle) != Some(false)
    }
}

/// A bundle that was ordered counts as taken when its owner can use it, now or later.
fn taken(bundle: &BundleReading, exact: bool, more: usize) -> Evidence<'_> {
    match bundle.status {
        BundleStatus::Unknown | BundleStatus::Ordering => Evidence::Doubtful(Doubt::Unfinished),
        BundleStatus::Expired | BundleStatus::Terminated | BundleStatus::Refused => {
            Evidence::Doubtful(Doubt::Over)
        }
        BundleStatus::Preloaded
        | BundleStatus::Ready
        | BundleStatus::Scheduled
        | BundleStatus::Active
        | BundleStatus::Exhausted => Evidence::Taken { bundle, exact, more },
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
    use proptest::prelude::*;
    use strum::VariantArray;

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
        case(Some(inventory), Some(before), claimed).weigh()
    }

    fn case<'a>(
        inventory: Option<&'a [BundleReading]>,
        before: Option<&'a [String]>,
        claimed: &'a [String],
    ) -> Case<'a> {
        Case { reference: "op_1", product: "P", before, claimed, first_sent_at: at(1_000), inventory }
    }

    fn found<'a>(evidence: &Evidence<'a>) -> Option<(&'a str, bool, usize)> {
        match evidence {
            Evidence::Taken { bundle, exact, more } => Some((&bundle.subscription_id, *exact, *more)),
            Evidence::Doubtful(_) | Evidence::Nothing => None,
        }
    }

    #[test]
    fn what_was_there_before_proves_nothing() {
        let inventory = [bundle("old", "P", Some(1_001), None)];
        assert_eq!(weigh(&inventory, &["old".to_owned()], &[]), Evidence::Nothing);
        assert_eq!(weigh(&inventory, &[], &["old".to_owned()]), Evidence::Nothing);
        assert_eq!(found(&weigh(&inventory, &[], &[])), Some(("old", false, 0)));
        assert_eq!(weigh(&[], &[], &[]), Evidence::Nothing);
    }

    #[test]
    fn product_and_date_must_fit() {
        let of_date = |ordered| [bundle("s", "P", ordered, None)];
        for fits in [Some(1_000), None, Some(1_000 - CLOCK_SKEW.num_seconds())] {
            assert!(found(&weigh(&of_date(fits), &[], &[])).is_some(), "{fits:?}");
        }
        assert_eq!(weigh(&[bundle("s", "Q", Some(1_001), None)], &[], &[]), Evidence::Nothing);
        // New and of the product, but of long ago: a wrong clock is likelier than a bundle that nobody ordered.
        let old = of_date(Some(999 - CLOCK_SKEW.num_seconds()));
        assert_eq!(weigh(&old, &[], &[]), Evidence::Doubtful(Doubt::Misdated));
        assert_eq!(weigh(&old, &["s".to_owned()], &[]), Evidence::Nothing);
        assert_eq!(weigh(&old, &[], &["s".to_owned()]), Evidence::Nothing);
    }

    #[test]
    fn a_list_that_lacks_what_was_there_proves_nothing() {
        let (old, new) = (bundle("old", "Q", Some(1), None), bundle("new", "P", Some(1_001), None));
        let before = ["old".to_owned()];
        let incomplete = Evidence::Doubtful(Doubt::Incomplete);
        assert_eq!(weigh(&[], &before, &[]), incomplete);
        assert_eq!(weigh(std::slice::from_ref(&old), &before, &[]), Evidence::Nothing);
        // What is there is there, whatever is missing beside it.
        assert_eq!(found(&weigh(std::slice::from_ref(&new), &before, &[])), Some(("new", false, 0)));
        // A line that was known is not unknown now; one that was not may well be.
        assert_eq!(case(None, Some(&[]), &[]).weigh(), incomplete);
        assert_eq!(case(None, None, &[]).weigh(), Evidence::Nothing);
        assert_eq!(case(Some(&[]), None, &[]).weigh(), Evidence::Nothing);
    }

    #[test]
    fn what_nobody_can_use_is_neither_taken_nor_nothing() {
        for status in BundleStatus::VARIANTS {
            let found = [BundleReading { status: *status, ..bundle("s", "P", Some(1_001), Some("op_1")) }];
            let usable =
                !matches!(status, BundleStatus::Unknown | BundleStatus::Ordering) && !status.is_final();
            match weigh(&found, &[], &[]) {
                Evidence::Taken { exact: true, .. } => assert!(usable, "{status}"),
                Evidence::Doubtful(Doubt::Unfinished | Doubt::Over) => assert!(!usable, "{status}"),
                other => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn of_several_the_earliest_is_ours() {
        let inventory = [
            bundle("c", "P", None, None),
            bundle("b", "P", Some(1_009), None),
            bundle("a", "P", Some(1_002), None),
        ];
        assert_eq!(found(&weigh(&inventory, &[], &[])), Some(("a", false, 2)));
    }

    #[test]
    fn an_echoed_reference_decides() {
        let inventory = [
            bundle("a", "P", Some(1_001), Some("op_2")),
            bundle("b", "P", Some(1_005), Some("op_1")),
            bundle("c", "P", Some(1_002), None),
        ];
        assert_eq!(found(&weigh(&inventory, &[], &[])), Some(("b", true, 0)));
        // Another order's reference is never ours, however well the rest fits.
        assert_eq!(weigh(&inventory[..1], &[], &[]), Evidence::Nothing);
        // Ours is ours whatever was listed before: a first sending may have been listed late.
        assert_eq!(found(&weigh(&inventory, &["b".to_owned()], &[])), Some(("b", true, 0)));
    }

    #[test]
    fn a_done_order_is_named_by_its_reference_or_by_the_only_one_that_fits() {
        fn name<'a>(
            inventory: &'a [BundleReading],
            before: &'a [String],
            claimed: &'a [String],
        ) -> Option<&'a str> {
            case(Some(inventory), Some(before), claimed).name().map(|bundle| bundle.subscription_id.as_str())
        }
        let all = [
            bundle("other", "Q", Some(1_001), None),
            bundle("old", "P", Some(1), None),
            bundle("of another", "P", Some(1_001), Some("op_2")),
            bundle("a", "P", Some(1_005), None),
            bundle("b", "P", Some(1_002), None),
        ];
        let before = ["old".to_owned()];
        assert_eq!(name(&all, &before, &[]), None, "a or b: nothing is guessed");
        assert_eq!(name(&all[..4], &before, &[]), Some("a"));
        assert_eq!(name(&all, &before, &["a".to_owned()]), Some("b"));
        assert_eq!(name(&all, &[], &["a".to_owned()]), None);
        assert_eq!(name(&all[..3], &before, &[]), None);
        assert_eq!(case(None, Some(&before), &[]).name(), None);
        // Whatever became of it, and whatever the carrier's clock says.
        for status in BundleStatus::VARIANTS {
            let only = [BundleReading { status: *status, ..bundle("s", "P", Some(1), None) }];
            assert_eq!(name(&only, &before, &[]), Some("s"), "{status}");
        }
        let echoed = [all[3].clone(), bundle("mine", "P", None, Some("op_1"))];
        assert_eq!(name(&echoed, &["mine".to_owned()], &[]), Some("mine"));
        assert_eq!(name(&echoed, &[], &["mine".to_owned()]), Some("a"));
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
            // Nothing is concluded while something there may be ours.
            if weigh(&inventory, &before, &claimed) == Evidence::Nothing {
                let may_be_ours = |bundle: &&BundleReading| bundle.product == "P"
                    && !before.contains(&bundle.subscription_id)
                    && !claimed.contains(&bundle.subscription_id)
                    && bundle.reference.as_deref() != Some("op_2");
                prop_assert_eq!(inventory.iter().find(may_be_ours), None);
            }
        }
    }
}
