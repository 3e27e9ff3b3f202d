//! These tests send the same command several times or concurrently. The desk must create only one ticket or
//! one decision.

use std::collections::BTreeSet;

use domain::idempotency_key;
use events::Meta;
use events::idempotency_key::Reserved;
use infra::CommandEnvelope;
use infra::commit::hex;
use infra::ledger::{NoContext, command_id};
use serde_json::json;
use tests::{TRUSTED, approval_request};

use crate::TestDesk;

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_with_one_key_create_one_ticket() {
    let desk = std::sync::Arc::new(TestDesk::open().await);
    let mut creates = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let desk = desk.clone();
        creates.spawn(async move {
            desk.call_with(
                "create_ticket",
                approval_request(),
                &[("Idempotency-Key", "k1")],
            )
            .await["data"]["sn"]
                .clone()
        });
    }
    let sns: BTreeSet<String> = creates
        .join_all()
        .await
        .into_iter()
        .map(|sn| sn.to_string())
        .collect();
    assert_eq!(sns.len(), 1, "{sns:?}");
    assert_eq!(desk.must("get_tickets", json!({})).await["count"], 1);

    let mut other = approval_request();
    other["fields"][0]["value"] = "另一个标题".into();
    let answer = desk
        .call_with("create_ticket", other, &[("Idempotency-Key", "k1")])
        .await;
    assert_eq!(
        (&answer["result"], &answer["code"]),
        (&json!(false), &json!(3_900_005))
    );
    let another = desk
        .call_with(
            "create_ticket",
            approval_request(),
            &[("Idempotency-Key", "k2")],
        )
        .await;
    assert_eq!(another["result"], true);
    assert_eq!(desk.must("get_tickets", json!({})).await["count"], 2);
}

/// A process assigns a ticket number to an idempotency key and then crashes. The test simulates this
/// crash. A repeated request with the same key must open the ticket with the assigned number.
#[tokio::test]
async fn a_retry_completes_an_interrupted_creation() {
    let desk = TestDesk::open().await;
    let first = desk
        .call_with(
            "create_ticket",
            approval_request(),
            &[("Idempotency-Key", "whole")],
        )
        .await["data"]["sn"]
        .clone();
    let request = {
        let stream = format!(
            "idempotency_key-{}",
            hex(&command_id(&["idempotency_key", TRUSTED.0, "whole"]))
        );
        desk.app
            .ledger
            .load::<idempotency_key::IdempotencyKey>(&stream)
            .await
            .unwrap()
            .aggregate
            .0
            .reserved
            .expect("reserved")
            .request
    };
    let stream = format!(
        "idempotency_key-{}",
        hex(&command_id(&["idempotency_key", TRUSTED.0, "half"]))
    );
    let reserved = Reserved {
        sn: "REQ20261122000777".into(),
        id: 120_261_122_000_777,
        request,
    };
    let command_envelope = CommandEnvelope {
        stream,
        command_id: [7; 16],
        meta: Meta::system("t", "t"),
    };
    desk.app
        .ledger
        .execute::<idempotency_key::IdempotencyKey>(
            &command_envelope,
            &idempotency_key::Command(reserved),
            &NoContext,
        )
        .await
        .expect("half a create");
    for _ in 0..3 {
        let answer = desk
            .call_with(
                "create_ticket",
                approval_request(),
                &[("Idempotency-Key", "half")],
            )
            .await;
        assert_eq!(answer["data"]["sn"], "REQ20261122000777", "{answer}");
    }
    assert_ne!(first, "REQ20261122000777");
    assert_eq!(desk.must("get_tickets", json!({})).await["count"], 2);
}

#[tokio::test]
async fn a_repeated_operation_with_a_key_is_stored_once() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let suspend =
        json!({ "sn": sn, "operator": "admin", "action_type": "SUSPEND", "action_message": "等" });
    for _ in 0..3 {
        assert_eq!(
            desk.call_with(
                "operate_ticket",
                suspend.clone(),
                &[("Idempotency-Key", "s1")]
            )
            .await["result"],
            true
        );
    }
    assert_eq!(
        desk.story(sn.as_str().unwrap())
            .await
            .iter()
            .filter(|kind| **kind == "ticket.suspended")
            .count(),
        1
    );
    assert_eq!(
        desk.refused("operate_ticket", suspend).await,
        (3_900_005, "0:抱歉，该单据不在流程中，无法操作".into())
    );
}

