//! Maps the rotations and the overrides of a schedule of Opsgenie to the layers and the overrides of a rota.

use std::collections::BTreeSet;

use domain::notification::rota::local_time;
use events::PersonId;
use events::rota::{Layer, Override, Shift, Window};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::lists::{is_false, list, number, text};
use super::people::{People, Teams};
use super::windows::{DAY_MIN, WEEK_MIN, merged, weekly, window};
use crate::app::times;

/// The names of the days in the export. Monday has number 0.
const DAY_NAMES: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Returns the layers of one rotation: one layer for each daily period and for each place in the groups of people.
/// `notes` receives the parts that are left out.
pub(super) fn layers(
    rotation: &Value,
    zone: &str,
    people: &People,
    teams: &Teams,
    notes: &mut Vec<String>,
) -> Result<Vec<Layer>, String> {
    if is_false(rotation, "enabled") {
        return Err("the rotation is disabled".to_owned());
    }
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
    if let Some(until) = &until
        && local_time(until) <= local_time(&start)
    {
        return Err("`endDate` is not later than `startDate`".to_owned());
    }
    let groups = groups(rotation, people, teams, notes)?;
    let size = groups.iter().map(Vec::len).max().unwrap_or_default();
    let windows: Vec<Option<Window>> = match windows(rotation)? {
        windows if windows.is_empty() => vec![None],
        windows => windows.into_iter().map(Some).collect(),
    };
    let mut layers = Vec::new();
    for window in windows {
        for place in 0..size {
            let members = groups.iter();
            let members = members.filter_map(|group| group.get(place).or(group.first()));
            layers.push(Layer {
                people: members.cloned().collect(),
                start: start.clone(),
                until: until.clone(),
                shift,
                zone: zone.to_owned(),
                window: window.clone(),
                level: 0,
            });
        }
    }
    Ok(layers)
}

/// Returns the participants of a rotation. They take turns. A team is a group whose members are on call together.
fn groups(
    rotation: &Value,
    people: &People,
    teams: &Teams,
    notes: &mut Vec<String>,
) -> Result<Vec<Vec<PersonId>>, String> {
    let mut groups = Vec::new();
    for participant in list(rotation, "participants")? {
        groups.push(match text(participant, "type") {
            "user" => vec![people.of(participant)?],
            "team" => {
                let keys = [text(participant, "id"), text(participant, "name")];
                let team = keys.into_iter().find_map(|key| teams.get(key));
                let team = team.ok_or("a participant is a team that is not in the file")?;
                let members = team.members(None);
                if members.is_empty() {
                    return Err(format!("the team {} has no people in the file", team.name));
                }
                notes.push(format!(
                    "all members of the team {} are on call together; its routing rules are left out",
                    team.name
                ));
                members
            }
            "none" => {
                return Err("in a turn of the rotation, nobody is on call; the desk has no such turns".into());
            }
            other => {
                return Err(format!(
                    "a participant is {other:?}; the desk needs a user or a team"
                ));
            }
        });
    }
    if groups.is_empty() {
        return Err("the rotation has no participants".to_owned());
    }
    Ok(groups)
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
    // The documentation has the member `restriction` for one restriction. The SDKs also write a list with one entry.
    let mut all = list(restriction, "restrictions")?;
    all.extend(restriction.get("restriction").filter(|one| one.is_object()));
    if all.is_empty() {
        return Err("`timeRestriction` has no restriction".to_owned());
    }
    let windows: Vec<Window> = match text(restriction, "type") {
        "time-of-day" => all.into_iter().map(of_day).collect::<Result<_, _>>()?,
        "weekday-and-time-of-day" => {
            let windows: Vec<Vec<Window>> =
                all.into_iter().map(of_week).collect::<Result<_, _>>()?;
            windows.into_iter().flatten().collect()
        }
        other => return Err(format!("the desk has no restriction of the type {other:?}")),
    };
    Ok(merged(windows))
}

/// Returns the minute of the day that a restriction names. The hour 24 is the end of the day.
fn minute(restriction: &Value, hour: &str, minute: &str) -> Result<u32, String> {
    let hours = number(restriction, hour, 0)?.saturating_mul(60);
    let found = hours.saturating_add(number(restriction, minute, 0)?);
    if found <= DAY_MIN {
        Ok(found)
    } else {
        Err(format!("`{hour}` and `{minute}` are not a time of day"))
    }
}

fn of_day(restriction: &Value) -> Result<Window, String> {
    let from = minute(restriction, "startHour", "startMin")?;
    let to = minute(restriction, "endHour", "endMin")?;
    Ok(window(from, to, Vec::new()))
}

/// Returns the windows of a restriction that begins and ends on a day of the week.
fn of_week(restriction: &Value) -> Result<Vec<Window>, String> {
    let day = |key: &str| {
        let name = text(restriction, key);
        let found = DAY_NAMES.iter().position(|known| *known == name);
        found.ok_or_else(|| format!("`{key}` is not a day of the week"))
    };
    let (start, end) = (day("startDay")?, day("endDay")?);
    let from = minute(restriction, "startHour", "startMin")?;
    let to = minute(restriction, "endHour", "endMin")?;
    let days = (end + DAY_NAMES.len() - start) % DAY_NAMES.len();
    let days = u32::try_from(days).unwrap_or_default() * DAY_MIN;
    // A restriction that ends before it begins ends in the next week.
    let minutes = match days + to {
        end if end > from => end - from,
        end => end + WEEK_MIN - from,
    };
    let (start, from) = if from == DAY_MIN {
        (start + 1, 0)
    } else {
        (start, from)
    };
    Ok(weekly(start, from, minutes))
}

/// Returns the overrides of a schedule. An override of some rotations becomes an override of the whole rota. `notes`
/// receives the parts that are left out.
pub(super) fn overrides(
    given: &[&Value],
    rotations: &BTreeSet<&str>,
    people: &People,
    notes: &mut Vec<String>,
) -> Vec<Override> {
    let mut overrides = Vec::new();
    for one in given {
        let alias = text(one, "alias");
        let user = one.get("user").unwrap_or(&Value::Null);
        let mapped = if matches!(text(user, "type"), "" | "user") {
            people.of(user)
        } else {
            Err("its recipient is no user".to_owned())
        };
        let time = |key: &str| {
            times::read(text(one, key))
                .ok_or_else(|| format!("`{key}` is not a time with its offset"))
        };
        let mapped = mapped.and_then(|person| {
            let (from, to) = (time("startDate")?, time("endDate")?);
            if to <= from {
                return Err("`endDate` is not later than `startDate`".to_owned());
            }
            Ok(Override { person, from, to })
        });
        match mapped {
            Ok(mapped) => overrides.push(mapped),
            Err(reason) => {
                notes.push(format!("the override {alias} is left out: {reason}"));
                continue;
            }
        }
        let replaced = one.get("rotations").and_then(Value::as_array);
        let replaced: BTreeSet<&str> = replaced
            .into_iter()
            .flatten()
            .map(|rotation| text(rotation, "id"))
            .collect();
        if !replaced.is_empty() && !rotations.is_subset(&replaced) {
            notes.push(format!(
                "the override {alias} replaces all rotations of the schedule"
            ));
        }
    }
    overrides
}
