//! These tests search the files, the log and the answers of a desk for data that must not be there: the secrets of channel
//! accounts, and the addresses and messages of a person who was erased.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::{Json, Router};
use functions::cli::demo::fakes::dingtalk::{PATH, Robot};
use infra::channel::dingtalk_robot::sign;
use infra::channel::push::new_es256_key;
use infra::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tests::process::{APP, Served, client, free_port, printed, program, until};

/// The token that the imitated provider issues.
const TOKEN: &str = "granted-token-7731";

/// One request that arrived at the imitated provider.
#[derive(Clone)]
struct Arrived {
    path: String,
    headers: String,
    body: String,
}

/// An imitation of all providers. It issues an access token to everybody. If `refuses` is set, it refuses each message with an
/// error that repeats the secrets in the request, as real providers do.
struct Provider {
    refuses: AtomicBool,
    secrets: Mutex<Vec<String>>,
    arrived: Mutex<Vec<Arrived>>,
}

impl Provider {
    async fn start() -> (Arc<Self>, String) {
        let provider = Arc::new(Self {
            refuses: AtomicBool::new(false),
            secrets: Mutex::default(),
            arrived: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (provider, url)
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().expect("no holder panics").clone()
    }
}

async fn answer(
    State(provider): State<Arc<Provider>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let path = uri.to_string();
    let arrived = Arrived {
        path: format!("{method} {path}"),
        headers: format!("{headers:?}"),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let request = format!("{} {} {}", arrived.path, arrived.headers, arrived.body);
    provider
        .arrived
        .lock()
        .expect("no holder panics")
        .push(arrived);
    if is_token_request(&path) {
        let issued = json!({
            "errcode": 0, "errmsg": "ok", "code": 0, "msg": "ok", "access_token": TOKEN, "accessToken": TOKEN,
            "tenant_access_token": TOKEN, "expires_in": 7200, "expireIn": 7200, "expire": 7200, "token_type": "Bearer",
        });
        return (StatusCode::OK, Json(issued));
    }
    if !provider.refuses.load(Ordering::SeqCst) {
        let accepted =
            json!({ "errcode": 0, "code": 0, "ok": true, "result": true, "sid": "SM1", "ts": "1" });
        return (StatusCode::OK, Json(accepted));
    }
    let secrets = provider.secrets.lock().expect("no holder panics").clone();
    let sent: Vec<String> = secrets
        .into_iter()
        .filter(|secret| request.contains(secret.as_str()))
        .collect();
    let text = format!("bad token {}", sent.join(" "));
    let refused = json!({
        "errcode": 40014, "errmsg": text, "code": 99_991_663, "msg": text, "message": text, "ok": false, "error": text,
        "error_description": text, "reason": text, "result": false,
    });
    (StatusCode::BAD_REQUEST, Json(refused))
}

fn is_token_request(path: &str) -> bool {
    let names = [
        "oauth2",
        "gettoken",
        "/token",
        "tenant_access_token",
        "accessToken",
        "stable_token",
    ];
    // The query of a request for a message can contain the parameter `access_token`.
    let path = path.split('?').next().unwrap_or_default();
    names.iter().any(|name| path.contains(name))
}

/// A channel account of the test: the channel, its settings as TOML, and its secret.
struct Account {
    channel: &'static str,
    settings: String,
    secret: String,
}

/// Returns an RSA key in PEM, for the service account of FCM.
fn rsa_key() -> String {
    let output = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt"])
        .arg("rsa_keygen_bits:2048")
        .output();
    let key = output.expect("openssl runs").stdout;
    String::from_utf8(key).expect("a key in PEM")
}

/// Returns one account of each channel that sends over HTTP. All of them send to the provider at `url`.
fn accounts(url: &str) -> Vec<Account> {
    let account = |channel: &'static str, settings: String, secret: Value| Account {
        channel,
        settings,
        secret: match secret {
            Value::String(secret) => secret,
            secret => secret.to_string(),
        },
    };
    let at = |more: &str| format!("url = \"{url}\"\n{more}");
    let dingtalk =
        |name: &str| json!({ "app_key": "dingkey", "app_secret": format!("secret-7731-{name}") });
    let fcm = json!({
        "type": "service_account", "project_id": "demo", "private_key_id": "key-1", "private_key": rsa_key(),
        "client_email": "desk@demo.iam.gserviceaccount.com", "client_id": "1", "token_uri": format!("{url}/token"),
    });
    let workflow = format!(
        "{url}/workflows/a1/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=secret-7731-teamsflow"
    );
    let hook = format!("{url}/services/T012/B012/secret7731slackhook");
    vec![
        account(
            "dingtalk_robot",
            format!("url = \"{url}{PATH}\""),
            json!({ "access_token": "secret-7731-robot", "secret": "SECsecret-7731-sign" }),
        ),
        account(
            "wecom_robot",
            format!("url = \"{url}/cgi-bin/webhook/send\""),
            json!("secret-7731-wecomrobot"),
        ),
        account(
            "wecom_app",
            at("agentid = 1"),
            json!({ "corpid": "ww1", "corpsecret": "secret-7731-wecomapp" }),
        ),
        account(
            "public_account",
            at("template_id = \"tpl_1\""),
            json!({ "appid": "wx1", "secret": "secret-7731-public" }),
        ),
        account("dingtalk_app", at("robot_code = \"r\""), dingtalk("app")),
        account("dingtalk_notice", at("agent_id = 1"), dingtalk("notice")),
        account(
            "dingtalk_card",
            at("robot_code = \"r\"\ncard_template_id = \"c.schema\""),
            dingtalk("card"),
        ),
        account(
            "slack",
            format!("url = \"{url}/api\""),
            json!("xoxb-secret-7731-slack"),
        ),
        account("slack_webhook", String::new(), json!(hook)),
        account("teams_workflow", String::new(), json!(workflow)),
        account(
            "teams_bot",
            format!(
                "app_id = \"0a1b2c3d-0000-4000-8000-000000000001\"\nurl = \"{url}/teams\"\ntoken_url = \"{url}/oauth2/v2.0/token\""
            ),
            json!("secret-7731-teamsbot"),
        ),
        account(
            "feishu",
            at(""),
            json!({ "app_id": "cli_a", "app_secret": "secret-7731-feishu" }),
        ),
        account(
            "feishu_robot",
            at(""),
            json!({ "token": "secret-7731-feishurobot", "secret": "secret-7731-feishusign" }),
        ),
        account(
            "sms",
            at("shape = \"twilio\"\nfrom = \"+15005550006\""),
            json!({ "account_sid": format!("AC{}", "0".repeat(32)), "auth_token": "secret-7731-twilio" }),
        ),
        account(
            "cmsi",
            at("app = \"bk_app\"\nmsg_type = \"mail\""),
            json!("secret-7731-cmsi"),
        ),
        account("fcm", at(""), fcm),
        account(
            "apns",
            at("topic = \"com.example.desk\""),
            json!({ "key_id": "KEY1234567", "team_id": "TEAM123456", "private_key": new_es256_key() }),
        ),
    ]
}

/// Returns the texts of a secret that must be in no file. A private key is searched for by one of its lines.
fn texts(secret: &str) -> Vec<String> {
    let Ok(Value::Object(members)) = serde_json::from_str(secret) else {
        let part = secret.rsplit(['/', '=']).next();
        return vec![part.unwrap_or_default().to_owned()];
    };
    let hidden = ["secret", "token", "private_key"];
    let is_hidden = |name: &str| hidden.iter().any(|one| name.ends_with(one));
    let texts = members.iter().filter(|(name, _)| is_hidden(name));
    let texts = texts.filter_map(|(_, value)| value.as_str());
    texts
        .map(|text| text.lines().nth(1).unwrap_or(text).to_owned())
        .collect()
}

/// A running desk whose log is in a file.
pub(crate) struct Logged {
    pub(crate) desk: Served,
    pub(crate) log: PathBuf,
}

impl Logged {
    /// Starts a desk with the data in `folder`. The log contains a line for each request.
    fn start(folder: &Path, more: &[&str]) -> Self {
        Self::start_with(folder, more, &[])
    }

    /// Starts a desk with more environment variables.
    pub(crate) fn start_with(folder: &Path, more: &[&str], environment: &[(&str, &Path)]) -> Self {
        let log = folder.join("log");
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" \"$@\" 2>>\"$LOG\""])
            .arg(program())
            .env("LOG", &log)
            .envs(environment.iter().copied());
        let more: Vec<&str> = more.iter().copied().chain(["--access-log"]).collect();
        let desk = Served::start_by(command, &folder.join("data"), &more);
        assert!(desk.is_up(), "the desk starts");
        Self { desk, log }
    }

