//! These tests send notifications through a real mail relay (the PyPI package aiosmtpd) and through a
//! DingTalk robot that checks signatures. The mail relay writes its mails to a file, which the tests read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use functions::cli::demo::fakes::dingtalk::Robot;
use infra::channel::smtp::Smtp;
use infra::channel::{MailError, Mailer as _, contract};
use infra::clock::{Clock as _, SystemClock};
use infra::crash::POINTS;
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tests::approval_request;
use tests::foreign::spawn;
use tests::process::{Process, Served, call, client, free_port, root, until};

use crate::desk::{Desk, number_of};

/// Number of times that the test kills the desk. It opens one ticket before each kill. The environment variable
/// `LEDGERDESK_KILLS` can set another number, at most 200.
const KILLS: u64 = 14;
/// The number of the signal SIGKILL.
const SIGKILL: i32 = 9;
/// Time after which the test kills a desk that has not reached its crash point (a named place in the program).
const LIFETIME: Duration = Duration::from_secs(3);

/// Time in milliseconds in which the person of one test gets no messages. It is long enough for a restart of the desk.
const HELD_MS: i64 = 15_000;

/// A mail relay that writes each mail to a file.
pub(crate) struct Relay {
    pub(crate) port: u16,
    file: PathBuf,
    _process: Process,
}

impl Relay {
    pub(crate) async fn start(folder: &std::path::Path) -> Self {
        Self::start_as(folder, "mails", &[]).await
    }

