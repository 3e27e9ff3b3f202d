//! This test sends cases (records of another system) to a desk, and kills the desk several times. If a
//! request gets no response, half of the senders send the request again, and the other senders do not. In
//! the end, each stored record must have exactly one ticket.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tests::process::{APP, printed, until};

use crate::desk::Desk;

/// Number of records. The senders send each record in a separate request.
const RECORDS: usize = 60;
/// Number of times that the test kills the desk while the senders send records.
const KILLS: u64 = 6;
/// Number of concurrent senders.
const SENDERS: usize = 4;

/// Sends one record to the desk. Returns the ticket number, or `None` if no valid response arrived.
async fn send(base: &str, id: usize) -> Option<String> {
    let record = json!({ "id": id, "title": format!("Case {id}"), "text": "slow" });
    let response = tests::process::client()
        .post(format!("{base}/v1/cases"))
        .basic_auth(APP.0, Some(APP.1))
        .json(&json!({ "source": "crm", "cases": [record] }))
        .timeout(Duration::from_secs(10))
        .send()
        .await
        .ok()?;
    let answer: Value = response.json().await.ok()?;
    answer["results"][0]["ticket"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn each_record_has_one_ticket_after_kills() {
    let folder = tempfile::tempdir().expect("a directory");
    let integrations = folder.path().join("integrations.toml");
    let source = format!(
        "[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nsenders = [\"{}\"]\nmapping = \"crm.toml\"",
        APP.0
    );
    std::fs::write(&integrations, source).expect("written");
    let mapping = "record = \"/id\"\nservice = { value = 19 }\nrequester = { value = \"lisi\" }\n[fields]\ntitle = \"/title\"\nimpact = { value = \"3\" }\nurgency = { value = \"3\" }\nGUZHANGLEIXING = { value = \"DNS\" }\nGUZHANGMIAOSHU = \"/text\"";
    std::fs::write(folder.path().join("crm.toml"), mapping).expect("written");
    let mut desk = Desk::start(&["--integrations", integrations.to_str().expect("a path")]);
    let base = format!("http://127.0.0.1:{}", desk.port);
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let base = base.clone();
        senders.spawn(async move {
            let mut answered = BTreeMap::new();
            for id in (sender..RECORDS).step_by(SENDERS) {
                let repeats = sender % 2 == 0;
                loop {
                    if let Some(ticket) = send(&base, id).await {
                        answered.insert(id, ticket);
                        break;
                    }
                    if !repeats {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            answered
        });
    }
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(150 + 97 * kill)).await;
        desk.restart();
    }
    let mut answered = BTreeMap::new();
    while let Some(of_one) = senders.join_next().await {
        answered.extend(of_one.expect("a sender ends"));
    }
    // If the desk is killed during a request, the test cannot determine whether the desk has stored the record.
    // Each stored record has a deadline. If a record is not processed yet at its deadline, the desk processes
    // the record then. The test waits until all stored records are processed.
    let shown = until("no case waits", async || {
        let pending = desk
            .v1("GET", "cases?state=pending", "admin", Value::Null)
            .await;
        let all = desk
            .v1("GET", "cases?page_size=200", "admin", Value::Null)
            .await;
        if pending["count"] == 0 {
            Ok(all)
        } else {
            Err(pending)
        }
    })
    .await;
    let mut tickets = BTreeMap::new();
    for case in shown["cases"].as_array().expect("cases") {
        assert_eq!(case["state"], "bound", "{case}");
        let ticket = case["ticket"].as_str().expect("a ticket").to_owned();
        let other = tickets.insert(ticket, case["record"].clone());
        assert_eq!(other, None, "two records have one ticket: {case}");
    }
    for (id, ticket) in &answered {
        assert_eq!(
            tickets.get(ticket),
            Some(&json!(id.to_string())),
            "{ticket}"
        );
    }
    let repeated = (0..RECORDS)
        .filter(|id| (id % SENDERS).is_multiple_of(2))
        .count();
    let known = answered
        .keys()
        .filter(|id| (*id % SENDERS).is_multiple_of(2))
        .count();
    assert_eq!(known, repeated, "every repeated request has an answer");
    let listed = desk
        .v1(
            "GET",
            "tickets?service=19&page_size=200",
            "admin",
            Value::Null,
        )
        .await;
    let opened = listed["items"].as_array().expect("tickets");
    let of_cases = opened
        .iter()
        .filter(|ticket| tickets.contains_key(ticket["sn"].as_str().unwrap_or_default()));
    assert_eq!(of_cases.count(), tickets.len(), "each case has its ticket");
    let of_senders = |ticket: &&Value| {
        let title = ticket["title"].as_str().unwrap_or_default();
        title.starts_with("Case ")
    };
    assert_eq!(
        opened.iter().filter(of_senders).count(),
        tickets.len(),
        "no ticket without a case"
    );
    desk.restart();
    let data = desk.data();
    let verified = printed(&["audit", "verify", "--data", data]);
    assert!(verified.contains("ok"), "{verified}");
    println!(
        "{RECORDS} records, {KILLS} kills: {} answered, {} tickets, one for each record",
        answered.len(),
        tickets.len()
    );
}
