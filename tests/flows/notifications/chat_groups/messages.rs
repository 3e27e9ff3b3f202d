//! These tests check the messages that people write to the desk in the chat group of a ticket.

use infra::clock::Clock as _;
use serde_json::json;

use super::super::chats;
use super::HIGH;
use super::platform::Groups;
use super::talk::{SIGNING_SECRET, Written};

const DAY_MS: i64 = 86_400_000;
/// A channel of Slack that is no group of a ticket.
const OTHER_CHANNEL: &str = "C000000OPS";
const ZHANGSAN: &str = "W0ZHANGSAN";
const LISI: &str = "U0000LISI";

/// Sends the messages of a person in the group of a ticket. `kind` is the kind of the address of the person.
async fn acts_without_a_number(groups: &Groups, kind: &str, user: &str) {
    groups.listen().await;
    let (sn, chat) = groups.opened().await;
    let written = |id, text| Written {
        user,
        chat: &chat,
        id,
        text,
    };
    let stranger = groups.answer(written("1", "状态")).await;
    assert!(stranger.contains("还没有绑定"), "{stranger}");
    assert!(!stranger.contains(&sn), "{stranger}");
    groups.link("zhangsan", kind, user, &chat).await;

    let status = groups.answer(written("2", "状态")).await;
    assert!(status.starts_with(&sn), "{status}");
    let done = groups.answer(written("3", "评论：已看过清单")).await;
    assert_eq!(done, format!("已完成“添加评论”，单号 {sn}。"));
    let done = groups.answer(written("4", "comment looks good")).await;
    assert!(done.contains("已完成"), "{done}");
    assert_eq!(groups.remarks(&sn).await, ["已看过清单", "looks good"]);

    let before = groups.channels.desk.story(&sn).await;
    let help = groups.answer(written("5", "打印机坏了")).await;
    assert!(help.contains("可用命令") && help.contains(&sn), "{help}");
    assert!(!help.contains("会成为工单的评论"), "{help}");
    assert_eq!(groups.channels.desk.story(&sn).await, before);

    let vote = written("6", "同意 预算够");
    let done = groups.answer(vote).await;
    assert_eq!(done, format!("已完成“同意”，单号 {sn}。"));
    assert_eq!(groups.events(&sn, "vote_cast").await, 1);
    let head = groups.channels.desk.head().await;
    assert_eq!(groups.say(vote).await, [""; 0], "a repeated delivery");
    assert_eq!(groups.channels.desk.head().await, head);
    let again = groups.answer(written("7", "同意")).await;
    assert!(again.contains("请在工单页面审批"), "{again}");
    assert_eq!(groups.events(&sn, "vote_cast").await, 1);
}

#[tokio::test]
async fn a_member_acts_in_a_group_of_slack_without_a_ticket_number() {
    let groups = Groups::slack(HIGH).await;
    Box::pin(acts_without_a_number(&groups, "slack", ZHANGSAN)).await;
}

#[tokio::test]
async fn a_member_acts_in_a_group_of_feishu_without_a_ticket_number() {
    let groups = Groups::feishu(HIGH).await;
    Box::pin(acts_without_a_number(&groups, "feishu", "ou_zhangsan")).await;
}

#[tokio::test]
async fn a_member_acts_in_a_group_of_dingtalk_without_a_ticket_number() {
    let groups = Groups::dingtalk(HIGH).await;
    Box::pin(acts_without_a_number(&groups, "dingtalk", "zhangsan")).await;
}

