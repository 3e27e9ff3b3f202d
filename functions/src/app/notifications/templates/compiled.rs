//! Compiles simple texts of notification templates once, so that a message needs no parser. A simple text consists of
//! plain text, variables such as `{{ ticket.id }}`, and the conditions `{% if ticket.node %}` and
//! `{% if ticket.priority == "4" %}` with `else` and `endif`. The template library renders all other texts.
//!
//! A compiled text gives the same result as the library for [`super::engine::Purpose::Message`].

use std::sync::{Arc, LazyLock};

use events::Moment;
use infra::cache::{Bounds, Cache, NEVER};

use super::engine::{OUTPUT_MAX, SOURCE_MAX, VARIABLES, Values};

/// The limits of the cache of compiled texts. The weight of a text is its length in bytes.
const KEPT: Bounds = Bounds {
    entries: 1_024,
    weight: 2 << 20,
};
/// Maximum number of conditions inside each other. The library compiles and renders texts with more.
const DEPTH_MAX: usize = 32;

/// The compiled texts by their sources. `None` for a text that only the library can render. A changed text has another
/// source, so an entry never becomes wrong.
static KNOWN: LazyLock<Cache<String, Option<Arc<Program>>>> = LazyLock::new(|| Cache::new(KEPT));

/// Returns the compiled form of a text. Returns `None` if the text is not simple.
pub(super) fn known(source: &str) -> Option<Arc<Program>> {
    if let Some(known) = KNOWN.read(source, Moment(0), Clone::clone) {
        return known;
    }
    let program = Program::compile(source).map(Arc::new);
    KNOWN.put(source.to_owned(), program.clone(), source.len(), NEVER);
    program
}

/// A compiled text.
#[derive(Debug)]
pub(super) struct Program(Vec<Step>);

#[derive(Debug)]
enum Step {
    Text(String),
    /// The value of the variable with this name.
    Value(&'static str),
    /// Continues at the step with this number if the condition is false.
    Unless(Condition, usize),
    /// Continues at the step with this number.
    Jump(usize),
}

#[derive(Debug)]
struct Condition {
    variable: &'static str,
    /// The text with which the value is compared. `None` if the condition is true for every value.
    equals: Option<String>,
}

impl Condition {
    /// Reads the text after the word `if`.
    fn read(text: &str) -> Option<Self> {
        let (name, equals) = match text.split_once("==") {
            Some((name, text)) => (name, Some(literal(text.trim_matches(' '))?)),
            None => (text, None),
        };
        let variable = variable(name.trim_matches(' '))?;
        Some(Self { variable, equals })
    }

    fn holds(&self, values: &Values) -> bool {
        let value = values.get(self.variable);
        match &self.equals {
            Some(text) => value == Some(text),
            None => value.is_some_and(|value| !value.is_empty()),
        }
    }
}

/// Returns the variable with the given name.
fn variable(name: &str) -> Option<&'static str> {
    VARIABLES.into_iter().find(|variable| *variable == name)
}

/// Reads a text in quotation marks. Returns `None` if the text contains quotation marks or backslashes.
fn literal(text: &str) -> Option<String> {
    let inner = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text.strip_prefix('\'')?.strip_suffix('\'')?,
    };
    let is_plain = !inner.contains(['"', '\'', '\\']);
    is_plain.then(|| inner.to_owned())
}

