//! These tests run the command `ledgerdesk demo`. This command simulates one working day, on which the desk
//! works together with all other systems.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tests::foreign::installed;
use tests::process::{program, text};

/// Runs the command `demo` with 20 tickets. The command starts other programs, and searches for them in the
/// folders of `search_path`. `more` contains additional arguments.
fn demo(data: &Path, search_path: &str, more: &[&str]) -> Output {
    let mut command = Command::new(program());
    command
        .args(["demo", "--exit", "--tickets", "20"])
        .args(more)
        .arg("--data")
        .arg(data)
        .env("PATH", search_path);
    command.output().expect("the demo runs")
}

/// Returns the command lines of all running processes that contain the path `data`.
fn processes_with(data: &Path) -> BTreeSet<String> {
    let data = data.to_str().expect("a path");
    let all = std::fs::read_dir("/proc").expect("processes").flatten();
    let lines = all.filter_map(|process| {
        let bytes = std::fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    });
    lines.filter(|line| line.contains(data)).collect()
}

/// Returns the member `systems` of the output of `demo --json`. For each system that the demo used, such as
/// the mail relay, this member contains counters, such as the number of mails.
fn figures(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["verified"], true, "{report}");
    report["systems"].clone()
}

#[test]
fn the_demo_drives_every_system_with_real_programs() {
    let folder = tempfile::tempdir().expect("a directory");
    let data = folder.path().join("day");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", installed().display());
    let output = demo(&data, &path, &["--json"]);
    let systems = figures(&output);
    let expected = [
        ("external", "granted", 4),
        ("external", "refused", 2),
        ("cases", "tickets", 6),
        ("robots", "missions", 6),
        ("automation", "unlocked", 3),
        ("automation", "no_change", 1),
        ("automation", "rejected_approvals", 1),
        ("console", "votes", 3),
        ("console", "changed_lists", 3),
    ];
    for (system, figure, value) in expected {
        assert_eq!(
            systems[system][figure], value,
            "{system} {figure}: {systems}"
        );
    }
    assert!(systems["notified"]["mails"].as_u64() > Some(0), "{systems}");
    let lines = |member: &str| {
        systems["notified"][member]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let is_shown = |member: &str, part: &str| {
        let mut all = lines(member).into_iter();
        all.any(|line| line.as_str().is_some_and(|line| line.contains(part)))
    };
    assert!(is_shown("by_person", "approval_needed"), "{systems}");
    assert!(is_shown("held", "do_not_disturb"), "{systems}");
    assert!(is_shown("why", "wushi"), "{systems}");
    // In this test, the demo runs the real programs slapd, bubblewrap and mosquitto, so it replaces none of
    // them by a stand-in. The demo always simulates the second desk, the mail relay, the chat robot and the
    // vehicles.
    assert_eq!(systems["automation"]["stand_in"], "", "{systems}");
    let robots = systems["robots"]["stand_in"].as_str().expect("a text");
    assert!(!robots.contains("mosquitto"), "{robots}");
    assert_eq!(processes_with(&data), BTreeSet::new());
}

#[test]
fn the_demo_names_the_stand_in_of_each_missing_program() {
    let folder = tempfile::tempdir().expect("a directory");
    let (data, nothing) = (folder.path().join("day"), folder.path().join("nothing"));
    let output = demo(&data, nothing.to_str().expect("a path"), &[]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    for program in ["mosquitto", "slapd", "bubblewrap", "chromium"] {
        let line = printed
            .lines()
            .find(|line| line.contains("stand-in: ") && line.contains(program));
        assert!(line.is_some(), "no stand-in for {program} in: {printed}");
    }
    for system in [
        "external",
        "cases",
        "robots",
        "notified",
        "automation",
        "console",
        "tickets",
    ] {
        let line = printed
            .lines()
            .find(|line| line.trim_start().starts_with(system));
        assert!(
            line.is_some_and(|line| line.chars().any(|c| c.is_ascii_digit())),
            "no figures of {system} in: {printed}"
        );
    }
    assert!(printed.contains("audit verify: ok"), "{printed}");
    assert_eq!(processes_with(&data), BTreeSet::new());
}
