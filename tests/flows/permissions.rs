//! These tests check who may read tickets, and what a person without a relation to a ticket can read. The person
//! `stranger` is logged in, but takes part in no ticket and has no role.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use domain::permission::{AccessRequest, Operation, Relation, Relations};
use events::app::{Registered, Scope};
use serde_json::{Value, json};
use tests::{PLAIN, approval_request};

use crate::TestDesk;
use crate::executions::{APPROVAL, Automated, PLATFORM, RULE, UNLOCK};
use crate::workflow_builder::{account_api, answers, api, line, manual, open, service};

/// A text that only the ticket contains. A stranger must not see it in any response.
const SECRET: &str = "工资争议-SALARY-7731";

/// Sends a request to `/v1` as the user of a login token, through an app that the desk does not trust. Returns the
/// status and the body.
async fn plain(
    desk: &TestDesk,
    method: &str,
    path: &str,
    user: &str,
    body: Value,
) -> (u16, String) {
    let basic =
        base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", PLAIN.0, PLAIN.1));
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/{path}"))
        .header("authorization", format!("Basic {basic}"))
        .header("x-bk-token", format!("{user}-is-logged-in"))
        .header("content-type", "application/json");
    let body = if body.is_null() {
        Body::empty()
    } else {
        body.to_string().into()
    };
    let (status, bytes) = desk.send(request.body(body).expect("a request")).await;
    (
        status.as_u16(),
        String::from_utf8(bytes).expect("a text body"),
    )
}

/// Calls a BlueKing operation as the user of a login token, through an app that the desk does not trust.
async fn plain_call(desk: &TestDesk, operation: &str, user: &str, mut body: Value) -> Value {
    body["bk_app_code"] = PLAIN.0.into();
    body["bk_app_secret"] = PLAIN.1.into();
    body["bk_token"] = format!("{user}-is-logged-in").into();
    desk.call(operation, body).await
}

/// Opens a ticket of lisi that waits for the approval of zhangsan and wangwu. The title contains [`SECRET`].
async fn secret_ticket(desk: &TestDesk) -> Value {
    let mut body = approval_request();
    for field in body["fields"].as_array_mut().expect("fields") {
        if field["key"] == "title" {
            field["value"] = SECRET.into();
        }
    }
    body["meta"] = json!({ "callback_url": "http://apps.example.com/callback/" });
    desk.must("create_ticket", body).await["sn"].clone()
}

