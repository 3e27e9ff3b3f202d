//! Maps an export of Opsgenie: the list responses of its public API for schedules (with rotations), escalations (with rules)
//! and users.

use std::collections::BTreeMap;

use events::PersonId;
use events::escalation_chain::{self, Step, Target};
use events::rota::{self, Day, Layer, Shift, Window};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::super::chains::{REPEAT_MAX, WAIT_MAX_MIN};
use super::super::person;
use super::{Import, Names, Outcome, line, list, number, renamed, text};
use crate::app::times;

/// The names of the days in the export, with the days of the desk.
const DAYS: [(&str, Day); 7] = [
    ("monday", Day::Mon),
    ("tuesday", Day::Tue),
    ("wednesday", Day::Wed),
    ("thursday", Day::Thu),
    ("friday", Day::Fri),
    ("saturday", Day::Sat),
    ("sunday", Day::Sun),
];

pub(super) fn map(export: &Value, accounts: &[String]) -> Result<Import, String> {
    let mut import = Import::default();
    for user in list(export, "users")? {
        let name = text(user, "username");
        let outcome = match user_of(name) {
            Ok(person) => {
                let shown = person.unregistered_name().unwrap_or_default();
                let mut notes = vec![
                    "only the user name is used; the person sets addresses in the preferences"
                        .into(),
                ];
                notes.extend(renamed(shown, name));
                Outcome::Partly(notes)
            }
            Err(reason) => Outcome::Skipped(reason),
        };
        import.report.push(line("user", name, outcome));
    }
    let rotas = schedules(export, &mut import)?;
    escalations(export, &rotas, accounts, &mut import)?;
    Ok(import)
}

/// Returns the person of a user name of the export. These user names are e-mail addresses. The part before the `@` is the
/// user name in the desk.
fn user_of(name: &str) -> Result<PersonId, String> {
    person("user", name.split('@').next().unwrap_or_default())
}

/// Maps all schedules. Returns the name of the rota for the id and for the name of each mapped schedule.
fn schedules(export: &Value, import: &mut Import) -> Result<BTreeMap<String, String>, String> {
    let (mut names, mut rotas) = (Names::default(), BTreeMap::new());
    for schedule in list(export, "schedules")? {
        let foreign = text(schedule, "name");
        if schedule.get("enabled") == Some(&Value::Bool(false)) {
            let outcome = Outcome::Skipped("the schedule is disabled".into());
            import.report.push(line("schedule", foreign, outcome));
            continue;
        }
        let (mut layers, mut notes) = (Vec::new(), Vec::new());
        for rotation in list(schedule, "rotations")? {
            let name = text(rotation, "name");
            match layers_of(rotation, text(schedule, "timezone")) {
                Ok(found) => {
                    layers.extend(found);
                    import.report.push(line("rotation", name, Outcome::Mapped));
                }
                Err(reason) => {
                    notes.push(format!("the rotation {name} is left out"));
                    let outcome = Outcome::Skipped(reason);
                    import.report.push(line("rotation", name, outcome));
                }
            }
        }
        if layers.is_empty() {
            let outcome = Outcome::Skipped("no rotation of the schedule can be mapped".into());
            import.report.push(line("schedule", foreign, outcome));
            continue;
        }
        let name = names.give("rota", foreign);
        notes.extend(renamed(&name, foreign));
        for key in [text(schedule, "id"), foreign] {
            rotas.insert(key.to_owned(), name.clone());
        }
        import
            .report
            .push(line("schedule", foreign, Outcome::of(notes)));
        import.on_call.rotas.push(rota::Defined {
            name,
            layers,
            overrides: Vec::new(),
        });
    }
    Ok(rotas)
}

