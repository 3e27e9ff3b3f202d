//! Reports how notifications were delivered and answered in a period, and compares two periods with the figures of the
//! requirements. The reports are computed from the ledger.

use std::collections::BTreeMap;

use domain::projections::notification_meter::{
    AccountFigures, Answers, Figures, NotificationMeter,
};
use domain::projections::outcome::{self, ENOUGH, Tickets, Verdict};
use events::person::Language;
use events::{Moment, TicketSn};
use infra::ledger::repository::{decode, envelopes};
use infra::store::Commit;
use infra::{Error, Kind, Ledger};
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::app::times;

/// Maximum number of commits that one read of the feed returns.
const PAGE: usize = 500;
/// Number of commits that a task decodes before the task lets other tasks run.
const COMMITS_AT_ONCE: usize = 16;
/// Maximum number of notifications and messages of one period.
const COUNTED_MAX: usize = 1_000_000;

/// The report about the notifications of a period.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationReport")
)]
pub struct Report {
    /// The period begins after this time.
    pub from: String,
    pub to: String,
    pub notifications: Notifications,
    /// The messages by channel account.
    pub accounts: BTreeMap<String, Account>,
    /// The answers to all notifications.
    pub response: Response,
    /// The answers by channel. The channel `inbox` has the notifications that no channel accepted.
    pub response_by_channel: BTreeMap<String, Response>,
    pub open_rate: OpenRate,
}

/// Numbers of notifications by their results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationReportNumbers")
)]
pub struct Notifications {
    pub all: u64,
    /// A provider accepted at least one message.
    pub accepted: u64,
    pub inbox_only: u64,
    /// The ticket did not wait for the person any more.
    pub not_needed: u64,
    pub open: u64,
    pub held: u64,
    pub in_digest: u64,
    pub people: u64,
    /// People who had to act and answered nothing in the period.
    pub people_without_answer: u64,
}

/// The messages of one channel account.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationReportAccount")
)]
pub struct Account {
    pub channel: String,
    pub requested: u64,
    pub accepted: u64,
    /// The share of accepted messages among the ended messages. Null if no message has ended.
    pub accepted_percent: Option<f64>,
    /// Numbers of failed messages by the class of the failure.
    pub failed: BTreeMap<&'static str, u64>,
    pub open: u64,
    /// Messages that waited for a limit, a pause or a stop.
    pub postponed: u64,
    pub failed_attempts: u64,
    /// Notifications for which the account was used because no other account accepted them.
    pub fallbacks: u64,
    /// Notifications that the person read by opening the ticket from the link in a message. Only accounts with
    /// `count_visits` have such links.
    pub visits: u64,
    pub digests: u64,
    pub notifications_in_digests: u64,
    /// The time from the request of a message until the provider accepted it: half of the messages were faster.
    pub latency_p50_seconds: Option<f64>,
    pub latency_p90_seconds: Option<f64>,
}

/// The answers of people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationReportResponse")
)]
pub struct Response {
    pub notifications: u64,
    /// Notifications that the person read in the inbox or answered.
    pub opened: u64,
    /// Notifications because of which the person must act.
    pub asked: u64,
    /// Numbers of answers by their way: `link`, `chat`, `mail` or `desk`.
    pub answered: BTreeMap<&'static str, u64>,
    pub unanswered: u64,
    /// The median time to the first answer. Unanswered notifications count. Null if too many have no answer.
    pub median_seconds: Option<f64>,
    pub p90_seconds: Option<f64>,
}

/// The limits between which the share of opened notifications is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationOpenRate")
)]
pub struct OpenRate {
    pub at_least_percent: Option<f64>,
    pub at_most_percent: Option<f64>,
    pub text: &'static str,
}

/// The comparison of two periods with the figures of the requirements.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationOutcomes")
)]
pub struct Outcomes {
    /// The time that separates the periods.
    pub split: String,
    pub days: u32,
    /// The number of observations that each period needs.
    pub enough: u64,
    /// The key is `open_rate`, `response_time`, `satisfaction` or `tickets_per_processor`.
    pub measures: BTreeMap<&'static str, Outcome>,
}

