use simdepot_domain::country::CountryCode;
use simdepot_domain::line::LineOption;

use super::*;
use crate::stub::line_order as order;
use crate::wire::Method;

const SIM: &str = "8988247000000000017";

fn setup() -> LineSetup {
    LineSetup {
        rate_plan: Some("PLAN_2".to_owned()),
        options: vec![LineOption { name: "M2M_TSL_BAR_DATA".to_owned(), value: "off".to_owned() }],
        group: Some("fleet-a".to_owned()),
        external_reference: Some("car 7".to_owned()),
        country_of_residence: Some(CountryCode::parse("FR").unwrap()),
    }
}

fn sent(order: &LineOrder) -> (Method, String, Value) {
    let settings = LineSettings::default();
    let request = request(order, &settings).unwrap().0;
    let below = "/connectivity-management/subscribers/api/subscribers/sim-serial/8988247000000000017/";
    (request.method, request.path.strip_prefix(below).unwrap().to_owned(), request.body.unwrap())
}

#[test]
fn every_command_has_its_call() {
    let new_iccid = Iccid::parse("8988247000000000025").unwrap();
    let plan = json!({ "ratePlan": "PLAN" });
    let whole = json!({
        "ratePlan": "PLAN_2",
        "options": [{ "name": "M2M_TSL_BAR_DATA", "value": "off" }],
        "group": "fleet-a",
        "externalReference": "car 7",
        "subscriberCountryOfResidence": "FR",
    });
    for (command, path, body) in [
        (LineCommand::Activate(setup()), "activate", whole.clone()),
        (LineCommand::Activate(LineSetup::default()), "activate", plan.clone()),
        (LineCommand::Modify(setup()), "modify", whole.clone()),
        (LineCommand::Suspend, "suspend", plan.clone()),
        (LineCommand::Reactivate, "reactivate", plan.clone()),
        (LineCommand::Terminate, "terminate", plan.clone()),
        (
            LineCommand::SwapSim { new_iccid },
            "sim-swap",
            json!({ "ratePlan": "PLAN", "newSimSerial": "8988247000000000025" }),
        ),
        (LineCommand::SwapMsisdn, "msisdn-swap", plan.clone()),
        (LineCommand::TariffHoliday, "tariff-holiday", plan.clone()),
        (LineCommand::LeaveTariffHoliday, "leave-tariff-holiday", plan.clone()),
        (LineCommand::TestMode(setup()), "test-mode", whole),
        (LineCommand::LeaveTestMode, "leave-test-mode", plan),
    ] {
        let found = sent(&order(command));
        assert_eq!(found, (Method::Post, path.to_owned(), body));
    }
}

#[test]
fn contact_data_with_their_country_in_three_letters() {
    let contact = Contact {
        last_name: Some("Curie".to_owned()),
        date_of_birth: Some("1867-11-07".to_owned()),
        country: Some(CountryCode::parse("FR").unwrap()),
        ..Contact::default()
    };
    let group = Some("fleet-a".to_owned());
    let command = LineCommand::SetContact { group };
    let mut order = LineOrder { contact: Some(contact), ..order(command) };
    let info = json!({ "lastName": "Curie", "dateOfBirth": "1867-11-07", "country": "FRA" });
    let body = json!({ "ratePlan": "PLAN", "group": "fleet-a", "subscriberInfo": info });
    assert_eq!(sent(&order), (Method::Put, "contact-info".to_owned(), body));
    assert!(!format!("{:?}", request(&order, &LineSettings::default()).unwrap().0).contains("Curie"));
    let settings = LineSettings { group_in_subscriber_info: true, ..LineSettings::default() };
    let body = request(&order, &settings).unwrap().0.body.unwrap();
    assert_eq!((&body["subscriberInfo"]["group"], body.get("group")), (&json!("fleet-a"), None));
    order.contact = Some(Contact {
        country: Some(CountryCode::parse("QQ").unwrap()),
        last_name: Some("Curie".to_owned()),
        ..Contact::default()
    });
    let refusal = request(&order, &settings).unwrap_err();
    assert_eq!(refusal.concerns, Concern::Request);
    assert!(!format!("{refusal} {order:?}").contains("Curie"));
    order.contact = None;
    assert_eq!(sent(&order).2, json!({ "ratePlan": "PLAN", "group": "fleet-a" }));
}

fn read_as(command: LineCommand, status: u16, body: &str) -> Commanded {
    let (order, settings) = (order(command), LineSettings::default());
    let endpoint = request(&order, &settings).unwrap().1;
    parse(&Answer::of(status, body), &order, endpoint, &settings)
}

fn read(status: u16, body: &str) -> Commanded {
    read_as(LineCommand::Suspend, status, body)
}

