//! Contains two contract suites (tests that adapters must pass) for the work queues. The suite
//! `check` is for queues that detect duplicate ids. The suite `check_in_real_time` is for all
//! queues.

use std::time::Duration;

use events::Moment;

use super::{Message, Queue};
use crate::clock::Clock;

/// Runs the tests for queues that detect duplicate ids. The queues must be empty. The tests pass
/// fixed times to the functions, so the tests do not wait.
pub async fn check(queue: &dyn Queue) {
    let take = |now: i64, until: i64| async move {
        queue
            .take("q", Moment(now), Moment(until), 10)
            .await
            .expect("take")
    };
    let ids = |messages: &[Message]| {
        messages
            .iter()
            .map(|message| (message.id.clone(), message.attempts))
            .collect::<Vec<_>>()
    };
    queue.put("q", "a", b"1", Moment(5)).await.expect("put");
    queue.put("q", "a", b"2", Moment(0)).await.expect("put");
    queue.put("other", "b", b"3", Moment(0)).await.expect("put");
    assert!(
        take(4, 9).await.is_empty(),
        "no message is available before its due time"
    );
    let first = take(5, 9).await;
    assert_eq!(
        first[0].body, b"1",
        "two puts with one id are one message, the first"
    );
    assert!(
        take(8, 9).await.is_empty(),
        "a taken message is hidden until its time"
    );
    let again = take(9, 20).await;
    assert_eq!(
        ids(&again),
        [("a".to_owned(), 2)],
        "an unfinished message is available again"
    );
    queue
        .defer("q", &again[0], Moment(30))
        .await
        .expect("defer");
    assert!(take(20, 40).await.is_empty());
    // The worker defers a message many times. A deferral is a result, so the queue must not count
    // these deliveries as abandoned (deliveries without a result).
    for round in 0..20 {
        let taken = take(30 + round, 40 + round).await;
        assert_eq!(
            (taken[0].attempts, taken[0].abandoned),
            (3 + u32::try_from(round).expect("few"), 2)
        );
        queue
            .defer("q", &taken[0], Moment(31 + round))
            .await
            .expect("defer");
    }
    queue.park("q", &again[0], "poison").await.expect("park");
    assert!(take(99, 100).await.is_empty());
    let parked = queue.parked(10).await.expect("parked");
    assert_eq!(
        (
            parked.len(),
            parked[0].id.as_str(),
            parked[0].reason.as_str()
        ),
        (1, "a", "poison")
    );
    queue.redrive("q", "a", Moment(50)).await.expect("redrive");
    let redriven = take(50, 60).await;
    assert_eq!(
        (ids(&redriven), redriven[0].abandoned),
        (vec![("a".to_owned(), 1)], 1),
        "a redriven message starts with zero attempts"
    );
    assert_eq!(queue.waiting("q").await.expect("waiting"), 1);
    queue.done("q", &redriven[0]).await.expect("done");
    assert_eq!(queue.waiting("q").await.expect("waiting"), 0);
}

/// Maximum time in milliseconds that a test waits for an expected message.
const ARRIVAL_MAX_MS: i64 = 20_000;

/// Runs the tests that every queue must pass. The queue must be empty. The tests wait in real time.
pub async fn check_in_real_time(queue: &dyn Queue, name: &str, clock: &dyn Clock) {
    let take = || async {
        queue
            .take(name, clock.now(), clock.now().plus_ms(2_000), 10)
            .await
            .expect("take")
    };
    let next_message = || async {
        let began = clock.now();
        loop {
            if let Some(message) = take().await.pop() {
                return (message, clock.now());
            }
            assert!(
                clock.now().0 - began.0 < ARRIVAL_MAX_MS,
                "an expected message did not arrive"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let due = clock.now().plus_ms(2_000);
    queue
        .put(name, "late", "迟".as_bytes(), due)
        .await
        .expect("put");
    queue
        .put(name, "a", b"{\"x\":1}", clock.now())
        .await
        .expect("put");
    let (a, taken_at) = next_message().await;
    assert_eq!(
        (a.id.as_str(), a.body.as_slice(), a.attempts),
        ("a", &b"{\"x\":1}"[..], 1)
    );
    queue.done(name, &a).await.expect("done");
    // A client repeats this request if the response was lost.
    queue.done(name, &a).await.expect("done again");
    let (late, late_taken_at) = next_message().await;
    assert_eq!(
        (late.id.as_str(), late.body.as_slice()),
        ("late", "迟".as_bytes())
    );
    // Some queues use delays in whole seconds. Such a queue can deliver a message up to one second
    // early.
    assert!(
        late_taken_at.0 > due.0 - 1_000 && late_taken_at >= taken_at,
        "a message is not available before its due time"
    );
    let (again, _) = next_message().await;
    // Some queues count a delivery even if its response was lost. The test therefore checks only
    // that the count has increased. The suite `check` compares exact numbers.
    assert!(
        again.id == "late" && again.attempts >= 2,
        "an unfinished message is available again with a higher count: {}",
        again.attempts
    );
    let before = again.attempts;
    queue
        .defer(name, &again, clock.now().plus_ms(1_000))
        .await
        .expect("defer");
    let (again, _) = next_message().await;
    assert!(again.attempts > before, "{} after {before}", again.attempts);
    queue.park(name, &again, "poison").await.expect("park");
    assert!(take().await.is_empty());
    let parked = queue.parked(10).await.expect("parked");
    assert_eq!(
        (
            parked.len(),
            parked[0].queue.as_str(),
            parked[0].id.as_str(),
            parked[0].reason.as_str()
        ),
        (1, name, "late", "poison")
    );
    queue
        .redrive(name, "late", clock.now())
        .await
        .expect("redrive");
    let (redriven, _) = next_message().await;
    assert_eq!(
        (redriven.id.as_str(), redriven.attempts),
        ("late", 1),
        "a redriven message starts with zero attempts"
    );
    assert!(queue.parked(10).await.expect("parked").is_empty());
    assert_eq!(queue.waiting(name).await.expect("waiting"), 1);
    queue.done(name, &redriven).await.expect("done");
    assert_eq!(queue.waiting(name).await.expect("waiting"), 0);
}
