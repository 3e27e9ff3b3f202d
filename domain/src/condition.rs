//! The one condition language (reference/bk-itsm.md 7): evaluated by type, never by text substitution, with a trace.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use events::TransitionId;
use events::ticket::Tested;
use events::workflow::{Clause, Condition, Group, Join, Operator};
use serde_json::Value;

use crate::ticket::form::plain;

/// Most clauses one condition may have; the largest seen in real definitions has 6.
pub const CLAUSES_MAX: usize = 100;
/// Bytes of a value that a trace keeps.
pub const TRACE_BYTES: usize = 256;

/// What a key holds when a condition asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing was filled in.
    Absent,
    Value(Value),
    /// Somebody's value: compared, but not written into traces.
    Personal(Value),
    /// It was somebody's and is gone; no comparison with it holds.
    Erased,
}

/// Evaluates a condition, writing every clause that was looked at into `trace`.
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

/// Evaluates one group of clauses (`show_conditions` of a field is one).
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

/// Bytes a compiled custom pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// A custom pattern, matched from the start only; `None` where it does not compile or is too large. Matching takes linear time.
pub fn pattern(text: &str) -> Option<regex::Regex> {
    regex::RegexBuilder::new(&format!("^(?:{text})"))
        .size_limit(PATTERN_BYTES)
        .build()
        .ok()
}

/// Everything a condition asks for.
pub fn keys(condition: &Condition) -> impl Iterator<Item = &str> {
    condition
        .expressions
        .iter()
        .flat_map(|group| &group.expressions)
        .map(|clause| clause.key.as_str())
}

/// Counts the clauses, for the bound.
pub fn clauses(condition: &Condition) -> usize {
    condition
        .expressions
        .iter()
        .map(|group| group.expressions.len())
        .sum()
}

/// An empty conjunction holds, an empty disjunction does not; the first clause that settles it ends the search.
fn join<T>(join: Join, parts: &[T], mut holds: impl FnMut(&T) -> bool) -> bool {
    match join {
        Join::And => parts.iter().all(&mut holds),
        Join::Or => parts.iter().any(&mut holds),
    }
}

/// Evaluates one clause.
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

/// Compares by the clause's type: numbers as numbers, days and times as what they are, everything else as text. What is not of the type is comparable with
/// nothing.
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

/// A wall-clock time, or the beginning of a day.
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

/// A list, or a text of parts between commas.
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

/// Cuts at a character boundary within the bound.
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

    fn says(kind: &str, found: Value, operator: &str, expected: Value) -> bool {
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
        assert!(says("INT", json!("9"), "<", json!(10)));
        assert!(says("INT", json!("1.5"), ">", json!("1")));
        assert!(!says("INT", json!("x"), "<", json!(10)));
        assert!(says("STRING", json!("9"), ">", json!("10")));
    }

    #[test]
    fn days_and_times_compare_as_what_they_are() {
        assert!(says("DATE", json!("2026-11-22"), ">=", json!("2026-02-01")));
        assert!(says(
            "DATE",
            json!("2026-11-22"),
            "==",
            json!("2026/11/22 00:00:00")
        ));
        assert!(says(
            "DATETIME",
            json!("2026-11-22 09:00:00"),
            "<",
            json!("2026-11-22 10:00")
        ));
        assert!(
            !says("DATE", json!("9"), ">", json!("2026-02-01"))
                && !says("DATE", json!("9"), "<", json!("2026-02-01")),
            "no day at all"
        );
        assert!(
            says("DATE", json!(""), "!=", json!("2026-02-01"))
                && says("DATE", json!(""), "==", json!(""))
        );
    }

    #[test]
    fn sets_and_lists() {
        assert!(says(
            "MULTISELECT",
            json!("a,b,c"),
            "issuperset",
            json!("c,a")
        ));
        assert!(says(
            "MEMBERS",
            json!("a"),
            "notissuperset",
            json!(["a", "b"])
        ));
        assert!(says("STRING", json!("b"), "in", json!("a,b")));
        assert!(says("STRING", json!("ab"), "notin", json!("a,b")));
    }

    #[test]
    fn what_a_user_types_is_never_evaluated() {
        assert!(!says("STRING", json!("y' or '1' == '1"), "==", json!("y")));
        assert!(says(
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
    fn traces_keep_personal_values_out_and_are_cut() {
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
