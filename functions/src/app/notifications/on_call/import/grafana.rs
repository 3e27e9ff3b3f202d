//! Maps an export of Grafana OnCall: the list responses of its public API for schedules, shifts, escalation chains,
//! escalation policies (the steps of chains), users and teams.

use std::collections::{BTreeMap, BTreeSet};

use events::PersonId;
use events::escalation_chain::{self, Hours, OnlyIf, Step, Target};
use events::rota;
use serde_json::Value;

use super::super::chains::REPEAT_MAX;
use super::lists::{inner_list, is_true, list, number, text, texts};
use super::people::{People, Teams, of_grafana, teams_of_grafana};
use super::shifts;
use super::steps::{Extra, bounded, repeated};
use super::{Mapping, Names, renamed};

/// The wait of a step without a duration, in seconds.
const WAIT_DEFAULT_S: u32 = 300;

pub(super) fn map(
    export: &Value,
    accounts: &[String],
    mapping: &mut Mapping,
) -> Result<(), String> {
    let people = of_grafana(export, mapping)?;
    schedules(export, &people, mapping)?;
    let teams = teams_of_grafana(export, &people)?;
    chains(export, &people, &teams, accounts, mapping)?;
    left_out(export, mapping)
}

/// Maps all schedules to rotas.
fn schedules(export: &Value, people: &People, mapping: &mut Mapping) -> Result<(), String> {
    let shifts = inner_list(export, "on_call_shifts", "on_call_shift")?;
    let by_id: BTreeMap<&str, &Value> = shifts.iter().map(|one| (text(one, "id"), *one)).collect();
    for schedule in inner_list(export, "schedules", "schedule")? {
        let (id, foreign) = (text(schedule, "id"), text(schedule, "name"));
        let mut notes = Vec::new();
        let mut rota = rota::Defined {
            name: String::new(),
            layers: Vec::new(),
            overrides: Vec::new(),
        };
        let listed = texts(schedule, "shifts");
        let mut of_schedule = Vec::new();
        for shift in &listed {
            match by_id.get(shift.as_str()) {
                Some(shift) => of_schedule.push(*shift),
                None => notes.push(format!("the shift {shift} is not in the file")),
            }
        }
        // The list of a schedule has no overrides that people made in the web interface. These shifts name the
        // schedule.
        let seen: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
        let others = by_id.iter().filter(|(id, _)| !seen.contains(*id));
        let others = others.filter(|(_, shift)| !id.is_empty() && text(shift, "schedule") == id);
        of_schedule.extend(others.map(|(_, shift)| *shift));
        for shift in of_schedule {
            let name = text(shift, "name");
            let is_listed = seen.contains(text(shift, "id"));
            let zone = zone_of(schedule, is_listed);
            match shifts::add(shift, zone, people, &mut rota) {
                Ok(left_out) => mapping.report("on_call_shift", name, left_out),
                Err(reason) => {
                    notes.push(format!("the shift {name} is left out"));
                    mapping.skip("on_call_shift", name, reason);
                }
            }
        }
        if !text(schedule, "ical_url_overrides").is_empty() {
            notes.push("the overrides of the iCalendar feed are left out".into());
        }
        if rota.layers.is_empty() {
            let reason = if text(schedule, "type") == "ical" {
                "the shifts are in an iCalendar feed, which the file does not contain"
            } else {
                "no shift of the schedule can be mapped"
            };
            mapping.skip("schedule", foreign, reason.to_owned());
            continue;
        }
        rota.name = mapping.names.give("rota", foreign);
        notes.extend(renamed(&rota.name, foreign));
        mapping.rotas.insert(id.to_owned(), rota.name.clone());
        mapping.report("schedule", foreign, notes);
        mapping.import.on_call.rotas.push(rota);
    }
    Ok(())
}

/// Returns the time zone of a shift that has no zone of its own. The zone of a schedule counts only for shifts from the
/// API or from Terraform (type `calendar`). The web interface writes all times in UTC, also if the schedule has a zone.
fn zone_of(schedule: &Value, is_listed: bool) -> &str {
    let zone = text(schedule, "time_zone");
    if zone.is_empty() || text(schedule, "type") == "web" || !is_listed {
        "UTC"
    } else {
        zone
    }
}

fn chains(
    export: &Value,
    people: &People,
    teams: &Teams,
    accounts: &[String],
    mapping: &mut Mapping,
) -> Result<(), String> {
    let policies = inner_list(export, "escalation_policies", "escalation_policy")?;
    let (mut names, mut extra) = (Names::default(), Extra::default());
    for chain in inner_list(export, "escalation_chains", "escalation_chain")? {
        let (id, foreign) = (text(chain, "id"), text(chain, "name"));
        let of_chain = policies.iter().copied();
        let mut of_chain: Vec<&Value> = of_chain
            .filter(|policy| text(policy, "escalation_chain_id") == id)
            .collect();
        of_chain.sort_by_key(|policy| policy.get("position").and_then(Value::as_i64));
        let mut steps = Steps {
            accounts,
            people,
            teams,
            extra: &mut extra,
            steps: Vec::new(),
            is_repeated: false,
            wait_s: 0,
            only_if: None,
            notes: Vec::new(),
        };
        for policy in of_chain {
            if !steps.add(policy, mapping) {
                break;
            }
        }
        let (steps, repeat, mut notes) = steps.finish();
        if steps.is_empty() {
            let reason = "no step of the chain notifies a person or a schedule";
            mapping.skip("escalation_chain", foreign, reason.to_owned());
            continue;
        }
        let name = names.give("chain", foreign);
        notes.extend(renamed(&name, foreign));
        mapping.report("escalation_chain", foreign, notes);
        let chains = &mut mapping.import.on_call.chains;
        chains.push(escalation_chain::Defined {
            name,
            steps,
            repeat,
        });
    }
    Ok(())
}