    pub(crate) async fn v1(&self, method: &str, path: &str, user: &str, body: Value) -> Value {
        let (status, answer) = self.desk.v1(method, path, user, body).await;
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    }

    /// Opens a ticket of the user lisi about which zhangsan gets a message.
    pub(crate) async fn submit(&self) -> String {
        let fields = json!({
            "title": "a", "apply_content": "b", "impact": "1", "urgency": "1", "ZHIDINGSHENPIREN": "zhangsan",
            "LIANXIDIANHUA": "13800000000",
        });
        let body = json!({ "service_id": 22, "fields": fields });
        let opened = self.v1("POST", "tickets", "lisi", body).await;
        opened["sn"].as_str().expect("a number").to_owned()
    }

    pub(crate) async fn metrics(&self) -> String {
        let request = client()
            .get(format!("{}/metrics", self.desk.base))
            .basic_auth(APP.0, Some(APP.1));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        response.text().await.expect("a text")
    }
}

/// Returns the contents of all files below a directory, with their paths. The contents of the files in `except` are omitted.
pub(crate) fn contents(directory: &Path, except: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(contents(&path, except));
        } else if except.is_empty() || !path.to_string_lossy().contains(except) {
            let bytes = std::fs::read(&path).expect("a file");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            found.push((path.display().to_string(), text));
        }
    }
    found
}

