//! A carrier without catalogue, eSIM records and list of lines: what it lacks is said, and everything else goes on.

use std::sync::Arc;
use std::time::Duration;

use simdepot_application::line_jobs::{self, AskedRow, JobRequest, Origin};
use simdepot_application::products::{self, ProductFilter};
use simdepot_application::usage::{self, AskUsage};
use simdepot_application::{
    AppError, bundles, cancellations, devices, line_operations, lines, orders, pools, refunds,
    security_codes, timeline,
};
use simdepot_domain::carrier::{Capability, DeviceQuery, UsageInterval};
use simdepot_domain::line::{LineAction, LineCommand, LineSetup};
use simdepot_domain::line_job::LineJobOperation;
use simdepot_domain::operation::OperationStatus;
use simdepot_domain::order::OrderStatus;
use simdepot_domain::reconciliation::ReconciliationStatus;
use simdepot_tests::depot::{PRODUCT, order_of, pool_settings, stock_keeper, storefront};
use simdepot_tests::devices::{DEVICE, DeviceCarrier};
use simdepot_tests::lines::{LineDepot, setup};
use simdepot_tests::on_both_databases;

use super::reconciliation::{reconcile, sweep_profiles};

/// Puts a carrier before the depot's that has little.
fn lean(test: &mut LineDepot) -> Arc<DeviceCarrier> {
    let mut kept = None;
    test.wrap_carrier(|inner| {
        let carrier = Arc::new(DeviceCarrier::lean(inner));
        kept = Some(Arc::clone(&carrier));
        carrier
    });
    kept.unwrap()
}

fn lacks<T: std::fmt::Debug>(answer: Result<T, AppError>) {
    match answer {
        Err(AppError::Unsupported { code }) => assert_eq!(code, "unsupported"),
        other => panic!("{other:?}"),
    }
}

