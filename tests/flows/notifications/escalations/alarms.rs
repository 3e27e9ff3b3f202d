//! These tests check the alarms for operators: an urgent message that reaches nobody, an escalation that ended without an
//! answer, and the standing check of escalation chains before a shift.

use functions::app::notifications::definitions::Definitions;
use serde_json::{Value, json};

use super::{CHAIN, Channels, MAIL, MINUTE_MS};

/// A policy whose mail account sends everything, with an operator.
const OPERATED: &str = r#"
    [policy]
    accounts = ["mail"]
    urgent = ["3"]
    operators = ["admin"]
"#;
/// The same policy with a chain. From 2026-11-29T09:00 in Shanghai, zhouba is on call instead of sunqi.
const WEEKLY: &str = r#"
    [policy.escalation]
    chains = { "3" = "default" }

    [[chain]]
    name = "default"
    [[chain.step]]
    wait_minutes = 5
    notify = { rota = "ops" }

    [[rota]]
    name = "ops"
    [[rota.layer]]
    people = ["sunqi", "zhouba"]
    start = "2026-11-22T09:00"
    shift = { weeks = 1 }
    zone = "Asia/Shanghai"
"#;
const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

impl Channels {
    /// Returns the notifications of the operator about a fact.
    async fn alarms(&self, fact: &str) -> Vec<Value> {
        let inbox = self.get("inbox/admin", "admin").await;
        let shown = inbox["notifications"].as_array().expect("a list").iter();
        shown.filter(|one| one["fact"] == fact).cloned().collect()
    }

    /// Stores an address, and how often messages are sent to it.
    async fn mail_preference(&self, person: &str, frequency: &str) {
        let preferences = json!({
            "addresses": { "email": format!("{person}@example.com") },
            "channels": { "email": { "frequency": frequency } },
        });
        let (status, answer) = self.prefer(person, preferences).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Stores further definitions, and makes the checks that are due.
    async fn store_definitions(&self, definitions: &str) {
        let read = Definitions::read(definitions).expect("valid definitions");
        read.store(&self.desk.app).await.expect("stored");
        self.desk.settle().await;
    }

    /// Opens a desk with the chain. The operator and both people of the rota have addresses.
    async fn on_call() -> Self {
        let channels = Self::open_with(&[MAIL, OPERATED].concat()).await;
        for person in ["admin", "sunqi", "zhouba"] {
            channels.mail_preference(person, "immediate").await;
        }
        channels
            .store_definitions(&[OPERATED, WEEKLY].concat())
            .await;
        channels
    }
}

#[tokio::test]
async fn operators_learn_of_an_escalation_that_nobody_answered() {
    let operated = "accounts = []\n    operators = [\"admin\"]";
    let channels = Channels::open_with(&CHAIN.replace("accounts = []", operated)).await;
    let sn = channels.submit_with("3").await;
    channels.after_minutes(5).await;
    channels.after_minutes(10).await;
    assert_eq!(channels.alarms("escalation_exhausted").await.len(), 0);
    channels.after_minutes(10).await;
    let alarms = channels.alarms("escalation_exhausted").await;
    let [alarm] = alarms.as_slice() else {
        panic!("{alarms:?}")
    };
    assert_eq!(
        (&alarm["ticket"], &alarm["is_urgent"]),
        (&json!(sn), &json!(true))
    );
}

#[tokio::test]
async fn operators_learn_once_of_each_person_without_an_address() {
    let channels = Channels::open_with(&[MAIL, OPERATED].concat()).await;
    channels.submit().await;
    // Both processors have no address, and the ticket is not urgent.
    let missing = channels.alarms("address_missing").await.len();
    assert!(missing >= 2, "{missing} reports");
    assert_eq!(channels.alarms("unreached").await.len(), 0);
    channels.submit().await;
    assert_eq!(channels.alarms("address_missing").await.len(), missing);
    // The message is in the inbox of each of them.
    let inbox = channels.get("inbox/wangwu", "wangwu").await;
    assert_eq!(inbox["count"], 2);
    // A person with an address causes no report.
    channels.mail_preference("wangwu", "immediate").await;
    channels.submit().await;
    assert_eq!(channels.alarms("address_missing").await.len(), missing);
}

#[tokio::test]
async fn an_alarm_names_the_person_to_an_operator() {
    let channels = Channels::open_with(&[MAIL, OPERATED].concat()).await;
    channels.submit_with("3").await;
    for fact in ["address_missing", "unreached"] {
        let alarms = channels.alarms(fact).await;
        let names: Vec<&Value> = alarms.iter().map(|one| &one["unreached_person"]).collect();
        for name in ["zhangsan", "wangwu"] {
            assert!(names.contains(&&json!(name)), "{fact}: {names:?}");
        }
        let (id, name) = (&alarms[0]["id"], names[0].as_str().expect("a name"));
        let path = format!(
            "notifications/{}/why?language=en",
            id.as_str().expect("an id")
        );
        let explained = channels.get(&path, "admin").await;
        let text = explained["steps"][0]["text"].as_str().expect("a text");
        assert!(text.contains(name), "{text}");
    }
    // The notification of the person itself is no alarm.
    let inbox = channels.get("inbox/wangwu", "wangwu").await;
    assert_eq!(inbox["notifications"][0]["unreached_person"], Value::Null);
    // An erased person has no name, and the id is no name.
    let app = &channels.desk.app;
    let erased = app.people.find("wangwu").await.unwrap();
    assert!(app.ledger.keys.erase(&erased).await.unwrap());
    let alarms = channels.alarms("address_missing").await;
    let names: Vec<&Value> = alarms.iter().map(|one| &one["unreached_person"]).collect();
    assert!(names.contains(&&Value::Null), "{names:?}");
    assert!(!names.contains(&&json!(erased.as_str())), "{names:?}");
    // A person who is no operator any more does not see the names.
    let without = OPERATED.replace("[\"admin\"]", "[]");
    channels.store_definitions(&without).await;
    let alarms = channels.alarms("address_missing").await;
    assert!(!alarms.is_empty());
    for alarm in alarms {
        assert_eq!(alarm["unreached_person"], Value::Null);
    }
}

#[tokio::test]
async fn operators_learn_of_each_urgent_message_that_no_channel_could_send() {
    let channels = Channels::open_with(&[MAIL, OPERATED].concat()).await;
    channels.mail_preference("zhangsan", "off").await;
    channels.submit().await;
    assert_eq!(channels.alarms("unreached").await.len(), 0);
    // The one has switched the channel off, the other one has no address.
    channels.submit_with("3").await;
    let reached: Vec<Value> = channels.alarms("unreached").await;
    assert!(reached.len() >= 2, "{reached:?}");
}

#[tokio::test]
async fn a_gap_is_reported_before_the_shift_begins() {
    let channels = Channels::on_call().await;
    channels.desk.mailer.take();
    assert_eq!(channels.alarms("chain_gap").await.len(), 0);
    channels.mail_preference("zhouba", "off").await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 0);
    // The daily check finds it, six days before the shift.
    channels.after_minutes(DAY).await;
    let alarms = channels.alarms("chain_gap").await;
    assert_eq!(alarms.len(), 1);
    assert_eq!(
        (&alarms[0]["ticket"], &alarms[0]["node_name"]),
        (&Value::Null, &json!("default"))
    );
    let mails = channels.desk.mailer.take();
    let of_operator = mails.iter().filter(|mail| mail.to == "admin@example.com");
    assert_eq!(of_operator.count(), 1);
    // The problem is known, until the shift is near: 24 hours before it.
    channels.after_minutes(4 * DAY).await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 1);
    channels.after_minutes(23 * HOUR).await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 2);
    // No alarm comes after the begin of the shift.
    channels.after_minutes(DAY).await;
    channels.after_minutes(DAY).await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 2);
}

