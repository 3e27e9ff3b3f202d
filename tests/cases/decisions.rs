//! These tests check decisions and other operations on tickets. They check reasons, idempotency keys,
//! ticket versions, lists of people, and form values.

use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use tests::form;
use tests::process::{Served, client, run};

/// Imports a service whose workflow contains `node` (id 3) between the submit node (the first node) and the
/// node END. The form contains the title and `field`. Returns the id of the service.
async fn service(desk: &Served, name: &str, node: Value, field: Value) -> Value {
    let line = |from: i64, to: i64| json!({ "from": from, "to": to, "condition_type": "default" });
    let nodes = json!([
        { "id": 1, "type": "START", "name": "开始" },
        { "id": 2, "type": "NORMAL", "name": "提单", "processors_type": "OPEN", "is_first_state": true },
        node,
        { "id": 9, "type": "END", "name": "结束" },
    ]);
    let title = json!({ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 });
    let flow = json!({ "name": name, "is_revocable": true, "revoke_config": { "type": 1 }, "nodes": nodes, "edges": [line(1, 2), line(2, 3), line(3, 9)], "fields": [title, field] });
    let body = json!({ "bk_username": "admin", "name": name, "key": "request", "catalog_id": 4, "owners": "admin", "workflow": flow });
    let answer = desk.bk("import_service", body).await;
    assert_eq!(answer["result"], true, "{answer}");
    answer["data"]["id"].clone()
}