#[tokio::test]
async fn a_stranger_through_an_untrusted_app_reads_nothing_over_v1() {
    let desk = TestDesk::open().await;
    let sn = secret_ticket(&desk).await;
    let sn = sn.as_str().expect("sn");
    desk.operate(
        &json!(sn),
        "remark",
        "lisi",
        json!({ "text": format!("备注 {SECRET}") }),
    )
    .await;
    desk.settle().await;
    let node = desk
        .v1("GET", &format!("tickets/{sn}"), "lisi", Value::Null)
        .await
        .1["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .find(|node| node["status"] == "RUNNING")
        .expect("a running node")["node"]
        .clone();
    let rejected = [
        format!("tickets/{sn}"),
        format!("tickets/{sn}/events"),
        format!("tickets/{sn}/remarks"),
        format!("tickets/{sn}/api-calls"),
        format!("tickets/{sn}/nodes/{node}/form"),
        "api-calls".to_owned(),
        "notifications".to_owned(),
        "deliveries".to_owned(),
        "executions".to_owned(),
        "cases".to_owned(),
        "dispatches".to_owned(),
        "robots".to_owned(),
        "apps".to_owned(),
        "rules".to_owned(),
        "inbox/lisi".to_owned(),
        "people/lisi/preferences".to_owned(),
    ];
    let mut counted = 0;
    for path in &rejected {
        // The same request succeeds for a superuser. The path is therefore correct.
        let (status, body) = plain(&desk, "GET", path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        let (status, body) = plain(&desk, "GET", path, "stranger", Value::Null).await;
        assert_eq!(status, 403, "{path}: {body}");
        assert!(!body.contains(SECRET), "{path}: {body}");
        let denied = serde_json::from_str::<Value>(&body).expect("a problem")["permission"].take();
        let policies = denied["policies"].as_array();
        assert!(
            policies.is_some_and(|names| names.contains(&json!("superusers"))),
            "{path}: {body}"
        );
        counted += 1;
    }
    let lists = [
        "tickets",
        "tickets?list=todo&user=zhangsan",
        "tickets?list=created&user=lisi",
        "tickets?list=approval&user=zhangsan",
        "tickets?creator=lisi",
        "tickets?status=RUNNING",
        "tickets?created_after=2026-01-01T00:00:00%2B08:00",
    ];
    for path in lists {
        let (status, body) = plain(&desk, "GET", path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.contains(SECRET), "{path}: {body}");
        let (status, body) = plain(&desk, "GET", path, "stranger", Value::Null).await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status, 200, "{path}: {body}");
        assert_eq!(
            (&body["count"], &body["items"]),
            (&json!(0), &json!([])),
            "{path}"
        );
        counted += 1;
    }
    // The options of a node are fetched with the secrets of the desk.
    let options = format!("tickets/{sn}/nodes/{node}/options");
    let (status, body) = plain(
        &desk,
        "POST",
        &options,
        "stranger",
        json!({ "field": "title" }),
    )
    .await;
    assert_eq!(status, 403, "{body}");
    counted += 1;
    println!("{counted} paths of /v1 gave a stranger nothing");
}

#[tokio::test]
async fn a_stranger_through_an_untrusted_app_reads_nothing_over_the_blueking_api() {
    let desk = TestDesk::open().await;
    let sn = secret_ticket(&desk).await;
    desk.settle().await;
    let state =
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_steps"][0]["state_id"]
            .clone();
    let mut counted = 0;
    for (operation, body) in [
        ("get_ticket_info", json!({ "sn": sn })),
        ("get_ticket_logs", json!({ "sn": sn })),
        ("get_ticket_status", json!({ "sn": sn })),
        ("get_approver", json!({ "sn": sn, "state_id": state })),
        (
            "get_approve_node_result",
            json!({ "sn": sn, "state_id": state }),
        ),
        ("get_fast_approval_summary", json!({ "sn": sn })),
    ] {
        let answer = plain_call(&desk, operation, "stranger", body.clone()).await;
        assert_eq!(answer["code"], 3_900_015, "{operation}: {answer}");
        assert!(
            !answer.to_string().contains(SECRET),
            "{operation}: {answer}"
        );
        let answer = plain_call(&desk, operation, "admin", body).await;
        assert_ne!(answer["code"], 3_900_015, "{operation}: {answer}");
        counted += 1;
    }
    for (operation, body) in [
        ("get_tickets", json!({})),
        ("get_tickets", json!({ "sns": [sn] })),
        ("get_tickets", json!({ "creator": "lisi" })),
        ("get_tickets", json!({ "username": "zhangsan" })),
        (
            "get_tickets_by_user",
            json!({ "user": "zhangsan", "view_type": "my_todo" }),
        ),
        ("ticket_approval_result", json!({ "sn": [sn] })),
    ] {
        let answer = plain_call(&desk, operation, "admin", body.clone()).await;
        assert!(
            answer["data"]
                .to_string()
                .contains(sn.as_str().expect("sn")),
            "{operation} {body}: {answer}"
        );
        let answer = plain_call(&desk, operation, "stranger", body.clone()).await;
        assert_eq!(answer["code"], 0, "{operation} {body}: {answer}");
        assert!(
            !answer["data"]
                .to_string()
                .contains(sn.as_str().expect("sn")),
            "{operation} {body}: {answer}"
        );
        counted += 1;
    }
    println!("{counted} operations of the BlueKing API gave a stranger nothing");
}

#[tokio::test]
async fn a_user_whom_a_trusted_app_names_reads_only_what_this_user_may_read() {
    let desk = TestDesk::open().await;
    let sn = secret_ticket(&desk).await;
    let path = format!("tickets/{}", sn.as_str().expect("sn"));
    let (status, body) = desk.v1("GET", &path, "stranger", Value::Null).await;
    assert_eq!(status, 403, "{body}");
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("stranger may not read")),
        "{body}"
    );
    let (_, list) = desk.v1("GET", "tickets", "stranger", Value::Null).await;
    assert_eq!(list["count"], 0, "{list}");
    for user in ["lisi", "zhangsan", "wangwu", "admin"] {
        let (status, body) = desk.v1("GET", &path, user, Value::Null).await;
        assert_eq!(status, 200, "{user}: {body}");
        let (_, list) = desk.v1("GET", "tickets", user, Value::Null).await;
        assert_eq!(list["count"], 1, "{user}: {list}");
    }
    // The app itself reads the tickets that it opened.
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(info["sn"], sn);
    // Another app that the desk trusts did not open the ticket.
    let other = tests::registered("other_app", true);
    desk.app
        .credentials
        .register(&other, "another-long-secret-57")
        .await
        .expect("an application");
    let body =
        json!({ "sn": sn, "bk_app_code": "other_app", "bk_app_secret": "another-long-secret-57" });
    let answer = desk.call("get_ticket_info", body.clone()).await;
    assert_eq!(answer["code"], 3_900_015, "{answer}");
    let mut listed = body.clone();
    listed.as_object_mut().expect("an object").remove("sn");
    let answer = desk.call("get_tickets", listed).await;
    assert_eq!(answer["data"]["count"], 0, "{answer}");
}

