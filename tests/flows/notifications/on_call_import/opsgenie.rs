//! These tests check the import from Opsgenie.

use events::escalation_chain::Target;
use functions::app::notifications::on_call::import;
use serde_json::{Value, json};

use super::super::Channels;
use super::{line, on_call, read, steps};

#[tokio::test]
async fn an_export_of_opsgenie_becomes_chains_and_rotas() {
    let export = json!({
        "users": [{ "id": "u1", "username": "zhangsan@example.com" }, { "id": "u2", "username": "wangwu@example.com" }],
        "schedules": { "data": [{
            "id": "s1", "name": "ops", "timezone": "Asia/Shanghai", "enabled": true,
            "rotations": [
                { "id": "r1", "name": "daily", "startDate": "2026-11-16T01:00:00Z", "type": "daily", "length": 1,
                  "participants": [
                      { "type": "user", "id": "u1", "username": "zhangsan@example.com" },
                      { "type": "user", "id": "u2", "username": "wangwu@example.com" },
                  ],
                  "timeRestriction": { "type": "time-of-day", "restriction": { "startHour": 9, "startMin": 0, "endHour": 21, "endMin": 30 } } },
                { "id": "r2", "name": "team", "startDate": "2026-11-16T01:00:00Z", "type": "weekly", "participants": [{ "type": "team", "id": "t1" }] },
            ],
        }] },
        "escalations": [{
            "id": "e1", "name": "ops escalation",
            "rules": [
                { "condition": "if-not-acked", "notifyType": "default", "delay": { "timeAmount": 15, "timeUnit": "minutes" },
                  "recipient": { "type": "user", "username": "wangwu@example.com" } },
                { "condition": "if-not-acked", "notifyType": "default", "delay": { "timeAmount": 5, "timeUnit": "minutes" },
                  "recipient": { "type": "schedule", "id": "s1", "name": "ops" } },
                { "condition": "if-not-acked", "notifyType": "default", "delay": { "timeAmount": 20, "timeUnit": "minutes" },
                  "recipient": { "type": "team", "id": "t1" } },
            ],
            "repeat": { "waitInterval": 0, "count": 2 },
        }],
    });
    let import = import::read(&export.to_string(), &[]).unwrap();
    assert_eq!(line(&import, "rotation", "daily").0, "mapped");
    assert_eq!(line(&import, "rotation", "team").0, "skipped");
    let (outcome, text) = line(&import, "escalation", "ops escalation");
    assert!(
        outcome == "partly" && text.contains("after 20 minutes"),
        "{text}"
    );
    let channels = Channels::open_with("").await;
    import.on_call.check(&channels.desk.app, &[]).await.unwrap();
    import.on_call.store(&channels.desk.app).await.unwrap();
    channels.desk.settle().await;
    let rota = channels
        .get("rotas/ops?at=2026-11-17T02:00:00Z", "lisi")
        .await;
    assert_eq!(rota["on_call"], json!(["wangwu"]));
    let night = channels
        .get("rotas/ops?at=2026-11-17T14:00:00Z", "lisi")
        .await;
    assert_eq!(night["on_call"], json!([]));
    let chain = channels
        .get("escalation-chains/ops_escalation", "lisi")
        .await;
    assert_eq!(chain["repeat"], 2);
    let waits: Vec<&Value> = chain["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| &step["wait_minutes"])
        .collect();
    assert_eq!(waits, [&json!(5), &json!(10)]);
}

/// Returns an export of Opsgenie with one rotation of zhangsan and wangwu. The rotation begins on a Monday.
fn opsgenie() -> Value {
    let user = |name: &str| json!({ "type": "user", "id": format!("id-{name}"), "username": format!("{name}@example.com") });
    json!({
        "users": { "totalCount": 3, "data": [
            { "id": "id-zhangsan", "username": "zhangsan@example.com", "blocked": false },
            { "id": "id-wangwu", "username": "wangwu@example.com" },
            { "id": "id-lisi", "username": "lisi@example.com" },
        ], "paging": { "first": "https://api.opsgenie.example/v2/users?offset=0" } },
        "teams": [{ "data": { "id": "t1", "name": "backend", "members": [
            { "user": { "id": "id-zhangsan", "username": "zhangsan@example.com" }, "role": "admin" },
            { "user": { "id": "id-lisi", "username": "lisi@example.com" }, "role": "user" },
        ] } }],
        "schedules": { "data": [{
            "id": "s1", "name": "ops", "timezone": "Asia/Shanghai", "enabled": true, "ownerTeam": { "id": "t1", "name": "backend" },
            "rotations": [{
                "id": "r1", "name": "weekly", "startDate": "2026-11-16T01:00:00Z", "endDate": null, "type": "weekly", "length": 1,
                "participants": [user("zhangsan"), user("wangwu")], "timeRestriction": null,
            }],
        }] },
        "escalations": { "data": [{ "id": "e1", "name": "default", "rules": [
            { "condition": "if-not-acked", "notifyType": "default", "delay": { "timeAmount": 0, "timeUnit": "minutes" },
              "recipient": { "type": "schedule", "id": "s1", "name": "ops" } },
        ], "repeat": null }] },
    })
}

#[test]
fn restrictions_of_opsgenie_over_several_days_are_mapped() {
    let mut export = opsgenie();
    export["schedules"]["data"][0]["rotations"][0]["timeRestriction"] = json!({
        "type": "weekday-and-time-of-day",
        "restrictions": [
            { "startDay": "monday", "startHour": 8, "startMin": 0, "endDay": "tuesday", "endHour": 18, "endMin": 30 },
            { "startDay": "thursday", "startHour": 6, "startMin": 0, "endDay": "sunday", "endHour": 8, "endMin": 30 },
        ],
    });
    let import = read(&export);
    assert_eq!(line(&import, "rotation", "weekly").0, "mapped");
    for (at, expected) in [
        ("2026-11-16T09:00:00+08:00", "zhangsan"),
        ("2026-11-17T18:29:59+08:00", "zhangsan"),
        ("2026-11-17T18:30:00+08:00", ""),
        ("2026-11-19T06:00:00+08:00", "zhangsan"),
        ("2026-11-21T12:00:00+08:00", "zhangsan"),
        ("2026-11-22T08:30:00+08:00", ""),
        ("2026-11-23T09:00:00+08:00", "wangwu"),
    ] {
        assert_eq!(on_call(&import, "ops", at), expected, "{at}");
    }
}

#[test]
fn overrides_of_opsgenie_are_mapped() {
    let mut export = opsgenie();
    export["schedules"]["data"][0]["overrides"] = json!({ "data": [
        { "_parent": { "id": "s1", "name": "ops", "enabled": true }, "alias": "swap", "user": { "type": "user", "id": "id-lisi", "username": "lisi@example.com" },
          "startDate": "2026-11-17T00:00:00Z", "endDate": "2026-11-18T00:00:00Z", "rotations": [{ "id": "r1", "name": "weekly" }] },
        { "alias": "nobody", "user": { "type": "none" }, "startDate": "2026-11-19T00:00:00Z", "endDate": "2026-11-20T00:00:00Z" },
    ] });
    let import = read(&export);
    assert_eq!(on_call(&import, "ops", "2026-11-17T12:00:00Z"), "lisi");
    assert_eq!(on_call(&import, "ops", "2026-11-19T12:00:00Z"), "zhangsan");
    let (outcome, text) = line(&import, "schedule", "ops");
    assert_eq!(outcome, "partly");
    assert!(
        text.contains("the override nobody is left out") && !text.contains("swap"),
        "{text}"
    );
}

#[test]
fn participants_of_opsgenie_can_be_teams_but_not_absent() {
    let mut export = opsgenie();
    let first = &mut export["schedules"]["data"][0]["rotations"][0]["participants"][0];
    *first = json!({ "type": "team", "id": "t1", "name": "backend" });
    let import = read(&export);
    assert_eq!(line(&import, "team", "backend").0, "mapped");
    let (outcome, text) = line(&import, "rotation", "weekly");
    assert!(
        outcome == "partly" && text.contains("routing rules"),
        "{text}"
    );
    assert_eq!(
        on_call(&import, "ops", "2026-11-17T12:00:00Z"),
        "zhangsan,lisi"
    );
    assert_eq!(on_call(&import, "ops", "2026-11-24T12:00:00Z"), "wangwu");
    for (participant, reason) in [
        (json!({ "type": "none" }), "nobody is on call"),
        (
            json!({ "type": "escalation", "id": "e1" }),
            "\"escalation\"",
        ),
        (json!({ "type": "team", "id": "t9" }), "not in the file"),
    ] {
        let rotation = &mut export["schedules"]["data"][0]["rotations"][0];
        rotation["participants"][0] = participant;
        let (outcome, text) = line(&read(&export), "rotation", "weekly");
        assert!(outcome == "skipped" && text.contains(reason), "{text}");
    }
}

#[test]
fn rules_of_opsgenie_can_notify_neighbors_and_parts_of_a_team() {
    let team = || json!({ "type": "team", "id": "t1", "name": "backend" });
    let schedule = || json!({ "type": "schedule", "id": "s1", "name": "ops" });
    let mut export = opsgenie();
    let rules = [
        (schedule(), "default", "if-not-acked"),
        (schedule(), "next", "if-not-acked"),
        (schedule(), "previous", "if-not-closed"),
        (team(), "admins", "if-not-acked"),
        (team(), "users", "if-not-acked"),
        (team(), "all", "if-not-acked"),
        (team(), "random", "if-not-acked"),
    ];
    let rules = rules.into_iter().enumerate().map(|(number, (recipient, how, condition))| {
        let delay = json!({ "timeAmount": number * 5, "timeUnit": "minutes" });
        json!({ "condition": condition, "notifyType": how, "delay": delay, "recipient": recipient })
    });
    export["escalations"]["data"][0]["rules"] = rules.collect();
    export["escalations"]["data"][0]["repeat"] = json!({
        "waitInterval": 10, "count": 1, "resetRecipientStates": true, "closeAlertAfterAll": true,
    });
    let import = read(&export);
    let found = steps(&import);
    let names: Vec<&str> = found
        .iter()
        .take(6)
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "ops",
            "ops_next",
            "ops_previous",
            "zhangsan",
            "lisi",
            "team_backend"
        ]
    );
    assert!(matches!(
        &import.on_call.chains[0].steps[6].notify,
        Target::RoundRobin(people) if people.len() == 2
    ));
    let waits: Vec<u32> = found.iter().map(|(wait, _)| *wait).collect();
    assert_eq!(waits, [0, 5, 5, 5, 5, 5, 5, 10, 5, 5, 5, 5, 5, 5]);
    for rota in ["ops_next", "ops_previous"] {
        assert_eq!(on_call(&import, rota, "2026-11-17T12:00:00Z"), "wangwu");
    }
    let (outcome, text) = line(&import, "escalation", "default");
    assert_eq!(outcome, "partly");
    for note in [
        "if-not-closed",
        "resetRecipientStates",
        "closeAlertAfterAll",
        "in turn",
        "the next person",
    ] {
        assert!(text.contains(note), "{note}: {text}");
    }
}

