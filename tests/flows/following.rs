//! These tests check the follower: the task that updates the views (lists that are computed from the
//! ledger). If a stream contains an unreadable commit, the follower parks the stream. The follower then
//! skips this stream, and continues with the other streams. When the cause is removed, the follower
//! processes the stream again.

use std::sync::Arc;

use async_trait::async_trait;
use domain::ticket::Status;
use events::{Moment, TicketSn};
use functions::app::subscriptions::Everything;
use functions::host::local::follow_page;
use functions::registry::REGISTRY;
use functions::stream::follow::Follower;
use functions::stream::follow::births::Births;
use functions::stream::parked;
use infra::Error;
use infra::commit::following;
use infra::views::{Document, Entry, Index, Range, Views};
use serde_json::{Value, json};
use tests::approval_request;

use crate::TestDesk;

/// Views in which the documents of one key are unreadable.
struct Damaged {
    views: Arc<dyn Views>,
    key: &'static str,
}

#[async_trait]
impl Views for Damaged {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        if key == self.key {
            return Err(Error::corrupt(format!("document {view} {key} is damaged")));
        }
        self.views.get(view, key).await
    }
    async fn put_with(
        &self,
        view: &str,
        key: &str,
        document: &Document,
        index: &Index,
        facets: &str,
        expected: i64,
    ) -> Result<bool, Error> {
        let put = self
            .views
            .put_with(view, key, document, index, facets, expected);
        put.await
    }
    async fn range_after(
        &self,
        range: Range<'_>,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, Error> {
        self.views.range_after(range, after).await
    }
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        self.views.count(view, index, from, to).await
    }
    async fn scan(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, Error> {
        self.views.scan(view, after, limit).await
    }
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error> {
        self.views.remove(view, key).await
    }
    async fn clear(&self, view: &str) -> Result<(), Error> {
        self.views.clear(view).await
    }
}

#[tokio::test]
async fn an_unreadable_card_parks_only_its_own_stream() {
    let desk = TestDesk::open().await;
    desk.must("create_ticket", approval_request()).await;
    desk.stop_following();
    let followed = desk.head().await;
    let damaged = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let readable = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let stream = |sn: &Value| format!("ticket-{}", sn.as_str().expect("sn"));
    let app = &desk.app;
    let views: Arc<dyn Views> = Arc::new(Damaged {
        views: app.views.clone(),
        key: stream(&damaged).leak(),
    });
    let births = Births::load(&app.ledger, REGISTRY).await.expect("births");
    let follower = Follower {
        ledger: &app.ledger,
        views: &*views,
        writer: &*app.page_writer,
        births: &births,
        wanted: &Everything,
        registry: REGISTRY,
    };
    let page = app.ledger.store.feed(followed, 100).await.expect("a page");
    let page = page.into_iter().map(Into::into).collect();
    follower.follow_page(page, None).await.expect("followed");
    let parked = parked::list(&*app.views, 10).await.expect("listed");
    let parked: Vec<&str> = parked.iter().map(|one| one.stream.as_str()).collect();
    assert_eq!(parked, [stream(&damaged)]);
    let card = app.views.get("ticket", &stream(&readable)).await;
    assert!(card.expect("readable").is_some());
}

/// The times of a ticket stay in memory after a read. A later event must not show the old ones.
#[tokio::test]
async fn a_ticket_that_was_read_before_shows_later_events() {
    let desk = TestDesk::open().await;
    let opened = desk.must("create_ticket", approval_request()).await;
    let sn = TicketSn::from(opened["sn"].as_str().expect("sn"));
    let read = async || {
        let card = functions::app::tickets::card(&desk.app, &sn).await;
        card.expect("readable").expect("a ticket")
    };
    let before = read().await;
    assert_eq!(read().await, before);
    desk.clock.advance(60_000);
    let suspend =
        json!({ "sn": sn, "operator": "admin", "action_type": "SUSPEND", "action_message": "等" });
    desk.must("operate_ticket", suspend).await;
    let after = read().await;
    assert_eq!(after.ticket.status, Status::Suspended);
    assert_eq!(after.created_at, before.created_at);
    assert_eq!(after.updated_at, before.updated_at.plus_ms(60_000));
}

async fn follow_all(desk: &TestDesk) {
    let births = Births::load(&desk.app.ledger, REGISTRY)
        .await
        .expect("births");
    let mut position = 0;
    while position < desk.head().await {
        position = follow_page(&desk.app, &births, position)
            .await
            .expect("following never stops");
    }
}

#[tokio::test]
async fn an_unreadable_commit_parks_only_its_own_stream() {
    let desk = TestDesk::open().await;
    // The stream `ticket-POISON` contains an event version that this version of the program cannot read.
    // The follower (the task that updates the views) must park only this stream. Parking means that the
    // follower skips the stream and continues with the other streams.
    let body = br#"{"meta":{"actor":"system","channel":"system","correlation":"c","causation":"c"},"events":[{"type":"ticket.opened","version":9,"data":{}}]}"#;
    desk.app
        .ledger
        .store
        .append(following("ticket-POISON", None, 1, 1, body))
        .await
        .expect("stored");
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    assert_eq!(
        desk.must("get_tickets", json!({ "sns": [sn] })).await["count"],
        1,
        "other streams are followed"
    );
    follow_all(&desk).await;
    let listed = parked::list(&*desk.app.views, 10).await.expect("listed");
    let follow: Vec<_> = listed
        .iter()
        .filter(|parked| parked.consumer == "follow")
        .collect();
    assert_eq!(
        (follow.len(), follow[0].stream.as_str(), follow[0].from),
        (1, "ticket-POISON", 1)
    );
    assert!(
        follow[0]
            .reason
            .contains("ticket.opened version 9: this program reads versions 1 to 1"),
        "{}",
        follow[0].reason
    );
    assert_eq!(follow[0].at, Moment(tests::MORNING.0));

    let births = Births::load(&desk.app.ledger, REGISTRY)
        .await
        .expect("births");
    let follower = Follower {
        ledger: &desk.app.ledger,
        views: &*desk.app.views,
        writer: &*desk.app.page_writer,
        births: &births,
        wanted: &Everything,
        registry: REGISTRY,
    };
    let still = parked::redrive(follower, follow[0])
        .await
        .expect_err("the cause is still there");
    assert!(still.what.contains("version 9"));
    assert_eq!(
        parked::list(&*desk.app.views, 10)
            .await
            .expect("listed")
            .len(),
        listed.len(),
        "the stream stays parked"
    );

    // The test parks the stream of a ticket, although all its commits are readable. A parked stream is on
    // a list of streams that are not processed. The function `redrive` must process the new commits of the
    // stream and remove the stream from this list.
    let recovered = parked::Parked {
        consumer: "follow".into(),
        stream: format!("ticket-{}", sn.as_str().expect("sn")),
        ..follow[0].clone()
    };
    parked::park(&*desk.app.views, &recovered)
        .await
        .expect("parked");
    parked::redrive(follower, &recovered)
        .await
        .expect("followed again");
    assert_eq!(
        parked::list(&*desk.app.views, 10)
            .await
            .expect("listed")
            .len(),
        listed.len()
    );
}
