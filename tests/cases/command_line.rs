//! These tests check the command line, the page at the path `/`, and the management of apps. Apps are
//! client programs that may use a desk.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tests::process::{APP, Served, client, fast_approval, printed, program, root, run, text};

/// Maximum number of times that a test checks a condition before the test fails.
const LOOKS: usize = 200;

/// Calls the function `look` repeatedly until it returns a value. The test fails after `LOOKS` calls.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come");
}

fn lines(export: &str) -> Vec<Value> {
    export
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Sends the request `GET /v1/tickets` as an app (a client program) on behalf of the user admin. Returns the
/// HTTP status.
async fn status_as(desk: &Served, code: &str, secret: &str) -> u16 {
    let request = client()
        .get(format!("{}/v1/tickets?list=all", desk.base))
        .basic_auth(code, Some(secret))
        .header("x-on-behalf-of", "admin");
    request.send().await.expect("an answer").status().as_u16()
}

/// Runs the commands that only read a ledger. One desk with a simulated day serves all checks, because the simulation takes
/// longer than the checks.
#[test]
fn an_auditor_lists_filters_and_exports_the_history_of_a_day() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    printed(&["demo", "--exit", "--tickets", "20", "--data", data]);
    an_auditor_lists_streams_and_reads_names(data);
    every_line_of_an_export_names_actor_position_and_stream(data);
    filters_of_the_audit_are_checked_and_a_day_is_a_whole_day(data);
    a_filtered_export_is_marked_and_fails_verification(data);
    an_unwritable_output_is_reported_as_a_failure(data);
}

/// The export of a ledger has one line per event. Every line names the person who acted, and the position
/// and the stream of the event (cases/crossings.md, case 4).
fn every_line_of_an_export_names_actor_position_and_stream(data: &str) {
    let lines = lines(&printed(&["audit", "export", "--data", data]));
    let mut last = (0, -1);
    for line in &lines {
        for name in ["actor", "channel", "recordedtime", "subject", "stream"] {
            assert!(
                line[name].as_str().is_some_and(|value| !value.is_empty()),
                "{name}: {line}"
            );
        }
        assert_eq!(line["subject"], line["stream"]);
        let order = (
            line["position"].as_i64().expect("a position"),
            line["index"].as_i64().expect("an index"),
        );
        assert!(order > last, "{order:?} after {last:?}");
        assert_eq!(
            line.get("hash").is_some(),
            order.1 == 0,
            "the proof is on the first line of a commit"
        );
        last = order;
    }
    let by_people = lines
        .iter()
        .filter(|line| {
            line["channel"] == "api" && line["app"] == "demo_app" && line["actor"] != "system"
        })
        .count();
    assert!(
        by_people > lines.len() / 4,
        "{by_people} of {} lines",
        lines.len()
    );
    // The exported lines have the format CloudEvents 1.0. In this format, attribute names contain only
    // lower-case letters and digits, and attributes are never null.
    for (name, value) in lines
        .iter()
        .flat_map(|line| line.as_object().expect("an object"))
    {
        assert!(
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                && !value.is_null(),
            "{name}: {value}"
        );
    }
}

/// An export with a filter does not contain all events. The export is therefore marked as filtered, and its
/// verification fails (cases/crossings.md, case 4; cases/first-use.md, section 5).
fn a_filtered_export_is_marked_and_fails_verification(data: &str) {
    let directory = tempfile::tempdir().unwrap();
    let all = lines(&printed(&["audit", "export", "--data", data]));
    let export = |more: &[&str]| {
        lines(&printed(
            &[&["audit", "export", "--data", data][..], more].concat(),
        ))
    };
    let expected = all
        .iter()
        .filter(|line| line["type"] == "io.ledgerdesk.ticket.opened.v1")
        .count();
    for filters in [
        &["--kind", "ticket.opened"][..],
        &["--kind", "ticket.opened", "--stream", "ticket-*"],
        &["--kind", "ticket.opened", "--from", "2001-01-01"],
    ] {
        let filtered = export(filters);
        assert_eq!(filtered.len(), expected, "{filters:?}");
        assert!(
            filtered.iter().all(|line| line["filtered"] == true
                && line.get("hash").is_none()
                && line["actor"].is_string()),
            "{filters:?}"
        );
    }
    let stream = all.last().expect("a line")["stream"]
        .as_str()
        .expect("a stream");
    assert!(
        export(&["--stream", stream])
            .iter()
            .all(|line| line["stream"] == stream)
    );
    assert!(export(&["--until", "2001-01-01"]).is_empty());
    assert_eq!(
        export(&["--from", "3", "--until", "5"])
            .iter()
            .filter(|line| line["index"] == 0)
            .count(),
        3
    );
    // A verifier that is written in Python accepts a complete export of the ledger and rejects a filtered
    // export.
    let python = root().join("target/python/bin/python");
    assert!(
        python.exists(),
        "./test makes the virtual environment with the BLAKE3 package"
    );
    for (more, accepted) in [(&[] as &[&str], true), (&["--kind", "ticket"], false)] {
        let file = directory.path().join("export.jsonl");
        std::fs::write(
            &file,
            run(&[&["audit", "export", "--data", data][..], more].concat()).stdout,
        )
        .unwrap();
        let output = Command::new(&python)
            .arg(root().join("tests/verify.py"))
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(
            output.status.success(),
            accepted,
            "{more:?}: {}",
            text(&output.stdout)
        );
    }
}

/// The independent verifier explains wrong arguments and a missing package in words, without a traceback
/// (cases/first-use.md, section 5).
#[test]
fn the_independent_verifier_explains_its_use() {
    let directory = tempfile::tempdir().unwrap();
    let without_package = directory.path().join("blake3.py");
    std::fs::write(&without_package, "raise ImportError('no package')\n").unwrap();
    let python = root().join("target/python/bin/python");
    let verifier = root().join("tests/verify.py");
    for (arguments, path, expected) in [
        (&[][..], "", "usage: verify.py"),
        (&["--help"][..], "", "usage: verify.py"),
        (&["a", "b", "c"][..], "", "usage: verify.py"),
        (
            &["export.jsonl"][..],
            directory.path().to_str().unwrap(),
            "pip install blake3",
        ),
    ] {
        let output = Command::new(&python)
            .arg(&verifier)
            .args(arguments)
            .env("PYTHONPATH", path)
            .output()
            .unwrap();
        let errors = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert!(!errors.contains("Traceback"), "{arguments:?}: {errors}");
    }
}

