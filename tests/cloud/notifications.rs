//! This test checks that deployed cloud functions notify an approver. The function `follow` requests the
//! notification, `notify` chooses the channel account, and `send` sends a mail. The mail goes to a mail relay
//! on this machine.

use std::process::{Command, Stdio};

use functions::app::notifications::definitions::Definitions;
use reqwest::Method;
use serde_json::{Value, json};
use tests::process::{Process, free_port, root};

use crate::TestDesk;
use crate::desk::{send, until};

#[tokio::test]
async fn an_approver_gets_a_mail_through_deployed_functions() {
    let desk = TestDesk::open().await;
    let run = std::process::id();
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("mails.jsonl");
    let port = free_port();
    let relay = Command::new(root().join("target/python/bin/python"))
        .arg(root().join("tests/foreign/smtp_sink.py"))
        .arg(port.to_string())
        .arg(&file)
        .stdout(Stdio::null())
        .spawn();
    let _relay = Process(relay.expect("the relay runs"));
    let definitions = Definitions::read(&format!(
        "[[account]]\nname = \"mail_{run}\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"desk@example.com\"\n\n[policy]\naccounts = [\"mail_{run}\"]\n"
    ))
    .expect("valid");
    definitions.store(&desk.app).await.expect("stored");
    let person = format!("approver_{run}");
    let address = format!("{person}@example.com");
    let preferences =
        json!({ "language": "en", "addresses": { "email": address }, "aggregation": false });
    let path = format!("people/{person}/preferences");
    send(desk.v1(Method::PUT, &path, &person).json(&preferences)).await;
    let fields = json!({ "title": "cloud", "APPROVER": person, "APPROVAL_CONTENT": "x" });
    let ticket = json!({ "service_id": 1, "fields": fields });
    let opened = desk.submit(&ticket).await;
    let sn = opened["sn"].as_str().expect("a number").to_owned();
    let mail = until("the mail", async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let line = text.lines().next()?;
        serde_json::from_str::<Value>(line).ok()
    })
    .await;
    assert_eq!(mail["to"], address);
    assert_eq!(
        mail["headers"]["references"],
        format!("<ticket.{sn}@example.com>")
    );
    let shown = until("the end of the notification", async || {
        let inbox = send(desk.v1(Method::GET, &format!("inbox/{person}"), &person)).await;
        let newest = inbox["notifications"][0].clone();
        (newest["state"] == "completed").then_some(newest)
    })
    .await;
    assert_eq!(shown["outcome"], "accepted", "{shown}");
    let why = format!(
        "notifications/{}/why?language=en",
        shown["id"].as_str().expect("an id")
    );
    let why = send(desk.v1(Method::GET, &why, &person)).await;
    let texts: Vec<&str> = why["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter_map(|step| step["text"].as_str())
        .collect();
    let expected = "The provider accepted the message (code 250).";
    assert!(texts.contains(&expected), "{texts:?}");
}