#[tokio::test]
async fn a_key_returns_its_ticket_even_if_the_service_is_disabled() {
    let desk = TestDesk::open().await;
    let service = crate::errors::define(&desk, |_| {}, true).await;
    let mut body = approval_request();
    body["service_id"] = service.into();
    let first = desk
        .call_with("create_ticket", body.clone(), &[("Idempotency-Key", "k")])
        .await;
    assert_eq!(first["result"], true, "{first}");
    crate::errors::define(&desk, |service| service.is_enabled = false, true).await;
    let again = desk
        .call_with("create_ticket", body.clone(), &[("Idempotency-Key", "k")])
        .await;
    assert_eq!(again["data"], first["data"]);
    assert_eq!(
        desk.call_with("create_ticket", body, &[("Idempotency-Key", "l")])
            .await["message"],
        "服务:服务未启用，请联系管理员！"
    );
}

#[tokio::test]
async fn one_key_for_two_operations_makes_two_commands() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let path = |operation: &str| format!("tickets/{}/{operation}", sn.as_str().unwrap());
    let key = [("idempotency-key", "k")];
    for (operation, status) in [
        ("suspend", "SUSPENDED"),
        ("suspend", "SUSPENDED"),
        ("terminate", "TERMINATED"),
    ] {
        let (code, answer) = desk
            .v1_with(
                "POST",
                &path(operation),
                "admin",
                json!({ "message": "x" }),
                &key,
            )
            .await;
        assert_eq!(
            (code, &answer["status"]),
            (200, &json!(status)),
            "{operation}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_repeated_command_is_recognized_before_any_other_check() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let submit = json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": tests::form(&[("FZR_YIJIAN", "true")]) });
    for _ in 0..3 {
        let answer = desk
            .call_with("operate_node", submit.clone(), &[("Idempotency-Key", "v1")])
            .await;
        assert_eq!(
            (&answer["result"], &answer["data"]),
            (&json!(true), &json!([])),
            "{answer}"
        );
    }
    assert_eq!(
        desk.refused("operate_node", submit).await.1,
        "0:抱歉，当前节点：3 已经结束",
        "a command without a key is decided again"
    );
    let id: i64 = desk.must("get_ticket_info", json!({ "sn": sn })).await["id"]
        .as_i64()
        .unwrap();
    let pressed = json!({ "context": { "ticket_id": id, "state_id": 4 }, "approver": "admin", "status": "true" });
    let response = desk
        .call_with(
            "proceed_fast_approval",
            pressed.clone(),
            &[("Idempotency-Key", "v2")],
        )
        .await;
    assert_eq!(response["result"], true, "{response}");
    assert_eq!(
        desk.call_with(
            "proceed_fast_approval",
            pressed,
            &[("Idempotency-Key", "v2")]
        )
        .await["message"],
        response["message"]
    );
    // Over `/v1`, a client may repeat a command that was executed. The repeated command succeeds even if
    // the version in `If-Match` is older than the current version of the ticket.
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let path = format!("tickets/{}/decide", sn.as_str().unwrap());
    let version = desk
        .app
        .ledger
        .store
        .next(&format!("ticket-{}", sn.as_str().unwrap()))
        .await
        .unwrap()
        - 1;
    let headers = [
        ("idempotency-key", "v3"),
        ("if-match", &*format!("\"{version}\"")),
    ];
    for _ in 0..2 {
        let (status, answer) = desk
            .v1_with(
                "POST",
                &path,
                "zhangsan",
                json!({ "node": 3, "pass": true }),
                &headers,
            )
            .await;
        assert_eq!(status, 200, "{answer}");
    }
    let stale = [("idempotency-key", "v4"), headers[1]];
    assert_eq!(
        desk.v1_with(
            "POST",
            &path,
            "zhangsan",
            json!({ "node": 3, "pass": true }),
            &stale
        )
        .await
        .0,
        412
    );
    assert_eq!(
        desk.story(sn.as_str().unwrap())
            .await
            .iter()
            .filter(|kind| **kind == "ticket.vote_cast")
            .count(),
        1
    );
}
