//! These tests import workflow files that were written for BlueKing ITSM. The tests also send HTTP
//! requests in the forms that existing clients of BlueKing ITSM use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use domain::placeholder::percent;
use infra::http::HttpResponse;
use serde_json::{Value, json};
use tests::process::Served;
use tests::{TestDesk, form};

/// Maximum number of times that a test checks a condition before the test fails.
const LOOKS_MAX: u32 = 600;
/// Waiting time between two checks of a condition.
const LOOK: Duration = Duration::from_millis(50);

/// One HTTP request that the test server (`Receiver`) received and stored.
#[derive(Clone, Debug)]
struct Received {
    method: String,
    target: String,
    headers: HeaderMap,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A local HTTP server that stores each request and responds with success.
struct Receiver {
    base: String,
    received: Arc<Mutex<Vec<Received>>>,
    served: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Receiver {
    async fn start() -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = received.clone();
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let body = String::from_utf8_lossy(&body).into_owned();
            kept.lock().expect("no holder panics").push(Received {
                method: method.to_string(),
                target: uri.to_string(),
                headers,
                body,
            });
            async { axum::Json(json!({ "result": true, "code": 0, "data": {} })) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let served = tokio::spawn(async move {
            axum::serve(listener, axum::Router::new().fallback(answer))
                .await
                .expect("serves");
        });
        Self {
            base,
            received,
            served,
        }
    }

    fn all(&self) -> Vec<Received> {
        self.received.lock().expect("no holder panics").clone()
    }
}

/// A desk that runs as a separate process, and its temporary data directory.
struct Desk {
    served: Served,
    _data: tempfile::TempDir,
}

impl Desk {
    fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let served = Served::start(data.path(), &[]);
        assert!(served.is_up(), "the desk serves");
        Self {
            served,
            _data: data,
        }
    }

    async fn must(&self, operation: &str, body: Value) -> Value {
        let envelope = self.served.bk(operation, body.clone()).await;
        tests::data_of(operation, &body, &envelope)
    }

    async fn refused(&self, operation: &str, body: Value) -> (i64, String) {
        let envelope = self.served.bk(operation, body.clone()).await;
        tests::refusal_of(operation, &body, &envelope)
    }

    /// Sends the operation `import_service`, which creates a new service from a workflow. The test fails
    /// if the import is rejected. Returns the member `data` of the response.
    async fn import(&self, name: &str, workflow: &Value) -> Value {
        self.must("import_service", service(name, workflow)).await
    }

    async fn open(&self, service: &Value, fields: &[(&str, &str)]) -> Value {
        self.must(
            "create_ticket",
            json!({ "service_id": service, "creator": "lisi", "fields": form(fields) }),
        )
        .await["sn"]
            .clone()
    }

    /// Waits until a ticket has the given status. The test fails if the ticket does not have this status
    /// after [`LOOKS_MAX`] checks.
    async fn until(&self, sn: &Value, status: &str) {
        for _ in 0..LOOKS_MAX {
            let now = self.must("get_ticket_status", json!({ "sn": sn })).await;
            if now["current_status"] == status {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!(
            "{sn} did not become {status}: {}",
            self.must("get_ticket_logs", json!({ "sn": sn })).await
        );
    }
}

fn service(name: &str, workflow: &Value) -> Value {
    json!({ "bk_username": "admin", "name": name, "key": "request", "desc": "", "catalog_id": 4, "owners": "admin", "is_valid": true, "display_type": "OPEN", "workflow": workflow })
}

/// Returns a workflow with the node START (id 1), the submit node (id 2), the nodes in `nodes`, and the
/// node END (id 9). `lines` contains the transitions. `fields` contains the form fields in addition to the
/// title.
fn flow(nodes: &[Value], lines: &[Value], fields: &[Value]) -> Value {
    let mut states = vec![
        json!({ "id": 1, "type": "START", "name": "开始" }),
        json!({ "id": 2, "type": "NORMAL", "name": "提单", "processors_type": "OPEN", "is_first_state": true }),
        json!({ "id": 9, "type": "END", "name": "结束" }),
    ];
    states.extend(nodes.iter().cloned());
    let mut all = vec![
        json!({ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 }),
    ];
    all.extend(fields.iter().cloned());
    let keyed = |items: &[Value]| {
        items
            .iter()
            .map(|item| (item["id"].to_string(), item.clone()))
            .collect::<serde_json::Map<_, _>>()
    };
    json!({ "name": "文件", "is_revocable": true, "revoke_config": { "type": 1, "state": 0 }, "states": keyed(&states), "transitions": keyed(lines), "fields": keyed(&all) })
}

fn line(id: i64, from: i64, to: i64) -> Value {
    json!({ "id": id, "from_state": from, "to_state": to, "condition_type": "default" })
}

fn line_if(id: i64, from: i64, to: i64, clause: &Value) -> Value {
    let condition =
        json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [clause] }] });
    json!({ "id": id, "from_state": from, "to_state": to, "condition_type": "by_field", "condition": condition })
}

/// Returns a workflow with one webhook node (id 3) between the submit node (the first node) and the node
/// END. The webhook sends requests to the server with the base URL `base`. The members of `more` are added
/// to the webhook configuration and replace members with the same name.
fn hooked(base: &str, more: &Value) -> Value {
    let mut info = json!({ "method": "POST", "url": format!("{base}/hook"), "headers": [], "query_params": [], "auth": { "auth_type": "none", "auth_config": {} }, "settings": { "timeout": 10 }, "success_exp": "resp.code==0" });
    info.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    let node = json!({ "id": 3, "type": "WEBHOOK", "name": "回调", "processors_type": "PERSON", "processors": "admin", "extras": { "webhook_info": info } });
    flow(&[node], &[line(1, 1, 2), line(2, 2, 3), line(3, 3, 9)], &[])
}

fn counters(node: i64) -> Value {
    let codes = [
        ("r", "NODE_APPROVE_RESULT"),
        ("ps", "PASS_COUNT"),
        ("rj", "REJECT_COUNT"),
        ("pr", "PASS_RATE"),
        ("rr", "REJECT_RATE"),
    ];
    codes
        .iter()
        .map(|(key, code)| json!({ "key": format!("{key}{node}"), "meta": { "code": code } }))
        .collect()
}

