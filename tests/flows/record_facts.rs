//! These tests check what the desk compares between a case and its records besides the status, who decides about a
//! difference, and the record of a CRM that a person names.

use domain::itsm::case::Case;
use events::Moment;
use events::case::Agreement;
use functions::app::{reports, times};
use serde_json::{Value, json};

use crate::record_writes::{CASE, CRM, MAPPING, TICKET, TICKETS, Written};

/// The definition of the ticket system, whose cases are compared every 5 minutes.
pub(crate) fn compared(more: &str) -> String {
    format!("{TICKETS}\n    reconcile_minutes = 5\n    {more}\n")
}

/// The mapping with a further member.
pub(crate) fn with(member: &str) -> String {
    MAPPING.replacen("notes = true", &format!("notes = true\n    {member}"), 1)
}

/// Opens a desk that compares the cases of the ticket system. The definition of this system also contains the line `more`.
/// Then `sunba` takes the ticket.
async fn claimed(more: &str, mapping: &str) -> Written {
    let written = Written::open(&compared(more), mapping, json!({})).await;
    let claim = json!({ "node": 3 });
    written.operate("claim", "sunba", claim).await;
    written
}

/// Hands the ticket over to another person.
async fn hand_over(written: &Written, from: &str, to: &str, reason: &str) {
    let body = json!({ "node": 3, "to": { "people": [to] }, "message": reason });
    written.operate("deliver", from, body).await;
}

/// Opens a desk with a ticket system and a CRM. The record of the ticket system also contains the members of `more`.
async fn with_crm(more: Value) -> Written {
    Written::open(&format!("{TICKETS}\n{CRM}"), MAPPING, more).await
}

/// Adds a remark, and lets the time pass until it is written.
async fn remarked(written: &Written) {
    written.remark("lisi", "the cable is broken").await;
    written.seconds(30).await;
    written.systems.patches();
}

/// Asserts that the record has the remark of [`remarked`].
fn assert_remarked(written: &Written, record: &str) {
    let note = written.systems.member(record, "note");
    assert!(note.as_str().is_some_and(|note| note.contains("cable")));
}

/// Returns the ticket of the case.
async fn ticket(written: &Written) -> Value {
    let number = written.case().await["ticket"].clone();
    let path = format!("tickets/{}", number.as_str().expect("a number"));
    written.desk.v1("GET", &path, "admin", Value::Null).await.1
}

/// Returns the whole report for the time since `from`.
pub(crate) async fn report(written: &Written, from: Moment) -> Value {
    let ledger = &written.desk.app.ledger;
    let zone = times::default_zone();
    let report = reports::sync(ledger, (from, written.now()), &zone).await;
    report.unwrap()
}

/// Binds the case to a record of another integration. Returns the status and the response.
pub(crate) async fn bind(
    written: &Written,
    user: &str,
    integration: &str,
    record: &str,
) -> (u16, Value) {
    let id = written.case().await["id"].clone();
    let path = format!("cases/{}/crm", id.as_str().expect("an id"));
    let body = json!({ "integration": integration, "record": record });
    let answer = written.desk.v1("PUT", &path, user, body).await;
    written.desk.settle().await;
    answer
}

#[tokio::test]
async fn only_a_mapping_with_reasons_writes_the_reason_of_a_status() {
    for (mapping, expected) in [
        (with("reasons = true"), "\nReason: solved by phone"),
        (MAPPING.to_owned(), ""),
    ] {
        let written = Written::open(TICKETS, &mapping, json!({})).await;
        let number = written.case().await["ticket"].clone();
        let number = number.as_str().expect("a number").to_owned();
        let message = json!({ "message": "solved by phone" });
        written.operate("withdraw", "lisi", message).await;
        let patches = written.systems.patches();
        let [(name, patch)] = &patches[..] else {
            panic!("{patches:?}")
        };
        assert_eq!(
            (name.as_str(), &patch["state"]),
            (TICKET, &json!("canceled"))
        );
        let note = patch["note"].as_str().expect("a note");
        assert!(
            note.starts_with(&format!("Ticket {number} is now: ")) && note.ends_with(expected),
            "{note}"
        );
        assert_eq!(note.contains("Reason"), !expected.is_empty(), "{note}");
        assert!(!written.events().await.contains("by phone"));
    }
}

