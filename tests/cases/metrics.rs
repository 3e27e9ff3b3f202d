//! Tests the metrics of a desk on one machine.

use std::process::Stdio;

use serde_json::{Value, json};
use tests::process::{APP, Served, client, root};

/// Reads a text of OpenMetrics with the parser of the Python client of Prometheus, and prints its samples as JSON.
const PARSER: &str = r"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
print(json.dumps([[sample.name, sample.labels, sample.value] for family in families for sample in family.samples]))
";

fn parsed(text: &str) -> Vec<Value> {
    let mut parser = std::process::Command::new(root().join("target/python/bin/python"))
        .args(["-c", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the parser runs");
    let mut input = parser.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, text.as_bytes()).expect("written");
    drop(input);
    let output = parser.wait_with_output().expect("the parser ends");
    assert!(output.status.success(), "the text is OpenMetrics: {text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Returns the value of a sample by its name and its labels.
fn value(samples: &[Value], name: &str, labels: &Value) -> f64 {
    let found = samples
        .iter()
        .find(|sample| sample[0] == name && sample[1] == *labels);
    found.unwrap_or_else(|| panic!("{name} {labels} is not in {samples:?}"))[2]
        .as_f64()
        .expect("a number")
}

async fn metrics(desk: &Served, app: (&str, &str)) -> (u16, String) {
    let request = client()
        .get(format!("{}/metrics", desk.base))
        .basic_auth(app.0, Some(app.1));
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.expect("a text"))
}

/// An app with the scope `metrics` reads the metrics and nothing else.
#[tokio::test]
async fn an_app_for_monitoring_reads_only_the_metrics() {
    let folder = tempfile::tempdir().expect("a directory");
    let desk = Served::start(folder.path(), &[]);
    // An app with a scope reads the metrics only if the scope is one of `metrics` and `admin`. An app for monitoring can do
    // nothing else.
    for (scope, expected) in [
        ("metrics", 200),
        ("admin", 200),
        ("tickets", 403),
        ("cases", 403),
    ] {
        let body = json!({ "scopes": [scope], "secret": "a-secret-of-monitoring", "may_impersonate": true });
        let path = format!("apps/only_{scope}");
        let (status, answer) = desk.v1("PUT", &path, "admin", body).await;
        assert_eq!(
            (status, &answer["scopes"]),
            (201, &json!([scope])),
            "{answer}"
        );
        let app = format!("only_{scope}");
        let app = (app.as_str(), "a-secret-of-monitoring");
        assert_eq!(metrics(&desk, app).await.0, expected, "{scope}");
        let of_the_app = client()
            .get(format!("{}/v1/services", desk.base))
            .basic_auth(app.0, Some(app.1))
            .header("x-on-behalf-of", "admin")
            .send();
        let status = of_the_app.await.expect("an answer").status().as_u16();
        let may_read = matches!(scope, "admin" | "tickets");
        assert_eq!(status, if may_read { 200 } else { 403 }, "{scope}");
    }
}

/// Each channel account has its state in the metrics, also before its first message.
#[tokio::test]
async fn the_metrics_show_the_state_of_each_channel_account() {
    let folder = tempfile::tempdir().expect("a directory");
    let accounts = folder.path().join("accounts.toml");
    let text = "[[account]]\nname = \"mail\"\nchannel = \"email\"\nhost = \"relay.example\"\nfrom = \"desk@example.com\"\n";
    std::fs::write(&accounts, text).expect("written");
    let data = folder.path().join("data");
    let accounts = accounts.to_str().expect("a path");
    let desk = Served::start(&data, &["--accounts", accounts]);
    let state = async |name: &str| {
        let (status, text) = metrics(&desk, APP).await;
        assert_eq!(status, 200, "{text}");
        let labels = json!({ "account": "mail", "channel": "email" });
        let name = format!("ledgerdesk_channel_account_{name}");
        // The list of accounts follows the ledger, so the account can be absent for a moment.
        let samples = parsed(&text);
        let is_shown = samples.iter().any(|sample| sample[0] == name.as_str());
        is_shown.then(|| value(&samples, &name, &labels).to_bits())
    };
    let available = tests::process::until("the account", async || {
        state("available").await.ok_or(Value::Null)
    });
    assert_eq!(available.await, 1_f64.to_bits());
    assert_eq!(state("degraded").await, Some(0_f64.to_bits()));
    let (status, answer) = desk
        .v1("POST", "channel-accounts/mail/stop", "admin", json!({}))
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(state("available").await, Some(0_f64.to_bits()));
}

/// Prometheus can watch a desk on one machine (cases/first-use.md, section 6). The metrics are about the whole desk, so
/// only apps that may act for every user read them.
#[tokio::test]
async fn metrics_count_requests_and_show_positions_queues_and_lists() {
    let folder = tempfile::tempdir().expect("a directory");
    let plain = ("plain", "a-secret-of-the-plain-app");
    let desk = Served::start(
        folder.path(),
        &["--plain-app", &format!("{}:{}", plain.0, plain.1)],
    );
    let nameless = client().get(format!("{}/metrics", desk.base)).send().await;
    assert_eq!(nameless.expect("an answer").status(), 403);
    assert_eq!(metrics(&desk, plain).await.0, 401);
    assert_eq!(metrics(&desk, (APP.0, "wrong")).await.0, 401);

    for _ in 0..3 {
        let (status, _) = desk.v1("GET", "roles", "admin", Value::Null).await;
        assert_eq!(status, 200);
    }
    let (status, _) = desk.v1("GET", "tickets/REQ1", "admin", Value::Null).await;
    assert_eq!(status, 404);
    let fields = json!([{ "key": "title", "value": "t" }, { "key": "apply_content", "value": "c" }, { "key": "apply_reason", "value": "r" }, { "key": "ZHIDINGSHENPIREN", "value": "zhangsan" }]);
    let body = json!({ "service_id": 22, "creator": "lisi", "fields": fields });
    desk.bk("create_ticket", body).await;

    let (status, text) = metrics(&desk, APP).await;
    assert_eq!(status, 200, "{text}");
    let samples = parsed(&text);
    let requests = |api: &str, status: &str| {
        let labels = json!({ "api": api, "status": status });
        value(&samples, "ledgerdesk_http_requests_total", &labels)
    };
    assert_eq!(requests("v1", "200").to_bits(), 3_f64.to_bits());
    assert_eq!(requests("v1", "404").to_bits(), 1_f64.to_bits());
    assert_eq!(requests("blueking", "200").to_bits(), 1_f64.to_bits());
    assert_eq!(requests("operation", "401").to_bits(), 2_f64.to_bits());
    let durations = value(
        &samples,
        "ledgerdesk_http_request_duration_seconds_count",
        &json!({ "api": "v1" }),
    );
    assert_eq!(durations.to_bits(), 4_f64.to_bits());
    let none = json!({});
    let position = value(&samples, "ledgerdesk_ledger_position", &none);
    let ready = client().get(format!("{}/readyz", desk.base)).send().await;
    let ready = ready.expect("an answer").text().await.expect("a text");
    assert_eq!(ready, format!("ready at position {position}"));
    assert!(value(&samples, "ledgerdesk_views_position", &none) <= position);
    for queue in functions::catalog::queues() {
        value(
            &samples,
            "ledgerdesk_queue_messages",
            &json!({ "queue": queue }),
        );
    }
    let failed = json!({ "view": "api_call", "list": "failed" });
    assert!(value(&samples, "ledgerdesk_list_entries", &failed) == 0.0);
    for (view, list) in functions::registry::counted() {
        let labels = json!({ "view": view, "list": list });
        value(&samples, "ledgerdesk_list_entries", &labels);
    }
    for name in ["ledgerdesk_parked_messages", "ledgerdesk_parked_streams"] {
        assert!(value(&samples, name, &none) == 0.0, "{name}");
    }
    assert!(value(&samples, "process_resident_memory_bytes", &none) > 1e6);
    assert!(value(&samples, "process_open_fds", &none) > 3.0);
    value(&samples, "process_cpu_seconds_total", &none);
}
