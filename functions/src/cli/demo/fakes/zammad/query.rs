//! Reads search queries of Zammad, such as `updated_at:>="2026-11-22T08:00:00Z" AND state.name:open`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cli::demo::fakes::ticket_api::{split_unquoted, text};

#[derive(Debug, PartialEq)]
pub(super) struct Query(Vec<Clause>);

#[derive(Debug, PartialEq)]
enum Clause {
    /// The time in a field is in a range. A bound has a time and whether the time itself is in the range.
    Between {
        field: String,
        from: Option<(Timestamp, bool)>,
        to: Option<(Timestamp, bool)>,
    },
    Is {
        field: String,
        value: String,
    },
    /// The number or the title contains the text.
    Text(String),
}

impl Query {
    /// Reads a query. An error is the reason why the query is not valid.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let clauses = split_unquoted(query.trim(), " and ")
            .into_iter()
            .map(str::trim);
        let clauses = clauses.filter(|clause| !clause.is_empty() && *clause != "*");
        clauses
            .map(Clause::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns whether a ticket with the names of its state, group and customer matches.
    pub(super) fn matches(&self, ticket: &Value) -> bool {
        self.0.iter().all(|clause| clause.matches(ticket))
    }
}

impl Clause {
    fn parse(clause: &str) -> Result<Self, String> {
        let Some((field, condition)) = clause.split_once(':') else {
            return Ok(Self::Text(unquoted(clause).to_lowercase()));
        };
        let field = field.trim().trim_end_matches(".name").to_owned();
        let condition = condition.trim();
        let begin = condition.starts_with(['[', '{']);
        let (from, to) = if begin {
            let list = condition.strip_suffix([']', '}']).map(|list| &list[1..]);
            let bounds = list.and_then(|list| list.split_once(" TO "));
            let (from, to) = bounds.ok_or_else(|| format!("cannot read the range {condition}"))?;
            (
                bound(from, condition.starts_with('['))?,
                bound(to, condition.ends_with(']'))?,
            )
        } else if let Some(value) = condition.strip_prefix(">=") {
            (bound(value, true)?, None)
        } else if let Some(value) = condition.strip_prefix('>') {
            (bound(value, false)?, None)
        } else if let Some(value) = condition.strip_prefix("<=") {
            (None, bound(value, true)?)
        } else if let Some(value) = condition.strip_prefix('<') {
            (None, bound(value, false)?)
        } else {
            let value = unquoted(condition).to_lowercase();
            return Ok(Self::Is { field, value });
        };
        Ok(Self::Between { field, from, to })
    }

    fn matches(&self, ticket: &Value) -> bool {
        match self {
            Self::Between { field, from, to } => {
                let known = ticket[field.as_str()].as_str();
                let known: Option<Timestamp> = known.and_then(|known| known.parse().ok());
                known.is_some_and(|known| {
                    let is_after =
                        |(at, is_in): (Timestamp, bool)| known > at || is_in && known == at;
                    let is_before =
                        |(at, is_in): (Timestamp, bool)| known < at || is_in && known == at;
                    from.is_none_or(is_after) && to.is_none_or(is_before)
                })
            }
            Self::Is { field, value } if value == "*" => !ticket[field.as_str()].is_null(),
            Self::Is { field, value } => text(&ticket[field.as_str()]).to_lowercase() == *value,
            Self::Text(wanted) => {
                let mut known = ["title", "number"].iter().map(|name| text(&ticket[*name]));
                known.any(|known| known.to_lowercase().contains(wanted.as_str()))
            }
        }
    }
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

/// Reads one bound of a range. `*` is no bound. A time without an offset is in UTC.
fn bound(text: &str, is_in: bool) -> Result<Option<(Timestamp, bool)>, String> {
    let text = unquoted(text);
    if text == "*" {
        return Ok(None);
    }
    let civil = || {
        let civil: Result<DateTime, _> = text.parse();
        civil.and_then(|civil| civil.to_zoned_datetime(TimeZone::UTC))
    };
    let at: Result<Timestamp, _> = text.parse();
    at.or_else(|_| civil().map(|zoned| zoned.timestamp()))
        .map(|at| Some((at, is_in)))
        .map_err(|_| format!("failed to parse date field [{text}]"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn queries_select_tickets() {
        let ticket = json!({
            "id": 7, "number": "10007", "title": "Printer 10", "state": "open", "priority": "2 normal",
            "customer": "lisi@example.com", "updated_at": "2026-11-22T08:00:00.250Z",
        });
        for (query, expected) in [
            ("*", true),
            ("", true),
            ("printer", true),
            ("10007", true),
            ("scanner", false),
            ("state.name:open", true),
            ("state:closed", false),
            ("priority.name:\"2 normal\" AND state.name:open", true),
            ("updated_at:>=\"2026-11-22T08:00:00.250Z\"", true),
            ("updated_at:>\"2026-11-22T08:00:00.250Z\"", false),
            ("updated_at:>=2026-11-22", true),
            ("updated_at:<2026-11-22T08:00:00Z", false),
            ("updated_at:[2026-11-22T08:00:00Z TO *]", true),
            ("updated_at:[* TO \"2026-11-22T07:59:59Z\"]", false),
            ("updated_at:{2026-11-22T08:00:00.250Z TO *}", false),
            ("created_at:[* TO *]", false),
        ] {
            let parsed = Query::parse(query).expect(query);
            assert_eq!(parsed.matches(&ticket), expected, "{query}");
        }
    }

    #[test]
    fn invalid_ranges_are_rejected() {
        for query in [
            "updated_at:>=yesterday",
            "updated_at:[2026-11-22]",
            "updated_at:[a TO b]",
        ] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
    }
}
