//! Leads a person through the four steps of the onboarding. The state of a step is derived from the preferences and the
//! messages of the person, so the onboarding continues where the person stopped.

use domain::notification::onboarding::{Command, Known, Onboarding, State, checks, stream};
use domain::notification::person::Person;
use domain::notification::suppression::is_suppressed;
use events::onboarding::Step;
use events::person::Language;
use events::{Meta, PersonId};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};

use super::{addresses, history, identities};
use crate::App;

/// A fact that belongs to a step, and whether it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    pub name: &'static str,
    pub is_true: bool,
}

/// A step of the onboarding of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub step: Step,
    pub state: State,
    pub facts: Vec<Fact>,
}

/// The onboarding of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    pub language: Language,
    pub steps: Vec<Shown>,
    /// The step that the person should do next. `None` if all steps are done or skipped.
    pub next: Option<Step>,
}

/// Returns the onboarding of a person.
pub async fn overview(app: &App, person: &PersonId) -> Result<Overview, Error> {
    let state = app.ledger.load::<Onboarding>(&stream(person)).await?;
    overview_of(app, person, &state.aggregate.0).await
}

/// Skips a step, or offers it again, and returns the onboarding. A repetition does nothing.
pub async fn change(
    app: &App,
    person: &PersonId,
    step: Step,
    is_skipped: bool,
    meta: Meta,
) -> Result<Overview, Error> {
    let by = meta.actor.clone();
    let command = if is_skipped {
        Command::Skip { step, by }
    } else {
        Command::Resume { step, by }
    };
    let command_envelope = CommandEnvelope {
        stream: stream(person),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let outcome = app
        .ledger
        .execute::<Onboarding>(&command_envelope, &command, &NoContext)
        .await
        .map_err(ExecuteError::unexpected)?;
    overview_of(app, person, &outcome.state).await
}

async fn overview_of(
    app: &App,
    person: &PersonId,
    onboarding: &Onboarding,
) -> Result<Overview, Error> {
    let Person(preferences, suppressed) = addresses::person(app, person).await?;
    let (mut has_usable_address, mut has_linked_account) = (false, false);
    for (kind, address) in preferences.iter().flat_map(|one| &one.addresses) {
        let text = address.value.as_str();
        let is_usable = !is_suppressed(&suppressed, address, Some(kind.as_str()));
        has_usable_address |= text.is_some() && is_usable;
        if let Some(text) = text.filter(|_| !has_linked_account) {
            let linked = identities::person_of(app, kind, text).await?;
            has_linked_account = linked.as_ref() == Some(person);
        }
    }
    let last = history::of_person(app, person).await?;
    let is_accepted = last
        .iter()
        .any(|one| one.ended.iter().any(|end| end.is_accepted));
    let known = Known {
        preferences: preferences.as_ref(),
        has_usable_address,
        is_reached: is_accepted || has_linked_account,
        has_answered: last.iter().any(|one| one.answered_at.is_some()),
        has_linked_account,
    };
    let shown = |step: Step| {
        let facts = checks(step).0.iter().map(|check| Fact {
            name: check.name(),
            is_true: check.is_true(&known),
        });
        Shown {
            step,
            state: onboarding.state(step, &known),
            facts: facts.collect(),
        }
    };
    Ok(Overview {
        language: preferences
            .as_ref()
            .map(|one| one.language)
            .unwrap_or_default(),
        steps: Step::ALL.into_iter().map(shown).collect(),
        next: onboarding.next(&known),
    })
}

/// Returns the title of a step, and what the person does in it.
pub fn texts(step: Step, language: Language) -> (&'static str, &'static str) {
    let (chinese, english) = match step {
        Step::SetupBasicNotifications => (
            (
                "设置基本通知",
                "填写一个通知地址，并确认能收到通知：收到第一条通知后，在收件箱中打开，或点击消息中的按钮。",
            ),
            (
                "Set up basic notifications",
                "Store an address. When the first message arrives, read it in the inbox or press one of its buttons.",
            ),
        ),
        Step::ConfigurePreferredChannels => (
            ("配置首选渠道", "为各渠道选择立即发送、合并发送或关闭。"),
            (
                "Configure preferred channels",
                "Choose for each channel: messages at once, one message at fixed times, or no messages.",
            ),
        ),
        Step::CustomizeNotificationRules => (
            (
                "自定义通知规则",
                "选择通知的分类和合并时间，或设置免打扰时段、工作日历。",
            ),
            (
                "Customize notification rules",
                "Choose categories and batch times, or set quiet hours or a working calendar.",
            ),
        ),
        Step::EnableAdvancedFeatures => (
            (
                "启用高级功能",
                "绑定聊天账号，连接日历，或选择是否合并通知、是否学习发送时间。",
            ),
            (
                "Enable advanced features",
                "Link a chat account, connect your calendar, or decide about digests and learned times.",
            ),
        ),
    };
    match language {
        Language::Chinese => chinese,
        Language::English => english,
    }
}