#[tokio::test]
async fn a_remark_that_the_record_lost_is_found_and_written_again_once() {
    let written = Written::open(&compared(""), &with("last_fact = true"), json!({})).await;
    written.remark("lisi", "the cable is broken").await;
    written.remark("lisi", "it works").await;
    written.seconds(30).await;
    assert_eq!(written.systems.patches().len(), 1);
    written.minutes(6).await;
    let from = written.now();
    assert_eq!(report(&written, from).await["all"]["errors"], 0);
    // The system was restored from an older copy.
    written.systems.set(TICKET, "note", "");
    written.minutes(9).await;
    let patches = written.systems.patches();
    assert_eq!(patches.len(), 1, "{patches:?}");
    let note = patches[0].1["note"].as_str().expect("a note");
    assert!(
        note.contains("it works") && note.contains("cable"),
        "both remarks of the lost note are missing: {note}"
    );
    let report = report(&written, from).await;
    let errors = &report["all"]["errors_by_value"];
    assert_eq!(*errors, json!({ "remark": 1 }), "{report}");
    written.minutes(70).await;
    assert!(
        written.systems.patches().is_empty(),
        "the record has the note"
    );
}

#[tokio::test]
async fn without_the_switch_no_last_fact_is_compared() {
    let written = Written::open(&compared(""), MAPPING, json!({})).await;
    remarked(&written).await;
    let from = written.now();
    written.systems.set(TICKET, "note", "");
    written.systems.set(TICKET, "title", "No power");
    written.minutes(12).await;
    assert!(written.systems.patches().is_empty());
    assert_eq!(ticket(&written).await["title"], "No network");
    assert_eq!(report(&written, from).await["all"]["errors"], 0);
}

#[tokio::test]
async fn content_whose_message_was_lost_is_taken_over() {
    let written = Written::open(&compared(""), &with("last_fact = true"), json!({})).await;
    written.minutes(6).await;
    let from = written.now();
    written.systems.set(TICKET, "title", "No power");
    written.minutes(9).await;
    assert_eq!(ticket(&written).await["title"], "No power");
    let report = report(&written, from).await;
    let errors = &report["all"]["errors_by_value"];
    assert_eq!(*errors, json!({ "content": 1 }), "{report}");
    let events = written.events().await;
    assert!(events.contains("case.repaired"));
    assert!(!events.contains("No power"), "events contain only digests");
}

#[tokio::test]
async fn a_source_that_decides_about_the_assignee_changes_the_ticket() {
    let written = claimed("assignee_authority = \"source\"", MAPPING).await;
    written.seconds(30).await;
    assert_eq!(written.systems.member(TICKET, "owner"), "s.ba");
    written.systems.patches();
    written.systems.set(TICKET, "owner", "q.qi");
    written.minutes(9).await;
    assert_eq!(written.systems.member(TICKET, "owner"), "q.qi");
    assert_eq!(written.case().await["conflict"], Value::Null);
    assert!(written.systems.patches().is_empty());
    // The other person works on the ticket now, and can hand it over.
    hand_over(&written, "qianqi", "sunba", "please").await;
    written.seconds(30).await;
    assert_eq!(written.systems.member(TICKET, "owner"), "s.ba");
    // An account of no known person changes nothing, and a person must decide.
    written.systems.set(TICKET, "owner", "somebody.else");
    written.minutes(9).await;
    let conflict = written.case().await["conflict"].clone();
    let found = conflict["found"].as_str().expect("a digest");
    assert!(found.starts_with("account:"), "{conflict}");
    assert_eq!(
        (&conflict["field"], &conflict["wanted"]),
        (&json!("assignee"), &json!("sunba"))
    );
    assert_eq!(written.systems.member(TICKET, "owner"), "somebody.else");
    // The conflict ends when the record has the value of the ticket again.
    written.systems.set(TICKET, "owner", "s.ba");
    written.minutes(6).await;
    assert_eq!(written.case().await["conflict"], Value::Null);
}

#[tokio::test]
async fn a_lost_write_is_repeated_although_the_source_decides() {
    let written = claimed("assignee_authority = \"source\"", MAPPING).await;
    written.seconds(30).await;
    hand_over(&written, "sunba", "qianqi", "please").await;
    written.systems.refuse(true);
    written.seconds(30).await;
    let write = written.case().await["write_back"].clone();
    assert_eq!(write["reason"], "the response status is 403", "{write}");
    assert_eq!(written.systems.member(TICKET, "owner"), "s.ba");
    written.systems.refuse(false);
    // The record still has the value that the desk wrote before, so the source has not changed it.
    written.minutes(9).await;
    assert_eq!(written.systems.member(TICKET, "owner"), "q.qi");
    assert_eq!(written.case().await["conflict"], Value::Null);
}

