//! These tests check the mails that arrive at the desk: replies, mails of programs, and forged mails.

mod attachments;
mod replayed;
mod reports;
mod returning;
mod sources;
mod strangers;
mod unsubscribing;

use std::sync::Arc;

use axum::http::Request;
use functions::app::Settings;
use infra::channel::Mail as Sent;
use infra::clock::Clock as _;
use infra::inbound::mail::signature;
use serde_json::{Value, json};

use super::{Channels, MAIL};

const DAY_MS: i64 = 86_400_000;
const SECRET: &str = "key-of-the-relay";
const MAIL_ONLY: &str = "[policy]\naccounts = [\"mail\"]\n";
const ZHANGSAN: &str = "zhangsan@example.com";
const CHECKED: &str =
    "Authentication-Results: relay.example; dmarc=pass header.from=example.com\r\n";

/// A desk with a mail relay that forwards mails to the desk.
struct Mailbox {
    channels: Channels,
}

impl Mailbox {
    async fn open() -> Self {
        Self::open_with("").await
    }

    async fn open_with(rules: &str) -> Self {
        let settings = "reply_to = \"itsm@example.com\"\nauthserv_id = \"relay.example\"\nname =";
        let account = MAIL.replace("name =", settings);
        let mut channels = Channels::open_with(&[&account, MAIL_ONLY, rules].concat()).await;
        let site = Settings {
            site: "https://desk.example".into(),
            ..(*channels.desk.app.settings).clone()
        };
        channels.desk.app.settings = Arc::new(site);
        let keys = &channels.desk.app.ledger.keys;
        keys.keep_secret("inbound/mail", SECRET.as_bytes())
            .await
            .unwrap();
        let mailbox = Self { channels };
        mailbox.prefer("zhangsan", "en").await;
        mailbox
    }

    async fn prefer(&self, person: &str, language: &str) {
        let preferences = json!({
            "language": language,
            "addresses": { "email": format!("{person}@example.com") },
            "aggregation": false,
        });
        let (status, answer) = self.channels.prefer(person, preferences).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Forwards a mail, and returns the status of the response.
    async fn forward(&self, mail: &str, age_ms: i64) -> u16 {
        let at = self.channels.desk.clock.now().0.div_euclid(1_000) - age_ms / 1_000;
        let request = Request::builder()
            .method("POST")
            .uri("/callbacks/channels/mail/mail")
            .header("x-ledgerdesk-timestamp", at.to_string())
            .header(
                "x-ledgerdesk-signature",
                signature(SECRET, at, mail.as_bytes()),
            )
            .body(mail.to_owned().into())
            .unwrap();
        let (status, _) = self.channels.desk.send(request).await;
        self.channels.desk.settle().await;
        status.as_u16()
    }

    /// Forwards a mail, and returns the mails with which the desk answers.
    async fn answers(&self, mail: &str) -> Vec<String> {
        self.channels.desk.mailer.take();
        assert_eq!(self.forward(mail, 0).await, 200);
        let mails = self.channels.desk.mailer.take();
        mails.iter().map(text_of).collect()
    }

    async fn remarks(&self, sn: &str) -> Vec<String> {
        let path = format!("tickets/{sn}/remarks");
        let shown = self.channels.get(&path, "zhangsan").await;
        let remarks = shown["remarks"].as_array().expect("remarks").iter();
        remarks
            .map(|one| one["text"].as_str().expect("text").to_owned())
            .collect()
    }

    /// Opens a ticket, and returns its number and the mail to zhangsan about it.
    async fn notified(&self) -> (String, String) {
        let sn = self.channels.submit().await;
        let mails = self.channels.desk.mailer.take();
        let mail = mails
            .iter()
            .find(|mail| mail.to == ZHANGSAN)
            .expect("a mail");
        (sn, text_of(mail))
    }

    async fn count(&self, sn: &str, kind: &str) -> usize {
        let story = self.channels.desk.story(sn).await;
        story.iter().filter(|one| **one == kind).count()
    }
}

fn text_of(mail: &Sent) -> String {
    String::from_utf8(mail.bytes.clone()).expect("text")
}

/// Returns the value of a header of a mail.
fn header_of(mail: &str, name: &str) -> String {
    let mut lines = mail.lines();
    let found = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
    found
        .unwrap_or_else(|| panic!("{name}: {mail}"))
        .trim()
        .to_owned()
}

/// A reply to a mail, as mail programs write it.
fn reply(to: &str, id: &str, from: &str, text: &str) -> String {
    format!(
        "Received: from a by relay.example; x\r\nFrom: Somebody <{from}>\r\nTo: <{}>\r\nSubject: Re: x\r\nMessage-ID: <{id}@example.com>\r\n\
        In-Reply-To: {}\r\nReferences: {} {}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n\r\n\
        On Mon, Nov 23, 2026 at 10:00 AM Desk wrote:\r\n> ack\r\n",
        header_of(to, "Reply-To"),
        header_of(to, "Message-ID"),
        header_of(to, "References"),
        header_of(to, "Message-ID"),
    )
}

#[tokio::test]
async fn a_reply_becomes_a_comment_once_and_without_an_answer() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    let comment = reply(
        &mail,
        "r1",
        ZHANGSAN,
        "The list is complete.\r\nPlease approve.",
    );
    assert_eq!(mailbox.answers(&comment).await.len(), 0);
    let expected = ["The list is complete.\nPlease approve."];
    assert_eq!(mailbox.remarks(&sn).await, expected);
    assert_eq!(mailbox.forward(&comment, 0).await, 200);
    assert_eq!(mailbox.remarks(&sn).await, expected, "a repeated mail");
    let upper = reply(&mail, "r2", "ZhangSan@Example.com", "Thanks");
    mailbox.answers(&upper).await;
    assert_eq!(mailbox.remarks(&sn).await.len(), 2, "case does not matter");
}

