//! Implements rotas: the aggregate with the definition, and the pure functions that compute which people are on call.
//!
//! Shifts change at the same local time of day. If clocks are set forward and skip this local time, the shift changes at
//! the first instant after it. If clocks are set back and repeat this local time, the first occurrence counts.

use events::rota::{Day, Defined, Layer, RotaEvent, Shift, Window};
use events::{Moment, PersonId};
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::quiet::{instant, time_of_day};
use crate::config::Rejection;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// Maximum number of steps of the search for the shift at a given time. The search begins with the shift that the local
/// time gives. A change of the clocks moves the result by few shifts, because the shortest shift has one hour.
const SEARCH_MAX: usize = 50;
/// Maximum number of changes that the search for the next shift with other people reads.
const CHANGES_MAX: usize = 400;
/// The number of days after a time in which a daily period begins at least once.
const WEEK_DAYS: usize = 8;

/// The current definition of one rota.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rota {
    pub defined: Option<Defined>,
    /// The number of the current definition. The first definition has number 1.
    pub version: u32,
}

impl Decider for Rota {
    type Command = Defined;
    type Event = RotaEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(&self, definition: &Defined, (): &()) -> Result<Vec<RotaEvent>, DecideError<Self>> {
        Ok(if self.defined.as_ref() == Some(definition) {
            Vec::new()
        } else {
            vec![definition.clone().into()]
        })
    }

    fn evolve(&mut self, RotaEvent::Defined(defined): &RotaEvent) {
        self.version = self.version.saturating_add(1);
        self.defined = Some(defined.clone());
    }
}

impl Card for Rota {
    type Event = RotaEvent;
    const VIEW: &'static str = "rota";

    fn fold(&mut self, envelope: &Envelope<RotaEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let defined = self.defined.iter();
        defined.map(|rota| ("id", rota.name.clone())).collect()
    }
}

/// Returns the people who are on call at the time `at`, each person once. An override replaces all layers. Without an
/// override, the layers with the highest level that have a person count.
pub fn on_call(rota: &Defined, at: Moment) -> Vec<PersonId> {
    let overrides = rota.overrides.iter();
    let active = overrides.filter(|one| one.from <= at && at < one.to);
    let replaced = distinct(active.map(|one| one.person.clone()));
    if !replaced.is_empty() {
        return replaced;
    }
    let layers: Vec<(u32, PersonId)> = rota
        .layers
        .iter()
        .filter_map(|layer| Some((layer.level, of_layer(layer, at)?)))
        .collect();
    let highest = layers.iter().map(|(level, _)| *level).max();
    let people = layers.into_iter();
    let people = people.filter(|(level, _)| Some(*level) == highest);
    distinct(people.map(|(_, person)| person))
}

/// Returns the time of the next shift with other people than at the time `at`, or `None` if the people do not change.
pub fn next_shift(rota: &Defined, at: Moment) -> Option<Moment> {
    let current = on_call(rota, at);
    let mut from = at;
    for _ in 0..CHANGES_MAX {
        from = next_change(rota, from)?;
        if on_call(rota, from) != current {
            return Some(from);
        }
    }
    None
}

/// Parses a local date and time, such as `2026-11-23T09:00`. Returns `None` for any other text.
pub fn local_time(text: &str) -> Option<DateTime> {
    let has_time = text.contains(['T', 't', ' ']);
    text.parse().ok().filter(|_| has_time)
}

fn distinct(people: impl Iterator<Item = PersonId>) -> Vec<PersonId> {
    let mut distinct = Vec::new();
    for person in people {
        if !distinct.contains(&person) {
            distinct.push(person);
        }
    }
    distinct
}

/// A layer with its parsed times.
struct Shifts<'a> {
    layer: &'a Layer,
    zone: TimeZone,
    start: DateTime,
    until: Option<Timestamp>,
    /// The length of a shift in hours of local time.
    hours: i64,
}

impl<'a> Shifts<'a> {
    /// Returns `None` if a member of the layer is invalid. A stored definition is always valid.
    fn of(layer: &'a Layer) -> Option<Self> {
        let zone = TimeZone::get(&layer.zone).ok()?;
        let until = match layer.until.as_deref() {
            Some(text) => Some(of_local(&zone, local_time(text)?)?),
            None => None,
        };
        let hours = match layer.shift {
            Shift::Hours(hours) => i64::from(hours),
            Shift::Days(days) => i64::from(days) * 24,
            Shift::Weeks(weeks) => i64::from(weeks) * 7 * 24,
        };
        (hours > 0).then_some(Self {
            start: local_time(&layer.start)?,
            layer,
            zone,
            until,
            hours,
        })
    }

