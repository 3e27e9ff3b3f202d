//! These tests import incident logs that other systems exported as CSV files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use domain::envelope::Envelope;
use domain::projections::incident_log::IncidentLog;
use events::ticket::RowImported;
use events::{Meta, Moment};
use serde_json::{Value, json};
use tests::process::{program, root, run};

/// Returns an import mapping: a TOML text that describes a log with the columns `id`, `when` and `state`.
/// `format` is the time format as TOML, and `zone` is the time zone. `top` is inserted before the section
/// `[columns]`. `more` has up to two parts with `---` between them. The first part is added to the section
/// `[columns]`, and the second part to the end of the mapping.
fn mapping(top: &str, format: &str, zone: &str, more: &str) -> String {
    format!(
        "source = \"LOG\"\nmissing = [\"\", \"-\"]\n{top}\n[columns]\ncase = \"id\"\ntime = \"when\"\nstate = \"state\"\n{}\n[time]\nformat = {format}\nzone = \"{zone}\"\n{}\n",
        more.split("---").next().unwrap_or_default(),
        more.split("---").nth(1).unwrap_or_default()
    )
}

fn plain() -> String {
    mapping("", "\"%Y-%m-%d %H:%M\"", "UTC", "")
}

/// The result of a command. `is_ok` is true if the command succeeded. `out` is the standard output, and
/// `all` is the standard output and the standard error.
struct Printed {
    is_ok: bool,
    out: String,
    all: String,
}

fn ledgerdesk(arguments: &[&str]) -> Printed {
    let output = run(arguments);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    Printed {
        is_ok: output.status.success(),
        all: format!("{out}{err}"),
        out,
    }
}

/// Writes the log and the import mapping to files in `directory`. Then runs the command `import` with
/// these files and the additional arguments `more`. The data directory of the desk is the folder `data` in
/// `directory`.
fn import(directory: &Path, log: impl AsRef<[u8]>, mapping: &str, more: &[&str]) -> Printed {
    let (file, toml, data) = (
        directory.join("log.csv"),
        directory.join("mapping.toml"),
        directory.join("data"),
    );
    std::fs::write(&file, log).unwrap();
    std::fs::write(&toml, mapping).unwrap();
    let words = [
        file.to_str().unwrap(),
        "--mapping",
        toml.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ];
    ledgerdesk(&[&["import"][..], &words[..], more].concat())
}

/// Imports a log into a new desk. Checks that `rows` rows are imported and that no row is rejected.
/// Returns the directory that contains the data of the desk.
fn imported(log: impl AsRef<[u8]>, mapping: &str, rows: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let printed = import(directory.path(), log, mapping, &[]);
    assert!(
        printed.is_ok
            && printed.all.contains(&format!(" {rows} imported, "))
            && printed.all.contains(" 0 re"),
        "{}",
        printed.all
    );
    directory
}

fn report(directory: &Path) -> Value {
    let printed = ledgerdesk(&[
        "report",
        "incidents",
        "--json",
        "--data",
        directory.join("data").to_str().unwrap(),
    ]);
    serde_json::from_str(&printed.out).unwrap_or_else(|error| panic!("{error}: {}", printed.all))
}

fn show(directory: &Path, stream: &str) -> String {
    ledgerdesk(&[
        "audit",
        "show",
        stream,
        "--data",
        directory.join("data").to_str().unwrap(),
    ])
    .all
}

/// Returns the event data of all imported rows of one case (an incident in the log), in the order of the
/// ledger.
fn rows(directory: &Path, case: &str) -> Vec<Value> {
    let exported = ledgerdesk(&[
        "audit",
        "export",
        "--data",
        directory.join("data").to_str().unwrap(),
    ])
    .out;
    let events = exported.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    events
        .map(|event| event["data"].clone())
        .filter(|data| data["source"] == "LOG" && data["case"] == case)
        .collect()
}

/// Returns the value of one member in every imported row of one case (an incident in the log).
fn members(directory: &Path, case: &str, member: &str) -> Vec<Value> {
    rows(directory, case)
        .into_iter()
        .map(|row| row[member].clone())
        .collect()
}

/// An import mapping (the description of a log) defines a time zone. If a time in the log contains a UTC
/// offset, the import uses this offset instead of the time zone (cases/real-files-and-clients.md, case
/// 6).
#[test]
fn an_offset_in_a_time_overrides_the_zone_of_the_mapping() {
    let texts = [
        "2026-01-01T10:00:00+08:00",
        "2026-01-01T04:00:00+00:00",
        "2026-01-01T05:30:00+01:00",
    ];
    let zulu = [
        "2026-01-01T02:00:00Z",
        "2026-01-01T04:00:00Z",
        "2026-01-01T04:30:00Z",
    ];
    let short = [
        "2026-01-01T10:00:00+0800",
        "2026-01-01T04:00:00+0000",
        "2026-01-01T05:30:00+0100",
    ];
    let epoch = ["1767232800", "1767240000", "1767241800"];
    for (format, times) in [
        ("%Y-%m-%dT%H:%M:%S%:z", texts),
        ("%Y-%m-%dT%H:%M:%S%:z", zulu),
        ("%Y-%m-%dT%H:%M:%S%z", short),
        ("%Y-%m-%dT%H:%M:%SZ", zulu),
        ("rfc3339", texts),
        ("rfc3339", zulu),
        ("%s", epoch),
    ] {
        for zone in ["UTC", "Asia/Shanghai"] {
            let log = format!(
                "id,when,state\nA,{},New\nA,{},Work\nA,{},Closed\n",
                times[0], times[1], times[2]
            );
            let directory = imported(log, &mapping("", &format!("{format:?}"), zone, ""), 3);
            assert_eq!(
                report(directory.path())["dwell_minutes_by_state"],
                json!({ "New": 120, "Work": 30 }),
                "{format} in {zone}"
            );
            let exported = ledgerdesk(&[
                "audit",
                "export",
                "--data",
                directory.path().join("data").to_str().unwrap(),
            ])
            .out;
            assert!(
                exported.contains("2026-01-01T02:00:00"),
                "{format} in {zone}: {exported}"
            );
        }
    }
}

