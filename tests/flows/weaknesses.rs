//! BlueKing ITSM has 28 weaknesses, which reference/bk-itsm-weaknesses.md describes. For each weakness, one
//! test shows that the desk does not have this weakness. If a weakness concerns a planned function, the test
//! covers only the existing part of this function.

use base64::Engine as _;
use serde_json::{Value, json};
use tests::{approval_request, change, form, incident, of_lisi_alone};

use crate::TestDesk;
use crate::workflow_builder::{line, line_if, manual, open, service, step};

async fn ticket(desk: &TestDesk, body: Value) -> Value {
    desk.must("create_ticket", body).await["sn"].clone()
}

fn submit(sn: &Value, who: &str, node: i64, fields: &[(&str, &str)]) -> Value {
    json!({ "sn": sn, "operator": who, "state_id": node, "action_type": "TRANSITION", "fields": form(fields) })
}

async fn with_callback(desk: &TestDesk) -> Value {
    let mut body = approval_request();
    body["meta"] = json!({ "callback_url": "https://app.example.com/cb" });
    let sn = ticket(desk, body).await;
    desk.must(
        "operate_node",
        submit(
            &sn,
            "zhangsan",
            3,
            &[("FZR_YIJIAN", "false"), ("FZR_LIYOU", "x")],
        ),
    )
    .await;
    desk.settle().await;
    sn
}

fn callback_bodies(desk: &TestDesk) -> Vec<Value> {
    desk.receiver
        .calls
        .lock()
        .expect("calls")
        .iter()
        .map(|call| serde_json::from_slice(&call.body).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn w01_a_callback_token_is_for_one_ticket_expires_and_has_no_secret() {
    let desk = TestDesk::open().await;
    let (one, other) = (with_callback(&desk).await, with_callback(&desk).await);
    let tokens: Vec<String> = callback_bodies(&desk)
        .iter()
        .map(|body| body["token"].as_str().expect("a token").to_owned())
        .collect();
    assert!(
        one != other && tokens[0] != tokens[1],
        "each ticket has its own token"
    );
    let plain = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(&tokens[0])
        .expect("text");
    assert!(
        !String::from_utf8_lossy(&plain).contains(tests::TRUSTED.1),
        "the token does not contain the secret of the application"
    );
    let passed = async |token: &str| {
        desk.must("token/verify", json!({ "token": token })).await["is_passed"].clone()
    };
    assert_eq!(
        (passed(&tokens[0]).await, passed("made-up").await),
        (json!(true), json!(false))
    );
    let by_another = of_lisi_alone(json!({ "token": tokens[0] }));
    assert_eq!(
        desk.must("token/verify", by_another).await["is_passed"],
        false,
        "a token is valid only for the application that received the token"
    );
    desk.clock.advance(8 * 86_400_000);
    assert_eq!(passed(&tokens[0]).await, false, "a token expires");
}

#[tokio::test]
async fn w02_a_decision_without_credentials_is_rejected() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    let body = json!({ "process_inst_id": sn, "activity": 3, "handler": "zhangsan", "submit_action": "true" });
    for path in [
        "/openapi/ticket/proceed_approval/",
        "/v2/itsm/proceed_approval/",
        "/api/c/compapi/v2/itsm/approve/",
        "/v1/decisions",
    ] {
        let request = axum::http::Request::post(path)
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .expect("a request");
        assert!(
            matches!(desk.send(request).await.0.as_u16(), 401 | 403),
            "{path}"
        );
    }
    assert_eq!(
        step(&desk, &sn).await,
        json!([["负责人审批", "RUNNING", "TRANSITION"]])
    );
}

#[tokio::test]
async fn w03_callbacks_are_retried_and_each_attempt_is_kept() {
    let desk = TestDesk::open().await;
    desk.receiver
        .answers
        .lock()
        .expect("answers")
        .push_back(Err(infra::http::HttpError::Unknown("timeout".into())));
    let sn = with_callback(&desk).await;
    assert_eq!(
        desk.must("callback_failed_ticket", json!({})).await,
        json!([sn])
    );
    assert_eq!(
        desk.must("callback_failed_ticket", of_lisi_alone(json!({})))
            .await,
        json!([]),
        "other applications do not see the ticket"
    );
    desk.must(
        "ticket_approval_result",
        of_lisi_alone(json!({ "sn": [sn] })),
    )
    .await;
    desk.settle().await;
    assert_eq!(
        desk.must("callback_failed_ticket", json!({})).await,
        json!([sn]),
        "a request of another application does not clear the entry"
    );
    desk.clock.advance(1_000);
    desk.settle().await;
    assert_eq!(callback_bodies(&desk).len(), 2);
    assert_eq!(
        desk.must("callback_failed_ticket", json!({})).await,
        json!([])
    );
    let calls = desk.receiver.calls.lock().expect("calls").clone();
    let key = |at: usize| {
        calls[at]
            .headers
            .iter()
            .find(|(name, _)| name == "Idempotency-Key")
            .cloned()
    };
    assert!(
        key(0).is_some() && key(0) == key(1),
        "the receiver can recognize a repeated call"
    );
}

#[tokio::test]
async fn w04_a_created_ticket_is_readable_at_once_with_form_steps_and_logs() {
    let desk = TestDesk::open().await;
    desk.stop_following();
    let sn = ticket(&desk, approval_request()).await;
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert!(
        !info["current_steps"].as_array().unwrap().is_empty()
            && info["fields"].to_string().contains("按清单开通")
    );
    assert_eq!(
        desk.must("get_ticket_logs", json!({ "sn": sn })).await["logs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn w05_the_state_of_a_ticket_is_the_fold_of_its_events() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, change()).await;
    desk.must(
        "operate_node",
        submit(&sn, "wushi", 3, &[("HQ_YIJIAN", "true")]),
    )
    .await;
    desk.followed().await;
    let stream = format!("ticket-{}", sn.as_str().unwrap());
    let history = functions::app::tickets::history(&desk.app.ledger, &stream)
        .await
        .unwrap();
    let folded: domain::ticket::Ticket =
        domain::decider::fold(history.iter().map(|envelope| &envelope.event));
    // The variable `another` is a second ledger object that uses the store and the keys of the desk. This
    // ledger must load the state that the test computed from the events of the ticket.
    let rng = std::sync::Arc::new(infra::clock::SeededRng::new(2));
    let another = infra::Ledger::new(
        desk.app.ledger.store.clone(),
        desk.app.ledger.keys.clone(),
        desk.clock.clone(),
        rng,
    );
    assert_eq!(
        folded,
        another
            .load::<domain::ticket::Ticket>(&stream)
            .await
            .unwrap()
            .aggregate
            .0
    );
    let followed = desk
        .app
        .views
        .get("ticket", &stream)
        .await
        .unwrap()
        .expect("a card");
    let followed: domain::views::ticket_card::TicketCard =
        functions::app::cards::read_card(&desk.app.ledger, &stream, &followed)
            .await
            .unwrap();
    assert_eq!(folded, followed.ticket);
}

#[tokio::test]
async fn w06_sending_back_opens_a_round_and_keeps_the_earlier_one() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, incident()).await;
    desk.must(
        "operate_node",
        json!({ "sn": sn, "operator": "sunba", "state_id": 3, "action_type": "CLAIM" }),
    )
    .await;
    desk.must(
        "operate_node",
        submit(
            &sn,
            "sunba",
            3,
            &[("YIXIANJIEGUO", "SHENGJI"), ("YIXIANSHUOMING", "x")],
        ),
    )
    .await;
    let distribute = json!({ "sn": sn, "operator": "zhangsan", "state_id": 4, "action_type": "DISTRIBUTE", "processors_type": "PERSON", "processors": "wangwu" });
    desk.must("operate_node", distribute).await;
    desk.must(
        "operate_node",
        submit(&sn, "wangwu", 4, &[("ERXIANSHUOMING", "第一次")]),
    )
    .await;
    desk.must(
        "operate_node",
        submit(&sn, "lisi", 5, &[("QUERENJIEGUO", "WEIHUIFU")]),
    )
    .await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["二线处理", "DISTRIBUTING", "DISTRIBUTE"]]),
        "the node needs a new assignment, as in the workflow"
    );
    let history = functions::app::tickets::history(
        &desk.app.ledger,
        &format!("ticket-{}", sn.as_str().unwrap()),
    )
    .await
    .unwrap();
    assert!(
        serde_json::to_string(
            &history
                .iter()
                .map(|envelope| &envelope.event)
                .collect::<Vec<_>>()
        )
        .unwrap()
        .contains("第一次"),
        "the first round stays"
    );
}

