//! These tests check escalation chains and rotas: the steps with a manual clock, the end of an escalation, and the
//! standing check.

mod alarms;
mod buzz;
mod changes;
mod priority;

use serde_json::{Value, json};

use super::{Channels, MAIL};

const MINUTE_MS: i64 = 60_000;

/// A policy with one chain of three steps. The test clock starts at 10:00 in Shanghai, so sunqi is on call.
const CHAIN: &str = r#"
    [policy]
    accounts = []
    [policy.escalation]
    chains = { "3" = "default" }

    [[chain]]
    name = "default"
    [[chain.step]]
    wait_minutes = 5
    notify = { rota = "ops" }
    [[chain.step]]
    wait_minutes = 10
    notify = { leader = true }
    [[chain.step]]
    wait_minutes = 10
    notify = { round_robin = ["zhaoliu"] }

    [[rota]]
    name = "ops"
    [[rota.layer]]
    people = ["sunqi", "zhouba"]
    start = "2026-11-22T09:00"
    shift = { days = 1 }
    zone = "Asia/Shanghai"
"#;

impl Channels {
    async fn after_minutes(&self, minutes: i64) {
        self.desk.clock.advance(minutes * MINUTE_MS);
        self.desk.settle().await;
    }

    /// Returns the number of notifications of escalation steps in the inbox of each person.
    async fn escalated(&self, people: &[&str]) -> Vec<usize> {
        let mut counts = Vec::new();
        for person in people {
            let inbox = self.get(&format!("inbox/{person}"), person).await;
            let shown = inbox["notifications"].as_array().expect("notifications");
            let steps = shown.iter().filter(|one| one["fact"] == "escalation_step");
            counts.push(steps.count());
        }
        counts
    }

    /// Returns the escalations of a ticket, latest first.
    async fn escalations(&self, sn: &str) -> Vec<Value> {
        let path = format!("escalations?ticket={sn}");
        let page = self.get(&path, "admin").await;
        page["escalations"].as_array().expect("a list").clone()
    }

    /// Returns the newest escalation of a ticket with its steps.
    async fn escalation(&self, sn: &str) -> Value {
        let id = self.escalations(sn).await[0]["id"].clone();
        let id = id.as_str().expect("an id").to_owned();
        self.get(&format!("escalations/{id}"), "admin").await
    }

    async fn at_node(&self, sn: &str, operation: &str, user: &str, body: Value) {
        self.desk.operate(&json!(sn), operation, user, body).await;
        self.desk.settle().await;
    }
}

const PEOPLE: [&str; 3] = ["sunqi", "admin", "zhaoliu"];

#[tokio::test]
async fn a_chain_notifies_its_steps_one_after_another() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit_with("3").await;
    channels.after_minutes(4).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [0, 0, 0]);
    channels.after_minutes(1).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 0, 0]);
    channels.after_minutes(10).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 1, 0]);
    assert_eq!(channels.escalation(&sn).await["state"], "waiting");
    channels.after_minutes(10).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 1, 1]);
    let shown = channels.escalation(&sn).await;
    assert_eq!(
        (&shown["state"], &shown["steps_done"]),
        (&json!("exhausted"), &json!(3))
    );
    let exhausted = channels.get("escalations?state=exhausted", "admin").await;
    assert_eq!(exhausted["count"], 1);
    channels.after_minutes(600).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 1, 1]);
}

#[tokio::test]
async fn a_ticket_with_another_priority_starts_no_escalation() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit().await;
    channels.after_minutes(60).await;
    assert_eq!(channels.escalations(&sn).await.len(), 0);
}

#[tokio::test]
async fn an_acknowledgement_ends_the_escalation() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit_with("3").await;
    channels.after_minutes(5).await;
    let body = json!({ "node": 3 });
    channels.at_node(&sn, "acknowledge", "zhangsan", body).await;
    let shown = channels.escalation(&sn).await;
    assert_eq!(
        (
            &shown["state"],
            &shown["acknowledged_by"],
            &shown["next_step"]
        ),
        (&json!("acknowledged"), &json!("zhangsan"), &Value::Null)
    );
    channels.after_minutes(60).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 0, 0]);
}

#[tokio::test]
async fn the_end_of_the_ticket_stops_the_escalation() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit_with("3").await;
    let body = json!({ "message": "duplicate" });
    channels.at_node(&sn, "terminate", "zhangsan", body).await;
    let shown = channels.escalation(&sn).await;
    assert_eq!(shown["state"], "stopped");
    channels.after_minutes(60).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [0, 0, 0]);
}

#[tokio::test]
async fn a_resumed_ticket_starts_another_escalation() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit_with("3").await;
    let body = json!({ "message": "window" });
    channels.at_node(&sn, "suspend", "admin", body).await;
    assert_eq!(channels.escalation(&sn).await["reason"], "ticket_suspended");
    channels.after_minutes(60).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [0, 0, 0]);
    let body = json!({ "message": "done" });
    channels.at_node(&sn, "resume", "admin", body).await;
    assert_eq!(channels.escalations(&sn).await.len(), 2);
    channels.after_minutes(5).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 0, 0]);
}

