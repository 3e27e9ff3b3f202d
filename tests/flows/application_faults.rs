//! These tests check applications (requests for approval in an external ITSM) against faults that last: another external ITSM
//! with the same ticket numbers, missing rights, errors with the HTTP status 200, and wrong definitions.

use std::collections::BTreeMap;

use functions::app::itsm::integrations::Definitions;
use serde_json::{Value, json};

use crate::applications::{Applied, Fault, define};
use crate::applying::{desk, opened, values};

const MINUTE_MS: i64 = 60_000;

/// The integration of the tests with another URL, and with further members.
pub(crate) fn integration(url: &str, further: &str) -> String {
    format!(
        r#"
        [[integration]]
        name = "company_itsm"
        kind = "bk_itsm"
        url = "{url}"
        app = "bk_log"
        user = "admin"
        {further}
        "#
    )
}

/// An application kind whose approval has the given definition.
fn kind(granted: &str) -> String {
    format!(
        r#"
        [[application_kind]]
        name = "collect"
        preset = "log_collection"
        integration = "company_itsm"
        service = 18
        granted = {granted}
        "#
    )
}

/// Returns an application as lisi reads it.
pub(crate) async fn read(desk: &Applied, opened: &Value) -> Value {
    let (status, shown) = desk.shown(&opened["id"], "lisi", "en").await;
    assert_eq!(status, 200, "{shown}");
    shown
}

pub(crate) fn problem(shown: &Value) -> &str {
    shown["problem"].as_str().unwrap_or_default()
}

pub(crate) async fn minutes(desk: &Applied, count: usize) {
    for _ in 0..count {
        desk.after(MINUTE_MS).await;
    }
}

/// Returns the statuses of the applications of lisi with their numbers.
pub(crate) async fn statuses(desk: &Applied) -> BTreeMap<String, usize> {
    let (_, list) = desk
        .desk
        .v1("GET", "applications", "lisi", Value::Null)
        .await;
    let mut counts = BTreeMap::new();
    for one in list["applications"].as_array().expect("a list") {
        let status = one["status"].as_str().expect("a status").to_owned();
        *counts.entry(status).or_default() += 1;
    }
    counts
}

pub(crate) fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let owned = expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    owned.collect()
}

/// Two desks count their tickets from 1 on each day, so another external ITSM has tickets with the same numbers.
#[tokio::test]
async fn another_external_itsm_with_the_same_numbers_decides_nothing() {
    let desk = desk().await;
    opened(&desk, "collect", 3).await;
    let (_, single) = desk.apply("lisi", "collect", "c-1", values()).await;
    minutes(&desk, 2).await;
    define(&desk.desk, &integration("http://other.example.com", "")).await;
    for sn in ["REQ001", "REQ002", "REQ003", "REQ004"] {
        desk.external.decide(sn, "FINISHED", "true");
    }
    desk.external.calls();
    desk.external.asked.lock().unwrap().clear();
    minutes(&desk, 10).await;
    let asked = desk.external.asked.lock().unwrap().clone();
    assert!(asked.is_empty(), "{asked:?}");
    let calls = desk.external.calls();
    assert!(
        calls.iter().all(|call| call == "callback_failed_ticket"),
        "no ticket is read there: {calls:?}"
    );
    assert_eq!(statuses(&desk).await, counts(&[("applying", 4)]));
    let shown = read(&desk, &single).await;
    for url in ["http://itsm.example.com", "http://other.example.com"] {
        assert!(problem(&shown).contains(url), "{shown}");
    }
    // The tickets are in the first external ITSM, which did not change.
    define(&desk.desk, &integration("http://itsm.example.com/", "")).await;
    minutes(&desk, 10).await;
    assert_eq!(statuses(&desk).await, counts(&[("granted", 4)]));
}

#[tokio::test]
async fn an_application_that_was_not_sent_uses_the_corrected_address() {
    let desk = desk().await;
    define(&desk.desk, &integration("http://wrong.example.com", "")).await;
    desk.external.fail(&[Fault::NotSent]);
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    assert_eq!(desk.external.count(), 0);
    define(&desk.desk, &integration("http://itsm.example.com", "")).await;
    minutes(&desk, 1).await;
    assert_eq!(desk.external.count(), 1);
    desk.decide("REQ001", "true").await;
    assert_eq!(read(&desk, &opened).await["status"], "granted");
}