#[tokio::test]
async fn a_repaired_chain_causes_no_alarm_and_a_second_setup_no_check() {
    let channels = Channels::on_call().await;
    let head = channels.desk.head().await;
    channels
        .store_definitions(&[OPERATED, WEEKLY].concat())
        .await;
    assert_eq!(channels.desk.head().await, head, "nothing was changed");
    channels.mail_preference("zhouba", "off").await;
    channels.mail_preference("zhouba", "immediate").await;
    channels.after_minutes(DAY).await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 0);
    // A changed rota is checked at once.
    let changed = WEEKLY.replace("\"zhouba\"", "\"zhaoliu\"");
    channels
        .store_definitions(&[OPERATED, &changed].concat())
        .await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 1);
}

#[tokio::test]
async fn a_change_in_the_api_is_checked_at_once() {
    let channels = Channels::on_call().await;
    let mut rota = channels.get("rotas/ops", "admin").await["definition"].clone();
    rota["layer"][0]["people"] = json!(["sunqi", "zhaoliu"]);
    channels.must_change("rotas/ops", rota).await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 1);
}

#[tokio::test]
async fn a_stopped_account_and_a_missing_secret_are_gaps() {
    let channels = Channels::on_call().await;
    let reason = json!({ "reason": "wrong texts" });
    let stop = channels
        .desk
        .v1("POST", "channel-accounts/mail/stop", "admin", reason);
    assert_eq!(stop.await.0, 200);
    let path = "escalation-chains/default/check";
    let checked = channels.get(path, "admin").await;
    assert_eq!(
        checked["problems"][0]["text"],
        "the channel account mail is stopped"
    );
    channels.after_minutes(DAY).await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 1);
    let start = channels
        .desk
        .v1("POST", "channel-accounts/mail/start", "admin", json!({}));
    assert_eq!(start.await.0, 200);
    channels.after_minutes(DAY).await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 1);
    // The key store has no secret for the second account of the step.
    let robot = "
        [[account]]
        name = \"second_robot\"
        channel = \"dingtalk_robot\"
        url = \"http://robot.example/robot/send\"
    ";
    let step = "notify = { rota = \"ops\" }";
    let chain = WEEKLY.replace(
        step,
        &format!("{step}\n    accounts = [\"mail\", \"second_robot\"]"),
    );
    channels
        .store_definitions(&[robot, OPERATED, &chain].concat())
        .await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 2);
}

#[tokio::test]
async fn checks_go_on_after_a_loss_of_the_views() {
    let channels = Channels::on_call().await;
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    channels.mail_preference("sunqi", "off").await;
    channels.desk.clock.advance(DAY * MINUTE_MS);
    channels.desk.settle().await;
    assert_eq!(channels.alarms("chain_gap").await.len(), 1);
}
