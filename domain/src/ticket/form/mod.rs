//! Checks a form that a person or a client app submitted. The order of the checks and the error texts follow
//! reference/bk-itsm.md 3.1 and 3.9.
//!
//! [`value`] checks one value, [`options`] finds the options of a field, and [`files`] checks the uploaded
//! files in a form.

mod files;
mod options;
mod value;

use std::collections::BTreeSet;

use events::workflow::{Clause, Definition, Field, FieldKind, Join, Node, Other};
use events::{Entry, PersonId, TicketSn, TransitionId};
use serde_json::Value;

use super::{Context, Decision, FieldAt, Invalid, Rejection, Ticket, engine, reject};
use crate::attachment;
use crate::condition::{self, Found};
use crate::decider::DecideError;
use crate::value::plain;
pub use options::{Offer, offer};
pub use value::is_link;

/// The inputs for the check of a form: the node, the ticket and the people.
#[derive(Clone, Copy)]
pub(super) struct FormInput<'a> {
    /// The ticket number. The text is empty if the form opens a new ticket, which has no number yet.
    pub(super) ticket: &'a TicketSn,
    pub(super) definition: &'a Definition,
    pub(super) node: &'a Node,
    pub(super) current: &'a Ticket,
    /// The people who submit the form. A file that is not attached to the ticket yet must belong to one of
    /// these people.
    pub(super) by: &'a [&'a PersonId],
}

/// Checks the whole form of a node, including the required fields. Returns the values in the format in which
/// the ticket stores the values.
pub(super) fn check(
    input: &FormInput<'_>,
    given: &[Entry],
    context: &Context,
) -> Decision<Vec<Entry>> {
    let form = Form::new(input, given, context);
    let required = form
        .fields
        .iter()
        .filter(|field| field.is_required && !form.is_hidden(field));
    let missing: Vec<String> = required
        .filter(|field| !form.given.iter().any(|entry| entry.key == field.key))
        .map(|field| field.key.clone())
        .collect();
    if missing.is_empty() {
        form.checked()
    } else {
        reject(Rejection::FieldsMissing(missing))
    }
}

/// Checks only the given fields of a form. The sender of the command changes these fields in an existing
/// ticket. Returns the values in the format in which the ticket stores them.
pub(super) fn check_some(
    input: &FormInput<'_>,
    given: &[Entry],
    context: &Context,
) -> Decision<Vec<Entry>> {
    let mut form = Form::new(input, given, context);
    let others = given
        .iter()
        .filter_map(|entry| input.definition.field(&entry.key))
        .filter(|field| !input.node.fields.contains(&field.key));
    form.fields.extend(others);
    form.checked()
}

/// Adds default values to the form `given`, for visible fields that have no value. A field gets no default if
/// a person must decide its value. These fields are the result of an approval, a yes-or-no choice, and each
/// field that a transition condition uses.
pub fn with_defaults(
    definition: &Definition,
    node: &Node,
    given: &mut Vec<Entry>,
    current: &Ticket,
) {
    let tested: BTreeSet<&str> = definition
        .transitions
        .iter()
        .filter_map(|transition| transition.condition.as_ref())
        .flat_map(condition::keys)
        .collect();
    let is_yes_or_no = |field: &Field| {
        !field.choice.is_empty()
            && field
                .choice
                .iter()
                .all(|choice| choice.key == "true" || choice.key == "false")
    };
    let decides = |field: &Field| {
        field.is_approve_result || is_yes_or_no(field) || tested.contains(field.key.as_str())
    };
    let has_value = |field: &Field| {
        given.iter().any(|entry| entry.key == field.key)
            || current
                .form
                .get(&field.key)
                .is_some_and(|entry| entry.is_erased() || !is_empty(entry.read()))
    };
    let open: Vec<&Field> = definition
        .fields_of(node)
        .filter(|field| !is_empty(&field.default) && !decides(field) && !has_value(field))
        .collect();
    let (context, ticket) = (Context::default(), TicketSn::default());
    let input = FormInput {
        ticket: &ticket,
        definition,
        node,
        current,
        by: &[],
    };
    let default = |field: &&Field| Entry::new(field.key.clone(), field.default.clone());
    let mut added: Vec<&Field> = Vec::new();
    // A default value in one field can make another field visible, so the loop repeats until no further field
    // becomes visible.
    for _ in 0..=open.len() {
        let all: Vec<Entry> = given
            .iter()
            .cloned()
            .chain(added.iter().map(default))
            .collect();
        let form = Form::new(&input, &all, &context);
        let shown: Vec<&Field> = open
            .iter()
            .copied()
            .filter(|field| !form.is_hidden(field))
            .collect();
        if shown
            .iter()
            .map(|field| &field.key)
            .eq(added.iter().map(|field| &field.key))
        {
            break;
        }
        added = shown;
    }
    given.extend(added.iter().map(default));
}

