//! These tests check that the trial of a notification policy finds the same notifications as the desk sent, and names the
//! rules that change them.

use std::sync::Arc;

use domain::notification::imported::Columns;
use events::person::Language;
use functions::app::importing::mapping::Mapping;
use functions::app::importing::{self, Log, Progress};
use functions::app::notifications::definitions::Definitions;
use functions::app::notifications::policy_try::{
    Options, Report, Row, TryError, lines, report, try_policy,
};
use serde_json::{Value, json};

use super::{BOTH, Channels, MAIL, ROBOT};
use crate::TestDesk;

const CAP: &str = "
    [[policy.rules]]
    categories = [\"approval\"]
    channels = [\"email\"]
    cap = \"off\"
";

const LOG: &str = "id,when,state,assigned_to,caller_id
A,2026-01-01 10:00:00,neu,max,eva
A,2026-01-01 11:00:00,neu,moritz,eva
A,2026-01-02 12:00:00,erledigt,moritz,eva
B,2025-01-01 10:00:00,neu,max,eva
";

const MAPPING: &str = r#"
source = "OTHER"
people = ["assigned_to", "caller_id"]
missing = ["-"]
unknown_state = "refuse"
[columns]
case = "id"
time = "when"
state = "state"
[time]
format = "%Y-%m-%d %H:%M:%S"
zone = "Asia/Shanghai"
[states]
neu = "open"
erledigt = "resolved"
"#;

fn options() -> Options {
    Options {
        days: 30,
        to: None,
        imported: None,
        assumes_addresses: false,
        notifications_max: 1_000,
    }
}

async fn attempt(desk: &TestDesk, policy: &str, options: &Options) -> Result<Report, TryError> {
    let definitions = Definitions::read(policy).expect("a valid file");
    let tried = try_policy(&desk.app, &definitions, options, |_, _| {}).await?;
    Ok(report(&desk.app, &tried, Language::English).await?)
}

async fn tried(desk: &TestDesk, policy: &str) -> Report {
    let tried = attempt(desk, policy, &options()).await;
    tried.expect("a report")
}

fn of<'a>(rows: &'a [Row], name: &str) -> &'a Row {
    let row = rows.iter().find(|row| row.name == name);
    row.unwrap_or_else(|| panic!("{name}: {rows:?}"))
}

#[tokio::test]
async fn a_trial_counts_what_the_desk_sent_and_names_the_rule_that_changes_it() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.submit().await;
    channels.desk.clock.advance(3_600_000);
    let sn = channels.submit().await;
    let remark = json!({ "text": "see the list" });
    let desk = &channels.desk;
    desk.operate(&json!(sn), "remark", "wangwu", remark).await;
    desk.settle().await;
    let sent = desk.mailer.take().len() + channels.robot.accepted().len();
    let head = desk.head().await;

    let found = tried(desk, &[BOTH, CAP].concat()).await;

    assert_eq!(desk.head().await, head, "a trial stores nothing");
    let before = found.total.before;
    assert_eq!(before.messages, sent as u64, "{found:?}");
    assert_eq!(before.immediate, before.messages);
    // Two approvals and one remark, each by mail and by the robot.
    assert_eq!(before.messages, 6);
    let approvals = of(&found.categories, "approval").figures;
    assert_eq!(
        (approvals.before.messages, approvals.after.messages),
        (4, 2)
    );
    let email = of(&found.channels, "email").figures;
    assert_eq!((email.before.messages, email.after.messages), (3, 1));
    let person = of(&found.people, "zhangsan").figures;
    assert_eq!((person.before.messages, person.after.messages), (6, 4));
    assert_eq!(found.loudest[0].name, "zhangsan");
    assert_eq!(found.newly_silent.count, 0);
    let [change] = found.changes.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (change.before, change.after, change.count),
        ("immediate", "dropped", 2)
    );
    let example = &change.examples[0];
    assert_eq!(example.person, "zhangsan");
    assert!(
        example.after.contains("Rule 1 of the policy limits"),
        "{example:?}"
    );
    let again = tried(desk, &[BOTH, CAP].concat()).await;
    assert_eq!(json!(again).to_string(), json!(found).to_string());
    assert_eq!(lines(&again), lines(&found));
}