async fn approval(desk: &Served, more: Value) -> Value {
    let mut node = json!({ "id": 3, "type": "APPROVAL", "name": "审批", "processors_type": "PERSON", "processors": "zhangsan,wangwu" });
    node.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    let result = json!({ "id": 103, "key": "o3", "name": "意见", "type": "RADIO", "state_id": 3, "validate_type": "REQUIRE", "meta": { "code": "APPROVE_RESULT" },
        "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] });
    service(desk, "只有结果的审批", node, result).await
}

async fn named(desk: &Served) -> Value {
    let node = json!({ "id": 3, "type": "NORMAL", "name": "处理", "processors_type": "VARIABLE", "processors": "mem", "distribute_type": "PROCESS" });
    let field = json!({ "id": 2, "key": "mem", "name": "人员", "type": "MEMBERS", "validate_type": "OPTION", "state_id": 2 });
    service(desk, "指定人员", node, field).await
}

async fn opened(desk: &Served, service: &Value) -> String {
    let answer = desk
        .bk(
            "create_ticket",
            json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t")]) }),
        )
        .await;
    assert_eq!(answer["result"], true, "{answer}");
    answer["data"]["sn"].as_str().expect("a number").to_owned()
}

async fn operated(desk: &Served, sn: &str, operation: &str, user: &str, body: Value) {
    let (status, answer) = desk
        .v1(
            "POST",
            &format!("tickets/{sn}/{operation}"),
            user,
            body.clone(),
        )
        .await;
    assert_eq!(status, 200, "{operation} {body}: {answer}");
}

/// Returns the node with id 3 of a ticket, in the format of the API `/v1`.
async fn third(desk: &Served, sn: &str) -> Value {
    let (status, ticket) = desk
        .v1("GET", &format!("tickets/{sn}"), "lisi", Value::Null)
        .await;
    assert_eq!(status, 200, "{ticket}");
    ticket["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .find(|node| node["node"] == 3)
        .expect("node 3")
        .clone()
}

async fn logs(desk: &Served, sn: &str) -> String {
    desk.bk("get_ticket_logs", json!({ "sn": sn })).await["data"]["logs"].to_string()
}

/// Reads the events of a ticket over `/v1`. Returns the events that contain the text `kind` in their JSON
/// form.
async fn events(desk: &Served, sn: &str, kind: &str) -> Vec<Value> {
    let (_, history) = desk
        .v1("GET", &format!("tickets/{sn}/events"), "admin", Value::Null)
        .await;
    let is = |event: &&Value| event["event"].to_string().contains(kind);
    history["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(is)
        .cloned()
        .collect()
}

/// Returns the number of people in the key store (`keys.db`) of a desk.
fn registered(data: &Path) -> i64 {
    let keys = rusqlite::Connection::open_with_flags(
        data.join("keys.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .expect("a key store");
    keys.query_row("SELECT count(*) FROM people", [], |row| row.get(0))
        .expect("a count")
}

fn crowd(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("{prefix}{at}")).collect()
}

/// The desk stores the reason of a decision even if the form of the approval node has no field for a
/// reason (cases/first-use.md, fault F3).
#[tokio::test]
async fn a_decision_keeps_its_reason_without_a_reason_field() {
    let data = tempfile::tempdir().expect("a directory");
    let desk = Served::start(data.path(), &[]);
    let service = approval(&desk, json!({})).await;
    let reason = "TOO DEAR because of budget";
    for way in [
        "decide",
        "decisions",
        "approve",
        "proceed_approval",
        "operate_node",
        "resolve",
    ] {
        let sn = opened(&desk, &service).await;
        let pass = way == "resolve";
        match way {
            "decide" => {
                operated(
                    &desk,
                    &sn,
                    "decide",
                    "zhangsan",
                    json!({ "node": 3, "pass": false, "message": reason }),
                )
                .await;
            }
            "resolve" => {
                operated(
                    &desk,
                    &sn,
                    "resolve",
                    "zhangsan",
                    json!({ "message": reason }),
                )
                .await;
            }
            "decisions" => {
                let decisions = json!({ "decisions": [{ "sn": sn, "node": 3, "pass": false, "message": reason }] });
                let (status, answer) = desk.v1("POST", "decisions", "zhangsan", decisions).await;
                assert_eq!(
                    (status, &answer["results"][0]["done"]),
                    (200, &json!(true)),
                    "{answer}"
                );
            }
            _ => {
                let body = match way {
                    "approve" => {
                        json!({ "sn": sn, "state_id": 3, "approver": "zhangsan", "action": "false", "remark": reason })
                    }
                    "proceed_approval" => {
                        json!({ "process_inst_id": sn, "activity": 3, "handler": "zhangsan", "submit_action": "false", "submit_opinion": reason })
                    }
                    _ => {
                        json!({ "sn": sn, "state_id": 3, "operator": "zhangsan", "action_type": "TRANSITION", "action_message": reason,
                        "fields": form(&[("o3", "false")]) })
                    }
                };
                let answer = desk.bk(way, body).await;
                assert_eq!(answer["result"], true, "{way}: {answer}");
            }
        }
        let node = third(&desk, &sn).await;
        assert_eq!(
            (&node["reason"], &node["pass"]),
            (&json!(reason), &json!(pass)),
            "{way}: {node}"
        );
        assert_eq!(
            node["votes"],
            json!([{ "by": "zhangsan", "pass": pass, "reason": reason }]),
            "{way}"
        );
        assert!(
            events(&desk, &sn, "o3")
                .await
                .iter()
                .any(|event| event.to_string().contains(reason)),
            "{way}: the vote has it"
        );
        let logs = logs(&desk, &sn).await;
        assert!(logs.contains(reason), "{way}: {logs}");
        let result = desk
            .bk(
                "get_approve_node_result",
                json!({ "sn": sn, "state_id": 3 }),
            )
            .await;
        assert_eq!(result["data"]["approve_remark"], reason, "{way}: {result}");
        let shown = run(&[
            "audit",
            "show",
            &format!("ticket-{sn}"),
            "--data",
            data.path().to_str().expect("a path"),
        ]);
        assert!(
            String::from_utf8_lossy(&shown.stdout).contains(reason),
            "{way}: audit show has it"
        );
    }
}

/// The form of an approval node can have a field for the reason. The desk then stores the reason twice: in
/// this field and in the event of the vote (cases/first-use.md, fault F3).
#[tokio::test]
async fn a_reason_is_in_the_vote_and_in_the_reason_field_of_the_form() {
    let data = tempfile::tempdir().expect("a directory");
    let desk = Served::start(data.path(), &[]);
    for (way, pass) in [("decide", true), ("decide", false), ("operate_node", false)] {
        let mut body = tests::approval_request();
        body["bk_username"] = "lisi".into();
        let sn = desk.bk("create_ticket", body).await["data"]["sn"]
            .as_str()
            .expect("a number")
            .to_owned();
        if way == "decide" {
            operated(
                &desk,
                &sn,
                "decide",
                "zhangsan",
                json!({ "node": 3, "pass": pass, "message": "材料不全" }),
            )
            .await;
        } else {
            let fields = form(&[("FZR_YIJIAN", "false"), ("FZR_LIYOU", "材料不全")]);
            let answer =
                desk.bk("operate_node", json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields })).await;
            assert_eq!(answer["result"], true, "{answer}");
        }
        let node = third(&desk, &sn).await;
        assert_eq!(
            node["votes"],
            json!([{ "by": "zhangsan", "pass": pass, "reason": "材料不全" }]),
            "{way} {pass}"
        );
        let field = if pass { "FZR_BEIZHU" } else { "FZR_LIYOU" };
        let (_, ticket) = desk
            .v1("GET", &format!("tickets/{sn}"), "lisi", Value::Null)
            .await;
        let value = ticket["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .find(|shown| shown["key"] == field)
            .expect("the field")["value"]
            .clone();
        assert_eq!(value, "材料不全", "{way} {pass}");
    }
    // If the approver must give a reason, a reason that contains only blanks is rejected.
    let sn = desk.bk("create_ticket", tests::approval_request()).await["data"]["sn"]
        .as_str()
        .expect("a number")
        .to_owned();
    let fields = form(&[("FZR_YIJIAN", "false"), ("FZR_LIYOU", "")]);
    let answer = desk.bk("operate_node", json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields })).await;
    assert_eq!(answer["result"], false, "{answer}");
    for (operation, body) in [
        ("suspend", json!({ "message": " \u{3000}\u{200b}" })),
        ("terminate", json!({ "message": "\u{200b}" })),
        (
            "deliver",
            json!({ "node": 3, "to": { "people": ["zhaoliu"] }, "message": "\u{feff} " }),
        ),
        ("suspend", json!({ "message": null })),
    ] {
        let (status, answer) = desk
            .v1(
                "POST",
                &format!("tickets/{sn}/{operation}"),
                "zhangsan",
                body.clone(),
            )
            .await;
        assert_eq!(status, 400, "{operation} {body}: {answer}");
    }
}

/// If an operation on a ticket contains a message, the desk stores the message. Later read requests return
/// this message (cases/first-use.md, fault F3).
#[tokio::test]
async fn every_operation_keeps_its_message() {
    let data = tempfile::tempdir().expect("a directory");
    let desk = Served::start(data.path(), &[]);
    let service = approval(&desk, json!({ "can_deliver": true })).await;
    let sn = opened(&desk, &service).await;
    for (operation, user, body) in [
        (
            "acknowledge",
            "zhangsan",
            json!({ "node": 3, "message": "words of acknowledge" }),
        ),
        (
            "suspend",
            "zhangsan",
            json!({ "message": "words of suspend" }),
        ),
        (
            "resume",
            "zhangsan",
            json!({ "message": "words of resume" }),
        ),
        (
            "reassign",
            "admin",
            json!({ "node": 3, "to": { "people": ["zhangsan"] }, "message": "words of reassign" }),
        ),
        (
            "withdraw",
            "lisi",
            json!({ "message": "words of withdraw" }),
        ),
    ] {
        operated(&desk, &sn, operation, user, body).await;
        let words = format!("words of {operation}");
        assert_eq!(
            events(&desk, &sn, &words).await.len(),
            1,
            "{operation}: the event has them"
        );
        let logs = logs(&desk, &sn).await;
        assert!(logs.contains(&words), "{operation}: {logs}");
    }
    let sn = opened(&desk, &service).await;
    for (action, operator, words) in [
        ("SUSPEND", "zhangsan", "等窗口"),
        ("UNSUSPEND", "zhangsan", "窗口已开"),
        ("WITHDRAW", "lisi", "不需要了"),
    ] {
        let answer = desk.bk("operate_ticket", json!({ "sn": sn, "operator": operator, "action_type": action, "action_message": words })).await;
        assert_eq!(answer["result"], true, "{answer}");
        let logs = logs(&desk, &sn).await;
        assert!(logs.contains(words), "{action}: {logs}");
    }
}

/// A completed node waits for no person, also if a processor did not vote (cases/first-use.md, section 2).
#[tokio::test]
async fn a_completed_node_waits_for_no_person() {
    let data = tempfile::tempdir().expect("a directory");
    let desk = Served::start(data.path(), &[]);
    let service = approval(&desk, json!({})).await;
    let sn = opened(&desk, &service).await;
    assert_eq!(
        third(&desk, &sn).await["waiting_for"],
        json!(["zhangsan", "wangwu"])
    );
    operated(&desk, &sn, "decide", "zhangsan", json!({ "pass": true })).await;
    let node = third(&desk, &sn).await;
    assert_eq!(
        (&node["status"], &node["waiting_for"]),
        (&json!("FINISHED"), &json!([]))
    );
}

/// In a list of user names, English and Chinese commas separate the names. Other separators are rejected
/// (cases/crossings.md, case 2).
#[tokio::test]
async fn commas_of_a_chinese_keyboard_separate_user_names() {
    let data = tempfile::tempdir().expect("a directory");
    let desk = Served::start(data.path(), &[]);
    let service = named(&desk).await;
    let create = async |members: Value| {
        let body = json!({ "service_id": service, "fields": { "title": "t", "mem": members } });
        desk.v1("POST", "tickets", "lisi", body).await
    };
    for text in [
        "zhangsan，wangwu",
        "zhangsan、wangwu",
        "zhangsan, wangwu",
        "\u{feff}zhangsan\u{3000}，\u{200b}wangwu\u{a0}，",
    ] {
        let (status, answer) = create(json!(text)).await;
        assert_eq!(status, 201, "{text:?}: {answer}");
        assert_eq!(
            third(&desk, answer["sn"].as_str().expect("a number")).await["waiting_for"],
            json!(["zhangsan", "wangwu"]),
            "{text:?}"
        );
        let fields = form(&[("title", "t"), ("mem", text)]);
        let sn = desk
            .bk(
                "create_ticket",
                json!({ "service_id": service, "creator": "lisi", "fields": fields }),
            )
            .await["data"]["sn"]
            .clone();
        assert_eq!(
            third(&desk, sn.as_str().expect("a number")).await["waiting_for"],
            json!(["zhangsan", "wangwu"]),
            "{text:?}"
        );
    }
    let before = registered(data.path());
    for text in [
        "zhangsan；neu",
        "zhangsan;neu",
        "zhangsan|neu",
        "zhangsan/neu",
        "zhangsan neu",
        "zhangsan\u{3000}neu",
        "zhangsan\nneu",
        "zhang\u{200b}san",
    ] {
        let (status, answer) = create(json!(text)).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!("/fields/mem")),
            "{text:?}: {answer}"
        );
    }
    // Each element of a JSON array is one user name, even if the element contains a comma.
    for members in [
        json!(["zhangsan，neu"]),
        json!(["zhangsan,neu"]),
        json!(["zhangsan", { "name": "neu" }]),
    ] {
        let (status, answer) = create(members.clone()).await;
        assert_eq!(status, 400, "{members}: {answer}");
    }
    let (status, answer) = create(json!(["zhangsan", "\u{200b}wangwu"])).await;
    assert_eq!(status, 201, "{answer}");
    let sn = answer["sn"].as_str().expect("a number").to_owned();
    for (operation, body) in [
        (
            "reassign",
            json!({ "node": 3, "to": { "people": ["neu，neuer"] } }),
        ),
        ("remark", json!({ "text": "x", "people": ["neu、neuer"] })),
        ("follow", json!({ "people": ["neu；neuer"] })),
    ] {
        let (status, answer) = desk
            .v1(
                "POST",
                &format!("tickets/{sn}/{operation}"),
                "admin",
                body.clone(),
            )
            .await;
        assert_eq!(status, 400, "{operation} {body}: {answer}");
    }
    let (status, answer) = desk
        .v1(
            "PUT",
            "roles/77",
            "admin",
            json!({ "key": "K", "name": "组", "members": ["neu，neuer"] }),
        )
        .await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(
        registered(data.path()),
        before,
        "a rejected request registers no person"
    );
    let deliver = json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "DELIVER", "processors_type": "PERSON", "processors": "zhaoliu，admin",
        "action_message": "x" });
    let answer = desk.bk("operate_node", deliver).await;
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|message| !message.contains("用户名")),
        "both are names: {answer}"
    );
    let answer = desk
        .bk(
            "add_follower",
            json!({ "sn": sn, "operator": "zhangsan", "users": "zhaoliu、admin" }),
        )
        .await;
    assert_eq!(answer["result"], true, "{answer}");
    let (_, ticket) = desk
        .v1("GET", &format!("tickets/{sn}"), "lisi", Value::Null)
        .await;
    let followers = ticket["followers"].as_array().expect("followers");
    assert!(
        followers.len() == 2
            && followers.contains(&json!("zhaoliu"))
            && followers.contains(&json!("admin")),
        "two people follow: {followers:?}"
    );
}

