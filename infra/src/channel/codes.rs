//! Checks every documented response of every provider (reference/notifications.md, section 1): the verdict of the channel,
//! and the event that the delivery stores after it.

use std::collections::BTreeMap;

use domain::Decider;
use domain::attempt::{Report, Verdict};
use domain::notification::delivery::{Command, Delivery, POLICY};
use events::delivery::Requested;
use events::task_type::Repetition;
use events::{Event as _, Moment, Personal};

use super::contract::{account, shown};
use super::{
    ALL, Channel, MailReply, Response, apns, cmsi, dingtalk_app, dingtalk_card, dingtalk_notice,
    dingtalk_robot, email, fcm, feishu, feishu_robot, public_account, slack, slack_webhook, sms,
    teams_bot, teams_workflow, wecom_app, wecom_robot,
};
use crate::http::HttpResponse;

/// Responses as status, body and expected verdict.
type Codes = &'static [(u16, &'static str, &'static str)];

/// Number of all documented responses: 596 of HTTP and 130 of mail relays.
const CODES: usize = 726;

/// The channels that use HTTP, each with the documented responses of its provider.
const TABLES: &[(&dyn Channel, Codes)] = &[
    (&apns::Apns, apns::tests::CODES),
    (&cmsi::Cmsi, cmsi::tests::CODES),
    (&dingtalk_app::DingtalkApp, dingtalk_app::tests::CODES),
    (&dingtalk_card::DingtalkCard, dingtalk_card::tests::CODES),
    (
        &dingtalk_notice::DingtalkNotice,
        dingtalk_notice::tests::CODES,
    ),
    (&dingtalk_robot::DingtalkRobot, dingtalk_robot::tests::CODES),
    (&fcm::Fcm, fcm::tests::CODES),
    (&feishu::Feishu, feishu::tests::CODES),
    (&feishu_robot::FeishuRobot, feishu_robot::tests::CODES),
    (&public_account::PublicAccount, public_account::tests::CODES),
    (&slack::Slack, slack::tests::CODES),
    (&slack_webhook::SlackWebhook, slack_webhook::tests::CODES),
    (&sms::Sms, sms::tests::CODES),
    (&teams_bot::TeamsBot, teams_bot::tests::CODES),
    (&teams_workflow::TeamsWorkflow, teams_workflow::tests::CODES),
    (&wecom_app::WecomApp, wecom_app::tests::CODES),
    (&wecom_robot::WecomRobot, wecom_robot::tests::CODES),
];

/// Returns the type of the event that a delivery stores after a first attempt with the verdict. The delivery must not be sent
/// twice.
fn next_event(verdict: Verdict) -> &'static str {
    let requested = Requested {
        notification: "notification-1".into(),
        digest: None,
        ticket: "REQ1".into(),
        person: "p-1".into(),
        account: "test".into(),
        channel: "test".into(),
        to: Personal::new("p-1".into(), "x".into()),
        content: Personal::new("p-1".into(), "x".into()),
        repetition: Repetition::AtMostOnce,
        due: Moment(0),
        expires: Moment(30 * 24 * 3_600_000),
        is_tagged: true,
        thread: None,
    };
    let mut delivery = Delivery::default();
    delivery.evolve(&requested.into());
    let report = Report {
        attempt: 1,
        exchange: None,
        status: None,
        verdict,
        policy: POLICY,
        at: Moment(1),
    };
    let events = delivery
        .decide(&Command::Record(report), &())
        .expect("events");
    events.first().expect("one event").kind()
}

/// Returns the expected type of event for a verdict in the form of [`shown`].
fn expected_event(verdict: &str) -> &'static str {
    match verdict.split(' ').next().unwrap_or_default() {
        "accepted" => "delivery.succeeded",
        "throttled" => "delivery.postponed",
        // A message that is too large is sent once more as a short message.
        "retry" | "too_large" => "delivery.attempt_failed",
        _ => "delivery.failed",
    }
}

#[test]
fn each_code_of_each_provider_leads_to_one_verdict_and_one_event() {
    let mut events: BTreeMap<&str, usize> = BTreeMap::new();
    for (channel, codes) in TABLES {
        let name = channel.name();
        for (status, body, expected) in *codes {
            let response = Response::Http(Ok(HttpResponse::of(*status, body.as_bytes())));
            // The verdict of a short message depends on the shape in the account, and the table has several shapes. The
            // responses of the company message bus name the user lisi.
            let verdict = if name == "sms" {
                channel.verdict(&response)
            } else {
                channel.verdict_for(&account(name), "lisi", &response)
            };
            assert_eq!(shown(&verdict), *expected, "{name} {status} {body}");
            let event = next_event(verdict);
            assert_eq!(event, expected_event(expected), "{name} {status} {body}");
            *events.entry(event).or_default() += 1;
        }
    }
    for (code, text, expected) in email::reply_codes() {
        let reply = MailReply {
            code,
            text: text.into(),
        };
        let verdict = email::Email.verdict(&Response::Mail(Ok(reply)));
        assert_eq!(shown(&verdict), expected, "{code} {text}");
        let event = next_event(verdict);
        assert_eq!(event, expected_event(&expected), "{code} {text}");
        *events.entry(event).or_default() += 1;
    }
    let count: usize = events.values().sum();
    println!("{count} codes of {} channels: {events:?}", TABLES.len() + 1);
    assert_eq!(events.len(), 4, "{events:?}");
    assert_eq!(count, CODES, "a row was added or removed");
    // Each channel is in the table, and the mail relay follows it.
    let mut names: Vec<&str> = TABLES.iter().map(|(channel, _)| channel.name()).collect();
    names.push("email");
    for channel in ALL {
        let count = names.iter().filter(|name| **name == channel.name()).count();
        assert_eq!(count, 1, "{}", channel.name());
    }
}
