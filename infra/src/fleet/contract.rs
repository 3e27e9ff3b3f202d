//! The contract test for all adapters of [`Fleet`].

use super::Fleet;

/// Publishes messages and compares them with the messages that arrive. `arrived` returns the next
/// message for a topic of the contract; it waits until a message arrives.
pub async fn messages_arrive_unchanged_and_in_order(
    fleet: &dyn Fleet,
    mut arrived: impl AsyncFnMut() -> (String, Vec<u8>),
) {
    let topic = "uagv/v2/contract/001/state";
    let large = vec![b'x'; 140 << 10];
    let payloads: [&[u8]; 4] = [b"{\"orderId\":\"a\"}", "任务".as_bytes(), &large, b"last"];
    for payload in payloads {
        fleet.publish(topic, payload).await.expect("published");
    }
    for payload in payloads {
        let (at, content) = arrived().await;
        assert_eq!(at, topic);
        assert!(content == payload, "{} bytes differ", payload.len());
    }
}
