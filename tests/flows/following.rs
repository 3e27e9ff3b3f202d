//! These tests check the follower: the task that updates the views (lists that are computed from the
//! ledger). If a stream contains an unreadable commit, the follower parks the stream. The follower then
//! skips this stream, and continues with the other streams. When the cause is removed, the follower
//! processes the stream again.

use events::Moment;
use functions::app::subscriptions::Everything;
use functions::host::local::follow_page;
use functions::registry::REGISTRY;
use functions::stream::follow::Follower;
use functions::stream::follow::births::Births;
use functions::stream::parked;
use infra::commit::following;
use serde_json::json;
use tests::approval_request;

use crate::TestDesk;

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
