//! Writes the result of a trial as a document and as lines of text. The order of all parts is fixed, so that equal
//! ledgers and files give equal bytes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use domain::notification::trial::{Change, Compared, Example, Figures, Treated, Way};
use events::PersonId;
use events::notification::HeldReason;
use events::person::Language;
use infra::Error;
use serde::Serialize;

use super::Tried;
use crate::App;
use crate::app::notifications::message::wording;
use crate::app::notifications::why::skip_words;
use crate::app::notifications::why_routing::of_clause;
use crate::app::times;

/// Maximum number of people in each list of a report.
const PEOPLE_MAX: usize = 20;
/// Number of people who get the most messages.
const LOUDEST_MAX: usize = 10;

/// The result of a trial of a notification policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPolicyTrial")
)]
pub struct Report {
    /// The period begins after this time.
    pub from: String,
    pub to: String,
    /// Number of notifications in the period. Each one concerns one person.
    pub notifications: u64,
    /// Number of imported rows that were read. 0 if the trial ignores them.
    pub imported_rows: u64,
    /// Number of these rows without a person in the two columns.
    pub imported_rows_without_people: u64,
    pub total: Pair,
    pub categories: Vec<Row>,
    pub channels: Vec<Row>,
    pub bands: Vec<Row>,
    /// Number of people for whom the number or the way of messages changes.
    pub people_changed: u64,
    /// The people with the largest changes in the number of messages.
    pub people: Vec<Row>,
    /// The people who got messages before and get none after the change.
    pub newly_silent: People,
    /// The people who got no messages before and get some after the change.
    pub newly_reached: People,
    /// The people who get the most messages after the change.
    pub loudest: Vec<Row>,
    /// The notifications that a channel account treats in another way, by the old and the new way.
    pub changes: Vec<Changed>,
    /// What the reader must know about the figures.
    pub notes: Vec<String>,
}

/// The figures of the active and of the new policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPolicyTrialFigures")
)]
pub struct Pair {
    pub before: Counts,
    pub after: Counts,
}

/// Numbers of notifications by their treatment, one for each channel account, and the number of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPolicyTrialCounts")
)]
pub struct Counts {
    pub immediate: u64,
    pub batched: u64,
    pub digest: u64,
    pub held: u64,
    pub dropped: u64,
    /// A digest or a batch is one message.
    pub messages: u64,
}

/// The figures of one category, channel, band or person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPolicyTrialRow")
)]
pub struct Row {
    pub name: String,
    #[serde(flatten)]
    pub figures: Pair,
}

/// A number of people, with the first user names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPolicyTrialPeople")
)]
pub struct People {
    pub count: u64,
    pub first: Vec<String>,
}

/// The notifications that change from one way to another way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPolicyTrialChange")
)]
pub struct Changed {
    /// `immediate`, `batched`, `digest`, `held`, `dropped` or `absent`.
    pub before: &'static str,
    pub after: &'static str,
    pub count: u64,
    pub examples: Vec<Shown>,
}

/// One notification that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPolicyTrialExample")
)]
pub struct Shown {
    pub at: String,
    pub ticket: String,
    /// The subject of the notification.
    pub fact: &'static str,
    pub person: String,
    pub account: String,
    /// The reason of the old treatment, with the preference or the rule that decided.
    pub before: String,
    pub after: String,
}

/// Returns the report about a trial in the given language.
pub async fn report(app: &App, tried: &Tried, language: Language) -> Result<Report, Error> {
    let trial = &tried.trial;
    let mut names: BTreeMap<&PersonId, String> = BTreeMap::new();
    for (at, person) in trial.people.keys().enumerate() {
        // A read of the key store may complete without waiting.
        if at % 128 == 127 {
            tokio::task::yield_now().await;
        }
        names.insert(person, app.people.name(person).await?);
    }
    let mut people: Vec<Row> = trial
        .people
        .iter()
        .map(|(person, compared)| row(&names[person], compared))
        .collect();
    people.sort_by(|one, other| one.name.cmp(&other.name));
    let silent = |figures: &Counts| figures.messages == 0;
    let became = |condition: &dyn Fn(&Pair) -> bool| {
        let rows = people.iter().filter(|row| condition(&row.figures));
        let names: Vec<&str> = rows.map(|row| row.name.as_str()).collect();
        People {
            count: names.len() as u64,
            first: names
                .iter()
                .take(PEOPLE_MAX)
                .map(|name| (*name).to_owned())
                .collect(),
        }
    };
    let newly_silent = became(&|pair| !silent(&pair.before) && silent(&pair.after));
    let newly_reached = became(&|pair| silent(&pair.before) && !silent(&pair.after));
    let mut loudest = people.clone();
    loudest.sort_by_key(|row| Reverse(row.figures.after.messages));
    loudest.truncate(LOUDEST_MAX);
    people.retain(|row| sent(row.figures.before) != sent(row.figures.after));
    let people_changed = people.len() as u64;
    people.sort_by_key(|row| {
        let Pair { before, after } = row.figures;
        Reverse(before.messages.abs_diff(after.messages))
    });
    people.truncate(PEOPLE_MAX);
    let mut changes = Vec::new();
    for ((before, after), change) in &trial.changes {
        changes.push(changed(app, (*before, *after), change, language).await?);
    }
    let time = |at| times::in_zone(at, &app.settings.zone);
    Ok(Report {
        from: time(tried.from),
        to: time(tried.to),
        notifications: trial.notifications,
        imported_rows: tried.rows,
        imported_rows_without_people: tried.rows_without_people,
        total: pair(&trial.total),
        categories: rows(&trial.categories),
        channels: rows(&trial.channels),
        bands: rows(&trial.bands),
        people_changed,
        people,
        newly_silent,
        newly_reached,
        loudest,
        changes,
        notes: notes(tried, language),
    })
}

