//! Maps an export of Grafana OnCall or Opsgenie to escalation chains, rotas and addresses of people. The shapes are
//! those of the public documentation of the two products. Each object of the export gets a line in a report.

mod contacts;
mod grafana;
mod lists;
mod opsgenie;
mod people;
mod rotations;
mod shifts;
mod steps;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use infra::Error;
use serde_json::Value;

pub use contacts::Contact;
use lists::{inner_list, missing_pages};

use super::{OnCall, chains, rotas};
use crate::App;
use crate::app::notifications::chain_alarms;

/// Maximum number of characters in the name of a chain or a rota.
const NAME_MAX: usize = 50;
/// The lists of an export of Grafana OnCall or Opsgenie.
const LISTS: [&str; 9] = [
    "users",
    "teams",
    "schedules",
    "on_call_shifts",
    "shift_swaps",
    "escalation_chains",
    "escalation_policies",
    "personal_notification_rules",
    "escalations",
];

/// The result of the mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    pub on_call: OnCall,
    /// The addresses of people. The chains and rotas do not need them.
    pub contacts: Vec<Contact>,
    pub report: Vec<Line>,
}

impl Import {
    /// Stores the rotas and the chains, and makes the standing checks of the chains due. Then adds the addresses to the
    /// preferences of the people, and adds a line for each of these people to the report.
    pub async fn store(&mut self, app: &App) -> Result<(), Error> {
        self.on_call.store(app).await?;
        chain_alarms::schedule(app, &self.on_call.chain_names()).await?;
        let lines = contacts::store(app, &self.contacts).await?;
        self.report.extend(lines);
        Ok(())
    }
}

/// The result for one object of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The kind of the object in the export, such as `schedule`.
    pub kind: &'static str,
    pub name: String,
    pub outcome: Outcome,
}

/// The effect of the import for an object.
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

/// The result so far, and the names that are in use.
#[derive(Default)]
struct Mapping {
    import: Import,
    /// The names of the rotas.
    names: Names,
    /// The names of the rotas by the keys of the schedules in the export.
    rotas: BTreeMap<String, String>,
}

impl Mapping {
    /// Reports that an object is left out.
    fn skip(&mut self, kind: &'static str, name: &str, reason: String) {
        let outcome = Outcome::Skipped(reason);
        self.import.report.push(line(kind, name, outcome));
    }

    /// Reports an object that is mapped without the parts in `notes`.
    fn report(&mut self, kind: &'static str, name: &str, notes: Vec<String>) {
        let outcome = Outcome::of(notes);
        self.import.report.push(line(kind, name, outcome));
    }
}

/// Maps the JSON text of an export. `accounts` are the channel accounts of all steps. An empty list means the accounts
/// of the notification policy. Returns an English text if the text is no export.
pub fn read(text: &str, accounts: &[String]) -> Result<Import, String> {
    let export: Value =
        serde_json::from_str(text).map_err(|error| format!("the file is not JSON: {error}"))?;
    map(&export, accounts)
}

/// Maps an export. The object has the lists of the export as members. Returns an English text if it has none of them.
pub fn map(export: &Value, accounts: &[String]) -> Result<Import, String> {
    let has = |key: &str| export.get(key).is_some();
    let schedules = inner_list(export, "schedules", "schedule")?;
    let has_rotations = schedules.iter().any(|one| one.get("rotations").is_some());
    let mut mapping = Mapping::default();
    for key in LISTS {
        if let Some(note) = missing_pages(export, key) {
            mapping.report("list", key, vec![note]);
        }
    }
    if has("escalations") || has_rotations {
        opsgenie::map(export, accounts, &mut mapping)?;
    } else if has("escalation_chains") || has("on_call_shifts") {
        grafana::map(export, accounts, &mut mapping)?;
    } else {
        return Err(
            "the file has neither `escalation_chains` or `on_call_shifts` (Grafana OnCall) nor `escalations` (Opsgenie)"
                .to_owned(),
        );
    }
    let mut import = mapping.import;
    drop_wrong(&mut import);
    Ok(import)
}

/// Removes the chains and the rotas that exceed a bound of the desk, and the chains that use a removed rota.
fn drop_wrong(import: &mut Import) {
    let Import {
        on_call, report, ..
    } = import;
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

    #[test]
    fn a_missing_page_is_in_the_report() {
        let text = r#"{"escalation_chains": {"count": 9, "next": "https://oncall.example/?page=2", "results": []}}"#;
        let import = read(text, &[]).unwrap();
        let line = &import.report[0];
        assert_eq!(
            (line.kind, line.name.as_str()),
            ("list", "escalation_chains")
        );
        assert!(line.outcome.words().1.contains("0 of 9 entries"));
    }
}
