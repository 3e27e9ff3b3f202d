//! These tests check what messages contain: the context of a ticket by the role of the recipient, the name of a failing
//! channel account, and nothing of tickets that an operator may not read.

use infra::channel::MailReply;
use serde_json::{Value, json};

use super::{Channels, MAIL, ROBOT};

const TITLE: &str = "Portal is slow";
/// The title of the tickets of `Channels::submit`.
const SUBMITTED: &str = "申请堡垒机权限";

/// A workflow whose form has the fields of the context. A ticket waits for zhangsan.
fn workflow() -> Value {
    let field = |id: i64, key: &str| json!({ "id": id, "key": key, "type": "STRING", "name": key });
    json!({
        "name": "Incident",
        "nodes": [
            { "id": 1, "name": "Start", "kind": "START" },
            { "id": 2, "name": "Report", "kind": "NORMAL", "processors": { "type": "OPEN" },
              "fields": ["title", "related_cis", "impacted_services", "sla_deadline"] },
            { "id": 3, "name": "Repair", "kind": "NORMAL", "processors": { "type": "PERSON", "who": ["zhangsan"] }, "fields": ["result"] },
            { "id": 9, "name": "End", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
        "fields": [field(1, "title"), field(2, "related_cis"), field(3, "impacted_services"), field(4, "sla_deadline"), field(5, "result")],
    })
}

fn refused() -> MailReply {
    MailReply {
        code: 554,
        text: "5.6.0 bad content".into(),
    }
}

impl Channels {
    /// Opens a ticket with the given fields for lisi, and returns its number.
    async fn reported(&self, service: &Value, fields: Value) -> Value {
        let body = json!({ "service_id": service, "fields": fields });
        let (status, opened) = self.desk.v1("POST", "tickets", "lisi", body).await;
        assert_eq!(status, 201, "{opened}");
        self.desk.settle().await;
        opened["sn"].clone()
    }

    /// Stores an English mail address of a person.
    async fn has_mail(&self, person: &str) {
        let preferences = json!({
            "language": "en", "aggregation": false,
            "addresses": { "email": format!("{person}@example.com") },
        });
        let (status, answer) = self.prefer(person, preferences).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Returns the text of the only new mail to a person.
    fn mail_to(&self, person: &str) -> String {
        let to = format!("{person}@example.com");
        let mut mails = self.desk.mailer.take();
        mails.retain(|mail| mail.to == to);
        assert_eq!(mails.len(), 1, "{to}");
        String::from_utf8(mails.remove(0).bytes).expect("ASCII")
    }

    /// Returns the newest message that the robot accepted, as JSON text.
    fn newest_robot_message(&self) -> String {
        let messages = self.robot.accepted();
        messages.last().expect("a message").to_string()
    }
}

#[tokio::test]
async fn a_message_has_the_context_of_the_ticket_by_role() {
    let policy = "[policy]\naccounts = [\"mail\"]\n";
    let channels = Channels::open_with(&[MAIL, policy].concat()).await;
    let service = channels.desk.publish(workflow(), json!({})).await;
    channels.has_mail("zhangsan").await;
    channels.has_mail("lisi").await;
    let context = json!({
        "title": TITLE, "related_cis": "web-01,db-01",
        "impacted_services": "Portal", "sla_deadline": "2026-11-22 18:00",
    });
    let sn = channels.reported(&service, context).await;
    let mail = channels.mail_to("zhangsan");
    for line in [
        "Deadline: 2026-11-22 18:00",
        "Impacted services: Portal",
        "Configuration items: web-01, db-01",
    ] {
        assert!(mail.contains(line), "{line}: {mail}");
    }
    let desk = &channels.desk;
    desk.clock.advance(1_000);
    let reason = json!({ "message": "wait" });
    desk.operate(&sn, "suspend", "admin", reason).await;
    desk.settle().await;
    let mail = channels.mail_to("lisi");
    assert!(mail.contains("Deadline: 2026-11-22 18:00"), "{mail}");
    assert!(mail.contains("Impacted services: Portal"), "{mail}");
    assert!(!mail.contains("web-01"), "for the requester: {mail}");
    // Without values, a message has no lines for them.
    desk.clock.advance(1_000);
    let title = json!({ "title": TITLE });
    channels.reported(&service, title).await;
    let mail = channels.mail_to("zhangsan");
    for label in ["Deadline", "Impacted services", "Configuration items"] {
        assert!(!mail.contains(label), "{label}: {mail}");
    }
}

#[tokio::test]
async fn a_template_shows_the_context_of_the_ticket() {
    let policy = "[policy]\naccounts = [\"mail\"]\nsingle_publisher = true\n";
    let channels = Channels::open_with(&[MAIL, policy].concat()).await;
    let service = channels.desk.publish(workflow(), json!({})).await;
    channels.has_mail("zhangsan").await;
    let desk = &channels.desk;
    let body = "CI {{ context.related_cis }}\nS {{ context.impacted_services }}\nD {{ context.sla_deadline }}";
    let texts = json!({ "en": { "email": { "subject": "S", "body": body } } });
    let path = "notification-templates/work_assigned";
    for (operation, body) in [
        ("drafts", json!({ "texts": texts })),
        ("publish", json!({ "version": 1 })),
    ] {
        let path = format!("{path}/{operation}");
        let (status, answer) = desk.v1("POST", &path, "admin", body).await;
        assert_eq!(status, 200, "{answer}");
    }
    desk.settle().await;
    let context = json!({
        "title": TITLE, "related_cis": "web-01,db-01", "sla_deadline": "2026-11-22 18:00",
    });
    channels.reported(&service, context).await;
    let mail = channels.mail_to("zhangsan");
    for line in ["CI web-01, db-01", "S Incident", "D 2026-11-22 18:00"] {
        assert!(mail.contains(line), "{line}: {mail}");
    }
}

#[tokio::test]
async fn the_report_about_an_account_names_it_and_another_account_sends_it() {
    let policy = "[policy]\naccounts = [\"mail\", \"ops_robot\"]\noperators = [\"admin\"]\n";
    let channels = Channels::open_with(&[MAIL, ROBOT, policy].concat()).await;
    channels.reachable(None).await;
    channels.has_mail("lisi").await;
    channels.has_mail("wangwu").await;
    let preferences = json!({
        "language": "en",
        "addresses": { "email": "admin@example.com", "dingtalk": "dt-admin" },
        "channels": { "dingtalk": { "frequency": "batch", "batch_times": ["23:00"] } },
    });
    assert_eq!(channels.prefer("admin", preferences).await.0, 200);
    for _ in 0..10 {
        channels.desk.mailer.plan(Ok(refused()));
        channels.submit().await;
    }
    let shown = channels.newest("admin").await;
    assert_eq!(shown["fact"], "account_degraded", "{shown}");
    assert_eq!(shown["node_name"], "mail", "{shown}");
    assert_eq!(
        (&shown["ticket"], &shown["ticket_title"]),
        (&Value::Null, &Value::Null)
    );
    let skipped = json!([{ "account": "mail", "reason": "degraded" }]);
    assert_eq!(shown["skipped"], skipped);
    assert_eq!(shown["outcome"], "accepted", "{shown}");
    let messages = channels.robot.accepted();
    let mut messages = messages.iter().map(ToString::to_string);
    let message = messages
        .find(|message| message.contains("Channel account degraded: mail"))
        .expect("the report");
    assert!(message.contains("/deliveries"), "{message}");
    assert!(message.contains("@dt-admin"), "{message}");
    for hidden in [SUBMITTED, "REQ2026", "/tickets/"] {
        assert!(!message.contains(hidden), "{hidden}: {message}");
    }
    let mails = channels.desk.mailer.take();
    assert!(mails.iter().all(|mail| mail.to != "admin@example.com"));
    let id = shown["id"].as_str().expect("an id");
    let path = format!("notifications/{id}/why?language=en");
    let why = channels.get(&path, "admin").await.to_string();
    assert!(why.contains("channel account mail fail"), "{why}");
    let path = format!("notifications/{id}/event");
    let event = channels.get(&path, "admin").await;
    assert_eq!(event["content"], json!({ "account": "mail" }));
    assert_eq!(event["context"], json!({}));
}

#[tokio::test]
async fn an_operator_gets_no_title_of_a_ticket_that_the_operator_may_not_read() {
    let policy = concat!(
        "[policy]\naccounts = [\"mail\", \"ops_robot\"]\noperators = [\"sunqi\", \"admin\"]\n",
        "urgent = [\"3\"]\nbands = { \"3\" = \"low\" }\n",
    );
    let channels = Channels::open_with(&[MAIL, ROBOT, policy].concat()).await;
    channels.has_mail("zhangsan").await;
    channels.has_mail("lisi").await;
    channels.has_mail("wangwu").await;
    let now = json!({ "addresses": { "dingtalk": "dt-one" } });
    let batch = json!({
        "addresses": { "dingtalk": "dt-one" },
        "channels": { "dingtalk": { "frequency": "batch", "batch_times": ["14:00"] } },
    });
    // The first message is about one fact, and the second one is a digest.
    for (preferences, hours) in [(now, 0), (batch, 24)] {
        for (person, may_read) in [("sunqi", false), ("admin", true)] {
            let other = if may_read { "sunqi" } else { "admin" };
            assert_eq!(channels.prefer(other, json!({})).await.0, 200);
            assert_eq!(channels.prefer(person, preferences.clone()).await.0, 200);
            channels.desk.clock.advance(24 * 3_600_000);
            channels.desk.settle().await;
            let before = channels.robot.accepted().len();
            channels.desk.mailer.plan(Ok(refused()));
            let sn = channels.submit_with("3").await;
            channels.desk.clock.advance(hours * 3_600_000);
            channels.desk.settle().await;
            assert_eq!(channels.robot.accepted().len(), before + 1, "{person}");
            let message = channels.newest_robot_message();
            assert!(message.contains(&sn), "{person}: {message}");
            let has_title = message.contains(SUBMITTED);
            assert_eq!(has_title, may_read, "{person} {hours}: {message}");
        }
    }
}
