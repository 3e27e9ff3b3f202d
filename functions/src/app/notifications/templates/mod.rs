//! Changes, shows and uses notification templates. A template contains the texts of the messages about one fact. Without
//! a published template, the built-in texts of [`super::message`] are used.

mod compiled;
pub mod document;
pub mod engine;
pub mod formats;
pub mod testing;
pub mod values;

use std::sync::Arc;

use domain::notification::content::{Content, Link, labelled, one_line};
use domain::notification::template::{Command, NotificationTemplate, Rejection, Version, stream};
use domain::views::ticket_card::TicketCard;
use events::notification::{Fact, Requested};
use events::notification_template::{Text, Texts};
use events::person::Language;
use events::{Meta, PersonId, TicketSn};
use infra::channel::sms::{self, SizedText};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use self::engine::Purpose;
use self::formats::{MASK, Rendered, Wrong};
use self::values::Source;
use super::definitions::DEFAULT_POLICY;
use super::message::{self, hides_ticket};
use crate::App;
use crate::app::permissions::Reader;
use crate::app::tickets::{self, Unread};

/// The key of the template for messages that collect several notifications.
pub const DIGEST: &str = "digest";
/// The format and the channel of short messages.
const SMS: &str = "sms";
/// The ticket number in a preview without a ticket. It has the length of a usual number.
const SAMPLE: &str = "REQ20260101000001";
/// Maximum length of all texts of a version, in bytes of JSON. The ledger limits the size of a commit.
const TEXTS_BYTES_MAX: usize = 64 * 1024;

/// The reason why an operation on a template fails.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error(transparent)]
    Technical(#[from] Error),
    #[error("there is no notification template {0:?}")]
    KeyUnknown(String),
    #[error(transparent)]
    Rejected(Rejection),
    /// The texts have errors. The list is not empty.
    #[error("the texts have errors")]
    Wrong(Vec<Wrong>),
    /// The document is too large, or it has no text that can be used.
    #[error("{0}")]
    Document(String),
    /// The version has no text for this locale and format.
    #[error("the version has no text for the locale {locale} and the format {format}")]
    NoText { locale: String, format: String },
    #[error("there is no ticket {0}")]
    TicketUnknown(TicketSn),
    #[error("there is no channel account {0}")]
    AccountUnknown(String),
    #[error("the channel account {0} is switched off")]
    AccountDisabled(String),
    #[error("your preferences have no address of the kind {0}")]
    NoAddress(String),
    /// The size of a short message cannot be computed for the account.
    #[error("{0}")]
    NoSize(String),
    #[error("a digest has no test message, because it does not concern one ticket")]
    NoTest,
}

impl From<ExecuteError<NotificationTemplate>> for TemplateError {
    fn from(error: ExecuteError<NotificationTemplate>) -> Self {
        match error {
            ExecuteError::Rejected(rejection) => Self::Rejected(rejection),
            ExecuteError::Technical(error) => Self::Technical(error),
        }
    }
}

/// Returns the key of the template for a fact, such as `work_assigned`.
pub fn key_of(fact: Fact) -> String {
    match serde_json::to_value(fact) {
        Ok(Value::String(key)) => key,
        _ => String::new(),
    }
}

/// Returns the fact of a template. Returns `None` for a digest and for an unknown key.
pub fn fact_of(key: &str) -> Option<Fact> {
    Fact::ALL.into_iter().find(|fact| key_of(*fact) == key)
}

/// Returns the keys of all templates. A template exists for each fact, even if it has no version.
pub fn keys() -> Vec<String> {
    let facts = Fact::ALL.into_iter().map(key_of);
    facts.chain([DIGEST.to_owned()]).collect()
}

/// Returns a template. Returns an error if no fact has this key.
pub async fn read(app: &App, key: &str) -> Result<Arc<NotificationTemplate>, TemplateError> {
    if key != DIGEST && fact_of(key).is_none() {
        return Err(TemplateError::KeyUnknown(key.to_owned()));
    }
    Ok(app.configuration.notification_template(key).await?)
}

