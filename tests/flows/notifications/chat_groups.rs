//! These tests check the chat groups of tickets: their creation, their members, their messages in both directions, their end
//! and their failures.

mod changes;
mod erasure;
mod messages;
mod page;
mod platform;
mod talk;

use functions::app::notifications::definitions::Definitions;
use functions::cli::demo::fakes::wecom::groups::Group;
use serde_json::{Value, json};

use self::platform::{Fake, Fault, Groups};
use super::Channels;
use crate::TestDesk;

/// A policy in which only people create groups.
const ON_REQUEST: &str = r#"
    [policy]
    accounts = []

    [policy.chat_groups]
    account = "work_app"
"#;
/// A policy in which tickets of the highest priority get a group.
const HIGH: &str = r#"
    [policy]
    accounts = []

    [policy.chat_groups]
    account = "work_app"
    priorities = ["3"]
    messages = ["updated", "resolved"]
"#;

/// Returns the titles of the messages in a group.
fn titles(group: &Group) -> Vec<&str> {
    let titles = group.messages.iter();
    titles
        .map(|message| message["textcard"]["title"].as_str().expect("a title"))
        .collect()
}

#[tokio::test]
async fn a_group_is_created_once_although_the_response_was_lost() {
    let groups = Groups::wecom(HIGH).await;
    groups.platform.plan([Fault::LostResponse]);
    let sn = groups.channels.submit_with("3").await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "creating", "{shown}");
    assert_eq!(shown["failure"]["class"], "unknown", "{shown}");
    assert!(shown["next_attempt"].is_string(), "{shown}");
    groups.later(10_000).await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "open", "{shown}");
    assert_eq!(shown["failure"], Value::Null);
    assert_eq!(shown["requested_by"], Value::Null);
    assert_eq!(shown["members"], json!(["lisi", "wangwu", "zhangsan"]));
    assert_eq!(groups.platform.count("create"), 2);
    let group = groups.platform.group();
    assert_eq!(group.members, ["lisi", "wangwu", "zhangsan"]);
    assert_eq!(group.name, format!("{sn} 申请堡垒机权限"));
    assert_eq!(titles(&group), ["工单讨论群：申请堡垒机权限"]);
    let url = group.messages[0]["textcard"]["url"].as_str();
    assert!(
        url.is_some_and(|url| url.contains(&format!("tickets/{sn}"))),
        "{url:?}"
    );
}

#[tokio::test]
async fn a_slack_channel_whose_creation_was_lost_is_found_again() {
    let groups = Groups::slack(HIGH).await;
    groups.platform.plan([Fault::LostResponse]);
    let sn = groups.channels.submit_with("3").await;
    assert_eq!(groups.state(&sn).await, "creating");
    groups.later(10_000).await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "open", "{shown}");
    assert_eq!(groups.platform.count("users.conversations"), 1);
    let Fake::Slack(slack) = &groups.platform.fake else {
        panic!("not Slack")
    };
    let channels = slack.channels();
    assert_eq!(channels.len(), 1);
    assert_eq!(shown["chat"], channels[0].id.as_str());
    assert_eq!(channels[0].members.len(), 3);
    assert_eq!(channels[0].topic, format!("{sn} 申请堡垒机权限"));
    groups.end(&sn).await;
    assert_eq!(groups.state(&sn).await, "closed");
    assert!(slack.channels()[0].is_archived);
}

#[tokio::test]
async fn feishu_groups_are_created_once_while_feishu_recognizes_the_request() {
    let groups = Groups::feishu(HIGH).await;
    groups.platform.plan([Fault::LostResponse]);
    let sn = groups.channels.submit_with("3").await;
    assert_eq!(groups.state(&sn).await, "creating");
    groups.later(10_000).await;
    assert_eq!(groups.state(&sn).await, "open");
    let Fake::Feishu(feishu) = &groups.platform.fake else {
        panic!("not Feishu")
    };
    let all = feishu.groups();
    assert_eq!(all.len(), 1);
    assert_eq!(all.values().next().expect("a group").members.len(), 3);
}

#[tokio::test]
async fn a_person_decides_about_a_creation_that_feishu_has_forgotten() {
    let groups = Groups::feishu(HIGH).await;
    groups.platform.plan([Fault::LostResponse]);
    let sn = groups.channels.submit_with("3").await;
    assert_eq!(groups.state(&sn).await, "creating");
    // The desk is down for 11 hours.
    groups.later(11 * 3_600_000).await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "failed", "{shown}");
    assert_eq!(shown["failure"]["class"], "unknown", "{shown}");
    let reason = shown["failure"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("look for the group"), "{reason}");
    // A change of the people causes no second group.
    let follower = json!({ "people": ["zhaoliu"] });
    groups.operate(&sn, "follow", "lisi", follower).await;
    assert_eq!(groups.state(&sn).await, "failed");
    assert_eq!(groups.platform.count("chats"), 1);
    assert_eq!(groups.ask("POST", &sn, "lisi").await.0, 200);
    assert_eq!(groups.state(&sn).await, "open");
    assert_eq!(groups.platform.count("chats"), 2);
}

