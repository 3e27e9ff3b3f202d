//! These tests check applications over the API: a person applies for an approval in an external ITSM without a ticket
//! of the desk, as the users of a log platform do (requirements/external-itsm.md).

use std::collections::BTreeMap;

use events::application::ApplicationEvent;
use functions::app::history::history_from;
use functions::host::local::work;
use functions::registry::REGISTRY;
use functions::timer::wake::wake;
use infra::commit::following;
use infra::views::Document;
use serde_json::{Value, json};

use crate::applications::{Applied, Fault, define, message};

const MINUTE_MS: i64 = 60_000;

/// The application kinds of these tests. `collect` is the preset of the log platform.
const KINDS: &str = r#"
    [[application_kind]]
    name = "collect"
    preset = "log_collection"
    integration = "company_itsm"
    service = 18

    [application_kind.fields]
    applicant = "${applicant}"

    [[application_kind]]
    name = "found"
    integration = "company_itsm"
    discovery = { display_type = "API", display_role = "LOG_SEARCH" }
    granted = { approval_result = "true" }
    days = 1

    [[application_kind]]
    name = "off"
    integration = "company_itsm"
    service = 18
    granted = { approval_result = "true" }
    days = 1
    is_enabled = false

    [[application_kind]]
    name = "of_another_app"
    integration = "company_itsm"
    service = 18
    granted = { approval_result = "true" }
    senders = ["another_app"]
    days = 1
"#;

pub(crate) fn values() -> Value {
    json!({
        "bk_biz_id": 2, "expect_access_data": "2026-12-01", "single_log_size": 200, "single_host_peak": 300,
        "single_host_log_volume": 20, "expect_host_size": 10, "log_keep_days": 7, "hot_data_days": 3,
        "apply_reason": "审计",
    })
}

