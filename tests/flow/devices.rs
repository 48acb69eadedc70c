//! Devices at a carrier that knows them: what it says is passed on, what it is told is written down first.

use std::sync::Arc;

use simdepot_application::devices::{self, UsedWith};
use simdepot_application::{AppError, Caller};
use simdepot_carrier_twin::LineSpec;
use simdepot_domain::carrier::{DeviceQuery, NOTHING_TO_ASK_BY};
use simdepot_domain::channel::{AccountName, Scope};
use simdepot_domain::device::{ChangeType, DeviceChange};
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::imei::Imei;
use simdepot_domain::line::LineCommand;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::operation::{OperationRequest, OperationStatus};
use simdepot_domain::order::OrderStatus;
use simdepot_domain::profile::QuarantineReason;
use simdepot_domain::sim::SimStatus;
use simdepot_domain::stock::StockStatus;
use simdepot_tests::depot::{idempotency_key, pool_settings, profiles_of, stock_keeper, storefront};
use simdepot_tests::devices::{CLOSED_TAC, DEVICE, DeviceCarrier, KNOWN_TAC, SILENT_TAC};
use simdepot_tests::lines::LineDepot;
use simdepot_tests::{TestDepot, on_both_databases};

fn account() -> AccountName {
    pool_settings().carrier_account
}

fn imei() -> Imei {
    DEVICE.parse().unwrap()
}

fn keeper() -> Caller {
    stock_keeper("default")
}

/// Puts a carrier with devices before the depot's.
fn with_devices(test: &mut LineDepot) -> Arc<DeviceCarrier> {
    let mut kept = None;
    test.wrap_carrier(|inner| {
        let carrier = Arc::new(DeviceCarrier::rich(inner));
        kept = Some(Arc::clone(&carrier));
        carrier
    });
    kept.unwrap()
}

fn to_device() -> DeviceChange {
    DeviceChange {
        change_type: ChangeType::DeviceOnly,
        new_imei: Some(imei()),
        new_iccid: None,
        new_eid: None,
        delivery: None,
    }
}

fn to_sim(iccid: &Iccid) -> DeviceChange {
    let new_iccid = Some(iccid.clone());
    DeviceChange { change_type: ChangeType::PsimOnly, new_imei: None, new_iccid, ..to_device() }
}

async fn change(test: &LineDepot, line: &LineSpec, asked: DeviceChange) -> Result<OperationId, AppError> {
    let taken = devices::change(&test.depot, &keeper(), line.iccid.clone(), asked, None).await?;
    Ok(taken.0.operation.id)
}

/// Where a refused transition stood, and what was asked.
fn transition<T: std::fmt::Debug>(refused: Result<T, AppError>) -> (String, String) {
    match refused.unwrap_err() {
        AppError::InvalidTransition { from, command, .. } => (from, command),
        other => panic!("{other:?}"),
    }
}

async fn stock(test: &LineDepot, iccid: &Iccid) -> (StockStatus, Option<QuarantineReason>) {
    let profile = test.profile(iccid).await;
    (profile.stock_status, profile.quarantine_reason)
}

