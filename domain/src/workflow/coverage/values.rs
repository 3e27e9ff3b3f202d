//! Finds the cases of one key that no vote sets: the options of its field, or ranges between the constants of the
//! conditions.

use std::collections::BTreeSet;

use events::workflow::{Choice, Clause, Field, FieldKind, Node, Operator};
use jiff::Span;
use jiff::civil::DateTime;

use super::{Case, Cases, Words};
use crate::condition::{self, Found};
use crate::value::plain;

/// Maximum number of different list elements with which the conditions of a node compare the same key. Each
/// further element doubles the number of cases (combinations of elements) that must be tested.
const ELEMENTS_MAX: usize = 6;
/// A text that occurs in no condition. The module uses this text to test the values that no condition
/// contains.
const OTHER: &str = "\u{1}";

impl Cases<'_> {
    /// Returns the possible cases (values or ranges of values) of a key. The key gets its value from a form
    /// or from the ticket, and not from a vote. Returns `None` if the possible values of the key are unknown.
    pub(super) fn of_key(&self, key: &str) -> Option<Vec<Case>> {
        let clauses: Vec<&Clause> = self.clauses().filter(|clause| clause.key == key).collect();
        let field = self.definition.field_at(self.node, key);
        let is_filled = self.is_always_filled(key);
        let mut cases = Self::filled(key, field, &clauses)?;
        if !is_filled {
            cases.push(Case {
                held: vec![(key.to_owned(), Found::Absent)],
                words: Words::Plain(format!("{key} is empty")),
            });
        }
        Some(cases)
    }

    fn filled(key: &str, field: Option<&Field>, clauses: &[&Clause]) -> Option<Vec<Case>> {
        let options = field.map(own_options).unwrap_or_default();
        let name = |text: &str| {
            options
                .iter()
                .find(|(known, _)| *known == text)
                .map_or_else(|| text.to_owned(), |(_, name)| (*name).to_owned())
        };
        let case = |value: String, words: String| Case {
            held: vec![(key.to_owned(), Found::Value(value.into()))],
            words: Words::Plain(words),
        };
        let is_kind = |kinds: &[&str]| {
            clauses.iter().all(|clause| {
                kinds.contains(&clause.kind.as_str()) && !is_of_sets(clause.condition)
            })
        };
        let tested_values: BTreeSet<String> = clauses
            .iter()
            .flat_map(|clause| constants(clause))
            .filter(|text| !text.is_empty())
            .collect();
        let kind = field.map(|field| field.kind);
        if kind == Some(FieldKind::Boolean) {
            return Some(
                ["true", "false", "1", "0"]
                    .into_iter()
                    .map(|text| case(text.to_owned(), format!("{key} = {text}")))
                    .collect(),
            );
        }
        if matches!(
            kind,
            Some(FieldKind::Radio | FieldKind::Select | FieldKind::TreeSelect)
        ) && !options.is_empty()
        {
            // The remaining options of the field occur in no condition. All remaining options therefore give
            // the same results, and the test needs only one of them.
            let other = options
                .iter()
                .find(|(option, _)| !tested_values.contains(*option))
                .map(|(option, _)| *option);
            let tested = options
                .iter()
                .map(|(option, _)| *option)
                .filter(|option| tested_values.contains(*option) || Some(*option) == other);
            return Some(
                tested
                    .map(|option| case(option.to_owned(), format!("{key} = {}", name(option))))
                    .collect(),
            );
        }
        if is_kind(&["INT", "number"]) {
            let is_number =
                kind == Some(FieldKind::Int) || (field.is_none() && key.ends_with("bk_biz_id"));
            let mut cases = numbers(key, &tested_values);
            cases.extend(
                (!is_number).then(|| case(OTHER.to_owned(), format!("{key} is no number"))),
            );
            return Some(cases);
        }
        if is_kind(&["DATE", "DATETIME", "date", "datetime"]) {
            let mut cases = times(key, &tested_values, kind == Some(FieldKind::Date));
            let is_time = matches!(kind, Some(FieldKind::Date | FieldKind::DateTime));
            cases.extend((!is_time).then(|| case(OTHER.to_owned(), format!("{key} is no time"))));
            return Some(cases);
        }
        if clauses
            .iter()
            .any(|clause| matches!(clause.condition, Operator::Superset | Operator::NotSuperset))
        {
            let other = options
                .iter()
                .map(|(option, _)| *option)
                .find(|option| !tested_values.contains(*option));
            let other = if options.is_empty() {
                Some(OTHER)
            } else {
                other
            };
            let elements: Vec<&str> = tested_values
                .iter()
                .map(String::as_str)
                .chain(other)
                .collect();
            if tested_values.len() > ELEMENTS_MAX {
                return None;
            }
            let set = |bits: usize| -> Vec<&str> {
                elements
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| (bits >> at) & 1 == 1)
                    .map(|(_, element)| *element)
                    .collect()
            };
            let sets = (1_usize..1 << elements.len()).map(set);
            let words = |set: &[&str]| {
                set.iter()
                    .map(|text| {
                        if *text == OTHER {
                            "another".to_owned()
                        } else {
                            name(text)
                        }
                    })
                    .collect::<Vec<_>>()
                    .join(",")
            };
            return Some(
                sets.map(|set| case(set.join(","), format!("{key} = {}", words(&set))))
                    .collect(),
            );
        }
        if clauses.iter().any(|clause| {
            matches!(
                clause.condition,
                Operator::Greater | Operator::Less | Operator::AtLeast | Operator::AtMost
            )
        }) {
            return None;
        }
        let mut cases: Vec<Case> = tested_values
            .iter()
            .map(|text| case(text.clone(), format!("{key} = {}", name(text))))
            .collect();
        let others = tested_values
            .iter()
            .map(|text| format!("{key} != {}", name(text)))
            .collect::<Vec<_>>()
            .join(", ");
        cases.push(case(
            OTHER.to_owned(),
            if others.is_empty() {
                format!("{key} is filled in")
            } else {
                others
            },
        ));
        Some(cases)
    }

    /// Returns true if the key always has a value at the node under test (the node with the tested
    /// transitions). This is true for a required field on every path from START to this node, and for some
    /// ticket attributes.
    fn is_always_filled(&self, key: &str) -> bool {
        let fills = |node: &&Node| {
            let field = self
                .definition
                .fields_of(node)
                .find(|field| field.key == key);
            field.is_some_and(|field| field.is_required && field.hidden_when.is_none())
                && !node.is_allow_skip
        };
        let is_of_the_ticket = self.definition.field(key).is_none()
            && super::super::is_comparable_of_the_ticket(key)
            && key != "priority"
            && key != "ticket_title";
        is_of_the_ticket
            || self.is_passed(
                &self
                    .definition
                    .nodes
                    .iter()
                    .filter(fills)
                    .map(|node| node.id)
                    .collect(),
            )
    }
}

