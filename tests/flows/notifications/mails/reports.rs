//! These tests check that only a report with the keyed tag of a mail changes the delivery of the mail.

use domain::notification::delivery::{Command, Delivery};
use events::delivery::Requested;
use events::{Meta, Personal};
use infra::CommandEnvelope;
use infra::clock::Clock as _;
use infra::ledger::NoContext;
use serde_json::Value;

use super::sources::{delivery, report};
use super::{Mailbox, ZHANGSAN, header_of};

/// Returns the id of the delivery of a mail, and its keyed tag.
fn mark_of(mail: &str) -> (String, String) {
    let mark = header_of(mail, "X-Ledgerdesk-Delivery");
    let (id, tag) = mark.split_once('.').expect("a tag");
    (id.to_owned(), tag.to_owned())
}

#[tokio::test]
async fn a_report_without_the_tag_of_its_mail_changes_nothing() {
    let mailbox = Mailbox::open().await;
    let (_, mail) = mailbox.notified().await;
    let (id, tag) = mark_of(&mail);
    let genuine = report(&mail, ZHANGSAN, "5.1.1");
    let last = if tag.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{id}.{}{last}", &tag[..tag.len() - 1]);
    for (number, forged) in [id.clone(), wrong].into_iter().enumerate() {
        let forged = genuine.replace(&format!("{id}.{tag}"), &forged);
        let forged = forged.replace("<d5.1.1@", &format!("<f{number}@"));
        mailbox.answers(&forged).await;
        assert_eq!(delivery(&mailbox).await, Value::Null, "{forged}");
    }
    // The key that made the tag was replaced once since the mail was sent.
    let meta = Meta::system("test", "test");
    let rotated = mailbox.channels.desk.app.rotate_token_key(meta).await;
    rotated.expect("a new key");
    mailbox.answers(&genuine).await;
    assert_eq!(delivery(&mailbox).await["state"], "bounced");
}

/// A desk was upgraded while a delivery waited. The event of this delivery does not contain the member `is_tagged`.
#[tokio::test]
async fn a_mail_from_before_the_tags_still_gets_its_report() {
    let mailbox = Mailbox::open().await;
    let (_, mail) = mailbox.notified().await;
    let desk = &mailbox.channels.desk;
    let (id, tag) = mark_of(&mail);
    let stream = format!("delivery-{id}");
    let known = desk.app.ledger.load::<Delivery>(&stream);
    let known = known.await.expect("loaded").aggregate.0;
    let known = known.requested.expect("a request");
    let plain = |one: &Personal| Personal::new(one.subject.clone(), one.value.clone());
    let (to, content) = (plain(&known.to), plain(&known.content));
    let old = Requested {
        to,
        content,
        due: desk.clock.now(),
        is_tagged: false,
        ..known
    };
    let shape = serde_json::to_value(&old).expect("JSON");
    assert_eq!(shape.get("is_tagged"), None, "the shape of older versions");
    let id = "0123456789abcdef".repeat(2);
    let command_envelope = CommandEnvelope {
        stream: format!("delivery-{id}"),
        command_id: [7; 16],
        meta: Meta::system("test", "test"),
    };
    let command = Command::Request(Box::new(old));
    let executed = desk
        .app
        .ledger
        .execute::<Delivery>(&command_envelope, &command, &NoContext)
        .await;
    executed.expect("accepted");
    desk.settle().await;
    let sent = desk.mailer.take();
    let sent = String::from_utf8(sent.first().expect("a mail").bytes.clone()).expect("text");
    assert_eq!(header_of(&sent, "X-Ledgerdesk-Delivery"), id);
    let genuine = report(&sent, ZHANGSAN, "5.1.1");
    let tagged = genuine.replace(&id, &format!("{id}.{tag}"));
    mailbox.answers(&tagged.replace("<d5.1.1@", "<f1@")).await;
    assert_eq!(delivery(&mailbox).await, Value::Null, "it has no tag");
    mailbox.answers(&genuine).await;
    assert_eq!(delivery(&mailbox).await["state"], "bounced");
}
