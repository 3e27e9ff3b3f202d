//! Combines the preferences of a person with the defaults of the teams to which the person belongs. The choice of the
//! person has precedence over every team, and an earlier team of the policy over a later one.

use std::collections::BTreeSet;

use events::notification_policy::Team;
use events::person::PreferencesChanged;

/// The preferences of a person with the defaults of teams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WithDefaults {
    pub preferences: PreferencesChanged,
    /// The kinds of addresses whose preference a team chose, such as `email`.
    pub of_team: BTreeSet<String>,
}

/// Fills each absent preference with the default of the first team that has one.
pub fn with_defaults(mut preferences: PreferencesChanged, teams: &[&Team]) -> WithDefaults {
    let mut of_team = BTreeSet::new();
    for team in teams {
        if preferences.quiet.is_none() {
            preferences.quiet.clone_from(&team.quiet);
        }
        if preferences.calendar.is_none() {
            preferences.calendar.clone_from(&team.calendar);
        }
        if preferences.is_aggregated.is_none() {
            preferences.is_aggregated = team.is_aggregated;
        }
        for (kind, choice) in &team.channels {
            if !preferences.channels.contains_key(kind) {
                preferences.channels.insert(kind.clone(), choice.clone());
                of_team.insert(kind.clone());
            }
        }
    }
    WithDefaults {
        preferences,
        of_team,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use events::person::QuietHours;
    use events::preference::{ChannelPreference, Frequency};

    use super::*;

    fn team(department: &str, frequency: Frequency) -> Team {
        let choice = ChannelPreference {
            frequency,
            ..ChannelPreference::default()
        };
        Team {
            department: department.into(),
            quiet: Some(QuietHours {
                from: "22:00".into(),
                to: "07:00".into(),
            }),
            calendar: None,
            channels: BTreeMap::from([
                ("email".to_owned(), choice.clone()),
                ("dingtalk".to_owned(), choice),
            ]),
            is_aggregated: Some(false),
        }
    }

    #[test]
    fn the_person_has_precedence_over_the_team_and_a_team_over_the_next() {
        let own = ChannelPreference::default();
        let preferences = PreferencesChanged {
            channels: BTreeMap::from([("email".to_owned(), own.clone())]),
            ..PreferencesChanged::default()
        };
        let (first, second) = (team("1", Frequency::Batch), team("2", Frequency::Off));
        let found = with_defaults(preferences, &[&first, &second]);
        assert_eq!(found.preferences.channels["email"], own);
        let dingtalk = &found.preferences.channels["dingtalk"];
        assert_eq!(dingtalk.frequency, Frequency::Batch);
        assert_eq!(found.of_team, BTreeSet::from(["dingtalk".to_owned()]));
        assert_eq!(found.preferences.quiet, first.quiet);
        assert!(!found.preferences.is_aggregated());
    }

    #[test]
    fn a_person_without_a_team_keeps_all_preferences() {
        let preferences = PreferencesChanged::default();
        let found = with_defaults(preferences.clone(), &[]);
        assert_eq!(found.preferences, preferences);
        assert!(found.of_team.is_empty());
    }
}