#[tokio::test]
async fn different_values_are_repaired_at_the_same_time() {
    let written = claimed("status_authority = \"person\"", MAPPING).await;
    written.minutes(6).await;
    let from = written.now();
    written.systems.set(TICKET, "state", "odd");
    written.systems.set(TICKET, "owner", "q.qi");
    written.minutes(9).await;
    // The conflict about the status does not hide the assignee, about which the desk decides.
    assert_eq!(written.systems.member(TICKET, "owner"), "s.ba");
    assert_eq!(written.systems.member(TICKET, "state"), "odd");
    assert_eq!(written.case().await["conflict"]["field"], "status");
    let report = report(&written, from).await;
    let expected = json!({ "assignee": 1, "status": 1 });
    assert_eq!(report["all"]["errors_by_value"], expected, "{report}");
    assert_eq!(report["all"]["errors"], 1);
}

#[tokio::test]
async fn a_person_binds_a_case_to_a_record_of_a_crm() {
    let written = with_crm(json!({})).await;
    remarked(&written).await;
    let from = written.now();
    for (user, integration, record, expected) in [
        ("lisi", "crm", "C-1", 403),
        ("admin", "nothing", "C-1", 404),
        ("admin", "tickets", "T-2", 409),
        ("admin", "crm", " C-1", 400),
    ] {
        let (status, answer) = bind(&written, user, integration, record).await;
        assert_eq!(status, expected, "{integration} {record}: {answer}");
    }
    assert_eq!(written.case().await["bindings"], json!([]));
    let (status, case) = bind(&written, "admin", "crm", "C-1").await;
    assert_eq!(
        (status, &case["bindings"][0]["record"]),
        (200, &json!("C-1"))
    );
    written.seconds(30).await;
    assert_eq!(written.systems.member(CASE, "phase"), "working");
    assert_remarked(&written, CASE);
    // The same record again adds nothing.
    written.systems.patches();
    assert_eq!(bind(&written, "admin", "crm", "C-1").await.0, 200);
    written.seconds(30).await;
    assert!(written.systems.patches().is_empty());

    // The id was wrong: the right record gets the values, and the former one stays as it is.
    let right = "crm.example.com/C-2";
    written
        .systems
        .put(right, json!({ "id": "C-2", "phase": "escalated" }));
    assert_eq!(bind(&written, "admin", "crm", "C-2").await.0, 200);
    written.seconds(30).await;
    assert_eq!(written.systems.member(right, "phase"), "working");
    assert_remarked(&written, right);
    let message = json!({ "message": "solved" });
    written.operate("withdraw", "lisi", message).await;
    assert_eq!(written.systems.member(right, "phase"), "closed");
    assert_eq!(written.systems.member(CASE, "phase"), "working");
    written.minutes(6).await;
    let report = report(&written, from).await;
    assert_eq!(report["roles"]["crm"]["bindings"], 1, "{report}");
    assert_eq!(report["roles"]["crm"]["errors"], 0, "{report}");
}

#[tokio::test]
async fn an_unreachable_crm_is_unknown() {
    let definitions = format!("{}\n{CRM}", compared(""));
    let written = Written::open(&definitions, MAPPING, json!({ "crm_case": "C-1" })).await;
    // The record of the CRM gets the status of the ticket by a repair.
    written.minutes(12).await;
    assert_eq!(written.systems.member(CASE, "phase"), "working");
    written.systems.lose("crm.example.com");
    written.minutes(6).await;
    let from = written.now();
    written.minutes(12).await;
    let report = report(&written, from).await;
    let figures = |role: &str| {
        let figures = &report["roles"][role];
        (
            figures["bindings"].clone(),
            figures["unknown"].clone(),
            figures["errors"].clone(),
        )
    };
    assert_eq!(figures("crm"), (json!(1), json!(1), json!(0)), "{report}");
    assert_eq!(
        figures("origin"),
        (json!(1), json!(0), json!(0)),
        "{report}"
    );
}

/// Returns the numbers of the remarks in the notes that were written since the last call, in their order.
fn written_remarks(written: &Written) -> Vec<u64> {
    let patches = written.systems.patches();
    let notes: Vec<String> = patches
        .iter()
        .filter_map(|(_, patch)| patch["note"].as_str().map(str::to_owned))
        .collect();
    let notes = notes.join("\n");
    let marks = notes.split("[ledgerdesk ").skip(1);
    marks
        .map(|rest| {
            let (mark, _) = rest.split_once(']').expect("a mark");
            let (_, number) = mark.split_once('/').expect("a number");
            number.parse().expect("a number")
        })
        .collect()
}