#[tokio::test]
async fn commands_in_both_languages_are_executed_and_answered() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    let status = mailbox
        .answers(&reply(&mail, "r1", ZHANGSAN, "status"))
        .await;
    assert_eq!(status.len(), 1);
    assert!(
        status[0].contains("Auto-Submitted: auto-generated"),
        "{}",
        status[0]
    );
    assert!(status[0].contains(&format!("[{sn}]")), "{}", status[0]);
    mailbox.prefer("zhangsan", "zh-CN").await;
    let text = "添加评论：已核对";
    assert_eq!(
        mailbox
            .answers(&reply(&mail, "r2", ZHANGSAN, text))
            .await
            .len(),
        0
    );
    assert_eq!(mailbox.remarks(&sn).await, ["已核对"]);
    let done = mailbox
        .answers(&reply(&mail, "r3", ZHANGSAN, "同意 预算够"))
        .await;
    assert!(!done.is_empty());
    assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 1);
    let again = mailbox
        .answers(&reply(&mail, "r4", ZHANGSAN, "approve"))
        .await;
    assert_eq!(again.len(), 1, "the second vote is refused");
    assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 1);
    let other = mailbox
        .answers(&reply(&mail, "r5", ZHANGSAN, "status REQ20000101000001"))
        .await;
    assert_eq!(
        other.len(),
        1,
        "the address for replies belongs to one ticket"
    );
    let empty = mailbox.answers(&reply(&mail, "r6", ZHANGSAN, "")).await;
    assert_eq!(empty.len(), 0, "a mail without a text asks for nothing");
}

/// A workflow with one node at which wangwu works.
fn workflow() -> Value {
    json!({
        "name": "处理",
        "nodes": [
            { "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" },
            { "id": 3, "type": "NORMAL", "name": "处理", "processors_type": "PERSON", "processors": "wangwu" },
            { "id": 9, "type": "END" },
        ],
        "edges": [
            { "from_state": 1, "to_state": 2 }, { "from_state": 2, "to_state": 3 }, { "from_state": 3, "to_state": 9 },
        ],
        "fields": [{ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 }],
    })
}

#[tokio::test]
async fn work_is_acknowledged_and_resolved_by_mail() {
    let mailbox = Mailbox::open().await;
    let desk = &mailbox.channels.desk;
    let import =
        json!({ "name": "处理", "key": "request", "catalog_id": 4, "workflow": workflow() });
    let service = desk.must("import_service", import).await["id"].clone();
    for (language, acknowledge, resolve) in [
        ("en", "ack", "resolve restarted"),
        ("zh-CN", "确认接收", "标记解决 已重启"),
    ] {
        mailbox.prefer("wangwu", language).await;
        let request = json!({ "service_id": service, "creator": "lisi", "fields": tests::form(&[("title", "t")]) });
        desk.mailer.take();
        let opened = desk.must("create_ticket", request).await;
        desk.settle().await;
        let sn = opened["sn"].as_str().expect("a number").to_owned();
        let mails = desk.mailer.take();
        let mail = text_of(mails.first().expect("a mail to wangwu"));
        let from = "wangwu@example.com";
        let id = |name: &str| format!("{name}-{language}");
        let done = mailbox
            .answers(&reply(&mail, &id("ack"), from, acknowledge))
            .await;
        assert_eq!(done.len(), 1, "{acknowledge}");
        assert_eq!(mailbox.count(&sn, "ticket.acknowledged").await, 1);
        mailbox
            .answers(&reply(&mail, &id("resolve"), from, resolve))
            .await;
        assert_eq!(mailbox.count(&sn, "ticket.finished").await, 1, "{resolve}");
    }
}

