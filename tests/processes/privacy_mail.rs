//! This test searches the files, the log and the answers of a desk for the passwords of its mail accounts, for the secrets with
//! which platforms sign their messages, and for the keys that the desk made itself.

use std::path::Path;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use functions::cli::demo::fakes::teams::Teams;
use infra::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tests::foreign::certificates;
use tests::process::{client, printed, until};

use crate::chats::{ACCOUNTS, LANES, Lane, Said};
use crate::mail::Dovecot;
use crate::notifications::Relay;
use crate::privacy::{Logged, check_absent, contents};

const SMTP_PASSWORD: &str = "secret-7731-smtp";
const WRONG_SMTP_PASSWORD: &str = "secret-7731-wrong-smtp";
const IMAP_PASSWORD: &str = "secret-7731-imap";
const WRONG_IMAP_PASSWORD: &str = "secret-7731-wrong-imap";

/// The settings of the accounts. No account sends to a platform: the answers to the messages go to a closed port.
fn definitions(relays: [u16; 2], imap: u16) -> String {
    let (others, mail) = ACCOUNTS
        .split_once("host = \"relay.example\"")
        .expect("the mail account is the last one");
    let others = ["slack", "wecom_app", "feishu", "dingtalk_card", "sms"]
        .iter()
        .fold(others.to_owned(), |text, channel| {
            let line = format!("channel = \"{channel}\"\n");
            let path = if *channel == "slack" { "/api" } else { "" };
            let url = format!("{line}    url = \"http://127.0.0.1:1{path}\"\n");
            text.replace(&line, &url)
        });
    let account = |port: u16| {
        format!(
            "host = \"127.0.0.1\"\nport = {port}\ntls = \"starttls\"\nuser = \"desk\"\nreply_to = \"itsm@example.com\"\n"
        )
    };
    let mailbox = format!(
        "[account.mailbox]\nhost = \"127.0.0.1\"\nport = {imap}\ntls = \"none\"\nuser = \"itsm\"\nevery_seconds = 5\n"
    );
    let [right, wrong] = relays;
    format!(
        "{others}{}{mail}{mailbox}[[account]]\nname = \"locked\"\nchannel = \"email\"\nfrom = \"desk@example.com\"\n{}{mailbox}\
         [policy]\naccounts = [\"mail\", \"locked\"]\n",
        account(right),
        account(wrong)
    )
}

/// Returns the secret texts in the secret of a lane. The id of the company is not secret.
fn texts(lane: &Lane) -> Vec<String> {
    let Ok(Value::Object(members)) = serde_json::from_str(lane.secret) else {
        return vec![lane.secret.to_owned()];
    };
    let secret = members.iter().filter(|(name, _)| *name != "receive_id");
    let secret = secret.filter_map(|(_, value)| value.as_str());
    secret.map(str::to_owned).collect()
}

/// Sends a request to the desk, and returns the status and the text of the answer.
async fn post(desk: &Logged, head: &Parts, body: &[u8], is_signed: bool) -> (u16, String) {
    let (path, headers) = if is_signed {
        (head.uri.to_string(), head.headers.clone())
    } else {
        (head.uri.path().to_owned(), HeaderMap::new())
    };
    let request = client()
        .post(format!("{}{path}", desk.desk.base))
        .headers(headers)
        .body(body.to_vec());
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a text"))
}

/// Returns the random keys that a desk made, each with its name. These include the key that signs the addresses for replies,
/// links and codes.
fn keys(data: &Path) -> Vec<(String, Vec<u8>)> {
    let file = data.join("keys.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(file, flags).expect("a key store");
    let mut read = store
        .prepare("SELECT name, value FROM secrets")
        .expect("a query");
    let rows = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let rows: Result<Vec<(String, Vec<u8>)>, _> = rows.expect("rows").collect();
    let mut rows = rows.expect("names and values");
    // The secrets that people gave are texts. The test searches for them by themselves.
    rows.retain(|(_, value)| std::str::from_utf8(value).is_err());
    rows
}

/// Returns the contents of all files below a directory without the key store, as bytes.
fn raw(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(raw(&path));
        } else if !path.to_string_lossy().contains("keys.db") {
            let bytes = std::fs::read(&path).expect("a file");
            found.push((path.display().to_string(), bytes));
        }
    }
    found
}

/// Sends each message of a platform once with and once without its signature. Returns the answers.
async fn messages(desk: &Logged) -> Vec<(String, String)> {
    let app = ("0a1b2c3d-0000-4000-8000-000000000001", "client-secret");
    let teams = Teams::new(app, ("w1", "s1"), Arc::new(SystemClock));
    let mut answers = Vec::new();
    let signing = LANES.iter().filter(|lane| !lane.secret.is_empty());
    for (number, lane) in signing.enumerate() {
        let (kind, address) = lane.address;
        let text = if lane.is_press { "v1.press" } else { "status" };
        let said = Said {
            at: SystemClock.now(),
            id: &format!("m-{number}"),
            text,
        };
        let request = lane.request(teams.framework(), &said);
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await;
        let body = body.expect("a body");
        let name = format!("{} {} of {kind} {address}", lane.platform, lane.name);
        let (status, text) = post(desk, &head, &body, true).await;
        assert_eq!(status, 200, "{name}: {text}");
        answers.push((name.clone(), text));
        let (status, text) = post(desk, &head, &body, false).await;
        assert!((400..500).contains(&status), "{name}: {status} {text}");
        answers.push((name, text));
    }
    answers
}

