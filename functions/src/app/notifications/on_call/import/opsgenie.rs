//! Maps an export of Opsgenie: the responses of its public API for schedules (with rotations and overrides),
//! escalations (with rules), users (with contacts) and teams (with members).

use std::collections::BTreeSet;

use events::escalation_chain::{self, Step, Target};
use events::rota;
use serde_json::Value;

use super::lists::{inner_list, inside, is_false, is_true, list, number, text};
use super::people::{People, Team, Teams, of_opsgenie, teams_of_opsgenie};
use super::rotations;
use super::steps::{Extra, bounded, repeated};
use super::{Mapping, Names, renamed};

pub(super) fn map(
    export: &Value,
    accounts: &[String],
    mapping: &mut Mapping,
) -> Result<(), String> {
    let people = of_opsgenie(export, mapping)?;
    let teams = teams_of_opsgenie(export, &people, mapping)?;
    schedules(export, &people, &teams, mapping)?;
    escalations(export, &people, &teams, accounts, mapping)?;
    notification_rules(export, mapping)
}

fn schedules(
    export: &Value,
    people: &People,
    teams: &Teams,
    mapping: &mut Mapping,
) -> Result<(), String> {
    for entry in list(export, "schedules")? {
        let schedule = inside(entry, "schedule");
        let foreign = text(schedule, "name");
        if is_false(schedule, "enabled") {
            mapping.skip("schedule", foreign, "the schedule is disabled".to_owned());
            continue;
        }
        let (mut layers, mut notes) = (Vec::new(), Vec::new());
        let mut ids = BTreeSet::new();
        for rotation in list(schedule, "rotations")? {
            let name = text(rotation, "name");
            ids.insert(text(rotation, "id"));
            let mut left_out = Vec::new();
            let zone = text(schedule, "timezone");
            match rotations::layers(rotation, zone, people, teams, &mut left_out) {
                Ok(found) => {
                    layers.extend(found);
                    mapping.report("rotation", name, left_out);
                }
                Err(reason) => {
                    notes.push(format!("the rotation {name} is left out"));
                    mapping.skip("rotation", name, reason);
                }
            }
        }
        if layers.is_empty() {
            let reason =
                "no rotation of the schedule can be mapped; fetch the list with `expand=rotation`";
            mapping.skip("schedule", foreign, reason.to_owned());
            continue;
        }
        // The backup of Opsgenie has the overrides beside the schedule.
        let mut given = list(schedule, "overrides")?;
        given.extend(list(entry, "scheduleOverrideList")?);
        let overrides = rotations::overrides(&given, &ids, people, &mut notes);
        let name = mapping.names.give("rota", foreign);
        notes.extend(renamed(&name, foreign));
        let keys = [text(schedule, "id"), foreign].into_iter();
        for key in keys.filter(|key| !key.is_empty()) {
            mapping.rotas.insert(key.to_owned(), name.clone());
        }
        mapping.report("schedule", foreign, notes);
        mapping.import.on_call.rotas.push(rota::Defined {
            name,
            layers,
            overrides,
        });
    }
    Ok(())
}

fn escalations(
    export: &Value,
    people: &People,
    teams: &Teams,
    accounts: &[String],
    mapping: &mut Mapping,
) -> Result<(), String> {
    let (mut names, mut extra) = (Names::default(), Extra::default());
    for escalation in inner_list(export, "escalations", "escalation")? {
        let foreign = text(escalation, "name");
        let mut rules = Rules {
            people,
            teams,
            accounts,
            extra: &mut extra,
            notes: Vec::new(),
        };
        let mapped = rules.steps(escalation, mapping).and_then(|steps| {
            if steps.is_empty() {
                let reason = "no rule of the escalation notifies a user, a schedule or a team";
                return Err(reason.to_owned());
            }
            rules.repeated(escalation, steps)
        });
        let (steps, repeat) = match mapped {
            Ok(mapped) => mapped,
            Err(reason) => {
                mapping.skip("escalation", foreign, reason);
                continue;
            }
        };
        let mut notes = rules.notes;
        let name = names.give("chain", foreign);
        notes.extend(renamed(&name, foreign));
        mapping.report("escalation", foreign, notes);
        let chains = &mut mapping.import.on_call.chains;
        chains.push(escalation_chain::Defined {
            name,
            steps,
            repeat,
        });
    }
    Ok(())
}

/// Maps the rules of one escalation.
struct Rules<'a> {
    people: &'a People,
    teams: &'a Teams,
    accounts: &'a [String],
    extra: &'a mut Extra,
    /// The parts that are left out.
    notes: Vec<String>,
}