/// The command `audit` lists the streams of the ledger, and can show user names instead of person ids
/// (cases/first-use.md, section 5).
fn an_auditor_lists_streams_and_reads_names(data: &str) {
    let listed: Value =
        serde_json::from_str(&printed(&["audit", "list", "--json", "--data", data])).expect("JSON");
    let streams = listed["streams"].as_array().expect("streams");
    let head = printed(&["audit", "head", "--data", data]);
    let last = streams
        .iter()
        .filter_map(|stream| stream["position"].as_i64())
        .max()
        .expect("a position");
    assert_eq!(head.split(':').next(), Some(last.to_string().as_str()));
    assert!(
        streams
            .iter()
            .any(|stream| stream["kind"] == "ticket" && stream["events"].as_i64() > Some(1)),
        "{listed}"
    );
    assert!(
        printed(&["audit", "show", "--data", data]).contains("role-1"),
        "without a stream all are listed"
    );
    assert!(
        printed(&["audit", "list", "--kind", "role", "--data", data])
            .lines()
            .all(|line| !line.contains("ticket-"))
    );
    assert!(!printed(&["audit", "show", "role-1", "--data", data]).contains("\"admin\""));
    let named = printed(&["audit", "show", "role-1", "--names", "--data", data]);
    assert!(named.contains("\"admin\""), "{named}");
    let shown: Value = serde_json::from_str(&printed(&[
        "audit", "show", "role-1", "--json", "--data", data,
    ]))
    .expect("JSON");
    assert_eq!(
        (&shown["stream"], &shown["commits"][0]["events"][0]["type"]),
        (&json!("role-1"), &json!("role.defined"))
    );
    let replayed = printed(&["audit", "replay", "--data", data]);
    assert!(
        replayed.starts_with("replayed ") && replayed.contains("totals"),
        "{replayed}"
    );
    let replayed: Value =
        serde_json::from_str(&printed(&["audit", "replay", "--json", "--data", data]))
            .expect("JSON");
    assert_eq!(replayed["position"], last);
}

/// The desk can read the secrets of apps (client programs) from a file or from standard input. Secrets in
/// command-line arguments are visible to other users of the machine (cases/hostile-and-broken.md, case 25;
/// cases/first-use.md, section 6).
#[tokio::test]
async fn apps_are_registered_from_files_and_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("apps");
    std::fs::write(&file, "# apps of this desk\n\nfirst:a-secret-of-the-first-app\nsecond:with:colons-in-the-secret\n").unwrap();
    let data = directory.path().join("data");
    let desk = Served::start_with(&data, &["--app-file", file.to_str().unwrap()])
        .expect("the desk starts");
    assert_eq!(
        status_as(&desk, "first", "a-secret-of-the-first-app").await,
        200
    );
    assert_eq!(
        status_as(&desk, "second", "with:colons-in-the-secret").await,
        200
    );
    assert_eq!(
        status_as(&desk, "first", "with:colons-in-the-secret").await,
        401
    );
    desk.kill();

    let mut setup = Command::new(program())
        .args([
            "setup",
            "--plain-app-file",
            "-",
            "--data",
            data.to_str().unwrap(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    setup
        .stdin
        .take()
        .unwrap()
        .write_all(b"third:a-secret-of-the-third-app\n")
        .unwrap();
    let output = setup.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let listed: Value = serde_json::from_str(&printed(&[
        "app",
        "list",
        "--json",
        "--data",
        data.to_str().unwrap(),
    ]))
    .expect("JSON");
    let third = listed["apps"]
        .as_array()
        .expect("apps")
        .iter()
        .find(|app| app["code"] == "third")
        .expect("the third app")
        .clone();
    assert_eq!(
        (&third["may_impersonate"], &third["is_disabled"]),
        (&json!(false), &json!(false))
    );

    // The option `--app-file` names a file with the codes and secrets of apps (client programs). If a line of
    // this file is invalid, the error contains the line number. The error does not contain the text of the
    // line, because the text may contain a secret.
    std::fs::write(&file, "first:a-secret-of-the-first-app\nonly-a-secret\n").unwrap();
    let failed = Served::start_with(&data, &["--app-file", file.to_str().unwrap()])
        .map(|desk| desk.base.clone())
        .expect_err("line 2 is wrong");
    assert!(
        failed.contains("line 2") && !failed.contains("only-a-secret"),
        "{failed}"
    );
}

/// A running desk rejects the requests of an app (a client program) directly after the app is disabled
/// (cases/hostile-and-broken.md, case 25).
#[tokio::test]
async fn a_disabled_app_is_rejected_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let desk = Served::start(&data, &["--app", "other:secret-of-the-other"]);
    assert_eq!(status_as(&desk, "other", "secret-of-the-other").await, 200);
    let (status, answer) = desk
        .v1("POST", "apps/other/disable", "lisi", json!({}))
        .await;
    assert_eq!(status, 403, "{answer}");
    let (status, answer) = desk
        .v1("POST", "apps/other/disable", "admin", json!({}))
        .await;
    assert_eq!(status, 204, "{answer}");
    assert_eq!(status_as(&desk, "other", "secret-of-the-other").await, 401);
    let envelope = client()
        .get(format!("{}/api/c/compapi/v2/itsm/get_services/?bk_app_code=other&bk_app_secret=secret-of-the-other", desk.base))
        .send()
        .await
        .expect("an answer");
    assert_eq!(envelope.status().as_u16(), 403);
    let (status, answer) = desk
        .v1(
            "POST",
            &format!("apps/{}/disable", APP.0),
            "admin",
            json!({}),
        )
        .await;
    assert_eq!(status, 409, "an app cannot disable itself: {answer}");
    assert_eq!(
        desk.v1("POST", "apps/nothing/disable", "admin", json!({}))
            .await
            .0,
        404
    );

    // The command `app` lists, adds, disables and enables apps (client programs). With the option `--url`,
    // the command sends requests to a running desk.
    let file = directory.path().join("app");
    std::fs::write(&file, format!("{}:{}\n", APP.0, APP.1)).unwrap();
    let app = |arguments: &[&str]| {
        run(&[
            &[
                "app",
                "--url",
                &desk.base,
                "--app-file",
                file.to_str().unwrap(),
            ][..],
            arguments,
        ]
        .concat())
    };
    assert!(
        text(&app(&["list"]).stdout)
            .lines()
            .any(|line| line.starts_with("disabled") && line.contains("other"))
    );
    assert!(app(&["enable", "other"]).status.success());
    assert_eq!(status_as(&desk, "other", "secret-of-the-other").await, 200);
    let added: Value =
        serde_json::from_slice(&app(&["add", "fourth", "--json"]).stdout).expect("JSON");
    assert_eq!(
        status_as(&desk, "fourth", added["secret"].as_str().expect("a secret")).await,
        200
    );
    assert!(app(&["disable", "fourth", "--dry-run"]).status.success());
    assert_eq!(
        status_as(&desk, "fourth", added["secret"].as_str().expect("a secret")).await,
        200,
        "a dry run changes nothing"
    );
    assert!(app(&["disable", "fourth", "--yes"]).status.success());
    assert_eq!(
        status_as(&desk, "fourth", added["secret"].as_str().expect("a secret")).await,
        401
    );

    // With the option `--data`, the command `app` changes the data directory of a stopped desk. The command
    // is rejected while a desk uses this directory. For each change of an app, the ledger records the user
    // and the app that sent the request.
    let beside = run(&["app", "disable", "other", "--data", data.to_str().unwrap()]);
    assert_eq!(beside.status.code(), Some(4), "{}", text(&beside.stderr));
    assert!(
        printed(&[
            "audit",
            "show",
            "app-other",
            "--data",
            data.to_str().unwrap()
        ])
        .contains("admin through test_app")
    );

    // A disabled app (client program) stays disabled after a restart of the desk. This is also true if the
    // restarted desk gets the code and the secret of this app in the option `--app`.
    assert_eq!(
        desk.v1("POST", "apps/other/disable", "admin", json!({}))
            .await
            .0,
        204
    );
    desk.kill();
    let desk = Served::start(&data, &["--app", "other:secret-of-the-other"]);
    assert_eq!(status_as(&desk, "other", "secret-of-the-other").await, 401);
}

/// An app (a client program) with a secret that is too long is rejected and is not registered
/// (cases/first-use.md, section 6).
#[tokio::test]
async fn an_app_whose_secret_is_rejected_is_not_registered() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let (status, problem) = desk
        .v1(
            "PUT",
            "apps/longer",
            "admin",
            json!({ "secret": "0123456789".repeat(30) }),
        )
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (400, &json!("/secret")),
        "{problem}"
    );
    assert_eq!(
        desk.v1("GET", "apps/longer", "admin", Value::Null).await.0,
        404
    );
    let (status, answer) = desk.v1("PUT", "apps/longer", "admin", json!({})).await;
    assert!(
        status == 201 && answer["secret"].is_string(),
        "{status}: {answer}"
    );
    assert_eq!(
        desk.v1("PUT", "apps/longer", "admin", json!({ "name": "n" }))
            .await
            .1
            .get("secret"),
        None,
        "a secret is shown once"
    );
}

