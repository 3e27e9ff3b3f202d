//! These tests send mails to relays (the PyPI package aiosmtpd) with and without an encryption that the desk can trust.

use std::path::Path;
use std::process::Command;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::foreign::certificates;
use tests::process::{Served, program, until};

use crate::notifications::{Relay, submit_to};

/// One relay of the test.
struct Case {
    /// The name of the account that sends to the relay.
    account: &'static str,
    /// The setting `tls` of this account.
    tls: &'static str,
    /// The encryption of the relay, and the directory with its certificate. Both are empty if the relay has none.
    relay: [&'static str; 2],
    /// A part of the reason why the relay gets no mail. `None` if it accepts the mail.
    reason: Option<&'static str>,
}

static CASES: [Case; 8] = [
    case("starttls", "starttls", ["starttls", "trusted"], None),
    case("implicit", "implicit", ["implicit", "trusted"], None),
    case("no_starttls", "starttls", ["", ""], Some("STARTTLS")),
    case("no_tls", "implicit", ["", ""], Some("Connection error")),
    case(
        "untrusted_starttls",
        "starttls",
        ["starttls", "other"],
        Some("certificate"),
    ),
    case(
        "untrusted_implicit",
        "implicit",
        ["implicit", "other"],
        Some("certificate"),
    ),
    case(
        "refused",
        "starttls",
        ["refused", ""],
        Some("454 4.7.0 TLS not available"),
    ),
    case(
        "aborted",
        "starttls",
        ["aborted", ""],
        Some("Connection error"),
    ),
];

const fn case(
    account: &'static str,
    tls: &'static str,
    relay: [&'static str; 2],
    reason: Option<&'static str>,
) -> Case {
    Case {
        account,
        tls,
        relay,
        reason,
    }
}

async fn start(folder: &Path, case: &Case) -> Relay {
    let [mode, certificate] = case.relay;
    let certificate = match certificate {
        "" => String::new(),
        name => folder.join(name).display().to_string(),
    };
    let arguments = [mode, certificate.as_str()];
    Relay::start_as(folder, case.account, &arguments).await
}

/// Returns the first result of an account in the explanation of a notification: the event and its text.
fn result<'a>(why: &'a Value, account: &str) -> Option<(&'a str, &'a str)> {
    const RESULTS: [&str; 3] = [
        "delivery.succeeded",
        "delivery.failed",
        "delivery.attempt_failed",
    ];
    let of_account = |step: &&Value| {
        let event = step["event"].as_str().unwrap_or_default();
        step["account"] == account && RESULTS.contains(&event)
    };
    let step = why["steps"].as_array()?.iter().find(of_account)?;
    Some((step["event"].as_str()?, step["text"].as_str()?))
}

/// The same desk sends one mail to each relay, so the accepted mails show that the certificates decide.
#[tokio::test]
async fn only_a_relay_with_trusted_encryption_gets_a_mail() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    certificates(&folder.join("trusted"));
    certificates(&folder.join("other"));
    let relays = join_all(CASES.iter().map(|case| start(folder, case))).await;
    let account = |(case, relay): (&Case, &Relay)| {
        let (name, tls, port) = (case.account, case.tls, relay.port);
        format!(
            "[[account]]\nname = \"{name}\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"{tls}\"\n\
             from = \"desk@example.com\"\n"
        )
    };
    let accounts: Vec<String> = CASES.iter().zip(&relays).map(account).collect();
    let accounts = accounts.concat();
    let names: Vec<&str> = CASES.iter().map(|case| case.account).collect();
    let definitions = format!("{accounts}[policy]\naccounts = {}\n", json!(names));
    let file = folder.join("accounts.toml");
    std::fs::write(&file, definitions).expect("written");
    let mut command = Command::new(program());
    // The set of root certificates of the operating system, for the desk, is only the authority of the test.
    command.env("SSL_CERT_FILE", folder.join("trusted/ca.pem"));
    let more = ["--accounts", file.to_str().expect("a path")];
    let desk = Served::start_by(command, &folder.join("data"), &more);
    assert!(desk.is_up(), "the desk starts");
    let preferences =
        json!({ "aggregation": false, "addresses": { "email": "zhangsan@example.com" } });
    let path = "people/zhangsan/preferences";
    let (status, answer) = desk.v1("PUT", path, "zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
    submit_to(&desk).await.expect("a ticket");
    let why = until("each account has a result", async || {
        let inbox = desk.v1("GET", "inbox/zhangsan", "zhangsan", Value::Null);
        let (_, inbox) = inbox.await;
        let Some(id) = inbox["notifications"][0]["id"].as_str() else {
            return Err(inbox);
        };
        let path = format!("notifications/{id}/why?language=en");
        let (_, why) = desk.v1("GET", &path, "zhangsan", Value::Null).await;
        let is_done = CASES
            .iter()
            .all(|case| result(&why, case.account).is_some());
        if is_done { Ok(why) } else { Err(why) }
    })
    .await;
    for (case, relay) in CASES.iter().zip(&relays) {
        let name = case.account;
        let (event, text) = result(&why, name).expect("a result");
        println!("{name}: {text}");
        let (expected, mails) = match case.reason {
            None => ("delivery.succeeded", 1),
            Some(_) => ("delivery.attempt_failed", 0),
        };
        assert_eq!(event, expected, "{name}: {text}");
        assert!(
            text.contains(case.reason.unwrap_or("250")),
            "{name}: {text}"
        );
        assert_eq!(relay.mails().len(), mails, "{name}: {text}");
    }
}