fn opinion(node: i64) -> Value {
    json!({ "id": 20 + node, "key": format!("op{node}"), "name": "审批意见", "type": "RADIO", "validate_type": "REQUIRE", "state_id": node, "meta": { "code": "APPROVE_RESULT" },
        "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] })
}

fn approval(node: i64, more: &Value) -> Value {
    let mut approval = json!({ "id": node, "type": "APPROVAL", "name": "审批", "processors_type": "PERSON", "processors": "zhangsan,wangwu", "variables": { "inputs": [], "outputs": counters(node) } });
    approval
        .as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    approval
}

/// A webhook is an API call of a workflow node. A workflow file contains the request body of a webhook in
/// the member `content` or in the member `params`. The desk must send this body when a ticket reaches the
/// webhook node (cases/real-files-and-clients.md, case 1).
#[tokio::test]
async fn a_webhook_sends_the_content_of_its_file() {
    let (desk, receiver) = (Desk::start(), Receiver::start().await);
    let bodies = [
        (
            json!({ "type": "raw", "raw_type": "JSON", "content": "{\"t\":  \"{{title}}\"}" }),
            "application/json",
            "{\"t\":  \"申请 \\\"A\\\"\"}".to_owned(),
        ),
        (
            json!({ "type": "raw", "raw_type": "Text", "content": "t={{title}}" }),
            "text/plain",
            "t=申请 \"A\"".into(),
        ),
        (
            json!({ "type": "raw", "raw_type": "Text", "content": "{\"n\": 1}" }),
            "text/plain",
            "{\"n\": 1}".into(),
        ),
        (
            json!({ "type": "raw", "raw_type": "XML", "content": "<t>{{title}}</t>" }),
            "application/xml",
            "<t>申请 &quot;A&quot;</t>".into(),
        ),
        (
            json!({ "type": "raw", "raw_type": "JSON", "value": "{\"old\": \"{{title}}\"}" }),
            "application/json",
            "{\"old\": \"申请 \\\"A\\\"\"}".into(),
        ),
        (
            json!({ "type": "x-www-form-urlencoded", "raw_type": "", "content": "", "params": [{ "key": "z", "value": "a b" }, { "key": "a", "value": "{{ticket_creator}}" }] }),
            "application/x-www-form-urlencoded;charset=utf-8",
            "z=a+b&a=lisi".into(),
        ),
        (json!({ "type": "none" }), "", String::new()),
    ];
    for (at, (body, kind, sent)) in bodies.into_iter().enumerate() {
        let imported = desk
            .import(
                &format!("回调{at}"),
                &hooked(&receiver.base, &json!({ "body": body })),
            )
            .await;
        assert_eq!(imported["report"], json!([]), "{body}");
        let sn = desk.open(&imported["id"], &[("title", "申请 \"A\"")]).await;
        desk.until(&sn, "FINISHED").await;
        let received = receiver.all().pop().expect("a request");
        assert_eq!(
            (
                received.method.as_str(),
                received.header("content-type"),
                received.body.clone()
            ),
            ("POST", kind, sent),
            "{body}"
        );
    }
}

/// A webhook is an API call of a workflow node. If the body of a webhook has the type `form-data`, the desk
/// sends the parameters of the body as multipart form data (cases/real-files-and-clients.md, case 1).
#[tokio::test]
async fn a_multipart_form_is_sent_as_multipart() {
    let (desk, receiver) = (Desk::start(), Receiver::start().await);
    let body = json!({ "type": "form-data", "raw_type": "", "content": "", "params": [{ "key": "t", "value": "{{title}}" }, { "key": "k", "value": "v" }] });
    let imported = desk
        .import("分段", &hooked(&receiver.base, &json!({ "body": body })))
        .await;
    let sn = desk.open(&imported["id"], &[("title", "申请")]).await;
    desk.until(&sn, "FINISHED").await;
    let received = receiver.all().pop().expect("a request");
    let boundary = received
        .header("content-type")
        .strip_prefix("multipart/form-data; boundary=")
        .expect("a boundary")
        .to_owned();
    let part = |key: &str, value: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n")
    };
    assert_eq!(
        received.body,
        format!("{}{}--{boundary}--\r\n", part("t", "申请"), part("k", "v"))
    );
}

/// An exported workflow file contains the members `content` and `params` of a webhook body, because
/// BlueKing ITSM reads these members. The exported file can be imported again without a change
/// (cases/real-files-and-clients.md, case 1).
#[tokio::test]
async fn an_export_has_the_members_that_the_original_reads() {
    let desk = Desk::start();
    let bodies = [
        json!({ "type": "raw", "raw_type": "JSON", "content": "{\"t\": \"{{title}}\"}" }),
        json!({ "type": "raw", "raw_type": "Text", "content": "t={{title}}" }),
        json!({ "type": "x-www-form-urlencoded", "params": [{ "key": "z", "value": "1" }, { "key": "a", "value": "{{title}}" }] }),
        json!({ "type": "form-data", "params": [{ "key": "z", "value": "1" }] }),
    ];
    for (at, body) in bodies.into_iter().enumerate() {
        let imported = desk
            .import(
                &format!("导出{at}"),
                &hooked("https://hooks.example.com", &json!({ "body": body })),
            )
            .await;
        let flow = imported["workflow_id"].as_i64().expect("a version");
        let path = format!("workflows/{}/versions/{}", flow / 10_000, flow % 10_000);
        let (_, exported) = desk
            .served
            .v1("GET", &format!("{path}/export"), "admin", Value::Null)
            .await;
        let written = &exported[0]["states"]["3"]["extras"]["webhook_info"]["body"];
        for member in ["type", "content", "params", "raw_type"] {
            assert!(
                body.get(member)
                    .is_none_or(|value| written[member] == *value),
                "{member} of {body} is {written}"
            );
        }
        let (status, again) = desk
            .served
            .v1(
                "POST",
                "workflows/import",
                "admin",
                json!({ "workflow": exported }),
            )
            .await;
        assert_eq!(
            (status, &again["report"], &again["problems"]),
            (201, &json!([]), &json!([])),
            "{again}"
        );
        let (_, before) = desk.served.v1("GET", &path, "admin", Value::Null).await;
        let (_, after) = desk
            .served
            .v1(
                "GET",
                &format!("workflows/{}", again["workflow"]),
                "admin",
                Value::Null,
            )
            .await;
        let call = |definition: &Value| {
            definition["nodes"]
                .as_array()
                .expect("nodes")
                .iter()
                .find(|node| node["id"] == 3)
                .expect("a node")["service_task"]
                .clone()
        };
        assert_eq!(
            call(&after["draft"]),
            call(&before["definition"]),
            "unchanged"
        );
    }
}

/// A workflow file may contain members that the desk does not support. The report of the import names each
/// of these members (cases/real-files-and-clients.md, case 1).
#[tokio::test]
async fn every_ignored_member_of_a_call_is_reported() {
    let desk = Desk::start();
    let more = json!({
        "body": { "type": "raw", "raw_type": "JSON", "content": "{}", "encoding": "gbk" }, "proxy": "http://proxy.example.com", "settings": { "timeout": 10, "verify": true },
        "headers": [{ "key": "X-A", "value": "1", "check": true, "select": true, "desc": "d", "when": "always" }], "retry": { "times": 3 },
    });
    let mut workflow = hooked("https://hooks.example.com", &more);
    workflow["fields"]["1"]["placeholder"] = "请输入".into();
    workflow["transitions"]["2"]["delay_s"] = 5.into();
    workflow["states"]["3"]["retry_policy"] = "twice".into();
    workflow["states"]["3"]["axis"] = json!({ "x": 1, "y": 2 });
    workflow["watchers"] = "admin".into();
    let imported = desk.import("未读", &workflow).await;
    let report = imported["report"].as_array().expect("a report").clone();
    let dropped: Vec<String> = report
        .iter()
        .map(|note| {
            note["dropped"]["what"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    for member in [
        "body.encoding",
        "webhook_info.proxy",
        "settings.verify",
        "headers[].when",
        "webhook_info.retry",
        "placeholder",
        "delay_s",
        "retry_policy",
        "watchers",
    ] {
        assert!(
            dropped.iter().any(|what| what.starts_with(member)),
            "{member}: {report:?}"
        );
    }
    assert_eq!(report.len(), 9, "nothing else is lost: {report:?}");
}

/// A webhook (an API call of a workflow node) may need credentials. A workflow with this webhook can be
/// deployed only if the workflow file names a secret that is stored in the desk
/// (cases/real-files-and-clients.md, case 2).
#[tokio::test]
async fn a_webhook_with_credentials_needs_a_named_secret() {
    let receiver = Receiver::start().await;
    let data = tempfile::tempdir().expect("a directory");
    let secret = data.path().join("hook.json");
    std::fs::write(&secret, r#"{"Authorization":"Bearer s3cr3t-77"}"#).expect("written");
    let served = Served::start(
        &data.path().join("desk"),
        &["--api-secret", &format!("hook={}", secret.display())],
    );
    let desk = Desk {
        served,
        _data: data,
    };
    for (at, auth) in [
        json!({ "auth_type": "bearer_token", "auth_config": { "token": "s3cr3t-77" } }),
        json!({ "auth_type": "basic_auth", "auth_config": { "username": "u", "password": "s3cr3t-77" } }),
        json!({ "auth_type": "api_key", "auth_config": { "in": "header", "name": "X-Key", "value": "s3cr3t-77" } }),
    ]
    .into_iter()
    .enumerate()
    {
        let kind = auth["auth_type"].as_str().expect("a kind").to_owned();
        let body = json!({ "type": "raw", "raw_type": "JSON", "content": "{}" });
        let workflow = hooked(&receiver.base, &json!({ "auth": auth, "body": body }));
        let name = format!("令牌{at}");
        let (code, message) = desk.refused("import_service", service(&name, &workflow)).await;
        assert_eq!((code, message.contains(&format!("needs credentials ({kind})"))), (3_900_011, true), "{message}");
        // The test imports the workflow over `/v1`, which creates a draft of the workflow. The response
        // contains an import report, which names the missing credentials. Because of the missing credentials,
        // the draft cannot be deployed.
        let (_, drafted) = desk.served.v1("POST", "workflows/import", "admin", json!({ "workflow": workflow })).await;
        assert!(drafted["report"].to_string().contains("\"missing\"") && drafted["problems"].to_string().contains("credentials"), "{drafted}");
        assert!(!drafted.to_string().contains("s3cr3t"), "the response has a secret: {drafted}");
        let path = format!("workflows/{}", drafted["workflow"]);
        assert_eq!(desk.served.v1("POST", &format!("{path}/deploy"), "admin", json!({})).await.0, 409);
        let (_, shown) = desk.served.v1("GET", &path, "admin", Value::Null).await;
        assert!(!shown.to_string().contains("s3cr3t"), "the draft has a secret: {shown}");
        // The test adds the name of a stored secret to the workflow file, and imports the file again. A
        // ticket of this workflow then sends the webhook request with the HTTP header from the secret.
        let mut completed = workflow.clone();
        completed["states"]["3"]["extras"]["webhook_info"]["secret"] = "hook".into();
        let imported = desk.import(&name, &completed).await;
        let sn = desk.open(&imported["id"], &[("title", "t")]).await;
        desk.until(&sn, "FINISHED").await;
        assert_eq!(receiver.all().last().expect("a request").header("authorization"), "Bearer s3cr3t-77");
    }
    assert_eq!(
        receiver.all().len(),
        3,
        "no request is sent without credentials"
    );
}

/// A workflow file may contain empty credentials, rules and conditions. The report of the import does not
/// mention these empty members (cases/real-files-and-clients.md, case 3).
#[tokio::test]
async fn empty_members_of_a_file_are_not_reported() {
    let desk = Desk::start();
    let empty_rule = json!({ "rule": { "type": "and", "expressions": [{ "condition": "", "key": "", "source": "field", "type": "", "value": "" }] } });
    for (at, auth) in [
        json!({ "auth_type": "none", "auth_config": {} }),
        json!({ "auth_type": "", "auth_config": {} }),
        json!({ "auth_type": "bearer_token", "auth_config": { "token": "" } }),
        json!({ "auth_type": "basic_auth", "auth_config": { "username": "", "password": "" } }),
        json!({}),
        Value::Null,
    ]
    .into_iter()
    .enumerate()
    {
        let mut workflow = hooked("https://hooks.example.com", &json!({ "auth": auth }));
        let hidden = json!({ "type": "and", "expressions": [{ "condition": "", "key": "", "type": "", "value": "" }] });
        workflow["fields"]["2"] = json!({ "id": 2, "key": "note", "name": "说明", "type": "STRING", "validate_type": "OPTION", "state_id": 2, "regex_config": empty_rule,
            "show_type": 0, "show_conditions": hidden, "tips": "", "is_tips": false, "related_fields": {}, "kv_relation": {}, "api_instance_id": 0 });
        workflow["states"]["3"]["finish_condition"] = json!({ "type": "or", "expressions": [] });
        let imported = desk.import(&format!("空{at}"), &workflow).await;
        assert_eq!(imported["report"], json!([]), "{auth}");
    }
}

/// In or-sign mode, the vote of one approver finishes an approval node. The import therefore ignores a finish
/// condition (a condition on the vote counts) in an or-sign node (cases/real-files-and-clients.md, case 4a).
#[tokio::test]
async fn a_leftover_finish_condition_of_an_or_sign_is_ignored() {
    let desk = Desk::start();
    let left_over = json!({ "type": "or", "expressions": [{ "type": "and", "expressions": [{ "key": "other_node_rej", "type": "INT", "condition": ">=", "value": "1" }] }] });
    let node = approval(
        3,
        &json!({ "is_multi": false, "finish_condition": left_over }),
    );
    let workflow = flow(
        &[node],
        &[line(1, 1, 2), line(2, 2, 3), line(3, 3, 9)],
        &[opinion(3)],
    );
    let imported = desk.import("或签", &workflow).await;
    assert_eq!(imported["report"], json!([]));
    let sn = desk.open(&imported["id"], &[("title", "t")]).await;
    desk.must(
        "approve",
        json!({ "sn": sn, "state_id": 3, "approver": "wangwu", "action": "true", "remark": "" }),
    )
    .await;
    desk.until(&sn, "FINISHED").await;
    // An or-sign node (a node that needs only one vote) ignores its finish condition. An error in this
    // condition therefore does not prevent a deployment over `/v1`. A countersign node (a node that needs
    // several votes) uses its finish condition. If the condition of a countersign node contains an unknown vote
    // counter, the workflow cannot be deployed.
    let (_, drafted) = desk
        .served
        .v1(
            "POST",
            "workflows/import",
            "admin",
            json!({ "workflow": workflow }),
        )
        .await;
    let (_, shown) = desk
        .served
        .v1(
            "GET",
            &format!("workflows/{}", drafted["workflow"]),
            "admin",
            Value::Null,
        )
        .await;
    let mut definition = shown["draft"].clone();
    definition["nodes"][2]["finish_condition"] = json!({ "expressions": [{ "expressions": [{ "key": "other", "type": "INT", "condition": ">=", "value": 1 }] }] });
    let (_, drawn) = desk
        .served
        .v1(
            "POST",
            "workflows",
            "admin",
            json!({ "definition": definition }),
        )
        .await;
    assert_eq!(
        desk.served
            .v1(
                "POST",
                &format!("workflows/{}/deploy", drawn["workflow"]),
                "admin",
                json!({})
            )
            .await
            .0,
        201
    );
    definition["nodes"][2]["is_multi"] = true.into();
    let (_, drawn) = desk
        .served
        .v1(
            "POST",
            "workflows",
            "admin",
            json!({ "definition": definition }),
        )
        .await;
    let (status, problem) = desk
        .served
        .v1(
            "POST",
            &format!("workflows/{}/deploy", drawn["workflow"]),
            "admin",
            json!({}),
        )
        .await;
    assert!(
        status == 409 && problem.to_string().contains("which is no counter"),
        "{problem}"
    );
}

/// In an imported workflow, a node may have no transition for some form values. A ticket with such form
/// values waits until a manager selects the next node (cases/real-files-and-clients.md, case 4b).
#[tokio::test]
async fn a_case_without_a_transition_waits_for_a_manager_in_original_files() {
    let desk = Desk::start();
    let is =
        |kind: &str| json!({ "key": "kind", "type": "STRING", "condition": "==", "value": kind });
    let person = |id: i64, who: &str| json!({ "id": id, "type": "NORMAL", "name": who, "processors_type": "PERSON", "processors": who });
    let kind = json!({ "id": 2, "key": "kind", "name": "方式", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 });
    let lines = [
        line(1, 1, 2),
        line_if(2, 2, 3, &is("会签")),
        line_if(3, 2, 4, &is("或签")),
        line(4, 3, 9),
        line(5, 4, 9),
    ];
    let workflow = flow(
        &[person(3, "zhangsan"), person(4, "wangwu")],
        &lines,
        &[kind],
    );
    let imported = desk.import("分支", &workflow).await;
    assert!(
        imported["report"]
            .to_string()
            .contains("no transition holds for kind != 会签, kind != 或签"),
        "{imported}"
    );
    let steps = async |sn: &Value| desk.must("get_ticket_status", json!({ "sn": sn })).await;
    let sn = desk
        .open(&imported["id"], &[("title", "t"), ("kind", "或签")])
        .await;
    assert_eq!(steps(&sn).await["current_steps"][0]["name"], "wangwu");
    let sn = desk
        .open(&imported["id"], &[("title", "t"), ("kind", "别的")])
        .await;
    assert_eq!(steps(&sn).await["current_status"], "RUNNING");
    assert!(
        desk.must("get_ticket_logs", json!({ "sn": sn })).await["logs"]
            .to_string()
            .contains("没有满足条件的流转线"),
        "the log has an entry"
    );
    let path = format!("tickets/{}/route", sn.as_str().expect("sn"));
    assert_eq!(
        desk.served
            .v1(
                "POST",
                &path,
                "admin",
                json!({ "node": 2, "transition": 2 })
            )
            .await
            .0,
        200
    );
    assert_eq!(steps(&sn).await["current_steps"][0]["name"], "zhangsan");
    // A workflow that is imported over `/v1` can be deployed only if each node has a transition for all
    // possible form values. Otherwise the response names the form values that have no transition.
    let (_, drafted) = desk
        .served
        .v1(
            "POST",
            "workflows/import",
            "admin",
            json!({ "workflow": workflow }),
        )
        .await;
    assert!(
        drafted["problems"]
            .to_string()
            .contains("do not cover every case: none holds for kind != 会签, kind != 或签"),
        "{drafted}"
    );
    assert_eq!(
        desk.served
            .v1(
                "POST",
                &format!("workflows/{}/deploy", drafted["workflow"]),
                "admin",
                json!({})
            )
            .await
            .0,
        409
    );
}

/// After a vote, one transition may require that the vote passed, and another transition may require a
/// rejection. These two transitions cover every result of the vote, so the import reports no missing
/// transition (cases/real-files-and-clients.md, case 4c).
#[tokio::test]
async fn both_outcomes_of_a_vote_cover_every_case() {
    let desk = Desk::start();
    let clause = |key: &str, kind: &str, sign: &str, value: Value, code: &str| {
        let meta = if code.is_empty() {
            json!({})
        } else {
            json!({ "code": code })
        };
        json!({ "key": key, "type": kind, "condition": sign, "value": value, "meta": meta, "source": "field", "choiceList": [] })
    };
    let passed = clause("r3", "SELECT", "==", json!("true"), "NODE_APPROVE_RESULT");
    let rejected = clause("r3", "SELECT", "==", json!("false"), "NODE_APPROVE_RESULT");
    let pairs = [
        (
            passed.clone(),
            clause("rj3", "INT", ">=", json!(1), "REJECT_COUNT"),
        ),
        (passed.clone(), clause("rj3", "INT", ">", json!("0"), "")),
        (
            clause("rj3", "INT", ">=", json!("1"), "REJECT_COUNT"),
            passed.clone(),
        ),
        (
            passed.clone(),
            clause("rr3", "INT", ">", json!(0), "REJECT_RATE"),
        ),
        (
            passed.clone(),
            clause("pr3", "INT", "<", json!(100), "PASS_RATE"),
        ),
        (
            rejected.clone(),
            clause("rj3", "INT", "==", json!(0), "REJECT_COUNT"),
        ),
        (
            rejected,
            clause("pr3", "INT", ">=", json!(100), "PASS_RATE"),
        ),
        (
            clause("NODE_APPROVE_RESULT", "SELECT", "==", json!("true"), ""),
            clause("REJECT_COUNT", "INT", ">=", json!(1), ""),
        ),
        (
            clause("op3", "RADIO", "==", json!("true"), ""),
            clause("op3", "RADIO", "==", json!("false"), ""),
        ),
    ];
    let person = |id: i64, who: &str| json!({ "id": id, "type": "NORMAL", "name": who, "processors_type": "PERSON", "processors": who });
    for (at, (one, other)) in pairs.into_iter().enumerate() {
        let lines = [
            line(1, 1, 2),
            line(2, 2, 3),
            line_if(3, 3, 4, &one),
            line_if(4, 3, 5, &other),
            line(5, 4, 9),
            line(6, 5, 9),
        ];
        let nodes = [
            approval(3, &json!({ "is_multi": true })),
            person(4, "lisi"),
            person(5, "zhangsan"),
        ];
        let imported = desk
            .import(&format!("会签{at}"), &flow(&nodes, &lines, &[opinion(3)]))
            .await;
        assert_eq!(imported["report"], json!([]), "{one} {other}");
        for pass in ["true", "false"] {
            let sn = desk.open(&imported["id"], &[("title", "t")]).await;
            for who in ["zhangsan", "wangwu"] {
                desk.must("approve", json!({ "sn": sn, "state_id": 3, "approver": who, "action": pass, "remark": "x" })).await;
            }
            let steps =
                desk.must("get_ticket_status", json!({ "sn": sn })).await["current_steps"].clone();
            assert!(
                steps[0]["state_id"] == 4 || steps[0]["state_id"] == 5,
                "{one} {other}: a line holds for {pass}: {steps}"
            );
        }
    }
}

/// When a configuration platform (a client of the desk) starts, the platform creates or updates a service
/// in the desk. The platform then reads this service. The platform starts twice, and its requests must
/// succeed each time (cases/real-files-and-clients.md, case 4).
#[tokio::test]
async fn the_start_sequence_of_a_configuration_platform_succeeds_twice() {
    let (desk, receiver) = (Desk::start(), Receiver::start().await);
    let content = r#"{"sn": "{{ticket_sn}}", "release": "{{RELEASE_ID}}"}"#;
    let hook = |id: i64, name: &str| {
        let headers = json!([{ "check": true, "desc": "", "key": "X-Bkapi-Authorization", "select": true, "value": "{\"bk_app_code\": \"a\", \"bk_app_secret\": \"b\"}" }]);
        let info = json!({ "method": "POST", "url": format!("{}/biz/{{{{BIZ_ID}}}}/approve", receiver.base), "query_params": [], "headers": headers, "settings": { "timeout": 10 },
            "auth": { "auth_type": "bearer_token", "auth_config": { "token": "" } }, "body": { "type": "raw", "raw_type": "JSON", "content": content }, "success_exp": "resp.code==0" });
        json!({ "id": id, "type": "WEBHOOK", "name": name, "processors_type": "PERSON", "processors": "admin", "extras": { "webhook_info": info } })
    };
    let finish = json!({ "type": "or", "expressions": [{ "type": "and", "expressions": [
        { "condition": ">=", "key": "rj3", "meta": { "code": "", "unit": "INT" }, "source": "global", "tooltipInfo": { "content": "" }, "type": "INT", "value": "1" }] }] });
    let nodes = [
        approval(
            3,
            &json!({ "name": "会签审批", "is_multi": true, "is_allow_skip": true, "finish_condition": finish }),
        ),
        approval(
            4,
            &json!({ "name": "或签审批", "is_allow_skip": true, "finish_condition": finish }),
        ),
        hook(5, "成功回调"),
        hook(6, "失败回调"),
    ];
    let is = |key: &str, kind: &str, sign: &str, value: Value, code: &str| json!({ "key": key, "type": kind, "condition": sign, "value": value, "meta": { "code": code }, "source": "field", "choiceList": [] });
    let lines = [
        line(1, 1, 2),
        line_if(
            2,
            2,
            3,
            &is("APPROVE_TYPE", "STRING", "==", json!("会签"), ""),
        ),
        line_if(
            3,
            2,
            4,
            &is("APPROVE_TYPE", "STRING", "==", json!("或签"), ""),
        ),
        line_if(
            4,
            3,
            5,
            &is("r3", "SELECT", "==", json!("true"), "NODE_APPROVE_RESULT"),
        ),
        line_if(5, 3, 6, &is("rj3", "INT", ">=", json!(1), "REJECT_COUNT")),
        line_if(
            6,
            4,
            5,
            &is("r4", "SELECT", "==", json!("true"), "NODE_APPROVE_RESULT"),
        ),
        line_if(
            7,
            4,
            6,
            &is("r4", "SELECT", "==", json!("false"), "NODE_APPROVE_RESULT"),
        ),
        line(8, 5, 9),
        line(9, 6, 9),
    ];
    let text = |id: i64, key: &str| json!({ "id": id, "key": key, "name": key, "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 });
    let workflow = flow(
        &nodes,
        &lines,
        &[
            text(2, "APPROVE_TYPE"),
            text(3, "BIZ_ID"),
            text(4, "RELEASE_ID"),
            opinion(3),
            opinion(4),
        ],
    );
    let root = desk.must("get_service_catalogs", json!({})).await[0]["id"].clone();
    let parent = desk
        .must("create_service_catalog", json!({ "bk_username": "admin", "project_key": "0", "parent__id": root, "name": "配置平台", "desc": "" }))
        .await["id"]
        .clone();
    let category = desk
        .must("create_service_catalog", json!({ "bk_username": "admin", "project_key": "0", "parent__id": parent, "name": "上线审批", "desc": "" }))
        .await["id"]
        .clone();
    let mut known = Value::Null;
    for start in 0..2 {
        let found = desk
            .must("get_services", json!({ "catalog_id": category }))
            .await;
        let mut request = json!({ "bk_username": "admin", "key": "request", "name": "创建上线审批", "desc": "", "catalog_id": category, "owners": "admin", "can_ticket_agency": false, "is_valid": true,
            "display_type": "OPEN", "display_role": "", "source": "custom", "project_key": "0", "workflow": workflow });
        let imported = match found[0].get("id") {
            None => desk.must("import_service", request).await,
            Some(id) => {
                request["id"] = id.clone();
                desk.must("update_service", request).await
            }
        };
        assert!(
            imported["report"]
                .to_string()
                .contains("X-Bkapi-Authorization"),
            "credentials in a header are reported: {imported}"
        );
        let service = if start == 0 {
            imported["id"].clone()
        } else {
            found[0]["id"].clone()
        };
        known = service.clone();
        let detail = desk
            .must("get_service_detail", json!({ "service_id": service }))
            .await;
        let flow = desk
            .must(
                "get_workflow_detail",
                json!({ "workflow_id": detail["workflow_id"] }),
            )
            .await;
        let names: Vec<&str> = flow["states"]
            .as_array()
            .expect("states")
            .iter()
            .filter_map(|state| state["name"].as_str())
            .collect();
        assert!(
            names.contains(&"会签审批") && names.contains(&"或签审批"),
            "{names:?}"
        );
    }
    for (kind, voters, pass) in [
        ("会签", vec!["zhangsan", "wangwu"], "true"),
        ("会签", vec!["zhangsan"], "false"),
        ("或签", vec!["wangwu"], "false"),
    ] {
        let sn = desk
            .open(
                &known,
                &[
                    ("title", "上线"),
                    ("APPROVE_TYPE", kind),
                    ("BIZ_ID", "2"),
                    ("RELEASE_ID", "r-7"),
                ],
            )
            .await;
        for who in voters {
            desk.must("approve", json!({ "sn": sn, "state_id": if kind == "会签" { 3 } else { 4 }, "approver": who, "action": pass, "remark": "x" })).await;
        }
        desk.until(&sn, "FINISHED").await;
        let received = receiver.all().pop().expect("a request");
        assert_eq!(received.target, "/biz/2/approve");
        assert_eq!(
            received.body,
            format!(r#"{{"sn": {sn}, "release": "r-7"}}"#)
        );
        assert!(
            received
                .header("x-bkapi-authorization")
                .contains("bk_app_code")
        );
    }
}

/// Some client web pages find the form fields of a ticket by the field name instead of the key. These web
/// pages can approve and reject a ticket of the built-in approval workflow
/// (cases/real-files-and-clients.md, case 5).
#[tokio::test]
async fn the_built_in_approval_can_be_rejected_by_field_names() {
    let desk = Desk::start();
    for (pass, result) in [("false", false), ("true", true)] {
        let fields = form(&[
            ("title", "t"),
            ("APPROVER", "zhangsan"),
            ("APPROVAL_CONTENT", "c"),
        ]);
        let sn = desk
            .must(
                "create_ticket",
                json!({ "fast_approval": true, "creator": "lisi", "fields": fields }),
            )
            .await["sn"]
            .clone();
        let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
        // Some client web pages find form fields by their names. The test fills in the fields in the same
        // way: it uses the last three fields with the name 备注 (remark) or 审批意见 (opinion).
        let mut filled = Vec::new();
        for field in info["fields"].as_array().expect("fields").iter().rev() {
            match field["name"].as_str().unwrap_or_default() {
                "备注" => filled.push(json!({ "key": field["key"], "value": "原因" })),
                "审批意见" => filled.push(json!({ "key": field["key"], "value": pass })),
                _ => {}
            }
            if filled.len() == 3 {
                break;
            }
        }
        let step = info["current_steps"]
            .as_array()
            .expect("steps")
            .iter()
            .find(|step| step["name"] == "内置审批节点")
            .expect("the approval")
            .clone();
        let decision = json!({ "sn": sn, "operator": "zhangsan", "state_id": step["state_id"], "action_type": "TRANSITION", "fields": filled });
        desk.must("operate_node", decision).await;
        let results = desk
            .must("ticket_approval_result", json!({ "sn": [sn] }))
            .await;
        assert_eq!(
            (&results[0]["current_status"], &results[0]["approve_result"]),
            (&json!("FINISHED"), &json!(result))
        );
    }
}

/// Every approval node has two remark fields. Both fields have the name 备注 (remark), because client web
/// pages search for this name (cases/real-files-and-clients.md, case 5).
#[tokio::test]
async fn both_remark_fields_of_an_approval_have_one_name() {
    let desk = Desk::start();
    let (_, workflows) = desk
        .served
        .v1("GET", "workflows", "admin", Value::Null)
        .await;
    let mut approvals = 0;
    for workflow in workflows["workflows"].as_array().expect("workflows") {
        let newest = workflow["versions"]
            .as_object()
            .and_then(|versions| versions.keys().max())
            .expect("a version");
        let path = format!("workflows/{}/versions/{newest}", workflow["workflow"]);
        let (_, version) = desk.served.v1("GET", &path, "admin", Value::Null).await;
        let fields: BTreeMap<&str, &Value> = version["definition"]["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .map(|field| (field["key"].as_str().expect("a key"), field))
            .collect();
        for node in version["definition"]["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .filter(|node| node["kind"] == "APPROVAL")
        {
            let form: Vec<&Value> = node["fields"]
                .as_array()
                .expect("keys")
                .iter()
                .map(|key| fields[key.as_str().expect("a key")])
                .collect();
            let remarks = form
                .iter()
                .filter(|field| field["type"] == "TEXT")
                .map(|field| field["name"].as_str().expect("a name"))
                .collect::<Vec<_>>();
            assert_eq!(remarks, ["备注", "备注"], "{path} {}", node["name"]);
            approvals += 1;
        }
    }
    assert!(approvals >= 7, "{approvals} approvals");
}

/// The key of an option of a form field must not contain a comma. The desk stores several selected keys
/// as one text with commas between the keys (cases/real-files-and-clients.md, case 12).
#[tokio::test]
async fn an_option_key_with_a_comma_is_rejected_by_name() {
    let desk = Desk::start();
    let options = json!([{ "key": "a", "name": "甲" }, { "key": "b", "name": "乙" }, { "key": "a,b", "name": "两者" }]);
    let problem = |answer: &str| answer.contains("\\\"a,b\\\"") || answer.contains("\"a,b\"");
    for kind in ["CHECKBOX", "MULTISELECT", "SELECT", "RADIO", "TREESELECT"] {
        let field = json!({ "id": 2, "key": "m", "name": "多选", "type": kind, "validate_type": "OPTION", "state_id": 2, "choice": options });
        let workflow = flow(&[], &[line(1, 1, 2), line(2, 2, 9)], &[field]);
        let (code, message) = desk
            .refused("import_service", service(kind, &workflow))
            .await;
        assert!(code == 3_900_011 && problem(&message), "{kind}: {message}");
        let (_, drafted) = desk
            .served
            .v1(
                "POST",
                "workflows/import",
                "admin",
                json!({ "workflow": workflow }),
            )
            .await;
        assert!(
            problem(&drafted["problems"].to_string()),
            "{kind}: {drafted}"
        );
        assert_eq!(
            desk.served
                .v1(
                    "POST",
                    &format!("workflows/{}/deploy", drafted["workflow"]),
                    "admin",
                    json!({})
                )
                .await
                .0,
            409,
            "{kind}"
        );
        let shared = json!({ "type": kind, "name": "多选", "choice": [{ "key": "x", "name": "x", "items": options }] });
        let (status, answer) = desk.served.v1("PUT", "fields/m", "admin", shared).await;
        assert!(
            status == 400 && problem(&answer.to_string()),
            "{kind}: {answer}"
        );
    }
    let columns = json!({ "columns": [{ "key": "c", "name": "列", "display": "multiselect", "choice": options }] });
    let table = json!({ "id": 2, "key": "rows", "name": "表", "type": "CUSTOMTABLE", "validate_type": "OPTION", "state_id": 2, "meta": columns });
    let (_, message) = desk
        .refused(
            "import_service",
            service("表", &flow(&[], &[line(1, 1, 2), line(2, 2, 9)], &[table])),
        )
        .await;
    assert!(problem(&message), "{message}");
    let (status, answer) = desk
        .served
        .v1(
            "PUT",
            "dictionary/PAIRS",
            "admin",
            json!({ "name": "对", "items": options }),
        )
        .await;
    assert!(status == 400 && problem(&answer.to_string()), "{answer}");
}

/// A field value may be a list of selected options. A list element that contains a comma is rejected, and
/// the desk never stores this element as two options (cases/real-files-and-clients.md, case 12).
#[tokio::test]
async fn a_list_value_never_becomes_another_choice() {
    let desk = Desk::start();
    let options = json!([{ "key": "a", "name": "甲" }, { "key": "b", "name": "乙" }, { "key": "c，d", "name": "全角" }]);
    let field = |id: i64, key: &str, kind: &str| json!({ "id": id, "key": key, "name": key, "type": kind, "validate_type": "OPTION", "state_id": 2, "choice": options });
    let people = json!({ "id": 4, "key": "who", "name": "who", "type": "MEMBERS", "validate_type": "OPTION", "state_id": 2 });
    let workflow = flow(
        &[],
        &[line(1, 1, 2), line(2, 2, 9)],
        &[
            field(2, "m", "CHECKBOX"),
            field(3, "s", "MULTISELECT"),
            people,
        ],
    );
    let imported = desk.import("列表", &workflow).await;
    let open = async |key: &str, value: Value| {
        let fields = json!([{ "key": "title", "value": "t" }, { "key": key, "value": value }]);
        desk.served
            .bk(
                "create_ticket",
                json!({ "service_id": imported["id"], "creator": "lisi", "fields": fields }),
            )
            .await
    };
    for key in ["m", "s", "who"] {
        let refused = open(key, json!(["a,b"])).await;
        assert!(
            refused["result"] == false
                && refused["message"]
                    .as_str()
                    .expect("a message")
                    .contains("a,b"),
            "{key}: {refused}"
        );
        let fields = json!({ "title": "t", key: ["a,b"] });
        let (status, refused) = desk
            .served
            .v1(
                "POST",
                "tickets",
                "lisi",
                json!({ "service_id": imported["id"], "fields": fields }),
            )
            .await;
        assert!(
            status == 400 && refused.to_string().contains("a,b"),
            "{key}: {refused}"
        );
    }
    for (key, value, stored) in [
        ("m", json!(["a", "b"]), "a,b"),
        ("s", json!("a,b"), "a,b"),
        ("m", json!(["c，d"]), "c，d"),
        ("who", json!(["lisi", "zhangsan"]), "lisi,zhangsan"),
    ] {
        let created = open(key, value.clone()).await;
        let info = desk
            .must("get_ticket_info", json!({ "sn": created["data"]["sn"] }))
            .await;
        let field = info["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .find(|field| field["key"] == key)
            .expect("the field")
            .clone();
        assert_eq!(field["value"], stored, "{key} {value}");
    }
}

/// A required text field rejects a value that consists only of blanks (cases/real-files-and-clients.md,
/// case 13).
#[tokio::test]
async fn blanks_do_not_fill_a_required_text() {
    let desk = Desk::start();
    let required = |id: i64, key: &str, kind: &str, node: i64| json!({ "id": id, "key": key, "name": key, "type": kind, "validate_type": "REQUIRE", "state_id": node });
    let node = json!({ "id": 3, "type": "NORMAL", "name": "处理", "processors_type": "PERSON", "processors": "zhangsan" });
    let columns =
        json!({ "columns": [{ "key": "ip", "name": "IP", "display": "input", "required": true }] });
    let mut rows = required(6, "rows", "CUSTOMTABLE", 2);
    rows["meta"] = columns;
    let mut free = required(7, "free", "TEXT", 2);
    free["validate_type"] = "OPTION".into();
    let fields = [
        required(2, "text", "TEXT", 2),
        required(3, "line", "STRING", 2),
        required(4, "page", "RICHTEXT", 2),
        required(5, "done", "TEXT", 3),
        rows,
        free,
    ];
    let imported = desk
        .import(
            "必填",
            &flow(
                &[node],
                &[line(1, 1, 2), line(2, 2, 3), line(3, 3, 9)],
                &fields,
            ),
        )
        .await;
    let good = json!({ "title": " 标题 ", "text": "a\n", "line": "b", "page": "<p>c</p>", "rows": [{ "ip": "10.0.0.8" }], "free": " \t " });
    let as_list = |form: &Value| {
        form.as_object()
            .expect("fields")
            .iter()
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect::<Value>()
    };
    let blanks = [
        "   ",
        "\n\t ",
        "\u{3000}",
        "\u{a0}",
        "\u{200b}",
        "\u{feff}\u{2060}",
        "\r\n",
        " \u{3000}\u{200d} ",
    ];
    for (key, blank) in ["title", "text", "line", "page"]
        .into_iter()
        .flat_map(|key| blanks.map(|blank| (key, blank)))
    {
        let mut form = good.clone();
        form[key] = blank.into();
        let (code, message) = desk.refused("create_ticket", json!({ "service_id": imported["id"], "creator": "lisi", "fields": as_list(&form) })).await;
        assert!(
            code == 3_900_003 && message.contains("为必填项"),
            "{key} {blank:?}: {message}"
        );
        let (status, problem) = desk
            .served
            .v1(
                "POST",
                "tickets",
                "lisi",
                json!({ "service_id": imported["id"], "fields": form }),
            )
            .await;
        assert_eq!(status, 400, "{key} {blank:?}: {problem}");
    }
    for page in ["<p></p>", "<p>&nbsp;</p>", "<div><br/> \u{200b}</div>"] {
        let mut form = good.clone();
        form["page"] = page.into();
        assert!(
            desk.refused(
                "create_ticket",
                json!({ "service_id": imported["id"], "creator": "lisi", "fields": as_list(&form) })
            )
            .await
            .1
            .contains("为必填项"),
            "{page}"
        );
    }
    let mut form = good.clone();
    form["rows"] = json!([{ "ip": "\u{3000}" }]);
    let (_, message) = desk
        .refused(
            "create_ticket",
            json!({ "service_id": imported["id"], "creator": "lisi", "fields": as_list(&form) }),
        )
        .await;
    assert!(message.contains("第 1 行【IP】为必填项"), "{message}");
    // The desk stores valid form values unchanged, with all their blanks.
    let sn = desk
        .must(
            "create_ticket",
            json!({ "service_id": imported["id"], "creator": "lisi", "fields": as_list(&good) }),
        )
        .await["sn"]
        .clone();
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    let value = |key: &str| {
        info["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .find(|field| field["key"] == key)
            .expect("the field")["value"]
            .clone()
    };
    assert_eq!(
        (value("title"), value("text"), value("free")),
        (json!(" 标题 "), json!("a\n"), json!(" \t "))
    );
    // A required text field also rejects a value of blanks in two more operations: when a person completes a
    // node, and when a person edits the fields of the ticket.
    let submit = |text: &str| json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": [{ "key": "done", "value": text }] });
    assert!(
        desk.refused("operate_node", submit("\u{3000}"))
            .await
            .1
            .contains("【done】为必填项")
    );
    let edit = |key: &str| json!({ "sn": sn, "operator": "lisi", "fields": [{ "key": key, "value": " \u{200b}" }] });
    for key in ["title", "text"] {
        assert!(
            desk.refused("edit_field", edit(key))
                .await
                .1
                .contains("为必填项"),
            "{key}"
        );
    }
    let path = format!("tickets/{}/edit", sn.as_str().expect("sn"));
    assert_eq!(
        desk.served
            .v1("POST", &path, "lisi", json!({ "fields": { "title": " " } }))
            .await
            .0,
        400
    );
    desk.must("operate_node", submit("完成")).await;
    desk.until(&sn, "FINISHED").await;
}

/// A task node calls an API of another system. If the host of this system is unknown, the import is
/// rejected. The error message names the path of the API and the missing host
/// (cases/real-files-and-clients.md, case 14).
#[tokio::test]
async fn a_call_without_a_host_is_reported_with_the_next_step() {
    let desk = Desk::start();
    let info = json!({ "remote_api_info": { "method": "POST", "path": "/cc/search_business/", "remote_system_name": "蓝鲸配置平台" }, "req_body": {} });
    let node = json!({ "id": 3, "type": "TASK", "name": "查询", "processors_type": "PERSON", "processors": "admin", "api_info": info });
    let task = flow(&[node], &[line(1, 1, 2), line(2, 2, 3), line(3, 3, 9)], &[]);
    let (_, message) = desk.refused("import_service", service("任务", &task)).await;
    assert!(
        message.contains("the host of /cc/search_business/ is unknown (system 蓝鲸配置平台)"),
        "{message}"
    );
    let (_, drafted) = desk
        .served
        .v1(
            "POST",
            "workflows/import",
            "admin",
            json!({ "workflow": task }),
        )
        .await;
    let missing: Vec<&str> = drafted["report"]
        .as_array()
        .expect("a report")
        .iter()
        .filter_map(|note| note["missing"]["what"].as_str())
        .collect();
    assert!(
        missing
            .iter()
            .any(|what| what.contains("/cc/search_business/ is unknown (system 蓝鲸配置平台)")),
        "{drafted}"
    );
    for url in [
        "{{ URL}}",
        "${URL}/x",
        "{{URL}}/{{title}}",
        "https://{{ HOST }}/x",
        "http://${host}",
    ] {
        let (_, message) = desk
            .refused(
                "import_service",
                service(
                    "地址",
                    &hooked("https://x.example.com", &json!({ "url": url })),
                ),
            )
            .await;
        assert!(
            message.contains("its host must be in the workflow, not in a form"),
            "{url}: {message}"
        );
    }
    let (_, message) = desk
        .refused(
            "import_service",
            service(
                "地址",
                &hooked(
                    "https://x.example.com",
                    &json!({ "url": "/bcsapi/v4/{{title}}" }),
                ),
            ),
        )
        .await;
    assert!(
        message.contains("the host of /bcsapi/v4/{{title}} is unknown"),
        "{message}"
    );
}

/// Before a new workflow is deployed, the desk checks the workflow. The check reports form values for
/// which no transition exists, and names of people who are not registered in the desk
/// (cases/first-use.md, section 2).
#[tokio::test]
async fn a_new_workflow_is_reported_with_open_cases_and_unknown_people() {
    let desk = Desk::start();
    let equal =
        |value: &str| json!({ "key": "ok", "type": "RADIO", "condition": "==", "value": value });
    let below = json!({ "key": "amount", "type": "INT", "condition": "<", "value": 1000 });
    let condition = |clauses: &[&Value]| json!({ "expressions": [{ "expressions": clauses }] });
    let definition = |second: Value, who: &str| {
        json!({ "name": "手画",
            "nodes": [
                { "id": 1, "name": "开始", "kind": "START" }, { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title", "ok", "amount"] },
                { "id": 3, "name": "处理", "kind": "NORMAL", "processors": { "type": "PERSON", "who": [who] } }, { "id": 4, "name": "结束", "kind": "END" }],
            "transitions": [
                { "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3, "condition": condition(&[&equal("y")]) },
                { "id": 3, "from": 2, "to": 4, "condition": second }, { "id": 4, "from": 3, "to": 4 }],
            "fields": [
                { "key": "title", "type": "STRING", "name": "标题", "is_required": true },
                { "key": "ok", "type": "RADIO", "name": "是否", "is_required": true, "choice": [{ "key": "y", "name": "是" }, { "key": "n", "name": "否" }] },
                { "key": "amount", "type": "INT", "name": "金额", "is_required": true }] })
    };
    let (_, drawn) = desk
        .served
        .v1(
            "POST",
            "workflows",
            "admin",
            json!({ "definition": definition(condition(&[&equal("n"), &below]), "zhangsan") }),
        )
        .await;
    let path = format!("workflows/{}", drawn["workflow"]);
    let (status, problem) = desk
        .served
        .v1("POST", &format!("{path}/deploy"), "admin", json!({}))
        .await;
    assert!(
        status == 409
            && problem
                .to_string()
                .contains("do not cover every case: none holds for ok = 否, amount >= 1000"),
        "{problem}"
    );
    // A node needs no default transition if the conditions of its transitions cover all possible form
    // values.
    let (_, drawn) = desk
        .served
        .v1(
            "PUT",
            &format!("{path}/draft"),
            "admin",
            json!({ "definition": definition(condition(&[&equal("n")]), "zhangsan") }),
        )
        .await;
    assert_eq!(
        (&drawn["problems"], &drawn["warnings"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(
        desk.served
            .v1("POST", &format!("{path}/deploy"), "admin", json!({}))
            .await
            .0,
        201
    );
    let (_, drawn) = desk
        .served
        .v1(
            "PUT",
            &format!("{path}/draft"),
            "admin",
            json!({ "definition": definition(condition(&[&equal("n")]), "zhangsann") }),
        )
        .await;
    assert!(
        drawn["warnings"]
            .to_string()
            .contains("zhangsann, who is unknown"),
        "{drawn}"
    );
}

/// An HTTP request that the desk must send: method, URL, media type and body. The test replaces the text
/// `<sn>` by the number of the ticket.
type Sent = (&'static str, &'static str, &'static str, &'static str);

/// One path of a ticket through a workflow, from the submitted form to the expected result.
struct Way {
    form: Value,
    /// The operations that the test executes on the ticket. Each entry is an operation of the BlueKing API
    /// and its request body without the ticket number.
    steps: Vec<(&'static str, Value)>,
    answers: Vec<Value>,
    /// Expected ticket status after the last operation. The status is `RUNNING` if a node still waits for a
    /// person, otherwise `FINISHED`.
    ends: &'static str,
    sent: Vec<Sent>,
}

/// A workflow file and all paths of tickets through this workflow. `due` is the expected error if the file is
/// imported without a change. The function `complete` adds the values that are missing in the file. If the file
/// can be imported without a change, `due` is empty.
struct File {
    name: &'static str,
    due: &'static str,
    complete: fn(&mut Value),
    ways: Vec<Way>,
}

fn way(form: Value, steps: Vec<(&'static str, Value)>, sent: Vec<Sent>) -> Way {
    Way {
        form,
        steps,
        answers: Vec::new(),
        ends: "FINISHED",
        sent,
    }
}

fn vote(node: i64, who: &str, pass: bool) -> (&'static str, Value) {
    (
        "approve",
        json!({ "state_id": node, "approver": who, "action": pass.to_string(), "remark": "意见" }),
    )
}

fn handle(node: i64, who: &str, fields: &[(&str, &str)]) -> (&'static str, Value) {
    (
        "operate_node",
        json!({ "state_id": node, "operator": who, "action_type": "TRANSITION", "fields": form(fields) }),
    )
}

fn files() -> Vec<File> {
    const HOOK: &str = "https://hooks.example.com/notify";
    let titled = || json!([{ "key": "title", "value": "发布 A" }]);
    let with = |fields: &[(&str, &str)]| {
        let mut all = titled();
        all.as_array_mut()
            .expect("fields")
            .extend(form(fields).as_array().expect("fields").clone());
        all
    };
    let named: fn(&mut Value) =
        |flow| flow["states"]["3"]["extras"]["webhook_info"]["secret"] = "hook".into();
    let file = |name, ways| File {
        name,
        due: "",
        complete: |_| {},
        ways,
    };
    let json_body = "{\n    \"title\": \"发布 A\",\n    \"sn\": \"<sn>\",\n    \"approved\": true,\n    \"size\": 5\n}";
    let urlencoded = "application/x-www-form-urlencoded;charset=utf-8";
    let approve = [
        ("true", "{\"approveResult\": true}"),
        ("false", "{\"approveResult\": false}"),
    ];
    let resource = |impact: &str, amount: &str, tags: &str, day: &str, reason: &str| {
        let mut form = with(&[
            ("impact", impact),
            ("zone", "sz"),
            ("model", "m1"),
            ("amount", amount),
            ("tags", tags),
            ("day", day),
            ("manager", "wangwu"),
            ("reason", reason),
        ]);
        form.as_array_mut()
            .expect("fields")
            .push(json!({ "key": "hosts", "value": [{ "ip": "10.0.0.8", "env": "a" }] }));
        form
    };
    let models = || {
        vec![json!({ "result": true, "data": { "models": [{ "id": "m1", "label": "大机型" }] } })]
    };
    let model_request: Sent = ("GET", "https://cmdb.example.com/models?zone=sz", "", "");
    vec![
        file(
            "01-webhook-raw-json",
            vec![way(
                with(&[("size", "5")]),
                vec![],
                vec![(
                    "POST",
                    "https://hooks.example.com/notify?from=itsm",
                    "",
                    json_body,
                )],
            )],
        ),
        file(
            "02-webhook-raw-text",
            vec![way(
                titled(),
                vec![],
                vec![("POST", HOOK, "text/plain", "title=发布 A; by=lisi")],
            )],
        ),
        file(
            "03-webhook-urlencoded",
            vec![way(
                titled(),
                vec![],
                vec![(
                    "POST",
                    HOOK,
                    urlencoded,
                    "zone=sz+1&title=%E5%8F%91%E5%B8%83+A&app=a%26b",
                )],
            )],
        ),
        file(
            "04-webhook-form-data",
            vec![way(
                titled(),
                vec![],
                vec![(
                    "POST",
                    HOOK,
                    "multipart/form-data",
                    "--<boundary>\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n发布 A\r\n--<boundary>\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\nrelease\r\n--<boundary>--\r\n",
                )],
            )],
        ),
        File {
            name: "05-webhook-bearer-token",
            due: "needs credentials (bearer_token)",
            complete: named,
            ways: vec![way(
                titled(),
                vec![],
                vec![("POST", HOOK, "", "{\"sn\":\"<sn>\"}")],
            )],
        },
        File {
            name: "06-webhook-basic-auth",
            due: "needs credentials (basic_auth)",
            complete: named,
            ways: vec![way(
                titled(),
                vec![],
                vec![("POST", HOOK, "application/xml", "<t>发布 A</t>")],
            )],
        },
        file(
            "07-or-sign-with-leftover-condition",
            approve
                .into_iter()
                .map(|(pass, body)| {
                    way(
                        titled(),
                        vec![vote(3, "wangwu", pass == "true")],
                        vec![("POST", HOOK, "", body)],
                    )
                })
                .collect(),
        ),
        file(
            "08-cases-without-a-line",
            vec![
                way(
                    with(&[("APPROVE_TYPE", "会签")]),
                    vec![vote(3, "zhangsan", true), vote(3, "wangwu", true)],
                    vec![],
                ),
                way(
                    with(&[("APPROVE_TYPE", "会签")]),
                    vec![vote(3, "zhangsan", false)],
                    vec![],
                ),
                way(
                    with(&[("APPROVE_TYPE", "或签")]),
                    vec![vote(4, "zhangsan", false)],
                    vec![],
                ),
                Way {
                    ends: "RUNNING",
                    ..way(with(&[("APPROVE_TYPE", "其他")]), vec![], vec![])
                },
            ],
        ),
        file(
            "09-complementary-outcomes",
            vec![
                way(
                    titled(),
                    vec![vote(3, "zhangsan", true), vote(3, "wangwu", true)],
                    vec![("POST", HOOK, "", "{\"publish_status\": \"pending\"}")],
                ),
                way(
                    titled(),
                    vec![vote(3, "zhangsan", true), vote(3, "wangwu", false)],
                    vec![("POST", HOOK, "", "{\"publish_status\": \"rejected\"}")],
                ),
                way(
                    titled(),
                    vec![vote(3, "wangwu", false)],
                    vec![("POST", HOOK, "", "{\"publish_status\": \"rejected\"}")],
                ),
            ],
        ),
        file(
            "10-parallel-branches",
            vec![
                way(
                    with(&[("host", "web")]),
                    vec![handle(4, "wangwu", &[("note", "装好")])],
                    vec![("POST", HOOK, "", "{\"host\": \"web\"}")],
                ),
                way(
                    with(&[("host", "rack")]),
                    vec![
                        handle(6, "zhangsan", &[]),
                        handle(4, "wangwu", &[("note", "装好")]),
                    ],
                    vec![("POST", HOOK, "", "{\"host\": \"rack\"}")],
                ),
            ],
        ),
        File {
            name: "11-task-of-a-remote-system",
            due: "is unknown (system 蓝鲸配置平台)",
            complete: |flow| {
                flow["states"]["3"]["api_info"]["remote_api_info"]["url"] =
                    "https://esb.example.com/cc/search_business/".into();
            },
            ways: [("7", vec![]), ("0", vec![handle(4, "wangwu", &[])])]
                .into_iter()
                .map(|(count, steps)| Way {
                    answers: vec![json!({ "result": true, "code": 0, "data": { "count": count } })],
                    ..way(
                        with(&[("limit", "10")]),
                        steps,
                        vec![(
                            "POST",
                            "https://esb.example.com/cc/search_business/",
                            "",
                            "{\"bk_biz_name\":\"发布 A\",\"limit\":10}",
                        )],
                    )
                })
                .collect(),
        },
        file(
            "12-forms-and-nested-conditions",
            vec![
                Way {
                    answers: models(),
                    ..way(
                        resource("3", "10", "test", "2031-01-01", "扩容"),
                        vec![handle(3, "wangwu", &[])],
                        vec![model_request],
                    )
                },
                way(
                    resource("1", "1", "prod,test", "2026-12-31", ""),
                    vec![handle(3, "wangwu", &[])],
                    vec![],
                ),
                way(
                    resource("3", "9", "test", "2031-01-01", "扩容"),
                    vec![handle(4, "lisi", &[])],
                    vec![],
                ),
            ],
        ),
    ]
}

/// The test imports twelve workflow files. Client platforms publish their workflows in the formats of these
/// files. The test then sends tickets through all paths of each workflow. Each ticket must have the expected
/// result (cases/real-files-and-clients.md, cases 1 to 4 and 14).
#[tokio::test]
async fn twelve_workflow_files_run_to_each_of_their_ends() {
    let desk = TestDesk::open().await;
    desk.app
        .ledger
        .keys
        .keep_secret(
            "api/hook",
            br#"{"Authorization":"Bearer of-the-key-store"}"#,
        )
        .await
        .expect("kept");
    let (mut unchanged, mut completed, mut tickets, mut requests) = (0, 0, 0, 0);
    let files = files();
    for file in &files {
        let path = tests::process::root()
            .join("tests/cases/fixtures")
            .join(format!("{}.json", file.name));
        let mut workflow: Value =
            serde_json::from_slice(&std::fs::read(path).expect("a fixture")).expect("JSON");
        if file.due.is_empty() {
            unchanged += 1;
        } else {
            let (code, message) = desk
                .refused("import_service", service(file.name, &workflow))
                .await;
            assert!(
                code == 3_900_011 && message.contains(file.due),
                "{}: {message}",
                file.name
            );
            (file.complete)(&mut workflow);
            completed += 1;
        }
        let imported = desk
            .must("import_service", service(file.name, &workflow))
            .await;
        let lost = imported["report"]
            .as_array()
            .expect("a report")
            .iter()
            .filter(|note| note.get("changed").is_none())
            .count();
        assert_eq!(lost, 0, "{}: {}", file.name, imported["report"]);
        for way in &file.ways {
            let seen = desk.receiver.calls.lock().expect("no holder panics").len();
            let answers = way
                .answers
                .iter()
                .map(|body| Ok(HttpResponse::of(200, body.to_string().as_bytes())));
            desk.receiver
                .answers
                .lock()
                .expect("no holder panics")
                .extend(answers);
            let sn = desk
                .must(
                    "create_ticket",
                    json!({ "service_id": imported["id"], "creator": "lisi", "fields": way.form }),
                )
                .await["sn"]
                .clone();
            desk.settle().await;
            for (operation, body) in &way.steps {
                let mut body = body.clone();
                body["sn"] = sn.clone();
                // If a node must be claimed before a person can complete the node, the test claims the node
                // first.
                let status = desk.must("get_ticket_status", json!({ "sn": sn })).await;
                let step = status["current_steps"]
                    .as_array()
                    .expect("steps")
                    .iter()
                    .find(|step| step["state_id"] == body["state_id"])
                    .cloned()
                    .unwrap_or_default();
                if step["action_type"] == "CLAIM" {
                    desk.must("operate_node", json!({ "sn": sn, "operator": body["operator"], "state_id": body["state_id"], "action_type": "CLAIM" })).await;
                }
                desk.must(operation, body).await;
                desk.settle().await;
            }
            let status =
                desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"].clone();
            assert_eq!(status, way.ends, "{} {}", file.name, way.form);
            let calls: Vec<infra::http::HttpRequest> =
                desk.receiver.calls.lock().expect("no holder panics")[seen..].to_vec();
            assert_eq!(
                calls.len(),
                way.sent.len(),
                "{} {}: {calls:?}",
                file.name,
                way.form
            );
            for (call, (method, url, kind, body)) in calls.iter().zip(&way.sent) {
                let header = |name: &str| {
                    call.headers
                        .iter()
                        .find(|(known, _)| known.eq_ignore_ascii_case(name))
                        .map_or("", |(_, value)| value.as_str())
                };
                let boundary = header("content-type")
                    .split("boundary=")
                    .nth(1)
                    .unwrap_or_default();
                let body = body
                    .replace("<sn>", sn.as_str().expect("sn"))
                    .replace("<boundary>", boundary);
                let sent = String::from_utf8(call.body.clone()).expect("UTF-8");
                assert_eq!(
                    (call.method.as_str(), call.url.as_str(), sent),
                    (*method, *url, body),
                    "{}",
                    file.name
                );
                assert_eq!(
                    header("content-type")
                        .split("; boundary=")
                        .next()
                        .unwrap_or_default(),
                    *kind,
                    "{}",
                    file.name
                );
                assert_eq!(
                    header("authorization") == "Bearer of-the-key-store",
                    file.due.contains("credentials"),
                    "{}",
                    file.name
                );
            }
            tickets += 1;
            requests += calls.len();
        }
    }
    println!(
        "{} files: {unchanged} deployed unchanged, {completed} completed according to their report; {tickets} tickets, {requests} requests",
        files.len()
    );
    assert_eq!((files.len(), completed, tickets), (12, 3, 22));
}

/// A webhook is an API call of a workflow node. The desk replaces placeholders in the JSON body of a
/// webhook by form values. The body stays valid JSON for all form values (cases/real-files-and-clients.md,
/// case 1).
#[tokio::test]
async fn a_json_body_stays_valid_json_with_any_template_value() {
    let (desk, receiver) = (Desk::start(), Receiver::start().await);
    let optional = |id: i64, key: &str, kind: &str| json!({ "id": id, "key": key, "name": key, "type": kind, "validate_type": "OPTION", "state_id": 2 });
    let mut rows = optional(4, "rows", "CUSTOMTABLE");
    rows["meta"] = json!({ "columns": [{ "key": "ip", "name": "IP", "display": "input" }] });
    let fields = [
        optional(2, "size", "INT"),
        optional(3, "config", "TEXT"),
        rows,
        optional(5, "note", "STRING"),
    ];
    let bodies = [
        (
            r#"{"rows": {{rows}}, "size": {{size}}, "note": {{note}}}"#,
            r#"{"rows": [{"ip":"10.0.0.8"}], "size": 5, "note": null}"#,
        ),
        (
            r#"{"rows": "{{rows}}", "size": "{{size}}", "note": "{{note}}"}"#,
            r#"{"rows": "[{\"ip\":\"10.0.0.8\"}]", "size": "5", "note": ""}"#,
        ),
        (
            r#"{"title": {{title}}, "config": {{config}}}"#,
            r#"{"title": "a, \"b\": 1", "config": {"a": [1, "x"]}}"#,
        ),
        (
            r#"{"{{title}}": [{{ size }}, {"deep": ["<{{title}}>"]}]}"#,
            r#"{"a, \"b\": 1": [5, {"deep": ["<a, \"b\": 1>"]}]}"#,
        ),
        ("{{rows}}", r#"[{"ip":"10.0.0.8"}]"#),
        ("t={{title}}", r#"t=a, \"b\": 1"#),
    ];
    for (at, (content, sent)) in bodies.into_iter().enumerate() {
        let body = json!({ "type": "raw", "raw_type": "JSON", "content": content });
        let mut workflow = hooked(&receiver.base, &json!({ "body": body }));
        for field in &fields {
            workflow["fields"][field["id"].to_string()] = field.clone();
        }
        let imported = desk.import(&format!("嵌入{at}"), &workflow).await;
        let mut form = form(&[
            ("title", "a, \"b\": 1"),
            ("size", "5"),
            ("config", r#"{"a": [1, "x"]}"#),
        ]);
        form.as_array_mut()
            .expect("fields")
            .push(json!({ "key": "rows", "value": [{ "ip": "10.0.0.8" }] }));
        let sn = desk
            .must(
                "create_ticket",
                json!({ "service_id": imported["id"], "creator": "lisi", "fields": form }),
            )
            .await["sn"]
            .clone();
        desk.until(&sn, "FINISHED").await;
        assert_eq!(
            receiver.all().pop().expect("a request").body,
            sent,
            "{content}"
        );
    }
}

/// A workflow file contains the body type of a webhook, and this type determines the media type of the
/// request. The import reports a header that contradicts this type (cases/real-files-and-clients.md, case
/// 1).
#[tokio::test]
async fn the_configured_media_type_of_a_body_is_sent() {
    let (desk, receiver) = (Desk::start(), Receiver::start().await);
    let form =
        json!({ "type": "x-www-form-urlencoded", "params": [{ "key": "a", "value": "1 2" }] });
    let raw = |member: &str, kind: &str| json!({ "type": "raw", member: kind, "content": "x" });
    let urlencoded = "application/x-www-form-urlencoded;charset=utf-8";
    let cases = [
        (form.clone(), "application/json", urlencoded, "a=1+2", 1),
        (
            form.clone(),
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded",
            "a=1+2",
            0,
        ),
        (form, "", urlencoded, "a=1+2", 0),
        (
            raw("raw_type", "Text"),
            "application/json; charset=utf-8",
            "text/plain",
            "x",
            1,
        ),
        (
            raw("raw_type", "XML"),
            "application/soap+xml",
            "application/soap+xml",
            "x",
            0,
        ),
        (
            raw("raw_type", "JSON"),
            "application/json; charset=utf-8",
            "application/json; charset=utf-8",
            "x",
            0,
        ),
        (raw("row_type", "Text"), "", "text/plain", "x", 0),
        (raw("raw_type", "YAML"), "", "text/plain", "x", 0),
    ];
    for (at, (body, header, kind, sent, notes)) in cases.into_iter().enumerate() {
        let headers = if header.is_empty() {
            json!([])
        } else {
            json!([{ "key": "content-type", "value": header }])
        };
        let imported = desk
            .import(
                &format!("类型{at}"),
                &hooked(&receiver.base, &json!({ "body": body, "headers": headers })),
            )
            .await;
        assert_eq!(
            imported["report"].as_array().expect("a report").len(),
            notes,
            "{body} {header}: {}",
            imported["report"]
        );
        let sn = desk.open(&imported["id"], &[("title", "t")]).await;
        desk.until(&sn, "FINISHED").await;
        let received = receiver.all().pop().expect("a request");
        assert_eq!(
            (received.header("content-type"), received.body.as_str()),
            (kind, sent),
            "{body} {header}"
        );
    }
}

/// In a workflow file, the body or the credentials of a webhook may have an unexpected JSON type. The
/// import reports the member with the unexpected type (cases/real-files-and-clients.md, cases 1 and 2).
#[tokio::test]
async fn a_body_or_credentials_of_another_shape_are_reported() {
    let desk = Desk::start();
    for body in [json!("abc"), json!(["x"]), json!(5)] {
        let imported = desk
            .import(
                &format!("形状 {body}"),
                &hooked("https://hooks.example.com", &json!({ "body": body })),
            )
            .await;
        assert!(
            imported["report"]
                .to_string()
                .contains("the body, which is neither of the type raw nor a form"),
            "{body}: {}",
            imported["report"]
        );
    }
    let (_, message) = desk
        .refused(
            "import_service",
            service(
                "凭据",
                &hooked("https://hooks.example.com", &json!({ "auth": ["token"] })),
            ),
        )
        .await;
    assert!(message.contains("its call needs credentials"), "{message}");
    let imported = desk
        .import(
            "无凭据",
            &hooked("https://hooks.example.com", &json!({ "auth": "none" })),
        )
        .await;
    assert_eq!(imported["report"], json!([]));
}

/// Headers such as `Host` belong to the HTTP connection. The import removes these headers from a webhook
/// (an API call of a workflow node) and reports each removed header (cases/real-files-and-clients.md, case
/// 1).
#[tokio::test]
async fn connection_headers_are_left_out_and_reported() {
    let (desk, receiver) = (Desk::start(), Receiver::start().await);
    let headers: Value = [
        ("Host", "x"),
        ("Content-Length", "5"),
        ("Connection", "keep-alive"),
        ("X-A", "1"),
    ]
    .iter()
    .map(|(key, value)| json!({ "key": key, "value": value }))
    .collect();
    let imported = desk
        .import(
            "连接",
            &hooked(&receiver.base, &json!({ "headers": headers })),
        )
        .await;
    let report = imported["report"].as_array().expect("a report");
    assert_eq!(report.len(), 3, "{report:?}");
    assert!(
        report.iter().all(|note| note["dropped"]["what"]
            .as_str()
            .is_some_and(|what| what.starts_with("the header "))),
        "{report:?}"
    );
    let sn = desk.open(&imported["id"], &[("title", "t")]).await;
    desk.until(&sn, "FINISHED").await;
    assert_eq!(receiver.all().pop().expect("a request").header("x-a"), "1");
}

/// A webhook is an API call of a workflow node. The import reduces a webhook timeout of 60 s to the maximum
/// of 20 s and reports both values (cases/real-files-and-clients.md, case 4).
#[tokio::test]
async fn a_webhook_with_a_long_timeout_is_imported_with_a_note() {
    let desk = Desk::start();
    let imported = desk
        .import(
            "超时",
            &hooked(
                "https://hooks.example.com",
                &json!({ "settings": { "timeout": "60" } }),
            ),
        )
        .await;
    let report = imported["report"].to_string();
    assert!(
        report.contains("the timeout is 20000 ms instead of 60000 ms"),
        "{report}"
    );
}

/// A webhook (an API call of a workflow node) succeeds if its success expression is true for the response.
/// The expression may contain parentheses, lists and constants (cases/real-files-and-clients.md, case 4).
#[tokio::test]
async fn a_success_expression_may_have_parentheses_and_lists() {
    let (desk, receiver) = (Desk::start(), Receiver::start().await);
    let expressions = [
        "(resp.code==0)",
        "(resp.code == 0 or resp.code == 200) and resp.result == true",
        "resp.code in (0, 200)",
        "0 == resp.code AND resp.result == True",
        "1==1",
        "true",
    ];
    for (at, success) in expressions.into_iter().enumerate() {
        let workflow = hooked(&receiver.base, &json!({ "success_exp": success }));
        let imported = desk.import(&format!("成功{at}"), &workflow).await;
        assert_eq!(imported["report"], json!([]), "{success}");
        let sn = desk.open(&imported["id"], &[("title", "t")]).await;
        desk.until(&sn, "FINISHED").await;
        let flow = imported["workflow_id"].as_i64().expect("a version");
        let path = format!(
            "workflows/{}/versions/{}/export",
            flow / 10_000,
            flow % 10_000
        );
        let (_, exported) = desk.served.v1("GET", &path, "admin", Value::Null).await;
        let (status, again) = desk
            .served
            .v1(
                "POST",
                "workflows/import",
                "admin",
                json!({ "workflow": exported }),
            )
            .await;
        assert_eq!(
            (status, &again["report"], &again["problems"]),
            (201, &json!([]), &json!([])),
            "{success}: {again}"
        );
    }
    let (_, message) = desk
        .refused(
            "import_service",
            service(
                "混合",
                &hooked(
                    &receiver.base,
                    &json!({ "success_exp": "a==1 and b==2 or c==3" }),
                ),
            ),
        )
        .await;
    assert!(message.contains("has no success condition"), "{message}");
}

/// In a workflow file, a text field may contain options, although only choice fields use options. The
/// desk ignores the options of a text field, so a comma in such an option is no error
/// (cases/real-files-and-clients.md, case 12).
#[tokio::test]
async fn leftover_options_of_a_text_field_are_ignored() {
    let desk = Desk::start();
    let options = json!([{ "key": "a,b", "name": "两者" }]);
    let field = |id: i64, kind: &str| json!({ "id": id, "key": format!("f{id}"), "name": kind, "type": kind, "validate_type": "OPTION", "state_id": 2, "choice": options });
    let mut table = field(5, "CUSTOMTABLE");
    table["choice"] = json!([]);
    table["meta"] =
        json!({ "columns": [{ "key": "c", "name": "列", "display": "input", "choice": options }] });
    let workflow = flow(
        &[],
        &[line(1, 1, 2), line(2, 2, 9)],
        &[
            field(2, "STRING"),
            field(3, "INT"),
            field(4, "MEMBERS"),
            table,
        ],
    );
    let imported = desk.import("剩余选项", &workflow).await;
    assert_eq!(imported["report"], json!([]));
    for kind in ["INPUTSELECT", "CASCADE"] {
        let workflow = flow(&[], &[line(1, 1, 2), line(2, 2, 9)], &[field(2, kind)]);
        let (_, message) = desk
            .refused("import_service", service(kind, &workflow))
            .await;
        assert!(message.contains("\"a,b\""), "{kind}: {message}");
    }
}

/// A required field rejects a list or a table that contains only blanks (cases/real-files-and-clients.md,
/// case 13).
#[tokio::test]
async fn a_list_of_blanks_does_not_fill_a_required_text() {
    let desk = Desk::start();
    let required = |id: i64, key: &str, kind: &str| json!({ "id": id, "key": key, "name": key, "type": kind, "validate_type": "REQUIRE", "state_id": 2 });
    let mut columns = required(5, "rows", "CUSTOMTABLE");
    columns["meta"] = json!({ "columns": [{ "key": "ip", "name": "IP", "display": "input" }] });
    let fields = [
        required(2, "text", "TEXT"),
        required(3, "page", "RICHTEXT"),
        required(4, "table", "TABLE"),
        columns,
        required(6, "extra", "CUSTOM-FORM"),
    ];
    let imported = desk
        .import(
            "空列表",
            &flow(&[], &[line(1, 1, 2), line(2, 2, 9)], &fields),
        )
        .await;
    let good = json!({ "title": "t", "text": "a", "page": "<p>c</p>", "table": [{ "c": "1" }], "rows": [{ "ip": "1" }], "extra": { "form_data": [0] } });
    let as_list = |form: &Value| {
        form.as_object()
            .expect("fields")
            .iter()
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect::<Value>()
    };
    let open = async |form: &Value| {
        desk.served
            .bk(
                "create_ticket",
                json!({ "service_id": imported["id"], "creator": "lisi", "fields": as_list(form) }),
            )
            .await
    };
    assert_eq!(open(&good).await["result"], true);
    let blanks = |key: &str| match key {
        "title" | "text" => vec![json!([]), json!({}), json!([" "]), json!([{}])],
        "page" => vec![json!([""]), json!("<p>&#160;&#x3000;</p>")],
        _ => vec![json!([{}]), json!([{ "c": " ", "ip": "\u{3000}" }])],
    };
    for (key, blank) in ["title", "text", "page", "table", "rows"]
        .into_iter()
        .flat_map(|key| blanks(key).into_iter().map(move |blank| (key, blank)))
    {
        let mut form = good.clone();
        form[key] = blank.clone();
        let refused = open(&form).await;
        assert!(
            refused["result"] == false
                && refused["message"]
                    .as_str()
                    .expect("a message")
                    .contains("为必填项"),
            "{key} {blank}: {refused}"
        );
    }
}

/// Clients send list values as JSON text, as repeated form parameters, or as plain text. The desk accepts
/// all three formats (cases/real-files-and-clients.md).
#[tokio::test]
async fn clients_send_lists_in_every_form_that_a_body_can_have() {
    let desk = Desk::start();
    let credentials = [
        ("bk_app_code", tests::process::APP.0),
        ("bk_app_secret", tests::process::APP.1),
        ("bk_username", "admin"),
    ];
    let post = async |operation: &str, body: String| {
        let url = format!("{}/api/c/compapi/v2/itsm/{operation}/", desk.served.base);
        let request = tests::process::client()
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        request
            .send()
            .await
            .expect("an answer")
            .json::<Value>()
            .await
            .expect("JSON")
    };
    let as_form = |parameters: &[(&str, &str)]| {
        credentials
            .iter()
            .chain(parameters)
            .map(|(key, value)| format!("{}={}", percent(key), percent(value)))
            .collect::<Vec<_>>()
            .join("&")
    };
    let fields = r#"[{"key":"title","value":"a & b"}]"#;
    let created = post(
        "create_ticket",
        as_form(&[
            ("service_id", "17"),
            ("creator", "lisi"),
            ("fields", fields),
            ("meta", "{}"),
        ]),
    )
    .await;
    let first = created["data"]["sn"]
        .as_str()
        .unwrap_or_else(|| panic!("{created}"))
        .to_owned();
    // Some client libraries send a JSON body with the content type of an HTML form. The desk must accept
    // such a request.
    let mut json_body = json!({ "service_id": 17, "creator": "lisi", "fields": [{ "key": "title", "value": "b" }] });
    for (key, value) in credentials {
        json_body[key] = value.into();
    }
    let created = post("create_ticket", json_body.to_string()).await;
    let second = created["data"]["sn"]
        .as_str()
        .unwrap_or_else(|| panic!("{created}"))
        .to_owned();
    let text = format!("[\"{first}\"]");
    for parameters in [
        vec![("sns", text.as_str())],
        vec![("sns[]", first.as_str())],
        vec![("sns", first.as_str())],
    ] {
        let found = post("get_tickets", as_form(&parameters)).await;
        assert_eq!(
            (&found["data"]["count"], &found["data"]["items"][0]["sn"]),
            (&json!(1), &json!(first)),
            "{parameters:?}: {found}"
        );
    }
    let both = format!("[\"{first}\",\"{second}\"]");
    for parameters in [
        vec![("sn", both.as_str())],
        vec![("sn[]", first.as_str()), ("sn[]", second.as_str())],
    ] {
        let found = post("ticket_approval_result", as_form(&parameters)).await;
        assert_eq!(
            found["data"].as_array().map(Vec::len),
            Some(2),
            "{parameters:?}: {found}"
        );
    }
    let filtered = desk.must("get_tickets", json!({ "create_at__gte": "2020-01-01T00:00:00+08:00", "create_at__lte": "2099-01-01T00:00:00.000001" })).await;
    assert_eq!(filtered["count"], 2);
}

/// If the condition of a transition is always true, the import treats this transition as the default
/// transition (cases/real-files-and-clients.md, case 4).
#[tokio::test]
async fn an_always_true_transition_is_a_default_transition() {
    let desk = Desk::start();
    let person = |id: i64| json!({ "id": id, "type": "NORMAL", "name": "处理", "processors_type": "PERSON", "processors": "zhangsan" });
    let constant = json!({ "key": "G_INT_1", "type": "INT", "condition": "==", "value": 1 });
    let titled = json!({ "key": "title", "type": "STRING", "condition": "==", "value": "a" });
    let lines = [
        line(1, 1, 2),
        line_if(2, 2, 3, &titled),
        line_if(3, 2, 4, &constant),
        line(4, 3, 9),
        line(5, 4, 9),
    ];
    let imported = desk
        .import("常量", &flow(&[person(3), person(4)], &lines, &[]))
        .await;
    assert_eq!(imported["report"], json!([]));
    for (title, node) in [("a", 3), ("b", 4)] {
        let sn = desk.open(&imported["id"], &[("title", title)]).await;
        let steps =
            desk.must("get_ticket_status", json!({ "sn": sn })).await["current_steps"].clone();
        assert_eq!(steps[0]["state_id"], node, "{title}: {steps}");
    }
}

/// A client may repeat a request with the same idempotency key. The repeated request may name the user in a
/// header instead of the body, but a request of another user is rejected (cases/hostile-and-broken.md, case
/// 3).
#[tokio::test]
async fn a_repeated_request_may_name_its_user_in_another_place() {
    let desk = Desk::start();
    let credentials = |user: &str| json!({ "bk_app_code": tests::process::APP.0, "bk_app_secret": tests::process::APP.1, "bk_username": user });
    let open = async |user: &str, in_header: bool| {
        let mut body = json!({ "service_id": 17, "fields": form(&[("title", "t")]) });
        let mut request = tests::process::client()
            .post(format!("{}/v2/itsm/create_ticket/", desk.served.base))
            .header("idempotency-key", "k-1");
        if in_header {
            request = request.header("x-bkapi-authorization", credentials(user).to_string());
        } else {
            body.as_object_mut()
                .expect("an object")
                .extend(credentials(user).as_object().expect("an object").clone());
        }
        request
            .json(&body)
            .send()
            .await
            .expect("an answer")
            .json::<Value>()
            .await
            .expect("JSON")
    };
    let first = open("anna", false).await;
    assert_eq!(first["result"], true, "{first}");
    assert_eq!(open("anna", true).await["data"], first["data"]);
    for in_header in [true, false] {
        let other = open("bob", in_header).await;
        assert!(
            other["result"] == false
                && other["message"]
                    .as_str()
                    .expect("a message")
                    .contains("Idempotency-Key"),
            "{other}"
        );
    }
}
