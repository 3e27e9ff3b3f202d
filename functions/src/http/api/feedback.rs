//! Handles the feedback of people on notifications in the API `/v1`. People answer the questions of a notification, and
//! superusers read a report.

use domain::notification::feedback::Ratings;
use domain::permission::Operation as Permission;
use events::app::Scope;
use events::person::Language;
use events::preference::Category;
use events::{Moment, PersonId};
use serde::Serialize;

use super::admin::reads_operations;
use super::notifications::permitted;
use super::problem::{ApiResult, Problem};
use super::reply::{Time, done, ok, time};
use super::request::Asked;
use super::resource::{Answer, Asks, Call, EMPTY, Operation, Resource, get, list, post, segments};
use super::shape::{Shape, optional};
use crate::App;
use crate::app::notifications::feedback::{self, Answers, NotGiven};
use crate::app::notifications::feedback_report::{self, Comment, Figures, Report};
use crate::app::notifications::preferences;

const RATING: Shape = Shape::Integer(1, 5);
/// The period of a report without `from`, in milliseconds: 30 days.
const PERIOD_MS: i64 = 30 * 24 * 3_600_000;

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/people/{person}/notification-feedback",
        "shows the questions about a notification that the person can answer now; for this person and superusers",
    )
    .returning::<FeedbackRequest>(),
    post(
        "/v1/people/{person}/notification-feedback",
        "stores the answers of the person; for this person only",
        &[
            optional("usefulness", RATING),
            optional("timing", RATING),
            optional("channel", Shape::Text),
            optional("comment", Shape::Text),
        ],
    )
    .answering(EMPTY),
    list(
        "/v1/reports/feedback",
        "summarizes the feedback on notifications in a period, by default the last 30 days; for superusers",
        &[("from", Asks::Time), ("until", Asks::Time)],
    )
    .returning::<FeedbackReport>(),
];

/// The questions about a notification (requirements/notifications.md, FeedbackCollector).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FeedbackRequest {
    user_id: String,
    /// The id of the notification.
    notification_id: String,
    /// The time at which a message asked the person.
    timestamp: Time,
    questions: Vec<FeedbackQuestion>,
}

/// One question.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FeedbackQuestion {
    /// `usefulness`, `timing` or `channel`.
    id: &'static str,
    /// The question in the language of the person.
    text: &'static str,
    /// `rating` or `single_choice`.
    r#type: &'static str,
    /// The highest rating. The lowest rating is 1.
    scale: Option<u8>,
    options: Option<Vec<FeedbackOption>>,
}

/// A possible answer to the question about the channel.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FeedbackOption {
    /// A kind of address, or `in_app`.
    value: String,
    text: String,
}

/// The report on the feedback of people.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FeedbackReport {
    from: Time,
    until: Time,
    /// False if the report counts only the newest 5,000 questions of the period.
    is_complete: bool,
    all: FeedbackFigures,
    categories: Vec<FeedbackOfCategory>,
    /// How often people prefer each channel.
    channels: Vec<PreferredChannel>,
    /// The newest comments, without names.
    comments: Vec<FeedbackComment>,
}

/// The figures of one category, or of all categories.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FeedbackFigures {
    /// The number of people who were asked.
    asked: u64,
    /// The number of people who answered.
    answered: u64,
    usefulness: RatingFigures,
    timing: RatingFigures,
}

/// The ratings of one question.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RatingFigures {
    /// The number of each rating, from 1 to 5.
    counts: Vec<u64>,
    /// Null without ratings.
    average: Option<f64>,
}

/// The figures of one category.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FeedbackOfCategory {
    category: &'static str,
    #[serde(flatten)]
    figures: FeedbackFigures,
}

/// How often people prefer a channel.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PreferredChannel {
    /// A kind of address, or `in_app`.
    channel: String,
    count: u64,
}

/// A comment of a person.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FeedbackComment {
    at: Time,
    category: &'static str,
    usefulness: Option<u8>,
    text: String,
}

/// The operations on feedback, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match (call.method.as_str(), segments(&call.path).as_slice()) {
            ("POST", ["people", person, _]) => give(request, person).await,
            (_, ["people", person, _]) => open(request, person).await,
            (_, ["reports", _]) => report(request).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn open(request: Asked, person: &str) -> ApiResult {
    let app = &request.app;
    let person: PersonId = app.people.find(person).await?;
    permitted(&request, Permission::ReadPerson, &person).await?;
    let open = feedback::open_of(app, &person).await.map_err(problem)?;
    let language = preferences::read(app, &person).await?.language;
    let [usefulness, timing, channel] = feedback::questions(language);
    let rating = |id, text| FeedbackQuestion {
        id,
        text,
        r#type: "rating",
        scale: Some(5),
        options: None,
    };
    let notification_id = open.asked.notification.trim_start_matches("notification-");
    Ok(ok(&FeedbackRequest {
        user_id: app.people.name(&person).await?,
        notification_id: notification_id.to_owned(),
        timestamp: time(app, open.asked.at),
        questions: vec![
            rating("usefulness", usefulness),
            rating("timing", timing),
            FeedbackQuestion {
                id: "channel",
                text: channel,
                r#type: "single_choice",
                scale: None,
                options: Some(options(&open.channels, language)),
            },
        ],
    }))
}

