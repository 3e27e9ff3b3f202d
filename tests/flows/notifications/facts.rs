//! These tests check which events of a ticket notify which people, and which do not.

use serde_json::{Value, json};

use super::Channels;

const POLICY: &str = "[policy]\naccounts = []\noperators = [\"admin\", \"nobody-of-this-name\"]\n";

impl Channels {
    /// Returns the facts in the inbox of a person with the reasons, from the oldest to the newest.
    async fn facts(&self, person: &str) -> Vec<String> {
        self.desk.settle().await;
        let inbox = self.get(&format!("inbox/{person}"), person).await;
        let shown = inbox["notifications"].as_array().expect("notifications");
        let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let facts = shown.iter().rev();
        facts
            .map(|one| format!("{} {}", text(one, "fact"), text(one, "role")))
            .collect()
    }

    async fn act(&self, sn: &str, operation: &str, user: &str, body: Value) {
        self.desk.clock.advance(1_000);
        self.desk.operate(&json!(sn), operation, user, body).await;
        self.desk.settle().await;
    }
}

#[tokio::test]
async fn each_event_notifies_the_people_whom_it_concerns() {
    let channels = Channels::open_with(POLICY).await;
    let sn = channels.submit().await;
    channels
        .act(&sn, "follow", "lisi", json!({ "people": ["sunqi"] }))
        .await;
    let remark = json!({ "text": "see the list", "people": ["zhaoliu"] });
    channels.act(&sn, "remark", "zhangsan", remark).await;
    channels
        .act(&sn, "suspend", "admin", json!({ "message": "audit" }))
        .await;
    channels
        .act(&sn, "resume", "admin", json!({ "message": "done" }))
        .await;
    channels
        .act(&sn, "terminate", "admin", json!({ "message": "duplicate" }))
        .await;
    let facts = async |person: &str| channels.facts(person).await;
    assert_eq!(
        facts("zhangsan").await,
        [
            "approval_needed processor",
            "suspended processor",
            "resumed processor",
        ]
    );
    assert_eq!(
        facts("wangwu").await,
        [
            "approval_needed processor",
            "commented processor",
            "suspended processor",
            "resumed processor",
        ]
    );
    assert_eq!(
        facts("lisi").await,
        [
            "commented requester",
            "suspended requester",
            "resumed requester",
            "terminated requester",
        ]
    );
    assert_eq!(
        facts("sunqi").await,
        [
            "followed follower",
            "commented follower",
            "suspended follower",
            "resumed follower",
            "terminated follower",
        ]
    );
    assert_eq!(facts("zhaoliu").await, ["mentioned mentioned"]);
    assert_eq!(facts("admin").await, [""; 0], "own actions notify nobody");
}

#[tokio::test]
async fn the_end_of_a_ticket_notifies_its_requester_and_its_followers() {
    let channels = Channels::open_with(POLICY).await;
    let sn = channels.submit().await;
    channels
        .act(&sn, "follow", "lisi", json!({ "people": ["sunqi"] }))
        .await;
    let body = json!({ "node": 3, "pass": true, "message": "ok" });
    channels.act(&sn, "decide", "zhangsan", body).await;
    channels
        .act(&sn, "close", "admin", json!({ "status": "FINISHED" }))
        .await;
    channels.desk.settle().await;
    let facts = channels.facts("lisi").await;
    assert!(
        facts.last().is_some_and(
            |fact| fact.starts_with("finished ") || fact.starts_with("rating_invited ")
        ),
        "{facts:?}"
    );
    let facts = channels.facts("sunqi").await;
    assert_eq!(facts.last().map(String::as_str), Some("finished follower"));
}

#[tokio::test]
async fn a_request_switches_the_messages_of_its_ticket_off() {
    let channels = Channels::open_with(POLICY).await;
    let mut request = tests::approval_request();
    request["meta"] = json!({ "notify_config": {
        "enable_follow_notify": false, "enable_finished_notify": false,
    } });
    let opened = channels.desk.must("create_ticket", request).await;
    let sn = opened["sn"].as_str().expect("a number").to_owned();
    channels
        .act(&sn, "follow", "lisi", json!({ "people": ["sunqi"] }))
        .await;
    let body = json!({ "node": 3, "pass": true, "message": "ok" });
    channels.act(&sn, "decide", "zhangsan", body).await;
    channels
        .act(&sn, "close", "admin", json!({ "status": "FINISHED" }))
        .await;
    let facts = channels.facts("lisi").await;
    assert!(
        facts
            .iter()
            .all(|fact| !fact.starts_with("finished") && !fact.starts_with("rating")),
        "{facts:?}"
    );
    assert_eq!(channels.facts("sunqi").await, ["followed follower"]);
    assert_eq!(
        channels.facts("zhangsan").await,
        ["approval_needed processor"]
    );
}

#[tokio::test]
async fn a_claim_and_a_withdrawal_notify_nobody() {
    let channels = Channels::open_with(POLICY).await;
    let sn = channels.submit().await;
    channels
        .act(&sn, "follow", "lisi", json!({ "people": ["sunqi"] }))
        .await;
    channels
        .act(&sn, "withdraw", "lisi", json!({ "message": "not needed" }))
        .await;
    assert_eq!(channels.facts("sunqi").await, ["followed follower"]);
    let facts = channels.facts("zhangsan").await;
    assert_eq!(facts, ["approval_needed processor"]);
}

#[tokio::test]
async fn operators_are_notified_of_a_callback_that_nobody_accepts() {
    let channels = Channels::open_with(POLICY).await;
    let mut request = tests::approval_request();
    request["meta"] = json!({ "callback_url": "http://receiver.example/callback" });
    let opened = channels.desk.must("create_ticket", request).await;
    let sn = opened["sn"].as_str().expect("a number").to_owned();
    channels
        .act(&sn, "terminate", "zhangsan", json!({ "message": "no" }))
        .await;
    for _ in 0..20 {
        channels.desk.clock.advance(5 * 3_600_000);
        channels.desk.settle().await;
    }
    let facts = channels.facts("admin").await;
    assert_eq!(facts, ["callback_failed operator"]);
}

#[tokio::test]
async fn a_reminder_notifies_the_people_who_must_act() {
    let channels = Channels::open_with(POLICY).await;
    let workflow = json!({
        "name": "督办", "is_supervise_needed": true, "supervise_type": "PERSON", "supervisor": "chuyi",
        "nodes": [
            { "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" },
            { "id": 3, "type": "NORMAL", "name": "处理", "processors_type": "PERSON", "processors": "wangwu" },
            { "id": 9, "type": "END" },
        ],
        "edges": [
            { "from_state": 1, "to_state": 2 }, { "from_state": 2, "to_state": 3 }, { "from_state": 3, "to_state": 9 },
        ],
        "fields": [{ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 }],
    });
    let import = json!({ "name": "督办", "key": "request", "catalog_id": 4, "workflow": workflow });
    let service = channels.desk.must("import_service", import).await["id"].clone();
    let request = json!({ "service_id": service, "creator": "lisi", "fields": tests::form(&[("title", "t")]) });
    let opened = channels.desk.must("create_ticket", request).await;
    let sn = opened["sn"].as_str().expect("a number").to_owned();
    channels
        .act(&sn, "remind", "chuyi", json!({ "message": "急" }))
        .await;
    assert_eq!(
        channels.facts("wangwu").await,
        ["work_assigned processor", "reminded processor"]
    );
}
