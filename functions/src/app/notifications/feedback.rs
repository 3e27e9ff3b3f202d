//! Asks people for feedback on notifications, and stores their answers. The notification policy contains the share
//! of notifications with questions. Each person is asked at most once in a calendar month (UTC). The signed link in a
//! message that no other person can read identifies the person, so no login is necessary.

use std::collections::BTreeSet;

use domain::notification::content;
use domain::notification::feedback::{self, Command, Feedback, IN_APP, Rejection};
use domain::notification::recommend::Advice;
use events::feedback::{Asked, Given};
use events::notification::{Fact, Requested, Role};
use events::person::{Language, PreferencesChanged};
use events::preference::Frequency;
use events::{Meta, Moment, Origin, PersonId, Personal};
use infra::channel::{self, Channel};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use super::actions::{NotOwn, PERSONAL, Sent, check_user};
use super::definitions::DEFAULT_POLICY;
use super::{preferences, recommendations, signed_text};
use crate::App;

/// Time for which a link to the questions is valid, in milliseconds (30 days).
pub const VALID_MS: i64 = 30 * 24 * 3_600_000;
/// Maximum length of a comment, in characters.
pub const COMMENT_MAX: usize = 1_000;
/// What the tokens are used for, see [`signed_text`]. The text must never change.
const PURPOSE: &str = "feedback on a notification";
/// The beginning of the names of the streams of feedback.
const STREAM: &str = "feedback-";
/// The name of the button that opens the questions.
const NAME: &str = "feedback";
/// Maximum number of buttons of a message. Some channels show only five.
const BUTTONS_MAX: usize = 5;
/// The highest rating after which the desk offers to collect the messages of the channel.
const LOW_MAX: u8 = 2;
/// The kind of address of short messages. They contain no questions, because each further link costs money.
const PHONE: &str = "phone";
/// The kinds of addresses that the requirements name as answers (requirements/notifications.md, FeedbackCollector).
const USUAL_KINDS: [&str; 3] = ["email", "openid", "dingtalk"];

/// The answers of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub usefulness: Option<u8>,
    pub timing: Option<u8>,
    /// A kind of address, or `in_app`.
    pub channel: Option<String>,
    pub comment: String,
}

