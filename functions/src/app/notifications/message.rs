//! Writes the message of a notification in the language of the person who gets the message.

use domain::notification::content::{Content, Link, one_line};
use domain::views::ticket_card::TicketCard;
use events::Moment;
use events::notification::{Fact, Requested};
use events::person::Language;
use events::workflow::Choice;
use infra::Error;
use jiff::tz::TimeZone;

use crate::App;
use crate::app::times;

/// The fixed texts of notification messages in one language. Each message consists of these texts and of
/// values of the ticket.
struct Texts {
    approval_subject: &'static str,
    work_subject: &'static str,
    greeting: fn(&str, &str) -> String,
    approval: &'static str,
    work: &'static str,
    title: &'static str,
    service: &'static str,
    priority: &'static str,
    created: &'static str,
    link: &'static str,
    closing: fn(&str) -> String,
}

const CHINESE: Texts = Texts {
    approval_subject: "待您审批",
    work_subject: "待您处理",
    greeting: |name, text| format!("{name}，您好。{text}"),
    approval: "有一个工单等待您审批。",
    work: "有一个工单等待您处理。",
    title: "标题",
    service: "服务",
    priority: "优先级",
    created: "提单时间",
    link: "查看工单",
    closing: |node| format!("您收到此消息，是因为您是节点“{node}”的处理人。"),
};

const ENGLISH: Texts = Texts {
    approval_subject: "Approval needed",
    work_subject: "Work assigned",
    greeting: |name, text| format!("Hello {name}, {text}"),
    approval: "a ticket waits for your approval.",
    work: "a ticket waits for your work.",
    title: "Title",
    service: "Service",
    priority: "Priority",
    created: "Created",
    link: "Open the ticket",
    closing: |node| format!("You receive this message because the node \"{node}\" waits for you."),
};

/// Returns the message of the notification `requested`. `card` is the stored summary of the ticket.
///
/// The message contains no title if the title is encrypted, or if the service of the ticket requires
/// encrypted free text. The message contains the name of no person except the recipient. The reason is that
/// the message is encrypted with the key of the recipient. The erasure of another person could therefore not
/// remove a name from the message.
pub async fn content(
    app: &App,
    requested: &Requested,
    card: &TicketCard,
    language: Language,
    zone: &TimeZone,
) -> Result<Content, Error> {
    let texts = match language {
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
    };
    let (subject, text) = match requested.fact {
        Fact::ApprovalNeeded => (texts.approval_subject, texts.approval),
        Fact::WorkAssigned => (texts.work_subject, texts.work),
    };
    let opened = card.ticket.opened.as_ref();
    let is_confidential = opened.is_some_and(|opened| opened.seals_text);
    let is_personal = |key| {
        let entry = card.ticket.form.get(key);
        entry.is_some_and(|entry| entry.personal.is_some())
    };
    let title = if is_confidential || is_personal("title") {
        String::new()
    } else {
        one_line(&card.ticket.title())
    };
    let mut values = vec![(texts.title, title.clone())];
    if let Some(opened) = opened {
        values.push((texts.service, one_line(&opened.service_name)));
        if !requested.priority.is_empty() {
            values.push((texts.priority, priority(app, &requested.priority).await?));
        }
        values.push((texts.created, minute(card.created_at, zone)));
    }
    let values = values.into_iter().filter(|(_, value)| !value.is_empty());
    let subject = if title.is_empty() {
        subject.to_owned()
    } else {
        format!("{subject}: {title}")
    };
    let site = app.settings.site.trim_end_matches('/');
    Ok(Content {
        subject,
        intro: (texts.greeting)(&app.people.name(&requested.person).await?, text),
        values: values
            .map(|(label, value)| (label.to_owned(), value))
            .collect(),
        link: Link {
            text: texts.link.into(),
            url: format!("{site}/tickets/{}", requested.ticket),
        },
        closing: (texts.closing)(&one_line(&requested.name)),
        thread: requested.ticket.0.clone(),
        actions: Vec::new(),
    })
}

/// Returns the display name of a ticket priority. `key` is the key of the priority in the dictionary of
/// priorities (a shared list of options). If the dictionary does not contain the key, returns the key.
async fn priority(app: &App, key: &str) -> Result<String, Error> {
    let dictionary = app.configuration.dictionary("PRIORITY").await?;
    let items = dictionary.0.iter().flat_map(|defined| &defined.items);
    let mut found = items.filter(|item: &&Choice| item.key == key);
    Ok(found
        .next()
        .map_or_else(|| key.to_owned(), |item| item.name.clone()))
}

/// Formats a time as date, hour and minute, followed by the name of the time zone.
fn minute(at: Moment, zone: &TimeZone) -> String {
    let text = times::in_zone(at, zone);
    let day_and_minute = text.get(..16).unwrap_or(&text).replace('T', " ");
    let name = zone.iana_name().unwrap_or("UTC");
    format!("{day_and_minute} ({name})")
}
