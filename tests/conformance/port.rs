//! The port itself, without a depot: how an adapter behaves when the carrier does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use simdepot_carrier_transatel::LocalTurns;
use simdepot_carrier_twin::{CallName, TwinServer};
use simdepot_domain::carrier::{Answered, Carrier, LineKey, Numbering, ReadError, UNSUPPORTED};
use simdepot_domain::clock::SystemClock;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_tests::depot::WEBHOOK_SECRET;
use simdepot_tests::settle::CALL;
use simdepot_tests::{TestCarrier, for_every_adapter};
use strum::VariantArray;

use crate::asking::{Ask, Came, activation_order, bundle_order, suspension, write};
use crate::server::{Manner, Server, closed_port};

/// What a call may take beyond its time-out on a busy machine.
const SLACK: Duration = Duration::from_millis(500);

/// A carrier at work.
fn start<C: TestCarrier>() -> TwinServer<C> {
    let mut carrier = C::sandbox();
    carrier.prepare();
    carrier.open_lines();
    TwinServer::start_with(carrier, "127.0.0.1:0").unwrap()
}

/// Its adapter, which knows nothing yet.
fn adapter<C: TestCarrier>(carrier: &C, base_url: &str, timeout: Duration) -> Arc<dyn Carrier> {
    carrier.adapter(base_url, timeout, Arc::new(SystemClock), Arc::new(LocalTurns::default()))
}

/// A line that no carrier has.
fn nobody() -> LineKey {
    LineKey {
        iccid: Iccid::parse("8988247000000999996").unwrap(),
        msisdn: Some(Msisdn::parse("15550009999").unwrap()),
        imei: None,
    }
}

/// Sells at the carrier, whichever way it sells.
async fn sell<C: TestCarrier>(carrier: &dyn Carrier, line: &LineKey, reference: &str) -> Came {
    match C::PRODUCT {
        Some(_) => write(carrier.place_bundle(&bundle_order(line, reference)).await),
        None => write(carrier.activate(&activation_order::<C>(carrier, line, reference)).await),
    }
}

