//! These tests check the link with which people switch off mails.

use serde_json::json;

use super::{DAY_MS, Mailbox, ZHANGSAN, header_of};

/// Returns the path of the link with which the recipient of a mail switches off such mails.
fn link_of(mail: &str) -> String {
    let header = header_of(mail, "List-Unsubscribe");
    let url = header.trim_matches(['<', '>']);
    assert_eq!(
        header_of(mail, "List-Unsubscribe-Post"),
        "List-Unsubscribe=One-Click"
    );
    url.strip_prefix("https://desk.example")
        .expect("a link")
        .to_owned()
}

const ONE_CLICK: Option<&str> = Some("List-Unsubscribe=One-Click");

#[tokio::test]
async fn one_click_switches_the_mails_of_a_category_off() {
    let mailbox = Mailbox::open().await;
    let (_, mail) = mailbox.notified().await;
    let link = link_of(&mail);
    assert!(link.starts_with("/unsubscribe/"), "{link}");
    let head = mailbox.channels.desk.head().await;
    let (status, shown) = mailbox.channels.page(&link, None).await;
    assert_eq!(status, 200, "{shown}");
    assert!(shown.contains("approvals"), "{shown}");
    assert_eq!(
        mailbox.channels.desk.head().await,
        head,
        "a page changes nothing"
    );
    assert_eq!(mailbox.channels.page(&link, Some("x=1")).await.0, 400);
    assert_eq!(
        mailbox
            .channels
            .page("/unsubscribe/forged", ONE_CLICK)
            .await
            .0,
        404
    );
    assert_eq!(mailbox.channels.desk.head().await, head);
    let (status, done) = mailbox.channels.page(&link, ONE_CLICK).await;
    assert_eq!(status, 200, "{done}");
    assert!(done.contains("You are unsubscribed"), "{done}");
    let path = "people/zhangsan/preferences";
    let shown = mailbox.channels.get(path, "zhangsan").await;
    let categories = shown["channels"]["email"]["categories"]
        .as_array()
        .expect("a list")
        .clone();
    assert!(!categories.contains(&json!("approval")), "{categories:?}");
    assert!(categories.contains(&json!("commented")), "{categories:?}");
    assert_eq!(shown["addresses"]["email"], ZHANGSAN);
    mailbox.channels.desk.clock.advance(1_000);
    mailbox.channels.submit().await;
    assert_eq!(mailbox.channels.desk.mailer.take().len(), 0);
    let shown = mailbox.channels.newest("zhangsan").await;
    assert_eq!(shown["skipped"][0]["reason"], "category_off");
    let (status, _) = mailbox
        .channels
        .page(&link, Some("List-Unsubscribe=On-Again"))
        .await;
    assert_eq!(status, 200);
    mailbox.notified().await;
    mailbox.channels.desk.clock.advance(91 * DAY_MS);
    assert_eq!(mailbox.channels.page(&link, ONE_CLICK).await.0, 410);
}

#[tokio::test]
async fn a_mail_that_the_organization_requires_is_still_sent() {
    let floor = "[[policy.rules]]\ncategories = [\"approval\"]\nfloor = \"immediate\"\n";
    let mailbox = Mailbox::open_with(floor).await;
    let (_, mail) = mailbox.notified().await;
    let (_, shown) = mailbox.channels.page(&link_of(&mail), ONE_CLICK).await;
    assert!(shown.contains("Your organization requires"), "{shown}");
    mailbox.notified().await;
}

#[tokio::test]
async fn the_link_of_an_own_subscription_ends_only_this_subscription() {
    let mailbox = Mailbox::open().await;
    mailbox.prefer("admin", "en").await;
    let desk = &mailbox.channels.desk;
    let path = "people/admin/subscriptions/waiting";
    let body = json!({ "on": ["waiting"] });
    let (status, answer) = desk.v1("PUT", path, "admin", body).await;
    assert_eq!(status, 200, "{answer}");
    desk.settle().await;
    let to_admin = |mails: Vec<infra::channel::Mail>| {
        let found = mails.iter().find(|mail| mail.to == "admin@example.com");
        found.map(super::text_of)
    };
    mailbox.channels.submit().await;
    let mail = to_admin(desk.mailer.take()).expect("a mail");
    let link = link_of(&mail);
    let (_, shown) = mailbox.channels.page(&link, None).await;
    assert!(shown.contains("your subscription"), "{shown}");
    assert!(shown.contains("waiting"), "{shown}");
    let (status, done) = mailbox.channels.page(&link, ONE_CLICK).await;
    assert_eq!(status, 200, "{done}");
    desk.settle().await;
    let shown = mailbox
        .channels
        .get("people/admin/subscriptions", "admin")
        .await;
    assert_eq!(shown["subscriptions"][0]["paused"], true, "{shown}");
    let preferences = mailbox
        .channels
        .get("people/admin/preferences", "admin")
        .await;
    let choice = &preferences["channels"]["email"]["categories"];
    assert!(
        choice.is_null(),
        "other mails are still sent: {preferences}"
    );
    mailbox.channels.submit().await;
    assert_eq!(to_admin(desk.mailer.take()), None);
    mailbox
        .channels
        .page(&link, Some("List-Unsubscribe=On-Again"))
        .await;
    desk.settle().await;
    mailbox.channels.submit().await;
    assert!(to_admin(desk.mailer.take()).is_some());
}