/// Checks that none of the texts `hidden` is in one of `places`, each with its name.
pub(crate) fn check_absent(places: &[(String, String)], hidden: &[String]) {
    for (name, content) in places {
        for text in hidden {
            assert!(!content.contains(text.as_str()), "{text} is in {name}");
        }
    }
}

/// Stores the definitions and the secrets of accounts in files. Returns the arguments of the program.
fn arguments(folder: &Path, accounts: &[Account]) -> Vec<String> {
    let mut definitions = String::new();
    let mut arguments = Vec::new();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    for Account {
        channel,
        settings,
        secret,
    } in accounts
    {
        let head = format!("[[account]]\nname = \"{channel}\"\nchannel = \"{channel}\"\n");
        definitions.extend([&head, settings, "\n"]);
        let secret = file(&format!("{channel}.secret"), secret);
        arguments.extend(["--secret".into(), format!("channel/{channel}={secret}")]);
    }
    let names: Vec<&str> = accounts.iter().map(|account| account.channel).collect();
    let policy = format!("[policy]\naccounts = {}\n", json!(names));
    definitions.push_str(&policy);
    arguments.extend(["--accounts".into(), file("accounts.toml", &definitions)]);
    arguments
}

/// Waits until each of the accounts made an attempt to send the notification. Returns the explanation of the notification.
async fn attempted(desk: &Logged, id: &str, accounts: usize) -> Value {
    let path = format!("notifications/{id}/why?language=en");
    until("each account made an attempt", async || {
        let why = desk.v1("GET", &path, "zhangsan", Value::Null).await;
        let steps = why["steps"].as_array().expect("steps");
        let is_result = |step: &&Value| {
            let event = step["event"].as_str().unwrap_or_default();
            matches!(
                event,
                "delivery.failed"
                    | "delivery.succeeded"
                    | "delivery.attempt_failed"
                    | "delivery.postponed"
            )
        };
        let names = steps.iter().filter(is_result).map(|step| &step["account"]);
        let mut names: Vec<String> = names.map(Value::to_string).collect();
        names.sort();
        names.dedup();
        if names.len() == accounts {
            Ok(why.clone())
        } else {
            Err(json!(names))
        }
    })
    .await
}

