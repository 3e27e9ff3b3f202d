//! These tests check the states of notifications in the inbox: their lists and counts, the actions on one and on many
//! notifications, and the snooze.

use functions::app::times;
use serde_json::{Value, json};

use super::Channels;

const HOUR_MS: i64 = 3_600_000;

impl Channels {
    async fn inbox_count(&self, list: &str) -> Value {
        let counts = self.get("inbox/zhangsan/counts", "zhangsan").await;
        counts[list].clone()
    }

    async fn inbox_ids(&self, query: &str) -> Vec<String> {
        let path = format!("inbox/zhangsan?{query}");
        let page = self.get(&path, "zhangsan").await;
        let shown = page["notifications"].as_array().expect("a list").iter();
        shown
            .map(|one| one["id"].as_str().expect("an id").to_owned())
            .collect()
    }

    async fn act_on(&self, id: &str, action: &str, body: Value) -> (u16, Value) {
        let path = format!("notifications/{id}/{action}");
        self.desk.v1("POST", &path, "zhangsan", body).await
    }

    async fn act_on_many(&self, user: &str, body: Value) -> (u16, Value) {
        let path = "inbox/zhangsan/actions";
        self.desk.v1("POST", path, user, body).await
    }

    /// Returns the time in `ms` milliseconds as text.
    fn time_in_ms(&self, ms: i64) -> String {
        times::rfc3339(self.desk.app.ledger.clock.now().plus_ms(ms))
    }
}

#[tokio::test]
async fn each_state_has_its_lists_and_counts() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    channels.submit().await;
    let id = channels.inbox_ids("").await.remove(0);
    for (action, state, lists) in [
        ("", "unseen", [1, 1, 1, 0, 0]),
        ("seen", "seen", [1, 1, 0, 0, 0]),
        ("read", "read", [1, 0, 0, 0, 0]),
        ("seen", "read", [1, 0, 0, 0, 0]),
        ("unread", "seen", [1, 1, 0, 0, 0]),
        ("archive", "archived", [0, 0, 0, 1, 0]),
        ("restore", "read", [1, 0, 0, 0, 0]),
        ("snooze", "snoozed", [0, 0, 0, 0, 1]),
        ("restore", "unseen", [1, 1, 1, 0, 0]),
    ] {
        if !action.is_empty() {
            let body = match action {
                "snooze" => json!({ "until": channels.time_in_ms(HOUR_MS) }),
                _ => Value::Null,
            };
            let (status, shown) = channels.act_on(&id, action, body).await;
            assert_eq!((status, &shown["inbox"]), (200, &json!(state)), "{shown}");
        }
        let names = ["all", "unread", "unseen", "archived", "snoozed"];
        for (name, expected) in names.into_iter().zip(lists) {
            assert_eq!(
                channels.inbox_count(name).await,
                expected,
                "{action}: {name}"
            );
            let listed = channels.inbox_ids(&format!("state={name}")).await.len();
            assert_eq!(listed, expected, "{action}: {name}");
        }
    }
    let why = channels.why().await;
    let changes = why
        .iter()
        .filter(|(event, ..)| event == "notification.inbox_changed");
    assert_eq!(changes.count(), 6, "{why:?}");
}

#[tokio::test]
async fn a_snoozed_notification_returns_at_the_top_after_a_loss_of_the_views() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    channels.submit().await;
    let id = channels.inbox_ids("").await.remove(0);
    let until = channels.time_in_ms(HOUR_MS);
    channels
        .act_on(&id, "snooze", json!({ "until": until }))
        .await;
    channels.desk.clock.advance(60_000);
    channels.submit().await;
    let newer = channels.inbox_ids("").await;
    assert_eq!(newer.len(), 1);
    let channels = channels.restart_without_views().await;
    channels.desk.clock.advance(HOUR_MS - 60_001);
    channels.desk.settle().await;
    assert_eq!(channels.inbox_ids("").await, newer);
    channels.desk.clock.advance(1);
    channels.desk.settle().await;
    assert_eq!(channels.inbox_ids("").await, [id.clone(), newer[0].clone()]);
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["inbox"], &shown["snoozed_until"]),
        (&json!("unseen"), &Value::Null)
    );
}