/// Returns the keys and names of all options that the workflow defines for a field. If the options form a
/// tree, the options of all levels are returned.
fn own_options(field: &Field) -> Vec<(&str, &str)> {
    fn flat<'a>(choices: &'a [Choice], all: &mut Vec<(&'a str, &'a str)>) {
        for choice in choices {
            all.push((&choice.key, &choice.name));
            flat(&choice.items, all);
        }
    }
    let mut all = Vec::new();
    if matches!(field.source_type.as_str(), "" | "CUSTOM") && field.kind != FieldKind::InputSelect {
        flat(&field.choice, &mut all);
    }
    all
}

fn is_of_sets(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Superset | Operator::NotSuperset | Operator::In | Operator::NotIn
    )
}

/// Returns the constants with which a clause (a single comparison) compares its key: one value, or all
/// elements of a list.
fn constants(clause: &Clause) -> Vec<String> {
    if is_of_sets(clause.condition) {
        condition::set(&clause.value).into_iter().collect()
    } else {
        vec![plain(&clause.value)]
    }
}

/// Divides the possible values of a key into cases. The parameter `sorted` contains constants in ascending
/// order. Each constant is one case. Each range between two constants, before the first constant or after the
/// last constant is also one case.
fn ranges<T: Copy>(
    key: &str,
    sorted: &[(T, String)],
    value_between: impl Fn(Option<T>, Option<T>) -> Option<String>,
) -> Vec<Case> {
    let mut cases = Vec::new();
    let case = |value: String, low: Option<&str>, high: Option<&str>, is_included: bool| Case {
        held: vec![(key.to_owned(), Found::Value(value.into()))],
        words: Words::Range {
            key: key.to_owned(),
            low: low.map(|low| (low.to_owned(), is_included)),
            high: high.map(|high| (high.to_owned(), is_included)),
        },
    };
    for at in 0..=sorted.len() {
        let (below, above) = (at.checked_sub(1).map(|at| &sorted[at]), sorted.get(at));
        if let Some(value) = value_between(
            below.map(|(value, _)| *value),
            above.map(|(value, _)| *value),
        ) {
            cases.push(case(
                value,
                below.map(|(_, text)| text.as_str()),
                above.map(|(_, text)| text.as_str()),
                false,
            ));
        }
        if let Some((_, text)) = above {
            cases.push(case(
                text.clone(),
                Some(text.as_str()),
                Some(text.as_str()),
                true,
            ));
        }
    }
    cases
}

