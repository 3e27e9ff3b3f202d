//! Following goes on past what it cannot read, and takes it up again when it can.

use events::Moment;
use functions::host::local::follow_page;
use functions::stream::follow::Follower;
use functions::stream::parked;
use infra::store::contract::following;
use serde_json::json;
use tests::approval_request;

use crate::TestDesk;

async fn follow_all(desk: &TestDesk) {
    let mut position = 0;
    while position < desk.head().await {
        position = follow_page(&desk.app, position)
            .await
            .expect("following never stops");
    }
}

#[tokio::test]
async fn a_commit_that_cannot_be_read_parks_its_stream_and_the_others_go_on() {
    let desk = TestDesk::open().await;
    // An event of a later program, in a stream of its own.
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
        "the others go on"
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

    let follower = Follower {
        ledger: &desk.app.ledger,
        views: &*desk.app.views,
        queue: &*desk.app.queue,
    };
    let still = parked::redrive(&desk.app.ledger, follower, follow[0])
        .await
        .expect_err("the cause is not mended");
    assert!(still.what.contains("version 9"));
    assert_eq!(
        parked::list(&*desk.app.views, 10)
            .await
            .expect("listed")
            .len(),
        listed.len(),
        "it stays on the list"
    );

    // A stream that was parked for a cause that is gone is followed from its card and leaves the list.
    let mended = parked::Parked {
        consumer: "follow".into(),
        stream: format!("ticket-{}", sn.as_str().expect("sn")),
        ..follow[0].clone()
    };
    parked::park(&*desk.app.views, &mended)
        .await
        .expect("parked");
    parked::redrive(&desk.app.ledger, follower, &mended)
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
