//! These tests check automatic nodes: API calls, retries, failures that a person ignores, and polling. They
//! also check parallel branches and tasks in SOPS (the standard operations platform of BlueKing).

use domain::intent::{Intent, Work};
use functions::queue::automate::open as open_api_call;
use functions::queue::read;
use serde_json::{Value, json};
use tests::form;

use crate::TestDesk;
use crate::workflow_builder::{
    account_api, answers, api, line, line_if, manual, open, service, step,
};

async fn act(desk: &TestDesk, sn: &Value, command: domain::ticket::Command) -> Result<(), String> {
    let id = desk.app.ledger.fresh_id();
    let sn = events::TicketSn(sn.as_str().expect("sn").to_owned());
    let done = functions::app::tickets::execute(
        &desk.app,
        &sn,
        &command,
        &events::Meta::system("t", "t"),
        id,
        None,
    )
    .await;
    done.map(drop).map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn an_api_call_sends_typed_values_and_stores_its_outputs() {
    let desk = TestDesk::open().await;
    let lines = json!([
        line(1, 2),
        line(2, 3),
        line_if(3, 4, "account", "a-7"),
        line(3, 9),
        line(4, 9)
    ]);
    let service = service(
        &desk,
        "账号",
        json!([api(3, account_api()), manual(4, "交付", "wangwu")]),
        lines,
        json!([]),
    )
    .await;
    answers(
        &desk,
        &[(
            200,
            json!({ "result": true, "code": 0, "data": { "account": "a-7" } }),
        )],
    );
    let sn = open(&desk, &service).await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["开通账号", "RUNNING", "AUTOMATIC"]])
    );
    desk.settle().await;
    let calls = desk
        .receiver
        .calls
        .lock()
        .expect("no holder panics")
        .clone();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].method.as_str(), calls[0].url.as_str()),
        ("POST", "https://api.example.com/accounts/a%2Fb"),
        "a value stays one path segment"
    );
    let body: Value = serde_json::from_slice(&calls[0].body).expect("JSON");
    assert_eq!(
        body,
        json!({ "host": "a/b", "count": 3, "by": "lisi", "text": "t\" ${host} '!" }),
        "values keep their type and are not expanded as templates"
    );
    let header = |name: &str| {
        calls[0]
            .headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(header("X-Ticket").as_deref(), sn.as_str());
    assert!(header("Idempotency-Key").is_some_and(|key| key.len() == 32));
    assert_eq!(
        step(&desk, &sn).await,
        json!([["交付", "RUNNING", "TRANSITION"]]),
        "the transition follows from the output of the call"
    );
    let logs = desk.must("get_ticket_logs", json!({ "sn": sn })).await;
    assert!(
        logs["logs"]
            .to_string()
            .contains("自动处理单据任务【开通账号】执行成功."),
        "{logs}"
    );
}

