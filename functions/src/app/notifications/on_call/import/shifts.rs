//! Maps the on-call shifts of Grafana OnCall to layers and overrides. A shift is a repeated event (RFC 5545). In a
//! shift of the type `rolling_users`, groups of people take turns.

use std::collections::BTreeSet;

use domain::notification::rota::local_time;
use events::rota::{self, Day, Layer, Override, Shift, Window};
use events::{Moment, PersonId};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde_json::Value;

use super::lists::{has_entries, number, text, texts};
use super::people::People;
use super::windows::{DAY_MIN, DAYS, WEEK_MIN, weekly, window};
use crate::app::times;

/// The abbreviations of the days in the export. Monday has number 0.
const DAY_NAMES: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
/// The value of `week_start` if the export has none.
const WEEK_START: &str = "SU";
const HOUR_MIN: u32 = 60;
const GAP: &str = "the desk has no shifts that end before the next turn, except shifts within one day or one week";

/// The groups of people of a shift. The groups take turns. The people of one group are on call together.
type Groups = Vec<Vec<PersonId>>;

/// Layers without their people: the groups take turns from `start`.
struct Plan {
    groups: Groups,
    start: DateTime,
    shift: Shift,
    window: Option<Window>,
}

/// Adds the layers or the overrides of one shift to a rota. Returns the parts that are left out, or the reason why the
/// shift cannot be mapped. `zone` is the time zone of a shift that has no zone of its own.
pub(super) fn add(
    shift: &Value,
    zone: &str,
    people: &People,
    rota: &mut rota::Defined,
) -> Result<Vec<String>, String> {
    let own = Some(text(shift, "time_zone")).filter(|zone| !zone.is_empty());
    let zone = own.unwrap_or(zone);
    times::zone(zone)?;
    let start = local(shift, "start")?.ok_or("`start` is missing")?;
    let kind = text(shift, "type");
    let groups = groups(shift, kind, people)?;
    let minutes = minutes(shift)?;
    let end = after(start, minutes)?;
    if kind == "override" {
        let (from, to) = (instant(zone, start)?, instant(zone, end)?);
        let people = groups.into_iter().flatten();
        rota.overrides
            .extend(people.map(|person| Override { person, from, to }));
        return Ok(Vec::new());
    }
    let mut notes = Vec::new();
    let (plans, until) = match kind {
        "single_event" => {
            let plan = Plan {
                groups,
                start,
                shift: Shift::Days(1),
                window: None,
            };
            (vec![plan], Some(end))
        }
        "rolling_users" | "recurrent_event" => {
            let mut plans = plans(shift, start, minutes, groups, &mut notes)?;
            if let Some(begin) = local(shift, "rotation_start")? {
                for plan in &mut plans {
                    plan.begin_at(begin)?;
                }
            }
            (plans, local(shift, "until")?)
        }
        other => return Err(format!("the desk has no shifts of the type {other:?}")),
    };
    let level = number(shift, "level", 0)?;
    let plans = plans.into_iter();
    let plans: Vec<Plan> = plans
        .filter(|plan| until.is_none_or(|until| plan.start < until))
        .collect();
    if plans.is_empty() {
        return Err("the shift ends before its first turn".to_owned());
    }
    for plan in plans {
        let layers = plan.layers(zone, level).into_iter();
        rota.layers.extend(layers.map(|layer| Layer {
            until: until.map(shown),
            ..layer
        }));
    }
    Ok(notes)
}

impl Plan {
    /// Leaves out the turns that end before `begin`. The turns are counted from `start` in any case.
    fn begin_at(&mut self, begin: DateTime) -> Result<(), String> {
        let turn_min = match self.shift {
            Shift::Hours(hours) => i64::from(hours) * i64::from(HOUR_MIN),
            Shift::Days(days) => i64::from(days) * i64::from(DAY_MIN),
            Shift::Weeks(weeks) => i64::from(weeks) * i64::from(WEEK_MIN),
        };
        let passed = begin.duration_since(self.start).as_mins() / turn_min;
        if passed > 0 {
            let moved = SignedDuration::from_mins(passed * turn_min);
            let start = self.start.checked_add(moved);
            self.start = start.map_err(|_| "`rotation_start` is too late".to_owned())?;
            let turns = usize::try_from(passed).unwrap_or_default() % self.groups.len();
            self.groups.rotate_left(turns);
        }
        Ok(())
    }

