//! Reads the defaults of teams in the notification policy from a TOML file, and applies them to the preferences of a
//! person. A team is a department of the organization with its sub-departments.

use std::collections::{BTreeMap, BTreeSet};

use domain::notification::team::{WithDefaults, with_defaults};
use events::PersonId;
use events::notification_policy::{self, Team};
use events::person::{PreferencesChanged, QuietHours};
use events::preference::{Category, ChannelPreference, Frequency};
use infra::Error;
use serde::Deserialize;

use super::preferences::{self, Preferences};
use crate::App;

/// Maximum number of teams in a policy. For each notification, the desk looks for the recipient in each team.
const TEAMS_MAX: usize = 50;
/// Maximum length of the id of a department, in characters.
const DEPARTMENT_MAX: usize = 100;

/// One team in the TOML file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TeamEntry {
    department: String,
    quiet: Option<QuietEntry>,
    calendar: Option<String>,
    #[serde(default)]
    channels: BTreeMap<String, ChannelEntry>,
    aggregation: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuietEntry {
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelEntry {
    #[serde(default)]
    frequency: Frequency,
    #[serde(default)]
    batch_times: Vec<String>,
    categories: Option<Vec<Category>>,
}

/// Checks the teams. Returns an English text that names the number of the first wrong team, and its member.
pub(super) fn teams(entries: Vec<TeamEntry>) -> Result<Vec<Team>, String> {
    if entries.len() > TEAMS_MAX {
        return Err(format!(
            "policy: `team` must have at most {TEAMS_MAX} entries"
        ));
    }
    let teams: Vec<Team> = (1_usize..)
        .zip(entries)
        .map(|(number, entry)| {
            team(entry).map_err(|reason| format!("policy: team {number}: {reason}"))
        })
        .collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    match teams.iter().find(|team| !seen.insert(&team.department)) {
        Some(team) => Err(format!(
            "policy: `team` names the department {} twice",
            team.department
        )),
        None => Ok(teams),
    }
}

fn team(entry: TeamEntry) -> Result<Team, String> {
    let TeamEntry {
        department,
        quiet,
        calendar,
        channels,
        aggregation,
    } = entry;
    let is_id = !department.trim().is_empty() && department.chars().count() <= DEPARTMENT_MAX;
    if !is_id {
        return Err(format!(
            "`department` must be the id of a department, with at most {DEPARTMENT_MAX} characters"
        ));
    }
    let channels = channels.into_iter().map(|(kind, entry)| {
        let choice = ChannelPreference {
            frequency: entry.frequency,
            batch_times: entry.batch_times,
            categories: entry.categories,
        };
        (kind, choice)
    });
    let checked = Preferences {
        quiet: quiet.map(|quiet| QuietHours {
            from: quiet.from,
            to: quiet.to,
        }),
        channels: channels.collect(),
        ..Preferences::default()
    };
    preferences::check(&checked).map_err(|wrong| wrong.reason)?;
    Ok(Team {
        department,
        quiet: checked.quiet,
        calendar,
        channels: checked.channels,
        is_aggregated: aggregation,
    })
}

/// Returns the preferences of a person with the defaults of the teams to which the person belongs. If the organization
/// cannot be read, the preferences have no defaults, so that the notification does not wait.
pub(super) async fn preferences_of(
    app: &App,
    person: &PersonId,
    preferences: PreferencesChanged,
    policy: Option<&notification_policy::Defined>,
) -> Result<WithDefaults, Error> {
    let all = policy.map_or(&[][..], |policy| policy.teams.as_slice());
    if all.is_empty() {
        return Ok(with_defaults(preferences, &[]));
    }
    let name = app.people.name(person).await?;
    let mut teams = Vec::new();
    for team in all {
        match app.configuration.department(&team.department).await {
            Ok(names) if names.contains(&name) => teams.push(team),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, department = team.department, "cannot read the people of a team");
            }
        }
    }
    Ok(with_defaults(preferences, &teams))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Team>, String> {
        #[derive(Deserialize)]
        struct File {
            team: Vec<TeamEntry>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        teams(file.team)
    }

    const VALID: &str = r#"
        [[team]]
        department = "12"
        calendar = "china"
        quiet = { from = "22:00", to = "07:00" }
        [team.channels.email]
        frequency = "batch"
        batch_times = ["09:00"]
        categories = ["approval"]
    "#;

    #[test]
    fn a_team_has_the_members_of_preferences() {
        let teams = read(VALID).unwrap();
        let email = &teams[0].channels["email"];
        assert_eq!(
            (email.frequency, email.categories.as_deref()),
            (Frequency::Batch, Some(&[Category::Approval][..]))
        );
        assert_eq!(teams[0].calendar.as_deref(), Some("china"));
    }

    #[test]
    fn every_wrong_member_of_a_team_is_named() {
        for (from, to, expected) in [
            ("\"12\"", "\" \"", "team 1: `department` must be"),
            ("22:00", "25:00", "team 1: `quiet.from` must be"),
            ("channels.email", "channels.fax", "team 1: `channels.fax`"),
            ("[\"09:00\"]", "[\"9\"]", "`channels.email.batch_times"),
            ("\"batch\"", "\"daily\"", "unknown variant `daily`"),
            ("calendar", "calender", "unknown field `calender`"),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
        let twice = read(&[VALID, VALID].concat()).unwrap_err();
        assert!(twice.contains("names the department 12 twice"), "{twice}");
    }
}
