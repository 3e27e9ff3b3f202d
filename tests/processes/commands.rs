//! These tests run the subcommands of the compiled program. They also run clients of other projects with a
//! desk.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::process::{APP, Served, call, client, fast_approval, program, root, run, shared};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_runs_to_its_end_and_its_files_are_verified() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&[
        "demo",
        "--exit",
        "--tickets",
        "60",
        "--data",
        directory.path().to_str().unwrap(),
    ]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    for word in [
        " opened (60 by the day, ",
        "approved 3 tickets on their pages",
        "showed 3 changes",
        "2 parallel gateways started",
        "2 API calls with 1 idempotency key",
        "the platform offers 2 pools as options",
        "submitted again with 回滚方案.txt (29 bytes)",
        "approvals",
        "callbacks",
        "succeeded",
        "audit verify: ok",
    ] {
        assert!(printed.contains(word), "{word} is missing in: {printed}");
    }
    // The demo uploads one file. The command `audit files` verifies this file, and reports a changed byte in
    // the file.
    let files = || {
        run(&[
            "audit",
            "files",
            "--data",
            directory.path().to_str().unwrap(),
        ])
    };
    let proved = files();
    assert!(
        proved.status.success()
            && text(&proved.stdout).contains("1 files with 29 bytes are unchanged"),
        "{}",
        text(&proved.stdout)
    );
    let uploads = directory.path().join("files/attachments");
    let upload = std::fs::read_dir(&uploads)
        .unwrap()
        .next()
        .expect("an upload")
        .unwrap()
        .path();
    let part = std::fs::read_dir(&upload)
        .unwrap()
        .next()
        .expect("a part")
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&part).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let found = files();
    assert!(
        !found.status.success()
            && text(&found.stdout).contains("FOUND att-")
            && text(&found.stdout).contains("does not open with its key")
    );
    std::fs::remove_file(&part).unwrap();
    assert!(text(&files().stdout).contains("part 1 is missing"));
}

#[test]
fn official_sdks_work_unmodified() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let python = root().join("target/python/bin/python");
    assert!(
        python.exists(),
        "the virtual environment with the SDKs is missing; run ./test"
    );
    let output = Command::new(python)
        .arg(root().join("tests/sdk.py"))
        .args([&desk.base, APP.0, APP.1])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    assert_eq!(
        text(&output.stdout)
            .lines()
            .filter(|line| line.contains("approved, rejected"))
            .count(),
        4
    );
}

