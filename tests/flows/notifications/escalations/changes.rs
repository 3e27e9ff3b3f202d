//! These tests check changes of escalation chains and rotas in the API: the next escalation uses the new chain, a running
//! one keeps its version, and a wrong definition changes nothing.

use serde_json::json;

use super::{CHAIN, Channels};

const DEFAULT: &str = "escalation-chains/default";
const OPS: &str = "rotas/ops";

#[tokio::test]
async fn the_next_escalation_uses_a_changed_chain_and_the_running_one_its_version() {
    let channels = Channels::open_with(CHAIN).await;
    let running = channels.submit_with("3").await;
    let mut definition = channels.get(DEFAULT, "admin").await["definition"].clone();
    let same = channels.must_change(DEFAULT, definition.clone()).await;
    assert_eq!(same["version"], 1, "an equal definition adds no version");
    definition["step"][0]["notify"] = json!({ "person": "zhouba" });
    let changed = channels.must_change(DEFAULT, definition).await;
    assert_eq!(
        (&changed["version"], &changed["steps"][0]["targets"]),
        (&json!(2), &json!(["zhouba"]))
    );
    let next = channels.submit_with("3").await;
    channels.after_minutes(5).await;
    assert_eq!(channels.escalated(&["sunqi", "zhouba"]).await, [1, 1]);
    for (sn, version, person) in [(&running, 1, "sunqi"), (&next, 2, "zhouba")] {
        let shown = channels.escalation(sn).await;
        assert_eq!(
            (&shown["version"], &shown["steps"][0]["people"]),
            (&json!(version), &json!([person]))
        );
    }
}

#[tokio::test]
async fn a_changed_rota_selects_the_people_of_the_next_step() {
    let channels = Channels::open_with(CHAIN).await;
    let mut definition = channels.get(OPS, "admin").await["definition"].clone();
    let same = channels.must_change(OPS, definition.clone()).await;
    assert_eq!(same["version"], 1, "an equal definition adds no version");
    definition["layer"][0]["people"] = json!(["zhouba", "sunqi"]);
    definition["override"] = json!([{
        "person": "zhaoliu",
        "from": "2026-11-25T09:00:00.000+08:00",
        "to": "2026-11-26T09:00:00.000+08:00",
    }]);
    let changed = channels.must_change(OPS, definition.clone()).await;
    assert_eq!(
        (&changed["version"], &changed["on_call"]),
        (&json!(2), &json!(["zhouba"]))
    );
    assert_eq!(changed["definition"]["override"], definition["override"]);
    let again = changed["definition"].clone();
    assert_eq!(channels.must_change(OPS, again).await["version"], 2);
    channels.submit_with("3").await;
    channels.after_minutes(5).await;
    assert_eq!(channels.escalated(&["sunqi", "zhouba"]).await, [0, 1]);
}

#[tokio::test]
async fn a_new_chain_is_listed_and_the_policy_can_name_it() {
    let channels = Channels::open_with(CHAIN).await;
    let steps = json!([{ "notify": { "round_robin": ["zhaoliu"] }, "wait_minutes": 1 }]);
    let path = "escalation-chains/fast";
    channels.must_change(path, json!({ "step": steps })).await;
    let all = channels.get("escalation-chains", "lisi").await;
    let listed = all["escalation_chains"].as_array().expect("a list");
    let names: Vec<_> = listed.iter().map(|chain| &chain["name"]).collect();
    assert_eq!(names, [&json!("default"), &json!("fast")]);
    let policy = json!({ "accounts": [], "escalation": { "chains": { "3": "fast" } } });
    let path = "notification-policies/default";
    channels.must_change(path, policy).await;
    let sn = channels.submit_with("3").await;
    channels.after_minutes(1).await;
    assert_eq!(channels.escalation(&sn).await["chain"], "fast");
    assert_eq!(channels.escalated(&["zhaoliu"]).await, [1]);
}