/// Checks the texts, and stores them as a new version. Returns the template with the new version.
pub async fn draft(
    app: &App,
    key: &str,
    texts: Texts,
    document: Option<Value>,
    meta: Meta,
) -> Result<NotificationTemplate, TemplateError> {
    read(app, key).await?;
    check(&texts)?;
    let by = meta.actor.clone();
    let command = Command::Draft {
        texts,
        document,
        by,
    };
    execute(app, key, &command, meta).await
}

/// Checks the texts of a version without storing them.
pub fn check(texts: &Texts) -> Result<(), TemplateError> {
    let mut wrong = formats::check(texts);
    let size = serde_json::to_vec(texts).map_or(0, |bytes| bytes.len());
    if size > TEXTS_BYTES_MAX {
        wrong.push(Wrong {
            field: String::new(),
            reason: format!("all texts together have {size} bytes; the most are {TEXTS_BYTES_MAX}"),
        });
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(TemplateError::Wrong(wrong))
    }
}

/// Imports a JSON document as the texts of one locale. The texts of the other locales and formats come from the newest
/// version. An error names the member of the document.
pub async fn import(
    app: &App,
    key: &str,
    given: Map<String, Value>,
    locale: &str,
    meta: Meta,
) -> Result<NotificationTemplate, TemplateError> {
    let known = read(app, key).await?;
    let imported = document::formats(&given);
    if imported.is_empty() {
        let reason = "`templates` must have a text for email, wechat or dingtalk";
        return Err(TemplateError::Document(reason.into()));
    }
    let given = Value::Object(given);
    if given.to_string().len() > document::BYTES_MAX {
        return Err(TemplateError::Document(format!(
            "the document has more than {} bytes",
            document::BYTES_MAX
        )));
    }
    let newest = known.versions.get(&known.newest);
    let mut texts = newest
        .map(|version| version.texts.clone())
        .unwrap_or_default();
    let of_locale = texts.entry(locale.to_owned()).or_default();
    for (format, mut text) in imported {
        // A document has no masks, so a new text keeps the masks of the text that it replaces.
        if let Some(replaced) = of_locale.get(&format) {
            text.masked.clone_from(&replaced.masked);
        }
        of_locale.insert(format, text);
    }
    draft(app, key, texts, Some(given), meta).await
}

/// Returns the document of the published version, or of the newest version if no version is published. A document that
/// was imported is returned unchanged.
pub async fn export(app: &App, key: &str, locale: &str) -> Result<Value, TemplateError> {
    let template = read(app, key).await?;
    let newest = || template.versions.get(&template.newest);
    let version = template.published().or_else(newest);
    let version = version.ok_or(TemplateError::Rejected(Rejection::VersionUnknown(1)))?;
    Ok(version
        .document
        .clone()
        .unwrap_or_else(|| document::exported(key, &version.texts, locale)))
}

/// Publishes a version. A version that was published before can be published again.
pub async fn publish(
    app: &App,
    key: &str,
    version: u32,
    meta: Meta,
) -> Result<NotificationTemplate, TemplateError> {
    read(app, key).await?;
    let policy = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    let single_publisher = policy
        .0
        .as_ref()
        .is_some_and(|policy| policy.single_publisher);
    let by = meta.actor.clone();
    let command = Command::Publish {
        version,
        by,
        single_publisher,
    };
    execute(app, key, &command, meta).await
}

/// Withdraws the published version. The built-in texts are used from now on.
pub async fn withdraw(
    app: &App,
    key: &str,
    meta: Meta,
) -> Result<NotificationTemplate, TemplateError> {
    read(app, key).await?;
    let by = meta.actor.clone();
    execute(app, key, &Command::Withdraw { by }, meta).await
}

