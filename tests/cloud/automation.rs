//! This test checks that deployed cloud functions unlock an account. The function `automate` finds the rule for
//! a ticket, waits for the approval, and removes the lock in an LDAP server on this machine. A desk in the
//! cloud runs no shell scripts, because AWS Lambda does not allow a sandbox (an isolated environment) for them.

use std::path::Path;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::directory::Directory;
use tests::process::printed;
use tests::{account_workflow, publish};

use crate::TestDesk;
use crate::desk::{send, until};

/// Returns automation definitions as TOML: a platform (the LDAP server), two scripts and two rules. The rules
/// act only at the node with the name `node`. `run` is a number that makes the names of the definitions unique.
fn definitions(run: u32, node: &str, directory: &Directory) -> String {
    let platform = directory.platform(&format!("company_directory_{run}"));
    format!(
        r#"{platform}
        [[script]]
        name = "unlock_{run}"
        version = "1"
        action = "unlock_account"
        platform = "company_directory_{run}"
        parameters = [{{ name = "account" }}]
        approval = {{ people = ["wangwu"] }}

        [[script]]
        name = "report_{run}"
        version = "1"
        shell = "df -h"

        [[rule]]
        name = "unlock_{run}"
        node = "{node}"
        when = [{{ key = "kind", value = "unlock" }}]
        script = "unlock_{run}"
        parameters = {{ account = "${{account}}" }}
        form = {{ result = "unlocked" }}

        [[rule]]
        name = "report_{run}"
        node = "{node}"
        when = [{{ key = "kind", value = "report" }}]
        script = "report_{run}"
        form = {{ result = "see the output" }}
        "#
    )
}

/// A desk in the cloud with one service. Each ticket of this service waits at a node until the user zhangsan or
/// an automation rule completes the node.
struct Automated {
    desk: TestDesk,
    service: Value,
}

impl Automated {
    /// Stores the automation definitions with the program `ledgerdesk`, and creates the service. The files for
    /// the program are written to `folder`.
    async fn open(folder: &Path, directory: &Directory) -> Self {
        let desk = TestDesk::open().await;
        // The desk in the cloud keeps the data of earlier test runs. Each run therefore adds a different number
        // to the names of the items that it creates.
        let run = std::process::id();
        let node = format!("Account {run}");
        let (file, secret) = (folder.join("automation.toml"), folder.join("secret.txt"));
        std::fs::write(&file, definitions(run, &node, directory)).expect("written");
        std::fs::write(&secret, "desk-secret").expect("written");
        let file = file.to_str().expect("a path");
        let secret = format!("platform/company_directory_{run}={}", secret.display());
        printed(&[
            "setup",
            "--cloud",
            "--automation",
            file,
            "--secret",
            &secret,
        ]);
        // The cloud function `follow` adds new rules to the list of rules after a short time. If a ticket
        // reached the node earlier, no rule would act on this ticket.
        until("the two new rules in the list", async || {
            let shown = send(desk.v1(Method::GET, "rules", "admin")).await;
            let rules = shown["rules"].as_array()?.iter();
            (rules.filter(|rule| rule["node"] == node).count() == 2).then_some(())
        })
        .await;
        let definition = account_workflow(&format!("Account {run}"), &node);
        let post = async |path: &str, body: Value| {
            send(desk.v1(Method::POST, path, "admin").json(&body)).await
        };
        let service = publish(post, definition, json!({})).await;
        Self { desk, service }
    }

    /// Opens a ticket of the user lisi about the account lisi. Returns the ticket number.
    async fn submit(&self, kind: &str) -> String {
        let fields = json!({ "title": "locked out", "kind": kind, "account": "lisi" });
        let ticket = json!({ "service_id": self.service, "fields": fields });
        let opened = self.desk.submit(&ticket).await;
        opened["sn"].as_str().expect("a number").to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        send(self.desk.v1(Method::GET, path, "admin")).await
    }

    /// Waits until the only execution (run of a script) of a ticket has the given state, and returns the
    /// execution. Panics if the execution ends in another state.
    async fn execution(&self, sn: &str, state: &str) -> Value {
        let list = format!("executions?ticket={sn}");
        let found = until(&format!("the state {state} of the execution"), async || {
            let shown = self.get(&list).await;
            let one = shown["executions"][0].clone();
            if one["state"] == state {
                return Some(one);
            }
            assert_ne!(one["is_closed"], true, "{one}");
            None
        })
        .await;
        let id = found["id"].as_str().expect("an id");
        self.get(&format!("executions/{id}")).await
    }

    /// Returns the request with which a user approves an execution.
    fn approve(&self, user: &str, execution: &Value) -> RequestBuilder {
        let id = execution["id"].as_str().expect("an id");
        let path = format!("executions/{id}/approve");
        let body = json!({ "fingerprint": execution["fingerprint"] });
        self.desk.v1(Method::POST, &path, user).json(&body)
    }

    /// Waits until a ticket has ended.
    async fn ended(&self, sn: &str) {
        let path = format!("tickets/{sn}");
        until("the end of the ticket", async || {
            let shown = self.get(&path).await;
            (shown["current_status"] == "FINISHED").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_approved_ticket_unlocks_an_account_through_deployed_functions() {
    let folder = tempfile::tempdir().expect("a directory");
    let directory = Directory::start(folder.path()).await;
    directory.lock("lisi");
    let automated = Automated::open(folder.path(), &directory).await;

    let sn = automated.submit("unlock").await;
    let execution = automated.execution(&sn, "awaiting_approval").await;
    // The person who created the ticket is not allowed to read its execution (run of a script). The desk
    // therefore rejects the approval of this person with status 404.
    let refused = automated.approve("lisi", &execution).send().await;
    let status = refused.expect("an answer").status();
    assert_eq!(status.as_u16(), 404);
    assert!(
        directory.entry("lisi").contains("pwdAccountLockedTime"),
        "the account is locked until wangwu approves"
    );
    let approved = send(automated.approve("wangwu", &execution)).await;
    assert_eq!(approved["approved_by"], "wangwu", "{approved}");
    automated.execution(&sn, "succeeded").await;
    automated.ended(&sn).await;
    assert!(!directory.entry("lisi").contains("pwdAccountLockedTime"));
    assert!(directory.login("lisi", "lisi-secret"));

    // The account is not locked any more, so the second execution (run of a script) changes nothing.
    let again = automated.submit("unlock").await;
    let execution = automated.execution(&again, "awaiting_approval").await;
    send(automated.approve("wangwu", &execution)).await;
    automated.execution(&again, "no_change").await;
    automated.ended(&again).await;

    // The cloud function cannot start a shell script. The execution therefore fails, and zhangsan must complete
    // the node.
    let report = automated.submit("report").await;
    let failed = automated.execution(&report, "failed").await;
    assert_eq!(failed["level"], "none", "{failed}");
    assert_eq!(
        failed["reason"],
        "the script needs the sandbox level network, but this machine reaches only none"
    );
    let ticket = automated.get(&format!("tickets/{report}")).await;
    assert_eq!(ticket["current_status"], "RUNNING", "{ticket}");
}