#[tokio::test]
async fn w07_a_second_suspension_is_rejected_and_resuming_works() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    let operate = |action: &str| json!({ "sn": sn, "operator": "admin", "action_type": action, "action_message": "x" });
    desk.must("operate_ticket", operate("SUSPEND")).await;
    assert_eq!(
        desk.refused("operate_ticket", operate("SUSPEND")).await.1,
        "0:抱歉，该单据不在流程中，无法操作"
    );
    desk.must("operate_ticket", operate("UNSUSPEND")).await;
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "RUNNING"
    );
}

#[tokio::test]
async fn w08_a_suspended_ticket_rejects_node_operations_over_both_apis() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "admin", "action_type": "SUSPEND", "action_message": "x" }),
    )
    .await;
    let suspended_text = "0:抱歉，单据已挂起，无法操作";
    assert_eq!(
        desk.refused(
            "operate_node",
            submit(&sn, "zhangsan", 3, &[("FZR_YIJIAN", "true")])
        )
        .await
        .1,
        suspended_text
    );
    assert_eq!(
        desk.refused(
            "approve",
            json!({ "sn": sn, "state_id": 3, "approver": "zhangsan", "action": "true" })
        )
        .await
        .1,
        suspended_text
    );
    assert_eq!(
        desk.not_operated(
            &sn,
            "decide",
            "zhangsan",
            json!({ "node": 3, "pass": true })
        )
        .await
        .0,
        409
    );
}