/// Returns the figures without the notifications that are not sent. An account that the new policy does not use changes
/// nothing for a person whom this account could not reach.
fn sent(figures: Counts) -> Counts {
    Counts {
        dropped: 0,
        ..figures
    }
}

fn counts(figures: Figures) -> Counts {
    let Figures {
        immediate,
        batched,
        digest,
        held,
        dropped,
        messages,
    } = figures;
    Counts {
        immediate,
        batched,
        digest,
        held,
        dropped,
        messages,
    }
}

fn pair(compared: &Compared) -> Pair {
    Pair {
        before: counts(compared.before),
        after: counts(compared.after),
    }
}

fn row(name: &str, compared: &Compared) -> Row {
    Row {
        name: name.to_owned(),
        figures: pair(compared),
    }
}

fn rows<K: AsRef<str>>(figures: &BTreeMap<K, Compared>) -> Vec<Row> {
    let figures = figures.iter();
    figures
        .map(|(name, compared)| row(name.as_ref(), compared))
        .collect()
}

async fn changed(
    app: &App,
    (before, after): (Way, Way),
    change: &Change,
    language: Language,
) -> Result<Changed, Error> {
    let mut examples = Vec::new();
    for example in &change.examples {
        let Example {
            requested,
            account,
            before,
            after,
        } = example;
        examples.push(Shown {
            at: times::in_zone(requested.at, &app.settings.zone),
            ticket: requested.ticket.to_string(),
            fact: wording(requested.fact, language).0,
            person: app.people.name(&requested.person).await?,
            account: account.clone(),
            before: reason(before, language),
            after: reason(after, language),
        });
    }
    Ok(Changed {
        before: before.name(),
        after: after.name(),
        count: change.count,
        examples,
    })
}

/// Returns how an account treats a notification, with the preference or the rule that decided.
fn reason(treated: &Treated, language: Language) -> String {
    let pick = |(chinese, english): (&'static str, &'static str)| match language {
        Language::Chinese => chinese,
        Language::English => english,
    };
    let text = match (treated.way, treated.skipped, treated.held) {
        (_, Some(skipped), _) => pick(skip_words(skipped)),
        (_, None, Some(held)) => pick(held_words(held)),
        (Way::Immediate, ..) => pick(("立即发送", "sent at once")),
        (Way::Batched, ..) => pick(("在下一个批量时间发送", "sent at the next batch time")),
        (Way::Digest, ..) => pick(("合并发送", "collected in a digest")),
        (Way::Held, ..) => pick(("保留", "held")),
        (Way::Dropped, ..) => pick(("不发送", "not sent")),
        (Way::Absent, ..) => pick(("策略未使用该账号", "the policy does not use the account")),
    };
    format!("{text}{}", of_clause(treated.clause, language))
}

fn held_words(held: HeldReason) -> (&'static str, &'static str) {
    match held {
        HeldReason::QuietHours => ("免打扰时段内保留", "held in quiet hours"),
        HeldReason::DoNotDisturb => (
            "此人已开启免打扰，保留",
            "held while the person is not to be disturbed",
        ),
        HeldReason::NotWorking => ("非工作时间保留", "held outside the working hours"),
        HeldReason::InMeeting => ("会议期间保留", "held during an appointment"),
        HeldReason::Focused => ("专注时间内保留", "held during focused time"),
        HeldReason::Experiment => ("按实验延迟发送", "sent later because of an experiment"),
        HeldReason::LearnedTime => (
            "在此人通常回应的时间发送",
            "sent at an hour at which the person usually answers",
        ),
    }
}

fn notes(tried: &Tried, language: Language) -> Vec<String> {
    let mut notes = vec![
        (
            "按个人当前的偏好和地址计算；不考虑日程、发送失败和尚未执行的升级步骤。",
            "Computed with the current preferences and addresses of people, without appointments, failed messages and steps of escalations that did not happen.",
        ),
        (
            "不考虑订阅、实验、学习到的时间和渠道以及群聊。",
            "Without subscriptions, experiments, learned times and channels, and chat groups.",
        ),
        (
            "保留的消息按一条消息计算，即使释放前工单已结束。",
            "A held message counts as a message, although its ticket could end before it is released.",
        ),
    ];
    if !tried.has_active_policy {
        notes.push((
            "服务台当前没有通知策略，因此“之前”没有消息。",
            "The desk has no policy now, so there are no messages before.",
        ));
    }
    if tried.rows > 0 {
        notes.push((
            "导入的数据按在本服务台实际发生计算；导入本身从不发送通知。",
            "Imported rows count as if they had happened in this desk. An import itself causes no notifications.",
        ));
    }
    if tried.counts_rows && tried.rows == 0 {
        notes.push((
            "这段时间内没有导入的数据：请先用 `ledgerdesk import` 导入日志，或增加天数，或去掉 `--imported`。",
            "The desk has no imported rows in the period: import a log with `ledgerdesk import`, choose more days, or omit `--imported`.",
        ));
    }
    let notes = notes.into_iter().map(|(chinese, english)| match language {
        Language::Chinese => chinese.to_owned(),
        Language::English => english.to_owned(),
    });
    notes.collect()
}
