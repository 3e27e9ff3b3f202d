//! These tests check the credentials of clients, the registration of people, and the erasure of personal
//! data.

use axum::http::{Request, StatusCode};
use events::TicketSn;
use serde_json::json;
use tests::{PLAIN, TRUSTED, approval_request, of_lisi_alone};

use crate::TestDesk;

#[tokio::test]
async fn a_caller_without_valid_credentials_gets_403() {
    let desk = TestDesk::open().await;
    let get = async |query: &str| {
        let request = Request::get(format!("/api/c/compapi/v2/itsm/get_services/?{query}"))
            .body(axum::body::Body::empty())
            .unwrap();
        let (status, body) = desk.send(request).await;
        (status, String::from_utf8(body).unwrap())
    };
    for query in [
        String::new(),
        format!("bk_app_code={}", TRUSTED.0),
        format!("bk_app_code={}&bk_app_secret=wrong", TRUSTED.0),
        format!("bk_app_code=nobody&bk_app_secret={}", TRUSTED.1),
        format!("bk_app_code={}&bk_app_secret={}", PLAIN.0, PLAIN.1),
        format!(
            "bk_app_code={}&bk_app_secret={}&bk_username=lisi",
            PLAIN.0, PLAIN.1
        ),
        format!(
            "bk_app_code={}&bk_app_secret={}&bk_token=made-up",
            PLAIN.0, PLAIN.1
        ),
    ] {
        let (status, body) = get(&query).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{query}");
        let envelope: serde_json::Value =
            serde_json::from_str(&body).expect("the envelope of the gateway");
        assert!(
            envelope["message"]
                .as_str()
                .is_some_and(|message| message.starts_with("Forbidden")),
            "{envelope}"
        );
        assert_eq!(
            (&envelope["result"], &envelope["code"]),
            (&json!(false), &json!(1_640_101)),
            "{envelope}"
        );
    }
    for query in [
        format!(
            "bk_app_code={}&bk_app_secret={}&bk_token=lisi-is-logged-in",
            PLAIN.0, PLAIN.1
        ),
        format!("bk_app_code={}&bk_app_secret={}", TRUSTED.0, TRUSTED.1),
        format!(
            "app_code={}&app_secret={}&bk_username=lisi",
            TRUSTED.0, TRUSTED.1
        ),
    ] {
        assert_eq!(get(&query).await.0, StatusCode::OK, "{query}");
    }
}