async fn execute(
    app: &App,
    key: &str,
    command: &Command,
    meta: Meta,
) -> Result<NotificationTemplate, TemplateError> {
    let command_envelope = CommandEnvelope {
        stream: stream(key),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let outcome = app
        .ledger
        .execute::<NotificationTemplate>(&command_envelope, command, &NoContext)
        .await?;
    Ok(outcome.state)
}

/// The text that a preview shows.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Texts that are not stored. `None` for the texts of a stored version.
    pub texts: Option<Texts>,
    /// The number of a version. `None` for the newest version.
    pub version: Option<u32>,
    pub language: Language,
    pub format: String,
    /// The ticket whose values the preview shows. `None` for the longest values.
    pub ticket: Option<TicketSn>,
    /// The channel account whose settings and prices apply to a short message. Only the format `sms` has one.
    pub account: Option<String>,
}

/// A text as a message would show it.
#[derive(Clone, Debug)]
pub struct Previewed {
    pub rendered: Rendered,
    /// The complete short message. `None` for all formats except `sms`.
    pub sms: Option<SizedText>,
}

/// Renders a text for the person who sent the request, as a message would show it. Stores and sends nothing.
pub async fn preview(
    app: &App,
    key: &str,
    preview: &Preview,
    meta: &Meta,
) -> Result<Previewed, TemplateError> {
    let template = read(app, key).await?;
    let texts = match &preview.texts {
        Some(texts) => {
            check(texts)?;
            texts
        }
        None => &version_of(&template, preview.version)?.1.texts,
    };
    let locale = formats::locale(preview.language);
    let text = formats::text_of(texts, locale, &preview.format);
    let text = text.ok_or_else(|| TemplateError::NoText {
        locale: locale.to_owned(),
        format: preview.format.clone(),
    })?;
    let values = match &preview.ticket {
        None => formats::LONGEST.clone(),
        Some(sn) => {
            let card = readable(app, sn, meta).await?;
            let priority = card.ticket.priority();
            let mut current = card.ticket.current();
            let node = current.next().map(|(_, node_run)| node_run.name.as_str());
            let source = Source {
                ticket: sn,
                card: &card,
                person: &meta.actor,
                node: node.unwrap_or_default(),
                priority: priority.map_or("", |priority| priority.key.as_str()),
                language: preview.language,
                zone: &app.settings.zone,
            };
            values::values(app, source).await?
        }
    };
    let rendered = formats::rendered(text, &values, Purpose::Message).map_err(|flaw| {
        TemplateError::Wrong(vec![Wrong {
            field: format!("/{locale}/{}", preview.format),
            reason: flaw.to_string(),
        }])
    })?;
    let sms = short_message(app, preview, &rendered).await?;
    Ok(Previewed { rendered, sms })
}

/// Returns the complete short message with a rendered text and the link to the ticket, with its size and its cost.
/// Returns `None` for all formats except `sms`.
async fn short_message(
    app: &App,
    preview: &Preview,
    rendered: &Rendered,
) -> Result<Option<SizedText>, TemplateError> {
    let account = match &preview.account {
        None => None,
        Some(name) => {
            let defined = app.configuration.channel_account(name).await?;
            Some(defined.ok_or_else(|| TemplateError::AccountUnknown(name.clone()))?)
        }
    };
    let is_short = preview.format == SMS;
    if !is_short && account.is_none() {
        return Ok(None);
    }
    if !is_short || account.as_ref().is_some_and(|one| one.channel != SMS) {
        let reason = "the format and the channel of the account must be sms";
        return Err(TemplateError::NoSize(reason.into()));
    }
    let site = app.settings.site.trim_end_matches('/');
    let ticket = preview.ticket.as_ref().map_or(SAMPLE, TicketSn::as_str);
    let content = Content {
        subject: rendered.subject.clone(),
        intro: String::new(),
        values: Vec::new(),
        body: rendered.body.clone(),
        link: Link {
            text: message::texts(preview.language).link.to_owned(),
            url: format!("{site}/tickets/{ticket}"),
        },
        closing: String::new(),
        thread: ticket.to_owned(),
        actions: Vec::new(),
    };
    let sized = sms::sized(account.as_ref(), &content);
    sized.map(Some).map_err(TemplateError::NoSize)
}