#[tokio::test]
async fn w09_terminating_works_and_the_last_vote_completes_a_countersign() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    desk.must("operate_node", json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TERMINATE", "action_message": "重复" })).await;
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "TERMINATED"
    );
    let sign = json!({ "id": 3, "type": "SIGN", "name": "会签", "processors_type": "PERSON", "processors": "wangwu,zhaoliu" });
    let opinion = json!([{ "id": 8, "key": "opinion", "name": "意见", "type": "SELECT", "state_id": 3, "validate_type": "REQUIRE",
        "choice": [{ "key": "true", "name": "同意" }, { "key": "false", "name": "不同意" }] }]);
    let service = service(
        &desk,
        "会签",
        json!([sign, manual(4, "归档", "admin")]),
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        opinion,
    )
    .await;
    let sn = open(&desk, &service).await;
    desk.must(
        "operate_node",
        submit(&sn, "wangwu", 3, &[("opinion", "false")]),
    )
    .await;
    desk.must(
        "operate_node",
        submit(&sn, "zhaoliu", 3, &[("opinion", "true")]),
    )
    .await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["归档", "RUNNING", "TRANSITION"]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w10_one_of_concurrent_decisions_counts_and_voters_do_not_block() {
    let desk = std::sync::Arc::new(TestDesk::open().await);
    let sn = ticket(&desk, approval_request()).await;
    // Two approvers decide at the same time as the creator withdraws the ticket. Each of these requests
    // must succeed or be rejected with a reason.
    let mut at_once = tokio::task::JoinSet::new();
    for (operation, body) in [
        (
            "approve",
            json!({ "sn": sn, "state_id": 3, "approver": "zhangsan", "action": "true" }),
        ),
        (
            "operate_node",
            submit(&sn, "wangwu", 3, &[("FZR_YIJIAN", "true")]),
        ),
        (
            "operate_ticket",
            json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
        ),
    ] {
        let desk = desk.clone();
        at_once.spawn(async move { desk.call(operation, body).await });
    }
    let answers = at_once.join_all().await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| answer["result"] == true)
            .count(),
        1,
        "{answers:?}"
    );
    let story = desk.story(sn.as_str().unwrap()).await;
    assert_eq!(
        story
            .iter()
            .filter(|kind| matches!(**kind, "ticket.vote_cast" | "ticket.withdrawn"))
            .count(),
        1,
        "{story:?}"
    );
    // Three people vote on the same node at the same time, and all votes are accepted.
    let sn = ticket(&desk, change()).await;
    let mut at_once = tokio::task::JoinSet::new();
    for who in ["zhangsan", "zhoujiu", "wushi"] {
        let (desk, sn) = (desk.clone(), sn.clone());
        at_once.spawn(async move {
            desk.must(
                "approve",
                json!({ "sn": sn, "state_id": 3, "approver": who, "action": "true" }),
            )
            .await
        });
    }
    at_once.join_all().await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["变更实施", "DISTRIBUTING", "DISTRIBUTE"]])
    );
}

