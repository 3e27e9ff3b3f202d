//! These tests check the chat group on the page of a ticket in the console.

use super::ON_REQUEST;
use super::platform::{Fault, Groups};
use crate::console::{hidden, logged_in};

/// Returns the hidden fields of the form with the path `action`.
fn fields(page: &str, action: &str) -> [(&'static str, String); 2] {
    ["form_code", "once"].map(|name| (name, hidden(page, action, name)))
}

fn borrowed<'a>(fields: &'a [(&'static str, String); 2]) -> [(&'static str, &'a str); 2] {
    [
        (fields[0].0, fields[0].1.as_str()),
        (fields[1].0, fields[1].1.as_str()),
    ]
}

#[tokio::test]
async fn the_page_of_a_ticket_creates_and_closes_its_group() {
    let groups = Groups::wecom(ON_REQUEST).await;
    let sn = groups.channels.submit().await;
    let desk = &groups.channels.desk;
    let path = format!("/tickets/{sn}");
    let (open, close) = (format!("{path}/open-group"), format!("{path}/close-group"));
    let mut browser = logged_in(desk, "zhangsan").await;
    let page = browser.get(&path).await;
    assert!(page.text.contains("Create the chat group"), "{}", page.text);
    assert!(!page.text.contains(&close), "there is no group to close");
    // A double click creates one group.
    let form = fields(&page.text, &open);
    for _ in 0..2 {
        let page = browser.post(&open, &borrowed(&form)).await;
        let target = format!("{path}?notice=group-opened");
        assert_eq!((page.status, page.location), (303, target));
    }
    desk.settle().await;
    assert_eq!(groups.state(&sn).await, "open");
    assert_eq!(groups.platform.count("create"), 1);
    let page = browser.get(&format!("{path}?notice=group-opened")).await;
    assert!(page.text.contains("is being created"), "{}", page.text);
    assert!(page.text.contains("Members: "), "{}", page.text);
    assert!(!page.text.contains(&open), "no person is left out");
    let form = fields(&page.text, &close);

    let mut other = logged_in(desk, "wangwu").await;
    let shown = other.get(&path).await;
    assert!(!shown.text.contains(&close), "{}", shown.text);
    let remark = fields(&shown.text, &format!("{path}/remark"));
    let refused = other.post(&close, &borrowed(&remark)).await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.text.contains("only the person who created"),
        "{}",
        refused.text
    );

    let page = browser.post(&close, &borrowed(&form)).await;
    assert_eq!(page.status, 303);
    desk.settle().await;
    assert_eq!(groups.state(&sn).await, "closed");
    let page = browser.get(&path).await;
    assert!(page.text.contains("Create the chat group"), "{}", page.text);
}

#[tokio::test]
async fn an_open_page_gets_the_changes_of_the_group_and_shows_failures() {
    let groups = Groups::wecom(ON_REQUEST).await;
    groups.platform.plan([Fault::Code(60_011)]);
    let sn = groups.channels.submit().await;
    let desk = &groups.channels.desk;
    let path = format!("/tickets/{sn}");
    let mut browser = logged_in(desk, "zhangsan").await;
    let version = |page: &str| {
        let rest = page.split("data-version=\"").nth(1).expect("a version");
        rest.split('"').next().expect("a version").to_owned()
    };
    let before = version(&browser.get(&path).await.text);
    let (status, answer) = groups.ask("POST", &sn, "zhangsan").await;
    assert_eq!(status, 200, "{answer}");
    let page = browser.get(&path).await;
    assert_ne!(version(&page.text), before);
    for part in [
        "not created",
        "Last failure: 60011",
        "Create the chat group",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
}