for_every_adapter! {
    async fn nothing_secret_is_printed<C>() {
        let carrier = C::sandbox();
        let printed = carrier.printed("https://carrier.example.com");
        assert!(printed.contains("carrier.example.com"), "{printed}");
        for secret in [carrier.client_secret(), WEBHOOK_SECRET.to_owned()] {
            assert!(!secret.is_empty() && !printed.contains(&secret), "{printed}");
        }
    }

    /// What is not there is not there, or may not be asked: neither is an error that goes away by itself.
    async fn strangers_are_unknown_for_good<C>() {
        let server = start::<C>();
        let carrier = adapter(&*server.twin(), &server.base_url, CALL);
        let known = |answer: Result<bool, ReadError>| match answer {
            Ok(is_there) => assert!(!is_there),
            Err(ReadError::Denied { .. }) => {}
            Err(other) => panic!("{other}"),
        };
        for _ in 0..2 {
            for id in ["op-nobody", "00000000-0000-4000-8000-000000000000", "", ".", "..", "a/b?c#d", "é\u{0}"] {
                known(carrier.transaction(id).await.map(|found| found.is_some()));
            }
            known(carrier.line(&nobody()).await.map(|found| found.is_some()));
            known(carrier.line(&LineKey { msisdn: None, ..nobody() }).await.map(|found| found.is_some()));
        }
    }

    /// The deadline of a call holds whatever it is for, and a write that may have arrived is not called refused.
    async fn silence_ends_with_the_time_out<C>() {
        let timeout = Duration::from_millis(400);
        let twin = C::sandbox();
        for ask in Ask::VARIANTS {
            let server = Server::start(Manner::Silent).await;
            // A new one each time: an adapter leaves a carrier that only fails alone for a while.
            let carrier = adapter(&twin, &server.url, timeout);
            if !ask.is_had(carrier.as_ref()) {
                continue;
            }
            let started = Instant::now();
            let came = ask.of::<C>(carrier.as_ref(), &nobody()).await;
            assert!(started.elapsed() < timeout + SLACK, "{ask:?} took {:?}", started.elapsed());
            match came {
                Came::Write(Answered::Unknown(lost)) => assert_eq!((lost.taken_as, server.asked()), (None, 1)),
                Came::Read(Err(ReadError::Unavailable(_))) => assert!(server.asked() >= 1, "{ask:?}"),
                // A path that the carrier has not published, and the account does not set.
                Came::Read(Err(ReadError::Denied { code })) if code == UNSUPPORTED => {
                    assert_eq!(server.asked(), 0, "{ask:?}");
                }
                other => panic!("{ask:?}: {other:?}"),
            }
        }
    }

    /// It could lead anywhere, with the token.
    async fn a_redirection_is_not_followed<C>() {
        let twin = C::sandbox();
        for ask in Ask::VARIANTS {
            let server = Server::start(Manner::Redirecting).await;
            let carrier = adapter(&twin, &server.url, CALL);
            if !ask.is_had(carrier.as_ref()) {
                continue;
            }
            match ask.of::<C>(carrier.as_ref(), &nobody()).await {
                Came::Write(Answered::Unknown(_) | Answered::NotTaken(_)) | Came::Read(Err(_)) => {}
                other => panic!("{ask:?}: {other:?}"),
            }
            assert_eq!(server.followed(), 0, "{ask:?}");
        }
    }

    async fn a_closed_port_has_taken_nothing<C>() {
        let twin = C::sandbox();
        for ask in Ask::VARIANTS {
            let carrier = adapter(&twin, &closed_port(), CALL);
            if !ask.is_had(carrier.as_ref()) {
                continue;
            }
            match ask.of::<C>(carrier.as_ref(), &nobody()).await {
                Came::Write(Answered::NotTaken(_)) | Came::Read(Err(ReadError::Unavailable(_))) => {}
                Came::Read(Err(ReadError::Denied { code })) if code == UNSUPPORTED => {}
                other => panic!("{ask:?}: {other:?}"),
            }
        }
    }

    /// Sent once, by an adapter that repeats nothing; and where the number is ours, the carrier takes a repetition for
    /// the same.
    async fn a_write_is_sent_once<C>() {
        let server = start::<C>();
        let (iccids, _) = server.twin().make_stock(1);
        let carrier = adapter(&*server.twin(), &server.base_url, CALL);
        let iccid = iccids[0].clone();
        let known = carrier.line(&LineKey::of(&iccid)).await.ok().flatten().and_then(|line| line.msisdn);
        let line = LineKey { iccid: iccid.clone(), msisdn: known.or(nobody().msisdn), imei: None };
        let sold = sell::<C>(carrier.as_ref(), &line, "op-1").await;
        assert_eq!(sold, Came::Write(Answered::Done(())));
        assert_eq!(server.twin().calls(C::SALE), 1);
        if carrier.numbering() == Numbering::Ours {
            assert_eq!(sell::<C>(carrier.as_ref(), &line, "op-1").await, sold);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while server.twin().sold(&iccid) == 0 {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(50)).await;
            // What is due at the carrier happens with the next request.
            drop(carrier.transaction("op-1").await);
        }
        let carrier = server.twin();
        assert_eq!((carrier.sold(&iccid), carrier.sold_in_all()), (1, 1));
    }

    /// Writes about a line that the carrier does not know are refused for sure, and not called anything else.
    async fn a_strangers_line_is_refused<C>() {
        let server = start::<C>();
        let carrier = adapter(&*server.twin(), &server.base_url, CALL);
        let line = nobody();
        let sold = sell::<C>(carrier.as_ref(), &line, "op-1").await;
        assert!(matches!(sold, Came::Write(Answered::Refused(_))), "{sold:?}");
        let told = write(carrier.command_line(&suspension(&line, "op-2")).await);
        assert!(matches!(told, Came::Write(Answered::Refused(_))), "{told:?}");
        assert_eq!(server.twin().sold_in_all(), 0);
        assert!(server.twin().calls(CallName::Any) >= 2);
    }
}