#[tokio::test]
async fn w11_conditions_compare_user_input_by_type_and_never_evaluate_it() {
    let desk = TestDesk::open().await;
    let nodes = json!([manual(3, "甲", "wangwu"), manual(4, "乙", "wangwu")]);
    let typed = |key: &str, kind: &str, sign: &str, value: &str| {
        let mut line = line_if(2, 3, key, value);
        let clause = &mut line["condition"]["expressions"][0]["expressions"][0];
        (clause["type"], clause["condition"]) = (kind.into(), sign.into());
        line
    };
    let day = json!([{ "id": 4, "key": "day", "name": "日期", "type": "DATE", "validate_type": "OPTION", "state_id": 2 },
        { "id": 5, "key": "parts", "name": "部分", "type": "MULTISELECT", "validate_type": "OPTION", "state_id": 2,
          "choice": [{ "key": "a", "name": "A" }, { "key": "b", "name": "B" }] }]);
    for (number, (conditional_line, cases)) in [
        (
            line_if(2, 3, "host", "y"),
            vec![
                ("host", "y", "甲"),
                ("host", "y' or '1' == '1", "乙"),
                ("host", "it's\n\"fine\"", "乙"),
                ("host", "${host}", "乙"),
            ],
        ),
        (
            typed("count", "INT", ">", "9"),
            vec![
                ("count", "10", "甲"),
                ("count", "9", "乙"),
                ("count", "-10", "乙"),
                ("host", "x", "乙"),
            ],
        ),
        (
            typed("day", "DATE", ">=", "2026/2/1"),
            vec![
                ("day", "2026-11-22", "甲"),
                ("day", "2026-01-31", "乙"),
                ("host", "x", "乙"),
            ],
        ),
        (
            typed("parts", "MULTISELECT", "issuperset", "a"),
            vec![
                ("parts", "a", "甲"),
                ("parts", "b,a", "甲"),
                ("parts", "b", "乙"),
                ("host", "x", "乙"),
            ],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let lines = json!([
            line(1, 2),
            conditional_line,
            line(2, 4),
            line(3, 9),
            line(4, 9)
        ]);
        let service = service(
            &desk,
            &format!("条件{number}"),
            nodes.clone(),
            lines,
            day.clone(),
        )
        .await;
        for (key, value, name) in cases {
            let sn = ticket(&desk, json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t"), (key, value)]) })).await;
            assert_eq!(step(&desk, &sn).await[0][0], name, "{key} {value}");
        }
    }
}

#[tokio::test]
async fn w12_the_default_transition_is_last_and_an_open_case_is_reported() {
    let desk = TestDesk::open().await;
    // The default transition (the transition without a condition) has a lower id than the transition with a
    // condition. The desk must still check the transition with a condition first.
    let lines = json!([
        line(1, 2),
        line(2, 4),
        line_if(2, 3, "host", "y"),
        line(3, 9),
        line(4, 9)
    ]);
    let nodes = json!([manual(3, "甲", "wangwu"), manual(4, "乙", "wangwu")]);
    let service = service(&desk, "次序", nodes.clone(), lines, json!([])).await;
    let sn = ticket(&desk, json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t"), ("host", "y")]) })).await;
    assert_eq!(step(&desk, &sn).await[0][0], "甲");
    let flow = json!({ "nodes": [{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL" }, nodes[0], { "id": 9, "type": "END" }],
        "edges": [line(1, 2), line_if(2, 3, "title", "y"), line(3, 9)], "fields": [{ "key": "title", "type": "STRING", "state_id": 2 }] });
    let imported = desk
        .must(
            "import_service",
            json!({ "name": "缺口", "key": "request", "catalog_id": 4, "workflow": flow }),
        )
        .await;
    assert!(
        imported["report"]
            .to_string()
            .contains("no transition holds for title != y"),
        "{imported}"
    );
    let sn = ticket(&desk, json!({ "service_id": imported["id"], "creator": "lisi", "fields": form(&[("title", "n")]) })).await;
    assert_eq!(
        desk.story(sn.as_str().unwrap()).await.last(),
        Some(&"ticket.transition_missing"),
        "the ticket waits until a manager selects a transition"
    );
}

#[tokio::test]
async fn w13_the_result_of_an_approval_is_stored_when_it_is_decided() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    desk.must("approve", json!({ "sn": sn, "state_id": 3, "approver": "zhangsan", "action": "false", "remark": "不行" })).await;
    let story = desk.story(sn.as_str().unwrap()).await;
    assert_eq!(story.last(), Some(&"ticket.finished"));
    // The ticket is finished, because its approval was rejected. The test now closes the workflow of the
    // ticket. The stored result of the approval must not change.
    let (status, _) = desk
        .v1("POST", "workflows/11/close", "admin", Value::Null)
        .await;
    assert_eq!(status, 204);
    assert_eq!(
        desk.must("ticket_approval_result", json!({ "sn": [sn] }))
            .await[0]["approve_result"],
        false
    );
}

#[tokio::test]
async fn w14_transitions_can_use_the_pass_rate_of_a_finish_condition() {
    let desk = TestDesk::open().await;
    let mut node = json!({ "id": 3, "type": "APPROVAL", "name": "多签", "processors_type": "PERSON", "processors": "wangwu,zhaoliu,zhangsan", "is_multi": true });
    node["variables"] = json!({ "outputs": [{ "key": "rate", "meta": { "code": "PASS_RATE" } }, { "key": "result", "meta": { "code": "NODE_APPROVE_RESULT" } }] });
    node["finish_condition"] = json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [{ "key": "rate", "type": "INT", "condition": ">=", "value": 60 }] }] });
    let opinion = json!([{ "id": 8, "key": "opinion", "name": "意见", "type": "RADIO", "state_id": 3, "validate_type": "REQUIRE", "meta": { "code": "APPROVE_RESULT" },
        "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] }]);
    let by_rate = json!({ "from": 3, "to": 4, "condition_type": "by_field", "condition": { "type": "and", "expressions": [
        { "type": "and", "expressions": [{ "key": "rate", "type": "INT", "condition": ">=", "value": 60 }] }] } });
    let service = service(
        &desk,
        "多签",
        json!([node, manual(4, "执行", "admin")]),
        json!([line(1, 2), line(2, 3), by_rate, line(3, 9), line(4, 9)]),
        opinion,
    )
    .await;
    let sn = open(&desk, &service).await;
    for (who, pass) in [("wangwu", "false"), ("zhaoliu", "true")] {
        desk.must("operate_node", submit(&sn, who, 3, &[("opinion", pass)]))
            .await;
    }
    assert_eq!(
        step(&desk, &sn).await,
        json!([["多签", "RUNNING", "TRANSITION"]]),
        "33 percent is not enough"
    );
    desk.must(
        "operate_node",
        submit(&sn, "zhangsan", 3, &[("opinion", "true")]),
    )
    .await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["执行", "RUNNING", "TRANSITION"]]),
        "66 percent is enough, despite one rejection"
    );
}

#[tokio::test]
async fn w15_ticket_numbers_are_unique_across_types_and_processes() {
    let desk = TestDesk::open().await;
    let another = functions::app::numbers::Numbers::new(desk.app.ledger.clone());
    let day = jiff::civil::date(2026, 11, 22);
    let problem = json!({ "service_id": 21, "creator": "lisi", "fields": form(&[("title", "内存泄漏"), ("WENTIMIAOSHU", "x")]) });
    let mut seen = std::collections::BTreeSet::new();
    let mut prefixes = std::collections::BTreeMap::<String, usize>::new();
    for number in 0..80 {
        let body = [approval_request(), incident(), change(), problem.clone()][number % 4].clone();
        let sn = ticket(&desk, body).await;
        let sn = sn.as_str().unwrap().to_owned();
        *prefixes.entry(sn[..3].to_owned()).or_default() += 1;
        assert!(seen.insert(sn));
        let kind = events::ticket::ServiceKind::ALL[number % 4];
        let meta = events::Meta::system("t", "t");
        let counter = another.next(kind.prefix(), day, &meta).await.unwrap();
        let (sn, _) = domain::number_sequence::number(kind, 20_261_122, counter);
        assert!(seen.insert(sn.0), "another process issues other numbers");
    }
    assert!(
        prefixes.len() == 4 && prefixes.values().all(|count| *count == 20),
        "{prefixes:?}"
    );
}