/// Returns the layers of one rotation: one layer, or one for each restriction to a day of the week.
fn layers_of(rotation: &Value, zone: &str) -> Result<Vec<Layer>, String> {
    let zone = if zone.is_empty() { "UTC" } else { zone };
    let time_zone = times::zone(zone)?;
    let length = number(rotation, "length", 1)?.max(1);
    let shift = match text(rotation, "type") {
        "hourly" => Shift::Hours(length),
        "daily" => Shift::Days(length),
        "weekly" => Shift::Weeks(length),
        other => return Err(format!("the desk has no rotations of the type {other:?}")),
    };
    let start = local(rotation, "startDate", &time_zone)?
        .ok_or_else(|| "`startDate` is missing".to_owned())?;
    let until = local(rotation, "endDate", &time_zone)?;
    let mut people = Vec::new();
    for participant in list(rotation, "participants")? {
        match text(participant, "type") {
            "user" => people.push(user_of(text(participant, "username"))?),
            other => return Err(format!("a participant is {other:?}; the desk needs a user")),
        }
    }
    if people.is_empty() {
        return Err("the rotation has no participants".to_owned());
    }
    let windows = windows(rotation)?;
    let layer = |window| Layer {
        people: people.clone(),
        start: start.clone(),
        until: until.clone(),
        shift,
        zone: zone.to_owned(),
        window,
        level: 0,
    };
    Ok(if windows.is_empty() {
        vec![layer(None)]
    } else {
        windows.into_iter().map(|one| layer(Some(one))).collect()
    })
}

/// Returns a time of the export as local time of the schedule. Returns `None` if the member is missing.
fn local(rotation: &Value, key: &str, zone: &TimeZone) -> Result<Option<String>, String> {
    let given = text(rotation, key);
    if given.is_empty() {
        return Ok(None);
    }
    let at: Timestamp = given
        .parse()
        .map_err(|_| format!("`{key}` is not a time with its offset"))?;
    let local = zone.to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S");
    Ok(Some(local.to_string()))
}

/// Returns the periods to which the rotation is restricted. The list is empty without a restriction.
fn windows(rotation: &Value) -> Result<Vec<Window>, String> {
    let Some(restriction) = rotation.get("timeRestriction").filter(|one| !one.is_null()) else {
        return Ok(Vec::new());
    };
    match text(restriction, "type") {
        "time-of-day" => {
            let times = restriction.get("restriction").unwrap_or(&Value::Null);
            Ok(vec![window(times, Vec::new())?])
        }
        "weekday-and-time-of-day" => {
            let all = list(restriction, "restrictions")?;
            all.into_iter().map(of_weekday).collect()
        }
        other => Err(format!("the desk has no restriction of the type {other:?}")),
    }
}

fn window(times: &Value, days: Vec<Day>) -> Result<Window, String> {
    let time = |hour: &str, minute: &str| -> Result<String, String> {
        let (hour, minute) = (number(times, hour, 0)?, number(times, minute, 0)?);
        Ok(format!("{:02}:{minute:02}", hour % 24))
    };
    Ok(Window {
        from: time("startHour", "startMin")?,
        to: time("endHour", "endMin")?,
        days,
    })
}

fn of_weekday(restriction: &Value) -> Result<Window, String> {
    let day = |key: &str| {
        let name = text(restriction, key);
        let found = DAYS.iter().position(|(known, _)| *known == name);
        found.ok_or_else(|| format!("`{key}` is not a day of the week"))
    };
    let (start, end) = (day("startDay")?, day("endDay")?);
    let window = window(restriction, vec![DAYS[start].1])?;
    let is_overnight = window.to <= window.from;
    let expected = if is_overnight { (start + 1) % 7 } else { start };
    if end == expected {
        Ok(window)
    } else {
        Err("a restriction is longer than one day".to_owned())
    }
}