/// The secret of the demo app (a client program) is public. A desk therefore accepts this secret only if the
/// desk was started with the option `--demo` (cases/first-use.md, section 6).
#[tokio::test]
async fn the_demo_secret_is_valid_only_with_the_option_demo() {
    let demo = ("demo_app", "demo-secret-for-trials-only");
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    assert_eq!(status_as(&desk, demo.0, demo.1).await, 200);
    desk.kill();
    let own = format!("{}:{}", APP.0, APP.1);
    let desk = Served::start_with(directory.path(), &["--app", &own]).expect("the desk starts");
    assert_eq!(status_as(&desk, demo.0, demo.1).await, 401);
    assert_eq!(status_as(&desk, APP.0, APP.1).await, 200);
    desk.kill();
    let desk = Served::start(directory.path(), &[]);
    assert_eq!(
        status_as(&desk, demo.0, demo.1).await,
        200,
        "the option --demo restores the secret"
    );
    desk.kill();
    let published = format!("mine:{}", demo.1);
    let failed = Served::start_with(directory.path(), &["--app", &published])
        .map(|desk| desk.base.clone())
        .expect_err("the secret is published");
    assert!(
        failed.contains("published") && !failed.contains(demo.1),
        "{failed}"
    );
}

/// If other machines can reach the address of a desk, the option `--demo` also requires the option
/// `--demo-on-network`. The reason is that the secret of the demo app (a client program) is public
/// (cases/first-use.md, section 6).
#[test]
fn the_demo_listens_on_the_network_only_if_that_is_confirmed() {
    let directory = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let output = run(&[
            "serve",
            "--demo",
            "--listen",
            listen,
            "--data",
            directory.path().join("a").to_str().unwrap(),
            "--crash-at",
            "nothing",
        ]);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{listen}: {}",
            text(&output.stderr)
        );
        assert!(
            text(&output.stderr).contains("--demo-on-network"),
            "{}",
            text(&output.stderr)
        );
    }
    let desk = Served::start(&directory.path().join("b"), &["--demo-on-network"]);
    assert!(desk.is_up());
}