#[test]
fn incomplete_lists_and_files_of_a_backup_are_noticed() {
    let mut export = opsgenie();
    export["users"]["totalCount"] = 250.into();
    let (outcome, text) = line(&read(&export), "list", "users");
    assert!(outcome == "partly" && text.contains("3 of 250"), "{text}");
    // The backup program writes one file for each object.
    let parts = opsgenie();
    let user = json!({ "user": parts["users"]["data"][0], "notificationRuleList": [{ "id": "n1", "actionType": "create-alert" }] });
    let schedule = json!({ "schedule": parts["schedules"]["data"][0], "scheduleOverrideList": [] });
    let import = read(&json!({
        "users": [user], "schedules": [schedule], "escalations": parts["escalations"]["data"],
        "teams": [{ "team": { "id": "t2", "name": "empty" }, "teamRoles": [] }],
    }));
    assert_eq!(on_call(&import, "ops", "2026-11-24T12:00:00Z"), "wangwu");
    assert_eq!(
        line(&import, "notification_rules", "zhangsan@example.com").0,
        "skipped"
    );
    assert_eq!(line(&import, "team", "empty").0, "skipped");
}

#[tokio::test]
async fn contacts_of_opsgenie_become_addresses() {
    let channels = Channels::open_with("").await;
    let mut export = opsgenie();
    export["users"]["data"][0]["userContacts"] = json!([
        { "id": "c1", "contactMethod": "mobile", "to": "phone", "enabled": true },
        { "id": "c2", "contactMethod": "voice", "to": "86-13800000001", "enabled": true },
        { "id": "c3", "contactMethod": "sms", "to": "86-13800000002", "enabled": true },
    ]);
    export["users"]["data"][2]["contacts"] = json!({ "data": [
        { "id": "c4", "method": "email", "to": "old@example.com", "status": { "enabled": false, "disabledReason": "" } },
        { "id": "c5", "method": "email", "to": "work@example.com", "status": { "enabled": true } },
    ] });
    let mut import = read(&export);
    import.store(&channels.desk.app).await.unwrap();
    channels.desk.settle().await;
    for (person, addresses) in [
        (
            "zhangsan",
            json!({ "email": "zhangsan@example.com", "phone": "+8613800000002" }),
        ),
        ("wangwu", json!({ "email": "wangwu@example.com" })),
        ("lisi", json!({ "email": "work@example.com" })),
    ] {
        let stored = channels
            .get(&format!("people/{person}/preferences"), person)
            .await;
        assert_eq!(stored["addresses"], addresses, "{person}");
    }
    let (_, text) = line(&import, "user", "lisi@example.com");
    assert!(text.contains("disabled contact"), "{text}");
}
