//! Handles the onboarding of people in the API `/v1`: four steps that lead from an address to the advanced settings of
//! notifications.

use domain::notification::onboarding::State;
use domain::permission::Operation as Permission;
use events::app::Scope;
use events::onboarding::Step;
use serde::Serialize;

use super::notifications::permitted;
use super::problem::{ApiResult, Problem};
use super::reply::ok;
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, get, post, segments};
use super::shape::quoted;
use crate::app::notifications::onboarding::{self, Overview};
use crate::app::people::one_name;

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/people/{person}/onboarding",
        "shows the steps of the onboarding and the next one; for this person and superusers",
    )
    .returning::<ShownOnboarding>(),
    post(
        "/v1/people/{person}/onboarding/{step}/skip",
        "skips a step of the onboarding; for this person and superusers",
        &[],
    )
    .returning::<ShownOnboarding>(),
    post(
        "/v1/people/{person}/onboarding/{step}/resume",
        "offers a skipped step again; for this person and superusers",
        &[],
    )
    .returning::<ShownOnboarding>(),
];

/// The onboarding of a person (requirements/notifications.md, UserOnboarding).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Onboarding"))]
struct ShownOnboarding {
    user_id: String,
    steps: Vec<OnboardingStep>,
    /// The name of the next step. Null if all steps are done or skipped.
    next: Option<&'static str>,
    /// The numbers of the steps that are done, such as `step_1`.
    onboarding_completed: Vec<String>,
}

/// A step of the onboarding.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OnboardingStep {
    /// The number of the step, such as `step_1`.
    id: String,
    /// `setup_basic_notifications`, `configure_preferred_channels`, `customize_notification_rules` or
    /// `enable_advanced_features`.
    name: &'static str,
    /// The title in the language of the person.
    title: &'static str,
    /// What the person does in this step.
    text: &'static str,
    /// `open`, `done` or `skipped`.
    state: &'static str,
    facts: Vec<OnboardingFact>,
}

/// A fact that belongs to a step.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OnboardingFact {
    name: &'static str,
    is_true: bool,
}

/// The operations on the onboarding, and the function that handles them.
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
            [_, person, _] => one(request, person).await,
            [_, person, _, step, operation] => {
                change(request, person, step, *operation == "skip").await
            }
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn one(request: Asked, person: &str) -> ApiResult {
    let app = &request.app;
    let found = app.people.find(person).await?;
    permitted(&request, Permission::ReadPerson, &found).await?;
    let overview = onboarding::overview(app, &found).await?;
    Ok(ok(&shown(person, &overview)))
}

async fn change(request: Asked, person: &str, step: &str, is_skipped: bool) -> ApiResult {
    let app = &request.app;
    let name = one_name(person)
        .ok_or_else(|| Problem::not_found(format!("{} is not a user name", quoted(person))))?;
    let step = Step::read(step).ok_or_else(|| {
        Problem::not_found(format!("the onboarding has no step {}", quoted(step)))
    })?;
    let found = app.people.find(name).await?;
    let actor = permitted(&request, Permission::ChangePerson, &found).await?;
    let pid = app.people.pid(name).await?;
    let actor = if actor == found { pid.clone() } else { actor };
    let meta = request.meta(actor);
    let overview = onboarding::change(app, &pid, step, is_skipped, meta).await?;
    Ok(ok(&shown(name, &overview)))
}

fn shown(person: &str, overview: &Overview) -> ShownOnboarding {
    let steps: Vec<OnboardingStep> = (1..)
        .zip(&overview.steps)
        .map(|(number, one)| {
            let number: u32 = number;
            let (title, text) = onboarding::texts(one.step, overview.language);
            OnboardingStep {
                id: format!("step_{number}"),
                name: one.step.name(),
                title,
                text,
                state: match one.state {
                    State::Open => "open",
                    State::Done => "done",
                    State::Skipped => "skipped",
                },
                facts: one
                    .facts
                    .iter()
                    .map(|fact| OnboardingFact {
                        name: fact.name,
                        is_true: fact.is_true,
                    })
                    .collect(),
            }
        })
        .collect();
    let done = steps.iter().filter(|step| step.state == "done");
    ShownOnboarding {
        user_id: person.to_owned(),
        onboarding_completed: done.map(|step| step.id.clone()).collect(),
        next: overview.next.map(Step::name),
        steps,
    }
}
