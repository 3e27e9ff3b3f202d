//! These tests check changes of channel accounts and of the notification policy in the API: the next message uses the new
//! definition, the event names the person, and a wrong definition changes nothing.

use events::channel_account::ChannelAccountEvent;
use events::notification_policy::NotificationPolicyEvent;
use functions::app::history::history_from;
use functions::app::notifications::definitions::Definitions;
use serde_json::{Value, json};

use super::{Channels, MAIL, ROBOT};

const MAIL_ONLY: &str = "[policy]\naccounts = [\"mail\"]\n";
const POLICY: &str = "notification-policies/default";
/// Another sender for the account of [`MAIL`].
const OTHER_SENDER: &str = "Desk <other@example.net>";

fn account(from: &str) -> Value {
    json!({ "channel": "email", "settings": { "host": "relay.example", "from": from } })
}

impl Channels {
    /// Changes a definition as the superuser admin.
    pub(super) async fn change(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.desk.v1("PUT", path, "admin", body).await;
        self.desk.settle().await;
        answer
    }

    /// Changes a definition as the superuser admin. Fails if the desk refuses it.
    pub(super) async fn must_change(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.change(path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Sends a wrong definition. The response must name the place, and nothing may be stored.
    pub(super) async fn refused(&self, path: &str, body: Value, place: &str) {
        self.refused_with(400, path, body, place).await;
    }

    /// Sends a definition that the desk does not accept now. The response must name the place, and nothing may be stored.
    pub(super) async fn in_conflict(&self, path: &str, body: Value, place: &str) {
        self.refused_with(409, path, body, place).await;
    }

    async fn refused_with(&self, expected: u16, path: &str, body: Value, place: &str) {
        self.desk.settle().await;
        let head = self.desk.head().await;
        let (status, answer) = self.change(path, body.clone()).await;
        let field = &answer["errors"][0]["field"];
        assert_eq!(
            (status, field),
            (expected, &json!(place)),
            "{path} {body}: {answer}"
        );
        assert_eq!(self.desk.head().await, head, "{path} {body}");
    }
}

#[tokio::test]
async fn a_changed_policy_decides_the_next_message() {
    let channels = Channels::open_with(&[MAIL, ROBOT, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    let mut definition = channels.get(POLICY, "admin").await["definition"].clone();
    definition["accounts"] = json!(["ops_robot"]);
    let changed = channels.must_change(POLICY, definition.clone()).await;
    assert_eq!(
        (&changed["version"], &changed["definition"]),
        (&json!(2), &definition)
    );
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    assert_eq!(channels.robot.accepted().len(), 1);
    let again = channels.must_change(POLICY, definition).await;
    assert_eq!(again["version"], 2, "an equal definition adds no version");
    let all = channels.get("notification-policies", "admin").await;
    assert_eq!(all["notification_policies"], json!([again]));
}

#[tokio::test]
async fn the_event_of_a_change_names_the_person() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    let policy = json!({ "accounts": ["mail"], "urgent": ["3"] });
    channels.must_change(POLICY, policy).await;
    let path = "channel-accounts/mail";
    channels.must_change(path, account(OTHER_SENDER)).await;
    let app = &channels.desk.app;
    let admin = app.people.find("admin").await.unwrap();
    let stream = "notification_policy-default";
    let policies = history_from::<NotificationPolicyEvent>(&app.ledger, stream, 1).await;
    let actors = policies.unwrap().into_iter().map(|one| one.meta.actor);
    let of_setup = events::PersonId::system();
    let expected = [of_setup, admin];
    assert_eq!(actors.collect::<Vec<_>>(), expected);
    let stream = "channel_account-mail";
    let accounts = history_from::<ChannelAccountEvent>(&app.ledger, stream, 1).await;
    let actors = accounts.unwrap().into_iter().map(|one| one.meta.actor);
    assert_eq!(actors.collect::<Vec<_>>(), expected);
}

/// A file at the start of the desk has precedence over a change in the API, as for working calendars. A definition that
/// the file omits stays as the API stored it.
#[tokio::test]
async fn a_file_at_the_next_start_replaces_a_change() {
    let file = [MAIL, ROBOT, MAIL_ONLY].concat();
    let channels = Channels::open_with(&file).await;
    let policy = json!({ "accounts": ["ops_robot"] });
    channels.must_change(POLICY, policy).await;
    let path = "channel-accounts/mail";
    channels.must_change(path, account(OTHER_SENDER)).await;
    let channels = channels.restart().await;
    let definitions = Definitions::read(&[ROBOT, MAIL_ONLY].concat()).unwrap();
    definitions.store(&channels.desk.app).await.unwrap();
    let shown = channels.get(POLICY, "admin").await;
    assert_eq!(
        (&shown["version"], &shown["definition"]["accounts"]),
        (&json!(3), &json!(["mail"]))
    );
    let shown = channels.get(path, "admin").await;
    assert_eq!(shown["definition"]["settings"]["from"], OTHER_SENDER);
}

#[tokio::test]
async fn a_changed_account_sends_the_next_message() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    let sent = channels.desk.mailer.take();
    assert_eq!(sent[0].from, "desk@example.com");
    let path = "channel-accounts/mail";
    let changed = channels.must_change(path, account(OTHER_SENDER)).await;
    assert_eq!(changed["definition"]["settings"]["from"], OTHER_SENDER);
    channels.submit().await;
    let sent = channels.desk.mailer.take();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].from, "other@example.net");
    let mut off = changed["definition"].clone();
    off["is_enabled"] = json!(false);
    let changed = channels.must_change(path, off).await;
    assert_eq!(changed["state"], "disabled");
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
}

