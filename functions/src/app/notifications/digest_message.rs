//! Writes the message of a digest: one message to a person that lists several notifications.

use std::collections::BTreeSet;

use domain::notification::content::{Content, Link, labelled, one_line};
use domain::permission::Operation;
use events::PersonId;
use events::digest::{Flushed, Line};
use events::notification::Fact;
use events::person::Language;
use infra::Error;

use super::message::wording;
use crate::App;
use crate::app::tickets;

/// Returns the message of a digest in the language of the person who gets it. Each line contains a ticket number, a fact
/// and the title of the ticket. A title is omitted if it is encrypted, or if the service of the ticket requires
/// encrypted free text, or if `shows_titles` is false.
pub async fn content(
    app: &App,
    flushed: &Flushed,
    language: Language,
    shows_titles: bool,
) -> Result<Content, Error> {
    let mut values = Vec::new();
    let is_chinese = language == Language::Chinese;
    let pick = |chinese: String, english: String| if is_chinese { chinese } else { english };
    for line in &flushed.lines {
        let label = if line.ticket.as_str().is_empty() {
            pick("服务台".into(), "Service desk".into())
        } else {
            line.ticket.0.clone()
        };
        let text = text(app, &flushed.person, line, language, shows_titles).await?;
        values.push((label, text));
    }
    let more = flushed.more;
    if more > 0 {
        values.push((
            pick("其他".into(), "Others".into()),
            pick(
                format!("另有 {more} 条通知，请在收件箱中查看"),
                format!("{more} more notifications, see the inbox"),
            ),
        ));
    }
    // A full digest counts notifications that it does not contain.
    let listed: u32 = flushed.lines.iter().map(|line| line.count).sum();
    let count = listed.saturating_add(more);
    let name = app.people.name(&flushed.person).await?;
    let of_tickets: BTreeSet<&str> = flushed
        .lines
        .iter()
        .map(|line| line.ticket.as_str())
        .collect();
    let ticket = of_tickets
        .first()
        .filter(|ticket| of_tickets.len() == 1 && !ticket.is_empty());
    let site = app.settings.site.trim_end_matches('/');
    let link = match ticket {
        Some(ticket) => Link {
            text: pick("查看工单".into(), "Open the ticket".into()),
            url: format!("{site}/tickets/{ticket}"),
        },
        None => Link {
            text: pick("打开服务台".into(), "Open the service desk".into()),
            url: format!("{site}/"),
        },
    };
    Ok(Content {
        subject: pick(
            format!("{count} 条通知汇总"),
            format!("Summary of {count} notifications"),
        ),
        intro: pick(
            format!("{name}，您好。以下是您的 {count} 条通知。"),
            format!("Hello {name}, these are {count} notifications for you."),
        ),
        values,
        body: Vec::new(),
        link,
        closing: pick(
            "您收到此消息，是因为服务台将您的多条通知合并发送。您可以在通知偏好中修改。".into(),
            "You receive this message because the desk collects your notifications. You can change this in your preferences."
                .into(),
        ),
        thread: ticket.map_or_else(|| "digest".to_owned(), |ticket| (*ticket).to_owned()),
        actions: Vec::new(),
    })
}

/// Returns the text of one line without the ticket number.
async fn text(
    app: &App,
    person: &PersonId,
    line: &Line,
    language: Language,
    shows_title: bool,
) -> Result<String, Error> {
    let card = tickets::card(app, &line.ticket).await?.unwrap_or_default();
    let opened = card.ticket.opened.as_ref();
    let title = card.ticket.form.get("title");
    // An approver of a script possibly may not read the ticket, and an operator neither.
    let is_hidden = !shows_title
        || line.fact == Fact::ExecutionApproval
        || opened.is_none_or(|opened| opened.seals_text)
        || title.is_some_and(|title| title.personal.is_some())
        || (is_for_operators(line.fact)
            && !tickets::may(app, Operation::ReadTicket, &card.ticket, person).await?);
    let (fact, _) = wording(line.fact, language);
    let mut text = fact.to_owned();
    if !is_hidden {
        text = labelled(&text, &card.ticket.title());
    }
    if line.is_over {
        let count = line.count;
        text = match language {
            Language::Chinese => format!("{text}（已不需要处理，共 {count} 条通知）"),
            Language::English => {
                format!("{text} (not current any more; {count} notifications)")
            }
        };
    }
    Ok(one_line(&text))
}

/// Returns true for a fact whose notifications go to the operators that the policy names.
fn is_for_operators(fact: Fact) -> bool {
    matches!(
        fact,
        Fact::NodeFailed
            | Fact::ProcessorsMissing
            | Fact::CallbackFailed
            | Fact::Unreached
            | Fact::AddressMissing
            | Fact::EscalationExhausted
    )
}
