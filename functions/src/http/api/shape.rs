//! Defines the shapes of request bodies. A shape describes the members that a body may have, and
//! the values that these members may have.
//!
//! The same shape checks requests and produces the schema in `/openapi.json`. Therefore every
//! documented member is also checked.

use serde::Serialize;
#[cfg(test)]
use serde_json::json;
use serde_json::{Map, Value};

/// The largest number of errors in one response. A normal form has fewer errors. The limit keeps
/// the response to a malformed body small.
pub(super) const FLAWS_MAX: usize = 50;
/// Maximum number of characters that an error message repeats from a text of the client.
const QUOTED_MAX: usize = 64;
/// The maximum length of a JSON pointer in an error message, in characters. The longest valid
/// pointers belong to members of a workflow definition, and they are shorter than this limit.
const POINTER_MAX: usize = 200;

/// One error in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FieldError"))]
pub(super) struct Flaw {
    /// The location of the error: the JSON pointer of a member (RFC 6901), or the name of a
    /// parameter or header.
    pub(super) field: String,
    pub(super) detail: String,
}

/// The values that a member of a body accepts. Only [`Shape::Any`] and [`Shape::Nullable`] accept
/// null.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Text,
    /// The value is exactly one of the listed words.
    Words(&'static [&'static str]),
    /// The value is an integer. This variant contains the smallest and the largest allowed integer.
    Integer(i64, i64),
    Flag,
    /// The value is a text, a number or a boolean.
    Plain,
    /// The value can have any type, but it is not null.
    Given,
    Any,
    List(&'static Shape),
    /// The value is an object with any keys. Each value in the object must match the inner shape.
    Map(&'static Shape),
    Object(&'static [Member]),
    /// The value is an object with several variants. The member with the name `tag` selects a
    /// variant. Each variant has its own list of allowed members.
    Tagged {
        tag: &'static str,
        cases: &'static [(&'static str, &'static [Member])],
    },
    /// The value is one of the listed words, or an object with the listed members.
    WordOr(&'static [&'static str], &'static [Member]),
    Nullable(&'static Shape),
    /// The value must match the inner shape. The OpenAPI document defines this shape once under a
    /// name, and refers to the name everywhere else.
    Named(
        #[cfg_attr(
            not(test),
            expect(dead_code, reason = "only the description uses the name")
        )]
        &'static str,
        &'static Shape,
    ),
    /// The value is valid if the function `fits` returns true. `what` describes the valid values in
    /// words, and `schema` describes them as a JSON schema.
    Own {
        fits: fn(&Value) -> bool,
        what: &'static str,
        #[cfg(test)]
        schema: fn() -> Value,
    },
}

/// A signed integer of 64 bits.
pub(super) const INTEGER: Shape = Shape::Integer(i64::MIN, i64::MAX);
/// An unsigned integer of 32 bits. The stored events use this type for counts.
pub(super) const COUNT: Shape = Shape::Integer(0, 4_294_967_295);
/// A list of user names.
pub(super) const NAMES: Shape = Shape::List(&NAME);
static NAME: Shape = Shape::Own {
    fits: |value| {
        value
            .as_str()
            .and_then(crate::app::people::one_name)
            .is_some()
    },
    what: "a user name",
    #[cfg(test)]
    schema: || json!({ "type": "string" }),
};
/// The values of a form. Each key is a field key, and each value can have any type.
pub(super) const FORM: Shape = Shape::Map(&Shape::Any);

/// Whether a member of an object is required.
#[derive(Clone, Copy, Debug)]
enum Need {
    Required,
    Optional,
    /// The member is required only if another member is absent. This variant contains the name of
    /// the other member.
    Unless(&'static str),
}

/// One member of an object: its name, its valid values, and whether it is required.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    shape: Shape,
    need: Need,
}

pub(super) const fn required(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        shape,
        need: Need::Required,
    }
}

