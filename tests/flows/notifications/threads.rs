//! These tests check that the messages about a ticket are in one thread for each conversation of Slack.

use serde_json::{Value, json};

use super::updates::Chat;

const DIRECT: &str = r#"
    [[account]]
    name = "chat"
    channel = "slack"
    url = "http://slack.example/api"

    [policy]
    accounts = ["chat"]
    urgent = ["3"]
"#;

/// The account in [`DIRECT`] with a setting that is written before `url`.
fn with(setting: &str) -> String {
    DIRECT.replace("url =", &format!("{setting}\n    url ="))
}

impl Chat {
    /// Adds a remark of a person. The ticket waits for zhangsan and wangwu, so both get a message about it.
    async fn remark(&self, sn: &str, person: &str, text: &str) {
        let desk = &self.channels.desk;
        desk.clock.advance(10_000);
        desk.operate(&json!(sn), "remark", person, json!({ "text": text }))
            .await;
        desk.settle().await;
        // A delivery that waits for the first message of its thread is due again after some seconds.
        for _ in 0..3 {
            desk.clock.advance(5_000);
            desk.settle().await;
        }
    }

    /// Returns the messages in a conversation, from the first to the last.
    fn in_conversation(&self, conversation: &str) -> Vec<Value> {
        let messages = self.workspace.slack.messages().into_iter();
        messages
            .filter(|message| message["channel"] == conversation)
            .collect()
    }
}

/// Returns the member `thread_ts` of each message.
fn threads(messages: &[Value]) -> Vec<&Value> {
    messages
        .iter()
        .map(|message| &message["thread_ts"])
        .collect()
}

#[tokio::test]
async fn the_messages_about_a_ticket_are_in_one_thread() {
    let chat = Chat::open_with(DIRECT).await;
    let sn = chat.channels.submit().await;
    chat.remark(&sn, "lisi", "one").await;
    chat.remark(&sn, "lisi", "two").await;
    for conversation in ["D0ZHANGSAN", "D000WANGWU"] {
        let messages = chat.in_conversation(conversation);
        let root = &messages[0]["ts"];
        assert_eq!(threads(&messages), [&Value::Null, root, root]);
        assert!(messages[1]["reply_broadcast"].is_null(), "{}", messages[1]);
    }
    let other = chat.channels.submit().await;
    assert_ne!(other, sn);
    let messages = chat.in_conversation("D0ZHANGSAN");
    assert_eq!(threads(&messages)[3], &Value::Null, "another ticket");
    let reply = &chat.in_conversation("D0ZHANGSAN")[1];
    assert!(reply.to_string().contains("<@W0ZHANGSAN>"), "{reply}");
}

#[tokio::test]
async fn a_channel_has_one_thread_for_all_people() {
    let chat = Chat::open_with(&with("conversation = \"C000000OPS\"")).await;
    let sn = chat.channels.submit().await;
    // Both approvers are mentioned in the channel. The second message answers the first one.
    chat.remark(&sn, "lisi", "one").await;
    let messages = chat.in_conversation("C000000OPS");
    assert_eq!(messages.len(), 4, "{messages:?}");
    let root = &messages[0]["ts"];
    assert_eq!(threads(&messages), [&Value::Null, root, root, root]);
    assert!(chat.in_conversation("D0ZHANGSAN").is_empty());
}

#[tokio::test]
async fn an_urgent_answer_also_appears_in_the_conversation() {
    let chat = Chat::open_with(DIRECT).await;
    let sn = chat.channels.submit_with("3").await;
    chat.remark(&sn, "lisi", "one").await;
    let messages = chat.in_conversation("D0ZHANGSAN");
    assert_eq!(messages[1]["reply_broadcast"], true, "{}", messages[1]);
}

#[tokio::test]
async fn a_deleted_first_message_is_replaced_by_a_new_one() {
    for leaves_threads in [false, true] {
        let chat = Chat::open_with(DIRECT).await;
        let sn = chat.channels.submit().await;
        chat.workspace.slack.delete_all(leaves_threads);
        chat.remark(&sn, "lisi", "one").await;
        chat.remark(&sn, "lisi", "two").await;
        chat.remark(&sn, "lisi", "three").await;
        let messages = chat.in_conversation("D0ZHANGSAN");
        let root = &messages[0]["ts"];
        let expected = [&Value::Null, root, root];
        assert_eq!(threads(&messages), expected, "{leaves_threads}");
        let outcomes = chat.channels.get("inbox/zhangsan", "zhangsan").await;
        let shown = outcomes["notifications"].as_array().expect("a list");
        assert!(
            shown.iter().all(|one| one["outcome"] == "accepted"),
            "{outcomes}"
        );
    }
}

#[tokio::test]
async fn another_address_of_the_person_gets_a_thread_of_its_own() {
    let chat = Chat::open_with(DIRECT).await;
    let sn = chat.channels.submit().await;
    chat.reach("zhangsan", "U0000LISI", "en").await;
    chat.remark(&sn, "lisi", "one").await;
    chat.remark(&sn, "lisi", "two").await;
    assert_eq!(chat.in_conversation("D0ZHANGSAN").len(), 1);
    let messages = chat.in_conversation("D0000LISI");
    let root = &messages[0]["ts"];
    assert_eq!(threads(&messages), [&Value::Null, root]);
}

#[tokio::test]
async fn an_account_can_send_without_threads() {
    let chat = Chat::open_with(&with("threads = false")).await;
    let sn = chat.channels.submit().await;
    chat.remark(&sn, "lisi", "one").await;
    let messages = chat.in_conversation("D0ZHANGSAN");
    assert_eq!(threads(&messages), [&Value::Null, &Value::Null]);
}

#[tokio::test]
async fn a_thread_survives_a_loss_of_the_views() {
    let chat = Chat::open_with(DIRECT).await;
    let sn = chat.channels.submit().await;
    let Chat {
        channels,
        workspace,
    } = chat;
    let channels = channels.restart_without_views().await;
    let chat = Chat {
        channels,
        workspace,
    };
    chat.remark(&sn, "lisi", "one").await;
    // The desk does not know the last messages of the account, so the first one waits for one minute.
    chat.channels.desk.clock.advance(61_000);
    chat.channels.desk.settle().await;
    chat.remark(&sn, "lisi", "two").await;
    let messages = chat.in_conversation("D0ZHANGSAN");
    let root = &messages[0]["ts"];
    assert_eq!(threads(&messages), [&Value::Null, root, root]);
}
