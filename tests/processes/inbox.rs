//! This test reads the server-sent events of an inbox with a client that another project wrote (the PyPI package
//! httpx-sse). The desk is killed in between, and the client connects again.

use std::process::Command;

use serde_json::{Value, json};
use tests::approval_request;
use tests::foreign::spawn;
use tests::process::{APP, root, until};

use crate::desk::Desk;

/// Number of tickets that the test opens. The desk is killed after each of them.
const TICKETS: usize = 4;

#[tokio::test]
async fn a_client_gets_each_change_once_although_the_desk_is_killed() {
    let folder = tempfile::tempdir().expect("a directory");
    let accounts = folder.path().join("accounts.toml");
    std::fs::write(&accounts, "[policy]\naccounts = []\n").expect("written");
    let mut desk = Desk::start(&["--accounts", accounts.to_str().expect("a path")]);
    let output = folder.path().join("events.jsonl");
    let events = || -> Vec<Value> {
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
        let lines = complete.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{text}")))
            .collect()
    };
    let base = desk.served().base.clone();
    let mut command = Command::new(root().join("target/python/bin/python"));
    command
        .arg(root().join("tests/foreign/inbox_client.py"))
        .args([&base, APP.0, APP.1, "zhangsan"])
        .arg(TICKETS.to_string());
    let _client = spawn(&mut command, &output);
    until("the client is connected", async || {
        let events = events();
        let is_connected = events.iter().any(|event| event["name"] == "connected");
        is_connected.then_some(()).ok_or(json!(events))
    })
    .await;
    let mut tickets = Vec::new();
    for _ in 0..TICKETS {
        let opened = desk.served().bk("create_ticket", approval_request()).await;
        tickets.push(opened["data"]["sn"].clone());
        desk.restart();
    }
    let changes = until("the client has all changes", async || {
        let events = events();
        let changes = events
            .iter()
            .filter(|event| event["name"] == "notification");
        let changes: Vec<Value> = changes.cloned().collect();
        if changes.len() >= TICKETS {
            Ok(changes)
        } else {
            Err(json!(events))
        }
    })
    .await;
    let mut received: Vec<String> = changes
        .iter()
        .map(|change| change["data"]["notification"]["ticket"].to_string())
        .collect();
    // The work of a killed desk can continue after the work for a later ticket, so the order can differ.
    received.sort_unstable();
    let mut expected: Vec<String> = tickets.iter().map(Value::to_string).collect();
    expected.sort_unstable();
    assert_eq!(received, expected);
    let ids: Vec<i64> = changes
        .iter()
        .map(|change| change["id"].as_i64().expect("an id"))
        .collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    let connections = events()
        .iter()
        .filter(|event| event["name"] == "connected")
        .count();
    assert!(
        connections > 1,
        "the client connected again: {:?}",
        events()
    );
}
