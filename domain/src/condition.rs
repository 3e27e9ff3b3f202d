//! Evaluates the condition language (reference/bk-itsm.md 7) by type. Values are never inserted
//! into a condition as text. Each evaluation records a trace.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use events::TransitionId;
use events::ticket::Tested;
use events::workflow::{Clause, Condition, Group, Join, Operator};
use serde_json::Value;

use crate::value::plain;

/// Maximum number of clauses of one condition. The largest condition in real definitions has 6.
pub const CLAUSES_MAX: usize = 100;
/// Maximum size in bytes of a value in a trace; a longer value is cut.
pub const TRACE_BYTES: usize = 256;

/// The value that a lookup finds for the key of a clause.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The key has no value.
    Absent,
    Value(Value),
    /// A personal value. The value is compared, but never written into a trace.
    Personal(Value),
    /// An erased personal value. Every comparison with an erased value is false.
    Erased,
}

/// Returns true if a condition is met. Appends each evaluated clause to `trace`.
pub fn holds(
    condition: &Condition,
    transition: TransitionId,
    find: &dyn Fn(&str) -> Found,
    trace: &mut Vec<Tested>,
) -> bool {
    join(condition.join, &condition.expressions, |group| {
        group_holds(group, transition, find, trace)
    })
}

/// Returns true if one group of clauses is met, for example the `show_conditions` of a field.
pub fn group_holds(
    group: &Group,
    transition: TransitionId,
    find: &dyn Fn(&str) -> Found,
    trace: &mut Vec<Tested>,
) -> bool {
    join(group.join, &group.expressions, |clause| {
        let found = find(&clause.key);
        let holds = clause_holds(clause, &found);
        trace.push(Tested {
            transition,
            clause: cut(&format!(
                "{} {} {}",
                clause.key,
                clause.condition.sign(),
                plain(&clause.value)
            )),
            found: match &found {
                Found::Absent => String::new(),
                Found::Value(value) => cut(&plain(value)),
                Found::Personal(_) => "<personal>".into(),
                Found::Erased => "<erased>".into(),
            },
            holds,
        });
        holds
    })
}

/// Maximum size in bytes of a compiled custom pattern.
const PATTERN_BYTES: usize = 1 << 20;

/// Compiles a custom pattern that must match from the start of the text. Returns `None` if the
/// pattern is invalid or too large. Matching takes linear time.
pub fn pattern(text: &str) -> Option<regex::Regex> {
    regex::RegexBuilder::new(&format!("^(?:{text})"))
        .size_limit(PATTERN_BYTES)
        .build()
        .ok()
}

/// Returns the keys in a condition, in the order of its clauses.
pub fn keys(condition: &Condition) -> impl Iterator<Item = &str> {
    condition
        .expressions
        .iter()
        .flat_map(|group| &group.expressions)
        .map(|clause| clause.key.as_str())
}

/// Returns the number of clauses of a condition. The caller compares the number with
/// [`CLAUSES_MAX`].
pub fn clauses(condition: &Condition) -> usize {
    condition
        .expressions
        .iter()
        .map(|group| group.expressions.len())
        .sum()
}

/// Joins the results of the parts with `and` or `or`. An empty `and` is true, an empty `or` is
/// false. The evaluation stops at the first part that determines the result.
fn join<T>(join: Join, parts: &[T], mut holds: impl FnMut(&T) -> bool) -> bool {
    match join {
        Join::And => parts.iter().all(&mut holds),
        Join::Or => parts.iter().any(&mut holds),
    }
}

/// Returns true if the value of the key meets one clause.
pub fn clause_holds(clause: &Clause, found: &Found) -> bool {
    let value = match found {
        Found::Erased => return false,
        Found::Absent => &Value::Null,
        Found::Value(value) | Found::Personal(value) => value,
    };
    match clause.condition {
        Operator::Equal => compare(&clause.kind, value, &clause.value) == Some(Ordering::Equal),
        Operator::NotEqual => compare(&clause.kind, value, &clause.value) != Some(Ordering::Equal),
        Operator::Greater => compare(&clause.kind, value, &clause.value) == Some(Ordering::Greater),
        Operator::Less => compare(&clause.kind, value, &clause.value) == Some(Ordering::Less),
        Operator::AtLeast => matches!(
            compare(&clause.kind, value, &clause.value),
            Some(Ordering::Greater | Ordering::Equal)
        ),
        Operator::AtMost => matches!(
            compare(&clause.kind, value, &clause.value),
            Some(Ordering::Less | Ordering::Equal)
        ),
        Operator::Superset => set(value).is_superset(&set(&clause.value)),
        Operator::NotSuperset => !set(value).is_superset(&set(&clause.value)),
        Operator::In => set(&clause.value).contains(plain(value).trim()),
        Operator::NotIn => !set(&clause.value).contains(plain(value).trim()),
    }
}