#[tokio::test]
async fn a_failed_call_waits_for_a_person_and_a_retry_keeps_its_key() {
    let desk = TestDesk::open().await;
    let mut info = account_api();
    info["req_body"]["phone"] = "${params_phone}".into();
    info["req_body"]["who"] = "${who}".into();
    let own = json!([{ "id": 4, "key": "phone", "name": "手机", "type": "STRING", "validate_type": "OPTION", "state_id": 2, "is_personal": true },
        { "id": 5, "key": "who", "name": "谁", "type": "MEMBERS", "validate_type": "OPTION", "state_id": 2 }]);
    let service = service(
        &desk,
        "账号二",
        json!([api(3, info)]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        own,
    )
    .await;
    answers(
        &desk,
        &[(
            200,
            json!({ "result": false, "code": 17, "message": "no quota" }),
        )],
    );
    let sn = open(&desk, &service).await;
    desk.settle().await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["开通账号", "FAILED", "TRANSITION"]])
    );
    let logs = desk.must("get_ticket_logs", json!({ "sn": sn })).await;
    assert!(
        logs["logs"]
            .to_string()
            .contains("执行失败：(answered code 17: no quota)"),
        "{logs}"
    );
    let todo = desk
        .must(
            "get_tickets_by_user",
            json!({ "user": "zhangsan", "view_type": "my_todo" }),
        )
        .await;
    assert_eq!(
        todo["items"][0]["sn"], sn,
        "a processor of the failed node finds the ticket in the to-do list"
    );
    let node = events::NodeId(3);
    let person = async |name: &str| desk.app.people.pid(name).await.expect("a person");
    let retry = |by, inputs: &[(&str, &str)]| domain::ticket::Command::Retry {
        node,
        by,
        inputs: inputs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        reason: String::new(),
    };
    assert!(
        act(&desk, &sn, retry(person("luren").await, &[]))
            .await
            .is_err(),
        "only processors and managers may retry"
    );
    answers(&desk, &[(503, json!({}))]);
    act(&desk, &sn, retry(person("zhangsan").await, &[]))
        .await
        .expect("retries");
    desk.settle().await;
    for (values, detail) in [
        (
            json!({ "host": "x", "gone": "y" }),
            "field gone does not exist here",
        ),
        (
            json!({ "ticket_sn": "REQ1" }),
            "field ticket_sn does not exist here",
        ),
        (
            json!({ "ticket_creator": "admin" }),
            "field ticket_creator does not exist here",
        ),
        (
            json!({ "phone": "13800000001" }),
            "field phone cannot be changed any more",
        ),
        (
            json!({ "who": "zhangsan" }),
            "field who cannot be changed any more",
        ),
        (
            json!({ "host": "x".repeat(10_001) }),
            "field 主机: is longer than 10000 characters",
        ),
    ] {
        assert_eq!(
            desk.not_operated(
                &sn,
                "retry",
                "zhangsan",
                json!({ "node": 3, "values": values })
            )
            .await,
            (400, detail.into()),
            "only parameters of the call may change"
        );
    }
    desk.operate(
        &sn,
        "retry",
        "zhangsan",
        json!({ "node": 3, "values": { "host": "other" } }),
    )
    .await;
    let (status, events) = desk
        .v1(
            "GET",
            &format!("tickets/{}/events", sn.as_str().expect("sn")),
            "admin",
            Value::Null,
        )
        .await;
    assert!(
        status == 200 && !events.to_string().contains("\"other\""),
        "the value may be a secret and is in the key store: {events}"
    );
    answers(&desk, &[(200, json!({ "result": true, "data": {} }))]);
    desk.settle().await;
    let calls = desk
        .receiver
        .calls
        .lock()
        .expect("no holder panics")
        .clone();
    let key = |at: usize| {
        calls[at]
            .headers
            .iter()
            .find(|(name, _)| name == "Idempotency-Key")
            .expect("a key")
            .1
            .clone()
    };
    assert_eq!(calls.len(), 3);
    assert!(
        key(0) == key(1) && key(1) != key(2),
        "the same request keeps its key, another request has its own key"
    );
    assert!(calls[2].url.ends_with("/accounts/other"));
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "FINISHED"
    );
    let story = desk.story(sn.as_str().expect("sn")).await;
    assert_eq!(
        story
            .iter()
            .filter(|kind| **kind == "ticket.node_failed")
            .count(),
        2
    );
    assert_eq!(
        story
            .iter()
            .filter(|kind| **kind == "ticket.node_retried")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_failed_call_can_be_ignored_with_outputs_given_by_hand() {
    let desk = TestDesk::open().await;
    let lines = json!([
        line(1, 2),
        line(2, 3),
        line_if(3, 4, "account", "by hand"),
        line(3, 9),
        line(4, 9)
    ]);
    let service = service(
        &desk,
        "账号三",
        json!([api(3, account_api()), manual(4, "交付", "wangwu")]),
        lines,
        json!([]),
    )
    .await;
    answers(&desk, &[(404, json!({}))]);
    let sn = open(&desk, &service).await;
    desk.settle().await;
    let by = desk.app.people.pid("zhangsan").await.expect("a person");
    let ignore = |key: &str| domain::ticket::Command::Ignore {
        node: events::NodeId(3),
        by: by.clone(),
        outputs: [(key.to_owned(), "by hand".to_owned())].into(),
        reason: "已手工开通".into(),
    };
    assert_eq!(
        act(&desk, &sn, ignore("nothing")).await.unwrap_err(),
        "field nothing does not exist here"
    );
    act(&desk, &sn, ignore("account")).await.expect("ignores");
    assert_eq!(
        step(&desk, &sn).await,
        json!([["交付", "RUNNING", "TRANSITION"]])
    );
    assert!(
        act(&desk, &sn, ignore("account")).await.is_err(),
        "only once"
    );
}

#[tokio::test]
async fn an_unavailable_receiver_is_retried_and_polling_ends_on_success() {
    let desk = TestDesk::open().await;
    let mut info = account_api();
    info["attempts_max"] = 3.into();
    info["need_poll"] = true.into();
    info["end_conditions"] = json!({ "poll_interval": 30, "poll_time": 3 });
    info["succeed_conditions"] = json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [{ "key": "data.state", "type": "STRING", "condition": "==", "value": "DONE" }] }] });
    let service = service(
        &desk,
        "账号四",
        json!([api(3, info)]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let busy = json!({ "data": { "state": "RUNNING" } });
    answers(
        &desk,
        &[
            (502, json!({})),
            (200, busy.clone()),
            (200, json!({ "data": { "state": "DONE" } })),
        ],
    );
    let sn = open(&desk, &service).await;
    desk.settle().await;
    assert_eq!(
        desk.receiver.calls.lock().expect("calls").len(),
        1,
        "the next attempt has its own deadline"
    );
    desk.clock.advance(3_000);
    desk.settle().await;
    assert_eq!(desk.receiver.calls.lock().expect("calls").len(), 2);
    desk.clock.advance(29_000);
    desk.settle().await;
    assert_eq!(
        desk.receiver.calls.lock().expect("calls").len(),
        2,
        "the next poll is not due yet"
    );
    desk.clock.advance(1_000);
    desk.settle().await;
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "FINISHED"
    );
    // The node polls at most three times. All three polls report that the task is still busy, so the API
    // call must fail.
    answers(
        &desk,
        &[(200, busy.clone()), (200, busy.clone()), (200, busy)],
    );
    let sn = open(&desk, &service).await;
    for _ in 0..4 {
        desk.settle().await;
        desk.clock.advance(30_000);
    }
    assert_eq!(
        step(&desk, &sn).await,
        json!([["开通账号", "FAILED", "TRANSITION"]])
    );
}