#[tokio::test]
async fn w16_the_history_is_chained_and_an_edited_commit_is_found() {
    use infra::store::{Journal as _, Store as _};
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    let logs = desk.must("get_ticket_logs", json!({ "sn": sn })).await;
    assert!(
        logs["logs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|log| log["source"] == "API"),
        "{logs}"
    );
    let verdict = functions::cli::audit::verify_ledger(&desk.app.ledger, &[], &mut |_| {})
        .await
        .unwrap();
    assert!(
        verdict.is_ok() && verdict.commits > 0,
        "{:?}",
        verdict.findings
    );
    // The test copies the ledger and changes one word of one commit in the copy. A verification of the
    // copy must find this change.
    let edited = infra::store::memory::Memory::default();
    let stream = format!("ticket-{}", sn.as_str().unwrap());
    for placed in desk.app.ledger.store.feed(0, 100_000).await.unwrap() {
        let mut commit = placed.commit;
        if commit.stream == stream {
            commit.body = String::from_utf8(commit.body)
                .unwrap()
                .replace("按清单开通", "全部都开通")
                .into_bytes();
        }
        edited.append(commit).await.unwrap();
    }
    assert_eq!(edited.head().await.unwrap().position, desk.head().await);
    let verdict = infra::store::audit::verify(&edited, &[], &mut |_| {})
        .await
        .unwrap();
    assert!(
        !verdict.is_ok() && verdict.findings[0].contains(&stream),
        "{:?}",
        verdict.findings
    );
}

#[tokio::test]
async fn w17_every_one_of_hundreds_of_processors_may_decide() {
    let desk = TestDesk::open().await;
    let names: Vec<String> = (0..300)
        .map(|number| format!("approver{number:03}"))
        .collect();
    let mut body = approval_request();
    body["fields"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|field| field["key"] == "ZHIDINGSHENPIREN")
        .unwrap()["value"] = names.join(",").into();
    let sn = ticket(&desk, body).await;
    let todo = desk
        .must(
            "get_tickets_by_user",
            json!({ "user": names[299], "view_type": "my_todo" }),
        )
        .await;
    assert_eq!(todo["items"][0]["sn"], sn);
    desk.must(
        "approve",
        json!({ "sn": sn, "state_id": 3, "approver": names[299], "action": "true" }),
    )
    .await;
}

#[tokio::test]
async fn w18_error_codes_are_integers_and_problems_name_their_field() {
    let desk = TestDesk::open().await;
    assert_eq!(
        desk.refused("get_tickets", json!({ "page_size": 0 }))
            .await
            .0,
        3_900_021
    );
    assert_eq!(
        desk.refused("get_ticket_info", json!({ "sn": "NO1" }))
            .await
            .0,
        3_900_022
    );
    let (status, problem) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": 22, "fields": { "title": "t", "impact": "9" } }),
        )
        .await;
    assert_eq!(
        (status, problem["status"].clone()),
        (400, json!(400)),
        "{problem}"
    );
    assert!(
        problem["errors"][0]["field"]
            .as_str()
            .unwrap()
            .starts_with("/fields/"),
        "{problem}"
    );
}

#[tokio::test]
async fn w19_documented_samples_work_as_documented() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, incident()).await;
    desk.must(
        "operate_node",
        json!({ "sn": sn, "operator": "sunba", "state_id": 3, "action_type": "CLAIM" }),
    )
    .await;
    let sn = ticket(&desk, approval_request()).await;
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
    )
    .await;
    let items = desk.must("get_tickets", json!({})).await["items"].clone();
    assert!(
        items
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["current_steps"].is_array() && item["is_biz_need"].is_boolean())
    );
}

