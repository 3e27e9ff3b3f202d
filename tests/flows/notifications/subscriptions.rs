//! These tests check the subscriptions of managers: key tickets by a condition, and people with many open tickets.

use functions::app::notifications::definitions::Definitions;
use serde_json::{Value, json};

use super::Channels;

const KEY_TICKETS: &str = r#"
    [policy]
    accounts = []
    [[policy.subscription]]
    name = "key_tickets"
    people = ["admin"]
    on = ["waiting", "priority_changed", "ended"]
    when = [{ key = "ticket_priority", value = "3" }]
"#;
const LOAD: &str = r#"
    [policy]
    accounts = []
    [[policy.subscription]]
    name = "load"
    people = ["admin"]
    load_above = 1
"#;

impl Channels {
    /// Returns the notifications of a person with the given fact, latest first.
    async fn with_fact(&self, person: &str, fact: &str) -> Vec<Value> {
        self.desk.settle().await;
        let inbox = self.get(&format!("inbox/{person}"), "admin").await;
        let shown = inbox["notifications"].as_array().expect("notifications");
        let found = shown.iter().filter(|one| one["fact"] == fact);
        found.cloned().collect()
    }
}

#[tokio::test]
async fn a_manager_is_notified_of_tickets_that_meet_the_condition() {
    let channels = Channels::open_with(KEY_TICKETS).await;
    channels.submit_with("1").await;
    assert_eq!(channels.with_fact("admin", "subscribed").await.len(), 0);
    let sn = channels.submit_with("3").await;
    let found = channels.with_fact("admin", "subscribed").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["ticket"], &found[0]["role"]),
        (&json!(sn), &json!("subscriber"))
    );
    let id = found[0]["id"].as_str().expect("an id");
    let why = channels
        .get(&format!("notifications/{id}/why?language=en"), "admin")
        .await;
    let steps = why["steps"].to_string();
    assert!(steps.contains("The subscription"), "{steps}");
    assert!(steps.contains("key_tickets"), "{steps}");
    let path = format!("tickets/{sn}/why/admin?language=en");
    let shown = channels.get(&path, "admin").await;
    let mut events = shown["events"].as_array().expect("events").iter();
    let entered = events.rfind(|one| one["event"] == "ticket.node_entered");
    assert_eq!(entered.expect("the node is entered")["reason"], "notified");
}

#[tokio::test]
async fn a_new_subscription_does_not_announce_old_events_after_a_loss_of_the_views() {
    let channels = Channels::open_with("[policy]\naccounts = []\n").await;
    channels.submit_with("3").await;
    channels.desk.clock.advance(2 * 24 * 3_600_000);
    let definitions = Definitions::read(KEY_TICKETS).expect("a valid file");
    definitions.store(&channels.desk.app).await.expect("stored");
    let channels = channels.restart_without_views().await;
    assert_eq!(channels.with_fact("admin", "subscribed").await.len(), 0);
    channels.submit_with("3").await;
    assert_eq!(channels.with_fact("admin", "subscribed").await.len(), 1);
}

#[tokio::test]
async fn a_changed_priority_can_make_a_ticket_a_key_ticket() {
    let channels = Channels::open_with(KEY_TICKETS).await;
    let sn = channels.submit_with("1").await;
    let fields = tests::form(&[("impact", "3"), ("urgency", "3")]);
    let body = json!({ "sn": sn, "operator": "lisi", "fields": fields });
    channels.desk.must("edit_field", body).await;
    assert_eq!(channels.with_fact("admin", "subscribed").await.len(), 1);
}

#[tokio::test]
async fn a_subscriber_who_may_not_read_the_ticket_gets_nothing() {
    let policy = KEY_TICKETS.replace("admin", "sunqi");
    let channels = Channels::open_with(&policy).await;
    let (status, answer) = channels.prefer("sunqi", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let sn = channels.submit_with("3").await;
    assert_eq!(channels.with_fact("sunqi", "subscribed").await.len(), 0);
    let path = format!("notifications?ticket={sn}");
    let all = channels.get(&path, "admin").await;
    let mut all = all["notifications"].as_array().expect("a list").iter();
    let refused = all.find(|one| one["fact"] == "subscribed");
    let refused = refused.expect("the decision is recorded");
    assert_eq!(
        (&refused["outcome"], &refused["reason"]),
        (
            &json!("not_needed"),
            &json!("the person may not read the ticket")
        )
    );
}

#[tokio::test]
async fn a_person_with_many_open_tickets_is_reported_once_a_day() {
    let channels = Channels::open_with(LOAD).await;
    channels.submit().await;
    assert_eq!(channels.with_fact("admin", "load_high").await.len(), 0);
    // Each ticket waits for two people, and both now have two open tickets.
    channels.submit().await;
    assert_eq!(channels.with_fact("admin", "load_high").await.len(), 2);
    channels.submit().await;
    assert_eq!(channels.with_fact("admin", "load_high").await.len(), 2);
    channels.desk.clock.advance(24 * 3_600_000);
    channels.submit().await;
    assert_eq!(channels.with_fact("admin", "load_high").await.len(), 4);
}
