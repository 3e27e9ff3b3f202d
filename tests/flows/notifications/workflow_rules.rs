//! These tests check the notification settings of a workflow: `notify_rule`, `notify_freq` and `notify`.

use serde_json::{Value, json};

use super::{Channels, MAIL, ROBOT};

const POLICY: &str = "[policy]\naccounts = []\n";
const HOUR_MS: i64 = 3_600_000;

impl Channels {
    /// Opens a ticket that waits for zhangsan. The workflow has the given settings. Returns the ticket number.
    pub(super) async fn with_rule(&self, settings: Value) -> String {
        let mut workflow = json!({
            "name": "通知规则",
            "nodes": [
                { "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" },
                { "id": 3, "type": "NORMAL", "name": "处理", "processors_type": "PERSON", "processors": "zhangsan" },
                { "id": 9, "type": "END" },
            ],
            "edges": [
                { "from_state": 1, "to_state": 2 },
                { "from_state": 2, "to_state": 3 },
                { "from_state": 3, "to_state": 9 },
            ],
            "fields": [{
                "id": 1, "key": "title", "name": "标题", "type": "STRING",
                "validate_type": "REQUIRE", "state_id": 2,
            }],
        });
        for (member, value) in settings.as_object().expect("an object") {
            workflow[member] = value.clone();
        }
        let import =
            json!({ "name": "通知规则", "key": "request", "catalog_id": 4, "workflow": workflow });
        let service = self.desk.must("import_service", import).await["id"].clone();
        let fields = tests::form(&[("title", "t")]);
        let request = json!({ "service_id": service, "creator": "lisi", "fields": fields });
        let opened = self.desk.must("create_ticket", request).await;
        self.desk.settle().await;
        opened["sn"].as_str().expect("a number").to_owned()
    }

    async fn after_hours(&self, hours: i64) {
        self.desk.clock.advance(hours * HOUR_MS);
        self.desk.settle().await;
    }

    /// Returns the number of reminders in the inbox of zhangsan.
    async fn reminders(&self) -> usize {
        let inbox = self.get("inbox/zhangsan", "zhangsan").await;
        let shown = inbox["notifications"].as_array().expect("notifications");
        let reminders = shown.iter().filter(|one| one["fact"] == "still_waiting");
        reminders.count()
    }
}

#[tokio::test]
async fn a_waiting_node_reminds_its_people_until_the_ticket_leaves_it() {
    let channels = Channels::open_with(POLICY).await;
    let rule = json!({ "notify_rule": "RETRY", "notify_freq": 7_200 });
    let sn = channels.with_rule(rule).await;
    channels.after_hours(1).await;
    assert_eq!(channels.reminders().await, 0);
    channels.after_hours(1).await;
    assert_eq!(channels.reminders().await, 1);
    channels.after_hours(2).await;
    assert_eq!(channels.reminders().await, 2);
    let channels = channels.restart_without_views().await;
    channels.after_hours(2).await;
    assert_eq!(channels.reminders().await, 3);
    let body = json!({ "node": 3 });
    channels
        .desk
        .operate(&json!(sn), "submit", "zhangsan", body)
        .await;
    channels.after_hours(24).await;
    assert_eq!(channels.reminders().await, 3);
}

#[tokio::test]
async fn a_suspended_ticket_reminds_nobody() {
    let channels = Channels::open_with(POLICY).await;
    let rule = json!({ "notify_rule": "RETRY", "notify_freq": 7_200 });
    let sn = json!(channels.with_rule(rule).await);
    let reason = json!({ "message": "window" });
    channels
        .desk
        .operate(&sn, "suspend", "admin", reason.clone())
        .await;
    channels.after_hours(2).await;
    assert_eq!(channels.reminders().await, 0);
    channels.desk.operate(&sn, "resume", "admin", reason).await;
    channels.after_hours(2).await;
    assert_eq!(channels.reminders().await, 1);
}

