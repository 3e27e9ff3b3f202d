//! These tests send notifications through a real mail relay (the PyPI package aiosmtpd) and through a
//! DingTalk robot that checks signatures. The mail relay writes its mails to a file, which the tests read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use functions::cli::demo::fakes::dingtalk::Robot;
use infra::channel::smtp::Smtp;
use infra::channel::{MailError, Mailer as _, contract};
use infra::clock::{Clock as _, SystemClock};
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tests::approval_request;
use tests::foreign::spawn;
use tests::process::{Process, free_port, root, until};

use crate::desk::Desk;

/// Number of tickets that the test opens while it kills the desk several times.
const TICKETS: usize = 40;
/// Number of times that the test kills the desk.
const KILLS: u64 = 8;

/// A mail relay that writes each mail to a file.
struct Relay {
    port: u16,
    file: PathBuf,
    _process: Process,
}

impl Relay {
    async fn start(folder: &std::path::Path) -> Self {
        let port = free_port();
        let file = folder.join("mails.jsonl");
        let mut command = Command::new(root().join("target/python/bin/python"));
        command
            .arg(root().join("tests/foreign/smtp_sink.py"))
            .arg(port.to_string())
            .arg(&file);
        let process = spawn(&mut command, &folder.join("relay.log"));
        until("the relay listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .map_err(|error| json!(error.to_string()))
        })
        .await;
        Self {
            port,
            file,
            _process: process,
        }
    }

    /// Returns all stored mails, in the order of their arrival.
    fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// Starts an imitation of a DingTalk robot in this process. The robot accepts the given token and secret.
/// Returns the robot and its URL.
async fn robot(token: &str, secret: &str) -> (Arc<Robot>, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let robot = Arc::new(Robot::new(token, secret, Arc::new(SystemClock)));
    tokio::spawn(robot.clone().serve(listener));
    (robot, format!("http://{address}/robot/send"))
}

fn relay_account(name: &str, port: u16) -> String {
    format!(
        "[[account]]\nname = \"{name}\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"服务台 <desk@example.com>\"\n"
    )
}

fn robot_account(name: &str, url: &str) -> String {
    format!("[[account]]\nname = \"{name}\"\nchannel = \"dingtalk_robot\"\nurl = \"{url}\"\n")
}