/// Returns the place of the next tag in a text, in bytes.
fn next_tag(text: &str) -> Option<usize> {
    let mut places = text.match_indices('{').map(|(at, _)| at);
    places.find(|at| matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')))
}

impl Program {
    /// Compiles a text. Returns `None` if the text is not simple, or if it has an error.
    fn compile(source: &str) -> Option<Self> {
        if source.len() > SOURCE_MAX {
            return None;
        }
        // The library also ignores one line break at the end of a text.
        let source = source.strip_suffix('\n').unwrap_or(source);
        let mut rest = source.strip_suffix('\r').unwrap_or(source);
        let mut program = Self(Vec::new());
        // The numbers of the steps whose destinations are not known yet. Each of them belongs to a condition, and the flag
        // is true after its `else`.
        let mut open: Vec<(usize, bool)> = Vec::new();
        while let Some(at) = next_tag(rest) {
            program.push_text(&rest[..at]);
            let (begin, tag) = rest[at..].split_at(2);
            let end = match begin {
                "{{" => "}}",
                "{%" => "%}",
                _ => return None,
            };
            let (tag, after) = tag.split_once(end)?;
            let tag = tag.trim_matches(' ');
            rest = after;
            let next = program.0.len();
            match tag {
                _ if begin == "{{" => program.0.push(Step::Value(variable(tag)?)),
                "else" => {
                    let (before, is_after_else) = open.pop()?;
                    if is_after_else {
                        return None;
                    }
                    program.0.push(Step::Jump(0));
                    program.continue_at(before, next + 1);
                    open.push((next, true));
                }
                "endif" => {
                    let (before, _) = open.pop()?;
                    program.continue_at(before, next);
                }
                _ => {
                    let condition = Condition::read(tag.strip_prefix("if ")?)?;
                    program.0.push(Step::Unless(condition, 0));
                    open.push((next, false));
                }
            }
            if open.len() > DEPTH_MAX {
                return None;
            }
        }
        program.push_text(rest);
        open.is_empty().then_some(program)
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.push(Step::Text(text.to_owned()));
        }
    }

    /// Sets the destination of the step with the number `step`.
    fn continue_at(&mut self, step: usize, destination: usize) {
        if let Some(Step::Unless(_, to) | Step::Jump(to)) = self.0.get_mut(step) {
            *to = destination;
        }
    }

    /// Renders the text. Returns `None` if the result is longer than [`OUTPUT_MAX`].
    pub(super) fn render(&self, values: &Values) -> Option<String> {
        let mut output = String::with_capacity(512);
        let mut at = 0;
        while let Some(step) = self.0.get(at) {
            at += 1;
            match step {
                Step::Text(text) => output.push_str(text),
                Step::Value(name) => {
                    if let Some(value) = values.get(*name) {
                        output.push_str(value);
                    } else {
                        output.push('⟨');
                        output.push_str(name);
                        output.push_str("?⟩");
                    }
                }
                Step::Unless(condition, to) if !condition.holds(values) => at = *to,
                Step::Unless(..) => {}
                Step::Jump(to) => at = *to,
            }
            if output.len() > OUTPUT_MAX {
                return None;
            }
        }
        Some(output)
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::{Purpose, interpret};
    use super::*;

    fn values(known: &[(&'static str, &str)]) -> Arc<Values> {
        let known = known.iter();
        Arc::new(
            known
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
        )
    }

    const SIMPLE: &[&str] = &[
        "",
        "plain { text } with 100 % and }} and %}",
        "\n",
        "a line\n",
        "two line breaks\n\n",
        "from another system\r\n",
        "{{ ticket.id }}",
        "{{ticket.id}}: {{  ticket.title  }}\n{{ ticket.url }}",
        "{ {{ ticket.id }} }",
        "{% if ticket.node %}at {{ ticket.node }}{% else %}nowhere{% endif %}!",
        "{% if ticket.priority == \"4\" %}[紧急] {% endif %}{{ ticket.title }}",
        "{% if ticket.priority=='4' %}a{% else %}b{% endif %}\n",
        "{%if ticket.priority == \"\" %}empty{%else%}not{%endif%}",
        "a {% if ticket.title %}\n b {% if ticket.node == 'n' %} c {% else %} d {% endif %} e{% else %} f {% if ticket.id %}g{% endif %}{% endif %}\n h",
    ];

    const NOT_SIMPLE: &[&str] = &[
        "{{- ticket.id }}",
        "{{ ticket.id -}} ",
        "{# no #}text",
        "{{ ticket.id|upper }}",
        "{{ ticket }}",
        "{{ ticket.foo }}",
        "{{ foo }}",
        "{{ 'a' }}",
        "{{{ ticket.id }}}",
        "{{ ticket.id",
        "{% if not ticket.id %}a{% endif %}",
        "{% if ticket.id %}a",
        "{% endif %}",
        "{% else %}",
        "{% if ticket.id %}a{% else %}b{% else %}c{% endif %}",
        "{% if ticket.id %}a{% elif ticket.node %}b{% endif %}",
        "{% if ticket.id == 4 %}a{% endif %}",
        "{% if ticket.id == \"a\\n\" %}a{% endif %}",
        "{% if ticket.id == ticket.node %}a{% endif %}",
        "{% if ticket.id != 'a' %}a{% endif %}",
        "{% for a in ticket.id %}{{ a }}{% endfor %}",
        "{% raw %}{{ ticket.id }}{% endraw %}",
        "{%- if ticket.id %}a{% endif %}",
    ];

    #[test]
    fn a_simple_text_has_the_result_of_the_library() {
        let all: Vec<(&'static str, &str)> = VARIABLES.map(|name| (name, "<{{ x }}> 4")).into();
        let priority = [("ticket.priority", "4"), ("ticket.id", "R1")];
        let empty = [("ticket.title", ""), ("ticket.node", "n")];
        let both = [("ticket.title", "t"), ("ticket.node", "n")];
        for source in SIMPLE {
            let program = Program::compile(source).unwrap_or_else(|| panic!("{source:?}"));
            for known in [&all[..], &priority, &empty, &both, &[]] {
                let values = values(known);
                let expected = interpret(source, &values, Purpose::Message);
                let expected = expected.expect("a text");
                assert_eq!(program.render(&values), Some(expected), "{source:?}");
            }
        }
    }

    #[test]
    fn the_library_renders_every_other_text() {
        for source in NOT_SIMPLE {
            assert!(Program::compile(source).is_none(), "{source:?}");
            assert!(known(source).is_none(), "{source:?}");
            assert!(known(source).is_none(), "from the cache: {source:?}");
        }
        assert!(Program::compile(&"x".repeat(SOURCE_MAX + 1)).is_none());
        let (begin, end) = ("{% if ticket.id %}", "{% endif %}");
        let nested = |depth: usize| begin.repeat(depth) + &end.repeat(depth);
        assert!(Program::compile(&nested(DEPTH_MAX)).is_some());
        assert!(Program::compile(&nested(DEPTH_MAX + 1)).is_none());
    }

    #[test]
    fn a_compiled_text_has_the_same_limit_of_its_length() {
        let title = "x".repeat(OUTPUT_MAX / 2);
        let values = values(&[("ticket.title", title.as_str())]);
        let twice = "{{ ticket.title }}{{ ticket.title }}";
        let longer = format!("{twice}x");
        for (source, is_short) in [(twice, true), (longer.as_str(), false)] {
            let program = known(source).expect("a simple text");
            assert_eq!(program.render(&values).is_some(), is_short);
            let interpreted = interpret(source, &values, Purpose::Message);
            assert_eq!(interpreted.is_ok(), is_short);
        }
    }
}