    /// Returns the instant at which the shift with the given number begins. The first shift has number 0.
    fn begin(&self, number: i64) -> Option<Timestamp> {
        let hours = number.checked_mul(self.hours)?;
        let span = Span::new().try_hours(hours).ok()?;
        of_local(&self.zone, self.start.checked_add(span).ok()?)
    }

    /// Returns the number of the shift that contains the instant `at`. Returns `None` before the first shift.
    fn number(&self, at: Timestamp) -> Option<i64> {
        let local = self.zone.to_datetime(at);
        let seconds = local.duration_since(self.start).as_secs();
        let mut number = seconds.div_euclid(self.hours * 3_600);
        for _ in 0..SEARCH_MAX {
            if self.begin(number)? > at {
                number -= 1;
            } else if self.begin(number + 1).is_some_and(|next| next <= at) {
                number += 1;
            } else {
                break;
            }
        }
        (number >= 0).then_some(number)
    }

    fn person(&self, at: Timestamp) -> Option<&'a PersonId> {
        if self.until.is_some_and(|until| until <= at) {
            return None;
        }
        let number = usize::try_from(self.number(at)?).ok()?;
        let is_open = match &self.layer.window {
            Some(window) => self.period(window, at).is_some(),
            None => true,
        };
        let position = number.checked_rem(self.layer.people.len())?;
        self.layer.people.get(position).filter(|_| is_open)
    }

    /// Returns the begin and the end of the daily period that contains the instant `at`.
    fn period(&self, window: &Window, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let today = self.zone.to_datetime(at).date();
        [today.yesterday().ok(), Some(today)]
            .into_iter()
            .flatten()
            .filter_map(|day| self.period_of(window, day))
            .find(|(begin, end)| *begin <= at && at < *end)
    }

    /// Returns the daily period that begins on the given day. Returns `None` if no period begins on this day.
    fn period_of(&self, window: &Window, day: Date) -> Option<(Timestamp, Timestamp)> {
        if !window.days.is_empty() && !window.days.contains(&day_of(day.weekday())) {
            return None;
        }
        let (from, to) = (time_of_day(&window.from)?, time_of_day(&window.to)?);
        let end = if to <= from {
            day.tomorrow().ok()?
        } else {
            day
        };
        Some((
            instant(&self.zone, day, from)?,
            instant(&self.zone, end, to)?,
        ))
    }

    /// Returns the instants after `at` at which the person of the layer can change.
    fn changes(&self, at: Timestamp) -> Vec<Timestamp> {
        let next = self.number(at).map_or(0, |number| number + 1);
        // Clocks that are set forward can give two shifts the same begin, so the next begins are read too.
        let begins = (next..next.saturating_add(2)).filter_map(|number| self.begin(number));
        let mut changes: Vec<Timestamp> = begins.chain(self.until).collect();
        if let Some(window) = &self.layer.window {
            let today = self.zone.to_datetime(at).date();
            let mut day = today.yesterday().ok();
            for _ in 0..=WEEK_DAYS {
                let Some(date) = day else { break };
                if let Some((begin, end)) = self.period_of(window, date) {
                    changes.extend([begin, end]);
                }
                day = date.tomorrow().ok();
            }
        }
        changes.retain(|change| *change > at);
        changes
    }
}

fn of_layer(layer: &Layer, at: Moment) -> Option<PersonId> {
    let at = Timestamp::from_millisecond(at.0).ok()?;
    Shifts::of(layer)?.person(at).cloned()
}

/// Returns the next time after `at` at which the people on call can change.
fn next_change(rota: &Defined, at: Moment) -> Option<Moment> {
    let now = Timestamp::from_millisecond(at.0).ok()?;
    let layers = rota.layers.iter().filter_map(Shifts::of);
    let of_layers = layers.flat_map(|shifts| shifts.changes(now));
    let of_layers = of_layers.map(|change| Moment(change.as_millisecond()));
    let of_overrides = rota.overrides.iter().flat_map(|one| [one.from, one.to]);
    of_layers
        .chain(of_overrides)
        .filter(|change| *change > at)
        .min()
}

fn of_local(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    instant(zone, local.date(), local.time())
}

fn day_of(weekday: Weekday) -> Day {
    match weekday {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    }
}

#[cfg(test)]
mod tests {
    use events::rota::Override;

    use super::*;

