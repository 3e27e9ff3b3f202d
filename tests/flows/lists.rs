//! These tests check the pages, the filters and the time ranges of ticket lists.

use std::sync::Arc;

use infra::views::sqlite::Sqlite;
use serde_json::{Value, json};
use tests::{approval_request, change, incident};

use crate::TestDesk;

/// Returns two desks and a temporary directory. The first desk keeps its views (stored lists) in memory. The
/// second desk keeps its views in an SQLite file in this directory.
async fn desks() -> (TestDesk, TestDesk, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = tests::views_file(directory.path());
    (
        TestDesk::open().await,
        TestDesk::open_over(Arc::new(Sqlite(file))).await,
        directory,
    )
}

#[tokio::test]
async fn lists_are_paged_newest_first_and_filtered() {
    let (in_memory, on_disk, _directory) = desks().await;
    check_pages_and_filters(&in_memory).await;
    check_pages_and_filters(&on_disk).await;
}

async fn check_pages_and_filters(desk: &TestDesk) {
    for number in 0..25 {
        let mut body = approval_request();
        body["creator"] = if number % 5 == 0 { "chuyi" } else { "lisi" }.into();
        body["tag"] = if number < 3 { "early" } else { "late" }.into();
        desk.must("create_ticket", body).await;
        desk.clock.advance(60_000);
    }
    let sns = |data: &Value| {
        data["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["sn"].as_str().expect("sn")[11..].to_owned())
            .collect::<Vec<_>>()
    };
    let page = desk.must("get_tickets", json!({ "page": 3 })).await;
    assert_eq!(
        (
            &page["count"],
            &page["total_page"],
            &page["page"],
            &page["next"]
        ),
        (&json!(25), &json!(3), &json!(3), &Value::Null)
    );
    assert_eq!(
        sns(&page),
        ["000005", "000004", "000003", "000002", "000001"]
    );
    assert!(
        page["previous"]
            .as_str()
            .expect("a link")
            .ends_with("page=2&page_size=10")
    );
    assert_eq!(
        desk.must("get_tickets", json!({ "page": "last", "page_size": 20 }))
            .await["page"],
        2
    );
    assert_eq!(
        desk.must("get_tickets", json!({ "creator": "chuyi" }))
            .await["count"],
        5
    );
    assert_eq!(
        sns(&desk.must("get_tickets", json!({ "tag": "early" })).await),
        ["000003", "000002", "000001"]
    );
    assert_eq!(
        desk.must(
            "get_tickets",
            json!({ "username": "wangwu", "page_size": 3 })
        )
        .await["count"],
        25,
        "the to-do list of a processor"
    );
    // The tickets are created at intervals of one minute, starting at 10:00:00. A time range includes its
    // first and its last instant.
    let between =
        json!({ "create_at__gte": "2026-11-22 10:02:00", "create_at__lte": "2026-11-22 10:04:00" });
    assert_eq!(
        sns(&desk.must("get_tickets", between).await),
        ["000005", "000004", "000003"]
    );
    let two = json!({ "sns": ["REQ20261122000007", "REQ20261122000002", "NO2019"] });
    assert_eq!(
        sns(&desk.must("get_tickets", two).await),
        ["000007", "000002"]
    );
    assert_eq!(
        desk.refused("get_tickets", json!({ "page": 9 })).await.0,
        3_900_021
    );
    assert_eq!(
        desk.refused("get_tickets", json!({ "page_size": 0 }))
            .await
            .0,
        3_900_021
    );
    assert_eq!(
        desk.refused("get_tickets", json!({ "create_at__gte": "yesterday" }))
            .await
            .0,
        3_900_021
    );
}

#[tokio::test]
async fn lists_over_v1_are_filtered_and_leave_out_withdrawn_tickets() {
    let (in_memory, on_disk, _directory) = desks().await;
    check_v1_filters(&in_memory).await;
    check_v1_filters(&on_disk).await;
}

async fn check_v1_filters(desk: &TestDesk) {
    let mut sns = Vec::new();
    for (at, body) in [approval_request(), change(), incident(), approval_request()]
        .into_iter()
        .enumerate()
    {
        let mut body = body;
        body["tag"] = format!("t{}", at % 2).into();
        sns.push(desk.must("create_ticket", body).await["sn"].clone());
        desk.clock.advance(60_000);
    }
    desk.must(
        "operate_ticket",
        json!({ "sn": sns[3], "operator": "lisi", "action_type": "WITHDRAW" }),
    )
    .await;
    let listed = async |query: &str, user: &str| {
        let (status, answer) = desk
            .v1("GET", &format!("tickets?{query}"), user, Value::Null)
            .await;
        assert_eq!(status, 200, "{query}: {answer}");
        let items: Vec<Value> = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["sn"].clone())
            .collect();
        assert_eq!(answer["count"], items.len(), "{query}");
        items
    };
    let (request, change, incident, withdrawn) = (&sns[0], &sns[1], &sns[2], &sns[3]);
    assert_eq!(
        json!(listed("", "admin").await),
        json!([incident, change, request]),
        "newest first, without the withdrawn ticket"
    );
    for (query, found) in [
        ("kind=change,event", json!([incident, change])),
        ("service=22", json!([request])),
        ("status=REVOKED", json!([withdrawn])),
        (
            "status=RUNNING,REVOKED&kind=request",
            json!([withdrawn, request]),
        ),
        ("tag=t1", json!([change])),
        ("creator=lisi&kind=request", json!([request])),
        ("creator=nobody", json!([])),
        ("catalog=99", json!([])),
        ("catalog=4", json!([request])),
        ("catalog=2", json!([incident])),
        ("catalog=1", json!([incident, change, request])),
        ("bk_biz_id=-1", json!([incident, change, request])),
        ("bk_biz_id=2", json!([])),
        (
            "created_after=2026-11-22T02:00:30Z&created_before=2026-11-22T02:01:30Z",
            json!([change]),
        ),
    ] {
        assert_eq!(json!(listed(query, "admin").await), found, "{query}");
    }
    assert_eq!(
        json!(listed("list=approval", "zhangsan").await),
        json!([change, request])
    );
    assert_eq!(
        json!(listed("list=approval&kind=request", "zhangsan").await),
        json!([request])
    );
    desk.must(
        "approve",
        json!({ "sn": request, "state_id": 3, "approver": "zhangsan", "action": "true" }),
    )
    .await;
    assert_eq!(
        (
            json!(listed("list=dealt", "zhangsan").await),
            json!(listed("list=approval", "zhangsan").await)
        ),
        (json!([request]), json!([change]))
    );
    desk.must(
        "add_follower",
        json!({ "sn": change, "users": "chuyi", "operator": "lisi" }),
    )
    .await;
    assert_eq!(
        (
            json!(listed("list=following", "chuyi").await),
            json!(listed("list=following", "zhangsan").await)
        ),
        (json!([change]), json!([]))
    );
    assert_eq!(
        json!(listed("list=claim", "sunba").await),
        json!([incident]),
        "the incident waits for a claim"
    );
    desk.operate(incident, "claim", "sunba", json!({ "node": 3 }))
        .await;
    assert_eq!(
        (
            listed("list=claim", "sunba").await.len(),
            json!(listed("list=todo", "sunba").await)
        ),
        (0, json!([incident]))
    );
    assert_eq!(
        json!(listed("list=created&status=REVOKED", "lisi").await),
        json!([withdrawn])
    );
    assert!(!listed("list=created", "lisi").await.contains(withdrawn));
    for (query, field) in [
        ("list=mine", "list"),
        ("created_after=yesterday", "created_after"),
        ("page=0", "page"),
    ] {
        let (status, problem) = desk
            .v1("GET", &format!("tickets?{query}"), "lisi", Value::Null)
            .await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (400, &json!(field))
        );
    }
}