#[tokio::test]
async fn a_ticket_with_the_tag_of_another_one_decides_nothing() {
    let desk = desk().await;
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    *desk.external.shown_tag.lock().unwrap() = Some("of-another-application");
    desk.decide("REQ001", "true").await;
    let shown = read(&desk, &opened).await;
    assert_eq!(shown["status"], "applying", "{shown}");
    assert!(
        problem(&shown).contains("the tag of the ticket REQ001"),
        "{shown}"
    );
    *desk.external.shown_tag.lock().unwrap() = None;
    minutes(&desk, 5).await;
    assert_eq!(read(&desk, &opened).await["status"], "granted");
}

#[tokio::test]
async fn an_error_after_the_creation_makes_no_second_ticket() {
    let desk = desk().await;
    desk.external.fail(&[Fault::FailedAfter]);
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    let shown = read(&desk, &opened).await;
    assert_eq!(shown["status"], "applying", "{shown}");
    assert!(problem(&shown).contains("1306201"), "{shown}");
    let (status, _) = desk.apply("lisi", "collect", "c-1", values()).await;
    assert_eq!(status, 409, "the first application is still open");
    desk.external.calls();
    desk.after(MINUTE_MS / 2).await;
    assert_eq!(desk.external.calls(), ["get_tickets", "get_tickets"]);
    let shown = read(&desk, &opened).await;
    assert_eq!(
        (&shown["external"], &shown["problem"]),
        (&json!("REQ001"), &Value::Null)
    );
    desk.decide("REQ001", "true").await;
    assert_eq!(read(&desk, &opened).await["status"], "granted");
    assert_eq!(desk.external.count(), 1);
}

#[tokio::test]
async fn a_creation_that_always_fails_ends_with_its_error() {
    let desk = desk().await;
    let rounds = [Fault::Failed, Fault::Passes];
    desk.external.fail(&rounds.repeat(3));
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    minutes(&desk, 5).await;
    let shown = read(&desk, &opened).await;
    assert_eq!(shown["status"], "failed", "{shown}");
    let reason = shown["outcome"]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("1306201: timed out"), "{reason}");
    let calls = desk.external.calls();
    assert_eq!(calls, ["create_ticket", "get_tickets"].repeat(3));
    let (status, _) = desk.apply("lisi", "collect", "c-1", values()).await;
    assert_eq!((status, desk.external.count()), (201, 1));
}

/// The account of the desk has only the rights that a decision needs.
#[tokio::test]
async fn without_the_rights_for_several_tickets_each_ticket_is_read() {
    let desk = desk().await;
    *desk.external.forbidden.lock().unwrap() =
        vec!["ticket_approval_result", "callback_failed_ticket"];
    opened(&desk, "collect", 3).await;
    minutes(&desk, 3).await;
    desk.external.decide("REQ001", "FINISHED", "true");
    desk.external.decide("REQ002", "FINISHED", "false");
    minutes(&desk, 6).await;
    let expected = [("applying", 1), ("granted", 1), ("refused", 1)];
    assert_eq!(statuses(&desk).await, counts(&expected));
    let (_, list) = desk
        .desk
        .v1("GET", "applications?state=open", "lisi", Value::Null)
        .await;
    desk.apply("lisi", "collect", "c-9", values()).await;
    minutes(&desk, 12).await;
    let waiting = &list["applications"][0];
    let shown = read(&desk, waiting).await;
    assert_eq!(shown["status"], "applying", "{shown}");
    desk.external.forbidden.lock().unwrap().clear();
    minutes(&desk, 12).await;
    desk.external.decide("REQ003", "FINISHED", "true");
    desk.external.decide("REQ004", "FINISHED", "true");
    minutes(&desk, 6).await;
    assert_eq!(
        statuses(&desk).await,
        counts(&[("granted", 3), ("refused", 1)])
    );
}