impl Rules<'_> {
    /// Returns one step for each rule. The delay of a rule counts from the start, and the wait of a step from the step
    /// before.
    fn steps(&mut self, escalation: &Value, mapping: &mut Mapping) -> Result<Vec<Step>, String> {
        let mut rules = Vec::new();
        for rule in list(escalation, "rules")? {
            rules.push((delay_minutes(rule)?, rule));
        }
        rules.sort_by_key(|(delay, _)| *delay);
        let (mut steps, mut before) = (Vec::new(), 0);
        for (delay, rule) in rules {
            let notify = match self.target(rule, delay, mapping) {
                Ok(notify) => notify,
                Err(reason) => {
                    let note = format!("the rule after {delay} minutes is left out: {reason}");
                    self.notes.push(note);
                    continue;
                }
            };
            match text(rule, "condition") {
                "" | "if-not-acked" => {}
                condition => self.notes.push(format!(
                    "the rule after {delay} minutes has the condition {condition:?}, but notifies only if no person has acknowledged"
                )),
            }
            let wait = bounded(delay - before, &mut self.notes);
            before = delay;
            steps.push(Step {
                wait_minutes: wait,
                notify,
                accounts: self.accounts.to_vec(),
                only_if: None,
                buzz: false,
            });
        }
        Ok(steps)
    }

    fn target(
        &mut self,
        rule: &Value,
        delay: u32,
        mapping: &mut Mapping,
    ) -> Result<Target, String> {
        let recipient = rule.get("recipient").unwrap_or(&Value::Null);
        let keys = [text(recipient, "id"), text(recipient, "name")];
        let mut keys = keys.into_iter();
        let how = text(rule, "notifyType");
        match text(recipient, "type") {
            "user" => self.people.of(recipient).map(Target::Person),
            "schedule" => {
                let name = keys.find_map(|key| mapping.rotas.get(key)).cloned();
                let name = name.ok_or("its schedule is left out")?;
                if !matches!(how, "next" | "previous") {
                    return Ok(Target::Rota(name));
                }
                self.notes.push(format!(
                    "the rule after {delay} minutes notifies the {how} person of each rotation; overrides do not change this"
                ));
                let neighbor = self.extra.neighbor(&name, how, mapping);
                neighbor.ok_or_else(|| "its schedule is left out".to_owned())
            }
            "team" => {
                let teams = self.teams;
                let team = keys.find_map(|key| teams.get(key));
                let team = team.ok_or("its team is not in the file")?;
                self.team(team, how, delay, mapping)
            }
            other => Err(format!(
                "its recipient is {other:?}; the desk needs a user, a schedule or a team"
            )),
        }
    }

    fn team(
        &mut self,
        team: &Team,
        how: &str,
        delay: u32,
        mapping: &mut Mapping,
    ) -> Result<Target, String> {
        let (word, admins) = match how {
            "admins" => ("admins of the team", Some(true)),
            "users" => ("users of the team", Some(false)),
            _ => ("team", None),
        };
        let members = team.members(admins);
        let label = format!("{word} {}", team.name);
        match how {
            "random" if !members.is_empty() => {
                self.notes.push(format!(
                    "the rule after {delay} minutes notifies the members of the team in turn, and not at random"
                ));
                return Ok(Target::RoundRobin(members));
            }
            "" | "default" => self.notes.push(format!(
                "the rule after {delay} minutes notifies all members of the team; its routing rules are left out"
            )),
            _ => {}
        }
        self.extra.all_of(&label, &members, mapping)
    }

    /// Returns the steps with their repetitions, and the number of repetitions.
    fn repeated(
        &mut self,
        escalation: &Value,
        steps: Vec<Step>,
    ) -> Result<(Vec<Step>, u32), String> {
        let Some(repeat) = escalation.get("repeat").filter(|one| !one.is_null()) else {
            return Ok((steps, 0));
        };
        for (key, note) in [
            (
                "resetRecipientStates",
                "an acknowledgment stays valid in the repetitions (`resetRecipientStates` is left out)",
            ),
            (
                "closeAlertAfterAll",
                "the ticket stays open after the last repetition (`closeAlertAfterAll` is left out)",
            ),
        ] {
            if is_true(repeat, key) {
                self.notes.push(note.into());
            }
        }
        let first = steps.first().map_or(0, |step| step.wait_minutes);
        let pause = number(repeat, "waitInterval", 0)?.saturating_add(first);
        let count = number(repeat, "count", 0)?;
        Ok(repeated(steps, count, pause, &mut self.notes))
    }
}

fn delay_minutes(rule: &Value) -> Result<u32, String> {
    let delay = rule.get("delay").unwrap_or(&Value::Null);
    let amount = number(delay, "timeAmount", 0)?;
    let factor = match text(delay, "timeUnit") {
        "" | "minutes" => 1,
        "hours" => 60,
        "days" => 24 * 60,
        other => return Err(format!("the desk has no delays in {other:?}")),
    };
    Ok(amount.saturating_mul(factor))
}

/// Reports the notification rules of the users. `notificationRuleList` is the list in a file of the Opsgenie backup.
fn notification_rules(export: &Value, mapping: &mut Mapping) -> Result<(), String> {
    for entry in list(export, "users")? {
        let user = inside(entry, "user");
        let count = list(entry, "notificationRuleList")?.len()
            + list(user, "notification_rules")?.len()
            + list(user, "notificationRules")?.len();
        if count > 0 {
            let reason = format!(
                "{count} rules are left out; the person chooses channels in the preferences"
            );
            mapping.skip("notification_rules", text(user, "username"), reason);
        }
    }
    Ok(())
}