/// A submitted form that is checked. The checks use the submitted values and the stored values of the ticket.
struct Form<'a> {
    input: FormInput<'a>,
    fields: Vec<&'a Field>,
    given: Vec<Entry>,
    context: &'a Context,
}

impl<'a> Form<'a> {
    fn new(input: &FormInput<'a>, given: &[Entry], context: &'a Context) -> Self {
        let fields: Vec<&Field> = input.definition.fields_of(input.node).collect();
        let find = |key: &str| {
            fields
                .iter()
                .copied()
                .find(|field| field.key == key)
                .or_else(|| input.definition.field(key))
        };
        let given = given
            .iter()
            .map(|entry| Entry::new(entry.key.clone(), stored(find(&entry.key), entry)))
            .collect();
        Self {
            input: *input,
            fields,
            given,
            context,
        }
    }

    /// Returns the value of a key from the submitted form. If the form does not contain the key, returns the
    /// value that the ticket already stores.
    fn find(&self, key: &str) -> Found {
        let given = if key == "ticket_title" { "title" } else { key };
        match self.given.iter().find(|entry| entry.key == given) {
            Some(entry) => Found::Value(entry.read().clone()),
            None => engine::find(self.input.current, key),
        }
    }

    fn is_hidden(&self, field: &Field) -> bool {
        field.hidden_when.as_ref().is_some_and(|group| {
            condition::group_holds(
                group,
                TransitionId(0),
                &|key| self.find(key),
                &mut Vec::new(),
            )
        })
    }

    /// Checks all submitted values, and returns the form entries that the ticket stores. If the check needs
    /// inputs from other streams that the caller did not give, the error lists these inputs. Otherwise the
    /// error describes the first invalid field.
    fn checked(mut self) -> Decision<Vec<Entry>> {
        let mut lookups = Vec::new();
        for at in 0..self.given.len() {
            match self.check_at(at) {
                Ok(entry) => self.given[at] = entry,
                Err(DecideError::Needs(more)) => lookups.extend(more),
                Err(rejected) if lookups.is_empty() => return Err(rejected),
                Err(_) => break,
            }
        }
        if !lookups.is_empty() {
            return Err(DecideError::Needs(lookups));
        }
        // An empty value is stored only if the ticket already stores a value of the same field. The empty
        // value then replaces this value.
        let filled = &self.input.current.form;
        Ok(self
            .given
            .into_iter()
            .filter(|entry| !is_empty(entry.read()) || filled.contains_key(&entry.key))
            .collect())
    }

