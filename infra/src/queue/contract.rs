//! What every queue does alike; and what one does besides that can tell that a message is there already.

use std::time::Duration;

use events::Moment;

use super::{Message, Queue};
use crate::clock::Clock;

/// Runs the suite of queues that know their messages by id, at times of its own making, against empty queues.
pub async fn check(queue: &dyn Queue) {
    let take = |now: i64, until: i64| async move { queue.take("q", Moment(now), Moment(until), 10).await.expect("take") };
    let ids = |messages: &[Message]| messages.iter().map(|message| (message.id.clone(), message.attempts)).collect::<Vec<_>>();
    queue.put("q", "a", b"1", Moment(5)).await.expect("put");
    queue.put("q", "a", b"2", Moment(0)).await.expect("put");
    queue.put("other", "b", b"3", Moment(0)).await.expect("put");
    assert!(take(4, 9).await.is_empty(), "nothing comes before its time");
    let first = take(5, 9).await;
    assert_eq!(first[0].body, b"1", "the same id twice is one message, the first");
    assert!(take(8, 9).await.is_empty(), "a taken message is away until its time");
    let again = take(9, 20).await;
    assert_eq!(ids(&again), [("a".to_owned(), 2)], "an unfinished message comes back");
    queue.put_off("q", &again[0], Moment(30)).await.expect("put off");
    assert!(take(20, 40).await.is_empty());
    // Whoever puts a message off has not broken off, however often.
    for round in 0..20 {
        let taken = take(30 + round, 40 + round).await;
        assert_eq!((taken[0].attempts, taken[0].broken_off), (3 + u32::try_from(round).expect("few"), 2));
        queue.put_off("q", &taken[0], Moment(31 + round)).await.expect("put off");
    }
    queue.park("q", &again[0], "poison").await.expect("park");
    assert!(take(99, 100).await.is_empty());
    let parked = queue.parked(10).await.expect("parked");
    assert_eq!((parked.len(), parked[0].id.as_str(), parked[0].reason.as_str()), (1, "a", "poison"));
    queue.redrive("q", "a", Moment(50)).await.expect("redrive");
    let redriven = take(50, 60).await;
    assert_eq!((ids(&redriven), redriven[0].broken_off), (vec![("a".to_owned(), 1)], 1), "a redriven message starts anew");
    assert_eq!(queue.waiting("q").await.expect("waiting"), 1);
    queue.done("q", &redriven[0]).await.expect("done");
    assert_eq!(queue.waiting("q").await.expect("waiting"), 0);
}

/// Longest wait for a message that must come.
const PATIENCE_MS: i64 = 20_000;

/// Runs the suite of all queues, at the real time of a clock, against an empty queue.
pub async fn check_in_real_time(queue: &dyn Queue, name: &str, clock: &dyn Clock) {
    let take = || async { queue.take(name, clock.now(), clock.now().plus_ms(2_000), 10).await.expect("take") };
    let must_come = || async {
        let began = clock.now();
        loop {
            if let Some(message) = take().await.pop() {
                return (message, clock.now());
            }
            assert!(clock.now().0 - began.0 < PATIENCE_MS, "a message must come");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let due = clock.now().plus_ms(2_000);
    queue.put(name, "late", "迟".as_bytes(), due).await.expect("put");
    queue.put(name, "a", b"{\"x\":1}", clock.now()).await.expect("put");
    let (a, taken_at) = must_come().await;
    assert_eq!((a.id.as_str(), a.body.as_slice(), a.attempts), ("a", &b"{\"x\":1}"[..], 1));
    queue.done(name, &a).await.expect("done");
    let (late, came_at) = must_come().await;
    assert_eq!((late.id.as_str(), late.body.as_slice()), ("late", "迟".as_bytes()));
    // Queues of whole seconds may be early by less than one.
    assert!(came_at.0 > due.0 - 1_000 && came_at >= taken_at, "not before its time");
    let (again, _) = must_come().await;
    // An answer that came late to us was a delivery too: how often exactly is asked where time is turned by hand.
    assert!(again.id == "late" && again.attempts >= 2, "an unfinished message comes back, and says so: {}", again.attempts);
    let before = again.attempts;
    queue.put_off(name, &again, clock.now().plus_ms(1_000)).await.expect("put off");
    let (again, _) = must_come().await;
    assert!(again.attempts > before, "{} after {before}", again.attempts);
    queue.park(name, &again, "poison").await.expect("park");
    assert!(take().await.is_empty());
    let parked = queue.parked(10).await.expect("parked");
    assert_eq!((parked.len(), parked[0].queue.as_str(), parked[0].id.as_str(), parked[0].reason.as_str()), (1, name, "late", "poison"));
    queue.redrive(name, "late", clock.now()).await.expect("redrive");
    let (redriven, _) = must_come().await;
    assert_eq!((redriven.id.as_str(), redriven.attempts), ("late", 1), "a redriven message starts anew");
    assert!(queue.parked(10).await.expect("parked").is_empty());
    assert_eq!(queue.waiting(name).await.expect("waiting"), 1);
    queue.done(name, &redriven).await.expect("done");
    assert_eq!(queue.waiting(name).await.expect("waiting"), 0);
}
