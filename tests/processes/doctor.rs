//! These tests check what `ledgerdesk doctor` finds in the systems with which a desk works: external ITSMs,
//! channel accounts, platforms, the broker of the robots and the own callback address.

use std::path::Path;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use infra::clock::{Clock as _, SystemClock};
use infra::fleet::test_broker::TestBroker;
use serde_json::{Value, json};
use tests::process::{APP, Served, free_port, run, text, until};

/// An imitation of an external ITSM. The first segment of the path selects the behavior.
async fn answer(request: axum::extract::Request) -> Response {
    let path = request.uri().path().to_owned();
    let envelope = |result: bool, code: i64, data: Value| {
        let message = if result {
            "success"
        } else {
            "app secret is wrong"
        };
        axum::Json(json!({ "result": result, "code": code, "message": message, "data": data }))
    };
    let passed = || envelope(true, 0, json!({ "is_passed": false }));
    match path.split('/').nth(1).unwrap_or_default() {
        "good" => passed().into_response(),
        "secret" => (StatusCode::UNAUTHORIZED, "no").into_response(),
        "rejecting" => envelope(false, 3_900_015, Value::Null).into_response(),
        // The account may only create, read and withdraw tickets, and check tokens.
        "limited" if path.ends_with("/token/verify/") => passed().into_response(),
        "limited" if path.ends_with("/get_tickets/") => {
            envelope(true, 0, json!({ "count": 0, "items": [] })).into_response()
        }
        "limited" if path.ends_with("/get_ticket_info/") => {
            envelope(false, 3_900_022, Value::Null).into_response()
        }
        "limited" if path.ends_with("/get_services/") => {
            envelope(true, 0, json!([{ "id": 18, "name": "capacity" }])).into_response()
        }
        "limited" => (StatusCode::FORBIDDEN, "no").into_response(),
        "helpdesk" => {
            axum::Json(json!({ "count": 0, "next": null, "results": [] })).into_response()
        }
        // The accounts of these two systems have the rights of administrators.
        "jira" if path.ends_with("/search") => {
            axum::Json(json!({ "startAt": 0, "maxResults": 100, "total": 0, "issues": [] }))
                .into_response()
        }
        "jira" => {
            let has = json!({ "havePermission": true });
            axum::Json(json!({ "permissions": { "BROWSE_PROJECTS": has, "ADMINISTER": has } }))
                .into_response()
        }
        "zammad" if path.ends_with("/search") => axum::Json(json!([])).into_response(),
        "zammad" => axum::Json(json!({ "login": "desk", "roles": ["Customer"] })).into_response(),
        // A robot of DingTalk that refuses every message.
        "robot" => {
            axum::Json(json!({ "errcode": 310_000, "errmsg": "sign not match" })).into_response()
        }
        "page" => "<html>login</html>".into_response(),
        "clock" => {
            // The clock is off by an hour.
            let hour_ago = SystemClock.now().plus_ms(-3_600_000);
            let hour_ago = jiff::Timestamp::from_millisecond(hour_ago.0).expect("a time");
            let date = hour_ago.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let headers = [("date", date)];
            (headers, passed()).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn itsm() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(any(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Runs `ledgerdesk doctor` and returns its findings. Each finding is the object of the check, whether it is
/// right, and the texts.
fn doctor(data: &Path, more: &[&str]) -> Vec<(String, bool, String)> {
    let mut arguments = vec!["doctor", "--json", "--data", data.to_str().expect("a path")];
    arguments.extend(more);
    let output = run(&arguments);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    let findings = report["findings"].as_array().expect("findings");
    let is_right = findings
        .iter()
        .all(|one| one["ok"] == true || one["warning"] == true);
    assert_eq!(output.status.success(), is_right, "{report}");
    findings
        .iter()
        .map(|one| {
            let words = format!("{}: {}", one["found"], one["advice"]);
            (
                one["what"].as_str().expect("a text").to_owned(),
                one["ok"] == true,
                words,
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_the_problem_of_each_system_and_the_next_step() {
    let folder = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let base = itsm().await;
    let closed = free_port();
    let names = [
        "good",
        "secret",
        "rejecting",
        "limited",
        "page",
        "clock",
        "path",
        "keyless",
    ];
    let external = names.map(|name| {
        format!(
            "[[integration]]\nname = \"{name}\"\nkind = \"bk_itsm\"\nform = \"apigw\"\nurl = \"{base}/{name}\"\napp = \"bk_log\"\nuser = \"admin\"\n"
        )
    });
    let of_sources = ["helpdesk", "secret", "page", "clock", "path"].map(|name| {
        format!(
            "[[integration]]\nname = \"from_{name}\"\nkind = \"django_helpdesk\"\nurl = \"{base}/{name}\"\nuser = \"desk\"\npull_minutes = 1000\nmapping = \"crm.toml\"\n"
        )
    });
    let with_rights = ["jira", "zammad"].map(|kind| {
        format!(
            "[[integration]]\nname = \"from_{kind}\"\nkind = \"{kind}\"\nurl = \"{base}/{kind}\"\nuser = \"desk\"\npull_minutes = 1000\nmapping = \"crm.toml\"\n"
        )
    });
    let others = format!(
        "[[integration]]\nname = \"down\"\nkind = \"bk_itsm\"\nurl = \"http://127.0.0.1:{closed}\"\napp = \"a\"\nuser = \"u\"\n[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nsenders = [\"{}\", \"unknown_app\"]\nmapping = \"crm.toml\"\n[[integration]]\nname = \"unsigned\"\nkind = \"zammad\"\nwebhook = \"signed\"\nmapping = \"crm.toml\"\n[[integration]]\nname = \"odd\"\nkind = \"generic_json\"\nurl = \"{base}/nothing\"\nsenders = [\"{}\"]\nmapping = \"odd.toml\"\n[[integration]]\nname = \"dead\"\nkind = \"generic_json\"\nurl = \"http://127.0.0.1:{closed}\"\nsenders = [\"{}\"]\nmapping = \"odd.toml\"\n",
        APP.0, APP.0, APP.0
    );
    let kinds = [("capacity", 18), ("lost", 99_999)].map(|(name, service)| {
        format!(
            "[[application_kind]]\nname = \"{name}\"\nintegration = \"limited\"\nservice = {service}\ngranted = {{ approval_result = \"true\" }}\ndays = 1\n"
        )
    });
    let integrations = external.concat()
        + &of_sources.concat()
        + &with_rights.concat()
        + &others
        + &kinds.concat();
    write(
        "crm.toml",
        "record = \"/id\"\nupdate = { counter = \"/version\" }\nservice = { value = 17 }\nrequester = { value = \"lisi\" }\n[fields]\ntitle = \"/title\"\n",
    );
    write(
        "odd.toml",
        "record = \"/id\"\nservice = { path = \"/type\", values = { patrol = 17, other = 99999 } }\nrequester = { value = \"lisi\" }\nassignee = { path = \"/owner\", people = { zhangsann = \"z\" } }\ncrm = { integration = \"csmm\", record = \"/case\" }\n[fields]\ntitle = \"/title\"\nNOSUCH = \"/x\"\n",
    );
    let accounts = format!(
        "[[account]]\nname = \"relay\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {closed}\ntls = \"none\"\nfrom = \"desk@example.com\"\n[[account]]\nname = \"robot\"\nchannel = \"dingtalk_robot\"\n"
    );
    let (integrations, accounts) = (
        write("integrations.toml", &integrations),
        write("accounts.toml", &accounts),
    );
    let secret = write("secret", "s3cret");
    let mut more = vec!["--integrations", &integrations, "--accounts", &accounts];
    let secrets: Vec<String> = [
        "good",
        "secret",
        "rejecting",
        "limited",
        "page",
        "clock",
        "path",
        "down",
        "odd",
        "dead",
        "from_helpdesk",
        "from_secret",
        "from_page",
        "from_clock",
        "from_path",
        "from_jira",
        "from_zammad",
    ]
    .iter()
    .map(|name| format!("integration/{name}={secret}"))
    .collect();
    secrets
        .iter()
        .for_each(|one| more.extend(["--secret", one]));
    let data = folder.path().join("data");
    let desk = Served::start(&data, &more);
    let (own, broker) = (desk.base.clone(), format!("mqtt://127.0.0.1:{closed}"));
    let findings = doctor(&data, &["--site", &own, "--mqtt-broker", &broker]);
    let of = |what: &str| {
        let found = findings.iter().find(|(name, _, _)| name == what);
        found.unwrap_or_else(|| panic!("{what}: {findings:?}"))
    };
    for (what, is_right, expected) in [
        ("integration good", true, "accepts the credentials"),
        (
            "integration secret",
            false,
            "setup --secret integration/secret=FILE",
        ),
        (
            "integration rejecting",
            false,
            "3900015: app secret is wrong",
        ),
        (
            "integration limited",
            false,
            "ticket_approval_result (the response status is 403), callback_failed_ticket",
        ),
        ("application kind capacity", true, "offers the service 18"),
        (
            "application kind lost",
            false,
            "offers no service 99999; it offers 18 capacity",
        ),
        ("applications", true, "no open one has a problem"),
        ("cases", true, "no record is refused"),
        ("integration page", false, "a login page or a proxy"),
        (
            "integration clock",
            false,
            "minutes behind the clock of this machine",
        ),
        ("integration path", false, "correct `url` and `form`"),
        (
            "integration keyless",
            false,
            "setup --secret integration/keyless=FILE",
        ),
        (
            "integration down",
            false,
            "no connection to http://127.0.0.1",
        ),
        (
            "integration crm",
            false,
            "its sender unknown_app is not registered",
        ),
        ("integration odd", true, "does not reject the account"),
        ("integration dead", false, "no connection to"),
        ("writes to records", true, "none has failed"),
        ("integration from_helpdesk", true, "accepts the credentials"),
        (
            "integration from_secret",
            false,
            "setup --secret integration/from_secret=FILE",
        ),
        ("integration from_page", false, "a login page or a proxy"),
        (
            "integration from_clock",
            false,
            "minutes behind the clock of this machine",
        ),
        ("integration from_path", false, "correct `url`"),
        (
            "integration from_jira",
            false,
            "rights that the desk does not need: ADMINISTER",
        ),
        ("integration from_zammad", false, "lacks rights: role Agent"),
        (
            "integration unsigned",
            false,
            "setup --secret webhook/unsigned=FILE",
        ),
        ("channel account relay", false, "serve --egress"),
        (
            "channel account robot",
            false,
            "setup --secret channel/robot=FILE",
        ),
        ("broker of the robots", false, "127.0.0.1"),
        ("callback address", true, "this desk answers at"),
    ] {
        let (_, ok, words) = of(what);
        assert_eq!(*ok, is_right, "{what}: {words}");
        assert!(words.contains(expected), "{what}: {words}");
        assert!(!words.contains("s3cret"), "{what}: {words}");
    }
    let of_mapping: Vec<&String> = findings
        .iter()
        .filter(|(name, ok, _)| name == "mapping of integration odd" && !ok)
        .map(|(_, _, words)| words)
        .collect();
    for expected in [
        "there is no service 99999",
        "the form of service 17 has no field NOSUCH",
        "the desk does not know the user zhangsann",
        "`crm.integration`: csmm does not exist",
    ] {
        let is_found = of_mapping.iter().any(|words| words.contains(expected));
        assert!(is_found, "{expected}: {of_mapping:?}");
    }
    assert_eq!(of_mapping.len(), 4, "{of_mapping:?}");
    // Without --site, the command checks the address with which the desk runs.
    let findings = doctor(&data, &[]);
    let (_, ok, words) = findings
        .iter()
        .find(|(name, _, _)| name == "callback address")
        .expect("a finding");
    assert!(*ok && words.contains("this desk answers at"), "{words}");
    let elsewhere = format!("{base}/page");
    let findings = doctor(&data, &["--site", &elsewhere]);
    let (_, ok, words) = findings
        .iter()
        .find(|(name, _, _)| name == "callback address")
        .expect("a finding");
    assert!(
        !ok && words.contains("but a desk responds with status 403"),
        "{words}"
    );
}

/// The operator has not given the address to `doctor`, but the desk was started with an address at which no desk answers.
#[test]
fn doctor_checks_the_address_with_which_the_desk_was_started() {
    let folder = tempfile::tempdir().expect("a directory");
    let integrations = folder.path().join("integrations.toml");
    let definition = "[[integration]]\nname = \"itsm\"\nkind = \"bk_itsm\"\nurl = \"http://127.0.0.1:9\"\napp = \"a\"\nuser = \"u\"\n";
    std::fs::write(&integrations, definition).expect("written");
    let (data, closed) = (folder.path().join("data"), free_port());
    let site = format!("http://127.0.0.1:{closed}");
    let integrations = integrations.to_str().expect("a path");
    let _desk = Served::start(&data, &["--integrations", integrations, "--site", &site]);
    let findings = doctor(&data, &[]);
    let (_, ok, words) = findings
        .iter()
        .find(|(name, _, _)| name == "callback address")
        .expect("a finding");
    assert!(!ok && words.contains(&site), "{words}");
}

#[test]
fn setup_refuses_the_secret_of_an_integration_that_is_not_defined() {
    let folder = tempfile::tempdir().expect("a directory");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s3cret").expect("written");
    let data = folder.path().join("data");
    for kind in ["integration", "webhook"] {
        let given = format!("{kind}/crmx={}", secret.display());
        let data = data.to_str().expect("a path");
        let output = run(&[
            "setup", "--demo", "--yes", "--data", data, "--secret", &given,
        ]);
        let words = text(&output.stderr);
        assert!(!output.status.success(), "{words}");
        assert!(
            words.contains("the integration crmx is not defined; define it with --integrations"),
            "{words}"
        );
    }
}

#[test]
fn setup_warns_of_wrong_names_in_a_mapping() {
    let folder = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    write(
        "odd.toml",
        "record = \"/id\"\nservice = { value = 99999 }\nrequester = { value = \"lisi\" }\n[fields]\ntitle = \"/title\"\n",
    );
    let integrations = write(
        "integrations.toml",
        "[[integration]]\nname = \"odd\"\nkind = \"generic_json\"\nsenders = [\"unknown_app\"]\nmapping = \"odd.toml\"\n",
    );
    let data = folder.path().join("data");
    let data = data.to_str().expect("a path");
    let output = run(&[
        "setup",
        "--demo",
        "--yes",
        "--data",
        data,
        "--integrations",
        &integrations,
    ]);
    let words = text(&output.stderr);
    assert!(output.status.success(), "{words}");
    for expected in [
        "there is no service 99999",
        "the sender unknown_app is not registered",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
}

/// `setup` names an account without a secret, and `doctor` shows the last failure of an account whose server works.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_the_last_failure_of_an_account() {
    let folder = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let base = itsm().await;
    let accounts = format!(
        "[[account]]\nname = \"robot\"\nchannel = \"dingtalk_robot\"\nurl = \"{base}/robot\"\n[[account]]\nname = \"old\"\nchannel = \"dingtalk_robot\"\nis_enabled = false\n[policy]\naccounts = [\"robot\"]\n"
    );
    let accounts = write("accounts.toml", &accounts);
    let data = folder.path().join("data");
    let path = data.to_str().expect("a path");
    let wrong = write("wrong.toml", "[policy]\naccounts = [\"sms\"]\n");
    let output = run(&["setup", "--yes", "--data", path, "--accounts", &wrong]);
    let reason = format!("{wrong}: policy: `accounts` names the account sms, which is not defined");
    let printed = text(&output.stderr);
    assert!(
        !output.status.success() && printed.contains(&reason),
        "{printed}"
    );
    let arguments = ["setup", "--yes", "--data", path, "--accounts", &accounts];
    let output = run(&arguments);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        printed.contains("`ledgerdesk setup --secret channel/robot=FILE`"),
        "{printed}"
    );
    assert!(!printed.contains("channel/old"), "{printed}");
    let secret = write("secret", r#"{"access_token":"t","secret":"SECx"}"#);
    let secret = format!("channel/robot={secret}");
    let desk = Served::start(&data, &["--secret", &secret, "--egress", "127.0.0.1"]);
    let before = doctor(&data, &[]);
    let of = |findings: &[(String, bool, String)], what: &str| {
        let found = findings.iter().find(|(name, _, _)| name == what);
        let (_, ok, words) = found.unwrap_or_else(|| panic!("{what}: {findings:?}"));
        (*ok, words.clone())
    };
    let (ok, words) = of(&before, "channel account robot");
    assert!(ok && words.contains("accepts connections"), "{words}");
    let (ok, words) = of(&before, "channel account old");
    assert!(ok, "an account that the policy does not name: {words}");
    let preferences = json!({ "addresses": { "dingtalk": "dt-zhangsan" }, "aggregation": false });
    let path = "people/zhangsan/preferences";
    let (status, answer) = desk.v1("PUT", path, "zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
    let fields = json!({ "title": "VPN", "APPROVER": "zhangsan", "APPROVAL_CONTENT": "a" });
    let ticket = json!({ "service_id": 1, "fields": fields });
    let (status, answer) = desk.v1("POST", "tickets", "lisi", ticket).await;
    assert_eq!(status, 201, "{answer}");
    until("the robot refuses the message", async || {
        let path = "channel-accounts/robot";
        let (_, shown) = desk.v1("GET", path, "admin", Value::Null).await;
        if shown["state"] == "paused" {
            Ok(())
        } else {
            Err(shown)
        }
    })
    .await;
    let (ok, words) = of(&doctor(&data, &[]), "channel account robot");
    assert!(!ok && words.contains("sign not match"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_a_subscription_that_the_broker_refuses() {
    const STATES: &str = "uagv/+/+/+/state";
    let folder = tempfile::tempdir().expect("a directory");
    let fleet = folder.path().join("fleet.toml");
    let definition = r#"
        [[site]]
        name = "hall"
        map = "hall_map"
        stations = { S1 = { x = 4.0, y = 2.0 } }

        [[task_type]]
        name = "patrol"
        action = "noop"
        work_s = 120

        [[robot]]
        name = "agv_1"
        site = "hall"
        skills = ["patrol"]
        manufacturer = "RobotCompany"
        serial = "001"
        version = "2.0.0"
        "#;
    std::fs::write(&fleet, definition).expect("written");
    let fleet = fleet.to_str().expect("a path");
    let data = folder.path().join("data");
    let broker = TestBroker::start(&[STATES]).await;
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let desk = Served::start(&data, &["--fleet", fleet, "--mqtt-broker", &url]);
    let of = |what: &str| {
        let findings = doctor(&data, &["--mqtt-broker", &url]);
        findings.into_iter().find(|(name, _, _)| name == what)
    };
    let (_, ok, words) = until("the refused subscription", async || {
        of("subscriptions to robots").ok_or_else(|| json!("no finding"))
    })
    .await;
    assert!(!ok && words.contains(STATES), "{words}");
    assert!(words.contains("access list"), "{words}");
    let (_, ok, words) = of("broker of the robots").expect("a finding");
    assert!(ok && words.contains("does not subscribe"), "{words}");
    let (status, shown) = desk.v1("GET", "robots", "admin", Value::Null).await;
    assert_eq!(status, 200, "{shown}");
    let refused = &shown["refused_subscriptions"];
    assert_eq!(refused.as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(refused[0]["filter"], STATES, "{shown}");

    broker.refuse(&[]);
    until("the accepted subscription", async || {
        of("subscriptions to robots").map_or(Ok(()), |(_, _, words)| Err(json!(words)))
    })
    .await;
    let (_, shown) = desk.v1("GET", "robots", "admin", Value::Null).await;
    assert_eq!(shown["refused_subscriptions"], json!([]), "{shown}");
}