    /// Checks the submitted value with the index `at`. Returns the form entry that the ticket stores.
    fn check_at(&self, at: usize) -> Decision<Entry> {
        let entry = &self.given[at];
        let Some(field) = self
            .fields
            .iter()
            .copied()
            .find(|field| field.key == entry.key)
        else {
            return reject(Rejection::FieldUnknown(entry.key.clone()));
        };
        if self.given[..at]
            .iter()
            .any(|earlier| earlier.key == entry.key)
        {
            return reject(Rejection::FieldTwice(entry.key.clone()));
        }
        if field.is_readonly
            && self
                .input
                .current
                .form
                .get(&field.key)
                .is_some_and(|current| is_changed(field, current, &entry.value))
        {
            return reject(Rejection::ReadOnly(field_at(field)));
        }
        if is_empty(&entry.value) {
            let may_be_empty = !field.is_required || self.is_hidden(field);
            return if may_be_empty {
                Ok(entry.clone())
            } else {
                reject(Rejection::FieldEmpty(field_at(field)))
            };
        }
        // Lists of tickets show the title. A blank title is therefore rejected, even if the workflow does not
        // require a title.
        if (field.is_required || field.key == "title")
            && is_blank(field.kind, &entry.value)
            && !self.is_hidden(field)
        {
            return reject(Rejection::FieldEmpty(field_at(field)));
        }
        if field.kind == FieldKind::File {
            let (value, files) = self.check_files(field, &entry.value)?;
            // The value contains the names of uploaded files. Files are encrypted with the uploader's key, so
            // their names are encrypted with the same key.
            let uploader = files.first().and_then(|id| {
                self.context
                    .attachments
                    .get(id)?
                    .upload_started
                    .as_ref()?
                    .subject
                    .clone()
            });
            let entry = Entry {
                value,
                files,
                ..entry.clone()
            };
            return Ok(match uploader {
                Some(uploader) => entry.owned_by(uploader),
                None => entry,
            });
        }
        value::check(field, &entry.value)?;
        let has_rows_of_blanks =
            field.kind == FieldKind::CustomTable && is_blank(FieldKind::Table, &entry.value);
        if has_rows_of_blanks && field.is_required && !self.is_hidden(field) {
            return reject(Rejection::FieldEmpty(field_at(field)));
        }
        let shown = self.check_options(field, &entry.value)?;
        self.check_rule(field, &entry.value)?;
        Ok(Entry {
            shown,
            ..entry.clone()
        })
    }

    /// Checks the comparisons that the field defines for its values (reference/bk-itsm.md 4.2). A value is
    /// compared with the current time, with other fields and with constants.
    fn check_rule(&self, field: &Field, value: &Value) -> Decision<()> {
        let now = || {
            Ok(self
                .context
                .now()?
                .local
                .strftime(if field.kind == FieldKind::Date {
                    "%Y-%m-%d"
                } else {
                    "%Y-%m-%d %H:%M:%S"
                })
                .to_string())
        };
        match field.regex.as_str() {
            "AFTER_DATE" | "AFTER_TIME" if plain(value) <= now()? => {
                return value::invalid(field, Invalid::NotAfterNow);
            }
            "BEFORE_DATE" | "BEFORE_TIME" if plain(value) >= now()? => {
                return value::invalid(field, Invalid::NotBeforeNow);
            }
            _ => {}
        }
        let Some(rule) = &field.rule else {
            return Ok(());
        };
        let mut results = Vec::new();
        for comparison in &rule.expressions {
            let other = match &comparison.other {
                Other::Field { key } => match self.find(key) {
                    Found::Value(other) | Found::Personal(other) if !is_empty(&other) => other,
                    // The rule compares the value with another field, and this other field is empty. The
                    // comparison is therefore skipped.
                    _ => continue,
                },
                Other::System => now()?.into(),
                Other::Value { value } => value.clone(),
            };
            let kind = serde_json::to_value(field.kind)
                .ok()
                .and_then(|kind| kind.as_str().map(str::to_owned))
                .unwrap_or_default();
            let clause = Clause {
                key: field.key.clone(),
                kind,
                condition: comparison.condition,
                value: other,
            };
            results.push(condition::clause_holds(
                &clause,
                &Found::Value(value.clone()),
            ));
        }
        let fits = match rule.join {
            Join::And => results.iter().all(|holds| *holds),
            Join::Or => results.is_empty() || results.iter().any(|holds| *holds),
        };
        if fits {
            Ok(())
        } else {
            value::invalid(field, Invalid::OtherFields)
        }
    }
}

