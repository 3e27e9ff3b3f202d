//! These tests check forms that a person has saved but not submitted (drafts). Each person has one draft
//! per form, and can also save templates with names.

use domain::attachment::ALONE_MS;
use domain::draft::DRAFT_MS;
use serde_json::{Value, json};
use tests::approval_request;

use crate::TestDesk;
use crate::attachments::{status_of, upload, with_files};

async fn get(desk: &TestDesk, path: &str, user: &str) -> (u16, Value) {
    desk.v1("GET", path, user, Value::Null).await
}

#[tokio::test]
async fn a_draft_is_kept_for_its_owner_until_the_form_is_submitted() {
    let desk = TestDesk::open().await;
    let path = "drafts/services/22";
    let fields = json!({ "title": "半张单", "ZHIDINGSHENPIREN": "zhangsan,newcomer", "LIANXIDIANHUA": "13800000000" });
    assert_eq!(get(&desk, path, "lisi").await.0, 404);
    assert_eq!(
        desk.v1("PUT", path, "lisi", json!({ "fields": fields }))
            .await
            .0,
        204
    );
    let discarded = "drafts/services/20";
    for (method, body, expected) in [
        ("PUT", json!({ "fields": {} }), 204),
        ("DELETE", Value::Null, 204),
        ("GET", Value::Null, 404),
    ] {
        let (status, answer) = desk.v1(method, discarded, "lisi", body).await;
        assert_eq!(status, expected, "{method}: {answer}");
    }
    let (status, draft) = get(&desk, path, "lisi").await;
    assert_eq!(
        (status, &draft["fields"], &draft["service"]),
        (200, &fields, &json!(22)),
        "the draft is returned unchanged, including unknown people"
    );
    assert_eq!(
        get(&desk, path, "wangwu").await.0,
        404,
        "other users do not see the draft"
    );
    let listed = get(&desk, "drafts", "lisi").await.1;
    assert_eq!(listed["drafts"].as_array().map(Vec::len), Some(1));
    assert_eq!(get(&desk, "drafts", "wangwu").await.1["drafts"], json!([]));

    // The ledger contains the fields of a draft only in encrypted form. A draft that contains an unknown
    // user name does not register this user.
    let newcomer = desk.app.people.find("newcomer").await.expect("read");
    assert!(newcomer.is_unknown());
    let stored = desk.app.ledger.store.feed(0, 10_000).await.expect("feed");
    let commit = stored
        .iter()
        .find(|placed| placed.commit.stream.starts_with("draft-"))
        .expect("the draft");
    let body = String::from_utf8(commit.commit.body.clone()).expect("JSON");
    assert!(
        !body.contains("半张单") && !body.contains("13800000000"),
        "{body}"
    );

    // The desk stores no event if the same fields are saved again. A draft is removed when its form is
    // submitted.
    let head = desk.head().await;
    assert_eq!(
        desk.v1("PUT", path, "lisi", json!({ "fields": fields }))
            .await
            .0,
        204
    );
    assert_eq!(desk.head().await, head);
    let form: serde_json::Map<String, Value> = approval_request()["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(|field| {
            (
                field["key"].as_str().expect("a key").to_owned(),
                field["value"].clone(),
            )
        })
        .collect();
    let (status, sent) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": 22, "fields": form }),
        )
        .await;
    assert_eq!(status, 201, "{sent}");
    assert_eq!(get(&desk, path, "lisi").await.0, 404);

    // All processors of a node (the people who may complete the node) can save the form of this node. Each
    // processor has a separate draft.
    let sn = sent["sn"].as_str().expect("sn").to_owned();
    let path = format!("drafts/tickets/{sn}/3");
    for (user, text) in [("zhangsan", "先看看"), ("wangwu", "再想想")] {
        assert_eq!(
            desk.v1(
                "PUT",
                &path,
                user,
                json!({ "fields": { "FZR_BEIZHU": text } })
            )
            .await
            .0,
            204
        );
    }
    assert_eq!(
        get(&desk, &path, "zhangsan").await.1["fields"],
        json!({ "FZR_BEIZHU": "先看看" })
    );
    let rejected = desk
        .v1(
            "PUT",
            &path,
            "zhangsan",
            json!({ "fields": { "张三 13800000000": "x" } }),
        )
        .await;
    assert_eq!(
        rejected.0, 400,
        "a field key must be a key of the form: {}",
        rejected.1
    );
    assert_eq!(
        desk.v1(
            "PUT",
            &format!("drafts/tickets/{sn}/77"),
            "zhangsan",
            json!({ "fields": {} })
        )
        .await
        .0,
        404
    );
    assert_eq!(
        desk.v1("DELETE", &path, "zhangsan", Value::Null).await.0,
        204
    );
    assert_eq!(
        (
            get(&desk, &path, "zhangsan").await.0,
            get(&desk, &path, "wangwu").await.0
        ),
        (404, 200)
    );
    desk.operate(
        &sent["sn"],
        "decide",
        "wangwu",
        json!({ "node": 3, "pass": true }),
    )
    .await;
    assert_eq!(
        get(&desk, &path, "wangwu").await.0,
        404,
        "a decision ends the draft"
    );
}