/// One request may contain at most 1,000 names of people. If the request is rejected, the desk registers
/// none of these people (cases/hostile-and-broken.md, case 1).
#[tokio::test]
async fn one_request_names_at_most_a_thousand_people() {
    let data = tempfile::tempdir().expect("a directory");
    let desk = Served::start(data.path(), &[]);
    let service = named(&desk).await;
    let before = registered(data.path());
    let create = |members: &[String], processors: &[String]| json!({ "service_id": service, "fields": { "title": "t", "mem": members }, "processors": { "3": processors } });
    for (body, field) in [
        (create(&[], &crowd("a", 3000)), "/processors"),
        (create(&crowd("a", 1001), &crowd("b", 1)), "/fields/mem"),
        (create(&crowd("a", 600), &crowd("b", 600)), "/fields/mem"),
    ] {
        let (status, answer) = desk.v1("POST", "tickets", "lisi", body).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!(field)),
            "{answer}"
        );
    }
    let fields =
        json!([{ "key": "title", "value": "t" }, { "key": "mem", "value": crowd("a", 600) }]);
    let chosen = json!({ "state_processors": { "3": crowd("b", 600).join("，") } });
    let answer = desk
        .bk(
            "create_ticket",
            json!({ "service_id": service, "creator": "lisi", "fields": fields, "meta": chosen }),
        )
        .await;
    assert!(
        answer["code"] == 3_900_005 && answer["message"].as_str().expect("words").contains("1000"),
        "{answer}"
    );
    let sn = opened(&desk, &service).await;
    let before_named = registered(data.path());
    for (operation, body) in [
        (
            "reassign",
            json!({ "node": 3, "to": { "people": crowd("c", 50_000) } }),
        ),
        ("remark", json!({ "text": "x", "people": crowd("c", 1001) })),
        ("follow", json!({ "people": crowd("c", 1001) })),
    ] {
        let (status, answer) = desk
            .v1("POST", &format!("tickets/{sn}/{operation}"), "admin", body)
            .await;
        assert_eq!(status, 400, "{operation}: {answer}");
    }
    let last = registered(data.path());
    assert!(
        before_named == last && last <= before + 1,
        "a rejected request registers no person: {before} {before_named} {last}"
    );
    // This request contains 999 names of new people. The desk accepts the request and registers these
    // people.
    let (status, answer) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            create(&crowd("a", 499), &crowd("b", 500)),
        )
        .await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(registered(data.path()), last + 999);
    assert_eq!(
        third(&desk, answer["sn"].as_str().expect("a number")).await["waiting_for"],
        json!(crowd("b", 500))
    );
}

