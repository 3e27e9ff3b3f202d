//! These tests check cases whose records are tickets of another BlueKing ITSM: the desk reads the tickets, and operates their
//! nodes. The other BlueKing ITSM is an imitation on a port of the loopback address.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use functions::app::itsm::integrations::Definitions;
use functions::cli::demo::fakes::bk_itsm::{BkItsm, Faults};
use infra::http::client::Client;
use infra::http::egress::Egress;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::TestDesk;

const MINUTE_MS: i64 = 60_000;
const APP: (&str, &str) = ("branch_desk", "s3cret");

/// Returns a later time in milliseconds with each call, so that each change of a ticket has its own time.
fn now() -> i64 {
    static NOW: AtomicI64 = AtomicI64::new(1_795_312_800_000);
    NOW.fetch_add(1_000, Ordering::SeqCst)
}

struct Branch {
    desk: TestDesk,
    itsm: Arc<BkItsm>,
    task: JoinHandle<()>,
    /// The number of the ticket in the other BlueKing ITSM.
    sn: String,
}

impl Drop for Branch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Branch {
    /// Opens a desk that reads the tickets of another BlueKing ITSM as the person `user`, with one ticket.
    async fn open(user: &str, faults: Faults) -> Self {
        let mut desk = TestDesk::open().await;
        desk.app.http = Arc::new(Client::new(Egress::everywhere()).expect("a client"));
        let itsm = Arc::new(BkItsm::new(APP.0, APP.1, faults, now));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let served = itsm.clone();
        let task = tokio::spawn(async move {
            served.serve(listener).await.expect("the imitation serves");
        });
        let keys = &desk.app.ledger.keys;
        let secret = keys.keep_secret("integration/branch", APP.1.as_bytes());
        secret.await.expect("stored");
        let sn = itsm.open("lisi", "No network").expect("a ticket");
        let branch = Self {
            desk,
            itsm,
            task,
            sn,
        };
        branch.define(user, port).await;
        branch.after(MINUTE_MS).await;
        branch
    }

    async fn define(&self, user: &str, port: u16) {
        let text = format!(
            r#"
            [[integration]]
            name = "branch"
            kind = "bk_itsm_tickets"
            url = "http://127.0.0.1:{port}"
            app = "{}"
            user = "{user}"
            filter = "service_id__in=18"
            pull_minutes = 1
            mapping = "bk_itsm_tickets"
            language = "en"
            "#,
            APP.0
        );
        let path = tests::process::root().join("mappings/cases/bk_itsm_tickets.toml");
        let mapping = std::fs::read_to_string(path).expect("a mapping");
        // A withdrawn ticket of the desk submits the node of the other ticket.
        let mapping = mapping
            .replace("TERMINATED = \"TERMINATED\"", "REVOKED = \"FINISHED\"")
            .replace("[write_also.FINISHED]", "[write_also.REVOKED]");
        let read = |_: &std::path::Path| Ok(mapping.clone());
        let definitions = Definitions::read(&text, &read).expect("definitions");
        definitions.store(&self.desk.app).await.expect("stored");
        self.desk.settle().await;
    }

    async fn after(&self, ms: i64) {
        self.desk.clock.advance(ms);
        self.desk.settle().await;
    }

    async fn case(&self) -> Value {
        let path = "cases?source=branch";
        let (status, list) = self.desk.v1("GET", path, "admin", Value::Null).await;
        assert_eq!((status, &list["count"]), (200, &json!(1)), "{list}");
        list["cases"][0].clone()
    }

    /// Withdraws the ticket of the desk, and lets two minutes pass.
    async fn withdraw(&self) {
        let case = self.case().await;
        assert_eq!(
            (&case["state"], &case["record"]),
            (&json!("bound"), &json!(self.sn)),
            "{case}"
        );
        let message = json!({ "message": "solved" });
        self.desk
            .operate(&case["ticket"], "withdraw", "lisi", message)
            .await;
        self.desk.settle().await;
        for _ in 0..12 {
            self.after(MINUTE_MS / 6).await;
        }
    }

    /// Returns the status of the ticket in the other BlueKing ITSM.
    fn status(&self) -> Value {
        let tickets = self.itsm.tickets();
        let mut own = tickets.iter().filter(|ticket| ticket["sn"] == self.sn);
        own.next().expect("the ticket")["status"].clone()
    }
}

#[tokio::test]
async fn the_end_of_a_ticket_submits_the_node_of_the_other_ticket() {
    let branch = Branch::open("admin", Faults::default()).await;
    branch.withdraw().await;
    assert_eq!(branch.status(), "FINISHED");
    assert_eq!(branch.itsm.count("operate_node"), 1);
    let note = branch.itsm.field(&branch.sn, "remark").expect("a remark");
    let number = branch.case().await["ticket"].clone();
    let number = number.as_str().expect("a number");
    assert!(
        note.as_str().is_some_and(|note| note.contains(number)),
        "{note}"
    );
    let write = branch.case().await["write_back"].clone();
    assert_eq!(write["outcome"], "written", "{write}");
}

/// The ticket goes on to a second node. If the desk submitted the current node again, it would submit the second node too.
#[tokio::test]
async fn a_node_is_submitted_once_if_the_result_is_unknown() {
    let lost = Faults {
        lost_operations: 1,
        second_node: true,
        ..Faults::default()
    };
    let failed = Faults {
        failed_operations: 1,
        second_node: true,
        ..Faults::default()
    };
    for faults in [lost, failed] {
        let branch = Branch::open("admin", faults).await;
        branch.withdraw().await;
        assert_eq!(branch.itsm.count("operate_node"), 1, "{faults:?}");
        assert_eq!(
            branch.status(),
            "RUNNING",
            "a person submits the second node"
        );
        let write = branch.case().await["write_back"].clone();
        assert_eq!(write["outcome"], "unchanged", "{write}");
        assert!(write["failures"][0]["reason"].is_string(), "{write}");
    }
}

#[tokio::test]
async fn an_operation_that_is_refused_with_status_200_is_a_failure() {
    let branch = Branch::open("guest", Faults::default()).await;
    branch.withdraw().await;
    assert_eq!(branch.status(), "RUNNING");
    assert_eq!(branch.itsm.count("operate_node"), 1);
    let write = branch.case().await["write_back"].clone();
    assert_eq!(write["outcome"], "failed", "{write}");
    let reason = write["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("3900005: "), "{reason}");
}

#[tokio::test]
async fn a_ticket_that_has_ended_meanwhile_is_not_operated() {
    let branch = Branch::open("admin", Faults::default()).await;
    assert!(branch.itsm.decide(&branch.sn, true));
    branch.withdraw().await;
    assert_eq!(branch.itsm.count("operate_node"), 0);
    let write = branch.case().await["write_back"].clone();
    assert_eq!(write["outcome"], "unchanged", "{write}");
}

/// A ticket that is revoked in the other BlueKing ITSM ends the ticket of the desk.
#[tokio::test]
async fn a_ticket_that_is_revoked_there_is_withdrawn_here() {
    let branch = Branch::open("admin", Faults::default()).await;
    let ticket = branch.case().await["ticket"].clone();
    assert!(branch.itsm.revoke(&branch.sn));
    branch.after(2 * MINUTE_MS).await;
    let path = format!("tickets/{}", ticket.as_str().expect("a number"));
    let (_, shown) = branch.desk.v1("GET", &path, "admin", Value::Null).await;
    assert_eq!(shown["current_status"], "REVOKED", "{shown}");
    assert_eq!(branch.itsm.count("operate_node"), 0);
}