#[tokio::test]
async fn other_tickets_get_a_group_only_if_a_person_requests_it() {
    let groups = Groups::wecom(HIGH).await;
    let sn = groups.channels.submit().await;
    assert_eq!(groups.state(&sn).await, "none");
    assert_eq!(groups.ask("POST", &sn, "stranger").await.0, 403);
    assert_eq!(groups.ask("DELETE", &sn, "zhangsan").await.0, 403);
    assert_eq!(groups.ask("DELETE", &sn, "admin").await.0, 404);
    let (status, answer) = groups.ask("POST", &sn, "zhangsan").await;
    assert_eq!((status, &answer["state"]), (200, &json!("creating")));
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "open", "{shown}");
    assert_eq!(shown["requested_by"], "zhangsan");
    // The person who created the group closes it, and the desk does not create it again.
    assert_eq!(groups.ask("DELETE", &sn, "wangwu").await.0, 403);
    assert_eq!(groups.ask("DELETE", &sn, "zhangsan").await.0, 204);
    let shown = groups.shown(&sn).await;
    assert_eq!(
        (&shown["state"], &shown["closed_because"]),
        (&json!("closed"), &json!("by_person"))
    );
    let follower = json!({ "people": ["zhaoliu"] });
    groups.operate(&sn, "follow", "lisi", follower).await;
    assert_eq!(groups.state(&sn).await, "closed");
    assert_eq!(groups.platform.count("create"), 1);
    assert_eq!(groups.ask("POST", &sn, "lisi").await.0, 200);
    assert_eq!(groups.state(&sn).await, "open");
    assert_eq!(groups.platform.count("create"), 2);
}

#[tokio::test]
async fn members_follow_a_transfer_and_a_person_without_an_address_is_named() {
    let groups = Groups::wecom(HIGH).await;
    let sn = groups.channels.submit_with("3").await;
    let follower = json!({ "people": ["zhaoliu"] });
    groups.operate(&sn, "follow", "lisi", follower).await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "open", "{shown}");
    let left_out = json!([{ "person": "zhaoliu", "reason": "no_address" }]);
    assert_eq!(shown["left_out"], left_out);
    // After the person has entered an address, a further request of a person adds the person.
    groups.reach("zhaoliu", "wecom", "zhaoliu").await;
    assert_eq!(groups.ask("POST", &sn, "lisi").await.0, 200);
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["left_out"], json!([]), "{shown}");
    let to = json!({ "node": 3, "to": { "people": ["zhaoliu"] }, "message": "x" });
    groups.operate(&sn, "reassign", "admin", to).await;
    let group = groups.platform.group();
    assert_eq!(group.members, ["lisi", "zhaoliu"], "two people have left");
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["members"], json!(["lisi", "zhaoliu"]));
    assert_eq!(groups.platform.count("create"), 1);
}

#[tokio::test]
async fn a_group_shows_the_state_of_its_ticket_and_is_closed_with_it() {
    let groups = Groups::wecom(HIGH).await;
    let sn = groups.channels.submit_with("3").await;
    let reason = json!({ "message": "wait" });
    groups.operate(&sn, "suspend", "admin", reason).await;
    let name = groups.platform.group().name;
    assert_eq!(name, format!("【已挂起】{sn} 申请堡垒机权限"));
    groups.operate(&sn, "resume", "admin", json!({})).await;
    assert_eq!(groups.platform.group().name, format!("{sn} 申请堡垒机权限"));
    let remark = json!({ "text": "x" });
    groups.operate(&sn, "remark", "lisi", remark).await;
    groups.end(&sn).await;
    let shown = groups.shown(&sn).await;
    assert_eq!(
        (&shown["state"], &shown["closed_because"]),
        (&json!("closed"), &json!("ticket_ended"))
    );
    // The policy chooses no messages about comments.
    let group = groups.platform.group();
    assert_eq!(
        titles(&group),
        [
            "工单讨论群：申请堡垒机权限",
            "工单已挂起：申请堡垒机权限",
            "工单已恢复：申请堡垒机权限",
            "工单已结束：申请堡垒机权限",
        ]
    );
    assert_eq!(group.name, format!("【已关闭】{sn} 申请堡垒机权限"));
    let (status, answer) = groups.ask("POST", &sn, "lisi").await;
    assert_eq!(status, 409, "{answer}");
}

#[tokio::test]
async fn a_rate_limit_postpones_the_creation() {
    let groups = Groups::wecom(HIGH).await;
    groups.platform.plan([Fault::Code(45_009)]);
    let sn = groups.channels.submit_with("3").await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "creating", "{shown}");
    assert_eq!(shown["failure"]["class"], "throttled", "{shown}");
    groups.later(30_000).await;
    assert_eq!(groups.platform.count("create"), 1, "too early");
    groups.later(31_000).await;
    assert_eq!(groups.state(&sn).await, "open");
    assert_eq!(groups.platform.count("create"), 2);
}