/// A draft of a node form is removed when this form is submitted, both over the BlueKing API and over
/// `/v1`.
#[tokio::test]
async fn both_apis_end_the_draft_of_a_submitted_node_form() {
    let desk = TestDesk::open().await;
    for api in ["blueking", "v1"] {
        let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
        let path = format!("drafts/tickets/{}/3", sn.as_str().expect("sn"));
        for user in ["zhangsan", "wangwu"] {
            let saved = desk
                .v1(
                    "PUT",
                    &path,
                    user,
                    json!({ "fields": { "FZR_BEIZHU": "先看看" } }),
                )
                .await;
            assert_eq!(saved.0, 204, "{}", saved.1);
        }
        if api == "blueking" {
            let fields = tests::form(&[("FZR_YIJIAN", "true")]);
            desk.must(
                "operate_node",
                json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": fields }),
            )
            .await;
        } else {
            desk.operate(&sn, "decide", "wangwu", json!({ "node": 3, "pass": true }))
                .await;
        }
        assert_eq!(
            (
                get(&desk, &path, "wangwu").await.0,
                get(&desk, &path, "zhangsan").await.0
            ),
            (404, 200),
            "{api}: only the draft of the person who submitted ends"
        );
    }
}

#[tokio::test]
async fn an_unchanged_draft_expires_and_its_files_are_removed() {
    let desk = TestDesk::open().await;
    let service = with_files(&desk, json!({})).await;
    let path = format!("drafts/services/{service}");
    let file = upload(&desk, "lisi", "a.txt", b"a").await;
    let save = async |title: &str| {
        desk.v1(
            "PUT",
            &path,
            "lisi",
            json!({ "fields": { "title": title, "shots": [file["id"]] } }),
        )
        .await
        .0
    };
    assert_eq!(save("a").await, 204);
    desk.clock.advance(DRAFT_MS - 1);
    desk.settle().await;
    assert_eq!(
        (
            get(&desk, &path, "lisi").await.0,
            status_of(&desk, "lisi", &file["id"]).await
        ),
        (200, 200),
        "a file is kept as long as the draft that references the file"
    );
    assert_eq!(save("b").await, 204);
    desk.clock.advance(DRAFT_MS - 1);
    desk.settle().await;
    assert_eq!(
        status_of(&desk, "lisi", &file["id"]).await,
        200,
        "saving the draft restarts its deadline"
    );
    desk.clock.advance(1);
    desk.settle().await;
    assert_eq!(get(&desk, &path, "lisi").await.0, 404);
    desk.clock.advance(ALONE_MS * 2);
    desk.settle().await;
    assert_eq!(status_of(&desk, "lisi", &file["id"]).await, 404);
}