#[tokio::test]
async fn missing_rights_for_several_tickets_are_shown_until_they_are_given() {
    let desk = desk().await;
    *desk.external.forbidden.lock().unwrap() = vec!["ticket_approval_result"];
    opened(&desk, "collect", 2).await;
    minutes(&desk, 3).await;
    let (_, list) = desk
        .desk
        .v1("GET", "applications", "lisi", Value::Null)
        .await;
    for shown in list["applications"].as_array().expect("a list") {
        assert!(problem(shown).contains("403"), "{shown}");
    }
    desk.external.forbidden.lock().unwrap().clear();
    minutes(&desk, 12).await;
    let (_, list) = desk
        .desk
        .v1("GET", "applications", "lisi", Value::Null)
        .await;
    for shown in list["applications"].as_array().expect("a list") {
        assert_eq!(
            (&shown["status"], &shown["problem"]),
            (&json!("applying"), &Value::Null)
        );
    }
}

#[tokio::test]
async fn a_misspelled_field_in_granted_refuses_nothing() {
    let desk = desk().await;
    define(&desk.desk, &kind("{ aproval_result = \"true\" }")).await;
    let (_, opened) = desk.apply("lisi", "collect", "c-1", values()).await;
    desk.decide("REQ001", "true").await;
    let shown = read(&desk, &opened).await;
    assert_eq!(shown["status"], "applying", "{shown}");
    assert!(problem(&shown).contains("\"aproval_result\""), "{shown}");
    define(&desk.desk, &kind("{ approval_result = \"true\" }")).await;
    minutes(&desk, 5).await;
    assert_eq!(read(&desk, &opened).await["status"], "granted");
}

/// The service of the external ITSM has no field for the decision, so only the result of the approval shows it.
#[tokio::test]
async fn the_result_of_an_approval_decides_without_a_field() {
    let desk = desk().await;
    define(&desk.desk, &kind("{ approve_result = true }")).await;
    let (_, by_callback) = desk.apply("lisi", "collect", "c-1", values()).await;
    desk.external.calls();
    desk.decide("REQ001", "true").await;
    assert_eq!(
        desk.external.calls(),
        ["token/verify", "ticket_approval_result"]
    );
    assert_eq!(read(&desk, &by_callback).await["status"], "granted");
    let (_, refused) = desk.apply("lisi", "collect", "c-2", values()).await;
    let (_, granted) = desk.apply("lisi", "collect", "c-3", values()).await;
    desk.external.decide("REQ002", "FINISHED", "false");
    desk.external.decide("REQ003", "FINISHED", "true");
    minutes(&desk, 2).await;
    assert_eq!(read(&desk, &refused).await["status"], "refused");
    let granted = read(&desk, &granted).await;
    assert_eq!(granted["status"], "granted", "{granted}");
    assert_eq!(
        granted["ticket_url"],
        "https://itsm.example.com/#/ticket/REQ003"
    );
    let both = kind("{ approve_result = true, approval_result = \"true\" }");
    let wrong = Definitions::read(&both, &|_| Err("no mapping".into())).map(drop);
    let reason = wrong.expect_err("two responses");
    assert!(
        reason.contains("`granted` must not name fields"),
        "{reason}"
    );
}

/// The last application kind of a file names an integration that does not exist. Nothing of the file is stored.
#[tokio::test]
async fn a_file_with_a_wrong_name_is_not_stored_in_part() {
    let desk = desk().await;
    let text = format!(
        "{}{}",
        integration("http://itsm.example.com", "").replace("company_itsm", "second_itsm"),
        r#"
        [[application_kind]]
        name = "good"
        integration = "second_itsm"
        service = 18
        granted = { approval_result = "true" }
        days = 1

        [[application_kind]]
        name = "bad"
        integration = "third_itsm"
        service = 18
        granted = { approval_result = "true" }
        days = 1
        "#
    );
    let definitions = Definitions::read(&text, &|_| Err("no mapping".into())).expect("valid");
    let head = desk.desk.head().await;
    let app = &desk.desk.app;
    let error = definitions.store(app).await.expect_err("a wrong name");
    let expected = "application_kind bad: integration third_itsm does not exist";
    assert!(error.to_string().contains(expected), "{error}");
    assert_eq!(desk.desk.head().await, head, "nothing is stored");
    // The integration can be in another file.
    let third = integration("http://itsm.example.com", "").replace("company_itsm", "third_itsm");
    let third = Definitions::read(&third, &|_| Err("no mapping".into())).expect("valid");
    let stored = Definitions::store_all(app, &[definitions, third]).await;
    stored.expect("stored");
    let kind = app.configuration.application_kind("bad").await;
    assert!(kind.expect("readable").is_some());
}