#[tokio::test]
async fn a_restart_with_deleted_views_changes_nothing() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit_with("3").await;
    channels.after_minutes(5).await;
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 0, 0]);
    channels.after_minutes(10).await;
    let channels = channels.restart_without_views().await;
    channels.after_minutes(10).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [1, 1, 1]);
    assert_eq!(channels.escalations(&sn).await.len(), 1);
}

#[tokio::test]
async fn a_step_without_a_person_is_recorded_and_the_next_follows() {
    let ended = "start = \"2026-11-20T09:00\"\n    until = \"2026-11-21T09:00\"";
    let chain = CHAIN.replace("start = \"2026-11-22T09:00\"", ended);
    let channels = Channels::open_with(&chain).await;
    let sn = channels.submit_with("3").await;
    channels.after_minutes(5).await;
    let shown = channels.escalation(&sn).await;
    let first = &shown["steps"][0];
    assert_eq!(
        (&first["people"], &first["reason"]),
        (&json!([]), &json!("nobody_on_call"))
    );
    channels.after_minutes(10).await;
    assert_eq!(channels.escalated(&PEOPLE).await, [0, 1, 0]);
}

#[tokio::test]
async fn a_changed_chain_does_not_change_a_running_escalation() {
    let channels = Channels::open_with(CHAIN).await;
    let sn = channels.submit_with("3").await;
    let changed = CHAIN.replace("{ rota = \"ops\" }", "{ person = \"zhouba\" }");
    let definitions = functions::app::notifications::definitions::Definitions::read(&changed);
    definitions
        .unwrap()
        .store(&channels.desk.app)
        .await
        .unwrap();
    channels.after_minutes(5).await;
    assert_eq!(channels.escalated(&["sunqi", "zhouba"]).await, [1, 0]);
    assert_eq!(channels.escalation(&sn).await["version"], 1);
    let chain = channels.get("escalation-chains/default", "lisi").await;
    assert_eq!(chain["version"], 2);
}

#[tokio::test]
async fn a_step_uses_its_own_accounts_and_ignores_quiet_hours() {
    let rota = "notify = { rota = \"ops\" }";
    let chain = CHAIN.replace(rota, &format!("{rota}\n    accounts = [\"mail\"]"));
    let channels = Channels::open_with(&[MAIL, &chain].concat()).await;
    let preferences = json!({
        "addresses": { "email": "sunqi@example.com" },
        "quiet": { "from": "09:00", "to": "12:00" },
    });
    let (status, answer) = channels.prefer("sunqi", preferences).await;
    assert_eq!(status, 200, "{answer}");
    channels.submit_with("3").await;
    channels.after_minutes(5).await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
}

#[tokio::test]
async fn the_check_names_each_step_that_reaches_nobody() {
    let rota = "notify = { rota = \"ops\" }";
    let chain = CHAIN.replace(rota, &format!("{rota}\n    accounts = [\"mail\"]"));
    let channels = Channels::open_with(&[MAIL, &chain].concat()).await;
    let addresses = json!({ "addresses": { "email": "sunqi@example.com" } });
    channels.prefer("sunqi", addresses).await;
    let path = "escalation-chains/default/check?at=2026-11-22T02:00:00Z";
    let checked = channels.get(path, "admin").await;
    let problems = checked["problems"].as_array().expect("problems");
    let first = &problems[0];
    assert_eq!(
        (&first["step"], &first["person"], &first["is_next_shift"]),
        (&json!(1), &json!("zhouba"), &json!(true))
    );
    assert_eq!(first["at"], "2026-11-23T09:00:00.000+08:00");
    assert!(
        first["next_step"]
            .as_str()
            .is_some_and(|text| text.contains("preferences"))
    );
    assert_eq!(checked["unchecked_steps"], json!([2]));
    // The policy has no accounts, so the other steps have none.
    let steps: Vec<&Value> = problems.iter().map(|one| &one["step"]).collect();
    assert_eq!(steps, [&json!(1), &json!(2), &json!(3)]);
    let (status, _) = channels.desk.v1("GET", path, "lisi", Value::Null).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn chains_and_rotas_are_readable() {
    let channels = Channels::open_with(CHAIN).await;
    channels.desk.settle().await;
    let chains = channels.get("escalation-chains", "lisi").await;
    let chain = &chains["escalation_chains"][0];
    assert_eq!(chain["steps"][2]["targets"], json!(["zhaoliu"]));
    let rotas = channels.get("rotas", "lisi").await;
    assert_eq!(rotas["rotas"][0]["on_call"], json!(["sunqi"]));
    let rota = channels
        .get("rotas/ops?at=2026-11-23T02:00:00Z", "lisi")
        .await;
    assert_eq!(rota["on_call"], json!(["zhouba"]));
    assert_eq!(rota["next_shift"], "2026-11-24T09:00:00.000+08:00");
    for path in ["rotas/none", "escalation-chains/none", "escalations/none"] {
        let (status, _) = channels.desk.v1("GET", path, "admin", Value::Null).await;
        assert_eq!(status, 404, "{path}");
    }
}