#[tokio::test]
async fn quiet_hours_hold_one_reminder_and_not_all_of_them() {
    let channels = Channels::open_with(&[MAIL, "[policy]\naccounts = [\"mail\"]\n"].concat()).await;
    // The test clock starts at 10:00 in Shanghai.
    let quiet = json!({ "from": "11:00", "to": "19:00" });
    channels.reachable(Some(quiet)).await;
    let rule = json!({ "notify_rule": "RETRY", "notify_freq": 7_200 });
    channels.with_rule(rule).await;
    channels.desk.mailer.take();
    for _ in 0..4 {
        channels.after_hours(2).await;
    }
    assert_eq!(channels.desk.mailer.take().len(), 0, "it is 18:00");
    assert_eq!(channels.reminders().await, 1);
    channels.after_hours(1).await;
    assert_eq!(channels.desk.mailer.take().len(), 1, "it is 19:00");
}

#[tokio::test]
async fn a_batch_contains_one_reminder_and_not_all_of_them() {
    let channels = Channels::open_with(&[MAIL, "[policy]\naccounts = [\"mail\"]\n"].concat()).await;
    let preferences = json!({
        "addresses": { "email": "zhangsan@example.com" },
        "channels": { "email": { "frequency": "batch", "batch_times": ["20:00"] } },
    });
    let (status, answer) = channels.prefer("zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
    let rule = json!({ "notify_rule": "RETRY", "notify_freq": 7_200 });
    channels.with_rule(rule).await;
    for _ in 0..4 {
        channels.after_hours(2).await;
    }
    assert_eq!(channels.reminders().await, 1, "it is 18:00");
}

#[tokio::test]
async fn a_workflow_without_notifications_notifies_nobody_of_its_work() {
    let channels = Channels::open_with(POLICY).await;
    let sn = channels.with_rule(json!({ "notify_rule": "NONE" })).await;
    let inbox = channels.get("inbox/zhangsan", "zhangsan").await;
    assert_eq!(inbox["notifications"], json!([]));
    let path = format!("tickets/{sn}/why/zhangsan?language=en");
    let shown = channels.get(&path, "zhangsan").await;
    let mut events = shown["events"].as_array().expect("events").iter();
    let entered = events.rfind(|one| one["event"] == "ticket.node_entered");
    let entered = entered.expect("the node is entered");
    assert_eq!(entered["reason"], "silent_workflow");
    let all = channels
        .get(&format!("notifications?ticket={sn}"), "admin")
        .await;
    let id = all["notifications"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let why = channels
        .get(&format!("notifications/{id}/why?language=en"), "admin")
        .await;
    let steps = why["steps"].to_string();
    assert!(steps.contains("`notify_rule` is `NONE`"), "{steps}");
}

#[tokio::test]
async fn the_kinds_of_a_workflow_select_the_channel_accounts() {
    let both = "[policy]\naccounts = [\"mail\", \"ops_robot\"]\n";
    let channels = Channels::open_with(&[MAIL, ROBOT, both].concat()).await;
    channels.reachable(None).await;
    channels
        .with_rule(json!({ "notify_rule": "ONCE", "notify": ["EMAIL"] }))
        .await;
    assert_eq!(channels.events_of("ops_robot").await, [""; 0]);
    assert_ne!(channels.events_of("mail").await, [""; 0]);
}

#[tokio::test]
async fn kinds_without_an_account_select_all_accounts() {
    let both = "[policy]\naccounts = [\"mail\", \"ops_robot\"]\n";
    let channels = Channels::open_with(&[MAIL, ROBOT, both].concat()).await;
    channels.reachable(None).await;
    channels
        .with_rule(json!({ "notify_rule": "ONCE", "notify": ["SMS"] }))
        .await;
    assert_ne!(
        channels.events_of("ops_robot").await,
        [""; 0],
        "no account of the policy sends short messages, so all accounts send"
    );
}

#[tokio::test]
async fn the_settings_are_returned_unchanged() {
    let channels = Channels::open_with(POLICY).await;
    let rule = json!({ "notify_rule": "RETRY", "notify_freq": 7_200, "notify": ["EMAIL", 2] });
    let sn = channels.with_rule(rule.clone()).await;
    let ticket = channels.get(&format!("tickets/{sn}"), "admin").await;
    let of = |member: &str| ticket[member].as_i64().expect("a number");
    let (workflow, version) = (of("workflow"), of("workflow_version"));
    let path = format!("workflows/{workflow}/versions/{version}/export");
    let exported = channels.get(&path, "admin").await;
    for member in ["notify_rule", "notify_freq", "notify"] {
        assert_eq!(exported[0][member], rule[member], "{member}");
    }
}
