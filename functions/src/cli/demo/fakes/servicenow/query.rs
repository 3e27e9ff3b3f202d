//! Reads encoded queries of ServiceNow, such as `active=true^priorityIN1,2^ORDERBYsys_updated_on`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The operators. An operator is before each operator with which it begins: `>=` before `>`.
const OPERATORS: [&str; 15] = [
    "!=",
    ">=",
    "<=",
    "=",
    ">",
    "<",
    "NOT LIKE",
    "NOT IN",
    "LIKE",
    "CONTAINS",
    "STARTSWITH",
    "ENDSWITH",
    "ISNOTEMPTY",
    "ISEMPTY",
    "IN",
];

type Values = BTreeMap<String, String>;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// The queries that `^NQ` separates. A query is a list of conditions, and a condition a list of alternatives.
    queries: Vec<Vec<Vec<Term>>>,
    /// The fields of the order, and whether their order is descending.
    order: Vec<(String, bool)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Term {
    field: String,
    operator: &'static str,
    value: String,
}

impl Query {
    /// Reads an encoded query. A term without a known operator is ignored, as in ServiceNow: the result then has more
    /// records.
    pub(super) fn parse(encoded: &str) -> Self {
        let (mut queries, mut order) = (vec![Vec::<Vec<Term>>::new()], Vec::new());
        for part in encoded.split('^') {
            if let Some(field) = part.strip_prefix("ORDERBYDESC") {
                order.push((field.to_owned(), true));
                continue;
            }
            if let Some(field) = part.strip_prefix("ORDERBY") {
                order.push((field.to_owned(), false));
                continue;
            }
            let (is_alternative, part) = match part.strip_prefix("OR") {
                Some(rest) => (true, rest),
                None => (false, part),
            };
            let part = match part.strip_prefix("NQ") {
                Some(rest) => {
                    queries.push(Vec::new());
                    rest
                }
                None => part,
            };
            let Some(term) = Term::parse(part) else {
                continue;
            };
            let Some(conditions) = queries.last_mut() else {
                continue;
            };
            match conditions.last_mut() {
                Some(alternatives) if is_alternative => alternatives.push(term),
                _ => conditions.push(vec![term]),
            }
        }
        Self { queries, order }
    }

    pub(super) fn matches(&self, values: &Values) -> bool {
        let is_met =
            |alternatives: &Vec<Term>| alternatives.iter().any(|term| term.matches(values));
        self.queries
            .iter()
            .any(|conditions| conditions.iter().all(is_met))
    }

    pub(super) fn compare(&self, left: &Values, right: &Values) -> Ordering {
        let orders = self.order.iter().map(|(field, is_descending)| {
            let order = compare(value(left, field), value(right, field));
            if *is_descending {
                order.reverse()
            } else {
                order
            }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    }
}

impl Term {
    fn parse(term: &str) -> Option<Self> {
        let is_of_name = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_.".contains(letter)
        };
        let end = term.find(|letter| !is_of_name(letter))?;
        let (field, rest) = term.split_at(end);
        let operator = OPERATORS
            .into_iter()
            .find(|operator| rest.starts_with(operator))?;
        let is_valid = !field.is_empty();
        is_valid.then(|| Self {
            field: field.to_owned(),
            operator,
            value: constant(&rest[operator.len()..]),
        })
    }

    fn matches(&self, values: &Values) -> bool {
        let known = value(values, &self.field);
        let (lower, wanted) = (known.to_lowercase(), self.value.to_lowercase());
        let is_listed = || wanted.split(',').any(|one| one.trim() == lower);
        match self.operator {
            "=" => lower == wanted,
            "!=" => lower != wanted,
            // An empty value is neither greater nor less than another value.
            ">" | ">=" | "<" | "<=" if known.is_empty() => false,
            ">" => compare(known, &self.value).is_gt(),
            ">=" => compare(known, &self.value).is_ge(),
            "<" => compare(known, &self.value).is_lt(),
            "<=" => compare(known, &self.value).is_le(),
            "LIKE" | "CONTAINS" => lower.contains(&wanted),
            "NOT LIKE" => !lower.contains(&wanted),
            "STARTSWITH" => lower.starts_with(&wanted),
            "ENDSWITH" => lower.ends_with(&wanted),
            "IN" => is_listed(),
            "NOT IN" => !is_listed(),
            "ISEMPTY" => known.is_empty(),
            _ => !known.is_empty(),
        }
    }
}

fn value<'a>(values: &'a Values, field: &str) -> &'a str {
    values.get(field).map_or("", String::as_str)
}

/// Compares numbers as numbers, and other values as text.
fn compare(left: &str, right: &str) -> Ordering {
    match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// Returns the constant that an expression means: `javascript:gs.dateGenerate('2026-11-22','08:00:00')` is a time.
fn constant(value: &str) -> String {
    let call = value.strip_prefix("javascript:gs.dateGenerate(");
    match call.and_then(|call| call.strip_suffix(')')) {
        Some(arguments) => {
            let arguments = arguments.split(',');
            let arguments = arguments.map(|argument| argument.trim().trim_matches('\''));
            arguments.collect::<Vec<_>>().join(" ")
        }
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn encoded_queries_select_records() {
        let record = values(&[
            ("state", "2"),
            ("number", "INC0010001"),
            ("short_description", "Printer 10"),
            ("sys_mod_count", "10"),
            ("sys_updated_on", "2026-11-22 08:00:00"),
            ("close_code", ""),
        ]);
        for (query, expected) in [
            ("", true),
            ("state=2", true),
            ("state!=2", false),
            ("state=1^ORstate=2", true),
            ("state=1^ORstate=3^number=INC0010001", false),
            ("state=1^NQstate=2", true),
            ("stateIN1,2", true),
            ("stateNOT IN1,2", false),
            ("sys_mod_count>9", true),
            ("sys_mod_count<=9", false),
            ("short_descriptionLIKEprinter", true),
            ("short_descriptionSTARTSWITHPrinter", true),
            ("short_descriptionENDSWITH1", false),
            ("close_codeISEMPTY^numberISNOTEMPTY", true),
            ("sys_updated_on>=2026-11-22 08:00:00", true),
            ("sys_updated_on>2026-11-22 08:00:00", false),
            (
                "sys_updated_on>=javascript:gs.dateGenerate('2026-11-22','07:59:59')",
                true,
            ),
            ("not an operator", true),
        ] {
            assert_eq!(Query::parse(query).matches(&record), expected, "{query}");
        }
    }

    #[test]
    fn encoded_queries_order_records() {
        let (old, new) = (
            values(&[("count", "9"), ("same", "x")]),
            values(&[("count", "10"), ("same", "x")]),
        );
        for (query, expected) in [
            ("ORDERBYcount", Ordering::Less),
            ("ORDERBYDESCcount", Ordering::Greater),
            ("ORDERBYsame", Ordering::Equal),
            ("state=1^ORDERBYsame^ORDERBYDESCcount", Ordering::Greater),
        ] {
            assert_eq!(Query::parse(query).compare(&old, &new), expected, "{query}");
        }
    }
}
