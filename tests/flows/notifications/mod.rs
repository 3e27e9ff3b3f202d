//! These tests check that people are notified correctly. They cover the choice of channel accounts (for
//! example a mail relay or a chat robot), sending, quiet hours, rate limits and the inbox. The source is
//! plans/notifications.md, part 0.

mod acting;
mod addresses;
mod approvers;
mod availability;
mod burst;
mod calendars;
mod chat_groups;
mod chats;
mod content;
mod definition_changes;
mod digests;
mod dingtalk_stream;
mod escalations;
mod event_documents;
mod experiments;
mod facts;
mod feedback;
mod hostile;
mod inbox;
mod inbox_events;
mod inbox_states;
mod learned_channels;
mod mails;
mod on_call_import;
mod onboarding;
mod own_subscriptions;
mod policy;
mod policy_try;
mod quiet;
mod receipts;
mod receivers;
mod recommendations;
mod refusals;
mod reliability;
mod reports;
mod same_answer;
mod sending;
mod sequential;
mod shared_links;
mod sms_reports;
mod subscriptions;
mod teams_bot;
mod templates;
mod threads;
mod updates;
mod upgrade;
mod visits;
mod why_person;
mod workflow_rules;

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, header};
use functions::app::notifications::definitions::Definitions;
use functions::cli::demo::fakes::dingtalk::Robot;
use infra::channel::memory::Outcome;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};
use tests::approval_request;

use crate::TestDesk;

const MAIL: &str = r#"
    [[account]]
    name = "mail"
    channel = "email"
    host = "relay.example"
    from = "服务台 <desk@example.com>"
"#;
const ROBOT: &str = r#"
    [[account]]
    name = "ops_robot"
    channel = "dingtalk_robot"
    url = "http://robot.example/robot/send"
"#;
const BOTH: &str = r#"
    [policy]
    accounts = ["mail", "ops_robot"]
    urgent = ["3"]
"#;

/// An HTTP client that passes each request to a simulated DingTalk robot (a chat robot) in the same process.
struct ToRobot(Arc<Robot>);

#[async_trait]
impl HttpClient for ToRobot {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.url.split_once('?').map_or("", |(_, query)| query);
        let answer = self.0.respond(query, &request.body);
        Ok(HttpResponse::of(200, answer.to_string().as_bytes()))
    }
}

/// A desk with a mail relay and a DingTalk robot. At first, the approvers zhangsan and wangwu have no
/// addresses, so no message can reach them.
struct Channels {
    desk: TestDesk,
    robot: Arc<Robot>,
}

impl Channels {
    /// Opens a desk with two channel accounts: a mail relay and a DingTalk robot. The notification policy
    /// names both accounts.
    async fn open() -> Self {
        Self::open_with(&[MAIL, ROBOT, BOTH].concat()).await
    }