/// One measure in both periods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationOutcome")
)]
pub struct Outcome {
    pub before: Option<f64>,
    pub after: Option<f64>,
    pub observations_before: u64,
    pub observations_after: u64,
    /// The change in percent of the old value, or in percentage points for `satisfaction`.
    pub change: Option<f64>,
    /// The change that the requirements name.
    pub target: f64,
    /// `reached`, `not_reached` or `not_enough_data`.
    pub verdict: &'static str,
    pub text: String,
}

/// One period with its meters.
struct Counted {
    meter: NotificationMeter,
    tickets: Tickets,
}

/// Returns the report about the period after `from` until `to`.
pub async fn report(
    ledger: &Ledger,
    (from, to): (Moment, Moment),
    zone: &TimeZone,
    language: Language,
) -> Result<Report, Error> {
    let mut counted = [Counted::new(from, to)];
    read(ledger, &mut counted).await?;
    let figures = counted[0].meter.figures();
    let accounts = figures.accounts.iter();
    let channels = figures.channels.iter();
    Ok(Report {
        from: times::in_zone(from, zone),
        to: times::in_zone(to, zone),
        notifications: notifications(&figures),
        accounts: accounts
            .map(|(name, account)| (name.clone(), shown(account)))
            .collect(),
        response: response(&figures.all),
        response_by_channel: channels
            .map(|(name, answers)| (name.clone(), response(answers)))
            .collect(),
        open_rate: OpenRate {
            at_least_percent: percent(figures.all.opened, figures.notifications),
            at_most_percent: percent(figures.opened_at_most, figures.notifications),
            text: match language {
                Language::Chinese => {
                    "打开率只能给出范围。下限：在收件箱中已读或已有响应的通知。上限：再加上服务方已接受、但无法得知是否打开的消息。"
                }
                Language::English => {
                    "The open rate is only known between two limits. Lower limit: notifications that were read in the inbox or answered. Upper limit: also the messages that a provider accepted, because a desk cannot know whether they were opened."
                }
            },
        },
    })
}

/// Compares the `days` days before `split` with the `days` days after it. The second period ends at `now` at the latest.
pub async fn outcomes(
    ledger: &Ledger,
    split: Moment,
    days: u32,
    zone: &TimeZone,
    language: Language,
) -> Result<Outcomes, Error> {
    let length = i64::from(days) * 86_400_000;
    let end = split.plus_ms(length).min(ledger.clock.now());
    let mut counted = [
        Counted::new(split.plus_ms(-length), split),
        Counted::new(split, end),
    ];
    read(ledger, &mut counted).await?;
    let [before, after] = counted;
    let (old, new) = (before.meter.figures(), after.meter.figures());
    let compared = outcome::compare((&old, &before.tickets), (&new, &after.tickets));
    let measures = compared.into_iter().map(|one| {
        let shown = Outcome {
            before: one.before.value,
            after: one.after.value,
            observations_before: one.before.n,
            observations_after: one.after.n,
            change: one.change,
            target: one.measure.target(),
            verdict: match one.verdict {
                Verdict::Reached => "reached",
                Verdict::NotReached => "not_reached",
                Verdict::NotEnoughData => "not_enough_data",
            },
            text: verdict_text(one.verdict, language),
        };
        (one.measure.name(), shown)
    });
    Ok(Outcomes {
        split: times::in_zone(split, zone),
        days,
        enough: ENOUGH,
        measures: measures.collect(),
    })
}

fn verdict_text(verdict: Verdict, language: Language) -> String {
    let (chinese, english) = match verdict {
        Verdict::Reached => ("达到目标。".to_owned(), "The target is reached.".to_owned()),
        Verdict::NotReached => (
            "未达到目标。".to_owned(),
            "The target is not reached.".to_owned(),
        ),
        Verdict::NotEnoughData => (
            format!("数据不足：每个时期至少需要 {ENOUGH} 个观测值和已知的数值。"),
            format!(
                "Not enough data: each period needs at least {ENOUGH} observations and a known value."
            ),
        ),
    };
    match language {
        Language::Chinese => chinese,
        Language::English => english,
    }
}

