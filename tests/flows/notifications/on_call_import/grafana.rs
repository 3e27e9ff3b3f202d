//! These tests check the import from Grafana OnCall.

use functions::app::notifications::on_call::import;
use serde_json::{Value, json};

use super::super::Channels;
use super::{line, on_call, read, steps};

#[tokio::test]
async fn an_export_of_grafana_on_call_becomes_chains_and_rotas() {
    let export = json!({
        "users": [
            { "id": "U1", "username": "zhangsan", "email": "zhangsan@example.com" },
            { "id": "U2", "username": "wangwu" },
        ],
        "schedules": { "count": 2, "results": [
            { "id": "S1", "name": "Primary", "type": "web", "time_zone": "Asia/Shanghai", "shifts": ["O1", "O2"] },
            { "id": "S2", "name": "Feed", "type": "ical", "ical_url_primary": "https://example.com/a.ics" },
        ] },
        "on_call_shifts": [
            { "id": "O1", "name": "weekly", "type": "rolling_users", "level": 0, "start": "2026-11-16T09:00:00",
              "duration": 604_800, "frequency": "weekly", "interval": 1, "by_day": null,
              "rolling_users": [["U1"], ["U2"]], "start_rotation_from_user_index": 0 },
            { "id": "O2", "name": "monthly", "type": "rolling_users", "start": "2026-11-16T09:00:00",
              "duration": 3_600, "frequency": "monthly", "rolling_users": [["U1"]] },
        ],
        "escalation_chains": [{ "id": "F1", "name": "default" }],
        "escalation_policies": [
            { "id": "E2", "escalation_chain_id": "F1", "position": 1, "type": "wait", "duration": 300 },
            { "id": "E1", "escalation_chain_id": "F1", "position": 0, "type": "notify_on_call_from_schedule", "notify_on_call_from_schedule": "S1" },
            { "id": "E3", "escalation_chain_id": "F1", "position": 2, "type": "notify_persons", "persons_to_notify": ["U2"] },
            { "id": "E4", "escalation_chain_id": "F1", "position": 3, "type": "trigger_webhook", "action_to_trigger": "A1" },
            { "id": "E5", "escalation_chain_id": "F1", "position": 4, "type": "repeat_escalation" },
        ],
    });
    let import = import::read(&export.to_string(), &[]).unwrap();
    assert_eq!(line(&import, "user", "wangwu").0, "mapped");
    assert_eq!(line(&import, "on_call_shift", "weekly").0, "mapped");
    let (outcome, text) = line(&import, "on_call_shift", "monthly");
    assert!(outcome == "skipped" && text.contains("monthly"), "{text}");
    assert_eq!(line(&import, "schedule", "Primary").0, "partly");
    assert_eq!(line(&import, "schedule", "Feed").0, "skipped");
    let (outcome, text) = line(&import, "escalation_chain", "default");
    assert!(
        outcome == "partly" && text.contains("trigger_webhook"),
        "{text}"
    );
    let channels = Channels::open_with("").await;
    import.on_call.check(&channels.desk.app, &[]).await.unwrap();
    import.on_call.store(&channels.desk.app).await.unwrap();
    channels.desk.settle().await;
    let rota = channels
        .get("rotas/primary?at=2026-11-24T02:00:00Z", "lisi")
        .await;
    assert_eq!(rota["on_call"], json!(["wangwu"]));
    let chain = channels.get("escalation-chains/default", "lisi").await;
    assert_eq!(chain["repeat"], 5);
    let steps = chain["steps"].as_array().expect("steps");
    let shown = |number: usize, key: &str| steps[number][key].clone();
    assert_eq!(
        (shown(0, "kind"), shown(0, "wait_minutes")),
        (json!("rota"), json!(0))
    );
    assert_eq!(
        (shown(1, "targets"), shown(1, "wait_minutes")),
        (json!(["wangwu"]), json!(5))
    );
}

