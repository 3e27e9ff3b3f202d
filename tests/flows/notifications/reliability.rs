//! These tests check what the desk does if messages cannot be sent: other accounts of the fallback list, pauses and stops of
//! accounts, wrong addresses, and the addresses for replies.

use infra::channel::{MailError, MailReply};
use serde_json::{Value, json};

use super::{Channels, MAIL, ROBOT};

const MAIL_ONLY: &str = "[policy]\naccounts = [\"mail\"]";
const URGENT_MAIL_ONLY: &str = "[policy]\naccounts = [\"mail\"]\nurgent = [\"3\"]";
const WITH_FALLBACK: &str = r#"
    [policy]
    accounts = ["mail"]
    fallback = ["ops_robot"]
    urgent = ["3"]
    operators = ["admin"]
"#;

fn reply(code: u16, text: &str) -> MailReply {
    MailReply {
        code,
        text: text.into(),
    }
}

fn not_sent() -> MailError {
    MailError::NotSent("connection refused".into())
}

/// Sends a request to `/v1` that must succeed, and returns the answer.
async fn post(channels: &Channels, path: &str, user: &str, body: Value) -> Value {
    let (status, answer) = channels.desk.v1("POST", path, user, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    channels.desk.settle().await;
    answer
}

async fn wait(channels: &Channels, ms: i64) {
    channels.desk.clock.advance(ms);
    channels.desk.settle().await;
}

#[tokio::test]
async fn an_urgent_message_falls_back_after_two_minutes() {
    let channels = Channels::open_with(&[MAIL, ROBOT, WITH_FALLBACK].concat()).await;
    channels.reachable(None).await;
    for _ in 0..10 {
        channels.desk.mailer.plan(Err(not_sent()));
    }
    channels.submit_with("3").await;
    wait(&channels, 119_000).await;
    assert!(channels.robot.accepted().is_empty());
    wait(&channels, 1_000).await;
    assert_eq!(channels.robot.accepted().len(), 1);
    let shown = channels.newest("zhangsan").await;
    let accounts = json!([
        { "account": "mail", "channel": "email", "digest_due": null },
        { "account": "ops_robot", "channel": "dingtalk_robot", "digest_due": null },
    ]);
    assert_eq!(shown["accounts"], accounts);
    let steps = channels.why().await;
    let (_, _, text) = steps
        .iter()
        .find(|(event, ..)| event == "notification.fallback_started")
        .expect("a fallback");
    assert!(text.contains("ops_robot of the fallback list"), "{text}");
}

#[tokio::test]
async fn a_refused_message_falls_back_at_once() {
    let channels = Channels::open_with(&[MAIL, ROBOT, WITH_FALLBACK].concat()).await;
    channels.reachable(None).await;
    let refused = reply(554, "5.6.0 bad content");
    channels.desk.mailer.plan(Ok(refused));
    channels.submit().await;
    assert_eq!(channels.robot.accepted().len(), 1);
    assert_eq!(channels.newest("zhangsan").await["outcome"], "accepted");
}

#[tokio::test]
async fn operators_learn_of_an_urgent_message_that_no_channel_accepted() {
    let without_fallback = WITH_FALLBACK.replace("fallback = [\"ops_robot\"]", "");
    let channels = Channels::open_with(&[MAIL, &without_fallback].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    channels
        .desk
        .mailer
        .plan(Ok(reply(554, "5.6.0 bad content")));
    channels.submit().await;
    let unreached = async || {
        let inbox = channels.get("inbox/admin", "admin").await;
        let all = inbox["notifications"].as_array().expect("a list").iter();
        all.filter(|one| one["fact"] == "unreached").count()
    };
    assert_eq!(unreached().await, 0, "the message was not urgent");
    channels
        .desk
        .mailer
        .plan(Ok(reply(554, "5.6.0 bad content")));
    channels.submit_with("3").await;
    // The message to zhangsan was refused, and wangwu has no address.
    assert_eq!(unreached().await, 2);
}

#[tokio::test]
async fn operators_learn_once_that_most_messages_of_an_account_fail() {
    let policy = format!("{MAIL_ONLY}\noperators = [\"admin\"]\n");
    let channels = Channels::open_with(&[MAIL, &policy].concat()).await;
    channels.reachable(None).await;
    let alarms = async || {
        let inbox = channels.get("inbox/admin", "admin").await;
        let all = inbox["notifications"].as_array().expect("a list").iter();
        all.filter(|one| one["fact"] == "account_degraded").count()
    };
    let is_degraded = async || {
        let shown = channels.get("channel-accounts/mail", "admin").await;
        shown["is_degraded"].as_bool().expect("a flag")
    };
    for _ in 0..9 {
        channels
            .desk
            .mailer
            .plan(Ok(reply(554, "5.6.0 bad content")));
        channels.submit().await;
    }
    assert_eq!((alarms().await, is_degraded().await), (0, false));
    for _ in 0..3 {
        channels
            .desk
            .mailer
            .plan(Ok(reply(554, "5.6.0 bad content")));
        channels.submit().await;
    }
    assert_eq!((alarms().await, is_degraded().await), (1, true));
    for _ in 0..4 {
        channels.submit().await;
    }
    assert!(is_degraded().await, "four successes are not enough");
    channels.submit().await;
    assert_eq!((alarms().await, is_degraded().await), (1, false));
}

#[tokio::test]
async fn old_failures_are_no_alarm_after_a_loss_of_the_views() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    for _ in 0..10 {
        channels
            .desk
            .mailer
            .plan(Ok(reply(554, "5.6.0 bad content")));
        channels.submit().await;
        wait(&channels, 2 * 3_600_000).await;
    }
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    let shown = channels.get("channel-accounts/mail", "admin").await;
    assert_eq!(shown["is_degraded"], false, "{shown}");
}

#[tokio::test]
async fn an_urgent_message_is_repeated_for_thirty_minutes_at_most() {
    let channels = Channels::open_with(&[MAIL, URGENT_MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels
        .desk
        .mailer
        .plan(Ok(reply(452, "4.2.2 mailbox full")));
    channels.submit_with("3").await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        shown["outcome"], "inbox_only",
        "the next attempt would be in one hour"
    );
    wait(&channels, 1_000).await;
    channels
        .desk
        .mailer
        .plan(Ok(reply(452, "4.2.2 mailbox full")));
    channels.submit().await;
    assert_eq!(channels.newest("zhangsan").await["state"], "sending");
    wait(&channels, 3_600_000).await;
    assert_eq!(channels.newest("zhangsan").await["outcome"], "accepted");
}

#[tokio::test]
async fn a_wrong_address_is_not_used_until_it_is_released_or_changed() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels
        .desk
        .mailer
        .plan(Ok(reply(550, "5.1.1 no such user")));
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    wait(&channels, 1_000).await;
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    let skipped = json!([{ "account": "mail", "reason": "suppressed" }]);
    assert_eq!(channels.newest("zhangsan").await["skipped"], skipped);
    let steps = channels.why().await;
    let is_explained = |(_, _, text): &(String, String, String)| {
        text.contains("a provider reported that the address is wrong")
    };
    assert!(steps.iter().any(is_explained), "{steps:?}");
    let shown = channels.get("people/zhangsan/addresses", "zhangsan").await;
    let email = |is_suppressed: bool, code: Value| json!({ "kind": "email", "is_suppressed": is_suppressed, "code": code });
    assert_eq!(shown["addresses"][1], email(true, json!("5.1.1")));
    let (status, _) = channels
        .desk
        .v1(
            "POST",
            "people/zhangsan/addresses/email/release",
            "lisi",
            json!({}),
        )
        .await;
    assert_eq!(status, 403);
    let (status, _) = channels
        .desk
        .v1(
            "POST",
            "people/zhangsan/addresses/fax/release",
            "zhangsan",
            json!({}),
        )
        .await;
    assert_eq!(status, 404);
    let released = post(
        &channels,
        "people/zhangsan/addresses/email/release",
        "zhangsan",
        json!({}),
    )
    .await;
    assert_eq!(released["addresses"][1], email(false, Value::Null));
    channels
        .desk
        .mailer
        .plan(Ok(reply(550, "5.1.1 no such user")));
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    let changed = json!({ "addresses": { "email": "zhang.san@example.com" } });
    assert_eq!(channels.prefer("zhangsan", changed).await.0, 200);
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take()[0].to, "zhang.san@example.com");
}

