//! These tests check how the desk sends messages: the content of a message, the results of attempts, further
//! attempts, and rate limits.

use domain::notification::delivery::Delivery;
use functions::app::cards::read_card;
use functions::app::notifications::definitions::Definitions;
use infra::channel::{MailError, MailReply};
use infra::views::Document;
use serde_json::{Value, json};
use tests::approval_request;

use super::{BOTH, Channels, MAIL, ROBOT};

const ROBOT_ONLY: &str = "[policy]\naccounts = [\"ops_robot\"]";
const MAIL_ONLY: &str = "[policy]\naccounts = [\"mail\"]";

fn reply(code: u16, text: &str) -> MailReply {
    MailReply {
        code,
        text: text.into(),
    }
}

#[tokio::test]
async fn an_approver_gets_a_mail_and_a_signed_message_of_the_robot() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    let sn = channels.submit().await;
    let mails = channels.desk.mailer.take();
    assert_eq!(mails.len(), 1, "wangwu has no address, and lisi acted");
    assert_eq!(mails[0].to, "zhangsan@example.com");
    let text = String::from_utf8(mails[0].bytes.clone()).unwrap();
    assert!(
        text.contains(&format!("References: <ticket.{sn}@example.com>")),
        "{text}"
    );
    let messages = channels.robot.accepted();
    assert_eq!(messages.len(), 1);
    let markdown = messages[0]["actionCard"]["text"].as_str().unwrap();
    assert!(markdown.contains("@dt-zhangsan"), "{markdown}");
    assert!(markdown.contains("申请堡垒机权限"), "{markdown}");
    assert!(markdown.contains(&format!("/tickets/{sn})")), "{markdown}");
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["state"], &shown["outcome"], &shown["fact"]),
        (
            &json!("completed"),
            &json!("accepted"),
            &json!("approval_needed")
        )
    );
    assert_eq!(
        channels.events_of("mail").await,
        ["delivery.requested", "delivery.succeeded"]
    );
    let started = [
        "delivery.requested",
        "delivery.attempt_started",
        "delivery.succeeded",
    ];
    assert_eq!(channels.events_of("ops_robot").await, started);
}

#[tokio::test]
async fn http_200_with_an_error_code_is_refused_and_not_sent() {
    let channels = Channels::open_with(&[ROBOT, ROBOT_ONLY].concat()).await;
    channels
        .secret(r#"{"access_token":"t","secret":"SECother"}"#)
        .await;
    channels.reachable(None).await;
    channels.submit().await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (
            &shown["outcome"],
            &shown["deliveries"][0]["code"],
            &shown["deliveries"][0]["class"]
        ),
        (&json!("inbox_only"), &json!("310000"), &json!("credential"))
    );
    let steps = channels.why().await;
    let (event, _, text) = &steps[steps.len() - 2];
    assert_eq!(event, "delivery.failed");
    let expected = "The message was not sent and is not repeated (refused credentials or signature 310000): sign not match.";
    assert_eq!(text, expected);
    let failed = channels.get("deliveries?state=failed", "admin").await;
    assert_eq!(
        (&failed["count"], &failed["deliveries"][0]["code"]),
        (&json!(1), &json!("310000"))
    );
    assert!(channels.robot.accepted().is_empty());
}

#[tokio::test]
async fn a_grey_listed_mail_is_repeated_unchanged_after_five_minutes() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels
        .desk
        .mailer
        .plan(Ok(reply(451, "4.7.1 greylisted")));
    channels.submit().await;
    let first = channels.desk.mailer.take();
    channels.desk.clock.advance(299_000);
    channels.desk.settle().await;
    assert_eq!((first.len(), channels.desk.mailer.take().len()), (1, 0));
    channels.desk.clock.advance(1_000);
    channels.desk.settle().await;
    assert_eq!(
        channels.desk.mailer.take(),
        first,
        "the repeated mail is equal"
    );
    let expected = [
        "delivery.requested",
        "delivery.attempt_failed",
        "delivery.succeeded",
    ];
    assert_eq!(channels.events_of("mail").await, expected);
    assert_eq!(channels.newest("zhangsan").await["outcome"], "accepted");
}