/// The section `[times]` of an import mapping (the description of the log) names additional columns that
/// contain times. A time in these columns may also contain a UTC offset (cases/real-files-and-clients.md,
/// case 6).
#[test]
fn offsets_are_read_in_additional_times_too() {
    let log = "id,when,state,opened,resolved\nA,2026-01-01T10:00:00Z,Done,2026-01-01T10:00:00+08:00,2026-01-01T03:00:00Z\n";
    let directory = imported(
        log,
        &mapping(
            "",
            "\"rfc3339\"",
            "Asia/Tokyo",
            "---[times]\nopened = \"opened\"\nresolved = \"resolved\"",
        ),
        1,
    );
    let report = report(directory.path());
    assert_eq!(
        report["resolution_minutes_opened_to_resolved"]["sum"], 60,
        "{report}"
    );
}

/// For each imported and each rejected row, the desk records the line number at which the row begins in
/// the log file (cases/first-use.md, fault F7; cases/real-files-and-clients.md, case 7).
#[test]
fn rejected_and_imported_rows_have_their_line_number() {
    for end in ["\r\n", "\n", "\r"] {
        for (name, lines, wrong, right) in [
            (
                "rows",
                vec![
                    "id,when,state",
                    "A,2026-01-01 10:00,x",
                    "B,bad,x",
                    "A,2026-01-01 11:00,x",
                    "C,bad,x",
                ],
                [3, 5],
                [2, 4],
            ),
            (
                "blank lines",
                vec![
                    "id,when,state",
                    "A,2026-01-01 10:00,x",
                    "",
                    "",
                    "B,bad,x",
                    "A,2026-01-01 11:00,x",
                    "",
                    "C,bad,x",
                ],
                [5, 8],
                [2, 6],
            ),
            (
                "quoted line ends",
                vec![
                    "id,when,state",
                    "A,2026-01-01 10:00,\"x",
                    "",
                    "y\"",
                    "B,bad,x",
                    "A,2026-01-01 11:00,x",
                    "\"C\",bad,\"x",
                    "\"",
                ],
                [5, 7],
                [2, 6],
            ),
            (
                "a separator line",
                vec![
                    "sep=,",
                    "id,when,state",
                    "A,2026-01-01 10:00,x",
                    "B,bad,x",
                    "A,2026-01-01 11:00,x",
                    "C,bad,x",
                ],
                [4, 6],
                [3, 5],
            ),
            (
                "blank lines in front",
                vec![
                    "",
                    "",
                    "id,when,state",
                    "A,2026-01-01 10:00,x",
                    "B,bad,x",
                    "A,2026-01-01 11:00,x",
                    "C,bad,x",
                ],
                [5, 7],
                [4, 6],
            ),
        ] {
            for mark in ["", "\u{feff}"] {
                let directory = tempfile::tempdir().unwrap();
                let printed = import(
                    directory.path(),
                    format!("{mark}{}{end}", lines.join(end)),
                    &plain(),
                    &[],
                )
                .all;
                let reported: Vec<&str> = printed
                    .lines()
                    .filter_map(|line| line.strip_prefix("line ")?.split(' ').next())
                    .collect();
                assert_eq!(
                    reported,
                    wrong.map(|line: u64| line.to_string()),
                    "{name} with {end:?}: {printed}"
                );
                assert_eq!(
                    members(directory.path(), "A", "line"),
                    right.map(|line: u64| json!(line)),
                    "{name} with {end:?}"
                );
            }
        }
    }
}

/// The id of a case (an incident in the log) may contain blanks. The import removes only blanks at the
/// beginning and end of the id (cases/real-files-and-clients.md, case 8).
#[test]
fn case_ids_with_blanks_are_imported_and_can_be_shown() {
    let log = "Case ID,Activity,Resource,Complete Timestamp\nCase 2,Assign,Value 1,2012-10-09 14:50:17.000\n Case 2 ,Close,Value 1,2012-10-09 15:50:17.000\n\
               Case%202,Assign,Value 2,2012-10-09 14:50:17.000\n工单 7,Assign,Value 2,2012-10-09 14:50:17.000\nCase\u{3000}2,Assign,Value 2,2012-10-09 14:50:17.000\n";
    let mapping = "source = \"HD\"\n[columns]\ncase = \"Case ID\"\ntime = \"Complete Timestamp\"\nstate = \"Activity\"\nactor = \"Resource\"\n\
                   [time]\nformat = \"%Y-%m-%d %H:%M:%S%.f\"\n";
    let directory = imported(log, mapping, 5);
    assert_eq!(
        report(directory.path())["rows_per_case"]["n"],
        4,
        "outer blanks do not make another case, inner ones do"
    );
    for (stream, case) in [
        ("ticket-HD-Case 2", "Case 2"),
        ("ticket-HD-Case%202", "Case 2"),
        ("ticket-HD-Case%25202", "Case%202"),
        ("ticket-HD-工单 7", "工单 7"),
    ] {
        let shown = show(directory.path(), stream);
        assert!(
            shown.contains(&format!("case: {case}\n")),
            "{stream}: {shown}"
        );
    }
    let again = import(directory.path(), log, mapping, &[]).all;
    assert!(
        again.contains(" 0 imported, 5 duplicate, 0 rejected"),
        "{again}"
    );
    let long = format!(
        "Case ID,Activity,Resource,Complete Timestamp\n{},Assign,Value 1,2012-10-09 14:50:17.000\n",
        "x".repeat(5000)
    );
    let printed = import(directory.path(), long, mapping, &[]).all;
    assert!(
        printed.contains("line 2 rejected: case id") && printed.len() < 1000,
        "{printed}"
    );
}

