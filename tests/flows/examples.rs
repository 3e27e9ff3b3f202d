//! These tests send the request examples of the interface document (requirements/itsm-product-and-api.md),
//! in the order in which a client sends them. Only the ticket numbers differ from the document.

use serde_json::{Value, json};

use crate::TestDesk;

async fn create(desk: &TestDesk) -> Value {
    desk.must("create_ticket", json!({ "bk_token": "xxxx", "service_id": 17, "creator": "xxx", "fields": [{ "key": "title", "value": "d" }] })).await["sn"]
        .clone()
}

#[tokio::test]
async fn the_documented_requests_return_the_documented_responses() {
    let desk = TestDesk::open().await;
    let sn = create(&desk).await;
    desk.must(
        "get_services",
        json!({ "bk_token": "xxxx", "catalog_id": 12, "service_type": "request" }),
    )
    .await;
    desk.must(
        "get_service_catalogs",
        json!({ "bk_token": "xxxx", "has_service": "true", "service_key": "change" }),
    )
    .await;
    assert_eq!(
        desk.must(
            "get_service_detail",
            json!({ "bk_token": "xxxx", "service_id": 1 })
        )
        .await["service_id"],
        1
    );
    let list = json!({ "bk_token": "xxxx", "sns": [sn], "create_at__lte": desk.now() });
    desk.followed().await;
    assert_eq!(desk.must("get_tickets", list).await["count"], 1);
    for operation in ["get_ticket_info", "get_ticket_status", "get_ticket_logs"] {
        desk.must(operation, json!({ "bk_token": "xxxx", "sn": sn }))
            .await;
    }

    let status = desk.must("get_ticket_status", json!({ "sn": sn })).await;
    let step = &status["current_steps"][0];
    assert_eq!(
        (
            &step["name"],
            &step["state_id"],
            &step["processors"],
            &step["processors_type"]
        ),
        (
            &json!("法务审批"),
            &json!(4),
            &json!("zhangsan"),
            &json!("PERSON")
        )
    );
    let keys: Vec<&Value> = step["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(|field| &field["key"])
        .collect();
    assert_eq!(keys, ["SHENPIJIEGUO", "SHENPIBEIZHU"]);

    desk.must("operate_ticket", json!({ "sn": sn, "operator": "zhangsan", "action_type": "SUSPEND", "action_message": "test" })).await;
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "zhangsan", "action_type": "UNSUSPEND" }),
    )
    .await;
    let deliver = json!({ "sn": sn, "operator": "zhangsan", "action_type": "DELIVER", "action_message": "test", "processors": "zhangsan", "processors_type": "PERSON", "state_id": 4 });
    desk.must("operate_node", deliver).await;
    let fields = json!([{ "key": "SHENPIJIEGUO", "value": "TONGYI" }, { "key": "SHENPIBEIZHU", "value": "hello" }]);
    let approve = json!({ "bk_token": "xxxx", "sn": sn, "operator": "zhangsan", "action_type": "TRANSITION", "state_id": 4, "fields": fields });
    assert_eq!(desk.must("operate_node", approve).await, json!([]));
    assert_eq!(
        desk.must("get_ticket_info", json!({ "sn": sn })).await["current_status"],
        "FINISHED"
    );

    let sn = create(&desk).await;
    desk.must("operate_node", json!({ "sn": sn, "operator": "zhangsan", "action_type": "TERMINATE", "action_message": "test", "state_id": 4 })).await;
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "TERMINATED"
    );

    // The interface document allows a claim without the parameter `processors`.
    let sn = desk.must("create_ticket", tests::incident()).await["sn"].clone();
    desk.must(
        "operate_node",
        json!({ "sn": sn, "operator": "qianqi", "action_type": "CLAIM", "state_id": 3 }),
    )
    .await;
}
