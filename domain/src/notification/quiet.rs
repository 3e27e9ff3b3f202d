//! Computes the end of quiet hours (a daily period without messages) in a time zone
//! (reference/notifications.md, section 6).

use events::Moment;
use events::person::QuietHours;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

/// Parses a time of day in the form `HH:MM`. Returns `None` for every other text.
pub fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

/// Returns the end of the quiet period that contains the time `now`. Returns `None` if no quiet period
/// contains `now`, or if `quiet` contains an invalid time of day.
///
/// A period belongs to the day on which the period begins. When clocks are set forward, some local times do
/// not exist. Such a time is replaced by the first existing time after the missing time. When clocks are set
/// back, some local times exist twice. In this case, the first of the two times is used.
pub fn quiet_until(quiet: &QuietHours, zone: &TimeZone, now: Moment) -> Option<Moment> {
    let (from, to) = (time_of_day(&quiet.from)?, time_of_day(&quiet.to)?);
    let now = Timestamp::from_millisecond(now.0).ok()?;
    let today = now.to_zoned_datetime(zone.clone()).date();
    let is_overnight = to <= from;
    // A quiet period that began yesterday and ends after midnight can contain the time `now`.
    [today.yesterday().ok(), Some(today)]
        .into_iter()
        .flatten()
        .find_map(|day| {
            let end_day = if is_overnight {
                day.checked_add(1.day()).ok()?
            } else {
                day
            };
            let begin = instant(zone, day, from)?;
            let end = instant(zone, end_day, to)?;
            (begin <= now && now < end).then(|| Moment(end.as_millisecond()))
        })
}