/// The import mapping (the description of the log) or a line `sep=` in the log can define the delimiter
/// between values. Otherwise the import finds the delimiter in the header line
/// (cases/real-files-and-clients.md, case 9).
#[test]
fn values_may_be_separated_by_other_delimiters() {
    let rows = [
        ["id", "when", "state"],
        ["A", "2026-01-01 10:00", "New"],
        ["A", "2026-01-01 12:00", "Work, hard"],
    ];
    for delimiter in [";", "\t", "|"] {
        let log: String = rows.iter().map(|row| row.join(delimiter) + "\n").collect();
        let state = json!({ "New": 1, "Work, hard": 1 });
        assert_eq!(
            report(imported(&log, &plain(), 2).path())["rows_by_state"],
            state,
            "recognized {delimiter:?}"
        );
        let named = mapping(
            &format!("delimiter = {delimiter:?}"),
            "\"%Y-%m-%d %H:%M\"",
            "UTC",
            "",
        );
        assert_eq!(
            report(imported(&log, &named, 2).path())["rows_by_state"],
            state,
            "named {delimiter:?}"
        );
        assert_eq!(
            report(imported(format!("sep={delimiter}\r\n{log}"), &plain(), 2).path())["rows_by_state"],
            state,
            "sep={delimiter:?}"
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let printed = import(directory.path(), "id;time;state\nA;x;y\n", &plain(), &[]);
    assert!(
        !printed.is_ok
            && printed
                .all
                .contains("no column \"when\"; it has: id, time, state")
            && printed.all.contains("';'"),
        "{}",
        printed.all
    );
    for wrong in ["", ";;", "a"] {
        let printed = import(
            directory.path(),
            "id;time;state\nA;x;y\n",
            &mapping(&format!("delimiter = {wrong:?}"), "\"%Y\"", "UTC", ""),
            &[],
        );
        assert!(
            !printed.is_ok && printed.all.contains("delimiter"),
            "{wrong:?}: {}",
            printed.all
        );
    }
}

/// The import mapping (the description of the log) or a byte order mark defines the character encoding.
/// The import reads the log in this encoding (cases/real-files-and-clients.md, case 10).
#[test]
fn logs_are_read_in_their_own_encoding() {
    let utf_16 = |text: &str, little: bool| -> Vec<u8> {
        let units = std::iter::once('\u{feff}')
            .chain(text.chars())
            .map(|c| u16::try_from(u32::from(c)).unwrap());
        units
            .flat_map(|unit| {
                if little {
                    unit.to_le_bytes()
                } else {
                    unit.to_be_bytes()
                }
            })
            .collect()
    };
    let named = |name: &str| {
        mapping(
            &format!("encoding = {name:?}"),
            "\"%Y-%m-%d %H:%M\"",
            "UTC",
            "title = \"标题\"",
        )
    };
    let western = |name: &str| {
        mapping(
            &format!("encoding = {name:?}"),
            "\"%Y-%m-%d %H:%M\"",
            "UTC",
            "title = \"titre\"",
        )
    };
    let chinese = "id,when,state,标题\nA,2026-01-01 10:00,New,打印机\n";
    let mut gb =
        b"id,when,state,\xb1\xea\xcc\xe2\nA,2026-01-01 10:00,New,\xb4\xf2\xd3\xa1\xbb\xfa\n"
            .to_vec();
    for name in ["gb18030", "GBK"] {
        assert!(
            members(imported(&gb, &named(name), 1).path(), "A", "title") == ["打印机"],
            "{name}"
        );
    }
    let latin = b"id,when,state,titre\nA,2026-01-01 10:00,New,caf\xe9\n";
    for name in ["windows-1252", "latin1"] {
        assert!(
            members(imported(latin, &western(name), 1).path(), "A", "title") == ["café"],
            "{name}"
        );
    }
    for little in [true, false] {
        let log = utf_16(chinese, little);
        let directory = imported(
            log,
            &mapping("", "\"%Y-%m-%d %H:%M\"", "UTC", "title = \"标题\""),
            1,
        );
        assert_eq!(members(directory.path(), "A", "title"), ["打印机"]);
    }
    let log = &utf_16(chinese, true)[2..];
    assert_eq!(
        members(imported(log, &named("utf-16le"), 1).path(), "A", "title"),
        ["打印机"],
        "without a mark"
    );

    let directory = tempfile::tempdir().unwrap();
    let two = [&latin[..], b"B,2026-01-01 10:00,New,ok\n"].concat();
    let printed = import(
        directory.path(),
        two,
        &mapping("", "\"%Y-%m-%d %H:%M\"", "UTC", "title = \"titre\""),
        &[],
    )
    .all;
    assert!(
        printed.contains("line 2 rejected")
            && printed.contains("encoding = ")
            && printed.contains("\"titre\"")
            && printed.contains("1 imported"),
        "{printed}"
    );
    let printed = import(directory.path(), &gb, &plain(), &[]);
    assert!(
        !printed.is_ok && printed.all.contains("encoding = "),
        "the header is not UTF-8: {}",
        printed.all
    );
    let printed = import(directory.path(), log, &plain(), &[]);
    assert!(
        !printed.is_ok && printed.all.contains("utf-16le"),
        "zero bytes: {}",
        printed.all
    );
    gb.extend(b"B,2026-01-01 10:00,New,\xff\xff\n");
    let printed = import(directory.path(), &gb, &named("gb18030"), &[]).all;
    assert!(
        printed.contains("line 3 rejected") && printed.contains("gb18030"),
        "{printed}"
    );
    let printed = import(directory.path(), &gb, &named("klingon"), &[]);
    assert!(
        !printed.is_ok && printed.all.contains("klingon"),
        "{}",
        printed.all
    );
}

/// The import ignores blanks before and after values and column names (cases/real-files-and-clients.md,
/// case 11).
#[test]
fn blanks_around_values_are_ignored() {
    let log = "id , when,\u{3000}state,closed,who\n A ,2026-01-01 10:00 ,\"New \", ,\u{a0}zhangsan\u{3000}\nA, 2026-01-01 12:00,\tNew\u{a0}, - ,zhangsan\n\
               A,2026-01-01 13:00, Done ,2026-01-01 13:00,- \n";
    let text = mapping(
        "people = [\"who\"]",
        "\"%Y-%m-%d %H:%M\"",
        "UTC",
        "---[times]\nclosed = \"closed\"\n[states]\n\" Done\" = \"closed\"",
    );
    let directory = imported(log, &text, 3);
    let report = report(directory.path());
    assert_eq!(
        (&report["rows_by_state"], &report["cases"]),
        (&json!({ "New": 2, "Done": 1 }), &json!(1)),
        "{report}"
    );
    let people: Vec<Value> = members(directory.path(), "A", "columns")
        .into_iter()
        .map(|kept| kept["who"].clone())
        .collect();
    assert!(
        people[0].is_string() && people[0] == people[1] && people[2].is_null(),
        "names with and without blanks are one person: {people:?}"
    );
    assert_eq!(
        members(directory.path(), "A", "phase"),
        ["open", "open", "closed"]
    );
}

/// An import mapping (the description of the log) may contain several time formats. For each time, the
/// import uses the first format that matches (cases/real-files-and-clients.md, case 11;
/// cases/first-use.md, section 4).
#[test]
fn time_formats_are_tried_in_order() {
    let log = "id,when,state,closed\nA,28/02/2026 10:00:00,New,-\nA,2026-02-28 12:00:00,Done,28.02.2026\nA,gestern,Done,-\n";
    let text = mapping(
        "",
        "[\"%d/%m/%Y %H:%M:%S\", \"%Y-%m-%d %H:%M:%S\"]",
        "UTC",
        "---[times]\nclosed = { column = \"closed\", format = \"%d.%m.%Y\" }",
    );
    let directory = tempfile::tempdir().unwrap();
    let printed = import(directory.path(), log, &text, &[]).all;
    assert!(
        printed.contains("2 imported, 0 duplicate, 1 rejected")
            && printed.contains("line 4 rejected"),
        "{printed}"
    );
    assert!(
        printed.contains("%d/%m/%Y %H:%M:%S or %Y-%m-%d %H:%M:%S"),
        "the message names both formats: {printed}"
    );
    assert_eq!(
        report(directory.path())["dwell_minutes_by_state"],
        json!({ "New": 120 })
    );
    let printed = import(
        directory.path(),
        log,
        &mapping("", "\"DD/MM/YYYY\"", "UTC", ""),
        &[],
    );
    assert!(
        !printed.is_ok && printed.all.contains("DD/MM/YYYY") && printed.all.contains("rfc3339"),
        "{}",
        printed.all
    );
}

/// An import mapping (the description of the log) can join columns, set constants and default values, and
/// replace values. The mapping can also read numbers with a decimal comma and ignore rows
/// (cases/first-use.md, section 4).
#[test]
fn a_mapping_joins_replaces_and_ignores_values() {
    let log = "id,date,time,status,sub,prio,hours,kind,titel\nA,2026-01-01,10:00,Pending,Vendor,1,\"1,5\",x,Drucker\nA,2026-01-01,11:00,Pending,,,\"1.000,00\",x,Drucker\n\
               A,2026-01-01,12:00,Done,,7,0,comment,Drucker\nA,2026-01-01,12:30,Done,,7,\"0,001\",x,Drucker\n";
    let text = "source = \"LOG\"\ndecimal = \",\"\n[columns]\ncase = \"id\"\ntime = [\"date\", \"time\"]\nstate = [\"status\", \"sub\"]\ntitle = \"titel\"\n\
                group = { value = \"Service Desk\" }\npriority = { column = \"prio\", values = { \"1\" = \"High\" }, default = \"Medium\" }\n\
                [time]\nformat = \"%Y-%m-%d %H:%M\"\n[states]\n\"Pending / Vendor\" = \"waiting\"\n[numbers]\nminutes = { column = \"hours\", factor = 60 }\n\
                [ignore]\nkind = [\"comment\"]\n";
    let directory = tempfile::tempdir().unwrap();
    let printed = import(directory.path(), log, text, &[]).all;
    assert!(
        printed.contains("2 imported, 0 duplicate, 1 rejected, 1 ignored")
            && printed.contains("line 5 rejected: minutes \"0,001\""),
        "{printed}"
    );
    assert_eq!(
        report(directory.path())["rows_by_state"],
        json!({ "Pending": 1, "Pending / Vendor": 1 })
    );
    for (member, values) in [
        ("phase", [json!("waiting"), json!("open")]),
        ("group", [json!("Service Desk"), json!("Service Desk")]),
        ("priority", [json!("High"), json!("Medium")]),
        (
            "numbers",
            [json!({ "minutes": 90 }), json!({ "minutes": 60_000 })],
        ),
        ("title", [json!("Drucker"), json!("Drucker")]),
    ] {
        assert_eq!(members(directory.path(), "A", member), values, "{member}");
    }
    for (key, wrong) in [
        ("values", "vaules"),
        ("decimal", "decimals"),
        ("factor", "faktor"),
        ("[ignore]", "[ignored]"),
    ] {
        let printed = import(directory.path(), log, &text.replace(key, wrong), &[]);
        assert!(
            !printed.is_ok && printed.all.contains(wrong.trim_matches(['[', ']'])),
            "{}",
            printed.all
        );
    }
    let printed = import(
        directory.path(),
        log,
        &text
            .replace("\"titel\"", "\"title\"")
            .replace("\"sub\"", "\"subs\""),
        &[],
    )
    .all;
    assert!(
        printed.contains("\"subs\"")
            && printed.contains("\"title\"")
            && printed.contains("it has: id, date, time"),
        "{printed}"
    );
}

/// The import mapping (the description of the log) lists columns with user names under `people`. Such a
/// column may contain several user names. A semicolon or a full-width punctuation mark separates the names
/// (cases/crossings.md, case 2).
#[test]
fn full_width_separators_separate_user_names() {
    for text in [
        "zhangsan，wangwu",
        "zhangsan、wangwu",
        "zhangsan；wangwu",
        "zhangsan;wangwu",
        "\"zhangsan, wangwu\"",
    ] {
        let log = format!(
            "id,when,state,who,by\nA,2026-01-01 10:00,New,{text},zhangsan\nB,2026-01-01 10:00,New,wangwu,zhangsan\n"
        );
        let directory = imported(
            log,
            &mapping(
                "people = [\"who\"]",
                "\"%Y-%m-%d %H:%M\"",
                "UTC",
                "actor = \"by\"",
            ),
            2,
        );
        let (first, second) = (
            &rows(directory.path(), "A")[0],
            &rows(directory.path(), "B")[0],
        );
        let expected = format!(
            "{},{}",
            first["actor"].as_str().unwrap(),
            second["columns"]["who"].as_str().unwrap()
        );
        assert_eq!(first["columns"]["who"], expected, "{text}");
    }
}

/// The import rejects a row of 128 MiB and uses less than 100 MiB of memory for the whole file
/// (cases/hostile-and-broken.md, case 20).
#[test]
fn an_over_long_record_is_rejected_with_little_memory() {
    const BYTES: usize = 128 << 20;
    const PEAK_KIB_MAX: u64 = 100 << 10;
    let directory = tempfile::tempdir().unwrap();
    let (file, toml) = (
        directory.path().join("log.csv"),
        directory.path().join("mapping.toml"),
    );
    let mut log = b"id,when,state\nA,2026-01-01 10:00,New\nB,2026-01-01 10:00,".to_vec();
    log.resize(log.len() + BYTES, b'x');
    log.extend(b"\nC,2026-01-01 10:00,New\n");
    std::fs::write(&file, &log).unwrap();
    drop(log);
    std::fs::write(&toml, plain()).unwrap();
    let mut child = Command::new(program())
        .args([
            "import",
            file.to_str().unwrap(),
            "--mapping",
            toml.to_str().unwrap(),
            "--data",
            directory.path().join("data").to_str().unwrap(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak: u64 = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        });
        peak = peak.max(high.unwrap_or_default());
        std::thread::yield_now();
    }
    let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(
        printed.contains("line 3 rejected")
            && printed.contains("2 imported, 0 duplicate, 1 rejected"),
        "{printed}"
    );
    assert!(
        (1..PEAK_KIB_MAX).contains(&peak),
        "{peak} KiB for a record of {} KiB",
        BYTES >> 10
    );
}

/// A log is rejected if two of its columns have the same name. The import mapping (the description of the
/// log) would otherwise be ambiguous (cases/hostile-and-broken.md, case 20).
#[test]
fn two_columns_with_one_name_are_rejected_by_name() {
    let directory = tempfile::tempdir().unwrap();
    for header in [
        "id,when,state,state",
        "id,when,state, state ",
        "id,when,\"state\",\u{3000}state",
        "id,when,state,extra,extra",
    ] {
        let printed = import(
            directory.path(),
            format!("{header}\nA,2026-01-01 10:00,New,Old\n"),
            &plain(),
            &[],
        );
        let name = header.rsplit(',').next().unwrap().trim();
        assert!(
            !printed.is_ok && printed.all.contains(&format!("named {name:?}")),
            "{header}: {}",
            printed.all
        );
    }
    assert!(
        !directory.path().join("data").exists(),
        "an unreadable log creates no desk"
    );
}

/// A log is rejected if a quoted value has no closing quotation mark, because the value would contain all
/// following rows (cases/hostile-and-broken.md, case 20).
#[test]
fn an_unclosed_quote_is_rejected_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let printed = import(
        directory.path(),
        "id,when,state\nA,2026-01-01 10:00,New\nB,2026-01-01 10:00,\"New\nC,2026-01-01 10:00,New\n",
        &plain(),
        &[],
    )
    .all;
    assert!(
        printed.contains("line 3 rejected") && printed.contains("quote that opens on line 3"),
        "{printed}"
    );
    assert!(
        printed.contains("1 imported, 0 duplicate, 1 rejected"),
        "{printed}"
    );
    let printed = import(
        directory.path(),
        "id,when,\"state\nA,2026-01-01 10:00,New\n",
        &plain(),
        &[],
    );
    assert!(
        !printed.is_ok && printed.all.contains("quote that opens on line 1"),
        "{}",
        printed.all
    );
}

/// If an import stores no row, its exit code is not 0 (cases/first-use.md, section 4).
#[test]
fn an_import_without_a_valid_row_fails() {
    let directory = tempfile::tempdir().unwrap();
    let (good, mixed) = (
        "id,when,state\nA,2026-01-01 10:00,New\n",
        "id,when,state\nA,2026-01-01 10:00,New\nB,bad,New\n",
    );
    let printed = import(
        directory.path(),
        "id,when,state\nA,bad,New\nB,bad,New\n",
        &plain(),
        &[],
    );
    assert!(
        !printed.is_ok
            && printed.all.contains("0 imported, 0 duplicate, 2 rejected")
            && printed.all.contains("no row could be imported"),
        "{}",
        printed.all
    );
    assert!(import(directory.path(), good, &plain(), &["--strict"]).is_ok);
    assert!(
        import(directory.path(), good, &plain(), &["--strict"]).is_ok,
        "duplicates are no failure"
    );
    assert!(
        import(directory.path(), mixed, &plain(), &[]).is_ok,
        "some rows are good"
    );
    let printed = import(directory.path(), mixed, &plain(), &["--strict"]);
    assert!(
        !printed.is_ok && printed.all.contains("--strict"),
        "{}",
        printed.all
    );
    for (log, word) in [("", "empty"), ("\n\r\n", "empty"), ("\u{feff}", "empty")] {
        let printed = import(directory.path(), log, &plain(), &[]);
        assert!(
            !printed.is_ok && printed.all.contains(word),
            "{log:?}: {}",
            printed.all
        );
    }
    let printed = import(directory.path(), "id,when,state\n", &plain(), &[]);
    assert!(
        printed.is_ok && printed.all.contains("no rows"),
        "{}",
        printed.all
    );
}

/// An import with `--dry-run` writes the rejected rows to a file and prints a JSON summary. It does not
/// create a desk (cases/first-use.md, section 4).
#[test]
fn a_dry_run_reports_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (data, rejected) = (
        directory.path().join("data"),
        directory.path().join("rejected.csv"),
    );
    let log = "id,when,state\r\nA,2026-01-01 10:00,New\r\nB,bad,\"New, \"\"x\"\"\"\r\nC,2026-01-01 10:00\r\n";
    let more = [
        "--dry-run",
        "--json",
        "--rejected",
        rejected.to_str().unwrap(),
    ];
    let printed = import(directory.path(), log, &plain(), &more);
    assert!(printed.is_ok && !data.exists(), "{}", printed.all);
    let summary: Value = serde_json::from_str(&printed.out)
        .unwrap_or_else(|error| panic!("{error}: {}", printed.all));
    let counted = |summary: &Value| {
        ["rows", "imported", "duplicate", "rejected"].map(|name| summary[name].as_u64())
    };
    assert_eq!(
        counted(&summary),
        [Some(3), Some(1), Some(0), Some(2)],
        "{summary}"
    );
    assert_eq!(
        (
            &summary["rejections"][0]["line"],
            &summary["rejections"][1]["line"]
        ),
        (&json!(3), &json!(4)),
        "{summary}"
    );
    let rows = std::fs::read_to_string(&rejected).unwrap();
    let lines: Vec<&str> = rows.lines().collect();
    assert!(
        lines.len() == 3
            && lines[0] == "line,reason,id,when,state"
            && lines[1].starts_with("3,")
            && lines[1].ends_with(",B,bad,\"New, \"\"x\"\"\""),
        "{rows}"
    );
    assert!(
        lines[2].starts_with("4,") && lines[2].ends_with(",C,2026-01-01 10:00"),
        "{rows}"
    );

    assert!(
        !import(directory.path(), log, &plain(), &["--dry-run", "--strict"]).is_ok
            && !data.exists()
    );
    assert!(import(directory.path(), log, &plain(), &[]).is_ok);
    let printed = import(directory.path(), log, &plain(), &["--dry-run", "--json"]);
    assert_eq!(
        counted(&serde_json::from_str(&printed.out).unwrap()),
        [Some(3), Some(0), Some(1), Some(2)],
        "the desk has the row: {}",
        printed.all
    );
    let over = directory.path().join("log.csv");
    assert!(
        !import(
            directory.path(),
            log,
            &plain(),
            &["--rejected", over.to_str().unwrap()]
        )
        .is_ok
    );
    assert_eq!(
        std::fs::read_to_string(&over).unwrap(),
        log,
        "the log is never overwritten"
    );
    let over = directory.path().join("mapping.toml");
    assert!(
        !import(
            directory.path(),
            log,
            &plain(),
            &["--rejected", over.to_str().unwrap()]
        )
        .is_ok
    );
    assert_eq!(
        std::fs::read_to_string(&over).unwrap(),
        plain(),
        "the mapping is unchanged"
    );
}