#[tokio::test]
async fn free_text_is_a_remark_if_the_policy_takes_remarks() {
    let policy = format!("{HIGH}    remarks = \"addressed\"\n");
    let groups = Groups::slack(&policy).await;
    groups.listen().await;
    let (sn, chat) = groups.opened().await;
    groups.link("lisi", "slack", LISI, &chat).await;
    let written = |id, text| Written {
        user: LISI,
        chat: &chat,
        id,
        text,
    };
    let done = groups
        .answer(written("1.1", "清单有变化\n请看第 2 行"))
        .await;
    assert_eq!(done, format!("已完成“添加评论”，单号 {sn}。"));
    let done = groups
        .answer(written("1.2", "Status of the list &lt;v2&gt; is open"))
        .await;
    assert!(done.contains("已完成"), "{done}");
    let expected = ["清单有变化\n请看第 2 行", "Status of the list <v2> is open"];
    assert_eq!(groups.remarks(&sn).await, expected);
    // Slack reports an edited message with another id of the event. Its time stamp is the same.
    let head = groups.channels.desk.head().await;
    let edited = written("1.1", "清单没有变化");
    assert_eq!(groups.say(edited).await, [""; 0]);
    assert_eq!(groups.channels.desk.head().await, head);
    for (id, text) in [("1.3", ""), ("1.4", "帮助")] {
        let help = groups.answer(written(id, text)).await;
        assert!(help.contains("会成为工单的评论"), "{help}");
    }
    assert_eq!(groups.remarks(&sn).await, expected);
    let status = groups.answer(written("1.5", "状态")).await;
    assert!(status.starts_with(&sn), "{status}");
}

#[tokio::test]
async fn the_rights_of_the_person_count_and_not_the_membership() {
    let policy = format!("{HIGH}    remarks = \"addressed\"\n");
    let groups = Groups::slack(&policy).await;
    groups.listen().await;
    let (sn, chat) = groups.opened().await;
    let guest = "U00ZHAOLIU";
    groups.reach("zhaoliu", "slack", guest).await;
    groups.link("zhaoliu", "slack", guest, &chat).await;
    let written = |id, text| Written {
        user: guest,
        chat: &chat,
        id,
        text,
    };
    let before = groups.channels.desk.story(&sn).await;
    for (id, text) in [("2.1", "状态"), ("2.2", "评论 x"), ("2.3", "随便说说")] {
        let answer = groups.answer(written(id, text)).await;
        let expected = format!("没有工单 {sn}，或者您无权查看。");
        assert_eq!(answer, expected, "{text}");
    }
    assert_eq!(groups.channels.desk.story(&sn).await, before);
    // Slack refuses to add the person, but a follower may read the ticket.
    let follower = json!({ "people": ["zhaoliu"] });
    groups.operate(&sn, "follow", "lisi", follower).await;
    assert!(
        groups.shown(&sn).await["left_out"]
            .to_string()
            .contains("zhaoliu")
    );
    let status = groups.answer(written("2.4", "状态")).await;
    assert!(status.starts_with(&sn), "{status}");
}

#[tokio::test]
async fn a_message_in_another_channel_is_about_no_ticket() {
    let groups = Groups::slack(HIGH).await;
    groups.listen().await;
    let (sn, _) = groups.opened().await;
    groups.link("lisi", "slack", LISI, OTHER_CHANNEL).await;
    let written = |id, text| Written {
        user: LISI,
        chat: OTHER_CHANNEL,
        id,
        text,
    };
    let before = groups.channels.desk.story(&sn).await;
    let missing = groups.answer(written("3.1", "评论 x")).await;
    assert!(missing.contains("请写明单号"), "{missing}");
    let help = groups.answer(written("3.2", "打印机坏了")).await;
    assert!(help.contains("可用命令") && !help.contains(&sn), "{help}");
    assert_eq!(groups.channels.desk.story(&sn).await, before);
    let comment = format!("评论 {sn} y");
    let done = groups.answer(written("3.3", &comment)).await;
    assert!(done.contains("已完成"), "{done}");
    assert_eq!(groups.remarks(&sn).await, ["y"]);
}