/// A desk with the application kinds of these tests. The consequence of a granted application of the kind `collect` is
/// a ticket.
pub(crate) async fn desk() -> Applied {
    let desk = Applied::open().await;
    let definition = json!({
        "name": "创建清洗任务",
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" },
            { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title"] },
            { "id": 3, "name": "处理", "kind": "NORMAL", "processors": { "type": "PERSON", "who": ["zhangsan"] } },
            { "id": 9, "name": "结束", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
        "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true }],
    });
    let service = desk
        .desk
        .publish(definition, json!({ "name": "清洗任务" }))
        .await;
    let consequence = format!(
        "\n[application_kind.consequence]\nservice = {service}\nfields = {{ title = \"${{subject}} ${{external}}\" }}\n"
    );
    let text = KINDS.replacen(
        "\n    [[application_kind]]\n    name = \"found\"",
        &format!("{consequence}\n    [[application_kind]]\n    name = \"found\""),
        1,
    );
    define(&desk.desk, &text).await;
    desk
}

impl Applied {
    pub(crate) async fn apply(
        &self,
        user: &str,
        kind: &str,
        subject: &str,
        fields: Value,
    ) -> (u16, Value) {
        let body = json!({ "kind": kind, "subject": subject, "fields": fields });
        let answer = self.desk.v1("POST", "applications", user, body).await;
        self.desk.settle().await;
        answer
    }

    pub(crate) async fn shown(&self, id: &Value, user: &str, language: &str) -> (u16, Value) {
        let path = format!("applications/{}", id.as_str().expect("an id"));
        let headers = [("accept-language", language)];
        self.desk
            .v1_with("GET", &path, user, Value::Null, &headers)
            .await
    }

    /// Decides the ticket `sn` of the external ITSM, and sends its callback.
    pub(crate) async fn decide(&self, sn: &str, approval: &'static str) {
        self.external.decide(sn, "FINISHED", approval);
        let path = self.external.callback_path();
        self.callback(&path, &message(sn, "issued")).await;
    }
}

#[tokio::test]
async fn a_person_applies_and_a_grant_opens_one_ticket() {
    let desk = desk().await;
    let (status, opened) = desk
        .apply("lisi", "collect", "collector-17", values())
        .await;
    assert_eq!(status, 201, "{opened}");
    let id = &opened["id"];
    let sent = desk.external.bodies.lock().unwrap()[0].clone();
    assert_eq!(
        (&sent["service_id"], &sent["creator"], &sent["tag"]),
        (&json!(18), &json!("lisi"), id)
    );
    for (key, value) in [
        ("title", json!("日志采集接入：collector-17")),
        ("applicant", json!("lisi")),
        ("log_keep_days", json!(7)),
        ("apply_reason", json!("审计")),
    ] {
        let field = json!({ "key": key, "value": value });
        let fields = sent["fields"].as_array().expect("fields");
        assert!(fields.contains(&field), "{key}: {sent}");
    }
    let (_, applying) = desk.shown(id, "lisi", "zh").await;
    assert_eq!(
        (
            &applying["status"],
            &applying["status_text"],
            &applying["external"]
        ),
        (&json!("applying"), &json!("申请中"), &json!("REQ001"))
    );
    assert_eq!(applying["fields"]["bk_biz_id"], 2);
    assert_eq!(applying["applicant"], "lisi");

    desk.decide("REQ001", "true").await;
    let (_, granted) = desk.shown(id, "lisi", "zh").await;
    assert_eq!(
        (
            &granted["status"],
            &granted["status_text"],
            &granted["is_closed"]
        ),
        (&json!("granted"), &json!("采集接入完成"), &json!(true)),
        "{granted}"
    );
    assert_eq!(
        granted["ticket_url"],
        "https://itsm.example.com/#/ticket/REQ001"
    );
    assert_eq!(
        granted["iframe_ticket_url"],
        "https://itsm.example.com/#/iframe/REQ001"
    );
    let (_, english) = desk.shown(id, "lisi", "en").await;
    assert_eq!(english["status_text"], "Granted");

    let path = format!("tickets/{}", granted["opened"].as_str().expect("a ticket"));
    let (status, ticket) = desk.desk.v1("GET", &path, "lisi", Value::Null).await;
    assert_eq!(
        (status, &ticket["title"], &ticket["creator"]),
        (200, &json!("collector-17 REQ001"), &json!("lisi")),
        "{ticket}"
    );
    let (_, tickets) = desk.desk.v1("GET", "tickets", "lisi", Value::Null).await;
    assert_eq!(tickets["count"], 1, "one consequence");
}

#[tokio::test]
async fn a_subject_has_one_open_or_granted_application() {
    let desk = desk().await;
    let (_, first) = desk.apply("lisi", "collect", "c-1", values()).await;
    let again = async |language: &str| {
        let body = json!({ "kind": "collect", "subject": "c-1", "fields": values() });
        let headers = [("accept-language", language)];
        desk.desk
            .v1_with("POST", "applications", "wangwu", body, &headers)
            .await
    };
    let (status, problem) = again("en").await;
    assert_eq!(
        (status, &problem["reason"], &problem["code"]),
        (409, &json!("CollectItsmHasApply"), &json!(502)),
        "{problem}"
    );
    let detail = problem["detail"].as_str().expect("a text");
    assert!(
        detail.contains(first["id"].as_str().expect("an id")),
        "{detail}"
    );
    let (_, problem) = again("zh").await;
    assert_eq!(
        problem["detail"],
        "该对象已有审批中或已批准的申请，不能重复申请"
    );
    let (status, _) = desk.apply("lisi", "collect", "c-2", values()).await;
    assert_eq!(status, 201, "another subject");
    assert_eq!(desk.external.count(), 2);

    // After a refusal, a new application is allowed.
    desk.external.decide("REQ001", "FINISHED", "false");
    desk.after(MINUTE_MS).await;
    let (_, refused) = desk.shown(&first["id"], "lisi", "zh").await;
    assert_eq!(
        (
            &refused["status"],
            &refused["status_text"],
            &refused["opened"]
        ),
        (&json!("refused"), &json!("采集接入失败"), &Value::Null)
    );
    let (status, second) = desk.apply("wangwu", "collect", "c-1", values()).await;
    assert_eq!(status, 201, "{second}");
    assert_ne!(second["id"], first["id"]);
    desk.external.decide("REQ003", "FINISHED", "true");
    desk.after(MINUTE_MS).await;
    let (status, problem) = desk.apply("lisi", "collect", "c-1", values()).await;
    assert_eq!((status, &problem["code"]), (409, &json!(502)), "granted");

    let list = async |user: &str, query: &str| {
        let path = format!("applications?{query}");
        let (status, list) = desk.desk.v1("GET", &path, user, Value::Null).await;
        assert_eq!(status, 200, "{list}");
        let ids = list["applications"].as_array().expect("a list").iter();
        let ids: Vec<Value> = ids.map(|one| one["id"].clone()).collect();
        assert_eq!(list["count"], ids.len());
        ids
    };
    assert_eq!(list("admin", "").await.len(), 3);
    assert_eq!(list("admin", "kind=collect&subject=c-1").await.len(), 2);
    assert_eq!(
        list("lisi", "kind=collect&subject=c-1").await,
        [first["id"].clone()]
    );
    assert_eq!(list("lisi", "").await.len(), 2);
    assert_eq!(list("lisi", "state=open").await.len(), 1);
    assert_eq!(list("wangwu", "").await, [second["id"].clone()]);
    for wrong in [
        "kind=collect",
        "subject=c-1",
        "kind=collect&subject=c-1&state=open",
    ] {
        let path = format!("applications?{wrong}");
        let (status, _) = desk.desk.v1("GET", &path, "lisi", Value::Null).await;
        assert_eq!(status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn many_requests_at_once_open_one_application() {
    let desk = desk().await;
    let requests = (0..8).map(|_| {
        let body = json!({ "kind": "collect", "subject": "c-1", "fields": values() });
        desk.desk.v1("POST", "applications", "lisi", body)
    });
    let answers = futures_util::future::join_all(requests).await;
    desk.desk.settle().await;
    let mut statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(desk.external.count(), 1);
}

#[tokio::test]
async fn a_repeated_request_returns_the_same_application() {
    let desk = desk().await;
    let send = async |user: &str, key: &str, days: i64| {
        let mut fields = values();
        fields["log_keep_days"] = days.into();
        let body = json!({ "kind": "collect", "subject": "c-1", "fields": fields });
        let headers = [("idempotency-key", key)];
        desk.desk
            .v1_with("POST", "applications", user, body, &headers)
            .await
    };
    let (status, first) = send("lisi", "k1", 7).await;
    assert_eq!(status, 201, "{first}");
    let (status, repeated) = send("lisi", "k1", 7).await;
    assert_eq!((status, &repeated["id"]), (201, &first["id"]));
    assert_eq!(send("lisi", "k1", 8).await.0, 422, "other values");
    assert_eq!(send("lisi", "k2", 7).await.0, 409, "another key");
    assert_eq!(send("wangwu", "k1", 7).await.0, 409, "another person");
}

#[tokio::test]
async fn wrong_applications_are_rejected_by_name() {
    let desk = desk().await;
    let rejected = async |kind: &str, fields: Value| {
        let (status, problem) = desk.apply("lisi", kind, "c-1", fields).await;
        let reason = problem["reason"].as_str().expect("a reason").to_owned();
        let field = problem["errors"][0]["field"].as_str().unwrap_or_default();
        (status, reason, problem["code"].clone(), field.to_owned())
    };
    let none = Value::Null;
    assert_eq!(
        rejected("unknown", values()).await,
        (
            404,
            "CollectItsmNotExists".into(),
            json!(503),
            "/kind".into()
        )
    );
    assert_eq!(
        rejected("off", values()).await,
        (
            409,
            "CollectItsmNotExists".into(),
            json!(503),
            String::new()
        )
    );
    assert_eq!(
        rejected("of_another_app", values()).await,
        (403, "not_permitted".into(), none.clone(), String::new())
    );
    let mut incomplete = values();
    incomplete["log_keep_days"] = "".into();
    assert_eq!(
        rejected("collect", incomplete).await,
        (
            400,
            "malformed".into(),
            none,
            "/fields/log_keep_days".into()
        )
    );
    for subject in ["", " ", "a\nb", &"x".repeat(201)] {
        let (status, problem) = desk.apply("lisi", "collect", subject, values()).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (400, &json!("/subject")),
            "{subject:?}"
        );
    }
    assert_eq!(desk.external.count(), 0, "nothing was sent");
}

#[tokio::test]
async fn a_switched_off_kind_leaves_open_applications_running() {
    let desk = desk().await;
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    let off = r#"
        FEATURE_COLLECTOR_ITSM = "collector"
        [feature.collector]
        is_enabled = false
        itsm_service_id = 18
        [[application_kind]]
        name = "collect"
        preset = "log_collection"
        integration = "company_itsm"
    "#;
    define(&desk.desk, off).await;
    let (status, problem) = desk.apply("lisi", "collect", "c-2", values()).await;
    assert_eq!(status, 409, "{problem}");
    desk.decide("REQ001", "true").await;
    let (_, granted) = desk.shown(&opened["id"], "lisi", "en").await;
    assert_eq!(granted["status"], "granted", "{granted}");
}

#[tokio::test]
async fn only_the_applicant_and_superusers_read_and_withdraw_an_application() {
    let desk = desk().await;
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    let id = &opened["id"];
    assert_eq!(desk.shown(id, "admin", "en").await.0, 200);
    let (status, problem) = desk.shown(id, "wangwu", "en").await;
    assert_eq!(
        (status, &problem["permission"]["operation"]),
        (403, &json!("read_operations"))
    );
    let path = format!("applications/{}/withdraw", id.as_str().unwrap());
    let body = json!({ "reason": "not needed" });
    let (status, _) = desk.desk.v1("POST", &path, "wangwu", body.clone()).await;
    assert_eq!(status, 403);
    let (status, _) = desk.desk.v1("POST", &path, "lisi", body.clone()).await;
    assert_eq!(status, 200);
    desk.desk.settle().await;
    let (_, withdrawn) = desk.shown(id, "lisi", "zh").await;
    assert_eq!(
        (&withdrawn["status"], &withdrawn["status_text"]),
        (&json!("withdrawn"), &json!("已撤销"))
    );
    assert_eq!(desk.external.status("REQ001"), "REVOKED");
    let (status, _) = desk.desk.v1("POST", &path, "lisi", body).await;
    assert_eq!(status, 409, "it has ended");
    let (status, _) = desk.apply("lisi", "collect", "c-1", values()).await;
    assert_eq!(
        status, 201,
        "a withdrawn application does not block the subject"
    );
}

#[tokio::test]
async fn a_service_is_found_by_its_display_and_never_chosen_silently() {
    let desk = desk().await;
    let found = |services: Value| *desk.external.services.lock().unwrap() = services;
    found(json!([{ "id": 77, "name": "日志平台容量评估" }]));
    let (_, opened) = desk
        .apply("lisi", "found", "c-1", json!({ "title": "t" }))
        .await;
    assert_eq!(desk.external.calls(), ["get_services", "create_ticket"]);
    assert_eq!(desk.external.bodies.lock().unwrap()[0]["service_id"], 77);
    let (_, applying) = desk.shown(&opened["id"], "lisi", "en").await;
    assert_eq!(applying["external"], "REQ001");

    // A lost response of the creation repeats no search for the service.
    desk.external.fail(&[Fault::Passes, Fault::LostRequest]);
    desk.apply("lisi", "found", "c-2", json!({ "title": "t" }))
        .await;
    desk.after(MINUTE_MS / 2).await;
    assert_eq!(
        desk.external.calls(),
        [
            "get_services",
            "create_ticket",
            "get_tickets",
            "create_ticket"
        ]
    );

    for (services, expected) in [
        (
            json!([]),
            "CollectItsmNotExists: no service of the external ITSM matches `discovery`; set `service` of the application kind",
        ),
        (
            json!([{ "id": 1, "name": "a" }, { "id": 2, "name": "b" }]),
            "CollectItsmNotExists: 2 services of the external ITSM match `discovery`: a, b; set `service` of the application kind",
        ),
    ] {
        found(services);
        let (_, opened) = desk
            .apply("lisi", "found", "c-9", json!({ "title": "t" }))
            .await;
        let (_, failed) = desk.shown(&opened["id"], "lisi", "en").await;
        assert_eq!(
            (&failed["status"], &failed["outcome"]["reason"]),
            (&json!("failed"), &json!(expected)),
            "{failed}"
        );
    }
    assert_eq!(desk.external.count(), 2);
}

#[tokio::test]
async fn an_invalid_token_of_a_callback_is_named() {
    let desk = desk().await;
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    let path = desk.external.callback_path();
    desk.external.decide("REQ001", "FINISHED", "true");
    desk.callback(&path, &message("REQ001", "forged")).await;
    let (_, applying) = desk.shown(&opened["id"], "lisi", "en").await;
    assert_eq!(
        applying["status"], "applying",
        "a forged body with a good status"
    );
    let problem = applying["problem"].as_str().expect("a problem");
    assert!(problem.starts_with("CollectItsmTokenIllega: "), "{problem}");
    // A replayed valid token decides as the ticket of the external ITSM says.
    for _ in 0..10 {
        desk.callback(&path, &message("REQ001", "issued")).await;
    }
    let (_, granted) = desk.shown(&opened["id"], "lisi", "en").await;
    assert_eq!(
        (&granted["status"], &granted["problem"]),
        (&json!("granted"), &Value::Null)
    );
    let (_, tickets) = desk.desk.v1("GET", "tickets", "lisi", Value::Null).await;
    assert_eq!(tickets["count"], 1, "one consequence");
}

#[tokio::test]
async fn a_consequence_that_cannot_be_done_is_shown() {
    let desk = desk().await;
    let wrong = r#"
        [[application_kind]]
        name = "collect"
        integration = "company_itsm"
        service = 18
        granted = { approval_result = "true" }
        days = 14
        consequence = { service = 4242, fields = { title = "${subject}" } }
    "#;
    define(&desk.desk, wrong).await;
    let (_, opened) = desk.apply("lisi", "collect", "c-1", json!({})).await;
    desk.decide("REQ001", "true").await;
    let (_, granted) = desk.shown(&opened["id"], "lisi", "en").await;
    assert_eq!(
        (
            &granted["status"],
            &granted["is_closed"],
            &granted["opened"]
        ),
        (&json!("granted"), &json!(true), &Value::Null)
    );
    let problem = granted["problem"].as_str().expect("a problem");
    assert!(problem.contains("4242"), "{problem}");
}

/// Returns the numbers of the requests to the external ITSM by their operations.
fn counted(desk: &Applied) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for operation in desk.external.calls() {
        *counts.entry(operation).or_default() += 1;
    }
    counts
}

/// Returns the number of ended applications of lisi by the causes of their ends.
pub(crate) async fn causes(desk: &Applied) -> BTreeMap<String, usize> {
    let mut causes = BTreeMap::new();
    for page in 1..=2 {
        let path = format!("applications?page_size=100&page={page}");
        let (_, list) = desk.desk.v1("GET", &path, "lisi", Value::Null).await;
        for one in list["applications"].as_array().expect("a list") {
            let stream = format!("application-{}", one["id"].as_str().expect("an id"));
            let events = history_from::<ApplicationEvent>(&desk.desk.app.ledger, &stream, 0).await;
            for envelope in events.expect("the events") {
                if let ApplicationEvent::Completed(completed) = envelope.event {
                    *causes.entry(format!("{:?}", completed.cause)).or_default() += 1;
                }
            }
        }
    }
    causes
}

#[tokio::test]
async fn one_request_asks_for_fifty_open_applications() {
    let desk = desk().await;
    for number in 0..120 {
        let (status, opened) = desk
            .apply("lisi", "collect", &format!("collector-{number}"), values())
            .await;
        assert_eq!(status, 201, "{opened}");
    }
    desk.external.calls();
    // The first read of each ticket returns its URLs.
    desk.after(MINUTE_MS).await;
    assert_eq!(counted(&desk)["get_ticket_info"], 120);
    desk.after(MINUTE_MS).await;
    let counts = counted(&desk);
    let asked = std::mem::take(&mut *desk.external.asked.lock().unwrap());
    println!("120 open applications: {counts:?}, tickets in each request {asked:?}");
    assert_eq!(asked.iter().sum::<usize>(), 120);
    assert_eq!(counts["ticket_approval_result"], 3);
    assert_eq!(counts.get("get_ticket_info"), None);

    // An ended ticket is read, because the decision is in its fields. The external ITSM does not know one ticket any more.
    desk.after(MINUTE_MS).await;
    desk.external.calls();
    desk.external.decide("REQ007", "FINISHED", "true");
    desk.external.decide("REQ099", "FINISHED", "false");
    desk.external.decide("REQ050", "SUSPENDED", "");
    desk.after(MINUTE_MS).await;
    let counts = counted(&desk);
    assert_eq!(counts["ticket_approval_result"], 3, "{counts:?}");
    assert_eq!(counts["get_ticket_info"], 2, "{counts:?}");
    let (_, list) = desk
        .desk
        .v1(
            "GET",
            "applications?state=open&page_size=1",
            "lisi",
            Value::Null,
        )
        .await;
    assert_eq!(list["count"], 118, "{list}");

    // The external ITSM reports a failed callback before the next regular read.
    desk.external.decide("REQ008", "FINISHED", "true");
    desk.external
        .failed_callbacks
        .lock()
        .unwrap()
        .push("REQ008".into());
    for _ in 0..4 {
        desk.after(MINUTE_MS).await;
    }
    let causes = causes(&desk).await;
    println!("{causes:?}");
    let expected = [
        ("Reconcile".to_owned(), 2),
        ("CallbackFailedTicket".to_owned(), 1),
    ];
    assert_eq!(causes, BTreeMap::from(expected));
}

/// Advances the clock by a minute, and does the work for all deadlines that are then reached. Returns the number of
/// messages, and the number of new commits.
async fn one_round(desk: &Applied) -> (usize, i64) {
    let app = &desk.desk.app;
    desk.desk.clock.advance(MINUTE_MS);
    desk.desk.followed().await;
    let fired = wake(app, REGISTRY, None).await.expect("the deadlines");
    let before = desk.desk.head().await;
    let now = app.ledger.clock.now();
    let until = now.plus_ms(MINUTE_MS);
    let messages = app.queue.take("sync", now, until, 1_000).await;
    let messages = messages.expect("the messages");
    assert_eq!(messages.len(), fired, "no other message is due");
    for message in messages {
        work(app, "sync", message).await.expect("the work");
    }
    (fired, desk.desk.head().await - before)
}

/// Opens applications, and lets the desk read each external ticket once.
pub(crate) async fn opened(desk: &Applied, kind: &str, count: usize) {
    for number in 0..count {
        let subject = format!("{kind}-{number}");
        let fields = match kind {
            "collect" => values(),
            _ => json!({ "title": "t" }),
        };
        let (status, opened) = desk.apply("lisi", kind, &subject, fields).await;
        assert_eq!(status, 201, "{opened}");
    }
}

#[tokio::test]
async fn one_message_asks_for_all_due_applications() {
    let desk = desk().await;
    opened(&desk, "collect", 200).await;
    desk.after(MINUTE_MS).await;
    desk.external.asked.lock().unwrap().clear();
    // Each application stores its next deadline. Nothing else is stored.
    assert_eq!(one_round(&desk).await, (1, 200));
    let asked = std::mem::take(&mut *desk.external.asked.lock().unwrap());
    assert_eq!(asked, [50; 4], "tickets in each request");
    desk.desk.followed().await;
    let again = wake(&desk.desk.app, REGISTRY, None).await;
    assert_eq!(again.expect("the deadlines"), 0, "all deadlines have moved");
}

#[tokio::test]
async fn one_message_asks_for_the_applications_of_all_kinds() {
    let desk = desk().await;
    *desk.external.services.lock().unwrap() = json!([{ "id": 77, "name": "日志平台容量评估" }]);
    opened(&desk, "collect", 3).await;
    opened(&desk, "found", 4).await;
    desk.after(MINUTE_MS).await;
    desk.external.asked.lock().unwrap().clear();
    assert_eq!(one_round(&desk).await, (1, 7));
    let mut asked = std::mem::take(&mut *desk.external.asked.lock().unwrap());
    asked.sort_unstable();
    assert_eq!(asked, [3, 4], "tickets in each request");
}

#[tokio::test]
async fn an_unreadable_application_does_not_stop_the_work_for_the_others() {
    let desk = desk().await;
    opened(&desk, "collect", 2).await;
    desk.after(MINUTE_MS).await;
    // An event version that this version of the program cannot read, in an application that is due first.
    let body = br#"{"meta":{"actor":"system","channel":"system","correlation":"c","causation":"c"},"events":[{"type":"application.applied","version":9,"data":{}}]}"#;
    let app = &desk.desk.app;
    let commit = following("application-POISON", None, 1, 1, body);
    app.ledger.store.append(commit).await.expect("stored");
    let document = Document {
        sequence: 1,
        body: b"{}".to_vec(),
    };
    let rows = [("polled", format!("collect|{:016}", 0))];
    let put = app
        .views
        .put("application", "application-POISON", &document, &rows, 0);
    assert!(put.await.expect("stored"));
    desk.external.asked.lock().unwrap().clear();
    assert_eq!(one_round(&desk).await, (1, 2));
    let asked = std::mem::take(&mut *desk.external.asked.lock().unwrap());
    assert_eq!(asked, [2], "tickets in each request");
}

/// If the secret is missing, each application waits by itself, and no message is repeated without an end.
#[tokio::test]
async fn applications_without_a_secret_wait_and_are_asked_for_later() {
    let desk = desk().await;
    opened(&desk, "collect", 3).await;
    desk.after(MINUTE_MS).await;
    desk.external.calls();
    let keys = &desk.desk.app.ledger.keys;
    let secret = "integration/company_itsm";
    keys.remove_secret(secret).await.expect("removed");
    assert_eq!(one_round(&desk).await, (1, 3));
    assert_eq!(desk.external.calls(), [""; 0], "no request is possible");
    keys.keep_secret(secret, b"s3cret").await.expect("stored");
    for sn in ["REQ001", "REQ002", "REQ003"] {
        desk.external.decide(sn, "FINISHED", "true");
    }
    desk.after(5 * MINUTE_MS).await;
    assert_eq!(
        causes(&desk).await,
        BTreeMap::from([("Reconcile".to_owned(), 3)])
    );
}

#[tokio::test]
async fn a_request_about_several_applications_that_fails_is_repeated() {
    let desk = desk().await;
    for number in 0..3 {
        desk.apply("lisi", "collect", &format!("collector-{number}"), values())
            .await;
    }
    desk.external.decide("REQ002", "FINISHED", "true");
    desk.external.calls();
    desk.external.fail(&[
        Fault::Html,
        Fault::LostResponse,
        Fault::Rejected,
        Fault::NotSent,
    ]);
    for _ in 0..20 {
        desk.after(MINUTE_MS / 4).await;
    }
    let (_, list) = desk
        .desk
        .v1("GET", "applications", "lisi", Value::Null)
        .await;
    let granted = list["applications"].as_array().expect("a list").iter();
    let granted = granted.filter(|one| one["status"] == "granted").count();
    assert_eq!(granted, 1, "{list}");
    assert_eq!(desk.external.count(), 3);
}

#[tokio::test]
async fn a_limit_of_requests_delays_applications_and_loses_none() {
    let desk = desk().await;
    let limited = r#"
        [[integration]]
        name = "company_itsm"
        kind = "bk_itsm"
        url = "http://itsm.example.com"
        app = "bk_log"
        user = "admin"
        per_minute = 5
    "#;
    define(&desk.desk, limited).await;
    for number in 0..12 {
        desk.apply("lisi", "collect", &format!("collector-{number}"), values())
            .await;
    }
    let mut most = 0;
    for _ in 0..8 {
        most = most.max(counted(&desk).values().sum::<usize>());
        desk.after(MINUTE_MS + 1).await;
    }
    println!(
        "at most {most} requests in one minute, {} tickets",
        desk.external.count()
    );
    assert_eq!((most, desk.external.count()), (5, 12));
}

#[tokio::test]
async fn the_desk_pauses_if_the_external_itsm_does_not_answer() {
    let desk = desk().await;
    desk.external.fail(&[Fault::NotSent; 200]);
    for number in 0..20 {
        desk.apply("lisi", "collect", &format!("collector-{number}"), values())
            .await;
    }
    for _ in 0..60 {
        desk.after(1_000).await;
    }
    let calls = desk.external.calls().len();
    println!("{calls} requests in one minute to an external ITSM that does not answer");
    // Without the pause, each of the 20 applications would send about 5 requests in this time.
    assert!(calls < 20, "{calls}");
    desk.external.clear_faults();
    for _ in 0..40 {
        desk.after(MINUTE_MS / 4).await;
    }
    assert_eq!(desk.external.count(), 20);
}
