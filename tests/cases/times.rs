//! These tests check the format of times in all outputs of the desk, and the use of time zones.

use std::process::Command;

use serde_json::{Value, json};
use tests::process::{Served, fast_approval, printed, program, run, text};

/// Returns true if the text is an RFC 3339 time in UTC with three fractional digits.
fn is_utc(text: &str) -> bool {
    text.len() == "2026-11-22T08:00:00.000Z".len()
        && text.ends_with('Z')
        && text.as_bytes()[19] == b'.'
        && text.parse::<jiff::Timestamp>().is_ok()
}

/// Returns true if the text is an RFC 3339 time with three fractional digits and the offset `+08:00`.
fn is_local(text: &str) -> bool {
    text.len() == "2026-11-22T16:00:00.000+08:00".len()
        && text.ends_with("+08:00")
        && text.as_bytes()[19] == b'.'
}

/// Runs the command `demo`, which simulates a working day. Returns the lines of the exported ledger.
fn day(data: &str) -> Vec<Value> {
    printed(&["demo", "--exit", "--tickets", "20", "--data", data]);
    printed(&["audit", "export", "--data", data])
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Every time in an exported ledger and in the output of `audit show` has three fractional digits
/// (cases/crossings.md, case 1).
#[test]
fn every_time_of_an_export_and_of_audit_show_has_three_digits() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let lines = day(data);
    check_export(&lines);
    check_shown(data, &lines);
}

/// Checks the times of an exported ledger. Times with three fractional digits that are sorted as text are also in the
/// order of time.
fn check_export(lines: &[Value]) {
    assert!(lines.len() > 300, "{} events", lines.len());
    for line in lines {
        for name in ["time", "recordedtime"] {
            assert!(line[name].as_str().is_some_and(is_utc), "{name}: {line}");
        }
    }
    let written: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["recordedtime"].as_str())
        .collect();
    let (mut by_text, mut by_instant) = (written.clone(), written);
    by_text.sort_unstable();
    by_instant.sort_by_key(|text| text.parse::<jiff::Timestamp>().expect("a time"));
    assert_eq!(by_text, by_instant, "texts sort as instants do");
}

/// Checks the times in the output of `audit show`. The event data and the state of the stream also use this format.
fn check_shown(data: &str, lines: &[Value]) {
    let stream = lines
        .iter()
        .filter_map(|line| line["stream"].as_str())
        .find(|stream| stream.starts_with("callback-"))
        .expect("a callback");
    for stream in [stream, "workflow-11", "role-1"] {
        let shown = printed(&["audit", "show", stream, "--data", data]);
        let times: Vec<&str> = shown
            .split(|c: char| c.is_whitespace() || c == '"')
            .filter(|word| word.starts_with("20") && word.contains('T'))
            .collect();
        assert!(
            !times.is_empty() && times.iter().all(|time| is_utc(time)),
            "{stream}: {times:?}"
        );
    }
    let shown = printed(&["audit", "show", stream, "--data", data]);
    assert!(
        shown.contains("\"due\":\"20"),
        "a deadline is a time, not milliseconds: {shown}"
    );
}

/// Every time over `/v1` is RFC 3339 text with three fractional digits (cases/crossings.md, case 1;
/// cases/first-use.md, section 2).
#[tokio::test]
async fn every_time_of_v1_has_three_digits_and_no_milliseconds() {
    let directory = tempfile::tempdir().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let (status, workflows) = desk.v1("GET", "workflows", "admin", Value::Null).await;
    assert_eq!(status, 200, "{workflows}");
    let workflows = workflows["workflows"].as_array().expect("workflows");
    assert!(workflows.len() >= 4, "{}", workflows.len());
    for workflow in workflows {
        assert!(
            workflow["updated_at"].as_str().is_some_and(is_local),
            "{workflow}"
        );
        for (version, at) in workflow["versions"].as_object().expect("versions") {
            assert!(at.as_str().is_some_and(is_local), "version {version}: {at}");
        }
    }
    for number in 0..20 {
        let created = desk
            .bk("create_ticket", fast_approval(&number.to_string(), None))
            .await;
        let sn = created["data"]["sn"].as_str().expect("sn").to_owned();
        let (_, history) = desk
            .v1("GET", &format!("tickets/{sn}/events"), "lisi", Value::Null)
            .await;
        for event in history["events"].as_array().expect("events") {
            assert!(event["at"].as_str().is_some_and(is_local), "{event}");
        }
    }
}