#[tokio::test]
async fn a_failure_is_shown_and_can_be_repaired() {
    let groups = Groups::wecom(HIGH).await;
    groups.platform.plan([Fault::Code(60_011)]);
    let sn = groups.channels.submit_with("3").await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "failed", "{shown}");
    let failure = &shown["failure"];
    assert_eq!(
        (&failure["class"], &failure["code"]),
        (&json!("permanent"), &json!("60011"))
    );
    groups.later(86_400_000).await;
    assert_eq!(groups.platform.count("create"), 1, "not tried again");
    assert_eq!(groups.ask("POST", &sn, "lisi").await.0, 200);
    assert_eq!(groups.state(&sn).await, "open");

    // A change that fails waits for the next change of the ticket.
    groups.platform.plan([Fault::Code(60_011)]);
    groups.reach("zhaoliu", "wecom", "zhaoliu").await;
    let follower = json!({ "people": ["zhaoliu"] });
    groups.operate(&sn, "follow", "lisi", follower).await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "waiting", "{shown}");
    assert_eq!(shown["failure"]["code"], "60011", "{shown}");
    let reason = json!({ "message": "wait" });
    groups.operate(&sn, "suspend", "admin", reason).await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "open", "{shown}");
    let members = json!(["lisi", "wangwu", "zhangsan", "zhaoliu"]);
    assert_eq!(shown["members"], members);
}

#[tokio::test]
async fn a_message_with_an_unknown_result_is_not_sent_twice() {
    let groups = Groups::wecom(HIGH).await;
    groups.platform.plan([Fault::Passes, Fault::LostResponse]);
    let sn = groups.channels.submit_with("3").await;
    groups.later(600_000).await;
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "open", "{shown}");
    assert_eq!(shown["failure"]["class"], "unknown", "{shown}");
    assert_eq!(groups.platform.count("send"), 1);
    assert_eq!(groups.platform.group().messages.len(), 1);
}

#[tokio::test]
async fn a_confidential_ticket_gets_a_group_only_if_all_of_its_people_may_take_part() {
    let groups = Groups::wecom(ON_REQUEST).await;
    let desk = &groups.channels.desk;
    let body = json!({ "seals_text": true });
    let (status, answer) = desk.v1("PUT", "services/22", "admin", body).await;
    assert_eq!(status, 200, "{answer}");
    desk.settle().await;
    groups.reach("shenji", "wecom", "shenji").await;
    let sn = groups.channels.submit_with("3").await;
    groups.follow_uninvited(&sn, "shenji").await;
    let (status, answer) = groups.ask("POST", &sn, "lisi").await;
    assert_eq!(status, 409, "{answer}");
    let detail = answer["detail"].as_str().expect("a text");
    assert!(detail.contains("confidential"), "{detail}");
    assert!(detail.ends_with(": shenji"), "{detail}");
    assert_eq!(groups.platform.count("create"), 0);

    let follower = json!({ "people": ["shenji"] });
    groups.operate(&sn, "unfollow", "lisi", follower).await;
    assert_eq!(groups.ask("POST", &sn, "lisi").await.0, 200);
    let group = groups.platform.group();
    assert_eq!(group.name, sn, "the name contains no title");
    let text = group.messages[0].to_string();
    assert!(text.contains(&sn) && !text.contains("堡垒机"), "{text}");
    // A later follower of the open group is left out.
    groups.follow_uninvited(&sn, "shenji").await;
    let shown = groups.shown(&sn).await;
    let left_out = json!([{ "person": "shenji", "reason": "not_permitted" }]);
    assert_eq!(
        (&shown["state"], &shown["left_out"]),
        (&json!("open"), &left_out)
    );
    assert_eq!(
        groups.platform.group().members,
        ["lisi", "wangwu", "zhangsan"]
    );
}

#[tokio::test]
async fn an_account_of_a_channel_without_groups_is_refused_by_name() {
    let desk = TestDesk::open().await;
    let definitions = [super::MAIL, ON_REQUEST].concat();
    let definitions = definitions.replace("work_app", "mail");
    let definitions = Definitions::read(&definitions).expect("valid");
    let error = definitions.store(&desk.app).await.expect_err("refused");
    let text = error.to_string();
    for part in [
        "the account mail",
        "the channel email has no groups",
        "wecom_app",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let unknown = Definitions::read(ON_REQUEST).expect("valid");
    let error = unknown.store(&desk.app).await.expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("`chat_groups.account`"), "{text}");
}

#[tokio::test]
async fn a_desk_without_rules_for_groups_creates_none() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    let sn = channels.submit_with("3").await;
    let path = format!("tickets/{sn}/chat-group");
    let (status, answer) = channels.desk.v1("POST", &path, "lisi", json!({})).await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(channels.get(&path, "lisi").await["state"], "none");
}
