//! These tests connect a desk with imitations of ServiceNow, Jira, Zammad and Atlas CMMS. Each imitation is first used by the
//! client library of its vendor, so that it behaves as the system of the vendor. The same library then opens and changes
//! tickets as people do, and reads the result in the end. Atlas CMMS has no such library, so a client of this project does the
//! same.

mod atlas_client;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use events::integration::Defined;
use functions::cli::demo::fakes::atlas::Atlas;
use functions::cli::demo::fakes::jira::Jira;
use functions::cli::demo::fakes::servicenow::ServiceNow;
use functions::cli::demo::fakes::zammad::Zammad;
use infra::clock::{Clock as _, SystemClock};
use infra::source::{self, Account, Signature, Source};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::{Served, client, printed, root, until};
use tokio::net::TcpListener;

const USER: &str = "desk";
const SECRET: &str = "vendor-secret";
const WEBHOOK_SECRET: &str = "secret of the webhook";
/// Number of tickets in the other system. The desk reads them in two pages.
const TICKETS: usize = 120;
/// Number of tickets that end at the desk, and of tickets that end in the other system.
const ENDED_HERE: usize = 12;
const ENDED_THERE: usize = 6;

/// An imitation that listens, with what the test must know about its kind.
struct System {
    kind: &'static str,
    /// The base URL.
    url: String,
    /// The path of the URL in the integration.
    path: &'static str,
    signature: Signature,
    /// A status that a person sets while a ticket is open.
    working: &'static str,
    /// The status that the desk writes if its ticket is finished.
    finished: &'static str,
    /// A status with which a person ends a ticket.
    ended: &'static str,
    webhook: Box<dyn Fn(&str) -> Value + Send + Sync>,
    requests: Box<dyn Fn() -> usize + Send + Sync>,
}

/// Returns the current time of the machine, which is the clock of the imitations.
fn now() -> Timestamp {
    Timestamp::from_millisecond(SystemClock.now().0).expect("a time")
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, format!("http://{address}"))
}

/// Starts an imitation.
macro_rules! start {
    ($fake:expr) => {{
        let (listener, url) = listener().await;
        let fake = Arc::new($fake);
        tokio::spawn(fake.clone().serve(listener));
        let (hooks, counts) = (fake.clone(), fake);
        let webhook = move |id: &str| hooks.webhook(id).expect("a record");
        (url, Box::new(webhook), Box::new(move || counts.requests()))
    }};
}

async fn servicenow() -> System {
    let (url, webhook, requests) = start!(ServiceNow::new(USER, SECRET, now));
    System {
        kind: "servicenow",
        url,
        path: "/api/now/table/incident",
        signature: Signature::sha256("x-signature-256"),
        working: "3",
        finished: "6",
        ended: "8",
        webhook,
        requests,
    }
}

/// The customer service cases of an instance of ServiceNow.
async fn servicenow_csm() -> System {
    System {
        kind: "servicenow_csm",
        path: "",
        working: "10",
        finished: "6",
        ended: "7",
        ..servicenow().await
    }
}

async fn jira() -> System {
    let (url, webhook, requests) = start!(Jira::new(USER, SECRET, "ITSM", now));
    System {
        kind: "jira",
        url,
        path: "",
        signature: Signature::sha256("x-hub-signature"),
        working: "3",
        finished: "5",
        ended: "6",
        webhook,
        requests,
    }
}

async fn zammad() -> System {
    let people = ["lisi@example.com", "wangwu@example.com"];
    let (url, webhook, requests) = start!(Zammad::new(USER, SECRET, &people, now));
    System {
        kind: "zammad",
        url,
        path: "",
        signature: Signature::sha1("x-hub-signature"),
        working: "open",
        finished: "closed",
        ended: "closed",
        webhook,
        requests,
    }
}

async fn atlas() -> System {
    let (url, webhook, requests) = start!(Atlas::new(SECRET, now));
    System {
        kind: "atlas",
        url,
        path: "",
        signature: Signature::plain_sha256("x-webhook-signature"),
        working: "IN_PROGRESS",
        finished: "COMPLETE",
        ended: "COMPLETE",
        webhook,
        requests,
    }
}

impl System {
    /// Runs a command of the program that uses the client library of the vendor. Returns what it prints.
    async fn library(&self, arguments: &[&str]) -> Value {
        if self.kind == "atlas" {
            return atlas_client::run(&self.url, SECRET, arguments).await;
        }
        let mut command = Command::new(installed().join("vendors/bin/python"));
        command
            .arg(root().join("tests/foreign/ticket_clients.py"))
            .args([self.kind, &self.url, USER, SECRET])
            .args(arguments);
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = run.await.expect("no panic").expect("the program runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{arguments:?}: {printed}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(printed.trim()).unwrap_or_default()
    }

    /// Returns the status of each ticket, as the client library sees it.
    async fn states(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.library(&["state"]).await).expect("statuses")
    }

