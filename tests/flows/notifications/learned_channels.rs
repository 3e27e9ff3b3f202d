//! These tests check that the desk learns through which channel account a person answers.

use domain::notification::action::Action;
use functions::app::notifications::actions::{self, Claim, VALID_MS};
use functions::app::notifications::definitions::Definitions;
use infra::channel::MailReply;
use infra::clock::Clock as _;
use serde_json::{Value, json};

use super::{BOTH, Channels, MAIL, ROBOT};

const LEARNS: &str = "
    [policy.insight]
    learn_channels = true
";
const DAY_MS: i64 = 24 * 3_600_000;

impl Channels {
    /// Opens `count` tickets. The person zhangsan answers each message of the account `mail`, and none of the robot.
    async fn answered_by_mail(&self, count: usize) {
        for _ in 0..count {
            self.desk.clock.advance(10_000);
            self.submit().await;
            let notification = self.newest("zhangsan").await;
            let id = notification["id"].as_str().expect("an id");
            let app = &self.desk.app;
            let claim = Claim {
                action: Action::Comment,
                notification: format!("notification-{id}"),
                person: app.people.find("zhangsan").await.unwrap(),
                account: "mail".into(),
                is_personal: true,
                until: self.desk.clock.now().plus_ms(VALID_MS),
            };
            let token = actions::sign(&app.token_keys().await.unwrap().newest, &claim);
            let path = format!("/act/{token}");
            let (status, page) = self.page(&path, Some("seen=&text=ok")).await;
            assert_eq!(status, 200, "{page}");
            self.desk.settle().await;
        }
        // A person can answer for one day. Newer notifications do not count.
        self.desk.clock.advance(DAY_MS + 60_000);
        self.desk.settle().await;
        self.desk.mailer.take();
    }

    /// Opens a ticket, and returns the numbers of mails and of messages of the robot about it.
    async fn sent(&self) -> (usize, usize) {
        self.desk.clock.advance(60_000);
        let before = self.robot.accepted().len();
        self.submit().await;
        let mails = self.desk.mailer.take().len();
        (mails, self.robot.accepted().len() - before)
    }
}

async fn open(count: usize) -> Channels {
    let channels = Channels::open_with(&[MAIL, ROBOT, BOTH, LEARNS].concat()).await;
    channels.reachable(None).await;
    channels.answered_by_mail(count).await;
    channels
}

#[tokio::test]
async fn the_account_that_the_person_answers_sends_first() {
    let channels = open(20).await;
    assert_eq!(channels.sent().await, (1, 0));
    let steps = channels.why().await;
    let routed = steps
        .iter()
        .find(|(event, ..)| event == "notification.routed");
    let (_, _, text) = routed.expect("a step");
    assert!(
        text.contains("answered 20 of 20 messages of this account"),
        "{text}"
    );
    // The other account sends if the mail is refused.
    let refused = MailReply {
        code: 554,
        text: "5.7.1 refused".into(),
    };
    channels.desk.mailer.plan(Ok(refused));
    assert_eq!(channels.sent().await, (1, 1));
}

#[tokio::test]
async fn too_few_messages_change_nothing() {
    let channels = open(19).await;
    assert_eq!(channels.sent().await, (1, 1));
}

#[tokio::test]
async fn an_explicit_preference_and_an_urgent_message_use_all_accounts() {
    let channels = open(20).await;
    let before = channels.robot.accepted().len();
    channels.desk.clock.advance(60_000);
    channels.submit_with("3").await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    assert_eq!(channels.robot.accepted().len(), before + 1, "urgent");
    let preferences = |more: Value| {
        let mut preferences = json!({
            "addresses": { "email": "zhangsan@example.com", "dingtalk": "dt-zhangsan" },
            "aggregation": false,
        });
        preferences
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        preferences
    };
    for more in [
        json!({ "channels": { "dingtalk": { "frequency": "immediate" } } }),
        json!({ "learning": false }),
    ] {
        let (status, answer) = channels.prefer("zhangsan", preferences(more.clone())).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(channels.sent().await, (1, 1), "{more}");
    }
}

#[tokio::test]
async fn a_floor_of_the_policy_and_a_policy_without_learning_use_all_accounts() {
    let channels = open(20).await;
    let floor = "
        [[policy.rules]]
        channels = [\"dingtalk_robot\"]
        floor = \"immediate\"
    ";
    for policy in [[BOTH, floor, LEARNS].concat(), BOTH.to_owned()] {
        let text = [MAIL, ROBOT, &policy].concat();
        let definitions = Definitions::read(&text).expect("a valid file");
        definitions.store(&channels.desk.app).await.expect("stored");
        channels.desk.settle().await;
        assert_eq!(channels.sent().await, (1, 1), "{policy}");
    }
}