/// Returns an export of Grafana OnCall with one schedule that has one shift. The three users are zhangsan, wangwu and
/// lisi.
fn with_shift(kind: &str, shift: &Value) -> Value {
    let mut full = json!({
        "id": "O1", "name": "shift", "type": "rolling_users", "time_zone": null, "level": 1, "interval": 1,
        "until": null, "by_day": null, "by_month": null, "by_monthday": null, "start_rotation_from_user_index": 0,
        "schedule": "S1",
    });
    for (key, value) in shift.as_object().expect("an object") {
        full[key] = value.clone();
    }
    json!({
        "users": [
            { "id": "U1", "username": "zhangsan" }, { "id": "U2", "username": "wangwu" }, { "id": "U3", "username": "lisi" },
        ],
        "schedules": [{ "id": "S1", "name": "ops", "type": kind, "time_zone": "Asia/Shanghai", "shifts": ["O1"] }],
        "on_call_shifts": [full],
    })
}

/// Times of shifts without a zone are in UTC in the web interface, and in the zone of the schedule for the type
/// `calendar`.
#[test]
fn the_type_of_a_schedule_gives_the_zone_of_its_shifts() {
    let shift = json!({
        "start": "2026-11-16T09:00:00", "rotation_start": "2026-11-16T09:00:00", "duration": 604_800,
        "frequency": "weekly", "week_start": "MO", "rolling_users": [["U1"], ["U2"]],
    });
    for (kind, before, after) in [
        ("web", "2026-11-23T08:59:59Z", "2026-11-23T09:00:00Z"),
        ("calendar", "2026-11-23T00:59:59Z", "2026-11-23T01:00:00Z"),
    ] {
        let import = read(&with_shift(kind, &shift));
        assert_eq!(line(&import, "on_call_shift", "shift").0, "mapped");
        assert_eq!(on_call(&import, "ops", before), "zhangsan", "{kind}");
        assert_eq!(on_call(&import, "ops", after), "wangwu", "{kind}");
    }
}

#[test]
fn shifts_of_grafana_on_call_keep_their_turns() {
    let work_days = json!(["MO", "TU", "WE", "TH", "FR"]);
    for (shift, expected) in [
        // The groups take turns from one selected day to the next. The first day is a Monday.
        (
            json!({ "start": "2026-11-16T09:00:00", "duration": 86_400, "frequency": "daily", "by_day": work_days,
                    "rolling_users": [["U1"], ["U2"], ["U3"]] }),
            vec![
                ("2026-11-16T10:00:00Z", "zhangsan"),
                ("2026-11-20T10:00:00Z", "wangwu"),
                ("2026-11-21T10:00:00Z", ""),
                ("2026-11-23T10:00:00Z", "lisi"),
                ("2026-11-24T10:00:00Z", "zhangsan"),
            ],
        ),
        // Turns change at the begin of the week, also if the first event is on a Wednesday.
        (
            json!({ "start": "2026-11-18T08:00:00", "duration": 36_000, "frequency": "weekly", "week_start": "MO",
                    "by_day": work_days, "rolling_users": [["U1"], ["U2", "U3"]] }),
            vec![
                ("2026-11-20T10:00:00Z", "zhangsan"),
                ("2026-11-20T18:00:00Z", ""),
                ("2026-11-23T10:00:00Z", "wangwu,lisi"),
            ],
        ),
        // A weekend from Friday evening to Monday morning.
        (
            json!({ "start": "2026-11-20T18:00:00", "duration": 226_800, "frequency": "weekly", "week_start": "MO",
                    "by_day": ["FR"], "rolling_users": [["U1"], ["U2"]] }),
            vec![
                ("2026-11-22T12:00:00Z", "zhangsan"),
                ("2026-11-23T08:59:59Z", "zhangsan"),
                ("2026-11-23T09:00:00Z", ""),
                ("2026-11-28T12:00:00Z", "wangwu"),
            ],
        ),
        // The day of `start` is not selected, so the first event is on the next selected day.
        (
            json!({ "start": "2026-11-21T09:00:00", "duration": 36_000, "frequency": "weekly", "week_start": "MO",
                    "by_day": ["MO"], "rolling_users": [["U1"], ["U2"]] }),
            vec![
                ("2026-11-21T10:00:00Z", ""),
                ("2026-11-23T10:00:00Z", "zhangsan"),
                ("2026-11-30T10:00:00Z", "wangwu"),
            ],
        ),
        // The turns are counted from `start`, and begin at `rotation_start`.
        (
            json!({ "start": "2026-11-02T09:00:00", "rotation_start": "2026-11-16T09:00:00", "duration": 604_800,
                    "frequency": "weekly", "week_start": "MO", "rolling_users": [["U1"], ["U2"], ["U3"]] }),
            vec![
                ("2026-11-10T10:00:00Z", ""),
                ("2026-11-16T10:00:00Z", "lisi"),
                ("2026-11-23T10:00:00Z", "zhangsan"),
            ],
        ),
        (
            json!({ "type": "single_event", "start": "2026-11-24T00:00:00", "duration": 10_800, "users": ["U1", "U2"] }),
            vec![
                ("2026-11-24T02:59:59Z", "zhangsan,wangwu"),
                ("2026-11-24T03:00:00Z", ""),
            ],
        ),
        (
            json!({ "type": "recurrent_event", "start": "2026-11-16T16:00:00", "duration": 10_800, "frequency": "weekly",
                    "week_start": "SU", "by_day": ["MO", "WE"], "users": ["U3"] }),
            vec![
                ("2026-11-18T17:00:00Z", "lisi"),
                ("2026-11-19T17:00:00Z", ""),
            ],
        ),
    ] {
        let import = read(&with_shift("web", &shift));
        for (at, people) in expected {
            assert_eq!(on_call(&import, "ops", at), people, "{at} {shift}");
        }
    }
}