#[tokio::test]
async fn the_settings_of_workflows_apply_in_a_trial() {
    let silent = json!({ "notify_rule": "NONE" });
    let mail_only = json!({ "notify_rule": "ONCE", "notify": ["EMAIL"] });
    for (settings, expected) in [(silent, 0), (mail_only, 1)] {
        let channels = Channels::open().await;
        channels.reachable(None).await;
        channels.with_rule(settings).await;
        let sent = channels.desk.mailer.take().len() + channels.robot.accepted().len();
        let found = tried(&channels.desk, BOTH).await;
        assert_eq!(
            (sent as u64, found.total.before.messages),
            (expected, expected),
            "{found:?}"
        );
        assert_eq!(found.total.after, found.total.before);
    }
}

#[tokio::test]
async fn a_person_who_gets_no_messages_any_more_is_named() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.submit().await;
    let silent = [BOTH, "[[policy.rules]]\ncap = \"off\"\n"].concat();
    let found = tried(&channels.desk, &silent).await;
    assert_eq!(found.newly_silent.first, ["zhangsan"]);
    assert_eq!(found.total.after.messages, 0);
    let text = lines(&found).join("\n");
    assert!(
        text.contains("people who get no messages any more: 1 zhangsan"),
        "{text}"
    );
}

#[tokio::test]
async fn a_person_without_addresses_is_not_changed_by_a_policy_with_fewer_accounts() {
    let channels = Channels::open().await;
    channels.submit().await;
    let found = tried(&channels.desk, "[policy]\naccounts = [\"mail\"]\n").await;
    // Neither the mail nor the robot reaches one of the two approvers.
    assert_eq!(found.total.before.dropped, 4, "{found:?}");
    assert_eq!(found.total.after.dropped, 2, "{found:?}");
    assert_eq!(found.people_changed, 0, "{found:?}");
    assert!(found.people.is_empty(), "{found:?}");
}

#[tokio::test]
async fn quiet_hours_and_urgency_count_as_in_the_desk() {
    let channels = Channels::open().await;
    // The clock of the test starts at 10:00 in Shanghai.
    let quiet = json!({ "from": "09:00", "to": "12:00" });
    channels.reachable(Some(quiet)).await;
    channels.submit().await;
    assert_eq!(channels.newest("zhangsan").await["state"], "held");
    let urgent = BOTH.replace("\"3\"", "\"1\", \"2\", \"3\"");
    let found = tried(&channels.desk, &urgent).await;
    let person = of(&found.loudest, "zhangsan").figures;
    assert_eq!((person.before.held, person.before.immediate), (2, 0));
    assert_eq!((person.after.held, person.after.immediate), (0, 2));
    let example = &found.changes[0].examples[0];
    assert_eq!(example.before, "held in quiet hours");
}

#[tokio::test]
async fn a_desk_without_a_policy_can_try_one() {
    let desk = TestDesk::open().await;
    desk.must("create_ticket", tests::approval_request()).await;
    desk.settle().await;
    let options = Options {
        assumes_addresses: true,
        ..options()
    };
    let file = [MAIL, ROBOT, BOTH].concat();
    let found = attempt(&desk, &file, &options).await.expect("a report");
    assert_eq!(found.total.before.messages, 0);
    assert_eq!(found.newly_reached.first, ["wangwu", "zhangsan"]);
    let [change] = found.changes.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (change.before, change.after, change.count),
        ("absent", "immediate", 4)
    );
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("no policy now"))
    );
}

#[tokio::test]
async fn a_trial_on_imported_rows_notes_that_there_are_none() {
    let channels = Channels::open().await;
    let missing = |report: &Report| {
        let mut notes = report.notes.iter();
        notes.any(|note| note.contains("no imported rows"))
    };
    let columns = Columns {
        assignee: "assigned_to".into(),
        requester: "caller_id".into(),
    };
    let imported = Options {
        imported: Some(columns),
        ..options()
    };
    let found = attempt(&channels.desk, BOTH, &imported).await;
    let found = found.expect("a report");
    assert!(missing(&found), "{found:?}");
    let shown = lines(&found).join("\n");
    assert!(
        shown.contains("note: The desk has no imported rows"),
        "{shown}"
    );
    assert!(!missing(&tried(&channels.desk, BOTH).await));
}

