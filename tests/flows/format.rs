//! This test checks the bytes that the desk stores for the sample ticket of the design document. Personal
//! values are encrypted, and the personal data of one person is erased. An independent program verifies the
//! commits.

use std::process::Command;

use serde_json::json;
use tests::process::root;
use tests::{approval_request, form};

use crate::TestDesk;

#[tokio::test]
async fn an_independent_program_verifies_the_sample_ticket_of_the_design() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let act = |who: &str, node: i64, key: &str| json!({ "sn": sn, "operator": who, "state_id": node, "action_type": "TRANSITION", "fields": form(&[(key, "true")]) });
    desk.must("operate_node", act("zhangsan", 3, "FZR_YIJIAN"))
        .await;
    desk.must("operate_ticket", json!({ "sn": sn, "operator": "admin", "action_type": "SUSPEND", "action_message": "等待窗口" })).await;
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "admin", "action_type": "UNSUSPEND" }),
    )
    .await;
    desk.must("operate_node", act("admin", 4, "GLY_YIJIAN"))
        .await;

    let stream = format!("ticket-{}", sn.as_str().unwrap());
    let commits = desk
        .app
        .ledger
        .store
        .forward(&stream, 1, 100)
        .await
        .unwrap();
    println!("item sizes of the sample ticket, in bytes:");
    for commit in &commits {
        println!(
            "  {:>2}..{:<2} body {:>5}, item {:>5}",
            commit.first,
            commit.next() - 1,
            commit.body.len(),
            commit.size()
        );
    }
    let firsts: Vec<i64> = commits.iter().map(|commit| commit.first).collect();
    assert_eq!(
        firsts,
        [1, 6, 10, 11, 12],
        "open, vote, suspend, resume, vote and finish"
    );
    let opening = events::Body::read(&commits[0].body).unwrap();
    let kinds: Vec<&str> = opening.events.iter().map(|raw| raw.kind.as_ref()).collect();
    assert_eq!(
        kinds,
        [
            "ticket.opened",
            "ticket.node_entered",
            "ticket.node_completed",
            "ticket.transition_taken",
            "ticket.node_entered"
        ]
    );

    let lisi = desk
        .app
        .ledger
        .keys
        .find("lisi")
        .await
        .unwrap()
        .expect("lisi");
    desk.app.ledger.keys.erase(&lisi).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("export.jsonl");
    let mut lines = String::new();
    for placed in desk.app.ledger.store.feed(0, 10_000).await.unwrap() {
        for line in functions::cli::audit::cloud_events(&placed).unwrap() {
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
    }
    std::fs::write(&file, &lines).unwrap();
    let verify = |file: &std::path::Path| {
        let python = root().join("target/python/bin/python");
        assert!(
            python.exists(),
            "./test creates the virtual environment with the BLAKE3 package"
        );
        Command::new(python)
            .arg(root().join("tests/verify.py"))
            .arg(file)
            .output()
            .unwrap()
    };
    let output = verify(&file);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // The independent program that verifies the commits must also detect a changed value.
    let tampered = directory.path().join("tampered.jsonl");
    std::fs::write(&tampered, lines.replacen("等待窗口", "等待资源", 2)).unwrap();
    let output = verify(&tampered);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stdout).contains("hash"),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