/// The option `--listen` accepts a host name. The signal SIGHUP does not stop the desk (cases/first-use.md,
/// section 6).
#[tokio::test]
async fn a_desk_listens_on_a_host_name_and_survives_a_hangup() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(program())
        .args([
            "serve",
            "--listen",
            "localhost:0",
            "--data",
            directory.path().to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    let base = first
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap_or_default()
        .to_owned();
    let health = async || {
        client()
            .get(format!("{base}/healthz"))
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
    };
    let is_up = !base.is_empty() && health().await;
    let hangup = Command::new("kill")
        .args(["-HUP", &child.id().to_string()])
        .status()
        .unwrap();
    // The desk must respond to two requests after the signal SIGHUP. The responses show that the signal
    // did not stop the process.
    let is_still_up = hangup.success()
        && health().await
        && health().await
        && matches!(child.try_wait(), Ok(None));
    let _ = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    let ended = child.wait().unwrap();
    assert!(is_up, "{first}");
    assert!(is_still_up, "SIGHUP ended the desk");
    assert!(ended.success(), "SIGTERM ends it with success: {ended}");
}

fn code_of(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = run(arguments);
    (status.code(), text(&stderr))
}

/// A command with a wrong option value ends with exit code 2, the code for wrong usage (cases/first-use.md,
/// section 6).
#[test]
fn wrong_options_are_rejected_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    for (arguments, word) in [
        (&["serve", "--login", "notaurl"][..], "--login notaurl"),
        (
            &["serve", "--site", "desk.example.com"][..],
            "--site desk.example.com",
        ),
        (&["serve", "--listen", "nowhere"][..], "--listen nowhere"),
        (&["serve", "--egress", "10.0.0.0/99"][..], "--egress"),
        (&["serve", "--app", "justacode"][..], "CODE:SECRET"),
        (&["doctor", "--cost"][..], "in the cloud"),
        (&["serve", "--log-level", "loud"][..], "--log-level"),
    ] {
        // The program must reject the wrong option value and end. A faulty build could accept the value
        // and start a desk that never ends. To prevent this, the test adds the option `--crash-at` with an
        // unknown crash point (a place at which the program kills itself). The program always ends at the
        // start if the crash point is unknown.
        let more: &[&str] = match arguments {
            ["serve", "--listen", ..] => &["--crash-at", "nothing"],
            ["serve", ..] => &["--listen", "127.0.0.1:0", "--crash-at", "nothing"],
            _ => &[],
        };
        let (code, stderr) = code_of(&[arguments, more, &["--data", data]].concat());
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(word), "{arguments:?}: {stderr}");
    }
}

/// All commands return the exit codes that docs/operating.md lists (cases/first-use.md, section 6).
#[tokio::test]
async fn exit_codes_separate_findings_failures_and_a_running_desk() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let desk = Served::start(directory.path(), &[]);
    assert_eq!(code_of(&["audit", "verify", "--data", data]).0, Some(0));
    assert_eq!(code_of(&["setup", "--data", data]).0, Some(4));
    assert_eq!(
        code_of(&["audit", "show", "ticket-NO1", "--data", data]).0,
        Some(1)
    );
    let wrong = format!("1:{}", "0".repeat(64));
    assert_eq!(
        code_of(&["audit", "verify", "--head", &wrong, "--data", data]).0,
        Some(3)
    );
    assert_eq!(code_of(&["doctor", "--data", "/nowhere/at/all"]).0, Some(3));
    assert_eq!(
        code_of(&["audit", "rebuild", "nothing", "--data", data]).0,
        Some(2)
    );
    desk.kill();
    assert_eq!(
        code_of(&[
            "setup",
            "--dry-run",
            "--app",
            "new:a-secret-that-is-new",
            "--data",
            data
        ])
        .0,
        Some(0)
    );
    assert!(
        !printed(&["app", "list", "--data", data]).contains("new"),
        "a dry run registers nothing"
    );
    let document = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    for code in 0..=4 {
        assert!(
            document.contains(&format!("| {code} |")),
            "docs/operating.md does not list exit code {code}"
        );
    }
}

/// The backup program of Opsgenie writes one folder for each kind of object, and one file for each object.
#[test]
fn import_oncall_reads_the_folder_of_an_opsgenie_backup() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("OpsGenieBackups");
    let user = json!({ "type": "user", "id": "u1", "username": "zhangsan@example.com" });
    let rotation = json!({
        "id": "r1", "name": "weekly", "startDate": "2026-11-16T01:00:00Z", "type": "weekly", "length": 1, "participants": [user],
    });
    let schedule =
        json!({ "id": "s1", "name": "ops", "timezone": "Asia/Shanghai", "rotations": [rotation] });
    for (kind, file, content) in [
        (
            "users",
            "zhangsan.json",
            json!({ "user": { "id": "u1", "username": "zhangsan@example.com" } }),
        ),
        ("schedules", "ops.json", json!({ "schedule": schedule })),
        ("schedules", "readme.txt", json!("no export")),
        ("heartbeats", "ping.json", json!({ "name": "ping" })),
    ] {
        std::fs::create_dir_all(folder.join(kind)).unwrap();
        std::fs::write(folder.join(kind).join(file), content.to_string()).unwrap();
    }
    let path = directory.path().to_str().unwrap();
    let shown = printed(&["import-oncall", path]);
    for expected in [
        "mapped   rotation weekly",
        "rota ops",
        "people with addresses: 1; not stored",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let shown: Value =
        serde_json::from_str(&printed(&["import-oncall", path, "--json"])).expect("JSON");
    assert_eq!(
        (&shown["people_with_addresses"], &shown["is_stored"]),
        (&json!(1), &json!(false))
    );
    std::fs::write(folder.join("users").join("wrong.json"), "{").unwrap();
    let output = run(&["import-oncall", path]);
    let reason = text(&output.stderr);
    assert!(
        !output.status.success() && reason.contains("wrong.json: the file is not JSON"),
        "{reason}"
    );
}

