//! This test checks that strangers cannot use up the rate limit of a channel account.

use std::collections::BTreeMap;

use axum::http::Request;
use infra::clock::Clock as _;

use super::{Mailbox, ZHANGSAN, reply};

/// More requests than the limit of an account allows at once.
const REQUESTS: u32 = 5_100;

#[tokio::test]
async fn a_valid_mail_is_accepted_after_many_requests_without_a_signature() {
    let mailbox = Mailbox::open().await;
    let (sn, mail) = mailbox.notified().await;
    let desk = &mailbox.channels.desk;
    desk.app.limits.apply();
    let at = desk.clock.now().0.div_euclid(1_000).to_string();
    let mut statuses: BTreeMap<u16, u32> = BTreeMap::new();
    for _ in 0..REQUESTS {
        let request = Request::builder()
            .method("POST")
            .uri("/callbacks/channels/mail/mail")
            .header("x-ledgerdesk-timestamp", &at)
            .header("x-ledgerdesk-signature", "v1=00")
            .body("From: a@b.example\r\n\r\nx".into())
            .unwrap();
        let (status, _) = desk.send(request).await;
        *statuses.entry(status.as_u16()).or_default() += 1;
    }
    let expected = BTreeMap::from([(403, 1_000), (429, REQUESTS - 1_000)]);
    assert_eq!(statuses, expected, "strangers have a limit of their own");
    let valid = reply(&mail, "r1", ZHANGSAN, "The list is complete.");
    assert_eq!(mailbox.forward(&valid, 0).await, 200);
    assert_eq!(mailbox.remarks(&sn).await, ["The list is complete."]);
}