#[tokio::test]
async fn forged_mails_change_nothing() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    let valid = reply(&mail, "r1", ZHANGSAN, "approve");
    let address = header_of(&mail, "Reply-To");
    let (local, domain) = address.split_once('@').expect("an address");
    let last = if local.ends_with('0') { '1' } else { '0' };
    let forged = format!("{}{last}@{domain}", &local[..local.len() - 1]);
    for (number, (mail, what)) in [
        (
            valid.replace(ZHANGSAN, "wangwu@example.com"),
            "another sender",
        ),
        (valid.replace(&address, &forged), "a wrong signature"),
        (valid.replace(&address, "itsm@example.com"), "no signature"),
        (
            format!("{CHECKED}{}", valid.replace(&address, "itsm@example.com")),
            "a checked sender who is not linked",
        ),
        (format!("From: other@example.com\r\n{valid}"), "two senders"),
        (
            format!("{}{valid}", CHECKED.replace("=pass", "=fail")),
            "a sender whose check failed",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mail = mail.replace("<r1@", &format!("<f{number}@"));
        assert_eq!(mailbox.answers(&mail).await.len(), 0, "{what}");
        assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 0, "{what}");
    }
    let head = mailbox.channels.desk.head().await;
    assert_eq!(
        mailbox.forward(&valid, 400 * DAY_MS).await,
        403,
        "400 days old"
    );
    assert_eq!(mailbox.channels.desk.head().await, head);
    mailbox.channels.desk.clock.advance(91 * DAY_MS);
    mailbox.answers(&valid.replace("<r1@", "<late@")).await;
    assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 0, "expired");
}

#[tokio::test]
async fn a_linked_and_checked_sender_names_the_ticket() {
    let mailbox = Mailbox::open().await;
    let (sn, _) = mailbox.notified().await;
    let path = "people/zhangsan/addresses/email/verify";
    let desk = &mailbox.channels.desk;
    let (status, answer) = desk.v1("POST", path, "zhangsan", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let code = answer["code"].as_str().expect("a code");
    let mail = |checked: &str, id: &str, text: &str| {
        format!(
            "{checked}From: {ZHANGSAN}\r\nTo: itsm@example.com\r\nMessage-ID: <{id}@example.com>\r\n\r\n{text}\r\n"
        )
    };
    mailbox
        .answers(&mail("", "l1", &format!("link {code}")))
        .await;
    let status = format!("status {sn}");
    let before = mailbox.answers(&mail(CHECKED, "s1", &status)).await;
    assert_eq!(before.len(), 0, "nobody has checked the sender of the code");
    mailbox
        .answers(&mail(CHECKED, "l2", &format!("link {code}")))
        .await;
    assert_eq!(
        mailbox.answers(&mail(CHECKED, "s2", &status)).await.len(),
        1
    );
    assert_eq!(mailbox.answers(&mail("", "s3", &status)).await.len(), 0);
    let other = CHECKED.replace("relay.example", "evil.example");
    assert_eq!(mailbox.answers(&mail(&other, "s4", &status)).await.len(), 0);
    let comment = mailbox.answers(&mail(CHECKED, "s5", "Hello")).await;
    assert_eq!(comment.len(), 1, "a comment needs a ticket");
    assert_eq!(mailbox.remarks(&sn).await.len(), 0);
    mailbox.answers(&mail(CHECKED, "s6", "approve")).await;
    let votes = mailbox.count(&sn, "ticket.vote_cast").await;
    assert_eq!(votes, 1, "a command acts on the only ticket that waits");
}

#[tokio::test]
async fn mails_of_programs_are_never_answered() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    for (number, mark) in [
        "Auto-Submitted: auto-replied",
        "Precedence: bulk",
        "X-Auto-Response-Suppress: All",
        "X-Ledgerdesk-Instance: 0123456789abcdef",
        "Return-Path: <>",
    ]
    .into_iter()
    .enumerate()
    {
        let away = reply(&mail, &format!("a{number}"), ZHANGSAN, "I am away.");
        let answers = mailbox.answers(&format!("{mark}\r\n{away}")).await;
        assert_eq!(answers.len(), 0, "{mark}");
    }
    assert_eq!(mailbox.remarks(&sn).await.len(), 0);
    // The own mail of the desk comes back, for example from a forwarding rule.
    assert_eq!(mailbox.answers(&mail).await.len(), 0);
    assert_eq!(mailbox.remarks(&sn).await.len(), 0);
}

#[tokio::test]
async fn a_loop_without_marks_ends_at_the_breaker() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    let mut answers = 0;
    for number in 0..40 {
        let id = format!("loop{number}");
        answers += mailbox
            .answers(&reply(&mail, &id, ZHANGSAN, "status"))
            .await
            .len();
    }
    assert_eq!(answers, 10, "the limit of one hour");
    for number in 0..5 {
        let id = format!("late{number}");
        mailbox
            .answers(&reply(&mail, &id, ZHANGSAN, "I am away."))
            .await;
    }
    assert_eq!(
        mailbox.remarks(&sn).await.len(),
        0,
        "the limit of all mails"
    );
    mailbox.channels.desk.clock.advance(3_600_001);
    mailbox
        .answers(&reply(&mail, "next", ZHANGSAN, "I am back."))
        .await;
    assert_eq!(mailbox.remarks(&sn).await, ["I am back."]);
}