/// Returns the addresses of the person who gets the messages.
fn addresses() -> Value {
    json!({
        "dingtalk": "dt-7731-person", "wecom": "wecom-7731-person", "openid": "oABC-7731-person", "slack": "U7731PERSON",
        "teams_user": "person-7731@example.com", "teams": "a:7731-person_x-2", "feishu": "ou_7731person",
        "phone": "+8613800007731", "blueking": "person-7731", "fcm": "7731person:APA91bH_kq-0123456789",
        "apns": "7731ad785122b4ad28809a3420982341241421348097878e577c991de8f0aaaa",
    })
}

/// Runs a desk that sends two messages over each account. Calls `prepare` with the number of each message, from 0. Returns
/// everything that the desk stored, logged and answered, except its key store, which holds the secrets.
async fn searched(
    folder: &Path,
    accounts: &[Account],
    prepare: impl Fn(usize),
) -> Vec<(String, String)> {
    let more = arguments(folder, accounts);
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let desk = Logged::start(folder, &more);
    let preferences = json!({ "addresses": addresses(), "aggregation": false });
    desk.v1(
        "PUT",
        "people/zhangsan/preferences",
        "zhangsan",
        preferences,
    )
    .await;
    let mut places = Vec::new();
    for message in 0..2 {
        prepare(message);
        desk.submit().await;
        let id = until("a notification", async || {
            let inbox = desk
                .v1("GET", "inbox/zhangsan", "zhangsan", Value::Null)
                .await;
            let id = inbox["notifications"][0]["id"].as_str().map(str::to_owned);
            id.filter(|_| inbox["count"] == message + 1).ok_or(inbox)
        })
        .await;
        let why = attempted(&desk, &id, accounts.len()).await;
        places.push((format!("why {message}"), why.to_string()));
    }
    for list in [
        "deliveries?state=failed",
        "deliveries?state=open",
        "channel-accounts",
    ] {
        let shown = desk.v1("GET", list, "admin", Value::Null).await;
        places.push((list.to_owned(), shown.to_string()));
    }
    places.push(("metrics".into(), desk.metrics().await));
    let log = desk.log.clone();
    desk.desk.kill();
    places.push(("log".into(), std::fs::read_to_string(log).expect("a log")));
    let data = folder.join("data");
    places.extend(contents(&data, "keys.db"));
    let data = data.to_str().expect("a path");
    places.push((
        "export".into(),
        printed(&["audit", "export", "--data", data]),
    ));
    places
}