#[tokio::test]
async fn no_secret_of_mails_or_of_messages_that_arrive_is_in_files_logs_or_answers() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    certificates(&folder.join("tls"));
    let tls = folder.join("tls").display().to_string();
    let (mode, other) = ("starttls", "another-password");
    let relay = Relay::start_as(folder, "relay", &[mode, &tls, SMTP_PASSWORD]).await;
    let locked = Relay::start_as(folder, "locked", &[mode, &tls, other]).await;
    let dovecot = Dovecot::start_with(folder, IMAP_PASSWORD).await;
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let definitions = definitions([relay.port, locked.port], dovecot.port);
    let mut more = vec!["--accounts".to_owned(), file("accounts.toml", &definitions)];
    more.extend(["--site".to_owned(), "http://127.0.0.1:8080".to_owned()]);
    let mut given = vec![
        ("channel/mail".to_owned(), SMTP_PASSWORD),
        ("channel/locked".to_owned(), WRONG_SMTP_PASSWORD),
        ("mailbox/mail".to_owned(), IMAP_PASSWORD),
        ("mailbox/locked".to_owned(), WRONG_IMAP_PASSWORD),
    ];
    for lane in LANES.iter().filter(|lane| !lane.secret.is_empty()) {
        given.push((format!("inbound/{}", lane.account), lane.secret));
    }
    given.sort();
    given.dedup();
    for (number, (name, secret)) in given.iter().enumerate() {
        let path = file(&format!("{number}.secret"), secret);
        more.extend(["--secret".to_owned(), format!("{name}={path}")]);
    }
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let authority = folder.join("tls/ca.pem");
    let desk = Logged::start_with(folder, &more, &[("SSL_CERT_FILE", authority.as_path())]);
    let preferences =
        json!({ "aggregation": false, "addresses": { "email": "zhangsan@example.com" } });
    let path = "people/zhangsan/preferences";
    desk.v1("PUT", path, "zhangsan", preferences).await;
    desk.submit().await;
    let inbox = "inbox/zhangsan";
    let why = until("both relays have answered", async || {
        let inbox = desk.v1("GET", inbox, "zhangsan", Value::Null).await;
        let Some(id) = inbox["notifications"][0]["id"].as_str() else {
            return Err(inbox);
        };
        let path = format!("notifications/{id}/why?language=en");
        let why = desk.v1("GET", &path, "zhangsan", Value::Null).await;
        let text = why.to_string();
        let is_refused = text.contains("535 5.7.8 <secret> is not the password");
        if relay.mails().len() == 1 && is_refused {
            Ok(text)
        } else {
            Err(why)
        }
    })
    .await;
    let mut places = messages(&desk).await;
    places.push(("why".into(), why));
    until("the mailbox with the wrong password is read", async || {
        let log = std::fs::read_to_string(&desk.log).unwrap_or_default();
        let is_read = log.contains("cannot read a mailbox");
        if is_read { Ok(()) } else { Err(json!(log)) }
    })
    .await;
    for list in ["deliveries?state=failed", "channel-accounts"] {
        let shown = desk.v1("GET", list, "admin", Value::Null).await;
        places.push((list.to_owned(), shown.to_string()));
    }
    places.push(("metrics".into(), desk.metrics().await));
    // What a relay gets after the login is the recorded traffic of mails.
    places.push(("mails".into(), json!(relay.mails()).to_string()));
    assert_eq!(locked.mails().len(), 0);
    let log = desk.log.clone();
    desk.desk.kill();
    places.push(("log".into(), std::fs::read_to_string(log).expect("a log")));
    let data = folder.join("data");
    places.extend(contents(&data, "keys.db"));
    let export = ["audit", "export", "--data", data.to_str().expect("a path")];
    places.push(("export".into(), printed(&export)));

    let passwords = [
        SMTP_PASSWORD,
        WRONG_SMTP_PASSWORD,
        IMAP_PASSWORD,
        WRONG_IMAP_PASSWORD,
    ];
    let mut hidden: Vec<String> = LANES.iter().flat_map(texts).collect();
    hidden.retain(|text| !text.is_empty());
    for password in passwords {
        hidden.push(password.to_owned());
        // The login PLAIN of SMTP, and the login LOGIN.
        hidden.push(STANDARD.encode(format!("\0desk\0{password}")));
        hidden.push(STANDARD.encode(password));
    }
    let keys = keys(&data);
    let signing = functions::app::token_key_name(1);
    let is_known = keys.iter().any(|(name, _)| *name == signing);
    assert!(is_known, "the key that signs addresses for replies");
    for (_, key) in &keys {
        hidden.push(infra::commit::hex(key));
        hidden.push(STANDARD_NO_PAD.encode(key));
        hidden.push(URL_SAFE_NO_PAD.encode(key));
    }
    check_absent(&places, &hidden);
    for (place, bytes) in raw(&data) {
        for (name, key) in &keys {
            let is_inside = bytes.windows(key.len()).any(|part| part == key.as_slice());
            assert!(!is_inside, "{name} is in {place}");
        }
    }
    println!(
        "{} texts and {} keys, {} places searched",
        hidden.len(),
        keys.len(),
        places.len()
    );
}
