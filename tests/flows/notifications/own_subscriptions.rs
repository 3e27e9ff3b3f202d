//! These tests check the subscriptions that people make themselves.

use functions::app::erasure;
use functions::registry::is_configuration;
use serde_json::{Value, json};

use super::{Channels, ROBOT};
use crate::console::{hidden, logged_in};

const POLICY: &str = "[policy]\naccounts = []\n";

/// A subscription to tickets with the priority 3.
fn key_tickets() -> Value {
    json!({
        "on": ["waiting", "ended"],
        "when": [{ "key": "ticket_priority", "operator": "==", "value": "3" }],
    })
}

impl Channels {
    /// Stores a subscription of a person, who sends the request. Returns the status and the answer.
    async fn subscribe(&self, person: &str, name: &str, body: Value) -> (u16, Value) {
        let path = format!("people/{person}/subscriptions/{name}");
        let answer = self.desk.v1("PUT", &path, person, body).await;
        self.desk.settle().await;
        answer
    }

    /// Returns the number of notifications of a person because of subscriptions.
    async fn subscribed(&self, person: &str) -> usize {
        let inbox = self.get(&format!("inbox/{person}"), "admin").await;
        let shown = inbox["notifications"].as_array().expect("notifications");
        let of_subscription = shown.iter().filter(|one| one["fact"] == "subscribed");
        of_subscription.count()
    }
}

#[tokio::test]
async fn a_person_is_notified_of_tickets_that_meet_the_own_condition() {
    let channels = Channels::open_with(POLICY).await;
    let (status, stored) = channels
        .subscribe("admin", "key_tickets", key_tickets())
        .await;
    assert_eq!(status, 200, "{stored}");
    assert_eq!(
        (
            &stored["on"],
            &stored["when"][0]["operator"],
            &stored["paused"]
        ),
        (&json!(["waiting", "ended"]), &json!("=="), &json!(false))
    );
    channels.submit_with("1").await;
    assert_eq!(channels.subscribed("admin").await, 0);
    channels.desk.clock.advance(1_000);
    let sn = channels.submit_with("3").await;
    assert_eq!(channels.subscribed("admin").await, 1);
    let newest = channels.newest("admin").await;
    assert_eq!(
        (&newest["ticket"], &newest["role"]),
        (&json!(sn), &json!("own_subscriber"))
    );
    let id = newest["id"].as_str().expect("an id");
    let path = format!("notifications/{id}/why?language=en");
    let why = channels.get(&path, "admin").await.to_string();
    assert!(why.contains("made the subscription"), "{why}");
    assert!(why.contains("key_tickets"), "{why}");
    let path = format!("tickets/{sn}/why/admin?language=en");
    let why = channels.get(&path, "admin").await;
    let mut events = why["events"].as_array().expect("events").iter();
    let entered = events.rfind(|one| one["event"] == "ticket.node_entered");
    let entered = entered.expect("the node is entered");
    let text = entered["text"].as_str().expect("a text");
    assert!(
        text.contains("This person made a subscription"),
        "{entered}"
    );
}

#[tokio::test]
async fn a_ticket_that_the_person_may_not_read_causes_nothing() {
    let channels = Channels::open_with(POLICY).await;
    let (status, answer) = channels
        .subscribe("sunqi", "key_tickets", key_tickets())
        .await;
    assert_eq!(status, 200, "{answer}");
    let sn = channels.submit_with("3").await;
    assert_eq!(channels.subscribed("sunqi").await, 0);
    let all = channels
        .get(&format!("notifications?ticket={sn}"), "admin")
        .await;
    let mut all = all["notifications"].as_array().expect("a list").iter();
    assert!(
        all.all(|one| one["fact"] != "subscribed"),
        "the notification would show that the ticket exists"
    );
}