fn options(channels: &[String], language: Language) -> Vec<FeedbackOption> {
    let option = |kind: &String| FeedbackOption {
        value: kind.clone(),
        text: feedback::channel_label(kind, language),
    };
    channels.iter().map(option).collect()
}

async fn give(request: Asked, person: &str) -> ApiResult {
    let app = &request.app;
    let person: PersonId = app.people.find(person).await?;
    let actor = permitted(&request, Permission::ChangePerson, &person).await?;
    if actor != person {
        let detail = "only the person may give feedback";
        return Err(Problem::denied(Permission::ChangePerson, detail));
    }
    let rating = |key: &str| -> Result<Option<u8>, Problem> {
        Ok(request
            .int(key)?
            .and_then(|rating| u8::try_from(rating).ok()))
    };
    let answers = Answers {
        usefulness: rating("usefulness")?,
        timing: rating("timing")?,
        channel: request.text("channel")?,
        comment: request.text("comment")?.unwrap_or_default(),
    };
    let open = feedback::open_of(app, &person).await.map_err(problem)?;
    let meta = request.meta(actor);
    feedback::give(app, &open, answers, meta.origin, &meta.correlation)
        .await
        .map_err(problem)?;
    Ok(done())
}

fn problem(reason: NotGiven) -> Problem {
    match reason {
        NotGiven::Technical(error) => error.into(),
        NotGiven::Unknown
        | NotGiven::NotAsked
        | NotGiven::Expired
        | NotGiven::LoginRequired
        | NotGiven::OtherPerson => {
            Problem::not_found("this person is not asked for feedback at the moment")
        }
        NotGiven::Used => Problem::conflict("the person has given this feedback already"),
        NotGiven::Empty => Problem::malformed(
            "/usefulness",
            "at least one answer or a `comment` is required",
        ),
        NotGiven::Wrong(member, reason) => Problem::malformed(&format!("/{member}"), reason),
    }
}

/// Returns the period of a report: `from` (inclusive) and `until` (exclusive). The default is the last 30 days.
pub(super) fn period(request: &Asked) -> Result<(Moment, Moment), Problem> {
    // The current millisecond belongs to the default period.
    let now = request.app.ledger.clock.now();
    let until = request.moment("until").unwrap_or_else(|| now.plus_ms(1));
    let from = request
        .moment("from")
        .unwrap_or_else(|| until.plus_ms(-PERIOD_MS));
    if from >= until {
        return Err(Problem::malformed("from", "`from` must be before `until`"));
    }
    Ok((from, until))
}

async fn report(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let app = &request.app;
    let (from, until) = period(&request)?;
    let Report {
        all,
        categories,
        channels,
        comments,
        is_complete,
    } = feedback_report::report(app, from, until).await?;
    let of_category = |(category, figures): (Category, Figures)| FeedbackOfCategory {
        category: category.name(),
        figures: shown(figures),
    };
    let preferred = |(channel, count)| PreferredChannel { channel, count };
    Ok(ok(&FeedbackReport {
        from: time(app, from),
        until: time(app, until),
        is_complete,
        all: shown(all),
        categories: categories.into_iter().map(of_category).collect(),
        channels: channels.into_iter().map(preferred).collect(),
        comments: comments
            .into_iter()
            .map(|one| shown_comment(app, one))
            .collect(),
    }))
}

fn shown(figures: Figures) -> FeedbackFigures {
    FeedbackFigures {
        asked: figures.asked,
        answered: figures.answered,
        usefulness: ratings(figures.usefulness),
        timing: ratings(figures.timing),
    }
}

fn ratings(ratings: Ratings) -> RatingFigures {
    RatingFigures {
        counts: ratings.0.to_vec(),
        average: ratings.average(),
    }
}

fn shown_comment(app: &App, comment: Comment) -> FeedbackComment {
    FeedbackComment {
        at: time(app, comment.at),
        category: comment.category.name(),
        usefulness: comment.usefulness,
        text: comment.text,
    }
}
