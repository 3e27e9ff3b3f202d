//! These tests check the filters, the order and the pages of ticket lists.

use std::collections::BTreeSet;
use std::sync::Arc;

use infra::views::memory::Memory;
use infra::views::sqlite::Sqlite;
use serde_json::{Value, json};
use tests::lists;
use tests::process::Served;

/// The views (lists that are computed from the ledger) are stored in SQLite. The test reads filtered
/// ticket lists page by page. Each page must contain the same tickets as a direct computation over all
/// tickets (cases/first-use.md, fault F1).
#[tokio::test]
async fn every_list_on_sqlite_equals_a_direct_computation() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = tests::views_file(directory.path());
    let compared = lists::check(Arc::new(Sqlite(file)), 1_500, 800).await;
    println!("sqlite: {compared:?}, 0 differences");
    assert!(compared.listed > 10_000, "{compared:?}");
}

/// The views (lists that are computed from the ledger) are stored in memory. The test reads filtered
/// ticket lists page by page. Each page must contain the same tickets as a direct computation over all
/// tickets (cases/first-use.md, fault F1).
#[tokio::test]
async fn every_list_in_memory_equals_a_direct_computation() {
    let compared = lists::check(Arc::new(Memory::default()), 400, 1_000).await;
    println!("memory: {compared:?}, 0 differences");
    assert!(compared.listed > 10_000, "{compared:?}");
}

/// In the compiled program, the BlueKing API and `/v1` return each ticket of a filtered list exactly once
/// (cases/first-use.md, fault F1).
#[tokio::test]
async fn a_filtered_list_shows_each_ticket_once_over_both_apis() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let form = json!({ "title": "a", "apply_content": "b", "ZHIDINGSHENPIREN": "zhangsan" });
    for (service, fields) in [
        (17, json!({ "title": "x" })),
        (22, form.clone()),
        (17, json!({ "title": "y" })),
        (22, form),
        (17, json!({ "title": "z" })),
    ] {
        let (status, answer) = desk
            .v1(
                "POST",
                "tickets",
                "lisi",
                json!({ "service_id": service, "fields": fields }),
            )
            .await;
        assert_eq!(status, 201, "{answer}");
    }
    for (query, count) in [
        ("list=all&service=17", 3),
        ("list=all&service=22", 2),
        ("kind=request", 5),
        ("catalog=4", 5),
        ("list=created&status=RUNNING", 5),
        ("status=RUNNING,FINISHED", 5),
        ("service=17,22&status=RUNNING&kind=request", 5),
        ("service=17&page_size=2&page=2", 3),
    ] {
        let (status, answer) = desk
            .v1("GET", &format!("tickets?{query}"), "lisi", Value::Null)
            .await;
        assert_eq!(
            (status, &answer["count"]),
            (200, &json!(count)),
            "{query}: {answer}"
        );
        let sns: Vec<&str> = answer["items"]
            .as_array()
            .expect("items")
            .iter()
            .filter_map(|item| item["sn"].as_str())
            .collect();
        assert_eq!(
            sns.iter().collect::<BTreeSet<_>>().len(),
            sns.len(),
            "{query}: {sns:?}"
        );
    }
    for (operation, body, count) in [
        ("get_tickets", json!({ "service_id__in": "17" }), 3),
        (
            "get_tickets",
            json!({ "service_id__in": "17,22", "create_at__gte": "2020-01-01 00:00:00" }),
            5,
        ),
        (
            "get_tickets_by_user",
            json!({ "user": "lisi", "view_type": "my_created", "catalog_id": "4" }),
            5,
        ),
    ] {
        let envelope = desk.bk(operation, body.clone()).await;
        assert_eq!(
            (
                &envelope["data"]["count"],
                envelope["data"]["items"].as_array().map(Vec::len)
            ),
            (&json!(count), Some(count)),
            "{body}: {envelope}"
        );
    }
}

/// A list request with more than 1,000 values in one filter is rejected, and the error names the filter
/// (cases/hostile-and-broken.md, case 11).
#[tokio::test]
async fn a_filter_of_more_than_a_thousand_values_is_rejected_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let many = (0..1_001)
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(",");
    for (operation, name) in [
        ("get_tickets", "service_id__in"),
        ("get_tickets", "current_status__in"),
        ("get_tickets", "sns"),
        ("get_tickets_by_user", "catalog_id"),
    ] {
        let envelope = desk
            .bk(operation, json!({ "user": "lisi", name: many }))
            .await;
        let message = envelope["message"].as_str().unwrap_or_default();
        assert!(
            envelope["result"] == false && message.contains(name),
            "{operation} {name}: {envelope}"
        );
    }
    let few = (0..1_000)
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(",");
    assert_eq!(
        desk.bk("get_tickets", json!({ "service_id__in": few }))
            .await["result"],
        true
    );
    for name in ["service", "kind", "status", "catalog", "bk_biz_id"] {
        let (status, problem) = desk
            .v1(
                "GET",
                &format!("tickets?{name}={many}"),
                "lisi",
                Value::Null,
            )
            .await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (400, &json!(name)),
            "{problem}"
        );
    }
}

/// The BlueKing API rejects a request for a ticket list if the value of a filter has a wrong JSON type. If
/// the desk ignored such a filter, the list would contain all tickets (cases/first-use.md, faults F1 and
/// F2).
#[tokio::test]
async fn a_filter_of_another_type_is_never_ignored() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    for _ in 0..2 {
        assert_eq!(
            desk.v1(
                "POST",
                "tickets",
                "lisi",
                json!({ "service_id": 17, "fields": { "title": "x" } })
            )
            .await
            .0,
            201
        );
    }
    for (name, value, count) in [
        ("service_id__in", json!(17), 2),
        ("service_id__in", json!(22), 0),
        ("service_id__in", json!([17, "22"]), 2),
        ("bk_biz_id__in", json!(2), 0),
        ("service_id__in", Value::Null, 2),
        ("sns", json!("REQ20200101000001"), 0),
    ] {
        let envelope = desk.bk("get_tickets", json!({ name: value })).await;
        assert_eq!(
            envelope["data"]["count"], count,
            "{name} {value}: {envelope}"
        );
    }
    for name in [
        "service_id__in",
        "bk_biz_id__in",
        "current_status__in",
        "sns",
        "service_type",
        "creator",
        "username",
        "tag",
    ] {
        for value in [json!({}), json!({ "a": 1 }), json!([[17]]), json!([{}])] {
            let envelope = desk.bk("get_tickets", json!({ name: value })).await;
            assert!(
                envelope["result"] == false
                    && envelope["message"]
                        .as_str()
                        .is_some_and(|message| message.contains(name)),
                "{name} {value}: {envelope}"
            );
        }
    }
}