#[tokio::test]
async fn a_bounced_mail_leaves_the_notification_in_the_inbox() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels
        .desk
        .mailer
        .plan(Ok(reply(550, "5.1.1 no such user")));
    channels.submit().await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["outcome"], &shown["deliveries"][0]["class"]),
        (&json!("inbox_only"), &json!("recipient_invalid"))
    );
    let only = channels
        .get("notifications?state=inbox_only", "admin")
        .await;
    assert_eq!(only["count"], 2, "wangwu has no address");
}

#[tokio::test]
async fn a_relay_that_does_not_answer_for_a_day_ends_in_the_inbox() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    let never = MailError::NotSent("connection refused".into());
    for _ in 0..1_000 {
        channels.desk.mailer.plan(Err(never.clone()));
    }
    channels.submit().await;
    let step_ms = 10 * 60_000;
    let mut minutes = 0;
    while channels.newest("zhangsan").await["state"] != "completed" {
        assert!(minutes <= 24 * 60, "the message is repeated without an end");
        channels.desk.clock.advance(step_ms);
        channels.desk.settle().await;
        minutes += 10;
    }
    assert!(minutes > 23 * 60, "{minutes} minutes");
    let attempts = channels.desk.mailer.take().len();
    assert!(attempts > 100, "{attempts} attempts");
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["state"], &shown["outcome"]),
        (&json!("completed"), &json!("inbox_only"))
    );
}

#[tokio::test]
async fn an_unknown_result_repeats_a_mail_and_not_a_robot_message() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels
        .desk
        .mailer
        .plan(Err(MailError::Unknown("connection reset".into())));
    let mut desk = channels;
    let robot = desk.desk.app.http.clone();
    desk.desk.app.http = desk.desk.receiver.clone();
    let unknown = infra::http::HttpError::Unknown("connection reset".into());
    desk.desk
        .receiver
        .answers
        .lock()
        .unwrap()
        .push_back(Err(unknown));
    desk.submit().await;
    desk.desk.app.http = robot;
    desk.desk.clock.advance(3_600_000);
    desk.desk.settle().await;
    assert_eq!(desk.desk.mailer.take().len(), 2);
    assert!(desk.robot.accepted().is_empty());
    let expected = [
        "delivery.requested",
        "delivery.attempt_started",
        "delivery.failed",
    ];
    assert_eq!(desk.events_of("ops_robot").await, expected);
}

#[tokio::test]
async fn a_robot_sends_at_most_20_messages_in_any_minute() {
    let channels = Channels::open_with(&[ROBOT, ROBOT_ONLY].concat()).await;
    channels.reachable(None).await;
    let mut numbers = Vec::new();
    for _ in 0..50 {
        numbers.push(channels.submit().await);
    }
    assert_eq!(channels.robot.accepted().len(), 20);
    let mut minutes = 0;
    while channels.robot.accepted().len() < 50 {
        // Each waiting message has its own time, one millisecond after the message before.
        channels.desk.clock.advance(60_020);
        channels.desk.settle().await;
        minutes += 1;
        assert!(
            minutes <= 10,
            "{} messages",
            channels.robot.accepted().len()
        );
    }
    assert_eq!(minutes, 2);
    let open = channels.get("notifications?state=open", "admin").await;
    assert_eq!(open["count"], 0, "the robot refused no message");
    let sent: Vec<Value> = channels.robot.accepted();
    for number in numbers {
        let of_ticket = sent
            .iter()
            .filter(|message| message.to_string().contains(&number));
        assert_eq!(of_ticket.count(), 1, "{number}");
    }
}

#[tokio::test]
async fn deleted_views_do_not_exceed_the_limit_of_the_robot() {
    let channels = Channels::open_with(&[ROBOT, ROBOT_ONLY].concat()).await;
    channels.reachable(None).await;
    for _ in 0..25 {
        channels.submit().await;
    }
    assert_eq!(channels.robot.accepted().len(), 20);
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    assert_eq!(
        channels.robot.accepted().len(),
        20,
        "the last messages are unknown"
    );
    for _ in 0..3 {
        channels.desk.clock.advance(60_000);
        channels.desk.settle().await;
    }
    assert_eq!(channels.robot.accepted().len(), 25);
}