/// Every command has the option `--json`. The help texts contain no words from a list of unsuitable words,
/// for example `somebody` (cases/first-use.md, section 6).
#[test]
fn every_command_has_json_and_plain_help() {
    let mut pending = vec![Vec::<String>::new()];
    let mut leaves = 0;
    while let Some(path) = pending.pop() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = printed(&arguments);
        let subcommands: Vec<&str> = help
            .split("Commands:\n")
            .nth(1)
            .map(|text| {
                text.split("\n\n")
                    .next()
                    .unwrap_or_default()
                    .lines()
                    .filter(|line| !line.starts_with("   "))
                    .filter_map(|line| line.split_whitespace().next())
                    .collect()
            })
            .unwrap_or_default();
        for name in subcommands.iter().filter(|name| **name != "help") {
            pending.push([&path[..], &[(*name).to_owned()]].concat());
        }
        if subcommands.is_empty() {
            leaves += 1;
            assert!(help.contains("--json"), "{path:?}: {help}");
        }
        for odd in [
            "[default: \"\"]",
            "stands",
            "mend",
            "throws",
            "whoever",
            "nobody",
            "somebody",
        ] {
            assert!(!help.contains(odd), "{path:?}: {odd} in {help}");
        }
    }
    assert!(leaves >= 20, "{leaves} commands");
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            printed(&["completions", shell]).contains("ledgerdesk"),
            "{shell}"
        );
    }
    let help = printed(&["serve", "--help"]);
    assert!(
        help.contains("LEDGERDESK_LOG")
            && help.contains("--log-format")
            && help.contains("--app-file"),
        "{help}"
    );
}

/// The path `/` returns a page in English or Chinese. The request header `Accept-Language` determines the
/// language (cases/first-use.md, section 1).
#[tokio::test]
async fn the_first_page_describes_the_desk_in_two_languages() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    for (accepted, language, word) in [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", "服务台"),
        ("en-US,en;q=0.9", "en", "service desk"),
        ("", "en", "service desk"),
    ] {
        let answer = client()
            .get(format!("{}/", desk.base))
            .header("accept-language", accepted)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        assert!(
            answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/html")
        );
        assert_eq!(answer.headers()["content-language"], language);
        let page = answer.text().await.expect("a page");
        for expected in [word, "openapi.json", "healthz", "/v1"] {
            assert!(
                page.contains(expected),
                "{accepted}: {expected} is missing in {page}"
            );
        }
    }
    assert_eq!(
        client()
            .get(format!("{}/openapi.json", desk.base))
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16(),
        200
    );
}

/// Starts a desk that writes its log to the file `log`. `more` contains additional command-line arguments.
fn logged(data: &Path, log: &Path, more: &[&str]) -> Served {
    let mut shell = Command::new("bash");
    shell
        .args(["-c", "exec \"$0\" \"$@\" 2>\"$LOG\""])
        .arg(program())
        .env("LOG", log);
    Served::start_by(shell, data, more)
}

/// The log of a desk contains every request with a request id, but no secrets (cases/first-use.md, section
/// 6).
#[tokio::test]
async fn requests_are_logged_with_an_id_and_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let desk = logged(&directory.path().join("data"), &log, &["--access-log"]);
    let answer = client()
        .get(format!(
            "{}/v1/tickets?list=all&tag=not-for-the-log",
            desk.base
        ))
        .basic_auth(APP.0, Some("a-wrong-secret"))
        .header("x-request-id", "request-17")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["x-request-id"].to_str().unwrap()
        ),
        (401, "request-17")
    );
    let (status, headers, _) = desk
        .v1_with("GET", "tickets?list=all", "zhangsan", Value::Null, &[])
        .await;
    assert_eq!(status, 200);
    let id = headers["x-request-id"].to_str().expect("an id").to_owned();
    let find = |id: &str| {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["fields"]["request_id"] == id)
    };
    let refused = until("the line of the refused request", || find("request-17"));
    assert_eq!(
        (
            &refused["fields"]["status"],
            &refused["fields"]["path"],
            &refused["level"]
        ),
        (&json!(401), &json!("/v1/tickets"), &json!("INFO"))
    );
    let line = until("the line of the request", || find(&id));
    assert_eq!(
        (
            &line["fields"]["method"],
            &line["fields"]["app"],
            &line["fields"]["status"]
        ),
        (&json!("GET"), &json!(APP.0), &json!(200))
    );
    assert!(line["fields"]["duration_ms"].is_i64());
    assert!(
        line["timestamp"]
            .as_str()
            .is_some_and(|time| time.len() == 24 && time.ends_with('Z')),
        "{line}"
    );
    let text = std::fs::read_to_string(&log).unwrap();
    for never in [
        "a-wrong-secret",
        APP.1,
        "not-for-the-log",
        "zhangsan",
        "Basic",
    ] {
        assert!(!text.contains(never), "{never} is in the log");
    }
    // Every response of the BlueKing API and of the API `/v1` contains a request id.
    for path in [
        "/",
        "/healthz",
        "/no/such/path",
        "/api/c/compapi/v2/itsm/get_services/",
    ] {
        let answer = client()
            .get(format!("{}{path}", desk.base))
            .send()
            .await
            .expect("an answer");
        assert!(answer.headers().contains_key("x-request-id"), "{path}");
    }
}

/// The events of a callback have their own stream in the ledger. If a callback fails, the command `doctor`
/// prints the complete name of this stream (cases/first-use.md, sections 5 and 9).
#[tokio::test]
async fn doctor_names_the_stream_of_a_failing_callback() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let desk = Served::start(directory.path(), &[]);
    // The test opens a listener on a free port and closes it at once, so no process listens on this port.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let created = desk
        .bk(
            "create_ticket",
            fast_approval("callback", Some(&format!("http://{closed}/"))),
        )
        .await;
    let fields = tests::form(&[("SHENPIYIJIAN", "true")]);
    let vote = json!({ "sn": created["data"]["sn"], "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields });
    assert_eq!(desk.bk("operate_node", vote).await["result"], true);
    let output_line = until("the failing callback", || {
        Some(text(&run(&["doctor", "--data", data]).stdout))
            .filter(|output_line| output_line.contains("audit show callback-"))
    });
    let stream = output_line
        .split("audit show ")
        .nth(1)
        .and_then(|rest| rest.split([' ', '`']).next())
        .expect("a stream")
        .to_owned();
    assert!(
        printed(&["audit", "show", &stream, "--data", data]).contains("callback.requested"),
        "{output_line}"
    );
}

/// The command `demo` prints the address of the desk, commands that inspect the data, and a command that
/// removes the data (cases/first-use.md, section 1).
#[test]
fn the_demo_prints_commands_that_work_and_how_many_tickets_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("day");
    let output = printed(&[
        "demo",
        "--exit",
        "--tickets",
        "20",
        "--data",
        data.to_str().unwrap(),
    ]);
    assert!(output.contains(" opened (20 by the day, "), "{output}");
    assert!(
        output.contains(&format!("rm -r {}", data.display())),
        "{output}"
    );
    let command = output
        .lines()
        .find_map(|line| {
            line.split_once("next steps ")
                .map(|(_, command)| command.trim())
        })
        .expect("a command");
    let output = Command::new("bash").args(["-c", command]).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        text(&output.stderr)
    );
}