/// Returns the decision of an approver: true for an approval, false for a rejection. The decision is the
/// value of one field in the form. Returns `None` if the form contains no decision.
pub(super) fn decision(definition: &Definition, node: &Node, form: &[Entry]) -> Option<bool> {
    let result = definition
        .fields_of(node)
        .find(|field| field.is_approve_result)?;
    form.iter()
        .find(|entry| entry.key == result.key)
        .map(|entry| plain(entry.read()) == "true")
}

/// Builds the form for a vote that a person cast without a form. The form field for the result of the vote
/// gets the decision. The first visible text field gets the remark.
pub fn decided(definition: &Definition, node: &Node, pass: bool, remark: &str) -> Vec<Entry> {
    let Some(result) = definition
        .fields_of(node)
        .find(|field| field.is_approve_result)
    else {
        return Vec::new();
    };
    let mut form = vec![Entry::new(result.key.clone(), pass.to_string())];
    let is_shown = |field: &&Field| {
        let find = |key: &str| {
            if key == result.key {
                Found::Value(pass.to_string().into())
            } else {
                Found::Absent
            }
        };
        !field.hidden_when.as_ref().is_some_and(|group| {
            condition::group_holds(group, TransitionId(0), &find, &mut Vec::new())
        })
    };
    let texts = definition
        .fields_of(node)
        .filter(|field| field.kind.is_prose())
        .filter(is_shown);
    for (at, field) in texts.enumerate() {
        let words = if pass { "同意" } else { "拒绝" };
        let text = if remark.is_empty() && field.is_required {
            words
        } else {
            remark
        };
        if at == 0 && !text.is_empty() {
            form.push(Entry::new(field.key.clone(), text));
        } else if field.is_required {
            form.push(Entry::new(field.key.clone(), words));
        }
    }
    form
}

/// Marks all values of the form that must be encrypted with the creator's key. These are the values of
/// personal fields. If the service encrypts free text, the values of all fields with free text are also
/// marked. A value that already belongs to another person does not change.
pub(super) fn set_owner(
    definition: &Definition,
    form: Vec<Entry>,
    creator: &PersonId,
    seals_text: bool,
) -> Vec<Entry> {
    let is_personal = |entry: &Entry| {
        entry.personal.is_none()
            && definition
                .field(&entry.key)
                .is_some_and(|field| is_creator_owned(field, seals_text))
    };
    form.into_iter()
        .map(|entry| {
            if is_personal(&entry) {
                entry.owned_by(creator.clone())
            } else {
                entry
            }
        })
        .collect()
}

/// Returns true if the value of a field must be encrypted with the creator's key. This applies to a personal
/// field. If the service encrypts all free text, this also applies to a field with free text.
pub(super) fn is_creator_owned(field: &Field, seals_text: bool) -> bool {
    use FieldKind::{
        Boolean, Checkbox, Date, DateTime, DateTimeRange, Int, Member, Members, MultiSelect, Radio,
        Select, TreeSelect,
    };
    let is_choice = matches!(
        field.kind,
        Boolean
            | Checkbox
            | Date
            | DateTime
            | DateTimeRange
            | Int
            | Member
            | Members
            | MultiSelect
            | Radio
            | Select
            | TreeSelect
    );
    field.is_personal || (seals_text && !is_choice)
}

