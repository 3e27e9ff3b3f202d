//! This test sends concurrent decisions on one node. Exactly one of the decisions must succeed.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{approval_request, form};

use crate::TestDesk;

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_many_concurrent_approvals_succeeds() {
    let desk = std::sync::Arc::new(TestDesk::open().await);
    let approvers: Vec<String> = (0..desk.rivals())
        .map(|number| format!("approver{number}"))
        .collect();
    let mut body = approval_request();
    body["fields"][4]["value"] = approvers.join(",").into();
    let sn = desk.must("create_ticket", body).await["sn"].clone();
    let mut votes = tokio::task::JoinSet::new();
    for operator in approvers {
        let (desk, sn) = (desk.clone(), sn.clone());
        votes.spawn(async move {
            let fields = form(&[("FZR_YIJIAN", "true")]);
            desk.call("operate_node", json!({ "sn": sn, "operator": operator, "state_id": 3, "action_type": "TRANSITION", "fields": fields })).await
        });
    }
    let answers = votes.join_all().await;
    let (won, lost): (Vec<&Value>, Vec<&Value>) =
        answers.iter().partition(|answer| answer["result"] == true);
    assert_eq!((won.len(), lost.len()), (1, desk.rivals() - 1));
    let rejections: BTreeSet<(i64, &str)> = lost
        .iter()
        .map(|answer| {
            (
                answer["code"].as_i64().unwrap(),
                answer["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        rejections,
        BTreeSet::from([(3_900_005, "0:抱歉，当前节点：3 已经结束")])
    );
    let votes = desk
        .story(sn.as_str().unwrap())
        .await
        .into_iter()
        .filter(|kind| *kind == "ticket.vote_cast")
        .count();
    assert_eq!(votes, 1);
}
