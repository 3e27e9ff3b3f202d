//! Checks a submitted form against its node's fields (order and texts: reference/bk-itsm.md 3.1 and 3.9).

use std::collections::BTreeMap;

use events::attachment::Place;
use events::workflow::{Choice, Clause, Definition, Field, FieldKind, Join, Node, Other};
use events::{Entry, LineId, Pid, TicketSn};
use regex::RegexBuilder;
use serde_json::Value;

use super::{Decision, Facts, FieldAt, Lookup, Rejection, TITLE_MAX, reject};
use crate::attachment::{self, COUNT_MAX, Limits, Unfit};
use crate::condition::{self, Found};
use crate::decider::Refusal;
use crate::options;

/// The form of one node of a ticket, and what the ticket holds already.
#[derive(Clone, Copy)]
pub(super) struct Sheet<'a> {
    /// Empty where there is no number yet.
    pub(super) ticket: &'a TicketSn,
    pub(super) definition: &'a Definition,
    pub(super) node: &'a Node,
    pub(super) filled: &'a BTreeMap<String, Entry>,
}

/// Checks what was given for a node and returns it as it will be stored.
pub(super) fn check(sheet: &Sheet<'_>, given: &[Entry], facts: &Facts) -> Decision<Vec<Entry>> {
    let form = Form::new(sheet, given, facts);
    let asked = form.fields.iter().filter(|field| field.is_required && !form.is_hidden(field));
    let missing: Vec<String> = asked.filter(|field| !form.given.iter().any(|entry| entry.key == field.key)).map(|field| field.key.clone()).collect();
    if missing.is_empty() { form.checked() } else { reject(Rejection::FieldsMissing(missing)) }
}

/// The same of some fields of a form, the others staying as they are.
pub(super) fn check_some(sheet: &Sheet<'_>, given: &[Entry], facts: &Facts) -> Decision<Vec<Entry>> {
    let mut form = Form::new(sheet, given, facts);
    let others = given.iter().filter_map(|entry| sheet.definition.field(&entry.key)).filter(|field| !sheet.node.fields.contains(&field.key));
    form.fields.extend(others);
    form.checked()
}

/// Fills in the defaults of fields that were not given, are not filled in yet and are shown. A decision is never filled in.
pub fn with_defaults(definition: &Definition, node: &Node, given: &mut Vec<Entry>, filled: &BTreeMap<String, Entry>) {
    let (facts, ticket) = (Facts::default(), TicketSn::default());
    let form = Form::new(&Sheet { ticket: &ticket, definition, node, filled }, given, &facts);
    let is_open = |field: &&&Field| {
        let is_there = given.iter().any(|entry| entry.key == field.key) || filled.get(&field.key).is_some_and(|held| !is_empty(held.read()));
        !is_there && !field.is_approve_result && !is_empty(&field.default) && !form.is_hidden(field)
    };
    let defaults: Vec<Entry> = form.fields.iter().filter(is_open).map(|field| Entry::new(field.key.clone(), field.default.clone())).collect();
    given.extend(defaults);
}

/// One form as it was given, beside what the ticket holds.
struct Form<'a> {
    sheet: Sheet<'a>,
    fields: Vec<&'a Field>,
    given: Vec<Entry>,
    facts: &'a Facts,
}

impl<'a> Form<'a> {
    fn new(sheet: &Sheet<'a>, given: &[Entry], facts: &'a Facts) -> Self {
        let fields: Vec<&Field> = sheet.definition.fields_of(sheet.node).collect();
        let find = |key: &str| fields.iter().copied().find(|field| field.key == key).or_else(|| sheet.definition.field(key));
        let given = given.iter().map(|entry| Entry::new(entry.key.clone(), stored(find(&entry.key), entry))).collect();
        Self { sheet: *sheet, fields, given, facts }
    }

    fn find(&self, key: &str) -> Found {
        match self.given.iter().find(|entry| entry.key == key).or_else(|| self.sheet.filled.get(key)) {
            Some(entry) if entry.is_erased() => Found::Erased,
            Some(entry) => Found::Value(entry.read().clone()),
            None => Found::Absent,
        }
    }

    fn is_hidden(&self, field: &Field) -> bool {
        field.hidden_when.as_ref().is_some_and(|group| condition::group_holds(group, LineId(0), &|key| self.find(key), &mut Vec::new()))
    }

