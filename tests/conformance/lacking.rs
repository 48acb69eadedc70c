//! What a carrier lacks is said, by the adapter and by the depot, and nobody is called for it.

use simdepot_application::products::{self, ProductFilter};
use simdepot_application::usage::{self, AskUsage};
use simdepot_application::{AppError, bundles, devices, lines, pools};
use simdepot_carrier_twin::CallName;
use simdepot_domain::carrier::{
    Answered, Capability, DeviceQuery, LineKey, ReadError, UNSUPPORTED, UsageInterval,
};
use simdepot_domain::channel::PoolName;
use simdepot_domain::device::{ChangeType, DeviceChange};
use simdepot_domain::imei::Imei;
use simdepot_domain::line::LineCommand;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::pool::PoolSettings;
use simdepot_tests::depot::{PRODUCT, order_of, pool_settings, stock_keeper};
use simdepot_tests::{TestCarrier, TestDepot, for_every_carrier};
use strum::VariantArray;

use crate::asking::{Ask, Came};
use crate::lines::{active, command};

fn lacks<T: std::fmt::Debug>(answer: &Result<T, AppError>) {
    assert!(matches!(answer, Err(AppError::Unsupported { code }) if code == UNSUPPORTED), "{answer:?}");
}

/// The use cases that need something which the carrier lacks.
async fn assert_said<C: TestCarrier>(test: &TestDepot<C>, line: &LineKey, capability: Capability) {
    let (depot, keeper, account) = (&test.depot, stock_keeper("default"), pool_settings().carrier_account);
    let iccid = || line.iccid.clone();
    let imei = || Imei::parse("490154203237518").unwrap();
    match capability {
        Capability::Products => {
            let filter = ProductFilter { account: Some(account), ..ProductFilter::default() };
            lacks(&products::list(depot, filter, 10).await);
            lacks(&bundles::list(depot, &keeper, iccid()).await);
            lacks(&test.top_up(&line.iccid, "top-1", PRODUCT).await);
            lacks(&test.place(order_of("with-a-product", 1, Some(PRODUCT))).await);
        }
        Capability::Activation => {
            let pool = PoolName::parse("other").unwrap();
            let activation = Some(serde_json::json!({}));
            let settings = PoolSettings { pool, activation, ..C::pool() };
            let refused = pools::create(depot, &keeper, settings, None).await;
            assert!(matches!(refused, Err(AppError::Invalid(_))), "{refused:?}");
        }
        Capability::LineCommands => {
            lacks(&command(test, &line.iccid, LineCommand::Suspend).await);
        }
        Capability::SimCard => lacks(&lines::sim_card(depot, &keeper, iccid()).await),
        Capability::Usage => {
            let asked = AskUsage { from: None, to: None, by: UsageInterval::Day };
            lacks(&usage::get(depot, &keeper, iccid(), asked).await);
        }
        Capability::Device => lacks(&devices::of_line(depot, &keeper, iccid()).await),
        Capability::DeviceCompatibility => {
            lacks(&devices::model(depot, account, DeviceQuery::Imei(imei())).await);
        }
        Capability::DeviceChange => {
            let change = DeviceChange {
                change_type: ChangeType::DeviceOnly,
                new_imei: Some(imei()),
                new_iccid: None,
                new_eid: None,
                delivery: None,
            };
            lacks(&devices::change(depot, &keeper, iccid(), change, None).await);
        }
        Capability::DeviceBlocklist => {
            lacks(&devices::is_blocked(depot, account.clone(), imei()).await);
            let used_with = devices::UsedWith::Iccid(iccid());
            lacks(&devices::block(depot, &keeper, (account, imei()), used_with, true).await);
        }
        // Nothing is asked for these by name: what else is known of a profile is shown without them.
        Capability::EsimStatus | Capability::Fleet => {}
    }
}

for_every_carrier! {
    async fn what_a_carrier_lacks_is_said_without_a_call<C>(db: TestDatabase) {
        let test = TestDepot::<C>::start_paced(db).await;
        let iccid = active(&test).await;
        let carrier = test.depot.accounts.values().next().unwrap().carrier.clone();
        let msisdn = Some(Msisdn::parse("15550009999").unwrap());
        let line = LineKey { iccid, msisdn, imei: None };
        let lacking: Vec<_> =
            Capability::VARIANTS.iter().filter(|one| !carrier.capabilities().contains(one)).collect();
        let calls = test.calls(CallName::Any);
        for ask in Ask::VARIANTS {
            if ask.is_had(carrier.as_ref()) {
                continue;
            }
            match ask.of::<C>(carrier.as_ref(), &line).await {
                Came::Read(Err(ReadError::Denied { code })) => assert_eq!(code, UNSUPPORTED, "{ask:?}"),
                Came::Write(Answered::Refused(refusal)) => assert_eq!(refusal.code, UNSUPPORTED, "{ask:?}"),
                other => panic!("{ask:?}: {other:?}"),
            }
        }
        for capability in lacking {
            assert_said(&test, &line, *capability).await;
        }
        test.settle().await;
        assert_eq!(test.calls(CallName::Any), calls, "somebody was called");
        let has = carrier.capabilities();
        assert_eq!(has.contains(&Capability::LineCommands), carrier.line_rules().is_some());
        assert_eq!(has.contains(&Capability::Activation), carrier.check_activation(&C::pool().activation.unwrap_or_default()).is_ok());
        test.finish().await;
    }
}