/// Responses name an erased person by the id.
#[tokio::test]
async fn an_erased_person_stays_in_a_definition_that_is_sent_back() {
    let channels = Channels::open_with(CHAIN).await;
    let app = &channels.desk.app;
    let mut ids = Vec::new();
    for name in ["zhaoliu", "sunqi"] {
        let person = app.people.find(name).await.unwrap();
        assert!(app.ledger.keys.erase(&person).await.unwrap(), "{name}");
        ids.push(person.as_str().to_owned());
    }
    let chain = channels.get(DEFAULT, "admin").await["definition"].clone();
    let rota = channels.get(OPS, "admin").await["definition"].clone();
    assert_eq!(chain["step"][2]["notify"]["round_robin"], json!([ids[0]]));
    assert_eq!(rota["layer"][0]["people"], json!([ids[1], "zhouba"]));
    for (path, definition) in [(DEFAULT, &chain), (OPS, &rota)] {
        let same = channels.must_change(path, definition.clone()).await;
        assert_eq!(same["version"], 1, "{path}");
    }
    let mut changed = chain;
    changed["repeat"] = json!(1);
    let changed = channels.must_change(DEFAULT, changed).await;
    assert_eq!(
        (&changed["version"], &changed["steps"][2]["targets"]),
        (&json!(2), &json!([ids[0]]))
    );
    // An erased person gets no new work.
    let step = json!([{ "notify": { "person": ids[0] } }]);
    channels
        .refused(
            "escalation-chains/fast",
            json!({ "step": step }),
            "/step/0/notify",
        )
        .await;
    let mut added = rota;
    added["layer"][0]["people"] = json!(ids);
    channels.refused(OPS, added, "/layer/0/people").await;
    for id in &ids {
        assert!(app.people.find(id).await.unwrap().is_unknown(), "{id}");
    }
}

#[tokio::test]
async fn a_wrong_chain_is_refused_by_its_place() {
    let channels = Channels::open_with(CHAIN).await;
    let leader = json!({ "notify": { "leader": true } });
    for (members, place) in [
        (json!({}), "/step"),
        (json!({ "step": [] }), "/step"),
        (json!({ "step": [leader], "repeat": 6 }), "/repeat"),
        (
            json!({ "step": [leader, { "notify": { "boss": true } }] }),
            "/step/1/notify/boss",
        ),
        (json!({ "step": [{ "notify": {} }] }), "/step/0/notify"),
        (
            json!({ "step": [leader, { "notify": { "rota": "none" } }] }),
            "/step/1/notify",
        ),
        (
            json!({ "step": [{ "notify": { "role": 9999 } }] }),
            "/step/0/notify",
        ),
        (
            json!({ "step": [{ "notify": { "person": "li si," } }] }),
            "/step/0/notify",
        ),
        (
            json!({ "step": [{ "notify": { "leader": true }, "accounts": ["fax"] }] }),
            "/step/0/accounts",
        ),
        (
            json!({ "step": [{ "notify": { "leader": true }, "only_if": { "from": "8am", "to": "20:00", "zone": "UTC" } }] }),
            "/step/0/only_if/from",
        ),
        (
            json!({ "step": [{ "notify": { "leader": true, "buzz": true } }, leader] }),
            "/step/0/notify/buzz",
        ),
    ] {
        channels.refused(DEFAULT, members, place).await;
    }
    let shown = channels.get(DEFAULT, "lisi").await;
    assert_eq!(shown["version"], 1);
}

#[tokio::test]
async fn a_wrong_rota_is_refused_by_its_place() {
    let channels = Channels::open_with(CHAIN).await;
    let layer = |name: &str, value: serde_json::Value| {
        let mut layer = json!({
            "people": ["sunqi"],
            "start": "2026-11-22T09:00",
            "shift": { "days": 1 },
            "zone": "Asia/Shanghai",
        });
        layer[name] = value;
        json!({ "layer": [layer] })
    };
    for (members, place) in [
        (json!({ "layer": [] }), "/layer"),
        (layer("people", json!([])), "/layer/0/people"),
        (layer("people", json!(["li si,"])), "/layer/0/people"),
        (layer("start", json!("2026-11-22")), "/layer/0/start"),
        (layer("shift", json!({})), "/layer/0/shift"),
        (layer("shift", json!({ "weeks": 0 })), "/layer/0/shift"),
        (layer("zone", json!("Mars/Base")), "/layer/0/zone"),
        (
            layer(
                "window",
                json!({ "from": "09:00", "to": "21:00", "days": ["friday"] }),
            ),
            "/layer/0/window/days/0",
        ),
    ] {
        channels.refused(OPS, members, place).await;
    }
    let mut overridden = layer("level", json!(1));
    overridden["override"] = json!([{
        "person": "lisi",
        "from": "2026-12-24T09:00:00+08:00",
        "to": "2026-12-23T09:00:00+08:00",
    }]);
    channels.refused(OPS, overridden, "/override/0/to").await;
    let shown = channels.get(OPS, "lisi").await;
    assert_eq!(shown["version"], 1);
}