#[tokio::test]
async fn a_message_in_a_closed_group_must_name_its_ticket() {
    let policy = format!("{HIGH}    keep = true\n    remarks = \"addressed\"\n");
    let groups = Groups::slack(&policy).await;
    groups.listen().await;
    let (sn, chat) = groups.opened().await;
    groups.link("lisi", "slack", LISI, &chat).await;
    groups.end(&sn).await;
    assert_eq!(groups.state(&sn).await, "closed");
    let written = |id, text| Written {
        user: LISI,
        chat: &chat,
        id,
        text,
    };
    let before = groups.channels.desk.story(&sn).await;
    for (id, text) in [("4.1", "评论 x"), ("4.2", "状态"), ("4.3", "确认接收")] {
        let closed = groups.answer(written(id, text)).await;
        assert!(closed.contains("群聊已关闭"), "{closed}");
    }
    let help = groups.answer(written("4.4", "谢谢大家")).await;
    assert!(help.contains("可用命令"), "{help}");
    assert_eq!(groups.channels.desk.story(&sn).await, before);
    assert_eq!(groups.remarks(&sn).await, [""; 0]);
    let named = format!("状态 {sn}");
    let status = groups.answer(written("4.5", &named)).await;
    assert!(status.starts_with(&sn), "{status}");
}

#[tokio::test]
async fn a_replaced_group_is_closed_and_the_new_one_is_open() {
    let policy = format!("{HIGH}    keep = true\n");
    let groups = Groups::slack(&policy).await;
    groups.listen().await;
    let (sn, first) = groups.opened().await;
    groups.link("lisi", "slack", LISI, &first).await;
    assert_eq!(groups.ask("DELETE", &sn, "admin").await.0, 204);
    groups.later(1_000).await;
    assert_eq!(groups.ask("POST", &sn, "lisi").await.0, 200);
    let shown = groups.shown(&sn).await;
    assert_eq!(shown["state"], "open", "{shown}");
    let second = shown["chat"].as_str().expect("an id").to_owned();
    assert_ne!(first, second);
    let written = |id, chat| Written {
        user: LISI,
        chat,
        id,
        text: "状态",
    };
    let closed = groups.answer(written("5.1", &first)).await;
    assert!(closed.contains("群聊已关闭"), "{closed}");
    let status = groups.answer(written("5.2", &second)).await;
    assert!(status.starts_with(&sn), "{status}");
}

#[tokio::test]
async fn a_loss_of_the_views_keeps_groups_and_repeats_no_old_answers() {
    let policy = format!("{HIGH}    remarks = \"addressed\"\n");
    let groups = Groups::slack(&policy).await;
    groups.listen().await;
    let (sn, chat) = groups.opened().await;
    groups.link("lisi", "slack", LISI, &chat).await;
    let written = |id, text| Written {
        user: LISI,
        chat: &chat,
        id,
        text,
    };
    groups.answer(written("6.1", "第一条")).await;
    groups.later(2 * DAY_MS).await;
    let texts = groups.platform.texts(&chat);
    let Groups { channels, platform } = groups;
    let channels = channels.restart_without_views().await;
    let groups = Groups { channels, platform };
    groups.channels.desk.settle().await;
    assert_eq!(groups.platform.texts(&chat), texts);
    assert_eq!(groups.remarks(&sn).await, ["第一条"]);
    let status = groups.answer(written("6.2", "状态")).await;
    assert!(status.starts_with(&sn), "{status}");
    let done = groups.answer(written("6.3", "第二条")).await;
    assert!(done.contains("已完成"), "{done}");
    assert_eq!(groups.remarks(&sn).await, ["第一条", "第二条"]);
}

#[tokio::test]
async fn an_ordinary_message_of_a_group_is_not_stored() {
    let groups = Groups::slack(HIGH).await;
    groups.listen().await;
    let (_, chat) = groups.opened().await;
    let desk = &groups.channels.desk;
    let (head, before) = (desk.head().await, groups.platform.texts(&chat));
    let event = json!({
        "type": "message", "channel_type": "group", "user": LISI, "channel": chat, "ts": "7.1", "text": "评论 x",
    });
    let body = json!({ "type": "event_callback", "event_id": "Ev7", "event": event });
    let signed = chats::slack(SIGNING_SECRET, desk.clock.now(), body.to_string());
    let (status, _) = desk.send(signed.request("slack", "work_app")).await;
    assert_eq!(status.as_u16(), 200);
    desk.settle().await;
    assert_eq!(desk.head().await, head);
    assert_eq!(groups.platform.texts(&chat), before, "no answer");
}
