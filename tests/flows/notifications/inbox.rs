//! These tests check the inbox and the preferences of a person. They also check who may read or change the
//! inbox and the preferences.

use serde_json::{Value, json};

use super::Channels;

#[tokio::test]
async fn a_policy_without_accounts_fills_the_inbox() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    let sn = channels.submit().await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["ticket"], &shown["outcome"]),
        (&json!(sn), &json!("inbox_only"))
    );
    assert_eq!(shown["ticket_title"], "申请堡垒机权限");
    assert_eq!(shown["reason"], "the policy names no channel account");
    let unread = async || {
        channels
            .get("inbox/zhangsan?state=unread", "zhangsan")
            .await["count"]
            .clone()
    };
    assert_eq!(unread().await, 1);
    let path = format!("notifications/{}/read", shown["id"].as_str().unwrap());
    let (status, read) = channels
        .desk
        .v1("POST", &path, "zhangsan", Value::Null)
        .await;
    assert_eq!((status, &read["is_read"]), (200, &json!(true)));
    let path = format!("notifications/{}", shown["id"].as_str().unwrap());
    assert_eq!(channels.get(&path, "zhangsan").await["id"], shown["id"]);
    channels.desk.settle().await;
    assert_eq!(unread().await, 0);
    assert_eq!(channels.get("inbox/zhangsan", "zhangsan").await["count"], 1);
}

#[tokio::test]
async fn the_inbox_shows_no_encrypted_title() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    let body = json!({ "seals_text": true });
    let (status, answer) = channels.desk.v1("PUT", "services/22", "admin", body).await;
    assert_eq!(status, 200, "{answer}");
    channels.desk.settle().await;
    let sn = channels.submit().await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["ticket"], &shown["ticket_title"]),
        (&json!(sn), &Value::Null)
    );
}

#[tokio::test]
async fn people_are_not_notified_of_their_own_actions() {
    let channels = Channels::open().await;
    channels.submit().await;
    let own = channels.get("inbox/lisi", "lisi").await;
    assert_eq!(own["count"], 0, "lisi submitted the ticket: {own}");
}

#[tokio::test]
async fn a_reassigned_node_notifies_the_new_processor() {
    let channels = Channels::open().await;
    let sn = json!(channels.submit().await);
    let body = json!({ "node": 3, "to": { "people": ["sunqi"] }, "message": "on leave" });
    channels.desk.operate(&sn, "reassign", "admin", body).await;
    channels.desk.settle().await;
    let shown = channels.newest("sunqi").await;
    assert_eq!(
        (&shown["ticket"], &shown["fact"]),
        (&sn, &json!("approval_needed"))
    );
}

#[tokio::test]
async fn only_the_person_and_superusers_read_notifications_and_preferences() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.submit().await;
    let id = channels.newest("zhangsan").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        format!("notifications/{id}"),
        format!("notifications/{id}/why"),
        "notifications/0123456789abcdef0123456789abcdef".into(),
        "notifications/x".into(),
    ] {
        let (status, _) = channels.desk.v1("GET", &path, "lisi", Value::Null).await;
        assert_eq!(status, 404, "{path}");
    }
    for path in [
        "inbox/zhangsan",
        "people/zhangsan/preferences",
        "notifications",
        "deliveries",
    ] {
        let (status, _) = channels.desk.v1("GET", path, "lisi", Value::Null).await;
        assert_eq!(status, 403, "{path}");
    }
    channels
        .get(&format!("notifications/{id}/why"), "admin")
        .await;
    channels.get("people/zhangsan/preferences", "admin").await;
    let (status, _) = channels
        .desk
        .v1("PUT", "people/zhangsan/preferences", "lisi", json!({}))
        .await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn wrong_preferences_are_named_and_not_stored() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    for (wrong, field) in [
        (json!({ "zone": "Mars" }), "/zone"),
        (
            json!({ "quiet": { "from": "25:00", "to": "07:00" } }),
            "/quiet/from",
        ),
        (
            json!({ "quiet": { "from": "07:00", "to": "07:00" } }),
            "/quiet/to",
        ),
        (json!({ "quiet": { "from": "07:00" } }), "/quiet/to"),
        (
            json!({ "addresses": { "email": "nobody" } }),
            "/addresses/email",
        ),
        (json!({ "addresses": { "fax": "1" } }), "/addresses/fax"),
        (json!({ "addresses": { "email": 1 } }), "/addresses/email"),
        (json!({ "language": "fr" }), "/language"),
        (json!({ "langauge": "en" }), "/langauge"),
    ] {
        let (status, problem) = channels.prefer("zhangsan", wrong.clone()).await;
        assert_eq!(status, 400, "{wrong}: {problem}");
        assert!(
            problem.to_string().contains(&format!("\"{field}\"")),
            "{wrong}: {problem}"
        );
    }
    let stored = channels
        .get("people/zhangsan/preferences", "zhangsan")
        .await;
    assert_eq!(stored["addresses"]["email"], "zhangsan@example.com");
}

#[tokio::test]
async fn an_erased_person_leaves_no_address_and_no_text() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.submit().await;
    let page = channels
        .desk
        .app
        .ledger
        .store
        .feed(0, 10_000)
        .await
        .unwrap();
    for infra::store::Placed { commit, .. } in &page {
        let body = String::from_utf8_lossy(&commit.body).into_owned();
        assert!(
            !body.contains("zhangsan@example.com"),
            "{}: {body}",
            commit.stream
        );
        assert!(!body.contains("dt-zhangsan"), "{}: {body}", commit.stream);
        if commit.stream.starts_with("delivery-") {
            assert!(!body.contains("堡垒机"), "{body}");
        }
    }
    let body = json!({ "dry_run": false });
    let (status, report) = channels
        .desk
        .v1("POST", "people/zhangsan/forget", "admin", body)
        .await;
    assert_eq!(status, 200, "{report}");
    channels.desk.settle().await;
    let stored = channels.get("people/zhangsan/preferences", "admin").await;
    assert!(!stored.to_string().contains("example.com"), "{stored}");
}

#[tokio::test]
async fn a_desk_without_a_policy_creates_no_notifications() {
    let channels = Channels::open_with("").await;
    channels.reachable(None).await;
    channels.submit().await;
    let all = channels.get("notifications", "admin").await;
    assert_eq!(all["count"], 0);
}
