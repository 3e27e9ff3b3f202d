//! Maps an export of Grafana OnCall: the list responses of its public API for schedules, shifts, escalation chains,
//! escalation policies (the steps of chains) and users.

use std::collections::BTreeMap;

use domain::notification::rota::local_time;
use events::escalation_chain::{self, Hours, OnlyIf, Step, Target};
use events::rota::{self, Day, Layer, Override, Shift, Window};
use events::{Moment, PersonId};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde_json::Value;

use super::super::chains::{REPEAT_MAX, WAIT_MAX_MIN};
use super::super::person;
use super::{Import, Names, Outcome, line, list, number, renamed, text, texts};
use crate::app::times;

const DAY_S: i64 = 86_400;
/// The abbreviations of days in the export, with the days of the desk.
const DAYS: [(&str, Day); 7] = [
    ("MO", Day::Mon),
    ("TU", Day::Tue),
    ("WE", Day::Wed),
    ("TH", Day::Thu),
    ("FR", Day::Fri),
    ("SA", Day::Sat),
    ("SU", Day::Sun),
];

/// The people of the export by their ids.
type Users = BTreeMap<String, PersonId>;

pub(super) fn map(export: &Value, accounts: &[String]) -> Result<Import, String> {
    let mut import = Import::default();
    let users = users(export, &mut import)?;
    let rotas = schedules(export, &users, &mut import)?;
    chains(export, &users, &rotas, accounts, &mut import)?;
    Ok(import)
}

fn users(export: &Value, import: &mut Import) -> Result<Users, String> {
    let mut users = Users::new();
    for user in list(export, "users")? {
        let name = text(user, "username");
        let outcome = match person("user", name) {
            Ok(person) => {
                users.insert(text(user, "id").to_owned(), person);
                Outcome::Partly(vec![
                    "only the user name is used; the person sets addresses in the preferences"
                        .into(),
                ])
            }
            Err(reason) => Outcome::Skipped(reason),
        };
        import.report.push(line("user", name, outcome));
    }
    Ok(users)
}

