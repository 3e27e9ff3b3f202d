//! Computes the time of the next batch: one message that lists the notifications since the last batch.

use events::{Moment, PersonId};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::quiet::{instant, time_of_day};

/// The batch times of a person who chose none (requirements/notifications.md, `batch_time`).
pub const DEFAULT_TIMES: [&str; 3] = ["09:00", "14:00", "17:00"];
/// Maximum number of batch times of one person and channel.
pub const TIMES_MAX: usize = 24;

/// Returns the time of the next batch after `now`. `times` contains times of the day in the form `HH:MM`; if it contains
/// no valid time, the default times are used.
///
/// Providers ask senders to avoid the minutes 0 and 30, because many programs send at these minutes
/// (reference/notifications.md, section 1.3). A batch of these minutes is therefore one minute later. In addition, each
/// person has a fixed delay of 0 to 59 seconds.
pub fn next_batch(times: &[String], zone: &TimeZone, person: &PersonId, now: Moment) -> Moment {
    let own: Vec<_> = times.iter().filter_map(|text| time_of_day(text)).collect();
    let default = DEFAULT_TIMES.into_iter().filter_map(time_of_day);
    let times: Vec<_> = if own.is_empty() {
        default.collect()
    } else {
        own
    };
    // Because of the delay, a batch of yesterday can be after midnight.
    let near = instants_near(&times, zone, now).into_iter();
    let due = near.map(|(time, at)| {
        let minute = if time.minute() % 30 == 0 { 60_000 } else { 0 };
        at.plus_ms(minute + delay_ms(person))
    });
    let later = now.plus_ms(24 * 3_600_000);
    due.filter(|due| *due > now).min().unwrap_or(later)
}

/// Returns the instants of the times of the day from yesterday to two days after the day of `now`, each with its time of the
/// day. Two days follow, so that a day without the local time does not matter. If the clocks skip a time, its instant is that
/// of the change; if a time exists twice, its instant is the first one.
pub(crate) fn instants_near(times: &[Time], zone: &TimeZone, now: Moment) -> Vec<(Time, Moment)> {
    let Ok(timestamp) = Timestamp::from_millisecond(now.0) else {
        return Vec::new();
    };
    let today = timestamp.to_zoned_datetime(zone.clone()).date();
    let days = (-1_i64..=2).filter_map(|day| today.checked_add(day.days()).ok());
    let all = days.flat_map(|day| times.iter().map(move |time| (day, *time)));
    all.filter_map(|(day, time)| {
        let at = instant(zone, day, time)?.as_millisecond();
        Some((time, Moment(at)))
    })
    .collect()
}

/// Returns the fixed delay of a person, from 0 to 59 seconds. It is derived from a hash of the person id.
fn delay_ms(person: &PersonId) -> i64 {
    let hash = blake3::hash(person.as_str().as_bytes());
    i64::from(hash.as_bytes()[0] % 60) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(times: &[&str], zone: &str, now: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let times: Vec<String> = times.iter().map(|&time| time.into()).collect();
        let now: Timestamp = now.parse().unwrap();
        let person = PersonId::from("p-1");
        let Moment(due) = next_batch(&times, &zone, &person, Moment(now.as_millisecond()));
        let due = Timestamp::from_millisecond(due - delay_ms(&person)).unwrap();
        due.to_string()
    }

    #[test]
    fn a_batch_is_at_the_next_time_of_the_person() {
        let shanghai = |now| next(&["09:00", "14:10"], "Asia/Shanghai", now);
        assert_eq!(shanghai("2026-11-22T00:00:00Z"), "2026-11-22T01:01:00Z");
        assert_eq!(shanghai("2026-11-22T02:00:00Z"), "2026-11-22T06:10:00Z");
        assert_eq!(shanghai("2026-11-22T08:00:00Z"), "2026-11-23T01:01:00Z");
        let default = next(&[], "Asia/Shanghai", "2026-11-22T07:00:00Z");
        assert_eq!(default, "2026-11-22T09:01:00Z");
    }

    #[test]
    fn a_batch_follows_the_changes_of_the_clocks() {
        // In Berlin, the local time 02:10 does not exist on 2026-03-29, and exists twice on 2026-10-25.
        let berlin = |now| next(&["02:10"], "Europe/Berlin", now);
        assert_eq!(berlin("2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
        assert_eq!(berlin("2026-10-24T12:00:00Z"), "2026-10-25T00:10:00Z");
        assert_eq!(berlin("2026-10-25T00:30:00Z"), "2026-10-26T01:10:00Z");
    }

    #[test]
    fn a_batch_is_never_at_minute_0_or_30() {
        for (time, now) in [
            ("23:59", "2026-11-22T15:58:00Z"),
            ("08:30", "2026-11-22T00:00:00Z"),
        ] {
            let zone = TimeZone::get("Asia/Shanghai").unwrap();
            let now: Timestamp = now.parse().unwrap();
            for person in 0..200 {
                let person = PersonId(format!("p-{person}"));
                let now = Moment(now.as_millisecond());
                let due = next_batch(&[time.to_owned()], &zone, &person, now);
                assert!(due > now && (due.0 / 60_000) % 30 != 0, "{due:?}");
            }
        }
    }
}