/// Opens an approval ticket with the lowest priority for the user lisi. Returns the ticket number, or `None`
/// if no response arrived.
async fn submit(desk: &Desk) -> Option<String> {
    let mut request = approval_request();
    for field in request["fields"].as_array_mut().expect("fields") {
        if field["key"] == "impact" || field["key"] == "urgency" {
            field["value"] = json!("1");
        }
    }
    let answer = desk.served().bk("create_ticket", request).await;
    answer["data"]["sn"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn the_smtp_client_passes_its_contract_on_a_real_relay() {
    let folder = tempfile::tempdir().expect("a directory");
    let relay = Relay::start(folder.path()).await;
    let mailer = Smtp::new(Egress::default().with_loopback(true));
    contract::check(&mailer, "127.0.0.1", relay.port).await;
    assert_eq!(relay.mails().len(), 1);
    let closed = Smtp::new(Egress::default());
    let content = contract::content();
    let mut account = contract::account("email");
    for (key, value) in [
        ("host", json!("127.0.0.1")),
        ("port", json!(relay.port)),
        ("tls", json!("starttls")),
        ("from", json!("desk@example.com")),
    ] {
        account.settings.insert(key.into(), value);
    }
    let email = infra::channel::find("email").expect("the channel");
    let outgoing = contract::outgoing(&account, "", "ok@example.com", &content);
    let Ok(infra::channel::Request::Mail(mail)) = email.request(&outgoing) else {
        panic!("a mail")
    };
    for (mailer, expected) in [(&closed, "--egress"), (&mailer, "STARTTLS")] {
        let outcome = mailer.send(&mail).await;
        assert!(
            matches!(&outcome, Err(MailError::NotSent(reason)) if reason.contains(expected)),
            "{expected}: {outcome:?}"
        );
    }
    assert_eq!(relay.mails().len(), 1, "no mail was sent");
}

#[tokio::test]
async fn an_approver_is_told_by_mail_and_by_a_signed_robot() {
    let folder = tempfile::tempdir().expect("a directory");
    let relay = Relay::start(folder.path()).await;
    let (right, url) = robot("t", "SECright").await;
    let (wrong, wrong_url) = robot("t", "SECother").await;
    let accounts = [
        relay_account("mail", relay.port),
        robot_account("ops_robot", &url),
        robot_account("wrong_robot", &wrong_url),
        "[policy]\naccounts = [\"mail\", \"ops_robot\", \"wrong_robot\"]\n".into(),
    ]
    .concat();
    let path = |name: &str| {
        folder
            .path()
            .join(name)
            .to_str()
            .expect("a path")
            .to_owned()
    };
    std::fs::write(path("accounts.toml"), accounts).expect("written");
    std::fs::write(
        path("secret.json"),
        r#"{"access_token":"t","secret":"SECright"}"#,
    )
    .expect("written");
    let secret = |account: &str| format!("channel/{account}={}", path("secret.json"));
    let (of_right, of_wrong) = (secret("ops_robot"), secret("wrong_robot"));
    let mut desk = Desk::start(&[
        "--accounts",
        &path("accounts.toml"),
        "--secret",
        &of_right,
        "--secret",
        &of_wrong,
    ]);
    let addresses = json!({ "email": "zhangsan@example.com", "dingtalk": "dt-zhangsan" });
    let preferences = json!({ "language": "en", "addresses": addresses, "aggregation": false });
    desk.v1(
        "PUT",
        "people/zhangsan/preferences",
        "zhangsan",
        preferences,
    )
    .await;
    let sn = submit(&desk).await.expect("a ticket");
    let shown = until("the notification is completed", async || {
        let inbox = desk
            .v1("GET", "inbox/zhangsan", "zhangsan", Value::Null)
            .await;
        let newest = inbox["notifications"][0].clone();
        if newest["state"] == "completed" {
            Ok(newest)
        } else {
            Err(inbox)
        }
    })
    .await;
    assert_eq!(shown["outcome"], "accepted", "{shown}");
    let [mail] = relay.mails().try_into().expect("one mail");
    let headers = &mail["headers"];
    assert_eq!(mail["defects"], json!([]), "{mail}");
    assert_eq!(headers["mime-version"], "1.0");
    let content_type = headers["content-type"].as_str().expect("a type");
    assert!(
        content_type.starts_with("multipart/alternative; boundary="),
        "{content_type}"
    );
    let id = headers["message-id"].as_str().expect("an id");
    assert!(id.starts_with('<') && id.ends_with("@example.com>"), "{id}");
    assert_eq!(headers["references"], format!("<ticket.{sn}@example.com>"));
    assert_eq!(headers["auto-submitted"], "auto-generated");
    let subject = format!("[{sn}] Approval needed: 申请堡垒机权限");
    assert_eq!(
        headers["subject"], subject,
        "another program reads the encoded subject"
    );
    let text = mail["parts"]["text/plain"].as_str().expect("a text part");
    assert!(text.contains(&format!("/tickets/{sn}")), "{text}");
    assert_eq!(right.accepted().len(), 1);
    assert!(wrong.accepted().is_empty());
    let why = format!(
        "notifications/{}/why?language=en",
        shown["id"].as_str().expect("an id")
    );
    let why = desk.v1("GET", &why, "zhangsan", Value::Null).await;
    let steps = why["steps"].as_array().expect("steps");
    let refused = steps
        .iter()
        .find(|step| step["account"] == "wrong_robot" && step["event"] == "delivery.failed")
        .expect("a refusal");
    let refusal = refused["text"].as_str().expect("a text");
    assert!(refusal.contains("310000): sign not match"), "{refusal}");
    // A second mail about the same ticket, to another person, belongs to the same thread of mails.
    let addresses = json!({ "language": "en", "addresses": { "email": "sunqi@example.com" } });
    desk.v1("PUT", "people/sunqi/preferences", "sunqi", addresses)
        .await;
    let deliver = json!({ "node": 3, "to": { "people": ["sunqi"] }, "message": "holiday" });
    desk.v1(
        "POST",
        &format!("tickets/{sn}/deliver"),
        "zhangsan",
        deliver,
    )
    .await;
    let second = until("the second mail about the ticket", async || {
        let to_sunqi = |mail: &Value| mail["to"] == "sunqi@example.com";
        let mails = relay.mails();
        let found = mails.iter().find(|mail| to_sunqi(mail)).cloned();
        found.ok_or(json!(mails.len()))
    })
    .await;
    assert_eq!(second["headers"]["references"], headers["references"]);
    assert_ne!(second["headers"]["message-id"], headers["message-id"]);
    // The next message is delayed, because the person has quiet hours (a period without messages) now. The desk
    // is restarted before the quiet hours end.
    let minute = |seconds: i64| {
        let at = SystemClock.now().0 / 1000 + seconds;
        let at = jiff::Timestamp::from_second(at).expect("a time");
        at.strftime("%H:%M").to_string()
    };
    let quiet = json!({ "from": minute(-3_600), "to": minute(70) });
    let preferences =
        json!({ "zone": "UTC", "quiet": quiet, "addresses": { "email": "zhangsan@example.com" } });
    desk.v1(
        "PUT",
        "people/zhangsan/preferences",
        "zhangsan",
        preferences,
    )
    .await;
    let held = submit(&desk).await.expect("a ticket");
    until("the notification is held", async || {
        let path = format!("notifications?ticket={held}");
        let all = desk.v1("GET", &path, "admin", Value::Null).await;
        let states = all["notifications"].as_array().cloned().unwrap_or_default();
        let is_held = states.iter().any(|one| one["state"] == "held");
        if is_held { Ok(()) } else { Err(all) }
    })
    .await;
    desk.restart();
    assert_eq!(relay.mails().len(), 2, "the message is held");
    until("the message is sent", async || {
        let mails = relay.mails();
        if mails.len() == 3 {
            Ok(())
        } else {
            Err(json!(mails.len()))
        }
    })
    .await;
    let references = format!("<ticket.{held}@example.com>");
    assert_eq!(relay.mails()[2]["headers"]["references"], references);
    let content_type = relay.mails()[2]["headers"]["content-type"].clone();
    assert_ne!(
        content_type, headers["content-type"],
        "each mail has its own boundary"
    );
    desk.restart();
    until("no notification is open", async || {
        let open = desk
            .v1("GET", "notifications?state=open", "admin", Value::Null)
            .await;
        if open["count"] == 0 {
            Ok(())
        } else {
            Err(open)
        }
    })
    .await;
    assert_eq!(relay.mails().len(), 3, "a restart sends nothing again");
    let verified = tests::process::printed(&["audit", "verify", "--data", desk.data()]);
    assert!(verified.contains("ok"), "{verified}");
}

#[tokio::test]
async fn no_notification_is_lost_after_kills() {
    let folder = tempfile::tempdir().expect("a directory");
    let relay = Relay::start(folder.path()).await;
    let accounts = [
        relay_account("repeated", relay.port),
        relay_account("once", relay.port)
            .replace("channel =", "repetition = \"at_most_once\"\nchannel ="),
        "[policy]\naccounts = [\"repeated\", \"once\"]\n".into(),
    ]
    .concat();
    let path = folder.path().join("accounts.toml");
    std::fs::write(&path, accounts).expect("written");
    let mut desk = Desk::start(&["--accounts", path.to_str().expect("a path")]);
    let preferences =
        json!({ "aggregation": false, "addresses": { "email": "zhangsan@example.com" } });
    desk.v1(
        "PUT",
        "people/zhangsan/preferences",
        "zhangsan",
        preferences,
    )
    .await;
    let mut opened = 0;
    for kill in 0..KILLS {
        for _ in 0..TICKETS / usize::try_from(KILLS).expect("a small number") {
            opened += usize::from(submit(&desk).await.is_some());
        }
        tokio::time::sleep(Duration::from_millis(7 * kill)).await;
        desk.restart();
    }
    assert_eq!(opened, TICKETS);
    let all = until("no notification is open", async || {
        let open = desk
            .v1("GET", "notifications?state=open", "admin", Value::Null)
            .await;
        let path = "inbox/zhangsan?page_size=200";
        let all = desk.v1("GET", path, "zhangsan", Value::Null).await;
        let is_done = open["count"] == 0 && all["count"] == TICKETS;
        if is_done {
            Ok(all)
        } else {
            Err(json!([open["count"], all["count"]]))
        }
    })
    .await;
    // Each delivery (the sending of one message through one channel) has its own Message-ID. If a delivery
    // sends its mail twice, the two mails have the same Message-ID.
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for mail in relay.mails() {
        let id = mail["headers"]["message-id"]
            .as_str()
            .expect("an id")
            .to_owned();
        *arrived.entry(id).or_default() += 1;
    }
    let (mut repeats, mut unknown, mut lost) = (0, 0, Vec::new());
    for notification in all["notifications"].as_array().expect("notifications") {
        for delivery in notification["deliveries"].as_array().expect("deliveries") {
            let id = format!(
                "<{}@example.com>",
                delivery["delivery"].as_str().expect("an id")
            );
            let count = arrived.get(&id).copied().unwrap_or_default();
            if delivery["account"] == "once" {
                assert!(count <= 1, "{delivery} arrived {count} times");
                unknown += usize::from(delivery["class"] == "unknown");
            } else {
                repeats += count.saturating_sub(1);
            }
            if count == 0 && delivery["is_accepted"] == true {
                lost.push(delivery.clone());
            }
        }
    }
    println!(
        "{TICKETS} notifications, {KILLS} kills: {} mails, {repeats} repeated, {unknown} with an unknown result",
        relay.mails().len()
    );
    assert_eq!(lost, Vec::<Value>::new(), "an accepted mail arrived");
    let repeated = all["notifications"]
        .as_array()
        .expect("notifications")
        .iter();
    let accepted = repeated.filter(|one| one["outcome"] == "accepted").count();
    assert_eq!(
        accepted, TICKETS,
        "the repeated account reached the person each time"
    );
}