#[tokio::test]
async fn only_an_app_that_may_impersonate_acts_for_another_user() {
    let desk = TestDesk::open().await;
    let sn = desk
        .must("create_ticket", of_lisi_alone(approval_request()))
        .await["sn"]
        .clone();
    let mut for_another = approval_request();
    for_another["creator"] = "wangwu".into();
    for (operation, body) in [
        ("create_ticket", for_another.clone()),
        (
            "approve",
            json!({ "sn": sn, "state_id": 3, "approver": "zhangsan", "action": "true" }),
        ),
        (
            "proceed_approval",
            json!({ "process_inst_id": sn, "activity": 3, "handler": "zhangsan", "submit_action": "true" }),
        ),
        (
            "proceed_fast_approval",
            json!({ "context": { "ticket_id": 1, "state_id": 3 }, "approver": "zhangsan", "status": "true" }),
        ),
        (
            "operate_node",
            json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": tests::form(&[("FZR_YIJIAN", "true")]) }),
        ),
        (
            "operate_ticket",
            json!({ "sn": sn, "operator": "zhangsan", "action_type": "SUSPEND", "action_message": "x" }),
        ),
        (
            "edit_field",
            json!({ "sn": sn, "operator": "zhangsan", "fields": tests::form(&[("title", "x")]) }),
        ),
        (
            "comment",
            json!({ "sn": sn, "operator": "zhangsan", "stars": 5 }),
        ),
        (
            "add_follower",
            json!({ "sn": sn, "operator": "zhangsan", "users": "chuyi" }),
        ),
    ] {
        let (code, message) = desk.refused(operation, of_lisi_alone(body)).await;
        assert!(
            code == 3_900_015 && message.contains(PLAIN.0),
            "{operation}: {code} {message}"
        );
    }
    desk.must("create_ticket", for_another).await;
    desk.must(
        "operate_ticket",
        of_lisi_alone(json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" })),
    )
    .await;
}

#[tokio::test]
async fn only_superusers_change_the_catalog_and_services_over_both_apis() {
    let desk = TestDesk::open().await;
    let catalog = |user: &str| json!({ "bk_username": user, "parent__id": 1, "name": format!("目录 {user}") });
    let service = |user: &str| json!({ "bk_username": user, "id": 20, "name": "x", "key": "request", "owners": user, "workflow": {} });
    for (operation, body) in [
        ("create_service_catalog", catalog("lisi")),
        ("import_service", service("lisi")),
        ("update_service", service("lisi")),
    ] {
        assert_eq!(
            desk.refused(operation, body).await.0,
            3_900_015,
            "{operation}"
        );
    }
    desk.must("create_service_catalog", catalog("admin")).await;
    assert_eq!(
        desk.v1(
            "POST",
            "catalog",
            "lisi",
            json!({ "parent": 1, "name": "x" })
        )
        .await
        .0,
        403
    );
}

#[tokio::test]
async fn invalid_user_names_and_the_name_system_register_no_person() {
    let desk = TestDesk::open().await;
    for name in ["system", "a,b", "<x>", "a\u{1}b"] {
        let mut body = approval_request();
        body["creator"] = name.into();
        assert_eq!(
            desk.refused("create_ticket", body).await.0,
            3_900_005,
            "{name:?}"
        );
    }
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    assert_eq!(
        desk.refused(
            "add_follower",
            json!({ "sn": sn, "operator": "system", "users": "chuyi" })
        )
        .await
        .0,
        3_900_005
    );
    let crowd: Vec<String> = (0..=functions::app::people::NAMED_MAX)
        .map(|at| format!("new-{at}"))
        .collect();
    let fast = |approvers: &str| {
        let fields = tests::form(&[
            ("title", "t"),
            ("APPROVER", approvers),
            ("APPROVAL_CONTENT", "c"),
        ]);
        json!({ "fast_approval": true, "creator": "lisi", "fields": fields })
    };
    let (code, message) = desk.refused("create_ticket", fast(&crowd.join(","))).await;
    assert!(code == 3_900_005 && message.contains("1000"), "{message}");
    assert!(
        desk.refused("create_ticket", fast("zhangsan,<script>"))
            .await
            .1
            .contains("<script>")
    );
    assert!(desk.app.ledger.keys.find("new-0").await.unwrap().is_none());
}

#[tokio::test]
async fn credentials_are_accepted_in_the_gateway_header() {
    let desk = TestDesk::open().await;
    let gateway_credentials =
        json!({ "bk_app_code": TRUSTED.0, "bk_app_secret": TRUSTED.1, "bk_username": "lisi" })
            .to_string();
    let request = Request::post("/prod/v2/itsm/create_ticket")
        .header("x-bkapi-authorization", gateway_credentials);
    let mut body = approval_request();
    body.as_object_mut().unwrap().remove("creator");
    let (status, answer) = desk
        .send(request.body(body.to_string().into()).unwrap())
        .await;
    assert_eq!(status, StatusCode::OK);
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let info = desk
        .must("get_ticket_info", json!({ "sn": answer["data"]["sn"] }))
        .await;
    assert_eq!(
        info["creator"], "lisi",
        "the calling user is the creator if the body names none"
    );
}

#[tokio::test]
async fn the_ledger_of_an_erased_person_still_verifies() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let stored = desk
        .app
        .ledger
        .store
        .back(&format!("ticket-{}", sn.as_str().unwrap()), None, 10)
        .await
        .unwrap();
    let text: String = stored
        .iter()
        .map(|commit| String::from_utf8_lossy(&commit.body).into_owned())
        .collect();
    assert!(
        !text.contains("13800000000") && !text.contains("lisi"),
        "neither the phone number nor the name is in the ledger"
    );
    let phone = |info: &serde_json::Value| {
        info["fields"]
            .as_array()
            .unwrap()
            .iter()
            .find(|field| field["key"] == "LIANXIDIANHUA")
            .unwrap()["value"]
            .clone()
    };
    assert_eq!(
        phone(&desk.must("get_ticket_info", json!({ "sn": sn })).await),
        "13800000000"
    );

    let lisi = desk
        .app
        .ledger
        .keys
        .find("lisi")
        .await
        .unwrap()
        .expect("lisi");
    assert!(desk.app.ledger.forget(&lisi).await.unwrap());
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(
        (phone(&info), &info["creator"]),
        (json!("Erased"), &json!(lisi.as_str()))
    );
    // The personal data of the ticket's creator is erased. The ticket still accepts commands, because the
    // functions `decide` (checks a command) and `evolve` (applies an event) accept erased values.
    let fields = tests::form(&[("FZR_YIJIAN", "true")]);
    desk.must("operate_node", json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields })).await;
    let verdict = functions::cli::audit::verify_ledger(&desk.app.ledger, &[], &mut |_| {})
        .await
        .unwrap();
    assert!(verdict.is_ok(), "{:?}", verdict.findings);
    let card = functions::app::tickets::card(&desk.app, &TicketSn(sn.as_str().unwrap().into()))
        .await
        .unwrap()
        .unwrap();
    assert!(card.ticket.form["LIANXIDIANHUA"].is_erased());
}