#[tokio::test]
async fn every_relation_to_a_ticket_decides_as_the_policies_say() {
    let desk = TestDesk::open().await;
    let role = json!({ "key": "auditors", "name": "审计", "members": ["shenji"] });
    assert_eq!(desk.v1("PUT", "roles/70", "admin", role).await.0, 204);
    // The service belongs to fuwu, and the members of role 70 read its tickets.
    let id = service(
        &desk,
        "保密服务",
        json!([manual(3, "处理", "zhangsan"), manual(4, "复核", "wangwu")]),
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        json!([]),
    )
    .await;
    let change = json!({ "owners": ["fuwu"], "readers": [70], "can_ticket_agency": true });
    let (status, body) = desk
        .v1("PUT", &format!("services/{id}"), "admin", change)
        .await;
    assert_eq!(status, 200, "{body}");
    let sn = open(&desk, &id).await;
    desk.operate(
        &sn,
        "submit",
        "zhangsan",
        json!({ "node": 3, "fields": {} }),
    )
    .await;
    desk.operate(&sn, "follow", "lisi", json!({ "people": ["guanzhu"] }))
        .await;
    let path = format!("tickets/{}", sn.as_str().expect("sn"));
    let mut counted = 0;
    for (user, relation) in [
        ("lisi", Some(Relation::Creator)),
        ("zhangsan", Some(Relation::FormerProcessor)),
        ("wangwu", Some(Relation::Processor)),
        ("guanzhu", Some(Relation::Invited)),
        ("fuwu", Some(Relation::ServiceOwner)),
        ("shenji", Some(Relation::ServiceReader)),
        ("admin", Some(Relation::Superuser)),
        ("stranger", None),
    ] {
        let relations: Relations = relation.into_iter().collect();
        let permits = |operation| {
            infra::policy::permits(AccessRequest {
                operation,
                relations,
            })
        };
        for resource in ["", "/events", "/remarks", "/api-calls"] {
            let (status, body) = desk
                .v1("GET", &format!("{path}{resource}"), user, Value::Null)
                .await;
            let expected = if permits(Operation::ReadTicket) {
                200
            } else {
                403
            };
            assert_eq!(status, expected, "{user} {resource}: {body}");
            counted += 1;
        }
        let (_, list) = desk.v1("GET", "tickets", user, Value::Null).await;
        assert_eq!(
            list["count"] == 1,
            permits(Operation::ReadTicket),
            "{user}: {list}"
        );
        let (status, body) = desk.v1("GET", "roles/70", user, Value::Null).await;
        let reads_role = user == "shenji" || permits(Operation::ReadRole);
        assert_eq!(
            (status, body["members"].is_array()),
            (200, reads_role),
            "{user}: {body}"
        );
        let (status, _) = desk
            .not_operated(&sn, "close", user, json!({ "status": "NO_STATUS" }))
            .await;
        assert_eq!(
            status == 403,
            !permits(Operation::ManageTicket),
            "{user} closes"
        );
        counted += 3;
    }
    println!("{counted} cells checked over /v1");
    // A stranger cannot become a reader.
    let (status, _) = desk
        .not_operated(&sn, "follow", "stranger", json!({}))
        .await;
    assert_eq!(status, 403);
    let (status, _) = desk.v1("GET", &path, "stranger", Value::Null).await;
    assert_eq!(status, 403);
    // A follower who leaves reads the ticket no longer.
    desk.operate(&sn, "unfollow", "guanzhu", json!({})).await;
    let (status, _) = desk.v1("GET", &path, "guanzhu", Value::Null).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn an_app_that_opened_a_ticket_adds_followers_who_then_read_it() {
    let desk = TestDesk::open().await;
    let sn = secret_ticket(&desk).await;
    desk.must("add_follower", json!({ "sn": sn, "users": "guanzhu" }))
        .await;
    let path = format!("tickets/{}", sn.as_str().expect("sn"));
    let (status, body) = desk.v1("GET", &path, "guanzhu", Value::Null).await;
    assert_eq!(status, 200, "{body}");
    let (_, list) = desk.v1("GET", "tickets", "guanzhu", Value::Null).await;
    assert_eq!(list["count"], 1, "{list}");
}

#[tokio::test]
async fn the_options_of_a_service_are_only_for_people_who_see_the_service() {
    let desk = TestDesk::open().await;
    let id = service(
        &desk,
        "内部服务",
        json!([manual(3, "处理", "zhangsan")]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let path = format!("services/{id}/form");
    let status = async |user: &str| plain(&desk, "GET", &path, user, Value::Null).await.0;
    assert_eq!(status("stranger").await, 200, "the service is open");
    for (kind, roles, expected) in [
        ("PERSON", json!(["lisi"]), [200, 403, 200]),
        ("GENERAL", json!(["70"]), [403, 403, 200]),
        ("INVISIBLE", json!([]), [403, 403, 200]),
        ("API", json!([]), [403, 403, 200]),
    ] {
        let change = json!({ "display_type": kind, "display_roles": roles });
        let (changed, body) = desk
            .v1("PUT", &format!("services/{id}"), "admin", change)
            .await;
        assert_eq!(changed, 200, "{body}");
        let statuses = [
            status("lisi").await,
            status("stranger").await,
            status("admin").await,
        ];
        assert_eq!(statuses, expected, "{kind}");
    }
    let role = json!({ "key": "insiders", "name": "内部", "members": ["lisi"] });
    assert_eq!(desk.v1("PUT", "roles/70", "admin", role).await.0, 204);
    let change = json!({ "display_type": "GENERAL", "display_roles": ["70"] });
    assert_eq!(
        desk.v1("PUT", &format!("services/{id}"), "admin", change)
            .await
            .0,
        200
    );
    assert_eq!((status("lisi").await, status("stranger").await), (200, 403));
    let (code, body) = plain(
        &desk,
        "POST",
        &format!("services/{id}/options"),
        "stranger",
        json!({ "field": "title" }),
    )
    .await;
    assert_eq!(code, 403, "{body}");
}

#[tokio::test]
async fn the_log_of_api_calls_is_only_for_readers_of_the_ticket() {
    let desk = TestDesk::open().await;
    let calling = service(
        &desk,
        "账号",
        json!([api(3, account_api()), manual(4, "交付", "wangwu")]),
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        json!([]),
    )
    .await;
    answers(
        &desk,
        &[(
            200,
            json!({ "result": true, "code": 0, "data": { "account": SECRET } }),
        )],
    );
    let sn = open(&desk, &calling).await;
    desk.settle().await;
    let path = format!("tickets/{}/api-calls", sn.as_str().expect("sn"));
    let (status, body) = plain(&desk, "GET", &path, "lisi", Value::Null).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("api.example.com"), "{body}");
    let (status, body) = plain(&desk, "GET", &path, "stranger", Value::Null).await;
    assert_eq!(status, 403, "{body}");
    assert!(!body.contains("example.com"), "{body}");
}

/// A caller in the test of all operations: a person, or a client app that acts for itself.
struct Caller {
    user: Option<&'static str>,
    app: (&'static str, &'static str),
    /// All relations of the caller to the objects of the test.
    relations: &'static [Relation],
}

/// The objects on which the callers try all operations.
struct Objects {
    desk: TestDesk,
    sn: String,
    service: Value,
    execution: String,
}

impl Objects {
    /// Sends a request to `/v1` as the caller. Returns the status and the body of the response.
    async fn send(&self, caller: &Caller, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (code, secret) = caller.app;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{code}:{secret}"));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/{path}"))
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/json");
        if let Some(user) = caller.user {
            request = request.header("x-on-behalf-of", user);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            body.to_string().into()
        };
        let (status, bytes) = self.desk.send(request.body(body).expect("a request")).await;
        (
            status.as_u16(),
            serde_json::from_slice(&bytes).unwrap_or_default(),
        )
    }

    /// Executes an operation by one request. Returns whether the desk permitted the operation.
    async fn permits(&self, caller: &Caller, operation: Operation) -> bool {
        let ticket = format!("tickets/{}", self.sn);
        let service = format!("services/{}/form", self.service);
        let execution = format!("executions/{}", self.execution);
        let preferences = "people/benren/preferences";
        let (method, path, body) = match operation {
            Operation::ReadTicket => ("GET", ticket.as_str(), Value::Null),
            Operation::TakePart => (
                "POST",
                &*format!("{ticket}/remark"),
                json!({ "text": "看一下" }),
            ),
            Operation::ReadInternalRemarks => ("GET", &*format!("{ticket}/remarks"), Value::Null),
            Operation::ManageTicket => (
                "POST",
                &*format!("{ticket}/close"),
                json!({ "status": "NO_STATUS" }),
            ),
            Operation::ReadService => ("GET", service.as_str(), Value::Null),
            Operation::ReadExecution => ("GET", execution.as_str(), Value::Null),
            Operation::ReadPerson => ("GET", preferences, Value::Null),
            Operation::ChangePerson => ("PUT", preferences, json!({ "language": "en" })),
            Operation::ReadRole => ("GET", "roles/70", Value::Null),
            Operation::ReadOperations => ("GET", "robots", Value::Null),
            Operation::ChangeConfiguration => (
                "PUT",
                "roles/71",
                json!({ "key": "more", "name": "更多", "members": [] }),
            ),
        };
        let (status, body) = self.send(caller, method, path, body).await;
        let place = format!(
            "{:?} {} {operation:?}: {status} {body}",
            caller.user, caller.app.0
        );
        match operation {
            // Everyone who reads the ticket gets the list of remarks. It contains the internal remark only for some.
            Operation::ReadInternalRemarks => body.to_string().contains(INTERNAL),
            // Everyone reads the names of roles.
            Operation::ReadRole => body["members"].is_array(),
            // The unknown status is rejected only after the check of the permission.
            Operation::ManageTicket => {
                assert!(matches!(status, 400 | 403), "{place}");
                body["reason"] == "not_an_end"
            }
            _ => {
                assert!(
                    matches!(status, 200..=204 | 400 | 401 | 403 | 404),
                    "{place}"
                );
                status < 300
            }
        }
    }
}