/// Returns the cases for a key whose value is a number. The parameter `tested_values` contains the constants
/// with which the conditions compare this key. Each constant is one case. Each range between, below or above
/// the constants is also one case.
fn numbers(key: &str, tested_values: &BTreeSet<String>) -> Vec<Case> {
    let mut sorted: Vec<(f64, String)> = tested_values
        .iter()
        .filter_map(|text| Some((condition::number(text)?, text.trim().to_owned())))
        .collect();
    sorted.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    sorted.dedup_by(|(one, _), (other, _)| one.total_cmp(other).is_eq());
    // Returns the distance between the highest or lowest constant and the value that is tested above or below
    // this constant. Normally, the distance is 1. For a very large constant, the distance is larger, because
    // rounding would remove a distance of 1.
    let step = |number: f64| 1.0_f64.max(number.abs() * 1e-6);
    ranges(key, &sorted, |below, above| {
        let value = match (below, above) {
            (Some(below), Some(above)) => f64::midpoint(below, above),
            (Some(below), None) => below + step(below),
            (None, Some(above)) => above - step(above),
            (None, None) => 0.0,
        };
        Some(value.to_string())
    })
}

/// Returns the cases for a key whose value is a date or time. The parameter `tested_values` contains the
/// constants with which the conditions compare this key. Each constant is one case. Each range between,
/// before or after the constants is also one case. If `are_days` is true, there is no value between two
/// consecutive days.
fn times(key: &str, tested_values: &BTreeSet<String>, are_days: bool) -> Vec<Case> {
    let mut sorted: Vec<(DateTime, String)> = tested_values
        .iter()
        .filter_map(|text| Some((condition::time(text)?, text.trim().to_owned())))
        .collect();
    sorted.sort_by_key(|(time, _)| *time);
    sorted.dedup_by_key(|(time, _)| *time);
    let (day, next) = (
        Span::new().days(1),
        if are_days {
            Span::new().days(1)
        } else {
            Span::new().seconds(1)
        },
    );
    ranges(key, &sorted, |below, above| {
        let time = match (below, above) {
            (Some(below), Some(above)) => {
                below.checked_add(next).ok().filter(|time| *time < above)?
            }
            (Some(below), None) => below.checked_add(day).ok()?,
            (None, Some(above)) => above.checked_sub(day).ok()?,
            (None, None) => DateTime::default(),
        };
        Some(
            time.strftime(if are_days {
                "%Y-%m-%d"
            } else {
                "%Y-%m-%d %H:%M:%S"
            })
            .to_string(),
        )
    })
}
