//! Maps an export of Grafana OnCall or Opsgenie to escalation chains and rotas. The shapes are those of the public
//! documentation of the two products. Each object of the export gets a line in a report.

mod grafana;
mod opsgenie;

use std::collections::BTreeSet;

use serde_json::Value;

use super::{OnCall, chains, rotas};

/// Maximum number of entries of one list of an export.
const ENTRIES_MAX: usize = 5_000;
/// Maximum number of characters in the name of a chain or a rota.
const NAME_MAX: usize = 50;

/// The result of the mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    pub on_call: OnCall,
    pub report: Vec<Line>,
}

/// The result for one object of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The kind of the object in the export, such as `schedule`.
    pub kind: &'static str,
    pub name: String,
    pub outcome: Outcome,
}

/// What the import does with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Mapped,
    /// Parts of the object are left out. The texts name them.
    Partly(Vec<String>),
    /// The object is left out, for this reason.
    Skipped(String),
}

impl Outcome {
    /// Returns the word of the outcome and its texts.
    pub fn words(&self) -> (&'static str, String) {
        match self {
            Self::Mapped => ("mapped", String::new()),
            Self::Partly(notes) => ("partly", notes.join("; ")),
            Self::Skipped(reason) => ("skipped", reason.clone()),
        }
    }

    fn of(notes: Vec<String>) -> Self {
        if notes.is_empty() {
            Self::Mapped
        } else {
            Self::Partly(notes)
        }
    }
}

/// Maps the JSON text of an export. `accounts` are the channel accounts of all steps. An empty list means the accounts of the
/// notification policy. Returns an English text if the text is no export.
pub fn read(text: &str, accounts: &[String]) -> Result<Import, String> {
    let export: Value =
        serde_json::from_str(text).map_err(|error| format!("the file is not JSON: {error}"))?;
    let has = |key: &str| export.get(key).is_some();
    let schedules = list(&export, "schedules")?;
    let has_rotations = schedules.iter().any(|one| one.get("rotations").is_some());
    let mut import = if has("escalations") || has_rotations {
        opsgenie::map(&export, accounts)?
    } else if has("escalation_chains") || has("on_call_shifts") {
        grafana::map(&export, accounts)?
    } else {
        return Err(
            "the file has neither `escalation_chains` or `on_call_shifts` (Grafana OnCall) nor `escalations` (Opsgenie)"
                .to_owned(),
        );
    };
    drop_wrong(&mut import);
    Ok(import)
}

/// Removes the chains and the rotas that exceed a bound of the desk, and the chains that use a removed rota.
fn drop_wrong(import: &mut Import) {
    let Import { on_call, report } = import;
    let mut removed = BTreeSet::new();
    on_call.rotas.retain(|rota| {
        let checked = rotas::check_bounds(rota);
        if let Err(reason) = &checked {
            removed.insert(rota.name.clone());
            report.push(line("rota", &rota.name, Outcome::Skipped(reason.clone())));
        }
        checked.is_ok()
    });
    on_call.chains.retain(|chain| {
        let uses_removed = chain.steps.iter().any(|step| {
            matches!(&step.notify, events::escalation_chain::Target::Rota(name) if removed.contains(name))
        });
        let checked = if uses_removed {
            Err("a step uses a rota that is left out".to_owned())
        } else {
            chains::check_bounds(chain)
        };
        if let Err(reason) = &checked {
            report.push(line("chain", &chain.name, Outcome::Skipped(reason.clone())));
        }
        checked.is_ok()
    });
}

fn line(kind: &'static str, name: &str, outcome: Outcome) -> Line {
    Line {
        kind,
        name: name.to_owned(),
        outcome,
    }
}

/// Returns a list of the export. The list is an array, or the list response of the API with the member `results` or `data`.
/// A missing list is empty.
fn list<'a>(export: &'a Value, key: &str) -> Result<Vec<&'a Value>, String> {
    let Some(value) = export.get(key) else {
        return Ok(Vec::new());
    };
    let inner = value.get("results").or_else(|| value.get("data"));
    let Some(entries) = inner.unwrap_or(value).as_array() else {
        return Err(format!(
            "`{key}` must be a list, or a response with `results` or `data`"
        ));
    };
    if entries.len() > ENTRIES_MAX {
        return Err(format!("`{key}` has more than {ENTRIES_MAX} entries"));
    }
    Ok(entries.iter().collect())
}

/// Returns the text of a member. The text is empty if the member is missing or is no text.
fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the number of a member as `u32`. A missing member counts as `default`.
fn number(object: &Value, key: &str, default: u32) -> Result<u32, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| format!("`{key}` is not a number that the desk supports")),
    }
}

/// Returns the texts of a list.
fn texts(object: &Value, key: &str) -> Vec<String> {
    let entries = object.get(key).and_then(Value::as_array);
    let entries = entries.into_iter().flatten();
    entries
        .filter_map(|entry| entry.as_str().map(str::to_owned))
        .collect()
}

/// Gives each chain or rota a name of the desk: lower-case letters, digits and underscores.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn give(&mut self, kind: &str, foreign: &str) -> String {
        let mut name: String = foreign
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        name.truncate(NAME_MAX);
        let name = name.trim_matches('_');
        let base = if name.is_empty() { kind } else { name };
        let mut unique = base.to_owned();
        for number in 2.. {
            if self.0.insert(unique.clone()) {
                break;
            }
            unique = format!("{base}_{number}");
        }
        unique
    }
}

/// Returns a note if the name of the desk differs from the name in the export.
fn renamed(name: &str, foreign: &str) -> Option<String> {
    (name != foreign).then(|| format!("the name in the desk is {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_have_allowed_characters() {
        let mut names = Names::default();
        assert_eq!(names.give("rota", "Ops Team"), "ops_team");
        assert_eq!(names.give("rota", "ops team"), "ops_team_2");
        assert_eq!(names.give("rota", "值班"), "rota");
        assert_eq!(names.give("rota", "轮值"), "rota_2");
    }

    #[test]
    fn a_file_that_is_no_export_is_rejected() {
        for (text, expected) in [
            ("[", "the file is not JSON"),
            ("{}", "the file has neither"),
            (r#"{"schedules": 5}"#, "`schedules` must be a list"),
        ] {
            let reason = read(text, &[]).unwrap_err();
            assert!(reason.contains(expected), "{text}: {reason}");
        }
    }

    #[test]
    fn a_list_can_be_the_response_of_the_api() {
        let text =
            r#"{"escalation_chains": {"count": 1, "results": [{"id": "F1", "name": "empty"}]}}"#;
        let import = read(text, &[]).unwrap();
        assert_eq!(import.report.len(), 1);
        assert!(import.on_call.chains.is_empty());
    }
}
