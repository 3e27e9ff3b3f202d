//! These tests send mails to the running desk through a mailbox of Debian's dovecot, and check the mails of the desk
//! at a mail relay (the PyPI package aiosmtpd). They also check our messages of Amazon SNS with the npm package
//! sns-validator.

use std::path::{Path, PathBuf};
use std::process::Command;

use infra::inbound::sns::fake::{self, Unsigned};
use serde_json::{Value, json};
use tests::foreign::{installed, spawn};
use tests::process::{Process, free_port, root, until};

use crate::desk::Desk;
use crate::notifications::{Relay, submit};

/// Number of mails without marks of a program that the loop sends. The desk answers 10 of them.
const LOOP: usize = 14;
const ZHANGSAN: &str = "zhangsan@example.com";

/// An IMAP server with one mailbox.
pub(crate) struct Dovecot {
    pub(crate) port: u16,
    folder: PathBuf,
    password: &'static str,
    _process: Process,
}

impl Dovecot {
    async fn start(folder: &Path) -> Self {
        Self::start_with(folder, "secret").await
    }

    /// Starts a server at which every user has the given password.
    pub(crate) async fn start_with(folder: &Path, password: &'static str) -> Self {
        installed();
        let (port, folder) = (free_port(), folder.join("dovecot"));
        std::fs::create_dir(&folder).expect("a folder");
        let mut command = Command::new(root().join("tests/foreign/dovecot"));
        command.arg(&folder).arg(port.to_string()).arg(password);
        let process = spawn(&mut command, &folder.join("output.log"));
        let server = Self {
            port,
            folder,
            password,
            _process: process,
        };
        until("dovecot accepts a login", async || {
            let (is_ready, printed) = server.run(&[]);
            if is_ready {
                Ok(())
            } else {
                Err(json!(printed))
            }
        })
        .await;
        server
    }

    /// Runs the program that appends mails. Returns whether it succeeded, and what it printed.
    fn run(&self, files: &[PathBuf]) -> (bool, String) {
        let output = Command::new("python3")
            .arg(root().join("tests/foreign/imap_append.py"))
            .arg(self.port.to_string())
            .arg(self.password)
            .args(files)
            .output()
            .expect("the program runs");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        (output.status.success(), printed)
    }

    /// Adds mails to the mailbox.
    fn add(&self, mails: &[String]) {
        let files: Vec<PathBuf> = (0..mails.len())
            .map(|number| self.folder.join(format!("{number}.eml")))
            .collect();
        for (file, mail) in files.iter().zip(mails) {
            std::fs::write(file, mail).expect("written");
        }
        let (is_added, printed) = self.run(&files);
        assert!(is_added, "{printed}");
    }
}

fn accounts(relay: u16, imap: u16) -> String {
    format!(
        "[[account]]\nname = \"mail\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {relay}\ntls = \"none\"\n\
        from = \"Desk <desk@example.com>\"\nreply_to = \"itsm@example.com\"\n\
        [account.mailbox]\nhost = \"127.0.0.1\"\nport = {imap}\ntls = \"none\"\nuser = \"itsm\"\nevery_seconds = 5\n\
        [policy]\naccounts = [\"mail\"]\n"
    )
}

/// A reply to a mail of the desk. `headers` are the headers of this mail.
fn reply(headers: &Value, id: &str, text: &str) -> String {
    let header = |name: &str| headers[name].as_str().expect("a header").to_owned();
    format!(
        "From: {ZHANGSAN}\r\nTo: {}\r\nSubject: Re: {id}\r\nMessage-ID: <{id}@example.com>\r\nIn-Reply-To: {}\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n",
        header("reply-to"),
        header("message-id"),
    )
}

/// A report that a mail of the desk could not be delivered.
fn report(headers: &Value) -> String {
    let id = headers["message-id"].as_str().expect("an id");
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.example\r\nTo: desk@example.com\r\nMessage-ID: <bounce@relay.example>\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain\r\n\r\nNot delivered.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
        Reporting-MTA: dns; relay.example\r\n\r\nFinal-Recipient: rfc822; {ZHANGSAN}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
        --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {id}\r\n\r\n--b--\r\n"
    )
}

