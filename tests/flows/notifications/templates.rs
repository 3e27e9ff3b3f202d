//! These tests check notification templates: drafts and their errors, publication by a second person, the use in
//! messages, previews, test messages, and the import and export of JSON documents.

use serde_json::{Value, json};

use super::{Channels, MAIL, ROBOT};

const PATH: &str = "notification-templates/approval_needed";
const MAIL_ONLY: &str = "[policy]\naccounts = [\"mail\"]";
/// A policy that allows authors to publish their own versions.
const SINGLE: &str = "[policy]\naccounts = [\"mail\"]\nsingle_publisher = true\nsystem_name = \"IT Desk\"\nsupport_email = \"help@example.com\"";

impl Channels {
    /// Sends a request about the template of approvals, and returns the status and the body of the response.
    async fn template(&self, operation: &str, user: &str, body: Value) -> (u16, Value) {
        let path = format!("{PATH}/{operation}");
        let answer = self.desk.v1("POST", &path, user, body).await;
        self.desk.settle().await;
        answer
    }

    /// Stores a version of the template, and returns its number.
    async fn draft(&self, locale: &str, format: &str, body: &str) -> u64 {
        let texts = json!({ locale: { format: { "subject": "S {{ ticket.id }}", "body": body } } });
        let (status, answer) = self
            .template("drafts", "admin", json!({ "texts": texts }))
            .await;
        assert_eq!(status, 200, "{answer}");
        answer["newest"].as_u64().expect("a number")
    }

    /// Makes wangwu a superuser.
    async fn second_superuser(&self) {
        let body = json!({ "members": ["admin", "wangwu"] });
        let (status, answer) = self.desk.v1("PUT", "roles/1", "admin", body).await;
        assert_eq!(status, 204, "{answer}");
    }

    async fn publish(&self, user: &str, version: u64) -> (u16, Value) {
        self.template("publish", user, json!({ "version": version }))
            .await
    }

    /// Returns the text of the newest message that the robot accepted.
    fn newest_of_robot(&self) -> String {
        let messages = self.robot.accepted();
        let newest = messages.last().expect("a message");
        // A message with actions is a card.
        let kind = newest["msgtype"].as_str().expect("a kind of message");
        newest[kind]["text"].as_str().expect("a text").to_owned()
    }
}

#[tokio::test]
async fn a_published_template_writes_the_messages_of_every_channel() {
    let channels = Channels::open().await;
    channels.second_superuser().await;
    channels.reachable(None).await;
    let version = channels
        .draft(
            "zh-CN",
            "default",
            "{{ assignee.name }}\nNo {{ ticket.id }}: {{ ticket.title }}",
        )
        .await;
    channels.submit().await;
    let before = channels.newest_of_robot();
    assert!(before.contains("有一个工单等待您审批"), "{before}");
    let (status, answer) = channels.publish("wangwu", version).await;
    assert_eq!((status, &answer["published"]), (200, &json!(1)), "{answer}");
    let sn = channels.submit().await;
    let text = channels.newest_of_robot();
    assert!(text.contains(&format!("#### S {sn}")), "{text}");
    assert!(text.contains("@dt-zhangsan "), "{text}");
    assert!(text.contains(&format!("No {sn}: 申请堡垒机权限")), "{text}");
    assert!(text.contains(&format!("/tickets/{sn})")), "{text}");
    assert!(!text.contains("有一个工单等待您审批"), "{text}");
    let (status, answer) = channels.template("withdraw", "admin", json!({})).await;
    assert_eq!((status, &answer["published"]), (200, &Value::Null));
    channels.submit().await;
    let after = channels.newest_of_robot();
    assert!(after.contains("有一个工单等待您审批"), "{after}");
}

