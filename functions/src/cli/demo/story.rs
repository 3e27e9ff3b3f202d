//! Executes the scripted part of the demo, in which an incident causes a change. The demo processes
//! the incident and the change as two tickets through the APIs.
//!
//! The form of the change gets its options from another system. Two parallel approvals accept the
//! change. Then a countersign node (all approvers must agree) sends the change back. The creator
//! submits the change again with a file. The API call of the change fails once and is repeated. At
//! the end, the incident is resolved.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::day::Client;

/// The longest time that the demo waits until a ticket has the expected status.
const STATUS_TIMEOUT: Duration = Duration::from_secs(20);

/// Executes the scripted part of the demo. Returns lines of text that describe the result. The
/// summary of the demo contains these lines.
pub(super) async fn run(client: &Client) -> Result<Vec<String>, String> {
    let calls = Calls::default();
    let address = platform(calls.clone()).await?;
    let imported = client.must("import_service", service(&address)).await?;
    let mut lines = vec![format!(
        "service {} was imported with its workflow",
        imported["name"].as_str().unwrap_or_default()
    )];

    let fields = json!([
        { "key": "title", "value": "订单接口大面积超时" }, { "key": "impact", "value": "3" }, { "key": "urgency", "value": "3" },
        { "key": "GUZHANGLEIXING", "value": "CPU" }, { "key": "GUZHANGMIAOSHU", "value": "连接池耗尽" }
    ]);
    let incident = client
        .must(
            "create_ticket",
            json!({ "service_id": 19, "creator": "lisi", "fields": fields }),
        )
        .await?;
    let operate = |sn: &Value, person: &str, node: i64, action: &str, fields: Value| json!({ "sn": sn, "operator": person, "state_id": node, "action_type": action, "fields": fields });
    client
        .must(
            "operate_node",
            operate(&incident["sn"], "qianqi", 3, "CLAIM", json!([])),
        )
        .await?;
    lines.push(format!(
        "incident {} was submitted, and the service desk claimed it",
        text(&incident["sn"])
    ));

    let path = format!("services/{}/options", imported["id"]);
    let offered = client
        .v1(&path, "qianqi", json!({ "field": "pool" }))
        .await?["options"]
        .clone();
    let pool = offered[0]["key"].clone();
    lines.push(format!(
        "the platform offers {} pools as options",
        offered.as_array().map_or(0, Vec::len)
    ));
    let form = json!([{ "key": "title", "value": "连接池扩容" }, { "key": "pool", "value": pool }, { "key": "size", "value": "200" }]);
    let request = json!({ "service_id": imported["id"], "creator": "qianqi", "from_ticket_id": incident["id"], "fields": form });
    let change = client.must("create_ticket", request).await?["sn"].clone();
    lines.push(format!(
        "change {} was opened from the incident, and both tickets show the link",
        text(&change)
    ));

    let approve = async |person: &str, node: i64, pass: bool| {
        let vote = json!({ "sn": change, "state_id": node, "approver": person, "action": pass.to_string(), "remark": if pass { "同意" } else { "缺少回滚方案" } });
        client.must("approve", vote).await
    };
    for round in 1..=2 {
        approve("zhangsan", 4, true).await?;
        approve("zhoujiu", 5, true).await?;
        approve("wushi", 7, round == 2).await?;
        if round == 1 {
            lines.push("two parallel approvals passed; the countersign node sent the change back, because a rollback plan was missing".into());
            let plan = client
                .upload(
                    "回滚方案.txt",
                    "qianqi",
                    "缩回 100，重启网关。\n".as_bytes(),
                )
                .await?["attachments"][0]
                .clone();
            let mut again = form.clone();
            if let Some(fields) = again.as_array_mut() {
                fields.push(json!({ "key": "plan", "value": plan["id"] }));
            }
            client
                .must(
                    "operate_node",
                    operate(&change, "qianqi", 2, "TRANSITION", again),
                )
                .await?;
            lines.push(format!("the change was submitted again with {} ({} bytes), sealed, with its digest in the ledger", text(&plan["name"]), plan["bytes"]));
        }
    }
    approve("zhangsan", 7, true).await?;
    lines.push("all approvers passed the second round".into());

    until(client, &change, |status| {
        status["current_steps"][0]["status"] == "FAILED"
    })
    .await?;
    lines.push(
        "the platform rejected the first API call; the node has failed and waits for an operator"
            .into(),
    );
    client
        .v1(
            &format!("tickets/{}/retry", text(&change)),
            "zhangsan",
            json!({ "node": 8 }),
        )
        .await?;
    until(client, &change, |status| {
        status["current_status"] == "FINISHED"
    })
    .await?;
    let keys = calls.lock().expect("no holder panics").clone();
    let different = keys.iter().collect::<BTreeSet<_>>().len();
    lines.push(format!(
        "the node was retried, and change {} is finished after {} API calls with {different} idempotency key",
        text(&change),
        keys.len()
    ));

    let solved = json!([{ "key": "YIXIANJIEGUO", "value": "JIEJUE" }, { "key": "YIXIANSHUOMING", "value": "已扩容" }]);
    client
        .must(
            "operate_node",
            operate(&incident["sn"], "qianqi", 3, "TRANSITION", solved),
        )
        .await?;
    client
        .v1(
            &format!("tickets/{}/remark", text(&incident["sn"])),
            "qianqi",
            json!({ "text": "已随变更解决", "people": ["lisi"] }),
        )
        .await?;
    lines.push(format!(
        "incident {} was resolved; to see the change: ledgerdesk audit show ticket-{}",
        text(&incident["sn"]),
        text(&change)
    ));
    Ok(lines)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Reads a ticket repeatedly until the function `is_met` returns true for the status of the ticket.
/// Returns an error after [`STATUS_TIMEOUT`].
async fn until(client: &Client, sn: &Value, is_met: impl Fn(&Value) -> bool) -> Result<(), String> {
    let seen = async {
        loop {
            let status = client
                .must("get_ticket_status", json!({ "sn": sn }))
                .await?;
            if is_met(&status) {
                return Ok::<(), String>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(STATUS_TIMEOUT, seen)
        .await
        .map_err(|_| format!("{sn} did not reach the expected status in time"))?
}

/// The idempotency keys of all API calls that the simulated external system received, oldest first.
type Calls = Arc<Mutex<Vec<String>>>;

/// Starts a simulated external system on this machine, which receives the API calls of the demo.
/// Returns the URL of this system. The system rejects the first API call, because the demo shows
/// how the desk repeats a call. `calls` collects the received calls.
async fn platform(calls: Calls) -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| format!("cannot listen for API calls: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let router = Router::new()
        .route("/pools/", post(answer))
        .route("/pools/list/", post(offer))
        .with_state(calls);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}/pools/"))
}

async fn answer(State(calls): State<Calls>, headers: HeaderMap) -> Json<Value> {
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let mut calls = calls.lock().expect("no holder panics");
    calls.push(key);
    Json(match calls.len() {
        1 => json!({ "result": false, "code": 3, "message": "pool is locked" }),
        _ => json!({ "result": true, "code": 0, "message": "", "data": { "pool": "orders-200" } }),
    })
}

/// Handles a request of the service desk to the simulated external system. Returns a list of
/// connection pools. The service desk uses this list as the options of a form field.
async fn offer() -> Json<Value> {
    let pool = |key: &str, name: &str| json!({ "id": key, "name": name });
    Json(
        json!({ "result": true, "code": 0, "message": "", "data": { "pools": [pool("orders", "订单"), pool("billing", "计费")] } }),
    )
}

/// Returns the definition of a service for an import. `url` is the address of the API call in the
/// workflow. The workflow also contains parallel approvals, and a countersign node (all approvers
/// must agree) that can send the ticket back.
fn service(url: &str) -> Value {
    let approval = |id: i64, name: &str, person: &str, is_multi: bool| {
        json!({ "id": id, "type": "APPROVAL", "name": name, "processors_type": "PERSON", "processors": person, "is_multi": is_multi,
            "variables": { "outputs": [{ "key": format!("result_{id}"), "meta": { "code": "NODE_APPROVE_RESULT" } }, { "key": format!("rejected_{id}"), "meta": { "code": "REJECT_COUNT" } }] },
            "finish_condition": if is_multi { condition(&format!("rejected_{id}"), "INT", "1") } else { json!({}) } })
    };
    let opinion = |id: i64, node: i64| {
        [
            json!({ "id": id, "key": format!("opinion_{node}"), "name": "审批意见", "type": "RADIO", "state_id": node, "validate_type": "REQUIRE", "meta": { "code": "APPROVE_RESULT" },
                "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] }),
            json!({ "id": id + 1, "key": format!("remark_{node}"), "name": "备注", "type": "TEXT", "state_id": node, "validate_type": "OPTION" }),
        ]
    };
    let transition =
        |from: i64, to: i64| json!({ "from": from, "to": to, "condition_type": "default" });
    let transition_if = |from: i64, to: i64, name: &str, value: &str| json!({ "from": from, "to": to, "name": name, "condition_type": "by_field", "condition": condition(&format!("result_{from}"), "STRING", value) });
    let mut fields = vec![
        json!({ "id": 1, "key": "title", "name": "标题", "type": "STRING", "state_id": 2, "validate_type": "REQUIRE" }),
        json!({ "id": 2, "key": "size", "name": "连接数", "type": "INT", "state_id": 2, "validate_type": "REQUIRE" }),
        json!({ "id": 20, "key": "pool", "name": "连接池", "type": "SELECT", "state_id": 2, "validate_type": "REQUIRE", "source_type": "API",
            "kv_relation": { "key": "id", "name": "name" }, "api_info": { "remote_api_info": { "method": "POST", "url": format!("{url}list/") }, "rsp_data": "pools" } }),
        json!({ "id": 21, "key": "plan", "name": "回滚方案", "type": "FILE", "state_id": 2, "validate_type": "OPTION", "meta": { "accept": ".txt,.md,.pdf" } }),
    ];
    fields.extend(
        opinion(3, 4)
            .into_iter()
            .chain(opinion(5, 5))
            .chain(opinion(7, 7)),
    );
    let workflow = json!({
        "name": "容量变更", "is_revocable": true, "is_supervise_needed": true,
        "nodes": [
            { "id": 1, "type": "START", "name": "开始" }, { "id": 2, "type": "NORMAL", "name": "提单" }, { "id": 3, "type": "ROUTER-P", "name": "并行审批" },
            approval(4, "架构审批", "zhangsan", false), approval(5, "安全审批", "zhoujiu", false), { "id": 6, "type": "COVERAGE", "name": "汇聚" },
            approval(7, "变更会签", "wushi,zhangsan", true),
            { "id": 8, "type": "TASK", "name": "下发配置", "processors_type": "PERSON", "processors": "zhangsan", "api_info": {
                "remote_api_info": { "method": "POST", "url": url }, "req_body": { "pool": "${params_pool}", "size": "${params_size}", "ticket": "${ticket_sn}" },
                "outputs": [{ "key": "pool", "name": "连接池", "ref_path": "data.pool" }] } },
            { "id": 9, "type": "END", "name": "结束" }
        ],
        "edges": [transition(1, 2), transition(2, 3), transition(3, 4), transition(3, 5), transition(4, 6), transition(5, 6), transition(6, 7), transition_if(7, 8, "通过", "true"), transition_if(7, 2, "退回", "false"), transition(8, 9)],
        "fields": fields,
    });
    json!({ "name": "容量变更", "key": "change", "desc": "并行审批、会签、自动下发", "catalog_id": 12, "owners": "admin", "workflow": workflow })
}

fn condition(key: &str, kind: &str, value: &str) -> Value {
    json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [{ "key": key, "type": kind, "condition": "==", "value": value }] }] })
}
