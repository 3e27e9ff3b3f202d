//! Evaluates conditions (reference/bk-itsm.md 7). A condition consists of clauses, which are single
//! comparisons. The module compares values by their types and never inserts a value into the text of a
//! condition. Each evaluation writes a trace: a list of the evaluated clauses with their results.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use events::TransitionId;
use events::ticket::Tested;
use events::workflow::{Clause, Condition, Group, Join, Operator};
use serde_json::Value;

use crate::value::plain;

/// Maximum number of clauses (comparisons) in one condition. The largest known real condition has 6 clauses.
pub const CLAUSES_MAX: usize = 100;
/// Maximum size of a value in a trace (the list of evaluated clauses), in bytes. A longer value is cut.
pub const TRACE_BYTES: usize = 256;

/// The value that a comparison in a condition uses for a key. The caller provides this value.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The key has no value.
    Absent,
    Value(Value),
    /// A personal value. Comparisons use the value, but a trace (the list of evaluated clauses) never
    /// contains the value.
    Personal(Value),
    /// A personal value that was erased. Every comparison with this value is false.
    Erased,
}

/// Returns true if the condition is true. Adds each evaluated clause (comparison) with its result to the
/// parameter `trace`.
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

/// Returns true if a group of clauses (comparisons) is true. For example, a form field can have a group of
/// clauses. The field is hidden while this group is true.
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

/// Maximum size of a compiled regular expression, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// Compiles a regular expression that a field defines for its values. The expression must match from the
/// start of a text. Returns `None` if the expression is invalid or too large. The time for a match increases
/// only linearly with the length of the text.
pub fn pattern(text: &str) -> Option<regex::Regex> {
    let compile = |text: &str| {
        regex::RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES)
            .build()
            .ok()
    };
    // The expression is later enclosed in a regex group. A text such as `a)|(b` is an invalid expression, but
    // inside such a group the text would be valid and have a wrong meaning. Therefore the text is first
    // compiled without the group.
    compile(text)?;
    compile(&format!("^(?:{text})"))
}

/// Returns the keys of all clauses in a condition, in the order of the clauses.
pub fn keys(condition: &Condition) -> impl Iterator<Item = &str> {
    condition
        .expressions
        .iter()
        .flat_map(|group| &group.expressions)
        .map(|clause| clause.key.as_str())
}

/// Returns the number of clauses in a condition. The caller compares this number with [`CLAUSES_MAX`].
pub fn clauses(condition: &Condition) -> usize {
    condition
        .expressions
        .iter()
        .map(|group| group.expressions.len())
        .sum()
}

/// Evaluates the parts of a condition and combines their results with `and` or `or`. The function `holds`
/// returns the result of one part. Without any parts, `and` gives true and `or` gives false. The evaluation
/// stops as soon as the result is certain.
fn join<T>(join: Join, parts: &[T], mut holds: impl FnMut(&T) -> bool) -> bool {
    match join {
        Join::And => parts.iter().all(&mut holds),
        Join::Or => parts.iter().any(&mut holds),
    }
}

/// Returns true if a clause (a single comparison) is true for the value in the parameter `found`.
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

/// Compares two values according to the field type `kind`. Numbers, dates, times and truth values are compared by
/// their values, and other types are compared as text. A field of the type `BOOLEAN` accepts `1` and `0` for `true` and
/// `false`. Returns `None` if a value cannot be converted to this type.
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
        // Whole numbers above 2^53 are not exact as floating-point numbers.
        return match (left.trim().parse::<i128>(), right.trim().parse::<i128>()) {
            (Ok(left), Ok(right)) => Some(left.cmp(&right)),
            _ => number(&left)?.partial_cmp(&number(&right)?),
        };
    }
    if matches!(kind, "BOOLEAN" | "boolean") {
        return Some(truth(&left).cmp(&truth(&right)));
    }
    Some(left.cmp(&right))
}