/// Returns a version of a template with its number. `number` is `None` for the newest version.
fn version_of(
    template: &NotificationTemplate,
    number: Option<u32>,
) -> Result<(u32, &Version), TemplateError> {
    let number = number.unwrap_or(template.newest.max(1));
    let version = template.versions.get(&number);
    let version = version.ok_or(TemplateError::Rejected(Rejection::VersionUnknown(number)))?;
    Ok((number, version))
}

/// Returns a ticket that the person who sent the request may read. Any other ticket is unknown.
async fn readable(app: &App, sn: &TicketSn, meta: &Meta) -> Result<TicketCard, TemplateError> {
    let reader = Reader::person(meta.actor.clone());
    match tickets::read(app, sn, &reader).await {
        Ok(card) => Ok(card),
        Err(Unread::Technical(error)) => Err(error.into()),
        Err(Unread::Unknown | Unread::NotPermitted) => {
            Err(TemplateError::TicketUnknown(sn.clone()))
        }
    }
}

/// Returns the text of a version for the messages of a channel in a language. `channel` is the name of the channel. Returns
/// `None` without a version, and if the version has no such text.
fn text_of<'a>(
    version: Option<&'a Version>,
    channel: &str,
    language: Language,
) -> Option<&'a Text> {
    let (locale, format) = (formats::locale(language), formats::format_of(channel));
    version.and_then(|version| formats::text_of(&version.texts, locale, format))
}

/// Returns the ticket and the person of the messages about a notification.
fn source<'a>(
    requested: &'a Requested,
    card: &'a TicketCard,
    language: Language,
    zone: &'a TimeZone,
) -> Source<'a> {
    Source {
        ticket: &requested.ticket,
        card,
        person: &requested.person,
        node: requested.label(),
        priority: &requested.priority,
        language,
        zone,
    }
}

/// Returns the content with the texts of the template for its fact, if a version is published. `content` has the
/// built-in texts. `channel` is the name of the channel that sends the message.
///
/// A ticket of a service that requires encrypted free text keeps the built-in texts, which contain no text of the
/// ticket. If a text cannot be rendered, the built-in texts stay, and the log has a warning.
pub async fn apply(
    app: &App,
    requested: &Requested,
    card: &TicketCard,
    channel: &str,
    language: Language,
    zone: &TimeZone,
    content: Content,
) -> Result<Content, Error> {
    let key = key_of(requested.fact);
    let template = app.configuration.notification_template(&key).await?;
    let tested = template.drafted_by(&key, &requested.cause);
    let finish = |content| match tested {
        Some(_) => testing::marked(content, language),
        None => content,
    };
    let version = tested.or_else(|| template.published());
    let Some(text) = text_of(version, channel, language) else {
        return Ok(finish(content));
    };
    let values = if requested.fact.concerns_ticket() {
        let opened = card.ticket.opened.as_ref();
        let is_hidden = opened.is_none_or(|opened| opened.seals_text);
        if is_hidden || hides_ticket(app, requested, card).await? {
            return Ok(finish(content));
        }
        values::values(app, source(requested, card, language, zone)).await?
    } else {
        values::of_no_ticket(app, requested, zone).await?
    };
    let format = formats::format_of(channel);
    let content = filled(&key, format, text, &values, content);
    Ok(finish(discreet(content, version, language, format)))
}

/// Returns the content with the built-in texts, without the values that the published template for its fact masks. A
/// message that is replaced after the press of a button has such a content.
pub async fn without_masked(
    app: &App,
    requested: &Requested,
    card: &TicketCard,
    channel: &str,
    language: Language,
    zone: &TimeZone,
    content: Content,
) -> Result<Content, Error> {
    let key = key_of(requested.fact);
    let template = app.configuration.notification_template(&key).await?;
    let text = text_of(template.published(), channel, language);
    let Some(text) = text.filter(|text| !text.masked.is_empty()) else {
        return Ok(content);
    };
    let values = values::values(app, source(requested, card, language, zone)).await?;
    Ok(concealed(content, text, &values))
}