/// Some logs have no columns with the times at which an incident was opened, resolved and closed. For such a
/// log, the import mapping (the description of the log) can assign a phase, for example `resolved`, to each
/// state. The incident report then computes the missing times from the phases (cases/first-use.md, section
/// 4).
#[test]
fn a_report_derives_missing_times_from_phases() {
    let log = "id,when,state\nA,2026-01-05 10:00,New\nA,2026-01-05 11:00,Done\nA,2026-01-05 12:00,New\nA,2026-01-05 13:00,Done\nA,2026-01-06 10:00,Shut\nB,2026-01-06 10:00,New\n";
    let directory = imported(
        log,
        &mapping(
            "",
            "\"%Y-%m-%d %H:%M\"",
            "UTC",
            "---[states]\nDone = \"resolved\"\nShut = \"closed\"",
        ),
        6,
    );
    let report = report(directory.path());
    let [resolution, closure] = [
        "resolution_minutes_opened_to_resolved",
        "closure_minutes_opened_to_closed",
    ]
    .map(|name| (report[name]["n"].clone(), report[name]["sum"].clone()));
    assert_eq!(
        (resolution, closure),
        ((json!(1), json!(60)), (json!(1), json!(1440))),
        "{report}"
    );
    assert_eq!(report["opened_by_iso_weekday"], json!({ "1": 1, "2": 1 }));
    assert_eq!(
        report["times_from_phases_by_source"],
        json!({ "LOG": "opened, resolved, closed" })
    );
}

