//! These tests generate clients from the OpenAPI document, with the generators of other projects, and drive a desk with
//! them.

use std::process::Command;

use serde_json::Value;
use tests::process::{Served, root};

/// Runs a program and returns its output. Panics with the error text of the program if it fails.
fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Two generators accept the document without a warning. Each client deploys a workflow, submits a ticket with a field
/// of every type, approves the ticket and reads it.
#[tokio::test(flavor = "multi_thread")]
async fn generated_clients_deploy_submit_and_approve() {
    let folder = tempfile::tempdir().expect("a directory");
    let document = root().join("docs/openapi.json");
    let clients = folder.path().join("clients");
    output(
        Command::new(root().join("tests/foreign/generate"))
            .arg(document)
            .arg(&clients),
    );
    let desk = Served::start(&folder.path().join("data"), &[]);
    let python = root().join("target/generators/python/bin/python");
    let of_python = output(
        Command::new(python)
            .arg(root().join("tests/foreign/generated_client.py"))
            .arg(&desk.base)
            .env("PYTHONPATH", clients.join("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    );
    let of_typescript = output(
        Command::new("node")
            .arg(clients.join("typescript/generated_client.js"))
            .arg(&desk.base),
    );
    print!("python: {of_python}typescript: {of_typescript}");
    let (_, shown) = desk
        .v1("GET", "tickets?creator=lisi", "lisi", Value::Null)
        .await;
    for printed in [of_python, of_typescript] {
        assert!(
            printed.contains("FINISHED: 22 types of fields"),
            "{printed}"
        );
        let sn = printed.split(' ').next().unwrap_or_default();
        let ticket = shown["items"]
            .as_array()
            .expect("tickets")
            .iter()
            .find(|ticket| ticket["sn"] == sn);
        assert_eq!(ticket.expect("the ticket")["current_status"], "FINISHED");
    }
}
