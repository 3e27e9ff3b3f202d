//! This module builds workflow definitions as lists of nodes, edges and fields. These lists are one of the
//! two formats of workflow files. The module imports each definition as a service.

use infra::http::HttpResponse;
use serde_json::{Value, json};
use tests::form;

use crate::TestDesk;

/// Imports a service and returns its id. The workflow of the service has the given nodes between the submit
/// node (id 2, with the form of the creator) and the node END (id 9).
pub(crate) async fn service(
    desk: &TestDesk,
    name: &str,
    nodes: Value,
    lines: Value,
    fields: Value,
) -> Value {
    let mut all = vec![
        json!({ "id": 1, "type": "START", "name": "开始" }),
        json!({ "id": 2, "type": "NORMAL", "name": "提单", "processors_type": "OPEN", "is_first_state": true }),
        json!({ "id": 9, "type": "END", "name": "结束" }),
    ];
    all.extend(nodes.as_array().expect("nodes").clone());
    let mut form = vec![
        json!({ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 }),
        json!({ "id": 2, "key": "host", "name": "主机", "type": "STRING", "validate_type": "OPTION", "state_id": 2 }),
        json!({ "id": 3, "key": "count", "name": "数量", "type": "INT", "validate_type": "OPTION", "state_id": 2 }),
    ];
    form.extend(fields.as_array().expect("fields").clone());
    let flow = json!({ "name": name, "is_revocable": true, "revoke_config": { "type": 1 }, "nodes": all, "edges": lines, "fields": form });
    let import_request = json!({ "bk_username": "admin", "name": name, "key": "request", "catalog_id": 4, "owners": "admin", "workflow": flow });
    desk.must("import_service", import_request).await["id"].clone()
}

pub(crate) fn line(from: i64, to: i64) -> Value {
    json!({ "from": from, "to": to, "condition_type": "default" })
}

pub(crate) fn line_if(from: i64, to: i64, key: &str, value: &str) -> Value {
    let clause = json!({ "key": key, "type": "STRING", "condition": "==", "value": value });
    json!({ "from": from, "to": to, "condition_type": "by_field", "condition": { "type": "and", "expressions": [{ "type": "and", "expressions": [clause] }] } })
}

/// Returns a manual node (a node at which people submit a form). `who` contains the user names of the people
/// who may process the node, with commas between the names.
pub(crate) fn manual(id: i64, name: &str, who: &str) -> Value {
    json!({ "id": id, "type": "NORMAL", "name": name, "processors_type": "PERSON", "processors": who, "distribute_type": "PROCESS" })
}

pub(crate) fn api(id: i64, info: Value) -> Value {
    json!({ "id": id, "type": "TASK", "name": "开通账号", "processors_type": "PERSON", "processors": "zhangsan", "api_info": info })
}

pub(crate) fn account_api() -> Value {
    json!({
        "remote_api_info": { "method": "POST", "url": "https://api.example.com/accounts/${host}", "headers": [{ "key": "X-Ticket", "value": "${ticket_sn}" }] },
        "req_body": { "host": "${params_host}", "count": "${params_count}", "by": "${ticket_creator}", "text": "${params_title}!" },
        "outputs": [{ "key": "account", "name": "账号", "ref_path": "data.account" }],
    })
}

pub(crate) async fn open(desk: &TestDesk, service: &Value) -> Value {
    let fields = form(&[("title", "t\" ${host} '"), ("host", "a/b"), ("count", "3")]);
    desk.must(
        "create_ticket",
        json!({ "service_id": service, "creator": "lisi", "fields": fields }),
    )
    .await["sn"]
        .clone()
}

pub(crate) fn answers(desk: &TestDesk, answers: &[(u16, Value)]) {
    let mut next = desk.receiver.answers.lock().expect("no holder panics");
    next.extend(
        answers
            .iter()
            .map(|(status, body)| Ok(HttpResponse::of(*status, body.to_string().as_bytes()))),
    );
}

pub(crate) async fn step(desk: &TestDesk, sn: &Value) -> Value {
    let status = desk.must("get_ticket_status", json!({ "sn": sn })).await;
    let steps = status["current_steps"].as_array().expect("steps");
    steps
        .iter()
        .map(|step| json!([step["name"], step["status"], step["action_type"]]))
        .collect()
}

/// Returns an approval node with the approvers `who`. The form field `o<id>` contains the decision of an
/// approver. The result of the node and its vote counters are variables with names such as `PASS_COUNT_<id>`.
/// The members of `more` are added to the node.
pub(crate) fn approval(id: i64, who: &str, more: Value) -> Value {
    let counters = [
        "NODE_APPROVE_RESULT",
        "PASS_RATE",
        "REJECT_RATE",
        "PASS_COUNT",
        "REJECT_COUNT",
        "PROCESS_COUNT",
    ];
    let outputs: Vec<Value> = counters
        .iter()
        .map(|code| json!({ "key": format!("{code}_{id}"), "meta": { "code": code } }))
        .collect();
    let mut node = json!({ "id": id, "type": "APPROVAL", "name": format!("审批{id}"), "processors_type": "PERSON", "processors": who, "variables": { "outputs": outputs } });
    node.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    node
}

pub(crate) fn opinion(id: i64) -> Value {
    json!({ "id": 100 + id, "key": format!("o{id}"), "name": "意见", "type": "RADIO", "state_id": id, "validate_type": "REQUIRE", "meta": { "code": "APPROVE_RESULT" },
        "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] })
}
