//! These tests check what follows when a mail comes back after the relay had accepted it.

use infra::clock::Clock as _;
use serde_json::{Value, json};

use super::sources::report;
use super::{DAY_MS, Mailbox, ZHANGSAN, text_of};
use crate::notifications::ROBOT;

/// The members of the policy after its accounts, and the account of the fallback list.
fn with_fallback(urgent: &str) -> String {
    format!("fallback = [\"ops_robot\"]\noperators = [\"admin\"]\n{urgent}\n{ROBOT}")
}

impl Mailbox {
    /// Opens a desk whose policy has a fallback list. The person zhangsan has an address for both accounts.
    async fn with_fallback(urgent: &str) -> Self {
        let mailbox = Self::open_with(&with_fallback(urgent)).await;
        mailbox.channels.reachable(None).await;
        mailbox
    }

    /// Returns the number of messages that the robot has accepted.
    fn fallbacks(&self) -> usize {
        self.channels.robot.accepted().len()
    }

    /// Returns the explanation of the newest notification of zhangsan for one type of event.
    async fn explained(&self, event: &str) -> String {
        let steps = self.channels.why().await.into_iter();
        let mut texts = steps.filter(|(kind, ..)| kind == event);
        texts.next().map(|(.., text)| text).unwrap_or_default()
    }

    async fn outcome(&self) -> Value {
        self.channels.newest("zhangsan").await["outcome"].clone()
    }
}

#[tokio::test]
async fn the_next_account_sends_a_mail_that_came_back_once() {
    let mailbox = Mailbox::with_fallback("").await;
    let (_, mail) = mailbox.notified().await;
    assert_eq!(mailbox.fallbacks(), 0);
    assert_eq!(mailbox.outcome().await, "accepted");
    let late = report(&mail, ZHANGSAN, "4.4.1").replace("failed", "delayed");
    mailbox.answers(&late).await;
    assert_eq!(mailbox.fallbacks(), 0, "a late mail is not lost");
    mailbox.answers(&report(&mail, ZHANGSAN, "5.1.1")).await;
    assert_eq!(mailbox.fallbacks(), 1);
    assert_eq!(mailbox.outcome().await, "accepted");
    let came_back = mailbox.explained("notification.bounced").await;
    assert!(
        came_back.contains("of the account mail came back"),
        "{came_back}"
    );
    let started = mailbox.explained("notification.fallback_started").await;
    assert!(
        started.contains("The accepted message came back"),
        "{started}"
    );
    assert!(started.contains("ops_robot"), "{started}");
    // Another server reports the same mail again.
    mailbox.answers(&report(&mail, ZHANGSAN, "5.2.1")).await;
    assert_eq!(mailbox.fallbacks(), 1);
}

#[tokio::test]
async fn a_mail_that_came_back_and_has_no_other_account_is_reported_to_operators() {
    let mailbox = Mailbox::open_with("urgent = [\"3\"]\noperators = [\"admin\"]\n").await;
    let desk = &mailbox.channels.desk;
    desk.mailer.take();
    mailbox.channels.submit_with("3").await;
    let mails = desk.mailer.take();
    let mail = mails.iter().find(|mail| mail.to == ZHANGSAN);
    let mail = text_of(mail.expect("a mail"));
    mailbox.answers(&report(&mail, ZHANGSAN, "5.1.1")).await;
    assert_eq!(mailbox.outcome().await, "inbox_only");
    let text = mailbox.explained("notification.bounced").await;
    assert!(text.contains("no further account"), "{text}");
    let shown = mailbox.channels.get("inbox/admin", "admin").await;
    let mut facts = shown["notifications"].as_array().expect("a list").iter();
    assert!(facts.any(|one| one["fact"] == "unreached"), "{shown}");
}

#[tokio::test]
async fn operators_learn_that_the_messages_of_two_accounts_came_back() {
    let second = "fallback = [\"second\"]\noperators = [\"admin\"]\n\
        [[account]]\nname = \"second\"\nchannel = \"email\"\nhost = \"second.example\"\nfrom = \"desk@example.com\"\n";
    let mailbox = Mailbox::open_with(second).await;
    let (_, first) = mailbox.notified().await;
    let mails = mailbox.answers(&report(&first, ZHANGSAN, "5.6.0")).await;
    let [next] = mails.as_slice() else {
        panic!("{mails:?}")
    };
    assert_eq!(mailbox.outcome().await, "accepted");
    mailbox.answers(&report(next, ZHANGSAN, "5.6.1")).await;
    assert_eq!(mailbox.outcome().await, "inbox_only");
    let steps = mailbox.channels.why().await;
    let mut texts = steps
        .iter()
        .filter(|(kind, ..)| kind == "notification.bounced");
    let (.., text) = texts.next_back().expect("a second report");
    assert!(text.contains("the operators are informed"), "{text}");
    let shown = mailbox.channels.get("inbox/admin", "admin").await;
    let facts = shown["notifications"].as_array().expect("a list").iter();
    let reported = facts.filter(|one| one["fact"] == "unreached").count();
    assert_eq!(reported, 1, "{shown}");
}