/// Starts a desk whose standard error is redirected to `target`, for example to `/dev/full`.
fn with_log_to(target: &str, data: &Path) -> Served {
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &format!("exec \"$0\" \"$@\" 2> {target}")])
        .arg(program());
    Served::start_by(shell, data, &["--access-log"])
}

/// A desk continues to serve requests if its log cannot be written, for example because the disk is full
/// (cases/first-use.md, section 6).
#[tokio::test]
async fn a_desk_keeps_serving_if_its_log_cannot_be_written() {
    for target in ["/dev/full", ">(exit 0)"] {
        let directory = tempfile::tempdir().unwrap();
        let mut desk = with_log_to(target, directory.path());
        for _ in 0..4 {
            assert_eq!(
                status_as(&desk, APP.0, "a-wrong-secret").await,
                401,
                "{target}"
            );
            assert_eq!(status_as(&desk, APP.0, APP.1).await, 200, "{target}");
        }
        let created = desk.bk("create_ticket", fast_approval(target, None)).await;
        assert_eq!(created["result"], true, "{target}: {created}");
        assert!(!desk.has_ended(), "{target}");
    }
}

/// A command fails if the disk is full and the output cannot be written. If the reader of the output has
/// closed the pipe, the command does not fail (cases/first-use.md, section 6).
fn an_unwritable_output_is_reported_as_a_failure(data: &str) {
    let shell = |script: &str, arguments: &[&str]| {
        let output = Command::new("bash")
            .args(["-c", script])
            .arg(program())
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    for arguments in [
        &["completions", "bash"][..],
        &["audit", "list", "--data", data],
        &["audit", "export", "--data", data],
        &["doctor", "--data", data],
    ] {
        let (code, stderr) = shell("exec \"$0\" \"$@\" > /dev/full", arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {stderr}");
        assert!(
            stderr.starts_with("ledgerdesk: cannot write") && !stderr.contains("panicked"),
            "{arguments:?}: {stderr}"
        );
        let (code, stderr) = shell(
            "\"$0\" \"$@\" | head -c 1 > /dev/null; exit ${PIPESTATUS[0]}",
            arguments,
        );
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
    // If a command cannot write its error message, the command still returns the correct exit code.
    assert_eq!(
        shell(
            "exec \"$0\" \"$@\" 2> /dev/full",
            &["audit", "list", "--kind", "nothing", "--data", data]
        )
        .0,
        Some(2)
    );
}

/// The signals SIGTERM and SIGINT stop a desk cleanly at any time. The desk also stops if no process reads
/// its output (cases/first-use.md, section 6).
#[test]
fn a_signal_after_the_first_line_stops_the_desk_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    for (signal, is_read) in [
        ("-TERM", true),
        ("-INT", true),
        ("-TERM", false),
        ("-INT", false),
        ("-TERM", true),
        ("-INT", true),
    ] {
        let mut child = Command::new(program())
            .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data", data])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        // The variable `lines` reads the output of the desk from a pipe. If the variable is dropped, no
        // process reads the later output of the desk.
        let kept = is_read.then_some(lines);
        let _ = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        let ended = child.wait().unwrap();
        drop(kept);
        assert!(
            first.contains("http://") && ended.success(),
            "{signal} {is_read}: {first} {ended}"
        );
        let heads = std::fs::read_to_string(directory.path().join("heads")).unwrap();
        let head = printed(&["audit", "head", "--data", data]);
        let (position, hash) = head.trim().split_once(':').expect("POSITION:HASH");
        assert!(
            heads
                .lines()
                .any(|line| line.contains(position) && line.contains(hash)),
            "the last head is published: {head} in {heads}"
        );
    }
}

/// A request path may contain the name of a person. The log contains the text `{person}` instead of this
/// name (cases/first-use.md, section 6).
#[tokio::test]
async fn the_name_of_a_person_in_a_path_is_not_logged() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let desk = logged(&directory.path().join("data"), &log, &["--access-log"]);
    for (number, path) in [
        "people/wangwu/forget",
        "people//wangwu/forget",
        "%70eople/wangwu",
        "people/wang%77u",
    ]
    .iter()
    .enumerate()
    {
        let id = format!("named-{number}");
        desk.v1_with(
            "GET",
            path,
            "admin",
            Value::Null,
            &[("x-request-id", id.as_str())],
        )
        .await;
        let line = until("the line of the request", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|line| line["fields"]["request_id"] == id.as_str())
        });
        assert!(
            line["fields"]["path"]
                .as_str()
                .is_some_and(|path| path.contains("{person}") && !path.contains("wang")),
            "{path}: {line}"
        );
    }
}

