//! These tests check what the desk does with the records of cases if a write still runs, if the process ends during a repair,
//! if a source denies one record, or if a record never accepts a remark. They also check the language of the notes.

use domain::itsm::case::{Case, Command};
use events::Meta;
use events::case::{Repair, Repaired};
use infra::CommandEnvelope;
use infra::ledger::NoContext;
use serde_json::{Value, json};

use crate::record_facts::{bind, compared, report, unbind, with};
use crate::record_writes::{CASE, CRM, MAPPING, TICKET, TICKETS, Written, listed, withdraw};

/// Returns the definitions of the ticket system, which is not compared, and of the CRM.
fn with_crm() -> String {
    format!("{TICKETS}\n{CRM}")
}

/// Returns how often the mark of the first remark is in the notes that were written to the record since the last call.
async fn first_remarks(written: &Written, record: &str) -> usize {
    let number = written.case().await["ticket"].clone();
    let mark = format!("[ledgerdesk {}/1]", number.as_str().expect("a number"));
    let patches = written.systems.patches();
    let notes = patches.iter().filter(|(name, _)| name == record);
    notes
        .filter_map(|(_, patch)| patch["note"].as_str())
        .map(|note| note.matches(&mark).count())
        .sum()
}

/// Stores that the desk begins to repair the status of the record, and nothing else.
async fn begin_repair(written: &Written, case: &Value) {
    let repaired = Repaired {
        integration: String::new(),
        field: "status".into(),
        found: "odd".into(),
        wanted: "open".into(),
        remarks: Vec::new(),
        repair: Repair::Write,
        at: written.now(),
    };
    let ledger = &written.desk.app.ledger;
    let envelope = CommandEnvelope {
        stream: format!("case-{}", case.as_str().expect("an id")),
        command_id: ledger.fresh_id(),
        meta: Meta::system("t", "t"),
    };
    ledger
        .execute::<Case>(&envelope, &Command::Repair(repaired), &NoContext)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_note_that_still_runs_is_not_repeated_by_a_new_binding() {
    let written = Written::open(&with_crm(), MAPPING, json!({})).await;
    written.systems.keep_notes();
    assert_eq!(bind(&written, "admin", "crm", "C-1").await.0, 200);
    written.seconds(30).await;
    written.remark("lisi", "the cable is broken").await;
    written.systems.patches();
    written.systems.hold("crm.example.com");
    let writing = written.seconds(30);
    tokio::pin!(writing);
    tokio::select! {
        () = &mut writing => panic!("the write must be held back"),
        () = written.systems.held() => {}
    }
    // The binding is removed and set again while the request runs.
    assert_eq!(unbind(&written, "admin", "").await.0, 204);
    assert!(written.events().await.contains("writeback.canceled"));
    assert_eq!(bind(&written, "admin", "crm", "C-1").await.0, 200);
    written.seconds(31).await;
    // The system executes the request late. The desk does not store its outcome.
    written.systems.release();
    writing.await;
    written.minutes(2).await;
    assert_eq!(first_remarks(&written, CASE).await, 1);
    let write = written.case().await["bindings"][0]["write_back"].clone();
    assert_eq!(
        (&write["outcome"], &write["waiting_notes"]),
        (&json!("unchanged"), &json!(0)),
        "{write}"
    );
}

#[tokio::test]
async fn a_note_that_never_arrived_is_written_to_the_new_binding() {
    let written = Written::open(&with_crm(), MAPPING, json!({})).await;
    written.systems.keep_notes();
    assert_eq!(bind(&written, "admin", "crm", "C-1").await.0, 200);
    written.seconds(30).await;
    written.remark("lisi", "the cable is broken").await;
    written.systems.patches();
    written.systems.hold("crm.example.com");
    {
        let writing = written.seconds(30);
        tokio::pin!(writing);
        tokio::select! {
            () = &mut writing => panic!("the write must be held back"),
            () = written.systems.held() => {}
        }
        // The request is lost here, together with the worker that sent it.
    }
    assert_eq!(unbind(&written, "admin", "").await.0, 204);
    assert_eq!(bind(&written, "admin", "crm", "C-1").await.0, 200);
    written.minutes(3).await;
    assert_eq!(first_remarks(&written, CASE).await, 1);
}

#[tokio::test]
async fn a_record_that_is_bound_again_after_another_one_gets_no_note_twice() {
    let written = Written::open(&with_crm(), MAPPING, json!({})).await;
    let other = "crm.example.com/C-2";
    let record = json!({ "id": "C-2", "phase": "new" });
    written.systems.put(other, record);
    written.remark("lisi", "the cable is broken").await;
    written.seconds(30).await;
    for (id, name, count) in [("C-1", CASE, 1), ("C-2", other, 1), ("C-1", CASE, 0)] {
        written.systems.patches();
        assert_eq!(bind(&written, "admin", "crm", id).await.0, 200);
        written.minutes(2).await;
        assert_eq!(first_remarks(&written, name).await, count, "{id}");
    }
    // A later remark is written to the record to which the case is bound now.
    written.remark("lisi", "it works").await;
    written.seconds(30).await;
    let note = written.systems.member(CASE, "note");
    assert!(note.as_str().is_some_and(|note| note.contains("it works")));
    let note = written.systems.member(other, "note");
    assert!(!note.as_str().is_some_and(|note| note.contains("it works")));
}

#[tokio::test]
async fn a_repair_continues_after_a_restart_before_its_write() {
    let definitions = compared("status_authority = \"desk\"");
    let written = Written::open(&definitions, MAPPING, json!({})).await;
    written.minutes(6).await;
    written.systems.patches();
    written.systems.set(TICKET, "state", "odd");
    let id = written.case().await["id"].clone();
    // The process ends after it has stored that the repair begins.
    written.desk.stop_following();
    begin_repair(&written, &id).await;
    let Written { desk, systems } = written;
    let mut desk = desk.restart().await;
    desk.app.http = systems.clone();
    let written = Written { desk, systems };
    written.seconds(0).await;
    // The status of a running ticket waits for 30 seconds.
    written.seconds(30).await;
    assert_eq!(written.systems.member(TICKET, "state"), "open");
    let patches = written.systems.patches();
    assert_eq!(patches.len(), 1, "{patches:?}");
    // The same event causes no second write.
    written.minutes(6).await;
    assert!(written.systems.patches().is_empty());
}

#[tokio::test]
async fn a_repair_that_cannot_be_written_is_a_conflict() {
    // The mapping has no status for running tickets any more.
    let mapping = MAPPING.replace("RUNNING = \"open\"", "");
    let definitions = compared("status_authority = \"desk\"");
    let written = Written::open(&definitions, &mapping, json!({})).await;
    let id = written.case().await["id"].clone();
    begin_repair(&written, &id).await;
    written.seconds(0).await;
    let conflict = json!({ "field": "status", "found": "odd", "wanted": "open" });
    assert_eq!(written.case().await["conflict"], conflict);
}

#[tokio::test]
async fn a_source_that_denies_one_record_is_read_for_the_others() {
    let written = Written::open(&with_crm(), MAPPING, json!({ "crm_case": "C-1" })).await;
    written.systems.deny_records(&[CASE]);
    let other = "crm.example.com/C-2";
    let agent = json!({ "id": "C-2", "phase": "new" });
    written.systems.put(other, agent);
    let record = json!({
        "id": "T-2", "revision": 1, "title": "No power", "state": "open", "crm_case": "C-2",
    });
    written
        .systems
        .put("tickets.example.com/T-2", record.clone());
    written.receive(record).await;
    let from = written.now();
    written.minutes(12).await;
    assert_eq!(written.systems.member(other, "phase"), "working");
    assert_eq!(written.systems.member(CASE, "phase"), "new");
    let found = report(&written, from).await;
    let crm = &found["sources"]["crm"];
    assert_eq!(
        (
            &crm["unknown_by_value"],
            &crm["unknown_seconds"],
            &crm["unknown"]
        ),
        (&json!({ "status": 1 }), &json!(0), &json!(0)),
        "{found}"
    );
    let events = written.events().await;
    let reason = r#""reason":"the response status is 403""#;
    assert_eq!(events.matches(reason).count(), 1, "{events}");
    // The record is compared as soon as the source shows it.
    written.systems.deny_records(&[]);
    written.minutes(12).await;
    assert_eq!(written.systems.member(CASE, "phase"), "working");
}

#[tokio::test]
async fn a_source_that_denies_all_records_is_unreachable() {
    for is_secret_wrong in [false, true] {
        let written = Written::open(&with_crm(), MAPPING, json!({ "crm_case": "C-1" })).await;
        // The record of the CRM gets the status of the ticket by a repair.
        written.minutes(12).await;
        assert_eq!(written.systems.member(CASE, "phase"), "working");
        if is_secret_wrong {
            written.systems.deny(true);
        } else {
            written.systems.deny_records(&[CASE]);
        }
        written.minutes(6).await;
        let from = written.now();
        written.minutes(12).await;
        let found = report(&written, from).await;
        let crm = &found["sources"]["crm"];
        assert_eq!(
            (&crm["unknown"], &crm["unknown_seconds"]),
            (&json!(1), &json!(12 * 60)),
            "{found}"
        );
        written.systems.deny(false);
        written.systems.deny_records(&[]);
        written.minutes(6).await;
        let from = written.now();
        written.minutes(12).await;
        let found = report(&written, from).await;
        let crm = &found["sources"]["crm"];
        assert_eq!(
            (&crm["unknown"], &crm["unknown_seconds"]),
            (&json!(0), &json!(0)),
            "{found}"
        );
    }
}

#[tokio::test]
async fn a_remark_that_the_record_never_accepts_is_left_and_shown_as_failed() {
    let written = Written::open(&compared(""), &with("last_fact = true"), json!({})).await;
    written.systems.keep_notes();
    written.systems.refuse_notes("the cable");
    written.remark("lisi", "the cable is broken").await;
    written.seconds(30).await;
    withdraw(&written).await;
    assert_eq!(written.systems.member(TICKET, "state"), "canceled");
    let write = written.case().await["write_back"].clone();
    assert_eq!(
        (&write["outcome"], &write["reason"], &write["failed_notes"]),
        (
            &json!("written"),
            &json!("the response status is 400"),
            &json!(1)
        ),
        "the status was written, and the remark was not"
    );
    let hours = async |hours: i64| {
        for _ in 0..hours * 60 {
            written.seconds(60).await;
        }
    };
    // The first write, and four repairs, about one in each hour.
    hours(8).await;
    assert_eq!(written.systems.refusals(), 5);
    hours(4).await;
    assert_eq!(written.systems.refusals(), 5, "the desk repairs no more");
    let case = written.case().await;
    let write = &case["write_back"];
    assert_eq!(
        (&write["outcome"], &write["reason"], &write["failed_notes"]),
        (
            &json!("failed"),
            &json!("the response status is 400"),
            &json!(1)
        ),
        "{write}"
    );
    assert_eq!(listed(&written, "failed").await, 1);
    // A superuser requests the remark again, and the system accepts it now.
    written.systems.refuse_notes("");
    written.systems.patches();
    let path = format!("cases/{}/write", case["id"].as_str().expect("an id"));
    let (status, answer) = written.desk.v1("POST", &path, "admin", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    written.seconds(30).await;
    assert_eq!(first_remarks(&written, TICKET).await, 1);
    assert_eq!(listed(&written, "failed").await, 0);
    let write = written.case().await["write_back"].clone();
    assert_eq!(
        (&write["outcome"], &write["reason"], &write["failed_notes"]),
        (&json!("written"), &Value::Null, &json!(0))
    );
    // The ticket and its record agree, so the case is not compared any more.
    written.minutes(6).await;
    assert!(written.events().await.contains(r#""agreement":"settled""#));
}

#[tokio::test]
async fn notes_are_written_in_the_language_of_the_integration() {
    let written = Written::open(TICKETS, MAPPING, json!({})).await;
    let number = written.case().await["ticket"].clone();
    let number = number.as_str().expect("a number").to_owned();
    let chinese = format!("工单 {number} 的备注：it works\n");
    let english = format!("Remark on ticket {number}: it works\n");
    for (language, expected) in [
        (json!("zh-CN"), &chinese),
        (json!("en"), &english),
        // Without the member, the language is Chinese.
        (Value::Null, &chinese),
    ] {
        let change = json!({ "language": language });
        let path = "integrations/tickets";
        let (status, changed) = written.desk.v1("PUT", path, "admin", change).await;
        assert_eq!(status, 200, "{changed}");
        written.desk.settle().await;
        written.systems.patches();
        written.remark("lisi", "it works").await;
        written.seconds(30).await;
        let patches = written.systems.patches();
        let [(_, patch)] = &patches[..] else {
            panic!("{patches:?}")
        };
        let note = patch["note"].as_str().expect("a note");
        assert!(note.starts_with(expected.as_str()), "{language}: {note}");
    }
    let change = json!({ "language": "zh" });
    let path = "integrations/tickets";
    let (status, answer) = written.desk.v1("PUT", path, "admin", change).await;
    assert_eq!(status, 400, "{answer}");
}

/// Changes members of the definition of the ticket system.
async fn move_tickets(written: &Written, change: Value) {
    let path = "integrations/tickets";
    let (status, changed) = written.desk.v1("PUT", path, "admin", change).await;
    assert_eq!(status, 200, "{changed}");
    written.desk.settle().await;
}

#[tokio::test]
async fn a_record_with_the_same_id_at_another_address_is_not_written() {
    let definitions = compared("status_authority = \"desk\"");
    let written = Written::open(&definitions, MAPPING, json!({})).await;
    let other = "other.example.com/T-1";
    written.systems.put(
        other,
        json!({ "id": "T-1", "revision": 9, "title": "Foreign", "state": "odd" }),
    );
    move_tickets(&written, json!({ "url": "https://other.example.com/api" })).await;
    written.remark("lisi", "the cable is broken").await;
    // The comparisons read nothing either, so that no content of the other record arrives.
    written.minutes(12).await;
    assert!(written.systems.patches().is_empty());
    let case = written.case().await;
    let reason = "the case was bound to its record at https://tickets.example.com/api, but the integration now names \
                  https://other.example.com/api; change the integration back until its cases have ended";
    let write = &case["write_back"];
    assert_eq!(
        (&write["reason"], &write["outcome"]),
        (&json!(reason), &Value::Null)
    );
    assert_eq!(listed(&written, "failing").await, 1);
    assert!(written.events().await.contains("the integration now names"));
    // A system that only moved keeps its records.
    let moved = json!({ "former_urls": ["https://tickets.example.com/api/"] });
    move_tickets(&written, moved).await;
    written.minutes(13).await;
    let patches = written.systems.patches();
    assert!(
        patches.iter().all(|(name, _)| name == other) && !patches.is_empty(),
        "{patches:?}"
    );
    assert_eq!(listed(&written, "failing").await, 0);
    let wrong = json!({ "former_urls": ["tickets"] });
    let (status, problem) = written
        .desk
        .v1("PUT", "integrations/tickets", "admin", wrong)
        .await;
    assert_eq!(status, 400, "{problem}");
    assert!(problem.to_string().contains("/former_urls"), "{problem}");
}

#[tokio::test]
async fn a_write_continues_after_the_address_is_changed_back() {
    let written = Written::open(TICKETS, MAPPING, json!({})).await;
    written.systems.put(
        "other.example.com/T-1",
        json!({ "id": "T-1", "state": "open" }),
    );
    move_tickets(&written, json!({ "url": "https://other.example.com/api" })).await;
    withdraw(&written).await;
    written.minutes(1).await;
    assert!(written.systems.patches().is_empty());
    move_tickets(
        &written,
        json!({ "url": "https://tickets.example.com/api" }),
    )
    .await;
    written.minutes(5).await;
    assert_eq!(written.systems.member(TICKET, "state"), "canceled");
    assert_eq!(written.case().await["write_back"]["outcome"], "written");
}