async fn prefer(desk: &Desk, person: &str, address: &str) {
    let path = format!("people/{person}/preferences");
    let preferences =
        json!({ "language": "en", "aggregation": false, "addresses": { "email": address } });
    desk.v1("PUT", &path, person, preferences).await;
}

/// Waits until a remark of a ticket has the given text.
async fn remarked(desk: &Desk, sn: &str, text: &str) {
    let path = format!("tickets/{sn}/remarks");
    until("the mail becomes a remark", async || {
        let shown = desk.v1("GET", &path, "zhangsan", Value::Null).await;
        let remarks = shown["remarks"].as_array().cloned().unwrap_or_default();
        let is_found = remarks.iter().any(|one| one["text"] == text);
        if is_found { Ok(()) } else { Err(shown) }
    })
    .await;
}

#[tokio::test]
async fn replies_and_reports_arrive_through_dovecot_and_a_loop_ends() {
    let folder = tempfile::tempdir().expect("a directory");
    let relay = Relay::start(folder.path()).await;
    let dovecot = Dovecot::start(folder.path()).await;
    let path = |name: &str| {
        let path = folder.path().join(name);
        path.to_str().expect("a path").to_owned()
    };
    std::fs::write(path("accounts.toml"), accounts(relay.port, dovecot.port)).expect("written");
    std::fs::write(path("password"), "secret").expect("written");
    let password = format!("mailbox/mail={}", path("password"));
    let mut desk = Desk::start(&["--accounts", &path("accounts.toml"), "--secret", &password]);
    prefer(&desk, "zhangsan", ZHANGSAN).await;
    let sn = submit(&desk).await.expect("a ticket");
    let mail = until("the mail arrives at the relay", async || {
        relay.mails().first().cloned().ok_or(Value::Null)
    })
    .await;
    let headers = mail["headers"].clone();
    dovecot.add(&[reply(&headers, "r1", "The list is complete.")]);
    remarked(&desk, &sn, "The list is complete.").await;
    // After a restart, the desk continues after the last mail.
    desk.restart();
    let status = |number: usize| reply(&headers, &format!("loop{number}"), "status");
    let mut mails: Vec<String> = (0..LOOP).map(status).collect();
    mails.push(reply(&headers, "end", "The end."));
    dovecot.add(&mails);
    remarked(&desk, &sn, "The end.").await;
    let answered = || relay.mails().len() - 1;
    until("the answers arrive at the relay", async || {
        let open = desk
            .v1("GET", "deliveries?state=open", "admin", Value::Null)
            .await;
        let is_done = answered() == 10 && open["count"] == 0;
        if is_done {
            Ok(())
        } else {
            Err(json!([answered(), open["count"]]))
        }
    })
    .await;
    let shown = desk
        .v1(
            "GET",
            &format!("tickets/{sn}/remarks"),
            "zhangsan",
            Value::Null,
        )
        .await;
    assert_eq!(
        shown["remarks"].as_array().expect("remarks").len(),
        2,
        "each mail acts once"
    );
    dovecot.add(&[report(&headers)]);
    until("the report is stored in its delivery", async || {
        let failed = desk
            .v1("GET", "deliveries?state=failed", "admin", Value::Null)
            .await;
        let first = &failed["deliveries"][0];
        let is_stored = first["state"] == "bounced" && first["code"] == "5.1.1";
        if is_stored { Ok(()) } else { Err(failed) }
    })
    .await;
    let addresses = until("the address is suppressed", async || {
        let shown = desk
            .v1("GET", "people/zhangsan/addresses", "zhangsan", Value::Null)
            .await;
        let is_suppressed = shown.to_string().contains("5.1.1");
        if is_suppressed { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert!(!addresses.to_string().contains(ZHANGSAN), "{addresses}");
}

#[tokio::test]
async fn a_relay_that_refuses_or_postpones_a_mail_leads_to_the_right_verdict() {
    let folder = tempfile::tempdir().expect("a directory");
    let relay = Relay::start(folder.path()).await;
    let account = accounts(relay.port, 1);
    let (account, _) = account.split_once("[account.mailbox]").expect("a mailbox");
    let account = format!("{account}[policy]\naccounts = [\"mail\"]\n");
    let path = folder.path().join("accounts.toml");
    std::fs::write(&path, account).expect("written");
    let desk = Desk::start(&["--accounts", path.to_str().expect("a path")]);
    // A mail that is too large is sent once more as a short mail.
    for (name, list, attempts, class, reason) in [
        ("nobody", "failed", 1, "recipient_invalid", "550 5.1.1"),
        ("full", "open", 1, "transient", "452 4.2.2"),
        ("greylisted", "open", 1, "transient", "451 4.7.1"),
        ("quota", "failed", 1, "permanent", "552 5.2.2"),
        ("oversized", "failed", 2, "too_large", "552 5.3.4"),
        ("toolarge", "failed", 2, "too_large", "552 message size"),
    ] {
        prefer(&desk, "zhangsan", &format!("{name}@example.com")).await;
        let sn = submit(&desk).await.expect("a ticket");
        let path = format!("deliveries?state={list}");
        let found = until("the attempt is stored", async || {
            let shown = desk.v1("GET", &path, "admin", Value::Null).await;
            let deliveries = shown["deliveries"].as_array().cloned().unwrap_or_default();
            let of_ticket = |one: &&Value| one["ticket"] == sn && one["attempts"] == attempts;
            deliveries.iter().find(of_ticket).cloned().ok_or(shown)
        })
        .await;
        assert_eq!(found["class"], class, "{name}: {found}");
        let shown = found["reason"].as_str().expect("a reason");
        assert!(shown.contains(reason), "{name}: {shown}");
        let inbox = desk
            .v1("GET", "inbox/zhangsan", "zhangsan", Value::Null)
            .await;
        let all = inbox["notifications"].as_array().expect("notifications");
        let id = all.iter().find(|one| one["ticket"] == sn);
        let id = id.and_then(|one| one["id"].as_str()).expect("an id");
        let why = format!("notifications/{id}/why?language=en");
        let why = desk.v1("GET", &why, "zhangsan", Value::Null).await;
        let steps = why["steps"].as_array().expect("steps");
        let texts = steps.iter().filter_map(|step| step["text"].as_str());
        let explained: Vec<&str> = texts.filter(|text| text.contains(reason)).collect();
        assert!(explained.len() >= attempts, "{name}: {why}");
        println!("{name}: {}", explained[attempts - 1]);
    }
    assert_eq!(relay.mails().len(), 0);
}

#[test]
fn another_program_accepts_our_messages_of_sns() {
    let folder = tempfile::tempdir().expect("a directory");
    let signed = |kind| {
        fake::signed(&Unsigned {
            kind,
            id: "m-1",
            message: "{\"notificationType\":\"Bounce\"}",
            timestamp: "2026-11-30T00:53:20.000Z",
        })
    };
    let mut changed = signed("Notification");
    changed["Message"] = "{}".into();
    let messages = json!([
        signed("Notification"),
        signed("SubscriptionConfirmation"),
        changed
    ]);
    let (certificate, file) = (
        folder.path().join("cert.pem"),
        folder.path().join("all.json"),
    );
    std::fs::write(&certificate, fake::CERTIFICATE).expect("written");
    std::fs::write(&file, messages.to_string()).expect("written");
    installed();
    let output = Command::new("node")
        .arg(root().join("tests/foreign/sns_validator.mjs"))
        .args([&certificate, &file])
        .output()
        .expect("node runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = printed.lines().collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(lines.len(), 3, "{printed}{errors}");
    assert_eq!(lines[..2], ["valid", "valid"], "{errors}");
    assert_ne!(lines[2], "valid", "a changed message is refused");
}