/// The text of the internal remark in the test of all operations.
const INTERNAL: &str = "内部备注-5521";

/// Each relation is held by a caller, and each caller tries each operation over the API. A caller whose relations do not
/// permit an operation is rejected.
#[tokio::test]
async fn every_caller_may_execute_exactly_the_operations_of_the_table() {
    let script = [UNLOCK, APPROVAL].concat();
    let automated = Automated::open(&[PLATFORM, &script, RULE]).await;
    let (desk, service) = (automated.desk, automated.service);
    let other = tests::registered("other_app", true);
    let secret = "another-long-secret-57";
    let registered = desk.app.credentials.register(&other, secret).await;
    registered.expect("an application");
    let role = json!({ "key": "auditors", "name": "审计", "members": ["shenji"] });
    assert_eq!(desk.v1("PUT", "roles/70", "admin", role).await.0, 204);
    // The app opens the ticket of lisi, whom daili represents.
    let fields = tests::form(&[
        ("title", "账号被锁"),
        ("kind", "unlock"),
        ("account", "lisi"),
    ]);
    let opened = json!({
        "service_id": service, "creator": "lisi", "fields": fields, "meta": { "ticket_agent": "daili" },
    });
    let sn = desk.must("create_ticket", opened).await["sn"].clone();
    let change = json!({
        "owners": ["fuwu"], "readers": [70], "display_type": "PERSON", "display_roles": ["kehu"],
    });
    let path = format!("services/{service}");
    assert_eq!(desk.v1("PUT", &path, "admin", change).await.0, 200);
    desk.settle().await;
    let internal = json!({ "text": INTERNAL, "internal": true });
    desk.operate(&sn, "remark", "zhangsan", internal).await;
    desk.operate(&sn, "follow", "lisi", json!({ "people": ["yaoqing"] }))
        .await;
    desk.must("add_follower", json!({ "sn": sn, "users": "guanzhu" }))
        .await;
    let listed = desk.v1("GET", "executions", "admin", Value::Null).await.1;
    let execution = listed["executions"][0]["id"]
        .as_str()
        .expect("an execution")
        .to_owned();
    let objects = Objects {
        desk,
        sn: sn.as_str().expect("sn").to_owned(),
        service,
        execution,
    };
    let person = |user, relations| Caller {
        user: Some(user),
        app: tests::TRUSTED,
        relations,
    };
    let callers = [
        person("lisi", &[Relation::Creator]),
        person("daili", &[Relation::Agent, Relation::FormerProcessor]),
        person(
            "zhangsan",
            &[
                Relation::Processor,
                Relation::FormerProcessor,
                Relation::Worker,
            ],
        ),
        person("yaoqing", &[Relation::Follower, Relation::Invited]),
        person("guanzhu", &[Relation::Follower]),
        person("fuwu", &[Relation::ServiceOwner]),
        person(
            "shenji",
            &[
                Relation::ServiceReader,
                Relation::Follower,
                Relation::Member,
            ],
        ),
        person("kehu", &[Relation::Addressee]),
        person("wangwu", &[Relation::Approver]),
        person("benren", &[Relation::Own]),
        person("admin", &[Relation::Superuser]),
        person("stranger", &[]),
        Caller {
            user: None,
            app: tests::TRUSTED,
            relations: &[Relation::OpeningApp, Relation::TrustedApp],
        },
        Caller {
            user: None,
            app: ("other_app", secret),
            relations: &[Relation::TrustedApp],
        },
    ];
    let (mut cells, mut requests) = (std::collections::BTreeSet::new(), 0);
    for caller in &callers {
        let relations: Relations = caller.relations.iter().copied().collect();
        for operation in Operation::ALL {
            let expected = infra::policy::permits(AccessRequest {
                operation,
                relations,
            });
            let permitted = objects.permits(caller, operation).await;
            assert_eq!(
                permitted, expected,
                "{:?} of {} with {relations:?}: {operation:?}",
                caller.user, caller.app.0
            );
            requests += 1;
            cells.extend(relations.iter().map(|relation| (relation, operation)));
        }
    }
    assert_eq!(cells.len(), Relation::ALL.len() * Operation::ALL.len());
    println!(
        "{requests} requests of {} callers cover {} cells",
        callers.len(),
        cells.len()
    );
}

