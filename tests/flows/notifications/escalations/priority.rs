//! These tests check what a changed priority of a waiting ticket does to its escalations.

use serde_json::{Value, json};

use super::{CHAIN, Channels, PEOPLE};

impl Channels {
    /// Sets the impact and the urgency of a ticket, which determine its priority.
    async fn set_level(&self, sn: &str, level: &str) {
        let fields = tests::form(&[("impact", level), ("urgency", level)]);
        let body = json!({ "sn": sn, "operator": "lisi", "fields": fields });
        self.desk.must("edit_field", body).await;
        self.desk.settle().await;
    }
}

#[tokio::test]
async fn a_changed_priority_starts_the_chain_of_the_new_priority() {
    let chains = "chains = { \"1\" = \"slow\", \"3\" = \"default\" }";
    let slow = r#"
    [[chain]]
    name = "slow"
    [[chain.step]]
    wait_minutes = 60
    notify = { person = "zhouba" }
"#;
    let policy = CHAIN.replace("chains = { \"3\" = \"default\" }", chains) + slow;
    let channels = Channels::open_with(&policy).await;
    let sn = channels.submit_with("1").await;
    assert_eq!(channels.escalation(&sn).await["chain"], "slow");
    channels.after_minutes(10).await;
    channels.set_level(&sn, "3").await;
    let all = channels.escalations(&sn).await;
    let states: Vec<(&Value, &Value, &Value)> = all
        .iter()
        .map(|one| (&one["chain"], &one["state"], &one["reason"]))
        .collect();
    assert_eq!(
        states,
        [
            (&json!("default"), &json!("waiting"), &Value::Null),
            (
                &json!("slow"),
                &json!("stopped"),
                &json!("priority_changed")
            ),
        ]
    );
    channels.after_minutes(4).await;
    assert_eq!(channels.escalated(&["sunqi", "zhouba"]).await, [0, 0]);
    channels.after_minutes(1).await;
    assert_eq!(channels.escalated(&["sunqi", "zhouba"]).await, [1, 0]);
    channels.after_minutes(9).await;
    channels.set_level(&sn, "1").await;
    channels.after_minutes(59).await;
    assert_eq!(channels.escalated(&["sunqi", "zhouba"]).await, [1, 0]);
    channels.after_minutes(1).await;
    assert_eq!(channels.escalated(&["sunqi", "zhouba"]).await, [1, 1]);
}

#[tokio::test]
async fn a_changed_priority_with_the_same_chain_changes_nothing() {
    let chains = "chains = { \"1\" = \"default\", \"3\" = \"default\" }";
    let policy = CHAIN.replace("chains = { \"3\" = \"default\" }", chains);
    let channels = Channels::open_with(&policy).await;
    let sn = channels.submit_with("1").await;
    channels.after_minutes(5).await;
    channels.set_level(&sn, "3").await;
    assert_eq!(channels.escalations(&sn).await.len(), 1);
    channels.after_minutes(10).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 1, 0]);
}

/// Both events are in the ledger before the desk processes the first one. Each of them requests the chain of the new
/// priority.
#[tokio::test]
async fn a_priority_that_changes_directly_after_the_entry_starts_its_chain_once() {
    let channels = Channels::open_with(CHAIN).await;
    let mut request = tests::approval_request();
    for field in request["fields"].as_array_mut().expect("fields") {
        if field["key"] == "impact" || field["key"] == "urgency" {
            field["value"] = json!("1");
        }
    }
    let opened = channels.desk.must("create_ticket", request).await;
    let sn = opened["sn"].as_str().expect("a number").to_owned();
    channels.set_level(&sn, "3").await;
    assert_eq!(channels.escalations(&sn).await.len(), 1);
    channels.after_minutes(5).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 0, 0]);
    // After a loss of the views, the desk reads both events again, also when the chain has ended.
    let channels = channels.restart_without_views().await;
    channels.after_minutes(10).await;
    channels.after_minutes(10).await;
    assert_eq!(channels.escalation(&sn).await["state"], "exhausted");
    let channels = channels.restart_without_views().await;
    channels.after_minutes(5).await;
    assert_eq!(channels.escalations(&sn).await.len(), 1);
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 1, 1]);
}

/// The desk processes the end of the suspension before it has stopped the chain.
#[tokio::test]
async fn a_short_suspension_starts_the_chain_again_and_leaves_one_running() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit_with("3").await;
    channels.after_minutes(4).await;
    for (operation, text) in [("suspend", "window"), ("resume", "done")] {
        let body = json!({ "message": text });
        let desk = &channels.desk;
        desk.operate(&json!(sn), operation, "admin", body).await;
    }
    channels.desk.settle().await;
    let all = channels.escalations(&sn).await;
    let running = all.iter().filter(|one| one["state"] == "waiting");
    assert_eq!((all.len(), running.count()), (2, 1), "{all:?}");
    channels.after_minutes(4).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [0, 0, 0]);
    channels.after_minutes(1).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 0, 0]);
}

#[tokio::test]
async fn a_changed_priority_without_a_chain_stops_the_escalation() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit_with("3").await;
    channels.set_level(&sn, "1").await;
    assert_eq!(channels.escalation(&sn).await["reason"], "priority_changed");
    channels.after_minutes(60).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [0, 0, 0]);
}

#[tokio::test]
async fn a_changed_priority_does_not_escalate_an_acknowledged_node() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit_with("1").await;
    let body = json!({ "node": 3 });
    channels.at_node(&sn, "acknowledge", "zhangsan", body).await;
    channels.set_level(&sn, "3").await;
    assert_eq!(channels.escalations(&sn).await.len(), 0);
}
