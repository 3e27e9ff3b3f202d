//! This test checks that deployed cloud functions notify people and execute their answers. The function `follow` requests a
//! notification, `notify` chooses the channel account, and `send` sends a mail to a mail relay on this machine. The function
//! `wake` finds the time of a digest (a message that lists several notifications). Messages of people arrive at the HTTP API.
//!
//! All parts are in one test, because they share the notification policy of the desk. A mail through Amazon SES is not part of
//! the test: the function would get the certificate of the signature from Amazon.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::notification::digest::{self, Digest, Key};
use events::Moment;
use functions::app::notifications::definitions::Definitions;
use functions::cli::demo::fakes::slack::{API, Slack};
use infra::clock::{Clock as _, SystemClock};
use infra::inbound::mail::signature;
use reqwest::Method;
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::{Process, client, free_port, root, text};

use crate::TestDesk;
use crate::desk::{send, setting, until, until_within};

const SLACK_TOKEN: &str = "xoxb-1-secret";
const SIGNING_SECRET: &str = "slack-signing-secret";
const RELAY_KEY: &str = "key-of-the-relay";
/// A user and a channel of the imitation of Slack.
const SLACK_USER: &str = "U0000LISI";
const SLACK_CHANNEL: &str = "C0000QUEUE";
/// Maximum time until a digest is sent. Two batches can be two minutes apart, because no batch is at the minutes 0 and 30.
const DIGEST_MAX: Duration = Duration::from_mins(3);
/// The function `wake` also puts the deadlines of the next minute into their queues.
const AHEAD_MS: i64 = 60_000;

/// A deployed desk with a mail relay and an imitation of Slack.
struct Slice {
    desk: TestDesk,
    /// Makes the names of this run unique.
    run: u32,
    slack: Arc<Slack>,
    /// The file to which the relay appends each mail.
    file: PathBuf,
    _relay: Process,
    _folder: tempfile::TempDir,
}

