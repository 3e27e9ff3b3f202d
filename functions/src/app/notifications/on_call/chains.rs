//! Reads and checks the entries `[[chain]]` of a TOML file. Each entry defines one escalation chain.

use std::collections::BTreeSet;

use domain::notification::quiet::time_of_day;
use events::RoleId;
use events::escalation_chain::{Defined, Hours, OnlyIf, Step, Target};
use serde::Deserialize;

use super::{all_people, person};
use crate::app::definition_files::check_name;
use crate::app::times;

/// Maximum number of repetitions of a chain (reference/notifications.md, section 6).
pub(super) const REPEAT_MAX: u32 = 5;
/// Maximum number of steps of a chain. More steps would make the events of an escalation large.
pub(super) const STEPS_MAX: usize = 20;
/// Maximum time before a step, in minutes: one week.
pub(super) const WAIT_MAX_MIN: u32 = 7 * 24 * 60;
/// Maximum number of entries in a list of a step.
const LIST_MAX: usize = 30;

/// One escalation chain in the TOML file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::app::notifications) struct ChainEntry {
    name: String,
    #[serde(default)]
    repeat: u32,
    #[serde(default)]
    step: Vec<StepEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepEntry {
    #[serde(default)]
    wait_minutes: u32,
    notify: NotifyEntry,
    #[serde(default)]
    accounts: Vec<String>,
    only_if: Option<OnlyIfEntry>,
}

/// The people of a step. Exactly one member except `buzz` is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotifyEntry {
    person: Option<String>,
    leader: Option<bool>,
    role: Option<i64>,
    rota: Option<String>,
    team: Option<String>,
    round_robin: Option<Vec<String>>,
    #[serde(default)]
    buzz: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyIfEntry {
    from: Option<String>,
    to: Option<String>,
    zone: Option<String>,
    band: Option<Vec<String>>,
}

impl ChainEntry {
    /// Checks the entry. If it is invalid, returns an English text that names the chain, the step and the wrong member.
    pub(super) fn check(self) -> Result<Defined, String> {
        check_name("chain", &self.name)?;
        let steps = (1..).zip(self.step);
        let steps: Vec<Step> = steps
            .map(|(number, step)| step.check(&format!("chain {}, step {number}", self.name)))
            .collect::<Result<_, _>>()?;
        let chain = Defined {
            name: self.name,
            steps,
            repeat: self.repeat,
        };
        check_bounds(&chain)?;
        Ok(chain)
    }
}

/// Checks the bounds of a chain from a file or from an export.
pub(super) fn check_bounds(chain: &Defined) -> Result<(), String> {
    let Defined {
        name,
        steps,
        repeat,
    } = chain;
    if steps.is_empty() || steps.len() > STEPS_MAX {
        return Err(format!(
            "chain {name}: `step` must have 1 to {STEPS_MAX} entries"
        ));
    }
    if *repeat > REPEAT_MAX {
        return Err(format!(
            "chain {name}: `repeat` must be a number from 0 to {REPEAT_MAX}"
        ));
    }
    // A sound interrupts people, so it is the last means.
    let earlier = steps.len().saturating_sub(1);
    for (number, step) in (1..).zip(steps).take(earlier) {
        if step.buzz {
            return Err(format!(
                "chain {name}, step {number}: only the last step may have `buzz`"
            ));
        }
    }
    // Without a pause, all repetitions would send their messages at once.
    if *repeat > 0 && steps.iter().all(|step| step.wait_minutes == 0) {
        return Err(format!(
            "chain {name}: with `repeat`, at least one step must have `wait_minutes`"
        ));
    }
    Ok(())
}

impl StepEntry {
    fn check(self, place: &str) -> Result<Step, String> {
        if self.wait_minutes > WAIT_MAX_MIN {
            return Err(format!(
                "{place}: `wait_minutes` must be at most {WAIT_MAX_MIN}"
            ));
        }
        let distinct: BTreeSet<&String> = self.accounts.iter().collect();
        if distinct.len() < self.accounts.len() || self.accounts.len() > LIST_MAX {
            return Err(format!(
                "{place}: `accounts` must be a list of at most {LIST_MAX} different accounts"
            ));
        }
        Ok(Step {
            wait_minutes: self.wait_minutes,
            buzz: self.notify.buzz,
            notify: self.notify.check(&format!("{place}, `notify`"))?,
            only_if: self.only_if.map(|one| one.check(place)).transpose()?,
            accounts: self.accounts,
        })
    }
}

impl NotifyEntry {
    fn check(self, place: &str) -> Result<Target, String> {
        let mut targets = Vec::new();
        if let Some(name) = self.person {
            targets.push(Target::Person(person(place, &name)?));
        }
        match self.leader {
            Some(true) => targets.push(Target::Leader),
            Some(false) => return Err(format!("{place}: `leader` must be true")),
            None => {}
        }
        targets.extend(self.role.map(|id| Target::Role(RoleId(id))));
        targets.extend(self.rota.map(Target::Rota));
        if let Some(id) = self.team {
            if id.trim().is_empty() {
                return Err(format!("{place}: `team` must be the id of a department"));
            }
            targets.push(Target::Team(id));
        }
        if let Some(names) = self.round_robin {
            if names.is_empty() || names.len() > LIST_MAX {
                return Err(format!(
                    "{place}: `round_robin` must have 1 to {LIST_MAX} user names"
                ));
            }
            targets.push(Target::RoundRobin(all_people(place, &names)?));
        }
        match (targets.pop(), targets.is_empty()) {
            (Some(target), true) => Ok(target),
            _ => Err(format!(
                "{place} must have exactly one of `person`, `leader`, `role`, `rota`, `team` and `round_robin`"
            )),
        }
    }
}