    /// Reads the notes of a record with the request that the desk sends.
    async fn notes(&self, record: &str) -> String {
        let account = Account {
            integration: Defined {
                url: format!("{}{}", self.url, self.path),
                user: USER.into(),
                ..Defined::default()
            },
            secret: SECRET.into(),
        };
        let api = source::find(self.kind).and_then(Source::api);
        let planned = api.expect("an API").notes(&account, record);
        let method = planned.method.parse().expect("a method");
        let mut request = client().request(method, planned.url);
        for (name, value) in planned.headers {
            request = request.header(name, value);
        }
        if let Some(body) = planned.body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.expect("a response");
        response.text().await.expect("a text")
    }

    /// Sends a body to the address of the desk for messages. Returns the status of the response.
    async fn send(&self, address: &str, body: &Value, secret: &str) -> u16 {
        let body = body.to_string();
        let signature = self.signature.sign(secret.as_bytes(), body.as_bytes());
        let request = client()
            .post(address)
            .header("content-type", "application/json")
            .header(self.signature.header, signature)
            .body(body);
        request.send().await.expect("a response").status().as_u16()
    }
}

/// Returns the cases of the desk by the ids of their records.
async fn cases(desk: &Served) -> BTreeMap<String, Value> {
    let mut cases = BTreeMap::new();
    for page in 1..=2 {
        let path = format!("cases?source=other&page_size=100&page={page}");
        let (status, list) = desk.v1("GET", &path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{list}");
        for case in list["cases"].as_array().expect("a list") {
            let record = case["record"].as_str().expect("an id").to_owned();
            cases.insert(record, case.clone());
        }
    }
    cases
}

async fn ticket(desk: &Served, case: &Value) -> Value {
    let number = case["ticket"].as_str().expect("a ticket");
    let path = format!("tickets/{number}");
    desk.v1("GET", &path, "admin", Value::Null).await.1
}

/// Sets a desk up with the system as the source `other`, whose records also get the remarks, and returns it with the address for messages.
fn serve(system: &System, folder: &Path) -> (Served, String) {
    serve_with(system, folder, "")
}

/// Sets a desk up as [`serve`]. `more` defines further integrations. The account of the integration `crm` has the same secret.
fn serve_with(system: &System, folder: &Path, more: &str) -> (Served, String) {
    let mapping = root().join(format!("mappings/cases/{}.toml", system.kind));
    let rules = std::fs::read_to_string(mapping).expect("a mapping");
    let mapping = folder.join("mapping.toml");
    std::fs::write(&mapping, format!("notes = true\n{rules}")).expect("written");
    let definition = format!(
        "[[integration]]\nname = \"other\"\nkind = \"{}\"\nurl = \"{}{}\"\nuser = \"{USER}\"\nmapping = \"{}\"\nwebhook = \"signed\"\npull_minutes = 1\nlanguage = \"en\"\n",
        system.kind,
        system.url,
        system.path,
        mapping.display()
    );
    let definition = format!("{definition}{more}");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let data = folder.join("desk");
    let secret = file("secret", SECRET);
    let mut secrets = vec![
        format!("integration/other={secret}"),
        format!("webhook/other={}", file("webhook", WEBHOOK_SECRET)),
    ];
    if !more.is_empty() {
        secrets.push(format!("integration/crm={secret}"));
    }
    let integrations = file("integrations.toml", &definition);
    let mut arguments = vec![
        "setup",
        "--demo",
        "--yes",
        "--data",
        data.to_str().expect("a path"),
        "--integrations",
        &integrations,
    ];
    secrets
        .iter()
        .for_each(|secret| arguments.extend(["--secret", secret]));
    let output = printed(&arguments);
    let address = output
        .lines()
        .find_map(|line| line.split_once("source other (keep it secret): "))
        .unwrap_or_else(|| panic!("no address: {output}"))
        .1
        .to_owned();
    let desk = Served::start(&data, &["--egress", "127.0.0.1"]);
    let address = format!("{}{address}", desk.base);
    (desk, address)
}

async fn cases_and_records_agree(make: impl AsyncFn() -> System) {
    let exercised = make().await;
    let operations = exercised.library(&["exercise"]).await;

    let system = make().await;
    let opened = system.library(&["open", &TICKETS.to_string()]).await;
    let opened: Vec<String> = serde_json::from_value(opened).expect("ids");
    let folder = tempfile::tempdir().expect("a directory");
    let (desk, address) = serve(&system, folder.path());
    let bound = until("every record has a ticket", async || {
        let cases = cases(&desk).await;
        let bound = cases.values().filter(|case| case["state"] == "bound");
        if bound.count() == TICKETS {
            Ok(cases)
        } else {
            Err(json!(cases.len()))
        }
    })
    .await;
    let first = ticket(&desk, &bound[&opened[0]]).await;
    assert_eq!(first["title"], "Printer 1", "{first}");
    let noted = &opened[ENDED_HERE + ENDED_THERE];
    let remarked = ticket(&desk, &bound[noted]).await;
    let path = format!(
        "tickets/{}/remark",
        remarked["sn"].as_str().expect("a number")
    );
    let creator = remarked["creator"].as_str().expect("a user name");
    let remark = json!({ "text": "the paper is on its way" });
    let (status, answer) = desk.v1("POST", &path, creator, remark).await;
    assert_eq!(status, 200, "{answer}");

    // A message with a wrong signature is rejected, and an older message after a newer one changes nothing.
    let changed = &opened[TICKETS - 1];
    let older = (system.webhook)(changed);
    system.library(&["set", changed, system.working]).await;
    let newer = (system.webhook)(changed);
    // The desk also reads the record itself once a minute, so the forged message has a content of its own.
    let forged = newer.to_string().replace("Printer", "Forged");
    let forged: Value = serde_json::from_str(&forged).expect("JSON");
    assert_eq!(system.send(&address, &forged, "another secret").await, 403);
    let unsigned = client().post(&address).body(forged.to_string());
    let unsigned = unsigned.send().await.expect("a response");
    assert_eq!(unsigned.status().as_u16(), 403);
    let shown = ticket(&desk, &bound[changed]).await;
    let title = shown["title"].as_str().expect("a title");
    assert!(title.starts_with("Printer"), "{shown}");
    let updated = |cases: &BTreeMap<String, Value>| cases[changed]["updated_at"].clone();
    assert_eq!(system.send(&address, &newer, WEBHOOK_SECRET).await, 200);
    let after = until("the newer message is received", async || {
        let cases = cases(&desk).await;
        if updated(&cases) == updated(&bound) {
            Err(json!("not yet"))
        } else {
            Ok(cases)
        }
    })
    .await;
    assert_eq!(system.send(&address, &older, WEBHOOK_SECRET).await, 200);

    // Some tickets end at the desk.
    for record in &opened[..ENDED_HERE] {
        let number = bound[record]["ticket"].as_str().expect("a ticket");
        let path = format!("tickets/{number}/close");
        let body = json!({ "status": "FINISHED", "message": "paper refilled" });
        let (status, answer) = desk.v1("POST", &path, "admin", body).await;
        assert_eq!(status, 200, "{answer}");
    }
    // Some end in the other system.
    let there = &opened[ENDED_HERE..ENDED_HERE + ENDED_THERE];
    for record in there {
        system.library(&["set", record, system.ended]).await;
        let body = (system.webhook)(record);
        assert_eq!(system.send(&address, &body, WEBHOOK_SECRET).await, 200);
    }
    for record in there {
        until("the ticket has ended", async || {
            let shown = ticket(&desk, &bound[record]).await;
            if let Some("TERMINATED" | "REVOKED") = shown["current_status"].as_str() {
                return Ok(());
            }
            // The other system sends its message again, as systems do if a message had no effect. Without this, the
            // ticket would end only after the next regular read.
            let body = (system.webhook)(record);
            system.send(&address, &body, WEBHOOK_SECRET).await;
            Err(shown)
        })
        .await;
    }
    until("the desk has written the ends", async || {
        let cases = cases(&desk).await;
        let outcome = |record: &String| cases[record]["write_back"]["outcome"].clone();
        let outcomes: Vec<Value> = opened[..ENDED_HERE].iter().map(outcome).collect();
        if outcomes.iter().all(|outcome| outcome == "written") {
            Ok(())
        } else {
            Err(json!(outcomes))
        }
    })
    .await;
    // Each call of the library starts a program, so the library is asked only now.
    let states = until("the ends are written", async || {
        let states = system.states().await;
        let done = |record: &&String| states[*record] == system.finished;
        if opened[..ENDED_HERE].iter().filter(done).count() == ENDED_HERE {
            Ok(states)
        } else {
            Err(json!(states))
        }
    })
    .await;
    for record in there {
        assert_eq!(
            states[record], system.ended,
            "the desk does not overwrite it"
        );
    }
    until("the remark is written", async || {
        let notes = system.notes(noted).await;
        if notes.contains("the paper is on its way") && notes.contains("[ledgerdesk ") {
            Ok(())
        } else {
            Err(json!(notes))
        }
    })
    .await;
    // The older message arrived long before these changes, and changed nothing.
    assert_eq!(updated(&cases(&desk).await), updated(&after));
    let writes = cases(&desk).await;
    let written = opened[..ENDED_HERE]
        .iter()
        .filter(|record| writes[*record]["write_back"]["outcome"] == "written")
        .count();
    println!(
        "{}: the library of the vendor made {operations}; {TICKETS} tickets in {} requests, {written} ends written, {ENDED_THERE} ends taken over",
        system.kind,
        (system.requests)()
    );
    assert_eq!(written, ENDED_HERE);
}

#[tokio::test]
async fn tickets_of_servicenow_and_of_the_desk_agree() {
    cases_and_records_agree(servicenow).await;
}

#[tokio::test]
async fn tickets_of_jira_and_of_the_desk_agree() {
    cases_and_records_agree(jira).await;
}

#[tokio::test]
async fn tickets_of_zammad_and_of_the_desk_agree() {
    cases_and_records_agree(zammad).await;
}

#[tokio::test]
async fn work_orders_of_atlas_and_tickets_of_the_desk_agree() {
    cases_and_records_agree(atlas).await;
}

/// A person binds the ticket of an incident to a customer service case of another instance of ServiceNow.
#[tokio::test]
async fn a_customer_service_case_of_servicenow_follows_the_ticket() {
    let exercised = servicenow_csm().await;
    let operations = exercised.library(&["exercise"]).await;

    let (incidents, crm) = (servicenow().await, servicenow_csm().await);
    let one = async |system: &System| -> String {
        let opened = system.library(&["open", "1"]).await;
        opened[0].as_str().expect("an id").to_owned()
    };
    let (incident, customer_case) = (one(&incidents).await, one(&crm).await);
    let folder = tempfile::tempdir().expect("a directory");
    let mapping = root().join("mappings/cases/servicenow_csm.toml");
    let definition = format!(
        "[[integration]]\nname = \"crm\"\nkind = \"servicenow_csm\"\nurl = \"{}\"\nuser = \"{USER}\"\nmapping = \"{}\"\nreconcile_minutes = 1\nlanguage = \"en\"\n",
        crm.url,
        mapping.display()
    );
    let (desk, _) = serve_with(&incidents, folder.path(), &definition);
    let case = until("the incident has a ticket", async || {
        match cases(&desk).await.remove(&incident) {
            Some(case) if case["state"] == "bound" => Ok(case),
            other => Err(json!(other)),
        }
    })
    .await;
    let id = case["id"].as_str().expect("an id");
    let body = json!({ "integration": "crm", "record": customer_case });
    let path = format!("cases/{id}/crm");
    let (status, answer) = desk.v1("PUT", &path, "admin", body).await;
    assert_eq!(status, 200, "{answer}");
    let opened = ticket(&desk, &case).await;
    let path = format!(
        "tickets/{}/remark",
        opened["sn"].as_str().expect("a number")
    );
    let creator = opened["creator"].as_str().expect("a user name");
    let remark = json!({ "text": "the paper is on its way" });
    let (status, answer) = desk.v1("POST", &path, creator, remark).await;
    assert_eq!(status, 200, "{answer}");
    until("the case has the remark", async || {
        let notes = crm.notes(&customer_case).await;
        if notes.contains("the paper is on its way") {
            Ok(())
        } else {
            Err(json!(notes))
        }
    })
    .await;
    // Each call of the library starts a program, so the library is asked only now.
    until("the case has the status and the remark", async || {
        let state = crm.states().await[&customer_case].clone();
        let notes = crm.library(&["notes", &customer_case]).await;
        let text = notes.as_str().unwrap_or_default();
        let has_remark = text.contains("the paper is on its way") && text.contains("[ledgerdesk ");
        if state == crm.working && has_remark {
            Ok(())
        } else {
            Err(json!([state, notes]))
        }
    })
    .await;

    // A person changes the case, and the desk shows the difference.
    crm.library(&["set", &customer_case, "18"]).await;
    let expected = json!({ "field": "status", "found": "18", "wanted": crm.working });
    until("the difference is shown", async || {
        let shown = cases(&desk).await[&incident]["bindings"][0].clone();
        if shown["conflict"] == expected {
            Ok(())
        } else {
            Err(shown)
        }
    })
    .await;
    assert_eq!(
        crm.states().await[&customer_case],
        "18",
        "it is not overwritten"
    );
    let data = folder.path().join("desk");
    let data = data.to_str().expect("a path");
    let report = printed(&["report", "sync", "--json", "--data", data]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["sources"]["crm"]["errors"], 1, "{report}");
    println!("servicenow_csm: the library of the vendor made {operations}");
}