#[tokio::test]
async fn old_information_is_not_sent_again() {
    let mailbox = Mailbox::with_fallback("").await;
    let (sn, approval) = mailbox.notified().await;
    let desk = &mailbox.channels.desk;
    desk.clock.advance(1_000);
    desk.operate(&json!(sn), "remark", "lisi", json!({ "text": "x" }))
        .await;
    desk.settle().await;
    let mails = desk.mailer.take();
    let comment = mails.iter().find(|mail| mail.to == ZHANGSAN);
    let comment = text_of(comment.expect("a mail"));
    desk.clock.advance(DAY_MS);
    mailbox.answers(&report(&comment, ZHANGSAN, "5.2.2")).await;
    assert_eq!(mailbox.fallbacks(), 0);
    let text = mailbox.explained("notification.bounced").await;
    assert!(text.contains("too old"), "{text}");
    // The approval is not too old, because the ticket still waits for it.
    let second = report(&approval, ZHANGSAN, "5.2.2").replace("<d5.2.2@", "<e5.2.2@");
    mailbox.answers(&second).await;
    assert_eq!(mailbox.fallbacks(), 1);
}

#[tokio::test]
async fn a_message_that_is_not_needed_any_more_is_not_sent_again() {
    let mailbox = Mailbox::with_fallback("").await;
    let (sn, mail) = mailbox.notified().await;
    let desk = &mailbox.channels.desk;
    let vote = json!({ "node": 3, "pass": true });
    desk.operate(&json!(sn), "decide", "zhangsan", vote).await;
    desk.settle().await;
    let before = mailbox.fallbacks();
    mailbox.answers(&report(&mail, ZHANGSAN, "5.1.1")).await;
    assert_eq!(mailbox.fallbacks(), before);
}

#[tokio::test]
async fn a_person_who_may_not_read_the_ticket_any_more_gets_no_second_message() {
    for (may_read, expected) in [(true, 1), (false, 0)] {
        let mailbox = Mailbox::with_fallback("").await;
        let preferences = json!({
            "addresses": { "email": "sunqi@example.com", "dingtalk": "dt-sunqi" },
            "aggregation": false,
        });
        let (status, answer) = mailbox.channels.prefer("sunqi", preferences).await;
        assert_eq!(status, 200, "{answer}");
        let (sn, _) = mailbox.notified().await;
        let (desk, sn) = (&mailbox.channels.desk, json!(sn));
        let people = json!({ "people": ["sunqi"] });
        desk.operate(&sn, "follow", "lisi", people.clone()).await;
        desk.settle().await;
        let mails = desk.mailer.take();
        let mail = mails.iter().find(|mail| mail.to == "sunqi@example.com");
        let mail = text_of(mail.expect("a mail to the follower"));
        if !may_read {
            desk.operate(&sn, "unfollow", "sunqi", people).await;
            desk.settle().await;
        }
        let report = report(&mail, "sunqi@example.com", "5.1.1");
        mailbox.answers(&report).await;
        assert_eq!(mailbox.fallbacks(), expected, "{may_read}");
    }
}

#[tokio::test]
async fn the_next_message_waits_for_the_end_of_the_quiet_hours() {
    let mailbox = Mailbox::with_fallback("").await;
    let (_, mail) = mailbox.notified().await;
    let desk = &mailbox.channels.desk;
    let at = |hours: i64| {
        let at = desk.clock.now().plus_ms(hours * 3_600_000).0;
        let at = jiff::Timestamp::from_millisecond(at).expect("a time");
        at.strftime("%H:%M").to_string()
    };
    let preferences = json!({
        "zone": "UTC",
        "addresses": { "email": ZHANGSAN, "dingtalk": "dt-zhangsan" },
        "aggregation": false,
        "quiet": { "from": at(-2), "to": at(2) },
    });
    let (status, answer) = mailbox.channels.prefer("zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
    mailbox.answers(&report(&mail, ZHANGSAN, "5.1.1")).await;
    assert_eq!(mailbox.fallbacks(), 0);
    let text = mailbox.explained("notification.bounced").await;
    assert!(text.contains("fallback list sends it at"), "{text}");
    desk.clock.advance(2 * 3_600_000);
    desk.settle().await;
    assert_eq!(mailbox.fallbacks(), 1);
}

#[tokio::test]
async fn old_reports_send_nothing_after_a_loss_of_the_views() {
    let mailbox = Mailbox::with_fallback("").await;
    let (_, mail) = mailbox.notified().await;
    mailbox.answers(&report(&mail, ZHANGSAN, "5.1.1")).await;
    assert_eq!(mailbox.fallbacks(), 1);
    let Mailbox { channels } = mailbox;
    channels.desk.clock.advance(2 * DAY_MS);
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    assert_eq!(channels.robot.accepted().len(), 1);
}
