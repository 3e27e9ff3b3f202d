//! These tests check callbacks about applications (requests for approval in an external ITSM): floods of them, forged ones,
//! stale and replayed tokens, and the networks from which they come.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::http::Request;
use functions::app::itsm::integrations::Definitions;
use functions::app::request_scope::Peer;
use serde_json::{Value, json};

use crate::application_faults::{counts, integration, minutes, problem, read, statuses};
use crate::applications::{Applied, Fault, define, message};
use crate::applying::{causes, desk, values};

const MINUTE_MS: i64 = 60_000;

/// Sends a callback, and does not wait for its processing. Returns the status of the response, and the time in its header
/// `Retry-After`.
async fn send(desk: &Applied, path: &str, body: &Value, address: Option<&str>) -> (u16, u32) {
    let mut request = Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into())
        .expect("a request");
    if let Some(address) = address {
        let address: IpAddr = address.parse().expect("an address");
        request.extensions_mut().insert(Peer {
            address,
            is_known: Arc::new(AtomicBool::new(false)),
        });
    }
    let response = desk.desk.answer(request).await;
    let pause = response.headers().get("retry-after");
    let pause = pause.map(|pause| pause.to_str().expect("a text").parse().expect("a number"));
    (response.status().as_u16(), pause.unwrap_or_default())
}

