//! These tests check what the desk does if an account cannot send for a long time: its credentials are refused, a person
//! stopped it, or its relay is down. Other accounts of the fallback list then send the messages.

use infra::channel::{MailError, MailReply};
use serde_json::{Value, json};

use super::{Channels, MAIL, ROBOT};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const MAIL_ONLY: &str = r#"
    [policy]
    accounts = ["mail"]
    operators = ["admin"]
"#;
const WITH_FALLBACK: &str = r#"
    [policy]
    accounts = ["mail"]
    fallback = ["ops_robot"]
    operators = ["admin"]
"#;

async fn with_fallback() -> Channels {
    let channels = Channels::open_with(&[MAIL, ROBOT, WITH_FALLBACK].concat()).await;
    channels.reachable(None).await;
    channels
}

async fn without_fallback() -> Channels {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels
}

impl Channels {
    /// Plans refused connections for the next attempts to send a mail.
    fn plan_outage(&self, attempts: usize) {
        for _ in 0..attempts {
            let refused = MailError::NotSent("connection refused".into());
            self.desk.mailer.plan(Err(refused));
        }
    }

    fn plan_wrong_password(&self) {
        let refused = MailReply {
            code: 535,
            text: "5.7.8 bad password".into(),
        };
        self.desk.mailer.plan(Ok(refused));
    }

    async fn wait(&self, ms: i64) {
        self.desk.clock.advance(ms);
        self.desk.settle().await;
    }

    /// Stops or starts the account `mail`.
    async fn switch(&self, switch: &str) {
        let path = format!("channel-accounts/mail/{switch}");
        let (status, answer) = self.desk.v1("POST", &path, "admin", json!({})).await;
        assert_eq!(status, 200, "{answer}");
        self.desk.settle().await;
    }

    /// Returns the number of alarms that an account is degraded.
    async fn degradations(&self) -> usize {
        let inbox = self.get("inbox/admin", "admin").await;
        let all = inbox["notifications"].as_array().expect("a list").iter();
        all.filter(|one| one["fact"] == "account_degraded").count()
    }

    /// Returns the outcomes of all notifications of zhangsan.
    async fn outcomes(&self) -> Vec<Value> {
        let inbox = self.get("inbox/zhangsan", "zhangsan").await;
        let all = inbox["notifications"].as_array().expect("a list").iter();
        all.map(|one| one["outcome"].clone()).collect()
    }
}

#[tokio::test]
async fn refused_credentials_start_the_fallback_of_all_messages_at_once() {
    let channels = with_fallback().await;
    channels.plan_wrong_password();
    for sent in 1..=8 {
        channels.submit().await;
        assert_eq!(channels.robot.accepted().len(), sent);
    }
    assert_eq!(
        channels.desk.mailer.take().len(),
        1,
        "the account is paused"
    );
    assert_eq!(channels.outcomes().await, vec![json!("accepted"); 8]);
    assert_eq!(
        channels.degradations().await,
        1,
        "the operators learn it at once"
    );
    let steps = channels.why().await;
    let expected = "the provider refuses the credentials of the channel account";
    assert!(
        steps.iter().any(|(event, account, text)| {
            event == "delivery.failed" && account == "mail" && text.contains(expected)
        }),
        "{steps:?}"
    );
    // After the pause, one message tests the account. All others still do not wait.
    channels.plan_wrong_password();
    channels.wait(5 * MINUTE_MS).await;
    for _ in 0..3 {
        channels.submit().await;
    }
    assert_eq!(channels.desk.mailer.take().len(), 1);
    assert_eq!(channels.robot.accepted().len(), 11);
    assert_eq!(channels.degradations().await, 1);
    channels.wait(5 * MINUTE_MS).await;
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 1, "the account works");
    assert_eq!(channels.robot.accepted().len(), 11);
}

#[tokio::test]
async fn a_refusal_without_a_fallback_is_an_alarm_and_the_messages_wait() {
    let channels = without_fallback().await;
    channels.plan_wrong_password();
    for _ in 0..4 {
        channels.submit().await;
    }
    assert_eq!(channels.degradations().await, 1);
    assert_eq!(channels.desk.mailer.take().len(), 1);
    channels.wait(5 * MINUTE_MS).await;
    channels.wait(15_000).await;
    assert_eq!(channels.desk.mailer.take().len(), 3, "no message is lost");
}