#[test]
fn taken_up_done_or_refused_in_a_success() {
    let accepted =
        |id: Option<&str>| Answered::Done(CommandReceipt::Accepted { transaction: id.map(str::to_owned) });
    let done = Answered::Done(CommandReceipt::Done { reference: Some("t-1".to_owned()) });
    assert_eq!(read(201, include_str!("../../../fixtures/command.json")), accepted(Some("t-1")));
    assert_eq!(read(200, r#"{"transactionId":17}"#), accepted(Some("17")));
    assert_eq!(read(202, r#"{"transactionId":"t-1","status":"Active"}"#), accepted(Some("t-1")));
    assert_eq!(read(201, r#"{"transactionId":"t-1","transactionStatus":"DONE"}"#), done);
    assert_eq!(read(200, r#"{"transactionId":"t-1","status":"Success"}"#), done);
    for (status, body) in [(201, "{}"), (204, ""), (200, " \n"), (201, r#"{"transactionId":{}}"#)] {
        assert_eq!(read(status, body), accepted(None), "{status} {body}");
    }
    let failed = read(201, r#"{"transactionId":"t-1","transactionStatus":"ERROR","errorCode":"X"}"#);
    let Answered::Refused(refusal) = failed else { panic!("{failed:?}") };
    assert_eq!(refusal.code, "X");
}

#[test]
fn a_success_that_cannot_be_read_is_unknown() {
    let foreign = r#"{"transactionId":"t-1","simSerial":"8988247000000000025"}"#;
    for (status, body, taken_as) in [
        (201, "[]", Some("HTTP 201")),
        (201, "null", Some("HTTP 201")),
        (201, r#""ok""#, Some("HTTP 201")),
        (201, "<html>", Some("HTTP 201")),
        (200, "<html>", None),
        (201, foreign, Some("t-1")),
        (201, r#"{"simSerial":"x"}"#, Some("HTTP 201")),
    ] {
        let found = read(status, body);
        let Answered::Unknown(lost) = found else { panic!("{status} {body}: {found:?}") };
        assert_eq!(lost.taken_as.as_deref(), taken_as, "{status} {body}");
    }
    let new_iccid = Iccid::parse("8988247000000000025").unwrap();
    let swapped = read_as(LineCommand::SwapSim { new_iccid }, 201, foreign);
    assert!(matches!(swapped, Answered::Done(_)), "a swap may be answered for the new SIM");
    assert!(matches!(
        read(201, &format!(r#"{{"transactionId":"t","simSerial":"{SIM}"}}"#)),
        Answered::Done(_)
    ));
}

fn kind(commanded: &Commanded) -> String {
    match commanded {
        Answered::Done(_) => "done".to_owned(),
        Answered::Refused(refusal) => format!("refused {}", refusal.concerns),
        Answered::NotTaken(_) => "not taken".to_owned(),
        Answered::Unknown(_) => "unknown".to_owned(),
    }
}

#[test]
fn every_problem() {
    for (status, body, expected) in [
        (400, r#"{"title":"SUBSCRIBER_STATUS_NOT_ELIGIBLE"}"#, "refused line_status"),
        (409, r#"{"title":"SUBSCRIBER_STATUS_NOT_ELIGIBLE"}"#, "refused line_status"),
        (400, r#"{"title":"X","detail":"SIM not ready for activation"}"#, "refused line_status"),
        (400, r#"{"title":"X","detail":"Subscriber already activated"}"#, "refused line_status"),
        (400, r#"{"title":"BAD_REQUEST","detail":"ratePlan is missing"}"#, "refused request"),
        (400, r#"{"title":"TRANSACTION_PENDING"}"#, "refused request"),
        (400, r#"{"detail":"Invalid SIM serial / SIM card doesn't belong to customer"}"#, "refused profile"),
        (404, r#"{"title":"SUBSCRIBER_NOT_FOUND"}"#, "refused profile"),
        (403, r#"{"title":"INSUFFICIENT_PERMISSION"}"#, "refused account"),
        (403, r#"{"title":"ACCOUNT_CLOSED"}"#, "refused account"),
        (501, r#"{"title":"Missing configuration"}"#, "refused account"),
        (403, "", "not taken"),
        (404, r#"{"title":"NOT_FOUND"}"#, "not taken"),
        (405, r#"{"title":"METHOD_NOT_ALLOWED"}"#, "not taken"),
        (401, r#"{"title":"UNAUTHORIZED"}"#, "not taken"),
        (429, r#"{"title":"TOO_MANY_REQUESTS"}"#, "not taken"),
        (408, "", "unknown"),
        (500, r#"{"title":"INTERNAL_ERROR"}"#, "unknown"),
        (503, r#"{"title":"SERVICE_UNAVAILABLE"}"#, "unknown"),
        (504, "", "unknown"),
        (302, "", "unknown"),
    ] {
        assert_eq!(kind(&read(status, body)), expected, "{status} {body}");
    }
}

#[test]
fn an_inferred_path_that_is_not_there_names_its_setting() {
    for (status, body) in [
        (404, r#"{"title":"NOT_FOUND"}"#),
        (404, r#"{"title":"Not Found"}"#),
        (405, r#"{"title":"METHOD_NOT_ALLOWED"}"#),
    ] {
        let found = read_as(LineCommand::SwapMsisdn, status, body);
        let Answered::Refused(refusal) = found else { panic!("{found:?}") };
        let detail = refusal.detail.unwrap();
        assert!(
            detail.contains("[carriers.paths] msisdn_swap (now POST /connectivity-management/"),
            "{detail}"
        );
        assert_eq!(refusal.concerns, Concern::Account);
    }
    for (status, body) in [(404, ""), (404, "<html>"), (403, "")] {
        assert_eq!(kind(&read_as(LineCommand::SwapMsisdn, status, body)), "not taken", "{status} {body}");
    }
    let gone = read_as(LineCommand::SwapMsisdn, 404, r#"{"title":"SUBSCRIBER_NOT_FOUND"}"#);
    assert_eq!(kind(&gone), "refused profile");
}