#[tokio::test]
async fn files_of_a_draft_move_to_the_submitted_ticket() {
    let desk = TestDesk::open().await;
    let service = with_files(&desk, json!({})).await;
    let file = upload(&desk, "lisi", "a.txt", b"a").await;
    let fields = json!({ "title": "t", "shots": [file["id"]] });
    assert_eq!(
        desk.v1(
            "PUT",
            &format!("drafts/services/{service}"),
            "lisi",
            json!({ "fields": fields })
        )
        .await
        .0,
        204
    );
    let (status, sent) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": service, "fields": fields }),
        )
        .await;
    assert_eq!(status, 201, "{sent}");
    desk.clock.advance(DRAFT_MS * 2);
    desk.settle().await;
    assert_eq!(status_of(&desk, "wangwu", &file["id"]).await, 200);
}

#[tokio::test]
async fn a_template_with_a_file_can_be_used_more_than_once() {
    let desk = TestDesk::open().await;
    let service = with_files(&desk, json!({})).await;
    let file = upload(&desk, "lisi", "申请表.txt", b"filled in").await;
    let fields = json!({ "title": "每周", "shots": [file["id"]] });
    let (status, created) = desk
        .v1(
            "POST",
            "templates",
            "lisi",
            json!({ "service_id": service, "name": "每周", "fields": fields }),
        )
        .await;
    assert_eq!(status, 201, "{created}");
    for _ in 0..2 {
        let (status, sent) = desk
            .v1(
                "POST",
                "tickets",
                "lisi",
                json!({ "service_id": service, "fields": fields }),
            )
            .await;
        assert_eq!(status, 201, "{sent}");
        desk.clock.advance(DRAFT_MS * 2);
        desk.settle().await;
    }
    assert_eq!(status_of(&desk, "lisi", &file["id"]).await, 200);
    let path = format!("templates/{}", created["id"].as_str().expect("an id"));
    assert_eq!(
        desk.v1("PUT", &path, "lisi", json!({ "name": "每月" }))
            .await
            .0,
        204
    );
    let read = get(&desk, &path, "lisi").await.1;
    assert_eq!(
        (&read["name"], &read["fields"]),
        (&json!("每月"), &fields),
        "renaming a template keeps its fields"
    );
}

#[tokio::test]
async fn a_template_has_a_unique_name_per_service_and_no_deadline() {
    let desk = TestDesk::open().await;
    let make = async |name: &str, service: i64| {
        desk.v1(
            "POST",
            "templates",
            "lisi",
            json!({ "service_id": service, "name": name, "fields": { "title": name } }),
        )
        .await
    };
    let (status, created) = make("每周巡检", 22).await;
    assert_eq!(status, 201, "{created}");
    let path = format!("templates/{}", created["id"].as_str().expect("an id"));
    assert_eq!(
        (
            make(" 每周巡检 ", 22).await.0,
            make("每周巡检", 19).await.0,
            make("", 22).await.0,
            make("x", 999).await.0
        ),
        (409, 201, 400, 404)
    );
    assert_eq!(make("每月巡检", 22).await.0, 201);
    let names = async |query: &str| -> Vec<Value> {
        let listed = get(&desk, &format!("templates{query}"), "lisi").await.1;
        let mut names: Vec<Value> = listed["templates"]
            .as_array()
            .expect("templates")
            .iter()
            .map(|template| template["name"].clone())
            .collect();
        names.sort_by_key(ToString::to_string);
        names
    };
    assert_eq!(names("?service=22").await, ["每周巡检", "每月巡检"]);
    assert_eq!(names("").await.len(), 3);
    assert_eq!(
        get(&desk, "templates", "wangwu").await.1["templates"],
        json!([])
    );
    assert_eq!(
        desk.v1(
            "PUT",
            &path,
            "wangwu",
            json!({ "name": "mine", "fields": {} })
        )
        .await
        .0,
        404
    );
    assert_eq!(
        desk.v1(
            "PUT",
            &path,
            "lisi",
            json!({ "name": "每月巡检", "fields": {} })
        )
        .await
        .0,
        409
    );
    assert_eq!(
        desk.v1(
            "PUT",
            &path,
            "lisi",
            json!({ "fields": { "title": "巡检", "impact": "1" } })
        )
        .await
        .0,
        204
    );
    let read = get(&desk, &path, "lisi").await.1;
    assert_eq!(
        (&read["name"], &read["fields"], &read["until"]),
        (
            &json!("每周巡检"),
            &json!({ "title": "巡检", "impact": "1" }),
            &Value::Null
        )
    );
    desk.clock.advance(DRAFT_MS * 12);
    desk.settle().await;
    assert_eq!(
        get(&desk, &path, "lisi").await.0,
        200,
        "a template does not expire"
    );
    assert_eq!(desk.v1("DELETE", &path, "lisi", Value::Null).await.0, 204);
    assert_eq!(
        (
            get(&desk, &path, "lisi").await.0,
            names("?service=22").await
        ),
        (404, vec![json!("每月巡检")])
    );
}