/// Converts a local date and time to an instant. Returns `None` if the date is outside of the supported
/// range.
pub(super) fn instant(zone: &TimeZone, date: Date, time: Time) -> Option<Timestamp> {
    let local = date.to_datetime(time);
    let ambiguous = zone.to_ambiguous_timestamp(local);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
            ambiguous.earlier().ok()
        }
        // On this day, the clocks skip this local time. The function returns the instant at which the clocks
        // are set forward.
        AmbiguousOffset::Gap { .. } => {
            let after = ambiguous.later().ok()?;
            // The function `preceding` finds only clock changes before the given instant. One nanosecond is
            // added, so that the function also finds a change at the instant `after` itself.
            let change = zone.preceding(after + 1.nanosecond()).next()?.timestamp();
            Some(change)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(from: &str, to: &str) -> QuietHours {
        QuietHours {
            from: from.into(),
            to: to.into(),
        }
    }

    /// Returns the end of the quiet period that contains `now`, in UTC. Returns an empty text if no quiet
    /// period contains `now`.
    fn until(from: &str, to: &str, zone: &str, now: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let now: Timestamp = now.parse().unwrap();
        quiet_until(&quiet(from, to), &zone, Moment(now.as_millisecond()))
            .map_or(String::new(), |Moment(end)| {
                Timestamp::from_millisecond(end).unwrap().to_string()
            })
    }

    #[test]
    fn an_overnight_period_belongs_to_the_day_on_which_it_begins() {
        let shanghai = |now| until("22:00", "07:00", "Asia/Shanghai", now);
        assert_eq!(shanghai("2026-11-22T13:59:59Z"), "", "21:59:59 in Shanghai");
        assert_eq!(shanghai("2026-11-22T14:00:00Z"), "2026-11-22T23:00:00Z");
        assert_eq!(shanghai("2026-11-22T18:30:00Z"), "2026-11-22T23:00:00Z");
        assert_eq!(shanghai("2026-11-22T22:59:59Z"), "2026-11-22T23:00:00Z");
        assert_eq!(shanghai("2026-11-22T23:00:00Z"), "", "07:00 in Shanghai");
    }

    #[test]
    fn a_period_within_one_day_ends_on_this_day() {
        let lunch = |now| until("12:00", "13:30", "Asia/Shanghai", now);
        assert_eq!(lunch("2026-11-22T03:59:00Z"), "");
        assert_eq!(lunch("2026-11-22T04:00:00Z"), "2026-11-22T05:30:00Z");
        assert_eq!(lunch("2026-11-22T05:30:00Z"), "");
    }

    #[test]
    fn a_local_time_that_the_clocks_skip_is_the_first_instant_after_it() {
        // In Berlin, the local times from 02:00 to 03:00 do not exist on 2026-03-29. The clocks are set
        // forward at 01:00 UTC.
        let berlin = |from, to, now| until(from, to, "Europe/Berlin", now);
        assert_eq!(
            berlin("22:00", "02:30", "2026-03-29T00:59:00Z"),
            "2026-03-29T01:00:00Z"
        );
        assert_eq!(berlin("22:00", "02:30", "2026-03-29T01:00:00Z"), "");
        assert_eq!(berlin("02:30", "06:00", "2026-03-29T00:59:00Z"), "");
        assert_eq!(
            berlin("02:30", "06:00", "2026-03-29T01:00:00Z"),
            "2026-03-29T04:00:00Z"
        );
    }

    #[test]
    fn quiet_hours_can_begin_or_end_at_the_change_of_the_clocks() {
        // In Berlin, the clocks are set from 02:00 to 03:00 at 2026-03-29T01:00:00Z.
        let berlin = |from, to, now| until(from, to, "Europe/Berlin", now);
        let change = "2026-03-29T01:00:00Z";
        assert_eq!(berlin("22:00", "02:00", "2026-03-28T22:00:00Z"), change);
        assert_eq!(berlin("22:00", "02:00", change), "");
        assert_eq!(berlin("02:00", "06:00", "2026-03-29T00:59:00Z"), "");
        assert_eq!(berlin("02:00", "06:00", change), "2026-03-29T04:00:00Z");
    }

    #[test]
    fn the_first_occurrence_of_a_repeated_local_time_counts() {
        // In Berlin, the local times from 02:00 to 03:00 exist twice on 2026-10-25. The first hour begins at
        // 00:00 UTC, the second at 01:00 UTC.
        let berlin = |from, to, now| until(from, to, "Europe/Berlin", now);
        assert_eq!(
            berlin("22:00", "02:30", "2026-10-25T00:29:00Z"),
            "2026-10-25T00:30:00Z"
        );
        assert_eq!(berlin("22:00", "02:30", "2026-10-25T01:10:00Z"), "");
        assert_eq!(
            berlin("02:30", "06:00", "2026-10-25T01:10:00Z"),
            "2026-10-25T05:00:00Z"
        );
    }

    #[test]
    fn only_two_digits_for_hours_and_minutes_are_a_time() {
        for text in [
            "", "7:00", "24:00", "12:60", "12-00", "ab:cd", "12:00:00", "+1:00",
        ] {
            assert_eq!(time_of_day(text), None, "{text}");
        }
        assert!(time_of_day("00:00").is_some() && time_of_day("23:59").is_some());
    }

    #[test]
    fn the_end_is_always_later_than_the_beginning() {
        // Each text is the start of a period of two days in which the clocks change. The test checks every
        // quarter of an hour in both periods.
        for start in ["2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"] {
            let start: Timestamp = start.parse().unwrap();
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            for (from, to) in [
                ("22:00", "07:00"),
                ("02:30", "02:31"),
                ("01:59", "03:00"),
                ("03:00", "02:59"),
            ] {
                for quarter in 0..192 {
                    let now = Moment(start.as_millisecond() + quarter * 900_000);
                    if let Some(end) = quiet_until(&quiet(from, to), &zone, now) {
                        assert!(
                            end > now && end.0 - now.0 <= 25 * 3_600_000,
                            "{from} {to} {now:?}"
                        );
                    }
                }
            }
        }
    }
}