#[tokio::test]
async fn a_mail_has_the_text_of_its_format_and_language() {
    let channels = Channels::open_with(&[MAIL, SINGLE].concat()).await;
    let preferences = json!({ "language": "en", "addresses": { "email": "zhangsan@example.com" } });
    let (status, answer) = channels.prefer("zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
    let body = "Number {{ ticket.id }}\n{{ system.name }} {{ system.support_email }}";
    let version = channels.draft("en", "email", body).await;
    let (status, answer) = channels.publish("admin", version).await;
    assert_eq!(status, 200, "one person may publish: {answer}");
    let sn = channels.submit().await;
    let mails = channels.desk.mailer.take();
    assert_eq!(mails.len(), 1);
    let text = String::from_utf8_lossy(&mails[0].bytes).into_owned();
    assert!(text.contains(&format!("Number {sn}")), "{text}");
    assert!(text.contains("IT Desk help@example.com"), "{text}");
    assert!(!text.contains("Hello"), "{text}");
}

#[tokio::test]
async fn another_person_publishes_and_each_superuser_rolls_back() {
    let channels = Channels::open().await;
    channels.second_superuser().await;
    assert_eq!(channels.draft("en", "default", "one").await, 1);
    let (status, problem) = channels.publish("admin", 1).await;
    assert_eq!(status, 409, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("another person"),
        "{problem}"
    );
    assert_eq!(channels.publish("admin", 2).await.0, 404);
    assert_eq!(channels.publish("wangwu", 1).await.0, 200);
    assert_eq!(channels.draft("en", "default", "two").await, 2);
    assert_eq!(channels.publish("wangwu", 2).await.0, 200);
    let (status, answer) = channels.publish("admin", 1).await;
    assert_eq!((status, &answer["published"]), (200, &json!(1)), "{answer}");
    let shown = channels.get(PATH, "admin").await;
    let versions = shown["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!(
        (
            &versions[0]["version"],
            &versions[0]["by"],
            &versions[0]["is_published"]
        ),
        (&json!(2), &json!("admin"), &json!(false))
    );
    assert_eq!(versions[1]["texts"]["en"]["default"]["body"], "one");
    let all = channels.get("notification-templates", "admin").await;
    let all = all["notification_templates"].as_array().unwrap();
    let published = all.iter().filter(|one| !one["published"].is_null());
    assert_eq!(published.count(), 1);
    assert!(all.iter().any(|one| one["key"] == "digest"));
    let (status, _) = channels.desk.v1("GET", PATH, "lisi", Value::Null).await;
    assert_eq!(status, 403);
    let unknown = "notification-templates/no_fact";
    let (status, _) = channels.desk.v1("GET", unknown, "admin", Value::Null).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn wrong_texts_are_named_with_their_place_and_not_stored() {
    let channels = Channels::open().await;
    for (locale, format, body, field, reason) in [
        (
            "en",
            "email",
            "a\n{{ ticket.titel }}",
            "/texts/en/email/body",
            "line 2, column 4",
        ),
        ("en", "email", "{% if %}", "/texts/en/email/body", "line 1"),
        (
            "en",
            "sms",
            "{{ ticket.title }}",
            "/texts/en/sms/body",
            "134",
        ),
        ("en", "fax", "a", "/texts/en/fax", "is not a format"),
        ("fr", "email", "a", "/texts/fr", "is not a locale"),
    ] {
        let texts = json!({ locale: { format: { "body": body } } });
        let body = json!({ "texts": texts });
        let (status, problem) = channels.template("drafts", "admin", body).await;
        assert_eq!(status, 400, "{problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        assert!(
            problem["detail"].as_str().unwrap().contains(reason),
            "{problem}"
        );
    }
    assert_eq!(channels.get(PATH, "admin").await["newest"], 0);
}

#[tokio::test]
async fn a_preview_shows_a_ticket_or_the_longest_values() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    let sn = channels.submit().await;
    channels
        .draft("en", "email", "{{ ticket.title }} {{ ticket.node }}")
        .await;
    let body = json!({ "locale": "en", "format": "email", "ticket": sn });
    let (status, shown) = channels.template("preview", "admin", body).await;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(shown["subject"], format!("S {sn}"));
    let line = shown["body"][0].as_str().unwrap();
    assert!(line.starts_with("申请堡垒机权限 "), "{line}");
    let body = json!({ "locale": "en", "format": "email" });
    let (_, shown) = channels.template("preview", "admin", body).await;
    let line = shown["body"][0].as_str().unwrap();
    assert_eq!(line.chars().count(), 801);
    let texts = json!({ "en": { "email": { "body": "other {{ ticket.id }}" } } });
    let body = json!({ "locale": "en", "format": "email", "ticket": sn, "texts": texts });
    let (_, shown) = channels.template("preview", "admin", body).await;
    assert_eq!(shown["body"], json!([format!("other {sn}")]));
    assert_eq!(shown["subject"], Value::Null);
    for (body, field) in [
        (json!({ "locale": "zh-CN", "format": "email" }), "/format"),
        (
            json!({ "locale": "en", "format": "email", "ticket": "REQ1" }),
            "/ticket",
        ),
    ] {
        let (status, problem) = channels.template("preview", "admin", body).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (404, &json!(field))
        );
    }
    assert_eq!(channels.get(PATH, "admin").await["newest"], 1);
}

