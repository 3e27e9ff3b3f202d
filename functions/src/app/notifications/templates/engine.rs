//! Renders and checks the texts of notification templates. The rendering is a pure function of the text and of the
//! values. A text has the syntax of Jinja, for example `{{ ticket.id }}`. The output is plain text; each channel
//! escapes it for its own format.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

use minijinja::value::Object;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use super::compiled;

/// Maximum number of instructions of one rendering. A usual text needs fewer than 100.
const FUEL: u64 = 50_000;
/// Maximum length of a rendered text, in bytes.
pub const OUTPUT_MAX: usize = 16 * 1024;
/// Maximum length of a text with its variables, in bytes.
pub const SOURCE_MAX: usize = 8 * 1024;
/// The number of characters that the filter `truncate` keeps if its argument is absent.
const TRUNCATED: usize = 40;
/// The functions and filters of the library that a template cannot use, because their output can be much longer than
/// their input.
const FUNCTIONS_REMOVED: [&str; 5] = ["debug", "dict", "joiner", "namespace", "range"];
const FILTERS_REMOVED: [&str; 4] = ["format", "indent", "pprint", "safe"];

/// The variables of templates.
pub const VARIABLES: [&str; 18] = [
    "ticket.id",
    "ticket.title",
    "ticket.priority",
    "ticket.description",
    "ticket.status",
    "ticket.service",
    "ticket.node",
    "ticket.url",
    "context.related_cis",
    "context.impacted_services",
    "context.sla_deadline",
    "account.name",
    "chain.name",
    "assignee.name",
    "system.name",
    "system.url",
    "system.support_email",
    "system.current_time",
];

/// The values of variables. A variable without a value is absent.
pub type Values = BTreeMap<&'static str, String>;

/// An error at a place in a text. Lines and columns begin with 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub line: usize,
    pub column: usize,
    pub reason: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            reason,
        } = self;
        write!(f, "line {line}, column {column}: {reason}")
    }
}

/// The reason for a rendering. The reason determines what happens if a variable has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The check of a text. A variable without a value is an error.
    Check,
    /// A message to a person. A variable without a value becomes a visible marker, such as `⟨ticket.node?⟩`.
    Message,
}

/// The variables of one rendering.
#[derive(Debug)]
struct Root {
    values: Arc<Values>,
    purpose: Purpose,
}

/// The variables that begin with the same name, such as `ticket`.
#[derive(Debug)]
struct Group {
    name: String,
    values: Arc<Values>,
    purpose: Purpose,
}

/// A variable without a value in a message.
#[derive(Debug)]
struct Missing(String);

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let is_group = VARIABLES
            .iter()
            .any(|variable| variable.split('.').next() == Some(name));
        is_group.then(|| {
            Value::from_object(Group {
                name: name.to_owned(),
                values: self.values.clone(),
                purpose: self.purpose,
            })
        })
    }
}

impl Object for Group {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let path = format!("{}.{}", self.name, key.as_str()?);
        match (self.values.get(path.as_str()), self.purpose) {
            (Some(value), _) => Some(Value::from(value.as_str())),
            (None, Purpose::Check) => None,
            (None, Purpose::Message) => Some(Value::from_object(Missing(path))),
        }
    }
}

impl Object for Missing {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let path = format!("{}.{}", self.0, key.as_str()?);
        Some(Value::from_object(Self(path)))
    }

    /// Returns false, so that a condition can ask whether a variable has a value.
    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "⟨{}?⟩", self.0)
    }
}

