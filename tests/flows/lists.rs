//! Lists of tickets: pages, filters, times.

use serde_json::{Value, json};
use tests::approval_request;

use crate::House;

#[tokio::test]
async fn lists_are_paged_newest_first_and_narrowed() {
    let house = House::open().await;
    for number in 0..25 {
        let mut body = approval_request();
        body["creator"] = if number % 5 == 0 { "chuyi" } else { "lisi" }.into();
        body["tag"] = if number < 3 { "early" } else { "late" }.into();
        house.must("create_ticket", body).await;
        house.clock.turn(60_000);
    }
    let sns = |data: &Value| data["items"].as_array().expect("items").iter().map(|item| item["sn"].as_str().expect("sn")[11..].to_owned()).collect::<Vec<_>>();
    let page = house.must("get_tickets", json!({ "page": 3 })).await;
    assert_eq!((&page["count"], &page["total_page"], &page["page"], &page["next"]), (&json!(25), &json!(3), &json!(3), &Value::Null));
    assert_eq!(sns(&page), ["000005", "000004", "000003", "000002", "000001"]);
    assert!(page["previous"].as_str().expect("a link").ends_with("page=2&page_size=10"));
    assert_eq!(house.must("get_tickets", json!({ "page": "last", "page_size": 20 })).await["page"], 2);
    assert_eq!(house.must("get_tickets", json!({ "creator": "chuyi" })).await["count"], 5);
    assert_eq!(sns(&house.must("get_tickets", json!({ "tag": "early" })).await), ["000003", "000002", "000001"]);
    assert_eq!(house.must("get_tickets", json!({ "username": "wangwu", "page_size": 3 })).await["count"], 25, "the to-do list of a processor");
    // The morning is 10:00:00; ticket k was created k-1 minutes later. Both ends count.
    let between = json!({ "create_at__gte": "2026-11-22 10:02:00", "create_at__lte": "2026-11-22 10:04:00" });
    assert_eq!(sns(&house.must("get_tickets", between).await), ["000005", "000004", "000003"]);
    let two = json!({ "sns": ["REQ20261122000007", "REQ20261122000002", "NO2019"] });
    assert_eq!(sns(&house.must("get_tickets", two).await), ["000007", "000002"]);
    assert_eq!(house.refused("get_tickets", json!({ "page": 9 })).await.0, 3_900_021);
    assert_eq!(house.refused("get_tickets", json!({ "page_size": 0 })).await.0, 3_900_021);
    assert_eq!(house.refused("get_tickets", json!({ "create_at__gte": "yesterday" })).await.0, 3_900_021);
}
