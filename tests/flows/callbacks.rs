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
async fn a_token_stays_valid_after_one_rotation_of_the_key() {
    let desk = TestDesk::open().await;
    withdrawn(&desk).await;
    desk.settle().await;
    let token = async || {
        let call = desk.receiver.calls.lock().unwrap().remove(0);
        serde_json::from_slice::<Value>(&call.body).expect("JSON")["token"].clone()
    };
    let verify = async |token: &Value| {
        desk.must("token/verify", json!({ "token": token })).await["is_passed"].clone()
    };
    let rotate = async || {
        let meta = events::Meta::system("test", "test");
        desk.app.rotate_token_key(meta).await.expect("a new key")
    };
    let first = token().await;
    assert_eq!(rotate().await, 2);
    assert_eq!(verify(&first).await, true);
    withdrawn(&desk).await;
    desk.settle().await;
    let second = token().await;
    assert_eq!(verify(&second).await, true);
    assert_eq!(rotate().await, 3);
    assert_eq!(
        (verify(&first).await, verify(&second).await),
        (false.into(), true.into())
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

/// The attempts of a callback are a list with the reason of each failure, and a callback that failed or succeeded is
/// sent again on request (cases/first-use.md, section 3).
#[tokio::test]
async fn a_callback_shows_its_attempts_and_is_sent_again_on_request() {
    let desk = TestDesk::open().await;
    desk.receiver.answers.lock().unwrap().extend([
        Err(infra::http::HttpError::NotSent("connection refused".into())),
        Ok(HttpResponse::of(502, b"")),
    ]);
    let sn = withdrawn(&desk).await;
    let sn = sn.as_str().expect("a number");
    desk.settle().await;
    let failing = async || {
        let path = "callbacks?state=failing";
        let (status, page) = desk.v1("GET", path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{page}");
        page["count"].as_u64().expect("a count")
    };
    assert_eq!(failing().await, 1);
    let path = format!("callbacks?ticket={sn}");
    let (status, page) = desk.v1("GET", &path, "lisi", Value::Null).await;
    assert_eq!((status, &page["count"]), (200, &json!(1)), "{page}");
    let id = page["callbacks"][0]["id"].as_str().expect("an id");
    assert_eq!(page["callbacks"][0]["host"], "apps.example.com");
    assert!(
        !page.to_string().contains("/callback/"),
        "the address of the receiver is not shown: {page}"
    );

    let of = |id: &str| format!("callbacks/{id}");
    let detail = async || desk.v1("GET", &of(id), "lisi", Value::Null).await.1;
    let first = detail().await;
    assert_eq!(first["state"], "open");
    assert_eq!(first["log"].as_array().map(Vec::len), Some(1), "{first}");
    assert_eq!(first["log"][0]["next"], first["next_attempt"]);

    desk.clock.advance(1000);
    desk.settle().await;
    let second = detail().await;
    assert_eq!(second["log"][1]["status"], 502);
    assert_eq!(second["log"][1]["reason"], "response status 502");

    let resend = format!("callbacks/{id}/resend");
    for (user, expected) in [("lisi", 403), ("sunqi", 403), ("admin", 200)] {
        let (status, answer) = desk.v1("POST", &resend, user, json!({})).await;
        assert_eq!(status, expected, "{user}: {answer}");
    }
    desk.settle().await;
    let third = detail().await;
    assert_eq!(third["state"], "succeeded", "{third}");
    assert_eq!(third["log"].as_array().map(Vec::len), Some(3), "{third}");
    assert_eq!(third["log"][2]["succeeded"], true);
    assert_eq!(failing().await, 0);

    let (status, again) = desk.v1("POST", &resend, "admin", json!({})).await;
    assert_eq!((status, &again["state"]), (200, &json!("open")), "{again}");
    desk.settle().await;
    assert_eq!(detail().await["attempts"], 4);
    assert_eq!(desk.receiver.calls.lock().unwrap().len(), 4);
}

/// Only a superuser reads the callbacks of all tickets, and a stranger reads none. The receiving app reads its own
/// callbacks without a user.
#[tokio::test]
async fn callbacks_are_shown_only_to_readers_of_the_ticket_and_to_the_receiver() {
    let desk = TestDesk::open().await;
    desk.receiver
        .answers
        .lock()
        .unwrap()
        .extend([Err(infra::http::HttpError::Unknown("timeout".into()))]);
    let sn = withdrawn(&desk).await;
    let sn = sn.as_str().expect("a number");
    desk.settle().await;
    let (_, page) = desk.v1("GET", "callbacks", "admin", Value::Null).await;
    let one = &page["callbacks"][0];
    let (id, app) = (one["id"].as_str(), one["app"].as_str());
    let (id, app) = (id.expect("an id"), app.expect("an app"));
    let (ticket, own) = (
        format!("callbacks?ticket={sn}"),
        format!("callbacks?state=failing&app={app}"),
    );
    let (detail, resend) = (format!("callbacks/{id}"), format!("callbacks/{id}/resend"));
    for (method, path, user, expected) in [
        ("GET", "callbacks", "lisi", 403),
        ("GET", "callbacks?state=failing", "lisi", 403),
        ("GET", own.as_str(), "lisi", 403),
        ("GET", "callbacks?state=failing&app=another", "", 400),
        ("GET", own.as_str(), "", 200),
        ("GET", ticket.as_str(), "sunqi", 403),
        ("GET", detail.as_str(), "sunqi", 403),
        ("GET", detail.as_str(), "", 200),
        ("POST", resend.as_str(), "sunqi", 403),
        ("POST", resend.as_str(), "", 200),
        (
            "GET",
            "callbacks/ffffffffffffffffffffffffffffffff",
            "admin",
            404,
        ),
        ("GET", "callbacks?ticket=x&state=failing", "admin", 400),
        ("GET", "callbacks?app=x", "admin", 400),
    ] {
        let body = if method == "POST" {
            json!({})
        } else {
            Value::Null
        };
        let (status, answer) = desk.v1(method, path, user, body).await;
        assert_eq!(status, expected, "{method} {path} as {user:?}: {answer}");
    }
}