/// A buffer that rejects more than [`OUTPUT_MAX`] bytes.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_MAX {
            self.is_full = true;
            return Err(io::Error::other("the rendered text is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static CHECKS: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::Strict));
static MESSAGES: LazyLock<Environment<'static>> =
    LazyLock::new(|| environment(UndefinedBehavior::Chainable));

fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(undefined);
    // In this mode, an error contains its place in the text.
    environment.set_debug(true);
    for name in FUNCTIONS_REMOVED {
        environment.remove_global(name);
    }
    for name in FILTERS_REMOVED {
        environment.remove_filter(name);
    }
    environment.add_filter("truncate", truncate);
    environment.add_filter("default", or_default);
    environment.add_filter("d", or_default);
    environment
}

/// The filter `truncate(n)`: returns the first `n` characters of a text. A text that is cut ends with an ellipsis.
fn truncate(text: String, most: Option<usize>) -> String {
    let most = most.unwrap_or(TRUNCATED);
    if text.chars().count() <= most {
        return text;
    }
    let cut: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// The filter `default(text)`: returns `text` if the variable has no value.
fn or_default(value: &Value, other: Option<String>) -> Value {
    let is_missing = value.is_undefined() || value.downcast_object_ref::<Missing>().is_some();
    if is_missing {
        Value::from(other.unwrap_or_default())
    } else {
        value.clone()
    }
}

/// Renders a text. A simple text of a message is compiled once, see [`super::compiled`].
pub fn render(source: &str, values: &Arc<Values>, purpose: Purpose) -> Result<String, Flaw> {
    if purpose == Purpose::Message
        && let Some(program) = compiled::known(source)
    {
        return program.render(values).ok_or_else(|| too_long(source));
    }
    interpret(source, values, purpose)
}

fn too_long(source: &str) -> Flaw {
    let reason = format!("the rendered text is longer than {OUTPUT_MAX} bytes");
    at(source, 0, reason)
}

/// Renders a text with the template library, which parses it each time.
pub(super) fn interpret(
    source: &str,
    values: &Arc<Values>,
    purpose: Purpose,
) -> Result<String, Flaw> {
    let environment = match purpose {
        Purpose::Check => &*CHECKS,
        Purpose::Message => &*MESSAGES,
    };
    let template = environment
        .template_from_str(source)
        .map_err(|error| flaw(&error, source))?;
    let root = Value::from_object(Root {
        values: values.clone(),
        purpose,
    });
    let mut output = Bounded::default();
    let rendered = template.render_captured_to(root, &mut output).map(drop);
    if output.is_full {
        return Err(too_long(source));
    }
    rendered.map_err(|error| flaw(&error, source))?;
    Ok(String::from_utf8_lossy(&output.bytes).into_owned())
}

/// Checks a text without its length in a message: its size, its syntax and its variables. Returns the text with the
/// longest values, or all errors.
pub fn check(source: &str, longest: &Arc<Values>) -> Result<String, Vec<Flaw>> {
    if source.len() > SOURCE_MAX {
        let reason = format!("the text is longer than {SOURCE_MAX} bytes");
        return Err(vec![at(source, 0, reason)]);
    }
    let template = CHECKS
        .template_from_str(source)
        .map_err(|error| vec![flaw(&error, source)])?;
    let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    names.retain(|name| !VARIABLES.contains(&name.as_str()));
    names.sort_by_key(|name| offset(source, name));
    let unknown = names.iter().map(|name| {
        let known = VARIABLES.join(", ");
        let reason = format!("`{name}` is not a variable; known are {known}");
        at(source, offset(source, name), reason)
    });
    let unknown: Vec<Flaw> = unknown.collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    render(source, longest, Purpose::Check).map_err(|flaw| vec![flaw])
}

/// Returns the place of a name in the expressions of a text, in bytes. Returns 0 if no expression contains the name.
fn offset(source: &str, name: &str) -> usize {
    let is_in_expression = |at: usize| {
        let before = &source[..at];
        let opened = before.rfind("{{").max(before.rfind("{%"));
        let closed = before.rfind("}}").max(before.rfind("%}"));
        opened > closed
    };
    let mut places = source.match_indices(name).map(|(at, _)| at);
    places.find(|at| is_in_expression(*at)).unwrap_or_default()
}

fn flaw(error: &minijinja::Error, source: &str) -> Flaw {
    let reason = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    match (error.range(), error.line()) {
        (Some(range), _) => at(source, range.start, reason),
        (None, line) => Flaw {
            line: line.unwrap_or(1),
            column: 1,
            reason,
        },
    }
}

/// Returns an error at a place in bytes.
fn at(source: &str, offset: usize, reason: String) -> Flaw {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.rsplit('\n').next().unwrap_or_default();
    Flaw {
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(known: &[(&'static str, &str)]) -> Arc<Values> {
        let known = known.iter();
        Arc::new(
            known
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
        )
    }

    fn all() -> Arc<Values> {
        Arc::new(VARIABLES.map(|name| (name, name.to_uppercase())).into())
    }

    #[test]
    fn variables_become_their_values_without_escapes() {
        let values = values(&[
            ("ticket.title", "<b> & {{ ticket.id }}"),
            ("ticket.id", "R1"),
        ]);
        let text = "{{ticket.id}}: {{ ticket.title }}{% if ticket.id == 'R1' %}!{% endif %}";
        let rendered = render(text, &values, Purpose::Message);
        assert_eq!(rendered.unwrap(), "R1: <b> & {{ ticket.id }}!");
    }

    #[test]
    fn a_missing_value_is_a_visible_marker_in_a_message_and_an_error_in_a_check() {
        let values = values(&[]);
        let text = "a\nb {{ ticket.node }} {{ system.name|default('Desk') }}";
        let rendered = render(text, &values, Purpose::Message);
        assert_eq!(rendered.unwrap(), "a\nb ⟨ticket.node?⟩ Desk");
        let flaw = render(text, &values, Purpose::Check).unwrap_err();
        assert_eq!(flaw.line, 2, "{flaw}");
    }

    #[test]
    fn a_condition_on_a_missing_value_is_false_in_a_message() {
        let text = "{% if ticket.node %}at {{ ticket.node }}{% else %}nowhere{% endif %}";
        let render = |values| render(text, &values, Purpose::Message).unwrap();
        assert_eq!(render(values(&[])), "nowhere");
        assert_eq!(render(values(&[("ticket.node", "n")])), "at n");
    }

    #[test]
    fn the_filter_truncate_bounds_a_value() {
        let values = values(&[("ticket.title", "一二三四五")]);
        let rendered = render("{{ ticket.title|truncate(3) }}", &values, Purpose::Message);
        assert_eq!(rendered.unwrap(), "一二…");
        let rendered = render("{{ ticket.title|truncate }}", &values, Purpose::Message);
        assert_eq!(rendered.unwrap(), "一二三四五");
    }

    #[test]
    fn every_unknown_variable_is_named_with_its_place() {
        let text = "foo {{ ticket.id }}\n  {{ foo }} {{ ticket.titel }} {{ ticket }}";
        let flaws = check(text, &all()).unwrap_err();
        let places: Vec<(usize, usize)> = flaws.iter().map(|one| (one.line, one.column)).collect();
        assert_eq!(flaws.len(), 3, "{flaws:?}");
        assert!(places.contains(&(2, 6)), "{flaws:?}");
        assert!(places.contains(&(2, 16)), "{flaws:?}");
        assert!(
            flaws[0]
                .reason
                .contains("is not a variable; known are ticket.id")
        );
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        for text in [
            "a\n{{ ticket.id",
            "a\n{% if %}",
            "a\n{{ ticket.id | unknown_filter }}",
        ] {
            let flaws = check(text, &all()).unwrap_err();
            assert_eq!((flaws.len(), flaws[0].line), (1, 2), "{text}: {flaws:?}");
        }
    }

    #[test]
    fn the_work_and_the_output_are_bounded() {
        let title = "字".repeat(400);
        let long = values(&[("ticket.title", title.as_str())]);
        let text = "{{ ticket.title }}".repeat(20);
        let flaw = render(&text, &long, Purpose::Message).unwrap_err();
        assert!(flaw.reason.contains("longer than 16384 bytes"), "{flaw}");
        let inner = "{% for b in ticket.title %}{% for c in ticket.title %}{% set x = b %}{% endfor %}{% endfor %}";
        let text = format!("{{% for a in ticket.title %}}{inner}{{% endfor %}}");
        assert!(render(&text, &long, Purpose::Message).is_err());
        assert!(check("{% for i in range(10) %}x{% endfor %}", &all()).is_err());
        assert!(check(&"x".repeat(SOURCE_MAX + 1), &all()).is_err());
    }
}
