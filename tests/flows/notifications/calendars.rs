//! These tests check working calendars in the API: list, new versions, and old versions that never change.

use serde_json::{Value, json};

use super::Channels;

const POLICY: &str = "[policy]\naccounts = []\n";

fn calendar(hours: &str) -> Value {
    json!({
        "zone": "Europe/Berlin",
        "week": { "monday": [hours], "friday": ["22:00-06:00"] },
        "holidays": ["2026-12-25"],
    })
}

impl Channels {
    async fn define(&self, name: &str, user: &str, body: Value) -> (u16, Value) {
        let path = format!("calendars/{name}");
        let answer = self.desk.v1("PUT", &path, user, body).await;
        self.desk.settle().await;
        answer
    }
}

#[tokio::test]
async fn a_new_version_of_a_calendar_leaves_the_old_version_unchanged() {
    let channels = Channels::open_with(POLICY).await;
    let (status, first) = channels
        .define("berlin", "admin", calendar("09:00-12:00"))
        .await;
    assert_eq!((status, &first["version"]), (200, &json!(1)), "{first}");
    let (_, again) = channels
        .define("berlin", "admin", calendar("09:00-12:00"))
        .await;
    assert_eq!(again["version"], 1, "an equal definition adds no version");
    let (_, second) = channels
        .define("berlin", "admin", calendar("10:00-12:00"))
        .await;
    assert_eq!(second["version"], 2);
    let shown = channels.get("calendars/berlin", "lisi").await;
    assert_eq!(shown["week"]["monday"], json!(["10:00-12:00"]));
    let old = channels.get("calendars/berlin?version=1", "lisi").await;
    assert_eq!(old, first);
    let all = channels.get("calendars", "lisi").await;
    let names: Vec<&Value> = all["calendars"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, [&json!("berlin"), &json!("china")]);
    let preferences = json!({ "calendar": "berlin" });
    let (status, answer) = channels.prefer("zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
    let path = "calendars/berlin?version=3";
    let (status, _) = channels.desk.v1("GET", path, "lisi", Value::Null).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_wrong_calendar_is_named_by_its_member() {
    let channels = Channels::open_with(POLICY).await;
    let (status, problem) = channels
        .define("berlin", "admin", calendar("nine to five"))
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (400, &json!("/week/monday")),
        "{problem}"
    );
    let (status, _) = channels
        .define("berlin", "lisi", calendar("09:00-12:00"))
        .await;
    assert_eq!(status, 403);
    let all = channels.get("calendars", "lisi").await;
    assert_eq!(all["calendars"].as_array().map(Vec::len), Some(1));
}