/// The imitated provider first answers with success, and then repeats the secrets of each request in its error. A second desk
/// sends to a port at which nobody listens, because the texts of such errors can contain the address of a request.
#[tokio::test]
async fn no_secret_of_a_channel_is_in_events_views_logs_or_answers() {
    let folder = tempfile::tempdir().expect("a directory");
    let (provider, url) = Provider::start().await;
    let accounts = accounts(&url);
    let mut secrets: Vec<String> = accounts
        .iter()
        .flat_map(|account| texts(&account.secret))
        .collect();
    assert!(secrets.len() >= accounts.len());
    secrets.push(TOKEN.to_owned());
    *provider.secrets.lock().expect("no holder panics") = secrets.clone();
    provider.refuses.store(false, Ordering::SeqCst);
    let mut places = searched(folder.path(), &accounts, |message| {
        provider.refuses.store(message > 0, Ordering::SeqCst);
    })
    .await;
    assert!(
        places.iter().any(|(_, text)| text.contains("<secret>")),
        "a refusal with a secret is stored"
    );
    let closed = format!("http://127.0.0.1:{}", free_port());
    let moved: Vec<Account> = accounts
        .iter()
        .map(|account| Account {
            channel: account.channel,
            settings: account.settings.replace(&url, &closed),
            secret: account.secret.replace(&url, &closed),
        })
        .collect();
    let other = tempfile::tempdir().expect("a directory");
    places.extend(searched(other.path(), &moved, |_| {}).await);
    let people = addresses();
    let people = people.as_object().expect("addresses").values();
    let people = people.filter_map(Value::as_str).map(str::to_owned);
    check_absent(&places, &[secrets.clone(), people.collect()].concat());
    // In a request for a message, a secret is in the URL or in a header. Only the old message bus reads it in the body.
    let arrived = provider.arrived();
    let used = |text: &&String| {
        let in_request = |one: &Arrived| {
            [&one.path, &one.headers, &one.body]
                .iter()
                .any(|part| part.contains(text.as_str()))
        };
        arrived.iter().any(in_request)
    };
    let used = secrets.iter().filter(used).count();
    println!(
        "{} requests, {used} of {} secrets sent as they are, {} places searched",
        arrived.len(),
        secrets.len(),
        places.len()
    );
    assert!(
        used >= 9,
        "{used}: the others are used for signatures or in an encoded form"
    );
    for one in &arrived {
        if is_token_request(&one.path) || one.path.contains("/cmsi/") {
            continue;
        }
        for secret in &secrets {
            let is_in_body = one.body.contains(secret.as_str());
            assert!(
                !is_in_body,
                "{secret} is in the body of a message to {}",
                one.path
            );
        }
    }
}

const PERSON: &str = "qian-to-be-erased";
const MAILBOX: &str = "mailbox-7731@example.com";
const CHAT: &str = "dt-7731-erased";
const WORDS: &str = "words-7731-inbound";

/// Sends a chat message of the person to the desk, as DingTalk does.
async fn say(desk: &Logged, id: &str, text: &str, replies: &str) {
    let at = SystemClock.now();
    let body = json!({
        "msgtype": "text", "msgId": id, "senderStaffId": CHAT, "senderNick": "nick-7731", "text": { "content": text },
        "sessionWebhook": replies,
    });
    let request = client()
        .post(format!(
            "{}/callbacks/channels/dingtalk/ops_robot",
            desk.desk.base
        ))
        .header("timestamp", at.0.to_string())
        .header("sign", sign("SECapp", at))
        .header("content-type", "application/json")
        .body(body.to_string());
    let status = request.send().await.expect("an answer").status().as_u16();
    assert_eq!(status, 200, "{text}");
}