#[tokio::test]
async fn a_test_message_uses_a_version_that_is_not_published() {
    let channels = Channels::open().await;
    let sn = channels.submit().await;
    channels
        .draft("zh-CN", "chat", "draft {{ ticket.id }}")
        .await;
    let body = json!({ "account": "ops_robot", "ticket": sn });
    let (status, problem) = channels.template("test", "admin", body.clone()).await;
    assert_eq!(status, 409, "admin has no address: {problem}");
    let address = json!({ "addresses": { "dingtalk": "dt-admin" } });
    assert_eq!(channels.prefer("admin", address).await.0, 200);
    let (status, sent) = channels.template("test", "admin", body).await;
    assert_eq!(status, 200, "{sent}");
    let text = channels.newest_of_robot();
    assert!(text.contains(&format!("#### ［测试］ S {sn}")), "{text}");
    assert!(text.contains(&format!("@dt-admin draft {sn}")), "{text}");
    let path = format!("notifications/{}", sent["notification"].as_str().unwrap());
    let shown = channels.get(&path, "admin").await;
    assert_eq!(shown["outcome"], "accepted", "{shown}");
    let body = json!({ "account": "fax", "ticket": sn });
    let (status, problem) = channels.template("test", "admin", body).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (404, &json!("/account"))
    );
}

#[tokio::test]
async fn an_imported_document_is_used_and_returned_unchanged() {
    let channels = Channels::open().await;
    channels.second_superuser().await;
    channels.reachable(None).await;
    let document = json!({
        "template_id": "ticket_assigned",
        "name": "工单分配通知",
        "description": "当工单被分配给处理人员时发送的通知",
        "channels": ["email", "wechat", "dingtalk"],
        "templates": {
            "email": { "subject": "[ITSM] 新工单分配 - {{ticket.title}}", "body": "您好 {{assignee.name}}，\n\n{{system.url}}/tickets/{{ticket.id}}" },
            "wechat": {
                "title": "新工单分配",
                "description": "{{assignee.name}}，您有一个新的工单需要处理",
                "url": "{{system.url}}/tickets/{{ticket.id}}",
                "template_data": { "first": "您有一个新的工单需要处理", "keyword1": "{{ticket.id}}", "remark": "请及时处理" },
            },
            "dingtalk": {
                "msgtype": "link",
                "link": { "title": "新工单分配 - {{ticket.title}}", "text": "工单编号：{{ticket.id}}", "messageUrl": "{{system.url}}/tickets/{{ticket.id}}" },
            },
        },
    });
    let path = format!("{PATH}/document");
    let (status, answer) = channels
        .desk
        .v1("PUT", &path, "admin", document.clone())
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["versions"][0]["is_imported"], true);
    assert_eq!(channels.get(&path, "admin").await, document);
    assert_eq!(channels.publish("wangwu", 1).await.0, 200);
    let sn = channels.submit().await;
    let text = channels.newest_of_robot();
    assert!(text.contains("#### 新工单分配 - 申请堡垒机权限"), "{text}");
    assert!(text.contains(&format!("工单编号：{sn}")), "{text}");
    let mut wrong = document;
    wrong["templates"]["dingtalk"]["link"]["text"] = json!("{{ ticket.number }}");
    let (status, problem) = channels.desk.v1("PUT", &path, "admin", wrong).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (400, &json!("/templates/dingtalk/link/text")),
        "{problem}"
    );
}

