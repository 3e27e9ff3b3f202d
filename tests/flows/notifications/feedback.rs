//! These tests check that sampled messages ask their recipient for feedback, that each person is asked once in a
//! month and answers once, and that the report counts the answers.

use domain::notification::delivery::Delivery;
use serde_json::{Value, json};

use super::{BOTH, Channels, MAIL, ROBOT};
use crate::console::logged_in;

const DAY_MS: i64 = 86_400_000;
const ALWAYS: &str = "
    [policy.insight]
    feedback_one_in = 1
";

async fn asking() -> Channels {
    let channels = Channels::open_with(&[MAIL, ROBOT, BOTH, ALWAYS].concat()).await;
    channels.reachable(None).await;
    channels
}

/// Returns the paths of the feedback buttons in all messages of the desk, first those in mails.
async fn pages(channels: &Channels) -> Vec<String> {
    let all = channels.get("deliveries?page_size=100", "admin").await;
    let mut paths = Vec::new();
    let mut deliveries = all["deliveries"].as_array().expect("deliveries").clone();
    deliveries.sort_by_key(|one| one["account"] != "mail");
    for delivery in &deliveries {
        let stream = format!("delivery-{}", delivery["id"].as_str().expect("an id"));
        let loaded = channels.desk.app.ledger.load::<Delivery>(&stream).await;
        let requested = loaded.unwrap().aggregate.0.requested.expect("requested");
        let actions = requested.content.value["actions"].as_array().cloned();
        for action in actions.unwrap_or_default() {
            if action["name"] == "feedback" {
                let value = action["value"].as_str().expect("a value");
                let url = action["url"].as_str().expect("a URL");
                assert!(url.ends_with(&format!("/feedback/{value}")), "{url}");
                paths.push(format!("/feedback/{value}"));
            }
        }
    }
    paths
}

#[tokio::test]
async fn a_person_answers_once_and_is_asked_once_in_a_month() {
    let channels = asking().await;
    channels.submit().await;
    let links = pages(&channels).await;
    assert_eq!(links.len(), 2, "one button on each account");
    let head = channels.desk.head().await;
    let (status, shown) = channels.page(&links[0], None).await;
    assert_eq!(status, 200, "{shown}");
    assert!(
        shown.contains("useful") && shown.contains("DingTalk"),
        "{shown}"
    );
    let (status, _) = channels.page(&links[1], None).await;
    assert_eq!(status, 303, "the robot writes to a group");
    for form in ["comment=+", "usefulness=9", "channel=fax", "timing=x"] {
        let (status, shown) = channels.page(&links[0], Some(form)).await;
        assert_eq!(status, 400, "{form}: {shown}");
    }
    assert_eq!(channels.desk.head().await, head, "nothing was stored");
    let form = "usefulness=4&timing=2&channel=in_app&comment=too+many";
    let (status, shown) = channels.page(&links[0], Some(form)).await;
    assert_eq!(status, 200, "{shown}");
    assert!(shown.contains("Collect messages"), "{shown}");
    channels.desk.settle().await;
    let mut browser = logged_in(&channels.desk, "zhangsan").await;
    let head = channels.desk.head().await;
    for form in [None, Some(form)] {
        let (status, shown) = channels.page(&links[0], form).await;
        assert_eq!(status, 409, "{shown}");
    }
    let again = browser.get(&links[1]).await;
    assert_eq!(again.status, 409, "both links have the same questions");
    assert_eq!(channels.desk.head().await, head, "feedback is given once");
    channels.submit().await;
    assert_eq!(
        pages(&channels).await.len(),
        2,
        "a second ticket does not ask"
    );
    let report = channels.get("reports/feedback", "admin").await;
    assert_eq!(report["all"]["asked"], 1, "{report}");
    assert_eq!(report["all"]["answered"], 1);
    assert_eq!(
        report["all"]["usefulness"]["counts"],
        json!([0, 0, 0, 1, 0])
    );
    assert_eq!(report["all"]["timing"]["average"], 2.0);
    assert_eq!(report["categories"][0]["category"], "approval");
    assert_eq!(
        report["channels"],
        json!([{ "channel": "in_app", "count": 1 }])
    );
    assert_eq!(report["comments"][0]["text"], "too many");
    let (status, _) = channels
        .desk
        .v1("GET", "reports/feedback", "zhangsan", Value::Null)
        .await;
    assert_eq!(status, 403);
    channels.desk.clock.advance(32 * DAY_MS);
    channels.submit().await;
    assert_eq!(pages(&channels).await.len(), 4, "the next month asks again");
}