#[tokio::test]
async fn wrong_snoozes_are_named_and_not_stored() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    channels.submit().await;
    let id = channels.inbox_ids("").await.remove(0);
    for until in [
        channels.time_in_ms(0),
        channels.time_in_ms(-1),
        channels.time_in_ms(367 * 24 * HOUR_MS),
        "tomorrow".to_owned(),
        "2030-01-01".to_owned(),
    ] {
        let (status, problem) = channels
            .act_on(&id, "snooze", json!({ "until": until }))
            .await;
        assert_eq!(status, 400, "{until}: {problem}");
        assert_eq!(problem["errors"][0]["field"], "/until", "{problem}");
    }
    let with_until =
        json!({ "action": "read", "notifications": [id], "until": channels.time_in_ms(1) });
    let (status, problem) = channels.act_on_many("zhangsan", with_until).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (400, &json!("/until"))
    );
    assert_eq!(channels.inbox_count("unseen").await, 1);
}

#[tokio::test]
async fn one_request_changes_many_notifications_of_its_person_only() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    for _ in 0..3 {
        channels.submit().await;
        channels.desk.clock.advance(1_000);
    }
    let ids = channels.inbox_ids("").await;
    let foreign = channels.newest("wangwu").await["id"].clone();
    let body = json!({ "action": "archive", "notifications": [ids[0], foreign, "x"] });
    let (status, result) = channels.act_on_many("zhangsan", body).await;
    assert_eq!(status, 200, "{result}");
    let expected = json!({ "changed": 1, "remaining": 0, "unknown": [foreign, "x"] });
    assert_eq!(result, expected);
    assert_eq!(channels.newest("wangwu").await["inbox"], "unseen");
    // The newest notification arrived after the list that the person has seen.
    let up_to = channels.get("inbox/zhangsan", "zhangsan").await["notifications"][1]["at"].clone();
    let body = json!({ "action": "read", "up_to": up_to });
    let (status, result) = channels.act_on_many("zhangsan", body).await;
    assert_eq!((status, &result["changed"]), (200, &json!(1)), "{result}");
    assert_eq!(channels.inbox_ids("state=unread").await, [ids[1].clone()]);
    for (body, field) in [
        (json!({ "action": "read" }), "/notifications"),
        (
            json!({ "action": "snooze", "up_to": up_to, "until": channels.time_in_ms(1) }),
            "/action",
        ),
        (
            json!({ "action": "read", "up_to": up_to, "notifications": [] }),
            "/up_to",
        ),
        (
            json!({ "action": "read", "notifications": vec!["x"; 101] }),
            "/notifications",
        ),
    ] {
        let (status, problem) = channels.act_on_many("zhangsan", body.clone()).await;
        assert_eq!(status, 400, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{body}: {problem}");
    }
    let body = json!({ "action": "read", "notifications": ids });
    let (status, _) = channels.act_on_many("wangwu", body.clone()).await;
    assert_eq!(status, 403);
    let (status, _) = channels.act_on_many("admin", body).await;
    assert_eq!(status, 200, "superusers may do this");
}

#[tokio::test]
async fn lists_are_filtered_by_category_urgency_and_ticket() {
    let channels = Channels::open_with("[policy]\naccounts = []\nurgent = [\"3\"]").await;
    let normal = channels.submit_with("1").await;
    channels.desk.clock.advance(1_000);
    let urgent = channels.submit_with("3").await;
    channels.desk.clock.advance(1_000);
    let remark = json!({ "text": "please hurry" });
    channels
        .desk
        .operate(&json!(normal), "remark", "lisi", remark)
        .await;
    channels.desk.settle().await;
    let count = async |query: &str| {
        let path = format!("inbox/zhangsan?{query}");
        channels.get(&path, "zhangsan").await["count"].clone()
    };
    let all = count("").await;
    assert_eq!(all, 3);
    assert_eq!(count("category=approval").await, 2);
    assert_eq!(count("category=commented").await, 1);
    assert_eq!(count("category=approval,commented").await, 3);
    assert_eq!(count(&format!("ticket={normal}")).await, 2);
    assert_eq!(
        count(&format!("ticket={normal}&category=approval&page_size=1")).await,
        1
    );
    assert_eq!(count("urgent=true").await, 1);
    let newest = channels.get("inbox/zhangsan?urgent=true", "zhangsan").await;
    assert_eq!(newest["notifications"][0]["ticket"], urgent);
}
