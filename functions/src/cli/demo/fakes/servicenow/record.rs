//! Contains the records of an imitated instance of ServiceNow: their version, the data policy and the labels of values.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::error;
use crate::cli::demo::fakes::ticket_api::{Reply, Request, text};

/// Fields with entries of people, and the label of such an entry.
pub(super) const JOURNALS: [(&str, &str); 2] = [
    ("comments", "Additional comments"),
    ("work_notes", "Work notes"),
];

#[derive(Clone, Default)]
pub(super) struct Record {
    pub(super) values: BTreeMap<String, String>,
    /// The entries of the journal fields, oldest first.
    pub(super) journals: BTreeMap<&'static str, Vec<String>>,
}

/// How a response shows the records.
pub(super) struct View<'a> {
    /// The value of `sysparm_display_value`.
    pub(super) display: &'a str,
    pub(super) has_links: bool,
    /// The names of the fields, or `None` for all fields.
    pub(super) fields: Option<Vec<&'a str>>,
}

impl<'a> View<'a> {
    pub(super) fn of(request: &'a Request<'_>) -> Self {
        let fields = request.parameter("sysparm_fields");
        Self {
            display: request
                .parameter("sysparm_display_value")
                .unwrap_or("false"),
            has_links: !request.is_true("sysparm_exclude_reference_link"),
            fields: fields.map(|list| list.split(',').map(str::trim).collect()),
        }
    }
}

impl Record {
    pub(super) fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// Sets the given fields and returns whether a field changed.
    pub(super) fn change(&mut self, members: &Map<String, Value>, at: &str, user: &str) -> bool {
        let mut is_changed = false;
        for (name, value) in members {
            let value = text(value);
            if let Some((name, title)) = JOURNALS.iter().find(|(journal, _)| journal == name) {
                if !value.is_empty() {
                    let entry = format!("{at} - {user} ({title})\n{value}\n\n");
                    self.journals.entry(*name).or_default().push(entry);
                    is_changed = true;
                }
            } else if !name.starts_with("sys_") && self.value(name) != value {
                self.values.insert(name.clone(), value);
                is_changed = true;
            }
        }
        is_changed
    }

    /// Checks the data policy of incidents.
    pub(super) fn check(&self, table: &str) -> Result<(), Reply> {
        if table != "incident" || !matches!(self.value("state"), "6" | "7") {
            return Ok(());
        }
        let required = [
            ("close_code", "Resolution code"),
            ("close_notes", "Resolution notes"),
        ];
        let empty = required
            .iter()
            .filter(|(name, _)| self.value(name).is_empty());
        let empty: Vec<&str> = empty.map(|(_, title)| *title).collect();
        if empty.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "Data Policy Exception: The following fields are mandatory: {}",
            empty.join(", ")
        );
        Err(error(StatusCode::FORBIDDEN, "Operation Failed", &detail))
    }

    /// Updates the version of the record and the fields that depend on other fields.
    pub(super) fn touch(&mut self, at: &str, user: &str) {
        let number = |name: &str| self.value(name).parse::<u64>().unwrap_or_default();
        let count = number("sys_mod_count") + 1;
        // The priority lookup rules of ServiceNow: 1 and 1 is 1, 3 and 3 is 5.
        let priority = (number("impact") + number("urgency"))
            .saturating_sub(1)
            .clamp(1, 5);
        let is_active = !matches!(self.value("state"), "7" | "8");
        for (name, value) in [
            ("sys_mod_count", count.to_string()),
            ("sys_updated_on", at.to_owned()),
            ("sys_updated_by", user.to_owned()),
            ("priority", priority.to_string()),
            ("active", is_active.to_string()),
        ] {
            self.values.insert(name.to_owned(), value);
        }
    }
}

pub(super) fn prefix(table: &str) -> &'static str {
    match table {
        "incident" => "INC",
        "problem" => "PRB",
        "change_request" => "CHG",
        "sn_customerservice_case" => "CS",
        _ => "REC",
    }
}

/// Returns the text that people see for a value.
pub(super) fn label<'a>(table: &str, name: &str, value: &'a str) -> &'a str {
    match (table, name, value) {
        ("incident" | "sn_customerservice_case", "state", "1") => "New",
        ("incident", "state", "2") => "In Progress",
        ("incident", "state", "3") => "On Hold",
        ("incident" | "sn_customerservice_case", "state", "6") => "Resolved",
        ("incident", "state", "7") => "Closed",
        ("incident", "state", "8") => "Canceled",
        ("sn_customerservice_case", "state", "3") => "Closed",
        ("sn_customerservice_case", "state", "10") => "Open",
        (_, "impact" | "urgency", "1") => "1 - High",
        (_, "impact" | "urgency", "2") => "2 - Medium",
        (_, "impact" | "urgency", "3") => "3 - Low",
        (_, "priority", "1") => "1 - Critical",
        (_, "priority", "2") => "2 - High",
        (_, "priority", "3") => "3 - Moderate",
        (_, "priority", "4") => "4 - Low",
        (_, "priority", "5") => "5 - Planning",
        _ => value,
    }
}