#[tokio::test]
async fn refilled_views_send_nothing_and_store_nothing() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    for _ in 0..3 {
        channels.submit().await;
    }
    let (mails, messages) = (
        channels.desk.mailer.take().len(),
        channels.robot.accepted().len(),
    );
    assert_eq!((mails, messages), (3, 3));
    let head = channels.desk.head().await;
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    assert_eq!(channels.robot.accepted().len(), 3);
    assert_eq!(channels.desk.head().await, head);
    assert_eq!(channels.get("inbox/zhangsan", "zhangsan").await["count"], 3);
}

#[tokio::test]
async fn a_repeated_message_of_the_queue_sends_one_mail() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    let head = channels.desk.head().await;
    let page = channels
        .desk
        .app
        .ledger
        .store
        .feed(0, 10_000)
        .await
        .unwrap();
    let notification = page
        .iter()
        .map(|placed| placed.commit.stream.clone())
        .find(|stream| stream.starts_with("delivery-"))
        .expect("a delivery");
    functions::queue::send::attempt(&channels.desk.app, &notification)
        .await
        .unwrap();
    assert_eq!(channels.desk.mailer.take().len(), 1);
    assert_eq!(channels.desk.head().await, head);
}

#[tokio::test]
async fn a_service_that_encrypts_text_sends_the_number_and_the_link_only() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    let body = json!({ "seals_text": true });
    let (status, answer) = channels.desk.v1("PUT", "services/22", "admin", body).await;
    assert_eq!(status, 200, "{answer}");
    channels.desk.settle().await;
    let sn = channels.submit().await;
    let text = channels.robot.accepted()[0].to_string();
    assert!(text.contains(&sn) && !text.contains("堡垒机"), "{text}");
}

#[tokio::test]
async fn a_message_is_written_in_the_language_of_the_person() {
    let channels = Channels::open_with(&[ROBOT, ROBOT_ONLY].concat()).await;
    let preferences = json!({
        "language": "en",
        "zone": "Europe/Berlin",
        "addresses": { "dingtalk": "dt-zhangsan" },
    });
    assert_eq!(channels.prefer("zhangsan", preferences).await.0, 200);
    channels.submit().await;
    let text = channels.robot.accepted()[0]["actionCard"]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(text.contains("Approval needed: 申请堡垒机权限"), "{text}");
    assert!(
        text.contains("Created: 2026-11-22 03:00 (Europe/Berlin)"),
        "{text}"
    );
}

#[tokio::test]
async fn a_disabled_account_and_a_missing_account_are_named() {
    let switched_off = MAIL.replace("name =", "is_enabled = false\nname =");
    let channels = Channels::open_with(&[&switched_off, ROBOT, BOTH].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        shown["skipped"],
        json!([{ "account": "mail", "reason": "disabled" }])
    );
    assert_eq!(channels.desk.mailer.take().len(), 0);
    let steps = channels.why().await;
    let (_, _, routed) = steps
        .iter()
        .find(|(event, ..)| event == "notification.routed")
        .unwrap();
    let expected = "The channel accounts ops_robot send the message. mail is skipped: the account is switched off.";
    assert!(routed.starts_with(expected), "{routed}");
}

#[tokio::test]
async fn a_ticket_with_many_approvers_notifies_each_of_them_once() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    for person in ["zhangsan", "wangwu"] {
        let preferences = json!({ "addresses": { "email": format!("{person}@example.com") } });
        assert_eq!(channels.prefer(person, preferences).await.0, 200);
    }
    channels
        .desk
        .must("create_ticket", approval_request())
        .await;
    channels.desk.settle().await;
    let mut to: Vec<String> = channels
        .desk
        .mailer
        .take()
        .into_iter()
        .map(|mail| mail.to)
        .collect();
    to.sort();
    assert_eq!(to, ["wangwu@example.com", "zhangsan@example.com"]);
}

