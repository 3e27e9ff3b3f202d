//! The command line on a desk in the cloud: it proves, reports, imports, and says what is wrong with a broken deployment.

use std::process::{Command, Output};

use tests::process::{program, root};

use crate::House;
use crate::house::until;

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