#[tokio::test]
async fn callbacks_are_listed_and_sent_again_after_the_desk_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let port = tests::process::free_port();
    let url = format!("http://127.0.0.1:{port}/without-a-server");
    let body = fast_approval("callback", Some(&url));
    let ask = async |operation: &str, body: Value| {
        let answer = call(&client(), &desk.base, operation, body, None).await;
        answer.expect("an answer")["data"].clone()
    };
    let sn = ask("create_ticket", body).await["sn"].clone();
    let withdraw = json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" });
    ask("operate_ticket", withdraw).await;
    let listed = || -> Vec<Value> {
        let output = run(&["audit", "callbacks", "--failing", "--data", data, "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        list["callbacks"].as_array().expect("a list").clone()
    };
    let before = tests::process::until("an attempt failed", async || match &listed()[..] {
        [one] if one["failure"].is_string() => Ok(one.clone()),
        other => Err(json!(other)),
    })
    .await;
    assert_eq!((&before["ticket"], &before["state"]), (&sn, &json!("open")));
    let id = before["id"].as_str().expect("an id").to_owned();
    drop(desk);
    let none = run(&[
        "audit",
        "callbacks",
        "--resend",
        "nothing",
        "--data",
        data,
        "--yes",
    ]);
    assert!(text(&none.stderr).contains("--resend nothing: there is no such callback"));
    let resent = run(&[
        "audit",
        "callbacks",
        "--resend",
        &id,
        "--data",
        data,
        "--yes",
    ]);
    assert!(
        text(&resent.stdout).contains(&id),
        "{}",
        text(&resent.stderr)
    );
    let after = listed()[0].clone();
    assert_ne!(after["next_attempt"], before["next_attempt"]);

    let rotated = run(&["setup", "--rotate", "token-key", "--data", data]);
    let printed = text(&rotated.stdout);
    assert!(
        printed.contains("token key 2 is now the newest"),
        "{printed}{}",
        text(&rotated.stderr)
    );
}

/// The test compares these members of the incident report with expected values. The expected values were
/// computed without this program.
const KEYS: [&str; 18] = [
    "rows",
    "cases",
    "rows_by_state",
    "first_state",
    "final_state",
    "rows_per_case",
    "transitions",
    "cases_by_last_impact",
    "cases_by_last_urgency",
    "cases_by_last_priority",
    "reassignment_count_last",
    "reopen_count_last",
    "group_changes_derived",
    "cases_ping_pong",
    "reopens_derived",
    "resolution_minutes_opened_to_resolved",
    "closure_minutes_opened_to_closed",
    "dwell_minutes_by_state",
];

#[test]
fn a_real_incident_log_is_imported_once_with_an_exact_report() {
    let Some(file) = shared()
        .map(|shared| shared.join("data/uci498_incidents.csv.gz"))
        .filter(|file| file.exists())
    else {
        println!(
            "SKIPPED: the incident log is not beside the project (shared/data/uci498_incidents.csv.gz)"
        );
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let mapping = root().join("mappings/servicenow-uci498.toml");
    let import = || {
        text(
            &run(&[
                "import",
                file.to_str().unwrap(),
                "--mapping",
                mapping.to_str().unwrap(),
                "--data",
                data,
            ])
            .stdout,
        )
    };
    let first = import();
    assert!(
        first.contains("112399 rows of 19280 cases")
            && first.contains("112399 imported, 0 duplicate, 0 rejected"),
        "{first}"
    );
    let head = text(&run(&["audit", "head", "--data", data]).stdout);
    let truth: Value =
        serde_json::from_slice(&std::fs::read(file.with_file_name("TRUTH.json")).unwrap()).unwrap();
    let truth = &truth["uci498_incidents.csv.gz"];
    let report = || {
        serde_json::from_slice::<Value>(
            &run(&["report", "incidents", "--json", "--data", data]).stdout,
        )
        .unwrap()
    };
    let reported = report();
    for key in KEYS.iter().chain(&["opened_by_iso_weekday"]) {
        let mut expected = truth[*key].clone();
        if *key == "transitions" {
            expected.as_object_mut().unwrap().remove("top30");
        }
        assert_eq!(reported[*key], expected, "{key}");
    }
    let second = import();
    assert!(
        second.contains("0 imported, 112399 duplicate, 0 rejected"),
        "{second}"
    );
    assert_eq!(
        text(&run(&["audit", "head", "--data", data]).stdout),
        head,
        "a second import changes no hash"
    );
    assert_eq!(report(), reported);
    assert!(text(&run(&["audit", "verify", "--data", data]).stdout).contains("audit verify: ok"));
    let tried = tried(directory.path(), data, &["--to", "2016-06-01"]);
    assert_eq!(tried["imported_rows"], 112_399);
    let figures = &tried["total"]["after"];
    let number = |name: &str| figures[name].as_u64().expect("a number");
    assert!(number("messages") > 0 && number("dropped") > 0, "{figures}");
    let of_all: u64 = ["immediate", "batched", "digest", "held", "dropped"]
        .map(number)
        .iter()
        .sum();
    assert_eq!(Some(of_all), tried["notifications"].as_u64());
}

const POLICY: &str = r#"
[[account]]
name = "mail"
channel = "email"
host = "relay.example"
from = "Desk <desk@example.com>"

[policy]
accounts = ["mail"]

[[policy.rules]]
categories = ["resolved"]
cap = "off"
"#;

/// Tries a policy on the imported rows of 30 days of a log, two times. Both reports must have the same bytes. `more`
/// contains additional arguments. Returns the report.
fn tried(directory: &Path, data: &str, more: &[&str]) -> Value {
    let file = directory.join("policy.toml");
    std::fs::write(&file, POLICY).unwrap();
    let attempt = |format: &[&str]| {
        let file = file.to_str().unwrap();
        let arguments = ["policy", "try", file, "--imported", "--assume-addresses"];
        let output = run(&[&arguments[..], &["--data", data][..], more, format].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    let printed = attempt(&[]);
    assert_eq!(printed, attempt(&[]), "the text has the same bytes");
    assert!(text(&printed).contains("Rule 1 of the policy limits"));
    let json = attempt(&["--json"]);
    assert_eq!(json, attempt(&["--json"]), "the JSON has the same bytes");
    serde_json::from_slice(&json).unwrap()
}

/// The imported rows notify nobody, but a trial counts them as if they had happened in this desk.
#[test]
fn a_policy_is_tried_on_an_imported_log() {
    let directory = tempfile::tempdir().unwrap();
    let mapping = MAPPING.replace(
        "missing =",
        "people = [\"assigned_to\", \"caller_id\"]\nmissing =",
    );
    let csv = "id,when,state,team,assigned_to,caller_id\nA,2026-01-01 10:00:00,neu,x,max,eva\nA,2026-01-01 11:00:00,neu,x,moritz,eva\n\
               A,2026-01-02 12:00:00,erledigt,x,moritz,eva\nB,2025-01-01 10:00:00,neu,x,max,eva\n";
    let printed = import(directory.path(), csv, &mapping);
    assert!(
        printed.contains("4 imported, 0 duplicate, 0 rejected"),
        "{printed}"
    );
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let head = text(&run(&["audit", "head", "--data", data]).stdout);
    let report = tried(directory.path(), data, &[]);
    assert_eq!(
        (&report["notifications"], &report["imported_rows"]),
        (&json!(3), &json!(4))
    );
    assert_eq!(
        report["total"]["after"],
        json!({ "immediate": 2, "batched": 0, "digest": 0, "held": 0, "dropped": 1, "messages": 2 })
    );
    assert_eq!(report["total"]["before"]["messages"], 0);
    assert_eq!(report["newly_reached"]["first"], json!(["max", "moritz"]));
    assert_eq!(
        text(&run(&["audit", "head", "--data", data]).stdout),
        head,
        "a trial stores nothing"
    );
    let wrong = directory.path().join("wrong.toml");
    std::fs::write(&wrong, POLICY.replace("cap =", "cpa =")).unwrap();
    let refused = run(&["policy", "try", wrong.to_str().unwrap(), "--data", data]);
    assert_eq!(refused.status.code(), Some(1));
    let reason = text(&refused.stderr);
    assert!(
        reason.contains("wrong.toml") && reason.contains("unknown field `cpa`"),
        "{reason}"
    );
    assert!(refused.stdout.is_empty());
}

#[test]
fn the_reports_about_notifications_name_missing_data_and_wrong_options() {
    let directory = tempfile::tempdir().unwrap();
    let csv = "id,when,state,team\nA,2026-01-01 10:00:00,neu,x\n";
    import(directory.path(), csv, MAPPING);
    let data = directory.path().join("data");
    let report = |arguments: &[&str]| {
        let data = data.to_str().unwrap();
        run(&[&["report"][..], arguments, &["--data", data][..]].concat())
    };
    let empty = text(&report(&["notifications", "--days", "7"]).stdout);
    assert!(
        empty.contains("has no notifications in the period"),
        "{empty}"
    );
    let outcomes = report(&["outcomes", "--split", "2026-01-01", "--json"]);
    let outcomes: Value = serde_json::from_slice(&outcomes.stdout).unwrap();
    let measure = &outcomes["measures"]["response_time"];
    assert_eq!(
        (&measure["verdict"], &measure["target"]),
        (&json!("not_enough_data"), &json!(-30.0)),
        "{outcomes}"
    );
    for (arguments, expected) in [
        (&["desk", "--days", "3"][..], "--days is only for"),
        (&["outcomes"][..], "needs --split"),
        (
            &["notifications", "--shift", "06:00-14:00"][..],
            "--shift is only for",
        ),
    ] {
        let refused = report(arguments);
        let reason = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{reason}");
        assert!(reason.contains(expected), "{reason}");
    }
}

fn import(directory: &Path, csv: &str, mapping: &str) -> String {
    let (file, toml) = (directory.join("log.csv"), directory.join("mapping.toml"));
    std::fs::write(&file, csv).unwrap();
    std::fs::write(&toml, mapping).unwrap();
    let output = run(&[
        "import",
        file.to_str().unwrap(),
        "--mapping",
        toml.to_str().unwrap(),
        "--data",
        directory.join("data").to_str().unwrap(),
    ]);
    text(&output.stdout) + &text(&output.stderr)
}

const MAPPING: &str = r#"
source = "OTHER"
missing = ["-"]
unknown_state = "refuse"
[columns]
case = "id"
time = "when"
state = "state"
group = "team"
[time]
format = "%Y-%m-%d %H:%M:%S"
zone = "Asia/Shanghai"
[states]
neu = "open"
erledigt = "resolved"
"#;

#[test]
fn unreadable_rows_are_named_and_all_others_are_imported() {
    let directory = tempfile::tempdir().unwrap();
    let csv = "id,when,state,team\nA,2026-01-01 10:00:00,neu,x\nB,gestern,neu,x\nA,2026-01-01 11:00:00,erledigt\n,2026-01-01 11:00:00,neu,y\n\
               C,2026-01-01 12:00:00,kaputt,y\n\"A\",2026-01-01 13:00:00,erledigt,\"y,\nz\"\nB,2026-01-01 14:00:00,neu,-\nA,2026-01-01 15:00:00,neu,x\n";
    let printed = import(directory.path(), csv, MAPPING);
    for line in [
        "line 3 rejected: \"gestern\" is not a time",
        "line 4 rejected: has 3 values",
        "line 5 rejected: has no case id",
        "line 6 rejected: state \"kaputt\"",
        "8 rows of 2 cases",
        "4 imported, 0 duplicate, 4 rejected",
    ] {
        assert!(printed.contains(line), "{line} is missing in: {printed}");
    }
    // The first import rejected one row because its state is unknown. The test corrects the import mapping
    // (the description of the log), so that unknown states are accepted, and imports the same file again.
    // The second import adds only this row.
    let corrected = MAPPING.replace("\"refuse\"", "\"open\"");
    assert!(
        import(directory.path(), csv, &corrected).contains("1 imported, 4 duplicate, 3 rejected")
    );
    // The test adds two rows to the file: one row of a known case and one row of a new case. The next
    // import adds only these two rows.
    let grown = format!("{csv}A,2026-01-02 09:00:00,erledigt,x\nD,2026-01-02 10:00:00,neu,x\n");
    assert!(
        import(directory.path(), &grown, MAPPING).contains("2 imported, 4 duplicate, 4 rejected")
    );
    let printed = import(
        directory.path(),
        csv,
        &MAPPING.replace("\"team\"", "\"squad\""),
    );
    assert!(
        printed.contains("the file has no column \"squad\"; it has: id, when, state, team"),
        "{printed}"
    );
    let report: Value = serde_json::from_slice(
        &run(&[
            "report",
            "incidents",
            "--json",
            "--data",
            directory.path().join("data").to_str().unwrap(),
        ])
        .stdout,
    )
    .unwrap();
    assert_eq!(
        (
            &report["rows"],
            &report["cases"],
            &report["reopens_derived"]
        ),
        (&json!(7), &json!(4), &json!({ "0": 3, "1": 1 }))
    );
}

#[tokio::test]
async fn a_running_desk_allows_readers_and_rejects_a_second_writer() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let client = client();
    let sn = call(
        &client,
        &desk.base,
        "create_ticket",
        fast_approval("beside", None),
        None,
    )
    .await
    .unwrap()["data"]["sn"]
        .as_str()
        .unwrap()
        .to_owned();

    let second = run(&["serve", "--listen", "127.0.0.1:0", "--data", data]);
    assert!(
        !second.status.success() && text(&second.stderr).contains("another process is writing"),
        "{}",
        text(&second.stderr)
    );
    assert!(text(&run(&["audit", "verify", "--data", data]).stdout).contains("audit verify: ok"));
    let shown = text(&run(&["audit", "show", &format!("ticket-{sn}"), "--data", data]).stdout);
    assert!(
        shown.contains("ticket.opened")
            && shown.contains("lisi")
            && shown.contains("status: RUNNING"),
        "{shown}"
    );
    let doctor = run(&["doctor", "--data", data]);
    assert!(
        doctor.status.success() && text(&doctor.stdout).contains("a desk is running here"),
        "{}",
        text(&doctor.stdout)
    );
    let doctor = run(&["doctor", "--data", "/nowhere"]);
    assert!(!doctor.status.success() && text(&doctor.stdout).contains("does not exist"));
    let unknown = run(&["audit", "show", "ticket-NO1", "--data", data]);
    assert!(
        !unknown.status.success()
            && text(&unknown.stderr).contains("there is no stream ticket-NO1")
    );
}

/// The command `audit show --at` prints the state of a ticket at a given time. Before the approval, the
/// ticket is running. After the approval, the ticket is finished.
#[tokio::test]
async fn audit_show_gives_the_state_at_an_earlier_time() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let client = client();
    let sn = call(
        &client,
        &desk.base,
        "create_ticket",
        fast_approval("then", None),
        None,
    )
    .await
    .unwrap()["data"]["sn"]
        .as_str()
        .unwrap()
        .to_owned();
    let fields = tests::form(&[("SHENPIYIJIAN", "true")]);
    let vote = json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields });
    // The times of commits are stored in milliseconds. The test waits, so that the vote has a later time
    // than the opening of the ticket.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(
        call(&client, &desk.base, "operate_node", vote, None)
            .await
            .unwrap()["result"],
        true
    );
    let export = text(&run(&["audit", "export", "--data", data]).stdout);
    let lines: Vec<Value> = export
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let opened = lines
        .iter()
        .find(|line| line["stream"] == format!("ticket-{sn}"))
        .unwrap();
    assert_eq!(
        (&opened["type"], &opened["subject"]),
        (
            &json!("io.ledgerdesk.ticket.opened.v1"),
            &json!(format!("ticket-{sn}"))
        )
    );
    let then = opened["time"].as_str().unwrap();
    let shown = |at: &[&str]| {
        text(
            &run(&[
                &["audit", "show", &format!("ticket-{sn}"), "--data", data][..],
                at,
            ]
            .concat())
            .stdout,
        )
    };
    assert!(shown(&["--at", then]).contains("status: RUNNING"));
    assert!(shown(&[]).contains("status: FINISHED"));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    assert!(
        run(&["demo", "--exit", "--tickets", "40", "--data", data])
            .status
            .success()
    );
    for command in ["audit export", "audit show workflow-13", "report desk"] {
        let pipe = format!(
            "set -o pipefail; '{}' {command} --data '{data}' | head -n 1",
            program().display()
        );
        let output = Command::new("bash").args(["-c", &pipe]).output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty(),
            "{command}: {}",
            text(&output.stderr)
        );
    }
}

