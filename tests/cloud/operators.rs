//! The command line on a desk in the cloud: it proves, reports, imports, and says what is wrong with a broken deployment.

use std::process::{Command, Output};

use tests::process::{program, root};

use crate::House;
use crate::deployment::Deployment;
use crate::house::until;

/// How the columns of the little log are meant.
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
    Command::new(program()).args(arguments).envs(environment.iter().copied()).output().expect("the program runs")
}

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, &[]);
    assert!(output.status.success(), "{arguments:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn feed_and_journal_are_proved_against_each_other() {
    let house = House::open().await;
    let sn = house.must("create_ticket", tests::approval_request()).await["sn"].as_str().expect("sn").to_owned();
    until("the commit in the feed", async || printed(&["audit", "export", "--cloud"]).contains(&sn).then_some(())).await;
    assert!(printed(&["audit", "verify", "--cloud"]).contains("audit verify: ok"));
    assert!(printed(&["audit", "check", "--cloud"]).contains("audit check: ok"));
    assert!(printed(&["audit", "show", &format!("ticket-{sn}"), "--cloud"]).contains("ticket.opened"));
    let board = printed(&["report", "desk", "--json", "--cloud"]);
    assert!(board.contains("\"opened\""), "{board}");
    // The independent program accepts what the cloud exports.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), printed(&["audit", "export", "--cloud"])).expect("written");
    let verified = Command::new(root().join("target/python/bin/python")).arg(root().join("tests/verify.py")).arg(file.path()).output().expect("it runs");
    assert!(verified.status.success(), "{}{}", String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
}

#[tokio::test]
async fn a_log_is_imported_into_the_cloud_once_and_what_it_cost_is_told() {
    let house = House::open().await;
    house.must("create_ticket", tests::approval_request()).await;
    house.followed().await;
    let case = infra::clock::Clock::now(&infra::clock::SystemClock).0;
    let rows = (1..=30).map(|row| format!("INC{case}{:02},Active,{row}/3/2016 10:{row:02},1/3/2016 09:00\n", row / 3));
    let log: String = std::iter::once("number,incident_state,sys_updated_at,opened_at\n".to_owned()).chain(rows).collect();
    let (file, mapping) = (tempfile::NamedTempFile::new().expect("a file"), tempfile::NamedTempFile::new().expect("a file"));
    std::fs::write(file.path(), log).expect("written");
    std::fs::write(mapping.path(), MAPPING).expect("written");
    let (file, mapping) = (file.path().to_str().expect("a path"), mapping.path().to_str().expect("a path"));
    let first = printed(&["import", file, "--mapping", mapping, "--cloud"]);
    assert!(first.contains("30 imported, 0 duplicate, 0 rejected"), "{first}");
    let again = printed(&["import", file, "--mapping", mapping, "--cloud"]);
    assert!(again.contains("0 imported, 30 duplicate, 0 rejected"), "{again}");

    let cost = printed(&["doctor", "--cost", "--cloud"]);
    let line = |name: &str| cost.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {cost}")).to_owned();
    let units = |name: &str| line(name).split_whitespace().nth(2).expect("write units").parse::<f64>().expect("a number");
    assert!(units("command") > 0.0 && units("index") > 0.0 && units("follow") > 0.0, "{cost}");
    assert!(cost.contains("dollars per million with everything that followed"), "{cost}");
    println!("{cost}");
}

/// What doctor says of the desk of a prefix; it must have found something.
fn complaint(prefix: &str, more: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(&[&["doctor", "--cloud", "--prefix", prefix][..], more].concat(), environment);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{said}");
    said
}

/// The complaint of one kind, with its advice on the next line.
fn about<'a>(said: &'a str, what: &str) -> (&'a str, &'a str) {
    let mut lines = said.lines().skip_while(|line| !line.starts_with(&format!("WRONG  {what}")));
    (lines.next().unwrap_or_else(|| panic!("{what} in {said}")), lines.next().expect("an advice").trim())
}