#[tokio::test]
async fn a_stopped_account_sends_nothing_until_it_is_started() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    let (status, _) = channels
        .desk
        .v1("POST", "channel-accounts/mail/stop", "zhangsan", json!({}))
        .await;
    assert_eq!(status, 403);
    let reason = json!({ "reason": "wrong texts" });
    let stopped = post(&channels, "channel-accounts/mail/stop", "admin", reason).await;
    assert_eq!(
        (&stopped["state"], &stopped["reason"]),
        (&json!("stopped"), &json!("wrong texts"))
    );
    channels.submit().await;
    wait(&channels, 3_600_000).await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    assert_eq!(channels.newest("zhangsan").await["state"], "sending");
    let started = post(&channels, "channels/email/start", "admin", json!({})).await;
    assert_eq!(started["channel_accounts"][0]["state"], "working");
    wait(&channels, 300_000).await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    let shown = channels.get("channel-accounts/mail", "admin").await;
    assert!(shown["last_success"].is_string(), "{shown}");
    let stopped = post(&channels, "channels/email/stop", "admin", json!({})).await;
    assert_eq!(stopped["channel_accounts"][0]["state"], "stopped");
    let started = post(&channels, "channel-accounts/mail/start", "admin", json!({})).await;
    assert_eq!(started["state"], "working");
    let (status, _) = channels
        .desk
        .v1("POST", "channels/fax/stop", "admin", json!({}))
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn refused_credentials_pause_the_account_until_one_message_succeeds() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels
        .desk
        .mailer
        .plan(Ok(reply(535, "5.7.8 bad password")));
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    let listed = channels.get("channel-accounts", "admin").await;
    let account = &listed["channel_accounts"][0];
    assert_eq!(
        (&account["name"], &account["state"], &account["reason"]),
        (
            &json!("mail"),
            &json!("paused"),
            &json!("535 5.7.8 bad password")
        )
    );
    for _ in 0..3 {
        channels.submit().await;
    }
    assert_eq!(channels.desk.mailer.take().len(), 0, "the messages wait");
    wait(&channels, 300_000).await;
    wait(&channels, 15_000).await;
    assert_eq!(channels.desk.mailer.take().len(), 3);
    let shown = channels.get("channel-accounts/mail", "admin").await;
    assert_eq!(
        (&shown["state"], &shown["failures"]),
        (&json!("working"), &json!(0))
    );
}