fn escalations(
    export: &Value,
    rotas: &BTreeMap<String, String>,
    accounts: &[String],
    import: &mut Import,
) -> Result<(), String> {
    let mut names = Names::default();
    for escalation in list(export, "escalations")? {
        let foreign = text(escalation, "name");
        let mut notes = Vec::new();
        let mapped = steps(escalation, rotas, accounts, &mut notes).and_then(|steps| {
            let repeat = repeat(escalation, &steps, &mut notes)?;
            Ok((steps, repeat))
        });
        let reason = match &mapped {
            Ok((steps, _)) if steps.is_empty() => {
                Some("no rule of the escalation notifies a user or a schedule".to_owned())
            }
            Ok(_) => None,
            Err(reason) => Some(reason.clone()),
        };
        let (Ok((steps, repeat)), None) = (mapped, &reason) else {
            let outcome = Outcome::Skipped(reason.unwrap_or_default());
            import.report.push(line("escalation", foreign, outcome));
            continue;
        };
        let name = names.give("chain", foreign);
        notes.extend(renamed(&name, foreign));
        import
            .report
            .push(line("escalation", foreign, Outcome::of(notes)));
        import.on_call.chains.push(escalation_chain::Defined {
            name,
            steps,
            repeat,
        });
    }
    Ok(())
}

/// Maps the rules of an escalation. The delay of a rule counts from the start, and the wait of a step from the step before.
fn steps(
    escalation: &Value,
    rotas: &BTreeMap<String, String>,
    accounts: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<Step>, String> {
    let mut rules = Vec::new();
    for rule in list(escalation, "rules")? {
        rules.push((delay_minutes(rule)?, rule));
    }
    rules.sort_by_key(|(delay, _)| *delay);
    let (mut steps, mut before) = (Vec::new(), 0);
    for (delay, rule) in rules {
        let recipient = rule.get("recipient").unwrap_or(&Value::Null);
        let target = match text(recipient, "type") {
            "user" => user_of(text(recipient, "username"))
                .ok()
                .map(Target::Person),
            "schedule" => [text(recipient, "id"), text(recipient, "name")]
                .into_iter()
                .find_map(|key| rotas.get(key))
                .map(|name| Target::Rota(name.clone())),
            _ => None,
        };
        let Some(notify) = target else {
            notes.push(format!(
                "the rule after {delay} minutes is left out: its recipient is no user and no mapped schedule"
            ));
            continue;
        };
        if !matches!(text(rule, "condition"), "" | "if-not-acked") {
            notes.push(format!(
                "the rule after {delay} minutes notifies only if nobody has acknowledged"
            ));
        }
        if !matches!(text(rule, "notifyType"), "" | "default") {
            notes.push(format!(
                "the rule after {delay} minutes notifies the people who are on call"
            ));
        }
        let wait = delay - before;
        if wait > WAIT_MAX_MIN {
            notes.push(format!("a wait is shortened to {WAIT_MAX_MIN} minutes"));
        }
        before = delay;
        steps.push(Step {
            wait_minutes: wait.min(WAIT_MAX_MIN),
            notify,
            accounts: accounts.to_vec(),
            only_if: None,
        });
    }
    Ok(steps)
}

fn delay_minutes(rule: &Value) -> Result<u32, String> {
    let delay = rule.get("delay").unwrap_or(&Value::Null);
    let amount = number(delay, "timeAmount", 0)?;
    let factor = match text(delay, "timeUnit") {
        "hours" => 60,
        "days" => 24 * 60,
        _ => 1,
    };
    Ok(amount.saturating_mul(factor))
}

fn repeat(escalation: &Value, steps: &[Step], notes: &mut Vec<String>) -> Result<u32, String> {
    let Some(repeat) = escalation.get("repeat").filter(|one| !one.is_null()) else {
        return Ok(0);
    };
    let count = number(repeat, "count", 0)?;
    if count == 0 {
        return Ok(0);
    }
    if steps.iter().all(|step| step.wait_minutes == 0) {
        notes.push("the repetition is left out, because no step waits".into());
        return Ok(0);
    }
    if count > REPEAT_MAX {
        notes.push(format!("the chain is repeated {REPEAT_MAX} times"));
    }
    if number(repeat, "waitInterval", 0)? > 0 {
        notes.push("the wait before a repetition is the wait of the first step".into());
    }
    Ok(count.min(REPEAT_MAX))
}