/// The options `--at` and `--to` of `audit` accept a position in the ledger or a time. The time may have
/// any supported format (cases/crossings.md, case 1).
#[tokio::test]
async fn audit_show_accepts_every_form_of_a_time_and_positions() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let desk = Served::start(directory.path(), &[]);
    let created = desk.bk("create_ticket", fast_approval("then", None)).await;
    let sn = created["data"]["sn"].as_str().expect("sn").to_owned();
    let fields = tests::form(&[("SHENPIYIJIAN", "true")]);
    let vote = json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields });
    assert_eq!(desk.bk("operate_node", vote).await["result"], true);
    let stream = format!("ticket-{sn}");
    let export = printed(&["audit", "export", "--data", data]);
    let lines: Vec<Value> = export
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let opened = lines
        .iter()
        .find(|line| line["stream"] == stream.as_str())
        .expect("the opening");
    let position = opened["position"].to_string().trim_matches('"').to_owned();
    let shown =
        |at: &[&str]| printed(&[&["audit", "show", &stream, "--data", data][..], at].concat());
    assert!(shown(&["--at", &position]).contains("status: RUNNING"));
    assert_eq!(
        shown(&["--sequence", "1"])
            .lines()
            .filter(|line| line.starts_with("       ticket."))
            .count(),
        1,
        "the first event alone"
    );
    for late in [
        "2999-01-01",
        "2999-01-01T00:00:00Z",
        "2999-01-01T00:00:00.5+08:00",
        "2999-01-01T00:00:00.123456Z",
    ] {
        assert!(
            shown(&["--at", late]).contains("status: FINISHED"),
            "{late}"
        );
        printed(&["audit", "replay", "--to", late, "--data", data]);
    }
    let early = run(&[
        "audit",
        "show",
        &stream,
        "--at",
        "2001-01-01",
        "--data",
        data,
    ]);
    assert!(
        !early.status.success() && text(&early.stderr).contains("no event up to"),
        "{}",
        text(&early.stderr)
    );
    let wrong = run(&[
        "audit",
        "show",
        &stream,
        "--at",
        "yesterday",
        "--data",
        data,
    ]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

/// Returns the content of a time zone file for UTC (RFC 8536, version 2).
fn utc_file() -> Vec<u8> {
    let mut block = b"TZif2".to_vec();
    block.extend([0; 15]);
    for count in [0_u32, 0, 0, 0, 1, 4] {
        block.extend(count.to_be_bytes());
    }
    block.extend([0; 6]);
    block.extend(b"UTC\0");
    [&block[..], &block[..], b"\nUTC0\n"].concat()
}

/// A desk starts even if time zone files of the operating system are missing (cases/crossings.md, case 3).
#[tokio::test]
async fn a_desk_starts_with_incomplete_system_zone_files() {
    let directory = tempfile::tempdir().unwrap();
    let zones = directory.path().join("zones");
    std::fs::create_dir(&zones).unwrap();
    std::fs::write(zones.join("UTC"), utc_file()).unwrap();
    for zone in ["Asia/Shanghai", "Europe/Berlin", "UTC"] {
        let mut command = Command::new(program());
        command.env("TZDIR", &zones);
        let desk = Served::start_by(
            command,
            &directory.path().join(zone.replace('/', "-")),
            &["--zone", zone],
        );
        assert!(desk.is_up(), "--zone {zone}");
        let (status, tickets) = desk
            .v1("GET", "tickets?list=all", "admin", Value::Null)
            .await;
        assert_eq!(status, 200, "{tickets}");
    }
}

/// A desk starts on an operating system without any time zone files, for example in a minimal container
/// image (cases/crossings.md, case 3).
#[test]
fn a_desk_starts_without_system_zone_files() {
    let alone = "mount -t tmpfs none /usr/share/zoneinfo && exec \"$0\" \"$@\"";
    let isolated = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", alone]).args(arguments);
        command
    };
    if !isolated(&["true"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        println!("SKIPPED: this machine does not let a test hide /usr/share/zoneinfo");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for zone in ["Asia/Shanghai", "UTC"] {
        let desk = Served::start_by(
            isolated(&[program().to_str().unwrap()]),
            &directory.path().join(zone.replace('/', "-")),
            &["--zone", zone],
        );
        assert!(desk.is_up(), "--zone {zone}");
    }
}

/// A command with an unknown time zone is rejected. The error names this zone, and the desk does not use
/// another zone instead (cases/crossings.md, case 3).
#[test]
fn an_unknown_zone_is_rejected_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let failed = Served::start_with(directory.path(), &["--zone", "Mars/Olympus"])
        .map(|desk| desk.base.clone())
        .expect_err("no such zone");
    assert!(
        failed.contains("Mars/Olympus") && failed.contains("Asia/Shanghai"),
        "{failed}"
    );
}

/// The desk logs a warning if it starts with another time zone in `--zone` than at its previous start
/// (cases/first-use.md, section 1).
#[test]
fn a_changed_zone_at_a_start_gives_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let warnings = |zone: &str| {
        let mut shell = Command::new("bash");
        shell
            .args(["-c", "exec \"$0\" \"$@\" 2>\"$LOG\""])
            .arg(program())
            .env("LOG", &log);
        let desk = Served::start_by(shell, &data, &["--zone", zone]);
        assert!(desk.is_up(), "--zone {zone}");
        desk.kill();
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines()
            .filter(|line| line.contains("time zone"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(warnings("Asia/Shanghai"), [""; 0], "the first start");
    let changed = warnings("UTC");
    assert!(
        changed.len() == 1 && changed[0].contains("Asia/Shanghai") && changed[0].contains("UTC"),
        "{changed:?}"
    );
    assert_eq!(
        warnings("UTC"),
        [""; 0],
        "an unchanged zone gives no warning"
    );
}

/// The manifest of a backup contains the time of the backup with three fractional digits. A restore
/// compares the times of two manifests as text, so all times must have the same length
/// (cases/crossings.md, case 1).
#[test]
fn the_time_of_every_backup_has_three_digits() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    printed(&["setup", "--data", data.to_str().unwrap()]);
    // Of 20 backup times, about two have a zero as the last digit. A time format without trailing zeros
    // would omit this digit.
    for number in 0..20 {
        let copy = directory.path().join(format!("backup-{number}"));
        printed(&[
            "backup",
            copy.to_str().unwrap(),
            "--data",
            data.to_str().unwrap(),
        ]);
        for manifest in [copy.join("manifest.json"), copy.join("keys/manifest.json")] {
            let manifest: Value =
                serde_json::from_slice(&std::fs::read(manifest).unwrap()).expect("JSON");
            assert!(
                manifest["made_at"].as_str().is_some_and(is_utc),
                "{manifest}"
            );
        }
    }
}

/// An import reads times in the time zone that its import mapping (the description of the log) contains.
/// The import must work even if time zone files of the operating system are missing (cases/crossings.md,
/// case 3).
#[test]
fn an_import_reads_zones_without_system_zone_files() {
    let directory = tempfile::tempdir().unwrap();
    let zones = directory.path().join("zones");
    std::fs::create_dir(&zones).unwrap();
    std::fs::write(zones.join("UTC"), utc_file()).unwrap();
    let (log, mapping) = (
        directory.path().join("log.csv"),
        directory.path().join("mapping.toml"),
    );
    std::fs::write(&log, "case,when,what\nA-1,2026-01-05 00:30:00,opened\n").unwrap();
    let meaning = "source = \"DESK\"\nunknown_state = \"open\"\n[columns]\ncase = \"case\"\ntime = \"when\"\nstate = \"what\"\n[time]\n\
                   format = \"%Y-%m-%d %H:%M:%S\"\nzone = \"Europe/Berlin\"\n[states]\nclosed = \"closed\"\n[times]\nopened = \"when\"\n";
    std::fs::write(&mapping, meaning).unwrap();
    let data = directory.path().join("data");
    let run_there = |arguments: &[&str]| {
        let output = Command::new(program())
            .env("TZDIR", &zones)
            .args(arguments)
            .args(["--data", data.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    };
    run_there(&[
        "import",
        log.to_str().unwrap(),
        "--mapping",
        mapping.to_str().unwrap(),
    ]);
    let shown = run_there(&["audit", "export", "--kind", "ticket"]);
    assert!(
        shown.contains("2026-01-04T23:30:00.000Z"),
        "half past midnight in Berlin: {shown}"
    );
    assert!(!run_there(&["report", "incidents", "--json"]).contains("unknown zone"));
}

/// The command `report` prints times in the time zone with which the desk was started last, or in that of `--zone`.
#[test]
fn reports_have_the_time_zone_of_the_desk() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let report = |arguments: &[&str]| {
        let output = run(&[&["report"][..], arguments, &["--json", "--data", data][..]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let desk = Served::start(directory.path(), &["--zone", "Asia/Kolkata"]);
    let ends_with = |report: &Value, member: &str, offset: &str| {
        let shown = report[member].as_str().expect("a time");
        assert!(shown.ends_with(offset), "{member}: {shown}");
    };
    for name in ["notifications", "sync"] {
        let shown = report(&[name]);
        ends_with(&shown, "from", "+05:30");
        ends_with(&shown, "to", "+05:30");
    }
    let split = ["outcomes", "--split", "2026-01-01T00:00:00Z"];
    assert_eq!(report(&split)["split"], "2026-01-01T05:30:00.000+05:30");
    drop(desk);
    // The zone of the last start stays after the end of the desk.
    ends_with(&report(&["sync"]), "to", "+05:30");
    ends_with(&report(&["sync", "--zone", "UTC"]), "to", "+00:00");
    let wrong = run(&["report", "sync", "--zone", "Mars/Olympus", "--data", data]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
    assert!(text(&wrong.stderr).contains("--zone: time zone \"Mars/Olympus\" is not known"));
}

/// When summer time ends, one local hour occurs twice. A list that is filtered by a time range in this
/// hour must contain the tickets of both occurrences (cases/crossings.md, case 7).
#[tokio::test]
async fn a_window_in_the_repeated_hour_has_every_ticket() {
    let desk = tests::TestDesk::open_in("Europe/Berlin").await;
    // `change` is the instant at which the clocks in Berlin are set back by one hour.
    let start = jiff::Timestamp::from_millisecond(desk.app.ledger.clock.now().0).unwrap();
    let change: jiff::Timestamp = "2027-10-31T01:00:00Z".parse().unwrap();
    let mut at = start;
    for minutes in [-30, 30, 45] {
        let next = change
            .checked_add(jiff::SignedDuration::from_mins(minutes))
            .unwrap();
        desk.clock
            .advance(next.as_millisecond() - at.as_millisecond());
        at = next;
        let body = json!({ "service_id": 17, "creator": "lisi", "fields": tests::form(&[("title", "t")]) });
        desk.must("create_ticket", body).await;
        desk.followed().await;
    }
    for (from, to, count) in [
        ("2027-10-31 02:00:00", "2027-10-31 02:59:59", 3),
        ("2027-10-31 02:30", "2027-10-31 02:30", 2),
        ("2027-10-31 02:40:00", "2027-10-31 02:50:00", 2),
        ("2027-10-31 01:00:00", "2027-10-31 01:59:59", 0),
        ("2027-10-31 03:00:00", "2027-10-31 03:59:59", 0),
        ("2027-10-31", "2027-10-31", 3),
    ] {
        let found = desk
            .must(
                "get_tickets",
                json!({ "create_at__gte": from, "create_at__lte": to }),
            )
            .await;
        assert_eq!(found["count"], count, "{from} to {to}");
    }
}