/// An incident report without incidents consists of one line (cases/first-use.md, section 4).
#[test]
fn a_report_without_incidents_has_one_line() {
    let directory = tempfile::tempdir().unwrap();
    // The import of a log without rows creates a desk without tickets.
    assert!(import(directory.path(), "id,when,state\n", &plain(), &[]).is_ok);
    for name in ["incidents", "desk"] {
        let printed = ledgerdesk(&[
            "report",
            name,
            "--data",
            directory.path().join("data").to_str().unwrap(),
        ]);
        assert!(
            printed.is_ok && printed.out.lines().count() == 1 && printed.out.contains("nothing"),
            "{name}: {}",
            printed.all
        );
    }
}

/// If an imported incident has an unknown time zone, the incident report names this time zone and still
/// counts the incident (cases/crossings.md, case 3).
#[test]
fn an_unknown_zone_is_named_in_the_report() {
    let mut log = IncidentLog::default();
    for (case, zone) in [("A", ""), ("B", "Mars/Olympus")] {
        let at = Moment(1_767_232_800_000);
        let observed = RowImported {
            occurred_at: at,
            source: "LOG".into(),
            case: case.into(),
            state: "New".into(),
            zone: zone.into(),
            times: BTreeMap::from([("opened".to_owned(), at)]),
            ..RowImported::default()
        };
        let stream = format!("ticket-LOG-{case}");
        log.fold(&Envelope {
            stream,
            sequence: 1,
            at,
            occurred_at: Some(at),
            meta: Meta::system("test", "test"),
            event: observed.into(),
        });
    }
    assert_eq!(
        functions::app::reports::incidents(&log)["opened_by_iso_weekday"],
        json!({ "4": 1, "unknown zone Mars/Olympus": 1 })
    );
}