#[tokio::test]
async fn a_missing_secret_is_named_and_pauses_its_account() {
    let robot = ROBOT.replace("ops_robot", "new_robot");
    let policy = "[policy]\naccounts = [\"new_robot\"]";
    let channels = Channels::open_with(&[&robot, policy].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    let newest = channels.newest("zhangsan").await;
    let failed = &newest["deliveries"][0];
    assert_eq!(
        (&failed["class"], &failed["reason"]),
        (
            &json!("credential"),
            &json!("the secret channel/new_robot is not in the key store")
        )
    );
    let id = newest["id"].as_str().expect("an id");
    for (language, expected) in [
        (
            "en",
            "(the account has no secret): the secret channel/new_robot is not in the key store.",
        ),
        (
            "zh-CN",
            "（渠道账号没有密钥）：密钥库中没有密钥 channel/new_robot。",
        ),
    ] {
        let path = format!("notifications/{id}/why?language={language}");
        let steps = channels.get(&path, "zhangsan").await.to_string();
        assert!(steps.contains(expected), "{steps}");
    }
    let shown = channels.get("channel-accounts/new_robot", "admin").await;
    assert_eq!(
        (&shown["state"], &shown["reason"]),
        (
            &json!("paused"),
            &json!("the secret channel/new_robot is not in the key store")
        )
    );
    channels.submit().await;
    assert_eq!(channels.robot.accepted().len(), 0, "the message waits");
    let keys = &channels.desk.app.ledger.keys;
    keys.keep_secret(
        "channel/new_robot",
        br#"{"access_token":"t","secret":"SECx"}"#,
    )
    .await
    .unwrap();
    wait(&channels, 300_000).await;
    wait(&channels, 15_000).await;
    assert_eq!(channels.robot.accepted().len(), 1);
}

#[tokio::test]
async fn a_mail_has_an_address_for_replies_that_only_its_recipient_can_use() {
    let with_replies = MAIL.replace("name =", "reply_to = \"itsm@example.com\"\nname =");
    let channels = Channels::open_with(&[&with_replies, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    let sn = channels.submit().await;
    let mail = channels.desk.mailer.take().remove(0);
    let text = String::from_utf8(mail.bytes).unwrap();
    let header = text
        .lines()
        .find_map(|line| line.strip_prefix("Reply-To: "));
    let address = header.expect("an address for replies").trim();
    assert!(address.starts_with(&format!("itsm+{sn}.")), "{address}");
    assert!(text.contains("X-Ledgerdesk-Instance: "), "{text}");
    let app = &channels.desk.app;
    let keys = app.token_keys().await.unwrap();
    let now = app.ledger.clock.now();
    let check = functions::app::notifications::reply_address::check;
    let zhangsan = app.people.find("zhangsan").await.unwrap();
    let lisi = app.people.find("lisi").await.unwrap();
    let found = check(&keys.newest, address, &zhangsan, now);
    assert_eq!(found.map(|ticket| ticket.to_string()), Some(sn));
    assert_eq!(check(&keys.newest, address, &lisi, now), None);
}