#[tokio::test]
async fn a_message_is_not_sent_after_its_expiry() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels
        .desk
        .mailer
        .plan(Err(MailError::NotSent("connection refused".into())));
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    channels.desk.clock.advance(25 * 3_600_000);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["state"], &shown["outcome"]),
        (&json!("completed"), &json!("inbox_only"))
    );
    let open = channels.get("deliveries?state=open", "admin").await;
    assert_eq!(open["count"], 0);
}

#[tokio::test]
async fn a_mail_with_unknown_results_is_sent_at_most_three_times() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    let unknown = Err(MailError::Unknown("connection reset".into()));
    assert_eq!(channels.attempts(&unknown).await, 3);
    let shown = channels.newest("zhangsan").await;
    assert_eq!(shown["deliveries"][0]["class"], "unknown");
}

#[tokio::test]
async fn a_message_names_no_other_person_than_its_recipient() {
    let channels = Channels::open_with(&[ROBOT, ROBOT_ONLY].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    let text = channels.robot.accepted()[0].to_string();
    assert!(text.contains("zhangsan"), "{text}");
    assert!(!text.contains("lisi"), "the requester is lisi: {text}");
}

/// The follower (the task that processes new commits) does not decrypt the address and the content of a message. The
/// second event of a delivery is applied to the stored card.
#[tokio::test]
async fn the_card_of_a_delivery_is_stored_encrypted_and_stays_readable() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    let app = &channels.desk.app;
    let page = app.ledger.store.feed(0, 10_000).await.unwrap();
    let mut streams = page.iter().map(|placed| placed.commit.stream.clone());
    let stream = streams.find(|stream| stream.starts_with("delivery-"));
    let stream = stream.expect("a delivery");
    let stored = app.views.get("delivery", &stream).await.unwrap();
    let stored = stored.expect("a card");
    let text = String::from_utf8(stored.body.clone()).unwrap();
    assert!(!text.contains("zhangsan@example.com"), "{text}");
    let read = async || read_card::<Delivery>(&app.ledger, &stream, &stored).await;
    let card = read().await.unwrap();
    assert!(card.end.is_some(), "{card:?}");
    let requested = card.requested.expect("a request");
    assert_eq!(requested.to.value, "zhangsan@example.com");
    assert!(requested.content.value.is_object());
    app.ledger.forget(&requested.person).await.unwrap();
    let requested = read().await.unwrap().requested.expect("a request");
    assert!(requested.to.is_erased() && requested.content.is_erased());
}

/// Another worker has the lease (the exclusive right to make an attempt) and sends the message. Then the
/// channel account (the configured sender) is switched off. The worker of this test finds this change, but
/// must not store a result.
#[tokio::test]
async fn a_worker_without_the_lease_stores_no_result() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    let refused = MailError::NotSent("connection refused".into());
    channels.desk.mailer.plan(Err(refused));
    channels.submit().await;
    let app = &channels.desk.app;
    let page = app.ledger.store.feed(0, 10_000).await.unwrap();
    let mut streams = page.iter().map(|placed| placed.commit.stream.clone());
    let stream = streams.find(|stream| stream.starts_with("delivery-"));
    let stream = stream.expect("a delivery");
    let off = MAIL.replace("name =", "is_enabled = false\nname =");
    let definitions = Definitions::read(&[off.as_str(), MAIL_ONLY].concat()).unwrap();
    definitions.store(app).await.unwrap();
    channels.desk.clock.advance(4_000);
    let until = app.ledger.clock.now().plus_ms(30_000);
    let stored = app
        .views
        .get("lease", &stream)
        .await
        .unwrap()
        .expect("a lease");
    let lease = json!({ "attempt": 2, "until": until, "owner": "another worker" });
    let document = Document {
        sequence: stored.sequence + 1,
        body: lease.to_string().into_bytes(),
    };
    let put = app
        .views
        .put("lease", &stream, &document, &[], stored.sequence);
    assert!(put.await.unwrap());
    let head = channels.desk.head().await;
    functions::queue::send::attempt(app, &stream).await.unwrap();
    assert_eq!(channels.desk.head().await, head);
    channels.desk.clock.advance(30_001);
    functions::queue::send::attempt(app, &stream).await.unwrap();
    assert_eq!(channels.desk.head().await, head + 1, "the lease has ended");
}