/// Returns the content of a digest with the texts of its template, if a version is published. `content` has the built-in
/// texts. The lines of the digest follow the rendered text, which has no values of tickets.
pub async fn apply_to_digest(
    app: &App,
    person: &PersonId,
    channel: &str,
    language: Language,
    zone: &TimeZone,
    content: Content,
) -> Result<Content, Error> {
    let template = app.configuration.notification_template(DIGEST).await?;
    let version = template.published();
    let Some(text) = text_of(version, channel, language) else {
        return Ok(content);
    };
    let format = formats::format_of(channel);
    let values = Arc::new(values::general(app, person, zone).await?);
    let content = filled(DIGEST, format, text, &values, content);
    let content = discreet(content, version, language, format);
    Ok(if format == "push" {
        content
    } else {
        listed(content)
    })
}

/// Returns the content with its values at the end of its body. A content without a body is not changed.
fn listed(mut content: Content) -> Content {
    if !content.body.is_empty() {
        let values = content.values.iter();
        let lines: Vec<String> = values
            .map(|(label, value)| labelled(label, value))
            .collect();
        content.body.extend(lines);
    }
    content
}

/// Returns the content without its body if the messages of the format must not show the text of this version.
fn discreet(
    content: Content,
    version: Option<&Version>,
    language: Language,
    format: &str,
) -> Content {
    let locale = formats::locale(language);
    let is_shown =
        version.is_some_and(|version| formats::shows_body(&version.texts, locale, format));
    if is_shown {
        content
    } else {
        Content {
            body: Vec::new(),
            ..content
        }
    }
}

/// Returns the content without the values that a text masks. The built-in texts contain such values too: the title is in
/// the subject, the node in the closing, the name of the person in the intro, and most of them are lines of their own.
fn concealed(mut content: Content, text: &Text, values: &engine::Values) -> Content {
    for name in &text.masked {
        // The built-in texts have the value on one line, and shortened.
        let Some(raw) = values.get(name.as_str()).filter(|raw| !raw.is_empty()) else {
            continue;
        };
        let value = one_line(raw);
        for (_, shown) in &mut content.values {
            if *shown == *raw || *shown == value {
                MASK.clone_into(shown);
            }
        }
        let part = match name.as_str() {
            "ticket.title" => &mut content.subject,
            "ticket.node" => &mut content.closing,
            "assignee.name" => &mut content.intro,
            _ => continue,
        };
        *part = part.replace(raw.as_str(), MASK);
        if !value.is_empty() {
            *part = part.replace(value.as_str(), MASK);
        }
    }
    content
}

/// Returns false if the digest messages of a channel must not show the titles of tickets, because their template masks
/// the title.
pub async fn shows_titles(app: &App, channel: &str, language: Language) -> Result<bool, Error> {
    let template = app.configuration.notification_template(DIGEST).await?;
    let text = text_of(template.published(), channel, language);
    Ok(text.is_none_or(|text| text.masked.iter().all(|name| name != "ticket.title")))
}

/// Returns the content with a rendered text. If the text cannot be rendered or is too long for the format, returns the
/// content with the built-in texts. The result does not contain the values that the text masks.
fn filled(
    key: &str,
    format: &str,
    text: &Text,
    values: &Arc<engine::Values>,
    content: Content,
) -> Content {
    let content = concealed(content, text, values);
    let rendered = match formats::rendered(text, values, Purpose::Message) {
        Ok(rendered) => rendered,
        Err(flaw) => {
            tracing::warn!(key, %flaw, "cannot render a notification template");
            return content;
        }
    };
    // The check of a version allows longer texts for the format `default` than for the formats that use it.
    if let Some(reason) = formats::too_long(format, &rendered.body.join("\n")) {
        tracing::warn!(key, format, reason, "a notification template is too long");
        return content;
    }
    let mut content = content;
    if !rendered.subject.is_empty() {
        content.subject = rendered.subject;
    }
    content.body = rendered.body;
    content
}

#[cfg(test)]
mod tests;
