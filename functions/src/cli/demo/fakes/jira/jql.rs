//! Reads queries in JQL, such as `project = ITSM AND updated >= "2026-11-22 08:00" ORDER BY updated ASC`.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::cli::demo::fakes::ticket_api::split_unquoted;

/// The operators. An operator is before each operator with which it begins: `>=` before `>`.
const OPERATORS: [&str; 8] = ["!=", ">=", "<=", "=", ">", "<", "not in", "in"];

/// The part of an issue that a query can use.
#[derive(Clone, Debug)]
pub(super) struct Subject<'a> {
    pub(super) number: u64,
    pub(super) id: &'a str,
    pub(super) key: &'a str,
    pub(super) project: &'a str,
    /// The id and the name of the status.
    pub(super) status: (&'a str, &'a str),
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

#[derive(Debug, PartialEq)]
pub(super) struct Jql {
    clauses: Vec<Clause>,
    /// The fields of the order, and whether their order is descending.
    order: Vec<(Field, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Project,
    Status,
    Key,
    Created,
    Updated,
}

#[derive(Debug, PartialEq)]
struct Clause {
    field: Field,
    operator: &'static str,
    values: Vec<String>,
    /// The value as time, if the field is a time.
    at: Option<Timestamp>,
}

impl Jql {
    /// Reads a query. An error is the message for the client.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let padded = format!(" {}", query.trim());
        let parts = split_unquoted(&padded, " order by ");
        let (conditions, order) = match parts.as_slice() {
            [conditions] => (conditions.trim(), ""),
            [conditions, order] => (conditions.trim(), order.trim()),
            _ => return Err("Error in the JQL Query: more than one ORDER BY.".into()),
        };
        let clauses = split_unquoted(conditions, " and ");
        let clauses = clauses.into_iter().map(str::trim);
        let clauses = clauses.filter(|clause| !clause.is_empty());
        let order = order.split(',').map(str::trim);
        let order = order.filter(|field| !field.is_empty());
        Ok(Self {
            clauses: clauses.map(Clause::parse).collect::<Result<_, _>>()?,
            order: order.map(sorting).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        self.clauses.iter().all(|clause| clause.matches(subject))
    }

    /// Compares two issues. Without an order, the newest issue is first.
    pub(super) fn compare(&self, left: &Subject<'_>, right: &Subject<'_>) -> Ordering {
        let orders = self.order.iter().map(|(field, is_descending)| {
            let order = match field {
                Field::Created => left.created.cmp(&right.created),
                Field::Updated => left.updated.cmp(&right.updated),
                Field::Status => left.status.cmp(&right.status),
                Field::Key | Field::Project => left.number.cmp(&right.number),
            };
            if *is_descending {
                order.reverse()
            } else {
                order
            }
        });
        let order = orders.fold(Ordering::Equal, Ordering::then);
        order.then(right.number.cmp(&left.number))
    }

    /// Returns the values that the query requires for the project.
    pub(super) fn projects(&self) -> impl Iterator<Item = &str> {
        let clauses = self.clauses.iter();
        let clauses = clauses.filter(|clause| clause.field == Field::Project);
        clauses.flat_map(|clause| clause.values.iter().map(String::as_str))
    }
}

impl Clause {
    fn parse(clause: &str) -> Result<Self, String> {
        let unreadable = || format!("Error in the JQL Query: cannot read '{clause}'.");
        let name = clause.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '"');
        let (name, rest) = clause.split_at(name.ok_or_else(unreadable)?);
        let field = Field::parse(name)?;
        let rest = rest.trim_start();
        let is_begin = |operator: &&str| {
            let begin = rest.get(..operator.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(operator))
        };
        let operator = OPERATORS
            .into_iter()
            .find(is_begin)
            .ok_or_else(unreadable)?;
        let value = rest[operator.len()..].trim();
        let values = if operator.ends_with("in") {
            let list = value
                .strip_prefix('(')
                .and_then(|list| list.strip_suffix(')'));
            split_unquoted(list.ok_or_else(unreadable)?, ",")
        } else {
            vec![value]
        };
        let unquote = |value: &str| value.trim().trim_matches(['"', '\'']).to_owned();
        let values: Vec<String> = values.into_iter().map(unquote).collect();
        if values.iter().any(String::is_empty) {
            return Err(unreadable());
        }
        let at = match (field, values.first()) {
            (Field::Created | Field::Updated, Some(value)) => Some(time(name, value)?),
            _ => None,
        };
        Ok(Self {
            field,
            operator,
            values,
            at,
        })
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let is_any = |known: &[&str]| {
            let mut values = self.values.iter();
            values.any(|value| known.iter().any(|known| known.eq_ignore_ascii_case(value)))
        };
        let is_equal = match self.field {
            Field::Project => is_any(&[subject.project]),
            Field::Status => is_any(&[subject.status.0, subject.status.1]),
            Field::Key => is_any(&[subject.key, subject.id]),
            Field::Created => return self.compares(subject.created),
            Field::Updated => return self.compares(subject.updated),
        };
        is_equal == matches!(self.operator, "=" | "in")
    }

