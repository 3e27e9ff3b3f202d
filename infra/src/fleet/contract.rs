//! Contains the contract test of the port [`Fleet`]: a test that every adapter must pass.

use super::Fleet;

/// Publishes several messages on one topic. The messages must arrive unchanged and in the same
/// order. The function `arrived` waits until the next message arrives, and returns its topic and
/// payload.
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