/// A file with the codes and secrets of apps (client programs) may contain a byte order mark, CRLF line ends
/// and repeated lines. Two lines with different secrets for one app are rejected
/// (cases/hostile-and-broken.md, case 25).
#[tokio::test]
async fn an_app_file_accepts_editor_formats_and_names_each_app_once() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let file = directory.path().join("apps");
    let file_name = file.to_str().unwrap();
    std::fs::write(&file, "\u{feff}first:a-secret-of-the-first-app\r\nsecond:a-secret-of-the-second-app\r\nfirst:a-secret-of-the-first-app").unwrap();
    let desk = Served::start_with(&data, &["--app-file", file_name]).expect("the desk starts");
    assert_eq!(
        status_as(&desk, "first", "a-secret-of-the-first-app").await,
        200
    );
    assert_eq!(
        status_as(&desk, "second", "a-secret-of-the-second-app").await,
        200
    );
    desk.kill();
    let data = data.to_str().unwrap();
    std::fs::write(
        &file,
        "first:a-secret-of-the-first-app\nfirst:another-secret-of-the-app\n",
    )
    .unwrap();
    let (code, stderr) = code_of(&["setup", "--app-file", file_name, "--data", data]);
    assert!(
        code == Some(2)
            && stderr.contains("first appears twice")
            && !stderr.contains("another-secret"),
        "{stderr}"
    );
    std::fs::write(&file, "first:a-secret-of-the-first-app\n").unwrap();
    let (code, stderr) = code_of(&[
        "setup",
        "--app-file",
        file_name,
        "--plain-app-file",
        file_name,
        "--data",
        data,
    ]);
    assert!(
        code == Some(2) && stderr.contains("first appears twice"),
        "{stderr}"
    );
}

/// With the option `--dry-run`, the subcommands of `app` change nothing. Each subcommand returns the same
/// exit code with this option as without this option (cases/first-use.md, section 6;
/// cases/hostile-and-broken.md, case 25).
#[tokio::test]
async fn an_app_command_is_checked_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("misspelled");
    for arguments in [
        &["app", "add", "x"][..],
        &["app", "disable", "x"],
        &["app", "enable", "x", "--dry-run"],
        &["app", "add", "x", "--dry-run"],
    ] {
        let (code, stderr) = code_of(&[arguments, &["--data", missing.to_str().unwrap()]].concat());
        assert!(
            code == Some(1) && stderr.contains("misspelled"),
            "{arguments:?}: {stderr}"
        );
        assert!(!missing.exists(), "{arguments:?} created a desk");
    }
    let data = directory.path().join("data");
    let desk = Served::start(&data, &["--plain-app", "plain:a-secret-of-the-plain-app"]);
    let file = directory.path().join("app");
    std::fs::write(&file, format!("{}:{}\n", APP.0, APP.1)).unwrap();
    let running = ["--url", &desk.base, "--app-file", file.to_str().unwrap()];
    let beside = ["--data", data.to_str().unwrap()];
    for target in [&running[..], &beside[..]] {
        for (arguments, expected) in [
            (&["app", "add", "plain", "--dry-run"][..], 1),
            (&["app", "add", "plain", "--yes"], 1),
            (&["app", "disable", "nothing", "--dry-run"], 1),
            (&["app", "enable", "nothing", "--yes"], 1),
            (&["app", "add", "a:b", "--dry-run"], 2),
            (&["app", "add", "a b", "--dry-run"], 2),
            (&["app", "add", "", "--dry-run"], 2),
            (&["app", "disable", "plain", "--dry-run"], 0),
            (&["app", "add", "new", "--dry-run"], 0),
        ] {
            let (code, stderr) = code_of(&[arguments, target].concat());
            assert_eq!(code, Some(expected), "{arguments:?} {target:?}: {stderr}");
        }
    }
    // All commands in the loop above ended with an error or had the option `--dry-run`, so the app `plain`
    // is unchanged. The app is still enabled, and may act only for users with a login token.
    let (status, plain) = desk.v1("GET", "apps/plain", "admin", Value::Null).await;
    assert_eq!(
        (status, &plain["may_impersonate"], &plain["is_disabled"]),
        (200, &json!(false), &json!(false))
    );
    assert_eq!(
        code_of(&[
            "app",
            "list",
            "--app-file",
            file.to_str().unwrap(),
            "--data",
            data.to_str().unwrap()
        ])
        .0,
        Some(2),
        "--app-file without --url"
    );
}

/// A desk rejects an option at the start if the value of the option would have no effect or an unexpected
/// effect (cases/first-use.md, section 6).
#[test]
fn options_without_effect_are_rejected_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let headers = directory.path().join("headers");
    std::fs::write(&headers, "{\"a b\": \"c\"}").unwrap();
    let named = format!("x={}", headers.display());
    for (arguments, expected) in [
        (["--site", "https://desk.example.com/?a=b"], 2),
        (["--site", "https://desk.example.com/#a"], 2),
        (["--login", "https://login.example.com/?a=b"], 2),
        (["--egress", "*"], 2),
        (["--egress", "10.*"], 2),
        (["--egress", "300.1.1.1"], 2),
        (["--api-secret", named.as_str()], 1),
        (["--api-secret", "=headers"], 2),
    ] {
        // The program must reject the wrong option value and end. A faulty build could accept the value
        // and start a desk that never ends. To prevent this, the test adds the option `--crash-at` with an
        // unknown crash point (a place at which the program kills itself). The program always ends at the
        // start if the crash point is unknown.
        let (code, stderr) = code_of(
            &[
                &[
                    "serve",
                    "--listen",
                    "127.0.0.1:0",
                    "--data",
                    data.to_str().unwrap(),
                    "--crash-at",
                    "nothing",
                ][..],
                &arguments[..],
            ]
            .concat(),
        );
        assert_eq!(code, Some(expected), "{arguments:?}: {stderr}");
        assert!(
            !stderr.contains("crash") && !stderr.contains("nothing"),
            "{arguments:?}: {stderr}"
        );
    }
}