#[tokio::test]
async fn a_flood_of_forged_callbacks_is_bounded() {
    let desk = desk().await;
    desk.desk.app.limits.apply();
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    let path = desk.external.callback_path();
    let head = desk.desk.head().await;
    let mut limited = 0;
    for number in 0..300 {
        let mut body = message("REQ001", &format!("forged-{number}"));
        body["title"] = "x".repeat(60_000).into();
        let (status, pause) = send(&desk, &path, &body, None).await;
        match status {
            200 => {}
            429 => {
                assert!(
                    pause > 0,
                    "the sender knows when it can repeat the callback"
                );
                limited += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!((290..300).contains(&limited), "{limited}");
    desk.desk.settle().await;
    // For each stored callback: the callback, the hint, and the result of the check of its token.
    let added = desk.desk.head().await - head;
    assert!(added <= 3 * (300 - limited), "{added} commits");
    let calls = desk.external.calls();
    let checks = calls.iter().filter(|call| *call == "token/verify").count();
    assert!((1..10).contains(&checks), "{checks} checks of tokens");
    // Another application is not limited, and the decision is found.
    let (_, other) = desk.apply("lisi", "collect", "c-2", values()).await;
    desk.decide("REQ002", "true").await;
    assert_eq!(read(&desk, &other).await["status"], "granted");
    desk.external.decide("REQ001", "FINISHED", "true");
    minutes(&desk, 2).await;
    assert_eq!(read(&desk, &opened).await["status"], "granted");
}

#[tokio::test]
async fn a_forged_callback_replaces_no_genuine_one() {
    let desk = desk().await;
    // The number of the ticket is not known yet, so the callbacks wait for their check.
    desk.external.fail(&[Fault::LostResponse]);
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    let path = desk.external.callback_path();
    desk.external.decide("REQ001", "FINISHED", "true");
    for token in ["forged-1", "issued", "forged-2", "forged-3"] {
        let status = desk.callback(&path, &message("REQ001", token)).await;
        assert_eq!(status, 200, "{token}");
    }
    // Further callbacks are not stored while these wait.
    let head = desk.desk.head().await;
    let (status, pause) = send(&desk, &path, &message("REQ001", "forged-4"), None).await;
    assert_eq!((status, pause > 0), (429, true));
    assert_eq!(desk.desk.head().await, head);
    desk.external.calls();
    desk.after(MINUTE_MS / 2).await;
    assert_eq!(
        desk.external.calls(),
        [
            "get_tickets",
            "get_tickets",
            "token/verify",
            "token/verify",
            "get_ticket_info"
        ]
    );
    assert_eq!(read(&desk, &opened).await["status"], "granted");
    assert_eq!(causes(&desk).await, counts(&[("Callback", 1)]));
}

#[tokio::test]
async fn a_callback_after_the_end_is_answered_and_not_stored() {
    let desk = desk().await;
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    desk.decide("REQ001", "true").await;
    assert_eq!(read(&desk, &opened).await["status"], "granted");
    let (path, head) = (desk.external.callback_path(), desk.desk.head().await);
    for number in 0..20 {
        let body = message("REQ001", &format!("late-{number}"));
        assert_eq!(desk.callback(&path, &body).await, 200);
    }
    assert_eq!(desk.desk.head().await, head);
}

#[tokio::test]
async fn a_repeated_callback_is_checked_again_after_an_unclear_check() {
    let desk = desk().await;
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    let path = desk.external.callback_path();
    desk.external.decide("REQ001", "FINISHED", "true");
    desk.external.calls();
    desk.external.fail(&[Fault::Html]);
    let body = message("REQ001", "issued");
    desk.callback(&path, &body).await;
    assert_eq!(desk.external.calls(), ["token/verify"]);
    let shown = read(&desk, &opened).await;
    assert!(problem(&shown).contains("was not checked"), "{shown}");
    desk.callback(&path, &body).await;
    assert_eq!(desk.external.calls(), ["token/verify", "get_ticket_info"]);
    assert_eq!(read(&desk, &opened).await["status"], "granted");
    assert_eq!(causes(&desk).await, counts(&[("Callback", 1)]));
}

#[tokio::test]
async fn a_stale_or_a_replayed_token_decides_nothing() {
    let desk = desk().await;
    let (_, first) = desk.apply("lisi", "collect", "c-1", values()).await;
    let path = desk.external.callback_path();
    let (_, second) = desk.apply("lisi", "collect", "c-2", values()).await;
    desk.external.decide("REQ002", "FINISHED", "true");
    // The token of the other ticket is valid, but the own ticket is not decided.
    desk.external.calls();
    desk.callback(&path, &message("REQ002", "issued")).await;
    assert_eq!(desk.external.calls(), ["token/verify", "get_ticket_info"]);
    assert_eq!(read(&desk, &first).await["status"], "applying");
    assert_eq!(read(&desk, &second).await["status"], "applying");
    // The external ITSM does not accept an old token any more.
    desk.external.decide("REQ001", "FINISHED", "true");
    let stale = message("REQ001", "expired");
    for _ in 0..2 {
        desk.callback(&path, &stale).await;
    }
    assert_eq!(desk.external.calls(), ["token/verify"], "checked once");
    let shown = read(&desk, &first).await;
    assert_eq!(
        (&shown["status"], &shown["problem_code"]),
        (&json!("applying"), &json!(504)),
        "{shown}"
    );
    assert!(
        problem(&shown).starts_with("CollectItsmTokenIllega: "),
        "{shown}"
    );
    let (_, chinese) = desk.shown(&first["id"], "lisi", "zh").await;
    assert!(
        problem(&chinese).starts_with("CollectItsmTokenIllega：回调的 token 验证失败"),
        "{chinese}"
    );
    minutes(&desk, 3).await;
    assert_eq!(statuses(&desk).await, counts(&[("granted", 2)]));
}

#[tokio::test]
async fn callbacks_come_only_from_the_networks_of_the_integration() {
    let desk = desk().await;
    let networks = r#"callback_networks = ["10.1.0.0/16", "203.0.113.7"]"#;
    define(
        &desk.desk,
        &integration("http://itsm.example.com", networks),
    )
    .await;
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    let (path, head) = (desk.external.callback_path(), desk.desk.head().await);
    desk.external.decide("REQ001", "FINISHED", "true");
    let body = message("REQ001", "issued");
    for outside in [Some("10.2.0.1"), Some("203.0.113.8"), None] {
        let (status, _) = send(&desk, &path, &body, outside).await;
        assert_eq!(status, 403, "{outside:?}");
    }
    desk.desk.settle().await;
    assert_eq!(desk.desk.head().await, head, "a stranger adds no commit");
    assert_eq!(send(&desk, &path, &body, Some("10.1.2.3")).await.0, 200);
    desk.desk.settle().await;
    assert_eq!(read(&desk, &opened).await["status"], "granted");
    for wrong in ["itsm.example.com", "10.0.0.0/40", "", "10.0.0.1,10.0.0.2"] {
        let text = integration("http://a", &format!("callback_networks = [{wrong:?}]"));
        let read = Definitions::read(&text, &|_| Err("no mapping".into())).map(drop);
        let reason = read.expect_err("a wrong network");
        assert!(reason.contains("`callback_networks`"), "{wrong}: {reason}");
    }
}
