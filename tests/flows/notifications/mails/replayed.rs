//! These tests check mails that a person sent to others, and that another person sends to the desk again. The signature of
//! such a mail is still valid.

use serde_json::json;

use super::{CHECKED, Mailbox, ZHANGSAN};

const TODAY: &str = "Sun, 22 Nov 2026 09:00:00 +0800";
/// The mail server of zhangsan signs these headers.
const SIGNED: &str = "from:to:cc:date:message-id";

/// A mail of zhangsan as the relay of the desk delivers it.
struct Arrived<'a> {
    id: &'a str,
    to: &'a str,
    date: &'a str,
    /// The headers that the signature covers.
    signed: &'a str,
    /// Further results of the relay.
    results: &'a str,
}

const VALID: Arrived<'static> = Arrived {
    id: "v1",
    to: "itsm@example.com",
    date: TODAY,
    signed: SIGNED,
    results: "",
};

impl Arrived<'_> {
    fn text(&self) -> String {
        let Self {
            id,
            to,
            date,
            signed,
            results,
        } = self;
        format!(
            "Delivered-To: itsm@example.com\r\n{CHECKED}{results}Received: from a by relay.example; x\r\n\
            DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s1;\r\n h={signed}; bh=AAAA=; b=BBBB=\r\n\
            From: {ZHANGSAN}\r\nTo: {to}\r\nDate: {date}\r\nMessage-ID: <{id}@example.com>\r\n\r\napprove\r\n"
        )
    }
}

impl Mailbox {
    /// Links the mail address of zhangsan with the person.
    async fn linked() -> Self {
        let mailbox = Self::open().await;
        let path = "people/zhangsan/addresses/email/verify";
        let desk = &mailbox.channels.desk;
        let (status, answer) = desk.v1("POST", path, "zhangsan", json!({})).await;
        assert_eq!(status, 200, "{answer}");
        let code = answer["code"].as_str().expect("a code");
        let mail = format!(
            "{CHECKED}From: {ZHANGSAN}\r\nTo: itsm@example.com\r\nMessage-ID: <link@example.com>\r\n\r\nlink {code}\r\n"
        );
        mailbox.answers(&mail).await;
        mailbox
    }
}

#[tokio::test]
async fn a_mail_to_others_that_is_sent_again_is_answered_and_changes_nothing() {
    let mailbox = Mailbox::linked().await;
    let (sn, _) = mailbox.notified().await;
    let spf = "Authentication-Results: relay.example; spf=pass smtp.mailfrom=x@evil.example\r\n";
    for (mail, what) in [
        (
            Arrived {
                id: "f1",
                to: "wangwu@example.com",
                ..VALID
            },
            "to another person",
        ),
        (
            Arrived {
                id: "f2",
                to: "wangwu@example.com\r\nTo: itsm@example.com",
                ..VALID
            },
            "with an added header",
        ),
        (
            Arrived {
                id: "f3",
                signed: "from:subject:date:message-id",
                ..VALID
            },
            "with a changed recipient",
        ),
        (
            Arrived {
                id: "f4",
                signed: "from:to",
                results: spf,
                ..VALID
            },
            "from the server of another person",
        ),
    ] {
        let answers = mailbox.answers(&mail.text()).await;
        assert_eq!(answers.len(), 1, "{what}");
        let answer = answers[0].replace("=\r\n", "");
        assert!(answer.contains("not for this desk"), "{what}: {answer}");
        assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 0, "{what}");
    }
    let old = Arrived {
        id: "f5",
        date: "Sat, 14 Nov 2026 09:00:00 +0800",
        ..VALID
    };
    let answers = mailbox.answers(&old.text()).await;
    assert_eq!(answers.len(), 1);
    assert!(answers[0].replace("=\r\n", "").contains("an old mail"));
    assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 0);
    mailbox.answers(&VALID.text()).await;
    assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 1);
}

#[tokio::test]
async fn a_mail_from_a_server_of_its_sender_needs_no_signature_of_to() {
    let mailbox = Mailbox::linked().await;
    let (sn, _) = mailbox.notified().await;
    let mail = Arrived {
        to: "Desk <ITSM+any@example.com>",
        signed: "from:date",
        results: "Authentication-Results: relay.example; spf=pass smtp.mailfrom=zhangsan@example.com\r\n",
        ..VALID
    };
    mailbox.answers(&mail.text()).await;
    assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 1);
}

/// A relay writes the address for replies into the mail, because another person sent the mail to this address again.
#[tokio::test]
async fn an_address_for_replies_in_a_header_of_the_relay_proves_nothing() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    let reply = super::reply(&mail, "r1", ZHANGSAN, "approve");
    let address = super::header_of(&mail, "Reply-To");
    let sent_again = reply.replace(&format!("To: <{address}>"), "To: wangwu@example.com");
    let sent_again = format!("Delivered-To: {address}\r\n{CHECKED}{sent_again}");
    assert_eq!(mailbox.answers(&sent_again).await.len(), 0);
    assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 0);
    mailbox.answers(&reply.replace("<r1@", "<r2@")).await;
    assert_eq!(mailbox.count(&sn, "ticket.vote_cast").await, 1);
}