/// The example in docs/importing.md can be run without a change (cases/first-use.md, section 4).
#[test]
fn the_example_of_the_guide_runs_unchanged() {
    let guide = std::fs::read_to_string(root().join("docs/importing.md")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut commands = String::new();
    for block in guide.split("\n```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').unwrap();
        if let Some(name) = kind.split("file=").nth(1) {
            std::fs::write(directory.path().join(name), text).unwrap();
        } else if kind == "sh run" {
            commands.push_str(text);
            commands.push('\n');
        }
    }
    let folder = program().parent().unwrap().to_owned();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    )))
    .unwrap();
    let output = Command::new("sh")
        .args(["-e", "-c", &commands])
        .current_dir(directory.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for expected in [
        "5 imported, 0 duplicate, 1 rejected, 1 ignored",
        "0 imported, 5 duplicate, 1 rejected, 1 ignored",
        "Wartet / Lieferant",
        "\"minutes\":90",
    ] {
        assert!(
            printed.contains(expected),
            "{expected} is missing in {printed}"
        );
    }
    assert!(directory.path().join("rejected.csv").exists());
}

/// The id of a case (an incident in the log) is a part of its stream name. If the id is too long for a
/// stream name, the import rejects the row and continues with the next rows
/// (cases/real-files-and-clients.md, case 8).
#[test]
fn a_case_id_of_many_blanks_rejects_only_its_row() {
    let directory = tempfile::tempdir().unwrap();
    for (case, named) in [
        ("x ".repeat(63) + "xx", 256),
        ("%".repeat(128), 256),
        (format!("a{}b", "\u{a0}".repeat(60)), 256),
        ("工".repeat(43), 128),
    ] {
        let log = format!(
            "id,when,state\nA,2026-01-01 10:00,New\n{case},2026-01-01 10:00,New\nB,2026-01-01 10:00,New\n"
        );
        let printed = import(directory.path(), log, &plain(), &[]);
        assert!(
            printed.is_ok
                && printed.all.contains("line 3 rejected: case id")
                && printed.all.contains(&named.to_string()),
            "{case}: {}",
            printed.all
        );
        assert!(
            printed.all.contains("1 rejected") && !rows(directory.path(), "B").is_empty(),
            "{case}: {}",
            printed.all
        );
    }
    imported(
        format!(
            "id,when,state\n{},2026-01-01 10:00,New\n",
            "x ".repeat(50) + "x"
        ),
        &plain(),
        1,
    );
}