#[tokio::test]
async fn the_answer_names_a_missing_secret() {
    let mut channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    let settings = json!({ "url": "http://robot.example/robot/send" });
    let robot = json!({ "channel": "dingtalk_robot", "settings": settings });
    let path = "channel-accounts/new_robot";
    let added = channels.must_change(path, robot).await;
    assert_eq!(
        (&added["secret"], &added["definition"]["per_minute"]),
        (&json!("channel/new_robot"), &json!(20))
    );
    // A process that shares its ledger, as on AWS, may not read the secret.
    assert_eq!(added["has_secret"], Value::Null);
    let ledger = channels.desk.app.ledger.clone();
    channels.desk.app.ledger = ledger.as_only_writer();
    let shown = channels.get(path, "admin").await;
    assert_eq!(shown["has_secret"], false);
    let keys = &channels.desk.app.ledger.keys;
    let secret = br#"{"access_token":"t","secret":"SECx"}"#;
    keys.keep_secret("channel/new_robot", secret).await.unwrap();
    let all = channels.get("channel-accounts", "admin").await;
    let listed = all["channel_accounts"].as_array().expect("a list");
    let secrets: Vec<_> = listed
        .iter()
        .map(|one| (&one["name"], &one["secret"], &one["has_secret"]))
        .collect();
    assert_eq!(
        secrets,
        [
            (&json!("mail"), &Value::Null, &Value::Null),
            (
                &json!("new_robot"),
                &json!("channel/new_robot"),
                &json!(true)
            ),
        ]
    );
}

#[tokio::test]
async fn a_wrong_policy_is_refused_by_its_place() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    for (members, place) in [
        (json!({ "accounts": ["fax"] }), "/accounts"),
        (json!({ "accounts": ["mail", "mail"] }), "/accounts"),
        (json!({ "urgent": ["3"] }), "/accounts"),
        (json!({ "accounts": [], "urgnt": [] }), "/urgnt"),
        (
            json!({ "accounts": [], "bands": { "1": "lowest" } }),
            "/bands/1",
        ),
        (
            json!({ "accounts": [], "rules": [{ "cap": "off" }, { "bands": ["low"] }] }),
            "/rules/1/floor",
        ),
        (
            json!({ "accounts": [], "team": [{ "department": "12", "calendar": "moon" }] }),
            "/team/0/calendar",
        ),
        (
            json!({ "accounts": [], "team": [{ "department": "12", "quiet": { "from": "25:00", "to": "07:00" } }] }),
            "/team/0/quiet/from",
        ),
        (
            json!({ "accounts": [], "subscription": [{ "name": "key", "role": 9999, "on": ["ended"] }] }),
            "/subscription/0/role",
        ),
        (
            json!({ "accounts": [], "subscription": [{ "name": "key", "people": ["lisi"], "on": ["ended"], "when": [{ "key": " ", "value": 1 }] }] }),
            "/subscription/0/when",
        ),
        (
            json!({ "accounts": [], "escalation": { "chains": { "3": "none" } } }),
            "/escalation/chains",
        ),
        (
            json!({ "accounts": [], "chat_groups": { "account": "mail" } }),
            "/chat_groups/account",
        ),
        (
            json!({ "accounts": [], "perishable": ["approval_needed"] }),
            "/perishable",
        ),
    ] {
        channels.refused(POLICY, members, place).await;
    }
    let (status, _) = channels
        .change("notification-policies/other", json!({ "accounts": [] }))
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_wrong_account_is_refused_by_its_place() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    let settings = |name: &str, value: Value| {
        let mut account = account(OTHER_SENDER);
        account["settings"][name] = value;
        account
    };
    let path = "channel-accounts/mail";
    for (members, place) in [
        (json!({ "settings": {} }), "/channel"),
        (json!({ "channel": "fax" }), "/channel"),
        (
            json!({ "channel": "email", "per_minute": 0 }),
            "/per_minute",
        ),
        (settings("from", json!("desk")), "/settings/from"),
        (settings("prot", json!(587)), "/settings/prot"),
        // A secret is never a part of a definition.
        (settings("password", json!("x")), "/settings/password"),
        (settings("port", Value::Null), "/settings/port"),
    ] {
        channels.refused(path, members, place).await;
    }
    let body = account(OTHER_SENDER);
    channels
        .refused("channel-accounts/Mail", body, "account")
        .await;
}