    /// Every given value fits its field. What must be looked up for that is asked for all at once; what is wrong first is said first.
    fn checked(mut self) -> Decision<Vec<Entry>> {
        let mut wanted = Vec::new();
        for at in 0..self.given.len() {
            match self.check_at(at) {
                Ok((value, shown)) => {
                    self.given[at].shown = shown;
                    self.given[at].value = value;
                }
                Err(Refusal::Needs(more)) => wanted.extend(more),
                Err(rejected) if wanted.is_empty() => return Err(rejected),
                Err(_) => break,
            }
        }
        if !wanted.is_empty() {
            return Err(Refusal::Needs(wanted));
        }
        // What was emptied on a later round is kept as empty, so that it overwrites what was there.
        let filled = self.sheet.filled;
        Ok(self.given.into_iter().filter(|entry| !is_empty(&entry.value) || filled.contains_key(&entry.key)).collect())
    }

    /// One given value fits its field; gives it back as it will be stored, and what people read of it where that stands outside the workflow.
    fn check_at(&self, at: usize) -> Decision<(Value, String)> {
        let entry = &self.given[at];
        let Some(field) = self.fields.iter().copied().find(|field| field.key == entry.key) else {
            return reject(Rejection::FieldUnknown(entry.key.clone()));
        };
        if self.given[..at].iter().any(|earlier| earlier.key == entry.key) {
            return reject(Rejection::FieldTwice(entry.key.clone()));
        }
        if field.is_readonly && self.sheet.filled.get(&field.key).is_some_and(|held| !held.is_erased() && !is_empty(held.read()) && *held.read() != entry.value)
        {
            return reject(Rejection::ReadOnly(field_at(field)));
        }
        if is_empty(&entry.value) {
            let may_be_empty = !field.is_required || self.is_hidden(field);
            return if may_be_empty { Ok((entry.value.clone(), String::new())) } else { reject(Rejection::FieldEmpty(field_at(field))) };
        }
        if field.kind == FieldKind::File {
            return Ok((self.check_files(field, &entry.value)?, String::new()));
        }
        check_value(field, &entry.value)?;
        let shown = self.check_options(field, &entry.value)?;
        self.check_beside(field, &entry.value)?;
        Ok((entry.value.clone(), shown))
    }

    /// The files that a value names are there, belong to nothing else, and are such as the field takes; they are kept with what they are. What names no
    /// file of this desk is kept as it came, as clients of the original send it, unless the field says what it takes.
    fn check_files(&self, field: &Field, value: &Value) -> Decision<Value> {
        let unfit = |why| reject(Rejection::FileUnfit { at: field_at(field), why });
        let limits = Limits::of(&field.meta);
        let ids = attachment::named(value);
        if ids.is_empty() {
            return if limits.is_any() { Ok(value.clone()) } else { unfit(Unfit::NotUploaded) };
        }
        let most = limits.count_max.unwrap_or(COUNT_MAX).min(COUNT_MAX);
        if ids.len() > most {
            return unfit(Unfit::TooMany(most));
        }
        let missing: Vec<Lookup> = ids.iter().filter(|id| !self.facts.attachments.contains_key(id)).cloned().map(Lookup::Attachment).collect();
        if !missing.is_empty() {
            return Err(Refusal::Needs(missing));
        }
        let mut files = Vec::new();
        for id in &ids {
            let attachment = &self.facts.attachments[id];
            let is_elsewhere = match &attachment.place {
                None | Some(Place::Draft(_)) => false,
                Some(Place::Ticket(sn)) => !self.sheet.ticket.as_str().is_empty() && sn != self.sheet.ticket,
                Some(Place::Workflow(_)) => true,
            };
            let (Some(file), false, false) = (attachment.described(), attachment.discarded, is_elsewhere) else {
                return unfit(Unfit::NotHere(id.clone()));
            };
            let bytes = file["bytes"].as_u64().unwrap_or_default();
            if let Some(wrong) = limits.wrong(&plain(&file["name"]), &plain(&file["media_type"]), bytes) {
                return unfit(wrong);
            }
            files.push(file);
        }
        Ok(files.into())
    }

    /// What was chosen is among the options. Those that stand outside the workflow are given back by name, as they are now.
    fn check_options(&self, field: &'a Field, value: &Value) -> Decision<String> {
        let text = plain(value);
        let picked: Vec<&str> = match field.kind {
            FieldKind::Select | FieldKind::Radio | FieldKind::TreeSelect | FieldKind::InputSelect => vec![&text],
            FieldKind::MultiSelect | FieldKind::Checkbox => text.split(',').map(str::trim).collect(),
            _ => return Ok(String::new()),
        };
        let is_free = field.kind == FieldKind::InputSelect || field.source_type == "CUSTOM_API";
        let options = match self.options(field)? {
            Some(Ok(options)) => options,
            Some(Err(reason)) if !is_free => return reject(Rejection::OptionsUnavailable { at: field_at(field), reason }),
            _ => return Ok(String::new()),
        };
        if options.is_empty() && !is_free {
            return reject(Rejection::OptionsMissing(field.key.clone()));
        }
        let names: Vec<Option<String>> = picked.iter().map(|key| options::path(options, key).map(|names| names.join("->"))).collect();
        if !is_free && names.iter().any(Option::is_none) {
            return reject(Rejection::OptionUnknown(field_at(field)));
        }
        let is_own = matches!(field.source_type.as_str(), "" | "CUSTOM");
        let shown = names.into_iter().zip(picked).map(|(name, key)| name.unwrap_or_else(|| key.to_owned()));
        Ok(if is_own { String::new() } else { shown.collect::<Vec<_>>().join(",") })
    }