#[tokio::test]
async fn a_sops_task_is_created_started_polled_and_resumed() {
    let desk = TestDesk::open().await;
    let info = json!({ "url": "https://sops.example.com", "bk_biz_id": { "value": "2" }, "template_id": "88", "template_source": "business",
        "constants": [{ "key": "${ip}", "value": "host", "value_type": "variable" }] });
    let node = json!({ "id": 3, "type": "TASK-SOPS", "name": "标准运维", "processors_type": "PERSON", "processors": "zhangsan", "extras": { "sops_info": info } });
    let service = service(
        &desk,
        "运维",
        json!([node]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let state = |state: &str| (200, json!({ "result": true, "data": { "state": state } }));
    answers(
        &desk,
        &[
            (
                200,
                json!({ "result": true, "data": { "task_id": 100_231 } }),
            ),
            (200, json!({ "result": true })),
            state("RUNNING"),
            state("FAILED"),
        ],
    );
    let sn = open(&desk, &service).await;
    for _ in 0..4 {
        desk.settle().await;
        desk.clock.advance(10_000);
    }
    assert_eq!(
        step(&desk, &sn).await,
        json!([["标准运维", "FAILED", "TRANSITION"]])
    );
    // The task in SOPS (the standard operations platform) failed, and a person repaired the task there.
    // The retry of the node must poll the same task again and not create a second task.
    answers(&desk, &[state("FINISHED")]);
    let by = desk.app.people.pid("zhangsan").await.expect("a person");
    act(
        &desk,
        &sn,
        domain::ticket::Command::Retry {
            node: events::NodeId(3),
            by,
            inputs: std::collections::BTreeMap::default(),
            reason: String::new(),
        },
    )
    .await
    .expect("retries");
    desk.settle().await;
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "FINISHED"
    );
    let calls = desk.receiver.calls.lock().expect("calls").clone();
    let paths: Vec<&str> = calls
        .iter()
        .map(|call| call.url.trim_start_matches("https://sops.example.com/"))
        .collect();
    assert_eq!(
        paths,
        [
            "create_task/",
            "start_task/",
            "get_task_status/",
            "get_task_status/",
            "get_task_status/"
        ]
    );
    let body: Value = serde_json::from_slice(&calls[0].body).expect("JSON");
    assert_eq!(
        (&body["constants"]["${ip}"], &body["name"]),
        (&json!("a/b"), &json!("ITSM-标准运维"))
    );
}

/// Imports a service whose workflow has one automatic node, which runs a task in SOPS (the standard
/// operations platform). The ticket ends after a successful task. If the task fails and a person ignores
/// the failure, the ticket continues at a manual node. Returns the id of the service.
async fn task_service(desk: &TestDesk, name: &str) -> Value {
    let info = json!({ "url": "https://sops.example.com", "bk_biz_id": { "value": "2" }, "template_id": "88", "template_source": "business" });
    let node = json!({ "id": 3, "type": "TASK-SOPS", "name": "标准运维", "processors_type": "PERSON", "processors": "zhangsan", "extras": { "sops_info": info } });
    let nodes = json!([node, manual(4, "人工核对", "wangwu")]);
    let lines = json!([
        line(1, 2),
        line(2, 3),
        line_if(3, 9, "sops_result_3", "true"),
        line(3, 4),
        line(4, 9)
    ]);
    service(desk, name, nodes, lines, json!([])).await
}

fn requested_paths(desk: &TestDesk) -> Vec<String> {
    let calls = desk.receiver.calls.lock().expect("calls").clone();
    calls
        .iter()
        .map(|call| {
            call.url
                .trim_start_matches("https://sops.example.com/")
                .trim_end_matches('/')
                .to_owned()
        })
        .collect()
}

async fn retry(desk: &TestDesk, sn: &Value) {
    desk.operate(sn, "retry", "zhangsan", json!({ "node": 3 }))
        .await;
    for _ in 0..3 {
        desk.settle().await;
        desk.clock.advance(10_000);
    }
}

#[tokio::test]
async fn a_retry_starts_a_sops_task_that_was_created_and_not_started() {
    let desk = TestDesk::open().await;
    let service = task_service(&desk, "运维二").await;
    let state = |state: &str| (200, json!({ "result": true, "data": { "state": state } }));
    answers(
        &desk,
        &[
            (200, json!({ "result": true, "data": { "task_id": 7 } })),
            (503, json!({})),
        ],
    );
    let sn = open(&desk, &service).await;
    desk.settle().await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["标准运维", "FAILED", "TRANSITION"]])
    );
    answers(
        &desk,
        &[
            state("CREATED"),
            (200, json!({ "result": true })),
            state("FINISHED"),
        ],
    );
    retry(&desk, &sn).await;
    assert_eq!(
        requested_paths(&desk),
        [
            "create_task",
            "start_task",
            "get_task_status",
            "start_task",
            "get_task_status"
        ]
    );
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "FINISHED",
        "a transition depends on the outcome of the task"
    );
}

