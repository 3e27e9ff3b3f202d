//! What every queue does alike.

use events::Moment;

use super::Queue;

/// Runs the whole suite against empty queues.
pub async fn check(queue: &dyn Queue) {
    let ids = |now: i64, until: i64| async move {
        queue.take("q", Moment(now), Moment(until), 10).await.expect("take").into_iter().map(|message| (message.id, message.attempts)).collect::<Vec<_>>()
    };
    queue.put("q", "a", b"1", Moment(5)).await.expect("put");
    queue.put("q", "a", b"2", Moment(0)).await.expect("put");
    queue.put("other", "b", b"3", Moment(0)).await.expect("put");
    assert!(ids(4, 9).await.is_empty(), "nothing comes before its time");
    let first = queue.take("q", Moment(5), Moment(9), 10).await.expect("take");
    assert_eq!(first[0].body, b"1", "the same id twice is one message, the first");
    assert!(ids(8, 9).await.is_empty(), "a taken message is away until its time");
    assert_eq!(ids(9, 20).await, [("a".to_owned(), 2)], "an unfinished message comes back");
    queue.put_off("q", "a", Moment(30)).await.expect("put off");
    assert!(ids(20, 40).await.is_empty());
    queue.park("q", "a", "poison").await.expect("park");
    assert!(ids(99, 100).await.is_empty());
    let parked = queue.parked(10).await.expect("parked");
    assert_eq!((parked.len(), parked[0].id.as_str(), parked[0].reason.as_str()), (1, "a", "poison"));
    queue.redrive("q", "a", Moment(50)).await.expect("redrive");
    assert_eq!(ids(50, 60).await, [("a".to_owned(), 1)], "a redriven message starts anew");
    assert_eq!(queue.waiting("q").await.expect("waiting"), 1);
    queue.done("q", "a").await.expect("done");
    assert_eq!(queue.waiting("q").await.expect("waiting"), 0);
}
