//! `simdepot` without any configuration: from nothing to a QR code with what it prints.

use serde_json::Value as Json;
use simdepot_domain::activation_code::ActivationCode;

use crate::binary::{Place, curl};

#[test]
fn the_printed_line_places_an_order() {
    let place = Place::new();
    let sandbox = place.serve();
    let printed = sandbox.printed("curl ");
    let lines: Vec<&str> = printed.lines().filter(|line| line.contains("curl")).collect();
    let [line] = lines[..] else { panic!("one line with curl: {printed}") };
    assert!(printed.contains(&format!("{}/docs", sandbox.base_url)), "{printed}");
    let (status, body) = curl(line, &[]);
    assert_eq!(status, 201, "{body}");
    let order: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(order["status"], "fulfilled");
    let profile = &order["lines"][0]["profiles"][0];
    let code = profile["activation"]["lpa"].as_str().unwrap().strip_prefix("LPA:").unwrap();
    ActivationCode::parse(code).unwrap();
    assert!(!sandbox.log().contains(code.rsplit('$').next().unwrap()), "not in the log");
    // The picture, with the same key.
    let (command, key) = line.split_once(" -H ").unwrap();
    let key = key.split(" -H ").next().unwrap();
    assert!(command.contains("/v1/orders"));
    let picture = format!("curl -sS {} -H {key}", profile["activation"]["qr_svg_url"].as_str().unwrap());
    let (status, svg) = curl(&picture, &[]);
    assert_eq!((status, svg.starts_with("<svg ")), (200, true), "{svg}");
    assert!(sandbox.stop().success());
    // What was sold is there after a restart, and so is the rest of the stock.
    assert!(place.run(&["verify"]).good().contains("no difference"));
    let shown = place.run(&["qr", profile["iccid"].as_str().unwrap()]).good();
    assert!(shown.contains('█') && !shown.contains(code), "{shown}");
    let again = place.serve();
    let printed = again.printed("curl ");
    let line = printed.lines().find(|line| line.contains("curl")).unwrap();
    // The reference has the second in it: the same second would be the same order.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (status, body) = curl(line, &[]);
    assert_eq!(status, 201, "{body}");
    let second: Json = serde_json::from_str(&body).unwrap();
    assert_ne!(second["lines"][0]["profiles"][0]["iccid"], profile["iccid"]);
    assert!(again.stop().success());
}

/// What the carrier has to tell of an order goes to the API that placed it.
#[test]
fn the_twin_tells_the_api_of_what_happens() {
    let place = Place::new();
    let sandbox = place.serve();
    let printed = sandbox.printed("curl ");
    let order = printed.lines().find(|line| line.contains("curl")).unwrap();
    assert_eq!(curl(order, &[]).0, 201);
    let state = printed.split_whitespace().find(|word| word.ends_with("/_twin/state")).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let (_, body) = curl(&format!("curl -sS {state}"), &[]);
        let stream = serde_json::from_str::<Json>(&body).unwrap()["webhook"].clone();
        assert_eq!(stream["url"], format!("{}/carrier-events/sandbox", sandbox.base_url));
        // An answer of whatever kind: this is about the way, not about what is made of the event.
        if stream["last_status"].is_u64() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{stream}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(sandbox.stop().success());
}

#[test]
fn an_own_key_is_not_repeated() {
    const KEY: &str = "an-operators-own-key-of-40-characters-000";
    let place = Place::new().with("SIMDEPOT_BOOTSTRAP_KEY", KEY);
    let sandbox = place.serve();
    let printed = sandbox.printed("curl ");
    assert!(!printed.contains(KEY) && !sandbox.log().contains(KEY), "{printed}");
    let line = printed.lines().find(|line| line.contains("curl")).unwrap();
    let (status, body) = curl(line, &[("SIMDEPOT_BOOTSTRAP_KEY", KEY)]);
    assert_eq!(status, 201, "{body}");
    assert!(sandbox.stop().success());
}