#[test]
fn shifts_with_gaps_between_turns_are_skipped_with_a_reason() {
    for (shift, reason) in [
        (
            json!({ "frequency": "weekly", "interval": 2, "by_day": ["MO", "TU"], "duration": 36_000 }),
            "end before the next turn",
        ),
        (
            json!({ "frequency": "hourly", "duration": 1_800 }),
            "end before the next turn",
        ),
        (
            json!({ "frequency": "monthly", "duration": 1_800 }),
            "the frequency \"monthly\"",
        ),
        (
            json!({ "frequency": "daily", "by_month": [1], "duration": 1_800 }),
            "by month",
        ),
        (
            json!({ "frequency": "daily", "duration": 90 }),
            "whole minutes",
        ),
        (
            json!({ "frequency": "daily", "duration": 86_400, "until": "2026-11-01T00:00:00" }),
            "ends before",
        ),
        (
            json!({ "frequency": "daily", "duration": 86_400, "rolling_users": [["U9"]] }),
            "U9 is not in the file",
        ),
    ] {
        let mut shift = shift;
        shift["start"] = "2026-11-16T09:00:00".into();
        if shift.get("rolling_users").is_none() {
            shift["rolling_users"] = json!([["U1"], ["U2"]]);
        }
        let import = read(&with_shift("web", &shift));
        let (outcome, text) = line(&import, "on_call_shift", "shift");
        assert!(
            outcome == "skipped" && text.contains(reason),
            "{shift}: {text}"
        );
        assert_eq!(line(&import, "schedule", "ops").0, "skipped");
    }
}

/// The list of shifts of a schedule does not contain the overrides that people made in the web interface.
#[test]
fn an_override_of_the_web_interface_is_found_by_its_schedule() {
    let shift = json!({
        "start": "2026-11-16T09:00:00", "duration": 86_400, "frequency": "daily", "rolling_users": [["U1"]],
    });
    let mut export = with_shift("calendar", &shift);
    let replaced = json!({
        "id": "O2", "name": "swap", "type": "override", "schedule": "S1", "time_zone": null,
        "start": "2026-11-24T00:00:00", "rotation_start": "2026-11-24T00:00:00", "duration": 3_600, "users": ["U3"],
    });
    export["on_call_shifts"]
        .as_array_mut()
        .expect("shifts")
        .push(replaced);
    let import = read(&export);
    assert_eq!(line(&import, "on_call_shift", "swap").0, "mapped");
    assert_eq!(on_call(&import, "ops", "2026-11-24T00:30:00Z"), "lisi");
    assert_eq!(on_call(&import, "ops", "2026-11-24T01:00:00Z"), "zhangsan");
}

