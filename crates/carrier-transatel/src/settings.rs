//! How an account's lines are managed: what Transatel's documents leave to the contract, or do not say.

use simdepot_carrier_http::words;
pub(crate) use simdepot_carrier_http::words::Verdict;
use simdepot_domain::line::Offer;
use simdepot_domain::sim::SimStatus;

use crate::paths::Paths;

/// Fields of an order that the subscription's id must not take the place of.
const ORDER_FIELDS: [&str; 10] = [
    "bind",
    "bind.msisdn",
    "product",
    "product.productId",
    "payment",
    "payment.provider",
    "source",
    "orderType",
    "mvnoRef",
    "transactionReference",
];

/// Words of a transaction that has not ended.
const PENDING: [&str; 2] = ["pending", "in progress"];

/// Settings of line operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSettings {
    /// The offer; by the class of service when absent.
    pub offer: Option<Offer>,
    /// Statuses from which lines may be terminated although no document says so.
    pub also_terminate: Vec<SimStatus>,
    /// How a transaction's status says that it is done. Letters alone count, in any case.
    pub transaction_done: Vec<String>,
    /// How it says that the transaction failed.
    pub transaction_failed: Vec<String>,
    /// Whether a change of contact data carries the group inside `subscriberInfo`, not beside it.
    pub group_in_subscriber_info: bool,
    /// Which field of an order names the subscription that it changes; a dot leads into an object.
    pub subscription_field: String,
    /// Where the operations are.
    pub paths: Paths,
}

impl Default for LineSettings {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            offer: None,
            also_terminate: Vec::new(),
            transaction_done: words(&["DONE", "SUCCESS", "COMPLETED", "OK"]),
            transaction_failed: words(&["ERROR", "FAILED", "KO", "REJECTED", "CANCELLED"]),
            group_in_subscriber_info: false,
            subscription_field: "subscriptionId".to_owned(),
            paths: Paths::default(),
        }
    }
}

impl LineSettings {
    /// Checks what can be checked without asking Transatel.
    ///
    /// # Errors
    /// The first setting that is wrong, and what it should be.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        const WORDS: &str = "a list of words such as DONE, none of them also PENDING or in the other list";
        let good = |list: &[String], others: &[String]| words::is_distinct(list, others, &PENDING);
        if !good(&self.transaction_done, &self.transaction_failed) {
            return Err(("transaction_done", WORDS));
        }
        if !good(&self.transaction_failed, &self.transaction_done) {
            return Err(("transaction_failed", WORDS));
        }
        let field = &self.subscription_field;
        let named = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        };
        let taken = ORDER_FIELDS.contains(&field.as_str());
        // One step down at most, and never into a field that holds a text.
        let into = match field.split_once('.') {
            None => named(field),
            Some((object, name)) => {
                let object_like =
                    !ORDER_FIELDS.contains(&object) || matches!(object, "bind" | "product" | "payment");
                named(object) && named(name) && object_like
            }
        };
        if taken || !into {
            return Err((
                "subscription_field",
                "the name of a field that the order has not, such as subscriptionId or product.subscriptionId",
            ));
        }
        Ok(())
    }

    /// The offer of an account that sells from `cos`.
    pub(crate) fn offer_of(&self, cos: &str) -> Offer {
        let capped = cos.to_ascii_uppercase().contains("IOT_CONNECT");
        self.offer.unwrap_or(if capped { Offer::IotConnectCapped } else { Offer::Spc })
    }

    /// Reads a transaction's status.
    pub(crate) fn verdict(&self, status: &str) -> Verdict {
        words::verdict(status, &self.transaction_done, &self.transaction_failed, &PENDING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut LineSettings)) -> &'static str {
        let mut settings = LineSettings::default();
        change(&mut settings);
        settings.check().err().map_or("", |(field, _)| field)
    }

    #[test]
    fn names_the_setting_that_is_wrong() {
        assert_eq!(wrong(|_| ()), "");
        assert_eq!(wrong(|s| s.transaction_done.clear()), "transaction_done");
        assert_eq!(wrong(|s| s.transaction_done.push("200".into())), "transaction_done");
        assert_eq!(wrong(|s| s.transaction_done.push("k.o.".into())), "transaction_done");
        assert_eq!(wrong(|s| s.transaction_failed.clear()), "transaction_failed");
        assert_eq!(wrong(|s| s.transaction_failed.push("Pending".into())), "transaction_failed");
        for good in ["subscription", "product.subscriptionId", "subscription.id"] {
            assert_eq!(wrong(|s| s.subscription_field = good.into()), "", "{good}");
        }
        for bad in ["", "bind", "product.productId", "source.id", "a.b.c", ".a", "a.", "a b", "orderType"] {
            assert_eq!(wrong(|s| s.subscription_field = bad.into()), "subscription_field", "{bad}");
        }
    }

    #[test]
    fn the_offer_by_the_class_of_service() {
        let mut settings = LineSettings::default();
        assert_eq!(settings.offer_of("WW_M2MA_COS_SPC"), Offer::Spc);
        assert_eq!(settings.offer_of("WW_M2MA_COS_IOT_CONNECT"), Offer::IotConnectCapped);
        settings.offer = Some(Offer::MvnoUk);
        assert_eq!(settings.offer_of("WW_M2MA_COS_IOT_CONNECT"), Offer::MvnoUk);
    }

    #[test]
    fn what_a_transaction_s_status_says() {
        let mut settings = LineSettings::default();
        settings.transaction_done.push("ALL_WELL".into());
        for (word, expected) in [
            ("DONE", Verdict::Done),
            ("Success", Verdict::Done),
            ("all-well", Verdict::Done),
            ("ERROR", Verdict::Failed),
            ("Cancelled", Verdict::Failed),
            ("Pending", Verdict::Pending),
            ("IN_PROGRESS", Verdict::Pending),
            ("undone", Verdict::Unrecognised),
            ("", Verdict::Unrecognised),
        ] {
            assert_eq!(settings.verdict(word), expected, "{word}");
        }
    }
}
