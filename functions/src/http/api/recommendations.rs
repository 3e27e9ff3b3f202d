//! Handles recommendations for notification settings in the API `/v1`. People get recommendations from their own
//! answers and apply them with one request. Superusers get rules for the notification policy.

use domain::notification::recommend::{Advice, Recommendation, RuleAdvice};
use domain::permission::Operation as Permission;
use events::app::Scope;
use events::person::Language;
use serde::Serialize;

use super::admin::reads_operations;
use super::notifications::permitted;
use super::problem::{ApiResult, Problem};
use super::reply::ok;
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, get, post, segments};
use super::shape::quoted;
use crate::app::notifications::feedback::channel_label;
use crate::app::notifications::recommendations::{self, ForPerson, ForPolicy, toml_of};
use crate::app::notifications::{message, preferences};

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/people/{person}/notification-recommendations",
        "recommends settings from the past answers of a person; for this person and superusers",
    )
    .returning::<Recommendations>(),
    post(
        "/v1/people/{person}/notification-recommendations/{recommendation}/apply",
        "changes the preferences of the person as recommended; for this person and superusers",
        &[],
    )
    .returning::<Recommendations>(),
    get(
        "/v1/reports/notification-recommendations",
        "recommends rules for the notification policy; for superusers",
    )
    .returning::<RuleRecommendations>(),
];

/// The recommendations to a person.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Recommendations {
    /// The number of notifications from which the recommendations were computed: at most the newest 200.
    notifications: usize,
    recommendations: Vec<ShownRecommendation>,
}

/// A recommendation with its evidence.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "Recommendation")
)]
struct ShownRecommendation {
    id: String,
    /// `collect`: one message at fixed times. `leave_out`: no messages about the category on the channel.
    advice: &'static str,
    /// The kind of address of the channel.
    channel: String,
    category: Option<&'static str>,
    /// The number of messages that a provider accepted.
    sent: u32,
    /// How many of their notifications the person read or used.
    answered: u32,
    /// The recommendation with its evidence in the language of the person.
    text: String,
    /// The path to which `POST` applies the recommendation.
    apply: String,
}

/// Rules that the notification policy should get.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RuleRecommendations {
    /// The number of notifications from which the rules were computed: at most the newest 2,000.
    notifications: usize,
    rules: Vec<RuleRecommendation>,
}

/// A recommended rule with its evidence.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RuleRecommendation {
    channel: String,
    category: &'static str,
    sent: u32,
    answered: u32,
    people: usize,
    /// The rule for the file of `--accounts`.
    toml: String,
}

/// The operations on recommendations, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match segments(&call.path).as_slice() {
            ["reports", _] => of_policy(request).await,
            [_, person, _] => of_person(request, person).await,
            [_, person, _, id, _] => apply(request, person, id).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn of_person(request: Asked, person: &str) -> ApiResult {
    let app = &request.app;
    let found = app.people.find(person).await?;
    permitted(&request, Permission::ReadPerson, &found).await?;
    let language = preferences::read(app, &found).await?.language;
    let recommended = recommendations::of_person(app, &found).await?;
    Ok(ok(&shown(recommended, person, language)))
}

async fn apply(request: Asked, person: &str, id: &str) -> ApiResult {
    let app = &request.app;
    let found = app.people.find(person).await?;
    let actor = permitted(&request, Permission::ChangePerson, &found).await?;
    let meta = request.meta(actor);
    let changed = recommendations::apply(app, &found, id, meta).await?;
    let changed = changed.ok_or_else(|| {
        let id = quoted(id);
        Problem::not_found(format!(
            "{id} is not recommended to this person at the moment"
        ))
    })?;
    let recommended = recommendations::of_person(app, &found).await?;
    Ok(ok(&shown(recommended, person, changed.language)))
}

fn shown(found: ForPerson, person: &str, language: Language) -> Recommendations {
    let ForPerson {
        recommendations,
        notifications,
    } = found;
    let recommendations = recommendations.into_iter();
    Recommendations {
        notifications,
        recommendations: recommendations
            .map(|one| shown_one(&one, person, language))
            .collect(),
    }
}

fn shown_one(one: &Recommendation, person: &str, language: Language) -> ShownRecommendation {
    let (advice, category) = match &one.advice {
        Advice::Collect { .. } => ("collect", None),
        Advice::LeaveOut { category, .. } => ("leave_out", Some(*category)),
    };
    let channel = channel_label(one.advice.kind(), language);
    let (sent, answered) = (one.sent, one.answered);
    let category_name = category.map(|category| message::category_label(category, language));
    let text = match (language, category_name) {
        (Language::Chinese, None) => format!(
            "{channel}发送了 {sent} 条通知，您只处理了 {answered} 条。建议改为在固定时间合并发送。"
        ),
        (Language::Chinese, Some(category)) => format!(
            "{channel}发送了 {sent} 条“{category}”通知，您只处理了 {answered} 条。建议此类通知只保留在收件箱中。"
        ),
        (Language::English, None) => format!(
            "You answered {answered} of {sent} notifications by {channel}: collect them in one message at fixed times."
        ),
        (Language::English, Some(category)) => format!(
            "You answered {answered} of {sent} notifications by {channel} about \"{category}\": keep them in the inbox only."
        ),
    };
    let id = one.advice.id();
    ShownRecommendation {
        apply: format!("/v1/people/{person}/notification-recommendations/{id}/apply"),
        id,
        advice,
        channel: one.advice.kind().to_owned(),
        category: category.map(events::preference::Category::name),
        sent,
        answered,
        text,
    }
}

async fn of_policy(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let ForPolicy {
        rules,
        notifications,
    } = recommendations::of_policy(&request.app).await?;
    let shown = |rule: RuleAdvice| RuleRecommendation {
        toml: toml_of(&rule),
        channel: rule.channel,
        category: rule.category.name(),
        sent: rule.sent,
        answered: rule.answered,
        people: rule.people,
    };
    Ok(ok(&RuleRecommendations {
        notifications,
        rules: rules.into_iter().map(shown).collect(),
    }))
}