/// The reason why the desk does not show the questions or does not store answers.
#[derive(Debug, thiserror::Error)]
pub enum NotGiven {
    #[error("this desk did not create the token")]
    Unknown,
    #[error("the link has expired")]
    Expired,
    #[error("the person must log in")]
    LoginRequired,
    #[error("the link belongs to another person")]
    OtherPerson,
    #[error("feedback was given already")]
    Used,
    #[error("the person is not asked for feedback at the moment")]
    NotAsked,
    #[error("the feedback contains no answer")]
    Empty,
    /// The member with this name is wrong. The second value is an English text.
    #[error("{1}")]
    Wrong(&'static str, String),
    #[error(transparent)]
    Technical(#[from] Error),
}

impl From<ExecuteError<Feedback>> for NotGiven {
    fn from(failure: ExecuteError<Feedback>) -> Self {
        match failure {
            ExecuteError::Rejected(Rejection::AlreadyGiven) => Self::Used,
            ExecuteError::Rejected(Rejection::Empty) => Self::Empty,
            ExecuteError::Rejected(Rejection::NotAsked | Rejection::AskedByOther) => Self::NotAsked,
            ExecuteError::Technical(error) => Self::Technical(error),
        }
    }
}

impl From<NotOwn> for NotGiven {
    fn from(reason: NotOwn) -> Self {
        match reason {
            NotOwn::LoginRequired => Self::LoginRequired,
            NotOwn::OtherPerson => Self::OtherPerson,
        }
    }
}

/// Questions that a person can answer.
#[derive(Clone, Debug)]
pub struct Open {
    /// The name of the stream of the feedback.
    pub stream: String,
    pub asked: Asked,
    /// The possible answers to the question about the channel.
    pub channels: Vec<String>,
}

/// Returns the button that opens the questions, if this notification contains questions. `sent` is the message that
/// contains the button, and `channel` its channel. Urgent messages and messages for operators never contain
/// questions.
pub async fn offered(
    app: &App,
    sent: Sent<'_>,
    requested: &Requested,
    channel: &str,
    language: Language,
    other_buttons: usize,
) -> Result<Option<content::Action>, Error> {
    let notification = sent.notification;
    let policy = app.configuration.notification_policy(DEFAULT_POLICY);
    let one_in = policy
        .await?
        .0
        .as_ref()
        .map_or(0, |one| one.feedback_one_in);
    let is_unsuitable = requested.is_urgent
        || requested.is_critical
        || requested.fact == Fact::EscalationStep
        || matches!(requested.role, Role::Operator | Role::OnCall);
    let kind = channel::find(channel).map_or("", Channel::address_kind);
    if is_unsuitable
        || kind == PHONE
        || other_buttons >= BUTTONS_MAX
        || !feedback::is_sampled(notification, one_in)
    {
        return Ok(None);
    }
    let now = app.ledger.clock.now();
    // All messages of one notification have the same stream, also if they are sent in different months.
    let stream = feedback::stream(&requested.person, requested.at);
    let asked = Asked {
        person: requested.person.clone(),
        notification: notification.to_owned(),
        category: requested.fact.category(),
        kind: kind.to_owned(),
        at: now,
    };
    let command_envelope = CommandEnvelope {
        stream: stream.clone(),
        command_id: command_id(&["ask_feedback", notification]),
        meta: Meta::system(notification, notification),
    };
    let outcome = app
        .ledger
        .execute::<Feedback>(&command_envelope, &Command::Ask(asked), &NoContext)
        .await;
    match outcome {
        Ok(outcome) if outcome.state.given.is_some() => return Ok(None),
        Ok(_) => {}
        Err(ExecuteError::Rejected(_)) => return Ok(None),
        Err(failure) => return Err(failure.unexpected()),
    }
    let value = sign(
        &app.token_keys().await?.newest,
        &stream,
        now.plus_ms(VALID_MS),
        !sent.is_shared,
    );
    let label = match language {
        Language::Chinese => "评价这条通知",
        Language::English => "Rate this message",
    };
    Ok(Some(content::Action {
        name: NAME.to_owned(),
        label: label.to_owned(),
        is_primary: false,
        url: page(app, &value),
        value,
    }))
}

/// Returns the URL of the page with the questions.
fn page(app: &App, token: &str) -> String {
    let site = app.settings.site.trim_end_matches('/');
    format!("{site}/feedback/{token}")
}

/// Returns the URL of the page with the questions, if `value` is the value of a button that opens the questions for
/// this person. A chat platform reports the press of the button, also if another person presses it in a group.
pub async fn page_of_button(
    app: &App,
    value: &str,
    person: &PersonId,
) -> Result<Option<String>, Error> {
    let keys = app.token_keys().await?;
    let Some(claim) = keys.first(|key| read(key, value)) else {
        return Ok(None);
    };
    let asked = load(app, &claim.stream).await?.asked;
    let is_own = asked.is_some_and(|asked| asked.person == *person);
    Ok(is_own.then(|| page(app, value)))
}

/// Checks a token and returns its questions. Stores nothing. `by` is the person who has logged in, see
/// [`check_user`].
pub async fn open(app: &App, token: &str, by: Option<&PersonId>) -> Result<Open, NotGiven> {
    let keys = app.token_keys().await?;
    let Claim {
        stream,
        until,
        is_personal,
    } = keys
        .first(|key| read(key, token))
        .ok_or(NotGiven::Unknown)?;
    let state = load(app, &stream).await?;
    let asked = state.asked.ok_or(NotGiven::Unknown)?;
    check_user(&asked.person, is_personal, by)?;
    if state.given.is_some() {
        return Err(NotGiven::Used);
    }
    if until < app.ledger.clock.now() {
        return Err(NotGiven::Expired);
    }
    opened(app, stream, asked).await
}

/// Returns the questions that a person can answer now: those of this month, or of the month before.
pub async fn open_of(app: &App, person: &PersonId) -> Result<Open, NotGiven> {
    let now = app.ledger.clock.now();
    for at in [now, now.plus_ms(-VALID_MS)] {
        let stream = feedback::stream(person, at);
        let state = load(app, &stream).await?;
        let asked = state.asked.filter(|_| state.given.is_none());
        if let Some(asked) = asked.filter(|asked| now <= asked.at.plus_ms(VALID_MS)) {
            return opened(app, stream, asked).await;
        }
    }
    Err(NotGiven::NotAsked)
}

async fn load(app: &App, stream: &str) -> Result<Feedback, Error> {
    Ok(app.ledger.load::<Feedback>(stream).await?.aggregate.0)
}

async fn opened(app: &App, stream: String, asked: Asked) -> Result<Open, NotGiven> {
    let preferences = preferences::read(app, &asked.person).await?;
    let own = preferences.addresses.keys().map(String::as_str);
    let known: BTreeSet<&str> = USUAL_KINDS.into_iter().collect();
    let further = own.filter(|kind| !known.contains(kind));
    let all = USUAL_KINDS.into_iter().chain(further).chain([IN_APP]);
    Ok(Open {
        stream,
        asked: asked.clone(),
        channels: all.map(str::to_owned).collect(),
    })
}

/// Stores the answers of a person. `correlation` is the id of the request.
pub async fn give(
    app: &App,
    open: &Open,
    answers: Answers,
    origin: Origin,
    correlation: &str,
) -> Result<(), NotGiven> {
    let Answers {
        usefulness,
        timing,
        channel,
        comment,
    } = answers;
    for (member, rating) in [("usefulness", usefulness), ("timing", timing)] {
        if rating.is_some_and(|rating| !(1..=5).contains(&rating)) {
            let reason = format!("`{member}` must be a number from 1 to 5");
            return Err(NotGiven::Wrong(member, reason));
        }
    }
    if channel
        .as_ref()
        .is_some_and(|channel| !open.channels.contains(channel))
    {
        let reason = format!("`channel` must be one of {}", open.channels.join(", "));
        return Err(NotGiven::Wrong("channel", reason));
    }
    let comment = comment.trim();
    if comment.chars().count() > COMMENT_MAX {
        let reason = format!("`comment` must have at most {COMMENT_MAX} characters");
        return Err(NotGiven::Wrong("comment", reason));
    }
    let person = &open.asked.person;
    let given = Given {
        usefulness,
        timing,
        channel,
        comment: (!comment.is_empty()).then(|| Personal::new(person.clone(), comment.into())),
        at: app.ledger.clock.now(),
    };
    let command_envelope = CommandEnvelope {
        stream: open.stream.clone(),
        command_id: app.ledger.fresh_id(),
        meta: Meta {
            actor: person.clone(),
            origin,
            correlation: correlation.to_owned(),
            causation: open.asked.notification.clone(),
            ..Meta::default()
        },
    };
    app.ledger
        .execute::<Feedback>(&command_envelope, &Command::Give(given), &NoContext)
        .await?;
    Ok(())
}

/// Returns true if a rating shows that the messages disturb the person.
fn is_low(usefulness: Option<u8>, timing: Option<u8>) -> bool {
    let ratings = [usefulness, timing];
    ratings
        .into_iter()
        .flatten()
        .any(|rating| rating <= LOW_MAX)
}

/// Returns true if the channel with this kind of address sends a message for each notification.
fn sends_at_once(preferences: &PreferencesChanged, kind: &str) -> bool {
    let choice = preferences.channels.get(kind);
    choice.is_none_or(|choice| choice.frequency == Frequency::Immediate)
}

/// Returns true if the desk offers to collect the messages of the channel, because of the answers of the person.
pub async fn offers_collection(
    app: &App,
    asked: &Asked,
    answers: &Answers,
) -> Result<bool, NotGiven> {
    if !is_low(answers.usefulness, answers.timing) {
        return Ok(false);
    }
    let preferences = preferences::read(app, &asked.person).await?;
    Ok(sends_at_once(&preferences, &asked.kind))
}

/// Collects the messages of the channel from now on, as the desk offered after the feedback. A repetition does nothing. `by`
/// is the person who has logged in.
pub async fn collect(
    app: &App,
    token: &str,
    by: Option<&PersonId>,
    correlation: &str,
) -> Result<(), NotGiven> {
    let keys = app.token_keys().await?;
    let Claim {
        stream,
        until,
        is_personal,
    } = keys
        .first(|key| read(key, token))
        .ok_or(NotGiven::Unknown)?;
    let state = load(app, &stream).await?;
    let asked = state.asked.ok_or(NotGiven::Unknown)?;
    check_user(&asked.person, is_personal, by)?;
    let given = state.given.ok_or(NotGiven::Unknown)?;
    if until < app.ledger.clock.now() {
        return Err(NotGiven::Expired);
    }
    if !is_low(given.usefulness, given.timing) {
        return Err(NotGiven::Unknown);
    }
    let current = preferences::read(app, &asked.person).await?;
    if !sends_at_once(&current, &asked.kind) {
        return Ok(());
    }
    let meta = Meta {
        actor: asked.person.clone(),
        origin: Origin::Web,
        correlation: correlation.to_owned(),
        causation: stream,
        ..Meta::default()
    };
    let advice = Advice::Collect { kind: asked.kind };
    recommendations::store(app, &asked.person, &current, &advice, meta).await?;
    Ok(())
}

/// What a valid token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    /// The name of the stream of the feedback.
    stream: String,
    until: Moment,
    /// True if only the person could read the message. False in tokens of older versions.
    is_personal: bool,
}

fn sign(key: &[u8; 32], stream: &str, until: Moment, is_personal: bool) -> String {
    let mark = if is_personal { PERSONAL } else { "" };
    let id = stream.trim_start_matches(STREAM);
    let text = format!("{}.{id}{mark}", until.0);
    signed_text::sign(key, PURPOSE, &text)
}

/// Returns the claim in a token. Returns `None` if this desk did not create the token. The time is not checked.
fn read(key: &[u8; 32], token: &str) -> Option<Claim> {
    let text = signed_text::read(key, PURPOSE, token)?;
    let (text, is_personal) = match text.strip_suffix(PERSONAL) {
        Some(text) => (text, true),
        None => (text.as_str(), false),
    };
    let (until, id) = text.split_once('.')?;
    Some(Claim {
        stream: format!("{STREAM}{id}"),
        until: Moment(until.parse().ok()?),
        is_personal,
    })
}

/// Returns the label of an answer to the question about the channel.
pub fn channel_label(kind: &str, language: Language) -> String {
    let (chinese, english) = match kind {
        "email" => ("邮件", "E-mail"),
        "wecom" => ("企业微信", "WeCom"),
        "openid" => ("微信", "WeChat"),
        "dingtalk" => ("钉钉", "DingTalk"),
        "feishu" => ("飞书", "Feishu"),
        "slack" => ("Slack", "Slack"),
        "teams" | "teams_user" => ("Teams", "Teams"),
        "phone" => ("短信", "Text message"),
        "fcm" | "apns" => ("手机推送", "Mobile push"),
        "blueking" => ("企业消息", "Company messages"),
        IN_APP => ("应用内", "Inbox of the desk only"),
        other => (other, other),
    };
    match language {
        Language::Chinese => chinese.to_owned(),
        Language::English => english.to_owned(),
    }
}

/// The texts of the three questions in one language: usefulness, timing and channel (requirements/notifications.md,
/// FeedbackCollector).
pub fn questions(language: Language) -> [&'static str; 3] {
    match language {
        Language::Chinese => [
            "这条通知对您有用吗？",
            "通知的发送时间是否合适？",
            "您更喜欢通过哪种渠道接收此类通知？",
        ],
        Language::English => [
            "Was this notification useful for you?",
            "Was the time of the message suitable?",
            "Through which channel do you prefer to get such notifications?",
        ],
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_token_is_bound_to_its_desk_and_its_questions() {
        let stream = format!("{STREAM}0123456789abcdef0123456789abcdef");
        let claim = |is_personal| Claim {
            stream: stream.clone(),
            until: Moment(100),
            is_personal,
        };
        let shared = sign(&[1; 32], &stream, Moment(100), false);
        assert_eq!(read(&[1; 32], &shared), Some(claim(false)));
        let token = sign(&[1; 32], &stream, Moment(100), true);
        assert!(token.len() <= 200, "{}", token.len());
        assert_eq!(read(&[1; 32], &token), Some(claim(true)));
        assert_eq!(read(&[2; 32], &token), None, "another desk");
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(&token).unwrap()).unwrap();
        for (from, to) in [(".100.", ".900."), (".0123", ".1123"), ("cdef.+", "cdef.-")] {
            assert!(plain.contains(from), "{plain}");
            let forged = URL_SAFE_NO_PAD.encode(plain.replacen(from, to, 1));
            assert_eq!(read(&[1; 32], &forged), None, "{from}");
        }
        let long = "a".repeat(400);
        for wrong in ["", "x", &token[1..], "AAAA", "我", &long] {
            assert_eq!(read(&[1; 32], wrong), None, "{wrong}");
        }
    }
}