#[tokio::test]
async fn a_sops_task_with_interrupted_creation_is_not_created_again() {
    let desk = TestDesk::open().await;
    let service = task_service(&desk, "运维三").await;
    let sn = open(&desk, &service).await;
    desk.followed().await;
    let now = desk.app.ledger.clock.now();
    for message in desk
        .app
        .queue
        .take("automate", now, now.plus_ms(60_000), 9)
        .await
        .expect("take")
    {
        let call = match read(&message).expect("readable") {
            Work::Intent(Intent::StartApiCall(call)) => call,
            Work::Intent(Intent::EvaluateRules(_)) => continue,
            other => panic!("{other:?}"),
        };
        open_api_call(&desk.app.ledger, &message, *call)
            .await
            .expect("opened");
        desk.app
            .queue
            .done("automate", &message)
            .await
            .expect("done");
    }
    desk.followed().await;
    // The test simulates a process that crashes during an API call. The ledger contains the start of the
    // call but no result. The desk must not send the request a second time.
    let calls = desk
        .app
        .views
        .range(infra::views::Range {
            view: "api_call",
            index: "ticket",
            from: "",
            to: "~",
            descending: false,
            skip: 0,
            limit: 9,
        })
        .await
        .expect("calls");
    let command_envelope = infra::CommandEnvelope {
        stream: calls[0].key.clone(),
        command_id: desk.app.ledger.fresh_id(),
        meta: events::Meta::system("c", "c"),
    };
    let begin = domain::api_call::Command::Begin {
        attempt: 1,
        until: desk.app.ledger.clock.now().plus_ms(40_000),
    };
    desk.app
        .ledger
        .execute::<domain::api_call::ApiCall>(&command_envelope, &begin, &infra::ledger::NoContext)
        .await
        .expect("begins");
    desk.settle().await;
    assert!(
        requested_paths(&desk).is_empty(),
        "no second request is sent while the first one may still be in progress"
    );
    desk.clock.advance(40_000);
    desk.settle().await;
    assert_eq!(
        (step(&desk, &sn).await, requested_paths(&desk).len()),
        (json!([["标准运维", "FAILED", "TRANSITION"]]), 0)
    );
    let story = desk
        .v1(
            "GET",
            &format!("tickets/{}", sn.as_str().unwrap()),
            "admin",
            Value::Null,
        )
        .await
        .1;
    assert!(
        story["nodes"]
            .to_string()
            .contains("look it up in BlueKing SOPS"),
        "{story}"
    );
    // The task does not exist in SOPS (the standard operations platform), and a person ignores the failure.
    // The result variable of the automatic node must still be false. The ticket then continues at the manual
    // node.
    desk.operate(
        &sn,
        "ignore",
        "zhangsan",
        json!({ "node": 3, "message": "人工处理" }),
    )
    .await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["人工核对", "RUNNING", "TRANSITION"]])
    );
}

