//! Forms that people filled in and did not send: drafts, one for each form, and templates.

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
async fn a_draft_is_kept_for_its_owner_until_it_is_sent() {
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
    let (status, draft) = get(&desk, path, "lisi").await;
    assert_eq!(
        (status, &draft["fields"], &draft["service"]),
        (200, &fields, &json!(22)),
        "what was typed comes back, people nobody knows as well"
    );
    assert_eq!(
        get(&desk, path, "wangwu").await.0,
        404,
        "nobody else has it"
    );
    let listed = get(&desk, "drafts", "lisi").await.1;
    assert_eq!(listed["drafts"].as_array().map(Vec::len), Some(1));
    assert_eq!(get(&desk, "drafts", "wangwu").await.1["drafts"], json!([]));

    // What is in it is sealed, and registers nobody.
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

    // Saving the same again says nothing; sending it ends it.
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

    // The same at a node, for each of those who handle it.
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
    let stranger = desk
        .v1(
            "PUT",
            &path,
            "zhangsan",
            json!({ "fields": { "张三 13800000000": "x" } }),
        )
        .await;
    assert_eq!(
        stranger.0, 400,
        "what is typed belongs into values: {}",
        stranger.1
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
        "what was decided is no draft any more"
    );
}

#[tokio::test]
async fn a_draft_that_nobody_goes_on_with_ends_by_itself_and_its_files_with_it() {
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
        "a file stays as long as the draft that names it"
    );
    assert_eq!(save("b").await, 204);
    desk.clock.advance(DRAFT_MS - 1);
    desk.settle().await;
    assert_eq!(
        status_of(&desk, "lisi", &file["id"]).await,
        200,
        "whoever goes on with it has its time anew"
    );
    desk.clock.advance(1);
    desk.settle().await;
    assert_eq!(get(&desk, &path, "lisi").await.0, 404);
    desk.clock.advance(ALONE_MS * 2);
    desk.settle().await;
    assert_eq!(status_of(&desk, "lisi", &file["id"]).await, 404);
}

#[tokio::test]
async fn what_a_draft_names_goes_with_the_ticket_it_becomes() {
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
async fn a_template_with_a_file_is_used_as_often_as_one_likes() {
    let desk = TestDesk::open().await;
    let service = with_files(&desk, json!({})).await;
    let file = upload(&desk, "lisi", "申请表.txt", b"filled in").await;
    let fields = json!({ "title": "每周", "shots": [file["id"]] });
    let (status, made) = desk
        .v1(
            "POST",
            "templates",
            "lisi",
            json!({ "service_id": service, "name": "每周", "fields": fields }),
        )
        .await;
    assert_eq!(status, 201, "{made}");
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
    let path = format!("templates/{}", made["id"].as_str().expect("an id"));
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
        "a new name leaves the form as it is"
    );
}

#[tokio::test]
async fn a_template_is_used_again_and_again_under_its_name() {
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
    let (status, made) = make("每周巡检", 22).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("templates/{}", made["id"].as_str().expect("an id"));
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
        "a template has no end"
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
