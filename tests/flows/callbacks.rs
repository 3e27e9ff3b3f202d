//! These tests check the callback that the desk sends when a ticket ends. The callback is repeated after a
//! failure, logged and signed, and each attempt has the same idempotency key.

use functions::registry::REGISTRY;
use functions::stream::follow::births::Births;
use infra::http::HttpResponse;
use serde_json::{Value, json};
use tests::approval_request;

use crate::TestDesk;

fn with_callback() -> Value {
    let mut body = approval_request();
    body["meta"] = json!({ "callback_url": "http://apps.example.com/callback/", "headers": { "X-Token": "hush" } });
    body
}

async fn withdrawn(desk: &TestDesk) -> Value {
    let sn = desk.must("create_ticket", with_callback()).await["sn"].clone();
    desk.settle().await;
    assert!(
        desk.receiver.calls.lock().unwrap().is_empty(),
        "only the end of the ticket causes a callback"
    );
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
    )
    .await;
    sn
}

#[tokio::test]
async fn the_receiver_gets_every_documented_key_and_a_token_that_verifies() {
    let desk = TestDesk::open().await;
    let sn = withdrawn(&desk).await;
    desk.settle().await;
    let call = desk.receiver.calls.lock().unwrap()[0].clone();
    assert!(call.headers.contains(&("X-Token".into(), "hush".into())));
    let body: Value = serde_json::from_slice(&call.body).expect("JSON");
    let keys: Vec<&String> = body.as_object().expect("object").keys().collect();
    assert_eq!(
        keys,
        [
            "approve_result",
            "current_status",
            "last_approver",
            "sn",
            "ticket_url",
            "title",
            "token",
            "update_at",
            "updated_by"
        ]
    );
    assert_eq!(
        (
            &body["sn"],
            &body["current_status"],
            &body["approve_result"],
            &body["updated_by"]
        ),
        (&sn, &json!("REVOKED"), &json!(false), &json!(",lisi,"))
    );
    assert_eq!(
        body["update_at"].as_str().expect("time").len(),
        "2026-11-22 10:00:00.000000".len()
    );

    let verify = async |token: Value| {
        desk.must("token/verify", json!({ "token": token })).await["is_passed"].clone()
    };
    assert_eq!(verify(body["token"].clone()).await, true);
    assert_eq!(verify("".into()).await, false);
    assert_eq!(verify("不是令牌".into()).await, false);
    desk.clock.advance(8 * 24 * 3_600_000);
    assert_eq!(
        verify(body["token"].clone()).await,
        false,
        "a token expires"
    );
}

#[tokio::test]
async fn an_unavailable_receiver_is_called_again_with_the_same_key() {
    let desk = TestDesk::open().await;
    let busy = HttpResponse::of(200, br#"{"result":false,"code":1}"#);
    desk.receiver.answers.lock().unwrap().extend([
        Err(infra::http::HttpError::NotSent("connection refused".into())),
        Ok(HttpResponse::of(502, b"")),
        Ok(busy),
    ]);
    let sn = withdrawn(&desk).await;
    for (calls, wait_ms) in [(1, 1000), (2, 2000), (3, 4000), (4, 0)] {
        desk.settle().await;
        desk.settle().await;
        assert_eq!(
            desk.receiver.calls.lock().unwrap().len(),
            calls,
            "no attempt before its deadline"
        );
        let failed = desk.must("callback_failed_ticket", json!({})).await;
        assert_eq!(failed, if calls < 4 { json!([sn]) } else { json!([]) });
        desk.clock.advance(wait_ms);
    }
    let calls = desk.receiver.calls.lock().unwrap();
    let id = |at: usize| {
        calls[at]
            .headers
            .iter()
            .find(|(name, _)| name == "Idempotency-Key")
            .expect("an id")
            .1
            .clone()
    };
    assert!((1..4).all(|at| id(at) == id(0)));
}

#[tokio::test]
async fn a_collected_result_is_no_longer_listed_as_failed() {
    let desk = TestDesk::open().await;
    desk.receiver
        .answers
        .lock()
        .unwrap()
        .extend([Err(infra::http::HttpError::Unknown("timeout".into()))]);
    let sn = withdrawn(&desk).await;
    desk.settle().await;
    assert_eq!(
        desk.must("callback_failed_ticket", json!({})).await,
        json!([sn])
    );
    let results = desk
        .must("ticket_approval_result", json!({ "sn": [sn, "NO2019"] }))
        .await;
    assert_eq!(
        results.as_array().expect("results").len(),
        1,
        "unknown numbers are left out"
    );
    assert_eq!(
        desk.must("callback_failed_ticket", json!({})).await,
        json!([])
    );
}

/// A reaction is a function that requests work after an event, such as a callback. The card (the stored
/// summary) of a ticket contains the number of the last event that the reactions have processed. Reactions skip
/// all events up to this number.
///
/// The test rebuilds the cards before the reactions process a new event. The rebuild must not increase the
/// number, because the callback of the new event would then be lost.
#[tokio::test]
async fn a_rebuild_ahead_of_the_follower_loses_no_callback() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", with_callback()).await["sn"].clone();
    desk.settle().await;
    desk.stop_following();
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
    )
    .await;
    for view in ["ticket", "callback", "service", "role", "desk_board"] {
        functions::cli::audit::rebuild_view(&desk.app.ledger, &*desk.app.views, view)
            .await
            .unwrap();
    }
    let births = Births::load(&desk.app.ledger, REGISTRY).await.unwrap();
    let mut position = 0;
    while position < desk.head().await {
        position = functions::host::local::follow_page(&desk.app, &births, position)
            .await
            .unwrap();
    }
    assert_eq!(
        desk.app.queue.waiting("callback").await.unwrap(),
        1,
        "the reaction queued the callback"
    );
}
