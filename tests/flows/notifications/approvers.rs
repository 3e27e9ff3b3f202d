//! These tests check that the people who may approve the execution of a script are notified of it.

use functions::app::notifications::definitions::Definitions;
use serde_json::{Value, json};

use crate::executions::{APPROVAL, Automated, PLATFORM, RULE, UNLOCK};

impl Automated {
    /// Opens a desk with a notification policy and a script that wangwu, lisi or zhaoliu must approve.
    async fn with_policy() -> Self {
        let automated = Self::open(&[PLATFORM, UNLOCK, APPROVAL, RULE]).await;
        let policy = Definitions::read("[policy]\naccounts = []\n").unwrap();
        policy.store(&automated.desk.app).await.unwrap();
        automated.desk.settle().await;
        automated
    }

    async fn opened(&self) -> Value {
        let fields = json!({ "title": "账号被锁", "kind": "unlock", "account": "lisi" });
        let body = json!({ "service_id": self.service, "fields": fields });
        let (status, opened) = self.desk.v1("POST", "tickets", "lisi", body).await;
        assert_eq!(status, 201, "{opened}");
        self.desk.settle().await;
        opened["sn"].clone()
    }

    /// Returns the number of requests for approval in the inbox of a person.
    async fn asked(&self, person: &str) -> usize {
        let path = format!("inbox/{person}");
        let (status, inbox) = self.desk.v1("GET", &path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{inbox}");
        let shown = inbox["notifications"].as_array().expect("notifications");
        let asked = shown
            .iter()
            .filter(|one| one["fact"] == "execution_approval" && one["role"] == "approver");
        asked.count()
    }
}

#[tokio::test]
async fn approvers_are_notified_of_a_script_that_waits_for_them() {
    let automated = Automated::with_policy().await;
    automated.opened().await;
    assert_eq!(automated.asked("wangwu").await, 1);
    assert_eq!(automated.asked("zhaoliu").await, 1);
    assert_eq!(
        automated.asked("lisi").await,
        0,
        "the requester may not approve"
    );
}

#[tokio::test]
async fn changed_parameters_need_another_approval() {
    let automated = Automated::with_policy().await;
    let sn = automated.opened().await;
    let execution = automated.execution(&sn).await;
    let id = execution["id"].as_str().expect("an id");
    let path = format!("executions/{id}/parameters");
    let body = json!({ "parameters": { "account": "zhangsan" } });
    let desk = &automated.desk;
    let (status, answer) = desk.v1("PUT", &path, "wangwu", body).await;
    assert_eq!(status, 200, "{answer}");
    desk.settle().await;
    assert_eq!(automated.asked("zhaoliu").await, 2);
    assert_eq!(
        automated.asked("wangwu").await,
        1,
        "a person who changed the parameters may not approve"
    );
}