    async fn open_with(accounts: &str) -> Self {
        let mut desk = TestDesk::open().await;
        let robot = Arc::new(Robot::new("t", "SECx", desk.clock.clone()));
        desk.app.http = Arc::new(ToRobot(robot.clone()));
        Definitions::read(accounts)
            .unwrap()
            .store(&desk.app)
            .await
            .unwrap();
        let channels = Self { desk, robot };
        channels
            .secret(r#"{"access_token":"t","secret":"SECx"}"#)
            .await;
        channels
    }

    /// Stores the given secret for the channel account of the robot (the configuration with which the desk
    /// sends messages to the robot).
    async fn secret(&self, secret: &str) {
        let keys = &self.desk.app.ledger.keys;
        keys.keep_secret("channel/ops_robot", secret.as_bytes())
            .await
            .unwrap();
    }

    /// Restarts the desk. The views (stored lists) and the queues are empty after the restart.
    async fn restart_without_views(self) -> Self {
        let http = self.desk.app.http.clone();
        let mut desk = self.desk.restart_without_views().await;
        desk.app.http = http;
        Self { desk, ..self }
    }

    /// Restarts the desk. The views (stored lists) and the queues are kept.
    async fn restart(self) -> Self {
        let http = self.desk.app.http.clone();
        let mut desk = self.desk.restart().await;
        desk.app.http = http;
        Self { desk, ..self }
    }

    async fn prefer(&self, person: &str, preferences: Value) -> (u16, Value) {
        let path = format!("people/{person}/preferences");
        let answer = self.desk.v1("PUT", &path, person, preferences).await;
        self.desk.settle().await;
        answer
    }

    /// Stores two addresses of the test person zhangsan, one for e-mail and one for DingTalk. The desk sends a message of
    /// its own for each notification. If `quiet` is given, also stores these quiet hours.
    async fn reachable(&self, quiet: Option<Value>) {
        let mut preferences = json!({
            "addresses": { "email": "zhangsan@example.com", "dingtalk": "dt-zhangsan" },
            "aggregation": false,
        });
        if let Some(quiet) = quiet {
            preferences["quiet"] = quiet;
        }
        let (status, answer) = self.prefer("zhangsan", preferences).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Opens a ticket whose mail is never sent successfully. Each attempt to send the mail has the given
    /// outcome. Returns the number of attempts that the desk makes.
    async fn attempts(&self, outcome: &Outcome) -> usize {
        for _ in 0..20 {
            self.desk.mailer.plan(outcome.clone());
        }
        self.submit().await;
        for _ in 0..20 {
            self.desk.clock.advance(301_000);
            self.desk.settle().await;
        }
        self.desk.mailer.take().len()
    }

    /// Opens a ticket that waits for the votes of zhangsan and wangwu. The priority of the ticket is low.
    /// Returns the ticket number.
    async fn submit(&self) -> String {
        self.submit_with("1").await
    }

    /// Opens a ticket that waits for the votes of zhangsan and wangwu. Its impact and its urgency have the
    /// value `level`. Returns the ticket number.
    async fn submit_with(&self, level: &str) -> String {
        let mut request = approval_request();
        for field in request["fields"].as_array_mut().unwrap() {
            if field["key"] == "impact" || field["key"] == "urgency" {
                field["value"] = json!(level);
            }
        }
        let opened = self.desk.must("create_ticket", request).await;
        self.desk.settle().await;
        opened["sn"].as_str().expect("a number").to_owned()
    }

    async fn get(&self, path: &str, user: &str) -> Value {
        let (status, shown) = self.desk.v1("GET", path, user, Value::Null).await;
        assert_eq!(status, 200, "{path}: {shown}");
        shown
    }

    /// Requests a page in English without a login. With a form, sends the form to the page. Returns the status and the
    /// page.
    async fn page(&self, path: &str, form: Option<&str>) -> (u16, String) {
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, "desk")
            .header(header::ACCEPT_LANGUAGE, "en");
        let request = match form {
            None => request.body(Body::empty()),
            Some(form) => request
                .method("POST")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.to_owned().into()),
        };
        let (status, body) = self.desk.send(request.unwrap()).await;
        (status.as_u16(), String::from_utf8(body).expect("text"))
    }

    /// Returns the newest notification in the inbox of a person.
    async fn newest(&self, person: &str) -> Value {
        self.get(&format!("inbox/{person}"), person).await["notifications"][0].clone()
    }

    /// Marks the newest notification in the inbox of a person as read.
    async fn read_newest(&self, person: &str) {
        let id = self.newest(person).await["id"].clone();
        let path = format!("notifications/{}/read", id.as_str().expect("an id"));
        let (status, answer) = self.desk.v1("POST", &path, person, json!({})).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Returns the steps that explain how the newest notification of zhangsan was processed. Each entry
    /// contains the name of an event, the name of a channel account (a configured sender of messages), and an
    /// explanation for people.
    async fn why(&self) -> Vec<(String, String, String)> {
        let id = self.newest("zhangsan").await["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let path = format!("notifications/{id}/why?language=en");
        let shown = self.get(&path, "zhangsan").await;
        let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let steps = shown["steps"].as_array().expect("steps").iter();
        steps
            .map(|step| {
                (
                    text(step, "event"),
                    text(step, "account"),
                    text(step, "text"),
                )
            })
            .collect()
    }

    /// Reads the steps that explain how the newest notification of zhangsan was processed. Returns the names of
    /// the events of the channel account (configured sender) `account`, in order.
    async fn events_of(&self, account: &str) -> Vec<String> {
        let steps = self.why().await.into_iter();
        steps
            .filter(|(_, of, _)| of == account)
            .map(|(event, ..)| event)
            .collect()
    }
}