#[tokio::test]
async fn a_result_that_arrives_while_suspended_takes_effect_after_resuming() {
    let desk = TestDesk::open().await;
    let service = service(
        &desk,
        "账号五",
        json!([api(3, account_api()), manual(4, "交付", "wangwu")]),
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        json!([]),
    )
    .await;
    let sn = open(&desk, &service).await;
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "admin", "action_type": "SUSPEND", "action_message": "等" }),
    )
    .await;
    answers(
        &desk,
        &[(200, json!({ "result": true, "data": { "account": "x" } }))],
    );
    desk.settle().await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["开通账号", "RUNNING", "AUTOMATIC"]]),
        "a suspended ticket does not move"
    );
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "admin", "action_type": "UNSUSPEND" }),
    )
    .await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["交付", "RUNNING", "TRANSITION"]])
    );
    assert_eq!(
        desk.receiver.calls.lock().expect("calls").len(),
        1,
        "the API is called once"
    );
}

#[tokio::test]
async fn branches_run_in_parallel_and_the_join_waits_for_all_of_them() {
    let desk = TestDesk::open().await;
    let gateway = |id: i64, kind: &str| json!({ "id": id, "type": kind });
    let nodes = json!([
        gateway(3, "ROUTER-P"),
        api(4, account_api()),
        manual(5, "安装", "wangwu"),
        manual(6, "布线", "zhaoliu"),
        gateway(7, "COVERAGE"),
        manual(8, "验收", "zhangsan")
    ]);
    let lines = json!([
        line(1, 2),
        line(2, 3),
        line(3, 4),
        line(3, 5),
        line_if(3, 6, "host", "rack"),
        line(4, 7),
        line(5, 7),
        line(6, 7),
        line(7, 8),
        line(8, 9)
    ]);
    let service = service(&desk, "上架", nodes, lines, json!([])).await;
    let sn = open(&desk, &service).await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([
            ["开通账号", "RUNNING", "AUTOMATIC"],
            ["安装", "RUNNING", "TRANSITION"]
        ]),
        "the third branch has a condition"
    );
    desk.must("operate_node", json!({ "sn": sn, "operator": "wangwu", "state_id": 5, "action_type": "TRANSITION", "fields": [] })).await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["开通账号", "RUNNING", "AUTOMATIC"]])
    );
    answers(&desk, &[(200, json!({ "result": true }))]);
    desk.settle().await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["验收", "RUNNING", "TRANSITION"]])
    );
    desk.must("operate_node", json!({ "sn": sn, "operator": "zhangsan", "state_id": 8, "action_type": "TRANSITION", "fields": [] })).await;
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "FINISHED"
    );
}

#[tokio::test]
async fn polling_survives_lost_responses_and_each_poll_has_its_own_key() {
    let desk = TestDesk::open().await;
    let mut info = account_api();
    info["need_poll"] = true.into();
    info["end_conditions"] = json!({ "poll_interval": 30, "poll_time": 10 });
    info["succeed_conditions"] = json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [{ "key": "data.state", "type": "STRING", "condition": "==", "value": "DONE" }] }] });
    let service = service(
        &desk,
        "账号六",
        json!([api(3, info)]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let busy = || (200, json!({ "data": { "state": "RUNNING" } }));
    answers(
        &desk,
        &[
            busy(),
            (502, json!({})),
            (502, json!({})),
            busy(),
            (200, json!({ "data": { "state": "DONE" } })),
        ],
    );
    let sn = open(&desk, &service).await;
    for _ in 0..6 {
        desk.settle().await;
        desk.clock.advance(30_000);
    }
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "FINISHED"
    );
    let calls = desk.receiver.calls.lock().expect("calls").clone();
    let keys: Vec<String> = calls
        .iter()
        .map(|call| {
            call.headers
                .iter()
                .find(|(name, _)| name == "Idempotency-Key")
                .expect("a key")
                .1
                .clone()
        })
        .collect();
    assert_eq!(keys.len(), 5);
    assert!(
        keys[1] == keys[2] && keys[2] == keys[3],
        "a poll without a response is repeated with the same key"
    );
    assert!(
        keys[0] != keys[1] && keys[3] != keys[4],
        "the next poll has another key: {keys:?}"
    );
}