/// Maps all schedules. Returns the name of the rota for the id of each mapped schedule.
fn schedules(
    export: &Value,
    users: &Users,
    import: &mut Import,
) -> Result<BTreeMap<String, String>, String> {
    let shifts = list(export, "on_call_shifts")?;
    let by_id: BTreeMap<&str, &Value> = shifts.iter().map(|one| (text(one, "id"), *one)).collect();
    let (mut names, mut rotas) = (Names::default(), BTreeMap::new());
    for schedule in list(export, "schedules")? {
        let foreign = text(schedule, "name");
        let mut notes = Vec::new();
        let mut rota = rota::Defined {
            name: String::new(),
            layers: Vec::new(),
            overrides: Vec::new(),
        };
        for id in texts(schedule, "shifts") {
            let Some(shift) = by_id.get(id.as_str()) else {
                notes.push(format!("the shift {id} is not in the file"));
                continue;
            };
            let name = text(shift, "name");
            match add_shift(shift, text(schedule, "time_zone"), users, &mut rota) {
                Ok(left_out) => {
                    let outcome = Outcome::of(left_out);
                    import.report.push(line("on_call_shift", name, outcome));
                }
                Err(reason) => {
                    notes.push(format!("the shift {name} is left out"));
                    let outcome = Outcome::Skipped(reason);
                    import.report.push(line("on_call_shift", name, outcome));
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
            let outcome = Outcome::Skipped(reason.into());
            import.report.push(line("schedule", foreign, outcome));
            continue;
        }
        rota.name = names.give("rota", foreign);
        notes.extend(renamed(&rota.name, foreign));
        rotas.insert(text(schedule, "id").to_owned(), rota.name.clone());
        import
            .report
            .push(line("schedule", foreign, Outcome::of(notes)));
        import.on_call.rotas.push(rota);
    }
    Ok(rotas)
}

/// Adds the layers or the overrides of one shift to a rota. Returns the parts that are left out.
fn add_shift(
    shift: &Value,
    schedule_zone: &str,
    users: &Users,
    rota: &mut rota::Defined,
) -> Result<Vec<String>, String> {
    let zones = [text(shift, "time_zone"), schedule_zone, "UTC"];
    let zone = zones.into_iter().find(|zone| !zone.is_empty());
    let zone = zone.unwrap_or("UTC");
    times::zone(zone)?;
    let start = local_time(text(shift, "start"))
        .ok_or_else(|| "`start` is not a local date and time".to_owned())?;
    let seconds = i64::from(number(shift, "duration", 0)?);
    let kind = text(shift, "type");
    let groups = groups(shift, kind, users)?;
    let end = start
        .checked_add(SignedDuration::from_secs(seconds))
        .map_err(|_| "`duration` is too long".to_owned())?;
    if kind == "override" {
        let (from, to) = (instant(zone, start)?, instant(zone, end)?);
        let people = groups.into_iter().flatten();
        rota.overrides
            .extend(people.map(|person| Override { person, from, to }));
        return Ok(Vec::new());
    }
    let mut notes = Vec::new();
    let (length, window, until) = match kind {
        "single_event" => (Shift::Days(1), None, Some(local(end))),
        "rolling_users" | "recurrent_event" => {
            let (length, window) = rhythm(shift, kind, start, seconds)?;
            if window
                .as_ref()
                .is_some_and(|window| !window.days.is_empty())
            {
                notes.push("a week begins on the day of `start`, and not on `week_start`".into());
            }
            let until = Some(text(shift, "until")).filter(|until| !until.is_empty());
            let until = match until {
                Some(until) => {
                    Some(local_time(until).ok_or("`until` is not a local date and time")?)
                }
                None => None,
            };
            (length, window, until.map(local))
        }
        other => return Err(format!("the desk has no shifts of the type {other:?}")),
    };
    let rotation = text(shift, "rotation_start");
    if !rotation.is_empty() && local_time(rotation) != Some(start) {
        notes.push("`rotation_start` is left out; the rotation begins at `start`".into());
    }
    let size = groups.iter().map(Vec::len).max().unwrap_or_default();
    // A group of several people becomes one layer for each of them. A smaller group repeats its first person.
    for place in 0..size {
        let people = groups
            .iter()
            .filter_map(|group| group.get(place).or(group.first()));
        rota.layers.push(Layer {
            people: people.cloned().collect(),
            start: local(start),
            until: until.clone(),
            shift: length,
            zone: zone.to_owned(),
            window: window.clone(),
            level: number(shift, "level", 0)?,
        });
    }
    Ok(notes)
}

/// Returns the people of a shift in groups. The groups take turns. The people of one group are on call together.
fn groups(shift: &Value, kind: &str, users: &Users) -> Result<Vec<Vec<PersonId>>, String> {
    let named = |ids: Vec<String>| -> Result<Vec<PersonId>, String> {
        let people = ids.into_iter().map(|id| {
            let person = users.get(&id).cloned();
            person.ok_or_else(|| format!("the user {id} is not in the file"))
        });
        people.collect()
    };
    let mut groups = if kind == "rolling_users" {
        let entries = shift.get("rolling_users").and_then(Value::as_array);
        let entries = entries.into_iter().flatten();
        let groups = entries.map(|group| {
            let ids = group.as_array().into_iter().flatten();
            named(
                ids.filter_map(|id| id.as_str().map(str::to_owned))
                    .collect(),
            )
        });
        groups.collect::<Result<Vec<_>, _>>()?
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

/// Returns the length of a turn, and the part of each day in which the shift counts.
fn rhythm(
    shift: &Value,
    kind: &str,
    start: DateTime,
    seconds: i64,
) -> Result<(Shift, Option<Window>), String> {
    let interval = number(shift, "interval", 1)?.max(1);
    if has_entries(shift, "by_month") || has_entries(shift, "by_monthday") {
        return Err("the desk has no shifts by month".to_owned());
    }
    let (length, period) = match text(shift, "frequency") {
        "hourly" => (Shift::Hours(interval), 3_600),
        "daily" => (Shift::Days(interval), DAY_S),
        "weekly" => (Shift::Weeks(interval), 7 * DAY_S),
        other => {
            return Err(format!(
                "the desk has no shifts with the frequency {other:?}"
            ));
        }
    };
    let days = texts(shift, "by_day");
    let days = days
        .iter()
        .map(|day| {
            let known = DAYS.iter().find(|(name, _)| *name == day.as_str());
            known.map(|(_, day)| *day)
        })
        .collect::<Option<Vec<Day>>>()
        .ok_or_else(|| "`by_day` has a day that the desk does not know".to_owned())?;
    let whole = period * i64::from(interval);
    if days.is_empty() && seconds == whole {
        return Ok((length, None));
    }
    let is_daily = matches!(length, Shift::Days(_) | Shift::Weeks(_));
    // In a repeated event, the other weeks of the interval have nobody on call.
    let is_possible = is_daily
        && (1..=DAY_S).contains(&seconds)
        && (interval == 1 || (!days.is_empty() && kind == "rolling_users"));
    if !is_possible {
        return Err(
            "the desk has no shifts that end before the next turn, except shifts within one day"
                .to_owned(),
        );
    }
    let end = start
        .checked_add(SignedDuration::from_secs(seconds))
        .map_err(|_| "`duration` is too long".to_owned())?;
    let first_day = DAYS
        .get(usize::try_from(start.weekday().to_monday_zero_offset()).unwrap_or_default())
        .map(|(_, day)| *day);
    let days = match length {
        Shift::Weeks(_) if days.is_empty() => first_day.into_iter().collect(),
        _ => days,
    };
    let window = Window {
        from: start.strftime("%H:%M").to_string(),
        to: end.strftime("%H:%M").to_string(),
        days,
    };
    Ok((length, Some(window)))
}

fn has_entries(object: &Value, key: &str) -> bool {
    let entries = object.get(key).and_then(Value::as_array);
    entries.is_some_and(|entries| !entries.is_empty())
}

fn local(time: DateTime) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

fn instant(zone: &str, local: DateTime) -> Result<Moment, String> {
    let at = times::zone(zone)?.to_timestamp(local);
    at.map(|at| Moment(at.as_millisecond()))
        .map_err(|error| error.to_string())
}

fn chains(
    export: &Value,
    users: &Users,
    rotas: &BTreeMap<String, String>,
    accounts: &[String],
    import: &mut Import,
) -> Result<(), String> {
    let policies = list(export, "escalation_policies")?;
    let mut names = Names::default();
    for chain in list(export, "escalation_chains")? {
        let (id, foreign) = (text(chain, "id"), text(chain, "name"));
        let of_chain = policies.iter().copied();
        let mut of_chain: Vec<&Value> = of_chain
            .filter(|policy| text(policy, "escalation_chain_id") == id)
            .collect();
        of_chain.sort_by_key(|policy| policy.get("position").and_then(Value::as_i64));
        let mut steps = Steps::new(accounts);
        for policy in of_chain {
            if !steps.add(policy, users, rotas) {
                break;
            }
        }
        if steps.steps.is_empty() {
            let reason = "no step of the chain notifies a person or a schedule";
            let outcome = Outcome::Skipped(reason.into());
            import
                .report
                .push(line("escalation_chain", foreign, outcome));
            continue;
        }
        let defined = steps.finish(names.give("chain", foreign));
        steps.notes.extend(renamed(&defined.name, foreign));
        let outcome = Outcome::of(steps.notes);
        import
            .report
            .push(line("escalation_chain", foreign, outcome));
        import.on_call.chains.push(defined);
    }
    Ok(())
}

/// The steps of a chain that are mapped so far.
#[expect(clippy::struct_field_names, reason = "the domain calls them steps")]
struct Steps<'a> {
    accounts: &'a [String],
    steps: Vec<Step>,
    repeat: u32,
    /// The wait since the last step, in seconds.
    wait_s: u32,
    only_if: Option<OnlyIf>,
    notes: Vec<String>,
}

impl<'a> Steps<'a> {
    fn new(accounts: &'a [String]) -> Self {
        Self {
            accounts,
            steps: Vec::new(),
            repeat: 0,
            wait_s: 0,
            only_if: None,
            notes: Vec::new(),
        }
    }

    /// Adds one escalation policy. Returns false if no further policy of the chain can be reached.
    fn add(&mut self, policy: &Value, users: &Users, rotas: &BTreeMap<String, String>) -> bool {
        match text(policy, "type") {
            "wait" => match number(policy, "duration", 0) {
                Ok(seconds) => self.wait_s = self.wait_s.saturating_add(seconds),
                Err(reason) => self.notes.push(reason),
            },
            "notify_persons" => {
                for id in texts(policy, "persons_to_notify") {
                    match users.get(&id) {
                        Some(person) => self.push(Target::Person(person.clone())),
                        None => self.notes.push(format!("the user {id} is not in the file")),
                    }
                }
            }
            "notify_person_next_each_time" => {
                let ids = texts(policy, "persons_to_notify_next_each_time");
                let people: Vec<PersonId> =
                    ids.iter().filter_map(|id| users.get(id).cloned()).collect();
                if people.len() < ids.len() {
                    self.notes
                        .push("a user of the turn is not in the file".into());
                }
                if !people.is_empty() {
                    self.push(Target::RoundRobin(people));
                }
            }
            "notify_on_call_from_schedule" => {
                let id = text(policy, "notify_on_call_from_schedule");
                match rotas.get(id) {
                    Some(name) => self.push(Target::Rota(name.clone())),
                    None => self.notes.push(format!("the schedule {id} is left out")),
                }
            }
            "notify_if_time_from_to" => self.limit(policy),
            "repeat_escalation" => {
                self.repeat = REPEAT_MAX;
                return false;
            }
            other => {
                self.notes
                    .push(format!("the step of the type {other:?} is left out"));
            }
        }
        true
    }

    fn push(&mut self, notify: Target) {
        let minutes = self.wait_s.div_ceil(60);
        if minutes > WAIT_MAX_MIN {
            self.notes
                .push(format!("a wait is shortened to {WAIT_MAX_MIN} minutes"));
        }
        self.wait_s = 0;
        self.steps.push(Step {
            wait_minutes: minutes.min(WAIT_MAX_MIN),
            notify,
            accounts: self.accounts.to_vec(),
            only_if: self.only_if.clone(),
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

    fn finish(&mut self, name: String) -> escalation_chain::Defined {
        let has_wait = self.steps.iter().any(|step| step.wait_minutes > 0);
        if self.repeat > 0 && !has_wait {
            self.repeat = 0;
            self.notes
                .push("the repetition is left out, because no step waits".into());
        }
        escalation_chain::Defined {
            name,
            steps: std::mem::take(&mut self.steps),
            repeat: self.repeat,
        }
    }
}