pub(super) const fn optional(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        shape,
        need: Need::Optional,
    }
}

pub(super) const fn unless(other: &'static str, name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        shape,
        need: Need::Unless(other),
    }
}

/// Returns the errors in an object, but at most [`FLAWS_MAX`] errors. `at` is the JSON pointer of
/// the object in the body.
pub(super) fn flaws(members: &[Member], object: &Map<String, Value>, at: &str) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    check_members(members, None, object, at, &mut flaws);
    flaws
}

/// Returns whether `members` contains at least one member that is always required.
#[cfg(test)]
pub(super) fn has_required(members: &[Member]) -> bool {
    members
        .iter()
        .any(|member| matches!(member.need, Need::Required))
}

/// Returns the JSON schema of an object with the given members.
#[cfg(test)]
pub(super) fn schema_of(members: &[Member]) -> Value {
    let properties: Map<String, Value> = members
        .iter()
        .map(|member| (member.name.to_owned(), member.shape.schema()))
        .collect();
    let required: Vec<&str> = members
        .iter()
        .filter(|member| matches!(member.need, Need::Required))
        .map(|member| member.name)
        .collect();
    let mut schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    // The keyword `required` of JSON schema cannot express the condition of `Need::Unless`. An
    // extension keyword therefore contains the condition for human readers and for tests.
    let conditional: Map<String, Value> = members
        .iter()
        .filter_map(|member| match member.need {
            Need::Unless(other) => Some((member.name.to_owned(), other.into())),
            Need::Required | Need::Optional => None,
        })
        .collect();
    if !conditional.is_empty() {
        schema["x-required-unless"] = conditional.into();
    }
    schema
}