/// A log may contain columns that the import mapping (the description of the log) does not use. A row is
/// imported even if such a column contains a very long text (cases/first-use.md, section 4).
#[test]
fn unmapped_columns_may_be_long() {
    let long = "x".repeat(200_000);
    let log = format!(
        "id,when,state,description\nA,2026-01-01 10:00,New,{long}\nB,2026-01-01 10:00,New,short\n"
    );
    imported(&log, &plain(), 2);
    let directory = tempfile::tempdir().unwrap();
    let printed = import(
        directory.path(),
        &log,
        &mapping("", "\"%Y-%m-%d %H:%M\"", "UTC", "title = \"description\""),
        &[],
    )
    .all;
    assert!(
        printed.contains("line 2 rejected: is too long for an event")
            && printed.contains("1 imported, 0 duplicate, 1 rejected"),
        "{printed}"
    );
}

/// Spreadsheet programs write additional delimiters at the end of some rows. The import ignores these
/// delimiters (cases/real-files-and-clients.md, case 9).
#[test]
fn delimiters_after_the_last_value_are_ignored() {
    let row = "A,2026-01-01 10:00,New";
    for (header, ends) in [
        ("id,when,state", [",", ",,, ", ""]),
        ("id,when,state,", [",", "", ",,"]),
        ("id,when,state,,", ["", ",", ",,"]),
    ] {
        let log: String = std::iter::once(header.to_owned())
            .chain(ends.iter().map(|end| format!("{row}{end}")))
            .collect::<Vec<_>>()
            .join("\n");
        let directory = imported(&log, &plain(), 3);
        let again = import(
            directory.path(),
            format!("{header}\n{row}\n{row}\n{row}\n"),
            &plain(),
            &[],
        )
        .all;
        let rejected = import(
            directory.path(),
            format!("{header}\nB,2026-01-01 10:00\nB,2026-01-01 10:00,New,,,,x\n"),
            &plain(),
            &[],
        )
        .all;
        assert!(
            again.contains(" 0 imported, 3 duplicate, 0 rejected"),
            "the same rows by their texts, {header}: {again}"
        );
        assert!(
            rejected.contains("line 2 rejected: has 2 values, the header has")
                && rejected.contains("line 3 rejected"),
            "{header}: {rejected}"
        );
    }
}

/// Some time formats in an import mapping (the description of the log) can never produce a complete time.
/// The import reports such a format once as an error of the mapping, not as an error of each row
/// (cases/real-files-and-clients.md, case 11).
#[test]
fn a_format_that_reads_no_time_is_a_mapping_error() {
    let directory = tempfile::tempdir().unwrap();
    for format in [
        "%q",
        "%Y-%m-%d %K:%M",
        "%c",
        "%H:%M",
        "%Y-%m",
        "%Y-%m-%d %I:%M",
    ] {
        let printed = import(
            directory.path(),
            "id,when,state\nA,2026-01-01 10:00,New\n",
            &mapping("", &format!("{format:?}"), "UTC", ""),
            &[],
        );
        assert!(
            !printed.is_ok
                && printed
                    .all
                    .contains(&format!("format {format:?} cannot read a time")),
            "{format}: {}",
            printed.all
        );
    }
    let printed = import(
        directory.path(),
        "id,when,state\nA,2026-01-01 10:00,New\n",
        &mapping("", "\"%Y-%m-%d %H:%M\"", "UTC+8", ""),
        &[],
    )
    .all;
    assert!(
        printed.contains("\"UTC+8\"") && printed.contains("Asia/Shanghai"),
        "{printed}"
    );
    assert!(
        !directory.path().join("data").exists(),
        "an invalid mapping creates no desk"
    );
}

