//! Lets people write to the desk in conversations of the imitated platforms.

use axum::body::Body;
use axum::http::Request;
use functions::cli::demo::fakes::slack::APP;
use infra::clock::Clock as _;
use serde_json::json;

use super::super::chats::{self, FEISHU, Said};
use super::platform::{Fake, Groups, SESSION};

pub(super) const SIGNING_SECRET: &str = "signing-secret";
const APP_SECRET: &str = "app-secret";

/// A message that mentions the desk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    /// The id of the person on the platform.
    pub(super) user: &'a str,
    pub(super) chat: &'a str,
    pub(super) id: &'a str,
    pub(super) text: &'a str,
}

impl Groups {
    /// Stores the secret with which the platform signs its messages.
    pub(super) async fn listen(&self) {
        let secret = match &self.platform.fake {
            Fake::Feishu(_) => FEISHU,
            Fake::Dingtalk(_) => APP_SECRET,
            Fake::Slack(_) | Fake::Wecom(_) => SIGNING_SECRET,
        };
        let keys = &self.channels.desk.app.ledger.keys;
        keys.keep_secret("inbound/work_app", secret.as_bytes())
            .await
            .expect("stored");
    }

    /// Opens a ticket that gets a group. Returns its number, and the id of its group on the platform.
    pub(super) async fn opened(&self) -> (String, String) {
        let sn = self.channels.submit_with("3").await;
        let shown = self.shown(&sn).await;
        assert_eq!(shown["state"], "open", "{shown}");
        let chat = shown["chat"].as_str().expect("an id").to_owned();
        (sn, chat)
    }

    /// Returns the signed request with which the platform reports a message.
    fn request(&self, written: Written<'_>) -> Request<Body> {
        let at = self.channels.desk.clock.now();
        let Written {
            user,
            chat,
            id,
            text,
        } = written;
        match &self.platform.fake {
            Fake::Wecom(_) => panic!("WeCom reports no messages of groups"),
            Fake::Slack(_) => {
                let event = json!({
                    "type": "app_mention", "user": user, "channel": chat, "ts": id, "text": format!("<@{APP}> {text}"),
                });
                let event_id = format!("Ev{}", at.0);
                let body =
                    json!({ "type": "event_callback", "event_id": event_id, "event": event });
                let signed = chats::slack(SIGNING_SECRET, at, body.to_string());
                signed.request("slack", "work_app")
            }
            Fake::Feishu(feishu) => {
                let event = feishu.write(chat, user, text);
                let said = Said { at, id, text };
                let signed = chats::feishu(&said, "im.message.receive_v1", &event);
                signed.request("feishu", "work_app")
            }
            Fake::Dingtalk(_) => {
                let body = json!({
                    "msgtype": "text", "msgId": id, "senderStaffId": user, "conversationType": "2",
                    "conversationId": chat, "isInAtList": true, "text": { "content": format!(" {text}") },
                    "sessionWebhook": SESSION,
                });
                let signed = chats::dingtalk(APP_SECRET, at, &body);
                signed.request("dingtalk", "work_app")
            }
        }
    }

    /// Sends a message to the desk. Returns the texts that the desk sent to the group because of it.
    pub(super) async fn say(&self, written: Written<'_>) -> Vec<String> {
        let desk = &self.channels.desk;
        desk.clock.advance(1_000);
        let before = self.platform.texts(written.chat).len();
        let (status, _) = desk.send(self.request(written)).await;
        assert_eq!(status.as_u16(), 200, "{written:?}");
        desk.settle().await;
        self.platform.texts(written.chat).split_off(before)
    }

    /// Sends a message to which the desk gives one answer, and returns this answer. The desk can also report a new state of
    /// the ticket to the group; such a message is no answer. Its text is empty in Feishu, where it is a card.
    pub(super) async fn answer(&self, written: Written<'_>) -> String {
        let mut answers = self.say(written).await;
        answers.retain(|text| !text.is_empty() && !text.starts_with("工单有新进展"));
        let [answer] = <[String; 1]>::try_from(answers).expect("one answer");
        answer
    }

    /// Links the chat account of a person. The person sends the code in a conversation with the desk.
    pub(super) async fn link(&self, person: &str, kind: &str, user: &str, chat: &str) {
        let path = format!("people/{person}/addresses/{kind}/verify");
        let desk = &self.channels.desk;
        let (status, shown) = desk.v1("POST", &path, person, json!({})).await;
        assert_eq!(status, 200, "{shown}");
        let code = shown["code"].as_str().expect("a code");
        let (id, text) = (format!("link.{person}"), format!("绑定 {code}"));
        let written = Written {
            user,
            chat,
            id: &id,
            text: &text,
        };
        let answer = self.answer(written).await;
        assert!(answer.contains("绑定成功"), "{answer}");
    }

    /// Returns the texts of the remarks of a ticket.
    pub(super) async fn remarks(&self, sn: &str) -> Vec<String> {
        let shown = self
            .channels
            .get(&format!("tickets/{sn}/remarks"), "admin")
            .await;
        let remarks = shown["remarks"].as_array().expect("remarks").iter();
        remarks
            .map(|one| one["text"].as_str().expect("a text").to_owned())
            .collect()
    }

    /// Returns how many events of a ticket have the given type.
    pub(super) async fn events(&self, sn: &str, kind: &str) -> usize {
        let story = self.channels.desk.story(sn).await;
        story.iter().filter(|one| one.ends_with(kind)).count()
    }
}