impl Counted {
    fn new(from: Moment, to: Moment) -> Self {
        Self {
            meter: NotificationMeter::new(from, to),
            tickets: Tickets::default(),
        }
    }

    // Personal values stay encrypted, because no figure needs them.
    fn fold(&mut self, commit: &Commit) -> Result<(), Error> {
        match events::aggregate_of(&commit.stream) {
            "notification" => {
                for envelope in envelopes(commit, decode(commit)?) {
                    self.meter.fold_notification(&envelope);
                }
            }
            "delivery" => {
                for envelope in envelopes(commit, decode(commit)?) {
                    self.meter.fold_delivery(&envelope);
                }
            }
            "ticket" => {
                let ticket = TicketSn::from(commit.stream.trim_start_matches("ticket-"));
                for envelope in envelopes(commit, decode(commit)?) {
                    self.meter.fold_ticket(&ticket, &envelope);
                    self.tickets.fold(&envelope);
                }
            }
            _ => {}
        }
        if self.meter.len() > COUNTED_MAX {
            let reason =
                format!("the period has more than {COUNTED_MAX} notifications and messages");
            return Err(Error::new(Kind::TooLarge, reason));
        }
        Ok(())
    }
}

/// Reads the whole ledger into the meters of the periods.
async fn read(ledger: &Ledger, periods: &mut [Counted]) -> Result<(), Error> {
    let mut position = 0;
    loop {
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        position = last.position;
        for (at, placed) in page.iter().enumerate() {
            if at % COMMITS_AT_ONCE == COMMITS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            for period in periods.iter_mut() {
                if period.meter.includes(placed.commit.at) {
                    period.fold(&placed.commit)?;
                }
            }
        }
    }
}

fn notifications(figures: &Figures) -> Notifications {
    Notifications {
        all: figures.notifications,
        accepted: figures.accepted,
        inbox_only: figures.inbox_only,
        not_needed: figures.not_needed,
        open: figures.open,
        held: figures.held,
        in_digest: figures.in_digest,
        people: figures.people,
        people_without_answer: figures.people_without_answer,
    }
}

fn shown(figures: &AccountFigures) -> Account {
    Account {
        channel: figures.channel.clone(),
        requested: figures.requested,
        accepted: figures.accepted,
        accepted_percent: percent(figures.accepted, figures.accepted + figures.failed_all()),
        failed: figures.failed.clone(),
        open: figures.open,
        postponed: figures.postponed,
        failed_attempts: figures.failed_attempts,
        fallbacks: figures.fallbacks,
        visits: figures.visits,
        digests: figures.digests,
        notifications_in_digests: figures.notifications_in_digests,
        latency_p50_seconds: figures.latency_p50_ms.and_then(seconds),
        latency_p90_seconds: figures.latency_p90_ms.and_then(seconds),
    }
}

fn response(answers: &Answers) -> Response {
    Response {
        notifications: answers.notifications,
        opened: answers.opened,
        asked: answers.asked,
        answered: answers.answered.clone(),
        unanswered: answers.unanswered,
        median_seconds: answers.median_ms.and_then(seconds),
        p90_seconds: answers.p90_ms.and_then(seconds),
    }
}

/// Converts a time in milliseconds to seconds.
fn seconds(ms: i64) -> Option<f64> {
    let (whole, rest) = (ms.div_euclid(1000), ms.rem_euclid(1000));
    let (whole, rest) = (i32::try_from(whole).ok()?, i32::try_from(rest).ok()?);
    Some(f64::from(whole) + f64::from(rest) / 1000.0)
}

/// Returns a share in percent, with two decimal places. Returns `None` if there is nothing to share.
fn percent(part: u64, whole: u64) -> Option<f64> {
    let hundredths = (part * 10_000 + whole / 2).checked_div(whole)?;
    let hundredths = u32::try_from(hundredths).unwrap_or(u32::MAX);
    Some(f64::from(hundredths) / 100.0)
}