on_both_databases! {
    /// Without anything between: use case, worker, adapter and twin.
    async fn the_second_carrier_knows_devices(db: TestDatabase) {
        let test = TestDepot::start_wholesale(db).await;
        test.stock_up(2).await;
        let order = test.sell("one", 1).await;
        let order = test.settle_order(order, OrderStatus::Fulfilled).await;
        let profile = profiles_of(&order).remove(0);
        let (depot, iccid) = (&test.depot, || profile.iccid.clone());
        // The carrier chooses the number and tells it afterwards; without one it cannot be asked about the line.
        let nameless = devices::of_line(depot, &keeper(), iccid()).await;
        assert!(matches!(&nameless, Err(AppError::Unsupported { code }) if code == NOTHING_TO_ASK_BY), "{nameless:?}");
        test.notify(&test.notifications()).await;
        let profile = test.profile(&profile.iccid).await;
        let model = devices::model(depot, account(), DeviceQuery::Imei(imei())).await.unwrap();
        assert_eq!((model.asked.tac().as_str(), model.model.equipment_type.as_deref()), (KNOWN_TAC, Some("PHONE")));
        assert!(model.model.manufacturer.is_some() && !model.model.networks.is_empty());
        let unknown = DeviceQuery::Tac("11111111".parse().unwrap());
        assert!(matches!(devices::model(depot, account(), unknown).await, Err(AppError::NotFound { .. })));

        let other: Imei = "356462520000007".parse().unwrap();
        let asked = DeviceChange { new_imei: Some(other.clone()), ..to_device() };
        let (taken, _) = devices::change(depot, &storefront("default"), iccid(), asked, None).await.unwrap();
        test.settle().await;
        let done = test.operation(taken.operation.id).await;
        assert_eq!((done.status, done.attempts), (OperationStatus::Done, 1), "{done:#?}");
        let seen = devices::of_line(depot, &storefront("default"), iccid()).await.unwrap().device;
        assert_eq!((seen.imei, seen.blocked), (Some(other.clone()), Some(false)));
        assert_eq!(seen.iccid, Some(profile.iccid.clone()));

        let used_with = || UsedWith::Msisdn(profile.msisdn.clone().unwrap());
        for block in [true, false] {
            let of = (account(), other.clone());
            let taken = devices::block(depot, &storefront("default"), of, used_with(), block).await.unwrap();
            test.settle().await;
            let done = test.operation(taken.operation.id).await;
            assert_eq!((done.status, done.attempts), (OperationStatus::Done, 1), "{done:#?}");
            assert_eq!(devices::is_blocked(depot, account(), other.clone()).await.unwrap().blocked, block);
        }
        test.finish().await;
    }

    async fn what_the_carrier_says_of_devices_is_passed_on(db: TestDatabase) {
        let mut test = LineDepot::start(db).await;
        let carrier = with_devices(&mut test);
        let line = test.deliver(1).await.remove(0);
        let depot = test.depot.clone();
        let model = devices::model(&depot, account(), DeviceQuery::Imei(imei())).await.unwrap();
        assert_eq!((model.asked.tac().as_str(), model.model.networks.len()), (KNOWN_TAC, 2));
        let asked = |tac: &str| devices::model(&depot, account(), DeviceQuery::Tac(tac.parse().unwrap()));
        assert_eq!(asked(KNOWN_TAC).await.unwrap().model, model.model);
        assert!(matches!(asked("11111111").await, Err(AppError::NotFound { .. })));
        assert!(matches!(asked(SILENT_TAC).await, Err(AppError::CarrierUnavailable(_))));
        assert!(matches!(asked(CLOSED_TAC).await, Err(AppError::Unsupported { code }) if code == "NO_RIGHT"));

        let nobody = AccountName::parse("nobody").unwrap();
        let elsewhere = devices::is_blocked(&test.depot, nobody.clone(), imei()).await;
        assert!(matches!(elsewhere, Err(AppError::NotFound { what: "carrier account" })), "{elsewhere:?}");
        assert!(!devices::is_blocked(&test.depot, account(), imei()).await.unwrap().blocked);

        let seen = devices::of_line(&test.depot, &keeper(), line.iccid.clone()).await.unwrap();
        assert_eq!((seen.device.imei, seen.device.msisdn), (Some(imei()), line.msisdn.clone()));
        let stranger = storefront("elsewhere");
        let hidden = devices::of_line(&test.depot, &stranger, line.iccid.clone()).await;
        assert!(matches!(hidden, Err(AppError::NotFound { .. })), "{hidden:?}");
        // The number is another SIM's now: its device is not this line's.
        carrier.tell_of("8965880812100011146".parse().unwrap());
        let hidden = devices::of_line(&test.depot, &keeper(), line.iccid.clone()).await;
        assert!(matches!(hidden, Err(AppError::NotFound { .. })), "{hidden:?}");

        // An account that pools have and the configuration lacks may come back.
        test.depot.accounts = Arc::default();
        let gone = devices::is_blocked(&test.depot, account(), imei()).await;
        assert!(matches!(gone, Err(AppError::UnknownAccount { .. })), "{gone:?}");
        test.finish_unsettled().await;
    }

    async fn a_change_is_made_once(db: TestDatabase) {
        let mut test = LineDepot::start(db).await;
        let line = test.active().await;
        let carrier = with_devices(&mut test);
        let key = idempotency_key("k-1", "body");
        let preview = devices::preview(&test.depot, &keeper(), line.iccid.clone(), to_device()).await.unwrap();
        assert_eq!((preview.change.clone(), preview.from.map(|from| from.to_string())), (to_device(), Some("active".into())));
        let caller = keeper();
        let (taken, replayed) =
            devices::change(&test.depot, &caller, line.iccid.clone(), to_device(), Some(&key)).await.unwrap();
        assert!(!replayed);
        let operation = taken.operation;
        assert_eq!((operation.status, operation.request.kind()), (OperationStatus::Pending, "change_device"));
        assert_eq!(operation.request, OperationRequest::ChangeDevice { change: to_device() });
        let (again, replayed) =
            devices::change(&test.depot, &caller, line.iccid.clone(), to_device(), Some(&key)).await.unwrap();
        assert_eq!((again.operation.id, replayed), (operation.id, true));
        let busy = ("operation_open".to_owned(), "change_device".to_owned());
        assert_eq!(transition(change(&test, &line, to_device()).await), busy);
        let preview = devices::preview(&test.depot, &caller, line.iccid.clone(), to_device()).await;
        assert_eq!(transition(preview), busy);
        let done = test.settle(operation.id).await;
        assert_eq!((done.status, done.attempts), (OperationStatus::Done, 1), "{done:#?}");
        let sent = carrier.orders().changes.clone();
        assert_eq!((sent.len(), &sent[0].change), (1, &to_device()));
        assert_eq!(sent[0].reference, operation.id.to_string());
        assert_eq!((&sent[0].line.iccid, &sent[0].line.msisdn), (&line.iccid, &line.msisdn));
        // The key's answer stays, however the line stands by now.
        test.twin.twin().set_line_status(&line.iccid, SimStatus::Suspended, test.now()).unwrap();
        let (again, replayed) =
            devices::change(&test.depot, &caller, line.iccid.clone(), to_device(), Some(&key)).await.unwrap();
        assert_eq!((again.operation.id, again.operation.status, replayed), (operation.id, OperationStatus::Done, true));
        test.finish().await;
    }

    async fn of_two_changes_at_a_time_one_is_made(db: TestDatabase) {
        let mut test = LineDepot::start(db).await;
        let line = test.active().await;
        let carrier = with_devices(&mut test);
        let (one, other) = tokio::join!(change(&test, &line, to_device()), change(&test, &line, to_device()));
        let (made, refused) = if one.is_ok() { (one, other) } else { (other, one) };
        assert_eq!(transition(refused), ("operation_open".to_owned(), "change_device".to_owned()));
        assert_eq!(test.settle(made.unwrap()).await.status, OperationStatus::Done);
        let (key, caller) = (idempotency_key("k-1", "body"), keeper());
        let ask = || devices::change(&test.depot, &caller, line.iccid.clone(), to_device(), Some(&key));
        let (one, other) = tokio::join!(ask(), ask());
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.0.operation.id, other.0.operation.id);
        assert!(one.1 != other.1, "one of them made it");
        assert_eq!(test.settle(one.0.operation.id).await.status, OperationStatus::Done);
        assert_eq!(carrier.orders().changes.len(), 2);
        test.finish().await;
    }

    async fn only_an_active_line_changes_its_device(db: TestDatabase) {
        let mut test = LineDepot::start(db).await;
        let (line, fresh) = (test.active().await, test.deliver(1).await.remove(0));
        let suspended = test.command(&line, LineCommand::Suspend).await.unwrap();
        test.settle(suspended).await;
        with_devices(&mut test);
        let refused = |from: &str| (from.to_owned(), "change_device".to_owned());
        assert_eq!(transition(change(&test, &line, to_device()).await), refused("suspended"));
        assert_eq!(transition(change(&test, &fresh, to_device()).await), refused("preactivated"));
        let preview = devices::preview(&test.depot, &keeper(), fresh.iccid.clone(), to_device()).await;
        assert_eq!(transition(preview), refused("preactivated"));
        assert_eq!(stock(&test, &fresh.iccid).await.0, StockStatus::Available, "nothing was taken");
        // What is known may be old: the carrier is asked before a line is refused.
        test.twin.twin().set_line_status(&line.iccid, SimStatus::Active, test.now()).unwrap();
        let taken = change(&test, &line, to_device()).await.unwrap();
        assert_eq!(test.operation(taken).await.status, OperationStatus::Pending);
        test.finish_unsettled().await;
    }

    async fn another_sim_is_taken_out_of_the_stock(db: TestDatabase) {
        let mut test = LineDepot::start(db).await;
        let (line, spare) = (test.active().await, test.spare().await);
        let carrier = with_devices(&mut test);
        let code = |refused: Result<OperationId, AppError>| match refused.unwrap_err() {
            AppError::Invalid(errors) => (errors[0].pointer.clone(), errors[0].code),
            other => panic!("{other:?}"),
        };
        let own = change(&test, &line, to_sim(&line.iccid)).await;
        assert_eq!(code(own), ("/new_iccid".to_owned(), "same"));
        let unknown = change(&test, &line, to_sim(&"8965880812100011146".parse().unwrap())).await;
        assert_eq!(code(unknown), ("/new_iccid".to_owned(), "unknown"));
        let lacking = DeviceChange { change_type: ChangeType::DeviceAndPsim, ..to_sim(&spare.iccid) };
        assert_eq!(code(change(&test, &line, lacking).await), ("/new_imei".to_owned(), "required"));
        let too_much = DeviceChange { change_type: ChangeType::DeviceOnly, new_imei: Some(imei()), ..to_sim(&spare.iccid) };
        assert_eq!(code(change(&test, &line, too_much).await), ("/new_iccid".to_owned(), "unexpected"));
        let shop = storefront("default");
        let forbidden = devices::change(&test.depot, &shop, line.iccid.clone(), to_sim(&spare.iccid), None).await;
        assert!(matches!(forbidden, Err(AppError::Forbidden { scope: Scope::Stock })), "{forbidden:?}");
        assert_eq!(stock(&test, &spare.iccid).await, (StockStatus::Available, None));
        let taken = change(&test, &line, to_sim(&spare.iccid)).await.unwrap();
        assert_eq!(stock(&test, &spare.iccid).await, (StockStatus::Quarantined, Some(QuarantineReason::InService)));
        let done = test.settle(taken).await;
        assert_eq!(done.status, OperationStatus::Done, "{done:#?}");
        assert_eq!(carrier.orders().changes[0].change, to_sim(&spare.iccid));
        assert_eq!(stock(&test, &line.iccid).await.0, StockStatus::Retired, "the other SIM has its line");
        assert_eq!(test.profile(&spare.iccid).await.msisdn, line.msisdn);
        test.finish().await;
    }

    async fn a_device_is_blocked_with_the_line_that_uses_it(db: TestDatabase) {
        let mut test = LineDepot::start(db).await;
        let (line, other) = (test.active().await, test.deliver(1).await.remove(0));
        let carrier = with_devices(&mut test);
        let block = |caller: Caller, used_with: UsedWith, block: bool| {
            let depot = test.depot.clone();
            async move { devices::block(&depot, &caller, (account(), imei()), used_with, block).await }
        };
        let by_sim = |line: &LineSpec| UsedWith::Iccid(line.iccid.clone());
        let by_number = |line: &LineSpec| UsedWith::Msisdn(line.msisdn.clone().unwrap());
        let taken = block(keeper(), by_sim(&line), true).await.unwrap();
        assert_eq!((taken.operation.request.kind(), &taken.iccid), ("block_device", &line.iccid));
        assert_eq!(taken.operation.request, OperationRequest::BlockDevice { imei: imei(), block: true });
        assert_eq!(
            transition(block(keeper(), by_number(&line), false).await),
            ("operation_open".to_owned(), "unblock_device".to_owned())
        );
        let done = test.settle(taken.operation.id).await;
        assert_eq!((done.status, done.attempts), (OperationStatus::Done, 1), "{done:#?}");
        let sent = carrier.orders().blocks.clone();
        assert_eq!((sent.len(), &sent[0].imei, sent[0].block), (1, &imei(), true));
        assert_eq!((&sent[0].reference, &sent[0].line.msisdn), (&done.id.to_string(), &line.msisdn));
        assert!(devices::is_blocked(&test.depot, account(), imei()).await.unwrap().blocked);
        let taken = block(keeper(), by_number(&other), false).await.unwrap();
        assert_eq!((taken.operation.request.kind(), &taken.iccid), ("unblock_device", &other.iccid));
        assert_eq!(test.settle(taken.operation.id).await.status, OperationStatus::Done);
        assert!(!devices::is_blocked(&test.depot, account(), imei()).await.unwrap().blocked);

        let nobodys = UsedWith::Msisdn(Msisdn::parse("13035551111").unwrap());
        assert!(matches!(block(keeper(), nobodys, true).await, Err(AppError::NotFound { .. })));
        let stranger = block(storefront("elsewhere"), by_number(&line), true).await;
        assert!(matches!(stranger, Err(AppError::NotFound { .. })), "{stranger:?}");
        let stranger = block(storefront("elsewhere"), by_sim(&line), true).await;
        assert!(matches!(stranger, Err(AppError::NotFound { .. })), "{stranger:?}");
        test.finish().await;
    }
}