/// Returns the text of a truth value in its usual form: `true` for `1`, and `false` for `0`. Other texts are returned in
/// lower case.
fn truth(text: &str) -> String {
    match text.trim() {
        "1" => "true".to_owned(),
        "0" => "false".to_owned(),
        other => other.to_lowercase(),
    }
}

pub(crate) fn number(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// Parses a date and time without a time zone. If the text contains only a date, the result is midnight of
/// this day.
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

/// Returns the elements of a value as a set. The value is a list, or a text in which commas separate the
/// elements.
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

/// Shortens a text to at most [`TRACE_BYTES`] bytes. The cut is always between two characters.
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
        let large = json!("9007199254740993");
        assert!(!is_true("INT", large, "==", json!("9007199254740992")));
        assert!(is_true("INT", json!("1.0"), "==", json!("1")));
    }

    #[test]
    fn one_and_zero_are_truth_values() {
        assert!(is_true("BOOLEAN", json!("1"), "==", json!("true")));
        assert!(is_true("BOOLEAN", json!("False"), "==", json!("0")));
        assert!(is_true("BOOLEAN", json!("0"), "!=", json!("true")));
        assert!(!is_true("BOOLEAN", json!(""), "==", json!("false")));
        assert!(is_true("STRING", json!("1"), "!=", json!("true")));
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

    fn clause(key: &str, kind: &str, condition: Operator, value: Value) -> Clause {
        Clause {
            key: key.into(),
            kind: kind.into(),
            condition,
            value,
        }
    }

    /// Returns a group of clauses (comparisons) for a test. The parameter `results` contains one entry for
    /// each clause. A clause is true if its entry is true. The key of each clause is the entry as text.
    fn group_of(join: Join, results: &[bool]) -> Group {
        let expressions = results
            .iter()
            .map(|holds| clause(&holds.to_string(), "STRING", Operator::Equal, json!("true")))
            .collect();
        Group { join, expressions }
    }

    #[test]
    fn order_operators_differ_below_at_and_above_the_boundary() {
        let operators = [
            (Operator::Equal, [false, true, false]),
            (Operator::NotEqual, [true, false, true]),
            (Operator::Greater, [false, false, true]),
            (Operator::Less, [true, false, false]),
            (Operator::AtLeast, [false, true, true]),
            (Operator::AtMost, [true, true, false]),
        ];
        for (kind, values) in [
            ("INT", ["9", "10", "11"]),
            ("number", ["9.5", "10.0", "1e2"]),
            ("STRING", ["10", "9", "a"]),
            ("DATE", ["2026-02-28", "2026/03/01", "2026-11-01"]),
            ("date", ["2026-09-30", "2026-10-01", "2026-11-01"]),
            (
                "DATETIME",
                ["2026-02-28 23:59", "2026-03-01", "2026-03-01T00:00:01"],
            ),
            (
                "datetime",
                [
                    "2026-03-01 09:59:59",
                    "2026-03-01 10:00",
                    "2026-03-01 10:01",
                ],
            ),
        ] {
            for (operator, expected) in operators {
                let clause = clause("k", kind, operator, json!(values[1]));
                let found = values.map(|value| clause_holds(&clause, &Found::Value(json!(value))));
                assert_eq!(found, expected, "{kind} {operator:?}");
            }
        }
    }

    #[test]
    fn incomparable_values_satisfy_only_not_equal() {
        let operators = [
            Operator::Equal,
            Operator::NotEqual,
            Operator::Greater,
            Operator::Less,
            Operator::AtLeast,
            Operator::AtMost,
        ];
        for (kind, left, right) in [
            ("INT", "x", "1"),
            ("INT", "1", ""),
            ("INT", "NaN", "NaN"),
            ("number", "inf", "inf"),
            ("DATE", "x", "2026-02-01"),
            ("DATETIME", "2026-02-01", ""),
        ] {
            for operator in operators {
                let clause = clause("k", kind, operator, json!(right));
                assert_eq!(
                    clause_holds(&clause, &Found::Value(json!(left))),
                    operator == Operator::NotEqual,
                    "{kind} {left} {operator:?} {right}"
                );
            }
        }
    }

    #[test]
    fn only_booleans_ignore_the_case() {
        for (kind, is_equal) in [("BOOLEAN", true), ("boolean", true), ("STRING", false)] {
            let equal = clause("k", kind, Operator::Equal, json!("true"));
            assert_eq!(
                clause_holds(&equal, &Found::Value(json!("True"))),
                is_equal,
                "{kind}"
            );
            assert!(!clause_holds(&equal, &Found::Value(json!("False"))));
            assert!(clause_holds(&equal, &Found::Value(json!(true))));
        }
    }

    #[test]
    fn set_operators_compare_all_items() {
        for (found, value, is_superset, is_in) in [
            (json!("a,b,c"), json!("c,a"), true, false),
            (json!(["a", "b"]), json!(["b", "a"]), true, false),
            (json!("a"), json!("a,b"), false, true),
            (json!(" b "), json!("a, b"), false, true),
            (json!(" b "), json!("b"), true, true),
            (json!("x"), json!(""), true, false),
            (json!(7), json!([7, 8]), false, true),
            (Value::Null, json!("a"), false, false),
        ] {
            let results = [
                Operator::Superset,
                Operator::NotSuperset,
                Operator::In,
                Operator::NotIn,
            ]
            .map(|operator| {
                let clause = clause("k", "MULTISELECT", operator, value.clone());
                clause_holds(&clause, &Found::Value(found.clone()))
            });
            assert_eq!(
                results,
                [is_superset, !is_superset, is_in, !is_in],
                "{found} {value}"
            );
        }
    }

    #[test]
    fn an_absent_value_equals_the_empty_text() {
        let equal = |value: &str| clause("k", "STRING", Operator::Equal, json!(value));
        assert!(clause_holds(&equal(""), &Found::Absent));
        assert!(!clause_holds(&equal("x"), &Found::Absent));
        assert!(clause_holds(&equal("x"), &Found::Personal(json!("x"))));
        assert!(!clause_holds(&equal("x"), &Found::Personal(json!("y"))));
    }

    #[test]
    fn parts_are_evaluated_until_the_result_is_determined() {
        let find = |key: &str| Found::Value(json!(key));
        let table: [(Join, &[bool], bool, usize); 8] = [
            (Join::And, &[true, true], true, 2),
            (Join::And, &[true, false, true], false, 2),
            (Join::And, &[false, true], false, 1),
            (Join::And, &[], true, 0),
            (Join::Or, &[false, true, false], true, 2),
            (Join::Or, &[true, false], true, 1),
            (Join::Or, &[false, false], false, 2),
            (Join::Or, &[], false, 0),
        ];
        for (join, results, is_met, evaluated) in table {
            let mut trace = Vec::new();
            let group = group_of(join, results);
            assert_eq!(
                group_holds(&group, TransitionId(1), &find, &mut trace),
                is_met,
                "clauses: {join:?} {results:?}"
            );
            assert_eq!(trace.len(), evaluated, "clauses: {join:?} {results:?}");
            trace.clear();
            let expressions = results
                .iter()
                .map(|holds| group_of(Join::And, &[*holds]))
                .collect();
            let condition = Condition { join, expressions };
            assert_eq!(
                holds(&condition, TransitionId(1), &find, &mut trace),
                is_met,
                "groups: {join:?} {results:?}"
            );
            assert_eq!(trace.len(), evaluated, "groups: {join:?} {results:?}");
        }
    }

    #[test]
    fn keys_and_clauses_of_all_groups_are_counted_in_order() {
        let clause = |key: &str| clause(key, "STRING", Operator::Equal, json!("x"));
        let group = |keys: &[&str]| Group {
            join: Join::Or,
            expressions: keys.iter().map(|key| clause(key)).collect(),
        };
        let condition = Condition {
            join: Join::And,
            expressions: vec![group(&["b", "a"]), group(&[]), group(&["b"])],
        };
        assert_eq!(keys(&condition).collect::<Vec<_>>(), ["b", "a", "b"]);
        assert_eq!(clauses(&condition), 3);
        assert_eq!(keys(&Condition::default()).count(), 0);
        assert_eq!(clauses(&Condition::default()), 0);
    }

    #[test]
    fn a_pattern_matches_from_the_start_of_the_text() {
        for (text, value, is_match) in [
            ("[a-z]+", "ab1", true),
            ("[a-z]+", "1ab", false),
            ("a|b", "b", true),
            ("a|b", "xb", false),
            ("a", "x\na", false),
        ] {
            let pattern = pattern(text).expect("a valid pattern");
            assert_eq!(pattern.is_match(value), is_match, "{text} {value}");
        }
    }

    #[test]
    fn invalid_and_too_large_patterns_are_not_compiled() {
        for text in ["(", "[a", "(?:a{1000}){1000}"] {
            assert!(pattern(text).is_none(), "{text}");
        }
        assert!(pattern("a{1000}").is_some());
    }

    #[test]
    fn a_trace_stores_every_kind_of_value() {
        let group = Group {
            join: Join::And,
            expressions: vec![clause("k", "STRING", Operator::NotEqual, json!("x"))],
        };
        for (found, text, holds) in [
            (Found::Absent, "", true),
            (Found::Value(json!("x")), "x", false),
            (Found::Value(json!(7)), "7", true),
            (Found::Personal(json!("y")), "<personal>", true),
            (Found::Erased, "<erased>", false),
        ] {
            let mut trace = Vec::new();
            let is_met = group_holds(&group, TransitionId(7), &|_| found.clone(), &mut trace);
            let tested = Tested {
                transition: TransitionId(7),
                clause: "k != x".into(),
                found: text.into(),
                holds,
            };
            assert_eq!((is_met, trace), (holds, vec![tested]));
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character_boundary() {
        for (text, length) in [
            ("x".repeat(255), 255),
            ("x".repeat(256), 256),
            ("x".repeat(257), 256),
            ("值".repeat(85), 255),
            ("值".repeat(86), 255),
            (format!("x{}", "值".repeat(85)), 256),
        ] {
            assert_eq!(cut(&text), &text[..length], "{} bytes", text.len());
        }
    }

    #[test]
    fn times_are_read_with_and_without_seconds() {
        let at = |hour, minute, second| {
            Some(jiff::civil::datetime(2026, 11, 22, hour, minute, second, 0))
        };
        for (text, expected) in [
            ("2026-11-22 09:08:07", at(9, 8, 7)),
            ("2026/11/22T09:08:07", at(9, 8, 7)),
            ("2026-11-22 09:08", at(9, 8, 0)),
            (" 2026-11-22 ", at(0, 0, 0)),
            ("2026-11-31", None),
            ("2026-11-22 09:08:07 x", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_finite_decimals_within_blanks() {
        for (text, expected) in [
            (" 1.50 ", Some("1.5")),
            ("-2", Some("-2")),
            ("NaN", None),
            ("inf", None),
            ("1,5", None),
            ("", None),
        ] {
            let number = number(text).map(|number| number.to_string());
            assert_eq!(number.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_set_contains_trimmed_parts_of_a_text_or_the_items_of_a_list() {
        for (value, expected) in [
            (json!(" a, ,b,"), vec!["a", "b"]),
            (json!(["b", "a", "b", 7]), vec!["7", "a", "b"]),
            (json!(7), vec!["7"]),
            (json!(""), vec![]),
            (Value::Null, vec![]),
        ] {
            let items: Vec<String> = set(&value).into_iter().collect();
            assert_eq!(items, expected, "{value}");
        }
    }

    #[test]
    fn a_pattern_cannot_end_the_group_that_anchors_it() {
        for text in ["a)|(b", ")", "(", "a)(?:b"] {
            assert!(pattern(text).is_none(), "{text}");
        }
        assert!(pattern("a|b").is_some_and(|regex| !regex.is_match("xb") && regex.is_match("bx")));
    }
}