#[tokio::test]
async fn a_confidential_ticket_keeps_the_built_in_texts() {
    let channels = Channels::open().await;
    channels.second_superuser().await;
    channels.reachable(None).await;
    channels
        .draft("zh-CN", "default", "T {{ ticket.title }}")
        .await;
    assert_eq!(channels.publish("wangwu", 1).await.0, 200);
    let sealed = json!({ "seals_text": true });
    let (status, answer) = channels
        .desk
        .v1("PUT", "services/22", "admin", sealed)
        .await;
    assert_eq!(status, 200, "{answer}");
    channels.submit().await;
    let text = channels.newest_of_robot();
    assert!(!text.contains("申请堡垒机权限"), "{text}");
    assert!(text.contains("有一个工单等待您审批"), "{text}");
}

#[tokio::test]
async fn a_text_masks_values_in_the_messages_of_its_channels_only() {
    let policy = "[policy]\naccounts = [\"mail\", \"ops_robot\"]\nsingle_publisher = true\n";
    let channels = Channels::open_with(&[MAIL, ROBOT, policy].concat()).await;
    let preferences = json!({
        "aggregation": false, "language": "en",
        "addresses": { "email": "zhangsan@example.com", "dingtalk": "dt-zhangsan" },
    });
    assert_eq!(channels.prefer("zhangsan", preferences).await.0, 200);
    let text =
        |masked: Value| json!({ "body": "N {{ ticket.id }} {{ ticket.title }}", "masked": masked });
    let texts =
        json!({ "en": { "email": text(json!([])), "dingtalk": text(json!(["ticket.title"])) } });
    let wrong = json!({ "en": { "dingtalk": text(json!(["ticket.url"])) } });
    let (status, problem) = channels
        .template("drafts", "admin", json!({ "texts": wrong }))
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (400, &json!("/texts/en/dingtalk/masked")),
        "{problem}"
    );
    let (status, answer) = channels
        .template("drafts", "admin", json!({ "texts": texts }))
        .await;
    assert_eq!(status, 200, "{answer}");
    let shown = &answer["versions"][0]["texts"]["en"];
    assert_eq!(shown["dingtalk"]["masked"], json!(["ticket.title"]));
    assert_eq!(channels.publish("admin", 1).await.0, 200);
    let sn = channels.submit().await;
    let message = channels.newest_of_robot();
    assert!(message.contains(&format!("N {sn}")), "{message}");
    // The built-in subject contains the title too.
    assert!(!message.contains("申请堡垒机权限"), "{message}");
    let body = json!({ "locale": "en", "format": "email", "ticket": sn });
    let (_, shown) = channels.template("preview", "admin", body).await;
    assert_eq!(shown["body"], json!([format!("N {sn} 申请堡垒机权限")]));
    let body = json!({ "locale": "en", "format": "dingtalk", "ticket": sn });
    let (_, shown) = channels.template("preview", "admin", body).await;
    assert_eq!(shown["body"], json!([format!("N {sn} ***")]));
}

