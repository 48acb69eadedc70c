//! Every command against every status of a line, by offer: what is allowed reaches the carrier and leaves the line where
//! it should be; what is forbidden is refused with its rule, and the carrier is not called.

use std::collections::BTreeMap;

use simdepot_application::AppError;
use simdepot_carrier_twin::line::NewLine;
use simdepot_carrier_twin::{CallName, LineSpec};
use simdepot_domain::check_digits::luhn_ok;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::id::OperationId;
use simdepot_domain::line::{LineAction, LineCommand, LineSetup, Offer};
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::sim::SimStatus;
use simdepot_tests::lines::LineDepot;
use simdepot_tests::on_both_databases;
use strum::VariantArray;

/// The statuses that Transatel's lines may have.
fn statuses() -> impl Iterator<Item = SimStatus> {
    SimStatus::VARIANTS.iter().copied().filter(|status| *status != SimStatus::Ceased)
}

/// The offers of Transatel.
fn offers() -> impl Iterator<Item = Offer> {
    Offer::VARIANTS.iter().copied().filter(|offer| *offer != Offer::Wholesale)
}

fn line_number(number: u64) -> (Iccid, Msisdn) {
    let body = format!("8988247999{number:08}");
    let digits = (0..10).map(|check| format!("{body}{check}")).find(|digits| luhn_ok(digits)).unwrap();
    (Iccid::parse(&digits).unwrap(), Msisdn::parse(&format!("8824999{number:08}")).unwrap())
}

fn command(action: LineAction, spare: &LineSpec) -> LineCommand {
    let reference = || LineSetup { external_reference: Some("matrix".to_owned()), ..LineSetup::default() };
    match action {
        LineAction::Activate => LineCommand::Activate(reference()),
        LineAction::Modify => LineCommand::Modify(reference()),
        LineAction::Suspend => LineCommand::Suspend,
        LineAction::Reactivate => LineCommand::Reactivate,
        LineAction::Terminate => LineCommand::Terminate,
        LineAction::SwapSim => LineCommand::SwapSim { new_iccid: spare.iccid.clone() },
        LineAction::SwapMsisdn => LineCommand::SwapMsisdn,
        LineAction::TariffHoliday => LineCommand::TariffHoliday,
        LineAction::LeaveTariffHoliday => LineCommand::LeaveTariffHoliday,
        LineAction::TestMode => LineCommand::TestMode(reference()),
        LineAction::LeaveTestMode => LineCommand::LeaveTestMode,
        LineAction::SetContact => LineCommand::SetContact { group: Some("fleet-a".to_owned()) },
    }
}

/// Lines in every status for every action, and a spare SIM for each, in the stock. `first` numbers them.
async fn deliver(test: &LineDepot, first: u64) -> BTreeMap<(LineAction, SimStatus), (LineSpec, LineSpec)> {
    let mut cells = BTreeMap::new();
    let mut number = first;
    let mut file = String::from("ICCID;MSISDN;ActivationCode\r\n");
    for action in LineAction::VARIANTS {
        for status in statuses() {
            let mut add = |sim_status| {
                number += 1;
                let (iccid, msisdn) = line_number(number);
                let line = NewLine {
                    iccid,
                    msisdn: Some(msisdn),
                    sim_status,
                    esim_status: EsimStatus::Released,
                    physical: false,
                    activation_code: None,
                };
                let spec = test.twin.twin().add_line(line).unwrap();
                let code = spec.activation_code.as_ref().unwrap();
                file.push_str(&format!("{};{};{}\r\n", spec.iccid, spec.msisdn(), code.lpa()));
                spec
            };
            cells.insert((*action, status), (add(status), add(SimStatus::Available)));
        }
    }
    let (view, _) = test.import(file, test.import_of()).await.unwrap();
    assert_eq!(view.import.counts.accepted, number - first, "{:?}", view.import.problem);
    cells
}

enum Cell {
    Forbidden(String),
    Taken(OperationId),
}

async fn matrix(test: &LineDepot, offer: Offer, first: u64) -> String {
    let cells = deliver(test, first).await;
    let before = test.twin.twin().calls(CallName::LineWrite);
    let mut asked = BTreeMap::new();
    for ((action, status), (line, spare)) in &cells {
        let cell = match test.command(line, command(*action, spare)).await {
            Ok(id) => Cell::Taken(id),
            Err(AppError::InvalidTransition { from, command, detail }) => {
                assert_eq!((from, command), (status.to_string(), action.to_string()));
                Cell::Forbidden(detail.split(':').next().unwrap().to_owned())
            }
            Err(error) => panic!("{offer} {action} {status}: {error:?}"),
        };
        asked.insert((*action, *status), cell);
    }
    let allowed = asked.values().filter(|cell| matches!(cell, Cell::Taken(_))).count();
    let mut table = format!("{offer}\n");
    for action in LineAction::VARIANTS {
        for status in statuses() {
            let (line, _) = &cells[&(*action, status)];
            let writes = |test: &LineDepot| {
                let twin = test.twin.twin();
                let of_line = twin.all_line_writes().filter(|(iccid, ..)| *iccid == line.iccid.as_str());
                of_line.map(|(_, _, count)| count.arrived).sum::<u64>()
            };
            let told = match &asked[&(*action, status)] {
                Cell::Forbidden(rule) => {
                    assert_eq!(writes(test), 0, "{offer} {action} {status}");
                    format!("- {rule}")
                }
                Cell::Taken(id) => {
                    let ended = test.settle(*id).await;
                    assert_eq!(writes(test), 1, "{offer} {action} {status}");
                    let now = test.profile(&line.iccid).await.sim.unwrap().status;
                    format!("{} {status} -> {now}", ended.status)
                }
            };
            table.push_str(&format!("{action:<21} {status:<15} {told}\n"));
        }
    }
    let called = test.twin.twin().calls(CallName::LineWrite) - before;
    assert_eq!(called, u64::try_from(allowed).unwrap());
    table
}

on_both_databases! {
    async fn every_command_in_every_status(db: TestDatabase) {
        let mut tables = String::new();
        let mut test = LineDepot::start(db).await;
        for (offer, first) in offers().zip((0..).step_by(1_000)) {
            test.reconfigure(|account| account.lines.offer = Some(offer));
            let twins = serde_json::from_value(serde_json::to_value(offer).unwrap()).unwrap();
            test.twin.twin().assumptions_mut().offer = twins;
            tables.push_str(&matrix(&test, offer, first).await);
            tables.push('\n');
        }
        insta::assert_snapshot!("line_matrix", tables);
        test.finish().await;
    }
}