#[tokio::test]
async fn all_missing_remarks_are_written_in_their_order_and_20_at_once() {
    let written = Written::open(&compared(""), &with("last_fact = true"), json!({})).await;
    written.systems.keep_notes();
    for number in 1..=27 {
        written.remark("lisi", &format!("remark {number}")).await;
    }
    written.minutes(2).await;
    assert_eq!(written_remarks(&written), (1..=27).collect::<Vec<u64>>());
    // Only the first note is left.
    let first = written.systems.member(TICKET, "notes")[0].clone();
    let mut record = json!({ "id": "T-1", "revision": 1, "title": "No network", "state": "open" });
    record["notes"] = json!([first]);
    written.systems.put(TICKET, record);
    // A comparison, one more after the permitted time, and the writes.
    written.minutes(8).await;
    let first_round = written_remarks(&written);
    assert!(first_round.len() >= 20, "{first_round:?}");
    assert_eq!(first_round[..20], (6..=25).collect::<Vec<u64>>());
    // The next round does not wait for an hour.
    written.minutes(7).await;
    let rest = [&first_round[20..], &written_remarks(&written)[..]].concat();
    assert_eq!(rest, [26, 27]);
    written.minutes(70).await;
    assert_eq!(written_remarks(&written), Vec::<u64>::new());
}

#[tokio::test]
async fn the_reason_of_a_hand_over_is_written_with_the_assignee() {
    for (mapping, expected) in [(with("reasons = true"), true), (MAPPING.to_owned(), false)] {
        let written = claimed("", &mapping).await;
        written.seconds(30).await;
        let first = written.systems.patches();
        assert_eq!(first[0].1, json!({ "owner": "s.ba" }), "no reason");
        hand_over(&written, "sunba", "qianqi", "on holiday").await;
        written.seconds(30).await;
        let patches = written.systems.patches();
        let [(_, patch)] = &patches[..] else {
            panic!("{patches:?}")
        };
        assert_eq!(patch["owner"], "q.qi");
        let note = patch["note"].as_str().unwrap_or_default();
        assert_eq!(note.ends_with("\nReason: on holiday"), expected, "{note}");
        assert!(!written.events().await.contains("holiday"));
        // A repair is no hand-over.
        written.systems.set(TICKET, "owner", "s.ba");
        written.minutes(9).await;
        let repairs = written.systems.patches();
        assert_eq!(repairs.len(), 1, "{repairs:?}");
        assert_eq!(repairs[0].1, json!({ "owner": "q.qi" }));
    }
}

#[tokio::test]
async fn a_second_conflict_is_shown_at_the_next_comparison() {
    let definitions = compared("status_authority = \"person\"");
    let written = Written::open(&definitions, MAPPING, json!({})).await;
    written.minutes(6).await;
    for found in ["odd", "strange"] {
        written.systems.set(TICKET, "state", found);
        written.minutes(7).await;
        let conflict = json!({ "field": "status", "found": found, "wanted": "open" });
        assert_eq!(written.case().await["conflict"], conflict);
        // A person corrects the record.
        written.systems.set(TICKET, "state", "open");
        written.minutes(6).await;
        assert_eq!(written.case().await["conflict"], Value::Null);
    }
    assert!(written.systems.patches().is_empty());
}

/// Removes the binding that a person set. Returns the status and the response.
pub(crate) async fn unbind(written: &Written, user: &str, query: &str) -> (u16, Value) {
    let id = written.case().await["id"].clone();
    let path = format!("cases/{}/crm{query}", id.as_str().expect("an id"));
    let answer = written.desk.v1("DELETE", &path, user, Value::Null).await;
    written.desk.settle().await;
    answer
}