#[tokio::test]
async fn a_digest_leaves_out_a_ticket_that_the_person_may_not_read_any_more() {
    const ROBOT_ONLY: &str = "[policy]\naccounts = [\"ops_robot\"]\n";
    for (may_read, expected) in [(true, 1), (false, 0)] {
        let channels = Channels::open_with(&[ROBOT, ROBOT_ONLY].concat()).await;
        let desk = &channels.desk;
        let sn = json!(channels.submit_with("1").await);
        let people = json!({ "people": ["sunqi"] });
        desk.operate(&sn, "follow", "lisi", people.clone()).await;
        desk.settle().await;
        let preferences = json!({
            "addresses": { "dingtalk": "dt-sunqi" },
            "channels": { "dingtalk": { "frequency": "batch", "batch_times": ["14:00"] } },
        });
        let (status, answer) = channels.prefer("sunqi", preferences).await;
        assert_eq!(status, 200, "{answer}");
        let changed = json!({ "on": ["priority_changed"] });
        let (status, answer) = channels.subscribe("sunqi", "changed", changed).await;
        assert_eq!(status, 200, "{answer}");
        desk.clock.advance(1_000);
        let fields = tests::form(&[("impact", "3"), ("urgency", "3")]);
        let edit = json!({ "sn": sn, "operator": "lisi", "fields": fields });
        desk.must("edit_field", edit).await;
        desk.settle().await;
        let collected = channels.newest("sunqi").await;
        assert_eq!(
            (&collected["role"], &collected["state"]),
            (&json!("own_subscriber"), &json!("sending"))
        );
        if !may_read {
            desk.operate(&sn, "unfollow", "sunqi", people).await;
            desk.settle().await;
        }
        desk.clock.advance((4 * 60 + 2) * 60_000);
        desk.settle().await;
        assert_eq!(channels.robot.accepted().len(), expected, "{may_read}");
        let ended = channels.newest("sunqi").await["outcome"].clone();
        let outcome = if may_read { "accepted" } else { "inbox_only" };
        assert_eq!(ended, outcome);
    }
}

#[tokio::test]
async fn subscriptions_are_paused_changed_and_removed() {
    let channels = Channels::open_with(POLICY).await;
    channels
        .subscribe("admin", "all", json!({ "on": ["waiting"] }))
        .await;
    let paused = json!({ "on": ["waiting"], "paused": true });
    let (status, stored) = channels.subscribe("admin", "all", paused).await;
    assert_eq!((status, &stored["paused"]), (200, &json!(true)));
    channels.submit().await;
    assert_eq!(channels.subscribed("admin").await, 0);
    channels
        .subscribe("admin", "all", json!({ "on": ["waiting"] }))
        .await;
    channels.submit().await;
    assert_eq!(channels.subscribed("admin").await, 1);
    let path = "people/admin/subscriptions/all";
    let (status, _) = channels.desk.v1("DELETE", path, "admin", Value::Null).await;
    assert_eq!(status, 204);
    channels.desk.settle().await;
    channels.submit().await;
    assert_eq!(channels.subscribed("admin").await, 1);
    let (status, _) = channels.desk.v1("DELETE", path, "admin", Value::Null).await;
    assert_eq!(status, 404, "it is removed already");
}

#[tokio::test]
async fn wrong_and_too_many_subscriptions_are_refused() {
    let channels = Channels::open_with(POLICY).await;
    for (name, body, field) in [
        ("Key", key_tickets(), "subscription"),
        ("key", json!({ "on": [] }), "/on"),
        (
            "key",
            json!({ "on": ["ended"], "when": [{ "key": "", "value": "x" }] }),
            "/when/0/key",
        ),
    ] {
        let (status, answer) = channels.subscribe("lisi", name, body).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!(field)),
            "{answer}"
        );
    }
    for number in 0..20 {
        let name = format!("s{number}");
        let (status, answer) = channels.subscribe("lisi", &name, key_tickets()).await;
        assert_eq!(status, 200, "{answer}");
    }
    let (status, _) = channels.subscribe("lisi", "next", key_tickets()).await;
    assert_eq!(status, 409);
    let shown = channels.get("people/lisi/subscriptions", "lisi").await;
    let stored = shown["subscriptions"].as_array().expect("a list").len();
    assert_eq!((stored, &shown["most"]), (20, &json!(20)));
    let path = "people/lisi/subscriptions";
    let (status, _) = channels.desk.v1("GET", path, "wangwu", Value::Null).await;
    assert_eq!(status, 403);
    let path = "people/lisi/subscriptions/other";
    let (status, _) = channels.desk.v1("PUT", path, "wangwu", key_tickets()).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn own_subscriptions_survive_a_loss_of_the_views() {
    let channels = Channels::open_with(POLICY).await;
    channels.submit_with("3").await;
    channels.desk.clock.advance(2 * 24 * 3_600_000);
    channels
        .subscribe("admin", "key_tickets", key_tickets())
        .await;
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    assert_eq!(channels.subscribed("admin").await, 0, "the ticket is older");
    channels.submit_with("3").await;
    assert_eq!(channels.subscribed("admin").await, 1);
}

