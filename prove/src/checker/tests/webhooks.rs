//! Bad histories of webhooks.

use super::*;

const URL: &str = "https://shop-a.example.com/0";

fn webhook(seq: i64, status: u16) -> What {
    What::Webhook {
        url: URL.to_owned(),
        id: format!("evt{seq}"),
        kind: "order.created".to_owned(),
        seq,
        about: "order/o1".to_owned(),
        body: format!("body{seq}"),
        genuine: true,
        status,
    }
}

/// An endpoint that wants orders and got what there is, the second event at the second try.
fn told() -> Story {
    let mut story = Story::good();
    story.end.endpoints.push(Endpoint {
        id: "w1".to_owned(),
        channel: "shop-a".to_owned(),
        url: URL.to_owned(),
        types: Some(vec!["order.*".to_owned()]),
        since: 1,
        enabled: true,
    });
    for (seq, kind) in [(1, "order.created"), (2, "order.created"), (3, "pool.changed"), (4, "order.created")]
    {
        story.end.told.push(Told { id: format!("evt{seq}"), kind: kind.to_owned(), seq });
    }
    for what in [webhook(2, 500), webhook(2, 204), webhook(4, 200), webhook(2, 204)] {
        story.history.push(90, what);
    }
    story
}

#[test]
fn webhooks() {
    assert_eq!(told().rules(), Vec::<&str>::new());
    let bad = |expected: &str, change: &dyn Fn(&mut Story)| {
        let mut story = told();
        change(&mut story);
        assert_eq!(story.rules(), [expected]);
    };
    // Nobody took it.
    bad("webhooks arrive", &|story| {
        story.end.told.push(Told { id: "evt5".to_owned(), kind: "order.created".to_owned(), seq: 5 });
        story.history.push(91, webhook(5, 500));
    });
    // Nobody wants it, and it was there before.
    for seq in [3, 7] {
        bad("webhooks arrive", &|story| {
            let What::Webhook { url, id, kind, body, genuine, status, .. } = webhook(seq, 204) else {
                unreachable!()
            };
            let about = "pool/world".to_owned();
            story.history.push(91, What::Webhook { url, id, kind, seq, about, body, genuine, status });
        });
    }
    bad("webhooks are genuine", &|story| {
        let What::Webhook { url, id, kind, seq, about, body, status, .. } = webhook(4, 204) else {
            unreachable!()
        };
        story.history.push(91, What::Webhook { url, id, kind, seq, about, body, genuine: false, status });
    });
    bad("a webhook is the same each time", &|story| {
        let What::Webhook { url, id, kind, seq, about, genuine, status, .. } = webhook(4, 204) else {
            unreachable!()
        };
        let body = "another".to_owned();
        story.history.push(91, What::Webhook { url, id, kind, seq, about, body, genuine, status });
    });
    bad("webhooks keep their order", &|story| {
        story.history = Story::good().history;
        for what in [webhook(4, 200), webhook(2, 204)] {
            story.history.push(90, what);
        }
    });
    // One that is switched off has nothing coming.
    let mut story = told();
    story.end.endpoints[0].enabled = false;
    story.end.told.push(Told { id: "evt5".to_owned(), kind: "order.created".to_owned(), seq: 5 });
    assert_eq!(story.rules(), Vec::<&str>::new());
}
