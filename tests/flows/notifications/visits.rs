//! These tests check that the visit of a ticket from the link in a message counts as read: once, only for the recipient, and
//! only for accounts with the setting `count_visits`.

use domain::notification::delivery::Delivery;
use functions::app::notifications::definitions::Definitions;
use serde_json::{Value, json};

use super::{Channels, MAIL};
use crate::console::{Browser, logged_in};

const COUNTED: &str = "    count_visits = true\n";
const POLICY: &str = "
    [policy]
    accounts = [\"mail\"]
";

impl Channels {
    /// Returns the path of the link to the ticket in the mail about the newest notification of zhangsan.
    async fn mailed_link(&self) -> String {
        let id = self.newest("zhangsan").await["deliveries"][0]["delivery"].clone();
        let stream = format!("delivery-{}", id.as_str().expect("an id"));
        let ledger = &self.desk.app.ledger;
        let delivery = ledger.load::<Delivery>(&stream).await.expect("a delivery");
        let requested = delivery.aggregate.0.requested.expect("a message");
        let url = requested.content.value["link"]["url"].clone();
        let url = url.as_str().expect("a URL");
        let path = url.strip_prefix(self.desk.app.settings.site.trim_end_matches('/'));
        path.expect("a page of the desk").to_owned()
    }

    /// Returns the number of visits from the messages of the mail account in the report.
    async fn visits(&self) -> Value {
        let path = "reports/notifications?language=en&days=1";
        self.get(path, "admin").await["accounts"]["mail"]["visits"].clone()
    }
}

/// Opens a link as a person, and checks that the address of the shown page has no token.
async fn open(browser: &mut Browser<'_>, link: &str, sn: &str) {
    let page = browser.get(link).await;
    let expected = (303, format!("/tickets/{sn}"));
    assert_eq!((page.status, page.location), expected, "{}", page.text);
    let page = browser.get(&expected.1).await;
    assert_eq!(page.status, 200, "{}", page.text);
}

#[tokio::test]
async fn a_visit_of_the_recipient_counts_once_as_read() {
    let channels = Channels::open_with(&[MAIL, COUNTED, POLICY].concat()).await;
    channels.reachable(None).await;
    let sn = channels.submit().await;
    let link = channels.mailed_link().await;
    assert!(link.starts_with(&format!("/tickets/{sn}?visit=")), "{link}");

    // A mail gateway is not logged in.
    let (status, _) = channels.page(&link, None).await;
    assert_eq!(status, 303);
    // Another approver may read the ticket. This person opens a forwarded mail.
    let mut other = logged_in(&channels.desk, "wangwu").await;
    open(&mut other, &link, &sn).await;
    let mut owner = logged_in(&channels.desk, "zhangsan").await;
    // A changed token still shows the ticket.
    open(&mut owner, &format!("{link}x"), &sn).await;
    open(&mut owner, &format!("/tickets/{sn}?visit=x"), &sn).await;
    channels.desk.settle().await;
    assert_eq!(channels.visits().await, 0);
    assert_eq!(channels.newest("zhangsan").await["is_read"], false);

    open(&mut owner, &link, &sn).await;
    channels.desk.settle().await;
    let head = channels.desk.head().await;
    open(&mut owner, &link, &sn).await;
    assert_eq!(channels.desk.head().await, head, "a visit counts once");
    channels.desk.settle().await;
    assert_eq!(channels.visits().await, 1);
    assert_eq!(channels.newest("zhangsan").await["is_read"], true);
    let steps = channels.why().await;
    let sentence = "opened the ticket from the link in the message of the channel account mail";
    assert!(
        steps.iter().any(|(_, _, text)| text.contains(sentence)),
        "{steps:?}"
    );
}

#[tokio::test]
async fn a_link_to_another_ticket_and_a_read_notification_count_no_visit() {
    let channels = Channels::open_with(&[MAIL, COUNTED, POLICY].concat()).await;
    channels.reachable(None).await;
    let other = channels.submit().await;
    channels.desk.clock.advance(1_000);
    let sn = channels.submit().await;
    let link = channels.mailed_link().await;
    let mut owner = logged_in(&channels.desk, "zhangsan").await;
    open(&mut owner, &link.replace(&sn, &other), &other).await;
    assert_eq!(channels.newest("zhangsan").await["is_read"], false);
    channels.read_newest("zhangsan").await;
    open(&mut owner, &link, &sn).await;
    channels.desk.settle().await;
    assert_eq!(channels.visits().await, 0);
}

#[tokio::test]
async fn an_account_counts_visits_only_if_its_setting_says_so() {
    let channels = Channels::open_with(&[MAIL, POLICY].concat()).await;
    channels.reachable(None).await;
    let sn = channels.submit().await;
    assert_eq!(channels.mailed_link().await, format!("/tickets/{sn}"));
    let wrong = [MAIL, "    count_visits = \"yes\"\n", POLICY].concat();
    let reason = Definitions::read(&wrong).expect_err("a wrong setting");
    assert!(
        reason.contains("`count_visits` must be true or false"),
        "{reason}"
    );
    assert_eq!(json!(0), channels.visits().await);
}
