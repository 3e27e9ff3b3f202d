//! These tests run the commands `audit`, `report`, `import` and `doctor` on a desk in the cloud. The
//! command `doctor` also runs on damaged deployments.

use std::process::{Command, Output};

use tests::process::{program, root};

use crate::TestDesk;
use crate::deployment::Deployment;
use crate::desk::until;

/// Import mapping (the description of the columns and formats) for the incident log that this test imports.
const MAPPING: &str = r#"
source = "T"
unknown_state = "open"

[columns]
case = "number"
time = "sys_updated_at"
state = "incident_state"

[time]
format = "%d/%m/%Y %H:%M"
zone = "UTC"

[states]

[times]
opened = "opened_at"
"#;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(program())
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the program runs")
}

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, &[]);
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn feed_and_journal_verify_each_other() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", tests::approval_request()).await["sn"]
        .as_str()
        .expect("sn")
        .to_owned();
    until("the commit in the feed", async || {
        printed(&["audit", "export", "--cloud"])
            .contains(&sn)
            .then_some(())
    })
    .await;
    assert!(printed(&["audit", "verify", "--cloud"]).contains("audit verify: ok"));
    assert!(printed(&["audit", "check", "--cloud"]).contains("audit check: ok"));
    assert!(
        printed(&["audit", "show", &format!("ticket-{sn}"), "--cloud"]).contains("ticket.opened")
    );
    let board = printed(&["report", "desk", "--json", "--cloud"]);
    assert!(board.contains("\"opened\""), "{board}");
    // The command `audit export` exports the events from the cloud. A verifier that is written in Python
    // must accept these events.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), printed(&["audit", "export", "--cloud"])).expect("written");
    let verified = Command::new(root().join("target/python/bin/python"))
        .arg(root().join("tests/verify.py"))
        .arg(file.path())
        .output()
        .expect("the verifier runs");
    assert!(
        verified.status.success(),
        "{}{}",
        String::from_utf8_lossy(&verified.stdout),
        String::from_utf8_lossy(&verified.stderr)
    );
}

#[tokio::test]
async fn a_log_is_imported_once_and_doctor_reports_its_cost() {
    let desk = TestDesk::open().await;
    desk.must("create_ticket", tests::approval_request()).await;
    desk.followed().await;
    let case = infra::clock::Clock::now(&infra::clock::SystemClock).0;
    let rows = (1..=30).map(|row| {
        format!(
            "INC{case}{:02},Active,{row}/3/2016 10:{row:02},1/3/2016 09:00\n",
            row / 3
        )
    });
    let log: String =
        std::iter::once("number,incident_state,sys_updated_at,opened_at\n".to_owned())
            .chain(rows)
            .collect();
    let (file, mapping) = (
        tempfile::NamedTempFile::new().expect("a file"),
        tempfile::NamedTempFile::new().expect("a file"),
    );
    std::fs::write(file.path(), log).expect("written");
    std::fs::write(mapping.path(), MAPPING).expect("written");
    let (file, mapping) = (
        file.path().to_str().expect("a path"),
        mapping.path().to_str().expect("a path"),
    );
    let first = printed(&["import", file, "--mapping", mapping, "--cloud"]);
    assert!(
        first.contains("30 imported, 0 duplicate, 0 rejected"),
        "{first}"
    );
    let again = printed(&["import", file, "--mapping", mapping, "--cloud"]);
    assert!(
        again.contains("0 imported, 30 duplicate, 0 rejected"),
        "{again}"
    );

    let cost = printed(&["doctor", "--cost", "--cloud"]);
    let line = |name: &str| {
        cost.lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} in {cost}"))
            .to_owned()
    };
    let units = |name: &str| {
        line(name)
            .split_whitespace()
            .nth(2)
            .expect("write units")
            .parse::<f64>()
            .expect("a number")
    };
    assert!(
        units("command") > 0.0 && units("index") > 0.0 && units("follow") > 0.0,
        "{cost}"
    );
    assert!(
        cost.contains("dollars per million with everything that followed"),
        "{cost}"
    );
    println!("{cost}");
}

/// Runs the command `doctor` on the deployment with the name prefix `prefix`. `more` contains additional
/// arguments, and `environment` contains environment variables. The command must find a problem. Returns
/// the output of the command.
pub(crate) fn failing_doctor(prefix: &str, more: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(
        &[&["doctor", "--cloud", "--prefix", prefix][..], more].concat(),
        environment,
    );
    let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{output_text}");
    output_text
}

/// Returns two lines from the output of `doctor`: the line of the failed check `what`, and the next line
/// with the advice.
pub(crate) fn finding<'a>(output_text: &'a str, what: &str) -> (&'a str, &'a str) {
    let mut lines = output_text
        .lines()
        .skip_while(|line| !line.starts_with(&format!("WRONG  {what}")));
    (
        lines
            .next()
            .unwrap_or_else(|| panic!("{what} in {output_text}")),
        lines.next().expect("an advice").trim(),
    )
}

