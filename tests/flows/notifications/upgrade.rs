//! This test checks a desk with tickets that are older than its notification policy, as after an upgrade from a version without
//! notifications.

use functions::app::notifications::definitions::Definitions;
use serde_json::json;

use super::{BOTH, Channels, MAIL, ROBOT};

const DAY_MS: i64 = 24 * 3_600_000;

/// The desk reads all events again after a loss of its views. The events from the time before the policy must not cause
/// messages then, and later events must.
#[tokio::test]
async fn a_desk_with_a_history_sends_nothing_about_it_after_a_loss_of_the_views() {
    let channels = Channels::open_with(&[MAIL, ROBOT].concat()).await;
    channels.reachable(None).await;
    for _ in 0..3 {
        let sn = channels.submit_with("3").await;
        let remark = json!({ "text": "see the list" });
        let desk = &channels.desk;
        desk.operate(&json!(sn), "remark", "lisi", remark).await;
        desk.settle().await;
    }
    channels.desk.clock.advance(DAY_MS);
    let definitions = Definitions::read(&[MAIL, ROBOT, BOTH].concat()).unwrap();
    definitions.store(&channels.desk.app).await.unwrap();
    channels.desk.settle().await;
    let channels = channels.restart_without_views().await;
    for _ in 0..3 {
        channels.desk.settle().await;
        channels.desk.clock.advance(3_600_000);
    }
    assert_eq!(channels.desk.mailer.take().len(), 0);
    assert_eq!(channels.robot.accepted().len(), 0);
    let inbox = channels.get("inbox/zhangsan", "zhangsan").await;
    assert_eq!(inbox["count"], 0, "{inbox}");
    channels.submit().await;
    channels.desk.clock.advance(60_000);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    assert_eq!(channels.robot.accepted().len(), 1);
}
