//! Writes the name of a chat group and the messages to it, in the language that the notification policy chooses. A text for
//! a group contains the name of no person: it stays on the platform after a person was erased at the desk.

use domain::notification::content::{Content, Link, labelled, one_line};
use domain::ticket::{Status, Ticket};
use events::TicketSn;
use events::notification::Fact;
use events::person::Language;
use infra::Error;

use super::message::{self, texts};
use crate::App;

/// Returns the name of the group: the number of the ticket, and its title if the title is not confidential. A mark in front
/// of the name shows that the ticket is suspended.
pub(super) fn name(sn: &TicketSn, ticket: &Ticket, language: Language) -> String {
    let mark = match (language, ticket.status) {
        (Language::Chinese, Status::Suspended) => "【已挂起】",
        (Language::English, Status::Suspended) => "[Suspended] ",
        _ => "",
    };
    format!("{mark}{}", plain_name(sn, ticket))
}

/// Returns the last name of a group that stays on the platform.
pub(super) fn closed_name(sn: &TicketSn, ticket: &Ticket, language: Language) -> String {
    let mark = match language {
        Language::Chinese => "【已关闭】",
        Language::English => "[Closed] ",
    };
    format!("{mark}{}", plain_name(sn, ticket))
}

fn plain_name(sn: &TicketSn, ticket: &Ticket) -> String {
    let name = format!("{sn} {}", message::title(ticket));
    name.trim_end().to_owned()
}

/// Returns the message about a fact, or the message that introduces the ticket if `fact` is `None`. The message about a
/// confidential ticket contains only its number and the link.
pub async fn content(
    app: &App,
    sn: &TicketSn,
    ticket: &Ticket,
    fact: Option<Fact>,
    language: Language,
) -> Result<Content, Error> {
    let texts = texts(language);
    let (subject, intro) = wording(fact, language);
    let title = message::title(ticket);
    let mut values = vec![(texts.title, title.clone()), (texts.number, sn.to_string())];
    if let Some(opened) = ticket.opened.as_ref().filter(|opened| !opened.seals_text) {
        values.push((texts.service, one_line(&opened.service_name)));
        if let Some(priority) = ticket.priority() {
            let name = message::priority(app, &priority.key).await?;
            values.push((texts.priority, one_line(&name)));
        }
        let nodes: Vec<&str> = ticket.current().map(|(_, run)| run.name.as_str()).collect();
        values.push((texts.node, one_line(&nodes.join(", "))));
    }
    let values = values.into_iter().filter(|(_, value)| !value.is_empty());
    let subject = if title.is_empty() {
        labelled(subject, sn.as_str())
    } else {
        labelled(subject, &title)
    };
    let site = app.settings.site.trim_end_matches('/');
    Ok(Content {
        subject,
        intro: intro.to_owned(),
        values: values
            .map(|(label, value)| (label.to_owned(), value))
            .collect(),
        body: Vec::new(),
        link: Link {
            text: texts.link.into(),
            url: format!("{site}/tickets/{sn}"),
        },
        closing: closing(language).to_owned(),
        thread: sn.to_string(),
        actions: Vec::new(),
    })
}

fn closing(language: Language) -> &'static str {
    match language {
        Language::Chinese => "群成员随工单的处理人、关注人和提单人变化。",
        Language::English => {
            "The members of this group follow the processors, the followers and the creator of the ticket."
        }
    }
}

/// Returns the subject and the first sentence of a message.
fn wording(fact: Option<Fact>, language: Language) -> (&'static str, &'static str) {
    let (chinese, english) = match fact {
        None => (
            ("工单讨论群", "请在本群讨论以下工单。处理结果请写入工单。"),
            (
                "Chat group of a ticket",
                "Please discuss the ticket below in this group. Please write the results into the ticket.",
            ),
        ),
        Some(Fact::Progressed) => (
            ("工单有新进展", "工单已进入下一个节点。"),
            ("Ticket updated", "The ticket has reached its next step."),
        ),
        Some(Fact::Escalated) => (
            ("工单升级", "工单已升级。"),
            ("Ticket escalated", "The ticket was escalated."),
        ),
        Some(Fact::Suspended) => (
            ("工单已挂起", "工单已被挂起。"),
            ("Ticket suspended", "The ticket was suspended."),
        ),
        Some(Fact::Resumed) => (
            ("工单已恢复", "工单已恢复处理。"),
            ("Ticket resumed", "Work on the ticket continues."),
        ),
        Some(Fact::Changed) => (
            ("工单内容有变更", "工单的内容或优先级有变更。"),
            (
                "Ticket changed",
                "The content or the priority of the ticket has changed.",
            ),
        ),
        Some(Fact::Commented) => (
            ("工单有新评论", "工单有一条新评论。"),
            ("New comment", "The ticket has a new comment."),
        ),
        Some(Fact::NodeFailed) => (
            ("自动节点执行失败", "工单的自动节点执行失败，需要人工处理。"),
            (
                "Automatic step failed",
                "An automatic step of the ticket failed, and a person must decide.",
            ),
        ),
        Some(Fact::Finished) => (
            ("工单已结束", "工单已结束，本群即将关闭。"),
            (
                "Ticket closed",
                "The ticket has ended. This group will be closed.",
            ),
        ),
        Some(Fact::Terminated) => (
            ("工单被终止", "工单被终止，本群即将关闭。"),
            (
                "Ticket terminated",
                "The ticket was ended before its workflow was finished. This group will be closed.",
            ),
        ),
        // These facts concern single people, so a group gets no messages about them.
        Some(other) => {
            let wording = |language| message::wording(other, language);
            (wording(Language::Chinese), wording(Language::English))
        }
    };
    match language {
        Language::Chinese => chinese,
        Language::English => english,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(status: Status) -> Ticket {
        Ticket {
            status,
            ..Ticket::default()
        }
    }

    #[test]
    fn the_name_shows_the_state_of_the_ticket_in_both_languages() {
        let sn = TicketSn("REQ1".into());
        for (status, chinese, english) in [
            (Status::Running, "REQ1", "REQ1"),
            (Status::Suspended, "【已挂起】REQ1", "[Suspended] REQ1"),
        ] {
            let ticket = ticket(status);
            assert_eq!(name(&sn, &ticket, Language::Chinese), chinese);
            assert_eq!(name(&sn, &ticket, Language::English), english);
        }
        let ended = ticket(Status::Finished);
        assert_eq!(
            closed_name(&sn, &ended, Language::Chinese),
            "【已关闭】REQ1"
        );
        assert_eq!(closed_name(&sn, &ended, Language::English), "[Closed] REQ1");
    }

    #[test]
    fn every_message_has_its_own_sentence() {
        let announced = [
            Fact::Progressed,
            Fact::Escalated,
            Fact::Suspended,
            Fact::Resumed,
            Fact::Changed,
            Fact::Commented,
            Fact::NodeFailed,
            Fact::Finished,
            Fact::Terminated,
        ];
        for language in [Language::Chinese, Language::English] {
            let facts = announced.into_iter().map(Some).chain([None]);
            let sentences: std::collections::BTreeSet<&str> =
                facts.map(|fact| wording(fact, language).1).collect();
            assert_eq!(sentences.len(), announced.len() + 1);
        }
    }
}
