//! Marks notifications as outdated when the work to which they refer progresses, and writes the texts that show the
//! progress.

use std::collections::BTreeMap;

use domain::intent::MarkOutdated;
use domain::notification::content::Content;
use domain::notification::{Command, Notification};
use domain::views::Card as _;
use events::Meta;
use events::channel_account::Defined;
use events::notification::{Outdated, Progress, Requested};
use events::person::Language;
use events::task_type::Repetition;
use infra::Error;
use infra::channel::{self, Updates};
use infra::ledger::command_id;
use infra::views::Range;

use super::notify::is_too_old;
use crate::App;
use crate::app::cards::{documents_of, stored_card};

/// Maximum number of notifications of one ticket that one event marks. The newest notifications are marked.
const NOTIFICATIONS_MAX: usize = 500;

/// Marks the notifications that an event of a ticket makes outdated. `id` identifies this call. The list of
/// notifications comes from a view (a table that is updated after each commit). A notification that is missing in the
/// list has checked the ticket after this event, so its messages are current. An event that is older than one day marks
/// nothing: the desk reads all events again after a loss of the views.
pub async fn mark(app: &App, id: &str, mark: MarkOutdated) -> Result<(), Error> {
    if mark.at.is_some_and(|at| is_too_old(app, at)) {
        return Ok(());
    }
    let (from, to) = (format!("{}|", mark.ticket), format!("{}|~", mark.ticket));
    let range = Range {
        view: Notification::VIEW,
        index: "ticket",
        from: &from,
        to: &to,
        descending: true,
        skip: 0,
        limit: NOTIFICATIONS_MAX,
    };
    let meta = Meta::system(mark.correlation.clone(), mark.cause.clone());
    let keys = app.views.range(range).await?.into_iter();
    let found = documents_of(app, Notification::VIEW, keys.map(|entry| entry.key)).await?;
    for (stream, document) in found {
        let Some(document) = document else { continue };
        // The fact of a notification never changes, so the stored card is as good as the ledger.
        let card: Notification = stored_card(&stream, &document)?;
        if !card.requested.is_some_and(|one| concerns(&mark, &one)) {
            continue;
        }
        let command = Command::MarkOutdated(Outdated {
            to: mark.to,
            by: mark.by.clone(),
            at: mark.at,
        });
        let id = command_id(&["outdated", id, &stream]);
        app.must_execute::<Notification>(&stream, id, meta.clone(), &command)
            .await?;
    }
    Ok(())
}

/// Returns true if the event makes the messages about this fact outdated.
fn concerns(mark: &MarkOutdated, requested: &Requested) -> bool {
    let is_of_node = mark.node.is_none_or(|(node, round)| {
        requested.node == Some(node) && (requested.round == round || round == 0)
    });
    let is_of_person = mark
        .person
        .as_ref()
        .is_none_or(|person| *person == requested.person);
    requested.fact.is_work() && is_of_node && is_of_person
}

/// Returns true if the channel with the given name can replace a message that it has sent. Its account can forbid it.
pub fn is_updatable(channel: &str) -> bool {
    // The settings of the account are unknown here, so the question is whether any account of the channel can do this.
    let account = Defined {
        name: String::new(),
        channel: channel.to_owned(),
        is_enabled: true,
        per_minute: None,
        repetition: Repetition::default(),
        settings: BTreeMap::from([("buttons".to_owned(), true.into())]),
    };
    channel::find(channel).is_some_and(|codec| codec.updates(&account) != Updates::Never)
}

/// Returns a short text that shows how far the work is. `by` is the name of the person who acted.
pub fn wording(to: Progress, by: Option<&str>, language: Language) -> String {
    match (language, to, by) {
        (Language::Chinese, Progress::Acknowledged, Some(by)) => format!("已由{by}确认"),
        (Language::Chinese, Progress::Acknowledged, None) => "已确认".into(),
        (Language::Chinese, Progress::Done, Some(by)) => format!("已由{by}处理"),
        (Language::Chinese, Progress::Done, None) => "已处理".into(),
        (Language::Chinese, Progress::Ended, _) => "工单已结束".into(),
        (Language::English, Progress::Acknowledged, Some(by)) => format!("Acknowledged by {by}"),
        (Language::English, Progress::Acknowledged, None) => "Acknowledged".into(),
        (Language::English, Progress::Done, Some(by)) => format!("Done by {by}"),
        (Language::English, Progress::Done, None) => "Done".into(),
        (Language::English, Progress::Ended, _) => "The ticket has ended".into(),
    }
}

/// Adds the progress to the content of a sent message.
pub fn show(content: &mut Content, state: &str, language: Language) {
    let label = match language {
        Language::Chinese => "进展",
        Language::English => "Progress",
    };
    content
        .values
        .insert(0, (label.to_owned(), state.to_owned()));
    if !content.body.is_empty() {
        content.body.insert(0, state.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_channels_can_replace_their_messages() {
        for channel in ["slack", "feishu", "teams_bot", "wecom_app", "dingtalk_card"] {
            assert!(is_updatable(channel), "{channel}");
        }
        for channel in ["email", "slack_webhook", "dingtalk_robot", "sms", "none"] {
            assert!(!is_updatable(channel), "{channel}");
        }
    }

    #[test]
    fn the_progress_names_the_person_who_acted() {
        let text = |to, by, language| wording(to, by, language);
        assert_eq!(
            text(Progress::Acknowledged, Some("zhangsan"), Language::Chinese),
            "已由zhangsan确认"
        );
        assert_eq!(
            text(Progress::Done, Some("zhangsan"), Language::English),
            "Done by zhangsan"
        );
        assert_eq!(text(Progress::Ended, None, Language::Chinese), "工单已结束");
    }
}