/// Returns the types of all events after the given position in the ledger, in order.
async fn events_after(desk: &TestDesk, position: i64) -> Vec<String> {
    let placed = desk
        .app
        .ledger
        .store
        .feed(position, 100)
        .await
        .expect("feed");
    let types = placed.iter().flat_map(|placed| {
        let body = events::Body::read(&placed.commit.body).expect("a body");
        body.events
            .iter()
            .map(|event| event.kind.to_string())
            .collect::<Vec<_>>()
    });
    types.collect()
}

/// A draft for a new ticket is removed when this ticket is created, both over the BlueKing API and over
/// `/v1`.
#[tokio::test]
async fn both_apis_submit_in_the_same_steps_and_end_the_draft() {
    let desk = TestDesk::open().await;
    let draft = "drafts/services/22";
    let fields = json!({
        "title": "申请堡垒机权限", "apply_content": "按清单开通", "impact": "2", "urgency": "3",
        "ZHIDINGSHENPIREN": "zhangsan,wangwu", "LIANXIDIANHUA": "13800000000",
    });
    let mut steps = Vec::new();
    for api in ["v1", "blueking"] {
        let saved = desk
            .v1("PUT", draft, "lisi", json!({ "fields": fields }))
            .await;
        assert_eq!(saved.0, 204, "{api}");
        let before = desk.head().await;
        let key = [("idempotency-key", api)];
        if api == "v1" {
            let body = json!({ "service_id": 22, "fields": fields });
            let (status, created) = desk.v1_with("POST", "tickets", "lisi", body, &key).await;
            assert_eq!(status, 201, "{created}");
        } else {
            let created = desk
                .call_with("create_ticket", approval_request(), &key)
                .await;
            assert_eq!(created["result"], true, "{created}");
        }
        assert_eq!(get(&desk, draft, "lisi").await.0, 404, "{api}");
        let mut events = events_after(&desk, before).await;
        // The desk reserves ticket numbers in blocks, and only the first ticket of a block stores an event
        // for the block. The test compares the events of two tickets, so the test ignores this event.
        events.retain(|kind| kind != "number_sequence.block_issued");
        steps.push(events);
    }
    assert_eq!(steps[0], steps[1]);
    let position = |kind: &str| steps[0].iter().position(|step| step == kind);
    let [reserved, opened, discarded] = [
        "idempotency_key.reserved",
        "ticket.opened",
        "draft.discarded",
    ]
    .map(position);
    assert!(
        reserved.is_some() && reserved < opened && opened < discarded,
        "{:?}",
        steps[0]
    );
}