impl Slice {
    async fn open() -> Self {
        let desk = TestDesk::open().await;
        let run = std::process::id();
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("mails.jsonl");
        let port = free_port();
        let relay = Command::new(root().join("target/python/bin/python"))
            .arg(root().join("tests/foreign/smtp_sink.py"))
            .arg(port.to_string())
            .arg(&file)
            .stdout(Stdio::null())
            .spawn();
        let relay = Process(relay.expect("the relay runs"));
        let hook = "/services/T012/B012/secret";
        let slack = Arc::new(Slack::new(SLACK_TOKEN, hook, Arc::new(SystemClock)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(slack.clone().serve(listener));
        let definitions = Definitions::read(&format!(
            "[[account]]\nname = \"mail_{run}\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
             from = \"desk@example.com\"\nauthserv_id = \"relay.example\"\n\
             [[account]]\nname = \"slack_{run}\"\nchannel = \"slack\"\nurl = \"http://{address}{API}\"\n\
             [policy]\naccounts = [\"mail_{run}\"]\n"
        ))
        .expect("valid");
        definitions.store(&desk.app).await.expect("stored");
        for (name, secret) in [
            (format!("channel/slack_{run}"), SLACK_TOKEN),
            (format!("inbound/slack_{run}"), SIGNING_SECRET),
            (format!("inbound/mail_{run}"), RELAY_KEY),
        ] {
            let kept = desk.app.ledger.keys.keep_secret(&name, secret.as_bytes());
            kept.await.expect("kept");
        }
        Self {
            desk,
            run,
            slack,
            file,
            _relay: relay,
            _folder: folder,
        }
    }

    /// Stores the preferences of a person with an address at the relay. Returns the name and the address of the person.
    async fn person(&self, role: &str, mut preferences: Value) -> (String, String) {
        let person = format!("{role}_{}", self.run);
        let address = format!("{person}@example.com");
        preferences["language"] = "en".into();
        preferences["addresses"]["email"] = address.as_str().into();
        let path = format!("people/{person}/preferences");
        let request = self.desk.v1(Method::PUT, &path, &person);
        send(request.json(&preferences)).await;
        (person, address)
    }

    /// Opens a ticket that the person must approve. Returns its number.
    async fn ticket(&self, person: &str) -> String {
        let fields = json!({ "title": "cloud", "APPROVER": person, "APPROVAL_CONTENT": "x" });
        let ticket = json!({ "service_id": 1, "fields": fields });
        let opened = self.desk.submit(&ticket).await;
        opened["sn"].as_str().expect("a number").to_owned()
    }

    fn mails(&self, address: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let mails = text.lines().filter_map(|line| {
            // The relay may still write the last line.
            serde_json::from_str::<Value>(line).ok()
        });
        mails.filter(|mail| mail["to"] == address).collect()
    }

    async fn inbox(&self, person: &str) -> Value {
        let path = format!("inbox/{person}");
        send(self.desk.v1(Method::GET, &path, person)).await
    }

    /// Waits until the newest notification of a person has ended. Returns it with the steps that explain it.
    async fn completed(&self, person: &str) -> (Value, Vec<Value>) {
        let shown = until("the end of the notification", async || {
            let newest = self.inbox(person).await["notifications"][0].clone();
            (newest["state"] == "completed").then_some(newest)
        })
        .await;
        let id = shown["id"].as_str().expect("an id");
        let path = format!("notifications/{id}/why?language=en");
        let why = send(self.desk.v1(Method::GET, &path, person)).await;
        let steps = why["steps"].as_array().expect("steps").clone();
        (shown, steps)
    }

    /// Waits until a ticket was acknowledged, and checks that this happened once.
    async fn acknowledged(&self, sn: &str) {
        let count = async || {
            let story = self.desk.story(sn).await;
            story
                .iter()
                .filter(|kind| **kind == "ticket.acknowledged")
                .count()
        };
        until("the acknowledgement", async || {
            (count().await > 0).then_some(())
        })
        .await;
        assert_eq!(count().await, 1, "{sn}");
    }
}

/// Calls the function `wake`, as its schedule does.
async fn wake() {
    let name = format!("{}-wake", setting("LEDGERDESK_PREFIX"));
    let mut command = Command::new(root().join("target/localstack/venv/bin/python"));
    command.arg(root().join("tests/cloud/invoke.py")).arg(name);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("the program runs");
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{printed}{errors}");
    assert!(printed.contains("fired"), "{printed}");
    println!("wake: {}", printed.trim());
}

async fn an_approver_gets_a_mail(slice: &Slice) {
    let choice = json!({ "aggregation": false });
    let (person, address) = slice.person("approver", choice).await;
    let sn = slice.ticket(&person).await;
    let mail = until("the mail", async || slice.mails(&address).pop()).await;
    assert_eq!(
        mail["headers"]["references"],
        format!("<ticket.{sn}@example.com>")
    );
    let (shown, steps) = slice.completed(&person).await;
    assert_eq!(shown["outcome"], "accepted", "{shown}");
    let expected = "The provider accepted the message (code 250).";
    assert!(
        steps.iter().any(|step| step["text"] == expected),
        "{steps:?}"
    );
}

/// The person gets a digest at each minute. The function `wake` finds the time of the digest.
async fn a_digest_is_found_by_wake_and_sent(slice: &Slice) {
    let now = SystemClock.now();
    let minutes = 0..=10;
    let times = minutes.map(|minute| tests::local(now.plus_ms(minute * 60_000), "%H:%M"));
    let times: Vec<String> = times.collect();
    let batch = json!({ "frequency": "batch", "batch_times": times });
    let choice = json!({ "zone": "Asia/Shanghai", "channels": { "email": batch } });
    let (person, address) = slice.person("collector", choice).await;
    let tickets = [slice.ticket(&person).await, slice.ticket(&person).await];
    until("two notifications", async || {
        (slice.inbox(&person).await["count"] == 2).then_some(())
    })
    .await;
    let app = &slice.desk.app;
    let pid = app.people.find(&person).await.expect("the person");
    let stream = digest::stream(&pid, &format!("mail_{}", slice.run), Key::Batch);
    let mut woken: Option<Moment> = None;
    let mails = until_within("the digest", DIGEST_MAX, async || {
        let mails = slice.mails(&address);
        let sent = json!(mails).to_string();
        if tickets.iter().all(|sn| sent.contains(sn.as_str())) {
            return Some(mails);
        }
        let digest = app.ledger.load::<Digest>(&stream).await.ok()?;
        let due = digest.aggregate.0.due?;
        if woken != Some(due) && due.0 - SystemClock.now().0 <= AHEAD_MS {
            wake().await;
            woken = Some(due);
        }
        None
    })
    .await;
    assert!(woken.is_some(), "only `wake` starts a digest");
    println!("{} mails with a digest", mails.len());
    let (shown, steps) = slice.completed(&person).await;
    assert_eq!(shown["outcome"], "accepted", "{shown}");
    assert!(
        steps.iter().any(|step| step["event"] == "digest.flushed"),
        "{steps:?}"
    );
}

/// The client library of Slack signs two messages, and each arrives twice. The function `send` sends the answers.
async fn a_message_of_slack_acts_once(slice: &Slice) {
    let addresses = json!({ "addresses": { "slack": SLACK_USER } });
    let (person, _) = slice.person("chatter", addresses).await;
    let url = format!(
        "{}/callbacks/channels/slack/slack_{}",
        slice.desk.base(),
        slice.run
    );
    let say = async |id: &str, said: &str| {
        let mut command = Command::new(installed().join("channels/bin/python"));
        command
            .arg(root().join("tests/foreign/slack_event.py"))
            .args([url.as_str(), SIGNING_SECRET, SLACK_CHANNEL, SLACK_USER])
            .arg(format!("{id}-{}", slice.run))
            .arg(said);
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = run.await.expect("no panic").expect("the program runs");
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(printed.trim(), "[200, 200, 403]", "{id}: {errors}");
    };
    let path = format!("people/{person}/addresses/slack/verify");
    let request = slice.desk.v1(Method::POST, &path, &person);
    let given = send(request.json(&json!({}))).await;
    let code = given["code"].as_str().expect("a code");
    say("link", &format!("link {code}")).await;
    let answers = async |count: usize| {
        until("the answer in Slack", async || {
            (slice.slack.messages().len() >= count).then_some(())
        })
        .await;
    };
    answers(1).await;
    let sn = slice.ticket(&person).await;
    slice.completed(&person).await;
    say("ack", &format!("ack {sn}")).await;
    slice.acknowledged(&sn).await;
    answers(2).await;
    let messages = slice.slack.messages();
    assert_eq!(
        messages.len(),
        2,
        "one answer for each message: {messages:?}"
    );
    assert!(messages.iter().all(|one| one["channel"] == SLACK_CHANNEL));
}

/// Forwards a mail with the text `said` to the desk, with the signature of the key. Returns the status of the answer.
async fn forward(slice: &Slice, key: &str, address: &str, id: &str, said: &str) -> u16 {
    let mail = format!(
        "Authentication-Results: relay.example; dmarc=pass header.from=example.com\r\nFrom: <{address}>\r\n\
         To: <desk@example.com>\r\nSubject: Re: x\r\nMessage-ID: <{id}-{}@example.com>\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n{said}\r\n",
        slice.run
    );
    let (base, run) = (slice.desk.base(), slice.run);
    let at = SystemClock.now().0.div_euclid(1_000);
    let request = client()
        .post(format!("{base}/callbacks/channels/mail/mail_{run}"))
        .header("x-ledgerdesk-timestamp", at.to_string())
        .header(
            "x-ledgerdesk-signature",
            signature(key, at, mail.as_bytes()),
        )
        .header("content-type", "text/plain; charset=utf-8")
        .body(mail);
    request.send().await.expect("an answer").status().as_u16()
}

/// The relay forwards the same mail twice, and once with a wrong signature. The function `send` sends the answer as a mail.
async fn a_mail_that_arrives_acts_once(slice: &Slice) {
    let choice = json!({ "aggregation": false });
    let (person, address) = slice.person("writer", choice).await;
    let sn = slice.ticket(&person).await;
    slice.completed(&person).await;
    until("the message as a mail", async || {
        (!slice.mails(&address).is_empty()).then_some(())
    })
    .await;
    let path = format!("people/{person}/addresses/email/verify");
    let request = slice.desk.v1(Method::POST, &path, &person);
    let given = send(request.json(&json!({}))).await;
    let said = format!("link {}", given["code"].as_str().expect("a code"));
    let status = forward(slice, RELAY_KEY, &address, "link", &said).await;
    assert_eq!(status, 200);
    // The desk does not answer the code itself. As soon as the sender is linked, it answers a query.
    let asked = Cell::new(0);
    until("the answer to a linked sender", async || {
        asked.set(asked.get() + 1);
        let id = format!("status{}", asked.get());
        let status = forward(slice, RELAY_KEY, &address, &id, &format!("status {sn}")).await;
        (status == 200 && slice.mails(&address).len() > 1).then_some(())
    })
    .await;
    let said = format!("ack {sn}");
    for (key, expected) in [(RELAY_KEY, 200), (RELAY_KEY, 200), ("another key", 403)] {
        let status = forward(slice, key, &address, "ack", &said).await;
        assert_eq!(status, expected, "{key}");
    }
    slice.acknowledged(&sn).await;
}

#[tokio::test]
async fn people_get_messages_and_answer_through_deployed_functions() {
    let slice = Slice::open().await;
    tokio::join!(
        an_approver_gets_a_mail(&slice),
        a_digest_is_found_by_wake_and_sent(&slice),
        a_message_of_slack_acts_once(&slice),
        a_mail_that_arrives_acts_once(&slice),
    );
}
