//! Checks a submitted form against its node's fields (order and texts: reference/bk-itsm.md 3.1 and 3.9). What one value must be stands in [`value`],
//! where its options come from in [`options`], which files it may name in [`files`].

mod files;
mod options;
mod value;

use std::collections::BTreeSet;

use events::workflow::{Clause, Definition, Field, FieldKind, Join, Node, Other};
use events::{Entry, LineId, Pid, TicketSn};
use serde_json::Value;

use super::{Decision, Facts, FieldAt, Rejection, Ticket, reject, run};
use crate::attachment;
use crate::condition::{self, Found};
use crate::decider::Refusal;
pub use options::{Offer, offer};
pub use value::is_link;

/// The form of one node of a ticket, and what the ticket holds already.
#[derive(Clone, Copy)]
pub(super) struct Sheet<'a> {
    /// Empty where there is no number yet.
    pub(super) ticket: &'a TicketSn,
    pub(super) definition: &'a Definition,
    pub(super) node: &'a Node,
    pub(super) held: &'a Ticket,
    /// Whose files may be put into it.
    pub(super) by: &'a [&'a Pid],
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

/// Fills in the defaults of fields that were not given, are not filled in yet and are shown, each beside the others. What decides something is never
/// filled in: the result of an approval, a yes or no, a field that a line tests.
pub fn with_defaults(definition: &Definition, node: &Node, given: &mut Vec<Entry>, held: &Ticket) {
    let tested: BTreeSet<&str> = definition.lines.iter().filter_map(|line| line.condition.as_ref()).flat_map(condition::keys).collect();
    let is_yes_or_no = |field: &Field| !field.choice.is_empty() && field.choice.iter().all(|choice| choice.key == "true" || choice.key == "false");
    let decides = |field: &Field| field.is_approve_result || is_yes_or_no(field) || tested.contains(field.key.as_str());
    let is_there = |field: &Field| {
        given.iter().any(|entry| entry.key == field.key) || held.form.get(&field.key).is_some_and(|entry| entry.is_erased() || !is_empty(entry.read()))
    };
    let open: Vec<&Field> = definition.fields_of(node).filter(|field| !is_empty(&field.default) && !decides(field) && !is_there(field)).collect();
    let (facts, ticket) = (Facts::default(), TicketSn::default());
    let sheet = Sheet { ticket: &ticket, definition, node, held, by: &[] };
    let default = |field: &&Field| Entry::new(field.key.clone(), field.default.clone());
    let mut added: Vec<&Field> = Vec::new();
    // Whether one is shown may hang on another's default: they are looked at again until nothing changes, and no more often than there are fields.
    for _ in 0..=open.len() {
        let all: Vec<Entry> = given.iter().cloned().chain(added.iter().map(default)).collect();
        let form = Form::new(&sheet, &all, &facts);
        let shown: Vec<&Field> = open.iter().copied().filter(|field| !form.is_hidden(field)).collect();
        if shown.iter().map(|field| &field.key).eq(added.iter().map(|field| &field.key)) {
            break;
        }
        added = shown;
    }
    given.extend(added.iter().map(default));
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

    /// What is given now, else what the ticket holds or says of itself.
    fn find(&self, key: &str) -> Found {
        let given = if key == "ticket_title" { "title" } else { key };
        match self.given.iter().find(|entry| entry.key == given) {
            Some(entry) => Found::Value(entry.read().clone()),
            None => run::find(self.sheet.held, key),
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
                Ok(entry) => self.given[at] = entry,
                Err(Refusal::Needs(more)) => wanted.extend(more),
                Err(rejected) if wanted.is_empty() => return Err(rejected),
                Err(_) => break,
            }
        }
        if !wanted.is_empty() {
            return Err(Refusal::Needs(wanted));
        }
        // What was emptied on a later round is kept as empty, so that it overwrites what was there.
        let filled = &self.sheet.held.form;
        Ok(self.given.into_iter().filter(|entry| !is_empty(entry.read()) || filled.contains_key(&entry.key)).collect())
    }

    /// One given value fits its field; gives it back as it will be stored.
    fn check_at(&self, at: usize) -> Decision<Entry> {
        let entry = &self.given[at];
        let Some(field) = self.fields.iter().copied().find(|field| field.key == entry.key) else {
            return reject(Rejection::FieldUnknown(entry.key.clone()));
        };
        if self.given[..at].iter().any(|earlier| earlier.key == entry.key) {
            return reject(Rejection::FieldTwice(entry.key.clone()));
        }
        if field.is_readonly && self.sheet.held.form.get(&field.key).is_some_and(|held| is_changed(field, held, &entry.value)) {
            return reject(Rejection::ReadOnly(field_at(field)));
        }
        if is_empty(&entry.value) {
            let may_be_empty = !field.is_required || self.is_hidden(field);
            return if may_be_empty { Ok(entry.clone()) } else { reject(Rejection::FieldEmpty(field_at(field))) };
        }
        // A title is what lists show of a ticket, whether a form requires it or not.
        if (field.is_required || field.key == "title") && is_blank(field.kind, &entry.value) && !self.is_hidden(field) {
            return reject(Rejection::FieldEmpty(field_at(field)));
        }
        if field.kind == FieldKind::File {
            let (value, files) = self.check_files(field, &entry.value)?;
            // The value holds the names of the files, which are sealed like the files themselves: under the key of their uploader.
            let uploader = files.first().and_then(|id| self.facts.attachments.get(id)?.begun.as_ref()?.subject.clone());
            let entry = Entry { value, files, ..entry.clone() };
            return Ok(match uploader {
                Some(uploader) => entry.owned_by(uploader),
                None => entry,
            });
        }
        value::check(field, &entry.value)?;
        let has_rows_of_blanks = field.kind == FieldKind::CustomTable && is_blank(FieldKind::Table, &entry.value);
        if has_rows_of_blanks && field.is_required && !self.is_hidden(field) {
            return reject(Rejection::FieldEmpty(field_at(field)));
        }
        let shown = self.check_options(field, &entry.value)?;
        self.check_beside(field, &entry.value)?;
        Ok(Entry { shown, ..entry.clone() })
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
    let texts = definition.fields_of(node).filter(|field| field.kind.is_prose()).filter(is_shown);
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

/// Puts values of personal fields (and all free text, where the service says so) under the creator's key. What is under a key already stays there.
pub(super) fn own(definition: &Definition, form: Vec<Entry>, creator: &Pid, seals_text: bool) -> Vec<Entry> {
    let is_personal = |entry: &Entry| entry.personal.is_none() && definition.field(&entry.key).is_some_and(|field| is_own(field, seals_text));
    form.into_iter().map(|entry| if is_personal(&entry) { entry.owned_by(creator.clone()) } else { entry }).collect()
}

/// Says whether the value of a field is the creator's own: the field says so, or the service says so of all free text.
pub(super) fn is_own(field: &Field, seals_text: bool) -> bool {
    use FieldKind::{Boolean, Checkbox, Date, DateTime, DateTimeRange, Int, Member, Members, MultiSelect, Radio, Select, TreeSelect};
    let is_choice =
        matches!(field.kind, Boolean | Checkbox | Date | DateTime | DateTimeRange | Int | Member | Members | MultiSelect | Radio | Select | TreeSelect);
    field.is_personal || (seals_text && !is_choice)
}

/// Values are kept as text; tables and forms as the JSON they are, also where they came as its text. A text that came as JSON is kept as its text, and
/// of a time that came for a day the day.
fn stored(field: Option<&Field>, entry: &Entry) -> Value {
    let kind = field.map(|field| field.kind);
    match &entry.value {
        Value::String(text) if matches!(kind, Some(FieldKind::Table | FieldKind::CustomTable | FieldKind::CustomForm)) => {
            serde_json::from_str(text).ok().filter(|value: &Value| value.is_array() || value.is_object()).unwrap_or_else(|| entry.value.clone())
        }
        Value::String(text) if kind == Some(FieldKind::Date) => {
            let day = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text.trim()).map(|time| time.date().to_string());
            day.map_or_else(|_| entry.value.clone(), Value::String)
        }
        value @ (Value::Array(_) | Value::Object(_)) if matches!(kind, Some(FieldKind::String | FieldKind::Text | FieldKind::RichText)) => {
            // A list that holds nothing is no text either.
            Value::String(if is_blank(FieldKind::Text, value) { String::new() } else { value.to_string() })
        }
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(flag) => Value::String(flag.to_string()),
        // An item with a comma would become two: the list stays, and is rejected by that item's name.
        Value::Array(items)
            if matches!(kind, Some(FieldKind::MultiSelect | FieldKind::Checkbox | FieldKind::Member | FieldKind::Members))
                && !items.iter().any(|item| plain(item).contains(',')) =>
        {
            Value::String(items.iter().map(plain).collect::<Vec<_>>().join(","))
        }
        other => other.clone(),
    }
}

