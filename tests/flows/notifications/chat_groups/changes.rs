//! These tests check groups whose ticket or whose rules change at an unfavorable time.

use domain::intent::{Intent, SyncChatGroup};
use events::{Meta, Moment, TicketSn};
use functions::app::notifications::chat_group_rounds::catch_up;
use functions::app::notifications::definitions::Definitions;
use functions::app::subscriptions::Wanted as _;
use serde_json::{Value, json};

use super::platform::{Fault, Groups};
use super::{HIGH, ON_REQUEST};

/// A policy without rules for groups.
const NONE: &str = "[policy]\naccounts = []";

async fn define(groups: &Groups, policy: &str) {
    let definitions = Definitions::read(policy).expect("valid");
    let stored = definitions.store(&groups.channels.desk.app).await;
    stored.expect("stored");
    groups.channels.desk.settle().await;
}

#[tokio::test]
async fn a_ticket_that_is_older_than_the_rules_gets_no_group_after_a_loss_of_the_views() {
    let groups = Groups::wecom(NONE).await;
    let sn = groups.channels.submit_with("3").await;
    groups.later(3_600_000).await;
    define(&groups, HIGH).await;
    groups.later(3_600_000).await;
    let Groups { channels, platform } = groups;
    let channels = channels.restart_without_views().await;
    let groups = Groups { channels, platform };
    groups.channels.desk.settle().await;
    assert_eq!(groups.state(&sn).await, "none");
    // A later event creates the group.
    groups
        .operate(&sn, "suspend", "admin", json!({ "message": "wait" }))
        .await;
    groups.later(61_000).await;
    assert_eq!(groups.state(&sn).await, "open");
    assert_eq!(groups.platform.count("create"), 1);
}

#[tokio::test]
async fn people_leave_a_group_also_after_its_rules_were_removed() {
    let groups = Groups::wecom(HIGH).await;
    let sn = groups.channels.submit_with("3").await;
    assert_eq!(groups.state(&sn).await, "open");
    define(&groups, NONE).await;
    let to = json!({ "node": 3, "to": { "people": ["wangwu"] }, "message": "x" });
    groups.operate(&sn, "reassign", "admin", to).await;
    assert_eq!(groups.platform.group().members, ["lisi", "wangwu"]);
    groups.end(&sn).await;
    assert_eq!(groups.state(&sn).await, "closed");
}

#[tokio::test]
async fn only_a_desk_that_had_rules_for_groups_follows_tickets_for_them() {
    let intent = Intent::SyncChatGroup(Box::new(SyncChatGroup {
        ticket: TicketSn("REQ1".into()),
        fact: None,
        is_end: false,
        at: Moment(1),
        cause: "ticket-REQ1:1".into(),
        correlation: "c1".into(),
    }));
    let groups = Groups::wecom(NONE).await;
    let app = &groups.channels.desk.app;
    assert!(!app.subscriptions.wants(&intent).await.expect("read"));
    for policy in [HIGH, NONE] {
        define(&groups, policy).await;
        assert!(
            app.subscriptions.wants(&intent).await.expect("read"),
            "{policy}"
        );
    }
}

#[tokio::test]
async fn a_group_that_was_requested_while_its_ticket_ended_is_closed() {
    let groups = Groups::wecom(ON_REQUEST).await;
    let sn = groups.channels.submit_with("3").await;
    let desk = &groups.channels.desk;
    let path = format!("tickets/{sn}/chat-group");
    let (status, answer) = desk.v1("POST", &path, "lisi", json!({})).await;
    assert_eq!((status, &answer["state"]), (200, &json!("creating")));
    let follower = json!({ "people": ["zhaoliu"] });
    desk.operate(&json!(sn), "follow", "lisi", follower).await;
    let (number, meta) = (TicketSn(sn.clone()), Meta::system("test", "test"));
    // The worker that requested the group has read the first state of the ticket.
    catch_up(&desk.app, &number, 1, true, &meta)
        .await
        .expect("stored");
    let wanted = functions::app::notifications::chat_groups::read(&desk.app, &number);
    assert_eq!(wanted.await.expect("read").wanted.len(), 4);
    let end = json!({ "message": "solved", "status": "FINISHED" });
    desk.operate(&json!(sn), "close", "admin", end).await;
    // The event that ended the ticket closes the group, unless this worker has requested it.
    catch_up(&desk.app, &number, 1, false, &meta)
        .await
        .expect("stored");
    assert_eq!(groups.state(&sn).await, "creating");
    catch_up(&desk.app, &number, 1, true, &meta)
        .await
        .expect("stored");
    assert_eq!(groups.state(&sn).await, "closed");
    desk.settle().await;
    assert_eq!(groups.platform.count("create"), 0);
}

#[tokio::test]
async fn an_account_that_is_stopped_keeps_a_group_open_until_a_person_closes_it() {
    let groups = Groups::wecom(HIGH).await;
    let sn = groups.channels.submit_with("3").await;
    assert_eq!(groups.state(&sn).await, "open");
    let desk = &groups.channels.desk;
    let stop = json!({ "reason": "wrong messages" });
    let path = "channel-accounts/work_app";
    let (status, answer) = desk
        .v1("POST", &format!("{path}/stop"), "admin", stop)
        .await;
    assert_eq!(status, 200, "{answer}");
    groups.end(&sn).await;
    assert_eq!(groups.state(&sn).await, "closing");
    let messages = groups.platform.group().messages.len();
    for _ in 0..80 {
        groups.later(3_600_000).await;
    }
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "waiting", "{shown}");
    assert_eq!(shown["next_attempt"], Value::Null, "{shown}");
    assert_eq!(groups.platform.group().messages.len(), messages);
    let (status, answer) = desk
        .v1("POST", &format!("{path}/start"), "admin", json!({}))
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(groups.ask("DELETE", &sn, "admin").await.0, 204);
    assert_eq!(groups.state(&sn).await, "closed");
}

#[tokio::test]
async fn a_refused_change_holds_back_no_message() {
    let groups = Groups::wecom(HIGH).await;
    let sn = groups.channels.submit_with("3").await;
    groups.reach("zhaoliu", "wecom", "zhaoliu").await;
    let follower = json!({ "people": ["zhaoliu"] });
    let refused = || Fault::Code(60_011);
    groups.platform.plan([refused(), refused()]);
    groups.operate(&sn, "follow", "lisi", follower).await;
    assert_eq!(groups.state(&sn).await, "waiting");
    let before = groups.platform.group().messages.len();
    // The change is tried again, is refused again, and the message is sent.
    let reason = json!({ "message": "wait" });
    groups.operate(&sn, "suspend", "admin", reason).await;
    assert_eq!(groups.platform.group().messages.len(), before + 1);
}