#[tokio::test]
async fn an_erased_person_has_no_subscription_and_its_name_is_unreadable() {
    const NAME: &str = "audit_of_lisi_4711";
    let channels = Channels::open_with(POLICY).await;
    let desk = &channels.desk;
    let sn = json!(channels.submit_with("1").await);
    let people = json!({ "people": ["sunqi"] });
    desk.operate(&sn, "follow", "lisi", people).await;
    desk.settle().await;
    let changed = json!({ "on": ["priority_changed"] });
    let (status, answer) = channels.subscribe("sunqi", NAME, changed).await;
    assert_eq!(status, 200, "{answer}");
    desk.clock.advance(1_000);
    let fields = tests::form(&[("impact", "3"), ("urgency", "3")]);
    let edit = json!({ "sn": sn, "operator": "lisi", "fields": fields });
    desk.must("edit_field", edit).await;
    desk.settle().await;
    let newest = channels.newest("sunqi").await;
    assert_eq!(newest["role"], "own_subscriber");
    let id = newest["id"].as_str().expect("an id");
    let path = format!("notifications/{id}/why?language=en");
    let why = channels.get(&path, "admin").await.to_string();
    assert!(why.contains(NAME), "{why}");
    let occasions = desk.app.configuration.subscribed_occasions().await;
    assert_eq!(occasions.expect("read").len(), 1);
    let erased = erasure::erase(&desk.app, "sunqi", is_configuration, &|_| {});
    let report = erased.await.expect("erased");
    desk.settle().await;
    let mut remaining = report.remaining.iter();
    assert!(remaining.all(|one| one.kind != "subscription_names"));
    let occasions = desk.app.configuration.subscribed_occasions().await;
    assert!(occasions.expect("read").is_empty());
    let feed = desk.app.ledger.store.feed(0, 100_000).await;
    for placed in feed.expect("a feed") {
        let body = String::from_utf8_lossy(&placed.commit.body).into_owned();
        assert!(!body.contains(NAME), "{}", placed.commit.stream);
    }
    let why = channels.get(&path, "admin").await.to_string();
    assert!(!why.contains(NAME), "{why}");
}

#[tokio::test]
async fn the_console_lists_adds_and_removes_own_subscriptions() {
    let channels = Channels::open_with(POLICY).await;
    let mut browser = logged_in(&channels.desk, "lisi").await;
    let (path, add) = ("/subscriptions", "/subscriptions/add");
    let page = browser.get(path).await;
    assert!(
        page.text.contains("You have no subscriptions"),
        "{}",
        page.text
    );
    let code = hidden(&page.text, add, "form_code");
    let condition = [
        ("key", "ticket_priority"),
        ("operator", ">="),
        ("value", "<3>"),
        ("is_number", "1"),
    ];
    for (name, occasion, problem) in [
        ("Wrong Name", "on_ended", "The name must have lower-case"),
        ("mine", "on_nothing", "Choose at least one event"),
    ] {
        let mut fields = vec![
            ("form_code", code.as_str()),
            ("name", name),
            (occasion, "1"),
        ];
        fields.extend(condition);
        let page = browser.post(add, &fields).await;
        assert_eq!(page.status, 400, "{name}");
        assert!(page.text.contains(problem), "{}", page.text);
        assert!(page.text.contains("value=\"&#60;3&#62;\""), "{}", page.text);
    }
    let mut fields = vec![
        ("form_code", code.as_str()),
        ("name", "mine"),
        ("on_ended", "1"),
    ];
    fields.extend(condition);
    let page = browser.post(add, &fields).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (303, "/subscriptions?notice=added")
    );
    channels.desk.settle().await;
    let stored = channels.get("people/lisi/subscriptions", "lisi").await;
    assert_eq!(
        (
            &stored["subscriptions"][0]["name"],
            &stored["subscriptions"][0]["when"][0]["type"]
        ),
        (&json!("mine"), &json!("INT"))
    );
    let page = browser.get("/subscriptions?notice=added").await;
    for part in ["The subscription was stored", ">mine<", "ticket_priority"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    // Another person neither sees nor removes the subscription.
    let mut other = logged_in(&channels.desk, "wangwu").await;
    let shown = other.get(path).await;
    assert!(!shown.text.contains("mine<"), "{}", shown.text);
    let foreign = hidden(&shown.text, add, "form_code");
    let remove = "/subscriptions/remove";
    let fields = [("form_code", foreign.as_str()), ("name", "mine")];
    assert_eq!(other.post(remove, &fields).await.status, 404);
    let fields = [("form_code", code.as_str()), ("name", "mine")];
    let page = browser.post(remove, &fields).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (303, "/subscriptions?notice=removed")
    );
    channels.desk.settle().await;
    let stored = channels.get("people/lisi/subscriptions", "lisi").await;
    assert_eq!(stored["subscriptions"], json!([]));
}