#[tokio::test]
async fn a_trial_on_imported_rows_counts_their_people_and_stores_nothing() {
    let channels = Channels::open().await;
    let desk = &channels.desk;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("log.csv");
    std::fs::write(&file, LOG).expect("a file");
    let mapping = Arc::new(Mapping::parse(MAPPING).expect("a mapping"));
    let log = Log::open(&file, mapping, Arc::new(Progress::default()));
    let totals = importing::import(&desk.app.ledger, [7; 32], log.expect("a log"), None).await;
    assert_eq!(totals.expect("totals").imported, 4);
    desk.settle().await;
    let head = desk.head().await;
    let columns = Columns {
        assignee: "assigned_to".into(),
        requester: "caller_id".into(),
    };
    let imported = Options {
        imported: Some(columns),
        assumes_addresses: true,
        ..options()
    };
    let policy = [BOTH, &CAP.replace("approval", "resolved")].concat();
    let found = attempt(desk, &policy, &imported).await.expect("a report");
    assert_eq!(
        (found.imported_rows, found.imported_rows_without_people),
        (4, 0)
    );
    // Two assignments and one resolution in the last 30 days, each by mail and by the robot.
    assert_eq!(found.notifications, 3, "{found:?}");
    let resolved = of(&found.categories, "resolved").figures;
    assert_eq!((resolved.before.messages, resolved.after.messages), (2, 1));
    assert_eq!(
        (found.total.before.messages, found.total.after.messages),
        (6, 5)
    );
    assert_eq!((found.people_changed, found.newly_silent.count), (1, 0));
    let [change] = found.changes.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (change.before, change.after, change.count),
        ("immediate", "dropped", 1)
    );
    assert!(
        change.examples[0]
            .after
            .contains("Rule 1 of the policy limits")
    );
    let ignored = tried(desk, &policy).await;
    assert_eq!((ignored.imported_rows, ignored.notifications), (0, 0));
    assert_eq!(desk.head().await, head, "a trial stores nothing");
}

#[tokio::test]
async fn only_the_days_before_the_end_count() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.submit().await;
    channels.desk.clock.advance(3 * 86_400_000);
    channels.submit().await;
    let days = |days| Options { days, ..options() };
    let mut numbers = Vec::new();
    for days in [days(1), days(30)] {
        let found = attempt(&channels.desk, BOTH, &days).await;
        numbers.push(found.expect("a report").total.before.messages);
    }
    assert_eq!(numbers, [2, 4]);
}

#[tokio::test]
async fn a_wrong_file_and_a_period_that_is_too_large_are_refused() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.submit().await;
    for (policy, expected) in [
        (
            "[policy]\naccounts = [\"fax\"]\n",
            "policy: `accounts` names the account fax, which is not defined",
        ),
        (
            "[policy]\naccounts = []\n[policy.escalation]\nchains = { \"3\" = \"night\" }\n",
            "`escalation.chains` names the chain night, which is not defined",
        ),
        (MAIL, "[policy] is missing"),
    ] {
        let failed = attempt(&channels.desk, policy, &options()).await;
        let Err(TryError::Refused(reason)) = failed else {
            panic!("{policy}: {failed:?}")
        };
        assert!(reason.contains(expected), "{reason}");
    }
    let few = Options {
        notifications_max: 1,
        ..options()
    };
    let failed = attempt(&channels.desk, BOTH, &few).await;
    assert!(matches!(failed, Err(TryError::TooMany { max: 1 })));
}

#[tokio::test]
async fn superusers_try_a_policy_over_the_api() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.submit().await;
    let path = "notification-policies/try";
    let definitions = [BOTH, CAP].concat();
    let body = json!({ "definitions": definitions, "days": 7 });
    let send = async |user: &str, body: Value| channels.desk.v1("POST", path, user, body).await;
    let (status, answer) = send("admin", body.clone()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["total"]["before"]["messages"], 2);
    assert_eq!(answer["total"]["after"]["messages"], 1);
    assert_eq!(send("zhangsan", body).await.0, 403);
    let wrong = json!({ "definitions": "[policy]\naccounts = 1\n" });
    let (status, answer) = send("admin", wrong).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (400, &json!("/definitions")),
        "{answer}"
    );
}