#[tokio::test]
async fn doctor_finds_nothing_on_a_sound_desk() {
    let house = House::open().await;
    let sn = house.must("create_ticket", tests::approval_request()).await["sn"].clone();
    house.followed().await;
    let output = run(&["doctor", "--cloud"], &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // Another test may have a poisoned message among the dead letters at this moment.
    assert!(said.lines().all(|line| !line.starts_with("WRONG") || line.contains("messages failed too often")), "{sn} {said}");
    for what in ["region", "table", "archive", "secret", "queue", "index", "follow", "parked", "journal"] {
        assert!(said.contains(&format!("ok     {what}")) || what == "queue", "{what} in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_which_part_of_a_deployment_is_broken_and_what_to_do() {
    let cloud = House::open().await.cloud;

    let elsewhere = complaint(&cloud.names.prefix, &["--region", "eu-west-3"], &[]);
    let (found, advice) = about(&elsewhere, "tables");
    assert!(found.contains("none of the desk's tables is in region eu-west-3") && advice.contains("another region"), "{elsewhere}");

    let denied = crate::faults::denying().await;
    let refused = complaint(&cloud.names.prefix, &[], &[("AWS_ENDPOINT_URL_DYNAMODB", &denied)]);
    let (found, advice) = about(&refused, &format!("table {}", cloud.names.table("journal")));
    assert!(found.contains("AccessDenied") && advice.contains("give them dynamodb:DescribeTable"), "{refused}");

    let away = complaint(&cloud.names.prefix, &[], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]);
    assert!(about(&away, &format!("table {}", cloud.names.table("journal"))).1.contains("does not answer"), "{away}");

    // A deployment of its own, without functions: what nobody indexes is told.
    let own = Deployment::new().await;
    own.store(&["catalog"]).await;
    let stopped = complaint(&own.prefix, &[], &[]);
    let (found, advice) = about(&stopped, "index");
    assert!(found.contains("lacks catalog:1") && advice.contains(&format!("{}-index", own.prefix)), "{stopped}");
    assert_eq!(stopped.lines().filter(|line| line.starts_with("WRONG")).count(), 1, "and nothing else is wrong: {stopped}");

    own.turn_stream_off("journal").await;
    let (deaf, table) = (complaint(&own.prefix, &[], &[]), format!("table {}-journal", own.prefix));
    let (found, advice) = about(&deaf, &table);
    assert!(found.contains("its stream is off") && advice.contains("view type NEW_IMAGE"), "{deaf}");

    own.delete("keys").await;
    let (lost, table) = (complaint(&own.prefix, &[], &[]), format!("table {}-keys", own.prefix));
    let (found, advice) = about(&lost, &table);
    assert!(found.contains("ResourceNotFound") && advice.contains("restore it from its newest backup"), "{lost}");
}

#[tokio::test]
async fn lost_cards_are_followed_again_and_a_rebuild_differs_in_nothing() {
    let house = House::open().await;
    let sn = house.must("create_ticket", tests::approval_request()).await["sn"].as_str().expect("sn").to_owned();
    house.followed().await;
    let stream = format!("ticket-{sn}");
    let card = async || {
        let stored = house.app.views.get("ticket", &stream).await.expect("get").expect("a card");
        let card: domain::views::ticket_card::TicketCard = functions::stream::follow::read_card(&house.app.ledger, &stream, &stored).await.expect("reads");
        (stored.sequence, card)
    };
    let before = card().await;
    until("the commit in the feed", async || printed(&["audit", "export", "--cloud"]).contains(&sn).then_some(())).await;
    house.app.views.remove("ticket", &stream).await.expect("lost");
    assert!(printed(&["audit", "follow", "--cloud"]).contains("streams are followed"));
    assert_eq!(card().await, before);
    house.followed().await;
    let rebuilt = printed(&["audit", "rebuild", "ticket", "--cloud"]);
    assert!(rebuilt.starts_with("ticket: ") && rebuilt.contains(", 0 differed"), "{rebuilt}");
    assert!(!rebuilt.starts_with("ticket: 0 "), "{rebuilt}");
}

/// What was changed or removed behind the ledger's back is found by holding the feed against the journal.
#[tokio::test]
async fn the_check_finds_what_was_changed_removed_or_left_out() {
    let own = Deployment::new().await;
    let check = |more: &[&str]| {
        let output = run(&[&["audit", "check", "--cloud", "--prefix", &own.prefix][..], more].concat(), &[]);
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    own.store(&["catalog", "role-1", "role-2"]).await;
    let (sound, said) = check(&[]);
    assert!(!sound && said.contains("3 commits of the journal are not in the feed"), "{said}");
    let (_, filled) = check(&["--fill"]);
    assert!(filled.contains("3 commits were given positions"), "{filled}");
    let (sound, said) = check(&[]);
    assert!(sound && said.contains("3 commits in both") && said.contains("audit check: ok"), "{said}");

    own.remove("role-1").await;
    let (sound, said) = check(&[]);
    assert!(!sound && said.contains("(role-1:1) is not in the journal any more"), "{said}");
    own.overwrite("catalog").await;
    let (sound, said) = check(&["--fill"]);
    assert!(!sound && said.contains("catalog:1 is another commit in the journal than at position"), "{said}");
    assert!(!said.contains("were given positions"), "nothing that was changed gets into the feed: {said}");
}