on_both_databases! {
    async fn what_it_lacks_is_said(db: TestDatabase) {
        let mut test = LineDepot::start(db).await;
        let line = test.active().await;
        lean(&mut test);
        let (depot, keeper, iccid) = (test.depot.clone(), stock_keeper("default"), || line.iccid.clone());
        let account = pool_settings().carrier_account;
        let of_account = ProductFilter { account: Some(account.clone()), ..ProductFilter::default() };
        lacks(products::list(&depot, of_account, 10).await);
        let all = products::list(&depot, ProductFilter::default(), 10).await.unwrap();
        assert_eq!(all, [], "of all accounts it is passed over");
        lacks(test.order_with_product("ref-1", 1).await);
        let top_up =
            bundles::TopUp { reference: "top-1".to_owned(), product: PRODUCT.to_owned(), order_type: None };
        lacks(bundles::top_up(&depot, &keeper, iccid(), top_up, None, Duration::ZERO).await);
        lacks(bundles::list(&depot, &keeper, iccid()).await);
        let asked = AskUsage { from: None, to: None, by: UsageInterval::Day };
        lacks(usage::get(&depot, &keeper, iccid(), asked).await);
        lacks(lines::sim_card(&depot, &keeper, iccid()).await);
        // The codes were delivered.
        assert!(security_codes::reveal(&depot, &keeper, iccid()).await.is_ok());
        for command in [
            LineCommand::Activate(LineSetup::default()),
            LineCommand::Modify(LineSetup::default()),
            LineCommand::SwapMsisdn,
            LineCommand::TariffHoliday,
            LineCommand::TestMode(LineSetup::default()),
            LineCommand::SetContact { group: None },
        ] {
            lacks(test.command(&line, command.clone()).await);
            lacks(line_operations::preview(&depot, &keeper, iccid(), setup(command)).await);
        }
        let job = |command: LineCommand| JobRequest {
            operation: LineJobOperation::of(command.action()).unwrap(),
            origin: Origin::List,
            rows: vec![AskedRow { at: 0, iccid: iccid(), request: 0 }],
            requests: vec![setup(command)],
            confirmed: true,
        };
        match line_jobs::create(&depot, &keeper, job(LineCommand::SwapMsisdn), None).await.unwrap_err() {
            AppError::Invalid(errors) => {
                assert_eq!((errors[0].pointer.as_str(), errors[0].code), ("/iccids/0", "unsupported-by-carrier"));
            }
            other => panic!("{other:?}"),
        }
        line_jobs::preview(&depot, &keeper, job(LineCommand::Suspend)).await.unwrap();
        let has = pools::capabilities(&depot, &account);
        assert!(has.is_sorted() && has.contains(&Capability::DeviceChange) && !has.contains(&Capability::Fleet));
        test.depot.accounts = Arc::default();
        assert_eq!(pools::capabilities(&test.depot, &account), [], "of nobody nothing is known");
        test.finish().await;
    }

    async fn what_it_has_goes_on(db: TestDatabase) {
        let mut test = LineDepot::start(db).await;
        let carrier = lean(&mut test);
        let line = test.deliver(2).await.remove(0);
        let (depot, keeper, shop) = (test.depot.clone(), stock_keeper("default"), storefront("default"));
        let placed = test.place(order_of("ref-1", 1, None)).await.unwrap().order.order;
        assert_eq!(placed.status, OrderStatus::Fulfilled);
        assert_eq!(orders::get(&depot, &shop, placed.id, true).await.unwrap().order.id, placed.id);
        assert!(!timeline::get(&depot, &shop, line.iccid.clone()).await.unwrap().entries.is_empty());
        let found = refunds::eligibility(&depot, &shop, placed.id).await.unwrap();
        assert!(found.evidence[0].fresh, "all that it tells it told: {found:?}");
        test.number_events().await;
        let reconciled = || async {
            let done = reconcile(&test).await.reconciliation;
            (done.status, done.counts.compared, done.counts.unread, done.counts.drifts)
        };
        assert_eq!(reconciled().await, (ReconciliationStatus::Completed, 2, 0, 0));
        sweep_profiles(&mut test, 2).await;
        let view = lines::read(&depot, &keeper, line.iccid.clone()).await.unwrap();
        assert_eq!(view.profile.iccid, line.iccid);
        // Of lines that nobody can be asked about nothing is known, and that is no failure.
        carrier.fall_silent();
        assert_eq!(reconcile(&test).await.reconciliation.counts.unread, 0);
        let found = refunds::eligibility(&depot, &shop, placed.id).await.unwrap();
        assert!(!found.eligible && !found.evidence[0].fresh, "not known is not unused: {found:?}");
        let view = lines::read(&depot, &keeper, line.iccid.clone()).await.unwrap();
        assert_eq!(view.profile.iccid, line.iccid, "what was last known");
        let cancelled = cancellations::cancel(&depot, &shop, placed.id, None, None, Duration::from_secs(10)).await;
        assert_eq!(cancelled.unwrap().order.order.status, OrderStatus::Cancelled);
        test.finish().await;
    }

    async fn others_lack_devices(db: TestDatabase) {
        let test = LineDepot::start(db).await;
        let line = test.active().await;
        let (depot, keeper, account) = (&test.depot, stock_keeper("default"), pool_settings().carrier_account);
        let imei = || DEVICE.parse::<simdepot_domain::imei::Imei>().unwrap();
        lacks(devices::model(depot, account.clone(), DeviceQuery::Imei(imei())).await);
        lacks(devices::is_blocked(depot, account.clone(), imei()).await);
        lacks(devices::of_line(depot, &keeper, line.iccid.clone()).await);
        let used_with = devices::UsedWith::Iccid(line.iccid.clone());
        lacks(devices::block(depot, &keeper, (account, imei()), used_with, true).await);
        let change = simdepot_domain::device::DeviceChange {
            change_type: simdepot_domain::device::ChangeType::DeviceOnly,
            new_imei: Some(imei()),
            new_iccid: None,
            new_eid: None,
            delivery: None,
        };
        lacks(devices::preview(depot, &keeper, line.iccid.clone(), change.clone()).await);
        lacks(devices::change(depot, &keeper, line.iccid.clone(), change, None).await);
        assert!(test.operations(None).await.iter().all(|operation| operation.status == OperationStatus::Done));
        assert_eq!(LineAction::Activate.to_string(), test.operations(None).await[0].request.kind());
        test.finish().await;
    }
}
