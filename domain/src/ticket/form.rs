//! Checks a submitted form against its node's fields (order and texts: reference/bk-itsm.md 3.1 and 3.9).

use std::collections::BTreeMap;

use events::workflow::{Choice, Definition, Field, FieldKind, Node};
use events::{Entry, LineId, Pid};
use regex::RegexBuilder;
use serde_json::Value;

use super::{Decision, Rejection, TITLE_MAX, reject};
use crate::condition::{self, Found};

/// Checks what was given for a node and returns it as it will be stored. `filled` is what the ticket holds already.
pub(super) fn check(definition: &Definition, node: &Node, given: &[Entry], filled: &BTreeMap<String, Entry>) -> Decision<Vec<Entry>> {
    let fields: Vec<&Field> = definition.fields_of(node).collect();
    let given: Vec<Entry> = given.iter().map(|entry| Entry { key: entry.key.clone(), value: stored(&fields, entry), personal: None }).collect();
    let find = |key: &str| match given.iter().find(|entry| entry.key == key).or_else(|| filled.get(key)) {
        Some(entry) if entry.is_erased() => Found::Erased,
        Some(entry) => Found::Value(entry.read().clone()),
        None => Found::Absent,
    };
    let hidden = |field: &Field| field.hidden_when.as_ref().is_some_and(|group| condition::group_holds(group, LineId(0), &find, &mut Vec::new()));

    let missing: Vec<String> = fields
        .iter()
        .filter(|field| field.is_required && !hidden(field) && !given.iter().any(|entry| entry.key == field.key))
        .map(|field| field.key.clone())
        .collect();
    if !missing.is_empty() {
        return reject(Rejection::FieldsMissing(missing));
    }
    for (at, entry) in given.iter().enumerate() {
        let Some(field) = fields.iter().find(|field| field.key == entry.key) else {
            return reject(Rejection::FieldUnknown(entry.key.clone()));
        };
        if given[..at].iter().any(|earlier| earlier.key == entry.key) {
            return reject(Rejection::FieldTwice(entry.key.clone()));
        }
        if is_empty(&entry.value) {
            if field.is_required && !hidden(field) {
                return reject(Rejection::FieldEmpty(field.name.clone()));
            }
            continue;
        }
        check_value(field, &entry.value)?;
    }
    // What was emptied on a later round is kept as empty, so that it overwrites what was there.
    Ok(given.into_iter().filter(|entry| !is_empty(&entry.value) || filled.contains_key(&entry.key)).collect())
}

/// Puts values of personal fields (and all free text, where the service says so) under the creator's key.
pub(super) fn own(definition: &Definition, form: Vec<Entry>, creator: &Pid, seals_text: bool) -> Vec<Entry> {
    use FieldKind::{Boolean, Checkbox, Date, DateTime, DateTimeRange, Int, Member, Members, MultiSelect, Radio, Select, TreeSelect};
    let is_choice = |field: &Field| {
        matches!(field.kind, Boolean | Checkbox | Date | DateTime | DateTimeRange | Int | Member | Members | MultiSelect | Radio | Select | TreeSelect)
    };
    let is_personal = |field: &Field| field.is_personal || (seals_text && !is_choice(field));
    form.into_iter().map(|entry| if definition.field(&entry.key).is_some_and(is_personal) { entry.owned_by(creator.clone()) } else { entry }).collect()
}

/// Values are kept as text; tables and forms as the JSON they are.
fn stored(fields: &[&Field], entry: &Entry) -> Value {
    let kind = fields.iter().find(|field| field.key == entry.key).map(|field| field.kind);
    match &entry.value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(flag) => Value::String(flag.to_string()),
        Value::Array(items) if matches!(kind, Some(FieldKind::MultiSelect | FieldKind::Checkbox | FieldKind::Member | FieldKind::Members)) => {
            Value::String(items.iter().map(text).collect::<Vec<_>>().join(","))
        }
        other => other.clone(),
    }
}