impl OnlyIfEntry {
    fn check(self, place: &str) -> Result<OnlyIf, String> {
        match self {
            Self {
                from: None,
                to: None,
                zone: None,
                band: Some(band),
            } => {
                if band.is_empty() || band.iter().any(|key| key.trim().is_empty()) {
                    return Err(format!(
                        "{place}: `only_if.band` must contain keys of priorities"
                    ));
                }
                Ok(OnlyIf::Band(band))
            }
            Self {
                from: Some(from),
                to: Some(to),
                zone: Some(zone),
                band: None,
            } => {
                for (member, text) in [("from", &from), ("to", &to)] {
                    if time_of_day(text).is_none() {
                        return Err(format!(
                            "{place}: `only_if.{member}` must be a time of day such as 22:00, not {text:?}"
                        ));
                    }
                }
                times::zone(&zone)
                    .map_err(|reason| format!("{place}: `only_if.zone`: {reason}"))?;
                Ok(OnlyIf::Hours(Hours { from, to, zone }))
            }
            _ => Err(format!(
                "{place}: `only_if` must have `from`, `to` and `zone`, or only `band`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"
        name = "default"
        repeat = 1

        [[step]]
        notify = { rota = "ops" }
        accounts = ["phone"]

        [[step]]
        wait_minutes = 10
        notify = { round_robin = ["lisi", "wangwu"] }
        only_if = { from = "08:00", to = "20:00", zone = "Asia/Shanghai" }

        [[step]]
        wait_minutes = 5
        notify = { leader = true }
        only_if = { band = ["3"] }
    "#;

    fn read(text: &str) -> Result<Defined, String> {
        let entry: ChainEntry = toml::from_str(text).map_err(|error| error.to_string())?;
        entry.check()
    }

    #[test]
    fn an_entry_defines_the_steps_of_a_chain() {
        let chain = read(VALID).unwrap();
        let [first, second, third] = chain.steps.as_slice() else {
            panic!("{chain:?}")
        };
        assert_eq!((chain.repeat, first.wait_minutes), (1, 0));
        assert_eq!(first.notify, Target::Rota("ops".into()));
        assert_eq!(first.accounts, ["phone"]);
        let Target::RoundRobin(people) = &second.notify else {
            panic!("{second:?}")
        };
        assert_eq!(people[0].unregistered_name(), Some("lisi"));
        assert!(matches!(second.only_if, Some(OnlyIf::Hours(_))));
        assert_eq!(third.notify, Target::Leader);
        assert_eq!(third.only_if, Some(OnlyIf::Band(vec!["3".into()])));
        assert!(!third.buzz);
        let buzzes = VALID.replace("leader = true", "leader = true, buzz = true");
        let chain = read(&buzzes).unwrap();
        assert!(chain.steps[2].buzz && !chain.steps[0].buzz);
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (from, to, expected) in [
            ("\"default\"", "\"Default\"", "`name` must have"),
            (
                "repeat = 1",
                "repeat = 6",
                "chain default: `repeat` must be a number from 0 to 5",
            ),
            ("repeat = 1", "repat = 1", "unknown field `repat`"),
            (
                "wait_minutes = 10",
                "wait_minutes = 20000",
                "chain default, step 2: `wait_minutes` must be at most",
            ),
            (
                "\"wangwu\"",
                "\"wang wu,\"",
                "chain default, step 2, `notify`: \"wang wu,\" is not a user name",
            ),
            (
                "leader = true",
                "leader = false",
                "step 3, `notify`: `leader` must be true",
            ),
            ("leader = true", "boss = true", "unknown field `boss`"),
            (
                "leader = true",
                "leader = true, rota = \"ops\"",
                "step 3, `notify` must have exactly one of `person`",
            ),
            (
                "rota = \"ops\"",
                "rota = \"ops\", buzz = true",
                "chain default, step 1: only the last step may have `buzz`",
            ),
            (
                "\"20:00\"",
                "\"8pm\"",
                "step 2: `only_if.to` must be a time of day",
            ),
            ("Asia/Shanghai", "Mars/Base", "step 2: `only_if.zone`:"),
            (
                "{ band = [\"3\"] }",
                "{ band = [] }",
                "step 3: `only_if.band` must contain",
            ),
            (
                "{ band = [\"3\"] }",
                "{ from = \"08:00\" }",
                "step 3: `only_if` must have",
            ),
            (
                "[\"phone\"]",
                "[\"phone\", \"phone\"]",
                "step 1: `accounts` must be",
            ),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
        let reason = read("name = \"empty\"").unwrap_err();
        assert!(reason.contains("`step` must have 1 to"), "{reason}");
        let no_pause = "name = \"x\"\nrepeat = 1\n[[step]]\nnotify = { leader = true }";
        let reason = read(no_pause).unwrap_err();
        assert!(reason.contains("must have `wait_minutes`"), "{reason}");
    }
}
