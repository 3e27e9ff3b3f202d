//! This test runs an imitation of the log platform of BlueKing, which applies to a served desk with both official SDKs
//! (requirements/external-itsm.md). The statuses that the log platform stored must agree with the ledger of the desk.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use tests::process::{APP, Served, root, run, text, until};

use crate::desk::number_of;

/// Number of applications. The environment variable `LEDGERDESK_LOG_APPLICATIONS` can set another number.
const APPLICATIONS: u64 = 24;
/// Id of the service 日志平台容量评估, which the log platform discovers.
const SERVICE: i64 = 18;
/// Largest page of a list.
const PAGE_SIZE: u64 = 200;

/// Returns the status that the log platform stores for a ticket with the given fields.
fn expected(ticket: &Value) -> &'static str {
    let mut fields = ticket["fields"].as_array().expect("fields").iter();
    let decision = fields.find(|field| field["key"] == "approval_result");
    match decision.map(|field| &field["value"]) {
        Some(value) if value == "true" => "采集接入完成",
        Some(value) if value == "false" => "采集接入失败",
        other => panic!("{other:?}: {ticket}"),
    }
}

/// Returns all rows of a list, by their members `key`.
async fn rows(desk: &Served, list: &str, member: &str, key: &str) -> BTreeMap<String, Value> {
    let mut rows = BTreeMap::new();
    for page in 1.. {
        let separator = if list.contains('?') { '&' } else { '?' };
        let path = format!("{list}{separator}page_size={PAGE_SIZE}&page={page}");
        let (status, answer) = desk.v1("GET", &path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        for row in answer[member].as_array().expect("a list") {
            let id = row[key].as_str().expect("a text").to_owned();
            assert!(rows.insert(id, row.clone()).is_none(), "twice: {row}");
        }
        if answer["count"].as_u64().expect("a count") <= PAGE_SIZE * page {
            break;
        }
    }
    rows
}

#[tokio::test]
async fn the_log_platform_and_the_desk_agree_over_both_sdks() {
    let count = number_of("LEDGERDESK_LOG_APPLICATIONS", APPLICATIONS);
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let python = root().join("target/python/bin/python");
    assert!(
        python.exists(),
        "the virtual environment with the SDKs is missing; run ./test"
    );
    let output = Command::new(python)
        .arg(root().join("tests/foreign/bk_log.py"))
        .args([&desk.base, APP.0, APP.1, &count.to_string()])
        .output()
        .expect("the log platform runs");
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    let mut lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    let total = lines.pop().expect("a total");
    assert_eq!(
        (lines.len() as u64, &total["applied"]),
        (count, &json!(count))
    );

    // Each application is one ticket, and the status of the log platform follows from its fields.
    let list = format!("tickets?service={SERVICE}");
    let tickets = rows(&desk, &list, "items", "sn").await;
    assert_eq!(tickets.len(), lines.len(), "one ticket for an application");
    let mut callbacks = until("the desk stores the end of each callback", async || {
        let callbacks = rows(&desk, "callbacks", "callbacks", "ticket").await;
        let open = callbacks.values().find(|one| one["state"] != "succeeded");
        open.map_or(Ok(callbacks.clone()), |open| Err(open.clone()))
    })
    .await;
    assert_eq!(callbacks.len(), lines.len(), "one callback for a ticket");
    let (mut statuses, mut causes, mut sdks) = (
        BTreeMap::<String, u64>::new(),
        BTreeMap::<String, u64>::new(),
        BTreeMap::<String, u64>::new(),
    );
    for line in &lines {
        let word = |name: &str| line[name].as_str().expect("a text").to_owned();
        let sn = word("sn");
        assert!(tickets.contains_key(&sn), "{line}");
        let path = format!("tickets/{sn}");
        let (_, ticket) = desk.v1("GET", &path, "admin", Value::Null).await;
        assert_eq!(
            (
                &ticket["current_status"],
                &ticket["creator"],
                word("status").as_str()
            ),
            (&json!("FINISHED"), &json!("lisi"), expected(&ticket)),
            "{line}"
        );
        let callback = callbacks.remove(&sn).expect("a callback");
        let attempts = callback["attempts"].as_u64().expect("a number");
        if word("found_by") == "poll" {
            assert!(attempts > 1, "{line}: {callback}");
        }
        for (counts, name) in [
            (&mut statuses, "status"),
            (&mut causes, "found_by"),
            (&mut sdks, "sdk"),
        ] {
            *counts.entry(word(name)).or_default() += 1;
        }
    }
    println!("{total}; {statuses:?}, {causes:?}, {sdks:?}");
    assert_eq!(
        (&total["granted"], &total["refused"]),
        (
            &json!(statuses["采集接入完成"]),
            &json!(statuses["采集接入失败"])
        )
    );
    assert_eq!(total["found_by_polling"], causes["poll"]);
    // Each SDK has two clients, and the applications alternate between the four clients.
    let difference = sdks["bk-itsm-sdk"].abs_diff(sdks["bkapi-component-open"]);
    assert!(difference <= 2, "one half for each SDK: {sdks:?}");
    for counted in ["repeated", "wrong_tokens"] {
        assert!(total[counted].as_u64() > Some(0), "{counted}: {total}");
    }
    let data = directory.path().to_str().expect("a path");
    let verified = run(&["audit", "verify", "--data", data]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}
