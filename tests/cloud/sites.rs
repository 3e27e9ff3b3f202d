//! This test sends MQTT messages like the robots and edge sites of a desk. The messages must reach the
//! queue `fleet` together with their topic. Messages on other topics must not reach this queue.

use std::process::Command;

use tests::process::root;

use crate::TestDesk;

#[tokio::test]
async fn only_messages_of_a_site_of_the_desk_reach_the_queue() {
    let names = TestDesk::open().await.cloud.names;
    let publish = |topic: &str, payload: &str| {
        let python = root().join("target/localstack/venv/bin/python");
        let output = Command::new(python)
            .arg(root().join("tests/publish.py"))
            .args([topic, payload, &names.queue("fleet")])
            .output()
            .expect("the publisher runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let topic = format!("{}/fleet/site-1/up/state", names.prefix);
    let received = publish(&topic, r#"{"battery": 81}"#);
    let message: serde_json::Value = serde_json::from_str(received.trim()).expect("one message");
    assert_eq!(
        (&message["battery"], &message["topic"]),
        (&81.into(), &topic.into())
    );
    assert!(message["received"].is_i64(), "{message}");
    for other_topic in [
        "another-desk/fleet/site-1/up/state".to_owned(),
        format!("{}/fleet/site-1/down/order", names.prefix),
    ] {
        assert_eq!(publish(&other_topic, "{}"), "", "{other_topic}");
    }
}