#[tokio::test]
async fn doctor_finds_no_problem_on_a_sound_desk() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", tests::approval_request()).await["sn"].clone();
    desk.followed().await;
    let output = run(&["doctor", "--cloud"], &[]);
    let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Dead letters and wrong integrations are allowed here, because other tests create them in the same desk.
    let is_of_another_test = |line: &str| {
        line.contains("messages failed too often") || line.starts_with("WRONG  integration ")
    };
    assert!(
        output_text
            .lines()
            .all(|line| !line.starts_with("WRONG") || is_of_another_test(line)),
        "{sn} {output_text}"
    );
    for what in [
        "region", "table", "archive", "secret", "queue", "index", "follow", "parked", "journal",
    ] {
        assert!(
            output_text.contains(&format!("ok     {what}")) || what == "queue",
            "{what} in {output_text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_the_broken_part_of_a_deployment_with_advice() {
    let cloud = TestDesk::open().await.cloud;

    let wrong_region = failing_doctor(&cloud.names.prefix, &["--region", "eu-west-3"], &[]);
    let (found, advice) = finding(&wrong_region, "tables");
    assert!(
        found.contains("none of the desk's tables is in region eu-west-3")
            && advice.contains("another region"),
        "{wrong_region}"
    );

    let denied = crate::faults::denying().await;
    let denied_output = failing_doctor(
        &cloud.names.prefix,
        &[],
        &[("AWS_ENDPOINT_URL_DYNAMODB", &denied)],
    );
    let (found, advice) = finding(
        &denied_output,
        &format!("table {}", cloud.names.table("journal")),
    );
    assert!(
        found.contains("AccessDenied") && advice.contains("give them dynamodb:DescribeTable"),
        "{denied_output}"
    );

    let unreachable = failing_doctor(
        &cloud.names.prefix,
        &[],
        &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")],
    );
    assert!(
        finding(
            &unreachable,
            &format!("table {}", cloud.names.table("journal"))
        )
        .1
        .contains("does not answer"),
        "{unreachable}"
    );

    // This deployment has no functions. Its stored commits are therefore missing in the feed (the ordered
    // list of all commits), and `doctor` must report the missing commits.
    let own = Deployment::new().await;
    own.store(&["catalog"]).await;
    let stopped = failing_doctor(&own.prefix, &[], &[]);
    let (found, advice) = finding(&stopped, "index");
    assert!(
        found.contains("lacks catalog:1") && advice.contains(&format!("{}-index", own.prefix)),
        "{stopped}"
    );
    assert_eq!(
        stopped
            .lines()
            .filter(|line| line.starts_with("WRONG"))
            .count(),
        1,
        "doctor finds exactly one problem: {stopped}"
    );

    own.turn_stream_off("journal").await;
    let (stream_off, table) = (
        failing_doctor(&own.prefix, &[], &[]),
        format!("table {}-journal", own.prefix),
    );
    let (found, advice) = finding(&stream_off, &table);
    assert!(
        found.contains("its stream is off") && advice.contains("view type NEW_IMAGE"),
        "{stream_off}"
    );

    own.delete("keys").await;
    let (lost, table) = (
        failing_doctor(&own.prefix, &[], &[]),
        format!("table {}-keys", own.prefix),
    );
    let (found, advice) = finding(&lost, &table);
    assert!(
        found.contains("ResourceNotFound") && advice.contains("restore it from its newest backup"),
        "{lost}"
    );
}

#[tokio::test]
async fn lost_cards_are_restored_and_a_rebuild_finds_no_difference() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", tests::approval_request()).await["sn"]
        .as_str()
        .expect("sn")
        .to_owned();
    desk.followed().await;
    let stream = format!("ticket-{sn}");
    let card = async || {
        let stored = desk
            .app
            .views
            .get("ticket", &stream)
            .await
            .expect("get")
            .expect("a card");
        let card: domain::views::ticket_card::TicketCard =
            functions::app::cards::read_card(&desk.app.ledger, &stream, &stored)
                .await
                .expect("reads");
        (stored.sequence, card)
    };
    let before = card().await;
    until("the commit in the feed", async || {
        printed(&["audit", "export", "--cloud"])
            .contains(&sn)
            .then_some(())
    })
    .await;
    desk.app
        .views
        .remove("ticket", &stream)
        .await
        .expect("lost");
    assert!(printed(&["audit", "follow", "--cloud"]).contains("streams are followed"));
    assert_eq!(card().await, before);
    desk.followed().await;
    let rebuilt = printed(&["audit", "rebuild", "ticket", "--cloud"]);
    assert!(
        rebuilt.starts_with("ticket: ") && rebuilt.contains(", 0 differed"),
        "{rebuilt}"
    );
    assert!(!rebuilt.starts_with("ticket: 0 "), "{rebuilt}");
}

/// The command `audit check` compares the feed (the ordered list of all commits) with the journal (the
/// table of all commits). The command finds commits that another program changed or removed.
#[tokio::test]
async fn audit_check_finds_changed_removed_and_missing_commits() {
    let own = Deployment::new().await;
    let check = |more: &[&str]| {
        let output = run(
            &[
                &["audit", "check", "--cloud", "--prefix", &own.prefix][..],
                more,
            ]
            .concat(),
            &[],
        );
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    own.store(&["catalog", "role-1", "role-2"]).await;
    let (sound, output_text) = check(&[]);
    assert!(
        !sound && output_text.contains("3 commits of the journal are not in the feed"),
        "{output_text}"
    );
    let (_, filled) = check(&["--fill"]);
    assert!(
        filled.contains("3 commits were given positions"),
        "{filled}"
    );
    let (sound, output_text) = check(&[]);
    assert!(
        sound
            && output_text.contains("3 commits in both")
            && output_text.contains("audit check: ok"),
        "{output_text}"
    );

    own.remove("role-1").await;
    let (sound, output_text) = check(&[]);
    assert!(
        !sound && output_text.contains("(role-1:1) is not in the journal any more"),
        "{output_text}"
    );
    own.overwrite("catalog").await;
    let (sound, output_text) = check(&["--fill"]);
    assert!(
        !sound
            && output_text.contains("catalog:1 is another commit in the journal than at position"),
        "{output_text}"
    );
    assert!(
        !output_text.contains("were given positions"),
        "no changed commit gets into the feed: {output_text}"
    );
}