/// A row is rejected if its time does not match the time format of the import mapping (the description of
/// the log). For example, a year with two digits is rejected if the format requires a year with four
/// digits (cases/real-files-and-clients.md, case 6).
#[test]
fn a_time_in_another_format_is_rejected_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    for (format, text, word) in [
        ("%d.%m.%Y", "28.02.26", "%y"),
        ("%Y-%m-%d", "0001-01-01", "1900"),
        ("epoch_ms", "1767232800", "%s"),
    ] {
        let printed = import(
            directory.path(),
            format!("id,when,state\nA,{text},New\n"),
            &mapping("", &format!("{format:?}"), "UTC", ""),
            &[],
        );
        assert!(
            !printed.is_ok && printed.all.contains("line 2 rejected") && printed.all.contains(word),
            "{text}: {}",
            printed.all
        );
    }
    let log = "id,when,state\nA,28.02.2026,New\nA,01.03.26,Work\nA,2026/3/1 下午3:05,Work\nA,2026/3/1 3:06 p.m.,Done\n";
    let directory = imported(
        log,
        &mapping(
            "",
            "[\"%d.%m.%Y\", \"%d.%m.%y\", \"%Y/%m/%d %p%I:%M\", \"%Y/%m/%d %I:%M %p\"]",
            "UTC",
            "",
        ),
        4,
    );
    assert_eq!(
        report(directory.path())["dwell_minutes_by_state"],
        json!({ "New": 1440, "Work": 906 })
    );
}

/// If the import cannot read a log file, the error message names the encoding or the file format that the
/// file really has (cases/real-files-and-clients.md, case 10).
#[test]
fn the_message_names_the_actual_encoding_of_a_file() {
    let utf_16 = |text: &str, little: bool| -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| {
                if little {
                    unit.to_le_bytes()
                } else {
                    unit.to_be_bytes()
                }
            })
            .collect()
    };
    let directory = tempfile::tempdir().unwrap();
    for header in ["id,when,state,标题", "标题,id,when,state"] {
        for (little, name) in [(true, "utf-16le"), (false, "utf-16be")] {
            let log = utf_16(&format!("{header}\nA,A,2026-01-01 10:00,New\n"), little);
            let printed = import(directory.path(), log, &plain(), &[]);
            assert!(
                !printed.is_ok && printed.all.contains(&format!("encoding = {name:?}")),
                "{header}: {}",
                printed.all
            );
        }
    }
    for (bytes, word) in [
        (&b"\xd0\xcf\x11\xe0\xa1\xb1"[..], "spreadsheet"),
        (&b"\xfd7zXZ\0"[..], "xz"),
        (&b"\x28\xb5\x2f\xfd"[..], "zstd"),
    ] {
        let printed = import(directory.path(), bytes, &plain(), &[]);
        assert!(
            !printed.is_ok && printed.all.contains(word),
            "{word}: {}",
            printed.all
        );
    }
    let marked = b"\x84\x31\x95\x33id,when,state\nA,2026-01-01 10:00,\xb4\xf2\xd3\xa1\xbb\xfa\n";
    assert_eq!(
        members(imported(marked, &plain(), 1).path(), "A", "state"),
        ["打印机"],
        "the byte order mark of GB18030"
    );
    for name in ["utf_8_sig", "cp65001"] {
        imported(
            "id,when,state\nA,2026-01-01 10:00,New\n",
            &mapping(
                &format!("encoding = {name:?}"),
                "\"%Y-%m-%d %H:%M\"",
                "UTC",
                "",
            ),
            1,
        );
    }
}

/// Two column names are treated as equal if they differ only in the number of blanks between words
/// (cases/real-files-and-clients.md, case 11).
#[test]
fn repeated_blanks_in_a_column_name_count_as_one() {
    for name in [
        "my state",
        "my  state",
        "my\u{a0}state",
        "\"my\r\nstate\"",
        "\"my\tstate \"",
    ] {
        let text = plain().replace("state = \"state\"", "state = \"my  state\"");
        let directory = imported(
            format!("id,when,{name}\nA,2026-01-01 10:00,New\n"),
            &text,
            1,
        );
        assert_eq!(members(directory.path(), "A", "state"), ["New"], "{name:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let printed = import(
        directory.path(),
        "id,When,state\nA,2026-01-01 10:00,New\n",
        &plain(),
        &[],
    );
    assert!(
        !printed.is_ok
            && printed
                .all
                .contains("\"when\" differs from \"When\" in the case"),
        "{}",
        printed.all
    );
}

/// If a gzip file is truncated, the import stores the complete rows that it can read. A later import of the
/// whole file adds the remaining rows (cases/hostile-and-broken.md, case 20).
#[test]
fn the_whole_gzip_file_continues_the_import_of_a_truncated_one() {
    let directory = tempfile::tempdir().unwrap();
    let log: String = (0..8000)
        .map(|row| {
            format!(
                "C{},2026-01-01 10:{:02},S{}\n",
                row % 500,
                row % 60,
                row * 7919 % 1009
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let plain_file = directory.path().join("plain.csv");
    std::fs::write(&plain_file, format!("id,when,state\n{log}")).unwrap();
    let packed = Command::new("gzip")
        .args(["-c", plain_file.to_str().unwrap()])
        .output()
        .unwrap()
        .stdout;
    let printed = import(directory.path(), &packed[..packed.len() / 2], &plain(), &[]);
    assert!(
        !printed.is_ok
            && printed.all.contains("gzip")
            && printed
                .all
                .contains("rows were imported before the import stopped"),
        "{}",
        printed.all
    );
    assert!(printed.all.contains("from line "), "{}", printed.all);
    let taken = report(directory.path())["rows"].as_u64().unwrap();
    assert!(
        (1..8000).contains(&taken) && printed.all.contains(&format!("{taken} rows were imported")),
        "{taken}: {}",
        printed.all
    );
    let printed = import(directory.path(), &packed, &plain(), &[]).all;
    assert!(
        printed.contains(&format!(
            "{} imported, {taken} duplicate, 0 rejected",
            8000 - taken
        )),
        "{printed}"
    );
}