#[tokio::test]
async fn a_removed_binding_cancels_the_waiting_writes() {
    let written = with_crm(json!({})).await;
    assert_eq!(unbind(&written, "lisi", "").await.0, 403);
    assert_eq!(
        unbind(&written, "admin", "").await.0,
        204,
        "nothing is bound"
    );
    assert_eq!(bind(&written, "admin", "crm", "C-1").await.0, 200);
    written.seconds(30).await;
    assert_eq!(written.systems.member(CASE, "phase"), "working");
    written.remark("lisi", "the cable is broken").await;
    written.systems.patches();
    assert_eq!(unbind(&written, "admin", "").await.0, 204);
    assert_eq!(written.case().await["bindings"], json!([]));
    let events = written.events().await;
    assert!(events.contains("case.binding_removed"), "{events}");
    let canceled = "writeback.canceled";
    let reason = "the case is not bound to the record any more";
    assert!(
        events.contains(canceled) && events.contains(reason),
        "{events}"
    );
    written.minutes(12).await;
    let patched: Vec<String> = written
        .systems
        .patches()
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(
        patched,
        [TICKET],
        "the record of the source gets the remark"
    );
    // The same request again changes nothing.
    for query in ["", "?integration=crm"] {
        assert_eq!(unbind(&written, "admin", query).await.0, 204);
    }
    let again = written.events().await;
    assert_eq!(again.matches("case.binding_removed").count(), 1);
    assert_eq!(again.matches(canceled).count(), 1);
    // Bound again, the record gets the remark.
    assert_eq!(bind(&written, "admin", "crm", "C-1").await.0, 200);
    written.seconds(30).await;
    assert_remarked(&written, CASE);
    let Written { desk, systems } = written;
    let desk = desk.restart_without_views().await;
    desk.settle().await;
    let written = Written { desk, systems };
    assert_eq!(written.events().await.matches(canceled).count(), 1);
}

#[tokio::test]
async fn another_record_cancels_the_waiting_writes_to_the_former_one() {
    let written = with_crm(json!({})).await;
    let right = "crm.example.com/C-2";
    let record = json!({ "id": "C-2", "phase": "new" });
    written.systems.put(right, record);
    assert_eq!(bind(&written, "admin", "crm", "C-1").await.0, 200);
    assert_eq!(bind(&written, "admin", "crm", "C-2").await.0, 200);
    written.seconds(30).await;
    assert_eq!(written.systems.member(right, "phase"), "working");
    assert_eq!(written.systems.member(CASE, "phase"), "new");
    let events = written.events().await;
    assert_eq!(events.matches("writeback.canceled").count(), 1, "{events}");
}

#[tokio::test]
async fn a_binding_that_the_record_named_cannot_be_removed() {
    let written = with_crm(json!({ "crm_case": "C-1" })).await;
    let (status, answer) = unbind(&written, "admin", "?integration=crm").await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(unbind(&written, "admin", "").await.0, 204);
    assert_eq!(unbind(&written, "admin", "?integration=").await.0, 400);
    assert_eq!(written.case().await["bindings"][0]["record"], "C-1");
}

#[tokio::test]
async fn a_record_whose_id_is_not_accepted_does_not_stop_the_comparison_of_the_others() {
    let definitions = format!("{}\n{CRM}", compared(""));
    let written = Written::open(&definitions, MAPPING, json!({ "crm_case": "C-1" })).await;
    written.systems.put(CASE, Value::Null);
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
    // The record of the CRM gets the status of the ticket by a repair.
    assert_eq!(written.systems.member(other, "phase"), "working");
    let report = report(&written, from).await;
    let crm = &report["sources"]["crm"];
    assert_eq!(
        (&crm["unknown_by_value"], &crm["unknown_seconds"]),
        (&json!({ "status": 1 }), &json!(0)),
        "{report}"
    );
}

#[tokio::test]
async fn a_difference_that_is_not_compared_any_more_has_no_deadline() {
    let written = Written::open(&compared(""), &with("last_fact = true"), json!({})).await;
    written.minutes(6).await;
    written.systems.set(TICKET, "title", "No power");
    let found = r#""field":"content""#;
    for _ in 0..40 {
        if written.events().await.contains(found) {
            break;
        }
        written.seconds(15).await;
    }
    assert!(written.events().await.contains(found));
    // The ticket ends before the second comparison, and the record cannot get its status. An ended ticket takes over no
    // content.
    written.systems.refuse(true);
    let message = json!({ "message": "solved" });
    written.operate("withdraw", "lisi", message).await;
    written.minutes(3).await;
    let id = written.case().await["id"].clone();
    let stream = format!("case-{}", id.as_str().expect("an id"));
    let ledger = &written.desk.app.ledger;
    let case = ledger.load::<Case>(&stream).await.unwrap().aggregate.0;
    let binding = case.binding("").expect("a binding");
    let compared = &binding.comparisons["content"];
    assert_eq!(
        (compared.agreement, compared.due),
        (Agreement::Agrees, None)
    );
    assert_ne!(binding.agreement_of("status"), Agreement::Agrees);
    assert!(!binding.is_settled);
}