#[tokio::test]
async fn a_person_answers_over_the_api() {
    let channels = asking().await;
    let path = "people/zhangsan/notification-feedback";
    let (status, _) = channels.desk.v1("GET", path, "zhangsan", Value::Null).await;
    assert_eq!(status, 404, "no message has asked");
    channels.submit().await;
    let open = channels.get(path, "zhangsan").await;
    assert_eq!(open["user_id"], "zhangsan");
    let ids: Vec<&Value> = open["questions"]
        .as_array()
        .expect("questions")
        .iter()
        .map(|question| &question["id"])
        .collect();
    assert_eq!(ids, ["usefulness", "timing", "channel"]);
    assert_eq!(open["questions"][0]["text"], "这条通知对您有用吗？");
    let give =
        async |user: &'static str, body: Value| channels.desk.v1("POST", path, user, body).await;
    assert_eq!(give("admin", json!({ "timing": 5 })).await.0, 403);
    let (status, answer) = give("zhangsan", json!({ "channel": "fax" })).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (400, &json!("/channel")),
        "{answer}"
    );
    assert_eq!(give("zhangsan", json!({})).await.0, 400);
    assert_eq!(give("zhangsan", json!({ "timing": 5 })).await.0, 204);
    assert_eq!(give("zhangsan", json!({ "timing": 5 })).await.0, 404);
}

#[tokio::test]
async fn a_forged_or_expired_link_shows_no_questions() {
    let channels = asking().await;
    channels.submit().await;
    let links = pages(&channels).await;
    let (status, _) = channels.page("/feedback/forged", None).await;
    assert_eq!(status, 404);
    channels.desk.clock.advance(31 * DAY_MS);
    let (status, shown) = channels.page(&links[0], None).await;
    assert_eq!(status, 410, "{shown}");
}

#[tokio::test]
async fn urgent_messages_and_desks_without_the_setting_do_not_ask() {
    let channels = asking().await;
    channels.submit_with("3").await;
    assert!(pages(&channels).await.is_empty(), "an urgent message");
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.submit().await;
    assert!(pages(&channels).await.is_empty(), "the questions are off");
}

#[tokio::test]
async fn a_low_rating_offers_to_collect_the_messages_of_the_channel() {
    let channels = asking().await;
    channels.submit().await;
    let link = pages(&channels).await.remove(0);
    let collect = format!("{link}/collect");
    let (status, _) = channels.page(&collect, Some("")).await;
    assert_eq!(status, 404, "no feedback was given");
    channels.page(&link, Some("timing=1")).await;
    for _ in 0..2 {
        let (status, shown) = channels.page(&collect, Some("")).await;
        assert_eq!(status, 200, "{shown}");
    }
    let preferences = channels
        .get("people/zhangsan/preferences", "zhangsan")
        .await;
    let of = |kind: &str| preferences["channels"][kind]["frequency"].clone();
    let collected = ["email", "dingtalk"].map(of);
    let expected = [json!("batch"), Value::Null];
    let mirrored = [Value::Null, json!("batch")];
    assert!(
        collected == expected || collected == mirrored,
        "{preferences}"
    );
    assert_eq!(preferences["addresses"]["email"], "zhangsan@example.com");
}