fn check_value(field: &Field, value: &Value) -> Decision<()> {
    let invalid = |reason: &str| reject(Rejection::FieldInvalid { name: field.name.clone(), reason: reason.into() });
    let is_text = value.is_string();
    let text = text(value);
    if field.key == "title" && text.chars().count() > TITLE_MAX {
        return reject(Rejection::TitleTooLong);
    }
    match field.kind {
        FieldKind::Table | FieldKind::CustomTable if !value.as_array().is_some_and(|rows| rows.iter().all(Value::is_object)) => {
            return invalid("is not a list of rows");
        }
        FieldKind::Table | FieldKind::CustomTable | FieldKind::CustomForm | FieldKind::File => return Ok(()),
        _ if !is_text => return invalid("is not a text"),
        FieldKind::Int if text.trim().parse::<f64>().map_or(true, |number| !number.is_finite()) => return invalid("is not a number"),
        FieldKind::Date if text.parse::<jiff::civil::Date>().is_err() => return invalid("is not a date (YYYY-MM-DD)"),
        FieldKind::DateTime if jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &text).is_err() => {
            return invalid("is not a time (YYYY-MM-DD hh:mm:ss)");
        }
        FieldKind::Select | FieldKind::Radio | FieldKind::TreeSelect => check_options(field, std::iter::once(text.as_str()))?,
        FieldKind::MultiSelect | FieldKind::Checkbox => check_options(field, text.split(',').map(str::trim))?,
        _ => {}
    }
    check_pattern(field, &text)
}

fn check_options<'a>(field: &Field, mut wanted: impl Iterator<Item = &'a str>) -> Decision<()> {
    // Options that another system supplies can't be checked here.
    if !matches!(field.source_type.as_str(), "" | "CUSTOM") {
        return Ok(());
    }
    if field.choice.is_empty() {
        return reject(Rejection::OptionsMissing(field.key.clone()));
    }
    if wanted.all(|key| is_option(&field.choice, key)) { Ok(()) } else { reject(Rejection::OptionUnknown(field.name.clone())) }
}

fn is_option(choices: &[Choice], key: &str) -> bool {
    choices.iter().any(|choice| choice.key == key || is_option(&choice.items, key))
}

/// The `regex` keywords of reference/bk-itsm.md 4.2 that need no clock and no other field.
fn check_pattern(field: &Field, text: &str) -> Decision<()> {
    let invalid = |reason: String| reject(Rejection::FieldInvalid { name: field.name.clone(), reason });
    let pattern = match field.regex.as_str() {
        "FLOAT" => r"^-?\d+(\.\d+)?$",
        "NON_NEGATIVE" => r"^\d+(\.\d+)?$",
        "NON_POSITIVE" => r"^(-\d+(\.\d+)?|0+(\.0+)?)$",
        "GTE_ZERO" => r"^(0*[1-9]\d*(\.\d+)?|0+\.0*[1-9]\d*)$",
        "LTE_ZERO" => r"^-(0*[1-9]\d*(\.\d+)?|0+\.0*[1-9]\d*)$",
        "LOWER_EN" => r"^[a-z]+$",
        "UPPER_EN" => r"^[A-Z]+$",
        "EN" => r"^[A-Za-z]+$",
        "EN_NUM" => r"^[A-Za-z0-9]+$",
        "CH" => r"^\p{Han}+$",
        "EN_CH" => r"^[A-Za-z\p{Han}]+$",
        "EN_CH_NUM" => r"^[A-Za-z0-9\p{Han}]+$",
        "START_EN" => r"^[A-Za-z]",
        "EMAIL" => r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
        "PHONE_NUM" => r"^1\d{10}$",
        "ID_CARD" => r"^(\d{15}|\d{17}[\dXx])$",
        "QQ" => r"^[1-9]\d{4,11}$",
        "IP" => r"^((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)$",
        "NUM" => r"^-?\d+(\.\d+)?$",
        "NUMWITHOUTZERO" => r"^[1-9]\d*$",
        "CUSTOM" if !field.custom_regex.is_empty() => return check_custom(field, text),
        _ => return Ok(()),
    };
    let matches = |part: &str| RegexBuilder::new(pattern).build().is_ok_and(|regex| regex.is_match(part));
    let fits = match field.kind {
        FieldKind::Text => text.split(['\n', ';', ',']).filter(|part| !part.is_empty()).all(matches),
        _ => matches(text),
    };
    if fits { Ok(()) } else { invalid(format!("does not fit the rule {}", field.regex)) }
}

/// A custom pattern is matched from the start only; one that does not compile, or is too large, refuses the value by name.
fn check_custom(field: &Field, text: &str) -> Decision<()> {
    const PATTERN_BYTES: usize = 1 << 20;
    let invalid = |reason: &str| reject(Rejection::FieldInvalid { name: field.name.clone(), reason: reason.into() });
    match RegexBuilder::new(&format!("^(?:{})", field.custom_regex)).size_limit(PATTERN_BYTES).build() {
        Ok(regex) if regex.is_match(text) => Ok(()),
        Ok(_) => invalid("does not fit the custom rule"),
        Err(_) => invalid("has a custom rule that is not a valid pattern"),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A stored value as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The people a MEMBER(S) value names.
pub(super) fn people(value: &Value) -> Vec<Pid> {
    text(value).split(',').map(str::trim).filter(|part| !part.is_empty()).map(Pid::from).collect()
}