/// The person has messages in every state: sent, waiting for another attempt, collected in a digest, and held. The person has
/// also linked a chat account and sent a message.
#[tokio::test]
async fn the_messages_of_an_erased_person_are_in_no_file_and_are_not_sent() {
    let folder = tempfile::tempdir().expect("a directory");
    let robot = Arc::new(Robot::new("t", "SECx", Arc::new(SystemClock)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(robot.clone().serve(listener));
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let accounts = format!(
        "[[account]]\nname = \"ops_robot\"\nchannel = \"dingtalk_robot\"\nurl = \"{url}{PATH}\"\n\
         [[account]]\nname = \"mail\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nfrom = \"desk@example.com\"\n\
         [policy]\naccounts = [\"ops_robot\", \"mail\"]\n",
        free_port()
    );
    let accounts = file("accounts.toml", &accounts);
    let secret = file("secret", r#"{"access_token":"t","secret":"SECx"}"#);
    let channel = format!("channel/ops_robot={secret}");
    let inbound = format!("inbound/ops_robot={}", file("inbound", "SECapp"));
    let more = [
        "--accounts",
        accounts.as_str(),
        "--secret",
        &channel,
        "--secret",
        &inbound,
    ];
    let desk = Logged::start(folder.path(), &more);
    let path = format!("people/{PERSON}/preferences");
    let mut preferences =
        json!({ "language": "en", "addresses": { "email": MAILBOX, "dingtalk": CHAT } });
    desk.v1("PUT", &path, PERSON, preferences.clone()).await;
    let follow = json!({ "people": [PERSON] });
    let sn = desk.submit().await;
    desk.v1(
        "POST",
        &format!("tickets/{sn}/follow"),
        "lisi",
        follow.clone(),
    )
    .await;
    for _ in 0..2 {
        let remark = json!({ "text": "see the list" });
        desk.v1("POST", &format!("tickets/{sn}/remark"), "lisi", remark)
            .await;
    }
    let verify = format!("people/{PERSON}/addresses/dingtalk/verify");
    let code = desk.v1("POST", &verify, PERSON, json!({})).await["code"].clone();
    let link = format!("link {}", code.as_str().expect("a code"));
    say(&desk, "m1", &link, &format!("{url}/session-7731")).await;
    say(&desk, "m2", WORDS, &format!("{url}/session-7731")).await;
    let states = async |desk: &Logged| {
        let inbox = format!("inbox/{PERSON}");
        let shown = desk.v1("GET", &inbox, PERSON, Value::Null).await;
        let all = shown["notifications"].as_array().cloned();
        let all = all.unwrap_or_default().into_iter();
        all.map(|one| one["state"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    until("three notifications", async || {
        let found = states(&desk).await;
        if found.len() == 3 && robot.accepted().len() >= 2 {
            Ok(())
        } else {
            Err(json!(found))
        }
    })
    .await;
    let later = jiff::Timestamp::from_millisecond(SystemClock.now().0 + 3_600_000);
    preferences["do_not_disturb_until"] = json!(later.expect("a time").to_string());
    desk.v1("PUT", &path, PERSON, preferences).await;
    let other = desk.submit().await;
    desk.v1("POST", &format!("tickets/{other}/follow"), "lisi", follow)
        .await;
    until("a message is held", async || {
        let found = states(&desk).await;
        if found.iter().any(|state| state == "held") {
            Ok(())
        } else {
            Err(json!(found))
        }
    })
    .await;
    let open = desk
        .v1("GET", "deliveries?state=open", "admin", Value::Null)
        .await;
    assert!(
        open["count"].as_u64() >= Some(1),
        "a mail waits for its next attempt: {open}"
    );
    let accepted = robot.accepted();
    assert!(accepted.iter().any(|one| one.to_string().contains(CHAT)));
    let log = desk.log.clone();
    desk.desk.kill();
    let data = folder.path().join("data");
    let data_text = data.to_str().expect("a path");
    let report = printed(&["forget", PERSON, "--yes", "--json", "--data", data_text]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["erased"], true, "{report}");
    let hidden = [PERSON, MAILBOX, CHAT, WORDS, "nick-7731", "session-7731"].map(str::to_owned);
    let search = || {
        let mut places = contents(&data, "");
        let written = std::fs::read_to_string(&log).expect("a log");
        places.push(("log".into(), written));
        check_absent(&places, &hidden);
    };
    search();
    // The next desk sends nothing to this person.
    let desk = Logged::start(folder.path(), &more);
    until("no delivery is open", async || {
        let open = desk
            .v1("GET", "deliveries?state=open", "admin", Value::Null)
            .await;
        if open["count"] == 0 {
            Ok(())
        } else {
            Err(open)
        }
    })
    .await;
    assert_eq!(robot.accepted().len(), accepted.len());
    desk.desk.kill();
    search();
}
