//! These tests check that the approvers of a sequential approval are notified one after another.

use serde_json::{Value, json};
use tests::form;

use super::Channels;

const POLICY: &str = "[policy]\naccounts = []\n";

impl Channels {
    /// Opens a problem whose approvers fengyi and admin vote one after another. Returns the ticket number.
    async fn problem(&self) -> Value {
        let fields = form(&[("title", "根因"), ("WENTIMIAOSHU", "一周三次")]);
        let body = json!({ "service_id": 21, "creator": "lisi", "fields": fields });
        let sn = self.desk.must("create_ticket", body).await["sn"].clone();
        let claim =
            json!({ "sn": sn, "operator": "zhengshi", "state_id": 3, "action_type": "CLAIM" });
        self.desk.must("operate_node", claim).await;
        let fields = form(&[("GENYIN", "连接泄漏"), ("SHIFOUGAIJIN", "MONITOR,DOC")]);
        self.transition(&sn, "zhengshi", 3, fields).await;
        sn
    }

    /// Submits the form of a node.
    async fn transition(&self, sn: &Value, by: &str, node: i64, fields: Value) {
        let body = json!({
            "sn": sn, "operator": by, "state_id": node, "action_type": "TRANSITION", "fields": fields,
        });
        self.desk.must("operate_node", body).await;
        self.desk.settle().await;
    }

    /// Returns the number of notifications of a person that need an approval.
    async fn approvals(&self, person: &str) -> usize {
        let inbox = self.get(&format!("inbox/{person}"), person).await;
        let shown = inbox["notifications"].as_array().expect("notifications");
        let needed = shown.iter().filter(|one| one["fact"] == "approval_needed");
        needed.count()
    }
}

#[tokio::test]
async fn sequential_approvers_are_notified_one_after_another() {
    let channels = Channels::open_with(POLICY).await;
    let sn = channels.problem().await;
    assert_eq!(
        (
            channels.approvals("fengyi").await,
            channels.approvals("admin").await
        ),
        (1, 0)
    );
    let fields = form(&[("SH_YIJIAN", "true")]);
    channels.transition(&sn, "fengyi", 4, fields.clone()).await;
    assert_eq!(
        (
            channels.approvals("fengyi").await,
            channels.approvals("admin").await
        ),
        (1, 1)
    );
    channels.transition(&sn, "admin", 4, fields).await;
    assert_eq!(
        (
            channels.approvals("fengyi").await,
            channels.approvals("admin").await
        ),
        (1, 1),
        "the last vote notifies no approver"
    );
}

#[tokio::test]
async fn a_vote_at_a_node_without_an_order_notifies_no_other_approver() {
    let channels = Channels::open_with(POLICY).await;
    let sn = channels.submit().await;
    let body = json!({ "node": 3, "pass": true, "message": "ok" });
    channels
        .desk
        .operate(&json!(sn), "decide", "zhangsan", body)
        .await;
    channels.desk.settle().await;
    assert_eq!(
        (
            channels.approvals("zhangsan").await,
            channels.approvals("wangwu").await
        ),
        (1, 1)
    );
}