/// Converts a submitted value to the format in which the ticket stores the value:
/// - Tables and custom forms become JSON, even if the client sent them as text.
/// - Numbers, booleans, and lists of options or people become text.
/// - A list or object in a text field becomes JSON text.
/// - A date field loses the time of day.
fn stored(field: Option<&Field>, entry: &Entry) -> Value {
    let kind = field.map(|field| field.kind);
    match &entry.value {
        Value::String(text)
            if matches!(
                kind,
                Some(FieldKind::Table | FieldKind::CustomTable | FieldKind::CustomForm)
            ) =>
        {
            serde_json::from_str(text)
                .ok()
                .filter(|value: &Value| value.is_array() || value.is_object())
                .unwrap_or_else(|| entry.value.clone())
        }
        Value::String(text) if kind == Some(FieldKind::Date) => {
            let day = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text.trim())
                .map(|time| time.date().to_string());
            day.map_or_else(|_| entry.value.clone(), Value::String)
        }
        value @ (Value::Array(_) | Value::Object(_))
            if matches!(
                kind,
                Some(FieldKind::String | FieldKind::Text | FieldKind::RichText)
            ) =>
        {
            // A list without visible content is stored as an empty text.
            Value::String(if is_blank(FieldKind::Text, value) {
                String::new()
            } else {
                value.to_string()
            })
        }
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(flag) => Value::String(flag.to_string()),
        // The items of a list are joined to one text with commas. If an item contains a comma, the list is
        // not joined, because the item would look like two items. A later check rejects such a list and names
        // the item.
        Value::Array(items)
            if matches!(
                kind,
                Some(
                    FieldKind::MultiSelect
                        | FieldKind::Checkbox
                        | FieldKind::Member
                        | FieldKind::Members
                )
            ) && !items.iter().any(|item| plain(item).contains(',')) =>
        {
            Value::String(items.iter().map(plain).collect::<Vec<_>>().join(","))
        }
        other => other.clone(),
    }
}

/// Returns true if a new value differs from the stored value of the field. Files are compared by their ids,
/// so a different file name is not a difference.
fn is_changed(field: &Field, current: &Entry, value: &Value) -> bool {
    if current.is_erased() || is_empty(current.read()) {
        return false;
    }
    match field.kind {
        FieldKind::File if !current.files.is_empty() => current.files != attachment::named(value),
        _ => current.read() != value,
    }
}

/// Returns the key and the name of a field. An error message contains the key and the name to identify the
/// field.
fn field_at(field: &Field) -> FieldAt {
    FieldAt {
        key: field.key.clone(),
        name: field.name.clone(),
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

/// Returns true if a value of a field has no visible content. Examples are whitespace, formatting without
/// text, and a list of people without names.
fn is_blank(kind: FieldKind, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) if kind.names_people() => text.split(',').all(is_blank_text),
        Value::String(text) if kind == FieldKind::RichText => is_blank_rich_text(text),
        Value::String(text) => is_blank_text(text),
        Value::Array(items) => items.iter().all(|item| is_blank(kind, item)),
        // This function does not check the content of custom tables and custom forms. Custom tables are
        // checked by their columns. Custom forms are checked by the client app (the program that calls the
        // API).
        Value::Object(members)
            if !matches!(kind, FieldKind::CustomTable | FieldKind::CustomForm) =>
        {
            members
                .values()
                .all(|member| is_blank(FieldKind::Text, member))
        }
        _ => false,
    }
}

/// Returns true if a text consists only of whitespace and invisible characters.
fn is_blank_text(text: &str) -> bool {
    let is_invisible = |c: char| {
        let is_filler = matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
        );
        let is_format = matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
        is_filler || is_format
    };
    text.chars()
        .all(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
}

/// Returns true if a rich text (HTML) contains neither visible media nor visible text.
fn is_blank_rich_text(html: &str) -> bool {
    const SHOWN: [&str; 8] = [
        "<img", "<video", "<audio", "<iframe", "<svg", "<canvas", "<input", "<hr",
    ];
    const BLANKS: [&str; 15] = [
        "&nbsp;", "&ensp;", "&emsp;", "&thinsp;", "&zwnj;", "&zwj;", "&shy;", "&#160;", "&#xa0;",
        "&#32;", "&#x20;", "&#12288;", "&#x3000;", "&#8203;", "&#x200b;",
    ];
    let mut rest = html.to_lowercase();
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
        // A `<` without a later `>` is normal text and not an HTML tag, so the text has visible content.
        let Some((_, after)) = tag.split_once('>') else {
            return false;
        };
        left = after;
    }
    is_blank_text(&text) && is_blank_text(left)
}