/// A role with 5,000 members is saved within ten seconds, which is the timeout of the test client
/// (cases/crossings.md, section "Also seen").
#[tokio::test]
async fn a_role_of_five_thousand_members_is_saved_within_ten_seconds() {
    let data = tempfile::tempdir().expect("a directory");
    let desk = Served::start(data.path(), &[]);
    let before = registered(data.path());
    let members = crowd("m", 5000);
    let (status, answer) = desk
        .v1(
            "PUT",
            "roles/78",
            "admin",
            json!({ "key": "MANY", "name": "全员", "members": members }),
        )
        .await;
    assert!((200..300).contains(&status), "{answer}");
    assert_eq!(registered(data.path()), before + 5000);
    let (_, roles) = desk.v1("GET", "roles", "admin", Value::Null).await;
    let role = roles["roles"]
        .as_array()
        .expect("roles")
        .iter()
        .find(|role| role["key"] == "MANY")
        .expect("the role");
    assert_eq!(role["members"], json!(members));
}

/// Starts a login service on a local port. The service accepts the login token `tok-NAME` for the user
/// NAME. Returns the base URL of the service.
fn login_service() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut chunk = [0; 1024];
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut chunk) {
                    Ok(read) if read > 0 => head.extend_from_slice(&chunk[..read]),
                    _ => break,
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let name = head
                .split("bk_token=tok-")
                .nth(1)
                .and_then(|rest| rest.split([' ', '&']).next())
                .unwrap_or_default()
                .to_owned();
            let body =
                json!({ "result": !name.is_empty(), "data": { "username": name } }).to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

/// Two users send the same idempotency key. The desk rejects the request of the second user, and the response
/// does not show the ticket of the first user (cases/hostile-and-broken.md, case 3).
#[tokio::test]
async fn two_users_with_one_idempotency_key_never_share_a_ticket() {
    let data = tempfile::tempdir().expect("a directory");
    let login = login_service();
    let app = format!("{}:{}", tests::process::APP.0, tests::process::APP.1);
    let desk = Served::start_with(
        data.path(),
        &[
            "--demo",
            "--app",
            &app,
            "--plain-app",
            "p:p",
            "--login",
            &login,
        ],
    )
    .expect("a desk");
    let send =
        async |operation: &str, key: &str, headers: &[(&str, String)], mut body: Value| -> Value {
            if headers.is_empty() {
                body["bk_app_code"] = "p".into();
                body["bk_app_secret"] = "p".into();
            }
            let mut request = client()
                .post(format!("{}/v2/itsm/{operation}/", desk.base))
                .header("Idempotency-Key", key)
                .json(&body);
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            request
                .send()
                .await
                .expect("an answer")
                .json()
                .await
                .expect("an envelope")
        };
    let fields = form(&[
        ("title", "a"),
        ("apply_content", "b"),
        ("ZHIDINGSHENPIREN", "zhangsan"),
    ]);
    // In these requests, the login token identifies the user.
    let create = |user: &str| json!({ "service_id": 22, "fields": fields, "bk_token": format!("tok-{user}") });
    let annas = send("create_ticket", "k", &[], create("anna")).await;
    let bobs = send("create_ticket", "k", &[], create("bob")).await;
    assert_eq!(annas["result"], true, "{annas}");
    assert!(
        bobs["result"] == false && bobs["code"] == 3_900_005,
        "{bobs}"
    );
    assert_eq!(
        send("create_ticket", "k", &[], create("anna")).await["data"],
        annas["data"],
        "anna's own retry is answered"
    );
    // In these requests, the header `X-Bkapi-Authorization` identifies the user.
    let header = |user: &str| {
        let gateway_credentials = json!({ "bk_app_code": tests::process::APP.0, "bk_app_secret": tests::process::APP.1, "bk_username": user });
        [("x-bkapi-authorization", gateway_credentials.to_string())]
    };
    let body = json!({ "service_id": 22, "fields": fields });
    let annas = send("create_ticket", "h", &header("anna")[..], body.clone()).await;
    let bobs = send("create_ticket", "h", &header("bob")[..], body).await;
    assert_eq!(annas["result"], true, "{annas}");
    assert!(
        bobs["result"] == false && bobs["code"] == 3_900_005,
        "{bobs}"
    );
    // For operations on a ticket, two users may use the same idempotency key. The desk then executes two
    // different commands.
    let sn = annas["data"]["sn"].clone();
    for (user, follower) in [("anna", "zhaoliu"), ("zhangsan", "weier")] {
        let body = json!({ "sn": sn, "users": follower, "bk_token": format!("tok-{user}") });
        let answer = send("add_follower", "f", &[], body).await;
        assert_eq!(answer["result"], true, "{answer}");
    }
    let (_, history) = desk
        .v1(
            "GET",
            &format!("tickets/{}/events", sn.as_str().expect("a number")),
            "admin",
            Value::Null,
        )
        .await;
    let by_zhangsan = history["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["actor"] == "zhangsan")
        .count();
    assert_eq!(
        by_zhangsan, 1,
        "the request of the second user is a separate command: {history}"
    );
    // Over `/v1`, the desk rejects the request of a second user with the same idempotency key. This user does
    // not get the ticket of the first user.
    let body = json!({ "service_id": 22, "fields": { "title": "a", "apply_content": "b", "ZHIDINGSHENPIREN": "zhangsan" } });
    let key = [("idempotency-key", "v")];
    assert_eq!(
        desk.v1_with("POST", "tickets", "anna", body.clone(), &key)
            .await
            .0,
        201
    );
    assert_eq!(
        desk.v1_with("POST", "tickets", "bob", body, &key).await.0,
        422
    );
}

/// If several clients edit the same version of a ticket at the same time, the desk accepts exactly one of
/// these edits (cases/hostile-and-broken.md, case 8).
#[tokio::test(flavor = "multi_thread")]
async fn one_of_concurrent_edits_of_one_version_is_accepted() {
    let data = tempfile::tempdir().expect("a directory");
    let desk = std::sync::Arc::new(Served::start(data.path(), &[]));
    let sn = desk.bk("create_ticket", tests::approval_request()).await["data"]["sn"]
        .as_str()
        .expect("a number")
        .to_owned();
    for round in 0..40 {
        let (_, headers, _) = desk
            .v1_with("GET", &format!("tickets/{sn}"), "lisi", Value::Null, &[])
            .await;
        let version = headers["etag"].to_str().expect("a tag").to_owned();
        let mut edits = tokio::task::JoinSet::new();
        for rival in 0..5 {
            let (desk, sn, version) = (desk.clone(), sn.clone(), version.clone());
            edits.spawn(async move {
                let body = json!({ "fields": { "title": format!("round {round} by {rival}") } });
                desk.v1_with(
                    "POST",
                    &format!("tickets/{sn}/edit"),
                    "lisi",
                    body,
                    &[("if-match", version.as_str())],
                )
                .await
                .0
            });
        }
        let mut statuses = edits.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412, 412], "round {round}");
    }
    // If a client repeats a command with the same idempotency key, the desk returns the result of the first
    // execution. The desk does not compare the version in `If-Match` again.
    let (_, headers, _) = desk
        .v1_with("GET", &format!("tickets/{sn}"), "lisi", Value::Null, &[])
        .await;
    let version = headers["etag"].to_str().expect("a tag").to_owned();
    let body = json!({ "fields": { "title": "again" } });
    for _ in 0..2 {
        let headers = [("if-match", version.as_str()), ("idempotency-key", "e")];
        let (status, _, answer) = desk
            .v1_with(
                "POST",
                &format!("tickets/{sn}/edit"),
                "lisi",
                body.clone(),
                &headers,
            )
            .await;
        assert_eq!(status, 200, "{answer}");
    }
}

/// A form that is too large for one commit is rejected with status 413, and the error detail names the
/// large field.
#[tokio::test]
async fn an_over_long_form_is_rejected_with_the_name_of_its_field() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let fields = json!({ "title": "a", "apply_content": "长".repeat(150_000), "ZHIDINGSHENPIREN": "zhangsan" });
    let (status, problem) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": 22, "fields": fields }),
        )
        .await;
    assert_eq!(status, 413, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("apply_content") && !detail.contains("commit ")),
        "{problem}"
    );
}