/// Says whether what stands in a field would become something else. A file is the same by whatever name it is called.
fn is_changed(field: &Field, held: &Entry, value: &Value) -> bool {
    if held.is_erased() || is_empty(held.read()) {
        return false;
    }
    match field.kind {
        FieldKind::File if !held.files.is_empty() => held.files != attachment::named(value),
        _ => held.read() != value,
    }
}

/// Which field is meant, in a refusal.
fn field_at(field: &Field) -> FieldAt {
    FieldAt { key: field.key.clone(), name: field.name.clone() }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Says whether a value shows nothing to anybody who reads it: blanks, formatting without text, no name.
fn is_blank(kind: FieldKind, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) if kind.names_people() => text.split(',').all(is_blank_text),
        Value::String(text) if kind == FieldKind::RichText => is_blank_page(text),
        Value::String(text) => is_blank_text(text),
        Value::Array(items) => items.iter().all(|item| is_blank(kind, item)),
        // Rows of a designed table are judged column by column; a form of a page is the page's own.
        Value::Object(members) if !matches!(kind, FieldKind::CustomTable | FieldKind::CustomForm) => {
            members.values().all(|member| is_blank(FieldKind::Text, member))
        }
        _ => false,
    }
}

/// Blanks, and characters that take no place on a page.
fn is_blank_text(text: &str) -> bool {
    let is_invisible = |c: char| {
        let is_filler =
            matches!(c, '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}');
        let is_mark = matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
        is_filler || is_mark
    };
    text.chars().all(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
}

/// Rich text whose tags show no picture and hold no text.
fn is_blank_page(page: &str) -> bool {
    const SHOWN: [&str; 8] = ["<img", "<video", "<audio", "<iframe", "<svg", "<canvas", "<input", "<hr"];
    const BLANKS: [&str; 15] = [
        "&nbsp;", "&ensp;", "&emsp;", "&thinsp;", "&zwnj;", "&zwj;", "&shy;", "&#160;", "&#xa0;", "&#32;", "&#x20;", "&#12288;", "&#x3000;", "&#8203;",
        "&#x200b;",
    ];
    let mut rest = page.to_lowercase();
    if SHOWN.iter().any(|tag| rest.contains(tag)) {
        return false;
    }
    for blank in BLANKS {
        rest = rest.replace(blank, " ");
    }
    let mut text = String::new();
    let mut left = rest.as_str();
    while let Some((before, tag)) = left.split_once('<') {
        text.push_str(before);
        // A sign that opens no tag is text.
        let Some((_, after)) = tag.split_once('>') else { return false };
        left = after;
    }
    is_blank_text(&text) && is_blank_text(left)
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