/// Later releases will show services only to certain roles. This test covers disabled services and services
/// that are in no category of the catalog.
#[tokio::test]
async fn w20_a_disabled_or_unplaced_service_rejects_tickets_over_both_apis() {
    let desk = TestDesk::open().await;
    let over_v1 = async || {
        let (status, problem) = desk
            .v1(
                "POST",
                "tickets",
                "lisi",
                json!({ "service_id": 22, "fields": { "title": "t" } }),
            )
            .await;
        (
            status,
            problem["detail"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let (status, _) = desk
        .v1(
            "PUT",
            "services/22",
            "admin",
            json!({ "is_enabled": false }),
        )
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        desk.refused("create_ticket", approval_request()).await.1,
        "服务:服务未启用，请联系管理员！"
    );
    assert_eq!(over_v1().await, (409, "service 22 is disabled".into()));
    assert!(
        !desk
            .must("get_services", json!({}))
            .await
            .as_array()
            .unwrap()
            .iter()
            .any(|service| service["id"] == 22),
        "a disabled service is not listed"
    );
    let (status, _) = desk
        .v1(
            "PUT",
            "services/22",
            "admin",
            json!({ "is_enabled": true, "catalog": null }),
        )
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        desk.refused("create_ticket", approval_request()).await.1,
        "服务:服务对应的服务目录不存在"
    );
    assert_eq!(
        over_v1().await,
        (409, "service 22 is in no category".into())
    );
}

#[tokio::test]
async fn w21_program_code_in_a_workflow_file_is_reported_and_never_run() {
    let desk = TestDesk::open().await;
    let node = json!({ "id": 3, "type": "TASK", "name": "调用", "processors_type": "PERSON", "processors": "admin", "api_info": {
        "remote_api_info": { "method": "POST", "url": "https://api.example.com/", "before_req": "import os; os.system('touch /tmp/x')", "map_code": "exec('1')" },
        "req_body": { "t": "${title}" } } });
    let flow = json!({ "nodes": [{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL" }, node, { "id": 9, "type": "END" }],
        "edges": [line(1, 2), line(2, 3), line(3, 9)], "fields": [{ "id": 1, "key": "title", "type": "STRING", "state_id": 2 }] });
    let imported = desk
        .must(
            "import_service",
            json!({ "name": "脚本", "key": "request", "catalog_id": 4, "workflow": flow }),
        )
        .await;
    let dropped: Vec<&str> = imported["report"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|note| note["dropped"]["what"].as_str())
        .collect();
    assert_eq!(dropped.len(), 2, "{imported}");
    let title = "{{ 7*7 }} ${sn} <%= 1 %>";
    let body = json!({ "service_id": imported["id"], "creator": "lisi", "fields": form(&[("title", title)]) });
    ticket(&desk, body).await;
    desk.settle().await;
    assert_eq!(callback_bodies(&desk)[0], json!({ "t": title }));
}

#[tokio::test]
async fn w22_calls_to_private_networks_are_blocked_and_attempts_are_kept() {
    use infra::http::egress::Egress;
    use infra::http::{HttpClient as _, client::Client};
    let arrived = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = arrived.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async { "{}" }
    };
    let served =
        tokio::spawn(
            async move { axum::serve(listener, axum::Router::new().fallback(count)).await },
        );
    let call = |url: String| infra::http::HttpRequest {
        method: "POST".into(),
        url,
        headers: Vec::new(),
        body: b"{}".to_vec(),
        timeout: std::time::Duration::from_secs(5),
        response_bytes_max: 100,
    };
    let closed = Client::new(Egress::default()).unwrap();
    for (url, why) in [
        (
            format!("http://127.0.0.1:{port}/"),
            "calls to 127.0.0.1 are not allowed",
        ),
        (
            format!("http://[::ffff:127.0.0.1]:{port}/"),
            "are not allowed",
        ),
        (
            format!("http://[64:ff9b::7f00:1]:{port}/"),
            "are not allowed",
        ),
        (
            format!("http://2130706433:{port}/"),
            "calls to 127.0.0.1 are not allowed",
        ),
        (
            format!("http://localhost:{port}/"),
            "calls to localhost are not allowed",
        ),
        (
            "http://10.0.0.1/".into(),
            "calls to 10.0.0.1 are not allowed",
        ),
        (
            "http://169.254.169.254/latest/".into(),
            "calls to 169.254.169.254 are not allowed",
        ),
        ("file:///etc/passwd".into(), "neither http nor https"),
    ] {
        let refused = closed
            .send(&call(url.clone()))
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains(why), "{url}: {refused}");
    }
    assert_eq!(
        arrived.load(std::sync::atomic::Ordering::SeqCst),
        0,
        "no request is sent"
    );
    for (allowed, host) in [
        ("loopback", "127.0.0.1"),
        ("127.0.0.0/8", "127.0.0.1"),
        ("localhost", "localhost"),
    ] {
        let open = Client::new(Egress::read(allowed).unwrap()).unwrap();
        assert_eq!(
            open.send(&call(format!("http://{host}:{port}/")))
                .await
                .map(|answer| answer.status),
            Ok(200),
            "{allowed}"
        );
    }
    assert_eq!(arrived.load(std::sync::atomic::Ordering::SeqCst), 3);
    served.abort();

    let desk = TestDesk::open().await;
    let node = json!({ "id": 3, "type": "WEBHOOK", "name": "通知", "processors_type": "PERSON", "processors": "admin",
        "extras": { "webhook_info": { "method": "POST", "url": "https://hook.example.com/x?token=secret", "settings": { "timeout": 5, "attempts": 2 } } } });
    let service = service(
        &desk,
        "网络",
        json!([node]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    desk.receiver.answers.lock().unwrap().extend([
        Err(infra::http::HttpError::Unknown("timeout".into())),
        Err(infra::http::HttpError::NotSent("no route".into())),
    ]);
    let sn = open(&desk, &service).await;
    desk.settle().await;
    desk.clock.advance(3_000);
    desk.settle().await;
    let (_, log) = desk
        .v1(
            "GET",
            &format!("tickets/{}/api-calls", sn.as_str().unwrap()),
            "admin",
            Value::Null,
        )
        .await;
    let call = &log["calls"][0];
    assert_eq!(
        (&call["attempts"], &call["succeeded"], &call["reason"]),
        (&json!(2), &json!(false), &json!("no route")),
        "{log}"
    );
    let attempt = |at: usize| {
        let attempt = &call["log"][at];
        json!([
            attempt["attempt"],
            attempt["at"],
            attempt["to"],
            attempt["outcome"],
            attempt["reason"],
            attempt["next"]
        ])
    };
    let to = "POST https://hook.example.com";
    assert_eq!(
        attempt(0),
        json!([
            1,
            "2026-11-22T10:00:00.000+08:00",
            to,
            "no_answer",
            "timeout",
            "2026-11-22T10:00:03.000+08:00"
        ])
    );
    assert_eq!(
        attempt(1),
        json!([
            2,
            "2026-11-22T10:00:03.000+08:00",
            to,
            "failed",
            "no route",
            null
        ])
    );
    let (status, failed) = desk
        .v1("GET", "api-calls?state=failed", "admin", Value::Null)
        .await;
    assert_eq!(
        (status, &failed["count"], &failed["calls"][0]["sn"]),
        (200, &json!(1), &sn),
        "an operator finds the call without the ticket number"
    );
    assert_eq!(
        desk.v1("GET", "api-calls", "lisi", Value::Null).await.0,
        403
    );
}

/// Later releases will send reminders to people. This test covers callbacks to an app after a status change
/// of a ticket. The desk repeats a callback until the receiver accepts it.
#[tokio::test]
async fn w23_status_callbacks_are_opt_in_and_reminders_come_later() {
    let desk = TestDesk::open().await;
    let callback_statuses = || {
        callback_bodies(&desk)
            .iter()
            .map(|body| body["current_status"].clone())
            .collect::<Vec<Value>>()
    };
    let suspended_and_resumed = async |body: Value| {
        let sn = ticket(&desk, body).await;
        desk.must("operate_ticket", json!({ "sn": sn, "operator": "admin", "action_type": "SUSPEND", "action_message": "x" })).await;
        desk.settle().await;
        desk.must(
            "operate_ticket",
            json!({ "sn": sn, "operator": "admin", "action_type": "UNSUSPEND" }),
        )
        .await;
        desk.settle().await;
    };
    let mut body = approval_request();
    body["meta"] = json!({ "callback_url": "https://app.example.com/cb", "notify_config": { "enable_status_callback": true } });
    suspended_and_resumed(body.clone()).await;
    assert_eq!(
        callback_statuses(),
        ["SUSPENDED", "RUNNING"],
        "the ticket asks for status callbacks"
    );
    body["meta"] = json!({ "callback_url": "https://app.example.com/cb" });
    suspended_and_resumed(body.clone()).await;
    assert_eq!(
        callback_statuses().len(),
        2,
        "without opt-in, only the end causes a callback"
    );
    let status_app = events::app::Registered {
        status_callbacks: true,
        ..tests::registered("hearing_app", true)
    };
    desk.app
        .credentials
        .register(&status_app, "secret-of-the-hearing-app")
        .await
        .unwrap();
    (body["bk_app_code"], body["bk_app_secret"]) =
        ("hearing_app".into(), "secret-of-the-hearing-app".into());
    suspended_and_resumed(body).await;
    assert_eq!(
        callback_statuses()[2..],
        ["SUSPENDED", "RUNNING"],
        "an application with status callbacks receives them for all its tickets"
    );
}

/// Later releases will have SLA clocks, which need deadlines in the ledger. This test covers a deadline that
/// already exists: the automatic rating of a finished ticket.
#[tokio::test]
async fn w24_deadlines_are_stored_in_the_ledger_and_agreements_come_later() {
    let desk = TestDesk::open().await;
    let service = service(
        &desk,
        "期限",
        json!([manual(3, "处理", "wangwu")]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let sn = open(&desk, &service).await;
    desk.must("operate_node", submit(&sn, "wangwu", 3, &[]))
        .await;
    desk.followed().await;
    let due = desk
        .app
        .views
        .get("due", &format!("ticket-{}", sn.as_str().unwrap()))
        .await
        .unwrap()
        .expect("a deadline");
    let deadlines: Value = serde_json::from_slice(&due.body).unwrap();
    assert_eq!(
        deadlines,
        json!({ "rate": tests::MORNING.0 + 3 * 86_400_000 })
    );
}

#[tokio::test]
async fn w25_a_new_workflow_version_does_not_change_running_tickets() {
    let desk = TestDesk::open().await;
    let nodes = json!([manual(3, "旧", "wangwu")]);
    let service = service(
        &desk,
        "版本",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let sn = open(&desk, &service).await;
    let flow = json!({ "nodes": [{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL" }, manual(7, "新", "zhaoliu"), { "id": 9, "type": "END" }],
        "edges": [line(1, 2), line(2, 7), line(7, 9)], "fields": [{ "id": 1, "key": "title", "name": "标题", "type": "STRING", "state_id": 2, "validate_type": "REQUIRE" }] });
    desk.must("update_service", json!({ "id": service, "name": "版本", "key": "request", "catalog_id": 4, "workflow": flow })).await;
    let newer = ticket(
        &desk,
        json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t")]) }),
    )
    .await;
    assert_eq!(
        (
            step(&desk, &sn).await[0][0].clone(),
            step(&desk, &newer).await[0][0].clone()
        ),
        (json!("旧"), json!("新"))
    );
    desk.must("operate_node", submit(&sn, "wangwu", 3, &[]))
        .await;
    let flow_id = desk
        .must("get_service_detail", json!({ "service_id": service }))
        .await["workflow_id"]
        .as_i64()
        .unwrap();
    let (workflow, version) = (flow_id / 10_000, flow_id % 10_000);
    let path = |version: i64| format!("workflows/{workflow}/versions/{version}");
    assert_eq!(
        desk.v1("DELETE", &path(version), "admin", Value::Null)
            .await
            .0,
        409,
        "a version that a service uses cannot be removed"
    );
    assert_eq!(
        desk.v1("DELETE", &path(version - 1), "admin", Value::Null)
            .await
            .0,
        204
    );
    assert_eq!(
        desk.must("get_ticket_info", json!({ "sn": sn })).await["current_status"],
        "FINISHED",
        "tickets of a removed version stay readable"
    );
}

#[tokio::test]
async fn w26_an_import_reports_every_change_and_matches_roles_by_name() {
    let desk = TestDesk::open().await;
    let (_, exported) = desk
        .v1(
            "GET",
            "workflows/13/versions/1/export",
            "admin",
            Value::Null,
        )
        .await;
    assert_eq!(exported[0]["roles"]["12"], "服务台小组");
    let (status, imported) = desk
        .v1(
            "POST",
            "workflows/import",
            "admin",
            json!({ "workflow": exported }),
        )
        .await;
    assert_eq!(
        (status, &imported["report"], &imported["problems"]),
        (201, &json!([]), &json!([])),
        "a file that this desk exported is imported unchanged"
    );
    // A role can have different ids on two desks. The import therefore finds the role by its name.
    let renumbered = exported
        .to_string()
        .replace(r#""12":"服务台小组""#, r#""912":"服务台小组""#)
        .replace(r#"",12,""#, r#"",912,""#);
    assert!(
        !renumbered.contains(r#"",12,""#) && renumbered.contains(r#"",912,""#),
        "{renumbered}"
    );
    let renumbered: Value = serde_json::from_str(&renumbered).unwrap();
    let (_, imported) = desk
        .v1(
            "POST",
            "workflows/import",
            "admin",
            json!({ "workflow": renumbered }),
        )
        .await;
    assert_eq!(imported["problems"], json!([]), "{imported}");
    let (_, drawn) = desk
        .v1(
            "GET",
            &format!("workflows/{}", imported["workflow"]),
            "admin",
            Value::Null,
        )
        .await;
    assert!(
        drawn["draft"].to_string().contains("\"who\":[12]"),
        "{drawn}"
    );
    let mut strange = exported.clone();
    strange[0]["roles"] = json!({});
    let (_, imported) = desk
        .v1(
            "POST",
            "workflows/import",
            "admin",
            json!({ "workflow": strange }),
        )
        .await;
    let report = imported["report"].to_string();
    assert!(
        report.contains("roles 12 do not exist in this desk") && report.contains("missing"),
        "{report}"
    );
    // A workflow cannot be deployed if one of its nodes has no people who can process the node.
    let (status, problem) = desk
        .v1(
            "POST",
            &format!("workflows/{}/deploy", imported["workflow"]),
            "admin",
            json!({}),
        )
        .await;
    assert_eq!(status, 409);
    assert!(
        problem.to_string().contains("is not configured"),
        "{problem}"
    );
}

#[tokio::test]
async fn w27_an_unknown_type_gives_an_empty_tree_and_a_service_can_move() {
    let desk = TestDesk::open().await;
    assert_eq!(
        desk.must("get_service_catalogs", json!({ "service_key": "nothing" }))
            .await,
        json!([])
    );
    let catalog = desk
        .must(
            "create_service_catalog",
            json!({ "parent__id": 4, "name": "新目录", "desc": "d" }),
        )
        .await;
    assert_eq!(
        desk.refused(
            "create_service_catalog",
            json!({ "parent__id": 4, "name": "新目录" })
        )
        .await,
        (3_900_008, "服务目录: 同级目录【新目录】已存在".into())
    );
    assert_eq!(
        desk.refused(
            "create_service_catalog",
            json!({ "parent__id": 999, "name": "x" })
        )
        .await
        .0,
        3_900_008
    );
    let id = catalog["id"].as_i64().unwrap();
    // A service is in exactly one category. After the service is moved to another category, the old
    // category can be removed.
    let shown = async |catalog: i64| {
        let services = desk
            .must("get_services", json!({ "catalog_id": catalog }))
            .await;
        services
            .as_array()
            .unwrap()
            .iter()
            .any(|service| service["id"] == 22)
    };
    let old = 4;
    assert_eq!(
        desk.v1("PUT", "services/22", "admin", json!({ "catalog": id }))
            .await
            .0,
        200
    );
    assert_eq!((shown(id).await, shown(old).await), (true, false));
    assert_eq!(
        desk.v1("DELETE", &format!("catalog/{id}"), "admin", Value::Null)
            .await
            .0,
        409,
        "the category has a service"
    );
    assert_eq!(
        desk.v1("PUT", "services/22", "admin", json!({ "catalog": old }))
            .await
            .0,
        200
    );
    assert_eq!(
        desk.v1("DELETE", "catalog/4", "admin", Value::Null).await.0,
        409,
        "the category has services"
    );
    assert_eq!(
        desk.v1("DELETE", &format!("catalog/{id}"), "lisi", Value::Null)
            .await
            .0,
        403
    );
    assert_eq!(
        desk.v1("DELETE", &format!("catalog/{id}"), "admin", Value::Null)
            .await
            .0,
        204
    );
}

#[tokio::test]
async fn w28_stored_times_are_instants_and_api_times_use_the_zone_of_the_desk() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(info["create_at"], "2026-11-22 10:00:00");
    let (_, shown) = desk
        .v1(
            "GET",
            &format!("tickets/{}", sn.as_str().unwrap()),
            "lisi",
            Value::Null,
        )
        .await;
    assert_eq!(
        shown["create_at"], "2026-11-22T10:00:00.000+08:00",
        "a time of /v1 has its offset"
    );
    let stored = desk
        .app
        .ledger
        .store
        .forward(&format!("ticket-{}", sn.as_str().unwrap()), 1, 1)
        .await
        .unwrap();
    assert_eq!(stored[0].at, tests::MORNING);
}