    /// Returns one layer for each place in the groups. A smaller group repeats its first person.
    fn layers(&self, zone: &str, level: u32) -> Vec<Layer> {
        let size = self.groups.iter().map(Vec::len).max().unwrap_or_default();
        let layers = (0..size).map(|place| {
            let groups = self.groups.iter();
            let people = groups.filter_map(|group| group.get(place).or(group.first()));
            Layer {
                people: people.cloned().collect(),
                start: shown(self.start),
                until: None,
                shift: self.shift,
                zone: zone.to_owned(),
                window: self.window.clone(),
                level,
            }
        });
        layers.collect()
    }
}

fn groups(shift: &Value, kind: &str, people: &People) -> Result<Groups, String> {
    let named = |ids: Vec<String>| -> Result<Vec<PersonId>, String> {
        let people = ids.into_iter().map(|id| {
            let person = people.get(&id).cloned();
            person.ok_or_else(|| format!("the user {id} is not in the file"))
        });
        people.collect()
    };
    let mut groups = if kind == "rolling_users" {
        let entries = shift.get("rolling_users").and_then(Value::as_array);
        let entries = entries.into_iter().flatten();
        let groups = entries.map(|group| {
            let ids = group.as_array().into_iter().flatten();
            let ids = ids.filter_map(|id| id.as_str().map(str::to_owned));
            named(ids.collect())
        });
        groups.collect::<Result<Groups, _>>()?
    } else {
        vec![named(texts(shift, "users"))?]
    };
    if groups.is_empty() || groups.iter().any(Vec::is_empty) {
        return Err("the shift has no people, or a turn without people".to_owned());
    }
    let first = number(shift, "start_rotation_from_user_index", 0)?;
    let first = usize::try_from(first).unwrap_or_default() % groups.len();
    groups.rotate_left(first);
    Ok(groups)
}

/// Maps the repetition of a shift. `minutes` is the length of one event.
fn plans(
    shift: &Value,
    start: DateTime,
    minutes: u32,
    groups: Groups,
    notes: &mut Vec<String>,
) -> Result<Vec<Plan>, String> {
    if has_entries(shift, "by_month") || has_entries(shift, "by_monthday") {
        return Err("the desk has no shifts by month".to_owned());
    }
    let interval = number(shift, "interval", 1)?.max(1);
    let frequency = text(shift, "frequency");
    let (length, period_min) = match frequency {
        "hourly" => (Shift::Hours(interval), HOUR_MIN),
        "daily" => (Shift::Days(interval), DAY_MIN),
        "weekly" => (Shift::Weeks(interval), WEEK_MIN),
        other => {
            return Err(format!(
                "the desk has no shifts with the frequency {other:?}"
            ));
        }
    };
    let days = by_day(shift)?;
    let one = |groups, start, shift, window| Plan {
        groups,
        start,
        shift,
        window,
    };
    if days.is_empty() && Some(minutes) == period_min.checked_mul(interval) {
        return Ok(vec![one(groups, start, length, None)]);
    }
    let from = u32::from(start.hour().unsigned_abs()) * HOUR_MIN
        + u32::from(start.minute().unsigned_abs());
    let week_start = day_number(
        Some(text(shift, "week_start"))
            .filter(|day| !day.is_empty())
            .unwrap_or(WEEK_START),
    )?;
    let begin = first_event(start, &days, week_start)?;
    let is_within_day = minutes <= DAY_MIN;
    match frequency {
        "daily" if is_within_day && groups.len() > 1 && !days.is_empty() => {
            day_by_day(begin, from, minutes, &days, interval, &groups)
        }
        "daily" if is_within_day && interval == 1 => {
            let window = window(from, from + minutes, of_numbers(&days));
            Ok(vec![one(groups, begin, length, Some(window))])
        }
        // In the other weeks of a longer interval, no event begins.
        "weekly" if is_within_day && interval == 1 => {
            let days = if days.is_empty() {
                BTreeSet::from([weekday(start)])
            } else {
                days
            };
            let window = window(from, from + minutes, of_numbers(&days));
            let aligned = aligned(begin, &days, week_start, notes)?;
            Ok(vec![one(groups, aligned, length, Some(window))])
        }
        "weekly" if interval == 1 && minutes <= WEEK_MIN && days.len() <= 1 => {
            let windows = weekly(weekday(begin), from, minutes).into_iter();
            Ok(windows
                .map(|window| one(groups.clone(), begin, length, Some(window)))
                .collect())
        }
        _ => Err(GAP.to_owned()),
    }
}

/// Returns the first event. If the day of `start` is not one of the given days, the first event is on the first of
/// these days in the order of the week.
fn first_event(
    start: DateTime,
    days: &BTreeSet<usize>,
    week_start: usize,
) -> Result<DateTime, String> {
    if days.is_empty() || days.contains(&weekday(start)) {
        return Ok(start);
    }
    let first = days.iter().min_by_key(|day| distance(week_start, **day));
    let ahead = distance(weekday(start), first.copied().unwrap_or_default());
    after(start, days_min(ahead))
}