#[tokio::test]
async fn messages_of_a_stopped_account_fall_back() {
    let channels = with_fallback().await;
    // One message waits for its next attempt when the account is stopped.
    channels.plan_outage(1);
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    channels.switch("stop").await;
    channels.submit().await;
    assert_eq!(channels.robot.accepted().len(), 1);
    channels.wait(5_000).await;
    assert_eq!(channels.robot.accepted().len(), 2);
    assert_eq!(channels.outcomes().await, vec![json!("accepted"); 2]);
    for _ in 0..10 {
        channels.submit().await;
    }
    assert_eq!(channels.robot.accepted().len(), 12);
    assert_eq!(
        channels.degradations().await,
        0,
        "a person stopped the account"
    );
    channels.switch("start").await;
    channels.wait(10 * MINUTE_MS).await;
    assert_eq!(
        channels.desk.mailer.take().len(),
        0,
        "nothing is sent twice"
    );
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
}

#[tokio::test]
async fn messages_of_a_relay_that_is_down_fall_back_after_fifteen_minutes() {
    let channels = with_fallback().await;
    channels.plan_outage(500);
    for _ in 0..8 {
        channels.submit().await;
    }
    for _ in 0..14 {
        channels.wait(MINUTE_MS).await;
    }
    assert_eq!(
        channels.robot.accepted().len(),
        0,
        "the relay can come back"
    );
    assert_eq!(channels.degradations().await, 1);
    for _ in 0..26 {
        channels.wait(MINUTE_MS).await;
    }
    assert_eq!(channels.robot.accepted().len(), 8);
    assert_eq!(channels.outcomes().await, vec![json!("accepted"); 8]);
}

#[tokio::test]
async fn a_message_that_expires_falls_back() {
    for hours in [24, 25] {
        let channels = with_fallback().await;
        channels.plan_outage(1);
        channels.submit().await;
        // The desk does not run until the message is too old for its account.
        channels.wait(hours * HOUR_MS - 5 * MINUTE_MS).await;
        assert_eq!(channels.robot.accepted().len(), 1, "{hours}");
        assert_eq!(channels.outcomes().await, ["accepted"], "{hours}");
        assert_eq!(channels.desk.mailer.take().len(), 1, "{hours}");
        let open = channels.get("deliveries?state=open", "admin").await;
        assert_eq!(open["count"], 0, "{hours}");
    }
}

#[tokio::test]
async fn a_message_is_sent_after_an_outage_of_two_hours() {
    let channels = without_fallback().await;
    let outage = 13;
    channels.plan_outage(outage);
    channels.submit().await;
    for _ in 0..outage - 1 {
        channels.wait(10 * MINUTE_MS).await;
    }
    assert_eq!(channels.outcomes().await, [Value::Null], "after 2 hours");
    assert_eq!(channels.degradations().await, 1);
    channels.wait(10 * MINUTE_MS).await;
    assert_eq!(channels.desk.mailer.take().len(), outage + 1);
    assert_eq!(channels.outcomes().await, ["accepted"]);
}

#[tokio::test]
async fn an_urgent_message_is_not_repeated_after_thirty_minutes() {
    let urgent = MAIL_ONLY.replace("operators", "urgent = [\"3\"]\n    operators");
    let channels = Channels::open_with(&[MAIL, &urgent].concat()).await;
    channels.reachable(None).await;
    channels.plan_outage(100);
    channels.submit_with("3").await;
    for _ in 0..31 {
        channels.wait(MINUTE_MS).await;
    }
    let outcomes = channels.outcomes().await;
    assert_eq!(outcomes.last(), Some(&json!("inbox_only")));
    let attempts = channels.desk.mailer.take().len();
    assert!((2..=12).contains(&attempts), "{attempts} attempts");
    let inbox = channels.get("inbox/admin", "admin").await;
    let all = inbox["notifications"].as_array().expect("a list");
    assert!(all.iter().any(|one| one["fact"] == "unreached"), "{inbox}");
}

#[tokio::test]
async fn unknown_results_during_an_outage_do_not_end_a_mail() {
    let channels = without_fallback().await;
    channels.plan_outage(14);
    let unknown = MailError::Unknown("connection reset".into());
    channels.desk.mailer.plan(Err(unknown));
    channels.plan_outage(2);
    channels.submit().await;
    for _ in 0..20 {
        channels.wait(10 * MINUTE_MS).await;
    }
    assert_eq!(channels.desk.mailer.take().len(), 18);
    assert_eq!(channels.outcomes().await, ["accepted"]);
}