    fn compares(&self, known: Timestamp) -> bool {
        self.at.is_some_and(|at| match self.operator {
            ">=" => known >= at,
            "<=" => known <= at,
            ">" => known > at,
            "<" => known < at,
            "!=" | "not in" => known != at,
            _ => known == at,
        })
    }
}

impl Field {
    fn parse(name: &str) -> Result<Self, String> {
        match name.trim_matches('"').to_ascii_lowercase().as_str() {
            "project" => Ok(Self::Project),
            "status" => Ok(Self::Status),
            "key" | "id" | "issue" | "issuekey" => Ok(Self::Key),
            "created" | "createddate" => Ok(Self::Created),
            "updated" | "updateddate" => Ok(Self::Updated),
            _ => Err(format!(
                "Field '{name}' does not exist or you do not have permission to view it."
            )),
        }
    }
}

fn sorting(text: &str) -> Result<(Field, bool), String> {
    let mut words = text.split_whitespace();
    let field = Field::parse(words.next().unwrap_or_default())?;
    match words.next() {
        None => Ok((field, false)),
        Some(word) if word.eq_ignore_ascii_case("asc") => Ok((field, false)),
        Some(word) if word.eq_ignore_ascii_case("desc") => Ok((field, true)),
        Some(word) => Err(format!("Error in the JQL Query: unexpected '{word}'.")),
    }
}

/// Reads a time. JQL has no seconds. The time zone of the account is UTC.
fn time(field: &str, text: &str) -> Result<Timestamp, String> {
    let plain = text.replace('/', "-");
    let minute = DateTime::strptime("%Y-%m-%d %H:%M", &plain);
    let day = || Date::strptime("%Y-%m-%d", &plain).map(|day| day.at(0, 0, 0, 0));
    let civil = minute.or_else(|_| day());
    let zoned = civil.and_then(|civil| civil.to_zoned_datetime(TimeZone::UTC));
    zoned.map(|zoned| zoned.timestamp()).map_err(|_| {
        format!(
            "Date value '{text}' for field '{field}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', \
             'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(number: u64, updated: &str) -> Subject<'static> {
        let updated = updated.parse().expect("a time");
        Subject {
            number,
            id: "10001",
            key: "ITSM-1",
            project: "ITSM",
            status: ("3", "In Progress"),
            created: Timestamp::UNIX_EPOCH,
            updated,
        }
    }

    #[test]
    fn queries_select_issues() {
        let issue = subject(1, "2026-11-22T08:00:30Z");
        for (query, expected) in [
            ("", true),
            ("ORDER BY updated", true),
            ("project = ITSM", true),
            ("project=itsm AND status = \"in progress\"", true),
            ("project = OTHER", false),
            ("status != 3", false),
            ("status in (\"Open\", 3)", true),
            ("status not in (Open, 3)", false),
            ("key = ITSM-1", true),
            ("updated >= \"2026-11-22 08:00\" ORDER BY updated ASC", true),
            ("updated >= '2026/11/22 08:01' order by key", false),
            ("updated < 2026-11-23 and project = \"ITSM\"", true),
        ] {
            let parsed = Jql::parse(query).expect(query);
            assert_eq!(parsed.matches(&issue), expected, "{query}");
        }
    }

    #[test]
    fn invalid_queries_are_rejected() {
        for query in [
            "updated >= \"2026-11-22 08:00:30\"",
            "colour = red",
            "project",
            "project ITSM",
            "status in Open",
            "ORDER BY updated sideways",
            "project = ",
        ] {
            assert!(Jql::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn queries_order_issues() {
        let old = subject(1, "2026-11-22T08:00:00Z");
        let new = subject(2, "2026-11-22T08:00:01Z");
        for (query, expected) in [
            ("ORDER BY updated ASC", Ordering::Less),
            ("ORDER BY updated DESC", Ordering::Greater),
            ("project = ITSM ORDER BY created, key", Ordering::Less),
            ("", Ordering::Greater),
        ] {
            let parsed = Jql::parse(query).expect(query);
            assert_eq!(parsed.compare(&old, &new), expected, "{query}");
        }
    }
}
