//! No code, client secret or webhook secret in clear: in what is printed, in the events, or in the database.

use std::fmt::Debug;

use simdepot_application::{activation, orders, profiles};
use simdepot_carrier_twin::Fault;
use simdepot_domain::carrier::Carrier;
use simdepot_tests::depot::{WEBHOOK_SECRET, profiles_of, stock_keeper, storefront};
use simdepot_tests::{TestDepot, for_every_carrier};

/// What was printed of everything that a caller of the use cases gets into its hands.
#[derive(Default)]
struct Printed(String);

impl Printed {
    fn add(&mut self, value: &impl Debug) {
        self.0.push_str(&format!("{value:?}\n{value:#?}\n"));
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

for_every_carrier! {
    async fn nothing_secret_is_in_clear<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let stock = test.stock_up(3).await;
        let mut printed = Printed::default();
        let (keeper, shop) = (stock_keeper("default"), storefront("default"));
        for fault in [None, Some(Fault::DropAfterApply), Some(Fault::Garbage)] {
            let reference = format!("{fault:?}");
            if let Some(fault) = fault {
                test.fail_once(C::SALE, fault);
            }
            let id = test.sell(&reference, 1).await;
            test.settle().await;
            let shown = orders::get(&test.depot, &shop, id, true).await;
            assert!(shown.is_ok());
            printed.add(&shown);
            let sold = profiles_of(&test.read_order(id).await).remove(0).iccid;
            let shown = activation::reveal(&test.depot, &shop, sold).await;
            assert!(shown.is_ok());
            printed.add(&shown);
        }
        let carrier = test.depot.accounts.values().next().unwrap().carrier.clone();
        let told = test.told();
        assert!(!told.is_empty());
        for event in &told {
            printed.add(&Carrier::event(carrier.as_ref(), event.to_string().as_bytes()).unwrap());
        }
        test.hear(&told).await;
        for iccid in &stock {
            printed.add(&profiles::get(&test.depot, &keeper, iccid.clone()).await);
        }
        printed.add(&test.depot);
        printed.add(&test.depot.accounts);
        printed.add(&test.operations(None).await);
        printed.add(&test);
        test.number_all_events().await;
        printed.0.push_str(&test.twin.twin().printed(&test.twin.base_url));

        let mut secrets = vec![test.twin.twin().client_secret(), WEBHOOK_SECRET.to_owned()];
        secrets.extend(stock.iter().map(|iccid| test.twin.twin().code_of(iccid)));
        let at_rest = test.db.bytes_at_rest();
        // That the searches find what is there.
        assert!(contains(&at_rest, stock[0].as_str()) && printed.0.contains(stock[0].as_str()));
        for secret in &secrets {
            assert!(!secret.is_empty() && !printed.0.contains(secret.as_str()), "printed: {secret}");
            assert!(!contains(&at_rest, secret), "at rest: {secret}");
        }
        test.finish().await;
    }
}
