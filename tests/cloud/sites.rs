//! What a robot or an edge site says reaches its queue, with the topic it said it on; what is said elsewhere does not.

use std::process::Command;

use tests::process::root;

use crate::House;

#[tokio::test]
async fn what_a_site_says_waits_in_its_queue_and_nothing_else_does() {
    let names = House::open().await.cloud.names;
    let say = |topic: &str, payload: &str| {
        let python = root().join("target/localstack/venv/bin/python");
        let output = Command::new(python).arg(root().join("tests/publish.py")).args([topic, payload, &names.queue("fleet")]).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let topic = format!("{}/fleet/site-1/up/state", names.prefix);
    let heard = say(&topic, r#"{"battery": 81}"#);
    let message: serde_json::Value = serde_json::from_str(heard.trim()).expect("one message");
    assert_eq!((&message["battery"], &message["topic"]), (&81.into(), &topic.into()));
    assert!(message["received"].is_i64(), "{message}");
    for elsewhere in ["another-desk/fleet/site-1/up/state".to_owned(), format!("{}/fleet/site-1/down/order", names.prefix)] {
        assert_eq!(say(&elsewhere, "{}"), "", "{elsewhere}");
    }
}