    fn moment(text: &str) -> Moment {
        Moment(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    fn layer(people: &[&str], start: &str, shift: Shift, zone: &str) -> Layer {
        Layer {
            people: people.iter().map(|name| PersonId::from(*name)).collect(),
            start: start.into(),
            until: None,
            shift,
            zone: zone.into(),
            window: None,
            level: 0,
        }
    }

    fn rota(layers: Vec<Layer>) -> Defined {
        Defined {
            name: "ops".into(),
            layers,
            overrides: Vec::new(),
        }
    }

    /// Returns the people on call, separated by commas.
    fn who(rota: &Defined, at: &str) -> String {
        let people = on_call(rota, moment(at));
        let names: Vec<&str> = people.iter().map(PersonId::as_str).collect();
        names.join(",")
    }

    #[test]
    fn shifts_change_at_local_wall_time_over_both_changes_of_the_clocks() {
        // In Berlin, the clocks are set forward on 2026-03-29 and back on 2026-10-25. Each row contains a start, a shift,
        // an instant, and the person on call at this instant.
        for (start, shift, at, expected) in [
            (
                "2026-03-27T09:00",
                Shift::Days(1),
                "2026-03-28T07:59:59Z",
                "a",
            ),
            (
                "2026-03-27T09:00",
                Shift::Days(1),
                "2026-03-28T08:00:00Z",
                "b",
            ),
            (
                "2026-03-27T09:00",
                Shift::Days(1),
                "2026-03-29T06:59:59Z",
                "b",
            ),
            (
                "2026-03-27T09:00",
                Shift::Days(1),
                "2026-03-29T07:00:00Z",
                "c",
            ),
            (
                "2026-10-24T09:00",
                Shift::Days(1),
                "2026-10-25T07:59:59Z",
                "a",
            ),
            (
                "2026-10-24T09:00",
                Shift::Days(1),
                "2026-10-25T08:00:00Z",
                "b",
            ),
            (
                "2026-03-23T09:00",
                Shift::Weeks(1),
                "2026-03-30T06:59:59Z",
                "a",
            ),
            (
                "2026-03-23T09:00",
                Shift::Weeks(1),
                "2026-03-30T07:00:00Z",
                "b",
            ),
            (
                "2026-10-19T09:00",
                Shift::Weeks(1),
                "2026-10-26T07:59:59Z",
                "a",
            ),
            (
                "2026-10-19T09:00",
                Shift::Weeks(1),
                "2026-10-26T08:00:00Z",
                "b",
            ),
            // Twelve hours of local time: the night shift of the change has 11 or 13 hours.
            (
                "2026-03-28T08:00",
                Shift::Hours(12),
                "2026-03-28T19:00:00Z",
                "b",
            ),
            (
                "2026-03-28T08:00",
                Shift::Hours(12),
                "2026-03-29T05:59:59Z",
                "b",
            ),
            (
                "2026-03-28T08:00",
                Shift::Hours(12),
                "2026-03-29T06:00:00Z",
                "c",
            ),
            (
                "2026-10-24T08:00",
                Shift::Hours(12),
                "2026-10-24T18:00:00Z",
                "b",
            ),
            (
                "2026-10-24T08:00",
                Shift::Hours(12),
                "2026-10-25T06:59:59Z",
                "b",
            ),
            (
                "2026-10-24T08:00",
                Shift::Hours(12),
                "2026-10-25T07:00:00Z",
                "c",
            ),
            // The local time 02:30 does not exist on 2026-03-29, and exists twice on 2026-10-25.
            (
                "2026-03-28T02:30",
                Shift::Days(1),
                "2026-03-29T00:59:59Z",
                "a",
            ),
            (
                "2026-03-28T02:30",
                Shift::Days(1),
                "2026-03-29T01:00:00Z",
                "b",
            ),
            (
                "2026-10-24T02:30",
                Shift::Days(1),
                "2026-10-25T00:29:59Z",
                "a",
            ),
            (
                "2026-10-24T02:30",
                Shift::Days(1),
                "2026-10-25T00:30:00Z",
                "b",
            ),
            (
                "2026-10-24T02:30",
                Shift::Days(1),
                "2026-10-25T01:10:00Z",
                "b",
            ),
            (
                "2026-10-24T02:30",
                Shift::Days(1),
                "2026-10-26T01:29:59Z",
                "b",
            ),
            (
                "2026-10-24T02:30",
                Shift::Days(1),
                "2026-10-26T01:30:00Z",
                "c",
            ),
        ] {
            let rota = rota(vec![layer(&["a", "b", "c"], start, shift, "Europe/Berlin")]);
            assert_eq!(who(&rota, at), expected, "{start} {shift:?} {at}");
        }
    }

    #[test]
    fn shifts_of_one_hour_have_one_person_at_every_minute() {
        for day in ["2026-03-28T20:00", "2026-10-24T20:00"] {
            let shifts = layer(&["a", "b"], day, Shift::Hours(1), "Europe/Berlin");
            let start = of_local(
                &TimeZone::get("Europe/Berlin").unwrap(),
                local_time(day).unwrap(),
            );
            let rota = rota(vec![shifts]);
            let start = start.unwrap().as_millisecond();
            for minute in 0..600 {
                let at = Moment(start + minute * 60_000);
                assert_eq!(on_call(&rota, at).len(), 1, "{day} {minute}");
            }
        }
    }

    #[test]
    fn nobody_is_on_call_before_the_first_and_after_the_last_shift() {
        let mut rota = rota(vec![layer(
            &["a"],
            "2026-11-23T09:00",
            Shift::Weeks(1),
            "Asia/Shanghai",
        )]);
        rota.layers[0].until = Some("2026-11-24T09:00".into());
        assert_eq!(who(&rota, "2026-11-23T00:59:59Z"), "");
        assert_eq!(who(&rota, "2026-11-23T01:00:00Z"), "a");
        assert_eq!(who(&rota, "2026-11-24T00:59:59Z"), "a");
        assert_eq!(who(&rota, "2026-11-24T01:00:00Z"), "");
        assert_eq!(
            next_shift(&rota, moment("2026-11-23T01:00:00Z")),
            Some(moment("2026-11-24T01:00:00Z"))
        );
        assert_eq!(next_shift(&rota, moment("2026-11-24T01:00:00Z")), None);
    }

    #[test]
    fn an_override_replaces_all_layers_and_a_higher_level_replaces_a_lower() {
        let mut rota = rota(vec![
            layer(&["a"], "2026-11-23T09:00", Shift::Weeks(1), "UTC"),
            layer(&["b"], "2026-11-23T09:00", Shift::Weeks(1), "UTC"),
            layer(&["c"], "2026-11-24T09:00", Shift::Weeks(1), "UTC"),
        ]);
        rota.layers[2].level = 1;
        rota.overrides.push(Override {
            person: "d".into(),
            from: moment("2026-11-25T00:00:00Z"),
            to: moment("2026-11-26T00:00:00Z"),
        });
        assert_eq!(who(&rota, "2026-11-23T10:00:00Z"), "a,b");
        assert_eq!(who(&rota, "2026-11-24T10:00:00Z"), "c");
        assert_eq!(who(&rota, "2026-11-25T10:00:00Z"), "d");
        assert_eq!(who(&rota, "2026-11-26T00:00:00Z"), "c");
        let next = next_shift(&rota, moment("2026-11-24T10:00:00Z"));
        assert_eq!(next, Some(moment("2026-11-25T00:00:00Z")));
    }

    #[test]
    fn a_window_limits_a_layer_to_hours_and_days() {
        let mut rota = rota(vec![layer(
            &["a"],
            "2026-11-23T00:00",
            Shift::Weeks(1),
            "UTC",
        )]);
        rota.layers[0].window = Some(Window {
            from: "22:00".into(),
            to: "06:00".into(),
            days: vec![Day::Fri],
        });
        // 2026-11-27 is a Friday.
        assert_eq!(who(&rota, "2026-11-27T21:59:59Z"), "");
        assert_eq!(who(&rota, "2026-11-27T22:00:00Z"), "a");
        assert_eq!(who(&rota, "2026-11-28T05:59:59Z"), "a");
        assert_eq!(who(&rota, "2026-11-28T06:00:00Z"), "");
        assert_eq!(who(&rota, "2026-11-28T22:00:00Z"), "");
        let next = next_shift(&rota, moment("2026-11-28T06:00:00Z"));
        assert_eq!(next, Some(moment("2026-12-04T22:00:00Z")));
    }

    #[test]
    fn the_people_take_turns_for_years() {
        let rota = rota(vec![layer(
            &["a", "b", "c"],
            "2020-01-06T09:00",
            Shift::Weeks(1),
            "Asia/Shanghai",
        )]);
        for (week, expected) in ["a", "b", "c", "a"].into_iter().enumerate() {
            let weeks = i64::try_from(week).unwrap() + 300;
            let at = moment("2020-01-06T01:00:00Z").plus_ms(weeks * 7 * 24 * 3_600_000);
            let people = on_call(&rota, at);
            assert_eq!(people, [PersonId::from(expected)], "week {week}");
        }
    }
}