/// Number of concurrent clients that send requests until the disk is full.
const CLIENTS: usize = 32;

/// While the disk is full, requests return an error. Tickets that were acknowledged before are kept, and
/// the ledger stays valid.
#[tokio::test]
async fn a_full_disk_is_an_error_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    drop(Served::start(directory.path(), &[]));
    let mut shell = Command::new("bash");
    // A limit on the file size simulates a full disk. The shell that starts the desk ignores the signal
    // `SIGXFSZ`. A write beyond the limit therefore returns an error and does not end the process.
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 1500; exec \"$0\" \"$@\""])
        .arg(program());
    let desk = Served::start_by(shell, directory.path(), &[]);
    assert!(desk.is_up());
    let client = client();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let (client, base) = (client.clone(), desk.base.clone());
        clients.spawn(async move {
            let mut acknowledged = Vec::new();
            for ticket in 0..200 {
                let body = fast_approval(&format!("{number}-{ticket}"), None);
                let answer = call(&client, &base, "create_ticket", body, None)
                    .await
                    .expect("the desk still serves");
                if let Some(sn) = answer["data"]["sn"].as_str() {
                    acknowledged.push(sn.to_owned());
                } else {
                    assert_eq!(
                        (&answer["code"], &answer["result"]),
                        (&json!(3_900_500), &json!(false))
                    );
                    return (acknowledged, true);
                }
            }
            (acknowledged, false)
        });
    }
    let (acknowledged, rejected): (Vec<Vec<String>>, Vec<bool>) =
        clients.join_all().await.into_iter().unzip();
    let acknowledged = acknowledged.concat();
    assert!(
        rejected.iter().all(|rejected| *rejected) && !acknowledged.is_empty(),
        "{rejected:?}, {} acknowledged",
        acknowledged.len()
    );
    desk.kill();
    let data = directory.path().to_str().unwrap();
    assert!(text(&run(&["audit", "verify", "--data", data]).stdout).contains("audit verify: ok"));
    let desk = Served::start(directory.path(), &[]);
    for sn in acknowledged {
        let answer = call(
            &client,
            &desk.base,
            "get_ticket_info",
            json!({ "sn": sn }),
            None,
        )
        .await
        .unwrap();
        assert_eq!(answer["result"], true, "{sn} was acknowledged");
    }
}
