//! Formats texts about a ticket for API responses, callbacks and outgoing requests.

use domain::options::path;
use domain::value::plain;
use domain::views::ticket_card::TicketCard;
use events::workflow::{Definition, Field, FieldKind};
use events::{Entry, Moment, PersonId};
use infra::Error;
use jiff::Timestamp;
use serde_json::Value;

use crate::App;
use crate::app::Settings;

/// Returns the URL of the web page that shows a ticket.
pub fn ticket_url(settings: &Settings, id: i64) -> String {
    format!("{}/#/ticket/detail?id={id}", settings.site)
}

/// Returns the Chinese display name of a ticket status. If the status is unknown, returns `key` without
/// change.
pub fn status_name(key: &str) -> &str {
    match key {
        "RUNNING" => "处理中",
        "RESOLVED" => "已解决",
        "CONFIRMED" => "待确认",
        "SUSPENDED" => "挂起",
        "FINISHED" => "已完成",
        "TERMINATED" => "已终止",
        "REVOKED" => "已撤销",
        other => other,
    }
}

/// Formats a time as `YYYY-MM-DD hh:mm:ss` in the time zone of the desk.
pub fn time(settings: &Settings, moment: Moment) -> String {
    Timestamp::from_millisecond(moment.0)
        .unwrap_or_default()
        .to_zoned_datetime(settings.zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// Returns the people who acted on a ticket. For a ticket without any action, returns its creator.
pub fn updated_by(card: &TicketCard) -> Vec<PersonId> {
    if card.dealt.is_empty() {
        let opened = card.ticket.opened.iter();
        opened.map(|opened| opened.creator.clone()).collect()
    } else {
        card.dealt.clone()
    }
}

/// Returns the value of a form field with user names instead of person ids, and the value that users
/// read. The value of an empty field is null.
pub async fn value(
    app: &App,
    field: &Field,
    entry: Option<&Entry>,
) -> Result<(Value, Value), Error> {
    let erased = entry.is_some_and(events::Entry::is_erased);
    let stored = entry.map(|entry| entry.read().clone()).unwrap_or_default();
    let value = if erased {
        "Erased".into()
    } else {
        app.people.value_out(Some(field), &stored).await?
    };
    let shown = display(field, entry, &value);
    Ok((value, shown))
}

/// Converts the stored value of a form field to the value that users read. If the field has options, the result
/// contains the names of the selected options instead of their keys (reference/bk-itsm.md 4.1). For a null value, the
/// result is an empty text.
pub fn display(field: &Field, entry: Option<&Entry>, value: &Value) -> Value {
    if let Some(entry) = entry.filter(|entry| !entry.shown.is_empty()) {
        return entry.shown.clone().into();
    }
    let Value::String(text) = value else {
        return if value.is_null() {
            "".into()
        } else {
            value.clone()
        };
    };
    let name = |key: &str, joined: &str| {
        path(&field.choice, key).map_or_else(|| key.to_owned(), |names| names.join(joined))
    };
    match field.kind {
        FieldKind::Select | FieldKind::Radio | FieldKind::InputSelect => name(text, "").into(),
        FieldKind::TreeSelect => name(text, "->").into(),
        FieldKind::MultiSelect | FieldKind::Checkbox => text
            .split(',')
            .map(|key| name(key.trim(), ""))
            .collect::<Vec<_>>()
            .join(",")
            .into(),
        _ => value.clone(),
    }
}

/// Returns the name and the readable value of each form field of a ticket that has a value. The value of an erased
/// person is replaced with the text `erased`. The display-only fields (additional fields from the API client that
/// people cannot edit) come last.
pub async fn form_rows(
    app: &App,
    card: &TicketCard,
    definition: &Definition,
    erased: &str,
) -> Result<Vec<(String, String)>, Error> {
    let mut fields: Vec<&Field> = definition.fields.iter().collect();
    fields.sort_by_key(|field| field.id);
    let mut rows = Vec::new();
    for field in fields {
        let Some(entry) = card.ticket.form.get(&field.key) else {
            continue;
        };
        let text = if entry.is_erased() {
            erased.to_owned()
        } else {
            let value = app.people.value_out(Some(field), entry.read()).await?;
            plain(&display(field, Some(entry), &value))
        };
        if !text.is_empty() {
            rows.push((field.name.clone(), text));
        }
    }
    if let Some(opened) = &card.ticket.opened {
        let dynamic = opened.dynamic_fields.iter();
        rows.extend(dynamic.map(|field| (field.name.clone(), field.value.clone())));
    }
    Ok(rows)
}
