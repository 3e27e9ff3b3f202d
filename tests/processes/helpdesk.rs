//! This test connects a desk with django-helpdesk, a ticket system of another vendor. Tickets of django-helpdesk become
//! tickets of the desk, with and without its webhooks. The ends of these tickets are written back. In the end, both systems
//! agree, except for the tickets that were changed on both sides.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::foreign::{installed, spawn};
use tests::process::{Process, Served, client, free_port, printed, root, until};

use crate::desk::number_of;

/// Number of tickets that people open in django-helpdesk. A larger number is in the environment variable
/// `LEDGERDESK_HELPDESK`.
const TICKETS: usize = 24;
/// Number of tickets that are changed on both sides.
const CONFLICTS: usize = 4;
/// The statuses of django-helpdesk.
const RESOLVED: i64 = 3;
const DUPLICATE: i64 = 5;

/// A running django-helpdesk.
struct Helpdesk {
    _process: Process,
    base: String,
}

impl Helpdesk {
    async fn start(folder: &Path) -> Self {
        let port = free_port();
        let mut command = Command::new(installed().join("helpdesk/bin/python"));
        command
            .arg(root().join("tests/foreign/django_desk.py"))
            .arg(folder)
            .arg(port.to_string());
        let helpdesk = Self {
            _process: spawn(&mut command, &folder.join("output")),
            base: format!("http://127.0.0.1:{port}"),
        };
        until("django-helpdesk answers", async || {
            match helpdesk.call("GET", "tickets/", Value::Null).await {
                Ok((200, _)) => Ok(()),
                other => Err(json!(format!("{other:?}"))),
            }
        })
        .await;
        helpdesk
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Result<(u16, Value), String> {
        let request = client()
            .request(
                method.parse().expect("a method"),
                format!("{}/api/{path}", self.base),
            )
            .basic_auth("ledgerdesk", Some("helpdesk-secret"));
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = response.json().await.map_err(|error| error.to_string())?;
        Ok((status, body))
    }

    async fn must(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await.expect("an answer");
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    }

    /// Opens a ticket, and returns its id.
    async fn open(&self, number: usize) -> i64 {
        let ticket = json!({
            "queue": 1, "title": format!("Printer {number}"), "description": "no toner", "priority": 2,
            "submitter_email": "wangwu@example.com", "status": 1,
        });
        let opened = self.must("POST", "tickets/", ticket).await;
        opened["id"].as_i64().expect("an id")
    }

    /// Returns all tickets by their ids.
    async fn tickets(&self) -> BTreeMap<i64, Value> {
        let mut tickets = BTreeMap::new();
        let mut page = 1;
        loop {
            let path = format!("tickets/?page={page}&page_size=100");
            let listed = self.must("GET", &path, Value::Null).await;
            for ticket in listed["results"].as_array().expect("a list") {
                tickets.insert(ticket["id"].as_i64().expect("an id"), ticket.clone());
            }
            if listed["next"].is_null() {
                return tickets;
            }
            page += 1;
        }
    }
}

/// Returns all cases of the desk by the ids of their records, if there are `count` bound ones.
async fn cases(desk: &Served, count: usize) -> Result<BTreeMap<i64, Value>, Value> {
    let mut cases = BTreeMap::new();
    for page in 1..=count / 200 + 1 {
        let path = format!("cases?source=helpdesk&page_size=200&page={page}");
        let (status, list) = desk.v1("GET", &path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{list}");
        for case in list["cases"].as_array().expect("a list") {
            let record = case["record"].as_str().and_then(|id| id.parse().ok());
            if case["state"] == "bound" {
                cases.insert(record.expect("an id"), case.clone());
            }
        }
    }
    if cases.len() == count {
        Ok(cases)
    } else {
        Err(json!(format!("{} of {count} cases", cases.len())))
    }
}

#[tokio::test]
async fn tickets_of_django_helpdesk_and_of_the_desk_agree() {
    let tickets = number_of("LEDGERDESK_HELPDESK", TICKETS as u64);
    let tickets = usize::try_from(tickets).expect("a number of tickets");
    let folder = tempfile::tempdir().expect("a directory");
    let of_helpdesk = folder.path().join("helpdesk");
    std::fs::create_dir(&of_helpdesk).expect("a directory");
    let helpdesk = Helpdesk::start(&of_helpdesk).await;

    let integrations = folder.path().join("integrations.toml");
    let mapping = root().join("mappings/cases/django_helpdesk.toml");
    let definition = format!(
        "[[integration]]\nname = \"helpdesk\"\nkind = \"django_helpdesk\"\nurl = \"{}\"\nuser = \"ledgerdesk\"\nmapping = \"{}\"\nwebhook = \"unsigned\"\npull_minutes = 1440\nlanguage = \"en\"\n",
        helpdesk.base,
        mapping.display()
    );
    std::fs::write(&integrations, definition).expect("written");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "helpdesk-secret").expect("written");
    let data = folder.path().join("desk");
    let path = |path: &Path| path.to_str().expect("a path").to_owned();
    let output = printed(&[
        "setup",
        "--demo",
        "--yes",
        "--data",
        &path(&data),
        "--integrations",
        &path(&integrations),
        "--secret",
        &format!("integration/helpdesk={}", path(&secret)),
    ]);
    let address = output
        .lines()
        .find_map(|line| line.split_once("source helpdesk (keep it secret): "))
        .unwrap_or_else(|| panic!("no address: {output}"))
        .1;
    let desk = Served::start(&data, &["--egress", "127.0.0.1"]);

    // With webhooks, the tickets arrive at once. The regular reads are a day apart, so they do not find these tickets.
    let webhook = format!("{}{address}", desk.base);
    std::fs::write(of_helpdesk.join("webhook"), webhook).expect("written");
    for number in 0..tickets / 2 {
        helpdesk.open(number).await;
    }
    until("the tickets with a webhook are cases", async || {
        cases(&desk, tickets / 2).await
    })
    .await;
    // Without webhooks, the desk finds them by its regular reads. A shorter pause counts at once.
    std::fs::remove_file(of_helpdesk.join("webhook")).expect("removed");
    let body = json!({ "pull_minutes": 1 });
    let (status, answer) = desk.v1("PUT", "integrations/helpdesk", "admin", body).await;
    assert_eq!(status, 200, "{answer}");
    for number in tickets / 2..tickets {
        helpdesk.open(number).await;
    }
    let bound = until("all tickets are cases", async || {
        cases(&desk, tickets).await
    })
    .await;

    // Some tickets are changed on both sides.
    for id in bound.keys().take(CONFLICTS) {
        let path = format!("tickets/{id}/");
        helpdesk
            .must("PATCH", &path, json!({ "status": DUPLICATE }))
            .await;
    }
    for case in bound.values() {
        let ticket = case["ticket"].as_str().expect("a ticket");
        let path = format!("tickets/{ticket}/close");
        let body = json!({ "status": "FINISHED", "message": "toner replaced" });
        let (status, answer) = desk.v1("POST", &path, "admin", body).await;
        assert_eq!(status, 200, "{answer}");
    }
    let ended = until("all writes are completed", async || {
        let cases = cases(&desk, tickets).await?;
        let open = cases
            .values()
            .filter(|case| case["write_back"]["outcome"].is_null())
            .count();
        if open == 0 {
            Ok(cases)
        } else {
            Err(json!(format!("{open} writes are open")))
        }
    })
    .await;

    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let there = helpdesk.tickets().await;
    assert_eq!(there.len(), tickets);
    for (id, case) in &ended {
        let record = &there[id];
        let ticket = case["ticket"].as_str().expect("a ticket");
        let notes = record["followup_set"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|note| {
                note["comment"]
                    .as_str()
                    .is_some_and(|text| text.contains(ticket))
            })
            .count();
        let outcome = case["write_back"]["outcome"].as_str().expect("a word");
        let (status, expected_notes) = match outcome {
            "written" => (RESOLVED, 1),
            "conflict" => {
                let conflict = json!({ "field": "status", "found": "5", "wanted": "3" });
                assert_eq!(case["conflict"], conflict);
                (DUPLICATE, 0)
            }
            other => panic!("{other}: {case}"),
        };
        assert_eq!(
            (record["status"].as_i64(), notes),
            (Some(status), expected_notes),
            "{record}"
        );
        let title = record["title"].as_str().expect("a title");
        assert!(
            title.starts_with("Printer "),
            "the title is unchanged: {title}"
        );
        let (_, shown) = desk
            .v1("GET", &format!("tickets/{ticket}"), "admin", Value::Null)
            .await;
        assert_eq!(
            (&shown["title"], &shown["creator"], &shown["current_status"]),
            (&record["title"], &json!("wangwu"), &json!("FINISHED"))
        );
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
    }
    println!("{tickets} tickets of django-helpdesk: {outcomes:?}");
    assert_eq!(
        outcomes,
        BTreeMap::from([
            ("conflict".to_owned(), CONFLICTS),
            ("written".to_owned(), tickets - CONFLICTS)
        ])
    );
}
