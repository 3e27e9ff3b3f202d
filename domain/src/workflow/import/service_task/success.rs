//! Parses the success expression of a webhook (the condition for a successful response).

use events::workflow::Condition;
use serde_json::{Value, json};

/// Maximum size in bytes of a success expression (the condition for a successful response). In real files, an
/// expression contains only one or two comparisons.
const EXPRESSION_BYTES: usize = 2000;
/// Maximum nesting depth of the parentheses in a success expression (the condition for a successful
/// response).
const EXPRESSION_DEPTH: usize = 8;

/// A parsed success condition of a webhook: one comparison, or several parts that are combined with `and` or
/// `or`.
enum Expression {
    Clause(Value),
    All(&'static str, Vec<Expression>),
}

/// Parses a success condition of a webhook, such as `resp.code == 0 and resp["data"]["state"] == "done"`.
/// Comparisons are combined with `and` or `or`. A condition may contain both `and` and `or` only if
/// parentheses enclose the inner parts. Returns `None` if the text has another structure.
pub fn expression(text: &str) -> Option<Condition> {
    let group = |join: &str, clauses: Vec<Value>| json!({ "type": join, "expressions": clauses });
    let (join, groups) = match parse_expression(text, 0)? {
        Expression::Clause(clause) => ("and", vec![group("and", vec![clause])]),
        Expression::All(join, parts)
            if parts
                .iter()
                .all(|part| matches!(part, Expression::Clause(_))) =>
        {
            ("and", vec![group(join, clauses(parts)?)])
        }
        Expression::All(join, parts) => {
            let one = |part: Expression| match part {
                Expression::Clause(clause) => Some(group("and", vec![clause])),
                Expression::All(inner, parts) => {
                    clauses(parts).map(|clauses| group(inner, clauses))
                }
            };
            (
                join,
                parts.into_iter().map(one).collect::<Option<Vec<Value>>>()?,
            )
        }
    };
    serde_json::from_value(json!({ "type": join, "expressions": groups })).ok()
}

/// Returns true if an expression compares two equal constants and is therefore always true, such as `1 == 1`.
pub(super) fn is_always_true(text: &str) -> bool {
    let sides = unquoted_parts(text, "==");
    let constant = |side: &str| constant_of(side.trim()).map(|(_, value)| value);
    matches!(text, "true" | "True")
        || sides.len() == 2 && constant(sides[0]).is_some_and(|one| Some(one) == constant(sides[1]))
}

/// Converts the parts of a condition to clauses (single comparisons). Returns `None` if one of the parts
/// contains several comparisons.
fn clauses(parts: Vec<Expression>) -> Option<Vec<Value>> {
    let clause = |part: Expression| match part {
        Expression::Clause(clause) => Some(clause),
        Expression::All(..) => None,
    };
    parts.into_iter().map(clause).collect()
}

fn parse_expression(text: &str, depth: usize) -> Option<Expression> {
    if depth > EXPRESSION_DEPTH || text.len() > EXPRESSION_BYTES {
        return None;
    }
    let text = text.trim();
    let (ands, ors) = (unquoted_parts(text, " and "), unquoted_parts(text, " or "));
    let (join, parts) = match (ands.len(), ors.len()) {
        (1, 1) => {
            return match text
                .strip_prefix('(')
                .and_then(|rest| rest.strip_suffix(')'))
            {
                Some(inner) => parse_expression(inner, depth + 1),
                None => comparison(text),
            };
        }
        (_, 1) => ("and", ands),
        (1, _) => ("or", ors),
        _ => return None,
    };
    let mut all = Vec::new();
    for part in parts {
        match parse_expression(part, depth + 1)? {
            Expression::All(inner, parts) if inner == join => all.extend(parts),
            other => all.push(other),
        }
    }
    Some(Expression::All(join, all))
}

/// Parses one comparison of a success condition. One side of the comparison is a member of the response. The
/// other side is a constant or a list of constants. Returns `None` if the text is not a comparison of a
/// member with constants.
fn comparison(text: &str) -> Option<Expression> {
    for (word, sign, join) in [(" in ", "==", "or"), (" notin ", "!=", "and")] {
        let sides = unquoted_parts(text, word);
        if sides.len() == 2 {
            let (key, list) = (path(sides[0].trim())?, sides[1].trim());
            let list = list
                .strip_prefix('(')
                .and_then(|list| list.strip_suffix(')'))
                .or_else(|| list.strip_prefix('[')?.strip_suffix(']'))?;
            let items = unquoted_parts(list, ",");
            let one =
                |item: &&str| constant_of(item.trim()).map(|constant| clause(&key, sign, constant));
            return Some(Expression::All(
                join,
                items.iter().map(one).collect::<Option<_>>()?,
            ));
        }
    }
    let sign = ["==", "!=", ">=", "<=", ">", "<"]
        .into_iter()
        .find(|sign| unquoted_parts(text, sign).len() == 2)?;
    let sides = unquoted_parts(text, sign);
    let (left, right) = (sides[0].trim(), sides[1].trim());
    match (constant_of(left), constant_of(right)) {
        (None, Some(constant)) => Some(clause(&path(left)?, sign, constant)),
        (Some(constant), None) => {
            let mirrored = match sign {
                ">" => "<",
                "<" => ">",
                ">=" => "<=",
                "<=" => ">=",
                other => other,
            };
            Some(clause(&path(right)?, mirrored, constant))
        }
        _ => None,
    }
}

fn clause(key: &str, sign: &str, (kind, value): (&str, Value)) -> Expression {
    Expression::Clause(json!({ "key": key, "type": kind, "condition": sign, "value": value }))
}

/// Parses a constant of a comparison. Returns the field type and the value of the constant. Returns `None` if
/// the text is not a constant.
fn constant_of(text: &str) -> Option<(&'static str, Value)> {
    Some(match text {
        "True" | "true" => ("BOOLEAN", json!("true")),
        "False" | "false" => ("BOOLEAN", json!("false")),
        quoted
            if quoted.len() > 1
                && (quoted.starts_with('"') && quoted.ends_with('"')
                    || quoted.starts_with('\'') && quoted.ends_with('\'')) =>
        {
            ("STRING", json!(quoted[1..quoted.len() - 1]))
        }
        number => (
            "INT",
            serde_json::from_str::<serde_json::Number>(number)
                .ok()?
                .into(),
        ),
    })
}

/// Splits a text at each separator `mark`. A separator inside quotes, parentheses or brackets is ignored. The
/// separator can be a word such as `and`, in upper or lower case. Before and after such a word, there must be
/// whitespace or a parenthesis.
fn unquoted_parts<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut at, mut quote, mut depth) = (Vec::new(), 0, 0, None, 0_usize);
    let word = mark.trim();
    let is_word = word.len() + 2 == mark.len();
    while let Some(c) = text[at..].chars().next() {
        let starts = if is_word {
            let begins = text[at..]
                .get(..word.len())
                .is_some_and(|here| here.eq_ignore_ascii_case(word));
            let before = text[..at]
                .chars()
                .next_back()
                .is_some_and(|c| c.is_whitespace() || c == ')');
            let after = text[at..]
                .get(word.len()..)
                .and_then(|rest| rest.chars().next())
                .is_some_and(|c| c.is_whitespace() || matches!(c, '(' | '['));
            begins && before && after
        } else {
            text[at..].starts_with(mark)
        };
        match quote {
            None if depth == 0 && starts => {
                parts.push(&text[start..at]);
                at += if is_word { word.len() } else { mark.len() };
                start = at;
                continue;
            }
            None if matches!(c, '(' | '[') => depth += 1,
            None if matches!(c, ')' | ']') => depth = depth.saturating_sub(1),
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        at += c.len_utf8();
    }
    parts.push(&text[start..]);
    parts
}

/// Parses the path to a member of a response. The text may use dots, brackets such as `["data"]`, or calls
/// such as `.get("data")`. The returned path uses only dots.
fn path(text: &str) -> Option<String> {
    let plain = ["[\"", "['", ".get(\"", ".get('"]
        .iter()
        .fold(text.to_owned(), |text, open| text.replace(open, "."));
    let plain = ["\"]", "']", "\")", "')"]
        .iter()
        .fold(plain, |text, close| text.replace(close, ""));
    let is_path = !plain.is_empty()
        && plain
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    is_path.then_some(plain)
}