/// Any user may process a node without fixed processors, even a user who is not registered. The desk first
/// registers this user with a person id. The user name is never stored in the ledger.
#[tokio::test]
async fn an_unknown_user_is_registered_at_an_open_node() {
    let desk = TestDesk::open().await;
    let workflow = desk
        .app
        .configuration
        .workflow(events::WorkflowId(11), 1)
        .await
        .unwrap()
        .unwrap();
    let mut deployed = (*workflow).clone();
    deployed.workflow = events::WorkflowId(903);
    deployed.definition.nodes[2].processors = events::workflow::Processors::Open;
    let command_envelope = infra::CommandEnvelope {
        stream: "workflow-903".into(),
        command_id: [1; 16],
        meta: events::Meta::system("t", "t"),
    };
    desk.app
        .ledger
        .execute::<domain::workflow::Workflow>(
            &command_envelope,
            &domain::workflow::Command::DeployVersion(Box::new(deployed)),
            &infra::ledger::NoContext,
        )
        .await
        .unwrap();
    let mut body = approval_request();
    body["service_id"] = crate::errors::define(
        &desk,
        |service| service.workflow = events::WorkflowId(903),
        true,
    )
    .await
    .into();
    let sn = desk.must("create_ticket", body).await["sn"].clone();
    let vote = |pass: &str| json!({ "sn": sn, "operator": "xinren", "state_id": 3, "action_type": "TRANSITION", "fields": tests::form(&[("FZR_YIJIAN", pass)]) });
    assert_eq!(
        desk.refused("operate_node", vote("maybe")).await.0,
        3_900_005
    );
    assert_eq!(
        desk.app.ledger.keys.find("xinren").await.unwrap(),
        None,
        "a rejected command registers no person"
    );
    desk.must("operate_node", vote("true")).await;
    let stored = desk
        .app
        .ledger
        .store
        .back(&format!("ticket-{}", sn.as_str().unwrap()), None, 10)
        .await
        .unwrap();
    assert!(
        stored
            .iter()
            .all(|commit| !String::from_utf8_lossy(&commit.body).contains("xinren"))
    );
    assert_eq!(
        desk.must("get_ticket_info", json!({ "sn": sn })).await["updated_by"],
        "lisi,xinren"
    );
}

#[tokio::test]
async fn a_rejected_command_registers_no_named_person() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let path = format!("tickets/{}", sn.as_str().unwrap());
    let known = async |name: &str| desk.app.ledger.keys.find(name).await.unwrap().is_some();
    let deliver = |by: &str| json!({ "sn": sn, "operator": by, "state_id": 3, "action_type": "DELIVER", "processors_type": "PERSON", "processors": "new1,new2", "action_message": "x" });
    desk.refused("operate_node", deliver("luren")).await;
    let edit = |by: &str| json!({ "sn": sn, "operator": by, "fields": tests::form(&[("ZHIDINGSHENPIREN", "new3")]) });
    desk.refused("edit_field", edit("luren")).await;
    desk.not_operated(
        &sn,
        "reassign",
        "luren",
        json!({ "node": 3, "to": { "people": ["new4"] } }),
    )
    .await;
    desk.not_operated(
        &sn,
        "remark",
        "luren",
        json!({ "text": "x", "people": ["new5"] }),
    )
    .await;
    for name in ["new1", "new2", "new3", "new4", "new5", "luren"] {
        assert!(!known(name).await, "{name}");
    }
    desk.must("edit_field", edit("lisi")).await;
    desk.must("operate_node", deliver("zhangsan")).await;
    desk.operate(
        &sn,
        "remark",
        "lisi",
        json!({ "text": "x", "people": ["new5"] }),
    )
    .await;
    for name in ["new1", "new2", "new3", "new5"] {
        assert!(known(name).await, "{name}");
    }
    let (_, shown) = desk.v1("GET", &path, "lisi", serde_json::Value::Null).await;
    assert_eq!(shown["nodes"][1]["waiting_for"], json!(["new1", "new2"]));
    let history = serde_json::to_string(
        &functions::app::tickets::history(
            &desk.app.ledger,
            &format!("ticket-{}", sn.as_str().unwrap()),
        )
        .await
        .unwrap()
        .iter()
        .map(|envelope| &envelope.event)
        .collect::<Vec<_>>(),
    )
    .unwrap();
    assert!(
        !history.contains("?new") && !history.contains("new1"),
        "the ledger contains no user name"
    );
}