#[tokio::test]
async fn an_api_schema_types_the_body_and_stops_a_body_that_does_not_fit() {
    let desk = TestDesk::open().await;
    let info = json!({
        "remote_api_info": { "method": "POST", "url": "https://api.example.com/pools/",
            "req_body": { "type": "object", "required": ["size"], "properties": { "size": { "type": "integer" }, "on": { "type": "boolean" } } } },
        "req_body": { "size": "${host}", "on": "true" },
    });
    let service = service(
        &desk,
        "模式",
        json!([api(3, info)]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let open = async |host: &str| {
        let fields = form(&[("title", "t"), ("host", host)]);
        let sn = desk
            .must(
                "create_ticket",
                json!({ "service_id": service, "creator": "lisi", "fields": fields }),
            )
            .await["sn"]
            .clone();
        desk.settle().await;
        desk.v1(
            "GET",
            &format!("tickets/{}", sn.as_str().unwrap()),
            "admin",
            Value::Null,
        )
        .await
        .1["nodes"][1]["reason"]
            .clone()
    };
    answers(&desk, &[(200, json!({ "result": true }))]);
    assert_eq!(open("12").await, "");
    let body: Value =
        serde_json::from_slice(&desk.receiver.calls.lock().expect("calls")[0].body).expect("JSON");
    assert_eq!(body, json!({ "size": 12, "on": true }));
    assert_eq!(open("many").await, "body.size is not an integer");
    assert_eq!(desk.receiver.calls.lock().expect("calls").len(), 1);
}

#[tokio::test]
async fn unreadable_success_and_polling_conditions_are_not_deployed() {
    let desk = TestDesk::open().await;
    let hook = |exp: &str| {
        json!({ "id": 3, "type": "WEBHOOK", "name": "通知", "processors_type": "PERSON", "processors": "admin",
        "extras": { "webhook_info": { "method": "POST", "url": "https://hook.example.com/", "success_exp": exp } } })
    };
    let mut polled = account_api();
    polled["need_poll"] = true.into();
    let flow = |node: Value| {
        json!({ "nodes": [{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL" }, node, { "id": 9, "type": "END" }],
        "edges": [line(1, 2), line(2, 3), line(3, 9)], "fields": [{ "id": 1, "key": "title", "type": "STRING", "state_id": 2 }, { "id": 2, "key": "host", "type": "STRING", "state_id": 2 }, { "id": 3, "key": "count", "type": "INT", "state_id": 2 }] })
    };
    let import_request = |name: &str, node: Value| json!({ "name": name, "key": "request", "catalog_id": 4, "workflow": flow(node) });
    for (name, node, reason) in [
        (
            "读不懂的成功",
            hook("len(resp) > 0 if resp else 1"),
            "it has no success condition",
        ),
        (
            "读不懂的轮询",
            api(3, polled),
            "it has no condition that ends polling",
        ),
    ] {
        let (code, message) = desk
            .refused("import_service", import_request(name, node))
            .await;
        assert_eq!(
            (code, message.contains(reason)),
            (3_900_011, true),
            "{message}"
        );
    }
    let readable = r#"resp["code"] == 0 and resp.get("message") == "this and that""#;
    let service = desk
        .must("import_service", import_request("读得懂", hook(readable)))
        .await["id"]
        .clone();
    for (answer, status) in [
        (json!({ "code": 0, "message": "this and that" }), "FINISHED"),
        (
            json!({ "code": 500, "message": "this and that" }),
            "RUNNING",
        ),
    ] {
        answers(&desk, &[(200, answer)]);
        let sn = desk.must("create_ticket", json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t")]) })).await["sn"].clone();
        desk.settle().await;
        assert_eq!(
            desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
            status
        );
    }
}