#[tokio::test]
async fn a_change_does_not_move_the_secret_of_an_account() {
    let channels = Channels::open_with(&[MAIL, ROBOT, MAIL_ONLY].concat()).await;
    let path = "channel-accounts/ops_robot";
    let shown = channels.get(path, "admin").await;
    assert_eq!(shown["secret"], "channel/ops_robot");
    let mut other = shown["definition"].clone();
    other["settings"]["url"] = json!("http://other.example/robot/send");
    channels.in_conflict(path, other, "/settings/url").await;
    let mut mail = account(OTHER_SENDER);
    channels.in_conflict(path, mail.clone(), "/channel").await;
    // Other members can change.
    let mut limited = shown["definition"].clone();
    limited["per_minute"] = json!(7);
    let changed = channels.must_change(path, limited).await;
    assert_eq!(changed["definition"]["per_minute"], 7);
    // An account without a secret can move, and cannot get the need for one.
    let path = "channel-accounts/mail";
    mail["settings"]["host"] = json!("other.example");
    channels.must_change(path, mail.clone()).await;
    mail["settings"]["user"] = json!("desk");
    channels
        .in_conflict(path, mail.clone(), "/settings/user")
        .await;
    // A new account has a secret of its own, and a file changes each account.
    let path = "channel-accounts/other_mail";
    channels.must_change(path, mail).await;
    let file = ROBOT.replace("robot.example", "other.example");
    let definitions = Definitions::read(&file).unwrap();
    definitions.store(&channels.desk.app).await.unwrap();
    channels.desk.settle().await;
    let shown = channels.get("channel-accounts/ops_robot", "admin").await;
    let url = &shown["definition"]["settings"]["url"];
    assert_eq!(url, "http://other.example/robot/send");
}

#[tokio::test]
async fn a_change_with_an_old_version_is_refused() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    let policy = |version: u32, urgent: &str| json!({ "accounts": ["mail"], "urgent": [urgent], "version": version });
    channels
        .in_conflict(POLICY, policy(0, "2"), "/version")
        .await;
    let changed = channels.must_change(POLICY, policy(1, "2")).await;
    assert_eq!(changed["version"], 2);
    assert_eq!(changed["definition"].get("version"), None);
    // Another superuser has read the first version.
    channels
        .in_conflict(POLICY, policy(1, "3"), "/version")
        .await;
    let shown = channels.get(POLICY, "admin").await;
    assert_eq!(shown["definition"]["urgent"], json!(["2"]));
    let leader = json!({ "notify": { "leader": true } });
    let layer = json!({ "people": ["lisi"], "start": "2026-11-22T09:00", "shift": { "days": 1 }, "zone": "Asia/Shanghai" });
    for (path, member, entry) in [
        ("escalation-chains/new_chain", "step", leader),
        ("rotas/new_rota", "layer", layer),
    ] {
        let body = |version: u32| json!({ (member): [entry], "version": version });
        channels.in_conflict(path, body(1), "/version").await;
        let added = channels.must_change(path, body(0)).await;
        assert_eq!(added["version"], 1, "{path}");
        channels.in_conflict(path, body(0), "/version").await;
        channels.must_change(path, body(1)).await;
    }
    // A channel account has no version.
    let mut mail = account(OTHER_SENDER);
    mail["version"] = json!(1);
    channels
        .refused("channel-accounts/mail", mail, "/version")
        .await;
}

#[tokio::test]
async fn only_superusers_change_definitions() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.desk.settle().await;
    let head = channels.desk.head().await;
    for (path, body) in [
        (POLICY, json!({ "accounts": [] })),
        ("channel-accounts/mail", account(OTHER_SENDER)),
        (
            "escalation-chains/default",
            json!({ "step": [{ "notify": { "leader": true } }] }),
        ),
        (
            "rotas/ops",
            json!({ "layer": [{ "people": ["lisi"], "start": "2026-11-22T09:00", "shift": { "days": 1 }, "zone": "Asia/Shanghai" }] }),
        ),
        // A caller without permission learns nothing about a wrong shift.
        (
            "rotas/ops",
            json!({ "layer": [{ "people": ["lisi"], "start": "2026-11-22T09:00", "shift": {}, "zone": "Asia/Shanghai" }] }),
        ),
    ] {
        let (status, answer) = channels.desk.v1("PUT", path, "lisi", body).await;
        assert_eq!(status, 403, "{path}: {answer}");
    }
    for path in [POLICY, "notification-policies"] {
        let (status, _) = channels.desk.v1("GET", path, "lisi", Value::Null).await;
        assert_eq!(status, 403, "{path}");
    }
    assert_eq!(channels.desk.head().await, head);
}