    /// Starts one of several relays. Its files have the given name, and `more` are the further arguments of the program.
    pub(crate) async fn start_as(folder: &std::path::Path, name: &str, more: &[&str]) -> Self {
        let port = free_port();
        let file = folder.join(format!("{name}.jsonl"));
        let mut command = Command::new(root().join("target/python/bin/python"));
        command
            .arg(root().join("tests/foreign/smtp_sink.py"))
            .arg(port.to_string())
            .arg(&file)
            .args(more);
        let process = spawn(&mut command, &folder.join(format!("{name}.log")));
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
    pub(crate) fn mails(&self) -> Vec<Value> {
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
pub(crate) async fn submit(desk: &Desk) -> Option<String> {
    submit_to(desk.served()).await
}

/// Opens the same ticket at a desk that the test does not start again.
pub(crate) async fn submit_to(desk: &Served) -> Option<String> {
    let mut request = approval_request();
    for field in request["fields"].as_array_mut().expect("fields") {
        if field["key"] == "impact" || field["key"] == "urgency" {
            field["value"] = json!("1");
        }
    }
    let answer = desk.bk("create_ticket", request).await;
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

/// Waits until every notification is completed.
async fn nothing_is_open(desk: &Desk) {
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
    // The next message is delayed, because the person is not to be disturbed now. The desk is restarted before this
    // period ends.
    let until_ms = SystemClock.now().0 + HELD_MS;
    let until_at = jiff::Timestamp::from_millisecond(until_ms).expect("a time");
    let preferences = json!({
        "do_not_disturb_until": until_at.to_string(),
        "addresses": { "email": "zhangsan@example.com" },
    });
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
    let mails = relay.mails().len();
    if SystemClock.now().0 < until_ms {
        assert_eq!(mails, 2, "the message is held");
    }
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
    // The relay has the mail before the desk has stored the result. A restart in between sends the mail again.
    nothing_is_open(&desk).await;
    desk.restart();
    nothing_is_open(&desk).await;
    assert_eq!(relay.mails().len(), 3, "a restart sends nothing again");
    let verified = tests::process::printed(&["audit", "verify", "--data", desk.data()]);
    assert!(verified.contains("ok"), "{verified}");
}

/// The paths and the bodies of the requests to the imitated providers, in the order of their arrival.
type Stored = Arc<Mutex<Vec<(String, String)>>>;

/// Imitates the providers of HTTP accounts. Accepts every message, and issues an access token to everybody.
async fn accept(
    State(stored): State<Stored>,
    uri: axum::http::Uri,
    body: axum::body::Bytes,
) -> Json<Value> {
    let body = String::from_utf8_lossy(&body).into_owned();
    let path = uri.path().to_owned();
    stored.lock().expect("no holder panics").push((path, body));
    Json(json!({
        "errcode": 0, "errmsg": "ok", "access_token": "t", "expires_in": 7200, "ok": true, "ts": "1.2", "channel": "D1",
    }))
}

/// The HTTP accounts of the test that kills the desk: the name, the end of the path of their messages, and whether the desk
/// repeats a message with an unknown result.
const HTTP_ACCOUNTS: [(&str, &str, bool); 3] = [
    ("robot", "/robot/send", false),
    ("slack", "/chat.postMessage", false),
    ("wecom", "/cgi-bin/message/send", true),
];

/// Returns the arguments of a desk with five accounts. The mails go to the relay, and all other messages to `url`.
fn five_accounts(folder: &std::path::Path, port: u16, url: &str) -> Vec<String> {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let secrets = [
        ("robot", r#"{"access_token":"t","secret":"SECx"}"#),
        ("slack", "xoxb-1-secret"),
        ("wecom", r#"{"corpid":"ww1","corpsecret":"s"}"#),
    ];
    let definitions = [
        relay_account("repeated", port),
        relay_account("once", port)
            .replace("channel =", "repetition = \"at_most_once\"\nchannel ="),
        format!(
            "[[account]]\nname = \"robot\"\nchannel = \"dingtalk_robot\"\nurl = \"{url}/robot/send\"\nper_minute = 1000\n"
        ),
        format!(
            "[[account]]\nname = \"slack\"\nchannel = \"slack\"\nurl = \"{url}/api\"\nper_minute = 1000\n"
        ),
        format!(
            "[[account]]\nname = \"wecom\"\nchannel = \"wecom_app\"\nurl = \"{url}\"\nagentid = 1\n"
        ),
        "[policy]\naccounts = [\"repeated\", \"once\", \"robot\", \"slack\", \"wecom\"]\n".into(),
    ];
    let mut arguments = vec![
        "--accounts".into(),
        file("accounts.toml", &definitions.concat()),
    ];
    for (name, secret) in secrets {
        let path = file(&format!("{name}.secret"), secret);
        arguments.extend(["--secret".into(), format!("channel/{name}={path}")]);
    }
    arguments
}

/// Kills the desk at each step of a send: before and after it stores a commit, before the request, and after the response. In
/// the end, each ticket has its entry in the inbox, and each message has arrived as its account allows.
#[tokio::test(flavor = "multi_thread")]
async fn no_notification_is_lost_after_kills() {
    let kills = number_of("LEDGERDESK_KILLS", KILLS);
    let kills = usize::try_from(kills).expect("a small number");
    assert!((1..=200).contains(&kills), "an inbox page has 200 entries");
    let folder = tempfile::tempdir().expect("a directory");
    let relay = Relay::start(folder.path()).await;
    let stored = Stored::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = axum::Router::new()
        .fallback(accept)
        .with_state(stored.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let accounts = five_accounts(folder.path(), relay.port, &url);
    let (data, port) = (folder.path().join("data"), free_port());
    let start = |crash: &[&str]| {
        let accounts = accounts.iter().map(String::as_str);
        let more: Vec<&str> = accounts.chain(crash.iter().copied()).collect();
        Served::start_at(&data, port, &more)
    };
    let desk = start(&[]);
    let preferences = json!({ "aggregation": false, "addresses": {
        "email": "zhangsan@example.com", "dingtalk": "dt-zhangsan", "slack": "U0000ZHANG", "wecom": "zhangsan",
    } });
    let path = "people/zhangsan/preferences";
    let (status, answer) = desk.v1("PUT", path, "zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
    desk.kill();
    let mut request = approval_request();
    for field in request["fields"].as_array_mut().expect("fields") {
        if field["key"] == "impact" || field["key"] == "urgency" {
            field["value"] = json!("1");
        }
    }
    let base = format!("http://127.0.0.1:{port}");
    let client = client();
    let submit = async |kill: usize| {
        let key = format!("ticket-{kill}");
        let answer = call(
            &client,
            &base,
            "create_ticket",
            request.clone(),
            Some(key.as_str()),
        );
        answer
            .await
            .and_then(|answer| answer["data"]["sn"].as_str().map(str::to_owned))
    };
    let mut at_points: BTreeMap<&str, usize> = BTreeMap::new();
    let mut killed = 0;
    for kill in 0..kills {
        // The points of a request come first, because an interrupted attempt ends only after some time.
        let point = POINTS[POINTS.len() - 1 - kill % POINTS.len()];
        let round = kill / POINTS.len();
        // A desk stores and follows more commits than it sends requests.
        let nth = if matches!(point, "before-request" | "during-callback") {
            1 + round % 5
        } else {
            3 + round * 5 % 16
        };
        let mut desk = start(&["--crash-at", &format!("{point}:{nth}")]);
        if desk.is_up() {
            submit(kill).await;
        }
        let died = tokio::time::timeout(LIFETIME, async {
            while !desk.has_ended() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let is_at_point = died.await.is_ok();
        // A desk that ended by itself, for example because its port was in use, was not killed.
        let signal = desk.end();
        assert_eq!(signal, Some(SIGKILL), "kill {kill} at {point}:{nth}");
        killed += 1;
        if is_at_point {
            *at_points.entry(point).or_default() += 1;
        }
    }
    println!("{killed} kills, of which at armed points: {at_points:?}");
    assert_eq!(killed, kills);
    assert!(
        at_points.contains_key("before-request") && at_points.contains_key("during-callback"),
        "the desk was killed before a request and after a response"
    );
    let desk = start(&[]);
    let mut tickets = Vec::new();
    for kill in 0..kills {
        tickets.push(submit(kill).await.expect("a ticket"));
    }
    let all = until("no notification is open", async || {
        let path = "notifications?state=open";
        let (_, open) = desk.v1("GET", path, "admin", Value::Null).await;
        let path = "inbox/zhangsan?page_size=200";
        let (_, all) = desk.v1("GET", path, "zhangsan", Value::Null).await;
        let is_done = open["count"] == 0 && all["count"] == kills;
        if is_done {
            Ok(all)
        } else {
            Err(json!([open["count"], all["count"]]))
        }
    })
    .await;
    // Each delivery (the sending of one message through one channel) has its own Message-ID. If a delivery
    // sends its mail twice, the two mails have the same Message-ID.
    let mut mails: BTreeMap<String, usize> = BTreeMap::new();
    for mail in relay.mails() {
        let id = mail["headers"]["message-id"].as_str().expect("an id");
        *mails.entry(id.to_owned()).or_default() += 1;
    }
    let messages = stored.lock().expect("no holder panics").clone();
    let (mut repeats, mut unknown) = (
        BTreeMap::<&str, usize>::new(),
        BTreeMap::<&str, usize>::new(),
    );
    let notifications = all["notifications"].as_array().expect("notifications");
    for notification in notifications {
        let ticket = notification["ticket"].as_str().expect("a ticket");
        assert!(tickets.iter().any(|sn| sn == ticket), "{ticket}");
        let deliveries = notification["deliveries"].as_array().expect("deliveries");
        assert_eq!(deliveries.len(), 2 + HTTP_ACCOUNTS.len(), "{notification}");
        for delivery in deliveries {
            let account = delivery["account"].as_str().expect("an account");
            let id = delivery["delivery"].as_str().expect("an id");
            let http = HTTP_ACCOUNTS.iter().find(|(name, ..)| *name == account);
            let (account, arrived, may_repeat) = if let Some((name, path, may_repeat)) = http {
                let own = messages
                    .iter()
                    .filter(|(at, body)| at.ends_with(path) && body.contains(ticket));
                let bodies: Vec<&String> = own.map(|(_, body)| body).collect();
                // WeCom recognizes a repeated message by its complete content, and shows it once.
                let is_equal = bodies.windows(2).all(|two| two[0] == two[1]);
                assert!(
                    is_equal,
                    "{account}: a repeated message differs: {bodies:?}"
                );
                (*name, bodies.len(), *may_repeat)
            } else {
                // The tag after the id is the same in each repetition.
                let start = format!("<{id}.");
                let of_delivery: Vec<usize> = mails
                    .iter()
                    .filter(|(mark, _)| mark.starts_with(&start))
                    .map(|(_, arrived)| *arrived)
                    .collect();
                assert!(of_delivery.len() <= 1, "{delivery}: {of_delivery:?}");
                let arrived = of_delivery.iter().sum();
                let name = if account == "once" {
                    "once"
                } else {
                    "repeated"
                };
                (name, arrived, account == "repeated")
            };
            if may_repeat {
                assert!(arrived >= 1, "{delivery} is lost");
                *repeats.entry(account).or_default() += arrived - 1;
            } else {
                assert!(arrived <= 1, "{delivery} arrived {arrived} times");
                *unknown.entry(account).or_default() += usize::from(delivery["class"] == "unknown");
                let is_named = delivery["is_accepted"] == true || delivery["class"] == "unknown";
                assert!(is_named, "{delivery}");
            }
            assert!(
                delivery["is_accepted"] != true || arrived >= 1,
                "{delivery} is accepted and did not arrive"
            );
        }
        assert_eq!(notification["outcome"], "accepted", "{notification}");
    }
    println!(
        "{kills} kills, {} messages: repeated {repeats:?}, with an unknown result {unknown:?}",
        relay.mails().len() + messages.len()
    );
}