#[test]
fn a_chain_of_grafana_on_call_keeps_teams_and_the_pause_of_its_repetition() {
    let mut export = json!({
        "users": [
            { "id": "U1", "username": "zhangsan", "teams": ["T1"] }, { "id": "U2", "username": "wangwu", "teams": ["T1"] },
            { "id": "U3", "username": "lisi", "teams": [] },
        ],
        "teams": [{ "id": "T1", "grafana_id": 1, "name": "backend", "email": "" }],
        "escalation_chains": [{ "id": "F1", "name": "default", "team_id": null }],
        "escalation_policies": [
            { "id": "E1", "escalation_chain_id": "F1", "position": 0, "type": "notify_team_members", "team_to_notify": "T1", "important": true },
            { "id": "E2", "escalation_chain_id": "F1", "position": 1, "type": "wait", "duration": null },
            { "id": "E3", "escalation_chain_id": "F1", "position": 2, "type": "notify_persons", "persons_to_notify": ["U3"] },
            { "id": "E4", "escalation_chain_id": "F1", "position": 3, "type": "wait", "duration": 900 },
            { "id": "E5", "escalation_chain_id": "F1", "position": 4, "type": "repeat_escalation" },
        ],
    });
    let import = read(&export);
    assert_eq!(line(&import, "escalation_chain", "default").0, "mapped");
    let round = [(0, "team_backend".to_owned()), (5, "lisi".to_owned())];
    let found = steps(&import);
    assert_eq!((&found[..2], found.len()), (&round[..], 12));
    assert_eq!((found[2].0, found[3].0), (15, 5));
    assert_eq!(import.on_call.chains[0].repeat, 0);
    assert_eq!(
        on_call(&import, "team_backend", "2026-11-24T00:00:00Z"),
        "zhangsan,wangwu"
    );
    // After `resolve`, no step can be reached.
    export["escalation_policies"][1] = json!({
        "id": "E2", "escalation_chain_id": "F1", "position": 1, "type": "resolve",
    });
    let import = read(&export);
    assert_eq!(steps(&import).len(), 1);
    let (outcome, text) = line(&import, "escalation_chain", "default");
    assert!(outcome == "partly" && text.contains("resolve"), "{text}");
}

#[tokio::test]
async fn addresses_of_an_export_do_not_replace_the_addresses_of_a_person() {
    let channels = Channels::open_with("").await;
    let own = json!({ "language": "en", "addresses": { "email": "own@example.com" }, "quiet": { "from": "22:00", "to": "07:00" } });
    assert_eq!(channels.prefer("zhangsan", own).await.0, 200);
    let mut import = read(&json!({
        "users": [
            { "id": "U1", "username": "zhangsan", "email": "zhangsan@example.com", "slack": { "user_id": "U012AB3CD", "team_id": "T1" } },
            { "id": "U2", "username": "lisi@example.com", "email": "lisi@example.com", "slack": [{ "user_id": "U345EF6GH", "team_id": "T1" }] },
            { "id": "U3", "username": "wangwu", "email": "no address", "slack": null, "is_phone_number_verified": true },
        ],
        "escalation_chains": [],
        "personal_notification_rules": [{ "id": "N1", "user_id": "U1", "position": 0, "important": false, "type": "notify_by_sms" }],
    }));
    let (outcome, text) = line(&import, "user", "wangwu");
    assert!(
        outcome == "partly" && text.contains("kind email") && !text.contains("no address"),
        "{text}"
    );
    assert_eq!(
        line(&import, "personal_notification_rules", "U1").0,
        "skipped"
    );
    import.store(&channels.desk.app).await.unwrap();
    channels.desk.settle().await;
    let (outcome, text) = line(&import, "addresses", "zhangsan");
    assert!(outcome == "partly" && text.contains("kind email"), "{text}");
    assert_eq!(line(&import, "addresses", "lisi").0, "mapped");
    let stored = channels
        .get("people/zhangsan/preferences", "zhangsan")
        .await;
    assert_eq!(
        stored["addresses"],
        json!({ "email": "own@example.com", "slack": "U012AB3CD" })
    );
    assert_eq!(
        (&stored["language"], &stored["quiet"]["from"]),
        (&json!("en"), &json!("22:00"))
    );
    let stored = channels.get("people/lisi/preferences", "lisi").await;
    assert_eq!(
        stored["addresses"],
        json!({ "email": "lisi@example.com", "slack": "U345EF6GH" })
    );
}