/// Compares two values by the type of the clause. Numbers, dates and times are compared by value,
/// other types as text. Returns `None` if a value cannot be read as the type.
fn compare(kind: &str, left: &Value, right: &Value) -> Option<Ordering> {
    let (left, right) = (plain(left), plain(right));
    if matches!(kind, "DATE" | "DATETIME" | "date" | "datetime") {
        return if left == right {
            Some(Ordering::Equal)
        } else {
            time(&left)?.partial_cmp(&time(&right)?)
        };
    }
    if matches!(kind, "INT" | "number") {
        return number(&left)?.partial_cmp(&number(&right)?);
    }
    if matches!(kind, "BOOLEAN" | "boolean") {
        return Some(left.to_lowercase().cmp(&right.to_lowercase()));
    }
    Some(left.cmp(&right))
}

pub(crate) fn number(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// Reads a wall-clock time. A date without a time means midnight of that day.
pub(crate) fn time(text: &str) -> Option<jiff::civil::DateTime> {
    let text = text.trim().replace('/', "-").replace('T', " ");
    let of = |format| jiff::civil::DateTime::strptime(format, &text).ok();
    let day = || {
        jiff::civil::Date::strptime("%Y-%m-%d", &text)
            .ok()
            .map(|day| day.to_datetime(jiff::civil::Time::midnight()))
    };
    of("%Y-%m-%d %H:%M:%S")
        .or_else(|| of("%Y-%m-%d %H:%M"))
        .or_else(day)
}

/// Reads a set of texts from a list, or from a text with commas.
pub(crate) fn set(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        other => plain(other)
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    }
}

/// Cuts a text at a character boundary to at most [`TRACE_BYTES`].
fn cut(text: &str) -> String {
    let mut end = text.len().min(TRACE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_true(kind: &str, found: Value, operator: &str, expected: Value) -> bool {
        let condition: Condition = serde_json::from_value(json!({ "type": "and", "expressions": [
            { "type": "and", "expressions": [{ "key": "k", "type": kind, "condition": operator, "value": expected }] }] }))
        .unwrap();
        holds(
            &condition,
            TransitionId(1),
            &|_| Found::Value(found.clone()),
            &mut Vec::new(),
        )
    }

    #[test]
    fn numbers_compare_as_numbers_and_text_as_text() {
        assert!(is_true("INT", json!("9"), "<", json!(10)));
        assert!(is_true("INT", json!("1.5"), ">", json!("1")));
        assert!(!is_true("INT", json!("x"), "<", json!(10)));
        assert!(is_true("STRING", json!("9"), ">", json!("10")));
    }

    #[test]
    fn dates_and_times_compare_by_value() {
        assert!(is_true(
            "DATE",
            json!("2026-11-22"),
            ">=",
            json!("2026-02-01")
        ));
        assert!(is_true(
            "DATE",
            json!("2026-11-22"),
            "==",
            json!("2026/11/22 00:00:00")
        ));
        assert!(is_true(
            "DATETIME",
            json!("2026-11-22 09:00:00"),
            "<",
            json!("2026-11-22 10:00")
        ));
        assert!(
            !is_true("DATE", json!("9"), ">", json!("2026-02-01"))
                && !is_true("DATE", json!("9"), "<", json!("2026-02-01")),
            "a value that is not a date is not comparable"
        );
        assert!(
            is_true("DATE", json!(""), "!=", json!("2026-02-01"))
                && is_true("DATE", json!(""), "==", json!(""))
        );
    }

    #[test]
    fn set_operators_accept_lists_and_comma_separated_text() {
        assert!(is_true(
            "MULTISELECT",
            json!("a,b,c"),
            "issuperset",
            json!("c,a")
        ));
        assert!(is_true(
            "MEMBERS",
            json!("a"),
            "notissuperset",
            json!(["a", "b"])
        ));
        assert!(is_true("STRING", json!("b"), "in", json!("a,b")));
        assert!(is_true("STRING", json!("ab"), "notin", json!("a,b")));
    }

    #[test]
    fn user_input_is_never_evaluated_as_code() {
        assert!(!is_true(
            "STRING",
            json!("y' or '1' == '1"),
            "==",
            json!("y")
        ));
        assert!(is_true(
            "STRING",
            json!("it's\nfine"),
            "==",
            json!("it's\nfine")
        ));
    }

    #[test]
    fn an_erased_value_satisfies_no_comparison() {
        let clause = Clause {
            key: "k".into(),
            kind: "STRING".into(),
            condition: Operator::NotEqual,
            value: json!("x"),
        };
        assert!(!clause_holds(&clause, &Found::Erased));
        assert!(clause_holds(&clause, &Found::Absent));
    }

    #[test]
    fn traces_are_cut_and_contain_no_personal_value() {
        let group = Group {
            join: Join::And,
            expressions: vec![Clause {
                key: "k".into(),
                kind: "STRING".into(),
                condition: Operator::Equal,
                value: json!("值".repeat(200)),
            }],
        };
        let mut trace = Vec::new();
        group_holds(
            &group,
            TransitionId(7),
            &|_| Found::Personal(json!("13800000000")),
            &mut trace,
        );
        assert_eq!(trace[0].found, "<personal>");
        assert!(trace[0].clause.len() <= TRACE_BYTES);
    }
}
