//! These tests check when a person can be disturbed. They cover working calendars with make-up days, do not disturb,
//! appointments from an iCalendar feed, both days on which the clocks change, and a new time zone.

use std::sync::Arc;

use async_trait::async_trait;
use functions::app::notifications::calendars;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Channels, MAIL};

const HOUR_MS: i64 = 3_600_000;
/// A policy in which the priority of a ticket with the level 3 is critical, and the one of level 2 is urgent.
const POLICY: &str = r#"
    [policy]
    accounts = ["mail"]
    urgent = ["2"]
    critical = ["3"]
"#;

/// An HTTP client that answers each request with an iCalendar feed, or with status 500 if the feed is empty.
struct Feed(&'static str);

#[async_trait]
impl HttpClient for Feed {
    async fn send(&self, _: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let status = if self.0.is_empty() { 500 } else { 200 };
        Ok(HttpResponse::of(status, self.0.as_bytes()))
    }
}

/// A feed with a weekly meeting from 09:30 to 11:30 in Shanghai, and a transparent event on the whole day.
const MEETING: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:budget\r\nDTSTART;TZID=Asia/Shanghai:20261101T093000\r\nDTEND;TZID=Asia/Shanghai:20261101T113000\r\nRRULE:FREQ=WEEKLY\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:2\r\nDTSTART;VALUE=DATE:20261122\r\nTRANSP:TRANSPARENT\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

/// Opens a desk with a mail relay.
async fn open() -> Channels {
    Channels::open_with(&[MAIL, POLICY].concat()).await
}

impl Channels {
    /// Advances the clock to a time, and executes all work that is due.
    async fn advance_to(&self, at: &str) {
        let at: Timestamp = at.parse().expect("a time");
        let now = self.desk.app.ledger.clock.now();
        self.desk.clock.advance(at.as_millisecond() - now.0);
        self.desk.settle().await;
    }

    /// Stores the preferences of zhangsan, with a mail address.
    async fn available(&self, mut preferences: Value) {
        preferences["addresses"] = json!({ "email": "zhangsan@example.com" });
        let (status, answer) = self.prefer("zhangsan", preferences).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Checks that the newest notification of zhangsan is held.
    async fn held(&self, because: &str, until: &str) {
        let shown = self.newest("zhangsan").await;
        assert_eq!(
            (&shown["held_because"], &shown["held_until"]),
            (&json!(because), &json!(until)),
            "{shown}"
        );
        assert_eq!(self.desk.mailer.take().len(), 0);
    }
}

#[tokio::test]
async fn do_not_disturb_ends_at_the_given_time() {
    let channels = open().await;
    let until = "2026-11-22T13:00:00+08:00";
    channels
        .available(json!({ "do_not_disturb_until": until }))
        .await;
    channels.submit_with("2").await;
    channels
        .held("do_not_disturb", "2026-11-22T13:00:00.000+08:00")
        .await;
    let steps = channels.why().await;
    assert_eq!(
        steps[1].2,
        "The person does not want to be disturbed, which holds the message until 2026-11-22 13:00:00."
    );
    channels.submit_with("3").await;
    assert_eq!(channels.desk.mailer.take().len(), 1, "critical");
    channels.desk.clock.advance(3 * HOUR_MS);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    let shown = channels
        .get("people/zhangsan/preferences", "zhangsan")
        .await;
    assert_eq!(
        shown["do_not_disturb_until"],
        "2026-11-22T13:00:00.000+08:00"
    );
}

#[tokio::test]
async fn a_make_up_saturday_is_working_time() {
    let channels = open().await;
    let office = r#"
        [[calendar]]
        name = "office"
        work_days = ["2026-11-28"]
        work_day_hours = ["10:00-16:00"]
        holidays = ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"]
        week = { monday = ["09:00-18:00"] }
    "#;
    let definitions = calendars::Definitions::read(office).unwrap();
    definitions.store(&channels.desk.app).await.unwrap();
    channels.available(json!({ "calendar": "office" })).await;
    channels.submit().await;
    channels
        .held("not_working", "2026-11-28T10:00:00.000+08:00")
        .await;
    channels.submit_with("2").await;
    assert_eq!(channels.desk.mailer.take().len(), 1, "urgent");
    channels.advance_to("2026-11-28T01:59:59Z").await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    channels.advance_to("2026-11-28T02:00:00Z").await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
}

#[tokio::test]
async fn the_built_in_calendar_needs_no_definition() {
    let channels = open().await;
    channels.available(json!({ "calendar": "china" })).await;
    channels.submit().await;
    channels
        .held("not_working", "2026-11-23T09:00:00.000+08:00")
        .await;
    for (wrong, field) in [
        (json!({ "calendar": "mars" }), "/calendar"),
        (json!({ "calendar": "../china" }), "/calendar"),
        (json!({ "presence": "ftp://x" }), "/presence"),
        (
            json!({ "do_not_disturb_until": "tomorrow" }),
            "/do_not_disturb_until",
        ),
        (
            json!({ "do_not_disturb_until": "2027-11-22T00:00:00Z" }),
            "/do_not_disturb_until",
        ),
    ] {
        let (status, problem) = channels.prefer("zhangsan", wrong).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem.to_string().contains(field), "{problem}");
    }
}

#[tokio::test]
async fn a_meeting_holds_a_normal_message_and_not_a_critical_one() {
    let mut channels = open().await;
    channels.desk.app.http = Arc::new(Feed(MEETING));
    let url = "https://calendar.example/secret.ics";
    channels.available(json!({ "presence": url })).await;
    channels.submit().await;
    channels
        .held("in_meeting", "2026-11-22T11:30:00.000+08:00")
        .await;
    channels.submit_with("3").await;
    assert_eq!(channels.desk.mailer.take().len(), 1, "critical");
    let views = &channels.desk.app.views;
    let pid = channels.desk.app.people.find("zhangsan").await.unwrap();
    let stored = views.get("presence", pid.as_str()).await.unwrap();
    let stored = String::from_utf8(stored.expect("a document").body).unwrap();
    for secret in ["calendar.example", "budget", "busy"] {
        assert!(!stored.contains(secret), "{secret} is encrypted: {stored}");
    }
    channels.desk.clock.advance(90 * 60_000);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
}

#[tokio::test]
async fn a_person_whose_feed_fails_is_available() {
    let mut channels = open().await;
    channels.desk.app.http = Arc::new(Feed(""));
    let url = "https://calendar.example/secret.ics";
    channels.available(json!({ "presence": url })).await;
    channels.submit().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
}

#[tokio::test]
async fn quiet_hours_end_at_the_first_existing_time_when_clocks_change() {
    let quiet = json!({ "zone": "Europe/Berlin", "quiet": { "from": "22:00", "to": "02:30" } });
    // On 2027-03-28, the clocks in Berlin skip the local times from 02:00 to 03:00. On 2027-10-31, these times exist
    // twice.
    for (evening, until) in [
        ("2027-03-27T22:00:00Z", "2027-03-28T09:00:00.000+08:00"),
        ("2027-10-30T21:00:00Z", "2027-10-31T08:30:00.000+08:00"),
    ] {
        let channels = open().await;
        channels.available(quiet.clone()).await;
        channels.advance_to(evening).await;
        channels.submit().await;
        channels.held("quiet_hours", until).await;
    }
}

#[tokio::test]
async fn an_overnight_period_in_shanghai_ends_in_the_morning() {
    let channels = open().await;
    let quiet = json!({ "zone": "Asia/Shanghai", "quiet": { "from": "22:00", "to": "07:00" } });
    channels.available(quiet).await;
    channels.advance_to("2026-11-22T18:00:00Z").await;
    channels.submit().await;
    channels
        .held("quiet_hours", "2026-11-23T07:00:00.000+08:00")
        .await;
    channels.advance_to("2026-11-22T23:00:00Z").await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
}

#[tokio::test]
async fn a_new_time_zone_counts_at_the_end_of_the_hold() {
    let quiet = json!({ "from": "09:00", "to": "12:00" });
    let channels = open().await;
    channels.available(json!({ "quiet": quiet })).await;
    channels.submit().await;
    channels
        .held("quiet_hours", "2026-11-22T12:00:00.000+08:00")
        .await;
    // At 12:00 in Shanghai, it is 09:30 in Kolkata.
    channels
        .available(json!({ "quiet": quiet, "zone": "Asia/Kolkata" }))
        .await;
    channels.advance_to("2026-11-22T04:00:00Z").await;
    channels
        .held("quiet_hours", "2026-11-22T14:30:00.000+08:00")
        .await;
    // At 14:30 in Shanghai, it is 07:30 in Berlin.
    channels
        .available(json!({ "quiet": quiet, "zone": "Europe/Berlin" }))
        .await;
    channels.advance_to("2026-11-22T06:30:00Z").await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
}