/// Appends the name of a member to a JSON pointer (RFC 6901).
pub(super) fn step(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Returns the text that names a member in error messages. `at` is the JSON pointer of the member.
pub(super) fn named(at: &str) -> String {
    let name = at
        .trim_start_matches('/')
        .replace('/', ".")
        .replace("~1", "/")
        .replace("~0", "~");
    if name.is_empty() {
        "the body".to_owned()
    } else {
        format!("`{}`", short(&name, POINTER_MAX))
    }
}

/// Returns the first characters of a text for an error message. The text comes from a client, so
/// control characters are replaced by spaces.
pub(super) fn quoted(text: &str) -> String {
    short(text, QUOTED_MAX)
}

fn short(text: &str, most: usize) -> String {
    let mut short: String = text
        .chars()
        .take(most)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

fn check_members(
    members: &[Member],
    tag: Option<&str>,
    object: &Map<String, Value>,
    at: &str,
    flaws: &mut Vec<Flaw>,
) {
    for name in object.keys().filter(|name| tag != Some(name.as_str())) {
        if flaws.len() < FLAWS_MAX && !members.iter().any(|member| member.name == name) {
            let known: Vec<&str> = tag
                .into_iter()
                .chain(members.iter().map(|member| member.name))
                .collect();
            let field = step(at, name);
            let known = if known.is_empty() {
                "this body has no members".to_owned()
            } else {
                format!("known members are {}", known.join(", "))
            };
            flaws.push(Flaw {
                detail: format!("{} is not a known member; {known}", named(&field)),
                field,
            });
        }
    }
    for member in members {
        let field = step(at, member.name);
        match (object.get(member.name), member.need) {
            (Some(value), _) => member.shape.check(value, &field, flaws),
            (None, Need::Optional) => {}
            (None, Need::Unless(other)) if object.contains_key(other) => {}
            (None, Need::Required) => push(flaws, format!("{} is required", named(&field)), field),
            (None, Need::Unless(other)) => push(
                flaws,
                format!("{} is required if `{other}` is absent", named(&field)),
                field,
            ),
        }
    }
}

fn push(flaws: &mut Vec<Flaw>, detail: String, field: String) {
    if flaws.len() < FLAWS_MAX {
        flaws.push(Flaw { field, detail });
    }
}

impl Shape {
    fn check(&self, value: &Value, at: &str, flaws: &mut Vec<Flaw>) {
        if flaws.len() >= FLAWS_MAX {
            return;
        }
        match (self, value) {
            (Self::Named(_, shape), _) => shape.check(value, at, flaws),
            (Self::Nullable(_), Value::Null) => {}
            (Self::Nullable(shape), _) => shape.check(value, at, flaws),
            (Self::List(shape), Value::Array(items)) => {
                for (number, item) in items.iter().enumerate() {
                    shape.check(item, &format!("{at}/{number}"), flaws);
                }
            }
            (Self::Map(shape), Value::Object(values)) => {
                for (name, value) in values {
                    shape.check(value, &step(at, name), flaws);
                }
            }
            (Self::Object(members) | Self::WordOr(_, members), Value::Object(object)) => {
                check_members(members, None, object, at, flaws);
            }
            (Self::Tagged { tag, cases }, Value::Object(object)) => {
                let field = step(at, tag);
                match object.get(*tag) {
                    None => push(flaws, format!("{} is required", named(&field)), field),
                    Some(word) => {
                        if let Some((_, members)) = cases
                            .iter()
                            .find(|(known, _)| word.as_str() == Some(*known))
                        {
                            check_members(members, Some(*tag), object, at, flaws);
                        } else {
                            let words: Vec<&str> = cases.iter().map(|(known, _)| *known).collect();
                            push(
                                flaws,
                                format!(
                                    "{} must be one of {}, not {}",
                                    named(&field),
                                    words.join(", "),
                                    describe(word)
                                ),
                                field,
                            );
                        }
                    }
                }
            }
            _ if self.takes(value) => {}
            _ => push(
                flaws,
                format!(
                    "{} must be {}, not {}",
                    named(at),
                    self.what(),
                    describe(value)
                ),
                at.to_owned(),
            ),
        }
    }

    /// Returns whether a simple value, such as a text or a number, has this shape. Lists, objects
    /// and all other shapes with inner shapes are checked elsewhere. For such a shape, the function
    /// returns false.
    fn takes(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Given => !value.is_null(),
            Self::Text => value.is_string(),
            Self::Words(words) | Self::WordOr(words, _) => {
                value.as_str().is_some_and(|text| words.contains(&text))
            }
            Self::Integer(least, most) => value
                .as_i64()
                .is_some_and(|number| (*least..=*most).contains(&number)),
            Self::Flag => value.is_boolean(),
            Self::Plain => value.is_string() || value.is_number() || value.is_boolean(),
            Self::Own { fits, .. } => fits(value),
            Self::List(_)
            | Self::Map(_)
            | Self::Object(_)
            | Self::Tagged { .. }
            | Self::Nullable(_)
            | Self::Named(..) => false,
        }
    }

    /// Returns a description of the values that this shape accepts. Error messages contain this
    /// description.
    fn what(&self) -> String {
        match self {
            Self::Any | Self::Given => "a value".into(),
            Self::Text => "a text".into(),
            Self::Words(words) => format!("one of {}", words.join(", ")),
            Self::Integer(i64::MIN, i64::MAX) => "an integer".into(),
            Self::Integer(least, most) => format!("an integer from {least} to {most}"),
            Self::Flag => "true or false".into(),
            Self::Plain => "a text, a number, true or false".into(),
            Self::List(_) => "an array".into(),
            Self::Map(_) | Self::Object(_) | Self::Tagged { .. } => "an object".into(),
            Self::WordOr(words, _) => format!("one of {} or an object", words.join(", ")),
            Self::Nullable(shape) => format!("{} or null", shape.what()),
            Self::Named(_, shape) => shape.what(),
            Self::Own { what, .. } => (*what).to_owned(),
        }
    }

    /// Returns the JSON schema of this shape. The schema version is 2020-12, as OpenAPI 3.1
    /// requires.
    #[cfg(test)]
    pub(super) fn schema(&self) -> Value {
        match self {
            Self::Any => json!({}),
            Self::Given => json!({ "not": { "type": "null" } }),
            Self::Text => json!({ "type": "string" }),
            Self::Words(words) => json!({ "type": "string", "enum": words }),
            Self::Integer(i64::MIN, i64::MAX) => json!({ "type": "integer" }),
            Self::Integer(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Flag => json!({ "type": "boolean" }),
            Self::Plain => json!({ "type": ["string", "number", "boolean"] }),
            Self::List(shape) => json!({ "type": "array", "items": shape.schema() }),
            Self::Map(shape) => match shape {
                Self::Any => json!({ "type": "object", "additionalProperties": true }),
                shape => json!({ "type": "object", "additionalProperties": shape.schema() }),
            },
            Self::Object(members) => schema_of(members),
            Self::Tagged { tag, cases } => {
                let one = |(word, members): &(&str, &[Member])| {
                    let mut schema = schema_of(members);
                    schema["properties"][*tag] = json!({ "type": "string", "const": word });
                    let mut required = vec![json!(tag)];
                    required.extend(schema["required"].as_array().cloned().unwrap_or_default());
                    schema["required"] = required.into();
                    schema
                };
                json!({ "oneOf": cases.iter().map(one).collect::<Vec<_>>() })
            }
            Self::WordOr(words, members) => {
                json!({ "oneOf": [{ "type": "string", "enum": words }, schema_of(members)] })
            }
            Self::Nullable(shape) => json!({ "anyOf": [shape.schema(), { "type": "null" }] }),
            Self::Named(name, _) => json!({ "$ref": format!("#/components/schemas/{name}") }),
            Self::Own { schema, .. } => schema(),
        }
    }
}

/// Returns a description of an invalid value. Error messages contain this description.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("the text {:?}", quoted(text)),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: &[Member] = &[required("key", Shape::Text), optional("count", COUNT)];
    const BODY: &[Member] = &[
        required("pass", Shape::Flag),
        optional("items", Shape::List(&Shape::Object(INNER))),
        optional("days", Shape::Nullable(&COUNT)),
        optional("people", NAMES),
        unless("pass", "other", Shape::Text),
    ];

    fn fields(body: Value) -> Vec<String> {
        flaws(BODY, body.as_object().expect("an object"), "")
            .into_iter()
            .map(|flaw| flaw.field)
            .collect()
    }

    #[test]
    fn all_flaws_of_a_body_are_reported_with_their_pointers() {
        assert_eq!(
            fields(
                json!({ "pass": true, "days": null, "people": ["lisi"], "items": [{ "key": "a", "count": 1 }] })
            ),
            [""; 0]
        );
        assert_eq!(fields(json!({})), ["/pass", "/other"]);
        assert_eq!(
            fields(json!({ "pass": null, "people": ["lisi", 1, "a;b"] })),
            ["/pass", "/people/1", "/people/2"]
        );
        assert_eq!(
            fields(
                json!({ "pass": true, "a/b": 1, "items": [{ "key": "a" }, { "kye": "b", "count": -1 }] })
            ),
            ["/a~1b", "/items/1/kye", "/items/1/key", "/items/1/count"]
        );
        let all = flaws(
            BODY,
            json!({ "pass": "yes" }).as_object().expect("an object"),
            "",
        );
        assert_eq!(
            all[0].detail,
            "`pass` must be true or false, not the text \"yes\""
        );
    }

    #[test]
    fn the_number_of_reported_flaws_is_bounded() {
        let body: Map<String, Value> = (0..1000)
            .map(|number| (format!("m{number}"), Value::Null))
            .collect();
        assert_eq!(flaws(BODY, &body, "").len(), FLAWS_MAX);
    }
}