    /// The options of a field, or in words why there are none now; nothing where nobody said what supplies them.
    fn options(&self, field: &'a Field) -> Decision<Option<Result<&'a [Choice], String>>> {
        Ok(match field.source_type.as_str() {
            "" | "CUSTOM" => Some(Ok(&field.choice)),
            "DATADICT" => Some(Ok(self.facts.dictionary(&field.source_uri)?.unwrap_or_default())),
            _ => match options::question(field, &options::variables(self.sheet.definition, |key| self.find(key))) {
                None => None,
                Some(Err(reason)) => Some(Err(reason)),
                Some(Ok(question)) => Some(self.facts.offered(question)?.as_deref().map_err(Clone::clone)),
            },
        })
    }

    /// What a value must be beside the time, other fields and constants (reference/bk-itsm.md 4.2).
    fn check_beside(&self, field: &Field, value: &Value) -> Decision<()> {
        let invalid = |reason: &str| reject(Rejection::FieldInvalid { at: field_at(field), reason: reason.into() });
        let now = || Ok(self.facts.now()?.local.strftime(if field.kind == FieldKind::Date { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S" }).to_string());
        match field.regex.as_str() {
            "AFTER_DATE" | "AFTER_TIME" if plain(value) <= now()? => return invalid("must lie after the present"),
            "BEFORE_DATE" | "BEFORE_TIME" if plain(value) >= now()? => return invalid("must lie before the present"),
            _ => {}
        }
        let Some(rule) = &field.rule else { return Ok(()) };
        let mut held = Vec::new();
        for beside in &rule.expressions {
            let other = match &beside.other {
                Other::Field { key } => match self.find(key) {
                    Found::Value(other) | Found::Personal(other) if !is_empty(&other) => other,
                    // With a field that is empty nothing can be compared, and nothing is wrong.
                    _ => continue,
                },
                Other::System => now()?.into(),
                Other::Value { value } => value.clone(),
            };
            let kind = serde_json::to_value(field.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
            let clause = Clause { key: field.key.clone(), kind, condition: beside.condition, value: other };
            held.push(condition::clause_holds(&clause, &Found::Value(value.clone())));
        }
        let fits = match rule.join {
            Join::And => held.iter().all(|held| *held),
            Join::Or => held.is_empty() || held.iter().any(|held| *held),
        };
        if fits { Ok(()) } else { invalid("does not fit what else was filled in") }
    }
}

/// What an approver decided: the result field of the node's form, where it is given.
pub(super) fn decision(definition: &Definition, node: &Node, form: &[Entry]) -> Option<bool> {
    let result = definition.fields_of(node).find(|field| field.is_approve_result)?;
    form.iter().find(|entry| entry.key == result.key).map(|entry| plain(entry.read()) == "true")
}

/// The form of a decision that comes without one: the result, and the remark in the first text field that is shown for it.
pub fn decided(definition: &Definition, node: &Node, pass: bool, remark: &str) -> Vec<Entry> {
    let Some(result) = definition.fields_of(node).find(|field| field.is_approve_result) else { return Vec::new() };
    let mut form = vec![Entry::new(result.key.clone(), pass.to_string())];
    let is_shown = |field: &&Field| {
        let find = |key: &str| if key == result.key { Found::Value(pass.to_string().into()) } else { Found::Absent };
        !field.hidden_when.as_ref().is_some_and(|group| condition::group_holds(group, LineId(0), &find, &mut Vec::new()))
    };
    let texts = definition.fields_of(node).filter(|field| matches!(field.kind, FieldKind::Text | FieldKind::String | FieldKind::RichText)).filter(is_shown);
    for (at, field) in texts.enumerate() {
        let words = if pass { "同意" } else { "拒绝" };
        let text = if remark.is_empty() && field.is_required { words } else { remark };
        if at == 0 && !text.is_empty() {
            form.push(Entry::new(field.key.clone(), text));
        } else if field.is_required {
            form.push(Entry::new(field.key.clone(), words));
        }
    }
    form
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
fn stored(field: Option<&Field>, entry: &Entry) -> Value {
    let kind = field.map(|field| field.kind);
    match &entry.value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(flag) => Value::String(flag.to_string()),
        Value::Array(items) if matches!(kind, Some(FieldKind::MultiSelect | FieldKind::Checkbox | FieldKind::Member | FieldKind::Members)) => {
            Value::String(items.iter().map(plain).collect::<Vec<_>>().join(","))
        }
        other => other.clone(),
    }
}

fn check_value(field: &Field, value: &Value) -> Decision<()> {
    let invalid = |reason: &str| reject(Rejection::FieldInvalid { at: field_at(field), reason: reason.into() });
    let is_text = value.is_string();
    let text = plain(value);
    if field.key == "title" && text.chars().count() > TITLE_MAX {
        return reject(Rejection::TitleTooLong);
    }
    match field.kind {
        FieldKind::Table | FieldKind::CustomTable if !value.as_array().is_some_and(|rows| rows.iter().all(Value::is_object)) => {
            return invalid("is not a list of rows");
        }
        FieldKind::CustomTable => return check_columns(field, value),
        FieldKind::Table | FieldKind::CustomForm => return Ok(()),
        _ if !is_text => return invalid("is not a text"),
        FieldKind::Int if text.trim().parse::<f64>().map_or(true, |number| !number.is_finite()) => return invalid("is not a number"),
        FieldKind::Date if text.parse::<jiff::civil::Date>().is_err() => return invalid("is not a date (YYYY-MM-DD)"),
        FieldKind::DateTime if jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &text).is_err() => {
            return invalid("is not a time (YYYY-MM-DD hh:mm:ss)");
        }
        FieldKind::Member if people(value).len() > 1 => return invalid("names more than one person"),
        _ => {}
    }
    check_pattern(field, &text)
}

/// Which field is meant, in a refusal.
fn field_at(field: &Field) -> FieldAt {
    FieldAt { key: field.key.clone(), name: field.name.clone() }
}

/// Every row of a designed table has what its columns ask for (`meta.columns`, reference/bk-itsm.md 4.1).
fn check_columns(field: &Field, value: &Value) -> Decision<()> {
    let columns = field.meta.get("columns").and_then(Value::as_array).cloned().unwrap_or_default();
    for (at, row) in value.as_array().into_iter().flatten().enumerate() {
        for column in &columns {
            let key = column["key"].as_str().unwrap_or_default();
            let name = column["name"].as_str().unwrap_or(key);
            let cell = row.get(key).cloned().unwrap_or_default();
            let invalid = |what: &str| reject(Rejection::FieldInvalid { at: field_at(field), reason: format!("row {} column {name} {what}", at + 1) });
            if is_empty(&cell) {
                if column["required"] == true {
                    return invalid("is empty");
                }
                continue;
            }
            let options: Vec<String> = column["choice"].as_array().into_iter().flatten().map(|choice| plain(&choice["key"])).collect();
            let picked = plain(&cell);
            let fits = match column["display"].as_str().unwrap_or_default() {
                "select" => options.is_empty() || options.contains(&picked),
                "multiselect" => options.is_empty() || picked.split(',').all(|key| options.iter().any(|option| option == key.trim())) || cell.is_array(),
                "date" => picked.parse::<jiff::civil::Date>().is_ok(),
                "datetime" => jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &picked).is_ok(),
                _ => true,
            };
            if !fits {
                return invalid("holds something that does not fit");
            }
        }
    }
    Ok(())
}

/// The `regex` keywords of reference/bk-itsm.md 4.2 that need no clock and no other field.
fn check_pattern(field: &Field, text: &str) -> Decision<()> {
    let invalid = |reason: String| reject(Rejection::FieldInvalid { at: field_at(field), reason });
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

/// A custom pattern that does not compile, or is too large, refuses the value by name.
fn check_custom(field: &Field, text: &str) -> Decision<()> {
    let invalid = |reason: &str| reject(Rejection::FieldInvalid { at: field_at(field), reason: reason.into() });
    match condition::pattern(&field.custom_regex) {
        Some(regex) if regex.is_match(text) => Ok(()),
        Some(_) => invalid("does not fit the custom rule"),
        None => invalid("has a custom rule that is not a valid pattern"),
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

/// A value as text; null is empty.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The people a MEMBER(S) value names.
pub fn people(value: &Value) -> Vec<Pid> {
    plain(value).split(',').map(str::trim).filter(|part| !part.is_empty()).map(Pid::from).collect()
}
