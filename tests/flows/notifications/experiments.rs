//! These tests check experiments with the time of messages: groups, delays, results and the use of a variant for all
//! people. They also check that updates are sent at the hours at which a person answers.

use serde_json::{Value, json};

use super::{BOTH, Channels, MAIL, ROBOT};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

async fn post(channels: &Channels, path: &str, body: Value) -> (u16, Value) {
    let answer = channels.desk.v1("POST", path, "admin", body).await;
    channels.desk.settle().await;
    answer
}

/// Starts an experiment that ends after one day, and returns its path.
async fn start(channels: &Channels) -> String {
    let body = json!({ "name": "timing", "people_min": 30, "days": 1 });
    let (status, answer) = post(channels, "experiments", body).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["state"], "running");
    format!("experiments/{}", answer["id"].as_str().expect("an id"))
}

/// Starts and stops an experiment, and applies its delayed variant to all people. Returns the path of the experiment.
async fn delayed(channels: &Channels) -> String {
    let path = start(channels).await;
    let apply = format!("{path}/apply");
    let (status, answer) = post(channels, &apply, json!({ "variant": "delayed" })).await;
    assert_eq!(status, 409, "the experiment is running: {answer}");
    let (status, answer) = post(channels, &format!("{path}/stop"), json!({})).await;
    assert_eq!(
        (status, &answer["result"]),
        (200, &json!("stopped")),
        "{answer}"
    );
    let (status, answer) = post(channels, &apply, json!({ "variant": "delayed" })).await;
    assert_eq!(
        (status, &answer["applied"]),
        (200, &json!("delayed")),
        "{answer}"
    );
    path
}

#[tokio::test]
async fn an_applied_variant_delays_messages_that_can_wait() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    let path = delayed(&channels).await;
    channels.submit().await;
    let held = channels.newest("zhangsan").await;
    assert_eq!(
        (&held["state"], &held["held_because"]),
        (&json!("held"), &json!("experiment"))
    );
    channels.desk.clock.advance(14 * MINUTE_MS);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 0, "too early");
    channels.desk.clock.advance(MINUTE_MS + 1);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 1, "after 15 minutes");
    let texts: Vec<String> = channels
        .why()
        .await
        .into_iter()
        .map(|(.., text)| text)
        .collect();
    let text = "applies to all people: send 15 minutes later.";
    assert!(texts.iter().any(|one| one.contains(text)), "{texts:?}");
    channels.submit_with("3").await;
    assert_eq!(
        channels.desk.mailer.take().len(),
        1,
        "an urgent message is not delayed"
    );
    let (status, answer) = post(&channels, &format!("{path}/withdraw"), json!({})).await;
    assert_eq!(
        (status, &answer["applied"]),
        (200, &Value::Null),
        "{answer}"
    );
    channels.submit().await;
    assert_eq!(
        channels.desk.mailer.take().len(),
        1,
        "the variant does not apply any more"
    );
}

#[tokio::test]
async fn a_person_who_does_not_want_learning_takes_part_in_nothing() {
    let channels = Channels::open().await;
    let preferences = json!({
        "addresses": { "email": "zhangsan@example.com" }, "aggregation": false, "learning": false,
    });
    let (status, answer) = channels.prefer("zhangsan", preferences).await;
    assert_eq!(
        (status, &answer["learning"]),
        (200, &json!(false)),
        "{answer}"
    );
    delayed(&channels).await;
    channels.submit().await;
    assert_eq!(
        channels.desk.mailer.take().len(),
        1,
        "the message is sent at once"
    );
}

#[tokio::test]
async fn an_experiment_with_few_people_has_no_winner() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    let path = start(&channels).await;
    channels.submit().await;
    channels.read_newest("zhangsan").await;
    let texts: Vec<String> = channels
        .why()
        .await
        .into_iter()
        .map(|(.., text)| text)
        .collect();
    let text = "takes part in the experiment";
    assert!(texts.iter().any(|one| one.contains(text)), "{texts:?}");
    channels.desk.clock.advance(DAY_MS + 1);
    channels.desk.settle().await;
    let shown = channels.get(&path, "admin").await;
    assert_eq!(shown["state"], "decided", "{shown}");
    assert_eq!(shown["result"], "not_enough_data");
    let groups = shown["figures"]["groups"].as_array().expect("groups");
    let one: Vec<&Value> = groups.iter().filter(|group| group["people"] == 1).collect();
    assert_eq!(
        one.len(),
        1,
        "only people who get messages are measured: {shown}"
    );
    assert_eq!(one[0]["answered_percent"], 100.0);
    assert!(one[0]["median_answer_seconds"].is_u64(), "{shown}");
    let active = channels.get("experiments?state=active", "admin").await;
    assert_eq!(active["count"], 0, "{active}");
    let all = channels.get("experiments", "admin").await;
    assert_eq!(all["experiments"][0]["id"], shown["id"]);
}

#[tokio::test]
async fn one_experiment_runs_at_a_time_and_wrong_settings_are_named() {
    let channels = Channels::open().await;
    start(&channels).await;
    let (status, answer) = post(&channels, "experiments", json!({ "name": "second" })).await;
    assert_eq!(status, 409, "{answer}");
    for (body, field) in [
        (json!({ "name": "x", "variants": ["smart"] }), "/variants"),
        (
            json!({ "name": "x", "variants": ["smart", "smart"] }),
            "/variants",
        ),
        (json!({ "name": "x", "people_min": 29 }), "/people_min"),
        (json!({ "name": " " }), "/name"),
    ] {
        let (status, answer) = post(&channels, "experiments", body).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!(field)),
            "{answer}"
        );
    }
    let body = json!({ "name": "x" });
    let (status, _) = channels
        .desk
        .v1("POST", "experiments", "zhangsan", body)
        .await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn updates_wait_for_the_hour_at_which_the_person_answers() {
    let learns = "
        [policy.insight]
        learn_times = true
    ";
    let channels = Channels::open_with(&[MAIL, ROBOT, BOTH, learns].concat()).await;
    channels.reachable(None).await;
    let mut sn = String::new();
    for _ in 0..20 {
        sn = channels.submit().await;
        channels.read_newest("zhangsan").await;
        channels.desk.clock.advance(1_000);
        channels.desk.settle().await;
    }
    channels.desk.clock.advance(22 * HOUR_MS);
    channels.desk.settle().await;
    channels.desk.mailer.take();
    let remark = format!("tickets/{sn}/remark");
    let (status, answer) = channels
        .desk
        .v1("POST", &remark, "lisi", json!({ "text": "news" }))
        .await;
    assert_eq!(status, 200, "{answer}");
    channels.desk.settle().await;
    let held = channels.newest("zhangsan").await;
    assert_eq!(
        (&held["fact"], &held["state"]),
        (&json!("commented"), &json!("held")),
        "{held}"
    );
    assert_eq!(held["held_because"], "learned_time");
    assert_eq!(channels.desk.mailer.take().len(), 0);
    channels.desk.clock.advance(4 * HOUR_MS);
    channels.desk.settle().await;
    assert_eq!(
        channels.desk.mailer.take().len(),
        1,
        "the message is not lost"
    );
    channels.submit().await;
    assert_eq!(
        channels.desk.mailer.take().len(),
        1,
        "work never waits for a learned hour"
    );
}