/// Returns the begin of the turn that contains the first event. Turns change at the begin of the week, at the time of
/// day of the events.
fn aligned(
    begin: DateTime,
    days: &BTreeSet<usize>,
    week_start: usize,
    notes: &mut Vec<String>,
) -> Result<DateTime, String> {
    if days.len() == 1 {
        return Ok(begin);
    }
    let passed = distance(week_start, weekday(begin));
    if days.iter().any(|day| distance(week_start, *day) < passed) {
        let note = "in the week of the first event, the selected days before this event count too";
        notes.push(note.into());
    }
    let back = SignedDuration::from_mins(-i64::from(days_min(passed)));
    begin
        .checked_add(back)
        .map_err(|_| "`start` is too early".to_owned())
}

/// Maps a daily shift that has selected days. The groups take turns from one selected day to the next, so a group has
/// other days in each week. Each day of the week becomes a layer with the people of this day in the following weeks.
fn day_by_day(
    begin: DateTime,
    from: u32,
    minutes: u32,
    days: &BTreeSet<usize>,
    interval: u32,
    groups: &[Vec<PersonId>],
) -> Result<Vec<Plan>, String> {
    let interval = usize::try_from(interval).unwrap_or(usize::MAX);
    let turns = groups.len().saturating_mul(interval);
    // After this number of weeks, the people of each day repeat.
    let weeks = (1..=turns).find(|weeks| (weeks * days.len()).is_multiple_of(turns));
    let weeks = weeks.unwrap_or(turns);
    let mut in_order: Vec<usize> = days.iter().copied().collect();
    in_order.sort_by_key(|day| distance(weekday(begin), *day));
    let plans = in_order.iter().enumerate().map(|(position, day)| {
        let of_day = (0..weeks).map(|week| {
            let event = week * in_order.len() + position;
            groups[event / interval % groups.len()].clone()
        });
        Ok(Plan {
            groups: of_day.collect(),
            start: after(begin, days_min(distance(weekday(begin), *day)))?,
            shift: Shift::Weeks(1),
            window: Some(window(from, from + minutes, vec![DAYS[*day]])),
        })
    });
    plans.collect()
}

/// Returns the numbers of the selected days. The set is empty if all days count.
fn by_day(shift: &Value) -> Result<BTreeSet<usize>, String> {
    let days = texts(shift, "by_day").into_iter();
    days.map(|day| day_number(&day)).collect()
}

fn day_number(name: &str) -> Result<usize, String> {
    let known = DAY_NAMES.iter().position(|known| *known == name);
    known.ok_or_else(|| format!("the desk has no day {name:?}"))
}

fn of_numbers(days: &BTreeSet<usize>) -> Vec<Day> {
    days.iter().map(|day| DAYS[*day]).collect()
}

fn weekday(time: DateTime) -> usize {
    usize::try_from(time.weekday().to_monday_zero_offset()).unwrap_or_default()
}

/// Returns the number of days from one day of the week to the next occurrence of another.
fn distance(from: usize, to: usize) -> usize {
    (to + DAYS.len() - from) % DAYS.len()
}

fn days_min(days: usize) -> u32 {
    u32::try_from(days).unwrap_or_default() * DAY_MIN
}

/// Returns the length of one event in minutes. The export has seconds.
fn minutes(shift: &Value) -> Result<u32, String> {
    match number(shift, "duration", 0)? {
        0 => Err("`duration` is missing".to_owned()),
        seconds if seconds.is_multiple_of(60) => Ok(seconds / 60),
        _ => Err("`duration` must be whole minutes".to_owned()),
    }
}

fn after(time: DateTime, minutes: u32) -> Result<DateTime, String> {
    time.checked_add(SignedDuration::from_mins(i64::from(minutes)))
        .map_err(|_| "`duration` is too long".to_owned())
}

/// Returns the local time of a member, or `None` if the member is missing.
fn local(shift: &Value, key: &str) -> Result<Option<DateTime>, String> {
    let given = text(shift, key);
    if given.is_empty() {
        return Ok(None);
    }
    let time = local_time(given).ok_or_else(|| format!("`{key}` is not a local date and time"))?;
    Ok(Some(time))
}

fn shown(time: DateTime) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

fn instant(zone: &str, local: DateTime) -> Result<Moment, String> {
    let at = times::zone(zone)?.to_timestamp(local);
    at.map(|at| Moment(at.as_millisecond()))
        .map_err(|error| error.to_string())
}