/// Returns the table of all operations and relations in Markdown.
fn table() -> String {
    let mut lines = vec![
        format!(
            "| relation | {} |",
            Operation::ALL
                .map(Operation::key)
                .map(|key| format!("`{key}`"))
                .join(" | ")
        ),
        format!("| --- |{}", " :---: |".repeat(Operation::ALL.len())),
    ];
    for relation in Relation::ALL {
        let cells = Operation::ALL.map(|operation| {
            let relations = Relations::NONE.with(relation);
            if infra::policy::permits(AccessRequest {
                operation,
                relations,
            }) {
                "yes"
            } else {
                ""
            }
        });
        lines.push(format!("| {} | {} |", relation.key(), cells.join(" | ")));
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_table_of_permissions_in_the_documents_is_current() {
    let path = tests::process::root().join("docs/permissions.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let table = table();
    assert!(page.contains(&table), "the table must be:\n{table}");
}

/// Returns the operations on a ticket and on its node 3 that a user can execute now.
async fn operations_of(desk: &TestDesk, sn: &Value, user: &str) -> (Value, Value) {
    let path = format!("tickets/{}", sn.as_str().expect("sn"));
    let (status, ticket) = desk.v1("GET", &path, user, Value::Null).await;
    assert_eq!(status, 200, "{user}: {ticket}");
    let node = ticket["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .find(|node| node["node"] == 3)
        .expect("node 3");
    (ticket["operations"].clone(), node["operations"].clone())
}

#[tokio::test]
async fn the_operations_of_a_ticket_are_those_of_its_reader() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    desk.operate(&sn, "follow", "lisi", json!({ "people": ["guanzhu"] }))
        .await;
    for (user, of_ticket, of_node) in [
        ("lisi", json!(["withdraw", "remark"]), json!(["escalate"])),
        (
            "zhangsan",
            json!(["suspend", "remark"]),
            json!(["decide", "deliver", "terminate", "acknowledge", "escalate"]),
        ),
        ("guanzhu", json!(["remark"]), json!(["escalate"])),
        (
            "admin",
            json!(["withdraw", "suspend", "remark"]),
            json!(["reassign", "escalate"]),
        ),
    ] {
        assert_eq!(
            operations_of(&desk, &sn, user).await,
            (of_ticket, of_node),
            "{user}"
        );
    }
    desk.operate(&sn, "suspend", "zhangsan", json!({ "message": "x" }))
        .await;
    let (of_ticket, of_node) = operations_of(&desk, &sn, "zhangsan").await;
    assert_eq!(
        (of_ticket, of_node),
        (json!(["resume", "remark"]), json!([])),
        "a suspended ticket"
    );
    desk.operate(&sn, "resume", "zhangsan", json!({})).await;
    desk.operate(&sn, "withdraw", "lisi", json!({})).await;
    assert_eq!(
        operations_of(&desk, &sn, "zhangsan").await,
        (json!(["remark"]), json!([])),
        "an ended ticket"
    );
}

/// Returns the method, the path and the parts of the APIs of each operation in the API description.
fn described_scopes() -> Vec<(String, String, Vec<String>)> {
    let document: Value =
        serde_json::from_str(functions::http::api::openapi::DOCUMENT).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").clone();
    let mut all = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            let Some(scopes) = operation["x-scopes"].as_array() else {
                continue;
            };
            let scopes = scopes.iter().filter_map(Value::as_str).map(str::to_owned);
            all.push((method.to_uppercase(), path.clone(), scopes.collect()));
        }
    }
    all
}

/// Returns the table of the parts of the APIs, in Markdown. Each row is the first segment of the paths of `/v1`.
fn table_of_scopes() -> String {
    let mut rows: BTreeMap<String, [BTreeSet<String>; 2]> = BTreeMap::new();
    let described = described_scopes();
    let of_get = described.iter().filter(|(method, _, _)| method == "GET");
    let reads: BTreeSet<String> = of_get.map(|(_, path, _)| path.clone()).collect();
    for (method, path, scopes) in described {
        let name = match path.strip_prefix("/v1/") {
            Some(rest) => format!("`/v1/{}`", rest.split('/').next().unwrap_or_default()),
            None => "BlueKing API".to_owned(),
        };
        // An operation of the BlueKing API that accepts only POST changes data.
        let changes = if path.starts_with("/v1/") {
            method != "GET"
        } else {
            !reads.contains(&path)
        };
        rows.entry(name).or_default()[usize::from(changes)].extend(scopes);
    }
    let cell = |scopes: &BTreeSet<String>| scopes.iter().cloned().collect::<Vec<_>>().join(", ");
    let lines = rows
        .iter()
        .map(|(name, [read, change])| format!("| {name} | {} | {} |\n", cell(read), cell(change)));
    "| path | to read | to change |\n| --- | --- | --- |\n".to_owned() + &lines.collect::<String>()
}

#[test]
fn the_table_of_scopes_in_the_documents_is_current() {
    let path = tests::process::root().join("docs/permissions.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let table = table_of_scopes();
    assert!(page.contains(&table), "the table must be:\n{table}");
}

/// An app with one scope is rejected by every operation of another scope, over both APIs, and only by these.
#[tokio::test]
async fn an_app_with_a_scope_is_rejected_everywhere_else() {
    let desk = TestDesk::open().await;
    let secret = "another-long-secret-57";
    let operations = described_scopes();
    let (mut permitted, mut rejected) = (0, 0);
    for scope in Scope::ALL {
        let code = format!("only_{}", scope.key());
        let app = Registered {
            scopes: Some(BTreeSet::from([scope])),
            ..tests::registered(&code, true)
        };
        desk.app
            .credentials
            .register(&app, secret)
            .await
            .expect("an app");
        desk.followed().await;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{code}:{secret}"));
        for (method, path, scopes) in &operations {
            let concrete = path
                .split('/')
                .map(|part| if part.starts_with('{') { "1" } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let credentials =
                json!({ "bk_app_code": code, "bk_app_secret": secret, "bk_username": "admin" });
            let request = Request::builder()
                .method(method.as_str())
                .uri(concrete)
                .header("content-type", "application/json")
                .header("x-bkapi-authorization", credentials.to_string())
                .header("authorization", format!("Basic {basic}"))
                .header("x-on-behalf-of", "admin");
            let body = if method == "GET" { "" } else { "{}" };
            let request = request.body(body.into()).expect("a request");
            let (_, answer) = desk.send(request).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let is_rejected =
                answer.contains("needs the scope") || answer.contains("未获得权限范围");
            let may = scopes.iter().any(|one| one == scope.key());
            assert_eq!(is_rejected, !may, "{code} {method} {path}: {answer}");
            if may {
                permitted += 1;
            } else {
                rejected += 1;
            }
        }
    }
    println!("{permitted} operations permitted, {rejected} rejected for apps with one scope each");
    assert_eq!(permitted + rejected, Scope::ALL.len() * operations.len());
    let of_sources: Vec<(&str, &str)> = operations
        .iter()
        .filter(|(_, _, scopes)| scopes.iter().any(|one| one == Scope::Cases.key()))
        .map(|(method, path, _)| (method.as_str(), path.as_str()))
        .collect();
    assert_eq!(
        of_sources,
        [("POST", "/v1/cases")],
        "a source only sends cases"
    );
    assert!(operations.len() > 150, "{}", operations.len());
}