#[tokio::test]
async fn a_digest_shows_no_titles_if_its_template_masks_them() {
    let policy = "[policy]\naccounts = [\"ops_robot\"]\nsingle_publisher = true\n";
    let channels = Channels::open_with(&[ROBOT, policy].concat()).await;
    let preferences = json!({
        "language": "en", "addresses": { "dingtalk": "dt-zhangsan" },
        "channels": { "dingtalk": { "frequency": "batch", "batch_times": ["14:00"] } },
    });
    assert_eq!(channels.prefer("zhangsan", preferences).await.0, 200);
    let digest = async |operation: &str, body: Value| {
        let path = format!("notification-templates/digest/{operation}");
        let (status, answer) = channels.desk.v1("POST", &path, "admin", body).await;
        assert_eq!(status, 200, "{answer}");
        channels.desk.settle().await;
    };
    for (version, masked) in [(1, json!([])), (2, json!(["ticket.title"]))] {
        let text = json!({ "body": "For {{ assignee.name }}", "masked": masked });
        let texts = json!({ "en": { "default": text } });
        digest("drafts", json!({ "texts": texts })).await;
        digest("publish", json!({ "version": version })).await;
        let sn = channels.submit().await;
        channels.desk.clock.advance(24 * 3_600_000);
        channels.desk.settle().await;
        let message = channels.newest_of_robot();
        assert!(message.contains(&sn), "{message}");
        let has_title = message.contains("申请堡垒机权限");
        assert_eq!(has_title, version == 1, "{message}");
    }
}

const SMS: &str = r#"
    [[account]]
    name = "texts"
    channel = "sms"
    shape = "twilio"
    from = "+15005550006"
    segments_max = 3
    segment_price = "0.045"
    currency = "CNY"
"#;

#[tokio::test]
async fn a_preview_of_a_short_message_shows_its_segments_and_its_cost() {
    let channels = Channels::open_with(&[MAIL, SMS, MAIL_ONLY].concat()).await;
    let sn = channels.submit().await;
    let preview = async |body: &str, more: Value| {
        let texts = json!({ "en": { "sms": { "body": body } } });
        let mut request = json!({ "locale": "en", "format": "sms", "ticket": sn, "texts": texts });
        for (member, value) in more.as_object().expect("an object") {
            request[member] = value.clone();
        }
        channels.template("preview", "admin", request).await
    };
    let (status, shown) = preview("Work on {{ ticket.id }}", json!({})).await;
    assert_eq!(status, 200, "{shown}");
    let sms = &shown["sms"];
    assert_eq!(
        (&sms["encoding"], &sms["segments"], &sms["cost"]),
        (&json!("gsm7"), &json!(1), &Value::Null)
    );
    let text = sms["text"].as_str().expect("a text");
    assert!(text.starts_with(&format!("Work on {sn}\n")), "{text}");
    assert!(text.ends_with(&format!("/tickets/{sn}")), "{text}");
    assert_eq!(sms["units"], text.len());
    // A Chinese title needs UCS-2, and its messages have shorter segments.
    let body = "{{ ticket.title|truncate(20) }} {{ ticket.id }} 请您尽快登录服务台处理这个工单";
    let (_, shown) = preview(body, json!({ "account": "texts" })).await;
    let sms = &shown["sms"];
    assert_eq!(
        (&sms["encoding"], &sms["segments"], &sms["segments_max"]),
        (&json!("ucs2"), &json!(2), &json!(3)),
        "{shown}"
    );
    assert_eq!(
        (&sms["cost"], &sms["cost_max"], &sms["currency"]),
        (&json!("0.09"), &json!("0.135"), &json!("CNY"))
    );
    for (account, status) in [("fax", 404), ("mail", 400)] {
        let (found, problem) = preview("x", json!({ "account": account })).await;
        assert_eq!(
            (found, &problem["errors"][0]["field"]),
            (status, &json!("/account")),
            "{problem}"
        );
    }
    let body = json!({ "locale": "en", "format": "email", "ticket": sn, "texts": { "en": { "email": { "body": "x" } } } });
    let (_, shown) = channels.template("preview", "admin", body).await;
    assert_eq!(shown["sms"], Value::Null);
}