/// The command `audit` rejects a misspelled filter. Otherwise the result would be empty, as if the ledger
/// contained no events. If the start or end of a time range is a date without a time of day, the whole day
/// is in the range (cases/first-use.md, section 5).
fn filters_of_the_audit_are_checked_and_a_day_is_a_whole_day(data: &str) {
    for (arguments, word) in [
        (&["audit", "list", "--kind", "tickets"][..], "ticket"),
        (&["audit", "list", "--kind", "Role"], "role"),
        (
            &["audit", "export", "--kind", "ticket.open"],
            "ticket.opened",
        ),
        (
            &["audit", "export", "--kind", "ticket", "--kind", "nothing"],
            "attachment",
        ),
        (
            &["audit", "export", "--from", "5", "--until", "3"],
            "--until",
        ),
        (
            &[
                "audit",
                "export",
                "--from",
                "2026-11-22",
                "--until",
                "2026-11-21",
            ],
            "--until",
        ),
        (
            &["audit", "replay", "--to", "2026-11-22 08:00:00"],
            "offset",
        ),
    ] {
        let (code, stderr) = code_of(&[arguments, &["--data", data]].concat());
        assert!(
            code == Some(2) && stderr.contains(word),
            "{arguments:?}: {code:?} {stderr}"
        );
    }
    let export = |more: &[&str]| {
        lines(&printed(
            &[&["audit", "export", "--data", data][..], more].concat(),
        ))
    };
    let all = export(&[]);
    let day = |line: &Value| line["recordedtime"].as_str().expect("a time")[..10].to_owned();
    let (first, last) = (
        day(all.first().expect("a line")),
        day(all.last().expect("a line")),
    );
    assert_eq!(
        export(&["--from", &first, "--until", &last]).len(),
        all.len(),
        "from {first} until {last}, both days included"
    );
    let replayed: Value = serde_json::from_str(&printed(&[
        "audit", "replay", "--to", &last, "--json", "--data", data,
    ]))
    .expect("JSON");
    assert_eq!(
        replayed["position"],
        all.last().expect("a line")["position"]
    );
    assert!(
        printed(&["audit", "show", "role-1", "--at", &last, "--data", data])
            .contains("role.defined")
    );
    for kind in ["ticket.opened", "io.ledgerdesk.ticket.opened.v1", "role"] {
        assert!(!export(&["--kind", kind]).is_empty(), "{kind}");
    }
    let empty = run(&[
        "audit",
        "export",
        "--stream",
        "ticket-NOTHING",
        "--data",
        data,
    ]);
    assert!(
        empty.status.success()
            && empty.stdout.is_empty()
            && text(&empty.stderr).contains("no events are exported"),
        "{}",
        text(&empty.stderr)
    );
    // If the requested position is after the last commit, the command `audit replay` reports that it
    // reached the end of the ledger.
    assert!(
        printed(&["audit", "replay", "--to", "999999", "--data", data])
            .contains("the end of the feed")
    );
}

/// The events of a callback have their own stream in the ledger. If a callback fails repeatedly, the log
/// names this stream (cases/first-use.md, section 6).
#[tokio::test]
async fn a_callback_that_fails_repeatedly_is_logged_with_its_stream() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let desk = logged(&directory.path().join("data"), &log, &[]);
    // The test opens a listener on a free port and closes it at once, so no process listens on this port.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let created = desk
        .bk(
            "create_ticket",
            fast_approval(
                "callback",
                Some(&format!("http://{closed}/not-for-the-log")),
            ),
        )
        .await;
    let fields = tests::form(&[("SHENPIYIJIAN", "true")]);
    let vote = json!({ "sn": created["data"]["sn"], "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields });
    assert_eq!(desk.bk("operate_node", vote).await["result"], true);
    let line = until("the line of the callback", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["fields"]["stream"].is_string())
    });
    assert!(
        line["fields"]["stream"]
            .as_str()
            .is_some_and(|stream| stream.starts_with("callback-")),
        "{line}"
    );
    assert_eq!(
        (&line["level"], line["fields"]["attempt"].as_i64() > Some(1)),
        (&json!("WARN"), true),
        "{line}"
    );
    assert!(
        !std::fs::read_to_string(&log)
            .unwrap()
            .contains("not-for-the-log")
    );
}

/// The API description contains the paths `/healthz` and `/readyz` (cases/first-use.md, section 6).
#[tokio::test]
async fn the_api_description_includes_the_health_paths() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let described: Value = client()
        .get(format!("{}/openapi.json", desk.base))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    for path in ["/healthz", "/readyz"] {
        let operation = &described["paths"][path]["get"];
        assert_eq!(
            operation["security"],
            json!([]),
            "{path} needs no credentials"
        );
        let answer = client()
            .get(format!("{}{path}", desk.base))
            .send()
            .await
            .expect("an answer");
        let response = &operation["responses"][answer.status().as_str()];
        let kind = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned();
        assert!(
            response["content"][&kind].is_object(),
            "{path} {kind}: {operation}"
        );
    }
}

/// The command `demo` rejects the directory of an existing desk, because the demo tickets could never be
/// removed from the ledger (cases/first-use.md, sections 1 and 6).
#[test]
fn a_demo_is_not_written_into_an_existing_desk() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    printed(&["setup", "--data", data]);
    let head = printed(&["audit", "head", "--data", data]);
    let (code, stderr) = code_of(&["demo", "--exit", "--tickets", "1", "--data", data]);
    assert!(
        code == Some(2) && stderr.contains("serve --demo"),
        "{code:?} {stderr}"
    );
    assert_eq!(printed(&["audit", "head", "--data", data]), head);
}

/// If the data directory cannot be read because it belongs to another user, `doctor` reports this reason
/// and does not report damage (cases/first-use.md, section 6).
#[test]
fn an_unreadable_directory_is_not_reported_as_lost() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    printed(&["setup", "--data", data.to_str().unwrap()]);
    let closed = |is_closed: bool| {
        std::fs::set_permissions(
            &data,
            std::fs::Permissions::from_mode(if is_closed { 0o000 } else { 0o700 }),
        )
        .unwrap();
    };
    closed(true);
    if std::fs::read_dir(&data).is_ok() {
        closed(false);
        println!("SKIPPED: this user may read everything");
        return;
    }
    let doctor = run(&["doctor", "--data", data.to_str().unwrap()]);
    let (code, stderr) = code_of(&["audit", "head", "--data", data.to_str().unwrap()]);
    closed(false);
    let output = text(&doctor.stdout);
    assert!(
        doctor.status.code() == Some(3) && !output.contains("restore") && output.contains("owner"),
        "{output}"
    );
    assert!(
        code == Some(1) && !stderr.contains("there is no ledger") && stderr.contains("denied"),
        "{stderr}"
    );
}