/// The steps of a chain that are mapped so far.
#[expect(clippy::struct_field_names, reason = "the domain calls them steps")]
struct Steps<'a> {
    accounts: &'a [String],
    people: &'a People,
    teams: &'a Teams,
    extra: &'a mut Extra,
    steps: Vec<Step>,
    is_repeated: bool,
    /// The wait since the last step, in seconds.
    wait_s: u32,
    only_if: Option<OnlyIf>,
    notes: Vec<String>,
}

impl Steps<'_> {
    /// Adds one escalation policy. Returns false if no further policy of the chain can be reached.
    fn add(&mut self, policy: &Value, mapping: &mut Mapping) -> bool {
        match text(policy, "type") {
            "wait" => match number(policy, "duration", WAIT_DEFAULT_S) {
                Ok(seconds) => self.wait_s = self.wait_s.saturating_add(seconds),
                Err(reason) => self.notes.push(reason),
            },
            "notify_persons" => {
                for person in self.named(policy, "persons_to_notify") {
                    self.push(Target::Person(person));
                }
            }
            "notify_person_next_each_time" => {
                let people = self.named(policy, "persons_to_notify_next_each_time");
                if !people.is_empty() {
                    self.push(Target::RoundRobin(people));
                }
            }
            "notify_team_members" => self.team(text(policy, "team_to_notify"), mapping),
            "notify_on_call_from_schedule" => {
                let id = text(policy, "notify_on_call_from_schedule");
                match mapping.rotas.get(id) {
                    Some(name) => self.push(Target::Rota(name.clone())),
                    None => self.notes.push(format!("the schedule {id} is left out")),
                }
            }
            "notify_if_time_from_to" => self.limit(policy),
            "repeat_escalation" => {
                self.is_repeated = true;
                return false;
            }
            "resolve" => {
                self.notes.push(
                    "the step of the type \"resolve\" is left out; the ticket stays open".into(),
                );
                return false;
            }
            "notify_if_num_alerts_in_window" => {
                self.notes
                    .push("the following steps do not depend on the number of alerts".into());
            }
            "" => self.notes.push("a step without a type is left out".into()),
            other => {
                self.notes
                    .push(format!("the step of the type {other:?} is left out"));
            }
        }
        true
    }

    /// Returns the people of a policy. Adds a note for each id that is not in the file.
    fn named(&mut self, policy: &Value, key: &str) -> Vec<PersonId> {
        let mut people = Vec::new();
        for id in texts(policy, key) {
            match self.people.get(&id) {
                Some(person) => people.push(person.clone()),
                None => self.notes.push(format!("the user {id} is not in the file")),
            }
        }
        people
    }

    fn team(&mut self, id: &str, mapping: &mut Mapping) {
        let Some(team) = self.teams.get(id) else {
            self.notes.push(format!("the team {id} is not in the file"));
            return;
        };
        let label = format!("team {}", team.name);
        match self.extra.all_of(&label, &team.members(None), mapping) {
            Ok(target) => self.push(target),
            Err(reason) => self.notes.push(reason),
        }
    }

    fn push(&mut self, notify: Target) {
        let minutes = self.wait_s.div_ceil(60);
        self.wait_s = 0;
        self.steps.push(Step {
            wait_minutes: bounded(minutes, &mut self.notes),
            notify,
            accounts: self.accounts.to_vec(),
            only_if: self.only_if.clone(),
            buzz: false,
        });
    }

    /// Limits the following steps to a period of the day. The times of the export are in UTC, such as `08:00:00Z`.
    fn limit(&mut self, policy: &Value) {
        let time = |key: &str| text(policy, key).get(..5).map(str::to_owned);
        let (from, to) = (time("notify_if_time_from"), time("notify_if_time_to"));
        let (Some(from), Some(to)) = (from, to) else {
            self.notes
                .push("a period of the day is not readable".into());
            return;
        };
        self.only_if = Some(OnlyIf::Hours(Hours {
            from,
            to,
            zone: "UTC".into(),
        }));
        let note = "outside of its period of the day, a step notifies nobody, and does not wait for the period";
        self.notes.push(note.into());
    }

    /// Returns the steps, the number of repetitions and the parts that are left out.
    fn finish(mut self) -> (Vec<Step>, u32, Vec<String>) {
        let count = if self.is_repeated { REPEAT_MAX } else { 0 };
        let first = self.steps.first().map_or(0, |step| step.wait_minutes);
        // The waits after the last step count before the next repetition.
        let pause = self.wait_s.div_ceil(60).saturating_add(first);
        let (steps, repeat) = repeated(self.steps, count, pause, &mut self.notes);
        (steps, repeat, self.notes)
    }
}

/// Reports the objects that have no counterpart in the desk.
fn left_out(export: &Value, mapping: &mut Mapping) -> Result<(), String> {
    for swap in list(export, "shift_swaps")? {
        let reason = "the desk has no swaps; enter an override of the rota";
        mapping.skip("shift_swap", text(swap, "id"), reason.to_owned());
    }
    let mut rules: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for rule in list(export, "personal_notification_rules")? {
        let (count, has_important) = rules.entry(text(rule, "user_id")).or_default();
        *count += 1;
        *has_important |= is_true(rule, "important");
    }
    for (user, (count, has_important)) in rules {
        let important = if has_important {
            ", also the rules for important steps"
        } else {
            ""
        };
        let reason = format!(
            "{count} rules are left out{important}; the person chooses channels in the preferences"
        );
        mapping.skip("personal_notification_rules", user, reason);
    }
    Ok(())
}
